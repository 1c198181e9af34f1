// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: pages that become resident and are mapped when they are touched.
 *
 * Which pages beside the one that was touched, the heap's policy says. No lock of
 * the heap is taken here, and mmap_lock is not needed: what a fault has to know
 * is in the chunk, under the chunk's lock. How this goes together with decommit
 * is told at the top of chunk.c.
 *
 * Memory is allocated without the lock. Two threads that touch the same pages
 * meet at it; the second one finds the first one's memory there, and gives its
 * own back.
 *
 * In heaps that can have huge pages, one page is returned to the kernel, which maps
 * it, or the huge page that it is of. It is locked until that is done; see
 * ph_chunk_settle_locked().
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>

#include "chunk.h"
#include "policy.h"
#include "tally.h"
#include "trace.h"

/**
 * struct ph_fault - a fault being served
 * @region: that was touched
 * @chunk: in this chunk
 * @n: at this page of the region
 * @part: the pages that are to become resident and mapped, @n among them; all
 *	are committed while the chunk's lock is held
 * @vmf: the kernel's view
 * @touch: what was done
 */
struct ph_fault {
	struct ph_region *region;
	struct ph_chunk *chunk;
	unsigned long n;
	struct ph_part part;
	struct vm_fault *vmf;
	struct ph_touch touch;
};

static bool ph_fault_is_single(const struct ph_fault *fault)
{
	return fault->part.hi - fault->part.lo == 1;
}

/*
 * Leaves of the part what is committed and next to the page that was touched,
 * which is committed.
 */
static noinline void ph_fault_clip_window_locked(struct ph_fault *fault)
{
	const unsigned long *committed = fault->chunk->committed;
	unsigned int i = fault->n % PH_CHUNK_PAGES, lo = i;
	struct ph_part *part = &fault->part;

	while (lo > part->lo && test_bit(lo - 1, committed))
		lo--;
	part->lo = lo;
	if (part->hi > i + 1)
		part->hi = find_next_zero_bit(committed, part->hi, i + 1);
}

static void ph_fault_clip_locked(struct ph_fault *fault)
{
	if (!ph_fault_is_single(fault))
		ph_fault_clip_window_locked(fault);
}

static unsigned long ph_fault_addr(struct ph_fault *fault, unsigned int i)
{
	unsigned long n = fault->n - fault->n % PH_CHUNK_PAGES + i;

	return fault->vmf->vma->vm_start + (n << PAGE_SHIFT);
}

/*
 * Of a secret heap the page table gets mere numbers, by which nobody takes hold of
 * a page. So no page may end before it is unmapped.
 */
