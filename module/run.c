// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs: how the pages of a region are divided among uses, and which are free.
 *
 * This file owns the page map, struct ph_run, and the bins of free runs. It must
 * not know what is inside of a run, but that a span is looked up by all of its
 * pages: slots are span.c's matter, blocks and their sums block.c's.
 *
 * Invariant: that of block.h. Also, a run is in a bin exactly if it is free and
 * its region is not dedicated; and the page map has a leaf exactly where it has
 * an entry.
 */
#ifdef __KERNEL__
#include <linux/err.h>
#include <linux/init.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#endif

#include "block_internal.h"

/* Free runs of a bin that are tried before longer ones are split. */
#define PH_BIN_TRIES		16

static struct kmem_cache *ph_run_cache;

static size_t ph_leaf_bytes(struct ph_block_region *region)
{
	return min(region->nr_pages, PH_LEAF_PAGES) * sizeof(struct ph_run *);
}

/**
 * ph_map_load_leaf - find a leaf that is not the hot one, and make it that
 * @region: the region
 * @index: page number / PH_LEAF_PAGES *
 * Context: May not sleep.
 * Return: the leaf, or NULL if it would be empty.
 */
noinline struct ph_run **ph_map_load_leaf(struct ph_block_region *region,
					  unsigned long index)
{
	struct ph_run **leaf = xa_load(&region->leaves, index);

	if (leaf) {
		region->hot_leaf = leaf;
		region->hot_index = index;
	}
	return leaf;
}

static struct ph_run **ph_map_leaf(struct ph_block_region *region,
				   unsigned long page)
{
	unsigned long index = page / PH_LEAF_PAGES;

	if (likely(index == region->hot_index))
		return region->hot_leaf;
	return ph_map_load_leaf(region, index);
}

/* The leaf is there, because of ph_map_reserve() or of an entry. */
static void ph_map_set(struct ph_block_region *region, unsigned long page,
		       struct ph_run *run)
{
	ph_map_leaf(region, page)[page % PH_LEAF_PAGES] = run;
}

/**
 * ph_map_seek - find the run that a page belongs to
 * @region: the region
 * @page: number of any of its pages, also one inside of a run
 *
 * Context: May not sleep.
 * Return: the run.
 */
struct ph_run *ph_map_seek(struct ph_block_region *region, unsigned long page)
{
	unsigned long index = page / PH_LEAF_PAGES;
	unsigned long i = page % PH_LEAF_PAGES;
	struct ph_run **leaf = ph_map_leaf(region, page);

	/* Every run has an entry for its last page: the next entry is of it. */
	for (;;) {
		for (; leaf && i < PH_LEAF_PAGES; i++) {
			if (leaf[i])
				return leaf[i];
		}
		i = 0;
		leaf = xa_find_after(&region->leaves, &index, ULONG_MAX,
				     XA_PRESENT);
	}
}

static int ph_map_reserve(struct ph_block_store *store,
			  struct ph_block_region *region, unsigned long page)
{
	unsigned long index = page / PH_LEAF_PAGES;
	struct ph_run **leaf;

	if (ph_map_leaf(region, page))
		return 0;
	leaf = ph_meta_alloc(store, ph_leaf_bytes(region));
	if (!leaf)
		return -ENOMEM;
	if (xa_is_err(xa_store(&region->leaves, index, leaf, PH_GFP_META))) {
		ph_meta_free(store, leaf, ph_leaf_bytes(region));
		return -ENOMEM;
	}
	return 0;
}

/* For the last page of a run that ends before @page, and the first after it. */
static int ph_map_reserve_border(struct ph_block_store *store,
				 struct ph_block_region *region,
				 unsigned long page)
{
	int err = 0;

	if (page)
		err = ph_map_reserve(store, region, page - 1);
	if (!err && page < region->nr_pages)
		err = ph_map_reserve(store, region, page);
	return err;
}

