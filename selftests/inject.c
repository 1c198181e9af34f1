// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failure injection: commits fail when they are told to, as they would for want of
 * memory, and no others do.
 */
#include "kselftest_harness.h"
#include "privheap_util.h"

#define ALL_PPM		1000000
/* A block of whole pages: each needs one commit. */
#define BLOCK_BYTES	(64 * KIB)
#define NR_DRAWS	200

FIXTURE(inject) {
	int fd;
	struct heap heap;
};

FIXTURE_SETUP(inject)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 64 * MIB));
}

FIXTURE_TEARDOWN(inject)
{
	close(self->fd);
}

static long nr_injected(const struct heap *heap)
{
	struct privheap_stat stat;
	int err = heap_stat(heap, &stat);

	return err ? err : (long)stat.out_nr_injected_failures;
}

static int alloc_pages(const struct heap *heap)
{
	char *block;

	return block_alloc(heap, BLOCK_BYTES, &block);
}

TEST_F(inject, nth_commit_fails_once)
{
	struct privheap_stat before;

	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 3));
	EXPECT_EQ(0, alloc_pages(&self->heap));
	EXPECT_EQ(0, alloc_pages(&self->heap));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	EXPECT_EQ(-ENOMEM, alloc_pages(&self->heap));
	before.out_nr_injected_failures++;
	before.out_committed_peak_bytes = 0;
	{
		struct privheap_stat after;

		ASSERT_EQ(0, heap_stat(&self->heap, &after));
		after.out_committed_peak_bytes = 0;
		EXPECT_STREQ("same", stat_diff(&before, &after));
	}
	EXPECT_EQ(0, alloc_pages(&self->heap));
	EXPECT_EQ(1, nr_injected(&self->heap));
}

TEST_F(inject, calls_without_commit_do_not_count)
{
	char *blocks[8];
	size_t i;

	ASSERT_EQ(0, block_alloc(&self->heap, 64, &blocks[0]));
	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 1));
	for (i = 1; i < ARRAY_SIZE(blocks); i++)
		EXPECT_EQ(0, block_alloc(&self->heap, 64, &blocks[i]));
	EXPECT_EQ(0, block_free(&self->heap, blocks[3]));
	EXPECT_EQ(0, nr_injected(&self->heap));
	EXPECT_EQ(-ENOMEM, alloc_pages(&self->heap));
	EXPECT_EQ(1, nr_injected(&self->heap));
}

TEST_F(inject, full_rate_fails_every_commit)
{
	int i;

	ASSERT_EQ(0, heap_inject(&self->heap, .rate_ppm = ALL_PPM));
	for (i = 1; i <= 10; i++) {
		EXPECT_EQ(-ENOMEM, alloc_pages(&self->heap));
		EXPECT_EQ(i, nr_injected(&self->heap));
	}
	ASSERT_EQ(0, heap_inject(&self->heap, .rate_ppm = 0));
	EXPECT_EQ(0, alloc_pages(&self->heap));
	EXPECT_EQ(10, nr_injected(&self->heap));
}

/* A new heap's outcomes of commits, by bit. */
static void draw(struct __test_metadata *_metadata, FIXTURE_DATA(inject) *self,
		 __u64 seed, char outcomes[NR_DRAWS])
{
	struct heap heap;
	int i, err;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 64 * MIB));
	ASSERT_EQ(0, heap_inject(&heap, .rate_ppm = ALL_PPM / 4, .seed = seed));
	for (i = 0; i < NR_DRAWS; i++) {
		err = alloc_pages(&heap);
		ASSERT_TRUE(!err || err == -ENOMEM);
		outcomes[i] = !!err;
	}
	ASSERT_EQ(0, heap_destroy(&heap));
}

TEST_F(inject, seed_decides_which_commits_fail)
{
	char first[NR_DRAWS], again[NR_DRAWS], other[NR_DRAWS];
	int i, nr = 0;

	draw(_metadata, self, 7, first);
	draw(_metadata, self, 7, again);
	draw(_metadata, self, 8, other);
	EXPECT_EQ(0, memcmp(first, again, NR_DRAWS));
	EXPECT_NE(0, memcmp(first, other, NR_DRAWS));
	for (i = 0; i < NR_DRAWS; i++)
		nr += first[i];
	/* A quarter of them; the numbers are the same each time. */
	EXPECT_LT(NR_DRAWS / 8, nr);
	EXPECT_GT(NR_DRAWS / 2, nr);
}

/* More than one way is tried to get a span: a long one, a short one. */
TEST_F(inject, call_that_tries_again_fails_and_counts_once)
{
	char *block;
	int i, err = 0;

	for (i = 0; i < 2000; i++)
		ASSERT_EQ(0, block_alloc(&self->heap, 1000, &block));
	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 1));
	for (i = 0; i < 2000 && !err; i++)
		err = block_alloc(&self->heap, 1000, &block);
	EXPECT_EQ(-ENOMEM, err);
	EXPECT_EQ(1, nr_injected(&self->heap));
	EXPECT_EQ(0, block_alloc(&self->heap, 1000, &block));
}

TEST_F(inject, realloc_that_fails_keeps_block)
{
	char *block, *old;

	ASSERT_EQ(0, block_alloc(&self->heap, BLOCK_BYTES, &block));
	pattern_fill(block, BLOCK_BYTES, 3);
	old = block;
	ASSERT_EQ(0, heap_inject(&self->heap, .rate_ppm = ALL_PPM));
	EXPECT_EQ(-ENOMEM, block_realloc(&self->heap, &block, 4 * BLOCK_BYTES, 0));
	EXPECT_EQ(old, block);
	EXPECT_EQ((long)BLOCK_BYTES, block_size(&self->heap, block));
	EXPECT_TRUE(pattern_check(block, BLOCK_BYTES, 3));
	ASSERT_EQ(0, heap_inject(&self->heap));
	EXPECT_EQ(0, block_realloc(&self->heap, &block, 4 * BLOCK_BYTES, 0));
	EXPECT_TRUE(pattern_check(block, BLOCK_BYTES, 3));
}

