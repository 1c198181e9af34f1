// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything is released, in whatever order the file, the mappings, the heaps
 * and the process come to their end.
 */
#include "privacy_util.h"

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

TEST_F(privacy, close_while_thread_calls)
{
	struct caller caller = { .heap = self->heap };

	start_caller(_metadata, &caller);
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_EQ(-EBADF, caller.ret);
	EXPECT_EQ(0, maps_heaps());
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

TEST_HARNESS_MAIN
