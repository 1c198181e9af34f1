// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps that follow others: what the module keeps of a heap that was destroyed, and
 * that the next one has nothing else of it.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define NR_KEPT		4

FIXTURE(retire) {
	int fd;
	size_t page;
	struct heap heap;
};

FIXTURE_SETUP(retire)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB));
}

FIXTURE_TEARDOWN(retire)
{
	close(self->fd);
	EXPECT_EQ(0, maps_count("privheap"));
}

static int nr_unused(void)
{
	return maps_count("/privheap (unused)");
}

/* Blocks of all kinds, all of them written to. */
static void fill(struct __test_metadata *_metadata, const struct heap *heap)
{
	static const size_t sizes[] = { 16, 100, 5000, 20000, 300000 };
	unsigned int i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, block_alloc(heap, sizes[i], &block));
		memset(block, 0x5a, sizes[i]);
	}
}

static void expect_same_place(struct __test_metadata *_metadata,
			      FIXTURE_DATA(retire) *self, struct heap *next)
{
	ASSERT_EQ(1, nr_unused());
	ASSERT_EQ(0, heap_create(next, self->fd, .max_bytes = MIB));
	EXPECT_EQ(0, nr_unused());
	EXPECT_EQ(self->heap.base, next->base);
	EXPECT_NE(self->heap.id, next->id);
}

TEST_F(retire, memory_is_out_of_reach)
{
	size_t i;

	fill(_metadata, &self->heap);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(1, nr_unused());
	for (i = 0; i < MIB; i += self->page)
		ASSERT_EQ(SIGSEGV, touch_read(self->heap.base + i));
	EXPECT_EQ(0, mapping_rss(self->heap.base));
}

TEST_F(retire, nothing_stays_charged)
{
	struct privheap_limit limit = { .scope = PRIVHEAP_SCOPE_PROCESS };

	fill(_metadata, &self->heap);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, limit_call(self->fd, &limit));
	EXPECT_EQ(0, limit.out_usage_bytes);
}

/* Whatever the heap in its place has been through. */
TEST_F(retire, next_heap_is_as_new)
{
	struct privheap_stat expected, stat;
	struct heap other, next;
	char *block;

	ASSERT_EQ(0, heap_stat(&self->heap, &expected));
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	fill(_metadata, &self->heap);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	expect_same_place(_metadata, self, &next);
	ASSERT_EQ(0, heap_stat(&next, &stat));
	EXPECT_LT(expected.out_serial, stat.out_serial);
	expected.out_serial = stat.out_serial;
	expected.heap = stat.heap;
	EXPECT_STREQ("same", stat_diff(&expected, &stat));
	EXPECT_EQ(0, heap_check_works(&next));
	ASSERT_EQ(0, block_alloc_with(&next, MIB / 2, 0, PRIVHEAP_ALLOC_F_ZERO,
				      &block));
	EXPECT_TRUE(all_bytes(block, MIB / 2, 0));
	/* One that is as long, and not the same otherwise. */
	ASSERT_EQ(0, heap_destroy(&next));
	ASSERT_EQ(0, heap_create(&other, self->fd, .initial_bytes = MIB));
	EXPECT_EQ(next.base, other.base);
	ASSERT_EQ(0, heap_stat(&other, &stat));
	EXPECT_EQ(0, stat.out_max_bytes);
	EXPECT_EQ(MIB, stat.out_committed_bytes);
	EXPECT_EQ(0, heap_check_works(&other));
}

TEST_F(retire, stale_id_is_refused)
{
	struct privheap_stat stat;
	struct heap next;
	char *block;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(-ENXIO, block_alloc(&self->heap, 16, &block));
	expect_same_place(_metadata, self, &next);
	EXPECT_EQ(-ENXIO, block_alloc(&self->heap, 16, &block));
	EXPECT_EQ(-ENXIO, heap_stat(&self->heap, &stat));
	EXPECT_EQ(-ENXIO, heap_destroy(&self->heap));
	/* What a retired heap has in the place of an id. */
	self->heap.id = UINT64_MAX;
	EXPECT_EQ(-ENXIO, heap_destroy(&self->heap));
	self->heap.id = 0;
	EXPECT_EQ(-ENXIO, heap_destroy(&self->heap));
}

static void grow(struct __test_metadata *_metadata, const struct heap *heap)
{
	unsigned int i;
	char *block;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, block_alloc(heap, 100 * KIB, &block));
	ASSERT_EQ(0, block_alloc(heap, 4 * MIB, &block));
	EXPECT_LT(3, maps_heaps());
}

