/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Generic netlink as the tests need it: messages that are put together by hand,
 * so that they can be wrong, and answers that are taken apart.
 *
 * Functions return 0 or a negative errno. -EPROTO is an answer that breaks the
 * rules of netlink; no test expects it.
 */
#ifndef PRIVHEAP_NETLINK_UTIL_H
#define PRIVHEAP_NETLINK_UTIL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "privheap_util.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK	270
#endif

#define NL_MAX_ATTRS	32

/**
 * struct nl - a socket
 * @family: id of the family
 * @events: id of its multicast group
 * @seq: of the last request
 * @bad_attr: offset of the attribute that the last answer complains about, or 0
 * @text: what it says
 * @flags: all flags of the messages of the last answer
 */
struct nl {
	int fd;
	__u16 family;
	__u32 events;
	__u32 seq;
	__u32 bad_attr;
	__u16 flags;
	char text[128];
};

/* A request, or a message that came in. */
struct nl_msg {
	union {
		struct nlmsghdr head;
		struct {
			struct nlmsghdr nlh;
			struct genlmsghdr genl;
		};
		char bytes[2048];
	};
	const struct nlattr *attrs[NL_MAX_ATTRS];
};

static inline void nl_begin(struct nl *nl, struct nl_msg *msg, __u8 cmd,
			    __u16 flags)
{
	memset(msg, 0, sizeof(*msg));
	msg->head.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	msg->head.nlmsg_type = nl->family;
	msg->head.nlmsg_flags = NLM_F_REQUEST | flags;
	msg->head.nlmsg_seq = ++nl->seq;
	msg->genl.cmd = cmd;
	msg->genl.version = PRIVHEAP_FAMILY_VERSION;
}

