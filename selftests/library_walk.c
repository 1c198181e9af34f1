// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: walking through a heap, compacting it, and what Windows derives
 * from the blocks that live in one.
 */
#include <heapdev-admin.h>

#include "kselftest_harness.h"
#include "library_util.h"

/* A whole walk. */
struct walk {
	PROCESS_HEAP_ENTRY *entries;
	size_t count;
	DWORD error;	/* at its end */
};

static void walk_heap(struct walk *walk, HANDLE heap)
{
	PROCESS_HEAP_ENTRY entry;
	size_t room = 0;

	walk->entries = NULL;
	walk->count = 0;
	/* But for lpData it does not matter what there was. */
	memset(&entry, 0xa5, sizeof(entry));
	entry.lpData = NULL;
	while (HeapWalk(heap, &entry)) {
		if (walk->count == room) {
			room = 2 * room + 64;
			walk->entries = realloc(walk->entries,
						room * sizeof(entry));
		}
		walk->entries[walk->count++] = entry;
	}
	walk->error = GetLastError();
}

static const PROCESS_HEAP_ENTRY *find_busy(const struct walk *walk,
					   const void *block)
{
	size_t i;

	for (i = 0; i < walk->count; i++)
		if (walk->entries[i].wFlags == PROCESS_HEAP_ENTRY_BUSY &&
		    walk->entries[i].lpData == block)
			return &walk->entries[i];
	return NULL;
}

static size_t count_entries(const struct walk *walk, WORD flags)
{
	size_t i, count = 0;

	for (i = 0; i < walk->count; i++)
		count += walk->entries[i].wFlags == flags;
	return count;
}

static char *end_of(const PROCESS_HEAP_ENTRY *entry)
{
	return (char *)entry->lpData + entry->cbData;
}

/* Each function tells what is wrong with an entry, NULL if nothing. */

static const char *find_region_fault(const PROCESS_HEAP_ENTRY *entry)
{
	const char *start = entry->lpData;

	if (entry->cbData || entry->cbOverhead)
		return "a region with a header";
	if (entry->Region.lpFirstBlock != start)
		return "the first block of a region";
	if (start + entry->Region.dwCommittedSize +
	    entry->Region.dwUnCommittedSize != entry->Region.lpLastBlock)
		return "the size of a region";
	return NULL;
}

static const char *find_part_fault(const PROCESS_HEAP_ENTRY *entry,
				   const PROCESS_HEAP_ENTRY *region,
				   const char *position)
{
	bool uncommitted = entry->wFlags == PROCESS_HEAP_UNCOMMITTED_RANGE;

	if (entry->iRegionIndex != region->iRegionIndex)
		return "the index of another region";
	if ((char *)entry->lpData < position ||
	    end_of(entry) > (char *)region->Region.lpLastBlock)
		return "overlap";
	if (uncommitted == !!entry->cbOverhead)
		return "overhead";
	if (entry->wFlags != PROCESS_HEAP_ENTRY_BUSY && !entry->cbData)
		return "an empty range";
	return NULL;
}

static const char *find_large_fault(const PROCESS_HEAP_ENTRY *entry)
{
	if (entry->wFlags != PROCESS_HEAP_ENTRY_BUSY || entry->cbOverhead ||
	    entry->iRegionIndex != 64)
		return "a large block that is none";
	return NULL;
}

/* Check the parts of the region at @region; @next is after the last of them. */
static const char *find_parts_fault(const PROCESS_HEAP_ENTRY *region,
				    const PROCESS_HEAP_ENTRY *end,
				    const PROCESS_HEAP_ENTRY **next)
{
	const char *position = region->lpData, *fault;
	const PROCESS_HEAP_ENTRY *entry;
	SIZE_T uncommitted = 0;

	for (entry = region + 1; entry < end; entry++) {
		if (entry->wFlags == PROCESS_HEAP_REGION ||
		    entry->iRegionIndex == 64)
			break;
		fault = find_part_fault(entry, region, position);
		if (fault)
			return fault;
		if (entry->wFlags == PROCESS_HEAP_UNCOMMITTED_RANGE)
			uncommitted += entry->cbData;
		position = end_of(entry);
	}
	*next = entry;
	return uncommitted == region->Region.dwUnCommittedSize ? NULL :
	       "uncommitted ranges do not add up";
}

