// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks: the functions that block.h promises. The vocabulary and the invariant
 * are there.
 *
 * This file owns what a block is: the choice between a slot and a large block,
 * requested sizes, the sums of a store, and which regions a store has. It must not
 * know the page map, the bins and the bitmaps, which are run.c's and span.c's, nor
 * what surrounds a guarded block, which is guard.c's.
 *
 * Invariant: a store's sums are those of the blocks in its regions.
 */
#ifdef __KERNEL__
#include <linux/err.h>
#include <linux/init.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#endif

#include "block_internal.h"

static bool ph_align_is_valid(unsigned long align)
{
	return is_power_of_2(align) && align <= PH_BLOCK_ALIGN_MAX;
}

static bool ph_large_overflows(unsigned long bytes, unsigned long align)
{
	return bytes > ULONG_MAX - align;
}

/* How many pages a large block takes; rounding up does not overflow. */
static unsigned long ph_large_pages(unsigned long bytes)
{
	return max(PAGE_ALIGN(bytes) >> PAGE_SHIFT, 1UL);
}

/* Makes the pages that ph_run_take() gave a large block. */
static void ph_large_init(struct ph_block_store *store, struct ph_run *run,
			  unsigned long bytes)
{
	run->bytes = bytes;
	ph_run_use(store, run, PH_RUN_LARGE);
}

/* Finds pages, for which the empty spans may have to go. */
static struct ph_run *ph_pages_alloc(struct ph_block_store *store,
				     unsigned long nr_pages, unsigned long align)
{
	struct ph_run *run = ph_run_alloc(store, nr_pages, align, PH_GUARD_NONE);

	if (ph_error_is_shortage(PTR_ERR_OR_ZERO(run)) && ph_span_trim(store))
		run = ph_run_alloc(store, nr_pages, align, PH_GUARD_NONE);
	return run;
}

static noinline int ph_large_alloc(struct ph_block_store *store,
				   unsigned long bytes, unsigned long align,
				   unsigned long *addr)
{
	struct ph_run *run;

	align = max(align, PAGE_SIZE);
	if (ph_large_overflows(bytes, align))
		return -EOVERFLOW;
	run = ph_pages_alloc(store, ph_large_pages(bytes), align);
	if (IS_ERR(run))
		return PTR_ERR(run);
	ph_large_init(store, run, bytes);
	*addr = run->start;
	return 0;
}

/* Finds room for a small block where no span has any. */
static noinline int ph_small_alloc_slow(struct ph_block_store *store,
				       unsigned int class, unsigned long bytes,
				       unsigned long align, unsigned long *addr)
{
	struct ph_run *run = ph_span_add(store, class);
	int err;

	if (IS_ERR(run)) {
		err = PTR_ERR(run);
		if (!ph_error_is_shortage(err) ||
		    (err == -ENOSPC && store->growable))
			return err;
		run = ph_span_find_larger(store, class, align);
		if (!run) {
			/* It may need fewer pages than a span. */
			if (ph_large_pages(bytes) >= ph_classes[class].base_pages)
				return err;
			return ph_large_alloc(store, bytes, align, addr);
		}
	}
	*addr = ph_slot_take(store, run, bytes);
	return 0;
}

static int ph_small_alloc(struct ph_block_store *store, unsigned int class,
			 unsigned long bytes, unsigned long align,
			 unsigned long *addr)
{
	struct list_head *partial = &store->classes->states[class].partial;

	if (unlikely(list_empty(partial)))
		return ph_small_alloc_slow(store, class, bytes, align, addr);
	*addr = ph_slot_take(store, list_first_entry(partial, struct ph_run, node),
			     bytes);
	return 0;
}

static void ph_store_count_block(struct ph_block_store *store,
				 unsigned long bytes)
{
	store->nr_blocks++;
	store->allocated_bytes += bytes;
}

static void ph_store_uncount_block(struct ph_block_store *store,
				   unsigned long bytes)
{
	store->nr_blocks--;
	store->allocated_bytes -= bytes;
}

