// SPDX-License-Identifier: GPL-2.0-only
/*
 * Secret heaps: for their program as good as any other, out of reach of everybody
 * else, and wiped when something is given up.
 *
 * What others cannot do is done to an ordinary heap as well, where it works, so
 * that a test of it does not pass for another reason.
 */
#include <elf.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define NR_PAGES	16
#define SEED		77

FIXTURE(secret) {
	int fd;
	size_t page;
	size_t bytes;
	struct heap heap;
	char *block;		/* NR_PAGES pages of the heap, filled */
	struct heap open;	/* the same, not secret */
	char *open_block;
};

/* The flags beside PRIVHEAP_CREATE_F_SECRET. */
FIXTURE_VARIANT(secret) {
	__u32 flags;
	__u32 policy;
	__u32 window_pages;
};

FIXTURE_VARIANT_ADD(secret, page) {
	.policy = PRIVHEAP_POLICY_PAGE,
};

FIXTURE_VARIANT_ADD(secret, window) {
	.flags = PRIVHEAP_CREATE_F_EXEC,
	.policy = PRIVHEAP_POLICY_WINDOW,
	.window_pages = 16,
};

FIXTURE_VARIANT_ADD(secret, backed) {
	.flags = PRIVHEAP_CREATE_F_BACKED,
};

/* Makes a heap with a block of whole pages, none of them the initial one. */
static int make_heap(struct heap *heap, int fd, __u32 flags, __u32 policy,
		     __u32 window_pages, char **block)
{
	size_t page = page_bytes();
	char *first;

	return heap_create(heap, fd, .flags = flags, .initial_bytes = page,
			   .policy = policy, .window_pages = window_pages) ?:
	       block_alloc_with(heap, NR_PAGES * page, page, 0, &first) ?:
	       block_alloc_with(heap, NR_PAGES * page, page, 0, block);
}

FIXTURE_SETUP(secret)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->bytes = NR_PAGES * self->page;
	ASSERT_EQ(0, make_heap(&self->heap, self->fd,
			       PRIVHEAP_CREATE_F_SECRET | variant->flags,
			       variant->policy, variant->window_pages,
			       &self->block));
	ASSERT_EQ(0, make_heap(&self->open, self->fd, variant->flags,
			       variant->policy, variant->window_pages,
			       &self->open_block));
	pattern_fill(self->block, self->bytes, SEED);
	pattern_fill(self->open_block, self->bytes, SEED);
}

FIXTURE_TEARDOWN(secret)
{
	EXPECT_TRUE(pattern_check(self->block, self->bytes, SEED));
	EXPECT_EQ(0, heap_check_works(&self->heap));
	close(self->fd);
}

/* For its program */

TEST_F(secret, works_as_any_heap)
{
	struct privheap_stat stat;
	char *block;

	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(PRIVHEAP_CREATE_F_SECRET | variant->flags,
		  stat.out_create_flags);
	EXPECT_LE(self->bytes, stat.out_resident_bytes);
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	pattern_fill(block, 100, 1);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 300 * KIB, 0));
	EXPECT_TRUE(pattern_check(block, 100, 1));
	pattern_fill(block, 300 * KIB, 2);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 3 * MIB,
				   PRIVHEAP_REALLOC_F_ZERO));
	EXPECT_TRUE(pattern_check(block, 300 * KIB, 2));
	EXPECT_TRUE(all_bytes(block + 300 * KIB, 3 * MIB - 300 * KIB, 0));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 50, 0));
	EXPECT_TRUE(pattern_check(block, 50, 2));
	ASSERT_EQ(0, block_free(&self->heap, block));
	EXPECT_EQ(SIGSEGV, touch_read(self->block + 64 * MIB));
}

