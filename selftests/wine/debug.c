// SPDX-License-Identifier: GPL-2.0-only
/*
 * A debug heap that validates parameters: what is behind a block, what freed memory
 * holds, and what is said about damage. transcripts sets the environment that makes
 * one on either side.
 */
#include "transcript.h"

#define TAIL_BYTES	16

static const SIZE_T sizes[] = { 0, 1, 7, 8, 15, 16, 17, 100, 1000, 4096, 20000 };

static int is_all(const void *mem, SIZE_T bytes, unsigned char value)
{
	const unsigned char *byte = mem;
	SIZE_T i;

	for (i = 0; i < bytes; i++)
		if (byte[i] != value)
			return 0;
	return 1;
}

static void tell_tail(const char *name, const char *block, SIZE_T bytes)
{
	tell_yes(name_of(name, bytes), is_all(block + bytes, TAIL_BYTES, 0xab));
}

static void behind_blocks(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	unsigned char *block;
	int valid;
	size_t i, at;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		tell_tail("tail", (char *)block, sizes[i]);
		tell_yes(name_of("new_is_marked", sizes[i]),
			 sizes[i] < 4 || !is_zero(block, 0, 4));
		valid = 0;
		for (at = 0; at < TAIL_BYTES; at++) {
			block[sizes[i] + at]++;
			valid += !!HeapValidate(heap, 0, block);
			block[sizes[i] + at]--;
		}
		tell(name_of("valid_when_damaged", sizes[i]), "%d", valid);
		TELL_BOOL(name_of("valid_again", sizes[i]),
			  HeapValidate(heap, 0, block));
		block[sizes[i]]++;
		TELL_BOOL(name_of("valid_heap_when_damaged", sizes[i]),
			  HeapValidate(heap, 0, NULL));
		block[sizes[i]]--;
		TELL_BOOL(name_of("valid_heap_again", sizes[i]),
			  HeapValidate(heap, 0, NULL));
	}
	HeapDestroy(heap);
}

static void behind_resized(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 0);
	SIZE_T bytes;

	for (bytes = 1; bytes < 100; bytes += 7) {
		block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes);
		tell_tail("grown_tail", block, bytes);
		tell_yes(name_of("grown_zero", bytes), is_zero(block, 0, bytes));
	}
	for (; bytes > 7; bytes -= 7) {
		block = HeapReAlloc(heap, 0, block, bytes - 7);
		tell_tail("shrunk_tail", block, bytes - 7);
		TELL_BOOL(name_of("shrunk_valid", bytes - 7),
			  HeapValidate(heap, 0, block));
	}
	HeapDestroy(heap);
}

static void calls_on_damaged(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	unsigned char *block = HeapAlloc(heap, 0, 50);

	block[50] = 0;
	TELL_SIZE("size_of_damaged", HeapSize(heap, 0, block));
	TELL_BOOL("valid_damaged", HeapValidate(heap, 0, block));
	block[50] = 0xab;
	TELL_SIZE("size_of_restored", HeapSize(heap, 0, block));
	block[50] = 0;
	TELL_BOOL("free_damaged", HeapFree(heap, 0, block));
	block = HeapAlloc(heap, 0, 50);
	block[50] = 0;
	tell_yes("realloc_damaged",
		 HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 40) != NULL);
	HeapDestroy(heap);
}

/* The first bytes of what is free may hold bookkeeping. */
static void freed_memory(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	unsigned char *block, *keep;
	DWORD value;
	size_t i;

	keep = HeapAlloc(heap, 0, 64);
	for (i = 8; i < COUNT_OF(sizes); i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		fill(block, 0, sizes[i], 1);
		TELL_BOOL(name_of("free", sizes[i]), HeapFree(heap, 0, block));
		memcpy(&value, block + 512, sizeof(value));
		tell(name_of("freed_dword", sizes[i]), "%#x", (unsigned int)value);
		TELL_BOOL(name_of("valid_freed", sizes[i]),
			  HeapValidate(heap, 0, block));
		TELL_BOOL(name_of("free_again", sizes[i]),
			  HeapFree(heap, 0, block));
		block[512]++;
		TELL_BOOL(name_of("valid_heap_written", sizes[i]),
			  HeapValidate(heap, 0, NULL));
		block[512]--;
		TELL_BOOL(name_of("valid_heap_restored", sizes[i]),
			  HeapValidate(heap, 0, NULL));
	}
	HeapFree(heap, 0, keep);
	HeapDestroy(heap);
}

/* Freed is not free to be used again at once. */
static void reuse(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	void *first = HeapAlloc(heap, 0, 200), *block;
	int i, same = 0;

	HeapFree(heap, 0, first);
	for (i = 0; i < 1000; i++) {
		block = HeapAlloc(heap, 0, 200);
		same += block == first;
		HeapFree(heap, 0, block);
	}
	tell("used_again_in_1000", "%d", same);
	HeapDestroy(heap);
}

int main(void)
{
	behind_blocks();
	behind_resized();
	calls_on_damaged();
	freed_memory();
	reuse();
	return 0;
}
