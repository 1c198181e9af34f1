// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contents: what the pages of a heap hold.
 *
 * Blocks are cleared, copied and moved here, through the kernel's mapping of the
 * pages and not the program's, so nothing here can fault. Page states are
 * chunk.c's.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "chunk.h"

/* Makes a range that lies in one chunk read as zero. */
static void ph_content_zero_part(struct ph_region *region, unsigned long offset,
				 unsigned long bytes)
{
	unsigned long n = offset >> PAGE_SHIFT;
	unsigned long end = (offset + bytes - 1) / PAGE_SIZE + 1;
	struct page *page = ph_chunk_page(region, n);
	unsigned long len;

	/* First those without memory: it may come while we go through them. */
	if (!page || end - n > 1)
		ph_chunk_zero(ph_chunk_find(region, n),
			      ph_chunk_part(n / PH_CHUNK_PAGES, n, end));
	for (; bytes; bytes -= len, offset += len) {
		len = min(bytes, PAGE_SIZE - offset_in_page(offset));
		page = ph_chunk_page(region, offset >> PAGE_SHIFT);
		if (page)
			memzero_page(page, offset_in_page(offset), len);
	}
}

/**
 * ph_content_zero - make a range of committed memory read as zero
 * @region: of this region
 * @addr: where it starts, any address
 * @bytes: its length
 *
 * Pages without memory are left so: they will be zero when they get it.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_content_zero(struct ph_region *region, unsigned long addr,
		     unsigned long bytes)
{
	unsigned long offset = addr - region->blocks.base;
	unsigned long len;

	lockdep_assert_held(&region->heap->lock);
	for (; bytes; bytes -= len, offset += len) {
		len = min(bytes, PH_CHUNK_BYTES - offset % PH_CHUNK_BYTES);
		ph_content_zero_part(region, offset, len);
		cond_resched();
	}
}

/* Is page @n, which has no memory, not committed or to be zero when it gets some? */
static bool ph_content_is_zero(struct ph_region *region, unsigned long n)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	unsigned int i = n % PH_CHUNK_PAGES;

	return !test_bit(i, chunk->committed) || test_bit(i, chunk->zero);
}

/* The memory of page @n, which gets some if it has none; or NULL. */
static struct page *ph_content_page(struct ph_region *region, unsigned long n)
{
	unsigned int i = n % PH_CHUNK_PAGES;
	struct ph_part part = { .lo = i, .hi = i + 1 };

	if (ph_chunk_populate(ph_chunk_find(region, n), part))
		return NULL;
	return ph_chunk_page(region, n);
}

/* Copies @len bytes that lie in one page on either side. */
static int ph_copy_piece(struct ph_region *dst, unsigned long to,
			 struct ph_region *src, unsigned long from,
			 unsigned long len)
{
	struct page *src_page = ph_chunk_page(src, from >> PAGE_SHIFT);
	struct page *dst_page;

	if (!src_page) {
		if (ph_content_is_zero(src, from >> PAGE_SHIFT))
			ph_content_zero_part(dst, to, len);
		return 0;
	}
	dst_page = ph_content_page(dst, to >> PAGE_SHIFT);
	if (!dst_page)
		return -ENOMEM;
	memcpy_page(dst_page, offset_in_page(to), src_page,
		    offset_in_page(from), len);
	flush_dcache_page(dst_page);
	return 0;
}

/**
 * ph_content_copy - copy memory of a heap to other such memory
 * @dst: region copied to
 * @dst_addr: address copied to
 * @src: region copied from
 * @src_addr: address copied from; the ranges do not overlap. What is not committed
 *	here counts as zero
 * @bytes: how much
 *
 * Works on the pages, not through the program's mapping, and so cannot fault.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0, -ENOMEM, or -EINTR when the task is being killed; the contents of
 * the destination are undefined then.
 */
int ph_content_copy(struct ph_region *dst, unsigned long dst_addr,
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

/* Exchanges the memory of a page, if it may have some, and returns what it had. */
static struct page *ph_page_exchange(struct ph_region *region, unsigned long n,
				     struct page *page)
{
	struct ph_chunk *chunk = ph_chunk_find(region, n);
	unsigned int i = n % PH_CHUNK_PAGES;
	struct page *old = NULL;

	mutex_lock(&chunk->lock);
	if (likely(test_bit(i, chunk->committed))) {
		old = chunk->pages[i];
		WRITE_ONCE(chunk->pages[i], page);
		chunk->nr_resident += !!page - !!old;
		atomic_long_add(!!page - !!old, &chunk->heap->nr_resident);
		ph_chunk_show_locked(chunk, (struct ph_part){ i, i + 1 });
	}
	mutex_unlock(&chunk->lock);
	return old;
}

/**
 * ph_content_move - move the memory of pages to other pages of the heap
 * @dst: region moved to
 * @dst_first: first page moved to; committed, and just been so: what these pages
 *	hold is of no interest
 * @src: region moved from
 * @src_first: first page moved from; what is committed stays so, without memory,
 *	and what is not counts as zero
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
void ph_content_move(struct ph_region *dst, unsigned long dst_first,
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
		else if (ph_content_is_zero(src, src_first + n))
			ph_content_zero_part(dst, (dst_first + n) << PAGE_SHIFT,
					     PAGE_SIZE);
		if (page)
			put_page(page);
		cond_resched();
	}
	unmap_mapping_pages(mapping, src->pgoff + src_first, nr, true);
	unmap_mapping_pages(mapping, dst->pgoff + dst_first, nr, true);
}
