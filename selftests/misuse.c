// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that are wrong: pointers that are no blocks, ids that are no heaps,
 * sizes that no heap can have. Each gets its errno, finds the heap as it was,
 * and can go on with it.
 */
#include "kselftest_harness.h"
#include "privheap_util.h"

/* One block of each kind: a slot, whole pages, and a region of its own. */
enum { SLOT, PAGES, REGION, NR_KINDS };

static const size_t kind_bytes[NR_KINDS] = { 100, 60 * KIB, 2 * MIB };

FIXTURE(misuse) {
	int fd;
	size_t page;
	struct heap heap;
	char *blocks[NR_KINDS];
	struct privheap_stat before;
	int nr_maps;
};

/* How the heap is now is how it has to be at the end. */
static void remember(struct __test_metadata *_metadata,
		     FIXTURE_DATA(misuse) *self)
{
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	self->nr_maps = maps_heaps();
}

FIXTURE_SETUP(misuse)
{
	unsigned int kind;

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	for (kind = 0; kind < NR_KINDS; kind++) {
		ASSERT_EQ(0, block_alloc(&self->heap, kind_bytes[kind],
					 &self->blocks[kind]));
		pattern_fill(self->blocks[kind], kind_bytes[kind], kind);
	}
	remember(_metadata, self);
}

/* Each test ends with this: nothing was lost, and all still works. */
FIXTURE_TEARDOWN(misuse)
{
	unsigned int kind;

	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_EQ(self->nr_maps, maps_heaps());
	for (kind = 0; kind < NR_KINDS; kind++) {
		if (!self->blocks[kind])
			continue;
		EXPECT_EQ((long)kind_bytes[kind],
			  block_size(&self->heap, self->blocks[kind]));
		EXPECT_TRUE(pattern_check(self->blocks[kind], kind_bytes[kind],
					  kind));
	}
	EXPECT_EQ(0, heap_check_works(&self->heap));
	for (kind = 0; kind < NR_KINDS; kind++) {
		if (self->blocks[kind]) {
			EXPECT_EQ(0, block_free(&self->heap,
						self->blocks[kind]));
		}
	}
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
	close(self->fd);
}

/* @addr is no block: it cannot be freed, resized or asked for its size. */
static void expect_no_block(struct __test_metadata *_metadata,
			    FIXTURE_DATA(misuse) *self, const char *addr)
{
	char *block = (char *)addr;

	EXPECT_EQ(-ENOENT, block_free(&self->heap, addr));
	EXPECT_EQ(-ENOENT, block_size(&self->heap, addr));
	EXPECT_EQ(-ENOENT, block_realloc(&self->heap, &block, 50, 0));
	EXPECT_EQ(-ENOENT, block_realloc(&self->heap, &block, MIB,
					 PRIVHEAP_REALLOC_F_ALL));
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

/* Frees a block rightly, which the teardown then does without. */
static void free_block(struct __test_metadata *_metadata,
		       FIXTURE_DATA(misuse) *self, unsigned int kind)
{
	ASSERT_EQ(0, block_free(&self->heap, self->blocks[kind]));
	self->blocks[kind] = NULL;
	remember(_metadata, self);
}

/* Blocks that are gone */

TEST_F(misuse, slot_twice)
{
	char *block = self->blocks[SLOT];

	free_block(_metadata, self, SLOT);
	expect_no_block(_metadata, self, block);
}

TEST_F(misuse, pages_twice)
{
	char *block = self->blocks[PAGES];

	free_block(_metadata, self, PAGES);
	expect_no_block(_metadata, self, block);
}

TEST_F(misuse, region_twice)
{
	char *block = self->blocks[REGION];

	free_block(_metadata, self, REGION);
	expect_no_block(_metadata, self, block);
}

/* With other blocks freed and allocated in between. */
TEST_F(misuse, free_twice_delayed)
{
	char *block, *others[20];
	unsigned int i;

	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		ASSERT_EQ(0, block_alloc(&self->heap, 5000, &others[i]));
	}
	ASSERT_EQ(0, block_free(&self->heap, block));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		ASSERT_EQ(0, block_free(&self->heap, others[i]));
	}
	remember(_metadata, self);
	expect_no_block(_metadata, self, block);
}

