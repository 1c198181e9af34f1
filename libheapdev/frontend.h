/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The front end's objects, what its files know of each other, and what HeapAlloc() and
 * HeapFree() do when nothing is in the way; frontend.c tells where the rest is.
 */
#ifndef LIBHEAPDEV_FRONTEND_H
#define LIBHEAPDEV_FRONTEND_H

#include "internal.h"

/* The largest block that the front end serves. */
#define HD_FRONT_MAX_BYTES	16384UL
/* Sizes up to this find their class in a table. */
#define HD_FRONT_TABLE_BYTES	1024UL

/* The table of pages has a place for each 4 KiB, whatever a page is. */
#define HD_MAP_SHIFT		12
#define HD_MAP_LEAF_BITS	18
#define HD_MAP_LEAF_SLOTS	(1UL << HD_MAP_LEAF_BITS)
#define HD_MAP_DIRECTORY_SLOTS	(1U << 17)	/* addresses of 47 bits */

/**
 * struct hd_span - pages of one heap that are cut into slots of one class
 * @base: address of the first slot
 * @handle: the heap's (constant)
 * @owner: the cache whose thread takes blocks out without atomic operations; NULL if
 *	nobody may, since blocks are freed in several threads (hd_span_pass())
 * @bin: of the class in that cache (as @owner)
 * @inverse: of the odd part of slot_bytes, modulo 2^64 (constant)
 * @nr_slots: how many (constant)
 * @shift: slot_bytes is its odd part shifted left by this (constant)
 * @class: size class (constant)
 * @slot_bytes: length of a slot (constant)
 * @nr_free: bits that are set in @free (front)
 * @bytes: length of the span (constant)
 * @region: of the heap; known once a walk has come by (front)
 * @next: next span of the list it is on (front)
 * @prev: the one before (front)
 * @next_all: next span of the heap, and (front)
 * @prev_all: the one before (front)
 * @free: bit n is set when slot n is neither a block nor in a cache (front)
 * @states: by slot: the requested size; HD_STATE_EMPTY for a block of 0 bytes, and
 *	0 where there is no block
 */
struct hd_span {
	uintptr_t base;
	HANDLE handle;
	struct hd_cache *owner;
	struct hd_bin *bin;
	uint64_t inverse;
	size_t nr_slots;
	uint8_t shift;
	uint16_t class;
	uint32_t slot_bytes;
	uint32_t nr_free;
	uint32_t region;
	size_t bytes;
	struct hd_span *next, *prev;
	struct hd_span *next_all, *prev_all;
	uint64_t *free;
	_Atomic uint16_t states[];
};

/* Negative where sizes are positive, so that one comparison tells both from those. */
#define HD_STATE_EMPTY	0xffff

/**
 * struct hd_leaf - 1 GiB of the table of pages
 * @none: the span of a page that has none: of no heap
 * @offsets: by page: where its span is, from here
 */
struct hd_leaf {
	struct hd_span none;
	intptr_t offsets[HD_MAP_LEAF_SLOTS];
};

/* A free slot in a cache. */
struct hd_slot {
	void *block;
	_Atomic uint16_t *state;
};

/**
 * struct hd_bin - the free slots of a class in a cache
 * @top: the next one to be used; its block is NULL if there is none
 * @limit: the last place
 * @base: the place before the first, whose block is always NULL
 */
struct hd_bin {
	struct hd_slot *top;
	struct hd_slot *limit;
	struct hd_slot *base;
};

/**
 * struct hd_cache - what a thread keeps of a heap
 * @counters: what PRIVHEAP_IOC_COUNT knows. Its key is the heap's handle;
 *	HD_KEY_CLOSED while the fast path is closed, PRIVHEAP_COUNTERS_DEAD when the
 *	kernel says so
 * @busy: a call of the owner is at work without a lock
 * @shared: other threads have a cache of this heap, too
 * @dead: the heap has ended (front)
 * @heap: which heap
 * @next: next cache of the heap (front)
 * @next_of_thread: next cache of the owner (owner)
 * @owned: a thread has it (front)
 * @budget: bytes that its bins may still grow by
 * @leaf: of the table of pages; likely the one that blocks are freed in (owner)
 * @bins: by class; and one that is never filled
 * @partial: spans that it owns with a free slot and a block, by class (front)
 * @bin_of_size: by size, as hd_cache_bin() wants it (constant)
 */
