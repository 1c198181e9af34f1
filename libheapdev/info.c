// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Properties of heaps.
 */
#include <errno.h>

#include "internal.h"

/* Values of HeapCompatibilityInformation. */
#define COMPATIBILITY_STANDARD		0
#define COMPATIBILITY_FRONT_END		2

_Static_assert(sizeof(HEAP_SUMMARY) == 40, "HEAP_SUMMARY");
_Static_assert(offsetof(HEAP_SUMMARY, cb) == 0, "cb");
_Static_assert(offsetof(HEAP_SUMMARY, cbAllocated) == 8, "cbAllocated");
_Static_assert(offsetof(HEAP_SUMMARY, cbCommitted) == 16, "cbCommitted");
_Static_assert(offsetof(HEAP_SUMMARY, cbReserved) == 24, "cbReserved");
_Static_assert(offsetof(HEAP_SUMMARY, cbMaxReserve) == 32, "cbMaxReserve");
_Static_assert(sizeof(HEAP_OPTIMIZE_RESOURCES_INFORMATION) == 8,
	       "HEAP_OPTIMIZE_RESOURCES_INFORMATION");

static ULONG get_compatibility(HANDLE handle, DWORD *error)
{
	struct hd_ref ref;
	ULONG value;

	if (!hd_heap_enter(&ref, handle, 0)) {
		*error = ERROR_INVALID_HANDLE;
		return 0;
	}
	value = atomic_load(&ref.heap->compatibility);
	hd_heap_leave(&ref);
	*error = ERROR_SUCCESS;
	return value;
}

BOOL WINAPI HeapQueryInformation(HANDLE HeapHandle,
				 HEAP_INFORMATION_CLASS HeapInformationClass,
				 PVOID HeapInformation,
				 SIZE_T HeapInformationLength,
				 PSIZE_T ReturnLength)
{
	ULONG value;
	DWORD error;

	if (HeapInformationClass != HeapCompatibilityInformation)
		return hd_error_fail(ERROR_INVALID_PARAMETER);
	if (!HeapHandle)
		return hd_error_fail(ERROR_NOACCESS);
	value = get_compatibility(HeapHandle, &error);
	if (error)
		return hd_error_fail(error);
	if (ReturnLength)
		*ReturnLength = sizeof(value);
	if (HeapInformationLength < sizeof(value))
		return hd_error_fail(ERROR_INSUFFICIENT_BUFFER);
	if (!HeapInformation)
		return hd_error_fail(ERROR_INVALID_PARAMETER);
	*(ULONG *)HeapInformation = value;
	return TRUE;
}

/* The front end cannot be switched off, and not every heap can have it. */
static DWORD change_compatibility(struct hd_ref *ref, ULONG value)
{
	if (value != COMPATIBILITY_FRONT_END)
		return value == atomic_load(&ref->heap->compatibility) ?
		       ERROR_SUCCESS : ERROR_GEN_FAILURE;
	if ((ref->heap_flags & (HEAP_NO_SERIALIZE | HEAP_GROWABLE)) !=
	    HEAP_GROWABLE)
		return ERROR_INVALID_PARAMETER;
	atomic_store(&ref->heap->compatibility, value);
	return ERROR_SUCCESS;
}

static DWORD set_compatibility(HANDLE handle, const ULONG *value, SIZE_T length)
{
	struct hd_ref ref;
	DWORD error;

	if (!hd_heap_enter(&ref, handle, 0))
		return ERROR_INVALID_HANDLE;
	if (length < sizeof(*value))
		error = ERROR_INSUFFICIENT_BUFFER;
	else if (!value)
		error = ERROR_INVALID_PARAMETER;
	else
		error = change_compatibility(&ref, *value);
	hd_heap_leave(&ref);
	return error;
}

static bool is_heap(HANDLE handle)
{
	struct hd_ref ref;

	return hd_heap_enter(&ref, handle, HEAP_NO_SERIALIZE);
}

static DWORD set_termination(HANDLE handle, const void *info, SIZE_T length)
{
	if (handle && !is_heap(handle))
		return ERROR_INVALID_HANDLE;
	if (info || length)
		return ERROR_INVALID_PARAMETER;
	hd_corruption_set_fatal();
	return ERROR_SUCCESS;
}

/*
 * The library keeps nothing in reserve, and the kernel takes pages back as
 * blocks are freed: there is nothing to do for a request that is well formed.
 */
static DWORD optimize(HANDLE handle,
		      const HEAP_OPTIMIZE_RESOURCES_INFORMATION *info,
		      SIZE_T length)
{
	if (handle && !is_heap(handle))
		return ERROR_INVALID_HANDLE;
	if (!info || length < sizeof(*info) ||
	    info->Version != HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION)
		return ERROR_INVALID_PARAMETER;
	return ERROR_SUCCESS;
}

static DWORD set_information(HANDLE handle, HEAP_INFORMATION_CLASS class,
			     const void *info, SIZE_T length)
{
	switch (class) {
	case HeapCompatibilityInformation:
		return set_compatibility(handle, info, length);
	case HeapEnableTerminationOnCorruption:
		return set_termination(handle, info, length);
	case HeapOptimizeResources:
		return optimize(handle, info, length);
	}
	return ERROR_INVALID_PARAMETER;
}

BOOL WINAPI HeapSetInformation(HANDLE HeapHandle,
			       HEAP_INFORMATION_CLASS HeapInformationClass,
			       PVOID HeapInformation,
			       SIZE_T HeapInformationLength)
{
	DWORD error = set_information(HeapHandle, HeapInformationClass,
				      HeapInformation, HeapInformationLength);

	return !error || hd_error_fail(error);
}

static SIZE_T max_reserve(const struct hd_usage *usage)
{
	if (usage->max_bytes)
		return usage->reserved_bytes;
	if (!usage->limit_bytes)
		return (SIZE_T)-1;
	/* A limit counts committed bytes, so more than it may be reserved. */
	return usage->limit_bytes > usage->reserved_bytes ?
	       usage->limit_bytes : usage->reserved_bytes;
}

BOOL WINAPI HeapSummary(HANDLE hHeap, DWORD dwFlags, LPHEAP_SUMMARY lpSummary)
{
	struct hd_usage usage;
	struct hd_ref ref;
	int err;

	if (!hd_heap_enter(&ref, hHeap, dwFlags))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (dwFlags || !lpSummary || lpSummary->cb != sizeof(*lpSummary))
		err = -EINVAL;
	else
		err = hd_backend_stat(ref.id, &usage);
	hd_heap_leave(&ref);
	if (err)
		return hd_error_fail(hd_error_from_call(err));
	lpSummary->cbAllocated = usage.allocated_bytes;
	lpSummary->cbCommitted = usage.committed_bytes;
	lpSummary->cbReserved = usage.reserved_bytes;
	lpSummary->cbMaxReserve = max_reserve(&usage);
	return TRUE;
}
