// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle pages: what no block needs any more, and stays committed and resident.
 *
 * A program that frees and allocates in waves would otherwise fault each wave. Idle
 * pages are charged as all committed ones are, and nothing is done to them when a
 * block gets them again. They go before a limit refuses anything, when the kernel
 * is short of memory, and when the heap is compacted.
 *
 * How many there may be the program says, or the waves do (struct ph_waves). What a
 * heap gives up for the first time goes; what it then commits again has shown that
 * it would have been better kept, so that many pages may be idle from there on. They
 * are given up when they were of no use while the program freed twice as many pages:
 * what counts as use is that the fewest idle pages there were in that time is 0. So a
 * spike leaves nothing, and waves that end leave little for long.
 *
 * Nothing is kept for a wave to come near a limit, or where the memory cgroup has
 * little room: there is no asking a cgroup's owner for more. Nor does a task that has a
 * memory policy keep any: what it allocates next is to lie where the policy says then.
 */
#include <linux/bitmap.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/shrinker.h>
#include <linux/workqueue.h>

#include "chunk.h"

static unsigned int wave_kib = 16384;
module_param(wave_kib, uint, 0644);
MODULE_PARM_DESC(wave_kib,
		 "memory in KiB that a heap which frees and allocates in waves may keep meanwhile (default 16384)");

/* Idle pages of all heaps, for the shrinker. */
static atomic_long_t ph_idle_pages;
static struct shrinker *ph_idle_shrinker;

static void ph_idle_count(struct ph_heap *heap, long nr)
{
	lockdep_assert_held(&heap->lock);
	if (!nr)
		return;
	if (!heap->nr_idle)
		ph_owner_mark_idle(heap, true);
	heap->nr_idle += nr;
	heap->waves.nr_unused = min(heap->waves.nr_unused, heap->nr_idle);
	atomic_long_add(nr, &ph_idle_pages);
}

/**
 * ph_idle_forget - pages are not idle any more: they are used again, or go
 * @chunk: the chunk
 * @part: which pages of it
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_idle_forget(struct ph_chunk *chunk, struct ph_part part)
{
	struct ph_heap *heap = chunk->heap;
	unsigned int i = part.lo;
	long nr = 0;

	lockdep_assert_held(&heap->lock);
	if (!heap->nr_idle)
		return;
	for_each_set_bit_from(i, chunk->idle, part.hi) {
		__clear_bit(i, chunk->idle);
		nr++;
	}
	ph_idle_count(heap, -nr);
}

/**
 * ph_idle_use - pages get a use again
 * @region: of this region
 * @first: first page
 * @end: the page behind the last one
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_idle_use(struct ph_region *region, unsigned long first,
		 unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index;

	if (!region->heap->nr_idle)
		return;
	ph_for_each_chunk(region, index, chunk, first, end)
		ph_idle_forget(chunk, ph_chunk_part(index, first, end));
}

/*
 * Leaves what is resident of a part committed, as idle pages, until there are *@nr
 * of these; @part then ends in front of the next one. Decommits the others. Returns
 * how many these were. None of them is mapped: nobody has touched them, and from
 * here on a touch does not make them resident.
 */
static unsigned int ph_idle_keep_part(struct ph_chunk *chunk,
				      struct ph_part *part, unsigned long *nr)
{
	unsigned int i = part->lo, nr_gone = 0;
	struct ph_part seen = *part;
	long nr_new = 0;

	mutex_lock(&chunk->lock);
	for_each_set_bit_from(i, chunk->committed, part->hi) {
		if (!chunk->pages[i]) {
			__clear_bit(i, chunk->committed);
			__clear_bit(i, chunk->zero);
			nr_gone++;
			continue;
		}
		if (!*nr) {
			part->hi = i;
			break;
		}
		--*nr;
		nr_new += !__test_and_set_bit(i, chunk->idle);
	}
	ph_chunk_show_locked(chunk, seen);
	mutex_unlock(&chunk->lock);
	ph_idle_count(chunk->heap, nr_new);
	ph_chunk_trim(chunk);
	return nr_gone;
}

