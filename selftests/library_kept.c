// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps that are destroyed and made again: the library keeps some of them, of which
 * nothing can be told but that it is fast. What the kernel knows tells the rest.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <heapdev-admin.h>

#include "kselftest_harness.h"
#include "library_util.h"
#include "seccomp_util.h"

/* So many are kept at most, and so much is in the spans of one. */
#define MAX_KEPT	8
#define MAX_KEPT_BYTES	(512 * KIB)
#define NR_BLOCKS	200

struct sum {
	unsigned int nr_heaps;
	uint64_t last_serial;
	uint64_t nr_blocks;
	uint64_t allocated_bytes;
	uint64_t committed_bytes;
};

static int add_heap(const struct heapdev_admin_heap *heap, void *arg)
{
	struct sum *sum = arg;

	sum->nr_heaps++;
	sum->last_serial = heap->serial;
	sum->nr_blocks += heap->nr_blocks;
	sum->allocated_bytes += heap->allocated_bytes;
	sum->committed_bytes += heap->committed_bytes;
	return 0;
}

/* What the kernel has of this process. */
static struct sum sum_up(void)
{
	const struct heapdev_admin_filter filter = {
		.fields = HEAPDEV_ADMIN_BY_PID, .pid = getpid(),
	};
	struct sum sum = { .nr_heaps = 0 };
	struct heapdev_admin *admin;

	if (heapdev_admin_open(&admin) ||
	    heapdev_admin_list_heaps(admin, &filter, add_heap, &sum))
		sum.nr_heaps = UINT32_MAX;
	heapdev_admin_close(admin);
	return sum;
}

static SIZE_T size_of(unsigned int i)
{
	return (SIZE_T)i * 7919 % (i % 16 ? 300 : 5000);
}

/* A request: how many of its blocks were not had. */
static unsigned int use(HANDLE heap, char **blocks)
{
	unsigned int i, nr_bad = 0;

	for (i = 0; i < NR_BLOCKS; i++) {
		blocks[i] = HeapAlloc(heap, 0, size_of(i));
		if (blocks[i])
			fill(blocks[i], size_of(i), i);
		else
			nr_bad++;
	}
	for (i = 0; i < NR_BLOCKS; i++)
		nr_bad += !is_filled(blocks[i], size_of(i), i);
	return nr_bad;
}

static unsigned int count_busy(HANDLE heap)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	unsigned int nr = 0;

	while (HeapWalk(heap, &entry))
		nr += !!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY);
	return nr;
}

FIXTURE(kept) {
	HANDLE heap;
	char *blocks[NR_BLOCKS];
};

FIXTURE_VARIANT(kept) {
	DWORD flags;
	SIZE_T initial_bytes, max_bytes;
};

FIXTURE_VARIANT_ADD(kept, growable) {
};

FIXTURE_VARIANT_ADD(kept, growable_initial) {
	.initial_bytes = 64 * KIB,
};

FIXTURE_VARIANT_ADD(kept, fixed) {
	.max_bytes = 4 * MIB,
};

FIXTURE_VARIANT_ADD(kept, not_serialized) {
	.flags = HEAP_NO_SERIALIZE,
};

static HANDLE make(const FIXTURE_VARIANT(kept) *variant)
{
	return HeapCreate(variant->flags, variant->initial_bytes,
			  variant->max_bytes);
}

FIXTURE_SETUP(kept)
{
	self->heap = make(variant);
	ASSERT_HEAP(self->heap);
	ASSERT_EQ(0, use(self->heap, self->blocks));
}

FIXTURE_TEARDOWN(kept)
{
}

TEST_F(kept, handle_is_refused)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	HANDLE heap = self->heap, heaps[4];

	ASSERT_HEAP(GetProcessHeap());
	ASSERT_TRUE(HeapDestroy(heap));
	preset_errors();
	EXPECT_FALSE(HeapDestroy(heap));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(NULL, HeapAlloc(heap, 0, 10));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapFree(heap, 0, self->blocks[1]));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(NULL, HeapReAlloc(heap, 0, self->blocks[1], 10));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(NO_SIZE, HeapSize(heap, 0, self->blocks[1]));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapWalk(heap, &entry));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapLock(heap));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapValidate(heap, 0, NULL));
	EXPECT_EQ(1, GetProcessHeaps(4, heaps));
	EXPECT_NE(heap, heaps[0]);
}

