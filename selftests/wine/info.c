// SPDX-License-Identifier: GPL-2.0-only
/* HeapQueryInformation() and HeapSetInformation(). */
#include "transcript.h"

#define NOT_WRITTEN	0xdeadbeef

static void query(const char *name, HANDLE heap, int class, SIZE_T bytes)
{
	ULONG values[4] = { NOT_WRITTEN, NOT_WRITTEN, NOT_WRITTEN, NOT_WRITTEN };
	SIZE_T returned = NOT_WRITTEN;
	const char *error;
	BOOL done;

	SetLastError(PRESET);
	done = HeapQueryInformation(heap, (HEAP_INFORMATION_CLASS)class, values,
				    bytes, &returned);
	error = last_error();
	tell(name, "%s, %s, value %#x, next %#x, length %#llx",
	     done ? "TRUE" : "FALSE", error, (unsigned int)values[0],
	     (unsigned int)values[1], (unsigned long long)returned);
}

static void query_lengths(HANDLE heap)
{
	static const SIZE_T lengths[] = { 0, 1, 3, 4, 5, 8, 16 };
	size_t i;

	for (i = 0; i < COUNT_OF(lengths); i++)
		query(name_of("query", lengths[i]), heap, 0, lengths[i]);
}

static void query_without_length(HANDLE heap)
{
	ULONG value = NOT_WRITTEN;

	TELL_BOOL("no_returned_length",
		  HeapQueryInformation(heap, HeapCompatibilityInformation,
				       &value, sizeof(value), NULL));
	tell("no_returned_length_value", "%#x", (unsigned int)value);
	TELL_BOOL("no_returned_length_short",
		  HeapQueryInformation(heap, HeapCompatibilityInformation,
				       &value, 2, NULL));
}

static void query_kinds(void)
{
	HANDLE heap = HeapCreate(0, 0, MIB);

	query("fixed", heap, 0, 4);
	HeapDestroy(heap);
	heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	query("no_serialize", heap, 0, 4);
	HeapDestroy(heap);
	query("null_heap", NULL, 0, 4);
}

/* After the first step Wine remembers nothing, so there is no second one. */
static void set(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	ULONG value = 2;

	TELL_BOOL("set_front_end",
		  HeapSetInformation(heap, HeapCompatibilityInformation, &value,
				     sizeof(value)));
	query("query_front_end", heap, 0, 4);
	HeapDestroy(heap);
	heap = HeapCreate(0, 0, MIB);
	TELL_BOOL("set_fixed",
		  HeapSetInformation(heap, HeapCompatibilityInformation, &value,
				     sizeof(value)));
	HeapDestroy(heap);
	heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	TELL_BOOL("set_no_serialize",
		  HeapSetInformation(heap, HeapCompatibilityInformation, &value,
				     sizeof(value)));
	TELL_BOOL("set_unknown_class",
		  HeapSetInformation(heap, (HEAP_INFORMATION_CLASS)77, &value,
				     sizeof(value)));
	HeapDestroy(heap);
}

int main(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	query_lengths(heap);
	query_without_length(heap);
	query("unknown_class", heap, 77, 4);
	query("termination_class", heap, 1, 4);
	HeapDestroy(heap);
	query_kinds();
	set();
	return 0;
}
