// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages: where a heap gets one, what happens when a part of it goes, and what it
 * gets where there is none to be had.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "netlink_util.h"

#define HUGE_BYTES	(2 * MIB)
#define NR_HUGE		4
/* How eagerly the kernel moves memory together in the background. */
#define PROACTIVENESS	"/proc/sys/vm/compaction_proactiveness"
/* The longest window where there is no huge page. */
#define WINDOW_PAGES	64
#define WINDOW_ORDER	6
#define HUGE_ORDER	9

FIXTURE(huge) {
	int fd;
	size_t page;
	struct heap heap;
	/* Blocks of half a huge page each that nobody has touched. */
	char *halves[2 * NR_HUGE];
	struct privheap_stat before;
};

/* A block at the start of the heap, so that the others do not start there. */
static int take_first(const struct heap *heap)
{
	char *first;
	int err = block_alloc(heap, HUGE_BYTES, &first);

	if (err)
		return err;
	return first == heap->base ? 0 : -ENOSPC;
}

/* Makes the heap, with its blocks in places that huge pages fit. */
static void make_halves(struct __test_metadata *_metadata,
			FIXTURE_DATA(huge) *self)
{
	size_t i;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .max_bytes = (NR_HUGE + 2) * HUGE_BYTES,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, take_first(&self->heap));
	ASSERT_EQ(0, block_alloc_with(&self->heap, HUGE_BYTES / 2, HUGE_BYTES, 0,
				      &self->halves[0]));
	for (i = 1; i < ARRAY_SIZE(self->halves); i++) {
		ASSERT_EQ(0, block_alloc_with(&self->heap, HUGE_BYTES / 2,
					      HUGE_BYTES / 2, 0,
					      &self->halves[i]));
		ASSERT_EQ(self->halves[0] + i * HUGE_BYTES / 2, self->halves[i]);
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_SETUP(huge)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	make_halves(_metadata, self);
}

FIXTURE_TEARDOWN(huge)
{
	close(self->fd);
}

/* Bytes that huge pages map in the mapping around @addr, or -errno. */
static long huge_bytes(const void *addr)
{
	long length = file_read("/proc/self/smaps", proc_text, sizeof(proc_text));
	unsigned long start, end, kib;
	bool inside = false;
	char *line, *rest;

	if (length < 0)
		return length;
	for (line = strtok_r(proc_text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)addr >= start && (uintptr_t)addr < end;
		else if (inside && sscanf(line, "FilePmdMapped: %lu kB", &kib) == 1)
			return kib * KIB;
	}
	return -ENOENT;
}

/* What was charged and became resident since the blocks were made. */
static void expect_state(struct __test_metadata *_metadata,
			 FIXTURE_DATA(huge) *self, long committed, long resident)
{
	struct privheap_stat stat;

	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(committed, (long)(stat.out_committed_bytes -
				    self->before.out_committed_bytes));
	EXPECT_EQ(resident, (long)(stat.out_resident_bytes -
				   self->before.out_resident_bytes));
}

/* Faults of a heap that gave memory to 2^@order pages, see count_faults(). */
struct order_count {
	__u64 order;
	__u64 nr;
};

static int visit_faults(const struct nl_msg *msg, void *arg)
{
	struct order_count *count = arg;

	if (msg->attrs[PRIVHEAP_A_FAULT_SOURCE] &&
	    nl_number(msg->attrs[PRIVHEAP_A_FAULT_SOURCE]) !=
	    PRIVHEAP_SOURCE_RESIDENT &&
	    nl_number(msg->attrs[PRIVHEAP_A_FAULT_ORDER]) == count->order)
		count->nr += nl_number(msg->attrs[PRIVHEAP_A_FAULT_NR_FAULTS]);
	return 0;
}

