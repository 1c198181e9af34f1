// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps: how they begin and end.
 *
 * A heap serialises the bookkeeping of its blocks with one mutex. What it consists
 * of, and where the calls on it are, says heap.h.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "heap.h"
#include "policy.h"

/*
 * What a heap without pages costs the kernel: its structures, a file, an inode.
 * Charged to the process, or there would be no limit to the number of heaps, dead
 * ones above all.
 */
#define PH_HEAP_META_PAGES	1

static struct ph_region *ph_region_of(struct ph_block_region *blocks)
{
	return container_of(blocks, struct ph_region, blocks);
}

/* Do pages of this heap get memory when they are committed? */
static bool ph_heap_is_backed(struct ph_heap *heap)
{
	return heap->flags & PRIVHEAP_CREATE_F_BACKED || heap->policy->at_commit;
}

static int ph_heap_commit(struct ph_block_region *blocks, unsigned long first,
			  unsigned long nr)
{
	struct ph_region *region = ph_region_of(blocks);

	return ph_commit_pages(region, first, nr, ph_heap_is_backed(region->heap));
}

static void ph_heap_decommit(struct ph_block_region *blocks,
			     unsigned long first, unsigned long nr)
{
	ph_decommit_pages(ph_region_of(blocks), first, nr);
}

/* Where committed pages are to have memory, they keep it. */
static void ph_heap_drop(struct ph_block_region *blocks, unsigned long first,
			 unsigned long nr)
{
	struct ph_region *region = ph_region_of(blocks);

	if (!ph_heap_is_backed(region->heap))
		ph_commit_drop(region, first, nr);
}

static void ph_heap_mark(struct ph_block_region *blocks, unsigned long first,
			 unsigned long nr)
{
	ph_pagemap_mark(ph_region_of(blocks), first, nr);
}

static const struct ph_block_ops ph_heap_block_ops = {
	.commit		= ph_heap_commit,
	.decommit	= ph_heap_decommit,
	.drop		= ph_heap_drop,
	.mark		= ph_heap_mark,
};

/*
 * Releases all regions. The caller either holds off all who might still use
 * them, or they are unmapped.
 */
static void ph_heap_clear_locked(struct ph_heap *heap)
{
	struct ph_region *region, *next;

	list_for_each_entry_safe(region, next, &heap->regions, node) {
		ph_heap_detach_locked(heap, region);
		ph_commit_release(region);
		ph_region_put(region);
	}
}

/* One thing less of the heap is mapped. */
static void ph_heap_unmapped_locked(struct ph_heap *heap)
{
	if (--heap->nr_mapped)
		return;
	ph_front_uncount_locked(heap);
	ph_heap_clear_locked(heap);
}

/**
 * ph_heap_region_unmapped - a VMA of a region ends in the heap's address space
 * @heap: the heap
 * @region: its region
 *
 * With its last VMA a region loses its pages. Is it still in the bookkeeping,
 * then it was not the module that unmapped it: the heap is dead. When all of its
 * regions are unmapped, and their page maps, as happens at exec and exit,
 * everything is released but struct ph_heap itself, which keeps the id taken.
 *
 * Context: Under mmap_lock; takes ph_heap.lock.
 */
void ph_heap_region_unmapped(struct ph_heap *heap, struct ph_region *region)
{
	mutex_lock(&heap->lock);
	if (--region->nr_vmas)
		goto out_unlock;
	ph_pagemap_end_locked(region);
	ph_commit_exit(region);
	if (!atomic_read(&heap->mm->mm_users))	/* exit or exec */
		ph_pool_drain(heap->pool);
	if (list_empty(&region->node))
		goto out_unlock;
	if (heap->state == PH_HEAP_LIVE) {
		heap->state = PH_HEAP_DEAD;
		ph_front_tell_locked(heap, PRIVHEAP_COUNTERS_DEAD);
	}
	ph_heap_unmapped_locked(heap);
out_unlock:
	mutex_unlock(&heap->lock);
}

