// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page maps: what each page of a region is, in memory that the program can read.
 *
 * A page map is an array of struct privheap_page, mapped read-only, for a region
 * whose program asked for it. The module writes an entry where the page itself
 * changes, and nobody reads them back. A use is written under ph_heap.lock when runs
 * change (struct ph_block_ops), a state under the chunk's lock when the page does.
 * Each has a byte of its own, so the two never meet and a byte is never torn.
 *
 * The array comes in leaves of one page, and may be much longer than what of it says
 * anything. Where there is no leaf the program reads the kernel's zero page: pages
 * that are free and reserved. Page table entries are mere numbers (VM_PFNMAP): nobody
 * can take hold of a leaf, and it goes when it is unmapped.
 *
 * Invariant: from ph_pagemap_get() to ph_pagemap_end_locked(), which is while
 * ph_block_region.marked is set, there is a leaf for each page that is used or
 * committed. So leaves are made where a commit can still fail, one page further on
 * either side than what is committed, for guard pages.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "chunk.h"

/**
 * struct ph_pagemap - the page map of a region, as long as it is mapped
 * @region: holds a reference (constant)
 * @nr_vmas: as ph_region.nr_vmas (ph_heap.lock)
 * @lock: inside of ph_heap.lock and mmap_lock; outside of page table locks only
 * @ended: it shows nothing any more (ph_heap.lock and @lock to change it)
 * @leaves: pages of struct privheap_page by page of the map; each is charged as a
 *	page to the nodes above the heap (ph_heap.lock and @lock to change it)
 */
struct ph_pagemap {
	struct ph_region *region;
	unsigned int nr_vmas;
	struct mutex lock;
	bool ended;
	struct xarray leaves;
};

static pgoff_t ph_pagemap_pgoff(const struct ph_region *region)
{
	return region->pgoff + region->blocks.nr_pages;
}

static struct address_space *ph_pagemap_mapping(const struct ph_region *region)
{
	return region->heap->filp->f_mapping;
}

/**
 * ph_pagemap_entries - find the entries of a chunk
 * @region: whose page map it is; or it has none
 * @index: of the chunk
 *
 * Context: Caller holds ph_heap.lock.
 * Return: where they are, or NULL.
 */
struct privheap_page *ph_pagemap_entries(struct ph_region *region,
					 unsigned long index)
{
	unsigned long first = index * PH_CHUNK_PAGES;
	struct privheap_page *leaf;

	if (!region->blocks.marked)
		return NULL;
	leaf = xa_load(&region->map->leaves, first / PH_PAGEMAP_ENTRIES);
	return leaf ? leaf + first % PH_PAGEMAP_ENTRIES : NULL;
}

/**
 * ph_pagemap_show_locked - write down the states of pages
 * @chunk: with entries in a page map
 * @part: which pages of it
 *
 * Context: Caller holds the chunk's lock.
 */
void ph_pagemap_show_locked(struct ph_chunk *chunk, struct ph_part part)
{
	unsigned int i;

	lockdep_assert_held(&chunk->lock);
	for (i = part.lo; i < part.hi; i++)
		WRITE_ONCE(chunk->shown[i].state, ph_chunk_state(chunk, i));
}

/* Has a chunk write down its states from now on, or, with NULL, no more. */
static void ph_pagemap_attach(struct ph_region *region, unsigned long index,
			      struct ph_chunk *chunk, struct privheap_page *shown)
{
	mutex_lock(&chunk->lock);
	chunk->shown = shown;
	ph_chunk_show_locked(chunk, ph_chunk_part(index, 0,
						  region->blocks.nr_pages));
	mutex_unlock(&chunk->lock);
}

static const u8 ph_pagemap_uses[] = {
	[PH_RUN_FREE]	= PRIVHEAP_PAGE_FREE,
	[PH_RUN_SPAN]	= PRIVHEAP_PAGE_SPAN,
	[PH_RUN_LARGE]	= PRIVHEAP_PAGE_LARGE,
	[PH_RUN_GUARDED] = PRIVHEAP_PAGE_GUARDED,
	[PH_RUN_QUARANTINED] = PRIVHEAP_PAGE_QUARANTINED,
	[PH_RUN_TAKEN]	= PRIVHEAP_PAGE_TAKEN,
};