/*
 * Regions in order, in each its parts by address and none over another, sizes
 * that add up, and the blocks with their own region last.
 */
static const char *find_fault(const struct walk *walk, HANDLE heap)
{
	const PROCESS_HEAP_ENTRY *entry = walk->entries;
	const PROCESS_HEAP_ENTRY *end = entry + walk->count;
	const char *fault = NULL;
	unsigned int index;

	if (!walk->count || entry->lpData != heap)
		return "the first entry is not the first region";
	for (index = 0; entry < end && entry->iRegionIndex != 64; index++) {
		if (entry->wFlags != PROCESS_HEAP_REGION ||
		    entry->iRegionIndex != (index < 63 ? index : 63))
			return "regions out of order";
		fault = find_region_fault(entry);
		if (!fault)
			fault = find_parts_fault(entry, end, &entry);
		if (fault)
			return fault;
	}
	for (; entry < end && !fault; entry++)
		fault = find_large_fault(entry);
	return fault;
}

/* Of all entries only live blocks are valid. */
static bool validity_is_right(const struct walk *walk, HANDLE heap)
{
	const PROCESS_HEAP_ENTRY *entry = walk->entries;
	const PROCESS_HEAP_ENTRY *end = entry + walk->count;

	for (; entry < end; entry++) {
		/* A block may start where its region does. */
		if (entry->wFlags == PROCESS_HEAP_REGION)
			continue;
		if (HeapValidate(heap, 0, entry->lpData) !=
		    (entry->wFlags == PROCESS_HEAP_ENTRY_BUSY))
			return false;
	}
	return true;
}

#define EXPECT_SOUND(walk, heap)					\
	do {								\
		const char *fault = find_fault(walk, heap);		\
									\
		EXPECT_EQ(ERROR_NO_MORE_ITEMS, (walk)->error);		\
		EXPECT_EQ(NULL, fault) {				\
			TH_LOG("walk: %s", fault);			\
		}							\
		EXPECT_TRUE(validity_is_right(walk, heap));		\
	} while (0)

/* Heaps of every kind */

FIXTURE(walk) {
	HANDLE heap;
};

FIXTURE_VARIANT(walk) {
	DWORD options;
	SIZE_T initial_bytes;
	SIZE_T max_bytes;
};

FIXTURE_VARIANT_ADD(walk, growable) {
};

FIXTURE_VARIANT_ADD(walk, growable_initial) {
	.initial_bytes = 300000,
};

FIXTURE_VARIANT_ADD(walk, fixed) {
	.max_bytes = 8 * MIB,
};

FIXTURE_VARIANT_ADD(walk, fixed_full_initial) {
	.initial_bytes = 8 * MIB,
	.max_bytes = 8 * MIB,
};

FIXTURE_VARIANT_ADD(walk, unserialized) {
	.options = HEAP_NO_SERIALIZE,
};

FIXTURE_SETUP(walk)
{
	self->heap = HeapCreate(variant->options, variant->initial_bytes,
				variant->max_bytes);
	ASSERT_HEAP(self->heap);
	preset_errors();
}

FIXTURE_TEARDOWN(walk)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

static SIZE_T in_pages(SIZE_T bytes)
{
	SIZE_T page = sysconf(_SC_PAGESIZE);

	return bytes ? (bytes + page - 1) / page * page : page;
}

/* A region, one free block, and what is not committed, if any. */
TEST_F(walk, fresh)
{
	SIZE_T committed = in_pages(variant->initial_bytes);
	SIZE_T reserved = summary_of(self->heap).cbReserved;
	struct walk walk;

	walk_heap(&walk, self->heap);
	EXPECT_SOUND(&walk, self->heap);
	ASSERT_EQ(committed == reserved ? 2 : 3, walk.count);
	EXPECT_EQ(committed, walk.entries[0].Region.dwCommittedSize);
	EXPECT_EQ(reserved - committed,
		  walk.entries[0].Region.dwUnCommittedSize);
	EXPECT_EQ(0, walk.entries[1].wFlags);
	EXPECT_EQ(self->heap, walk.entries[1].lpData);
	EXPECT_EQ(committed, walk.entries[1].cbData);
	if (walk.count == 2)
		return;
	EXPECT_EQ(PROCESS_HEAP_UNCOMMITTED_RANGE, walk.entries[2].wFlags);
	EXPECT_EQ((char *)self->heap + committed, walk.entries[2].lpData);
	EXPECT_EQ(reserved - committed, walk.entries[2].cbData);
}

