/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of libheapdev know of each other.
 *
 * batch.c, block.c, commit.c, heap.c, info.c, limit.c, lock.c and walk.c translate
 * the program's calls. They find the heap with hd_heap_enter() (handle.c) and talk to
 * the kernel through backend.c only, which knows the structures of the uapi, as device.c
 * knows the file. Internal functions return 0 or a negative errno; error.c turns that
 * into Win32 codes at the edge. errno itself is never changed.
 *
 * Lock order, outermost first:
 *
 *	hd_heap.lock, .debug_lock	the heap's own lock, recursive; may be
 *	|				held by the program between calls
 *	`- process_heap_mutex (heap.c)	making of the process heap
 *	   |- registry_mutex (heap.c)	list of heaps, objects
 *	   |  `- hd_front.mutex		a heap's spans and caches
 *	   |     `- hd_arena_mutex	memory of spans and caches (arena.c)
 *	   `- device_mutex (device.c)	opening of the device
 *	hd_debug.mutex			what a debug heap has freed; innermost
 *	handler_mutex (exception.c)	table of handlers; innermost
 *
 * fork.c takes those that are not a heap's around a fork, so that the child finds what
 * they protect in a consistent state. Those of heaps are not taken: the child has no
 * heaps, forgets what they protect, and makes them anew.
 */
#ifndef LIBHEAPDEV_INTERNAL_H
#define LIBHEAPDEV_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/privheap.h>

#include "heapdev.h"

/* The largest block of a fixed heap. */
#define HD_FIXED_BLOCK_MAX_BYTES	0xFE000

/* device.c */

/**
 * hd_device_open() - open the device unless it is open
 *
 * Context: Any thread; takes device_mutex.
 * Return: 0 or the negative errno of opening it, -ENOTSUP if it is not the
 * device or too old.
 */
int hd_device_open(void);

/**
 * hd_device_call() - one ioctl on the device, repeated when a signal ended it
 * @request: PRIVHEAP_IOC_*
 * @arg: its structure
 *
 * Return: 0 or a negative errno; -EBADF if the device is not open.
 */
int hd_device_call(unsigned long request, void *arg);

/* The largest heap that there can be; only when the device was opened. */
uint64_t hd_device_max_bytes(void);

void hd_device_fork_prepare(void);
void hd_device_fork_parent(void);
void hd_device_fork_child(void);

/* backend.c: one function for each call of the uapi */

struct hd_usage {
	bool dead;
	uint64_t max_bytes;		/* 0: growable */
	uint64_t limit_bytes;		/* 0: none */
	uint64_t reserved_bytes;
	uint64_t committed_bytes;
	uint64_t allocated_bytes;
};

int hd_backend_create(uint32_t flags, uint64_t initial_bytes,
		      uint64_t max_bytes, uint64_t quarantine_bytes,
		      const HEAPDEV_OPTIONS *options, uint64_t *id,
		      void **base);
int hd_backend_destroy(uint64_t id);
int hd_backend_stat(uint64_t id, struct hd_usage *usage);
/* @scopes: PRIVHEAP_NOTICE_*; written only if there is something to tell. */
int hd_backend_alloc(uint64_t id, uint32_t flags, size_t bytes, void **block,
		     DWORD *scopes);
int hd_backend_realloc(uint64_t id, uint32_t flags, void **block, size_t bytes,
		       DWORD *scopes);
/* Sets what @flags, PRIVHEAP_LIMIT_F_*, names, and reads all; @id 0: the process. */
int hd_backend_limit(uint64_t id, uint32_t flags, HEAPDEV_LIMITS *limits);
int hd_backend_inject(uint64_t id, uint64_t nth, uint32_t rate_ppm, uint64_t seed);
int hd_backend_reset(uint64_t id, uint64_t keep_bytes);
int hd_backend_policy(uint64_t id, uint32_t policy, uint32_t window_pages,
		      uint64_t idle_bytes);
/* PRIVHEAP_IOC_COMMIT, _DECOMMIT or _PREFAULT; @done is written on success. */
int hd_backend_pages(uint64_t id, unsigned long request, void *address,
		     uint64_t bytes, uint64_t *done);
