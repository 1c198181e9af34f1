// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bookkeeping, and what a test can only check from inside of it: that the
 * structures agree with each other in every detail.
 */
#include "../../module/run.c"
#include "../../module/guard.c"
#include "../../module/span.c"
#include "../../module/block_describe.c"
#include "../../module/block.c"

#include "block_check.h"

#define CHECK(condition)	((void)WARN_ON_ONCE(!(condition)))

/* What is found on the way through the regions, to be compared with the store. */
struct totals {
	u64 nr_blocks;
	u64 allocated_bytes;
	u64 nr_taken_pages;
	u64 nr_meta_bytes;
	unsigned long nr_binned;
	unsigned long nr_quarantined;
	unsigned long nr_quarantine_pages;
	unsigned long nr_partial[PH_NR_CLASSES];
	unsigned long nr_pages[PH_NR_CLASSES];
	struct ph_run *empty[PH_NR_CLASSES];
};

static void check_slots(const struct ph_run *run)
{
	const struct ph_span *span = run->span;
	unsigned long bytes = 0;
	unsigned int slot, nr_free = 0;

	for (slot = 0; slot < span->nr_slots; slot++) {
		if (ph_slot_is_free(run, slot)) {
			CHECK(slot / BITS_PER_LONG >= span->hint);
			nr_free++;
			continue;
		}
		CHECK(ph_slot_bytes(run, slot) <=
		      ph_classes[run->class].slot_bytes);
		bytes += ph_slot_bytes(run, slot);
	}
	for (; slot % BITS_PER_LONG; slot++)
		CHECK(!ph_slot_is_free(run, slot));
	CHECK(nr_free == span->nr_free);
	CHECK(bytes == run->bytes);
}

static void check_span(struct ph_run *run, struct totals *totals)
{
	const struct ph_class *class = &ph_classes[run->class];
	const struct ph_span *span = run->span;
	unsigned long page;

	CHECK(run->class < PH_NR_CLASSES);
	CHECK(run->nr_pages % class->base_pages == 0);
	CHECK(run->nr_pages <= class->max_pages);
	CHECK(span->nr_slots == ph_run_bytes(run) / class->slot_bytes);
	check_slots(run);
	for (page = ph_run_first(run); page < ph_run_end(run); page++)
		CHECK(ph_map_get(run->region, page) == run);

	totals->nr_blocks += span->nr_slots - span->nr_free;
	totals->nr_meta_bytes +=
		kmalloc_size_roundup(ph_span_bytes(run->class, span->nr_slots));
	totals->nr_partial[run->class] += span->nr_free > 0;
	totals->nr_pages[run->class] += run->nr_pages;
	if (span->nr_free == span->nr_slots) {
		CHECK(!totals->empty[run->class]);
		totals->empty[run->class] = run;
	}
}

/* A block lies in its run, beside the guard page. */
static void check_guard(const struct ph_run *run, struct totals *totals)
{
	const struct ph_guard *guard = run->guard;
	unsigned long end = run->start + ph_run_bytes(run);

	CHECK(!run->region->dedicated);
	CHECK(run->nr_pages >= 2);
	if (guard->side == PH_GUARD_BEFORE) {
		CHECK(guard->addr == run->start + PAGE_SIZE);
		CHECK(run->bytes <= end - guard->addr);
	} else {
		CHECK(guard->side == PH_GUARD_BEHIND);
		CHECK(guard->addr >= run->start);
		CHECK(guard->addr + run->bytes <= end - PAGE_SIZE);
	}
	totals->nr_meta_bytes += kmalloc_size_roundup(sizeof(*guard));
}

static void check_run(struct ph_run *run, struct totals *totals)
{
	struct ph_run *next = ph_run_next(run);

	CHECK(run->nr_pages);
	CHECK(ph_map_get(run->region, ph_run_end(run) - 1) == run);
	totals->nr_meta_bytes += sizeof(*run);
	switch (run->kind) {
	case PH_RUN_FREE:
		CHECK(!next || next->kind != PH_RUN_FREE);
		totals->nr_binned += !run->region->dedicated;
		break;
	case PH_RUN_SPAN:
		CHECK(!run->region->dedicated);
		check_span(run, totals);
		totals->allocated_bytes += run->bytes;
		break;
	case PH_RUN_LARGE:
		CHECK(run->nr_pages >= ph_large_pages(run->bytes));
		totals->nr_blocks++;
		totals->allocated_bytes += run->bytes;
		break;
	case PH_RUN_GUARDED:
		check_guard(run, totals);
		totals->nr_blocks++;
		totals->allocated_bytes += run->bytes;
		break;
	case PH_RUN_QUARANTINED:
		check_guard(run, totals);
		totals->nr_quarantined++;
		totals->nr_quarantine_pages += run->nr_pages;
		break;
	case PH_RUN_TAKEN:
		CHECK(!run->region->dedicated);
		totals->nr_taken_pages += run->nr_pages;
		break;
	default:
		CHECK(false);
	}
}

