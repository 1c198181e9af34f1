// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps: what create and destroy promise, full heaps and limits, and the books
 * that stat shows of it.
 */
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(heap) {
	int fd;
	size_t page;
	struct privheap_info info;
};

FIXTURE_SETUP(heap)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	ASSERT_EQ(0, privheap_info(self->fd, &self->info));
}

FIXTURE_TEARDOWN(heap)
{
	close(self->fd);
}

/* The state of a heap without blocks that was just made. */
static struct privheap_stat new_heap_stat(const struct heap *heap,
					  const struct privheap_create *wish,
					  size_t committed_bytes)
{
	size_t page = page_bytes();

	return (struct privheap_stat){
		.size = sizeof(struct privheap_stat),
		.heap = heap->id,
		.out_create_flags = wish->flags,
		.out_base = (uintptr_t)heap->base,
		.out_max_bytes = round_up(wish->max_bytes, page),
		.out_limit_bytes = wish->limit_bytes / page * page,
		.out_reserved_bytes = heap->region_bytes,
		.out_committed_bytes = committed_bytes,
		.out_committed_peak_bytes = committed_bytes,
		.out_resident_bytes = committed_bytes,
		.out_nr_regions = 1,
		.out_policy = PRIVHEAP_POLICY_ADAPTIVE,
		.out_window_pages = 64,
	};
}

/* Create */

TEST_F(heap, create_fixed)
{
	size_t page = self->page;
	const struct {
		size_t initial_bytes;
		size_t max_bytes;
		size_t committed_bytes;
	} cases[] = {
		{ 0, 1, page },
		{ 0, page, page },
		{ 1, page + 1, page },
		{ page, MIB, page },
		{ page + 1, MIB, 2 * page },
		{ MIB, MIB, MIB },
		{ MIB + 1, MIB, MIB },
		{ MIB, page - 1, page },
		{ 0, (1UL << 30) + 1, page },
	};
	struct privheap_create wish;
	struct privheap_stat expected;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		wish = (struct privheap_create){
			.initial_bytes = cases[i].initial_bytes,
			.max_bytes = cases[i].max_bytes,
		};
		ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
		EXPECT_EQ(round_up(cases[i].max_bytes, page), heap.region_bytes);
		expected = new_heap_stat(&heap, &wish, cases[i].committed_bytes);
		EXPECT_HEAP_STAT(&expected, &heap);
	}
}

TEST_F(heap, create_growable)
{
	size_t page = self->page;
	const size_t initial[] = { 0, 1, page, page + 1, MIB, 3 * MIB + 1 };
	struct privheap_create wish;
	struct privheap_stat expected;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(initial); i++) {
		wish = (struct privheap_create){ .initial_bytes = initial[i] };
		ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
		EXPECT_LE(round_up(initial[i], page), heap.region_bytes);
		EXPECT_EQ(0, heap.region_bytes % page);
		expected = new_heap_stat(&heap, &wish,
					 initial[i] ? round_up(initial[i], page) :
						      page);
		EXPECT_HEAP_STAT(&expected, &heap);
	}
}

/* Each flag is kept, with and without the others. */
TEST_F(heap, create_flags)
{
	struct privheap_stat expected;
	struct privheap_create wish;
	struct mapping mapping;
	const struct cgroup root = { .path = "/sys/fs/cgroup" };
	int cgroup_fd = cgroup_open(&root);
	struct heap heap;
	__u32 flags;

	ASSERT_LE(0, cgroup_fd);
	for (flags = 0; flags <= PRIVHEAP_CREATE_F_ALL; flags++) {
		if (flags & ~PRIVHEAP_CREATE_F_ALL)
			continue;
		wish = (struct privheap_create){ .flags = flags };
		if (flags & PRIVHEAP_CREATE_F_CGROUP)
			wish.cgroup_fd = cgroup_fd;
		ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
		expected = new_heap_stat(&heap, &wish,
					 flags & PRIVHEAP_CREATE_F_GUARD ? 0 :
									self->page);
		EXPECT_HEAP_STAT(&expected, &heap);
		ASSERT_EQ(0, mapping_find(heap.base, &mapping));
		EXPECT_EQ((uintptr_t)heap.base, mapping.start);
		EXPECT_EQ(heap.region_bytes, mapping.end - mapping.start);
		if (flags & PRIVHEAP_CREATE_F_EXEC) {
			EXPECT_STREQ("rwxs", mapping.perms);
		} else {
			EXPECT_STREQ("rw-s", mapping.perms);
		}
	}
}

