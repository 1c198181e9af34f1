// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of heaps by libheapdev: reset, policies, and pages that are given back,
 * had again, and made ready.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "library_util.h"

#define BLOCK_BYTES	(4 * MIB)

FIXTURE(commit) {
	SIZE_T page;
	HANDLE heap;
	char *block;
	SIZE_T committed;
};

/* A block of whole pages, all of them touched. */
FIXTURE_SETUP(commit)
{
	self->page = sysconf(_SC_PAGESIZE);
	self->heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(self->heap);
	self->block = HeapAlloc(self->heap, 0, BLOCK_BYTES);
	ASSERT_NE(NULL, self->block);
	fill(self->block, BLOCK_BYTES, 1);
	self->committed = summary_of(self->heap).cbCommitted;
	preset_errors();
}

FIXTURE_TEARDOWN(commit)
{
}

static sigjmp_buf fault_env;

static void jump_out(int sig)
{
	siglongjmp(fault_env, sig);
}

/* The signal that reading a byte raises, or 0. */
static int touch(const char *byte)
{
	struct sigaction action = { .sa_handler = jump_out }, old;
	int sig;

	sigaction(SIGSEGV, &action, &old);
	sig = sigsetjmp(fault_env, 1);
	if (!sig)
		(void)*(const volatile char *)byte;
	sigaction(SIGSEGV, &old, NULL);
	return sig;
}

/* What the program itself may take: a page of its code, or of its stack. */
#define FEW_FAULTS	3

static long nr_faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? -1 : usage.ru_minflt;
}

/* Reset */

