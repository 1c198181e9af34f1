// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small blocks, of which the library serves most without the kernel: that nobody
 * can tell, but by the time it takes. All of it holds with HEAPDEV_FRONTEND=0, too.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <heapdev-admin.h>

#include "kselftest_harness.h"
#include "library_util.h"
#include "seccomp_util.h"

/* The largest block that the front end serves. */
#define FRONT_MAX	((SIZE_T)16384)
#define NR_BLOCKS	3000

/* Sizes of all classes, small ones more often. */
static SIZE_T size_of(unsigned int i)
{
	return (SIZE_T)i * i * 7919 % (i % 16 ? 1000 : FRONT_MAX + 1);
}

static SIZE_T committed(HANDLE heap)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };

	return HeapSummary(heap, 0, &summary) ? summary.cbCommitted : NO_SIZE;
}

static SIZE_T allocated(HANDLE heap)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };

	return HeapSummary(heap, 0, &summary) ? summary.cbAllocated : NO_SIZE;
}

FIXTURE(frontend) {
	HANDLE heap;
	char *blocks[NR_BLOCKS];
	SIZE_T bytes;
};

FIXTURE_VARIANT(frontend) {
	DWORD flags;
	SIZE_T max_bytes;
};

FIXTURE_VARIANT_ADD(frontend, growable) {
};

FIXTURE_VARIANT_ADD(frontend, fixed) {
	.max_bytes = 16 * MIB,
};

FIXTURE_VARIANT_ADD(frontend, small) {
	.max_bytes = MIB - 1,
};

FIXTURE_VARIANT_ADD(frontend, not_serialized) {
	.flags = HEAP_NO_SERIALIZE,
};

FIXTURE_SETUP(frontend)
{
	self->heap = HeapCreate(variant->flags, 0, variant->max_bytes);
	ASSERT_HEAP(self->heap);
}

FIXTURE_TEARDOWN(frontend)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* Fills what fits into the smallest of the heaps. */
static unsigned int fill_heap(FIXTURE_DATA(frontend) *self)
{
	unsigned int i;

	for (i = 0; i < NR_BLOCKS && self->bytes < 300 * KIB; i++) {
		self->blocks[i] = HeapAlloc(self->heap, 0, size_of(i));
		if (!self->blocks[i])
			break;
		memset(self->blocks[i], i, size_of(i));
		self->bytes += size_of(i);
	}
	return i;
}

TEST_F(frontend, sizes_are_exact)
{
	SIZE_T bytes;
	char *block;

	for (bytes = 0; bytes <= FRONT_MAX + 100; bytes += 1 + bytes / 100) {
		block = HeapAlloc(self->heap, 0, bytes);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(0, (uintptr_t)block % 16);
		EXPECT_EQ(bytes, HeapSize(self->heap, 0, block));
		EXPECT_EQ(bytes, allocated(self->heap));
		EXPECT_TRUE(HeapValidate(self->heap, 0, block));
		EXPECT_TRUE(HeapFree(self->heap, 0, block));
	}
	EXPECT_EQ(0, allocated(self->heap));
}

TEST_F(frontend, zeroes_used_memory)
{
	SIZE_T bytes, i;
	char *block, any;

	for (bytes = 1; bytes <= FRONT_MAX; bytes = bytes * 3 / 2 + 1) {
		block = HeapAlloc(self->heap, 0, bytes);
		ASSERT_NE(NULL, block);
		memset(block, 0xa5, bytes);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
		block = HeapAlloc(self->heap, HEAP_ZERO_MEMORY, bytes);
		ASSERT_NE(NULL, block);
		for (i = 0, any = 0; i < bytes; i++)
			any |= block[i];
		EXPECT_EQ(0, any);
		ASSERT_TRUE(HeapFree(self->heap, 0, block));
	}
}

/* Each is refused, and changes nothing. */
TEST_F(frontend, wrong_pointers)
{
	static char foreign[64];
	HANDLE other = HeapCreate(0, 0, 0);
	unsigned int nr, i;
	SIZE_T offset;
	char *block;

	ASSERT_HEAP(other);
	nr = fill_heap(self);
	ASSERT_LT(20, nr);
	for (i = 0; i < nr; i += 7) {
		block = self->blocks[i];
		preset_errors();
		for (offset = 1; offset < size_of(i); offset += 1 + offset / 3) {
			EXPECT_FALSE(HeapFree(self->heap, 0, block + offset));
			EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		}
		EXPECT_FALSE(HeapFree(other, 0, block));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_EQ(NO_SIZE, HeapSize(other, 0, block));
		EXPECT_FALSE(HeapValidate(other, 0, block));
		EXPECT_EQ(size_of(i), HeapSize(self->heap, 0, block));
	}
	preset_errors();
	EXPECT_FALSE(HeapFree(self->heap, 0, foreign));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapFree(self->heap, 0, (void *)-16));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(self->bytes, allocated(self->heap));
	EXPECT_TRUE(HeapDestroy(other));
}

