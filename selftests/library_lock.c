// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: the lock of a heap, and many threads on one.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "library_util.h"

/* Locks */

enum call {
	CALL_ALLOC, CALL_REALLOC, CALL_FREE, CALL_SIZE, CALL_VALIDATE,
	CALL_WALK, CALL_COMPACT, CALL_LOCK, CALL_QUERY, CALL_SET, CALL_SUMMARY,
	CALL_DESTROY,
};

FIXTURE(locked) {
	HANDLE heap;
	char *block;
};

FIXTURE_VARIANT(locked) {
	enum call call;
};

FIXTURE_VARIANT_ADD(locked, alloc) { .call = CALL_ALLOC };
FIXTURE_VARIANT_ADD(locked, realloc) { .call = CALL_REALLOC };
FIXTURE_VARIANT_ADD(locked, free) { .call = CALL_FREE };
FIXTURE_VARIANT_ADD(locked, size) { .call = CALL_SIZE };
FIXTURE_VARIANT_ADD(locked, validate) { .call = CALL_VALIDATE };
FIXTURE_VARIANT_ADD(locked, walk) { .call = CALL_WALK };
FIXTURE_VARIANT_ADD(locked, compact) { .call = CALL_COMPACT };
FIXTURE_VARIANT_ADD(locked, lock) { .call = CALL_LOCK };
FIXTURE_VARIANT_ADD(locked, query) { .call = CALL_QUERY };
FIXTURE_VARIANT_ADD(locked, set) { .call = CALL_SET };
FIXTURE_VARIANT_ADD(locked, summary) { .call = CALL_SUMMARY };
FIXTURE_VARIANT_ADD(locked, destroy) { .call = CALL_DESTROY };

FIXTURE_SETUP(locked)
{
	self->heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(self->heap);
	self->block = HeapAlloc(self->heap, 0, 100);
	ASSERT_NE(NULL, self->block);
	preset_errors();
	ASSERT_TRUE(HeapLock(self->heap));
	ASSERT_TRUE(HeapLock(self->heap));
	EXPECT_NO_ERROR();
}

FIXTURE_TEARDOWN(locked)
{
}

/* A thread that makes one call. */
struct caller {
	pthread_t thread;
	enum call call;
	HANDLE heap;
	char *block;
	DWORD flags;
	pthread_barrier_t *used;	/* passed twice when the heap was used */
	pid_t tid;	/* (atomic) set just before the call */
	bool done;	/* (atomic) */
	bool success;
	DWORD error;
};

static bool lock_and_unlock(HANDLE heap)
{
	return HeapLock(heap) && HeapUnlock(heap);
}

static bool walk(HANDLE heap)
{
	PROCESS_HEAP_ENTRY entry = { 0 };

	return HeapWalk(heap, &entry);
}

static bool query(HANDLE heap)
{
	ULONG value;

	return HeapQueryInformation(heap, HeapCompatibilityInformation, &value,
				    sizeof(value), NULL);
}

static bool set_front_end(HANDLE heap)
{
	ULONG value = 2;

	return HeapSetInformation(heap, HeapCompatibilityInformation, &value,
				  sizeof(value));
}

static bool summarize(HANDLE heap)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };

	return HeapSummary(heap, 0, &summary);
}

static bool make_call(const struct caller *caller)
{
	HANDLE heap = caller->heap;
	DWORD flags = caller->flags;

	switch (caller->call) {
	case CALL_ALLOC:
		return HeapAlloc(heap, flags, 10);
	case CALL_REALLOC:
		return HeapReAlloc(heap, flags, caller->block, 10);
	case CALL_FREE:
		return HeapFree(heap, flags, caller->block);
	case CALL_SIZE:
		return HeapSize(heap, flags, caller->block) != NO_SIZE;
	case CALL_VALIDATE:
		return HeapValidate(heap, flags, caller->block);
	case CALL_WALK:
		return walk(heap);
	case CALL_COMPACT:
		return HeapCompact(heap, flags);
	case CALL_LOCK:
		return lock_and_unlock(heap);
	case CALL_QUERY:
		return query(heap);
	case CALL_SET:
		return set_front_end(heap);
	case CALL_SUMMARY:
		return summarize(heap);
	case CALL_DESTROY:
		return HeapDestroy(heap);
	}
	return false;
}

