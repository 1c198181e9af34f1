// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies: which pages become resident, and when, as the state of the heap and
 * the kernel's page map tell; and what is refused.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define LONGEST_WINDOW	64

FIXTURE(policy) {
	int fd;
	size_t page;
	int pagemap;
	struct heap heap;
	/* A block that nobody has touched. */
	char *block;
	size_t nr_pages;
	/* Resident before that. */
	size_t initial;
};

FIXTURE_SETUP(policy)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->pagemap);
	self->page = page_bytes();
	self->nr_pages = 1024;
}

FIXTURE_TEARDOWN(policy)
{
	close(self->pagemap);
	close(self->fd);
}

static size_t resident_pages(const struct heap *heap)
{
	struct privheap_stat stat;

	if (heap_stat(heap, &stat))
		return SIZE_MAX;
	return stat.out_resident_bytes / page_bytes();
}

/* Makes the heap, and in it the block, which starts at a multiple of windows. */
static void make_block(struct __test_metadata *_metadata,
		       FIXTURE_DATA(policy) *self, __u32 policy, __u32 window)
{
	char *first;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 32 * MIB,
				 .policy = policy, .window_pages = window));
	/* The next block of whole pages starts behind this one. */
	ASSERT_EQ(0, block_alloc(&self->heap, LONGEST_WINDOW * self->page,
				 &first));
	ASSERT_EQ(self->heap.base, first);
	ASSERT_EQ(0, block_alloc(&self->heap, self->nr_pages * self->page,
				 &self->block));
	ASSERT_EQ(first + LONGEST_WINDOW * self->page, self->block);
	self->initial = resident_pages(&self->heap);
}

/* How many pages became resident in the heap since it was made. */
static size_t new_pages(FIXTURE_DATA(policy) *self)
{
	return resident_pages(&self->heap) - self->initial;
}

/* How many of these pages of the block the page table points to. */
static size_t mapped_pages(FIXTURE_DATA(policy) *self, size_t first, size_t nr)
{
	uintptr_t start = (uintptr_t)self->block / self->page + first;
	uint64_t entry;
	size_t i, mapped = 0;

	for (i = 0; i < nr; i++) {
		if (pread(self->pagemap, &entry, sizeof(entry),
			  (start + i) * sizeof(entry)) != sizeof(entry))
			return SIZE_MAX;
		mapped += entry >> 63;
	}
	return mapped;
}

static void write_page(FIXTURE_DATA(policy) *self, size_t n)
{
	self->block[n * self->page] = 1;
}

/* All that became resident is mapped, and lies in these pages of the block. */
static void expect_resident(struct __test_metadata *_metadata,
			    FIXTURE_DATA(policy) *self, size_t first, size_t nr)
{
	EXPECT_EQ(nr, new_pages(self));
	EXPECT_EQ(nr, mapped_pages(self, first, nr));
	EXPECT_EQ(nr, mapped_pages(self, 0, self->nr_pages));
}

/* What each policy does */

TEST_F(policy, page_is_what_is_touched)
{
	static const size_t order[] = { 0, 1, 2, 3, 700, 65, 64, 1023, 3 };
	size_t i;

	make_block(_metadata, self, PRIVHEAP_POLICY_PAGE, 0);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		write_page(self, order[i]);
		EXPECT_EQ(1, mapped_pages(self, order[i], 1));
	}
	EXPECT_EQ(ARRAY_SIZE(order) - 1, new_pages(self));
	EXPECT_EQ(ARRAY_SIZE(order) - 1, mapped_pages(self, 0, self->nr_pages));
}

TEST_F(policy, window_is_aligned)
{
	__u32 window;

	for (window = 1; window <= LONGEST_WINDOW; window *= 2) {
		make_block(_metadata, self, PRIVHEAP_POLICY_WINDOW, window);
		write_page(self, 512 + LONGEST_WINDOW - 1);
		expect_resident(_metadata, self, 512 + LONGEST_WINDOW - window,
				window);
		/* No other fault serves these. */
		write_page(self, 512 + LONGEST_WINDOW - window);
		EXPECT_EQ(window, new_pages(self));
		ASSERT_EQ(0, heap_destroy(&self->heap));
	}
}

/* A window stops where memory is not committed, on either side. */
TEST_F(policy, window_leaves_reserved_pages)
{
	char *blocks[3];
	unsigned int i;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB,
				 .policy = PRIVHEAP_POLICY_WINDOW,
				 .window_pages = LONGEST_WINDOW));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, block_alloc(&self->heap, 5 * self->page,
					 &blocks[i]));
	}
	ASSERT_EQ(0, block_free(&self->heap, blocks[0]));
	ASSERT_EQ(0, block_free(&self->heap, blocks[2]));
	self->initial = resident_pages(&self->heap);
	self->block = blocks[0];
	self->nr_pages = 15;
	blocks[1][2 * self->page] = 1;
	EXPECT_EQ(5, new_pages(self));
	EXPECT_EQ(5, mapped_pages(self, 5, 5));
	EXPECT_EQ(5, mapped_pages(self, 1, self->nr_pages - 1));
	EXPECT_EQ(SIGSEGV, touch_write(blocks[1] - 1));
	EXPECT_EQ(SIGSEGV, touch_write(blocks[2]));
	EXPECT_EQ(5, new_pages(self));
}

