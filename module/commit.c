// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commit: which pages of a region are committed, and charged for it.
 *
 * Committing and decommitting happen in calls, under ph_heap.lock. A page becomes
 * resident at the first touch, see fault.c, or here when it is to be backed. This
 * file knows pages, not blocks; the states and their invariants are chunk.c's.
 *
 * Pages that no block needs any more may stay committed, see idle.c.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "chunk.h"
#include "inject.h"
#include "trace.h"

static unsigned long ph_count_committed(struct ph_region *region,
					unsigned long first, unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	ph_for_each_chunk(region, index, chunk, first, end) {
		nr += ph_chunk_count(chunk, ph_chunk_part(index, first, end));
		cond_resched();
	}
	return nr;
}

/* Undoes a commit that failed: pages of the range that are not committed. */
static void ph_depopulate(struct ph_region *region, unsigned long first,
			  unsigned long end)
{
	struct ph_part part, gap;
	struct ph_chunk *chunk;
	unsigned long index;

	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		gap.lo = part.lo;
		for_each_clear_bitrange_from(gap.lo, gap.hi, chunk->committed,
					     part.hi)
			ph_chunk_release(chunk, gap);
		ph_chunk_trim(chunk);
	}
}

/* Gives memory to all pages in [@first, @end); an error leaves some with it. */
static int ph_populate(struct ph_region *region, unsigned long first,
		       unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index;
	int err;

	ph_for_each_chunk(region, index, chunk, first, end) {
		err = ph_chunk_populate(chunk, ph_chunk_part(index, first, end));
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * struct ph_gone - what a decommit takes away
 * @nr_committed: how many pages were committed
 * @nr_resident: 0 if none of the chunks had memory
 */
struct ph_gone {
	unsigned long nr_committed;
	unsigned long nr_resident;
};

/*
 * Has no fault map the pages of a part any more. Fails for a part of a huge page,
 * which a fault may have given to the chunk just before.
 */
static bool ph_decommit_part(struct ph_chunk *chunk, struct ph_part part,
			     struct ph_gone *gone)
{
	bool done;

	mutex_lock(&chunk->lock);
	done = !chunk->huge || part.hi - part.lo == PH_CHUNK_PAGES;
	if (done) {
		gone->nr_committed += ph_chunk_count(chunk, part);
		ph_idle_forget(chunk, part);
		gone->nr_resident += chunk->nr_resident;
		bitmap_clear(chunk->committed, part.lo, part.hi - part.lo);
		bitmap_clear(chunk->zero, part.lo, part.hi - part.lo);
		ph_chunk_show_locked(chunk, part);
		if (chunk->heap->huge)
			ph_chunk_settle_locked(chunk, part);
	}
	mutex_unlock(&chunk->lock);
	return done;
}

/*
 * The same for the pages of one chunk. Of a huge page they may be no more than a part;
 * if the rest of it cannot move elsewhere, they stay committed as idle pages. Once it
 * has moved, the chunk gets no huge page again.
 */
static bool ph_decommit_chunk(struct ph_region *region, struct ph_chunk *chunk,
			      unsigned long first, unsigned long end,
			      struct ph_gone *gone)
{
	struct ph_part part = ph_chunk_part(first / PH_CHUNK_PAGES, first, end);

	while (!ph_decommit_part(chunk, part, gone)) {
		if (!ph_chunk_split(region, first, end)) {
			ph_idle_keep(region, first, end, ULONG_MAX);
			return false;
		}
	}
	return true;
}

/**
 * ph_decommit_range - decommit pages in the three steps that the invariants ask for
 * @region: of this region
 * @first: first page
 * @end: the page behind the last one
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: how many of them were committed, and are not any more.
 */
unsigned long ph_decommit_range(struct ph_region *region, unsigned long first,
				unsigned long end)
{
	unsigned long index, lo, hi;
	struct ph_gone gone = {};
	struct ph_chunk *chunk;

	lockdep_assert_held(&region->heap->lock);
	ph_for_each_chunk(region, index, chunk, first, end) {
		lo = max(first, index * PH_CHUNK_PAGES);
		hi = min(end, (index + 1) * PH_CHUNK_PAGES);
		/* What stays is at one end of the range, or all of it. */
		if (!ph_decommit_chunk(region, chunk, lo, hi, &gone)) {
			if (lo == first)
				first = hi;
			else
				end = lo;
		}
		cond_resched();
	}
	if (!gone.nr_committed)
		return 0;
	if (gone.nr_resident)
		unmap_mapping_pages(region->heap->filp->f_mapping,
				    region->pgoff + first, end - first, true);
	ph_for_each_chunk(region, index, chunk, first, end) {
		ph_chunk_release(chunk, ph_chunk_part(index, first, end));
		ph_chunk_trim(chunk);
		cond_resched();
	}
	ph_limit_uncharge(region->heap, gone.nr_committed);
	trace_privheap_page_decommit(region, first, end - first,
				     gone.nr_committed);
	return gone.nr_committed;
}

/*
 * Charges what is not committed yet, with what of a page map is to show it. Idle pages
 * go before a limit refuses.
 */
static int ph_commit_charge(struct ph_region *region, unsigned long first,
			    unsigned long end, unsigned long *missing)
{
	struct ph_heap *heap = region->heap;
	unsigned long nr_leaves = 0;
	int err;

	if (unlikely(region->blocks.marked))
		nr_leaves = ph_pagemap_missing(region, first, end);
	do {
		*missing = end - first - ph_count_committed(region, first, end);
		err = ph_limit_charge(heap, *missing, nr_leaves);
	} while (err == -EDQUOT && ph_idle_give_way(heap, heap->charge.refused,
						    *missing + nr_leaves));
	return err;
}

/*
 * All that can fail of a commit; @missing receives how many pages are news. @again: it
 * was tried before, and counts as one for whoever wants it to fail.
 */
static int ph_commit_prepare(struct ph_region *region, unsigned long first,
			     unsigned long end, unsigned long *missing,
			     bool backed, bool again)
{
	int err;

	err = ph_commit_charge(region, first, end, missing);
	if (err)
		return err;
	if (unlikely(region->blocks.marked))
		err = ph_pagemap_fill(region, first, end);
	if (!err && !*missing)
		return 0;
	if (!err)
		err = ph_chunk_create_range(region, first, end);
	if (!err && backed)
		err = ph_table_check(region, first, end);
	if (!err && !again)
		err = ph_inject_commit_locked(region->heap);
	if (!err && backed)
		err = ph_populate(region, first, end);
	if (err) {
		ph_depopulate(region, first, end);
		/* Nothing was taken from it before there are tables. */
		if (err != -EAGAIN)
			ph_pool_drain(region->heap->pool);
		ph_limit_uncharge(region->heap, *missing);
	}
	return err;
}

/**
 * ph_commit_pages - commit a range of pages
 * @region: of this region
 * @first: first page
 * @nr: how many, at least one; those that are committed already stay so and are
 *	not charged again
 * @backed: make them resident, too
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0; -EDQUOT on a limit; -ENOMEM; -EINTR when the task is being killed;
 * -EAGAIN when ph_table_make() has to be called first. After an error nothing has
 * changed.
 */
int ph_commit_pages(struct ph_region *region, unsigned long first,
		    unsigned long nr, bool backed)
{
	unsigned long end = first + nr, index, missing;
	struct ph_heap *heap = region->heap;
	struct ph_chunk *chunk;
	struct ph_part part;
	int err;

	lockdep_assert_held(&heap->lock);
	err = ph_commit_prepare(region, first, end, &missing, backed, false);
	if (err == -ENOMEM && !heap->inject.failing &&
	    ph_idle_give_way(heap, heap->limit.parent, max(missing, 1UL)))
		err = ph_commit_prepare(region, first, end, &missing, backed, true);
	if (err || missing)
		trace_privheap_page_commit(region, first, nr, missing, backed,
					   err);
	if (unlikely(err && region->blocks.marked))
		ph_pagemap_trim(region, first, end);
	if (err)
		return err;
	if (!missing)
		goto out_use;
	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		mutex_lock(&chunk->lock);
		bitmap_set(chunk->committed, part.lo, part.hi - part.lo);
		ph_chunk_show_locked(chunk, part);
		mutex_unlock(&chunk->lock);
		cond_resched();
	}
	ph_idle_missed(heap, missing);
out_use:
	ph_limit_settle(heap);
	ph_idle_use(region, first, end);
	return 0;
}

/**
 * ph_commit_again - commit pages of a block, and give them memory
 * @region: of this region
 * @first: first page
 * @nr: how many; those that were not committed will be zero
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: as ph_commit_pages().
 */
int ph_commit_again(struct ph_region *region, unsigned long first,
		    unsigned long nr)
{
	struct ph_chunk *chunk;
	unsigned long index;

	ph_for_each_chunk(region, index, chunk, first, first + nr)
		ph_chunk_zero(chunk, ph_chunk_part(index, first, first + nr));
	return ph_commit_pages(region, first, nr, true) ?:
	       ph_table_check(region, first, first + nr) ?:
	       ph_populate(region, first, first + nr);
}

/**
 * ph_commit_count - count the pages of a region that are committed
 * @region: of this region
 *
 * Context: Caller holds ph_heap.lock.
 * Return: how many there are.
 */
unsigned long ph_commit_count(struct ph_region *region)
{
	lockdep_assert_held(&region->heap->lock);
	return ph_count_committed(region, 0, region->blocks.nr_pages);
}

/* The first page of [@first, @end) that is committed, or @end. */
static unsigned long ph_commit_next(struct ph_region *region,
				    unsigned long first, unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index;
	struct ph_part part;

	/* A region may have millions of chunks that there are not. */
	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		part.lo = find_next_bit(chunk->committed, part.hi, part.lo);
		if (part.lo < part.hi)
			return index * PH_CHUNK_PAGES + part.lo;
		cond_resched();
	}
	return end;
}