/* A large block that stays large is moved without a new place for its pages. */
TEST_F(secret, realloc_moves_large_block)
{
	char *block, *behind;

	ASSERT_EQ(0, block_alloc(&self->heap, 200 * KIB, &block));
	ASSERT_EQ(0, block_alloc(&self->heap, 200 * KIB, &behind));
	pattern_fill(block, 200 * KIB, 3);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 600 * KIB, 0));
	EXPECT_TRUE(pattern_check(block, 200 * KIB, 3));
	pattern_fill(block, 600 * KIB, 4);
	EXPECT_TRUE(pattern_check(block, 600 * KIB, 4));
	ASSERT_EQ(0, block_free(&self->heap, behind));
	ASSERT_EQ(0, block_free(&self->heap, block));
}

TEST_F(secret, prefault)
{
	struct privheap_stat stat;
	char *block;

	ASSERT_EQ(0, block_alloc_with(&self->heap, 300 * KIB, self->page, 0,
				      &block));
	EXPECT_EQ(300 * KIB, heap_prefault(&self->heap, block, 300 * KIB));
	EXPECT_EQ(300 * KIB, heap_prefault(&self->heap, block, 300 * KIB));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_LE(300 * KIB, stat.out_resident_bytes);
	pattern_fill(block, 300 * KIB, 1);
	EXPECT_TRUE(pattern_check(block, 300 * KIB, 1));
	ASSERT_EQ(0, block_free(&self->heap, block));
}

TEST_F(secret, system_calls_copy)
{
	int file = memfd_create("copy", MFD_CLOEXEC);
	char *block;

	ASSERT_LE(0, file);
	ASSERT_EQ((ssize_t)self->bytes, write(file, self->block, self->bytes));
	/* To pages that nobody has touched. */
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	ASSERT_EQ((ssize_t)self->bytes, pread(file, block, self->bytes, 0));
	EXPECT_TRUE(pattern_check(block, self->bytes, SEED));
	EXPECT_EQ(-1, pread(file, self->heap.base + 32 * MIB, 64, 0));
	EXPECT_EQ(EFAULT, errno);
	close(file);
}

static long futex(void *word, int op, unsigned int value)
{
	return syscall(__NR_futex, word, op, value, NULL, NULL, 0) < 0 ?
	       -errno : 0;
}

/* Between threads as ever; between processes there is nothing to share. */
TEST_F(secret, futex)
{
	char *block;

	ASSERT_EQ(0, block_alloc_with(&self->heap, self->bytes, 0,
				      PRIVHEAP_ALLOC_F_ZERO, &block));
	EXPECT_EQ(-EAGAIN, futex(block, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1));
	EXPECT_EQ(0, futex(block, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1));
	EXPECT_EQ(-EFAULT, futex(block, FUTEX_WAIT, 1));
}

/* Soft-dirty tracking makes mappings read-only, and faults undo it. */
TEST_F(secret, cleared_references)
{
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	memset(block, 1, self->page);
	ASSERT_EQ(0, file_write("/proc/self/clear_refs", "4"));
	memset(block, 2, self->bytes);
	EXPECT_TRUE(all_bytes(block, self->bytes, 2));
	ASSERT_EQ(0, file_write("/proc/self/clear_refs", "1"));
	memset(block, 3, self->bytes);
	EXPECT_TRUE(all_bytes(block, self->bytes, 3));
}

/* What holds no page of the mapping does not count it as the process's either. */
TEST_F(secret, not_in_rss)
{
	EXPECT_EQ(0, mapping_rss(self->block));
	EXPECT_LE((long)self->bytes, mapping_rss(self->open_block));
}

TEST_F(secret, limit_holds)
{
	struct privheap_stat stat;
	struct heap heap;
	char *last;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .limit_bytes = MIB,
				 .flags = PRIVHEAP_CREATE_F_SECRET));
	EXPECT_EQ(-EDQUOT, heap_fill(&heap, 40 * KIB, &last));
	memset(last, 1, 40 * KIB);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_GE(MIB, stat.out_committed_bytes);
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* For the kernel, on behalf of its program */