static const SIZE_T sizes[] = {
	0, 1, 15, 16, 17, 24, 64, 100, 128, 500, 1000, 2048, 4000, 4096, 4097,
	9000, 16384, 20000, 65536, 100000, 300000,
};

#define NR_SIZES	ARRAY_SIZE(sizes)
#define NR_BLOCKS	(10 * NR_SIZES)

TEST_F(walk, finds_every_block)
{
	const PROCESS_HEAP_ENTRY *entry;
	char *blocks[NR_BLOCKS];
	size_t i, live = 0;
	struct walk walk;

	for (i = 0; i < NR_BLOCKS; i++) {
		blocks[i] = HeapAlloc(self->heap, 0, sizes[i % NR_SIZES]);
		ASSERT_NE(NULL, blocks[i]);
	}
	for (i = 0; i < NR_BLOCKS; i += 3)
		ASSERT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	walk_heap(&walk, self->heap);
	EXPECT_SOUND(&walk, self->heap);
	for (i = 0; i < NR_BLOCKS; i++) {
		entry = find_busy(&walk, blocks[i]);
		if (i % 3 == 0) {
			EXPECT_EQ(NULL, entry);
			continue;
		}
		ASSERT_NE(NULL, entry);
		EXPECT_EQ(sizes[i % NR_SIZES], entry->cbData);
		live++;
	}
	EXPECT_EQ(live, count_entries(&walk, PROCESS_HEAP_ENTRY_BUSY));
}

TEST_F(walk, is_repeatable)
{
	struct walk one, two;
	size_t i;

	for (i = 0; i < NR_BLOCKS; i++)
		ASSERT_NE(NULL, HeapAlloc(self->heap, 0, sizes[i % NR_SIZES]));
	walk_heap(&one, self->heap);
	walk_heap(&two, self->heap);
	ASSERT_EQ(one.count, two.count);
	EXPECT_EQ(0, memcmp(one.entries, two.entries,
			    one.count * sizeof(*one.entries)));
}

TEST_F(walk, many_blocks)
{
	enum { COUNT = 100000 };
	struct walk walk;
	int i;

	for (i = 0; i < COUNT; i++)
		ASSERT_NE(NULL, HeapAlloc(self->heap, 0, i % 60));
	walk_heap(&walk, self->heap);
	EXPECT_SOUND(&walk, self->heap);
	EXPECT_EQ(COUNT, count_entries(&walk, PROCESS_HEAP_ENTRY_BUSY));
}

TEST_F(walk, ends_again_and_again)
{
	PROCESS_HEAP_ENTRY last = { 0 }, entry;
	struct walk walk;

	walk_heap(&walk, self->heap);
	last = walk.entries[walk.count - 1];
	entry = last;
	preset_errors();
	EXPECT_FALSE(HeapWalk(self->heap, &entry));
	EXPECT_ERROR(ERROR_NO_MORE_ITEMS);
	EXPECT_EQ(0, memcmp(&last, &entry, sizeof(entry)));
	EXPECT_FALSE(HeapWalk(self->heap, &entry));
	EXPECT_ERROR(ERROR_NO_MORE_ITEMS);
	entry.lpData = NULL;
	EXPECT_TRUE(HeapWalk(self->heap, &entry));
	EXPECT_NO_ERROR();
	EXPECT_EQ(0, memcmp(&walk.entries[0], &entry, sizeof(entry)));
}