/* The first page of [@first, @end) that is not committed, or @end. */
static unsigned long ph_commit_next_gap(struct ph_region *region,
					unsigned long first, unsigned long end)
{
	struct ph_chunk *chunk;
	struct ph_part part;

	while (first < end && (chunk = ph_chunk_find(region, first))) {
		part = ph_chunk_part(first / PH_CHUNK_PAGES, first, end);
		first -= part.lo;
		part.lo = find_next_zero_bit(chunk->committed, part.hi, part.lo);
		first += part.lo;
		if (part.lo < part.hi)
			break;
		cond_resched();
	}
	return first;
}

/**
 * ph_commit_stretch - is a page committed, and how far is that so?
 * @region: of this region
 * @first: the page
 * @end: how far to look; receives the first page that is not as @first
 *
 * Context: Caller holds ph_heap.lock.
 * Return: true if it is committed.
 */
bool ph_commit_stretch(struct ph_region *region, unsigned long first,
		       unsigned long *end)
{
	unsigned long gap = ph_commit_next_gap(region, first, *end);

	lockdep_assert_held(&region->heap->lock);
	*end = gap > first ? gap : ph_commit_next(region, first, *end);
	return gap > first;
}

/**
 * ph_decommit_pages - decommit a range of pages that no block needs any more
 * @region: of this region
 * @first: first page
 * @nr: how many; pages that are not committed are skipped, and so are those
 *	that the heap keeps for life
 *
 * What idle.c takes stays as it is, as far as it is resident.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_decommit_pages(struct ph_region *region, unsigned long first,
		       unsigned long nr)
{
	struct ph_heap *heap = region->heap;
	unsigned long end = first + nr;

	first = max(first, region->nr_kept_pages);
	if (first >= end)
		return;
	if (ph_idle_takes(region, first, end - first))
		ph_idle_keep(region, first, end, end - first);
	else
		ph_idle_went(heap, ph_decommit_range(region, first, end));
}

/* Drops a part of a chunk under its lock: a touch meanwhile is to wait, not to fail. */
static void ph_drop_part(struct ph_region *region, struct ph_chunk *chunk,
			 unsigned long index, struct ph_part part)
{
	unsigned int nr = part.hi - part.lo;

	mutex_lock(&chunk->lock);
	if (chunk->huge || !chunk->nr_resident)
		goto out_unlock;
	bitmap_clear(chunk->zero, part.lo, nr);
	if (chunk->heap->huge)
		ph_chunk_settle_locked(chunk, part);
	unmap_mapping_pages(region->heap->filp->f_mapping, region->pgoff +
			    index * PH_CHUNK_PAGES + part.lo, nr, true);
	ph_chunk_release_locked(chunk, part);
out_unlock:
	mutex_unlock(&chunk->lock);
}

