// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The front end: blocks of up to 16 KiB without a system call.
 *
 * This file has what the rest of the library asks of it; what is left to the kernel
 * goes there. frontend.h has the objects, and what a call does that finds all it
 * needs in its cache; cache.c has the caches, of which a thread has one for each heap
 * that it uses, and the locks; span.c has the spans, and arena.c the memory for all
 * that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend.h"

/* Spans that hold no block and are kept: so much, or an eighth of all. */
#define EMPTY_MIN_BYTES		(128UL << 10)
/*
 * So much may have been in the spans of a heap that is kept for another use: of what it
 * gave back the kernel may keep some for it.
 */
#define KEEP_MAX_BYTES		(512UL << 10)
/* A fixed heap that is smaller goes without. */
#define FIXED_MIN_BYTES		(1UL << 20)

static bool enabled;

/* How much may be kept in spans without a block. */
static size_t empty_bound(const struct hd_front *front)
{
	size_t share = front->span_bytes / 8;

	if (front->near)
		return 0;
	return share > EMPTY_MIN_BYTES ? share : EMPTY_MIN_BYTES;
}

/* Only what is in a span of the heap is worth holding the front end for. */
static struct hd_span *span_of_heap(const struct hd_heap *heap,
				    const void *block)
{
	struct hd_span *span = hd_front_span(block);

	return span && span->handle == heap->handle ? span : NULL;
}

/* The state of a block; its span may only go while the front end is held. */
static _Atomic uint16_t *find_state(const struct hd_heap *heap,
				    const void *block, struct hd_span **span)
{
	*span = span_of_heap(heap, block);
	return *span ? hd_span_state(*span, block) : NULL;
}

bool hd_front_has_block(const struct hd_heap *heap, const void *address)
{
	struct hd_span *span = span_of_heap(heap, address);
	_Atomic uint16_t *state = span ? hd_span_state(span, address) : NULL;

	return state && atomic_load_explicit(state, memory_order_relaxed);
}

/*
 * The state of a block that the caller is about to change; NULL if there is none. Its
 * span is the caller's then, or everybody's.
 */
static _Atomic uint16_t *find_live_state(const struct hd_hold *hold,
					 const void *block, struct hd_span **span)
{
	_Atomic uint16_t *state = find_state(hold->heap, block, span);

	if (!state || !atomic_load_explicit(state, memory_order_relaxed))
		return NULL;
	if ((*span)->owner && (*span)->owner != hold->cache)
		hd_span_pass(hold->front, *span, NULL);
	return state;
}

bool hd_front_alloc_slow(const struct hd_ref *ref, size_t bytes, void **block,
			 DWORD *scopes)
{
	unsigned int class;
	struct hd_hold hold;
	bool near;

	if (!enabled || ref->heap->front.off || bytes > HD_FRONT_MAX_BYTES ||
	    !hd_front_hold_cache(&hold, ref))
		return false;
	class = hd_front_class(bytes);
	*block = hd_cache_pop(hold.cache, class, bytes);
	if (!*block && !hd_bin_fill(&hold, ref->id, class))
		*block = hd_cache_pop(hold.cache, class, bytes);
	if (hold.scopes)
		*scopes = hold.scopes;
	near = hold.front->near;
	hd_front_release(&hold);
	if (near)
		hd_heap_drop_kept();
	return *block;
}

/* Takes a free slot into the cache, or, where there is none, back into its span. */
static void keep_slot(const struct hd_hold *hold, unsigned int class,
		      const struct hd_slot *slot)
{
	if (hold->cache)
		hd_cache_push(hold->front, hold->cache, class, slot);
	else
		hd_span_put_slot(hold->front, slot);
}

/* Whose counts the call changes; any will do, and where there is a span there is one. */
static struct privheap_counters *counters_of(const struct hd_hold *hold)
{
	return &(hold->cache ? hold->cache : hold->front->caches)->counters;
}

