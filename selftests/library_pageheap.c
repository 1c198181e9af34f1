// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: page heaps, light and full. What ends the process happens in a
 * child, which leaves one line.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "library_util.h"
#include "seccomp_util.h"

#define HEADER_BYTES	64
#define TAIL_BYTES	16

static HANDLE with(const char *settings)
{
	return HeapdevCreateDebug(0, 0, 0, settings);
}

static uint32_t dword_at(const char *address)
{
	uint32_t value;

	memcpy(&value, address, sizeof(value));
	return value;
}

static uint64_t qword_at(const char *address)
{
	uint64_t value;

	memcpy(&value, address, sizeof(value));
	return value;
}

static size_t page_bytes(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Does a read of this byte work, for a call of the kernel? */
static bool is_accessible(const char *byte)
{
	static int ends[2];
	int saved = errno;
	bool works;
	char c;

	if (!ends[0] && pipe(ends))
		abort();
	works = write(ends[1], byte, 1) == 1 && read(ends[0], &c, 1) == 1;
	errno = saved;
	return works;
}

static const SIZE_T sizes[] = {
	0, 1, 15, 16, 17, 100, 4031, 4032, 4033, 4095, 4096, 4097, 10000, 65536,
	0xFE001, 2000000,
};

#define NR_SIZES	(sizeof(sizes) / sizeof(sizes[0]))

/* Tests that take longer than others need a fixture. */
FIXTURE(lengthy) {
};

FIXTURE_SETUP(lengthy)
{
}

FIXTURE_TEARDOWN(lengthy)
{
}

/* Layout */

TEST(full_layout)
{
	HANDLE heap = with("hpa");
	unsigned int i, zero;
	char *block, *end;

	ASSERT_HEAP(heap);
	preset_errors();
	for (i = 0; i < 2 * NR_SIZES; i++) {
		zero = i % 2;
		block = HeapAlloc(heap, zero ? HEAP_ZERO_MEMORY : 0, sizes[i / 2]);
		ASSERT_NE(NULL, block);
		end = block + (sizes[i / 2] + 15) / 16 * 16;
		EXPECT_EQ(0, (uintptr_t)block % 16);
		EXPECT_EQ(0, (uintptr_t)end % page_bytes());
		EXPECT_TRUE(is_all(block, sizes[i / 2], zero ? 0 : 0xC0));
		EXPECT_TRUE(is_all(block + sizes[i / 2], end - block - sizes[i / 2],
				   0xD0));
		EXPECT_EQ(0xABCDBBBB, dword_at(block - HEADER_BYTES));
		EXPECT_EQ(0xDCBABBBB, dword_at(block - 4));
		EXPECT_EQ((uintptr_t)heap, qword_at(block - HEADER_BYTES + 8));
		EXPECT_EQ(sizes[i / 2], qword_at(block - HEADER_BYTES + 16));
		EXPECT_FALSE(is_accessible(end));
		EXPECT_EQ(sizes[i / 2], HeapSize(heap, 0, block));
		EXPECT_TRUE(HeapValidate(heap, 0, block));
		memset(block, 0x5a, sizes[i / 2]);
		EXPECT_TRUE(HeapFree(heap, 0, block));
		EXPECT_FALSE(is_accessible(block));
		EXPECT_FALSE(is_accessible(block - 1));
	}
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
	EXPECT_NO_ERROR();
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST(backwards_layout)
{
	HANDLE heap = with("hpa,backwards");
	unsigned int i;
	char *block;

	ASSERT_HEAP(heap);
	for (i = 0; i < NR_SIZES; i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(0, (uintptr_t)block % page_bytes());
		EXPECT_FALSE(is_accessible(block - 1));
		EXPECT_TRUE(is_all(block, sizes[i], 0xC0));
		EXPECT_TRUE(is_all(block + sizes[i],
				   -(uintptr_t)(block + sizes[i]) % page_bytes(),
				   0xD0));
		EXPECT_EQ(sizes[i], HeapSize(heap, 0, block));
		EXPECT_TRUE(HeapFree(heap, 0, block));
		EXPECT_FALSE(is_accessible(block));
	}
}

TEST(unaligned_layout)
{
	HANDLE heap = with("hpa,unaligned");
	unsigned int i;
	char *block;

	ASSERT_HEAP(heap);
	for (i = 0; i < NR_SIZES; i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(0, (uintptr_t)(block + sizes[i]) % page_bytes());
		EXPECT_EQ(0xABCDBBBB, dword_at(block - HEADER_BYTES));
		EXPECT_EQ(0xDCBABBBB, dword_at(block - 4));
		EXPECT_FALSE(is_accessible(block + sizes[i]));
		EXPECT_EQ(sizes[i], HeapSize(heap, 0, block));
		EXPECT_TRUE(HeapFree(heap, 0, block));
	}
}

TEST(light_layout)
{
	HANDLE heap = with("light");
	unsigned int i;
	char *block;

	ASSERT_HEAP(heap);
	for (i = 0; i < NR_SIZES; i++) {
		block = HeapAlloc(heap, i % 2 ? HEAP_ZERO_MEMORY : 0, sizes[i]);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(0, (uintptr_t)block % 16);
		EXPECT_TRUE(is_all(block, sizes[i], i % 2 ? 0 : 0xE0));
		EXPECT_TRUE(is_all(block + sizes[i], TAIL_BYTES, 0xA0));
		EXPECT_EQ(0xABCDAAAA, dword_at(block - HEADER_BYTES));
		EXPECT_EQ(0xDCBAAAAA, dword_at(block - 4));
		EXPECT_EQ((uintptr_t)heap, qword_at(block - HEADER_BYTES + 8));
		EXPECT_EQ(sizes[i], qword_at(block - HEADER_BYTES + 16));
		memset(block, 0x5a, sizes[i]);
		EXPECT_TRUE(HeapFree(heap, 0, block));
		EXPECT_TRUE(is_all(block, sizes[i], 0xF0));
		EXPECT_EQ(0xABCDAAA9, dword_at(block - HEADER_BYTES));
		EXPECT_EQ(0xDCBAAAA9, dword_at(block - 4));
	}
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
}

/* Outside of the range, and as chance has it, blocks are as in a light heap. */
TEST(size_range_and_random)
{
	HANDLE heap = with("hpa,size=100-200");
	unsigned int i, nr_full = 0;
	bool full;
	char *block;

	ASSERT_HEAP(heap);
	for (i = 0; i < 300; i++) {
		block = HeapAlloc(heap, 0, i);
		full = dword_at(block - 4) == 0xDCBABBBB;
		EXPECT_EQ(i >= 100 && i <= 200, full);
		EXPECT_EQ(i, HeapSize(heap, 0, block));
		if (i % 2)
			EXPECT_TRUE(HeapFree(heap, 0, block));
	}
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
	heap = with("hpa,random=25,seed=3,backwards");
	for (i = 0; i < 1000; i++) {
		block = HeapAlloc(heap, 0, 100);
		nr_full += (uintptr_t)block % page_bytes() == 0 &&
			   !is_accessible(block - 1);
		EXPECT_EQ(100, HeapSize(heap, 0, block));
	}
	EXPECT_LT(150, nr_full);
	EXPECT_GT(350, nr_full);
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
	heap = with("hpa,random=0");
	block = HeapAlloc(heap, 0, 100);
	EXPECT_EQ(0xDCBAAAAA, dword_at(block - 4));
}

/* Rules */

TEST(realloc_moves)
{
	const char *const kinds[] = { "hpa", "light", "hpa,backwards",
				      "hpa,unaligned", "hpa,random=50" };
	unsigned int i, j, k;
	char *block, *moved;
	HANDLE heap;

	for (k = 0; k < 5; k++) {
		heap = with(kinds[k]);
		ASSERT_HEAP(heap);
		preset_errors();
		for (i = 0; i < NR_SIZES - 1; i++) {
			j = (i * 7 + 3) % (NR_SIZES - 1);
			block = HeapAlloc(heap, 0, sizes[i]);
			fill(block, sizes[i], i);
			EXPECT_EQ(NULL, HeapReAlloc(heap,
						    HEAP_REALLOC_IN_PLACE_ONLY,
						    block, sizes[i]));
			EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
			EXPECT_TRUE(is_filled(block, sizes[i], i));
			moved = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block,
					    sizes[j]);
			ASSERT_NE(NULL, moved);
			EXPECT_NE(block, moved);
			EXPECT_EQ(sizes[j], HeapSize(heap, 0, moved));
			if (sizes[i] < sizes[j]) {
				EXPECT_TRUE(is_filled(moved, sizes[i], i));
				EXPECT_TRUE(is_zero(moved + sizes[i],
						    sizes[j] - sizes[i]));
			} else {
				EXPECT_TRUE(is_filled(moved, sizes[j], i));
			}
			EXPECT_TRUE(HeapFree(heap, 0, moved));
		}
		EXPECT_TRUE(HeapValidate(heap, 0, NULL));
		EXPECT_EQ(0, summary_of(heap).cbAllocated);
		EXPECT_NO_ERROR();
	}
}

/* The maximum bounds what was asked for, not what the layout takes. */
TEST(fixed_heap)
{
	HANDLE heap = HeapdevCreateDebug(0, 0, MIB, "hpa");
	unsigned int nr = 0;
	void *block, *last = NULL;

	ASSERT_HEAP(heap);
	preset_errors();
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX + 1));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	while ((block = HeapAlloc(heap, 0, 1024))) {
		last = block;
		nr++;
	}
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(1024, nr);
	EXPECT_TRUE(HeapFree(heap, 0, last));
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 1024));
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, 1));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_EQ(NULL, HeapdevCreateDebug(0, 0, (SIZE_T)1 << 50, "hpa"));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(NULL, HeapdevCreateDebug(0, (SIZE_T)1 << 50, 0, "hpa"));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	/* An initial size above the maximum is lowered to it, as elsewhere. */
	EXPECT_NE(NULL, HeapdevCreateDebug(0, (SIZE_T)1 << 50, MIB, "hpa"));
	EXPECT_NE(NULL, HeapdevCreateDebug(0, SIZE_MAX, MIB, "light"));
	EXPECT_NO_ERROR();
}