TEST_F(commit, reset_frees_all_blocks)
{
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits) }, before = limits;
	ULONG value = 2;
	void *block;
	int i;

	limits.HardBytes = HEAPDEV_NO_LIMIT;
	limits.SoftBytes = 8 * MIB;
	ASSERT_TRUE(HeapdevSetLimits(self->heap, HEAPDEV_LIMIT_SOFT, &limits));
	ASSERT_TRUE(HeapSetInformation(self->heap, HeapCompatibilityInformation,
				       &value, sizeof(value)));
	ASSERT_TRUE(HeapdevGetLimits(self->heap, &before));
	for (i = 0; i < 1000; i++)
		ASSERT_NE(NULL, HeapAlloc(self->heap, 0, i));
	EXPECT_TRUE(HeapdevReset(self->heap, 0));
	EXPECT_NO_ERROR();
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
	EXPECT_EQ(self->page, summary_of(self->heap).cbCommitted);
	/* What was set stays set. */
	ASSERT_TRUE(HeapdevGetLimits(self->heap, &limits));
	EXPECT_EQ(before.SoftBytes, limits.SoftBytes);
	EXPECT_EQ(before.HardBytes, limits.HardBytes);
	value = 7;
	ASSERT_TRUE(HeapQueryInformation(self->heap,
					 HeapCompatibilityInformation, &value,
					 sizeof(value), NULL));
	EXPECT_EQ(2, value);
	/* And the heap is a heap. */
	block = HeapAlloc(self->heap, HEAP_ZERO_MEMORY, 5000);
	ASSERT_NE(NULL, block);
	EXPECT_TRUE(is_zero(block, 5000));
	EXPECT_TRUE(HeapFree(self->heap, 0, block));
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(commit, reset_keeps_memory)
{
	HANDLE heap = HeapCreate(0, 0, 8 * MIB);
	char *block;
	long faults;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 64 * self->page);
	ASSERT_NE(NULL, block);
	memset(block, 1, 64 * self->page);
	ASSERT_TRUE(HeapdevReset(heap, 64 * self->page));
	block = HeapAlloc(heap, 0, 64 * self->page);
	ASSERT_NE(NULL, block);
	faults = nr_faults();
	memset(block, 2, 64 * self->page);
	EXPECT_GT(faults + FEW_FAULTS, nr_faults());
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_F(commit, reset_of_debug_heap)
{
	static const char *const kinds[] = { "full", "htc,hfc", "hpa,random=50" };
	HANDLE heap;
	unsigned int i, n;
	char *block;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		heap = HeapdevCreateDebug(0, 0, 0, kinds[i]);
		ASSERT_HEAP(heap);
		for (n = 0; n < 3000; n++) {
			block = HeapAlloc(heap, 0, n % 300);
			ASSERT_NE(NULL, block);
			if (n % 3 == 2)
				ASSERT_TRUE(HeapFree(heap, 0, block));
		}
		EXPECT_TRUE(HeapdevReset(heap, MIB));
		EXPECT_EQ(0, summary_of(heap).cbAllocated);
		block = HeapAlloc(heap, 0, 100);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(HeapFree(heap, 0, block));
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

static int overrun_and_reset(void *arg)
{
	HANDLE heap = HeapdevCreateDebug(0, 0, 0, "hva");
	volatile char *block = heap ? HeapAlloc(heap, 0, 10) : NULL;

	if (!block)
		return 3;
	block[10] = 1;
	HeapdevReset(heap, 0);
	return 0;
}

/* What HeapFree() would have found is found. */
TEST_F(commit, reset_examines_debug_heap)
{
	struct outcome outcome = run_in_child(overrun_and_reset, NULL);

	EXPECT_LT(0, count_lines(outcome.text));
}

/* Policy */

TEST_F(commit, policy_keeps_idle_pages)
{
	HANDLE heap = HeapCreate(0, 0, 64 * MIB);
	long faults = 0;
	char *block;
	int wave;

	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevSetPolicy(heap, HEAPDEV_POLICY_PAGE, 0, MIB));
	EXPECT_NO_ERROR();
	for (wave = 0; wave < 10; wave++) {
		if (wave == 1)
			faults = nr_faults();
		block = HeapAlloc(heap, 0, 100 * self->page);
		ASSERT_NE(NULL, block);
		memset(block, wave, 100 * self->page);
		ASSERT_TRUE(HeapFree(heap, 0, block));
	}
	EXPECT_GT(faults + FEW_FAULTS, nr_faults());
	ASSERT_TRUE(HeapdevSetPolicy(heap, HEAPDEV_POLICY_DEFAULT, 0, 0));
	EXPECT_EQ(self->page, summary_of(heap).cbCommitted);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_F(commit, policy_of_new_heap)
{
	HEAPDEV_OPTIONS options = {
		.cb = sizeof(options),
		.Policy = HEAPDEV_POLICY_HUGE,
	};
	HANDLE heap = HeapdevCreate(0, 0, 0, &options);

	ASSERT_HEAP(heap);
	EXPECT_TRUE(HeapdevSetPolicy(heap, HEAPDEV_POLICY_PAGE, 0, 0));
	EXPECT_TRUE(HeapdevSetPolicy(heap, HEAPDEV_POLICY_HUGE, 0, 0));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(HeapdevSetPolicy(self->heap, HEAPDEV_POLICY_HUGE, 0, 0));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_F(commit, policy_refused)
{
	EXPECT_FALSE(HeapdevSetPolicy(self->heap, 77, 0, 0));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevSetPolicy(self->heap, HEAPDEV_POLICY_WINDOW, 3, 0));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevSetPolicy(self->heap, HEAPDEV_POLICY_PAGE, 0,
				      NO_SIZE));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

/* Pages of a block */

TEST_F(commit, decommit_and_commit)
{
	const SIZE_T bytes = 100 * self->page;
	char *pages = self->block + self->page;
	SIZE_T done = 7;

	EXPECT_TRUE(HeapdevDecommit(self->heap, pages, bytes, &done));
	EXPECT_NO_ERROR();
	EXPECT_EQ(bytes, done);
	EXPECT_EQ(self->committed - bytes, summary_of(self->heap).cbCommitted);
	EXPECT_EQ(SIGSEGV, touch(pages));
	EXPECT_EQ(BLOCK_BYTES, HeapSize(self->heap, 0, self->block));
	EXPECT_TRUE(is_filled(self->block, self->page, 1));
	EXPECT_TRUE(HeapdevCommit(self->heap, pages, bytes, NULL));
	EXPECT_NO_ERROR();
	EXPECT_EQ(self->committed, summary_of(self->heap).cbCommitted);
	EXPECT_TRUE(is_zero(pages, bytes));
	EXPECT_TRUE(HeapdevDecommit(self->heap, pages, bytes, NULL));
	EXPECT_TRUE(HeapFree(self->heap, 0, self->block));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(commit, commit_over_limit)
{
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits) };
	SIZE_T done = 7;

	ASSERT_TRUE(HeapdevDecommit(self->heap, self->block, BLOCK_BYTES, NULL));
	limits.HardBytes = 3 * MIB;
	ASSERT_TRUE(HeapdevSetLimits(self->heap, HEAPDEV_LIMIT_HARD, &limits));
	EXPECT_FALSE(HeapdevCommit(self->heap, self->block, BLOCK_BYTES, NULL));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapdevDecommit(self->heap, self->block, BLOCK_BYTES, NULL));
	EXPECT_TRUE(HeapdevCommit(self->heap, self->block, BLOCK_BYTES, &done));
	EXPECT_NO_ERROR();
	EXPECT_LT(0, done);
	EXPECT_GT(BLOCK_BYTES, done);
	EXPECT_FALSE(HeapdevCommit(self->heap, self->block + done,
				   BLOCK_BYTES - done, &done));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(0, done);
}

TEST_F(commit, prefault_saves_faults)
{
	char *block = HeapAlloc(self->heap, 0, BLOCK_BYTES);
	SIZE_T done = 7;
	char *pages;
	long faults;

	ASSERT_NE(NULL, block);
	pages = (char *)(((uintptr_t)block + self->page - 1) & -self->page);
	memset(self->block, 3, BLOCK_BYTES - self->page);
	EXPECT_TRUE(HeapdevPrefault(self->heap, pages, BLOCK_BYTES - self->page,
				    &done));
	EXPECT_EQ(BLOCK_BYTES - self->page, done);
	EXPECT_NO_ERROR();
	faults = nr_faults();
	memset(pages, 3, BLOCK_BYTES - self->page);
	EXPECT_GT(faults + FEW_FAULTS, nr_faults());
}