TEST_F(heap, create_aligns_base)
{
	size_t align = self->info.out_region_align_bytes;
	struct heap heap;
	unsigned int i;

	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd,
					 .max_bytes = (i + 1) * self->page));
		EXPECT_EQ(0, (uintptr_t)heap.base % align);
	}
}

TEST_F(heap, create_too_large)
{
	const __u64 sizes[] = {
		self->info.out_max_bytes + 1, (__u64)1 << 63, UINT64_MAX,
		UINT64_MAX - self->page,
	};
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
						  .max_bytes = sizes[i]));
		EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
						  .initial_bytes = sizes[i]));
		EXPECT_EQ(-EOVERFLOW, heap_create(&heap, self->fd,
						  .limit_bytes = sizes[i]));
	}
	EXPECT_EQ(0, maps_heaps());
}

/* As large as can be asked for, but this program lies in the way. */
TEST_F(heap, create_largest)
{
	struct heap heap;

	EXPECT_EQ(-ENOMEM, heap_create(&heap, self->fd,
				       .max_bytes = self->info.out_max_bytes));
	EXPECT_EQ(0, maps_heaps());
	EXPECT_EQ(0, heap_create(&heap, self->fd,
				 .limit_bytes = self->info.out_max_bytes));
}

TEST_F(heap, create_limit_below_initial)
{
	size_t page = self->page;
	const struct {
		size_t initial_bytes;
		size_t limit_bytes;
	} cases[] = {
		{ 0, 1 },
		{ 1, page - 1 },
		{ page + 1, page },
		{ 2 * page, 2 * page - 1 },
		{ MIB, MIB - 1 },
	};
	struct heap heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-EDQUOT,
			  heap_create(&heap, self->fd,
				      .initial_bytes = cases[i].initial_bytes,
				      .limit_bytes = cases[i].limit_bytes));
		EXPECT_EQ(-EDQUOT,
			  heap_create(&heap, self->fd, .max_bytes = 2 * MIB,
				      .initial_bytes = cases[i].initial_bytes,
				      .limit_bytes = cases[i].limit_bytes));
		EXPECT_EQ(0, maps_heaps());
	}
}

TEST_F(heap, create_limit_just_enough)
{
	size_t page = self->page;
	struct privheap_create wish = {
		.initial_bytes = page + 1,
		.limit_bytes = 3 * page - 1,
	};
	struct privheap_stat expected;
	struct heap heap;

	ASSERT_EQ(0, heap_create_from(&heap, self->fd, &wish));
	expected = new_heap_stat(&heap, &wish, 2 * page);
	EXPECT_EQ(2 * page, expected.out_limit_bytes);
	EXPECT_HEAP_STAT(&expected, &heap);
}

static void limit_address_space(struct __test_metadata *_metadata, size_t more)
{
	unsigned long pages;
	struct rlimit limit;

	ASSERT_LT(0, file_read("/proc/self/statm", proc_text, 64));
	pages = strtoul(proc_text, NULL, 10);
	limit.rlim_cur = limit.rlim_max = pages * page_bytes() + more;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
}

TEST_F(heap, create_no_address_space)
{
	struct heap heap;

	limit_address_space(_metadata, MIB);
	EXPECT_EQ(-ENOMEM, heap_create(&heap, self->fd, .max_bytes = 2 * MIB));
	EXPECT_EQ(-ENOMEM, heap_create(&heap, self->fd,
				       .initial_bytes = 2 * MIB));
	EXPECT_EQ(0, maps_heaps());
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	EXPECT_EQ(0, heap_check_works(&heap));
}

TEST_F(heap, grow_no_address_space)
{
	struct privheap_stat before;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .initial_bytes = 64 * KIB));
	limit_address_space(_metadata, MIB);
	ASSERT_EQ(0, heap_stat(&heap, &before));
	EXPECT_EQ(-ENOMEM, block_alloc(&heap, 2 * MIB, &block));
	EXPECT_EQ(-ENOMEM, block_alloc(&heap, 8 * MIB, &block));
	EXPECT_HEAP_STAT(&before, &heap);
	EXPECT_EQ(1, maps_heaps());
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* Full heaps and limits */

