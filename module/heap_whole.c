// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls on a heap as a whole: what it is made to give back, how it is changed
 * while it lives, and what there is to tell of it.
 */
#include <linux/sched/signal.h>

#include "heap.h"
#include "trace.h"

static void ph_heap_trim_pagemaps_locked(struct ph_heap *heap)
{
	struct ph_region *region;

	list_for_each_entry(region, &heap->regions, node) {
		if (region->blocks.marked)
			ph_pagemap_trim(region, 0, region->blocks.nr_pages);
	}
}

/**
 * ph_heap_compact - give back what is committed but unused
 * @heap: which
 * @arg: receives the length of the largest free range that stays committed
 *
 * Context: May sleep; takes ph_heap.lock, and mmap_lock for regions that are idle.
 * Return: 0, -ENXIO, -EIDRM.
 */
int ph_heap_compact(struct ph_heap *heap, struct privheap_compact *arg)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err) {
		ph_block_trim(&heap->store);
		ph_idle_trim(heap);
		ph_pool_drain(heap->pool);
		ph_heap_trim_pagemaps_locked(heap);
		arg->out_largest_free_bytes = ph_walk_largest_free(heap);
	}
	mutex_unlock(&heap->lock);
	ph_heap_discard_idle(heap);
	return err;
}

/* Gives a heap another policy, or the one that it has another window. */
static int ph_heap_set_policy_locked(struct ph_heap *heap,
				     const struct privheap_policy *arg,
				     unsigned int set)
{
	u32 policy = set & PH_POLICY_SET_ID ? arg->policy : ph_policy_id(heap);

	if (ph_policy_check(policy, arg->window_pages))
		return -EINVAL;
	if (set & PH_POLICY_SET_ID && ph_policy_is_huge(policy) && !heap->huge)
		return -EOPNOTSUPP;
	ph_policy_set(heap, policy, arg->window_pages);
	return 0;
}

static void ph_heap_set_idle_locked(struct ph_heap *heap, u64 idle_bytes)
{
	heap->max_idle = ph_heap_idle_pages(heap, idle_bytes);
	heap->waves = (struct ph_waves){};
	if (heap->nr_idle > heap->max_idle)
		ph_idle_trim(heap);
}

/**
 * ph_heap_policy - change the policy of a heap
 * @heap: which
 * @arg: the policy, its window, and the bound of idle pages, checked against
 *	ph_max_bytes()
 * @set: PH_POLICY_SET_*: which of them are to change. A new policy without a
 *	window gets its default
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENXIO, -EIDRM; -EINVAL for a window that the policy cannot have;
 * -EOPNOTSUPP for "huge" in a heap that was made with another.
 */
int ph_heap_policy(struct ph_heap *heap, const struct privheap_policy *arg,
		   unsigned int set)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err && set & (PH_POLICY_SET_ID | PH_POLICY_SET_WINDOW))
		err = ph_heap_set_policy_locked(heap, arg, set);
	if (!err && set & PH_POLICY_SET_IDLE)
		ph_heap_set_idle_locked(heap, arg->idle_bytes);
	if (!err)
		trace_privheap_policy_change(heap);
	mutex_unlock(&heap->lock);
	return err;
}

/**
 * ph_heap_inject - begin or end to inject failures
 * @heap: which
 * @arg: what ph_inject_check() has let pass
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENXIO, -EIDRM.
 */
int ph_heap_inject(struct ph_heap *heap, const struct privheap_inject *arg)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		ph_inject_set_locked(heap, arg);
	mutex_unlock(&heap->lock);
	return err;
}

/* The first block, by creation, that has a region of its own. */
static struct ph_region *ph_heap_first_dedicated(struct ph_heap *heap)
{
	struct ph_region *region;

	list_for_each_entry(region, &heap->regions, node) {
		if (region->blocks.dedicated)
			return region;
	}
	return NULL;
}

