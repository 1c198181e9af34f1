// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap belongs to one address space, and its mapping to the heap: what others
 * cannot do with it (children, programs after exec, whoever gets the
 * descriptor), what the owner cannot do with the mapping, and that everything
 * is released, in whatever order its parts go away.
 */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#ifndef __NR_mseal
#define __NR_mseal	462
#endif

#define EXEC_PROBE	"exec-probe"

FIXTURE(privacy) {
	int fd;
	size_t page;
	struct heap heap;
	/* A block that takes a part of the region, and is filled. */
	char *block;
	size_t bytes;
	struct privheap_stat before;
};

FIXTURE_SETUP(privacy)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->bytes = 100 * KIB;
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &self->block));
	pattern_fill(self->block, self->bytes, 1);
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(privacy)
{
	close(self->fd);
}

/* For its owner the heap is as it was at the start. */
static void expect_intact(struct __test_metadata *_metadata,
			  FIXTURE_DATA(privacy) *self)
{
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_EQ(1, maps_heaps());
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 1));
	EXPECT_EQ(0, touch_write(self->block));
	EXPECT_EQ(0, heap_check_works(&self->heap));
	EXPECT_EQ(0, heap_stat(&self->heap, &self->before));
}

/* Names a call that does not answer @err; "none" if each does. */
static const char *calls_without(int err, const struct heap *heap, char *block)
{
	struct privheap_info info;
	struct privheap_stat stat;
	struct privheap_entry entry;
	struct heap other;
	char *new = block;
	size_t largest;

	if (privheap_info(heap->fd, &info) != err)
		return "info";
	if (heap_create(&other, heap->fd) != err)
		return "create";
	if (heap_create(&other, heap->fd, .max_bytes = MIB) != err)
		return "create";
	if (heap_stat(heap, &stat) != err)
		return "stat";
	if (block_alloc(heap, 64, &new) != err)
		return "alloc";
	if (block_realloc(heap, &new, 128, 0) != err)
		return "realloc";
	if (block_size(heap, block) != err)
		return "size";
	if (block_free(heap, block) != err)
		return "free";
	if (heap_walk(heap, NULL, &entry, 1) != err)
		return "walk";
	if (heap_compact(heap, &largest) != err)
		return "compact";
	if (heap_destroy(heap) != err)
		return "destroy";
	return "none";
}

/* How many pages of @bytes at @start can be touched in any way. */
static unsigned int nr_touchable(const char *start, size_t bytes)
{
	unsigned int nr = 0;
	size_t offset;

	for (offset = 0; offset < bytes; offset += page_bytes()) {
		if (touch_read(start + offset) != SIGSEGV ||
		    touch_write(start + offset) != SIGSEGV)
			nr++;
	}
	return nr;
}

/* Children */

TEST_F(privacy, fork_child_has_no_mapping)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_EQ(0, maps_heaps());
		EXPECT_EQ(0, nr_touchable(self->heap.base,
					  self->heap.region_bytes));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	expect_intact(_metadata, self);
}

TEST_F(privacy, fork_child_cannot_call)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_STREQ("none", calls_without(-EPERM, &self->heap, self->block));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	expect_intact(_metadata, self);
}

TEST_F(privacy, fork_child_opens_its_own)
{
	struct heap heap;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_EQ(0, heap_create(&heap, privheap_open()));
		EXPECT_EQ(0, heap_check_works(&heap));
		EXPECT_EQ(0, close(self->fd));
		EXPECT_EQ(0, heap_check_works(&heap));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	expect_intact(_metadata, self);
}

/* What a child can try with a mapping that it should not have got. */
static void child_tries_mapping(struct __test_metadata *_metadata,
				FIXTURE_DATA(privacy) *self)
{
	char *base = self->heap.base;
	size_t bytes = self->heap.region_bytes;
	pid_t pid;

	EXPECT_EQ(0, nr_touchable(base, bytes));
	EXPECT_NE(0, madvise(base, bytes, MADV_POPULATE_WRITE));
	EXPECT_NE(0, madvise(base, bytes, MADV_POPULATE_READ));
	madvise(base, bytes, MADV_DONTNEED);
	EXPECT_EQ(0, nr_touchable(base, bytes));
	EXPECT_STREQ("none", calls_without(-EPERM, &self->heap, self->block));
	madvise(base, bytes, MADV_DOFORK);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_EQ(0, nr_touchable(base, bytes));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	munmap(base, bytes);
	EXPECT_EQ(0, maps_heaps());
}