bool hd_front_free_slow(const struct hd_ref *ref, void *block)
{
	_Atomic uint16_t *state;
	struct hd_span *span;
	struct hd_hold hold;
	unsigned int old = 0;
	bool too_many;

	if (!span_of_heap(ref->heap, block) || !hd_front_hold_any(&hold, ref))
		return false;
	state = find_live_state(&hold, block, &span);
	if (state)
		old = hd_state_take(state, false);
	if (old) {
		keep_slot(&hold, span->class, &(struct hd_slot){
			.block = block, .state = state,
		});
		counters_of(&hold)->nr_blocks--;
		counters_of(&hold)->allocated_bytes -= hd_state_bytes(old);
	}
	too_many = hold.front->empty_bytes > empty_bound(hold.front);
	hd_front_release(&hold);
	if (too_many)
		hd_front_trim(ref, false);
	return old;
}

/* The program has unmapped memory of the heap. */
static bool is_dead(const struct hd_front *front)
{
	const struct hd_cache *cache = front->caches;

	return cache && hd_cache_key(cache) == PRIVHEAP_COUNTERS_DEAD;
}

bool hd_front_size(const struct hd_ref *ref, const void *block, size_t *bytes)
{
	_Atomic uint16_t *state;
	struct hd_span *span;
	unsigned int value = 0;
	struct hd_hold hold;

	if (!span_of_heap(ref->heap, block) || !hd_front_hold(&hold, ref, false))
		return false;
	state = find_state(ref->heap, block, &span);
	if (state && !is_dead(hold.front))
		value = atomic_load_explicit(state, memory_order_relaxed);
	hd_front_release(&hold);
	*bytes = hd_state_bytes(value);
	return value;
}

/* Resizes a block in its slot; false if it has to move or is none. */
bool hd_front_resize(const struct hd_ref *ref, void *block, size_t old_bytes,
		     size_t bytes)
{
	uint16_t old = hd_state_of_bytes(old_bytes);
	_Atomic uint16_t *state;
	struct hd_span *span;
	struct hd_hold hold;
	bool done;

	if (!hd_front_hold_any(&hold, ref))
		return false;
	state = find_live_state(&hold, block, &span);
	/* If another thread frees it right now, it is not resized. */
	done = state && bytes <= span->slot_bytes &&
	       atomic_compare_exchange_strong_explicit(state, &old,
						       hd_state_of_bytes(bytes),
						       memory_order_acq_rel,
						       memory_order_relaxed);
	if (done)
		counters_of(&hold)->allocated_bytes += bytes - old_bytes;
	hd_front_release(&hold);
	return done;
}

/* Gives back as hd_front_trim(); of a heap that is @locked nothing. */
static bool trim(const struct hd_ref *ref, bool caches, bool even_locked)
{
	struct hd_front *front = &ref->heap->front;
	struct hd_cache *cache;
	struct hd_hold hold;
	bool any = false;
	unsigned int i;

	if (!enabled || !front->caches || !hd_front_hold(&hold, ref, true))
		return false;
	if (!front->locked || even_locked) {
		for (cache = front->caches; caches && cache; cache = cache->next)
			for (i = 0; i < HD_NR_CLASSES; i++)
				hd_bin_drain(front, &cache->bins[i], SIZE_MAX);
		any = hd_span_give_empty(front, ref->id, caches ? 0 :
					 empty_bound(front) / 2);
	}
	hd_front_release(&hold);
	return any;
}

static void drop(const struct hd_ref *ref)
{
	struct hd_hold hold;

	if (!enabled || !ref->heap->front.caches ||
	    !hd_front_hold(&hold, ref, true))
		return;
	hd_span_drop(hold.front, ref->id);
	hd_front_release(&hold);
}

bool hd_front_trim(const struct hd_ref *ref, bool caches)
{
	bool any;

	if (caches)
		hd_heap_drop_kept();
	any = trim(ref, caches, true);
	if (caches)
		drop(ref);
	return any;
}

/* What a call that fails knows while it asks the other heaps. */
struct search {
	const struct hd_heap *own;
	bool any;
};

static bool trim_other(struct hd_heap *heap, void *arg)
{
	struct search *search = arg;
	struct hd_ref ref = {
		.heap = heap,
		.life = atomic_load_explicit(&heap->life, memory_order_acquire),
		.id = atomic_load_explicit(&heap->id, memory_order_acquire),
		.heap_flags = atomic_load_explicit(&heap->flags,
						   memory_order_relaxed),
	};

	if (heap != search->own && ref.id)
		search->any |= trim(&ref, true, false);
	return false;
}

