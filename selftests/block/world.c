// SPDX-License-Identifier: GPL-2.0-only
/*
 * The world and its model: see world.h.
 */
#include "world.h"

#include "block_check.h"
#include "ktap.h"

#define GRANULE		16UL
/* Regions lie at multiples of this, next to each other if they are as long. */
#define REGION_STRIDE	(1UL << 36)
#define REGION_BASE	(1UL << 40)
/* No region's base is aligned to more than this. */
#define REGION_ALIGN	(1UL << 16)

static struct world_region *world_region_of(struct ph_block_region *blocks)
{
	return container_of(blocks, struct world_region, blocks);
}

static int world_refuse(struct world *world, int err)
{
	world->nr_refused++;
	return err;
}

static int world_commit(struct ph_block_region *blocks, unsigned long first,
			unsigned long nr)
{
	struct world_region *region = world_region_of(blocks);
	struct world *world = region->world;
	unsigned long i, missing = 0;

	ASSERT(nr && first < blocks->nr_pages && nr <= blocks->nr_pages - first);
	for (i = first; i < first + nr; i++)
		missing += !region->committed[i];
	if (world->fail_commit_nth && !--world->fail_commit_nth)
		return world_refuse(world, -EINTR);
	if (missing + world->nr_committed > world->max_committed)
		return world_refuse(world, -EDQUOT);
	memset(region->committed + first, 1, nr);
	world->nr_committed += missing;
	return 0;
}

static bool world_is_zero(const void *mem, size_t bytes)
{
	const unsigned char *byte = mem;

	return !bytes || (!byte[0] && !memcmp(byte, byte + 1, bytes - 1));
}

/* Is there no block in the granules [@first, @end)? */
static bool world_is_unowned(const struct world_region *region,
			     unsigned long first, unsigned long end)
{
	return world_is_zero(region->owner + first,
			     (end - first) * sizeof(*region->owner));
}

/* Pages are decommitted only if they were committed, and hold no block. */
static void world_decommit(struct ph_block_region *blocks, unsigned long first,
			   unsigned long nr)
{
	struct world_region *region = world_region_of(blocks);
	unsigned long i, per_page = PAGE_SIZE / GRANULE;

	ASSERT(nr && first < blocks->nr_pages && nr <= blocks->nr_pages - first);
	for (i = first; i < first + nr; i++)
		ASSERT(region->committed[i]);
	ASSERT(world_is_unowned(region, first * per_page,
				(first + nr) * per_page));
	memset(region->committed + first, 0, nr);
	region->world->nr_committed -= nr;
}

static const struct ph_block_ops world_ops = {
	.commit		= world_commit,
	.decommit	= world_decommit,
};

struct world *world_create(void)
{
	struct world *world = calloc(1, sizeof(*world));

	ASSERT(world);
	if (ph_block_cache_init())
		ASSERT(!"the cache could not be made");
	world->max_committed = ULONG_MAX;
	world->meta_base = shim.alloc_bytes;
	ph_block_store_init(&world->store, &world_ops);
	return world;
}

void world_destroy(struct world *world)
{
	unsigned int i;

	for (i = 0; i < WORLD_REGIONS; i++)
		world_remove_region(world, i);
	ASSERT_EQ(world->nr_blocks, 0);
	ph_block_store_exit(&world->store);
	free(world);
	ph_block_cache_exit();
	ASSERT_EQ(shim.nr_allocs, 0);
}

void world_check_sums(struct world *world)
{
	ASSERT_EQ(world->store.nr_blocks, world->nr_blocks);
	ASSERT_EQ(world->store.allocated_bytes, world->allocated_bytes);
	ASSERT_EQ(world->store.nr_meta_bytes,
		  shim.alloc_bytes - world->meta_base);
	ASSERT(world->nr_committed <= world->max_committed);
}

static unsigned long world_granule(const struct world_region *region,
				   unsigned long addr)
{
	return (addr - region->blocks.base) / GRANULE;
}

/* An empty block has a granule, too. */
static unsigned long world_nr_granules(unsigned long bytes)
{
	return bytes ? (bytes + GRANULE - 1) / GRANULE : 1;
}

static bool world_is_block(const struct world_region *region, unsigned long addr)
{
	unsigned long offset = addr - region->blocks.base;
	unsigned int id;

	if (offset >> PAGE_SHIFT >= region->blocks.nr_pages)
		return false;
	id = region->owner[offset / GRANULE];
	return id && region->world->blocks[id - 1].addr == addr;
}