struct hd_cache {
	struct privheap_counters counters;
	_Atomic uint8_t busy;
	uint8_t shared;
	_Atomic uint8_t dead;
	struct hd_heap *heap;
	struct hd_cache *next;
	struct hd_cache *next_of_thread;
	bool owned;
	size_t budget;
	const struct hd_leaf *leaf;
	struct hd_bin bins[HD_NR_CLASSES + 1];
	struct hd_span *partial[HD_NR_CLASSES];
	uint8_t bin_of_size[HD_FRONT_TABLE_BYTES + 1];
};

extern struct hd_cache hd_no_cache;
/* No handle. */
#define HD_KEY_CLOSED	((uintptr_t)&hd_no_cache)

extern __thread struct hd_cache *hd_last_cache;
extern struct hd_leaf *hd_map[HD_MAP_DIRECTORY_SLOTS];

/* Makes a cache of this heap the last one, if the calling thread has one. */
bool hd_front_switch(HANDLE handle);
/* The same, with the part of the table of pages that an address is in. */
bool hd_front_aim(HANDLE handle, const void *block);

/* What the files of the front end know of each other */

/* The sizes of a class's spans. */
struct hd_class {
	uint32_t slot_bytes;
	uint16_t base_pages;
	uint16_t max_pages;
};

/*
 * How a call holds a front end: by the mutex, or, alone on a heap that is not
 * serialised, by being busy.
 */
struct hd_hold {
	struct hd_front *front;
	struct hd_heap *heap;
	struct hd_cache *cache;		/* the caller's, or NULL */
	DWORD scopes;			/* soft limits that were crossed */
	bool closed;
	bool busy;
};

/* arena.c */

extern size_t hd_page_bytes;
extern pthread_mutex_t hd_arena_mutex;

/* Zeroed memory, or NULL. */
void *hd_arena_alloc(size_t bytes);
void hd_arena_free(void *mem, size_t bytes);
/* Makes sure that the table of pages has a place for the page of an address. */
bool hd_map_reserve(uintptr_t addr);
void hd_map_set(uintptr_t addr, size_t bytes, struct hd_span *span);
void hd_arena_fork_child(void);

/* span.c */

extern struct hd_class hd_classes[HD_NR_CLASSES];

void hd_span_init(void);
/* Adds a span, longer ones the more the class has. */
int hd_span_add(struct hd_hold *hold, uint64_t id, unsigned int class);
/* Takes a span without a block out, that is on no list. */
void hd_span_remove(struct hd_front *front, struct hd_span *span);
/* Makes an empty span one that is used again, by a cache; another thread's if @any. */
struct hd_span *hd_span_use_empty(struct hd_front *front, struct hd_cache *cache,
				  unsigned int class, bool any);
/* Passes a span with a block on to another cache, or to all of them (NULL). */
void hd_span_pass(struct hd_front *front, struct hd_span *span,
		  struct hd_cache *to);
/* Whatever they were, no slot is a block or in a cache any more. */
void hd_span_free_all(struct hd_front *front);
/* Takes the memory of pages that no block reaches into. */
void hd_span_drop(const struct hd_front *front, uint64_t id);
/* Gives empty spans back until @keep_bytes are left. */
bool hd_span_give_empty(struct hd_front *front, uint64_t id, size_t keep_bytes);
/* Puts a slot back into its span. */
void hd_span_put_slot(struct hd_front *front, const struct hd_slot *slot);
/* Takes up to @want free slots of a span; those with lower addresses on top. */
size_t hd_span_take_slots(struct hd_front *front, struct hd_bin *bin,
			  struct hd_span *span, size_t want);

/* cache.c */