/* A heap that is made with one open file may follow one of another file's. */
TEST_F(retire, stale_id_of_other_file_is_refused)
{
	int fd = privheap_open();
	struct heap next;
	char *block;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&next, fd, .max_bytes = MIB));
	EXPECT_EQ(self->heap.base, next.base);
	EXPECT_NE(self->heap.id, next.id);
	self->heap.fd = fd;
	EXPECT_EQ(-ENXIO, block_alloc(&self->heap, 16, &block));
	EXPECT_EQ(0, heap_check_works(&next));
	close(fd);
}

/* The number of a heap's last ordinary region, as a walk tells it. */
static long last_region(const struct heap *heap)
{
	struct privheap_entry entries[256];
	int i, nr = heap_walk(heap, NULL, entries, ARRAY_SIZE(entries));
	long last = nr < 0 ? nr : 0;

	for (i = 0; i < nr; i++)
		if (entries[i].region != PRIVHEAP_ENTRY_OWN_REGION &&
		    (long)entries[i].region > last)
			last = entries[i].region;
	return last;
}

TEST_F(retire, grown_heap_keeps_its_first_region)
{
	struct heap heap, next;
	long last;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	grow(_metadata, &heap);
	last = last_region(&heap);
	EXPECT_LT(0, last);
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(1, maps_heaps());
	EXPECT_EQ(1, nr_unused());
	ASSERT_EQ(0, heap_create(&next, self->fd));
	EXPECT_EQ(heap.base, next.base);
	EXPECT_EQ(0, heap_check_works(&next));
	grow(_metadata, &next);
	EXPECT_EQ(last, last_region(&next));
}

TEST_F(retire, number_is_bounded)
{
	struct heap heaps[3 * NR_KEPT];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(heaps); i++)
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd, .max_bytes = MIB));
	for (i = 0; i < ARRAY_SIZE(heaps); i++)
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
	EXPECT_EQ(NR_KEPT, nr_unused());
}

/* However many files there are. */
TEST_F(retire, number_is_bounded_over_files)
{
	int fds[3 * NR_KEPT];
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = privheap_open();
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, heap_create(&heap, fds[i],
					 .max_bytes = MIB + i * self->page));
		ASSERT_EQ(0, heap_destroy(&heap));
	}
	EXPECT_EQ(NR_KEPT, nr_unused());
	/* The next one may be of another file. */
	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .max_bytes = MIB + (i - 1) * self->page));
	EXPECT_EQ(NR_KEPT - 1, nr_unused());
	EXPECT_EQ(0, heap_check_works(&heap));
	close(fds[0]);
	EXPECT_EQ(0, nr_unused());
	ASSERT_EQ(0, heap_destroy(&heap));
	for (i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	EXPECT_EQ(0, nr_unused());
}

TEST_F(retire, length_is_bounded)
{
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 2 * MIB));
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(1, nr_unused());
	ASSERT_EQ(0, heap_create(&heap, self->fd,
				 .max_bytes = 2 * MIB + self->page));
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(1, nr_unused());
}

/* Heaps that are unlike most leave nothing. */
TEST_F(retire, special_heap_does_not)
{
	static const struct {
		__u32 flags;
		__u32 policy;
	} heaps[] = {
		{ .flags = PRIVHEAP_CREATE_F_EXEC },
		{ .flags = PRIVHEAP_CREATE_F_GUARD },
		{ .flags = PRIVHEAP_CREATE_F_SECRET },
		{ .policy = PRIVHEAP_POLICY_HUGE },
	};
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
					 .flags = heaps[i].flags,
					 .policy = heaps[i].policy));
		ASSERT_EQ(0, heap_destroy(&heap));
		EXPECT_EQ(0, nr_unused());
	}
	/* Nor are they made of what others left. */
	ASSERT_EQ(0, heap_destroy(&self->heap));
	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
					 .flags = heaps[i].flags,
					 .policy = heaps[i].policy));
		EXPECT_EQ(1, nr_unused());
	}
}

