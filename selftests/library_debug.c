// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: debug heaps that check patterns, behind blocks and in free memory,
 * and what all debug heaps have in common.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "library_util.h"
#include "seccomp_util.h"

#define TAIL_BYTES	16

static const SIZE_T sizes[] = {
	0, 1, 7, 15, 16, 17, 31, 100, 112, 1000, 4000, 4096, 5000, 16368, 16384,
	20000, 65536, 0xFE000, 2000000,
};

#define NR_SIZES	(sizeof(sizes) / sizeof(sizes[0]))

FIXTURE(debug) {
	HANDLE heap;
};

FIXTURE_VARIANT(debug) {
	const char *settings;
	bool tail, free;
};

FIXTURE_VARIANT_ADD(debug, tail) { "htc", true, false };
FIXTURE_VARIANT_ADD(debug, free) { "hfc", false, true };
FIXTURE_VARIANT_ADD(debug, both) { "htc,hfc", true, true };
FIXTURE_VARIANT_ADD(debug, parameters) { "hvp", true, true };
FIXTURE_VARIANT_ADD(debug, all) { "hva", true, true };
FIXTURE_VARIANT_ADD(debug, global_flag) { "0x30", true, true };

FIXTURE_SETUP(debug)
{
	self->heap = HeapdevCreateDebug(0, 0, 0, variant->settings);
	ASSERT_HEAP(self->heap);
	preset_errors();
}

FIXTURE_TEARDOWN(debug)
{
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* Dwords of a value, the last one perhaps not whole. */
static bool is_all_dwords(const void *mem, size_t bytes, uint32_t value)
{
	const uint8_t *byte = mem;
	size_t i;

	for (i = 0; i < bytes; i++)
		if (byte[i] != (uint8_t)(value >> i % 4 * 8))
			return false;
	return true;
}

/* Standard error goes to a file while a test looks at lines. */
static int stderr_file, stderr_saved;

static void catch_stderr(void)
{
	fflush(stderr);
	stderr_saved = dup(STDERR_FILENO);
	stderr_file = memfd_create("stderr", MFD_CLOEXEC);
	dup2(stderr_file, STDERR_FILENO);
}

static const char *caught_stderr(void)
{
	static char text[16384];

	dup2(stderr_saved, STDERR_FILENO);
	close(stderr_saved);
	lseek(stderr_file, 0, SEEK_SET);
	read_all(stderr_file, text, sizeof(text));
	close(stderr_file);
	return text;
}

/* New blocks */

TEST_F(debug, new_block)
{
	unsigned int i;
	char *block;

	for (i = 0; i < NR_SIZES; i++) {
		block = HeapAlloc(self->heap, 0, sizes[i]);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(0, (uintptr_t)block % MEMORY_ALLOCATION_ALIGNMENT);
		EXPECT_EQ(sizes[i], HeapSize(self->heap, 0, block));
		if (variant->free) {
			EXPECT_TRUE(is_all_dwords(block, sizes[i], 0xBAADF00D));
		}
		if (variant->tail) {
			EXPECT_TRUE(is_all(block + sizes[i], TAIL_BYTES, 0xAB));
		}
		EXPECT_TRUE(HeapValidate(self->heap, 0, block));
	}
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_NO_ERROR();
}

/* Also where a freed block has been, and its pattern. */
TEST_F(debug, new_block_zero)
{
	unsigned int i, round;
	char *block;

	for (round = 0; round < (strcmp(variant->settings, "hva") ? 1500 : 100);
	     round++) {
		i = round % NR_SIZES;
		block = HeapAlloc(self->heap, HEAP_ZERO_MEMORY, sizes[i] % 30000);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(is_zero(block, sizes[i] % 30000));
		if (variant->tail) {
			EXPECT_TRUE(is_all(block + sizes[i] % 30000, TAIL_BYTES,
					   0xAB));
		}
		memset(block, 0x77, sizes[i] % 30000);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
	}
	EXPECT_NO_ERROR();
}

/* Resizing */

/* From every size to every other: contents, new bytes and the tail. */
TEST_F_TIMEOUT(debug, realloc, 120)
{
	SIZE_T old, new, kept;
	unsigned int i, j;
	char *block;

	for (i = 0; i < NR_SIZES - 1; i++) {
		for (j = 0; j < NR_SIZES - 1; j++) {
			old = sizes[i];
			new = sizes[j];
			kept = old < new ? old : new;
			block = HeapAlloc(self->heap, 0, old);
			ASSERT_NE(NULL, block);
			fill(block, old, i);
			block = HeapReAlloc(self->heap, j % 2 ?
					    HEAP_ZERO_MEMORY : 0, block, new);
			ASSERT_NE(NULL, block);
			EXPECT_EQ(new, HeapSize(self->heap, 0, block));
			EXPECT_TRUE(is_filled(block, kept, i));
			if (j % 2) {
				EXPECT_TRUE(is_zero(block + kept, new - kept));
			} else if (variant->free && old % 4 == 0) {
				EXPECT_TRUE(is_all_dwords(block + kept, new - kept,
							  0xBAADF00D));
			}
			if (variant->tail) {
				EXPECT_TRUE(is_all(block + new, TAIL_BYTES, 0xAB));
			}
			EXPECT_TRUE(HeapValidate(self->heap, 0, block));
			ASSERT_TRUE(HeapFree(self->heap, 0, block));
		}
	}
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_NO_ERROR();
}

/* Back and forth in one place; the tail moves along. */
TEST_F(debug, realloc_in_place)
{
	char *block = HeapAlloc(self->heap, 0, 90);
	SIZE_T bytes;

	ASSERT_NE(NULL, block);
	memset(block, 1, 90);
	for (bytes = 90; bytes-- > 0;) {
		EXPECT_EQ(block, HeapReAlloc(self->heap,
					     HEAP_REALLOC_IN_PLACE_ONLY, block,
					     bytes));
		EXPECT_TRUE(is_all(block, bytes, 1));
		EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	}
	for (bytes = 1; bytes < 90; bytes++) {
		EXPECT_EQ(block, HeapReAlloc(self->heap,
					     HEAP_REALLOC_IN_PLACE_ONLY |
					     HEAP_ZERO_MEMORY, block, bytes));
		EXPECT_TRUE(is_zero(block, bytes));
		EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	}
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_REALLOC_IN_PLACE_ONLY,
				    block, 1000));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapValidate(self->heap, 0, block));
}

