// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps: what the calls do, put together from regions, blocks and commit.
 *
 * A heap serialises the bookkeeping of its blocks with one mutex. Reserving and
 * unmapping address space takes mmap_lock and so happens outside of it: a call
 * that finds no room drops the mutex, has the heap grow, and starts again; a
 * region that is to go is taken out of the bookkeeping first and unmapped
 * afterwards. Both travel between the two worlds as the @spare of a call: a
 * region that is mapped but belongs to no heap.
 *
 * Invariant: a block exists for other calls exactly if its owner was told the
 * address; see ph_answer().
 */
#include <linux/log2.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"
#include "inject.h"
#include "policy.h"
#include "trace.h"

/*
 * What a heap without pages costs the kernel: its structures, a file, an inode.
 * Charged to the process, or there would be no limit to the number of heaps, dead
 * ones above all.
 */
#define PH_HEAP_META_PAGES	1

static struct ph_region *ph_region_of(struct ph_block_region *blocks)
{
	return container_of(blocks, struct ph_region, blocks);
}

/* Do pages of this heap get memory when they are committed? */
static bool ph_heap_is_backed(struct ph_heap *heap)
{
	return heap->flags & PRIVHEAP_CREATE_F_BACKED || heap->policy->at_commit;
}

/* How many pages that makes. What is freed in a guarded heap is out of reach. */
static unsigned long ph_heap_idle_pages(struct ph_heap *heap, u64 bytes)
{
	return heap->flags & PRIVHEAP_CREATE_F_GUARD ? 0 : bytes >> PAGE_SHIFT;
}

static int ph_heap_commit(struct ph_block_region *blocks, unsigned long first,
			  unsigned long nr)
{
	struct ph_region *region = ph_region_of(blocks);

	return ph_commit_pages(region, first, nr, ph_heap_is_backed(region->heap));
}

static void ph_heap_decommit(struct ph_block_region *blocks,
			     unsigned long first, unsigned long nr)
{
	ph_decommit_pages(ph_region_of(blocks), first, nr);
}

static const struct ph_block_ops ph_heap_block_ops = {
	.commit		= ph_heap_commit,
	.decommit	= ph_heap_decommit,
};

/**
 * ph_heap_check_locked - may a call work on this heap?
 * @heap: the heap
 *
 * Context: Caller holds ph_heap.lock.
 * Return: 0, -EIDRM when the heap is dead, -ENXIO when it is being destroyed.
 */
int ph_heap_check_locked(struct ph_heap *heap)
{
	lockdep_assert_held(&heap->lock);
	if (likely(heap->state == PH_HEAP_LIVE))
		return 0;
	return heap->state == PH_HEAP_DEAD ? -EIDRM : -ENXIO;
}

static bool ph_heap_growable(struct ph_heap *heap)
{
	return !heap->max_pages;
}

/* Does a block of this size get a region of its own? */
static bool ph_heap_dedicates(struct ph_heap *heap, unsigned long bytes)
{
	return ph_heap_growable(heap) && bytes > PH_REGION_BLOCK_BYTES;
}

/**
 * ph_heap_find_region - find the region that an address lies in
 * @heap: a live heap
 * @addr: any address
 *
 * Context: Caller holds ph_heap.lock.
 * Return: the region, or NULL.
 */
struct ph_region *ph_heap_find_region(struct ph_heap *heap, unsigned long addr)
{
	struct ph_region *first = heap->first;

	if (addr - first->blocks.base < first->blocks.nr_pages << PAGE_SHIFT)
		return first;
	return mtree_load(&heap->others, addr);
}

static int ph_heap_find_block(struct ph_heap *heap, unsigned long addr,
			      struct ph_region **region, struct ph_block *block)
{
	*region = ph_heap_find_region(heap, addr);
	if (!*region)
		return -ENOENT;
	return ph_block_find(&(*region)->blocks, addr, block);
}

/*
 * Enters a region into the bookkeeping. The caller's reference is the heap's. Only
 * then may pages be committed in it: the program can unmap a region as soon as it
 * is mapped, and what is committed afterwards nobody would release.
 */
static int ph_heap_attach_locked(struct ph_heap *heap, struct ph_region *region,
				 bool dedicated)
{
	unsigned long base = region->blocks.base;
	unsigned long nr_pages = region->blocks.nr_pages;
	int err;

	if (!region->nr_vmas)	/* the program was quick to unmap it */
		return -ENOMEM;
	err = ph_block_region_add(&heap->store, &region->blocks, base, nr_pages,
				  dedicated);
	if (err)
		return err;
	if (heap->first)
		err = mtree_insert_range(&heap->others, base,
					 base + (nr_pages << PAGE_SHIFT) - 1,
					 region, PH_GFP_META);
	else
		heap->first = region;
	if (err) {
		ph_block_region_remove(&heap->store, &region->blocks);
		return -ENOMEM;
	}
	region->number = dedicated ? PRIVHEAP_ENTRY_OWN_REGION :
				     heap->nr_ordinary++;
	list_add_tail(&region->node, &heap->regions);
	heap->nr_regions++;
	heap->nr_mapped++;
	heap->reserved_pages += nr_pages;
	return 0;
}

/*
 * The tree may need a node to forget an entry, and gives up without a word when
 * there is no memory. But the region is about to be freed.
 */
static void ph_heap_forget_locked(struct ph_heap *heap, unsigned long base)
{
	do {
		mtree_erase(&heap->others, base);
		cond_resched();
	} while (unlikely(mtree_load(&heap->others, base)));
}