/* How many faults of the heap there were of an order, or a negative errno. */
static long count_faults(const struct heap *heap, unsigned int order)
{
	struct order_count count = { .order = order };
	struct privheap_stat stat;
	struct nl_msg msg;
	struct nl nl;
	int err;

	err = heap_stat(heap, &stat) ?: nl_open(&nl);
	if (err)
		return err;
	nl_begin(&nl, &msg, PRIVHEAP_CMD_FAULT_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_FAULT_SERIAL, stat.out_serial);
	err = nl_ask(&nl, &msg, visit_faults, &count);
	nl_close(&nl);
	return err ?: (long)count.nr;
}

/* Where there is one */

TEST_F(huge, one_touch_maps_all)
{
	char *start = self->halves[0];

	start[HUGE_BYTES - 1] = 1;
	expect_state(_metadata, self, 0, HUGE_BYTES);
	EXPECT_EQ(HUGE_BYTES, huge_bytes(start));
	EXPECT_TRUE(all_bytes(start, HUGE_BYTES - 1, 0));
	pattern_fill(start, HUGE_BYTES, 1);
	EXPECT_TRUE(pattern_check(start, HUGE_BYTES, 1));
	expect_state(_metadata, self, 0, HUGE_BYTES);
	EXPECT_EQ(0, touch_read(start + HUGE_BYTES));
	expect_state(_metadata, self, 0, 2 * HUGE_BYTES);
	EXPECT_EQ(2 * HUGE_BYTES, huge_bytes(start));
	EXPECT_EQ(2 * HUGE_BYTES, mapping_rss(start));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(SIGSEGV, touch_read(start));
}

/* What is not committed is neither resident nor mapped. */
TEST_F(huge, only_where_all_is_committed)
{
	ASSERT_EQ(0, block_free(&self->heap, self->halves[1]));
	self->halves[0][HUGE_BYTES / 4] = 1;
	expect_state(_metadata, self, -(long)HUGE_BYTES / 2,
		     WINDOW_PAGES * self->page);
	EXPECT_EQ(0, huge_bytes(self->halves[0]));
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[1]));
	pattern_fill(self->halves[0], HUGE_BYTES / 2, 1);
	EXPECT_TRUE(pattern_check(self->halves[0], HUGE_BYTES / 2, 1));
}

/* Small blocks of such a heap live as in any. */
TEST_F(huge, heap_of_small_blocks_works)
{
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .policy = PRIVHEAP_POLICY_HUGE));
	EXPECT_EQ(0, heap_check_works(&heap));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* Not even the page that other heaps have from the start. */
TEST_F(huge, heap_starts_with_none)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 2 * HUGE_BYTES,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(0, stat.out_committed_bytes);
	EXPECT_EQ(0, (uintptr_t)heap.base % HUGE_BYTES);
	ASSERT_EQ(0, block_alloc(&heap, HUGE_BYTES, &block));
	EXPECT_EQ(heap.base, block);
	*block = 1;
	EXPECT_EQ(HUGE_BYTES, huge_bytes(block));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* A block that was freed in a guarded heap is out of reach, whoever holds its pages. */
TEST_F(huge, guarded_heap_has_none)
{
	struct iovec range;
	char *block, *other;
	struct heap heap;
	int ends[2];

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * HUGE_BYTES,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, block_alloc(&heap, HUGE_BYTES / 2, &block));
	ASSERT_EQ(0, block_alloc(&heap, HUGE_BYTES / 2, &other));
	ASSERT_EQ(block + HUGE_BYTES / 2, other);
	memset(block, 1, HUGE_BYTES);
	EXPECT_EQ(0, huge_bytes(block));
	ASSERT_EQ(0, pipe(ends));
	range = (struct iovec){ block, self->page };
	ASSERT_EQ((ssize_t)self->page, vmsplice(ends[1], &range, 1, 0));
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(SIGSEGV, touch_read(block));
	EXPECT_TRUE(all_bytes(other, HUGE_BYTES / 2, 1));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* The initial pages are resident at once, and small. */
TEST_F(huge, heap_starts_with_initial_pages)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 2 * HUGE_BYTES,
				 .initial_bytes = 3 * self->page,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(3 * self->page, stat.out_resident_bytes);
	ASSERT_EQ(0, block_alloc(&heap, 2 * HUGE_BYTES, &block));
	memset(block, 1, 2 * HUGE_BYTES);
	EXPECT_TRUE(all_bytes(block, 2 * HUGE_BYTES, 1));
	EXPECT_EQ(HUGE_BYTES, huge_bytes(block));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* Large blocks of a growable heap have a mapping of their own. */
