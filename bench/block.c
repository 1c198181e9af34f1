// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks through the module's calls, beside calls that do nothing.
 *
 * What a pair of alloc and free costs depends on the heap it is done in. In the
 * ordinary cases another block of the size is live, and its memory was touched;
 * in the "empty" ones the pair takes the first and last block of the heap. A
 * null call is one with a number that the device does not have.
 */
#include <errno.h>
#include <string.h>

#include "device.h"

#define NR_CALLS	10000
#define NR_BATCH	1000

static int device, dev_null;
static uint64_t heap;
static void *blocks[NR_CALLS];

struct block_data {
	size_t bytes;
	unsigned int flags;
	int *null_device;
};

static void setup_empty(struct bench_case *c)
{
	heap = heap_create(device, 0);
}

static void setup(struct bench_case *c)
{
	const struct block_data *data = c->data;

	setup_empty(c);
	memset(heap_alloc(device, heap, data->bytes, 0), 1, data->bytes);
}

static void setup_live(struct bench_case *c)
{
	const struct block_data *data = c->data;
	unsigned long i;

	setup(c);
	for (i = 0; i < NR_CALLS; i++)
		blocks[i] = heap_alloc(device, heap, data->bytes, 0);
}

static void teardown(struct bench_case *c)
{
	heap_destroy(device, heap);
}

static void step_null(struct bench_case *c, unsigned long i)
{
	const struct block_data *data = c->data;
	struct privheap_alloc arg = { .size = sizeof(arg) };

	if (!ioctl(*data->null_device, _IO(PRIVHEAP_IOC_TYPE, 0xff), &arg) ||
	    errno != ENOTTY)
		bench_die("null call");
}

static void step_pair(struct bench_case *c, unsigned long i)
{
	const struct block_data *data = c->data;

	heap_free(device, heap,
		  heap_alloc(device, heap, data->bytes, data->flags));
}

static void step_alloc(struct bench_case *c, unsigned long i)
{
	const struct block_data *data = c->data;

	blocks[i] = heap_alloc(device, heap, data->bytes, data->flags);
}

static void step_free(struct bench_case *c, unsigned long i)
{
	heap_free(device, heap, blocks[i]);
}

static void step_batch(struct bench_case *c, unsigned long i)
{
	if (i % (2 * NR_BATCH) < NR_BATCH)
		step_alloc(c, i % NR_BATCH);
	else
		step_free(c, i % NR_BATCH);
}

static void step_size(struct bench_case *c, unsigned long i)
{
	const struct block_data *data = c->data;

	if (heap_size(device, heap, blocks[0]) != data->bytes)
		bench_die("size");
}

static const struct block_data on_device = { .null_device = &device };
static const struct block_data on_dev_null = { .null_device = &dev_null };
static const struct block_data of_64 = { .bytes = 64 };
static const struct block_data of_1024 = { .bytes = 1024 };
static const struct block_data of_16384 = { .bytes = 16384 };
static const struct block_data zeroed_64 = {
	.bytes = 64,
	.flags = PRIVHEAP_ALLOC_F_ZERO,
};

#define CALLS(name, unit, setup, step, data)				\
	{ name, unit, NR_CALLS, 0, setup, step, teardown, data }

static struct bench_case cases[] = {
	CALLS("null of /dev/null", "call", setup_empty, step_null, &on_dev_null),
	CALLS("null", "call", setup_empty, step_null, &on_device),
	CALLS("pair 64", "pair", setup, step_pair, &of_64),
	CALLS("pair 64 empty", "pair", setup_empty, step_pair, &of_64),
	CALLS("pair 64 zero", "pair", setup, step_pair, &zeroed_64),
	CALLS("pair 1024", "pair", setup, step_pair, &of_1024),
	CALLS("pair 16384", "pair", setup, step_pair, &of_16384),
	CALLS("alloc 64", "call", setup, step_alloc, &of_64),
	CALLS("free 64", "call", setup_live, step_free, &of_64),
	CALLS("size 64", "call", setup_live, step_size, &of_64),
	{ "1000 allocs then frees", "pair", 10 * 2 * NR_BATCH, 10 * NR_BATCH,
	  setup, step_batch, teardown, &of_64 },
	{ }
};

static const struct bench_limit limits[] = {
	{ "pair 64", 2, "null", 1.35 },
	{ "pair 64 empty", 2, "null", 1.35 },
	{ }
};

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "block", cases, limits };

	device = device_open();
	dev_null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (dev_null < 0)
		bench_die("/dev/null");
	return bench_main(&subject, argc, argv);
}
