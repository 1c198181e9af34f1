// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that free and allocate in waves: that the heap learns it, keeps what the
 * next wave needs, and gives it back when somebody needs it more or nobody does.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define NR_BLOCKS	8
#define BLOCK_BYTES	(512 * KIB)
#define WAVE_BYTES	(NR_BLOCKS * BLOCK_BYTES)
#define WAVE_KIB	"/sys/module/privheap/parameters/wave_kib"
#define BOUND		(16 * MIB)
/* A block that a growable heap gives a region of its own. */
#define OWN_BYTES	(2 * MIB)
#define MAX_OWN		16
/* Waves until nothing is learned any more. */
#define NR_LEARNING	2

FIXTURE(wave) {
	int fd;
	struct heap heap;
	struct privheap_stat before;
	long wave_kib;
};

FIXTURE_SETUP(wave)
{
	char *block;

	self->wave_kib = file_number(WAVE_KIB);
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 64 * MIB));
	/* The page that a heap keeps for life is not to be part of a block. */
	ASSERT_EQ(0, block_alloc(&self->heap, page_bytes(), &block));
	memset(block, 1, page_bytes());
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(wave)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", self->wave_kib);
	EXPECT_EQ(0, file_write(WAVE_KIB, text));
	close(self->fd);
}

static size_t idle_bytes(const struct heap *heap)
{
	struct privheap_stat stat;

	return heap_stat(heap, &stat) ? SIZE_MAX : stat.out_idle_bytes;
}

/* Allocates and touches blocks; returns how many faults that took. */
static long wave_rises(struct __test_metadata *_metadata,
		       const struct heap *heap, char **blocks, size_t bytes)
{
	long faults = nr_faults();
	int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		ASSERT_EQ(0, block_alloc(heap, bytes, &blocks[i]));
		memset(blocks[i], 0x5a, bytes);
	}
	return nr_faults() - faults;
}

static void wave_falls(struct __test_metadata *_metadata,
		       const struct heap *heap, char **blocks)
{
	int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		ASSERT_EQ(0, block_free(heap, blocks[i]));
	}
}

static void waves(struct __test_metadata *_metadata, const struct heap *heap,
		  size_t bytes, int nr)
{
	char *blocks[NR_BLOCKS];

	while (nr--) {
		wave_rises(_metadata, heap, blocks, bytes);
		wave_falls(_metadata, heap, blocks);
	}
}

TEST_F(wave, faults_in_first_waves_only)
{
	char *blocks[NR_BLOCKS];
	long faults;
	int i;

	for (i = 0; i < 12; i++) {
		faults = wave_rises(_metadata, &self->heap, blocks, BLOCK_BYTES);
		if (i < NR_LEARNING) {
			EXPECT_LE(NR_BLOCKS, faults);
		} else {
			EXPECT_GE(2, faults);
		}
		wave_falls(_metadata, &self->heap, blocks);
	}
	EXPECT_EQ(WAVE_BYTES, idle_bytes(&self->heap));
}

TEST_F(wave, bound_is_that_of_the_module)
{
	EXPECT_EQ(BOUND / KIB, self->wave_kib);
	ASSERT_EQ(0, file_write(WAVE_KIB, "1024"));
	waves(_metadata, &self->heap, BLOCK_BYTES, 4);
	EXPECT_EQ(MIB, idle_bytes(&self->heap));
	ASSERT_EQ(0, file_write(WAVE_KIB, "0"));
	waves(_metadata, &self->heap, BLOCK_BYTES, 4);
	EXPECT_EQ(0, idle_bytes(&self->heap));
}

TEST_F(wave, spike_is_given_back)
{
	char *blocks[NR_BLOCKS];

	wave_rises(_metadata, &self->heap, blocks, BLOCK_BYTES);
	wave_falls(_metadata, &self->heap, blocks);
	self->before.out_committed_peak_bytes += WAVE_BYTES;
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_EQ(SIGSEGV, touch_read(blocks[0]));
}