TEST_F(huge, block_with_own_region)
{
	struct heap heap;
	char *blocks[3];
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .policy = PRIVHEAP_POLICY_HUGE));
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		ASSERT_EQ(0, block_alloc(&heap, 2 * HUGE_BYTES + 1, &blocks[i]));
		memset(blocks[i], i + 1, 2 * HUGE_BYTES + 1);
		EXPECT_EQ(2 * HUGE_BYTES, huge_bytes(blocks[i]));
	}
	ASSERT_EQ(0, block_free(&heap, blocks[1]));
	EXPECT_EQ(SIGSEGV, touch_read(blocks[1]));
	EXPECT_TRUE(all_bytes(blocks[0], 2 * HUGE_BYTES + 1, 1));
	EXPECT_TRUE(all_bytes(blocks[2], 2 * HUGE_BYTES + 1, 3));
	EXPECT_EQ(0, heap_destroy(&heap));
}

TEST_F(huge, moved_by_realloc)
{
	char *block = self->halves[0];

	pattern_fill(block, HUGE_BYTES / 2, 3);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, HUGE_BYTES, 0));
	EXPECT_NE(self->halves[0], block);
	EXPECT_TRUE(pattern_check(block, HUGE_BYTES / 2, 3));
	memset(block, 1, HUGE_BYTES);
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[0]));
}

/* System calls see huge pages as they see others. */
TEST_F(huge, used_by_system_calls)
{
	struct iovec range = { self->halves[0] + HUGE_BYTES / 2, 4 * self->page };
	static char text[64];
	struct iovec there = { self->halves[1] - 32, sizeof(text) };
	struct iovec here = { text, sizeof(text) };
	int ends[2];

	pattern_fill(self->halves[0], HUGE_BYTES, 2);
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ((ssize_t)(4 * self->page), vmsplice(ends[1], &range, 1, 0));
	ASSERT_EQ((ssize_t)(4 * self->page),
		  read(ends[0], self->halves[2], 4 * self->page));
	EXPECT_EQ(0, memcmp(self->halves[2], range.iov_base, 4 * self->page));
	pattern_fill(text, sizeof(text), 5);
	EXPECT_EQ((ssize_t)sizeof(text),
		  process_vm_writev(getpid(), &here, 1, &there, 1, 0));
	EXPECT_TRUE(pattern_check(self->halves[1] - 32, sizeof(text), 5));
	EXPECT_EQ(2 * HUGE_BYTES, huge_bytes(self->halves[0]));
}

TEST_F(huge, prefault_maps_huge_pages)
{
	ASSERT_EQ(0, block_free(&self->heap, self->halves[3]));
	EXPECT_EQ(HUGE_BYTES,
		  heap_prefault(&self->heap, self->halves[0], HUGE_BYTES));
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
	EXPECT_EQ(HUGE_BYTES, mapping_rss(self->halves[0]));
	EXPECT_EQ(HUGE_BYTES / 2,
		  heap_prefault(&self->heap, self->halves[2], HUGE_BYTES / 2));
	expect_state(_metadata, self, -(long)HUGE_BYTES / 2, 3 * HUGE_BYTES / 2);
	EXPECT_EQ(3 * HUGE_BYTES / 2, mapping_rss(self->halves[0]));
}

/* With a page table in the way the huge page is mapped page by page. */
TEST_F(huge, prefault_maps_each_page)
{
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	self->halves[0][0] = 1;
	ASSERT_EQ(0, block_free(&self->heap, self->halves[0]));
	ASSERT_EQ(0, block_alloc_with(&self->heap, HUGE_BYTES / 2, HUGE_BYTES / 2,
				      0, &self->halves[0]));
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_HUGE, 0));
	EXPECT_EQ(HUGE_BYTES,
		  heap_prefault(&self->heap, self->halves[0], HUGE_BYTES));
	expect_state(_metadata, self, 0, HUGE_BYTES);
	EXPECT_EQ(0, huge_bytes(self->halves[0]));
	EXPECT_EQ(HUGE_BYTES, mapping_rss(self->halves[0]));
}

