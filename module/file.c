// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device file: open, release, and the way of a call from the ioctl to the
 * function that serves it.
 *
 * All that a call has in common happens here, once: whose file it is, how long
 * the structure is, which flags there are. A handler gets a copy that is as long
 * as the module knows it; it looks up the heap and the rest.
 */
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "internal.h"
#include "trace.h"

/**
 * ph_max_bytes - how large can a heap or a block be?
 *
 * Return: so many bytes; no size of the current task's may be larger.
 */
u64 ph_max_bytes(void)
{
	unsigned long end = TASK_SIZE;

#ifdef DEFAULT_MAP_WINDOW
	/* Beyond it a program has to ask for addresses; heaps do not. */
	end = min(end, DEFAULT_MAP_WINDOW);
#endif
	return ALIGN_DOWN(end, PH_REGION_ALIGN);
}

/**
 * ph_answer_fault_in - bring the page of an answer in that ph_answer() missed
 * @answer: where the answer goes
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0 when it is worth trying again, -EFAULT when there is no such page,
 * -EINTR when the task is being killed.
 */
int ph_answer_fault_in(void __user *answer)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	cond_resched();
	return fault_in_safe_writeable(answer, sizeof(u64)) ? -EFAULT : 0;
}

/**
 * ph_call_answer - copy the whole structure of a call back to the caller
 * @call: the call
 *
 * Context: May sleep and fault.
 * Return: 0 or -EFAULT.
 */
int ph_call_answer(struct ph_call *call)
{
	size_t len = min_t(size_t, call->usize, sizeof(call->arg));

	return copy_to_user(call->uarg, &call->arg, len) ? -EFAULT : 0;
}

/* The first heaps of a file are found without a search. */
static struct ph_heap *ph_file_find(struct ph_file *file, u32 index)
{
	if (likely(index < PH_FIRST_HEAPS))
		return rcu_dereference_check(
			file->first_heaps[array_index_nospec(index, PH_FIRST_HEAPS)],
			lockdep_is_held(&file->heaps.xa_lock));
	return xa_load(&file->heaps, index);
}

static struct ph_heap *ph_heap_get(struct ph_file *file, u64 id)
{
	struct ph_heap *heap;

	rcu_read_lock();
	heap = ph_file_find(file, id);
	if (heap && (heap->id != id || !refcount_inc_not_zero(&heap->refs)))
		heap = NULL;
	rcu_read_unlock();
	return heap;
}

/**
 * ph_file_publish - let calls find a heap
 * @file: the open file, in whose table the heap's place is reserved
 * @heap: the heap; its creator's reference is the table's from here on
 */
void ph_file_publish(struct ph_file *file, struct ph_heap *heap)
{
	u32 index = heap->id;

	/* The entry is reserved, so storing needs no memory and cannot fail. */
	xa_lock(&file->heaps);
	__xa_store(&file->heaps, index, heap, GFP_KERNEL);
	if (index < PH_FIRST_HEAPS)
		rcu_assign_pointer(file->first_heaps[index], heap);
	trace_privheap_heap_create(heap);
	xa_unlock(&file->heaps);
}

/* Takes a heap out of the table: the caller gets the table's reference. */
static struct ph_heap *ph_file_withdraw(struct ph_file *file, u64 id)
{
	struct ph_heap *heap;
	u32 index = id;

	xa_lock(&file->heaps);
	heap = ph_file_find(file, index);
	if (heap && heap->id == id) {
		__xa_erase(&file->heaps, index);
		if (index < PH_FIRST_HEAPS)
			RCU_INIT_POINTER(file->first_heaps[index], NULL);
		trace_privheap_heap_destroy(heap);
	} else {
		heap = NULL;
	}
	xa_unlock(&file->heaps);
	if (heap)
		ph_event_heap(PRIVHEAP_EVENT_HEAP_DESTROYED, heap);
	return heap;
}

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
	ph_heap_destroy(heap);
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

/**
 * ph_alloc_check - check what an allocation asks for
 * @arg: size and alignment; the default alignment is filled in
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP, -EOVERFLOW.
 */
