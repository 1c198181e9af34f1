// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bookkeeping of blocks, one promise at a time, and at the end by random
 * calls. Everything is checked against the model in world.c as well.
 */
#include "block_check.h"
#include "block_random.h"
#include "ktap.h"
#include "world.h"

#define ALIGN_MIN	PH_BLOCK_ALIGN

static struct world *world_with(unsigned long nr_pages)
{
	struct world *world = world_create();

	ASSERT_EQ(world_add_region(world, 0, nr_pages, false), 0);
	return world;
}

static struct ph_block_region *first_region(struct world *world)
{
	return &world->regions[0]->blocks;
}

static unsigned int alloc(struct world *world, unsigned long bytes)
{
	ASSERT_EQ(world_alloc(world, bytes, ALIGN_MIN), 0);
	return world_last(world);
}

static unsigned int alloc_pages(struct world *world, unsigned long nr_pages)
{
	return alloc(world, max(nr_pages * PAGE_SIZE, PH_SLOT_MAX_BYTES + 1));
}

/* A large block's shortest length. */
static unsigned long min_pages(void)
{
	return (PH_SLOT_MAX_BYTES >> PAGE_SHIFT) + 1;
}

static unsigned long addr_of(struct world *world, unsigned int i)
{
	return world->blocks[i].addr;
}

static unsigned long page_of(struct world *world, unsigned int i)
{
	return (addr_of(world, i) - first_region(world)->base) >> PAGE_SHIFT;
}

static unsigned long capacity_of(struct world *world, unsigned int i)
{
	struct world_region *region = world->blocks[i].region;
	struct ph_block block;

	ASSERT_EQ(ph_block_find(&region->blocks, addr_of(world, i), &block), 0);
	return block.capacity;
}

static void free_all(struct world *world)
{
	while (world->nr_blocks)
		world_free(world, world_last(world));
}

/* Blocks of that size until there is no room. */
static void fill(struct world *world, unsigned long bytes)
{
	int err;

	do {
		err = world_alloc(world, bytes, ALIGN_MIN);
	} while (!err);
	ASSERT_EQ(err, -ENOSPC);
}

static void finish(struct world *world)
{
	world_check(world);
	world_destroy(world);
}

static void class_of_every_size(void)
{
	ASSERT_EQ(ph_block_cache_init(), 0);
	check_classes();
	ph_block_cache_exit();
}

static void bin_of_every_length(void)
{
	check_bins_of_lengths();
}

static void slot_of_every_offset(void)
{
	ASSERT_EQ(ph_block_cache_init(), 0);
	check_slot_at();
	ph_block_cache_exit();
}

static void alloc_zero_bytes(void)
{
	struct world *world = world_with(8);
	unsigned int a = alloc(world, 0), b = alloc(world, 0);

	ASSERT(addr_of(world, a) != addr_of(world, b));
	ASSERT_EQ(capacity_of(world, a), 16);
	ASSERT_EQ(world->store.nr_blocks, 2);
	ASSERT_EQ(world->store.allocated_bytes, 0);
	finish(world);
}

static void alloc_every_size(void)
{
	struct world *world = world_with(64 + 40 * PH_SLOT_MAX_BYTES / PAGE_SIZE);
	unsigned long bytes;

	for (bytes = 0; bytes <= PH_SLOT_MAX_BYTES + 1; bytes++) {
		alloc(world, bytes);
		if (bytes <= PH_SLOT_MAX_BYTES)
			ASSERT_EQ(capacity_of(world, 0), check_slot_bytes(bytes));
		else
			ASSERT_EQ(capacity_of(world, 0), PAGE_ALIGN(bytes));
		world_free(world, 0);
	}
	finish(world);
}

static void alloc_every_alignment(void)
{
	static const unsigned long sizes[] = {
		0, 1, 40, 100, 1000, 5000, 9000, 16384, 16385, 100000,
	};
	struct world *world = world_with(2 * (PH_BLOCK_ALIGN_MAX >> PAGE_SHIFT) +
					 100000 / PAGE_SIZE + 2);
	unsigned long align;
	unsigned int i;

	for (align = 1; align <= PH_BLOCK_ALIGN_MAX; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			ASSERT_EQ(world_alloc(world, sizes[i], align), 0);
			world_check(world);
			world_free(world, 0);
		}
	}
	finish(world);
}

static void alloc_invalid_alignment(void)
{
	static const unsigned long aligns[] = {
		0, 3, 24, 2 * PH_BLOCK_ALIGN_MAX, 1UL << 63, ULONG_MAX,
	};
	struct world *world = world_with(64);
	unsigned long addr;
	unsigned int i;

	ASSERT_EQ(world_add_region(world, 1, 64, true), 0);
	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		ASSERT_EQ(ph_block_alloc(&world->store, 64, aligns[i], &addr),
			  -EINVAL);
		ASSERT_EQ(ph_block_alloc_dedicated(&world->store,
						   &world->regions[1]->blocks,
						   64, aligns[i], &addr), -EINVAL);
	}
	finish(world);
}