/* When a part goes */

/* What is freed is not there any more, what is not is what it was. */
TEST_F(huge, part_freed)
{
	pattern_fill(self->halves[0], HUGE_BYTES / 2, 1);
	pattern_fill(self->halves[1], HUGE_BYTES / 2, 2);
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
	ASSERT_EQ(0, block_free(&self->heap, self->halves[0]));
	expect_state(_metadata, self, -(long)HUGE_BYTES / 2, HUGE_BYTES / 2);
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[0]));
	EXPECT_EQ(SIGSEGV, touch_write(self->halves[1] - 1));
	EXPECT_EQ(0, huge_bytes(self->halves[1]));
	EXPECT_TRUE(pattern_check(self->halves[1], HUGE_BYTES / 2, 2));
	pattern_fill(self->halves[1], HUGE_BYTES / 2, 3);
	EXPECT_TRUE(pattern_check(self->halves[1], HUGE_BYTES / 2, 3));
	EXPECT_EQ(HUGE_BYTES / 2, mapping_rss(self->halves[1]));
	ASSERT_EQ(0, block_free(&self->heap, self->halves[1]));
	expect_state(_metadata, self, -(long)HUGE_BYTES, 0);
	EXPECT_EQ(0, mapping_rss(self->halves[0]));
}

/* Where the program wants no huge pages: memory comes as before, but page by page. */
TEST_F(huge, switched_off_by_program)
{
	long faults;
	size_t i;

	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	faults = nr_faults();
	for (i = 0; i < HUGE_BYTES; i += self->page)
		self->halves[0][i] = 1;
	EXPECT_LE(faults + (long)(HUGE_BYTES / self->page), nr_faults());
	EXPECT_EQ(0, huge_bytes(self->halves[0]));
	EXPECT_EQ(HUGE_BYTES, mapping_rss(self->halves[0]));
	expect_state(_metadata, self, 0, HUGE_BYTES);
	EXPECT_EQ(HUGE_BYTES, heap_prefault(&self->heap, self->halves[2], HUGE_BYTES));
	EXPECT_EQ(0, huge_bytes(self->halves[0]));
	ASSERT_EQ(0, block_free(&self->heap, self->halves[1]));
	expect_state(_metadata, self, -(long)HUGE_BYTES / 2, 3 * HUGE_BYTES / 2);
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[1]));
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	self->halves[4][0] = 1;
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
	ASSERT_EQ(0, madvise(self->heap.base, self->heap.region_bytes,
			     MADV_NOHUGEPAGE));
	self->halves[6][0] = 1;
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
	expect_state(_metadata, self, -(long)HUGE_BYTES / 2, 5 * HUGE_BYTES / 2 +
		     WINDOW_PAGES * (long)self->page);
}

/* A range that ends in the middle of huge pages on both sides. */
TEST_F(huge, part_of_two_freed)
{
	size_t i, largest;
	char *block;

	for (i = 1; i < 5; i++) {
		ASSERT_EQ(0, block_free(&self->heap, self->halves[i]));
	}
	ASSERT_EQ(0, block_alloc_with(&self->heap, 2 * HUGE_BYTES, HUGE_BYTES / 2,
				      0, &block));
	ASSERT_EQ(self->halves[1], block);
	memset(self->halves[0], 1, HUGE_BYTES / 2);
	memset(block, 2, 2 * HUGE_BYTES);
	memset(self->halves[5], 3, HUGE_BYTES / 2);
	expect_state(_metadata, self, 0, 3 * HUGE_BYTES);
	EXPECT_EQ(3 * HUGE_BYTES, huge_bytes(block));
	ASSERT_EQ(0, block_free(&self->heap, block));
	/* It was freed twice, which may be a wave. */
	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	expect_state(_metadata, self, -2L * HUGE_BYTES, HUGE_BYTES);
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[1]));
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[5] - 1));
	EXPECT_TRUE(all_bytes(self->halves[0], HUGE_BYTES / 2, 1));
	EXPECT_TRUE(all_bytes(self->halves[5], HUGE_BYTES / 2, 3));
}

