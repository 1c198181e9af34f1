// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks: the vocabulary and the invariant are in block.h.
 *
 * From the bottom up: memory for metadata, the page map, runs and the bins of
 * free ones, spans and their slots, blocks.
 *
 * What can fail comes first: metadata is allocated, then ops->commit() is
 * asked, and the change that follows cannot fail. Freeing needs nothing that
 * could fail: what described the freed run goes on to describe the free one.
 */
#ifdef __KERNEL__
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>
#endif

#include "block.h"

/* Entries of a leaf of the page map. No span has more pages. */
#define PH_LEAF_PAGES		64UL
/*
 * Spans grow up to this. One bit and one byte a slot then fill what kmalloc()
 * rounds up to: 7/8 of a power of two times 9/8 is just below it.
 */
#define PH_SPAN_GROW_BYTES	(56UL << 10)
/* The size of a block in a slot of one of the first classes fits in a byte. */
#define PH_NR_BYTE_CLASSES	11
/* Free runs of a bin that are tried before longer ones are split. */
#define PH_BIN_TRIES		16

enum ph_run_kind {
	PH_RUN_FREE,
	PH_RUN_SPAN,
	PH_RUN_LARGE,
};

/**
 * struct ph_span - the slots of a span
 * @nr_slots: how many (constant)
 * @nr_free: how many of them hold no block
 * @hint: words of @free before this one are 0
 * @sizes: where the requested sizes start, in bytes from the start of this
 *	structure; an array of u8 or u16 by slot, see ph_class_has_byte_sizes()
 *	(constant)
 * @free: bit n is set when slot n is free; bits past the last slot are 0
 */
struct ph_span {
	u16 nr_slots;
	u16 nr_free;
	u16 hint;
	u16 sizes;
	unsigned long free[];
};

/**
 * struct ph_run - pages with one use
 * @region: where they are (constant)
 * @node: in a bin if free, and not in a dedicated region; among the partial
 *	spans of the class if a span with a free slot
 * @start: address of the first page
 * @nr_pages: how many
 * @bytes: requested bytes of the large block, or of all blocks in the span
 * @span: slots, if a span
 * @kind: enum ph_run_kind
 * @class: size class, if a span
 */
struct ph_run {
	struct ph_block_region *region;
	struct list_head node;
	unsigned long start;
	unsigned long nr_pages;
	unsigned long bytes;
	struct ph_span *span;
	u8 kind;
	u8 class;
};

/**
 * struct ph_class - a size class
 * @slot_bytes: length of a slot
 * @reciprocal: 2^32 / @slot_bytes, rounded up
 * @base_pages: length of the first spans
 * @max_pages: length that spans grow to; a multiple of @base_pages
 */
struct ph_class {
	u32 slot_bytes;
	u32 reciprocal;
	u16 base_pages;
	u16 max_pages;
};

static struct ph_class ph_classes[PH_NR_CLASSES] __ro_after_init;
static struct kmem_cache *ph_run_cache;

static void *ph_meta_alloc(struct ph_block_store *store, size_t bytes)
{
	void *meta = kzalloc(bytes, PH_GFP_META);

	if (meta)
		store->nr_meta_bytes += kmalloc_size_roundup(bytes);
	return meta;
}

static void ph_meta_free(struct ph_block_store *store, void *meta, size_t bytes)
{
	store->nr_meta_bytes -= kmalloc_size_roundup(bytes);
	kfree(meta);
}

static size_t ph_leaf_bytes(struct ph_block_region *region)
{
	return min(region->nr_pages, PH_LEAF_PAGES) * sizeof(struct ph_run *);
}

