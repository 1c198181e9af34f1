// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stress: everything at once, many times over, and nothing left in the end.
 *
 * Each test does its rounds, or goes on for its share of $PRIVHEAP_STRESS_SECONDS
 * (make stress SECONDS=). Afterwards the whole machine has nothing charged that is
 * not this test's, and no more uses of the module than before; that nothing is
 * leaked either the runner sees, when it unloads the module.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "kselftest_harness.h"
#include "netlink_util.h"

#define NR_TESTS	5

/* When a test ends: after a number of rounds, or at a time. */
struct span {
	unsigned long nr_rounds;
	time_t end;
};

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static struct span span_begin(unsigned long nr_rounds)
{
	const char *text = getenv("PRIVHEAP_STRESS_SECONDS");
	unsigned long seconds = text ? strtoul(text, NULL, 10) : 0;
	struct span span = { .nr_rounds = scaled(nr_rounds) };

	if (seconds)
		span.end = now() + seconds / NR_TESTS + 1;
	return span;
}

static bool span_goes_on(struct span *span)
{
	return span->end ? now() < span->end : span->nr_rounds--;
}

/* What all heaps of the machine have charged, or a pattern. */
static __u64 system_usage(void)
{
	struct nl_msg msg, answer;
	__u64 usage = -1;
	struct nl nl;

	if (nl_open(&nl))
		return usage;
	nl_begin(&nl, &msg, PRIVHEAP_CMD_LIMIT_GET, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_SYSTEM);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, 0);
	if (!nl_get(&nl, &msg, &answer))
		usage = nl_number(answer.attrs[PRIVHEAP_A_LIMIT_USAGE_BYTES]);
	nl_close(&nl);
	return usage;
}

FIXTURE(stress) {
	int fd;
	long refs;
};

FIXTURE_SETUP(stress)
{
	self->refs = module_refs();
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, system_usage());
}

FIXTURE_TEARDOWN(stress)
{
	EXPECT_TRUE(eventually(system_usage() == 0));
	EXPECT_EQ(0, maps_heaps());
	/* What is kept of heaps that were destroyed goes, too. */
	close(self->fd);
	EXPECT_TRUE(eventually(module_refs() == self->refs));
}

/* Numbers that look random; each thread and process has its own. */
static unsigned int draw(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
}

/* Sizes of all kinds: small ones, pages, and regions of their own. */
static size_t draw_bytes(unsigned int *seed)
{
	switch (draw(seed, 16)) {
	case 0:
		return 1100 * KIB + draw(seed, 2000) * KIB;
	case 1: case 2: case 3: case 4:
		return 4 * KIB + draw(seed, 200) * KIB;
	default:
		return draw(seed, 3000);
	}
}

static const __u32 kinds[] = {
	0, PRIVHEAP_CREATE_F_BACKED, PRIVHEAP_CREATE_F_GUARD,
	PRIVHEAP_CREATE_F_SECRET,
	PRIVHEAP_CREATE_F_SECRET | PRIVHEAP_CREATE_F_BACKED,
};

#define NR_KINDS	ARRAY_SIZE(kinds)

static int create_kind(struct heap *heap, int fd, unsigned int kind)
{
	return heap_create(heap, fd, .flags = kinds[kind % NR_KINDS],
			   .limit_bytes = 48 * MIB,
			   .idle_bytes = kind % 2 ? MIB : 0);
}

/* All calls against each other */

#define NR_THREADS	6
#define NR_SLOTS	12

/* A heap that threads share. Those that come and go keep no promise on contents. */
struct shared {
	struct heap heap;
	bool comes_and_goes;
};

struct slot {
	struct shared *shared;
	char *block;
	size_t bytes;
};

struct worker {
	pthread_t thread;
	unsigned int seed;
	struct span span;
	int fd;
	struct shared *shared;	/* 2 * NR_KINDS of them */
	struct slot slots[NR_SLOTS];
	char *wrong;		/* what should not have been */
	int err;
};

static bool is_refusal(int ret)
{
	return ret == -EDQUOT || ret == -ENOMEM || ret == -ENOSPC;
}

/* In a heap that comes and goes anything may have happened to the block. */
static bool is_loss(const struct shared *shared, int ret)
{
	return shared->comes_and_goes &&
	       (ret == -ENXIO || ret == -ENOENT || ret == -EIDRM);
}

