// SPDX-License-Identifier: GPL-2.0-only
/*
 * The regions of a heap: which there are, and how it gets more.
 *
 * Reserving and unmapping address space takes mmap_lock, and so happens outside of
 * ph_heap.lock: a call that finds no room drops the mutex, has the heap grow, and
 * starts again; a region that is to go is taken out of the bookkeeping first and
 * unmapped afterwards. Both travel between the two worlds as the @spare of a call:
 * a region that is mapped but belongs to no heap.
 *
 * A region that a block had of its own stays with the heap after the block was freed,
 * if idle.c has kept pages of it: the next such block would otherwise fault them all.
 * It has no block then, and is in the heap's list of idle regions.
 */
#include <linux/sched/mm.h>

#include "heap.h"

/**
 * ph_heap_attach_locked - enter a region into the bookkeeping
 * @heap: whose it is
 * @region: that ph_heap_reserve() made; the caller's reference becomes the heap's
 * @dedicated: it is for one block
 *
 * Only then may pages be committed in it: the program can unmap a region as soon as
 * it is mapped, and what is committed afterwards nobody would release.
 *
 * Context: Caller holds ph_heap.lock.
 * Return: 0 or -ENOMEM.
 */
int ph_heap_attach_locked(struct ph_heap *heap, struct ph_region *region,
			  bool dedicated)
{
	unsigned long base = region->blocks.base;
	unsigned long nr_pages = region->blocks.nr_pages;
	int err;

	lockdep_assert_held(&heap->lock);
	if (!region->nr_vmas)	/* the program was quick to unmap it */
		return -ENOMEM;
	err = ph_block_region_add(&heap->store, &region->blocks, base, nr_pages,
				  dedicated);
	if (err)
		return err;
	if (heap->first)
		err = mtree_insert_range(&heap->others, base,
					 base + (nr_pages << PAGE_SHIFT) - 1,
					 region, PH_GFP_META);
	else
		heap->first = region;
	if (err) {
		ph_block_region_remove(&heap->store, &region->blocks);
		return -ENOMEM;
	}
	region->number = dedicated ? PRIVHEAP_ENTRY_OWN_REGION :
				     heap->nr_ordinary++;
	list_add_tail(&region->node, &heap->regions);
	heap->nr_regions++;
	heap->nr_mapped++;
	if (region->map)	/* it was attached before, and had a page map */
		heap->nr_mapped++;
	heap->reserved_pages += nr_pages;
	return 0;
}

/*
 * The tree may need a node to forget an entry, and gives up without a word when
 * there is no memory. But the region is about to be freed.
 */
static void ph_heap_forget_locked(struct ph_heap *heap, unsigned long base)
{
	do {
		mtree_erase(&heap->others, base);
		cond_resched();
	} while (unlikely(mtree_load(&heap->others, base)));
}

/**
 * ph_heap_idle_region_locked - find an idle region for a block
 * @heap: in this heap
 * @nr_pages: how long it must be
 *
 * Context: Caller holds ph_heap.lock.
 * Return: the shortest region that is as long, and not more than twice; or NULL.
 */
struct ph_region *ph_heap_idle_region_locked(struct ph_heap *heap,
					     unsigned long nr_pages)
{
	struct ph_region *region, *best = NULL;
	unsigned long rest, least = nr_pages + 1;

	lockdep_assert_held(&heap->lock);
	list_for_each_entry(region, &heap->idle_regions, idle_node) {
		rest = region->blocks.nr_pages - nr_pages;	/* wraps if too short */
		if (rest < least) {
			least = rest;
			best = region;
		}
	}
	return best;
}