/**
 * ph_block_alloc - allocate a block in one of the ordinary regions
 * @store: the heap's blocks
 * @bytes: its size, may be 0
 * @align: alignment of its address, a power of two up to PH_BLOCK_ALIGN_MAX; at
 *	least PH_BLOCK_ALIGN is given
 * @addr: receives the address
 *
 * The pages of the block are committed. If there are no pages for a small block,
 * it gets a slot that is longer than need be, unless the store is growable.
 *
 * Context: May sleep.
 * Return: 0; -EINVAL for the alignment; -EOVERFLOW for the size; -ENOSPC when no
 * region has room; -ENOMEM for metadata; or what ops->commit() returned. After an
 * error no block has changed; empty spans may be gone.
 */
int ph_block_alloc(struct ph_block_store *store, unsigned long bytes,
		   unsigned long align, unsigned long *addr)
{
	unsigned int class;
	int err;

	if (unlikely(!ph_align_is_valid(align)))
		return -EINVAL;
	class = ph_class_find(bytes, align);
	if (class < PH_NR_CLASSES)
		err = ph_small_alloc(store, class, bytes, align, addr);
	else
		err = ph_large_alloc(store, bytes, align, addr);
	if (likely(!err))
		ph_store_count_block(store, bytes);
	return err;
}

/**
 * ph_block_alloc_dedicated - allocate the one block of a dedicated region
 * @store: the heap's blocks
 * @region: the region
 * @bytes: size of the block
 * @align: alignment of its address, see ph_block_alloc()
 * @addr: receives the address
 *
 * Context: May sleep.
 * Return: see ph_block_alloc(); -EINVAL for a region that is not dedicated,
 * -ENOSPC when it has a block or is too short for this one.
 */
int ph_block_alloc_dedicated(struct ph_block_store *store,
			     struct ph_block_region *region,
			     unsigned long bytes, unsigned long align,
			     unsigned long *addr)
{
	unsigned long nr_pages;
	struct ph_run *run;

	if (!region->dedicated || !ph_align_is_valid(align))
		return -EINVAL;
	align = max(align, PAGE_SIZE);
	if (ph_large_overflows(bytes, align))
		return -EOVERFLOW;
	nr_pages = ph_large_pages(bytes);
	run = ph_map_get(region, 0);
	if (run->kind != PH_RUN_FREE || run->nr_pages != region->nr_pages ||
	    !ph_run_fits(run, nr_pages, align))
		return -ENOSPC;
	run = ph_run_take(store, run, nr_pages, align, PH_GUARD_NONE);
	if (IS_ERR(run))
		return PTR_ERR(run);
	ph_large_init(store, run, bytes);
	ph_store_count_block(store, bytes);
	*addr = run->start;
	return 0;
}

/**
 * ph_block_alloc_guarded - allocate a block beside a page that is not committed
 * @store: the heap's blocks
 * @request: what kind of block
 * @addr: receives the address
 *
 * Context: May sleep.
 * Return: see ph_block_alloc(); -EINVAL also for a block behind its guard page that
 * is to be aligned to more than a page.
 */
int ph_block_alloc_guarded(struct ph_block_store *store,
			   const struct ph_guard_request *request,
			   unsigned long *addr)
{
	struct ph_run *run;

	if (!ph_align_is_valid(request->align) ||
	    (request->before && request->align > PAGE_SIZE))
		return -EINVAL;
	if (ph_large_overflows(request->bytes, request->align + 2 * PAGE_SIZE))
		return -EOVERFLOW;
	run = ph_guard_add(store, request);
	if (ph_error_is_shortage(PTR_ERR_OR_ZERO(run)) && ph_span_trim(store))
		run = ph_guard_add(store, request);
	if (IS_ERR(run))
		return PTR_ERR(run);
	ph_store_count_block(store, request->bytes);
	*addr = run->guard->addr;
	return 0;
}

/* Describes the only block of a run, if it is live and starts at @addr. */
static int ph_block_find_single(struct ph_run *run, unsigned long addr,
				struct ph_block *block)
{
	block->slot = 0;
	block->bytes = run->bytes;
	if (run->kind == PH_RUN_LARGE && run->start == addr) {
		block->capacity = ph_run_bytes(run);
		return 0;
	}
	if (run->kind == PH_RUN_GUARDED && run->guard->addr == addr) {
		block->capacity = run->bytes;
		return 0;
	}
	return -ENOENT;
}

