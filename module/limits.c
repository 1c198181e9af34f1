// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits: how many pages may be committed, by heap, process, user, system and
 * control group.
 *
 * A heap has a node of its own. Above it are one or two chains of nodes that are
 * linked by their parents: process -> user -> system, and that of the control
 * group that the heap was put under, if it was. A charge is tried at each node in
 * turn, and taken back from all when one refuses. Nodes above the heap are
 * shared; for small charges stock.c keeps pages that were charged to them in
 * advance. Whom the nodes belong to is owner.c's; what the pages are used for this
 * file does not know.
 *
 * A node has two bounds: the hard limit, and below it, by the *grace*, the one for
 * calls that did not ask for the grace.
 *
 * Invariants:
 * - a charge never takes the usage of a node above the bound that is in force when
 *   the charge ends; a limit that is lowered below the usage stays exceeded, and
 *   nothing more is committed until enough was given back;
 * - the usage of a node is what is committed below it, and what the stocks hold.
 */
#include <linux/mm.h>

#include "internal.h"
#include "trace.h"

/* The values of a node that can be set. */
struct ph_limit_values {
	unsigned long hard_pages;
	unsigned long soft_pages;
	unsigned long grace_pages;
};

/* Changes of limits; readers take what they find. */
static DEFINE_MUTEX(ph_limit_lock);

/**
 * ph_limit_init - make a node
 * @limit: the node
 * @scope: what it limits
 * @parent: the node above it, or NULL; must live as long as @limit is charged
 * @hard_pages: the limit in pages, ULONG_MAX for none
 */
void ph_limit_init(struct ph_limit *limit, enum privheap_scope scope,
		   struct ph_limit *parent, unsigned long hard_pages)
{
	limit->parent = parent;
	limit->scope = scope;
	limit->hard_pages = hard_pages;
	limit->ceiling_pages = hard_pages;
	limit->soft_pages = ULONG_MAX;
	limit->grace_pages = 0;
	atomic_long_set(&limit->usage_pages, 0);
	atomic_long_set(&limit->peak_pages, 0);
	atomic_long_set(&limit->nr_failures, 0);
	atomic_long_set(&limit->nr_soft_hits, 0);
}

static unsigned long ph_limit_bound(const struct ph_limit *limit,
				    enum ph_bound bound)
{
	unsigned long hard = READ_ONCE(limit->hard_pages);

	if (bound == PH_BOUND_HARD || hard == ULONG_MAX)
		return hard;
	return hard - min(hard, READ_ONCE(limit->grace_pages));
}

static bool ph_limit_crosses_soft(const struct ph_limit *limit,
				  unsigned long usage, unsigned long nr_pages)
{
	unsigned long soft = READ_ONCE(limit->soft_pages);

	return usage <= soft && usage + nr_pages > soft;
}

/*
 * Charges one node. The limit may be lowered at the same time: it is read again
 * after the charge, so that a charge which was not undone came before.
 */
static bool ph_limit_charge_node(struct ph_limit *limit, unsigned long nr_pages,
				 enum ph_bound bound, unsigned int *crossed)
{
	long usage = atomic_long_read(&limit->usage_pages);
	unsigned long most;
	bool crosses;

	do {
		most = ph_limit_bound(limit, bound);
		if (nr_pages > most || usage > most - nr_pages)
			return false;
		crosses = ph_limit_crosses_soft(limit, usage, nr_pages);
		if (crosses && bound == PH_BOUND_ADVANCE)
			return false;
	} while (!atomic_long_try_cmpxchg(&limit->usage_pages, &usage,
					  usage + nr_pages));
	if (unlikely(usage + nr_pages > ph_limit_bound(limit, bound))) {
		atomic_long_sub(nr_pages, &limit->usage_pages);
		return false;
	}
	if (crosses)
		*crossed |= BIT(limit->scope);
	return true;
}