/* What is allocated again where a part was freed is another's no more. */
TEST_F(huge, part_used_again)
{
	char *block;

	memset(self->halves[0], 1, HUGE_BYTES);
	ASSERT_EQ(0, block_free(&self->heap, self->halves[1]));
	ASSERT_EQ(0, block_alloc_with(&self->heap, HUGE_BYTES / 2, HUGE_BYTES / 2,
				      PRIVHEAP_ALLOC_F_ZERO, &block));
	ASSERT_EQ(self->halves[1], block);
	EXPECT_TRUE(all_bytes(block, HUGE_BYTES / 2, 0));
	EXPECT_TRUE(all_bytes(self->halves[0], HUGE_BYTES / 2, 1));
	expect_state(_metadata, self, 0, HUGE_BYTES);
}

/*
 * While somebody holds it, a huge page stays where it is, as a whole, and is paid for
 * as a whole. What the program writes is what the other one sees.
 */
TEST_F(huge, part_freed_while_pinned)
{
	struct iovec range = { self->halves[1], 4 * self->page };
	char *other = mmap(NULL, 4 * self->page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t largest;
	int ends[2];

	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, pipe(ends));
	pattern_fill(self->halves[0], HUGE_BYTES, 1);
	ASSERT_EQ((ssize_t)(4 * self->page), vmsplice(ends[1], &range, 1, 0));
	ASSERT_EQ(0, block_free(&self->heap, self->halves[0]));
	expect_state(_metadata, self, 0, HUGE_BYTES);
	pattern_fill(self->halves[1], HUGE_BYTES / 2, 2);
	ASSERT_EQ((ssize_t)(4 * self->page),
		  read(ends[0], other, 4 * self->page));
	EXPECT_TRUE(pattern_check(other, 4 * self->page, 2));
	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	expect_state(_metadata, self, -(long)HUGE_BYTES / 2, HUGE_BYTES / 2);
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[0]));
	EXPECT_TRUE(pattern_check(self->halves[1], HUGE_BYTES / 2, 2));
}

/* What the program decommits is zero when it commits it again, even so. */
TEST_F(huge, part_decommitted_while_pinned)
{
	struct iovec range = { self->halves[1], self->page };
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	memset(self->halves[0], 1, HUGE_BYTES);
	ASSERT_EQ((ssize_t)self->page, vmsplice(ends[1], &range, 1, 0));
	EXPECT_EQ(64 * KIB,
		  heap_decommit(&self->heap, self->halves[0], 64 * KIB));
	expect_state(_metadata, self, 0, HUGE_BYTES);
	EXPECT_EQ(64 * KIB, heap_commit(&self->heap, self->halves[0], 64 * KIB));
	EXPECT_TRUE(all_bytes(self->halves[0], 64 * KIB, 0));
	EXPECT_TRUE(all_bytes(self->halves[0] + 64 * KIB, HUGE_BYTES - 64 * KIB, 1));
	expect_state(_metadata, self, 0, HUGE_BYTES);
}

TEST_F(huge, part_decommitted)
{
	memset(self->halves[0], 1, HUGE_BYTES);
	EXPECT_EQ(64 * KIB,
		  heap_decommit(&self->heap, self->halves[0], 64 * KIB));
	expect_state(_metadata, self, -64L * KIB, HUGE_BYTES - 64 * KIB);
	EXPECT_EQ(SIGSEGV, touch_read(self->halves[0]));
	EXPECT_TRUE(all_bytes(self->halves[0] + 64 * KIB, HUGE_BYTES - 64 * KIB, 1));
	EXPECT_EQ(64 * KIB, heap_commit(&self->heap, self->halves[0], 64 * KIB));
	EXPECT_TRUE(all_bytes(self->halves[0], 64 * KIB, 0));
	expect_state(_metadata, self, 0, HUGE_BYTES);
}