/**
 * ph_idle_keep - keep pages that no block needs any more, as far as they are resident
 * @region: of this region
 * @first: first page
 * @end: the page behind the last one
 * @nr: how many to keep
 *
 * Faults make pages resident meanwhile, so that counting and keeping must be one.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: the next resident page, from which on nothing was done, or @end.
 */
unsigned long ph_idle_keep(struct ph_region *region, unsigned long first,
			   unsigned long end, unsigned long nr)
{
	unsigned long index, nr_gone = 0;
	struct ph_chunk *chunk;
	struct ph_part part;
	unsigned int hi;

	ph_for_each_chunk(region, index, chunk, first, end) {
		if (!chunk->pages)
			continue;
		part = ph_chunk_part(index, first, end);
		hi = part.hi;
		nr_gone += ph_idle_keep_part(chunk, &part, &nr);
		if (part.hi < hi) {
			end = index * PH_CHUNK_PAGES + part.hi;
			break;
		}
		cond_resched();
	}
	ph_limit_uncharge(region->heap, nr_gone);
	return end;
}

static void ph_idle_trim_region(struct ph_region *region)
{
	unsigned long index, lo, hi, base;
	struct ph_chunk *chunk;

	xa_for_each(&region->chunks, index, chunk) {
		base = index * PH_CHUNK_PAGES;
		for_each_set_bitrange(lo, hi, chunk->idle, PH_CHUNK_PAGES)
			ph_decommit_range(region, base + lo, base + hi);
		cond_resched();
	}
}

/**
 * ph_idle_trim - decommit the idle pages of a heap
 * @heap: which
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: how many went.
 */
unsigned long ph_idle_trim(struct ph_heap *heap)
{
	unsigned long before = heap->nr_idle;
	struct ph_region *region;

	lockdep_assert_held(&heap->lock);
	list_for_each_entry(region, &heap->regions, node) {
		if (!heap->nr_idle)
			break;
		ph_idle_trim_region(region);
	}
	return before - heap->nr_idle;
}

/* How many pages the waves of a heap may justify. */
static unsigned long ph_idle_most(void)
{
	return READ_ONCE(wave_kib) / (PAGE_SIZE / SZ_1K);
}

/* May @nr freed pages stay, with what was seen of waves so far? */
static bool ph_idle_expects(struct ph_region *region, unsigned long first,
			    unsigned long nr)
{
	struct ph_heap *heap = region->heap;
	struct ph_waves *waves = &heap->waves;
	struct page *page;

	if (waves->nr_freed > 2 * waves->nr_bound) {
		waves->nr_bound -= min(waves->nr_bound, waves->nr_unused);
		if (waves->nr_unused)
			ph_idle_trim(heap);
		waves->nr_unused = heap->nr_idle;
		waves->nr_freed = 0;
	}
	waves->nr_freed += nr;
	if (heap->nr_idle + nr > min(waves->nr_bound, ph_idle_most()) ||
	    ph_limit_is_near(heap) || !ph_pool_is_for_task())
		return false;
	page = ph_chunk_page(region, first);
	return page && ph_pool_cgroup_has_room(page);
}

/**
 * ph_idle_takes - may pages that no block needs any more stay?
 * @region: of this region
 * @first: first page
 * @nr: how many
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: true if so.
 */
bool ph_idle_takes(struct ph_region *region, unsigned long first,
		   unsigned long nr)
{
	struct ph_heap *heap = region->heap;

	lockdep_assert_held(&heap->lock);
	if (heap->max_idle)
		return heap->nr_idle + nr <= heap->max_idle;
	/* That a block is freed must show at once. */
	if (heap->flags & PRIVHEAP_CREATE_F_GUARD)
		return false;
	return ph_idle_expects(region, first, nr);
}

/**
 * ph_idle_went - pages that were freed did not stay
 * @heap: where
 * @nr: how many were committed
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_idle_went(struct ph_heap *heap, unsigned long nr)
{
	struct ph_waves *waves = &heap->waves;

	lockdep_assert_held(&heap->lock);
	if (!heap->max_idle)
		waves->nr_gone = min(waves->nr_gone + nr, ph_idle_most());
}

/**
 * ph_idle_missed - pages are committed that might have been kept
 * @heap: where
 * @nr: how many
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_idle_missed(struct ph_heap *heap, unsigned long nr)
{
	struct ph_waves *waves = &heap->waves;

	lockdep_assert_held(&heap->lock);
	nr = min(nr, waves->nr_gone);
	waves->nr_gone -= nr;
	waves->nr_bound = min(waves->nr_bound + nr, ph_idle_most());
}

/*
 * Trims the heaps below a node, or all; but not @self, whose lock is held. Ends when
 * @nr pages went. Returns how many did.
 */
