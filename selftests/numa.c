// SPDX-License-Identifier: GPL-2.0-only
/*
 * On a machine with two nodes (selftests/vm/run --nodes 2): pages come from where the
 * memory policy of the task that touches them wants them, recycled or not.
 */
#include <linux/mempolicy.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define NR_NODES	2
#define NR_PAGES	1024

FIXTURE(numa) {
	int fd;
	size_t page;
	struct heap heap;
};

FIXTURE_VARIANT(numa) {
	__u32 policy;
};

FIXTURE_VARIANT_ADD(numa, page) { PRIVHEAP_POLICY_PAGE };
FIXTURE_VARIANT_ADD(numa, window) { PRIVHEAP_POLICY_WINDOW };
FIXTURE_VARIANT_ADD(numa, adaptive) { PRIVHEAP_POLICY_ADAPTIVE };
FIXTURE_VARIANT_ADD(numa, populate) { PRIVHEAP_POLICY_POPULATE };
FIXTURE_VARIANT_ADD(numa, huge) { PRIVHEAP_POLICY_HUGE };

static int set_policy(int mode, unsigned int node)
{
	unsigned long nodes = 1UL << node;

	return syscall(__NR_set_mempolicy, mode,
		       mode == MPOL_DEFAULT ? NULL : &nodes,
		       mode == MPOL_DEFAULT ? 0 : 8 * sizeof(nodes)) ? -errno : 0;
}

FIXTURE_SETUP(numa)
{
	ASSERT_EQ(0, access("/sys/devices/system/node/node1", F_OK)) {
		TH_LOG("selftests/vm/run --nodes 2 has such a machine");
	}
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 32 * MIB,
				 .policy = variant->policy));
}

/* The first page is resident from the beginning. */
static int take_first_page(FIXTURE_DATA(numa) *self)
{
	char *block;

	return block_alloc_with(&self->heap, self->page, self->page, 0, &block);
}

FIXTURE_TEARDOWN(numa)
{
	set_policy(MPOL_DEFAULT, 0);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	close(self->fd);
}

/* A block whose pages were all touched, or NULL. */
static char *new_block(FIXTURE_DATA(numa) *self)
{
	char *block;
	size_t i;

	if (block_alloc_with(&self->heap, NR_PAGES * self->page, self->page, 0,
			     &block))
		return NULL;
	for (i = 0; i < NR_PAGES; i++)
		*(volatile char *)(block + i * self->page) = 1;
	return block;
}

/* How many of a block's pages lie on a node, or -errno. */
static int pages_on(FIXTURE_DATA(numa) *self, char *block, int node)
{
	static int nodes[NR_PAGES];
	static void *pages[NR_PAGES];
	int i, nr = 0;

	for (i = 0; i < NR_PAGES; i++)
		pages[i] = block + i * self->page;
	if (syscall(__NR_move_pages, 0, (unsigned long)NR_PAGES, pages, NULL,
		    nodes, 0))
		return -errno;
	for (i = 0; i < NR_PAGES; i++)
		nr += nodes[i] == node;
	return nr;
}

/* Blocks of a task that is bound to the one node, then to the other. */
static void expect_from_node_of_task(struct __test_metadata *_metadata,
				     FIXTURE_DATA(numa) *self, bool frees)
{
	unsigned int round, node;
	char *block;

	ASSERT_EQ(0, take_first_page(self));
	for (round = 0; round < 2 * NR_NODES; round++) {
		node = round % NR_NODES;
		ASSERT_EQ(0, set_policy(MPOL_BIND, node));
		block = new_block(self);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(NR_PAGES, pages_on(self, block, node)) {
			TH_LOG("round %u", round);
		}
		if (frees) {
			ASSERT_EQ(0, block_free(&self->heap, block));
		}
	}
}

TEST_F(numa, pages_come_from_node_of_task)
{
	expect_from_node_of_task(_metadata, self, false);
}

/* Those that the process keeps for its heaps may lie on the other node. */
TEST_F(numa, recycled_pages_do_not_come_from_elsewhere)
{
	expect_from_node_of_task(_metadata, self, true);
}

TEST_F(numa, prefault_and_reset)
{
	unsigned int round, node;
	size_t kept;
	char *block;

	for (round = 0; round < 2 * NR_NODES; round++) {
		node = round % NR_NODES;
		ASSERT_EQ(0, take_first_page(self));
		ASSERT_EQ(0, set_policy(MPOL_PREFERRED, node));
		ASSERT_EQ(0, block_alloc_with(&self->heap, NR_PAGES * self->page,
					      self->page, 0, &block));
		ASSERT_EQ((long)(NR_PAGES * self->page),
			  heap_prefault(&self->heap, block,
					NR_PAGES * self->page));
		EXPECT_EQ(NR_PAGES, pages_on(self, block, node)) {
			TH_LOG("round %u", round);
		}
		ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	}
}

TEST_HARNESS_MAIN
