// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls in a heap with page maps: after them each entry of each map is what the
 * kernel says when it is asked, by a walk and by the map of the netlink family.
 */
#include "kselftest_harness.h"
#include "netlink_util.h"

#define NR_THINGS	120
#define NR_CALLS	6000
#define CALLS_A_CHECK	100
#define MAX_ENTRIES	4000
#define MAX_REGIONS	200

FIXTURE(random) {
	int fd;
	struct nl nl;
	struct heap heap;
	struct privheap_stat stat;
};

FIXTURE_VARIANT(random) {
	__u32 flags;
	__u32 policy;
	__u64 max_bytes;
	__u64 limit_bytes;
	__u64 idle_bytes;
};

FIXTURE_VARIANT_ADD(random, growable) {
};

FIXTURE_VARIANT_ADD(random, growable_limit) {
	.limit_bytes = 8 * MIB,
	.idle_bytes = 2 * MIB,
};

FIXTURE_VARIANT_ADD(random, fixed_page) {
	.policy = PRIVHEAP_POLICY_PAGE,
	.max_bytes = 24 * MIB,
};

FIXTURE_VARIANT_ADD(random, backed) {
	.flags = PRIVHEAP_CREATE_F_BACKED,
};

FIXTURE_VARIANT_ADD(random, secret) {
	.flags = PRIVHEAP_CREATE_F_SECRET,
};

FIXTURE_VARIANT_ADD(random, huge) {
	.policy = PRIVHEAP_POLICY_HUGE,
	.max_bytes = 32 * MIB,
};

FIXTURE_VARIANT_ADD(random, guarded) {
	.flags = PRIVHEAP_CREATE_F_GUARD,
};

FIXTURE_SETUP(random)
{
	ASSERT_EQ(0, nl_open(&self->nl));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .flags = variant->flags,
				 .policy = variant->policy,
				 .max_bytes = variant->max_bytes,
				 .limit_bytes = variant->limit_bytes,
				 .idle_bytes = variant->idle_bytes,
				 .quarantine_bytes =
					variant->flags & PRIVHEAP_CREATE_F_GUARD ?
					MIB : 0));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->stat));
}

FIXTURE_TEARDOWN(random)
{
	nl_close(&self->nl);
	close(self->fd);
}

/* The calls */

/* A block, or a span that was taken. */
struct thing {
	char *addr;
	size_t bytes;
	bool taken;
};

static struct thing things[NR_THINGS];
static uint64_t random_state = 20261121;

static uint32_t random_below(uint32_t bound)
{
	random_state = random_state * 6364136223846793005ULL +
		       1442695040888963407ULL;
	return (random_state >> 33) % bound;
}

static size_t random_bytes(void)
{
	switch (random_below(10)) {
	case 0:
		return random_below(3 * MIB);
	case 1 ... 4:
		return random_below(300 * KIB);
	default:
		return random_below(20000);
	}
}

static int make(const struct heap *heap, bool guard, struct thing *thing)
{
	__u32 nr_pages = 1 + random_below(20);
	int ret;

	thing->taken = random_below(5) == 0;
	if (thing->taken) {
		thing->bytes = nr_pages * page_bytes();
		ret = span_take(heap, nr_pages, &thing->addr);
	} else if (guard && random_below(2)) {
		thing->bytes = random_below(60000);
		ret = block_alloc_guarded(heap, thing->bytes, 16, random_below(2) ?
					  PRIVHEAP_GUARD_ALLOC_F_BEFORE : 0, 0,
					  &thing->addr);
	} else {
		thing->bytes = random_bytes();
		ret = block_alloc(heap, thing->bytes, &thing->addr);
	}
	if (ret)
		thing->addr = NULL;
	return ret;
}

static int end(const struct heap *heap, struct thing *thing)
{
	int ret = thing->taken ? span_give(heap, thing->addr) :
				 block_free(heap, thing->addr);

	thing->addr = NULL;
	return ret;
}

/* Some of the pages that lie in it entirely. */
static bool some_pages(const struct thing *thing, char **addr, size_t *bytes)
{
	uintptr_t page = page_bytes();
	uintptr_t start = round_up((uintptr_t)thing->addr, page);
	uintptr_t stop = ((uintptr_t)thing->addr + thing->bytes) / page * page;
	size_t nr_pages = start < stop ? (stop - start) / page : 0;
	size_t first;

	if (!nr_pages)
		return false;
	first = random_below(nr_pages);
	*addr = (char *)start + first * page;
	*bytes = (1 + random_below(nr_pages - first)) * page;
	return true;
}

static int drop(const struct heap *heap, char *addr, size_t bytes)
{
	struct privheap_batch_entry entry = {
		.addr = (uintptr_t)addr,
		.bytes = bytes,
	};
	int ret = batch(heap, PRIVHEAP_BATCH_DROP, 0, &entry, 1);

	return ret < 0 ? ret : -(int)entry.out_error;
}

