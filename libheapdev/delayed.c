// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Freed blocks of a debug heap that are not given back to the kernel yet.
 *
 * A ring in the order of freeing, and a hash table of their addresses, probed one
 * place after the other. It is half full at most.
 */
#include <string.h>

#include "debug.h"

#define NR_BUCKETS	(2 * HD_DELAYED_BLOCKS)

static unsigned int bucket_of(const void *base)
{
	return ((uintptr_t)base / MEMORY_ALLOCATION_ALIGNMENT *
		0x9e3779b97f4a7c15u >> 32) % NR_BUCKETS;
}

static unsigned int place_of(uint64_t sequence)
{
	return sequence % HD_DELAYED_BLOCKS;
}

void hd_delayed_init(struct hd_delayed *delayed)
{
	memset(delayed, 0, sizeof(*delayed));
}

/* The bucket of the block at @base, or the empty one where it would be. */
static unsigned int find_bucket(const struct hd_delayed *delayed,
				const void *base)
{
	unsigned int bucket = bucket_of(base), place;

	while ((place = delayed->buckets[bucket]) &&
	       delayed->blocks[place - 1].base != base)
		bucket = (bucket + 1) % NR_BUCKETS;
	return bucket;
}

const struct hd_delayed_block *hd_delayed_find(const struct hd_delayed *delayed,
					       const void *base)
{
	uint32_t place = delayed->buckets[find_bucket(delayed, base)];

	return place ? &delayed->blocks[place - 1] : NULL;
}

/* Closes the gap, so that those behind it are found still. */
static void empty_bucket(struct hd_delayed *delayed, unsigned int gap)
{
	unsigned int bucket = gap, home;

	delayed->buckets[gap] = 0;
	for (;;) {
		bucket = (bucket + 1) % NR_BUCKETS;
		if (!delayed->buckets[bucket])
			return;
		home = bucket_of(delayed->blocks[delayed->buckets[bucket] - 1].base);
		if ((bucket - home) % NR_BUCKETS < (bucket - gap) % NR_BUCKETS)
			continue;
		delayed->buckets[gap] = delayed->buckets[bucket];
		delayed->buckets[bucket] = 0;
		gap = bucket;
	}
}

bool hd_delayed_remove_oldest(struct hd_delayed *delayed,
			      struct hd_delayed_block *oldest)
{
	if (delayed->first == delayed->end)
		return false;
	*oldest = delayed->blocks[place_of(delayed->first)];
	empty_bucket(delayed, find_bucket(delayed, oldest->base));
	delayed->first++;
	return true;
}

bool hd_delayed_add(struct hd_delayed *delayed,
		    const struct hd_delayed_block *block,
		    struct hd_delayed_block *oldest)
{
	bool full = delayed->end - delayed->first == HD_DELAYED_BLOCKS;
	unsigned int place;

	if (full)
		hd_delayed_remove_oldest(delayed, oldest);
	place = place_of(delayed->end++);
	delayed->blocks[place] = *block;
	delayed->buckets[find_bucket(delayed, block->base)] = place + 1;
	return full;
}