int hd_backend_pagemap(uint64_t id, const void *address, HEAPDEV_PAGE_MAP *map);
int hd_backend_free(uint64_t id, void *block);
int hd_backend_size(uint64_t id, const void *block, size_t *bytes);
int hd_backend_compact(uint64_t id, uint64_t *largest_free_bytes);

/* So many go to the kernel at once. */
#define HD_BATCH_ENTRIES	16U

/* Pages of a span. */
struct hd_pages {
	uintptr_t base;
	size_t bytes;
};

/* One span of @nr_pages; @near says whether a limit is. */
int hd_backend_take(uint64_t id, size_t nr_pages, uintptr_t *base, bool *near,
		    DWORD *scopes);
/*
 * The same for many. Each entry has its result then: what the call came to no more
 * has the call's errno.
 */
void hd_backend_batch(uint64_t id, uint32_t op, uint32_t flags,
		      struct privheap_batch_entry *entries, unsigned int nr,
		      DWORD *scopes);
void hd_backend_give(uint64_t id, const uintptr_t *bases, unsigned int nr);
/* Takes the memory of pages in spans away; they stay committed. */
void hd_backend_drop(uint64_t id, const struct hd_pages *pages, unsigned int nr);
int hd_backend_count(uint64_t id, const struct privheap_counters *counters);

/**
 * hd_backend_walk() - the next entries of a heap
 * @id: the heap
 * @after: the entry after which to go on, of which only kind and address are
 *	read; all zero to begin
 * @entries: filled; may be where @after is
 * @nr_entries: its length
 *
 * Return: how many were filled, 0 at the end, or a negative errno.
 */
int hd_backend_walk(uint64_t id, const struct privheap_entry *after,
		    struct privheap_entry *entries, unsigned int nr_entries);

/* A block that is longer than to the program, in a debug heap. */
int hd_backend_guard_alloc(uint64_t id, uint32_t flags, size_t bytes,
			   bool unaligned, uint64_t cookie, void **block,
			   DWORD *scopes);
int hd_backend_guard_free(uint64_t id, void *block, uint64_t cookie);

struct hd_description {
	void *block;			/* NULL: there is none */
	size_t bytes;
	bool freed;
	bool guarded;
	uint64_t alloc_cookie;
	uint64_t free_cookie;
};

/**
 * hd_backend_describe() - which block an address belongs to
 * @id: the heap
 * @address: any address
 * @description: filled
 *
 * Context: Any, signal handlers too.
 * Return: 0, -ENOENT if the heap does not reach there, or another negative errno.
 */
int hd_backend_describe(uint64_t id, const void *address,
			struct hd_description *description);

/* lock.c */

/*
 * A recursive lock. All bytes zero is an unlocked one. It is not a recursive
 * pthread mutex because HeapUnlock() must know whether the caller owns it.
 */
struct hd_lock {
	pthread_mutex_t mutex;
	_Atomic uint64_t owner;		/* number of a thread; 0: none */
	unsigned int depth;		/* (owner only) */
	bool robust;			/* outlives its owner (constant) */
};

void hd_lock_acquire(struct hd_lock *lock);
void hd_lock_release(struct hd_lock *lock);
/* Gives up every level the calling thread holds. */
void hd_lock_release_all(struct hd_lock *lock);
/* A new lock. If it is robust, one whose owner ended can be acquired. */
void hd_lock_init(struct hd_lock *lock, bool robust);
/* Only in a forked child, where no other thread can hold it. */
void hd_lock_reset(struct hd_lock *lock);

/* frontend.c */

/* Sizes: 16-byte steps to 128, then eight classes a doubling. */
#define HD_NR_CLASSES		64

struct hd_span;
struct hd_cache;

/*
 * The front end of a heap. All bytes zero is one that has nothing. What no other
 * rule is given for, (mutex) protects.
 */
struct hd_front {
	pthread_mutex_t mutex;
	struct hd_cache *caches;
	_Atomic bool off;		/* not for this heap; as its flags */
	bool shared;			/* more than one thread has used it */
	bool locked;			/* closed by hd_front_close(); (lock) */
	bool near;			/* a limit is */
	unsigned int nr_closers;
	struct hd_span *spans;		/* all */
	struct hd_span *empty[HD_NR_CLASSES];	/* without a block */
	struct hd_span *partial[HD_NR_CLASSES];	/* with a free slot */
	size_t class_bytes[HD_NR_CLASSES];
	size_t span_bytes;
	size_t peak_bytes;		/* of span_bytes */
	size_t empty_bytes;
};