/* Takes a region, and its blocks, out again; its pages are left as they are. */
static void ph_heap_detach_locked(struct ph_heap *heap, struct ph_region *region)
{
	ph_block_region_remove(&heap->store, &region->blocks);
	if (heap->first == region)
		heap->first = NULL;
	else
		ph_heap_forget_locked(heap, region->blocks.base);
	list_del_init(&region->node);
	heap->nr_regions--;
	if (region->nr_vmas)
		heap->nr_mapped--;
	heap->reserved_pages -= region->blocks.nr_pages;
}

/* Ends a region that no heap's bookkeeping knows. No lock may be held. */
static void ph_heap_discard(struct ph_heap *heap, struct ph_region *region)
{
	if (!region)
		return;
	ph_region_unmap(region);
	mutex_lock(&heap->lock);
	ph_commit_release(region);
	mutex_unlock(&heap->lock);
	ph_region_put(region);
}

static struct ph_region *ph_heap_reserve(struct ph_heap *heap,
					 unsigned long nr_pages)
{
	struct ph_region *region;

	mutex_lock(&heap->grow_lock);
	region = ph_region_create(heap, nr_pages);
	mutex_unlock(&heap->grow_lock);
	return region;
}

/* How long a region must be so that an empty one has room for a block. */
static unsigned long ph_heap_need(unsigned long bytes, unsigned long align)
{
	return bytes + (align > PH_REGION_ALIGN ? align : 0);
}

/* How long the next ordinary region is: as all so far, within bounds. */
static unsigned long ph_heap_growth(struct ph_heap *heap, unsigned long bytes,
				    unsigned long align)
{
	unsigned long grow = READ_ONCE(heap->reserved_pages) << PAGE_SHIFT;

	grow = clamp(grow, PH_REGION_ALIGN, PH_REGION_GROW_BYTES);
	return ALIGN(max(grow, ph_heap_need(bytes, align)), PH_REGION_ALIGN) >>
	       PAGE_SHIFT;
}

/* Adds an ordinary region in which a block of this size has room. */
static int ph_heap_grow(struct ph_heap *heap, unsigned long bytes,
			unsigned long align)
{
	struct ph_region *region;
	int err;

	region = ph_heap_reserve(heap, ph_heap_growth(heap, bytes, align));
	if (IS_ERR(region))
		return PTR_ERR(region);
	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_heap_attach_locked(heap, region, false);
	mutex_unlock(&heap->lock);
	if (err)
		ph_heap_discard(heap, region);
	return err;
}

/* The page of the answer is the program's, and not charged to the heap's cgroup. */
static int ph_heap_fault_in(struct ph_heap *heap, void __user *answer)
{
	struct mem_cgroup *heaps = NULL;
	int err;

	if (heap->cgroup)
		heaps = ph_cgroup_activate(NULL);
	err = ph_answer_fault_in(answer);
	ph_cgroup_leave(heap->cgroup, heaps);
	return err;
}

/* Reserves a region for a block: an ordinary one or, as *@spare, its own. */
static int ph_heap_extend(struct ph_heap *heap, unsigned long bytes,
			  unsigned long align, struct ph_region **spare)
{
	struct ph_region *region;

	if (!spare || !ph_heap_dedicates(heap, bytes))
		return ph_heap_grow(heap, bytes, align);
	region = ph_heap_reserve(heap, PAGE_ALIGN(ph_heap_need(bytes, align)) >>
				       PAGE_SHIFT);
	if (IS_ERR(region))
		return PTR_ERR(region);
	*spare = region;
	return 0;
}

/* A block that is only remembered gives way to one that is asked for. */
static bool ph_heap_evict(struct ph_heap *heap)
{
	bool evicted = false;

	if (likely(!(heap->flags & PRIVHEAP_CREATE_F_GUARD)))
		return false;
	mutex_lock(&heap->lock);
	if (!ph_heap_check_locked(heap))
		evicted = ph_block_evict(&heap->store);
	mutex_unlock(&heap->lock);
	return evicted;
}

/**
 * ph_heap_mend - do what can be done about an error without a lock
 * @heap: the heap that a call failed on
 * @err: how, as ph_inject_end_locked() told
 * @bytes: what it needs room for
 * @align: at which alignment
 * @spare: receives a region for a block that gets one of its own; NULL for what
 *	lies in an ordinary one
 * @answer: where the answer goes
 *
 * Reserves a region, brings the page of the answer in, makes page tables, or
 * forgets a freed block.
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0 when it is worth trying again, otherwise the error of the call.
 */
int ph_heap_mend(struct ph_heap *heap, int err, unsigned long bytes,
		 unsigned long align, struct ph_region **spare,
		 void __user *answer)
{
	if (err == -ECANCELED)
		return -ENOMEM;
	if (err == -EFAULT)
		return ph_heap_fault_in(heap, answer);
	if (err == -EAGAIN)
		err = ph_table_make(heap, spare ? *spare : NULL);
	if (err == -ENOSPC && ph_heap_growable(heap))
		err = ph_heap_extend(heap, bytes, align, spare);
	if ((err == -ENOSPC || err == -ENOMEM) && ph_heap_evict(heap))
		return 0;
	return err;
}

