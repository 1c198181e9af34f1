// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pool: where the memory of pages comes from, and where it goes to.
 *
 * Memory is asked for in batches, which cost a fraction of single pages: one
 * walk through the allocator and one charge of the memory cgroup for all. A block
 * of pages is split at once, so that each page of a heap is owned, moved, pinned
 * and given back for itself: a heap could otherwise hold a whole block by one
 * page that it is charged for.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "chunk.h"

/* Many pages at once: only if that costs nobody anything. */
#define PH_GFP_MANY	((PH_GFP_PAGE | __GFP_NOWARN | __GFP_NOMEMALLOC) & \
			 ~__GFP_RECLAIM)

/* Allocates a block of 2^@order pages, as single pages. */
static struct page *ph_pool_alloc_block(gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages(gfp, order);

	if (page && order)
		split_page(page, order);
	return page;
}

/**
 * ph_pool_take - get memory for pages
 * @batch: receives it
 * @nr: how many pages are wanted, at most PH_BATCH_PAGES
 * @gfp: how hard to try for the first one. More are taken where they are to be
 *	had: no reclaim is done for them.
 *
 * NUMA: the memory policy of the task holds.
 *
 * Context: May sleep if @gfp says so.
 * Return: true if there is at least one page in the batch.
 */
bool ph_pool_take(struct ph_batch *batch, unsigned int nr, gfp_t gfp)
{
	unsigned int order, i;
	struct page *page;

	batch->next = 0;
	if (nr == 1) {
		batch->pages[0] = alloc_page(gfp);
		batch->nr = !!batch->pages[0];
		return batch->nr;
	}
	order = ilog2(nr);
	for (batch->nr = 0; batch->nr < nr; ) {
		order = min_t(unsigned int, order, ilog2(nr - batch->nr));
		page = ph_pool_alloc_block(order || batch->nr ? PH_GFP_MANY : gfp,
					   order);
		if (!page) {
			if (!order--)
				break;
			continue;
		}
		for (i = 0; i < 1U << order; i++)
			batch->pages[batch->nr++] = page + i;
	}
	return batch->nr;
}

/**
 * ph_pool_give - give memory back
 * @batch: what of it is left; empty afterwards. Nothing maps these pages
 *
 * Context: May sleep.
 */
void ph_pool_give(struct ph_batch *batch)
{
	if (batch->next < batch->nr)
		release_pages(batch->pages + batch->next,
			      batch->nr - batch->next);
	batch->next = 0;
	batch->nr = 0;
}
