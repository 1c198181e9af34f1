// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program gets that serves its blocks itself: whole spans to cut, many
 * blocks in one call, and its own counts in the heap's statistics.
 *
 * A span that was taken is pages and nothing more: it is committed and charged
 * as blocks are, and what the program makes of it cannot harm anything but the
 * program's own data. Its counters are read whenever somebody asks for the heap's
 * statistics, from another process, too; so their page is pinned. What is read
 * there is a claim, and is cut down to what could be true.
 *
 * Invariant: a heap that is gone, or none of whose regions is mapped any more, has
 * no counters, and a page is charged to the heap's owners for each of them.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "inject.h"
#include "internal.h"

/* How many counters a heap may have, and a page: they are read under a spinlock. */
#define PH_COUNTERS_MAX		1024

/**
 * struct ph_counters - counters of a program that are added to a heap's
 * @node: in ph_heap.counters (ph_heap.counters_lock)
 * @page: pinned, anonymous and not part of a larger one (constant)
 * @offset: where in the page (constant)
 */
struct ph_counters {
	struct list_head node;
	struct page *page;
	unsigned int offset;
};

static int ph_front_take_one(struct ph_heap *heap, unsigned long nr_pages,
			     u64 *span)
{
	unsigned long addr;
	int err;

	err = ph_block_take(&heap->store, nr_pages, &addr);
	if (!err)
		*span = addr;
	return err;
}

/* Takes spans until one is refused: returns how many, or why there is none. */
static int ph_front_take_locked(struct ph_heap *heap, u64 *spans,
				const struct privheap_take *arg)
{
	unsigned int nr = 0;
	int err;

	err = ph_heap_check_locked(heap);
	while (!err && nr < arg->nr_spans) {
		err = ph_front_take_one(heap, arg->nr_pages, &spans[nr]);
		nr += !err;
	}
	return nr ?: err;
}

/* Some of its pages may stay committed, and are to tell nothing. */
static void ph_front_wipe_locked(struct ph_region *region, unsigned long addr)
{
	struct ph_block_run run;

	ph_block_run_at(&region->blocks, addr, &run);
	if (run.kind == PH_RUN_TAKEN && run.start == addr)
		ph_content_zero(region, addr, run.nr_pages << PAGE_SHIFT);
}

static int ph_front_give_locked(struct ph_heap *heap, unsigned long addr)
{
	struct ph_region *region;
	int err;

	err = ph_heap_check_locked(heap);
	if (err)
		return err;
	region = ph_heap_find_region(heap, addr);
	if (!region)
		return -ENOENT;
	if (unlikely(ph_heap_is_secret(heap)))
		ph_front_wipe_locked(region, addr);
	return ph_block_give(&heap->store, &region->blocks, addr);
}

static int ph_front_give_one(struct ph_heap *heap, unsigned long addr)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_front_give_locked(heap, addr);
	mutex_unlock(&heap->lock);
	return err;
}

/*
 * Takes spans, for which the heap may have to grow: as ph_front_take_locked(). That
 * a limit refuses one is not reported: the program may still have free slots.
 */
static int ph_front_take_any(struct ph_heap *heap, struct privheap_take *arg,
			     u64 *spans)
{
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	int nr;

	do {
		mutex_lock(&heap->lock);
		ph_inject_begin_locked(heap);
		nr = ph_inject_end_locked(heap, ph_front_take_locked(heap, spans,
								     arg));
		arg->out_state = ph_limit_is_near(heap) ? PRIVHEAP_TAKE_S_NEAR : 0;
		mutex_unlock(&heap->lock);
		if (likely(nr > 0))
			break;
		nr = ph_heap_mend(heap, nr, (u64)arg->nr_pages << PAGE_SHIFT,
				  PAGE_SIZE, NULL, NULL);
	} while (!nr);
	ph_cgroup_leave(heap->cgroup, outer);
	return nr;
}

static int ph_front_answer(struct ph_call *call, const u64 *spans)
{
	struct privheap_take *arg = &call->arg.take;

	if (copy_to_user(u64_to_user_ptr(arg->spans), spans,
			 arg->out_nr_spans * sizeof(*spans)))
		return -EFAULT;
	return ph_call_answer(call);
}

/**
 * ph_front_take - give spans to a program, and tell it
 * @heap: from which heap
 * @call: the take call; its counts have been checked
 *
 * Another thread that guesses an address can give the span back before its taker
 * hears of it. That harms the program and nobody else.
 *
 * Context: May sleep and fault; takes ph_heap.lock, and mmap_lock when the heap
 * grows.
 * Return: 0; -EFAULT, -ENXIO, -EIDRM, -ENOSPC, -EDQUOT, -ENOMEM, -EINTR: then none
 * was taken.
 */
int ph_front_take(struct ph_heap *heap, struct ph_call *call)
{
	struct privheap_take *arg = &call->arg.take;
	u64 spans[PH_TAKE_MAX_SPANS];
	int nr, err;

	nr = ph_front_take_any(heap, arg, spans);
	if (nr < 0)
		return nr;
	arg->out_nr_spans = nr;
	err = ph_front_answer(call, spans);
	while (err && nr)
		ph_front_give_one(heap, spans[--nr]);
	return err;
}