/* Advice to let children inherit the mapping gives them no memory. */
TEST_F(privacy, dofork_shares_nothing)
{
	pid_t pid;

	madvise(self->heap.base, self->heap.region_bytes, MADV_DOFORK);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_tries_mapping(_metadata, self);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	expect_intact(_metadata, self);
}

/* Nor when the owner goes first, or changes the heap meanwhile. */
TEST_F(privacy, dofork_child_outlives_heap)
{
	long refs = module_refs();
	int hold[2];
	char byte;
	pid_t pid;

	madvise(self->heap.base, self->heap.region_bytes, MADV_DOFORK);
	ASSERT_EQ(0, pipe(hold));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(hold[1]);
		EXPECT_EQ(0, read(hold[0], &byte, 1));
		EXPECT_EQ(0, nr_touchable(self->heap.base,
					  self->heap.region_bytes));
		_exit(0);
	}
	expect_intact(_metadata, self);
	ASSERT_EQ(0, block_free(&self->heap, self->block));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &self->block));
	pattern_fill(self->block, self->bytes, 2);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
	close(hold[1]);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_TRUE(eventually(module_refs() < refs));
}

/* A child that shares the address space is the owner, too. */

#define STACK_BYTES	(256 * KIB)

static pid_t clone_child(int (*run)(void *), int flags, void *data)
{
	static char stack[STACK_BYTES] __attribute__((aligned(16)));

	return clone(run, stack + STACK_BYTES, flags | SIGCHLD, data);
}

struct vm_child {
	struct heap heap;
	struct heap new;
	int ret;
};

static int use_and_create(void *data)
{
	struct vm_child *child = data;

	child->ret = heap_check_works(&child->heap);
	if (!child->ret)
		child->ret = heap_create(&child->new, child->heap.fd);
	close(child->heap.fd);
	return 0;
}

TEST_F(privacy, clone_vm_child_may_use_it)
{
	struct vm_child child = { .heap = self->heap, .ret = -1 };
	pid_t pid = clone_child(use_and_create, CLONE_VM | CLONE_VFORK, &child);

	ASSERT_LE(0, pid);
	EXPECT_EQ(0, child_wait(pid));
	ASSERT_EQ(0, child.ret);
	EXPECT_EQ(0, heap_check_works(&child.new));
	EXPECT_EQ(0, heap_destroy(&child.new));
	/* It was used, but it is still there. */
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	EXPECT_EQ(1, self->before.out_nr_blocks);
	expect_intact(_metadata, self);
}

struct files_child {
	struct heap heap;
	char *block;
};

static int try_and_close(void *data)
{
	struct files_child *child = data;

	if (strcmp("none", calls_without(-EPERM, &child->heap, child->block)))
		return 1;
	return close(child->heap.fd);
}

/*
 * A child that shares the descriptors, but not the address space, may not use
 * the heaps; but it may close the file, and then they are gone.
 */
TEST_F(privacy, clone_files_child_closes)
{
	struct files_child child = { .heap = self->heap, .block = self->block };
	pid_t pid = clone_child(try_and_close, CLONE_FILES, &child);

	ASSERT_LE(0, pid);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_STREQ("none", calls_without(-EBADF, &self->heap, self->block));
	EXPECT_EQ(0, nr_touchable(self->heap.base, self->heap.region_bytes));
}

static void *create_in_thread(void *data)
{
	struct vm_child *child = data;

	child->ret = heap_create(&child->new, child->heap.fd);
	return NULL;
}

TEST_F(privacy, heap_outlives_thread)
{
	struct vm_child child = { .heap = self->heap };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, create_in_thread, &child));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, child.ret);
	EXPECT_EQ(0, heap_check_works(&child.new));
	EXPECT_EQ(0, heap_destroy(&child.new));
	expect_intact(_metadata, self);
}

/* Exec */

/*
 * This program after exec, with an open file of the device that has a heap: is
 * the heap out of reach? Arguments: descriptor, id, base and length of the heap,
 * then the descriptors to say that it runs, and to wait for the end.
 */
