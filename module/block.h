/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks: which bytes of a heap's regions belong to which block.
 *
 * This is pure bookkeeping. It never touches the memory it manages, takes no
 * lock (the caller serialises all calls on one store) and knows nothing of
 * address spaces, pages' contents or limits: what it needs from those it asks
 * for through struct ph_block_ops. So it builds in user space too, where
 * selftests/block runs it against a plain model; there block_shim.h stands in
 * for the kernel's headers.
 *
 * Vocabulary. A *region* is a contiguous range of pages. A *run* is a range of
 * pages of one region with one use: free, a span, or a single block; the runs
 * of a region tile it without gaps. A *span* is a run cut into equal *slots*
 * of one size class. A *block* is a used slot, a *large block* of whole pages, or
 * a *guarded block*, which ends (or begins) at a page of its run that is never
 * committed; it has the requested size, which is exact, and a capacity. A
 * guarded block that was freed stays for a while in *quarantine*: its run holds
 * no memory, but is used for nothing else. A *taken* run is a span that the
 * program cuts itself, and of which no more is known here.
 *
 * Invariant. Every page of a span, and the first and the last page of every
 * other run, point to their run in the region's page map; all other entries are
 * NULL. So the run of an address and the neighbours of a run are found in
 * constant time, and two free runs are never neighbours.
 */
#ifndef _PRIVHEAP_BLOCK_H
#define _PRIVHEAP_BLOCK_H

#ifdef __KERNEL__
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>
#else
#include "block_shim.h"
#endif

/*
 * Metadata is charged to the memory cgroup of the program. It is allocated in
 * calls, which can report a failure: rather that than the OOM killer.
 */
#define PH_GFP_META	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Alignment of every block. */
#define PH_BLOCK_ALIGN		16UL
/* Largest alignment that can be asked for. */
#define PH_BLOCK_ALIGN_MAX	(1UL << 21)
/* Largest block cut from a span. */
#define PH_SLOT_MAX_BYTES	16384UL
/* 16-byte steps to 128, then four classes a doubling. */
#define PH_NR_CLASSES		36
/* Two bins a doubling of pages; the last one takes all longer runs. */
#define PH_NR_BINS		40

struct ph_run;
struct ph_span;
struct ph_block_region;

/**
 * struct ph_block_ops - what the bookkeeping needs from its surroundings
 * @commit: make pages @first .. @first + @nr - 1 of the region usable. Called
 *	for pages that are committed already, too. Returns 0 or a negative errno;
 *	then nothing has changed.
 * @decommit: the pages hold no block any more; cannot fail
 * @drop: the pages hold no block now, but stay committed; cannot fail
 * @mark: the pages have another use now, as ph_block_run_at() tells. Called for
 *	regions that are marked
 */
struct ph_block_ops {
	int (*commit)(struct ph_block_region *region, unsigned long first,
		      unsigned long nr);
	void (*decommit)(struct ph_block_region *region, unsigned long first,
			 unsigned long nr);
	void (*drop)(struct ph_block_region *region, unsigned long first,
		     unsigned long nr);
	void (*mark)(struct ph_block_region *region, unsigned long first,
		     unsigned long nr);
};

/**
 * struct ph_block_region - the bookkeeping of one region; embedded in its owner
 * @base: address of the first page (constant after ph_block_region_add())
 * @nr_pages: its length (constant)
 * @dedicated: holds one large block and nothing else; its free pages are not
 *	used for other blocks (constant)
 * @marked: somebody wants to know the uses of pages, see struct ph_block_ops (set
 *	by the caller)
 * @leaves: page map, by page number / 64: arrays of as many pointers to runs,
 *	or fewer if the region is shorter. There is a leaf where there is an
 *	entry; it is freed with its last one
 * @hot_leaf: the leaf that was looked up last, and
 * @hot_index: its index, or ULONG_MAX
 */
struct ph_block_region {
	unsigned long base;
	unsigned long nr_pages;
	bool dedicated;
	bool marked;
	struct xarray leaves;
	struct ph_run **hot_leaf;
	unsigned long hot_index;
};

/**
 * struct ph_class_state - the spans of one size class
 * @partial: spans with a free slot, the one to use first in front
 * @empty: the one span, if any, that is kept although no slot of it is used; it
 *	is on @partial, too
 * @nr_pages: pages of all spans of the class; decides the size of the next
 */
