// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunks: the states of a region's pages.
 *
 * A page is reserved, committed (charged to the limits, may be touched) or
 * resident (has memory). The states live in chunks, found by page number in the
 * region's xarray. This file owns the chunks and the memory in them; when a page
 * changes its state is for commit.c and fault.c to say.
 *
 * Invariants, whenever no lock is held:
 * - a page has memory only while it is committed;
 * - as many pages are charged to the heap's limit as are committed;
 * - a page table entry of the region points to the page in its chunk, or
 *   nowhere. The fault handler looks a page up and maps it inside one critical
 *   section of the chunk's lock. Decommit first clears the committed bits in
 *   such sections, so that no fault maps the pages any more, then unmaps them,
 *   and only then releases them;
 * - the memory of a chunk is single pages, or one huge page that all of it is
 *   committed for.
 */
#include <linux/bitmap.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "chunk.h"

/**
 * ph_chunk_free - free a chunk
 * @chunk: that holds no memory and is in no region's xarray any more
 */
void ph_chunk_free(struct ph_chunk *chunk)
{
	if (chunk->pages != chunk->few)
		free_page((unsigned long)chunk->pages);
	kfree(chunk);
}

/*
 * The pointers of a whole chunk fill a page, and get one. Slabs for objects of
 * that size are of a higher order, and to free several of these in a row makes
 * the page allocator empty its per-CPU lists: that cost a quarter of a destroy.
 */
static struct ph_chunk *ph_chunk_alloc(unsigned long nr_pages)
{
	bool few = nr_pages * sizeof(struct page *) <= PAGE_SIZE / 4;
	struct ph_chunk *chunk;

	chunk = kzalloc(struct_size(chunk, few, few ? nr_pages : 0), PH_GFP_META);
	if (!chunk)
		return NULL;
	mutex_init(&chunk->lock);
	chunk->pages = few ? chunk->few : (void *)get_zeroed_page(PH_GFP_META);
	if (!chunk->pages) {
		kfree(chunk);
		return NULL;
	}
	return chunk;
}

/**
 * ph_chunk_trim - let a chunk without a committed page give up its pointers' page
 * @chunk: the chunk
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_chunk_trim(struct ph_chunk *chunk)
{
	struct page **pages = NULL;

	mutex_lock(&chunk->lock);
	if (chunk->pages != chunk->few && !chunk->nr_resident &&
	    bitmap_empty(chunk->committed, PH_CHUNK_PAGES))
		swap(pages, chunk->pages);
	mutex_unlock(&chunk->lock);
	free_page((unsigned long)pages);
}

static int ph_chunk_untrim(struct ph_chunk *chunk)
{
	struct page **pages = (void *)get_zeroed_page(PH_GFP_META);

	if (!pages)
		return -ENOMEM;
	mutex_lock(&chunk->lock);
	chunk->pages = pages;
	mutex_unlock(&chunk->lock);
	return 0;
}

static int ph_chunk_create(struct ph_region *region, unsigned long index)
{
	struct ph_chunk *chunk;

	chunk = ph_chunk_alloc(min(region->blocks.nr_pages -
				   index * PH_CHUNK_PAGES, PH_CHUNK_PAGES));
	if (!chunk)
		return -ENOMEM;
	chunk->heap = region->heap;
	chunk->shown = ph_pagemap_entries(region, index);
	if (xa_is_err(xa_store(&region->chunks, index, chunk, PH_GFP_META))) {
		ph_chunk_free(chunk);
		return -ENOMEM;
	}
	if (index >= PH_FIRST_CHUNKS)
		return 0;
	/* Whoever finds the chunk here finds it as it is: its members depend on it. */
	smp_store_release(&region->first_chunks[index], chunk);
	return 0;
}

/**
 * ph_chunk_create_range - make sure that there is a chunk for each page of a range
 * @region: of this region
 * @first: first page
 * @end: the page behind the last one
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0, -ENOMEM, or -EINTR when the task is being killed. Chunks that were
 * made before an error stay; ph_chunk_trim() makes them small.
 */
