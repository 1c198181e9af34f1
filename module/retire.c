// SPDX-License-Identifier: GPL-2.0-only
/*
 * Retired heaps: destroyed, but with their first region still mapped, for the next
 * heap whose first region is as long.
 *
 * A program that makes a heap for each request makes the same heap again and again,
 * and most of what that costs is a file, an inode, a mapping and page tables. A
 * retired heap has these and nothing else: no id and no serial number, no blocks, no
 * committed page and no charge. Who touches its region gets SIGSEGV, as if it was
 * unmapped. A process has at most PH_NR_RETIRED of them, each with one region of at most
 * one chunk. A retired heap holds its process, and so all of them end when the process
 * closes a file: whoever retires one has a file that is open.
 *
 * Invariant: nobody but the process and the region has a reference to a retired heap. So
 * no one who has found the heap that was destroyed will meet the next one: the id and
 * the serial number go before references are counted here, and who takes one looks at
 * these once more.
 */
#include "internal.h"

static struct ph_heap *ph_retired_swap(struct ph_process *process,
				       unsigned int i, struct ph_heap *heap)
{
	swap(process->retired[i], heap);
	return heap;
}

/* Where to put one: in a free place, or instead of each in turn. */
static unsigned int ph_retired_place_locked(struct ph_process *process)
{
	unsigned int i;

	lockdep_assert_held(&process->retired_lock);
	for (i = 0; i < PH_NR_RETIRED; i++) {
		if (!process->retired[i])
			return i;
	}
	return process->next_retired++ % PH_NR_RETIRED;
}

/**
 * ph_retired_fits - can a heap retire at its end?
 * @heap: which
 *
 * Return: true if its first region is like that of most heaps.
 */
bool ph_retired_fits(const struct ph_heap *heap)
{
	return !(heap->flags & ~PRIVHEAP_CREATE_F_BACKED) && !heap->huge &&
	       heap->first && heap->first->blocks.nr_pages <= PH_CHUNK_PAGES;
}

/**
 * ph_retired_add - retire a heap
 * @process: whose it was; has an open file
 * @heap: that was destroyed down to its first region, which is empty; the caller's
 *	reference becomes the process's
 *
 * Context: May sleep; takes mmap_lock.
 * Return: false if it cannot retire: somebody else still has a reference, or the
 * program advised something about the region.
 */
bool ph_retired_add(struct ph_process *process, struct ph_heap *heap)
{
	/* Whoever is to tell others of the heap still needs its numbers. */
	if (refcount_read(&heap->refs) != 2)
		return false;
	WRITE_ONCE(heap->id, PH_HEAP_NO_ID);
	WRITE_ONCE(heap->limit.key, 0);
	smp_mb();	/* pairs with those of ph_heap_get() and ph_heap_next() */
	if (refcount_read(&heap->refs) != 2 || !ph_region_is_pristine(heap))
		return false;
	spin_lock(&process->retired_lock);
	heap = ph_retired_swap(process, ph_retired_place_locked(process), heap);
	spin_unlock(&process->retired_lock);
	if (heap)
		ph_heap_end(heap);
	return true;
}

/**
 * ph_retired_take - find a retired heap for a new one
 * @process: who wants it
 * @nr_pages: how long its first region is to be
 *
 * Context: May sleep; takes mmap_lock.
 * Return: the heap, with the reference that the process had; or NULL.
 */
struct ph_heap *ph_retired_take(struct ph_process *process,
				unsigned long nr_pages)
{
	struct ph_heap *heap = NULL;
	unsigned int i;

	spin_lock(&process->retired_lock);
	for (i = 0; !heap && i < PH_NR_RETIRED; i++) {
		if (process->retired[i] &&
		    READ_ONCE(process->retired[i]->reserved_pages) == nr_pages)
			heap = ph_retired_swap(process, i, NULL);
	}
	spin_unlock(&process->retired_lock);
	if (heap && !ph_region_is_pristine(heap)) {	/* not any more */
		ph_heap_end(heap);
		heap = NULL;
	}
	return heap;
}

/**
 * ph_retired_end - end all retired heaps
 * @process: of this process
 *
 * Context: May sleep; takes mmap_lock.
 * Return: true if there were any.
 */
bool ph_retired_end(struct ph_process *process)
{
	struct ph_heap *heap;
	bool any = false;
	unsigned int i;

	for (i = 0; i < PH_NR_RETIRED; i++) {
		spin_lock(&process->retired_lock);
		heap = ph_retired_swap(process, i, NULL);
		spin_unlock(&process->retired_lock);
		if (!heap)
			continue;
		ph_heap_end(heap);
		any = true;
	}
	return any;
}