/**
 * ph_block_find - look a block up by its address
 * @region: the region that the address is in
 * @addr: any address
 * @block: receives the description, valid until the next change of any block
 *
 * Context: May not sleep. The caller serialises this like any change.
 * Return: 0, or -ENOENT when no live block starts there.
 */
int ph_block_find(struct ph_block_region *region, unsigned long addr,
		  struct ph_block *block)
{
	unsigned long page = (addr - region->base) >> PAGE_SHIFT;
	struct ph_run *run;

	if (page >= region->nr_pages)
		return -ENOENT;
	run = ph_map_get(region, page);
	if (unlikely(!run))	/* only a guarded block can start there */
		run = ph_map_seek(region, page);
	if (likely(run->kind == PH_RUN_SPAN)) {
		block->slot = ph_slot_at(run, addr);
		block->capacity = ph_classes[run->class].slot_bytes;
		if (run->start + block->slot * block->capacity != addr ||
		    block->slot >= run->span->nr_slots ||
		    ph_slot_is_free(run, block->slot))
			return -ENOENT;
		block->bytes = ph_slot_bytes(run, block->slot);
	} else if (ph_block_find_single(run, addr, block)) {
		return -ENOENT;
	}
	block->addr = addr;
	block->run = run;
	return 0;
}

/**
 * ph_block_is_guarded - is a page next to a block kept uncommitted?
 * @block: from ph_block_find()
 *
 * Context: May not sleep.
 * Return: true if it is one of ph_block_alloc_guarded().
 */
bool ph_block_is_guarded(const struct ph_block *block)
{
	return block->run->kind == PH_RUN_GUARDED;
}

/**
 * ph_block_free_guarded - free a guarded block, and remember it
 * @store: the heap's blocks
 * @block: from ph_block_find(), a guarded one
 * @cookie: kept with the block
 *
 * Its pages are decommitted; they are not used again until ph_block_evict(), or a
 * full quarantine, lets it go.
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_block_free_guarded(struct ph_block_store *store, struct ph_block *block,
			   u64 cookie)
{
	ph_store_uncount_block(store, block->bytes);
	ph_guard_retire(store, block->run, cookie);
}

/**
 * ph_block_cancel_guarded - undo ph_block_alloc_guarded()
 * @store: the heap's blocks
 * @block: from ph_block_find(), a guarded one
 *
 * Nobody was told of the block, so nothing is remembered.
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_block_cancel_guarded(struct ph_block_store *store,
			     struct ph_block *block)
{
	ph_store_uncount_block(store, block->bytes);
	ph_guard_release(store, block->run);
}

/**
 * ph_block_free - free a block
 * @store: the heap's blocks
 * @block: from ph_block_find()
 *
 * Pages that hold no block any more are decommitted, but for one empty span a
 * class. A guarded block goes into quarantine.
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_block_free(struct ph_block_store *store, struct ph_block *block)
{
	struct ph_run *run = block->run;

	ph_store_uncount_block(store, block->bytes);
	if (likely(run->kind == PH_RUN_SPAN)) {
		run->bytes -= block->bytes;
		ph_slot_put(store, run, block->slot);
	} else if (run->kind == PH_RUN_LARGE) {
		ph_run_release(store, run);
	} else {
		ph_guard_retire(store, run, 0);
	}
}

static int ph_large_resize(struct ph_block_store *store, struct ph_run *run,
			   unsigned long bytes)
{
	unsigned long nr_pages = ph_large_pages(bytes);
	int err = 0;

	if (nr_pages < run->nr_pages)
		ph_run_shrink(store, run, nr_pages);
	else if (nr_pages > run->nr_pages)
		err = ph_run_grow(store, run, nr_pages);
	/* What was refused may be possible without the empty spans. */
	if (err != -ENOSPC && ph_error_is_shortage(err) && ph_span_trim(store))
		err = ph_run_grow(store, run, nr_pages);
	return err;
}

