/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random calls, checked against the model.
 */
#ifndef _BLOCK_RANDOM_H
#define _BLOCK_RANDOM_H

#include <stdbool.h>

/**
 * struct random_plan - what to do
 * @seed: the same seed makes the same calls
 * @nr_steps: how many
 * @check_steps: everything is compared after so many, and at the end
 * @region_kib: length of the first region, about
 * @faults: make commits and allocations fail now and then
 * @regions: add and remove regions now and then
 * @quarantine_pages: length of the quarantine; not 0: half of the blocks are
 *	guarded
 */
struct random_plan {
	unsigned long seed;
	unsigned long nr_steps;
	unsigned long check_steps;
	unsigned long region_kib;
	bool faults;
	bool regions;
	unsigned long quarantine_pages;
};

void random_run(const struct random_plan *plan);

#endif /* _BLOCK_RANDOM_H */