TEST_F(frontend, free_twice)
{
	unsigned int nr = fill_heap(self), i;

	for (i = 0; i < nr; i++) {
		ASSERT_TRUE(HeapFree(self->heap, 0, self->blocks[i]));
		preset_errors();
		EXPECT_FALSE(HeapFree(self->heap, 0, self->blocks[i]));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_FALSE(HeapValidate(self->heap, 0, self->blocks[i]));
		EXPECT_EQ(NO_SIZE, HeapSize(self->heap, 0, self->blocks[i]));
	}
	EXPECT_EQ(0, allocated(self->heap));
	HeapCompact(self->heap, 0);
	for (i = 0; i < nr; i++) {
		EXPECT_FALSE(HeapFree(self->heap, 0, self->blocks[i]));
	}
}

TEST_F(frontend, walk_finds_what_lives)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	unsigned int nr = fill_heap(self), live = 0, seen = 0, i;
	SIZE_T bytes = 0;

	for (i = 0; i < nr; i++) {
		if (i % 3) {
			ASSERT_TRUE(HeapFree(self->heap, 0, self->blocks[i]));
			self->bytes -= size_of(i);
		} else {
			live++;
		}
	}
	EXPECT_TRUE(HeapLock(self->heap));
	while (HeapWalk(self->heap, &entry)) {
		if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY))
			continue;
		seen++;
		bytes += entry.cbData;
		EXPECT_EQ(entry.cbData, HeapSize(self->heap, 0, entry.lpData));
	}
	EXPECT_EQ(ERROR_NO_MORE_ITEMS, GetLastError());
	EXPECT_TRUE(HeapUnlock(self->heap));
	EXPECT_EQ(live, seen);
	EXPECT_EQ(self->bytes, bytes);
	EXPECT_EQ(self->bytes, allocated(self->heap));
}

TEST_F(frontend, realloc_keeps_contents)
{
	SIZE_T bytes, i, bad = 0;
	char *block = HeapAlloc(self->heap, 0, 0);

	for (bytes = 1; bytes < 3 * FRONT_MAX; bytes = bytes * 5 / 4 + 1) {
		block = HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, block, bytes);
		ASSERT_NE(NULL, block);
		EXPECT_EQ(bytes, HeapSize(self->heap, 0, block));
		for (i = 0; i < bytes; i++)
			bad += block[i] && block[i] != (char)i;
		for (i = 0; i < bytes; i++)
			block[i] = i;
	}
	for (; bytes; bytes /= 2) {
		block = HeapReAlloc(self->heap, 0, block, bytes);
		ASSERT_NE(NULL, block);
		for (i = 0; i < bytes; i++)
			bad += block[i] != (char)i && i < 3 * FRONT_MAX / 2;
	}
	EXPECT_EQ(0, bad);
	EXPECT_TRUE(HeapFree(self->heap, 0, block));
	EXPECT_EQ(0, allocated(self->heap));
}

TEST_F(frontend, compact_gives_all_back)
{
	SIZE_T before = committed(self->heap);
	unsigned int nr = fill_heap(self), i;

	EXPECT_LT(before, committed(self->heap));
	for (i = 0; i < nr; i++) {
		ASSERT_TRUE(HeapFree(self->heap, 0, self->blocks[i]));
	}
	HeapCompact(self->heap, 0);
	EXPECT_EQ(before, committed(self->heap));
}

/* No call of the library was made before. */
TEST(first_call_without_heap)
{
	preset_errors();
	EXPECT_TRUE(HeapFree(NULL, 0, NULL));
	EXPECT_NO_ERROR();
	EXPECT_EQ(NULL, HeapAlloc(NULL, 0, 1));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapFree(NULL, 0, &(char){ 0 }));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/* By the page table of the process; a touch would make it so. */
static bool is_resident(int pagemap, const char *page)
{
	uint64_t entry;

	return pread(pagemap, &entry, sizeof(entry), (uintptr_t)page /
		     sysconf(_SC_PAGESIZE) * sizeof(entry)) == sizeof(entry) &&
	       entry >> 63;
}

/* Of 1 KiB each, so that some pages hold a block and others do not. */
TEST_F(frontend, compact_drops_pages_without_block)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t page_bytes = sysconf(_SC_PAGESIZE);
	unsigned int i, j, nr = 600, nr_without = 0, nr_resident = 0;
	char *page;

	ASSERT_LE(0, pagemap);
	for (i = 0; i < nr; i++) {
		self->blocks[i] = HeapAlloc(self->heap, 0, KIB);
		ASSERT_NE(NULL, self->blocks[i]);
		memset(self->blocks[i], i, KIB);
	}
	for (i = 0; i < nr; i++) {
		if (i % 11) {
			ASSERT_TRUE(HeapFree(self->heap, 0, self->blocks[i]));
		}
	}
	HeapCompact(self->heap, 0);
	for (i = 0; i < nr; i++) {
		page = self->blocks[i] - (uintptr_t)self->blocks[i] % page_bytes;
		for (j = 0; j < nr; j += 11)
			if ((size_t)(self->blocks[j] - page) < page_bytes)
				break;
		if (j < nr)
			continue;
		nr_without++;
		nr_resident += is_resident(pagemap, page);
	}
	/* Blocks are counted here; those of the heap's first page keep that. */
	EXPECT_LT(nr / 3, nr_without);
	EXPECT_GE(page_bytes / KIB, nr_resident);
	for (i = 0; i < nr; i += 11) {
		EXPECT_TRUE(is_resident(pagemap, self->blocks[i]));
		EXPECT_EQ((char)i, self->blocks[i][KIB - 1]);
	}
	/* They get memory again when they are used. */
	for (i = 0; i < nr; i++) {
		if (i % 11) {
			self->blocks[i] = HeapAlloc(self->heap, 0, KIB);
			ASSERT_NE(NULL, self->blocks[i]);
			memset(self->blocks[i], i, KIB);
		}
	}
	for (i = 0; i < nr; i++) {
		EXPECT_EQ((char)i, self->blocks[i][0]);
		EXPECT_EQ((char)i, self->blocks[i][KIB - 1]);
	}
	close(pagemap);
}

