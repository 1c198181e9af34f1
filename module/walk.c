// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks: what is in a heap, entry by entry.
 *
 * A walk keeps no state between calls. The caller passes the last entry back,
 * and from that the place to go on is found: a region and an address in it. The
 * blocks tell what follows; a free run of which some pages are committed, and some
 * are not, makes several entries.
 */
#include "internal.h"

/**
 * struct ph_walk_place - where a walk is
 * @region: the region, or NULL at the end
 * @cursor: address of what is looked at next; 0 before the region's own entry
 */
struct ph_walk_place {
	struct ph_region *region;
	unsigned long cursor;
};

/* The next region of the same sort after @region, or after the list's head. */
static struct ph_region *ph_walk_next_region(struct ph_heap *heap,
					     struct ph_region *region,
					     bool dedicated)
{
	region = region ?: list_entry(&heap->regions, struct ph_region, node);
	list_for_each_entry_continue(region, &heap->regions, node) {
		if (region->blocks.dedicated == dedicated)
			return region;
	}
	return NULL;
}

static void ph_walk_leave_region(struct ph_heap *heap,
				 struct ph_walk_place *place)
{
	bool dedicated = place->region->blocks.dedicated;

	place->region = ph_walk_next_region(heap, place->region, dedicated);
	if (!place->region && !dedicated)
		place->region = ph_walk_next_region(heap, NULL, true);
	place->cursor = 0;
}

static void ph_walk_describe_region(struct ph_region *region,
				    struct privheap_entry *entry)
{
	entry->kind = PRIVHEAP_ENTRY_REGION;
	entry->addr = region->blocks.base;
	entry->bytes = (u64)region->blocks.nr_pages << PAGE_SHIFT;
	entry->capacity_bytes = (u64)ph_commit_count(region) << PAGE_SHIFT;
}

/* Extends a free slot over the free slots of the same length that follow. */
static void ph_walk_merge_slots(struct ph_region *region,
				struct ph_block_entry *found)
{
	unsigned long slot_bytes = found->capacity;
	struct ph_block_entry next;

	while (!ph_block_next(&region->blocks, found->end, &next) &&
	       next.kind == PH_ENTRY_FREE_SLOT && next.capacity == slot_bytes &&
	       next.addr == found->end)
		found->end = next.end;
	found->capacity = found->end - found->addr;
}

/* Describes free pages from @addr on, as far as they are all committed, or none. */
static void ph_walk_describe_pages(struct ph_region *region, unsigned long addr,
				   unsigned long end,
				   struct privheap_entry *entry)
{
	unsigned long base = region->blocks.base;
	unsigned long border = (end - base) >> PAGE_SHIFT;
	bool committed;

	committed = ph_commit_stretch(region, (addr - base) >> PAGE_SHIFT, &border);
	entry->kind = committed ? PRIVHEAP_ENTRY_FREE : PRIVHEAP_ENTRY_RESERVED;
	entry->addr = addr;
	entry->bytes = base + (border << PAGE_SHIFT) - addr;
	entry->capacity_bytes = entry->bytes;
}

static void ph_walk_describe(struct ph_region *region,
			     struct ph_block_entry *found,
			     struct privheap_entry *entry)
{
	entry->addr = found->addr;
	switch (found->kind) {
	case PH_ENTRY_BLOCK:
		entry->kind = PRIVHEAP_ENTRY_BLOCK;
		entry->bytes = found->bytes;
		entry->capacity_bytes = found->capacity;
		break;
	case PH_ENTRY_FREE_SLOT:
		ph_walk_merge_slots(region, found);
		entry->kind = PRIVHEAP_ENTRY_FREE;
		entry->bytes = found->capacity;
		entry->capacity_bytes = found->capacity;
		break;
	case PH_ENTRY_TAKEN:
		entry->kind = PRIVHEAP_ENTRY_TAKEN;
		entry->bytes = found->capacity;
		entry->capacity_bytes = found->capacity;
		break;
	case PH_ENTRY_FREE_PAGES:
	case PH_ENTRY_QUARANTINE:
		ph_walk_describe_pages(region, found->addr, found->end, entry);
		found->end = entry->addr + entry->bytes;
		break;
	}
}

/* Describes what is at the place's cursor or follows it in the same region. */
static bool ph_walk_look(struct ph_walk_place *place,
			 struct privheap_entry *entry)
{
	struct ph_region *region = place->region;
	struct ph_block_entry found;