static void judge(struct worker *worker, const struct shared *shared, int ret,
		  char *what)
{
	if (ret < 0 && !is_refusal(ret) && !is_loss(shared, ret)) {
		worker->wrong = what;
		worker->err = ret;
	}
}

/* Touches both ends, where the block may be gone by now. */
static void touch_ends(const struct slot *slot)
{
	if (slot->bytes) {
		touch_write(slot->block);
		touch_write(slot->block + slot->bytes - 1);
	}
}

static void slot_fill(struct slot *slot)
{
	if (slot->shared->comes_and_goes)
		touch_ends(slot);
	else
		memset(slot->block, (int)(uintptr_t)slot->block >> 4, slot->bytes);
}

static bool slot_is_intact(const struct slot *slot, size_t bytes, char *made_at)
{
	return slot->shared->comes_and_goes ||
	       all_bytes(slot->block, bytes, (char)((uintptr_t)made_at >> 4));
}

static void slot_alloc(struct worker *worker, struct slot *slot)
{
	struct shared *shared =
		&worker->shared[draw(&worker->seed, 2 * NR_KINDS)];
	size_t bytes = draw_bytes(&worker->seed);
	int ret = block_alloc(&shared->heap, bytes, &slot->block);

	judge(worker, shared, ret, "alloc");
	if (ret)
		return;
	slot->shared = shared;
	slot->bytes = bytes;
	slot_fill(slot);
}

static void slot_free(struct worker *worker, struct slot *slot)
{
	if (!slot_is_intact(slot, slot->bytes, slot->block))
		worker->wrong = "contents";
	judge(worker, slot->shared, block_free(&slot->shared->heap, slot->block),
	      "free");
	slot->shared = NULL;
}

static void slot_realloc(struct worker *worker, struct slot *slot)
{
	size_t bytes = draw_bytes(&worker->seed);
	char *old = slot->block;
	int ret = block_realloc(&slot->shared->heap, &slot->block, bytes, 0);

	judge(worker, slot->shared, ret, "realloc");
	if (is_loss(slot->shared, ret))
		slot->shared = NULL;
	if (ret)
		return;
	if (!slot_is_intact(slot, bytes < slot->bytes ? bytes : slot->bytes, old))
		worker->wrong = "contents";
	slot->bytes = bytes;
	slot_fill(slot);
}

/* Looks at a heap and changes how it works. */
static void heap_tend(struct worker *worker, struct shared *shared)
{
	struct privheap_limit limit;
	struct privheap_entry entries[16];
	struct privheap_stat stat;
	struct heap *heap = &shared->heap;
	size_t largest;
	int ret;

	switch (draw(&worker->seed, 6)) {
	case 0:
		ret = heap_stat(heap, &stat);
		break;
	case 1:
		ret = heap_walk(heap, NULL, entries, ARRAY_SIZE(entries));
		break;
	case 2:
		ret = heap_compact(heap, &largest);
		break;
	case 3:
		ret = heap_policy(heap, 1 + draw(&worker->seed, 4), 0);
		break;
	case 4:
		ret = heap_limit(heap, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				 .hard_bytes = (1 + draw(&worker->seed, 48)) * MIB);
		break;
	default:
		ret = heap_prefault(heap, heap->base, 64 * KIB);
		if (ret == -ENOENT)	/* nothing is committed there */
			ret = 0;
		break;
	}
	judge(worker, shared, ret, "tend");
}

/* Takes a heap away under those who use it. */
static void heap_upset(struct worker *worker, struct shared *shared)
{
	struct heap heap;
	size_t kept;

	if (draw(&worker->seed, 2)) {
		judge(worker, shared, heap_reset(&shared->heap, MIB, &kept),
		      "reset");
		return;
	}
	heap = shared->heap;
	if (heap_destroy(&heap))
		return;		/* another thread was quicker */
	judge(worker, shared, create_kind(&heap, worker->fd,
					  shared - worker->shared), "create");
	if (!worker->wrong)
		shared->heap = heap;
}

static void work(struct worker *worker)
{
	struct shared *any = &worker->shared[draw(&worker->seed, 2 * NR_KINDS)];
	struct slot *slot = &worker->slots[draw(&worker->seed, NR_SLOTS)];
	unsigned int what = draw(&worker->seed, 100);

	if (what < 10)
		heap_tend(worker, any);
	else if (what < 12 && any->comes_and_goes)
		heap_upset(worker, any);
	else if (!slot->shared)
		slot_alloc(worker, slot);
	else if (what < 50)
		slot_realloc(worker, slot);
	else
		slot_free(worker, slot);
}

