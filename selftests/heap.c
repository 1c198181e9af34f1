// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps and blocks: what create, alloc, realloc, free, size and destroy promise,
 * and the books that stat shows of it.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(heap) {
	int fd;
	size_t page;
	struct privheap_info info;
};

FIXTURE_SETUP(heap)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, privheap_info(self->fd, &self->info));
}

FIXTURE_TEARDOWN(heap)
{
	close(self->fd);
}

/* The state of a heap without blocks that was just made. */
static struct privheap_stat new_heap_stat(const struct heap *heap,
					  const struct privheap_create *wish,
					  size_t committed_bytes)
{
	size_t page = page_bytes();

	return (struct privheap_stat){
		.size = sizeof(struct privheap_stat),
		.heap = heap->id,
		.out_create_flags = wish->flags,
		.out_base = (uintptr_t)heap->base,
		.out_max_bytes = round_up(wish->max_bytes, page),
		.out_limit_bytes = wish->limit_bytes / page * page,
		.out_reserved_bytes = heap->region_bytes,
		.out_committed_bytes = committed_bytes,
		.out_committed_peak_bytes = committed_bytes,
		.out_resident_bytes = committed_bytes,
		.out_nr_regions = 1,
	};
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

/* Create */

TEST_F(heap, create_fixed)
{
	size_t page = self->page;
	const struct {
		size_t initial_bytes;
		size_t max_bytes;
		size_t committed_bytes;
	} cases[] = {
		{ 0, 1, page },
		{ 0, page, page },
		{ 1, page + 1, page },
		{ page, MIB, page },
		{ page + 1, MIB, 2 * page },
		{ MIB, MIB, MIB },
		{ MIB + 1, MIB, MIB },
		{ MIB, page - 1, page },
		{ 0, (1UL << 30) + 1, page },
	};
	struct privheap_create wish;
	struct privheap_stat expected;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		wish = (struct privheap_create){
			.initial_bytes = cases[i].initial_bytes,
			.max_bytes = cases[i].max_bytes,
		};
		ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
		EXPECT_EQ(round_up(cases[i].max_bytes, page), heap.region_bytes);
		expected = new_heap_stat(&heap, &wish, cases[i].committed_bytes);
		EXPECT_HEAP_STAT(&expected, &heap);
	}
}

TEST_F(heap, create_growable)
{
	size_t page = self->page;
	const size_t initial[] = { 0, 1, page, page + 1, MIB, 3 * MIB + 1 };
	struct privheap_create wish;
	struct privheap_stat expected;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(initial); i++) {
		wish = (struct privheap_create){ .initial_bytes = initial[i] };
		ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
		EXPECT_LE(round_up(initial[i], page), heap.region_bytes);
		EXPECT_EQ(0, heap.region_bytes % page);
		expected = new_heap_stat(&heap, &wish,
					 initial[i] ? round_up(initial[i], page) :
						      page);
		EXPECT_HEAP_STAT(&expected, &heap);
	}
}

/* Each flag is kept, with and without the others. */
TEST_F(heap, create_flags)
{
	struct privheap_stat expected;
	struct privheap_create wish;
	struct mapping mapping;
	struct heap heap;
	__u32 flags;

	for (flags = 0; flags <= PRIVHEAP_CREATE_F_ALL; flags++) {
		wish = (struct privheap_create){ .flags = flags };
		ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
		expected = new_heap_stat(&heap, &wish, self->page);
		EXPECT_HEAP_STAT(&expected, &heap);
		ASSERT_EQ(0, mapping_find(heap.base, &mapping));
		EXPECT_EQ((uintptr_t)heap.base, mapping.start);
		EXPECT_EQ(heap.region_bytes, mapping.end - mapping.start);
		if (flags & PRIVHEAP_CREATE_F_EXEC) {
			EXPECT_STREQ("rwxs", mapping.perms);
		} else {
			EXPECT_STREQ("rw-s", mapping.perms);
		}
	}
}

TEST_F(heap, create_aligns_base)
{
	size_t align = self->info.out_region_align_bytes;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd,
					 .max_bytes = (i + 1) * self->page));
		EXPECT_EQ(0, (uintptr_t)heap.base % align);
	}
}

