// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory of heaps: emptying one at once, when its pages get memory, and pages of
 * blocks that the program gives up, wants back, or wants ready.
 *
 * The kernel does all of it. A debug heap has something to say about each of its
 * blocks, and may not lose the pages of one.
 */
#include <errno.h>

#include "debug.h"

/* Gives a block back, if there is one that was only remembered. */
static bool free_held(const struct hd_ref *ref, void **held, void *caller)
{
	bool freed = *held && !hd_debug_free(ref, *held, caller);

	*held = NULL;
	return freed;
}

/*
 * Frees the blocks of a debug heap one by one, with all that HeapFree() would find
 * out about them. A block is freed when the walk has gone on, as that needs an entry
 * which is still there; and after that has been looked at, since a block that is
 * freed may push an older one out of those that are remembered. If it has merged with another meanwhile, the walk begins
 * anew: the blocks so far are gone.
 */
static int reset_debug(const struct hd_ref *ref, void *caller)
{
	struct privheap_entry at = { 0 }, seen;
	bool freed = false;
	void *held = NULL;
	int count;

	for (;;) {
		count = hd_backend_walk(ref->id, &at, &at, 1);
		if (count == -ENOENT && freed) {
			at = (struct privheap_entry) { 0 };
			freed = false;
			continue;
		}
		seen = at;
		if (count > 0)
			hd_debug_translate(ref, &seen);
		freed |= free_held(ref, &held, caller);
		if (count <= 0)
			return count;
		if (seen.kind == PRIVHEAP_ENTRY_BLOCK)
			held = (void *)(uintptr_t)seen.addr;
	}
}

BOOL HeapdevReset(HANDLE heap, SIZE_T keep_bytes)
{
	void *caller = __builtin_return_address(0);
	struct hd_ref ref;
	int err;

	if (!hd_heap_enter(&ref, heap, 0))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (hd_heap_is_debug(&ref))
		err = reset_debug(&ref, caller);
	else
		err = hd_front_reset_heap(&ref, keep_bytes);
	if (keep_bytes)
		hd_heap_set_used(&ref);
	hd_heap_leave(&ref);
	return !err || hd_error_fail(hd_error_from_call(err));
}

BOOL HeapdevSetPolicy(HANDLE heap, DWORD policy, DWORD window_pages,
		      SIZE_T idle_bytes)
{
	struct hd_ref ref;
	int err;

	if (!hd_heap_enter(&ref, heap, 0))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	hd_heap_set_used(&ref);
	err = hd_backend_policy(ref.id, policy, window_pages, idle_bytes);
	hd_heap_leave(&ref);
	if (err == -EOPNOTSUPP)	/* a value, and not a call that there is not */
		err = -EINVAL;
	return !err || hd_error_fail(hd_error_from_call(err));
}

/*
 * Without @done nobody could go on where a signal has ended the call, so this does.
 * What is in the way, the kernel tells when it cannot do anything at all.
 */
static int pages_call_locked(const struct hd_ref *ref, unsigned long request,
			     void *address, SIZE_T bytes, SIZE_T *done)
{
	uint64_t step = 0;
	SIZE_T so_far = 0;
	int err;

	do {
		err = hd_backend_pages(ref->id, request,
				       (char *)address + so_far, bytes - so_far,
				       &step);
		if (!err)
			so_far += step;
	} while (!err && !done && so_far < bytes);
	if (done)
		*done = so_far;
	return err;
}

static BOOL pages_call(HANDLE heap, unsigned long request, LPVOID address,
		       SIZE_T bytes, SIZE_T *done)
{
	struct hd_ref ref;
	int err;

	if (!hd_heap_enter(&ref, heap, HEAP_NO_SERIALIZE))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (hd_heap_is_debug(&ref) && request != PRIVHEAP_IOC_PREFAULT)
		err = -EOPNOTSUPP;
	else
		err = pages_call_locked(&ref, request, address, bytes, done);
	hd_heap_leave(&ref);
	return !err || hd_error_fail(hd_error_from_call(err));
}

BOOL HeapdevCommit(HANDLE heap, LPVOID address, SIZE_T bytes, SIZE_T *done)
{
	return pages_call(heap, PRIVHEAP_IOC_COMMIT, address, bytes, done);
}

BOOL HeapdevDecommit(HANDLE heap, LPVOID address, SIZE_T bytes, SIZE_T *done)
{
	return pages_call(heap, PRIVHEAP_IOC_DECOMMIT, address, bytes, done);
}

BOOL HeapdevPrefault(HANDLE heap, LPVOID address, SIZE_T bytes, SIZE_T *done)
{
	return pages_call(heap, PRIVHEAP_IOC_PREFAULT, address, bytes, done);
}

BOOL HeapdevPageMap(HANDLE heap, LPCVOID address, HEAPDEV_PAGE_MAP *map)
{
	struct hd_ref ref;
	int err;

	if (!map || map->cb != sizeof(*map))
		return hd_error_fail(ERROR_INVALID_PARAMETER);
	if (!hd_heap_enter(&ref, heap, HEAP_NO_SERIALIZE))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	hd_heap_set_used(&ref);
	err = hd_backend_pagemap(ref.id, address, map);
	hd_heap_leave(&ref);
	return !err || hd_error_fail(hd_error_from_call(err));
}
