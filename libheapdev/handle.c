// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Handles: which heap is meant by what a program gives, and the call on it.
 *
 * A handle is the start of a heap's first region, so it is a multiple of 64 KiB
 * in the lower half of the address space. What remains of it indexes a table of
 * two levels, without a lock and without touching what it points to. Neither
 * the table's leaves nor the objects in it are ever freed, see struct hd_heap.
 *
 * Whether a handle is a heap is decided by the object's id alone, which heap.c sets.
 * The id that a call found when it began is the one it uses to the end; the kernel
 * refuses it when that heap is gone.
 */
#include <errno.h>
#include <sys/mman.h>

#include "internal.h"

#define HANDLE_SHIFT	16	/* the alignment of regions */
#define LEAF_BITS	16
#define DIRECTORY_BITS	16	/* together: addresses of 48 bits */
#define LEAF_SLOTS	(1U << LEAF_BITS)
#define DIRECTORY_SLOTS	(1U << DIRECTORY_BITS)

#define CALL_FLAGS	(HEAP_NO_SERIALIZE | HEAP_GENERATE_EXCEPTIONS)

_Static_assert(sizeof(void *) == 8, "handles have 64 bits");

struct leaf {
	struct hd_heap *_Atomic heaps[LEAF_SLOTS];
};

/* Objects are cut from pieces of this size. */
#define CHUNK_OBJECTS	512

static struct leaf *_Atomic directory[DIRECTORY_SLOTS];

static struct hd_heap *_Atomic first_object;	/* those behind it are constant */
static struct hd_heap *chunk;			/* (registry_mutex), and */
static unsigned int chunk_free;			/* how many of it are not used */

/* Objects, which hd_handle_get_locked() makes under registry_mutex (heap.c) */

static void *map_zeroed(size_t bytes)
{
	int saved = errno;
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	errno = saved;
	return mem == MAP_FAILED ? NULL : mem;
}

static struct hd_heap *object_new_locked(HANDLE handle)
{
	struct hd_heap *heap;

	if (!chunk_free) {
		chunk = map_zeroed(CHUNK_OBJECTS * sizeof(*chunk));
		if (!chunk)
			return NULL;
		chunk_free = CHUNK_OBJECTS;
	}
	heap = &chunk[CHUNK_OBJECTS - chunk_free--];
	heap->handle = handle;
	hd_lock_init(&heap->lock, false);
	hd_lock_init(&heap->debug_lock, true);
	hd_front_reset(&heap->front);
	heap->next_object = atomic_load(&first_object);
	atomic_store(&first_object, heap);
	return heap;
}

static bool handle_is_possible(HANDLE handle)
{
	uintptr_t value = (uintptr_t)handle;

	return !(value & ((1U << HANDLE_SHIFT) - 1)) &&
	       !(value >> (HANDLE_SHIFT + LEAF_BITS + DIRECTORY_BITS));
}

static struct leaf *_Atomic *directory_slot(HANDLE handle)
{
	return &directory[(uintptr_t)handle >> (HANDLE_SHIFT + LEAF_BITS)];
}

static struct hd_heap *_Atomic *leaf_slot(struct leaf *leaf, HANDLE handle)
{
	return &leaf->heaps[((uintptr_t)handle >> HANDLE_SHIFT) %
			    LEAF_SLOTS];
}

static struct hd_heap *find_object(HANDLE handle)
{
	struct leaf *leaf;

	if (!handle_is_possible(handle))
		return NULL;
	/* Pairs with the stores in hd_handle_get_locked(). */
	leaf = atomic_load_explicit(directory_slot(handle),
				    memory_order_acquire);
	return leaf ? atomic_load_explicit(leaf_slot(leaf, handle),
					   memory_order_acquire) : NULL;
}

struct hd_heap *hd_handle_get_locked(HANDLE handle)
{
	struct hd_heap *heap = find_object(handle);
	struct leaf *leaf;

	if (heap || !handle_is_possible(handle))
		return heap;
	leaf = atomic_load_explicit(directory_slot(handle),
				    memory_order_relaxed);
	if (!leaf) {
		leaf = map_zeroed(sizeof(*leaf));
		if (!leaf)
			return NULL;
		atomic_store_explicit(directory_slot(handle), leaf,
				      memory_order_release);
	}
	heap = object_new_locked(handle);
	if (heap)
		atomic_store_explicit(leaf_slot(leaf, handle), heap,
				      memory_order_release);
	return heap;
}

void hd_heap_for_each(void (*function)(struct hd_heap *heap))
{
	struct hd_heap *heap;

	for (heap = atomic_load(&first_object); heap; heap = heap->next_object)
		function(heap);
}

bool hd_heap_search(bool (*matches)(struct hd_heap *heap, void *arg), void *arg)
{
	struct hd_heap *heap;

	for (heap = atomic_load(&first_object); heap; heap = heap->next_object)
		if (matches(heap, arg))
			return true;
	return false;
}

/* Calls on a heap */

bool hd_heap_enter(struct hd_ref *ref, HANDLE handle, DWORD flags)
{
	struct hd_heap *heap = find_object(handle);

	if (!heap)
		return false;
	/* Before the id: so a life is never newer than the heap that is used. */
	ref->life = atomic_load_explicit(&heap->life, memory_order_acquire);
	/* Pairs with the store in publish_locked(). */
	ref->id = atomic_load_explicit(&heap->id, memory_order_acquire);
	if (!ref->id)
		return false;
	ref->heap = heap;
	ref->debug = atomic_load_explicit(&heap->debug, memory_order_relaxed);
	ref->lock = ref->debug ? &heap->debug_lock : &heap->lock;
	ref->heap_flags = atomic_load_explicit(&heap->flags,
					       memory_order_relaxed);
	ref->flags = ref->heap_flags | (flags & CALL_FLAGS);
	if (ref->flags & HEAP_NO_SERIALIZE)
		return true;
	hd_lock_acquire(ref->lock);
	/* It may have been destroyed, and another one made, in the meantime. */
	if (hd_heap_is_same(ref))
		return true;
	hd_lock_release(ref->lock);
	return false;
}

void hd_heap_leave(struct hd_ref *ref)
{
	if (!(ref->flags & HEAP_NO_SERIALIZE))
		hd_lock_release(ref->lock);
}

int hd_heap_check_block(const struct hd_ref *ref, void *block)
{
	if (hd_heap_is_same(ref))
		return 0;
	hd_backend_free(ref->id, block);
	return -ENXIO;
}