/* Small blocks go on; the fewest idle pages meanwhile are far from none. */
TEST_F(wave, end_of_waves_is_noticed)
{
	const size_t bytes = 64 * KIB;
	char *block;
	size_t i;

	waves(_metadata, &self->heap, BLOCK_BYTES, 4);
	ASSERT_EQ(WAVE_BYTES, idle_bytes(&self->heap));
	for (i = 0; i < 8 * WAVE_BYTES / bytes; i++) {
		ASSERT_EQ(0, block_alloc(&self->heap, bytes, &block));
		memset(block, 1, bytes);
		ASSERT_EQ(0, block_free(&self->heap, block));
	}
	EXPECT_GE(2 * bytes, idle_bytes(&self->heap));
}

TEST_F(wave, bounded)
{
	waves(_metadata, &self->heap, 4 * BLOCK_BYTES, 4);
	ASSERT_LT(BOUND, 4 * WAVE_BYTES + 1);
	EXPECT_GE(BOUND, idle_bytes(&self->heap));
	waves(_metadata, &self->heap, 6 * BLOCK_BYTES, 4);
	EXPECT_GE(BOUND, idle_bytes(&self->heap));
}

TEST_F(wave, compact_gives_back)
{
	size_t largest;

	waves(_metadata, &self->heap, BLOCK_BYTES, 3);
	ASSERT_EQ(WAVE_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	self->before.out_committed_peak_bytes += WAVE_BYTES;
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

TEST_F(wave, pressure_takes_back)
{
	waves(_metadata, &self->heap, BLOCK_BYTES, 3);
	ASSERT_EQ(WAVE_BYTES, idle_bytes(&self->heap));
	EXPECT_TRUE(eventually(!file_write("/proc/sys/vm/drop_caches", "2") &&
			       !idle_bytes(&self->heap)));
}

/* A program that says how much may stay gets that. */
TEST_F(wave, idle_bytes_come_first)
{
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .idle_bytes = BLOCK_BYTES));
	ASSERT_EQ(0, block_alloc(&heap, page_bytes(), &block));
	waves(_metadata, &heap, BLOCK_BYTES, 4);
	EXPECT_EQ(BLOCK_BYTES, idle_bytes(&heap));
}

/* Also a bound of less than a page is one, and not the heap's own choice. */
TEST_F(wave, idle_bytes_are_rounded_up)
{
	const size_t bytes = 5 * page_bytes();
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .idle_bytes = 1));
	ASSERT_EQ(0, block_alloc(&heap, page_bytes(), &block));
	waves(_metadata, &heap, BLOCK_BYTES, 4);
	EXPECT_EQ(0, idle_bytes(&heap));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .idle_bytes = bytes - page_bytes() + 1));
	ASSERT_EQ(0, block_alloc(&heap, page_bytes(), &block));
	ASSERT_EQ(0, block_alloc(&heap, bytes, &block));
	memset(block, 1, bytes);
	ASSERT_EQ(0, block_free(&heap, block));
	EXPECT_EQ(bytes, idle_bytes(&heap));
}

/* A touch of what was freed is to be seen there. */
TEST_F(wave, guarded_heap_keeps_nothing)
{
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .flags = PRIVHEAP_CREATE_F_GUARD));
	waves(_metadata, &heap, BLOCK_BYTES, 4);
	EXPECT_EQ(0, idle_bytes(&heap));
}

/* Limits */

TEST_F(wave, nothing_is_kept_near_limit)
{
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .limit_bytes = WAVE_BYTES + 64 * KIB));
	waves(_metadata, &heap, BLOCK_BYTES, 4);
	EXPECT_LT(0, idle_bytes(&heap));
	EXPECT_GE(7 * WAVE_BYTES / 8, idle_bytes(&heap));
}

