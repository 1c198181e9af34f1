// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Wrong pointers, which on Windows mean that a heap is corrupt.
 *
 * They cannot harm a heap of ours, so the calls answer with an error code, or
 * end the process if the program or its environment asks for it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static atomic_bool fatal;

void hd_corruption_init(void)
{
	const char *value = secure_getenv("HEAPDEV_TERMINATE_ON_CORRUPTION");

	if (value && *value && strcmp(value, "0"))
		hd_corruption_set_fatal();
}

void hd_corruption_set_fatal(void)
{
	atomic_store_explicit(&fatal, true, memory_order_relaxed);
}

void hd_corruption_found(const char *function, HANDLE heap, const void *block)
{
	if (!atomic_load_explicit(&fatal, memory_order_relaxed))
		return;
	dprintf(2, "libheapdev: heap corruption (%#x): %s: heap %p has no live block at %p\n",
		STATUS_HEAP_CORRUPTION, function, heap, block);
	abort();
}