/* A freed address is not another block's as long as the quarantine lasts. */
TEST(quarantine_order)
{
	char quarantine[64];
	char *blocks[8], *block;
	unsigned int i;
	HANDLE heap;

	snprintf(quarantine, sizeof(quarantine), "hpa,quarantine=%zu",
		 8 * page_bytes());
	heap = with(quarantine);
	ASSERT_HEAP(heap);
	for (i = 0; i < 8; i++)
		blocks[i] = HeapAlloc(heap, 0, 16);
	for (i = 0; i < 8; i++)
		ASSERT_TRUE(HeapFree(heap, 0, blocks[i]));
	/* Those of 4 blocks are kept: the last ones. */
	for (i = 0; i < 4; i++) {
		block = HeapAlloc(heap, 0, 16);
		EXPECT_NE(blocks[4], block);
		EXPECT_NE(blocks[5], block);
		EXPECT_NE(blocks[6], block);
		EXPECT_NE(blocks[7], block);
	}
}

TEST(walk)
{
	const char *const kinds[] = { "hpa", "light", "hpa,backwards",
				      "hpa,random=50" };
	static PROCESS_HEAP_ENTRY entries[1000];
	PROCESS_HEAP_ENTRY again;
	unsigned int i, k, nr, nr_busy;
	SIZE_T sum;
	char *block;
	HANDLE heap;

	for (k = 0; k < 4; k++) {
		heap = with(kinds[k]);
		for (i = 0; i < 200; i++) {
			block = HeapAlloc(heap, 0, i * 37 % 5000);
			if (i % 3 == 0)
				HeapFree(heap, 0, block);
		}
		memset(entries, 0x55, sizeof(entries));
		memset(&again, 0xaa, sizeof(again));
		entries[0].lpData = NULL;
		nr_busy = 0;
		sum = 0;
		for (nr = 0; HeapWalk(heap, &entries[nr]); nr++) {
			if (entries[nr].wFlags & PROCESS_HEAP_ENTRY_BUSY) {
				nr_busy++;
				sum += entries[nr].cbData;
				EXPECT_EQ(entries[nr].cbData,
					  HeapSize(heap, 0, entries[nr].lpData));
				EXPECT_TRUE(HeapValidate(heap, 0,
							 entries[nr].lpData));
			}
			ASSERT_GT(999, nr);
			entries[nr + 1] = entries[nr];
		}
		EXPECT_EQ(133, nr_busy);
		EXPECT_EQ(sum, summary_of(heap).cbAllocated);
		again.lpData = NULL;
		for (i = 0; i < nr; i++) {
			ASSERT_TRUE(HeapWalk(heap, &again));
			EXPECT_EQ(0, memcmp(&entries[i], &again, sizeof(again)));
		}
		EXPECT_FALSE(HeapWalk(heap, &again));
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

/* Reports */

struct hit {
	const char *name;
	const char *settings;
	int (*body)(HANDLE heap);
	int signal;
	const char *text[4];	/* parts of the line */
};

static int overrun(HANDLE heap)
{
	volatile char *block = HeapAlloc(heap, 0, 32);

	block[32] = 1;
	return 0;
}

/* Handlers of signals run on 8 KiB, below which nothing can be touched. */
static int overrun_on_small_stack(HANDLE heap)
{
	stack_t stack = { .ss_size = 8192 };
	char *mem = mmap(NULL, page_bytes() + stack.ss_size, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	stack.ss_sp = mem + page_bytes();
	if (mprotect(stack.ss_sp, stack.ss_size, PROT_READ | PROT_WRITE) ||
	    sigaltstack(&stack, NULL))
		return 2;
	return overrun(heap);
}

static int overrun_read(HANDLE heap)
{
	volatile char *block = HeapAlloc(heap, 0, 32);

	return block[40];
}

static int underrun(HANDLE heap)
{
	volatile char *block = HeapAlloc(heap, 0, 32);

	block[-1] = 1;
	return 0;
}

static int use_after_free(HANDLE heap)
{
	volatile char *block = HeapAlloc(heap, 0, 32);

	HeapFree(heap, 0, (void *)block);
	return block[5];
}

static int use_of_nothing(HANDLE heap)
{
	HeapAlloc(heap, 0, 32);
	return *((volatile char *)heap + 60 * KIB);
}

static int free_twice(HANDLE heap)
{
	char *block = HeapAlloc(heap, 0, 32);

	HeapFree(heap, 0, block);
	HeapFree(heap, 0, block);
	return 0;
}

static int size_of_freed(HANDLE heap)
{
	char *block = HeapAlloc(heap, 0, 32);

	HeapFree(heap, 0, block);
	HeapSize(heap, 0, block);
	return 0;
}

static int free_interior(HANDLE heap)
{
	char *block = HeapAlloc(heap, 0, 64);

	HeapFree(heap, 0, block + 16);
	return 0;
}

static int realloc_stack(HANDLE heap)
{
	HeapReAlloc(heap, 0, &heap, 10);
	return 0;
}

static int free_in_other_heap(HANDLE heap)
{
	HANDLE other = HeapCreate(0, 0, 0);

	HeapFree(heap, 0, HeapAlloc(other, 0, 10));
	return 0;
}

static int damage(HANDLE heap, int offset)
{
	char *block = HeapAlloc(heap, 0, 20);

	block[offset]++;
	HeapFree(heap, 0, block);
	return 0;
}

static int damage_suffix(HANDLE heap)
{
	return damage(heap, 22);
}

static int damage_end_stamp(HANDLE heap)
{
	return damage(heap, -1);
}

static int damage_start_stamp(HANDLE heap)
{
	return damage(heap, -64);
}

static int damage_header(HANDLE heap)
{
	return damage(heap, -64 + 16);
}

static int damage_prefix(HANDLE heap)
{
	return damage(heap, -100);
}

static int write_freed(HANDLE heap)
{
	char *block = HeapAlloc(heap, 0, 32);
	unsigned int i;

	HeapFree(heap, 0, block);
	block[7] = 1;
	for (i = 0; i < 1100; i++)
		HeapFree(heap, 0, HeapAlloc(heap, 0, 32));
	return 0;
}

static void *allocate(void *heap)
{
	HeapAlloc(heap, 0, 10);
	return NULL;
}

static int two_threads(HANDLE heap)
{
	HANDLE unserialised = HeapdevCreateDebug(HEAP_NO_SERIALIZE, 0, 0,
						 "hpa,no_sync");
	pthread_t thread;

	(void)heap;
	allocate(unserialised);
	pthread_create(&thread, NULL, allocate, unserialised);
	pthread_join(thread, NULL);
	return 0;
}

static int extreme_size(HANDLE heap)
{
	return HeapAlloc(heap, 0, 0x7FF00001) || GetLastError() != 8;
}

static int validate_damaged(HANDLE heap)
{
	char *block = HeapAlloc(heap, 0, 20);

	block[22]++;
	return HeapValidate(heap, 0, block) || HeapValidate(heap, 0, block);
}

static const struct hit hits[] = {
	{ "overrun", "hpa", overrun, SIGSEGV,
	  { "stop 0x13 ", "size 32, ", ", 0 bytes behind its end, write by ",
	    "; allocated by thread " } },
	{ "overrun_read", "hpa", overrun_read, SIGSEGV,
	  { "stop 0x13 ", ", 8 bytes behind its end, read by " } },
	{ "underrun", "hpa,backwards", underrun, SIGSEGV,
	  { "stop 0x13 ", ", 1 bytes before it, write by " } },
	{ "use_after_free", "hpa", use_after_free, SIGSEGV,
	  { "stop 0x13 ", ", at offset 5, read by ", "; allocated by thread ",
	    "; freed by thread " } },
	{ "use_of_nothing", "hpa", use_of_nothing, SIGSEGV,
	  { "stop 0x2 (access violation): heap " } },
	{ "free_twice", "hpa", free_twice, SIGABRT,
	  { "stop 0x7 ", "in HeapFree: ", "; allocated by ", "; freed by " } },
	{ "free_twice_light", "light", free_twice, SIGABRT,
	  { "stop 0x7 ", "in HeapFree: ", "; allocated by ", "; freed by " } },
	{ "size_of_freed", "hpa", size_of_freed, SIGABRT,
	  { "stop 0x7 ", "in HeapSize: ", "; freed by " } },
	{ "free_interior", "hpa", free_interior, SIGABRT,
	  { "stop 0x8 (corrupt block) in HeapFree", ", at offset 16" } },
	{ "free_interior_light", "light", free_interior, SIGABRT,
	  { "stop 0x8 (corrupt block) in HeapFree", ", at offset 16" } },
	{ "realloc_stack", "hpa", realloc_stack, SIGABRT,
	  { "stop 0x8 (corrupt block) in HeapReAlloc" } },
	{ "free_in_other_heap", "hpa", free_in_other_heap, SIGABRT,
	  { "stop 0x6 (wrong heap) in HeapFree", ", value 0x" } },
	{ "suffix", "hpa", damage_suffix, SIGABRT,
	  { "stop 0xf ", ", 2 bytes behind its end, value 0xd1",
	    "; allocated by thread " } },
	{ "suffix_light", "light", damage_suffix, SIGABRT,
	  { "stop 0xf ", ", 2 bytes behind its end, value 0xa1",
	    "; allocated by thread " } },
	{ "suffix_backwards", "hpa,backwards", damage_suffix, SIGABRT,
	  { "stop 0xf ", ", 2 bytes behind its end, value 0xd1" } },
	{ "end_stamp", "hpa", damage_end_stamp, SIGABRT,
	  { "stop 0x11 ", ", 4 bytes before it, value 0xddbabbbb" } },
	{ "end_stamp_light", "light", damage_end_stamp, SIGABRT,
	  { "stop 0x11 ", ", 4 bytes before it, value 0xddbaaaaa" } },
	{ "start_stamp", "hpa", damage_start_stamp, SIGABRT,
	  { "stop 0x10 ", ", 64 bytes before it, value 0xabcdbbbc" } },
	{ "header", "hpa", damage_header, SIGABRT,
	  { "stop 0xd (corrupt header)", ", 48 bytes before it, value 0x15" } },
	{ "prefix", "hpa", damage_prefix, SIGABRT,
	  { "stop 0x12 (prefix damaged)", ", 100 bytes before it" } },
	{ "write_freed", "light", write_freed, SIGABRT,
	  { "stop 0xe (freed block modified)", ", at offset 7, value 0x1",
	    "; allocated by ", "; freed by " } },
	{ "two_threads", "hpa", two_threads, SIGABRT,
	  { "stop 0x3 (unsynchronised access)" } },
	{ "extreme_size", "hpa", extreme_size, 0,
	  { "stop 0x4 (extreme size) in HeapAlloc", ", size 2146435073" } },
	{ "unaligned", "hpa,unaligned", overrun, SIGSEGV,
	  { "stop 0x13 ", ", 0 bytes behind its end" } },
	{ "small_stack", "hpa", overrun_on_small_stack, SIGSEGV,
	  { "stop 0x13 ", "; allocated by thread " } },
	{ "notraces", "hpa,notraces", overrun, SIGSEGV,
	  { "; allocated by thread " } },
};

#define NR_HITS	(sizeof(hits) / sizeof(hits[0]))

static int hit_body(void *arg)
{
	const struct hit *hit = arg;
	HANDLE heap = HeapdevCreateDebug(0, 0, 0, hit->settings);

	return heap ? hit->body(heap) : 77;
}

TEST_F_TIMEOUT(lengthy, reports, 120)
{
	struct outcome outcome;
	unsigned int i, j;

	for (i = 0; i < NR_HITS; i++) {
		outcome = run_in_child(hit_body, (void *)&hits[i]);
		TH_LOG("%s", outcome.text);
		EXPECT_TRUE(hits[i].signal ? ended_by(&outcome, hits[i].signal) :
					     ended_well(&outcome)) {
			TH_LOG("%s: status %#x", hits[i].name, outcome.status);
		}
		EXPECT_EQ(1, count_lines(outcome.text));
		EXPECT_EQ(0, strncmp(outcome.text, "libheapdev: stop ", 17));
		for (j = 0; j < 4 && hits[i].text[j]; j++) {
			EXPECT_NE(NULL, strstr(outcome.text, hits[i].text[j])) {
				TH_LOG("%s: no \"%s\"", hits[i].name,
				       hits[i].text[j]);
			}
		}
	}
}

/* The line tells where the callers are, and the library is none of them. */
TEST(report_names_callers)
{
	struct outcome outcome = run_in_child(hit_body, (void *)&hits[3]);
	char program[4096];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

	ASSERT_LT(0, length);
	program[length] = '\0';
	EXPECT_NE(NULL, strstr(outcome.text, strrchr(program, '/')));
	EXPECT_EQ(NULL, strstr(outcome.text, "libheapdev.so"));
}

TEST(validate_tells_and_goes_on)
{
	const struct hit hit = { "", "hpa", validate_damaged, 0, { NULL } };
	struct outcome outcome = run_in_child(hit_body, (void *)&hit);

	EXPECT_TRUE(ended_well(&outcome));
	EXPECT_EQ(2, count_lines(outcome.text));
}

/* What looks for the callers is loaded at the first block; here it is not there. */
TEST(errno_without_callers)
{
	HANDLE heap = with("hpa");

	ASSERT_HEAP(heap);
	ASSERT_EQ(0, refuse_call(SYS_openat, EACCES));
	preset_errors();
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 100));
	EXPECT_NO_ERROR();
}

/* Nor is there room to keep them. */
TEST(errno_without_memory_for_callers)
{
	HANDLE heap = with("hpa");

	ASSERT_HEAP(heap);
	ASSERT_EQ(0, refuse_call(SYS_mmap, ENOMEM));
	preset_errors();
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 100));
	EXPECT_NO_ERROR();
}

