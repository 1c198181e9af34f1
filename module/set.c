// SPDX-License-Identifier: GPL-2.0-only
/*
 * What requests change: the settings of heaps, and limits.
 *
 * netlink.c has checked each attribute by itself. A request is applied as a whole or
 * not at all, and who asks must see what is to change before it learns whether it may.
 */
#include "netlink.h"

/* Returns PH_POLICY_SET_*: what of a policy is to change. */
static unsigned int ph_set_read_policy(struct nlattr **attrs,
				       struct privheap_policy *arg)
{
	struct nlattr *policy = attrs[PRIVHEAP_A_HEAP_POLICY];
	struct nlattr *window = attrs[PRIVHEAP_A_HEAP_WINDOW_PAGES];
	struct nlattr *idle = attrs[PRIVHEAP_A_HEAP_MAX_IDLE_BYTES];

	memset(arg, 0, sizeof(*arg));
	if (policy)
		arg->policy = nla_get_u32(policy);
	if (window)
		arg->window_pages = nla_get_u32(window);
	if (idle)
		arg->idle_bytes = nla_get_u64(idle);
	return (policy ? PH_POLICY_SET_ID : 0) |
	       (window ? PH_POLICY_SET_WINDOW : 0) |
	       (idle ? PH_POLICY_SET_IDLE : 0);
}

static bool ph_set_read_inject(struct nlattr **attrs,
			       struct privheap_inject *arg)
{
	struct nlattr *nth = attrs[PRIVHEAP_A_HEAP_INJECT_NTH];
	struct nlattr *rate = attrs[PRIVHEAP_A_HEAP_INJECT_RATE_PPM];
	struct nlattr *seed = attrs[PRIVHEAP_A_HEAP_INJECT_SEED];

	memset(arg, 0, sizeof(*arg));
	if (nth)
		arg->nth = nla_get_u64(nth);
	if (rate)
		arg->rate_ppm = nla_get_u32(rate);
	if (seed)
		arg->seed = nla_get_u64(seed);
	return nth || rate;
}

static int ph_set_apply_policy(struct ph_heap *heap, struct genl_info *info,
			       const struct privheap_policy *arg,
			       unsigned int set)
{
	int err;

	if (arg->idle_bytes > ph_max_bytes())
		return PH_REFUSE(info->extack,
				 info->attrs[PRIVHEAP_A_HEAP_MAX_IDLE_BYTES],
				 EOVERFLOW, "more than a heap can have");
	err = ph_heap_policy(heap, arg, set);
	if (err == -EINVAL)
		return PH_REFUSE(info->extack,
				 info->attrs[PRIVHEAP_A_HEAP_WINDOW_PAGES],
				 EINVAL,
				 "the policy has no window of this length");
	if (err == -EOPNOTSUPP)
		return PH_REFUSE(info->extack,
				 info->attrs[PRIVHEAP_A_HEAP_POLICY],
				 EOPNOTSUPP,
				 "the heap was not made for huge pages");
	return err;
}

/* After the policy was set, what is left to fail is that the heap ends. */
static int ph_set_apply_heap(struct ph_heap *heap, struct genl_info *info)
{
	struct privheap_policy policy;
	struct privheap_inject inject;
	unsigned int set_policy;
	bool set_inject;
	int err = 0;

	set_policy = ph_set_read_policy(info->attrs, &policy);
	set_inject = ph_set_read_inject(info->attrs, &inject);
	if (!set_policy && !set_inject)
		return PH_REFUSE(info->extack, NULL, EINVAL, "nothing to set");
	if (set_inject)
		err = ph_inject_check(&inject);
	if (!err && set_policy)
		err = ph_set_apply_policy(heap, info, &policy, set_policy);
	if (!err && set_inject)
		err = ph_heap_inject(heap, &inject);
	if (err == -EIDRM)
		GENL_SET_ERR_MSG(info, "the heap is dead");
	return err == -ENXIO ? -ENOENT : err;
}

/**
 * ph_set_heap_doit - PRIVHEAP_CMD_HEAP_SET
 * @skb: the request
 * @info: what it says
 *
 * Context: May sleep; takes ph_heap.lock.
 * Return: 0 or an errno, as privheap_netlink.h lists them.
 */
