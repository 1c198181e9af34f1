// SPDX-License-Identifier: GPL-2.0-only
/*
 * The limits of heaps, processes and users: hard, soft, grace, and what happens
 * when they are changed and when many commit at once.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/sysinfo.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define BLOCK_BYTES	(64 * KIB)
#define NONE		PRIVHEAP_LIMIT_NONE
#define HARD		PRIVHEAP_LIMIT_F_HARD
#define SOFT		PRIVHEAP_LIMIT_F_SOFT
#define GRACE		PRIVHEAP_LIMIT_F_GRACE

FIXTURE(limits) {
	int fd;
	struct heap heap;
};

FIXTURE_SETUP(limits)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .limit_bytes = MIB));
}

FIXTURE_TEARDOWN(limits)
{
	close(self->fd);
}

/* Allocates until that fails, with @flags, and returns why. */
static int fill_with(const struct heap *heap, __u32 flags)
{
	char *block;
	int ret;

	do {
		ret = block_alloc_with(heap, BLOCK_BYTES, 0, flags, &block);
	} while (!ret);
	return ret;
}

/* What a call told about soft limits; a negative errno if it failed. */
static long alloc_notice(const struct heap *heap, size_t bytes, char **block)
{
	struct privheap_alloc arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.bytes = bytes,
	};
	int ret = privheap_ioctl(heap->fd, PRIVHEAP_IOC_ALLOC, &arg);

	*block = (char *)(uintptr_t)arg.out_addr;
	return ret ? ret : (long)arg.out_notice;
}

static long realloc_notice(const struct heap *heap, char **block, size_t bytes)
{
	struct privheap_realloc arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.addr = (uintptr_t)*block,
		.bytes = bytes,
	};
	int ret = privheap_ioctl(heap->fd, PRIVHEAP_IOC_REALLOC, &arg);

	*block = (char *)(uintptr_t)arg.out_addr;
	return ret ? ret : (long)arg.out_notice;
}

TEST_F(limits, read_of_new_heap)
{
	struct privheap_limit limit;
	struct heap free_one;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(MIB, limit.out_hard_bytes);
	EXPECT_EQ(NONE, limit.out_soft_bytes);
	EXPECT_EQ(0, limit.out_grace_bytes);
	EXPECT_EQ(MIB, limit.out_ceiling_bytes);
	EXPECT_EQ(page_bytes(), limit.out_usage_bytes);
	EXPECT_EQ(page_bytes(), limit.out_peak_bytes);
	EXPECT_EQ(0, limit.out_nr_failures);
	EXPECT_EQ(0, limit.out_nr_soft_hits);

	ASSERT_EQ(0, heap_create(&free_one, self->fd));
	ASSERT_EQ(0, heap_limit(&free_one, &limit));
	EXPECT_EQ(NONE, limit.out_hard_bytes);
	EXPECT_EQ(NONE, limit.out_ceiling_bytes);
}

TEST_F(limits, read_of_heap_created_with_all)
{
	struct privheap_limit limit;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .limit_bytes = MIB + 1,
				 .soft_bytes = MIB / 2 + 1,
				 .grace_bytes = MIB / 4 + 1));
	ASSERT_EQ(0, heap_limit(&heap, &limit));
	EXPECT_EQ(MIB, limit.out_hard_bytes);
	EXPECT_EQ(MIB / 2, limit.out_soft_bytes);
	EXPECT_EQ(MIB / 4 + page_bytes(), limit.out_grace_bytes);
}

