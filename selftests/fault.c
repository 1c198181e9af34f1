// SPDX-License-Identifier: GPL-2.0-only
/*
 * Touching memory of a heap, in all the ways there are: by the program, by
 * several threads, by system calls that copy or pin, and by other processes.
 * What may be touched, what becomes resident, and whom it is charged to.
 */
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/personality.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

FIXTURE(fault) {
	int fd;
	size_t page;
	struct heap heap;
	/* A block of some pages that nobody has touched yet. */
	char *block;
	size_t nr_pages;
	size_t bytes;
	struct privheap_stat before;
};

FIXTURE_SETUP(fault)
{
	char *first;

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->nr_pages = 16;
	self->bytes = self->nr_pages * self->page;
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 16 * MIB,
				 .initial_bytes = self->page));
	ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes, self->page, 0,
				      &self->block));
	if (self->block == self->heap.base) {
		/* The initial page is part of it: take what is beside. */
		first = self->block;
		ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes,
					      self->page, 0, &self->block));
		ASSERT_EQ(0, block_free(&self->heap, first));
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	ASSERT_EQ(self->page, self->before.out_resident_bytes);
}

FIXTURE_TEARDOWN(fault)
{
	close(self->fd);
}

/* Since the start of the test @nr_pages have become resident, no more. */
static void expect_resident(struct __test_metadata *_metadata,
			    FIXTURE_DATA(fault) *self, size_t nr_pages)
{
	struct privheap_stat expected = self->before;

	expected.out_resident_bytes += nr_pages * self->page;
	EXPECT_HEAP_STAT(&expected, &self->heap);
}

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

/* System calls that copy */

TEST_F(fault, read_and_write)
{
	int file = memfd_create("copy", MFD_CLOEXEC);
	char byte[64];

	ASSERT_LE(0, file);
	/* From pages that nobody has touched, ... */
	ASSERT_EQ((ssize_t)self->bytes, write(file, self->block, self->bytes));
	expect_resident(_metadata, self, self->nr_pages);
	ASSERT_EQ((ssize_t)sizeof(byte), pread(file, byte, sizeof(byte), 100));
	EXPECT_TRUE(all_bytes(byte, sizeof(byte), 0));

	/* ... and to such. */
	pattern_fill(self->block, self->bytes, 3);
	ASSERT_EQ((ssize_t)self->bytes,
		  pwrite(file, self->block, self->bytes, 0));
	ASSERT_EQ(0, block_free(&self->heap, self->block));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &self->block));
	ASSERT_EQ((ssize_t)self->bytes,
		  pread(file, self->block, self->bytes, 0));
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 3));
	close(file);
}

/* For system calls, too, there is nothing at reserved pages. */
TEST_F(fault, copy_to_reserved_page)
{
	char *reserved = self->block + self->bytes;
	int file = memfd_create("copy", MFD_CLOEXEC);
	struct iovec here = { (char[64]){ 0 }, 64 };
	struct iovec there = { reserved, 64 };

	ASSERT_LE(0, file);
	EXPECT_EQ(-1, write(file, reserved, 64));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, ftruncate(file, 64));
	EXPECT_EQ(-1, pread(file, reserved, 64, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_writev(getpid(), &here, 1, &there, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	expect_resident(_metadata, self, 0);
	close(file);
}

/* A debugger's way, here from a child that may look at its parent. */
TEST_F(fault, touched_by_other_process)
{
	static char text[64];
	struct iovec there = { self->block + 3 * self->page - 10, sizeof(text) };
	struct iovec here = { text, sizeof(text) };
	pid_t parent = getpid();
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		pattern_fill(text, sizeof(text), 5);
		EXPECT_EQ((ssize_t)sizeof(text),
			  process_vm_writev(parent, &here, 1, &there, 1, 0));
		memset(text, 0, sizeof(text));
		EXPECT_EQ((ssize_t)sizeof(text),
			  process_vm_readv(parent, &here, 1, &there, 1, 0));
		EXPECT_TRUE(pattern_check(text, sizeof(text), 5));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	expect_resident(_metadata, self, 2);
	EXPECT_TRUE(pattern_check(there.iov_base, sizeof(text), 5));
}

/* System calls that pin */

static int open_direct(void)
{
	const char *folder = getenv("PRIVHEAP_SCRATCH") ?: ".";
	char path[PATH_MAX];
	int file;

	snprintf(path, sizeof(path), "%s/direct-%d", folder, getpid());
	file = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
	if (file >= 0)
		unlink(path);
	return file;
}

TEST_F(fault, direct_io)
{
	int file = open_direct();
	char *other;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes, self->page, 0,
				      &other));
	pattern_fill(self->block, self->bytes, 9);
	ASSERT_EQ((ssize_t)self->bytes,
		  pwrite(file, self->block, self->bytes, 0));
	ASSERT_EQ((ssize_t)self->bytes, pread(file, other, self->bytes, 0));
	EXPECT_TRUE(pattern_check(other, self->bytes, 9));
	/* Into the pages that it came from. */
	memset(self->block, 0, self->bytes);
	ASSERT_EQ((ssize_t)self->bytes,
		  pread(file, self->block, self->bytes, 0));
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 9));
	close(file);
}

