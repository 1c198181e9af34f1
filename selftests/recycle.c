// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that heaps gave up: that it comes back without the kernel's help, to
 * heaps of the same process and to nobody else, that zero is zero for all that,
 * and that it goes back when the kernel wants it.
 */
#include <fcntl.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define NR_PAGES	64
#define RECYCLE_KIB	"/sys/module/privheap/parameters/recycle_kib"
/* What is the default of it. */
#define BOUND		(16 * MIB)
/* The kernel charges a memory cgroup in advance, and for page tables. */
#define SLACK		((long)(2 * MIB))

FIXTURE(recycle) {
	int fd;
	size_t page;
	int pagemap;
	struct heap heap;
	size_t bytes;
};

FIXTURE_SETUP(recycle)
{
	char *block;

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->pagemap);
	self->page = page_bytes();
	self->bytes = NR_PAGES * self->page;
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 8 * MIB));
	/* The page that a heap keeps for life is not to be part of a block. */
	ASSERT_EQ(0, block_alloc(&self->heap, self->page, &block));
	ASSERT_EQ(self->heap.base, block);
}

FIXTURE_TEARDOWN(recycle)
{
	EXPECT_EQ(0, file_write(RECYCLE_KIB, "16384"));
	close(self->pagemap);
	close(self->fd);
}

/* The number of the page frame at @addr, 0 if nothing is mapped there. */
static uint64_t frame_at(FIXTURE_DATA(recycle) *self, const char *addr)
{
	uint64_t entry;

	if (pread(self->pagemap, &entry, sizeof(entry),
		  (uintptr_t)addr / self->page * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static void frames_at(FIXTURE_DATA(recycle) *self, const char *block,
		      uint64_t *frames)
{
	size_t i;

	for (i = 0; i < NR_PAGES; i++)
		frames[i] = frame_at(self, block + i * self->page);
}

/* How many of @frames are among @others. */
static size_t frames_shared(const uint64_t *frames, const uint64_t *others)
{
	size_t i, j, nr = 0;

	for (i = 0; i < NR_PAGES; i++) {
		for (j = 0; j < NR_PAGES; j++)
			nr += frames[i] && frames[i] == others[j];
	}
	return nr;
}

/* Fills a block with 0x5a and frees it: dirty pages to be recycled. */
static void leave_dirty_pages(struct __test_metadata *_metadata,
			      const struct heap *heap, size_t bytes)
{
	char *block;

	ASSERT_EQ(0, block_alloc(heap, bytes, &block));
	memset(block, 0x5a, bytes);
	ASSERT_EQ(0, block_free(heap, block));
}

/* Where memory goes */

TEST_F(recycle, freed_pages_come_back)
{
	uint64_t before[NR_PAGES], after[NR_PAGES];
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	memset(block, 1, self->bytes);
	frames_at(self, block, before);
	ASSERT_EQ(NR_PAGES, frames_shared(before, before));
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(0, block_alloc(&other, self->bytes, &block));
	memset(block, 2, self->bytes);
	frames_at(self, block, after);
	EXPECT_EQ(NR_PAGES, frames_shared(after, before));
	EXPECT_TRUE(all_bytes(block, self->bytes, 2));
}

TEST_F(recycle, destroyed_heap_leaves_pages)
{
	uint64_t before[NR_PAGES], after[NR_PAGES];
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	memset(block, 1, self->bytes);
	frames_at(self, block, before);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, block_alloc(&other, self->bytes, &block));
	memset(block, 2, self->bytes);
	frames_at(self, block, after);
	/* A page of the heap's own may have come first. */
	EXPECT_LE(NR_PAGES - 4, frames_shared(after, before));
}

/* A commit that has to wait for page tables leaves them what is there for it. */
TEST_F(recycle, backed_commit_takes_pages)
{
	uint64_t before[NR_PAGES], after[NR_PAGES];
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = 8 * MIB,
				 .flags = PRIVHEAP_CREATE_F_BACKED));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	memset(block, 1, self->bytes);
	frames_at(self, block, before);
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(0, block_alloc(&other, 6 * MIB, &block));
	memset(block, 2, 6 * MIB);
	/* The first page of a heap has memory from the start. */
	frames_at(self, block + self->page, after);
	EXPECT_EQ(NR_PAGES, frames_shared(after, before));
}

