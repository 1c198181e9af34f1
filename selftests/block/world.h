/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A world in which the bookkeeping of blocks is tested: regions, pages that can
 * be committed, and a plain model of the blocks that must be there.
 *
 * The model is a table by granule of 16 bytes: which live block has it. The
 * functions below make a call, check its result against the model, and bring
 * the model up to date.
 */
#ifndef _WORLD_H
#define _WORLD_H

#include "../../module/block.h"

#define WORLD_REGIONS	8U
#define WORLD_BLOCKS	110000U
#define WORLD_QUARANTINE	4096U

struct world;

/**
 * struct world_region - a region
 * @blocks: the bookkeeping under test
 * @world: where it is
 * @committed: 1 for a page that is committed
 * @owner: per granule the id of the block that has it, or 0
 * @holder: per page the id of the guarded block that it is kept for, or that of
 *	one in quarantine plus WORLD_FREED; or 0
 * @uses: per page its use as it was told, enum ph_run_kind; with WORLD_FIRST
 */
struct world_region {
	struct ph_block_region blocks;
	struct world *world;
	unsigned char *committed;
	unsigned int *owner;
	unsigned int *holder;
	unsigned char *uses;
};

/* The first page of a run that is not free. */
#define WORLD_FIRST	(1U << 7)
#define WORLD_FREED	(1U << 31)

/**
 * struct world_block - a block, live or in quarantine
 * @addr: where it starts
 * @bytes: its size
 * @region: where it is
  * @taken: it is no block, but a span that was taken
 * @guarded: it has a guard page,
 * @before: before it
 * @first: first page of its run, and
 * @nr_pages: how many, guard page included; both 0 if it is not guarded
 * @alloc_cookie: what was given
 * @free_cookie: what was given
 */
struct world_block {
	unsigned long addr;
	unsigned long bytes;
	struct world_region *region;
	bool guarded;
	bool before;
	unsigned long first;
	unsigned long nr_pages;
	u64 alloc_cookie;
	u64 free_cookie;
	bool taken;
};

/**
 * struct world - everything
 * @store: the bookkeeping under test
 * @regions: NULL where there is none
 * @blocks: live blocks and taken spans, in no order; the id of one is its
 *	index + 1
 * @nr_blocks: how many
 * @quarantine: the blocks in quarantine, a ring: id n is at n modulo its length
 * @first_freed: id of the oldest one
 * @end_freed: id of the next one
 * @quarantine_pages: of all of them
 * @next_cookie: different for each call
 * @nr_taken: how many of them are taken spans
 * @allocated_bytes: sum of the blocks' sizes
 * @taken_bytes: sum of the taken spans' lengths
 * @nr_committed: pages that are committed
 * @max_committed: more are refused with -EDQUOT
 * @fail_commit_nth: the n-th commit from now on fails; 0 for none
 * @fail_commit_again: with -EAGAIN, not -EINTR
 * @nr_dropped: pages that were dropped
 * @nr_refused: commits that failed
 * @refusal: how the last one of the call that runs did
 * @nr_full: how often there was no room
 * @meta_base: shim.alloc_bytes without any metadata
 */
struct world {
	struct ph_block_store store;
	struct world_region *regions[WORLD_REGIONS];
	struct world_block blocks[WORLD_BLOCKS];
	unsigned int nr_blocks;
	struct world_block quarantine[WORLD_QUARANTINE];
	unsigned int first_freed;
	unsigned int end_freed;
	unsigned long quarantine_pages;
	u64 next_cookie;
	unsigned int nr_taken;
	unsigned long allocated_bytes;
	unsigned long taken_bytes;
	unsigned long nr_committed;
	unsigned long max_committed;
	unsigned long fail_commit_nth;
	bool fail_commit_again;
	unsigned long nr_dropped;
	unsigned long nr_refused;
	int refusal;
	unsigned long nr_full;
	unsigned long meta_base;
};

struct world *world_create(void);
void world_destroy(struct world *world);

/* Adds a region of that many pages as number @i. */
int world_add_region(struct world *world, unsigned int i, unsigned long nr_pages,
		     bool dedicated);
/* Frees all of its blocks. */
void world_empty_region(struct world *world, unsigned int i);
/* Removes it, with its blocks. */
void world_remove_region(struct world *world, unsigned int i);

/* The new block is the last one; world_last() is its index. */
int world_alloc(struct world *world, unsigned long bytes, unsigned long align);
int world_alloc_dedicated(struct world *world, unsigned int region,
			  unsigned long bytes, unsigned long align);
int world_alloc_guarded(struct world *world, unsigned long bytes,
			unsigned long align, bool before);
int world_take(struct world *world, unsigned long nr_pages);
unsigned int world_last(struct world *world);
/* The index of the block at an address. */
unsigned int world_block_at(struct world *world, unsigned long addr);
/* Frees a block or gives a span back; the last one takes its index. */
void world_free(struct world *world, unsigned int i);
int world_resize(struct world *world, unsigned int i, unsigned long bytes);

/* The first step of a walk from @cursor, which must not be the end. */
struct ph_block_entry world_walk(struct world *world, unsigned int region,
				 unsigned long cursor);
/* How many steps a walk through a region takes. */
unsigned int world_count_entries(struct world *world, unsigned int region);
/* Lets the oldest block leave the quarantine; false if there is none. */
bool world_evict(struct world *world);
/* ph_block_find() in a region for any address, checked against the model. */
void world_find(struct world_region *region, unsigned long addr);
/* ph_block_describe() for an address in a region, checked against the model. */
void world_describe(struct world_region *region, unsigned long addr);
/* ph_block_give() for an address where no taken span starts. */
void world_give_wrong(struct world_region *region, unsigned long addr);
/* The quick checks; every call above ends with them. */
void world_check_sums(struct world *world);
/* Compares everything. */
void world_check(struct world *world);

#endif /* _WORLD_H */
