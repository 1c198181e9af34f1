// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Heaps: their making and their end, their list, those that are kept for another
 * use, and the process heap.
 *
 * Whether there is a heap is decided by its object's id alone, which handle.c reads. It
 * is set when everything else about the heap is, and whoever sets it to 0 owns the
 * right to destroy the heap in the kernel, or to keep it.
 */
#include <errno.h>

#include "debug.h"

#define CREATE_FLAGS	(HEAP_NO_SERIALIZE | HEAP_GENERATE_EXCEPTIONS | \
			 HEAP_CREATE_ENABLE_EXECUTE)

static pthread_mutex_t process_heap_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic HANDLE process_heap;

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct hd_heap *first_heap, *last_heap;	/* in order of creation */

/* The list of heaps */

static void list_add_locked(struct hd_heap *heap)
{
	heap->next = NULL;
	heap->prev = last_heap;
	if (last_heap)
		last_heap->next = heap;
	else
		first_heap = heap;
	last_heap = heap;
}

static void list_del_locked(struct hd_heap *heap)
{
	if (heap->prev)
		heap->prev->next = heap->next;
	else
		first_heap = heap->next;
	if (heap->next)
		heap->next->prev = heap->prev;
	else
		last_heap = heap->prev;
}

/*
 * The list of kept heaps
 *
 * One that was destroyed, and that the front end alone has used, is kept for the next
 * that the program makes of its kind. To the program it is gone: its id is 0.
 */

#define MAX_KEPT	8
/* It stays committed as long as the heap is kept. */
#define KEEP_MAX_INITIAL_BYTES	(512U << 10)

static struct hd_heap *kept[MAX_KEPT];	/* the oldest first (registry_mutex) */
static _Atomic unsigned int nr_kept;	/* (registry_mutex to change it) */

static struct hd_heap *take_kept_locked(unsigned int i)
{
	struct hd_heap *heap = kept[i];

	for (nr_kept--; i < nr_kept; i++)
		kept[i] = kept[i + 1];
	return heap;
}

/* Takes it out of those that are kept. */
static uint64_t forget_kept_locked(struct hd_heap *heap)
{
	uint64_t id = heap->kept_id;
	unsigned int i;

	for (i = 0; i < nr_kept; i++)
		if (kept[i] == heap)
			take_kept_locked(i);
	heap->kept_id = 0;
	return id;
}

/* Publishing and retiring */

/* What a program wants of a new heap. */
struct wish {
	DWORD flags;
	SIZE_T initial_bytes;
	SIZE_T max_bytes;
	const HEAPDEV_OPTIONS *options;		/* or NULL */
	const struct hd_settings *settings;
};

static bool is_plain(const struct wish *wish)
{
	return !wish->options && !hd_settings_are_set(wish->settings);
}

/* Make the heap a debug heap, or not. */
static int set_debug_locked(struct hd_heap *heap, const struct wish *wish)
{
	struct hd_debug *debug = NULL;

	if (hd_settings_are_set(wish->settings)) {
		debug = hd_debug_new(heap->debug_memory, wish->settings,
				     heap->handle, wish->max_bytes);
		if (!debug)
			return -ENOMEM;
		heap->debug_memory = debug;
	}
	atomic_store_explicit(&heap->debug, debug, memory_order_relaxed);
	return 0;
}

static int publish_locked(struct hd_heap *heap, uint64_t id,
			  const struct wish *wish)
{
	int err = set_debug_locked(heap, wish);

	if (err)
		return err;
	atomic_store_explicit(&heap->flags, wish->flags, memory_order_relaxed);
	atomic_store_explicit(&heap->compatibility, 0, memory_order_relaxed);
	atomic_store_explicit(&heap->plain, is_plain(wish) &&
			      wish->initial_bytes <= KEEP_MAX_INITIAL_BYTES,
			      memory_order_relaxed);
	heap->initial_bytes = wish->initial_bytes;
	heap->max_bytes = wish->max_bytes;
	heap->soft_callback = NULL;
	hd_front_begin_heap(heap, wish->max_bytes, wish->options &&
			    wish->options->Flags & HEAPDEV_CREATE_SECRET);
	list_add_locked(heap);
	atomic_fetch_add_explicit(&heap->life, 1, memory_order_relaxed);
	/* Pairs with the load in hd_heap_enter(). */
	atomic_store_explicit(&heap->id, id, memory_order_release);
	return 0;
}