/* All state is in the entry: a walk goes on where the heap has changed. */
TEST_F(walk, goes_on_after_changes)
{
	char *first = HeapAlloc(self->heap, 0, 100);
	char *second = HeapAlloc(self->heap, 0, 100);
	PROCESS_HEAP_ENTRY entry = { 0 };
	bool found = false;

	ASSERT_NE(NULL, first);
	ASSERT_NE(NULL, second);
	while (entry.lpData != first ||
	       entry.wFlags != PROCESS_HEAP_ENTRY_BUSY)
		ASSERT_TRUE(HeapWalk(self->heap, &entry));
	ASSERT_NE(NULL, HeapAlloc(self->heap, 0, 5000));
	ASSERT_TRUE(HeapFree(self->heap, 0, second));
	second = HeapAlloc(self->heap, 0, 100);
	while (HeapWalk(self->heap, &entry)) {
		EXPECT_NE(first, entry.lpData);
		found |= entry.lpData == second &&
			 entry.wFlags == PROCESS_HEAP_ENTRY_BUSY;
	}
	EXPECT_ERROR(ERROR_NO_MORE_ITEMS);
	EXPECT_TRUE(found);
}

TEST_F(walk, from_freed_block)
{
	char *block = HeapAlloc(self->heap, 0, 100);
	PROCESS_HEAP_ENTRY entry = { 0 }, before;

	ASSERT_NE(NULL, HeapAlloc(self->heap, 0, 100));
	while (entry.wFlags != PROCESS_HEAP_ENTRY_BUSY)
		ASSERT_TRUE(HeapWalk(self->heap, &entry));
	ASSERT_EQ(block, entry.lpData);
	ASSERT_TRUE(HeapFree(self->heap, 0, block));
	before = entry;
	EXPECT_FALSE(HeapWalk(self->heap, &entry));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(0, memcmp(&before, &entry, sizeof(entry)));
}

TEST_F(walk, from_wrong_entry)
{
	static char elsewhere[64];
	static const WORD flags[] = { 0, 1, 2, 4 };
	char *block = HeapAlloc(self->heap, 0, 100);
	PROCESS_HEAP_ENTRY entry = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		entry.wFlags = flags[i];
		entry.lpData = elsewhere;
		EXPECT_FALSE(HeapWalk(self->heap, &entry));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		entry.lpData = block + 16;
		EXPECT_FALSE(HeapWalk(self->heap, &entry));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		entry.lpData = (void *)-16;
		EXPECT_FALSE(HeapWalk(self->heap, &entry));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	}
	entry.lpData = block;
	for (i = 5; i < 0x10000; i = 2 * i + 1) {
		entry.wFlags = i;
		EXPECT_FALSE(HeapWalk(self->heap, &entry));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	}
	EXPECT_FALSE(HeapWalk(self->heap, NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

/* Large blocks have regions of their own and come last, the oldest first. */
TEST(walk_large_blocks)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	const PROCESS_HEAP_ENTRY *last;
	struct walk walk;
	char *blocks[3];
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_NE(NULL, HeapAlloc(heap, 0, 100));
		blocks[i] = HeapAlloc(heap, 0, (4 - i) * MIB + i);
		ASSERT_NE(NULL, blocks[i]);
	}
	walk_heap(&walk, heap);
	EXPECT_SOUND(&walk, heap);
	last = &walk.entries[walk.count - 3];
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(blocks[i], last[i].lpData);
		EXPECT_EQ((4 - i) * MIB + i, last[i].cbData);
		EXPECT_EQ(64, last[i].iRegionIndex);
	}
}

TEST(walk_many_regions)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	struct walk walk;
	size_t count;
	int i;

	for (i = 0; i < 200; i++)
		ASSERT_NE(NULL, HeapAlloc(heap, 0, 900 * KIB));
	walk_heap(&walk, heap);
	count = count_entries(&walk, PROCESS_HEAP_REGION);
	EXPECT_LT(4, count);
	EXPECT_EQ(200, count_entries(&walk, PROCESS_HEAP_ENTRY_BUSY));
	EXPECT_SOUND(&walk, heap);
}

