// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what happens to heaps and limits, told to who listens.
 *
 * There are two ways to listen. The multicast group gets everything and takes
 * CAP_SYS_ADMIN, because no kernel lets a family decide who of a group gets a
 * message. A socket that subscribed gets what its owner may see, one copy of its
 * own. Each of these has its own sequence numbers: who finds one missing knows
 * that a message was lost, for want of memory or because the socket was full.
 * Nobody waits for a reader, and what was lost is no error of the operation.
 *
 * Events are sent where they happen, also under ph_heap.lock. When nobody listens
 * they cost two reads.
 */
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include <net/sock.h>

#include "netlink.h"

/* What a user may have, so that others do not wait while they are gone through. */
#define PH_NR_SUBSCRIPTIONS	128
/* All processes of a user together make so many times the events of one. */
#define PH_EVENTS_USER_FACTOR	10

/* No OOM killer for a message. */
#define PH_GFP_EVENT		(GFP_KERNEL | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/**
 * struct ph_event - an event
 * @kind: what happened
 * @heap: to which heap, or NULL
 * @limit: to which node, or NULL
 * @process: in which process, or NULL
 * @misuse: the call that was refused, or NULL
 * @nr_suppressed: how many of the same kind were not sent before this one
 */
struct ph_event {
	enum privheap_event kind;
	struct ph_heap *heap;
	struct ph_limit *limit;
	struct ph_process *process;
	const struct ph_misuse *misuse;
	u32 nr_suppressed;
};

/**
 * struct ph_subscriber - a socket that gets what its owner may see
 * @node: in ph_subscribers
 * @asker: what that is; decided when it subscribed
 * @sk: the socket, held; closed when it is SOCK_DEAD
 * @portid: its address as long as it is not closed
 * @uid: who opened it, and is counted for it
 * @seq: number of the last event (ph_event_lock)
 */
struct ph_subscriber {
	struct list_head node;
	struct ph_asker asker;
	struct sock *sk;
	u32 portid;
	kuid_t uid;
	u64 seq;
};

/* Who gets which number, and in which order; a leaf. */
static DEFINE_MUTEX(ph_event_lock);
static LIST_HEAD(ph_subscribers);
static u64 ph_group_seq;

/* How the ids in an event are written: everybody gets the same. */
static const struct ph_asker ph_event_asker = {
	.user_ns = &init_user_ns,
	.uid = INVALID_UID,
	.is_init = true,
};

static bool ph_event_is_wanted(void)
{
	return !list_empty(&ph_subscribers) ||
	       genl_has_listeners(&ph_family, &init_net, PH_GROUP_EVENTS);
}

/* The node that decides who may see an event. */
static struct ph_limit *ph_event_node(const struct ph_event *event)
{
	if (event->heap)
		return &event->heap->limit;
	return event->process ? &event->process->limit : event->limit;
}

static int ph_event_put_nest(struct sk_buff *skb, int attr,
			     const struct ph_event *event)
{
	struct nlattr *nest = nla_nest_start(skb, attr);
	int err;

	if (!nest)
		return -EMSGSIZE;
	if (attr == PRIVHEAP_A_EVENT_HEAP)
		err = ph_put_heap(skb, &ph_event_asker, event->heap);
	else
		err = ph_put_limit(skb, &ph_event_asker, event->limit);
	nla_nest_end(skb, nest);
	return err;
}

static int ph_event_put_misuse(struct sk_buff *skb,
			       const struct ph_misuse *misuse)
{
	if (nla_put_u32(skb, PRIVHEAP_A_EVENT_CALL, misuse->call) ||
	    nla_put_u32(skb, PRIVHEAP_A_EVENT_ERRNO, -misuse->err))
		return -EMSGSIZE;
	if (misuse->err == -EPERM)
		return 0;
	if (ph_put_u64(skb, PRIVHEAP_A_EVENT_ID, misuse->id))
		return -EMSGSIZE;
	return misuse->err == -ENOENT ?
	       ph_put_u64(skb, PRIVHEAP_A_EVENT_ADDR, misuse->addr) : 0;
}