TEST_F(limits, create_with_bad_limits)
{
	struct privheap_info info;
	struct heap heap;
	__u64 too_much;

	ASSERT_EQ(0, privheap_info(self->fd, &info));
	too_much = info.out_max_bytes + 1;
	EXPECT_EQ(-EINVAL, heap_create(&heap, self->fd, .limit_bytes = MIB,
				       .soft_bytes = MIB + page_bytes()));
	EXPECT_EQ(-EINVAL, heap_create(&heap, self->fd, .limit_bytes = MIB,
				       .grace_bytes = MIB + 1));
	EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
					  .soft_bytes = too_much));
	EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
					  .grace_bytes = too_much));
	/* The initial size is not taken from the grace. */
	EXPECT_EQ(-EDQUOT, heap_create(&heap, self->fd, .limit_bytes = MIB,
				       .initial_bytes = MIB, .grace_bytes = 1));
	EXPECT_EQ(1, maps_heaps());
}

/* One thing is wrong in each; nothing changes. */
TEST_F(limits, set_with_bad_values)
{
	const struct {
		int err;
		struct privheap_limit arg;
	} cases[] = {
		{ EINVAL, { .flags = SOFT, .soft_bytes = MIB + page_bytes() } },
		{ EINVAL, { .flags = HARD | SOFT, .hard_bytes = MIB / 2,
			    .soft_bytes = MIB } },
		{ EINVAL, { .flags = GRACE, .grace_bytes = MIB + 1 } },
		{ EINVAL, { .flags = HARD | GRACE, .hard_bytes = MIB / 2,
			    .grace_bytes = MIB / 2 + 1 } },
		{ EINVAL, { .flags = HARD, .__reserved = 1 } },
		{ ERANGE, { .flags = HARD, .hard_bytes = MIB + page_bytes() } },
		{ ERANGE, { .flags = HARD, .hard_bytes = NONE } },
		{ EOVERFLOW, { .flags = HARD, .hard_bytes = NONE - 1 } },
		{ EOVERFLOW, { .flags = SOFT, .soft_bytes = 1ULL << 63 } },
		{ EOVERFLOW, { .flags = GRACE, .grace_bytes = NONE } },
		{ EOPNOTSUPP, { .scope = PRIVHEAP_SCOPE_USER } },
		{ EOPNOTSUPP, { .scope = PRIVHEAP_SCOPE_SYSTEM } },
		{ EOPNOTSUPP, { .scope = PRIVHEAP_SCOPE_CGROUP } },
		{ EOPNOTSUPP, { .scope = UINT32_MAX } },
		{ EINVAL, { .scope = PRIVHEAP_SCOPE_PROCESS } },
		{ ENXIO, { .heap = UINT64_MAX } },
	};
	struct privheap_limit before, after, arg;
	unsigned int i;

	ASSERT_EQ(0, heap_limit(&self->heap, &before));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		arg = cases[i].arg;
		arg.scope = arg.scope ?: PRIVHEAP_SCOPE_HEAP;
		arg.heap = arg.heap ?: self->heap.id;
		EXPECT_EQ(-cases[i].err, limit_call(self->fd, &arg)) {
			TH_LOG("case %u", i);
		}
		ASSERT_EQ(0, heap_limit(&self->heap, &after));
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	}
}

TEST_F(limits, raise_up_to_ceiling)
{
	struct privheap_limit limit;
	char *block;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = HARD,
				.hard_bytes = MIB / 2));
	EXPECT_EQ(MIB / 2, limit.out_hard_bytes);
	EXPECT_EQ(MIB, limit.out_ceiling_bytes);
	EXPECT_EQ(-EDQUOT, block_alloc(&self->heap, MIB * 3 / 4, &block));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = HARD,
				.hard_bytes = MIB));
	EXPECT_EQ(0, block_alloc(&self->heap, MIB * 3 / 4, &block));
}

/* The soft limit and the grace go with it, unless they are named. */
TEST_F(limits, lower_hard_lowers_the_others)
{
	struct privheap_limit limit;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = SOFT | GRACE,
				.soft_bytes = MIB * 3 / 4,
				.grace_bytes = MIB / 2));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = HARD,
				.hard_bytes = MIB / 4));
	EXPECT_EQ(MIB / 4, limit.out_hard_bytes);
	EXPECT_EQ(MIB / 4, limit.out_soft_bytes);
	EXPECT_EQ(MIB / 4, limit.out_grace_bytes);
	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = SOFT | GRACE,
				.soft_bytes = NONE));
	EXPECT_EQ(NONE, limit.out_soft_bytes);
	EXPECT_EQ(0, limit.out_grace_bytes);
}

