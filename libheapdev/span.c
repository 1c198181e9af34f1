// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Spans: pages that the kernel gives and takes back whole, cut into slots of one class.
 *
 * A slot is free in its span, which is what is known here; in a cache; or a block. The
 * caller holds the front end.
 */
#include <errno.h>
#include <string.h>

#include "frontend.h"

/* Spans grow up to this, or eight slots. */
#define SPAN_GROW_BYTES		(64UL << 10)

struct hd_class hd_classes[HD_NR_CLASSES];

/* Size classes */

static uint32_t class_slot_bytes(unsigned int class)
{
	if (class < 8)
		return 16 * (class + 1);
	return (9 + class % 8) << (4 + (class - 8) / 8);
}

/* What is too short for a slot at the end of a span. */
static size_t class_tail_bytes(const struct hd_class *class, size_t pages)
{
	return pages * hd_page_bytes % class->slot_bytes;
}

static void class_init(struct hd_class *class, uint32_t slot_bytes)
{
	size_t pages = 1, max;

	class->slot_bytes = slot_bytes;
	/* At most an eighth of a span may be too short for a slot. */
	while (class_tail_bytes(class, pages) > pages * hd_page_bytes / 8)
		pages++;
	class->base_pages = class->max_pages = pages;
	max = SPAN_GROW_BYTES > 8 * slot_bytes ? SPAN_GROW_BYTES :
						 8 * slot_bytes;
	/* The longest of those of which least is. */
	for (; pages <= max / hd_page_bytes; pages++)
		if (class_tail_bytes(class, pages) * class->max_pages <=
		    class_tail_bytes(class, class->max_pages) * pages)
			class->max_pages = pages;
}

/* Spans */

static void list_add(struct hd_span **list, struct hd_span *span)
{
	span->prev = NULL;
	span->next = *list;
	if (*list)
		(*list)->prev = span;
	*list = span;
}

static void list_del(struct hd_span **list, struct hd_span *span)
{
	if (span->prev)
		span->prev->next = span->next;
	else
		*list = span->next;
	if (span->next)
		span->next->prev = span->prev;
}

/* Which list a span with a free slot and a block is on. */
static struct hd_span **partial_list(struct hd_front *front,
				     const struct hd_span *span)
{
	return span->owner ? &span->owner->partial[span->class] :
			     &front->partial[span->class];
}

static size_t span_words(uint32_t nr_slots)
{
	return (nr_slots + 63) / 64;
}

/* Where in a descriptor the bits are: behind the states. */
static size_t span_free_offset(uint32_t nr_slots)
{
	return (sizeof(struct hd_span) + nr_slots * sizeof(uint16_t) + 7) /
	       8 * 8;
}

static size_t span_meta_bytes(uint32_t nr_slots)
{
	return span_free_offset(nr_slots) + span_words(nr_slots) * 8;
}

static void span_free_all(struct hd_span *span)
{
	uint32_t i;

	for (i = 0; i < span->nr_slots / 64; i++)
		span->free[i] = UINT64_MAX;
	if (span->nr_slots % 64)
		span->free[i] = (1ULL << span->nr_slots % 64) - 1;
	span->nr_free = span->nr_slots;
}

/* Each step makes twice as many bits right; of an odd number, three are already. */
static uint64_t inverse_of(uint64_t odd)
{
	uint64_t inverse = odd;
	int bits;

	for (bits = 3; bits < 64; bits *= 2)
		inverse *= 2 - odd * inverse;
	return inverse;
}

static void span_set_owner(struct hd_span *span, struct hd_cache *owner)
{
	if (owner)
		span->bin = &owner->bins[span->class];
	__atomic_store_n(&span->owner, owner, __ATOMIC_RELEASE);
}

/* Of the cache that asked for it. */
static struct hd_span *span_describe(const struct hd_hold *hold,
				     unsigned int class, uintptr_t base,
				     size_t bytes)
{
	uint32_t slot_bytes = hd_classes[class].slot_bytes;
	uint32_t nr_slots = bytes / slot_bytes;
	struct hd_span *span = hd_arena_alloc(span_meta_bytes(nr_slots));

	if (!span)
		return NULL;
	span->base = base;
	span->bytes = bytes;
	span->handle = hold->heap->handle;
	span->class = class;
	span->slot_bytes = slot_bytes;
	span->shift = __builtin_ctz(slot_bytes);
	span->inverse = inverse_of(slot_bytes >> span->shift);
	span->nr_slots = nr_slots;
	span_set_owner(span, hold->cache);
	span->free = (void *)((char *)span + span_free_offset(nr_slots));
	span_free_all(span);
	return span;
}

