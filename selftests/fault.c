// SPDX-License-Identifier: GPL-2.0-only
/*
 * Touching memory of a heap: what may be touched, what becomes resident by it,
 * by one thread or several, what advice about it does, and whom it is charged to.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/personality.h>
#include <sys/uio.h>

#include "fault_util.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* What a call makes resident that takes long, and how many touches others do then. */
#define LONG_BYTES	(64 * MIB)
#define NR_MEANWHILE	32

/* Touches by the program */

TEST_F(fault, read_makes_resident)
{
	size_t i;

	ASSERT_EQ(0, mapping_rss(self->block));
	for (i = 0; i < self->nr_pages; i++) {
		EXPECT_EQ(0, touch_read(self->block + i * self->page + i));
		expect_resident(_metadata, self, i + 1);
		EXPECT_EQ((i + 1) * self->page, mapping_rss(self->block));
	}
	EXPECT_EQ(0, touch_read(self->block));
	expect_resident(_metadata, self, self->nr_pages);
	EXPECT_TRUE(all_bytes(self->block, self->bytes, 0));
}

TEST_F(fault, write_makes_resident)
{
	size_t i;

	for (i = self->nr_pages; i-- > 0; ) {
		EXPECT_EQ(0, touch_write(self->block + (i + 1) * self->page - 1));
		expect_resident(_metadata, self, self->nr_pages - i);
		EXPECT_EQ((self->nr_pages - i) * self->page,
			  mapping_rss(self->block));
	}
	EXPECT_EQ(0, touch_write(self->block));
	expect_resident(_metadata, self, self->nr_pages);
}

/* What the kernel counts for the whole process. */
TEST_F(fault, rss_of_process)
{
	/* The kernel counts in batches, so the figure may lag behind. */
	const long slack = 2 * MIB;
	long before, after;
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, 12 * MIB, &block));
	ASSERT_LT(0, file_read("/proc/self/statm", proc_text, 128));
	ASSERT_EQ(1, sscanf(proc_text, "%*d %ld", &before));
	memset(block, 1, 12 * MIB);
	ASSERT_LT(0, file_read("/proc/self/statm", proc_text, 128));
	ASSERT_EQ(1, sscanf(proc_text, "%*d %ld", &after));
	EXPECT_LE((long)(12 * MIB) - slack, (after - before) * (long)self->page);
	EXPECT_GE((long)(12 * MIB) + slack, (after - before) * (long)self->page);
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_LT(0, file_read("/proc/self/statm", proc_text, 128));
	ASSERT_EQ(1, sscanf(proc_text, "%*d %ld", &after));
	EXPECT_GE(slack, (after - before) * (long)self->page);
}

/* Reserved pages, next to committed ones and at the end of the region. */
TEST_F(fault, reserved_page_is_segv)
{
	char *end = self->heap.base + self->heap.region_bytes;
	const char *places[] = {
		self->block + self->bytes, self->block + self->bytes + 1,
		end - self->page, end - 1,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		EXPECT_EQ(SIGSEGV, touch_read(places[i]));
		EXPECT_EQ(SIGSEGV, touch_write(places[i]));
		expect_resident(_metadata, self, 0);
	}
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(fault, reserved_page_of_new_heap_is_segv)
{
	struct heap heap;
	size_t offset;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 64 * KIB,
				 .initial_bytes = 2 * self->page));
	for (offset = 0; offset < 64 * KIB; offset += self->page) {
		EXPECT_EQ(offset < 2 * self->page ? 0 : SIGSEGV,
			  touch_write(heap.base + offset));
		EXPECT_EQ(offset < 2 * self->page ? 0 : SIGSEGV,
			  touch_read(heap.base + offset));
	}
}

TEST_F(fault, freed_page_is_segv)
{
	size_t offset;

	memset(self->block, 1, self->bytes);
	ASSERT_EQ(0, block_free(&self->heap, self->block));
	for (offset = 0; offset < self->bytes; offset += self->page) {
		EXPECT_EQ(SIGSEGV, touch_read(self->block + offset));
		EXPECT_EQ(SIGSEGV, touch_write(self->block + offset));
	}
	EXPECT_EQ(0, mapping_rss(self->heap.base));
}

