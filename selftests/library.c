// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: heaps, blocks and their properties.
 *
 * What a call answers is compared with what Windows documents or is known to
 * do. After each call that fails the heap must be as it was.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "library_util.h"

/* Heaps of every kind, with the same tests */

FIXTURE(heap) {
	HANDLE heap;
	char *keeper;	/* a block that must survive whatever a test does */
};

#define KEEPER_BYTES	1000
#define KEEPER_SEED	200

FIXTURE_VARIANT(heap) {
	DWORD options;
	SIZE_T initial_bytes;
	SIZE_T max_bytes;
};

FIXTURE_VARIANT_ADD(heap, growable) {
};

FIXTURE_VARIANT_ADD(heap, growable_initial) {
	.initial_bytes = 300000,
};

FIXTURE_VARIANT_ADD(heap, growable_unserialized) {
	.options = HEAP_NO_SERIALIZE,
};

FIXTURE_VARIANT_ADD(heap, fixed) {
	.max_bytes = 16 * MIB,
};

FIXTURE_VARIANT_ADD(heap, fixed_full_initial) {
	.initial_bytes = 8 * MIB,
	.max_bytes = 8 * MIB,
};

FIXTURE_VARIANT_ADD(heap, fixed_unserialized) {
	.options = HEAP_NO_SERIALIZE,
	.max_bytes = 8 * MIB,
};

FIXTURE_VARIANT_ADD(heap, executable) {
	.options = HEAP_CREATE_ENABLE_EXECUTE,
};

FIXTURE_SETUP(heap)
{
	preset_errors();
	self->heap = HeapCreate(variant->options, variant->initial_bytes,
				variant->max_bytes);
	ASSERT_HEAP(self->heap);
	self->keeper = HeapAlloc(self->heap, 0, KEEPER_BYTES);
	ASSERT_NE(NULL, self->keeper);
	fill(self->keeper, KEEPER_BYTES, KEEPER_SEED);
	EXPECT_NO_ERROR();
}

FIXTURE_TEARDOWN(heap)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapValidate(self->heap, 0, self->keeper));
	EXPECT_EQ(KEEPER_BYTES, HeapSize(self->heap, 0, self->keeper));
	EXPECT_TRUE(is_filled(self->keeper, KEEPER_BYTES, KEEPER_SEED));
	EXPECT_TRUE(HeapDestroy(self->heap));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(HeapValidate(self->heap, 0, NULL));
}

/* Small, around the sizes of classes and pages, and around the threshold. */
static const SIZE_T sizes[] = {
	0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 500,
	1000, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193,
	16384, 32767, 32768, 32769, 65535, 65536, 65537, 200000, 524280, 524281,
	FIXED_BLOCK_MAX - 1, FIXED_BLOCK_MAX, FIXED_BLOCK_MAX + 1, 2 * MIB + 1,
};

#define NR_SIZES	ARRAY_SIZE(sizes)

static bool too_large(SIZE_T max_bytes, SIZE_T bytes)
{
	return max_bytes && bytes > FIXED_BLOCK_MAX;
}

TEST_F(heap, create_handle)
{
	EXPECT_EQ(0, (uintptr_t)self->heap % (64 * KIB));
	EXPECT_EQ(0, (uintptr_t)self->keeper % MEMORY_ALLOCATION_ALIGNMENT);
}

TEST_F(heap, alloc_sizes)
{
	SIZE_T i, bytes;
	char *block;

	for (i = 0; i < NR_SIZES; i++) {
		bytes = sizes[i];
		block = HeapAlloc(self->heap, 0, bytes);
		if (too_large(variant->max_bytes, bytes)) {
			EXPECT_EQ(NULL, block);
			EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
			continue;
		}
		ASSERT_NE(NULL, block);
		EXPECT_EQ(0, (uintptr_t)block % MEMORY_ALLOCATION_ALIGNMENT);
		if (bytes > FIXED_BLOCK_MAX)
			EXPECT_EQ(0, (uintptr_t)block % 64);
		EXPECT_EQ(bytes, HeapSize(self->heap, 0, block));
		EXPECT_TRUE(HeapValidate(self->heap, 0, block));
		fill(block, bytes, i);
		EXPECT_TRUE(is_filled(block, bytes, i));
		EXPECT_TRUE(HeapFree(self->heap, 0, block));
		EXPECT_NO_ERROR();
		EXPECT_FALSE(HeapValidate(self->heap, 0, block));
	}
}