TEST_F(huge, reset_gives_all_back)
{
	char *block;
	size_t kept;

	memset(self->halves[0], 1, NR_HUGE * HUGE_BYTES);
	expect_state(_metadata, self, 0, NR_HUGE * HUGE_BYTES);
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	EXPECT_EQ(0, kept);
	ASSERT_EQ(0, take_first(&self->heap));
	expect_state(_metadata, self, -(long)(NR_HUGE * HUGE_BYTES), 0);
	ASSERT_EQ(0, block_alloc_with(&self->heap, HUGE_BYTES, HUGE_BYTES,
				      PRIVHEAP_ALLOC_F_ZERO, &block));
	EXPECT_TRUE(all_bytes(block, HUGE_BYTES, 0));
	EXPECT_EQ(HUGE_BYTES, huge_bytes(block));
}

/* One and a half huge pages stay, and are used again. */
TEST_F(huge, reset_keeps_a_part)
{
	long keep = 3 * HUGE_BYTES / 2;
	size_t kept;

	memset(self->halves[0], 1, NR_HUGE * HUGE_BYTES);
	ASSERT_EQ(0, heap_reset(&self->heap, keep, &kept));
	EXPECT_EQ(keep, kept);
	ASSERT_EQ(0, take_first(&self->heap));
	expect_state(_metadata, self, keep - (long)(NR_HUGE * HUGE_BYTES), keep);
	ASSERT_EQ(0, heap_destroy(&self->heap));
}

/* While a thread writes to one half, the other comes and goes. */
struct writer {
	char *start;
	size_t page;
	bool stop;
	unsigned long nr_lost;
};

static void *write_half(void *arg)
{
	struct writer *writer = arg;
	unsigned long *word, round, i;

	for (round = 1; !__atomic_load_n(&writer->stop, __ATOMIC_RELAXED); round++) {
		for (i = 0; i < HUGE_BYTES / 2; i += writer->page) {
			word = (unsigned long *)(writer->start + i);
			writer->nr_lost += *word != round - 1;
			*word = round;
		}
	}
	return NULL;
}

TEST_F(huge, part_freed_under_writer)
{
	struct writer writer = {
		.start = self->halves[0], .page = self->page,
	};
	pthread_t thread;
	unsigned int i;
	size_t kept;

	/* What the process recycles may hold anything. */
	memset(writer.start, 0, HUGE_BYTES / 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_half, &writer));
	for (i = 0; i < scaled(60); i++) {
		self->halves[1][i] = 1;
		ASSERT_EQ(0, block_free(&self->heap, self->halves[1]));
		ASSERT_EQ(0, block_alloc_with(&self->heap, HUGE_BYTES / 2,
					      HUGE_BYTES / 2, 0,
					      &self->halves[1]));
	}
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, writer.nr_lost);
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
}

/*
 * Blocks that share a chunk which nobody has touched. One of them is touched for the
 * first time while the other, which is long so that this takes a while, is freed.
 */
#define NR_LONG		128

struct toucher {
	pthread_barrier_t barrier;
	char *block;
	unsigned int nr_rounds;
};

static void *touch_first(void *arg)
{
	struct toucher *toucher = arg;
	unsigned int round;

	for (round = 0; round < toucher->nr_rounds; round++) {
		pthread_barrier_wait(&toucher->barrier);
		memset(toucher->block, round % 100 + 1, HUGE_BYTES / 2);
		pthread_barrier_wait(&toucher->barrier);
	}
	return NULL;
}

