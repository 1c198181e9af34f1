// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap belongs to one address space: what others cannot do with it. Others are
 * children, programs after exec, and whoever gets the descriptor.
 */
#include <spawn.h>
#include <sys/socket.h>

#include "privacy_util.h"

#define EXEC_PROBE	"exec-probe"

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

	/* Newer kernels refuse that; after other advice, too, nothing of it is kept. */
	madvise(self->heap.base, self->heap.region_bytes, MADV_DOFORK);
	madvise(self->heap.base, self->heap.region_bytes, MADV_RANDOM);
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

int main(int argc, char **argv)
{
	if (argc == 8 && !strcmp(argv[1], EXEC_PROBE))
		return exec_probe(argv + 2);
	return test_harness_run(argc, argv);
}