static int exec_probe(char **args)
{
	struct heap heap = {
		.fd = atoi(args[0]),
		.id = strtoull(args[1], NULL, 16),
		.base = (char *)strtoul(args[2], NULL, 16),
		.region_bytes = strtoul(args[3], NULL, 16),
	};
	const char *call = calls_without(-EPERM, &heap, heap.base);
	char byte = 0;

	if (strcmp("none", call)) {
		fprintf(stderr, "# after exec: %s did not answer EPERM\n", call);
		return 1;
	}
	if (maps_heaps() || nr_touchable(heap.base, heap.region_bytes)) {
		fprintf(stderr, "# after exec: the heap is still there\n");
		return 1;
	}
	if (write(atoi(args[4]), &byte, 1) != 1 ||
	    read(atoi(args[5]), &byte, 1) != 0)
		return 1;
	return 0;
}

struct exec_args {
	char text[6][32];
	char *argv[9];
};

static void exec_args_fill(struct exec_args *args, const struct heap *heap,
			   int ready, int hold)
{
	int i;

	snprintf(args->text[0], 32, "%d", heap->fd);
	snprintf(args->text[1], 32, "%llx", heap->id);
	snprintf(args->text[2], 32, "%lx", (unsigned long)heap->base);
	snprintf(args->text[3], 32, "%zx", heap->region_bytes);
	snprintf(args->text[4], 32, "%d", ready);
	snprintf(args->text[5], 32, "%d", hold);
	args->argv[0] = "privacy";
	args->argv[1] = EXEC_PROBE;
	for (i = 0; i < 6; i++)
		args->argv[2 + i] = args->text[i];
	args->argv[8] = NULL;
}

#define EXEC_BYTES	(32 * MIB)

static void child_execs(const struct cgroup *cgroup, int ready, int hold)
{
	struct exec_args args;
	struct heap heap;
	char *block;
	int fd;

	/* Without O_CLOEXEC: the file stays open. */
	fd = open("/dev/privheap", O_RDWR);
	if (cgroup_enter(cgroup) || heap_create(&heap, fd) ||
	    block_alloc(&heap, EXEC_BYTES, &block))
		_exit(1);
	memset(block, 1, EXEC_BYTES);
	if (cgroup_bytes(cgroup) < (long)EXEC_BYTES)
		_exit(1);
	exec_args_fill(&args, &heap, ready, hold);
	execv("/proc/self/exe", args.argv);
	_exit(1);
}

/* With the program its heaps go, though the file stays open. */
TEST_F_TIMEOUT(privacy, exec_releases, 120)
{
	int ready[2], hold[2];
	struct cgroup cgroup;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(hold));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(hold[1]);
		child_execs(&cgroup, ready[1], hold[0]);
	}
	close(ready[1]);
	EXPECT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_TRUE(eventually(cgroup_bytes(&cgroup) < (long)EXEC_BYTES / 4));
	close(hold[1]);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* A program that is started elsewhere leaves the owner alone. */
TEST_F(privacy, spawned_program_inherits)
{
	int ready[2], hold[2];
	struct exec_args args;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->fd, F_SETFD, 0));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe2(hold, O_CLOEXEC));
	ASSERT_EQ(0, fcntl(hold[0], F_SETFD, 0));
	exec_args_fill(&args, &self->heap, ready[1], hold[0]);
	ASSERT_EQ(0, posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args.argv,
				 environ));
	close(ready[1]);
	EXPECT_EQ(1, read(ready[0], &byte, 1));
	expect_intact(_metadata, self);
	close(hold[1]);
	EXPECT_EQ(0, child_wait(pid));
	expect_intact(_metadata, self);
}

/* Descriptors that are passed on */

union fd_message {
	char text[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int fd_send(int socket, int fd)
{
	union fd_message message = { 0 };
	struct iovec byte = { "", 1 };
	struct msghdr header = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = message.text,
		.msg_controllen = sizeof(message.text),
	};
	struct cmsghdr *part = CMSG_FIRSTHDR(&header);

	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(part), &fd, sizeof(fd));
	return sendmsg(socket, &header, 0) == 1 ? 0 : -errno;
}

static int fd_receive(int socket, struct heap *heap)
{
	union fd_message message = { 0 };
	struct iovec part = { heap, sizeof(*heap) };
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = message.text,
		.msg_controllen = sizeof(message.text),
	};
	int fd;

	if (recvmsg(socket, &header, 0) < 1 || !CMSG_FIRSTHDR(&header))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
	return fd;
}