/* Up to the threshold a block lies in a region, beyond it in one of its own. */
TEST(walk_threshold)
{
	static const SIZE_T around[] = {
		FIXED_BLOCK_MAX - 1, FIXED_BLOCK_MAX, FIXED_BLOCK_MAX + 1,
		FIXED_BLOCK_MAX + 16, MIB - 1, MIB,
	};
	HANDLE heap = HeapCreate(0, 0, 0);
	const PROCESS_HEAP_ENTRY *entry;
	struct walk walk;
	char *block;
	size_t i;

	ASSERT_HEAP(heap);
	for (i = 0; i < ARRAY_SIZE(around); i++) {
		block = HeapAlloc(heap, 0, around[i]);
		ASSERT_NE(NULL, block);
		walk_heap(&walk, heap);
		EXPECT_SOUND(&walk, heap);
		entry = find_busy(&walk, block);
		ASSERT_NE(NULL, entry);
		EXPECT_EQ(around[i], entry->cbData);
		EXPECT_EQ(around[i] > FIXED_BLOCK_MAX,
			  entry->iRegionIndex == 64);
		free(walk.entries);
	}
}

/*
 * Heaps that are larger than the memory: what is committed has to fit into the
 * limit of the system, but nothing is touched.
 */

#define GIB	(1024 * MIB)

FIXTURE(huge) {
	struct heapdev_admin *admin;
	uint64_t limit_bytes;
	struct walk walk;
};

static int set_system_limit(struct heapdev_admin *admin, uint64_t bytes)
{
	const struct heapdev_admin_change change = {
		.fields = HEAPDEV_ADMIN_SET_HARD,
		.hard_bytes = bytes,
	};

	return heapdev_admin_set_limit(admin, PRIVHEAP_SCOPE_SYSTEM, 0,
				       &change);
}

FIXTURE_SETUP(huge)
{
	const struct heapdev_admin_limit *limit;

	ASSERT_EQ(0, heapdev_admin_open(&self->admin));
	ASSERT_EQ(0, heapdev_admin_get_limit(self->admin, PRIVHEAP_SCOPE_SYSTEM,
					     0, &limit));
	self->limit_bytes = limit->hard_bytes;
	ASSERT_EQ(0, set_system_limit(self->admin, UINT64_MAX));
}

FIXTURE_TEARDOWN(huge)
{
	EXPECT_EQ(0, set_system_limit(self->admin, self->limit_bytes));
	heapdev_admin_close(self->admin);
}