/* heap.c */

/*
 * A place for a heap. It belongs to one handle for ever and is never freed, so
 * a stale handle leads to an object that can be looked at safely and says that
 * there is no heap, or to the heap that lives at that address now. There is at
 * most one for each 64 KiB of address space that a heap ever began in.
 */
struct hd_heap {
	_Atomic uint64_t id;		/* the kernel's; 0: no heap here */
	_Atomic uint32_t life;		/* one more for each heap that began here */
	_Atomic DWORD flags;		/* of creation; constant while id is */
	_Atomic ULONG compatibility;	/* HeapCompatibilityInformation */
	_Atomic bool plain;		/* only the front end has used it so far */
	uint64_t kept_id;		/* the kernel's, of one that is kept; else 0
					 * (registry_mutex) */
	SIZE_T initial_bytes, max_bytes;	/* of creation; as @flags */
	struct hd_debug *_Atomic debug;	/* NULL: no debug heap; as @flags */
	struct hd_debug *debug_memory;	/* for the next one (registry_mutex) */
	HANDLE handle;			/* (constant) */
	struct hd_lock lock;		/* of an ordinary heap */
	struct hd_lock debug_lock;	/* of a debug heap; robust */
	HEAPDEV_SOFT_CALLBACK soft_callback;	/* NULL: none (lock) */
	void *soft_context;		/* for it (lock) */
	struct hd_front front;
	struct hd_heap *next, *prev;	/* list of heaps (registry_mutex) */
	struct hd_heap *next_object;	/* all objects (constant) */
};

/* A heap in use by one call. */
struct hd_ref {
	struct hd_heap *heap;
	uint64_t id;
	uint32_t life;
	DWORD heap_flags;		/* of creation */
	DWORD flags;			/* those and the call's */
	struct hd_debug *debug;		/* NULL: no debug heap */
	struct hd_lock *lock;		/* the heap's */
};

/* Is it still the heap that the call began with? A kept one has its id again. */
static inline bool hd_heap_is_same(const struct hd_ref *ref)
{
	return atomic_load_explicit(&ref->heap->id, memory_order_relaxed) ==
	       ref->id &&
	       atomic_load_explicit(&ref->heap->life, memory_order_relaxed) ==
	       ref->life;
}

/* A debug heap: every call goes to debug.c, and nothing is cached. */
static inline bool hd_heap_is_debug(const struct hd_ref *ref)
{
	return ref->debug;
}

/* It has become more than spans, so when it ends it is destroyed. */
static inline void hd_heap_set_used(const struct hd_ref *ref)
{
	atomic_store_explicit(&ref->heap->plain, false, memory_order_relaxed);
}

/* Destroys the heaps that are kept. Returns true if there were any. */
bool hd_heap_drop_kept(void);

void hd_heap_fork_prepare(void);
void hd_heap_fork_parent(void);
void hd_heap_fork_child(void);

/* handle.c */

/* The object of @handle, made if need be; NULL without memory. */
struct hd_heap *hd_handle_get_locked(HANDLE handle);

/**
 * hd_heap_for_each() - call a function for every heap
 * @function: gets every object, also of heaps that have ended
 *
 * Context: Any, signal handlers too. Heaps that are made meanwhile may be left out.
 */
void hd_heap_for_each(void (*function)(struct hd_heap *heap));

/**
 * hd_heap_search() - find a heap for which a function is true
 * @matches: gets every object, also of heaps that have ended, and @arg
 * @arg: for @matches
 *
 * Context: Any, signal handlers too. Heaps that are made meanwhile may be left out.
 * Return: true if there was one.
 */
bool hd_heap_search(bool (*matches)(struct hd_heap *heap, void *arg), void *arg);

/**
 * hd_heap_enter() - begin a call on a heap
 * @ref: filled
 * @handle: what the program gave, which may be anything
 * @flags: of the call
 *
 * Takes the heap's lock unless HEAP_NO_SERIALIZE is among the flags.
 *
 * Return: false if @handle is no heap; nothing is held then.
 */
bool hd_heap_enter(struct hd_ref *ref, HANDLE handle, DWORD flags);

