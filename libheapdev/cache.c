// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Caches: the free slots that a thread keeps of a heap, and who may use them.
 *
 * A front end has a mutex, under which its spans and the making of caches
 * are. A cache is its owner's alone, without a lock, while its key is there and
 * the owner says that it is busy; or it belongs to whoever holds the mutex and has
 * closed it: taken the keys away, made all CPUs pass a barrier, and waited until
 * nobody is busy. Its owner may use it under the mutex, too. HeapLock() leaves
 * the caches closed until the lock is given up, so that every call comes to the
 * heap's lock. A heap with HEAP_NO_SERIALIZE that one thread uses takes no mutex for
 * what concerns its cache: there, to be busy is enough, and whoever else comes closes the
 * cache first.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "frontend.h"

/* Slots that a bin has room for at first, and the most bytes it may cache. */
#define BIN_FIRST_SLOTS		8U
#define BIN_MAX_BYTES		(128UL << 10)
#define BIN_MAX_SLOTS		2048U
/* What a bin of a heap that begins anew is given. */
#define REFILL_SLOTS		64U
/* Turns of a wait before it sleeps. */
#define NR_YIELDS		100U
/* What the bins of a cache may hold together. */
#define CACHE_MAX_BYTES		(512UL << 10)

static const struct hd_slot no_slot;

#define EMPTY_BIN { \
	.top = (struct hd_slot *)&no_slot, \
	.limit = (struct hd_slot *)&no_slot, \
	.base = (struct hd_slot *)&no_slot, \
}

/* A table of pages without a span, for who has none yet. Nothing writes to it. */
static struct hd_leaf no_leaf;

/* Good before the first heap, too, when nothing has been initialized. */
struct hd_cache hd_no_cache = {
	.counters.key = HD_KEY_CLOSED,
	.leaf = &no_leaf,
	.bins = { [0 ... HD_NR_CLASSES] = EMPTY_BIN },
};
__thread struct hd_cache *hd_last_cache = &hd_no_cache;

static uint8_t bin_of_size[HD_FRONT_TABLE_BYTES + 1];

static pthread_key_t thread_key;
static bool has_thread_key;
static struct hd_cache *unused_caches;	/* (hd_arena_mutex) */

/* Caches of the calling thread: all, and some by handle. */
#define NR_RECENT	16
static __thread struct hd_cache *thread_caches;
static __thread struct hd_cache *recent[NR_RECENT];

/* Gates */

/* 0 or a negative errno. */
static int membarrier(int command)
{
	int saved = errno;
	int err = syscall(SYS_membarrier, command, 0, 0) ? -errno : 0;

	errno = saved;
	return err;
}

/*
 * Between one look and the next, of which there were so many. A thread with a real-time
 * priority yields to none below, so it has to sleep; a millisecond at most.
 */
static void wait_turn(unsigned int nr)
{
	struct timespec time = { .tv_nsec = 1000L << 10 };
	int saved = errno;

	if (nr < NR_YIELDS) {
		sched_yield();
		return;
	}
	if (nr - NR_YIELDS < 10)
		time.tv_nsec = 1000L << (nr - NR_YIELDS);
	/* By number, as this is no place to be cancelled. */
	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
	errno = saved;
}

/* Without it two threads might have the same block, so nothing may go on. */
static void make_cpus_agree(void)
{
	unsigned int nr = NR_YIELDS;
	int err;

	while ((err = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) == -ENOMEM)
		wait_turn(nr++);
	if (!err)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	dprintf(STDERR_FILENO, "libheapdev: membarrier() fails, errno %d\n", -err);
	abort();
}

static void wait_until_idle(struct hd_cache *cache)
{
	unsigned int nr = 0;

	/* Pairs with hd_front_end(). */
	while (atomic_load_explicit(&cache->busy, memory_order_acquire))
		wait_turn(nr++);
}