/* No more commits until enough was freed, and no harm to what there is. */
TEST_F(limits, hard_below_usage)
{
	char *blocks[8], *block;
	struct privheap_limit limit;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, block_alloc(&self->heap, BLOCK_BYTES, &blocks[i]));
		pattern_fill(blocks[i], BLOCK_BYTES / 2, i);
	}
	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = HARD,
				.hard_bytes = 4 * BLOCK_BYTES));
	EXPECT_EQ(8 * BLOCK_BYTES, limit.out_usage_bytes);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(-EDQUOT, block_alloc(&self->heap, BLOCK_BYTES, &block));
		/* The half that was never touched can be. */
		EXPECT_EQ(0, touch_write(blocks[i] + BLOCK_BYTES - 1));
		EXPECT_TRUE(pattern_check(blocks[i], BLOCK_BYTES / 2, i));
		ASSERT_EQ(0, block_free(&self->heap, blocks[i]));
	}
	ASSERT_EQ(0, block_alloc(&self->heap, BLOCK_BYTES / 2, &block));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_GE(limit.out_hard_bytes, limit.out_usage_bytes);
	EXPECT_EQ(8 * BLOCK_BYTES, limit.out_peak_bytes);
	EXPECT_EQ(5, limit.out_nr_failures);
}

/* A call that does with fewer pages than it would have liked was not refused. */
TEST_F(limits, failures_are_calls_that_failed)
{
	struct privheap_limit limit;
	unsigned int nr;
	char *block;
	int ret;

	/* Spans become longer the more there are, and at the limit short again. */
	for (nr = 0; !(ret = block_alloc(&self->heap, 1000, &block)); nr++) {
		ASSERT_EQ(0, heap_limit(&self->heap, &limit));
		ASSERT_EQ(0, limit.out_nr_failures);
	}
	EXPECT_EQ(-EDQUOT, ret);
	EXPECT_LT(MIB / 1024 * 9 / 10, nr);
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(1, limit.out_nr_failures);
	EXPECT_EQ(-EDQUOT, block_realloc(&self->heap, &block, MIB, 0));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(2, limit.out_nr_failures);
}

TEST_F(limits, idle_pages_make_room_without_a_failure)
{
	struct privheap_limit limit;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
				 .limit_bytes = MIB, .idle_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&heap, MIB / 2, &block));
	memset(block, 1, MIB / 2);
	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, heap_limit(&heap, &limit));
	EXPECT_LE(MIB / 2, limit.out_usage_bytes);
	ASSERT_EQ(0, block_alloc(&heap, MIB - 64 * KIB, &block));
	ASSERT_EQ(0, heap_limit(&heap, &limit));
	EXPECT_EQ(0, limit.out_nr_failures);
	EXPECT_EQ(0, heap_destroy(&heap));
}

/*
 * A heap that is at its limit, with a part of its pages idle, and a process that is at
 * its own, with idle pages in another heap. The idle pages of the heap lie in front of
 * what it commits next, or where that will be.
 */
static void fill_with_idle(struct __test_metadata *_metadata, int fd, bool in_front,
			   struct heap *heap, struct heap *other)
{
	struct privheap_limit limit;
	char *block, *used;