TEST_F(heap, alloc_blocks_apart)
{
	char *blocks[NR_SIZES];
	SIZE_T i;

	for (i = 0; i < NR_SIZES; i++) {
		blocks[i] = HeapAlloc(self->heap, 0, sizes[i]);
		if (blocks[i]) {
			fill(blocks[i], sizes[i], i);
			continue;
		}
		ASSERT_TRUE(too_large(variant->max_bytes, sizes[i]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	}
	for (i = 0; i < NR_SIZES; i++) {
		if (!blocks[i])
			continue;
		EXPECT_TRUE(is_filled(blocks[i], sizes[i], i));
		EXPECT_EQ(sizes[i], HeapSize(self->heap, 0, blocks[i]));
		EXPECT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	}
}

TEST_F(heap, alloc_zeroed_after_use)
{
	SIZE_T i, bytes;
	char *block;

	for (i = 0; i < NR_SIZES; i++) {
		bytes = sizes[i];
		if (too_large(variant->max_bytes, bytes))
			continue;
		block = HeapAlloc(self->heap, 0, bytes);
		ASSERT_NE(NULL, block);
		fill(block, bytes, i);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
		block = HeapAlloc(self->heap, HEAP_ZERO_MEMORY, bytes);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(is_zero(block, bytes));
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
	}
	EXPECT_NO_ERROR();
}

TEST_F(heap, alloc_nothing_twice)
{
	char *one = HeapAlloc(self->heap, 0, 0);
	char *two = HeapAlloc(self->heap, HEAP_ZERO_MEMORY, 0);

	ASSERT_NE(NULL, one);
	ASSERT_NE(NULL, two);
	EXPECT_NE(one, two);
	EXPECT_EQ(0, HeapSize(self->heap, 0, one));
	EXPECT_TRUE(HeapFree(self->heap, 0, one));
	EXPECT_EQ(0, HeapSize(self->heap, 0, two));
	EXPECT_TRUE(HeapFree(self->heap, 0, two));
	EXPECT_FALSE(HeapFree(self->heap, 0, two));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST_F(heap, alloc_with_unknown_flags)
{
	char *block = HeapAlloc(self->heap, 0xfffffff2, 100);

	ASSERT_NE(NULL, block);
	EXPECT_EQ(100, HeapSize(self->heap, 0xfffffff2, block));
	EXPECT_TRUE(HeapValidate(self->heap, 0xfffffff2, block));
	block = HeapReAlloc(self->heap, 0xffffffe2, block, 90);
	ASSERT_NE(NULL, block);
	EXPECT_TRUE(HeapFree(self->heap, 0xfffffffe, block));
	EXPECT_NO_ERROR();
	/* The internal flag does not turn a fixed heap into one that grows. */
	block = HeapAlloc(self->heap, HEAP_GROWABLE, FIXED_BLOCK_MAX + 1);
	EXPECT_EQ(!variant->max_bytes, block != NULL);
	EXPECT_ERROR(block ? ERROR_PATTERN : ERROR_NOT_ENOUGH_MEMORY);
}

static const SIZE_T impossible_sizes[] = {
	SIZE_MAX, SIZE_MAX - 7, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2,
	SIZE_MAX / 2 + 1, (SIZE_T)1 << 50, (SIZE_T)1 << 47,
};

#define NR_IMPOSSIBLE	ARRAY_SIZE(impossible_sizes)

TEST_F(heap, alloc_impossible_sizes)
{
	SIZE_T i;

	for (i = 0; i < NR_IMPOSSIBLE; i++) {
		EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, impossible_sizes[i]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
		EXPECT_EQ(NULL, HeapAlloc(self->heap, HEAP_ZERO_MEMORY,
					  impossible_sizes[i]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	}
}

TEST_F(heap, realloc_impossible_sizes)
{
	SIZE_T i;

	for (i = 0; i < NR_IMPOSSIBLE; i++) {
		EXPECT_EQ(NULL, HeapReAlloc(self->heap, 0, self->keeper,
					    impossible_sizes[i]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
		EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_ZERO_MEMORY |
					    HEAP_REALLOC_IN_PLACE_ONLY,
					    self->keeper, impossible_sizes[i]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	}
}

TEST_F(heap, realloc_from_every_size_to_every_size)
{
	SIZE_T from, to, kept;
	char *block;

	for (from = 0; from < NR_SIZES; from++) {
		for (to = 0; to < NR_SIZES; to++) {
			if (too_large(variant->max_bytes, sizes[from]) ||
			    too_large(variant->max_bytes, sizes[to]))
				continue;
			block = HeapAlloc(self->heap, 0, sizes[from]);
			ASSERT_NE(NULL, block);
			kept = sizes[from] < sizes[to] ? sizes[from] :
							 sizes[to];
			fill(block, kept, from);
			block = HeapReAlloc(self->heap, 0, block, sizes[to]);
			ASSERT_NE(NULL, block);
			EXPECT_EQ(sizes[to], HeapSize(self->heap, 0, block));
			EXPECT_TRUE(is_filled(block, kept, from));
			EXPECT_TRUE(HeapFree(self->heap, 0, block));
		}
	}
	EXPECT_NO_ERROR();
}

/* Bytes that were in use before the block was shrunk are zero, too. */
TEST_F(heap, realloc_zeroes_from_old_size)
{
	static const SIZE_T full[] = { 16, 100, 1000, 5000, 40000, 300000 };
	SIZE_T i, half;
	char *block;

	for (i = 0; i < ARRAY_SIZE(full); i++) {
		half = full[i] / 2 + 1;
		block = HeapAlloc(self->heap, 0, full[i]);
		ASSERT_NE(NULL, block);
		fill(block, full[i], i);
		block = HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, block, half);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(is_filled(block, half, i));
		block = HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, block,
				    full[i]);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(is_filled(block, half, i));
		EXPECT_TRUE(is_zero(block + half, full[i] - half));
		block = HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, block,
				    3 * full[i]);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(is_filled(block, half, i));
		EXPECT_TRUE(is_zero(block + half, 3 * full[i] - half));
		EXPECT_TRUE(HeapFree(self->heap, 0, block));
	}
	EXPECT_NO_ERROR();
}

TEST_F(heap, realloc_to_nothing)
{
	char *block = HeapAlloc(self->heap, 0, 100);

	ASSERT_NE(NULL, block);
	EXPECT_EQ(block, HeapReAlloc(self->heap, 0, block, 0));
	EXPECT_EQ(0, HeapSize(self->heap, 0, block));
	EXPECT_TRUE(HeapValidate(self->heap, 0, block));
	block = HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, block, 100);
	ASSERT_NE(NULL, block);
	EXPECT_TRUE(is_zero(block, 100));
	EXPECT_TRUE(HeapFree(self->heap, 0, block));
	EXPECT_NO_ERROR();
}

TEST_F(heap, realloc_null)
{
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, 0, NULL, 100));
	EXPECT_ERROR(NO_ERROR);
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_GENERATE_EXCEPTIONS, NULL,
				    100));
	EXPECT_ERROR(NO_ERROR);
	EXPECT_EQ(NULL, HeapReAlloc(NULL, 0, NULL, 100));
	EXPECT_ERROR(NO_ERROR);
	EXPECT_EQ(KEEPER_BYTES, summary_of(self->heap).cbAllocated);
}

