// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls on pages that the program names: decommit and commit inside of a block that
 * lives, and pages that are made ready in advance.
 */
#include <sys/mman.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

/* As many pages as one step of these calls takes, at least on some machines. */
#define STEP_BYTES	(512 * page_bytes())
#define BLOCK_BYTES	(3 * STEP_BYTES)
#define SEED		5

FIXTURE(range) {
	int fd;
	size_t page;
	struct heap heap;
	char *block;
	struct privheap_stat before;
};

FIXTURE_VARIANT(range) {
	size_t max_bytes;
	__u32 flags;
	__u32 policy;
};

/* A block beside others, ... */
FIXTURE_VARIANT_ADD(range, fixed) {
	.max_bytes = 64 * MIB,
	.policy = PRIVHEAP_POLICY_ADAPTIVE,
};

FIXTURE_VARIANT_ADD(range, fixed_page) {
	.max_bytes = 64 * MIB,
	.policy = PRIVHEAP_POLICY_PAGE,
};

FIXTURE_VARIANT_ADD(range, fixed_window) {
	.max_bytes = 64 * MIB,
	.policy = PRIVHEAP_POLICY_WINDOW,
};

FIXTURE_VARIANT_ADD(range, fixed_populate) {
	.max_bytes = 64 * MIB,
	.policy = PRIVHEAP_POLICY_POPULATE,
};

FIXTURE_VARIANT_ADD(range, fixed_huge) {
	.max_bytes = 64 * MIB,
	.policy = PRIVHEAP_POLICY_HUGE,
};

FIXTURE_VARIANT_ADD(range, backed) {
	.max_bytes = 64 * MIB,
	.flags = PRIVHEAP_CREATE_F_BACKED,
	.policy = PRIVHEAP_POLICY_ADAPTIVE,
};

/* Its pages are mapped in another way, and do not count as resident. */
FIXTURE_VARIANT_ADD(range, secret) {
	.max_bytes = 64 * MIB,
	.flags = PRIVHEAP_CREATE_F_SECRET,
	.policy = PRIVHEAP_POLICY_ADAPTIVE,
};

/* ... and one with a region of its own. */
FIXTURE_VARIANT_ADD(range, growable) {
	.policy = PRIVHEAP_POLICY_ADAPTIVE,
};

/* The block holds a pattern. */
FIXTURE_SETUP(range)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .max_bytes = variant->max_bytes,
				 .flags = variant->flags,
				 .policy = variant->policy));
	ASSERT_EQ(0, block_alloc_with(&self->heap, BLOCK_BYTES, self->page, 0,
				      &self->block));
	pattern_fill(self->block, BLOCK_BYTES, SEED);
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(range)
{
	close(self->fd);
}

/* Since the start of the test @gone bytes were decommitted, and no more. */
static void expect_gone(struct __test_metadata *_metadata,
			FIXTURE_DATA(range) *self, size_t gone)
{
	struct privheap_stat expected = self->before, stat;

	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	expected.out_committed_bytes -= gone;
	expected.out_resident_bytes -= gone;
	expected.out_committed_peak_bytes = stat.out_committed_peak_bytes;
	EXPECT_STREQ("same", stat_diff(&expected, &stat));
}

static bool holds_pattern(const char *block, size_t from, size_t to)
{
	char *whole = malloc(to);
	bool same;

	if (!whole)
		return false;
	pattern_fill(whole, to, SEED);
	same = !memcmp(block + from, whole + from, to - from);
	free(whole);
	return same;
}

/* Decommit */

