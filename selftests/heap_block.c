// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks: what alloc, size, realloc and free promise, for the sizes at which
 * something changes, and the books that stat shows of it.
 */
#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(block) {
	int fd;
	size_t page;
	struct privheap_info info;
};

FIXTURE_SETUP(block)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, privheap_info(self->fd, &self->info));
}

FIXTURE_TEARDOWN(block)
{
	close(self->fd);
}

/* The sizes of blocks at which something changes, or might. */
static size_t edge_sizes[64];
static unsigned int nr_edge_sizes;

static void edge_sizes_init(const struct privheap_info *info)
{
	size_t edges[] = {
		1, 16, 64, 128, 1024, info->out_page_bytes,
		info->out_slot_max_bytes, 64 * KIB,
		info->out_region_block_bytes, MIB, 4 * MIB,
	};
	unsigned int i;
	int step;

	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		for (step = -1; step <= 1; step++)
			edge_sizes[nr_edge_sizes++] = edges[i] + step;
	}
}

/* Alloc and size */

TEST_F(block, alloc_sizes)
{
	size_t bytes, capacity;
	struct heap heap;
	unsigned int i;
	char *block;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < nr_edge_sizes; i++) {
		ASSERT_EQ(0, block_alloc(&heap, edge_sizes[i], &block));
		EXPECT_EQ(0, (uintptr_t)block % 16);
		ASSERT_EQ(0, block_size_full(&heap, block, &bytes, &capacity));
		EXPECT_EQ(edge_sizes[i], bytes);
		EXPECT_LE(bytes, capacity);
		pattern_fill(block, bytes, i);
		EXPECT_TRUE(pattern_check(block, bytes, i));
		if (i % 2) {
			ASSERT_EQ(0, block_free(&heap, block));
		}
	}
}

TEST_F(block, alloc_every_small_size)
{
	enum { NR = 1200 };
	static char *blocks[NR];
	struct privheap_stat stat;
	struct heap heap;
	size_t bytes;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (bytes = 0; bytes < NR; bytes++) {
		ASSERT_EQ(0, block_alloc(&heap, bytes, &blocks[bytes]));
		EXPECT_EQ(0, (uintptr_t)blocks[bytes] % 16);
		pattern_fill(blocks[bytes], bytes, bytes);
	}
	for (bytes = 0; bytes < NR; bytes++) {
		EXPECT_EQ((long)bytes, block_size(&heap, blocks[bytes]));
		EXPECT_TRUE(pattern_check(blocks[bytes], bytes, bytes));
	}
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(NR, stat.out_nr_blocks);
	EXPECT_EQ(NR * (NR - 1) / 2, stat.out_allocated_bytes);
}

/* Blocks without a byte are still blocks, each with an address of its own. */
TEST_F(block, alloc_no_bytes)
{
	struct privheap_stat stat;
	char *blocks[3];
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, block_alloc(&heap, 0, &blocks[i]));
	}
	EXPECT_NE(blocks[0], blocks[1]);
	EXPECT_NE(blocks[0], blocks[2]);
	EXPECT_NE(blocks[1], blocks[2]);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(3, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, block_size(&heap, blocks[i]));
		EXPECT_EQ(0, block_free(&heap, blocks[i]));
	}
}

TEST_F(block, alloc_alignment)
{
	const size_t sizes[] = { 0, 1, 100, 5000, 100000, 2 * MIB };
	struct heap heap;
	unsigned int i;
	size_t align;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (align = 1; align <= self->info.out_align_max_bytes; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			ASSERT_EQ(0, block_alloc_with(&heap, sizes[i], align, 0,
						      &block));
			EXPECT_EQ(0, (uintptr_t)block % align);
			EXPECT_EQ(0, (uintptr_t)block % 16);
			EXPECT_EQ((long)sizes[i], block_size(&heap, block));
			pattern_fill(block, sizes[i], i);
			if (i % 2) {
				ASSERT_EQ(0, block_free(&heap, block));
			}
		}
	}
}

