/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of libheapdev-admin share.
 *
 *	attr.c		attributes of a message -> members of a structure
 *	context.c	the connection; a question and its answers
 *	heap.c		heaps, and what is in them
 *	limit.c		limits
 *	event.c		events
 */
#ifndef HEAPDEV_ADMIN_INTERNAL_H
#define HEAPDEV_ADMIN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <heapdev-admin.h>

/* attr.c */

enum hda_kind {
	HDA_UNKNOWN,
	HDA_U32,
	HDA_U64,
	HDA_TEXT,
	HDA_NEST,
};

/* Where the value of an attribute goes. */
struct hda_member {
	enum hda_kind kind;
	size_t offset;
	size_t bytes;				/* room for a text */
	const struct hda_layout *nest;
};

/* How a set of attributes becomes a structure: members by attribute. */
struct hda_layout {
	const struct hda_member *members;
	size_t nr_members;
	const void *blank;			/* the structure without any */
	size_t bytes;				/* of it */
};

#define HDA_LAYOUT(type, ...) {						\
	.members = type##_members,					\
	.nr_members = sizeof(type##_members) / sizeof(type##_members[0]), \
	.blank = &(const struct heapdev_admin_##type){ __VA_ARGS__ },	\
	.bytes = sizeof(struct heapdev_admin_##type),			\
}

#define HDA_MEMBER(kind, type, member) {				\
	HDA_##kind, offsetof(struct heapdev_admin_##type, member),	\
	sizeof(((struct heapdev_admin_##type *)0)->member), NULL	\
}
#define HDA_MEMBER_NEST(type, member, layout) {				\
	HDA_NEST, offsetof(struct heapdev_admin_##type, member), 0, layout \
}

/* A limit that belongs to nobody. */
#define HDA_BLANK_LIMIT { .pid = HEAPDEV_ADMIN_NOBODY, .uid = HEAPDEV_ADMIN_NOBODY }

extern const struct hda_layout hda_heap_layout;
extern const struct hda_layout hda_limit_layout;

/**
 * hda_fill() - read attributes into a structure
 * @layout: of what
 * @object: a copy of the blank one, of which what the message has is written
 * @head: the first attribute
 * @bytes: of all of them
 *
 * Attributes that the library does not know are skipped: the module may be newer.
 *
 * Return: 0, or -EPROTO when an attribute is too short.
 */
int hda_fill(const struct hda_layout *layout, void *object,
	     struct nlattr *head, int bytes);

/* context.c */

/* No structure is larger. */
#define HDA_OBJECT_BYTES	sizeof(struct heapdev_admin_event)
/* No message with events is. */
#define HDA_EVENT_BYTES		16384

struct heapdev_admin {
	struct nl_sock *sock;			/* for questions */
	int family;
	char error[256];
	/* What the caller was told last. */
	_Alignas(uint64_t) char object[HDA_OBJECT_BYTES];

	struct nl_sock *events;			/* NULL until somebody watches */
	struct heapdev_admin_event event;	/* what the caller was told last */
	uint64_t event_seq;			/* of the last one */
	bool overrun;				/* and some were lost after it */
	/* What was received and not yet told. */
	struct nlmsghdr *event_next;
	int event_bytes;
	_Alignas(struct nlmsghdr) char event_buffer[HDA_EVENT_BYTES];
};

/**
 * hda_fail() - remember what was wrong
 * @admin: the context
 * @err: a negative errno
 * @text: in words, or NULL for the errno's own
 *
 * Return: @err.
 */
int hda_fail(struct heapdev_admin *admin, int err, const char *text);

/*
 * hda_ask() hands out pointers to anything; a list has a callback of its own
 * type, which goes through here.
 */
#define HDA_EACH(type)							\
struct each_##type {							\
	int (*function)(const struct heapdev_admin_##type *object, void *arg); \
	void *arg;							\
};									\
									\
static int each_##type(const void *object, void *arg)			\
{									\
	const struct each_##type *each = arg;				\
									\
	return each->function(object, each->arg);			\
}

/* The errno for an error of libnl. */
int hda_errno_of(int nl_err);

/**
 * hda_question() - begin a message
 * @admin: the context
 * @command: PRIVHEAP_CMD_*
 * @flags: NLM_F_DUMP, or 0
 *
 * Return: the message, or NULL without memory.
 */
struct nl_msg *hda_question(struct heapdev_admin *admin, int command, int flags);

/**
 * hda_ask_on() - send a message and wait for all of its answers
 * @sock: which of the context's sockets
 * @admin: the context
 * @msg: from hda_question(), freed here; NULL is -ENOMEM
 * @layout: of the answers; NULL if there is none but the acknowledgement
 * @each: called with each; not 0 ends the list and is returned
 * @arg: for @each
 *
 * Return: 0, a negative errno, or what @each returned.
 */
int hda_ask_on(struct nl_sock *sock, struct heapdev_admin *admin,
	       struct nl_msg *msg, const struct hda_layout *layout,
	       int (*each)(const void *object, void *arg), void *arg);

/* The same on the socket for questions. */
int hda_ask(struct heapdev_admin *admin, struct nl_msg *msg,
	    const struct hda_layout *layout,
	    int (*each)(const void *object, void *arg), void *arg);

/**
 * hda_ask_one() - send a message that has one answer
 * @admin: the context; keeps the answer
 * @msg: as for hda_ask()
 * @layout: of the answer
 * @object: receives the place of the answer
 *
 * Return: 0 or a negative errno.
 */
int hda_ask_one(struct heapdev_admin *admin, struct nl_msg *msg,
		const struct hda_layout *layout, const void **object);

#endif /* HEAPDEV_ADMIN_INTERNAL_H */
