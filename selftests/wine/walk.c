// SPDX-License-Identifier: GPL-2.0-only
/* HeapWalk(): what it lists, but not where things are. */
#include "transcript.h"

static const char *kind_of(const PROCESS_HEAP_ENTRY *entry)
{
	switch (entry->wFlags) {
	case PROCESS_HEAP_REGION:
		return "region";
	case PROCESS_HEAP_UNCOMMITTED_RANGE:
		return "uncommitted";
	case PROCESS_HEAP_ENTRY_BUSY:
		return "block";
	case 0:
		return "free";
	default:
		return "unknown";
	}
}

static void walk_fresh(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	PROCESS_HEAP_ENTRY entry;
	int number = 0;

	memset(&entry, 0xee, sizeof(entry));
	entry.lpData = NULL;
	SetLastError(PRESET);
	while (HeapWalk(heap, &entry)) {
		tell(name_of("fresh", number++), "%s, region %u, %s%s%s",
		     kind_of(&entry), entry.iRegionIndex, last_error(),
		     entry.lpData == heap ? ", at handle" : "",
		     entry.cbOverhead ? ", overhead" : "");
		SetLastError(PRESET);
	}
	tell("fresh_end", "%s", last_error());
	HeapDestroy(heap);
}

static void walk_region(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	PROCESS_HEAP_ENTRY entry = { 0 };
	char *base, *first, *last;

	HeapWalk(heap, &entry);
	base = entry.lpData;
	first = entry.Region.lpFirstBlock;
	last = entry.Region.lpLastBlock;
	tell_yes("region_header_below_page", entry.cbData <= 0x1000);
	tell_yes("region_first_behind_header",
		 first >= base + entry.cbData &&
		 first <= base + entry.cbData + 32);
	tell_yes("region_last_is_end",
		 last == base + entry.Region.dwCommittedSize +
			 entry.Region.dwUnCommittedSize);
	tell_yes("region_has_committed", entry.Region.dwCommittedSize > 0);
	HeapDestroy(heap);
}

static int by_size(const void *a, const void *b)
{
	const PROCESS_HEAP_ENTRY *left = a, *right = b;

	return (left->cbData > right->cbData) - (left->cbData < right->cbData);
}

#define MANY	64

/* Blocks by size, since where they lie is nobody's business. */
static void tell_blocks(const char *kind, HANDLE heap)
{
	PROCESS_HEAP_ENTRY busy[MANY], entry = { 0 };
	int count = 0, i;
	char name[64];

	while (HeapWalk(heap, &entry))
		if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY && count < MANY)
			busy[count++] = entry;
	qsort(busy, count, sizeof(busy[0]), by_size);
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s_%d", kind, i);
		tell(name, "%u bytes, flags %#x, %s, %s",
		     (unsigned int)busy[i].cbData, busy[i].wFlags,
		     busy[i].iRegionIndex == 64 ? "large" : "in a region",
		     busy[i].cbOverhead ? "overhead" : "no overhead");
	}
	snprintf(name, sizeof(name), "%s_count", kind);
	tell(name, "%d", count);
}

static void walk_blocks(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	void *blocks[20];
	int i;

	for (i = 0; i < 20; i++)
		blocks[i] = HeapAlloc(heap, 0, i * 77);
	HeapAlloc(heap, 0, 100000);
	HeapAlloc(heap, 0, 2 * MIB);
	HeapAlloc(heap, 0, 3 * MIB + 1);
	tell_blocks("blocks", heap);
	for (i = 0; i < 20; i += 2)
		HeapFree(heap, 0, blocks[i]);
	tell_blocks("half", heap);
	HeapDestroy(heap);
}

static void walk_wrong(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	TELL_BOOL("null_entry", HeapWalk(heap, NULL));
	HeapDestroy(heap);
}

static void walk_twice(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	PROCESS_HEAP_ENTRY first = { 0 }, second = { 0 };
	int equal = 1, i;

	for (i = 0; i < 50; i++)
		HeapAlloc(heap, 0, i * 10);
	while (HeapWalk(heap, &first))
		equal &= HeapWalk(heap, &second) &&
			 first.lpData == second.lpData &&
			 first.cbData == second.cbData &&
			 first.wFlags == second.wFlags;
	tell_yes("twice_equal", equal);
	TELL_BOOL("twice_end", HeapWalk(heap, &second));
	HeapDestroy(heap);
}

int main(void)
{
	walk_fresh();
	walk_region();
	walk_blocks();
	walk_wrong();
	walk_twice();
	return 0;
}
