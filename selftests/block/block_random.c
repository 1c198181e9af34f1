// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls: world.c checks each of them against the model, so all that is
 * done here is to choose them such that full and empty heaps, long and short
 * runs, and failures at every place come up.
 */
#include "block_random.h"

#include "ktap.h"
#include "world.h"

/* Of the regions that come and go. */
#define MAX_REGION_PAGES	(8 + (512UL << 10 >> PAGE_SHIFT))

struct random {
	const struct random_plan *plan;
	struct world *world;
	unsigned long state;
	unsigned int nr_errors;
	unsigned int nr_turns;
	bool draining;
};

/* xorshift64* */
static unsigned long rnd(struct random *r, unsigned long below)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (r->state * 0x2545F4914F6CDD1DUL >> 11) % below;
}

static bool one_in(struct random *r, unsigned long n)
{
	return !rnd(r, n);
}

/* Mostly small, as programs do it, but every class and large blocks, too. */
static unsigned long random_bytes(struct random *r)
{
	switch (rnd(r, 32)) {
	case 0:
		return rnd(r, 16 * PAGE_SIZE);
	case 1:
		return PAGE_SIZE * (1 + rnd(r, 4)) - rnd(r, 3);
	case 2 ... 4:
		return rnd(r, PH_SLOT_MAX_BYTES + 2);
	case 5 ... 12:
		return rnd(r, 1024);
	case 13 ... 20:
		return 64;
	default:
		return rnd(r, 160);
	}
}

static unsigned long random_align(struct random *r)
{
	return one_in(r, 8) ? 1UL << rnd(r, 18) : PH_BLOCK_ALIGN;
}

static unsigned int random_block(struct random *r)
{
	return rnd(r, r->world->nr_blocks);
}

static unsigned int random_region(struct random *r)
{
	unsigned int i;

	do {
		i = rnd(r, WORLD_REGIONS);
	} while (!r->world->regions[i]);
	return i;
}

/* Half of the time near a block, where a wrong answer is most likely. */
static void random_find(struct random *r)
{
	struct world_region *region = r->world->regions[random_region(r)];
	unsigned long addr;

	if (r->world->nr_blocks && one_in(r, 2))
		addr = r->world->blocks[random_block(r)].addr + rnd(r, 512) - 256;
	else if (one_in(r, 2))
		addr = region->blocks.base +
		       rnd(r, region->blocks.nr_pages << PAGE_SHIFT);
	else
		addr = r->state;
	world_find(region, addr);
	world_give_wrong(region, addr);
	if ((addr - region->blocks.base) >> PAGE_SHIFT < region->blocks.nr_pages)
		world_describe(region, addr);
}

static int random_alloc_guarded(struct random *r)
{
	bool before = one_in(r, 4);
	unsigned long align = 1UL << (one_in(r, 2) ? 4 : rnd(r, before ? 13 : 18));

	return world_alloc_guarded(r->world, random_bytes(r), align, before);
}

static int random_alloc(struct random *r)
{
	unsigned long bytes = random_bytes(r);
	unsigned long align = random_align(r);
	unsigned int i = random_region(r);

	if (r->world->nr_blocks == WORLD_BLOCKS)
		return 0;
	if (r->plan->quarantine_pages && one_in(r, 2))
		return random_alloc_guarded(r);
	if (r->world->regions[i]->blocks.dedicated)
		return world_alloc_dedicated(r->world, i, bytes, align);
	if (one_in(r, 32))
		return world_take(r->world, 1 + rnd(r, 16));
	return world_alloc(r->world, bytes, align);
}

static int random_resize(struct random *r)
{
	unsigned int i = random_block(r);
	unsigned long bytes = random_bytes(r);

	if (r->world->blocks[i].taken)
		return 0;
	/* Growth by a little is what succeeds in place. */
	if (one_in(r, 2))
		bytes = r->world->blocks[i].bytes + rnd(r, 2 * PAGE_SIZE);
	return world_resize(r->world, i, bytes);
}

