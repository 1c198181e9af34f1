// SPDX-License-Identifier: GPL-2.0-only
/* HeapValidate(), which never changes the last error. */
#include "transcript.h"

static const SIZE_T sizes[] = { 0, 1, 16, 100, 4096, 100000, MIB, 3 * MIB };

static void validate_blocks(void)
{
	HANDLE heap = HeapCreate(0, 0, 0), other = HeapCreate(0, 0, 0);
	char *block;
	size_t i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		block = HeapAlloc(heap, 0, sizes[i]);
		fill(block, 0, sizes[i], 1);
		TELL_BOOL(name_of("block", sizes[i]),
			  HeapValidate(heap, 0, block));
		TELL_BOOL(name_of("no_serialize", sizes[i]),
			  HeapValidate(heap, HEAP_NO_SERIALIZE, block));
		TELL_BOOL(name_of("in_other_heap", sizes[i]),
			  HeapValidate(other, 0, block));
		TELL_BOOL(name_of("whole_heap", sizes[i]),
			  HeapValidate(heap, 0, NULL));
	}
	HeapDestroy(other);
	HeapDestroy(heap);
}

static void validate_while_changing(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *blocks[64];
	int valid = 0, i;

	for (i = 0; i < 64; i++) {
		blocks[i] = HeapAlloc(heap, 0, i * i * 40);
		fill(blocks[i], 0, i * i * 40, i);
		valid += !!HeapValidate(heap, 0, NULL);
	}
	for (i = 0; i < 64; i += 2) {
		HeapFree(heap, 0, blocks[i]);
		valid += !!HeapValidate(heap, 0, NULL);
	}
	for (i = 1; i < 64; i += 2) {
		blocks[i] = HeapReAlloc(heap, 0, blocks[i], 5000);
		valid += !!HeapValidate(heap, 0, NULL);
	}
	tell("valid_all_the_time", "%d", valid);
	HeapDestroy(heap);
}

/* Of all entries of a walk only the blocks are valid as such. */
static void validate_entries(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	PROCESS_HEAP_ENTRY entry = { 0 };
	int busy = 0, others = 0, i;
	void *block;

	for (i = 0; i < 20; i++) {
		block = HeapAlloc(heap, 0, 100 + i);
		if (i % 3 == 0)
			HeapFree(heap, 0, block);
	}
	while (HeapWalk(heap, &entry)) {
		if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY)
			busy += !!HeapValidate(heap, 0, entry.lpData);
		else if (!(entry.wFlags & PROCESS_HEAP_UNCOMMITTED_RANGE))
			others += !!HeapValidate(heap, 0, entry.lpData);
	}
	tell("entries_busy_valid", "%d", busy);
	tell("entries_other_valid", "%d", others);
	HeapDestroy(heap);
}

int main(void)
{
	validate_blocks();
	validate_while_changing();
	validate_entries();
	TELL_BOOL("process_heap", HeapValidate(GetProcessHeap(), 0, NULL));
	return 0;
}
