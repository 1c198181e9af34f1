// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limits of libheapdev: HeapdevCreate(), limits that change, the callback at a
 * soft limit, and the grace.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "library_util.h"

#define BLOCK_BYTES	(64 * KIB)

FIXTURE(limit) {
	HEAPDEV_OPTIONS options;
	HEAPDEV_LIMITS limits;
};

FIXTURE_SETUP(limit)
{
	self->options = (HEAPDEV_OPTIONS){
		.cb = sizeof(self->options),
		.LimitBytes = MIB,
	};
	self->limits.cb = sizeof(self->limits);
	preset_errors();
}

FIXTURE_TEARDOWN(limit)
{
}

/* Allocates until that fails; returns how many blocks there were. */
static unsigned int fill_heap(HANDLE heap, DWORD flags)
{
	unsigned int nr = 0;

	while (HeapAlloc(heap, flags, BLOCK_BYTES))
		nr++;
	return nr;
}

TEST_F(limit, create_with_limits)
{
	HANDLE heap;

	self->options.Flags = HEAPDEV_CREATE_BACKED;
	self->options.SoftBytes = MIB / 2;
	self->options.GraceBytes = MIB / 4;
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevGetLimits(heap, &self->limits));
	EXPECT_NO_ERROR();
	EXPECT_EQ(MIB, self->limits.HardBytes);
	EXPECT_EQ(MIB / 2, self->limits.SoftBytes);
	EXPECT_EQ(MIB / 4, self->limits.GraceBytes);
	EXPECT_EQ(MIB, self->limits.CeilingBytes);
	EXPECT_EQ(sysconf(_SC_PAGESIZE), (long)self->limits.UsageBytes);
	EXPECT_EQ(12, fill_heap(heap, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	ASSERT_TRUE(HeapdevGetLimits(heap, &self->limits));
	EXPECT_EQ(1, self->limits.SoftHits);
	EXPECT_LT(0, self->limits.Failures);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* What is promised at creation is charged at creation. */
TEST_F(limit, create_with_initial_size_above_limit)
{
	HANDLE heap;

	EXPECT_EQ(NULL, HeapdevCreate(0, 2 * MIB, 0, &self->options));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(NULL, HeapdevCreate(HEAP_GENERATE_EXCEPTIONS, 2 * MIB, 4 * MIB,
				      &self->options));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(1, GetProcessHeaps(0, NULL));
	heap = HeapdevCreate(0, MIB, 4 * MIB, &self->options);
	ASSERT_HEAP(heap);
	EXPECT_EQ(MIB, summary_of(heap).cbCommitted);
	/* There is nothing left but what it has. */
	EXPECT_EQ(16, fill_heap(heap, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* A heap that grows can become as large as its limit, if it has one. */
TEST_F(limit, summary_tells_limit)
{
	HANDLE heap = HeapdevCreate(0, 0, 0, &self->options);
	HEAP_SUMMARY summary;

	ASSERT_HEAP(heap);
	EXPECT_EQ(MIB, summary_of(heap).cbMaxReserve);
	self->limits.HardBytes = MIB / 2;
	ASSERT_TRUE(HeapdevSetLimits(heap, HEAPDEV_LIMIT_HARD, &self->limits));
	EXPECT_EQ(MIB / 2, summary_of(heap).cbMaxReserve);
	/* Reserved may be more, and each is at most as large as the next. */
	fill_heap(heap, 0);
	summary = summary_of(heap);
	EXPECT_LE(summary.cbAllocated, summary.cbCommitted);
	EXPECT_LE(summary.cbCommitted, MIB / 2);
	EXPECT_LE(summary.cbCommitted, summary.cbReserved);
	EXPECT_LE(summary.cbReserved, summary.cbMaxReserve);
}

/* To a program a limit is that there is no memory. */
TEST_F(limit, limit_raises_exception)
{
	HANDLE heap = HeapdevCreate(HEAP_GENERATE_EXCEPTIONS, 0, 0,
				    &self->options);
	volatile unsigned int nr = 0;
	EXCEPTION_RECORD record = { 0 };
	char *volatile block = NULL;

	ASSERT_HEAP(heap);
	HEAPDEV_TRY {
		for (;; nr++)
			block = HeapAlloc(heap, 0, BLOCK_BYTES);
	} HEAPDEV_EXCEPT {
		record = *HEAPDEV_EXCEPTION;
	} HEAPDEV_END
	EXPECT_EQ(16, nr);
	EXPECT_EQ(STATUS_NO_MEMORY, record.ExceptionCode);
	EXPECT_EQ(BLOCK_BYTES, record.ExceptionInformation[0]);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	record.ExceptionCode = 0;
	HEAPDEV_TRY {
		HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 2 * BLOCK_BYTES);
	} HEAPDEV_EXCEPT {
		record = *HEAPDEV_EXCEPTION;
	} HEAPDEV_END
	EXPECT_EQ(STATUS_NO_MEMORY, record.ExceptionCode);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(BLOCK_BYTES, HeapSize(heap, 0, block));
	/* What is given back can be had again. */
	EXPECT_TRUE(HeapFree(heap, 0, block));
	EXPECT_NE(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	EXPECT_NO_ERROR();
}

TEST_F(limit, create_without_options)
{
	HANDLE heap = HeapdevCreate(0, 0, MIB, NULL);

	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevGetLimits(heap, &self->limits));
	EXPECT_EQ(HEAPDEV_NO_LIMIT, self->limits.HardBytes);
	EXPECT_EQ(HEAPDEV_NO_LIMIT, self->limits.SoftBytes);
	EXPECT_EQ(MIB, summary_of(heap).cbMaxReserve);
}

/* A program built for a later library, which wants nothing of it. */
TEST_F(limit, create_with_longer_options)
{
	struct {
		HEAPDEV_OPTIONS options;
		char later[16];
	} longer = { .options = self->options };
	HANDLE heap;

	longer.options.cb = sizeof(longer);
	heap = HeapdevCreate(0, 0, 0, &longer.options);
	ASSERT_HEAP(heap);
	longer.later[15] = 1;
	EXPECT_EQ(NULL, HeapdevCreate(0, 0, 0, &longer.options));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST_F(limit, create_with_bad_options)
{
	const struct {
		DWORD error;
		HEAPDEV_OPTIONS options;
	} cases[] = {
		{ ERROR_INVALID_PARAMETER, { .cb = 0 } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS) - 1 } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .Flags = 0x80000000 } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .Policy = 77 } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .CgroupFd = 1 } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .CgroupFd = -1,
		    .Flags = HEAPDEV_CREATE_CGROUP } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .LimitBytes = MIB,
		    .SoftBytes = 2 * MIB } },
		{ ERROR_INVALID_PARAMETER,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .LimitBytes = MIB,
		    .GraceBytes = 2 * MIB } },
		{ ERROR_NOT_ENOUGH_MEMORY,
		  { .cb = sizeof(HEAPDEV_OPTIONS), .LimitBytes = (SIZE_T)-1 } },
	};
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		preset_errors();
		EXPECT_EQ(NULL, HeapdevCreate(0, 0, 0, &cases[i].options));
		EXPECT_ERROR(cases[i].error);
	}
}

