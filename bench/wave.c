// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waves: blocks that are allocated, touched and freed, over and over, in a heap that
 * keeps what the next wave needs, in one that may not, and in mappings; instructions
 * and faults for each page.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "device.h"

#define NR_BLOCKS	4
#define NR_WAVES	8
/* A heap has learned after two. */
#define NR_WAVES_BEFORE	3
#define WAVE_KIB	"/sys/module/privheap/parameters/wave_kib"

/**
 * struct waves - what makes a wave
 * @bytes: of a block
 * @max_bytes: of the heap, 0 for a growable one
 * @wave_kib: setting of the module; NULL for mappings in place of blocks
 */
struct waves {
	size_t bytes;
	size_t max_bytes;
	const char *wave_kib;
};

static int device;
static uint64_t heap;
static char *blocks[NR_BLOCKS];
static size_t page;
static long nr_faults;

static void set_wave_kib(const char *value)
{
	int fd = open(WAVE_KIB, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		bench_die(WAVE_KIB);
	close(fd);
}

static long count_faults(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage))
		bench_die("getrusage");
	return usage.ru_minflt + usage.ru_majflt;
}

static void *get_block(const struct waves *waves)
{
	void *block;

	if (waves->wave_kib)
		return heap_alloc(device, heap, waves->bytes, 0);
	block = mmap(NULL, waves->bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		bench_die("mmap");
	return block;
}

static void put_block(const struct waves *waves, void *block)
{
	if (waves->wave_kib)
		heap_free(device, heap, block);
	else if (munmap(block, waves->bytes))
		bench_die("munmap");
}

static void step_wave(struct bench_case *c, unsigned long unused)
{
	const struct waves *waves = c->data;
	size_t n;
	int i;

	for (i = 0; i < NR_BLOCKS; i++) {
		blocks[i] = get_block(waves);
		for (n = 0; n < waves->bytes; n += page)
			*(volatile char *)(blocks[i] + n) = 1;
	}
	for (i = 0; i < NR_BLOCKS; i++)
		put_block(waves, blocks[i]);
}

static void setup(struct bench_case *c)
{
	const struct waves *waves = c->data;
	int i;

	c->nr_units = NR_WAVES * NR_BLOCKS * (waves->bytes / page);
	if (waves->wave_kib) {
		set_wave_kib(waves->wave_kib);
		heap = heap_create(device, waves->max_bytes);
	}
	for (i = 0; i < NR_WAVES_BEFORE; i++)
		step_wave(c, 0);
	nr_faults = count_faults();
}

static void teardown(struct bench_case *c)
{
	const struct waves *waves = c->data;

	if (waves->wave_kib) {
		heap_destroy(device, heap);
		set_wave_kib("16384");
	}
}

/* For a page, by the thousand: fewer than one a page is the rule. */
static double faults(struct bench_case *c)
{
	return 1000 * (count_faults() - nr_faults);
}

/* The second kind of blocks has regions of their own. */
static const struct waves
	kept = { 512 << 10, 64 << 20, "16384" },
	gone = { 512 << 10, 64 << 20, "0" },
	mapped = { 512 << 10 },
	kept_own = { 2 << 20, 0, "16384" },
	gone_own = { 2 << 20, 0, "0" },
	mapped_own = { 2 << 20 };

#define WAVES(name, waves)						\
	{ name, "page", NR_WAVES, 0, setup, step_wave, teardown, &(waves) }, \
	{ name " faults", "1000 pages", NR_WAVES, 0, setup, step_wave, teardown, \
	  &(waves), .value = faults, .measure = "faults" }

static struct bench_case cases[] = {
	WAVES("512 KiB kept", kept),
	WAVES("512 KiB gone", gone),
	WAVES("512 KiB anonymous", mapped),
	WAVES("2 MiB kept", kept_own),
	WAVES("2 MiB gone", gone_own),
	WAVES("2 MiB anonymous", mapped_own),
	{ }
};

static const struct bench_limit limits[] = {
	{ "512 KiB kept", 1, "512 KiB gone", 0.2 },
	{ "512 KiB kept faults", 1, "512 KiB gone faults", 0.1 },
	{ "2 MiB kept", 1, "2 MiB gone", 0.2 },
	{ "2 MiB kept faults", 1, "2 MiB gone faults", 0.1 },
	{ }
};

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "wave", cases, limits };

	page = page_bytes();
	device = device_open();
	return bench_main(&subject, argc, argv);
}
