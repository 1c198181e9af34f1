/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs on privacy share: a heap with a filled block, and whether it
 * is intact, out of reach, or dead.
 */
#ifndef PRIVACY_UTIL_H
#define PRIVACY_UTIL_H

#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(privacy) {
	int fd;
	size_t page;
	struct heap heap;
	/* A block that takes a part of the region, and is filled. */
	char *block;
	size_t bytes;
	struct privheap_stat before;
};

FIXTURE_SETUP(privacy)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->bytes = 100 * KIB;
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &self->block));
	pattern_fill(self->block, self->bytes, 1);
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(privacy)
{
	close(self->fd);
}

/* For its owner the heap is as it was at the start. */
static inline void expect_intact(struct __test_metadata *_metadata,
				 FIXTURE_DATA(privacy) *self)
{
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_EQ(1, maps_heaps());
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 1));
	EXPECT_EQ(0, touch_write(self->block));
	EXPECT_EQ(0, heap_check_works(&self->heap));
	EXPECT_EQ(0, heap_stat(&self->heap, &self->before));
}

/* Names a call that does not answer @err; "none" if each does. */
static inline const char *calls_without(int err, const struct heap *heap,
					char *block)
{
	struct privheap_info info;
	struct privheap_stat stat;
	struct privheap_entry entry;
	struct heap other;
	char *new = block;
	size_t largest;

	if (privheap_info(heap->fd, &info) != err)
		return "info";
	if (heap_create(&other, heap->fd) != err)
		return "create";
	if (heap_create(&other, heap->fd, .max_bytes = MIB) != err)
		return "create";
	if (heap_stat(heap, &stat) != err)
		return "stat";
	if (block_alloc(heap, 64, &new) != err)
		return "alloc";
	if (block_realloc(heap, &new, 128, 0) != err)
		return "realloc";
	if (block_size(heap, block) != err)
		return "size";
	if (block_free(heap, block) != err)
		return "free";
	if (heap_walk(heap, NULL, &entry, 1) != err)
		return "walk";
	if (heap_compact(heap, &largest) != err)
		return "compact";
	if (heap_destroy(heap) != err)
		return "destroy";
	return "none";
}

/* How many pages of @bytes at @start can be touched in any way. */
static inline unsigned int nr_touchable(const char *start, size_t bytes)
{
	unsigned int nr = 0;
	size_t offset;

	for (offset = 0; offset < bytes; offset += page_bytes()) {
		if (touch_read(start + offset) != SIGSEGV ||
		    touch_write(start + offset) != SIGSEGV)
			nr++;
	}
	return nr;
}

/* All calls but stat and destroy say that the heap is dead. */
static inline void expect_dead(struct __test_metadata *_metadata,
			       const struct heap *heap, char *block)
{
	struct privheap_stat stat;
	struct privheap_entry entry;
	char *other = block;
	size_t largest;

	ASSERT_EQ(0, heap_stat(heap, &stat));
	EXPECT_EQ(PRIVHEAP_STAT_S_DEAD, stat.out_state);
	EXPECT_EQ((uintptr_t)heap->base, stat.out_base);
	EXPECT_EQ(-EIDRM, block_alloc(heap, 64, &other));
	EXPECT_EQ(-EIDRM, block_realloc(heap, &other, 128, 0));
	EXPECT_EQ(-EIDRM, block_size(heap, block));
	EXPECT_EQ(-EIDRM, block_free(heap, block));
	EXPECT_EQ(-EIDRM, heap_walk(heap, NULL, &entry, 1));
	EXPECT_EQ(-EIDRM, heap_compact(heap, &largest));
	EXPECT_HEAP_STAT(&stat, heap);
}

/* Looked at and destroyed, that is all; the next heap is as good as any. */
static inline void expect_dead_to_the_end(struct __test_metadata *_metadata,
					  FIXTURE_DATA(privacy) *self)
{
	struct privheap_stat stat;

	EXPECT_EQ(0, maps_heaps());
	expect_dead(_metadata, &self->heap, self->block);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_committed_bytes);
	EXPECT_EQ(0, stat.out_resident_bytes);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(-ENXIO, heap_stat(&self->heap, &stat));
	EXPECT_EQ(-ENXIO, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

struct caller {
	pthread_t thread;
	struct heap heap;
	unsigned long nr_calls;
	int ret;
};

/* Allocates and frees until a call is refused, and says why it was. */
static inline void *call_until_refused(void *data)
{
	struct caller *caller = data;
	char *block;

	do {
		caller->ret = block_alloc(&caller->heap, 2 * KIB, &block);
		if (!caller->ret)
			caller->ret = block_free(&caller->heap, block);
		__atomic_add_fetch(&caller->nr_calls, 1, __ATOMIC_RELEASE);
	} while (!caller->ret);
	return NULL;
}

/* Returns when the thread is at it. */
static inline void start_caller(struct __test_metadata *_metadata,
				struct caller *caller)
{
	ASSERT_EQ(0, pthread_create(&caller->thread, NULL, call_until_refused,
				    caller));
	while (__atomic_load_n(&caller->nr_calls, __ATOMIC_ACQUIRE) < 20) {
		sched_yield();
	}
}

#endif /* PRIVACY_UTIL_H */