/* What is resident already stays what it is. */
TEST_F(policy, window_keeps_what_is_there)
{
	size_t i;

	make_block(_metadata, self, PRIVHEAP_POLICY_PAGE, 0);
	for (i = 1; i < 64; i += 3) {
		pattern_fill(self->block + i * self->page, self->page, i);
	}
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_WINDOW, 64));
	write_page(self, 0);
	expect_resident(_metadata, self, 0, 64);
	for (i = 1; i < 64; i += 3) {
		EXPECT_TRUE(pattern_check(self->block + i * self->page,
					  self->page, i));
	}
}

/* One page, then as many again as there are in front, up to the window. */
TEST_F(policy, adaptive_grows_on_sequence)
{
	size_t resident = 0, window = 1, faults = 0;

	make_block(_metadata, self, PRIVHEAP_POLICY_ADAPTIVE, 32);
	write_page(self, 512);
	EXPECT_EQ(1, new_pages(self));
	for (resident = 1; 512 + resident + 32 <= self->nr_pages;
	     resident += window) {
		window = resident < 32 ? resident : 32;
		write_page(self, 512 + resident);
		expect_resident(_metadata, self, 512, resident + window);
		faults++;
	}
	EXPECT_EQ(32, window);
	EXPECT_GE(25, faults);
}

/* The sequence goes on where the module's bookkeeping has a border. */
TEST_F(policy, adaptive_crosses_borders)
{
	size_t n, before;

	make_block(_metadata, self, PRIVHEAP_POLICY_ADAPTIVE, 64);
	memset(self->heap.base, 1, LONGEST_WINDOW * self->page);
	for (n = 0; n < 512 - LONGEST_WINDOW; n++) {
		write_page(self, n);
	}
	before = resident_pages(&self->heap);
	EXPECT_EQ(512, before);
	write_page(self, 512 - LONGEST_WINDOW);
	EXPECT_EQ(64, resident_pages(&self->heap) - before);
}

/* One page in a hundred, at random: little more than these become resident. */
TEST_F(policy, adaptive_is_one_page_at_random)
{
	const size_t nr = 16384, nr_touched = nr / 100;
	size_t i, distinct = 0;
	uint32_t random = 1;
	char *block;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 80 * MIB,
				 .policy = PRIVHEAP_POLICY_ADAPTIVE));
	ASSERT_EQ(0, block_alloc(&self->heap, nr * self->page, &block));
	self->initial = resident_pages(&self->heap);
	self->block = block;
	for (i = 0; i < nr_touched; i++) {
		random = random * 1664525 + 1013904223;
		/* A page that a window brought in was touched, too. */
		block[(random >> 8) % nr * self->page]++;
	}
	for (i = 0; i < nr; i++) {
		if (mapped_pages(self, i, 1))
			distinct += block[i * self->page] != 0;
	}
	EXPECT_LE(nr_touched * 9 / 10, distinct);
	EXPECT_GE(distinct + distinct / 10, new_pages(self));
}

TEST_F(policy, populate_is_resident_at_commit)
{
	struct privheap_stat stat;
	char *block;

	make_block(_metadata, self, PRIVHEAP_POLICY_POPULATE, 0);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
	EXPECT_EQ((LONGEST_WINDOW + self->nr_pages) * self->page,
		  stat.out_resident_bytes);
	memset(self->block, 1, self->nr_pages * self->page);
	EXPECT_HEAP_STAT(&stat, &self->heap);
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
}

/* Choosing one */

TEST_F(policy, default_is_adaptive)
{
	struct privheap_stat stat;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(PRIVHEAP_POLICY_ADAPTIVE, stat.out_policy);
	EXPECT_EQ(LONGEST_WINDOW, stat.out_window_pages);
}

static const struct {
	__u32 policy;
	__u32 window;
	__u32 seen_window;
} choices[] = {
	{ PRIVHEAP_POLICY_PAGE, 0, 1 },
	{ PRIVHEAP_POLICY_PAGE, 1, 1 },
	{ PRIVHEAP_POLICY_WINDOW, 0, 16 },
	{ PRIVHEAP_POLICY_WINDOW, 64, 64 },
	{ PRIVHEAP_POLICY_ADAPTIVE, 0, 64 },
	{ PRIVHEAP_POLICY_ADAPTIVE, 8, 8 },
	{ PRIVHEAP_POLICY_POPULATE, 0, 64 },
	{ PRIVHEAP_POLICY_POPULATE, 4, 4 },
	{ PRIVHEAP_POLICY_HUGE, 0, 64 },
	{ PRIVHEAP_POLICY_HUGE, 32, 32 },
};