/* Nothing catches the signal: the process ends, and its heaps with it. */
TEST_F(fault, reserved_page_kills)
{
	struct heap heap;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		if (heap_create(&heap, privheap_open(), .max_bytes = MIB))
			_exit(1);
		*(volatile char *)(heap.base + self->page) = 1;
		_exit(0);
	}
	EXPECT_EQ(-SIGSEGV, child_wait(pid));
	expect_resident(_metadata, self, 0);
}

#if defined(__x86_64__)
static const unsigned char return_42[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
#elif defined(__aarch64__)
static const unsigned char return_42[] = {
	0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6
};
#else
#error "write down what returns 42 here"
#endif

static int call_block(char *block)
{
	struct sigaction old, action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO,
	};
	int ret;

	memcpy(block, return_42, sizeof(return_42));
	__builtin___clear_cache(block, block + sizeof(return_42));
	sigaction(SIGSEGV, &action, &old);
	if (!sigsetjmp(touch_env, 1))
		ret = ((int (*)(void))block)();
	else
		ret = touch_fault_addr == block ? -SIGSEGV : -1;
	sigaction(SIGSEGV, &old, NULL);
	return ret;
}

TEST_F(fault, execute)
{
	struct heap heap;
	char *block;

	EXPECT_EQ(-SIGSEGV, call_block(self->block));
	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_EXEC));
	ASSERT_EQ(0, block_alloc(&heap, 100, &block));
	EXPECT_EQ(42, call_block(block));
	ASSERT_EQ(0, block_alloc(&heap, MIB, &block));
	EXPECT_EQ(42, call_block(block));
}

/* A personality that makes all that is readable executable is not asked. */
TEST_F(fault, execute_is_not_implied)
{
	int persona = personality(0xffffffff);
	struct heap heap = { 0 };
	char *block;

	ASSERT_LE(0, persona);
	ASSERT_LE(0, personality(persona | READ_IMPLIES_EXEC));
	EXPECT_EQ(0, heap_create(&heap, self->fd));
	personality(persona);
	ASSERT_EQ(0, block_alloc(&heap, 100, &block));
	EXPECT_EQ(-SIGSEGV, call_block(block));
}

/* Threads */

struct toucher {
	pthread_t thread;
	pthread_barrier_t *start;
	char *block;
	size_t nr_pages;
	int nr;
};

static void *touch_all_pages(void *data)
{
	struct toucher *toucher = data;
	size_t i;

	pthread_barrier_wait(toucher->start);
	for (i = 0; i < toucher->nr_pages; i++)
		toucher->block[i * page_bytes() + toucher->nr] = toucher->nr + 1;
	return NULL;
}

/* Both find the same page: what either wrote is there, and no page is lost. */
TEST_F(fault, threads_touch_same_pages)
{
	enum { NR = 4, NR_PAGES = 2048 };
	struct toucher touchers[NR];
	pthread_barrier_t start;
	struct privheap_stat stat;
	size_t i, j;
	char *block;

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, NR));
	ASSERT_EQ(0, block_alloc_with(&self->heap, NR_PAGES * self->page,
				      self->page, 0, &block));
	for (i = 0; i < NR; i++) {
		touchers[i] = (struct toucher){
			.start = &start,
			.block = block,
			.nr_pages = NR_PAGES,
			.nr = i,
		};
		ASSERT_EQ(0, pthread_create(&touchers[i].thread, NULL,
					    touch_all_pages, &touchers[i]));
	}
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, pthread_join(touchers[i].thread, NULL));
	}
	for (i = 0; i < NR_PAGES; i++) {
		for (j = 0; j < NR; j++) {
			EXPECT_EQ((char)(j + 1), block[i * self->page + j]);
		}
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(self->before.out_resident_bytes + NR_PAGES * self->page,
		  stat.out_resident_bytes);
}

struct wild_toucher {
	pthread_t thread;
	char *start;
	size_t bytes;
	unsigned long nr_touches;
	bool stop;
};

/* Writes all over the heap; where nothing is committed it gets a signal. */
static void *touch_wildly(void *data)
{
	struct wild_toucher *toucher = data;
	volatile uint32_t random = 1;

	sigsetjmp(touch_env, 1);
	while (!__atomic_load_n(&toucher->stop, __ATOMIC_ACQUIRE)) {
		random = random * 1664525 + 1013904223;
		__atomic_add_fetch(&toucher->nr_touches, 1, __ATOMIC_RELEASE);
		toucher->start[random % toucher->bytes] = 1;
	}
	return NULL;
}