	ASSERT_EQ(0, heap_create(other, fd, .max_bytes = 4 * MIB,
				 .idle_bytes = 2 * MIB));
	ASSERT_EQ(0, block_alloc(other, 2 * MIB, &block));
	memset(block, 1, 2 * MIB);
	ASSERT_EQ(0, block_free(other, block));
	ASSERT_EQ(0, heap_create(heap, fd, .max_bytes = 16 * MIB,
				 .limit_bytes = 4 * MIB, .idle_bytes = MIB));
	if (!in_front) {
		ASSERT_EQ(0, block_alloc(heap, 3 * MIB, &used));
	}
	ASSERT_EQ(0, block_alloc(heap, MIB / 2, &block));
	memset(block, 1, MIB / 2);
	if (in_front) {
		ASSERT_EQ(0, block_alloc(heap, 3 * MIB, &used));
	}
	ASSERT_EQ(0, block_free(heap, block));
	ASSERT_EQ(0, process_limit(fd, &limit));
	ASSERT_EQ(0, process_limit(fd, &limit, .flags = HARD,
				   .hard_bytes = limit.out_usage_bytes));
}

static void expect_room_made(struct __test_metadata *_metadata, int fd,
			     const struct heap *heap, const struct heap *other)
{
	struct privheap_limit limit;
	struct privheap_stat stat;
	char *block;

	ASSERT_EQ(0, block_alloc(heap, MIB - BLOCK_BYTES, &block));
	memset(block, 1, MIB - BLOCK_BYTES);
	ASSERT_EQ(0, heap_stat(heap, &stat));
	EXPECT_EQ(0, stat.out_idle_bytes);
	/* The page that is kept for life may be no block's. */
	EXPECT_LE(4 * MIB - BLOCK_BYTES, stat.out_committed_bytes);
	EXPECT_GE(4 * MIB - BLOCK_BYTES + page_bytes(), stat.out_committed_bytes);
	EXPECT_EQ(0, stat.out_nr_limit_failures);
	ASSERT_EQ(0, heap_stat(other, &stat));
	EXPECT_EQ(0, stat.out_idle_bytes);
	ASSERT_EQ(0, process_limit(fd, &limit));
	EXPECT_EQ(0, limit.out_nr_failures);
	EXPECT_GE(limit.out_hard_bytes, limit.out_usage_bytes);
}

/* The heap's limit refuses, and when there is room below that the one of the process. */
TEST_F(limits, idle_pages_of_others_go_after_own_ones)
{
	struct heap heap, other;

	fill_with_idle(_metadata, self->fd, true, &heap, &other);
	expect_room_made(_metadata, self->fd, &heap, &other);
}

/* Idle pages that go and are committed again make no room. */
TEST_F(limits, idle_pages_in_the_range_make_no_room)
{
	struct heap heap, other;

	fill_with_idle(_metadata, self->fd, false, &heap, &other);
	expect_room_made(_metadata, self->fd, &heap, &other);
}

/* What a heap itself costs is refused no sooner than pages are. */
TEST_F(limits, idle_pages_make_room_for_a_heap)
{
	struct privheap_limit limit;
	struct heap heap, other;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
				 .idle_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&heap, MIB / 2, &block));
	memset(block, 1, MIB / 2);
	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = HARD,
				   .hard_bytes = limit.out_usage_bytes));
	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB));
	EXPECT_EQ(0, heap_check_works(&other));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(0, limit.out_nr_failures);
}

/* The page that each heap counts as has no other charge beside it here. */
TEST_F(limits, soft_limit_is_crossed_by_a_heap_itself)
{
	struct privheap_limit limit;
	struct heap heap;

	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = SOFT,
				   .soft_bytes = limit.out_usage_bytes));
	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(1, limit.out_nr_soft_hits);
	EXPECT_EQ(limit.out_soft_bytes + page_bytes(), limit.out_usage_bytes);
	EXPECT_EQ(0, heap_destroy(&heap));
}

