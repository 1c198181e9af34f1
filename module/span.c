// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spans: runs that are cut into slots of one size class.
 *
 * This file owns the table of size classes, struct ph_span, and each class's
 * list of spans with a free slot. What is done to one slot is inline in
 * block_internal.h, since most calls do nothing else. It must not know how pages
 * are found, which is run.c's matter, nor the sums that block.c keeps.
 *
 * Invariant: a span is on the list of its class exactly if it has a free slot,
 * and at most one span a class has free slots only.
 */
#ifdef __KERNEL__
#include <linux/bitmap.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#endif

#include "block_internal.h"

/*
 * Spans grow up to this. One bit and one byte a slot then fill what kmalloc()
 * rounds up to: 7/8 of a power of two times 9/8 is just below it.
 */
#define PH_SPAN_GROW_BYTES	(56UL << 10)

struct ph_class ph_classes[PH_NR_CLASSES] __ro_after_init;

/* Lists without spans, for all who have none; the table is longer than a heap. */
struct ph_class_table ph_no_spans __ro_after_init;

static struct kmem_cache *ph_class_cache;

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

static void __init ph_class_set(struct ph_class *class, u32 slot_bytes)
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

static void ph_class_table_init(struct ph_class_table *table)
{
	unsigned int i;

	for (i = 0; i < PH_NR_CLASSES; i++)
		INIT_LIST_HEAD(&table->states[i].partial);
}

/**
 * ph_class_init - fill the table of size classes
 *
 * Return: 0, or -ENOMEM.
 */
int __init ph_class_init(void)
{
	unsigned int i;

	for (i = 0; i < PH_NR_CLASSES; i++)
		ph_class_set(&ph_classes[i], ph_class_slot_bytes(i));
	ph_class_table_init(&ph_no_spans);
	ph_class_cache = KMEM_CACHE(ph_class_table, SLAB_ACCOUNT);
	return ph_class_cache ? 0 : -ENOMEM;
}

/**
 * ph_class_exit - the mirror of ph_class_init()
 */
void ph_class_exit(void)
{
	kmem_cache_destroy(ph_class_cache);
}

/* Gives a store lists of its own. */
static int ph_class_own(struct ph_block_store *store)
{
	struct ph_class_table *table;

	if (likely(store->classes != &ph_no_spans))
		return 0;
	table = kmem_cache_zalloc(ph_class_cache, PH_GFP_META);
	if (!table)
		return -ENOMEM;
	ph_class_table_init(table);
	store->classes = table;
	return 0;
}

/**
 * ph_class_disown - the mirror of ph_class_own()
 * @store: the heap's blocks, without spans
 */
void ph_class_disown(struct ph_block_store *store)
{
	if (store->classes != &ph_no_spans)
		kmem_cache_free(ph_class_cache, store->classes);
	store->classes = &ph_no_spans;
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
	struct ph_class_state *state = &store->classes->states[class];
	struct ph_span *span;
	struct ph_run *run;

	span = ph_span_alloc(store, class, nr_pages);
	if (!span)
		return ERR_PTR(-ENOMEM);
	run = ph_run_alloc(store, nr_pages, PAGE_SIZE, PH_GUARD_NONE);
	if (IS_ERR(run)) {
		ph_span_free(store, span, class);
		return run;
	}
	run->class = class;
	run->span = span;
	run->bytes = 0;
	ph_run_use(store, run, PH_RUN_SPAN);
	list_add(&run->node, &state->partial);
	state->nr_pages += nr_pages;
	return run;
}

/**
 * ph_span_detach - free what makes a run a span
 * @store: the heap's blocks
 * @run: the span; its pages stay in use
 *
 * Context: May not sleep.
 */