/**
 * hd_heap_leave() - end a call that hd_heap_enter() began
 * @ref: the heap
 */
void hd_heap_leave(struct hd_ref *ref);

/**
 * hd_heap_check_block() - see whether a new block of the kernel's is the program's
 * @ref: the heap
 * @block: the block
 *
 * If another thread destroyed the heap during the call it may be one that is kept: then
 * nobody may find the block in the next one.
 *
 * Return: 0, or -ENXIO and the block was freed again.
 */
int hd_heap_check_block(const struct hd_ref *ref, void *block);

/* frontend.c: what works on a heap that a call has entered */

/* What the environment says; before the first heap. */
void hd_front_init(void);

/* May a heap have a front end at all? Before it is published. */
void hd_front_begin_heap(struct hd_heap *heap, SIZE_T max_bytes, bool secret);

/* Each answers false if it is not for the front end: then the kernel is asked. */
bool hd_front_alloc_slow(const struct hd_ref *ref, size_t bytes, void **block,
			 DWORD *scopes);
bool hd_front_free_slow(const struct hd_ref *ref, void *block);
bool hd_front_size(const struct hd_ref *ref, const void *block, size_t *bytes);
bool hd_front_resize(const struct hd_ref *ref, void *block, size_t old_bytes,
		     size_t bytes);

/**
 * hd_front_trim() - give empty spans back
 * @ref: the heap
 * @caches: all of them, and first what the caches hold, then the memory of pages
 *	of other spans that hold nothing, and heaps that are kept; otherwise those
 *	that are too many
 *
 * Return: true if there were any empty spans.
 */
bool hd_front_trim(const struct hd_ref *ref, bool caches);

/**
 * hd_front_make_room() - give back all that is kept without need
 * @ref: a heap on which a call failed for want of room
 * @bytes: that much, or more, was asked for
 * @err: with this
 *
 * Other heaps of the process count to some of the limits, so they give back, too;
 * not those that somebody has locked.
 *
 * Return: true if room is what it was and there was anything: the call is worth
 * another try.
 */
bool hd_front_make_room(const struct hd_ref *ref, size_t bytes, int err);

/* As the functions of backend.c, with what the front end knows. */
int hd_front_walk(const struct hd_ref *ref, const struct privheap_entry *after,
		  struct privheap_entry *entries, unsigned int nr_entries);
int hd_front_stat(const struct hd_ref *ref, struct hd_usage *usage);
int hd_front_reset_heap(const struct hd_ref *ref, size_t keep_bytes);
size_t hd_front_largest_free(const struct hd_ref *ref);
bool hd_front_is_sound(const struct hd_ref *ref);

/* Does a block of the heap's front end start here? Any context, without a lock. */
bool hd_front_has_block(const struct hd_heap *heap, const void *address);

/**
 * hd_front_keep() - empty the front end of a heap that may begin anew
 * @heap: has ended for the program, and not for the kernel
 *
 * Its spans and its cache stay, closed.
 *
 * Return: false if it is not worth it: it has no cache, or those of several threads,
 * or much memory, or a limit is near.
 */
bool hd_front_keep(struct hd_heap *heap);
/* Opens it again; false if the heap is dead. */
bool hd_front_revive(struct hd_heap *heap);

/* From now on all calls come to the heap's lock, which the caller holds. */
void hd_front_close(const struct hd_ref *ref);
/* The mirror; nothing if hd_front_close() was not called. */
void hd_front_open(const struct hd_ref *ref);

/* The heap is nobody's any more, but its memory is there. */
void hd_front_end_heap(struct hd_heap *heap);

void hd_front_reset(struct hd_front *front);
void hd_front_fork_prepare(void);
void hd_front_fork_parent(void);
void hd_front_fork_child(void);

/* block.c */

/* Windows gives a fixed heap no large blocks even where there is room. */
int hd_block_check_size(const struct hd_ref *ref, SIZE_T bytes);
/* PRIVHEAP_ALLOC_F_* for the flags of a call. */
uint32_t hd_block_alloc_flags(DWORD flags);

/* limit.c */

/* A soft limit that was crossed, for who is to hear of it. */
struct hd_notice {
	DWORD scopes;			/* HEAPDEV_SOFT_*; 0: nothing to tell */
	HEAPDEV_SOFT_CALLBACK callback;
	void *context;
};