/**
 * ph_limit_charge_up - charge a node and all above it, past the stocks
 * @limit: the lowest node
 * @nr_pages: how many
 * @bound: up to where
 * @crossed: receives a bit for each scope whose soft limit the charge crossed;
 *	unchanged if it is refused
 *
 * Context: Any; takes no lock.
 * Return: NULL, or the node that refused; then none is charged.
 */
struct ph_limit *ph_limit_charge_up(struct ph_limit *limit,
				    unsigned long nr_pages, enum ph_bound bound,
				    unsigned int *crossed)
{
	struct ph_limit *node, *undo;
	unsigned int now = 0;

	for (node = limit; node; node = node->parent) {
		if (!ph_limit_charge_node(node, nr_pages, bound, &now))
			goto err_uncharge;
	}
	*crossed |= now;
	return NULL;

err_uncharge:
	for (undo = limit; undo != node; undo = undo->parent)
		atomic_long_sub(nr_pages, &undo->usage_pages);
	return node;
}

/**
 * ph_limit_uncharge_up - the mirror of ph_limit_charge_up()
 * @limit: the lowest node that was charged
 * @nr_pages: how many of the pages that were
 *
 * Context: Any; takes no lock.
 */
void ph_limit_uncharge_up(struct ph_limit *limit, unsigned long nr_pages)
{
	for (; limit; limit = limit->parent)
		WARN_ON_ONCE(atomic_long_sub_return(nr_pages,
						    &limit->usage_pages) < 0);
}

static void ph_limit_note_peak(struct ph_limit *limit)
{
	long usage = atomic_long_read(&limit->usage_pages);
	long peak = atomic_long_read(&limit->peak_pages);

	while (peak < usage &&
	       !atomic_long_try_cmpxchg(&limit->peak_pages, &peak, usage))
		;
}

/* The lowest node of one of the chains above a heap, or NULL. */
static struct ph_limit *ph_limit_chain(struct ph_heap *heap,
				       enum ph_chain chain)
{
	if (chain == PH_CHAIN_OWNER)
		return heap->limit.parent;
	return heap->cgroup ? &heap->cgroup->limit : NULL;
}

/*
 * Charges a chain. Before it is refused, or the grace is touched, the stocks give
 * back what was charged in advance. After the grace was touched they do so again:
 * a stock that was filled in between must not serve calls without a right to it.
 */
static struct ph_limit *ph_limit_charge_chain(struct ph_heap *heap,
					      enum ph_chain chain,
					      unsigned long nr_pages)
{
	struct ph_limit *limit = ph_limit_chain(heap, chain), *refused;
	struct ph_charge *charge = &heap->charge;

	if (!limit || ph_stock_take(chain, limit, nr_pages, &charge->above))
		return NULL;
	charge->above = true;
	do {
		refused = ph_limit_charge_up(limit, nr_pages, PH_BOUND_ORDINARY,
					     &charge->crossed);
		if (!refused)
			return NULL;
	} while (ph_stock_drain(refused));
	if (!charge->grace)
		return refused;
	refused = ph_limit_charge_up(limit, nr_pages, PH_BOUND_HARD,
				     &charge->crossed);
	if (!refused)
		ph_stock_drain(NULL);
	return refused;
}

static void ph_limit_uncharge_chain(struct ph_heap *heap, enum ph_chain chain,
				    unsigned long nr_pages)
{
	struct ph_limit *limit = ph_limit_chain(heap, chain);

	if (limit && !ph_stock_put(chain, limit, nr_pages))
		ph_limit_uncharge_up(limit, nr_pages);
}

/* A commit of a heap crossed the soft limit of one of its nodes. */
static void ph_limit_report_soft(struct ph_heap *heap, struct ph_limit *limit)
{
	atomic_long_inc(&limit->nr_soft_hits);
	ph_event_commit(PRIVHEAP_EVENT_SOFT_LIMIT, heap, limit);
}

