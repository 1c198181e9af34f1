// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guarded blocks: what lies around them, what is left of them when they are freed,
 * and how many of them a heap may have.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(guard) {
	int fd;
	size_t page;
	struct heap heap;
};

FIXTURE_SETUP(guard)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .quarantine_bytes = 64 * MIB));
}

FIXTURE_TEARDOWN(guard)
{
	close(self->fd);
}

static const size_t sizes[] = {
	0, 1, 15, 16, 17, 100, 1000, 4000, 4080, 4095, 4096, 4097, 8192, 10000,
	65536, 100000, 0xFE000, 0xFE001, 3 * MIB,
};

/* What is known of an address, as one number: 100 * state + guarded. */
static int state_of(const struct heap *heap, const void *addr)
{
	struct privheap_describe describe;
	int ret = heap_describe(heap, addr, &describe);

	return ret ? ret : (int)(100 * describe.out_state + describe.out_guarded);
}

/* Now one, now the other. */
static __u32 side(unsigned int i)
{
	return i % 2 ? PRIVHEAP_GUARD_ALLOC_F_BEFORE : 0;
}

#define STATE_NONE	(100 * PRIVHEAP_DESCRIBE_NONE)
#define STATE_PLAIN	(100 * PRIVHEAP_DESCRIBE_LIVE)
#define STATE_FREED	(100 * PRIVHEAP_DESCRIBE_FREED + 1)

/* Creation */

TEST_F(guard, create_commits_nothing)
{
	struct privheap_stat stat;

	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(PRIVHEAP_CREATE_F_GUARD, stat.out_create_flags);
	EXPECT_EQ(0, stat.out_committed_bytes);
	EXPECT_EQ(0, stat.out_resident_bytes);
	EXPECT_EQ(64 * KIB, stat.out_reserved_bytes);
	EXPECT_EQ(SIGSEGV, touch_read(self->heap.base));
}

TEST_F(guard, create_with_initial_pages)
{
	struct heap heap;

	EXPECT_EQ(-EOPNOTSUPP, heap_create(&heap, self->fd,
					   .flags = PRIVHEAP_CREATE_F_GUARD,
					   .initial_bytes = 1));
	EXPECT_EQ(1, maps_heaps());
}

TEST_F(guard, create_quarantine_without_guard)
{
	struct heap heap;

	EXPECT_EQ(-EOPNOTSUPP, heap_create(&heap, self->fd,
					   .quarantine_bytes = 1));
	EXPECT_EQ(1, maps_heaps());
}

TEST_F(guard, alloc_in_ordinary_heap)
{
	struct privheap_stat before;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	EXPECT_EQ(-EOPNOTSUPP, block_alloc_guarded(&heap, 10, 0, 0, 0, &block));
	EXPECT_HEAP_STAT(&before, &heap);
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* Allocation */

/* All of the block can be used, and not a byte behind the last 15. */
TEST_F(guard, block_ends_at_guard_page)
{
	struct privheap_stat stat;
	unsigned int i;
	char *block, *end;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, sizes[i], 0,
						 PRIVHEAP_GUARD_ALLOC_F_ZERO, i,
						 &block));
		end = block + round_up(sizes[i], 16);
		EXPECT_EQ(0, (uintptr_t)block % 16);
		EXPECT_EQ(0, (uintptr_t)end % self->page);
		EXPECT_TRUE(all_bytes(block, sizes[i], 0));
		pattern_fill(block, sizes[i], i);
		EXPECT_TRUE(pattern_check(block, sizes[i], i));
		EXPECT_EQ(0, touch_write(end - 1));
		EXPECT_EQ(SIGSEGV, touch_read(end));
		EXPECT_EQ(SIGSEGV, touch_write(end));
		EXPECT_EQ(SIGSEGV, touch_write(end + self->page - 1));
		EXPECT_EQ((long)sizes[i], block_size(&self->heap, block));
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		EXPECT_EQ(i + 1, stat.out_nr_blocks);
	}
}