/* Makes a heap, sends the file and the id, and waits for the end. */
static void child_passes_file(int socket)
{
	struct heap heap;
	char *block, byte;
	int fd = privheap_open();

	if (heap_create(&heap, fd) || block_alloc(&heap, 64, &block) ||
	    fd_send(socket, fd) ||
	    write(socket, &heap, sizeof(heap)) != sizeof(heap))
		_exit(1);
	/* The end of the other side ends this one. */
	while (read(socket, &byte, 1) > 0)
		;
	_exit(heap_check_works(&heap) ? 1 : 0);
}

TEST_F(privacy, passed_file)
{
	struct heap foreign, none;
	long refs = module_refs();
	int sockets[2];
	pid_t pid;
	int fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->fd);
		close(sockets[0]);
		child_passes_file(sockets[1]);
	}
	close(sockets[1]);
	fd = fd_receive(sockets[0], &none);
	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)sizeof(foreign),
		  recv(sockets[0], &foreign, sizeof(foreign), MSG_WAITALL));
	foreign.fd = fd;
	EXPECT_STREQ("none", calls_without(-EPERM, &foreign, foreign.base));
	shutdown(sockets[0], SHUT_WR);
	EXPECT_EQ(0, child_wait(pid));

	/* The owner is gone, and that makes nobody else the owner. */
	EXPECT_STREQ("none", calls_without(-EPERM, &foreign, foreign.base));
	EXPECT_EQ(0, close(fd));
	EXPECT_TRUE(eventually(module_refs() == refs));
	expect_intact(_metadata, self);
}

/* What the owner cannot do with the mapping */

TEST_F(privacy, munmap_part)
{
	size_t page = self->page, all = self->heap.region_bytes;
	const struct {
		size_t start, end;
	} parts[] = {
		{ 0, page },
		{ all - page, all },
		{ 3 * page, 5 * page },
		{ 0, all - page },
		{ page, all },
		{ -page, page },
		{ all - page, all + page },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		EXPECT_EQ(-1, munmap(self->heap.base + parts[i].start,
				     parts[i].end - parts[i].start));
		EXPECT_EQ(EINVAL, errno);
		expect_intact(_metadata, self);
	}
}

static void expect_dead(struct __test_metadata *_metadata,
			const struct heap *heap, char *block)
{
	struct privheap_stat stat;
	struct privheap_entry entry;
	char *other = block;
	size_t largest;

	ASSERT_EQ(0, heap_stat(heap, &stat));
	EXPECT_EQ(PRIVHEAP_STAT_S_DEAD, stat.out_state);
	EXPECT_EQ((uintptr_t)heap->base, stat.out_base);
	EXPECT_EQ(-EIDRM, block_alloc(heap, 64, &other));
	EXPECT_EQ(-EIDRM, block_realloc(heap, &other, 128, 0));
	EXPECT_EQ(-EIDRM, block_size(heap, block));
	EXPECT_EQ(-EIDRM, block_free(heap, block));
	EXPECT_EQ(-EIDRM, heap_walk(heap, NULL, &entry, 1));
	EXPECT_EQ(-EIDRM, heap_compact(heap, &largest));
	EXPECT_HEAP_STAT(&stat, heap);
}