static void alloc_size_that_overflows(void)
{
	struct world *world = world_with(64);
	unsigned long align, addr;

	ASSERT_EQ(world_add_region(world, 1, 64, true), 0);
	for (align = 1; align <= PH_BLOCK_ALIGN_MAX; align *= 2) {
		ASSERT_EQ(ph_block_alloc(&world->store, ULONG_MAX, align, &addr),
			  -EOVERFLOW);
		ASSERT_EQ(ph_block_alloc_dedicated(&world->store,
						   &world->regions[1]->blocks,
						   ULONG_MAX, align, &addr),
			  -EOVERFLOW);
	}
	ASSERT_EQ(ph_block_alloc(&world->store, ULONG_MAX - PAGE_SIZE + 1,
				 ALIGN_MIN, &addr), -EOVERFLOW);
	ASSERT_EQ(world_alloc(world, ULONG_MAX - PAGE_SIZE, ALIGN_MIN), -ENOSPC);
	ASSERT_EQ(world_alloc(world, ULONG_MAX / 2, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void alloc_more_than_a_region_has(void)
{
	struct world *world = world_with(32);

	ASSERT_EQ(world_alloc(world, 33 * PAGE_SIZE, ALIGN_MIN), -ENOSPC);
	ASSERT_EQ(world->nr_committed, 0);
	alloc(world, 32 * PAGE_SIZE);
	ASSERT_EQ(world_alloc(world, 0, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void alloc_without_regions(void)
{
	struct world *world = world_create();

	ASSERT_EQ(world_alloc(world, 64, ALIGN_MIN), -ENOSPC);
	ASSERT_EQ(world_alloc(world, 10 * PAGE_SIZE, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void alloc_prefers_low_addresses(void)
{
	struct world *world = world_with(64);
	unsigned long n = min_pages();
	unsigned int a = alloc_pages(world, n), b = alloc_pages(world, n);
	unsigned long addr = addr_of(world, a);

	ASSERT_EQ(addr, first_region(world)->base);
	ASSERT_EQ(addr_of(world, b), addr + n * PAGE_SIZE);
	alloc_pages(world, n);
	world_free(world, a);
	ASSERT_EQ(addr_of(world, alloc_pages(world, n)), addr);
	finish(world);
}

static void alloc_prefers_the_lower_of_two_runs(void)
{
	struct world *world = world_with(200);
	unsigned long addrs[2];
	unsigned int i, first;

	for (first = 0; first < 2; first++) {
		for (i = 0; i < 2; i++) {
			addrs[i] = addr_of(world, alloc_pages(world, 20));
			alloc_pages(world, min_pages());
		}
		world_free(world, world_block_at(world, addrs[first]));
		world_free(world, world_block_at(world, addrs[!first]));
		ASSERT_EQ(addr_of(world, alloc_pages(world, 20)), addrs[0]);
		free_all(world);
	}
	finish(world);
}

/* The only run that is long enough is behind more than are tried at first. */
static void alloc_finds_the_one_run_that_fits(void)
{
	struct world *world = world_with(1000);
	unsigned long addrs[41];
	unsigned int i;

	for (i = 0; i < 41; i++) {
		addrs[i] = addr_of(world, alloc_pages(world, i < 40 ? 17 : 23));
		alloc_pages(world, 5);
	}
	alloc(world, (1000 - world->nr_committed) * PAGE_SIZE);
	for (i = 0; i < 41; i++)
		world_free(world, world_block_at(world, addrs[i]));
	ASSERT_EQ(addr_of(world, alloc_pages(world, 23)), addrs[40]);
	ASSERT_EQ(world_alloc(world, 18 * PAGE_SIZE, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void alloc_uses_every_freed_slot_again(void)
{
	static const unsigned long sizes[] = { 16, 48, 224, 256, 1024 };
	struct world *world = world_with(64);
	unsigned int i, j, nr_slots;
	unsigned long addr;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		nr_slots = check_span_bytes(sizes[i], false) / sizes[i];
		while (world->nr_blocks < nr_slots)
			alloc(world, sizes[i]);
		for (j = 0; j < nr_slots; j++) {
			addr = addr_of(world, j);
			world_free(world, j);
			ASSERT_EQ(addr_of(world, alloc(world, sizes[i])), addr);
		}
		world_check(world);
		free_all(world);
	}
	finish(world);
}

static void alloc_prefers_a_span_with_blocks(void)
{
	unsigned int nr_slots, i;
	struct world *world = world_with(64);
	unsigned long addr;

	nr_slots = check_span_bytes(1024, false) / 1024;
	for (i = 0; i < 2 * nr_slots; i++)
		alloc(world, 1024);
	/* One slot of the first span, then all of the second one. */
	addr = addr_of(world, 0);
	world_free(world, world_block_at(world, addr));
	for (i = 0; i < nr_slots; i++)
		world_free(world, world_block_at(world, addr +
			check_span_bytes(1024, false) + i * 1024));
	ASSERT_EQ(world->nr_blocks, nr_slots - 1);
	ASSERT_EQ(addr_of(world, alloc(world, 1024)), addr);
	finish(world);
}

static void free_twice(void)
{
	static const unsigned long sizes[] = { 0, 64, 1000, 16384, 100000 };
	struct world *world = world_with(200000 / PAGE_SIZE + 64);
	struct ph_block block;
	unsigned long addr;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		addr = addr_of(world, alloc(world, sizes[i]));
		world_free(world, world_last(world));
		ASSERT_EQ(ph_block_find(first_region(world), addr, &block),
			  -ENOENT);
	}
	finish(world);
}

static void find_interior(void)
{
	static const unsigned long sizes[] = { 64, 1000, 10000, 16384, 100000 };
	struct world *world = world_with(400000 / PAGE_SIZE + 64);
	unsigned long addr, offset;
	struct ph_block block;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		addr = addr_of(world, alloc(world, sizes[i]));
		for (offset = 1; offset < capacity_of(world, i); offset++)
			ASSERT_EQ(ph_block_find(first_region(world),
						addr + offset, &block), -ENOENT);
	}
	finish(world);
}

/* Where the last slot ends, a span may not. */
static void find_behind_the_last_slot(void)
{
	struct world *world = world_with(256);
	unsigned long bytes, addr, start, span;

	for (bytes = 16; bytes <= PH_SLOT_MAX_BYTES; bytes += 16) {
		span = check_span_bytes(bytes, false);
		start = addr_of(world, alloc(world, bytes));
		for (addr = start; addr < start + span; addr += 16)
			world_find(world->regions[0], addr);
		world_free(world, 0);
	}
	finish(world);
}

static void find_outside(void)
{
	struct world *world = world_with(32);
	struct ph_block_region *region = first_region(world);
	unsigned long end = region->base + 32 * PAGE_SIZE;
	const unsigned long addrs[] = {
		0, 1, 15, 16, PAGE_SIZE, region->base - 16, region->base - 1,
		region->base + 1, end - 16, end, end + 16, 1UL << 63,
		~0UL << PAGE_SHIFT, ULONG_MAX - 15, ULONG_MAX,
	};
	struct ph_block block;
	unsigned int i;

	alloc(world, 64);
	for (i = 0; i < ARRAY_SIZE(addrs); i++)
		ASSERT_EQ(ph_block_find(region, addrs[i], &block), -ENOENT);
	finish(world);
}

static void resize_slot_within_its_length(void)
{
	struct world *world = world_with(32);
	unsigned int i = alloc(world, 100);
	unsigned long addr = addr_of(world, i), bytes;

	alloc(world, 100);
	for (bytes = 0; bytes <= 112; bytes++) {
		ASSERT_EQ(world_resize(world, i, bytes), 0);
		ASSERT_EQ(world->store.allocated_bytes, 100 + bytes);
	}
	ASSERT_EQ(world_resize(world, i, 113), -ENOSPC);
	ASSERT_EQ(world_resize(world, i, 10 * PAGE_SIZE), -ENOSPC);
	ASSERT_EQ(addr_of(world, i), addr);
	finish(world);
}

static void resize_to_a_size_that_overflows(void)
{
	struct world *world = world_with(64);
	unsigned int small = alloc(world, 64), large = alloc_pages(world, 8);
	struct ph_block block;
	unsigned int i;

	for (i = small; i <= large; i++) {
		ASSERT_EQ(ph_block_find(first_region(world), addr_of(world, i),
					&block), 0);
		ASSERT_EQ(ph_block_resize(&world->store, &block, ULONG_MAX),
			  -EOVERFLOW);
		ASSERT_EQ(world_resize(world, i, ULONG_MAX / 2), -ENOSPC);
	}
	finish(world);
}

static void resize_in_place_grows_into_free_run(void)
{
	struct world *world = world_with(300);
	unsigned int i = alloc_pages(world, 70);
	unsigned long n;

	ASSERT_EQ(page_of(world, i), 0);
	/* Over several borders of leaves of the page map, up to the very end. */
	for (n = 71; n <= 300; n++) {
		ASSERT_EQ(world_resize(world, i, n * PAGE_SIZE), 0);
		ASSERT_EQ(world->nr_committed, n);
		world_check(world);
	}
	ASSERT_EQ(world_count_entries(world, 0), 1);
	ASSERT_EQ(world_resize(world, i, 300 * PAGE_SIZE + 1), -ENOSPC);
	ASSERT_EQ(capacity_of(world, i), 300 * PAGE_SIZE);
	finish(world);
}

static void resize_in_place_stops_at_a_neighbour(void)
{
	struct world *world = world_with(64);
	unsigned long n = min_pages();
	unsigned int a = alloc_pages(world, n), b = alloc_pages(world, n);

	alloc_pages(world, n);
	ASSERT_EQ(world_resize(world, a, n * PAGE_SIZE + 1), -ENOSPC);
	world_free(world, b);
	ASSERT_EQ(world_resize(world, a, 2 * n * PAGE_SIZE + 1), -ENOSPC);
	ASSERT_EQ(world_resize(world, a, 2 * n * PAGE_SIZE), 0);
	ASSERT_EQ(world_resize(world, a, 2 * n * PAGE_SIZE + 1), -ENOSPC);
	finish(world);
}

static void resize_in_place_gives_pages_back(void)
{
	struct world *world = world_with(300);
	unsigned int i = alloc_pages(world, 200);
	unsigned long n;

	alloc_pages(world, 100);
	for (n = 199; n >= 1; n--) {
		ASSERT_EQ(world_resize(world, i, n * PAGE_SIZE - 1), 0);
		ASSERT_EQ(world->nr_committed, n + 100);
		world_check(world);
	}
	/* There is no block without a page. */
	ASSERT_EQ(world_resize(world, i, 0), 0);
	ASSERT_EQ(world->nr_committed, 101);
	ASSERT_EQ(capacity_of(world, i), PAGE_SIZE);
	finish(world);
}

static void resize_in_place_without_memory_keeps_pages(void)
{
	struct world *world = world_with(300);
	unsigned int i = alloc_pages(world, 200);

	shim.fail_all = true;
	ASSERT_EQ(world_resize(world, i, PAGE_SIZE), 0);
	shim.fail_all = false;
	ASSERT_EQ(world->blocks[i].bytes, PAGE_SIZE);
	ASSERT_EQ(world->nr_committed, 200);
	world_check(world);
	/* They go with the next chance. */
	ASSERT_EQ(world_resize(world, i, PAGE_SIZE - 1), 0);
	ASSERT_EQ(world->nr_committed, 1);
	finish(world);
}

static void resize_in_place_refused_by_commit(void)
{
	struct world *world = world_with(300);
	unsigned int i = alloc_pages(world, 20);

	world->max_committed = 150;
	ASSERT_EQ(world_resize(world, i, 151 * PAGE_SIZE), -EDQUOT);
	world_check(world);
	ASSERT_EQ(world_resize(world, i, 150 * PAGE_SIZE), 0);
	finish(world);
}

static void resize_in_place_trims_when_refused(void)
{
	struct world *world = world_with(300);
	unsigned int small = alloc(world, 64), large = alloc_pages(world, 20);

	world->max_committed = 100;
	world_free(world, small);
	large = world_last(world);
	ASSERT_EQ(world->nr_committed, 21);
	ASSERT_EQ(world_resize(world, large, 101 * PAGE_SIZE), -EDQUOT);
	ASSERT_EQ(world->nr_committed, 20);

	small = alloc(world, 64);
	world_free(world, small);
	ASSERT_EQ(world->nr_committed, 21);
	ASSERT_EQ(world_resize(world, large, 100 * PAGE_SIZE), 0);
	ASSERT_EQ(world->nr_committed, 100);
	finish(world);
}

static void dedicated_region_has_one_block(void)
{
	struct world *world = world_with(32);
	unsigned long meta = world->store.nr_meta_bytes;

	ASSERT_EQ(world_add_region(world, 1, 300, true), 0);
	ASSERT_EQ(world_alloc_dedicated(world, 1, 100 * PAGE_SIZE, ALIGN_MIN), 0);
	ASSERT_EQ(world_alloc_dedicated(world, 1, 1, ALIGN_MIN), -ENOSPC);
	/* The rest is for this block only. */
	ASSERT_EQ(world_alloc(world, 33 * PAGE_SIZE, ALIGN_MIN), -ENOSPC);
	ASSERT_EQ(world_resize(world, 0, 300 * PAGE_SIZE), 0);
	ASSERT_EQ(world_resize(world, 0, 300 * PAGE_SIZE + 1), -ENOSPC);
	world_check(world);
	ASSERT_EQ(world_resize(world, 0, 1), 0);
	ASSERT_EQ(world->nr_committed, 1);
	world_check(world);
	world_free(world, 0);
	ASSERT_EQ(world_alloc_dedicated(world, 1, 301 * PAGE_SIZE, ALIGN_MIN),
		  -ENOSPC);
	ASSERT_EQ(world_alloc_dedicated(world, 1, 0, ALIGN_MIN), 0);
	world_check(world);
	world_remove_region(world, 1);
	ASSERT_EQ(world->store.nr_meta_bytes, meta);
	finish(world);
}

static void dedicated_block_may_be_aligned(void)
{
	unsigned long nr_pages = 2 * (PH_BLOCK_ALIGN_MAX >> PAGE_SHIFT);
	struct world *world = world_create();
	unsigned long align;

	ASSERT_EQ(world_add_region(world, 0, nr_pages, true), 0);
	for (align = 1; align <= PH_BLOCK_ALIGN_MAX; align *= 2) {
		ASSERT_EQ(world_alloc_dedicated(world, 0, PAGE_SIZE + 1, align), 0);
		/* Not in front of it, either. */
		ASSERT_EQ(world_alloc_dedicated(world, 0, 1, ALIGN_MIN), -ENOSPC);
		world_check(world);
		world_free(world, 0);
		ASSERT_EQ(world_count_entries(world, 0), 1);
	}
	ASSERT_EQ(world_alloc_dedicated(world, 0, nr_pages * PAGE_SIZE,
					PH_BLOCK_ALIGN_MAX), -ENOSPC);
	finish(world);
}

static void dedicated_alloc_in_an_ordinary_region(void)
{
	struct world *world = world_with(32);
	unsigned long addr;

	ASSERT_EQ(ph_block_alloc_dedicated(&world->store, first_region(world), 1,
					   ALIGN_MIN, &addr), -EINVAL);
	finish(world);
}

static void free_merges_with_both_neighbours(void)
{
	static const unsigned char orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	struct world *world = world_with(400);
	unsigned long meta = world->store.nr_meta_bytes, addrs[3];
	unsigned int i, j, k;

	for (i = 0; i < 6; i++) {
		for (j = 0; j < 3; j++)
			addrs[j] = addr_of(world, alloc_pages(world, 130));
		for (j = 0; j < 3; j++) {
			for (k = 0; addr_of(world, k) != addrs[orders[i][j]]; k++)
				;
			world_free(world, k);
			world_check(world);
		}
		ASSERT_EQ(world_count_entries(world, 0), 1);
		ASSERT_EQ(world->nr_committed, 0);
		ASSERT_EQ(world->store.nr_meta_bytes, meta);
	}
	finish(world);
}

static void free_keeps_one_empty_span_of_a_class(void)
{
	struct world *world = world_with(64);
	unsigned long base = check_span_bytes(64, false) >> PAGE_SHIFT;
	unsigned int i;

	alloc(world, 64);
	for (i = 0; i < 3; i++) {
		world_free(world, 0);
		ASSERT_EQ(world->nr_committed, base);
		alloc(world, 64);
		ASSERT_EQ(world->nr_committed, base);
	}
	while (world->nr_committed < 3 * base)
		alloc(world, 64);
	free_all(world);
	ASSERT_EQ(world->nr_committed, base);
	world_check(world);
	ph_block_trim(&world->store);
	ASSERT_EQ(world->nr_committed, 0);
	ASSERT_EQ(world_count_entries(world, 0), 1);
	finish(world);
}

/* Leaves an empty span of each class behind. */
static void visit_all_classes(struct world *world)
{
	unsigned long bytes;

	for (bytes = 16; bytes <= PH_SLOT_MAX_BYTES; bytes += 16) {
		alloc(world, bytes);
		world_free(world, world_last(world));
	}
}

static void alloc_trims_when_full(void)
{
	struct world *world = world_with(400);

	visit_all_classes(world);
	ASSERT(world->nr_committed >= PH_NR_CLASSES);
	alloc(world, 400 * PAGE_SIZE);
	world_free(world, 0);

	visit_all_classes(world);
	alloc(world, (400 - world->nr_committed) * PAGE_SIZE);
	alloc(world, 0);
	alloc(world, 0);
	finish(world);
}

/* For want of a page for a span, when no other span has a slot that would do. */
static void alloc_trims_for_a_small_block(void)
{
	struct world *world = world_with(64);

	alloc(world, 16);
	alloc(world, (64 - world->nr_committed) * PAGE_SIZE);
	world_free(world, 0);
	alloc(world, 1024);
	ASSERT_EQ(world->nr_committed, 64);
	finish(world);
}

static void alloc_trims_when_refused(void)
{
	struct world *world = world_with(800);

	world->max_committed = 400;
	visit_all_classes(world);
	ASSERT_EQ(world_alloc(world, 401 * PAGE_SIZE, ALIGN_MIN), -EDQUOT);
	ASSERT_EQ(world->nr_committed, 0);
	visit_all_classes(world);
	alloc(world, 400 * PAGE_SIZE);
	ASSERT_EQ(world_alloc(world, 1, ALIGN_MIN), -EDQUOT);
	finish(world);
}

/* What the heap has to do first it is told of, and nothing else is tried. */
static void alloc_ends_when_pages_have_to_be_made(void)
{
	struct world *world = world_with(800);

	alloc(world, 1024);
	alloc(world, 64);
	world_free(world, 1);
	world->fail_commit_again = true;
	world->fail_commit_nth = 1;
	ASSERT_EQ(world_alloc(world, 16, ALIGN_MIN), -EAGAIN);
	world->fail_commit_nth = 1;
	ASSERT_EQ(world_alloc(world, 100 * PAGE_SIZE, ALIGN_MIN), -EAGAIN);
	world->fail_commit_nth = 1;
	ASSERT_EQ(world_alloc_guarded(world, 16, ALIGN_MIN, false), -EAGAIN);
	alloc(world, 16);
	ASSERT_EQ(capacity_of(world, world_last(world)), 16);
	finish(world);
}

static void alloc_uses_the_last_page(void)
{
	unsigned long nr_pages = 64, nr_slots = nr_pages * PAGE_SIZE / 64;
	struct world *world = world_with(nr_pages);

	/* Long spans do not fit any more at the end, short ones do. */
	fill(world, 64);
	ASSERT_EQ(world->nr_blocks, nr_slots);
	world_check(world);
	world_destroy(world);

	world = world_with(2 * nr_pages);
	world->max_committed = nr_pages;
	while (!world_alloc(world, 64, ALIGN_MIN))
		;
	ASSERT_EQ(world->nr_blocks, nr_slots);
	finish(world);
}

static void alloc_uses_longer_slots_when_full(void)
{
	struct world *world = world_with(64);
	unsigned long n;

	alloc(world, 100);
	n = check_span_bytes(100, false) / check_slot_bytes(100);
	alloc(world, (64 - world->nr_committed) * PAGE_SIZE);
	/* The first slot is taken. The others do for all that is not longer. */
	while (--n)
		alloc(world, n % 100);
	ASSERT_EQ(world_alloc(world, 1, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void alloc_in_longer_slots_keeps_alignment(void)
{
	struct world *world = world_with(64);

	alloc(world, 96);
	alloc(world, 128);
	alloc(world, (64 - world->nr_committed) * PAGE_SIZE);
	ASSERT_EQ(world_alloc(world, 1, 64), 0);
	ASSERT_EQ(capacity_of(world, world_last(world)), 128);
	ASSERT_EQ(world_alloc(world, 1, 32), 0);
	ASSERT_EQ(capacity_of(world, world_last(world)), 96);
	ASSERT_EQ(world_alloc(world, 1, 256), -ENOSPC);
	finish(world);
}

static void alloc_in_a_growable_store_wastes_no_slots(void)
{
	struct world *world = world_with(64);

	world->store.growable = true;
	alloc(world, 1024);
	alloc(world, (64 - world->nr_committed) * PAGE_SIZE);
	ASSERT_EQ(world_alloc(world, 1, ALIGN_MIN), -ENOSPC);
	/* A limit is no reason to grow. */
	ASSERT_EQ(world_add_region(world, 1, 64, false), 0);
	world->max_committed = world->nr_committed;
	ASSERT_EQ(world_alloc(world, 1, ALIGN_MIN), 0);
	ASSERT_EQ(capacity_of(world, world_last(world)), 1024);
	finish(world);
}

static void alloc_uses_pages_where_no_span_fits(void)
{
	unsigned long bytes, nr_pages, span_pages;
	struct world *world;

	for (bytes = 1024; bytes <= PH_SLOT_MAX_BYTES; bytes += 512) {
		span_pages = check_span_bytes(bytes, false) >> PAGE_SHIFT;
		nr_pages = PAGE_ALIGN(bytes) >> PAGE_SHIFT;
		world = world_with(64 + nr_pages);
		alloc(world, 64 * PAGE_SIZE);
		alloc(world, bytes);
		ASSERT_EQ(capacity_of(world, 1), span_pages > nr_pages ?
			  nr_pages * PAGE_SIZE : check_slot_bytes(bytes));
		finish(world);
	}
}

static void spans_grow_with_their_class(void)
{
	struct world *world = world_with(1024);
	unsigned long before, longest = 0;

	while (world->nr_committed < 512) {
		before = world->nr_committed;
		alloc(world, 1024);
		longest = max(longest, world->nr_committed - before);
		/* No more than a third is committed for later. */
		ASSERT(world->nr_committed - before <= 1 + before / 3);
	}
	ASSERT_EQ(longest * PAGE_SIZE, check_span_bytes(1024, true));
	finish(world);
}

/* Fills a region with blocks; returns the metadata of each, all included. */
static double meta_bytes_a_block(unsigned long region_bytes, unsigned long bytes)
{
	struct world *world = world_with(region_bytes >> PAGE_SHIFT);
	double figure;

	fill(world, bytes);
	figure = (double)world->store.nr_meta_bytes / world->nr_blocks;
	printf("# %u blocks of %lu bytes: %.2f bytes of metadata a block\n",
	       world->nr_blocks, bytes, figure);
	finish(world);
	return figure;
}

static void metadata_64_byte_blocks_at_most_4_bytes(void)
{
	/* The shortest region that there is, and longer ones. */
	ASSERT(meta_bytes_a_block(64 << 10, 64) <= 4);
	ASSERT(meta_bytes_a_block(1 << 20, 64) <= 4);
	ASSERT(meta_bytes_a_block(6 << 20, 64) <= 4);
}

static void metadata_of_other_blocks(void)
{
	ASSERT(meta_bytes_a_block(1 << 20, 16) <= 4);
	ASSERT(meta_bytes_a_block(4 << 20, 256) <= 8);
	ASSERT(meta_bytes_a_block(16 << 20, 16384) <= 160);
	ASSERT(meta_bytes_a_block(64 << 20, 1 << 20) <= 1200);
}

static void map_of_free_pages_is_freed(void)
{
	struct world *world = world_with(2000);
	unsigned long meta = world->store.nr_meta_bytes;

	visit_all_classes(world);
	fill(world, PH_SLOT_MAX_BYTES + 1);
	free_all(world);
	ph_block_trim(&world->store);
	ASSERT_EQ(world->store.nr_meta_bytes, meta);
	while (world->nr_blocks < 50000)
		alloc(world, 48);
	free_all(world);
	ph_block_trim(&world->store);
	ASSERT_EQ(world->store.nr_meta_bytes, meta);
	finish(world);
}

static void regions_of_all_lengths(void)
{
	struct world *world;
	unsigned long n;

	for (n = 1; n <= 130; n++) {
		world = world_with(n);
		fill(world, PAGE_SIZE + 1);
		fill(world, PAGE_SIZE);
		world_check(world);
		ASSERT_EQ(world->nr_committed, n);
		while (world->nr_blocks) {
			world_free(world, world->nr_blocks / 2);
			if (world->nr_blocks % 8 == 0)
				world_check(world);
		}
		finish(world);
	}
}

static void region_removed_with_its_blocks(void)
{
	struct world *world = world_with(100);
	unsigned long meta = world->store.nr_meta_bytes;

	alloc(world, 100 * PAGE_SIZE);
	ASSERT_EQ(world_add_region(world, 1, 100, false), 0);
	visit_all_classes(world);
	fill(world, 64);
	ASSERT(world->nr_blocks > 100);
	world_remove_region(world, 1);
	world_check(world);
	ASSERT_EQ(world->nr_blocks, 1);
	ASSERT_EQ(world->store.nr_meta_bytes, meta);
	/* Nothing of it is handed out again. */
	ASSERT_EQ(world_alloc(world, 1, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void region_emptied_of_its_blocks(void)
{
	struct world *world = world_with(100);
	unsigned long meta = world->store.nr_meta_bytes;

	visit_all_classes(world);
	fill(world, 64);
	ASSERT(world->nr_blocks > 100);
	world_empty_region(world, 0);
	world_check(world);
	ASSERT_EQ(world->nr_blocks, 0);
	ASSERT_EQ(world->store.nr_meta_bytes, meta);
	/* Its pages are one run again. */
	alloc(world, 100 * PAGE_SIZE);
	finish(world);
}

static void neighbouring_regions_do_not_merge(void)
{
	struct world *world = world_with(1);
	struct ph_block_region next = {};
	unsigned long addr;

	ASSERT_EQ(ph_block_region_add(&world->store, &next,
				      first_region(world)->base + PAGE_SIZE, 1,
				      false), 0);
	ASSERT_EQ(ph_block_alloc(&world->store, 2 * PAGE_SIZE, ALIGN_MIN, &addr),
		  -ENOSPC);
	ph_block_region_remove(&world->store, &next);
	finish(world);
}

static void take(struct world *world, unsigned long nr_pages)
{
	ASSERT_EQ(world_take(world, nr_pages), 0);
}

static void take_makes_no_block(void)
{
	struct world *world = world_with(10);
	struct ph_block_entry entry;

	alloc(world, 16);
	take(world, 3);
	alloc(world, 16);
	ASSERT_EQ(world->store.nr_blocks, 2);
	ASSERT_EQ(world->store.allocated_bytes, 32);
	ASSERT_EQ(world->store.nr_taken_pages, 3);
	entry = world_walk(world, 0, addr_of(world, 1));
	ASSERT_EQ(entry.kind, PH_ENTRY_TAKEN);
	ASSERT_EQ(entry.addr, addr_of(world, 1));
	ASSERT_EQ(entry.capacity, 3 * PAGE_SIZE);
	world_find(world->blocks[1].region, addr_of(world, 1) + 16);
	world_free(world, 1);
	ASSERT_EQ(world->store.nr_taken_pages, 0);
	finish(world);
}

static void take_until_full(void)
{
	struct world *world = world_with(64);

	while (!world_take(world, 7))
		;
	ASSERT_EQ(world->nr_taken, 9);
	ASSERT_EQ(world_take(world, 2), -ENOSPC);
	take(world, 1);
	ASSERT_EQ(world_alloc(world, 1, ALIGN_MIN), -ENOSPC);
	finish(world);
}

static void take_trims_when_refused(void)
{
	struct world *world = world_with(800);

	world->max_committed = 400;
	visit_all_classes(world);
	ASSERT_EQ(world_take(world, 401), -EDQUOT);
	ASSERT_EQ(world->nr_committed, 0);
	visit_all_classes(world);
	take(world, 400);
	finish(world);
}

static void give_what_was_not_taken(void)
{
	struct world *world = world_with(200);
	struct world_region *region;
	unsigned long i;

	alloc(world, 64);
	take(world, 2);
	alloc_pages(world, min_pages());
	take(world, 100);
	region = world->blocks[0].region;
	for (i = 0; i < 201 * PAGE_SIZE / 16; i++)
		world_give_wrong(region, region->blocks.base + i * 16);
	world_give_wrong(region, region->blocks.base - 16);
	world_give_wrong(region, addr_of(world, 1) + 1);
	world_give_wrong(region, 0);
	world_give_wrong(region, ~0UL);
	world_free(world, 1);
	finish(world);
}

#define DROP_PAGES	256UL

/* Pages of the first region that a block reaches into. */
static unsigned long pages_with_a_block(struct world *world)
{
	bool seen[DROP_PAGES] = { false };
	unsigned long base = first_region(world)->base, page, nr = 0;
	unsigned int i;

	for (i = 0; i < world->nr_blocks; i++) {
		for (page = (addr_of(world, i) - base) >> PAGE_SHIFT;
		     base + (page << PAGE_SHIFT) <
		     addr_of(world, i) + world->blocks[i].bytes; page++) {
			nr += !seen[page];
			seen[page] = true;
		}
	}
	return nr;
}

static void trim_drops_pages_without_a_block(void)
{
	static const unsigned long sizes[] = {
		16, 48, 768, PAGE_SIZE / 4, 5 * PAGE_SIZE / 16, 3 * PAGE_SIZE / 4,
		PAGE_SIZE, PH_SLOT_MAX_BYTES,
	};
	unsigned long bytes, nr_pages;
	struct world *world;
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		bytes = min(sizes[n], PH_SLOT_MAX_BYTES);
		nr_pages = (WORLD_BLOCKS - 1) * bytes >> PAGE_SHIFT;
		world = world_with(min(nr_pages, DROP_PAGES));
		fill(world, bytes);
		for (i = world->nr_blocks; i--; ) {
			if (i % 1000 > 2)
				world_free(world, i);
		}
		ph_block_trim(&world->store);
		/* Slots of these sizes are no longer than their blocks. */
		ASSERT_EQ(world->nr_dropped,
			  world->nr_committed - pages_with_a_block(world));
		world_check(world);
		finish(world);
	}
}

static void drop_what_was_not_taken(void)
{
	struct world *world = world_with(200);
	struct ph_block_region *region = first_region(world);
	struct ph_block_store *store = &world->store;
	unsigned long span;

	alloc(world, 64);
	take(world, 5);
	span = addr_of(world, 1);
	alloc_pages(world, min_pages());
	ASSERT_EQ(ph_block_drop(store, region, span - PAGE_SIZE, 1), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, span - PAGE_SIZE, 2), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, span, 6), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, span, ~0UL), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, span + 4 * PAGE_SIZE, 2), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, span + 5 * PAGE_SIZE, 1), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, region->base - PAGE_SIZE, 1), -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, region->base + 200 * PAGE_SIZE, 1),
		  -ENOENT);
	ASSERT_EQ(ph_block_drop(store, region, 0, 1), -ENOENT);
	ASSERT_EQ(world->nr_dropped, 0);
	finish(world);
}

static void walk_comes_across_everything(void)
{
	struct world *world = world_with(200);
	struct ph_block_region *region = first_region(world);
	unsigned long base = region->base;
	unsigned long cursor, next;
	struct ph_block_entry entry, from;
	unsigned int i;

	visit_all_classes(world);
	for (i = 0; i < 100; i++)
		alloc(world, 100 * (i % 20));
	alloc_pages(world, 66);
	take(world, 3);
	for (i = 0; i < 50; i++)
		world_free(world, i);
	world_check(world);
	/* A walk that starts anywhere sees what one from the start sees. */
	entry = world_walk(world, 0, 0);
	ASSERT_EQ(entry.addr, base);
	next = base;
	for (cursor = base; cursor < base + 200 * PAGE_SIZE; cursor += 8) {
		if (cursor > next) {
			if (ph_block_next(region, entry.end, &entry))
				break;
			next = entry.addr;
		}
		from = world_walk(world, 0, cursor);
		ASSERT_EQ(from.addr, entry.addr);
		ASSERT_EQ(from.bytes, entry.bytes);
		ASSERT_EQ(from.kind, entry.kind);
	}
	ASSERT_EQ(ph_block_next(region, base + 200 * PAGE_SIZE, &entry), -ENOENT);
	ASSERT_EQ(ph_block_next(region, ULONG_MAX, &entry), -ENOENT);
	finish(world);
}

/* Guarded blocks */

static struct world *world_with_quarantine(unsigned long nr_pages,
					   unsigned long quarantine_pages)
{
	struct world *world = world_with(nr_pages);

	world->store.max_quarantine_pages = quarantine_pages;
	return world;
}

static unsigned int alloc_guarded(struct world *world, unsigned long bytes)
{
	ASSERT_EQ(world_alloc_guarded(world, bytes, ALIGN_MIN, false), 0);
	return world_last(world);
}

static enum ph_block_state state_of(struct world *world, unsigned long addr)
{
	struct ph_block_description found;

	ph_block_describe(first_region(world), addr, &found);
	return found.state;
}

/* The world checks where each of them lies, and what is committed around it. */
static void guarded_blocks_of_every_size(void)
{
	static const unsigned long aligns[] = { 1, 2, 8, 16, 64, 1 << 12 };
	struct world *world = world_with(1 << 16);
	unsigned long bytes, i;

	for (bytes = 0; bytes <= 3 * PAGE_SIZE; bytes += 1 + bytes / 13) {
		for (i = 0; i < ARRAY_SIZE(aligns); i++) {
			ASSERT_EQ(world_alloc_guarded(world, bytes, aligns[i],
						      false), 0);
			ASSERT_EQ(world_alloc_guarded(world, bytes, aligns[i],
						      true), 0);
		}
	}
	world_check(world);
	free_all(world);
	ASSERT_EQ(world->nr_committed, 0);
	ASSERT_EQ(world_count_entries(world, 0), 1);
	finish(world);
}

/* An argument that no heap could satisfy changes nothing. */
static void refuse_guarded(struct world *world, unsigned long bytes,
			   unsigned long align, bool before, int err)
{
	const struct ph_guard_request request = {
		.bytes = bytes,
		.align = align,
		.before = before,
	};
	unsigned long addr = 1;

	ASSERT_EQ(ph_block_alloc_guarded(&world->store, &request, &addr), err);
	ASSERT_EQ(addr, 1);
	world_check(world);
}

static void guarded_blocks_of_every_alignment(void)
{
	struct world *world = world_with(PH_BLOCK_ALIGN_MAX * 8 >> PAGE_SHIFT);
	unsigned long align;

	for (align = 1; align <= PH_BLOCK_ALIGN_MAX; align *= 2) {
		ASSERT_EQ(world_alloc_guarded(world, 0, align, false), 0);
		ASSERT_EQ(world_alloc_guarded(world, 100, align, false), 0);
		if (align <= PAGE_SIZE)
			ASSERT_EQ(world_alloc_guarded(world, 100, align, true), 0);
		else
			refuse_guarded(world, 100, align, true, -EINVAL);
	}
	refuse_guarded(world, 1, 3, false, -EINVAL);
	refuse_guarded(world, 1, 0, false, -EINVAL);
	refuse_guarded(world, 1, 2 * PH_BLOCK_ALIGN_MAX, false, -EINVAL);
	finish(world);
}

static void guarded_size_that_overflows(void)
{
	struct world *world = world_with(8);

	refuse_guarded(world, ULONG_MAX, 1, false, -EOVERFLOW);
	refuse_guarded(world, ULONG_MAX - PAGE_SIZE, 1, true, -EOVERFLOW);
	ASSERT_EQ(world_alloc_guarded(world, 8 * PAGE_SIZE, 1, false), -ENOSPC);
	ASSERT_EQ(world_alloc_guarded(world, 7 * PAGE_SIZE, 1, false), 0);
	finish(world);
}

/* Two pages for a small block: the guard page of the one protects the next. */
static void guarded_blocks_fill_a_region(void)
{
	struct world *world = world_with(64);
	unsigned int i;

	for (i = 0; i < 32; i++)
		alloc_guarded(world, 100);
	ASSERT_EQ(world_alloc_guarded(world, 0, 1, false), -ENOSPC);
	ASSERT_EQ(world->nr_committed, 32);
	finish(world);
}

static void guarded_block_is_not_resized(void)
{
	struct world *world = world_with(64);
	unsigned int i = alloc_guarded(world, 100);

	ASSERT_EQ(world_resize(world, i, 100), -ENOSPC);
	ASSERT_EQ(world_resize(world, i, 10), -ENOSPC);
	ASSERT_EQ(world_resize(world, i, 101), -ENOSPC);
	finish(world);
}

static void guarded_free_twice(void)
{
	struct world *world = world_with_quarantine(64, 64);
	unsigned long addr = addr_of(world, alloc_guarded(world, 100));
	struct ph_block block;

	world_free(world, 0);
	ASSERT_EQ(state_of(world, addr), PH_BLOCK_FREED);
	ASSERT_EQ(ph_block_find(first_region(world), addr, &block), -ENOENT);
	ASSERT_EQ(world->nr_committed, 0);
	finish(world);
}

/* From the first page of its run to the guard page, and no further. */
static void describe_around_a_guarded_block(void)
{
	struct world *world = world_with_quarantine(64, 64);
	unsigned long addr, page;
	unsigned int i;

	for (i = 0; i < 3; i++)
		alloc_guarded(world, 2 * PAGE_SIZE + 100);
	addr = addr_of(world, 1);
	page = addr & ~(PAGE_SIZE - 1);
	world_free(world, 1);
	ASSERT_EQ(state_of(world, page - 1), PH_BLOCK_LIVE);
	ASSERT_EQ(state_of(world, page), PH_BLOCK_FREED);
	ASSERT_EQ(state_of(world, page + 4 * PAGE_SIZE - 1), PH_BLOCK_FREED);
	ASSERT_EQ(state_of(world, page + 4 * PAGE_SIZE), PH_BLOCK_LIVE);
	ASSERT_EQ(state_of(world, page + 8 * PAGE_SIZE), PH_BLOCK_NONE);
	finish(world);
}

static void describe_other_blocks(void)
{
	struct world *world = world_with(64);
	unsigned long small = addr_of(world, alloc(world, 100));
	unsigned long large = addr_of(world, alloc_pages(world, 9));

	ASSERT_EQ(state_of(world, small + 111), PH_BLOCK_LIVE);
	ASSERT_EQ(state_of(world, small + 112), PH_BLOCK_NONE);
	ASSERT_EQ(state_of(world, large + 9 * PAGE_SIZE - 1), PH_BLOCK_LIVE);
	free_all(world);
	ASSERT_EQ(state_of(world, small), PH_BLOCK_NONE);
	ASSERT_EQ(state_of(world, large), PH_BLOCK_NONE);
	finish(world);
}

/* First in, first out; the world knows the order and looks at each block. */
static void quarantine_keeps_the_last_blocks(void)
{
	struct world *world = world_with_quarantine(64, 6);
	unsigned long addrs[8];
	unsigned int i;

	for (i = 0; i < 8; i++)
		addrs[i] = addr_of(world, alloc_guarded(world, 100));
	for (i = 0; i < 8; i++) {
		world_free(world, world_block_at(world, addrs[i]));
		ASSERT_EQ(state_of(world, addrs[i]), PH_BLOCK_FREED);
		if (i >= 3)
			ASSERT_EQ(state_of(world, addrs[i - 3]), PH_BLOCK_NONE);
		world_check(world);
	}
	ASSERT(world_evict(world));
	ASSERT_EQ(state_of(world, addrs[5]), PH_BLOCK_NONE);
	ASSERT_EQ(state_of(world, addrs[6]), PH_BLOCK_FREED);
	ASSERT(world_evict(world) && world_evict(world));
	ASSERT(!world_evict(world));
	ASSERT_EQ(world_count_entries(world, 0), 1);
	finish(world);
}

/* What is in quarantine is used for nothing else, even if all else is full. */
static void quarantine_is_not_used_again(void)
{
	struct world *world = world_with_quarantine(64, 64);
	unsigned int i;

	for (i = 0; i < 32; i++)
		alloc_guarded(world, 100);
	free_all(world);
	ASSERT_EQ(world_alloc_guarded(world, 100, 1, false), -ENOSPC);
	ASSERT_EQ(world_alloc(world, 100, ALIGN_MIN), -ENOSPC);
	ASSERT(world_evict(world));
	ASSERT_EQ(world_alloc_guarded(world, 100, 1, false), 0);
	finish(world);
}

static void quarantine_too_short_for_a_block(void)
{
	struct world *world = world_with_quarantine(64, 3);
	unsigned long addr = addr_of(world, alloc_guarded(world, 100));

	world_free(world, 0);
	alloc_guarded(world, 3 * PAGE_SIZE);
	world_free(world, 0);
	ASSERT_EQ(world->quarantine_pages, 0);
	ASSERT_EQ(state_of(world, addr), PH_BLOCK_NONE);
	finish(world);
}

static void quarantine_goes_with_its_region(void)
{
	struct world *world = world_with_quarantine(8, 32);
	unsigned int i;

	ASSERT_EQ(world_add_region(world, 1, 8, false), 0);
	for (i = 0; i < 8; i++)
		alloc_guarded(world, 100);
	while (world->nr_blocks > 2)
		world_free(world, 0);
	ASSERT_EQ(world->quarantine_pages, 12);
	world_remove_region(world, 0);
	ASSERT(world->quarantine_pages && world->quarantine_pages < 12);
	finish(world);
}

/* A run, what is remembered of it, and its share of the page map. */
static void metadata_of_guarded_blocks(void)
{
	struct world *world = world_with(1 << 16);
	u64 before = world->store.nr_meta_bytes;
	unsigned int i;

	for (i = 0; i < 32000; i++)
		alloc_guarded(world, 100);
	ASSERT((world->store.nr_meta_bytes - before) / 32000 <= 112);
	finish(world);
}

/* As long as the walk through any heap: a step for each entry. */
static void walk_through_guarded_blocks(void)
{
	struct world *world = world_with_quarantine(4096, 100);
	unsigned int i;

	for (i = 0; i < 1000; i++)
		ASSERT_EQ(world_alloc_guarded(world, i % 3 * PAGE_SIZE, ALIGN_MIN,
					      i % 2), 0);
	for (i = 0; i < 300; i++)
		world_free(world, i);
	world_check(world);
	finish(world);
}

/* Each entry is found by looking at the pages that it begins with. */
static void walk_looks_at_a_page_once(void)
{
	struct ph_block_entry entry = {};
	struct ph_block_region *region;
	struct world *world;
	unsigned long n, nr;

	for (n = 1000; n <= 100000; n *= 10) {
		world = world_with(n * 64 / PAGE_SIZE * 2 + 64);
		region = first_region(world);
		for (nr = 0; nr < n; nr++)
			alloc(world, 64);
		shim.nr_lookups = 0;
		entry.end = 0;
		for (nr = 0; !ph_block_next(region, entry.end, &entry); nr++)
			;
		ASSERT(nr >= n);
		ASSERT(shim.nr_lookups <= 2 * (region->nr_pages / 64 + 2));
		finish(world);
	}
}

/*
 * Makes the n-th allocation of metadata fail, then the n-th commit, for every n
 * until nothing fails any more. Each time the world is the same, and so it must
 * be after an error.
 */
static void sweep(void (*prepare)(struct world *), int (*call)(struct world *))
{
	struct world *world;
	unsigned long n;
	unsigned int kind;
	bool failed = true;

	for (kind = 0; kind < 2; kind++) {
		failed = true;
		for (n = 1; failed; n++) {
			world = world_create();
			prepare(world);
			world_check(world);
			shim.fail_nth = kind == 0 ? n : 0;
			world->fail_commit_nth = kind == 1 ? n : 0;
			call(world);
			failed = kind == 0 ? !shim.fail_nth :
					     !world->fail_commit_nth;
			shim.fail_nth = 0;
			world->fail_commit_nth = 0;
			finish(world);
		}
		ASSERT(n > 2 || kind == 1);
	}
}

static void prepare_nothing(struct world *world)
{
	(void)world;
}

/* Free runs that reach over several leaves of the page map on either side. */
static void prepare_hole(struct world *world)
{
	ASSERT_EQ(world_add_region(world, 0, 900, false), 0);
	alloc_pages(world, 70);
	alloc_pages(world, 700);
	alloc_pages(world, 70);
	world_free(world, 1);
	ASSERT_EQ(world_add_region(world, 1, 700, true), 0);
}

static int call_add_region(struct world *world)
{
	return world_add_region(world, 0, 1000, false);
}

static int call_alloc_small(struct world *world)
{
	return world_alloc(world, 64, ALIGN_MIN);
}

/* From page 70 to 192: both pages at its end are in leaves not yet there. */
static int call_alloc_large(struct world *world)
{
	return world_alloc(world, 122 * PAGE_SIZE, ALIGN_MIN);
}

static int call_alloc_aligned(struct world *world)
{
	return world_alloc(world, 130 * PAGE_SIZE, PH_BLOCK_ALIGN_MAX);
}

static int call_alloc_dedicated(struct world *world)
{
	return world_alloc_dedicated(world, 1, 130 * PAGE_SIZE, PH_BLOCK_ALIGN_MAX);
}

static int call_take(struct world *world)
{
	return world_take(world, 122);
}

static int call_grow(struct world *world)
{
	return world_resize(world, 0, 320 * PAGE_SIZE);
}

static void prepare_long_block(struct world *world)
{
	ASSERT_EQ(world_add_region(world, 0, 1000, false), 0);
	alloc_pages(world, 300);
	alloc_pages(world, 1);
}

static int call_shrink(struct world *world)
{
	return world_resize(world, 0, 128 * PAGE_SIZE);
}

static void prepare_many_spans(struct world *world)
{
	ASSERT_EQ(world_add_region(world, 0, 1000, false), 0);
	while (world->nr_committed < 100)
		alloc(world, 64);
}

static int call_alloc_span(struct world *world)
{
	unsigned long before = world->nr_committed;
	int err;

	do {
		err = world_alloc(world, 64, ALIGN_MIN);
	} while (!err && world->nr_committed == before);
	return err;
}

static void region_add_fails_at_each_step(void)
{
	sweep(prepare_nothing, call_add_region);
}

static void alloc_fails_at_each_step(void)
{
	sweep(prepare_hole, call_alloc_small);
	sweep(prepare_hole, call_alloc_large);
	sweep(prepare_many_spans, call_alloc_span);
}

/* From page 63: the page behind the first is in the next leaf. */
static int call_alloc_guarded(struct world *world)
{
	return world_alloc_guarded(world, 130 * PAGE_SIZE, 1, false);
}

static int call_alloc_guarded_before(struct world *world)
{
	return world_alloc_guarded(world, PAGE_SIZE, ALIGN_MIN, true);
}

static void alloc_guarded_fails_at_each_step(void)
{
	sweep(prepare_hole, call_alloc_guarded);
	sweep(prepare_hole, call_alloc_guarded_before);
	sweep(prepare_many_spans, call_alloc_guarded);
}

static void alloc_aligned_fails_at_each_step(void)
{
	sweep(prepare_hole, call_alloc_aligned);
	sweep(prepare_hole, call_alloc_dedicated);
}

static void take_fails_at_each_step(void)
{
	sweep(prepare_hole, call_take);
}

static void resize_fails_at_each_step(void)
{
	sweep(prepare_hole, call_grow);
	sweep(prepare_long_block, call_shrink);
}

static void random_calls_checked_at_each_step(void)
{
	unsigned long seed;

	for (seed = 1; seed <= 4; seed++) {
		random_run(&(struct random_plan){
			.seed = seed,
			/* A check takes longer where a page has more slots. */
			.nr_steps = (16UL << 20) / PAGE_SIZE,
			.check_steps = 1,
			.region_kib = 192,
			.faults = seed % 2,
			.regions = seed > 2,
			.quarantine_pages = seed > 1 ? 8 * seed : 0,
		});
	}
}

static void random_calls(void)
{
	random_run(&(struct random_plan){
		.seed = 5,
		.nr_steps = 500000,
		.check_steps = 10000,
		.region_kib = 4096,
	});
}

static void random_calls_with_failures(void)
{
	random_run(&(struct random_plan){
		.seed = 6,
		.nr_steps = 300000,
		.check_steps = 5000,
		.region_kib = 2048,
		.faults = true,
	});
}

static void random_calls_and_regions(void)
{
	random_run(&(struct random_plan){
		.seed = 7,
		.nr_steps = 300000,
		.check_steps = 5000,
		.region_kib = 1024,
		.faults = true,
		.regions = true,
	});
}

static void random_calls_and_guards(void)
{
	random_run(&(struct random_plan){
		.seed = 8,
		.nr_steps = 300000,
		.check_steps = 5000,
		.region_kib = 8192,
		.faults = true,
		.regions = true,
		.quarantine_pages = 200,
	});
}

static const struct ktap_test tests[] = {
	TEST(class_of_every_size),
	TEST(slot_of_every_offset),
	TEST(bin_of_every_length),
	TEST(alloc_zero_bytes),
	TEST(alloc_every_size),
	TEST(alloc_every_alignment),
	TEST(alloc_invalid_alignment),
	TEST(alloc_size_that_overflows),
	TEST(alloc_more_than_a_region_has),
	TEST(alloc_without_regions),
	TEST(alloc_prefers_low_addresses),
	TEST(alloc_prefers_the_lower_of_two_runs),
	TEST(alloc_prefers_a_span_with_blocks),
	TEST(alloc_finds_the_one_run_that_fits),
	TEST(alloc_uses_every_freed_slot_again),
	TEST(alloc_ends_when_pages_have_to_be_made),
	TEST(alloc_uses_the_last_page),
	TEST(alloc_uses_longer_slots_when_full),
	TEST(alloc_in_longer_slots_keeps_alignment),
	TEST(alloc_in_a_growable_store_wastes_no_slots),
	TEST(alloc_uses_pages_where_no_span_fits),
	TEST(alloc_trims_when_full),
	TEST(alloc_trims_for_a_small_block),
	TEST(alloc_trims_when_refused),
	TEST(alloc_fails_at_each_step),
	TEST(alloc_aligned_fails_at_each_step),
	TEST(free_twice),
	TEST(free_merges_with_both_neighbours),
	TEST(free_keeps_one_empty_span_of_a_class),
	TEST(find_interior),
	TEST(find_behind_the_last_slot),
	TEST(find_outside),
	TEST(resize_slot_within_its_length),
	TEST(resize_to_a_size_that_overflows),
	TEST(resize_in_place_grows_into_free_run),
	TEST(resize_in_place_stops_at_a_neighbour),
	TEST(resize_in_place_gives_pages_back),
	TEST(resize_in_place_without_memory_keeps_pages),
	TEST(resize_in_place_refused_by_commit),
	TEST(resize_in_place_trims_when_refused),
	TEST(resize_fails_at_each_step),
	TEST(dedicated_region_has_one_block),
	TEST(dedicated_block_may_be_aligned),
	TEST(dedicated_alloc_in_an_ordinary_region),
	TEST(region_add_fails_at_each_step),
	TEST(region_removed_with_its_blocks),
	TEST(region_emptied_of_its_blocks),
	TEST(regions_of_all_lengths),
	TEST(neighbouring_regions_do_not_merge),
	TEST(guarded_blocks_of_every_size),
	TEST(guarded_blocks_of_every_alignment),
	TEST(guarded_size_that_overflows),
	TEST(guarded_blocks_fill_a_region),
	TEST(guarded_block_is_not_resized),
	TEST(guarded_free_twice),
	TEST(alloc_guarded_fails_at_each_step),
	TEST(describe_around_a_guarded_block),
	TEST(describe_other_blocks),
	TEST(quarantine_keeps_the_last_blocks),
	TEST(quarantine_is_not_used_again),
	TEST(quarantine_too_short_for_a_block),
	TEST(quarantine_goes_with_its_region),
	TEST(take_makes_no_block),
	TEST(take_until_full),
	TEST(take_trims_when_refused),
	TEST(take_fails_at_each_step),
	TEST(give_what_was_not_taken),
	TEST(trim_drops_pages_without_a_block),
	TEST(drop_what_was_not_taken),
	TEST(walk_comes_across_everything),
	TEST(walk_through_guarded_blocks),
	TEST(walk_looks_at_a_page_once),
	TEST(spans_grow_with_their_class),
	TEST(metadata_64_byte_blocks_at_most_4_bytes),
	TEST(metadata_of_other_blocks),
	TEST(metadata_of_guarded_blocks),
	TEST(map_of_free_pages_is_freed),
	TEST(random_calls_checked_at_each_step),
	TEST(random_calls),
	TEST(random_calls_with_failures),
	TEST(random_calls_and_regions),
	TEST(random_calls_and_guards),
};

int main(void)
{
	char note[32];

	snprintf(note, sizeof(note), "pages of %lu KiB", PAGE_SIZE >> 10);
	return ktap_run(tests, ARRAY_SIZE(tests), note);
}