TEST_F(heap, create_too_large)
{
	const __u64 sizes[] = {
		self->info.out_max_bytes + 1, (__u64)1 << 63, UINT64_MAX,
		UINT64_MAX - self->page,
	};
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
						  .max_bytes = sizes[i]));
		EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
						  .initial_bytes = sizes[i]));
		EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
						  .limit_bytes = sizes[i]));
	}
	EXPECT_EQ(0, maps_heaps());
}

/* As large as can be asked for, but this program lies in the way. */
TEST_F(heap, create_largest)
{
	struct heap heap;

	EXPECT_EQ(-ENOMEM, heap_create(&heap, self->fd,
				       .max_bytes = self->info.out_max_bytes));
	EXPECT_EQ(0, maps_heaps());
	EXPECT_EQ(0, heap_create(&heap, self->fd,
				 .limit_bytes = self->info.out_max_bytes));
}

TEST_F(heap, create_limit_below_initial)
{
	size_t page = self->page;
	const struct {
		size_t initial_bytes;
		size_t limit_bytes;
	} cases[] = {
		{ 0, 1 },
		{ 1, page - 1 },
		{ page + 1, page },
		{ 2 * page, 2 * page - 1 },
		{ MIB, MIB - 1 },
	};
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-EDQUOT,
			  heap_create(&heap, self->fd,
				      .initial_bytes = cases[i].initial_bytes,
				      .limit_bytes = cases[i].limit_bytes));
		EXPECT_EQ(-EDQUOT,
			  heap_create(&heap, self->fd, .max_bytes = 2 * MIB,
				      .initial_bytes = cases[i].initial_bytes,
				      .limit_bytes = cases[i].limit_bytes));
		EXPECT_EQ(0, maps_heaps());
	}
}

TEST_F(heap, create_limit_just_enough)
{
	size_t page = self->page;
	struct privheap_create wish = {
		.initial_bytes = page + 1,
		.limit_bytes = 3 * page - 1,
	};
	struct privheap_stat expected;
	struct heap heap;

	ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
	expected = new_heap_stat(&heap, &wish, 2 * page);
	EXPECT_EQ(2 * page, expected.out_limit_bytes);
	EXPECT_HEAP_STAT(&expected, &heap);
}

static void limit_address_space(struct __test_metadata *_metadata, size_t more)
{
	unsigned long pages;
	struct rlimit limit;

	ASSERT_LT(0, file_read("/proc/self/statm", proc_text, 64));
	pages = strtoul(proc_text, NULL, 10);
	limit.rlim_cur = limit.rlim_max = pages * page_bytes() + more;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
}

TEST_F(heap, create_no_address_space)
{
	struct heap heap;

	limit_address_space(_metadata, MIB);
	EXPECT_EQ(-ENOMEM, heap_create(&heap, self->fd, .max_bytes = 2 * MIB));
	EXPECT_EQ(-ENOMEM, heap_create(&heap, self->fd,
				       .initial_bytes = 2 * MIB));
	EXPECT_EQ(0, maps_heaps());
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	EXPECT_EQ(0, heap_check_works(&heap));
}

TEST_F(heap, grow_no_address_space)
{
	struct privheap_stat before;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .initial_bytes = 64 * KIB));
	limit_address_space(_metadata, MIB);
	ASSERT_EQ(0, heap_stat(&heap, &before));
	EXPECT_EQ(-ENOMEM, block_alloc(&heap, 2 * MIB, &block));
	EXPECT_EQ(-ENOMEM, block_alloc(&heap, 8 * MIB, &block));
	EXPECT_HEAP_STAT(&before, &heap);
	EXPECT_EQ(1, maps_heaps());
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* Alloc and size */

TEST_F(heap, alloc_sizes)
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

TEST_F(heap, alloc_every_small_size)
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
TEST_F(heap, alloc_no_bytes)
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

TEST_F(heap, alloc_alignment)
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
TEST_F(heap, alloc_alignment_fixed)
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