/* Finds room for a block, in *@spare if it gets a region of its own. */
static int ph_heap_place_locked(struct ph_heap *heap, unsigned long bytes,
				unsigned long align, struct ph_region **spare,
				unsigned long *addr)
{
	struct ph_region *region = *spare;
	int err;

	if (!ph_heap_dedicates(heap, bytes))
		return ph_block_alloc(&heap->store, bytes, align, addr);
	if (!region)
		return -ENOSPC;
	err = ph_heap_attach_locked(heap, region, true);
	if (err)
		return err;
	err = ph_block_alloc_dedicated(&heap->store, &region->blocks, bytes,
				       align, addr);
	if (err) {
		ph_heap_detach_locked(heap, region);
		/* The region was made to measure: more of them do not help. */
		return err == -ENOSPC ? -ENOMEM : err;
	}
	*spare = NULL;
	return 0;
}

/* Of a secret heap nothing is left in pages that stay, not even for itself. */
static void ph_heap_wipe_locked(struct ph_heap *heap, struct ph_region *region,
				unsigned long addr, unsigned long bytes)
{
	if (unlikely(ph_heap_is_secret(heap)) && bytes)
		ph_content_zero(region, addr, bytes);
}

/*
 * Frees a block; the region that it had of its own becomes the call's spare. What it
 * holds need not be wiped: that is done when the call discards the region.
 */
static void ph_heap_free_locked(struct ph_heap *heap, struct ph_region *region,
				struct ph_block *block, struct ph_region **spare)
{
	if (!region->blocks.dedicated) {
		ph_heap_wipe_locked(heap, region, block->addr, block->capacity);
		ph_block_free(&heap->store, &region->blocks, block);
		return;
	}
	ph_heap_detach_locked(heap, region);
	*spare = region;
}

/*
 * Takes back a block that was placed, but not answered. A region of its own may be
 * tried again, and must not hold then what was copied to it.
 */
static void ph_heap_unplace_locked(struct ph_heap *heap, unsigned long addr,
				   struct ph_region **spare)
{
	struct ph_region *region;
	struct ph_block block;

	if (WARN_ON_ONCE(ph_heap_find_block(heap, addr, &region, &block)))
		return;
	if (region->blocks.dedicated)
		ph_heap_wipe_locked(heap, region, addr, block.capacity);
	ph_heap_free_locked(heap, region, &block, spare);
}

static int ph_heap_alloc_locked(struct ph_heap *heap,
				const struct privheap_alloc *arg,
				struct ph_region **spare, u64 __user *answer)
{
	unsigned long addr;
	int err;

	err = ph_heap_check_locked(heap);
	if (err)
		return err;
	err = ph_heap_place_locked(heap, arg->bytes, arg->align, spare, &addr);
	if (err)
		return err;
	if (arg->flags & PRIVHEAP_ALLOC_F_ZERO)
		ph_content_zero(ph_heap_find_region(heap, addr), addr,
				arg->bytes);
	err = ph_answer(answer, addr);
	if (unlikely(err))
		ph_heap_unplace_locked(heap, addr, spare);
	else
		trace_privheap_block_alloc(heap, addr, arg->bytes, arg->align,
					   arg->flags);
	return err;
}

/**
 * ph_heap_alloc - allocate a block and tell the caller its address
 * @heap: where
 * @arg: size, alignment (a power of two, not 0) and flags, checked
 * @answer: receives the address
 *
 * Context: May sleep; takes ph_heap.lock, and mmap_lock when the heap grows.
 * Return: 0, -EFAULT, -ENXIO, -EIDRM, -ENOSPC, -EDQUOT, -ENOMEM, -EINTR.
 */
int ph_heap_alloc(struct ph_heap *heap, const struct privheap_alloc *arg,
		  u64 __user *answer)
{
	struct ph_region *spare = NULL;
	int err;

	do {
		mutex_lock(&heap->lock);
		ph_inject_begin_locked(heap);
		if (unlikely(arg->flags & PRIVHEAP_ALLOC_F_GRACE))
			heap->charge.grace = true;
		err = ph_heap_alloc_locked(heap, arg, &spare, answer);
		heap->charge.grace = false;
		if (unlikely(err == -EDQUOT))
			ph_limit_report_refusal(heap);
		err = ph_inject_end_locked(heap, err);
		mutex_unlock(&heap->lock);
		if (likely(!err))
			return 0;
		err = ph_heap_mend(heap, err, arg->bytes, arg->align, &spare,
				   answer);
	} while (!err);
	ph_heap_discard(heap, spare);
	return err;
}

/*
 * Resizes a block where it is. A block that shrinks gives pages up for good, so
 * the answer goes first; one that grows may be refused, so the answer goes last.
 */
static int ph_heap_resize_locked(struct ph_heap *heap, struct ph_region *region,
				 struct ph_block *block,
				 const struct privheap_realloc *arg,
				 u64 __user *answer)
{
	unsigned long old = block->bytes;
	int err;

	if (arg->bytes <= old) {
		err = ph_answer(answer, block->addr);
		if (err)
			return err;
		ph_heap_wipe_locked(heap, region, block->addr + arg->bytes,
				    block->capacity - arg->bytes);
		return ph_block_resize(&heap->store, &region->blocks, block,
				       arg->bytes);
	}
	if (ph_heap_dedicates(heap, arg->bytes) && !region->blocks.dedicated)
		return -ENOSPC;
	err = ph_block_resize(&heap->store, &region->blocks, block, arg->bytes);
	if (err)
		return err;
	if (arg->flags & PRIVHEAP_REALLOC_F_ZERO)
		ph_content_zero(region, block->addr + old, arg->bytes - old);
	err = ph_answer(answer, block->addr);
	if (unlikely(err))
		WARN_ON_ONCE(ph_block_resize(&heap->store, &region->blocks,
					     block, old));
	return err;
}