/*
 * Give heap @id its handle.
 *
 * If there is a heap at this address already, the program unmapped its memory
 * and the kernel gave the address to the new one. Nobody can name the old one
 * any more, so it is handed to the caller in @buried to be destroyed.
 */
static int publish(HANDLE handle, uint64_t id, const struct wish *wish,
		   uint64_t *buried)
{
	struct hd_heap *heap;
	int err = -ENOMEM;

	pthread_mutex_lock(&registry_mutex);
	heap = hd_handle_get_locked(handle);
	if (heap) {
		*buried = atomic_exchange(&heap->id, 0);
		if (*buried)
			list_del_locked(heap);
		else
			*buried = forget_kept_locked(heap);
		if (*buried)
			hd_front_end_heap(heap);
		err = publish_locked(heap, id, wish);
	}
	pthread_mutex_unlock(&registry_mutex);
	return err;
}

/* Take heap @id out of view. False if another thread did. */
static bool retire(struct hd_heap *heap, uint64_t id)
{
	bool mine;

	pthread_mutex_lock(&registry_mutex);
	mine = atomic_compare_exchange_strong(&heap->id, &id, 0);
	if (mine)
		list_del_locked(heap);
	pthread_mutex_unlock(&registry_mutex);
	return mine;
}

/* Kept heaps */

/* Destroys the oldest unless there are no more than @nr. */
static bool drop_oldest(unsigned int nr)
{
	struct hd_heap *heap = NULL;
	uint64_t id;

	pthread_mutex_lock(&registry_mutex);
	if (nr_kept > nr) {
		heap = kept[0];
		id = forget_kept_locked(heap);
		hd_front_end_heap(heap);
	}
	pthread_mutex_unlock(&registry_mutex);
	if (heap)
		hd_backend_destroy(id);
	return heap;
}

bool hd_heap_drop_kept(void)
{
	bool any = false;

	while (atomic_load_explicit(&nr_kept, memory_order_relaxed) &&
	       drop_oldest(0))
		any = true;
	return any;
}

/* Keeps a heap that was retired; false if it is to be destroyed. */
static bool keep(struct hd_heap *heap, uint64_t id)
{
	if (!atomic_load_explicit(&heap->plain, memory_order_relaxed) ||
	    !hd_front_keep(heap))
		return false;
	drop_oldest(MAX_KEPT - 1);
	pthread_mutex_lock(&registry_mutex);
	if (nr_kept < MAX_KEPT) {
		heap->kept_id = id;
		kept[nr_kept++] = heap;
		id = 0;
	}
	pthread_mutex_unlock(&registry_mutex);
	return !id;
}

static bool is_of_kind(const struct hd_heap *heap, const struct wish *wish)
{
	return atomic_load_explicit(&heap->flags, memory_order_relaxed) ==
	       wish->flags && heap->initial_bytes == wish->initial_bytes &&
	       heap->max_bytes == wish->max_bytes;
}

/* The youngest that is kept and of the kind, which is a heap again then. */
static HANDLE revive(const struct wish *wish)
{
	struct hd_heap *heap = NULL;
	unsigned int i;

	if (!atomic_load_explicit(&nr_kept, memory_order_relaxed) ||
	    !is_plain(wish))
		return NULL;
	pthread_mutex_lock(&registry_mutex);
	for (i = nr_kept; i-- && !heap;)
		if (is_of_kind(kept[i], wish) && hd_front_revive(kept[i]))
			heap = kept[i];
	if (heap)
		publish_locked(heap, forget_kept_locked(heap), wish);
	pthread_mutex_unlock(&registry_mutex);
	return heap ? heap->handle : NULL;
}

/* Win32 */

/* What the kernel is to know of the flags of a new heap. */
static uint32_t kernel_flags(DWORD flags, const HEAPDEV_OPTIONS *options)
{
	uint32_t wanted = 0;

	if (flags & HEAP_CREATE_ENABLE_EXECUTE)
		wanted |= PRIVHEAP_CREATE_F_EXEC;
	if (options && options->Flags & HEAPDEV_CREATE_BACKED)
		wanted |= PRIVHEAP_CREATE_F_BACKED;
	if (options && options->Flags & HEAPDEV_CREATE_CGROUP)
		wanted |= PRIVHEAP_CREATE_F_CGROUP;
	if (options && options->Flags & HEAPDEV_CREATE_SECRET)
		wanted |= PRIVHEAP_CREATE_F_SECRET;
	return wanted;
}

