// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Limits.
 */
#include "internal.h"

HDA_EACH(limit)

static void put_filter(struct nl_msg *msg,
		       const struct heapdev_admin_filter *filter)
{
	if (filter->fields & HEAPDEV_ADMIN_BY_SCOPE)
		nla_put_u32(msg, PRIVHEAP_A_LIMIT_SCOPE, filter->scope);
	if (filter->fields & HEAPDEV_ADMIN_BY_PID)
		nla_put_u32(msg, PRIVHEAP_A_LIMIT_PID, filter->pid);
	if (filter->fields & HEAPDEV_ADMIN_BY_USER)
		nla_put_u32(msg, PRIVHEAP_A_LIMIT_UID, filter->uid);
}

static void put_name(struct nl_msg *msg, uint32_t scope, uint64_t key)
{
	nla_put_u32(msg, PRIVHEAP_A_LIMIT_SCOPE, scope);
	nla_put_u64(msg, PRIVHEAP_A_LIMIT_KEY, key);
}

int heapdev_admin_list_limits(struct heapdev_admin *admin,
			      const struct heapdev_admin_filter *filter,
			      int (*each)(const struct heapdev_admin_limit *limit,
					  void *arg),
			      void *arg)
{
	struct each_limit wrapped = { each, arg };
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_LIMIT_GET, NLM_F_DUMP);
	if (msg && filter)
		put_filter(msg, filter);
	return hda_ask(admin, msg, &hda_limit_layout, each_limit, &wrapped);
}

int heapdev_admin_get_limit(struct heapdev_admin *admin, uint32_t scope,
			    uint64_t key,
			    const struct heapdev_admin_limit **limit)
{
	struct nl_msg *msg = hda_question(admin, PRIVHEAP_CMD_LIMIT_GET, 0);
	const void *object;
	int err;

	if (msg)
		put_name(msg, scope, key);
	err = hda_ask_one(admin, msg, &hda_limit_layout, &object);
	if (!err)
		*limit = object;
	return err;
}

int heapdev_admin_set_limit(struct heapdev_admin *admin, uint32_t scope,
			    uint64_t key,
			    const struct heapdev_admin_change *change)
{
	struct nl_msg *msg = hda_question(admin, PRIVHEAP_CMD_LIMIT_SET, 0);

	if (msg) {
		put_name(msg, scope, key);
		if (change->fields & HEAPDEV_ADMIN_SET_HARD)
			nla_put_u64(msg, PRIVHEAP_A_LIMIT_HARD_BYTES,
				    change->hard_bytes);
		if (change->fields & HEAPDEV_ADMIN_SET_SOFT)
			nla_put_u64(msg, PRIVHEAP_A_LIMIT_SOFT_BYTES,
				    change->soft_bytes);
		if (change->fields & HEAPDEV_ADMIN_SET_GRACE)
			nla_put_u64(msg, PRIVHEAP_A_LIMIT_GRACE_BYTES,
				    change->grace_bytes);
		if (change->fields & HEAPDEV_ADMIN_RESET)
			nla_put_flag(msg, PRIVHEAP_A_LIMIT_RESET);
	}
	return hda_ask(admin, msg, NULL, NULL, NULL);
}