static ssize_t splice_out(const char *mem, size_t bytes)
{
	struct iovec range = { (void *)mem, bytes };
	ssize_t ret;
	int ends[2];

	if (pipe(ends))
		return -errno;
	ret = vmsplice(ends[1], &range, 1, 0);
	ret = ret < 0 ? -errno : ret;
	close(ends[0]);
	close(ends[1]);
	return ret;
}

TEST_F(secret, vmsplice)
{
	EXPECT_EQ(-EFAULT, splice_out(self->block, self->page));
	EXPECT_EQ((ssize_t)self->page, splice_out(self->open_block, self->page));
}

TEST_F(secret, direct_io)
{
	const char *folder = getenv("PRIVHEAP_SCRATCH") ?: ".";
	char path[PATH_MAX];
	int file;

	snprintf(path, sizeof(path), "%s/secret-%d", folder, getpid());
	file = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
	ASSERT_LE(0, file);
	unlink(path);
	EXPECT_EQ((ssize_t)self->bytes,
		  pwrite(file, self->open_block, self->bytes, 0));
	EXPECT_EQ(-1, pwrite(file, self->block, self->bytes, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pread(file, self->block, self->bytes, 0));
	EXPECT_EQ(EFAULT, errno);
	close(file);
}

TEST_F(secret, io_uring_registered)
{
	struct io_uring_params params = { 0 };
	struct iovec range = { self->block, self->bytes };
	int ring = syscall(__NR_io_uring_setup, 1, &params);

	ASSERT_LE(0, ring);
	EXPECT_EQ(-1, syscall(__NR_io_uring_register, ring,
			      IORING_REGISTER_BUFFERS, &range, 1));
	EXPECT_EQ(EFAULT, errno);
	close(ring);
}

static ssize_t vm_read(pid_t pid, void *from, void *to, size_t bytes)
{
	struct iovec there = { from, bytes }, here = { to, bytes };
	ssize_t ret = process_vm_readv(pid, &here, 1, &there, 1, 0);

	return ret < 0 ? -errno : ret;
}

static ssize_t vm_write(pid_t pid, void *to, void *from, size_t bytes)
{
	struct iovec there = { to, bytes }, here = { from, bytes };
	ssize_t ret = process_vm_writev(pid, &here, 1, &there, 1, 0);

	return ret < 0 ? -errno : ret;
}

/* For other processes, here with all rights over this one */

static ssize_t mem_io(pid_t pid, void *addr, bool write)
{
	char path[64], byte = 0;
	ssize_t ret;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return -errno;
	ret = write ? pwrite(mem, &byte, 1, (off_t)(uintptr_t)addr) :
		      pread(mem, &byte, 1, (off_t)(uintptr_t)addr);
	ret = ret < 0 ? -errno : ret;
	close(mem);
	return ret;
}

static void try_memory(struct __test_metadata *_metadata,
		       FIXTURE_DATA(secret) *self, pid_t owner)
{
	char byte;

	EXPECT_EQ(1, vm_read(owner, self->open_block, &byte, 1));
	EXPECT_EQ(-EFAULT, vm_read(owner, self->block, &byte, 1));
	EXPECT_EQ(-EFAULT, vm_write(owner, self->block, &byte, 1));
	EXPECT_EQ(1, mem_io(owner, self->open_block, false));
	EXPECT_EQ(-EIO, mem_io(owner, self->block, false));
	EXPECT_EQ(-EIO, mem_io(owner, self->block, true));
}

static void try_ptrace(struct __test_metadata *_metadata,
		       FIXTURE_DATA(secret) *self, pid_t owner)
{
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, owner, NULL, NULL));
	ASSERT_EQ(owner, waitpid(owner, NULL, __WALL));
	errno = 0;
	ptrace(PTRACE_PEEKDATA, owner, self->open_block, NULL);
	EXPECT_EQ(0, errno);
	EXPECT_EQ(-1, ptrace(PTRACE_PEEKDATA, owner, self->block, NULL));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, owner, self->block, 1L));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, owner, NULL, NULL));
}