void world_find(struct world_region *region, unsigned long addr)
{
	const struct world_block *block;
	struct ph_block found;
	int err = ph_block_find(&region->blocks, addr, &found);

	ASSERT_EQ(err, world_is_block(region, addr) ? 0 : -ENOENT);
	if (err)
		return;
	block = &region->world->blocks[region->owner[world_granule(region, addr)] - 1];
	ASSERT_EQ(found.addr, addr);
	ASSERT_EQ(found.bytes, block->bytes);
	ASSERT(found.capacity >= found.bytes);
}

/* Makes block @i own its granules; nobody must have done so before. */
static void world_own(struct world *world, unsigned int i)
{
	struct world_block *block = &world->blocks[i];
	unsigned long first = world_granule(block->region, block->addr);
	unsigned long last = first + world_nr_granules(block->bytes) - 1;
	unsigned long granule;

	ASSERT(last / (PAGE_SIZE / GRANULE) < block->region->blocks.nr_pages);
	ASSERT(world_is_unowned(block->region, first, last + 1));
	for (granule = first; granule <= last; granule++)
		block->region->owner[granule] = i + 1;
	for (granule = first / (PAGE_SIZE / GRANULE);
	     granule <= last / (PAGE_SIZE / GRANULE); granule++)
		ASSERT(block->region->committed[granule]);
	world->allocated_bytes += block->bytes;
}

static void world_disown(struct world *world, unsigned int i)
{
	struct world_block *block = &world->blocks[i];

	memset(block->region->owner + world_granule(block->region, block->addr), 0,
	       world_nr_granules(block->bytes) * sizeof(*block->region->owner));
	world->allocated_bytes -= block->bytes;
}

static void world_insert(struct world *world, struct world_region *region,
			 unsigned long addr, unsigned long bytes)
{
	struct world_block *block = &world->blocks[world->nr_blocks];

	ASSERT(world->nr_blocks < WORLD_BLOCKS);
	ASSERT(region);
	block->addr = addr;
	block->bytes = bytes;
	block->region = region;
	world_own(world, world->nr_blocks++);
	world_find(region, addr);
}

/* Takes block @i out; the last one gets its index. */
static void world_delete(struct world *world, unsigned int i)
{
	unsigned int last = world_last(world);

	world_disown(world, i);
	world->nr_blocks--;
	if (i == last)
		return;
	world_disown(world, last);
	world->blocks[i] = world->blocks[last];
	world_own(world, i);
}

unsigned int world_last(struct world *world)
{
	ASSERT(world->nr_blocks);
	return world->nr_blocks - 1;
}

static struct world_region *world_region_at(struct world *world,
					    unsigned long addr)
{
	struct world_region *region;
	unsigned int i;

	for (i = 0; i < WORLD_REGIONS; i++) {
		region = world->regions[i];
		if (region && (addr - region->blocks.base) >> PAGE_SHIFT <
			      region->blocks.nr_pages)
			return region;
	}
	return NULL;
}

unsigned int world_block_at(struct world *world, unsigned long addr)
{
	struct world_region *region = world_region_at(world, addr);

	ASSERT(region && world_is_block(region, addr));
	return region->owner[world_granule(region, addr)] - 1;
}

int world_add_region(struct world *world, unsigned int i, unsigned long nr_pages,
		     bool dedicated)
{
	struct world_region *region = calloc(1, sizeof(*region));
	unsigned long nr_failures = shim.nr_failures;
	int err;

	ASSERT(region && !world->regions[i]);
	ASSERT(nr_pages <= REGION_STRIDE >> PAGE_SHIFT);
	err = ph_block_region_add(&world->store, &region->blocks,
				  REGION_BASE + i * REGION_STRIDE + REGION_ALIGN,
				  nr_pages, dedicated);
	ASSERT_EQ(err, shim.nr_failures > nr_failures ? -ENOMEM : 0);
	if (err) {
		free(region);
	} else {
		region->world = world;
		region->committed = calloc(nr_pages, 1);
		region->owner = calloc(nr_pages * PAGE_SIZE / GRANULE,
				       sizeof(*region->owner));
		world->regions[i] = region;
	}
	world_check_sums(world);
	return err;
}