/* Looked at and destroyed, that is all; the next heap is as good as any. */
static void expect_dead_to_the_end(struct __test_metadata *_metadata,
				   FIXTURE_DATA(privacy) *self)
{
	struct privheap_stat stat;

	EXPECT_EQ(0, maps_heaps());
	expect_dead(_metadata, &self->heap, self->block);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_committed_bytes);
	EXPECT_EQ(0, stat.out_resident_bytes);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(-ENXIO, heap_stat(&self->heap, &stat));
	EXPECT_EQ(-ENXIO, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(privacy, munmap_whole)
{
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(0, nr_touchable(self->heap.base, self->heap.region_bytes));
	expect_dead_to_the_end(_metadata, self);
}

/* One region of several: the heap is dead, what is left goes with destroy. */
TEST_F(privacy, munmap_one_region)
{
	struct mapping mapping;
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	memset(block, 1, 3 * MIB);
	ASSERT_EQ(0, mapping_find(block, &mapping));
	ASSERT_EQ(0, munmap((void *)mapping.start, mapping.end - mapping.start));
	expect_dead(_metadata, &heap, block);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(self->page, stat.out_committed_bytes);
	EXPECT_EQ(self->page, stat.out_resident_bytes);
	EXPECT_EQ(2, maps_heaps());
	EXPECT_EQ(0, heap_destroy(&heap));
	expect_intact(_metadata, self);
}

static char *map_over(void *start, size_t bytes)
{
	return mmap(start, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* What the program maps in the place of a heap is no longer the module's. */
TEST_F(privacy, map_over_whole)
{
	size_t bytes = self->heap.region_bytes;
	char *mine = map_over(self->heap.base, bytes);

	ASSERT_EQ(self->heap.base, mine);
	pattern_fill(mine, bytes, 3);
	expect_dead_to_the_end(_metadata, self);
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
	ASSERT_EQ(0, close(self->fd));
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
}

TEST_F(privacy, map_over_whole_then_close)
{
	size_t bytes = self->heap.region_bytes;
	char *mine = map_over(self->heap.base, bytes);

	ASSERT_EQ(self->heap.base, mine);
	pattern_fill(mine, bytes, 3);
	ASSERT_EQ(0, close(self->fd));
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
}

/* The same with one region of several: the others end, this one is left alone. */
TEST_F(privacy, map_over_one_region)
{
	struct mapping mapping;
	struct heap heap;
	char *block, *mine;
	size_t bytes;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	ASSERT_EQ(0, mapping_find(block, &mapping));
	bytes = mapping.end - mapping.start;
	mine = map_over((void *)mapping.start, bytes);
	ASSERT_EQ(mapping.start, (uintptr_t)mine);
	pattern_fill(mine, bytes, 3);
	expect_dead(_metadata, &heap, block);
	EXPECT_EQ(0, heap_destroy(&heap));
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
	expect_intact(_metadata, self);
}

TEST_F(privacy, map_over_part)
{
	EXPECT_EQ(MAP_FAILED, map_over(self->heap.base, self->page));
	expect_intact(_metadata, self);
	EXPECT_EQ(MAP_FAILED, map_over(self->heap.base + 5 * self->page,
				       self->page));
	expect_intact(_metadata, self);
}

TEST_F(privacy, mremap)
{
	size_t page = self->page, all = self->heap.region_bytes;
	char *free_space = mmap(NULL, 4 * all, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct {
		size_t offset, old_bytes, new_bytes;
		int flags;
	} cases[] = {
		{ 0, all, all, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, page, page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, all, 2 * all, 0 },
		{ 0, all, 2 * all, MREMAP_MAYMOVE },
		{ 0, page, 2 * page, MREMAP_MAYMOVE },
		{ 0, all, 2 * all, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, all, all - page, 0 },
		{ 0, all, page, MREMAP_MAYMOVE },
		{ 0, all, page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, 0, all, MREMAP_MAYMOVE },
		{ 0, 0, page, MREMAP_MAYMOVE },
		{ page, 0, page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, all, all, MREMAP_MAYMOVE | MREMAP_DONTUNMAP },
		{ page, page, page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP },
	};
	unsigned int i;

	ASSERT_NE(MAP_FAILED, free_space);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(MAP_FAILED,
			  mremap(self->heap.base + cases[i].offset,
				 cases[i].old_bytes, cases[i].new_bytes,
				 cases[i].flags, free_space)) {
			TH_LOG("case %u", i);
		}
		expect_intact(_metadata, self);
	}
}

/* Other memory moved to where a heap is. */
TEST_F(privacy, mremap_over)
{
	char *base = self->heap.base;
	size_t all = self->heap.region_bytes;
	char *mine = mmap(NULL, all, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mine);
	pattern_fill(mine, all, 3);
	EXPECT_EQ(MAP_FAILED, mremap(mine, self->page, self->page,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     base + self->page));
	expect_intact(_metadata, self);
	ASSERT_EQ(base, mremap(mine, all, all, MREMAP_MAYMOVE | MREMAP_FIXED,
			       base));
	expect_dead_to_the_end(_metadata, self);
	EXPECT_TRUE(pattern_check(base, all, 3));
}

/* With and without PROT_EXEC at the start. */
TEST_F(privacy, mprotect)
{
	const int prots[] = {
		PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_EXEC,
		PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE,
	};
	struct mapping before, after;
	struct heap heaps[2];
	unsigned int i, j;

	ASSERT_EQ(0, heap_create(&heaps[0], self->fd));
	ASSERT_EQ(0, heap_create(&heaps[1], self->fd,
				 .flags = PRIVHEAP_CREATE_F_EXEC));
	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, mapping_find(heaps[i].base, &before));
		for (j = 0; j < ARRAY_SIZE(prots); j++) {
			EXPECT_EQ(-1, mprotect(heaps[i].base + self->page,
					       self->page, prots[j]));
			EXPECT_EQ(-1, mprotect(heaps[i].base,
					       heaps[i].region_bytes, prots[j]));
			EXPECT_EQ(-1, pkey_mprotect(heaps[i].base,
						    heaps[i].region_bytes,
						    prots[j], -1));
			ASSERT_EQ(0, mapping_find(heaps[i].base, &after));
			EXPECT_EQ(before.start, after.start);
			EXPECT_EQ(before.end, after.end);
			EXPECT_STREQ(before.perms, after.perms);
		}
		EXPECT_EQ(0, touch_write(heaps[i].base));
		EXPECT_EQ(0, heap_check_works(&heaps[i]));
	}
}

TEST_F(privacy, remap_file_pages)
{
	char *base = self->heap.base;
	size_t page = self->page;

	EXPECT_EQ(-1, remap_file_pages(base, page, 0, 1, 0));
	EXPECT_EQ(-1, remap_file_pages(base + page, page, 0, 0, 0));
	EXPECT_EQ(-1, remap_file_pages(base, 2 * page, 0, 7, 0));
	EXPECT_EQ(-1, remap_file_pages(base, self->heap.region_bytes, 0, 0, 0));
	expect_intact(_metadata, self);
}

TEST_F(privacy, map_device)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_SHARED,
				   self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	expect_intact(_metadata, self);
}