TEST_F(secret, other_process)
{
	pid_t owner = getpid(), pid;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_EQ(0, maps_heaps());
		try_memory(_metadata, self, owner);
		try_ptrace(_metadata, self, owner);
		_exit(_metadata->exit_code != KSFT_PASS);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_TRUE(pattern_check(self->block, self->bytes, SEED));
}

/* Nor does the program undo it: by advice, or in one that it starts. */
TEST_F(secret, advice)
{
	char *base = self->heap.base;
	size_t bytes = self->heap.region_bytes;
	pid_t pid;

	EXPECT_EQ(-1, madvise(base, bytes, MADV_DOFORK));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, madvise(base, bytes, MADV_DODUMP));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, madvise(base, bytes, MADV_DONTNEED));
	EXPECT_EQ(EINVAL, errno);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(maps_heaps() || touch_read(base) != SIGSEGV);
	EXPECT_EQ(0, child_wait(pid));
}

/* Core dumps */

static const char core_pattern[] = "/proc/sys/kernel/core_pattern";

/* Bytes that no other seed gives, wherever one looks. */
static void noise_fill(char *mem, size_t bytes, unsigned int seed)
{
	while (bytes--) {
		seed = seed * 1103515245 + 12345;
		*mem++ = seed >> 16;
	}
}

/* How often a file has what noise with @seed begins with. */
static int count_noise(const char *path, unsigned int seed)
{
	static char wanted[256], window[MIB];
	size_t have = 0, i;
	ssize_t part;
	int file, nr = 0;

	noise_fill(wanted, sizeof(wanted), seed);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	while ((part = read(file, window + have, sizeof(window) - have)) > 0) {
		have += part;
		for (i = 0; i + sizeof(wanted) <= have; i++)
			nr += window[i] == wanted[0] &&
			      !memcmp(window + i, wanted, sizeof(wanted));
		memmove(window, window + i, have - i);
		have -= i;
	}
	close(file);
	return nr;
}

#define SEED_SECRET	5
#define SEED_OPEN	6

static void crash(const FIXTURE_VARIANT(secret) *variant)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct heap secret, open;
	char *block, *open_block;
	int fd = privheap_open();

	if (make_heap(&secret, fd, PRIVHEAP_CREATE_F_SECRET | variant->flags,
		      variant->policy, variant->window_pages, &block) ||
	    make_heap(&open, fd, variant->flags, variant->policy,
		      variant->window_pages, &open_block) ||
	    setrlimit(RLIMIT_CORE, &unlimited) ||
	    file_write("/proc/self/coredump_filter", "0x1ff"))
		_exit(1);
	noise_fill(block, NR_PAGES * page_bytes(), SEED_SECRET);
	noise_fill(open_block, NR_PAGES * page_bytes(), SEED_OPEN);
	madvise(secret.base, secret.region_bytes, MADV_DODUMP);
	abort();
}

TEST_F_TIMEOUT(secret, core_dump, 120)
{
	char before[256], path[PATH_MAX];
	pid_t pid;

	ASSERT_LE(0, file_read(core_pattern, before, sizeof(before)));
	snprintf(path, sizeof(path), "/tmp/privheap-core-%d", getpid());
	ASSERT_EQ(0, file_write(core_pattern, path));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		crash(variant);
	EXPECT_EQ(-SIGABRT, child_wait(pid));
	EXPECT_EQ(0, file_write(core_pattern, before));
	EXPECT_LE(1, count_noise(path, SEED_OPEN));
	EXPECT_EQ(0, count_noise(path, SEED_SECRET));
	unlink(path);
}

/* Wiping */

