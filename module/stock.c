// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stocks: pages that were charged to a chain of limits in advance, by CPU.
 *
 * The nodes above the heaps are shared by all who run, and a commit is often one
 * of a few pages. So a small charge to a chain takes some pages more, and leaves
 * them on this CPU for the next ones; a small uncharge leaves its pages there,
 * too. There is one stock for each CPU and kind of chain, whatever number of
 * heaps there is: to give all of them back costs as little as there are CPUs.
 *
 * Nobody must be worse off for it:
 * - a stock is given back before a charge is refused, and before a usage is read;
 * - a stock is filled only by a charge that leaves every node of the chain below
 *   the bound of ordinary calls and does not cross a soft limit; it grows by
 *   uncharges only while it is not empty; and it is given back when a limit is
 *   changed and after the grace was used. So while a node is above its bound
 *   nothing is committed from a stock below it.
 *
 * Locks: each stock has a spinlock that all who use it take, mostly from the
 * stock's own CPU. It is a leaf.
 */
#include <linux/percpu.h>
#include <linux/spinlock.h>

#include "internal.h"

/* How much is charged in advance; larger charges go past the stock. */
#define PH_STOCK_PAGES		16UL

/**
 * struct ph_stock - pages charged in advance
 * @lock: protects the rest
 * @limit: the lowest node of the chain that was charged; NULL if and only if
 *	@nr_pages is 0, but while the stock is being filled
 * @nr_pages: how many
 */
struct ph_stock {
	spinlock_t lock;
	struct ph_limit *limit;
	unsigned long nr_pages;
};

static DEFINE_PER_CPU(struct ph_stock, ph_stocks[PH_NR_CHAINS]);

/* It does no harm if the task moves on to another CPU. */
static struct ph_stock *ph_stock_here(enum ph_chain chain)
{
	return raw_cpu_ptr(&ph_stocks[chain]);
}

static void ph_stock_remove_locked(struct ph_stock *stock,
				   unsigned long nr_pages)
{
	lockdep_assert_held(&stock->lock);
	stock->nr_pages -= nr_pages;
	if (!stock->nr_pages)
		WRITE_ONCE(stock->limit, NULL);
}

static unsigned long ph_stock_empty_locked(struct ph_stock *stock)
{
	unsigned long nr_pages = stock->nr_pages;

	if (nr_pages)
		ph_limit_uncharge_up(stock->limit, nr_pages);
	ph_stock_remove_locked(stock, nr_pages);
	return nr_pages;
}

/* Charges so much that @nr_pages can be taken, and some are left. */
static bool ph_stock_fill_locked(struct ph_stock *stock, struct ph_limit *limit,
				 unsigned long nr_pages)
{
	unsigned long more = nr_pages + PH_STOCK_PAGES;
	unsigned int crossed = 0;

	if (stock->limit != limit)
		ph_stock_empty_locked(stock);
	more -= stock->nr_pages;
	/* Before the charge: pairs with the read barrier in ph_stock_drain(). */
	WRITE_ONCE(stock->limit, limit);
	if (!ph_limit_charge_up(limit, more, PH_BOUND_ADVANCE, &crossed)) {
		stock->nr_pages += more;
		return true;
	}
	if (!stock->nr_pages)
		WRITE_ONCE(stock->limit, NULL);
	return false;
}

/**
 * ph_stock_take - charge a few pages, from the stock if it has them
 * @chain: which kind of chain
 * @limit: its lowest node
 * @nr_pages: how many
 * @filled: set when the nodes themselves were charged
 *
 * Context: Process; takes the stock's lock.
 * Return: false when the charge is too large, or a node is near one of its
 * limits. Nothing is charged then, and nothing was refused.
 */
bool ph_stock_take(enum ph_chain chain, struct ph_limit *limit,
		   unsigned long nr_pages, bool *filled)
{
	struct ph_stock *stock;
	bool taken;

	if (nr_pages > PH_STOCK_PAGES)
		return false;
	stock = ph_stock_here(chain);
	spin_lock(&stock->lock);
	taken = stock->limit == limit && stock->nr_pages >= nr_pages;
	if (!taken) {
		taken = ph_stock_fill_locked(stock, limit, nr_pages);
		*filled |= taken;
	}
	if (taken)
		ph_stock_remove_locked(stock, nr_pages);
	spin_unlock(&stock->lock);
	return taken;
}

/**
 * ph_stock_put - uncharge a few pages, into the stock
 * @chain: which kind of chain
 * @limit: its lowest node
 * @nr_pages: how many
 *
 * Context: Process; takes the stock's lock.
 * Return: false when the caller has to uncharge the nodes.
 */
bool ph_stock_put(enum ph_chain chain, struct ph_limit *limit,
		  unsigned long nr_pages)
{
	struct ph_stock *stock;
	bool put;

	if (nr_pages > PH_STOCK_PAGES)
		return false;
	stock = ph_stock_here(chain);
	spin_lock(&stock->lock);
	put = stock->limit == limit;
	if (put) {
		stock->nr_pages += nr_pages;
		if (stock->nr_pages > 2 * PH_STOCK_PAGES) {
			ph_limit_uncharge_up(limit, PH_STOCK_PAGES);
			stock->nr_pages -= PH_STOCK_PAGES;
		}
	}
	spin_unlock(&stock->lock);
	return put;
}

static unsigned long ph_stock_drain_one(struct ph_stock *stock,
					struct ph_limit *limit)
{
	unsigned long nr_pages = 0;
	struct ph_limit *node;

	if (!READ_ONCE(stock->limit))
		return 0;
	spin_lock(&stock->lock);
	for (node = stock->limit; node && node != limit && limit;)
		node = node->parent;
	if (node)
		nr_pages = ph_stock_empty_locked(stock);
	spin_unlock(&stock->lock);
	return nr_pages;
}

/**
 * ph_stock_drain - give back what was charged in advance
 * @limit: of the chains that this node is in; NULL for all
 *
 * Who has seen pages in the usage of a node that are charged in advance gets them
 * back, even if the stock is only just being filled.
 *
 * Context: Process; takes the locks of the stocks.
 * Return: how many pages were given back.
 */
unsigned long ph_stock_drain(struct ph_limit *limit)
{
	unsigned long nr_pages = 0;
	enum ph_chain chain;
	int cpu;

	/* First the usage, then the stocks: see ph_stock_fill_locked(). */
	smp_rmb();
	for_each_possible_cpu(cpu)
		for (chain = 0; chain < PH_NR_CHAINS; chain++)
			nr_pages += ph_stock_drain_one(
				per_cpu_ptr(&ph_stocks[chain], cpu), limit);
	return nr_pages;
}

/**
 * ph_stocks_init - prepare the stocks
 */
void ph_stocks_init(void)
{
	enum ph_chain chain;
	int cpu;

	for_each_possible_cpu(cpu)
		for (chain = 0; chain < PH_NR_CHAINS; chain++)
			spin_lock_init(&per_cpu_ptr(&ph_stocks[chain], cpu)->lock);
}