TEST_F(policy, chosen_at_create)
{
	struct privheap_stat stat;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(choices); i++) {
		ASSERT_EQ(0, heap_create(&self->heap, self->fd,
					 .policy = choices[i].policy,
					 .window_pages = choices[i].window));
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		EXPECT_EQ(choices[i].policy, stat.out_policy);
		EXPECT_EQ(choices[i].seen_window, stat.out_window_pages);
		EXPECT_EQ(0, heap_check_works(&self->heap));
	}
}

/* A change holds from then on and leaves all else as it is. */
TEST_F(policy, changed_while_running)
{
	struct privheap_stat stat;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	for (i = 0; i < ARRAY_SIZE(choices); i++) {
		ASSERT_EQ(0, heap_policy(&self->heap, choices[i].policy,
					 choices[i].window));
		stat.out_policy = choices[i].policy;
		stat.out_window_pages = choices[i].seen_window;
		EXPECT_HEAP_STAT(&stat, &self->heap);
	}
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_DEFAULT, 0));
	stat.out_policy = PRIVHEAP_POLICY_ADAPTIVE;
	stat.out_window_pages = 64;
	EXPECT_HEAP_STAT(&stat, &self->heap);
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(policy, change_holds_for_next_touch)
{
	make_block(_metadata, self, PRIVHEAP_POLICY_PAGE, 0);
	write_page(self, 0);
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_WINDOW, 8));
	EXPECT_EQ(1, new_pages(self));
	write_page(self, 17);
	EXPECT_EQ(8, mapped_pages(self, 16, 8));
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	write_page(self, 100);
	EXPECT_EQ(1 + 8 + 1, new_pages(self));
}

static const struct {
	__u32 policy;
	__u32 window;
	int err;
} bad_choices[] = {
	{ PRIVHEAP_POLICY_HUGE + 1, 0, -EOPNOTSUPP },
	{ ~0U, 0, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_PAGE, 2, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_WINDOW, 3, -EINVAL },
	{ PRIVHEAP_POLICY_WINDOW, 63, -EINVAL },
	{ PRIVHEAP_POLICY_WINDOW, 128, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_WINDOW, 1U << 31, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_ADAPTIVE, ~0U, -EINVAL },
	{ PRIVHEAP_POLICY_ADAPTIVE, 128, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_POPULATE, 128, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_HUGE, 512, -EOPNOTSUPP },
	{ PRIVHEAP_POLICY_HUGE, 24, -EINVAL },
	{ PRIVHEAP_POLICY_DEFAULT, 7, -EINVAL },
	{ PRIVHEAP_POLICY_DEFAULT, 128, -EOPNOTSUPP },
};

TEST_F(policy, bad_choice_is_refused)
{
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;
	int nr_maps;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .policy = PRIVHEAP_POLICY_WINDOW,
				 .window_pages = 4));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	nr_maps = maps_heaps();
	for (i = 0; i < ARRAY_SIZE(bad_choices); i++) {
		EXPECT_EQ(bad_choices[i].err,
			  heap_policy(&self->heap, bad_choices[i].policy,
				      bad_choices[i].window)) {
			TH_LOG("policy %u, window %u", bad_choices[i].policy,
			       bad_choices[i].window);
		}
		EXPECT_EQ(bad_choices[i].err,
			  heap_create(&heap, self->fd,
				      .policy = bad_choices[i].policy,
				      .window_pages = bad_choices[i].window));
		EXPECT_HEAP_STAT(&stat, &self->heap);
	}
	EXPECT_EQ(nr_maps, maps_heaps());
	heap = self->heap;
	heap.id++;
	EXPECT_EQ(-ENXIO, heap_policy(&heap, PRIVHEAP_POLICY_PAGE, 0));
	EXPECT_HEAP_STAT(&stat, &self->heap);
}

/* Under load */

struct toucher {
	pthread_t thread;
	pthread_barrier_t *start;
	FIXTURE_DATA(policy) *data;
	size_t offset;
};

/* Each thread writes to a byte of its own in each page. */
static void *touch_in_step(void *arg)
{
	struct toucher *toucher = arg;
	FIXTURE_DATA(policy) *data = toucher->data;
	size_t n;

	for (n = 0; n < data->nr_pages; n += LONGEST_WINDOW / 2) {
		pthread_barrier_wait(toucher->start);
		data->block[n * data->page + toucher->offset] = 1;
	}
	return NULL;
}

