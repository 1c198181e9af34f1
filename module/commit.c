// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commit: the states of a region's pages, and the page fault.
 *
 * A page is reserved, committed (charged to the limits, may be touched) or
 * resident (has memory). Committing and decommitting happen in calls, under
 * ph_heap.lock; a page becomes resident at the first touch, in the fault handler,
 * or at commit when it is to be backed. The states live in chunks, found by page
 * number in the region's xarray. This file knows pages, not blocks.
 *
 * Invariants, whenever no lock is held:
 * - a page has memory only while it is committed;
 * - as many pages are charged to the heap's limit as are committed;
 * - a page table entry of the region points to the page in its chunk, or
 *   nowhere. The fault handler looks a page up and maps it inside one critical
 *   section of the chunk's lock. Decommit first clears the committed bits in
 *   such sections, so that no fault maps the pages any more, then unmaps them,
 *   and only then releases them.
 */
#include <linux/bitops.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/* Pages a program touches: charged to its memory cgroup, zeroed, not movable. */
#define PH_GFP_PAGE	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT)
/* The same where a failure can be reported: no OOM killer. */
#define PH_GFP_BACKED	(PH_GFP_PAGE | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Which pages of chunk @index lie in [@first, @end). */
static u64 ph_chunk_mask(unsigned long index, unsigned long first,
			 unsigned long end)
{
	unsigned long base = index * PH_CHUNK_PAGES;
	unsigned long lo = max(first, base) - base;
	unsigned long hi = min(end, base + PH_CHUNK_PAGES) - base;

	return GENMASK_ULL(hi - 1, lo);
}

static struct ph_chunk *ph_chunk_find(struct ph_region *region,
				      unsigned long page)
{
	return xa_load(&region->chunks, page / PH_CHUNK_PAGES);
}

static struct ph_chunk *ph_chunk_create(struct ph_region *region,
					unsigned long index)
{
	unsigned long nr = min(region->blocks.nr_pages - index * PH_CHUNK_PAGES,
			       PH_CHUNK_PAGES);
	struct ph_chunk *chunk;

	chunk = kzalloc(struct_size(chunk, pages, nr), PH_GFP_META);
	if (!chunk)
		return NULL;
	mutex_init(&chunk->lock);
	if (xa_is_err(xa_store(&region->chunks, index, chunk, PH_GFP_META))) {
		kfree(chunk);
		return NULL;
	}
	return chunk;
}

/* Makes sure that there is a chunk for each page in [@first, @end). */
static int ph_chunks_create(struct ph_region *region, unsigned long first,
			    unsigned long end)
{
	unsigned long index;

	for (index = first / PH_CHUNK_PAGES; index * PH_CHUNK_PAGES < end;
	     index++) {
		if (!xa_load(&region->chunks, index) &&
		    !ph_chunk_create(region, index))
			return -ENOMEM;
	}
	return 0;
}

static unsigned long ph_count_committed(struct ph_region *region,
					unsigned long first, unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	xa_for_each_range(&region->chunks, index, chunk, first / PH_CHUNK_PAGES,
			  (end - 1) / PH_CHUNK_PAGES)
		nr += hweight64(chunk->committed &
				ph_chunk_mask(index, first, end));
	return nr;
}

/* Gives page @i of a chunk memory if it has none. Caller holds the lock. */
static struct page *ph_chunk_page_locked(struct ph_chunk *chunk, unsigned int i,
					 gfp_t gfp)
{
	struct page *page = chunk->pages[i];

	lockdep_assert_held(&chunk->lock);
	if (page)
		return page;
	page = alloc_page(gfp);
	if (!page)
		return NULL;
	chunk->nr_resident++;
	WRITE_ONCE(chunk->pages[i], page);
	return page;
}

/* Takes the memory of the pages in @mask away; they are mapped nowhere. */
static void ph_chunk_release(struct ph_chunk *chunk, u64 mask)
{
	struct page *pages[PH_CHUNK_PAGES];
	unsigned int i, nr = 0;

	mutex_lock(&chunk->lock);
	for (; mask && chunk->nr_resident; mask &= mask - 1) {
		i = __ffs64(mask);
		if (!chunk->pages[i])
			continue;
		pages[nr++] = chunk->pages[i];
		WRITE_ONCE(chunk->pages[i], NULL);
		chunk->nr_resident--;
	}
	mutex_unlock(&chunk->lock);
	if (nr)
		release_pages(pages, nr);
}

