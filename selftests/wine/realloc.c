// SPDX-License-Identifier: GPL-2.0-only
/* HeapReAlloc(). */
#include "transcript.h"

static SIZE_T smaller(SIZE_T a, SIZE_T b)
{
	return a < b ? a : b;
}

static const SIZE_T sizes[] = {
	0, 1, 8, 16, 17, 40, 100, 1000, 1024, 4096, 5000, 65536, 200000,
	0xfd000, 0x100000, 0x123456, 3 * MIB,
};

/* What of it was wrong, as one word. */
static const char *resize(HANDLE heap, DWORD flags, SIZE_T from, SIZE_T to)
{
	char *block = HeapAlloc(heap, 0, from);
	const char *result = "good";

	fill(block, 0, from, 3);
	SetLastError(PRESET);
	block = HeapReAlloc(heap, flags, block, to);
	if (!block)
		return "NULL";
	if (GetLastError() != PRESET)
		result = "error changed";
	else if (HeapSize(heap, 0, block) != to)
		result = "wrong size";
	else if ((uintptr_t)block % 16)
		result = "not aligned";
	else if (!is_filled(block, 0, smaller(from, to), 3))
		result = "contents changed";
	else if (flags & HEAP_ZERO_MEMORY && from < to &&
		 !is_zero(block, from, to))
		result = "not zeroed";
	fill(block, 0, to, 4);
	if (!HeapValidate(heap, 0, block))
		result = "not valid";
	if (!HeapFree(heap, 0, block))
		result = "not freed";
	return result;
}

static void resize_all(const char *kind, DWORD flags)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char name[64];
	size_t i, j;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		for (j = 0; j < COUNT_OF(sizes); j++) {
			snprintf(name, sizeof(name), "%s_%#llx_%#llx", kind,
				 (unsigned long long)sizes[i],
				 (unsigned long long)sizes[j]);
			tell(name, "%s",
			     resize(heap, flags, sizes[i], sizes[j]));
		}
	}
	HeapDestroy(heap);
}

/* Zeros begin at the size that was asked for, not where memory was had. */
static void zero_after_shrinking(void)
{
	static const struct { SIZE_T from, to; } cases[] = {
		{ 32, 5 }, { 32, 17 }, { 100, 0 }, { 100, 99 }, { 1000, 500 },
		{ 4096, 1 }, { 65536, 4097 }, { 0xfd000, 10000 },
		{ 2 * MIB, MIB + 5 }, { 2 * MIB, 100 }, { 3 * MIB, 0 },
	};
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block;
	size_t i;

	for (i = 0; i < COUNT_OF(cases); i++) {
		block = HeapAlloc(heap, 0, cases[i].from);
		fill(block, 0, cases[i].from, 5);
		block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, cases[i].to);
		tell_yes(name_of("shrunk_kept", cases[i].from + cases[i].to),
			 is_filled(block, 0, cases[i].to, 5));
		block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block,
				    cases[i].from);
		tell_yes(name_of("regrown_kept", cases[i].from + cases[i].to),
			 is_filled(block, 0, cases[i].to, 5));
		tell_yes(name_of("regrown_zero", cases[i].from + cases[i].to),
			 is_zero(block, cases[i].to, cases[i].from));
		HeapFree(heap, 0, block);
	}
	HeapDestroy(heap);
}

/* By small steps, as a growing array does it. */
static void zero_by_steps(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 0);
	int zero = 1, exact = 1;
	SIZE_T bytes;

	for (bytes = 1; bytes <= 3000; bytes++) {
		block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes);
		zero &= is_zero(block, bytes - 1, bytes);
		exact &= HeapSize(heap, 0, block) == bytes;
		block[bytes - 1] = 1;
	}
	tell_yes("steps_zero", zero);
	tell_yes("steps_exact", exact);
	HeapDestroy(heap);
}

static void resize_to_nothing(void)
{
	static const SIZE_T from[] = { 0, 1, 100, 5000, 200000 };
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block, *empty;
	size_t i;

	for (i = 0; i < COUNT_OF(from); i++) {
		block = HeapAlloc(heap, 0, from[i]);
		empty = TELL_POINTER(name_of("to_nothing", from[i]),
				     HeapReAlloc(heap, 0, block, 0));
		tell_yes(name_of("to_nothing_stays", from[i]), empty == block);
		TELL_SIZE(name_of("to_nothing_size", from[i]),
			  HeapSize(heap, 0, empty));
		empty = TELL_POINTER(name_of("from_nothing", from[i]),
				     HeapReAlloc(heap, 0, empty, 50));
		TELL_BOOL(name_of("from_nothing_free", from[i]),
			  HeapFree(heap, 0, empty));
	}
	HeapDestroy(heap);
}

static void resize_in_place(void)
{
	static const struct { SIZE_T from, to; } cases[] = {
		{ 16, 0 }, { 100, 1 }, { 1000, 500 }, { 4096, 100 },
		{ 65536, 65535 }, { 200000, 5000 }, { 0xfd000, 16 },
	};
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block, *resized;
	size_t i;

	for (i = 0; i < COUNT_OF(cases); i++) {
		block = HeapAlloc(heap, 0, cases[i].from);
		fill(block, 0, cases[i].from, 6);
		resized = TELL_POINTER(name_of("in_place_shrink", cases[i].from),
			HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block,
				    cases[i].to));
		tell_yes(name_of("in_place_shrink_stays", cases[i].from),
			 resized == block);
		resized = TELL_POINTER(name_of("in_place_regrow", cases[i].from),
			HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block,
				    cases[i].from));
		tell_yes(name_of("in_place_regrow_stays", cases[i].from),
			 resized == block);
		TELL_SIZE(name_of("in_place_size", cases[i].from),
			  HeapSize(heap, 0, block));
		tell_yes(name_of("in_place_kept", cases[i].from),
			 is_filled(block, 0, cases[i].to, 6));
		HeapFree(heap, 0, block);
	}
	HeapDestroy(heap);
}

