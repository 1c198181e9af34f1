// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that touch pages while these are freed, decommitted, reset, destroyed,
 * unmapped, forked or lost by the end of the process, under each policy. Whatever
 * comes first, no page stays mapped that is not the heap's any more, and none is
 * lost: the kernel has as little for the test's memory cgroup in the end as in the
 * beginning.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"
#include "scale.h"

#define NR_THREADS	2
#define NR_ROUNDS	40
#define NR_PAGES	512
/* In each round more than that is had and given back. */
#define SLACK_BYTES	(2 * MIB)

FIXTURE(race) {
	struct cgroup cgroup;
	long in_use;
	int fd;
	size_t page;
	size_t bytes;
	struct heap heap;
	struct privheap_stat before;
	/* That comes and goes. */
	struct heap racing;
	/* What the threads touch, how often they have, and when to end. */
	char *block;
	unsigned long nr_touches;
	bool stop;
	pthread_t threads[NR_THREADS];
};

FIXTURE_VARIANT(race) {
	__u32 policy;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(race, page) { PRIVHEAP_POLICY_PAGE, 0 };
FIXTURE_VARIANT_ADD(race, window) { PRIVHEAP_POLICY_WINDOW, 0 };
FIXTURE_VARIANT_ADD(race, adaptive) { PRIVHEAP_POLICY_ADAPTIVE, 0 };
FIXTURE_VARIANT_ADD(race, populate) { PRIVHEAP_POLICY_POPULATE, 0 };
FIXTURE_VARIANT_ADD(race, huge) { PRIVHEAP_POLICY_HUGE, 0 };
FIXTURE_VARIANT_ADD(race, secret) {
	PRIVHEAP_POLICY_WINDOW, PRIVHEAP_CREATE_F_SECRET
};

static int make_heap(struct heap *heap, int fd,
		     const FIXTURE_VARIANT(race) *variant)
{
	return heap_create(heap, fd, .max_bytes = 16 * MIB,
			   .flags = variant->flags, .policy = variant->policy);
}

FIXTURE_SETUP(race)
{
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO,
	};

	ASSERT_EQ(0, cgroup_create(&self->cgroup));
	ASSERT_EQ(0, cgroup_enter(&self->cgroup));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->bytes = NR_PAGES * self->page;
	self->in_use = heap_bytes_left(&self->cgroup, self->fd);
	ASSERT_LE(0, self->in_use);
	ASSERT_GT(LONG_MAX, self->in_use);
	ASSERT_EQ(0, make_heap(&self->heap, self->fd, variant));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
}

FIXTURE_TEARDOWN(race)
{
	heap_destroy(&self->heap);
	EXPECT_TRUE(eventually(heap_bytes_left(&self->cgroup, self->fd) <
			       self->in_use + (long)SLACK_BYTES)) {
		TH_LOG("%ld bytes more than before",
		       heap_bytes_left(&self->cgroup, self->fd) - self->in_use);
	}
	close(self->fd);
	EXPECT_EQ(0, file_write("/sys/fs/cgroup/cgroup.procs", "0"));
	EXPECT_EQ(0, cgroup_destroy(&self->cgroup));
}

/* Writes to one page after another; some of them are not there. */
static void *touch_pages(void *data)
{
	FIXTURE_DATA(race) *self = data;
	volatile size_t n = (size_t)pthread_self() / 64;
	char *block;

	sigsetjmp(touch_env, 1);
	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_add(&self->nr_touches, 1, __ATOMIC_RELAXED);
		block = __atomic_load_n(&self->block, __ATOMIC_ACQUIRE);
		n = n % 16 ? n + 1 : n + 37;
		*(volatile char *)(block + n % NR_PAGES * self->page) = 1;
	}
	return NULL;
}

/* Returns when the threads have touched pages after this call began. */
static void let_touch(FIXTURE_DATA(race) *self)
{
	unsigned long start = __atomic_load_n(&self->nr_touches,
					      __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&self->nr_touches, __ATOMIC_ACQUIRE) <
	       start + 50)
		sched_yield();
}

static void set_block(FIXTURE_DATA(race) *self, char *block)
{
	__atomic_store_n(&self->block, block, __ATOMIC_RELEASE);
}