/* Is it the heap's own limit that leaves no room for so much? */
static bool is_full(const struct hd_ref *ref, size_t bytes)
{
	HEAPDEV_LIMITS limits = { .HardBytes = 0 };
	size_t most;

	if (hd_backend_limit(ref->id, 0, &limits) ||
	    limits.HardBytes > SIZE_MAX - limits.GraceBytes)
		return false;
	most = limits.HardBytes + limits.GraceBytes;
	if (bytes < hd_page_bytes)
		bytes = hd_page_bytes;
	return limits.UsageBytes > most || most - limits.UsageBytes < bytes;
}

bool hd_front_make_room(const struct hd_ref *ref, size_t bytes, int err)
{
	struct search search = { .own = ref->heap };

	if (err != -ENOSPC && err != -EDQUOT && err != -ENOMEM)
		return false;
	search.any = trim(ref, true, true);
	/* What other heaps give back is no help to one that is full itself. */
	if (!search.any && err != -ENOSPC &&
	    !(err == -EDQUOT && is_full(ref, bytes))) {
		search.any = hd_heap_drop_kept();
		hd_heap_search(trim_other, &search);
	}
	return search.any;
}

/* The kernel has taken all spans back, and written to the keys. */
static void forget_spans(struct hd_front *front)
{
	struct hd_cache *cache;
	unsigned int i;

	while (front->spans)
		hd_span_remove(front, front->spans);
	hd_span_free_all(front);
	for (cache = front->caches; cache; cache = cache->next) {
		for (i = 0; i < HD_NR_CLASSES; i++)
			cache->bins[i].top = cache->bins[i].base;
		hd_cache_change_key(cache, PRIVHEAP_COUNTERS_RESET,
				    front->nr_closers ? HD_KEY_CLOSED :
				    (uintptr_t)cache->heap->handle);
	}
}

int hd_front_reset_heap(const struct hd_ref *ref, size_t keep_bytes)
{
	struct hd_hold hold;
	int err;

	if (!enabled || !ref->heap->front.caches)
		return hd_backend_reset(ref->id, keep_bytes);
	if (!hd_front_hold(&hold, ref, true))
		return -ENXIO;
	err = hd_backend_reset(ref->id, keep_bytes);
	if (!err)
		forget_spans(hold.front);
	hd_front_release(&hold);
	return err;
}

/* The longest run of slots of a span without a block. */
static size_t span_largest_free(const struct hd_span *span)
{
	size_t run = 0, largest = 0;
	uint32_t i;

	for (i = 0; i < span->nr_slots; i++) {
		run = atomic_load_explicit(&span->states[i],
					   memory_order_relaxed) ? 0 : run + 1;
		if (run > largest)
			largest = run;
	}
	return largest * span->slot_bytes;
}

size_t hd_front_largest_free(const struct hd_ref *ref)
{
	size_t largest = 0, bytes;
	struct hd_span *span;
	struct hd_hold hold;

	if (!enabled || !ref->heap->front.caches ||
	    !hd_front_hold(&hold, ref, true))
		return 0;
	for (span = hold.front->spans; span; span = span->next_all) {
		bytes = span_largest_free(span);
		if (bytes > largest)
			largest = bytes;
	}
	hd_front_release(&hold);
	return largest;
}

/* Walking */

static void describe_slots(const struct hd_span *span, uint32_t i,
			   struct privheap_entry *entry)
{
	unsigned int state = atomic_load_explicit(&span->states[i],
						  memory_order_relaxed);
	uint32_t end = i + 1;

	if (!state)
		while (end < span->nr_slots &&
		       !atomic_load_explicit(&span->states[end],
					     memory_order_relaxed))
			end++;
	*entry = (struct privheap_entry) {
		.addr = span->base + (size_t)i * span->slot_bytes,
		.capacity_bytes = (size_t)(end - i) * span->slot_bytes,
		.kind = state ? PRIVHEAP_ENTRY_BLOCK : PRIVHEAP_ENTRY_FREE,
		.region = span->region,
	};
	entry->bytes = state ? hd_state_bytes(state) : entry->capacity_bytes;
}

/* Is this entry, that the program passed back, one of the span's? */
static bool is_entry(const struct hd_span *span,
		     const struct privheap_entry *after, uint32_t *next)
{
	struct privheap_entry entry;
	size_t offset = after->addr - span->base;
	uint32_t i = offset / span->slot_bytes;

	if (offset % span->slot_bytes || i >= span->nr_slots)
		return false;
	describe_slots(span, i, &entry);
	*next = i + entry.capacity_bytes / span->slot_bytes;
	return entry.kind == after->kind;
}