/*
 * May the pages of a block be moved, or must their contents be copied? A page that
 * moves leaves its old place before it is unmapped there, which a secret one must not.
 */
static bool ph_heap_can_move(struct ph_region *src, const struct ph_block *old,
			     struct ph_region *dst, unsigned long addr)
{
	return old->bytes > PH_SLOT_MAX_BYTES && !dst->heap->huge &&
	       !ph_heap_is_secret(dst->heap) &&
	       (old->addr - src->blocks.base) >> PAGE_SHIFT >= src->nr_kept_pages &&
	       (addr - dst->blocks.base) >> PAGE_SHIFT >= dst->nr_kept_pages;
}

/* Brings what a block holds, and the answer, to its new place at @addr. */
static int ph_heap_transfer_locked(struct ph_region *src,
				   const struct ph_block *old,
				   struct ph_region *dst, unsigned long addr,
				   const struct privheap_realloc *arg,
				   u64 __user *answer)
{
	bool move = ph_heap_can_move(src, old, dst, addr);
	int err;

	if (!move) {
		err = ph_content_copy(dst, addr, src, old->addr, old->bytes);
		if (err)
			return err;
	}
	err = ph_answer(answer, addr);
	if (err)
		return err;
	if (move)
		ph_content_move(dst, (addr - dst->blocks.base) >> PAGE_SHIFT,
				src, (old->addr - src->blocks.base) >> PAGE_SHIFT,
				PAGE_ALIGN(old->bytes) >> PAGE_SHIFT);
	if (arg->flags & PRIVHEAP_REALLOC_F_ZERO)
		ph_content_zero(dst, addr + old->bytes, arg->bytes - old->bytes);
	return 0;
}

/* Moves a block to a place where it has room for its new size. */
static int ph_heap_move_locked(struct ph_heap *heap, struct ph_region *region,
			       struct ph_block *block,
			       const struct privheap_realloc *arg,
			       struct ph_region **spare, u64 __user *answer)
{
	unsigned long addr;
	int err;

	err = ph_heap_place_locked(heap, arg->bytes, PH_BLOCK_ALIGN, spare, &addr);
	if (err)
		return err;
	err = ph_heap_transfer_locked(region, block,
				      ph_heap_find_region(heap, addr), addr,
				      arg, answer);
	if (err) {
		ph_heap_unplace_locked(heap, addr, spare);
		return err;
	}
	trace_privheap_block_realloc(heap, block->addr, block->bytes, addr,
				     arg->bytes);
	ph_heap_free_locked(heap, region, block, spare);
	return 0;
}

static int ph_heap_realloc_locked(struct ph_heap *heap,
				  const struct privheap_realloc *arg,
				  struct ph_region **spare, u64 __user *answer)
{
	struct ph_region *region;
	struct ph_block block;
	unsigned long bytes;
	int err;

	err = ph_heap_check_locked(heap);
	if (err)
		return err;
	err = ph_heap_find_block(heap, arg->addr, &region, &block);
	if (err)
		return err;
	if (ph_block_is_guarded(&block))
		return -EOPNOTSUPP;
	bytes = block.bytes;
	err = ph_heap_resize_locked(heap, region, &block, arg, answer);
	if (!err)
		trace_privheap_block_realloc(heap, arg->addr, bytes, arg->addr,
					     arg->bytes);
	if (err != -ENOSPC || arg->flags & PRIVHEAP_REALLOC_F_IN_PLACE)
		return err;
	return ph_heap_move_locked(heap, region, &block, arg, spare, answer);
}

/**
 * ph_heap_realloc - resize a block and tell the caller its address
 * @heap: where
 * @arg: the block, its new size and flags, checked
 * @answer: receives the address
 *
 * Context: May sleep; takes ph_heap.lock, and mmap_lock when the heap grows.
 * Return: 0, -ENOENT, -EOPNOTSUPP for a guarded block, and what ph_heap_alloc()
 * returns; the block is as it was after an error.
 */
int ph_heap_realloc(struct ph_heap *heap, const struct privheap_realloc *arg,
		    u64 __user *answer)
{
	struct ph_region *spare = NULL;
	int err;

	do {
		mutex_lock(&heap->lock);
		ph_inject_begin_locked(heap);
		heap->charge.grace = arg->flags & PRIVHEAP_REALLOC_F_GRACE;
		err = ph_heap_realloc_locked(heap, arg, &spare, answer);
		heap->charge.grace = false;
		if (err == -EDQUOT)
			ph_limit_report_refusal(heap);
		err = ph_inject_end_locked(heap, err);
		mutex_unlock(&heap->lock);
		if (!err || (err == -ENOSPC &&
			     arg->flags & PRIVHEAP_REALLOC_F_IN_PLACE))
			break;
		err = ph_heap_mend(heap, err, arg->bytes, PH_BLOCK_ALIGN, &spare,
				   answer);
	} while (!err);
	ph_heap_discard(heap, spare);
	return err;
}

/**
 * ph_heap_free - free a block
 * @heap: where
 * @addr: its address
 *
 * Context: May sleep; takes ph_heap.lock, and mmap_lock for a block with a region
 * of its own.
 * Return: 0, -ENOENT, -ENXIO, -EIDRM.
 */
