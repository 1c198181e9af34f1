// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps and memory cgroups: a backed heap that gets NULL where malloc is killed,
 * and heaps that are charged to another cgroup than their program.
 */
#include <sched.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define BLOCK_BYTES	(64 * KIB)
#define MAX_BYTES	(24 * MIB)
#define MAX_TEXT	"24M"
#define CGROUP		PRIVHEAP_CREATE_F_CGROUP
#define BACKED		PRIVHEAP_CREATE_F_BACKED

#define NR_TENANTS	3

FIXTURE(cgroup) {
	int fd;
	struct cgroup tenants[NR_TENANTS];
	int tenant_fds[NR_TENANTS];
};

FIXTURE_SETUP(cgroup)
{
	char name[8];
	int i;

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	for (i = 0; i < NR_TENANTS; i++) {
		snprintf(name, sizeof(name), "-%d", i);
		ASSERT_EQ(0, cgroup_create_named(&self->tenants[i], name));
		self->tenant_fds[i] = cgroup_open(&self->tenants[i]);
		ASSERT_LE(0, self->tenant_fds[i]);
	}
}

FIXTURE_TEARDOWN(cgroup)
{
	int i;

	close(self->fd);
	for (i = 0; i < NR_TENANTS; i++) {
		close(self->tenant_fds[i]);
		if (!access(self->tenants[i].path, F_OK))
			EXPECT_TRUE(eventually(!cgroup_destroy(&self->tenants[i])));
	}
}

/* Makes the heap of tenant @i. */
#define tenant_heap(heap, i, ...) \
	heap_create(heap, self->fd, .cgroup_fd = self->tenant_fds[i], \
		    __VA_ARGS__)

/*
 * After the last heap of a tenant its cgroup is charged for nothing but what the
 * kernel rounds up: it charges small objects by byte and keeps the rest of a page
 * for the next one.
 */
#define ROUNDING_BYTES	(4 * page_bytes())
#define EXPECT_NOTHING_CHARGED(i) \
	EXPECT_TRUE(eventually(cgroup_bytes_exact(&self->tenants[i]) <= \
			       ROUNDING_BYTES)) { \
		TH_LOG("tenant %d is charged for %ld bytes", i, \
		       cgroup_bytes_exact(&self->tenants[i])); \
	}

TEST_F(cgroup, pages_are_charged_to_tenant)
{
	const size_t bytes = 8 * MIB;
	struct heap heap;
	char *block;

	EXPECT_NOTHING_CHARGED(0);
	ASSERT_EQ(0, tenant_heap(&heap, 0, .flags = CGROUP));
	ASSERT_EQ(0, block_alloc(&heap, bytes, &block));
	EXPECT_GT(bytes, cgroup_bytes_exact(&self->tenants[0]));
	memset(block, 1, bytes);
	EXPECT_LE(bytes, cgroup_bytes_exact(&self->tenants[0]));
	EXPECT_GT(bytes + MIB, cgroup_bytes_exact(&self->tenants[0]));
	EXPECT_NOTHING_CHARGED(1);
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_NOTHING_CHARGED(0);
}

/* One page in each page table: as many pages as tables, which are the program's. */
static void child_prefaults(struct __test_metadata *_metadata,
			    FIXTURE_DATA(cgroup) *self)
{
	const size_t nr = 256, table_bytes = 2 * MIB;
	const long bytes = nr * page_bytes(), slack = bytes / 2;
	const struct cgroup *program = &self->tenants[1];
	long before, tenant;
	struct heap heap;
	char *block;
	size_t i;

	ASSERT_EQ(0, cgroup_enter(program));
	self->fd = privheap_open();
	ASSERT_EQ(0, tenant_heap(&heap, 0, .flags = CGROUP,
				 .policy = PRIVHEAP_POLICY_PAGE));
	ASSERT_EQ(0, block_alloc(&heap, nr * table_bytes, &block));
	before = cgroup_bytes_exact(program);
	tenant = cgroup_bytes_exact(&self->tenants[0]);
	for (i = 0; i < nr; i++) {
		ASSERT_EQ((long)page_bytes(),
			  heap_prefault(&heap, block + i * table_bytes,
					page_bytes()));
	}
	EXPECT_LE(before + bytes, cgroup_bytes_exact(program));
	EXPECT_GE(before + bytes + slack, cgroup_bytes_exact(program));
	EXPECT_LE(tenant + bytes, cgroup_bytes_exact(&self->tenants[0]));
	EXPECT_GE(tenant + bytes + slack, cgroup_bytes_exact(&self->tenants[0]));
}

