// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emptying a heap in one call, and idle pages: what is free, but stays committed
 * and resident for blocks to come.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(reset) {
	int fd;
	size_t page;
	struct heap heap;
	struct privheap_stat before;
};

FIXTURE_SETUP(reset)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 16 * MIB,
				 .initial_bytes = 2 * self->page,
				 .limit_bytes = 8 * MIB));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(reset)
{
	close(self->fd);
}

/* Allocates a block and writes to all of it. */
static char *touched_block(struct __test_metadata *_metadata,
			   const struct heap *heap, size_t bytes)
{
	char *block;

	ASSERT_EQ(0, block_alloc(heap, bytes, &block));
	memset(block, 0x5a, bytes);
	return block;
}

/* What remains the same over a reset: all but the peak. */
static void expect_as_new(struct __test_metadata *_metadata,
			  FIXTURE_DATA(reset) *self, size_t idle)
{
	struct privheap_stat expected = self->before, stat;

	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	expected.out_committed_peak_bytes = stat.out_committed_peak_bytes;
	expected.out_committed_bytes += idle;
	expected.out_resident_bytes += idle;
	expected.out_idle_bytes = idle;
	EXPECT_STREQ("same", stat_diff(&expected, &stat));
}

/* Reset */

TEST_F(reset, empties_heap)
{
	static const size_t sizes[] = { 0, 16, 100, 5000, 16384, 20000, MIB };
	char *blocks[ARRAY_SIZE(sizes)];
	unsigned int i, round;
	size_t kept;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			blocks[i] = touched_block(_metadata, &self->heap,
						  sizes[i]);
		ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
		EXPECT_EQ(0, kept);
		expect_as_new(_metadata, self, 0);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			EXPECT_EQ(-ENOENT, block_free(&self->heap, blocks[i]));
		}
		EXPECT_EQ(SIGSEGV, touch_read(blocks[ARRAY_SIZE(sizes) - 1]));
		EXPECT_EQ(0, touch_write(self->heap.base));
		EXPECT_EQ(SIGSEGV, touch_write(self->heap.base + 2 * self->page));
	}
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(reset, of_empty_heap)
{
	size_t kept;

	ASSERT_EQ(0, heap_reset(&self->heap, SIZE_MAX, &kept));
	EXPECT_EQ(0, kept);
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

/* Ordinary regions stay, those of single blocks go. */
TEST_F(reset, growable_heap)
{
	struct privheap_stat stat;
	unsigned int nr_ordinary;
	char *block = NULL;
	struct heap heap;
	size_t kept;
	int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < 40; i++)
		touched_block(_metadata, &heap, 100 * KIB);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	nr_ordinary = stat.out_nr_regions;
	EXPECT_LT(1, nr_ordinary);
	for (i = 0; i < 3; i++)
		block = touched_block(_metadata, &heap, 2 * MIB);
	ASSERT_EQ(0, heap_reset(&heap, MIB, &kept));
	EXPECT_EQ(MIB, kept);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(nr_ordinary, stat.out_nr_regions);
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(MIB + self->page, stat.out_resident_bytes);
	EXPECT_EQ(stat.out_resident_bytes, stat.out_committed_bytes);
	EXPECT_EQ(nr_ordinary, maps_heaps() - 1);
	EXPECT_EQ(SIGSEGV, touch_read(block));
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* What was kept is used again without a fault, and is zero only if asked for. */
TEST_F(reset, keeps_pages)
{
	const size_t bytes = 64 * self->page;
	char *block, *again;
	size_t kept;
	long faults;

	block = touched_block(_metadata, &self->heap, 2 * MIB);
	/* As below, so that the code for it is there. */
	memset(block, 1, bytes);
	EXPECT_TRUE(all_bytes(block, bytes, 1));
	ASSERT_EQ(0, heap_reset(&self->heap, bytes, &kept));
	EXPECT_EQ(bytes, kept);
	expect_as_new(_metadata, self, bytes);
	ASSERT_EQ(0, block_alloc(&self->heap, bytes, &again));
	EXPECT_EQ(block, again);
	faults = nr_faults();
	memset(again, 1, bytes);
	EXPECT_EQ(faults, nr_faults());
	ASSERT_EQ(0, heap_reset(&self->heap, bytes, &kept));
	ASSERT_EQ(0, block_alloc_with(&self->heap, bytes, 0,
				      PRIVHEAP_ALLOC_F_ZERO, &again));
	faults = nr_faults();
	EXPECT_TRUE(all_bytes(again, bytes, 0));
	EXPECT_EQ(faults, nr_faults());
}

/* Committed and never touched: nothing to keep. */
TEST_F(reset, keeps_resident_pages_only)
{
	char *block;
	size_t kept, n;

	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	ASSERT_EQ(0, block_alloc(&self->heap, 4 * MIB, &block));
	for (n = 100; n < 1000; n += 100) {
		block[n * self->page] = 1;
	}
	ASSERT_EQ(0, heap_reset(&self->heap, SIZE_MAX, &kept));
	EXPECT_EQ(9 * self->page, kept);
	expect_as_new(_metadata, self, 9 * self->page);
	EXPECT_EQ(0, touch_read(block + 100 * self->page));
	EXPECT_EQ(SIGSEGV, touch_read(block + 101 * self->page));
	ASSERT_EQ(0, heap_reset(&self->heap, 3 * self->page + 1, &kept));
	EXPECT_EQ(4 * self->page, kept);
	EXPECT_EQ(0, touch_read(block + 400 * self->page));
	EXPECT_EQ(SIGSEGV, touch_read(block + 500 * self->page));
	expect_as_new(_metadata, self, 4 * self->page);
}

/* Pages that are kept never stand in the way of a block. */
TEST_F(reset, kept_pages_go_before_limit)
{
	char *block;
	size_t kept;

	touched_block(_metadata, &self->heap, 6 * MIB);
	ASSERT_EQ(0, heap_reset(&self->heap, SIZE_MAX, &kept));
	EXPECT_EQ(6 * MIB - 2 * self->page, kept);
	ASSERT_EQ(0, block_alloc_with(&self->heap, 7 * MIB, 2 * MIB, 0, &block));
	memset(block, 1, 7 * MIB);
	EXPECT_EQ(-EDQUOT, block_alloc(&self->heap, 2 * MIB, &block));
}

TEST_F(reset, of_wrong_heap)
{
	struct heap heap = self->heap;
	struct privheap_stat stat;
	size_t kept;

	touched_block(_metadata, &self->heap, 100);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	heap.id++;
	EXPECT_EQ(-ENXIO, heap_reset(&heap, 0, &kept));
	EXPECT_HEAP_STAT(&stat, &self->heap);
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(-EIDRM, heap_reset(&self->heap, 0, &kept));
}

/* What is reserved costs nothing: it would take hours to look at each page. */
TEST_F(reset, vast_heap)
{
	struct privheap_stat before, after;
	struct heap heap;
	char *block;
	size_t kept;
	int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 1UL << 46));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	for (i = 0; i < 4; i++) {
		block = touched_block(_metadata, &heap, 100 * self->page);
		ASSERT_EQ(0, block_alloc_with(&heap, 64 * self->page,
					      64 * self->page, 0, &block));
		block[0] = 1;
		ASSERT_EQ(0, heap_reset(&heap, 10 * self->page, &kept));
		EXPECT_EQ(10 * self->page, kept);
	}
	ASSERT_EQ(0, heap_reset(&heap, 0, &kept));
	ASSERT_EQ(0, heap_stat(&heap, &after));
	after.out_committed_peak_bytes = before.out_committed_peak_bytes;
	EXPECT_STREQ("same", stat_diff(&before, &after));
}