/* So that whatever is kept for a thread is there. */
static void use_heap(const struct caller *caller)
{
	enum { COUNT = 200 };
	char *blocks[COUNT];
	int i;

	for (i = 0; i < COUNT; i++)
		blocks[i] = HeapAlloc(caller->heap, 0, i % 100);
	for (i = 0; i < COUNT; i++)
		HeapFree(caller->heap, 0, blocks[i]);
	pthread_barrier_wait(caller->used);
	pthread_barrier_wait(caller->used);
}

static void *run_caller(void *arg)
{
	struct caller *caller = arg;

	if (caller->used)
		use_heap(caller);
	SetLastError(ERROR_PATTERN);
	__atomic_store_n(&caller->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	caller->success = make_call(caller);
	caller->error = GetLastError();
	__atomic_store_n(&caller->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The letter after the name in /proc/self/task/TID/stat. */
static char thread_state(pid_t tid)
{
	char path[64], text[256], *end;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return '?';
	text[got] = '\0';
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

/* True if the call sleeps, false if it is over. There is no third way. */
static bool is_blocked(const struct caller *caller)
{
	pid_t tid;

	for (;;) {
		if (__atomic_load_n(&caller->done, __ATOMIC_ACQUIRE))
			return false;
		tid = __atomic_load_n(&caller->tid, __ATOMIC_ACQUIRE);
		if (tid && thread_state(tid) == 'S')
			return !__atomic_load_n(&caller->done,
						__ATOMIC_ACQUIRE);
		sched_yield();
	}
}

TEST_F(locked, call_of_other_thread_waits)
{
	struct caller caller = {
		.call = variant->call,
		.heap = self->heap,
		.block = self->block,
	};

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller, &caller));
	EXPECT_TRUE(is_blocked(&caller));
	/* The owner goes on meanwhile. */
	EXPECT_NE(NULL, HeapAlloc(self->heap, 0, 50));
	EXPECT_EQ(100, HeapSize(self->heap, 0, self->block));
	EXPECT_TRUE(HeapUnlock(self->heap));
	EXPECT_TRUE(is_blocked(&caller));
	EXPECT_TRUE(HeapUnlock(self->heap));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_TRUE(caller.success);
	EXPECT_EQ(ERROR_PATTERN, caller.error);
	EXPECT_NO_ERROR();
}

TEST_F(locked, waiter_of_destroyed_heap)
{
	struct caller caller = {
		.call = variant->call,
		.heap = self->heap,
		.block = self->block,
	};

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller, &caller));
	EXPECT_TRUE(is_blocked(&caller));
	EXPECT_TRUE(HeapDestroy(self->heap));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_FALSE(caller.success);
	EXPECT_EQ(variant->call == CALL_VALIDATE ? ERROR_PATTERN :
		  ERROR_INVALID_HANDLE, caller.error);
	EXPECT_FALSE(HeapUnlock(self->heap));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/* That the next heap has the same handle is nothing to who waited for the first. */
TEST_F(locked, waiter_of_heap_made_again)
{
	struct caller caller = {
		.call = variant->call,
		.heap = self->heap,
		.block = self->block,
	};
	HANDLE again;

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller, &caller));
	EXPECT_TRUE(is_blocked(&caller));
	EXPECT_TRUE(HeapDestroy(self->heap));
	again = HeapCreate(0, 0, 0);
	ASSERT_HEAP(again);
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_FALSE(caller.success);
	EXPECT_EQ(variant->call == CALL_VALIDATE ? ERROR_PATTERN :
		  ERROR_INVALID_HANDLE, caller.error);
	EXPECT_TRUE(HeapDestroy(again));
}

/*
 * On Windows small blocks come without the lock once the front end is enabled. Here
 * who has the lock has the heap, also if the other thread used it before.
 */
