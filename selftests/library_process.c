// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library and the process it lives in: opening the device, the process
 * heap, the last error, signals and fork.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "library_util.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE			65
#define PR_MDWE_REFUSE_EXEC_GAIN	1
#endif

/* Opening the device */

TEST(create_without_device)
{
	setenv("HEAPDEV_DEVICE", "/dev/there-is-no-such-device", 1);
	preset_errors();
	EXPECT_EQ(NULL, HeapCreate(0, 0, 0));
	EXPECT_ERROR(ERROR_FILE_NOT_FOUND);
	EXPECT_EQ(NULL, HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, 0));
	EXPECT_ERROR(ERROR_FILE_NOT_FOUND);
	EXPECT_EQ(NULL, GetProcessHeap());
	EXPECT_ERROR(ERROR_FILE_NOT_FOUND);
	EXPECT_EQ(0, GetProcessHeaps(0, NULL));
	EXPECT_ERROR(ERROR_FILE_NOT_FOUND);
}

/* As when the module is loaded later. */
TEST(create_after_device_appears)
{
	HANDLE heap;

	setenv("HEAPDEV_DEVICE", "/dev/there-is-no-such-device", 1);
	EXPECT_EQ(NULL, GetProcessHeap());
	unsetenv("HEAPDEV_DEVICE");
	preset_errors();
	heap = GetProcessHeap();
	EXPECT_NE(NULL, heap);
	EXPECT_EQ(heap, GetProcessHeap());
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 10));
	EXPECT_NO_ERROR();
}

static int create_as_nobody(void *arg)
{
	char path[] = "/tmp/heapdev-XXXXXX";
	int fd = mkstemp(path);

	(void)arg;
	setenv("HEAPDEV_DEVICE", path, 1);
	if (fd < 0 || fchmod(fd, 0) || (!getuid() && setuid(65534)))
		return 2;
	return HeapCreate(0, 0, 0) || GetLastError() != ERROR_ACCESS_DENIED;
}

TEST(create_without_permission)
{
	struct outcome outcome = run_in_child(create_as_nobody, NULL);

	EXPECT_TRUE(ended_well(&outcome));
}

TEST(create_on_another_device)
{
	setenv("HEAPDEV_DEVICE", "/dev/zero", 1);
	preset_errors();
	EXPECT_EQ(NULL, HeapCreate(0, 0, 0));
	EXPECT_ERROR(ERROR_NOT_SUPPORTED);
	setenv("HEAPDEV_DEVICE", "/tmp", 1);
	EXPECT_EQ(NULL, HeapCreate(0, 0, 0));
	EXPECT_ERROR(ERROR_NOT_SUPPORTED);
}

/* A process may give up memory that is written and executed; Linux 6.3 and later. */
static int create_executable_heap(void *arg)
{
	bool refused = !prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	SIZE_T max_bytes;
	HANDLE heap;

	(void)arg;
	for (max_bytes = 0; max_bytes <= MIB; max_bytes += MIB) {
		SetLastError(0);
		heap = HeapCreate(HEAP_CREATE_ENABLE_EXECUTE |
				  HEAP_GENERATE_EXCEPTIONS, 0, max_bytes);
		if (refused != !heap)
			return 2;
		if (refused && GetLastError() != ERROR_ACCESS_DENIED)
			return 3;
		if (!HeapDestroy(heap))
			return 4;
	}
	/* Only that was refused, and nothing is left of it. */
	return HeapCreate(0, 0, 0) && GetProcessHeaps(0, NULL) == 2 ? 0 : 5;
}

TEST(create_executable_where_that_is_refused)
{
	struct outcome outcome = run_in_child(create_executable_heap, NULL);

	EXPECT_TRUE(ended_well(&outcome)) {
		TH_LOG("child: status %#x", outcome.status);
	}
}

