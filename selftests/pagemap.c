// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page maps: that each kind of page is shown as what it is, when it becomes so, and
 * that the array can be read and nothing else, for as long as the region is there.
 */
#include <pthread.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#ifndef __NR_mseal
#define __NR_mseal	462
#endif

#define FIRST	PRIVHEAP_PAGE_F_FIRST

/* Pages that one page of the array is for, and how long these are. */
#define LEAF_PAGES	(page_bytes() / sizeof(struct privheap_page))
#define LEAF_BYTES	(LEAF_PAGES * page_bytes())

FIXTURE(pagemap) {
	int fd;
	size_t page;
	struct heap heap;
	struct privheap_pagemap map;
};

FIXTURE_SETUP(pagemap)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 64 * MIB));
	ASSERT_EQ(0, heap_pagemap(&self->heap, NULL, &self->map));
}

FIXTURE_TEARDOWN(pagemap)
{
	close(self->fd);
	EXPECT_EQ(0, maps_count("privheap"));
}

static char *array_of(const struct privheap_pagemap *map)
{
	return (char *)(uintptr_t)map->out_map;
}

/* Pages from @addr on, as far as @bytes, are @use and @state. */
static void expect_pages(struct __test_metadata *_metadata,
			 const struct privheap_pagemap *map, const char *addr,
			 size_t bytes, unsigned int use, unsigned int state)
{
	struct privheap_page page;
	size_t i;

	for (i = 0; i < bytes; i += page_bytes()) {
		page = pagemap_at(map, addr + i);
		ASSERT_EQ(use, page.use) {
			TH_LOG("page %zu at %p", i / page_bytes(), addr);
		}
		ASSERT_EQ(state, page.state) {
			TH_LOG("page %zu at %p", i / page_bytes(), addr);
		}
	}
}

#define EXPECT_PAGES(map, addr, bytes, use, state)			\
	expect_pages(_metadata, map, addr, bytes, PRIVHEAP_PAGE_##use,	\
		     PRIVHEAP_PAGE_##state)

/* Pages of one run: the first one is marked. */
#define EXPECT_RUN(map, addr, bytes, use, state) do {			\
	const char *addr_ = (addr);					\
	expect_pages(_metadata, map, addr_, page_bytes(),		\
		     PRIVHEAP_PAGE_##use | FIRST, PRIVHEAP_PAGE_##state); \
	EXPECT_PAGES(map, addr_ + page_bytes(), (bytes) - page_bytes(),	\
		     use, state);					\
} while (0)

static unsigned long long process_usage(int fd)
{
	struct privheap_limit limit;

	return process_limit(fd, &limit) ? 0 : limit.out_usage_bytes;
}

/* A block that is not at the start of the heap, where a page is resident already. */
static int block_alloc_apart(struct heap *heap, size_t bytes, char **block)
{
	int ret = block_alloc_with(heap, bytes, MIB, 0, block);

	if (ret || *block != heap->base)
		return ret;
	return block_alloc_with(heap, bytes, MIB, 0, block);
}

/* A heap of which a MiB is idle. */
static int heap_with_idle_pages(struct heap *heap, int fd)
{
	char *block;
	int ret = heap_create(heap, fd, .max_bytes = 4 * MIB, .idle_bytes = MIB) ?:
		  block_alloc(heap, MIB, &block);

	if (ret)
		return ret;
	memset(block, 1, MIB);
	return block_free(heap, block);
}

/* What is shown */

TEST_F(pagemap, new_heap)
{
	EXPECT_EQ((uintptr_t)self->heap.base, self->map.out_base);
	EXPECT_EQ(64 * MIB / self->page, self->map.out_nr_pages);
	EXPECT_PAGES(&self->map, self->heap.base, self->page, FREE, RESIDENT);
	EXPECT_PAGES(&self->map, self->heap.base + self->page,
		     64 * MIB - self->page, FREE, RESERVED);
}

TEST_F(pagemap, slots)
{
	size_t largest, end, n;
	char *block;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 64 * MIB,
				 .policy = PRIVHEAP_POLICY_PAGE));
	ASSERT_EQ(0, heap_pagemap(&self->heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc(&self->heap, 16000, &block));
	ASSERT_EQ(self->heap.base, block);
	/* The heap's first page has been resident before. */
	for (end = 0; pagemap_at(&self->map, block + end).use; end += self->page)
		;
	ASSERT_LE(16000, end);
	expect_pages(_metadata, &self->map, block, self->page,
		     PRIVHEAP_PAGE_SPAN | FIRST, PRIVHEAP_PAGE_RESIDENT);
	EXPECT_PAGES(&self->map, block + self->page, end - self->page, SPAN,
		     COMMITTED);
	for (n = self->page; n < end; n += self->page) {
		ASSERT_EQ(0, touch_write(block + n));
		EXPECT_PAGES(&self->map, block + n, self->page, SPAN, RESIDENT);
	}
	/* The span is kept for the next block of that size. */
	EXPECT_EQ(0, block_free(&self->heap, block));
	EXPECT_RUN(&self->map, block, end, SPAN, RESIDENT);
	EXPECT_EQ(0, heap_compact(&self->heap, &largest));
	EXPECT_PAGES(&self->map, block, self->page, FREE, RESIDENT);
	EXPECT_PAGES(&self->map, block + self->page, end - self->page, FREE,
		     RESERVED);
}