/* What is kept goes before an allocation fails. */
TEST_F(frontend, full_heap_gives_back)
{
	HANDLE heap = HeapCreate(variant->flags, 0, 4 * MIB);
	void *last = NULL, *block, *large;

	ASSERT_HEAP(heap);
	while ((block = HeapAlloc(heap, 0, 3000))) {
		*(void **)block = last;
		last = block;
	}
	EXPECT_LT(3 * MIB, allocated(heap));
	for (; last; last = block) {
		block = *(void **)last;
		ASSERT_TRUE(HeapFree(heap, 0, last));
	}
	large = HeapAlloc(heap, 0, FIXED_BLOCK_MAX);
	EXPECT_NE(NULL, large);
	EXPECT_NE(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX));
	EXPECT_NE(NULL, HeapAlloc(heap, 0, FIXED_BLOCK_MAX));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* At a limit, too, and for all sizes. */
TEST(limit_gives_back)
{
	HEAPDEV_OPTIONS options = {
		.cb = sizeof(options), .LimitBytes = 4 * MIB,
	};
	HANDLE heap = HeapdevCreate(0, 0, 0, &options);
	void *last = NULL, *block;
	SIZE_T bytes;

	ASSERT_HEAP(heap);
	for (bytes = 16; bytes <= FRONT_MAX; bytes *= 2) {
		while ((block = HeapAlloc(heap, 0, bytes))) {
			*(void **)block = last;
			last = block;
		}
		EXPECT_LT(3 * MIB, allocated(heap));
		EXPECT_GE(4 * MIB, committed(heap));
		for (; last; last = block) {
			block = *(void **)last;
			ASSERT_TRUE(HeapFree(heap, 0, last));
		}
	}
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Threads */

struct worker {
	pthread_t thread;
	pthread_barrier_t *barrier;
	HANDLE heap;
	_Atomic int *stop;
	DWORD error;
	char mark;
	unsigned int nr_bad;
};

static void *use_and_end(void *arg)
{
	struct worker *worker = arg;
	void *blocks[500];
	unsigned int i;

	for (i = 0; i < 500; i++)
		blocks[i] = HeapAlloc(worker->heap, 0, size_of(i));
	for (i = 0; i < 500; i++)
		worker->nr_bad += !HeapFree(worker->heap, 0, blocks[i]);
	return NULL;
}

TEST(thread_end_gives_back)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	struct worker worker = { .heap = heap };
	SIZE_T before = committed(heap);
	int i;

	ASSERT_HEAP(heap);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, pthread_create(&worker.thread, NULL, use_and_end,
					    &worker));
		pthread_join(worker.thread, NULL);
	}
	EXPECT_EQ(0, worker.nr_bad);
	EXPECT_EQ(0, allocated(heap));
	HeapCompact(heap, 0);
	EXPECT_EQ(before, committed(heap));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Fills a cache, and keeps it until it is told to end. */
static void *use_and_wait(void *arg)
{
	struct worker *worker = arg;

	use_and_end(arg);
	pthread_barrier_wait(worker->barrier);
	pthread_barrier_wait(worker->barrier);
	return NULL;
}

/* What other heaps keep, and other threads of theirs, goes before a call fails. */
TEST(limit_of_process_empties_other_heaps)
{
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits) };
	HANDLE heap = HeapCreate(0, 0, 0), other = HeapCreate(0, 0, 0);
	pthread_barrier_t barrier;
	struct worker worker = { .heap = other, .barrier = &barrier };
	void *blocks[400];
	SIZE_T bytes = 0;
	unsigned int i;

	ASSERT_HEAP(heap);
	ASSERT_HEAP(other);
	pthread_barrier_init(&barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&worker.thread, NULL, use_and_wait, &worker));
	pthread_barrier_wait(&barrier);
	for (i = 0; i < 400; i++) {
		blocks[i] = HeapAlloc(other, 0, 1000);
		ASSERT_NE(NULL, blocks[i]);
	}
	ASSERT_TRUE(HeapdevGetLimits(NULL, &limits));
	limits.HardBytes = limits.UsageBytes + 32 * KIB;
	ASSERT_TRUE(HeapdevSetLimits(NULL, HEAPDEV_LIMIT_HARD, &limits));
	for (i = 0; i < 400; i++) {
		ASSERT_TRUE(HeapFree(other, 0, blocks[i]));
	}
	EXPECT_EQ(0, allocated(other));
	/* All but what describes heaps and caches, and a few spans of the kernel. */
	while (HeapAlloc(heap, 0, 64 * KIB))
		bytes += 64 * KIB;
	EXPECT_LE(limits.HardBytes, bytes + 256 * KIB);
	EXPECT_GE(limits.HardBytes, bytes);
	pthread_barrier_wait(&barrier);
	pthread_join(worker.thread, NULL);
	EXPECT_EQ(0, worker.nr_bad);
	EXPECT_TRUE(HeapValidate(other, 0, NULL));
	EXPECT_TRUE(HeapDestroy(other));
	EXPECT_TRUE(HeapDestroy(heap));
}