struct ph_class_state {
	struct list_head partial;
	struct ph_run *empty;
	unsigned long nr_pages;
};

/**
 * struct ph_class_table - the spans of a store
 * @states: by size class
 */
struct ph_class_table {
	struct ph_class_state states[PH_NR_CLASSES];
};

/**
 * struct ph_guard_request - a guarded block that is asked for
 * @bytes: its size, may be 0
 * @align: alignment of its address, a power of two, below PH_BLOCK_ALIGN too: the
 *	block ends at the guard page but for what this takes
 * @before: the guard page is before the block, and so the block starts at a page;
 *	@align is PAGE_SIZE at most
 * @cookie: kept with the block
 */
struct ph_guard_request {
	unsigned long bytes;
	unsigned long align;
	bool before;
	u64 cookie;
};

/**
 * struct ph_block_store - the blocks of one heap
 * @ops: see there
 * @growable: the caller answers -ENOSPC with another region. So it is told at
 *	once, before room in slots that are far too long is used up (set by the
 *	caller after ph_block_store_init())
 * @quarantine: runs of guarded blocks that were freed, the oldest one in front
 * @nr_quarantine_pages: of all of these runs
 * @max_quarantine_pages: the oldest ones leave when there would be more (set by
 *	the caller after ph_block_store_init())
 * @nr_blocks: live blocks
 * @allocated_bytes: sum of their requested sizes
 * @nr_taken_pages: pages of all taken runs
 * @nr_meta_bytes: memory held for runs, spans and leaves of page maps, as the
 *	slab allocator rounds it up
 * @classes: the spans; a table that all stores share until the first span is
 *	made, see ph_class_own()
 * @bins: free runs by length
 * @nonempty_bins: bit n is set when @bins[n] is not empty
 */
struct ph_block_store {
	const struct ph_block_ops *ops;
	bool growable;
	struct list_head quarantine;
	unsigned long nr_quarantine_pages;
	unsigned long max_quarantine_pages;
	u64 nr_blocks;
	u64 allocated_bytes;
	u64 nr_taken_pages;
	u64 nr_meta_bytes;
	struct ph_class_table *classes;
	u64 nonempty_bins;
	struct list_head bins[PH_NR_BINS];
};

/**
 * struct ph_block - a live block as ph_block_find() describes it
 * @addr: where it starts
 * @bytes: its requested size
 * @capacity: up to which size it can be resized without another page or slot
 * @run: its run
 * @slot: its slot, if the run is a span
 */
struct ph_block {
	unsigned long addr;
	unsigned long bytes;
	unsigned long capacity;
	struct ph_run *run;
	unsigned int slot;
};

/**
 * enum ph_block_state - what ph_block_describe() knows of an address
 * @PH_BLOCK_NONE: it belongs to no block
 * @PH_BLOCK_LIVE: to a live block, or to the guard page of one
 * @PH_BLOCK_FREED: to one in quarantine
 */
enum ph_block_state {
	PH_BLOCK_NONE,
	PH_BLOCK_LIVE,
	PH_BLOCK_FREED,
};

/**
 * struct ph_block_description - the block that an address belongs to
 * @state: is there one? If not, the rest is zero
 * @guarded: it is a guarded block; if not, there are no cookies
 * @addr: where it starts
 * @bytes: its requested size
 * @alloc_cookie: from when it was allocated
 * @free_cookie: from when it was freed
 */
struct ph_block_description {
	enum ph_block_state state;
	bool guarded;
	unsigned long addr;
	unsigned long bytes;
	u64 alloc_cookie;
	u64 free_cookie;
};

/**
 * enum ph_entry_kind - what ph_block_next() came across
 * @PH_ENTRY_BLOCK: a live block
 * @PH_ENTRY_FREE_SLOT: a slot of a span that holds no block
 * @PH_ENTRY_FREE_PAGES: a free run
 * @PH_ENTRY_QUARANTINE: the run of a block in quarantine
 * @PH_ENTRY_TAKEN: a taken run
 */
enum ph_entry_kind {
	PH_ENTRY_BLOCK,
	PH_ENTRY_FREE_SLOT,
	PH_ENTRY_FREE_PAGES,
	PH_ENTRY_QUARANTINE,
	PH_ENTRY_TAKEN,
};

