// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks of heaps beside those of malloc, in one thread.
 *
 * A pair of alloc and free may have blocks of its size beside it or, "empty", be
 * all there is.
 */
#include "alloc_run.h"

static const struct alloc_work works[] = {
	{ "empty pair 16", "pair" },
	{ "empty pair 32", "pair" },
	{ "empty pair 64", "pair" },
	{ "empty pair 128", "pair" },
	{ "empty pair 256", "pair" },
	{ "empty pair 512", "pair" },
	{ "empty pair 1024", "pair" },
	{ "pair 16", "pair" },
	{ "pair 64", "pair" },
	{ "pair 1024", "pair" },
	{ "pair 8192", "pair" },
	{ "1000 of 64", "pair" },
	{ "mixed", "pair" },
	{ "grow", "call" },
	{ "request", "request" },
	{ "request mi_heap", "request", .by = "mimalloc" },
	{ "request arena", "request", .by = "jemalloc" },
	{ }
};

static const struct bench_limit limits[] = {
	{ "empty pair 16/frontend", 1, "empty pair 16/mimalloc", 0.8 },
	{ "empty pair 32/frontend", 1, "empty pair 32/mimalloc", 0.8 },
	{ "empty pair 64/frontend", 1, "empty pair 64/mimalloc", 0.8 },
	{ "empty pair 128/frontend", 1, "empty pair 128/mimalloc", 0.8 },
	{ "empty pair 256/frontend", 1, "empty pair 256/mimalloc", 0.8 },
	{ "empty pair 512/frontend", 1, "empty pair 512/mimalloc", 0.8 },
	{ "empty pair 1024/frontend", 1, "empty pair 1024/mimalloc", 0.8 },
	{ "pair 64/frontend", 1, "pair 64/jemalloc", 1.0 },
	{ "1000 of 64/frontend", 1, "1000 of 64/mimalloc", 1.0 },
	{ "1000 of 64/unserialized", 1, "1000 of 64/mimalloc", 0.9 },
	{ "mixed/frontend", 1, "mixed/jemalloc", 1.0 },
	{ "request/frontend", 1, "request/glibc", 0.5 },
	{ "request/frontend", 1, "request mi_heap/mimalloc", 0.8 },
	{ }
};

int main(int argc, char **argv)
{
	struct bench_subject subject = {
		.name = "alloc",
		.limits = limits,
		.nr_rounds = 3,
	};

	return alloc_main(&subject, works, argc, argv);
}
