// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pool: where the memory of pages comes from, and where it goes to.
 *
 * What the heaps of a process give up is kept for them, up to a bound: such
 * memory needs neither the allocator, nor a charge of the memory cgroup, nor to be
 * cleared, since what it holds is the process's own. Nobody else ever gets it from
 * here; it goes back to the kernel when the kernel is short of memory, when a heap
 * is compacted, and when the address space ends. A page that somebody else still
 * holds a reference to, get_user_pages() above all, is not kept; heaps that
 * charge a memory cgroup of their own neither give nor take; and secret ones wipe
 * what they give up, and give it to the kernel.
 *
 * New memory is asked for in blocks, which cost a fraction of single pages: one
 * walk through the allocator and one charge of the memory cgroup for all. A block
 * is split at once, so that each page of a heap is owned, moved, pinned and given
 * back for itself: a heap could otherwise hold a whole block by one page that it
 * is charged for. Pages that go together and lie side by side are joined to a block
 * again, which the page allocator would otherwise do page by page.
 */
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/shrinker.h>
#include <linux/spinlock.h>

#include "chunk.h"

/* Many pages at once: only if that costs nobody anything. */
#define PH_GFP_MANY	((PH_GFP_PAGE | __GFP_NOWARN | __GFP_NOMEMALLOC) & \
			 ~__GFP_RECLAIM)

/*
 * The order of the shortest block that is joined. Those that are shorter go to the lists
 * of the CPU, and where two of them follow each other the page allocator empties these:
 * that would cost more than to give back each page for itself.
 */
#define PH_JOIN_ORDER	(PAGE_ALLOC_COSTLY_ORDER + 1)

static unsigned int recycle_kib = 16384;
module_param(recycle_kib, uint, 0644);
MODULE_PARM_DESC(recycle_kib,
		 "memory in KiB that is kept for the heaps of a process after they gave it up (default 16384)");

/* All pools, for the shrinker. */
static LIST_HEAD(ph_pools);
static DEFINE_SPINLOCK(ph_pools_lock);
static atomic_long_t ph_pools_pages;
static struct shrinker *ph_pools_shrinker;

static unsigned int ph_pool_bound(void)
{
	return READ_ONCE(recycle_kib) / (PAGE_SIZE / SZ_1K);
}

/* Takes pages that are kept, as many as @batch is to have. */
static noinline void ph_pool_pop(struct ph_pool *pool, struct ph_batch *batch,
				 unsigned int nr)
{
	struct page *page;

	spin_lock(&pool->lock);
	while (batch->nr < nr && pool->nr) {
		page = list_first_entry(&pool->pages, struct page, lru);
		list_del(&page->lru);
		WRITE_ONCE(pool->nr, pool->nr - 1);
		batch->pages[batch->nr++] = page;
	}
	spin_unlock(&pool->lock);
	atomic_long_sub(batch->nr, &ph_pools_pages);
}

/**
 * ph_pool_cgroup_has_room - may memory be kept that is of no use now?
 * @page: such memory
 *
 * What is kept stays charged to the memory cgroup, which cannot ask for it back:
 * so nothing is kept where a cgroup has little left.
 *
 * Context: Any.
 * Return: true if so.
 */
bool ph_pool_cgroup_has_room(struct page *page)
{
	bool has_room = true;
#ifdef CONFIG_MEMCG
	struct mem_cgroup *memcg;
	unsigned long max;

	rcu_read_lock();
	memcg = folio_memcg(page_folio(page));
	for (; memcg && has_room; memcg = parent_mem_cgroup(memcg)) {
		max = READ_ONCE(memcg->memory.max);
		has_room = page_counter_read(&memcg->memory) < max - max / 4;
	}
	rcu_read_unlock();
#endif
	return has_room;
}

/* Keeps pages of the batch, and leaves those in it that cannot be kept. */
static void ph_pool_push(struct ph_pool *pool, struct ph_batch *batch)
{
	unsigned int bound = ph_pool_bound(), left = 0, i;
	struct page *page;

	spin_lock(&pool->lock);
	for (i = batch->next; i < batch->nr; i++) {
		page = batch->pages[i];
		if (pool->nr < bound && page_ref_count(page) == 1 &&
		    !PageHWPoison(page)) {
			list_add(&page->lru, &pool->pages);
			WRITE_ONCE(pool->nr, pool->nr + 1);
		} else {
			batch->pages[left++] = page;
		}
	}
	spin_unlock(&pool->lock);
	atomic_long_add(batch->nr - batch->next - left, &ph_pools_pages);
	batch->next = 0;
	batch->nr = left;
}

/* Allocates a block of 2^@order pages, as single pages. */
static struct page *ph_pool_alloc_block(gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages(gfp, order);

	if (page && order)
		split_page(page, order);
	return page;
}