TEST_F(range, decommit_gives_pages_back)
{
	const size_t from = STEP_BYTES / 2, bytes = STEP_BYTES;
	long rss = mapping_rss(self->block);

	EXPECT_EQ((long)bytes,
		  heap_decommit(&self->heap, self->block + from, bytes));
	expect_gone(_metadata, self, bytes);
	/* Of a huge page that lost a part the rest has to be mapped anew. */
	if (variant->policy == PRIVHEAP_POLICY_HUGE) {
		EXPECT_GE(rss - (long)bytes, mapping_rss(self->block));
	} else if (!(variant->flags & PRIVHEAP_CREATE_F_SECRET)) {
		EXPECT_EQ(rss - (long)bytes, mapping_rss(self->block));
	}
	EXPECT_EQ((long)BLOCK_BYTES, block_size(&self->heap, self->block));
	EXPECT_EQ(SIGSEGV, touch_read(self->block + from));
	EXPECT_EQ(SIGSEGV, touch_write(self->block + from + bytes - 1));
	EXPECT_TRUE(holds_pattern(self->block, 0, from));
	EXPECT_TRUE(holds_pattern(self->block, from + bytes, BLOCK_BYTES));
}

TEST_F(range, decommit_twice)
{
	EXPECT_EQ((long)self->page,
		  heap_decommit(&self->heap, self->block, self->page));
	EXPECT_EQ((long)(2 * self->page),
		  heap_decommit(&self->heap, self->block, 2 * self->page));
	expect_gone(_metadata, self, 2 * self->page);
}

/* All of the block goes, and its address is still that of a block. */
TEST_F(range, decommit_all_then_free)
{
	EXPECT_EQ((long)BLOCK_BYTES,
		  heap_decommit(&self->heap, self->block, BLOCK_BYTES));
	expect_gone(_metadata, self, BLOCK_BYTES);
	EXPECT_EQ(0, block_free(&self->heap, self->block));
	EXPECT_EQ(-ENOENT, block_free(&self->heap, self->block));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(range, decommit_then_destroy)
{
	EXPECT_EQ((long)STEP_BYTES,
		  heap_decommit(&self->heap, self->block, STEP_BYTES));
	EXPECT_EQ(0, heap_destroy(&self->heap));
}

TEST_F(range, decommit_then_reset)
{
	size_t kept;

	EXPECT_EQ((long)(2 * STEP_BYTES),
		  heap_decommit(&self->heap, self->block, 2 * STEP_BYTES));
	EXPECT_EQ(0, heap_reset(&self->heap, STEP_BYTES, &kept));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

/* The call's own structure is in one of the pages. */
TEST_F(range, decommit_of_answer)
{
	struct privheap_decommit *arg = (void *)self->block;

	*arg = (struct privheap_decommit){
		.size = sizeof(*arg),
		.heap = self->heap.id,
		.addr = (uintptr_t)self->block,
		.bytes = self->page,
	};
	EXPECT_EQ(0, privheap_ioctl(self->fd, PRIVHEAP_IOC_DECOMMIT, arg));
	expect_gone(_metadata, self, self->page);
}

/* The pages that a heap has from the start go when the program says so. */
TEST_F(range, decommit_initial_pages)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .initial_bytes = 256 * KIB,
				 .policy = variant->policy));
	ASSERT_EQ(0, block_alloc(&heap, 128 * KIB, &block));
	ASSERT_EQ(heap.base, block);
	EXPECT_EQ((long)(64 * KIB), heap_decommit(&heap, block, 64 * KIB));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(192 * KIB, stat.out_committed_bytes);
	EXPECT_EQ(192 * KIB, stat.out_resident_bytes);
	EXPECT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, block_alloc(&heap, 128 * KIB, &block));
	memset(block, 1, 128 * KIB);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(256 * KIB, stat.out_committed_bytes);
	ASSERT_EQ(0, heap_destroy(&heap));
}

/* Commit */

TEST_F(range, commit_again_is_zero)
{
	const size_t from = 3 * self->page, bytes = 2 * STEP_BYTES;

	ASSERT_EQ((long)bytes,
		  heap_decommit(&self->heap, self->block + from, bytes));
	EXPECT_EQ((long)bytes,
		  heap_commit(&self->heap, self->block + from, bytes));
	expect_gone(_metadata, self, 0);
	EXPECT_TRUE(holds_pattern(self->block, 0, from));
	EXPECT_TRUE(all_bytes(self->block + from, bytes, 0));
	EXPECT_TRUE(holds_pattern(self->block, from + bytes, BLOCK_BYTES));
	expect_gone(_metadata, self, 0);
}