TEST_F(heap, realloc_in_place_shrinks_and_regrows)
{
	static const SIZE_T full[] = { 64, 1000, 30000, 300000 };
	SIZE_T i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(full); i++) {
		block = HeapAlloc(self->heap, 0, full[i]);
		ASSERT_NE(NULL, block);
		fill(block, full[i], i);
		EXPECT_EQ(block, HeapReAlloc(self->heap,
					     HEAP_REALLOC_IN_PLACE_ONLY, block,
					     full[i] / 2));
		EXPECT_EQ(full[i] / 2, HeapSize(self->heap, 0, block));
		EXPECT_EQ(block, HeapReAlloc(self->heap,
					     HEAP_REALLOC_IN_PLACE_ONLY, block,
					     full[i]));
		EXPECT_EQ(full[i], HeapSize(self->heap, 0, block));
		EXPECT_TRUE(is_filled(block, full[i] / 2, i));
		EXPECT_TRUE(HeapFree(self->heap, 0, block));
	}
	EXPECT_NO_ERROR();
}

/* Small blocks cannot grow over the threshold without moving. */
TEST_F(heap, realloc_in_place_over_threshold)
{
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_REALLOC_IN_PLACE_ONLY,
				    self->keeper, FIXED_BLOCK_MAX + 1));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_REALLOC_IN_PLACE_ONLY |
				    HEAP_ZERO_MEMORY, self->keeper, 4 * MIB));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

/*
 * Among many blocks of one size that lie side by side most have no room to
 * grow; whichever fail must be as they were.
 */
TEST_F(heap, realloc_in_place_without_room)
{
	enum { COUNT = 64, BYTES = 64, MORE = 100000 };
	unsigned int i, failed = 0;
	char *blocks[COUNT];

	for (i = 0; i < COUNT; i++) {
		blocks[i] = HeapAlloc(self->heap, 0, BYTES);
		ASSERT_NE(NULL, blocks[i]);
		fill(blocks[i], BYTES, i);
	}
	for (i = 0; i < COUNT; i++) {
		if (HeapReAlloc(self->heap, HEAP_REALLOC_IN_PLACE_ONLY,
				blocks[i], MORE))
			continue;
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
		EXPECT_EQ(BYTES, HeapSize(self->heap, 0, blocks[i]));
		failed++;
	}
	EXPECT_LE(COUNT - 1, failed);
	for (i = 0; i < COUNT; i++)
		EXPECT_TRUE(is_filled(blocks[i], BYTES, i));
}