static int start_threads(FIXTURE_DATA(race) *self, char *block)
{
	int i, err = 0;

	self->stop = false;
	set_block(self, block);
	for (i = 0; i < NR_THREADS; i++)
		err = err ?: pthread_create(&self->threads[i], NULL,
					    touch_pages, self);
	return err;
}

static void stop_threads(struct __test_metadata *_metadata,
			 FIXTURE_DATA(race) *self)
{
	int i;

	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(self->threads[i], NULL));
	}
}

/* Without idle pages the heap holds what it did in the beginning, and maps no more. */
static void expect_as_before(struct __test_metadata *_metadata,
			     FIXTURE_DATA(race) *self)
{
	struct privheap_stat expected = self->before, stat;
	size_t largest;

	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	expected.out_committed_peak_bytes = stat.out_committed_peak_bytes;
	expected.out_policy = stat.out_policy;
	expected.out_window_pages = stat.out_window_pages;
	EXPECT_STREQ("same", stat_diff(&expected, &stat));
	EXPECT_GE((long)self->page, mapping_rss(self->heap.base));
}

/* What was freed goes at once, or was kept for the next round and goes then. */
TEST_F_TIMEOUT(race, free, 120)
{
	unsigned int round;
	size_t largest;
	char *block;

	ASSERT_EQ(0, start_threads(self, self->heap.base));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
		set_block(self, block);
		let_touch(self);
		ASSERT_EQ(0, block_free(&self->heap, block));
		let_touch(self);
		if (round % 2) {
			ASSERT_EQ(0, heap_compact(&self->heap, &largest));
			let_touch(self);
		}
	}
	stop_threads(_metadata, self);
	expect_as_before(_metadata, self);
}

/* As before, with a block that moves. */
TEST_F_TIMEOUT(race, realloc, 120)
{
	char *block, *other, *place;
	unsigned int round;

	ASSERT_EQ(0, start_threads(self, self->heap.base));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
		ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &other));
		set_block(self, block);
		let_touch(self);
		place = block;
		ASSERT_EQ(0, block_realloc(&self->heap, &block,
					   2 * self->bytes, 0));
		EXPECT_NE(place, block);
		let_touch(self);
		set_block(self, block);
		let_touch(self);
		ASSERT_EQ(0, block_free(&self->heap, block));
		ASSERT_EQ(0, block_free(&self->heap, other));
	}
	stop_threads(_metadata, self);
	expect_as_before(_metadata, self);
}

TEST_F_TIMEOUT(race, decommit, 120)
{
	unsigned int round;
	char *block;
	long done;

	ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes, self->page, 0,
				      &block));
	ASSERT_EQ(0, start_threads(self, block));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		let_touch(self);
		ASSERT_EQ((long)self->bytes,
			  heap_decommit(&self->heap, block, self->bytes));
		let_touch(self);
		ASSERT_EQ((long)self->bytes / 2,
			  heap_commit(&self->heap, block + self->bytes / 4,
				      self->bytes / 2));
		done = heap_prefault(&self->heap, block + self->bytes / 4,
				     self->bytes);
		ASSERT_EQ((long)self->bytes / 2, done);
		ASSERT_EQ((long)self->bytes,
			  heap_commit(&self->heap, block, self->bytes));
	}
	stop_threads(_metadata, self);
	ASSERT_EQ((long)self->bytes,
		  heap_decommit(&self->heap, block, self->bytes));
	EXPECT_GE((long)self->page, mapping_rss(self->heap.base));
	ASSERT_EQ((long)self->bytes,
		  heap_commit(&self->heap, block, self->bytes));
	EXPECT_TRUE(all_bytes(block, self->bytes, 0));
	ASSERT_EQ(0, block_free(&self->heap, block));
}

TEST_F_TIMEOUT(race, reset, 120)
{
	/* A fault that is just mapping a huge page holds it, and it stays whole. */
	size_t most = variant->policy == PRIVHEAP_POLICY_HUGE ? 2 * MIB :
							       100 * self->page;
	unsigned int round;
	char *block;
	size_t kept;

	ASSERT_EQ(0, start_threads(self, self->heap.base));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
		set_block(self, block);
		let_touch(self);
		ASSERT_EQ(0, heap_reset(&self->heap,
					round % 2 * 100 * self->page, &kept));
		EXPECT_GE(most, kept);
		let_touch(self);
	}
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	stop_threads(_metadata, self);
	expect_as_before(_metadata, self);
}