TEST_F(pagemap, large_block)
{
	const size_t bytes = 3 * MIB;
	char *block, *next;

	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	ASSERT_EQ(0, block_alloc_apart(&self->heap, bytes, &block));
	EXPECT_RUN(&self->map, block, bytes, LARGE, COMMITTED);
	EXPECT_PAGES(&self->map, block + bytes, MIB, FREE, RESERVED);
	memset(block, 1, bytes);
	EXPECT_RUN(&self->map, block, bytes, LARGE, RESIDENT);
	/* Two blocks side by side are told apart. */
	ASSERT_EQ(0, block_alloc(&self->heap, MIB, &next));
	EXPECT_RUN(&self->map, next, MIB, LARGE, COMMITTED);
	EXPECT_EQ(0, block_free(&self->heap, block));
	EXPECT_PAGES(&self->map, block, bytes, FREE, RESERVED);
	EXPECT_RUN(&self->map, next, MIB, LARGE, COMMITTED);
}

TEST_F(pagemap, large_block_resized)
{
	char *block;

	ASSERT_EQ(0, block_alloc_apart(&self->heap, MIB, &block));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 2 * MIB,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	EXPECT_RUN(&self->map, block, 2 * MIB, LARGE, COMMITTED);
	memset(block, 1, 2 * MIB);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 300 * KIB,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	EXPECT_RUN(&self->map, block, 300 * KIB, LARGE, RESIDENT);
	EXPECT_PAGES(&self->map, block + 300 * KIB, 2 * MIB - 300 * KIB, FREE,
		     RESERVED);
}

/* A block that moves takes its memory along. */
TEST_F(pagemap, large_block_moved)
{
	char *block, *wall, *old;

	ASSERT_EQ(0, block_alloc_apart(&self->heap, MIB, &block));
	ASSERT_EQ(0, block_alloc_with(&self->heap, MIB, MIB, 0, &wall));
	ASSERT_EQ(block + MIB, wall);
	memset(block, 1, MIB);
	old = block;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 2 * MIB, 0));
	ASSERT_NE(old, block);
	EXPECT_PAGES(&self->map, old, MIB, FREE, RESERVED);
	expect_pages(_metadata, &self->map, block, self->page,
		     PRIVHEAP_PAGE_LARGE | FIRST, PRIVHEAP_PAGE_RESIDENT);
	EXPECT_PAGES(&self->map, block + self->page, MIB - self->page, LARGE,
		     RESIDENT);
	EXPECT_PAGES(&self->map, block + MIB, MIB, LARGE, COMMITTED);
}

TEST_F(pagemap, decommit_and_commit)
{
	char *block;

	ASSERT_EQ(0, block_alloc_with(&self->heap, MIB, MIB, 0, &block));
	memset(block, 1, MIB);
	ASSERT_EQ((long)(64 * KIB),
		  heap_decommit(&self->heap, block + 64 * KIB, 64 * KIB));
	EXPECT_RUN(&self->map, block, 64 * KIB, LARGE, RESIDENT);
	EXPECT_PAGES(&self->map, block + 64 * KIB, 64 * KIB, LARGE, RESERVED);
	EXPECT_PAGES(&self->map, block + 128 * KIB, MIB - 128 * KIB, LARGE,
		     RESIDENT);
	ASSERT_EQ((long)(64 * KIB),
		  heap_commit(&self->heap, block + 64 * KIB, 64 * KIB));
	EXPECT_RUN(&self->map, block, MIB, LARGE, RESIDENT);
}

TEST_F(pagemap, prefault)
{
	char *block;

	ASSERT_EQ(0, block_alloc_apart(&self->heap, MIB, &block));
	ASSERT_EQ((long)(64 * KIB), heap_prefault(&self->heap, block, 64 * KIB));
	EXPECT_RUN(&self->map, block, 64 * KIB, LARGE, RESIDENT);
	EXPECT_PAGES(&self->map, block + 64 * KIB, MIB - 64 * KIB, LARGE,
		     COMMITTED);
}