TEST_F(limit, create_under_cgroup)
{
	HANDLE heap;

	self->options.Flags = HEAPDEV_CREATE_CGROUP;
	self->options.CgroupFd = open("/sys/fs/cgroup",
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, self->options.CgroupFd);
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	EXPECT_EQ(16, fill_heap(heap, 0));
	EXPECT_TRUE(HeapDestroy(heap));
	close(self->options.CgroupFd);
}

/* Out of reach even of this process's own look at itself from outside. */
static ssize_t look_from_outside(void *mem)
{
	struct iovec there = { mem, 1 }, here = { (char[1]){ 0 }, 1 };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0);
}

TEST_F(limit, create_secret)
{
	char *block, *beside, *open;
	HANDLE heap;

	self->options.Flags = HEAPDEV_CREATE_SECRET;
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 500);
	beside = HeapAlloc(heap, 0, 500);
	open = HeapAlloc(GetProcessHeap(), 0, 500);
	ASSERT_TRUE(block && beside && open);
	memset(block, 1, 500);
	memset(open, 1, 500);
	EXPECT_EQ(1, look_from_outside(open));
	EXPECT_EQ(-1, look_from_outside(block));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(HeapFree(heap, 0, block));
	EXPECT_EQ(0, block[0]);
	EXPECT_EQ(0, block[499]);
	EXPECT_TRUE(HeapFree(GetProcessHeap(), 0, open));
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_F(limit, set_limits)
{
	HANDLE heap = HeapdevCreate(0, 0, 0, &self->options);

	ASSERT_HEAP(heap);
	self->limits.HardBytes = MIB / 2;
	ASSERT_TRUE(HeapdevSetLimits(heap, HEAPDEV_LIMIT_HARD, &self->limits));
	EXPECT_EQ(8, fill_heap(heap, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	self->limits.HardBytes = MIB;
	ASSERT_TRUE(HeapdevSetLimits(heap, HEAPDEV_LIMIT_HARD, &self->limits));
	EXPECT_EQ(8, fill_heap(heap, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);

	self->limits.HardBytes = MIB + 4 * KIB;
	EXPECT_FALSE(HeapdevSetLimits(heap, HEAPDEV_LIMIT_HARD, &self->limits));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	self->limits.SoftBytes = MIB + 4 * KIB;
	EXPECT_FALSE(HeapdevSetLimits(heap, HEAPDEV_LIMIT_SOFT, &self->limits));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevSetLimits(heap, 0, &self->limits));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevSetLimits(heap, 8, &self->limits));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevSetLimits(heap, HEAPDEV_LIMIT_SOFT, NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevSetLimits(&heap, HEAPDEV_LIMIT_SOFT, &self->limits));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	self->limits.cb--;
	EXPECT_FALSE(HeapdevGetLimits(heap, &self->limits));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST_F(limit, limits_of_process)
{
	HANDLE heap = HeapdevCreate(0, 0, 0, NULL);

	ASSERT_HEAP(heap);
	self->limits.HardBytes = MIB;
	ASSERT_TRUE(HeapdevSetLimits(NULL, HEAPDEV_LIMIT_HARD, &self->limits));
	/* The heap itself counts as a page. */
	EXPECT_EQ(15, fill_heap(heap, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	ASSERT_TRUE(HeapdevGetLimits(NULL, &self->limits));
	EXPECT_EQ(MIB, self->limits.HardBytes);
	EXPECT_GE(MIB, self->limits.UsageBytes);
	EXPECT_LT(MIB - BLOCK_BYTES, self->limits.UsageBytes);
	EXPECT_EQ(NULL, HeapCreate(0, 2 * BLOCK_BYTES, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

#define NR_OF_OTHER	4

/* What another thread gets to free. */
struct handed_over {
	HANDLE heap;
	char *blocks[NR_OF_OTHER];
	unsigned int nr_bad;
};

static void *free_in_other_thread(void *arg)
{
	struct handed_over *over = arg;
	char **blocks = over->blocks;
	int i;

	over->nr_bad += !HeapFree(over->heap, 0, blocks[0]);
	over->nr_bad += HeapReAlloc(over->heap, 0, blocks[1], 20) != blocks[1];
	over->nr_bad += HeapSize(over->heap, 0, blocks[1]) != 20;
	for (i = 1; i < NR_OF_OTHER; i++)
		over->nr_bad += !HeapFree(over->heap, 0, blocks[i]);
	over->nr_bad += HeapFree(over->heap, 0, blocks[0]);
	return NULL;
}

/* A thread that has not used the heap before needs no memory to free what is in it. */
TEST_F(limit, other_thread_frees_at_limit)
{
	struct handed_over over = { .heap = HeapCreate(0, 0, 0) };
	pthread_t thread;
	char *last;
	int i;

	ASSERT_HEAP(over.heap);
	for (i = 0; i < NR_OF_OTHER; i++) {
		over.blocks[i] = HeapAlloc(over.heap, 0, 30);
		ASSERT_NE(NULL, over.blocks[i]);
	}
	ASSERT_TRUE(HeapdevGetLimits(NULL, &self->limits));
	self->limits.HardBytes = self->limits.UsageBytes;
	ASSERT_TRUE(HeapdevSetLimits(NULL, HEAPDEV_LIMIT_HARD, &self->limits));
	while ((last = HeapAlloc(over.heap, 0, 30)))
		;
	ASSERT_TRUE(HeapdevGetLimits(NULL, &self->limits));
	ASSERT_EQ(self->limits.HardBytes, self->limits.UsageBytes);
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_in_other_thread, &over));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, over.nr_bad);
	EXPECT_TRUE(HeapValidate(over.heap, 0, NULL));
	for (i = 0; i < NR_OF_OTHER; i++) {
		EXPECT_NE(NULL, HeapAlloc(over.heap, 0, 30));
	}
	EXPECT_EQ(NULL, HeapAlloc(over.heap, 0, 30));
}

/* Nothing that they keep would be of help. */
TEST_F(limit, full_heap_takes_nothing_from_others)
{
	HANDLE full = HeapdevCreate(0, 0, 0, &self->options);
	HANDLE other = HeapCreate(0, 0, 0);
	char *blocks[300];
	size_t usage;
	int i;

	ASSERT_HEAP(full);
	ASSERT_HEAP(other);
	fill_heap(full, 0);
	for (i = 0; i < 300; i++) {
		blocks[i] = HeapAlloc(other, 0, 300);
		ASSERT_NE(NULL, blocks[i]);
	}
	for (i = 0; i < 300; i++) {
		ASSERT_TRUE(HeapFree(other, 0, blocks[i]));
	}
	ASSERT_TRUE(HeapdevGetLimits(NULL, &self->limits));
	usage = self->limits.UsageBytes;
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(NULL, HeapAlloc(full, 0, BLOCK_BYTES));
	}
	ASSERT_TRUE(HeapdevGetLimits(NULL, &self->limits));
	EXPECT_EQ(usage, self->limits.UsageBytes);
}

/* The callback */

struct cache {
	HANDLE heap;
	DWORD scopes;
	unsigned int nr_calls;
	void *blocks[4];
};

/* What a program with a cache would do: give it up, and take less in future. */
static void CALLBACK drop_cache(HANDLE heap, DWORD scopes, void *context)
{
	struct cache *cache = context;
	unsigned int i;

	cache->heap = heap;
	cache->scopes = scopes;
	cache->nr_calls++;
	for (i = 0; i < 4; i++) {
		HeapFree(heap, 0, cache->blocks[i]);
		cache->blocks[i] = NULL;
	}
	HeapFree(heap, 0, &i);	/* sets the last error */
}

TEST_F(limit, callback_frees)
{
	struct cache cache = { .nr_calls = 0 };
	unsigned int i;
	HANDLE heap;
	char *block;

	self->options.SoftBytes = MIB / 2;
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevSetSoftCallback(heap, drop_cache, &cache));
	for (i = 0; i < 4; i++) {
		cache.blocks[i] = HeapAlloc(heap, 0, BLOCK_BYTES);
		ASSERT_NE(NULL, cache.blocks[i]);
	}
	EXPECT_EQ(0, cache.nr_calls);
	block = HeapAlloc(heap, 0, 5 * BLOCK_BYTES);
	ASSERT_NE(NULL, block);
	EXPECT_NO_ERROR();
	EXPECT_EQ(1, cache.nr_calls);
	EXPECT_EQ(heap, cache.heap);
	EXPECT_EQ(HEAPDEV_SOFT_HEAP, cache.scopes);
	EXPECT_EQ(5 * BLOCK_BYTES, HeapSize(heap, 0, block));
	ASSERT_TRUE(HeapdevGetLimits(heap, &self->limits));
	EXPECT_GT(MIB / 2, self->limits.UsageBytes);
	/* The next time, by HeapReAlloc(). */
	block = HeapReAlloc(heap, 0, block, 10 * BLOCK_BYTES);
	EXPECT_NE(NULL, block);
	EXPECT_EQ(2, cache.nr_calls);
	/* And then no more. */
	ASSERT_TRUE(HeapdevSetSoftCallback(heap, NULL, NULL));
	ASSERT_TRUE(HeapFree(heap, 0, block));
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 10 * BLOCK_BYTES));
	EXPECT_EQ(2, cache.nr_calls);
}