TEST_F(kept, next_begins_empty)
{
	char *blocks[NR_BLOCKS];
	HANDLE heap;
	int i, round;

	for (round = 0; round < 10; round++) {
		heap = self->heap;
		ASSERT_TRUE(HeapDestroy(heap));
		self->heap = make(variant);
		ASSERT_HEAP(self->heap);
		EXPECT_EQ(0, count_busy(self->heap));
		EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
		EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
		for (i = 0; i < NR_BLOCKS; i++) {
			preset_errors();
			EXPECT_FALSE(HeapFree(self->heap, 0, self->blocks[i]));
			EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		}
		ASSERT_EQ(0, use(self->heap, blocks));
		EXPECT_EQ(NR_BLOCKS, count_busy(self->heap));
		memcpy(self->blocks, blocks, sizeof(blocks));
	}
	for (i = 0; i < NR_BLOCKS; i++) {
		EXPECT_TRUE(HeapFree(self->heap, 0, self->blocks[i]));
	}
	self->blocks[0] = HeapAlloc(self->heap, HEAP_ZERO_MEMORY, 4000);
	EXPECT_TRUE(is_zero(self->blocks[0], 4000));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* The kernel counts no block of it; and it is the same one that is used again. */
TEST_F(kept, figures)
{
	struct sum sum = sum_up();
	uint64_t serial = sum.last_serial;

	EXPECT_EQ(1, sum.nr_heaps);
	EXPECT_EQ(NR_BLOCKS, sum.nr_blocks);
	ASSERT_TRUE(HeapDestroy(self->heap));
	sum = sum_up();
	EXPECT_EQ(front_end_is_on(), sum.nr_heaps);
	EXPECT_EQ(0, sum.nr_blocks);
	EXPECT_EQ(0, sum.allocated_bytes);
	self->heap = make(variant);
	ASSERT_HEAP(self->heap);
	EXPECT_EQ(front_end_is_on(), sum_up().last_serial == serial);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	EXPECT_EQ(NR_BLOCKS, sum_up().nr_blocks);
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(kept, compact_gives_back)
{
	HANDLE other = HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, 0);

	ASSERT_HEAP(other);
	ASSERT_TRUE(HeapDestroy(self->heap));
	HeapCompact(other, 0);
	EXPECT_EQ(1, sum_up().nr_heaps);
	EXPECT_TRUE(HeapDestroy(other));
}

/* Its lock goes with it. */
TEST_F(kept, destroyed_while_locked)
{
	ASSERT_TRUE(HeapLock(self->heap));
	ASSERT_TRUE(HeapLock(self->heap));
	ASSERT_TRUE(HeapDestroy(self->heap));
	self->heap = make(variant);
	ASSERT_HEAP(self->heap);
	if (!variant->flags) {
		preset_errors();
		EXPECT_FALSE(HeapUnlock(self->heap));
		EXPECT_ERROR(ERROR_NOT_OWNER);
	}
	ASSERT_EQ(0, use(self->heap, self->blocks));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* The program takes its memory away: then there is another one. */
TEST_F(kept, unmapped)
{
	PROCESS_HEAP_ENTRY region = { .lpData = NULL };

	ASSERT_TRUE(HeapWalk(self->heap, &region));
	ASSERT_EQ(PROCESS_HEAP_REGION, region.wFlags);
	ASSERT_TRUE(HeapDestroy(self->heap));
	munmap(self->heap, region.Region.dwCommittedSize +
			   region.Region.dwUnCommittedSize);
	self->heap = make(variant);
	ASSERT_HEAP(self->heap);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	EXPECT_EQ(NR_BLOCKS, count_busy(self->heap));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(kept, forked)
{
	char *blocks[NR_BLOCKS];
	int status;
	pid_t pid;

	ASSERT_TRUE(HeapDestroy(self->heap));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		self->heap = make(variant);
		_exit(!self->heap || use(self->heap, blocks) ||
		      !HeapDestroy(self->heap));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	self->heap = make(variant);
	ASSERT_HEAP(self->heap);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

static void *destroy_heap(void *heap)
{
	return (void *)(intptr_t)HeapDestroy(heap);
}

/* Another thread destroys it, which has no cache of it. */
TEST_F(kept, destroyed_by_other_thread)
{
	pthread_t thread;
	void *done;

	ASSERT_EQ(0, pthread_create(&thread, NULL, destroy_heap, self->heap));
	pthread_join(thread, &done);
	EXPECT_EQ((void *)(intptr_t)TRUE, done);
	EXPECT_EQ(0, sum_up().nr_heaps);
	self->heap = make(variant);
	ASSERT_HEAP(self->heap);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* Each is destroyed, for the next one would not be as new. */
TEST_F(kept, used_otherwise)
{
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits), .HardBytes = 3 * MIB };
	HEAPDEV_MEMBER member = { .Bytes = 100 };

	EXPECT_NE(NULL, HeapAlloc(self->heap, 0, 100 * KIB));
	ASSERT_TRUE(HeapDestroy(self->heap));
	EXPECT_EQ(0, sum_up().nr_heaps);
	self->heap = make(variant);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	ASSERT_TRUE(HeapdevSetLimits(self->heap, HEAPDEV_LIMIT_HARD, &limits));
	ASSERT_TRUE(HeapDestroy(self->heap));
	EXPECT_EQ(0, sum_up().nr_heaps);
	self->heap = make(variant);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	ASSERT_TRUE(HeapdevSetPolicy(self->heap, HEAPDEV_POLICY_PAGE, 0, 0));
	ASSERT_TRUE(HeapDestroy(self->heap));
	EXPECT_EQ(0, sum_up().nr_heaps);
	self->heap = make(variant);
	ASSERT_EQ(0, use(self->heap, self->blocks));
	EXPECT_EQ(1, HeapdevAllocBatch(self->heap, 0, &member, 1));
	ASSERT_TRUE(HeapDestroy(self->heap));
	EXPECT_EQ(0, sum_up().nr_heaps);
}

/* Of another kind is another heap. */
TEST(kinds)
{
	const struct {
		DWORD flags;
		SIZE_T initial_bytes, max_bytes;
	} kinds[] = {
		{ 0, 0, 0 }, { HEAP_NO_SERIALIZE, 0, 0 }, { 0, 4 * KIB, 0 },
		{ 0, 0, 2 * MIB }, { 0, 0, 4 * MIB },
		{ HEAP_CREATE_ENABLE_EXECUTE, 0, 0 },
	};
	char *blocks[NR_BLOCKS];
	HANDLE heap;
	unsigned int i;

	for (i = 0; i < 6; i++) {
		heap = HeapCreate(kinds[i].flags, kinds[i].initial_bytes,
				  kinds[i].max_bytes);
		ASSERT_HEAP(heap);
		EXPECT_EQ(0, use(heap, blocks));
		EXPECT_EQ(front_end_is_on() ? i + 1 : 1, sum_up().nr_heaps);
		ASSERT_TRUE(HeapDestroy(heap));
	}
}

/* However many there were, few stay, and none with much memory. */
TEST(bounded)
{
	HANDLE heaps[3 * MAX_KEPT];
	char *blocks[NR_BLOCKS];
	unsigned int i, j;
	struct sum sum;

	for (i = 0; i < 3 * MAX_KEPT; i++) {
		heaps[i] = HeapCreate(0, 0, 0);
		ASSERT_HEAP(heaps[i]);
		ASSERT_EQ(0, use(heaps[i], blocks));
		for (j = 0; i % 2 && j < MAX_KEPT_BYTES / (8 * KIB); j++)
			ASSERT_NE(NULL, HeapAlloc(heaps[i], 0, 8 * KIB));
	}
	for (i = 0; i < 3 * MAX_KEPT; i++) {
		ASSERT_TRUE(HeapDestroy(heaps[i]));
	}
	sum = sum_up();
	EXPECT_EQ(front_end_is_on() ? MAX_KEPT : 0, sum.nr_heaps);
	EXPECT_EQ(0, sum.nr_blocks);
	EXPECT_GE(sum.nr_heaps * (MAX_KEPT_BYTES + 64 * KIB),
		  sum.committed_bytes);
}

/* What a heap gave back before may be idle in the kernel, and more than may be kept. */
TEST(had_much)
{
	static char *blocks[1000];
	HANDLE heap = HeapCreate(0, 0, 0);
	int i, round;

	ASSERT_HEAP(heap);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 1000; i++) {
			blocks[i] = HeapAlloc(heap, 0, 8 * KIB);
			ASSERT_NE(NULL, blocks[i]);
			blocks[i][0] = 1;
		}
		for (i = 0; i < 1000; i++) {
			ASSERT_TRUE(HeapFree(heap, 0, blocks[i]));
		}
	}
	ASSERT_TRUE(HeapDestroy(heap));
	EXPECT_EQ(0, sum_up().nr_heaps);
}

/* What is kept goes before a call fails, or a heap cannot be made. */
TEST(limit_gives_back)
{
	HEAPDEV_LIMITS limits = { .cb = sizeof(limits) };
	HANDLE heap = HeapCreate(0, 0, 0), heaps[MAX_KEPT];
	char *blocks[NR_BLOCKS];
	int i, round;

	ASSERT_HEAP(heap);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < MAX_KEPT; i++) {
			heaps[i] = HeapCreate(0, 0, 0);
			ASSERT_HEAP(heaps[i]);
			ASSERT_EQ(0, use(heaps[i], blocks));
		}
		ASSERT_TRUE(HeapdevGetLimits(NULL, &limits));
		limits.HardBytes = limits.UsageBytes + 8 * KIB;
		for (i = 0; i < MAX_KEPT; i++) {
			ASSERT_TRUE(HeapDestroy(heaps[i]));
		}
		ASSERT_TRUE(HeapdevSetLimits(NULL, HEAPDEV_LIMIT_HARD, &limits));
		EXPECT_NE(NULL, round ? HeapCreate(0, 256 * KIB, 0) :
					HeapAlloc(heap, 0, 256 * KIB));
		limits.HardBytes = limits.CeilingBytes;
		ASSERT_TRUE(HeapdevSetLimits(NULL, HEAPDEV_LIMIT_HARD, &limits));
	}
}

