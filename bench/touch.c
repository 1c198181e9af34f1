// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first touch of a page: memory of a heap beside anonymous memory and a
 * memfd, all in single pages.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "device.h"

#define NR_PAGES	8192

struct memory {
	void *(*map)(size_t bytes);
	void (*unmap)(void *memory, size_t bytes);
};

struct touch_data {
	const struct memory *memory;
	bool random;
};

static int device, memfd;
static uint64_t heap;
static size_t page;
static char *memory;
static unsigned int order[NR_PAGES];

static void *anonymous_map(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void anonymous_unmap(void *memory, size_t bytes)
{
	if (munmap(memory, bytes))
		bench_die("munmap");
}

static void *memfd_map(size_t bytes)
{
	memfd = memfd_create("bench", MFD_CLOEXEC);
	if (memfd < 0 || ftruncate(memfd, bytes))
		bench_die("memfd_create");
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
}

static void memfd_unmap(void *memory, size_t bytes)
{
	anonymous_unmap(memory, bytes);
	close(memfd);
}

/* One block, which has a region of its own. */
static void *heap_map(size_t bytes)
{
	heap = heap_create(device, 0);
	return heap_alloc(device, heap, bytes, 0);
}

static void heap_unmap(void *memory, size_t bytes)
{
	heap_destroy(device, heap);
}

/* Also touches the table of the order itself, for the first time. */
static void make_order(bool random)
{
	unsigned int i, j, swapped;

	for (i = 0; i < NR_PAGES; i++)
		order[i] = i;
	for (i = NR_PAGES - 1; random && i > 0; i--) {
		j = bench_random() % (i + 1);
		swapped = order[i];
		order[i] = order[j];
		order[j] = swapped;
	}
}

static void setup(struct bench_case *c)
{
	const struct touch_data *data = c->data;

	make_order(data->random);
	memory = data->memory->map(NR_PAGES * page);
	if (memory == MAP_FAILED)
		bench_die("mmap");
}

static void step_touch(struct bench_case *c, unsigned long i)
{
	*(volatile char *)(memory + order[i] * page) = 1;
}

static void teardown(struct bench_case *c)
{
	const struct touch_data *data = c->data;

	data->memory->unmap(memory, NR_PAGES * page);
}

static const struct memory anonymous = { anonymous_map, anonymous_unmap };
static const struct memory of_memfd = { memfd_map, memfd_unmap };
static const struct memory of_heap = { heap_map, heap_unmap };

#define TOUCH(name, ...)						\
	{ name, "page", NR_PAGES, 0, setup, step_touch, teardown,	\
	  &(const struct touch_data){ __VA_ARGS__ } }

static struct bench_case cases[] = {
	TOUCH("anonymous sequential", &anonymous, false),
	TOUCH("anonymous random", &anonymous, true),
	TOUCH("memfd sequential", &of_memfd, false),
	TOUCH("memfd random", &of_memfd, true),
	TOUCH("heap sequential", &of_heap, false),
	TOUCH("heap random", &of_heap, true),
	{ }
};

static const struct bench_limit limits[] = {
	{ "heap sequential", 1, "anonymous sequential", 1.2 },
	{ "heap random", 1, "anonymous random", 1.2 },
	{ }
};

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "touch", cases, limits };

	page = page_bytes();
	device = device_open();
	return bench_main(&subject, argc, argv);
}
