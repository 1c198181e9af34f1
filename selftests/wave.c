// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that free and allocate in waves: that the heap learns it, keeps what the
 * next wave needs, and gives it back when somebody needs it more or nobody does.
 */
#include "kselftest_harness.h"
#include "privheap_util.h"

#define NR_BLOCKS	8
#define BLOCK_BYTES	(512 * KIB)
#define WAVE_BYTES	(NR_BLOCKS * BLOCK_BYTES)
#define WAVE_KIB	"/sys/module/privheap/parameters/wave_kib"
#define BOUND		(16 * MIB)
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
	ASSERT_EQ(0, file_write(WAVE_KIB, "16384"));
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

TEST_HARNESS_MAIN