/* Two threads in a window get the same pages, and none is lost. */
static void expect_threads_share(struct __test_metadata *_metadata,
				 FIXTURE_DATA(policy) *self, __u32 policy)
{
	struct toucher touchers[2];
	struct privheap_stat stat;
	pthread_barrier_t start;
	size_t i, n, mapped;

	make_block(_metadata, self, policy, 0);
	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, 2));
	for (i = 0; i < 2; i++) {
		touchers[i] = (struct toucher){
			.start = &start, .data = self, .offset = i + 1,
		};
		ASSERT_EQ(0, pthread_create(&touchers[i].thread, NULL,
					    touch_in_step, &touchers[i]));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(touchers[i].thread, NULL));
	}
	for (n = 0; n < self->nr_pages; n += LONGEST_WINDOW / 2) {
		EXPECT_EQ(1, self->block[n * self->page + 1]);
		EXPECT_EQ(1, self->block[n * self->page + 2]);
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	/* Where what is resident is not mapped at once. */
	mapped = mapped_pages(self, 0, self->nr_pages);
	if (policy == PRIVHEAP_POLICY_POPULATE) {
		EXPECT_EQ(self->nr_pages, mapped);
	} else if (policy == PRIVHEAP_POLICY_HUGE) {
		EXPECT_GE(new_pages(self), mapped);
	} else {
		EXPECT_EQ(new_pages(self), mapped);
	}
	EXPECT_LE(stat.out_resident_bytes, stat.out_committed_bytes);
	ASSERT_EQ(0, heap_destroy(&self->heap));
}

static void child_threads_share(struct __test_metadata *_metadata,
				FIXTURE_DATA(policy) *self,
				const struct cgroup *cgroup)
{
	long before;
	__u32 policy;
	unsigned int round;

	ASSERT_EQ(0, cgroup_enter(cgroup));
	close(self->fd);
	close(self->pagemap);
	self->fd = privheap_open();
	self->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	expect_threads_share(_metadata, self, PRIVHEAP_POLICY_PAGE);
	before = heap_bytes_left(cgroup, self->fd);
	for (round = 0; round < scaled(10); round++) {
		for (policy = PRIVHEAP_POLICY_PAGE;
		     policy <= PRIVHEAP_POLICY_HUGE; policy++) {
			expect_threads_share(_metadata, self, policy);
		}
	}
	/* Of up to 50 blocks of 4 MiB nothing is left. */
	EXPECT_TRUE(eventually(heap_bytes_left(cgroup, self->fd) <
			       before + 2 * (long)MIB));
}

TEST_F_TIMEOUT(policy, two_threads_in_a_window, 120)
{
	struct cgroup cgroup;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_threads_share(_metadata, self, &cgroup);
		_exit(_metadata->exit_code != KSFT_PASS);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_EQ(0, cgroup_destroy(&cgroup));
}

/*
 * The last window that the cgroup has room for is a short one, and nobody is
 * killed for what was not asked for. Page tables are there before, and the limit
 * is lifted without opening a file: either would need memory of the cgroup.
 */
static void child_touches_at_limit(struct __test_metadata *_metadata,
				   FIXTURE_DATA(policy) *self,
				   const struct cgroup *cgroup)
{
	size_t n, before, got = LONGEST_WINDOW;
	char text[128];
	int max;

	ASSERT_EQ(0, cgroup_enter(cgroup));
	close(self->fd);
	self->fd = privheap_open();
	snprintf(text, sizeof(text), "%s/memory.max", cgroup->path);
	max = open(text, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, max);
	make_block(_metadata, self, PRIVHEAP_POLICY_PAGE, 0);
	for (n = 0; n < self->nr_pages; n += 2 * LONGEST_WINDOW) {
		write_page(self, n);
	}
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_WINDOW,
				 LONGEST_WINDOW));
	snprintf(text, sizeof(text), "%ld", cgroup_bytes(cgroup) +
		 (long)(5 * LONGEST_WINDOW / 2 * self->page));
	ASSERT_LT(0, write(max, text, strlen(text)));
	for (n = LONGEST_WINDOW; n < self->nr_pages && got == LONGEST_WINDOW;
	     n += 2 * LONGEST_WINDOW) {
		before = new_pages(self);
		write_page(self, n);
		got = new_pages(self) - before;
	}
	ASSERT_EQ(3, write(max, "max", 3));
	EXPECT_LE(1, got);
	EXPECT_GT(LONGEST_WINDOW, got);
	EXPECT_EQ(0, cgroup_events(cgroup, "oom_kill"));
	ASSERT_EQ(0, heap_destroy(&self->heap));
}

TEST_F(policy, window_shrinks_at_cgroup_limit)
{
	struct cgroup cgroup;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_touches_at_limit(_metadata, self, &cgroup);
		_exit(_metadata->exit_code != KSFT_PASS);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_EQ(0, cgroup_destroy(&cgroup));
}

TEST_HARNESS_MAIN