TEST_F(pagemap, taken_span)
{
	struct privheap_batch_entry drop = { .bytes = 2 * self->page };
	char *span;

	ASSERT_EQ(0, span_take(&self->heap, 7, &span));
	memset(span, 1, 7 * self->page);
	EXPECT_RUN(&self->map, span, 7 * self->page, TAKEN, RESIDENT);
	drop.addr = (uintptr_t)span + 3 * self->page;
	ASSERT_EQ(1, batch(&self->heap, PRIVHEAP_BATCH_DROP, 0, &drop, 1));
	ASSERT_EQ(0, drop.out_error);
	EXPECT_RUN(&self->map, span, 3 * self->page, TAKEN, RESIDENT);
	EXPECT_PAGES(&self->map, span + 3 * self->page, 2 * self->page, TAKEN,
		     COMMITTED);
	EXPECT_PAGES(&self->map, span + 5 * self->page, 2 * self->page, TAKEN,
		     RESIDENT);
	ASSERT_EQ(0, span_give(&self->heap, span));
	EXPECT_PAGES(&self->map, span + self->page, 6 * self->page, FREE,
		     RESERVED);
}

TEST_F(pagemap, reset)
{
	char *block, *span;
	size_t kept;

	ASSERT_EQ(0, block_alloc_apart(&self->heap, MIB, &block));
	memset(block, 1, MIB);
	ASSERT_EQ(0, span_take(&self->heap, 7, &span));
	ASSERT_EQ(0, heap_reset(&self->heap, 64 * KIB, &kept));
	ASSERT_EQ(64 * KIB, kept);
	EXPECT_PAGES(&self->map, block, 64 * KIB, FREE, RESIDENT);
	EXPECT_PAGES(&self->map, block + 64 * KIB, MIB - 64 * KIB, FREE,
		     RESERVED);
	EXPECT_PAGES(&self->map, span + self->page, 6 * self->page, FREE,
		     RESERVED);
}

/* Pages that stay when they are freed are idle: free, and still resident. */
TEST_F(pagemap, idle_pages)
{
	struct heap heap;
	size_t largest;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .idle_bytes = 4 * MIB));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc_apart(&heap, MIB, &block));
	memset(block, 1, MIB / 2);
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_PAGES(&self->map, block, MIB / 2, FREE, RESIDENT);
	EXPECT_PAGES(&self->map, block + MIB / 2, MIB / 2, FREE, RESERVED);
	EXPECT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_PAGES(&self->map, block, MIB, FREE, RESERVED);
}

TEST_F(pagemap, guarded_block)
{
	char *behind, *before;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .quarantine_bytes = MIB));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc_guarded(&heap, 2 * self->page, 16, 0, 0,
					 &behind));
	ASSERT_EQ(0, block_alloc_guarded(&heap, 2 * self->page, 16,
					 PRIVHEAP_GUARD_ALLOC_F_BEFORE, 0,
					 &before));
	/* The guard page is the one that is not committed. */
	EXPECT_RUN(&self->map, behind, 2 * self->page, GUARDED, COMMITTED);
	EXPECT_PAGES(&self->map, behind + 2 * self->page, self->page, GUARDED,
		     RESERVED);
	EXPECT_RUN(&self->map, before - self->page, self->page, GUARDED, RESERVED);
	EXPECT_PAGES(&self->map, before, 2 * self->page, GUARDED, COMMITTED);
	ASSERT_EQ(0, block_free(&heap, behind));
	EXPECT_RUN(&self->map, behind, 3 * self->page, QUARANTINED, RESERVED);
}

/* Guard pages of which nothing around them has ever been committed. */
TEST_F(pagemap, guard_page_alone_in_its_page_of_the_array)
{
	struct heap heap;
	char *fill, *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 3 * LEAF_BYTES,
				 .flags = PRIVHEAP_CREATE_F_GUARD));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc(&heap, LEAF_BYTES - self->page, &fill));
	ASSERT_EQ(0, block_alloc_guarded(&heap, self->page, 16, 0, 0, &block));
	ASSERT_EQ(heap.base + LEAF_BYTES - self->page, block);
	EXPECT_PAGES(&self->map, block + self->page, self->page, GUARDED,
		     RESERVED);
	/* The same for a map that is made now. */
	ASSERT_EQ(0, munmap(array_of(&self->map), pagemap_bytes(&self->map)));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	EXPECT_PAGES(&self->map, block + self->page, self->page, GUARDED,
		     RESERVED);
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_PAGES(&self->map, block, 2 * self->page, FREE, RESERVED);
}

