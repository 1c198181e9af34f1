// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The front end: blocks of up to 16 KiB without a system call.
 *
 * This file owns spans, which the kernel gives and takes back whole, and caches, of
 * which a thread has one for each heap that it uses. frontend.h has the objects and
 * what a call does that finds all it needs in its cache. The rest of the library
 * sees neither; it asks the functions in internal.h, and goes to the kernel with
 * what they leave to it.
 *
 * Locks. A front end has a mutex, under which its spans and the making of caches
 * are. A cache is its owner's alone, without a lock, while its key is there and
 * the owner says that it is busy; or it belongs to whoever holds the mutex and has
 * closed it: taken the keys away, made all CPUs pass a barrier, and waited until
 * nobody is busy. Its owner may use it under the mutex, too. HeapLock() leaves
 * the caches closed until the lock is given up, so that every call comes to the
 * heap's lock. A heap with HEAP_NO_SERIALIZE that one thread uses takes no mutex:
 * there, to be busy is enough, and whoever else comes closes the cache first.
 *
 * Memory of this file comes from mappings between guard pages and is never given
 * back, only used again; so a stale pointer into it is never a fault.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "frontend.h"

/* Slots that a bin has room for at first, and the most bytes it may cache. */
#define BIN_FIRST_SLOTS		8U
#define BIN_MAX_BYTES		(128UL << 10)
#define BIN_MAX_SLOTS		2048U
/* What the bins of a cache may hold together. */
#define CACHE_MAX_BYTES		(512UL << 10)
/* Spans that hold no block and are kept: so much, or an eighth of all. */
#define EMPTY_MIN_BYTES		(128UL << 10)
/* A fixed heap that is smaller goes without. */
#define FIXED_MIN_BYTES		(1UL << 20)
/* Spans grow up to this, or eight slots. */
#define SPAN_GROW_BYTES		(64UL << 10)
/* What is mapped at a time for the objects here. */
#define ARENA_BYTES		(4UL << 20)
#define ARENA_UNIT		64UL
#define ARENA_MAX_UNITS		1024

struct hd_cache hd_no_cache;
__thread struct hd_cache *hd_last_cache = &hd_no_cache;
uint16_t hd_bin_of_size[HD_FRONT_TABLE_BYTES / 16 + 1];
struct hd_span **hd_map[HD_MAP_DIRECTORY_SLOTS];

struct class {
	uint32_t slot_bytes;
	uint16_t base_pages;
	uint16_t max_pages;
};

static struct class classes[HD_NR_CLASSES];
static bool enabled;
static size_t page_bytes;
static pthread_key_t thread_key;
static bool has_thread_key;

/* Caches of the calling thread: all, and some by handle. */
#define NR_RECENT	16
static __thread struct hd_cache *thread_caches;
static __thread struct hd_cache *recent[NR_RECENT];

/* Memory for objects */

struct unused {
	struct unused *next;
};

/* Where the table of pages has leaves; each covers 256 MiB. */
#define MAX_LEAVES	16384
static uint32_t leaves[MAX_LEAVES];
static unsigned int nr_leaves;

static pthread_mutex_t arena_mutex = PTHREAD_MUTEX_INITIALIZER;
static char *arena, *arena_end;
static struct unused *arena_unused[ARENA_MAX_UNITS + 1];
static struct hd_cache *unused_caches;

/* A mapping with a page on either side that nobody can touch. */
static void *map_guarded(size_t bytes)
{
	int saved = errno;
	char *mem = mmap(NULL, bytes + 2 * page_bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem != MAP_FAILED &&
	    mprotect(mem + page_bytes, bytes, PROT_READ | PROT_WRITE)) {
		munmap(mem, bytes + 2 * page_bytes);
		mem = MAP_FAILED;
	}
	errno = saved;
	return mem == MAP_FAILED ? NULL : mem + page_bytes;
}

static size_t arena_units(size_t bytes)
{
	return (bytes + ARENA_UNIT - 1) / ARENA_UNIT;
}

