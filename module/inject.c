// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failure injection: commits of a heap that fail though there is memory.
 *
 * A program asks for it, for its own heaps, to see its error paths at work. Once
 * the memory of a commit has been charged and before it is had, this file is asked;
 * it knows when to say no, and nothing else.
 *
 * A commit that was refused is tried again by the same call in another way: shorter,
 * or after empty spans were given back. Those tries fail, too, and count as one
 * failure.
 */
#include <linux/prandom.h>

#include "inject.h"

#define PH_PPM	1000000U

/*
 * Set by the first heap that injects, and never taken back: programs shall not be
 * able to have the kernel's code rewritten time and again.
 */
DEFINE_STATIC_KEY_FALSE(ph_inject_used);

/**
 * ph_inject_check - can failures be injected so?
 * @arg: what is asked for
 *
 * Context: May sleep.
 * Return: 0, or -EINVAL for a rate over all commits, or a reserved member.
 */
int ph_inject_check(const struct privheap_inject *arg)
{
	if (arg->rate_ppm > PH_PPM || arg->__reserved)
		return -EINVAL;
	if (arg->nth || arg->rate_ppm)
		static_branch_enable(&ph_inject_used);
	return 0;
}

/**
 * ph_inject_set_locked - begin or end to inject failures
 * @heap: into this heap
 * @arg: what ph_inject_check() has let pass
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_inject_set_locked(struct ph_heap *heap, const struct privheap_inject *arg)
{
	struct ph_inject *inject = &heap->inject;

	lockdep_assert_held(&heap->lock);
	inject->nth = arg->nth;
	inject->rate_ppm = arg->rate_ppm;
	prandom_seed_state(&inject->random, arg->seed);
}

/* Every commit draws a number, so that one seed gives one sequence. */
static bool ph_inject_draws(struct ph_inject *inject)
{
	return inject->rate_ppm &&
	       reciprocal_scale(prandom_u32_state(&inject->random), PH_PPM) <
	       inject->rate_ppm;
}

/**
 * ph_inject_fails_locked - is this commit to fail?
 * @heap: in this heap
 *
 * Context: Caller holds ph_heap.lock.
 * Return: true if so.
 */
bool ph_inject_fails_locked(struct ph_heap *heap)
{
	struct ph_inject *inject = &heap->inject;
	bool fails;

	lockdep_assert_held(&heap->lock);
	if (inject->failing)
		return true;
	fails = ph_inject_draws(inject);
	if (inject->nth && !--inject->nth)
		fails = true;
	inject->failing = fails;
	inject->nr_failures += fails;
	return fails;
}
