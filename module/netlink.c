// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: its commands and what they take; heaps and limits, as
 * an operator sees them.
 *
 * Requests are checked here, set.c carries out those that change something, and put.c
 * writes the answers. Operations run in parallel: one that waits for a heap holds
 * nobody up. A list goes by scope and key and remembers the next one, so what exists
 * throughout is in it exactly once.
 */
#include <linux/pid.h>
#include <linux/sched/signal.h>

#include "netlink.h"

static struct netlink_range_validation ph_range_serial = {
	.min = 1, .max = U64_MAX,
};

static struct netlink_range_validation ph_range_pid = {
	.min = 1, .max = INT_MAX,
};

static struct netlink_range_validation ph_range_ppm = {
	.max = 1000000,
};

static const struct nla_policy ph_nla_heap_get[] = {
	[PRIVHEAP_A_HEAP_SERIAL] = NLA_POLICY_FULL_RANGE(NLA_U64, &ph_range_serial),
	[PRIVHEAP_A_HEAP_PID]	= NLA_POLICY_FULL_RANGE(NLA_U32, &ph_range_pid),
	[PRIVHEAP_A_HEAP_UID]	= { .type = NLA_U32 },
};

static const struct nla_policy ph_nla_heap_set[] = {
	[PRIVHEAP_A_HEAP_SERIAL] = NLA_POLICY_FULL_RANGE(NLA_U64, &ph_range_serial),
	[PRIVHEAP_A_HEAP_POLICY] = NLA_POLICY_MAX(NLA_U32, PRIVHEAP_POLICY_HUGE),
	[PRIVHEAP_A_HEAP_WINDOW_PAGES] = { .type = NLA_U32 },
	[PRIVHEAP_A_HEAP_MAX_IDLE_BYTES] = { .type = NLA_U64 },
	[PRIVHEAP_A_HEAP_INJECT_NTH] = { .type = NLA_U64 },
	[PRIVHEAP_A_HEAP_INJECT_RATE_PPM] = NLA_POLICY_FULL_RANGE(NLA_U32, &ph_range_ppm),
	[PRIVHEAP_A_HEAP_INJECT_SEED] = { .type = NLA_U64 },
};

static const struct nla_policy ph_nla_limit_get[] = {
	[PRIVHEAP_A_LIMIT_SCOPE] = NLA_POLICY_RANGE(NLA_U32, PRIVHEAP_SCOPE_HEAP,
						    PRIVHEAP_SCOPE_CGROUP),
	[PRIVHEAP_A_LIMIT_KEY]	= { .type = NLA_U64 },
	[PRIVHEAP_A_LIMIT_PID]	= NLA_POLICY_FULL_RANGE(NLA_U32, &ph_range_pid),
	[PRIVHEAP_A_LIMIT_UID]	= { .type = NLA_U32 },
};

static const struct nla_policy ph_nla_limit_set[] = {
	[PRIVHEAP_A_LIMIT_SCOPE] = NLA_POLICY_RANGE(NLA_U32, PRIVHEAP_SCOPE_HEAP,
						    PRIVHEAP_SCOPE_CGROUP),
	[PRIVHEAP_A_LIMIT_KEY]	= { .type = NLA_U64 },
	[PRIVHEAP_A_LIMIT_HARD_BYTES] = { .type = NLA_U64 },
	[PRIVHEAP_A_LIMIT_SOFT_BYTES] = { .type = NLA_U64 },
	[PRIVHEAP_A_LIMIT_GRACE_BYTES] = { .type = NLA_U64 },
	[PRIVHEAP_A_LIMIT_RESET] = { .type = NLA_FLAG },
};

static const struct nla_policy ph_nla_map_get[] = {
	[PRIVHEAP_A_MAP_SERIAL]	= NLA_POLICY_FULL_RANGE(NLA_U64, &ph_range_serial),
	[PRIVHEAP_A_MAP_START]	= { .type = NLA_U64 },
	[PRIVHEAP_A_MAP_END]	= { .type = NLA_U64 },
};

static const struct nla_policy ph_nla_region_get[] = {
	[PRIVHEAP_A_REGION_SERIAL] = NLA_POLICY_FULL_RANGE(NLA_U64, &ph_range_serial),
};

static const struct nla_policy ph_nla_class_get[] = {
	[PRIVHEAP_A_CLASS_SERIAL] = NLA_POLICY_FULL_RANGE(NLA_U64, &ph_range_serial),
};

static const struct nla_policy ph_nla_fault_get[] = {
	[PRIVHEAP_A_FAULT_SERIAL] = NLA_POLICY_FULL_RANGE(NLA_U64, &ph_range_serial),
};

/* What of a node is asked for, which decides what the messages look like. */
enum ph_object {
	PH_OBJECT_HEAP,
	PH_OBJECT_LIMIT,
};