/* Takes memory away from pages in [@first, @end) that are not committed. */
static void ph_depopulate(struct ph_region *region, unsigned long first,
			  unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index;

	xa_for_each_range(&region->chunks, index, chunk, first / PH_CHUNK_PAGES,
			  (end - 1) / PH_CHUNK_PAGES)
		ph_chunk_release(chunk, ph_chunk_mask(index, first, end) &
					~chunk->committed);
}

/* Gives memory to all pages in [@first, @end), which are not yet committed. */
static int ph_populate(struct ph_region *region, unsigned long first,
		       unsigned long end)
{
	unsigned long page;
	struct ph_chunk *chunk;
	bool done;

	for (page = first; page < end; page++) {
		chunk = ph_chunk_find(region, page);
		mutex_lock(&chunk->lock);
		done = ph_chunk_page_locked(chunk, page % PH_CHUNK_PAGES,
					    PH_GFP_BACKED);
		mutex_unlock(&chunk->lock);
		if (!done || fatal_signal_pending(current)) {
			ph_depopulate(region, first, end);
			return done ? -EINTR : -ENOMEM;
		}
		cond_resched();
	}
	return 0;
}

/**
 * ph_commit_pages - commit a range of pages
 * @region: of this region
 * @first: first page
 * @nr: how many, at least one; those that are committed already stay so and are
 *	not charged again
 * @backed: make them resident, too
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0; -EDQUOT on a limit; -ENOMEM; -EINTR when the task is being killed.
 * After an error nothing has changed.
 */
int ph_commit_pages(struct ph_region *region, unsigned long first,
		    unsigned long nr, bool backed)
{
	struct ph_limit *limit = &region->heap->limit;
	unsigned long end = first + nr, index, missing;
	struct ph_chunk *chunk;
	int err;

	lockdep_assert_held(&region->heap->lock);
	missing = nr - ph_count_committed(region, first, end);
	if (!missing)
		return 0;
	err = ph_limit_charge(limit, missing);
	if (err)
		return err;
	err = ph_chunks_create(region, first, end);
	if (!err && backed)
		err = ph_populate(region, first, end);
	if (err) {
		ph_limit_uncharge(limit, missing);
		return err;
	}
	xa_for_each_range(&region->chunks, index, chunk, first / PH_CHUNK_PAGES,
			  (end - 1) / PH_CHUNK_PAGES) {
		mutex_lock(&chunk->lock);
		chunk->committed |= ph_chunk_mask(index, first, end);
		mutex_unlock(&chunk->lock);
	}
	ph_limit_note_peak(limit);
	return 0;
}

/* Decommits [@first, @end) in the three steps that the invariants ask for. */
static void ph_decommit_range(struct ph_region *region, unsigned long first,
			      unsigned long end)
{
	unsigned long index, nr_committed = 0, nr_resident = 0;
	struct ph_chunk *chunk;
	u64 mask;

	lockdep_assert_held(&region->heap->lock);
	xa_for_each_range(&region->chunks, index, chunk, first / PH_CHUNK_PAGES,
			  (end - 1) / PH_CHUNK_PAGES) {
		mask = ph_chunk_mask(index, first, end);
		mutex_lock(&chunk->lock);
		nr_committed += hweight64(chunk->committed & mask);
		nr_resident += chunk->nr_resident;
		chunk->committed &= ~mask;
		mutex_unlock(&chunk->lock);
	}
	if (!nr_committed)
		return;
	if (nr_resident) {
		unmap_mapping_pages(region->heap->filp->f_mapping,
				    region->pgoff + first, end - first, true);
		xa_for_each_range(&region->chunks, index, chunk,
				  first / PH_CHUNK_PAGES,
				  (end - 1) / PH_CHUNK_PAGES) {
			ph_chunk_release(chunk, ph_chunk_mask(index, first, end));
			cond_resched();
		}
	}
	ph_limit_uncharge(&region->heap->limit, nr_committed);
}

/**
 * ph_commit_count - count the pages of a region that are committed
 * @region: of this region
 *
 * Context: Caller holds ph_heap.lock.
 * Return: how many there are.
 */
