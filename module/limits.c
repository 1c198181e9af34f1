// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits: how many pages may be committed, by heap, process, user and system.
 *
 * The nodes form chains from a heap up to the system. A charge is tried at each
 * node in turn, and taken back from those below when one refuses. This file
 * counts pages; what they are used for it does not know.
 *
 * Invariant: a charge never takes the usage of a node above its hard limit, not
 * even for a moment, so a reader never sees more than the limit.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "internal.h"

static unsigned int user_limit_percent = 50;
module_param(user_limit_percent, uint, 0444);
MODULE_PARM_DESC(user_limit_percent,
		 "share of the machine's memory that the heaps of one user may commit, root excepted (default 50)");

static unsigned int system_limit_percent = 90;
module_param(system_limit_percent, uint, 0444);
MODULE_PARM_DESC(system_limit_percent,
		 "share of the machine's memory that all heaps together may commit (default 90)");

static struct ph_limit ph_system_limit;

/* Users with an open file, by uid. */
static DEFINE_XARRAY(ph_users);
static DEFINE_MUTEX(ph_users_lock);

/**
 * ph_limit_init - make a node
 * @limit: the node
 * @parent: the node above it, or NULL; must live as long as @limit is charged
 * @hard_pages: the limit in pages, ULONG_MAX for none
 */
void ph_limit_init(struct ph_limit *limit, struct ph_limit *parent,
		   unsigned long hard_pages)
{
	limit->parent = parent;
	limit->hard_pages = hard_pages;
	atomic_long_set(&limit->usage_pages, 0);
	atomic_long_set(&limit->peak_pages, 0);
	atomic_long_set(&limit->nr_failures, 0);
}

static bool ph_limit_charge_node(struct ph_limit *limit, unsigned long nr_pages)
{
	unsigned long hard = READ_ONCE(limit->hard_pages);
	long usage = atomic_long_read(&limit->usage_pages);

	do {
		if (nr_pages > hard || usage > hard - nr_pages) {
			atomic_long_inc(&limit->nr_failures);
			return false;
		}
	} while (!atomic_long_try_cmpxchg(&limit->usage_pages, &usage,
					  usage + nr_pages));
	return true;
}

/**
 * ph_limit_charge - charge pages to a node and all nodes above it
 * @limit: the lowest node
 * @nr_pages: how many
 *
 * Context: Any; takes no lock.
 * Return: 0, or -EDQUOT when a node refused; then none is charged.
 */
int ph_limit_charge(struct ph_limit *limit, unsigned long nr_pages)
{
	struct ph_limit *node, *undo;

	for (node = limit; node; node = node->parent) {
		if (!ph_limit_charge_node(node, nr_pages))
			goto err_uncharge;
	}
	return 0;

err_uncharge:
	for (undo = limit; undo != node; undo = undo->parent)
		atomic_long_sub(nr_pages, &undo->usage_pages);
	return -EDQUOT;
}

/**
 * ph_limit_note_peak - remember the usage if it is the highest so far
 * @limit: the lowest node that was charged
 *
 * Apart from the charge itself, so that one that is taken back at once, because
 * there was no memory behind it, leaves no trace.
 */
void ph_limit_note_peak(struct ph_limit *limit)
{
	long usage, peak;

	for (; limit; limit = limit->parent) {
		usage = atomic_long_read(&limit->usage_pages);
		peak = atomic_long_read(&limit->peak_pages);
		while (peak < usage &&
		       !atomic_long_try_cmpxchg(&limit->peak_pages, &peak, usage))
			;
	}
}

/**
 * ph_limit_uncharge - take a charge back
 * @limit: the node that was charged
 * @nr_pages: how many of the pages that were
 *
 * Context: Any; takes no lock.
 */
void ph_limit_uncharge(struct ph_limit *limit, unsigned long nr_pages)
{
	for (; limit; limit = limit->parent)
		WARN_ON_ONCE(atomic_long_sub_return(nr_pages,
						    &limit->usage_pages) < 0);
}

static unsigned long ph_share_of_memory(unsigned int percent)
{
	return mult_frac(totalram_pages(), min(percent, 100U), 100);
}

static struct ph_user *ph_user_create(kuid_t uid)
{
	struct ph_user *user;
	unsigned long hard_pages = ULONG_MAX;

	user = kzalloc(sizeof(*user), GFP_KERNEL);
	if (!user)
		return ERR_PTR(-ENOMEM);
	if (!uid_eq(uid, GLOBAL_ROOT_UID))
		hard_pages = ph_share_of_memory(user_limit_percent);
	ph_limit_init(&user->limit, &ph_system_limit, hard_pages);
	user->uid = uid;
	if (xa_is_err(xa_store(&ph_users, __kuid_val(uid), user, GFP_KERNEL))) {
		kfree(user);
		return ERR_PTR(-ENOMEM);
	}
	return user;
}

/**
 * ph_user_get - find or make the node of a user
 * @uid: whose
 *
 * Context: May sleep.
 * Return: the user, to be given back with ph_user_put(), or ERR_PTR(-ENOMEM).
 */
struct ph_user *ph_user_get(kuid_t uid)
{
	struct ph_user *user;

	mutex_lock(&ph_users_lock);
	user = xa_load(&ph_users, __kuid_val(uid));
	if (!user)
		user = ph_user_create(uid);
	if (!IS_ERR(user))
		user->nr_refs++;
	mutex_unlock(&ph_users_lock);
	return user;
}

/**
 * ph_user_put - give a user back
 * @user: from ph_user_get(); nothing may be charged through this reference
 *
 * Context: May sleep.
 */
void ph_user_put(struct ph_user *user)
{
	mutex_lock(&ph_users_lock);
	if (!--user->nr_refs) {
		WARN_ON_ONCE(atomic_long_read(&user->limit.usage_pages));
		xa_erase(&ph_users, __kuid_val(user->uid));
		kfree(user);
	}
	mutex_unlock(&ph_users_lock);
}

/**
 * ph_limits_init - set the system's limit from the module's parameters
 *
 * Return: 0, or -EINVAL when a parameter is no percentage.
 */
int ph_limits_init(void)
{
	if (user_limit_percent > 100 || system_limit_percent > 100)
		return -EINVAL;
	ph_limit_init(&ph_system_limit, NULL,
		      ph_share_of_memory(system_limit_percent));
	return 0;
}
