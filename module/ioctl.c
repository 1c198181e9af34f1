// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls, one by one: what each checks of its structure, which function serves
 * it, and when the answer is written.
 *
 * A handler gets a copy of the structure that is as long as the module knows it,
 * with no other flags than it has; it looks up the heap and the rest.
 */
#include <linux/log2.h>
#include <linux/mm.h>

#include "internal.h"

static int ph_ioctl_info(struct ph_call *call)
{
	struct privheap_info *arg = &call->arg.info;

	arg->out_abi_version = PRIVHEAP_ABI_VERSION;
	arg->out_page_bytes = PAGE_SIZE;
	arg->out_region_align_bytes = PH_REGION_ALIGN;
	arg->out_block_align_bytes = PH_BLOCK_ALIGN;
	arg->out_align_max_bytes = PH_BLOCK_ALIGN_MAX;
	arg->out_slot_max_bytes = PH_SLOT_MAX_BYTES;
	arg->out_region_block_bytes = PH_REGION_BLOCK_BYTES;
	arg->out_max_bytes = ph_max_bytes();
	arg->out_take_max_spans = PH_TAKE_MAX_SPANS;
	arg->out_take_max_pages = PH_TAKE_MAX_PAGES;
	arg->out_batch_max = PH_BATCH_MAX;
	return ph_call_answer(call);
}

static int ph_ioctl_create(struct ph_call *call)
{
	struct privheap_create *arg = &call->arg.create;
	int err;

	err = ph_policy_check(arg->policy, arg->window_pages);
	if (err)
		return err;
	if (arg->__reserved ||
	    (arg->cgroup_fd && !(arg->flags & PRIVHEAP_CREATE_F_CGROUP)))
		return -EINVAL;
	if (arg->idle_bytes > ph_max_bytes())
		return -EOVERFLOW;
	if (max3(arg->initial_bytes, arg->max_bytes, arg->limit_bytes) >
	    ph_max_bytes() ||
	    max(arg->soft_bytes, arg->grace_bytes) > ph_max_bytes())
		return -EOVERFLOW;
	/* Kept pages cannot be guards; a quarantine has guarded blocks. */
	if (arg->flags & PRIVHEAP_CREATE_F_GUARD ? arg->initial_bytes :
						   arg->quarantine_bytes)
		return -EOPNOTSUPP;
	return ph_heap_create(call);
}

static int ph_ioctl_destroy(struct ph_call *call)
{
	struct ph_heap *heap;

	heap = ph_file_withdraw(call->file, call->arg.destroy.heap);
	if (!heap)
		return -ENXIO;
	ph_heap_destroy(call->file->process, heap);
	return 0;
}

static int ph_ioctl_stat(struct ph_call *call)
{
	struct ph_heap *heap = ph_heap_get(call->file, call->arg.stat.heap);
	int err;

	if (!heap)
		return -ENXIO;
	err = ph_heap_stat(heap, &call->arg.stat);
	ph_heap_put(heap);
	return err ?: ph_call_answer(call);
}

/*
 * Tells the program whether soft limits were crossed, by this call or another one
 * that did not come to tell.
 */
static void ph_call_notice(struct ph_heap *heap, u64 __user *notice)
{
	unsigned int scopes;

	if (likely(!READ_ONCE(heap->charge.notice)))
		return;
	mutex_lock(&heap->lock);
	scopes = heap->charge.notice;
	heap->charge.notice = 0;
	mutex_unlock(&heap->lock);
	/* The answer beside it could be written; so can this, or it is lost. */
	if (scopes)
		put_user(scopes, notice);
}

/* Apart from the calls on other heaps, which have to be quick. */
static noinline int ph_call_alloc_in_cgroup(struct ph_heap *heap,
					    const struct privheap_alloc *arg,
					    u64 __user *answer)
{
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	int err = ph_heap_alloc(heap, arg, answer);

	ph_cgroup_leave(heap->cgroup, outer);
	return err;
}

/*
 * Calls that hand out a block first write to the place of the answer what is
 * there already: an answer that cannot be written is refused before anything was
 * done, and ph_answer() will find the page present.
 */
