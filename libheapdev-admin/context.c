// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The connection to the module: one socket, one question at a time.
 *
 * A question is answered by any number of objects and then by an
 * acknowledgement, by the end of a list, or by an error. Errors of libnl are
 * coarser than an errno, so the kernel's are taken from the messages themselves,
 * with the text that comes along.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

/* Lists come in messages as long as the reader has room for, up to this. */
#define RECEIVE_BYTES	32768

int hda_fail(struct heapdev_admin *admin, int err, const char *text)
{
	if (!text)
		text = strerror(-err);
	snprintf(admin->error, sizeof(admin->error), "%s", text);
	return err;
}

int hda_errno_of(int nl_err)
{
	switch (-nl_err) {
	case NLE_SUCCESS:
		return 0;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_AF_NOSUPPORT:
	case NLE_PROTO_MISMATCH:
		return -EPROTONOSUPPORT;
	default:
		return -EPROTO;
	}
}

/* Opening and closing */

static int configure_socket(struct nl_sock *sock)
{
	int on = 1, fd = nl_socket_get_fd(sock);

	/* The messages that come with errors, without the question itself. */
	if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)))
		return -errno;
	nl_socket_disable_msg_peek(sock);
	return hda_errno_of(nl_socket_set_msg_buf_size(sock, RECEIVE_BYTES));
}

static int connect_socket(struct heapdev_admin *admin)
{
	int err;

	err = genl_connect(admin->sock);
	if (err < 0)
		return hda_errno_of(err);
	admin->family = genl_ctrl_resolve(admin->sock, PRIVHEAP_FAMILY_NAME);
	if (admin->family < 0)
		return hda_errno_of(admin->family);
	return configure_socket(admin->sock);
}

int heapdev_admin_open(struct heapdev_admin **result)
{
	struct heapdev_admin *admin = calloc(1, sizeof(*admin));
	int err = -ENOMEM;

	if (!admin)
		return -ENOMEM;
	admin->sock = nl_socket_alloc();
	if (admin->sock)
		err = connect_socket(admin);
	if (err) {
		heapdev_admin_close(admin);
		return err;
	}
	*result = admin;
	return 0;
}

void heapdev_admin_close(struct heapdev_admin *admin)
{
	if (!admin)
		return;
	if (admin->events)
		nl_socket_free(admin->events);
	if (admin->sock)
		nl_socket_free(admin->sock);
	free(admin);
}

const char *heapdev_admin_error(const struct heapdev_admin *admin)
{
	return admin->error;
}

/* Questions */

struct exchange {
	struct heapdev_admin *admin;
	const struct hda_layout *layout;
	int (*each)(const void *object, void *arg);
	void *arg;
	int err;		/* the first; nothing is passed on after it */
	bool done;
};

static int on_object(struct nl_msg *msg, void *arg)
{
	_Alignas(uint64_t) char object[HDA_OBJECT_BYTES];
	struct exchange *exchange = arg;
	struct genlmsghdr *head = nlmsg_data(nlmsg_hdr(msg));

	/* What comes after an error is read, or it would answer the next question. */
	if (exchange->err || !exchange->layout)
		return NL_OK;
	memcpy(object, exchange->layout->blank, exchange->layout->bytes);
	exchange->err = hda_fill(exchange->layout, object,
				 genlmsg_attrdata(head, 0),
				 genlmsg_attrlen(head, 0));
	if (exchange->err)
		hda_fail(exchange->admin, exchange->err, NULL);
	else
		exchange->err = exchange->each(object, exchange->arg);
	return NL_OK;
}

/* The text among the attributes that follow an error, if there is one. */
static const char *error_text(const struct nlmsghdr *head, size_t skip)
{
	struct nlattr *text;

	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS) ||
	    nlmsg_datalen(head) <= (int)skip)
		return NULL;
	text = nla_find((struct nlattr *)((char *)nlmsg_data(head) + skip),
			nlmsg_datalen(head) - skip, NLMSGERR_ATTR_MSG);
	return text && nla_len(text) ? nla_get_string(text) : NULL;
}

