// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy "huge": a huge page for a whole chunk, where all of it is committed and
 * nothing resident; otherwise, and where no huge page is to be had, the window
 * around the page that was touched.
 */
#include "policy.h"

static struct ph_part ph_huge_window(struct ph_region *region,
				     struct ph_chunk *chunk, unsigned long n,
				     unsigned int pages)
{
	if (region->heap->huge && ph_chunk_is_blank_locked(chunk))
		return (struct ph_part){ .lo = 0, .hi = PH_CHUNK_PAGES };
	return ph_policy_around(n, pages);
}

const struct ph_policy ph_policy_huge = {
	.name		= "huge",
	.default_window	= PH_BATCH_PAGES,
	.max_window	= PH_BATCH_PAGES,
	.huge		= true,
	.window		= ph_huge_window,
};