/* In a fixed heap a large alignment has to be found inside. */
TEST_F(block, alloc_alignment_fixed)
{
	struct heap heap;
	size_t align;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 8 * MIB));
	for (align = 16; align <= self->info.out_align_max_bytes; align *= 2) {
		ASSERT_EQ(0, block_alloc_with(&heap, 3 * self->page, align, 0,
					      &block));
		EXPECT_EQ(0, (uintptr_t)block % align);
		pattern_fill(block, 3 * self->page, align);
	}
}

TEST_F(block, alloc_alignment_refused)
{
	const struct {
		__u64 align;
		int err;
	} cases[] = {
		{ 3, EINVAL },
		{ 24, EINVAL },
		{ self->page + 1, EINVAL },
		{ self->info.out_align_max_bytes + 16, EINVAL },
		{ UINT64_MAX, EINVAL },
		{ self->info.out_align_max_bytes * 2, EOPNOTSUPP },
		{ (__u64)1 << 63, EOPNOTSUPP },
	};
	struct privheap_stat before;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-cases[i].err,
			  block_alloc_with(&heap, 64, cases[i].align, 0, &block));
		EXPECT_HEAP_STAT(&before, &heap);
	}
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* Memory that was used before is cleared, all of the requested size. */
TEST_F(block, alloc_zero_recycled)
{
	struct heap heap;
	unsigned int i, round;
	char *block;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB));
	for (i = 0; i < nr_edge_sizes; i++) {
		for (round = 0; round < 2; round++) {
			ASSERT_EQ(0, block_alloc_with(&heap, edge_sizes[i], 0,
						      PRIVHEAP_ALLOC_F_ZERO,
						      &block));
			EXPECT_TRUE(all_bytes(block, edge_sizes[i], 0));
			memset(block, 0xff, edge_sizes[i]);
			ASSERT_EQ(0, block_free(&heap, block));
		}
	}
}

/* A block can grow to its capacity where it is, and that costs nothing. */
TEST_F(block, capacity_is_free)
{
	struct privheap_stat before, after;
	size_t bytes, capacity;
	struct heap heap;
	char *block, *old;
	unsigned int i;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < nr_edge_sizes; i++) {
		ASSERT_EQ(0, block_alloc(&heap, edge_sizes[i], &block));
		ASSERT_EQ(0, block_size_full(&heap, block, &bytes, &capacity));
		ASSERT_EQ(0, heap_stat(&heap, &before));
		old = block;
		EXPECT_EQ(0, block_realloc(&heap, &block, capacity,
					   PRIVHEAP_REALLOC_F_IN_PLACE));
		EXPECT_EQ(old, block);
		ASSERT_EQ(0, heap_stat(&heap, &after));
		before.out_allocated_bytes += capacity - bytes;
		EXPECT_STREQ("same", stat_diff(&before, &after));
		memset(block, 0x5a, capacity);
		ASSERT_EQ(0, block_size_full(&heap, block, &bytes, &capacity));
		EXPECT_EQ(capacity, bytes);
	}
}

/* Realloc */

/* Up and down through all kinds of blocks; what fits of the contents stays. */
TEST_F_TIMEOUT(block, realloc_keeps_contents, 120)
{
	struct privheap_stat stat;
	char *block, *other;
	struct heap heap;
	unsigned int i, j;
	size_t old, new;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < nr_edge_sizes; i++) {
		for (j = i % 3; j < nr_edge_sizes; j += 3) {
			old = edge_sizes[i];
			new = edge_sizes[j];
			ASSERT_EQ(0, block_alloc(&heap, old, &block));
			/* In the way of a block that grows. */
			ASSERT_EQ(0, block_alloc(&heap, old, &other));
			pattern_fill(block, old, i);
			ASSERT_EQ(0, block_realloc(&heap, &block, new, 0));
			EXPECT_EQ(0, (uintptr_t)block % 16);
			EXPECT_EQ((long)new, block_size(&heap, block));
			EXPECT_TRUE(pattern_check(block, old < new ? old : new,
						  i));
			ASSERT_EQ(0, heap_stat(&heap, &stat));
			EXPECT_EQ(old + new, stat.out_allocated_bytes);
			EXPECT_EQ(2, stat.out_nr_blocks);
			memset(block, 0xee, new);
			ASSERT_EQ(0, block_free(&heap, block));
			ASSERT_EQ(0, block_free(&heap, other));
		}
	}
}

