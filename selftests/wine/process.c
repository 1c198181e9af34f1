// SPDX-License-Identifier: GPL-2.0-only
/*
 * GetProcessHeap(), GetProcessHeaps() and the last error. How many heaps the
 * runtime of the compiler has made is left out.
 */
#include "transcript.h"

#define MANY	64

/* Where a heap stands in the list; -1 if nowhere. */
static int place_of(HANDLE heap)
{
	HANDLE heaps[MANY];
	DWORD count = GetProcessHeaps(MANY, heaps), i;

	for (i = 0; i < count; i++)
		if (heaps[i] == heap)
			return i;
	return -1;
}

static void list_heaps(void)
{
	DWORD before = GetProcessHeaps(0, NULL);
	HANDLE first = HeapCreate(0, 0, 0), second = HeapCreate(0, 0, MIB);

	tell("more_heaps", "%u",
	     (unsigned int)(GetProcessHeaps(0, NULL) - before));
	SetLastError(PRESET);
	tell_yes("counted", GetProcessHeaps(0, NULL) > 0);
	tell("counted_error", "%s", last_error());
	tell("process_heap_place", "%d", place_of(GetProcessHeap()));
	tell_yes("first_listed", place_of(first) > 0);
	tell_yes("second_listed", place_of(second) > 0);
	tell_yes("order_of_creation", place_of(first) < place_of(second));
	HeapDestroy(first);
	tell_yes("destroyed_listed", place_of(first) >= 0);
	tell_yes("other_listed", place_of(second) > 0);
	HeapDestroy(second);
	tell_yes("as_many_as_before", GetProcessHeaps(0, NULL) == before);
}

static void list_into_short_array(void)
{
	HANDLE heap = HeapCreate(0, 0, 0), heaps[1] = { NULL };
	DWORD count = GetProcessHeaps(1, heaps);

	tell_yes("short_array_count", count == GetProcessHeaps(0, NULL));
	tell("short_array_holds", "%s",
	     heaps[0] == GetProcessHeap() ? "process heap" :
	     heaps[0] ? "other heap" : "nothing");
	HeapDestroy(heap);
}

static void set_last_error(void)
{
	static const DWORD errors[] = { 0, 1, 0x7fffffff, 0xffffffff };
	size_t i;

	for (i = 0; i < COUNT_OF(errors); i++) {
		SetLastError(errors[i]);
		tell_yes(name_of("last_error", errors[i]),
			 GetLastError() == errors[i]);
	}
}

int main(void)
{
	tell("last_error_at_start", "%u", (unsigned int)GetLastError());
	tell_yes("process_heap", GetProcessHeap() != NULL);
	tell_yes("process_heap_same", GetProcessHeap() == GetProcessHeap());
	list_heaps();
	list_into_short_array();
	set_last_error();
	return 0;
}
