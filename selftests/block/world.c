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
	world->refusal = err;
	return err;
}

/* Was a commit refused in such a way that the call is to do nothing more? */
static bool world_is_over(const struct world *world)
{
	return world->refusal == -EAGAIN || world->refusal == -EINTR;
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
	ASSERT(!world_is_over(world));
	if (world->fail_commit_nth && !--world->fail_commit_nth)
		return world_refuse(world, world->fail_commit_again ? -EAGAIN :
								      -EINTR);
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

/* Pages lose their memory only if they are committed, and hold no block. */
static void world_check_unused(struct ph_block_region *blocks,
			       unsigned long first, unsigned long nr)
{
	struct world_region *region = world_region_of(blocks);
	unsigned long i, per_page = PAGE_SIZE / GRANULE;

	ASSERT(nr && first < blocks->nr_pages && nr <= blocks->nr_pages - first);
	for (i = first; i < first + nr; i++)
		ASSERT(region->committed[i]);
	ASSERT(world_is_unowned(region, first * per_page,
				(first + nr) * per_page));
}

static void world_decommit(struct ph_block_region *blocks, unsigned long first,
			   unsigned long nr)
{
	struct world_region *region = world_region_of(blocks);

	ASSERT(!world_is_over(region->world));
	world_check_unused(blocks, first, nr);
	memset(region->committed + first, 0, nr);
	region->world->nr_committed -= nr;
}

static void world_drop(struct ph_block_region *blocks, unsigned long first,
		       unsigned long nr)
{
	world_check_unused(blocks, first, nr);
	world_region_of(blocks)->world->nr_dropped += nr;
}

/* The run of a page, and what is to be told of it. */
static unsigned char world_use(struct world_region *region, unsigned long page,
			       struct ph_block_run *run)
{
	unsigned long addr = region->blocks.base + (page << PAGE_SHIFT);

	ph_block_run_at(&region->blocks, addr, run);
	return run->kind != PH_RUN_FREE && run->start == addr ?
	       run->kind | WORLD_FIRST : run->kind;
}

static void world_mark(struct ph_block_region *blocks, unsigned long first,
		       unsigned long nr)
{
	struct world_region *region = world_region_of(blocks);
	struct ph_block_run run;
	unsigned long page;

	ASSERT(nr && first < blocks->nr_pages && nr <= blocks->nr_pages - first);
	for (page = first; page < first + nr; page++)
		region->uses[page] = world_use(region, page, &run);
}

/* What was told of each page is so. */
static void world_check_uses(struct world_region *region)
{
	unsigned long page, end;
	struct ph_block_run run;

	for (page = 0; page < region->blocks.nr_pages; page = end) {
		ASSERT_EQ(region->uses[page], world_use(region, page, &run));
		end = page + run.nr_pages;
		while (++page < end)
			ASSERT_EQ(region->uses[page], run.kind);
	}
}

static const struct ph_block_ops world_ops = {
	.commit		= world_commit,
	.decommit	= world_decommit,
	.drop		= world_drop,
	.mark		= world_mark,
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
	ASSERT_EQ(world->store.nr_blocks, world->nr_blocks - world->nr_taken);
	ASSERT_EQ(world->store.allocated_bytes, world->allocated_bytes);
	ASSERT_EQ(world->store.nr_taken_pages << PAGE_SHIFT, world->taken_bytes);
	ASSERT_EQ(world->store.nr_meta_bytes,
		  shim.alloc_bytes - world->meta_base -
		  check_class_bytes(&world->store));
	ASSERT(world->nr_committed <= world->max_committed);
	ASSERT_EQ(world->store.nr_quarantine_pages, world->quarantine_pages);
	ASSERT(world->quarantine_pages <= world->store.max_quarantine_pages);
}

static unsigned long world_granule(const struct world_region *region,
				   unsigned long addr)
{
	return (addr - region->blocks.base) / GRANULE;
}

/* An empty block has a granule, too. Only guarded ones may start inside of one. */
static unsigned long world_nr_granules(const struct world_block *block)
{
	unsigned long bytes = block->addr % GRANULE + max(block->bytes, 1UL);

	return (bytes + GRANULE - 1) / GRANULE;
}

/* What starts at an address, or NULL. */
static const struct world_block *world_at(const struct world_region *region,
					  unsigned long addr)
{
	unsigned long offset = addr - region->blocks.base;
	const struct world_block *block;
	unsigned int id;

	if (offset >> PAGE_SHIFT >= region->blocks.nr_pages)
		return NULL;
	id = region->owner[offset / GRANULE];
	if (!id)
		return NULL;
	block = &region->world->blocks[id - 1];
	return block->addr == addr ? block : NULL;
}

static bool world_is_block(const struct world_region *region, unsigned long addr)
{
	const struct world_block *block = world_at(region, addr);

	return block && !block->taken;
}

static bool world_is_taken(const struct world_region *region, unsigned long addr)
{
	const struct world_block *block = world_at(region, addr);

	return block && block->taken;
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
	ASSERT_EQ(ph_block_is_guarded(&found), block->guarded);
}

static void world_check_description(const struct world_block *block,
				    enum ph_block_state state,
				    const struct ph_block_description *found)
{
	ASSERT_EQ(found->state, state);
	ASSERT_EQ(found->guarded, block->guarded);
	ASSERT_EQ(found->addr, block->addr);
	ASSERT_EQ(found->bytes, block->bytes);
	ASSERT_EQ(found->alloc_cookie, block->alloc_cookie);
	ASSERT_EQ(found->free_cookie, block->free_cookie);
}

void world_describe(struct world_region *region, unsigned long addr)
{
	unsigned long page = (addr - region->blocks.base) >> PAGE_SHIFT;
	struct world *world = region->world;
	struct ph_block_description found;
	unsigned int id = region->holder[page];

	ph_block_describe(&region->blocks, addr, &found);
	if (id & WORLD_FREED) {
		id = (id & ~WORLD_FREED) % WORLD_QUARANTINE;
		world_check_description(&world->quarantine[id], PH_BLOCK_FREED,
					&found);
		return;
	}
	if (!id)
		id = region->owner[(addr - region->blocks.base) / GRANULE];
	if (id && !world->blocks[id - 1].taken) {
		world_check_description(&world->blocks[id - 1], PH_BLOCK_LIVE,
					&found);
		return;
	}
	/* What a block has beyond its size the model does not know. */
	if (found.state == PH_BLOCK_LIVE)
		ASSERT(found.addr + found.bytes <= addr && !found.guarded);
	else
		ASSERT_EQ(found.state, PH_BLOCK_NONE);
}

static void world_hold(const struct world_block *block, unsigned int old,
		       unsigned int new)
{
	unsigned int *holder = block->region->holder;
	unsigned long page;

	for (page = block->first; page < block->first + block->nr_pages; page++) {
		ASSERT_EQ(holder[page], old);
		holder[page] = new;
	}
}

/* All pages of a guarded block but one are committed. */
static void world_check_guard(const struct world_block *block)
{
	unsigned long guard = block->before ? block->first :
					      block->first + block->nr_pages - 1;
	unsigned long page;

	for (page = block->first; page < block->first + block->nr_pages; page++)
		ASSERT_EQ(block->region->committed[page], page != guard);
}

void world_give_wrong(struct world_region *region, unsigned long addr)
{
	if (world_is_taken(region, addr))
		return;
	ASSERT_EQ(ph_block_give(&region->world->store, &region->blocks, addr),
		  -ENOENT);
	world_check_sums(region->world);
}

/* What of a model's entry counts, and where. */
static unsigned long *world_sum(struct world *world,
				const struct world_block *block)
{
	return block->taken ? &world->taken_bytes : &world->allocated_bytes;
}

/* Makes block @i own its granules; nobody must have done so before. */
static void world_own(struct world *world, unsigned int i)
{
	struct world_block *block = &world->blocks[i];
	unsigned long first = world_granule(block->region, block->addr);
	unsigned long last = first + world_nr_granules(block) - 1;
	unsigned long granule, page;

	ASSERT(last / (PAGE_SIZE / GRANULE) < block->region->blocks.nr_pages);
	ASSERT(world_is_unowned(block->region, first, last + 1));
	for (granule = first; granule <= last; granule++)
		block->region->owner[granule] = i + 1;
	*world_sum(world, block) += block->bytes;
	if (block->guarded) {
		world_hold(block, 0, i + 1);
		world_check_guard(block);
		return;
	}
	for (page = first / (PAGE_SIZE / GRANULE);
	     page <= last / (PAGE_SIZE / GRANULE); page++) {
		ASSERT(block->region->committed[page]);
		ASSERT(!block->region->holder[page]);
	}
}

static void world_disown(struct world *world, unsigned int i)
{
	struct world_block *block = &world->blocks[i];

	memset(block->region->owner + world_granule(block->region, block->addr), 0,
	       world_nr_granules(block) * sizeof(*block->region->owner));
	*world_sum(world, block) -= block->bytes;
	if (block->guarded)
		world_hold(block, i + 1, 0);
}

static void world_insert_block(struct world *world,
			       const struct world_block *block)
{
	ASSERT(world->nr_blocks < WORLD_BLOCKS);
	ASSERT(block->region);
	world->blocks[world->nr_blocks] = *block;
	world->nr_taken += block->taken;
	world_own(world, world->nr_blocks++);
	world_find(block->region, block->addr);
	world_describe(block->region, block->addr);
}

static void world_insert(struct world *world, struct world_region *region,
			 unsigned long addr, unsigned long bytes, bool taken)
{
	const struct world_block block = {
		.addr = addr,
		.bytes = bytes,
		.region = region,
		.taken = taken,
	};

	world_insert_block(world, &block);
}

/* Takes block @i out; the last one gets its index. */
static void world_delete(struct world *world, unsigned int i)
{
	unsigned int last = world_last(world);

	world_disown(world, i);
	world->nr_taken -= world->blocks[i].taken;
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
		region->holder = calloc(nr_pages, sizeof(*region->holder));
		region->uses = calloc(nr_pages, 1);
		region->blocks.marked = true;
		world->regions[i] = region;
	}
	world_check_sums(world);
	return err;
}