static int ph_front_drop_one(struct ph_heap *heap, unsigned long addr,
			     u64 bytes)
{
	struct ph_region *region;
	int err;

	if (!PAGE_ALIGNED(addr) || !PAGE_ALIGNED(bytes) || !bytes)
		return -EINVAL;
	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err) {
		region = ph_heap_find_region(heap, addr);
		err = region ? ph_block_drop(&heap->store, &region->blocks, addr,
					     bytes >> PAGE_SHIFT) : -ENOENT;
	}
	mutex_unlock(&heap->lock);
	return err;
}

static int ph_batch_alloc(struct ph_heap *heap, u32 flags,
			  const struct privheap_batch_entry *entry,
			  struct privheap_batch_entry __user *uentry)
{
	struct privheap_alloc arg = {
		.flags = flags,
		.bytes = entry->bytes,
		.align = entry->align,
	};
	int err;

	if (entry->addr)
		return -EINVAL;
	err = ph_alloc_check(&arg);
	return err ?: ph_heap_alloc(heap, &arg, &uentry->out_addr);
}

static int ph_batch_do(struct ph_heap *heap, const struct privheap_batch *arg,
		       const struct privheap_batch_entry *entry,
		       struct privheap_batch_entry __user *uentry)
{
	if (entry->__reserved)
		return -EINVAL;
	if (arg->op == PRIVHEAP_BATCH_ALLOC)
		return ph_batch_alloc(heap, arg->flags, entry, uentry);
	if (entry->align)
		return -EINVAL;
	if (arg->op == PRIVHEAP_BATCH_DROP)
		return ph_front_drop_one(heap, entry->addr, entry->bytes);
	if (entry->bytes)
		return -EINVAL;
	if (arg->op == PRIVHEAP_BATCH_FREE)
		return ph_heap_free(heap, entry->addr);
	return ph_front_give_one(heap, entry->addr);
}

/*
 * Does one entry. First its result is written as it is: an entry that cannot be
 * answered is not begun. Returns an error only if the entry has no result.
 */
static int ph_batch_step(struct ph_heap *heap, const struct privheap_batch *arg,
			 struct privheap_batch_entry __user *uentry)
{
	struct privheap_batch_entry entry;
	struct mem_cgroup *outer;
	int err;

	if (copy_from_user(&entry, uentry, sizeof(entry)) ||
	    put_user(entry.out_addr, &uentry->out_addr) ||
	    put_user(entry.out_error, &uentry->out_error))
		return -EFAULT;
	outer = ph_cgroup_enter(heap->cgroup);
	err = ph_batch_do(heap, arg, &entry, uentry);
	ph_cgroup_leave(heap->cgroup, outer);
	switch (err) {
	case -ENXIO:
	case -EIDRM:
	case -EINTR:
	case -EFAULT:
		return err;
	}
	/* If the memory is gone meanwhile, the program has lost what it took away. */
	put_user(-err, &uentry->out_error);
	return 0;
}

/**
 * ph_front_batch - do the same for many
 * @heap: on which heap
 * @arg: the call, checked; receives how many entries were done
 *
 * Context: May sleep and fault; takes ph_heap.lock for each entry, and mmap_lock
 * when the heap grows.
 * Return: 0 if at least one entry was done; otherwise -EFAULT, -ENXIO, -EIDRM,
 * -EINTR.
 */
int ph_front_batch(struct ph_heap *heap, struct privheap_batch *arg)
{
	struct privheap_batch_entry __user *entries = u64_to_user_ptr(arg->entries);
	u32 nr = 0;
	int err = 0;

	while (nr < arg->nr_entries) {
		err = ph_batch_step(heap, arg, &entries[nr]);
		if (err)
			break;
		nr++;
		if (signal_pending(current))
			break;
		cond_resched();
	}
	arg->out_nr_done = nr;
	return nr ? 0 : err;
}

static void ph_counters_unpin(struct ph_counters *counters)
{
	unpin_user_page(counters->page);
	kfree(counters);
}

/*
 * A part of a huge page would hold all of it for the charge of one page, and one of
 * a file would have to be marked dirty. A reference count must not overflow.
 */
static int ph_counters_check_page(struct page *page)
{
	if (!PageAnon(page) || PageCompound(page))
		return -EOPNOTSUPP;
	if (page_count(page) / GUP_PIN_COUNTING_BIAS > PH_COUNTERS_MAX)
		return -EMFILE;
	return 0;
}

static struct ph_counters *ph_counters_pin(unsigned long addr)
{
	struct ph_counters *counters;
	int nr, err;

	counters = kzalloc(sizeof(*counters), PH_GFP_META);
	if (!counters)
		return ERR_PTR(-ENOMEM);
	nr = pin_user_pages_fast(addr & PAGE_MASK, 1, FOLL_WRITE | FOLL_LONGTERM,
				 &counters->page);
	if (nr != 1) {
		kfree(counters);
		return ERR_PTR(nr == -ENOMEM ? -ENOMEM : -EFAULT);
	}
	counters->offset = offset_in_page(addr);
	err = ph_counters_check_page(counters->page);
	if (err) {
		ph_counters_unpin(counters);
		return ERR_PTR(err);
	}
	return counters;
}