/* Somebody still reads from these: they are not given to others. */
TEST_F(recycle, pinned_pages_stay)
{
	uint64_t before[NR_PAGES], after[NR_PAGES];
	char *block, *other, *copy;
	struct iovec range;
	size_t i, got = 0;
	ssize_t part;
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_LE((int)self->bytes, fcntl(pipes[0], F_SETPIPE_SZ, self->bytes));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	for (i = 0; i < NR_PAGES; i++) {
		pattern_fill(block + i * self->page, self->page, i);
	}
	frames_at(self, block, before);
	range = (struct iovec){ block, self->bytes };
	ASSERT_EQ((ssize_t)self->bytes, vmsplice(pipes[1], &range, 1, 0));
	ASSERT_EQ(0, block_free(&self->heap, block));

	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &other));
	memset(other, 0xee, self->bytes);
	frames_at(self, other, after);
	EXPECT_EQ(0, frames_shared(after, before));

	copy = malloc(self->bytes);
	ASSERT_NE(NULL, copy);
	while (got < self->bytes) {
		part = read(pipes[0], copy + got, self->bytes - got);
		ASSERT_LT(0, part);
		got += part;
	}
	for (i = 0; i < NR_PAGES; i++) {
		EXPECT_TRUE(pattern_check(copy + i * self->page, self->page, i));
	}
	EXPECT_TRUE(all_bytes(other, self->bytes, (char)0xee));
	free(copy);
}

/* The same over the end of the heap. */
TEST_F(recycle, pinned_pages_outlive_heap)
{
	struct iovec range;
	char *block, *copy;
	struct heap other;
	size_t got = 0;
	ssize_t part;
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, block_alloc(&self->heap, 8 * self->page, &block));
	pattern_fill(block, 8 * self->page, 3);
	range = (struct iovec){ block, 8 * self->page };
	ASSERT_EQ((ssize_t)(8 * self->page), vmsplice(pipes[1], &range, 1, 0));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = 8 * MIB));
	ASSERT_EQ(0, block_alloc(&other, MIB, &block));
	memset(block, 0xee, MIB);
	copy = malloc(8 * self->page);
	ASSERT_NE(NULL, copy);
	while (got < 8 * self->page) {
		part = read(pipes[0], copy + got, 8 * self->page - got);
		ASSERT_LT(0, part);
		got += part;
	}
	EXPECT_TRUE(pattern_check(copy, 8 * self->page, 3));
	free(copy);
}

/* What is left of a block of the kernel's when one page of it is pinned. */
TEST_F(recycle, pinned_page_of_block_stays)
{
	const size_t pinned = NR_PAGES / 2 + 1;
	char *block, *other, *copy = malloc(self->page);
	struct iovec range;
	uint64_t frame;
	int pipes[2];
	size_t i;

	ASSERT_NE(NULL, copy);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, file_write(RECYCLE_KIB, "0"));
	ASSERT_EQ(0, block_alloc(&self->heap, self->bytes, &block));
	ASSERT_EQ((long)self->bytes,
		  heap_prefault(&self->heap, block, self->bytes));
	pattern_fill(block, self->bytes, 5);
	frame = frame_at(self, block + pinned * self->page);
	ASSERT_NE(0, frame);
	pattern_fill(block + pinned * self->page, self->page, 6);
	range = (struct iovec){ block + pinned * self->page, self->page };
	ASSERT_EQ((ssize_t)self->page, vmsplice(pipes[1], &range, 1, 0));
	ASSERT_EQ(0, block_free(&self->heap, block));

	ASSERT_EQ(0, block_alloc(&self->heap, 4 * MIB, &other));
	memset(other, 0xee, 4 * MIB);
	for (i = 0; i < 4 * MIB / self->page; i++) {
		ASSERT_NE(frame, frame_at(self, other + i * self->page));
	}
	ASSERT_EQ((ssize_t)self->page, read(pipes[0], copy, self->page));
	EXPECT_TRUE(pattern_check(copy, self->page, 6));
	EXPECT_TRUE(all_bytes(other, 4 * MIB, (char)0xee));
	free(copy);
}

/* Zero is zero */

static const size_t zero_sizes[] = {
	16, 100, 1000, 3000, 16384, 20000, 100 * KIB, 1000 * KIB + 5, 3 * MIB,
};