/* Charges all nodes above a heap, or none. */
static int ph_limit_charge_above(struct ph_heap *heap, unsigned long nr_pages)
{
	struct ph_limit *refused;

	refused = ph_limit_charge_chain(heap, PH_CHAIN_OWNER, nr_pages);
	if (refused)
		goto err_refused;
	refused = ph_limit_charge_chain(heap, PH_CHAIN_CGROUP, nr_pages);
	if (refused)
		goto err_uncharge;
	return 0;

err_uncharge:
	ph_limit_uncharge_chain(heap, PH_CHAIN_OWNER, nr_pages);
err_refused:
	heap->charge.refused = refused;
	return -EDQUOT;
}

/**
 * ph_limit_uncharge_above - take a charge of the nodes above a heap alone back
 * @heap: the heap that was charged
 * @nr_pages: how many
 *
 * Context: Any.
 */
void ph_limit_uncharge_above(struct ph_heap *heap, unsigned long nr_pages)
{
	ph_limit_uncharge_chain(heap, PH_CHAIN_OWNER, nr_pages);
	ph_limit_uncharge_chain(heap, PH_CHAIN_CGROUP, nr_pages);
}

/**
 * ph_limit_charge - charge pages to a heap and all nodes above it
 * @heap: the heap; its charge.grace says whether the grace may be used
 * @nr_pages: how many
 * @nr_above: how many more to the nodes above alone, for what the heap costs the
 *	kernel; see ph_limit_uncharge_above()
 *
 * The caller tells with ph_limit_settle() when the pages are committed, or takes
 * the charge back.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 * Return: 0, or -EDQUOT when a node refused; then none is charged.
 */
int ph_limit_charge(struct ph_heap *heap, unsigned long nr_pages,
		    unsigned long nr_above)
{
	struct ph_charge *charge = &heap->charge;
	int err;

	lockdep_assert_held(&heap->lock);
	charge->crossed = 0;	/* by a charge that was refused */
	if (!nr_pages && !nr_above)
		return 0;
	if (nr_pages && !ph_limit_charge_node(&heap->limit, nr_pages,
					      charge->grace ? PH_BOUND_HARD :
							      PH_BOUND_ORDINARY,
					      &charge->crossed)) {
		charge->refused = &heap->limit;
		return -EDQUOT;
	}
	err = ph_limit_charge_above(heap, nr_pages + nr_above);
	if (err)
		atomic_long_sub(nr_pages, &heap->limit.usage_pages);
	return err;
}

/**
 * ph_limit_uncharge - take a charge back
 * @heap: the heap that was charged
 * @nr_pages: how many of the pages that were
 *
 * Context: Caller holds ph_heap.lock.
 */
void ph_limit_uncharge(struct ph_heap *heap, unsigned long nr_pages)
{
	WARN_ON_ONCE(atomic_long_sub_return(nr_pages,
					    &heap->limit.usage_pages) < 0);
	ph_limit_uncharge_above(heap, nr_pages);
}

/**
 * ph_limit_settle - what was charged is committed
 * @heap: that was charged
 *
 * Notes peaks and soft limits that were crossed. Apart from the charge itself, so
 * that one that is taken back at once, because there was no memory behind it,
 * leaves no trace.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_limit_settle(struct ph_heap *heap)
{
	struct ph_charge *charge = &heap->charge;
	enum ph_chain chain;
	struct ph_limit *limit;

	lockdep_assert_held(&heap->lock);
	ph_limit_note_peak(&heap->limit);
	if (charge->crossed & BIT(PRIVHEAP_SCOPE_HEAP))
		ph_limit_report_soft(heap, &heap->limit);
	if (!charge->above)
		goto out;
	for (chain = 0; chain < PH_NR_CHAINS; chain++) {
		limit = ph_limit_chain(heap, chain);
		for (; limit; limit = limit->parent) {
			ph_limit_note_peak(limit);
			if (charge->crossed & BIT(limit->scope))
				ph_limit_report_soft(heap, limit);
		}
	}
	charge->above = false;
out:
	charge->notice |= charge->crossed;
	charge->crossed = 0;
}

/* Is less than an eighth of what a node allows left, or its soft limit reached? */
static bool ph_limit_node_is_near(const struct ph_limit *limit)
{
	unsigned long usage = atomic_long_read(&limit->usage_pages);
	unsigned long most = ph_limit_bound(limit, PH_BOUND_ORDINARY);

	return usage > most - most / 8 || usage > READ_ONCE(limit->soft_pages);
}

