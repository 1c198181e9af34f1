// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walking through a heap and compacting it: what is listed agrees with what was
 * allocated and with what stat says, however the heap changes meanwhile.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define MAX_ENTRIES	20000

FIXTURE(walk) {
	int fd;
	size_t page;
};

FIXTURE_SETUP(walk)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
}

FIXTURE_TEARDOWN(walk)
{
	close(self->fd);
}

/* Lists a heap, @chunk entries a call; returns how many there are, or -errno. */
static int walk_all(const struct heap *heap, struct privheap_entry *entries,
		    unsigned int chunk)
{
	int nr = 0, ret;

	do {
		ret = heap_walk(heap, nr ? &entries[nr - 1] : NULL,
				&entries[nr], chunk);
		if (ret < 0)
			return ret;
		nr += ret;
		if (nr + chunk > MAX_ENTRIES)
			return -E2BIG;
	} while (ret);
	return nr;
}

static void expect_entry(struct __test_metadata *_metadata,
			 const struct privheap_entry *entry, __u32 kind,
			 const char *addr, size_t bytes, size_t capacity_bytes)
{
	EXPECT_EQ(kind, entry->kind);
	EXPECT_EQ((uintptr_t)addr, entry->addr);
	EXPECT_EQ(bytes, entry->bytes);
	EXPECT_EQ(capacity_bytes, entry->capacity_bytes);
	EXPECT_EQ(0, entry->region);
}

TEST_F(walk, new_heap)
{
	size_t page = self->page;
	struct privheap_entry entries[8];
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .initial_bytes = 3 * page));
	ASSERT_EQ(3, heap_walk(&heap, NULL, entries, 8));
	expect_entry(_metadata, &entries[0], PRIVHEAP_ENTRY_REGION, heap.base,
		     MIB, 3 * page);
	expect_entry(_metadata, &entries[1], PRIVHEAP_ENTRY_FREE, heap.base,
		     3 * page, 3 * page);
	expect_entry(_metadata, &entries[2], PRIVHEAP_ENTRY_RESERVED,
		     heap.base + 3 * page, MIB - 3 * page, MIB - 3 * page);
	EXPECT_EQ(0, heap_walk(&heap, &entries[2], entries, 8));
}

TEST_F(walk, committed_whole)
{
	struct privheap_entry entries[8];
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .initial_bytes = MIB));
	ASSERT_EQ(2, heap_walk(&heap, NULL, entries, 8));
	expect_entry(_metadata, &entries[0], PRIVHEAP_ENTRY_REGION, heap.base,
		     MIB, MIB);
	expect_entry(_metadata, &entries[1], PRIVHEAP_ENTRY_FREE, heap.base,
		     MIB, MIB);
	ASSERT_EQ(0, block_alloc(&heap, MIB - 5, &block));
	ASSERT_EQ(2, heap_walk(&heap, NULL, entries, 8));
	expect_entry(_metadata, &entries[1], PRIVHEAP_ENTRY_BLOCK, block,
		     MIB - 5, MIB);
}

/* A heap of which much is known */

#define NR_BLOCKS	1500

struct known {
	struct heap heap;
	char *blocks[NR_BLOCKS];
	size_t bytes[NR_BLOCKS];
};

/* Blocks of all kinds, every third one freed again. */
static void known_fill(struct __test_metadata *_metadata, struct known *known)
{
	static const size_t sizes[] = {
		24, 100, 0, 700, 3000, 64, 16384, 1, 40000, 512,
	};
	unsigned int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		known->bytes[i] = sizes[i % ARRAY_SIZE(sizes)];
		if (i % 200 == 100)
			known->bytes[i] = MIB + i;
		ASSERT_EQ(0, block_alloc(&known->heap, known->bytes[i],
					 &known->blocks[i]));
	}
	for (i = 0; i < NR_BLOCKS; i += 3) {
		ASSERT_EQ(0, block_free(&known->heap, known->blocks[i]));
		known->blocks[i] = NULL;
	}
}

static int known_find(const struct known *known, uintptr_t addr)
{
	int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		if (known->blocks[i] && (uintptr_t)known->blocks[i] == addr)
			return i;
	}
	return -1;
}