static struct world_block *world_freed(struct world *world, unsigned int id)
{
	return &world->quarantine[id % WORLD_QUARANTINE];
}

/* The oldest block of the quarantine leaves the model. */
static void world_pop_freed(struct world *world)
{
	struct world_block *block = world_freed(world, world->first_freed);

	world_hold(block, WORLD_FREED | world->first_freed++, 0);
	world->quarantine_pages -= block->nr_pages;
}

static void world_push_freed(struct world *world, const struct world_block *block)
{
	unsigned int id = world->end_freed++;

	ASSERT(world->end_freed - world->first_freed <= WORLD_QUARANTINE);
	*world_freed(world, id) = *block;
	world_hold(block, 0, WORLD_FREED | id);
	world->quarantine_pages += block->nr_pages;
	while (world->quarantine_pages > world->store.max_quarantine_pages)
		world_pop_freed(world);
}

/* What is in quarantine in a region that goes; the others keep their order. */
static void world_forget_freed(struct world *world, struct world_region *region)
{
	unsigned int id, end = world->end_freed;
	struct world_block block;

	for (id = world->first_freed; id != end; id++) {
		block = *world_freed(world, id);
		world_pop_freed(world);
		if (block.region != region)
			world_push_freed(world, &block);
	}
}

bool world_evict(struct world *world)
{
	bool evicted = ph_block_evict(&world->store);

	ASSERT_EQ(evicted, world->first_freed != world->end_freed);
	if (evicted)
		world_pop_freed(world);
	world_check_sums(world);
	return evicted;
}