void world_remove_region(struct world *world, unsigned int i)
{
	struct world_region *region = world->regions[i];
	unsigned int j;

	if (!region)
		return;
	ph_block_region_remove(&world->store, &region->blocks);
	for (j = world->nr_blocks; j-- > 0;) {
		if (world->blocks[j].region == region)
			world_delete(world, j);
	}
	for (j = 0; j < region->blocks.nr_pages; j++)
		world->nr_committed -= region->committed[j];
	world->regions[i] = NULL;
	free(region->committed);
	free(region->owner);
	free(region);
	world_check_sums(world);
}

/* What a call asks for, and what it must not add to when it fails. */
struct before {
	unsigned long bytes;
	unsigned long nr_failures;
	unsigned long nr_refused;
	unsigned long nr_committed;
	unsigned long nr_meta_bytes;
};

static struct before world_before(const struct world *world, unsigned long bytes)
{
	return (struct before){
		.bytes = bytes,
		.nr_failures = shim.nr_failures,
		.nr_refused = world->nr_refused,
		.nr_committed = world->nr_committed,
		.nr_meta_bytes = world->store.nr_meta_bytes,
	};
}

/* No errno but those that the world caused, and nothing kept after an error. */
static void world_check_errno(struct world *world, int err, struct before before)
{
	switch (err) {
	case 0:
		return;
	case -ENOSPC:
		break;
	case -ENOMEM:
		ASSERT(shim.nr_failures > before.nr_failures);
		break;
	case -EDQUOT:
	case -EINTR:
		ASSERT(world->nr_refused > before.nr_refused);
		break;
	case -EOVERFLOW:
		ASSERT(before.bytes > LONG_MAX);
		break;
	default:
		ASSERT_EQ(err, 0);
	}
	ASSERT(world->nr_committed <= before.nr_committed);
	ASSERT(world->store.nr_meta_bytes <= before.nr_meta_bytes);
}

/* Would the block fit into what a walk came across? */
static bool world_fits(const struct ph_block_entry *entry, unsigned long bytes,
		       unsigned long align)
{
	unsigned long start = entry->addr;

	switch (entry->kind) {
	case PH_ENTRY_FREE_SLOT:
		/* Of more than a page, a span's alignment is chance. */
		return bytes <= entry->capacity && align <= PAGE_SIZE &&
		       entry->capacity % align == 0;
	case PH_ENTRY_FREE_PAGES:
		start = ALIGN(start, align);
		return start - entry->addr < entry->capacity &&
		       bytes <= entry->capacity - (start - entry->addr);
	default:
		return false;
	}
}

/* When a heap claims to be full, no walk may find room. Walks are dear. */
static void world_check_full(struct world *world, unsigned long bytes,
			     unsigned long align)
{
	struct ph_block_region *region;
	struct ph_block_entry entry;
	unsigned long cursor;
	unsigned int i;

	if (world->nr_full++ % 8)
		return;
	for (i = 0; i < WORLD_REGIONS; i++) {
		if (!world->regions[i] || world->regions[i]->blocks.dedicated)
			continue;
		region = &world->regions[i]->blocks;
		for (cursor = 0; !ph_block_next(region, cursor, &entry);
		     cursor = entry.addr + entry.capacity)
			ASSERT(!world_fits(&entry, bytes, align));
	}
}

int world_alloc(struct world *world, unsigned long bytes, unsigned long align)
{
	struct before before = world_before(world, bytes);
	struct world_region *region;
	unsigned long addr = ~0UL;
	int err;

	err = ph_block_alloc(&world->store, bytes, align, &addr);
	world_check_errno(world, err, before);
	if (!err) {
		ASSERT(addr % align == 0 && addr % PH_BLOCK_ALIGN == 0);
		region = world_region_at(world, addr);
		ASSERT(region && !region->blocks.dedicated);
		world_insert(world, region, addr, bytes);
	} else {
		ASSERT_EQ(addr, ~0UL);
	}
	if (err == -ENOSPC && !world->store.growable &&
	    shim.nr_failures == before.nr_failures &&
	    world->nr_refused == before.nr_refused)
		world_check_full(world, bytes, align);
	world_check_sums(world);
	return err;
}