/* Each live block is listed once, with its sizes, and nothing else is. */
static void expect_known_blocks(struct __test_metadata *_metadata,
				const struct known *known,
				const struct privheap_entry *entries, int nr)
{
	static bool seen[NR_BLOCKS];
	size_t bytes, capacity;
	int i, found;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < nr; i++) {
		if (entries[i].kind != PRIVHEAP_ENTRY_BLOCK)
			continue;
		found = known_find(known, entries[i].addr);
		ASSERT_LE(0, found);
		EXPECT_FALSE(seen[found]);
		seen[found] = true;
		EXPECT_EQ(known->bytes[found], entries[i].bytes);
		ASSERT_EQ(0, block_size_full(&known->heap,
					     known->blocks[found], &bytes,
					     &capacity));
		EXPECT_EQ(capacity, entries[i].capacity_bytes);
		EXPECT_EQ(known->bytes[found] > MIB,
			  entries[i].region == PRIVHEAP_ENTRY_OWN_REGION);
	}
	for (i = 0; i < NR_BLOCKS; i++) {
		EXPECT_EQ(known->blocks[i] != NULL, seen[i]);
	}
}

/* Regions in order, in each the entries by address and side by side. */
static void expect_order(struct __test_metadata *_metadata,
			 const struct privheap_entry *entries, int nr)
{
	unsigned int nr_regions = 0;
	__u64 at = 0, end = 0;
	int i;

	for (i = 0; i < nr; i++) {
		if (entries[i].region == PRIVHEAP_ENTRY_OWN_REGION) {
			EXPECT_EQ(PRIVHEAP_ENTRY_BLOCK, entries[i].kind);
			continue;
		}
		if (entries[i].kind == PRIVHEAP_ENTRY_REGION) {
			EXPECT_EQ(nr_regions, entries[i].region);
			nr_regions++;
			at = entries[i].addr;
			end = at + entries[i].bytes;
			continue;
		}
		EXPECT_EQ(nr_regions - 1, entries[i].region);
		EXPECT_LE(at, entries[i].addr);
		EXPECT_LE(entries[i].bytes, entries[i].capacity_bytes);
		at = entries[i].addr + entries[i].capacity_bytes;
		EXPECT_GE(end, at);
	}
}

/* What the regions add up to is what stat says. */
static void expect_sums(struct __test_metadata *_metadata,
			const struct heap *heap,
			const struct privheap_entry *entries, int nr)
{
	struct privheap_stat seen = { 0 }, stat;
	__u64 not_reserved = 0;
	int i;

	ASSERT_EQ(0, heap_stat(heap, &stat));
	for (i = 0; i < nr; i++) {
		switch (entries[i].kind) {
		case PRIVHEAP_ENTRY_REGION:
			seen.out_reserved_bytes += entries[i].bytes;
			seen.out_committed_bytes += entries[i].capacity_bytes;
			not_reserved += entries[i].bytes;
			break;
		case PRIVHEAP_ENTRY_BLOCK:
			seen.out_allocated_bytes += entries[i].bytes;
			seen.out_nr_blocks++;
			if (entries[i].region != PRIVHEAP_ENTRY_OWN_REGION)
				break;
			seen.out_reserved_bytes += entries[i].capacity_bytes;
			seen.out_committed_bytes += entries[i].capacity_bytes;
			not_reserved += entries[i].capacity_bytes;
			break;
		case PRIVHEAP_ENTRY_RESERVED:
			not_reserved -= entries[i].bytes;
			break;
		}
	}
	EXPECT_EQ(stat.out_reserved_bytes, seen.out_reserved_bytes);
	EXPECT_EQ(stat.out_committed_bytes, seen.out_committed_bytes);
	EXPECT_EQ(stat.out_committed_bytes, not_reserved);
	EXPECT_EQ(stat.out_allocated_bytes, seen.out_allocated_bytes);
	EXPECT_EQ(stat.out_nr_blocks, seen.out_nr_blocks);
}