TEST_F(wave, goes_before_limit_of_heap)
{
	struct privheap_limit limit;
	char *block;

	waves(_metadata, &self->heap, BLOCK_BYTES, 4);
	ASSERT_EQ(WAVE_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit,
				.flags = PRIVHEAP_LIMIT_F_HARD,
				.hard_bytes = 2 * WAVE_BYTES));
	EXPECT_EQ(0, block_alloc(&self->heap, 2 * WAVE_BYTES - 64 * KIB, &block));
	EXPECT_EQ(0, idle_bytes(&self->heap));
}

TEST_F(wave, goes_before_limit_of_process)
{
	struct privheap_limit limit;
	struct heap other;
	char *block;

	waves(_metadata, &self->heap, BLOCK_BYTES, 4);
	ASSERT_EQ(WAVE_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = 64 * MIB));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit,
				   .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = limit.out_usage_bytes + MIB));
	ASSERT_EQ(0, block_alloc(&other, WAVE_BYTES, &block));
	memset(block, 1, WAVE_BYTES);
	EXPECT_EQ(0, idle_bytes(&self->heap));
	/* That was no refusal, and a real one still is. */
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(0, limit.out_nr_failures);
	EXPECT_EQ(-EDQUOT, block_alloc(&other, 2 * MIB, &block));
}

/* Of two heaps one is enough. */
TEST_F(wave, no_more_goes_than_has_to)
{
	struct privheap_limit limit;
	struct heap second, other;
	char *block;

	ASSERT_EQ(0, heap_create(&second, self->fd, .max_bytes = 64 * MIB));
	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = 64 * MIB));
	waves(_metadata, &self->heap, BLOCK_BYTES, 4);
	waves(_metadata, &second, BLOCK_BYTES, 4);
	ASSERT_LE(WAVE_BYTES, idle_bytes(&self->heap));
	ASSERT_LE(WAVE_BYTES - page_bytes(), idle_bytes(&second));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit,
				   .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = limit.out_usage_bytes));
	ASSERT_EQ(0, block_alloc(&other, MIB, &block));
	EXPECT_EQ(0, idle_bytes(&self->heap));
	EXPECT_LE(WAVE_BYTES - page_bytes(), idle_bytes(&second));
}

/* No limit of the module's, but of a cgroup, where commits get memory at once. */
static void child_fills_cgroup(struct __test_metadata *_metadata,
			       const struct cgroup *cgroup)
{
	struct heap heap, other;
	int fd, nr = 0;
	char *block;

	ASSERT_EQ(0, cgroup_enter(cgroup));
	fd = privheap_open();
	ASSERT_EQ(0, heap_create(&heap, fd, .max_bytes = 64 * MIB));
	ASSERT_EQ(0, heap_create(&other, fd, .flags = PRIVHEAP_CREATE_F_BACKED,
				 .max_bytes = 64 * MIB));
	ASSERT_EQ(0, block_alloc(&heap, page_bytes(), &block));
	waves(_metadata, &heap, BLOCK_BYTES, 4);
	ASSERT_EQ(WAVE_BYTES, idle_bytes(&heap));
	while (!block_alloc(&other, BLOCK_BYTES, &block))
		nr++;
	EXPECT_EQ(0, idle_bytes(&heap));
	EXPECT_LT(24 * MIB, nr * BLOCK_BYTES);
}

TEST_F(wave, goes_before_cgroup_is_full)
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
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

/* Blocks that have a region of their own */

FIXTURE(own) {
	int fd;
	struct heap heap;
	struct privheap_stat before;
};

FIXTURE_VARIANT(own) {
	__u32 policy;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(own, adaptive) { PRIVHEAP_POLICY_ADAPTIVE, 0 };
FIXTURE_VARIANT_ADD(own, huge) { PRIVHEAP_POLICY_HUGE, 0 };
FIXTURE_VARIANT_ADD(own, backed) {
	PRIVHEAP_POLICY_ADAPTIVE, PRIVHEAP_CREATE_F_BACKED
};
FIXTURE_VARIANT_ADD(own, secret) {
	PRIVHEAP_POLICY_ADAPTIVE, PRIVHEAP_CREATE_F_SECRET
};

FIXTURE_SETUP(own)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .policy = variant->policy,
				 .flags = variant->flags));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(own)
{
	close(self->fd);
}