static void *work_until_end(void *data)
{
	struct worker *worker = data;
	unsigned int i;

	while (!worker->wrong && span_goes_on(&worker->span))
		work(worker);
	for (i = 0; i < NR_SLOTS; i++) {
		if (!worker->wrong && worker->slots[i].shared)
			slot_free(worker, &worker->slots[i]);
	}
	return NULL;
}

TEST_F_TIMEOUT(stress, calls_against_each_other, 3600)
{
	static struct worker workers[NR_THREADS];
	static struct shared shared[2 * NR_KINDS];
	struct privheap_limit limit;
	struct privheap_stat stat;
	unsigned int i;

	for (i = 0; i < 2 * NR_KINDS; i++) {
		ASSERT_EQ(0, create_kind(&shared[i].heap, self->fd, i));
		shared[i].comes_and_goes = i >= NR_KINDS;
	}
	for (i = 0; i < NR_THREADS; i++) {
		workers[i] = (struct worker){
			.seed = i, .shared = shared, .fd = self->fd,
			.span = span_begin(3000),
		};
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL,
					    work_until_end, &workers[i]));
	}
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_EQ(NULL, workers[i].wrong) {
			TH_LOG("%s: %d", workers[i].wrong, workers[i].err);
		}
	}
	for (i = 0; i < 2 * NR_KINDS; i++) {
		ASSERT_EQ(0, heap_stat(&shared[i].heap, &stat));
		if (!shared[i].comes_and_goes)
			EXPECT_EQ(0, stat.out_nr_blocks);
		EXPECT_EQ(0, heap_destroy(&shared[i].heap));
	}
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(0, limit.out_usage_bytes);
}

/* Death */

#define NR_VICTIMS	4
#define VICTIM_HEAPS	1500

/* Makes heaps without end, some of them with memory, and lets the oldest go. */
static void live(unsigned int seed, int ready)
{
	static struct heap heaps[VICTIM_HEAPS];
	int fd = privheap_open();
	unsigned int i, n;
	char *block;

	for (n = 0;; n++) {
		i = n % VICTIM_HEAPS;
		if (n >= VICTIM_HEAPS && heap_destroy(&heaps[i]))
			_exit(1);
		if (heap_create(&heaps[i], fd, .flags = kinds[n % NR_KINDS]))
			_exit(2);
		if (!draw(&seed, 4) && !block_alloc(&heaps[i], 20000, &block))
			memset(block, 1, 20000);
		if (n == VICTIM_HEAPS && write(ready, "", 1) != 1)
			_exit(3);
	}
}

static pid_t victim_start(unsigned int seed, int *ready)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid)
		live(seed, ends[1]);
	close(ends[1]);
	*ready = ends[0];
	return pid;
}

/* Thousands of heaps each, killed in the midst of it, all at the same time. */
TEST_F_TIMEOUT(stress, storm_of_kills, 3600)
{
	long refs = module_refs();
	struct span span = span_begin(3);
	int ready[NR_VICTIMS];
	pid_t pids[NR_VICTIMS];
	unsigned int i, seed = 1;
	char byte;

	while (span_goes_on(&span)) {
		for (i = 0; i < NR_VICTIMS; i++) {
			pids[i] = victim_start(seed++, &ready[i]);
			ASSERT_LT(0, pids[i]);
		}
		for (i = 0; i < NR_VICTIMS; i++)
			EXPECT_EQ(1, read(ready[i], &byte, 1));
		EXPECT_LE(refs + NR_VICTIMS * VICTIM_HEAPS, module_refs());
		for (i = 0; i < NR_VICTIMS; i++)
			EXPECT_EQ(0, kill(pids[i], SIGKILL));
		for (i = 0; i < NR_VICTIMS; i++) {
			EXPECT_EQ(-SIGKILL, child_wait(pids[i]));
			close(ready[i]);
		}
		EXPECT_TRUE(eventually(module_refs() == refs));
	}
}

/* The module */

static void *unload_again_and_again(void *data)
{
	_Atomic(bool) *stop = data;
	long nr_others = 0;

	while (!*stop) {
		if (syscall(__NR_delete_module, "privheap", O_NONBLOCK) != -1 ||
		    errno != EWOULDBLOCK)
			nr_others++;
	}
	return (void *)nr_others;
}