/* Whatever the number of entries a call has room for, it is the same list. */
TEST_F_TIMEOUT(walk, lists_everything, 120)
{
	static struct privheap_entry entries[MAX_ENTRIES], other[MAX_ENTRIES];
	const unsigned int chunks[] = { 1, 2, 7, 1000 };
	static struct known known;
	unsigned int i;
	int nr;

	ASSERT_EQ(0, heap_create(&known.heap, self->fd,
				 .initial_bytes = 5 * self->page));
	known_fill(_metadata, &known);
	nr = walk_all(&known.heap, entries, 100);
	ASSERT_LT(NR_BLOCKS / 2, nr);
	expect_known_blocks(_metadata, &known, entries, nr);
	expect_order(_metadata, entries, nr);
	expect_sums(_metadata, &known.heap, entries, nr);
	for (i = 0; i < ARRAY_SIZE(chunks); i++) {
		EXPECT_EQ(nr, walk_all(&known.heap, other, chunks[i]));
		EXPECT_EQ(0, memcmp(entries, other, nr * sizeof(*entries)));
	}
}

TEST_F_TIMEOUT(walk, fixed_heap, 120)
{
	static struct privheap_entry entries[MAX_ENTRIES];
	struct heap heap;
	char *block;
	int nr;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 8 * MIB));
	ASSERT_EQ(0, block_alloc(&heap, 2 * MIB, &block));
	ASSERT_EQ(0, block_alloc(&heap, 100, &block));
	ASSERT_EQ(0, block_alloc_with(&heap, 100 * KIB, MIB, 0, &block));
	nr = walk_all(&heap, entries, 3);
	ASSERT_LT(4, nr);
	expect_order(_metadata, entries, nr);
	expect_sums(_metadata, &heap, entries, nr);
}

/*
 * While a walk goes on, the blocks behind it and before it are freed, and others
 * come: those that stay are listed once each.
 */
TEST_F_TIMEOUT(walk, survives_changes, 120)
{
	enum { NR = 600 };
	static struct privheap_entry entry, last;
	static char *blocks[NR];
	static bool seen[NR];
	unsigned int i, next = 0;
	struct heap heap;
	char *block;
	int ret;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, block_alloc(&heap, i % 5 ? 200 : 30000,
					 &blocks[i]));
	}
	ret = heap_walk(&heap, NULL, &entry, 1);
	for (; ret == 1; ret = heap_walk(&heap, &last, &entry, 1)) {
		last = entry;
		for (i = 0; i < NR; i++) {
			if ((uintptr_t)blocks[i] != entry.addr)
				continue;
			EXPECT_FALSE(entry.kind == PRIVHEAP_ENTRY_BLOCK &&
				     seen[i]);
			seen[i] |= entry.kind == PRIVHEAP_ENTRY_BLOCK;
		}
		if (entry.kind != PRIVHEAP_ENTRY_BLOCK)
			continue;
		/* Those with odd numbers go, but not the one to go on from. */
		next = (next + 242) % NR;
		if (blocks[next + 1] && (uintptr_t)blocks[next + 1] != last.addr) {
			ASSERT_EQ(0, block_free(&heap, blocks[next + 1]));
			blocks[next + 1] = NULL;
			ASSERT_EQ(0, block_alloc(&heap, 5000, &block));
		}
	}
	EXPECT_EQ(0, ret);
	for (i = 0; i < NR; i += 2) {
		EXPECT_TRUE(seen[i]);
	}
}