int world_alloc_dedicated(struct world *world, unsigned int i,
			  unsigned long bytes, unsigned long align)
{
	struct before before = world_before(world, bytes);
	struct world_region *region = world->regions[i];
	unsigned long addr;
	int err;

	err = ph_block_alloc_dedicated(&world->store, &region->blocks, bytes,
				       align, &addr);
	world_check_errno(world, err, before);
	if (!err) {
		ASSERT(addr % align == 0 && addr % PAGE_SIZE == 0);
		ASSERT(world_region_at(world, addr) == region);
		world_insert(world, region, addr, bytes);
	}
	world_check_sums(world);
	return err;
}

void world_free(struct world *world, unsigned int i)
{
	struct world_region *region = world->blocks[i].region;
	unsigned long addr = world->blocks[i].addr;
	unsigned long nr_failures = shim.nr_failures;
	struct ph_block block;

	ASSERT_EQ(ph_block_find(&region->blocks, addr, &block), 0);
	world_delete(world, i);
	ph_block_free(&world->store, &region->blocks, &block);
	ASSERT_EQ(shim.nr_failures, nr_failures);
	world_find(region, addr);
	world_check_sums(world);
}

int world_resize(struct world *world, unsigned int i, unsigned long bytes)
{
	struct world_block *model = &world->blocks[i];
	struct before before = world_before(world, bytes);
	struct ph_block block, after;
	int err;

	ASSERT_EQ(ph_block_find(&model->region->blocks, model->addr, &block), 0);
	/* While pages are taken away, nobody has those past the new end. */
	world_disown(world, i);
	if (bytes < model->bytes)
		model->bytes = bytes;
	world_own(world, i);
	err = ph_block_resize(&world->store, &model->region->blocks, &block,
			      bytes);
	world_check_errno(world, err, before);
	if (bytes <= block.capacity)
		ASSERT_EQ(err, 0);
	if (!err) {
		world_disown(world, i);
		model->bytes = bytes;
		world_own(world, i);
		ASSERT_EQ(ph_block_find(&model->region->blocks, model->addr,
					&after), 0);
		ASSERT_EQ(after.bytes, block.bytes);
		ASSERT_EQ(after.capacity, block.capacity);
	}
	world_find(model->region, model->addr);
	world_check_sums(world);
	return err;
}

struct ph_block_entry world_walk(struct world *world, unsigned int i,
				 unsigned long cursor)
{
	struct ph_block_entry entry;

	ASSERT_EQ(ph_block_next(&world->regions[i]->blocks, cursor, &entry), 0);
	return entry;
}

unsigned int world_count_entries(struct world *world, unsigned int i)
{
	struct ph_block_entry entry = {};
	unsigned int nr = 0;

	while (!ph_block_next(&world->regions[i]->blocks,
			      entry.addr + entry.capacity, &entry))
		nr++;
	return nr;
}

/* Walks through a region; what it comes across must be the model's blocks. */
static unsigned int world_check_walk(struct world_region *region)
{
	unsigned long cursor = region->blocks.base, end;
	struct ph_block_entry entry;
	unsigned int nr_blocks = 0;

	while (!ph_block_next(&region->blocks, cursor, &entry)) {
		ASSERT(entry.addr >= cursor && entry.capacity >= entry.bytes);
		cursor = entry.addr + entry.capacity;
		end = (cursor - region->blocks.base - 1) >> PAGE_SHIFT;
		ASSERT(end < region->blocks.nr_pages);
		ASSERT_EQ(entry.kind == PH_ENTRY_BLOCK,
			  world_is_block(region, entry.addr));
		world_find(region, entry.addr);
		nr_blocks += entry.kind == PH_ENTRY_BLOCK;
		if (entry.kind == PH_ENTRY_BLOCK)
			continue;
		ASSERT_EQ(entry.bytes, 0);
		ASSERT(world_is_unowned(region, world_granule(region, entry.addr),
					world_granule(region, cursor)));
	}
	return nr_blocks;
}

void world_check(struct world *world)
{
	struct ph_block_region *regions[WORLD_REGIONS];
	unsigned int i, nr_regions = 0, nr_blocks = 0;

	for (i = 0; i < WORLD_REGIONS; i++) {
		if (!world->regions[i])
			continue;
		regions[nr_regions++] = &world->regions[i]->blocks;
		check_pages(&world->regions[i]->blocks,
			    world->regions[i]->committed);
		nr_blocks += world_check_walk(world->regions[i]);
	}
	ph_block_check(&world->store, regions, nr_regions);
	ASSERT_EQ(nr_blocks, world->nr_blocks);
	world_check_sums(world);
}
