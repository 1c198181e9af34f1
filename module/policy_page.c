// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy "page": the page that was touched and no other. What is resident is
 * what was touched, exactly.
 */
#include "policy.h"

static struct ph_part ph_page_window(struct ph_region *region,
				     struct ph_chunk *chunk, unsigned long n,
				     unsigned int pages)
{
	return ph_policy_around(n, 1);
}

const struct ph_policy ph_policy_page = {
	.name		= "page",
	.default_window	= 1,
	.max_window	= 1,
	.window		= ph_page_window,
};