TEST_F(retire, advice_ends_with_heap)
{
	struct heap next;

	ASSERT_EQ(0, madvise(self->heap.base, MIB, MADV_DONTDUMP));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, nr_unused());
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(1, nr_unused());
	ASSERT_EQ(0, madvise(self->heap.base, MIB, MADV_DONTDUMP));
	ASSERT_EQ(0, heap_create(&next, self->fd, .max_bytes = MIB));
	EXPECT_EQ(0, nr_unused());
	ASSERT_EQ(0, heap_destroy(&next));
	EXPECT_EQ(1, nr_unused());
}

TEST_F(retire, region_unmapped_afterwards)
{
	struct heap next;

	fill(_metadata, &self->heap);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, munmap(self->heap.base, MIB));
	EXPECT_EQ(0, nr_unused());
	ASSERT_EQ(0, heap_create(&next, self->fd, .max_bytes = MIB));
	EXPECT_EQ(0, heap_check_works(&next));
}

TEST_F(retire, address_space_is_given_back)
{
	struct rlimit limit = { .rlim_max = RLIM_INFINITY };
	struct heap heaps[NR_KEPT], next;
	size_t reserved;
	unsigned int i;

	for (i = 0; i < NR_KEPT; i++)
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd,
					 .max_bytes = 2 * MIB));
	reserved = file_number("/proc/self/statm") * self->page;
	for (i = 0; i < NR_KEPT; i++)
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
	ASSERT_EQ(NR_KEPT, nr_unused());
	limit.rlim_cur = reserved;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(0, heap_create(&next, self->fd, .max_bytes = 7 * MIB));
	EXPECT_EQ(0, nr_unused());
}

/* One thread uses heaps that another one destroys and makes again. */

struct user {
	_Atomic uint64_t id;
	_Atomic bool done;
	int fd;
	_Atomic unsigned long nr_blocks;
};

static void *use_heaps(void *data)
{
	struct user *user = data;
	struct heap heap = { .fd = user->fd };
	char *block;

	while (!user->done) {
		heap.id = user->id;
		while (!block_alloc(&heap, 16, &block))
			user->nr_blocks++;
	}
	return NULL;
}

TEST_F(retire, late_call_does_not_meet_next_heap)
{
	struct user user = { .fd = self->fd, .id = self->heap.id };
	struct privheap_stat stat;
	struct heap heap = self->heap, next;
	unsigned long nr;
	pthread_t thread;
	unsigned int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, use_heaps, &user));
	for (i = 0; i < 3000; i++) {
		/* The thread may be slow to run; sometimes it is to be in a call. */
		for (nr = user.nr_blocks; i % 64 == 0 && nr == user.nr_blocks;)
			sched_yield();
		ASSERT_EQ(0, heap_destroy(&heap));
		ASSERT_EQ(0, heap_create(&next, self->fd, .max_bytes = MIB));
		/* Its id is not known yet to the thread. */
		ASSERT_EQ(0, heap_stat(&next, &stat));
		ASSERT_EQ(0, stat.out_nr_blocks);
		user.id = next.id;
		heap = next;
	}
	user.done = true;
	pthread_join(thread, NULL);
}

/* One thread unmaps what is left of a heap while another one makes the next of it. */

struct unmapper {
	char *base;
	_Atomic unsigned int turn;
	_Atomic unsigned int done;
};

#define NR_TURNS	1000

static void *unmap_regions(void *data)
{
	struct unmapper *unmapper = data;
	unsigned int i;

	for (i = 1; i <= NR_TURNS; i++) {
		while (unmapper->turn != i)
			sched_yield();
		munmap(unmapper->base, MIB);
		unmapper->done = i;
	}
	return NULL;
}

TEST_F(retire, region_unmapped_meanwhile)
{
	struct unmapper unmapper = {};
	struct heap heap, next;
	pthread_t thread;
	unsigned int i;
	int err;

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, pthread_create(&thread, NULL, unmap_regions, &unmapper));
	for (i = 1; i <= NR_TURNS; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		ASSERT_EQ(0, heap_destroy(&heap));
		unmapper.base = heap.base;
		unmapper.turn = i;
		err = heap_create(&next, self->fd, .max_bytes = MIB);
		if (err)
			ASSERT_EQ(-ENOMEM, err);
		while (unmapper.done != i)
			sched_yield();
		if (!err)	/* it may be dead */
			ASSERT_EQ(0, heap_destroy(&next));
	}
	pthread_join(thread, NULL);
	ASSERT_EQ(0, heap_create(&next, self->fd, .max_bytes = MIB));
	EXPECT_EQ(0, heap_check_works(&next));
}

TEST_HARNESS_MAIN
