// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls on blocks, but guarded ones: allocate, resize, free, size.
 *
 * Invariant: a block exists for other calls exactly if its owner was told the
 * address; see ph_answer().
 */
#include "heap.h"
#include "inject.h"
#include "trace.h"

/* Makes an idle region the one of a block. */
static int ph_heap_place_idle_locked(struct ph_heap *heap,
				     struct ph_region *region,
				     unsigned long bytes, unsigned long align,
				     unsigned long *addr)
{
	int err = ph_block_alloc_dedicated(&heap->store, &region->blocks, bytes,
					   align, addr);

	if (!err)
		ph_heap_use_region_locked(heap, region);
	return err;
}

/* Finds room for a block in *@spare, its own region, or in an idle one. */
static int ph_heap_place_own_locked(struct ph_heap *heap, unsigned long bytes,
				    unsigned long align,
				    struct ph_region **spare,
				    unsigned long *addr)
{
	struct ph_region *region = *spare;
	int err;

	if (!region) {
		region = ph_heap_idle_region_locked(heap,
						    ph_heap_own_pages(bytes, align));
		return region ? ph_heap_place_idle_locked(heap, region, bytes,
							  align, addr) : -ENOSPC;
	}
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

/* Finds room for a block, in *@spare if it gets a region of its own. */
static __always_inline int
ph_heap_place_locked(struct ph_heap *heap, unsigned long bytes,
		     unsigned long align, struct ph_region **spare,
		     unsigned long *addr)
{
	if (likely(!ph_heap_dedicates(heap, bytes)))
		return ph_block_alloc(&heap->store, bytes, align, addr);
	return ph_heap_place_own_locked(heap, bytes, align, spare, addr);
}

/*
 * Ends a block; the region that it had of its own becomes an idle one, or the call's
 * spare. What goes need not be wiped: that is done with the pages.
 */
static void ph_heap_end_block_locked(struct ph_heap *heap,
				     struct ph_region *region,
				     struct ph_block *block,
				     struct ph_region **spare)
{
	if (!region->blocks.dedicated) {
		ph_heap_wipe_locked(heap, region, block->addr, block->capacity);
		ph_block_free(&heap->store, block);
		return;
	}
	ph_block_free(&heap->store, block);
	if (ph_heap_keep_region_locked(heap, region)) {
		ph_heap_wipe_locked(heap, region, block->addr, block->capacity);
	} else {
		ph_heap_detach_locked(heap, region);
		*spare = region;
	}
}

/* Frees a block; a call has a spare then at most for the sake of this one. */
static void ph_heap_free_locked(struct ph_heap *heap, struct ph_region *region,
				struct ph_block *block, struct ph_region **spare)
{
	ph_heap_end_block_locked(heap, region, block, spare);
	if (unlikely(heap->nr_idle_regions > PH_NR_IDLE_REGIONS) && !*spare)
		*spare = ph_heap_surplus_region_locked(heap);
}

/* Takes back a block that was placed, but not answered. It is tried again. */
static void ph_heap_unplace_locked(struct ph_heap *heap, unsigned long addr,
				   struct ph_region **spare)
{
	struct ph_region *region;
	struct ph_block block;

	if (WARN_ON_ONCE(ph_heap_find_block(heap, addr, &region, &block)))
		return;
	ph_heap_end_block_locked(heap, region, &block, spare);
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
		return ph_block_resize(&heap->store, block, arg->bytes);
	}
	if (ph_heap_dedicates(heap, arg->bytes) && !region->blocks.dedicated)
		return -ENOSPC;
	err = ph_block_resize(&heap->store, block, arg->bytes);
	if (err)
		return err;
	if (arg->flags & PRIVHEAP_REALLOC_F_ZERO)
		ph_content_zero(region, block->addr + old, arg->bytes - old);
	err = ph_answer(answer, block->addr);
	if (unlikely(err))
		WARN_ON_ONCE(ph_block_resize(&heap->store, block, old));
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
	struct ph_block block __uninitialized;	/* ph_heap_find_block() fills it */
	struct ph_region *region, *spare = NULL;
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
	if (unlikely(spare))
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
