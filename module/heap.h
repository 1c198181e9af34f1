/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files that make up a heap share; no other file of the module includes
 * this.
 *
 *	heap.c		from create to destroy
 *	heap_whole.c	the calls on the heap as a whole
 *	heap_block.c	the calls on blocks
 *	heap_guard.c	the calls on guarded blocks
 *	  heap_region.c	which regions there are, and how a heap gets more
 */
#ifndef _PRIVHEAP_HEAP_H
#define _PRIVHEAP_HEAP_H

#include "internal.h"

static inline bool ph_heap_growable(struct ph_heap *heap)
{
	return !heap->max_pages;
}

/* A bound of idle bytes, in pages. What is freed in a guarded heap is out of reach. */
static inline unsigned long ph_heap_idle_pages(struct ph_heap *heap, u64 bytes)
{
	if (heap->flags & PRIVHEAP_CREATE_F_GUARD)
		return 0;
	return (bytes >> PAGE_SHIFT) + !!offset_in_page(bytes);
}

/* Does a block of this size get a region of its own? */
static inline bool ph_heap_dedicates(struct ph_heap *heap, unsigned long bytes)
{
	return ph_heap_growable(heap) && bytes > PH_REGION_BLOCK_BYTES;
}

static inline int ph_heap_find_block(struct ph_heap *heap, unsigned long addr,
				     struct ph_region **region,
				     struct ph_block *block)
{
	*region = ph_heap_find_region(heap, addr);
	if (!*region)
		return -ENOENT;
	return ph_block_find(&(*region)->blocks, addr, block);
}

/* Of a secret heap nothing is left in pages that stay, not even for itself. */
static inline void ph_heap_wipe_locked(struct ph_heap *heap,
				       struct ph_region *region,
				       unsigned long addr, unsigned long bytes)
{
	if (unlikely(ph_heap_is_secret(heap)) && bytes)
		ph_content_zero(region, addr, bytes);
}

/* heap_region.c */
int ph_heap_attach_locked(struct ph_heap *heap, struct ph_region *region,
			  bool dedicated);
void ph_heap_detach_locked(struct ph_heap *heap, struct ph_region *region);
void ph_heap_discard(struct ph_heap *heap, struct ph_region *region);
struct ph_region *ph_heap_idle_region_locked(struct ph_heap *heap,
					     unsigned long nr_pages);
void ph_heap_use_region_locked(struct ph_heap *heap, struct ph_region *region);
bool ph_heap_keep_region_locked(struct ph_heap *heap, struct ph_region *region);
struct ph_region *ph_heap_surplus_region_locked(struct ph_heap *heap);
bool ph_heap_discard_idle(struct ph_heap *heap);
unsigned long ph_heap_own_pages(unsigned long bytes, unsigned long align);
struct ph_region *ph_heap_reserve(struct ph_heap *heap, unsigned long nr_pages);

#endif /* _PRIVHEAP_HEAP_H */