static int ph_event_put(struct sk_buff *skb, const struct ph_event *event)
{
	kuid_t owner = ph_limit_owner(ph_event_node(event));

	if (nla_put_u32(skb, PRIVHEAP_A_EVENT_KIND, event->kind) ||
	    ph_put_u64(skb, PRIVHEAP_A_EVENT_TIME_NS, ktime_get_real_ns()))
		return -EMSGSIZE;
	if (event->process &&
	    ph_put_owner(skb, &ph_event_asker, event->process,
			 PRIVHEAP_A_EVENT_PID, PRIVHEAP_A_EVENT_COMM))
		return -EMSGSIZE;
	if (uid_valid(owner) &&
	    nla_put_u32(skb, PRIVHEAP_A_EVENT_UID,
			from_kuid_munged(&init_user_ns, owner)))
		return -EMSGSIZE;
	if (event->heap && ph_owner_has_heap(event->heap) &&
	    ph_event_put_nest(skb, PRIVHEAP_A_EVENT_HEAP, event))
		return -EMSGSIZE;
	if (event->limit &&
	    ph_event_put_nest(skb, PRIVHEAP_A_EVENT_LIMIT, event))
		return -EMSGSIZE;
	if (event->nr_suppressed &&
	    nla_put_u32(skb, PRIVHEAP_A_EVENT_NR_SUPPRESSED,
			event->nr_suppressed))
		return -EMSGSIZE;
	return event->misuse ? ph_event_put_misuse(skb, event->misuse) : 0;
}

/* Writes the message for everybody; at *@seq the number is to be filled in. */
static struct sk_buff *ph_event_build(const struct ph_event *event,
				      unsigned int *seq)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, PH_GFP_EVENT);
	struct nlattr *attr = NULL;
	void *hdr;

	if (!skb)
		return NULL;
	hdr = genlmsg_put(skb, 0, 0, &ph_family, 0, PRIVHEAP_CMD_EVENT);
	if (hdr)
		attr = nla_reserve_64bit(skb, PRIVHEAP_A_EVENT_SEQ, sizeof(u64),
					 PRIVHEAP_A_EVENT_PAD);
	if (!attr || WARN_ON_ONCE(ph_event_put(skb, event))) {
		nlmsg_free(skb);
		return NULL;
	}
	*seq = nla_data(attr) - (void *)skb->data;
	genlmsg_end(skb, hdr);
	return skb;
}

/*
 * The file of a subscriber's socket, held, or NULL if that is being closed. While
 * somebody holds it, the socket is not closed, and its address not another's.
 */
static struct file *ph_subscriber_file(struct ph_subscriber *subscriber)
{
	struct sock *sk = subscriber->sk;
	struct file *filp = NULL;

	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket)
		filp = get_file_active(&sk->sk_socket->file);
	read_unlock_bh(&sk->sk_callback_lock);
	return filp;
}

static void ph_subscriber_send(struct ph_subscriber *subscriber,
			       const struct sk_buff *skb, unsigned int seq)
{
	struct sk_buff *copy = alloc_skb(skb->len, PH_GFP_EVENT);
	struct file *filp;

	if (!copy)
		return;
	skb_put_data(copy, skb->data, skb->len);
	memcpy(copy->data + seq, &subscriber->seq, sizeof(u64));
	filp = ph_subscriber_file(subscriber);
	if (!filp) {
		nlmsg_free(copy);
		return;
	}
	/* To a socket that is full, this leaves ENOBUFS. */
	genlmsg_unicast(&init_net, copy, subscriber->portid);
	fput(filp);
}

static void ph_event_send(const struct ph_event *event)
{
	struct ph_subscriber *subscriber;
	struct sk_buff *skb;
	unsigned int seq;

	skb = ph_event_build(event, &seq);
	mutex_lock(&ph_event_lock);
	list_for_each_entry(subscriber, &ph_subscribers, node) {
		if (!ph_asker_sees(&subscriber->asker, ph_event_node(event)))
			continue;
		subscriber->seq++;
		if (skb)
			ph_subscriber_send(subscriber, skb, seq);
	}
	ph_group_seq++;
	if (skb) {
		memcpy(skb->data + seq, &ph_group_seq, sizeof(u64));
		/* If it might sleep, it would, in favour of a slow reader. */
		genlmsg_multicast(&ph_family, skb, 0, PH_GROUP_EVENTS,
				  GFP_NOWAIT | __GFP_NOWARN);
	} else {
		genl_set_err(&ph_family, &init_net, 0, PH_GROUP_EVENTS, -ENOBUFS);
	}
	mutex_unlock(&ph_event_lock);
}

