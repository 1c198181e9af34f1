// SPDX-License-Identifier: GPL-2.0-only
/*
 * Confinement: what the rest of the system can try with a heap, and what comes of
 * it. doc/security.rst has the same as a table.
 *
 * Each attempt is made on an ordinary heap and on a secret one. Afterwards the heap
 * holds what it held, its reserved pages are out of reach, and it works.
 */
#pragma GCC diagnostic push
/* What has no holes cannot carry what the kernel's stack held before. */
#pragma GCC diagnostic error "-Wpadded"
#include <linux/privheap.h>
#pragma GCC diagnostic pop

#include <grp.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define USER		1000
#define NR_PAGES	16
#define SEED		1

FIXTURE(confine) {
	int fd;
	size_t page;
	size_t bytes;
	struct heap heap;
	char *block;		/* NR_PAGES pages, filled */
	char *reserved;		/* a page that is not committed */
};

FIXTURE_VARIANT(confine) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(confine, ordinary) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(confine, secret) {
	.flags = PRIVHEAP_CREATE_F_SECRET,
};

static int fill_new_heap(struct heap *heap, int fd, __u32 flags, char **block)
{
	size_t page = page_bytes();
	int ret = heap_create(heap, fd, .flags = flags, .max_bytes = 16 * MIB,
			      .policy = PRIVHEAP_POLICY_PAGE) ?:
		  block_alloc_with(heap, NR_PAGES * page, page, 0, block);

	if (!ret)
		pattern_fill(*block, NR_PAGES * page, SEED);
	return ret;
}

FIXTURE_SETUP(confine)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->bytes = NR_PAGES * self->page;
	ASSERT_EQ(0, fill_new_heap(&self->heap, self->fd, variant->flags,
				   &self->block));
	self->reserved = self->heap.base + self->heap.region_bytes - self->page;
}

static void expect_untouched(struct __test_metadata *_metadata,
			     FIXTURE_DATA(confine) *self)
{
	EXPECT_EQ(1, maps_heaps());
	EXPECT_TRUE(pattern_check(self->block, self->bytes, SEED));
	EXPECT_EQ(SIGSEGV, touch_write(self->reserved));
}

FIXTURE_TEARDOWN(confine)
{
	expect_untouched(_metadata, self);
	EXPECT_EQ(0, heap_check_works(&self->heap));
	EXPECT_EQ(0, heap_destroy(&self->heap));
	close(self->fd);
}

static bool is_secret(const FIXTURE_VARIANT(confine) *variant)
{
	return variant->flags & PRIVHEAP_CREATE_F_SECRET;
}

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* Advice */

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

/* On the whole region; on a part of it, what would have to split it is EINVAL. */
static const struct {
	int advice;
	int answer[2];	/* of an ordinary heap, and of a secret one */
} advices[] = {
	{ MADV_NORMAL,		{ 0, 0 } },
	{ MADV_RANDOM,		{ 0, 0 } },
	{ MADV_SEQUENTIAL,	{ 0, 0 } },
	{ MADV_NORMAL,		{ 0, 0 } },
	{ MADV_WILLNEED,	{ 0, 0 } },
	{ MADV_DONTNEED,	{ 0, -EINVAL } },
	{ MADV_DONTNEED_LOCKED,	{ 0, -EINVAL } },
	{ MADV_FREE,		{ -EINVAL, -EINVAL } },
	{ MADV_REMOVE,		{ -ENODEV, -ENODEV } },
	{ MADV_DOFORK,		{ 0, -EINVAL } },
	{ MADV_DONTFORK,	{ 0, 0 } },
	{ MADV_WIPEONFORK,	{ -EINVAL, -EINVAL } },
	{ MADV_KEEPONFORK,	{ 0, 0 } },
	{ MADV_DONTDUMP,	{ 0, 0 } },
	{ MADV_DODUMP,		{ -EINVAL, -EINVAL } },
	{ MADV_MERGEABLE,	{ 0, 0 } },
	{ MADV_UNMERGEABLE,	{ 0, 0 } },
	{ MADV_HUGEPAGE,	{ 0, 0 } },
	{ MADV_NOHUGEPAGE,	{ 0, 0 } },
	{ MADV_COLD,		{ 0, -EINVAL } },
	{ MADV_PAGEOUT,		{ 0, -EINVAL } },
	{ MADV_POPULATE_READ,	{ -EFAULT, -EINVAL } },
	{ MADV_POPULATE_WRITE,	{ -EFAULT, -EINVAL } },
	{ MADV_COLLAPSE,	{ -EINVAL, -EINVAL } },
	{ 26,			{ -EINVAL, -EINVAL } },
	{ 99,			{ -EINVAL, -EINVAL } },
};