static const u8 ph_object_cmds[] = {
	[PH_OBJECT_HEAP]	= PRIVHEAP_CMD_HEAP_GET,
	[PH_OBJECT_LIMIT]	= PRIVHEAP_CMD_LIMIT_GET,
};

static int ph_object_put(struct sk_buff *skb, const struct ph_asker *asker,
			 enum ph_object object, struct ph_limit *limit)
{
	if (object == PH_OBJECT_HEAP)
		return ph_put_heap(skb, asker,
				   container_of(limit, struct ph_heap, limit));
	return ph_put_limit(skb, asker, limit);
}

static int ph_object_reply(struct genl_info *info, const struct ph_asker *asker,
			   enum ph_object object, struct ph_limit *limit)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *hdr;

	if (!skb)
		return -ENOMEM;
	hdr = genlmsg_put_reply(skb, info, &ph_family, 0, ph_object_cmds[object]);
	if (!hdr || WARN_ON_ONCE(ph_object_put(skb, asker, object, limit))) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return genlmsg_reply(skb, info);
}

/* Finds a node that the asker may see; @attr is what named it. */
static struct ph_limit *ph_netlink_find(const struct ph_asker *asker,
					enum privheap_scope scope, u64 key,
					const struct nlattr *attr,
					struct netlink_ext_ack *extack)
{
	struct ph_limit *limit = NULL;
	kuid_t uid;

	if (scope == PRIVHEAP_SCOPE_USER) {
		uid = make_kuid(asker->user_ns, min_t(u64, key, U32_MAX));
		key = __kuid_val(uid);
		if (uid_valid(uid))
			limit = ph_limit_find(scope, key);
	} else {
		limit = ph_limit_find(scope, key);
	}
	if (limit && ph_asker_sees(asker, limit))
		return limit;
	if (limit)
		ph_limit_put(limit);
	return ERR_PTR(PH_REFUSE(extack, attr, ENOENT,
				 "there is none that you may see"));
}

/**
 * ph_netlink_find_heap - find the heap that a request is about
 * @asker: who must be allowed to see it
 * @serial: the attribute that names it, or NULL
 * @extack: receives what is wrong
 *
 * Context: May sleep.
 * Return: the heap, to be given back with ph_heap_put(); ERR_PTR(-EINVAL) when
 * none is named, ERR_PTR(-ENOENT).
 */
struct ph_heap *ph_netlink_find_heap(const struct ph_asker *asker,
				     const struct nlattr *serial,
				     struct netlink_ext_ack *extack)
{
	struct ph_limit *limit;

	if (!serial)
		return ERR_PTR(PH_REFUSE(extack, NULL, EINVAL,
					 "SERIAL is missing"));
	limit = ph_netlink_find(asker, PRIVHEAP_SCOPE_HEAP, nla_get_u64(serial),
				serial, extack);
	if (IS_ERR(limit))
		return ERR_CAST(limit);
	return container_of(limit, struct ph_heap, limit);
}

static int ph_heap_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr **attrs = info->attrs;
	struct ph_asker asker;
	struct ph_heap *heap;
	int err;

	if (attrs[PRIVHEAP_A_HEAP_PID] || attrs[PRIVHEAP_A_HEAP_UID])
		return PH_REFUSE(info->extack, attrs[PRIVHEAP_A_HEAP_PID] ?:
				 attrs[PRIVHEAP_A_HEAP_UID], EINVAL,
				 "only lists are filtered");
	ph_asker_init(&asker, skb);
	heap = ph_netlink_find_heap(&asker, attrs[PRIVHEAP_A_HEAP_SERIAL],
				    info->extack);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = ph_object_reply(info, &asker, PH_OBJECT_HEAP, &heap->limit);
	ph_heap_put(heap);
	return err;
}

/**
 * ph_netlink_find_limit - find the node that a request is about
 * @asker: who must be allowed to see it
 * @attrs: SCOPE and KEY name it
 * @extack: receives what is wrong
 *
 * Context: May sleep.
 * Return: the node, to be given back with ph_limit_put(); ERR_PTR(-EINVAL) when
 * none is named, ERR_PTR(-ENOENT).
 */
struct ph_limit *ph_netlink_find_limit(const struct ph_asker *asker,
				       struct nlattr **attrs,
				       struct netlink_ext_ack *extack)
{
	struct nlattr *scope = attrs[PRIVHEAP_A_LIMIT_SCOPE];
	struct nlattr *key = attrs[PRIVHEAP_A_LIMIT_KEY];

	if (!scope || !key)
		return ERR_PTR(PH_REFUSE(extack, NULL, EINVAL,
					 "SCOPE or KEY is missing"));
	return ph_netlink_find(asker, nla_get_u32(scope), nla_get_u64(key), key,
			       extack);
}