/*
 * Pages come and go under a thread that writes to all of them: afterwards the
 * books still balance.
 */
TEST_F_TIMEOUT(fault, touch_while_pages_go, 120)
{
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO,
	};
	struct wild_toucher toucher = {
		.start = self->heap.base,
		.bytes = self->heap.region_bytes / 4,
	};
	struct privheap_stat stat;
	char *block, *other;
	unsigned int i;

	ASSERT_EQ(0, block_free(&self->heap, self->block));
	ASSERT_EQ(0, sigaction(SIGSEGV, &action, NULL));
	ASSERT_EQ(0, pthread_create(&toucher.thread, NULL, touch_wildly,
				    &toucher));
	for (i = 0; i < 300 || __atomic_load_n(&toucher.nr_touches,
					       __ATOMIC_ACQUIRE) < 300; i++) {
		ASSERT_EQ(0, block_alloc(&self->heap, 300 * KIB, &block));
		ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &other));
		ASSERT_EQ(0, block_realloc(&self->heap, &block, 700 * KIB,
					   PRIVHEAP_REALLOC_F_ZERO));
		ASSERT_EQ(0, block_realloc(&self->heap, &block, 100 * KIB, 0));
		ASSERT_EQ(0, block_free(&self->heap, other));
		ASSERT_EQ(0, block_free(&self->heap, block));
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		EXPECT_GE(stat.out_committed_bytes, stat.out_resident_bytes);
	}
	__atomic_store_n(&toucher.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(toucher.thread, NULL));
	signal(SIGSEGV, SIG_DFL);
	EXPECT_EQ(0, heap_check_works(&self->heap));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
}

/* Backed heaps */

/* A call that has the heap's lock for long; others touch meanwhile. */

struct long_call {
	struct heap *heap;
	char *block;
	int ret;
	atomic_bool runs;
};

static void *make_long_call(void *data)
{
	struct long_call *call = data;

	atomic_store(&call->runs, true);
	call->ret = block_alloc(call->heap, LONG_BYTES, &call->block);
	atomic_store(&call->runs, false);
	return NULL;
}

/* With the lock it would be the first ones at most, before the call has it. */
TEST_F(fault, served_while_heap_is_locked)
{
	const size_t nr_pages = 4096;
	struct long_call call = {};
	size_t n, nr = 0, round;
	struct heap heap;
	pthread_t thread;
	char *block;

	for (round = 0; round < 20 && nr < NR_MEANWHILE; round++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 256 * MIB,
					 .policy = PRIVHEAP_POLICY_PAGE));
		ASSERT_EQ(0, block_alloc(&heap, nr_pages * self->page, &block));
		ASSERT_EQ(0, heap_policy(&heap, PRIVHEAP_POLICY_POPULATE, 1));
		call.heap = &heap;
		ASSERT_EQ(0, pthread_create(&thread, NULL, make_long_call, &call));
		while (!atomic_load(&call.runs))
			;
		for (n = nr = 0; n < nr_pages && atomic_load(&call.runs); n++) {
			block[n * self->page] = 1;
			nr += atomic_load(&call.runs);
		}
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, call.ret);
		ASSERT_EQ(0, heap_destroy(&heap));
	}
	EXPECT_LE(NR_MEANWHILE, nr);
}

TEST_F(fault, backed_heap_is_resident)
{
	const size_t sizes[] = { 16 * self->page, 5 * self->page + 1, 3 * MIB };
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_BACKED));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &block));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
		memset(block, 1, sizes[i]);
		EXPECT_HEAP_STAT(&stat, &heap);
		ASSERT_EQ(0, block_realloc(&heap, &block, 2 * sizes[i], 0));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
		EXPECT_TRUE(all_bytes(block, sizes[i], 1));
	}
}

/* Advice, locks and the like */

/*
 * Whatever advice is given about a range, its contents stay, and the mapping
 * stays one.
 */
