// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bookkeeping under libFuzzer: an input is a list of calls.
 *
 * world.c makes each call and compares its result with the model; after each,
 * everything is compared. With FUZZ_PRINT=y in the environment the calls are printed, so
 * that what a failing input does can be read.
 *
 * An input is read byte by byte: the length of the first region, then calls, each
 * a byte that chooses it and the bytes of its arguments. When the input is at its
 * end all further bytes are 0, so every input is a valid one.
 */
#include "ktap.h"
#include "world.h"

/* Of the first region, and of those that come and go. */
#define MAX_REGION_BYTES	(1UL << 20)
/* Small, so that blocks leave it. */
#define QUARANTINE_PAGES	24
/* Longer inputs find nothing that short ones do not. */
#define MAX_CALLS		256

struct input {
	const uint8_t *next;
	const uint8_t *end;
	bool print;
};

static unsigned int input_byte(struct input *input)
{
	return input->next < input->end ? *input->next++ : 0;
}

static unsigned int input_short(struct input *input)
{
	unsigned int high = input_byte(input);

	return high << 8 | input_byte(input);
}

static unsigned int input_below(struct input *input, unsigned int below)
{
	return below > 256 ? input_short(input) % below : input_byte(input) % below;
}

/* Any size, but what lies around a class or a page is a byte away. */
static unsigned long input_bytes(struct input *input)
{
	unsigned int kind = input_byte(input);

	switch (kind >> 6) {
	case 0:
		return kind & 63;
	case 1:
		return (kind & 63) * PH_BLOCK_ALIGN;
	case 2:
		return (kind & 63) * (PAGE_SIZE / 4) + input_byte(input) % 3 - 1;
	default:
		return input_short(input) * (1UL + (kind & 63));
	}
}

#define SAY(input, ...) \
	do { \
		if ((input)->print) \
			fprintf(stderr, __VA_ARGS__); \
	} while (0)

static void fuzz_alloc(struct input *input, struct world *world)
{
	unsigned long bytes = input_bytes(input);
	unsigned int align = input_byte(input);
	int err;

	align = align < 192 ? 4 : 4 + align % 18;
	if (world->nr_blocks == WORLD_BLOCKS)
		return;
	err = world_alloc(world, bytes, 1UL << align);
	SAY(input, "alloc %lu bytes, aligned to %lu: %d\n", bytes, 1UL << align, err);
}

static void fuzz_alloc_guarded(struct input *input, struct world *world)
{
	unsigned long bytes = input_bytes(input);
	unsigned int kind = input_byte(input);
	bool before = kind & 1;
	unsigned long align = 1UL << (kind >> 1) % (before ? PAGE_SHIFT + 1 : 18);
	int err;

	if (world->nr_blocks == WORLD_BLOCKS)
		return;
	err = world_alloc_guarded(world, bytes, align, before);
	SAY(input, "alloc %lu bytes, aligned to %lu, guard page %s: %d\n", bytes,
	    align, before ? "before" : "behind", err);
}

static void fuzz_evict(struct input *input, struct world *world)
{
	SAY(input, "evict %u\n", world->first_freed);
	world_evict(world);
}

static void fuzz_free(struct input *input, struct world *world)
{
	unsigned int i;

	if (!world->nr_blocks)
		return;
	i = input_below(input, world->nr_blocks);
	SAY(input, "free %#lx\n", world->blocks[i].addr);
	world_free(world, i);
}

static void fuzz_resize(struct input *input, struct world *world)
{
	unsigned long bytes;
	unsigned int i;
	int err;

	if (!world->nr_blocks)
		return;
	i = input_below(input, world->nr_blocks);
	bytes = input_bytes(input);
	SAY(input, "resize %#lx from %lu to %lu bytes: ", world->blocks[i].addr,
	    world->blocks[i].bytes, bytes);
	err = world_resize(world, i, bytes);
	SAY(input, "%d\n", err);
}