static void own_waves(struct __test_metadata *_metadata, const struct heap *heap,
		      size_t bytes, int nr_blocks, int nr)
{
	char *blocks[MAX_OWN + 2];
	int i;

	while (nr--) {
		for (i = 0; i < nr_blocks; i++) {
			ASSERT_EQ(0, block_alloc(heap, bytes, &blocks[i]));
			memset(blocks[i], 0x5a, bytes);
		}
		for (i = 0; i < nr_blocks; i++) {
			ASSERT_EQ(0, block_free(heap, blocks[i]));
		}
	}
}

/* All is as in the beginning, but for the peak. */
static void expect_nothing_is_left(struct __test_metadata *_metadata,
				   FIXTURE_DATA(own) *self)
{
	struct privheap_stat stat;

	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	self->before.out_committed_peak_bytes = stat.out_committed_peak_bytes;
	EXPECT_STREQ("same", stat_diff(&self->before, &stat));
	EXPECT_EQ(1, maps_heaps());
}

TEST_F(own, region_stays_with_its_pages)
{
	struct privheap_stat stat;
	size_t largest;
	long faults;

	own_waves(_metadata, &self->heap, OWN_BYTES, 1, 1);
	expect_nothing_is_left(_metadata, self);
	own_waves(_metadata, &self->heap, OWN_BYTES, 4, 2);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(4 * OWN_BYTES, stat.out_idle_bytes);
	EXPECT_EQ(5, stat.out_nr_regions);
	EXPECT_EQ(0, stat.out_nr_blocks);
	faults = nr_faults();
	own_waves(_metadata, &self->heap, OWN_BYTES, 4, 5);
	EXPECT_GE(faults + 5, nr_faults());
	EXPECT_HEAP_STAT(&stat, &self->heap);
	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	expect_nothing_is_left(_metadata, self);
}

TEST_F(own, idle_region_has_no_block)
{
	struct privheap_entry entries[8];
	char *block;
	int i, nr;

	own_waves(_metadata, &self->heap, OWN_BYTES, 1, 2);
	ASSERT_EQ(0, block_alloc(&self->heap, OWN_BYTES, &block));
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(OWN_BYTES, idle_bytes(&self->heap));
	EXPECT_EQ(-ENOENT, block_free(&self->heap, block));
	EXPECT_EQ(-ENOENT, block_size(&self->heap, block));
	EXPECT_EQ(-ENOENT, heap_decommit(&self->heap, block, page_bytes()));
	nr = heap_walk(&self->heap, NULL, entries, 8);
	ASSERT_LT(0, nr);
	for (i = 0; i < nr; i++)
		EXPECT_NE(PRIVHEAP_ENTRY_OWN_REGION, entries[i].region);
}

/* One that is as long as the block, or up to twice as long. */
TEST_F(own, shortest_region_that_fits)
{
	char *large, *small, *block;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .policy = variant->policy,
				 .flags = variant->flags, .idle_bytes = 64 * MIB));
	ASSERT_EQ(0, block_alloc(&self->heap, 3 * OWN_BYTES, &large));
	ASSERT_EQ(0, block_alloc(&self->heap, 2 * OWN_BYTES, &small));
	memset(large, 1, 3 * OWN_BYTES);
	memset(small, 1, 2 * OWN_BYTES);
	ASSERT_EQ(0, block_free(&self->heap, large));
	ASSERT_EQ(0, block_free(&self->heap, small));
	ASSERT_EQ(5 * OWN_BYTES, idle_bytes(&self->heap));

	ASSERT_EQ(0, block_alloc(&self->heap, OWN_BYTES, &block));
	EXPECT_EQ(small, block);
	EXPECT_EQ(4 * OWN_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 2 * OWN_BYTES,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	EXPECT_EQ(3 * OWN_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, block_alloc(&self->heap, OWN_BYTES, &block));
	EXPECT_NE(large, block);
	ASSERT_EQ(0, block_alloc(&self->heap, 4 * OWN_BYTES, &block));
	EXPECT_NE(large, block);
	ASSERT_EQ(0, block_alloc(&self->heap, 3 * OWN_BYTES - 64 * KIB, &block));
	EXPECT_EQ(large, block);
	EXPECT_EQ(64 * KIB, idle_bytes(&self->heap));
}

