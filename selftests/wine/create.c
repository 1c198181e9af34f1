// SPDX-License-Identifier: GPL-2.0-only
/* HeapCreate() and HeapDestroy(). */
#include "transcript.h"

static const struct option {
	const char *name;
	DWORD flags;
} options[] = {
	{ "no_options", 0 },
	{ "no_serialize", HEAP_NO_SERIALIZE },
	{ "generate_exceptions", HEAP_GENERATE_EXCEPTIONS },
	{ "enable_execute", HEAP_CREATE_ENABLE_EXECUTE },
	{ "align_16", HEAP_CREATE_ALIGN_16 },
	{ "enable_tracing", HEAP_CREATE_ENABLE_TRACING },
	{ "disable_coalesce", HEAP_DISABLE_COALESCE_ON_FREE },
	{ "unknown_options", 0x00f00000 },
};

static void create_with_options(void)
{
	char *block;
	HANDLE heap;
	size_t i;

	for (i = 0; i < COUNT_OF(options); i++) {
		heap = TELL_POINTER(options[i].name,
				    HeapCreate(options[i].flags, 0, 0));
		block = HeapAlloc(heap, 0, 1000);
		memset(block, 1, 1000);
		TELL_BOOL(name_of(options[i].name, 0), HeapDestroy(heap));
	}
}

/* Code of the processor that both sides run on: a function that returns 42. */
static void run_code(void)
{
	static const unsigned char code[] = { 0xb8, 0x2a, 0, 0, 0, 0xc3 };
	HANDLE heap = HeapCreate(HEAP_CREATE_ENABLE_EXECUTE, 0, 0);
	void *small = HeapAlloc(heap, 0, 16), *large = HeapAlloc(heap, 0, 2 * MIB);

	memcpy(small, code, sizeof(code));
	memcpy(large, code, sizeof(code));
	tell("code_in_block", "%d", ((int (*)(void))small)());
	tell("code_in_large_block", "%d", ((int (*)(void))large)());
	HeapDestroy(heap);
}

static const struct sizes {
	const char *name;
	SIZE_T initial_bytes, maximum_bytes;
} sizes[] = {
	{ "growable", 0, 0 },
	{ "growable_initial_byte", 1, 0 },
	{ "growable_initial_mib", MIB, 0 },
	{ "growable_initial_odd", 123456, 0 },
	{ "fixed", 0, MIB },
	{ "fixed_odd", 0, 123456 },
	{ "fixed_byte", 0, 1 },
	{ "fixed_initial_byte", 1, MIB },
	{ "fixed_initial_half", MIB / 2, MIB },
	{ "fixed_initial_all", MIB, MIB },
	{ "fixed_initial_over_maximum", 2 * MIB, MIB },
};

static void create_with_sizes(void)
{
	char name[64];
	HANDLE heap;
	size_t i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		heap = TELL_POINTER(sizes[i].name,
				    HeapCreate(0, sizes[i].initial_bytes,
					       sizes[i].maximum_bytes));
		snprintf(name, sizeof(name), "%s_alloc", sizes[i].name);
		TELL_POINTER(name, HeapAlloc(heap, 0, 16));
		snprintf(name, sizeof(name), "%s_valid", sizes[i].name);
		TELL_BOOL(name, HeapValidate(heap, 0, NULL));
		snprintf(name, sizeof(name), "%s_destroy", sizes[i].name);
		TELL_BOOL(name, HeapDestroy(heap));
	}
}

/* What the initial size may do to the maximum shows when the heap is filled. */
static void lower_initial_size(void)
{
	HANDLE heap = HeapCreate(0, 4 * MIB, 64 * KIB);

	TELL_POINTER("alloc_between_maximum_and_initial",
		     HeapAlloc(heap, 0, 512 * KIB));
	HeapDestroy(heap);
}

static void create_too_large(void)
{
	HANDLE heap;

	heap = TELL_POINTER("initial_over_address_space",
			    HeapCreate(0, (SIZE_T)1 << 46, 0));
	HeapDestroy(heap);
	heap = TELL_POINTER("maximum_over_address_space",
			    HeapCreate(0, 0, (SIZE_T)1 << 50));
	HeapDestroy(heap);
}

#define HEAPS	200

static int by_address(const void *a, const void *b)
{
	const uintptr_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void create_many(void)
{
	static HANDLE heaps[HEAPS];
	int created = 0, aligned = 0, distinct = 1, destroyed = 0, i;

	for (i = 0; i < HEAPS; i++) {
		heaps[i] = HeapCreate(0, 0, i % 2 ? MIB : 0);
		created += !!heaps[i];
		aligned += !((uintptr_t)heaps[i] & 0xffff);
	}
	qsort(heaps, HEAPS, sizeof(heaps[0]), by_address);
	for (i = 1; i < HEAPS; i++)
		distinct += heaps[i] != heaps[i - 1];
	for (i = 0; i < HEAPS; i++)
		destroyed += !!HeapDestroy(heaps[i]);
	tell("many_created", "%d", created);
	tell("many_handles_aligned", "%d", aligned);
	tell("many_handles_distinct", "%d", distinct);
	tell("many_destroyed", "%d", destroyed);
}

static void destroy_with_blocks(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	int i;

	for (i = 0; i < 1000; i++)
		HeapAlloc(heap, 0, i * 100);
	HeapAlloc(heap, 0, 3 * MIB);
	TELL_BOOL("destroy_with_blocks", HeapDestroy(heap));
}

static void destroy_wrong(void)
{
	static uintptr_t no_heap[1000];

	TELL_BOOL("destroy_null", HeapDestroy(NULL));
	TELL_BOOL("destroy_process_heap", HeapDestroy(GetProcessHeap()));
	TELL_BOOL("process_heap_still_valid",
		  HeapValidate(GetProcessHeap(), 0, NULL));
	TELL_BOOL("destroy_zeros", HeapDestroy(no_heap));
}

int main(void)
{
	create_with_options();
	run_code();
	create_with_sizes();
	lower_initial_size();
	create_too_large();
	create_many();
	destroy_with_blocks();
	destroy_wrong();
	return 0;
}
