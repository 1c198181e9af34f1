// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guarded blocks: each in a run of its own, next to a page that nobody may touch.
 *
 * This file owns where in its run a guarded block lies, struct ph_guard, and the
 * quarantine. A guard page is nothing but a page that is never committed, so it
 * costs address space and an entry of the page map, but no mapping of its own. It
 * must not know how pages are found, which is run.c's matter, nor the sums that
 * block.c keeps.
 *
 * Invariant: the quarantine holds the blocks that were freed last, in that order,
 * as many as fit into its pages; of their runs no page is committed.
 */
#ifdef __KERNEL__
#include <linux/err.h>
#include <linux/mm.h>
#endif

#include "block_internal.h"

/* How far before its guard page a block starts, if that is behind it. */
static unsigned long ph_guard_length(const struct ph_guard_request *request)
{
	if (request->align > PAGE_SIZE)
		return PAGE_ALIGN(max(request->bytes, 1UL));
	return ALIGN(request->bytes, request->align);
}

/* How many pages a block takes, without the guard page. */
static unsigned long ph_guard_pages(const struct ph_guard_request *request)
{
	return max(PAGE_ALIGN(ph_guard_length(request)) >> PAGE_SHIFT, 1UL);
}

/* Where in its run a block starts. */
static unsigned long ph_guard_place(const struct ph_run *run,
				    const struct ph_guard_request *request)
{
	if (request->before)
		return run->start + PAGE_SIZE;
	return run->start + ph_run_bytes(run) - PAGE_SIZE -
	       ph_guard_length(request);
}

/**
 * ph_guard_add - make a run with a guarded block
 * @store: the heap's blocks
 * @request: the block; rounding its size up to pages does not overflow
 *
 * Context: May sleep.
 * Return: the run, or an error, see ph_run_alloc(); then nothing has changed.
 */
struct ph_run *ph_guard_add(struct ph_block_store *store,
			    const struct ph_guard_request *request)
{
	enum ph_guard_side side = request->before ? PH_GUARD_BEFORE :
						    PH_GUARD_BEHIND;
	struct ph_guard *guard;
	struct ph_run *run;

	guard = ph_meta_alloc(store, sizeof(*guard));
	if (!guard)
		return ERR_PTR(-ENOMEM);
	run = ph_run_alloc(store, ph_guard_pages(request) + 1,
			   max(request->align, PAGE_SIZE), side);
	if (IS_ERR(run)) {
		ph_meta_free(store, guard, sizeof(*guard));
		return run;
	}
	guard->addr = ph_guard_place(run, request);
	guard->alloc_cookie = request->cookie;
	guard->side = side;
	run->guard = guard;
	run->bytes = request->bytes;
	ph_run_use(store, run, PH_RUN_GUARDED);
	return run;
}

/* Decommits what a live block had: all pages but the guard page. */
static void ph_guard_decommit(struct ph_block_store *store, struct ph_run *run)
{
	store->ops->decommit(run->region,
			     ph_run_first(run) + (run->guard->side == PH_GUARD_BEFORE),
			     run->nr_pages - 1);
}

static void ph_guard_detach(struct ph_block_store *store, struct ph_run *run)
{
	ph_meta_free(store, run->guard, sizeof(*run->guard));
	run->guard = NULL;
}

/**
 * ph_guard_release - free a guarded block without a trace
 * @store: the heap's blocks
 * @run: its run
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_guard_release(struct ph_block_store *store, struct ph_run *run)
{
	ph_guard_decommit(store, run);
	ph_guard_detach(store, run);
	ph_run_vacate(store, run);
}

static void ph_quarantine_remove(struct ph_block_store *store,
				 struct ph_run *run)
{
	list_del(&run->node);
	store->nr_quarantine_pages -= run->nr_pages;
	ph_guard_detach(store, run);
}

/**
 * ph_guard_retire - put a guarded block that is freed into quarantine
 * @store: the heap's blocks
 * @run: its run
 * @cookie: kept with the block
 *
 * The oldest ones leave as long as there are too many pages, if need be this one.
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_guard_retire(struct ph_block_store *store, struct ph_run *run,
		     u64 cookie)
{
	ph_guard_decommit(store, run);
	ph_run_use(store, run, PH_RUN_QUARANTINED);
	run->guard->free_cookie = cookie;
	list_add_tail(&run->node, &store->quarantine);
	store->nr_quarantine_pages += run->nr_pages;
	while (store->nr_quarantine_pages > store->max_quarantine_pages)
		ph_block_evict(store);
}

/**
 * ph_block_evict - let the oldest block leave the quarantine
 * @store: the heap's blocks
 *
 * Context: May sleep if ops->mark() does. Allocates nothing.
 * Return: true if there was one.
 */
bool ph_block_evict(struct ph_block_store *store)
{
	struct ph_run *run;

	if (list_empty(&store->quarantine))
		return false;
	run = list_first_entry(&store->quarantine, struct ph_run, node);
	ph_quarantine_remove(store, run);
	ph_run_vacate(store, run);
	return true;
}

/**
 * ph_guard_forget - free what makes a run guarded
 * @store: the heap's blocks
 * @run: a guarded or quarantined run; its pages stay as they are
 *
 * Context: May not sleep.
 */
void ph_guard_forget(struct ph_block_store *store, struct ph_run *run)
{
	if (run->kind == PH_RUN_QUARANTINED)
		ph_quarantine_remove(store, run);
	else
		ph_guard_detach(store, run);
}