/* One step. A walk comes by a span's own entry, which tells the region. */
static int walk_step(const struct hd_ref *ref, const struct privheap_entry *after,
		     struct privheap_entry *entry)
{
	struct hd_span *span = NULL;
	uint32_t i = 0;
	int count;

	if (after->kind && after->kind != PRIVHEAP_ENTRY_REGION)
		span = span_of_heap(ref->heap, (void *)after->addr);
	if (span) {
		if (!is_entry(span, after, &i))
			return -ENOENT;
		if (i < span->nr_slots) {
			describe_slots(span, i, entry);
			return 1;
		}
		*entry = (struct privheap_entry) {
			.addr = span->base, .kind = PRIVHEAP_ENTRY_TAKEN,
		};
	} else {
		*entry = *after;
	}
	count = hd_backend_walk(ref->id, entry, entry, 1);
	if (count <= 0 || entry->kind != PRIVHEAP_ENTRY_TAKEN)
		return count;
	span = span_of_heap(ref->heap, (void *)entry->addr);
	if (span) {
		span->region = entry->region;
		describe_slots(span, 0, entry);
	} else {	/* not taken by this library */
		entry->kind = PRIVHEAP_ENTRY_FREE;
	}
	return 1;
}

int hd_front_walk(const struct hd_ref *ref, const struct privheap_entry *after,
		  struct privheap_entry *entries, unsigned int nr_entries)
{
	struct privheap_entry last = *after;
	unsigned int nr = 0;
	struct hd_hold hold;
	int count = 1;

	if (!enabled || !ref->heap->front.caches)
		return hd_backend_walk(ref->id, after, entries, nr_entries);
	if (!hd_front_hold(&hold, ref, true))
		return -ENXIO;
	while (nr < nr_entries && count > 0) {
		count = walk_step(ref, &last, &entries[nr]);
		if (count > 0)
			last = entries[nr++];
	}
	hd_front_release(&hold);
	return nr ? (int)nr : count;
}

int hd_front_stat(const struct hd_ref *ref, struct hd_usage *usage)
{
	struct hd_hold hold;
	int err;

	if (!enabled || !ref->heap->front.caches)
		return hd_backend_stat(ref->id, usage);
	if (!hd_front_hold(&hold, ref, true))
		return -ENXIO;
	err = hd_backend_stat(ref->id, usage);
	hd_front_release(&hold);
	return err;
}

/* Checking */

static bool span_is_sound(const struct hd_heap *heap, const struct hd_span *span)
{
	uint32_t i, nr_free = 0;
	unsigned int state;
	bool free;

	if (span->handle != heap->handle || span->class >= HD_NR_CLASSES ||
	    span->slot_bytes != hd_classes[span->class].slot_bytes ||
	    span->nr_slots != span->bytes / span->slot_bytes ||
	    hd_front_span((void *)span->base) != span)
		return false;
	for (i = 0; i < span->nr_slots; i++) {
		state = atomic_load_explicit(&span->states[i],
					     memory_order_relaxed);
		free = span->free[i / 64] >> i % 64 & 1;
		if (hd_state_bytes(state) > span->slot_bytes || (free && state))
			return false;
		nr_free += free;
	}
	return nr_free == span->nr_free;
}

static bool cache_is_sound(const struct hd_cache *cache)
{
	const struct hd_slot *slot;
	struct hd_span *span;
	unsigned int i;

	for (i = 0; i < HD_NR_CLASSES; i++) {
		for (slot = cache->bins[i].top; slot > cache->bins[i].base; slot--)
			if (find_state(cache->heap, slot->block, &span) !=
			    slot->state || !span || span->class != i ||
			    atomic_load_explicit(slot->state,
						 memory_order_relaxed))
				return false;
	}
	return true;
}

bool hd_front_is_sound(const struct hd_ref *ref)
{
	const struct hd_cache *cache;
	const struct hd_span *span;
	struct hd_hold hold;
	bool sound = true;

	if (!enabled || !ref->heap->front.caches)
		return true;
	if (!hd_front_hold(&hold, ref, true))
		return false;
	for (span = hold.front->spans; span && sound; span = span->next_all)
		sound = span_is_sound(ref->heap, span);
	for (cache = hold.front->caches; cache && sound; cache = cache->next)
		sound = cache_is_sound(cache);
	hd_front_release(&hold);
	return sound;
}

