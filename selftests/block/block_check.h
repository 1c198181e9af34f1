/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks from inside the bookkeeping. They abort when something is wrong.
 */
#ifndef _BLOCK_CHECK_H
#define _BLOCK_CHECK_H

#include "../../module/block.h"

/* Are just those pages of a region committed that belong to spans and blocks? */
void check_pages(struct ph_block_region *region, const unsigned char *committed);
/* The table of size classes, for every size. */
void check_classes(void);
/* Longer runs are in higher bins, two a doubling. */
void check_bins_of_lengths(void);
/* The slot of an address, for every offset in the longest span of each class. */
void check_slot_at(void);

/* Memory of the store's own table of classes, which is no metadata of blocks. */
unsigned long check_class_bytes(const struct ph_block_store *store);
/* Length of the first, or the longest, spans for blocks of a size. */
unsigned long check_span_bytes(unsigned long bytes, bool grown);
/* Length of the slots for blocks of a size. */
unsigned long check_slot_bytes(unsigned long bytes);

#endif /* _BLOCK_CHECK_H */