static int ph_fault_map_secret_locked(struct ph_fault *fault)
{
	struct page **pages = fault->chunk->pages;
	unsigned int i;

	for (i = fault->part.lo; i < fault->part.hi; i++) {
		if (pages[i] &&
		    vmf_insert_pfn(fault->vmf->vma, ph_fault_addr(fault, i),
				   page_to_pfn(pages[i])) != VM_FAULT_NOPAGE)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Maps the pages of the part as far as they have memory. Some may be mapped
 * already: another thread was quicker, or they have been resident before.
 */
static noinline int ph_fault_map_part_locked(struct ph_fault *fault)
{
	struct vm_area_struct *vma = fault->vmf->vma;
	struct page **pages = fault->chunk->pages;
	unsigned int lo = fault->part.lo, end;
	unsigned long nr;
	int err;

	if (unlikely(ph_heap_is_secret(fault->region->heap)))
		return ph_fault_map_secret_locked(fault);
	for (; lo < fault->part.hi; lo = end - nr + 1) {
		for (end = lo; end < fault->part.hi && pages[end]; end++)
			;
		nr = end - lo;
		if (!nr)
			continue;
		err = vm_insert_pages(vma, ph_fault_addr(fault, lo), pages + lo,
				      &nr);
		if (err && err != -EBUSY)
			return err;
	}
	return 0;
}

/* Has the kernel map the page that was touched, or the huge page that has it. */
static vm_fault_t ph_fault_return_locked(struct ph_fault *fault)
{
	struct page *page = fault->chunk->pages[fault->n % PH_CHUNK_PAGES];

	if (unlikely(PageHWPoison(page)))
		return VM_FAULT_HWPOISON;
	get_page(page);
	lock_page(page);
	fault->vmf->page = page;
	ph_tally_count_locked(fault->region->heap, fault->chunk, &fault->touch);
	return VM_FAULT_LOCKED;
}

/* Maps the page that was touched, which has memory, and those of the part. */
static vm_fault_t ph_fault_map_locked(struct ph_fault *fault)
{
	int err;

	if (unlikely(fault->region->heap->huge))
		return ph_fault_return_locked(fault);
	if (ph_fault_is_single(fault) &&
	    likely(!ph_heap_is_secret(fault->region->heap)))
		err = vm_insert_page(fault->vmf->vma,
				     ph_fault_addr(fault, fault->part.lo),
				     fault->chunk->pages[fault->part.lo]);
	else
		err = ph_fault_map_part_locked(fault);
	if (likely(!err) || err == -EBUSY) {
		ph_tally_count_locked(fault->region->heap, fault->chunk,
				      &fault->touch);
		return VM_FAULT_NOPAGE;
	}
	return WARN_ON_ONCE(err != -ENOMEM) ? VM_FAULT_SIGBUS : VM_FAULT_OOM;
}

/* The part that the heap's policy wants. */
static struct ph_part ph_fault_window(struct ph_fault *fault)
{
	struct ph_heap *heap = fault->region->heap;

	return READ_ONCE(heap->policy)->window(fault->region, fault->chunk,
					       fault->n,
					       READ_ONCE(heap->window_pages));
}

/* First look: maps what is there. Returns 0 if that is nothing; *@nr pages are to be. */
static vm_fault_t ph_fault_look(struct ph_fault *fault, unsigned int *nr)
{
	struct ph_chunk *chunk = fault->chunk;
	unsigned int i = fault->n % PH_CHUNK_PAGES;
	vm_fault_t ret = 0;

	mutex_lock(&chunk->lock);
	if (!test_bit(i, chunk->committed)) {
		ret = VM_FAULT_SIGSEGV;
		goto out_unlock;
	}
	fault->part = ph_fault_window(fault);
	ph_fault_clip_locked(fault);
	if (unlikely(chunk->pages[i]))
		ret = ph_fault_map_locked(fault);
	else
		*nr = ph_fault_is_single(fault) ?
		      1 : ph_chunk_missing(chunk, fault->part);
out_unlock:
	mutex_unlock(&chunk->lock);
	return ret;
}

/* Where the memory of page @i has come from, the first of the batch. */
static u8 ph_fault_source(struct ph_chunk *chunk, unsigned int i,
			  const struct ph_batch *batch)
{
	if (!batch->nr_recycled)
		return PRIVHEAP_SOURCE_FRESH;
	return test_bit(i, chunk->zero) ? PRIVHEAP_SOURCE_CLEARED :
					  PRIVHEAP_SOURCE_RECYCLED;
}

/* Second look, with memory. Much may have changed, but the page gets some. */
static vm_fault_t ph_fault_fill(struct ph_fault *fault, struct ph_batch *batch)
{
	struct ph_chunk *chunk = fault->chunk;
	unsigned int i = fault->n % PH_CHUNK_PAGES;
	vm_fault_t ret = VM_FAULT_SIGSEGV;

	mutex_lock(&chunk->lock);
	if (likely(test_bit(i, chunk->committed))) {
		ph_fault_clip_locked(fault);
		ph_chunk_fill_locked(chunk, (struct ph_part){ i, i + 1 }, batch);
		if (likely(batch->next))
			fault->touch.source = ph_fault_source(chunk, i, batch);
		if (!ph_fault_is_single(fault))
			ph_chunk_fill_locked(chunk, fault->part, batch);
		fault->touch.nr_pages = batch->next;
		ret = ph_fault_map_locked(fault);
	}
	mutex_unlock(&chunk->lock);
	return ret;
}

/*
 * A huge page, if there is one. The program may have switched them off, with prctl() or
 * madvise(): not all kernels ask for that when they map one.
 */
static struct page *ph_fault_take_huge(struct ph_fault *fault)
{
	struct vm_area_struct *vma = fault->vmf->vma;

	if (vma_thp_disabled(vma, vma->vm_flags, false))
		return NULL;
	return ph_pool_take_huge(fault->region->heap);
}

/* The part is a whole chunk: a huge page for it. Returns 0 if there is none. */
static noinline vm_fault_t ph_fault_fill_huge(struct ph_fault *fault)
{
	struct page *page = ph_fault_take_huge(fault);
	struct ph_chunk *chunk = fault->chunk;
	vm_fault_t ret = VM_FAULT_NOPAGE;	/* another touch sees what is there */

	if (!page)
		return 0;
	mutex_lock(&chunk->lock);
	if (ph_chunk_is_blank_locked(chunk)) {
		ph_chunk_fill_huge_locked(chunk, page);
		fault->touch.source = PRIVHEAP_SOURCE_FRESH;
		fault->touch.nr_pages = PH_CHUNK_PAGES;
		ret = ph_fault_map_locked(fault);
		page = NULL;
	}
	mutex_unlock(&chunk->lock);
	if (page)
		put_page(page);
	return ret;
}

/* Inline, since a call with so much on the stack would be 1 % of a fault. */
static __always_inline vm_fault_t ph_fault_handle(struct ph_fault *fault)
{
	struct ph_batch batch __uninitialized;	/* long, and filled as far as used */
	struct ph_cgroup *cgroup = fault->region->heap->cgroup;
	gfp_t gfp = likely(!cgroup) ? PH_GFP_PAGE : PH_GFP_BACKED;
	struct mem_cgroup *outer;
	unsigned int nr;
	vm_fault_t ret;
	bool taken;

	fault->chunk = ph_chunk_find(fault->region, fault->n);
	if (!fault->chunk)
		return VM_FAULT_SIGSEGV;
	ret = ph_fault_look(fault, &nr);
	if (ret)
		return ret;
	if (unlikely(nr > PH_BATCH_PAGES)) {
		ret = ph_fault_fill_huge(fault);
		if (ret)
			return ret;
		fault->part = ph_policy_around(fault->n, PH_BATCH_PAGES);
		nr = PH_BATCH_PAGES;
	}
	outer = ph_cgroup_enter(cgroup);
	taken = ph_pool_take(fault->region->heap, &batch, nr, gfp);
	ph_cgroup_leave(cgroup, outer);
	/* There may be nobody to kill in the heap's cgroup, and so no end to OOM. */
	if (!taken)
		return likely(!cgroup) ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
	ret = ph_fault_fill(fault, &batch);
	ph_pool_give(fault->region->heap, &batch);
	return ret;
}

/* When a fault began, if somebody wants to know how long it takes. */
static u64 ph_fault_clock(void)
{
	if (static_branch_unlikely(&ph_tally_times) ||
	    trace_privheap_page_fault_enabled())
		return local_clock();
	return 0;
}

/**
 * ph_fault_serve - serve a page fault
 * @region: that was touched
 * @vmf: the fault, in the heap's own address space
 *
 * Context: Page fault, under mmap_lock or the VMA's lock; may sleep.
 * Return: VM_FAULT_NOPAGE when the page is mapped, VM_FAULT_LOCKED when the kernel
 * has to do it, VM_FAULT_SIGSEGV when it is not committed, VM_FAULT_OOM, or
 * VM_FAULT_SIGBUS when the heap's own cgroup is full.
 */
vm_fault_t ph_fault_serve(struct ph_region *region, struct vm_fault *vmf)
{
	/* Set one by one: to zero all of it first would take a loop. */
	struct ph_fault fault __uninitialized;
	vm_fault_t ret;

	fault.region = region;
	fault.n = vmf->pgoff - region->pgoff;
	fault.vmf = vmf;
	fault.touch.source = PRIVHEAP_SOURCE_RESIDENT;
	fault.touch.nr_pages = 0;
	fault.touch.start_ns = ph_fault_clock();
	fault.touch.latency_ns = 0;
	ret = ph_fault_handle(&fault);
	if (unlikely(fault.touch.start_ns))
		ph_tally_time(region->heap, &fault.touch);
	trace_privheap_page_fault(region, vmf->address, &fault.touch, ret);
	return ret;
}

/* How many pages of the part have memory, from its first one on. */
static unsigned int ph_fault_count_locked(struct ph_fault *fault)
{
	unsigned int i = fault->part.lo;

	while (i < fault->part.hi && fault->chunk->pages[i])
		i++;
	return i - fault->part.lo;
}

/*
 * Has the kernel map @nr pages that are resident, which only it can where there may be
 * huge pages: as it does at a touch. Each page, for it need not map a huge page as one.
 */
static int ph_fault_touch(struct ph_fault *fault, int nr)
{
	struct ph_region *region = fault->region;
	unsigned long addr = region->blocks.base + (fault->n << PAGE_SHIFT);
	int i, err;

	for (i = 0; i < nr; i++) {
		err = fixup_user_fault(region->heap->mm, addr + i * PAGE_SIZE,
				       FAULT_FLAG_WRITE, NULL);
		if (err)
			return i ?: (err == -EFAULT ? -ENOENT : err);
	}
	return nr;
}

/* Gives a blank chunk a huge page, if there is one. */
static void ph_fault_populate_huge(struct ph_fault *fault)
{
	struct ph_chunk *chunk = fault->chunk;
	struct page *page = NULL;
	bool blank;

	mutex_lock(&chunk->lock);
	blank = ph_chunk_is_blank_locked(chunk);
	mutex_unlock(&chunk->lock);
	if (blank)
		page = ph_fault_take_huge(fault);
	if (!page)
		return;
	mutex_lock(&chunk->lock);
	if (ph_chunk_is_blank_locked(chunk)) {
		ph_chunk_fill_huge_locked(chunk, page);
		page = NULL;
	}
	mutex_unlock(&chunk->lock);
	if (page)
		put_page(page);
}

/*
 * Makes the part resident and maps it, as far as it is committed and there is
 * memory. Returns how many pages that were, 0 if it is to be tried again because
 * others have changed them meanwhile, or an error.
 */
static int ph_fault_populate(struct ph_fault *fault)
{
	struct ph_batch batch __uninitialized;
	struct ph_chunk *chunk = fault->chunk;
	unsigned int i = fault->part.lo, nr;
	struct mem_cgroup *outer;
	int err = -ENOENT, done = 0;
	bool taken;

	mutex_lock(&chunk->lock);
	if (test_bit(i, chunk->committed)) {
		ph_fault_clip_locked(fault);
		nr = ph_chunk_missing(chunk, fault->part);
		err = 0;
	}
	mutex_unlock(&chunk->lock);
	if (err)
		return err;
	batch.next = 0;
	batch.nr = 0;
	outer = ph_cgroup_enter(chunk->heap->cgroup);
	taken = !nr || ph_pool_take(chunk->heap, &batch, nr, PH_GFP_BACKED);
	ph_cgroup_leave(chunk->heap->cgroup, outer);
	if (!taken)
		return -ENOMEM;
	mutex_lock(&chunk->lock);
	err = -ENOENT;
	if (test_bit(i, chunk->committed)) {
		ph_fault_clip_locked(fault);
		ph_chunk_fill_locked(chunk, fault->part, &batch);
		err = chunk->heap->huge ? 0 : ph_fault_map_part_locked(fault);
		done = ph_fault_count_locked(fault);
	}
	mutex_unlock(&chunk->lock);
	ph_pool_give(chunk->heap, &batch);
	return err ?: done;
}

/* The same for pages from @first to @end, or as many as go at a time. */
static int ph_fault_populate_some(struct ph_region *region, unsigned long first,
				  unsigned long end)
{
	struct mm_struct *mm = region->heap->mm;
	struct vm_area_struct *vma;
	unsigned long i = first % PH_CHUNK_PAGES;
	struct ph_fault fault = {
		.region = region,
		.n = first,
		.part = {
			.lo = i,
			.hi = min3(i + PH_BATCH_PAGES, i + (end - first),
				   PH_CHUNK_PAGES),
		},
	};
	int ret = -ENOENT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, region->blocks.base);
	/* While there is a VMA the chunks stay. */
	if (vma && vma->vm_private_data == region)
		fault.chunk = ph_chunk_find(region, first);
	if (fault.chunk) {
		fault.vmf = &(struct vm_fault){ .vma = vma };
		if (unlikely(region->heap->huge))
			ph_fault_populate_huge(&fault);
		ret = ph_fault_populate(&fault);
		if (unlikely(region->heap->huge) && ret > 0)
			ret = ph_fault_touch(&fault, ret);
	}
	mmap_read_unlock(mm);
	return ret;
}

/**
 * ph_fault_prefault - make committed pages resident and map them
 * @region: of this region, which the caller holds
 * @first: first page
 * @nr: how many
 *
 * Ends early at a signal.
 *
 * Context: May sleep; takes mmap_lock. The caller is the heap's owner.
 * Return: how many pages from the first one on are resident and mapped; or, if
 * that is none, -ENOENT when the first one is not committed, -ENOMEM, -EINTR.
 */
long ph_fault_prefault(struct ph_region *region, unsigned long first,
		       unsigned long nr)
{
	unsigned long done = 0;
	int ret = 0;

	while (done < nr) {
		if (signal_pending(current))
			ret = -EINTR;
		else
			ret = ph_fault_populate_some(region, first + done,
						     first + nr);
		if (ret < 0)
			break;
		done += ret;
		cond_resched();
	}
	return done ?: ret;
}