unsigned long ph_commit_count(struct ph_region *region)
{
	lockdep_assert_held(&region->heap->lock);
	return ph_count_committed(region, 0, region->blocks.nr_pages);
}

/**
 * ph_decommit_pages - decommit a range of pages
 * @region: of this region
 * @first: first page
 * @nr: how many; pages that are not committed are skipped, and so are those
 *	that the heap keeps for life
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_decommit_pages(struct ph_region *region, unsigned long first,
		       unsigned long nr)
{
	unsigned long end = first + nr;

	first = max(first, region->nr_kept_pages);
	if (first < end)
		ph_decommit_range(region, first, end);
}

/**
 * ph_commit_release - decommit everything, kept pages included
 * @region: the region, at the end of its use
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_release(struct ph_region *region)
{
	ph_decommit_range(region, 0, region->blocks.nr_pages);
}

/**
 * ph_commit_exit - free what this file keeps for a region
 * @region: released, mapped nowhere, and no longer used by anybody
 */
void ph_commit_exit(struct ph_region *region)
{
	struct ph_chunk *chunk;
	unsigned long index;

	xa_for_each(&region->chunks, index, chunk) {
		WARN_ON_ONCE(chunk->committed || chunk->nr_resident);
		kfree(chunk);
	}
	xa_destroy(&region->chunks);
}

/**
 * ph_commit_fault - serve a page fault
 * @region: that was touched
 * @vmf: the fault, in the heap's own address space
 *
 * Two threads that touch the same page meet at the chunk's lock; the second one
 * finds it mapped, which is no error.
 *
 * Context: Page fault, under mmap_lock or the VMA's lock; may sleep.
 * Return: VM_FAULT_NOPAGE when the page is mapped, VM_FAULT_SIGSEGV when it is
 * not committed, VM_FAULT_OOM.
 */
vm_fault_t ph_commit_fault(struct ph_region *region, struct vm_fault *vmf)
{
	unsigned long n = vmf->pgoff - region->pgoff;
	unsigned int i = n % PH_CHUNK_PAGES;
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	vm_fault_t ret = VM_FAULT_SIGSEGV;
	struct page *page;
	int err;

	if (!chunk)
		return VM_FAULT_SIGSEGV;
	mutex_lock(&chunk->lock);
	if (!(chunk->committed & BIT_ULL(i)))
		goto out_unlock;
	ret = VM_FAULT_OOM;
	page = ph_chunk_page_locked(chunk, i, PH_GFP_PAGE);
	if (!page)
		goto out_unlock;
	err = vm_insert_page(vmf->vma, vmf->address & PAGE_MASK, page);
	if (!err || err == -EBUSY)
		ret = VM_FAULT_NOPAGE;
	else if (WARN_ON_ONCE(err != -ENOMEM))
		ret = VM_FAULT_SIGBUS;
out_unlock:
	mutex_unlock(&chunk->lock);
	return ret;
}

/* The memory of page @n, or NULL; stays while the caller holds ph_heap.lock. */
static struct page *ph_page_peek(struct ph_region *region, unsigned long n)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);

	return chunk ? READ_ONCE(chunk->pages[n % PH_CHUNK_PAGES]) : NULL;
}

static struct page *ph_page_get(struct ph_region *region, unsigned long n)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	struct page *page;

	mutex_lock(&chunk->lock);
	page = ph_chunk_page_locked(chunk, n % PH_CHUNK_PAGES, PH_GFP_BACKED);
	mutex_unlock(&chunk->lock);
	return page;
}