static void CALLBACK raise_soft(HANDLE heap, DWORD scopes, void *context)
{
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits) };
	unsigned int *nr_calls = context;

	++*nr_calls;
	HeapdevGetLimits(heap, &limits);
	limits.SoftBytes += 2 * BLOCK_BYTES;
	HeapdevSetLimits(heap, HEAPDEV_LIMIT_SOFT, &limits);
}

TEST_F(limit, callback_raises_its_limit)
{
	unsigned int nr_calls = 0;
	HANDLE heap;

	self->options.SoftBytes = 8 * BLOCK_BYTES;
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevSetSoftCallback(heap, raise_soft, &nr_calls));
	EXPECT_EQ(16, fill_heap(heap, 0));
	/* At 8, 10, 12, and 14 blocks; 16 are the hard limit, which is not crossed. */
	EXPECT_EQ(4, nr_calls);
	ASSERT_TRUE(HeapdevGetLimits(heap, &self->limits));
	EXPECT_EQ(MIB, self->limits.SoftBytes);
}

static void CALLBACK allocate(HANDLE heap, DWORD scopes, void *context)
{
	unsigned int *nr_calls = context;
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits) };

	++*nr_calls;
	HeapdevGetLimits(heap, &limits);
	limits.SoftBytes = limits.UsageBytes;
	HeapdevSetLimits(heap, HEAPDEV_LIMIT_SOFT, &limits);
	HeapAlloc(heap, 0, BLOCK_BYTES);
}