/**
 * ph_commit_drop - take the memory of pages away that stay committed
 * @region: of this region
 * @first: first page
 * @nr: how many, all of them committed. Those that the heap keeps for life keep
 *	their memory, and so does what has a huge page
 *
 * They get memory again at the next touch, with anything in it.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_drop(struct ph_region *region, unsigned long first,
		    unsigned long nr)
{
	unsigned long index, end = first + nr;
	struct ph_chunk *chunk;

	lockdep_assert_held(&region->heap->lock);
	first = max(first, region->nr_kept_pages);
	if (first >= end)
		return;
	ph_for_each_chunk(region, index, chunk, first, end)
		ph_drop_part(region, chunk, index,
			     ph_chunk_part(index, first, end));
}

/**
 * ph_decommit_now - decommit a range of pages that a program does not need now
 * @region: of this region
 * @first: first page
 * @nr: how many; also those that the heap would keep for life
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0.
 */
int ph_decommit_now(struct ph_region *region, unsigned long first,
		    unsigned long nr)
{
	ph_decommit_range(region, first, first + nr);
	/* What stays, being of a huge page that cannot go, is zero again as well. */
	if (region->heap->huge)
		ph_content_zero(region,
				region->blocks.base + (first << PAGE_SHIFT),
				nr << PAGE_SHIFT);
	return 0;
}