/* The last block of a span is freed, and the span with it. */
TEST_F(misuse, free_twice_whole_span)
{
	enum { NR = 300 };
	char *blocks[NR];
	unsigned int i;

	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, block_alloc(&self->heap, 700, &blocks[i]));
	}
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, block_free(&self->heap, blocks[i]));
	}
	remember(_metadata, self);
	for (i = 0; i < NR; i++) {
		expect_no_block(_metadata, self, blocks[i]);
	}
}

TEST_F(misuse, after_realloc_moved)
{
	char *old, *block;

	ASSERT_EQ(0, block_alloc(&self->heap, 200, &old));
	block = old;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 100 * KIB, 0));
	ASSERT_NE(old, block);
	remember(_metadata, self);
	expect_no_block(_metadata, self, old);

	old = block;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 3 * MIB, 0));
	ASSERT_NE(old, block);
	remember(_metadata, self);
	expect_no_block(_metadata, self, old);

	ASSERT_EQ(0, block_free(&self->heap, block));
	remember(_metadata, self);
	expect_no_block(_metadata, self, block);
}

/* Pages that a block gave back when it shrank. */
TEST_F(misuse, beyond_shrunk)
{
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 20 * KIB,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	remember(_metadata, self);
	expect_no_block(_metadata, self, block + 32 * KIB);
}

/* Addresses inside and around blocks */

TEST_F(misuse, interior)
{
	const size_t offsets[] = { 1, 8, 15, 16, 32, 99 };
	unsigned int kind, i;

	for (kind = 0; kind < NR_KINDS; kind++) {
		for (i = 0; i < ARRAY_SIZE(offsets); i++) {
			expect_no_block(_metadata, self,
					self->blocks[kind] + offsets[i]);
		}
	}
}

TEST_F(misuse, interior_page)
{
	unsigned int kind;
	size_t offset;

	for (kind = PAGES; kind < NR_KINDS; kind++) {
		for (offset = self->page; offset < kind_bytes[kind];
		     offset += self->page) {
			expect_no_block(_metadata, self,
					self->blocks[kind] + offset);
		}
		expect_no_block(_metadata, self,
				self->blocks[kind] + kind_bytes[kind] - 1);
	}
}

TEST_F(misuse, before_and_behind)
{
	unsigned int kind;

	for (kind = 0; kind < NR_KINDS; kind++) {
		expect_no_block(_metadata, self, self->blocks[kind] - 1);
		expect_no_block(_metadata, self, self->blocks[kind] - 16);
		expect_no_block(_metadata, self,
				self->blocks[kind] +
				round_up(kind_bytes[kind], self->page) + 16);
	}
}

/* Slots that were never handed out. */
TEST_F(misuse, neighbour_slot)
{
	char *slot = self->blocks[SLOT];
	size_t bytes, capacity;

	ASSERT_EQ(0, block_size_full(&self->heap, slot, &bytes, &capacity));
	expect_no_block(_metadata, self, slot + capacity);
	expect_no_block(_metadata, self, slot + 2 * capacity);
	expect_no_block(_metadata, self, slot - capacity);
}

TEST_F(misuse, ends_of_region)
{
	char *end = self->heap.base + self->heap.region_bytes;

	expect_no_block(_metadata, self, self->heap.base - 1);
	expect_no_block(_metadata, self, self->heap.base - 16);
	expect_no_block(_metadata, self, end - 1);
	expect_no_block(_metadata, self, end);
	expect_no_block(_metadata, self, end + 16);
}