/* A size that a DWORD cannot tell is the largest that it can. */
TEST_F(huge, block_above_4_gib)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	const PROCESS_HEAP_ENTRY *entry;
	char *exact, *block;

	ASSERT_HEAP(heap);
	exact = HeapAlloc(heap, 0, 4 * GIB - 1);
	block = HeapAlloc(heap, 0, 5 * GIB + 123);
	ASSERT_NE(NULL, exact);
	ASSERT_NE(NULL, block);
	block[5 * GIB + 122] = 77;
	walk_heap(&self->walk, heap);
	EXPECT_SOUND(&self->walk, heap);
	entry = find_busy(&self->walk, exact);
	ASSERT_NE(NULL, entry);
	EXPECT_EQ(0xffffffff, entry->cbData);
	entry = find_busy(&self->walk, block);
	ASSERT_NE(NULL, entry);
	EXPECT_EQ(0xffffffff, entry->cbData);
	EXPECT_EQ(64, entry->iRegionIndex);
	EXPECT_EQ(4 * GIB - 1, HeapSize(heap, 0, exact));
	EXPECT_EQ(5 * GIB + 123, HeapSize(heap, 0, block));
	EXPECT_EQ(9 * GIB + 122, summary_of(heap).cbAllocated);
	EXPECT_EQ(77, block[5 * GIB + 122]);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_F(huge, region_above_4_gib)
{
	enum { BYTES = 0xFE000, COUNT = 4300 };
	const PROCESS_HEAP_ENTRY *region, *rest;
	HANDLE heap = HeapCreate(0, 0, 9 * GIB);
	int i;

	ASSERT_HEAP(heap);
	walk_heap(&self->walk, heap);
	ASSERT_EQ(3, self->walk.count);
	region = &self->walk.entries[0];
	rest = &self->walk.entries[2];
	EXPECT_EQ(0xffffffff, region->Region.dwUnCommittedSize);
	EXPECT_EQ((char *)heap + 9 * GIB, region->Region.lpLastBlock);
	EXPECT_EQ(0xffffffff, rest->cbData);
	EXPECT_EQ((char *)heap + region->Region.dwCommittedSize, rest->lpData);
	for (i = 0; i < COUNT; i++)
		ASSERT_NE(NULL, HeapAlloc(heap, 0, BYTES));
	walk_heap(&self->walk, heap);
	region = &self->walk.entries[0];
	EXPECT_EQ(0xffffffff, region->Region.dwCommittedSize);
	EXPECT_EQ(0xffffffff, region->Region.dwUnCommittedSize);
	EXPECT_EQ((char *)heap + 9 * GIB, region->Region.lpLastBlock);
	EXPECT_EQ(COUNT, count_entries(&self->walk, PROCESS_HEAP_ENTRY_BUSY));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* A region's number has a byte, and 64 says that there is none. */
TEST_F(huge, more_than_64_regions)
{
	const PROCESS_HEAP_ENTRY *entry, *end;
	unsigned int last = 0, nr_last = 0;
	HANDLE heap = HeapCreate(0, 0, 0);
	char *large;
	int i;

	ASSERT_HEAP(heap);
	large = HeapAlloc(heap, 0, 2 * MIB);
	ASSERT_NE(NULL, large);
	for (i = 0; i < 4500; i++)
		ASSERT_NE(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX));
	walk_heap(&self->walk, heap);
	EXPECT_SOUND(&self->walk, heap);
	EXPECT_LT(66, count_entries(&self->walk, PROCESS_HEAP_REGION));
	end = self->walk.entries + self->walk.count;
	for (entry = self->walk.entries; entry < end - 1; entry++) {
		EXPECT_GE(63, entry->iRegionIndex);
		EXPECT_LE(last, entry->iRegionIndex);
		EXPECT_GE(last + 1, entry->iRegionIndex);
		last = entry->iRegionIndex;
		nr_last += entry->wFlags == PROCESS_HEAP_REGION && last == 63;
	}
	EXPECT_LT(3, nr_last);
	EXPECT_EQ(large, entry->lpData);
	EXPECT_EQ(64, entry->iRegionIndex);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Compacting */

static SIZE_T largest_free(HANDLE heap)
{
	SIZE_T largest = 0;
	struct walk walk;
	size_t i;

	walk_heap(&walk, heap);
	for (i = 0; i < walk.count; i++)
		if (!walk.entries[i].wFlags && walk.entries[i].cbData > largest)
			largest = walk.entries[i].cbData;
	return largest;
}

/* A test that takes longer than others needs a fixture. */
FIXTURE(lengthy) {
};

FIXTURE_SETUP(lengthy)
{
}

FIXTURE_TEARDOWN(lengthy)
{
}

#define MILLION	1000000

/* Each block once, in the order of addresses, in one call each and no more. */
TEST_F_TIMEOUT(lengthy, million_blocks, 600)
{
	static unsigned char seen[MILLION];
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	unsigned int i, nr_busy = 0, nr_others = 0, nr_blocks = scaled(MILLION);
	PROCESS_HEAP_ENTRY entry = { 0 };
	SIZE_T sum = 0;

	ASSERT_HEAP(heap);
	for (i = 0; i < nr_blocks; i++) {
		uint32_t *block = HeapAlloc(heap, 0, 16 + i % 16);

		ASSERT_NE(NULL, block);
		*block = i;
	}
	while (HeapWalk(heap, &entry)) {
		if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY)) {
			nr_others++;
			continue;
		}
		i = *(uint32_t *)entry.lpData;
		ASSERT_GT(nr_blocks, i);
		EXPECT_EQ(0, seen[i]++);
		EXPECT_EQ(16 + i % 16, entry.cbData);
		sum += entry.cbData;
		nr_busy++;
	}
	EXPECT_EQ(ERROR_NO_MORE_ITEMS, GetLastError());
	EXPECT_EQ(nr_blocks, nr_busy);
	EXPECT_EQ(summary_of(heap).cbAllocated, sum);
	/* Two for each region, and the rest of the last span. */
	EXPECT_GT(100, nr_others);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST_F(walk, compact_finds_largest_free_range)
{
	char *blocks[100];
	SIZE_T largest;
	int i;

	for (i = 0; i < 100; i++) {
		blocks[i] = HeapAlloc(self->heap, 0, 100 * i);
		ASSERT_NE(NULL, blocks[i]);
	}
	for (i = 0; i < 100; i += 2)
		ASSERT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	largest = HeapCompact(self->heap, 0);
	EXPECT_LT(0, largest);
	EXPECT_NO_ERROR();
	EXPECT_EQ(largest, largest_free(self->heap));
	preset_errors();
	EXPECT_EQ(largest, HeapCompact(self->heap, HEAP_NO_SERIALIZE));
	EXPECT_NO_ERROR();
	for (i = 1; i < 100; i += 2)
		EXPECT_EQ(100 * (SIZE_T)i,
			  HeapSize(self->heap, 0, blocks[i]));
}