/* Writes a use to the entries of pages that lie in one leaf. */
static void ph_pagemap_mark_part(struct ph_pagemap *map, unsigned long first,
				 unsigned long end, u8 use)
{
	struct privheap_page *leaf, *entry;

	leaf = xa_load(&map->leaves, first / PH_PAGEMAP_ENTRIES);
	if (!leaf)
		return;
	entry = leaf + first % PH_PAGEMAP_ENTRIES;
	for (; first < end; first++, entry++)
		WRITE_ONCE(entry->use, use);
}

/* The same for all pages [@first, @end) of a run. */
static void ph_pagemap_mark_run(struct ph_region *region, unsigned long first,
				unsigned long end,
				const struct ph_block_run *run)
{
	u8 use = ph_pagemap_uses[run->kind];
	unsigned long border;

	if (run->kind != PH_RUN_FREE &&
	    run->start == region->blocks.base + (first << PAGE_SHIFT)) {
		ph_pagemap_mark_part(region->map, first, first + 1,
				     use | PRIVHEAP_PAGE_F_FIRST);
		first++;
	}
	for (; first < end; first = border) {
		border = min(end, round_down(first, PH_PAGEMAP_ENTRIES) +
				  PH_PAGEMAP_ENTRIES);
		ph_pagemap_mark_part(region->map, first, border, use);
		cond_resched();
	}
}

/**
 * ph_pagemap_mark - write down the uses of pages
 * @region: with a page map
 * @first: first page
 * @nr: how many
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_pagemap_mark(struct ph_region *region, unsigned long first,
		     unsigned long nr)
{
	unsigned long base = region->blocks.base, end = first + nr, run_end;
	struct ph_block_run run;

	lockdep_assert_held(&region->heap->lock);
	for (; first < end; first = run_end) {
		ph_block_run_at(&region->blocks, base + (first << PAGE_SHIFT),
				&run);
		run_end = min(end, ((run.start - base) >> PAGE_SHIFT) +
				   run.nr_pages);
		ph_pagemap_mark_run(region, first, run_end, &run);
		cond_resched();
	}
}

/* Has the pages of a leaf write down what they are; or, with NULL, no more. */
static void ph_pagemap_attach_leaf(struct ph_region *region, unsigned long index,
				   struct privheap_page *leaf)
{
	unsigned long first = index * PH_PAGEMAP_ENTRIES;
	unsigned long end = min(first + PH_PAGEMAP_ENTRIES,
				region->blocks.nr_pages);
	struct ph_chunk *chunk;
	unsigned long i;

	ph_for_each_chunk(region, i, chunk, first, end)
		ph_pagemap_attach(region, i, chunk, !leaf ? NULL :
				  leaf + (i * PH_CHUNK_PAGES - first));
	if (leaf)
		ph_pagemap_mark(region, first, end - first);
}

/*
 * A fault that has found no leaf has mapped zeros by the time that there is one, since
 * it looks and maps with the lock held. These are then unmapped.
 */
static int ph_pagemap_add_leaf(struct ph_pagemap *map, unsigned long index)
{
	struct ph_region *region = map->region;
	struct privheap_page *leaf = (void *)get_zeroed_page(PH_GFP_META);
	int err;

	if (!leaf)
		return -ENOMEM;
	mutex_lock(&map->lock);
	err = xa_err(xa_store(&map->leaves, index, leaf, PH_GFP_META));
	mutex_unlock(&map->lock);
	if (err) {
		free_page((unsigned long)leaf);
		return -ENOMEM;
	}
	ph_pagemap_attach_leaf(region, index, leaf);
	unmap_mapping_pages(ph_pagemap_mapping(region),
			    ph_pagemap_pgoff(region) + index, 1, true);
	return 0;
}

static void ph_pagemap_remove_leaf(struct ph_pagemap *map, unsigned long index,
				   struct privheap_page *leaf)
{
	struct ph_region *region = map->region;