/* All blocks of a region are gone, and all of its pages are decommitted. */
static void world_clear_region(struct world *world, struct world_region *region)
{
	unsigned int i;

	for (i = world->nr_blocks; i-- > 0;) {
		if (world->blocks[i].region == region)
			world_delete(world, i);
	}
	for (i = 0; i < region->blocks.nr_pages; i++) {
		world->nr_committed -= region->committed[i];
		region->committed[i] = 0;
	}
	world_forget_freed(world, region);
}

void world_empty_region(struct world *world, unsigned int i)
{
	struct world_region *region = world->regions[i];

	if (!region || region->blocks.dedicated)
		return;
	ph_block_region_empty(&world->store, &region->blocks);
	world_clear_region(world, region);
	world_check_sums(world);
}

void world_remove_region(struct world *world, unsigned int i)
{
	struct world_region *region = world->regions[i];

	if (!region)
		return;
	ph_block_region_remove(&world->store, &region->blocks);
	world_clear_region(world, region);
	world->regions[i] = NULL;
	free(region->committed);
	free(region->owner);
	free(region->holder);
	free(region->uses);
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
	if (world_is_over(world))
		ASSERT_EQ(err, world->refusal);
	world->refusal = 0;
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
	case -EAGAIN:
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
		     cursor = entry.end)
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
		world_insert(world, region, addr, bytes, false);
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
		world_insert(world, region, addr, bytes, false);
	}
	world_check_sums(world);
	return err;
}