/* Signals */

static volatile sig_atomic_t nr_signals;

static void note_signal(int signal)
{
	nr_signals++;
}

/* A heap with blocks that have a region of their own, and others. */
static void fill_heap(struct __test_metadata *_metadata, struct heap *heap, int fd)
{
	int i;

	ASSERT_EQ(0, heap_create(heap, fd, .policy = PRIVHEAP_POLICY_POPULATE));
	for (i = 0; i < 16; i++) {
		touched_block(_metadata, heap, MIB / 2);
		touched_block(_metadata, heap, 2 * MIB);
	}
}

/* Both are done to the end, and the handler runs then. A timer makes the signals. */
TEST_F(reset, signals_do_not_end_it)
{
	const struct itimerval fast = { { 0, 200 }, { 0, 200 } }, off = {};
	const struct sigaction action = { .sa_handler = note_signal };
	int i, before, nr_resets = 0, nr_destroys = 0;
	struct privheap_stat stat;
	struct heap heap;
	size_t kept;

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	for (i = 0; i < 100 && !(nr_resets && nr_destroys); i++) {
		fill_heap(_metadata, &heap, self->fd);
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &fast, NULL));
		before = nr_signals;
		ASSERT_EQ(0, heap_reset(&heap, 0, &kept));
		nr_resets += nr_signals != before;
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(0, stat.out_nr_blocks);
		EXPECT_EQ(self->page, stat.out_committed_bytes);
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
		ASSERT_EQ(0, heap_destroy(&heap));

		fill_heap(_metadata, &heap, self->fd);
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &fast, NULL));
		before = nr_signals;
		ASSERT_EQ(0, heap_destroy(&heap));
		nr_destroys += nr_signals != before;
		ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
		EXPECT_EQ(-ENXIO, heap_stat(&heap, &stat));
	}
	EXPECT_LT(0, nr_resets);
	EXPECT_LT(0, nr_destroys);
	EXPECT_EQ(1, maps_heaps());
}