TEST(call_of_other_thread_waits_with_front_end)
{
	pthread_barrier_t used;
	struct caller caller;
	enum call call;

	pthread_barrier_init(&used, NULL, 2);
	for (call = CALL_ALLOC; call < CALL_DESTROY; call++) {
		caller = (struct caller){
			.call = call,
			.heap = HeapCreate(0, 0, 0),
			.used = &used,
		};
		ASSERT_HEAP(caller.heap);
		ASSERT_TRUE(set_front_end(caller.heap));
		caller.block = HeapAlloc(caller.heap, 0, 100);
		ASSERT_NE(NULL, caller.block);
		ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller,
					    &caller));
		pthread_barrier_wait(&used);
		ASSERT_TRUE(HeapLock(caller.heap));
		pthread_barrier_wait(&used);
		EXPECT_TRUE(is_blocked(&caller)) {
			TH_LOG("call %d", call);
		}
		EXPECT_TRUE(HeapUnlock(caller.heap));
		ASSERT_EQ(0, pthread_join(caller.thread, NULL));
		EXPECT_TRUE(caller.success);
		EXPECT_TRUE(HeapDestroy(caller.heap));
	}
}

/* Were one of them to wait, it would wait for ever. */
TEST(calls_without_serialization_do_not_wait)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	struct caller caller = {
		.heap = heap,
		.block = HeapAlloc(heap, 0, 100),
		.flags = HEAP_NO_SERIALIZE,
	};
	static const enum call calls[] = {
		CALL_ALLOC, CALL_REALLOC, CALL_SIZE, CALL_VALIDATE, CALL_FREE,
		CALL_COMPACT,
	};
	size_t i;

	ASSERT_NE(NULL, caller.block);
	ASSERT_TRUE(HeapLock(heap));
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		caller.call = calls[i];
		ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller,
					    &caller));
		ASSERT_EQ(0, pthread_join(caller.thread, NULL));
		EXPECT_TRUE(caller.success);
	}
	EXPECT_TRUE(HeapUnlock(heap));
}

/* The lock goes with the heap: who gets the address next is not locked out. */
TEST(locked_heap_destroyed_and_made_again)
{
	struct caller caller = { .call = CALL_ALLOC };
	int i;

	for (i = 0; i < 100; i++) {
		caller.heap = HeapCreate(0, 0, 0);
		ASSERT_HEAP(caller.heap);
		ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller,
					    &caller));
		ASSERT_EQ(0, pthread_join(caller.thread, NULL));
		ASSERT_TRUE(caller.success);
		ASSERT_TRUE(HeapLock(caller.heap));
		ASSERT_TRUE(HeapLock(caller.heap));
		ASSERT_TRUE(HeapDestroy(caller.heap));
	}
}

TEST(unlock_without_lock)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	ASSERT_HEAP(heap);
	preset_errors();
	EXPECT_FALSE(HeapUnlock(heap));
	EXPECT_ERROR(ERROR_NOT_OWNER);
	EXPECT_TRUE(HeapLock(heap));
	EXPECT_TRUE(HeapUnlock(heap));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(HeapUnlock(heap));
	EXPECT_ERROR(ERROR_NOT_OWNER);
}

static void *lock_heap(void *heap)
{
	HeapLock(heap);
	return NULL;
}

static void *unlock_heap(void *heap)
{
	SetLastError(0);
	HeapUnlock(heap);
	return (void *)(uintptr_t)GetLastError();
}

static void *in_thread(void *(*function)(void *), void *arg)
{
	pthread_t thread;
	void *result = NULL;

	pthread_create(&thread, NULL, function, arg);
	pthread_join(thread, &result);
	return result;
}

TEST(unlock_by_other_thread)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	ASSERT_HEAP(heap);
	EXPECT_TRUE(HeapLock(heap));
	EXPECT_EQ(ERROR_NOT_OWNER,
		  (uintptr_t)in_thread(unlock_heap, heap));
	EXPECT_TRUE(HeapUnlock(heap));
}

/* The lock stays, and no later thread is taken for the one that ended. */
TEST(owner_of_lock_ends)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	int i;

	ASSERT_HEAP(heap);
	in_thread(lock_heap, heap);
	preset_errors();
	for (i = 0; i < 20; i++)
		EXPECT_EQ(ERROR_NOT_OWNER,
			  (uintptr_t)in_thread(unlock_heap, heap));
	EXPECT_FALSE(HeapUnlock(heap));
	EXPECT_ERROR(ERROR_NOT_OWNER);
	EXPECT_NE(NULL, HeapAlloc(heap, HEAP_NO_SERIALIZE, 10));
}