static void expect_advice_harmless(struct __test_metadata *_metadata,
				   FIXTURE_DATA(fault) *self, char *start,
				   size_t bytes)
{
	int advice;

	for (advice = 0; advice <= MADV_COLLAPSE; advice++) {
		madvise(start, bytes, advice);
		EXPECT_EQ(1, maps_heaps());
		EXPECT_TRUE(pattern_check(self->block, self->bytes, 1)) {
			TH_LOG("after advice %d", advice);
		}
		expect_resident(_metadata, self, self->nr_pages);
	}
}

TEST_F(fault, advice_keeps_contents)
{
	pattern_fill(self->block, self->bytes, 1);
	expect_advice_harmless(_metadata, self, self->block + self->page,
			       2 * self->page);
	expect_advice_harmless(_metadata, self, self->heap.base,
			       self->heap.region_bytes);
	EXPECT_EQ(0, block_free(&self->heap, self->block));
	EXPECT_EQ(SIGSEGV, touch_read(self->block));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

/* Only the page table forgets: the pages belong to the heap. */
TEST_F(fault, dontneed_unmaps_only)
{
	pattern_fill(self->block, self->bytes, 1);
	EXPECT_EQ(self->bytes, mapping_rss(self->block));
	ASSERT_EQ(0, madvise(self->block, self->bytes, MADV_DONTNEED));
	EXPECT_EQ(0, mapping_rss(self->block));
	expect_resident(_metadata, self, self->nr_pages);
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 1));
	EXPECT_EQ(self->bytes, mapping_rss(self->block));
	expect_resident(_metadata, self, self->nr_pages);
}