/**
 * ph_limit_is_near - is a heap about to meet one of its limits?
 * @heap: the heap
 *
 * Context: Caller holds ph_heap.lock.
 * Return: true if less than an eighth of one of them is left, or a soft limit is
 * exceeded.
 */
bool ph_limit_is_near(struct ph_heap *heap)
{
	enum ph_chain chain;
	struct ph_limit *limit;

	lockdep_assert_held(&heap->lock);
	if (ph_limit_node_is_near(&heap->limit))
		return true;
	for (chain = 0; chain < PH_NR_CHAINS; chain++) {
		limit = ph_limit_chain(heap, chain);
		for (; limit; limit = limit->parent) {
			if (ph_limit_node_is_near(limit))
				return true;
		}
	}
	return false;
}

/**
 * ph_limit_is_below - is a node one of those above a heap?
 * @heap: the heap
 * @node: the node
 *
 * Context: Any.
 * Return: true if so.
 */
bool ph_limit_is_below(struct ph_heap *heap, const struct ph_limit *node)
{
	enum ph_chain chain;
	struct ph_limit *limit;

	for (chain = 0; chain < PH_NR_CHAINS; chain++) {
		limit = ph_limit_chain(heap, chain);
		while (limit && limit != node)
			limit = limit->parent;
		if (limit)
			return true;
	}
	return false;
}

/**
 * ph_limit_report_refusal - a call fails because a charge was refused
 * @heap: the heap whose last charge it was
 *
 * Apart from the charge itself, since a call that was refused pages may do with
 * fewer, or with what it gives back.
 *
 * Context: May sleep. Caller holds ph_heap.lock.
 */
void ph_limit_report_refusal(struct ph_heap *heap)
{
	struct ph_limit *refused = heap->charge.refused;

	lockdep_assert_held(&heap->lock);
	atomic_long_inc(&refused->nr_failures);
	ph_event_commit(PRIVHEAP_EVENT_LIMIT_HIT, heap, refused);
	trace_privheap_limit_hit(heap, refused);
}

/**
 * ph_limit_usage - how much is committed below a node
 * @limit: the node
 *
 * What was charged in advance is given back first. So the answer is exact while
 * nobody commits, never less than what is committed, and never more than was
 * charged.
 *
 * Context: Any.
 * Return: pages.
 */
unsigned long ph_limit_usage(struct ph_limit *limit)
{
	if (limit->scope != PRIVHEAP_SCOPE_HEAP)
		ph_stock_drain(limit);
	return atomic_long_read(&limit->usage_pages);
}

/**
 * ph_limit_bytes - a hard or soft limit as the uapi tells it
 * @nr_pages: the limit
 *
 * Return: bytes, or PRIVHEAP_LIMIT_NONE.
 */
u64 ph_limit_bytes(unsigned long nr_pages)
{
	return nr_pages == ULONG_MAX ? PRIVHEAP_LIMIT_NONE :
				       (u64)nr_pages << PAGE_SHIFT;
}

static unsigned long ph_limit_round_down(u64 bytes)
{
	return bytes == PRIVHEAP_LIMIT_NONE ? ULONG_MAX : bytes >> PAGE_SHIFT;
}

/* The least pages that hold so many bytes; U64_MAX does not wrap. */
static unsigned long ph_limit_round_up(u64 bytes)
{
	return (bytes >> PAGE_SHIFT) + !!(bytes & ~PAGE_MASK);
}

