// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks of heaps beside those of malloc, in several threads, by the clock: on a
 * machine with counted time there is one CPU, and threads take turns.
 */
#include "alloc_run.h"

static const struct alloc_work works[] = {
	{ "one alone", "pair", .has_threads = true },
	{ "two alone", "pair", .has_threads = true },
	{ "pass on", "block", .has_threads = true },
	{ "short threads", "thread", .has_threads = true },
	{ "server", "pair", .has_threads = true },
	{ }
};

static const struct bench_limit limits[] = {
	/* 1.9 times the throughput. */
	{ "two alone/frontend", 1, "one alone/frontend", 1 / 1.9 },
	{ "pass on/frontend", 1, "pass on/mimalloc", 1.0 },
	{ }
};

int main(int argc, char **argv)
{
	struct bench_subject subject = {
		.name = "alloc_threads",
		.limits = limits,
		.nr_rounds = 5,
		.max_spread = 0.5,
	};

	return alloc_main(&subject, works, argc, argv);
}