int ph_heap_free(struct ph_heap *heap, unsigned long addr)
{
	struct ph_region *region, *spare = NULL;
	struct ph_block block;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_heap_find_block(heap, addr, &region, &block);
	if (!err) {
		trace_privheap_block_free(heap, &block);
		ph_heap_free_locked(heap, region, &block, &spare);
	}
	mutex_unlock(&heap->lock);
	ph_heap_discard(heap, spare);
	return err;
}

/**
 * ph_heap_size - look a block up
 * @heap: where
 * @arg: its address; receives the sizes
 *
 * Return: 0, -ENOENT, -ENXIO, -EIDRM.
 */
int ph_heap_size(struct ph_heap *heap, struct privheap_size *arg)
{
	struct ph_region *region;
	struct ph_block block;
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		err = ph_heap_find_block(heap, arg->addr, &region, &block);
	mutex_unlock(&heap->lock);
	if (err)
		return err;
	arg->out_bytes = block.bytes;
	arg->out_capacity_bytes = block.capacity;
	return 0;
}

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

/**
 * ph_heap_compact - give back what is committed but unused
 * @heap: which
 * @arg: receives the length of the largest free range that stays committed
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENXIO, -EIDRM.
 */
int ph_heap_compact(struct ph_heap *heap, struct privheap_compact *arg)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err) {
		ph_block_trim(&heap->store);
		ph_commit_trim(heap);
		ph_pool_drain(heap->pool);
		arg->out_largest_free_bytes = ph_walk_largest_free(heap);
	}
	mutex_unlock(&heap->lock);
	return err;
}

/* Gives a heap another policy, or the one that it has another window. */
static int ph_heap_set_policy_locked(struct ph_heap *heap,
				     const struct privheap_policy *arg,
				     unsigned int set)
{
	u32 policy = set & PH_POLICY_SET_ID ? arg->policy : ph_policy_id(heap);

	if (ph_policy_check(policy, arg->window_pages))
		return -EINVAL;
	if (set & PH_POLICY_SET_ID && ph_policy_is_huge(policy) && !heap->huge)
		return -EOPNOTSUPP;
	ph_policy_set(heap, policy, arg->window_pages);
	return 0;
}

static void ph_heap_set_idle_locked(struct ph_heap *heap, u64 idle_bytes)
{
	heap->max_idle = ph_heap_idle_pages(heap, idle_bytes);
	if (heap->nr_idle > heap->max_idle)
		ph_commit_trim(heap);
}

/**
 * ph_heap_policy - change the policy of a heap
 * @heap: which
 * @arg: the policy, its window, and the bound of idle pages, checked against
 *	ph_max_bytes()
 * @set: PH_POLICY_SET_*: which of them are to change. A new policy without a
 *	window gets its default
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENXIO, -EIDRM; -EINVAL for a window that the policy cannot have;
 * -EOPNOTSUPP for "huge" in a heap that was made with another.
 */
int ph_heap_policy(struct ph_heap *heap, const struct privheap_policy *arg,
		   unsigned int set)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err && set & (PH_POLICY_SET_ID | PH_POLICY_SET_WINDOW))
		err = ph_heap_set_policy_locked(heap, arg, set);
	if (!err && set & PH_POLICY_SET_IDLE)
		ph_heap_set_idle_locked(heap, arg->idle_bytes);
	if (!err)
		trace_privheap_policy_change(heap);
	mutex_unlock(&heap->lock);
	return err;
}

/**
 * ph_heap_inject - begin or end to inject failures
 * @heap: which
 * @arg: what ph_inject_check() has let pass
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0, -ENXIO, -EIDRM.
 */
int ph_heap_inject(struct ph_heap *heap, const struct privheap_inject *arg)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_heap_check_locked(heap);
	if (!err)
		ph_inject_set_locked(heap, arg);
	mutex_unlock(&heap->lock);
	return err;
}

/* The first block, by creation, that has a region of its own. */
static struct ph_region *ph_heap_first_dedicated(struct ph_heap *heap)
{
	struct ph_region *region;

	list_for_each_entry(region, &heap->regions, node) {
		if (region->blocks.dedicated)
			return region;
	}
	return NULL;
}

/*
 * Makes a region free that had blocks. What describes it so was allocated when it
 * was added, has just been freed, and is allocated once more.
 */
static void ph_heap_empty_region_locked(struct ph_heap *heap,
					struct ph_region *region)
{
	struct ph_block_region *blocks = &region->blocks;
	unsigned int flags;

	ph_block_region_remove(&heap->store, blocks);
	if (likely(!ph_block_region_add(&heap->store, blocks, blocks->base,
					blocks->nr_pages, false)))
		return;
	/* Others had use for it. Then it is taken from the reserves. */
	flags = memalloc_noreclaim_save();
	while (ph_block_region_add(&heap->store, blocks, blocks->base,
				   blocks->nr_pages, false))
		cond_resched();
	memalloc_noreclaim_restore(flags);
}

static void ph_heap_reset_locked(struct ph_heap *heap, unsigned long nr_keep)
{
	struct mem_cgroup *outer = ph_cgroup_enter(heap->cgroup);
	struct ph_region *region;

	ph_front_tell_locked(heap, PRIVHEAP_COUNTERS_RESET);
	list_for_each_entry(region, &heap->regions, node)
		ph_heap_empty_region_locked(heap, region);
	ph_cgroup_leave(heap->cgroup, outer);
	ph_commit_reset(heap, ph_heap_is_secret(heap) ? 0 : nr_keep);
	if (heap->first->nr_kept_pages)
		ph_heap_wipe_locked(heap, heap->first, heap->base,
				    heap->first->nr_kept_pages << PAGE_SHIFT);
}

