// SPDX-License-Identifier: GPL-2.0-only
/* HeapAlloc(), and that HeapSize() is exact. */
#include "transcript.h"

static const SIZE_T sizes[] = {
	0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 63, 64, 100, 127, 128,
	255, 256, 1000, 1023, 1024, 2047, 2048, 4095, 4096, 4097, 8191, 16000,
	16384, 16385, 65535, 65536, 65537, 100000, 0x7f000, 0x7fff8, 0x80000,
	0xfd000, 0xfe000, 0xff000, 0xfffff, 0x100000, 0x100001, 0x123456,
	2 * MIB, 3 * MIB + 1, 4 * MIB,
};

static void tell_block(HANDLE heap, SIZE_T bytes)
{
	char *block;

	block = TELL_POINTER(name_of("alloc", bytes),
			     HeapAlloc(heap, 0, bytes));
	tell_yes(name_of("aligned", bytes), !((uintptr_t)block % 16));
	if (bytes >= MIB)
		tell_yes(name_of("large_aligned", bytes),
			 !((uintptr_t)block % 64));
	TELL_SIZE(name_of("size", bytes), HeapSize(heap, 0, block));
	fill(block, 0, bytes, 1);
	tell_yes(name_of("holds", bytes), is_filled(block, 0, bytes, 1));
	TELL_BOOL(name_of("valid", bytes), HeapValidate(heap, 0, block));
	TELL_BOOL(name_of("free", bytes), HeapFree(heap, 0, block));
}

static void alloc_sizes(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	size_t i;

	for (i = 0; i < COUNT_OF(sizes); i++)
		tell_block(heap, sizes[i]);
	HeapDestroy(heap);
}

/* Memory that was used before, and the whole of it. */
static void alloc_zeroed(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	void *block;
	size_t i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		fill(block, 0, sizes[i], 2);
		HeapFree(heap, 0, block);
		block = TELL_POINTER(name_of("alloc_zeroed", sizes[i]),
				     HeapAlloc(heap, HEAP_ZERO_MEMORY,
					       sizes[i]));
		tell_yes(name_of("zero", sizes[i]),
			 is_zero(block, 0, sizes[i]));
		HeapFree(heap, 0, block);
	}
	HeapDestroy(heap);
}

#define EMPTY_BLOCKS	16

static void alloc_empty(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	void *blocks[EMPTY_BLOCKS];
	int distinct = 0, empty = 0, freed = 0, i, j;

	for (i = 0; i < EMPTY_BLOCKS; i++) {
		blocks[i] = HeapAlloc(heap, i % 2 ? HEAP_ZERO_MEMORY : 0, 0);
		for (j = 0; j < i && blocks[i] != blocks[j]; j++)
			;
		distinct += blocks[i] && j == i;
		empty += HeapSize(heap, 0, blocks[i]) == 0;
	}
	for (i = 0; i < EMPTY_BLOCKS; i++)
		freed += !!HeapFree(heap, 0, blocks[i]);
	tell("empty_distinct", "%d", distinct);
	tell("empty_size_zero", "%d", empty);
	tell("empty_freed", "%d", freed);
	HeapDestroy(heap);
}

static const struct impossible {
	const char *name;
	SIZE_T bytes;
} impossible[] = {
	{ "max", SIZE_T_MAX },
	{ "max_7", SIZE_T_MAX - 7 },
	{ "max_8", SIZE_T_MAX - 8 },
	{ "max_15", SIZE_T_MAX - 15 },
	{ "max_16", SIZE_T_MAX - 16 },
	{ "max_31", SIZE_T_MAX - 31 },
	{ "max_4095", SIZE_T_MAX - 4095 },
	{ "max_65536", SIZE_T_MAX - 65536 },
	{ "half", SIZE_T_MAX / 2 },
	{ "half_1", SIZE_T_MAX / 2 + 1 },
	{ "quarter", SIZE_T_MAX / 4 },
};

static void alloc_impossible(const char *kind, SIZE_T maximum_bytes)
{
	HANDLE heap = HeapCreate(0, 0, maximum_bytes);
	char name[64];
	size_t i;

	for (i = 0; i < COUNT_OF(impossible); i++) {
		snprintf(name, sizeof(name), "%s_%s", kind, impossible[i].name);
		TELL_POINTER(name, HeapAlloc(heap, 0, impossible[i].bytes));
		snprintf(name, sizeof(name), "%s_%s_zeroed", kind,
			 impossible[i].name);
		TELL_POINTER(name, HeapAlloc(heap, HEAP_ZERO_MEMORY,
					     impossible[i].bytes));
	}
	snprintf(name, sizeof(name), "%s_valid", kind);
	TELL_BOOL(name, HeapValidate(heap, 0, NULL));
	snprintf(name, sizeof(name), "%s_usable", kind);
	TELL_POINTER(name, HeapAlloc(heap, 0, 100));
	HeapDestroy(heap);
}

