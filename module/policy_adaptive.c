// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy "adaptive": as many pages as have been used one after the other.
 *
 * There is no state that threads could fight for: the history is in the chunk. As
 * many pages as are resident right in front of the one that was touched become
 * resident from there on, up to the heap's window. Along a sequence of touches
 * that doubles the window with each fault; where touches are scattered there is
 * nothing in front, and the window is one page. A window ends where the next page
 * is resident already, so that what is mapped once is not looked at again.
 */
#include "policy.h"

/* How many pages are resident right in front of page @i, at most @pages. */
static unsigned int ph_adaptive_run_locked(struct ph_chunk *chunk,
					   unsigned int i, unsigned int pages)
{
	unsigned int run = 0;

	lockdep_assert_held(&chunk->lock);
	while (run < pages && run < i && chunk->pages[i - run - 1])
		run++;
	return run;
}

/* Where the pages end that are as the one at @i: resident, or not resident. */
static unsigned int ph_adaptive_end_locked(struct ph_chunk *chunk,
					   unsigned int i, unsigned int end)
{
	bool resident = chunk->pages[i];

	lockdep_assert_held(&chunk->lock);
	while (++i < end && test_bit(i, chunk->committed) &&
	       !chunk->pages[i] == !resident)
		;
	return i;
}

/* How many are in front of a chunk. To wait for a look is not worth it. */
static unsigned int ph_adaptive_run_before(struct ph_region *region,
					   unsigned long n, unsigned int pages)
{
	struct ph_chunk *before = NULL;
	unsigned int run = 0;

	if (n)
		before = ph_chunk_find(region, n - 1);
	if (!before || !mutex_trylock(&before->lock))
		return 0;
	if (before->pages)
		run = ph_adaptive_run_locked(before, PH_CHUNK_PAGES, pages);
	mutex_unlock(&before->lock);
	return run;
}

static struct ph_part ph_adaptive_window(struct ph_region *region,
					 struct ph_chunk *chunk,
					 unsigned long n, unsigned int pages)
{
	unsigned int i = n % PH_CHUNK_PAGES;
	unsigned int run = ph_adaptive_run_locked(chunk, i, pages);

	if (run == i && run < pages)
		run += ph_adaptive_run_before(region, n - i, pages - run);
	return (struct ph_part){
		.lo = i,
		.hi = ph_adaptive_end_locked(chunk, i,
					     min(i + run, (unsigned int)PH_CHUNK_PAGES)),
	};
}

const struct ph_policy ph_policy_adaptive = {
	.name		= "adaptive",
	.default_window	= PH_BATCH_PAGES,
	.max_window	= PH_BATCH_PAGES,
	.window		= ph_adaptive_window,
};