	ph_pagemap_attach_leaf(region, index, NULL);
	mutex_lock(&map->lock);
	xa_erase(&map->leaves, index);
	mutex_unlock(&map->lock);
	unmap_mapping_pages(ph_pagemap_mapping(region),
			    ph_pagemap_pgoff(region) + index, 1, true);
	free_page((unsigned long)leaf);
	ph_limit_uncharge_above(region->heap, 1);
}

/* The leaves that pages [@first, @end) and their neighbours need: [*@lo, *@hi). */
static void ph_pagemap_span(struct ph_region *region, unsigned long first,
			    unsigned long end, unsigned long *lo,
			    unsigned long *hi)
{
	*lo = (first - !!first) / PH_PAGEMAP_ENTRIES;
	*hi = min(end, region->blocks.nr_pages - 1) / PH_PAGEMAP_ENTRIES + 1;
}

/**
 * ph_pagemap_missing - count the leaves that pages need and that there are not
 * @region: with a page map
 * @first: first page
 * @end: the page behind the last one
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: how many there are to be charged before ph_pagemap_fill().
 */
unsigned long ph_pagemap_missing(struct ph_region *region, unsigned long first,
				 unsigned long end)
{
	unsigned long index, lo, hi, nr = 0;
	void *leaf;

	lockdep_assert_held(&region->heap->lock);
	ph_pagemap_span(region, first, end, &lo, &hi);
	xa_for_each_range(&region->map->leaves, index, leaf, lo, hi - 1) {
		nr++;
		cond_resched();
	}
	return hi - lo - nr;
}

/**
 * ph_pagemap_fill - make leaves for pages that are about to be committed
 * @region: with a page map
 * @first: first page
 * @end: the page behind the last one
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0; -ENOMEM; -EINTR when the task is being killed. Some leaves may have been
 * made then, see ph_pagemap_trim(); for the others the charge is taken back.
 */
int ph_pagemap_fill(struct ph_region *region, unsigned long first,
		    unsigned long end)
{
	struct ph_pagemap *map = region->map;
	unsigned long index, hi;
	int err = 0;

	lockdep_assert_held(&region->heap->lock);
	ph_pagemap_span(region, first, end, &index, &hi);
	for (; !err && index < hi; index++) {
		if (xa_load(&map->leaves, index))
			continue;
		err = ph_pagemap_add_leaf(map, index);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	if (err)
		ph_limit_uncharge_above(region->heap,
					ph_pagemap_missing(region, first, end));
	return err;
}

/**
 * ph_pagemap_trim - give leaves back that say nothing
 * @region: with a page map
 * @first: first page that they may be for
 * @end: the page behind the last one
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_pagemap_trim(struct ph_region *region, unsigned long first,
		     unsigned long end)
{
	struct ph_pagemap *map = region->map;
	struct privheap_page *leaf;
	unsigned long index, lo, hi;

	lockdep_assert_held(&region->heap->lock);
	ph_pagemap_span(region, first, end, &lo, &hi);
	xa_for_each_range(&map->leaves, index, leaf, lo, hi - 1) {
		if (!memchr_inv(leaf, 0, PAGE_SIZE))
			ph_pagemap_remove_leaf(map, index, leaf);
		cond_resched();
	}
}

/**
 * ph_pagemap_end_locked - have a page map show nothing any more
 * @region: whose it is; or it has none
 *
 * The mapping stays until ph_pagemap_unmap(), or until the program unmaps it. To touch
 * it is SIGSEGV.
 *
 * Context: May sleep; may be under mmap_lock. Caller holds ph_heap.lock, and a
 * reference to the region.
 */
void ph_pagemap_end_locked(struct ph_region *region)
{
	struct ph_pagemap *map = region->map;
	struct privheap_page *leaf;
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	lockdep_assert_held(&region->heap->lock);
	if (!map || map->ended)
		return;
	region->blocks.marked = false;
	xa_for_each(&region->chunks, index, chunk)
		ph_pagemap_attach(region, index, chunk, NULL);
	mutex_lock(&map->lock);
	map->ended = true;
	mutex_unlock(&map->lock);
	if (map->nr_vmas)
		unmap_mapping_pages(ph_pagemap_mapping(region),
				    ph_pagemap_pgoff(region),
				    ph_pagemap_pages(region->blocks.nr_pages),
				    true);
	xa_for_each(&map->leaves, index, leaf) {
		free_page((unsigned long)leaf);
		nr++;
		cond_resched();
	}
	xa_destroy(&map->leaves);
	if (nr)
		ph_limit_uncharge_above(region->heap, nr);
}

static void ph_pagemap_vma_open(struct vm_area_struct *vma)
{
	struct ph_pagemap *map = vma->vm_private_data;
	struct ph_heap *heap = map->region->heap;

	mutex_lock(&heap->lock);
	map->nr_vmas++;
	mutex_unlock(&heap->lock);
}

static void ph_pagemap_vma_close(struct vm_area_struct *vma)
{
	struct ph_pagemap *map = vma->vm_private_data;
	struct ph_region *region = map->region;
	struct ph_heap *heap = region->heap;
	bool last;

	mutex_lock(&heap->lock);
	last = !--map->nr_vmas;
	if (last) {
		ph_pagemap_end_locked(region);
		region->map = NULL;
		WRITE_ONCE(region->map_base, 0);
		ph_heap_pagemap_unmapped_locked(heap, region);
	}
	mutex_unlock(&heap->lock);
	if (!last)
		return;
	kfree(map);
	ph_region_put(region);
}

static vm_fault_t ph_pagemap_vma_fault(struct vm_fault *vmf)
{
	struct ph_pagemap *map = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGSEGV;
	struct page *page;
	void *leaf;

	mutex_lock(&map->lock);
	if (!map->ended && vmf->vma->vm_mm == map->region->heap->mm) {
		leaf = xa_load(&map->leaves,
			       vmf->pgoff - ph_pagemap_pgoff(map->region));
		page = leaf ? virt_to_page(leaf) : ZERO_PAGE(vmf->address);
		ret = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));
	}
	mutex_unlock(&map->lock);
	return ret;
}

