// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a million blocks of mixed sizes take, and those that are left when
 * nine of ten have been freed at random and the allocator was told to give back
 * what it can: for each byte that the program asked for.
 *
 * "resident" are pages of the process; "charged" is what its memory cgroup is
 * charged, which has what the kernel holds for it, too.
 */
#include "alloc_run.h"

#define RESIDENT	"resident bytes"
#define CHARGED		"charged bytes"

static const struct alloc_work works[] = {
	{ "million", "byte", RESIDENT, "memory", 0, .is_cgroup = true },
	{ "million charged", "byte", CHARGED, "memory", 1, .is_cgroup = true },
	{ "tenth", "byte", RESIDENT, "memory", 2, .is_cgroup = true },
	{ "tenth charged", "byte", CHARGED, "memory", 3, .is_cgroup = true },
	{ }
};

static const struct bench_limit limits[] = {
	{ "million/frontend", 1, "million/glibc", 1.0 },
	{ "million charged/frontend", 1, "million charged/glibc", 1.0 },
	{ "tenth/frontend", 1, "tenth/glibc", 1.0 },
	{ "tenth charged/frontend", 1, "tenth charged/glibc", 1.0 },
	{ }
};

int main(int argc, char **argv)
{
	struct bench_subject subject = {
		.name = "alloc_memory",
		.limits = limits,
		.nr_rounds = 1,
	};

	return alloc_main(&subject, works, argc, argv);
}