/* An entry to go on from has to be there, and of that kind. */
TEST_F(walk, goes_on_from_entries_only)
{
	struct privheap_entry entries[64], after, out;
	struct heap heap, other;
	char *block, *freed, *large;
	int i, nr;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&heap, 100, &block));
	ASSERT_EQ(0, block_alloc(&heap, 100 * KIB, &freed));
	ASSERT_EQ(0, block_alloc(&heap, 100 * KIB, &large));
	nr = heap_walk(&heap, NULL, entries, 64);
	ASSERT_LT(4, nr);
	for (i = 0; i < nr; i++) {
		after = entries[i];
		EXPECT_LE(0, heap_walk(&heap, &after, &out, 1));
		for (after.kind = 1; after.kind <= 4; after.kind++) {
			if (after.kind == entries[i].kind ||
			    (i == 1 && after.kind == PRIVHEAP_ENTRY_REGION))
				continue;
			/* The region's own entry has the address of the first. */
			if (i == 0 && after.kind == entries[1].kind)
				continue;
			EXPECT_EQ(-ENOENT, heap_walk(&heap, &after, &out, 1));
		}
		after = entries[i];
		after.addr += 8;
		EXPECT_EQ(-ENOENT, heap_walk(&heap, &after, &out, 1));
		after.addr -= 9;
		EXPECT_EQ(-ENOENT, heap_walk(&heap, &after, &out, 1));
	}
	after = (struct privheap_entry){
		.kind = PRIVHEAP_ENTRY_BLOCK,
		.addr = (uintptr_t)freed,
	};
	EXPECT_EQ(1, heap_walk(&heap, &after, &out, 1));
	ASSERT_EQ(0, block_free(&heap, freed));
	EXPECT_EQ(-ENOENT, heap_walk(&heap, &after, &out, 1));
	after.addr = 0;
	EXPECT_EQ(-ENOENT, heap_walk(&heap, &after, &out, 1));
	after.addr = UINT64_MAX;
	EXPECT_EQ(-ENOENT, heap_walk(&heap, &after, &out, 1));

	ASSERT_EQ(0, heap_create(&other, self->fd));
	after.addr = (uintptr_t)block;
	EXPECT_EQ(1, heap_walk(&heap, &after, &out, 1));
	EXPECT_EQ(-ENOENT, heap_walk(&other, &after, &out, 1));
	after.addr = (uintptr_t)heap.base;
	after.kind = PRIVHEAP_ENTRY_REGION;
	EXPECT_EQ(-ENOENT, heap_walk(&other, &after, &out, 1));
}

/* Where free space was behind the initial pages there is a block now. */
TEST_F(walk, reserved_entry_is_gone)
{
	struct privheap_entry entries[3], out;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .initial_bytes = 2 * self->page));
	ASSERT_EQ(3, heap_walk(&heap, NULL, entries, 3));
	ASSERT_EQ(PRIVHEAP_ENTRY_RESERVED, entries[2].kind);
	ASSERT_EQ(0, block_alloc(&heap, 512 * KIB, &block));
	ASSERT_EQ(heap.base, block);
	EXPECT_EQ(-ENOENT, heap_walk(&heap, &entries[1], &out, 1));
	EXPECT_EQ(-ENOENT, heap_walk(&heap, &entries[2], &out, 1));
}

TEST_F(walk, bad_arguments)
{
	struct privheap_entry entry, after = { .kind = 6 };
	struct privheap_stat before;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	EXPECT_EQ(-EINVAL, heap_walk(&heap, NULL, &entry, 0));
	for (; after.kind; after.kind *= 2) {
		EXPECT_EQ(-EOPNOTSUPP, heap_walk(&heap, &after, &entry, 1));
	}
	EXPECT_HEAP_STAT(&before, &heap);
}

TEST_F(walk, entries_unwritable)
{
	char *mem = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *edge = mem + self->page;
	const uintptr_t places[] = { 0, UINTPTR_MAX - 7, (uintptr_t)1 << 63 };
	struct privheap_stat before;
	struct heap heap;
	unsigned int i, room;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, mprotect(edge, self->page, PROT_READ));
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	for (room = 0; room < 2 * sizeof(struct privheap_entry); room++) {
		EXPECT_EQ(-EFAULT, heap_walk(&heap, NULL, (void *)(edge - room), 2));
		EXPECT_HEAP_STAT(&before, &heap);
	}
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		EXPECT_EQ(-EFAULT,
			  heap_walk(&heap, NULL,
				    (struct privheap_entry *)places[i], 2));
		EXPECT_HEAP_STAT(&before, &heap);
	}
	/* Only what is filled has to be writable. */
	EXPECT_EQ(1, heap_walk(&heap, NULL,
			       (struct privheap_entry *)edge - 1, 1));
}

/* An array that is longer than the heap is filled as far as needed. */
TEST_F(walk, entries_beyond_end)
{
	struct privheap_entry entries[16];
	struct heap heap;
	int nr;

	memset(entries, OUT_PATTERN, sizeof(entries));
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	nr = heap_walk(&heap, NULL, entries, 16);
	ASSERT_LT(0, nr);
	ASSERT_GT(16, nr);
	EXPECT_TRUE(all_bytes((char *)&entries[nr],
			      (16 - nr) * sizeof(*entries), (char)OUT_PATTERN));
	EXPECT_LE(0, heap_walk(&heap, NULL, entries, 1));
}