/* The file behind the mapping can be named, but not opened. */
TEST_F(privacy, open_map_files)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)self->heap.base,
		 (unsigned long)self->heap.base + self->heap.region_bytes);
	EXPECT_EQ(0, access("/proc/self/map_files", R_OK));
	EXPECT_EQ(-1, open(path, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(-1, open(path, O_RDONLY | O_CLOEXEC));
	expect_intact(_metadata, self);
}

/*
 * A program that seals the mapping against unmapping (since Linux 6.10) has that
 * mapping to its end; the memory goes with the heap all the same.
 */
TEST_F(privacy, seal_then_destroy)
{
	char *base = self->heap.base;

	EXPECT_EQ(-1, syscall(__NR_mseal, base, self->page, 0));
	if (errno == ENOSYS)
		return;
	expect_intact(_metadata, self);
	ASSERT_EQ(0, syscall(__NR_mseal, base, self->heap.region_bytes, 0));
	expect_intact(_metadata, self);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, nr_touchable(base, self->heap.region_bytes));
	EXPECT_EQ(0, mapping_rss(base));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

/* The end of the file */

TEST_F(privacy, close_unmaps)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	memset(block, 1, 3 * MIB);
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(0, maps_heaps());
	EXPECT_EQ(0, nr_touchable(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(0, nr_touchable(block, 3 * MIB));
}

TEST_F(privacy, close_duplicate)
{
	int fd = dup(self->fd);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, close(self->fd));
	self->fd = self->heap.fd = fd;
	expect_intact(_metadata, self);
}

/*
 * The last one to close the file is a child, which is no owner. Until then the
 * heaps live; afterwards there may be a mapping, but nothing in it.
 */
TEST_F(privacy, closed_last_by_child)
{
	int hold[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(hold));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) != 0);
	}
	ASSERT_EQ(0, close(self->fd));
	EXPECT_TRUE(pattern_check(self->block, self->bytes, 1));
	close(hold[1]);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_EQ(0, nr_touchable(self->heap.base, self->heap.region_bytes));
	munmap(self->heap.base, self->heap.region_bytes);
	EXPECT_EQ(0, maps_heaps());
}

struct caller {
	pthread_t thread;
	struct heap heap;
	unsigned long nr_calls;
	int ret;
};

static void *call_until_refused(void *data)
{
	struct caller *caller = data;
	char *block;

	do {
		caller->ret = block_alloc(&caller->heap, 2 * KIB, &block);
		if (!caller->ret)
			caller->ret = block_free(&caller->heap, block);
		__atomic_add_fetch(&caller->nr_calls, 1, __ATOMIC_RELEASE);
	} while (!caller->ret);
	return NULL;
}

static void start_caller(struct __test_metadata *_metadata,
			 struct caller *caller)
{
	ASSERT_EQ(0, pthread_create(&caller->thread, NULL, call_until_refused,
				    caller));
	while (__atomic_load_n(&caller->nr_calls, __ATOMIC_ACQUIRE) < 20) {
		sched_yield();
	}
}

