/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs on page faults share: a heap with a block that nobody has
 * touched, and how many of its pages are resident. The policy is to make the page
 * resident that is touched, and no other.
 */
#ifndef FAULT_UTIL_H
#define FAULT_UTIL_H

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(fault) {
	int fd;
	size_t page;
	struct heap heap;
	/* A block of some pages that nobody has touched yet. */
	char *block;
	size_t nr_pages;
	size_t bytes;
	struct privheap_stat before;
};

FIXTURE_SETUP(fault)
{
	char *first;

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->nr_pages = 16;
	self->bytes = self->nr_pages * self->page;
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 16 * MIB,
				 .initial_bytes = self->page,
				 .policy = PRIVHEAP_POLICY_PAGE));
	ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes, self->page, 0,
				      &self->block));
	if (self->block == self->heap.base) {
		/* The initial page is part of it: take what is beside. */
		first = self->block;
		ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes,
					      self->page, 0, &self->block));
		ASSERT_EQ(0, block_free(&self->heap, first));
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	ASSERT_EQ(self->page, self->before.out_resident_bytes);
}

FIXTURE_TEARDOWN(fault)
{
	close(self->fd);
}

/* Since the start of the test @nr_pages have become resident, no more. */
static inline void expect_resident(struct __test_metadata *_metadata,
				   FIXTURE_DATA(fault) *self, size_t nr_pages)
{
	struct privheap_stat expected = self->before;

	expected.out_resident_bytes += nr_pages * self->page;
	EXPECT_HEAP_STAT(&expected, &self->heap);
}

#endif /* FAULT_UTIL_H */
