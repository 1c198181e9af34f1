// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * HeapWalk() and HeapCompact().
 */
#include <errno.h>

#include "internal.h"

/* Values of iRegionIndex. */
#define LAST_REGION_INDEX	63
#define OWN_REGION_INDEX	64

static const WORD flags_of_kind[] = {
	[PRIVHEAP_ENTRY_REGION] = PROCESS_HEAP_REGION,
	[PRIVHEAP_ENTRY_BLOCK] = PROCESS_HEAP_ENTRY_BUSY,
	[PRIVHEAP_ENTRY_FREE] = 0,
	[PRIVHEAP_ENTRY_RESERVED] = PROCESS_HEAP_UNCOMMITTED_RANGE,
};

/* Where a walk goes on; false if that cannot be an entry. */
static bool find_position(const PROCESS_HEAP_ENTRY *entry,
			  struct privheap_entry *position)
{
	uint32_t kind;

	*position = (struct privheap_entry) { 0 };
	if (!entry->lpData)
		return true;
	position->addr = (uintptr_t)entry->lpData;
	for (kind = PRIVHEAP_ENTRY_REGION; kind <= PRIVHEAP_ENTRY_RESERVED;
	     kind++)
		if (flags_of_kind[kind] == entry->wFlags)
			position->kind = kind;
	return position->kind;
}

static DWORD saturate(uint64_t bytes)
{
	return bytes < UINT32_MAX ? bytes : UINT32_MAX;
}

static BYTE region_index(uint32_t region)
{
	if (region == PRIVHEAP_ENTRY_OWN_REGION)
		return OWN_REGION_INDEX;
	return region < LAST_REGION_INDEX ? region : LAST_REGION_INDEX;
}

/* Never 0, by which programs tell that there is bookkeeping. */
static BYTE overhead(const struct privheap_entry *from)
{
	uint64_t padding = from->capacity_bytes - from->bytes;

	if (!padding)
		return 1;
	return padding < UINT8_MAX ? padding : UINT8_MAX;
}

static void fill_region(PROCESS_HEAP_ENTRY *to,
			const struct privheap_entry *from)
{
	to->Region.dwCommittedSize = saturate(from->capacity_bytes);
	to->Region.dwUnCommittedSize = saturate(from->bytes -
						from->capacity_bytes);
	to->Region.lpFirstBlock = (void *)(uintptr_t)from->addr;
	to->Region.lpLastBlock = (void *)(uintptr_t)(from->addr + from->bytes);
}

static void fill_entry(PROCESS_HEAP_ENTRY *to,
		       const struct privheap_entry *from)
{
	*to = (PROCESS_HEAP_ENTRY) {
		.lpData = (void *)(uintptr_t)from->addr,
		.iRegionIndex = region_index(from->region),
		.wFlags = flags_of_kind[from->kind],
	};
	switch (from->kind) {
	case PRIVHEAP_ENTRY_REGION:
		fill_region(to, from);
		return;
	case PRIVHEAP_ENTRY_BLOCK:
	case PRIVHEAP_ENTRY_FREE:
		if (from->region != PRIVHEAP_ENTRY_OWN_REGION)
			to->cbOverhead = overhead(from);
		break;
	}
	to->cbData = saturate(from->bytes);
}

/* The entry behind @entry, in its place: 1, 0 at the end, or a negative errno. */
static int step(const struct hd_ref *ref, struct privheap_entry *entry)
{
	int count;

	if (!hd_heap_is_debug(ref))
		return hd_front_walk(ref, entry, entry, 1);
	if (!hd_debug_resume(ref, entry))
		return -ENOENT;
	count = hd_backend_walk(ref->id, entry, entry, 1);
	if (count > 0)
		hd_debug_translate(ref, entry);
	return count;
}

BOOL WINAPI HeapWalk(HANDLE hHeap, LPPROCESS_HEAP_ENTRY lpEntry)
{
	struct privheap_entry entry;
	struct hd_ref ref;
	int count;

	if (!hd_heap_enter(&ref, hHeap, 0))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (lpEntry && find_position(lpEntry, &entry))
		count = step(&ref, &entry);
	else
		count = -EINVAL;
	hd_heap_leave(&ref);
	if (count < 0)
		return hd_error_fail(hd_error_from_call(count));
	if (!count)
		return hd_error_fail(ERROR_NO_MORE_ITEMS);
	fill_entry(lpEntry, &entry);
	return TRUE;
}

SIZE_T WINAPI HeapCompact(HANDLE hHeap, DWORD dwFlags)
{
	uint64_t largest_free_bytes;
	struct hd_ref ref;
	size_t in_spans;
	int err;

	if (!hd_heap_enter(&ref, hHeap, dwFlags))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	hd_front_trim(&ref, true);
	in_spans = hd_front_largest_free(&ref);
	err = hd_backend_compact(ref.id, &largest_free_bytes);
	hd_heap_leave(&ref);
	if (err)
		return hd_error_fail(hd_error_from_call(err));
	if (largest_free_bytes < in_spans)
		largest_free_bytes = in_spans;
	if (!largest_free_bytes)
		SetLastError(NO_ERROR);
	return largest_free_bytes;
}
