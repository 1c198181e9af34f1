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
#include <linux/bitmap.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/* Pages: zeroed, not movable, charged to the memory cgroup of who touches them. */
#define PH_GFP_PAGE	(GFP_HIGHUSER | __GFP_ZERO | __GFP_ACCOUNT)
/* The same where a failure can be reported: no OOM killer. */
#define PH_GFP_BACKED	(PH_GFP_PAGE | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

#define PH_CHUNK_BYTES		(PH_CHUNK_PAGES << PAGE_SHIFT)

/* How many pages are released in one go. */
#define PH_RELEASE_BATCH	64

/* Pages @lo .. @hi - 1 of a chunk. */
struct ph_part {
	unsigned int lo;
	unsigned int hi;
};

/* What of the pages [@first, @end) of a region lies in its chunk @index. */
static struct ph_part ph_chunk_part(unsigned long index, unsigned long first,
				    unsigned long end)
{
	unsigned long base = index * PH_CHUNK_PAGES;

	return (struct ph_part){
		.lo = max(first, base) - base,
		.hi = min(end, base + PH_CHUNK_PAGES) - base,
	};
}

/* Goes through the chunks that there are for pages [@first, @end). */
#define ph_for_each_chunk(region, index, chunk, first, end)		\
	xa_for_each_range(&(region)->chunks, index, chunk,		\
			  (first) / PH_CHUNK_PAGES,			\
			  ((end) - 1) / PH_CHUNK_PAGES)

static struct ph_chunk *ph_chunk_find(struct ph_region *region,
				      unsigned long page)
{
	return xa_load(&region->chunks, page / PH_CHUNK_PAGES);
}

static void ph_chunk_free(struct ph_chunk *chunk)
{
	if (chunk->pages != chunk->few)
		free_page((unsigned long)chunk->pages);
	kfree(chunk);
}

/*
 * The pointers of a whole chunk fill a page, and get one. Slabs for objects of
 * that size are of a higher order, and to free several of these in a row makes
 * the page allocator empty its per-CPU lists: that cost a quarter of a destroy.
 */
static struct ph_chunk *ph_chunk_alloc(unsigned long nr_pages)
{
	bool few = nr_pages * sizeof(struct page *) <= PAGE_SIZE / 4;
	struct ph_chunk *chunk;

	chunk = kzalloc(struct_size(chunk, few, few ? nr_pages : 0), PH_GFP_META);
	if (!chunk)
		return NULL;
	mutex_init(&chunk->lock);
	chunk->pages = few ? chunk->few : (void *)get_zeroed_page(PH_GFP_META);
	if (!chunk->pages) {
		kfree(chunk);
		return NULL;
	}
	return chunk;
}

/* A chunk without a committed page gives the page of its pointers back. */
static void ph_chunk_trim(struct ph_chunk *chunk)
{
	struct page **pages = NULL;

	mutex_lock(&chunk->lock);
	if (chunk->pages != chunk->few && !chunk->nr_resident &&
	    bitmap_empty(chunk->committed, PH_CHUNK_PAGES))
		swap(pages, chunk->pages);
	mutex_unlock(&chunk->lock);
	free_page((unsigned long)pages);
}

static int ph_chunk_untrim(struct ph_chunk *chunk)
{
	struct page **pages = (void *)get_zeroed_page(PH_GFP_META);

	if (!pages)
		return -ENOMEM;
	mutex_lock(&chunk->lock);
	chunk->pages = pages;
	mutex_unlock(&chunk->lock);
	return 0;
}

static int ph_chunk_create(struct ph_region *region, unsigned long index)
{
	struct ph_chunk *chunk;

	chunk = ph_chunk_alloc(min(region->blocks.nr_pages -
				   index * PH_CHUNK_PAGES, PH_CHUNK_PAGES));
	if (!chunk)
		return -ENOMEM;
	if (xa_is_err(xa_store(&region->chunks, index, chunk, PH_GFP_META))) {
		ph_chunk_free(chunk);
		return -ENOMEM;
	}
	return 0;
}