static inline void nl_add(struct nl_msg *msg, __u16 type, const void *data,
			  __u16 len)
{
	struct nlattr *attr = (void *)(msg->bytes +
				       NLMSG_ALIGN(msg->head.nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	memcpy((char *)attr + NLA_HDRLEN, data, len);
	msg->head.nlmsg_len = NLMSG_ALIGN(msg->head.nlmsg_len) +
			      NLA_ALIGN(attr->nla_len);
}

static inline void nl_add_u32(struct nl_msg *msg, __u16 type, __u32 value)
{
	nl_add(msg, type, &value, sizeof(value));
}

static inline void nl_add_u64(struct nl_msg *msg, __u16 type, __u64 value)
{
	nl_add(msg, type, &value, sizeof(value));
}

/* What fills an attribute up must be zero: nobody is told what was there before. */
static inline bool nl_padding_is_clean(const struct nlattr *attr)
{
	const char *from = (const char *)attr + attr->nla_len;
	const char *end = (const char *)attr + NLA_ALIGN(attr->nla_len);

	while (from < end && !*from)
		from++;
	return from == end;
}

/* Sorts attributes by type; false when they do not add up. */
static inline bool nl_sort(const char *from, const char *end,
			   const struct nlattr **attrs)
{
	const struct nlattr *attr;
	__u16 type;

	memset(attrs, 0, NL_MAX_ATTRS * sizeof(*attrs));
	for (; from < end; from += NLA_ALIGN(attr->nla_len)) {
		attr = (const void *)from;
		type = attr->nla_type & NLA_TYPE_MASK;
		if (end - from < NLA_HDRLEN || attr->nla_len < NLA_HDRLEN ||
		    attr->nla_len > end - from || type >= NL_MAX_ATTRS ||
		    !nl_padding_is_clean(attr))
			return false;
		attrs[type] = attr;
	}
	return true;
}

static inline bool nl_sort_nest(const struct nlattr *nest,
				const struct nlattr **attrs)
{
	return nl_sort((const char *)nest + NLA_HDRLEN,
		       (const char *)nest + nest->nla_len, attrs);
}

static inline const void *nl_data(const struct nlattr *attr)
{
	return (const char *)attr + NLA_HDRLEN;
}

/* The number in an attribute; a pattern if that is missing or no number. */
static inline __u64 nl_number(const struct nlattr *attr)
{
	__u64 value = 0xdeadbeefdeadbeefULL;
	size_t len = attr ? attr->nla_len - NLA_HDRLEN : 0;

	if (len == sizeof(__u32))
		return *(const __u32 *)nl_data(attr);
	if (len == sizeof(__u64))
		memcpy(&value, nl_data(attr), sizeof(value));
	return value;
}

static inline int nl_send(struct nl *nl, const struct nl_msg *msg)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (sendto(nl->fd, msg->bytes, msg->head.nlmsg_len, 0, (void *)&kernel,
		   sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* Reads what an error message says; its errno is the result. */
static inline int nl_read_error(struct nl *nl, const struct nlmsghdr *head)
{
	const struct nlattr *attrs[NL_MAX_ATTRS];
	const struct nlmsgerr *error = NLMSG_DATA(head);
	const char *from = (const char *)(error + 1);

	nl->text[0] = '\0';
	nl->bad_attr = 0;
	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
		return error->error;
	if (!(head->nlmsg_flags & NLM_F_CAPPED))
		from += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	if (!nl_sort(from, (const char *)head + head->nlmsg_len, attrs))
		return -EPROTO;
	if (attrs[NLMSGERR_ATTR_MSG])
		snprintf(nl->text, sizeof(nl->text), "%s",
			 (const char *)nl_data(attrs[NLMSGERR_ATTR_MSG]));
	if (attrs[NLMSGERR_ATTR_OFFS])
		nl->bad_attr = nl_number(attrs[NLMSGERR_ATTR_OFFS]);
	return error->error;
}

/* What nl_receive() calls for each message; not 0 ends it. */
typedef int nl_visit(const struct nl_msg *msg, void *arg);

static inline int nl_take(struct nl *nl, const struct nlmsghdr *head,
			  nl_visit *visit, void *arg)
{
	struct nl_msg msg;

	if (head->nlmsg_type != nl->family && head->nlmsg_type != GENL_ID_CTRL)
		return -EPROTO;
	if (head->nlmsg_len > sizeof(msg.bytes))
		return -EPROTO;
	memcpy(msg.bytes, head, head->nlmsg_len);
	if (!nl_sort(msg.bytes + NLMSG_LENGTH(GENL_HDRLEN),
		     msg.bytes + head->nlmsg_len, msg.attrs))
		return -EPROTO;
	return visit ? visit(&msg, arg) : 0;
}

/* Receives one answer in full: a message, or a list to its end, or an error. */
static inline int nl_receive(struct nl *nl, nl_visit *visit, void *arg)
{
	static __thread char buf[65536] __attribute__((aligned(8)));
	struct nlmsghdr *head;
	ssize_t len;
	int ret;

	nl->flags = 0;
	for (;;) {
		len = recv(nl->fd, buf, sizeof(buf), 0);
		if (len < 0)
			return -errno;
		for (head = (void *)buf; NLMSG_OK(head, len);
		     head = NLMSG_NEXT(head, len)) {
			nl->flags |= head->nlmsg_flags;
			if (head->nlmsg_type == NLMSG_ERROR)
				return nl_read_error(nl, head);
			if (head->nlmsg_type == NLMSG_DONE)
				return *(int *)NLMSG_DATA(head);
			ret = nl_take(nl, head, visit, arg);
			if (ret || !(head->nlmsg_flags & NLM_F_MULTI))
				return ret;
		}
	}
}

static inline int nl_ask(struct nl *nl, const struct nl_msg *msg,
			 nl_visit *visit, void *arg)
{
	return nl_send(nl, msg) ?: nl_receive(nl, visit, arg);
}

static inline int nl_visit_copy(const struct nl_msg *msg, void *arg)
{
	struct nl_msg *copy = arg;

	memcpy(copy->bytes, msg->bytes, sizeof(copy->bytes));
	return nl_sort(copy->bytes + NLMSG_LENGTH(GENL_HDRLEN),
		       copy->bytes + copy->head.nlmsg_len, copy->attrs) ?
	       0 : -EPROTO;
}

/* Sends a request and gets the one message that answers it. */
static inline int nl_get(struct nl *nl, const struct nl_msg *msg,
			 struct nl_msg *answer)
{
	return nl_ask(nl, msg, nl_visit_copy, answer);
}

static inline int nl_find_family(struct nl *nl)
{
	const struct nlattr *groups[NL_MAX_ATTRS], *group[NL_MAX_ATTRS];
	struct nl_msg msg, answer;
	int ret;

	nl->family = GENL_ID_CTRL;
	nl_begin(nl, &msg, CTRL_CMD_GETFAMILY, 0);
	nl_add(&msg, CTRL_ATTR_FAMILY_NAME, PRIVHEAP_FAMILY_NAME,
	       sizeof(PRIVHEAP_FAMILY_NAME));
	ret = nl_get(nl, &msg, &answer);
	if (ret)
		return ret;
	nl->family = *(const __u16 *)nl_data(answer.attrs[CTRL_ATTR_FAMILY_ID]);
	if (!nl_sort_nest(answer.attrs[CTRL_ATTR_MCAST_GROUPS], groups) ||
	    !nl_sort_nest(groups[1], group))
		return -EPROTO;
	nl->events = nl_number(group[CTRL_ATTR_MCAST_GRP_ID]);
	return 0;
}

/* Opens a socket of the family. */
static inline int nl_open(struct nl *nl)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 120 };
	int on = 1;

	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl->fd < 0)
		return -errno;
	if (bind(nl->fd, (void *)&any, sizeof(any)) ||
	    setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) ||
	    setsockopt(nl->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)))
		return -errno;
	return nl_find_family(nl);
}

static inline void nl_close(struct nl *nl)
{
	close(nl->fd);
}

#endif /* PRIVHEAP_NETLINK_UTIL_H */
