// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inside of a heap, from outside: regions, the map of pages and size classes, and
 * that they add up to what the heap says of itself.
 */
#include "kselftest_harness.h"
#include "netlink_util.h"

FIXTURE(inspect) {
	struct nl nl;
	int fd;
	size_t page;
	struct heap heap;
	struct privheap_stat stat;
};

FIXTURE_SETUP(inspect)
{
	ASSERT_EQ(0, nl_open(&self->nl));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .initial_bytes = 0));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->stat));
}

FIXTURE_TEARDOWN(inspect)
{
	nl_close(&self->nl);
	close(self->fd);
}

/* What the messages of a list add up to. */
struct sums {
	size_t page;
	unsigned int nr_messages;
	__u64 next_addr;
	bool sorted;
	__u64 reserved_bytes;
	__u64 committed_bytes;
	__u64 resident_bytes;
	__u64 nr_own;
	__u64 span_bytes;
	__u64 large_bytes;
	__u64 nr_blocks;
	__u64 nr_free;
	__u64 allocated_bytes;
};

#define NUMBER(msg, set, name) \
	nl_number((msg)->attrs[PRIVHEAP_A_##set##_##name])

static void add_place(struct sums *sums, __u64 addr, __u64 bytes)
{
	if (addr < sums->next_addr)
		sums->sorted = false;
	sums->next_addr = addr + bytes;
	sums->reserved_bytes += bytes;
	sums->nr_messages++;
}

static int visit_region(const struct nl_msg *msg, void *arg)
{
	struct sums *sums = arg;

	add_place(sums, NUMBER(msg, REGION, ADDR), NUMBER(msg, REGION, BYTES));
	sums->committed_bytes += NUMBER(msg, REGION, COMMITTED_BYTES);
	sums->resident_bytes += NUMBER(msg, REGION, RESIDENT_BYTES);
	if (NUMBER(msg, REGION, FLAGS) == PRIVHEAP_REGION_F_OWN)
		sums->nr_own += NUMBER(msg, REGION, NUMBER) ==
				PRIVHEAP_ENTRY_OWN_REGION;
	return 0;
}

static int visit_map(const struct nl_msg *msg, void *arg)
{
	struct sums *sums = arg;
	__u64 bytes = NUMBER(msg, MAP, NR_PAGES) * sums->page;
	__u64 state = NUMBER(msg, MAP, STATE);

	add_place(sums, NUMBER(msg, MAP, ADDR), bytes);
	if (state == PRIVHEAP_PAGE_RESIDENT)
		sums->resident_bytes += bytes;
	if (state != PRIVHEAP_PAGE_RESERVED)
		sums->committed_bytes += bytes;
	if (NUMBER(msg, MAP, USE) == PRIVHEAP_PAGE_SPAN)
		sums->span_bytes += bytes;
	if (NUMBER(msg, MAP, USE) == PRIVHEAP_PAGE_LARGE)
		sums->large_bytes += bytes;
	return 0;
}

static int visit_class(const struct nl_msg *msg, void *arg)
{
	struct sums *sums = arg;
	__u64 slots = NUMBER(msg, CLASS, NR_BLOCKS) + NUMBER(msg, CLASS, NR_FREE);

	sums->nr_messages++;
	sums->nr_blocks += NUMBER(msg, CLASS, NR_BLOCKS);
	sums->nr_free += NUMBER(msg, CLASS, NR_FREE);
	sums->span_bytes += NUMBER(msg, CLASS, NR_PAGES) * sums->page;
	sums->allocated_bytes += NUMBER(msg, CLASS, ALLOCATED_BYTES);
	if (slots * NUMBER(msg, CLASS, SLOT_BYTES) >
	    NUMBER(msg, CLASS, NR_PAGES) * sums->page ||
	    !NUMBER(msg, CLASS, NR_SPANS))
		return -ERANGE;
	return 0;
}

static int inspect(struct nl *nl, __u8 cmd, int serial_attr, __u64 serial,
		   nl_visit *visit, struct sums *sums)
{
	struct nl_msg msg;

	*sums = (struct sums){ .page = page_bytes(), .sorted = true };
	nl_begin(nl, &msg, cmd, NLM_F_DUMP);
	nl_add_u64(&msg, serial_attr, serial);
	return nl_ask(nl, &msg, visit, sums);
}

#define INSPECT(set, visit, sums)					\
	inspect(&self->nl, PRIVHEAP_CMD_##set##_GET,			\
		PRIVHEAP_A_##set##_SERIAL, self->stat.out_serial, visit, sums)

TEST_F(inspect, empty_heap)
{
	struct sums sums;

	ASSERT_EQ(0, INSPECT(REGION, visit_region, &sums));
	EXPECT_EQ(1, sums.nr_messages);
	EXPECT_EQ(self->stat.out_reserved_bytes, sums.reserved_bytes);
	EXPECT_EQ(self->page, sums.committed_bytes);
	ASSERT_EQ(0, INSPECT(MAP, visit_map, &sums));
	EXPECT_EQ(2, sums.nr_messages);
	EXPECT_EQ(self->page, sums.resident_bytes);
	EXPECT_EQ(0, sums.span_bytes + sums.large_bytes);
	ASSERT_EQ(0, INSPECT(CLASS, visit_class, &sums));
	EXPECT_EQ(0, sums.nr_messages);
}

/* What was never committed is not gone through page by page. */
TEST_F(inspect, vast_heap)
{
	struct heap vast;
	struct sums sums;
	char *block;

	ASSERT_EQ(0, heap_create(&vast, self->fd, .max_bytes = 1UL << 46));
	ASSERT_EQ(0, block_alloc(&vast, 100, &block));
	ASSERT_EQ(0, heap_stat(&vast, &self->stat));
	ASSERT_EQ(0, INSPECT(MAP, visit_map, &sums));
	EXPECT_EQ(1UL << 46, sums.reserved_bytes);
	EXPECT_EQ(self->stat.out_committed_bytes, sums.committed_bytes);
}

TEST_F(inspect, sums_match_stat)
{
	struct privheap_stat *stat = &self->stat;
	__u64 small_bytes = 0, nr_small = 0;
	struct sums sums;
	unsigned int i;
	char *block;

	for (i = 0; i < 3000; i++) {
		size_t bytes = i * 7919 % 20000;

		ASSERT_EQ(0, block_alloc(&self->heap, bytes, &block));
		if (i % 3)
			memset(block, 1, bytes);
		if (i % 5 == 0) {
			ASSERT_EQ(0, block_free(&self->heap, block));
		} else if (bytes <= 16384) {
			small_bytes += bytes;
			nr_small++;
		}
	}
	ASSERT_EQ(0, block_alloc(&self->heap, 3 * MIB, &block));
	ASSERT_EQ(0, heap_stat(&self->heap, stat));

	ASSERT_EQ(0, INSPECT(REGION, visit_region, &sums));
	EXPECT_EQ(stat->out_nr_regions, sums.nr_messages);
	EXPECT_EQ(stat->out_reserved_bytes, sums.reserved_bytes);
	EXPECT_EQ(stat->out_committed_bytes, sums.committed_bytes);
	EXPECT_EQ(stat->out_resident_bytes, sums.resident_bytes);
	EXPECT_EQ(1, sums.nr_own);
	EXPECT_TRUE(sums.sorted);

	ASSERT_EQ(0, INSPECT(CLASS, visit_class, &sums));
	EXPECT_EQ(nr_small, sums.nr_blocks);
	EXPECT_EQ(small_bytes, sums.allocated_bytes);
	small_bytes = sums.span_bytes;

	ASSERT_EQ(0, INSPECT(MAP, visit_map, &sums));
	EXPECT_EQ(stat->out_reserved_bytes, sums.reserved_bytes);
	EXPECT_EQ(stat->out_committed_bytes, sums.committed_bytes);
	EXPECT_EQ(stat->out_resident_bytes, sums.resident_bytes);
	EXPECT_EQ(small_bytes, sums.span_bytes);
	EXPECT_LT(3 * MIB, sums.large_bytes);
	EXPECT_TRUE(sums.sorted);
	/* More than one message holds. */
	EXPECT_LT(1000, sums.nr_messages);
}

TEST_F(inspect, part_of_a_map)
{
	__u64 base = (uintptr_t)self->heap.base;
	struct nl_msg msg;
	struct sums sums;

	sums = (struct sums){ .page = self->page, .sorted = true };
	nl_begin(&self->nl, &msg, PRIVHEAP_CMD_MAP_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_SERIAL, self->stat.out_serial);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_START, base + self->page + 1);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_END, base + 3 * self->page - 1);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, visit_map, &sums));
	EXPECT_EQ(1, sums.nr_messages);
	EXPECT_EQ(2 * self->page, sums.reserved_bytes);
	EXPECT_EQ(base + 3 * self->page, sums.next_addr);

	nl_begin(&self->nl, &msg, PRIVHEAP_CMD_MAP_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_SERIAL, self->stat.out_serial);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_START, base);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_END, base);
	EXPECT_EQ(-EINVAL, nl_ask(&self->nl, &msg, visit_map, &sums));
}

TEST_F(inspect, dead_heap)
{
	struct sums sums;

	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(0, INSPECT(REGION, visit_region, &sums));
	EXPECT_EQ(0, sums.nr_messages);
	EXPECT_EQ(0, INSPECT(MAP, visit_map, &sums));
	EXPECT_EQ(0, INSPECT(CLASS, visit_class, &sums));
}

TEST_F(inspect, no_such_heap)
{
	struct sums sums;
	struct nl_msg msg;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(-ENOENT, INSPECT(REGION, visit_region, &sums));
	EXPECT_EQ(-ENOENT, INSPECT(MAP, visit_map, &sums));
	EXPECT_EQ(-ENOENT, INSPECT(CLASS, visit_class, &sums));
	self->stat.out_serial = 0;
	EXPECT_EQ(-ERANGE, INSPECT(REGION, visit_region, &sums));
	nl_begin(&self->nl, &msg, PRIVHEAP_CMD_MAP_GET, NLM_F_DUMP);
	EXPECT_EQ(-EINVAL, nl_ask(&self->nl, &msg, visit_map, &sums));
}

TEST_HARNESS_MAIN