TEST_F_TIMEOUT(race, policy_change, 120)
{
	unsigned int round;
	char *block;

	ASSERT_EQ(0, start_threads(self, self->heap.base));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
		set_block(self, block);
		ASSERT_EQ(0, heap_policy(&self->heap,
					 PRIVHEAP_POLICY_PAGE + round % 4, 0));
		let_touch(self);
		ASSERT_EQ(0, block_free(&self->heap, block));
	}
	stop_threads(_metadata, self);
	expect_as_before(_metadata, self);
}

TEST_F_TIMEOUT(race, destroy, 120)
{
	unsigned int round;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, start_threads(self, self->heap.base + self->bytes));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, make_heap(&heap, self->fd, variant));
		ASSERT_EQ(0, block_alloc(&heap, self->bytes, &block));
		set_block(self, block);
		let_touch(self);
		ASSERT_EQ(0, heap_destroy(&heap));
		let_touch(self);
	}
	stop_threads(_metadata, self);
	expect_as_before(_metadata, self);
}

TEST_F_TIMEOUT(race, munmap, 120)
{
	struct privheap_stat stat;
	unsigned int round;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, start_threads(self, self->heap.base + self->bytes));
	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, make_heap(&heap, self->fd, variant));
		ASSERT_EQ(0, block_alloc(&heap, self->bytes, &block));
		set_block(self, block);
		let_touch(self);
		ASSERT_EQ(0, munmap(heap.base, heap.region_bytes));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(PRIVHEAP_STAT_S_DEAD, stat.out_state);
		EXPECT_EQ(0, stat.out_resident_bytes);
		EXPECT_EQ(0, stat.out_committed_bytes);
		ASSERT_EQ(0, heap_destroy(&heap));
	}
	stop_threads(_metadata, self);
	expect_as_before(_metadata, self);
}

/* Makes a block resident, over and over, until that fails. */
static void *prefault_pages(void *data)
{
	FIXTURE_DATA(race) *self = data;
	long done;

	do {
		__atomic_fetch_add(&self->nr_touches, 1, __ATOMIC_RELAXED);
		done = heap_prefault(&self->racing, self->block, self->bytes);
		if (done > 0 && heap_decommit(&self->racing, self->block,
					      self->bytes) > 0)
			heap_commit(&self->racing, self->block, self->bytes / 2);
	} while (done > 0);
	return (void *)done;
}

/* A call that makes pages resident, and the region that it does so in. */
TEST_F_TIMEOUT(race, prefault, 120)
{
	struct privheap_stat stat;
	unsigned int round, i;
	pthread_t thread;
	void *ret;

	for (round = 0; round < scaled(NR_ROUNDS); round++) {
		ASSERT_EQ(0, make_heap(&self->racing, self->fd, variant));
		ASSERT_EQ(0, block_alloc(&self->racing, self->bytes, &self->block));
		self->nr_touches = 0;
		ASSERT_EQ(0, pthread_create(&thread, NULL, prefault_pages, self));
		while (!__atomic_load_n(&self->nr_touches, __ATOMIC_ACQUIRE))
			sched_yield();
		for (i = 0; i < round % 16; i++)
			sched_yield();
		if (round % 2) {
			ASSERT_EQ(0, munmap(self->racing.base,
					    self->racing.region_bytes));
			ASSERT_EQ(0, pthread_join(thread, &ret));
			EXPECT_TRUE((long)ret == -ENOENT || (long)ret == -EIDRM);
			ASSERT_EQ(0, heap_stat(&self->racing, &stat));
			EXPECT_EQ(PRIVHEAP_STAT_S_DEAD, stat.out_state);
			EXPECT_EQ(0, stat.out_resident_bytes);
			EXPECT_EQ(0, stat.out_committed_bytes);
			ASSERT_EQ(0, heap_destroy(&self->racing));
		} else {
			ASSERT_EQ(0, heap_destroy(&self->racing));
			ASSERT_EQ(0, pthread_join(thread, &ret));
			EXPECT_TRUE((long)ret == -ENOENT || (long)ret == -ENXIO);
		}
	}
	expect_as_before(_metadata, self);
}