/**
 * struct ph_block_entry - one step of a walk through a region
 * @kind: what it is
 * @addr: where it starts
 * @bytes: requested size of a block, else 0
 * @capacity: its length
 * @end: the walk goes on there; beyond @addr + @capacity, if a guard page follows
 */
struct ph_block_entry {
	enum ph_entry_kind kind;
	unsigned long addr;
	unsigned long bytes;
	unsigned long capacity;
	unsigned long end;
};

/**
 * enum ph_run_kind - the use of a run
 * @PH_RUN_FREE: none
 * @PH_RUN_SPAN: slots
 * @PH_RUN_LARGE: one large block
 * @PH_RUN_GUARDED: one block, and a page before or behind it that is never
 *	committed
 * @PH_RUN_QUARANTINED: the same after the block was freed; no page is committed
 * @PH_RUN_TAKEN: whatever the program makes of it
 */
enum ph_run_kind {
	PH_RUN_FREE,
	PH_RUN_SPAN,
	PH_RUN_LARGE,
	PH_RUN_GUARDED,
	PH_RUN_QUARANTINED,
	PH_RUN_TAKEN,
};

/**
 * struct ph_block_run - a run as ph_block_run_at() describes it
 * @start: address of its first page
 * @nr_pages: its length
 * @kind: its use; the rest is about spans, and 0 for others
 * @bytes: requested bytes of the blocks in it
 * @nr_blocks: how many there are
 * @nr_free: free slots
 * @slot_bytes: length of a slot
 * @class: size class
 */
struct ph_block_run {
	unsigned long start;
	unsigned long nr_pages;
	enum ph_run_kind kind;
	unsigned int class;
	unsigned int slot_bytes;
	unsigned int nr_blocks;
	unsigned int nr_free;
	unsigned long bytes;
};

int ph_block_cache_init(void);
void ph_block_cache_exit(void);

void ph_block_store_init(struct ph_block_store *store,
			 const struct ph_block_ops *ops);
void ph_block_store_exit(struct ph_block_store *store);

int ph_block_region_add(struct ph_block_store *store,
			struct ph_block_region *region, unsigned long base,
			unsigned long nr_pages, bool dedicated);
void ph_block_region_empty(struct ph_block_store *store,
			   struct ph_block_region *region);
void ph_block_region_remove(struct ph_block_store *store,
			    struct ph_block_region *region);

int ph_block_alloc(struct ph_block_store *store, unsigned long bytes,
		   unsigned long align, unsigned long *addr);
int ph_block_alloc_dedicated(struct ph_block_store *store,
			     struct ph_block_region *region,
			     unsigned long bytes, unsigned long align,
			     unsigned long *addr);
int ph_block_alloc_guarded(struct ph_block_store *store,
			   const struct ph_guard_request *request,
			   unsigned long *addr);
int ph_block_find(struct ph_block_region *region, unsigned long addr,
		  struct ph_block *block);
bool ph_block_is_guarded(const struct ph_block *block);
void ph_block_free_guarded(struct ph_block_store *store, struct ph_block *block,
			   u64 cookie);
void ph_block_cancel_guarded(struct ph_block_store *store,
			     struct ph_block *block);
bool ph_block_evict(struct ph_block_store *store);
void ph_block_free(struct ph_block_store *store, struct ph_block *block);
int ph_block_resize(struct ph_block_store *store, struct ph_block *block,
		    unsigned long bytes);
int ph_block_take(struct ph_block_store *store, unsigned long nr_pages,
		  unsigned long *addr);
int ph_block_give(struct ph_block_store *store,
		  struct ph_block_region *region, unsigned long addr);
int ph_block_drop(struct ph_block_store *store,
		  struct ph_block_region *region, unsigned long addr,
		  unsigned long nr_pages);
void ph_block_trim(struct ph_block_store *store);

void ph_block_describe(struct ph_block_region *region, unsigned long addr,
		       struct ph_block_description *description);
void ph_block_run_at(struct ph_block_region *region, unsigned long addr,
		     struct ph_block_run *found);
bool ph_block_page_is_free(struct ph_block_region *region, unsigned long addr);
int ph_block_next(struct ph_block_region *region, unsigned long cursor,
		  struct ph_block_entry *entry);

#ifndef __KERNEL__
void ph_block_check(struct ph_block_store *store,
		    struct ph_block_region **regions, unsigned int nr_regions);
#endif

#endif /* _PRIVHEAP_BLOCK_H */