TEST_F(fault, direct_io_to_reserved_page)
{
	int file = open_direct();

	ASSERT_LE(0, file);
	ASSERT_EQ((ssize_t)self->bytes,
		  pwrite(file, self->block, self->bytes, 0));
	EXPECT_EQ(-1, pread(file, self->block + self->bytes, self->page, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, heap_check_works(&self->heap));
	close(file);
}

/*
 * A pipe holds pages of a block that is freed: what it holds does not change,
 * and is no part of a block that is allocated next.
 */
TEST_F(fault, pinned_page_outlives_block)
{
	struct iovec range = { self->block, 4 * self->page };
	char *other = mmap(NULL, 4 * self->page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ends[2];
	char *block;

	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, pipe(ends));
	pattern_fill(self->block, self->bytes, 4);
	ASSERT_EQ((ssize_t)(4 * self->page), vmsplice(ends[1], &range, 1, 0));
	ASSERT_EQ(0, block_free(&self->heap, self->block));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	memset(block, 0xff, self->bytes);
	ASSERT_EQ((ssize_t)(4 * self->page),
		  read(ends[0], other, 4 * self->page));
	EXPECT_TRUE(pattern_check(other, 4 * self->page, 4));
	EXPECT_TRUE(all_bytes(block, self->bytes, (char)0xff));
}

/* The same with a heap that is destroyed, and with the whole file. */
TEST_F(fault, pinned_page_outlives_heap)
{
	struct iovec range = { self->block, 2 * self->page };
	char *other = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ends[2];

	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, pipe(ends));
	pattern_fill(self->block, self->bytes, 4);
	ASSERT_EQ((ssize_t)(2 * self->page), vmsplice(ends[1], &range, 1, 0));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ((ssize_t)(2 * self->page),
		  read(ends[0], other, 2 * self->page));
	EXPECT_TRUE(pattern_check(other, 2 * self->page, 4));
}

/* io_uring, as far as these tests need it. */
struct ring {
	int fd;
	unsigned int *sq_tail;
	unsigned int *sq_array;
	unsigned int *cq_head;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static int ring_open(struct ring *ring)
{
	struct io_uring_params params = { 0 };
	char *queues;

	ring->fd = syscall(__NR_io_uring_setup, 1, &params);
	if (ring->fd < 0)
		return -errno;
	queues = mmap(NULL, params.cq_off.cqes +
		      params.cq_entries * sizeof(struct io_uring_cqe),
		      PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		      IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, sizeof(struct io_uring_sqe),
			  PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			  IORING_OFF_SQES);
	if (queues == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -errno;
	ring->sq_tail = (unsigned int *)(queues + params.sq_off.tail);
	ring->sq_array = (unsigned int *)(queues + params.sq_off.array);
	ring->cq_head = (unsigned int *)(queues + params.cq_off.head);
	ring->cqes = (struct io_uring_cqe *)(queues + params.cq_off.cqes);
	return 0;
}

/* Submits one request, waits for it, and returns its result. */
static int ring_call(struct ring *ring, const struct io_uring_sqe *sqe)
{
	unsigned int head = *ring->cq_head;
	int ret;

	ring->sqes[0] = *sqe;
	ring->sq_array[0] = 0;
	__atomic_store_n(ring->sq_tail, *ring->sq_tail + 1, __ATOMIC_RELEASE);
	ret = syscall(__NR_io_uring_enter, ring->fd, 1, 1,
		      IORING_ENTER_GETEVENTS, NULL, 0);
	if (ret != 1)
		return -errno;
	/* A ring for one request has room for two answers. */
	ret = ring->cqes[head & 1].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return ret;
}

static int ring_transfer(struct ring *ring, int opcode, int flags, int file,
			 char *mem, size_t bytes)
{
	struct io_uring_sqe sqe = {
		.opcode = opcode,
		.flags = flags,
		.fd = file,
		.addr = (uintptr_t)mem,
		.len = bytes,
	};

	return ring_call(ring, &sqe);
}

/* At once in the call, and by a worker of the kernel. */
TEST_F(fault, io_uring)
{
	const int flags[] = { 0, IOSQE_ASYNC };
	struct ring ring;
	unsigned int i;
	char *block;
	int file;

	ASSERT_EQ(0, ring_open(&ring));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		file = memfd_create("ring", MFD_CLOEXEC);
		ASSERT_LE(0, file);
		pattern_fill(self->block, self->bytes, i);
		EXPECT_EQ((int)self->bytes,
			  ring_transfer(&ring, IORING_OP_WRITE, flags[i], file,
					self->block, self->bytes));
		ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
		EXPECT_EQ((int)self->bytes,
			  ring_transfer(&ring, IORING_OP_READ, flags[i], file,
					block, self->bytes));
		EXPECT_TRUE(pattern_check(block, self->bytes, i));
		ASSERT_EQ(0, block_free(&self->heap, block));
		/* Its first page may be the heap's initial one. */
		EXPECT_EQ(-EFAULT,
			  ring_transfer(&ring, IORING_OP_READ, flags[i], file,
					block + self->page, self->page));
		close(file);
	}
	close(ring.fd);
}

TEST_F(fault, io_uring_direct)
{
	struct ring ring;
	int file = open_direct();
	char *other;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ring_open(&ring));
	ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes, self->page, 0,
				      &other));
	pattern_fill(self->block, self->bytes, 2);
	EXPECT_EQ((int)self->bytes,
		  ring_transfer(&ring, IORING_OP_WRITE, 0, file, self->block,
				self->bytes));
	EXPECT_EQ((int)self->bytes,
		  ring_transfer(&ring, IORING_OP_READ, 0, file, other,
				self->bytes));
	EXPECT_TRUE(pattern_check(other, self->bytes, 2));
	close(ring.fd);
	close(file);
}