void ph_span_detach(struct ph_block_store *store, struct ph_run *run)
{
	struct ph_class_state *state = &store->classes->states[run->class];

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

/**
 * ph_span_emptied - the last block of a span was freed
 * @store: the heap's blocks
 * @run: the span
 *
 * One such span a class is kept, behind the other partial ones, so that a program
 * which keeps allocating and freeing one block does not make and release a span
 * each time.
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 */
void ph_span_emptied(struct ph_block_store *store, struct ph_run *run)
{
	struct ph_class_state *state = &store->classes->states[run->class];

	if (state->empty) {
		ph_span_release(store, run);
		return;
	}
	state->empty = run;
	if (!list_is_last(&run->node, &state->partial))
		list_move_tail(&run->node, &state->partial);
}

/**
 * ph_span_trim - release the spans that are kept empty
 * @store: the heap's blocks
 *
 * Context: May sleep if ops->decommit() does. Allocates nothing.
 * Return: true if there were any.
 */
bool ph_span_trim(struct ph_block_store *store)
{
	struct ph_class_state *state;
	bool any = false;

	for (state = store->classes->states;
	     state < store->classes->states + PH_NR_CLASSES; state++) {
		if (!state->empty)
			continue;
		ph_span_release(store, state->empty);
		any = true;
	}
	return any;
}

/* Does no block reach into a page of a span? */
static bool ph_span_page_is_free(const struct ph_run *run, unsigned long page)
{
	unsigned long addr = run->start + (page << PAGE_SHIFT);
	unsigned int end, nr_slots = run->span->nr_slots;

	end = min(ph_slot_at(run, addr + PAGE_SIZE - 1) + 1, nr_slots);
	return find_next_zero_bit(run->span->free, end, ph_slot_at(run, addr)) >=
	       end;
}

static void ph_span_drop_run(struct ph_block_store *store, struct ph_run *run)
{
	unsigned long first = ph_run_first(run), lo = 0, hi;

	for (; lo < run->nr_pages; lo = hi + 1) {
		for (hi = lo; hi < run->nr_pages; hi++) {
			if (!ph_span_page_is_free(run, hi))
				break;
		}
		if (hi > lo)
			store->ops->drop(run->region, first + lo, hi - lo);
	}
}

/**
 * ph_span_drop - drop the pages of all spans that hold no block
 * @store: the heap's blocks
 *
 * Context: May sleep. Allocates nothing.
 */
void ph_span_drop(struct ph_block_store *store)
{
	struct ph_class_state *state;
	struct ph_run *run;

	for (state = store->classes->states;
	     state < store->classes->states + PH_NR_CLASSES; state++) {
		list_for_each_entry(run, &state->partial, node) {
			ph_span_drop_run(store, run);
			cond_resched();
		}
	}
}

/* A class takes more pages at a time the more it has. */
static unsigned long ph_span_pages(struct ph_block_store *store,
				   unsigned int class)
{
	unsigned long base = ph_classes[class].base_pages;
	unsigned long max = ph_classes[class].max_pages;

	return clamp(rounddown(store->classes->states[class].nr_pages / 4, base), base, max);
}

/**
 * ph_span_add - make a span, as long as can be had
 * @store: the heap's blocks
 * @class: its class
 *
 * Context: May sleep.
 * Return: the span, or an error, see ph_run_alloc(); then no block has changed,
 * but empty spans may be gone.
 */
struct ph_run *ph_span_add(struct ph_block_store *store, unsigned int class)
{
	unsigned long base = ph_classes[class].base_pages;
	unsigned long nr_pages = ph_span_pages(store, class);
	struct ph_run *run;

	if (ph_class_own(store))
		return ERR_PTR(-ENOMEM);
	run = ph_span_create(store, class, nr_pages);
	if (ph_error_is_shortage(PTR_ERR_OR_ZERO(run)) && nr_pages > base)
		run = ph_span_create(store, class, base);
	if (ph_error_is_shortage(PTR_ERR_OR_ZERO(run)) && ph_span_trim(store))
		run = ph_span_create(store, class, base);
	return run;
}

/**
 * ph_span_find_larger - find a free slot that is longer than need be
 * @store: the heap's blocks
 * @class: the class that would fit
 * @align: alignment of the slot
 *
 * Context: May not sleep.
 * Return: a span of a larger class with a free slot, or NULL.
 */
struct ph_run *ph_span_find_larger(struct ph_block_store *store,
				   unsigned int class, unsigned long align)
{
	struct ph_class_state *states = store->classes->states;

	while (++class < PH_NR_CLASSES) {
		if (IS_ALIGNED(ph_classes[class].slot_bytes, align) &&
		    !list_empty(&states[class].partial))
			return list_first_entry(&states[class].partial,
						struct ph_run, node);
	}
	return NULL;
}