TEST_F(cgroup, page_tables_are_charged_to_program)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		child_prefaults(_metadata, self);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
}

TEST_F(cgroup, bookkeeping_is_charged_to_tenant)
{
	struct heap heaps[100];
	char *block;
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, tenant_heap(&heaps[i], 0, .flags = CGROUP));
	}
	/* Beside the first page of each. */
	EXPECT_LT(100 * (page_bytes() + KIB),
		  cgroup_bytes_exact(&self->tenants[0]));
	/* More of everything: regions, chunks, runs, spans. */
	for (i = 0; i < 2000; i++) {
		ASSERT_EQ(0, block_alloc(&heaps[0], 3000, &block));
	}
	ASSERT_EQ(0, block_alloc(&heaps[1], 3 * MIB, &block));
	ASSERT_EQ(0, block_realloc(&heaps[1], &block, 9 * MIB, 0));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
	}
	EXPECT_NOTHING_CHARGED(0);
}

/* Each tenant meets the limit of its own cgroup, and only that. */
TEST_F(cgroup, tenant_at_its_limit)
{
	struct heap heaps[NR_TENANTS];
	struct privheap_stat stat;
	char *block;
	int i;

	for (i = 0; i < NR_TENANTS; i++) {
		ASSERT_EQ(0, cgroup_set(&self->tenants[i], "memory.max",
					MAX_TEXT));
		ASSERT_EQ(0, tenant_heap(&heaps[i], i, .flags = CGROUP | BACKED));
	}
	for (i = 0; i < NR_TENANTS; i++) {
		EXPECT_EQ(-ENOMEM, heap_fill(&heaps[i], BLOCK_BYTES, &block));
		ASSERT_EQ(0, heap_stat(&heaps[i], &stat));
		EXPECT_EQ(stat.out_committed_bytes, stat.out_resident_bytes);
		EXPECT_LT(MAX_BYTES * 3 / 4, stat.out_committed_bytes);
		EXPECT_GT(MAX_BYTES, stat.out_committed_bytes);
		EXPECT_EQ(0, cgroup_events(&self->tenants[i], "oom_kill"));
		/* What is freed can be had again. */
		ASSERT_EQ(0, block_free(&heaps[i], block));
		ASSERT_EQ(0, block_alloc(&heaps[i], BLOCK_BYTES, &block));
		memset(block, 1, BLOCK_BYTES);
	}
	for (i = 0; i < NR_TENANTS; i++) {
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
		EXPECT_NOTHING_CHARGED(i);
	}
}

/* A cgroup that is removed goes on for the heaps that are under it. */
TEST_F(cgroup, tenant_removed)
{
	struct heap heap, other;
	char *block;

	ASSERT_EQ(0, tenant_heap(&heap, 0, .flags = CGROUP));
	ASSERT_EQ(0, cgroup_destroy(&self->tenants[0]));
	ASSERT_EQ(0, block_alloc(&heap, MIB, &block));
	memset(block, 1, MIB);
	EXPECT_EQ(0, heap_check_works(&heap));
	EXPECT_EQ(-EBADF, tenant_heap(&other, 0, .flags = CGROUP));
	EXPECT_EQ(0, heap_destroy(&heap));
}