/* By environment: what concerns no heap, and a binary that knows nothing of it */

static int bad_handle_body(void *arg)
{
	setenv("HEAPDEV_GFLAGS", "hpa", 1);
	HeapFree(GetProcessHeap(), 0, HeapAlloc(GetProcessHeap(), 0, 10));
	HeapAlloc(arg, 0, 10);
	return 0;
}

static int destroy_process_heap_body(void *arg)
{
	(void)arg;
	setenv("HEAPDEV_GFLAGS", "hpa", 1);
	HeapDestroy(GetProcessHeap());
	return 0;
}

TEST(reports_without_heap)
{
	struct outcome outcome = run_in_child(bad_handle_body, (void *)0x10000);

	EXPECT_TRUE(ended_by(&outcome, SIGABRT));
	EXPECT_NE(NULL, strstr(outcome.text,
			       "stop 0x5 (bad heap handle) in HeapAlloc: heap 0x10000"));
	outcome = run_in_child(destroy_process_heap_body, NULL);
	EXPECT_TRUE(ended_by(&outcome, SIGABRT));
	EXPECT_NE(NULL, strstr(outcome.text, "stop 0x9 (destroying the process"));
}

/* What this program does when it is started as another one. */
__attribute__((constructor)) static void be_another_program(void)
{
	const char *action = getenv("LIBRARY_PAGEHEAP_ACTION");
	unsigned int i;

	if (!action)
		return;
	for (i = 0; i < NR_HITS; i++)
		if (!strcmp(hits[i].name, action))
			_exit(hits[i].body(HeapCreate(0, 0, 0)));
	_exit(78);
}

