// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptions: what there is at an address, be it a live block or not.
 *
 * They are for those who show a heap, walk through it, or ask about any page or
 * address of it; a call on a live block finds that with ph_block_find() of block.c.
 * This file knows all kinds of runs, but owns none, and changes nothing.
 */
#ifdef __KERNEL__
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/string.h>
#endif

#include "block_internal.h"

static void ph_slot_describe(const struct ph_run *run, unsigned long addr,
			     struct ph_block_description *description)
{
	unsigned int slot = ph_slot_at(run, addr);

	if (slot >= run->span->nr_slots || ph_slot_is_free(run, slot))
		return;
	description->state = PH_BLOCK_LIVE;
	description->addr = run->start + slot * ph_classes[run->class].slot_bytes;
	description->bytes = ph_slot_bytes(run, slot);
}

/**
 * ph_block_describe - find the block that an address belongs to
 * @region: the region that the address is in
 * @addr: any address in it; pages around a guarded block belong to that
 * @description: receives what is known
 *
 * Context: May not sleep. The caller serialises this like any change.
 */
void ph_block_describe(struct ph_block_region *region, unsigned long addr,
		       struct ph_block_description *description)
{
	struct ph_run *run = ph_map_seek(region,
					 (addr - region->base) >> PAGE_SHIFT);

	memset(description, 0, sizeof(*description));
	switch (run->kind) {
	case PH_RUN_SPAN:
		ph_slot_describe(run, addr, description);
		break;
	case PH_RUN_LARGE:
		description->state = PH_BLOCK_LIVE;
		description->addr = run->start;
		description->bytes = run->bytes;
		break;
	case PH_RUN_GUARDED:
	case PH_RUN_QUARANTINED:
		description->state = run->kind == PH_RUN_GUARDED ?
				     PH_BLOCK_LIVE : PH_BLOCK_FREED;
		description->guarded = true;
		description->addr = run->guard->addr;
		description->bytes = run->bytes;
		description->alloc_cookie = run->guard->alloc_cookie;
		description->free_cookie = run->guard->free_cookie;
		break;
	}
}

/**
 * ph_block_run_at - describe the run that an address lies in
 * @region: the region
 * @addr: any address in it
 * @found: receives the description
 *
 * Context: May not sleep. The caller serialises this like any change.
 */
void ph_block_run_at(struct ph_block_region *region, unsigned long addr,
		     struct ph_block_run *found)
{
	struct ph_run *run = ph_map_seek(region,
					 (addr - region->base) >> PAGE_SHIFT);

	*found = (struct ph_block_run){
		.start = run->start,
		.nr_pages = run->nr_pages,
		.kind = run->kind,
	};
	if (run->kind != PH_RUN_SPAN)
		return;
	found->bytes = run->bytes;
	found->class = run->class;
	found->slot_bytes = ph_classes[run->class].slot_bytes;
	found->nr_free = run->span->nr_free;
	found->nr_blocks = run->span->nr_slots - run->span->nr_free;
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

/* Describes the first slot at or after @cursor, if there is one. */
static bool ph_entry_describe_slot(struct ph_run *run, unsigned long cursor,
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
	entry->end = entry->addr + slot_bytes;
	if (ph_slot_is_free(run, slot)) {
		entry->kind = PH_ENTRY_FREE_SLOT;
		entry->bytes = 0;
	} else {
		entry->kind = PH_ENTRY_BLOCK;
		entry->bytes = ph_slot_bytes(run, slot);
	}
	return true;
}

static bool ph_entry_describe(struct ph_run *run, unsigned long cursor,
			      struct ph_block_entry *entry)
{
	if (run->kind == PH_RUN_SPAN)
		return ph_entry_describe_slot(run, cursor, entry);
	entry->kind = PH_ENTRY_BLOCK;
	entry->addr = run->start;
	entry->bytes = run->bytes;
	entry->capacity = ph_run_bytes(run);
	entry->end = run->start + ph_run_bytes(run);
	switch (run->kind) {
	case PH_RUN_FREE:
		entry->kind = PH_ENTRY_FREE_PAGES;
		entry->bytes = 0;
		break;
	case PH_RUN_TAKEN:
		entry->kind = PH_ENTRY_TAKEN;
		entry->bytes = 0;
		break;
	case PH_RUN_QUARANTINED:
		entry->kind = PH_ENTRY_QUARANTINE;
		entry->bytes = 0;
		break;
	case PH_RUN_GUARDED:
		entry->addr = run->guard->addr;
		entry->capacity = run->bytes;
		break;
	}
	return cursor <= entry->addr;
}

/**
 * ph_block_next - walk through a region by address
 * @region: the region
 * @cursor: where to start, any address; 0 for the first step
 * @entry: receives the first block, free slot, or run without a block that starts
 *	at or after @cursor
 *
 * Going on at @entry->end the whole walk takes linear time.
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
		if (ph_entry_describe(run, cursor, entry))
			return 0;
		cursor = run->start + ph_run_bytes(run);
	}
}