/* What the limits would be after a change; the members that are not set stay. */
static int ph_limit_plan(const struct ph_limit *limit,
			 const struct ph_limit_change *change,
			 struct ph_limit_values *plan)
{
	plan->hard_pages = limit->hard_pages;
	plan->soft_pages = limit->soft_pages;
	plan->grace_pages = limit->grace_pages;
	if (change->set & PRIVHEAP_LIMIT_F_HARD) {
		/* Lowered below them, it takes the other two along. */
		plan->hard_pages = ph_limit_round_down(change->hard_bytes);
		if (plan->soft_pages != ULONG_MAX)
			plan->soft_pages = min(plan->soft_pages,
					       plan->hard_pages);
		plan->grace_pages = min(plan->grace_pages, plan->hard_pages);
	}
	if (change->set & PRIVHEAP_LIMIT_F_SOFT)
		plan->soft_pages = ph_limit_round_down(change->soft_bytes);
	if (change->set & PRIVHEAP_LIMIT_F_GRACE)
		plan->grace_pages = ph_limit_round_up(change->grace_bytes);
	if (plan->soft_pages != ULONG_MAX &&
	    plan->soft_pages > plan->hard_pages)
		return -EINVAL;
	return plan->grace_pages > plan->hard_pages ? -EINVAL : 0;
}

static int ph_limit_check_right(const struct ph_limit *limit,
				const struct ph_limit_values *plan,
				enum ph_limit_right right)
{
	switch (right) {
	case PH_LIMIT_BY_PROGRAM:
		return plan->hard_pages > limit->ceiling_pages ? -ERANGE : 0;
	case PH_LIMIT_LOWER:
		return plan->hard_pages > limit->hard_pages ||
		       plan->soft_pages > limit->soft_pages ||
		       plan->grace_pages < limit->grace_pages ? -EPERM : 0;
	case PH_LIMIT_ANY:
		return 0;
	}
	return -EPERM;
}

/**
 * ph_limit_set - change the limits of a node
 * @limit: the node
 * @change: what to change
 * @right: what the asker may do: a program changes the limits of its own heaps and
 *	process below the ceiling, which others set by setting the hard limit
 *
 * When this returns, nothing that the new limits forbid is committed any more.
 * What is committed beyond them stays so.
 *
 * Context: May sleep; takes ph_limit_lock.
 * Return: 0; -EINVAL when the soft limit or the grace would be above the hard
 * limit; -ERANGE for a program above its ceiling; -EPERM when the right is only
 * to lower. Then nothing has changed.
 */
int ph_limit_set(struct ph_limit *limit, const struct ph_limit_change *change,
		 enum ph_limit_right right)
{
	struct ph_limit_values plan;
	int err;

	mutex_lock(&ph_limit_lock);
	err = ph_limit_plan(limit, change, &plan) ?:
	      ph_limit_check_right(limit, &plan, right);
	if (!err) {
		WRITE_ONCE(limit->hard_pages, plan.hard_pages);
		WRITE_ONCE(limit->soft_pages, plan.soft_pages);
		WRITE_ONCE(limit->grace_pages, plan.grace_pages);
		if (right != PH_LIMIT_BY_PROGRAM)
			limit->ceiling_pages = plan.hard_pages;
		/* Pairs with the charge's cmpxchg, after which it reads again. */
		smp_mb();
		ph_stock_drain(limit);
	}
	mutex_unlock(&ph_limit_lock);
	if (!err)
		ph_event_changed(limit);
	return err;
}

/**
 * ph_limit_reset - forget what a node has counted
 * @limit: the node: its peak is its usage again, its counts are 0
 *
 * Context: May sleep.
 */
void ph_limit_reset(struct ph_limit *limit)
{
	atomic_long_set(&limit->peak_pages, ph_limit_usage(limit));
	atomic_long_set(&limit->nr_failures, 0);
	atomic_long_set(&limit->nr_soft_hits, 0);
	ph_limit_note_peak(limit);
}
