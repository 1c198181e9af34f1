/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of pages, for the files below. heap.c has this from policy.h, and uses
 * nothing of it; no other file of the module includes it. The invariants are at the
 * top of chunk.c.
 *
 *	policy*.c	how many become resident together
 *	commit.c	which pages are committed, and charged
 *	  idle.c	which stay so without a block
 *	fault.c		which become resident when one is touched
 *	table.c		which have page tables, before they need them
 *	content.c	what resident pages hold: zero, copy, move
 *	pagemap.c	what of it the program can read
 *	  chunk.c	the states, chunk by chunk
 *	    pool.c	where memory comes from and goes to
 */
#ifndef _PRIVHEAP_CHUNK_H
#define _PRIVHEAP_CHUNK_H

#include <linux/bitmap.h>
#include <linux/nospec.h>

#include "internal.h"

/* Pages: zeroed, not movable, charged to the memory cgroup of who touches them. */
#define PH_GFP_PAGE	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT)
/* The same where a failure can be reported: no OOM killer. */
#define PH_GFP_BACKED	(PH_GFP_PAGE | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* How many pages travel together, and so the longest window of a fault. */
#define PH_BATCH_PAGES		64U

/**
 * struct ph_batch - memory on its way to pages, or back from them
 * @nr: how many entries of @pages are filled
 * @nr_recycled: the first of them, that hold what the process once wrote there;
 *	all others are zero
 * @next: the first one that was not used yet
 * @pages: the memory; each a page of its own with one reference
 */
struct ph_batch {
	unsigned int nr;
	unsigned int nr_recycled;
	unsigned int next;
	struct page *pages[PH_BATCH_PAGES];
};

/* Pages @lo .. @hi - 1 of a chunk. */
struct ph_part {
	unsigned int lo;
	unsigned int hi;
};

/* What of the pages [@first, @end) of a region lies in its chunk @index. */
static inline struct ph_part ph_chunk_part(unsigned long index,
					   unsigned long first,
					   unsigned long end)
{
	unsigned long base = index * PH_CHUNK_PAGES;

	return (struct ph_part){
		.lo = max(first, base) - base,
		.hi = min(end, base + PH_CHUNK_PAGES) - base,
	};
}

/* Goes through the chunks that there are for pages [@first, @end). */
#define ph_for_each_chunk(region, index, chunk, first, end)		\
	xa_for_each_range(&(region)->chunks, index, chunk,		\
			  (first) / PH_CHUNK_PAGES,			\
			  ((end) - 1) / PH_CHUNK_PAGES)

static inline struct ph_chunk *ph_chunk_find(struct ph_region *region,
					     unsigned long page)
{
	unsigned long index = page / PH_CHUNK_PAGES;

	if (index < PH_FIRST_CHUNKS)
		return READ_ONCE(region->first_chunks[array_index_nospec(
			index, PH_FIRST_CHUNKS)]);
	return xa_load(&region->chunks, index);
}

/* The state of page @i. The caller holds the chunk's lock, or ph_heap.lock. */
static inline u32 ph_chunk_state(const struct ph_chunk *chunk, unsigned int i)
{
	if (!test_bit(i, chunk->committed))
		return PRIVHEAP_PAGE_RESERVED;
	return READ_ONCE(chunk->pages[i]) ? PRIVHEAP_PAGE_RESIDENT :
					    PRIVHEAP_PAGE_COMMITTED;
}

/*
 * Is all of a chunk committed and nothing resident? The caller holds the chunk's
 * lock.
 */
static inline bool ph_chunk_is_blank_locked(const struct ph_chunk *chunk)
{
	return !chunk->nr_resident &&
	       bitmap_full(chunk->committed, PH_CHUNK_PAGES);
}

/* pagemap.c */
struct privheap_page *ph_pagemap_entries(struct ph_region *region,
					 unsigned long index);
void ph_pagemap_show_locked(struct ph_chunk *chunk, struct ph_part part);
unsigned long ph_pagemap_missing(struct ph_region *region, unsigned long first,
				 unsigned long end);
int ph_pagemap_fill(struct ph_region *region, unsigned long first,
		    unsigned long end);

/* The states of pages have changed: the caller holds the chunk's lock still. */
static inline void ph_chunk_show_locked(struct ph_chunk *chunk,
					struct ph_part part)
{
	if (unlikely(chunk->shown))
		ph_pagemap_show_locked(chunk, part);
}

/* chunk.c */
int ph_chunk_create_range(struct ph_region *region, unsigned long first,
			  unsigned long end);
void ph_chunk_free(struct ph_chunk *chunk);
void ph_chunk_trim(struct ph_chunk *chunk);
unsigned int ph_chunk_count(struct ph_chunk *chunk, struct ph_part part);
void ph_chunk_release_locked(struct ph_chunk *chunk, struct ph_part part);
void ph_chunk_release(struct ph_chunk *chunk, struct ph_part part);
struct page *ph_chunk_page(struct ph_region *region, unsigned long n);
void ph_chunk_zero(struct ph_chunk *chunk, struct ph_part part);
unsigned int ph_chunk_missing(struct ph_chunk *chunk, struct ph_part part);
void ph_chunk_fill_locked(struct ph_chunk *chunk, struct ph_part part,
			  struct ph_batch *batch);
int ph_chunk_populate(struct ph_chunk *chunk, struct ph_part part);
void ph_chunk_fill_huge_locked(struct ph_chunk *chunk, struct page *page);
void ph_chunk_settle_locked(struct ph_chunk *chunk, struct ph_part part);
bool ph_chunk_split(struct ph_region *region, unsigned long first,
		    unsigned long end);

/* commit.c */
unsigned long ph_decommit_range(struct ph_region *region, unsigned long first,
				unsigned long end);

/* idle.c */
bool ph_idle_takes(struct ph_region *region, unsigned long first,
		   unsigned long nr);
unsigned long ph_idle_keep(struct ph_region *region, unsigned long first,
			   unsigned long end, unsigned long nr);
void ph_idle_use(struct ph_region *region, unsigned long first,
		 unsigned long end);
void ph_idle_forget(struct ph_chunk *chunk, struct ph_part part);
void ph_idle_went(struct ph_heap *heap, unsigned long nr);
void ph_idle_missed(struct ph_heap *heap, unsigned long nr);
bool ph_idle_give_way(struct ph_heap *heap, struct ph_limit *node,
		      unsigned long nr);

/* pool.c */
bool ph_pool_is_for_task(void);
bool ph_pool_cgroup_has_room(struct page *page);
bool ph_pool_take(struct ph_heap *heap, struct ph_batch *batch, unsigned int nr,
		  gfp_t gfp);
void ph_pool_give(struct ph_heap *heap, struct ph_batch *batch);
struct page *ph_pool_take_huge(struct ph_heap *heap);

#endif /* _PRIVHEAP_CHUNK_H */