/**
 * ph_block_resize - change the size of a block that stays where it is
 * @store: the heap's blocks
 * @block: from ph_block_find(); brought up to date
 * @bytes: its new size
 *
 * A large block stays one, of a page at least. To make a block smaller always
 * succeeds, unless it is guarded.
 *
 * Context: May sleep.
 * Return: 0; -ENOSPC when the block would have to move, as a guarded one always
 * has; -EOVERFLOW for the size; -ENOMEM for metadata; or what ops->commit()
 * returned. After an error no block has changed.
 */
int ph_block_resize(struct ph_block_store *store, struct ph_block *block,
		    unsigned long bytes)
{
	struct ph_run *run = block->run;
	int err;

	if (ph_large_overflows(bytes, PAGE_SIZE))
		return -EOVERFLOW;
	if (run->kind == PH_RUN_GUARDED)
		return -ENOSPC;
	if (run->kind == PH_RUN_LARGE) {
		err = ph_large_resize(store, run, bytes);
		if (err)
			return err;
		block->capacity = ph_run_bytes(run);
	} else {
		if (bytes > block->capacity)
			return -ENOSPC;
		ph_slot_set_bytes(run, block->slot, bytes);
	}
	run->bytes += bytes - block->bytes;
	store->allocated_bytes += bytes - block->bytes;
	block->bytes = bytes;
	return 0;
}

/**
 * ph_block_take - commit pages for the program to cut itself
 * @store: the heap's blocks
 * @nr_pages: how many, at least one
 * @addr: receives the address of the first one
 *
 * Such a run is no block: ph_block_find() does not find it.
 *
 * Context: May sleep.
 * Return: 0; -ENOSPC when no region has room; -ENOMEM for metadata; or what
 * ops->commit() returned. After an error no block has changed; empty spans may be
 * gone.
 */
int ph_block_take(struct ph_block_store *store, unsigned long nr_pages,
		  unsigned long *addr)
{
	struct ph_run *run = ph_pages_alloc(store, nr_pages, PAGE_SIZE);

	if (IS_ERR(run))
		return PTR_ERR(run);
	ph_run_use(store, run, PH_RUN_TAKEN);
	store->nr_taken_pages += nr_pages;
	*addr = run->start;
	return 0;
}

/**
 * ph_block_give - give pages back that ph_block_take() gave
 * @store: the heap's blocks
 * @region: the region that the address is in
 * @addr: any address
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 * Return: 0, or -ENOENT when no taken run starts there.
 */
int ph_block_give(struct ph_block_store *store,
		  struct ph_block_region *region, unsigned long addr)
{
	unsigned long page = (addr - region->base) >> PAGE_SHIFT;
	struct ph_run *run = NULL;

	if (page < region->nr_pages)
		run = ph_map_get(region, page);
	if (!run || run->kind != PH_RUN_TAKEN || run->start != addr)
		return -ENOENT;
	store->nr_taken_pages -= run->nr_pages;
	ph_run_release(store, run);
	return 0;
}

/**
 * ph_block_drop - drop pages that ph_block_take() gave, and that hold nothing now
 * @store: the heap's blocks
 * @region: the region that the address is in
 * @addr: any address, the start of a page
 * @nr_pages: how many, at least one
 *
 * Context: May sleep if ops->drop() does. Allocates nothing.
 * Return: 0, or -ENOENT when not all of them are in one taken run.
 */
int ph_block_drop(struct ph_block_store *store,
		  struct ph_block_region *region, unsigned long addr,
		  unsigned long nr_pages)
{
	unsigned long page = (addr - region->base) >> PAGE_SHIFT;
	struct ph_run *run;

	if (page >= region->nr_pages)
		return -ENOENT;
	run = ph_map_seek(region, page);
	if (run->kind != PH_RUN_TAKEN || nr_pages > ph_run_end(run) - page)
		return -ENOENT;
	store->ops->drop(region, page, nr_pages);
	return 0;
}

/**
 * ph_block_trim - give back what no block needs
 * @store: the heap's blocks
 *
 * Decommits and frees the spans that are kept empty, and drops the pages of the
 * others that hold no block.
 *
 * Context: May sleep if ops->decommit() or ops->drop() does. Allocates nothing.
 */
void ph_block_trim(struct ph_block_store *store)
{
	ph_span_trim(store);
	ph_span_drop(store);
}