TEST_F_TIMEOUT(huge, neighbour_freed_at_first_touch, 300)
{
	struct toucher toucher = { .nr_rounds = scaled(300) };
	size_t bytes = NR_LONG * HUGE_BYTES + HUGE_BYTES / 2;
	volatile unsigned int wait;
	struct privheap_stat stat;
	unsigned int round;
	pthread_t thread;
	char *block;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .max_bytes = (NR_LONG + 1) * HUGE_BYTES,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, pthread_barrier_init(&toucher.barrier, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_first, &toucher));
	for (round = 0; round < toucher.nr_rounds; round++) {
		ASSERT_EQ(0, block_alloc(&self->heap, bytes, &block));
		ASSERT_EQ(0, block_alloc(&self->heap, HUGE_BYTES / 2,
					 &toucher.block));
		ASSERT_EQ(block + bytes, toucher.block);
		pthread_barrier_wait(&toucher.barrier);
		for (wait = round % 64 * 1000; wait; wait--)
			;
		EXPECT_EQ(0, block_free(&self->heap, block));
		pthread_barrier_wait(&toucher.barrier);
		EXPECT_TRUE(all_bytes(toucher.block, HUGE_BYTES / 2, round % 100 + 1));
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		EXPECT_EQ(HUGE_BYTES / 2, stat.out_committed_bytes);
		EXPECT_EQ(HUGE_BYTES / 2, stat.out_resident_bytes);
		ASSERT_EQ(0, block_free(&self->heap, toucher.block));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	pthread_barrier_destroy(&toucher.barrier);
}

/* Threads that touch a heap that is being emptied find memory or SIGSEGV. */
static void *touch_halves(void *arg)
{
	FIXTURE_DATA(huge) *self = arg;
	unsigned int i;

	for (i = 0; i < scaled(400); i++) {
		if (touch_write(self->halves[0] + i % NR_HUGE * HUGE_BYTES) == -1)
			return "wrong address";
	}
	return NULL;
}

TEST_F(huge, reset_while_touched)
{
	struct privheap_stat stat;
	pthread_t thread;
	unsigned int i;
	void *failed;
	size_t kept;

	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_halves, self));
	for (i = 0; i < scaled(40); i++) {
		char *block;

		ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
		ASSERT_EQ(0, take_first(&self->heap));
		ASSERT_EQ(0, block_alloc_with(&self->heap, NR_HUGE * HUGE_BYTES,
					      HUGE_BYTES, 0, &block));
		ASSERT_EQ(self->halves[0], block);
	}
	ASSERT_EQ(0, pthread_join(thread, &failed));
	EXPECT_EQ(NULL, failed);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_LE(stat.out_resident_bytes, stat.out_committed_bytes);
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_resident_bytes);
	EXPECT_EQ(0, stat.out_committed_bytes);
}

/* Choosing it */

TEST_F(huge, only_at_create)
{
	struct privheap_stat stat;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .policy = PRIVHEAP_POLICY_PAGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(-EOPNOTSUPP, heap_policy(&heap, PRIVHEAP_POLICY_HUGE, 0));
	EXPECT_HEAP_STAT(&stat, &heap);
}

TEST_F(huge, changed_and_back)
{
	struct privheap_stat stat;

	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	self->halves[0][0] = 1;
	expect_state(_metadata, self, 0, self->page);
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_ADAPTIVE, 16));
	memset(self->halves[0], 1, HUGE_BYTES);
	expect_state(_metadata, self, 0, HUGE_BYTES);
	EXPECT_EQ(0, huge_bytes(self->halves[0]));
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_HUGE, 0));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(PRIVHEAP_POLICY_HUGE, stat.out_policy);
	EXPECT_EQ(WINDOW_PAGES, stat.out_window_pages);
	self->halves[2][0] = 1;
	expect_state(_metadata, self, 0, 2 * HUGE_BYTES);
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
}

/* Where there is none */

/* A cgroup that has no room for a huge page has some for small ones. */
static void child_touches_at_limit(struct __test_metadata *_metadata,
				   FIXTURE_DATA(huge) *self,
				   const struct cgroup *cgroup)
{
	char text[32];

	ASSERT_EQ(0, cgroup_enter(cgroup));
	close(self->fd);
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	make_halves(_metadata, self);
	snprintf(text, sizeof(text), "%ld",
		 cgroup_bytes(cgroup) + (long)(3 * MIB / 2));
	ASSERT_EQ(0, cgroup_set(cgroup, "memory.max", text));
	self->halves[0][HUGE_BYTES / 4] = 1;
	expect_state(_metadata, self, 0, WINDOW_PAGES * self->page);
	EXPECT_EQ(0, huge_bytes(self->halves[0]));
	EXPECT_EQ(0, count_faults(&self->heap, HUGE_ORDER));
	EXPECT_EQ(1, count_faults(&self->heap, WINDOW_ORDER));
	EXPECT_EQ(0, cgroup_events(cgroup, "oom_kill"));
	ASSERT_EQ(0, cgroup_set(cgroup, "memory.max", "max"));
	self->halves[2][0] = 1;
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
	EXPECT_EQ(1, count_faults(&self->heap, HUGE_ORDER));
	EXPECT_EQ(1, count_faults(&self->heap, WINDOW_ORDER));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	close(self->fd);
}