/* An address near a block, inside a region, or anywhere. */
static void fuzz_find(struct input *input, struct world *world)
{
	unsigned int i = input_byte(input) % WORLD_REGIONS;
	unsigned long offset = input_short(input);
	unsigned long addr;

	if (!world->regions[i])
		i = 0;
	addr = world->regions[i]->blocks.base + (offset << (offset & 7)) - 4096;
	if (world->nr_blocks && offset & 8)
		addr = world->blocks[offset % world->nr_blocks].addr + (offset >> 8);
	SAY(input, "find %#lx\n", addr);
	world_find(world->regions[i], addr);
	if ((addr - world->regions[i]->blocks.base) >> PAGE_SHIFT <
	    world->regions[i]->blocks.nr_pages)
		world_describe(world->regions[i], addr);
}

static void fuzz_region(struct input *input, struct world *world)
{
	unsigned int i = 1 + input_byte(input) % (WORLD_REGIONS - 1);
	unsigned long nr_pages = 1 + input_short(input) % (MAX_REGION_BYTES >> PAGE_SHIFT);
	bool dedicated = input_byte(input) & 1;
	int err = 0;

	if (world->regions[i])
		world_remove_region(world, i);
	else
		err = world_add_region(world, i, nr_pages, dedicated);
	SAY(input, "region %u, %lu pages, %s: %d\n", i, nr_pages,
	    dedicated ? "dedicated" : "ordinary", err);
}

static void fuzz_dedicated(struct input *input, struct world *world)
{
	unsigned int i = input_byte(input) % WORLD_REGIONS;
	unsigned long bytes = input_bytes(input);
	int err;

	if (!world->regions[i] || !world->regions[i]->blocks.dedicated)
		return;
	err = world_alloc_dedicated(world, i, bytes, PH_BLOCK_ALIGN);
	SAY(input, "alloc %lu bytes in region %u: %d\n", bytes, i, err);
}

/* What fails from here on; 0 is nothing. */
static void fuzz_faults(struct input *input, struct world *world)
{
	unsigned int nth = input_byte(input);

	shim.fail_all = nth >> 6 == 1 && nth & 1;
	shim.fail_nth = nth >> 6 == 1 ? nth >> 1 & 31 : 0;
	world->fail_commit_nth = nth >> 6 == 2 ? nth >> 1 & 31 : 0;
	world->fail_commit_again = nth & 1;
	world->max_committed = nth >> 6 == 3 ? world->nr_committed + (nth & 63) : ULONG_MAX;
	SAY(input, "fail: all memory %d, the %luth memory, the %luth commit; %lu pages\n",
	    shim.fail_all, (unsigned long)shim.fail_nth, world->fail_commit_nth,
	    world->max_committed);
}

static void fuzz_call(struct input *input, struct world *world)
{
	switch (input_byte(input) % 32) {
	case 0 ... 13:
		return fuzz_alloc(input, world);
	case 14 ... 20:
		return fuzz_free(input, world);
	case 21 ... 24:
		return fuzz_resize(input, world);
	case 25:
		return fuzz_find(input, world);
	case 26:
		return fuzz_alloc_guarded(input, world);
	case 27:
		return fuzz_region(input, world);
	case 28:
		return fuzz_dedicated(input, world);
	case 29:
		SAY(input, "trim\n");
		return ph_block_trim(&world->store);
	case 30:
		return fuzz_evict(input, world);
	default:
		return fuzz_faults(input, world);
	}
}

static void fuzz_stop_faults(void)
{
	shim.fail_all = false;
	shim.fail_nth = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {
		.next = data,
		.end = data + size,
		.print = getenv("FUZZ_PRINT"),
	};
	struct world *world = world_create();
	unsigned int calls;

	world->store.growable = input_byte(&input) & 1;
	world->store.max_quarantine_pages = QUARANTINE_PAGES;
	ASSERT_EQ(world_add_region(world, 0, 1 + input_short(&input) %
				   (MAX_REGION_BYTES >> PAGE_SHIFT), false), 0);
	for (calls = 0; input.next < input.end && calls < MAX_CALLS; calls++) {
		fuzz_call(&input, world);
		world_check(world);
	}
	fuzz_stop_faults();
	world_destroy(world);
	return 0;
}
