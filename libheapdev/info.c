// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Properties of heaps.
 */
#include <errno.h>

#include "internal.h"

/* The front end serves no larger blocks, and no class with fewer of them. */
#define FRONT_END_MAX_BYTES	16384
#define FRONT_END_MIN_BLOCKS	17

/* Values of HeapCompatibilityInformation. */
#define COMPATIBILITY_STANDARD		0
#define COMPATIBILITY_FRONT_END		2

/* Small blocks that were seen, by their length in units of alignment. */
struct census {
	uint8_t blocks[FRONT_END_MAX_BYTES / MEMORY_ALLOCATION_ALIGNMENT + 1];
};

/* True if there are enough of its class now. */
static bool count_block(struct census *census,
			const struct privheap_entry *entry)
{
	if (entry->kind != PRIVHEAP_ENTRY_BLOCK ||
	    entry->capacity_bytes > FRONT_END_MAX_BYTES)
		return false;
	return ++census->blocks[entry->capacity_bytes /
				MEMORY_ALLOCATION_ALIGNMENT] >=
	       FRONT_END_MIN_BLOCKS;
}

static bool has_many_blocks_of_a_class(const struct hd_ref *ref)
{
	struct privheap_entry entries[64] = { 0 };
	struct privheap_entry last = { 0 };
	struct census census = { 0 };
	int i, count;

	while ((count = hd_front_walk(ref, &last, entries, 64)) > 0) {
		for (i = 0; i < count; i++)
			if (count_block(&census, &entries[i]))
				return true;
		last = entries[count - 1];
	}
	return false;
}

static bool may_have_front_end(const struct hd_ref *ref)
{
	return (ref->heap_flags & (HEAP_NO_SERIALIZE | HEAP_GROWABLE)) ==
	       HEAP_GROWABLE && !hd_heap_is_debug(ref);
}

/*
 * Windows enables the front end by itself for a heap in which many blocks of a
 * size live. Nobody can tell when, unless by asking.
 */
static ULONG update_compatibility(const struct hd_ref *ref)
{
	ULONG value = atomic_load(&ref->heap->compatibility);

	if (value == COMPATIBILITY_STANDARD && may_have_front_end(ref) &&
	    has_many_blocks_of_a_class(ref)) {
		value = COMPATIBILITY_FRONT_END;
		atomic_store(&ref->heap->compatibility, value);
	}
	return value;
}

static ULONG get_compatibility(HANDLE handle, DWORD *error)
{
	struct hd_ref ref;
	ULONG value;

	if (!hd_heap_enter(&ref, handle, 0)) {
		*error = ERROR_INVALID_HANDLE;
		return 0;
	}
	value = update_compatibility(&ref);
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
		return value == update_compatibility(ref) ?
		       ERROR_SUCCESS : ERROR_GEN_FAILURE;
	if (!may_have_front_end(ref))
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

static void compact(HANDLE handle)
{
	struct hd_ref ref;
	uint64_t bytes;

	if (!hd_heap_enter(&ref, handle, 0))
		return;
	hd_front_trim(&ref, true);
	hd_backend_compact(ref.id, &bytes);
	hd_heap_leave(&ref);
}

static void compact_object(struct hd_heap *heap)
{
	compact(heap->handle);
}

static DWORD optimize(HANDLE handle,
		      const HEAP_OPTIMIZE_RESOURCES_INFORMATION *info,
		      SIZE_T length)
{
	if (handle && !is_heap(handle))
		return ERROR_INVALID_HANDLE;
	if (!info || length < sizeof(*info) ||
	    info->Version != HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION)
		return ERROR_INVALID_PARAMETER;
	if (handle)
		compact(handle);
	else
		hd_heap_for_each(compact_object);
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
		err = hd_front_stat(&ref, &usage);
	/* To the kernel, blocks of a debug heap are longer, and more of them. */
	if (!err && hd_heap_is_debug(&ref))
		usage.allocated_bytes = hd_debug_allocated_bytes(&ref);
	hd_heap_leave(&ref);
	if (err)
		return hd_error_fail(hd_error_from_call(err));
	lpSummary->cbAllocated = usage.allocated_bytes;
	lpSummary->cbCommitted = usage.committed_bytes;
	lpSummary->cbReserved = usage.reserved_bytes;
	lpSummary->cbMaxReserve = max_reserve(&usage);
	return TRUE;
}