/* Small blocks share a page, which stays when one of them is freed. */
TEST_F(secret, freed_slot_is_wiped)
{
	char *block, *beside;

	ASSERT_EQ(0, block_alloc(&self->heap, 1000, &beside));
	ASSERT_EQ(0, block_alloc(&self->heap, 1000, &block));
	pattern_fill(beside, 1000, 1);
	pattern_fill(block, 1000, 2);
	ASSERT_EQ(0, block_free(&self->heap, block));
	EXPECT_TRUE(all_bytes(block, 1000, 0));
	EXPECT_TRUE(pattern_check(beside, 1000, 1));
}

TEST_F(secret, moved_slot_is_wiped)
{
	char *block, *beside, *old;

	ASSERT_EQ(0, block_alloc(&self->heap, 1000, &beside));
	ASSERT_EQ(0, block_alloc(&self->heap, 1000, &block));
	pattern_fill(beside, 1000, 1);
	pattern_fill(block, 1000, 2);
	old = block;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 5000, 0));
	ASSERT_NE(old, block);
	EXPECT_TRUE(pattern_check(block, 1000, 2));
	EXPECT_TRUE(all_bytes(old, 1000, 0));
}

/* What a block gives up while it stays where it is. */
TEST_F(secret, shrunk_block_is_wiped)
{
	struct heap heap;
	char *block, *old;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .flags = PRIVHEAP_CREATE_F_SECRET,
				 .idle_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&heap, 100 * KIB, &block));
	memset(block, 1, 100 * KIB);
	old = block;
	ASSERT_EQ(0, block_realloc(&heap, &block, 10 * KIB, 0));
	ASSERT_EQ(old, block);
	EXPECT_TRUE(all_bytes(block, 10 * KIB, 1));
	EXPECT_TRUE(all_bytes(block + 10 * KIB, 90 * KIB, 0));
	EXPECT_EQ(0, heap_destroy(&heap));

	ASSERT_EQ(0, block_alloc(&self->heap, 1000, &block));
	memset(block, 1, 1000);
	old = block;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 990, 0));
	ASSERT_EQ(old, block);
	EXPECT_TRUE(all_bytes(block, 990, 1));
	EXPECT_TRUE(all_bytes(block + 990, 10, 0));
}

/* The initial page stays resident, and so do idle ones. */
TEST_F(secret, reset_wipes)
{
	struct heap heap;
	char *block, *again;
	size_t kept;

	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .flags = PRIVHEAP_CREATE_F_SECRET,
				 .initial_bytes = 16 * self->page));
	memset(heap.base, 1, 16 * self->page);
	ASSERT_EQ(0, block_alloc(&heap, 700 * KIB, &block));
	memset(block, 1, 700 * KIB);
	ASSERT_EQ(0, heap_reset(&heap, MIB, &kept));
	EXPECT_EQ(0, kept);
	EXPECT_TRUE(all_bytes(heap.base, 16 * self->page, 0));
	ASSERT_EQ(0, block_alloc(&heap, 700 * KIB, &again));
	EXPECT_TRUE(all_bytes(again, 700 * KIB, 0));
	EXPECT_EQ(0, heap_destroy(&heap));
}

TEST_F(secret, idle_pages_are_wiped)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .flags = PRIVHEAP_CREATE_F_SECRET,
				 .idle_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&heap, 100 * KIB, &block));
	memset(block, 1, 100 * KIB);
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_TRUE(all_bytes(block, 100 * KIB, 0));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* What a heap keeps without being asked, in a region that one block had. */
TEST_F(secret, idle_region_is_wiped)
{
	struct privheap_stat stat;
	char *block;
	int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, block_alloc(&self->heap, 2 * MIB, &block));
		memset(block, 1, 2 * MIB);
		ASSERT_EQ(0, block_free(&self->heap, block));
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	ASSERT_EQ(2 * MIB, stat.out_idle_bytes);
	EXPECT_TRUE(all_bytes(block, 2 * MIB, 0));
}