static const struct vm_operations_struct ph_pagemap_vma_ops = {
	.open		= ph_pagemap_vma_open,
	.close		= ph_pagemap_vma_close,
	.may_split	= ph_vma_may_split,
	.mremap		= ph_vma_mremap,
	.mprotect	= ph_vma_mprotect,
	.fault		= ph_pagemap_vma_fault,
};

/**
 * ph_pagemap_mmap - set the mapping of a page map up
 * @region: whose it is to be; has none
 * @vma: the mapping
 *
 * Context: Inside of ph_pagemap_get(), under mmap_lock.
 * Return: 0 or -ENOMEM.
 */
int ph_pagemap_mmap(struct ph_region *region, struct vm_area_struct *vma)
{
	struct ph_heap *heap = region->heap;
	struct ph_pagemap *map;

	map = kzalloc(sizeof(*map), PH_GFP_META);
	if (!map)
		return -ENOMEM;
	mutex_init(&map->lock);
	xa_init_flags(&map->leaves, XA_FLAGS_ACCOUNT);
	ph_region_get(region);
	map->region = region;
	map->nr_vmas = 1;
	mutex_lock(&heap->lock);
	region->map = map;
	WRITE_ONCE(region->map_base, vma->vm_start);
	if (!list_empty(&region->node))
		heap->nr_mapped++;
	mutex_unlock(&heap->lock);
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP | VM_PFNMAP |
			  VM_IO);
	vm_flags_clear(vma, VM_MAYWRITE | VM_EXEC | VM_MAYEXEC);
	vma->vm_private_data = map;
	vma->vm_ops = &ph_pagemap_vma_ops;
	return 0;
}

/**
 * ph_pagemap_unmap - end the mapping of a page map, if there is one
 * @region: whose it is
 *
 * Context: May sleep; takes mmap_lock. In the owner's address space.
 */
void ph_pagemap_unmap(struct ph_region *region)
{
	unsigned long base = READ_ONCE(region->map_base);

	/* As in ph_region_unmap(). */
	if (base)
		vm_munmap(base, ph_pagemap_pages(region->blocks.nr_pages) <<
				PAGE_SHIFT);
}