/*
 * Of a debug heap others get it, of an ordinary one they do not; whatever heap had
 * the address before.
 */
FIXTURE(successor) {
	HANDLE heap;
};

FIXTURE_VARIANT(successor) {
	const char *before, *after;	/* settings */
};

FIXTURE_VARIANT_ADD(successor, ordinary_after_debug) { "htc", "" };
FIXTURE_VARIANT_ADD(successor, debug_after_ordinary) { "", "htc" };

FIXTURE_SETUP(successor)
{
	HANDLE before = NULL;
	int i;

	/* Until the library has mapped what it needs for itself around them. */
	for (i = 0; i < 20 && (!i || self->heap != before); i++) {
		HeapDestroy(self->heap);
		before = HeapdevCreateDebug(0, 0, 0, variant->before);
		ASSERT_HEAP(before);
		ASSERT_TRUE(HeapLock(before));
		ASSERT_TRUE(HeapDestroy(before));
		self->heap = HeapdevCreateDebug(0, 0, 0, variant->after);
		ASSERT_HEAP(self->heap);
	}
	ASSERT_EQ(before, self->heap);
}

FIXTURE_TEARDOWN(successor)
{
}

TEST_F(successor, owner_of_lock_ends)
{
	struct caller caller = { .call = CALL_ALLOC, .heap = self->heap };

	in_thread(lock_heap, self->heap);
	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller, &caller));
	EXPECT_EQ(!*variant->after, is_blocked(&caller));
}

TEST(lock_of_unserialized_heap)
{
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	struct caller caller = { .call = CALL_ALLOC, .heap = heap };

	ASSERT_HEAP(heap);
	preset_errors();
	EXPECT_TRUE(HeapLock(heap));
	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, run_caller, &caller));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_TRUE(caller.success);
	EXPECT_TRUE(HeapUnlock(heap));
	EXPECT_TRUE(HeapUnlock(heap));
	EXPECT_NO_ERROR();
}

/* Many threads */

#define NR_THREADS	8
#define NR_ROUNDS	scaled(2000)

static pthread_barrier_t barrier;

struct worker {
	pthread_t thread;
	unsigned int seed;
	HANDLE heap;
	DWORD flags;
	const char *failure;	/* what went wrong first */
};

static unsigned int next_random(unsigned int *state)
{
	*state = *state * 1103515245 + 12345;
	return *state >> 16;
}

/* Allocates, resizes, checks and frees blocks of its own. */
static void *work_on_heap(void *arg)
{
	enum { SLOTS = 16 };
	struct worker *worker = arg;
	struct { char *block; SIZE_T bytes; } slots[SLOTS] = { 0 };
	unsigned int state = worker->seed, i, s;
	SIZE_T bytes, kept;
	char *block;

	for (i = 0; i < NR_ROUNDS && !worker->failure; i++) {
		s = next_random(&state) % SLOTS;
		bytes = next_random(&state) % 3000;
		kept = slots[s].bytes < bytes ? slots[s].bytes : bytes;
		if (!slots[s].block)
			block = HeapAlloc(worker->heap, worker->flags, bytes);
		else
			block = HeapReAlloc(worker->heap, worker->flags,
					    slots[s].block, bytes);
		if (!block)
			worker->failure = "no block";
		else if (!is_filled(block, kept, worker->seed * SLOTS + s))
			worker->failure = "contents";
		else if (HeapSize(worker->heap, worker->flags, block) != bytes)
			worker->failure = "size";
		fill(block, bytes, worker->seed * SLOTS + s);
		slots[s].block = block;
		slots[s].bytes = bytes;
		if (next_random(&state) % 3)
			continue;
		if (!HeapFree(worker->heap, worker->flags, block))
			worker->failure = "free";
		slots[s].block = NULL;
		slots[s].bytes = 0;
	}
	for (s = 0; s < SLOTS; s++)
		if (!HeapFree(worker->heap, worker->flags, slots[s].block))
			worker->failure = "last free";
	return NULL;
}