TEST_F(own, zero_block_is_zero)
{
	char *block;

	own_waves(_metadata, &self->heap, OWN_BYTES, 1, 3);
	ASSERT_EQ(OWN_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, block_alloc_with(&self->heap, OWN_BYTES, 0,
				      PRIVHEAP_ALLOC_F_ZERO, &block));
	EXPECT_EQ(0, idle_bytes(&self->heap));
	EXPECT_TRUE(all_bytes(block, OWN_BYTES, 0));
}

/* The one that was used least recently goes. */
TEST_F(own, number_is_bounded)
{
	struct privheap_stat stat;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .policy = variant->policy,
				 .flags = variant->flags, .idle_bytes = 64 * MIB));
	own_waves(_metadata, &self->heap, MIB, MAX_OWN + 2, 2);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(1 + MAX_OWN, stat.out_nr_regions);
	EXPECT_EQ(MAX_OWN * MIB, stat.out_idle_bytes);
	EXPECT_EQ(1 + MAX_OWN, maps_heaps());
}

TEST_F(own, reset_and_destroy_take_it)
{
	size_t kept;

	own_waves(_metadata, &self->heap, OWN_BYTES, 2, 3);
	ASSERT_EQ(3, maps_heaps());
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	expect_nothing_is_left(_metadata, self);
	own_waves(_metadata, &self->heap, OWN_BYTES, 2, 3);
	ASSERT_EQ(3, maps_heaps());
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
}

TEST_F(own, pages_go_before_limit)
{
	struct privheap_limit limit;
	char *block;

	own_waves(_metadata, &self->heap, OWN_BYTES, 2, 3);
	ASSERT_EQ(2 * OWN_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit,
				.flags = PRIVHEAP_LIMIT_F_HARD,
				.hard_bytes = 5 * OWN_BYTES));
	ASSERT_EQ(0, block_alloc(&self->heap, 9 * OWN_BYTES / 2, &block));
	EXPECT_EQ(0, idle_bytes(&self->heap));
	memset(block, 1, 9 * OWN_BYTES / 2);
	/* An empty region still serves a block. */
	ASSERT_EQ(0, block_free(&self->heap, block));
	own_waves(_metadata, &self->heap, OWN_BYTES, 2, 1);
}

TEST_F(own, pressure_takes_pages)
{
	own_waves(_metadata, &self->heap, OWN_BYTES, 2, 3);
	ASSERT_EQ(2 * OWN_BYTES, idle_bytes(&self->heap));
	EXPECT_TRUE(eventually(!file_write("/proc/sys/vm/drop_caches", "2") &&
			       !idle_bytes(&self->heap)));
}

/* Where there is no address space left, regions go that nobody needs. */
TEST_F(own, regions_go_before_address_space_ends)
{
	struct rlimit limit = { .rlim_max = RLIM_INFINITY };
	char *block;

	own_waves(_metadata, &self->heap, OWN_BYTES, 2, 3);
	ASSERT_EQ(3, maps_heaps());
	limit.rlim_cur = file_number("/proc/self/statm") * page_bytes() + 3 * MIB;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(0, block_alloc(&self->heap, 5 * MIB, &block));
	EXPECT_EQ(2, maps_heaps());
}

struct forgetter {
	char *page;
	bool stop;
};

static void *forget_page(void *data)
{
	struct forgetter *forgetter = data;

	while (!__atomic_load_n(&forgetter->stop, __ATOMIC_ACQUIRE))
		madvise(forgetter->page, page_bytes(), MADV_DONTNEED);
	return NULL;
}

/*
 * The page of the answer goes between the look at it and the answer, so that blocks
 * are placed and taken back, in idle regions and new ones. Where the answer was
 * given, it may be lost, too; that is the program's doing.
 */