/**
 * ph_commit_zero - make a range of committed memory read as zero
 * @region: of this region
 * @addr: where it starts, any address
 * @bytes: its length
 *
 * Pages without memory are left so: they will be zero when they get it.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_zero(struct ph_region *region, unsigned long addr,
		    unsigned long bytes)
{
	unsigned long offset = addr - region->blocks.base;
	unsigned long len;
	struct page *page;

	lockdep_assert_held(&region->heap->lock);
	for (; bytes; bytes -= len, offset += len) {
		len = min(bytes, PAGE_SIZE - offset_in_page(offset));
		page = ph_page_peek(region, offset >> PAGE_SHIFT);
		if (page)
			memzero_page(page, offset_in_page(offset), len);
		cond_resched();
	}
}

/* Copies @len bytes that lie in one page on either side. */
static int ph_copy_piece(struct ph_region *dst, unsigned long to,
			 struct ph_region *src, unsigned long from,
			 unsigned long len)
{
	struct page *src_page = ph_page_peek(src, from >> PAGE_SHIFT);
	struct page *dst_page = ph_page_peek(dst, to >> PAGE_SHIFT);

	if (!src_page) {
		if (dst_page)
			memzero_page(dst_page, offset_in_page(to), len);
		return 0;
	}
	if (!dst_page)
		dst_page = ph_page_get(dst, to >> PAGE_SHIFT);
	if (!dst_page)
		return -ENOMEM;
	memcpy_page(dst_page, offset_in_page(to), src_page,
		    offset_in_page(from), len);
	flush_dcache_page(dst_page);
	return 0;
}

/**
 * ph_commit_copy - copy committed memory of a heap to other such memory
 * @dst: region copied to
 * @dst_addr: address copied to
 * @src: region copied from
 * @src_addr: address copied from; the ranges do not overlap
 * @bytes: how much
 *
 * Works on the pages, not through the program's mapping, and so cannot fault.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0, -ENOMEM, or -EINTR when the task is being killed; the contents of
 * the destination are undefined then.
 */
int ph_commit_copy(struct ph_region *dst, unsigned long dst_addr,
		   struct ph_region *src, unsigned long src_addr,
		   unsigned long bytes)
{
	unsigned long to = dst_addr - dst->blocks.base;
	unsigned long from = src_addr - src->blocks.base;
	unsigned long len;
	int err;

	lockdep_assert_held(&dst->heap->lock);
	for (; bytes; bytes -= len, to += len, from += len) {
		len = min3(bytes, PAGE_SIZE - offset_in_page(to),
			   PAGE_SIZE - offset_in_page(from));
		err = ph_copy_piece(dst, to, src, from, len);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Exchanges the memory of a page, and returns what it had. */
static struct page *ph_page_exchange(struct ph_region *region, unsigned long n,
				     struct page *page)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	unsigned int i = n % PH_CHUNK_PAGES;
	struct page *old;

	mutex_lock(&chunk->lock);
	old = chunk->pages[i];
	WRITE_ONCE(chunk->pages[i], page);
	chunk->nr_resident += !!page - !!old;
	mutex_unlock(&chunk->lock);
	return old;
}

/**
 * ph_commit_move - move the memory of pages to other pages of the heap
 * @dst: region moved to
 * @dst_first: first page moved to; committed, and just been so: what these pages
 *	hold is of no interest
 * @src: region moved from
 * @src_first: first page moved from; stays committed, without memory
 * @nr: how many
 *
 * Costs a few dozen instructions a page where copying costs hundreds, and cannot
 * fail. Neither range may contain pages that a region keeps for life.
 *
 * The destination may have memory: in a backed heap, and where the program has
 * touched it before it was told the address. That is released.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_move(struct ph_region *dst, unsigned long dst_first,
		    struct ph_region *src, unsigned long src_first,
		    unsigned long nr)
{
	struct address_space *mapping = dst->heap->filp->f_mapping;
	struct page *page;
	unsigned long n;

	lockdep_assert_held(&dst->heap->lock);
	for (n = 0; n < nr; n++) {
		page = ph_page_exchange(src, src_first + n, NULL);
		if (page)
			page = ph_page_exchange(dst, dst_first + n, page);
		else if (ph_page_peek(dst, dst_first + n))
			memzero_page(ph_page_peek(dst, dst_first + n), 0,
				     PAGE_SIZE);
		if (page)
			put_page(page);
		cond_resched();
	}
	unmap_mapping_pages(mapping, src->pgoff + src_first, nr, true);
	unmap_mapping_pages(mapping, dst->pgoff + dst_first, nr, true);
}

/**
 * ph_commit_resident - count the pages that have memory
 * @region: of this region
 *
 * Return: how many there are; faults may change it at any time.
 */
unsigned long ph_commit_resident(struct ph_region *region)
{
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	xa_for_each(&region->chunks, index, chunk)
		nr += READ_ONCE(chunk->nr_resident);
	return nr;
}