static void *use_destroyed(void *arg)
{
	struct worker *worker = arg;
	void *block = HeapAlloc(worker->heap, 0, 100);

	HeapFree(worker->heap, 0, HeapAlloc(worker->heap, 0, 100));
	pthread_barrier_wait(worker->barrier);
	pthread_barrier_wait(worker->barrier);
	worker->nr_bad += HeapAlloc(worker->heap, 0, 100) != NULL;
	worker->error = GetLastError();
	worker->nr_bad += HeapFree(worker->heap, 0, block);
	return NULL;
}

TEST(destroy_while_others_have_caches)
{
	pthread_barrier_t barrier;
	struct worker workers[4];
	HANDLE heap = HeapCreate(0, 0, 0);
	int i;

	ASSERT_HEAP(heap);
	pthread_barrier_init(&barrier, NULL, 5);
	for (i = 0; i < 4; i++) {
		workers[i] = (struct worker) {
			.heap = heap, .barrier = &barrier,
		};
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL,
					    use_destroyed, &workers[i]));
	}
	pthread_barrier_wait(&barrier);
	EXPECT_TRUE(HeapDestroy(heap));
	pthread_barrier_wait(&barrier);
	for (i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].nr_bad);
		EXPECT_EQ(ERROR_INVALID_HANDLE, workers[i].error);
	}
}

static void *use_until_stopped(void *arg)
{
	struct worker *worker = arg;
	void *blocks[64] = { NULL };
	unsigned int i = 0;

	while (!atomic_load(worker->stop)) {
		HeapFree(worker->heap, 0, blocks[i % 64]);
		blocks[i % 64] = HeapAlloc(worker->heap, 0, size_of(i));
		worker->nr_bad += !blocks[i % 64];
		if (++i == 200)
			pthread_barrier_wait(worker->barrier);
	}
	return NULL;
}

static unsigned int walk_sum(HANDLE heap, SIZE_T *bytes)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	unsigned int nr = 0;

	*bytes = 0;
	while (HeapWalk(heap, &entry)) {
		nr++;
		if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY)
			*bytes += entry.cbData;
	}
	return nr;
}

/* Nobody allocates or frees, however much there is in its cache. */
TEST(lock_holds_threads_with_caches)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	pthread_barrier_t barrier;
	_Atomic int stop = 0;
	struct worker worker = {
		.heap = heap, .barrier = &barrier, .stop = &stop,
	};
	SIZE_T first, second;
	unsigned int nr;
	int i;

	ASSERT_HEAP(heap);
	pthread_barrier_init(&barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&worker.thread, NULL, use_until_stopped,
				    &worker));
	pthread_barrier_wait(&barrier);
	for (i = 0; i < 20; i++) {
		ASSERT_TRUE(HeapLock(heap));
		nr = walk_sum(heap, &first);
		sched_yield();
		EXPECT_EQ(nr, walk_sum(heap, &second));
		EXPECT_EQ(first, second);
		EXPECT_EQ(first, allocated(heap));
		ASSERT_TRUE(HeapUnlock(heap));
		sched_yield();
	}
	atomic_store(&stop, 1);
	pthread_join(worker.thread, NULL);
	EXPECT_EQ(0, worker.nr_bad);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Other threads' calls are waited for, or nothing goes on */

/* Only a thread with a lower priority can end what it waits for, on the same CPU. */
static int lock_with_priority(void *arg)
{
	const struct sched_param high = { .sched_priority = 1 }, none = { 0 };
	const struct timespec moment = { .tv_nsec = 500000 };
	HANDLE heap = HeapCreate(0, 0, 0);
	pthread_barrier_t barrier;
	_Atomic int stop = 0;
	struct worker worker = {
		.heap = heap, .barrier = &barrier, .stop = &stop,
	};
	cpu_set_t cpu;
	int i;

	(void)arg;
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		return 2;
	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&worker.thread, NULL, use_until_stopped, &worker))
		return 3;
	pthread_barrier_wait(&barrier);
	alarm(20);	/* it might wait for ever */
	if (sched_setscheduler(0, SCHED_FIFO, &high))
		return 4;
	for (i = 0; i < 300; i++) {
		if (!HeapLock(heap) || !HeapUnlock(heap))
			return 5;
		nanosleep(&moment, NULL);	/* the other one goes on */
	}
	if (sched_setscheduler(0, SCHED_OTHER, &none))
		return 6;
	atomic_store(&stop, 1);
	pthread_join(worker.thread, NULL);
	return worker.nr_bad ? 7 : 0;
}

#define RT_RUNTIME	"/proc/sys/kernel/sched_rt_runtime_us"