TEST_F(heap, free_null)
{
	EXPECT_TRUE(HeapFree(self->heap, 0, NULL));
	EXPECT_TRUE(HeapFree(NULL, 0, NULL));
	EXPECT_TRUE(HeapFree((HANDLE)&self->keeper, HEAP_GENERATE_EXCEPTIONS,
			     NULL));
	EXPECT_NO_ERROR();
}

TEST_F(heap, summary_counts)
{
	HEAP_SUMMARY before = summary_of(self->heap), after;
	char *block = HeapAlloc(self->heap, 0, 12345);

	ASSERT_NE(NULL, block);
	after = summary_of(self->heap);
	EXPECT_EQ(KEEPER_BYTES, before.cbAllocated);
	EXPECT_EQ(KEEPER_BYTES + 12345, after.cbAllocated);
	EXPECT_LE(after.cbAllocated, after.cbCommitted);
	EXPECT_LE(variant->initial_bytes, after.cbCommitted);
	EXPECT_LE(after.cbCommitted, after.cbReserved);
	EXPECT_LE(after.cbReserved, after.cbMaxReserve);
	EXPECT_EQ(variant->max_bytes ? variant->max_bytes : NO_SIZE,
		  after.cbMaxReserve);
	EXPECT_EQ(sizeof(after), after.cb);
	EXPECT_TRUE(HeapFree(self->heap, 0, block));
	EXPECT_EQ(KEEPER_BYTES, summary_of(self->heap).cbAllocated);
	EXPECT_NO_ERROR();
}

TEST_F(heap, summary_of_wrong_arguments)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };

	EXPECT_FALSE(HeapSummary(self->heap, 0, NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapSummary(self->heap, HEAP_NO_SERIALIZE, &summary));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	summary.cb--;
	EXPECT_FALSE(HeapSummary(self->heap, 0, &summary));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	summary.cb = 0;
	EXPECT_FALSE(HeapSummary(self->heap, 0, &summary));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(0, summary.cbAllocated);
}

TEST_F(heap, query_fresh)
{
	ULONG value[2] = { 77, 77 };
	SIZE_T length = 77;

	EXPECT_TRUE(HeapQueryInformation(self->heap,
					 HeapCompatibilityInformation, value,
					 sizeof(value), &length));
	EXPECT_EQ(0, value[0]);
	EXPECT_EQ(77, value[1]);
	EXPECT_EQ(sizeof(ULONG), length);
	EXPECT_TRUE(HeapQueryInformation(self->heap,
					 HeapCompatibilityInformation, value,
					 sizeof(ULONG), NULL));
	EXPECT_NO_ERROR();
}