/* Whole pages become fewer and more; what was given back must not be touched. */
TEST_F(debug, realloc_whole_pages)
{
	static const SIZE_T steps[] = {
		20000, 10000, 100, 9000, 50, 20000, 4096, 5000, 0, 16384, 70000,
		12000, 8000, 4000, 30000, 1,
	};
	char *block = HeapAlloc(self->heap, 0, 100000);
	unsigned int i;

	ASSERT_NE(NULL, block);
	memset(block, 3, 100000);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		block = HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, block, steps[i]);
		ASSERT_NE(NULL, block);
		memset(block, 3, steps[i]);
		EXPECT_TRUE(HeapValidate(self->heap, 0, block));
		EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	}
	EXPECT_TRUE(HeapFree(self->heap, 0, block));
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_NO_ERROR();
}

/* In a heap that is nearly full, where short blocks get whole pages, too. */
TEST_F(debug, realloc_in_full_heap)
{
	HANDLE heap = HeapdevCreateDebug(0, 0, 256 * KIB, variant->settings);
	unsigned int i, seed = 1, nr = strcmp(variant->settings, "hva") ? 4000 : 300;
	char *blocks[32] = { NULL }, *moved;
	SIZE_T bytes[32] = { 0 };

	ASSERT_HEAP(heap);
	for (i = 0; i < nr; i++) {
		unsigned int k = (seed = seed * 1103515245 + 12345) >> 16 & 31;
		SIZE_T new = (seed >> 8) % (i % 3 ? 3000 : 40000);

		if (!blocks[k]) {
			moved = HeapAlloc(heap, 0, new);
		} else if (i % 5) {
			EXPECT_TRUE(is_all(blocks[k], bytes[k], k));
			moved = HeapReAlloc(heap, 0, blocks[k], new);
		} else {
			EXPECT_TRUE(HeapFree(heap, 0, blocks[k]));
			blocks[k] = NULL;
			continue;
		}
		if (moved) {
			blocks[k] = moved;
			bytes[k] = new;
			memset(moved, k, new);
		}
		if (i % 16 == 0) {
			ASSERT_TRUE(HeapValidate(heap, 0, NULL));
		}
	}
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Damage behind a block */

TEST_F(debug, tail_damaged)
{
	HANDLE other = HeapdevCreateDebug(0, 0, 0, variant->settings);
	char *good, *block;
	unsigned int i, at;
	const char *text;

	good = HeapAlloc(self->heap, 0, 10);
	ASSERT_NE(NULL, good);
	catch_stderr();
	for (i = 0; variant->tail && i < NR_SIZES; i++) {
		block = HeapAlloc(self->heap, 0, sizes[i]);
		for (at = 0; at < TAIL_BYTES; at++) {
			block[sizes[i] + at]++;
			EXPECT_FALSE(HeapValidate(self->heap, 0, block));
			EXPECT_FALSE(HeapValidate(self->heap, 0, NULL));
			EXPECT_TRUE(HeapValidate(self->heap, 0, good));
			EXPECT_TRUE(HeapValidate(other, 0, NULL));
			block[sizes[i] + at]--;
			EXPECT_TRUE(HeapValidate(self->heap, 0, block));
			EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
		}
	}
	text = caught_stderr();
	if (variant->tail) {
		EXPECT_EQ(text, strstr(text, "libheapdev: stop 0xf (suffix "));
	} else {
		EXPECT_STREQ("", text);
	}
	EXPECT_NO_ERROR();
	EXPECT_TRUE(HeapDestroy(other));
}

/* The calls look at tails only where all is to be validated. */
TEST_F(debug, calls_on_damaged_block)
{
	bool all = !strcmp(variant->settings, "hva");
	char *block = HeapAlloc(self->heap, 0, 100);
	char *moved;

	if (!variant->tail)
		return;
	catch_stderr();
	block[100] = 0;
	EXPECT_EQ(all ? NO_SIZE : 100, HeapSize(self->heap, 0, block));
	EXPECT_ERROR(all ? ERROR_INVALID_PARAMETER : ERROR_PATTERN);
	moved = HeapReAlloc(self->heap, 0, block, 5000);
	if (all) {
		EXPECT_EQ(NULL, moved);
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(HeapFree(self->heap, 0, block));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		block[100] = 0xAB;
		EXPECT_EQ(100, HeapSize(self->heap, 0, block));
		EXPECT_TRUE(HeapFree(self->heap, 0, block));
	} else {
		EXPECT_NE(NULL, moved);
		moved[5000] = 0;
		EXPECT_TRUE(HeapFree(self->heap, 0, moved));
	}
	EXPECT_NO_ERROR();
	EXPECT_EQ(all, !!*caught_stderr());
}

/* Freed memory */

TEST_F(debug, freed_block)
{
	unsigned int i;
	char *block;

	for (i = 0; i < NR_SIZES; i++) {
		block = HeapAlloc(self->heap, 0, sizes[i]);
		memset(block, 0x11, sizes[i]);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
		if (variant->free) {
			EXPECT_TRUE(is_all_dwords(block, sizes[i], 0xFEEEFEEE));
		}
		catch_stderr();
		EXPECT_FALSE(HeapValidate(self->heap, 0, block));
		EXPECT_NO_ERROR();
		EXPECT_EQ(NO_SIZE, HeapSize(self->heap, 0, block));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_EQ(NULL, HeapReAlloc(self->heap, 0, block, 1));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(HeapFree(self->heap, 0, block));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_EQ(1, count_lines(caught_stderr()));
	}
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
}

TEST_F(debug, freed_memory_written)
{
	unsigned int i;
	char *block, old;
	const char *text;

	catch_stderr();
	for (i = 1; variant->free && i < NR_SIZES; i++) {
		block = HeapAlloc(self->heap, 0, sizes[i]);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
		old = block[sizes[i] - 1];
		block[sizes[i] - 1] = 0;
		EXPECT_FALSE(HeapValidate(self->heap, 0, NULL));
		block[sizes[i] - 1] = old;
		EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	}
	text = caught_stderr();
	if (variant->free) {
		EXPECT_EQ(text, strstr(text, "libheapdev: stop 0xe (freed block"));
	}
	EXPECT_NO_ERROR();
}

/* What was never allocated, behind a block: the slots that follow. */
TEST_F(debug, never_allocated_memory_written)
{
	char *block = HeapAlloc(self->heap, 0, 100);
	char old;

	if (!variant->free)
		return;
	EXPECT_TRUE(is_all_dwords(block + 256, 1024, 0xFEEEFEEE));
	catch_stderr();
	old = block[500];
	block[500] = 1;
	EXPECT_FALSE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapValidate(self->heap, 0, block));
	block[500] = old;
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(*caught_stderr());
	EXPECT_NO_ERROR();
}