static bool set_rt_runtime(const char *text)
{
	int fd = open(RT_RUNTIME, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return done;
}

TEST(lock_by_thread_with_priority)
{
	char before[32] = { 0 };
	struct outcome outcome;
	int fd = open(RT_RUNTIME, O_RDONLY | O_CLOEXEC);

	ASSERT_LT(0, read(fd, before, sizeof(before) - 1));
	close(fd);
	ASSERT_TRUE(set_rt_runtime("-1"));
	outcome = run_in_child(lock_with_priority, NULL);
	EXPECT_TRUE(set_rt_runtime(before));
	EXPECT_TRUE(ended_well(&outcome)) {
		TH_LOG("child: status %#x", outcome.status);
	}
}

/* As in a sandbox that came after the first heap. */
static int compact_in_sandbox(void *arg)
{
	pthread_barrier_t barrier;
	struct worker worker = { .heap = HeapCreate(0, 0, 0), .barrier = &barrier };

	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&worker.thread, NULL, use_and_wait, &worker))
		return 2;
	pthread_barrier_wait(&barrier);
	HeapFree(worker.heap, 0, HeapAlloc(worker.heap, 0, 10));
	if (refuse_call(SYS_membarrier, *(int *)arg))
		return 3;
	HeapCompact(worker.heap, 0);
	return 0;
}

TEST(compact_without_barrier)
{
	int errors[] = { EPERM, ENOSYS, EINVAL };
	struct outcome outcome;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		outcome = run_in_child(compact_in_sandbox, &errors[i]);
		if (!front_end_is_on()) {
			EXPECT_TRUE(ended_well(&outcome));
			continue;
		}
		EXPECT_TRUE(ended_by(&outcome, SIGABRT)) {
			TH_LOG("child: status %#x", outcome.status);
		}
		EXPECT_EQ(1, count_lines(outcome.text));
		EXPECT_NE(NULL, strstr(outcome.text, "libheapdev: membarrier"));
	}
}

/* There are threads whose calls another one answers. */
struct answers {
	pthread_barrier_t barrier;
	int fd;
	_Atomic unsigned int nr_calls;
};

/* The first ones fail. */
static void *fail_three(void *arg)
{
	struct answers *answers = arg;
	struct seccomp_notif call;

	pthread_barrier_wait(&answers->barrier);
	while (!next_held(answers->fd, &call)) {
		if (++answers->nr_calls <= 3)
			answer_held(answers->fd, &call, ENOMEM);
		else
			let_go(answers->fd, &call);
	}
	return NULL;
}

static int compact_without_memory(void *arg)
{
	static struct answers answers;
	pthread_barrier_t barrier;
	struct worker worker = { .heap = HeapCreate(0, 0, 0), .barrier = &barrier };
	pthread_t thread;

	(void)arg;
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_barrier_init(&answers.barrier, NULL, 2);
	if (pthread_create(&worker.thread, NULL, use_and_wait, &worker) ||
	    pthread_create(&thread, NULL, fail_three, &answers))
		return 2;
	pthread_barrier_wait(&barrier);
	HeapFree(worker.heap, 0, HeapAlloc(worker.heap, 0, 10));
	answers.fd = hold_call(SYS_membarrier);
	if (answers.fd < 0)
		return 3;
	pthread_barrier_wait(&answers.barrier);
	HeapCompact(worker.heap, 0);
	return answers.nr_calls < (front_end_is_on() ? 4 : 0) ? 4 : 0;
}

/* That the kernel has no memory for it passes. */
TEST(compact_waits_for_barrier)
{
	struct outcome outcome = run_in_child(compact_without_memory, NULL);

	EXPECT_TRUE(ended_well(&outcome)) {
		TH_LOG("child: status %#x", outcome.status);
	}
	EXPECT_STREQ("", outcome.text);
}

/* Blocks that one thread allocates and another one frees. */
#define NR_PASSED	scaled(20000)

struct ring {
	HANDLE heap;
	void *_Atomic places[256];
	unsigned int nr_bad;
};

static void *free_what_comes(void *arg)
{
	struct ring *ring = arg;
	unsigned int i;
	char *block;

	for (i = 0; i < NR_PASSED; i++) {
		while (!(block = atomic_exchange(&ring->places[i % 256], NULL)))
			sched_yield();
		ring->nr_bad += *block != (char)i;
		ring->nr_bad += !HeapFree(ring->heap, 0, block);
	}
	return NULL;
}