/* What is behind the guard page belongs to another block, or to none. */
TEST_F(guard, block_begins_at_guard_page)
{
	unsigned int i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, sizes[i], 0,
						 PRIVHEAP_GUARD_ALLOC_F_BEFORE |
						 PRIVHEAP_GUARD_ALLOC_F_ZERO,
						 i, &block));
		EXPECT_EQ(0, (uintptr_t)block % self->page);
		EXPECT_TRUE(all_bytes(block, sizes[i], 0));
		pattern_fill(block, sizes[i], i);
		EXPECT_TRUE(pattern_check(block, sizes[i], i));
		EXPECT_EQ(SIGSEGV, touch_write(block - 1));
		EXPECT_EQ(SIGSEGV, touch_read(block - self->page));
		EXPECT_EQ((long)sizes[i], block_size(&self->heap, block));
	}
}

TEST_F(guard, block_unaligned)
{
	unsigned int i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, sizes[i], 1, 0, i,
						 &block));
		EXPECT_EQ(0, (uintptr_t)(block + sizes[i]) % self->page);
		EXPECT_EQ(SIGSEGV, touch_read(block + sizes[i]));
		EXPECT_EQ((long)sizes[i], block_size(&self->heap, block));
		EXPECT_EQ(0, block_free(&self->heap, block));
		EXPECT_EQ(STATE_FREED, state_of(&self->heap, block));
	}
}

TEST_F(guard, block_aligned)
{
	struct privheap_info info;
	size_t align;
	char *block;

	ASSERT_EQ(0, privheap_info(self->fd, &info));
	for (align = 1; align <= info.out_align_max_bytes; align *= 2) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, 100, align, 0, 0,
						 &block));
		EXPECT_EQ(0, (uintptr_t)block % align);
		EXPECT_EQ(SIGSEGV, touch_read((char *)
			round_up((uintptr_t)block + 100, self->page)));
	}
	EXPECT_EQ(-EINVAL, block_alloc_guarded(&self->heap, 1, 3, 0, 0, &block));
	EXPECT_EQ(-EOPNOTSUPP, block_alloc_guarded(&self->heap, 1, align, 0, 0,
						   &block));
	EXPECT_EQ(-EOPNOTSUPP,
		  block_alloc_guarded(&self->heap, 1, 2 * self->page,
				      PRIVHEAP_GUARD_ALLOC_F_BEFORE, 0, &block));
	EXPECT_EQ(-EOVERFLOW,
		  block_alloc_guarded(&self->heap, info.out_max_bytes + 1, 1, 0,
				      0, &block));
	EXPECT_EQ(-ENOMEM,
		  block_alloc_guarded(&self->heap, info.out_max_bytes, 1, 0, 0,
				      &block));
}

/* Charged is what can be touched, and no guard page. */
TEST_F(guard, guard_page_is_not_charged)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block = NULL;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .limit_bytes = 10 * self->page));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, block_alloc_guarded(&heap, 10, 0, 0, 0, &block));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(10 * self->page, stat.out_committed_bytes);
	EXPECT_EQ(-EDQUOT, block_alloc_guarded(&heap, 10, 0, 0, 0, &block));
	EXPECT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(0, block_alloc_guarded(&heap, 10, 0, 0, 0, &block));
}

/* The other calls work in such a heap, too, and make ordinary blocks. */
TEST_F(guard, ordinary_blocks)
{
	char *block;

	EXPECT_EQ(0, heap_check_works(&self->heap));
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	EXPECT_EQ(STATE_PLAIN, state_of(&self->heap, block + 99));
	EXPECT_EQ(-ENOENT, block_free_guarded(&self->heap, block, 1));
	EXPECT_EQ(0, block_realloc(&self->heap, &block, 2 * MIB, 0));
	EXPECT_EQ(STATE_PLAIN, state_of(&self->heap, block + MIB));
	EXPECT_EQ(0, block_free(&self->heap, block));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, block));
}