static unsigned long ph_idle_trim_others(struct ph_limit *node,
					 struct ph_heap *self, unsigned long nr)
{
	unsigned long key, nr_gone = 0;
	struct ph_heap *heap;

	for (key = 0; nr_gone < nr && !fatal_signal_pending(current) &&
	     (heap = ph_owner_next_idle(&key)); key++) {
		if (heap == self || (node && !ph_limit_is_below(heap, node)))
			goto next;
		/* To wait with a lock of the same kind held could be for ever. */
		if (!self)
			mutex_lock(&heap->lock);
		else if (!mutex_trylock(&heap->lock))
			goto next;
		nr_gone += ph_idle_trim(heap);
		if (!heap->nr_idle)
			ph_owner_mark_idle(heap, false);
		mutex_unlock(&heap->lock);
next:
		ph_heap_put(heap);
		cond_resched();
	}
	return nr_gone;
}

/**
 * ph_idle_give_way - a commit was refused: have idle pages go
 * @heap: whose commit it was
 * @node: other heaps below it are trimmed too, as far as no call is busy in them
 * @nr: how many pages it was
 *
 * Another node may refuse next, and what was idle in the range of the commit has to
 * be charged for it now. So the caller tries again for as long as this helps.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: true if any went.
 */
bool ph_idle_give_way(struct ph_heap *heap, struct ph_limit *node,
		      unsigned long nr)
{
	unsigned long nr_gone = ph_idle_trim(heap);

	if (node != &heap->limit && nr_gone < nr)
		nr_gone += ph_idle_trim_others(node, heap, nr - nr_gone);
	return nr_gone;
}

/**
 * ph_idle_charge_above - charge what a heap costs the kernel, at the cost of idle pages
 * @heap: the heap
 * @nr_pages: how many pages it counts as
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: as ph_limit_charge(). What was charged is settled.
 */
int ph_idle_charge_above(struct ph_heap *heap, unsigned long nr_pages)
{
	int err;

	do {
		err = ph_limit_charge(heap, 0, nr_pages);
	} while (err == -EDQUOT &&
		 ph_idle_give_way(heap, heap->charge.refused, nr_pages));
	if (!err)
		ph_limit_settle(heap);
	return err;
}

static void ph_idle_work_do(struct work_struct *work)
{
	ph_idle_trim_others(NULL, NULL, ULONG_MAX);
}

static DECLARE_WORK(ph_idle_work, ph_idle_work_do);

static unsigned long ph_idle_count_objects(struct shrinker *shrinker,
					   struct shrink_control *sc)
{
	return max(atomic_long_read(&ph_idle_pages), 0L) ?: SHRINK_EMPTY;
}

/* A heap's lock may be held by whoever is reclaiming, so this is left to a worker. */
static unsigned long ph_idle_scan_objects(struct shrinker *shrinker,
					  struct shrink_control *sc)
{
	schedule_work(&ph_idle_work);
	return SHRINK_STOP;
}

/**
 * ph_idle_init - let the kernel ask for idle pages back
 *
 * Return: 0 or -ENOMEM.
 */
int __init ph_idle_init(void)
{
	ph_idle_shrinker = shrinker_alloc(0, "privheap-idle");
	if (!ph_idle_shrinker)
		return -ENOMEM;
	ph_idle_shrinker->count_objects = ph_idle_count_objects;
	ph_idle_shrinker->scan_objects = ph_idle_scan_objects;
	shrinker_register(ph_idle_shrinker);
	return 0;
}

/**
 * ph_idle_exit - the mirror of ph_idle_init()
 */
void ph_idle_exit(void)
{
	shrinker_free(ph_idle_shrinker);
	cancel_work_sync(&ph_idle_work);
}