/**
 * ph_heap_pagemap_unmapped_locked - a page map is not mapped any more
 * @heap: the heap
 * @region: whose page map it was
 *
 * Context: Under mmap_lock. Caller holds ph_heap.lock.
 */
void ph_heap_pagemap_unmapped_locked(struct ph_heap *heap,
				     struct ph_region *region)
{
	lockdep_assert_held(&heap->lock);
	if (!list_empty(&region->node))
		ph_heap_unmapped_locked(heap);
}

/* Heaps are a little longer than 1 KiB: the next size of kmalloc() is 2 KiB. */
static struct kmem_cache *ph_heap_cache;

/**
 * ph_heap_cache_init - prepare the memory that heaps are described in
 *
 * Return: 0, or -ENOMEM.
 */
int __init ph_heap_cache_init(void)
{
	ph_heap_cache = KMEM_CACHE(ph_heap, SLAB_ACCOUNT);
	return ph_heap_cache ? 0 : -ENOMEM;
}

/**
 * ph_heap_cache_exit - the mirror of ph_heap_cache_init()
 */
void ph_heap_cache_exit(void)
{
	rcu_barrier();	/* for ph_heap_free_rcu() */
	kmem_cache_destroy(ph_heap_cache);
}

/* Not kfree_rcu(), which may keep it, and its charge, for seconds. */
static void ph_heap_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(ph_heap_cache, container_of(rcu, struct ph_heap, rcu));
}

/**
 * ph_heap_release - free a heap
 * @heap: whose last reference was dropped
 *
 * Context: May sleep; may be under mmap_lock.
 */
void ph_heap_release(struct ph_heap *heap)
{
	WARN_ON_ONCE(!list_empty(&heap->regions) ||
		     atomic_long_read(&heap->limit.usage_pages));
	ph_block_store_exit(&heap->store);
	ph_tally_exit(heap);
	mtree_destroy(&heap->others);
	if (heap->filp)
		ph_region_close(heap);
	mmdrop(heap->mm);
	ph_limit_put(heap->limit.parent);
	if (heap->cgroup)
		ph_limit_put(&heap->cgroup->limit);
	call_rcu(&heap->rcu, ph_heap_free_rcu);
}

/* Ends all regions but the first @nr. Drops the lock meanwhile. */
static void ph_heap_shrink_locked(struct ph_heap *heap, unsigned int nr)
{
	struct ph_region *region;

	while (heap->nr_regions > nr) {
		region = list_last_entry(&heap->regions, struct ph_region, node);
		ph_heap_detach_locked(heap, region);
		mutex_unlock(&heap->lock);
		ph_heap_discard(heap, region);
		mutex_lock(&heap->lock);
	}
}

/**
 * ph_heap_end - give back what is left of a heap
 * @heap: that was destroyed or retired, or never began; with the caller's reference
 *
 * Context: May sleep; takes mmap_lock.
 */
void ph_heap_end(struct ph_heap *heap)
{
	mutex_lock(&heap->lock);
	heap->state = PH_HEAP_GONE;
	ph_heap_shrink_locked(heap, 0);
	mutex_unlock(&heap->lock);
	ph_heap_put(heap);
}

/* Ends the page map of the first region, and unmaps it. Drops the lock meanwhile. */
static void ph_heap_unshow_locked(struct ph_heap *heap)
{
	struct ph_region *first = heap->first;

	if (!first || !first->map)
		return;
	ph_pagemap_end_locked(first);
	ph_region_get(first);
	mutex_unlock(&heap->lock);
	ph_pagemap_unmap(first);
	ph_region_put(first);
	mutex_lock(&heap->lock);
}

/*
 * Leaves nothing of a heap but its first region. Fails if that is unmapped, or if its
 * page map stays mapped.
 */
static bool ph_heap_vacate_locked(struct ph_heap *heap)
{
	ph_heap_shrink_locked(heap, 1);
	ph_heap_unshow_locked(heap);
	if (!heap->first || !heap->first->nr_vmas || heap->first->map)
		return false;
	ph_block_region_empty(&heap->store, &heap->first->blocks);
	ph_commit_release(heap->first);
	ph_tally_clear(heap);
	return true;
}

