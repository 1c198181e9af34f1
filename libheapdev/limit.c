// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Limits: what HeapCreate() cannot ask for, the limits of a heap and of the process
 * while they run, and what happens when a soft limit is crossed.
 *
 * The kernel counts, decides and tells; here is only who has to hear of it.
 */
#include <errno.h>

#include "internal.h"

/* How many HeapdevGraceEnter() this thread has to leave. */
static _Thread_local unsigned int grace_depth;
/* A callback of this thread is running; it is not interrupted by another one. */
static _Thread_local bool in_callback;

void HeapdevGraceEnter(void)
{
	grace_depth++;
}

void HeapdevGraceLeave(void)
{
	if (grace_depth)
		grace_depth--;
}

bool hd_limit_grace(DWORD flags)
{
	return flags & HEAPDEV_GRACE || grace_depth;
}

BOOL HeapdevSetSoftCallback(HANDLE heap, HEAPDEV_SOFT_CALLBACK callback,
			    void *context)
{
	struct hd_ref ref;

	if (!hd_heap_enter(&ref, heap, 0))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	ref.heap->soft_callback = callback;
	ref.heap->soft_context = context;
	hd_heap_leave(&ref);
	return TRUE;
}

void hd_limit_crossed(struct hd_heap *heap, struct hd_notice *notice)
{
	notice->callback = heap->soft_callback;
	notice->context = heap->soft_context;
}

void hd_limit_tell(HANDLE heap, const struct hd_notice *notice)
{
	DWORD error;

	if (!notice->callback || in_callback)
		return;
	error = GetLastError();
	in_callback = true;
	notice->callback(heap, notice->scopes, notice->context);
	in_callback = false;
	SetLastError(error);
}

/* The heap and its id; a NULL handle is the process. */
static int limit_call(HANDLE handle, uint32_t flags, HEAPDEV_LIMITS *limits)
{
	struct hd_ref ref;
	int err;

	if (!handle) {
		err = hd_device_open();
		return err ? err : hd_backend_limit(0, flags, limits);
	}
	if (!hd_heap_enter(&ref, handle, 0))
		return -ENXIO;
	if (flags)
		hd_heap_set_used(&ref);
	err = hd_backend_limit(ref.id, flags, limits);
	hd_heap_leave(&ref);
	return err;
}

BOOL HeapdevGetLimits(HANDLE heap, HEAPDEV_LIMITS *limits)
{
	int err;

	if (!limits || limits->cb != sizeof(*limits))
		return hd_error_fail(ERROR_INVALID_PARAMETER);
	err = limit_call(heap, 0, limits);
	return !err || hd_error_fail(hd_error_from_call(err));
}

BOOL HeapdevSetLimits(HANDLE heap, DWORD which, const HEAPDEV_LIMITS *limits)
{
	HEAPDEV_LIMITS wanted;
	int err;

	if (!limits || limits->cb != sizeof(*limits) || !which ||
	    which & ~(HEAPDEV_LIMIT_HARD | HEAPDEV_LIMIT_SOFT |
		      HEAPDEV_LIMIT_GRACE))
		return hd_error_fail(ERROR_INVALID_PARAMETER);
	wanted = *limits;
	err = limit_call(heap, which, &wanted);
	return !err || hd_error_fail(hd_error_from_call(err));
}

BOOL HeapdevInjectFailures(HANDLE heap, SIZE_T nth, DWORD rate_ppm, SIZE_T seed)
{
	struct hd_ref ref;
	int err;

	if (!hd_heap_enter(&ref, heap, 0))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	hd_heap_set_used(&ref);
	err = hd_backend_inject(ref.id, nth, rate_ppm, seed);
	hd_heap_leave(&ref);
	return !err || hd_error_fail(hd_error_from_call(err));
}