static void *arena_alloc_locked(size_t units)
{
	struct unused *unused = arena_unused[units];
	char *mem;
	int saved;

	if (unused) {
		arena_unused[units] = unused->next;
		memset(unused, 0, units * ARENA_UNIT);
		return unused;
	}
	if ((size_t)(arena_end - arena) < units * ARENA_UNIT) {
		mem = map_guarded(ARENA_BYTES);
		if (!mem)
			return NULL;
		/* The kernel pins pages of it, and refuses huge ones. */
		saved = errno;
		madvise(mem, ARENA_BYTES, MADV_NOHUGEPAGE);
		errno = saved;
		arena = mem;
		arena_end = mem + ARENA_BYTES;
	}
	mem = arena;
	arena += units * ARENA_UNIT;
	return mem;
}

/* Zeroed memory, or NULL. */
static void *arena_alloc(size_t bytes)
{
	void *mem;

	pthread_mutex_lock(&arena_mutex);
	mem = arena_alloc_locked(arena_units(bytes));
	pthread_mutex_unlock(&arena_mutex);
	return mem;
}

static void arena_free(void *mem, size_t bytes)
{
	struct unused *unused = mem;

	pthread_mutex_lock(&arena_mutex);
	unused->next = arena_unused[arena_units(bytes)];
	arena_unused[arena_units(bytes)] = unused;
	pthread_mutex_unlock(&arena_mutex);
}

/* Size classes */

static uint32_t class_slot_bytes(unsigned int class)
{
	if (class < 8)
		return 16 * (class + 1);
	return (9 + class % 8) << (4 + (class - 8) / 8);
}

static void class_init(struct class *class, uint32_t slot_bytes)
{
	size_t pages = 1, max;

	/* At most an eighth of a span may be too short for a slot. */
	while (pages * page_bytes % slot_bytes > pages * page_bytes / 8)
		pages++;
	max = SPAN_GROW_BYTES > 8 * slot_bytes ? SPAN_GROW_BYTES :
						 8 * slot_bytes;
	class->slot_bytes = slot_bytes;
	class->base_pages = pages;
	max = max / page_bytes / pages * pages;
	class->max_pages = max > pages ? max : pages;
}

/* Gates */

static bool make_cpus_agree(int command)
{
	int saved = errno;
	bool done = !syscall(SYS_membarrier, command, 0, 0);

	errno = saved;
	return done;
}

static void wait_until_idle(struct hd_cache *cache)
{
	/* Pairs with hd_front_end(). */
	while (atomic_load_explicit(&cache->busy, memory_order_acquire))
		sched_yield();
}