/*
 * A page heap takes many times what its blocks do, so to the kernel it grows, and
 * its maximum is that of the sizes asked for. With guarded blocks there are no
 * pages that are there from the start.
 */
static int create_in_kernel(const struct wish *wish, uint64_t *id,
			    HANDLE *handle)
{
	bool page_heap = wish->settings->page_heap;
	bool full = wish->settings->page_heap == HD_PAGE_HEAP_FULL;
	uint32_t flags = kernel_flags(wish->flags, wish->options);

	if (page_heap && (wish->initial_bytes > hd_device_max_bytes() ||
			  wish->max_bytes > hd_device_max_bytes()))
		return -EOVERFLOW;
	if (full)
		flags |= PRIVHEAP_CREATE_F_GUARD;
	return hd_backend_create(flags, full ? 0 : wish->initial_bytes,
				 page_heap ? 0 : wish->max_bytes,
				 full ? wish->settings->quarantine_bytes : 0,
				 wish->options, id, handle);
}

static bool is_for_want_of_room(int err)
{
	return err && hd_error_from_call(err) == ERROR_NOT_ENOUGH_MEMORY;
}

static int create(struct wish *wish, HANDLE *handle)
{
	uint64_t id, buried = 0;
	int err;

	wish->flags &= CREATE_FLAGS;
	if (!wish->max_bytes)
		wish->flags |= HEAP_GROWABLE;
	else if (wish->initial_bytes > wish->max_bytes)
		wish->initial_bytes = wish->max_bytes;
	*handle = revive(wish);
	if (*handle)
		return 0;
	err = create_in_kernel(wish, &id, handle);
	if (is_for_want_of_room(err) && hd_heap_drop_kept())
		err = create_in_kernel(wish, &id, handle);
	if (err)
		return err;
	err = publish(*handle, id, wish, &buried);
	if (err)
		hd_backend_destroy(id);
	if (buried)
		hd_backend_destroy(buried);
	return err;
}

/* Without settings, those of the environment hold. */
static HANDLE create_heap(struct wish *wish)
{
	HANDLE handle;
	int err;

	err = hd_device_open();
	if (err) {
		SetLastError(hd_error_from_open(err));
		return NULL;
	}
	if (!wish->settings)
		wish->settings = hd_gflags_environment();
	err = create(wish, &handle);
	if (err) {
		/* Of all calls, this one takes a descriptor of the program's. */
		SetLastError(err == -EBADF ? ERROR_INVALID_PARAMETER :
					     hd_error_from_call(err));
		return NULL;
	}
	return handle;
}

HANDLE WINAPI HeapCreate(DWORD flOptions, SIZE_T dwInitialSize,
			 SIZE_T dwMaximumSize)
{
	return create_heap(&(struct wish) {
		.flags = flOptions,
		.initial_bytes = dwInitialSize,
		.max_bytes = dwMaximumSize,
	});
}

/*
 * A structure that is longer than this library's is one of a program that was built
 * for a later one; what it does not know must be zero.
 */
static bool options_are_known(const HEAPDEV_OPTIONS *options)
{
	const unsigned char *tail = (const unsigned char *)options;
	DWORD i;

	if (options->cb < sizeof(*options) ||
	    options->Flags & ~HEAPDEV_CREATE_ALL)
		return false;
	if (options->CgroupFd && !(options->Flags & HEAPDEV_CREATE_CGROUP))
		return false;
	for (i = sizeof(*options); i < options->cb; i++)
		if (tail[i])
			return false;
	return options->Policy <= HEAPDEV_POLICY_HUGE;
}

HANDLE HeapdevCreate(DWORD flOptions, SIZE_T dwInitialSize,
		     SIZE_T dwMaximumSize, const HEAPDEV_OPTIONS *options)
{
	if (options && !options_are_known(options)) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return NULL;
	}
	return create_heap(&(struct wish) {
		.flags = flOptions,
		.initial_bytes = dwInitialSize,
		.max_bytes = dwMaximumSize,
		.options = options,
	});
}