static noinline struct ph_run **ph_map_load_leaf(struct ph_block_region *region,
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

static struct ph_run *ph_map_get(struct ph_block_region *region,
				 unsigned long page)
{
	struct ph_run **leaf;

	if (likely(page / PH_LEAF_PAGES == region->hot_index))
		return region->hot_leaf[page % PH_LEAF_PAGES];
	leaf = ph_map_load_leaf(region, page / PH_LEAF_PAGES);
	return leaf ? leaf[page % PH_LEAF_PAGES] : NULL;
}

/* The leaf is there, because of ph_map_reserve() or of an entry. */
static void ph_map_set(struct ph_block_region *region, unsigned long page,
		       struct ph_run *run)
{
	ph_map_leaf(region, page)[page % PH_LEAF_PAGES] = run;
}

/* The run that @page belongs to, which may be inside of it. */
static struct ph_run *ph_map_seek(struct ph_block_region *region,
				  unsigned long page)
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

static unsigned long ph_run_first(const struct ph_run *run)
{
	return (run->start - run->region->base) >> PAGE_SHIFT;
}

static unsigned long ph_run_end(const struct ph_run *run)
{
	return ph_run_first(run) + run->nr_pages;
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

static bool ph_run_fits(const struct ph_run *run, unsigned long nr_pages,
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

/*
 * Takes pages out of a free run and commits them. Returns that run, reduced to
 * these pages, for the caller to set up and to map; on error nothing has changed.
 */
static struct ph_run *ph_run_take(struct ph_block_store *store,
				  struct ph_run *run, unsigned long first,
				  unsigned long nr_pages)
{
	struct ph_block_region *region = run->region;
	unsigned long old_first = ph_run_first(run), old_end = ph_run_end(run);
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
		err = store->ops->commit(region, first, nr_pages);
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

/* Finds, takes and commits pages. */
static struct ph_run *ph_run_alloc(struct ph_block_store *store,
				   unsigned long nr_pages, unsigned long align)
{
	struct ph_run *run = ph_run_find_free(store, nr_pages, align);

	if (!run)
		return ERR_PTR(-ENOSPC);
	return ph_run_take(store, run, ph_run_aligned(run, align), nr_pages);
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

/* Makes a run free. */
static void ph_run_release(struct ph_block_store *store, struct ph_run *run)
{
	unsigned long first = ph_run_first(run), end = ph_run_end(run);

	store->ops->decommit(run->region, first, run->nr_pages);
	ph_run_map(run, NULL);
	run->kind = PH_RUN_FREE;
	ph_run_absorb(store, run, ph_run_prev(run));
	ph_run_absorb(store, run, ph_run_next(run));
	ph_run_map(run, run);
	ph_bin_insert(store, run);
	ph_map_prune(store, run, first, end);
}

static u32 __init ph_class_slot_bytes(unsigned int class)
{
	if (class < 8)
		return 16 * (class + 1);
	return (5 + class % 4) << (5 + (class - 8) / 4);
}

/* At most an eighth of a span may be too short for a slot. */
static bool __init ph_class_fills(u32 slot_bytes, unsigned long nr_pages)
{
	unsigned long bytes = nr_pages << PAGE_SHIFT;

	return bytes % slot_bytes <= bytes / 8;
}

static void __init ph_class_init(struct ph_class *class, u32 slot_bytes)
{
	unsigned long nr_pages = 1;

	while (!ph_class_fills(slot_bytes, nr_pages))
		nr_pages++;
	class->slot_bytes = slot_bytes;
	class->reciprocal = DIV_ROUND_UP_ULL(1ULL << 32, slot_bytes);
	class->base_pages = nr_pages;
	class->max_pages = max(nr_pages, rounddown(PH_SPAN_GROW_BYTES >> PAGE_SHIFT,
						   nr_pages));
}

/* The class for a size; @bytes is at most PH_SLOT_MAX_BYTES. */
static unsigned int ph_class_of(unsigned long bytes)
{
	unsigned int order;

	if (bytes)
		bytes--;
	if (bytes < 128)
		return bytes / 16;
	order = __fls(bytes);
	return 8 + 4 * (order - 7) + ((bytes >> (order - 2)) & 3);
}

/* The class for a size and an alignment; PH_NR_CLASSES for a large block. */
static unsigned int ph_class_find(unsigned long bytes, unsigned long align)
{
	unsigned int class;

	if (bytes > PH_SLOT_MAX_BYTES)
		return PH_NR_CLASSES;
	class = ph_class_of(bytes);
	if (likely(align <= PH_BLOCK_ALIGN))
		return class;
	if (align > PAGE_SIZE)
		return PH_NR_CLASSES;
	/* Spans start at a page, so it is enough to look at the length. */
	while (class < PH_NR_CLASSES &&
	       !IS_ALIGNED(ph_classes[class].slot_bytes, align))
		class++;
	return class;
}

static bool ph_class_has_byte_sizes(unsigned int class)
{
	return class < PH_NR_BYTE_CLASSES;
}

static unsigned long ph_slot_bytes(const struct ph_run *run, unsigned int slot)
{
	void *sizes = (void *)run->span + run->span->sizes;

	if (ph_class_has_byte_sizes(run->class))
		return ((u8 *)sizes)[slot];
	return ((u16 *)sizes)[slot];
}

static void ph_slot_set_bytes(struct ph_run *run, unsigned int slot,
			      unsigned long bytes)
{
	void *sizes = (void *)run->span + run->span->sizes;

	if (ph_class_has_byte_sizes(run->class))
		((u8 *)sizes)[slot] = bytes;
	else
		((u16 *)sizes)[slot] = bytes;
}

static bool ph_slot_is_free(const struct ph_run *run, unsigned int slot)
{
	return test_bit(slot, run->span->free);
}

/*
 * The slot that an address in a span belongs to. This is offset / slot_bytes:
 * the reciprocal is less than 1 too large, so the product, before the shift, is
 * too large by less than the offset; to reach the next slot, it would have to be
 * 2^32 / slot_bytes, and offsets are below 2^17, slots no longer than 2^14.
 */
static unsigned int ph_slot_at(const struct ph_run *run, unsigned long addr)
{
	u64 offset = addr - run->start;

	return offset * ph_classes[run->class].reciprocal >> 32;
}

/* Uses a free slot of a partial span. */
static __always_inline unsigned long
ph_slot_take(struct ph_block_store *store, struct ph_run *run,
	     unsigned long bytes)
{
	struct ph_class_state *state = &store->classes[run->class];
	struct ph_span *span = run->span;
	unsigned int word = span->hint;
	unsigned int slot;

	while (!span->free[word])
		word++;
	span->hint = word;
	slot = word * BITS_PER_LONG + __ffs(span->free[word]);
	span->free[word] &= span->free[word] - 1;
	ph_slot_set_bytes(run, slot, bytes);
	run->bytes += bytes;
	if (state->empty == run)
		state->empty = NULL;
	if (!--span->nr_free)
		list_del(&run->node);
	return run->start + slot * ph_classes[run->class].slot_bytes;
}

static unsigned int ph_span_nr_slots(unsigned int class, unsigned long nr_pages)
{
	return (nr_pages << PAGE_SHIFT) / ph_classes[class].slot_bytes;
}

static size_t ph_span_sizes(unsigned int nr_slots)
{
	return struct_size((struct ph_span *)NULL, free, BITS_TO_LONGS(nr_slots));
}

static size_t ph_span_bytes(unsigned int class, unsigned int nr_slots)
{
	size_t size = ph_class_has_byte_sizes(class) ? sizeof(u8) : sizeof(u16);

	return ph_span_sizes(nr_slots) + nr_slots * size;
}

static void ph_span_free(struct ph_block_store *store, struct ph_span *span,
			 unsigned int class)
{
	ph_meta_free(store, span, ph_span_bytes(class, span->nr_slots));
}

static struct ph_span *ph_span_alloc(struct ph_block_store *store,
				     unsigned int class, unsigned long nr_pages)
{
	unsigned int nr_slots = ph_span_nr_slots(class, nr_pages);
	struct ph_span *span;

	span = ph_meta_alloc(store, ph_span_bytes(class, nr_slots));
	if (!span)
		return NULL;
	span->nr_slots = nr_slots;
	span->nr_free = nr_slots;
	span->sizes = ph_span_sizes(nr_slots);
	bitmap_set(span->free, 0, nr_slots);
	return span;
}

/* Makes a span of that many pages, the next one to be used of its class. */
static struct ph_run *ph_span_create(struct ph_block_store *store,
				     unsigned int class, unsigned long nr_pages)
{
	struct ph_class_state *state = &store->classes[class];
	struct ph_span *span;
	struct ph_run *run;

	span = ph_span_alloc(store, class, nr_pages);
	if (!span)
		return ERR_PTR(-ENOMEM);
	run = ph_run_alloc(store, nr_pages, PAGE_SIZE);
	if (IS_ERR(run)) {
		ph_span_free(store, span, class);
		return run;
	}
	run->kind = PH_RUN_SPAN;
	run->class = class;
	run->span = span;
	run->bytes = 0;
	ph_run_map(run, run);
	list_add(&run->node, &state->partial);
	state->nr_pages += nr_pages;
	return run;
}

/* Frees what makes a run a span. */
static void ph_span_detach(struct ph_block_store *store, struct ph_run *run)
{
	struct ph_class_state *state = &store->classes[run->class];

	if (run->span->nr_free)
		list_del(&run->node);
	if (state->empty == run)
		state->empty = NULL;
	state->nr_pages -= run->nr_pages;
	ph_span_free(store, run->span, run->class);
	run->span = NULL;
}

static void ph_span_release(struct ph_block_store *store, struct ph_run *run)
{
	ph_span_detach(store, run);
	ph_run_release(store, run);
}

/*
 * The last block of a span was freed. One such span a class is kept, behind the
 * other partial ones, so that a program which keeps allocating and freeing one
 * block does not make and release a span each time.
 */
static void ph_span_emptied(struct ph_block_store *store, struct ph_run *run)
{
	struct ph_class_state *state = &store->classes[run->class];

	if (state->empty) {
		ph_span_release(store, run);
		return;
	}
	state->empty = run;
	if (!list_is_last(&run->node, &state->partial))
		list_move_tail(&run->node, &state->partial);
}

static void ph_slot_put(struct ph_block_store *store, struct ph_run *run,
			unsigned int slot)
{
	struct ph_span *span = run->span;
	unsigned int word = slot / BITS_PER_LONG;

	span->free[word] |= BIT(slot % BITS_PER_LONG);
	if (word < span->hint)
		span->hint = word;
	if (!span->nr_free++)
		list_add(&run->node, &store->classes[run->class].partial);
	if (span->nr_free == span->nr_slots)
		ph_span_emptied(store, run);
}

/* Releases the spans that are kept empty. Were there any? */
static bool ph_store_trim(struct ph_block_store *store)
{
	struct ph_class_state *state;
	bool any = false;

	for (state = store->classes; state < store->classes + PH_NR_CLASSES;
	     state++) {
		if (!state->empty)
			continue;
		ph_span_release(store, state->empty);
		any = true;
	}
	return any;
}

/* A class takes more pages at a time the more it has. */
static unsigned long ph_span_pages(struct ph_block_store *store,
				   unsigned int class)
{
	unsigned long base = ph_classes[class].base_pages;
	unsigned long max = ph_classes[class].max_pages;

	return clamp(rounddown(store->classes[class].nr_pages / 4, base), base, max);
}

/* Makes a span as long as can be had. */
static struct ph_run *ph_span_add(struct ph_block_store *store,
				  unsigned int class)
{
	unsigned long base = ph_classes[class].base_pages;
	unsigned long nr_pages = ph_span_pages(store, class);
	struct ph_run *run;

	run = ph_span_create(store, class, nr_pages);
	if (IS_ERR(run) && nr_pages > base)
		run = ph_span_create(store, class, base);
	if (IS_ERR(run) && ph_store_trim(store))
		run = ph_span_create(store, class, base);
	return run;
}

/* Finds a free slot in a span of a larger class than the one that would fit. */
static struct ph_run *ph_span_find_larger(struct ph_block_store *store,
					  unsigned int class,
					  unsigned long align)
{
	while (++class < PH_NR_CLASSES) {
		if (IS_ALIGNED(ph_classes[class].slot_bytes, align) &&
		    !list_empty(&store->classes[class].partial))
			return list_first_entry(&store->classes[class].partial,
						struct ph_run, node);
	}
	return NULL;
}

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

static unsigned long ph_run_bytes(const struct ph_run *run)
{
	return run->nr_pages << PAGE_SHIFT;
}

/* Makes the pages that ph_run_take() gave a large block. */
static void ph_large_init(struct ph_run *run, unsigned long bytes)
{
	run->kind = PH_RUN_LARGE;
	run->bytes = bytes;
	ph_run_map(run, run);
}

static noinline int ph_large_alloc(struct ph_block_store *store,
				   unsigned long bytes, unsigned long align,
				   unsigned long *addr)
{
	unsigned long nr_pages;
	struct ph_run *run;

	align = max(align, PAGE_SIZE);
	if (ph_large_overflows(bytes, align))
		return -EOVERFLOW;
	nr_pages = ph_large_pages(bytes);
	run = ph_run_alloc(store, nr_pages, align);
	if (IS_ERR(run) && ph_store_trim(store))
		run = ph_run_alloc(store, nr_pages, align);
	if (IS_ERR(run))
		return PTR_ERR(run);
	ph_large_init(run, bytes);
	*addr = run->start;
	return 0;
}

/* Finds room for a small block where no span has any. */
static noinline int ph_slot_alloc_slow(struct ph_block_store *store,
				       unsigned int class, unsigned long bytes,
				       unsigned long align, unsigned long *addr)
{
	struct ph_run *run = ph_span_add(store, class);
	int err;

	if (IS_ERR(run)) {
		err = PTR_ERR(run);
		if (err == -ENOSPC && store->growable)
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

static int ph_slot_alloc(struct ph_block_store *store, unsigned int class,
			 unsigned long bytes, unsigned long align,
			 unsigned long *addr)
{
	struct list_head *partial = &store->classes[class].partial;

	if (unlikely(list_empty(partial)))
		return ph_slot_alloc_slow(store, class, bytes, align, addr);
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
		err = ph_slot_alloc(store, class, bytes, align, addr);
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
	run = ph_run_take(store, run, ph_run_aligned(run, align), nr_pages);
	if (IS_ERR(run))
		return PTR_ERR(run);
	ph_large_init(run, bytes);
	ph_store_count_block(store, bytes);
	*addr = run->start;
	return 0;
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
	if (!run)
		return -ENOENT;
	if (likely(run->kind == PH_RUN_SPAN)) {
		block->slot = ph_slot_at(run, addr);
		block->capacity = ph_classes[run->class].slot_bytes;
		if (run->start + block->slot * block->capacity != addr ||
		    block->slot >= run->span->nr_slots ||
		    ph_slot_is_free(run, block->slot))
			return -ENOENT;
		block->bytes = ph_slot_bytes(run, block->slot);
	} else {
		if (run->kind != PH_RUN_LARGE || run->start != addr)
			return -ENOENT;
		block->slot = 0;
		block->capacity = ph_run_bytes(run);
		block->bytes = run->bytes;
	}
	block->addr = addr;
	block->run = run;
	return 0;
}

/**
 * ph_block_free - free a block
 * @store: the heap's blocks
 * @region: the block's region
 * @block: from ph_block_find()
 *
 * Pages that hold no block any more are decommitted, but for one empty span a
 * class.
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_block_free(struct ph_block_store *store,
		   struct ph_block_region *region, struct ph_block *block)
{
	struct ph_run *run = block->run;

	store->nr_blocks--;
	store->allocated_bytes -= block->bytes;
	run->bytes -= block->bytes;
	if (likely(run->kind == PH_RUN_SPAN))
		ph_slot_put(store, run, block->slot);
	else
		ph_run_release(store, run);
}

/* Gives the pages past the first @nr_pages back, if that can be noted down. */
static void ph_large_shrink(struct ph_block_store *store, struct ph_run *run,
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

/* Extends a large block over pages of the free run behind it. */
static int ph_large_grow(struct ph_block_store *store, struct ph_run *run,
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
	return 0;
}

static int ph_large_resize(struct ph_block_store *store, struct ph_run *run,
			   unsigned long bytes)
{
	unsigned long nr_pages = ph_large_pages(bytes);
	int err = 0;

	if (nr_pages < run->nr_pages)
		ph_large_shrink(store, run, nr_pages);
	else if (nr_pages > run->nr_pages)
		err = ph_large_grow(store, run, nr_pages);
	/* What was refused may be possible without the empty spans. */
	if (err && err != -ENOSPC && ph_store_trim(store))
		err = ph_large_grow(store, run, nr_pages);
	return err;
}

/**
 * ph_block_resize - change the size of a block that stays where it is
 * @store: the heap's blocks
 * @region: the block's region
 * @block: from ph_block_find(); brought up to date
 * @bytes: its new size
 *
 * A large block stays one, of a page at least. To make a block smaller always
 * succeeds.
 *
 * Context: May sleep.
 * Return: 0; -ENOSPC when the block would have to move; -EOVERFLOW for the size;
 * -ENOMEM for metadata; or what ops->commit() returned. After an error no block
 * has changed.
 */
int ph_block_resize(struct ph_block_store *store,
		    struct ph_block_region *region, struct ph_block *block,
		    unsigned long bytes)
{
	struct ph_run *run = block->run;
	int err;

	if (ph_large_overflows(bytes, PAGE_SIZE))
		return -EOVERFLOW;
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
 * ph_block_trim - decommit and free the spans that are kept empty
 * @store: the heap's blocks
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_block_trim(struct ph_block_store *store)
{
	ph_store_trim(store);
}

/* Describes the first slot at or after @cursor, if there is one. */
static bool ph_span_describe(struct ph_run *run, unsigned long cursor,
			     struct ph_block_entry *entry)
{
	u32 slot_bytes = ph_classes[run->class].slot_bytes;
	unsigned int slot = 0;

	if (cursor > run->start)
		slot = ph_slot_at(run, cursor + slot_bytes - 1);
	if (slot >= run->span->nr_slots)
		return false;
	entry->addr = run->start + slot * slot_bytes;
	entry->capacity = slot_bytes;
	if (ph_slot_is_free(run, slot)) {
		entry->kind = PH_ENTRY_FREE_SLOT;
		entry->bytes = 0;
	} else {
		entry->kind = PH_ENTRY_BLOCK;
		entry->bytes = ph_slot_bytes(run, slot);
	}
	return true;
}

static bool ph_run_describe(struct ph_run *run, unsigned long cursor,
			    struct ph_block_entry *entry)
{
	if (run->kind == PH_RUN_SPAN)
		return ph_span_describe(run, cursor, entry);
	if (cursor > run->start)
		return false;
	entry->addr = run->start;
	entry->capacity = ph_run_bytes(run);
	if (run->kind == PH_RUN_FREE) {
		entry->kind = PH_ENTRY_FREE_PAGES;
		entry->bytes = 0;
	} else {
		entry->kind = PH_ENTRY_BLOCK;
		entry->bytes = run->bytes;
	}
	return true;
}

/**
 * ph_block_page_is_free - does a page belong to a free run?
 * @region: the region
 * @addr: any address in it
 *
 * Context: May not sleep. The caller serialises this like any change.
 * Return: true if it does.
 */
bool ph_block_page_is_free(struct ph_block_region *region, unsigned long addr)
{
	unsigned long page = (addr - region->base) >> PAGE_SHIFT;

	return ph_map_seek(region, page)->kind == PH_RUN_FREE;
}

/**
 * ph_block_next - walk through a region by address
 * @region: the region
 * @cursor: where to start, any address; 0 for the first step
 * @entry: receives the first block, free slot or free run that starts at or
 *	after @cursor
 *
 * Going on at @entry->addr + @entry->capacity the whole walk takes linear time.
 *
 * Context: May not sleep. The caller serialises this like any change.
 * Return: 0, or -ENOENT at the end of the region.
 */
int ph_block_next(struct ph_block_region *region, unsigned long cursor,
		  struct ph_block_entry *entry)
{
	struct ph_run *run;
	unsigned long page;

	cursor = max(cursor, region->base);
	for (;;) {
		page = (cursor - region->base) >> PAGE_SHIFT;
		if (page >= region->nr_pages)
			return -ENOENT;
		run = ph_map_seek(region, page);
		if (ph_run_describe(run, cursor, entry))
			return 0;
		cursor = run->start + ph_run_bytes(run);
	}
}

static void ph_map_exit(struct ph_block_store *store,
			struct ph_block_region *region)
{
	struct ph_run **leaf;
	unsigned long index;

	xa_for_each(&region->leaves, index, leaf)
		ph_map_free_leaf(store, region, index);
	xa_destroy(&region->leaves);
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
	struct ph_run *run;

	region->base = base;
	region->nr_pages = nr_pages;
	region->dedicated = dedicated;
	region->hot_index = ULONG_MAX;
	xa_init_flags(&region->leaves, XA_FLAGS_ACCOUNT);
	run = ph_run_create(store, region);
	if (!run)
		return -ENOMEM;
	if (ph_map_reserve(store, region, 0) ||
	    ph_map_reserve(store, region, nr_pages - 1)) {
		ph_map_exit(store, region);
		ph_run_destroy(store, run);
		return -ENOMEM;
	}
	ph_run_init_free(store, run, 0, nr_pages);
	return 0;
}

/* Takes a run out of everything but the page map. */
static void ph_run_forget(struct ph_block_store *store, struct ph_run *run)
{
	switch (run->kind) {
	case PH_RUN_FREE:
		ph_bin_remove(store, run);
		break;
	case PH_RUN_SPAN:
		store->nr_blocks -= run->span->nr_slots - run->span->nr_free;
		store->allocated_bytes -= run->bytes;
		ph_span_detach(store, run);
		break;
	case PH_RUN_LARGE:
		store->nr_blocks--;
		store->allocated_bytes -= run->bytes;
		break;
	}
	ph_run_destroy(store, run);
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
	for (i = 0; i < PH_NR_BINS; i++)
		INIT_LIST_HEAD(&store->bins[i]);
	for (i = 0; i < PH_NR_CLASSES; i++)
		INIT_LIST_HEAD(&store->classes[i].partial);
}

/**
 * ph_block_store_exit - end a store
 * @store: the heap's blocks; all of its regions have been removed
 */
void ph_block_store_exit(struct ph_block_store *store)
{
	WARN_ON_ONCE(store->nr_blocks || store->nr_meta_bytes);
}

/**
 * ph_block_cache_init - set up what all stores share
 *
 * Return: 0, or -ENOMEM.
 */
int __init ph_block_cache_init(void)
{
	unsigned int i;

	for (i = 0; i < PH_NR_CLASSES; i++)
		ph_class_init(&ph_classes[i], ph_class_slot_bytes(i));
	ph_run_cache = KMEM_CACHE(ph_run, SLAB_ACCOUNT);
	return ph_run_cache ? 0 : -ENOMEM;
}

/**
 * ph_block_cache_exit - the mirror of ph_block_cache_init()
 */
void ph_block_cache_exit(void)
{
	kmem_cache_destroy(ph_run_cache);
}