/* No byte of a fixed heap goes to waste on the heap's own needs. */
TEST_F(heap, fixed_heap_holds_its_maximum)
{
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB));
	EXPECT_EQ(-ENOSPC, block_alloc(&heap, 4 * MIB + 1, &block));
	ASSERT_EQ(0, block_alloc(&heap, 4 * MIB, &block));
	EXPECT_EQ(heap.base, block);
	memset(block, 1, 4 * MIB);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(4 * MIB, stat.out_committed_bytes);
	EXPECT_EQ(4 * MIB, stat.out_resident_bytes);
	EXPECT_EQ(-ENOSPC, block_alloc(&heap, 0, &block));
}

TEST_F(heap, alloc_heap_full)
{
	const size_t sizes[] = { 64, 1024, 16384, 64 * KIB };
	struct privheap_stat before, after;
	struct heap heap;
	char *block, *other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		ASSERT_EQ(-ENOSPC, heap_fill(&heap, sizes[i], &block));
		ASSERT_EQ(0, heap_stat(&heap, &before));
		EXPECT_EQ(MIB / sizes[i], before.out_nr_blocks);
		EXPECT_EQ(MIB, before.out_committed_bytes);
		EXPECT_EQ(-ENOSPC, block_alloc(&heap, sizes[i], &other));
		EXPECT_EQ(-ENOSPC, block_alloc(&heap, 2 * MIB, &other));
		EXPECT_HEAP_STAT(&before, &heap);

		ASSERT_EQ(0, block_free(&heap, block));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &other));
		memset(other, 1, sizes[i]);
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_EQ(before.out_nr_blocks, after.out_nr_blocks);
		EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
		EXPECT_EQ(0, after.out_nr_limit_failures);
	}
}

TEST_F(heap, alloc_over_limit)
{
	const size_t sizes[] = { 64, 1024, 16384, 64 * KIB, 2 * MIB };
	struct privheap_stat before, after;
	struct heap heap;
	char *block, *other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd,
					 .limit_bytes = 4 * MIB + 1));
		ASSERT_EQ(-EDQUOT, heap_fill(&heap, sizes[i], &block));
		ASSERT_EQ(0, heap_stat(&heap, &before));
		EXPECT_LE(1, before.out_nr_limit_failures);
		EXPECT_GE(4 * MIB, before.out_committed_peak_bytes);
		EXPECT_LE(before.out_committed_bytes,
			  before.out_committed_peak_bytes);

		EXPECT_EQ(-EDQUOT, block_alloc(&heap, sizes[i], &other));
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_LT(before.out_nr_limit_failures,
			  after.out_nr_limit_failures);
		before.out_nr_limit_failures = after.out_nr_limit_failures;
		EXPECT_STREQ("same", stat_diff(&before, &after));

		ASSERT_EQ(0, block_free(&heap, block));
		ASSERT_EQ(0, block_alloc(&heap, sizes[i], &other));
		memset(other, 1, sizes[i]);
		ASSERT_EQ(0, heap_stat(&heap, &after));
		EXPECT_EQ(before.out_nr_blocks, after.out_nr_blocks);
		EXPECT_EQ(before.out_committed_bytes, after.out_committed_bytes);
	}
}

/* One refused call is one failure. */
TEST_F(heap, limit_failures_counted)
{
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
				 .limit_bytes = MIB));
	for (i = 1; i <= 5; i++) {
		EXPECT_EQ(-EDQUOT, block_alloc(&heap, 2 * MIB, &block));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(i, stat.out_nr_limit_failures);
	}
}

/* The limit can be used to the last page, small blocks or large. */
TEST_F(heap, limit_is_exact)
{
	const size_t sizes[] = { 1024, 64 * KIB };
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;
	char *block;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
					 .limit_bytes = MIB));
		ASSERT_EQ(-EDQUOT, heap_fill(&heap, sizes[i], &block));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(MIB, stat.out_committed_bytes);
		EXPECT_EQ(MIB, stat.out_committed_peak_bytes);
		EXPECT_EQ(MIB / sizes[i], stat.out_nr_blocks);
	}
}