TEST_F(limits, soft_limit_is_told_when_it_is_crossed)
{
	struct privheap_limit limit;
	char *first, *second;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = SOFT,
				.soft_bytes = BLOCK_BYTES + page_bytes()));
	/* Up to it is not across it. */
	EXPECT_EQ(0, alloc_notice(&self->heap, BLOCK_BYTES, &first));
	EXPECT_EQ(PRIVHEAP_NOTICE_SOFT(PRIVHEAP_SCOPE_HEAP),
		  alloc_notice(&self->heap, BLOCK_BYTES, &second));
	/* Once, ... */
	EXPECT_EQ(0, realloc_notice(&self->heap, &second, 2 * BLOCK_BYTES));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(1, limit.out_nr_soft_hits);
	/* ... and again when the usage has been below it. */
	ASSERT_EQ(0, block_free(&self->heap, second));
	EXPECT_EQ(PRIVHEAP_NOTICE_SOFT(PRIVHEAP_SCOPE_HEAP),
		  realloc_notice(&self->heap, &first, 3 * BLOCK_BYTES));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(2, limit.out_nr_soft_hits);
}

TEST_F(limits, soft_limit_of_process_is_told)
{
	struct privheap_limit limit;
	char *block;

	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = SOFT,
				   .soft_bytes = limit.out_usage_bytes +
						 BLOCK_BYTES));
	EXPECT_EQ(0, alloc_notice(&self->heap, BLOCK_BYTES, &block));
	EXPECT_EQ(PRIVHEAP_NOTICE_SOFT(PRIVHEAP_SCOPE_PROCESS),
		  alloc_notice(&self->heap, 5 * page_bytes(), &block));
	EXPECT_EQ(0, alloc_notice(&self->heap, 5 * page_bytes(), &block));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(1, limit.out_nr_soft_hits);
}

/* A call that is refused by another limit has crossed nothing. */
TEST_F(limits, soft_limit_is_not_crossed_by_a_refused_call)
{
	struct privheap_limit limit;
	char *block;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = SOFT,
				.soft_bytes = MIB / 4));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = HARD,
				   .hard_bytes = MIB / 2));
	EXPECT_EQ(-EDQUOT, alloc_notice(&self->heap, MIB * 3 / 4, &block));
	EXPECT_EQ(0, alloc_notice(&self->heap, BLOCK_BYTES, &block));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_EQ(0, limit.out_nr_soft_hits);
}

TEST_F(limits, grace_is_for_those_who_ask)
{
	struct privheap_limit limit;
	char *block;

	ASSERT_EQ(0, heap_limit(&self->heap, &limit, .flags = GRACE,
				.grace_bytes = 3 * BLOCK_BYTES));
	EXPECT_EQ(-EDQUOT, fill_with(&self->heap, 0));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_GE(MIB - 3 * BLOCK_BYTES, limit.out_usage_bytes);
	EXPECT_LT(MIB - 4 * BLOCK_BYTES, limit.out_usage_bytes);
	ASSERT_EQ(0, block_alloc_with(&self->heap, BLOCK_BYTES, 0,
				      PRIVHEAP_ALLOC_F_GRACE, &block));
	EXPECT_EQ(-EDQUOT, block_realloc(&self->heap, &block, 2 * BLOCK_BYTES, 0));
	EXPECT_EQ(0, block_realloc(&self->heap, &block, BLOCK_BYTES / 2, 0));
	EXPECT_EQ(0, block_realloc(&self->heap, &block, BLOCK_BYTES,
				   PRIVHEAP_REALLOC_F_GRACE));
	EXPECT_EQ(-EDQUOT, fill_with(&self->heap, PRIVHEAP_ALLOC_F_GRACE));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit));
	EXPECT_GE(MIB, limit.out_usage_bytes);
	EXPECT_LT(MIB - BLOCK_BYTES, limit.out_usage_bytes);
}

/* A thread that is refused without the grace while another one uses it. */
TEST_F(limits, grace_of_process)
{
	struct privheap_limit limit;
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = HARD | GRACE,
				   .hard_bytes = MIB,
				   .grace_bytes = 2 * BLOCK_BYTES));
	EXPECT_EQ(-EDQUOT, fill_with(&self->heap, 0));
	ASSERT_EQ(0, block_alloc_with(&other, BLOCK_BYTES, 0,
				      PRIVHEAP_ALLOC_F_GRACE, &block));
	/* What is freed of the grace is the grace's again. */
	ASSERT_EQ(0, block_free(&other, block));
	EXPECT_EQ(-EDQUOT, block_alloc(&other, BLOCK_BYTES, &block));
	EXPECT_EQ(0, block_alloc_with(&other, BLOCK_BYTES, 0,
				      PRIVHEAP_ALLOC_F_GRACE, &block));
}