TEST_F(block, realloc_to_same_size)
{
	struct privheap_stat before;
	struct heap heap;
	char *block, *old;
	unsigned int i;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < nr_edge_sizes; i++) {
		ASSERT_EQ(0, block_alloc(&heap, edge_sizes[i], &block));
		ASSERT_EQ(0, heap_stat(&heap, &before));
		old = block;
		EXPECT_EQ(0, block_realloc(&heap, &block, edge_sizes[i], 0));
		EXPECT_EQ(old, block);
		EXPECT_HEAP_STAT(&before, &heap);
	}
}

TEST_F(block, realloc_to_no_bytes)
{
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;
	char *block;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < nr_edge_sizes; i++) {
		ASSERT_EQ(0, block_alloc(&heap, edge_sizes[i], &block));
		EXPECT_EQ(0, block_realloc(&heap, &block, 0, 0));
		EXPECT_EQ(0, block_size(&heap, block));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(1, stat.out_nr_blocks);
		EXPECT_EQ(0, stat.out_allocated_bytes);
		EXPECT_EQ(0, block_free(&heap, block));
	}
}

/* A block of pages that shrinks stays where it is and gives pages back. */
TEST_F(block, realloc_shrink_gives_pages_back)
{
	size_t page = self->page;
	const size_t old_sizes[] = { 64 * page, 2 * MIB };
	struct privheap_stat before, after;
	char *block, *first, *old;
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	/* Takes the initial pages, which are never given back. */
	ASSERT_EQ(0, block_alloc(&heap, 32 * KIB, &first));
	for (i = 0; i < ARRAY_SIZE(old_sizes); i++) {
		ASSERT_EQ(0, block_alloc(&heap, old_sizes[i], &block));
		pattern_fill(block, old_sizes[i], i);
		ASSERT_TRUE(block != heap.base);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		old = block;
		ASSERT_EQ(0, block_realloc(&heap, &block, 40 * page - 5,
					   PRIVHEAP_REALLOC_F_IN_PLACE));
		EXPECT_EQ(old, block);
		EXPECT_TRUE(pattern_check(block, 40 * page - 5, i));
		ASSERT_EQ(0, heap_stat(&heap, &after));
		before.out_committed_bytes -= old_sizes[i] - 40 * page;
		before.out_resident_bytes -= old_sizes[i] - 40 * page;
		before.out_allocated_bytes -= old_sizes[i] - (40 * page - 5);
		EXPECT_STREQ("same", stat_diff(&before, &after));
		EXPECT_EQ(SIGSEGV, touch_read(block + 40 * page));
	}
}

/* From the old requested size on, even where the block once was longer. */
TEST_F(block, realloc_zero)
{
	const struct {
		size_t first, shrunk, last;
	} cases[] = {
		{ 100, 100, 2000 },
		{ 200, 50, 200 },
		{ 3 * self->page, self->page + 1, 3 * self->page },
		{ 100 * KIB, 50 * KIB + 7, 200 * KIB },
		{ 100 * KIB, 10, 100 * KIB },
		{ 2 * MIB, MIB + 3, 2 * MIB },
		{ 3 * MIB, 100, 2 * MIB },
	};
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, block_alloc(&heap, cases[i].first, &block));
		memset(block, 0xff, cases[i].first);
		ASSERT_EQ(0, block_realloc(&heap, &block, cases[i].shrunk, 0));
		EXPECT_TRUE(all_bytes(block, cases[i].shrunk, (char)0xff));
		ASSERT_EQ(0, block_realloc(&heap, &block, cases[i].last,
					   PRIVHEAP_REALLOC_F_ZERO));
		EXPECT_TRUE(all_bytes(block, cases[i].shrunk, (char)0xff));
		EXPECT_TRUE(all_bytes(block + cases[i].shrunk,
				      cases[i].last - cases[i].shrunk, 0));
	}
}