/* Frees blocks that lie together, so that runs merge. */
static int random_free_range(struct random *r)
{
	struct world *world = r->world;
	unsigned long start = world->blocks[random_block(r)].addr;
	unsigned long bytes = rnd(r, 32 * PAGE_SIZE);
	unsigned int i;

	for (i = world->nr_blocks; i-- > 0;) {
		if (world->blocks[i].addr - start < bytes)
			world_free(world, i);
	}
	return 0;
}

static int random_change_regions(struct random *r)
{
	unsigned int i = 1 + rnd(r, WORLD_REGIONS - 1);

	if (r->world->regions[i]) {
		if (one_in(r, 2))
			world_empty_region(r->world, i);
		else
			world_remove_region(r->world, i);
		return 0;
	}
	return world_add_region(r->world, i, 1 + rnd(r, MAX_REGION_PAGES),
				one_in(r, 3));
}

/* Lets something fail in the next calls, or nothing any more. */
static void random_set_faults(struct random *r)
{
	struct world *world = r->world;

	shim.fail_all = false;
	shim.fail_nth = 0;
	world->fail_commit_nth = 0;
	world->max_committed = ULONG_MAX;
	switch (rnd(r, 5)) {
	case 0:
		shim.fail_all = true;
		break;
	case 1:
		shim.fail_nth = 1 + rnd(r, 8);
		break;
	case 2:
		world->fail_commit_nth = 1 + rnd(r, 4);
		world->fail_commit_again = one_in(r, 2);
		break;
	case 3:
		world->max_committed = world->nr_committed + rnd(r, 8);
		break;
	}
}

/* The heap is to be full now and then, and nearly empty. */
static void random_turn(struct random *r, int err)
{
	if (r->draining ? r->world->nr_blocks < 10 : err == -ENOSPC && one_in(r, 256)) {
		r->draining = !r->draining;
		r->nr_turns++;
	}
}

static int random_call(struct random *r)
{
	unsigned int call = rnd(r, 64);

	if (!r->world->nr_blocks)
		return random_alloc(r);
	if (call == 0 && one_in(r, 8))
		return random_free_range(r);
	if (call == 1 && r->plan->regions && one_in(r, 8))
		return random_change_regions(r);
	if (call == 2 && one_in(r, 8))
		ph_block_trim(&r->world->store);
	if (call == 3 && one_in(r, 8))
		world_evict(r->world);
	if (call < 10)
		return random_resize(r);
	if (call < (r->draining ? 28 : 48))
		return random_alloc(r);
	world_free(r->world, random_block(r));
	return 0;
}

static void random_step(struct random *r)
{
	int err;

	if (r->plan->faults && one_in(r, 16))
		random_set_faults(r);
	err = random_call(r);
	/* Nothing of a call that failed may be left; now and then look closely. */
	if (err && !(++r->nr_errors % 1024))
		world_check(r->world);
	random_turn(r, err);
	random_find(r);
}

void random_run(const struct random_plan *plan)
{
	struct random r = {
		.plan = plan,
		.world = world_create(),
		.state = plan->seed,
	};
	unsigned long i;

	r.world->store.max_quarantine_pages = plan->quarantine_pages;
	ASSERT_EQ(world_add_region(r.world, 0,
				   (plan->region_kib << 10 >> PAGE_SHIFT) + 1, false), 0);
	for (i = 1; i <= plan->nr_steps; i++) {
		random_step(&r);
		if (i % plan->check_steps == 0)
			world_check(r.world);
	}
	printf("# seed %lu: %lu steps, %u errors, %u times full or empty\n",
	       plan->seed, plan->nr_steps, r.nr_errors, r.nr_turns);
	ASSERT(r.nr_errors);
	world_check(r.world);
	shim.fail_all = false;
	shim.fail_nth = 0;
	world_destroy(r.world);
}