TEST_F(heap, query_wrong_arguments)
{
	SIZE_T length = 77;
	ULONG value = 77;

	EXPECT_FALSE(HeapQueryInformation(NULL, HeapCompatibilityInformation,
					  &value, sizeof(value), &length));
	EXPECT_ERROR(ERROR_NOACCESS);
	EXPECT_EQ(77, length);
	EXPECT_FALSE(HeapQueryInformation(self->heap, (HEAP_INFORMATION_CLASS)1,
					  &value, sizeof(value), &length));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapQueryInformation(self->heap, (HEAP_INFORMATION_CLASS)2,
					  &value, sizeof(value), NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapQueryInformation(self->heap,
					  HeapCompatibilityInformation, NULL,
					  sizeof(value), NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapQueryInformation(self->heap,
					  HeapCompatibilityInformation, &value,
					  sizeof(value) - 1, &length));
	EXPECT_ERROR(ERROR_INSUFFICIENT_BUFFER);
	EXPECT_EQ(sizeof(value), length);
	EXPECT_FALSE(HeapQueryInformation(self->heap,
					  HeapCompatibilityInformation, NULL, 0,
					  NULL));
	EXPECT_ERROR(ERROR_INSUFFICIENT_BUFFER);
	EXPECT_EQ(77, value);
}

static BOOL set_compatibility(HANDLE heap, ULONG value)
{
	return HeapSetInformation(heap, HeapCompatibilityInformation, &value,
				  sizeof(value));
}

static ULONG get_compatibility(HANDLE heap)
{
	ULONG value = 77;

	HeapQueryInformation(heap, HeapCompatibilityInformation, &value,
			     sizeof(value), NULL);
	return value;
}

TEST_F(heap, set_front_end)
{
	bool possible = !variant->max_bytes &&
			!(variant->options & HEAP_NO_SERIALIZE);

	EXPECT_TRUE(set_compatibility(self->heap, 0));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(set_compatibility(self->heap, 1));
	EXPECT_ERROR(ERROR_GEN_FAILURE);
	EXPECT_FALSE(set_compatibility(self->heap, 3));
	EXPECT_ERROR(ERROR_GEN_FAILURE);
	EXPECT_EQ(0, get_compatibility(self->heap));
	EXPECT_EQ(possible, set_compatibility(self->heap, 2));
	EXPECT_ERROR(possible ? ERROR_PATTERN : ERROR_INVALID_PARAMETER);
	EXPECT_EQ(possible ? 2 : 0, get_compatibility(self->heap));
	if (!possible)
		return;
	EXPECT_TRUE(set_compatibility(self->heap, 2));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(set_compatibility(self->heap, 0));
	EXPECT_ERROR(ERROR_GEN_FAILURE);
	EXPECT_FALSE(set_compatibility(self->heap, 1));
	EXPECT_ERROR(ERROR_GEN_FAILURE);
	EXPECT_EQ(2, get_compatibility(self->heap));
}

TEST_F(heap, set_wrong_arguments)
{
	HEAP_OPTIMIZE_RESOURCES_INFORMATION optimize = { .Version = 2 };
	ULONG value = 2;

	EXPECT_FALSE(HeapSetInformation(self->heap,
					HeapCompatibilityInformation, &value,
					sizeof(value) - 1));
	EXPECT_ERROR(ERROR_INSUFFICIENT_BUFFER);
	EXPECT_FALSE(HeapSetInformation(self->heap,
					HeapCompatibilityInformation, NULL,
					sizeof(value)));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapSetInformation(NULL, HeapCompatibilityInformation,
					&value, sizeof(value)));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapSetInformation(self->heap,
					HeapEnableTerminationOnCorruption,
					&value, sizeof(value)));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapSetInformation(NULL, HeapEnableTerminationOnCorruption,
					NULL, 1));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapSetInformation(self->heap, (HEAP_INFORMATION_CLASS)2,
					&value, sizeof(value)));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapSetInformation(self->heap, HeapOptimizeResources,
					&optimize, sizeof(optimize)));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	optimize.Version = HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION;
	EXPECT_FALSE(HeapSetInformation(self->heap, HeapOptimizeResources,
					&optimize, sizeof(optimize) - 1));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapSetInformation(NULL, HeapOptimizeResources, NULL,
					sizeof(optimize)));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	/* The failed termination requests had no effect. */
	EXPECT_FALSE(HeapFree(self->heap, 0, &value));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST_F(heap, set_optimize)
{
	HEAP_OPTIMIZE_RESOURCES_INFORMATION optimize = {
		.Version = HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION,
	};

	EXPECT_TRUE(HeapSetInformation(self->heap, HeapOptimizeResources,
				       &optimize, sizeof(optimize)));
	EXPECT_TRUE(HeapSetInformation(NULL, HeapOptimizeResources, &optimize,
				       sizeof(optimize)));
	EXPECT_NO_ERROR();
}

/* Creation and destruction */