TEST(create_without_descriptors)
{
	struct rlimit limit;
	int fd = dup(0);

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = fd;
	close(fd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	preset_errors();
	EXPECT_EQ(NULL, HeapCreate(0, 0, 0));
	EXPECT_ERROR(ERROR_TOO_MANY_OPEN_FILES);
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_NE(NULL, HeapCreate(0, 0, 0));
	EXPECT_NO_ERROR();
}

/* A thread that is to end, but in no call of the library */

static void *create_cancelled(void *arg)
{
	(void)arg;
	pthread_cancel(pthread_self());
	return HeapCreate(0, 0, 0);
}

static void *get_process_heap_cancelled(void *arg)
{
	(void)arg;
	pthread_cancel(pthread_self());
	return GetProcessHeap();
}

/* What a thread returns; PTHREAD_CANCELED if it came to an end before. */
static void *result_of(void *(*body)(void *), void *arg)
{
	void *result = PTHREAD_CANCELED;
	pthread_t thread;

	if (!pthread_create(&thread, NULL, body, arg))
		pthread_join(thread, &result);
	return result;
}

TEST(create_on_another_device_cancelled)
{
	setenv("HEAPDEV_DEVICE", "/dev/zero", 1);
	ASSERT_EQ(NULL, result_of(create_cancelled, NULL));
	ASSERT_EQ(NULL, result_of(get_process_heap_cancelled, NULL));
	preset_errors();
	EXPECT_EQ(NULL, HeapCreate(0, 0, 0));
	EXPECT_ERROR(ERROR_NOT_SUPPORTED);
	EXPECT_EQ(NULL, GetProcessHeap());
	EXPECT_ERROR(ERROR_NOT_SUPPORTED);
}

TEST(create_with_unknown_setting_cancelled)
{
	void *heap;

	setenv("HEAPDEV_GFLAGS", "there-is-no-such-setting", 1);
	heap = result_of(create_cancelled, NULL);
	ASSERT_NE(PTHREAD_CANCELED, heap);
	EXPECT_NE(NULL, HeapAlloc(heap, 0, 10));
	EXPECT_NE(NULL, HeapCreate(0, 0, 0));
}

static void *fork_in_thread(void *arg)
{
	(void)arg;
	pthread_cancel(pthread_self());
	return (void *)(intptr_t)fork();
}

/* What comes first in the child; nothing if the library's handler is its end. */
static void end_child(void)
{
	_exit(42);
}

TEST(fork_cancelled)
{
	int status = -1;
	pid_t child;

	ASSERT_HEAP(HeapCreate(0, 0, 0));
	ASSERT_EQ(0, pthread_atfork(NULL, NULL, end_child));
	child = (intptr_t)result_of(fork_in_thread, NULL);
	ASSERT_LT(0, child);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(42, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* The descriptor that is open now and was not before. */
static int new_descriptor(const bool *before, int count)
{
	int fd;

	for (fd = 0; fd < count; fd++)
		if (!before[fd] && fcntl(fd, F_GETFD) >= 0)
			return fd;
	return -1;
}

TEST(create_spares_standard_streams)
{
	enum { COUNT = 64 };
	bool before[COUNT];
	int fd;

	close(STDIN_FILENO);
	for (fd = 0; fd < COUNT; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	ASSERT_NE(NULL, HeapCreate(0, 0, 0));
	fd = new_descriptor(before, COUNT);
	EXPECT_LT(STDERR_FILENO, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	/* One device for all heaps. */
	before[fd] = true;
	ASSERT_NE(NULL, HeapCreate(0, 0, 0));
	EXPECT_EQ(-1, new_descriptor(before, COUNT));
}

/* The last error */

static void *last_error_of_new_thread(void *arg)
{
	DWORD first = GetLastError();

	(void)arg;
	SetLastError(1234);
	return (void *)(uintptr_t)(first || GetLastError() != 1234);
}

TEST(last_error_of_thread)
{
	pthread_t thread;
	void *wrong;

	EXPECT_EQ(0, GetLastError());
	SetLastError(0xffffffff);
	ASSERT_EQ(0, pthread_create(&thread, NULL, last_error_of_new_thread,
				    NULL));
	ASSERT_EQ(0, pthread_join(thread, &wrong));
	EXPECT_EQ(NULL, wrong);
	EXPECT_EQ(0xffffffff, GetLastError());
}

/* The process heap and the list of heaps */

#define NR_THREADS	8

static pthread_barrier_t barrier;

static void *get_process_heap(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&barrier);
	return GetProcessHeap();
}

TEST(process_heap_of_many_threads)
{
	pthread_t threads[NR_THREADS];
	void *heap;
	int i;

	pthread_barrier_init(&barrier, NULL, NR_THREADS);
	for (i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, get_process_heap,
					    NULL));
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &heap));
		EXPECT_NE(NULL, heap);
		EXPECT_EQ(GetProcessHeap(), heap);
	}
	EXPECT_EQ(1, GetProcessHeaps(0, NULL));
}