/* Where the block was used to its capacity and the rest of the slot is dirty. */
TEST_F(block, realloc_zero_to_capacity)
{
	size_t bytes, capacity;
	struct heap heap;
	unsigned int i;
	char *block;

	edge_sizes_init(&self->info);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < nr_edge_sizes; i++) {
		ASSERT_EQ(0, block_alloc(&heap, edge_sizes[i], &block));
		ASSERT_EQ(0, block_size_full(&heap, block, &bytes, &capacity));
		memset(block, 0xff, capacity);
		ASSERT_EQ(0, block_realloc(&heap, &block, capacity,
					   PRIVHEAP_REALLOC_F_ZERO));
		EXPECT_TRUE(all_bytes(block, bytes, (char)0xff));
		EXPECT_TRUE(all_bytes(block + bytes, capacity - bytes, 0));
	}
}

TEST_F(block, realloc_in_place_refused)
{
	const size_t sizes[] = { 0, 10, 500, 5000, 16000, 100 * KIB, 900 * KIB };
	struct privheap_stat before;
	struct heap heap;
	char *block, *old;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &block));
		pattern_fill(block, sizes[i], i);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		old = block;
		EXPECT_EQ(-ENOSPC,
			  block_realloc(&heap, &block, 70 * MIB,
					PRIVHEAP_REALLOC_F_IN_PLACE));
		EXPECT_EQ(old, block);
		EXPECT_HEAP_STAT(&before, &heap);
		EXPECT_EQ((long)sizes[i], block_size(&heap, block));
		EXPECT_TRUE(pattern_check(block, sizes[i], i));
	}
}

/* The rest of a fixed heap is free, and so it can be had in place. */
TEST_F(block, realloc_in_place_grows)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block, *old;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB));
	ASSERT_EQ(0, block_alloc(&heap, 64 * KIB, &block));
	pattern_fill(block, 64 * KIB, 1);
	old = block;
	ASSERT_EQ(0, block_realloc(&heap, &block, 256 * KIB,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	EXPECT_EQ(old, block);
	EXPECT_TRUE(pattern_check(block, 64 * KIB, 1));
	pattern_fill(block, 256 * KIB, 2);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(256 * KIB, stat.out_allocated_bytes);
	EXPECT_LE(256 * KIB, stat.out_committed_bytes);
	EXPECT_GE(256 * KIB + self->page, stat.out_committed_bytes);
}

TEST_F(block, realloc_failed_keeps_block)
{
	const size_t sizes[] = { 64, 4000, 16000, 64 * KIB };
	struct privheap_stat before;
	struct heap heap;
	char *block, *old;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		ASSERT_EQ(-ENOSPC, heap_fill(&heap, sizes[i], &block));
		pattern_fill(block, sizes[i], i);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		old = block;
		EXPECT_EQ(-ENOSPC, block_realloc(&heap, &block, 128 * KIB, 0));
		EXPECT_EQ(-ENOSPC, block_realloc(&heap, &block, 128 * KIB,
						 PRIVHEAP_REALLOC_F_ZERO));
		EXPECT_EQ(-ENOSPC, block_realloc(&heap, &block, 2 * MIB, 0));
		EXPECT_EQ(old, block);
		EXPECT_HEAP_STAT(&before, &heap);
		EXPECT_EQ((long)sizes[i], block_size(&heap, block));
		EXPECT_TRUE(pattern_check(block, sizes[i], i));
	}
}

TEST_F(block, realloc_over_limit)
{
	const size_t sizes[] = { 64, 4000, 64 * KIB };
	struct privheap_stat before, after;
	struct heap heap;
	char *block, *old;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
					 .limit_bytes = MIB));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &block));
		pattern_fill(block, sizes[i], i);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		old = block;
		EXPECT_EQ(-EDQUOT, block_realloc(&heap, &block, 2 * MIB, 0));
		EXPECT_EQ(old, block);
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_LT(0, after.out_nr_limit_failures);
		before.out_nr_limit_failures = after.out_nr_limit_failures;
		EXPECT_STREQ("same", stat_diff(&before, &after));
		EXPECT_EQ((long)sizes[i], block_size(&heap, block));
		EXPECT_TRUE(pattern_check(block, sizes[i], i));
	}
}

/* Free */