TEST_F(heap, alloc_alignment_refused)
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
TEST_F(heap, alloc_zero_recycled)
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
TEST_F(heap, capacity_is_free)
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
TEST_F_TIMEOUT(heap, realloc_keeps_contents, 120)
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

TEST_F(heap, realloc_to_same_size)
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

TEST_F(heap, realloc_to_no_bytes)
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
TEST_F(heap, realloc_shrink_gives_pages_back)
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
TEST_F(heap, realloc_zero)
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
TEST_F(heap, realloc_zero_to_capacity)
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

TEST_F(heap, realloc_in_place_refused)
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
TEST_F(heap, realloc_in_place_grows)
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

/* A heap that is filled by blocks of @bytes; returns the last one. */
static char *fill_heap(struct __test_metadata *_metadata,
		       const struct heap *heap, size_t bytes, int err)
{
	char *block = NULL, *last;
	int ret;

	do {
		last = block;
		ret = block_alloc(heap, bytes, &block);
	} while (!ret);
	EXPECT_EQ(-err, ret);
	ASSERT_NE(NULL, last);
	return last;
}

TEST_F(heap, realloc_failed_keeps_block)
{
	const size_t sizes[] = { 64, 4000, 16000, 64 * KIB };
	struct privheap_stat before;
	struct heap heap;
	char *block, *old;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		block = fill_heap(_metadata, &heap, sizes[i], ENOSPC);
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

TEST_F(heap, realloc_over_limit)
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
TEST_F(heap, free_gives_pages_back)
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
TEST_F(heap, free_gives_region_back)
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
TEST_F(heap, free_keeps_initial_pages)
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

/* Full heaps and limits */

/* No byte of a fixed heap goes to waste on the heap's own needs. */
TEST_F(heap, fixed_heap_holds_its_maximum)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB));
	EXPECT_EQ(-ENOSPC, block_alloc(&heap, 4 * MIB + 1, &block));
	ASSERT_EQ(0, block_alloc(&heap, 4 * MIB, &block));
	EXPECT_EQ(heap.base, block);
	memset(block, 1, 4 * MIB);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(4 * MIB, stat.out_committed_bytes);
	EXPECT_EQ(4 * MIB, stat.out_resident_bytes);
	EXPECT_EQ(-ENOSPC, block_alloc(&heap, 0, &block));
}

TEST_F(heap, alloc_heap_full)
{
	const size_t sizes[] = { 64, 1024, 16384, 64 * KIB };
	struct privheap_stat before, after;
	struct heap heap;
	char *block, *other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		block = fill_heap(_metadata, &heap, sizes[i], ENOSPC);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		EXPECT_EQ(MIB / sizes[i], before.out_nr_blocks);
		EXPECT_EQ(MIB, before.out_committed_bytes);
		EXPECT_EQ(-ENOSPC, block_alloc(&heap, sizes[i], &other));
		EXPECT_EQ(-ENOSPC, block_alloc(&heap, 2 * MIB, &other));
		EXPECT_HEAP_STAT(&before, &heap);

		ASSERT_EQ(0, block_free(&heap, block));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &other));
		memset(other, 1, sizes[i]);
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_EQ(before.out_nr_blocks, after.out_nr_blocks);
		EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
		EXPECT_EQ(0, after.out_nr_limit_failures);
	}
}

TEST_F(heap, alloc_over_limit)
{
	const size_t sizes[] = { 64, 1024, 16384, 64 * KIB, 2 * MIB };
	struct privheap_stat before, after;
	struct heap heap;
	char *block, *other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd,
					 .limit_bytes = 4 * MIB + 1));
		block = fill_heap(_metadata, &heap, sizes[i], EDQUOT);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		EXPECT_LE(1, before.out_nr_limit_failures);
		EXPECT_GE(4 * MIB, before.out_committed_peak_bytes);
		EXPECT_LE(before.out_committed_bytes,
			  before.out_committed_peak_bytes);

		EXPECT_EQ(-EDQUOT, block_alloc(&heap, sizes[i], &other));
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_LT(before.out_nr_limit_failures,
			  after.out_nr_limit_failures);
		before.out_nr_limit_failures = after.out_nr_limit_failures;
		EXPECT_STREQ("same", stat_diff(&before, &after));

		ASSERT_EQ(0, block_free(&heap, block));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &other));
		memset(other, 1, sizes[i]);
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_EQ(before.out_nr_blocks, after.out_nr_blocks);
		EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
	}
}