static void tell_untouched(const char *name, HANDLE heap, char *block,
			   SIZE_T bytes, unsigned int tag)
{
	tell(name, "%s, %s, %s",
	     HeapSize(heap, 0, block) == bytes ? "same size" : "other size",
	     is_filled(block, 0, bytes, tag) ? "contents kept" : "changed",
	     HeapValidate(heap, 0, NULL) ? "heap valid" : "heap not valid");
}

#define NEIGHBOURS	100

/* Blocks behind which there is no room, since others are all around. */
static void resize_in_place_without_room(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *blocks[NEIGHBOURS], *middle;
	int i;

	for (i = 0; i < NEIGHBOURS; i++)
		blocks[i] = HeapAlloc(heap, 0, 1000);
	middle = blocks[NEIGHBOURS / 2];
	fill(middle, 0, 1000, 7);
	TELL_POINTER("in_place_no_room",
		     HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, middle,
				 500 * KIB));
	tell_untouched("in_place_no_room_block", heap, middle, 1000, 7);
	TELL_POINTER("in_place_no_room_zeroed",
		     HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY |
				 HEAP_ZERO_MEMORY, middle, 500 * KIB));
	tell_untouched("in_place_no_room_zeroed_block", heap, middle, 1000, 7);
	TELL_POINTER("in_place_to_large",
		     HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, middle,
				 2 * MIB));
	tell_untouched("in_place_to_large_block", heap, middle, 1000, 7);
	HeapDestroy(heap);
}

static void resize_beyond(const char *kind, SIZE_T maximum_bytes, SIZE_T to)
{
	HANDLE heap = HeapCreate(0, 0, maximum_bytes);
	char *block = HeapAlloc(heap, 0, 5000);
	char name[64];

	fill(block, 0, 5000, 8);
	TELL_POINTER(kind, HeapReAlloc(heap, 0, block, to));
	snprintf(name, sizeof(name), "%s_block", kind);
	tell_untouched(name, heap, block, 5000, 8);
	snprintf(name, sizeof(name), "%s_zeroed", kind);
	TELL_POINTER(name, HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, to));
	snprintf(name, sizeof(name), "%s_zeroed_block", kind);
	tell_untouched(name, heap, block, 5000, 8);
	HeapDestroy(heap);
}

static void resize_impossible(void)
{
	resize_beyond("to_max", 0, SIZE_T_MAX);
	resize_beyond("to_max_7", 0, SIZE_T_MAX - 7);
	resize_beyond("to_max_15", 0, SIZE_T_MAX - 15);
	resize_beyond("to_max_16", 0, SIZE_T_MAX - 16);
	resize_beyond("to_max_4095", 0, SIZE_T_MAX - 4095);
	resize_beyond("to_half", 0, SIZE_T_MAX / 2);
	resize_beyond("fixed_to_max", MIB, SIZE_T_MAX);
	resize_beyond("fixed_to_half", MIB, SIZE_T_MAX / 2);
	resize_beyond("fixed_to_more_than_all", MIB, MIB + 1);
	resize_beyond("fixed_to_large", 16 * MIB, 2 * MIB);
	resize_beyond("fixed_to_threshold", 16 * MIB, 0xff000);
}

static void resize_in_full_heap(void)
{
	HANDLE heap = HeapCreate(0, 0, MIB);
	char *block = HeapAlloc(heap, 0, 2000);

	fill(block, 0, 2000, 9);
	while (HeapAlloc(heap, 0, 1000))
		;
	TELL_POINTER("full_grow", HeapReAlloc(heap, 0, block, 8000));
	tell_untouched("full_grow_block", heap, block, 2000, 9);
	tell_yes("full_shrink_stays",
		 TELL_POINTER("full_shrink",
			      HeapReAlloc(heap, 0, block, 100)) == block);
	tell_untouched("full_shrink_block", heap, block, 100, 9);
	HeapDestroy(heap);
}

static void resize_null(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	TELL_POINTER("null_block", HeapReAlloc(heap, 0, NULL, 10));
	TELL_POINTER("null_block_zeroed",
		     HeapReAlloc(heap, HEAP_ZERO_MEMORY, NULL, 10));
	TELL_POINTER("null_block_to_nothing", HeapReAlloc(heap, 0, NULL, 0));
	TELL_BOOL("null_block_valid", HeapValidate(heap, 0, NULL));
	HeapDestroy(heap);
}

int main(void)
{
	resize_all("resize", 0);
	resize_all("resize_zeroed", HEAP_ZERO_MEMORY);
	resize_all("resize_no_serialize", HEAP_NO_SERIALIZE);
	zero_after_shrinking();
	zero_by_steps();
	resize_to_nothing();
	resize_in_place();
	resize_in_place_without_room();
	resize_impossible();
	resize_in_full_heap();
	resize_null();
	return 0;
}