TEST_F(guard, realloc_refused)
{
	const size_t new_sizes[] = { 0, 100, 101, 50, 1 * MIB };
	struct privheap_stat before;
	char *block, *old;
	unsigned int i;

	ASSERT_EQ(0, block_alloc_guarded(&self->heap, 100, 0, 0, 0, &block));
	pattern_fill(block, 100, 1);
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	old = block;
	for (i = 0; i < ARRAY_SIZE(new_sizes); i++) {
		EXPECT_EQ(-EOPNOTSUPP, block_realloc(&self->heap, &block,
						     new_sizes[i], 0));
		EXPECT_EQ(-EOPNOTSUPP,
			  block_realloc(&self->heap, &block, new_sizes[i],
					PRIVHEAP_REALLOC_F_IN_PLACE));
	}
	EXPECT_EQ(old, block);
	EXPECT_HEAP_STAT(&before, &self->heap);
	EXPECT_TRUE(pattern_check(block, 100, 1));
}

/* What was freed before, and lies in memory that is used again, does not show. */
/* The answer goes to an empty span, which has to go for the block. */
TEST_F(guard, answer_in_memory_that_goes)
{
	struct privheap_guard_alloc *arg;
	struct privheap_stat before;
	struct privheap_limit limit;
	char *slot;

	ASSERT_EQ(0, block_alloc(&self->heap, 100, &slot));
	memset(slot, 1, 100);
	ASSERT_EQ(0, block_free(&self->heap, slot));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	ASSERT_EQ(self->page, before.out_committed_bytes);
	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				.hard_bytes = 4 * self->page));
	arg = (void *)((uintptr_t)slot & -self->page);
	*arg = (struct privheap_guard_alloc){
		.size = sizeof(*arg), .heap = self->heap.id, .bytes = 4 * self->page,
	};
	EXPECT_EQ(-EFAULT, privheap_ioctl(self->fd, PRIVHEAP_IOC_GUARD_ALLOC, arg));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(0, limit.out_usage_bytes);
	EXPECT_EQ(SIGSEGV, touch_read(slot));
	EXPECT_EQ(STATE_NONE, state_of(&self->heap, slot));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				.hard_bytes = PRIVHEAP_LIMIT_NONE));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(guard, alloc_zero)
{
	char *block;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, 5000, 0,
						 PRIVHEAP_GUARD_ALLOC_F_ZERO |
						 side(i), 0, &block));
		EXPECT_TRUE(all_bytes(block, 5000, 0));
		memset(block, 0xff, 5000);
		ASSERT_EQ(0, block_free(&self->heap, block));
	}
}

/* Free, and afterwards */

TEST_F(guard, free_makes_inaccessible)
{
	struct privheap_stat before, after;
	unsigned int i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_stat(&self->heap, &before));
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, sizes[i], 0, 0, 0,
						 &block));
		memset(block, 1, sizes[i]);
		ASSERT_EQ(0, block_free_guarded(&self->heap, block, 1));
		EXPECT_EQ(SIGSEGV, touch_read(block));
		EXPECT_EQ(SIGSEGV, touch_write(block + sizes[i] / 2));
		EXPECT_EQ(-ENOENT, block_free(&self->heap, block));
		EXPECT_EQ(-ENOENT, block_free_guarded(&self->heap, block, 2));
		EXPECT_EQ(-ENOENT, block_size(&self->heap, block));
		EXPECT_EQ(STATE_FREED, state_of(&self->heap, block));
		ASSERT_EQ(0, heap_stat(&self->heap, &after));
		EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
		EXPECT_EQ(before.out_resident_bytes, after.out_resident_bytes);
		EXPECT_EQ(0, after.out_nr_blocks);
		EXPECT_EQ(0, after.out_allocated_bytes);
	}
}