/* A thread that uses a heap which another one destroys, as no program should */

struct late {
	HANDLE heap;
	int fd;
	pthread_t owner, walker, user;
	_Atomic pid_t owner_tid, user_tid;
	_Atomic bool held, destroy;
	void *block;
	DWORD error;
};

static void *make_and_destroy(void *arg)
{
	struct late *late = arg;

	late->heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	HeapFree(late->heap, 0, HeapAlloc(late->heap, 0, 10));
	late->owner_tid = gettid();
	while (!late->destroy)
		sched_yield();
	HeapDestroy(late->heap);
	return NULL;
}

/* Has the heap to itself as long as its call waits. */
static void *walk_held(void *arg)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	struct late *late = arg;

	late->fd = hold_call(SYS_ioctl);
	late->held = true;
	HeapWalk(late->heap, &entry);
	return NULL;
}

static void *use_late(void *arg)
{
	struct late *late = arg;

	late->user_tid = gettid();
	SetLastError(0);
	late->block = HeapAlloc(late->heap, 0, 100);
	late->error = GetLastError();
	return NULL;
}

static void *let_all_go(void *arg)
{
	struct late *late = arg;
	struct seccomp_notif call;

	while (!next_held(late->fd, &call))
		let_go(late->fd, &call);
	return NULL;
}