/* Fills the batch up with new memory; @gfp is for the first page of it. */
static void ph_pool_alloc(struct ph_batch *batch, unsigned int nr, gfp_t gfp)
{
	unsigned int order = ilog2(nr - batch->nr), i;
	struct page *page;

	while (batch->nr < nr) {
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
}

/**
 * ph_pool_is_for_task - may the task get memory that is there already?
 *
 * One that has a memory policy cares where its memory lies.
 *
 * Context: Any task.
 * Return: true if so.
 */
bool ph_pool_is_for_task(void)
{
#ifdef CONFIG_NUMA
	return !current->mempolicy;
#else
	return true;
#endif
}

/**
 * ph_pool_take - get memory for pages
 * @heap: for this heap
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
bool ph_pool_take(struct ph_heap *heap, struct ph_batch *batch, unsigned int nr,
		  gfp_t gfp)
{
	struct ph_pool *pool = heap->pool;

	batch->next = 0;
	batch->nr = 0;
	if (READ_ONCE(pool->nr) && !heap->cgroup && ph_pool_is_for_task())
		ph_pool_pop(pool, batch, nr);
	batch->nr_recycled = batch->nr;
	if (likely(nr == 1)) {
		if (!batch->nr)
			batch->pages[0] = alloc_page(gfp);
		batch->nr = !!batch->pages[0];
	} else if (batch->nr < nr) {
		ph_pool_alloc(batch, nr, gfp);
	}
	return batch->nr;
}

/* The order of the block that entry @i of the batch may be the beginning of. */
static unsigned int ph_pool_block_order(const struct ph_batch *batch,
					unsigned int i)
{
	struct page *page = batch->pages[i];
	unsigned int order;

	if (i + 1 >= batch->nr || batch->pages[i + 1] != page + 1)
		return 0;
	order = min_t(unsigned int, ilog2(batch->nr - i),
		      __ffs(page_to_pfn(page) | PH_BATCH_PAGES));
	while (batch->pages[i + (1 << order) - 1] != page + (1 << order) - 1)
		order--;
	return order < PH_JOIN_ORDER ? 0 : order;
}

#ifdef CONFIG_MEMCG
static bool ph_pool_shares_charge(struct page *page, struct page *other)
{
	return other->memcg_data == page->memcg_data;
}

/* Each page had a reference of its own to whom it is charged to. */
static void ph_pool_join_charges(struct page *page, unsigned int nr)
{
	struct folio *folio = page_folio(page);
	unsigned int i;

	if (!folio_memcg_kmem(folio))
		return;
	for (i = 1; i < nr; i++)
		page[i].memcg_data = 0;
	percpu_ref_put_many(&folio_objcg(folio)->refcnt, nr - 1);
}
#else
static bool ph_pool_shares_charge(struct page *page, struct page *other)
{
	return true;
}

static void ph_pool_join_charges(struct page *page, unsigned int nr)
{
}
#endif

/*
 * Undoes split_page(). Fails if somebody else holds one of the pages. Who looks for a
 * page by its number, or finds it in a page table that is stale, gets none that is
 * frozen. So the first page is frozen as well until the very end: if somebody takes a
 * reference to it after that, __free_pages() frees the others, and what these were
 * charged stays with the memory cgroup.
 */
static bool ph_pool_join(struct page **pages, unsigned int nr)
{
	struct page *page = pages[0];
	unsigned int i;

	if (page_zone(page) != page_zone(pages[nr - 1]))
		return false;
	for (i = 0; i < nr; i++) {
		if (pages[i] != page + i || PageHWPoison(page + i) ||
		    !ph_pool_shares_charge(page, page + i) ||
		    !page_ref_freeze(page + i, 1))
			break;
	}
	if (i == nr) {
		ph_pool_join_charges(page, nr);
		page_ref_unfreeze(page, 1);
		return true;
	}
	while (i--)
		page_ref_unfreeze(page + i, 1);
	return false;
}

/* Gives blocks back as blocks, and leaves single pages in the batch. */
static noinline void ph_pool_free_blocks(struct ph_batch *batch)
{
	unsigned int i = batch->next, order, end, left = 0;

	while (i < batch->nr) {
		order = ph_pool_block_order(batch, i);
		end = i + (1 << order);
		if (order && ph_pool_join(batch->pages + i, 1 << order)) {
			__free_pages(batch->pages[i], order);
			i = end;
		}
		while (i < end)
			batch->pages[left++] = batch->pages[i++];
	}
	batch->next = 0;
	batch->nr = left;
}

static void ph_pool_wipe(struct ph_batch *batch)
{
	unsigned int i;

	for (i = batch->next; i < batch->nr; i++)
		clear_highpage(batch->pages[i]);
}

/**
 * ph_pool_give - give memory back
 * @heap: what had it, or was to have it; if it is a secret one nothing is kept
 * @batch: what of it is left; empty afterwards. Nothing maps these pages
 *
 * Context: May sleep.
 */
void ph_pool_give(struct ph_heap *heap, struct ph_batch *batch)
{
	if (batch->next == batch->nr)
		return;
	/* Nobody will take anything out again in an address space that ends. */
	if (unlikely(ph_heap_is_secret(heap)))
		ph_pool_wipe(batch);
	else if (atomic_read(&heap->mm->mm_users) && !heap->cgroup &&
		 ph_pool_cgroup_has_room(batch->pages[batch->next]))
		ph_pool_push(heap->pool, batch);
	if (!heap->huge)
		ph_pool_free_blocks(batch);
	release_pages(batch->pages + batch->next, batch->nr - batch->next);
	batch->next = 0;
	batch->nr = 0;
}

/**
 * ph_pool_take_huge - get a huge page for a chunk
 * @heap: for this heap
 *
 * It is not searched for: nothing is reclaimed or moved for it.
 *
 * Context: May sleep.
 * Return: the huge page, zeroed, with one reference; or NULL.
 */
struct page *ph_pool_take_huge(struct ph_heap *heap)
{
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	struct page *page;

	page = alloc_pages(PH_GFP_MANY | __GFP_COMP, ilog2(PH_CHUNK_PAGES));
	ph_cgroup_leave(heap->cgroup, outer);
	/* Kernels compare where it lies in the file with the file's size. */
	if (page)
		page_folio(page)->index = 0;
	return page;
}

/* Moves pages out of a pool, at most @nr of them. */
static unsigned long ph_pool_cut(struct ph_pool *pool, unsigned long nr,
				 struct list_head *pages)
{
	unsigned long i;

	spin_lock(&pool->lock);
	nr = min_t(unsigned long, nr, pool->nr);
	for (i = 0; i < nr; i++)
		list_move(pool->pages.prev, pages);
	WRITE_ONCE(pool->nr, pool->nr - nr);
	spin_unlock(&pool->lock);
	atomic_long_sub(nr, &ph_pools_pages);
	return nr;
}

/**
 * ph_pool_drain - give all that a pool keeps back to the kernel
 * @pool: the pool
 *
 * Context: May sleep.
 */
void ph_pool_drain(struct ph_pool *pool)
{
	LIST_HEAD(pages);

	ph_pool_cut(pool, ULONG_MAX, &pages);
	put_pages_list(&pages);
}

/**
 * ph_pool_init - make a pool
 * @pool: of a new process
 */
void ph_pool_init(struct ph_pool *pool)
{
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->pages);
	spin_lock(&ph_pools_lock);
	list_add_tail(&pool->node, &ph_pools);
	spin_unlock(&ph_pools_lock);
}

