// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a heap that is full of small blocks, beside munmap of as much
 * anonymous memory, in instructions per page that was resident.
 */
#include <sys/mman.h>

#include "device.h"

#define NR_BLOCKS	100000
#define MIN_BYTES	64
#define MAX_BYTES	1024

/* Enough for all blocks at their largest. */
static const size_t fixed_bytes = 2UL * NR_BLOCKS * MAX_BYTES;
static const size_t growable;

static int device;
static uint64_t heap;
static unsigned long nr_pages;
static char *memory;
static size_t page;

static void setup_heap(struct bench_case *c)
{
	unsigned long i;
	size_t bytes;
	char *block;

	heap = heap_create(device, *(const size_t *)c->data);
	for (i = 0; i < NR_BLOCKS; i++) {
		bytes = MIN_BYTES + bench_random() % (MAX_BYTES - MIN_BYTES + 1);
		block = heap_alloc(device, heap, bytes, 0);
		block[0] = 1;
		block[bytes - 1] = 1;
	}
	nr_pages = heap_resident_bytes(device, heap) / page;
	c->nr_units = nr_pages;
}

/* As many pages as the heap in the case before had. */
static void setup_anonymous(struct bench_case *c)
{
	unsigned long i;

	memory = mmap(NULL, nr_pages * page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		bench_die("mmap");
	for (i = 0; i < nr_pages; i++)
		memory[i * page] = 1;
	c->nr_units = nr_pages;
}

static void step_destroy(struct bench_case *c, unsigned long i)
{
	heap_destroy(device, heap);
}

static void step_munmap(struct bench_case *c, unsigned long i)
{
	if (munmap(memory, nr_pages * page))
		bench_die("munmap");
}

static struct bench_case cases[] = {
	{ "heap growable", "page", 1, 0, setup_heap, step_destroy, NULL, &growable },
	{ "heap fixed", "page", 1, 0, setup_heap, step_destroy, NULL, &fixed_bytes },
	{ "anonymous", "page", 1, 0, setup_anonymous, step_munmap },
	{ }
};

static const struct bench_limit limits[] = {
	{ "heap growable", 1, "anonymous", 1.1 },
	{ "heap fixed", 1, "anonymous", 1.1 },
	{ }
};

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "destroy", cases, limits };

	page = page_bytes();
	device = device_open();
	return bench_main(&subject, argc, argv);
}