typedef BOOL pages_call(HANDLE heap, LPVOID address, SIZE_T bytes, SIZE_T *done);

static pages_call *const pages_calls[] = {
	HeapdevCommit, HeapdevDecommit, HeapdevPrefault,
};

TEST_F(commit, bad_pages)
{
	char outside[16];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pages_calls); i++) {
		EXPECT_FALSE(pages_calls[i](self->heap, self->block + 1,
					    self->page, NULL));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(pages_calls[i](self->heap, self->block,
					    self->page + 1, NULL));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(pages_calls[i](self->heap, self->block, 0, NULL));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(pages_calls[i](self->heap, self->block +
					    1024 * BLOCK_BYTES, self->page,
					    NULL));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(pages_calls[i](outside, self->block, self->page,
					    NULL));
		EXPECT_ERROR(ERROR_INVALID_HANDLE);
		EXPECT_FALSE(pages_calls[i](NULL, self->block, self->page,
					    NULL));
		EXPECT_ERROR(ERROR_INVALID_HANDLE);
	}
	EXPECT_FALSE(HeapdevReset(NULL, 0));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapdevSetPolicy(NULL, HEAPDEV_POLICY_PAGE, 0, 0));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(self->committed, summary_of(self->heap).cbCommitted);
	EXPECT_TRUE(is_filled(self->block, BLOCK_BYTES, 1));
}

TEST_F(commit, pages_of_debug_heap)
{
	HANDLE heap = HeapdevCreateDebug(0, 0, 0, "full");
	char *block, *pages;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 64 * KIB);
	ASSERT_NE(NULL, block);
	pages = (char *)((uintptr_t)block & -self->page);
	EXPECT_FALSE(HeapdevDecommit(heap, pages, self->page, NULL));
	EXPECT_ERROR(ERROR_NOT_SUPPORTED);
	EXPECT_FALSE(HeapdevCommit(heap, pages, self->page, NULL));
	EXPECT_ERROR(ERROR_NOT_SUPPORTED);
	EXPECT_TRUE(HeapdevPrefault(heap, pages, self->page, NULL));
	EXPECT_TRUE(HeapFree(heap, 0, block));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* The page map of the block's region, without a call since. */
TEST_F(commit, page_map_is_kept_up_to_date)
{
	HEAPDEV_PAGE_MAP map = { .cb = sizeof(map) };
	const HEAPDEV_PAGE *page;

	ASSERT_TRUE(HeapdevPageMap(self->heap, self->block + 5, &map));
	EXPECT_NO_ERROR();
	ASSERT_EQ(BLOCK_BYTES / self->page, map.NumberOfPages);
	EXPECT_EQ((void *)self->block, map.Base);
	page = &map.Pages[3];
	EXPECT_EQ(HEAPDEV_PAGE_LARGE | HEAPDEV_PAGE_FIRST, map.Pages[0].Use);
	EXPECT_EQ(HEAPDEV_PAGE_LARGE, page->Use);
	EXPECT_EQ(HEAPDEV_PAGE_RESIDENT, page->State);
	ASSERT_TRUE(HeapdevDecommit(self->heap, self->block + 3 * self->page,
				    self->page, NULL));
	EXPECT_EQ(HEAPDEV_PAGE_RESERVED, *(volatile const BYTE *)&page->State);
	ASSERT_TRUE(HeapFree(self->heap, 0, self->block));
	EXPECT_EQ(SIGSEGV, touch((const char *)page));
}

/* Blocks of the front end are in spans that it took. */
TEST_F(commit, page_map_of_small_blocks)
{
	const char *mode = getenv("HEAPDEV_FRONTEND");
	HEAPDEV_PAGE_MAP map = { .cb = sizeof(map) };
	HANDLE heap = HeapCreate(0, 0, 0);
	SIZE_T i;
	char *block;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 100);
	ASSERT_NE(NULL, block);
	*block = 1;
	ASSERT_TRUE(HeapdevPageMap(heap, block, &map));
	i = (block - (char *)map.Base) / self->page;
	ASSERT_GT(map.NumberOfPages, i);
	EXPECT_EQ(mode && !strcmp(mode, "0") ? HEAPDEV_PAGE_SPAN :
					       HEAPDEV_PAGE_TAKEN,
		  map.Pages[i].Use & ~HEAPDEV_PAGE_FIRST);
	EXPECT_EQ(HEAPDEV_PAGE_RESIDENT, map.Pages[i].State);
	/* Such a heap is not kept for another one, which would have it. */
	ASSERT_TRUE(HeapFree(heap, 0, block));
	ASSERT_TRUE(HeapDestroy(heap));
	EXPECT_EQ(SIGSEGV, touch((const char *)map.Pages));
}

TEST_F(commit, page_map_refused)
{
	HEAPDEV_PAGE_MAP map = { .cb = sizeof(map) };
	char outside;

	EXPECT_FALSE(HeapdevPageMap(self->heap, NULL, NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevPageMap(self->heap, &outside, &map));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapdevPageMap(NULL, NULL, &map));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	map.cb--;
	EXPECT_FALSE(HeapdevPageMap(self->heap, NULL, &map));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST_HARNESS_MAIN
