// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables: made before pages are backed, so that touching these cannot fail.
 *
 * A page that has memory still needs a place in a page table when it is touched.
 * The kernel would make the table in the fault, and that may be refused by the
 * memory cgroup of the program: there the OOM killer acts. So a commit that is to
 * be backed first asks here whether the tables are there. If not, the call drops
 * ph_heap.lock, has them made, and starts again, as it does when a heap has to
 * grow. Tables stay as long as the region is mapped, so each chunk needs this once.
 * The file of a heap and the VMAs of its regions are the same to the kernel: it
 * allocates them in a way that the cgroup answers with the OOM killer, and so they
 * are asked for here first.
 *
 * This file knows page tables and the chunk's mark that they are there.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "chunk.h"

/* Tables that one chunk can need: two of the lowest level, and those above. */
#define PH_TABLES_PER_CHUNK	5

/**
 * ph_table_check - are there page tables for pages that are to be backed?
 * @region: of this region
 * @first: first page; there are chunks
 * @end: behind the last page
 *
 * Context: Caller holds ph_heap.lock.
 * Return: 0, or -EAGAIN when ph_table_make() has to be called without the lock.
 */
int ph_table_check(struct ph_region *region, unsigned long first,
		   unsigned long end)
{
	struct ph_heap *heap = region->heap;
	struct ph_chunk *chunk;
	unsigned long index;
	int err = 0;

	lockdep_assert_held(&heap->lock);
	/* Tables would be in the way of huge pages, and these in that of tables. */
	if (heap->huge)
		return 0;
	/* Every heap has a first page, which is not worth it. */
	if (!(heap->flags & PRIVHEAP_CREATE_F_BACKED) && end == 1)
		return 0;
	ph_for_each_chunk(region, index, chunk, first, end) {
		if (chunk->has_tables)
			continue;
		if (!err)
			heap->tables_first = index;
		heap->tables_end = index + 1;
		heap->tables_base = region->blocks.base;
		err = -EAGAIN;
	}
	return err;
}

/**
 * ph_table_reserve - is there room for some pages of the kernel's own?
 * @nr_pages: how many; at most PH_TABLES_PER_CHUNK
 *
 * That is asked with pages that can be refused. When they are given back, this CPU is
 * left with the charge for as many. What the kernel allocates next for a region, and
 * would call the OOM killer for, is to be done with memalloc_noreclaim_save().
 *
 * Context: May sleep.
 * Return: true if there is.
 */
bool ph_table_reserve(unsigned int nr_pages)
{
	struct page *pages[PH_TABLES_PER_CHUNK];
	unsigned int i, nr;

	for (nr = 0; nr < nr_pages; nr++) {
		pages[nr] = alloc_page(PH_GFP_BACKED & ~__GFP_ZERO);
		if (!pages[nr])
			break;
	}
	for (i = 0; i < nr; i++)
		__free_page(pages[i]);
	return nr == nr_pages;
}

/*
 * If others have used the room up meanwhile, the tables exceed the cgroup's limit
 * by a few pages, or are refused by the machine: both are better than the OOM
 * killer, which memalloc_noreclaim_save() keeps away.
 */
static int ph_table_fill(struct ph_heap *heap, unsigned long addr)
{
	struct mm_struct *mm = heap->mm;
	struct vm_area_struct *vma;
	unsigned int noreclaim;
	unsigned long end;
	int err = -ENOMEM;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma && vma->vm_file == heap->filp) {
		end = min(vma->vm_end, addr + PH_CHUNK_BYTES);
		noreclaim = memalloc_noreclaim_save();
		err = apply_to_page_range(mm, addr, end - addr, NULL, NULL);
		memalloc_noreclaim_restore(noreclaim);
	}
	mmap_read_unlock(mm);
	return err;
}

static void ph_table_mark(struct ph_heap *heap, struct ph_region *spare,
			  unsigned long base, unsigned long index)
{
	struct ph_region *region = spare;
	struct ph_chunk *chunk;

	mutex_lock(&heap->lock);
	if (!spare || spare->blocks.base != base)
		region = heap->state == PH_HEAP_LIVE ?
			 ph_heap_find_region(heap, base) : NULL;
	chunk = region ? xa_load(&region->chunks, index) : NULL;
	if (chunk)
		chunk->has_tables = true;
	mutex_unlock(&heap->lock);
}

static int ph_table_make_chunk(struct ph_heap *heap, struct ph_region *spare,
			       unsigned long base, unsigned long index)
{
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (!ph_table_reserve(PH_TABLES_PER_CHUNK))
		return -ENOMEM;
	err = ph_table_fill(heap, base + index * PH_CHUNK_BYTES);
	if (!err)
		ph_table_mark(heap, spare, base, index);
	return err;
}

/**
 * ph_table_forget - there may be no page tables any more
 * @region: of a retired heap, which nobody else uses; none of its pages is mapped
 *
 * The program may have called madvise(), and that takes tables which map nothing,
 * on kernels that can.
 *
 * Context: May not sleep.
 */
void ph_table_forget(struct ph_region *region)
{
	struct ph_chunk *chunk;
	unsigned long index;

	if (!IS_ENABLED(CONFIG_PT_RECLAIM))
		return;
	ph_for_each_chunk(region, index, chunk, 0, region->blocks.nr_pages)
		chunk->has_tables = false;
}

/**
 * ph_table_make - make the page tables that ph_table_check() has missed
 * @heap: the heap; the caller is its owner
 * @spare: a region of the call that is not in the heap's bookkeeping, or NULL
 *
 * If another call has missed others meanwhile it is those that are made, and the
 * caller will come again. Tables are charged to the program.
 *
 * Context: May sleep; takes mmap_lock.
 * Return: 0, -ENOMEM when there is no room, -EINTR. What was made before an error
 * stays.
 */
int ph_table_make(struct ph_heap *heap, struct ph_region *spare)
{
	struct mem_cgroup *outer = NULL;
	unsigned long base, index, end;
	int err = 0;

	mutex_lock(&heap->lock);
	base = heap->tables_base;
	index = heap->tables_first;
	end = heap->tables_end;
	mutex_unlock(&heap->lock);
	if (heap->cgroup)
		outer = ph_cgroup_activate(NULL);
	for (; !err && index < end; index++) {
		err = ph_table_make_chunk(heap, spare, base, index);
		cond_resched();
	}
	ph_cgroup_leave(heap->cgroup, outer);
	return err;
}