/* Memory that has left the heap, as root sees it: in the kernel's own mapping. */

/*
 * Each page of a child's block begins with words that say which child's it is. They
 * are made anew where they are compared: a copy would be found, too.
 */
#define MARK_WORDS	8

static __u64 mark(unsigned int child, unsigned int i)
{
	return (child * MARK_WORDS + i + 1) * 0x9e3779b97f4a7c15ULL;
}

static void mark_block(char *block, unsigned int child)
{
	unsigned int n, i;

	for (n = 0; n < NR_PAGES; n++) {
		for (i = 0; i < MARK_WORDS; i++)
			((__u64 *)(block + n * page_bytes()))[i] = mark(child, i);
	}
}

/* A heap of a child's, and how a part of it ends. */
struct giving_up {
	struct heap heap;
	char *block;
};

static int give_up_free(struct giving_up *it)
{
	return block_free(&it->heap, it->block);
}

static int give_up_shrink(struct giving_up *it)
{
	return block_realloc(&it->heap, &it->block, 100, 0);
}

static int give_up_place(struct giving_up *it)
{
	return block_realloc(&it->heap, &it->block, 3 * MIB, 0);
}

/* A block that has a region of its own is wiped by nobody but who gets its pages. */
static int give_up_large(struct giving_up *it)
{
	int ret = give_up_place(it);

	return ret ? ret : block_free(&it->heap, it->block);
}

static int give_up_large_place(struct giving_up *it)
{
	int ret = give_up_place(it);

	return ret ? ret : block_realloc(&it->heap, &it->block, 9 * MIB, 0);
}

static int give_up_blocks(struct giving_up *it)
{
	size_t kept;

	return heap_reset(&it->heap, MIB, &kept);
}

static int give_up_heap(struct giving_up *it)
{
	return heap_destroy(&it->heap);
}

static int give_up_mapping(struct giving_up *it)
{
	struct mapping mapping;
	int ret = mapping_find(it->block, &mapping);

	return ret ? ret : munmap((void *)mapping.start,
				  mapping.end - mapping.start);
}

static int give_up_file(struct giving_up *it)
{
	return close(it->heap.fd);
}

static int give_up_life(struct giving_up *it)
{
	return raise(SIGKILL);
}

static const struct {
	__u32 flags;
	int (*give_up)(struct giving_up *it);
	unsigned int nr_left;	/* pages with marks afterwards */
} ways[] = {
	/* What an ordinary heap frees is kept for the process as it is. */
	{ 0, give_up_free, NR_PAGES },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_free, 0 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_shrink, 1 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_place, NR_PAGES },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_large, 0 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_large_place, NR_PAGES },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_blocks, 0 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_heap, 0 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_mapping, 0 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_file, 0 },
	{ PRIVHEAP_CREATE_F_SECRET, give_up_life, 0 },
};

#define NR_WAYS		ARRAY_SIZE(ways)

/* Fills, says so, waits to be told, gives up, says so, and waits for the end. */
static int child_gives_up(unsigned int way, int talk)
{
	struct giving_up it;
	char byte = 0;

	if (make_heap(&it.heap, privheap_open(), ways[way].flags, 0, 0,
		      &it.block))
		return 1;
	mark_block(it.block, way);
	if (write(talk, &byte, 1) != 1 || read(talk, &byte, 1) != 1 ||
	    ways[way].give_up(&it) || write(talk, &byte, 1) != 1)
		return 2;
	return read(talk, &byte, 1) != 0;
}

/* How many of the pages in @mem have the marks of which child. */
static void count_marks(const char *mem, size_t bytes, unsigned int *nr)
{
	unsigned int way, i;
	__u64 word;

	for (; bytes >= page_bytes(); mem += page_bytes(), bytes -= page_bytes()) {
		for (way = 0; way < NR_WAYS; way++) {
			for (i = 0; i < MARK_WORDS; i++) {
				memcpy(&word, mem + i * sizeof(word), sizeof(word));
				if (word != mark(way, i))
					break;
			}
			nr[way] += i == MARK_WORDS;
		}
	}
}