#define USER_BLOCK_BYTES	(32 * MIB)

/* A process whose real user is @uid makes a heap and asks for a large block. */
static int process_alloc_as(uid_t uid, size_t bytes)
{
	pid_t pid = fork();
	struct heap heap;
	char *block;

	if (pid)
		return child_wait(pid);
	if (setresuid(uid, 0, 0) || heap_create(&heap, privheap_open()))
		_exit(1);
	_exit(-block_alloc(&heap, bytes, &block));
}

/* As somebody else than root, who alone has no limit of his own. */
static void child_reaches_user_limit(struct __test_metadata *_metadata)
{
	struct heap heap, second;
	struct privheap_stat stat;
	struct sysinfo machine;
	size_t limit;
	char *block;

	ASSERT_EQ(0, sysinfo(&machine));
	limit = machine.totalram * machine.mem_unit / 100 *
		file_number("/sys/module/privheap/parameters/user_limit_percent");
	ASSERT_EQ(0, setresuid(65534, 0, 0));
	ASSERT_EQ(0, heap_create(&heap, privheap_open()));
	EXPECT_EQ(-EDQUOT, heap_fill(&heap, USER_BLOCK_BYTES, &block));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(0, stat.out_nr_limit_failures);
	EXPECT_GE(limit + MIB, stat.out_committed_bytes);
	EXPECT_LE(limit - USER_BLOCK_BYTES - MIB, stat.out_committed_bytes);

	/* All files and processes of a user share his limit, ... */
	ASSERT_EQ(0, heap_create(&second, privheap_open()));
	EXPECT_EQ(-EDQUOT, block_alloc(&second, USER_BLOCK_BYTES, &block));
	EXPECT_EQ(EDQUOT, process_alloc_as(65534, USER_BLOCK_BYTES));
	/* ... but nobody else does. */
	EXPECT_EQ(0, process_alloc_as(0, USER_BLOCK_BYTES));

	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(0, block_alloc(&second, USER_BLOCK_BYTES, &block));
}

TEST_F(heap, user_limit)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		child_reaches_user_limit(_metadata);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

TEST_F(heap, growable_heap_adds_regions)
{
	enum { NR = 200 };
	struct privheap_stat stat = { 0 }, old;
	char *blocks[NR];
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	for (i = 0; i < NR; i++) {
		old = stat;
		ASSERT_EQ(0, block_alloc(&heap, 64 * KIB, &blocks[i]));
		pattern_fill(blocks[i], 64 * KIB, i);
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(old.out_nr_regions == stat.out_nr_regions,
			  old.out_reserved_bytes == stat.out_reserved_bytes);
		EXPECT_LE(stat.out_committed_bytes, stat.out_reserved_bytes);
	}
	EXPECT_LT(1, stat.out_nr_regions);
	EXPECT_EQ((int)stat.out_nr_regions, maps_heaps());
	for (i = 0; i < NR; i++) {
		EXPECT_TRUE(pattern_check(blocks[i], 64 * KIB, i));
		ASSERT_EQ(0, block_free(&heap, blocks[i]));
	}
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(self->page, stat.out_committed_bytes);
	EXPECT_EQ(self->page, stat.out_resident_bytes);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(0, stat.out_nr_blocks);
}

/* Destroy */

TEST_F(heap, destroy_unmaps_all)
{
	char *small, *pages, *region;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 64, &small));
	ASSERT_EQ(0, block_alloc(&heap, 300 * KIB, &pages));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &region));
	memset(small, 1, 64);
	memset(pages, 1, 300 * KIB);
	memset(region, 1, 3 * MIB);
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(0, maps_heaps());
	EXPECT_EQ(SIGSEGV, touch_read(small));
	EXPECT_EQ(SIGSEGV, touch_read(pages));
	EXPECT_EQ(SIGSEGV, touch_read(region));
}