/**
 * ph_block_region_add - make pages available for blocks
 * @store: the heap's blocks
 * @region: zeroed or removed before; stays where it is until it is removed
 * @base: address of the first page; the region must not reach the end of the
 *	address space
 * @nr_pages: how many, at least one
 * @dedicated: only for a block of ph_block_alloc_dedicated()
 *
 * Context: May sleep.
 * Return: 0, or -ENOMEM.
 */
int ph_block_region_add(struct ph_block_store *store,
			struct ph_block_region *region, unsigned long base,
			unsigned long nr_pages, bool dedicated)
{
	region->base = base;
	region->nr_pages = nr_pages;
	region->dedicated = dedicated;
	return ph_map_init(store, region);
}

/* Takes what a run was used for out of everything but the page map. */
static void ph_store_forget(struct ph_block_store *store, struct ph_run *run)
{
	switch (run->kind) {
	case PH_RUN_SPAN:
		store->nr_blocks -= run->span->nr_slots - run->span->nr_free;
		store->allocated_bytes -= run->bytes;
		ph_span_detach(store, run);
		break;
	case PH_RUN_GUARDED:
		ph_guard_forget(store, run);
		fallthrough;
	case PH_RUN_LARGE:
		ph_store_uncount_block(store, run->bytes);
		break;
	case PH_RUN_QUARANTINED:
		ph_guard_forget(store, run);
		break;
	case PH_RUN_TAKEN:
		store->nr_taken_pages -= run->nr_pages;
		break;
	}
}

/**
 * ph_block_region_empty - free all blocks of a region
 * @store: the heap's blocks
 * @region: the region, not dedicated; all of its pages are one free run then
 *
 * Takes time by the number of runs, not of blocks. No page is decommitted.
 *
 * Context: May sleep. Allocates nothing.
 */
void ph_block_region_empty(struct ph_block_store *store,
			   struct ph_block_region *region)
{
	unsigned long page = 0;
	struct ph_run *run;

	while (page < region->nr_pages) {
		run = ph_map_get(region, page);
		if (run->kind != PH_RUN_FREE) {
			ph_store_forget(store, run);
			ph_run_vacate(store, run);
		}
		page = ph_run_end(run);
		cond_resched();
	}
}

/**
 * ph_block_region_remove - take a region out with all of its blocks
 * @store: the heap's blocks
 * @region: the region
 *
 * Takes time by the number of runs, not of blocks. No page is decommitted.
 *
 * Context: May sleep. Allocates nothing.
 */
void ph_block_region_remove(struct ph_block_store *store,
			    struct ph_block_region *region)
{
	unsigned long page = 0;
	struct ph_run *run;

	while (page < region->nr_pages) {
		run = ph_map_get(region, page);
		page = ph_run_end(run);
		ph_store_forget(store, run);
		ph_run_forget(store, run);
		cond_resched();
	}
	ph_map_exit(store, region);
}

/**
 * ph_block_store_init - make a store without regions
 * @store: the heap's blocks
 * @ops: what it needs from the heap
 */
void ph_block_store_init(struct ph_block_store *store,
			 const struct ph_block_ops *ops)
{
	unsigned int i;

	memset(store, 0, sizeof(*store));
	store->ops = ops;
	INIT_LIST_HEAD(&store->quarantine);
	for (i = 0; i < PH_NR_BINS; i++)
		INIT_LIST_HEAD(&store->bins[i]);
	store->classes = &ph_no_spans;
}

/**
 * ph_block_store_exit - end a store
 * @store: the heap's blocks; all of its regions have been removed
 */
void ph_block_store_exit(struct ph_block_store *store)
{
	ph_class_disown(store);
	WARN_ON_ONCE(store->nr_blocks || store->nr_taken_pages ||
		     store->nr_meta_bytes);
}

/**
 * ph_block_cache_init - set up what all stores share
 *
 * Return: 0, or -ENOMEM.
 */
int __init ph_block_cache_init(void)
{
	int err;

	err = ph_class_init();
	if (err)
		return err;
	err = ph_run_cache_init();
	if (err)
		ph_class_exit();
	return err;
}

/**
 * ph_block_cache_exit - the mirror of ph_block_cache_init()
 */
void ph_block_cache_exit(void)
{
	ph_run_cache_exit();
	ph_class_exit();
}