static int change_pages(const struct heap *heap, struct thing *thing)
{
	size_t bytes;
	char *addr;
	long ret;

	if (!some_pages(thing, &addr, &bytes))
		return 0;
	if (thing->taken)
		return drop(heap, addr, bytes);
	/* Only those of large blocks can be named: ENOENT for others. */
	switch (random_below(4)) {
	case 0:
		ret = heap_commit(heap, addr, bytes);
		break;
	case 1:
		ret = heap_prefault(heap, addr, bytes);
		break;
	default:
		ret = heap_decommit(heap, addr, bytes);
	}
	return ret < 0 && ret != -ENOENT ? ret : 0;
}

static void touch_some(const struct thing *thing)
{
	size_t i, from, to;

	if (!thing->bytes)
		return;
	from = random_below(thing->bytes);
	to = from + random_below(thing->bytes - from) + 1;
	for (i = from; i < to; i += page_bytes())
		touch_write(thing->addr + i);	/* it may be decommitted */
}

static int seldom(const struct heap *heap)
{
	struct privheap_pagemap map;
	size_t bytes;
	int ret;

	switch (random_below(4)) {
	case 0:
		memset(things, 0, sizeof(things));
		return heap_reset(heap, random_below(MIB), &bytes);
	case 1:
		return heap_compact(heap, &bytes);
	case 2:
		return heap_inject(heap, .nth = 1 + random_below(3));
	default:
		ret = heap_pagemap(heap, NULL, &map);
		return ret ?: munmap((void *)(uintptr_t)map.out_map,
				     pagemap_bytes(&map));
	}
}

static int step(const struct heap *heap, bool guard)
{
	struct thing *thing = &things[random_below(NR_THINGS)];

	if (random_below(100) == 0)
		return seldom(heap);
	if (!thing->addr)
		return make(heap, guard, thing);
	switch (random_below(6)) {
	case 0:
		return change_pages(heap, thing);
	case 1:
		if (thing->taken)
			return 0;
		/* What fails leaves the block as it was. */
		thing->bytes = random_bytes();
		if (block_realloc(heap, &thing->addr, thing->bytes, 0))
			thing->bytes = block_size(heap, thing->addr);
		return 0;
	case 2 ... 3:
		touch_some(thing);
		return 0;
	default:
		return end(heap, thing);
	}
}

/* What the kernel says */

/* A region with its map, and what that is to be. */
struct region {
	struct privheap_pagemap map;
	struct privheap_page *expected;
};

/* All regions of a heap. */
struct sight {
	const struct heap *heap;
	size_t page;
	struct region *regions;
	unsigned int nr_regions;
};

static struct privheap_page *find_page(const struct sight *sight, __u64 addr)
{
	unsigned int i;
	__u64 n;

	for (i = 0; i < sight->nr_regions; i++) {
		n = (addr - sight->regions[i].map.out_base) / sight->page;
		if (addr >= sight->regions[i].map.out_base &&
		    n < sight->regions[i].map.out_nr_pages)
			return &sight->regions[i].expected[n];
	}
	return NULL;
}

/* Uses and states, from netlink. */
static int see_pages(const struct nl_msg *msg, void *arg)
{
	__u64 nr = nl_number(msg->attrs[PRIVHEAP_A_MAP_NR_PAGES]);
	struct privheap_page *pages =
		find_page(arg, nl_number(msg->attrs[PRIVHEAP_A_MAP_ADDR]));
	__u64 i;

	if (!pages)
		return -ERANGE;
	for (i = 0; i < nr; i++) {
		pages[i].use = nl_number(msg->attrs[PRIVHEAP_A_MAP_USE]);
		pages[i].state = nl_number(msg->attrs[PRIVHEAP_A_MAP_STATE]);
	}
	return 0;
}

/* Starts of large blocks and of taken spans, from the walk. */
static int see_entry(const struct sight *sight, const struct privheap_entry *entry)
{
	struct privheap_page *page = find_page(sight, entry->addr);
	__u64 i;

	if (!page)
		return -ERANGE;
	if (entry->kind == PRIVHEAP_ENTRY_BLOCK &&
	    page->use == PRIVHEAP_PAGE_LARGE)
		page->use |= PRIVHEAP_PAGE_F_FIRST;
	if (entry->kind != PRIVHEAP_ENTRY_TAKEN)
		return 0;
	for (i = 0; i < entry->bytes / sight->page; i++)
		page[i].use = PRIVHEAP_PAGE_TAKEN;
	page->use |= PRIVHEAP_PAGE_F_FIRST;
	return 0;
}

static struct privheap_entry entries[MAX_ENTRIES];