/* Compact */

/* Spans that are empty, but were kept, go back; live blocks stay. */
TEST_F(walk, compact_gives_back)
{
	enum { NR = 100 };
	static const size_t sizes[] = { 16, 100, 1000, 10000 };
	struct privheap_stat before, after;
	char *blocks[NR], *live;
	struct heap heap;
	size_t largest;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 100 * KIB, &live));
	pattern_fill(live, 100 * KIB, 1);
	ASSERT_EQ(0, heap_stat(&heap, &before));
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, block_alloc(&heap, sizes[i % ARRAY_SIZE(sizes)],
					 &blocks[i]));
		memset(blocks[i], 1, sizes[i % ARRAY_SIZE(sizes)]);
	}
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, block_free(&heap, blocks[i]));
	}
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_GE(self->page, largest);
	ASSERT_EQ(0, heap_stat(&heap, &after));
	EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
	EXPECT_EQ(before.out_resident_bytes, after.out_resident_bytes);
	EXPECT_EQ(1, after.out_nr_blocks);
	EXPECT_TRUE(pattern_check(live, 100 * KIB, 1));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_HEAP_STAT(&after, &heap);
	EXPECT_EQ(0, heap_check_works(&heap));
}

TEST_F(walk, compact_tells_largest_free)
{
	size_t page = self->page, largest;
	struct heap heap;
	char *first, *second;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .initial_bytes = 64 * page));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_EQ(64 * page, largest);
	ASSERT_EQ(0, block_alloc(&heap, 20 * page, &first));
	ASSERT_EQ(0, block_alloc(&heap, 10 * page, &second));
	ASSERT_EQ(heap.base, first);
	ASSERT_EQ(heap.base + 20 * page, second);
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_EQ(34 * page, largest);
	ASSERT_EQ(0, block_free(&heap, first));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_EQ(34 * page, largest);
	ASSERT_EQ(0, block_alloc(&heap, 34 * page, &first));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_EQ(20 * page, largest);
	ASSERT_EQ(0, block_alloc(&heap, MIB - 64 * page, &first));
	ASSERT_EQ(0, block_alloc(&heap, 20 * page, &first));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_EQ(0, largest);
}

/* Walks while another thread changes the heap as it likes. */

struct changer {
	pthread_t thread;
	struct heap heap;
	bool stop;
	int ret;
};

static void *change_heap(void *data)
{
	struct changer *changer = data;
	char *blocks[64] = { NULL };
	unsigned int i = 0;
	size_t largest;

	while (!__atomic_load_n(&changer->stop, __ATOMIC_ACQUIRE) &&
	       !changer->ret) {
		char **block = &blocks[i * 37 % 64];

		if (*block) {
			changer->ret = block_free(&changer->heap, *block);
			*block = NULL;
		} else {
			changer->ret = block_alloc(&changer->heap,
						   i * 997 % 30000, block);
		}
		if (!changer->ret && i % 100 == 0)
			changer->ret = heap_compact(&changer->heap, &largest);
		i++;
	}
	return NULL;
}

TEST_F_TIMEOUT(walk, while_others_change, 120)
{
	struct changer changer = { 0 };
	struct privheap_entry entries[10];
	unsigned int i, nr_ends = 0;
	int ret = 0;

	ASSERT_EQ(0, heap_create(&changer.heap, self->fd));
	ASSERT_EQ(0, pthread_create(&changer.thread, NULL, change_heap,
				    &changer));
	for (i = 0; i < scaled(3000) || !nr_ends; i++) {
		ret = heap_walk(&changer.heap, ret > 0 ? &entries[ret - 1] : NULL,
				entries, ARRAY_SIZE(entries));
		if (ret < 0) {
			EXPECT_EQ(-ENOENT, ret);
		} else {
			nr_ends += !ret;
		}
	}
	__atomic_store_n(&changer.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(changer.thread, NULL));
	EXPECT_EQ(0, changer.ret);
	EXPECT_EQ(0, heap_check_works(&changer.heap));
}

TEST_HARNESS_MAIN