int ph_chunk_create_range(struct ph_region *region, unsigned long first,
			  unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index;
	int err = 0;

	for (index = first / PH_CHUNK_PAGES;
	     !err && index * PH_CHUNK_PAGES < end; index++) {
		chunk = ph_chunk_find(region, index * PH_CHUNK_PAGES);
		if (!chunk)
			err = ph_chunk_create(region, index);
		else if (!chunk->pages)
			err = ph_chunk_untrim(chunk);
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	return err;
}

/**
 * ph_chunk_count - count the committed pages of a part of a chunk
 * @chunk: the chunk
 * @part: the part
 *
 * Context: Caller holds ph_heap.lock or the chunk's.
 * Return: how many there are.
 */
unsigned int ph_chunk_count(struct ph_chunk *chunk, struct ph_part part)
{
	unsigned int lo = part.lo, hi, nr = 0;

	for_each_set_bitrange_from(lo, hi, chunk->committed, part.hi)
		nr += hi - lo;
	return nr;
}

/* The huge page of a chunk, which has no memory then; or NULL. */
static struct page *ph_chunk_take_huge_locked(struct ph_chunk *chunk)
{
	struct page *page = chunk->pages[0];

	lockdep_assert_held(&chunk->lock);
	if (likely(!chunk->huge))
		return NULL;
	memset(chunk->pages, 0, PH_CHUNK_PAGES * sizeof(*chunk->pages));
	chunk->nr_resident = 0;
	chunk->huge = false;
	return page;
}

/**
 * ph_chunk_release_locked - take the memory of pages away
 * @chunk: the chunk
 * @part: which pages of it; they are mapped nowhere. All of it if that has a huge
 *	page
 *
 * Context: May sleep. Caller holds the chunk's lock.
 */
void ph_chunk_release_locked(struct ph_chunk *chunk, struct ph_part part)
{
	unsigned int i, before = chunk->nr_resident;
	struct ph_batch batch __uninitialized;
	struct page *huge = NULL;

	lockdep_assert_held(&chunk->lock);
	batch.next = 0;
	batch.nr = 0;
	if (before) {
		WARN_ON_ONCE(chunk->huge &&
			     part.hi - part.lo != PH_CHUNK_PAGES);
		huge = ph_chunk_take_huge_locked(chunk);
	}
	for (i = part.lo; i < part.hi && chunk->nr_resident; i++) {
		if (!chunk->pages[i])
			continue;
		batch.pages[batch.nr++] = chunk->pages[i];
		WRITE_ONCE(chunk->pages[i], NULL);
		chunk->nr_resident--;
		if (batch.nr == PH_BATCH_PAGES)
			ph_pool_give(chunk->heap, &batch);
	}
	atomic_long_sub(before - chunk->nr_resident, &chunk->heap->nr_resident);
	ph_chunk_show_locked(chunk, part);
	ph_pool_give(chunk->heap, &batch);
	if (huge)
		put_page(huge);
}

/**
 * ph_chunk_release - the same, with the chunk's lock
 * @chunk: the chunk
 * @part: as there
 *
 * Context: May sleep.
 */
void ph_chunk_release(struct ph_chunk *chunk, struct ph_part part)
{
	mutex_lock(&chunk->lock);
	ph_chunk_release_locked(chunk, part);
	mutex_unlock(&chunk->lock);
}

/**
 * ph_chunk_page - look up the memory of a page
 * @region: of this region
 * @n: which page
 *
 * Context: Caller holds ph_heap.lock; the memory stays while it does.
 * Return: the memory, or NULL.
 */
struct page *ph_chunk_page(struct ph_region *region, unsigned long n)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);

	if (!chunk || !chunk->pages)
		return NULL;
	return READ_ONCE(chunk->pages[n % PH_CHUNK_PAGES]);
}