/*
 * Maps a page map, unless there is one. One that ended, when the region was taken out
 * of its heap, may still be mapped if the region has come back: it goes first.
 */
static int ph_pagemap_map(struct ph_region *region)
{
	struct ph_heap *heap = region->heap;
	bool ended;
	long addr;

	mutex_lock(&heap->lock);
	ended = region->map && region->map->ended;
	mutex_unlock(&heap->lock);
	if (ended)
		ph_pagemap_unmap(region);
	if (READ_ONCE(region->map_base))
		return 0;
	addr = ph_region_map(region, PROT_READ, ph_pagemap_pgoff(region),
			     ph_pagemap_pages(region->blocks.nr_pages));
	return addr < 0 ? addr : 0;
}

/* Charges leaves for a chunk that there is, and makes them. */
static int ph_pagemap_reserve(struct ph_region *region, unsigned long index)
{
	unsigned long first = index * PH_CHUNK_PAGES;
	unsigned long end = min(first + PH_CHUNK_PAGES, region->blocks.nr_pages);

	return ph_idle_charge_above(region->heap,
				    ph_pagemap_missing(region, first, end)) ?:
	       ph_pagemap_fill(region, first, end);
}

/* Begins to show what the pages of a region are, unless that is so already. */
static int ph_pagemap_begin_locked(struct ph_region *region)
{
	struct ph_chunk *chunk;
	unsigned long index;
	int err = 0;

	/* The program was quick to unmap it, or did not let an earlier one go. */
	if (!region->map || region->map->ended)
		return -ENOMEM;
	if (region->blocks.marked)
		return 0;
	region->blocks.marked = true;
	xa_for_each(&region->chunks, index, chunk) {
		err = ph_pagemap_reserve(region, index);
		if (err)
			break;
	}
	if (err == -EDQUOT)
		ph_limit_report_refusal(region->heap);
	if (err)
		ph_pagemap_end_locked(region);
	return err;
}

/* Finds the region that is asked for, and takes a reference to it. */
static struct ph_region *ph_pagemap_find(struct ph_heap *heap, u64 addr)
{
	struct ph_region *region;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (err) {
		region = ERR_PTR(err);
		goto out_unlock;
	}
	region = addr ? ph_heap_find_region(heap, addr) : heap->first;
	if (region)
		ph_region_get(region);
	else
		region = ERR_PTR(-ENOENT);
out_unlock:
	mutex_unlock(&heap->lock);
	return region;
}

/* Maps the page map of a region if need be, and answers where it is. */
static int ph_pagemap_get_region(struct ph_region *region,
				 struct privheap_pagemap *arg)
{
	struct ph_heap *heap = region->heap;
	int err;

	err = ph_pagemap_map(region);
	if (err)
		return err;
	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err && list_empty(&region->node))	/* its block was freed meanwhile */
		err = -ENOENT;
	if (!err)
		err = ph_pagemap_begin_locked(region);
	if (!err) {
		arg->out_map = region->map_base;
		arg->out_base = region->blocks.base;
		arg->out_nr_pages = region->blocks.nr_pages;
	}
	mutex_unlock(&heap->lock);
	if (err)
		ph_pagemap_unmap(region);
	return err;
}

/**
 * ph_pagemap_get - have the program see what each page of a region is
 * @heap: whose region
 * @arg: the call; receives where the page map is
 *
 * Context: May sleep; takes ph_heap.grow_lock, mmap_lock and ph_heap.lock. The caller
 * is the heap's owner.
 * Return: 0, -ENOENT, -EDQUOT, -ENOMEM, -EINTR, -ENXIO, -EIDRM.
 */
int ph_pagemap_get(struct ph_heap *heap, struct privheap_pagemap *arg)
{
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	struct ph_region *region;
	int err;

	mutex_lock(&heap->grow_lock);
	region = ph_pagemap_find(heap, arg->addr);
	if (IS_ERR(region)) {
		err = PTR_ERR(region);
	} else {
		err = ph_pagemap_get_region(region, arg);
		ph_region_put(region);
	}
	mutex_unlock(&heap->grow_lock);
	ph_cgroup_leave(heap->cgroup, outer);
	return err;
}