TEST_F(privacy, close_while_thread_calls)
{
	struct caller caller = { .heap = self->heap };

	start_caller(_metadata, &caller);
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_EQ(-EBADF, caller.ret);
	EXPECT_EQ(0, maps_heaps());
}

TEST_F(privacy, munmap_while_thread_calls)
{
	struct caller caller = { .heap = self->heap };

	start_caller(_metadata, &caller);
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_EQ(-EIDRM, caller.ret);
	expect_dead_to_the_end(_metadata, self);
}

/*
 * Each letter is a step of a process that has a heap with two regions, filled:
 * u unmaps the first region, v the other one, d destroys the heap, c closes the
 * file, f forks a child that keeps the file open until its parent has ended, e
 * execs, k kills itself. At the end the process exits.
 */
static const char * const endings[] = {
	"", "k", "e", "c", "d", "u", "v", "uv", "vu",
	"cd", "dc", "ck", "dk", "uk", "uc", "vc", "ud", "vd", "uvc", "uvd",
	"vud", "vuc", "udc", "vdc", "uvdc", "uvcd", "cu", "cv", "cuv", "du",
	"duv", "ducv", "ue", "ve", "uve", "de", "ce", "ude", "uvde",
	"f", "fk", "fe", "fc", "fd", "fu", "fuv", "fuc", "fuvc", "fuvd", "fdc",
	"fce", "fck", "fue", "fuvck", "fuvdck",
};

struct ending {
	struct heap heap;
	struct mapping other;
	/* Closed by the test when the process has ended. */
	int hold;
};

static int ending_step(struct ending *ending, char step)
{
	char byte;

	switch (step) {
	case 'u':
		return munmap(ending->heap.base, ending->heap.region_bytes);
	case 'v':
		return munmap((void *)ending->other.start,
			      ending->other.end - ending->other.start);
	case 'd':
		heap_destroy(&ending->heap);
		return 0;
	case 'c':
		return close(ending->heap.fd);
	case 'f':
		if (!fork())
			_exit(read(ending->hold, &byte, 1) != 0);
		return 0;
	case 'e':
		return execl("/bin/true", "true", NULL);
	case 'k':
		return kill(getpid(), SIGKILL);
	}
	return -1;
}

static void end_in_steps(const char *steps, int hold)
{
	struct ending ending = { .hold = hold };
	char *block;

	if (heap_create(&ending.heap, privheap_open(),
			.initial_bytes = 128 * KIB) ||
	    block_alloc(&ending.heap, 2 * MIB, &block) ||
	    mapping_find(block, &ending.other))
		_exit(1);
	memset(block, 1, 2 * MIB);
	memset(ending.heap.base, 1, 128 * KIB);
	for (; *steps; steps++) {
		if (ending_step(&ending, *steps))
			_exit(1);
	}
	_exit(0);
}

/* Whatever goes first: when all are gone, nothing holds the module any more. */
TEST_F_TIMEOUT(privacy, every_order_of_ends, 300)
{
	long refs = module_refs();
	unsigned int i;
	int hold[2];
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		ASSERT_EQ(0, pipe2(hold, O_CLOEXEC));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(self->fd);
			close(hold[1]);
			end_in_steps(endings[i], hold[0]);
		}
		EXPECT_EQ(strchr(endings[i], 'k') ? -SIGKILL : 0,
			  child_wait(pid)) {
			TH_LOG("steps %s", endings[i]);
		}
		close(hold[0]);
		close(hold[1]);
		EXPECT_TRUE(eventually(module_refs() == refs)) {
			TH_LOG("steps %s: %ld references, not %ld", endings[i],
			       module_refs(), refs);
		}
	}
	expect_intact(_metadata, self);
}

/* Death */

#define NR_KILLED_HEAPS		300
#define KILLED_BLOCK_BYTES	(64 * KIB)

