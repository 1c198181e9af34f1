/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Failure injection, for the files that ask whether a commit is to fail. While no
 * heap has ever asked for it, that is an instruction that does nothing.
 */
#ifndef _PRIVHEAP_INJECT_H
#define _PRIVHEAP_INJECT_H

#include <linux/jump_label.h>

#include "internal.h"

DECLARE_STATIC_KEY_FALSE(ph_inject_used);

bool ph_inject_fails_locked(struct ph_heap *heap);

/**
 * ph_inject_begin_locked - a call, or one try of it, begins that may commit
 * @heap: in this heap
 *
 * Context: Caller holds ph_heap.lock.
 */
static inline void ph_inject_begin_locked(struct ph_heap *heap)
{
	if (static_branch_unlikely(&ph_inject_used))
		heap->inject.failing = false;
}

/**
 * ph_inject_commit_locked - let a commit fail that is to
 * @heap: in this heap
 *
 * Context: Caller holds ph_heap.lock.
 * Return: 0 or -ENOMEM.
 */
static inline int ph_inject_commit_locked(struct ph_heap *heap)
{
	if (static_branch_unlikely(&ph_inject_used) &&
	    ph_inject_fails_locked(heap))
		return -ENOMEM;
	return 0;
}

/**
 * ph_inject_end_locked - a call, or one try of it, ends
 * @heap: in this heap
 * @err: how; counts are not negative
 *
 * What failed as it was told to is not to be tried again by ph_heap_mend().
 *
 * Context: Caller holds ph_heap.lock, and has held it since
 * ph_inject_begin_locked().
 * Return: @err, or -ECANCELED for an error that was injected.
 */
static inline int ph_inject_end_locked(struct ph_heap *heap, int err)
{
	if (static_branch_unlikely(&ph_inject_used) && err < 0 &&
	    heap->inject.failing)
		return -ECANCELED;
	return err;
}

#endif /* _PRIVHEAP_INJECT_H */