int ph_alloc_check(struct privheap_alloc *arg)
{
	if (!arg->align)
		arg->align = PH_BLOCK_ALIGN;
	if (!is_power_of_2(arg->align))
		return -EINVAL;
	if (arg->align > PH_BLOCK_ALIGN_MAX)
		return -EOPNOTSUPP;
	return arg->bytes > ph_max_bytes() ? -EOVERFLOW : 0;
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
	if (arg->op < PRIVHEAP_BATCH_ALLOC || arg->op > PRIVHEAP_BATCH_GIVE ||
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

/**
 * struct ph_ioctl - one call
 * @size: of its structure as the module knows it
 * @min_size: of the first version of that structure
 * @flags: all flags that it has
 * @handler: serves it
 */
struct ph_ioctl {
	u16 size;
	u16 min_size;
	u32 flags;
	int (*handler)(struct ph_call *call);
};

/* ph_call_read_words() needs structures of whole words. */
#define PH_IOCTL_SIZE(type)						\
	(sizeof(type) + BUILD_BUG_ON_ZERO(sizeof(type) % sizeof(u64)))

#define PH_IOCTL(name, type, last, all_flags)				\
	[_IOC_NR(PRIVHEAP_IOC_##name)] = {				\
		.size = PH_IOCTL_SIZE(struct privheap_##type),		\
		.min_size = offsetofend(struct privheap_##type, last),	\
		.flags = all_flags,					\
		.handler = ph_ioctl_##type,				\
	}

static const struct ph_ioctl ph_ioctls[] = {
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
};

/*
 * Every structure starts with the first two. Those of calls that answer ENXIO go on
 * with the heap, and those of calls on a block with the block.
 */
struct ph_call_head {
	u32 size;
	u32 flags;
	u64 heap;
	u64 addr;
};

/*
 * Reads a structure that is exactly as long as the module knows it. Word by word,
 * and with a length that the compiler knows, that takes a sixth of what
 * copy_struct_from_user() and the checks of a copy of variable length do, which is
 * a tenth of a whole call.
 */
static __always_inline bool ph_call_read_words(struct ph_call *call, size_t size)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	u64 __user *from = call->uarg;
	u64 *to = (u64 *)&call->arg;
	unsigned int i;

	if (!user_read_access_begin(from, size))
		return false;
	unsafe_get_user(to[0], from, err_access_end);
	if (head->size != size)
		goto err_access_end;
#pragma GCC unroll 8
	for (i = 1; i < size / sizeof(*to); i++)
		unsafe_get_user(to[i], from + i, err_access_end);
	user_read_access_end();
	call->usize = size;
	return true;

err_access_end:
	user_read_access_end();
	return false;
}

/* The structures of the calls that programs make most; others go the long way. */
static __always_inline bool ph_call_read_short(struct ph_call *call,
					       const struct ph_ioctl *ioctl)
{
	switch (ioctl->size) {
	case sizeof(struct privheap_free):
		return ph_call_read_words(call, sizeof(struct privheap_free));
	case sizeof(struct privheap_size):
		return ph_call_read_words(call, sizeof(struct privheap_size));
	case sizeof(struct privheap_alloc):	/* and realloc */
		return ph_call_read_words(call, sizeof(struct privheap_alloc));
	default:
		return false;
	}
}

/* Reads a structure of any length, and finds out what is wrong with a bad one. */
static int ph_call_read_struct(struct ph_call *call,
			       const struct ph_ioctl *ioctl)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	int err;

	if (get_user(call->usize, (u32 __user *)call->uarg))
		return -EFAULT;
	if (call->usize < ioctl->min_size)
		return -EINVAL;
	if (call->usize > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&call->arg, ioctl->size, call->uarg,
				    call->usize);
	/* The caller may have changed it meanwhile; what counts is the first. */
	head->size = call->usize;
	call->usize = min_t(u32, call->usize, ioctl->size);
	return err;
}

static int ph_call_read(struct ph_call *call, const struct ph_ioctl *ioctl)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	int err;

	if (!ph_call_read_short(call, ioctl)) {
		err = ph_call_read_struct(call, ioctl);
		if (err)
			return err;
	}
	return head->flags & ~ioctl->flags ? -EOPNOTSUPP : 0;
}

/*
 * Tells of calls that no correct program makes: on a heap that it does not have,
 * on what is no block, or in another process.
 */
static int ph_call_refuse(struct ph_call *call, u32 nr, int err)
{
	struct ph_call_head *head = (struct ph_call_head *)&call->arg;
	struct ph_misuse misuse = { .call = nr, .err = err };
	struct ph_heap *heap = NULL;

	if (err != -EPERM)
		misuse.id = head->heap;
	if (err == -ENOENT) {
		misuse.addr = head->addr;
		heap = ph_heap_get(call->file, head->heap);
	}
	ph_event_misuse(call->file->process, heap, &misuse);
	if (heap)
		ph_heap_put(heap);
	return err;
}

static bool ph_call_is_on_block(u32 nr)
{
	return nr == _IOC_NR(PRIVHEAP_IOC_FREE) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_GUARD_FREE) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_REALLOC) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_SIZE);
}