/**
 * ph_heap_reset - free all blocks of a heap
 * @heap: which
 * @arg: how much may stay resident; receives how much did
 *
 * Regions of single blocks go one by one, since to unmap one takes mmap_lock.
 *
 * Context: May sleep; takes ph_heap.lock and mmap_lock.
 * Return: 0, -ENXIO, -EIDRM, or -EINTR when the task is being killed: then some
 * blocks are gone.
 */
int ph_heap_reset(struct ph_heap *heap, struct privheap_reset *arg)
{
	struct ph_region *region;
	int err;

	mutex_lock(&heap->lock);
	while (!(err = ph_heap_check_locked(heap)) &&
	       (region = ph_heap_first_dedicated(heap))) {
		ph_heap_detach_locked(heap, region);
		mutex_unlock(&heap->lock);
		ph_heap_discard(heap, region);
		if (fatal_signal_pending(current))
			return -EINTR;
		mutex_lock(&heap->lock);
	}
	if (!err) {
		ph_heap_reset_locked(heap, ph_heap_idle_pages(heap,
							     arg->keep_bytes));
		arg->out_idle_bytes = (u64)heap->nr_idle << PAGE_SHIFT;
	}
	mutex_unlock(&heap->lock);
	return err;
}

/**
 * ph_heap_stat - read the state of a heap
 * @heap: which
 * @stat: receives it
 *
 * Return: 0, or -ENXIO when the heap is being destroyed.
 */
int ph_heap_stat(struct ph_heap *heap, struct privheap_stat *stat)
{
	struct ph_limit *limit = &heap->limit;

	mutex_lock(&heap->lock);
	if (heap->state == PH_HEAP_GONE) {
		mutex_unlock(&heap->lock);
		return -ENXIO;
	}
	stat->out_create_flags = heap->flags;
	stat->out_state = heap->state == PH_HEAP_DEAD ? PRIVHEAP_STAT_S_DEAD : 0;
	stat->out_base = heap->base;
	stat->out_max_bytes = (u64)heap->max_pages << PAGE_SHIFT;
	stat->out_limit_bytes = limit->hard_pages == ULONG_MAX ? 0 :
				(u64)limit->hard_pages << PAGE_SHIFT;
	stat->out_reserved_bytes = (u64)heap->reserved_pages << PAGE_SHIFT;
	stat->out_committed_bytes =
		(u64)atomic_long_read(&limit->usage_pages) << PAGE_SHIFT;
	stat->out_committed_peak_bytes =
		(u64)atomic_long_read(&limit->peak_pages) << PAGE_SHIFT;
	stat->out_resident_bytes =
		(u64)atomic_long_read(&heap->nr_resident) << PAGE_SHIFT;
	ph_front_sum(heap, &stat->out_nr_blocks, &stat->out_allocated_bytes);
	stat->out_taken_bytes = heap->store.nr_taken_pages << PAGE_SHIFT;
	stat->out_nr_regions = heap->nr_regions;
	stat->out_policy = ph_policy_id(heap);
	stat->out_window_pages = heap->window_pages;
	stat->out_idle_bytes = (u64)heap->nr_idle << PAGE_SHIFT;
	stat->out_nr_limit_failures = atomic_long_read(&limit->nr_failures);
	stat->out_serial = limit->key;
	stat->out_nr_injected_failures = heap->inject.nr_failures;
	mutex_unlock(&heap->lock);
	return 0;
}

/*
 * Releases all regions. The caller either holds off all who might still use
 * them, or they are unmapped.
 */
static void ph_heap_clear_locked(struct ph_heap *heap)
{
	struct ph_region *region, *next;

	list_for_each_entry_safe(region, next, &heap->regions, node) {
		ph_heap_detach_locked(heap, region);
		ph_commit_release(region);
		ph_region_put(region);
	}
}

/**
 * ph_heap_region_unmapped - a VMA of a region ends in the heap's address space
 * @heap: the heap
 * @region: its region
 *
 * With its last VMA a region loses its pages. Is it still in the bookkeeping,
 * then it was not the module that unmapped it: the heap is dead. When all of its
 * regions are unmapped, as happens at exec and exit, everything is released but
 * struct ph_heap itself, which keeps the id taken.
 *
 * Context: Under mmap_lock; takes ph_heap.lock.
 */
void ph_heap_region_unmapped(struct ph_heap *heap, struct ph_region *region)
{
	mutex_lock(&heap->lock);
	if (--region->nr_vmas)
		goto out_unlock;
	ph_commit_exit(region);
	if (!atomic_read(&heap->mm->mm_users))	/* exit or exec */
		ph_pool_drain(heap->pool);
	if (list_empty(&region->node))
		goto out_unlock;
	if (heap->state == PH_HEAP_LIVE) {
		heap->state = PH_HEAP_DEAD;
		ph_front_tell_locked(heap, PRIVHEAP_COUNTERS_DEAD);
	}
	if (!--heap->nr_mapped) {
		ph_front_uncount_locked(heap);
		ph_heap_clear_locked(heap);
	}
out_unlock:
	mutex_unlock(&heap->lock);
}