/* A heap that has no block at all. */
TEST_F(misuse, empty_heap)
{
	struct privheap_stat before;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	block = heap.base;
	EXPECT_EQ(-ENOENT, block_free(&heap, block));
	EXPECT_EQ(-ENOENT, block_size(&heap, block));
	EXPECT_EQ(-ENOENT, block_realloc(&heap, &block, 64, 0));
	EXPECT_HEAP_STAT(&before, &heap);
	EXPECT_EQ(0, heap_check_works(&heap));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* Addresses of something else */

TEST_F(misuse, null)
{
	expect_no_block(_metadata, self, NULL);
	expect_no_block(_metadata, self, (char *)1);
	expect_no_block(_metadata, self, (char *)16);
}

TEST_F(misuse, own_memory)
{
	char *allocated = malloc(100);
	char on_stack[100];

	ASSERT_NE(NULL, allocated);
	expect_no_block(_metadata, self, allocated);
	expect_no_block(_metadata, self, on_stack);
	expect_no_block(_metadata, self, (char *)kind_bytes);
	expect_no_block(_metadata, self, (char *)expect_no_block);
	free(allocated);
}

/* The kernel's addresses, those that are none, and the last ones. */
TEST_F(misuse, kernel_address)
{
	const uint64_t addrs[] = {
		0xffff888000000000, 0xffffffff81000000, 0xffffc90000000000,
		0x0000800000000000, 0x8000000000000000, 0x7ffffffffffffff0,
		UINT64_MAX, UINT64_MAX - 15, UINT64_MAX - self->page + 1,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		expect_no_block(_metadata, self, (char *)addrs[i]);
	}
}

/* A block's address, but for a bit that a wild pointer may have. */
TEST_F(misuse, bit_flipped)
{
	unsigned int kind, bit;
	uintptr_t addr;

	for (kind = 0; kind < NR_KINDS; kind++) {
		for (bit = 0; bit < 64; bit++) {
			addr = (uintptr_t)self->blocks[kind] ^ 1UL << bit;
			if (addr == (uintptr_t)self->blocks[SLOT] ||
			    addr == (uintptr_t)self->blocks[PAGES] ||
			    addr == (uintptr_t)self->blocks[REGION])
				continue;
			expect_no_block(_metadata, self, (char *)addr);
		}
	}
}

TEST_F(misuse, block_of_other_heap)
{
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, block_alloc(&other, 100, &block));
	expect_no_block(_metadata, self, block);
	EXPECT_EQ(100, block_size(&other, block));
	EXPECT_EQ(-ENOENT, block_free(&other, self->blocks[SLOT]));
	EXPECT_EQ(-ENOENT, block_free(&other, self->blocks[PAGES]));
	EXPECT_EQ(-ENOENT, block_free(&other, self->blocks[REGION]));
	EXPECT_EQ(0, block_free(&other, block));
	EXPECT_EQ(0, heap_destroy(&other));
}

TEST_F(misuse, block_of_destroyed_heap)
{
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, block_alloc(&other, 100, &block));
	EXPECT_EQ(0, heap_destroy(&other));
	expect_no_block(_metadata, self, block);
	EXPECT_EQ(-ENXIO, block_free(&other, block));
}

/* Heaps that are none */

static void expect_no_heap(struct __test_metadata *_metadata,
			   FIXTURE_DATA(misuse) *self, __u64 id)
{
	struct heap heap = { .fd = self->fd, .id = id };
	char *block = self->blocks[SLOT];
	struct privheap_stat stat;
	struct privheap_entry entry;
	size_t largest;

	EXPECT_EQ(-ENXIO, heap_stat(&heap, &stat));
	EXPECT_EQ(-ENXIO, block_alloc(&heap, 64, &block));
	EXPECT_EQ(-ENXIO, block_alloc(&heap, 4 * MIB, &block));
	EXPECT_EQ(-ENXIO, block_realloc(&heap, &block, 64, 0));
	EXPECT_EQ(-ENXIO, block_size(&heap, block));
	EXPECT_EQ(-ENXIO, block_free(&heap, block));
	EXPECT_EQ(-ENXIO, heap_walk(&heap, NULL, &entry, 1));
	EXPECT_EQ(-ENXIO, heap_compact(&heap, &largest));
	EXPECT_EQ(-ENXIO, heap_destroy(&heap));
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

TEST_F(misuse, unknown_heap)
{
	const __u64 ids[] = {
		0, 1, 0xffff, UINT32_MAX, 1ULL << 32, 1ULL << 63, UINT64_MAX,
		(uintptr_t)self->heap.base, (uintptr_t)self,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		if (ids[i] != self->heap.id)
			expect_no_heap(_metadata, self, ids[i]);
	}
}

TEST_F(misuse, id_bit_flipped)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		expect_no_heap(_metadata, self, self->heap.id ^ 1ULL << bit);
	}
}