TEST_F(huge, falls_back_at_cgroup_limit)
{
	struct cgroup cgroup;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_touches_at_limit(_metadata, self, &cgroup);
		_exit(_metadata->exit_code != KSFT_PASS);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_EQ(0, cgroup_destroy(&cgroup));
}

/* Takes most of the machine's memory, and gives all but a page in 64 back. */
static char *fragment_memory(size_t page, size_t *bytes)
{
	size_t available, i;
	char *memory, *line;

	if (file_read("/proc/meminfo", proc_text, sizeof(proc_text)) < 0)
		return MAP_FAILED;
	line = strstr(proc_text, "MemAvailable:");
	if (!line)
		return MAP_FAILED;
	available = strtoul(line + strlen("MemAvailable:"), NULL, 10) * KIB;
	*bytes = (available - 128 * MIB) / HUGE_BYTES * HUGE_BYTES;
	memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, *bytes, MADV_NOHUGEPAGE) ||
	    madvise(memory, *bytes, MADV_POPULATE_WRITE))
		return MAP_FAILED;
	for (i = 0; i < *bytes; i += WINDOW_PAGES * page) {
		if (madvise(memory + i + page, (WINDOW_PAGES - 1) * page,
			    MADV_DONTNEED))
			return MAP_FAILED;
	}
	return memory;
}

/* No touch fails, though huge pages run out; and there are some again after that. */
TEST_F_TIMEOUT(huge, falls_back_under_fragmentation, 300)
{
	size_t i, fragments, nr_without = 0, nr = 320;
	long before, resident, proactiveness;
	char *memory, *block, text[32];
	struct privheap_stat stat;

	proactiveness = file_number(PROACTIVENESS);
	ASSERT_LE(0, proactiveness);
	ASSERT_EQ(0, file_write(PROACTIVENESS, "0"));
	memory = fragment_memory(self->page, &fragments);
	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .max_bytes = (nr + 1) * HUGE_BYTES,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, take_first(&self->heap));
	ASSERT_EQ(0, block_alloc_with(&self->heap, nr * HUGE_BYTES, HUGE_BYTES, 0,
				      &block));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	before = stat.out_resident_bytes;
	for (i = 0; i < nr && !nr_without; i++) {
		block[i * HUGE_BYTES] = 1;
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		resident = stat.out_resident_bytes - before;
		before = stat.out_resident_bytes;
		EXPECT_EQ(1, block[i * HUGE_BYTES]);
		if (resident == HUGE_BYTES)
			continue;
		nr_without++;
		EXPECT_LE((long)self->page, resident);
		EXPECT_GE(WINDOW_PAGES * (long)self->page, resident);
		memset(block + i * HUGE_BYTES, 2, HUGE_BYTES);
		EXPECT_TRUE(all_bytes(block + i * HUGE_BYTES, HUGE_BYTES, 2));
	}
	EXPECT_EQ(1, nr_without);
	EXPECT_EQ((long)i - 1, count_faults(&self->heap, HUGE_ORDER));
	munmap(memory, fragments);
	snprintf(text, sizeof(text), "%ld", proactiveness);
	ASSERT_EQ(0, file_write(PROACTIVENESS, text));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	make_halves(_metadata, self);
	self->halves[0][0] = 1;
	EXPECT_EQ(HUGE_BYTES, huge_bytes(self->halves[0]));
}

TEST_HARNESS_MAIN
