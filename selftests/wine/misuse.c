// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pointers that are no blocks of the heap, handed to every function that takes
 * one, and handles that are no heaps. Left out is what ends a program under Wine:
 * pointers to nothing at all, NULL for HeapSize(), heaps that are gone.
 */
#include "transcript.h"

static HANDLE heap, other_heap;
static char *neighbour;

#define NEIGHBOUR_BYTES	3000

static char static_bytes[256];

static void tell_heaps(const char *name)
{
	char full_name[64];

	snprintf(full_name, sizeof(full_name), "%s_after", name);
	tell(full_name, "%s, %s, %s",
	     HeapValidate(heap, 0, NULL) ? "valid" : "not valid",
	     HeapValidate(other_heap, 0, NULL) ? "valid" : "not valid",
	     is_filled(neighbour, 0, NEIGHBOUR_BYTES, 1) ? "kept" : "changed");
}

static void use_everywhere(const char *kind, void *pointer)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_free", kind);
	TELL_BOOL(name, HeapFree(heap, 0, pointer));
	snprintf(name, sizeof(name), "%s_size", kind);
	TELL_SIZE(name, HeapSize(heap, 0, pointer));
	snprintf(name, sizeof(name), "%s_realloc", kind);
	TELL_POINTER(name, HeapReAlloc(heap, 0, pointer, 10));
	snprintf(name, sizeof(name), "%s_realloc_in_place", kind);
	TELL_POINTER(name, HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY,
				       pointer, 10));
	snprintf(name, sizeof(name), "%s_realloc_nothing", kind);
	TELL_POINTER(name, HeapReAlloc(heap, 0, pointer, 0));
	snprintf(name, sizeof(name), "%s_realloc_impossible", kind);
	TELL_POINTER(name, HeapReAlloc(heap, 0, pointer, SIZE_T_MAX));
	snprintf(name, sizeof(name), "%s_validate", kind);
	TELL_BOOL(name, HeapValidate(heap, 0, pointer));
	tell_heaps(kind);
}

static void use_foreign(void)
{
	char on_stack[256] = { 0 };
	char *from_malloc = calloc(1, 256);

	use_everywhere("stack", on_stack + 64);
	use_everywhere("static", static_bytes + 64);
	use_everywhere("malloc", from_malloc + 64);
	free(from_malloc);
}

static void use_interior(void)
{
	char *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 1000);

	use_everywhere("one_in", block + 1);
	use_everywhere("eight_in", block + 8);
	use_everywhere("sixteen_in", block + 16);
	use_everywhere("page_crossing", block + 992);
	TELL_SIZE("interior_block_size", HeapSize(heap, 0, block));
	TELL_BOOL("interior_block_free", HeapFree(heap, 0, block));
}

static void use_freed(void)
{
	static const SIZE_T sizes[] = { 0, 16, 100, 1000, 10000, 100000 };
	char *block;
	size_t i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		TELL_BOOL(name_of("freed_once", sizes[i]),
			  HeapFree(heap, 0, block));
		use_everywhere(name_of("freed", sizes[i]), block);
	}
}

#define ROW	100

/*
 * Between blocks that are in use. Beside free memory Wine cannot tell: it merges
 * the two, and what is left of the block's header still looks like one.
 */
static void free_row_twice(SIZE_T bytes)
{
	HANDLE row = HeapCreate(0, 0, 0);
	int refused = 0, valid = 0, i;
	void *blocks[ROW];

	for (i = 0; i < ROW; i++)
		blocks[i] = HeapAlloc(row, 0, bytes);
	for (i = 1; i < ROW; i += 2)
		HeapFree(row, 0, blocks[i]);
	SetLastError(PRESET);
	for (i = 1; i < ROW; i += 2) {
		refused += !HeapFree(row, 0, blocks[i]) &&
			   GetLastError() == ERROR_INVALID_PARAMETER;
		valid += !!HeapValidate(row, 0, NULL);
	}
	tell(name_of("row_refused", bytes), "%d", refused);
	tell(name_of("row_valid", bytes), "%d", valid);
	HeapDestroy(row);
}

static void use_moved(void)
{
	char *block = HeapAlloc(heap, 0, 100), *moved;

	HeapAlloc(heap, 0, 100);
	moved = HeapReAlloc(heap, 0, block, 50000);
	tell_yes("moves", moved != block);
	use_everywhere("moved", block);
	TELL_BOOL("moved_free_new", HeapFree(heap, 0, moved));
}

static void use_of_other_heap(void)
{
	char *block = HeapAlloc(other_heap, 0, 100);
	char *process_block = HeapAlloc(GetProcessHeap(), 0, 100);

	use_everywhere("of_other_heap", block);
	use_everywhere("of_process_heap", process_block);
	TELL_BOOL("of_other_heap_still_valid",
		  HeapValidate(other_heap, 0, block));
	TELL_BOOL("of_other_heap_freed", HeapFree(other_heap, 0, block));
	TELL_BOOL("of_process_heap_freed",
		  HeapFree(GetProcessHeap(), 0, process_block));
}

/* A block that is wrong and a size that is: the block counts. */
static void realloc_wrong_in_fixed(void)
{
	HANDLE fixed = HeapCreate(0, 0, MIB);
	char *block = HeapAlloc(fixed, 0, 100);

	TELL_POINTER("fixed_realloc_foreign",
		     HeapReAlloc(fixed, 0, static_bytes + 64, 2 * MIB));
	TELL_POINTER("fixed_realloc_interior",
		     HeapReAlloc(fixed, 0, block + 8, 2 * MIB));
	TELL_POINTER("fixed_realloc_null_heap",
		     HeapReAlloc(NULL, 0, block, 2 * MIB));
	TELL_SIZE("fixed_block_size", HeapSize(fixed, 0, block));
	HeapDestroy(fixed);
}

static void free_null(void)
{
	TELL_BOOL("free_null", HeapFree(heap, 0, NULL));
	TELL_BOOL("free_null_no_serialize",
		  HeapFree(heap, HEAP_NO_SERIALIZE, NULL));
	TELL_BOOL("free_null_null_heap", HeapFree(NULL, 0, NULL));
	tell_heaps("free_null");
}

static void use_null_heap(void)
{
	char *block = HeapAlloc(heap, 0, 100);

	TELL_POINTER("null_heap_alloc", HeapAlloc(NULL, 0, 100));
	TELL_POINTER("null_heap_realloc", HeapReAlloc(NULL, 0, block, 100));
	TELL_BOOL("null_heap_free", HeapFree(NULL, 0, block));
	TELL_SIZE("null_heap_size", HeapSize(NULL, 0, block));
	TELL_BOOL("null_heap_validate", HeapValidate(NULL, 0, NULL));
	TELL_BOOL("null_heap_validate_block", HeapValidate(NULL, 0, block));
	TELL_SIZE("null_heap_block_size", HeapSize(heap, 0, block));
	TELL_BOOL("null_heap_block_free", HeapFree(heap, 0, block));
	tell_heaps("null_heap");
}

int main(void)
{
	heap = HeapCreate(0, 0, 0);
	other_heap = HeapCreate(0, 0, 0);
	neighbour = HeapAlloc(heap, 0, NEIGHBOUR_BYTES);
	fill(neighbour, 0, NEIGHBOUR_BYTES, 1);

	use_foreign();
	use_interior();
	use_freed();
	free_row_twice(0);
	free_row_twice(100);
	free_row_twice(3000);
	free_row_twice(40000);
	use_moved();
	use_of_other_heap();
	realloc_wrong_in_fixed();
	free_null();
	use_null_heap();
	return 0;
}