/**
 * ph_chunk_zero - have pages without memory be zero when they get it
 * @chunk: the chunk
 * @part: which pages of it. What is resident of them is left as it is
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_chunk_zero(struct ph_chunk *chunk, struct ph_part part)
{
	mutex_lock(&chunk->lock);
	bitmap_set(chunk->zero, part.lo, part.hi - part.lo);
	mutex_unlock(&chunk->lock);
}

/**
 * ph_chunk_missing - count the pages of a part of a chunk that have no memory
 * @chunk: the chunk
 * @part: the part
 *
 * Context: Caller holds ph_heap.lock or the chunk's.
 * Return: how many there are; with ph_heap.lock alone there may be fewer soon.
 */
unsigned int ph_chunk_missing(struct ph_chunk *chunk, struct ph_part part)
{
	unsigned int i, nr = 0;

	if (!READ_ONCE(chunk->nr_resident))
		return part.hi - part.lo;
	for (i = part.lo; i < part.hi; i++)
		nr += !READ_ONCE(chunk->pages[i]);
	return nr;
}

/**
 * ph_chunk_fill_locked - give memory to the pages that have none
 * @chunk: the chunk
 * @part: which pages of it
 * @batch: the memory; when it is used up, the other pages are left without
 *
 * Context: Caller holds the chunk's lock.
 */
void ph_chunk_fill_locked(struct ph_chunk *chunk, struct ph_part part,
			  struct ph_batch *batch)
{
	unsigned int i, before = batch->next;
	struct page *page;

	lockdep_assert_held(&chunk->lock);
	for (i = part.lo; i < part.hi && batch->next < batch->nr; i++) {
		if (chunk->pages[i])
			continue;
		page = batch->pages[batch->next];
		if (batch->next++ < batch->nr_recycled &&
		    test_bit(i, chunk->zero))
			clear_highpage(page);
		WRITE_ONCE(chunk->pages[i], page);
	}
	chunk->nr_resident += batch->next - before;
	atomic_long_add(batch->next - before, &chunk->heap->nr_resident);
	ph_chunk_show_locked(chunk, part);
}

/**
 * ph_chunk_populate - make sure that pages have memory
 * @chunk: the chunk
 * @part: which pages of it
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0, or -ENOMEM, and then some of them may have it.
 */
int ph_chunk_populate(struct ph_chunk *chunk, struct ph_part part)
{
	struct ph_batch batch __uninitialized;
	unsigned int nr;

	while ((nr = ph_chunk_missing(chunk, part))) {
		if (!ph_pool_take(chunk->heap, &batch,
				  min(nr, PH_BATCH_PAGES), PH_GFP_BACKED))
			return -ENOMEM;
		mutex_lock(&chunk->lock);
		ph_chunk_fill_locked(chunk, part, &batch);
		mutex_unlock(&chunk->lock);
		ph_pool_give(chunk->heap, &batch);
	}
	return 0;
}

/**
 * ph_chunk_fill_huge_locked - give a huge page to a blank chunk
 * @chunk: the chunk
 * @page: the huge page; its reference goes to the chunk
 *
 * Context: Caller holds the chunk's lock.
 */
void ph_chunk_fill_huge_locked(struct ph_chunk *chunk, struct page *page)
{
	unsigned int i;

	lockdep_assert_held(&chunk->lock);
	for (i = 0; i < PH_CHUNK_PAGES; i++)
		WRITE_ONCE(chunk->pages[i], page + i);
	chunk->huge = true;
	chunk->nr_resident = PH_CHUNK_PAGES;
	atomic_long_add(PH_CHUNK_PAGES, &chunk->heap->nr_resident);
	ph_chunk_show_locked(chunk, (struct ph_part){ 0, PH_CHUNK_PAGES });
}

/**
 * ph_chunk_settle_locked - wait for faults that have found a page, but not mapped it
 * @chunk: a chunk of a heap that can have huge pages
 * @part: which pages of it
 *
 * In such a heap the kernel maps what fault.c has found, and has the page locked
 * until that is done.
 *
 * Context: May sleep. Caller holds the chunk's lock.
 */