static int ph_counters_check_locked(struct ph_heap *heap,
				    const struct ph_counters *counters)
{
	struct ph_counters *other;
	unsigned int nr = 0;

	list_for_each_entry(other, &heap->counters, node) {
		if (other->page == counters->page &&
		    other->offset == counters->offset)
			return -EEXIST;
		nr++;
	}
	return nr < PH_COUNTERS_MAX ? 0 : -EMFILE;
}

static int ph_counters_attach_locked(struct ph_heap *heap,
				     struct ph_counters *counters)
{
	int err;

	err = ph_counters_check_locked(heap, counters);
	if (err)
		return err;
	err = ph_idle_charge_above(heap, 1);
	if (err) {
		ph_limit_report_refusal(heap);
		return err;
	}
	spin_lock(&heap->counters_lock);
	list_add(&counters->node, &heap->counters);
	spin_unlock(&heap->counters_lock);
	return 0;
}

/**
 * ph_front_count - add counters of the program to a heap's statistics
 * @heap: which heap
 * @arg: the call; its address has been checked to be aligned
 *
 * Context: May sleep and fault; takes ph_heap.lock.
 * Return: 0, -EFAULT, -EOPNOTSUPP, -EEXIST, -EMFILE, -ENXIO, -EIDRM, -EDQUOT,
 * -ENOMEM.
 */
int ph_front_count(struct ph_heap *heap, const struct privheap_count *arg)
{
	struct ph_counters *counters;
	int err;

	counters = ph_counters_pin(arg->counters);
	if (IS_ERR(counters))
		return PTR_ERR(counters);
	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_counters_attach_locked(heap, counters);
	mutex_unlock(&heap->lock);
	if (err)
		ph_counters_unpin(counters);
	return err;
}

/**
 * ph_front_tell_locked - tell the program that the spans it took are gone
 * @heap: which heap's
 * @key: how, PRIVHEAP_COUNTERS_*
 *
 * What it serves from them, it serves without a call, and would not hear of it.
 *
 * Context: May be under mmap_lock. Caller holds ph_heap.lock.
 */
void ph_front_tell_locked(struct ph_heap *heap, u64 key)
{
	struct privheap_counters *values;
	struct ph_counters *counters;
	void *page;

	lockdep_assert_held(&heap->lock);
	list_for_each_entry(counters, &heap->counters, node) {
		page = kmap_local_page(counters->page);
		values = page + counters->offset;
		WRITE_ONCE(values->key, key);
		if (key == PRIVHEAP_COUNTERS_RESET) {
			WRITE_ONCE(values->nr_blocks, 0);
			WRITE_ONCE(values->allocated_bytes, 0);
		}
		kunmap_local(page);
	}
}

/**
 * ph_front_uncount_locked - forget the counters of the program
 * @heap: which heap's
 *
 * Context: May sleep; may be under mmap_lock. Caller holds ph_heap.lock.
 */
void ph_front_uncount_locked(struct ph_heap *heap)
{
	struct ph_counters *counters, *next;
	LIST_HEAD(forgotten);

	lockdep_assert_held(&heap->lock);
	spin_lock(&heap->counters_lock);
	list_splice_init(&heap->counters, &forgotten);
	spin_unlock(&heap->counters_lock);
	list_for_each_entry_safe(counters, next, &forgotten, node) {
		ph_limit_uncharge_above(heap, 1);
		ph_counters_unpin(counters);
	}
}

/**
 * ph_front_sum - the blocks of a heap, with those that the program counts
 * @heap: which heap
 * @nr_blocks: receives how many there are
 * @allocated_bytes: receives the sum of their requested sizes
 *
 * Context: Any lock may be held but ph_heap.counters_lock. Exact while nothing
 * changes.
 */
void ph_front_sum(struct ph_heap *heap, u64 *nr_blocks, u64 *allocated_bytes)
{
	u64 taken_bytes = READ_ONCE(heap->store.nr_taken_pages) << PAGE_SHIFT;
	struct privheap_counters *values, sum = {};
	struct ph_counters *counters;
	void *page;

	spin_lock(&heap->counters_lock);
	list_for_each_entry(counters, &heap->counters, node) {
		page = kmap_local_page(counters->page);
		values = page + counters->offset;
		sum.nr_blocks += READ_ONCE(values->nr_blocks);
		sum.allocated_bytes += READ_ONCE(values->allocated_bytes);
		kunmap_local(page);
	}
	spin_unlock(&heap->counters_lock);
	*nr_blocks = READ_ONCE(heap->store.nr_blocks) +
		     clamp_t(s64, sum.nr_blocks, 0, taken_bytes / PH_BLOCK_ALIGN);
	*allocated_bytes = READ_ONCE(heap->store.allocated_bytes) +
			   clamp_t(s64, sum.allocated_bytes, 0, taken_bytes);
}