static void ph_heap_reset_locked(struct ph_heap *heap, unsigned long nr_keep)
{
	struct ph_region *region;

	ph_front_tell_locked(heap, PRIVHEAP_COUNTERS_RESET);
	list_for_each_entry(region, &heap->regions, node)
		ph_block_region_empty(&heap->store, &region->blocks);
	ph_commit_reset(heap, ph_heap_is_secret(heap) ? 0 : nr_keep);
	ph_heap_trim_pagemaps_locked(heap);
	if (heap->first->nr_kept_pages)
		ph_heap_wipe_locked(heap, heap->first, heap->base,
				    heap->first->nr_kept_pages << PAGE_SHIFT);
}

/**
 * ph_heap_reset - free all blocks of a heap
 * @heap: which
 * @arg: how much may stay resident; receives how much did
 *
 * Regions of single blocks go one by one, since to unmap one takes mmap_lock.
 *
 * Context: May sleep; takes ph_heap.lock and mmap_lock.
 * Return: 0, -ENXIO, -EIDRM, or -EINTR when the task is being killed: then some
 * blocks are gone.
 */
int ph_heap_reset(struct ph_heap *heap, struct privheap_reset *arg)
{
	struct ph_region *region;
	int err;

	mutex_lock(&heap->lock);
	while (!(err = ph_heap_check_locked(heap)) &&
	       (region = ph_heap_first_dedicated(heap))) {
		ph_heap_detach_locked(heap, region);
		mutex_unlock(&heap->lock);
		ph_heap_discard(heap, region);
		if (fatal_signal_pending(current))
			return -EINTR;
		mutex_lock(&heap->lock);
	}
	if (!err) {
		ph_heap_reset_locked(heap, ph_heap_idle_pages(heap,
							     arg->keep_bytes));
		arg->out_idle_bytes = (u64)heap->nr_idle << PAGE_SHIFT;
	}
	mutex_unlock(&heap->lock);
	return err;
}

/**
 * ph_heap_stat - read the state of a heap
 * @heap: which
 * @stat: receives it
 *
 * Return: 0, or -ENXIO when the heap is being destroyed.
 */
int ph_heap_stat(struct ph_heap *heap, struct privheap_stat *stat)
{
	struct ph_limit *limit = &heap->limit;

	mutex_lock(&heap->lock);
	if (heap->state == PH_HEAP_GONE) {
		mutex_unlock(&heap->lock);
		return -ENXIO;
	}
	stat->out_create_flags = heap->flags;
	stat->out_state = heap->state == PH_HEAP_DEAD ? PRIVHEAP_STAT_S_DEAD : 0;
	stat->out_base = heap->base;
	stat->out_max_bytes = (u64)heap->max_pages << PAGE_SHIFT;
	stat->out_limit_bytes = limit->hard_pages == ULONG_MAX ? 0 :
				(u64)limit->hard_pages << PAGE_SHIFT;
	stat->out_reserved_bytes = (u64)heap->reserved_pages << PAGE_SHIFT;
	stat->out_committed_bytes =
		(u64)atomic_long_read(&limit->usage_pages) << PAGE_SHIFT;
	stat->out_committed_peak_bytes =
		(u64)atomic_long_read(&limit->peak_pages) << PAGE_SHIFT;
	stat->out_resident_bytes =
		(u64)atomic_long_read(&heap->nr_resident) << PAGE_SHIFT;
	ph_front_sum(heap, &stat->out_nr_blocks, &stat->out_allocated_bytes);
	stat->out_taken_bytes = heap->store.nr_taken_pages << PAGE_SHIFT;
	stat->out_nr_regions = heap->nr_regions;
	stat->out_policy = ph_policy_id(heap);
	stat->out_window_pages = heap->window_pages;
	stat->out_idle_bytes = (u64)heap->nr_idle << PAGE_SHIFT;
	stat->out_nr_limit_failures = atomic_long_read(&limit->nr_failures);
	stat->out_serial = limit->key;
	stat->out_nr_injected_failures = heap->inject.nr_failures;
	mutex_unlock(&heap->lock);
	return 0;
}