TEST_F(recycle, zero_block_is_zero)
{
	unsigned int i, round;
	struct heap heap;
	char *block;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd,
					 .flags = round == 1 ?
						 PRIVHEAP_CREATE_F_BACKED : 0));
		for (i = 0; i < ARRAY_SIZE(zero_sizes); i++) {
			leave_dirty_pages(_metadata, &self->heap, 4 * MIB);
			ASSERT_EQ(0, block_alloc_with(&heap, zero_sizes[i], 0,
						      PRIVHEAP_ALLOC_F_ZERO,
						      &block));
			EXPECT_TRUE(all_bytes(block, zero_sizes[i], 0)) {
				TH_LOG("%zu bytes", zero_sizes[i]);
			}
			memset(block, 0x5a, zero_sizes[i]);
		}
		ASSERT_EQ(0, heap_destroy(&heap));
	}
}

/* Beside a block that does not ask for zero, in the same pages. */
TEST_F(recycle, zero_slot_beside_others)
{
	char *blocks[200];
	unsigned int i;

	leave_dirty_pages(_metadata, &self->heap, MIB);
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, block_alloc_with(&self->heap, 700, 0, i % 2 ?
					      PRIVHEAP_ALLOC_F_ZERO : 0,
					      &blocks[i]));
	}
	for (i = 0; i < 200; i++) {
		if (i % 2) {
			EXPECT_TRUE(all_bytes(blocks[i], 700, 0));
		}
		memset(blocks[i], 0x5a, 700);
	}
	/* What was there is not cleared by a neighbour. */
	for (i = 0; i < 200; i += 2) {
		ASSERT_EQ(0, block_free(&self->heap, blocks[i]));
		ASSERT_EQ(0, block_alloc_with(&self->heap, 700, 0,
					      PRIVHEAP_ALLOC_F_ZERO, &blocks[i]));
		EXPECT_TRUE(all_bytes(blocks[i], 700, 0));
		EXPECT_TRUE(all_bytes(blocks[i + 1], 700, 0x5a));
	}
}

/* A block moves before anybody has touched it, and is zero there, too. */
TEST_F(recycle, zero_block_moves)
{
	static const size_t sizes[] = { 5000, 10000, 40 * KIB, 300 * KIB };
	char *block, *wall;
	unsigned int i;
	struct heap heap;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB));
		leave_dirty_pages(_metadata, &self->heap, 4 * MIB);
		ASSERT_EQ(0, block_alloc_with(&heap, sizes[i], 0,
					      PRIVHEAP_ALLOC_F_ZERO, &block));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &wall));
		block[sizes[i] - 1] = 1;
		ASSERT_EQ(0, block_realloc(&heap, &block, 5 * sizes[i],
					   PRIVHEAP_REALLOC_F_ZERO));
		EXPECT_TRUE(all_bytes(block, sizes[i] - 1, 0));
		EXPECT_EQ(1, block[sizes[i] - 1]);
		EXPECT_TRUE(all_bytes(block + sizes[i], 4 * sizes[i], 0));
		ASSERT_EQ(0, heap_destroy(&heap));
	}
}

/* What shrank and grew again is zero where zero was asked for. */
TEST_F(recycle, zero_on_growing_again)
{
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, 2 * MIB, &block));
	memset(block, 0x5a, 2 * MIB);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 5 * self->page + 3, 0));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 2 * MIB,
				   PRIVHEAP_REALLOC_F_ZERO));
	EXPECT_TRUE(all_bytes(block, 5 * self->page + 3, 0x5a));
	EXPECT_TRUE(all_bytes(block + 5 * self->page + 3,
			      2 * MIB - 5 * self->page - 3, 0));
}

/* Other processes */

#define SECRET	0x73

/* Does any byte here hold what another process wrote? */
static bool has_secret(const char *mem, size_t bytes)
{
	return memchr(mem, SECRET, bytes);
}

/* Looks into as many pages as the machine will give it, of every kind of block. */
static bool finds_secret(void)
{
	struct heap heap;
	char *block;
	int i;

	if (heap_create(&heap, privheap_open()))
		return true;
	for (i = 0; i < 40; i++) {
		if (block_alloc(&heap, 512 * KIB, &block) ||
		    has_secret(block, 512 * KIB))
			return true;
		if (block_alloc(&heap, 3 * MIB, &block) ||
		    has_secret(block, 3 * MIB))
			return true;
		if (block_alloc(&heap, 3000, &block) || has_secret(block, 3000))
			return true;
	}
	close(heap.fd);
	return false;
}