/* One refused call is one failure. */
TEST_F(heap, limit_failures_counted)
{
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
				 .limit_bytes = MIB));
	for (i = 1; i <= 5; i++) {
		EXPECT_EQ(-EDQUOT, block_alloc(&heap, 2 * MIB, &block));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(i, stat.out_nr_limit_failures);
	}
}

/* The limit can be used to the last page, small blocks or large. */
TEST_F(heap, limit_is_exact)
{
	const size_t sizes[] = { 1024, 64 * KIB };
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
					 .limit_bytes = MIB));
		fill_heap(_metadata, &heap, sizes[i], EDQUOT);
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(MIB, stat.out_committed_bytes);
		EXPECT_EQ(MIB, stat.out_committed_peak_bytes);
		EXPECT_EQ(MIB / sizes[i], stat.out_nr_blocks);
	}
}

TEST_F(heap, growable_heap_adds_regions)
{
	enum { NR = 200 };
	struct privheap_stat stat = { 0 }, old;
	char *blocks[NR];
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	for (i = 0; i < NR; i++) {
		old = stat;
		ASSERT_EQ(0, block_alloc(&heap, 64 * KIB, &blocks[i]));
		pattern_fill(blocks[i], 64 * KIB, i);
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(old.out_nr_regions == stat.out_nr_regions,
			  old.out_reserved_bytes == stat.out_reserved_bytes);
		EXPECT_LE(stat.out_committed_bytes, stat.out_reserved_bytes);
	}
	EXPECT_LT(1, stat.out_nr_regions);
	EXPECT_EQ((int)stat.out_nr_regions, maps_heaps());
	for (i = 0; i < NR; i++) {
		EXPECT_TRUE(pattern_check(blocks[i], 64 * KIB, i));
		ASSERT_EQ(0, block_free(&heap, blocks[i]));
	}
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(self->page, stat.out_committed_bytes);
	EXPECT_EQ(self->page, stat.out_resident_bytes);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(0, stat.out_nr_blocks);
}

/* Destroy */

TEST_F(heap, destroy_unmaps_all)
{
	char *small, *pages, *region;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 64, &small));
	ASSERT_EQ(0, block_alloc(&heap, 300 * KIB, &pages));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &region));
	memset(small, 1, 64);
	memset(pages, 1, 300 * KIB);
	memset(region, 1, 3 * MIB);
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(0, maps_heaps());
	EXPECT_EQ(SIGSEGV, touch_read(small));
	EXPECT_EQ(SIGSEGV, touch_read(pages));
	EXPECT_EQ(SIGSEGV, touch_read(region));
}

static void expect_no_heap(struct __test_metadata *_metadata,
			   const struct heap *heap, char *block)
{
	struct privheap_stat stat;
	struct privheap_entry entry;
	char *other = block;
	size_t largest;

	EXPECT_EQ(-ENXIO, heap_stat(heap, &stat));
	EXPECT_EQ(-ENXIO, block_alloc(heap, 64, &other));
	EXPECT_EQ(-ENXIO, block_realloc(heap, &other, 128, 0));
	EXPECT_EQ(-ENXIO, block_size(heap, block));
	EXPECT_EQ(-ENXIO, block_free(heap, block));
	EXPECT_EQ(-ENXIO, heap_walk(heap, NULL, &entry, 1));
	EXPECT_EQ(-ENXIO, heap_compact(heap, &largest));
	EXPECT_EQ(-ENXIO, heap_destroy(heap));
}