TEST_F(limits, process_counts_all_files_and_heaps)
{
	struct privheap_limit before, limit;
	struct heap heaps[3];
	char *block;
	int fd = privheap_open();
	unsigned int i;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, process_limit(self->fd, &before));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, heap_create(&heaps[i], i & 1 ? fd : self->fd));
		ASSERT_EQ(0, block_alloc(&heaps[i], 7 * page_bytes(), &block));
		ASSERT_EQ(0, process_limit(fd, &limit));
		/* The block, and what a heap costs. */
		EXPECT_EQ(before.out_usage_bytes + 8 * page_bytes() * (i + 1),
			  limit.out_usage_bytes);
	}
	ASSERT_EQ(0, process_limit(fd, &limit, .flags = HARD,
				   .hard_bytes = limit.out_usage_bytes));
	EXPECT_EQ(-EDQUOT, block_alloc(&heaps[0], 5 * page_bytes(), &block));
	EXPECT_EQ(-EDQUOT, heap_create(&heaps[0], self->fd));
	close(fd);
	/* That was the second one. */
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(before.out_usage_bytes + 16 * page_bytes(),
		  limit.out_usage_bytes);
}

TEST_F(limits, process_usage_is_nothing_in_the_end)
{
	struct privheap_limit limit;
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .limit_bytes = MIB));
		EXPECT_EQ(-EDQUOT, fill_with(&heap, 0));
		ASSERT_EQ(0, heap_destroy(&heap));
		ASSERT_EQ(0, process_limit(self->fd, &limit));
		EXPECT_EQ(0, limit.out_usage_bytes);
	}
	EXPECT_LE(MIB, limit.out_peak_bytes);
}

/* A line of /proc/self/fdinfo/FD, or -1. */
static long fdinfo_value(int fd, const char *name)
{
	char path[64], text[1024];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (file_read(path, text, sizeof(text)) < 0)
		return -1;
	line = strstr(text, name);
	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

TEST_F(limits, fdinfo_shows_totals)
{
	size_t page_kib = page_bytes() / KIB;
	struct heap heap;
	char *block;

	EXPECT_EQ(1, fdinfo_value(self->fd, "privheap-heaps:"));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&heap, 10 * page_bytes(), &block));
	memset(block, 1, 10 * page_bytes());
	EXPECT_EQ(2, fdinfo_value(self->fd, "privheap-heaps:"));
	EXPECT_EQ((self->heap.region_bytes + MIB) / KIB,
		  fdinfo_value(self->fd, "privheap-reserved:"));
	EXPECT_EQ(11 * page_kib, fdinfo_value(self->fd, "privheap-committed:"));
	EXPECT_EQ(11 * page_kib, fdinfo_value(self->fd, "privheap-resident:"));
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(1, fdinfo_value(self->fd, "privheap-heaps:"));
	EXPECT_EQ(page_kib, fdinfo_value(self->fd, "privheap-committed:"));
}

/* Many at once */

#define NR_THREADS	8
#define NR_PROCESSES	4
#define NR_BLOCKS	16
/* Less than the threads of one process ask for. */
#define RACE_BYTES	(2 * MIB)
#define NR_REFUSALS	500

/*
 * What is known to be committed: added to after an allocation, taken from before
 * a free. So it never is more than what is charged, and a limit that is exceeded
 * for the least moment while blocks are held shows here.
 */
struct tally {
	atomic_ulong bytes;
	atomic_ulong most;
	atomic_ulong nr_refused;
	atomic_uint nr_ready;
	atomic_bool stop;
	atomic_int err;
};

struct worker {
	struct heap heap;
	struct tally *tally;
	unsigned int seed;
};

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