/* No entry but those that the invariant asks for, and no leaf without one. */
static void check_map(struct ph_block_region *region, struct totals *totals)
{
	unsigned long index, i, page, nr_entries;
	struct ph_run **leaf, *run;

	if (region->hot_index != ULONG_MAX)
		CHECK(xa_load(&region->leaves, region->hot_index) ==
		      region->hot_leaf);
	xa_for_each(&region->leaves, index, leaf) {
		nr_entries = 0;
		for (i = 0; i < ph_leaf_bytes(region) / sizeof(*leaf); i++) {
			run = leaf[i];
			if (!run)
				continue;
			page = index * PH_LEAF_PAGES + i;
			CHECK(run->region == region);
			CHECK(page >= ph_run_first(run) && page < ph_run_end(run));
			CHECK(run->kind == PH_RUN_SPAN ||
			      page == ph_run_first(run) ||
			      page == ph_run_end(run) - 1);
			nr_entries++;
		}
		CHECK(nr_entries);
		totals->nr_meta_bytes +=
			kmalloc_size_roundup(ph_leaf_bytes(region));
	}
}

static void check_region(struct ph_block_region *region, struct totals *totals)
{
	unsigned long page = 0;
	struct ph_run *run;

	while (page < region->nr_pages) {
		run = ph_map_get(region, page);
		CHECK(run && run->region == region && ph_run_first(run) == page);
		check_run(run, totals);
		page = ph_run_end(run);
	}
	CHECK(page == region->nr_pages);
	check_map(region, totals);
}

static void check_bins(struct ph_block_store *store, const struct totals *totals)
{
	unsigned long nr_binned = 0;
	struct ph_run *run;
	unsigned int bin;

	for (bin = 0; bin < PH_NR_BINS; bin++) {
		CHECK(list_empty(&store->bins[bin]) ==
		      !(store->nonempty_bins & BIT_ULL(bin)));
		list_for_each_entry(run, &store->bins[bin], node) {
			CHECK(run->kind == PH_RUN_FREE);
			CHECK(ph_bin_of(run->nr_pages) == bin);
			CHECK(!run->region->dedicated);
			nr_binned++;
		}
	}
	CHECK(nr_binned == totals->nr_binned);
	CHECK(!(store->nonempty_bins >> PH_NR_BINS));
}

static void check_quarantine(struct ph_block_store *store,
			     const struct totals *totals)
{
	unsigned long nr_quarantined = 0;
	struct ph_run *run;

	list_for_each_entry(run, &store->quarantine, node) {
		CHECK(run->kind == PH_RUN_QUARANTINED);
		nr_quarantined++;
	}
	CHECK(nr_quarantined == totals->nr_quarantined);
	CHECK(store->nr_quarantine_pages == totals->nr_quarantine_pages);
	CHECK(store->nr_quarantine_pages <= store->max_quarantine_pages);
}

static void check_class(struct ph_block_store *store, unsigned int class,
			const struct totals *totals)
{
	struct ph_class_state *state = &store->classes->states[class];
	unsigned long nr_partial = 0;
	struct ph_run *run;

	list_for_each_entry(run, &state->partial, node) {
		CHECK(run->kind == PH_RUN_SPAN && run->class == class);
		CHECK(run->span->nr_free);
		nr_partial++;
	}
	CHECK(nr_partial == totals->nr_partial[class]);
	CHECK(state->nr_pages == totals->nr_pages[class]);
	CHECK(state->empty == totals->empty[class]);
}

unsigned long check_class_bytes(const struct ph_block_store *store)
{
	return store->classes == &ph_no_spans ? 0 :
	       kmalloc_size_roundup(sizeof(*store->classes));
}