/* The id of a heap that is gone stays wrong when its place is taken again. */
TEST_F(heap, stale_id)
{
	struct heap old, heaps[50];
	struct privheap_stat before;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&old, self->fd));
	ASSERT_EQ(0, block_alloc(&old, 64, &block));
	ASSERT_EQ(0, heap_destroy(&old));
	expect_no_heap(_metadata, &old, block);
	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd));
		EXPECT_NE(0, heaps[i].id);
		EXPECT_NE(old.id, heaps[i].id);
		ASSERT_EQ(0, heap_stat(&heaps[i], &before));
		expect_no_heap(_metadata, &old, block);
		EXPECT_HEAP_STAT(&before, &heaps[i]);
	}
	/* One place, used again and again. */
	for (i = 1; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, heap_destroy(&heaps[0]));
		old = heaps[0];
		ASSERT_EQ(0, heap_create(&heaps[0], self->fd));
		EXPECT_NE(old.id, heaps[0].id);
		expect_no_heap(_metadata, &old, block);
	}
}

/* A heap belongs to the open file that made it. */
TEST_F(heap, other_open_file)
{
	int other_fd = privheap_open();
	struct heap heap, foreign;
	struct privheap_stat before;
	char *block;

	ASSERT_LE(0, other_fd);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 64, &block));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	foreign = heap;
	foreign.fd = other_fd;
	expect_no_heap(_metadata, &foreign, block);
	EXPECT_HEAP_STAT(&before, &heap);
	close(other_fd);
	EXPECT_HEAP_STAT(&before, &heap);
}

TEST_F_TIMEOUT(heap, many_heaps, 120)
{
	enum { NR = 1000 };
	static struct heap heaps[NR];
	static char *blocks[NR];
	unsigned int i;

	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd));
		ASSERT_EQ(0, block_alloc(&heaps[i], 100 + i, &blocks[i]));
		pattern_fill(blocks[i], 100 + i, i);
		if (i) {
			EXPECT_NE(heaps[i - 1].id, heaps[i].id);
		}
	}
	EXPECT_EQ(NR, maps_heaps());
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(100 + i, block_size(&heaps[i], blocks[i]));
		EXPECT_TRUE(pattern_check(blocks[i], 100 + i, i));
		EXPECT_EQ(-ENOENT, block_size(&heaps[(i + 1) % NR], blocks[i]));
	}
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
	}
	EXPECT_EQ(0, maps_heaps());
}

/* What the kernel keeps for a block of 64 bytes is at most 4 bytes. */
TEST_F_TIMEOUT(heap, metadata_is_small, 300)
{
	const unsigned long nr_blocks = 500000;
	/* The kernel takes charges of pages from the cgroup in advance. */
	const long slack = 512 * KIB;
	struct cgroup cgroup;
	unsigned long i;
	struct heap heap;
	long before;
	char *block;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, cgroup_enter(&cgroup));
		ASSERT_EQ(0, heap_create(&heap, privheap_open()));
		before = cgroup_bytes(&cgroup);
		ASSERT_LE(0, before);
		for (i = 0; i < nr_blocks; i++) {
			ASSERT_EQ(0, block_alloc(&heap, 64, &block));
		}
		EXPECT_GE(4 * (long)nr_blocks + slack,
			  cgroup_bytes(&cgroup) - before);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* Anything, in any order */

/*
 * Random calls against a model: the blocks that there should be. Each block is
 * filled with a pattern of its own, so a block that overlaps another one, moves
 * without its contents or is unmapped under its owner is found out.
 */
FIXTURE(random) {
	int fd;
	struct heap heap;
};

FIXTURE_VARIANT(random) {
	__u32 flags;
	__u64 max_bytes;
	__u64 limit_bytes;
	/* What may go wrong. */
	int err;
};

FIXTURE_VARIANT_ADD(random, growable) {
};

FIXTURE_VARIANT_ADD(random, growable_limit) {
	.limit_bytes = 10 * MIB,
	.err = -EDQUOT,
};

FIXTURE_VARIANT_ADD(random, growable_backed) {
	.flags = PRIVHEAP_CREATE_F_BACKED,
};

FIXTURE_VARIANT_ADD(random, fixed) {
	.max_bytes = 12 * MIB,
	.err = -ENOSPC,
};

FIXTURE_SETUP(random)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .flags = variant->flags,
				 .max_bytes = variant->max_bytes,
				 .limit_bytes = variant->limit_bytes));
}

FIXTURE_TEARDOWN(random)
{
	close(self->fd);
}