/* The heap's lock, its end, and forks */

void hd_front_close(const struct hd_ref *ref)
{
	struct hd_front *front = &ref->heap->front;

	if (!enabled || front->locked)
		return;
	pthread_mutex_lock(&front->mutex);
	hd_front_close_locked(front, hd_cache_find(ref->heap));
	front->locked = true;
	pthread_mutex_unlock(&front->mutex);
}

void hd_front_open(const struct hd_ref *ref)
{
	struct hd_front *front = &ref->heap->front;

	if (!front->locked)
		return;
	pthread_mutex_lock(&front->mutex);
	front->locked = false;
	hd_front_open_locked(front);
	pthread_mutex_unlock(&front->mutex);
}

/*
 * What a secret heap's front end frees would not be wiped. In a small heap the free
 * slots of spans are memory that is missing for other sizes.
 */
void hd_front_begin_heap(struct hd_heap *heap, SIZE_T max_bytes, bool secret)
{
	heap->front.off = secret || (max_bytes && max_bytes < FIXED_MIN_BYTES);
}

/* Holds nobody off but threads that use the heap although it was destroyed. */
bool hd_front_keep(struct hd_heap *heap)
{
	struct hd_cache *cache, *own = hd_cache_find(heap);
	struct hd_front *front = &heap->front;
	bool kept;

	if (!enabled)
		return false;
	pthread_mutex_lock(&front->mutex);
	cache = front->caches;
	kept = cache && !cache->next && (cache == own || !cache->owned) &&
	       !front->near && front->peak_bytes <= KEEP_MAX_BYTES;
	if (kept) {
		hd_front_close_locked(front, own);
		kept = hd_cache_key(cache) == HD_KEY_CLOSED;
	}
	if (kept) {
		if (own)
			hd_cache_disown(own);
		cache->counters.nr_blocks = 0;
		cache->counters.allocated_bytes = 0;
		hd_span_free_all(front);
		hd_cache_refill(front, cache);
		front->locked = false;
		front->nr_closers = 1;
	}
	pthread_mutex_unlock(&front->mutex);
	return kept;
}

bool hd_front_revive(struct hd_heap *heap)
{
	struct hd_front *front = &heap->front;
	bool alive;

	pthread_mutex_lock(&front->mutex);
	alive = !is_dead(front);
	if (alive)
		hd_front_open_locked(front);
	pthread_mutex_unlock(&front->mutex);
	return alive;
}

static void front_clear(struct hd_front *front)
{
	struct hd_cache *cache, *next;

	while (front->spans)
		hd_span_remove(front, front->spans);
	for (cache = front->caches; cache; cache = next) {
		next = cache->next;
		if (cache->owned)
			atomic_store_explicit(&cache->dead, 1,
					      memory_order_release);
		else
			hd_cache_recycle(cache);
	}
	front->caches = NULL;
	hd_span_free_all(front);
	front->nr_closers = 0;
	front->locked = false;
	front->shared = false;
	front->near = 0;
	front->peak_bytes = 0;
}

void hd_front_end_heap(struct hd_heap *heap)
{
	struct hd_front *front = &heap->front;

	if (!enabled)
		return;
	pthread_mutex_lock(&front->mutex);
	hd_front_close_locked(front, hd_cache_find(heap));
	front_clear(front);
	pthread_mutex_unlock(&front->mutex);
}

void hd_front_init(void)
{
	const char *value = secure_getenv("HEAPDEV_FRONTEND");

	hd_page_bytes = sysconf(_SC_PAGESIZE);
	hd_span_init();
	enabled = !(value && !strcmp(value, "0")) && hd_cache_init();
}

void hd_front_fork_prepare(void)
{
	pthread_mutex_lock(&hd_arena_mutex);
}

void hd_front_fork_parent(void)
{
	pthread_mutex_unlock(&hd_arena_mutex);
}

void hd_front_fork_child(void)
{
	hd_arena_fork_child();
	hd_cache_fork_child();
}

void hd_front_reset(struct hd_front *front)
{
	static const pthread_mutex_t unlocked =
		PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;

	memset(front, 0, sizeof(*front));
	front->mutex = unlocked;
}