TEST(free_in_other_thread)
{
	static struct ring ring;
	pthread_t thread;
	unsigned int i;
	char *block;

	ring.heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(ring.heap);
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_what_comes, &ring));
	for (i = 0; i < NR_PASSED; i++) {
		block = HeapAlloc(ring.heap, 0, 1 + size_of(i % 100));
		ASSERT_NE(NULL, block);
		*block = i;
		while (ring.places[i % 256])
			sched_yield();
		atomic_store(&ring.places[i % 256], block);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(0, ring.nr_bad);
	EXPECT_EQ(0, allocated(ring.heap));
	EXPECT_TRUE(HeapValidate(ring.heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(ring.heap));
}

/* Blocks of which every second one is freed, so that no span goes back. */
#define NR_SCATTERED	4000
#define SCATTERED_BYTES	1000

struct scattered {
	struct worker worker;
	void *blocks[NR_SCATTERED];
	unsigned int nr;
};

/* Fills the heap, frees every second block, and the others when all are done. */
static void *scatter(void *arg)
{
	struct scattered *scattered = arg;
	struct worker *worker = &scattered->worker;
	void *block;
	unsigned int i;

	while (scattered->nr < NR_SCATTERED &&
	       (block = HeapAlloc(worker->heap, 0, SCATTERED_BYTES)))
		scattered->blocks[scattered->nr++] = block;
	for (i = 0; i < scattered->nr; i += 2)
		worker->nr_bad += !HeapFree(worker->heap, 0, scattered->blocks[i]);
	pthread_barrier_wait(worker->barrier);
	pthread_barrier_wait(worker->barrier);
	for (i = 1; i < scattered->nr; i += 2)
		worker->nr_bad += !HeapFree(worker->heap, 0, scattered->blocks[i]);
	return NULL;
}

/* Free slots among the blocks of one thread are there for another. */
TEST(full_heap_has_slots_of_other_threads)
{
	static struct scattered scattered;
	struct worker *worker = &scattered.worker;
	static void *blocks[NR_SCATTERED];
	pthread_barrier_t barrier;
	unsigned int nr = 0, i;

	worker->heap = HeapCreate(0, 0, 2 * MIB);
	ASSERT_HEAP(worker->heap);
	pthread_barrier_init(&barrier, NULL, 2);
	worker->barrier = &barrier;
	ASSERT_EQ(0, pthread_create(&worker->thread, NULL, scatter, &scattered));
	pthread_barrier_wait(&barrier);
	EXPECT_LT(1500, scattered.nr);
	while ((blocks[nr] = HeapAlloc(worker->heap, 0, SCATTERED_BYTES)))
		ASSERT_GT(NR_SCATTERED, ++nr);
	/* But for those that the other one keeps in its cache. */
	EXPECT_LE(scattered.nr / 2 * SCATTERED_BYTES, nr * SCATTERED_BYTES + 128 * KIB);
	EXPECT_EQ((scattered.nr / 2 + nr) * SCATTERED_BYTES, allocated(worker->heap));
	pthread_barrier_wait(&barrier);
	for (i = 0; i < nr; i++)
		EXPECT_TRUE(HeapFree(worker->heap, 0, blocks[i]));
	pthread_join(worker->thread, NULL);
	EXPECT_EQ(0, worker->nr_bad);
	EXPECT_EQ(0, allocated(worker->heap));
	EXPECT_TRUE(HeapValidate(worker->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(worker->heap));
}

/* Allocates many and frees many in turn; each byte tells whose block it is. */
static void *churn(void *arg)
{
	struct scattered *scattered = arg;
	struct worker *worker = &scattered->worker;
	unsigned int seed = (uintptr_t)scattered, round, i;
	char mark = worker->mark, expected[SCATTERED_BYTES];
	void **block;

	memset(expected, mark, sizeof(expected));
	for (round = 0; round < 8000; round++) {
		block = &scattered->blocks[rand_r(&seed) % scattered->nr];
		if (round / 512 % 2 == !*block)
			continue;
		if (!*block) {
			*block = HeapAlloc(worker->heap, 0, SCATTERED_BYTES);
			if (*block)
				memset(*block, mark, SCATTERED_BYTES);
			continue;
		}
		worker->nr_bad += !!memcmp(*block, expected, SCATTERED_BYTES);
		worker->nr_bad += !HeapFree(worker->heap, 0, *block);
		*block = NULL;
	}
	for (i = 0; i < scattered->nr; i++)
		worker->nr_bad += scattered->blocks[i] &&
				  !HeapFree(worker->heap, 0, scattered->blocks[i]);
	return NULL;
}

/*
 * Each takes over spans of the other one, which frees blocks there meanwhile. Soon all
 * spans are everybody's, so each round has a heap of its own.
 */
TEST(full_heap_is_used_by_two_threads)
{
	static struct scattered scattered[2];
	unsigned int round, i;
	HANDLE heap;

	for (round = 0; round < scaled(40); round++) {
		heap = HeapCreate(0, 0, MIB);
		ASSERT_HEAP(heap);
		for (i = 0; i < 2; i++) {
			scattered[i] = (struct scattered){
				.worker = { .heap = heap, .mark = i + 1 },
				.nr = NR_SCATTERED / 4,
			};
			ASSERT_EQ(0, pthread_create(&scattered[i].worker.thread, NULL,
						    churn, &scattered[i]));
		}
		for (i = 0; i < 2; i++) {
			pthread_join(scattered[i].worker.thread, NULL);
			EXPECT_EQ(0, scattered[i].worker.nr_bad);
		}
		EXPECT_EQ(0, allocated(heap));
		EXPECT_TRUE(HeapValidate(heap, 0, NULL));
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

#define NR_CONTESTED	2000

/* Blocks that two threads free, one after the other, at the same moment. */
struct contest {
	HANDLE heap;
	_Atomic(void *) blocks[NR_CONTESTED];
	_Atomic unsigned int nr_steps;
	_Atomic unsigned int nr_freed;
	void *_Atomic resized;
};

static void wait_for_both(struct contest *contest, unsigned int step)
{
	contest->nr_steps++;
	while (contest->nr_steps < 2 * step)
		sched_yield();
}

static void free_contested(struct contest *contest, unsigned int i)
{
	void *block;

	while (!(block = contest->blocks[i]))
		sched_yield();
	wait_for_both(contest, 2 * i + 1);
	contest->nr_freed += HeapFree(contest->heap, 0, block);
	wait_for_both(contest, 2 * i + 2);
}

static void *free_all_contested(void *arg)
{
	unsigned int i;

	for (i = 0; i < scaled(NR_CONTESTED); i++)
		free_contested(arg, i);
	return NULL;
}

/* Of two threads that free a block, one succeeds, whoever allocated it. */
TEST(free_at_once_in_two_threads)
{
	static struct contest contest;
	unsigned int nr = scaled(NR_CONTESTED), i;
	pthread_t thread;

	contest.heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(contest.heap);
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_all_contested, &contest));
	for (i = 0; i < nr; i++) {
		contest.blocks[i] = HeapAlloc(contest.heap, 0, 16 + i % 1000);
		ASSERT_NE(NULL, contest.blocks[i]);
		free_contested(&contest, i);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(nr, contest.nr_freed);
	EXPECT_EQ(0, allocated(contest.heap));
	EXPECT_TRUE(HeapValidate(contest.heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(contest.heap));
}

static void *resize_all_contested(void *arg)
{
	struct contest *contest = arg;
	unsigned int i;
	void *block;

	for (i = 0; i < scaled(NR_CONTESTED); i++) {
		while (!(block = contest->blocks[i]))
			sched_yield();
		wait_for_both(contest, 3 * i + 1);
		contest->resized = HeapReAlloc(contest->heap, HEAP_ZERO_MEMORY, block,
					       17 + i % 1000);
		wait_for_both(contest, 3 * i + 2);
		wait_for_both(contest, 3 * i + 3);
	}
	return NULL;
}

/* A block that one thread frees while another one makes it longer is one block, or none. */
TEST(free_while_resized)
{
	static struct contest contest;
	unsigned int nr = scaled(NR_CONTESTED), i;
	pthread_t thread;
	BOOL freed;

	contest.heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(contest.heap);
	ASSERT_EQ(0, pthread_create(&thread, NULL, resize_all_contested, &contest));
	for (i = 0; i < nr; i++) {
		contest.blocks[i] = HeapAlloc(contest.heap, 0, 16 + i % 1000);
		ASSERT_NE(NULL, contest.blocks[i]);
		wait_for_both(&contest, 3 * i + 1);
		freed = HeapFree(contest.heap, 0, contest.blocks[i]);
		wait_for_both(&contest, 3 * i + 2);
		EXPECT_EQ(!freed, HeapFree(contest.heap, 0, contest.resized) &&
			  contest.resized);
		wait_for_both(&contest, 3 * i + 3);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(0, allocated(contest.heap));
	EXPECT_TRUE(HeapValidate(contest.heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(contest.heap));
}

TEST(reset_empties_caches)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	struct worker worker = { .heap = heap };
	char *before[100], *block;
	int i, round;

	ASSERT_HEAP(heap);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 100; i++) {
			before[i] = HeapAlloc(heap, 0, size_of(i));
			ASSERT_NE(NULL, before[i]);
		}
		ASSERT_TRUE(HeapFree(heap, 0, before[99]));
		ASSERT_TRUE(HeapdevReset(heap, 0));
		EXPECT_EQ(0, allocated(heap));
		EXPECT_TRUE(HeapValidate(heap, 0, NULL));
		for (i = 0; i < 99; i++) {
			EXPECT_FALSE(HeapFree(heap, 0, before[i]));
		}
		block = HeapAlloc(heap, 0, 100);
		ASSERT_NE(NULL, block);
		memset(block, round, 100);
		EXPECT_EQ(100, allocated(heap));
		ASSERT_EQ(0, pthread_create(&worker.thread, NULL, use_and_end,
					    &worker));
		pthread_join(worker.thread, NULL);
		EXPECT_EQ(0, worker.nr_bad);
	}
	EXPECT_TRUE(HeapDestroy(heap));
}

/* A child has its own heaps; what the parent's caches held is not the child's. */
TEST(fork_with_caches)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block, *kept;
	int status;
	pid_t pid;

	ASSERT_HEAP(heap);
	kept = HeapAlloc(heap, 0, 100);
	block = HeapAlloc(heap, 0, 100);
	ASSERT_TRUE(HeapFree(heap, 0, block));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (HeapAlloc(heap, 0, 100) || HeapFree(heap, 0, kept))
			_exit(1);
		heap = HeapCreate(0, 0, 0);
		block = HeapAlloc(heap, 0, 100);
		_exit(!block || !HeapFree(heap, 0, block) ||
		      !HeapDestroy(heap));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(100, HeapSize(heap, 0, kept));
	EXPECT_TRUE(HeapFree(heap, 0, kept));
	EXPECT_EQ(0, allocated(heap));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* A program that writes where it has no business to */

#define NR_SCRIBBLED	100

static int scribble(const char *start, const char *end, unsigned int seed)
{
	fill((void *)start, end - start, seed);
	return 1;
}

/* The front end's own memory: 4 MiB between pages that nobody can touch. */
static int scribble_all(unsigned int seed)
{
	char line[256], *end_before = NULL, *start, *end, mode[5];
	FILE *maps = fopen("/proc/self/maps", "r");
	bool guard = false;
	int nr = 0;

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%p-%p %4s", &start, &end, mode) != 3)
			continue;
		if (guard && end_before == start && !strcmp(mode, "rw-p") &&
		    end - start == (ptrdiff_t)(4 * MIB))
			nr += scribble(start, end, seed);
		guard = !strcmp(mode, "---p");
		end_before = end;
	}
	return nr;
}

/* What may go wrong now is this process's own. */
static void use_scribbled(HANDLE heap, char **blocks)
{
	int i;

	for (i = 0; i < NR_SCRIBBLED; i++) {
		HeapFree(heap, 0, blocks[i]);
		HeapAlloc(heap, 0, 100 + i);
		HeapSize(heap, 0, blocks[i]);
	}
	HeapFree(heap, 0, HeapAlloc(heap, 0, 100 * KIB));
	HeapCompact(heap, 0);
	HeapdevReset(heap, 0);
	HeapDestroy(heap);
}

struct scribbler {
	unsigned int seed;
	int ready[2], go[2];
};

static void scribble_in_child(const struct scribbler *scribbler)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *blocks[NR_SCRIBBLED], c;
	int i;

	for (i = 0; i < NR_SCRIBBLED; i++)
		blocks[i] = HeapAlloc(heap, 0, 100);
	for (c = 'a'; c <= 'b'; c++) {
		if (write(scribbler->ready[1], &c, 1) != 1 ||
		    read(scribbler->go[0], &c, 1) != 1)
			_exit(1);
		if (c == 'a' &&
		    scribble_all(scribbler->seed) != front_end_is_on())
			_exit(2);
	}
	alarm(20);	/* a list may have become a ring */
	use_scribbled(heap, blocks);
	_exit(0);
}

static int copy_heap(const struct heapdev_admin_heap *heap, void *arg)
{
	*(struct heapdev_admin_heap *)arg = *heap;
	return 0;
}

/* The last heap of a process; its serial is 0 if there is none. */
static struct heapdev_admin_heap heap_of(struct heapdev_admin *admin, pid_t pid)
{
	const struct heapdev_admin_filter filter = {
		.fields = HEAPDEV_ADMIN_BY_PID, .pid = pid,
	};
	struct heapdev_admin_heap heap = { .serial = 0 };

	heapdev_admin_list_heaps(admin, &filter, copy_heap, &heap);
	return heap;
}

FIXTURE(scribble) {
	struct heapdev_admin *admin;
	struct heapdev_admin_heap before, after;
	struct scribbler scribbler;
	pid_t pid;
};

FIXTURE_VARIANT(scribble) {
	unsigned int seed;
};

FIXTURE_VARIANT_ADD(scribble, first) {
	.seed = 1,
};

FIXTURE_VARIANT_ADD(scribble, second) {
	.seed = 77,
};

FIXTURE_VARIANT_ADD(scribble, third) {
	.seed = 200,
};

FIXTURE_SETUP(scribble)
{
	struct rlimit no_core = { 0, 0 };

	ASSERT_EQ(0, heapdev_admin_open(&self->admin));
	ASSERT_EQ(0, pipe(self->scribbler.ready));
	ASSERT_EQ(0, pipe(self->scribbler.go));
	self->scribbler.seed = variant->seed;
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		scribble_in_child(&self->scribbler);
	}
	close(self->scribbler.ready[1]);
	close(self->scribbler.go[0]);
}

