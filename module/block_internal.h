/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the bookkeeping share; no other file of the module includes
 * this. The vocabulary and the invariant are in block.h.
 *
 *	block.c			blocks: what block.h promises
 *	block_describe.c	what there is at an address, a block or not
 *	  span.c		size classes, spans and their slots
 *	  guard.c		guarded blocks, and those in quarantine
 *	    run.c		the page map, runs, and the bins of free ones
 *
 * A file calls those below it only. What nearly every call does is inline here:
 * to look a page up, and to take, find and free a slot.
 *
 * What can fail comes first: metadata is allocated, then ops->commit() is
 * asked, and the change that follows cannot fail. Freeing needs nothing that
 * could fail: what described the freed run goes on to describe the free one.
 *
 * As in block.h, the caller serialises all calls on one store.
 */
#ifndef _PRIVHEAP_BLOCK_INTERNAL_H
#define _PRIVHEAP_BLOCK_INTERNAL_H

#ifdef __KERNEL__
#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/slab.h>
#endif

#include "block.h"

/* Entries of a leaf of the page map. No span has more pages. */
#define PH_LEAF_PAGES		64UL
/* The size of a block in a slot of one of the first classes fits in a byte. */
#define PH_NR_BYTE_CLASSES	11

/**
 * enum ph_guard_side - which page of a run is its guard page
 * @PH_GUARD_NONE: none; all pages are committed
 * @PH_GUARD_BEFORE: the first
 * @PH_GUARD_BEHIND: the last
 */
