// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls on guarded blocks, and the one that says what an address belongs to.
 */
#include "heap.h"
#include "inject.h"
#include "trace.h"

/* What a guarded block takes of a region, at most. */
static unsigned long ph_heap_guarded_bytes(const struct privheap_guard_alloc *arg)
{
	return arg->bytes + 2 * PAGE_SIZE;
}

static int ph_heap_guard_alloc_locked(struct ph_heap *heap,
				      const struct privheap_guard_alloc *arg,
				      u64 __user *answer)
{
	const struct ph_guard_request request = {
		.bytes = arg->bytes,
		.align = arg->align,
		.before = arg->flags & PRIVHEAP_GUARD_ALLOC_F_BEFORE,
		.cookie = arg->cookie,
	};
	struct ph_region *region;
	struct ph_block block;
	unsigned long addr;
	int err;

	err = ph_heap_check_locked(heap);
	if (err)
		return err;
	err = ph_block_alloc_guarded(&heap->store, &request, &addr);
	if (err)
		return err;
	if (arg->bytes && arg->flags & PRIVHEAP_GUARD_ALLOC_F_ZERO)
		ph_content_zero(ph_heap_find_region(heap, addr), addr,
				arg->bytes);
	err = ph_answer(answer, addr);
	if (likely(!err))
		trace_privheap_block_alloc(heap, addr, arg->bytes, arg->align,
					   arg->flags);
	else if (!WARN_ON_ONCE(ph_heap_find_block(heap, addr, &region, &block)))
		ph_block_cancel_guarded(&heap->store, &block);
	return err;
}

/**
 * ph_heap_guard_alloc - allocate a guarded block and tell the caller its address
 * @heap: where
 * @arg: size, alignment (a power of two, not 0), flags and cookie, checked
 * @answer: receives the address
 *
 * Context: May sleep; takes ph_heap.lock, and mmap_lock when the heap grows.
 * Return: 0, -EOPNOTSUPP when this heap has no guarded blocks, and what
 * ph_heap_alloc() returns.
 */
int ph_heap_guard_alloc(struct ph_heap *heap,
			const struct privheap_guard_alloc *arg,
			u64 __user *answer)
{
	struct mem_cgroup *outer;
	int err;

	if (!(heap->flags & PRIVHEAP_CREATE_F_GUARD))
		return -EOPNOTSUPP;
	outer = ph_cgroup_enter(heap->cgroup);
	do {
		mutex_lock(&heap->lock);
		ph_inject_begin_locked(heap);
		heap->charge.grace = arg->flags & PRIVHEAP_GUARD_ALLOC_F_GRACE;
		err = ph_heap_guard_alloc_locked(heap, arg, answer);
		heap->charge.grace = false;
		if (err == -EDQUOT)
			ph_limit_report_refusal(heap);
		err = ph_inject_end_locked(heap, err);
		mutex_unlock(&heap->lock);
		if (!err)
			break;
		err = ph_heap_mend(heap, err, ph_heap_guarded_bytes(arg),
				   arg->align, NULL, answer);
	} while (!err);
	ph_cgroup_leave(heap->cgroup, outer);
	return err;
}

/**
 * ph_heap_guard_free - free a guarded block
 * @heap: where
 * @arg: its address, and a cookie to keep
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENOENT also for a block that is not guarded, -ENXIO, -EIDRM.
 */
int ph_heap_guard_free(struct ph_heap *heap,
		       const struct privheap_guard_free *arg)
{
	struct ph_region *region;
	struct ph_block block;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_heap_find_block(heap, arg->addr, &region, &block);
	if (!err && !ph_block_is_guarded(&block))
		err = -ENOENT;
	if (!err) {
		trace_privheap_block_free(heap, &block);
		ph_block_free_guarded(&heap->store, &block, arg->cookie);
	}
	mutex_unlock(&heap->lock);
	return err;
}

/**
 * ph_heap_describe - say which block an address belongs to
 * @heap: where
 * @arg: the address; receives what is known
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENOENT for an address in no region of the heap, -ENXIO, -EIDRM.
 */
int ph_heap_describe(struct ph_heap *heap, struct privheap_describe *arg)
{
	struct ph_block_description found;
	struct ph_region *region = NULL;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		region = ph_heap_find_region(heap, arg->addr);
	if (region)
		ph_block_describe(&region->blocks, arg->addr, &found);
	mutex_unlock(&heap->lock);
	if (err)
		return err;
	if (!region)
		return -ENOENT;
	arg->out_state = found.state;
	arg->out_guarded = found.guarded;
	arg->out_addr = found.addr;
	arg->out_bytes = found.bytes;
	arg->out_alloc_cookie = found.alloc_cookie;
	arg->out_free_cookie = found.free_cookie;
	return 0;
}