TEST_F(misuse, destroyed_twice)
{
	struct heap other, third;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	EXPECT_EQ(0, heap_destroy(&other));
	expect_no_heap(_metadata, self, other.id);
	ASSERT_EQ(0, heap_create(&third, self->fd));
	expect_no_heap(_metadata, self, other.id);
	EXPECT_EQ(0, heap_check_works(&third));
	EXPECT_EQ(0, heap_destroy(&third));
}

/* Sizes and alignments that cannot be */

TEST_F(misuse, size_overflows)
{
	struct privheap_info info;
	unsigned int kind, i;
	char *block;

	ASSERT_EQ(0, privheap_info(self->fd, &info));
	const size_t sizes[] = {
		ULONG_MAX, ULONG_MAX - 1, ULONG_MAX - 15, ULONG_MAX - 16,
		ULONG_MAX - self->page + 1, ULONG_MAX - self->page,
		ULONG_MAX - 64 * KIB, LONG_MAX, (size_t)LONG_MAX + 1,
		LONG_MAX - self->page, info.out_max_bytes + 1,
	};

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-EOVERFLOW, block_alloc(&self->heap, sizes[i],
						  &block));
		EXPECT_EQ(-EOVERFLOW,
			  block_alloc_with(&self->heap, sizes[i],
					   info.out_align_max_bytes,
					   PRIVHEAP_ALLOC_F_ZERO, &block));
		for (kind = 0; kind < NR_KINDS; kind++) {
			block = self->blocks[kind];
			EXPECT_EQ(-EOVERFLOW, block_realloc(&self->heap, &block,
							    sizes[i], 0));
			EXPECT_EQ(-EOVERFLOW,
				  block_realloc(&self->heap, &block, sizes[i],
						PRIVHEAP_REALLOC_F_ALL));
		}
		EXPECT_HEAP_STAT(&self->before, &self->heap);
		EXPECT_EQ(self->nr_maps, maps_heaps());
	}
}

/* Sizes that could be, but for which there is no address space left. */
TEST_F(misuse, size_is_whole_address_space)
{
	struct privheap_info info;
	unsigned int kind;
	char *block;

	ASSERT_EQ(0, privheap_info(self->fd, &info));
	EXPECT_EQ(-ENOMEM, block_alloc(&self->heap, info.out_max_bytes,
				       &block));
	EXPECT_EQ(-ENOMEM, block_alloc_with(&self->heap, info.out_max_bytes,
					    info.out_align_max_bytes, 0,
					    &block));
	for (kind = 0; kind < NR_KINDS; kind++) {
		block = self->blocks[kind];
		EXPECT_EQ(-ENOMEM, block_realloc(&self->heap, &block,
						 info.out_max_bytes, 0));
	}
}

TEST_F(misuse, size_over_fixed_maximum)
{
	const size_t sizes[] = {
		MIB + 1, 2 * MIB, 1UL << 32, (1UL << 32) + 1, 1UL << 40,
	};
	struct privheap_stat before;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-ENOSPC, block_alloc(&heap, sizes[i], &block));
		EXPECT_HEAP_STAT(&before, &heap);
	}
	EXPECT_EQ(0, heap_check_works(&heap));
	EXPECT_EQ(0, heap_destroy(&heap));
}

TEST_F(misuse, bad_alignment)
{
	const size_t aligns[] = {
		3, 5, 15, 17, 24, self->page - 1, self->page + 1, MIB + 16,
		ULONG_MAX, LONG_MAX,
	};
	unsigned int i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		EXPECT_EQ(-EINVAL, block_alloc_with(&self->heap, 64, aligns[i],
						    0, &block));
		EXPECT_EQ(-EINVAL, block_alloc_with(&self->heap, 0, aligns[i],
						    PRIVHEAP_ALLOC_F_ZERO,
						    &block));
		EXPECT_HEAP_STAT(&self->before, &self->heap);
	}
}

TEST_HARNESS_MAIN