TEST_F(limit, callback_is_not_nested)
{
	unsigned int nr_calls = 0;
	HANDLE heap;

	self->options.SoftBytes = BLOCK_BYTES;
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevSetSoftCallback(heap, allocate, &nr_calls));
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 2 * BLOCK_BYTES));
	EXPECT_EQ(1, nr_calls);
	EXPECT_FALSE(HeapdevSetSoftCallback(&heap, NULL, NULL));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/* A heap in the place of one with a callback has none. */
TEST_F(limit, callback_ends_with_its_heap)
{
	unsigned int nr_calls = 0, i;
	HANDLE heap, first = NULL;

	self->options.SoftBytes = BLOCK_BYTES;
	/* With the first one, the library's own memory gets its place. */
	for (i = 0; i < 3; i++) {
		heap = HeapdevCreate(0, 0, 0, &self->options);
		ASSERT_HEAP(heap);
		if (i == 1) {
			ASSERT_TRUE(HeapdevSetSoftCallback(heap, raise_soft,
							   &nr_calls));
			first = heap;
		}
		EXPECT_NE(NULL, HeapAlloc(heap, 0, 2 * BLOCK_BYTES));
		EXPECT_EQ(i > 0, nr_calls);
		ASSERT_TRUE(HeapDestroy(heap));
	}
	EXPECT_EQ(first, heap);
}