/*
 * Registered buffers hold the pages for long, beyond the life of the block; what
 * is read into them then must not appear in a new block. Older kernels register
 * no memory of files but tmpfs's.
 */
TEST_F(fault, io_uring_registered)
{
	struct iovec range = { self->block, self->bytes };
	int file = memfd_create("ring", MFD_CLOEXEC);
	struct ring ring;
	char *block;
	int ret;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ring_open(&ring));
	pattern_fill(self->block, self->bytes, 8);
	ASSERT_EQ((ssize_t)self->bytes, write(file, self->block, self->bytes));
	memset(self->block, 0, self->bytes);
	ret = syscall(__NR_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS,
		      &range, 1);
	if (ret) {
		ASSERT_EQ(EOPNOTSUPP, errno);
		expect_resident(_metadata, self, self->nr_pages);
		return;
	}
	EXPECT_EQ((int)self->bytes,
		  ring_transfer(&ring, IORING_OP_READ_FIXED, 0, file,
				self->block, self->bytes));
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 8));

	ASSERT_EQ(0, block_free(&self->heap, self->block));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	memset(block, 0x77, self->bytes);
	EXPECT_EQ((int)self->bytes,
		  ring_transfer(&ring, IORING_OP_READ_FIXED, 0, file,
				self->block, self->bytes));
	EXPECT_TRUE(all_bytes(block, self->bytes, 0x77));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	close(ring.fd);
	close(file);
}

/* Futexes */

struct hand_over {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned int turn;
	unsigned int nr_turns;
};

static void *take_turns(void *data)
{
	struct hand_over *over = data;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		pthread_mutex_lock(&over->mutex);
		while (over->turn != 1)
			pthread_cond_wait(&over->changed, &over->mutex);
		over->turn = 0;
		over->nr_turns++;
		pthread_cond_broadcast(&over->changed);
		pthread_mutex_unlock(&over->mutex);
	}
	return NULL;
}

/* Locks that threads sleep on may live in a heap. */
TEST_F(fault, mutex_in_heap)
{
	struct hand_over *over;
	pthread_t thread;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, sizeof(*over), &block));
	over = (struct hand_over *)block;
	*over = (struct hand_over){
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_turns, over));
	for (i = 0; i < 200; i++) {
		pthread_mutex_lock(&over->mutex);
		while (over->turn != 0)
			pthread_cond_wait(&over->changed, &over->mutex);
		over->turn = 1;
		over->nr_turns++;
		pthread_cond_broadcast(&over->changed);
		pthread_mutex_unlock(&over->mutex);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(400, over->nr_turns);
}

static long futex(void *word, int op, unsigned int value)
{
	return syscall(__NR_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL,
		       NULL, 0) < 0 ? -errno : 0;
}

TEST_F(fault, futex_on_pages_without_memory)
{
	/* The word reads as 0 in a page that the call itself has to fault in. */
	EXPECT_EQ(-EAGAIN, futex(self->block, FUTEX_WAIT, 1));
	expect_resident(_metadata, self, 1);
	EXPECT_EQ(0, futex(self->block + self->page, FUTEX_WAKE, 1));
	EXPECT_EQ(-EFAULT, futex(self->block + self->bytes, FUTEX_WAIT, 0));
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
	EXPECT_TRUE(eventually(cgroup_bytes(cgroup) < before + CGROUP_SLACK));

	ASSERT_EQ(0, block_alloc(&heap, CGROUP_BLOCK, &block));
	memset(block, 1, CGROUP_BLOCK);
	EXPECT_LE(before + (long)CGROUP_BLOCK - CGROUP_SLACK,
		  cgroup_bytes(cgroup));
	ASSERT_EQ(0, heap_destroy(&heap));
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
	EXPECT_EQ(page_bytes(), after.out_committed_bytes);
	EXPECT_EQ(page_bytes(), after.out_resident_bytes);
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