TEST_F(inject, backed_commit_that_fails_has_no_memory)
{
	struct privheap_stat before, after;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .flags = PRIVHEAP_CREATE_F_BACKED));
	ASSERT_EQ(0, heap_inject(&heap, .rate_ppm = ALL_PPM));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	EXPECT_EQ(-ENOMEM, alloc_pages(&heap));
	ASSERT_EQ(0, heap_stat(&heap, &after));
	EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
	EXPECT_EQ(before.out_resident_bytes, after.out_resident_bytes);
	EXPECT_EQ(1, after.out_nr_injected_failures);
}

/* The quarantine gives way to want of memory, but not to a failure that is asked for. */
TEST_F(inject, quarantine_stays)
{
	struct privheap_describe describe;
	char *freed[4], *block;
	struct heap heap;
	size_t i;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .quarantine_bytes = MIB,
				 .flags = PRIVHEAP_CREATE_F_GUARD));
	for (i = 0; i < ARRAY_SIZE(freed); i++)
		ASSERT_EQ(0, block_alloc_guarded(&heap, 100, 0, 0, 0, &freed[i]));
	for (i = 0; i < ARRAY_SIZE(freed); i++)
		ASSERT_EQ(0, block_free(&heap, freed[i]));
	ASSERT_EQ(0, heap_inject(&heap, .nth = 1));
	EXPECT_EQ(-ENOMEM, block_alloc_guarded(&heap, 100, 0, 0, 0, &block));
	EXPECT_EQ(1, nr_injected(&heap));
	ASSERT_EQ(0, heap_inject(&heap, .rate_ppm = ALL_PPM));
	EXPECT_EQ(-ENOMEM, block_alloc_guarded(&heap, 100, 0, 0, 0, &block));
	EXPECT_EQ(2, nr_injected(&heap));
	EXPECT_EQ(-ENOMEM, alloc_pages(&heap));
	EXPECT_EQ(3, nr_injected(&heap));
	for (i = 0; i < ARRAY_SIZE(freed); i++) {
		ASSERT_EQ(0, heap_describe(&heap, freed[i], &describe));
		EXPECT_EQ(PRIVHEAP_DESCRIBE_FREED, describe.out_state);
	}
	ASSERT_EQ(0, heap_inject(&heap, .rate_ppm = 0));
	EXPECT_EQ(0, block_alloc_guarded(&heap, 100, 0, 0, 0, &block));
}

/* What would be given up for want of memory is not, neither here nor elsewhere. */
TEST_F(inject, idle_pages_stay)
{
	struct privheap_stat before;
	struct heap heaps[2];
	char *block;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd, .max_bytes = 4 * MIB,
					 .idle_bytes = MIB));
		ASSERT_EQ(0, block_alloc(&heaps[i], MIB / 2, &block));
		memset(block, 1, MIB / 2);
		ASSERT_EQ(0, block_free(&heaps[i], block));
	}
	ASSERT_EQ(0, heap_inject(&heaps[0], .nth = 1));
	EXPECT_EQ(-ENOMEM, block_alloc(&heaps[0], MIB, &block));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, heap_stat(&heaps[i], &before));
		EXPECT_LE(MIB / 2 - page_bytes(), before.out_idle_bytes);
	}
	EXPECT_EQ(0, block_alloc(&heaps[0], MIB, &block));
}

TEST_F(inject, limit_counts_for_more)
{
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .limit_bytes = BLOCK_BYTES / 2));
	ASSERT_EQ(0, heap_inject(&heap, .rate_ppm = ALL_PPM));
	EXPECT_EQ(-EDQUOT, alloc_pages(&heap));
	EXPECT_EQ(0, nr_injected(&heap));
}

TEST_F(inject, other_heaps_do_not_fail)
{
	struct heap other;

	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_inject(&self->heap, .rate_ppm = ALL_PPM));
	EXPECT_EQ(0, alloc_pages(&other));
	EXPECT_EQ(-ENOMEM, alloc_pages(&self->heap));
}

TEST_F(inject, rate_over_all_is_refused)
{
	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 1));
	EXPECT_EQ(-EINVAL, heap_inject(&self->heap, .rate_ppm = ALL_PPM + 1));
	EXPECT_EQ(-EINVAL, heap_inject(&self->heap, .rate_ppm = UINT32_MAX));
	/* What was asked for before still holds. */
	EXPECT_EQ(-ENOMEM, alloc_pages(&self->heap));
}

TEST_F(inject, reserved_member_is_refused)
{
	EXPECT_EQ(-EINVAL, heap_inject(&self->heap, .__reserved = 1));
}

TEST_F(inject, heap_that_is_not_there_is_refused)
{
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(-ENXIO, heap_inject(&self->heap, .nth = 1));
}

TEST_F(inject, dead_heap_is_refused)
{
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(-EIDRM, heap_inject(&self->heap, .nth = 1));
}

TEST_F(inject, no_privilege_is_needed)
{
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_EQ(0, heap_inject(&self->heap, .nth = 1));
	EXPECT_EQ(-ENOMEM, alloc_pages(&self->heap));
}

TEST_HARNESS_MAIN