static void ph_map_free_leaf(struct ph_block_store *store,
			     struct ph_block_region *region,
			     unsigned long index)
{
	struct ph_run **leaf = xa_erase(&region->leaves, index);

	if (region->hot_index == index)
		region->hot_index = ULONG_MAX;
	ph_meta_free(store, leaf, ph_leaf_bytes(region));
}

/*
 * Frees the leaves that became empty, or stayed so after all, when a run that is
 * no span came to extend over the borders at @first and @end: leaves that lie
 * inside the run entirely. Others have an entry of it.
 */
static void ph_map_prune(struct ph_block_store *store, const struct ph_run *run,
			 unsigned long first, unsigned long end)
{
	struct ph_block_region *region = run->region;
	unsigned long lo, hi, index;
	struct ph_run **leaf;

	lo = max(ph_run_first(run) / PH_LEAF_PAGES + 1,
		 (first - !!first) / PH_LEAF_PAGES);
	hi = min((ph_run_end(run) - 1) / PH_LEAF_PAGES,
		 end / PH_LEAF_PAGES + 1);
	if (lo >= hi)
		return;
	xa_for_each_range(&region->leaves, index, leaf, lo, hi - 1)
		ph_map_free_leaf(store, region, index);
}

/* Enters a run into the page map, or with NULL as @entry takes it out. */
static void ph_run_map(struct ph_run *run, struct ph_run *entry)
{
	unsigned long page = ph_run_first(run), last = ph_run_end(run) - 1;

	ph_map_set(run->region, page, entry);
	if (run->kind == PH_RUN_SPAN) {
		while (++page < last)
			ph_map_set(run->region, page, entry);
	}
	ph_map_set(run->region, last, entry);
}

static struct ph_run *ph_run_create(struct ph_block_store *store,
				    struct ph_block_region *region)
{
	struct ph_run *run = kmem_cache_zalloc(ph_run_cache, PH_GFP_META);

	if (!run)
		return NULL;
	store->nr_meta_bytes += sizeof(*run);
	run->region = region;
	return run;
}

static void ph_run_destroy(struct ph_block_store *store, struct ph_run *run)
{
	store->nr_meta_bytes -= sizeof(*run);
	kmem_cache_free(ph_run_cache, run);
}

static unsigned int ph_bin_of(unsigned long nr_pages)
{
	unsigned int order = ilog2(nr_pages);
	unsigned int bin = 2 * order;

	if (order && nr_pages & BIT(order - 1))
		bin++;
	return min(bin, PH_NR_BINS - 1U);
}

static void ph_bin_insert(struct ph_block_store *store, struct ph_run *run)
{
	unsigned int bin = ph_bin_of(run->nr_pages);
	struct list_head *runs = &store->bins[bin];

	if (run->region->dedicated)
		return;
	/* Sorting would cost more than it gives: low addresses tend to the front. */
	if (!list_empty(runs) &&
	    list_first_entry(runs, struct ph_run, node)->start < run->start)
		list_add_tail(&run->node, runs);
	else
		list_add(&run->node, runs);
	store->nonempty_bins |= BIT_ULL(bin);
}

static void ph_bin_remove(struct ph_block_store *store, struct ph_run *run)
{
	unsigned int bin = ph_bin_of(run->nr_pages);

	if (run->region->dedicated)
		return;
	list_del(&run->node);
	if (list_empty(&store->bins[bin]))
		store->nonempty_bins &= ~BIT_ULL(bin);
}

/* The first page of @run whose address is a multiple of @align. */
static unsigned long ph_run_aligned(const struct ph_run *run,
				    unsigned long align)
{
	return ph_run_first(run) +
	       ((ALIGN(run->start, align) - run->start) >> PAGE_SHIFT);
}

/**
 * ph_run_fits - does a run have enough aligned pages?
 * @run: the run
 * @nr_pages: how many
 * @align: alignment of their address, a page at least
 *
 * Context: May not sleep.
 * Return: true if it has.
 */
bool ph_run_fits(const struct ph_run *run, unsigned long nr_pages,
		 unsigned long align)
{
	return ph_run_aligned(run, align) + nr_pages <= ph_run_end(run);
}