/* How many events of a kind a process may make in a second. */
static unsigned int ph_event_bound(enum privheap_event kind)
{
	switch (kind) {
	case PRIVHEAP_EVENT_HEAP_CREATED:
	case PRIVHEAP_EVENT_HEAP_DESTROYED:
	case PRIVHEAP_EVENT_LIMIT_CHANGED:
		return 100;
	default:
		return 10;
	}
}

static bool ph_rate_admits(struct ph_event_rate *rate, unsigned int bound)
{
	lockdep_assert_held(&ph_event_lock);
	if (!rate->nr || time_after_eq(jiffies, rate->since + HZ)) {
		rate->since = jiffies;
		rate->nr = 0;
	}
	if (rate->nr < bound)
		return true;
	rate->nr_suppressed++;
	return false;
}

static void ph_rate_count(struct ph_event_rate *rate, struct ph_event *event)
{
	rate->nr++;
	event->nr_suppressed += rate->nr_suppressed;
	rate->nr_suppressed = 0;
}

/*
 * May another event be made? Most kinds can be caused at will, and whoever does so
 * is not to drown what others are told, with one process or with many.
 */
static bool ph_event_admit(struct ph_event *event)
{
	struct ph_user *user = ph_limit_user(ph_event_node(event));
	struct ph_event_rate *of_process = event->process ?
		&event->process->rates[event->kind] : NULL;
	struct ph_event_rate *of_user = user ? &user->rates[event->kind] : NULL;
	unsigned int bound = ph_event_bound(event->kind);
	bool admit;

	mutex_lock(&ph_event_lock);
	admit = (!of_process || ph_rate_admits(of_process, bound)) &&
		(!of_user ||
		 ph_rate_admits(of_user, bound * PH_EVENTS_USER_FACTOR));
	if (admit && of_process)
		ph_rate_count(of_process, event);
	if (admit && of_user)
		ph_rate_count(of_user, event);
	mutex_unlock(&ph_event_lock);
	return admit;
}

/* Tells of an event, if it may be told, and anybody listens. */
static void ph_event_tell(struct ph_event *event)
{
	if (ph_event_is_wanted() && ph_event_admit(event))
		ph_event_send(event);
}

/**
 * ph_event_heap - tell that a heap was made or goes
 * @kind: PRIVHEAP_EVENT_HEAP_*
 * @heap: the heap, which is in the table of serial numbers
 *
 * Context: May sleep.
 */
void ph_event_heap(enum privheap_event kind, struct ph_heap *heap)
{
	struct ph_event event = {
		.kind = kind,
		.heap = heap,
		.process = ph_limit_process(&heap->limit),
	};

	ph_event_tell(&event);
}

/**
 * ph_event_commit - tell what a commit met with
 * @kind: PRIVHEAP_EVENT_SOFT_LIMIT or PRIVHEAP_EVENT_LIMIT_HIT
 * @heap: whose commit it is; it may still be in the making
 * @limit: the node that it met
 *
 * Context: May sleep. Caller may hold ph_heap.lock.
 */
void ph_event_commit(enum privheap_event kind, struct ph_heap *heap,
		     struct ph_limit *limit)
{
	struct ph_event event = {
		.kind = kind,
		.heap = heap,
		.limit = limit,
		.process = ph_limit_process(&heap->limit),
	};

	ph_event_tell(&event);
}

/**
 * ph_event_changed - tell that limits were changed
 * @limit: the node
 *
 * Context: May sleep.
 */
void ph_event_changed(struct ph_limit *limit)
{
	struct ph_event event = {
		.kind = PRIVHEAP_EVENT_LIMIT_CHANGED,
		.limit = limit,
		.process = ph_limit_process(limit),
	};

	if (limit->scope == PRIVHEAP_SCOPE_HEAP)
		event.heap = container_of(limit, struct ph_heap, limit);
	ph_event_tell(&event);
}

