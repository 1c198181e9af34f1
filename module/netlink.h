/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files that speak netlink share; the rest of the module includes
 * internal.h only.
 *
 *	netlink.c	the family; heaps and limits: get and list
 *	    set.c	what can be set of them
 *	inspect.c	what is inside of one heap: map, regions, size classes, faults
 *	event.c		events, and who gets them
 *	  put.c		objects as attributes, and who may see them
 */
#ifndef _PRIVHEAP_NETLINK_H
#define _PRIVHEAP_NETLINK_H

#include <net/genetlink.h>

#include "internal.h"

/**
 * struct ph_asker - for whom a message is
 * @user_ns: how user ids are written; that of who opened the socket, so it stays
 * @uid: whose nodes it may see; INVALID_UID for nobody's
 * @sees_all: it may see everything
 * @sets_any: it may set any limit that it sees
 * @is_init: process ids are written as the initial namespace has them, else as
 *	the current task does
 */
struct ph_asker {
	struct user_namespace *user_ns;
	kuid_t uid;
	bool sees_all;
	bool sets_any;
	bool is_init;
};

extern struct genl_family ph_family;

/* Fails a request with a text, at @attr if that is to blame. Its value is -@errno. */
#define PH_REFUSE(extack, attr, errno, text) ({				\
	NL_SET_ERR_MSG_ATTR(extack, attr, text);			\
	-(errno);							\
})

/* Places in ph_family.mcgrps. */
enum {
	PH_GROUP_EVENTS,
};

/* put.c */
void ph_asker_init(struct ph_asker *asker, struct sk_buff *skb);
struct ph_process *ph_limit_process(struct ph_limit *limit);
bool ph_asker_sees(const struct ph_asker *asker, struct ph_limit *limit);
bool ph_asker_sets(const struct ph_asker *asker, struct ph_limit *limit);
int ph_put_u64(struct sk_buff *skb, int attr, u64 value);
int ph_put_owner(struct sk_buff *skb, const struct ph_asker *asker,
		 struct ph_process *process, int pid_attr, int comm_attr);
int ph_put_limit(struct sk_buff *skb, const struct ph_asker *asker,
		 struct ph_limit *limit);
int ph_put_heap(struct sk_buff *skb, const struct ph_asker *asker,
		struct ph_heap *heap);

/* netlink.c */
struct ph_heap *ph_netlink_find_heap(const struct ph_asker *asker,
				     const struct nlattr *serial,
				     struct netlink_ext_ack *extack);
struct ph_limit *ph_netlink_find_limit(const struct ph_asker *asker,
				       struct nlattr **attrs,
				       struct netlink_ext_ack *extack);

/* set.c */
int ph_set_heap_doit(struct sk_buff *skb, struct genl_info *info);
int ph_set_limit_doit(struct sk_buff *skb, struct genl_info *info);

/* inspect.c */
int ph_region_list_start(struct netlink_callback *cb);
int ph_region_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int ph_map_list_start(struct netlink_callback *cb);
int ph_map_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int ph_class_list_start(struct netlink_callback *cb);
int ph_class_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int ph_fault_list_start(struct netlink_callback *cb);
int ph_fault_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb);

/* event.c */
int ph_event_subscribe_doit(struct sk_buff *skb, struct genl_info *info);
int ph_event_init(void);
void ph_event_exit(void);

#endif /* _PRIVHEAP_NETLINK_H */