static void expect_no_heap(struct __test_metadata *_metadata,
			   const struct heap *heap, char *block)
{
	struct privheap_stat stat;
	struct privheap_entry entry;
	char *other = block;
	size_t largest;

	EXPECT_EQ(-ENXIO, heap_stat(heap, &stat));
	EXPECT_EQ(-ENXIO, block_alloc(heap, 64, &other));
	EXPECT_EQ(-ENXIO, block_realloc(heap, &other, 128, 0));
	EXPECT_EQ(-ENXIO, block_size(heap, block));
	EXPECT_EQ(-ENXIO, block_free(heap, block));
	EXPECT_EQ(-ENXIO, heap_walk(heap, NULL, &entry, 1));
	EXPECT_EQ(-ENXIO, heap_compact(heap, &largest));
	EXPECT_EQ(-ENXIO, heap_destroy(heap));
}

/* The id of a heap that is gone stays wrong when its place is taken again. */
TEST_F(heap, stale_id)
{
	struct heap old, heaps[50];
	struct privheap_stat before;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&old, self->fd));
	ASSERT_EQ(0, block_alloc(&old, 64, &block));
	ASSERT_EQ(0, heap_destroy(&old));
	expect_no_heap(_metadata, &old, block);
	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd));
		EXPECT_NE(0, heaps[i].id);
		EXPECT_NE(old.id, heaps[i].id);
		ASSERT_EQ(0, heap_stat(&heaps[i], &before));
		expect_no_heap(_metadata, &old, block);
		EXPECT_HEAP_STAT(&before, &heaps[i]);
	}
	/* One place, used again and again. */
	for (i = 1; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, heap_destroy(&heaps[0]));
		old = heaps[0];
		ASSERT_EQ(0, heap_create(&heaps[0], self->fd));
		EXPECT_NE(old.id, heaps[0].id);
		expect_no_heap(_metadata, &old, block);
	}
}

/* A heap belongs to the open file that made it. */
TEST_F(heap, other_open_file)
{
	int other_fd = privheap_open();
	struct heap heap, foreign;
	struct privheap_stat before;
	char *block;

	ASSERT_LE(0, other_fd);
	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 64, &block));
	ASSERT_EQ(0, heap_stat(&heap, &before));
	foreign = heap;
	foreign.fd = other_fd;
	expect_no_heap(_metadata, &foreign, block);
	EXPECT_HEAP_STAT(&before, &heap);
	close(other_fd);
	EXPECT_HEAP_STAT(&before, &heap);
}

TEST_F_TIMEOUT(heap, many_heaps, 120)
{
	enum { NR = 1000 };
	static struct heap heaps[NR];
	static char *blocks[NR];
	unsigned int i;

	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd));
		ASSERT_EQ(0, block_alloc(&heaps[i], 100 + i, &blocks[i]));
		pattern_fill(blocks[i], 100 + i, i);
		if (i) {
			EXPECT_NE(heaps[i - 1].id, heaps[i].id);
		}
	}
	EXPECT_EQ(NR, maps_heaps());
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(100 + i, block_size(&heaps[i], blocks[i]));
		EXPECT_TRUE(pattern_check(blocks[i], 100 + i, i));
		EXPECT_EQ(-ENOENT, block_size(&heaps[(i + 1) % NR], blocks[i]));
	}
	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
	}
	EXPECT_EQ(0, maps_heaps());
}

/* What the kernel keeps for a block of 64 bytes is at most 4 bytes. */
TEST_F_TIMEOUT(heap, metadata_is_small, 300)
{
	const unsigned long nr_blocks = scaled(500000);
	/* The kernel takes charges of pages from the cgroup in advance. */
	const long slack = 512 * KIB;
	struct cgroup cgroup;
	unsigned long i;
	struct heap heap;
	long before;
	char *block;
	pid_t pid;

	ASSERT_EQ(0, cgroup_create(&cgroup));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, cgroup_enter(&cgroup));
		ASSERT_EQ(0, heap_create(&heap, privheap_open()));
		before = cgroup_bytes(&cgroup);
		ASSERT_LE(0, before);
		for (i = 0; i < nr_blocks; i++) {
			ASSERT_EQ(0, block_alloc(&heap, 64, &block));
		}
		EXPECT_GE(4 * (long)nr_blocks + slack,
			  cgroup_bytes(&cgroup) - before);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

TEST_HARNESS_MAIN