TEST_F(own, answer_goes_meanwhile)
{
	const size_t before = offsetof(struct privheap_alloc, out_addr);
	struct privheap_alloc arg = {
		.size = sizeof(arg), .heap = self->heap.id, .bytes = OWN_BYTES,
	};
	struct forgetter forgetter = {};
	pthread_t thread;
	char *pages;
	size_t kept;
	unsigned int round, i;

	pages = mmap(NULL, 2 * page_bytes(), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	forgetter.page = pages + page_bytes();
	memcpy(forgetter.page - before, &arg, sizeof(arg));
	own_waves(_metadata, &self->heap, OWN_BYTES, 3, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, forget_page, &forgetter));
	for (round = 0; round < scaled(200); round++) {
		for (i = 0; i < 5; i++) {
			ASSERT_EQ(0, ioctl(self->fd, PRIVHEAP_IOC_ALLOC,
					   forgetter.page - before));
		}
		if (round % 4 == 3) {
			ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
		} else {
			own_waves(_metadata, &self->heap, OWN_BYTES, 2, 1);
		}
	}
	__atomic_store_n(&forgetter.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	expect_nothing_is_left(_metadata, self);
}

/*
 * A block is placed in an idle region and taken back, which ends the region's page map,
 * and placed there again: the region can have another page map.
 */
TEST_F_TIMEOUT(wave, page_map_when_answer_goes, 120)
{
	const size_t before = offsetof(struct privheap_alloc, out_addr);
	struct privheap_alloc arg = { .size = sizeof(arg), .bytes = OWN_BYTES };
	struct forgetter forgetter = {};
	struct privheap_pagemap map;
	char *pages, *block;
	struct heap heap;
	pthread_t thread;
	bool ended;

	pages = mmap(NULL, 2 * page_bytes(), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	forgetter.page = pages + page_bytes();
	ASSERT_EQ(0, pthread_create(&thread, NULL, forget_page, &forgetter));
	do {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .idle_bytes = OWN_BYTES));
		ASSERT_EQ(0, block_alloc(&heap, OWN_BYTES, &block));
		memset(block, 0x5a, OWN_BYTES);
		ASSERT_EQ(0, block_free(&heap, block));
		ASSERT_EQ(0, heap_pagemap(&heap, block, &map));
		/* No idle pages any more, so the region will not stay for them. */
		ASSERT_EQ(0, heap_policy(&heap, PRIVHEAP_POLICY_PAGE, 0));
		arg.heap = heap.id;
		memcpy(forgetter.page - before, &arg, sizeof(arg));
		ASSERT_EQ(0, ioctl(self->fd, PRIVHEAP_IOC_ALLOC,
				   forgetter.page - before));
		ended = touch_read((char *)(uintptr_t)map.out_map) == SIGSEGV;
		ASSERT_EQ(0, heap_pagemap(&heap, block, &map));
		EXPECT_EQ(PRIVHEAP_PAGE_LARGE | PRIVHEAP_PAGE_F_FIRST,
			  pagemap_at(&map, block).use);
		EXPECT_EQ(PRIVHEAP_PAGE_COMMITTED, pagemap_at(&map, block).state);
		ASSERT_EQ(0, heap_destroy(&heap));
	} while (!ended);
	__atomic_store_n(&forgetter.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(own, unmapped_while_idle)
{
	char *block;

	own_waves(_metadata, &self->heap, OWN_BYTES, 1, 2);
	ASSERT_EQ(0, block_alloc(&self->heap, OWN_BYTES, &block));
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(OWN_BYTES, idle_bytes(&self->heap));
	ASSERT_EQ(0, munmap(block, OWN_BYTES));
	EXPECT_EQ(-EIDRM, block_alloc(&self->heap, 1, &block));
	EXPECT_EQ(0, idle_bytes(&self->heap));
	EXPECT_EQ(0, heap_destroy(&self->heap));
}

TEST_HARNESS_MAIN
