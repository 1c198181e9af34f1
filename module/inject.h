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
 * ph_inject_begin_locked - a call begins that may commit
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

#endif /* _PRIVHEAP_INJECT_H */