/* Where the run of a guarded block must be, by the block's address. */
static void world_place_guarded(struct world_block *block, unsigned long align)
{
	unsigned long offset = block->addr - block->region->blocks.base;
	unsigned long end = offset + block->bytes;

	block->guarded = true;
	block->nr_pages = 1 + max(PAGE_ALIGN(block->bytes) >> PAGE_SHIFT, 1UL);
	if (block->before) {
		ASSERT_EQ(offset % PAGE_SIZE, 0);
		block->first = (offset >> PAGE_SHIFT) - 1;
		return;
	}
	if (!block->bytes && align > PAGE_SIZE)
		end += PAGE_SIZE;
	ASSERT(PAGE_ALIGN(end) - end < min(align, PAGE_SIZE));
	block->first = (PAGE_ALIGN(end) >> PAGE_SHIFT) + 1 - block->nr_pages;
}

int world_alloc_guarded(struct world *world, unsigned long bytes,
			unsigned long align, bool before)
{
	const struct ph_guard_request request = {
		.bytes = bytes,
		.align = align,
		.before = before,
		.cookie = ++world->next_cookie,
	};
	struct world_block block = {
		.addr = ~0UL,
		.bytes = bytes,
		.before = before,
		.alloc_cookie = request.cookie,
	};
	struct before state = world_before(world, bytes);
	int err;

	err = ph_block_alloc_guarded(&world->store, &request, &block.addr);
	world_check_errno(world, err, state);
	if (!err) {
		ASSERT_EQ(block.addr % align, 0);
		block.region = world_region_at(world, block.addr);
		world_place_guarded(&block, align);
		world_insert_block(world, &block);
	} else {
		ASSERT_EQ(block.addr, ~0UL);
	}
	if (err == -ENOSPC && shim.nr_failures == state.nr_failures &&
	    world->nr_refused == state.nr_refused)
		/* In slots, which no such alignment fits, it cannot be. */
		world_check_full(world, PAGE_ALIGN(bytes) + 2 * PAGE_SIZE,
				 max(align, 2 * PAGE_SIZE));
	world_check_sums(world);
	return err;
}

int world_take(struct world *world, unsigned long nr_pages)
{
	struct before before = world_before(world, nr_pages << PAGE_SHIFT);
	unsigned long addr = ~0UL;
	int err;

	err = ph_block_take(&world->store, nr_pages, &addr);
	world_check_errno(world, err, before);
	if (err)
		ASSERT_EQ(addr, ~0UL);
	else
		world_insert(world, world_region_at(world, addr), addr,
			     nr_pages << PAGE_SHIFT, true);
	world_check_sums(world);
	return err;
}

/* Frees with a cookie, unless @block has none to keep. */
static void world_call_free(struct world *world, struct world_block *model,
			    struct ph_block *block)
{
	if (!model->guarded || model->alloc_cookie % 4 == 0) {
		ph_block_free(&world->store, block);
		return;
	}
	model->free_cookie = ++world->next_cookie;
	ph_block_free_guarded(&world->store, block, model->free_cookie);
}