TEST(process_heap_cannot_be_destroyed)
{
	HANDLE heap = GetProcessHeap();
	char *block;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, 100);
	ASSERT_NE(NULL, block);
	preset_errors();
	EXPECT_FALSE(HeapDestroy(heap));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(heap, GetProcessHeap());
	EXPECT_TRUE(HeapValidate(heap, 0, block));
	EXPECT_TRUE(HeapFree(heap, 0, block));
}

TEST(process_heap_grows)
{
	char *block = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 20 * MIB);

	ASSERT_NE(NULL, block);
	EXPECT_TRUE(is_zero(block, 20 * MIB));
	EXPECT_EQ(NO_SIZE, summary_of(GetProcessHeap()).cbMaxReserve);
}

static void *use_process_heap(void *arg)
{
	HANDLE heap = GetProcessHeap();
	char *block = HeapAlloc(heap, HEAP_NO_SERIALIZE, 100);

	(void)arg;
	block = HeapReAlloc(heap, HEAP_NO_SERIALIZE, block, 200);
	return (void *)(uintptr_t)
		(HeapSize(heap, HEAP_NO_SERIALIZE, block) == 200 &&
		 HeapValidate(heap, HEAP_NO_SERIALIZE, NULL) &&
		 HeapFree(heap, HEAP_NO_SERIALIZE, block));
}

/* It has a lock, which the flag skips here, too: else the thread would wait. */
TEST(process_heap_without_serialization)
{
	pthread_t thread;
	void *good;

	EXPECT_FALSE(HeapUnlock(GetProcessHeap()));
	EXPECT_EQ(ERROR_NOT_OWNER, GetLastError());
	ASSERT_TRUE(HeapLock(GetProcessHeap()));
	ASSERT_EQ(0, pthread_create(&thread, NULL, use_process_heap, NULL));
	ASSERT_EQ(0, pthread_join(thread, &good));
	EXPECT_NE(NULL, good);
	EXPECT_TRUE(HeapUnlock(GetProcessHeap()));
}

/* It counts although nobody asked for it before. */
TEST(list_of_fresh_process)
{
	HANDLE heap = NULL;

	EXPECT_EQ(1, GetProcessHeaps(1, &heap));
	EXPECT_EQ(GetProcessHeap(), heap);
}

TEST(list_in_order_of_creation)
{
	HANDLE heaps[6], list[8] = { NULL };
	int i;

	/* The process heap is first even if it is the newest. */
	for (i = 1; i < 6; i++)
		heaps[i] = HeapCreate(0, 0, 0);
	heaps[0] = GetProcessHeap();
	preset_errors();
	EXPECT_EQ(6, GetProcessHeaps(8, list));
	for (i = 0; i < 6; i++)
		EXPECT_EQ(heaps[i], list[i]);
	EXPECT_EQ(NULL, list[6]);

	EXPECT_TRUE(HeapDestroy(heaps[3]));
	EXPECT_TRUE(HeapDestroy(heaps[5]));
	heaps[3] = heaps[4];
	heaps[4] = HeapCreate(0, 0, 0);
	EXPECT_EQ(5, GetProcessHeaps(8, list));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(heaps[i], list[i]);
	EXPECT_NO_ERROR();
}