/**
 * ph_heap_use_region_locked - a region is not idle any more, if it was
 * @heap: whose it is
 * @region: which
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_heap_use_region_locked(struct ph_heap *heap, struct ph_region *region)
{
	lockdep_assert_held(&heap->lock);
	if (list_empty(&region->idle_node))
		return;
	list_del_init(&region->idle_node);
	heap->nr_idle_regions--;
}

/**
 * ph_heap_detach_locked - take a region, and its blocks, out of the bookkeeping
 * @heap: whose it is
 * @region: which; its pages are left as they are, and the reference is the caller's.
 *	Its page map ends
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_heap_detach_locked(struct ph_heap *heap, struct ph_region *region)
{
	lockdep_assert_held(&heap->lock);
	ph_pagemap_end_locked(region);
	ph_block_region_remove(&heap->store, &region->blocks);
	if (heap->first == region)
		heap->first = NULL;
	else
		ph_heap_forget_locked(heap, region->blocks.base);
	ph_heap_use_region_locked(heap, region);
	list_del_init(&region->node);
	heap->nr_regions--;
	if (region->nr_vmas)
		heap->nr_mapped--;
	if (region->map)
		heap->nr_mapped--;
	heap->reserved_pages -= region->blocks.nr_pages;
}

/**
 * ph_heap_discard - end a region that no heap's bookkeeping knows
 * @heap: whose it was
 * @region: which; or NULL
 *
 * Context: May sleep; takes mmap_lock and ph_heap.lock.
 */
void ph_heap_discard(struct ph_heap *heap, struct ph_region *region)
{
	if (!region)
		return;
	ph_region_unmap(region);
	mutex_lock(&heap->lock);
	ph_commit_release(region);
	mutex_unlock(&heap->lock);
	ph_region_put(region);
}

/**
 * ph_heap_keep_region_locked - the one block of a region is gone: does the region stay?
 * @heap: whose it is
 * @region: becomes an idle one if it has idle pages
 *
 * Context: Caller holds ph_heap.lock.
 * Return: true if it stays.
 */
bool ph_heap_keep_region_locked(struct ph_heap *heap, struct ph_region *region)
{
	lockdep_assert_held(&heap->lock);
	if (!ph_commit_count(region))
		return false;
	list_add(&region->idle_node, &heap->idle_regions);
	heap->nr_idle_regions++;
	return true;
}

/**
 * ph_heap_surplus_region_locked - take out the idle region that was used longest ago
 * @heap: a heap that has idle regions
 *
 * Context: Caller holds ph_heap.lock.
 * Return: the region, for the caller to discard.
 */
struct ph_region *ph_heap_surplus_region_locked(struct ph_heap *heap)
{
	struct ph_region *region = list_last_entry(&heap->idle_regions,
						   struct ph_region, idle_node);

	lockdep_assert_held(&heap->lock);
	/* Once it is in no list nobody else can have its pages go. */
	ph_commit_release(region);
	ph_heap_detach_locked(heap, region);
	return region;
}

/**
 * ph_heap_discard_idle - end the idle regions of a heap
 * @heap: which
 *
 * Context: May sleep; takes mmap_lock and ph_heap.lock.
 * Return: true if there were any.
 */
bool ph_heap_discard_idle(struct ph_heap *heap)
{
	struct ph_region *region = NULL;
	int nr;

	/* Others may free blocks meanwhile, so there is an end to it. */
	for (nr = 0; nr < PH_NR_IDLE_REGIONS; nr++, region = NULL) {
		mutex_lock(&heap->lock);
		if (heap->nr_idle_regions)
			region = ph_heap_surplus_region_locked(heap);
		mutex_unlock(&heap->lock);
		if (!region)
			break;
		ph_heap_discard(heap, region);
	}
	return nr;
}

/**
 * ph_heap_reserve - map a region that is in no heap's bookkeeping yet
 * @heap: for which heap
 * @nr_pages: how long
 *
 * Context: May sleep; takes ph_heap.grow_lock and mmap_lock.
 * Return: as ph_region_create().
 */
struct ph_region *ph_heap_reserve(struct ph_heap *heap,
				  unsigned long nr_pages)
{
	struct ph_region *region;

	mutex_lock(&heap->grow_lock);
	region = ph_region_create(heap, nr_pages);
	mutex_unlock(&heap->grow_lock);
	return region;
}

/* How long a region must be so that an empty one has room for a block. */
static unsigned long ph_heap_need(unsigned long bytes, unsigned long align)
{
	return bytes + (align > PH_REGION_ALIGN ? align : 0);
}