/* False if there cannot be caches. */
bool hd_cache_init(void);
/* The calling thread's cache of a heap, or NULL. */
struct hd_cache *hd_cache_find(const struct hd_heap *heap);
/* From one key to another; not if the kernel has said that the heap is dead. */
void hd_cache_change_key(struct hd_cache *cache, uintptr_t from, uintptr_t to);
/* Waits until its thread is in no call without a lock that began before. */
void hd_cache_stop(const struct hd_front *front, struct hd_cache *cache);
void hd_cache_go(const struct hd_front *front, struct hd_cache *cache);
/* From here on, nobody but the caller uses the caches; @own is the caller's. */
void hd_front_close_locked(struct hd_front *front, const struct hd_cache *own);
void hd_front_open_locked(struct hd_front *front);
/* False if the heap that the call began with has ended. */
bool hd_front_hold(struct hd_hold *hold, const struct hd_ref *ref, bool alone);
/* The same with the caller's cache, made if need be; or, where none can be, alone. */
bool hd_front_hold_any(struct hd_hold *hold, const struct hd_ref *ref);
/* The same; false if there is no cache. */
bool hd_front_hold_cache(struct hd_hold *hold, const struct hd_ref *ref);
void hd_front_release(struct hd_hold *hold);
/* Puts the oldest slots of a bin back. */
void hd_bin_drain(struct hd_front *front, struct hd_bin *bin, size_t count);
/* Fills an empty bin, at least with one slot. */
int hd_bin_fill(struct hd_hold *hold, uint64_t id, unsigned int class);
/* A block of a cache, or NULL. */
void *hd_cache_pop(struct hd_cache *cache, unsigned int class, size_t bytes);
/* A free slot into a cache, or if that is full into its span. */
void hd_cache_push(struct hd_front *front, struct hd_cache *cache,
		   unsigned int class, const struct hd_slot *slot);
/* Begins anew, with bins as full as the spans there are can make them. */
void hd_cache_refill(struct hd_front *front, struct hd_cache *cache);
/* Takes the caller's cache away from it; another thread may have it then. */
void hd_cache_disown(struct hd_cache *cache);
/* A cache that lost its heap; what it held went with that. */
void hd_cache_recycle(struct hd_cache *cache);
void hd_cache_fork_child(void);

/* The fast path */

#define hd_inline	static inline __attribute__((__always_inline__))
#define hd_likely(x)	__builtin_expect(!!(x), 1)
#define hd_unlikely(x)	__builtin_expect(!!(x), 0)

/* Which class; bytes are at most HD_FRONT_MAX_BYTES. */
static inline unsigned int hd_front_class(size_t bytes)
{
	unsigned int order;

	if (bytes)
		bytes--;
	if (bytes < 128)
		return bytes / 16;
	order = 63 - __builtin_clzl(bytes);
	return 8 + 8 * (order - 7) + ((bytes >> (order - 3)) & 7);
}

static inline uintptr_t hd_cache_key(const struct hd_cache *cache)
{
	return __atomic_load_n(&cache->counters.key, __ATOMIC_RELAXED);
}

/*
 * Not atomic, which would take one instruction more; a word it is, and processors
 * of this kind read in order.
 */
static inline bool hd_cache_has_key(const struct hd_cache *cache, HANDLE handle)
{
#ifdef __SANITIZE_THREAD__	/* which has to be told so */
	return __atomic_load_n(&cache->counters.key, __ATOMIC_ACQUIRE) ==
	       (uintptr_t)handle;
#else
	/* cppcheck-suppress [nullPointerRedundantCheck, ctunullpointer] */
	return cache->counters.key == (uintptr_t)handle;
#endif
}

/*
 * Begins a call without a lock; NULL if the last cache is not of this heap. Who
 * closes a cache takes the key, makes all CPUs pass a barrier, and waits until nobody
 * is busy; so here the order of program will do.
 */