/**
 * ph_pool_exit - the mirror of ph_pool_init()
 * @pool: the pool; no heap has it any more
 *
 * Context: May sleep.
 */
void ph_pool_exit(struct ph_pool *pool)
{
	spin_lock(&ph_pools_lock);
	list_del(&pool->node);
	spin_unlock(&ph_pools_lock);
	ph_pool_drain(pool);
}

static unsigned long ph_pools_count(struct shrinker *shrinker,
				    struct shrink_control *sc)
{
	/* Pages are counted after they can be taken, so it may be below 0. */
	return max(atomic_long_read(&ph_pools_pages), 0L) ?: SHRINK_EMPTY;
}

/* The pool that gave last goes to the end, so that all take their turns. */
static unsigned long ph_pools_scan(struct shrinker *shrinker,
				   struct shrink_control *sc)
{
	unsigned long nr = 0;
	struct ph_pool *pool, *next;
	LIST_HEAD(pages);
	LIST_HEAD(done);

	spin_lock(&ph_pools_lock);
	list_for_each_entry_safe(pool, next, &ph_pools, node) {
		if (nr >= sc->nr_to_scan)
			break;
		nr += ph_pool_cut(pool, sc->nr_to_scan - nr, &pages);
		list_move_tail(&pool->node, &done);
	}
	list_splice_tail(&done, &ph_pools);
	spin_unlock(&ph_pools_lock);
	put_pages_list(&pages);
	sc->nr_scanned = nr;
	return nr ?: SHRINK_STOP;
}

/**
 * ph_pools_init - let the kernel ask for memory back
 *
 * Return: 0 or -ENOMEM.
 */
int __init ph_pools_init(void)
{
	ph_pools_shrinker = shrinker_alloc(0, "privheap");
	if (!ph_pools_shrinker)
		return -ENOMEM;
	ph_pools_shrinker->count_objects = ph_pools_count;
	ph_pools_shrinker->scan_objects = ph_pools_scan;
	shrinker_register(ph_pools_shrinker);
	return 0;
}

/**
 * ph_pools_exit - the mirror of ph_pools_init()
 */
void ph_pools_exit(void)
{
	shrinker_free(ph_pools_shrinker);
}