/**
 * ph_heap_own_pages - how long is the region that a block gets of its own?
 * @bytes: size of the block
 * @align: its alignment
 *
 * Return: its length in pages.
 */
unsigned long ph_heap_own_pages(unsigned long bytes, unsigned long align)
{
	return PAGE_ALIGN(ph_heap_need(bytes, align)) >> PAGE_SHIFT;
}

/* How long the next ordinary region is: as all so far, within bounds. */
static unsigned long ph_heap_growth(struct ph_heap *heap, unsigned long bytes,
				    unsigned long align)
{
	unsigned long grow = READ_ONCE(heap->reserved_pages) << PAGE_SHIFT;

	grow = clamp(grow, PH_REGION_ALIGN, PH_REGION_GROW_BYTES);
	return ALIGN(max(grow, ph_heap_need(bytes, align)), PH_REGION_ALIGN) >>
	       PAGE_SHIFT;
}

/* Adds an ordinary region in which a block of this size has room. */
static int ph_heap_grow(struct ph_heap *heap, unsigned long bytes,
			unsigned long align)
{
	struct ph_region *region;
	int err;

	region = ph_heap_reserve(heap, ph_heap_growth(heap, bytes, align));
	if (IS_ERR(region))
		return PTR_ERR(region);
	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_heap_attach_locked(heap, region, false);
	mutex_unlock(&heap->lock);
	if (err)
		ph_heap_discard(heap, region);
	return err;
}

/* The page of the answer is the program's, and not charged to the heap's cgroup. */
static int ph_heap_fault_in(struct ph_heap *heap, void __user *answer)
{
	struct mem_cgroup *heaps = NULL;
	int err;

	if (heap->cgroup)
		heaps = ph_cgroup_activate(NULL);
	err = ph_answer_fault_in(answer);
	ph_cgroup_leave(heap->cgroup, heaps);
	return err;
}

/* Reserves a region for a block: an ordinary one or, as *@spare, its own. */
static int ph_heap_extend(struct ph_heap *heap, unsigned long bytes,
			  unsigned long align, struct ph_region **spare)
{
	struct ph_region *region;

	if (!spare || !ph_heap_dedicates(heap, bytes))
		return ph_heap_grow(heap, bytes, align);
	region = ph_heap_reserve(heap, ph_heap_own_pages(bytes, align));
	if (IS_ERR(region))
		return PTR_ERR(region);
	*spare = region;
	return 0;
}

/* A block that is only remembered gives way to one that is asked for. */
static bool ph_heap_evict(struct ph_heap *heap)
{
	bool evicted = false;

	if (likely(!(heap->flags & PRIVHEAP_CREATE_F_GUARD)))
		return false;
	mutex_lock(&heap->lock);
	if (!ph_heap_check_locked(heap))
		evicted = ph_block_evict(&heap->store);
	mutex_unlock(&heap->lock);
	return evicted;
}

/**
 * ph_heap_mend - do what can be done about an error without a lock
 * @heap: the heap that a call failed on
 * @err: how, as ph_inject_end_locked() told
 * @bytes: what it needs room for
 * @align: at which alignment
 * @spare: receives a region for a block that gets one of its own; NULL for what
 *	lies in an ordinary one
 * @answer: where the answer goes
 *
 * Reserves a region, brings the page of the answer in, makes page tables, forgets a
 * freed block, or ends idle regions.
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0 when it is worth trying again, otherwise the error of the call.
 */
int ph_heap_mend(struct ph_heap *heap, int err, unsigned long bytes,
		 unsigned long align, struct ph_region **spare,
		 void __user *answer)
{
	if (err == -ECANCELED)
		return -ENOMEM;
	if (err == -EFAULT)
		return ph_heap_fault_in(heap, answer);
	if (err == -EAGAIN)
		err = ph_table_make(heap, spare ? *spare : NULL);
	if (err == -ENOSPC && ph_heap_growable(heap))
		err = ph_heap_extend(heap, bytes, align, spare);
	if ((err == -ENOSPC || err == -ENOMEM) && ph_heap_evict(heap))
		return 0;
	if (err == -ENOMEM && ph_heap_discard_idle(heap))
		return 0;
	return err;
}