/* May a call with these flags use the grace? */
bool hd_limit_grace(DWORD flags);

/**
 * hd_limit_crossed() - note whom to tell
 * @heap: where it happened
 * @notice: filled but for its scopes
 *
 * Context: The heap's lock is held, if it has one.
 */
void hd_limit_crossed(struct hd_heap *heap, struct hd_notice *notice);

/**
 * hd_limit_tell() - run the program's callback
 * @heap: where it happened
 * @notice: what, and whom to tell
 *
 * Context: The call holds no lock any more; the callback may do anything.
 */
void hd_limit_tell(HANDLE heap, const struct hd_notice *notice);

/* error.c */

/* The Win32 code for a failed call of backend.c, and for hd_device_open(). */
DWORD hd_error_from_call(int err);
DWORD hd_error_from_open(int err);

/* Set the last error and answer FALSE. */
BOOL hd_error_fail(DWORD code);

/* exception.c */

/**
 * hd_exception_raise() - raise what a failed HeapAlloc() or HeapReAlloc() means
 * @error: the last error of the call
 * @bytes: the requested size
 * @address: where the call returns to
 *
 * Context: No lock held. Returns only if the program wants to go on.
 */
void hd_exception_raise(DWORD error, SIZE_T bytes, void *address);

void hd_exception_fork_prepare(void);
void hd_exception_fork_parent(void);
void hd_exception_fork_child(void);

/* corruption.c */

/* Read the environment. */
void hd_corruption_init(void);
/* End the process at the next wrong pointer. */
void hd_corruption_set_fatal(void);

/**
 * hd_corruption_found() - the program passed a pointer that is no block
 * @function: name of the public function
 * @heap: the heap it named
 * @block: the pointer
 *
 * Does not return if that is fatal.
 */
void hd_corruption_found(const char *function, HANDLE heap, const void *block);

/* gflags.c */

/* Read the environment. */
void hd_gflags_init(void);

/* debug.c: what debug heaps are is told in debug.h */

struct hd_settings;

/* Read the environment, and note the time. */
void hd_debug_init(void);

/**
 * hd_debug_new() - what a heap needs to be a debug heap
 * @old: what was returned for an earlier heap in the same place, or NULL
 * @settings: which kind
 * @handle: the heap
 * @max_bytes: of a fixed heap, else 0
 *
 * Return: never freed; NULL without memory.
 */
struct hd_debug *hd_debug_new(struct hd_debug *old,
			      const struct hd_settings *settings,
			      HANDLE handle, SIZE_T max_bytes);

/*
 * @caller: return address of the public function; @scopes: as for
 * hd_backend_alloc(). Errors are negative errnos.
 */
int hd_debug_alloc(const struct hd_ref *ref, DWORD flags, SIZE_T bytes,
		   void *caller, void **block, DWORD *scopes);
/* @size_err: what is wrong with the size, which counts less than the block. */
int hd_debug_realloc(const struct hd_ref *ref, DWORD flags, void **block,
		     SIZE_T bytes, int size_err, void *caller,
		     DWORD *scopes);
int hd_debug_free(const struct hd_ref *ref, void *block, void *caller);
int hd_debug_size(const struct hd_ref *ref, const void *block, size_t *bytes);
/* Writes a line about what is not as it should be. @block: NULL for the heap. */
bool hd_debug_validate(const struct hd_ref *ref, const void *block);
SIZE_T hd_debug_allocated_bytes(const struct hd_ref *ref);

/* From an entry as the program sees it to the kernel's; false if it is none. */
bool hd_debug_resume(const struct hd_ref *ref, struct privheap_entry *position);
/* The other way. */
void hd_debug_translate(const struct hd_ref *ref, struct privheap_entry *entry);

/* Do not return if the environment asks for page heaps. */
void hd_debug_bad_handle(const char *function, HANDLE handle);
void hd_debug_destroy_process_heap(HANDLE handle);

/* fork.c */

/**
 * hd_fork_register() - make fork() safe from now on; cheap when repeated
 *
 * Return: 0 or a negative errno.
 */
int hd_fork_register(void);

#endif /* LIBHEAPDEV_INTERNAL_H */
