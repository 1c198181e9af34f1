// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy of a heap: which there are, and which one a heap has.
 *
 * A fault reads the heap's policy and its window without a lock. Both are
 * changed under ph_heap.lock; a fault may meet the old one with the new other,
 * which gives a window that is neither here nor there, but no harm.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/string.h>

#include "policy.h"

static char *policy = "adaptive";
module_param(policy, charp, 0444);
MODULE_PARM_DESC(policy,
		 "of heaps that name none: page, window, adaptive (default), populate or huge");

static const struct ph_policy *const ph_policies[] = {
	[PRIVHEAP_POLICY_PAGE]		= &ph_policy_page,
	[PRIVHEAP_POLICY_WINDOW]	= &ph_policy_window,
	[PRIVHEAP_POLICY_ADAPTIVE]	= &ph_policy_adaptive,
	[PRIVHEAP_POLICY_POPULATE]	= &ph_policy_populate,
	[PRIVHEAP_POLICY_HUGE]		= &ph_policy_huge,
};

/* PRIVHEAP_POLICY_*, from the module's parameter. */
static u32 ph_policy_default;

/**
 * ph_policy_check - may a heap have this policy?
 * @id: PRIVHEAP_POLICY_*
 * @window_pages: its window, 0 for the policy's default
 *
 * Context: Any.
 * Return: 0; -EINVAL for a window that is no power of two; -EOPNOTSUPP for a
 * policy that there is not, or a window that is too long for it.
 */
int ph_policy_check(u32 id, u32 window_pages)
{
	if (window_pages && !is_power_of_2(window_pages))
		return -EINVAL;
	if (id == PRIVHEAP_POLICY_DEFAULT)
		id = ph_policy_default;
	if (id >= ARRAY_SIZE(ph_policies))
		return -EOPNOTSUPP;
	id = array_index_nospec(id, ARRAY_SIZE(ph_policies));
	return window_pages <= ph_policies[id]->max_window ? 0 : -EOPNOTSUPP;
}

static const struct ph_policy *ph_policy_find(u32 id)
{
	return ph_policies[id == PRIVHEAP_POLICY_DEFAULT ? ph_policy_default : id];
}

/**
 * ph_policy_is_huge - is this policy only for heaps that were made with it?
 * @id: PRIVHEAP_POLICY_*, as ph_policy_check() has let pass
 *
 * Context: Any.
 * Return: true if so.
 */
bool ph_policy_is_huge(u32 id)
{
	return ph_policy_find(id)->huge;
}

/**
 * ph_policy_set - give a heap a policy
 * @heap: a new heap, or the caller holds ph_heap.lock
 * @id: PRIVHEAP_POLICY_*, and
 * @window_pages: its window, as ph_policy_check() has let pass
 *
 * What is resident stays so.
 */
void ph_policy_set(struct ph_heap *heap, u32 id, u32 window_pages)
{
	const struct ph_policy *policy = ph_policy_find(id);

	WRITE_ONCE(heap->policy, policy);
	WRITE_ONCE(heap->window_pages,
		   window_pages ?: policy->default_window);
}

/**
 * ph_policy_id - which policy does a heap have?
 * @heap: the heap
 *
 * Return: PRIVHEAP_POLICY_*, not PRIVHEAP_POLICY_DEFAULT.
 */
u32 ph_policy_id(const struct ph_heap *heap)
{
	u32 id = ARRAY_SIZE(ph_policies) - 1;

	while (id && ph_policies[id] != heap->policy)
		id--;
	return id;
}

/**
 * ph_policy_init - find the policy that the module's parameter names
 *
 * Return: 0, or -EINVAL when there is none of that name.
 */
int __init ph_policy_init(void)
{
	u32 id;

	for (id = 1; id < ARRAY_SIZE(ph_policies); id++) {
		if (!strcmp(ph_policies[id]->name, policy)) {
			ph_policy_default = id;
			return 0;
		}
	}
	return -EINVAL;
}