#define NR_MODEL_BLOCKS	400
#define NR_RANDOM_CALLS	8000

struct model_block {
	char *addr;
	size_t bytes;
	unsigned int seed;
};

struct model {
	struct model_block blocks[NR_MODEL_BLOCKS];
	unsigned long nr_blocks;
	unsigned long allocated_bytes;
	uint64_t random;
	unsigned int seed;
};

static uint32_t model_random(struct model *model)
{
	model->random = model->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return model->random >> 33;
}

/* Small blocks mostly, pages sometimes, regions of their own seldom. */
static size_t model_random_bytes(struct model *model)
{
	uint32_t kind = model_random(model) % 100;

	if (kind < 60)
		return model_random(model) % 300;
	if (kind < 85)
		return model_random(model) % 17000;
	if (kind < 99)
		return model_random(model) % (200 * KIB);
	return model_random(model) % (2 * MIB);
}

static void model_enter(struct model *model, struct model_block *block,
			char *addr, size_t bytes)
{
	block->addr = addr;
	block->bytes = bytes;
	block->seed = model->seed++;
	pattern_fill(addr, bytes, block->seed);
	model->nr_blocks++;
	model->allocated_bytes += bytes;
}

static void model_remove(struct model *model, struct model_block *block)
{
	model->nr_blocks--;
	model->allocated_bytes -= block->bytes;
	block->addr = NULL;
}

static int model_alloc(struct model *model, const struct heap *heap,
		       struct model_block *block)
{
	bool zero = model_random(model) % 4 == 0;
	size_t align = model_random(model) % 8 ? 0 :
		       1UL << model_random(model) % 17;
	size_t bytes = model_random_bytes(model);
	char *addr;
	int ret;

	ret = block_alloc_with(heap, bytes, align,
			       zero ? PRIVHEAP_ALLOC_F_ZERO : 0, &addr);
	if (ret)
		return ret;
	if ((uintptr_t)addr % (align > 16 ? align : 16))
		return -EPROTO;
	if (zero && !all_bytes(addr, bytes, 0))
		return -EPROTO;
	model_enter(model, block, addr, bytes);
	return 0;
}

static int model_realloc(struct model *model, const struct heap *heap,
			 struct model_block *block)
{
	__u32 flags = model_random(model) % (PRIVHEAP_REALLOC_F_ALL + 1);
	size_t bytes = model_random_bytes(model);
	char *addr = block->addr;
	size_t old = block->bytes;
	int ret;

	ret = block_realloc(heap, &addr, bytes, flags);
	if (ret == -ENOSPC && flags & PRIVHEAP_REALLOC_F_IN_PLACE)
		return 0;
	if (ret)
		return ret;
	if (flags & PRIVHEAP_REALLOC_F_IN_PLACE && addr != block->addr)
		return -EPROTO;
	if (!pattern_check(addr, old < bytes ? old : bytes, block->seed))
		return -EPROTO;
	if (flags & PRIVHEAP_REALLOC_F_ZERO && bytes > old &&
	    !all_bytes(addr + old, bytes - old, 0))
		return -EPROTO;
	model_remove(model, block);
	model_enter(model, block, addr, bytes);
	return 0;
}

static int model_free(struct model *model, const struct heap *heap,
		      struct model_block *block)
{
	int ret;

	if (block_size(heap, block->addr) != (long)block->bytes)
		return -EPROTO;
	if (!pattern_check(block->addr, block->bytes, block->seed))
		return -EPROTO;
	ret = block_free(heap, block->addr);
	if (!ret)
		model_remove(model, block);
	return ret;
}

/* One random call. */
static int model_step(struct model *model, const struct heap *heap)
{
	struct model_block *block =
		&model->blocks[model_random(model) % NR_MODEL_BLOCKS];

	if (!block->addr)
		return model_alloc(model, heap, block);
	if (model_random(model) % 3)
		return model_free(model, heap, block);
	return model_realloc(model, heap, block);
}

static int model_free_all(struct model *model, const struct heap *heap)
{
	struct model_block *block = model->blocks;
	int ret = 0;

	for (; block < model->blocks + NR_MODEL_BLOCKS && !ret; block++) {
		if (block->addr)
			ret = model_free(model, heap, block);
	}
	return ret;
}