/* Makes sure that there is a chunk for each page in [@first, @end). */
static int ph_chunks_create(struct ph_region *region, unsigned long first,
			    unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index;
	int err = 0;

	for (index = first / PH_CHUNK_PAGES;
	     !err && index * PH_CHUNK_PAGES < end; index++) {
		chunk = xa_load(&region->chunks, index);
		if (!chunk)
			err = ph_chunk_create(region, index);
		else if (!chunk->pages)
			err = ph_chunk_untrim(chunk);
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	return err;
}

static unsigned int ph_chunk_count(struct ph_chunk *chunk, struct ph_part part)
{
	unsigned int lo = part.lo, hi, nr = 0;

	for_each_set_bitrange_from(lo, hi, chunk->committed, part.hi)
		nr += hi - lo;
	return nr;
}

static unsigned long ph_count_committed(struct ph_region *region,
					unsigned long first, unsigned long end)
{
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	ph_for_each_chunk(region, index, chunk, first, end) {
		nr += ph_chunk_count(chunk, ph_chunk_part(index, first, end));
		cond_resched();
	}
	return nr;
}

/* Takes the memory of pages away; they are mapped nowhere. */
static void ph_chunk_release(struct ph_chunk *chunk, struct ph_part part)
{
	struct page *batch[PH_RELEASE_BATCH];
	unsigned int i, nr = 0;

	mutex_lock(&chunk->lock);
	for (i = part.lo; i < part.hi && chunk->nr_resident; i++) {
		if (!chunk->pages[i])
			continue;
		batch[nr++] = chunk->pages[i];
		WRITE_ONCE(chunk->pages[i], NULL);
		chunk->nr_resident--;
		if (nr == PH_RELEASE_BATCH) {
			release_pages(batch, nr);
			nr = 0;
		}
	}
	mutex_unlock(&chunk->lock);
	if (nr)
		release_pages(batch, nr);
}

/* The memory of page @n, or NULL; stays while the caller holds ph_heap.lock. */
static struct page *ph_page_peek(struct ph_region *region, unsigned long n)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);

	if (!chunk || !chunk->pages)
		return NULL;
	return READ_ONCE(chunk->pages[n % PH_CHUNK_PAGES]);
}

/* Puts *@fresh in the place of page @i, unless that has memory already. */
static struct page *ph_chunk_fill_locked(struct ph_chunk *chunk, unsigned int i,
					 struct page **fresh)
{
	lockdep_assert_held(&chunk->lock);
	if (!chunk->pages[i] && *fresh) {
		WRITE_ONCE(chunk->pages[i], *fresh);
		chunk->nr_resident++;
		*fresh = NULL;
	}
	return chunk->pages[i];
}

/* Gives page @n memory if it has none; for callers that hold ph_heap.lock. */
static struct page *ph_page_get(struct ph_region *region, unsigned long n)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	unsigned int i = n % PH_CHUNK_PAGES;
	struct page *page = READ_ONCE(chunk->pages[i]), *fresh;

	if (page)
		return page;
	fresh = alloc_page(PH_GFP_BACKED);
	if (!fresh)
		return NULL;
	mutex_lock(&chunk->lock);
	page = ph_chunk_fill_locked(chunk, i, &fresh);
	mutex_unlock(&chunk->lock);
	if (fresh)
		__free_page(fresh);
	return page;
}

/* Undoes a commit that failed: pages in [@first, @end) that are not committed. */
static void ph_depopulate(struct ph_region *region, unsigned long first,
			  unsigned long end)
{
	struct ph_part part, gap;
	struct ph_chunk *chunk;
	unsigned long index;

	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		gap.lo = part.lo;
		for_each_clear_bitrange_from(gap.lo, gap.hi, chunk->committed,
					     part.hi)
			ph_chunk_release(chunk, gap);
		ph_chunk_trim(chunk);
	}
}