static inline struct hd_cache *hd_front_begin(HANDLE handle)
{
	struct hd_cache *cache = hd_last_cache;

	atomic_store_explicit(&cache->busy, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (hd_likely(hd_cache_has_key(cache, handle))) {
		if (!cache)	/* which the compiler cannot know */
			__builtin_unreachable();
		/* Pairs with hd_front_open_locked(): nothing is read before the key. */
		atomic_signal_fence(memory_order_acquire);
		return cache;
	}
	atomic_store_explicit(&cache->busy, 0, memory_order_relaxed);
	return NULL;
}

static inline void hd_front_end(struct hd_cache *cache)
{
	atomic_store_explicit(&cache->busy, 0, memory_order_release);
}

/* The span of the page at this place of the leaf, which may be another page's. */
static inline struct hd_span *hd_leaf_span(const struct hd_leaf *leaf,
					   const void *block)
{
	const intptr_t *offset = &leaf->offsets[(uintptr_t)block >> HD_MAP_SHIFT &
						(HD_MAP_LEAF_SLOTS - 1)];

#ifdef __SANITIZE_THREAD__	/* as in hd_cache_has_key() */
	return (void *)((char *)leaf + __atomic_load_n(offset, __ATOMIC_ACQUIRE));
#else
	struct hd_span *span = (void *)((char *)leaf + *offset);

	/* Pairs with hd_map_set(): nothing of the span is read before. */
	atomic_signal_fence(memory_order_acquire);
	return span;
#endif
}

/* The span that an address is in; or NULL, or one of no heap. */
static inline struct hd_span *hd_front_span(const void *block)
{
	uintptr_t index = (uintptr_t)block >> (HD_MAP_SHIFT + HD_MAP_LEAF_BITS);
	const struct hd_leaf *leaf;

	if (index >= HD_MAP_DIRECTORY_SLOTS)
		return NULL;
	leaf = __atomic_load_n(&hd_map[index], __ATOMIC_ACQUIRE);
	return leaf ? hd_leaf_span(leaf, block) : NULL;
}

/*
 * The state of the slot that starts at an address, which may be any; NULL if none
 * does. The product with the inverse undoes the multiplication by the odd part of
 * slot_bytes, and the rotation that by the power of two; of what is no multiple
 * of slot_bytes, that makes something larger than the number of a slot.
 */
static inline _Atomic uint16_t *hd_span_state(struct hd_span *span,
					      const void *block)
{
	uint64_t i = (uintptr_t)block - span->base;

	asm("" : "+r" (i));	/* which is to be multiplied where it is */
	i *= span->inverse;
	i = i >> span->shift | i << (64 - span->shift);
	if (hd_unlikely(i >= span->nr_slots))
		return NULL;
	return &span->states[i];
}

/* Only whether it is a cache of the caller's, or NULL, is to be relied on. */
static inline struct hd_cache *hd_span_owner(const struct hd_span *span)
{
#ifdef __SANITIZE_THREAD__	/* as in hd_cache_has_key() */
	return __atomic_load_n(&span->owner, __ATOMIC_ACQUIRE);
#else
	return span->owner;
#endif
}

static inline unsigned int hd_state_of_bytes(size_t bytes)
{
	return bytes ? bytes : HD_STATE_EMPTY;
}

static inline size_t hd_state_bytes(unsigned int state)
{
	return state == HD_STATE_EMPTY ? 0 : state;
}

/* Numbers of bins count in words, which is how processors add them up. */
static inline uint8_t hd_bin_number(unsigned int class)
{
	return class * (sizeof(struct hd_bin) / sizeof(void *));
}

static inline struct hd_bin *hd_cache_bin(struct hd_cache *cache, size_t number)
{
	return (struct hd_bin *)((void **)cache->bins + number);
}

/**
 * hd_front_alloc() - allocate a block from the calling thread's cache
 * @handle: any value
 * @bytes: requested size
 * @max_bytes: larger ones are refused; a constant: which of two ways leads to the bin
 *
 * Return: the block; or NULL if it takes more than that.
 */
hd_inline void *hd_front_alloc(HANDLE handle, size_t bytes, size_t max_bytes)
{
	struct hd_cache *cache;
	struct hd_slot *slot;
	struct hd_bin *bin;
	void *block;

	if (hd_unlikely(bytes > max_bytes))
		return NULL;
	cache = hd_front_begin(handle);
	if (hd_unlikely(!cache))
		return NULL;
	if (max_bytes <= HD_FRONT_TABLE_BYTES)
		bin = hd_cache_bin(cache, cache->bin_of_size[bytes]);
	else
		bin = &cache->bins[hd_front_class(bytes)];
	slot = bin->top;
	block = slot->block;
	if (hd_likely(block)) {
		bin->top = slot - 1;
		atomic_store_explicit(slot->state,
				      max_bytes <= HD_FRONT_TABLE_BYTES ? bytes :
				      hd_state_of_bytes(bytes),
				      memory_order_relaxed);
		cache->counters.nr_blocks++;
		cache->counters.allocated_bytes += bytes;
	}
	hd_front_end(cache);
	return block;
}

/*
 * Takes what was in the slot out. From two threads only one gets it: the span is
 * the caller's alone, or it is everybody's.
 */
static inline size_t hd_state_take(_Atomic uint16_t *state, bool own)
{
	size_t old;

	if (!own)
		return atomic_exchange_explicit(state, 0, memory_order_acq_rel);
	old = atomic_load_explicit(state, memory_order_relaxed);
	atomic_store_explicit(state, 0, memory_order_relaxed);
	return old;
}

/**
 * hd_front_free() - free a block into the calling thread's cache
 * @handle: any value
 * @block: any value
 * @own: a constant: whether its span has to be the cache's, or nobody's
 *
 * Return: false if it takes more than that, or is no block of this heap.
 */
hd_inline bool hd_front_free(HANDLE handle, void *block, bool own)
{
	struct hd_cache *cache = hd_front_begin(handle);
	_Atomic uint16_t *state;
	struct hd_span *span;
	struct hd_slot *slot;
	struct hd_bin *bin;
	size_t old;

	if (hd_unlikely(!cache))
		return false;
	span = hd_leaf_span(cache->leaf, block);
	if (hd_unlikely(hd_span_owner(span) != (own ? cache : NULL)))
		goto out_end;
	if (!own && span->handle != handle)
		goto out_end;
	state = hd_span_state(span, block);
	if (hd_unlikely(!state))
		goto out_end;
	bin = own ? span->bin : &cache->bins[span->class];
	slot = bin->top;
	if (hd_unlikely(slot == bin->limit))
		goto out_end;
	old = hd_state_take(state, own);
	if (hd_unlikely((int16_t)old <= 0)) {
		if (!old)
			goto out_end;
		old = hd_state_bytes(old);
	}
	slot[1].block = block;
	slot[1].state = state;
	bin->top++;
	cache->counters.nr_blocks--;
	cache->counters.allocated_bytes -= old;
	hd_front_end(cache);
	return true;

out_end:
	hd_front_end(cache);
	return false;
}

/* What a block of the front end needs to have another size. */
enum hd_fit {
	HD_FIT_UNKNOWN,		/* it is none, or this takes more */
	HD_FIT_DONE,		/* nothing: it has it now */
	HD_FIT_MOVES,		/* a larger slot */
};

/**
 * hd_front_fit() - resize a block in its slot
 * @handle: any value
 * @block: any value
 * @bytes: the new requested size
 * @old_bytes: receives the old one unless that is unknown
 */
static inline enum hd_fit hd_front_fit(HANDLE handle, const void *block,
				       size_t bytes, size_t *old_bytes)
{
	struct hd_cache *cache = hd_front_begin(handle);
	enum hd_fit fit = HD_FIT_UNKNOWN;
	_Atomic uint16_t *state = NULL;
	struct hd_span *span;
	uint16_t old = 0;

	if (!cache)
		return fit;
	span = hd_leaf_span(cache->leaf, block);
	if (span->handle == handle &&
	    (hd_span_owner(span) == cache || !hd_span_owner(span)))
		state = hd_span_state(span, block);
	if (state)
		old = atomic_load_explicit(state, memory_order_relaxed);
	if (old) {
		*old_bytes = hd_state_bytes(old);
		fit = bytes > span->slot_bytes ? HD_FIT_MOVES : HD_FIT_DONE;
	}
	/* If another thread frees it right now, it is not resized. */
	if (fit == HD_FIT_DONE &&
	    !atomic_compare_exchange_strong_explicit(state, &old,
						     hd_state_of_bytes(bytes),
						     memory_order_acq_rel,
						     memory_order_relaxed))
		fit = HD_FIT_UNKNOWN;
	if (fit == HD_FIT_DONE)
		cache->counters.allocated_bytes += bytes - *old_bytes;
	hd_front_end(cache);
	return fit;
}

#endif /* LIBHEAPDEV_FRONTEND_H */