/* One touch makes all of a huge page resident; a part of it goes alone. */
TEST_F(pagemap, huge_page)
{
	const size_t huge = 512 * self->page;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * huge,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc_with(&heap, 2 * huge, huge, 0, &block));
	ASSERT_EQ(0, touch_write(block));
	EXPECT_RUN(&self->map, block, huge, LARGE, RESIDENT);
	EXPECT_PAGES(&self->map, block + huge, huge, LARGE, COMMITTED);
	ASSERT_EQ((long)(4 * self->page),
		  heap_decommit(&heap, block + 8 * self->page, 4 * self->page));
	EXPECT_RUN(&self->map, block, 8 * self->page, LARGE, RESIDENT);
	EXPECT_PAGES(&self->map, block + 8 * self->page, 4 * self->page, LARGE,
		     RESERVED);
	EXPECT_PAGES(&self->map, block + 12 * self->page, huge - 12 * self->page,
		     LARGE, RESIDENT);
}

TEST_F(pagemap, backed_heap)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .flags = PRIVHEAP_CREATE_F_BACKED));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc_with(&heap, 3 * MIB, MIB, 0, &block));
	EXPECT_RUN(&self->map, block, 3 * MIB, LARGE, RESIDENT);
}

TEST_F(pagemap, secret_heap)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .flags = PRIVHEAP_CREATE_F_SECRET));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc_apart(&heap, MIB, &block));
	memset(block, 1, MIB);
	EXPECT_RUN(&self->map, block, MIB, LARGE, RESIDENT);
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_PAGES(&self->map, block, MIB, FREE, RESERVED);
}

/* What was read as empty is not so for ever. */
TEST_F(pagemap, used_after_it_was_read)
{
	char *fill, *block;

	EXPECT_PAGES(&self->map, self->heap.base + 3 * LEAF_BYTES, self->page,
		     FREE, RESERVED);
	ASSERT_EQ(0, block_alloc(&self->heap, 2 * LEAF_BYTES, &fill));
	ASSERT_EQ(0, block_alloc(&self->heap, 2 * LEAF_BYTES, &block));
	EXPECT_PAGES(&self->map, fill + self->page, 2 * LEAF_BYTES - self->page,
		     LARGE, COMMITTED);
	EXPECT_RUN(&self->map, block, 2 * LEAF_BYTES, LARGE, COMMITTED);
}

/* The array is as long as the heap; only what it says something of has memory. */
TEST_F(pagemap, vast_heap)
{
	const size_t bytes = 1UL << 45;
	unsigned long long usage;
	char *first, *block;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = bytes));
	/* It is resident already. */
	ASSERT_EQ(0, block_alloc_with(&heap, self->page, self->page, 0, &first));
	ASSERT_EQ(heap.base, first);
	usage = process_usage(self->fd);
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	EXPECT_EQ(bytes / self->page, self->map.out_nr_pages);
	EXPECT_EQ(usage + self->page, process_usage(self->fd));
	ASSERT_EQ(0, block_alloc_with(&heap, MIB, MIB, 0, &block));
	EXPECT_RUN(&self->map, block, MIB, LARGE, COMMITTED);
	EXPECT_PAGES(&self->map, heap.base + bytes - self->page, self->page, FREE,
		     RESERVED);
	EXPECT_EQ(usage + self->page + MIB, process_usage(self->fd));
	ASSERT_EQ(0, heap_destroy(&heap));
}

/* What nothing is to be said of any more costs nothing, once the heap is compacted or reset. */
TEST_F(pagemap, leaves_go)
{
	const size_t bytes = 40 * MIB;
	unsigned long long usage;
	char *first, *block;
	size_t unused;
	struct heap heap;
	int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 2 * bytes));
	ASSERT_EQ(0, block_alloc_with(&heap, self->page, self->page, 0, &first));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	usage = process_usage(self->fd);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, block_alloc(&heap, bytes, &block));
		EXPECT_LE(usage + bytes + 4 * self->page, process_usage(self->fd));
		EXPECT_RUN(&self->map, block, bytes, LARGE, COMMITTED);
		if (i) {
			ASSERT_EQ(0, heap_reset(&heap, 0, &unused));
			ASSERT_EQ(0, block_alloc_with(&heap, self->page,
						      self->page, 0, &first));
		} else {
			ASSERT_EQ(0, block_free(&heap, block));
			ASSERT_EQ(0, heap_compact(&heap, &unused));
		}
		EXPECT_EQ(usage, process_usage(self->fd));
		EXPECT_PAGES(&self->map, block, bytes, FREE, RESERVED);
	}
	ASSERT_EQ(0, heap_destroy(&heap));
}

/* Regions */