/* 1024 other blocks are freed before an address is used again. */
TEST_F(debug, reuse_is_delayed)
{
	char *first, *block;
	unsigned int i;

	if (!variant->free || !strcmp(variant->settings, "hva"))
		return;
	first = HeapAlloc(self->heap, 0, 100);
	ASSERT_TRUE(HeapFree(self->heap, 0, first));
	for (i = 0; i < 1024; i++) {
		block = HeapAlloc(self->heap, 0, 100);
		ASSERT_NE(first, block);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
	}
	for (i = 0; i < 2000 && block != first; i++)
		block = HeapAlloc(self->heap, 0, 100);
	EXPECT_EQ(first, block);
	EXPECT_TRUE(is_all_dwords(block, 100, 0xBAADF00D));
}

/* A write after the delay, and before the memory is used again, is found then. */
TEST_F(debug, write_found_at_reuse)
{
	char *keeper, *first, *block = NULL;
	unsigned int i;

	if (!variant->free || !strcmp(variant->settings, "hva"))
		return;		/* there each call looks at everything */
	keeper = HeapAlloc(self->heap, 0, 100);
	first = HeapAlloc(self->heap, 0, 100);
	ASSERT_TRUE(HeapFree(self->heap, 0, first));
	for (i = 0; i < 1024; i++)
		HeapFree(self->heap, 0, HeapAlloc(self->heap, 0, 3000));
	catch_stderr();
	first[50] = 1;
	EXPECT_FALSE(HeapValidate(self->heap, 0, NULL));
	for (i = 0; i < 3000 && block != first; i++)
		block = HeapAlloc(self->heap, 0, 100);
	EXPECT_EQ(first, block);
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_LE(2, count_lines(caught_stderr()));
	EXPECT_TRUE(HeapFree(self->heap, 0, keeper));
}