/**
 * ph_heap_destroy - end a heap
 * @process: where it may retire; or NULL
 * @heap: that no new call can find; this takes the reference over that its file
 *	held
 *
 * Context: May sleep; takes mmap_lock.
 */
void ph_heap_destroy(struct ph_process *process, struct ph_heap *heap)
{
	bool retires;

	mutex_lock(&heap->lock);
	heap->state = PH_HEAP_GONE;
	ph_front_uncount_locked(heap);
	retires = process && ph_retired_fits(heap) && ph_heap_vacate_locked(heap);
	if (!retires)
		ph_heap_shrink_locked(heap, 0);
	mutex_unlock(&heap->lock);
	ph_limit_uncharge_above(heap, PH_HEAP_META_PAGES);
	ph_owner_remove_heap(heap);
	if (!retires || !ph_retired_add(process, heap))
		ph_heap_end(heap);
}

/* Takes @cgroup over. */
static struct ph_heap *ph_heap_new(struct ph_file *file,
				   struct ph_cgroup *cgroup)
{
	struct mem_cgroup *outer = ph_cgroup_enter(cgroup);
	struct ph_heap *heap = kmem_cache_zalloc(ph_heap_cache, PH_GFP_META);

	ph_cgroup_leave(cgroup, outer);
	if (!heap) {
		if (cgroup)
			ph_limit_put(&cgroup->limit);
		return NULL;
	}
	heap->cgroup = cgroup;
	refcount_set(&heap->refs, 1);
	mmgrab(file->mm);
	heap->mm = file->mm;
	heap->pool = &file->process->pool;
	mutex_init(&heap->grow_lock);
	mutex_init(&heap->lock);
	INIT_LIST_HEAD(&heap->regions);
	INIT_LIST_HEAD(&heap->idle_regions);
	spin_lock_init(&heap->counters_lock);
	INIT_LIST_HEAD(&heap->counters);
	mt_init(&heap->others);
	refcount_inc(&file->process->limit.refs);
	heap->limit.parent = &file->process->limit;
	ph_block_store_init(&heap->store, &ph_heap_block_ops);
	return heap;
}

/* What is freed in a guarded heap is out of reach, so that no split may fail. */
static bool ph_heap_wants_huge(const struct privheap_create *arg)
{
	return ph_policy_is_huge(arg->policy) &&
	       !(arg->flags & (PRIVHEAP_CREATE_F_SECRET | PRIVHEAP_CREATE_F_GUARD));
}

/* Gives a heap that is new, or was retired, all that the program chose. */
static void ph_heap_set_up(struct ph_heap *heap,
			   const struct privheap_create *arg)
{
	heap->flags = arg->flags;
	heap->max_pages = PAGE_ALIGN(arg->max_bytes) >> PAGE_SHIFT;
	heap->huge = ph_heap_wants_huge(arg);
	heap->max_idle = ph_heap_idle_pages(heap, arg->idle_bytes);
	heap->waves = (struct ph_waves){};
	heap->charge = (struct ph_charge){};
	heap->inject = (struct ph_inject){};
	heap->store.growable = !heap->max_pages;
	heap->store.max_quarantine_pages = arg->quarantine_bytes >> PAGE_SHIFT;
	ph_policy_set(heap, arg->policy, arg->window_pages);
	ph_limit_init(&heap->limit, PRIVHEAP_SCOPE_HEAP, heap->limit.parent,
		      arg->limit_bytes ? arg->limit_bytes >> PAGE_SHIFT :
					 ULONG_MAX);
}

/* How many pages stay committed from the start. */
static unsigned long ph_heap_kept_pages(const struct privheap_create *arg)
{
	return max(PAGE_ALIGN(arg->initial_bytes) >> PAGE_SHIFT, 1UL);
}

