// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap from its creation to its end, empty. Each is made where the one before was;
 * the module keeps what it can for that.
 *
 * Apart from the end of full heaps: memory that the kernel frees later would
 * count here.
 */
#include "device.h"

#define NR_HEAPS	1000

static int device;
static uint64_t other_heap;

static void setup_other(struct bench_case *c)
{
	other_heap = heap_create(device, 0);
}

static void teardown_other(struct bench_case *c)
{
	heap_destroy(device, other_heap);
}

static void step_create_destroy(struct bench_case *c, unsigned long i)
{
	heap_destroy(device, heap_create(device, 0));
}

/* What the module has only while there are heaps comes and goes with the first. */
static struct bench_case cases[] = {
	{ "another heap", "heap", NR_HEAPS, 0, setup_other, step_create_destroy,
	  teardown_other },
	{ "first heap", "heap", NR_HEAPS, 0, NULL, step_create_destroy },
	{ }
};

static const struct bench_limit limits[] = {
	{ }
};

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "lifetime", cases, limits };

	device = device_open();
	return bench_main(&subject, argc, argv);
}