static struct ph_run *ph_bin_search(struct ph_block_store *store,
				    unsigned int bin, unsigned long nr_pages,
				    unsigned long align, unsigned long tries)
{
	struct ph_run *run;

	list_for_each_entry(run, &store->bins[bin], node) {
		if (ph_run_fits(run, nr_pages, align))
			return run;
		if (!--tries)
			break;
		if (tries % 1024 == 0)
			cond_resched();
	}
	return NULL;
}

/*
 * Finds a free run for pages: a short one if a few tries show one, else one that
 * is split, and only for want of that one that takes long to find.
 */
static struct ph_run *ph_run_find_free(struct ph_block_store *store,
				       unsigned long nr_pages,
				       unsigned long align)
{
	unsigned long tries = PH_BIN_TRIES;
	struct ph_run *run;
	unsigned int bin;
	u64 bins;

	for (;;) {
		bins = store->nonempty_bins >> ph_bin_of(nr_pages)
					    << ph_bin_of(nr_pages);
		for (; bins; bins &= bins - 1) {
			bin = __ffs64(bins);
			run = ph_bin_search(store, bin, nr_pages, align, tries);
			if (run)
				return run;
		}
		if (tries == ULONG_MAX)
			return NULL;
		tries = ULONG_MAX;
	}
}

/* Makes pages that no run has a free run. */
static void ph_run_init_free(struct ph_block_store *store, struct ph_run *run,
			     unsigned long first, unsigned long end)
{
	run->start = run->region->base + (first << PAGE_SHIFT);
	run->nr_pages = end - first;
	run->kind = PH_RUN_FREE;
	ph_run_map(run, run);
	ph_bin_insert(store, run);
}

/**
 * ph_run_take - take pages out of a free run and commit them
 * @store: the heap's blocks
 * @run: the free run; the pages fit, see ph_run_fits()
 * @nr_pages: how many
 * @align: alignment of their address, a page at least
 * @side: which one of them is not to be committed
 *
 * Context: May sleep.
 * Return: the run, reduced to these pages, for the caller to set up and pass to
 * ph_run_use(); -ENOMEM for metadata; or what ops->commit() returned. After an
 * error nothing has changed.
 */
struct ph_run *ph_run_take(struct ph_block_store *store, struct ph_run *run,
			   unsigned long nr_pages, unsigned long align,
			   enum ph_guard_side side)
{
	struct ph_block_region *region = run->region;
	unsigned long old_first = ph_run_first(run), old_end = ph_run_end(run);
	unsigned long first = ph_run_aligned(run, align);
	unsigned long end = first + nr_pages;
	struct ph_run *head = NULL, *tail = NULL;
	int err = -ENOMEM;

	if (first > old_first) {
		head = ph_run_create(store, region);
		if (!head)
			return ERR_PTR(err);
	}
	if (end < old_end) {
		tail = ph_run_create(store, region);
		if (!tail)
			goto err_destroy_head;
	}
	err = ph_map_reserve_border(store, region, first);
	if (!err)
		err = ph_map_reserve_border(store, region, end);
	if (!err)
		err = store->ops->commit(region,
					 first + (side == PH_GUARD_BEFORE),
					 nr_pages - (side != PH_GUARD_NONE));
	if (err)
		goto err_prune;

	ph_bin_remove(store, run);
	ph_run_map(run, NULL);
	run->start = region->base + (first << PAGE_SHIFT);
	run->nr_pages = nr_pages;
	if (head)
		ph_run_init_free(store, head, old_first, first);
	if (tail)
		ph_run_init_free(store, tail, end, old_end);
	return run;

err_prune:
	ph_map_prune(store, run, first, end);
	if (tail)
		ph_run_destroy(store, tail);
err_destroy_head:
	if (head)
		ph_run_destroy(store, head);
	return ERR_PTR(err);
}

/**
 * ph_run_alloc - find a free run, take pages out of it and commit them
 * @store: the heap's blocks
 * @nr_pages: how many
 * @align: alignment of their address, a page at least
 * @side: which one of them is not to be committed
 *
 * Context: May sleep.
 * Return: see ph_run_take(); -ENOSPC when no free run has room.
 */