FIXTURE(threads) {
	HANDLE heap;
	struct worker workers[NR_THREADS];
};

FIXTURE_VARIANT(threads) {
	DWORD options;
	DWORD flags;
};

FIXTURE_VARIANT_ADD(threads, serialized) {
};

/* The library promises nothing here, but the kernel keeps the heap sound. */
FIXTURE_VARIANT_ADD(threads, unserialized) {
	.options = HEAP_NO_SERIALIZE,
};

FIXTURE_VARIANT_ADD(threads, unserialized_calls) {
	.flags = HEAP_NO_SERIALIZE,
};

FIXTURE_SETUP(threads)
{
	int i;

	self->heap = HeapCreate(variant->options, 0, 0);
	ASSERT_HEAP(self->heap);
	for (i = 0; i < NR_THREADS; i++) {
		self->workers[i].seed = i + 1;
		self->workers[i].heap = self->heap;
		self->workers[i].flags = variant->flags;
	}
}

FIXTURE_TEARDOWN(threads)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(threads, work_on_one_heap)
{
	struct worker *worker = self->workers;
	int i;

	for (i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&worker[i].thread, NULL,
					    work_on_heap, &worker[i]));
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(NULL, worker[i].failure) {
			TH_LOG("thread %d: %s", i, worker[i].failure);
		}
	}
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
}

static HANDLE shared_heap;	/* (atomic) of the moment */
static bool stop;		/* (atomic) */

/*
 * Uses a heap that may end at any time. An answer is a success or that there
 * is no such heap; a block may belong to the heap before. Nothing is written to
 * a block.
 */
static void *use_heap_that_ends(void *arg)
{
	struct worker *worker = arg;
	HANDLE heap;
	void *block;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		heap = __atomic_load_n(&shared_heap, __ATOMIC_ACQUIRE);
		SetLastError(0);
		block = HeapAlloc(heap, worker->flags, 100);
		if (!block && GetLastError() != ERROR_INVALID_HANDLE)
			worker->failure = "alloc";
		if (!HeapFree(heap, worker->flags, block) &&
		    GetLastError() != ERROR_INVALID_HANDLE &&
		    GetLastError() != ERROR_INVALID_PARAMETER)
			worker->failure = "free";
		if (HeapLock(heap))
			HeapUnlock(heap);
	}
	return NULL;
}

TEST_F(threads, destroy_while_used)
{
	struct worker *worker = self->workers;
	HANDLE heap;
	int i;

	shared_heap = HeapCreate(variant->options, 0, 0);
	for (i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&worker[i].thread, NULL,
					    use_heap_that_ends, &worker[i]));
	for (i = 0; i < 300; i++) {
		EXPECT_TRUE(HeapDestroy(shared_heap));
		heap = HeapCreate(variant->options, 0, 0);
		ASSERT_HEAP(heap);
		__atomic_store_n(&shared_heap, heap, __ATOMIC_RELEASE);
		sched_yield();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(NULL, worker[i].failure) {
			TH_LOG("thread %d: %s", i, worker[i].failure);
		}
	}
	EXPECT_TRUE(HeapDestroy(shared_heap));
	EXPECT_EQ(2, GetProcessHeaps(0, NULL));
}

static void *destroy_shared_heap(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&barrier);
	return (void *)(uintptr_t)HeapDestroy(shared_heap);
}

TEST_F(threads, destroy_by_all)
{
	uintptr_t successes;
	int i, round;
	void *result;

	pthread_barrier_init(&barrier, NULL, NR_THREADS);
	for (round = 0; round < 20; round++) {
		shared_heap = HeapCreate(variant->options, 0, 0);
		ASSERT_HEAP(shared_heap);
		for (i = 0; i < NR_THREADS; i++)
			ASSERT_EQ(0, pthread_create(&self->workers[i].thread,
						    NULL, destroy_shared_heap,
						    NULL));
		successes = 0;
		for (i = 0; i < NR_THREADS; i++) {
			pthread_join(self->workers[i].thread, &result);
			successes += (uintptr_t)result;
		}
		EXPECT_EQ(1, successes);
	}
}

TEST_HARNESS_MAIN