TEST(create_with_unknown_options)
{
	HANDLE heap;
	char *block;

	preset_errors();
	/* Everything but exceptions, serialisation and execution. */
	heap = HeapCreate(0xfffbfffa, 0, 0);
	ASSERT_HEAP(heap);
	EXPECT_NO_ERROR();
	/* HEAP_REALLOC_IN_PLACE_ONLY was dropped, too. */
	block = HeapAlloc(heap, 0, 16);
	EXPECT_NE(NULL, HeapReAlloc(heap, 0, block, 2 * MIB));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Memory that was used before comes as it is. */
TEST(create_zeroing_is_ignored)
{
	enum { COUNT = 100, BYTES = 200 };
	HANDLE heap = HeapCreate(HEAP_ZERO_MEMORY, 0, 0);
	char *blocks[COUNT], *block;
	int i, used = 0;

	ASSERT_HEAP(heap);
	for (i = 0; i < COUNT; i++) {
		blocks[i] = HeapAlloc(heap, 0, BYTES);
		ASSERT_NE(NULL, blocks[i]);
		fill(blocks[i], BYTES, i);
	}
	for (i = 1; i < COUNT; i++)
		ASSERT_TRUE(HeapFree(heap, 0, blocks[i]));
	for (i = 1; i < COUNT; i++) {
		block = HeapAlloc(heap, 0, BYTES);
		ASSERT_NE(NULL, block);
		used += !is_zero(block, BYTES);
	}
	EXPECT_LT(0, used);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST(create_growable_flag_does_not_make_growable)
{
	HANDLE heap = HeapCreate(HEAP_GROWABLE, 0, 4 * MIB);

	ASSERT_HEAP(heap);
	preset_errors();
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX + 1));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

/* Even if it is impossible. */
TEST(create_initial_above_maximum)
{
	static const SIZE_T initial[] = {
		1 * MIB + 1, 10 * MIB, (SIZE_T)1 << 50, SIZE_MAX / 2,
		SIZE_MAX - 4095, SIZE_MAX,
	};
	HEAP_SUMMARY summary;
	HANDLE heap;
	SIZE_T i;

	preset_errors();
	for (i = 0; i < ARRAY_SIZE(initial); i++) {
		heap = HeapCreate(0, initial[i], 1 * MIB);
		ASSERT_HEAP(heap);
		EXPECT_NO_ERROR();
		summary = summary_of(heap);
		EXPECT_EQ(1 * MIB, summary.cbMaxReserve);
		EXPECT_EQ(1 * MIB, summary.cbReserved);
		EXPECT_EQ(1 * MIB, summary.cbCommitted);
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

TEST(create_reserves_multiples_of_64_kib)
{
	static const SIZE_T initial[] = { 0, 1, 64 * KIB, 64 * KIB + 1, MIB };
	SIZE_T page = sysconf(_SC_PAGESIZE), i, committed;
	HEAP_SUMMARY summary;
	HANDLE heap;

	for (i = 0; i < ARRAY_SIZE(initial); i++) {
		heap = HeapCreate(0, initial[i], 0);
		ASSERT_HEAP(heap);
		summary = summary_of(heap);
		committed = (initial[i] + page - 1) / page * page;
		EXPECT_EQ(committed ? committed : page, summary.cbCommitted);
		EXPECT_EQ(0, summary.cbReserved % (64 * KIB));
		EXPECT_LE(committed, summary.cbReserved);
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

TEST(create_maximum_below_page)
{
	SIZE_T page = sysconf(_SC_PAGESIZE);
	HANDLE heap = HeapCreate(0, 0, 1);

	ASSERT_HEAP(heap);
	EXPECT_EQ(page, summary_of(heap).cbMaxReserve);
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 16));
	preset_errors();
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, 2 * page));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

TEST(create_maximum_rounded_up)
{
	SIZE_T page = sysconf(_SC_PAGESIZE);
	HANDLE heap = HeapCreate(0, 1, 3 * page + 1);

	ASSERT_HEAP(heap);
	EXPECT_EQ(4 * page, summary_of(heap).cbMaxReserve);
}

TEST(create_impossible_sizes)
{
	static const SIZE_T pairs[][2] = {
		{ SIZE_MAX, 0 }, { SIZE_MAX - 4094, 0 }, { SIZE_MAX / 2, 0 },
		{ (SIZE_T)1 << 50, 0 }, { (SIZE_T)1 << 46, 0 },
		{ 0, SIZE_MAX }, { 0, SIZE_MAX - 4094 }, { 0, SIZE_MAX / 2 },
		{ 0, (SIZE_T)1 << 50 }, { 0, (SIZE_T)1 << 47 },
		{ SIZE_MAX, SIZE_MAX },
	};
	SIZE_T i;

	preset_errors();
	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		EXPECT_EQ(NULL, HeapCreate(0, pairs[i][0], pairs[i][1]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
		EXPECT_EQ(NULL, HeapCreate(HEAP_GENERATE_EXCEPTIONS,
					   pairs[i][0], pairs[i][1]));
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	}
	EXPECT_EQ(1, GetProcessHeaps(0, NULL));
}

TEST(create_many)
{
	enum { COUNT = 300 };
	HANDLE heaps[COUNT];
	char *blocks[COUNT];
	int i, j;

	for (i = 0; i < COUNT; i++) {
		heaps[i] = HeapCreate(0, 0, i % 2 ? 256 * KIB : 0);
		ASSERT_HEAP(heaps[i]);
		for (j = 0; j < i; j++)
			ASSERT_NE(heaps[j], heaps[i]);
		blocks[i] = HeapAlloc(heaps[i], 0, 100 + i);
		ASSERT_NE(NULL, blocks[i]);
		fill(blocks[i], 100 + i, i);
	}
	for (i = 0; i < COUNT; i += 3)
		EXPECT_TRUE(HeapDestroy(heaps[i]));
	for (i = 0; i < COUNT; i++) {
		if (i % 3 == 0) {
			EXPECT_FALSE(HeapValidate(heaps[i], 0, blocks[i]));
			continue;
		}
		EXPECT_EQ(100 + (SIZE_T)i, HeapSize(heaps[i], 0, blocks[i]));
		EXPECT_TRUE(is_filled(blocks[i], 100 + i, i));
		EXPECT_TRUE(HeapDestroy(heaps[i]));
	}
}

TEST(create_again_at_same_address)
{
	HANDLE heap, first = HeapCreate(0, 0, 1 * MIB);
	char *block;
	int i;

	ASSERT_HEAP(first);
	heap = first;
	for (i = 0; i < 1000; i++) {
		block = HeapAlloc(heap, 0, 16);
		ASSERT_NE(NULL, block);
		ASSERT_TRUE(HeapDestroy(heap));
		ASSERT_FALSE(HeapValidate(heap, 0, block));
		heap = HeapCreate(0, 0, 1 * MIB);
		ASSERT_HEAP(heap);
		ASSERT_FALSE(HeapValidate(heap, 0, block));
	}
}

TEST(destroy_twice)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	ASSERT_HEAP(heap);
	preset_errors();
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(HeapDestroy(heap));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/* The program may do with its memory what it likes, and the heap says so. */
TEST(unmapped_heap_is_invalid)
{
	HANDLE heap = HeapCreate(0, 0, 1 * MIB);
	char *block;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 100);
	ASSERT_NE(NULL, block);
	ASSERT_EQ(0, munmap(heap, 1 * MIB));
	preset_errors();
	EXPECT_FALSE(HeapValidate(heap, 0, NULL));
	EXPECT_FALSE(HeapValidate(heap, 0, block));
	EXPECT_NO_ERROR();
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, 100));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapFree(heap, 0, block));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(HeapDestroy(heap));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/* The front end knows by a number that the heap is dead, which is no handle. */
TEST(unmapped_heap_has_no_other_handle)
{
	HANDLE heap = HeapCreate(0, 0, 1 * MIB);
	uintptr_t number;
	char *block;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 10);
	ASSERT_NE(NULL, block);
	ASSERT_NE(NULL, HeapAlloc(heap, 0, 10));
	ASSERT_TRUE(HeapFree(heap, 0, block));
	ASSERT_EQ(0, munmap(heap, 1 * MIB));
	preset_errors();
	for (number = 0; number < 1000; number++) {
		EXPECT_EQ(NULL, HeapAlloc((HANDLE)number, 0, 10));
		EXPECT_ERROR(ERROR_INVALID_HANDLE);
		EXPECT_EQ(NULL, HeapAlloc((HANDLE)-number, 0, 10));
		EXPECT_ERROR(ERROR_INVALID_HANDLE);
	}
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_NO_ERROR();
}