/* A call of the kernel that is handed the block's end gets an error, no signal. */
TEST_F(guard, kernel_access_to_guard_page)
{
	int ends[2];
	char *block;

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(0, block_alloc_guarded(&self->heap, 16, 0, 0, 0, &block));
	EXPECT_EQ(16, write(ends[1], block, 16));
	EXPECT_EQ(-1, write(ends[1], block + 16, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, block_free(&self->heap, block));
	EXPECT_EQ(-1, write(ends[1], block, 16));
	EXPECT_EQ(EFAULT, errno);
}

static void expect_description(struct __test_metadata *_metadata,
			       const struct heap *heap, const char *addr,
			       __u32 state, const char *block, size_t bytes,
			       __u64 alloc_cookie, __u64 free_cookie)
{
	struct privheap_describe describe;

	ASSERT_EQ(0, heap_describe(heap, addr, &describe));
	EXPECT_EQ(state, describe.out_state);
	EXPECT_EQ(state != PRIVHEAP_DESCRIBE_NONE, describe.out_guarded);
	EXPECT_EQ((uintptr_t)block, describe.out_addr);
	EXPECT_EQ(bytes, describe.out_bytes);
	EXPECT_EQ(alloc_cookie, describe.out_alloc_cookie);
	EXPECT_EQ(free_cookie, describe.out_free_cookie);
}

/* Every address around a block leads to it, live and freed. */
TEST_F(guard, describe_every_page)
{
	const __u64 big = 0xfedcba9876543210;
	const char *first, *addr;
	unsigned int i, flags;
	char *block;
	size_t pages;

	for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		flags = side(i);
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, sizes[i / 2], 0,
						 flags, big + i, &block));
		pages = round_up(sizes[i / 2] ?: 1, self->page) + self->page;
		if (flags)
			first = block - self->page;
		else
			first = block + round_up(sizes[i / 2], 16) +
				self->page - pages;
		for (addr = first; addr < first + pages; addr += self->page)
			expect_description(_metadata, &self->heap, addr,
					   PRIVHEAP_DESCRIBE_LIVE, block,
					   sizes[i / 2], big + i, 0);
		ASSERT_EQ(0, block_free_guarded(&self->heap, block, big * i));
		for (addr = first; addr < first + pages; addr += self->page)
			expect_description(_metadata, &self->heap, addr,
					   PRIVHEAP_DESCRIBE_FREED, block,
					   sizes[i / 2], big + i, big * i);
	}
}

TEST_F(guard, describe_elsewhere)
{
	struct privheap_describe describe;
	struct privheap_stat before;
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, block_alloc(&other, 10, &block));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	EXPECT_EQ(STATE_NONE, state_of(&self->heap, self->heap.base));
	EXPECT_EQ(STATE_PLAIN, state_of(&other, block + 15));
	EXPECT_EQ(STATE_NONE, state_of(&other, block + 16));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, block));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, NULL));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, &describe));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, (void *)UINTPTR_MAX));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, self->heap.base - 1));
	EXPECT_EQ(-ENOENT, state_of(&self->heap, self->heap.base + 64 * KIB));
	EXPECT_HEAP_STAT(&before, &self->heap);
	ASSERT_EQ(0, heap_destroy(&other));
	EXPECT_EQ(-ENXIO, state_of(&other, block));
}

/* Quarantine */

/* Three blocks of two pages fit: the fourth that is freed ends the first. */
TEST_F(guard, quarantine_first_in_first_out)
{
	struct heap heap;
	char *blocks[8];
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .quarantine_bytes = 7 * self->page));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, block_alloc_guarded(&heap, 100, 0, 0, i, &blocks[i]));
	/* Not in the order in which they lie or were allocated. */
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, block_free(&heap, blocks[i * 3 % 8]));
		EXPECT_EQ(STATE_FREED, state_of(&heap, blocks[i * 3 % 8]));
		if (i >= 2) {
			EXPECT_EQ(STATE_FREED,
				  state_of(&heap, blocks[(i - 2) * 3 % 8]));
		}
		if (i >= 3) {
			EXPECT_EQ(STATE_NONE,
				  state_of(&heap, blocks[(i - 3) * 3 % 8]));
		}
	}
}

/* As long as a block is remembered, its place is no other block's. */
TEST_F(guard, quarantine_is_not_used_again)
{
	char *first, *block;
	unsigned int i;

	ASSERT_EQ(0, block_alloc_guarded(&self->heap, 100, 0, 0, 7, &first));
	ASSERT_EQ(0, block_free(&self->heap, first));
	for (i = 0; i < scaled(5000); i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, 100, 0, 0, i,
						 &block));
		ASSERT_NE(first, block);
		ASSERT_EQ(0, block_free(&self->heap, block));
	}
	expect_description(_metadata, &self->heap, first,
			   PRIVHEAP_DESCRIBE_FREED, first, 100, 7, 0);
}