TEST(list_too_short)
{
	HANDLE list[3] = { NULL }, heap = HeapCreate(0, 0, 0);

	HeapCreate(0, 0, 0);
	preset_errors();
	EXPECT_EQ(3, GetProcessHeaps(2, list));
	EXPECT_EQ(GetProcessHeap(), list[0]);
	EXPECT_EQ(heap, list[1]);
	EXPECT_EQ(NULL, list[2]);
	EXPECT_EQ(3, GetProcessHeaps(0, NULL));
	list[0] = NULL;
	EXPECT_EQ(3, GetProcessHeaps(0, list));
	EXPECT_EQ(NULL, list[0]);
	EXPECT_NO_ERROR();
	EXPECT_EQ(0, GetProcessHeaps(2, NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

/* Signals */

static unsigned int nr_signals;

static void count_signal(int signal)
{
	(void)signal;
	nr_signals++;
}

/* A call that a signal ends is made again, and the program never knows. */
TEST(signals_during_calls)
{
	struct itimerval often = {
		.it_interval.tv_usec = 500,
		.it_value.tv_usec = 500,
	};
	struct sigaction action = { .sa_handler = count_signal };
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block;

	ASSERT_HEAP(heap);
	preset_errors();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (nr_signals < 200) {
		block = HeapAlloc(heap, 0, 100000);
		ASSERT_NE(NULL, block);
		block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 300000);
		ASSERT_NE(NULL, block);
		ASSERT_TRUE(HeapFree(heap, 0, block));
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	EXPECT_NO_ERROR();
}

/* Fork */

/* What a child finds wrong; 0 if nothing is. */
static int check_refused(HANDLE heap, char *block)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };
	PROCESS_HEAP_ENTRY entry = { 0 };
	ULONG value = 2;

	SetLastError(0);
	if (HeapAlloc(heap, 0, 10) || GetLastError() != 6)
		return 10;
	SetLastError(0);
	if (HeapReAlloc(heap, 0, block, 10) || GetLastError() != 6)
		return 11;
	SetLastError(0);
	if (HeapFree(heap, HEAP_NO_SERIALIZE, block) || GetLastError() != 6)
		return 12;
	SetLastError(0);
	if (HeapSize(heap, 0, block) != NO_SIZE || GetLastError() != 6)
		return 13;
	if (HeapValidate(heap, 0, NULL) || HeapValidate(heap, 0, block))
		return 14;
	SetLastError(0);
	if (HeapLock(heap) || GetLastError() != 6)
		return 15;
	SetLastError(0);
	if (HeapUnlock(heap) || GetLastError() != 6)
		return 16;
	SetLastError(0);
	if (HeapSummary(heap, 0, &summary) || GetLastError() != 6)
		return 17;
	SetLastError(0);
	if (HeapDestroy(heap) || GetLastError() != 6)
		return 18;
	SetLastError(0);
	if (HeapWalk(heap, &entry) || GetLastError() != 6)
		return 19;
	SetLastError(0);
	if (HeapCompact(heap, 0) || GetLastError() != 6)
		return 25;
	SetLastError(0);
	if (HeapSetInformation(heap, HeapCompatibilityInformation, &value,
			       sizeof(value)) || GetLastError() != 6)
		return 26;
	SetLastError(0);
	if (HeapQueryInformation(heap, HeapCompatibilityInformation, &value,
				 sizeof(value), NULL) || GetLastError() != 6)
		return 27;
	return 0;
}

static int check_own_heaps(void)
{
	HANDLE own = HeapCreate(0, 0, 1 * MIB), list[2];
	char *block = HeapAlloc(own, 0, 1000);

	if (!block)
		return 20;
	fill(block, 1000, 9);
	if (!is_filled(block, 1000, 9) || HeapSize(own, 0, block) != 1000)
		return 21;
	if (!HeapAlloc(GetProcessHeap(), 0, 10))
		return 22;
	if (GetProcessHeaps(2, list) != 2 || list[0] != GetProcessHeap() ||
	    list[1] != own)
		return 23;
	if (!HeapDestroy(own) || GetProcessHeaps(0, NULL) != 1)
		return 24;
	return 0;
}

/* Handlers of fork that the program registered before its first heap */

static struct {
	HANDLE heap;
	char *block;
	unsigned int nr_prepared;
	int wrong;
} at_fork;

static void use_before_fork(void)
{
	HANDLE other = HeapCreate(0, 0, 0);
	unsigned int i;

	for (i = 0; i < 3000; i++)
		at_fork.nr_prepared += !!HeapAlloc(at_fork.heap, 0, i * 5);
	at_fork.nr_prepared += HeapAlloc(other, 0, 100) && HeapDestroy(other);
}

static void use_after_fork(void)
{
	at_fork.wrong = check_refused(at_fork.heap, at_fork.block);
	if (!at_fork.wrong)
		at_fork.wrong = check_own_heaps();
}

static int what_was_wrong(void *arg)
{
	(void)arg;
	return at_fork.wrong;
}

static void make_heap_with_cache(void)
{
	at_fork.heap = HeapCreate(0, 0, 0);
	at_fork.block = HeapAlloc(at_fork.heap, 0, 10);
	HeapFree(at_fork.heap, 0, HeapAlloc(at_fork.heap, 0, 10));
}

TEST(fork_handler_of_parent_uses_heaps)
{
	struct outcome outcome;

	ASSERT_EQ(0, pthread_atfork(use_before_fork, NULL, NULL));
	make_heap_with_cache();
	ASSERT_NE(NULL, at_fork.block);
	outcome = run_in_child(what_was_wrong, NULL);
	EXPECT_TRUE(ended_well(&outcome));
	EXPECT_EQ(3001, at_fork.nr_prepared);
}

TEST(fork_handler_of_child_uses_heaps)
{
	struct outcome outcome;

	ASSERT_EQ(0, pthread_atfork(NULL, NULL, use_after_fork));
	make_heap_with_cache();
	ASSERT_NE(NULL, at_fork.block);
	outcome = run_in_child(what_was_wrong, NULL);
	EXPECT_TRUE(ended_well(&outcome)) {
		TH_LOG("child: status %#x", outcome.status);
	}
}

struct family {
	HANDLE heap;
	char *block;
	int generations;
};

static int check_child(void *arg)
{
	struct family *family = arg;
	struct outcome outcome;
	int wrong;

	wrong = check_refused(family->heap, family->block);
	if (!wrong)
		wrong = check_own_heaps();
	if (wrong || !family->generations--)
		return wrong;
	outcome = run_in_child(check_child, family);
	return ended_well(&outcome) ? 0 : 30 + family->generations;
}

FIXTURE(fork) {
	struct family family;
};

FIXTURE_VARIANT(fork) {
	DWORD options;
	bool locked;
};

FIXTURE_VARIANT_ADD(fork, of_private_heap) {
};

FIXTURE_VARIANT_ADD(fork, of_unserialized_heap) {
	.options = HEAP_NO_SERIALIZE,
};

FIXTURE_VARIANT_ADD(fork, of_locked_heap) {
	.locked = true,
};

FIXTURE_SETUP(fork)
{
	self->family.heap = HeapCreate(variant->options, 0, 0);
	ASSERT_HEAP(self->family.heap);
	self->family.block = HeapAlloc(self->family.heap, 0, 100);
	ASSERT_NE(NULL, self->family.block);
	fill(self->family.block, 100, 1);
	ASSERT_NE(NULL, GetProcessHeap());
	if (variant->locked)
		HeapLock(self->family.heap);
}

FIXTURE_TEARDOWN(fork)
{
	EXPECT_TRUE(is_filled(self->family.block, 100, 1));
	EXPECT_EQ(100, HeapSize(self->family.heap, 0, self->family.block));
	EXPECT_EQ(variant->locked, HeapUnlock(self->family.heap) &&
		  !(variant->options & HEAP_NO_SERIALIZE));
	EXPECT_EQ(2, GetProcessHeaps(0, NULL));
	EXPECT_TRUE(HeapDestroy(self->family.heap));
}

TEST_F(fork, child)
{
	struct outcome outcome = run_in_child(check_child, &self->family);

	EXPECT_TRUE(ended_well(&outcome)) {
		TH_LOG("child: status %#x", outcome.status);
	}
}

TEST_F(fork, grandchildren)
{
	struct outcome outcome;

	self->family.generations = 3;
	outcome = run_in_child(check_child, &self->family);
	EXPECT_TRUE(ended_well(&outcome)) {
		TH_LOG("child: status %#x", outcome.status);
	}
}

static int read_byte(void *block)
{
	return *(volatile char *)block;
}

/* What the parent has is not there at all. */
TEST_F(fork, memory_is_not_inherited)
{
	struct outcome outcome = run_in_child(read_byte, self->family.block);

	EXPECT_TRUE(ended_by(&outcome, SIGSEGV));
}

static LONG WINAPI filter_continues(PEXCEPTION_POINTERS info)
{
	(void)info;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static int raise_and_misuse(void *arg)
{
	HANDLE heap = HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, 0);

	if (HeapAlloc(heap, 0, SIZE_MAX) ||
	    GetLastError() != ERROR_NOT_ENOUGH_MEMORY)
		return 40;
	HeapFree(heap, 0, arg);
	return 41;
}

/* What the program has decided for all heaps holds for those of the child. */
TEST_F(fork, settings_are_inherited)
{
	struct outcome outcome;

	SetUnhandledExceptionFilter(filter_continues);
	ASSERT_TRUE(HeapSetInformation(NULL, HeapEnableTerminationOnCorruption,
				       NULL, 0));
	outcome = run_in_child(raise_and_misuse, self->family.block);
	EXPECT_TRUE(ended_by(&outcome, SIGABRT)) {
		TH_LOG("child: status %#x", outcome.status);
	}
	EXPECT_EQ(1, count_lines(outcome.text));
}

static int leave_at_once(void *arg)
{
	(void)arg;
	return 0;
}

/* The parent's heaps do not end with the child's copy of the descriptor. */
TEST_F(fork, parent_goes_on)
{
	struct outcome outcome = run_in_child(leave_at_once, NULL);
	char *block = HeapAlloc(self->family.heap, 0, 5000);

	EXPECT_TRUE(ended_well(&outcome));
	ASSERT_NE(NULL, block);
	fill(block, 5000, 2);
	EXPECT_TRUE(is_filled(block, 5000, 2));
	EXPECT_TRUE(HeapFree(self->family.heap, 0, block));
}

static bool stop;		/* (atomic) */

struct worker {
	pthread_t thread;
	const char *failure;	/* what went wrong first */
};

/* While the other threads hold every lock of the library now and then. */
static void *make_and_destroy(void *arg)
{
	struct worker *worker = arg;
	HANDLE heap;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		heap = HeapCreate(0, 0, 1 * MIB);
		HeapLock(heap);
		if (!HeapAlloc(heap, 0, 100))
			worker->failure = "alloc";
		if (!HeapDestroy(heap))
			worker->failure = "destroy";
	}
	return NULL;
}

TEST_F(fork, while_threads_work)
{
	struct worker workers[4] = { 0 };
	struct outcome outcome;
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL,
					    make_and_destroy, &workers[i]));
	for (i = 0; i < 50; i++) {
		outcome = run_in_child(check_child, &self->family);
		EXPECT_TRUE(ended_well(&outcome)) {
			TH_LOG("child %d: status %#x", i, outcome.status);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_EQ(NULL, workers[i].failure);
	}
}

TEST_HARNESS_MAIN