/* Enters a span that has no block. */
static void span_insert(struct hd_front *front, struct hd_span *span)
{
	span->next_all = front->spans;
	span->prev_all = NULL;
	if (front->spans)
		front->spans->prev_all = span;
	front->spans = span;
	front->class_bytes[span->class] += span->bytes;
	front->span_bytes += span->bytes;
	if (front->span_bytes > front->peak_bytes)
		front->peak_bytes = front->span_bytes;
	list_add(partial_list(front, span), span);
	hd_map_set(span->base, span->bytes, span);
}

/* Takes a span without a block out, that is on no list. */
void hd_span_remove(struct hd_front *front, struct hd_span *span)
{
	if (span->prev_all)
		span->prev_all->next_all = span->next_all;
	else
		front->spans = span->next_all;
	if (span->next_all)
		span->next_all->prev_all = span->prev_all;
	front->class_bytes[span->class] -= span->bytes;
	front->span_bytes -= span->bytes;
	hd_map_set(span->base, span->bytes, NULL);
	hd_arena_free(span, span_meta_bytes(span->nr_slots));
}

static int span_create(struct hd_hold *hold, uint64_t id, unsigned int class,
		       size_t nr_pages)
{
	struct hd_front *front = hold->front;
	size_t bytes = nr_pages * hd_page_bytes;
	struct hd_span *span;
	uintptr_t base;
	int err;

	err = hd_backend_take(id, nr_pages, &base, &front->near, &hold->scopes);
	if (err)
		return err;
	span = hd_map_reserve(base) && hd_map_reserve(base + bytes - 1) ?
	       span_describe(hold, class, base, bytes) : NULL;
	if (!span) {
		hd_backend_give(id, &base, 1);
		return -ENOMEM;
	}
	span_insert(front, span);
	return 0;
}

/* Adds a span, longer ones the more the class has. */
int hd_span_add(struct hd_hold *hold, uint64_t id, unsigned int class)
{
	const struct hd_class *c = &hd_classes[class];
	struct hd_front *front = hold->front;
	size_t pages = front->class_bytes[class] / 4 / hd_page_bytes;
	int err;

	pages = pages / c->base_pages * c->base_pages;
	if (pages < c->base_pages)
		pages = c->base_pages;
	if (pages > c->max_pages)
		pages = c->max_pages;
	err = span_create(hold, id, class, pages);
	if (err && pages > c->base_pages)
		err = span_create(hold, id, class, c->base_pages);
	return err;
}

static void empty_add(struct hd_front *front, struct hd_span *span)
{
	list_add(&front->empty[span->class], span);
	front->empty_bytes += span->bytes;
}

static void empty_del(struct hd_front *front, struct hd_span *span)
{
	list_del(&front->empty[span->class], span);
	front->empty_bytes -= span->bytes;
}

/* Gives empty spans back until @keep_bytes are left. */
bool hd_span_give_empty(struct hd_front *front, uint64_t id, size_t keep_bytes)
{
	unsigned int nr = 0, class = HD_NR_CLASSES;
	uintptr_t bases[HD_BATCH_ENTRIES];
	struct hd_span *span;
	bool any = false;

	/* Large ones first: there is more to be had for a call. */
	while (class--) {
		while ((span = front->empty[class]) &&
		       front->empty_bytes > keep_bytes) {
			empty_del(front, span);
			bases[nr++] = span->base;
			hd_span_remove(front, span);
			any = true;
			if (nr < HD_BATCH_ENTRIES)
				continue;
			hd_backend_give(id, bases, nr);
			nr = 0;
		}
	}
	if (nr)
		hd_backend_give(id, bases, nr);
	return any;
}

/* Does no block reach into these bytes of a span, and no slot of a cache? */
static bool span_is_free(const struct hd_span *span, size_t from, size_t to)
{
	size_t i, end = (to - 1) / span->slot_bytes + 1;

	for (i = from / span->slot_bytes; i < end && i < span->nr_slots; i++)
		if (!(span->free[i / 64] >> i % 64 & 1))
			return false;
	return true;
}

/* The first pages of a span, at or after @from, that hold nothing. */
static struct hd_pages span_free_pages(const struct hd_span *span, size_t from)
{
	size_t page = hd_page_bytes, to;

	while (from < span->bytes && !span_is_free(span, from, from + page))
		from += page;
	to = from;
	while (to < span->bytes && span_is_free(span, to, to + page))
		to += page;
	return (struct hd_pages) { .base = span->base + from, .bytes = to - from };
}

/* Pages that are on their way to the kernel. */
struct drop {
	uint64_t id;
	struct hd_pages pages[HD_BATCH_ENTRIES];
	unsigned int nr;
};

static void drop_send(struct drop *drop)
{
	hd_backend_drop(drop->id, drop->pages, drop->nr);
	drop->nr = 0;
}

static void drop_add(struct drop *drop, const struct hd_span *span)
{
	struct hd_pages pages = span_free_pages(span, 0);

	while (pages.bytes) {
		drop->pages[drop->nr++] = pages;
		if (drop->nr == HD_BATCH_ENTRIES)
			drop_send(drop);
		pages = span_free_pages(span, pages.base + pages.bytes -
					      span->base);
	}
}