/* Gives memory to all pages in [@first, @end); an error leaves some with it. */
static int ph_populate(struct ph_region *region, unsigned long first,
		       unsigned long end)
{
	unsigned long page;
	int err = 0;

	for (page = first; page < end && !err; page++) {
		if (!ph_page_get(region, page))
			err = -ENOMEM;
		else if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	return err;
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
	struct ph_part part;
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
		ph_depopulate(region, first, end);
		ph_limit_uncharge(limit, missing);
		return err;
	}
	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		mutex_lock(&chunk->lock);
		bitmap_set(chunk->committed, part.lo, part.hi - part.lo);
		mutex_unlock(&chunk->lock);
		cond_resched();
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
	struct ph_part part;

	lockdep_assert_held(&region->heap->lock);
	ph_for_each_chunk(region, index, chunk, first, end) {
		part = ph_chunk_part(index, first, end);
		mutex_lock(&chunk->lock);
		nr_committed += ph_chunk_count(chunk, part);
		nr_resident += chunk->nr_resident;
		bitmap_clear(chunk->committed, part.lo, part.hi - part.lo);
		mutex_unlock(&chunk->lock);
		cond_resched();
	}
	if (!nr_committed)
		return;
	if (nr_resident)
		unmap_mapping_pages(region->heap->filp->f_mapping,
				    region->pgoff + first, end - first, true);
	ph_for_each_chunk(region, index, chunk, first, end) {
		ph_chunk_release(chunk, ph_chunk_part(index, first, end));
		ph_chunk_trim(chunk);
		cond_resched();
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
 * ph_commit_exit - decommit everything, and free what this file keeps
 * @region: the region; its last VMA is just ending, so nothing maps its pages and
 *	nobody can touch them
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_commit_exit(struct ph_region *region)
{
	unsigned long index, nr_committed = 0;
	struct ph_chunk *chunk;
	struct ph_part part;

	lockdep_assert_held(&region->heap->lock);
	xa_for_each(&region->chunks, index, chunk) {
		part = ph_chunk_part(index, 0, region->blocks.nr_pages);
		nr_committed += ph_chunk_count(chunk, part);
		ph_chunk_release(chunk, part);
		ph_chunk_free(chunk);
		cond_resched();
	}
	xa_destroy(&region->chunks);
	if (nr_committed)
		ph_limit_uncharge(&region->heap->limit, nr_committed);
}

/*
 * Maps page @i of a chunk at the place of a fault. If the page needs memory and
 * there is no *@fresh, returns 0.
 */
static vm_fault_t ph_fault_locked(struct ph_chunk *chunk, unsigned int i,
				  struct page **fresh, struct vm_fault *vmf)
{
	struct page *page;
	int err;

	if (!test_bit(i, chunk->committed))
		return VM_FAULT_SIGSEGV;
	page = ph_chunk_fill_locked(chunk, i, fresh);
	if (!page)
		return 0;
	err = vm_insert_page(vmf->vma, vmf->address & PAGE_MASK, page);
	if (!err || err == -EBUSY)
		return VM_FAULT_NOPAGE;
	return WARN_ON_ONCE(err != -ENOMEM) ? VM_FAULT_SIGBUS : VM_FAULT_OOM;
}

static vm_fault_t ph_fault_try(struct ph_chunk *chunk, unsigned int i,
			       struct page **fresh, struct vm_fault *vmf)
{
	vm_fault_t ret;

	mutex_lock(&chunk->lock);
	ret = ph_fault_locked(chunk, i, fresh, vmf);
	mutex_unlock(&chunk->lock);
	return ret;
}

/**
 * ph_commit_fault - serve a page fault
 * @region: that was touched
 * @vmf: the fault, in the heap's own address space
 *
 * A page is allocated and cleared without the chunk's lock. Two threads that
 * touch the same page meet there; the second one gives its own back and finds the
 * first one's mapped, which is no error.
 *
 * Context: Page fault, under mmap_lock or the VMA's lock; may sleep.
 * Return: VM_FAULT_NOPAGE when the page is mapped, VM_FAULT_SIGSEGV when it is
 * not committed, VM_FAULT_OOM.
 */
vm_fault_t ph_commit_fault(struct ph_region *region, struct vm_fault *vmf)
{
	unsigned long n = vmf->pgoff - region->pgoff;
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	unsigned int i = n % PH_CHUNK_PAGES;
	struct page *fresh = NULL;
	vm_fault_t ret;

	if (!chunk)
		return VM_FAULT_SIGSEGV;
	ret = ph_fault_try(chunk, i, &fresh, vmf);
	if (ret)
		return ret;
	fresh = alloc_page(PH_GFP_PAGE);
	if (!fresh)
		return VM_FAULT_OOM;
	ret = ph_fault_try(chunk, i, &fresh, vmf);
	if (fresh)
		__free_page(fresh);
	return ret;
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
	struct ph_chunk *chunk;
	unsigned long len;
	struct page *page;

	lockdep_assert_held(&region->heap->lock);
	for (; bytes; bytes -= len, offset += len) {
		chunk = ph_chunk_find(region, offset >> PAGE_SHIFT);
		if (!chunk || !READ_ONCE(chunk->nr_resident)) {
			len = min(bytes, PH_CHUNK_BYTES - offset % PH_CHUNK_BYTES);
			continue;
		}
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
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: how many there are; faults may change it at any time.
 */
unsigned long ph_commit_resident(struct ph_region *region)
{
	struct ph_chunk *chunk;
	unsigned long index, nr = 0;

	xa_for_each(&region->chunks, index, chunk) {
		nr += READ_ONCE(chunk->nr_resident);
		cond_resched();
	}
	return nr;
}