void world_free(struct world *world, unsigned int i)
{
	struct world_block model = world->blocks[i];
	unsigned long nr_failures = shim.nr_failures;
	bool taken = world->blocks[i].taken;
	struct ph_block block;

	ASSERT_EQ(ph_block_find(&model.region->blocks, model.addr, &block),
		  taken ? -ENOENT : 0);
	world_delete(world, i);
	if (taken)
		ASSERT_EQ(ph_block_give(&world->store, &model.region->blocks,
					model.addr), 0);
	else
		world_call_free(world, &model, &block);
	ASSERT_EQ(shim.nr_failures, nr_failures);
	if (model.guarded)
		world_push_freed(world, &model);
	world_find(model.region, model.addr);
	world_describe(model.region, model.addr);
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
	err = ph_block_resize(&world->store, &block, bytes);
	world_check_errno(world, err, before);
	if (model->guarded)
		ASSERT_EQ(err, -ENOSPC);
	else if (bytes <= block.capacity)
		ASSERT_EQ(err, 0);
	if (err && model->bytes != block.bytes) {
		world_disown(world, i);
		model->bytes = block.bytes;
		world_own(world, i);
	}
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

	while (!ph_block_next(&world->regions[i]->blocks, entry.end, &entry))
		nr++;
	return nr;
}

/* The entry of a block in quarantine is its whole run. */
static void world_check_entry_freed(struct world_region *region,
				    const struct ph_block_entry *entry)
{
	unsigned long first = (entry->addr - region->blocks.base) >> PAGE_SHIFT;
	unsigned int id = region->holder[first];
	const struct world_block *block;

	ASSERT(id & WORLD_FREED);
	block = world_freed(region->world, id & ~WORLD_FREED);
	ASSERT_EQ(first, block->first);
	ASSERT_EQ(entry->end, entry->addr + (block->nr_pages << PAGE_SHIFT));
}

/* Walks through a region; what it comes across must be the model's blocks. */
static unsigned int world_check_walk(struct world_region *region)
{
	unsigned long cursor = region->blocks.base, end;
	struct ph_block_entry entry;
	unsigned int nr_blocks = 0;

	while (!ph_block_next(&region->blocks, cursor, &entry)) {
		ASSERT(entry.addr >= cursor && entry.capacity >= entry.bytes);
		ASSERT(entry.end > cursor);
		ASSERT(entry.end >= entry.addr + entry.capacity);
		cursor = entry.end;
		end = (cursor - region->blocks.base - 1) >> PAGE_SHIFT;
		ASSERT(end < region->blocks.nr_pages);
		ASSERT_EQ(entry.kind == PH_ENTRY_BLOCK,
			  world_is_block(region, entry.addr));
		ASSERT_EQ(entry.kind == PH_ENTRY_TAKEN,
			  world_is_taken(region, entry.addr));
		world_find(region, entry.addr);
		world_describe(region, entry.addr);
		if (entry.kind == PH_ENTRY_QUARANTINE)
			world_check_entry_freed(region, &entry);
		if (world_at(region, entry.addr)) {
			ASSERT(entry.kind == PH_ENTRY_BLOCK ||
			       entry.capacity ==
			       world_at(region, entry.addr)->bytes);
			nr_blocks++;
			continue;
		}
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

	for (i = world->first_freed; i != world->end_freed; i++)
		world_describe(world_freed(world, i)->region,
			       world_freed(world, i)->addr);
	for (i = 0; i < WORLD_REGIONS; i++) {
		if (!world->regions[i])
			continue;
		regions[nr_regions++] = &world->regions[i]->blocks;
		check_pages(&world->regions[i]->blocks,
			    world->regions[i]->committed);
		nr_blocks += world_check_walk(world->regions[i]);
		world_check_uses(world->regions[i]);
	}
	ph_block_check(&world->store, regions, nr_regions);
	ASSERT_EQ(nr_blocks, world->nr_blocks);
	world_check_sums(world);
}