HANDLE HeapdevCreateDebug(DWORD flOptions, SIZE_T dwInitialSize,
			  SIZE_T dwMaximumSize, const char *settings)
{
	struct hd_settings parsed;

	if (!settings || hd_gflags_parse(settings, &parsed)) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return NULL;
	}
	return create_heap(&(struct wish) {
		.flags = flOptions,
		.initial_bytes = dwInitialSize,
		.max_bytes = dwMaximumSize,
		.settings = &parsed,
	});
}

BOOL WINAPI HeapDestroy(HANDLE hHeap)
{
	struct hd_ref ref;
	bool mine;
	int err = 0;

	if (!hHeap)
		return TRUE;
	if (hHeap == atomic_load(&process_heap)) {
		hd_debug_destroy_process_heap(hHeap);
		return hd_error_fail(ERROR_INVALID_HANDLE);
	}
	if (!hd_heap_enter(&ref, hHeap, 0)) {
		hd_debug_bad_handle(__func__, hHeap);
		return hd_error_fail(ERROR_INVALID_HANDLE);
	}
	mine = retire(ref.heap, ref.id);
	if (mine && !keep(ref.heap, ref.id)) {
		hd_front_end_heap(ref.heap);
		err = hd_backend_destroy(ref.id);
	}
	/* The program may have locked it, too; that ends with the heap. */
	if (!(ref.flags & HEAP_NO_SERIALIZE))
		hd_lock_release_all(ref.lock);
	if (!mine)
		return hd_error_fail(ERROR_INVALID_HANDLE);
	return !err || hd_error_fail(hd_error_from_call(err));
}

HANDLE WINAPI GetProcessHeap(void)
{
	HANDLE heap = atomic_load_explicit(&process_heap, memory_order_acquire);

	if (heap)
		return heap;
	pthread_mutex_lock(&process_heap_mutex);
	heap = atomic_load(&process_heap);
	if (!heap) {
		heap = HeapCreate(0, 0, 0);
		atomic_store(&process_heap, heap);
	}
	pthread_mutex_unlock(&process_heap_mutex);
	return heap;
}

/* Count the heaps and store the first @room of them, the process heap first. */
static DWORD list_handles_locked(HANDLE first, HANDLE *handles, DWORD room)
{
	const struct hd_heap *heap;
	DWORD count = 1;

	if (room)
		handles[0] = first;
	for (heap = first_heap; heap; heap = heap->next) {
		if (heap->handle == first)
			continue;
		if (count < room)
			handles[count] = heap->handle;
		count++;
	}
	return count;
}

DWORD WINAPI GetProcessHeaps(DWORD NumberOfHeaps, PHANDLE ProcessHeaps)
{
	HANDLE first;
	DWORD count;

	if (NumberOfHeaps && !ProcessHeaps) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return 0;
	}
	first = GetProcessHeap();
	if (!first)
		return 0;
	pthread_mutex_lock(&registry_mutex);
	count = list_handles_locked(first, ProcessHeaps, NumberOfHeaps);
	pthread_mutex_unlock(&registry_mutex);
	return count;
}

/* Fork */

void hd_heap_fork_prepare(void)
{
	pthread_mutex_lock(&process_heap_mutex);
	pthread_mutex_lock(&registry_mutex);
}

void hd_heap_fork_parent(void)
{
	pthread_mutex_unlock(&registry_mutex);
	pthread_mutex_unlock(&process_heap_mutex);
}

/* Of a heap that was being made or destroyed, too. */
static void forget(struct hd_heap *heap)
{
	atomic_store_explicit(&heap->id, 0, memory_order_relaxed);
	heap->kept_id = 0;
	/* Its mutex was not taken: what it leads to may be half of a change. */
	heap->debug_memory = NULL;
	hd_lock_reset(&heap->lock);
	hd_lock_reset(&heap->debug_lock);
	hd_front_reset(&heap->front);
}

void hd_heap_fork_child(void)
{
	hd_heap_for_each(forget);
	first_heap = NULL;
	last_heap = NULL;
	nr_kept = 0;
	atomic_store(&process_heap, NULL);
	hd_heap_fork_parent();
}
