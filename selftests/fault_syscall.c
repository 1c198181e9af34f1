// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a heap as the buffer of system calls: those that copy, those that pin
 * pages, io_uring, futexes, and calls of other processes.
 */
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/uio.h>

#include "fault_util.h"

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
	size_t largest;
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
		ASSERT_EQ(0, heap_compact(&self->heap, &largest));
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

TEST_HARNESS_MAIN