static void end_exchange(struct exchange *exchange, int err,
			 const struct nlmsghdr *head, size_t skip)
{
	exchange->done = true;
	if (err && !exchange->err)
		exchange->err = hda_fail(exchange->admin, err,
					 error_text(head, skip));
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct nlmsghdr *head = (struct nlmsghdr *)((char *)error - NLMSG_HDRLEN);
	size_t skip = sizeof(*error);

	(void)from;
	if (!(head->nlmsg_flags & NLM_F_CAPPED))
		skip += error->msg.nlmsg_len - NLMSG_HDRLEN;
	end_exchange(arg, error->error, head, skip);
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	(void)msg;
	end_exchange(arg, 0, NULL, 0);
	return NL_STOP;
}

/* The end of a list, which may be a premature one. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *head = nlmsg_hdr(msg);
	int err = 0;

	if (nlmsg_datalen(head) >= (int)sizeof(err))
		memcpy(&err, nlmsg_data(head), sizeof(err));
	end_exchange(arg, err, head, sizeof(err));
	return NL_STOP;
}

/*
 * Something came or went while it was listed. What was there all the time is in
 * the list exactly once, so there is nothing to do.
 */
static int on_interrupted(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

static struct nl_cb *exchange_callbacks(struct exchange *exchange,
					struct nl_sock *sock)
{
	struct nl_cb *of_sock = nl_socket_get_cb(sock);
	struct nl_cb *cb = nl_cb_clone(of_sock);

	nl_cb_put(of_sock);
	if (!cb)
		return NULL;
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_object, exchange);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, exchange);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, exchange);
	nl_cb_set(cb, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_interrupted, exchange);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, exchange);
	return cb;
}

struct nl_msg *hda_question(struct heapdev_admin *admin, int command, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, admin->family, 0,
				flags, command, PRIVHEAP_FAMILY_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int exchange_run(struct exchange *exchange, struct nl_sock *sock,
			struct nl_msg *msg, struct nl_cb *cb)
{
	int err;

	err = nl_send_auto(sock, msg);
	while (err >= 0 && !exchange->done)
		err = nl_recvmsgs(sock, cb);
	/* An error of the module is one of libnl as well, but a coarser one. */
	if (exchange->done)
		return exchange->err;
	return hda_fail(exchange->admin, hda_errno_of(err), nl_geterror(err));
}

int hda_ask_on(struct nl_sock *sock, struct heapdev_admin *admin,
	       struct nl_msg *msg, const struct hda_layout *layout,
	       int (*each)(const void *object, void *arg), void *arg)
{
	struct exchange exchange = {
		.admin = admin,
		.layout = layout,
		.each = each,
		.arg = arg,
	};
	struct nl_cb *cb = msg ? exchange_callbacks(&exchange, sock) : NULL;
	int err;

	admin->error[0] = '\0';
	err = cb ? exchange_run(&exchange, sock, msg, cb) :
		   hda_fail(admin, -ENOMEM, NULL);
	if (cb)
		nl_cb_put(cb);
	nlmsg_free(msg);
	return err;
}

int hda_ask(struct heapdev_admin *admin, struct nl_msg *msg,
	    const struct hda_layout *layout,
	    int (*each)(const void *object, void *arg), void *arg)
{
	return hda_ask_on(admin->sock, admin, msg, layout, each, arg);
}

struct only_answer {
	void *object;
	size_t bytes;
	bool found;
};

static int keep_answer(const void *object, void *arg)
{
	struct only_answer *answer = arg;

	memcpy(answer->object, object, answer->bytes);
	answer->found = true;
	return 0;
}

int hda_ask_one(struct heapdev_admin *admin, struct nl_msg *msg,
		const struct hda_layout *layout, const void **object)
{
	struct only_answer answer = {
		.object = admin->object,
		.bytes = layout->bytes,
	};
	int err;

	err = hda_ask(admin, msg, layout, keep_answer, &answer);
	if (err)
		return err;
	if (!answer.found)
		return hda_fail(admin, -EPROTO, NULL);
	*object = admin->object;
	return 0;
}