TEST_F(pagemap, region_of_its_own)
{
	struct privheap_pagemap first;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	memset(block, 1, 3 * MIB);
	ASSERT_EQ(0, heap_pagemap(&heap, block + 2 * MIB + 5, &self->map));
	EXPECT_EQ((uintptr_t)block, self->map.out_base);
	EXPECT_EQ(3 * MIB / self->page, self->map.out_nr_pages);
	EXPECT_RUN(&self->map, block, 3 * MIB, LARGE, RESIDENT);
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &first));
	EXPECT_NE(first.out_map, self->map.out_map);
	EXPECT_EQ((uintptr_t)heap.base, first.out_base);
	/* It goes with the region. */
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&self->map)));
	EXPECT_EQ(0, touch_read(array_of(&first)));
	EXPECT_EQ(4, maps_heaps());
}

TEST_F(pagemap, reset_ends_regions)
{
	struct heap heap;
	char *block;
	size_t kept;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	ASSERT_EQ(0, heap_pagemap(&heap, block, &self->map));
	ASSERT_EQ(0, heap_reset(&heap, 0, &kept));
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&self->map)));
}

TEST_F(pagemap, asked_for_twice)
{
	unsigned long long usage = process_usage(self->fd);
	struct privheap_pagemap again;
	int nr = maps_heaps();

	ASSERT_EQ(0, heap_pagemap(&self->heap, self->heap.base + MIB, &again));
	EXPECT_EQ(self->map.out_map, again.out_map);
	EXPECT_EQ(self->map.out_base, again.out_base);
	EXPECT_EQ(self->map.out_nr_pages, again.out_nr_pages);
	EXPECT_EQ(nr, maps_heaps());
	EXPECT_EQ(usage, process_usage(self->fd));
}

TEST_F(pagemap, bad_address)
{
	struct privheap_pagemap map;

	EXPECT_EQ(-ENOENT, heap_pagemap(&self->heap, self->heap.base - 1, &map));
	EXPECT_EQ(-ENOENT, heap_pagemap(&self->heap, self->heap.base + 64 * MIB,
					&map));
	EXPECT_EQ(-ENOENT, heap_pagemap(&self->heap, array_of(&self->map), &map));
	EXPECT_EQ(-ENOENT, heap_pagemap(&self->heap, (void *)-1UL, &map));
	EXPECT_EQ(-ENOENT, heap_pagemap(&self->heap, (void *)1UL, &map));
	EXPECT_EQ(2, maps_heaps());
}

TEST_F(pagemap, stale_id)
{
	struct privheap_pagemap map;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(-ENXIO, heap_pagemap(&self->heap, NULL, &map));
	EXPECT_EQ(0, maps_heaps());
}

/* The mapping */

TEST_F(pagemap, cannot_be_written)
{
	char *array = array_of(&self->map), byte = 1;
	struct iovec local = { &byte, 1 }, remote = { array, 1 };
	int fds[2];

	EXPECT_EQ(0, touch_read(array));
	EXPECT_EQ(SIGSEGV, touch_write(array));
	/* Nor by the kernel, which may read it. */
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(1, write(fds[1], array, 1));
	EXPECT_EQ(-1, read(fds[0], array, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	close(fds[0]);
	close(fds[1]);
}

TEST_F(pagemap, cannot_be_protected)
{
	static const int prots[] = {
		PROT_NONE, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
	};
	char *array = array_of(&self->map);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		EXPECT_EQ(-1, mprotect(array, pagemap_bytes(&self->map),
				       prots[i]));
		EXPECT_EQ(EACCES, errno);
	}
	EXPECT_EQ(-1, mprotect(array, self->page, PROT_NONE));
	EXPECT_EQ(0, touch_read(array));
	EXPECT_EQ(SIGSEGV, touch_write(array));
}

TEST_F(pagemap, cannot_be_moved_or_split)
{
	const size_t all = pagemap_bytes(&self->map);
	char *array = array_of(&self->map);
	char *place = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_LT(self->page, all);
	ASSERT_NE(MAP_FAILED, place);
	EXPECT_EQ(MAP_FAILED, mremap(array, all, all, MREMAP_MAYMOVE | MREMAP_FIXED,
				     place));
	EXPECT_EQ(MAP_FAILED, mremap(array, all, 2 * all, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(array, 0, all, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(array, all, self->page, 0));
	EXPECT_EQ(-1, munmap(array, self->page));
	EXPECT_EQ(-1, munmap(array + all - self->page, self->page));
	EXPECT_EQ(MAP_FAILED, mmap(array, self->page, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(-1, remap_file_pages(array, self->page, 0, 1, 0));
	EXPECT_PAGES(&self->map, self->heap.base, self->page, FREE, RESIDENT);
	EXPECT_EQ(2, maps_heaps());
	munmap(place, all);
}

TEST_F(pagemap, advice_changes_nothing)
{
	static const int refused[] = { MADV_DOFORK, MADV_DODUMP, MADV_DONTNEED };
	const size_t all = pagemap_bytes(&self->map);
	char *array = array_of(&self->map);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		EXPECT_EQ(-1, madvise(array, all, refused[i]));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(-1, madvise(array, all, MADV_REMOVE));
	EXPECT_PAGES(&self->map, self->heap.base, self->page, FREE, RESIDENT);
}

/* The heap goes on, and the next call maps it again. */
TEST_F(pagemap, unmapped_by_the_program)
{
	unsigned long long usage = process_usage(self->fd);
	char *block;

	ASSERT_EQ(0, munmap(array_of(&self->map), pagemap_bytes(&self->map)));
	EXPECT_EQ(usage - self->page, process_usage(self->fd));
	EXPECT_EQ(1, maps_heaps());
	ASSERT_EQ(0, block_alloc_with(&self->heap, MIB, MIB, 0, &block));
	memset(block, 1, MIB);
	EXPECT_EQ(0, heap_check_works(&self->heap));
	ASSERT_EQ(0, heap_pagemap(&self->heap, NULL, &self->map));
	EXPECT_RUN(&self->map, block, MIB, LARGE, RESIDENT);
	EXPECT_EQ(2, maps_heaps());
}

/* Owners */

TEST_F(pagemap, child_has_none)
{
	struct privheap_pagemap map;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(maps_heaps() ||
		      touch_read(array_of(&self->map)) != SIGSEGV ||
		      heap_pagemap(&self->heap, NULL, &map) != -EPERM);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_PAGES(&self->map, self->heap.base, self->page, FREE, RESIDENT);
}

/* The heap ends where its mappings cannot be taken away. */
TEST_F(pagemap, closed_by_another_process)
{
	int fds[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(0, touch_read(array_of(&self->map)));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) != 0);
	}
	close(fds[0]);
	close(self->fd);
	close(fds[1]);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&self->map)));
	EXPECT_EQ(0, munmap(array_of(&self->map), pagemap_bytes(&self->map)));
	EXPECT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	self->fd = privheap_open();
}