static void tally_add(struct tally *tally, size_t bytes)
{
	unsigned long now = atomic_fetch_add(&tally->bytes, bytes) + bytes;
	unsigned long most = atomic_load(&tally->most);

	while (most < now &&
	       !atomic_compare_exchange_weak(&tally->most, &most, now))
		;
}

/* Allocates and frees whole pages, few and many, until it is told to stop. */
static void *work(void *data)
{
	char *blocks[NR_BLOCKS] = { NULL };
	size_t bytes[NR_BLOCKS] = { 0 };
	struct worker *worker = data;
	struct tally *tally = worker->tally;
	unsigned int i;
	int ret;

	while (!atomic_load(&tally->stop)) {
		i = next_random(&worker->seed) % NR_BLOCKS;
		if (blocks[i]) {
			atomic_fetch_sub(&tally->bytes, bytes[i]);
			ret = block_free(&worker->heap, blocks[i]);
			blocks[i] = NULL;
		} else {
			bytes[i] = (5 + next_random(&worker->seed) % 20) *
				   page_bytes();
			ret = block_alloc(&worker->heap, bytes[i], &blocks[i]);
			if (!ret)
				tally_add(tally, bytes[i]);
		}
		if (ret == -EDQUOT)
			atomic_fetch_add(&tally->nr_refused, 1);
		else if (ret)
			atomic_store(&tally->err, ret);
	}
	for (i = 0; i < NR_BLOCKS; i++) {
		if (!blocks[i])
			continue;
		atomic_fetch_sub(&tally->bytes, bytes[i]);
		ret = block_free(&worker->heap, blocks[i]);
		if (ret)
			atomic_store(&tally->err, ret);
	}
	return NULL;
}

/* Every worker has a heap of its own. */
static int make_workers(struct worker *workers, int fd, struct tally *tally,
			unsigned int seed)
{
	unsigned int i;
	int ret;

	for (i = 0; i < NR_THREADS; i++) {
		workers[i] = (struct worker){
			.tally = tally,
			.seed = seed + i,
		};
		ret = heap_create(&workers[i].heap, fd);
		if (ret)
			return ret;
	}
	return 0;
}

static int start_workers(struct worker *workers, pthread_t *threads)
{
	unsigned int i;

	for (i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			return -EAGAIN;
	return 0;
}

static void stop_workers(pthread_t *threads, struct tally *tally)
{
	unsigned int i;

	atomic_store(&tally->stop, true);
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

TEST_F_TIMEOUT(limits, threads_race_for_limit_of_process, 120)
{
	struct worker workers[NR_THREADS];
	pthread_t threads[NR_THREADS];
	struct privheap_limit limit;
	struct tally tally = { 0 };
	unsigned int i;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = HARD,
				   .hard_bytes = RACE_BYTES));
	ASSERT_EQ(0, make_workers(workers, self->fd, &tally, 1));
	ASSERT_EQ(0, start_workers(workers, threads));
	do {
		ASSERT_EQ(0, process_limit(self->fd, &limit));
		EXPECT_GE(RACE_BYTES, limit.out_usage_bytes);
		EXPECT_GE(RACE_BYTES, limit.out_peak_bytes);
	} while (limit.out_nr_failures < NR_REFUSALS);
	stop_workers(threads, &tally);
	EXPECT_EQ(0, atomic_load(&tally.err));
	/* Each heap counts as a page; its initial page a block may lie on. */
	EXPECT_GE(RACE_BYTES - NR_THREADS * page_bytes(),
		  atomic_load(&tally.most));
	for (i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, heap_destroy(&workers[i].heap));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(0, limit.out_usage_bytes);
}