/* A task that is killed meanwhile leaves nothing. */
TEST_F(reset, killed_meanwhile)
{
	struct cgroup cgroup;
	int pipes[2], i;
	struct heap heap;
	size_t kept;
	pid_t pid;
	char c;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, pipe(pipes));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			ASSERT_EQ(0, cgroup_enter(&cgroup));
			fill_heap(_metadata, &heap, privheap_open());
			ASSERT_EQ(1, write(pipes[1], "", 1));
			if (i % 2)
				heap_destroy(&heap);
			else
				heap_reset(&heap, 0, &kept);
			pause();
		}
		close(pipes[1]);
		ASSERT_EQ(1, read(pipes[0], &c, 1));
		close(pipes[0]);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(-SIGKILL, child_wait(pid));
		EXPECT_TRUE(eventually(cgroup_bytes_exact(&cgroup) < (long)MIB));
	}
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* Idle pages */

static void make_idle_heap(struct __test_metadata *_metadata,
			   FIXTURE_DATA(reset) *self, size_t idle_bytes)
{
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 16 * MIB,
				 .limit_bytes = 8 * MIB,
				 .idle_bytes = idle_bytes));
	/* The page that is kept for life is not to be part of a block. */
	touched_block(_metadata, &self->heap, self->page);
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

TEST_F(reset, wave_does_not_fault)
{
	const size_t bytes = 100 * KIB;
	char *blocks[5];
	int i, round;
	long faults;

	make_idle_heap(_metadata, self, MIB);
	for (i = 0; i < 5; i++)
		blocks[i] = touched_block(_metadata, &self->heap, bytes);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 5; i++) {
			ASSERT_EQ(0, block_free(&self->heap, blocks[i]));
		}
		expect_as_new(_metadata, self, 5 * bytes);
		faults = nr_faults();
		for (i = 0; i < 5; i++)
			blocks[i] = touched_block(_metadata, &self->heap, bytes);
		EXPECT_GE(faults + 2, nr_faults());
	}
}

TEST_F(reset, idle_pages_are_bounded)
{
	char *small, *large;

	make_idle_heap(_metadata, self, MIB);
	small = touched_block(_metadata, &self->heap, 700 * KIB);
	large = touched_block(_metadata, &self->heap, 400 * KIB);
	ASSERT_EQ(0, block_free(&self->heap, small));
	ASSERT_EQ(0, block_free(&self->heap, large));
	expect_as_new(_metadata, self, 700 * KIB);
	EXPECT_EQ(0, touch_read(small));
	EXPECT_EQ(SIGSEGV, touch_read(large));
}

TEST_F(reset, idle_pages_go_when_asked_for)
{
	size_t largest;
	char *block;
	int round;

	make_idle_heap(_metadata, self, 4 * MIB);
	for (round = 0; round < 3; round++) {
		block = touched_block(_metadata, &self->heap, 3 * MIB);
		ASSERT_EQ(0, block_free(&self->heap, block));
		expect_as_new(_metadata, self, 3 * MIB);
		if (round == 0) {
			ASSERT_EQ(0, heap_compact(&self->heap, &largest));
			expect_as_new(_metadata, self, 0);
		} else if (round == 1) {
			/* More than the limit leaves beside them. */
			block = touched_block(_metadata, &self->heap, 7 * MIB);
			ASSERT_EQ(0, block_free(&self->heap, block));
			expect_as_new(_metadata, self, 0);
		} else {
			ASSERT_EQ(0, heap_policy(&self->heap,
						 PRIVHEAP_POLICY_ADAPTIVE, 0));
			expect_as_new(_metadata, self, 0);
		}
		EXPECT_EQ(SIGSEGV, touch_read(block));
	}
	block = touched_block(_metadata, &self->heap, 3 * MIB);
	ASSERT_EQ(0, block_free(&self->heap, block));
	expect_as_new(_metadata, self, 0);
}