/* Limits */

TEST_F(pagemap, limit_refuses_it)
{
	struct privheap_stat before;
	struct privheap_limit limit;
	char *block;

	ASSERT_EQ(0, munmap(array_of(&self->map), pagemap_bytes(&self->map)));
	ASSERT_EQ(0, block_alloc(&self->heap, LEAF_BYTES + MIB, &block));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	/* It takes two pages, and one is left. */
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = process_usage(self->fd) +
						 self->page));
	EXPECT_EQ(-EDQUOT, heap_pagemap(&self->heap, NULL, &self->map));
	EXPECT_EQ(limit.out_usage_bytes, process_usage(self->fd));
	EXPECT_HEAP_STAT(&before, &self->heap);
	EXPECT_EQ(1, maps_heaps());
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = PRIVHEAP_LIMIT_NONE));
	EXPECT_EQ(0, heap_pagemap(&self->heap, NULL, &self->map));
}

/* A commit is refused for the sake of the map, and leaves nothing. */
TEST_F(pagemap, limit_refuses_a_commit)
{
	unsigned long long usage;
	struct privheap_stat before;
	struct privheap_limit limit;
	char *fill, *block = NULL;

	ASSERT_EQ(0, block_alloc(&self->heap, LEAF_BYTES - 2 * self->page, &fill));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	usage = process_usage(self->fd);
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = usage + 64 * KIB));
	EXPECT_EQ(-EDQUOT, block_alloc(&self->heap, 64 * KIB, &block));
	EXPECT_EQ(usage, process_usage(self->fd));
	before.out_nr_limit_failures = 0;
	EXPECT_HEAP_STAT(&before, &self->heap);
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = usage + 64 * KIB + self->page));
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	EXPECT_RUN(&self->map, block, 64 * KIB, LARGE, COMMITTED);
	EXPECT_EQ(usage + 64 * KIB + self->page, process_usage(self->fd));
}