/**
 * ph_event_misuse - tell that a call was refused
 * @process: whose file it was made on
 * @heap: the heap that it named, or NULL if there is none
 * @misuse: the call
 *
 * Context: May sleep.
 */
void ph_event_misuse(struct ph_process *process, struct ph_heap *heap,
		     const struct ph_misuse *misuse)
{
	struct ph_event event = {
		.kind = PRIVHEAP_EVENT_MISUSE,
		.heap = heap,
		.process = process,
		.misuse = misuse,
	};

	ph_event_tell(&event);
}

/* May this one be added to those that there are? */
static int ph_subscriber_check(const struct ph_subscriber *new)
{
	struct ph_subscriber *subscriber;
	unsigned int nr = 0;

	lockdep_assert_held(&ph_event_lock);
	list_for_each_entry(subscriber, &ph_subscribers, node) {
		if (subscriber->sk == new->sk)
			return -EEXIST;
		nr += uid_eq(subscriber->uid, new->uid);
	}
	return nr < PH_NR_SUBSCRIPTIONS ? 0 : -EMFILE;
}

/**
 * ph_event_subscribe_doit - serve PRIVHEAP_CMD_EVENT_SUBSCRIBE
 * @skb: the request
 * @info: the same, taken apart
 *
 * Return: 0, -ENOMEM, -EEXIST when the socket has done so before, or -EMFILE when
 * too many of the user's have.
 */
int ph_event_subscribe_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct ph_subscriber *subscriber;
	struct sock *sk = NETLINK_CB(skb).sk;
	int err;

	subscriber = kzalloc(sizeof(*subscriber), GFP_KERNEL_ACCOUNT);
	if (!subscriber)
		return -ENOMEM;
	ph_asker_init(&subscriber->asker, skb);
	subscriber->portid = info->snd_portid;
	subscriber->sk = sk;
	subscriber->uid = sk->sk_socket->file->f_cred->euid;
	mutex_lock(&ph_event_lock);
	err = ph_subscriber_check(subscriber);
	if (!err) {
		sock_hold(sk);
		list_add_tail(&subscriber->node, &ph_subscribers);
	}
	mutex_unlock(&ph_event_lock);
	if (err == -EEXIST)
		GENL_SET_ERR_MSG(info, "this socket has subscribed already");
	if (err == -EMFILE)
		GENL_SET_ERR_MSG(info, "the user has too many subscriptions");
	if (err)
		kfree(subscriber);
	return err;
}

/* Takes out those whose socket was closed, or everybody. */
static void ph_subscribers_remove(bool all)
{
	struct ph_subscriber *subscriber, *next;

	mutex_lock(&ph_event_lock);
	list_for_each_entry_safe(subscriber, next, &ph_subscribers, node) {
		if (!all && !sock_flag(subscriber->sk, SOCK_DEAD))
			continue;
		list_del(&subscriber->node);
		sock_put(subscriber->sk);
		kfree(subscriber);
	}
	mutex_unlock(&ph_event_lock);
}

/* Some netlink socket is being closed. */
static int ph_event_notify(struct notifier_block *block, unsigned long what,
			   void *data)
{
	struct netlink_notify *notify = data;

	if (what == NETLINK_URELEASE && notify->protocol == NETLINK_GENERIC &&
	    !list_empty(&ph_subscribers))
		ph_subscribers_remove(false);
	return NOTIFY_DONE;
}

static struct notifier_block ph_event_notifier = {
	.notifier_call = ph_event_notify,
};

/**
 * ph_event_init - hear of sockets that are closed
 *
 * Return: 0 or an errno.
 */
int ph_event_init(void)
{
	return netlink_register_notifier(&ph_event_notifier);
}

/**
 * ph_event_exit - the mirror of ph_event_init(); nobody can subscribe any more
 */
void ph_event_exit(void)
{
	netlink_unregister_notifier(&ph_event_notifier);
	ph_subscribers_remove(true);
}