/* Pages that have been committed all the time keep what they hold. */
TEST_F(range, commit_fills_gaps)
{
	ASSERT_EQ((long)self->page, heap_decommit(&self->heap,
						  self->block + self->page,
						  self->page));
	EXPECT_EQ((long)BLOCK_BYTES,
		  heap_commit(&self->heap, self->block, BLOCK_BYTES));
	expect_gone(_metadata, self, 0);
	EXPECT_TRUE(holds_pattern(self->block, 0, self->page));
	EXPECT_TRUE(all_bytes(self->block + self->page, self->page, 0));
	EXPECT_TRUE(holds_pattern(self->block, 2 * self->page, BLOCK_BYTES));
}

/* What nobody has touched yet gets memory. */
TEST_F(range, commit_makes_resident)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 64 * MIB,
				 .policy = variant->policy));
	ASSERT_EQ(0, block_alloc(&heap, BLOCK_BYTES, &block));
	EXPECT_EQ((long)BLOCK_BYTES, heap_commit(&heap, block, BLOCK_BYTES));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
	ASSERT_EQ(0, heap_destroy(&heap));
}

TEST_F(range, commit_over_limit)
{
	struct privheap_limit limit;
	char *other;

	ASSERT_EQ((long)(2 * STEP_BYTES),
		  heap_decommit(&self->heap, self->block, 2 * STEP_BYTES));
	ASSERT_EQ(0, heap_limit(&self->heap, &limit,
				.flags = PRIVHEAP_LIMIT_F_HARD,
				.hard_bytes = self->before.out_committed_bytes -
					      STEP_BYTES));
	self->before.out_limit_bytes = limit.out_hard_bytes;
	self->before.out_nr_limit_failures++;
	/* It comes as far as the limit allows, by its steps, ... */
	EXPECT_EQ((long)STEP_BYTES,
		  heap_commit(&self->heap, self->block, 2 * STEP_BYTES));
	expect_gone(_metadata, self, STEP_BYTES);
	/* ... and says what is in the way. */
	EXPECT_EQ(-EDQUOT, heap_commit(&self->heap, self->block + STEP_BYTES,
				       self->page));
	self->before.out_nr_limit_failures++;
	expect_gone(_metadata, self, STEP_BYTES);
	EXPECT_EQ(SIGSEGV, touch_read(self->block + STEP_BYTES));
	/* What was decommitted is there for others. */
	ASSERT_EQ((long)STEP_BYTES,
		  heap_decommit(&self->heap, self->block, STEP_BYTES));
	EXPECT_EQ(0, block_alloc(&self->heap, STEP_BYTES / 2, &other));
}

TEST_F(range, commit_without_memory)
{
	ASSERT_EQ((long)BLOCK_BYTES,
		  heap_decommit(&self->heap, self->block, BLOCK_BYTES));
	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 1));
	EXPECT_EQ(-ENOMEM, heap_commit(&self->heap, self->block, self->page));
	self->before.out_nr_injected_failures++;
	expect_gone(_metadata, self, BLOCK_BYTES);
	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 2));
	EXPECT_LT(0, heap_commit(&self->heap, self->block, BLOCK_BYTES));
	EXPECT_EQ((long)BLOCK_BYTES,
		  heap_commit(&self->heap, self->block, BLOCK_BYTES));
	self->before.out_nr_injected_failures++;
	expect_gone(_metadata, self, 0);
}

/* Other calls on a block of which some pages are gone */

/* Whole chunks of it have no page any more, and others some. */
static void punch(struct __test_metadata *_metadata, FIXTURE_DATA(range) *self)
{
	ASSERT_EQ((long)(BLOCK_BYTES - 2 * self->page),
		  heap_decommit(&self->heap, self->block + self->page,
				BLOCK_BYTES - 2 * self->page));
}

static void expect_punched(struct __test_metadata *_metadata,
			   FIXTURE_DATA(range) *self, const char *block)
{
	EXPECT_TRUE(holds_pattern(block, 0, self->page));
	EXPECT_TRUE(all_bytes(block + self->page, BLOCK_BYTES - 2 * self->page,
			      0));
	EXPECT_TRUE(holds_pattern(block, BLOCK_BYTES - self->page, BLOCK_BYTES));
}

