// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: pages that become resident and are mapped when they are touched.
 *
 * No lock of the heap is taken here, and mmap_lock is not needed: what a fault
 * has to know is in the chunk, under the chunk's lock. How this goes together
 * with decommit is told at the top of chunk.c.
 */
#include <linux/mm.h>

#include "chunk.h"

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
 * ph_fault_serve - serve a page fault
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
vm_fault_t ph_fault_serve(struct ph_region *region, struct vm_fault *vmf)
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