static int exec_body(void *arg)
{
	setenv("LIBRARY_PAGEHEAP_ACTION", arg, 1);
	setenv("HEAPDEV_GFLAGS", "hpa", 1);
	execl("/proc/self/exe", "program", NULL);
	return 79;
}

TEST(unchanged_binary)
{
	const char *const names[] = { "overrun", "use_after_free", "free_twice",
				      "prefix" };
	struct outcome outcome;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		outcome = run_in_child(exec_body, (void *)names[i]);
		EXPECT_TRUE(WIFSIGNALED(outcome.status));
		EXPECT_EQ(1, count_lines(outcome.text));
		EXPECT_EQ(0, strncmp(outcome.text, "libheapdev: stop ", 17));
	}
}

/* Signals */

static sig_atomic_t caught;
static char *own_page;

static void mend_own_page(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	caught = info->si_addr == own_page;
	mprotect(own_page, page_bytes(), PROT_READ | PROT_WRITE);
}

/* A handler of the program sees the faults that are its own. */
static int chain_body(void *arg)
{
	struct sigaction action = {
		.sa_sigaction = mend_own_page,
		.sa_flags = SA_SIGINFO,
	};
	HANDLE heap;

	sigaction(SIGSEGV, &action, NULL);
	own_page = mmap(NULL, page_bytes(), PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap = with("hpa");
	*own_page = 1;
	if (!caught)
		return 1;
	return arg ? overrun(heap) : 0;
}

static int default_body(void *arg)
{
	HANDLE heap = with("hpa");
	void *page = mmap(NULL, page_bytes(), PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!heap)
		return 1;
	if (arg)
		kill(getpid(), SIGSEGV);
	return *(volatile char *)page;
}

TEST(other_faults)
{
	struct outcome outcome = run_in_child(chain_body, NULL);

	EXPECT_TRUE(ended_well(&outcome));
	EXPECT_STREQ("", outcome.text);
	outcome = run_in_child(chain_body, &outcome);
	EXPECT_TRUE(ended_by(&outcome, SIGSEGV));
	EXPECT_EQ(1, count_lines(outcome.text));
	outcome = run_in_child(default_body, NULL);
	EXPECT_TRUE(ended_by(&outcome, SIGSEGV));
	EXPECT_STREQ("", outcome.text);
	outcome = run_in_child(default_body, &outcome);
	EXPECT_TRUE(ended_by(&outcome, SIGSEGV));
	EXPECT_STREQ("", outcome.text);
}

/* Numbers */

#define MANY_BLOCKS	200000

TEST_F_TIMEOUT(lengthy, many_live_blocks, 600)
{
	HANDLE heap = with("hpa");
	static char *blocks[MANY_BLOCKS];
	unsigned int i, nr_blocks = scaled(MANY_BLOCKS);

	ASSERT_HEAP(heap);
	for (i = 0; i < nr_blocks; i++) {
		blocks[i] = HeapAlloc(heap, 0, 32);
		ASSERT_NE(NULL, blocks[i]);
		*blocks[i] = i;
	}
	for (i = 0; i < nr_blocks; i += 1001) {
		EXPECT_EQ((char)i, *blocks[i]);
		EXPECT_FALSE(is_accessible(blocks[i] + 32));
		EXPECT_EQ(32, HeapSize(heap, 0, blocks[i]));
	}
	EXPECT_EQ(32 * nr_blocks, summary_of(heap).cbAllocated);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_HARNESS_MAIN