/* Its handle may come back while it was never destroyed. */
TEST(unmapped_heap_is_replaced)
{
	HANDLE old, heap;
	char *block;

	/* Maps what the library needs for itself before the heap. */
	ASSERT_NE(NULL, GetProcessHeap());
	old = HeapCreate(0, 0, 1 * MIB);
	ASSERT_HEAP(old);
	ASSERT_EQ(0, munmap(old, 1 * MIB));
	heap = HeapCreate(0, 0, 1 * MIB);
	ASSERT_HEAP(heap);
	ASSERT_EQ(old, heap);
	EXPECT_EQ(2, GetProcessHeaps(0, NULL));
	block = HeapAlloc(heap, 0, 100);
	ASSERT_NE(NULL, block);
	EXPECT_EQ(100, HeapSize(heap, 0, block));
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_FALSE(HeapDestroy(old));
	EXPECT_EQ(1, GetProcessHeaps(0, NULL));
}

/* Fixed heaps */

FIXTURE(fixed) {
	HANDLE heap;
};

FIXTURE_SETUP(fixed)
{
	self->heap = HeapCreate(0, 0, 256 * KIB);
	ASSERT_HEAP(self->heap);
	preset_errors();
}

FIXTURE_TEARDOWN(fixed)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* Windows keeps this much for itself at most. */
TEST_F(fixed, alloc_all_but_overhead)
{
	char *block = HeapAlloc(self->heap, 0, 256 * KIB - 0xC00);

	ASSERT_NE(NULL, block);
	fill(block, 256 * KIB - 0xC00, 5);
	EXPECT_TRUE(is_filled(block, 256 * KIB - 0xC00, 5));
	EXPECT_NO_ERROR();
}