/* Not if the kernel has said that the heap is dead. */
void hd_cache_change_key(struct hd_cache *cache, uintptr_t from, uintptr_t to)
{
	__u64 expected = from;

	__atomic_compare_exchange_n(&cache->counters.key, &expected, to, false,
				    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static bool is_its_threads(const struct hd_front *front,
			   const struct hd_cache *cache)
{
	return !front->nr_closers && cache->owned;
}

/* Until hd_cache_go() its thread is in no call without a lock. */
void hd_cache_stop(const struct hd_front *front, struct hd_cache *cache)
{
	if (!is_its_threads(front, cache))
		return;
	hd_cache_change_key(cache, (uintptr_t)cache->heap->handle,
			    HD_KEY_CLOSED);
	make_cpus_agree();
	wait_until_idle(cache);
}

void hd_cache_go(const struct hd_front *front, struct hd_cache *cache)
{
	if (is_its_threads(front, cache))
		hd_cache_change_key(cache, HD_KEY_CLOSED,
				    (uintptr_t)cache->heap->handle);
}

/* From here on, nobody but the caller uses the caches; @own is the caller's. */
void hd_front_close_locked(struct hd_front *front, const struct hd_cache *own)
{
	struct hd_cache *cache;
	bool others = false;

	if (front->nr_closers++)
		return;
	for (cache = front->caches; cache; cache = cache->next) {
		hd_cache_change_key(cache, (uintptr_t)cache->heap->handle,
				    HD_KEY_CLOSED);
		others |= cache != own && cache->owned;
	}
	if (!others)
		return;
	make_cpus_agree();
	for (cache = front->caches; cache; cache = cache->next)
		if (cache != own)
			wait_until_idle(cache);
}

void hd_front_open_locked(struct hd_front *front)
{
	struct hd_cache *cache;

	if (--front->nr_closers)
		return;
	for (cache = front->caches; cache; cache = cache->next)
		hd_cache_change_key(cache, HD_KEY_CLOSED,
				    (uintptr_t)cache->heap->handle);
}

struct hd_cache *hd_cache_find(const struct hd_heap *heap)
{
	struct hd_cache *cache;

	for (cache = thread_caches; cache; cache = cache->next_of_thread)
		if (cache->heap == heap &&
		    !atomic_load_explicit(&cache->dead, memory_order_acquire))
			return cache;
	return NULL;
}

/* As hd_front_begin(). Who makes a second cache closes this one before it says so. */
static bool hold_by_busy(struct hd_cache *cache, HANDLE handle)
{
	atomic_store_explicit(&cache->busy, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (hd_cache_has_key(cache, handle)) {
		atomic_signal_fence(memory_order_acquire);
		if (!cache->shared)
			return true;
	}
	hd_front_end(cache);
	return false;
}

/* False if the heap that the call began with has ended. */
bool hd_front_hold(struct hd_hold *hold, const struct hd_ref *ref, bool alone)
{
	struct hd_front *front = &ref->heap->front;
	struct hd_cache *cache = hd_cache_find(ref->heap);

	*hold = (struct hd_hold) {
		.front = front, .heap = ref->heap, .cache = cache,
	};
	if (!alone && cache && ref->heap_flags & HEAP_NO_SERIALIZE &&
	    hold_by_busy(cache, ref->heap->handle)) {
		hold->busy = true;
		return true;
	}
	pthread_mutex_lock(&front->mutex);
	if (!hd_heap_is_same(ref)) {
		pthread_mutex_unlock(&front->mutex);
		return false;
	}
	if (alone || (ref->heap_flags & HEAP_NO_SERIALIZE && !front->shared)) {
		hd_front_close_locked(front, cache);
		hold->closed = true;
	}
	return true;
}

void hd_front_release(struct hd_hold *hold)
{
	if (hold->busy) {
		hd_front_end(hold->cache);
		return;
	}
	if (hold->closed)
		hd_front_open_locked(hold->front);
	pthread_mutex_unlock(&hold->front->mutex);
}

/* Bins */

static size_t bin_room(const struct hd_bin *bin)
{
	return bin->limit - bin->base;
}

static size_t bin_used(const struct hd_bin *bin)
{
	return bin->top - bin->base;
}

static size_t bin_memory(size_t room)
{
	return (room + 1) * sizeof(struct hd_slot);
}

/* Gives a bin twice as many places, if it may have them. */
static bool bin_grow(struct hd_cache *cache, unsigned int class)
{
	struct hd_bin *bin = &cache->bins[class];
	size_t slot_bytes = hd_classes[class].slot_bytes;
	size_t room = bin_room(bin), used = bin_used(bin);
	size_t more = room ? 2 * room : BIN_FIRST_SLOTS;
	struct hd_slot *places;

	if (room && (more > BIN_MAX_SLOTS || more * slot_bytes > BIN_MAX_BYTES ||
		     (more - room) * slot_bytes > cache->budget))
		return false;
	if (!room && more * slot_bytes > BIN_MAX_BYTES / 8)
		more = 2;
	places = hd_arena_alloc(bin_memory(more));
	if (!places)
		return false;
	memcpy(places, bin->base, bin_memory(used));
	if (room)
		hd_arena_free(bin->base, bin_memory(room));
	cache->budget -= cache->budget < (more - room) * slot_bytes ?
			 cache->budget : (more - room) * slot_bytes;
	bin->base = places;
	bin->top = places + used;
	bin->limit = places + more;
	return true;
}

/* Puts the oldest slots of a bin back. */
void hd_bin_drain(struct hd_front *front, struct hd_bin *bin, size_t count)
{
	size_t used = bin_used(bin), i;

	if (count > used)
		count = used;
	for (i = 1; i <= count; i++)
		hd_span_put_slot(front, &bin->base[i]);
	memmove(&bin->base[1], &bin->base[1 + count],
		(used - count) * sizeof(*bin->base));
	bin->top -= count;
}

/*
 * Up to @want slots out of the cache's own spans, of those that are everybody's, and of
 * empty ones that no other thread has; false if there is none.
 */
static bool bin_take(struct hd_front *front, struct hd_cache *cache,
		     unsigned int class, size_t want)
{
	struct hd_bin *bin = &cache->bins[class];
	struct hd_span *span;
	bool any = false;

	while (want) {
		span = cache->partial[class];
		if (!span)
			span = front->partial[class];
		if (!span)
			span = hd_span_use_empty(front, cache, class, false);
		if (!span)
			break;
		want -= hd_span_take_slots(front, bin, span, want);
		any = true;
	}
	return any;
}

/*
 * The same out of a span of another cache, which becomes this one's: if nobody has
 * that cache, or @any, and then rather an empty one.
 */
static bool bin_take_over(struct hd_front *front, struct hd_cache *cache,
			  unsigned int class, size_t want, bool any)
{
	struct hd_cache *other;

	if (any && hd_span_use_empty(front, cache, class, true))
		return bin_take(front, cache, class, want);
	for (other = front->caches; other; other = other->next)
		if (other != cache && other->partial[class] &&
		    (any || !other->owned))
			break;
	if (!other)
		return false;
	hd_span_pass(front, other->partial[class], cache);
	return bin_take(front, cache, class, want);
}

/* Fills an empty bin, at least with one slot. */
int hd_bin_fill(struct hd_hold *hold, uint64_t id, unsigned int class)
{
	struct hd_front *front = hold->front;
	struct hd_cache *cache = hold->cache;
	struct hd_bin *bin = &cache->bins[class];
	size_t want;
	int err;

	if (!front->near || !bin_room(bin))
		bin_grow(cache, class);
	if (!bin_room(bin))
		return -ENOMEM;
	want = (bin_room(bin) + 1) / 2;
	if (bin_take(front, cache, class, want) ||
	    bin_take_over(front, cache, class, want, front->near))
		return 0;
	err = hd_span_add(hold, id, class);
	if (!err)
		bin_take(front, cache, class, want);
	else if (bin_take_over(front, cache, class, want, true))
		err = 0;
	return err;
}

void hd_cache_refill(struct hd_front *front, struct hd_cache *cache)
{
	struct hd_bin *bin;
	unsigned int i;
	size_t room;

	for (i = 0; i < HD_NR_CLASSES; i++) {
		bin = &cache->bins[i];
		bin->top = bin->base;
		room = bin_room(bin);
		bin_take(front, cache, i, room < REFILL_SLOTS ? room :
								REFILL_SLOTS);
	}
}

/* Caches */

static void cache_set_shared_locked(struct hd_front *front)
{
	struct hd_cache *cache;

	front->shared = true;
	for (cache = front->caches; cache; cache = cache->next)
		cache->shared = true;
}

static struct hd_cache *cache_new(uint64_t id)
{
	struct hd_cache *cache;
	unsigned int i;

	pthread_mutex_lock(&hd_arena_mutex);
	cache = unused_caches;
	if (cache)
		unused_caches = cache->next;
	pthread_mutex_unlock(&hd_arena_mutex);
	if (!cache)
		cache = hd_arena_alloc(sizeof(*cache));
	if (!cache)
		return NULL;
	memset(cache, 0, sizeof(*cache));
	cache->leaf = &no_leaf;
	for (i = 0; i <= HD_NR_CLASSES; i++)
		cache->bins[i] = (struct hd_bin)EMPTY_BIN;
	memcpy(cache->bin_of_size, bin_of_size, sizeof(bin_of_size));
	if (!hd_backend_count(id, &cache->counters))
		return cache;
	pthread_mutex_lock(&hd_arena_mutex);
	cache->next = unused_caches;
	unused_caches = cache;
	pthread_mutex_unlock(&hd_arena_mutex);
	return NULL;
}

/* A cache that lost its heap; what it held went with that. */
void hd_cache_recycle(struct hd_cache *cache)
{
	unsigned int i;

	for (i = 0; i < HD_NR_CLASSES; i++)
		if (bin_room(&cache->bins[i]))
			hd_arena_free(cache->bins[i].base,
				   bin_memory(bin_room(&cache->bins[i])));
	pthread_mutex_lock(&hd_arena_mutex);
	cache->next = unused_caches;
	unused_caches = cache;
	pthread_mutex_unlock(&hd_arena_mutex);
}

static struct hd_cache **recent_slot(HANDLE handle)
{
	return &recent[(uintptr_t)handle >> 16 & (NR_RECENT - 1)];
}

static void thread_forget(struct hd_cache *cache)
{
	unsigned int i;

	if (hd_last_cache == cache)
		hd_last_cache = &hd_no_cache;
	for (i = 0; i < NR_RECENT; i++)
		if (recent[i] == cache)
			recent[i] = NULL;
}

static void thread_reap(void)
{
	struct hd_cache **link = &thread_caches, *cache;

	while ((cache = *link)) {
		if (!atomic_load_explicit(&cache->dead, memory_order_acquire)) {
			link = &cache->next_of_thread;
			continue;
		}
		*link = cache->next_of_thread;
		thread_forget(cache);
		hd_cache_recycle(cache);
	}
}

/* The mirror of cache_adopt(), for the caller's cache. */
void hd_cache_disown(struct hd_cache *cache)
{
	struct hd_cache **link = &thread_caches;

	while (*link != cache)
		link = &(*link)->next_of_thread;
	*link = cache->next_of_thread;
	thread_forget(cache);
	cache->owned = false;
}

/* Gives the calling thread a cache of the heap. Holds the front end alone. */
static struct hd_cache *cache_adopt(struct hd_hold *hold, uint64_t id)
{
	struct hd_front *front = hold->front;
	struct hd_cache *cache;

	thread_reap();
	for (cache = front->caches; cache; cache = cache->next)
		if (!cache->owned)
			break;
	if (!cache) {
		cache = cache_new(id);
		if (!cache)
			return NULL;
		cache->heap = hold->heap;
		cache->counters.key = HD_KEY_CLOSED;
		cache->budget = CACHE_MAX_BYTES;
		cache->next = front->caches;
		front->caches = cache;
		if (cache->next)
			cache_set_shared_locked(front);
	}
	cache->shared = front->shared;
	cache->owned = true;
	cache->next_of_thread = thread_caches;
	thread_caches = cache;
	return cache;
}

/* With the caller's cache, made if need be; or, where none can be, alone. */
bool hd_front_hold_any(struct hd_hold *hold, const struct hd_ref *ref)
{
	bool found = hd_cache_find(ref->heap), can_adopt = true;

	/* It may allocate memory, so not while the front end is held. */
	if (!found)
		can_adopt = !pthread_setspecific(thread_key, &thread_caches);
	if (!hd_front_hold(hold, ref, !found))
		return false;
	if (!hold->cache && can_adopt)
		hold->cache = cache_adopt(hold, ref->id);
	if (hold->front->caches &&
	    hd_cache_key(hold->front->caches) == PRIVHEAP_COUNTERS_DEAD) {
		hd_front_release(hold);
		return false;
	}
	if (hold->cache) {
		hd_last_cache = hold->cache;
		*recent_slot(ref->heap->handle) = hold->cache;
	}
	return true;
}

/* The same; false if there is no cache. */
bool hd_front_hold_cache(struct hd_hold *hold, const struct hd_ref *ref)
{
	if (!hd_front_hold_any(hold, ref))
		return false;
	if (!hold->cache)
		hd_front_release(hold);
	return hold->cache;
}

bool hd_front_switch(HANDLE handle)
{
	struct hd_cache *cache = *recent_slot(handle);

	if (!cache || hd_cache_key(cache) != (uintptr_t)handle)
		return false;
	hd_last_cache = cache;
	return true;
}

bool hd_front_aim(HANDLE handle, const void *block)
{
	uintptr_t index = (uintptr_t)block >> (HD_MAP_SHIFT + HD_MAP_LEAF_BITS);
	const struct hd_leaf *leaf;

	if (index >= HD_MAP_DIRECTORY_SLOTS || !hd_front_switch(handle))
		return false;
	leaf = __atomic_load_n(&hd_map[index], __ATOMIC_ACQUIRE);
	if (leaf)
		hd_last_cache->leaf = leaf;
	return leaf;
}

/* A thread ends: what its caches hold goes back, the caches wait for another. */
static void thread_exit(void *unused)
{
	struct hd_cache *cache, *next;
	struct hd_front *front;
	unsigned int i;

	(void)unused;
	for (cache = thread_caches; cache; cache = next) {
		next = cache->next_of_thread;
		front = &cache->heap->front;
		thread_forget(cache);
		pthread_mutex_lock(&front->mutex);
		if (atomic_load_explicit(&cache->dead, memory_order_relaxed)) {
			pthread_mutex_unlock(&front->mutex);
			hd_cache_recycle(cache);
			continue;
		}
		hd_front_close_locked(front, cache);
		for (i = 0; i < HD_NR_CLASSES; i++)
			hd_bin_drain(front, &cache->bins[i], SIZE_MAX);
		cache->owned = false;
		hd_front_open_locked(front);
		pthread_mutex_unlock(&front->mutex);
	}
	thread_caches = NULL;
}

void *hd_cache_pop(struct hd_cache *cache, unsigned int class, size_t bytes)
{
	struct hd_bin *bin = &cache->bins[class];
	struct hd_slot *slot = bin->top;

	if (!slot->block)
		return NULL;
	bin->top = slot - 1;
	atomic_store_explicit(slot->state, hd_state_of_bytes(bytes),
			      memory_order_relaxed);
	cache->counters.nr_blocks++;
	cache->counters.allocated_bytes += bytes;
	return slot->block;
}

void hd_cache_push(struct hd_front *front, struct hd_cache *cache,
		   unsigned int class, const struct hd_slot *slot)
{
	struct hd_bin *bin = &cache->bins[class];

	if (bin->top == bin->limit && (!bin_room(bin) || !front->near))
		bin_grow(cache, class);
	if (bin->top == bin->limit)
		hd_bin_drain(front, bin, (bin_room(bin) + 1) / 2);
	if (bin->top == bin->limit)
		hd_span_put_slot(front, slot);
	else
		*++bin->top = *slot;
}

/* False if there cannot be caches. */
bool hd_cache_init(void)
{
	unsigned int i;

	/* A block of 0 bytes has a state of its own: its bin is the empty one. */
	bin_of_size[0] = hd_bin_number(HD_NR_CLASSES);
	for (i = 1; i <= HD_FRONT_TABLE_BYTES; i++)
		bin_of_size[i] = hd_bin_number(hd_front_class(i));
	if (!has_thread_key && pthread_key_create(&thread_key, thread_exit))
		return false;
	has_thread_key = true;
	return !membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void hd_cache_fork_child(void)
{
	unused_caches = NULL;
	thread_caches = NULL;
	memset(recent, 0, sizeof(recent));
	hd_last_cache = &hd_no_cache;
}