/* Takes the memory of all pages away that hold nothing. */
void hd_span_drop(const struct hd_front *front, uint64_t id)
{
	struct drop drop = { .id = id };
	const struct hd_span *span;

	for (span = front->spans; span; span = span->next_all)
		if (span->nr_free && span->nr_free < span->nr_slots)
			drop_add(&drop, span);
	if (drop.nr)
		drop_send(&drop);
}

/* Puts a slot back into its span. */
void hd_span_put_slot(struct hd_front *front, const struct hd_slot *slot)
{
	struct hd_span *span = hd_front_span(slot->block);
	size_t i;

	if (!span)	/* only if somebody has written to what is not his */
		return;
	i = slot->state - span->states;
	if (i >= span->nr_slots || span->free[i / 64] >> i % 64 & 1)
		return;
	span->free[i / 64] |= 1ULL << i % 64;
	if (!span->nr_free++)
		list_add(partial_list(front, span), span);
	if (span->nr_free == span->nr_slots) {
		list_del(partial_list(front, span), span);
		empty_add(front, span);
	}
}

/* Takes up to @want free slots of a span; those with lower addresses on top. */
size_t hd_span_take_slots(struct hd_front *front, struct hd_bin *bin,
			  struct hd_span *span, size_t want)
{
	size_t taken = want < span->nr_free ? want : span->nr_free, i;
	uint64_t *end = span->free + span_words(span->nr_slots);
	struct hd_slot *slot = bin->top + taken;
	uint64_t *free = span->free, bits;

	for (bits = *free; slot > bin->top; bits &= bits - 1) {
		while (!bits && free < end - 1) {
			*free++ = 0;
			bits = *free;
		}
		if (!bits)
			break;
		i = (free - span->free) * 64 + __builtin_ctzl(bits);
		slot->block = (void *)(span->base + i * span->slot_bytes);
		slot->state = &span->states[i];
		slot--;
	}
	*free = bits;
	/* Fewer only if somebody has written to what is not his. */
	if (slot > bin->top) {
		span->nr_free = taken -= slot - bin->top;
		memmove(bin->top + 1, slot + 1, taken * sizeof(*slot));
	}
	bin->top += taken;
	span->nr_free -= taken;
	if (!span->nr_free)
		list_del(partial_list(front, span), span);
	return taken;
}

/* In no call of its thread may the owner be one at first, and then the other. */
static void span_pass(struct hd_front *front, struct hd_span *span,
		      struct hd_cache *to)
{
	struct hd_cache *from = span->owner;

	hd_cache_stop(front, from);
	span_set_owner(span, to);
	hd_cache_go(front, from);
}

/* One that another thread has takes the time to stop that. */
static struct hd_span *find_empty(const struct hd_front *front,
				  const struct hd_cache *cache,
				  unsigned int class, bool any)
{
	struct hd_span *span;

	for (span = front->empty[class]; span; span = span->next)
		if (any || !span->owner || span->owner == cache ||
		    !span->owner->owned)
			return span;
	return NULL;
}

/*
 * Makes an empty span one that is used again, by a cache. What is everybody's stays
 * so: somebody may be about to find that a wrong pointer leads to no block.
 */
struct hd_span *hd_span_use_empty(struct hd_front *front, struct hd_cache *cache,
				  unsigned int class, bool any)
{
	struct hd_span *span = find_empty(front, cache, class, any);

	if (!span)
		return NULL;
	empty_del(front, span);
	if (span->owner && span->owner != cache)
		span_pass(front, span, cache);
	list_add(partial_list(front, span), span);
	return span;
}

/* Passes a span with a block on to another cache, or to all of them (NULL). */
void hd_span_pass(struct hd_front *front, struct hd_span *span,
		  struct hd_cache *to)
{
	if (span->nr_free)
		list_del(partial_list(front, span), span);
	span_pass(front, span, to);
	if (span->nr_free)
		list_add(partial_list(front, span), span);
}

/* Whatever they were, no slot is a block or in a cache any more. */
void hd_span_free_all(struct hd_front *front)
{
	struct hd_cache *cache;
	struct hd_span *span;

	for (cache = front->caches; cache; cache = cache->next)
		memset(cache->partial, 0, sizeof(cache->partial));
	memset(front->partial, 0, sizeof(front->partial));
	memset(front->empty, 0, sizeof(front->empty));
	front->empty_bytes = 0;
	for (span = front->spans; span; span = span->next_all) {
		if (span->nr_free < span->nr_slots) {
			memset(span->states, 0,
			       span->nr_slots * sizeof(*span->states));
			span_free_all(span);
		}
		empty_add(front, span);
	}
}

void hd_span_init(void)
{
	unsigned int i;

	for (i = 0; i < HD_NR_CLASSES; i++)
		class_init(&hd_classes[i], class_slot_bytes(i));
}
