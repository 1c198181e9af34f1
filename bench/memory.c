// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kinds of memory, each as a program would use it; memory.h tells what they
 * have in common.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "device.h"
#include "memory.h"

#define HUGE_BYTES	(2UL << 20)

static int device, uffd;
static size_t page;
static char *zeroes;

static void map(struct memory *memory, size_t bytes, int flags, int fd)
{
	memory->mapped_bytes = bytes;
	memory->mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory->mapped == MAP_FAILED)
		bench_die("mmap");
	memory->start = memory->mapped;
}

static void advise(struct memory *memory, int advice)
{
	if (madvise(memory->start, memory->bytes, advice))
		bench_die("madvise");
}

static unsigned long mapped_resident(struct memory *memory)
{
	unsigned long i, nr = 0, nr_pages = memory->bytes / page;
	unsigned char *states = malloc(nr_pages);

	if (!states || mincore(memory->start, memory->bytes, states))
		bench_die("mincore");
	for (i = 0; i < nr_pages; i++)
		nr += states[i] & 1;
	free(states);
	return nr;
}

/* --- Anonymous memory, in single pages */

static void anonymous_map(struct memory *memory)
{
	map(memory, memory->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void anonymous_unmap(struct memory *memory)
{
	if (munmap(memory->mapped, memory->mapped_bytes))
		bench_die("munmap");
}

static void anonymous_reset(struct memory *memory)
{
	advise(memory, MADV_DONTNEED);
}

static void anonymous_populate(struct memory *memory)
{
	advise(memory, MADV_POPULATE_WRITE);
}

/* --- The same in transparent huge pages, which bench_main() has switched off */

static void allow_huge_pages(bool allow)
{
	if (prctl(PR_SET_THP_DISABLE, !allow, 0, 0, 0))
		bench_die("PR_SET_THP_DISABLE");
}

static void thp_map(struct memory *memory)
{
	allow_huge_pages(true);
	map(memory, memory->bytes + HUGE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memory->start += -(uintptr_t)memory->mapped % HUGE_BYTES;
	advise(memory, MADV_HUGEPAGE);
}

static void thp_unmap(struct memory *memory)
{
	anonymous_unmap(memory);
	allow_huge_pages(false);
}

/* --- A file in memory */

static void memfd_map(struct memory *memory)
{
	memory->fd = memfd_create("bench", MFD_CLOEXEC);
	if (memory->fd < 0 || ftruncate(memory->fd, memory->bytes))
		bench_die("memfd_create");
	map(memory, memory->bytes, MAP_SHARED, memory->fd);
}

static void memfd_unmap(struct memory *memory)
{
	anonymous_unmap(memory);
	close(memory->fd);
}

static void memfd_reset(struct memory *memory)
{
	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      memory->bytes))
		bench_die("fallocate");
}

/* --- Anonymous memory whose faults a thread of the program serves */

static void *serve_faults(void *unused)
{
	struct uffd_msg message;

	while (read(uffd, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_copy copy = {
			.dst = message.arg.pagefault.address & -page,
			.src = (uintptr_t)zeroes,
			.len = page,
		};

		/* Two threads may have touched the same page. */
		if (ioctl(uffd, UFFDIO_COPY, &copy) && errno != EEXIST)
			bench_die("UFFDIO_COPY");
	}
	bench_die("userfaultfd");
}

static void userfaultfd_init(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t thread;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    pthread_create(&thread, NULL, serve_faults, NULL))
		bench_die("userfaultfd");
}

static void userfaultfd_map(struct memory *memory)
{
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	anonymous_map(memory);
	range.range.start = (uintptr_t)memory->start;
	range.range.len = memory->bytes;
	if (ioctl(uffd, UFFDIO_REGISTER, &range))
		bench_die("UFFDIO_REGISTER");
}

/* --- A heap with one block */

/*
 * The heap is as large as the block, or, where that may start at a huge page,
 * has the room to find one.
 */
static size_t heap_align(const struct memory *memory)
{
	return memory->bytes < HUGE_BYTES ? 0 : HUGE_BYTES;
}

static void heap_alloc_block(struct memory *memory)
{
	memory->start = heap_alloc_aligned(device, memory->heap, memory->bytes,
					   heap_align(memory));
}

static void heap_map(struct memory *memory)
{
	memory->heap = heap_create_with(device,
					memory->bytes + heap_align(memory),
					memory->kind->policy);
	heap_alloc_block(memory);
}

/* All that was resident stays, for the same block once more. */
static void heap_empty(struct memory *memory)
{
	heap_reset(device, memory->heap, memory->bytes + heap_align(memory));
	heap_alloc_block(memory);
}

static void heap_unmap(struct memory *memory)
{
	heap_destroy(device, memory->heap);
}

/* Who has switched huge pages off gets none of them in heaps either. */
static void huge_map(struct memory *memory)
{
	allow_huge_pages(true);
	heap_map(memory);
}

static void huge_unmap(struct memory *memory)
{
	heap_unmap(memory);
	allow_huge_pages(false);
}

static void heap_populate(struct memory *memory)
{
	heap_prefault(device, memory->heap, memory->start, memory->bytes);
}

/* Without the page that every heap but a huge one has from the start. */
static unsigned long heap_resident(struct memory *memory)
{
	return heap_resident_bytes(device, memory->heap) / page -
	       (memory->kind->policy != PRIVHEAP_POLICY_HUGE);
}

#define HEAP(policy, recycle_kib)					\
	heap_map, heap_unmap, heap_empty, heap_populate, heap_resident,	\
	policy, recycle_kib

const struct memory_kind memory_kinds[] = {
	{ "anonymous", anonymous_map, anonymous_unmap, anonymous_reset,
	  anonymous_populate, mapped_resident },
	{ "thp", thp_map, thp_unmap, anonymous_reset, anonymous_populate,
	  mapped_resident },
	{ "memfd", memfd_map, memfd_unmap, memfd_reset, anonymous_populate,
	  mapped_resident },
	{ "userfaultfd", userfaultfd_map, anonymous_unmap, anonymous_reset, NULL,
	  mapped_resident },
	{ "page", HEAP(PRIVHEAP_POLICY_PAGE, "0") },
	{ "window", HEAP(PRIVHEAP_POLICY_WINDOW, "0") },
	{ "adaptive", HEAP(PRIVHEAP_POLICY_ADAPTIVE, "0") },
	{ "populate", HEAP(PRIVHEAP_POLICY_POPULATE, "0") },
	{ "huge", huge_map, huge_unmap, heap_empty, heap_populate, heap_resident,
	  PRIVHEAP_POLICY_HUGE, "0" },
	{ "recycled", HEAP(PRIVHEAP_POLICY_ADAPTIVE, "16384") },
	{ }
};

/* What the process keeps goes when a heap is compacted. */
static void set_recycling(const char *recycle_kib)
{
	int fd = open("/sys/module/privheap/parameters/recycle_kib",
		      O_WRONLY | O_CLOEXEC);
	uint64_t heap;

	if (fd < 0 || write(fd, recycle_kib, strlen(recycle_kib)) < 0)
		bench_die("recycle_kib");
	close(fd);
	heap = heap_create(device, 0);
	heap_compact(device, heap);
	heap_destroy(device, heap);
}

/* Has the process keep as much as it may. */
static void fill_recycled(const struct memory_kind *kind)
{
	struct memory memory = {
		.kind = kind,
		.bytes = 1024 * strtoul(kind->recycle_kib, NULL, 10),
	};
	size_t i;

	heap_map(&memory);
	for (i = 0; i < memory.bytes; i += page)
		*(volatile char *)(memory.start + i) = 1;
	heap_unmap(&memory);
}

void memory_prepare(const struct memory_kind *kind)
{
	if (!kind->recycle_kib)
		return;
	set_recycling(kind->recycle_kib);
	if (strcmp(kind->recycle_kib, "0"))
		fill_recycled(kind);
}

void memory_init(void)
{
	page = page_bytes();
	zeroes = calloc(1, page);
	if (!zeroes)
		bench_die("calloc");
	device = device_open();
	userfaultfd_init();
}