	do {
		if (ph_block_next(&region->blocks, place->cursor, &found))
			return false;
		place->cursor = found.end;
		/* Beside its block, a region of its own holds nothing of interest. */
	} while (region->blocks.dedicated && found.kind != PH_ENTRY_BLOCK);
	ph_walk_describe(region, &found, entry);
	place->cursor = found.end;
	return true;
}

/* What follows in the middle of a free run, of which a part was listed before. */
static bool ph_walk_look_on(struct ph_walk_place *place,
			    struct privheap_entry *entry)
{
	struct ph_block_region *blocks = &place->region->blocks;
	unsigned long end = blocks->base + (blocks->nr_pages << PAGE_SHIFT);
	struct ph_block_entry next;

	if (blocks->dedicated || place->cursor <= blocks->base ||
	    place->cursor >= end || !PAGE_ALIGNED(place->cursor) ||
	    !ph_block_page_is_free(blocks, place->cursor))
		return false;
	if (!ph_block_next(blocks, place->cursor, &next))
		end = next.addr;
	if (end == place->cursor)
		return false;
	ph_walk_describe_pages(place->region, place->cursor, end, entry);
	place->cursor += entry->bytes;
	return true;
}

/* One step: describes the next entry and moves the place behind it. */
static bool ph_walk_step(struct ph_heap *heap, struct ph_walk_place *place,
			 struct privheap_entry *entry)
{
	while (place->region) {
		entry->region = place->region->number;
		if (!place->cursor && !place->region->blocks.dedicated) {
			ph_walk_describe_region(place->region, entry);
			place->cursor = entry->addr;
			return true;
		}
		if (ph_walk_look_on(place, entry) ||
		    ph_walk_look(place, entry))
			return true;
		ph_walk_leave_region(heap, place);
	}
	return false;
}

/* Finds the place behind the entry that the caller passed back. */
static int ph_walk_resume(struct ph_heap *heap, const struct privheap_walk *arg,
			  struct ph_walk_place *place)
{
	struct privheap_entry entry = {};

	if (!arg->after_kind) {
		place->region = heap->first;
		place->cursor = 0;
		return 0;
	}
	place->region = ph_heap_find_region(heap, arg->after_addr);
	if (!place->region)
		return -ENOENT;
	if (arg->after_kind == PRIVHEAP_ENTRY_REGION) {
		place->cursor = 0;
		if (place->region->blocks.dedicated)
			return -ENOENT;
		ph_walk_step(heap, place, &entry);
	} else {
		place->cursor = arg->after_addr;
		if (!ph_walk_look_on(place, &entry))
			ph_walk_look(place, &entry);
	}
	return entry.addr == arg->after_addr && entry.kind == arg->after_kind ?
	       0 : -ENOENT;
}

/**
 * ph_walk - list entries of a heap
 * @heap: which
 * @arg: the call
 * @entries: zeroed; receives them
 * @nr_entries: how many there is room for
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: how many were filled, 0 at the end; -ENOENT when there is no such entry
 * to go on from; -ENXIO, -EIDRM.
 */
int ph_walk(struct ph_heap *heap, struct privheap_walk *arg,
	    struct privheap_entry *entries, unsigned int nr_entries)
{
	struct ph_walk_place place;
	unsigned int nr = 0;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_walk_resume(heap, arg, &place);
	if (!err) {
		while (nr < nr_entries &&
		       ph_walk_step(heap, &place, &entries[nr]))
			nr++;
	}
	mutex_unlock(&heap->lock);
	return err ?: nr;
}

/**
 * ph_walk_largest_free - find the largest committed range that holds no block
 * @heap: which
 *
 * Context: Caller holds ph_heap.lock.
 * Return: its length in bytes, 0 if there is none.
 */
unsigned long ph_walk_largest_free(struct ph_heap *heap)
{
	struct ph_walk_place place = { .region = heap->first };
	struct privheap_entry entry;
	unsigned long largest = 0;

	lockdep_assert_held(&heap->lock);
	while (ph_walk_step(heap, &place, &entry)) {
		if (entry.kind == PRIVHEAP_ENTRY_FREE)
			largest = max_t(unsigned long, largest, entry.bytes);
		cond_resched();
	}
	return largest;
}