TEST_F(guard, quarantine_of_no_bytes)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD));
	ASSERT_EQ(0, block_alloc_guarded(&heap, 100, 0, 0, 0, &block));
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(STATE_NONE, state_of(&heap, block));
	EXPECT_EQ(SIGSEGV, touch_read(block));
}

/* In a heap that is full otherwise, the quarantine gives way, the oldest first. */
TEST_F(guard, quarantine_gives_way)
{
	struct heap heap;
	char *blocks[8], *block;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .max_bytes = 16 * self->page,
				 .quarantine_bytes = MIB));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, block_alloc_guarded(&heap, 1, 0, 0, 0, &blocks[i]));
	EXPECT_EQ(-ENOSPC, block_alloc_guarded(&heap, 1, 0, 0, 0, &block));
	EXPECT_EQ(-ENOSPC, block_alloc(&heap, 1, &block));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, block_free(&heap, blocks[i]));
	ASSERT_EQ(0, block_alloc_guarded(&heap, 1, 0, 0, 0, &block));
	EXPECT_EQ(blocks[0], block);
	EXPECT_EQ(STATE_FREED, state_of(&heap, blocks[1]));
	ASSERT_EQ(0, block_alloc(&heap, 1, &block));
	EXPECT_EQ(STATE_FREED, state_of(&heap, blocks[2]));
	/* All of it, for a block that needs all, and in vain for a longer one. */
	EXPECT_EQ(0, block_alloc_guarded(&heap, 10 * self->page, 0, 0, 0,
					 &block));
	EXPECT_EQ(-ENOSPC, block_alloc_guarded(&heap, 10 * self->page, 0, 0, 0,
					       &block));
}

TEST_F(guard, destroy_with_quarantine)
{
	struct privheap_stat before;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .quarantine_bytes = MIB));
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, block_alloc_guarded(&heap, i, 0, side(i), 0,
						 &block));
		if (i % 3) {
			ASSERT_EQ(0, block_free(&heap, block));
		}
	}
	EXPECT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(1, maps_heaps());
	EXPECT_HEAP_STAT(&before, &self->heap);
}

/* Walks */

/* Guard pages have no entry; blocks have theirs, and so has what is freed. */
TEST_F(guard, walk)
{
	struct privheap_entry entries[8];
	char *blocks[3], *base = self->heap.base;
	unsigned int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, 100, 0, 0, 0,
						 &blocks[i]));
	ASSERT_EQ(0, block_free(&self->heap, blocks[1]));
	ASSERT_EQ(5, heap_walk(&self->heap, NULL, entries, 8));
	EXPECT_EQ(PRIVHEAP_ENTRY_REGION, entries[0].kind);
	EXPECT_EQ(PRIVHEAP_ENTRY_BLOCK, entries[1].kind);
	EXPECT_EQ((uintptr_t)blocks[0], entries[1].addr);
	EXPECT_EQ(100, entries[1].bytes);
	EXPECT_EQ(100, entries[1].capacity_bytes);
	EXPECT_EQ(PRIVHEAP_ENTRY_RESERVED, entries[2].kind);
	EXPECT_EQ((uintptr_t)base + 2 * self->page, entries[2].addr);
	EXPECT_EQ(2 * self->page, entries[2].bytes);
	EXPECT_EQ((uintptr_t)blocks[2], entries[3].addr);
	EXPECT_EQ(PRIVHEAP_ENTRY_RESERVED, entries[4].kind);
	EXPECT_EQ(0, heap_walk(&self->heap, &entries[4], entries, 8));
}

