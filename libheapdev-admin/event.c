// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Events, on a socket of their own, so that they do not come between a question
 * and its answers.
 *
 * The module numbers what it sends to a socket. A gap in the numbers is where
 * events were lost, and is told before the event that shows it. When the socket
 * was too full and no event has come since, that is told as well, though not how
 * many were lost.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

static const struct hda_member event_members[] = {
	[PRIVHEAP_A_EVENT_SEQ] = HDA_MEMBER(U64, event, seq),
	[PRIVHEAP_A_EVENT_KIND] = HDA_MEMBER(U32, event, kind),
	[PRIVHEAP_A_EVENT_TIME_NS] = HDA_MEMBER(U64, event, time_ns),
	[PRIVHEAP_A_EVENT_PID] = HDA_MEMBER(U32, event, pid),
	[PRIVHEAP_A_EVENT_UID] = HDA_MEMBER(U32, event, uid),
	[PRIVHEAP_A_EVENT_COMM] = HDA_MEMBER(TEXT, event, comm),
	[PRIVHEAP_A_EVENT_HEAP] = HDA_MEMBER_NEST(event, heap, &hda_heap_layout),
	[PRIVHEAP_A_EVENT_LIMIT] =
		HDA_MEMBER_NEST(event, limit, &hda_limit_layout),
	[PRIVHEAP_A_EVENT_CALL] = HDA_MEMBER(U32, event, call),
	[PRIVHEAP_A_EVENT_ERRNO] = HDA_MEMBER(U32, event, error),
	[PRIVHEAP_A_EVENT_ID] = HDA_MEMBER(U64, event, id),
	[PRIVHEAP_A_EVENT_ADDR] = HDA_MEMBER(U64, event, addr),
	[PRIVHEAP_A_EVENT_NR_SUPPRESSED] =
		HDA_MEMBER(U32, event, nr_suppressed),
};

static const struct heapdev_admin_event blank_event = {
	.pid = HEAPDEV_ADMIN_NOBODY,
	.uid = HEAPDEV_ADMIN_NOBODY,
	.heap.limit = HDA_BLANK_LIMIT,
	.limit = HDA_BLANK_LIMIT,
};

static const struct hda_layout event_layout = {
	.members = event_members,
	.nr_members = sizeof(event_members) / sizeof(event_members[0]),
	.blank = &blank_event,
	.bytes = sizeof(blank_event),
};

/* The socket has room for some thousand events, if the machine allows it. */
#define SOCKET_BYTES	(2 << 20)

static int tell_lost(struct heapdev_admin *admin, uint64_t nr)
{
	admin->event = blank_event;
	admin->event.kind = HEAPDEV_ADMIN_EVENT_LOST;
	admin->event.seq = admin->event_seq;
	admin->event.nr_lost = nr;
	admin->overrun = false;
	return 0;
}

/* Fetches what has arrived. */
static int receive(struct heapdev_admin *admin)
{
	struct sockaddr_nl from;
	socklen_t from_bytes = sizeof(from);
	ssize_t bytes;

	do {
		bytes = recvfrom(nl_socket_get_fd(admin->events),
				 admin->event_buffer, sizeof(admin->event_buffer),
				 MSG_DONTWAIT, (struct sockaddr *)&from,
				 &from_bytes);
		if (bytes < 0 && errno == ENOBUFS)
			admin->overrun = true;
		/* Only the kernel has events to tell of. */
	} while ((bytes < 0 && (errno == EINTR || errno == ENOBUFS)) ||
		 (bytes >= 0 && from.nl_pid));
	if (bytes < 0)
		return -errno;
	admin->event_next = (struct nlmsghdr *)admin->event_buffer;
	admin->event_bytes = bytes;
	return 0;
}

static bool is_event(const struct heapdev_admin *admin, struct nlmsghdr *head)
{
	return head->nlmsg_type == admin->family && genlmsg_valid_hdr(head, 0) &&
	       genlmsg_hdr(head)->cmd == PRIVHEAP_CMD_EVENT;
}

/* Takes the event that is next, or tells first that others are missing. */
static int tell_event(struct heapdev_admin *admin)
{
	struct heapdev_admin_event *event = &admin->event;
	struct genlmsghdr *head = genlmsg_hdr(admin->event_next);
	uint64_t missing;
	int err;

	*event = blank_event;
	err = hda_fill(&event_layout, event, genlmsg_attrdata(head, 0),
		       genlmsg_attrlen(head, 0));
	missing = err ? 0 : event->seq - admin->event_seq - 1;
	if (missing) {
		admin->event_seq += missing;
		return tell_lost(admin, missing);
	}
	admin->event_seq++;
	admin->event_next = nlmsg_next(admin->event_next, &admin->event_bytes);
	return err ? hda_fail(admin, err, NULL) : 0;
}

int heapdev_admin_next_event(struct heapdev_admin *admin,
			     const struct heapdev_admin_event **event)
{
	int err;

	*event = &admin->event;
	for (;;) {
		while (nlmsg_ok(admin->event_next, admin->event_bytes)) {
			if (is_event(admin, admin->event_next))
				return tell_event(admin);
			admin->event_next = nlmsg_next(admin->event_next,
						       &admin->event_bytes);
		}
		err = receive(admin);
		if (err == -EAGAIN && admin->overrun)
			return tell_lost(admin, 0);
		if (err)
			return hda_fail(admin, err, NULL);
	}
}

static int connect_events(struct nl_sock *sock)
{
	int err;

	err = genl_connect(sock);
	if (!err)
		err = nl_socket_set_buffer_size(sock, SOCKET_BYTES, 0);
	return hda_errno_of(err);
}

static int keep_seq(const void *object, void *arg)
{
	const struct heapdev_admin_event *event = object;
	struct heapdev_admin *admin = arg;

	admin->event_seq = event->seq;
	return 0;
}

/* Events may arrive before the answer does. They do not count yet. */
static int subscribe(struct heapdev_admin *admin)
{
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_EVENT_SUBSCRIBE, 0);
	nl_socket_disable_seq_check(admin->events);
	return hda_ask_on(admin->events, admin, msg, &event_layout, keep_seq,
			  admin);
}

int heapdev_admin_watch(struct heapdev_admin *admin)
{
	int err;

	if (admin->events)
		return 0;
	admin->events = nl_socket_alloc();
	if (!admin->events)
		return hda_fail(admin, -ENOMEM, NULL);
	err = connect_events(admin->events);
	if (err)
		hda_fail(admin, err, NULL);
	else
		err = subscribe(admin);
	if (err) {
		nl_socket_free(admin->events);
		admin->events = NULL;
	}
	return err;
}

int heapdev_admin_event_fd(const struct heapdev_admin *admin)
{
	return nl_socket_get_fd(admin->events);
}