/* A fixed heap holds no block of about 1 MiB, however large it is. */
static void alloc_at_threshold(void)
{
	static const SIZE_T bytes[] = {
		0x7f000, 0x7fff8, 0xfd000, 0xfe000, 0xfe001, 0xfefd8, 0xff000,
		0x100000, 0x200000,
	};
	HANDLE heap = HeapCreate(0, 0, 16 * MIB);
	void *block;
	size_t i;

	for (i = 0; i < COUNT_OF(bytes); i++) {
		block = TELL_POINTER(name_of("fixed", bytes[i]),
				     HeapAlloc(heap, 0, bytes[i]));
		HeapFree(heap, 0, block);
	}
	HeapDestroy(heap);
}

/* How much a fixed heap may use up for itself. */
static void alloc_all_but_overhead(void)
{
	HANDLE heap = HeapCreate(0, 0, 256 * KIB);

	TELL_POINTER("fixed_all_but_0xc00",
		     HeapAlloc(heap, 0, 256 * KIB - 0xc00));
	HeapDestroy(heap);
	heap = HeapCreate(0, 0, 256 * KIB);
	TELL_POINTER("fixed_more_than_all",
		     HeapAlloc(heap, 0, 256 * KIB + 1));
	HeapDestroy(heap);
}

static void fill_heap(void)
{
	static void *blocks[2000];
	HANDLE heap = HeapCreate(0, 0, MIB);
	int count = 0;

	SetLastError(PRESET);
	while (count < 2000 && (blocks[count] = HeapAlloc(heap, 0, 1000)))
		count++;
	tell("full", "%s", last_error());
	tell_yes("full_holds_900_blocks", count >= 900);
	tell_yes("full_holds_no_1049_blocks", count < 1049);
	TELL_BOOL("full_valid", HeapValidate(heap, 0, NULL));
	TELL_POINTER("full_zeroed", HeapAlloc(heap, HEAP_ZERO_MEMORY, 1000));
	TELL_SIZE("full_size", HeapSize(heap, 0, blocks[count / 2]));
	TELL_BOOL("full_free", HeapFree(heap, 0, blocks[count / 2]));
	TELL_POINTER("full_alloc_after_free", HeapAlloc(heap, 0, 1000));
	TELL_POINTER("full_again", HeapAlloc(heap, 0, 1000));
	HeapDestroy(heap);
}

static void alloc_with_flags(void)
{
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);

	TELL_POINTER("no_serialize_heap", HeapAlloc(heap, 0, 10));
	HeapDestroy(heap);
	heap = HeapCreate(0, 0, 0);
	TELL_POINTER("no_serialize_call",
		     HeapAlloc(heap, HEAP_NO_SERIALIZE, 10));
	TELL_POINTER("no_serialize_zeroed",
		     HeapAlloc(heap, HEAP_NO_SERIALIZE | HEAP_ZERO_MEMORY, 10));
	TELL_POINTER("flag_of_create",
		     HeapAlloc(heap, HEAP_CREATE_ALIGN_16, 10));
	TELL_POINTER("flag_of_realloc",
		     HeapAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, 10));
	HeapDestroy(heap);
}

static void alloc_in_process_heap(void)
{
	HANDLE heap = GetProcessHeap();
	void *block = TELL_POINTER("process_heap", HeapAlloc(heap, 0, 12345));

	TELL_SIZE("process_heap_size", HeapSize(heap, 0, block));
	TELL_BOOL("process_heap_free", HeapFree(heap, 0, block));
}

int main(void)
{
	alloc_sizes();
	alloc_zeroed();
	alloc_empty();
	alloc_impossible("growable", 0);
	alloc_impossible("fixed", MIB);
	alloc_at_threshold();
	alloc_all_but_overhead();
	fill_heap();
	alloc_with_flags();
	alloc_in_process_heap();
	TELL_POINTER("null_heap", HeapAlloc(NULL, 0, 10));
	return 0;
}