enum ph_guard_side {
	PH_GUARD_NONE,
	PH_GUARD_BEFORE,
	PH_GUARD_BEHIND,
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
 * struct ph_guard - what is remembered of a guarded block, freed or not
 * @addr: where it starts
 * @alloc_cookie: of the caller, from when it was allocated
 * @free_cookie: from when it was freed
 * @side: where the guard page is
 */
struct ph_guard {
	unsigned long addr;
	u64 alloc_cookie;
	u64 free_cookie;
	enum ph_guard_side side;
};

/**
 * struct ph_run - pages with one use
 * @region: where they are (constant)
 * @node: in a bin if free, and not in a dedicated region; among the partial
 *	spans of the class if a span with a free slot; in the quarantine
 * @start: address of the first page
 * @nr_pages: how many
 * @bytes: requested bytes of the only block, or of all blocks in the span
 * @span: slots, if a span
 * @guard: the block, if guarded or in quarantine
 * @kind: enum ph_run_kind
 * @class: size class, if a span
 */
struct ph_run {
	struct ph_block_region *region;
	struct list_head node;
	unsigned long start;
	unsigned long nr_pages;
	unsigned long bytes;
	union {
		struct ph_span *span;
		struct ph_guard *guard;
	};
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

extern struct ph_class ph_classes[PH_NR_CLASSES];
extern struct ph_class_table ph_no_spans;

/*
 * May an error be helped with fewer pages, other ones, or the empty spans? Not if the
 * caller has to do something about it first, or is being killed.
 */
static inline bool ph_error_is_shortage(int err)
{
	return err && err != -EAGAIN && err != -EINTR;
}

/* run.c */
int ph_run_cache_init(void);
void ph_run_cache_exit(void);
int ph_map_init(struct ph_block_store *store, struct ph_block_region *region);
void ph_map_exit(struct ph_block_store *store, struct ph_block_region *region);
struct ph_run **ph_map_load_leaf(struct ph_block_region *region,
				 unsigned long index);
struct ph_run *ph_map_seek(struct ph_block_region *region, unsigned long page);
bool ph_run_fits(const struct ph_run *run, unsigned long nr_pages,
		 unsigned long align);
struct ph_run *ph_run_take(struct ph_block_store *store, struct ph_run *run,
			   unsigned long nr_pages, unsigned long align,
			   enum ph_guard_side side);
struct ph_run *ph_run_alloc(struct ph_block_store *store,
			    unsigned long nr_pages, unsigned long align,
			    enum ph_guard_side side);
void ph_run_use(struct ph_block_store *store, struct ph_run *run,
		enum ph_run_kind kind);
void ph_run_vacate(struct ph_block_store *store, struct ph_run *run);
void ph_run_release(struct ph_block_store *store, struct ph_run *run);
void ph_run_shrink(struct ph_block_store *store, struct ph_run *run,
		   unsigned long nr_pages);
int ph_run_grow(struct ph_block_store *store, struct ph_run *run,
		unsigned long nr_pages);
void ph_run_forget(struct ph_block_store *store, struct ph_run *run);

/* span.c */
int ph_class_init(void);
void ph_class_exit(void);
void ph_class_disown(struct ph_block_store *store);
struct ph_run *ph_span_add(struct ph_block_store *store, unsigned int class);
struct ph_run *ph_span_find_larger(struct ph_block_store *store,
				   unsigned int class, unsigned long align);
void ph_span_emptied(struct ph_block_store *store, struct ph_run *run);
void ph_span_detach(struct ph_block_store *store, struct ph_run *run);
bool ph_span_trim(struct ph_block_store *store);
void ph_span_drop(struct ph_block_store *store);

/* guard.c */
struct ph_run *ph_guard_add(struct ph_block_store *store,
			    const struct ph_guard_request *request);
void ph_guard_release(struct ph_block_store *store, struct ph_run *run);
void ph_guard_retire(struct ph_block_store *store, struct ph_run *run,
		     u64 cookie);
void ph_guard_forget(struct ph_block_store *store, struct ph_run *run);

/**
 * ph_meta_alloc - allocate and count memory for metadata
 * @store: the heap's blocks
 * @bytes: how much
 *
 * Context: May sleep.
 * Return: zeroed memory, or NULL.
 */
static inline void *ph_meta_alloc(struct ph_block_store *store, size_t bytes)
{
	void *meta = kzalloc(bytes, PH_GFP_META);

	if (meta)
		store->nr_meta_bytes += kmalloc_size_roundup(bytes);
	return meta;
}

/**
 * ph_meta_free - the mirror of ph_meta_alloc()
 * @store: the heap's blocks
 * @meta: from ph_meta_alloc()
 * @bytes: as there
 *
 * Context: May not sleep.
 */
static inline void ph_meta_free(struct ph_block_store *store, void *meta,
				size_t bytes)
{
	store->nr_meta_bytes -= kmalloc_size_roundup(bytes);
	kfree(meta);
}

/**
 * ph_map_get - look a page up in the page map
 * @region: the region
 * @page: number of any of its pages
 *
 * Context: May not sleep.
 * Return: the run that the page belongs to; NULL if it has no entry, see the
 * invariant in block.h.
 */
static inline struct ph_run *ph_map_get(struct ph_block_region *region,
					unsigned long page)
{
	struct ph_run **leaf;

	if (likely(page / PH_LEAF_PAGES == region->hot_index))
		return region->hot_leaf[page % PH_LEAF_PAGES];
	leaf = ph_map_load_leaf(region, page / PH_LEAF_PAGES);
	return leaf ? leaf[page % PH_LEAF_PAGES] : NULL;
}

/* Number of the first page of a run. */
static inline unsigned long ph_run_first(const struct ph_run *run)
{
	return (run->start - run->region->base) >> PAGE_SHIFT;
}

/* Number of the page behind a run. */
static inline unsigned long ph_run_end(const struct ph_run *run)
{
	return ph_run_first(run) + run->nr_pages;
}

/* Length of a run. */
static inline unsigned long ph_run_bytes(const struct ph_run *run)
{
	return run->nr_pages << PAGE_SHIFT;
}

/**
 * ph_class_of - choose a size class
 * @bytes: size of a block, at most PH_SLOT_MAX_BYTES
 *
 * Context: May not sleep.
 * Return: the class.
 */
static inline unsigned int ph_class_of(unsigned long bytes)
{
	unsigned int order;

	if (bytes)
		bytes--;
	if (bytes < 128)
		return bytes / 16;
	order = __fls(bytes);
	return 8 + 4 * (order - 7) + ((bytes >> (order - 2)) & 3);
}

/**
 * ph_class_find - choose a size class whose slots are aligned
 * @bytes: size of a block
 * @align: alignment of its address, a power of two
 *
 * Context: May not sleep.
 * Return: the class, or PH_NR_CLASSES for a large block.
 */
static inline unsigned int ph_class_find(unsigned long bytes,
					 unsigned long align)
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

/* Are the sizes in spans of a class an array of u8? */
static inline bool ph_class_has_byte_sizes(unsigned int class)
{
	return class < PH_NR_BYTE_CLASSES;
}

/* The requested size of the block in a slot. */
static inline unsigned long ph_slot_bytes(const struct ph_run *run,
					  unsigned int slot)
{
	void *sizes = (void *)run->span + run->span->sizes;

	if (ph_class_has_byte_sizes(run->class))
		return ((u8 *)sizes)[slot];
	return ((u16 *)sizes)[slot];
}

/* Notes the requested size of the block in a slot down. */
static inline void ph_slot_set_bytes(struct ph_run *run, unsigned int slot,
				     unsigned long bytes)
{
	void *sizes = (void *)run->span + run->span->sizes;

	if (ph_class_has_byte_sizes(run->class))
		((u8 *)sizes)[slot] = bytes;
	else
		((u16 *)sizes)[slot] = bytes;
}

/* Does a slot hold no block? */
static inline bool ph_slot_is_free(const struct ph_run *run, unsigned int slot)
{
	return test_bit(slot, run->span->free);
}

/**
 * ph_slot_at - find the slot that an address in a span belongs to
 * @run: the span
 * @addr: the address
 *
 * This is offset / slot_bytes: the reciprocal is less than 1 too large, so the
 * product, before the shift, is too large by less than the offset; to reach the
 * next slot, it would have to be 2^32 / slot_bytes, and offsets are below 2^17,
 * slots no longer than 2^14.
 *
 * Context: May not sleep.
 * Return: the slot, past the last one for an address behind that.
 */
static inline unsigned int ph_slot_at(const struct ph_run *run,
				      unsigned long addr)
{
	u64 offset = addr - run->start;

	return offset * ph_classes[run->class].reciprocal >> 32;
}

/**
 * ph_slot_take - use a free slot of a span
 * @store: the heap's blocks
 * @run: the span, which has one
 * @bytes: requested size of the block
 *
 * Context: May not sleep.
 * Return: the address of the slot.
 */
static __always_inline unsigned long
ph_slot_take(struct ph_block_store *store, struct ph_run *run,
	     unsigned long bytes)
{
	struct ph_class_state *state = &store->classes->states[run->class];
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

/**
 * ph_slot_put - free a slot
 * @store: the heap's blocks
 * @run: the span
 * @slot: the slot; run->bytes does not count it any more
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
static inline void ph_slot_put(struct ph_block_store *store,
			       struct ph_run *run, unsigned int slot)
{
	struct ph_span *span = run->span;
	unsigned int word = slot / BITS_PER_LONG;

	span->free[word] |= BIT(slot % BITS_PER_LONG);
	if (word < span->hint)
		span->hint = word;
	if (!span->nr_free++)
		list_add(&run->node, &store->classes->states[run->class].partial);
	if (span->nr_free == span->nr_slots)
		ph_span_emptied(store, run);
}

#endif /* _PRIVHEAP_BLOCK_INTERNAL_H */