/* A child has none of the heap, whatever the threads are doing. */
TEST_F_TIMEOUT(race, fork, 120)
{
	unsigned int round;
	char *block;
	pid_t pid;

	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	ASSERT_EQ(0, start_threads(self, block));
	for (round = 0; round < scaled(NR_ROUNDS) / 2; round++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(touch_read(block) != SIGSEGV);
		let_touch(self);
		EXPECT_EQ(0, child_wait(pid));
		ASSERT_EQ((long)self->bytes,
			  heap_decommit(&self->heap, block, self->bytes));
		ASSERT_EQ((long)self->bytes,
			  heap_commit(&self->heap, block, self->bytes));
	}
	stop_threads(_metadata, self);
	ASSERT_EQ(0, block_free(&self->heap, block));
	expect_as_before(_metadata, self);
}

/* The whole life of a process that ends while its threads touch pages. */
static int live_and_exit(FIXTURE_DATA(race) *self,
			 const FIXTURE_VARIANT(race) *variant, bool killed)
{
	struct heap heap;
	char *block;
	int fd = privheap_open();

	if (fd < 0 || make_heap(&heap, fd, variant) ||
	    block_alloc(&heap, self->bytes, &block) ||
	    start_threads(self, block))
		return 1;
	let_touch(self);
	if (killed)
		raise(SIGKILL);
	return 0;
}

TEST_F_TIMEOUT(race, exit, 120)
{
	unsigned int round;
	int status;
	pid_t pid;

	for (round = 0; round < scaled(NR_ROUNDS) / 2; round++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(live_and_exit(self, variant, round % 2));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (round % 2) {
			EXPECT_TRUE(WIFSIGNALED(status));
			EXPECT_EQ(SIGKILL, WTERMSIG(status));
		} else {
			EXPECT_TRUE(WIFEXITED(status));
			EXPECT_EQ(0, WEXITSTATUS(status));
		}
	}
	expect_as_before(_metadata, self);
}

/* Pages that somebody else holds */

#define NR_PINNED	8

static void take_block_back(struct __test_metadata *_metadata,
			    FIXTURE_DATA(race) *self, char *block, int way)
{
	size_t kept;

	switch (way) {
	case 0:
		ASSERT_EQ(0, block_free(&self->heap, block));
		break;
	case 1:
		ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
		break;
	case 2:
		ASSERT_EQ((long)self->bytes,
			  heap_decommit(&self->heap, block, self->bytes));
		ASSERT_EQ((long)self->bytes,
			  heap_commit(&self->heap, block, self->bytes));
		memset(block, 0xee, self->bytes);
		ASSERT_EQ(0, block_free(&self->heap, block));
		break;
	}
}

/* A pipe holds pages while they are taken away; it shows what they held. */
TEST_F(race, pinned_pages)
{
	const size_t bytes = NR_PINNED * self->page;
	char *block, *other, *copy = malloc(bytes);
	int pipes[2], way;
	struct iovec range;

	ASSERT_NE(NULL, copy);
	ASSERT_EQ(0, pipe(pipes));
	for (way = 0; way < 3; way++) {
		ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes,
					      self->page, 0, &block));
		/* Not the page that a heap keeps, which stays its own. */
		pattern_fill(block + self->page, bytes, way);
		range = (struct iovec){ block + self->page, bytes };
		if (variant->flags & PRIVHEAP_CREATE_F_SECRET) {
			EXPECT_EQ(-1, vmsplice(pipes[1], &range, 1, 0));
			ASSERT_EQ(0, block_free(&self->heap, block));
			continue;
		}
		ASSERT_EQ((ssize_t)bytes, vmsplice(pipes[1], &range, 1, 0));
		take_block_back(_metadata, self, block, way);
		ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &other));
		memset(other, 0xee, self->bytes);
		ASSERT_EQ((ssize_t)bytes, read(pipes[0], copy, bytes));
		EXPECT_TRUE(pattern_check(copy, bytes, way));
		ASSERT_EQ(0, block_free(&self->heap, other));
	}
	expect_as_before(_metadata, self);
	free(copy);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_HARNESS_MAIN