static void child_fills_many_heaps(const struct cgroup *cgroup, int ready)
{
	int fd = privheap_open();
	struct heap heap;
	char *block = "";
	unsigned int i;

	if (cgroup_enter(cgroup))
		_exit(1);
	for (i = 0; i < NR_KILLED_HEAPS; i++) {
		if (heap_create(&heap, fd) ||
		    block_alloc(&heap, KILLED_BLOCK_BYTES, &block))
			_exit(1);
		memset(block, 1, KILLED_BLOCK_BYTES);
	}
	if (write(ready, block, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(privacy, kill_releases, 120)
{
	const long bytes = NR_KILLED_HEAPS * KILLED_BLOCK_BYTES;
	long refs = module_refs();
	struct cgroup cgroup;
	int ready[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->fd);
		child_fills_many_heaps(&cgroup, ready[1]);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_LE(bytes, cgroup_bytes(&cgroup));
	EXPECT_LE(refs + NR_KILLED_HEAPS, module_refs());
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_wait(pid));
	EXPECT_TRUE(eventually(module_refs() == refs));
	EXPECT_TRUE(eventually(cgroup_bytes(&cgroup) < bytes / 4));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
	expect_intact(_metadata, self);
}

static void *live_and_let_die(void *data)
{
	int fd = *(int *)data;
	struct heap heap;
	char *block;

	for (;;) {
		if (heap_create(&heap, fd))
			_exit(1);
		if (!block_alloc(&heap, 3 * MIB, &block)) {
			memset(block, 1, 256 * KIB);
			block_realloc(&heap, &block, 5 * MIB, 0);
		}
		heap_destroy(&heap);
	}
	return NULL;
}

static void child_is_busy(int ready)
{
	int fd = privheap_open();
	pthread_t thread;
	struct heap heap;

	if (heap_create(&heap, fd) ||
	    pthread_create(&thread, NULL, live_and_let_die, &fd) ||
	    write(ready, "", 1) != 1)
		_exit(1);
	live_and_let_die(&fd);
}

/* Killed in the middle of whatever call it is in. */
TEST_F_TIMEOUT(privacy, kill_busy_process, 120)
{
	long refs = module_refs();
	unsigned int i, j;
	int ready[2];
	char byte;
	pid_t pid;

	for (i = 0; i < 25; i++) {
		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(self->fd);
			child_is_busy(ready[1]);
		}
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		for (j = 0; j < i; j++)
			sched_yield();
		ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(-SIGKILL, child_wait(pid));
		close(ready[0]);
		close(ready[1]);
	}
	EXPECT_TRUE(eventually(module_refs() == refs));
	expect_intact(_metadata, self);
}

/* The place where the next heap will be, which one thread keeps unmapping. */
struct unmapper {
	pthread_t thread;
	_Atomic(bool) stop;
	_Atomic(char *) base;	/* NULL while it is not known */
	size_t bytes;
};

static void *unmap_again_and_again(void *arg)
{
	struct unmapper *unmapper = arg;

	while (!unmapper->stop) {
		if (unmapper->base)
			munmap(unmapper->base, unmapper->bytes);
	}
	return NULL;
}

/*
 * A region can be unmapped as soon as it is mapped, while the call that makes it
 * is still at work. The heap is dead then, or was not made; nothing is left (the
 * kernel log tells of what would be).
 */
TEST_F_TIMEOUT(privacy, munmap_while_created, 120)
{
	struct unmapper unmapper = { .bytes = 2 * MIB };
	unsigned int i, hits = 0;
	struct privheap_stat stat;
	struct heap heap;
	int ret;

	/* The thread comes first, or its stack would be where the heap was. */
	ASSERT_EQ(0, pthread_create(&unmapper.thread, NULL,
				    unmap_again_and_again, &unmapper));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .initial_bytes = 2 * MIB));
	ASSERT_EQ(0, heap_destroy(&heap));
	unmapper.base = heap.base;
	for (i = 0; i < 2000 && hits < 20; i++) {
		ret = heap_create(&heap, self->fd, .initial_bytes = 2 * MIB);
		if (ret) {
			EXPECT_EQ(-ENOMEM, ret);
			hits++;
			continue;
		}
		EXPECT_EQ(0, heap_stat(&heap, &stat));
		hits += !!(stat.out_state & PRIVHEAP_STAT_S_DEAD);
		EXPECT_EQ(0, heap_destroy(&heap));
	}
	unmapper.stop = true;
	EXPECT_EQ(0, pthread_join(unmapper.thread, NULL));
	EXPECT_LT(0, hits);
	expect_intact(_metadata, self);
}

int main(int argc, char **argv)
{
	if (argc == 8 && !strcmp(argv[1], EXEC_PROBE))
		return exec_probe(argv + 2);
	return test_harness_run(argc, argv);
}