/* How long the first region is. */
static unsigned long ph_heap_first_pages(const struct privheap_create *arg)
{
	if (arg->max_bytes)
		return PAGE_ALIGN(arg->max_bytes) >> PAGE_SHIFT;
	return ALIGN(ph_heap_kept_pages(arg) << PAGE_SHIFT, PH_REGION_ALIGN) >>
	       PAGE_SHIFT;
}

/* Gives a new heap its file and its first region. */
static int ph_heap_open(struct ph_heap *heap, unsigned long nr_pages)
{
	struct ph_region *region;
	int err;

	err = ph_region_open(heap);
	if (err)
		return err;
	region = ph_heap_reserve(heap, nr_pages);
	if (IS_ERR(region))
		return PTR_ERR(region);
	mutex_lock(&heap->lock);
	err = ph_heap_attach_locked(heap, region, false);
	if (!err)
		heap->base = region->blocks.base;
	mutex_unlock(&heap->lock);
	if (err)
		ph_heap_discard(heap, region);
	return err;
}

/* Begins to use the first region, with the initial pages resident. */
static int ph_heap_begin_locked(struct ph_heap *heap, unsigned long nr_kept)
{
	struct ph_region *region = heap->first;

	if (!region || !region->nr_vmas)	/* the program was quick to unmap it */
		return -ENOMEM;
	heap->state = PH_HEAP_LIVE;
	region->nr_kept_pages = nr_kept;
	return nr_kept ? ph_commit_pages(region, 0, nr_kept, true) : 0;
}

static int ph_heap_begin(struct ph_heap *heap, unsigned long nr_kept)
{
	int err;

	do {
		mutex_lock(&heap->lock);
		err = ph_heap_begin_locked(heap, nr_kept);
		if (err == -EDQUOT)
			ph_limit_report_refusal(heap);
		mutex_unlock(&heap->lock);
		if (err == -EAGAIN)
			err = ph_table_make(heap, NULL) ?: -EAGAIN;
	} while (err == -EAGAIN);
	return err;
}

static int ph_heap_build(struct ph_heap *heap, struct privheap_create *arg)
{
	unsigned long nr_pages = ph_heap_first_pages(arg);
	unsigned long nr_kept = min(ph_heap_kept_pages(arg), nr_pages);
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	int err = 0;

	/* Any page may become a guard; and one page would stand in a huge one's way. */
	if (heap->flags & PRIVHEAP_CREATE_F_GUARD ||
	    (heap->huge && !arg->initial_bytes))
		nr_kept = 0;
	if (!heap->filp)
		err = ph_heap_open(heap, nr_pages);
	if (!err)
		err = ph_heap_begin(heap, nr_kept);
	ph_cgroup_leave(heap->cgroup, outer);
	if (err)
		return err;
	arg->out_heap = heap->id;
	arg->out_base = heap->base;
	arg->out_region_bytes = (u64)nr_pages << PAGE_SHIFT;
	return 0;
}

/* Soft limit and grace of a heap in the making; its hard limit is set already. */
static int ph_heap_set_limits(struct ph_heap *heap,
			      const struct privheap_create *arg)
{
	struct ph_limit_change change = {
		.soft_bytes = arg->soft_bytes,
		.grace_bytes = arg->grace_bytes,
	};

	if (arg->soft_bytes)
		change.set |= PRIVHEAP_LIMIT_F_SOFT;
	if (arg->grace_bytes)
		change.set |= PRIVHEAP_LIMIT_F_GRACE;
	return change.set ? ph_limit_set(&heap->limit, &change,
					 PH_LIMIT_BY_PROGRAM) : 0;
}

static int ph_heap_charge_meta(struct ph_heap *heap)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_idle_charge_above(heap, PH_HEAP_META_PAGES);
	if (err)
		ph_limit_report_refusal(heap);
	mutex_unlock(&heap->lock);
	return err;
}