void ph_chunk_settle_locked(struct ph_chunk *chunk, struct ph_part part)
{
	unsigned int i;

	lockdep_assert_held(&chunk->lock);
	for (i = part.lo; i < part.hi && chunk->nr_resident; i++) {
		if (!chunk->pages[i])
			continue;
		lock_page(chunk->pages[i]);
		unlock_page(chunk->pages[i]);
		if (chunk->huge)
			break;
	}
}

/* Copies what a chunk holds to single pages, but for the part @without. */
static int ph_chunk_copy_locked(struct ph_chunk *chunk, struct ph_part without,
				struct page **copies)
{
	struct ph_batch batch __uninitialized;
	unsigned int i;

	batch.nr = 0;
	batch.next = 0;
	for (i = 0; i < PH_CHUNK_PAGES; i++) {
		if (i >= without.lo && i < without.hi)
			continue;
		if (batch.next == batch.nr &&
		    !ph_pool_take(chunk->heap, &batch,
				  min_t(unsigned int, PH_CHUNK_PAGES - i,
					PH_BATCH_PAGES), PH_GFP_BACKED))
			return -ENOMEM;
		copies[i] = batch.pages[batch.next++];
		copy_highpage(copies[i], chunk->pages[i]);
	}
	ph_pool_give(chunk->heap, &batch);
	return 0;
}

/*
 * Puts single pages in the place of the huge one, which nothing maps. Somebody who
 * holds a reference, get_user_pages() above all, is to go on seeing what the program
 * sees: then the huge page stays, as it does where memory is short.
 */
static bool ph_chunk_split_locked(struct ph_chunk *chunk, struct ph_part without,
				  struct page **copies)
{
	struct page *huge = chunk->pages[0];

	if (page_count(huge) != 1 || ph_chunk_copy_locked(chunk, without, copies))
		return false;
	memcpy(chunk->pages, copies, PH_CHUNK_PAGES * sizeof(*copies));
	memset(copies, 0, PH_CHUNK_PAGES * sizeof(*copies));
	chunk->huge = false;
	chunk->nr_resident -= without.hi - without.lo;
	atomic_long_sub(without.hi - without.lo, &chunk->heap->nr_resident);
	ph_chunk_show_locked(chunk, without);
	put_page(huge);
	return true;
}

/* Those that were made before there were no more. */
static void ph_chunk_free_copies(struct page **copies)
{
	unsigned int i;

	for (i = 0; i < PH_CHUNK_PAGES; i++) {
		if (copies[i])
			put_page(copies[i]);
	}
	free_page((unsigned long)copies);
}

/**
 * ph_chunk_split - have a part of a huge page be able to go
 * @region: of this region
 * @first: first page of what is to go
 * @end: behind the last one; all of them in one chunk
 *
 * What else the huge page holds moves to single pages, and the part loses its memory.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: true if the pages have no huge page, or not any more.
 */
bool ph_chunk_split(struct ph_region *region, unsigned long first,
		    unsigned long end)
{
	struct ph_part without = ph_chunk_part(first / PH_CHUNK_PAGES, first, end);
	struct ph_chunk *chunk = ph_chunk_find(region, first);
	struct ph_heap *heap = region->heap;
	struct mem_cgroup *outer;
	struct page **copies;
	bool split;

	lockdep_assert_held(&heap->lock);
	if (!chunk || !READ_ONCE(chunk->huge))
		return true;
	copies = (void *)get_zeroed_page(PH_GFP_META);
	if (!copies)
		return false;
	outer = ph_cgroup_enter(heap->cgroup);
	mutex_lock(&chunk->lock);
	ph_chunk_settle_locked(chunk, without);
	unmap_mapping_pages(heap->filp->f_mapping,
			    region->pgoff + round_down(first, PH_CHUNK_PAGES),
			    PH_CHUNK_PAGES, true);
	split = ph_chunk_split_locked(chunk, without, copies);
	mutex_unlock(&chunk->lock);
	ph_cgroup_leave(heap->cgroup, outer);
	ph_chunk_free_copies(copies);
	return split;
}