/*
 * Newer kernels let no child have what is mapped from a driver, whoever asks; and some
 * have no huge pages.
 */
static bool is_answer_of_others(int advice, long answer)
{
	return answer == -EINVAL &&
	       (advice == MADV_DOFORK ||
		(!has_huge_pages() && (advice == MADV_HUGEPAGE ||
				       advice == MADV_NOHUGEPAGE)));
}

TEST_F(confine, advice)
{
	unsigned int i;
	long answer;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		answer = result(madvise(self->heap.base, self->heap.region_bytes,
					advices[i].advice));
		if (!is_answer_of_others(advices[i].advice, answer)) {
			EXPECT_EQ(advices[i].answer[is_secret(variant)], answer) {
				TH_LOG("advice %d", advices[i].advice);
			}
		}
		expect_untouched(_metadata, self);
		madvise(self->block + self->page, self->page,
			advices[i].advice);
		expect_untouched(_metadata, self);
	}
}

/* From another process, which is only taken advice on when memory is used. */
TEST_F(confine, advice_of_other_process)
{
	struct iovec range = { self->heap.base, self->heap.region_bytes };
	int pidfd = syscall(__NR_pidfd_open, getpid(), 0);
	unsigned int i;
	pid_t pid;

	ASSERT_LE(0, pidfd);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (i = 0; i < ARRAY_SIZE(advices); i++)
			syscall(__NR_process_madvise, pidfd, &range, 1,
				advices[i].advice, 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	expect_untouched(_metadata, self);
	close(pidfd);
}

/* KSM takes the advice, and does not act on it: no "mg" among the flags. */
TEST_F(confine, merging)
{
	char *line, *rest;

	ASSERT_EQ(0, madvise(self->heap.base, self->heap.region_bytes,
			     MADV_MERGEABLE));
#ifdef PR_SET_MEMORY_MERGE
	prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
#endif
	ASSERT_LT(0, file_read("/proc/self/smaps", proc_text,
			       sizeof(proc_text)));
	line = strstr(proc_text, "privheap:");
	ASSERT_NE(NULL, line);
	line = strstr(line, "VmFlags:");
	ASSERT_NE(NULL, line);
	EXPECT_EQ(NULL, strstr(strtok_r(line, "\n", &rest), " mg"));
}

/* Locking commits nothing, and makes nothing resident that is not committed. */
TEST_F(confine, locking)
{
	struct privheap_stat before;

	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	EXPECT_EQ(is_secret(variant) ? 0 : -ENOMEM,
		  result(mlock(self->heap.base, self->heap.region_bytes)));
	EXPECT_EQ(0, mlock(self->block, self->page));
	EXPECT_EQ(0, munlock(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	EXPECT_HEAP_STAT(&before, &self->heap);
	expect_untouched(_metadata, self);
	EXPECT_EQ(0, heap_check_works(&self->heap));
	EXPECT_EQ(0, munlockall());
}

/* userfaultfd */

static int userfault_register(const struct heap *heap, __u64 features, __u64 mode)
{
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register arg = {
		.range = { (uintptr_t)heap->base, heap->region_bytes },
		.mode = mode,
	};
	int ret;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		ret = -ENOSYS;
	else
		ret = result(ioctl(fd, UFFDIO_REGISTER, &arg));
	close(fd);
	return ret;
}

/* Of features newer than the kernel there is nothing to be afraid of. */
#define UFFD_WP_ASYNC	(1U << 15)

TEST_F(confine, userfaultfd)
{
	__u64 mode;
	int ret;

	for (mode = 1; mode < 8; mode++) {
		EXPECT_EQ(-EINVAL, userfault_register(&self->heap, 0, mode));
		ret = userfault_register(&self->heap, UFFD_WP_ASYNC, mode);
		EXPECT_TRUE(ret == -EINVAL || ret == -ENOSYS);
	}
}

/* Pages that somebody wants to see, or elsewhere */

#define PM_FRAME	((1ULL << 55) - 1)
#define PM_PRESENT	(1ULL << 63)

static __u64 pagemap_entry(const void *addr)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	__u64 entry = 0;

	if (pread(file, &entry, sizeof(entry), (uintptr_t)addr / page_bytes() *
		  sizeof(entry)) != sizeof(entry))
		entry = -1;
	close(file);
	return entry;
}

static int become_user(void)
{
	if (setgroups(0, NULL) || setresgid(USER, USER, USER) ||
	    setresuid(USER, USER, USER))
		return -errno;
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

/* Root sees where an ordinary heap's pages are, a user only that they are there. */
TEST_F(confine, pagemap)
{
	struct heap heap;
	char *block;
	pid_t pid;
	int fd;

	EXPECT_EQ(is_secret(variant) ? 0 : PM_PRESENT,
		  pagemap_entry(self->block) & PM_PRESENT);
	EXPECT_EQ(is_secret(variant),
		  !(pagemap_entry(self->block) & PM_FRAME));
	EXPECT_EQ(0, pagemap_entry(self->reserved) & (PM_PRESENT | PM_FRAME));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		fd = privheap_open();
		EXPECT_EQ(0, become_user());
		EXPECT_EQ(0, fill_new_heap(&heap, fd, variant->flags, &block));
		EXPECT_EQ(0, pagemap_entry(block) & PM_FRAME);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

static __u64 memory_block_bytes(void)
{
	char text[64];

	if (file_read("/sys/devices/system/memory/block_size_bytes", text,
		      sizeof(text)) < 0)
		return 0;
	return strtoull(text, NULL, 16);
}

/* Takes the memory block with a page off line; 0 if that was possible. */
static int take_offline(__u64 physical)
{
	__u64 bytes = memory_block_bytes();
	char path[96];
	int ret;

	if (!bytes)
		return -ENOENT;
	snprintf(path, sizeof(path), "/sys/devices/system/memory/memory%llu/state",
		 physical / bytes);
	ret = file_write(path, "offline");
	if (!ret)
		file_write(path, "online");
	return ret;
}

/* Kernels without NUMA have no such calls. */
static void try_to_move(struct __test_metadata *_metadata,
			FIXTURE_DATA(confine) *self, int answer)
{
	void *pages[2] = { self->block, self->block + self->page };
	int nodes[2] = { 0 }, status[2] = { 1, 1 };
	unsigned long mask = 1;

	if (syscall(__NR_move_pages, 0, 2, pages, nodes, status,
		    MPOL_MF_MOVE_ALL)) {
		EXPECT_EQ(ENOSYS, errno);
		return;
	}
	EXPECT_EQ(answer, status[0]);
	EXPECT_EQ(answer, status[1]);
	EXPECT_EQ(0, syscall(__NR_migrate_pages, 0, 64, &mask, &mask));
	EXPECT_EQ(0, syscall(__NR_mbind, self->heap.base,
			     self->heap.region_bytes, MPOL_BIND, &mask, 64,
			     MPOL_MF_MOVE_ALL | MPOL_MF_STRICT));
}

/* They stay where they are, though all who may move pages are asked to. */
TEST_F(confine, migration)
{
	__u64 before = pagemap_entry(self->block);

	try_to_move(_metadata, self, is_secret(variant) ? -EFAULT : 0);
	expect_untouched(_metadata, self);
	/* To walk all memory takes a minute on a kernel that checks each page. */
	if (is_secret(variant) && test_scale() > 1)
		return;
	EXPECT_EQ(0, file_write("/proc/sys/vm/compact_memory", "1"));
	EXPECT_EQ(before, pagemap_entry(self->block));
	if (is_secret(variant))
		return;
	EXPECT_NE(0, take_offline((before & PM_FRAME) * self->page));
	EXPECT_EQ(before, pagemap_entry(self->block));
}

#ifndef MADV_HWPOISON
#define MADV_HWPOISON		100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

/* Memory said to be bad: where the kernel can do that, it cannot take it away. */
TEST_F(confine, memory_failure)
{
	EXPECT_EQ(-1, madvise(self->block + self->page, self->page,
			      MADV_HWPOISON));
	EXPECT_NE(0, errno);
	expect_untouched(_metadata, self);
	EXPECT_EQ(-1, madvise(self->block + 2 * self->page, self->page,
			      MADV_SOFT_OFFLINE));
	expect_untouched(_metadata, self);
}

/* The mapping; privacy_mapping has more of it, for ordinary heaps. */

TEST_F(confine, mapping)
{
	char *base = self->heap.base, *other;
	size_t page = self->page, all = self->heap.region_bytes;

	EXPECT_EQ(-1, munmap(base, page));
	EXPECT_EQ(-1, munmap(base + page, page));
	EXPECT_EQ(-1, munmap(self->reserved, 2 * page));
	EXPECT_EQ(-1, mprotect(base, all, PROT_READ));
	EXPECT_EQ(-1, mprotect(base, page, PROT_READ | PROT_EXEC));
	EXPECT_EQ(MAP_FAILED, mremap(base, all, 2 * all, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(base, all, page, 0));
	EXPECT_EQ(MAP_FAILED, mremap(base, 0, page, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(base, all, all, MREMAP_MAYMOVE |
						     MREMAP_DONTUNMAP));
	EXPECT_EQ(-1, remap_file_pages(base, page, 0, 1, 0));
	EXPECT_EQ(MAP_FAILED, mmap(base + page, page, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0));
	other = mmap(NULL, page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(MAP_FAILED, mremap(other, page, page,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     self->block + page));
	expect_untouched(_metadata, self);
	munmap(other, page);
}

TEST_F(confine, mapping_unmapped)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, fill_new_heap(&heap, self->fd, variant->flags, &block));
	ASSERT_EQ(0, munmap(heap.base, heap.region_bytes));
	EXPECT_EQ(-EIDRM, block_free(&heap, block));
	EXPECT_EQ(0, heap_destroy(&heap));
}

/* Futexes */

/* Between processes there is nothing to wait on: a page of a heap is no file's. */
TEST_F(confine, futex)
{
	int *word = (int *)self->block, value = *word;

	EXPECT_EQ(-EAGAIN, result(syscall(__NR_futex, word, FUTEX_WAIT_PRIVATE,
					  value + 1, NULL, NULL, 0)));
	EXPECT_EQ(-EFAULT, result(syscall(__NR_futex, word, FUTEX_WAIT,
					  value + 1, NULL, NULL, 0)));
}

/* Splicing */

/* A gift is not taken: the pipe may keep the pages, but they stay the heap's. */
TEST_F(confine, splice)
{
	char *seen = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec range = { self->block, self->page };
	int file = memfd_create("splice", MFD_CLOEXEC), ends[2];
	loff_t offset = 0;

	ASSERT_NE(MAP_FAILED, seen);
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	EXPECT_EQ(is_secret(variant) ? -EFAULT : (long)self->page,
		  result(vmsplice(ends[1], &range, 1, SPLICE_F_GIFT)));
	if (!is_secret(variant)) {
		EXPECT_EQ((ssize_t)self->page,
			  splice(ends[0], NULL, file, &offset, self->page,
				 SPLICE_F_MOVE));
		memset(self->block, 7, self->page);
		EXPECT_EQ((ssize_t)self->page,
			  pread(file, seen, self->page, 0));
		EXPECT_TRUE(pattern_check(seen, self->page, SEED));
		pattern_fill(self->block, self->bytes, SEED);
	}
	close(ends[0]);
	close(ends[1]);
	close(file);
}

/* Other processes */

static long vm_read(pid_t pid, void *from)
{
	char byte;
	struct iovec there = { from, 1 }, here = { &byte, 1 };

	return result(process_vm_readv(pid, &here, 1, &there, 1, 0));
}

static long vm_write(pid_t pid, void *to, char byte)
{
	struct iovec there = { to, 1 }, here = { &byte, 1 };

	return result(process_vm_writev(pid, &here, 1, &there, 1, 0));
}

static long proc_open(pid_t pid, const char *file, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return result(open(path, flags | O_CLOEXEC));
}

static long get_fd(pid_t pid, int fd)
{
	int pidfd = syscall(__NR_pidfd_open, pid, 0);

	return result(syscall(__NR_pidfd_getfd, pidfd, fd, 0));
}

/* All that takes the right to trace is refused to those who do not have it. */
static void try_without_rights(struct __test_metadata *_metadata,
			       FIXTURE_DATA(confine) *self, pid_t owner)
{
	int pidfd = syscall(__NR_pidfd_open, owner, 0), status = 0;
	struct iovec range = { self->heap.base, self->heap.region_bytes };
	void *pages[1] = { self->block };
	char name[32];

	EXPECT_EQ(-EPERM, vm_read(owner, self->block));
	EXPECT_EQ(-EPERM, vm_write(owner, self->block, 0));
	EXPECT_EQ(-EACCES, proc_open(owner, "mem", O_RDONLY));
	EXPECT_EQ(-EACCES, proc_open(owner, "maps", O_RDONLY));
	EXPECT_EQ(-EACCES, proc_open(owner, "pagemap", O_RDONLY));
	snprintf(name, sizeof(name), "fd/%d", self->fd);
	EXPECT_EQ(-EACCES, proc_open(owner, name, O_RDWR));
	EXPECT_EQ(-EPERM, result(ptrace(PTRACE_ATTACH, owner, NULL, NULL)));
	EXPECT_EQ(-EPERM, get_fd(owner, self->fd));
	EXPECT_EQ(-EACCES, result(syscall(__NR_process_madvise, pidfd, &range, 1,
					  MADV_COLD, 0)));
	EXPECT_TRUE(syscall(__NR_move_pages, owner, 1, pages, NULL, &status, 0) &&
		    (errno == EPERM || errno == ENOSYS));
	EXPECT_EQ(-EPERM, result(kill(owner, 0)));
}

TEST_F(confine, other_user)
{
	pid_t owner = getpid(), pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, become_user());
		try_without_rights(_metadata, self, owner);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

/* Root of its own container: user, process, network and mount namespaces. */
TEST_F(confine, container)
{
	pid_t owner = getpid(), pid = fork();
	struct heap heap;
	char *block;
	int fd;

	ASSERT_LE(0, pid);
	if (!pid) {
		fd = privheap_open();
		ASSERT_EQ(0, become_user());
		ASSERT_EQ(0, unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS |
				     CLONE_NEWIPC | CLONE_NEWUTS));
		ASSERT_EQ(0, file_write("/proc/self/uid_map", "0 1000 1"));
		ASSERT_EQ(0, getuid());
		ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
		try_without_rights(_metadata, self, owner);
		EXPECT_EQ(-EPERM, heap_destroy(&self->heap));
		/* It has heaps of its own, in a file that it got. */
		EXPECT_EQ(0, fill_new_heap(&heap, fd, variant->flags, &block));
		EXPECT_EQ(-ENXIO, heap_destroy(&(struct heap){
					.fd = fd, .id = self->heap.id + 1 }));
		EXPECT_EQ(0, heap_check_works(&heap));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

/* Two processes of one user. */
struct owner {
	pid_t pid;
	int fd;
	struct heap heap;
	char *block;
};

static void owner_runs(__u32 flags, int talk)
{
	struct owner owner = { .pid = getpid(), .fd = privheap_open() };
	char byte;

	if (become_user() ||
	    fill_new_heap(&owner.heap, owner.fd, flags, &owner.block) ||
	    write(talk, &owner, sizeof(owner)) != sizeof(owner) ||
	    read(talk, &byte, 1) < 0)
		_exit(1);
	_exit(!pattern_check(owner.block, NR_PAGES * page_bytes(), SEED) ||
	      heap_check_works(&owner.heap));
}

/*
 * Who may trace the owner reads and writes an ordinary heap as any memory, but no
 * secret one. Nobody calls on either.
 */
static void try_with_rights(struct __test_metadata *_metadata,
			    const FIXTURE_VARIANT(confine) *variant,
			    struct owner *owner)
{
	struct privheap_info info;
	struct privheap_stat stat;
	struct heap heap = owner->heap;
	char name[32];

	EXPECT_EQ(is_secret(variant) ? -EFAULT : 1,
		  vm_read(owner->pid, owner->block));
	EXPECT_EQ(is_secret(variant) ? -EFAULT : 1,
		  vm_write(owner->pid, owner->block, *(char[1]){ 31 }));
	heap.fd = get_fd(owner->pid, owner->fd);
	ASSERT_LE(0, heap.fd);
	EXPECT_EQ(-EPERM, privheap_info(heap.fd, &info));
	EXPECT_EQ(-EPERM, heap_stat(&heap, &stat));
	EXPECT_EQ(-EPERM, block_free(&heap, owner->block));
	EXPECT_EQ(-EPERM, heap_destroy(&heap));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED,
				   heap.fd, 0));
	/* By its name it is opened anew, if the device lets them: root's does not. */
	snprintf(name, sizeof(name), "fd/%d", owner->fd);
	EXPECT_EQ(-EACCES, proc_open(owner->pid, name, O_RDWR));
	close(heap.fd);
}

TEST_F(confine, other_process_of_user)
{
	pid_t owner_pid, pid;
	struct owner owner;
	int ends[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	owner_pid = fork();
	ASSERT_LE(0, owner_pid);
	if (!owner_pid) {
		close(ends[0]);
		owner_runs(variant->flags, ends[1]);
	}
	close(ends[1]);
	ASSERT_EQ((ssize_t)sizeof(owner), read(ends[0], &owner, sizeof(owner)));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(ends[0]);
		ASSERT_EQ(0, become_user());
		try_with_rights(_metadata, variant, &owner);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	close(ends[0]);
	EXPECT_EQ(0, child_wait(owner_pid));
}

/* Numbers */

/* Each is given for each number of each call: refused, or done and undone. */
static const __u64 numbers[] = {
	0, 1, 2, 15, 4095, 4096, 4097, 65535, 1ULL << 20, 1ULL << 31,
	(1ULL << 32) - 1, 1ULL << 32, (1ULL << 47) - 4096, 1ULL << 47,
	(1ULL << 63) - 1, 1ULL << 63, -65536ULL, -4097ULL, -4096ULL, -4095ULL,
	-2ULL, -1ULL,
};

union call_arg {
	__u32 size;
	char bytes[256];
	struct privheap_create create;
	struct privheap_alloc alloc;
	struct privheap_take take;
	struct privheap_batch batch;
	struct privheap_walk walk;
	struct privheap_count count;
};

static const struct {
	unsigned long nr;
	size_t bytes;
	size_t heap;	/* where its id is; 0 if there is none */
	size_t addr;	/* where a block is; the same */
	__u32 flags;
	size_t array;	/* where the address of an array is; the same */
	union call_arg start;
} calls[] = {
#define CALL(name, type, heap_, addr_, flags_, ...) \
	{ .nr = PRIVHEAP_IOC_##name, .bytes = sizeof(struct privheap_##type), \
	  .heap = heap_, .addr = addr_, .flags = flags_, __VA_ARGS__ }
#define ARRAY_CALL(name, type, member, ...) \
	CALL(name, type, HEAP(type), 0, 0, \
	     .array = offsetof(struct privheap_##type, member), \
	     .start.type = { __VA_ARGS__ })
#define HEAP(type)	offsetof(struct privheap_##type, heap)
#define ADDR(type)	offsetof(struct privheap_##type, addr)
	CALL(INFO, info, 0, 0, 0),
	CALL(CREATE, create, 0, 0, 0),
	CALL(CREATE, create, 0, 0, PRIVHEAP_CREATE_F_GUARD),
	CALL(STAT, stat, HEAP(stat), 0, 0),
	CALL(ALLOC, alloc, HEAP(alloc), 0, 0),
	CALL(REALLOC, realloc, HEAP(realloc), ADDR(realloc), 0),
	CALL(FREE, free, HEAP(free), ADDR(free), 0),
	CALL(SIZE, size, HEAP(size), ADDR(size), 0),
	CALL(DESTROY, destroy, HEAP(destroy), 0, 0),
	ARRAY_CALL(WALK, walk, entries, .nr_entries = 1),
	ARRAY_CALL(TAKE, take, spans, .nr_spans = 1, .nr_pages = 1),
	ARRAY_CALL(BATCH, batch, entries, .nr_entries = 1, .op = PRIVHEAP_BATCH_ALLOC),
	ARRAY_CALL(BATCH, batch, entries, .nr_entries = 1, .op = PRIVHEAP_BATCH_FREE),
	ARRAY_CALL(BATCH, batch, entries, .nr_entries = 1, .op = PRIVHEAP_BATCH_GIVE),
	ARRAY_CALL(BATCH, batch, entries, .nr_entries = 1, .op = PRIVHEAP_BATCH_DROP),
	CALL(COUNT, count, HEAP(count), 0, 0,
	     .array = offsetof(struct privheap_count, counters)),
	CALL(COMPACT, compact, HEAP(compact), 0, 0),
	CALL(COMMIT, commit, HEAP(commit), ADDR(commit), 0),
	CALL(DECOMMIT, decommit, HEAP(decommit), ADDR(decommit), 0),
	CALL(PREFAULT, prefault, HEAP(prefault), ADDR(prefault), 0),
	CALL(INJECT, inject, HEAP(inject), 0, 0),
	CALL(POLICY, policy, HEAP(policy), 0, 0),
	CALL(RESET, reset, HEAP(reset), 0, 0),
	CALL(LIMIT, limit, HEAP(limit), 0, PRIVHEAP_LIMIT_F_ALL),
	CALL(GUARD_ALLOC, guard_alloc, HEAP(guard_alloc), 0, 0),
	CALL(GUARD_FREE, guard_free, HEAP(guard_free), ADDR(guard_free), 0),
	CALL(DESCRIBE, describe, HEAP(describe), ADDR(describe), 0),
};

#define ARRAY_BYTES	(64 * KIB)

/* For answers of any length: nothing of the program's own lies behind it. */
static char *array_open(void)
{
	static char *array;

	if (!array) {
		array = mmap(NULL, 2 * ARRAY_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(array + ARRAY_BYTES, ARRAY_BYTES);
	}
	memset(array, 0, ARRAY_BYTES);
	return array;
}

/* One call on a new heap, with one number in it; then all of it goes. */
static int call_with_number(int fd, __u32 flags, unsigned int call,
			    size_t offset, size_t width, __u64 number)
{
	union call_arg arg = calls[call].start;
	char *block, *array = array_open();
	struct privheap_stat stat;
	struct heap heap, made;
	int ret;

	ret = heap_create(&heap, fd, .flags = flags | PRIVHEAP_CREATE_F_GUARD,
			  .quarantine_bytes = MIB) ?:
	      block_alloc_with(&heap, 40000, 4096, 0, &block);
	if (ret)
		return ret;
	arg.size = calls[call].bytes;
	memcpy(arg.bytes + 4, &calls[call].flags, 4);
	if (calls[call].array)
		memcpy(arg.bytes + calls[call].array, &array, sizeof(array));
	if (calls[call].nr == PRIVHEAP_IOC_CREATE)
		arg.create.flags |= flags;
	if (calls[call].heap)
		memcpy(arg.bytes + calls[call].heap, &heap.id, 8);
	if (calls[call].addr)
		memcpy(arg.bytes + calls[call].addr, &block, 8);
	memcpy(arg.bytes + offset, &number, width);
	ret = privheap_ioctl(fd, calls[call].nr, &arg);
	if (!ret && calls[call].nr == PRIVHEAP_IOC_CREATE) {
		made = (struct heap){ .fd = fd, .id = arg.create.out_heap };
		ret = heap_destroy(&made);
	}
	if (!ret && calls[call].nr == PRIVHEAP_IOC_DESTROY)
		return 0;
	/* No sum has gone wrong. */
	if (heap_stat(&heap, &stat) || stat.out_committed_bytes > 64 * MIB ||
	    stat.out_resident_bytes > stat.out_committed_bytes ||
	    stat.out_nr_blocks > 1 + ARRAY_BYTES / sizeof(struct privheap_batch_entry))
		return -EPROTO;
	return heap_destroy(&heap) ? -EPROTO : ret;
}

/* The errnos of the interface, but those that say that this test is wrong. */
static bool is_answer(int ret)
{
	switch (-ret) {
	case 0: case EINVAL: case E2BIG: case EOPNOTSUPP: case EFAULT:
	case ENXIO: case ENOENT: case ERANGE: case EOVERFLOW: case ENOSPC:
	case EDQUOT: case ENOMEM: case EBADF:
		return true;
	default:
		return false;
	}
}

TEST_F_TIMEOUT(confine, numbers_at_the_edge, 240)
{
	size_t offset, width;
	int ret, fd = privheap_open();
	unsigned int call, i, row = 0;

	ASSERT_LE(0, fd);
	for (call = 0; call < ARRAY_SIZE(calls); call++) {
		for (offset = 0; offset < calls[call].bytes; offset += width) {
			/* A pair of u32 is one of them and a number of both. */
			for (width = 4; width <= 8; width += 4) {
				if (width == 8 && offset % 8)
					break;
				for (i = 0, row++; i < ARRAY_SIZE(numbers); i++) {
					if (!in_sample(row + i))
						continue;
					ret = call_with_number(fd,
						variant->flags, call, offset,
						width, numbers[i]);
					EXPECT_TRUE(is_answer(ret)) {
						TH_LOG("call %u, offset %zu, number %llx: %d",
						       call, offset,
						       numbers[i], ret);
					}
				}
			}
			width = 4;
		}
	}
	close(fd);
}

/* The same in an entry of a batch, beside a block and a span. */
static int entry_with_number(int fd, __u32 flags, __u32 op, size_t offset,
			     __u64 number)
{
	struct privheap_batch_entry entry = { 0 };
	struct privheap_stat before, stat;
	char *block, *span;
	struct heap heap;
	int ret;

	ret = fill_new_heap(&heap, fd, flags, &block) ?: span_take(&heap, 4, &span) ?:
	      heap_stat(&heap, &before);
	if (ret)
		return ret;
	if (op == PRIVHEAP_BATCH_GIVE || op == PRIVHEAP_BATCH_DROP)
		entry.addr = (uintptr_t)span;
	if (op == PRIVHEAP_BATCH_DROP)
		entry.bytes = page_bytes();
	memcpy((char *)&entry + offset, &number, sizeof(number));
	ret = batch(&heap, op, 0, &entry, 1);
	if (heap_stat(&heap, &stat) || stat.out_committed_bytes > 64 * MIB ||
	    stat.out_resident_bytes > stat.out_committed_bytes ||
	    !pattern_check(block, NR_PAGES * page_bytes(), SEED) ||
	    (op != PRIVHEAP_BATCH_ALLOC && entry.out_error && memcmp(&before.out_base, &stat.out_base,
			sizeof(stat) - offsetof(struct privheap_stat, out_base))))
		return -EPROTO;
	return heap_destroy(&heap) ?: ret == 1 ? -(int)entry.out_error : ret;
}

TEST_F_TIMEOUT(confine, numbers_of_entries_at_the_edge, 240)
{
	unsigned int i, row = 0;
	size_t offset;
	__u32 op;
	int ret, fd = privheap_open();

	ASSERT_LE(0, fd);
	for (op = PRIVHEAP_BATCH_ALLOC; op <= PRIVHEAP_BATCH_DROP; op++) {
		for (offset = 0; offset < sizeof(struct privheap_batch_entry);
		     offset += 8) {
			for (i = 0, row++; i < ARRAY_SIZE(numbers); i++) {
				if (!in_sample(row + i))
					continue;
				ret = entry_with_number(fd, variant->flags, op, offset,
							numbers[i]);
				EXPECT_TRUE(is_answer(ret)) {
					TH_LOG("op %u, offset %zu, number %llx: %d",
					       op, offset, numbers[i], ret);
				}
			}
		}
	}
	close(fd);
}

TEST_HARNESS_MAIN