FIXTURE_TEARDOWN(scribble)
{
	heapdev_admin_close(self->admin);
}

/* The kernel tells no more than can be true, and nothing is left in the end. */
TEST_F(scribble, kernel_stays_correct)
{
	int status;
	char c;

	ASSERT_EQ(1, read(self->scribbler.ready[0], &c, 1));
	self->before = heap_of(self->admin, self->pid);
	EXPECT_EQ(NR_SCRIBBLED, self->before.nr_blocks);
	EXPECT_EQ(NR_SCRIBBLED * 100, self->before.allocated_bytes);
	ASSERT_EQ(1, write(self->scribbler.go[1], &c, 1));
	ASSERT_EQ(1, read(self->scribbler.ready[0], &c, 1));
	self->after = heap_of(self->admin, self->pid);
	EXPECT_EQ(self->before.serial, self->after.serial);
	EXPECT_EQ(self->before.committed_bytes, self->after.committed_bytes);
	EXPECT_EQ(self->before.reserved_bytes, self->after.reserved_bytes);
	EXPECT_GE(self->after.committed_bytes, self->after.allocated_bytes);
	EXPECT_GE(self->after.committed_bytes / 16, self->after.nr_blocks);
	ASSERT_EQ(1, write(self->scribbler.go[1], &c, 1));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) || !WEXITSTATUS(status));
	EXPECT_EQ(0, heap_of(self->admin, self->pid).serial);
}

TEST_HARNESS_MAIN