/* What is delayed gives way before an allocation fails. */
TEST_F(debug, delay_gives_way)
{
	HANDLE heap = HeapdevCreateDebug(0, 0, 256 * KIB, variant->settings);
	unsigned int i, nr = 0;
	char *block;

	ASSERT_HEAP(heap);
	while (HeapAlloc(heap, 0, 3000))
		nr++;
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_LT(60, nr);
	EXPECT_TRUE(HeapDestroy(heap));
	heap = HeapdevCreateDebug(0, 0, 256 * KIB, variant->settings);
	for (i = 0; i < 10 * nr; i++) {
		block = HeapAlloc(heap, 0, 3000);
		ASSERT_NE(NULL, block);
		ASSERT_TRUE(HeapFree(heap, 0, block));
	}
	EXPECT_NO_ERROR();
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Everything else */

TEST_F(debug, sums)
{
	SIZE_T sum = 0;
	void *blocks[NR_SIZES];
	HEAP_SUMMARY summary;
	unsigned int i;

	for (i = 0; i < NR_SIZES; i++) {
		blocks[i] = HeapAlloc(self->heap, 0, sizes[i]);
		sum += sizes[i];
		EXPECT_EQ(sum, summary_of(self->heap).cbAllocated);
	}
	blocks[3] = HeapReAlloc(self->heap, 0, blocks[3], 5000);
	sum += 5000 - sizes[3];
	summary = summary_of(self->heap);
	EXPECT_EQ(sum, summary.cbAllocated);
	EXPECT_LE(summary.cbAllocated, summary.cbCommitted);
	EXPECT_LE(summary.cbCommitted, summary.cbReserved);
	for (i = 0; i < NR_SIZES; i++)
		EXPECT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
}

TEST_F(debug, no_front_end)
{
	ULONG value = 77;
	SIZE_T length;
	unsigned int i;

	for (i = 0; i < 50; i++)
		ASSERT_NE(NULL, HeapAlloc(self->heap, 0, 64));
	EXPECT_TRUE(HeapQueryInformation(self->heap, HeapCompatibilityInformation,
					 &value, sizeof(value), &length));
	EXPECT_EQ(0, value);
	value = 2;
	EXPECT_FALSE(HeapSetInformation(self->heap, HeapCompatibilityInformation,
					&value, sizeof(value)));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

/* Twice the same, with the blocks in it and nothing that was freed. */
TEST_F(debug, walk)
{
	static PROCESS_HEAP_ENTRY first[600], second[600];
	unsigned int i, nr = 0, nr_busy = 0;
	SIZE_T sum = 0;
	char *block;

	for (i = 0; i < 200; i++) {
		block = HeapAlloc(self->heap, 0, i * 37 % 5000);
		ASSERT_NE(NULL, block);
		if (i % 3 == 0) {
			HeapFree(self->heap, 0, block);
		}
	}
	memset(first, 0x55, sizeof(first));
	memset(second, 0xaa, sizeof(second));
	first[0].lpData = NULL;
	while (HeapWalk(self->heap, &first[nr])) {
		if (first[nr].wFlags & PROCESS_HEAP_ENTRY_BUSY) {
			nr_busy++;
			sum += first[nr].cbData;
			EXPECT_EQ(first[nr].cbData,
				  HeapSize(self->heap, 0, first[nr].lpData));
			EXPECT_NE(0, first[nr].cbOverhead);
		}
		ASSERT_GT(599, nr);
		first[nr + 1] = first[nr];
		nr++;
	}
	EXPECT_ERROR(ERROR_NO_MORE_ITEMS);
	EXPECT_EQ(133, nr_busy);
	EXPECT_EQ(sum, summary_of(self->heap).cbAllocated);
	second[0].lpData = NULL;
	for (i = 0; i < nr; i++) {
		ASSERT_TRUE(HeapWalk(self->heap, &second[i]));
		EXPECT_EQ(0, memcmp(&first[i], &second[i], sizeof(first[i])));
		second[i + 1] = second[i];
	}
	EXPECT_FALSE(HeapWalk(self->heap, &second[nr]));
}

TEST_F(debug, bad_pointers)
{
	HANDLE other = HeapCreate(0, 0, 0);
	char *block = HeapAlloc(self->heap, 0, 100);
	char *foreign = HeapAlloc(other, 0, 100);
	void *wrong[] = { block + 1, block + 16, block + 99, foreign, &block,
			  (void *)16, (void *)UINTPTR_MAX, self->heap };
	unsigned int i;

	HeapAlloc(self->heap, 0, 100);
	catch_stderr();
	for (i = block == self->heap ? 1 : 0;
	     i < sizeof(wrong) / sizeof(wrong[0]) - (block == self->heap); i++) {
		EXPECT_FALSE(HeapFree(self->heap, 0, wrong[i]));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_EQ(NULL, HeapReAlloc(self->heap, 0, wrong[i], 10));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_EQ(NO_SIZE, HeapSize(self->heap, 0, wrong[i]));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(HeapValidate(self->heap, 0, wrong[i]));
		EXPECT_NO_ERROR();
	}
	EXPECT_TRUE(*caught_stderr());
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_EQ(100, HeapSize(self->heap, 0, block));
	EXPECT_TRUE(HeapDestroy(other));
}

TEST_F(debug, fixed_heap)
{
	HANDLE heap = HeapdevCreateDebug(0, 0, 4 * MIB, variant->settings);

	ASSERT_HEAP(heap);
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX + 1));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_NE(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX));
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, SIZE_MAX));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, SIZE_MAX - 7));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Threads of an unserialised heap, which Windows forbids, break nothing. */
static void *allocate_and_free(void *data)
{
	unsigned int i;
	char *blocks[16] = { NULL };

	for (i = 0; i < 3000; i++) {
		HeapFree(data, 0, blocks[i % 16]);
		blocks[i % 16] = HeapAlloc(data, 0, i % 300);
		if (blocks[i % 16])
			memset(blocks[i % 16], i, i % 300);
	}
	for (i = 0; i < 16; i++)
		HeapFree(data, 0, blocks[i]);
	return NULL;
}