/* What a block of pages was charged goes back with it, to the last page. */
TEST_F(block, free_gives_pages_back)
{
	const size_t sizes[] = { 17 * KIB, 100000, 512 * KIB, 1000 * KIB };
	struct privheap_stat before, full;
	size_t bytes;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 8 * MIB));
	/* Takes the initial page, which is never given back. */
	ASSERT_EQ(0, block_alloc(&heap, 32 * KIB, &block));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bytes = round_up(sizes[i], self->page);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &block));
		ASSERT_TRUE(block != heap.base);
		memset(block, 1, sizes[i]);
		ASSERT_EQ(0, heap_stat(&heap, &full));
		EXPECT_EQ(before.out_committed_bytes + bytes,
			  full.out_committed_bytes);
		EXPECT_EQ(before.out_resident_bytes + bytes,
			  full.out_resident_bytes);
		EXPECT_EQ(before.out_allocated_bytes + sizes[i],
			  full.out_allocated_bytes);
		EXPECT_EQ(before.out_nr_blocks + 1, full.out_nr_blocks);
		ASSERT_EQ(0, block_free(&heap, block));
		before.out_committed_peak_bytes = full.out_committed_peak_bytes;
		EXPECT_HEAP_STAT(&before, &heap);
	}
}

/* A block with a region of its own takes that with it. */
TEST_F(block, free_gives_region_back)
{
	size_t sizes[] = { self->info.out_region_block_bytes + 1, 4 * MIB };
	struct privheap_stat before, full;
	struct heap heap;
	unsigned int i;
	size_t bytes;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bytes = round_up(sizes[i], self->page);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &block));
		memset(block, 1, sizes[i]);
		ASSERT_EQ(0, heap_stat(&heap, &full));
		EXPECT_EQ(2, full.out_nr_regions);
		EXPECT_EQ(2, maps_heaps());
		EXPECT_LE(before.out_reserved_bytes + bytes,
			  full.out_reserved_bytes);
		EXPECT_EQ(before.out_committed_bytes + bytes,
			  full.out_committed_bytes);
		EXPECT_EQ(before.out_resident_bytes + bytes,
			  full.out_resident_bytes);
		ASSERT_EQ(0, block_free(&heap, block));
		before.out_committed_peak_bytes = full.out_committed_peak_bytes;
		EXPECT_HEAP_STAT(&before, &heap);
		EXPECT_EQ(1, maps_heaps());
		EXPECT_EQ(SIGSEGV, touch_read(block));
	}
}

/* Blocks come and go; the initial pages stay committed and resident. */
TEST_F(block, free_keeps_initial_pages)
{
	struct privheap_stat before, after;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .initial_bytes = 128 * KIB,
				 .max_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	ASSERT_EQ(0, block_alloc(&heap, MIB, &block));
	memset(block, 1, MIB);
	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, heap_stat(&heap, &after));
	before.out_committed_peak_bytes = MIB;
	EXPECT_STREQ("same", stat_diff(&before, &after));
	EXPECT_EQ(0, touch_write(heap.base));
	EXPECT_EQ(0, touch_write(heap.base + 128 * KIB - 1));
	EXPECT_EQ(SIGSEGV, touch_write(heap.base + 128 * KIB));
}

/* The first thing behind the pages that have page tables is a span of short slots. */
TEST(alloc_where_page_tables_are_missing)
{
	const size_t covered = 512 * page_bytes(), large = covered / 32;
	size_t bytes, capacity;
	struct heap heap;
	char *blocks[200], *block;
	unsigned int i;
	int fd = privheap_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd, .max_bytes = 4 * covered,
				 .flags = PRIVHEAP_CREATE_F_BACKED));
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		ASSERT_EQ(0, block_alloc(&heap, 1024, &blocks[i]));
	for (i = 0; i < ARRAY_SIZE(blocks); i += 2)
		ASSERT_EQ(0, block_free(&heap, blocks[i]));
	do {
		ASSERT_EQ(0, block_alloc(&heap, large, &block));
	} while (block + 2 * large <= heap.base + covered);
	do {
		ASSERT_EQ(0, block_alloc(&heap, 16, &block));
		ASSERT_EQ(0, block_size_full(&heap, block, &bytes, &capacity));
		ASSERT_EQ(16, capacity);
	} while (block < heap.base + covered);
	close(fd);
}