/* Takes a place in the file's table; the heap is not to be found there yet. */
static int ph_heap_reserve_id(struct ph_file *file, struct ph_heap *heap)
{
	atomic_t *last = &file->process->generation;
	u32 index, generation;
	int err;

	err = xa_alloc(&file->heaps, &index, NULL, xa_limit_31b, PH_GFP_META);
	if (err)
		return -ENOMEM;
	if (ph_owner_add_heap(heap)) {
		xa_erase(&file->heaps, index);
		return -ENOMEM;
	}
	generation = (u32)atomic_inc_return(last) ?: (u32)atomic_inc_return(last);
	WRITE_ONCE(heap->id, (u64)generation << 32 | index);
	return 0;
}

/*
 * Has a retired heap forget the regions that are gone. The first one is still there,
 * or the program has unmapped it just now: then this fails.
 */
static bool ph_heap_renew_locked(struct ph_heap *heap)
{
	struct ph_region *first = heap->first;

	if (!first || !first->nr_vmas)
		return false;
	heap->nr_ordinary = 1;
	heap->next_pgoff = ph_region_end_pgoff(first);
	ph_table_forget(first);
	return true;
}

/* Makes a retired heap a new one again, if there is one that will do. */
static struct ph_heap *ph_heap_revive(struct ph_process *process,
				      unsigned long nr_pages)
{
	struct ph_heap *heap = ph_retired_take(process, nr_pages);
	bool renewed;

	if (!heap)
		return NULL;
	mutex_lock(&heap->lock);
	renewed = ph_heap_renew_locked(heap);
	mutex_unlock(&heap->lock);
	if (renewed)
		return heap;
	ph_heap_end(heap);
	return NULL;
}

/* A new heap, or a retired one where that makes no difference. */
static struct ph_heap *ph_heap_find_or_new(struct ph_file *file,
					   const struct privheap_create *arg)
{
	struct ph_cgroup *cgroup = NULL;
	struct ph_heap *heap = NULL;

	if (!(arg->flags & ~PRIVHEAP_CREATE_F_BACKED) && !ph_heap_wants_huge(arg))
		heap = ph_heap_revive(file->process, ph_heap_first_pages(arg));
	if (heap)
		return heap;
	if (arg->flags & PRIVHEAP_CREATE_F_CGROUP)
		cgroup = ph_cgroup_get(arg->cgroup_fd);
	if (IS_ERR(cgroup))
		return ERR_CAST(cgroup);
	return ph_heap_new(file, cgroup) ?: ERR_PTR(-ENOMEM);
}

static int ph_heap_try_create(struct ph_call *call)
{
	struct privheap_create *arg = &call->arg.create;
	struct ph_file *file = call->file;
	struct ph_heap *heap;
	int err;

	heap = ph_heap_find_or_new(file, arg);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	ph_heap_set_up(heap, arg);
	err = ph_heap_set_limits(heap, arg) ?: ph_heap_charge_meta(heap);
	if (err)
		goto err_end_heap;
	err = ph_heap_reserve_id(file, heap);
	if (err)
		goto err_destroy_heap;
	err = ph_heap_build(heap, arg);
	if (err)
		goto err_release_id;
	err = ph_call_answer(call);
	if (err)
		goto err_release_id;
	ph_owner_publish_heap(heap);
	ph_event_heap(PRIVHEAP_EVENT_HEAP_CREATED, heap);
	ph_file_publish(file, heap);	/* from here on it can be destroyed */
	return 0;

err_release_id:
	xa_erase(&file->heaps, (u32)heap->id);
err_destroy_heap:
	ph_heap_destroy(NULL, heap);
	return err;
err_end_heap:
	ph_heap_end(heap);
	return err;
}

/**
 * ph_heap_create - make a heap, tell the caller, and publish it
 * @call: the create call; its sizes have been checked against ph_max_bytes()
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0, -EFAULT, -EINVAL, -EDQUOT, -ENOMEM, -EINTR, -EACCES, and for the
 * cgroup -EBADF, -EOPNOTSUPP.
 */
int ph_heap_create(struct ph_call *call)
{
	int err = ph_heap_try_create(call);

	/* What retired heaps reserve may be what there is no more of. */
	if (err == -ENOMEM && ph_retired_end(call->file->process))
		err = ph_heap_try_create(call);
	return err;
}