struct ph_run *ph_run_alloc(struct ph_block_store *store,
			    unsigned long nr_pages, unsigned long align,
			    enum ph_guard_side side)
{
	struct ph_run *run = ph_run_find_free(store, nr_pages, align);

	if (!run)
		return ERR_PTR(-ENOSPC);
	return ph_run_take(store, run, nr_pages, align, side);
}

/* Pages @first .. @end - 1 have another use. */
static void ph_run_mark(struct ph_block_store *store,
			struct ph_block_region *region, unsigned long first,
			unsigned long end)
{
	if (unlikely(region->marked))
		store->ops->mark(region, first, end - first);
}

/**
 * ph_run_use - give pages their use, and enter the run into the page map
 * @store: the heap's blocks
 * @run: from ph_run_take(), or a run that gets another use
 * @kind: the use, not PH_RUN_FREE
 *
 * Context: May sleep if ops->mark() does.
 */
void ph_run_use(struct ph_block_store *store, struct ph_run *run,
		enum ph_run_kind kind)
{
	run->kind = kind;
	ph_run_map(run, run);
	ph_run_mark(store, run->region, ph_run_first(run), ph_run_end(run));
}

static struct ph_run *ph_run_prev(struct ph_run *run)
{
	unsigned long first = ph_run_first(run);

	return first ? ph_map_get(run->region, first - 1) : NULL;
}

static struct ph_run *ph_run_next(struct ph_run *run)
{
	unsigned long end = ph_run_end(run);

	return end < run->region->nr_pages ? ph_map_get(run->region, end) : NULL;
}

/* Merges a neighbour of @run into it, if it is free. */
static void ph_run_absorb(struct ph_block_store *store, struct ph_run *run,
			  struct ph_run *other)
{
	if (!other || other->kind != PH_RUN_FREE)
		return;
	ph_bin_remove(store, other);
	ph_run_map(other, NULL);
	run->start = min(run->start, other->start);
	run->nr_pages += other->nr_pages;
	ph_run_destroy(store, other);
}

/**
 * ph_run_vacate - make a run free whose pages are not committed any more
 * @store: the heap's blocks
 * @run: the run; must not be used any more
 *
 * Context: May sleep if ops->mark() does. Allocates nothing.
 */
void ph_run_vacate(struct ph_block_store *store, struct ph_run *run)
{
	unsigned long first = ph_run_first(run), end = ph_run_end(run);

	ph_run_map(run, NULL);
	run->kind = PH_RUN_FREE;
	ph_run_absorb(store, run, ph_run_prev(run));
	ph_run_absorb(store, run, ph_run_next(run));
	ph_run_map(run, run);
	ph_bin_insert(store, run);
	ph_map_prune(store, run, first, end);
	ph_run_mark(store, run->region, first, end);
}

/**
 * ph_run_release - decommit a run and make it free
 * @store: the heap's blocks
 * @run: the run; must not be used any more
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_run_release(struct ph_block_store *store, struct ph_run *run)
{
	store->ops->decommit(run->region, ph_run_first(run), run->nr_pages);
	ph_run_vacate(store, run);
}

/**
 * ph_run_shrink - give the last pages of a large block back
 * @store: the heap's blocks
 * @run: the block's run
 * @nr_pages: how many are left, fewer than there are
 *
 * The block keeps them when there is no memory to note down that they are free.
 *
 * Context: May sleep.
 */
void ph_run_shrink(struct ph_block_store *store, struct ph_run *run,
		   unsigned long nr_pages)
{
	unsigned long border = ph_run_first(run) + nr_pages;
	struct ph_run *tail = ph_run_create(store, run->region);

	if (!tail)
		return;
	if (ph_map_reserve_border(store, run->region, border)) {
		ph_map_prune(store, run, border, border);
		ph_run_destroy(store, tail);
		return;
	}
	ph_run_map(run, NULL);
	tail->kind = PH_RUN_LARGE;
	tail->start = run->start + (nr_pages << PAGE_SHIFT);
	tail->nr_pages = run->nr_pages - nr_pages;
	run->nr_pages = nr_pages;
	ph_run_map(run, run);
	ph_run_map(tail, tail);
	ph_run_release(store, tail);
}

