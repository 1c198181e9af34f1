// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranges: calls on pages that a program names itself.
 *
 * A program that has a large block, and knows better than the heap which of its
 * pages it needs, decommits and commits them here, and has committed ones made
 * ready. The block stays what it is meanwhile; block.c never learns of this.
 *
 * All of this is done piece by piece, as long as no signal is waiting, and the
 * caller is told how far it came. The heap is locked for one piece at a time, so
 * each is looked up anew.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "inject.h"
#include "internal.h"

/**
 * ph_range_prefault - make committed pages of a heap resident and map them
 * @heap: which
 * @addr: of the first page
 * @bytes: how much, whole pages
 * @done: receives how far it came
 *
 * Context: May sleep; takes ph_heap.lock and mmap_lock.
 * Return: 0, -ENOENT, -ENOMEM, -EINTR, -ENXIO, -EIDRM.
 */
int ph_range_prefault(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done)
{
	struct ph_region *region = NULL;
	unsigned long first, nr;
	long ret;

	mutex_lock(&heap->lock);
	ret = ph_heap_check_locked(heap);
	if (!ret)
		region = ph_heap_find_region(heap, addr);
	if (region)
		ph_region_get(region);
	mutex_unlock(&heap->lock);
	if (!region)
		return ret ?: -ENOENT;
	first = (addr - region->blocks.base) >> PAGE_SHIFT;
	nr = min_t(u64, bytes >> PAGE_SHIFT, region->blocks.nr_pages - first);
	ret = ph_fault_prefault(region, first, nr);
	ph_region_put(region);
	if (ret < 0)
		return ret;
	*done = (u64)ret << PAGE_SHIFT;
	return 0;
}

/* The region of the large block that holds all of a range; or NULL. */
static struct ph_region *ph_range_find_locked(struct ph_heap *heap, u64 addr,
					      u64 bytes)
{
	struct ph_region *region = ph_heap_find_region(heap, addr);
	struct ph_block_run run;

	if (!region)
		return NULL;
	ph_block_run_at(&region->blocks, addr, &run);
	if (run.kind != PH_RUN_LARGE ||
	    bytes > run.start + (run.nr_pages << PAGE_SHIFT) - addr)
		return NULL;
	return region;
}

/* What is done to pages of a block: ph_commit_again() or ph_decommit_now(). */
typedef int ph_range_work(struct ph_region *region, unsigned long first,
			  unsigned long nr);

/* Works on the first piece of a range. Returns its length, or an error. */
static long ph_range_step(struct ph_heap *heap, u64 addr, u64 bytes,
			  ph_range_work *work)
{
	struct ph_region *region;
	unsigned long first, nr;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (err)
		goto out_unlock;
	err = -ENOENT;
	region = ph_range_find_locked(heap, addr, bytes);
	if (!region)
		goto out_unlock;
	first = (addr - region->blocks.base) >> PAGE_SHIFT;
	nr = min_t(u64, bytes >> PAGE_SHIFT,
		   PH_CHUNK_PAGES - first % PH_CHUNK_PAGES);
	ph_inject_begin_locked(heap);
	err = work(region, first, nr);
	if (err == -EDQUOT)
		ph_limit_report_refusal(heap);
out_unlock:
	mutex_unlock(&heap->lock);
	return err ?: (long)(nr << PAGE_SHIFT);
}

/* Works on a range piece by piece; an error counts only if nothing was done. */
static int ph_range_go(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done,
		       ph_range_work *work)
{
	u64 so_far = 0;
	long ret = 0;

	while (so_far < bytes && ret >= 0) {
		ret = -EINTR;
		if (!signal_pending(current))
			ret = ph_range_step(heap, addr + so_far, bytes - so_far,
					    work);
		if (ret == -EAGAIN)
			ret = ph_table_make(heap, NULL);
		else if (ret > 0)
			so_far += ret;
		cond_resched();
	}
	if (!so_far)
		return ret;
	*done = so_far;
	return 0;
}

/**
 * ph_range_commit - commit pages of a large block, and give them memory
 * @heap: which
 * @addr: of the first page
 * @bytes: how much, whole pages
 * @done: receives how far it came
 *
 * Context: May sleep; takes ph_heap.lock and mmap_lock.
 * Return: 0, -ENOENT, -EDQUOT, -ENOMEM, -EINTR, -ENXIO, -EIDRM.
 */
int ph_range_commit(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done)
{
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	int err = ph_range_go(heap, addr, bytes, done, ph_commit_again);

	ph_cgroup_leave(heap->cgroup, outer);
	return err;
}

/**
 * ph_range_decommit - take pages of a large block away
 * @heap: which
 * @addr: of the first page
 * @bytes: how much, whole pages
 * @done: receives how far it came
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENOENT, -EINTR, -ENXIO, -EIDRM.
 */
int ph_range_decommit(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done)
{
	return ph_range_go(heap, addr, bytes, done, ph_decommit_now);
}
