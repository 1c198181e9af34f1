// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy "window": always the same number of pages, aligned to that number,
 * around the one that was touched.
 */
#include "policy.h"

static struct ph_part ph_window_window(struct ph_region *region,
				       struct ph_chunk *chunk, unsigned long n,
				       unsigned int pages)
{
	return ph_policy_around(n, pages);
}

const struct ph_policy ph_policy_window = {
	.name		= "window",
	.default_window	= 16,
	.max_window	= PH_BATCH_PAGES,
	.window		= ph_window_window,
};