/* The same in all memory of the machine; returns how much of it there is. */
static size_t find_marks(unsigned int *nr)
{
	/* What is read there must not look like a page of the block itself. */
	static char buffer[MIB + 4096] __attribute__((aligned(4096)));
	int file = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	char *mem = buffer + 512;
	size_t sum = 0, offset;
	Elf64_Phdr part;
	Elf64_Ehdr head;
	ssize_t bytes;
	int i;

	memset(nr, 0, NR_WAYS * sizeof(*nr));
	if (pread(file, &head, sizeof(head), 0) != sizeof(head))
		head.e_phnum = 0;
	for (i = 0; i < head.e_phnum; i++) {
		if (pread(file, &part, sizeof(part),
			  head.e_phoff + i * sizeof(part)) != sizeof(part))
			break;
		/* Memory that is mapped linearly, and not the kernel itself. */
		if (part.p_type != PT_LOAD || part.p_paddr == (__u64)-1 ||
		    part.p_vaddr >= 0xffffffff80000000)
			continue;
		for (offset = 0; offset < part.p_memsz; offset += bytes) {
			bytes = pread(file, mem,
				      part.p_memsz - offset < MIB ?
				      part.p_memsz - offset : MIB,
				      part.p_offset + offset);
			if (bytes <= 0)
				break;
			count_marks(mem, bytes, nr);
			sum += bytes;
		}
	}
	close(file);
	return sum;
}

static void child_runs(const int *talks, unsigned int way, int talk)
{
	unsigned int i;

	for (i = 0; i <= way; i++)
		close(talks[i]);
	_exit(child_gives_up(way, talk));
}

/*
 * Where there are marks they may be seen once too often: on its way here each page
 * goes through one of the kernel's, which is looked at as well.
 */
static bool is_number_seen(unsigned int nr, unsigned int nr_there)
{
	return nr == nr_there || (nr_there && nr == nr_there + 1);
}

TEST(given_up_pages_are_wiped)
{
	unsigned int nr[NR_WAYS], way;
	int talks[NR_WAYS], ends[2];
	char byte = 0;

	/* A kernel that is built small for tests has none, and poisons pages. */
	if (access("/proc/kcore", R_OK))
		return;
	for (way = 0; way < NR_WAYS; way++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
					ends));
		talks[way] = ends[0];
		if (!fork())
			child_runs(talks, way, ends[1]);
		close(ends[1]);
		ASSERT_EQ(1, read(talks[way], &byte, 1));
	}
	ASSERT_LE(256 * MIB, find_marks(nr));
	for (way = 0; way < NR_WAYS; way++) {
		EXPECT_TRUE(is_number_seen(nr[way], NR_PAGES)) {
			TH_LOG("way %u before: %u", way, nr[way]);
		}
		ASSERT_EQ(1, write(talks[way], &byte, 1));
		EXPECT_EQ(ways[way].give_up != give_up_life,
			  read(talks[way], &byte, 1));
	}
	ASSERT_LE(256 * MIB, find_marks(nr));
	for (way = 0; way < NR_WAYS; way++) {
		EXPECT_TRUE(is_number_seen(nr[way], ways[way].nr_left)) {
			TH_LOG("way %u after: %u", way, nr[way]);
		}
		close(talks[way]);
		wait(NULL);
	}
}

/* Bad combinations */