TEST_F(walk, compact_gives_pages_back)
{
	SIZE_T before = summary_of(self->heap).cbCommitted;
	char *blocks[NR_BLOCKS];
	size_t i;

	for (i = 0; i < NR_BLOCKS; i++) {
		blocks[i] = HeapAlloc(self->heap, 0, sizes[i % NR_SIZES]);
		ASSERT_NE(NULL, blocks[i]);
	}
	for (i = 0; i < NR_BLOCKS; i++)
		ASSERT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	HeapCompact(self->heap, 0);
	EXPECT_EQ(before, summary_of(self->heap).cbCommitted);
	EXPECT_NO_ERROR();
}

TEST_F(walk, optimize_gives_pages_back)
{
	HEAP_OPTIMIZE_RESOURCES_INFORMATION optimize = {
		.Version = HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION,
	};
	SIZE_T before = summary_of(self->heap).cbCommitted;
	HANDLE heaps[2] = { self->heap, NULL };
	char *block;
	int i;

	for (i = 0; i < 2; i++) {
		block = HeapAlloc(self->heap, 0, 3000);
		ASSERT_NE(NULL, block);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
		EXPECT_TRUE(HeapSetInformation(heaps[i], HeapOptimizeResources,
					       &optimize, sizeof(optimize)));
		EXPECT_EQ(before, summary_of(self->heap).cbCommitted);
	}
	EXPECT_NO_ERROR();
}

TEST(compact_full_heap)
{
	SIZE_T page = sysconf(_SC_PAGESIZE);
	HANDLE heap = HeapCreate(0, 0, page);

	ASSERT_HEAP(heap);
	ASSERT_NE(NULL, HeapAlloc(heap, 0, page));
	preset_errors();
	EXPECT_EQ(0, HeapCompact(heap, 0));
	EXPECT_ERROR(NO_ERROR);
}

/* The front end that Windows enables by itself */

static ULONG query_front_end(HANDLE heap)
{
	ULONG value = 77;

	HeapQueryInformation(heap, HeapCompatibilityInformation, &value,
			     sizeof(value), NULL);
	return value;
}

TEST_F(walk, front_end_after_many_blocks_of_a_size)
{
	bool possible = !variant->max_bytes && !variant->options;
	char *blocks[17];
	ULONG zero = 0;
	int i;

	for (i = 0; i < 17; i++) {
		EXPECT_EQ(0, query_front_end(self->heap));
		blocks[i] = HeapAlloc(self->heap, 0, 40);
		ASSERT_NE(NULL, blocks[i]);
	}
	EXPECT_EQ(possible ? 2 : 0, query_front_end(self->heap));
	/* It stays. */
	for (i = 0; i < 17; i++)
		EXPECT_TRUE(HeapFree(self->heap, 0, blocks[i]));
	EXPECT_EQ(possible ? 2 : 0, query_front_end(self->heap));
	EXPECT_EQ(!possible,
		  HeapSetInformation(self->heap, HeapCompatibilityInformation,
				     &zero, sizeof(zero)));
	EXPECT_ERROR(possible ? ERROR_GEN_FAILURE : ERROR_PATTERN);
}

TEST_F(walk, no_front_end_for_other_blocks)
{
	int i;

	for (i = 0; i < 40; i++) {
		ASSERT_NE(NULL, HeapAlloc(self->heap, 0, 17 * KIB));
		ASSERT_NE(NULL, HeapAlloc(self->heap, 0, i * 100));
	}
	EXPECT_EQ(0, query_front_end(self->heap));
}

TEST_HARNESS_MAIN