TEST_F_TIMEOUT(random, calls, 300)
{
	static struct model model = { .random = 20240229 };
	struct privheap_stat stat;
	unsigned int i;
	int ret;

	for (i = 0; i < NR_RANDOM_CALLS; i++) {
		ret = model_step(&model, &self->heap);
		if (ret != variant->err) {
			ASSERT_EQ(0, ret);
		}
		if (i % 64)
			continue;
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		ASSERT_EQ(model.nr_blocks, stat.out_nr_blocks);
		ASSERT_EQ(model.allocated_bytes, stat.out_allocated_bytes);
		ASSERT_LE(stat.out_allocated_bytes, stat.out_committed_bytes);
		ASSERT_LE(stat.out_resident_bytes, stat.out_committed_bytes);
		ASSERT_LE(stat.out_committed_bytes,
			  stat.out_committed_peak_bytes);
		ASSERT_LE(stat.out_committed_bytes, stat.out_reserved_bytes);
		if (variant->limit_bytes) {
			ASSERT_LE(stat.out_committed_peak_bytes,
				  variant->limit_bytes);
		}
		if (variant->max_bytes) {
			ASSERT_EQ(variant->max_bytes, stat.out_reserved_bytes);
		}
	}
	ASSERT_EQ(0, model_free_all(&model, &self->heap));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
}

/* Threads */

#define NR_THREADS	4

struct worker {
	pthread_t thread;
	const struct heap *heap;
	struct model model;
	int nr_calls;
	int ret;
};

static void *worker_run(void *data)
{
	struct worker *worker = data;
	int i;

	for (i = 0; i < worker->nr_calls && !worker->ret; i++)
		worker->ret = model_step(&worker->model, worker->heap);
	if (!worker->ret)
		worker->ret = model_free_all(&worker->model, worker->heap);
	return NULL;
}

TEST_F_TIMEOUT(heap, threads_share_heap, 300)
{
	static struct worker workers[NR_THREADS];
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < NR_THREADS; i++) {
		workers[i].heap = &heap;
		workers[i].model.random = 77 + i;
		workers[i].model.seed = i * 100000;
		workers[i].nr_calls = 2000;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_run,
					    &workers[i]));
	}
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_EQ(0, workers[i].ret);
	}
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* Calls as fast as they go, until one fails; returns with what. */
static void *call_until_error(void *data)
{
	struct worker *worker = data;
	struct privheap_stat stat;
	size_t bytes = 0;
	char *block;
	int ret;

	do {
		ret = block_alloc(worker->heap, bytes, &block);
		if (!ret)
			ret = block_realloc(worker->heap, &block, 2 * bytes, 0);
		if (!ret)
			ret = heap_stat(worker->heap, &stat);
		if (!ret && bytes % 3)
			ret = block_free(worker->heap, block);
		bytes = (bytes + 7919) % (2 * MIB);
		__atomic_add_fetch(&worker->nr_calls, 1, __ATOMIC_RELEASE);
	} while (!ret);
	worker->ret = ret;
	return NULL;
}

/* Whoever is in a call when the heap goes learns that it is gone. */
TEST_F_TIMEOUT(heap, destroy_while_others_call, 120)
{
	static struct worker workers[NR_THREADS];
	unsigned int round, i;
	struct heap heap;

	for (round = 0; round < 30; round++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd));
		memset(workers, 0, sizeof(workers));
		for (i = 0; i < NR_THREADS; i++) {
			workers[i].heap = &heap;
			ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL,
						    call_until_error,
						    &workers[i]));
		}
		while (__atomic_load_n(&workers[round % NR_THREADS].nr_calls,
				       __ATOMIC_ACQUIRE) < 10)
			sched_yield();
		EXPECT_EQ(0, heap_destroy(&heap));
		for (i = 0; i < NR_THREADS; i++) {
			ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
			EXPECT_EQ(-ENXIO, workers[i].ret);
		}
		EXPECT_EQ(0, maps_heaps());
	}
}

TEST_HARNESS_MAIN