void ph_block_check(struct ph_block_store *store,
		    struct ph_block_region **regions, unsigned int nr_regions)
{
	struct totals totals = {};
	unsigned int i;

	for (i = 0; i < nr_regions; i++)
		check_region(regions[i], &totals);
	check_bins(store, &totals);
	check_quarantine(store, &totals);
	for (i = 0; i < PH_NR_CLASSES; i++)
		check_class(store, i, &totals);
	CHECK(store->nr_blocks == totals.nr_blocks);
	CHECK(store->allocated_bytes == totals.allocated_bytes);
	CHECK(store->nr_taken_pages == totals.nr_taken_pages);
	CHECK(store->nr_meta_bytes == totals.nr_meta_bytes);
}

/* Is page @page of a run to be committed? */
static bool check_is_used(const struct ph_run *run, unsigned long page)
{
	switch (run->kind) {
	case PH_RUN_FREE:
	case PH_RUN_QUARANTINED:
		return false;
	case PH_RUN_GUARDED:
		return page != (run->guard->side == PH_GUARD_BEFORE ?
				ph_run_first(run) : ph_run_end(run) - 1);
	default:
		return true;
	}
}

void check_pages(struct ph_block_region *region, const unsigned char *committed)
{
	unsigned long page = 0, i;
	struct ph_run *run;

	for (; page < region->nr_pages; page = ph_run_end(run)) {
		run = ph_map_get(region, page);
		for (i = page; i < ph_run_end(run); i++)
			CHECK(committed[i] == check_is_used(run, i));
	}
}

void check_classes(void)
{
	struct ph_class *class;
	unsigned long bytes, i = 0;

	for (bytes = 0; bytes <= PH_SLOT_MAX_BYTES; bytes++) {
		if (bytes > ph_classes[i].slot_bytes)
			i++;
		CHECK(i < PH_NR_CLASSES);
		CHECK(bytes <= ph_classes[i].slot_bytes);
		CHECK(ph_class_of(bytes) == i);
	}
	CHECK(i == PH_NR_CLASSES - 1);
	for (i = 0; i < PH_NR_CLASSES; i++) {
		class = &ph_classes[i];
		bytes = class->base_pages * PAGE_SIZE;
		CHECK(class->slot_bytes % PH_BLOCK_ALIGN == 0);
		CHECK(class->slot_bytes <= U8_MAX || !ph_class_has_byte_sizes(i));
		CHECK(bytes % class->slot_bytes <= bytes / 8);
		CHECK(class->max_pages % class->base_pages == 0);
		CHECK(class->max_pages >= class->base_pages);
		CHECK(class->max_pages <= PH_LEAF_PAGES);
		CHECK(class->max_pages * PAGE_SIZE <= max(bytes, 64UL << 10));
	}
}

void check_bins_of_lengths(void)
{
	unsigned long n;

	CHECK(ph_bin_of(1) == 0);
	for (n = 1; n < 1UL << 21; n++) {
		CHECK(ph_bin_of(n) <= ph_bin_of(n + 1));
		CHECK(ph_bin_of(n) < PH_NR_BINS);
	}
	for (n = 2; n < 1UL << 20; n *= 2) {
		CHECK(ph_bin_of(n - 1) < ph_bin_of(n));
		CHECK(ph_bin_of(n + n / 2 - 1) < ph_bin_of(n + n / 2));
	}
	CHECK(ph_bin_of(ULONG_MAX) == PH_NR_BINS - 1);
}

void check_slot_at(void)
{
	unsigned long offset, slot_bytes, end;
	struct ph_run run = {};

	for (run.class = 0; run.class < PH_NR_CLASSES; run.class++) {
		slot_bytes = ph_classes[run.class].slot_bytes;
		/* A walk asks for the first slot behind an address, too. */
		end = ph_classes[run.class].max_pages * PAGE_SIZE + slot_bytes;
		for (offset = 0; offset < end; offset++)
			CHECK(ph_slot_at(&run, offset) == offset / slot_bytes);
	}
}

unsigned long check_span_bytes(unsigned long bytes, bool grown)
{
	const struct ph_class *class = &ph_classes[ph_class_of(bytes)];

	return (grown ? class->max_pages : class->base_pages) * PAGE_SIZE;
}

unsigned long check_slot_bytes(unsigned long bytes)
{
	return ph_classes[ph_class_of(bytes)].slot_bytes;
}