TEST_F_TIMEOUT(debug, threads, 120)
{
	HANDLE heaps[] = { self->heap, NULL };
	pthread_t threads[4];
	unsigned int i, j;

	if (!strcmp(variant->settings, "hva"))
		return;
	heaps[1] = HeapdevCreateDebug(HEAP_NO_SERIALIZE, 0, 0,
				      variant->settings);
	for (j = 0; j < 2; j++) {
		for (i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL,
						    allocate_and_free, heaps[j]));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_TRUE(HeapValidate(heaps[j], 0, NULL));
		EXPECT_EQ(0, summary_of(heaps[j]).cbAllocated);
	}
	EXPECT_TRUE(HeapDestroy(heaps[1]));
}

/* Settings */

static HANDLE with(const char *settings)
{
	return HeapdevCreateDebug(0, 0, 0, settings);
}

TEST(settings_unknown)
{
	const char *const wrong[] = {
		"x", "htc,x", "ht", "htcc", "size", "size=", "size=1", "size=2-1",
		"size=1-2x", "random", "random=101", "random=-1", "fault=10001",
		"fault=1:", "fault=1:x", "seed", "quarantine=", "htc=1",
		"0x100000000",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	unsigned int i;

	ASSERT_HEAP(with(""));
	preset_errors();
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		EXPECT_EQ(NULL, with(wrong[i])) {
			TH_LOG("%s", wrong[i]);
		}
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	}
	EXPECT_EQ(NULL, with(NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST(settings_known)
{
	const char *const right[] = {
		"", " ", ",", "htc", "htc,hfc", "htc hfc\thvp", "hpc,hvc", "hva",
		"hpa", "full", "light", "hpa,light", "0x02000000", "50",
		"hpa,backwards", "hpa,unaligned,notraces,no_sync",
		"hpa,size=16-4096,random=50,fault=10", "fault", "fault=0",
		"fault=10000:0", "seed=0x10", "quarantine=1048576", "dhc",
		"hpa,protect,decommit",
	};
	unsigned int i;
	HANDLE heap;

	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		heap = with(right[i]);
		ASSERT_HEAP(heap);
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

/* Flags of HeapCreate() make no debug heap, as on Windows. */
TEST(flags_do_nothing)
{
	HANDLE heap = HeapCreate(HEAP_TAIL_CHECKING_ENABLED |
				 HEAP_FREE_CHECKING_ENABLED, 0, 0);
	uint8_t *block;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 100);
	block[100] = 1;
	EXPECT_TRUE(HeapValidate(heap, 0, block));
	EXPECT_TRUE(HeapFree(heap, 0, block));
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
}

/* By environment */

static int environment_body(void *arg)
{
	uint8_t *block, *process_block;
	HANDLE heap;

	setenv("HEAPDEV_GFLAGS", arg, 1);
	heap = HeapCreate(0, 0, 0);
	block = HeapAlloc(heap, 0, 5);
	process_block = HeapAlloc(GetProcessHeap(), 0, 5);
	if (!block || !process_block)
		return 1;
	return !is_all(block + 5, 16, 0xAB) || !is_all(process_block + 5, 16, 0xAB);
}

TEST(environment)
{
	struct outcome outcome = run_in_child(environment_body, "htc");

	EXPECT_TRUE(ended_well(&outcome));
	EXPECT_STREQ("", outcome.text);
	outcome = run_in_child(environment_body, "htc,nonsense");
	EXPECT_TRUE(ended_well(&outcome));
	EXPECT_STREQ("libheapdev: HEAPDEV_GFLAGS: there is no setting nonsense\n",
		     outcome.text);
}

/* Faults that are made up */

static unsigned int count_failures(HANDLE heap, unsigned int nr)
{
	unsigned int failures = 0;
	void *block;

	while (nr--) {
		block = HeapAlloc(heap, 0, 10);
		failures += !block;
		HeapFree(heap, 0, block);
	}
	return failures;
}

TEST(faults)
{
	void *block;
	HANDLE heap;

	heap = with("fault=10000:0");
	ASSERT_HEAP(heap);
	preset_errors();
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, 10));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(200, count_failures(heap, 200));
	EXPECT_EQ(0, count_failures(with("fault=10000:1000000"), 200));
	EXPECT_EQ(0, count_failures(with("fault=0:0"), 200));
	EXPECT_EQ(0, count_failures(with("fault=10000"), 10));
	heap = with("fault=5000:0,seed=7");
	EXPECT_LT(800, count_failures(heap, 2000));
	EXPECT_GT(1200, count_failures(with("fault=5000:0,seed=7"), 2000));
	do {
		block = HeapAlloc(heap, 0, 10);
	} while (!block);
	memset(block, 5, 10);
	while (HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 10))
		;
	EXPECT_EQ(10, HeapSize(heap, 0, block));
	EXPECT_TRUE(is_all(block, 10, 5));
}

