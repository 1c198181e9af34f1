/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policies: when pages become resident, and how many at a time.
 *
 * Each policy is a struct ph_policy in a file of its own; policy.c has the table
 * of them and gives a heap its policy.
 */
#ifndef _PRIVHEAP_POLICY_H
#define _PRIVHEAP_POLICY_H

#include "chunk.h"

/**
 * struct ph_policy - what a policy decides
 * @name: as in the module's parameter
 * @default_window: pages, for a heap that names no window
 * @max_window: the longest that can be asked for
 * @at_commit: pages become resident when they are committed
 * @huge: heaps that are made with it can have huge pages
 * @window: tells which pages of @chunk are to be resident and mapped after page
 *	@n was touched; @pages is the heap's window. The answer contains @n and
 *	no more than PH_BATCH_PAGES pages, or is the whole of a blank chunk; it may
 *	name pages that are not committed, or not there: these are left out. Called
 *	with the chunk's lock held
 */
struct ph_policy {
	const char *name;
	unsigned int default_window;
	unsigned int max_window;
	bool at_commit;
	bool huge;
	struct ph_part (*window)(struct ph_region *region,
				 struct ph_chunk *chunk, unsigned long n,
				 unsigned int pages);
};

extern const struct ph_policy ph_policy_page;
extern const struct ph_policy ph_policy_window;
extern const struct ph_policy ph_policy_adaptive;
extern const struct ph_policy ph_policy_populate;
extern const struct ph_policy ph_policy_huge;

/* The window around the place of page @n, aligned to its own length. */
static inline struct ph_part ph_policy_around(unsigned long n,
					      unsigned int pages)
{
	unsigned int lo = round_down(n % PH_CHUNK_PAGES, pages);

	return (struct ph_part){ .lo = lo, .hi = lo + pages };
}

#endif /* _PRIVHEAP_POLICY_H */