static void wait_for_sleep(_Atomic pid_t *tid)
{
	char path[64], text[64] = { 0 };
	int fd;

	while (atoi(text) != SYS_futex) {
		sched_yield();
		snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", *tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
			*text = 0;
		close(fd);
	}
}

/* The block that it gets in the end is none of the heap that comes after. */
TEST(alloc_while_others_destroy)
{
	static struct late late;
	struct seccomp_notif call;
	pthread_t thread;
	HANDLE heap;

	if (!front_end_is_on())	/* then there is nothing to wait for */
		return;
	ASSERT_EQ(0, pthread_create(&late.owner, NULL, make_and_destroy, &late));
	while (!late.owner_tid)
		sched_yield();
	ASSERT_HEAP(late.heap);
	ASSERT_EQ(0, pthread_create(&late.walker, NULL, walk_held, &late));
	while (!late.held)
		sched_yield();
	ASSERT_EQ(0, next_held(late.fd, &call));
	ASSERT_EQ(0, pthread_create(&late.user, NULL, use_late, &late));
	wait_for_sleep(&late.user_tid);
	late.destroy = true;
	wait_for_sleep(&late.owner_tid);
	ASSERT_EQ(0, pthread_create(&thread, NULL, let_all_go, &late));
	ASSERT_EQ(0, let_go(late.fd, &call));
	pthread_join(late.walker, NULL);
	pthread_join(late.user, NULL);
	pthread_join(late.owner, NULL);
	EXPECT_EQ(NULL, late.block);
	EXPECT_EQ(ERROR_INVALID_HANDLE, late.error);
	heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	ASSERT_EQ(late.heap, heap);
	EXPECT_EQ(0, summary_of(heap).cbAllocated);
	EXPECT_EQ(0, count_busy(heap));
}

struct server {
	pthread_t thread;
	unsigned int seed;
	unsigned int nr_bad;
};

static void *serve(void *arg)
{
	struct server *server = arg;
	char *blocks[NR_BLOCKS];
	HANDLE heap;
	int i;

	for (i = 0; i < 300; i++) {
		heap = HeapCreate(i % 3 ? 0 : HEAP_NO_SERIALIZE, 0, 0);
		server->nr_bad += !heap || use(heap, blocks);
		server->nr_bad += count_busy(heap) != NR_BLOCKS;
		server->nr_bad += !HeapDestroy(heap);
	}
	return NULL;
}

/* No thread sees a block of another one's. */
TEST(threads_that_serve)
{
	struct server servers[4] = { 0 };
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&servers[i].thread, NULL, serve,
					    &servers[i]));
	for (i = 0; i < 4; i++) {
		pthread_join(servers[i].thread, NULL);
		EXPECT_EQ(0, servers[i].nr_bad);
	}
	EXPECT_EQ(0, sum_up().nr_blocks);
}

TEST_HARNESS_MAIN