/* One entry a call goes the same way as many. */
TEST_F(guard, walk_step_by_step)
{
	static struct privheap_entry entries[2000];
	struct privheap_entry entry = { 0 };
	int i, nr = 0, ret;
	char *block;

	for (i = 0; i < 500; i++) {
		if (i % 5 == 0) {
			ASSERT_EQ(0, block_alloc(&self->heap, i, &block));
		} else {
			ASSERT_EQ(0, block_alloc_guarded(&self->heap,
							 i % 7 * 1000, 0,
							 side(i), 0, &block));
		}
		if (i % 4 == 0) {
			ASSERT_EQ(0, block_free(&self->heap, block));
		}
	}
	do {
		ret = heap_walk(&self->heap, nr ? &entries[nr - 1] : NULL,
				&entries[nr], 100);
		ASSERT_LE(0, ret);
		nr += ret;
	} while (ret);
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(1, heap_walk(&self->heap, i ? &entry : NULL, &entry, 1));
		EXPECT_EQ(0, memcmp(&entries[i], &entry, sizeof(entry)));
	}
	EXPECT_EQ(0, heap_walk(&self->heap, &entry, &entry, 1));
}

/* Numbers */

#define MANY_BLOCKS	200000

static char *many_blocks[MANY_BLOCKS];

/*
 * More live blocks than a process may have mappings, all of them guarded, each of
 * them touched.
 */
TEST_F_TIMEOUT(guard, many_live_blocks, 600)
{
	long max_maps = file_number("/proc/sys/vm/max_map_count");
	unsigned int i, nr_blocks = scaled(MANY_BLOCKS);
	struct privheap_stat stat;

	ASSERT_EQ(65530, max_maps);
	for (i = 0; i < nr_blocks; i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, 32, 0, 0, i,
						 &many_blocks[i]));
		memset(many_blocks[i], i, 32);
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(nr_blocks, stat.out_nr_blocks);
	EXPECT_EQ(nr_blocks * self->page, stat.out_committed_bytes);
	EXPECT_GT(100, maps_heaps());
	for (i = 0; i < nr_blocks; i += 997) {
		EXPECT_TRUE(all_bytes(many_blocks[i], 32, i));
		EXPECT_EQ(SIGSEGV, touch_write(many_blocks[i] + 32));
		expect_description(_metadata, &self->heap, many_blocks[i] + 32,
				   PRIVHEAP_DESCRIBE_LIVE, many_blocks[i], 32,
				   i, 0);
	}
	TH_LOG("%llu guarded blocks in %d mappings", stat.out_nr_blocks,
	       maps_heaps());
}

/* What the same comes to where each guard page is made by mprotect(). */
TEST_F_TIMEOUT(guard, mprotect_reaches_the_limit, 600)
{
	size_t page = self->page;
	char *mem = mmap(NULL, MANY_BLOCKS * 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned int nr = 0;

	ASSERT_NE(MAP_FAILED, mem);
	while (nr < MANY_BLOCKS &&
	       !mprotect(mem + (2 * nr + 1) * page, page, PROT_NONE))
		nr++;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_LT(32000, nr);
	EXPECT_GT(33000, nr);
	TH_LOG("%u guarded blocks with mprotect()", nr);
}

/* Threads */

#define RACE_ROUNDS	scaled(2000)

struct race {
	struct heap *heap;
	char **block;
	pthread_barrier_t *barrier;
	unsigned int nr_freed;
};

static void *free_in_race(void *data)
{
	struct race *race = data;
	unsigned int i;

	for (i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(race->barrier);
		race->nr_freed += !block_free_guarded(race->heap, *race->block, i);
		pthread_barrier_wait(race->barrier);
	}
	return NULL;
}

/* Of two that free a block at the same time, one does. */
TEST_F_TIMEOUT(guard, free_in_two_threads, 120)
{
	pthread_barrier_t barrier;
	struct race races[2];
	pthread_t thread;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	for (i = 0; i < 2; i++)
		races[i] = (struct race){ &self->heap, &block, &barrier, 0 };
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_in_race, &races[1]));
	for (i = 0; i < RACE_ROUNDS; i++) {
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, 8, 0, 0, i, &block));
		pthread_barrier_wait(&barrier);
		races[0].nr_freed += !block_free_guarded(&self->heap, block, i);
		pthread_barrier_wait(&barrier);
		EXPECT_EQ(STATE_FREED, state_of(&self->heap, block));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(RACE_ROUNDS, races[0].nr_freed + races[1].nr_freed);
}

TEST_HARNESS_MAIN