/* This test has the device open, so it can never go. */
TEST_F_TIMEOUT(stress, unloading_while_in_use, 3600)
{
	struct span span = span_begin(2000);
	_Atomic(bool) stop = false;
	pthread_t thread;
	struct heap heap;
	void *nr_others;
	int fd;

	ASSERT_EQ(0, pthread_create(&thread, NULL, unload_again_and_again, &stop));
	while (span_goes_on(&span)) {
		fd = privheap_open();
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, create_kind(&heap, fd, span.nr_rounds));
		if (span.nr_rounds % 16 == 0)
			EXPECT_EQ(0, heap_check_works(&heap));
		EXPECT_EQ(0, close(fd));
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(thread, &nr_others));
	EXPECT_EQ(NULL, nr_others);
}

/* Memory */

/*
 * Allocates, fills and frees in heaps that are backed, and so must be told in time
 * that there is no more: then all else goes, and it begins again.
 */
static void consume(unsigned int seed, size_t limit, struct span *span, int fd)
{
	struct heap heap = {};
	char *block;
	int ret;

	while (span_goes_on(span)) {
		ret = heap_create(&heap, fd, .limit_bytes = limit,
				  .flags = PRIVHEAP_CREATE_F_BACKED |
					   (draw(&seed, 2) ?
					    PRIVHEAP_CREATE_F_SECRET : 0));
		if (is_refusal(ret))
			continue;
		while (!ret) {
			ret = block_alloc(&heap, 100 * KIB + draw(&seed, 300) * KIB,
					  &block);
			if (!ret)
				memset(block, 1, 100 * KIB);
		}
		if (!is_refusal(ret) || heap_destroy(&heap))
			_exit(1);
	}
	_exit(0);
}

#define NR_CONSUMERS	5

/* Many at once at the limit of one cgroup: refused, and none of them killed. */
TEST_F_TIMEOUT(stress, full_cgroup, 3600)
{
	struct span span = span_begin(12);
	pid_t pids[NR_CONSUMERS];
	struct cgroup cgroup;
	int fd, status;
	unsigned int i;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	ASSERT_EQ(0, cgroup_set(&cgroup, "memory.max", "64M"));
	for (i = 0; i < NR_CONSUMERS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			fd = privheap_open();
			if (fd < 0 || cgroup_enter(&cgroup) ||
			    mlockall(MCL_CURRENT) || raise(SIGSTOP))
				_exit(2);
			consume(i, 48 * MIB, &span, fd);
		}
		/* What is not heaps each of them has before there is none left. */
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, WUNTRACED));
		ASSERT_TRUE(WIFSTOPPED(status));
	}
	for (i = 0; i < NR_CONSUMERS; i++)
		EXPECT_EQ(0, kill(pids[i], SIGCONT));
	for (i = 0; i < NR_CONSUMERS; i++)
		EXPECT_EQ(0, child_wait(pids[i]));
	EXPECT_EQ(0, cgroup_events(&cgroup, "oom_kill"));
	EXPECT_LT(0, cgroup_events(&cgroup, "max"));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* The memory that the machine says is to be had, in KiB. */
static unsigned long memory_available(void)
{
	char text[4096], *line;

	if (file_read("/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, "MemAvailable:");
	return line ? strtoul(line + strlen("MemAvailable:"), NULL, 10) : 0;
}

/* A machine without swap that somebody else has filled, but for a few MiB. */
TEST_F_TIMEOUT(stress, full_machine, 3600)
{
	struct span span = span_begin(6);
	pid_t pids[NR_CONSUMERS];
	size_t bytes = memory_available() * KIB;
	unsigned int i;
	char *others;

	ASSERT_LT(256 * MIB, bytes);
	bytes -= 160 * MIB;
	others = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, others);
	/* Should anybody be killed for memory, it is not who has heaps. */
	ASSERT_EQ(0, file_write("/proc/self/oom_score_adj", "1000"));
	for (i = 0; i < NR_CONSUMERS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			munmap(others, bytes);
			file_write("/proc/self/oom_score_adj", "0");
			consume(i, 20 * MIB, &span, privheap_open());
		}
	}
	for (i = 0; i < NR_CONSUMERS; i++)
		EXPECT_EQ(0, child_wait(pids[i]));
	munmap(others, bytes);
	EXPECT_EQ(0, file_write("/proc/self/oom_score_adj", "0"));
}

TEST_HARNESS_MAIN