/* While it is below the usage, a limit lets the usage only fall. */
TEST_F_TIMEOUT(limits, limit_changes_while_threads_commit, 120)
{
	struct worker workers[NR_THREADS];
	struct privheap_limit limit, later;
	pthread_t threads[NR_THREADS];
	struct tally tally = { 0 };
	unsigned int i, nr_above = 0;

	ASSERT_EQ(0, make_workers(workers, self->fd, &tally, 100));
	ASSERT_EQ(0, start_workers(workers, threads));
	for (i = 0; nr_above < 100; i++) {
		ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = HARD,
					   .hard_bytes = (i % 4 + 1) * MIB / 2));
		ASSERT_EQ(0, process_limit(self->fd, &later));
		if (limit.out_usage_bytes > limit.out_hard_bytes) {
			nr_above++;
			EXPECT_GE(limit.out_usage_bytes, later.out_usage_bytes);
		} else {
			EXPECT_GE(limit.out_hard_bytes, later.out_usage_bytes);
		}
	}
	stop_workers(threads, &tally);
	EXPECT_EQ(0, atomic_load(&tally.err));
}

/* Pages that a user may commit, as the module reckons. */
static size_t user_limit_pages(void)
{
	struct sysinfo machine;

	if (sysinfo(&machine))
		return 0;
	return machine.totalram * machine.mem_unit / page_bytes() *
	       file_number("/sys/module/privheap/parameters/user_limit_percent") /
	       100;
}

/* One of the processes of a user, who has only so much left. */
static int user_process(struct tally *tally, unsigned int seed)
{
	struct worker workers[NR_THREADS];
	pthread_t threads[NR_THREADS];
	struct privheap_limit limit;
	int fd = privheap_open();
	unsigned int i;

	if (fd < 0 || make_workers(workers, fd, tally, seed))
		return 1;
	/* Once all have their heaps they begin to compete. */
	atomic_fetch_add(&tally->nr_ready, 1);
	while (atomic_load(&tally->nr_ready) < NR_PROCESSES)
		sched_yield();
	if (start_workers(workers, threads))
		return 1;
	while (atomic_load(&tally->nr_refused) < NR_REFUSALS)
		sched_yield();
	stop_workers(threads, tally);
	for (i = 0; i < NR_THREADS; i++)
		if (heap_destroy(&workers[i].heap))
			return 2;
	if (process_limit(fd, &limit) || limit.out_usage_bytes)
		return 3;
	return 0;
}

/*
 * The user's limit is known to the page: a block of all that is left can be had,
 * and one of a page more cannot, before and after the race.
 */
static void child_races_for_user_limit(struct __test_metadata *_metadata,
				       struct tally *tally)
{
	/* A heap counts as a page, and has committed its first one. */
	size_t left = (user_limit_pages() - 2) * page_bytes();
	pid_t pids[NR_PROCESSES];
	struct heap heap;
	unsigned int i;
	char *block;

	/* The real user counts; the device is root's. */
	ASSERT_EQ(0, setresuid(65534, 0, 0));
	ASSERT_EQ(0, heap_create(&heap, privheap_open()));
	EXPECT_EQ(-EDQUOT, block_alloc(&heap, left + 1, &block));
	ASSERT_EQ(0, block_alloc(&heap, left, &block));
	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, block_alloc(&heap, left - RACE_BYTES, &block));
	for (i = 0; i < NR_PROCESSES; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(user_process(tally, 1000 * i));
	}
	for (i = 0; i < NR_PROCESSES; i++)
		EXPECT_EQ(0, child_wait(pids[i]));
	EXPECT_EQ(0, atomic_load(&tally->err));
	EXPECT_EQ(0, atomic_load(&tally->bytes));
	EXPECT_GE(RACE_BYTES, atomic_load(&tally->most));
	EXPECT_LE(RACE_BYTES / 2, atomic_load(&tally->most));
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(-EDQUOT, block_alloc(&heap, left + 1, &block));
	EXPECT_EQ(0, block_alloc(&heap, left, &block));
}

TEST_F_TIMEOUT(limits, processes_race_for_limit_of_user, 240)
{
	struct tally *tally = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, tally);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_races_for_user_limit(_metadata, tally);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

TEST_HARNESS_MAIN