/**
 * ph_commit_reset - take the pages of a heap away whose blocks are gone
 * @heap: a live heap
 * @nr_keep: how many pages may stay resident as idle ones, beside those that the
 *	heap keeps for life
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_reset(struct ph_heap *heap, unsigned long nr_keep)
{
	unsigned long first, end, nr_left;
	struct ph_region *region;

	lockdep_assert_held(&heap->lock);
	list_for_each_entry(region, &heap->regions, node)
		ph_idle_use(region, 0, region->blocks.nr_pages);
	list_for_each_entry(region, &heap->regions, node) {
		first = region->nr_kept_pages;
		end = region->blocks.nr_pages;
		nr_left = nr_keep - min(nr_keep, heap->nr_idle);
		if (nr_left && first < end)
			first = ph_idle_keep(region, first, end, nr_left);
		if (first < end)
			ph_decommit_range(region, first, end);
	}
}

/**
 * ph_commit_release - decommit everything, kept pages included
 * @region: the region, at the end of its use
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_release(struct ph_region *region)
{
	ph_decommit_range(region, 0, region->blocks.nr_pages);
}

/**
 * ph_commit_exit - decommit everything, and free what this file keeps
 * @region: the region; its last VMA is just ending, so nothing maps its pages and
 *	nobody can touch them
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_exit(struct ph_region *region)
{
	unsigned long index, nr_committed = 0;
	struct ph_chunk *chunk;
	struct ph_part part;

	lockdep_assert_held(&region->heap->lock);
	xa_for_each(&region->chunks, index, chunk) {
		part = ph_chunk_part(index, 0, region->blocks.nr_pages);
		nr_committed += ph_chunk_count(chunk, part);
		ph_idle_forget(chunk, part);
		ph_chunk_release(chunk, part);
		ph_tally_keep(region->heap, chunk);
		ph_chunk_free(chunk);
		cond_resched();
	}
	xa_destroy(&region->chunks);
	memset(region->first_chunks, 0, sizeof(region->first_chunks));
	if (!nr_committed)
		return;
	ph_limit_uncharge(region->heap, nr_committed);
	trace_privheap_page_decommit(region, 0, region->blocks.nr_pages,
				     nr_committed);
}

/**
 * ph_commit_resident - count the pages that have memory
 * @region: of this region
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: how many there are; faults may change it at any time.
 */
unsigned long ph_commit_resident(struct ph_region *region)
{
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	xa_for_each(&region->chunks, index, chunk) {
		nr += READ_ONCE(chunk->nr_resident);
		cond_resched();
	}
	return nr;
}

static u32 ph_commit_state(const struct ph_chunk *chunk, unsigned int i)
{
	return chunk ? ph_chunk_state(chunk, i) : PRIVHEAP_PAGE_RESERVED;
}

/**
 * ph_commit_extent - find out how many pages in a row have one state
 * @region: of this region
 * @first: first page
 * @end: the page behind the last one that is of interest
 * @state: receives the state, enum privheap_page_state
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: the first page that has another state, or @end.
 */
unsigned long ph_commit_extent(struct ph_region *region, unsigned long first,
			       unsigned long end, u32 *state)
{
	struct ph_chunk *chunk = ph_chunk_find(region, first);
	unsigned long n = first, index;

	lockdep_assert_held(&region->heap->lock);
	*state = ph_commit_state(chunk, n % PH_CHUNK_PAGES);
	while (++n < end) {
		if (n % PH_CHUNK_PAGES == 0) {
			chunk = ph_chunk_find(region, n);
			cond_resched();
		}
		if (ph_commit_state(chunk, n % PH_CHUNK_PAGES) != *state)
			break;
		if (chunk)
			continue;
		/* A region may have millions of chunks that there are not. */
		index = n / PH_CHUNK_PAGES;
		if (!xa_find_after(&region->chunks, &index, ULONG_MAX, XA_PRESENT))
			return end;
		n = min(end, index * PH_CHUNK_PAGES) - 1;
	}
	return n;
}