TEST_F(fixed, alloc_more_than_all)
{
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, 256 * KIB + 1));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

TEST_F(fixed, alloc_until_full)
{
	enum { BYTES = 1000, MAX = 300 };
	char *blocks[MAX];
	int i, count = 0;

	while (count < MAX) {
		blocks[count] = HeapAlloc(self->heap, 0, BYTES);
		if (!blocks[count])
			break;
		fill(blocks[count], BYTES, count);
		count++;
	}
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	/* At most a quarter may go into the layout. */
	EXPECT_LE(196, count);
	EXPECT_LE(count, 262);
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, 0, blocks[0], 50000));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	for (i = 0; i < count; i++) {
		ASSERT_EQ(BYTES, HeapSize(self->heap, 0, blocks[i]));
		ASSERT_TRUE(is_filled(blocks[i], BYTES, i));
	}
	EXPECT_TRUE(HeapFree(self->heap, 0, blocks[count / 2]));
	EXPECT_NE(NULL, HeapAlloc(self->heap, 0, BYTES));
	EXPECT_NO_ERROR();
}

TEST_F(fixed, free_all_and_fill_with_another_size)
{
	enum { MAX = 700 };
	char *blocks[MAX];
	int i, count;

	for (count = 0; count < MAX; count++) {
		blocks[count] = HeapAlloc(self->heap, 0, 400);
		if (!blocks[count])
			break;
	}
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	for (i = 0; i < count; i++)
		ASSERT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
	EXPECT_NE(NULL, HeapAlloc(self->heap, 0, 256 * KIB - 0xC00));
	EXPECT_NO_ERROR();
}

/* Code in a block */

static sigjmp_buf fault_env;
static siginfo_t fault_info;

static void handle_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	fault_info = *info;
	siglongjmp(fault_env, 1);
}

/* A function that returns 42. */
static const uint8_t code[] = {
#if defined(__x86_64__)
	0xb8, 0x2a, 0x00, 0x00, 0x00,	/* mov $42, %eax */
	0xc3,				/* ret */
#elif defined(__aarch64__)
	0x40, 0x05, 0x80, 0x52,		/* mov w0, #42 */
	0xc0, 0x03, 0x5f, 0xd6,		/* ret */
#endif
};

/* What the block's code returns, or -1 if the jump into it faults. */
static int execute(char *block)
{
	struct sigaction action = {
		.sa_sigaction = handle_fault,
		.sa_flags = SA_SIGINFO,
	};

	memcpy(block, code, sizeof(code));
	__builtin___clear_cache(block, block + sizeof(code));
	sigaction(SIGSEGV, &action, NULL);
	if (sigsetjmp(fault_env, 1))
		return -1;
	return ((int (*)(void))(void *)block)();
}

FIXTURE(exec) {
	HANDLE heap;
	char *block;
};

FIXTURE_VARIANT(exec) {
	DWORD options;
	SIZE_T max_bytes;
	SIZE_T bytes;
};

FIXTURE_VARIANT_ADD(exec, growable) {
	.options = HEAP_CREATE_ENABLE_EXECUTE,
	.bytes = 64,
};

FIXTURE_VARIANT_ADD(exec, growable_large) {
	.options = HEAP_CREATE_ENABLE_EXECUTE,
	.bytes = 4 * MIB,
};

FIXTURE_VARIANT_ADD(exec, fixed) {
	.options = HEAP_CREATE_ENABLE_EXECUTE,
	.max_bytes = 1 * MIB,
	.bytes = 64,
};

FIXTURE_VARIANT_ADD(exec, growable_without) {
	.bytes = 64,
};

FIXTURE_VARIANT_ADD(exec, growable_large_without) {
	.bytes = 4 * MIB,
};

FIXTURE_VARIANT_ADD(exec, fixed_without) {
	.max_bytes = 1 * MIB,
	.bytes = 64,
};

FIXTURE_SETUP(exec)
{
	self->heap = HeapCreate(variant->options, 0, variant->max_bytes);
	ASSERT_HEAP(self->heap);
	self->block = HeapAlloc(self->heap, 0, variant->bytes);
	ASSERT_NE(NULL, self->block);
}

FIXTURE_TEARDOWN(exec)
{
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(exec, run_code_in_block)
{
	int result = execute(self->block);

	if (variant->options & HEAP_CREATE_ENABLE_EXECUTE) {
		EXPECT_EQ(42, result);
		return;
	}
	EXPECT_EQ(-1, result);
	EXPECT_EQ(SEGV_ACCERR, fault_info.si_code);
	EXPECT_EQ((void *)self->block, fault_info.si_addr);
}

TEST_HARNESS_MAIN