/**
 * ph_heap_destroy - end a heap
 * @heap: that no new call can find; this takes the reference over that its file
 *	held
 *
 * Context: May sleep; takes mmap_lock.
 */
void ph_heap_destroy(struct ph_heap *heap)
{
	struct ph_region *region;

	mutex_lock(&heap->lock);
	heap->state = PH_HEAP_GONE;
	ph_front_uncount_locked(heap);
	while ((region = list_first_entry_or_null(&heap->regions,
						  struct ph_region, node))) {
		ph_heap_detach_locked(heap, region);
		mutex_unlock(&heap->lock);
		ph_heap_discard(heap, region);
		mutex_lock(&heap->lock);
	}
	mutex_unlock(&heap->lock);
	ph_limit_uncharge_above(heap, PH_HEAP_META_PAGES);
	ph_owner_remove_heap(heap);
	ph_heap_put(heap);
}

/* Heaps are a little longer than 1 KiB: the next size of kmalloc() is 2 KiB. */
static struct kmem_cache *ph_heap_cache;

/**
 * ph_heap_cache_init - prepare the memory that heaps are described in
 *
 * Return: 0, or -ENOMEM.
 */
int __init ph_heap_cache_init(void)
{
	ph_heap_cache = KMEM_CACHE(ph_heap, SLAB_ACCOUNT);
	return ph_heap_cache ? 0 : -ENOMEM;
}

/**
 * ph_heap_cache_exit - the mirror of ph_heap_cache_init()
 */
void ph_heap_cache_exit(void)
{
	rcu_barrier();	/* for ph_heap_free_rcu() */
	kmem_cache_destroy(ph_heap_cache);
}

/* Not kfree_rcu(), which may keep it, and its charge, for seconds. */
static void ph_heap_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(ph_heap_cache, container_of(rcu, struct ph_heap, rcu));
}

/**
 * ph_heap_put - drop a reference to a heap
 * @heap: freed with the last one
 *
 * Context: May sleep; may be under mmap_lock.
 */
void ph_heap_put(struct ph_heap *heap)
{
	if (!refcount_dec_and_test(&heap->refs))
		return;
	WARN_ON_ONCE(!list_empty(&heap->regions) ||
		     atomic_long_read(&heap->limit.usage_pages));
	ph_block_store_exit(&heap->store);
	ph_tally_exit(heap);
	mtree_destroy(&heap->others);
	if (heap->filp)
		ph_region_close(heap);
	mmdrop(heap->mm);
	ph_limit_put(heap->limit.parent);
	if (heap->cgroup)
		ph_limit_put(&heap->cgroup->limit);
	call_rcu(&heap->rcu, ph_heap_free_rcu);
}

/* Takes @cgroup over. */
static struct ph_heap *ph_heap_new(struct ph_file *file,
				   struct ph_cgroup *cgroup, u32 flags,
				   unsigned long max_pages,
				   unsigned long limit_pages,
				   unsigned long quarantine_pages)
{
	struct mem_cgroup *outer = ph_cgroup_enter(cgroup);
	struct ph_heap *heap = kmem_cache_zalloc(ph_heap_cache, PH_GFP_META);

	ph_cgroup_leave(cgroup, outer);
	if (!heap) {
		if (cgroup)
			ph_limit_put(&cgroup->limit);
		return NULL;
	}
	heap->cgroup = cgroup;
	refcount_set(&heap->refs, 1);
	heap->flags = flags;
	heap->max_pages = max_pages;
	mmgrab(file->mm);
	heap->mm = file->mm;
	heap->pool = &file->process->pool;
	mutex_init(&heap->grow_lock);
	mutex_init(&heap->lock);
	INIT_LIST_HEAD(&heap->regions);
	spin_lock_init(&heap->counters_lock);
	INIT_LIST_HEAD(&heap->counters);
	mt_init(&heap->others);
	refcount_inc(&file->process->limit.refs);
	ph_limit_init(&heap->limit, PRIVHEAP_SCOPE_HEAP, &file->process->limit,
		      limit_pages);
	ph_block_store_init(&heap->store, &ph_heap_block_ops);
	heap->store.growable = !max_pages;
	heap->store.max_quarantine_pages = quarantine_pages;
	return heap;
}

/* Enters the first region, with the initial pages, or nothing of it. */
static int ph_heap_begin_locked(struct ph_heap *heap, struct ph_region *region)
{
	int err;

	heap->nr_ordinary = 0;	/* it may have been here before */
	err = ph_heap_attach_locked(heap, region, false);
	if (err)
		return err;
	heap->base = region->blocks.base;
	if (region->nr_kept_pages)
		err = ph_commit_pages(region, 0, region->nr_kept_pages, true);
	if (err)
		ph_heap_detach_locked(heap, region);
	return err;
}

/* Gives a new heap its first region, with the initial pages resident. */
static int ph_heap_populate(struct ph_heap *heap, unsigned long nr_pages,
			    unsigned long nr_kept_pages)
{
	struct ph_region *region;
	int err;

	region = ph_heap_reserve(heap, nr_pages);
	if (IS_ERR(region))
		return PTR_ERR(region);
	region->nr_kept_pages = nr_kept_pages;
	do {
		mutex_lock(&heap->lock);
		err = ph_heap_begin_locked(heap, region);
		if (err == -EDQUOT)
			ph_limit_report_refusal(heap);
		mutex_unlock(&heap->lock);
		if (err == -EAGAIN)
			err = ph_table_make(heap, region) ?: -EAGAIN;
	} while (err == -EAGAIN);
	if (err)
		ph_heap_discard(heap, region);
	return err;
}