/* Not if the kernel has said that the heap is dead. */
static void change_key(struct hd_cache *cache, uintptr_t from, uintptr_t to)
{
	__u64 expected = from;

	__atomic_compare_exchange_n(&cache->counters.key, &expected, to, false,
				    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

/* From here on, nobody but the caller uses the caches; @own is the caller's. */
static void close_locked(struct hd_front *front, const struct hd_cache *own)
{
	struct hd_cache *cache;
	bool others = false;

	if (front->nr_closers++)
		return;
	for (cache = front->caches; cache; cache = cache->next) {
		change_key(cache, (uintptr_t)cache->heap->handle, HD_KEY_CLOSED);
		others |= cache != own && cache->owned;
	}
	if (!others)
		return;
	make_cpus_agree(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	for (cache = front->caches; cache; cache = cache->next)
		if (cache != own)
			wait_until_idle(cache);
}

static void open_locked(struct hd_front *front)
{
	struct hd_cache *cache;

	if (--front->nr_closers)
		return;
	for (cache = front->caches; cache; cache = cache->next)
		change_key(cache, HD_KEY_CLOSED, (uintptr_t)cache->heap->handle);
}

static struct hd_cache *find_cache(const struct hd_heap *heap)
{
	struct hd_cache *cache;

	for (cache = thread_caches; cache; cache = cache->next_of_thread)
		if (cache->heap == heap &&
		    !atomic_load_explicit(&cache->dead, memory_order_acquire))
			return cache;
	return NULL;
}

/*
 * How a call holds a front end: by the mutex, or, alone on a heap that is not
 * serialised, by being busy.
 */
struct hold {
	struct hd_front *front;
	struct hd_heap *heap;
	struct hd_cache *cache;		/* the caller's, or NULL */
	DWORD scopes;			/* soft limits that were crossed */
	bool closed;
	bool busy;
};

/* False if the heap that the call began with has ended. */
static bool hold_front(struct hold *hold, const struct hd_ref *ref, bool alone)
{
	struct hd_front *front = &ref->heap->front;
	struct hd_cache *cache = find_cache(ref->heap);

	*hold = (struct hold) {
		.front = front, .heap = ref->heap, .cache = cache,
	};
	if (cache && ref->heap_flags & HEAP_NO_SERIALIZE && !cache->shared) {
		atomic_store_explicit(&cache->busy, 1, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		if (hd_cache_key(cache) == (uintptr_t)ref->heap->handle) {
			hold->busy = true;
			return true;
		}
		atomic_store_explicit(&cache->busy, 0, memory_order_relaxed);
	}
	pthread_mutex_lock(&front->mutex);
	if (atomic_load_explicit(&ref->heap->id, memory_order_relaxed) !=
	    ref->id) {
		pthread_mutex_unlock(&front->mutex);
		return false;
	}
	if (alone || (ref->heap_flags & HEAP_NO_SERIALIZE && !front->shared)) {
		close_locked(front, cache);
		hold->closed = true;
	}
	return true;
}

static void release_front(struct hold *hold)
{
	if (hold->busy) {
		hd_front_end(hold->cache);
		return;
	}
	if (hold->closed)
		open_locked(hold->front);
	pthread_mutex_unlock(&hold->front->mutex);
}

/* The table of pages */

static bool map_reserve(uintptr_t addr)
{
	uintptr_t index = addr >> (HD_MAP_SHIFT + HD_MAP_LEAF_BITS);
	struct hd_span ***slot = &hd_map[index];
	struct hd_span **leaf;

	if (index >= HD_MAP_DIRECTORY_SLOTS)
		return false;
	if (__atomic_load_n(slot, __ATOMIC_ACQUIRE))
		return true;
	pthread_mutex_lock(&arena_mutex);
	if (!*slot && nr_leaves < MAX_LEAVES) {
		leaf = map_guarded(sizeof(*leaf) << HD_MAP_LEAF_BITS);
		if (leaf)
			leaves[nr_leaves++] = index;
		__atomic_store_n(slot, leaf, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&arena_mutex);
	return *slot;
}

static void map_set(uintptr_t addr, size_t bytes, struct hd_span *span)
{
	struct hd_span **leaf;
	uintptr_t end = addr + bytes;

	for (; addr < end; addr += 1UL << HD_MAP_SHIFT) {
		leaf = hd_map[addr >> (HD_MAP_SHIFT + HD_MAP_LEAF_BITS)];
		__atomic_store_n(&leaf[(uint16_t)(addr >> HD_MAP_SHIFT)], span,
				 __ATOMIC_RELEASE);
	}
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

static size_t span_words(uint32_t nr_slots)
{
	return (nr_slots + 63) / 64;
}

/* Where in a descriptor the bits are: behind the states. */
static size_t span_free_offset(uint32_t nr_slots)
{
	return (sizeof(struct hd_span) + (nr_slots + 1) * sizeof(uint16_t) + 7) /
	       8 * 8;
}

static size_t span_meta_bytes(uint32_t nr_slots)
{
	return span_free_offset(nr_slots) + span_words(nr_slots) * 8;
}

static struct hd_span *span_describe(struct hd_heap *heap, unsigned int class,
				     uintptr_t base, size_t bytes)
{
	uint32_t slot_bytes = classes[class].slot_bytes;
	uint32_t nr_slots = bytes / slot_bytes;
	struct hd_span *span = arena_alloc(span_meta_bytes(nr_slots));
	uint32_t i;

	if (!span)
		return NULL;
	span->base = base;
	span->bytes = bytes;
	span->handle = heap->handle;
	span->class = class;
	span->bin = offsetof(struct hd_cache, bins[class]);
	span->slot_bytes = slot_bytes;
	span->magic = UINT64_MAX / slot_bytes + 1;
	span->nr_slots = nr_slots;
	span->nr_free = nr_slots;
	span->free = (void *)((char *)span + span_free_offset(nr_slots));
	for (i = 0; i < nr_slots / 64; i++)
		span->free[i] = UINT64_MAX;
	if (nr_slots % 64)
		span->free[i] = (1ULL << nr_slots % 64) - 1;
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
	list_add(&front->partial[span->class], span);
	map_set(span->base, span->bytes, span);
}

/* Takes a span without a block out, that is on no list. */
static void span_remove(struct hd_front *front, struct hd_span *span)
{
	if (span->prev_all)
		span->prev_all->next_all = span->next_all;
	else
		front->spans = span->next_all;
	if (span->next_all)
		span->next_all->prev_all = span->prev_all;
	front->class_bytes[span->class] -= span->bytes;
	front->span_bytes -= span->bytes;
	map_set(span->base, span->bytes, NULL);
	arena_free(span, span_meta_bytes(span->nr_slots));
}

static int span_create(struct hold *hold, uint64_t id, unsigned int class,
		       size_t nr_pages)
{
	struct hd_front *front = hold->front;
	size_t bytes = nr_pages * page_bytes;
	struct hd_span *span;
	uintptr_t base;
	int err;

	err = hd_backend_take(id, nr_pages, &base, &front->near, &hold->scopes);
	if (err)
		return err;
	span = map_reserve(base) && map_reserve(base + bytes - 1) ?
	       span_describe(hold->heap, class, base, bytes) : NULL;
	if (!span) {
		hd_backend_give(id, &base, 1);
		return -ENOMEM;
	}
	span_insert(front, span);
	return 0;
}

/* Adds a span, longer ones the more the class has. */
static int span_add(struct hold *hold, uint64_t id, unsigned int class)
{
	const struct class *c = &classes[class];
	struct hd_front *front = hold->front;
	size_t pages = front->class_bytes[class] / 4 / page_bytes;
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

/* Gives the spans on the empty list back until @keep_bytes are left. */
static bool give_empty(struct hd_front *front, uint64_t id, size_t keep_bytes)
{
	uintptr_t bases[16];
	struct hd_span *span;
	unsigned int nr = 0;
	bool any = false;

	while (front->empty && front->empty_bytes > keep_bytes) {
		span = front->empty;
		list_del(&front->empty, span);
		front->empty_bytes -= span->bytes;
		bases[nr++] = span->base;
		span_remove(front, span);
		if (nr == 16) {
			hd_backend_give(id, bases, nr);
			nr = 0;
		}
		any = true;
	}
	if (nr)
		hd_backend_give(id, bases, nr);
	return any;
}

/* Puts a slot back into its span. */
static void slot_put(struct hd_front *front, const struct hd_slot *slot)
{
	struct hd_span *span = hd_front_span(slot->block);
	size_t i = slot->state - span->states;

	span->free[i / 64] |= 1ULL << i % 64;
	if (!span->nr_free++)
		list_add(&front->partial[span->class], span);
	if (span->nr_free == span->nr_slots) {
		list_del(&front->partial[span->class], span);
		list_add(&front->empty, span);
		front->empty_bytes += span->bytes;
	}
}

/* Bins */

_Static_assert(HD_NR_CLASSES == HD_NR_FRONT_CLASSES, "classes");

static const struct hd_slot no_slot;

static void bin_init(struct hd_bin *bin)
{
	bin->base = bin->top = bin->limit = (struct hd_slot *)&no_slot;
	bin->cached_bytes = 0;
}

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
	size_t slot_bytes = classes[class].slot_bytes;
	size_t room = bin_room(bin), used = bin_used(bin);
	size_t more = room ? 2 * room : BIN_FIRST_SLOTS;
	struct hd_slot *places;

	if (room && (more > BIN_MAX_SLOTS || more * slot_bytes > BIN_MAX_BYTES ||
		     (more - room) * slot_bytes > cache->budget))
		return false;
	if (!room && more * slot_bytes > BIN_MAX_BYTES / 8)
		more = 2;
	places = arena_alloc(bin_memory(more));
	if (!places)
		return false;
	memcpy(places, bin->base, bin_memory(used));
	if (room)
		arena_free(bin->base, bin_memory(room));
	cache->budget -= cache->budget < (more - room) * slot_bytes ?
			 cache->budget : (more - room) * slot_bytes;
	bin->base = places;
	bin->top = places + used;
	bin->limit = places + more;
	return true;
}

/* Puts the oldest slots of a bin back. */
static void bin_drain(struct hd_front *front, struct hd_bin *bin, size_t count)
{
	size_t used = bin_used(bin), i;

	if (count > used)
		count = used;
	for (i = 1; i <= count; i++)
		slot_put(front, &bin->base[i]);
	memmove(&bin->base[1], &bin->base[1 + count],
		(used - count) * sizeof(*bin->base));
	bin->top -= count;
}

/* Takes up to @want free slots of a span; those with lower addresses on top. */
static size_t bin_take(struct hd_bin *bin, struct hd_span *span, size_t want)
{
	struct hd_slot *first = bin->top + 1, *last, swap;
	size_t word, i, taken = 0;

	for (word = 0; taken < want && word < span_words(span->nr_slots); word++) {
		while (span->free[word] && taken < want) {
			i = word * 64 + __builtin_ctzl(span->free[word]);
			span->free[word] &= span->free[word] - 1;
			first[taken].block =
				(void *)(span->base + i * span->slot_bytes);
			first[taken++].state = &span->states[i];
		}
	}
	bin->top += taken;
	span->nr_free -= taken;
	for (last = bin->top; first < last; first++, last--) {
		swap = *first;
		*first = *last;
		*last = swap;
	}
	return taken;
}

/* Makes an empty span one that is used again. */
static struct hd_span *use_empty(struct hold *hold, unsigned int class)
{
	struct hd_front *front = hold->front;
	struct hd_span *span;

	for (span = front->empty; span; span = span->next) {
		if (span->class != class)
			continue;
		list_del(&front->empty, span);
		front->empty_bytes -= span->bytes;
		list_add(&front->partial[class], span);
		return span;
	}
	return NULL;
}

/* Fills an empty bin, at least with one slot. */
static int bin_fill(struct hold *hold, uint64_t id, unsigned int class)
{
	struct hd_front *front = hold->front;
	struct hd_bin *bin = &hold->cache->bins[class];
	struct hd_span *span;
	size_t want;
	int err;

	if (!front->near || !bin_room(bin))
		bin_grow(hold->cache, class);
	if (!bin_room(bin))
		return -ENOMEM;
	want = (bin_room(bin) + 1) / 2;
	while (want) {
		span = front->partial[class];
		if (!span)
			span = use_empty(hold, class);
		if (!span) {
			if (bin->top != bin->base)
				return 0;
			err = span_add(hold, id, class);
			if (err)
				return err;
			continue;
		}
		want -= bin_take(bin, span, want);
		if (!span->nr_free)
			list_del(&front->partial[class], span);
	}
	return 0;
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

	pthread_mutex_lock(&arena_mutex);
	cache = unused_caches;
	if (cache)
		unused_caches = cache->next;
	pthread_mutex_unlock(&arena_mutex);
	if (!cache)
		cache = arena_alloc(sizeof(*cache));
	if (!cache)
		return NULL;
	memset(cache, 0, sizeof(*cache));
	cache->leaf_index = UINTPTR_MAX;
	for (i = 0; i < HD_NR_CLASSES; i++)
		bin_init(&cache->bins[i]);
	if (!hd_backend_count(id, &cache->counters))
		return cache;
	pthread_mutex_lock(&arena_mutex);
	cache->next = unused_caches;
	unused_caches = cache;
	pthread_mutex_unlock(&arena_mutex);
	return NULL;
}

/* A cache that lost its heap; what it held went with that. */
static void cache_recycle(struct hd_cache *cache)
{
	unsigned int i;

	for (i = 0; i < HD_NR_CLASSES; i++)
		if (bin_room(&cache->bins[i]))
			arena_free(cache->bins[i].base,
				   bin_memory(bin_room(&cache->bins[i])));
	pthread_mutex_lock(&arena_mutex);
	cache->next = unused_caches;
	unused_caches = cache;
	pthread_mutex_unlock(&arena_mutex);
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
		cache_recycle(cache);
	}
}

/* Gives the calling thread a cache of the heap. Holds the front end alone. */
static struct hd_cache *cache_adopt(struct hold *hold, uint64_t id)
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
	pthread_setspecific(thread_key, &thread_caches);
	return cache;
}

/* The caller's cache; made if need be, and NULL if it cannot be. */
static bool hold_with_cache(struct hold *hold, const struct hd_ref *ref)
{
	if (!hold_front(hold, ref, !find_cache(ref->heap)))
		return false;
	if (!hold->cache)
		hold->cache = cache_adopt(hold, ref->id);
	if (!hold->cache || hd_cache_key(hold->cache) == PRIVHEAP_COUNTERS_DEAD) {
		release_front(hold);
		return false;
	}
	hd_last_cache = hold->cache;
	*recent_slot(ref->heap->handle) = hold->cache;
	return true;
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
	struct hd_span **leaf;

	if (index >= HD_MAP_DIRECTORY_SLOTS || !hd_front_switch(handle))
		return false;
	leaf = hd_map[index];
	if (!leaf)
		return false;
	hd_last_cache->spans = (uintptr_t)leaf -
		(index << HD_MAP_LEAF_BITS) * sizeof(*leaf);
	hd_last_cache->leaf_index = index;
	return true;
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
			cache_recycle(cache);
			continue;
		}
		close_locked(front, cache);
		for (i = 0; i < HD_NR_CLASSES; i++)
			bin_drain(front, &cache->bins[i], SIZE_MAX);
		cache->owned = false;
		open_locked(front);
		pthread_mutex_unlock(&front->mutex);
	}
	thread_caches = NULL;
}

/* What the other files call */

static void *pop(struct hd_cache *cache, unsigned int class, size_t bytes)
{
	struct hd_bin *bin = &cache->bins[class];
	struct hd_slot *slot = bin->top;

	if (!slot->block)
		return NULL;
	bin->top = slot - 1;
	atomic_store_explicit(slot->state, bytes + 1, memory_order_relaxed);
	cache->counters.nr_blocks++;
	cache->counters.allocated_bytes += bytes;
	return slot->block;
}

static void push(struct hd_front *front, struct hd_cache *cache,
		 unsigned int class, const struct hd_slot *slot)
{
	struct hd_bin *bin = &cache->bins[class];

	if (bin->top == bin->limit && (!bin_room(bin) || !front->near))
		bin_grow(cache, class);
	if (bin->top == bin->limit)
		bin_drain(front, bin, (bin_room(bin) + 1) / 2);
	if (bin->top == bin->limit)
		slot_put(front, slot);
	else
		*++bin->top = *slot;
}

/* How much may be kept in spans without a block. */
static size_t empty_bound(const struct hd_front *front)
{
	size_t share = front->span_bytes / 8;

	if (front->near)
		return 0;
	return share > EMPTY_MIN_BYTES ? share : EMPTY_MIN_BYTES;
}

/* Only what is in a span of the heap is worth holding the front end for. */
static struct hd_span *span_of_heap(const struct hd_heap *heap, const void *block)
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

bool hd_front_alloc_slow(const struct hd_ref *ref, size_t bytes, void **block,
			 DWORD *scopes)
{
	unsigned int class;
	struct hold hold;

	if (!enabled || ref->heap->front.off || bytes > HD_FRONT_MAX_BYTES ||
	    !hold_with_cache(&hold, ref))
		return false;
	class = hd_front_class(bytes);
	*block = pop(hold.cache, class, bytes);
	if (!*block && !bin_fill(&hold, ref->id, class))
		*block = pop(hold.cache, class, bytes);
	if (hold.scopes)
		*scopes = hold.scopes;
	release_front(&hold);
	return *block;
}

bool hd_front_free_slow(const struct hd_ref *ref, void *block)
{
	struct hd_cache *cache;
	_Atomic uint16_t *state;
	struct hd_span *span;
	struct hold hold;
	unsigned int old = 0;
	bool too_many;

	if (!span_of_heap(ref->heap, block) || !hold_with_cache(&hold, ref))
		return false;
	cache = hold.cache;
	state = find_state(ref->heap, block, &span);
	if (state)
		old = hd_state_take(state, cache->shared);
	if (old) {
		push(hold.front, cache, span->class, &(struct hd_slot){
			.block = block, .state = state,
		});
		cache->counters.nr_blocks--;
		cache->counters.allocated_bytes -= old - 1;
	}
	too_many = hold.front->empty_bytes > empty_bound(hold.front);
	release_front(&hold);
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
	struct hold hold;

	if (!span_of_heap(ref->heap, block) || !hold_front(&hold, ref, false))
		return false;
	state = find_state(ref->heap, block, &span);
	if (state && !is_dead(hold.front))
		value = atomic_load_explicit(state, memory_order_relaxed);
	release_front(&hold);
	*bytes = value - 1;
	return value;
}

/* Resizes a block in its slot; false if it has to move or is none. */
bool hd_front_resize(const struct hd_ref *ref, void *block, size_t old_bytes,
		     size_t bytes)
{
	_Atomic uint16_t *state;
	struct hd_span *span;
	struct hold hold;
	bool done = false;

	if (!hold_with_cache(&hold, ref))
		return false;
	state = find_state(ref->heap, block, &span);
	if (state && bytes <= span->slot_bytes) {
		atomic_store_explicit(state, bytes + 1, memory_order_relaxed);
		hold.cache->counters.allocated_bytes += bytes - old_bytes;
		done = true;
	}
	release_front(&hold);
	return done;
}

/* Gives back as hd_front_trim(); of a heap that is @locked nothing. */
static bool trim(const struct hd_ref *ref, bool caches, bool even_locked)
{
	struct hd_front *front = &ref->heap->front;
	struct hd_cache *cache;
	struct hold hold;
	bool any = false;
	unsigned int i;

	if (!enabled || !front->caches || !hold_front(&hold, ref, true))
		return false;
	if (!front->locked || even_locked) {
		/* A cache that is held by being busy is the only one. */
		for (cache = front->caches; caches && cache; cache = cache->next)
			for (i = 0; i < HD_NR_CLASSES; i++)
				bin_drain(front, &cache->bins[i], SIZE_MAX);
		any = give_empty(front, ref->id,
				 caches ? 0 : empty_bound(front) / 2);
	}
	release_front(&hold);
	return any;
}

bool hd_front_trim(const struct hd_ref *ref, bool caches)
{
	return trim(ref, caches, true);
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
		.id = atomic_load_explicit(&heap->id, memory_order_acquire),
		.heap_flags = atomic_load_explicit(&heap->flags,
						   memory_order_relaxed),
	};

	if (heap != search->own && ref.id)
		search->any |= trim(&ref, true, false);
	return false;
}

bool hd_front_make_room(const struct hd_ref *ref, int err)
{
	struct search search = { .own = ref->heap };

	search.any = trim(ref, true, true);
	if (!search.any && err != -ENOSPC)
		hd_heap_search(trim_other, &search);
	return search.any;
}

/* The kernel has taken all spans back, and written to the keys. */
static void forget_spans(struct hd_front *front)
{
	struct hd_cache *cache;
	unsigned int i;

	while (front->spans)
		span_remove(front, front->spans);
	front->empty = NULL;
	front->empty_bytes = 0;
	memset(front->partial, 0, sizeof(front->partial));
	for (cache = front->caches; cache; cache = cache->next) {
		for (i = 0; i < HD_NR_CLASSES; i++)
			cache->bins[i].top = cache->bins[i].base;
		change_key(cache, PRIVHEAP_COUNTERS_RESET, front->nr_closers ?
			   HD_KEY_CLOSED : (uintptr_t)cache->heap->handle);
	}
}

int hd_front_reset_heap(const struct hd_ref *ref, size_t keep_bytes)
{
	struct hold hold;
	int err;

	if (!enabled || !ref->heap->front.caches)
		return hd_backend_reset(ref->id, keep_bytes);
	if (!hold_front(&hold, ref, true))
		return -ENXIO;
	err = hd_backend_reset(ref->id, keep_bytes);
	if (!err)
		forget_spans(hold.front);
	release_front(&hold);
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
	struct hold hold;

	if (!enabled || !ref->heap->front.caches ||
	    !hold_front(&hold, ref, true))
		return 0;
	for (span = hold.front->spans; span; span = span->next_all) {
		bytes = span_largest_free(span);
		if (bytes > largest)
			largest = bytes;
	}
	release_front(&hold);
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
	entry->bytes = state ? state - 1 : entry->capacity_bytes;
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
	struct hold hold;
	int count = 1;

	if (!enabled || !ref->heap->front.caches)
		return hd_backend_walk(ref->id, after, entries, nr_entries);
	if (!hold_front(&hold, ref, true))
		return -ENXIO;
	while (nr < nr_entries && count > 0) {
		count = walk_step(ref, &last, &entries[nr]);
		if (count > 0)
			last = entries[nr++];
	}
	release_front(&hold);
	return nr ? (int)nr : count;
}

int hd_front_stat(const struct hd_ref *ref, struct hd_usage *usage)
{
	struct hold hold;
	int err;

	if (!enabled || !ref->heap->front.caches)
		return hd_backend_stat(ref->id, usage);
	if (!hold_front(&hold, ref, true))
		return -ENXIO;
	err = hd_backend_stat(ref->id, usage);
	release_front(&hold);
	return err;
}

/* Checking */

static bool span_is_sound(const struct hd_heap *heap, const struct hd_span *span)
{
	uint32_t i, nr_free = 0;
	unsigned int state;
	bool free;

	if (span->handle != heap->handle || span->class >= HD_NR_CLASSES ||
	    span->slot_bytes != classes[span->class].slot_bytes ||
	    span->nr_slots != span->bytes / span->slot_bytes ||
	    hd_front_span((void *)span->base) != span)
		return false;
	for (i = 0; i < span->nr_slots; i++) {
		state = atomic_load_explicit(&span->states[i],
					     memory_order_relaxed);
		free = span->free[i / 64] >> i % 64 & 1;
		if (state > span->slot_bytes + 1 || (free && state))
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
	struct hold hold;
	bool sound = true;

	if (!enabled || !ref->heap->front.caches)
		return true;
	if (!hold_front(&hold, ref, true))
		return false;
	for (span = hold.front->spans; span && sound; span = span->next_all)
		sound = span_is_sound(ref->heap, span);
	for (cache = hold.front->caches; cache && sound; cache = cache->next)
		sound = cache_is_sound(cache);
	release_front(&hold);
	return sound;
}

/* The heap's lock, its end, and forks */

void hd_front_close(const struct hd_ref *ref)
{
	struct hd_front *front = &ref->heap->front;

	if (!enabled || front->locked)
		return;
	pthread_mutex_lock(&front->mutex);
	close_locked(front, find_cache(ref->heap));
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
	open_locked(front);
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

static void front_clear(struct hd_front *front)
{
	struct hd_cache *cache, *next;

	while (front->spans)
		span_remove(front, front->spans);
	for (cache = front->caches; cache; cache = next) {
		next = cache->next;
		if (cache->owned)
			atomic_store_explicit(&cache->dead, 1,
					      memory_order_release);
		else
			cache_recycle(cache);
	}
	front->caches = NULL;
	front->empty = NULL;
	memset(front->partial, 0, sizeof(front->partial));
	front->empty_bytes = 0;
	front->nr_closers = 0;
	front->locked = false;
	front->shared = false;
	front->near = 0;
}

void hd_front_end_heap(struct hd_heap *heap)
{
	struct hd_front *front = &heap->front;

	if (!enabled)
		return;
	pthread_mutex_lock(&front->mutex);
	close_locked(front, find_cache(heap));
	front_clear(front);
	pthread_mutex_unlock(&front->mutex);
}

void hd_front_init(void)
{
	const char *value = secure_getenv("HEAPDEV_FRONTEND");
	unsigned int i;

	page_bytes = sysconf(_SC_PAGESIZE);
	hd_no_cache.counters.key = HD_KEY_CLOSED;
	for (i = 0; i < HD_NR_CLASSES; i++) {
		class_init(&classes[i], class_slot_bytes(i));
		bin_init(&hd_no_cache.bins[i]);
	}
	for (i = 0; i <= HD_FRONT_TABLE_BYTES / 16; i++)
		hd_bin_of_size[i] = offsetof(struct hd_cache, bins) +
			hd_front_class(16 * i) * sizeof(struct hd_bin);
	if (!value || strcmp(value, "1"))
		return;
	if (!has_thread_key && pthread_key_create(&thread_key, thread_exit))
		return;
	has_thread_key = true;
	enabled = make_cpus_agree(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void hd_front_fork_prepare(void)
{
	pthread_mutex_lock(&arena_mutex);
}

void hd_front_fork_parent(void)
{
	pthread_mutex_unlock(&arena_mutex);
}

/* The child has no heap; nothing of what described them is of use to it. */
void hd_front_fork_child(void)
{
	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
	unsigned int i;

	for (i = 0; i < nr_leaves; i++)
		madvise(hd_map[leaves[i]],
			sizeof(**hd_map) << HD_MAP_LEAF_BITS, MADV_DONTNEED);
	arena = arena_end = NULL;
	memset(arena_unused, 0, sizeof(arena_unused));
	unused_caches = NULL;
	thread_caches = NULL;
	memset(recent, 0, sizeof(recent));
	hd_last_cache = &hd_no_cache;
	arena_mutex = unlocked;
}

void hd_front_reset(struct hd_front *front)
{
	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	memset(front, 0, sizeof(*front));
	front->mutex = unlocked;
}