static long ph_file_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd);
	struct ph_call call __uninitialized;	/* ph_call_read() fills it */
	int err;

	call.file = filp->private_data;
	call.uarg = (void __user *)arg;
	if (call.file->mm != current->mm)
		return ph_call_refuse(&call, nr, -EPERM);
	if (nr >= ARRAY_SIZE(ph_ioctls) || cmd != _IO(PRIVHEAP_IOC_TYPE, nr))
		return -ENOTTY;
	nr = array_index_nospec(nr, ARRAY_SIZE(ph_ioctls));
	if (!ph_ioctls[nr].handler)	/* numbers that are not given yet */
		return -ENOTTY;
	err = ph_call_read(&call, &ph_ioctls[nr]) ?: ph_ioctls[nr].handler(&call);
	if (unlikely(err == -ENXIO || (err == -ENOENT && ph_call_is_on_block(nr))))
		return ph_call_refuse(&call, nr, err);
	return err;
}

static int ph_file_open(struct inode *inode, struct file *filp)
{
	struct ph_file *file;
	int err;

	if (!current->mm)
		return -ENODEV;
	file = kzalloc(sizeof(*file), PH_GFP_META);
	if (!file)
		return -ENOMEM;
	err = ph_region_mount();
	if (err)
		goto err_free;
	file->process = ph_process_get();
	if (IS_ERR(file->process)) {
		err = PTR_ERR(file->process);
		goto err_unmount;
	}
	xa_init_flags(&file->heaps, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	mmgrab(current->mm);
	file->mm = current->mm;
	filp->private_data = file;
	return 0;

err_unmount:
	ph_region_unmount();
err_free:
	kfree(file);
	return err;
}

static int ph_file_release(struct inode *inode, struct file *filp)
{
	struct ph_file *file = filp->private_data;
	struct ph_heap *heap;
	unsigned long index;

	xa_for_each(&file->heaps, index, heap)
		ph_heap_destroy(ph_file_withdraw(file, heap->id));
	xa_destroy(&file->heaps);
	ph_limit_put(&file->process->limit);
	ph_region_unmount();
	mmdrop(file->mm);
	kfree(file);
	return 0;
}

/* In /proc/PID/fdinfo: what the heaps of the file amount to. */
static void ph_file_show_fdinfo(struct seq_file *m, struct file *filp)
{
	struct ph_file *file = filp->private_data;
	unsigned long nr = 0, reserved = 0, committed = 0, resident = 0;
	struct ph_heap *heap;
	unsigned long index;

	rcu_read_lock();
	xa_for_each(&file->heaps, index, heap) {
		nr++;
		reserved += READ_ONCE(heap->reserved_pages);
		committed += atomic_long_read(&heap->limit.usage_pages);
		resident += atomic_long_read(&heap->nr_resident);
	}
	rcu_read_unlock();
	seq_printf(m, "privheap-heaps:\t%lu\n", nr);
	seq_printf(m, "privheap-reserved:\t%lu kB\n",
		   reserved << (PAGE_SHIFT - 10));
	seq_printf(m, "privheap-committed:\t%lu kB\n",
		   committed << (PAGE_SHIFT - 10));
	seq_printf(m, "privheap-resident:\t%lu kB\n",
		   resident << (PAGE_SHIFT - 10));
}

const struct file_operations ph_file_fops = {
	.owner		= THIS_MODULE,
	.open		= ph_file_open,
	.release	= ph_file_release,
	.unlocked_ioctl	= ph_file_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
	.show_fdinfo	= ph_file_show_fdinfo,
};