int ph_set_heap_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ph_asker asker;
	struct ph_heap *heap;
	int err;

	ph_asker_init(&asker, skb);
	heap = ph_netlink_find_heap(&asker, info->attrs[PRIVHEAP_A_HEAP_SERIAL],
				    info->extack);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	if (ph_asker_sets(&asker, &heap->limit))
		err = ph_set_apply_heap(heap, info);
	else
		err = PH_REFUSE(info->extack, NULL, EPERM,
				"that needs CAP_SYS_RESOURCE");
	ph_heap_put(heap);
	return err;
}

static void ph_set_read_change(struct nlattr **attrs,
			       struct ph_limit_change *change)
{
	change->set = 0;
	if (attrs[PRIVHEAP_A_LIMIT_HARD_BYTES]) {
		change->set |= PRIVHEAP_LIMIT_F_HARD;
		change->hard_bytes =
			nla_get_u64(attrs[PRIVHEAP_A_LIMIT_HARD_BYTES]);
	}
	if (attrs[PRIVHEAP_A_LIMIT_SOFT_BYTES]) {
		change->set |= PRIVHEAP_LIMIT_F_SOFT;
		change->soft_bytes =
			nla_get_u64(attrs[PRIVHEAP_A_LIMIT_SOFT_BYTES]);
	}
	if (attrs[PRIVHEAP_A_LIMIT_GRACE_BYTES]) {
		change->set |= PRIVHEAP_LIMIT_F_GRACE;
		change->grace_bytes =
			nla_get_u64(attrs[PRIVHEAP_A_LIMIT_GRACE_BYTES]);
	}
}

/*
 * A user's node may be asked for before the user has a process; who may set any
 * limit makes it.
 */
static struct ph_limit *ph_set_find_limit(const struct ph_asker *asker,
					  struct genl_info *info)
{
	struct nlattr *scope = info->attrs[PRIVHEAP_A_LIMIT_SCOPE];
	struct nlattr *key = info->attrs[PRIVHEAP_A_LIMIT_KEY];
	kuid_t uid;

	if (asker->sets_any && asker->sees_all && scope && key &&
	    nla_get_u32(scope) == PRIVHEAP_SCOPE_USER) {
		uid = make_kuid(asker->user_ns,
				min_t(u64, nla_get_u64(key), U32_MAX));
		if (uid_valid(uid))
			return ph_limit_find_user(uid);
	}
	return ph_netlink_find_limit(asker, info->attrs, info->extack);
}

static int ph_set_apply_limit(struct ph_limit *limit,
			      const struct ph_asker *asker,
			      struct genl_info *info)
{
	struct nlattr **attrs = info->attrs;
	struct nlattr *reset = attrs[PRIVHEAP_A_LIMIT_RESET];
	struct ph_limit_change change;
	int err = 0;

	if (!ph_asker_sets(asker, limit))
		return PH_REFUSE(info->extack, attrs[PRIVHEAP_A_LIMIT_SCOPE],
				 EPERM, "that needs CAP_SYS_RESOURCE");
	ph_set_read_change(attrs, &change);
	if (!change.set && !reset)
		return PH_REFUSE(info->extack, NULL, EINVAL, "nothing to set");
	if (change.set)
		err = ph_limit_set(limit, &change,
				   asker->sets_any ? PH_LIMIT_ANY : PH_LIMIT_LOWER);
	if (err == -EPERM)
		GENL_SET_ERR_MSG(info, "to allow more needs CAP_SYS_RESOURCE");
	if (err == -EINVAL)
		GENL_SET_ERR_MSG(info, "above the hard limit");
	if (!err && reset)
		ph_limit_reset(limit);
	return err;
}

/**
 * ph_set_limit_doit - PRIVHEAP_CMD_LIMIT_SET
 * @skb: the request
 * @info: what it says
 *
 * Context: May sleep.
 * Return: 0 or an errno, as privheap_netlink.h lists them.
 */
int ph_set_limit_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ph_limit *limit;
	struct ph_asker asker;
	int err;

	ph_asker_init(&asker, skb);
	limit = ph_set_find_limit(&asker, info);
	if (IS_ERR(limit))
		return PTR_ERR(limit);
	err = ph_set_apply_limit(limit, &asker, info);
	ph_limit_put(limit);
	return err;
}