/* A block that moves has all of its pages again. */
TEST_F(range, realloc_moves)
{
	char *block = self->block, *behind;

	/* Something that it cannot grow over. */
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &behind));
	punch(_metadata, self);
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 2 * BLOCK_BYTES,
				   PRIVHEAP_REALLOC_F_ZERO));
	ASSERT_NE(self->block, block);
	expect_punched(_metadata, self, block);
	EXPECT_TRUE(all_bytes(block + BLOCK_BYTES, BLOCK_BYTES, 0));
}

/* The initial pages of a heap are copied, not moved. */
TEST_F(range, realloc_copies)
{
	char *block, *behind, *old;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 64 * MIB,
				 .initial_bytes = self->page,
				 .policy = variant->policy));
	ASSERT_EQ(0, block_alloc(&heap, BLOCK_BYTES, &block));
	ASSERT_EQ(heap.base, block);
	ASSERT_EQ(0, block_alloc(&heap, 64 * KIB, &behind));
	pattern_fill(block, BLOCK_BYTES, SEED);
	ASSERT_EQ((long)(BLOCK_BYTES - 2 * self->page),
		  heap_decommit(&heap, block + self->page,
				BLOCK_BYTES - 2 * self->page));
	old = block;
	ASSERT_EQ(0, block_realloc(&heap, &block, 2 * BLOCK_BYTES, 0));
	ASSERT_NE(old, block);
	expect_punched(_metadata, self, block);
	ASSERT_EQ(0, heap_destroy(&heap));
}

/* One that stays where it is has them as they were. */
TEST_F(range, realloc_in_place)
{
	char *block = self->block;

	punch(_metadata, self);
	ASSERT_EQ((long)self->page,
		  heap_decommit(&self->heap,
				self->block + BLOCK_BYTES - self->page,
				self->page));
	ASSERT_EQ(0, block_realloc(&self->heap, &block,
				   BLOCK_BYTES - self->page / 2,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, BLOCK_BYTES,
				   PRIVHEAP_REALLOC_F_IN_PLACE |
				   PRIVHEAP_REALLOC_F_ZERO));
	EXPECT_EQ(SIGSEGV, touch_read(block + BLOCK_BYTES - 1));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 2 * self->page,
				   PRIVHEAP_REALLOC_F_IN_PLACE));
	EXPECT_EQ(SIGSEGV, touch_read(block + self->page));
	EXPECT_TRUE(holds_pattern(block, 0, self->page));
	EXPECT_EQ((long)self->page, heap_commit(&self->heap, block + self->page,
						self->page));
	EXPECT_TRUE(all_bytes(block + self->page, self->page, 0));
}

TEST_F(range, kernel_reads_gap)
{
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ((long)self->page,
		  heap_decommit(&self->heap, self->block, self->page));
	EXPECT_EQ(-1, write(pipes[1], self->block, 1));
	EXPECT_EQ(EFAULT, errno);
	close(pipes[0]);
	close(pipes[1]);
}

/* Bad input */

typedef long pages_call(const struct heap *heap, const void *start, size_t bytes);

static pages_call *const pages_calls[] = {
	heap_commit, heap_decommit, heap_prefault,
};

TEST_F(range, not_whole_pages)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pages_calls); i++) {
		EXPECT_EQ(-EINVAL, pages_calls[i](&self->heap, self->block + 1,
						  self->page));
		EXPECT_EQ(-EINVAL, pages_calls[i](&self->heap, self->block,
						  self->page - 1));
		EXPECT_EQ(-EINVAL, pages_calls[i](&self->heap, self->block,
						  SIZE_MAX));
		EXPECT_EQ(-EINVAL, pages_calls[i](&self->heap, self->block, 0));
	}
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