/* All that a walk lists; returns how many, or a negative errno. */
static int list(const struct heap *heap)
{
	int nr = 0, ret;

	do {
		ret = heap_walk(heap, nr ? &entries[nr - 1] : NULL, &entries[nr],
				MAX_ENTRIES - nr);
		if (ret > 0)
			nr += ret;
	} while (ret > 0 && nr < MAX_ENTRIES);
	return ret < 0 ? ret : nr;
}

/* Regions that have no block, too, which a walk does not list. */
static int see_region(const struct nl_msg *msg, void *arg)
{
	struct sight *sight = arg;
	struct region *region = &sight->regions[sight->nr_regions];
	__u64 addr = nl_number(msg->attrs[PRIVHEAP_A_REGION_ADDR]);
	int ret;

	if (sight->nr_regions == MAX_REGIONS)
		return -E2BIG;
	ret = heap_pagemap(sight->heap, (void *)(uintptr_t)addr, &region->map);
	if (ret)
		return ret;
	if (region->map.out_base != addr)
		return -ERANGE;
	region->expected = calloc(region->map.out_nr_pages,
				  sizeof(*region->expected));
	sight->nr_regions++;
	return region->expected ? 0 : -ENOMEM;
}

/* Spans and guarded blocks of which the list does not tell where they start. */
static bool starts_anywhere(unsigned int use)
{
	return use == PRIVHEAP_PAGE_SPAN || use == PRIVHEAP_PAGE_GUARDED ||
	       use == PRIVHEAP_PAGE_QUARANTINED;
}

/* Is each entry what is expected? Returns the number of one that is not, or -1. */
static long find_difference(const struct region *region)
{
	struct privheap_page seen, *expected = region->expected;
	const char *base = (char *)(uintptr_t)region->map.out_base;
	unsigned int before = PRIVHEAP_PAGE_FREE;
	unsigned long n;

	for (n = 0; n < region->map.out_nr_pages; n++, expected++) {
		seen = pagemap_at(&region->map, base + n * page_bytes());
		/* The first of several that are alike starts something. */
		if (starts_anywhere(expected->use) &&
		    (before != expected->use ||
		     seen.use & PRIVHEAP_PAGE_F_FIRST))
			expected->use |= PRIVHEAP_PAGE_F_FIRST;
		if (seen.use != expected->use || seen.state != expected->state)
			return n;
		before = expected->use & ~PRIVHEAP_PAGE_F_FIRST;
	}
	return -1;
}

static int ask(FIXTURE_DATA(random) *self, __u8 cmd, __u16 serial, nl_visit *visit,
	       struct sight *sight)
{
	struct nl_msg msg;

	nl_begin(&self->nl, &msg, cmd, NLM_F_DUMP);
	nl_add_u64(&msg, serial, self->stat.out_serial);
	return nl_ask(&self->nl, &msg, visit, sight);
}

static void check(struct __test_metadata *_metadata, FIXTURE_DATA(random) *self)
{
	static struct region regions[MAX_REGIONS];
	struct sight sight = {
		.heap = &self->heap,
		.page = page_bytes(),
		.regions = regions,
	};
	unsigned int i;
	int nr, entry;

	ASSERT_EQ(0, ask(self, PRIVHEAP_CMD_REGION_GET,
			 PRIVHEAP_A_REGION_SERIAL, see_region, &sight));
	ASSERT_LT(0, sight.nr_regions);
	ASSERT_EQ(0, ask(self, PRIVHEAP_CMD_MAP_GET, PRIVHEAP_A_MAP_SERIAL,
			 see_pages, &sight));
	nr = list(&self->heap);
	ASSERT_LT(0, nr);
	ASSERT_GT(MAX_ENTRIES, nr);
	for (entry = 0; entry < nr; entry++)
		ASSERT_EQ(0, see_entry(&sight, &entries[entry]));
	for (i = 0; i < sight.nr_regions; i++) {
		ASSERT_EQ(-1, find_difference(&regions[i]));
		free(regions[i].expected);
	}
}

/* Failures are those of limits, of room, and those that were asked for. */
static bool is_expected(int ret)
{
	return !ret || ret == -EDQUOT || ret == -ENOSPC || ret == -ENOMEM;
}

TEST_F_TIMEOUT(random, maps_agree, 300)
{
	struct privheap_limit limit;
	unsigned int i;

	check(_metadata, self);
	for (i = 0; i < scaled(NR_CALLS); i++) {
		ASSERT_TRUE(is_expected(step(&self->heap, variant->flags &
					     PRIVHEAP_CREATE_F_GUARD)));
		if (i % CALLS_A_CHECK == 0)
			check(_metadata, self);
	}
	check(_metadata, self);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(0, limit.out_usage_bytes);
}

TEST_HARNESS_MAIN