/* The grace */

static void *allocate_in_other_thread(void *heap)
{
	return HeapAlloc(heap, 0, BLOCK_BYTES);
}

TEST_F(limit, grace)
{
	pthread_t thread;
	HANDLE heap;
	void *block;

	self->options.GraceBytes = 4 * BLOCK_BYTES;
	heap = HeapdevCreate(0, 0, 0, &self->options);
	ASSERT_HEAP(heap);
	EXPECT_EQ(12, fill_heap(heap, 0));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	block = HeapAlloc(heap, HEAPDEV_GRACE, BLOCK_BYTES);
	ASSERT_NE(NULL, block);
	EXPECT_EQ(NULL, HeapReAlloc(heap, 0, block, 2 * BLOCK_BYTES));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	/* It moves, so there are three blocks for a moment. */
	block = HeapReAlloc(heap, HEAPDEV_GRACE, block, 2 * BLOCK_BYTES);
	ASSERT_NE(NULL, block);

	/* For this thread, and to the last leave. */
	HeapdevGraceEnter();
	HeapdevGraceEnter();
	EXPECT_NE(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	HeapdevGraceLeave();
	ASSERT_EQ(0, pthread_create(&thread, NULL, allocate_in_other_thread,
				    heap));
	ASSERT_EQ(0, pthread_join(thread, &block));
	EXPECT_EQ(NULL, block);
	EXPECT_NE(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	HeapdevGraceLeave();
	HeapdevGraceLeave();	/* one too many does nothing */
	ASSERT_TRUE(HeapFree(heap, 0, NULL));
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

TEST_F(limit, injected_failures)
{
	HANDLE heap = HeapCreate(0, 0, 16 * MIB);

	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevInjectFailures(heap, 2, 0, 0));
	EXPECT_NO_ERROR();
	EXPECT_NE(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_NE(NULL, HeapAlloc(heap, 0, BLOCK_BYTES));
	EXPECT_FALSE(HeapdevInjectFailures(heap, 0, 1000001, 0));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_FALSE(HeapdevInjectFailures(heap, 1, 0, 0));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_HARNESS_MAIN