TEST_F(range, outside_of_heap)
{
	char *end = self->heap.base + self->heap.region_bytes, *mem;
	unsigned int i;

	mem = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	for (i = 0; i < ARRAY_SIZE(pages_calls); i++) {
		EXPECT_EQ(-ENOENT, pages_calls[i](&self->heap, mem, self->page));
		EXPECT_EQ(-ENOENT, pages_calls[i](&self->heap, NULL, self->page));
		if (variant->max_bytes) {
			EXPECT_EQ(-ENOENT, pages_calls[i](&self->heap, end,
							  self->page));
		}
		EXPECT_EQ(-ENOENT, pages_calls[i](&self->heap,
						  (void *)-self->page,
						  self->page));
	}
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

static void expect_no_such_pages(struct __test_metadata *_metadata,
				 const struct heap *heap, const char *start,
				 size_t bytes)
{
	struct privheap_stat before;

	ASSERT_EQ(0, heap_stat(heap, &before));
	EXPECT_EQ(-ENOENT, heap_commit(heap, start, bytes));
	EXPECT_EQ(-ENOENT, heap_decommit(heap, start, bytes));
	EXPECT_HEAP_STAT(&before, heap);
}

TEST_F(range, over_end_of_block)
{
	const size_t sizes[] = {
		BLOCK_BYTES + self->page, 100 * BLOCK_BYTES, (size_t)1 << 62,
		~(self->page - 1),
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		expect_no_such_pages(_metadata, &self->heap, self->block,
				     sizes[i]);
	}
	EXPECT_TRUE(holds_pattern(self->block, 0, BLOCK_BYTES));
}

TEST_F(range, of_no_block)
{
	struct heap heap, guarded;
	char *block, *slot;

	/* Pages that are free, ... */
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .initial_bytes = 64 * KIB));
	expect_no_such_pages(_metadata, &heap, heap.base, self->page);
	expect_no_such_pages(_metadata, &heap, heap.base + 128 * KIB,
			     self->page);
	/* ... have been freed, ... */
	ASSERT_EQ(0, block_alloc(&heap, 128 * KIB, &block));
	ASSERT_EQ(0, block_free(&heap, block));
	expect_no_such_pages(_metadata, &heap, block, self->page);
	/* ... are cut into slots, ... */
	ASSERT_EQ(0, block_alloc_with(&heap, 2 * self->page, self->page, 0,
				      &slot));
	expect_no_such_pages(_metadata, &heap, slot, self->page);
	/* ... or guarded, or in quarantine. */
	ASSERT_EQ(0, heap_create(&guarded, self->fd,
				 .flags = PRIVHEAP_CREATE_F_GUARD,
				 .quarantine_bytes = MIB));
	ASSERT_EQ(0, block_alloc_guarded(&guarded, 64 * KIB, 0, 0, 0, &block));
	expect_no_such_pages(_metadata, &guarded, block, self->page);
	ASSERT_EQ(0, block_free_guarded(&guarded, block, 0));
	expect_no_such_pages(_metadata, &guarded, block, self->page);
	/* Each heap has its own. */
	expect_no_such_pages(_metadata, &heap, self->block, self->page);
}

TEST_F(range, of_heap_that_is_gone)
{
	struct heap heap = self->heap, other;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&other, 64 * KIB, &block));
	ASSERT_EQ(0, munmap(other.base, other.region_bytes));
	heap.id += 1ULL << 32;
	for (i = 0; i < ARRAY_SIZE(pages_calls); i++) {
		EXPECT_EQ(-ENXIO, pages_calls[i](&heap, self->block, self->page));
		EXPECT_EQ(-EIDRM, pages_calls[i](&other, block, self->page));
	}
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

TEST_F(range, in_other_process)
{
	unsigned int i;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		for (i = 0; i < ARRAY_SIZE(pages_calls); i++) {
			if (pages_calls[i](&self->heap, self->block,
					   self->page) != -EPERM)
				_exit(1);
		}
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_TRUE(holds_pattern(self->block, 0, BLOCK_BYTES));
}

/* Prefault */