/* What the limit of the heap refuses costs nobody anything before that. */
TEST_F(pagemap, own_limit_refuses_a_commit)
{
	struct privheap_limit before, after;
	struct heap heap, other;
	struct privheap_stat stat;
	char *block;

	ASSERT_EQ(0, heap_with_idle_pages(&other, self->fd));
	ASSERT_EQ(0, heap_stat(&other, &stat));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 1UL << 36,
				 .limit_bytes = MIB));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, process_limit(self->fd, &before,
				   .flags = PRIVHEAP_LIMIT_F_HARD |
					    PRIVHEAP_LIMIT_F_SOFT,
				   .hard_bytes = process_usage(self->fd) + 8 * MIB,
				   .soft_bytes = process_usage(self->fd) + MIB));
	EXPECT_EQ(-EDQUOT, block_alloc(&heap, 1UL << 35, &block));
	ASSERT_EQ(0, process_limit(self->fd, &after));
	EXPECT_EQ(before.out_usage_bytes, after.out_usage_bytes);
	EXPECT_EQ(before.out_peak_bytes, after.out_peak_bytes);
	EXPECT_EQ(0, after.out_nr_soft_hits);
	EXPECT_EQ(0, after.out_nr_failures);
	ASSERT_EQ(0, heap_limit(&heap, &after));
	EXPECT_EQ(1, after.out_nr_failures);
	EXPECT_HEAP_STAT(&stat, &other);
	ASSERT_EQ(0, heap_destroy(&heap));
}

/*
 * The limit has no room for the map of what is committed. The idle pages that make
 * some lie in the range, and count again then.
 */
TEST_F(pagemap, idle_pages_go_for_the_map)
{
	unsigned long long usage;
	struct privheap_limit limit;
	struct heap heap, other;
	struct privheap_stat stat;
	char *block;

	ASSERT_EQ(0, heap_with_idle_pages(&other, self->fd));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 64 * MIB,
				 .idle_bytes = MIB));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc(&heap, MIB, &block));
	memset(block, 1, MIB);
	ASSERT_EQ(0, block_free(&heap, block));
	usage = process_usage(self->fd);
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = usage + LEAF_BYTES));
	ASSERT_EQ(0, block_alloc(&heap, LEAF_BYTES + MIB, &block));
	EXPECT_PAGES(&self->map, block + self->page,
		     LEAF_BYTES + MIB - self->page, LARGE, COMMITTED);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(0, stat.out_idle_bytes);
	EXPECT_EQ(LEAF_BYTES + MIB, stat.out_committed_bytes);
	ASSERT_EQ(0, heap_stat(&other, &stat));
	EXPECT_EQ(0, stat.out_idle_bytes);
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(0, limit.out_nr_failures);
	ASSERT_EQ(0, heap_destroy(&heap));
	ASSERT_EQ(0, heap_destroy(&other));
}

TEST_F(pagemap, injected_failure_leaves_nothing)
{
	unsigned long long usage = process_usage(self->fd);
	char *block;

	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 1));
	EXPECT_EQ(-ENOMEM, block_alloc(&self->heap, 3 * LEAF_BYTES, &block));
	EXPECT_EQ(usage, process_usage(self->fd));
	EXPECT_PAGES(&self->map, self->heap.base + self->page,
		     64 * MIB - self->page, FREE, RESERVED);
	ASSERT_EQ(0, block_alloc(&self->heap, 3 * LEAF_BYTES, &block));
	EXPECT_PAGES(&self->map, block + self->page, 3 * LEAF_BYTES - self->page,
		     LARGE, COMMITTED);
}

TEST_F(pagemap, charged_to_the_heaps_cgroup)
{
	unsigned long long usage;
	struct cgroup cgroup;
	struct heap heap;
	long before;
	char *block;
	int fd;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	fd = cgroup_open(&cgroup);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, self->fd, .flags = PRIVHEAP_CREATE_F_CGROUP,
				 .cgroup_fd = fd, .max_bytes = 64 * LEAF_BYTES));
	ASSERT_EQ(0, block_alloc(&heap, 64 * LEAF_BYTES - 64 * KIB, &block));
	before = cgroup_bytes_exact(&cgroup);
	ASSERT_LT(0, before);
	usage = process_usage(self->fd);
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	EXPECT_EQ(usage + 64 * self->page, process_usage(self->fd));
	EXPECT_LE(before + 64 * (long)self->page, cgroup_bytes_exact(&cgroup));
	ASSERT_EQ(0, heap_destroy(&heap));
	close(fd);
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* The end */

TEST_F(pagemap, goes_with_the_heap)
{
	unsigned long long usage = process_usage(self->fd);
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
	ASSERT_EQ(0, block_alloc(&heap, 2 * MIB, &block));
	ASSERT_EQ(0, heap_pagemap(&heap, block, &self->map));
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&self->map)));
	EXPECT_EQ(2, maps_heaps());
	EXPECT_EQ(usage, process_usage(self->fd));
}

TEST_F(pagemap, of_a_dead_heap)
{
	struct privheap_pagemap map;

	ASSERT_EQ(0, touch_read(array_of(&self->map)));
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&self->map)));
	EXPECT_EQ(-EIDRM, heap_pagemap(&self->heap, NULL, &map));
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
	EXPECT_EQ(0, process_usage(self->fd));
}