TEST_F(cgroup, bad_descriptor)
{
	int dir = open("/sys/fs/cgroup", O_PATH | O_CLOEXEC);
	int ordinary = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct heap heap;
	char path[128];
	int member;

	snprintf(path, sizeof(path), "%s/cgroup.procs", self->tenants[0].path);
	member = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dir);
	ASSERT_LE(0, ordinary);
	ASSERT_LE(0, member);
	EXPECT_EQ(-EBADF, heap_create(&heap, self->fd, .flags = CGROUP,
				      .cgroup_fd = -1));
	EXPECT_EQ(-EBADF, heap_create(&heap, self->fd, .flags = CGROUP,
				      .cgroup_fd = 9999));
	EXPECT_EQ(-EBADF, heap_create(&heap, self->fd, .flags = CGROUP,
				      .cgroup_fd = self->fd));
	EXPECT_EQ(-EBADF, heap_create(&heap, self->fd, .flags = CGROUP,
				      .cgroup_fd = dir));
	EXPECT_EQ(-EBADF, heap_create(&heap, self->fd, .flags = CGROUP,
				      .cgroup_fd = ordinary));
	EXPECT_EQ(-EBADF, heap_create(&heap, self->fd, .flags = CGROUP,
				      .cgroup_fd = member));
	/* Without the flag there is to be none; and the hole is a hole. */
	EXPECT_EQ(-EINVAL, tenant_heap(&heap, 0));
	EXPECT_EQ(-EINVAL, tenant_heap(&heap, 0, .flags = CGROUP,
				       .__reserved = 1));
	EXPECT_EQ(0, maps_heaps());
}

TEST_F(cgroup, without_memory_controller)
{
	struct heap heap = { 0 };
	struct cgroup inner;
	int fd;

	snprintf(inner.path, sizeof(inner.path), "%.50s/x",
		 self->tenants[0].path);
	ASSERT_EQ(0, mkdir(inner.path, 0755));
	fd = cgroup_open(&inner);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, heap_create(&heap, self->fd, .flags = CGROUP,
					   .cgroup_fd = fd));
	ASSERT_EQ(0, cgroup_set(&self->tenants[0], "cgroup.subtree_control",
				"+memory"));
	EXPECT_EQ(0, heap_create(&heap, self->fd, .flags = CGROUP,
				 .cgroup_fd = fd));
	EXPECT_EQ(0, heap_destroy(&heap));
	close(fd);
	EXPECT_EQ(0, cgroup_destroy(&inner));
}

/* An ordinary user may use the cgroups that are delegated to it. */
TEST_F(cgroup, permission)
{
	struct heap heap;
	int fd = self->fd;
	pid_t pid;

	ASSERT_EQ(0, chown(self->tenants[1].path, 65534, 65534));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		self->fd = privheap_open();	/* while it may */
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
		EXPECT_EQ(-EACCES, tenant_heap(&heap, 0, .flags = CGROUP));
		EXPECT_EQ(0, tenant_heap(&heap, 1, .flags = CGROUP));
		EXPECT_EQ(0, heap_check_works(&heap));
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(pid));
	self->fd = fd;
	EXPECT_EQ(0, tenant_heap(&heap, 0, .flags = CGROUP));
}

/* Fail, don't kill */

#define MAX_BLOCKS	(4 * MAX_BYTES / BLOCK_BYTES)

/*
 * Takes all it can get and touches it only then, when the cgroup is full: what was
 * handed out can be used.
 */
static int child_uses_backed_heap(const struct cgroup *cgroup)
{
	static char *volatile blocks[MAX_BLOCKS];
	unsigned int i, nr;
	struct heap heap;
	char *block;
	int ret;

	/* What the program needs beside the heap, it has before it is full. */
	if (cgroup_enter(cgroup) ||
	    heap_create(&heap, privheap_open(), .flags = BACKED) ||
	    heap_check_works(&heap))
		return 1;
	for (i = 0; i < MAX_BLOCKS; i++)
		blocks[i] = NULL;
	for (nr = 0; nr < MAX_BLOCKS; nr++) {
		ret = block_alloc(&heap, BLOCK_BYTES, &block);
		if (ret)
			break;
		blocks[nr] = block;
	}
	if (ret != -ENOMEM || nr < MAX_BLOCKS / 8)
		return 2;
	for (i = 0; i < nr; i++)
		memset(blocks[i], i, BLOCK_BYTES);
	for (i = 0; i < nr; i++)
		if (!all_bytes(blocks[i], BLOCK_BYTES, (char)i))
			return 3;
	for (i = 0; i < nr; i++)
		if (block_free(&heap, blocks[i]))
			return 4;
	return heap_check_works(&heap) ? 5 : 0;
}