static int ph_heap_build(struct ph_heap *heap, struct privheap_create *arg)
{
	unsigned long nr_kept = max(PAGE_ALIGN(arg->initial_bytes) >> PAGE_SHIFT,
				    1UL);
	unsigned long nr_pages = heap->max_pages;
	struct mem_cgroup *outer;
	int err;

	if (!nr_pages)
		nr_pages = ALIGN(nr_kept << PAGE_SHIFT, PH_REGION_ALIGN) >>
			   PAGE_SHIFT;
	/* Any page may become a guard; and one page would stand in a huge one's way. */
	if (heap->flags & PRIVHEAP_CREATE_F_GUARD ||
	    (heap->huge && !arg->initial_bytes))
		nr_kept = 0;
	outer = ph_cgroup_enter(heap->cgroup);
	err = ph_region_open(heap) ?:
	      ph_heap_populate(heap, nr_pages, min(nr_kept, nr_pages));
	ph_cgroup_leave(heap->cgroup, outer);
	if (err)
		return err;
	arg->out_heap = heap->id;
	arg->out_base = heap->base;
	arg->out_region_bytes = (u64)nr_pages << PAGE_SHIFT;
	return 0;
}

/* Soft limit and grace of a heap in the making; its hard limit is set already. */
static int ph_heap_set_limits(struct ph_heap *heap,
			      const struct privheap_create *arg)
{
	struct ph_limit_change change = {
		.soft_bytes = arg->soft_bytes,
		.grace_bytes = arg->grace_bytes,
	};

	if (arg->soft_bytes)
		change.set |= PRIVHEAP_LIMIT_F_SOFT;
	if (arg->grace_bytes)
		change.set |= PRIVHEAP_LIMIT_F_GRACE;
	return change.set ? ph_limit_set(&heap->limit, &change,
					 PH_LIMIT_BY_PROGRAM) : 0;
}

static int ph_heap_charge_meta(struct ph_heap *heap)
{
	int err;

	mutex_lock(&heap->lock);
	err = ph_limit_charge_above(heap, PH_HEAP_META_PAGES);
	if (err)
		ph_limit_report_refusal(heap);
	else
		ph_limit_settle(heap);
	mutex_unlock(&heap->lock);
	return err;
}

/* Takes a place in the file's table; the heap is not to be found there yet. */
static int ph_heap_reserve_id(struct ph_file *file, struct ph_heap *heap)
{
	u32 index;
	int err;

	err = xa_alloc(&file->heaps, &index, NULL, xa_limit_31b, PH_GFP_META);
	if (err)
		return -ENOMEM;
	if (ph_owner_add_heap(heap)) {
		xa_erase(&file->heaps, index);
		return -ENOMEM;
	}
	xa_lock(&file->heaps);
	if (!++file->generation)
		file->generation = 1;
	heap->id = (u64)file->generation << 32 | index;
	xa_unlock(&file->heaps);
	return 0;
}

/**
 * ph_heap_create - make a heap, tell the caller, and publish it
 * @call: the create call; its sizes have been checked against ph_max_bytes()
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0, -EFAULT, -EINVAL, -EDQUOT, -ENOMEM, -EINTR, -EACCES, and for the
 * cgroup -EBADF, -EOPNOTSUPP.
 */
int ph_heap_create(struct ph_call *call)
{
	struct privheap_create *arg = &call->arg.create;
	struct ph_file *file = call->file;
	struct ph_cgroup *cgroup = NULL;
	struct ph_heap *heap;
	int err;

	if (arg->flags & PRIVHEAP_CREATE_F_CGROUP)
		cgroup = ph_cgroup_get(arg->cgroup_fd);
	if (IS_ERR(cgroup))
		return PTR_ERR(cgroup);
	heap = ph_heap_new(file, cgroup, arg->flags,
			   PAGE_ALIGN(arg->max_bytes) >> PAGE_SHIFT,
			   arg->limit_bytes ? arg->limit_bytes >> PAGE_SHIFT :
					      ULONG_MAX,
			   arg->quarantine_bytes >> PAGE_SHIFT);
	if (!heap)
		return -ENOMEM;
	ph_policy_set(heap, arg->policy, arg->window_pages);
	/* What is freed in a guarded heap is out of reach, so that no split may fail. */
	heap->huge = ph_policy_is_huge(arg->policy) && !ph_heap_is_secret(heap) &&
		     !(heap->flags & PRIVHEAP_CREATE_F_GUARD);
	heap->max_idle = ph_heap_idle_pages(heap, arg->idle_bytes);
	err = ph_heap_set_limits(heap, arg) ?: ph_heap_charge_meta(heap);
	if (err)
		goto err_put_heap;
	err = ph_heap_reserve_id(file, heap);
	if (err)
		goto err_destroy_heap;
	err = ph_heap_build(heap, arg);
	if (err)
		goto err_release_id;
	err = ph_call_answer(call);
	if (err)
		goto err_release_id;
	ph_owner_publish_heap(heap);
	ph_event_heap(PRIVHEAP_EVENT_HEAP_CREATED, heap);
	ph_file_publish(file, heap);	/* from here on it can be destroyed */
	return 0;

err_release_id:
	xa_erase(&file->heaps, (u32)heap->id);
err_destroy_heap:
	ph_heap_destroy(heap);
	return err;
err_put_heap:
	ph_heap_put(heap);
	return err;
}
