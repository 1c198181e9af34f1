/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tally: how many faults there were in a heap, what they did, how long they took.
 *
 * A fault is counted in the chunk that it happens in, under the chunk's lock,
 * which it holds anyway: threads that share no page share no counter. There are
 * many chunks, so their counters are small, and carry over to the heap's. Times
 * are counted by CPU. This is the part that runs in a fault, for fault.c.
 */
#ifndef _PRIVHEAP_TALLY_H
#define _PRIVHEAP_TALLY_H

#include <linux/jump_label.h>
#include <linux/log2.h>

#include "internal.h"

/**
 * struct ph_touch - what a fault did
 * @source: enum privheap_source, of the page that was touched
 * @nr_pages: how many pages got memory
 * @start_ns: when it began, by local_clock(); 0 if nobody wants to know
 * @latency_ns: how long it took; 0 if that is not known
 */
struct ph_touch {
	u32 source;
	u32 nr_pages;
	u64 start_ns;
	u64 latency_ns;
};

DECLARE_STATIC_KEY_FALSE(ph_tally_times);

void ph_tally_time(struct ph_heap *heap, struct ph_touch *touch);
void ph_tally_add(struct ph_heap *heap, unsigned int index, unsigned int nr);

/* Pages that got memory, as a power of two, rounded up; 0 also for none. */
static inline unsigned int ph_touch_order(const struct ph_touch *touch)
{
	return touch->nr_pages > 1 ? ilog2(touch->nr_pages - 1) + 1 : 0;
}

/* The place of a counter. */
static inline unsigned int ph_tally_index(unsigned int source,
					  unsigned int order)
{
	return source * PH_NR_ORDERS + order;
}

/**
 * ph_tally_count_locked - count a fault that was served
 * @heap: in this heap
 * @chunk: in this chunk
 * @touch: what it did
 *
 * Context: Caller holds the chunk's lock.
 */
static inline void ph_tally_count_locked(struct ph_heap *heap,
					 struct ph_chunk *chunk,
					 const struct ph_touch *touch)
{
	unsigned int i = ph_tally_index(touch->source, ph_touch_order(touch));

	lockdep_assert_held(&chunk->lock);
	if (unlikely(!++chunk->tally[i]))
		ph_tally_add(heap, i, U8_MAX + 1);
}

#endif /* _PRIVHEAP_TALLY_H */
