// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tally: what tally.h counts in faults, added up; and the times of faults.
 *
 * To take the time of a fault costs as much as a part of its work, so that is done
 * only while somebody asks for it: with the module's parameter, or by tracing
 * faults. The histogram of a heap is made by the first fault that is timed, and its
 * counters by the first that a chunk's do not hold: most heaps are small.
 */
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>

#include "tally.h"

DEFINE_STATIC_KEY_FALSE(ph_tally_times);

static int ph_tally_set_times(const char *value, const struct kernel_param *kp)
{
	bool times;
	int err;

	err = kstrtobool(value, &times);
	if (err)
		return err;
	if (times)
		static_branch_enable(&ph_tally_times);
	else
		static_branch_disable(&ph_tally_times);
	return 0;
}

static int ph_tally_get_times(char *value, const struct kernel_param *kp)
{
	return sysfs_emit(value, "%c\n",
			  static_key_enabled(&ph_tally_times) ? 'Y' : 'N');
}

static const struct kernel_param_ops ph_tally_times_ops = {
	.set	= ph_tally_set_times,
	.get	= ph_tally_get_times,
};

module_param_cb(fault_times, &ph_tally_times_ops, NULL, 0644);
MODULE_PARM_DESC(fault_times,
		 "take the time of each fault for the histograms of the heaps (default N)");

/* Two faults may be the first. Where there is no memory, nothing is counted. */
static void ph_tally_make_latencies(struct ph_heap *heap)
{
	u64 __percpu *latencies;

	latencies = __alloc_percpu_gfp(PH_NR_LATENCIES * sizeof(*latencies),
				       sizeof(*latencies),
				       PH_GFP_META | __GFP_NOWARN);
	if (latencies && cmpxchg(&heap->latencies, NULL, latencies))
		free_percpu(latencies);
}

/**
 * ph_tally_time - a fault whose beginning was noted is over
 * @heap: in this heap
 * @touch: what it did; receives the latency
 *
 * Context: May sleep.
 */
void ph_tally_time(struct ph_heap *heap, struct ph_touch *touch)
{
	unsigned int bits;

	/* The thread may have gone to another CPU, whose clock is behind. */
	touch->latency_ns = max_t(s64, local_clock() - touch->start_ns, 1);
	bits = min_t(unsigned int, ilog2(touch->latency_ns),
		     PH_NR_LATENCIES - 1);
	if (!READ_ONCE(heap->latencies))
		ph_tally_make_latencies(heap);
	if (heap->latencies)
		this_cpu_inc(heap->latencies[bits]);
}

/* Two chunks may be the first. Where there is no memory, nothing is counted. */
static void ph_tally_make(struct ph_heap *heap)
{
	atomic64_t *tally = kcalloc(PH_NR_TALLIES, sizeof(*tally), PH_GFP_META);

	if (tally && cmpxchg(&heap->tally, NULL, tally))
		kfree(tally);
}

/**
 * ph_tally_add - count faults with the heap that its chunks do not count any more
 * @heap: the heap
 * @index: which kind, by ph_tally_index()
 * @nr: how many
 *
 * Context: May sleep.
 */
void ph_tally_add(struct ph_heap *heap, unsigned int index, unsigned int nr)
{
	if (!READ_ONCE(heap->tally))
		ph_tally_make(heap);
	if (heap->tally)
		atomic64_add(nr, &heap->tally[index]);
}

/**
 * ph_tally_exit - free what was counted in a heap
 * @heap: that nobody uses any more
 *
 * Context: Any.
 */
void ph_tally_exit(struct ph_heap *heap)
{
	free_percpu(heap->latencies);
	kfree(heap->tally);
}

/**
 * ph_tally_clear - forget what was counted in a heap
 * @heap: that has ended, but for its first region
 *
 * Context: May sleep. Caller holds ph_heap.lock. A fault that just fails may run.
 */
void ph_tally_clear(struct ph_heap *heap)
{
	struct ph_chunk *chunk;
	unsigned long index;
	unsigned int cpu, i;

	lockdep_assert_held(&heap->lock);
	xa_for_each(&heap->first->chunks, index, chunk)
		memset(chunk->tally, 0, sizeof(chunk->tally));
	for (i = 0; heap->tally && i < PH_NR_TALLIES; i++)
		atomic64_set(&heap->tally[i], 0);
	if (!heap->latencies)
		return;
	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(heap->latencies, cpu), 0,
		       PH_NR_LATENCIES * sizeof(*heap->latencies));
}

/**
 * ph_tally_keep - take over what was counted in a chunk
 * @heap: whose chunk
 * @chunk: that is about to go; nobody uses it any more
 *
 * Context: May sleep.
 */
void ph_tally_keep(struct ph_heap *heap, const struct ph_chunk *chunk)
{
	unsigned int i;

	/* Nobody will ask a heap that goes itself. */
	if (READ_ONCE(heap->state) == PH_HEAP_GONE ||
	    !atomic_read(&heap->mm->mm_users))
		return;
	for (i = 0; i < PH_NR_TALLIES; i++) {
		if (chunk->tally[i])
			ph_tally_add(heap, i, chunk->tally[i]);
	}
}

static void ph_tally_add_region(struct ph_region *region, u64 *sums)
{
	struct ph_chunk *chunk;
	unsigned long index;
	unsigned int i;

	xa_for_each(&region->chunks, index, chunk) {
		mutex_lock(&chunk->lock);
		for (i = 0; i < PH_NR_TALLIES; i++)
			sums[i] += chunk->tally[i];
		mutex_unlock(&chunk->lock);
		cond_resched();
	}
}

/**
 * ph_tally_faults - how many faults were served in a heap since it was made
 * @heap: the heap
 * @sums: receives the numbers, by ph_tally_index(). They are exact while nobody
 *	touches the heap; a counter that carries at this moment may show without
 *	the carry
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_tally_faults(struct ph_heap *heap, u64 sums[PH_NR_TALLIES])
{
	struct ph_region *region;
	unsigned int i;

	lockdep_assert_held(&heap->lock);
	memset(sums, 0, PH_NR_TALLIES * sizeof(*sums));
	list_for_each_entry(region, &heap->regions, node)
		ph_tally_add_region(region, sums);
	/* After the chunks: what carries meanwhile is counted, if not twice. */
	for (i = 0; heap->tally && i < PH_NR_TALLIES; i++)
		sums[i] += atomic64_read(&heap->tally[i]);
}

/**
 * ph_tally_latencies - how long the faults took whose times were taken
 * @heap: the heap
 * @sums: receives how many took from 2^n to 2^(n+1) nanoseconds, or, in the last
 *	place, longer
 *
 * Context: Any.
 */
void ph_tally_latencies(struct ph_heap *heap, u64 sums[PH_NR_LATENCIES])
{
	u64 __percpu *latencies = READ_ONCE(heap->latencies);
	unsigned int cpu, i;

	memset(sums, 0, PH_NR_LATENCIES * sizeof(*sums));
	if (!latencies)
		return;
	for_each_possible_cpu(cpu) {
		for (i = 0; i < PH_NR_LATENCIES; i++)
			sums[i] += READ_ONCE(*per_cpu_ptr(&latencies[i], cpu));
	}
}