static int ph_ioctl_alloc(struct ph_call *call)
{
	struct privheap_alloc __user *uarg = call->uarg;
	struct privheap_alloc *arg = &call->arg.alloc;
	struct ph_heap *heap;
	int err;

	err = ph_alloc_check(arg);
	if (err)
		return err;
	if (put_user(arg->out_addr, &uarg->out_addr))
		return -EFAULT;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = likely(!heap->cgroup) ?
	      ph_heap_alloc(heap, arg, &uarg->out_addr) :
	      ph_call_alloc_in_cgroup(heap, arg, &uarg->out_addr);
	if (!err)
		ph_call_notice(heap, &uarg->out_notice);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_realloc(struct ph_call *call)
{
	struct privheap_realloc __user *uarg = call->uarg;
	struct privheap_realloc *arg = &call->arg.realloc;
	struct mem_cgroup *outer;
	struct ph_heap *heap;
	int err;

	if (arg->bytes > ph_max_bytes())
		return -EOVERFLOW;
	if (put_user(arg->out_addr, &uarg->out_addr))
		return -EFAULT;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	outer = ph_cgroup_enter(heap->cgroup);
	err = ph_heap_realloc(heap, arg, &uarg->out_addr);
	ph_cgroup_leave(heap->cgroup, outer);
	if (!err)
		ph_call_notice(heap, &uarg->out_notice);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_free(struct ph_call *call)
{
	struct ph_heap *heap = ph_heap_get(call->file, call->arg.free.heap);
	int err;

	if (!heap)
		return -ENXIO;
	err = ph_heap_free(heap, call->arg.free.addr);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_size(struct ph_call *call)
{
	struct ph_heap *heap = ph_heap_get(call->file, call->arg.size.heap);
	int err;

	if (!heap)
		return -ENXIO;
	err = ph_heap_size(heap, &call->arg.size);
	ph_heap_put(heap);
	return err ?: ph_call_answer(call);
}

static int ph_ioctl_compact(struct ph_call *call)
{
	struct ph_heap *heap;
	int err;

	err = ph_call_answer(call);	/* before anything is given back */
	if (err)
		return err;
	heap = ph_heap_get(call->file, call->arg.compact.heap);
	if (!heap)
		return -ENXIO;
	err = ph_heap_compact(heap, &call->arg.compact);
	ph_heap_put(heap);
	return err ?: ph_call_answer(call);
}

static int ph_ioctl_guard_alloc(struct ph_call *call)
{
	struct privheap_guard_alloc __user *uarg = call->uarg;
	struct privheap_guard_alloc *arg = &call->arg.guard_alloc;
	bool before = arg->flags & PRIVHEAP_GUARD_ALLOC_F_BEFORE;
	struct ph_heap *heap;
	int err;

	if (!arg->align)
		arg->align = PH_BLOCK_ALIGN;
	if (!is_power_of_2(arg->align))
		return -EINVAL;
	if (arg->align > (before ? PAGE_SIZE : PH_BLOCK_ALIGN_MAX))
		return -EOPNOTSUPP;
	if (arg->bytes > ph_max_bytes())
		return -EOVERFLOW;
	if (put_user(arg->out_addr, &uarg->out_addr))
		return -EFAULT;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_heap_guard_alloc(heap, arg, &uarg->out_addr);
	if (!err)
		ph_call_notice(heap, &uarg->out_notice);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_guard_free(struct ph_call *call)
{
	struct ph_heap *heap = ph_heap_get(call->file, call->arg.guard_free.heap);
	int err;

	if (!heap)
		return -ENXIO;
	err = ph_heap_guard_free(heap, &call->arg.guard_free);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_describe(struct ph_call *call)
{
	struct ph_heap *heap = ph_heap_get(call->file, call->arg.describe.heap);
	int err;

	if (!heap)
		return -ENXIO;
	err = ph_heap_describe(heap, &call->arg.describe);
	ph_heap_put(heap);
	return err ?: ph_call_answer(call);
}

/* Walks with a page of entries, and copies out what of it was filled. */
static int ph_ioctl_walk_entries(struct ph_call *call, struct ph_heap *heap)
{
	struct privheap_walk *arg = &call->arg.walk;
	struct privheap_entry *entries;
	int nr;

	entries = (void *)get_zeroed_page(PH_GFP_META);
	if (!entries)
		return -ENOMEM;
	nr = ph_walk(heap, arg, entries,
		     min_t(u32, arg->nr_entries, PAGE_SIZE / sizeof(*entries)));
	if (nr > 0 && copy_to_user(u64_to_user_ptr(arg->entries), entries,
				   nr * sizeof(*entries)))
		nr = -EFAULT;
	free_page((unsigned long)entries);
	if (nr < 0)
		return nr;
	arg->out_nr_entries = nr;
	return 0;
}

static int ph_ioctl_walk(struct ph_call *call)
{
	struct privheap_walk *arg = &call->arg.walk;
	struct ph_heap *heap;
	int err;

	if (arg->__reserved || !arg->nr_entries)
		return -EINVAL;
	if (arg->after_kind > PRIVHEAP_ENTRY_TAKEN)
		return -EOPNOTSUPP;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_ioctl_walk_entries(call, heap);
	ph_heap_put(heap);
	return err ?: ph_call_answer(call);
}

static int ph_ioctl_reset(struct ph_call *call)
{
	struct ph_heap *heap;
	int err;

	err = ph_call_answer(call);	/* before anything is freed */
	if (err)
		return err;
	heap = ph_heap_get(call->file, call->arg.reset.heap);
	if (!heap)
		return -ENXIO;
	err = ph_heap_reset(heap, &call->arg.reset);
	ph_heap_put(heap);
	if (!err)
		ph_call_answer(call);	/* unless that was in a block of the heap */
	return err;
}

/* A call on a range of pages; @work receives how much of it was done. */
static int ph_call_on_pages(struct ph_call *call, u64 id, u64 addr, u64 bytes,
			    u64 *done,
			    int (*work)(struct ph_heap *heap, u64 addr,
					u64 bytes, u64 *done))
{
	struct ph_heap *heap;
	int err;

	if (!PAGE_ALIGNED(addr) || !PAGE_ALIGNED(bytes) || !bytes)
		return -EINVAL;
	err = ph_call_answer(call);	/* before anything is changed */
	if (err)
		return err;
	heap = ph_heap_get(call->file, id);
	if (!heap)
		return -ENXIO;
	err = work(heap, addr, bytes, done);
	ph_heap_put(heap);
	if (!err)
		ph_call_answer(call);	/* unless that was in these pages */
	return err;
}

static int ph_ioctl_prefault(struct ph_call *call)
{
	struct privheap_prefault *arg = &call->arg.prefault;

	return ph_call_on_pages(call, arg->heap, arg->addr, arg->bytes,
				&arg->out_done_bytes, ph_range_prefault);
}

static int ph_ioctl_commit(struct ph_call *call)
{
	struct privheap_commit *arg = &call->arg.commit;

	return ph_call_on_pages(call, arg->heap, arg->addr, arg->bytes,
				&arg->out_done_bytes, ph_range_commit);
}

static int ph_ioctl_decommit(struct ph_call *call)
{
	struct privheap_decommit *arg = &call->arg.decommit;

	return ph_call_on_pages(call, arg->heap, arg->addr, arg->bytes,
				&arg->out_done_bytes, ph_range_decommit);
}

static int ph_ioctl_policy(struct ph_call *call)
{
	struct privheap_policy *arg = &call->arg.policy;
	struct ph_heap *heap;
	int err;

	err = ph_policy_check(arg->policy, arg->window_pages);
	if (err)
		return err;
	if (arg->idle_bytes > ph_max_bytes())
		return -EOVERFLOW;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_heap_policy(heap, arg, PH_POLICY_SET_ALL);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_inject(struct ph_call *call)
{
	struct privheap_inject *arg = &call->arg.inject;
	struct ph_heap *heap;
	int err;

	err = ph_inject_check(arg);
	if (err)
		return err;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_heap_inject(heap, arg);
	ph_heap_put(heap);
	return err;
}

static struct ph_limit *ph_call_find_limit(struct ph_call *call)
{
	struct ph_limit *limit = &call->file->process->limit;
	struct ph_heap *heap;

	if (call->arg.limit.scope == PRIVHEAP_SCOPE_HEAP) {
		heap = ph_heap_get(call->file, call->arg.limit.heap);
		return heap ? &heap->limit : NULL;
	}
	refcount_inc(&limit->refs);
	return limit;
}

static int ph_ioctl_limit_check(const struct privheap_limit *arg)
{
	if (arg->__reserved)
		return -EINVAL;
	if (arg->scope == PRIVHEAP_SCOPE_PROCESS)
		return arg->heap ? -EINVAL : 0;
	return arg->scope == PRIVHEAP_SCOPE_HEAP ? 0 : -EOPNOTSUPP;
}

/* Is a limit that is to be set one that no heap could have? */
static bool ph_limit_overflows(u64 bytes)
{
	return bytes != PRIVHEAP_LIMIT_NONE && bytes > ph_max_bytes();
}

static int ph_ioctl_limit_change(struct ph_limit *limit,
				 const struct privheap_limit *arg)
{
	struct ph_limit_change change = {
		.set = arg->flags,
		.hard_bytes = arg->hard_bytes,
		.soft_bytes = arg->soft_bytes,
		.grace_bytes = arg->grace_bytes,
	};

	if ((change.set & PRIVHEAP_LIMIT_F_HARD &&
	     ph_limit_overflows(change.hard_bytes)) ||
	    (change.set & PRIVHEAP_LIMIT_F_SOFT &&
	     ph_limit_overflows(change.soft_bytes)) ||
	    (change.set & PRIVHEAP_LIMIT_F_GRACE &&
	     change.grace_bytes > ph_max_bytes()))
		return -EOVERFLOW;
	return change.set ? ph_limit_set(limit, &change, PH_LIMIT_BY_PROGRAM) : 0;
}

static void ph_ioctl_limit_fill(struct ph_limit *limit,
				struct privheap_limit *arg)
{
	arg->out_hard_bytes = ph_limit_bytes(READ_ONCE(limit->hard_pages));
	arg->out_soft_bytes = ph_limit_bytes(READ_ONCE(limit->soft_pages));
	arg->out_grace_bytes = (u64)READ_ONCE(limit->grace_pages) << PAGE_SHIFT;
	arg->out_ceiling_bytes = ph_limit_bytes(READ_ONCE(limit->ceiling_pages));
	arg->out_usage_bytes = (u64)ph_limit_usage(limit) << PAGE_SHIFT;
	arg->out_peak_bytes = (u64)atomic_long_read(&limit->peak_pages) <<
			      PAGE_SHIFT;
	arg->out_nr_failures = atomic_long_read(&limit->nr_failures);
	arg->out_nr_soft_hits = atomic_long_read(&limit->nr_soft_hits);
}

static int ph_ioctl_limit(struct ph_call *call)
{
	struct privheap_limit *arg = &call->arg.limit;
	struct ph_limit *limit;
	int err;

	err = ph_ioctl_limit_check(arg);
	if (!err)
		err = ph_call_answer(call);	/* before anything is changed */
	if (err)
		return err;
	limit = ph_call_find_limit(call);
	if (!limit)
		return -ENXIO;
	err = ph_ioctl_limit_change(limit, arg);
	if (!err)
		ph_ioctl_limit_fill(limit, arg);
	ph_limit_put(limit);
	if (err)
		return err;
	err = ph_call_answer(call);
	/* It could be written a moment ago, and what was changed stays so. */
	return arg->flags ? 0 : err;
}

static int ph_ioctl_take(struct ph_call *call)
{
	struct privheap_take __user *uarg = call->uarg;
	struct privheap_take *arg = &call->arg.take;
	struct ph_heap *heap;
	int err;

	if (!arg->nr_spans || !arg->nr_pages)
		return -EINVAL;
	if (arg->nr_spans > PH_TAKE_MAX_SPANS || arg->nr_pages > PH_TAKE_MAX_PAGES)
		return -EOPNOTSUPP;
	err = ph_call_answer(call);	/* before anything is taken */
	if (err)
		return err;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_front_take(heap, call);
	if (!err)
		ph_call_notice(heap, &uarg->out_notice);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_batch(struct ph_call *call)
{
	struct privheap_batch __user *uarg = call->uarg;
	struct privheap_batch *arg = &call->arg.batch;
	struct ph_heap *heap;
	int err;

	if (arg->__reserved || !arg->nr_entries)
		return -EINVAL;
	if (arg->op < PRIVHEAP_BATCH_ALLOC || arg->op > PRIVHEAP_BATCH_DROP ||
	    arg->nr_entries > PH_BATCH_MAX ||
	    (arg->flags && arg->op != PRIVHEAP_BATCH_ALLOC))
		return -EOPNOTSUPP;
	err = ph_call_answer(call);	/* before anything is done */
	if (err)
		return err;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_front_batch(heap, arg);
	if (!err) {
		ph_call_answer(call);	/* unless that was in a block it freed */
		ph_call_notice(heap, &uarg->out_notice);
	}
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_count(struct ph_call *call)
{
	struct privheap_count *arg = &call->arg.count;
	struct ph_heap *heap;
	int err;

	if (!IS_ALIGNED(arg->counters, sizeof(struct privheap_counters)))
		return -EINVAL;
	heap = ph_heap_get(call->file, arg->heap);
	if (!heap)
		return -ENXIO;
	err = ph_front_count(heap, arg);
	ph_heap_put(heap);
	return err;
}

static int ph_ioctl_pagemap(struct ph_call *call)
{
	struct ph_heap *heap;
	int err;

	err = ph_call_answer(call);	/* before anything is mapped */
	if (err)
		return err;
	heap = ph_heap_get(call->file, call->arg.pagemap.heap);
	if (!heap)
		return -ENXIO;
	err = ph_pagemap_get(heap, &call->arg.pagemap);
	ph_heap_put(heap);
	return err ?: ph_call_answer(call);
}

/* ph_call_read_words() of file.c needs structures of whole words. */
#define PH_IOCTL_SIZE(type)						\
	(sizeof(type) + BUILD_BUG_ON_ZERO(sizeof(type) % sizeof(u64)))

#define PH_IOCTL(name, type, last, all_flags)				\
	[_IOC_NR(PRIVHEAP_IOC_##name)] = {				\
		.size = PH_IOCTL_SIZE(struct privheap_##type),		\
		.min_size = offsetofend(struct privheap_##type, last),	\
		.flags = all_flags,					\
		.handler = ph_ioctl_##type,				\
	}

const struct ph_ioctl ph_ioctls[PH_NR_IOCTLS] = {
	PH_IOCTL(INFO, info, out_batch_max, 0),
	PH_IOCTL(CREATE, create, out_region_bytes, PRIVHEAP_CREATE_F_ALL),
	PH_IOCTL(DESTROY, destroy, heap, 0),
	PH_IOCTL(STAT, stat, out_taken_bytes, 0),
	PH_IOCTL(ALLOC, alloc, out_addr, PRIVHEAP_ALLOC_F_ALL),
	PH_IOCTL(REALLOC, realloc, out_addr, PRIVHEAP_REALLOC_F_ALL),
	PH_IOCTL(FREE, free, addr, 0),
	PH_IOCTL(SIZE, size, out_capacity_bytes, 0),
	PH_IOCTL(WALK, walk, __reserved, 0),
	PH_IOCTL(RESET, reset, out_idle_bytes, 0),
	PH_IOCTL(COMPACT, compact, out_largest_free_bytes, 0),
	PH_IOCTL(COMMIT, commit, out_done_bytes, 0),
	PH_IOCTL(DECOMMIT, decommit, out_done_bytes, 0),
	PH_IOCTL(PREFAULT, prefault, out_done_bytes, 0),
	PH_IOCTL(POLICY, policy, idle_bytes, 0),
	PH_IOCTL(INJECT, inject, __reserved, 0),
	PH_IOCTL(LIMIT, limit, out_nr_soft_hits, PRIVHEAP_LIMIT_F_ALL),
	PH_IOCTL(GUARD_ALLOC, guard_alloc, out_addr, PRIVHEAP_GUARD_ALLOC_F_ALL),
	PH_IOCTL(GUARD_FREE, guard_free, cookie, 0),
	PH_IOCTL(DESCRIBE, describe, out_free_cookie, 0),
	PH_IOCTL(TAKE, take, out_notice, 0),
	PH_IOCTL(BATCH, batch, out_notice, PRIVHEAP_ALLOC_F_ALL),
	PH_IOCTL(COUNT, count, counters, 0),
	PH_IOCTL(PAGEMAP, pagemap, out_nr_pages, 0),
};