/* What other flags ask for is refused as without this one. */
TEST_F(secret, create_refused)
{
	const struct {
		int err;
		struct privheap_create arg;
	} cases[] = {
		{ -EOPNOTSUPP, { .flags = 1U << 31 } },
		{ -EOPNOTSUPP, { .quarantine_bytes = MIB } },
		{ -EOPNOTSUPP, { .flags = PRIVHEAP_CREATE_F_GUARD,
				 .initial_bytes = 1 } },
		{ -EINVAL, { .cgroup_fd = 1 } },
		{ -EBADF, { .flags = PRIVHEAP_CREATE_F_CGROUP,
			    .cgroup_fd = -1 } },
		{ -EOPNOTSUPP, { .policy = 1000 } },
		{ -EDQUOT, { .initial_bytes = MIB, .limit_bytes = 4096 } },
	};
	struct privheap_create arg;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		arg = cases[i].arg;
		arg.flags |= PRIVHEAP_CREATE_F_SECRET;
		EXPECT_EQ(cases[i].err, heap_create_from(&heap, self->fd, &arg));
		EXPECT_LE(2, maps_heaps());
	}
}

TEST_F(secret, guarded_block)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .quarantine_bytes = MIB,
				 .flags = PRIVHEAP_CREATE_F_SECRET |
					  PRIVHEAP_CREATE_F_GUARD));
	ASSERT_EQ(0, block_alloc_guarded(&heap, 5000, 1, 0, 0, &block));
	pattern_fill(block, 5000, 1);
	EXPECT_TRUE(pattern_check(block, 5000, 1));
	EXPECT_EQ(SIGSEGV, touch_read(block + 5000));
	EXPECT_EQ(-EFAULT, splice_out(block, 100));
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(SIGSEGV, touch_read(block));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* Under a cgroup of its own */
TEST_F(secret, charged_to_cgroup)
{
	struct cgroup cgroup;
	struct heap heap;
	char *block;
	int dir;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	dir = cgroup_open(&cgroup);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, heap_create(&heap, self->fd, .cgroup_fd = dir,
				 .flags = PRIVHEAP_CREATE_F_SECRET |
					  PRIVHEAP_CREATE_F_CGROUP));
	ASSERT_EQ(0, block_alloc(&heap, 8 * MIB, &block));
	memset(block, 1, 8 * MIB);
	EXPECT_LE((long)(8 * MIB), cgroup_bytes(&cgroup));
	EXPECT_EQ(-EFAULT, splice_out(block, 100));
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_TRUE(eventually(cgroup_bytes(&cgroup) < (long)(4 * MIB)));
	EXPECT_EQ(0, heap_destroy(&heap));
	close(dir);
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* Threads */

struct toucher {
	pthread_t thread;
	struct heap heap;
	unsigned int seed;
	unsigned int nr_wrong;
};

static void *allocate_and_touch(void *data)
{
	struct toucher *toucher = data;
	unsigned int i;
	char *block;

	for (i = 0; i < scaled(300); i++) {
		if (block_alloc(&toucher->heap, 20000, &block)) {
			toucher->nr_wrong++;
			continue;
		}
		toucher->nr_wrong += !all_bytes(block, 20000, 0);
		pattern_fill(block, 20000, toucher->seed);
		if (block_realloc(&toucher->heap, &block, 90000, 0))
			toucher->nr_wrong++;
		toucher->nr_wrong += !pattern_check(block, 20000, toucher->seed);
		toucher->nr_wrong += !!block_free(&toucher->heap, block);
	}
	return NULL;
}

/* Whatever comes out of the heap is as fresh, and nobody else's. */
TEST_F_TIMEOUT(secret, threads_share_heap, 240)
{
	struct toucher touchers[4];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(touchers); i++) {
		touchers[i] = (struct toucher){ .heap = self->heap, .seed = i };
		ASSERT_EQ(0, pthread_create(&touchers[i].thread, NULL,
					    allocate_and_touch, &touchers[i]));
	}
	for (i = 0; i < ARRAY_SIZE(touchers); i++) {
		ASSERT_EQ(0, pthread_join(touchers[i].thread, NULL));
		EXPECT_EQ(0, touchers[i].nr_wrong);
	}
}

TEST_HARNESS_MAIN