TEST_F(range, prefault_saves_faults)
{
	const size_t bytes = 700 * self->page;
	char *block;
	long faults;

	ASSERT_EQ(0, block_alloc_with(&self->heap, bytes, self->page, 0, &block));
	/* So that memset() itself is there. */
	memset(self->block, 1, bytes);
	EXPECT_EQ((long)bytes, heap_prefault(&self->heap, block, bytes));
	faults = nr_faults();
	memset(block, 1, bytes);
	EXPECT_EQ(faults, nr_faults());
	EXPECT_EQ((long)bytes, heap_prefault(&self->heap, block, bytes));
	EXPECT_TRUE(all_bytes(block, bytes, 1));
}

/* It comes as far as memory is committed, and says so. */
TEST_F(range, prefault_stops_at_gap)
{
	struct privheap_stat stat;
	char *gap = self->block + 10 * self->page;

	ASSERT_EQ((long)self->page,
		  heap_decommit(&self->heap, gap, self->page));
	EXPECT_EQ((long)(8 * self->page),
		  heap_prefault(&self->heap, self->block + 2 * self->page,
				BLOCK_BYTES));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(-ENOENT, heap_prefault(&self->heap, gap, self->page));
	EXPECT_HEAP_STAT(&stat, &self->heap);
	EXPECT_EQ(SIGSEGV, touch_read(gap));
}

/* What is committed again is prefaulted like all else. */
TEST_F(range, prefault_after_commit)
{
	long faults;

	ASSERT_EQ((long)BLOCK_BYTES,
		  heap_decommit(&self->heap, self->block, BLOCK_BYTES));
	ASSERT_EQ((long)BLOCK_BYTES,
		  heap_commit(&self->heap, self->block, BLOCK_BYTES));
	ASSERT_EQ((long)BLOCK_BYTES,
		  heap_prefault(&self->heap, self->block, BLOCK_BYTES));
	all_bytes(self->block, self->page, 0);
	faults = nr_faults();
	EXPECT_TRUE(all_bytes(self->block, BLOCK_BYTES, 0));
	EXPECT_EQ(faults, nr_faults());
}

/* Signals */

static volatile sig_atomic_t nr_signals;

static void note_signal(int sig)
{
	nr_signals++;
}

/* Does one call on all of the block. Returns true if a signal cut it short. */
static bool is_cut_short(struct __test_metadata *_metadata,
			 const struct heap *heap, char *block, size_t bytes,
			 pages_call *call)
{
	size_t done = 0;
	bool cut = false;
	long ret;

	while (done < bytes) {
		ret = call(heap, block + done, bytes - done);
		if (ret == -EINTR)
			ret = 0;
		ASSERT_LE(0, ret);
		ASSERT_EQ(0, ret % (long)page_bytes());
		done += ret;
		cut |= done < bytes;
	}
	EXPECT_EQ(bytes, done);
	return cut;
}

/*
 * However often they are cut short, calls that go on from where the last one ended
 * do all of the work. A timer sees to it that they are.
 */
TEST_F(range, signals_are_heeded)
{
	const struct itimerval fast = { { 0, 500 }, { 0, 500 } }, off = {};
	const struct sigaction action = { .sa_handler = note_signal };
	const size_t bytes = 96 * MIB;
	bool cut[ARRAY_SIZE(pages_calls)] = {};
	struct privheap_stat stat;
	struct heap heap;
	char *block;
	int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 128 * MIB,
				 .flags = variant->flags,
				 .policy = variant->policy));
	ASSERT_EQ(0, block_alloc(&heap, bytes, &block));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &fast, NULL));
	for (i = 0; i < 50 && !(cut[0] && cut[1] && cut[2]); i++) {
		cut[1] |= is_cut_short(_metadata, &heap, block, bytes,
				       heap_decommit);
		cut[0] |= is_cut_short(_metadata, &heap, block, bytes,
				       heap_commit);
		cut[2] |= is_cut_short(_metadata, &heap, block, bytes,
				       heap_prefault);
	}
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
	EXPECT_TRUE(cut[0] && cut[1] && cut[2]);
	EXPECT_LT(0, nr_signals);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
	EXPECT_TRUE(all_bytes(block, bytes, 0));
	ASSERT_EQ(0, heap_destroy(&heap));
}

TEST_HARNESS_MAIN