TEST_F(fault, populate)
{
	ASSERT_EQ(0, madvise(self->block, 2 * self->page, MADV_POPULATE_READ));
	expect_resident(_metadata, self, 2);
	ASSERT_EQ(0, madvise(self->block, self->bytes, MADV_POPULATE_WRITE));
	expect_resident(_metadata, self, self->nr_pages);
	EXPECT_EQ(self->bytes, mapping_rss(self->block));

	EXPECT_EQ(-1, madvise(self->block + self->bytes, self->page,
			      MADV_POPULATE_WRITE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, madvise(self->block + self->bytes, self->page,
			      MADV_POPULATE_READ));
	EXPECT_EQ(EFAULT, errno);
	expect_resident(_metadata, self, self->nr_pages);
}

TEST_F(fault, process_madvise)
{
	struct iovec range = { self->block, self->bytes };
	int pidfd = syscall(__NR_pidfd_open, getpid(), 0);
	int advice;

	ASSERT_LE(0, pidfd);
	pattern_fill(self->block, self->bytes, 1);
	for (advice = 0; advice <= MADV_COLLAPSE; advice++) {
		syscall(__NR_process_madvise, pidfd, &range, 1, advice, 0);
		EXPECT_TRUE(pattern_check(self->block, self->bytes, 1));
		expect_resident(_metadata, self, self->nr_pages);
	}
	close(pidfd);
}

/* Locking must not commit what is only reserved, nor split the mapping. */
TEST_F(fault, mlock)
{
	mlock(self->block, self->page);
	EXPECT_EQ(1, maps_heaps());
	mlock(self->heap.base, self->heap.region_bytes);
	munlock(self->block, self->page);
	EXPECT_EQ(1, maps_heaps());
	EXPECT_EQ(SIGSEGV, touch_read(self->block + self->bytes));
	EXPECT_EQ(0, block_free(&self->heap, self->block));
	EXPECT_EQ(SIGSEGV, touch_read(self->block));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(fault, mlockall_then_create)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(self->page, stat.out_committed_bytes);
	EXPECT_EQ(self->page, stat.out_resident_bytes);
	EXPECT_EQ(SIGSEGV, touch_read(heap.base + self->page));
	ASSERT_EQ(0, block_alloc(&heap, MIB, &block));
	memset(block, 1, MIB);
	EXPECT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* The memory cgroup */

/*
 * The kernel charges the cgroup in advance for some pages to come, so what is
 * seen may be off to either side; and page tables are charged, too.
 */
#define CGROUP_SLACK	((long)(2 * MIB))
#define CGROUP_BLOCK	(32 * MIB)

static void child_touches_and_frees(struct __test_metadata *_metadata,
				    const struct cgroup *cgroup)
{
	struct heap heap;
	long before, after;
	size_t largest;
	char *block;

	ASSERT_EQ(0, cgroup_enter(cgroup));
	ASSERT_EQ(0, heap_create(&heap, privheap_open()));
	before = cgroup_bytes(cgroup);
	ASSERT_LT(0, before);
	ASSERT_EQ(0, block_alloc(&heap, CGROUP_BLOCK, &block));
	after = cgroup_bytes(cgroup);
	EXPECT_GE(before + CGROUP_SLACK, after);

	memset(block, 1, CGROUP_BLOCK);
	after = cgroup_bytes(cgroup);
	EXPECT_LE(before + (long)CGROUP_BLOCK - CGROUP_SLACK, after);
	EXPECT_GE(before + (long)CGROUP_BLOCK + CGROUP_SLACK, after);

	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_TRUE(eventually(cgroup_bytes(cgroup) < before + CGROUP_SLACK));

	ASSERT_EQ(0, block_alloc(&heap, CGROUP_BLOCK, &block));
	memset(block, 1, CGROUP_BLOCK);
	EXPECT_LE(before + (long)CGROUP_BLOCK - CGROUP_SLACK,
		  cgroup_bytes(cgroup));
	ASSERT_EQ(0, heap_destroy(&heap));
	/* What the process keeps for other heaps goes with any of them. */
	ASSERT_EQ(0, heap_create(&heap, heap.fd));
	ASSERT_EQ(0, heap_compact(&heap, &largest));
	EXPECT_TRUE(eventually(cgroup_bytes(cgroup) < before + CGROUP_SLACK));
}

TEST_F_TIMEOUT(fault, cgroup_is_charged, 120)
{
	struct cgroup cgroup;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_touches_and_frees(_metadata, &cgroup);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* A backed heap in a full cgroup: an errno, no signal, and it goes on. */
static void child_fills_cgroup(struct __test_metadata *_metadata,
			       const struct cgroup *cgroup)
{
	struct privheap_stat before, after;
	struct heap heap, other;
	char *blocks[64], *block;
	unsigned int nr = 0, i;
	int fd, ret;

	ASSERT_EQ(0, cgroup_enter(cgroup));
	fd = privheap_open();
	ASSERT_EQ(0, heap_create(&heap, fd, .flags = PRIVHEAP_CREATE_F_BACKED,
				 .max_bytes = 128 * MIB));
	do {
		ASSERT_GT(ARRAY_SIZE(blocks), nr);
		ASSERT_EQ(0, heap_stat(&heap, &before));
		ret = block_alloc(&heap, MIB, &blocks[nr++]);
	} while (!ret);
	nr--;
	EXPECT_EQ(-ENOMEM, ret);
	EXPECT_LT(16, nr);
	EXPECT_HEAP_STAT(&before, &heap);

	/* The same for what is resident from the start. */
	EXPECT_EQ(-ENOMEM, heap_create(&other, fd, .initial_bytes = 64 * MIB));
	EXPECT_EQ(1, maps_heaps());

	/* A large request fails without having taken the room of a small one. */
	EXPECT_EQ(-ENOMEM, block_alloc(&heap, 64 * MIB, &block));
	EXPECT_HEAP_STAT(&before, &heap);
	ASSERT_EQ(0, block_free(&heap, blocks[--nr]));
	ASSERT_EQ(0, block_alloc(&heap, 512 * KIB, &block));
	memset(block, 1, 512 * KIB);

	for (i = 0; i < nr; i++) {
		memset(blocks[i], 1, MIB);
		ASSERT_EQ(0, block_free(&heap, blocks[i]));
	}
	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, heap_stat(&heap, &after));
	EXPECT_EQ(page_bytes() + after.out_idle_bytes, after.out_committed_bytes);
	EXPECT_EQ(page_bytes() + after.out_idle_bytes, after.out_resident_bytes);
	EXPECT_EQ(0, heap_check_works(&heap));
}

TEST_F_TIMEOUT(fault, backed_heap_in_full_cgroup, 120)
{
	struct cgroup cgroup;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	ASSERT_EQ(0, cgroup_set(&cgroup, "memory.max", "32M"));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_fills_cgroup(_metadata, &cgroup);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_EQ(0, cgroup_events(&cgroup, "oom_kill"));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

TEST_HARNESS_MAIN
