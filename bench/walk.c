// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks: what an entry costs, at the start of a heap with few blocks and at the end
 * of one with a million, one entry a call and as many as the module gives.
 *
 * Every third block has been freed, so there are free ranges between the others.
 * A walk is linear if an entry costs the same everywhere. The heaps are made once
 * and stay as they are.
 */
#include <stdlib.h>

#include "device.h"

#define NR_CALLS	10000
#define FEW_BLOCKS	20000
#define MANY_BLOCKS	1000000
#define MAX_ENTRIES	128

struct walk_heap {
	unsigned long nr_blocks;
	uint64_t heap;
};

struct walk_data {
	struct walk_heap *heap;
};

static struct walk_heap few = { .nr_blocks = FEW_BLOCKS };
static struct walk_heap many = { .nr_blocks = MANY_BLOCKS };

static int device;
static struct privheap_entry entries[MAX_ENTRIES], last;

/* The entries behind the last one; 0 at the end. */
static unsigned int walk(uint64_t heap, unsigned int nr_entries)
{
	DEVICE_CALL(device, walk, .heap = heap, .entries = (uintptr_t)entries,
		    .nr_entries = nr_entries, .after_kind = last.kind,
		    .after_addr = last.addr);
	if (arg.out_nr_entries)
		last = entries[arg.out_nr_entries - 1];
	return arg.out_nr_entries;
}

static void make_heap(struct walk_heap *heap)
{
	void **blocks = calloc(heap->nr_blocks, sizeof(*blocks));
	unsigned long i;

	if (!blocks)
		bench_die("calloc");
	heap->heap = heap_create(device, 0);
	for (i = 0; i < heap->nr_blocks; i++)
		blocks[i] = heap_alloc(device, heap->heap, 16 + i % 64, 0);
	for (i = 0; i < heap->nr_blocks; i += 3)
		heap_free(device, heap->heap, blocks[i]);
	free(blocks);
}

static unsigned long count_entries(uint64_t heap)
{
	unsigned long nr_all = 0, nr;

	last = (struct privheap_entry){ 0 };
	while ((nr = walk(heap, MAX_ENTRIES)))
		nr_all += nr;
	return nr_all;
}

/* Stops where as many entries are left as a round is to have. */
static void setup(struct bench_case *c)
{
	const struct walk_data *data = c->data;
	unsigned long nr_skipped, nr;

	if (!data->heap->heap)
		make_heap(data->heap);
	nr_skipped = count_entries(data->heap->heap) - NR_CALLS - 1;
	last = (struct privheap_entry){ 0 };
	for (; nr_skipped; nr_skipped -= nr)
		nr = walk(data->heap->heap, nr_skipped < MAX_ENTRIES ?
					    nr_skipped : MAX_ENTRIES);
}

static void setup_whole(struct bench_case *c)
{
	const struct walk_data *data = c->data;

	if (!data->heap->heap)
		make_heap(data->heap);
	c->nr_units = count_entries(data->heap->heap);
	last = (struct privheap_entry){ 0 };
}

static void step_entry(struct bench_case *c, unsigned long i)
{
	const struct walk_data *data = c->data;

	if (walk(data->heap->heap, 1) != 1)
		bench_die("walk");
}

static void step_whole(struct bench_case *c, unsigned long i)
{
	const struct walk_data *data = c->data;

	while (walk(data->heap->heap, MAX_ENTRIES))
		;
}

static const struct walk_data in_few = { .heap = &few };
static const struct walk_data in_many = { .heap = &many };

static struct bench_case cases[] = {
	{ "entry of 20000 blocks", "entry", NR_CALLS, 0, setup, step_entry,
	  NULL, &in_few },
	{ "entry of 1000000 blocks", "entry", NR_CALLS, 0, setup, step_entry,
	  NULL, &in_many },
	{ "all of 20000 blocks", "entry", 1, 0, setup_whole, step_whole,
	  NULL, &in_few },
	{ "all of 1000000 blocks", "entry", 1, 0, setup_whole, step_whole,
	  NULL, &in_many },
	{ }
};

static const struct bench_limit limits[] = {
	{ "entry of 1000000 blocks", 1, "entry of 20000 blocks", 1.1 },
	{ "all of 1000000 blocks", 1, "all of 20000 blocks", 1.1 },
	{ }
};

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "walk", cases, limits };

	device = device_open();
	return bench_main(&subject, argc, argv);
}
