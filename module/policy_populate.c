// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy "populate": pages become resident when they are committed. A fault
 * only maps what is there already, so it may as well do so for many.
 */
#include "policy.h"

static struct ph_part ph_populate_window(struct ph_region *region,
					 struct ph_chunk *chunk,
					 unsigned long n, unsigned int pages)
{
	return ph_policy_around(n, pages);
}

const struct ph_policy ph_policy_populate = {
	.name		= "populate",
	.default_window	= PH_BATCH_PAGES,
	.max_window	= PH_BATCH_PAGES,
	.at_commit	= true,
	.window		= ph_populate_window,
};