/* A walk tells what is committed of the free pages. */
TEST_F(reset, walk_lists_idle_pages)
{
	struct privheap_entry entries[8];
	char *first, *second;
	size_t sum = 0;
	int i, nr;

	make_idle_heap(_metadata, self, MIB);
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB,
				 .policy = PRIVHEAP_POLICY_PAGE,
				 .idle_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&self->heap, 10 * self->page, &first));
	ASSERT_EQ(0, block_alloc(&self->heap, 10 * self->page, &second));
	first[5 * self->page] = 1;
	first[6 * self->page] = 1;
	ASSERT_EQ(0, block_free(&self->heap, first));
	nr = heap_walk(&self->heap, NULL, entries, 8);
	/* Region, kept page, hole, two idle pages, hole, block, rest. */
	ASSERT_EQ(7, nr);
	EXPECT_EQ(PRIVHEAP_ENTRY_FREE, entries[1].kind);
	EXPECT_EQ(self->page, entries[1].bytes);
	EXPECT_EQ(PRIVHEAP_ENTRY_RESERVED, entries[2].kind);
	EXPECT_EQ(PRIVHEAP_ENTRY_FREE, entries[3].kind);
	EXPECT_EQ((uintptr_t)first + 5 * self->page, entries[3].addr);
	EXPECT_EQ(2 * self->page, entries[3].bytes);
	EXPECT_EQ(PRIVHEAP_ENTRY_RESERVED, entries[4].kind);
	EXPECT_EQ(3 * self->page, entries[4].bytes);
	EXPECT_EQ(PRIVHEAP_ENTRY_BLOCK, entries[5].kind);
	EXPECT_EQ(PRIVHEAP_ENTRY_RESERVED, entries[6].kind);
	for (i = 1; i < nr; i++)
		sum += entries[i].capacity_bytes;
	EXPECT_EQ(MIB, sum);
	/* Each of them is a place to go on from. */
	for (i = 0; i < nr - 1; i++) {
		struct privheap_entry next;

		ASSERT_EQ(1, heap_walk(&self->heap, &entries[i], &next, 1));
		EXPECT_EQ(0, memcmp(&next, &entries[i + 1], sizeof(next)));
	}
}

TEST_F(reset, idle_bytes_too_large)
{
	struct privheap_stat stat;
	struct privheap_info info;
	struct heap heap;
	struct privheap_policy arg = {
		.size = sizeof(arg),
		.heap = self->heap.id,
		.policy = PRIVHEAP_POLICY_PAGE,
	};

	ASSERT_EQ(0, privheap_info(self->fd, &info));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	arg.idle_bytes = info.out_max_bytes + 1;
	EXPECT_EQ(-EOVERFLOW, privheap_ioctl(self->fd, PRIVHEAP_IOC_POLICY, &arg));
	EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
					  .idle_bytes = info.out_max_bytes + 1));
	EXPECT_HEAP_STAT(&stat, &self->heap);
}

/* Under load */

struct user {
	pthread_t thread;
	const struct heap *heap;
	bool stop;
};

/* Allocates, writes and frees; what it writes to may be gone. */
static void *use_heap(void *data)
{
	static const size_t sizes[] = { 100, 3000, 20000, 300 * KIB };
	struct user *user = data;
	volatile unsigned int i = 0;
	char *block;

	sigsetjmp(touch_env, 1);
	while (!__atomic_load_n(&user->stop, __ATOMIC_ACQUIRE)) {
		i++;
		if (block_alloc(user->heap, sizes[i % 4], &block))
			continue;
		memset(block, i, sizes[i % 4]);
		if (i % 3)
			block_free(user->heap, block);
	}
	return NULL;
}

TEST_F_TIMEOUT(reset, while_heap_is_in_use, 120)
{
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO,
	};
	struct user users[2];
	struct privheap_stat stat;
	size_t kept;
	int i;

	make_idle_heap(_metadata, self, MIB);
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
	for (i = 0; i < 2; i++) {
		users[i] = (struct user){ .heap = &self->heap };
		ASSERT_EQ(0, pthread_create(&users[i].thread, NULL, use_heap,
					    &users[i]));
	}
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, heap_reset(&self->heap, i % 3 * 300 * KIB, &kept));
		EXPECT_GE(i % 3 * 300 * KIB, kept);
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		EXPECT_GE(stat.out_committed_bytes, stat.out_resident_bytes);
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&users[i].stop, true, __ATOMIC_RELEASE);
		ASSERT_EQ(0, pthread_join(users[i].thread, NULL));
	}
	signal(SIGSEGV, SIG_DFL);
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(self->page, stat.out_committed_bytes);
	EXPECT_EQ(self->page, stat.out_resident_bytes);
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_HARNESS_MAIN
