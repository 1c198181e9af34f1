// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thousand heaps at once: created, filled, checked and destroyed. The memory
 * that they took, in the process and in the kernel, must come back.
 */
#include <heapdev.h>

#include "memory.h"

#define NR_HEAPS	1000
#define HEAP_BYTES	(256 * 1024)
#define NR_BLOCKS	64
#define LARGE_BYTES	(64 * 1024)

/* How long the memory may take to come back: 30 s. */
#define SETTLE_USEC	(100 * 1000)
#define SETTLE_TRIES	300

struct filled_heap {
	HANDLE handle;
	unsigned char *blocks[NR_BLOCKS];
};

static struct filled_heap heaps[NR_HEAPS];

/* Small blocks of many sizes, and a large one. */
static size_t block_bytes(unsigned int i)
{
	return i ? 16 + 29 * i : LARGE_BYTES;
}

static unsigned char block_byte(const struct filled_heap *heap, unsigned int i)
{
	return 1 + (heap - heaps) * 7 + i * 13;
}

static void heap_fill(struct filled_heap *heap)
{
	unsigned int i;

	heap->handle = HeapCreate(0, 0, HEAP_BYTES);
	if (!heap->handle)
		fail("heap %td: not created, error %u", heap - heaps,
		     GetLastError());
	for (i = 0; i < NR_BLOCKS; i++) {
		heap->blocks[i] = HeapAlloc(heap->handle, 0, block_bytes(i));
		if (!heap->blocks[i])
			fail("heap %td: block %u not allocated, error %u",
			     heap - heaps, i, GetLastError());
		memset(heap->blocks[i], block_byte(heap, i), block_bytes(i));
	}
}

static bool is_filled(const unsigned char *block, size_t bytes,
		      unsigned char byte)
{
	return block[0] == byte && !memcmp(block, block + 1, bytes - 1);
}

static void heap_check(const struct filled_heap *heap)
{
	unsigned int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		if (!is_filled(heap->blocks[i], block_bytes(i),
			       block_byte(heap, i)))
			fail("heap %td: block %u is damaged", heap - heaps, i);
	}
}

static void heap_destroy(const struct filled_heap *heap)
{
	if (!HeapDestroy(heap->handle))
		fail("heap %td: not destroyed, error %u", heap - heaps,
		     GetLastError());
}

static long filled_kib(void)
{
	long bytes = 0;
	unsigned int i;

	for (i = 0; i < NR_BLOCKS; i++)
		bytes += block_bytes(i);
	return bytes / 1024 * NR_HEAPS;
}

static bool is_back(const struct memory *before, const struct memory *filled,
		    const struct memory *after)
{
	long taken = before->available_kib - filled->available_kib;
	long slab_taken = filled->slab_kib - before->slab_kib;

	/* The rest of the machine is not idle. */
	return before->available_kib - after->available_kib < taken / 20 &&
	       after->slab_kib - before->slab_kib < slab_taken / 8;
}

/* The kernel gathers some of what it frees, for seconds; no event tells when. */
static struct memory memory_after(const struct memory *before,
				  const struct memory *filled)
{
	struct memory after;
	int tries = SETTLE_TRIES;

	do {
		usleep(SETTLE_USEC);
		after = memory_in_use();
	} while (!is_back(before, filled, &after) && --tries);
	return after;
}

static void check(const struct memory *before, const struct memory *filled,
		  const struct memory *after)
{
	if (filled->nr_regions != before->nr_regions + NR_HEAPS)
		fail("%ld regions for %d heaps", filled->nr_regions, NR_HEAPS);
	if (filled->heaps_kib < filled_kib())
		fail("%ld KiB were written, but %ld are resident",
		     filled_kib(), filled->heaps_kib);
	memory_check_back(before, filled, after);
	if (!is_back(before, filled, after))
		fail("the machine lost memory: available %ld, %ld, %ld KiB; Slab %ld, %ld, %ld KiB",
		     before->available_kib, filled->available_kib,
		     after->available_kib, before->slab_kib, filled->slab_kib,
		     after->slab_kib);
}

static void report(const struct memory *before, const struct memory *filled,
		   const struct memory *after)
{
	printf("%d heaps filled with %ld MiB and destroyed, in use before/filled/after: RSS %ld/%ld/%ld KiB, Slab %ld/%ld/%ld KiB, available %ld/%ld/%ld MiB\n",
	       NR_HEAPS, filled_kib() / 1024, before->process_kib,
	       filled->process_kib, after->process_kib, before->slab_kib,
	       filled->slab_kib, after->slab_kib, before->available_kib / 1024,
	       filled->available_kib / 1024, after->available_kib / 1024);
}

static void heaps_fill(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		heap_fill(&heaps[i]);
}

static void heaps_check_and_destroy(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		heap_check(&heaps[i]);
	for (i = 0; i < nr; i++)
		heap_destroy(&heaps[i]);
}

/*
 * What the program touches for the first time, and what the kernel's caches of
 * objects keep once they have been used, shall not look like a leak.
 */
static void warm_up(void)
{
	memset(heaps, 0, sizeof(heaps));
	heaps_fill(NR_HEAPS / 10);
	heaps_check_and_destroy(NR_HEAPS / 10);
}

int main(void)
{
	struct memory before, filled, after;

	warm_up();
	before = memory_in_use();
	heaps_fill(NR_HEAPS);
	filled = memory_in_use();
	heaps_check_and_destroy(NR_HEAPS);
	after = memory_after(&before, &filled);

	check(&before, &filled, &after);
	report(&before, &filled, &after);
	return 0;
}