/*
 * What a heap needs of the kernel beside pages: a file, and for each region a VMA.
 * Where there is no room for these either, that is ENOMEM as well. Which of many
 * small things is refused depends on how little is left: all amounts get their turn.
 */
static int child_makes_regions(const struct cgroup *cgroup)
{
	static char *guarded[4096];
	cpu_set_t one_cpu = { { 1 } };
	struct heap heap, full, other;
	unsigned int nr = 0, i;
	char *block;
	int fd, ret;

	/* Its own pages it has before there are none left. */
	if (cgroup_enter(cgroup) || mlockall(MCL_CURRENT) ||
	    sched_setaffinity(0, sizeof(one_cpu), &one_cpu))
		return 1;
	fd = privheap_open();
	if (heap_create(&full, fd, .flags = BACKED) ||
	    heap_create(&heap, fd, .flags = PRIVHEAP_CREATE_F_GUARD) ||
	    heap_fill(&full, BLOCK_BYTES, &block) != -ENOMEM)
		return 2;
	for (i = 0; i < 600; i++) {
		while (nr < ARRAY_SIZE(guarded) &&
		       !block_alloc_guarded(&heap, 0, 0, 0, 0, &guarded[nr]))
			nr++;
		heap_fill(&full, page_bytes(), &block);
		for (ret = i % 40; ret && nr; ret--)
			block_free(&heap, guarded[--nr]);
		while (!(ret = block_alloc(&heap, 2 * MIB, &block)))
			;
		if (ret != -ENOMEM)
			return 3;
		ret = heap_create(&other, fd);
		if (ret && ret != -ENOMEM)
			return 4;
		if (!ret && heap_destroy(&other))
			return 5;
	}
	return 0;
}

/* The same program on malloc(). */
static int child_uses_malloc(const struct cgroup *cgroup)
{
	unsigned int nr;
	char *block;

	if (cgroup_enter(cgroup))
		return 1;
	for (nr = 0; nr < MAX_BLOCKS; nr++) {
		block = malloc(BLOCK_BYTES);
		if (!block)
			return 2;
		memset(block, 1, BLOCK_BYTES);
	}
	return 0;
}

static int run_in_full_cgroup(const struct cgroup *cgroup,
			      int (*child)(const struct cgroup *cgroup))
{
	pid_t pid;

	if (cgroup_set(cgroup, "memory.max", MAX_TEXT))
		return -EPROTO;
	pid = fork();
	if (!pid)
		_exit(child(cgroup));
	return child_wait(pid);
}

TEST_F(cgroup, backed_heap_gets_null)
{
	struct cgroup *cgroup = &self->tenants[0];

	EXPECT_EQ(0, run_in_full_cgroup(cgroup, child_uses_backed_heap));
	EXPECT_EQ(0, cgroup_events(cgroup, "oom_kill"));
	EXPECT_LT(0, cgroup_events(cgroup, "max"));
}

TEST_F_TIMEOUT(cgroup, regions_get_null, 120)
{
	struct cgroup *cgroup = &self->tenants[0];

	EXPECT_EQ(0, run_in_full_cgroup(cgroup, child_makes_regions));
	EXPECT_EQ(0, cgroup_events(cgroup, "oom_kill"));
}

TEST_F(cgroup, malloc_is_killed)
{
	struct cgroup *cgroup = &self->tenants[0];

	EXPECT_EQ(-SIGKILL, run_in_full_cgroup(cgroup, child_uses_malloc));
	EXPECT_EQ(1, cgroup_events(cgroup, "oom_kill"));
}

TEST_HARNESS_MAIN