TEST_F(pagemap, unmapped_of_a_dead_heap)
{
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	ASSERT_EQ(0, munmap(array_of(&self->map), pagemap_bytes(&self->map)));
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, process_usage(self->fd));
}

/* A heap that follows another one in its place shows nothing of it. */
TEST_F(pagemap, retired_heap)
{
	struct privheap_pagemap map;
	struct heap old, next;
	char *block;

	ASSERT_EQ(0, heap_create(&old, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&old, 500 * KIB, &block));
	memset(block, 1, 500 * KIB);
	ASSERT_EQ(0, heap_pagemap(&old, NULL, &map));
	ASSERT_EQ(0, heap_destroy(&old));
	EXPECT_EQ(1, maps_count("/privheap (unused)"));
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&map)));
	ASSERT_EQ(0, heap_create(&next, self->fd, .max_bytes = MIB));
	ASSERT_EQ(old.base, next.base);
	EXPECT_EQ(SIGSEGV, touch_read(array_of(&map)));
	ASSERT_EQ(0, heap_pagemap(&next, NULL, &map));
	EXPECT_PAGES(&map, next.base, self->page, FREE, RESIDENT);
	EXPECT_PAGES(&map, next.base + self->page, MIB - self->page, FREE, RESERVED);
	/* Nor a heap of which nobody asked for a map. */
	ASSERT_EQ(0, block_alloc(&next, 500 * KIB, &block));
	memset(block, 1, 500 * KIB);
	EXPECT_EQ(4, maps_heaps());
}

/* A mapping that the program sealed stays, and says nothing. */
TEST_F(pagemap, sealed_by_the_program)
{
	struct heap heap;
	pid_t pid = fork();
	int fd;

	ASSERT_LE(0, pid);
	if (!pid) {
		fd = privheap_open();
		if (heap_create(&heap, fd, .max_bytes = MIB) ||
		    heap_pagemap(&heap, NULL, &self->map) ||
		    touch_read(array_of(&self->map)))
			_exit(1);
		/* Before 6.10 there is no such call: then it goes. */
		syscall(__NR_mseal, array_of(&self->map),
			pagemap_bytes(&self->map), 0);
		if (heap_destroy(&heap) ||
		    touch_read(array_of(&self->map)) != SIGSEGV ||
		    heap_create(&heap, fd, .max_bytes = MIB) ||
		    heap_check_works(&heap))
			_exit(2);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

/* Threads */

struct reader {
	pthread_t thread;
	const char *array;
	size_t bytes;
	bool stop;
	unsigned long nr_reads;
};

/* Reads an array that may go at any time. */
static void *read_on(void *data)
{
	struct reader *reader = data;
	size_t i = 0, bytes;
	const char *array;

	while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) {
		array = __atomic_load_n(&reader->array, __ATOMIC_ACQUIRE);
		bytes = __atomic_load_n(&reader->bytes, __ATOMIC_ACQUIRE);
		if (!sigsetjmp(touch_env, 1)) {
			(void)*(volatile const char *)(array + i % bytes);
			__atomic_add_fetch(&reader->nr_reads, 1, __ATOMIC_RELEASE);
		}
		i += 4096;
	}
	return NULL;
}

TEST_F_TIMEOUT(pagemap, destroyed_while_others_read, 120)
{
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO,
	}, old;
	struct reader reader = {
		.array = array_of(&self->map),
		.bytes = pagemap_bytes(&self->map),
	};
	unsigned long before;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, sigaction(SIGSEGV, &action, &old));
	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, read_on, &reader));
	for (i = 0; i < scaled(300); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd,
					 .max_bytes = i % 2 ? MIB : 64 * MIB));
		ASSERT_EQ(0, heap_pagemap(&heap, NULL, &self->map));
		__atomic_store_n(&reader.bytes, page_bytes(), __ATOMIC_RELEASE);
		__atomic_store_n(&reader.array, array_of(&self->map),
				 __ATOMIC_RELEASE);
		__atomic_store_n(&reader.bytes, pagemap_bytes(&self->map),
				 __ATOMIC_RELEASE);
		ASSERT_EQ(0, block_alloc(&heap, MIB / 2, &block));
		before = __atomic_load_n(&reader.nr_reads, __ATOMIC_ACQUIRE);
		while (__atomic_load_n(&reader.nr_reads, __ATOMIC_ACQUIRE) == before)
			sched_yield();
		if (i % 3 == 0) {
			ASSERT_EQ(0, munmap(array_of(&self->map),
					    pagemap_bytes(&self->map)));
		}
		ASSERT_EQ(0, heap_destroy(&heap));
	}
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(reader.thread, NULL));
	ASSERT_EQ(0, sigaction(SIGSEGV, &old, NULL));
}

TEST_HARNESS_MAIN
