// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks of the kernel in a fault: where it has locks for single mappings, first
 * touches of a heap do without mmap_lock, as those of anonymous memory do; where it
 * has none, both take it. The kernel tells with its own tracepoint.
 */
#include <sys/mman.h>
#include <sys/utsname.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define INSTANCE	"/sys/kernel/tracing/instances/privheap-lock"
#define EVENT		"mmap_lock_start_locking"
#define ENABLE		INSTANCE "/events/mmap_lock/" EVENT "/enable"
#define NR_PAGES	256
/* What may go to mmap_lock for reasons of its own, as the first fault of a mapping. */
#define NR_FEW		4

FIXTURE(lock) {
	int fd;
	size_t page;
	bool has_vma_locks;
};

FIXTURE_VARIANT(lock) {
	__u32 policy;
	__u32 flags;
	/* Faults for NR_PAGES pages. */
	int nr_faults;
};

FIXTURE_VARIANT_ADD(lock, page) { PRIVHEAP_POLICY_PAGE, 0, NR_PAGES };
FIXTURE_VARIANT_ADD(lock, window) { PRIVHEAP_POLICY_WINDOW, 0, NR_PAGES / 16 };
FIXTURE_VARIANT_ADD(lock, adaptive) { PRIVHEAP_POLICY_ADAPTIVE, 0, NR_PAGES / 64 };
FIXTURE_VARIANT_ADD(lock, populate) { PRIVHEAP_POLICY_POPULATE, 0, NR_PAGES / 64 };
FIXTURE_VARIANT_ADD(lock, single_pages_of_huge) { PRIVHEAP_POLICY_HUGE, 0, NR_PAGES };
FIXTURE_VARIANT_ADD(lock, secret) {
	PRIVHEAP_POLICY_PAGE, PRIVHEAP_CREATE_F_SECRET, NR_PAGES
};

/* They came with Linux 6.4, and x86 has them. */
static bool kernel_has_vma_locks(void)
{
	unsigned int major, minor;
	struct utsname name;

	uname(&name);
	return sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 4));
}

FIXTURE_SETUP(lock)
{
	char pid[16];

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->has_vma_locks = kernel_has_vma_locks();
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_EQ(0, file_write(INSTANCE "/set_event_pid", pid));
}

FIXTURE_TEARDOWN(lock)
{
	close(self->fd);
	EXPECT_EQ(0, rmdir(INSTANCE));
}

/* Touches pages, and returns how often that took mmap_lock, or a negative errno. */
static int count_locks(char *pages, size_t page)
{
	char *found = proc_text;
	int err, i, nr = 0;
	long length;

	/* Else what is written next has the first look at it counted. */
	memset(proc_text, 0, sizeof(proc_text));
	err = file_write(INSTANCE "/trace", " ") ?: file_write(ENABLE, "1");
	for (i = 0; !err && i < NR_PAGES; i++)
		*(volatile char *)(pages + i * page) = 1;
	err = err ?: file_write(ENABLE, "0");
	length = err ?: file_read(INSTANCE "/trace", proc_text, sizeof(proc_text));
	if (length < 0)
		return length;
	while ((found = strstr(found, EVENT ":"))) {
		found++;
		nr++;
	}
	return nr;
}

TEST_F(lock, heap_does_as_anonymous_memory)
{
	const size_t bytes = NR_PAGES * self->page;
	char *memory, *block;
	struct heap heap;
	int nr;

	memory = mmap(NULL, bytes + self->page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(has_huge_pages() ? 0 : -1,
		  madvise(memory, bytes + self->page, MADV_NOHUGEPAGE));
	memory[bytes] = 1;
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .policy = variant->policy,
				 .flags = variant->flags));
	ASSERT_EQ(0, block_alloc_with(&heap, bytes, 64 * self->page, 0, &block));

	nr = count_locks(memory, self->page);
	EXPECT_LE(self->has_vma_locks ? 0 : NR_PAGES, nr);
	EXPECT_GE(self->has_vma_locks ? NR_FEW : NR_PAGES + NR_FEW, nr);
	nr = count_locks(block, self->page);
	EXPECT_LE(self->has_vma_locks ? 0 : variant->nr_faults, nr);
	if (self->has_vma_locks)
		EXPECT_GE(NR_FEW - 1, nr);
}

TEST_HARNESS_MAIN