/* A thread that ends with the lock: of a debug heap others can have it. */
static void *lock_and_end(void *heap)
{
	HeapLock(heap);
	return NULL;
}

TEST(lock_of_ended_thread)
{
	HANDLE heap = with("htc");
	pthread_t thread;

	ASSERT_HEAP(heap);
	ASSERT_EQ(0, pthread_create(&thread, NULL, lock_and_end, heap));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 10));
	EXPECT_FALSE(HeapUnlock(heap));
	EXPECT_TRUE(HeapLock(heap));
	EXPECT_TRUE(HeapUnlock(heap));
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST(errno_without_memory)
{
	HANDLE heap = with("hfc");
	unsigned int i;

	ASSERT_HEAP(heap);
	ASSERT_NE(NULL, HeapAlloc(heap, 0, 10));
	ASSERT_EQ(0, refuse_call(SYS_mmap, ENOMEM));
	preset_errors();
	for (i = 0; i < 500; i++) {
		EXPECT_NE(NULL, HeapAlloc(heap, 0, 5000));
		EXPECT_NO_ERROR();
	}
	EXPECT_EQ(NULL, with("hfc"));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
	EXPECT_NO_ERROR();
}

TEST(errno_without_random_numbers)
{
	ASSERT_EQ(0, refuse_call(SYS_getrandom, ENOSYS));
	preset_errors();
	EXPECT_NE(NULL, with("htc"));
	EXPECT_NO_ERROR();
}

/* Destroyed, and another one in its place: nothing is left of the first. */
TEST(one_after_the_other)
{
	HANDLE heap;
	char *block;
	unsigned int i;

	for (i = 0; i < 50; i++) {
		heap = with(i % 2 ? "htc,hfc" : i % 4 ? "" : "light");
		ASSERT_HEAP(heap);
		block = HeapAlloc(heap, 0, 100);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(HeapFree(heap, 0, block));
		block = HeapAlloc(heap, 0, 100);
		EXPECT_TRUE(HeapValidate(heap, 0, block));
		EXPECT_TRUE(HeapValidate(heap, 0, NULL));
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

TEST_HARNESS_MAIN
