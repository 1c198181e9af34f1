// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commit: which pages of a region are committed, and charged for it.
 *
 * Committing and decommitting happen in calls, under ph_heap.lock. A page becomes
 * resident at the first touch, see fault.c, or here when it is to be backed. This
 * file knows pages, not blocks; the states and their invariants are chunk.c's.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "chunk.h"
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

/* All that can fail of a commit, of which @missing pages are news. */
static int ph_commit_prepare(struct ph_region *region, unsigned long first,
			     unsigned long end, unsigned long missing,
			     bool backed)
{
	int err;

	err = ph_limit_charge(region->heap, missing);
	if (err)
		return err;
	err = ph_chunk_create_range(region, first, end);
	if (!err && backed)
		err = ph_table_check(region, first, end) ?:
		      ph_populate(region, first, end);
	if (err) {
		ph_depopulate(region, first, end);
		ph_pool_drain(region->heap->pool);
		ph_limit_uncharge(region->heap, missing);
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
	struct ph_chunk *chunk;
	struct ph_part part;
	int err;

	lockdep_assert_held(&region->heap->lock);
	missing = nr - ph_count_committed(region, first, end);
	if (!missing)
		return 0;
	err = ph_commit_prepare(region, first, end, missing, backed);
	trace_privheap_page_commit(region, first, nr, missing, backed, err);
	if (err)
		return err;
	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		mutex_lock(&chunk->lock);
		bitmap_set(chunk->committed, part.lo, part.hi - part.lo);
		mutex_unlock(&chunk->lock);
		cond_resched();
	}
	ph_limit_settle(region->heap);
	return 0;
}

/* Decommits [@first, @end) in the three steps that the invariants ask for. */
static void ph_decommit_range(struct ph_region *region, unsigned long first,
			      unsigned long end)
{
	unsigned long index, nr_committed = 0, nr_resident = 0;
	struct ph_chunk *chunk;
	struct ph_part part;

	lockdep_assert_held(&region->heap->lock);
	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		mutex_lock(&chunk->lock);
		nr_committed += ph_chunk_count(chunk, part);
		nr_resident += chunk->nr_resident;
		bitmap_clear(chunk->committed, part.lo, part.hi - part.lo);
		bitmap_clear(chunk->zero, part.lo, part.hi - part.lo);
		mutex_unlock(&chunk->lock);
		cond_resched();
	}
	if (!nr_committed)
		return;
	if (nr_resident)
		unmap_mapping_pages(region->heap->filp->f_mapping,
				    region->pgoff + first, end - first, true);
	ph_for_each_chunk(region, index, chunk, first, end) {
		ph_chunk_release(chunk, ph_chunk_part(index, first, end));
		ph_chunk_trim(chunk);
		cond_resched();
	}
	ph_limit_uncharge(region->heap, nr_committed);
	trace_privheap_page_decommit(region, first, end - first, nr_committed);
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

/**
 * ph_decommit_pages - decommit a range of pages
 * @region: of this region
 * @first: first page
 * @nr: how many; pages that are not committed are skipped, and so are those
 *	that the heap keeps for life
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_decommit_pages(struct ph_region *region, unsigned long first,
		       unsigned long nr)
{
	unsigned long end = first + nr;

	first = max(first, region->nr_kept_pages);
	if (first < end)
		ph_decommit_range(region, first, end);
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
		ph_chunk_release(chunk, part);
		ph_tally_keep(region->heap, chunk);
		ph_chunk_free(chunk);
		cond_resched();
	}
	xa_destroy(&region->chunks);
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
	if (!chunk || !test_bit(i, chunk->committed))
		return PRIVHEAP_PAGE_RESERVED;
	return READ_ONCE(chunk->pages[i]) ? PRIVHEAP_PAGE_RESIDENT :
					    PRIVHEAP_PAGE_COMMITTED;
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
	unsigned long n = first;

	lockdep_assert_held(&region->heap->lock);
	*state = ph_commit_state(chunk, n % PH_CHUNK_PAGES);
	while (++n < end) {
		if (n % PH_CHUNK_PAGES == 0) {
			chunk = ph_chunk_find(region, n);
			cond_resched();
		}
		if (ph_commit_state(chunk, n % PH_CHUNK_PAGES) != *state)
			break;
	}
	return n;
}