static int ph_limit_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr **attrs = info->attrs;
	struct ph_limit *limit;
	struct ph_asker asker;
	int err;

	if (attrs[PRIVHEAP_A_LIMIT_PID] || attrs[PRIVHEAP_A_LIMIT_UID])
		return PH_REFUSE(info->extack, attrs[PRIVHEAP_A_LIMIT_PID] ?:
				 attrs[PRIVHEAP_A_LIMIT_UID], EINVAL,
				 "only lists are filtered");
	ph_asker_init(&asker, skb);
	limit = ph_netlink_find_limit(&asker, attrs, info->extack);
	if (IS_ERR(limit))
		return PTR_ERR(limit);
	err = ph_object_reply(info, &asker, PH_OBJECT_LIMIT, limit);
	ph_limit_put(limit);
	return err;
}

/**
 * struct ph_list - a list in the making, in netlink_callback.ctx
 * @asker: for whom
 * @key: of the next node, and
 * @scope: its scope
 * @last_scope: the last scope that belongs into the list
 * @last_key: the last key
 * @uid: whose nodes only; INVALID_UID for all
 * @pid: which process's nodes only, as the initial namespace has it; 0 for all
 */
struct ph_list {
	struct ph_asker asker;
	unsigned long key;
	unsigned long last_key;
	kuid_t uid;
	pid_t pid;
	u8 scope;
	u8 last_scope;
};

static struct ph_list *ph_list_of(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct ph_list) > sizeof(cb->ctx));
	return (struct ph_list *)cb->ctx;
}

static int ph_list_start(struct netlink_callback *cb, const struct nlattr *pid,
			 const struct nlattr *uid)
{
	struct ph_list *list = ph_list_of(cb);
	struct pid *tgid;

	ph_asker_init(&list->asker, cb->skb);
	list->uid = INVALID_UID;
	list->pid = 0;
	if (uid) {
		list->uid = make_kuid(list->asker.user_ns, nla_get_u32(uid));
		if (!uid_valid(list->uid))
			return PH_REFUSE(cb->extack, uid, ENOENT,
					 "there is no such user");
	}
	if (pid) {
		rcu_read_lock();
		tgid = find_vpid(nla_get_u32(pid));
		list->pid = pid_nr(tgid);
		rcu_read_unlock();
		if (!list->pid)
			return PH_REFUSE(cb->extack, pid, ENOENT,
					 "there is no such process");
	}
	return 0;
}

static int ph_heap_list_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = genl_info_dump(cb)->attrs;
	struct ph_list *list = ph_list_of(cb);

	list->scope = PRIVHEAP_SCOPE_HEAP;
	list->last_scope = PRIVHEAP_SCOPE_HEAP;
	list->last_key = ULONG_MAX;
	if (attrs[PRIVHEAP_A_HEAP_SERIAL]) {
		list->key = nla_get_u64(attrs[PRIVHEAP_A_HEAP_SERIAL]);
		list->last_key = list->key;
	}
	return ph_list_start(cb, attrs[PRIVHEAP_A_HEAP_PID],
			     attrs[PRIVHEAP_A_HEAP_UID]);
}

static int ph_limit_list_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = genl_info_dump(cb)->attrs;
	struct nlattr *scope = attrs[PRIVHEAP_A_LIMIT_SCOPE];
	struct ph_list *list = ph_list_of(cb);

	if (attrs[PRIVHEAP_A_LIMIT_KEY])
		return PH_REFUSE(cb->extack, attrs[PRIVHEAP_A_LIMIT_KEY], EINVAL,
				 "a list is not of one node");
	list->scope = scope ? nla_get_u32(scope) : PRIVHEAP_SCOPE_HEAP;
	list->last_scope = scope ? nla_get_u32(scope) : PRIVHEAP_SCOPE_CGROUP;
	list->last_key = ULONG_MAX;
	return ph_list_start(cb, attrs[PRIVHEAP_A_LIMIT_PID],
			     attrs[PRIVHEAP_A_LIMIT_UID]);
}

static bool ph_list_wants(const struct ph_list *list, struct ph_limit *limit)
{
	struct ph_process *process = ph_limit_process(limit);

	if (uid_valid(list->uid) && !uid_eq(ph_limit_owner(limit), list->uid))
		return false;
	if (list->pid && (!process || pid_nr(process->tgid) != list->pid))
		return false;
	return ph_asker_sees(&list->asker, limit);
}

/* The next node, held; NULL at the end. */
static struct ph_limit *ph_list_next(struct ph_list *list)
{
	struct ph_limit *limit;