/*
 * The answer goes to memory of the heap itself, and that is what goes so that the call can
 * be served: idle pages, of which a limit wants some back. The module notices when the
 * block is there already, and has to undo it.
 */
FIXTURE(answer) {
	int fd;
	struct heap heap;
	char *kept;		/* a block of 20 pages, filled */
	char *idle;		/* 20 pages that are no block's, filled */
	struct privheap_stat before;
};

FIXTURE_SETUP(answer)
{
	size_t page = page_bytes();
	char *behind;

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .idle_bytes = MIB));
	/* All of them in the second region, which has room behind them. */
	ASSERT_EQ(0, block_alloc(&self->heap, 100 * page, &self->idle));
	ASSERT_EQ(0, block_free(&self->heap, self->idle));
	ASSERT_EQ(0, block_alloc(&self->heap, 20 * page, &self->idle));
	ASSERT_EQ(0, block_alloc(&self->heap, 16 * page, &behind));
	ASSERT_EQ(0, block_alloc(&self->heap, 20 * page, &self->kept));
	pattern_fill(self->kept, 20 * page, 1);
	memset(self->idle, 1, 20 * page);
	ASSERT_EQ(0, block_free(&self->heap, self->idle));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	ASSERT_EQ(20 * page, self->before.out_idle_bytes);
}

FIXTURE_TEARDOWN(answer)
{
	struct privheap_stat stat;

	EXPECT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(self->before.out_nr_blocks, stat.out_nr_blocks);
	EXPECT_EQ(self->before.out_allocated_bytes, stat.out_allocated_bytes);
	EXPECT_EQ(0, stat.out_idle_bytes);
	EXPECT_EQ(self->before.out_committed_bytes - 20 * page_bytes(),
		  stat.out_committed_bytes);
	EXPECT_EQ((long)(20 * page_bytes()), block_size(&self->heap, self->kept));
	EXPECT_TRUE(pattern_check(self->kept, 20 * page_bytes(), 1));
	EXPECT_EQ(SIGSEGV, touch_read(self->idle));
	EXPECT_EQ(0, heap_check_works(&self->heap));
	close(self->fd);
}

/* So many pages more may be committed only if the idle ones go. */
static void set_limit_for(struct __test_metadata *_metadata,
			  FIXTURE_DATA(answer) *self, size_t bytes)
{
	struct privheap_limit limit;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				.hard_bytes = self->before.out_committed_bytes -
					      page_bytes() + bytes));
}

static void alloc_answered_in_idle(struct __test_metadata *_metadata,
				   FIXTURE_DATA(answer) *self, size_t bytes)
{
	struct privheap_alloc *arg = (void *)self->idle;

	*arg = (struct privheap_alloc){
		.size = sizeof(*arg), .heap = self->heap.id, .bytes = bytes,
	};
	set_limit_for(_metadata, self, bytes);
	EXPECT_EQ(-EFAULT, privheap_ioctl(self->fd, PRIVHEAP_IOC_ALLOC, arg));
}

TEST_F(answer, alloc_in_memory_that_goes)
{
	alloc_answered_in_idle(_metadata, self, 25 * page_bytes());
}

TEST_F(answer, alloc_of_own_region_in_memory_that_goes)
{
	alloc_answered_in_idle(_metadata, self, 2 * MIB);
}

static void realloc_answered_in_idle(struct __test_metadata *_metadata,
				     FIXTURE_DATA(answer) *self, size_t bytes,
				     size_t more)
{
	struct privheap_realloc *arg = (void *)self->idle;

	*arg = (struct privheap_realloc){
		.size = sizeof(*arg), .heap = self->heap.id,
		.addr = (uintptr_t)self->kept, .bytes = bytes,
	};
	set_limit_for(_metadata, self, more);
	EXPECT_EQ(-EFAULT, privheap_ioctl(self->fd, PRIVHEAP_IOC_REALLOC, arg));
}

TEST_F(answer, realloc_that_grows_in_place)
{
	realloc_answered_in_idle(_metadata, self, 24 * page_bytes(), 4 * page_bytes());
}

TEST_F(answer, realloc_that_moves)
{
	realloc_answered_in_idle(_metadata, self, 2 * MIB, 2 * MIB);
}

TEST_HARNESS_MAIN