/* Writes secrets, leaves some in live blocks and frees the others. */
static void leave_secrets(const struct heap *heap)
{
	char *blocks[24];
	unsigned int i;

	for (i = 0; i < 24; i++) {
		if (block_alloc(heap, MIB + i * 5000, &blocks[i]))
			_exit(1);
		memset(blocks[i], SECRET, MIB + i * 5000);
	}
	for (i = 0; i < 24; i += 2) {
		if (block_free(heap, blocks[i]))
			_exit(1);
	}
}

/* Runs @look in a process of its own: whether it found anything. */
static int in_child(bool (*look)(void))
{
	pid_t pid = fork();

	if (!pid)
		_exit(look());
	return child_wait(pid);
}

TEST_F_TIMEOUT(recycle, nothing_of_living_process, 120)
{
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	leave_secrets(&heap);
	EXPECT_EQ(0, in_child(finds_secret));
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(0, in_child(finds_secret));
}

static bool write_secrets(void)
{
	struct heap heap;

	if (heap_create(&heap, privheap_open()))
		return true;
	leave_secrets(&heap);
	return false;
}

TEST_F_TIMEOUT(recycle, nothing_of_dead_process, 120)
{
	int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, in_child(write_secrets));
		EXPECT_EQ(0, in_child(finds_secret));
		EXPECT_FALSE(finds_secret());
	}
}

/* Giving back */

static char *touched_block(const struct heap *heap, size_t bytes)
{
	char *block;

	if (block_alloc(heap, bytes, &block))
		return NULL;
	memset(block, 1, bytes);
	return block;
}

static bool bound_holds(const struct cgroup *cgroup)
{
	struct heap heap;
	long before, after;
	char *block;

	if (cgroup_enter(cgroup) || heap_create(&heap, privheap_open()))
		return false;
	before = cgroup_bytes(cgroup);
	block = touched_block(&heap, 4 * BOUND);
	if (!block || cgroup_bytes(cgroup) < before + 4 * (long)BOUND - SLACK)
		return false;
	if (block_free(&heap, block))
		return false;
	after = cgroup_bytes(cgroup) - before;
	return after >= (long)BOUND - SLACK && after <= (long)BOUND + SLACK;
}

static bool compact_gives_back(const struct cgroup *cgroup)
{
	struct heap heap, other;
	size_t largest;
	long before;
	char *block;

	if (cgroup_enter(cgroup) || heap_create(&heap, privheap_open()) ||
	    heap_create(&other, heap.fd))
		return false;
	before = cgroup_bytes(cgroup);
	block = touched_block(&heap, BOUND);
	if (!block || heap_destroy(&heap) ||
	    cgroup_bytes(cgroup) < before + (long)BOUND - 2 * SLACK)
		return false;
	if (heap_compact(&other, &largest))
		return false;
	return cgroup_bytes(cgroup) < before + SLACK;
}

static bool shrinker_gives_back(const struct cgroup *cgroup)
{
	struct heap heap;
	long before;
	char *block;

	if (cgroup_enter(cgroup) || heap_create(&heap, privheap_open()))
		return false;
	before = cgroup_bytes(cgroup);
	block = touched_block(&heap, BOUND);
	if (!block || block_free(&heap, block) ||
	    cgroup_bytes(cgroup) < before + (long)BOUND - 2 * SLACK)
		return false;
	return eventually(!file_write("/proc/sys/vm/drop_caches", "2") &&
			  cgroup_bytes(cgroup) < before + SLACK);
}

static void expect_in_cgroup(struct __test_metadata *_metadata,
			     bool (*check)(const struct cgroup *cgroup))
{
	struct cgroup cgroup;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(!check(&cgroup));
	EXPECT_EQ(0, child_wait(pid));
	/* With the process all of it is gone. */
	EXPECT_TRUE(eventually(cgroup_bytes(&cgroup) < SLACK));
	EXPECT_EQ(0, cgroup_destroy(&cgroup));
}

TEST_F_TIMEOUT(recycle, bounded, 120)
{
	expect_in_cgroup(_metadata, bound_holds);
}

TEST_F_TIMEOUT(recycle, compact_gives_back, 120)
{
	expect_in_cgroup(_metadata, compact_gives_back);
}

TEST_F_TIMEOUT(recycle, shrinker_gives_back, 120)
{
	expect_in_cgroup(_metadata, shrinker_gives_back);
}

TEST_HARNESS_MAIN