/**
 * ph_run_grow - extend a large block over pages of the free run behind it
 * @store: the heap's blocks
 * @run: the block's run
 * @nr_pages: how many it is to have, more than there are
 *
 * Context: May sleep.
 * Return: 0; -ENOSPC when these pages are not free; -ENOMEM for metadata; or what
 * ops->commit() returned. After an error nothing has changed.
 */
int ph_run_grow(struct ph_block_store *store, struct ph_run *run,
		unsigned long nr_pages)
{
	unsigned long border = ph_run_end(run);
	unsigned long end = ph_run_first(run) + nr_pages;
	struct ph_run *next = ph_run_next(run);
	unsigned long next_end;
	int err;

	if (!next || next->kind != PH_RUN_FREE || ph_run_end(next) < end)
		return -ENOSPC;
	err = ph_map_reserve_border(store, run->region, end);
	if (!err)
		err = store->ops->commit(run->region, border, end - border);
	if (err) {
		ph_map_prune(store, next, end, end);
		return err;
	}
	next_end = ph_run_end(next);
	ph_bin_remove(store, next);
	ph_run_map(next, NULL);
	ph_run_map(run, NULL);
	run->nr_pages = nr_pages;
	ph_run_map(run, run);
	if (end < next_end)
		ph_run_init_free(store, next, end, next_end);
	else
		ph_run_destroy(store, next);
	ph_map_prune(store, run, border, border);
	ph_run_mark(store, run->region, border, end);
	return 0;
}

/**
 * ph_map_exit - free the page map
 * @store: the heap's blocks
 * @region: the region, whose runs are gone
 *
 * Context: May not sleep.
 */
void ph_map_exit(struct ph_block_store *store, struct ph_block_region *region)
{
	struct ph_run **leaf;
	unsigned long index;

	xa_for_each(&region->leaves, index, leaf)
		ph_map_free_leaf(store, region, index);
	xa_destroy(&region->leaves);
}

/**
 * ph_map_init - make a page map that says that all pages are free
 * @store: the heap's blocks
 * @region: the region, whose base and length are set
 *
 * Context: May sleep.
 * Return: 0, or -ENOMEM.
 */
int ph_map_init(struct ph_block_store *store, struct ph_block_region *region)
{
	struct ph_run *run;

	region->hot_index = ULONG_MAX;
	xa_init_flags(&region->leaves, XA_FLAGS_ACCOUNT);
	run = ph_run_create(store, region);
	if (!run)
		return -ENOMEM;
	if (ph_map_reserve(store, region, 0) ||
	    ph_map_reserve(store, region, region->nr_pages - 1)) {
		ph_map_exit(store, region);
		ph_run_destroy(store, run);
		return -ENOMEM;
	}
	ph_run_init_free(store, run, 0, region->nr_pages);
	return 0;
}

/**
 * ph_run_forget - free a run whose region is on its way out
 * @store: the heap's blocks
 * @run: the run; the page map goes on to point to it
 *
 * Context: May not sleep.
 */
void ph_run_forget(struct ph_block_store *store, struct ph_run *run)
{
	if (run->kind == PH_RUN_FREE)
		ph_bin_remove(store, run);
	ph_run_destroy(store, run);
}

/**
 * ph_run_cache_init - set up the cache that runs come from
 *
 * Return: 0, or -ENOMEM.
 */
int __init ph_run_cache_init(void)
{
	ph_run_cache = KMEM_CACHE(ph_run, SLAB_ACCOUNT);
	return ph_run_cache ? 0 : -ENOMEM;
}

/**
 * ph_run_cache_exit - the mirror of ph_run_cache_init()
 */
void ph_run_cache_exit(void)
{
	kmem_cache_destroy(ph_run_cache);
}