	for (; list->scope <= list->last_scope; list->scope++, list->key = 0) {
		limit = ph_limit_next(list->scope, &list->key);
		if (limit && list->key <= list->last_key)
			return limit;
		if (limit)
			ph_limit_put(limit);
	}
	return NULL;
}

static int ph_list_put(struct sk_buff *skb, struct netlink_callback *cb,
		       enum ph_object object, struct ph_limit *limit)
{
	struct ph_list *list = ph_list_of(cb);
	void *hdr;

	hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &ph_family, NLM_F_MULTI, ph_object_cmds[object]);
	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (ph_object_put(skb, &list->asker, object, limit)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* Fills a message with as much of a list as it takes. */
static int ph_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb,
			  enum ph_object object)
{
	struct ph_list *list = ph_list_of(cb);
	struct ph_limit *limit;
	int err = 0;

	cb->seq = ph_owner_generation();
	while ((limit = ph_list_next(list))) {
		if (ph_list_wants(list, limit))
			err = ph_list_put(skb, cb, object, limit);
		ph_limit_put(limit);
		if (fatal_signal_pending(current))
			err = -EINTR;
		if (err)
			break;
		list->key++;
		cond_resched();
	}
	return skb->len ?: err;
}

static int ph_heap_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return ph_list_dumpit(skb, cb, PH_OBJECT_HEAP);
}

static int ph_limit_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return ph_list_dumpit(skb, cb, PH_OBJECT_LIMIT);
}

static const struct genl_ops ph_ops[] = {
	{
		.cmd	= PRIVHEAP_CMD_HEAP_GET,
		.doit	= ph_heap_get_doit,
		.start	= ph_heap_list_start,
		.dumpit	= ph_heap_list_dumpit,
		.policy	= ph_nla_heap_get,
		.maxattr = ARRAY_SIZE(ph_nla_heap_get) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_LIMIT_GET,
		.doit	= ph_limit_get_doit,
		.start	= ph_limit_list_start,
		.dumpit	= ph_limit_list_dumpit,
		.policy	= ph_nla_limit_get,
		.maxattr = ARRAY_SIZE(ph_nla_limit_get) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_LIMIT_SET,
		.doit	= ph_set_limit_doit,
		.policy	= ph_nla_limit_set,
		.maxattr = ARRAY_SIZE(ph_nla_limit_set) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_MAP_GET,
		.start	= ph_map_list_start,
		.dumpit	= ph_map_list_dumpit,
		.policy	= ph_nla_map_get,
		.maxattr = ARRAY_SIZE(ph_nla_map_get) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_REGION_GET,
		.start	= ph_region_list_start,
		.dumpit	= ph_region_list_dumpit,
		.policy	= ph_nla_region_get,
		.maxattr = ARRAY_SIZE(ph_nla_region_get) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_CLASS_GET,
		.start	= ph_class_list_start,
		.dumpit	= ph_class_list_dumpit,
		.policy	= ph_nla_class_get,
		.maxattr = ARRAY_SIZE(ph_nla_class_get) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_FAULT_GET,
		.start	= ph_fault_list_start,
		.dumpit	= ph_fault_list_dumpit,
		.policy	= ph_nla_fault_get,
		.maxattr = ARRAY_SIZE(ph_nla_fault_get) - 1,
	},
	{
		.cmd	= PRIVHEAP_CMD_HEAP_SET,
		.doit	= ph_set_heap_doit,
		.policy	= ph_nla_heap_set,
		.maxattr = ARRAY_SIZE(ph_nla_heap_set) - 1,
	},
	{
		/* Without a policy: it has no attributes. */
		.cmd	= PRIVHEAP_CMD_EVENT_SUBSCRIBE,
		.doit	= ph_event_subscribe_doit,
	},
};

static const struct genl_multicast_group ph_groups[] = {
	[PH_GROUP_EVENTS] = {
		.name = PRIVHEAP_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_SYS_ADMIN,
	},
};

struct genl_family ph_family = {
	.name		= PRIVHEAP_FAMILY_NAME,
	.version	= PRIVHEAP_FAMILY_VERSION,
	.module		= THIS_MODULE,
	.parallel_ops	= true,
	.ops		= ph_ops,
	.n_ops		= ARRAY_SIZE(ph_ops),
	.mcgrps		= ph_groups,
	.n_mcgrps	= ARRAY_SIZE(ph_groups),
};

/**
 * ph_netlink_init - register the family
 *
 * Return: 0 or an errno.
 */
int ph_netlink_init(void)
{
	int err;

	err = ph_event_init();
	if (err)
		return err;
	err = genl_register_family(&ph_family);
	if (err)
		ph_event_exit();
	return err;
}

/**
 * ph_netlink_exit - the mirror of ph_netlink_init()
 */
void ph_netlink_exit(void)
{
	genl_unregister_family(&ph_family);
	ph_event_exit();
}
