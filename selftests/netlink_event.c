// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: each is sent once, to those who may see it, and nobody waits for who
 * does not read.
 */
#include <poll.h>
#include <time.h>

#include "kselftest_harness.h"
#include "netlink_util.h"

FIXTURE(event) {
	struct nl nl;
	int fd;
	__u64 seq;
};

static int subscribe(struct nl *nl)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_EVENT_SUBSCRIBE, NLM_F_ACK);
	return nl_ask(nl, &msg, NULL, NULL);
}

FIXTURE_SETUP(event)
{
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, subscribe(&self->nl));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(event)
{
	nl_close(&self->nl);
	close(self->fd);
}

/* An event, taken apart. */
struct event {
	struct nl_msg msg;
	const struct nlattr *heap[NL_MAX_ATTRS];
	const struct nlattr *limit[NL_MAX_ATTRS];
	__u64 kind;
	__u64 seq;
};

static bool event_is_waiting(struct nl *nl)
{
	struct pollfd wait = { .fd = nl->fd, .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

/* Events are there when the operation that made them has returned. */
static int event_read(struct nl *nl, struct event *event)
{
	const struct nlattr **attrs = event->msg.attrs;
	int ret;

	if (!event_is_waiting(nl))
		return -EAGAIN;
	ret = nl_receive(nl, nl_visit_copy, &event->msg);
	if (ret)
		return ret;
	if (event->msg.genl.cmd != PRIVHEAP_CMD_EVENT)
		return -EPROTO;
	memset(event->heap, 0, sizeof(event->heap));
	memset(event->limit, 0, sizeof(event->limit));
	if (attrs[PRIVHEAP_A_EVENT_HEAP] &&
	    !nl_sort_nest(attrs[PRIVHEAP_A_EVENT_HEAP], event->heap))
		return -EPROTO;
	if (attrs[PRIVHEAP_A_EVENT_LIMIT] &&
	    !nl_sort_nest(attrs[PRIVHEAP_A_EVENT_LIMIT], event->limit))
		return -EPROTO;
	event->kind = nl_number(attrs[PRIVHEAP_A_EVENT_KIND]);
	event->seq = nl_number(attrs[PRIVHEAP_A_EVENT_SEQ]);
	return 0;
}

#define EVENT_NUMBER(event, name) \
	nl_number((event)->msg.attrs[PRIVHEAP_A_EVENT_##name])

/* Reads the next event, which must be of a kind and follow the last one. */
#define ASSERT_EVENT(expected, event) do {				\
	ASSERT_EQ(0, event_read(&self->nl, event));			\
	ASSERT_EQ(expected, (event)->kind);				\
	ASSERT_EQ(++self->seq, (event)->seq);				\
} while (0)

TEST_F(event, heap_created_and_destroyed)
{
	struct privheap_stat stat;
	struct timespec now;
	struct event event;
	struct heap heap;
	__u64 time_ns;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_CREATED, &event);
	EXPECT_EQ(getpid(), EVENT_NUMBER(&event, PID));
	EXPECT_EQ(getuid(), EVENT_NUMBER(&event, UID));
	EXPECT_EQ(stat.out_serial, nl_number(event.heap[PRIVHEAP_A_HEAP_SERIAL]));
	EXPECT_EQ(heap.id, nl_number(event.heap[PRIVHEAP_A_HEAP_ID]));
	EXPECT_EQ(MIB, nl_number(event.heap[PRIVHEAP_A_HEAP_MAX_BYTES]));
	clock_gettime(CLOCK_REALTIME, &now);
	time_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	EXPECT_GE(time_ns, EVENT_NUMBER(&event, TIME_NS));
	EXPECT_LT(time_ns - 600 * 1000000000ULL, EVENT_NUMBER(&event, TIME_NS));

	ASSERT_EQ(0, heap_destroy(&heap));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_DESTROYED, &event);
	EXPECT_EQ(stat.out_serial, nl_number(event.heap[PRIVHEAP_A_HEAP_SERIAL]));

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_CREATED, &event);
	close(self->fd);
	self->fd = -1;
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_DESTROYED, &event);
	EXPECT_EQ(-EAGAIN, event_read(&self->nl, &event));
}

TEST_F(event, create_refused)
{
	struct event event;
	struct heap heap;

	EXPECT_EQ(-EDQUOT, heap_create(&heap, self->fd, .max_bytes = MIB,
				       .initial_bytes = MIB, .limit_bytes = 4096));
	ASSERT_EVENT(PRIVHEAP_EVENT_LIMIT_HIT, &event);
	EXPECT_EQ(NULL, event.msg.attrs[PRIVHEAP_A_EVENT_HEAP]);
	EXPECT_EQ(getpid(), EVENT_NUMBER(&event, PID));
	EXPECT_EQ(-EAGAIN, event_read(&self->nl, &event));
}

TEST_F(event, limit_hit)
{
	struct event event;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB,
				 .limit_bytes = MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_CREATED, &event);
	ASSERT_EQ(-EDQUOT, block_alloc(&heap, 2 * MIB, &block));
	ASSERT_EVENT(PRIVHEAP_EVENT_LIMIT_HIT, &event);
	EXPECT_EQ(heap.id, nl_number(event.heap[PRIVHEAP_A_HEAP_ID]));
	EXPECT_EQ(PRIVHEAP_SCOPE_HEAP,
		  nl_number(event.limit[PRIVHEAP_A_LIMIT_SCOPE]));
	EXPECT_EQ(MIB, nl_number(event.limit[PRIVHEAP_A_LIMIT_HARD_BYTES]));
	EXPECT_EQ(1, nl_number(event.limit[PRIVHEAP_A_LIMIT_NR_FAILURES]));
	EXPECT_EQ(-EAGAIN, event_read(&self->nl, &event));
}

static int set_limit(struct nl *nl, __u64 serial, int attr, __u64 value)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_LIMIT_SET, NLM_F_ACK);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_HEAP);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, serial);
	nl_add_u64(&msg, attr, value);
	return nl_ask(nl, &msg, NULL, NULL);
}

TEST_F(event, limit_changed_and_soft_limit)
{
	struct event event;
	struct heap heap;
	struct nl other;
	__u64 serial;
	char *block;

	ASSERT_EQ(0, nl_open(&other));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 16 * MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_CREATED, &event);
	serial = nl_number(event.heap[PRIVHEAP_A_HEAP_SERIAL]);
	ASSERT_EQ(0, set_limit(&other, serial, PRIVHEAP_A_LIMIT_SOFT_BYTES, MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_LIMIT_CHANGED, &event);
	EXPECT_EQ(serial, nl_number(event.limit[PRIVHEAP_A_LIMIT_KEY]));
	EXPECT_EQ(MIB, nl_number(event.limit[PRIVHEAP_A_LIMIT_SOFT_BYTES]));
	ASSERT_EQ(0, block_alloc(&heap, 2 * MIB, &block));
	ASSERT_EVENT(PRIVHEAP_EVENT_SOFT_LIMIT, &event);
	EXPECT_EQ(serial, nl_number(event.heap[PRIVHEAP_A_HEAP_SERIAL]));
	EXPECT_EQ(serial, nl_number(event.limit[PRIVHEAP_A_LIMIT_KEY]));
	EXPECT_EQ(1, nl_number(event.limit[PRIVHEAP_A_LIMIT_NR_SOFT_HITS]));
	/* A refusal changes nothing and tells nothing. */
	EXPECT_EQ(0, set_limit(&other, serial, PRIVHEAP_A_LIMIT_HARD_BYTES, 4 * MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_LIMIT_CHANGED, &event);
	EXPECT_EQ(-EINVAL, set_limit(&other, serial,
				     PRIVHEAP_A_LIMIT_SOFT_BYTES, 5 * MIB));
	EXPECT_EQ(-EAGAIN, event_read(&self->nl, &event));
	nl_close(&other);
}

TEST_F(event, misuse)
{
	struct event event;
	struct heap heap, stale;
	int status;
	pid_t pid;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_CREATED, &event);

	ASSERT_EQ(-ENOENT, block_free(&heap, heap.base + 48));
	ASSERT_EVENT(PRIVHEAP_EVENT_MISUSE, &event);
	EXPECT_EQ(_IOC_NR(PRIVHEAP_IOC_FREE), EVENT_NUMBER(&event, CALL));
	EXPECT_EQ(ENOENT, EVENT_NUMBER(&event, ERRNO));
	EXPECT_EQ(heap.id, EVENT_NUMBER(&event, ID));
	EXPECT_EQ((uintptr_t)heap.base + 48, EVENT_NUMBER(&event, ADDR));
	EXPECT_EQ(heap.id, nl_number(event.heap[PRIVHEAP_A_HEAP_ID]));

	stale = heap;
	stale.id += 1ULL << 32;
	ASSERT_EQ(-ENXIO, heap_destroy(&stale));
	ASSERT_EVENT(PRIVHEAP_EVENT_MISUSE, &event);
	EXPECT_EQ(_IOC_NR(PRIVHEAP_IOC_DESTROY), EVENT_NUMBER(&event, CALL));
	EXPECT_EQ(ENXIO, EVENT_NUMBER(&event, ERRNO));
	EXPECT_EQ(stale.id, EVENT_NUMBER(&event, ID));
	EXPECT_EQ(NULL, event.msg.attrs[PRIVHEAP_A_EVENT_HEAP]);
	EXPECT_EQ(NULL, event.msg.attrs[PRIVHEAP_A_EVENT_ADDR]);

	pid = fork();
	if (!pid)
		_exit(heap_destroy(&heap) != -EPERM);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EVENT(PRIVHEAP_EVENT_MISUSE, &event);
	EXPECT_EQ(EPERM, EVENT_NUMBER(&event, ERRNO));
	EXPECT_EQ(getpid(), EVENT_NUMBER(&event, PID));
	EXPECT_EQ(NULL, event.msg.attrs[PRIVHEAP_A_EVENT_ID]);
	EXPECT_EQ(-EAGAIN, event_read(&self->nl, &event));
}

/* However often a program does wrong, it does not drown what others are told. */
TEST_F(event, misuse_is_rationed)
{
	unsigned int i, nr_told = 0, nr_suppressed = 0;
	struct event event;
	struct heap heap;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EVENT(PRIVHEAP_EVENT_HEAP_CREATED, &event);
	/* Until the second is over. */
	for (i = 0; nr_suppressed < 10; i++) {
		ASSERT_EQ(-ENOENT, block_free(&heap, heap.base + 48));
		if (!event_is_waiting(&self->nl))
			continue;
		ASSERT_EVENT(PRIVHEAP_EVENT_MISUSE, &event);
		nr_told++;
		if (event.msg.attrs[PRIVHEAP_A_EVENT_NR_SUPPRESSED])
			nr_suppressed += EVENT_NUMBER(&event, NR_SUPPRESSED);
	}
	EXPECT_EQ(i, nr_told + nr_suppressed);
}

/* Who creates heaps, and destroys them at once, as fast as can be, neither. */
TEST_F(event, heaps_are_rationed)
{
	unsigned int i, nr_told = 0, nr_suppressed = 0;
	struct event event;
	struct heap heap;

	for (i = 0; nr_suppressed < 10; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		ASSERT_EQ(0, heap_destroy(&heap));
		while (event_is_waiting(&self->nl)) {
			ASSERT_EQ(0, event_read(&self->nl, &event));
			ASSERT_EQ(++self->seq, event.seq);
			if (event.kind != PRIVHEAP_EVENT_HEAP_CREATED)
				continue;
			nr_told++;
			if (event.msg.attrs[PRIVHEAP_A_EVENT_NR_SUPPRESSED])
				nr_suppressed += EVENT_NUMBER(&event, NR_SUPPRESSED);
		}
	}
	EXPECT_LE(100, nr_told);
	EXPECT_EQ(i, nr_told + nr_suppressed);
}

/* Each event goes through all subscriptions, while others wait. */
TEST_F(event, subscriptions_of_a_user_are_bounded)
{
	enum { NR = 128 };
	struct nl nl[NR];
	int i;

	for (i = 0; i < NR; i++) {
		ASSERT_EQ(0, nl_open(&nl[i]));
		ASSERT_EQ(i < NR - 1 ? 0 : -EMFILE, subscribe(&nl[i]));
	}
	EXPECT_NE('\0', nl[NR - 1].text[0]);
	nl_close(&nl[0]);
	EXPECT_TRUE(eventually(!subscribe(&nl[NR - 1])));
	for (i = 1; i < NR; i++)
		nl_close(&nl[i]);
}

TEST_F(event, subscribe_twice)
{
	EXPECT_EQ(-EEXIST, subscribe(&self->nl));
	EXPECT_NE('\0', self->nl.text[0]);
}

TEST_F(event, reader_that_does_not_read)
{
	unsigned int i, nr_lost = 0, nr_read = 0;
	struct event event;
	struct heap heap;
	int room = 16 * KIB;
	int ret;

	/* A few dozen events, so that fewer are enough than are rationed. */
	ASSERT_EQ(0, setsockopt(self->nl.fd, SOL_SOCKET, SO_RCVBUF, &room,
				sizeof(room)));
	for (i = 0; i < 99; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		ASSERT_EQ(0, heap_destroy(&heap));
	}
	EXPECT_EQ(-ENOBUFS, event_read(&self->nl, &event));
	while (!(ret = event_read(&self->nl, &event))) {
		nr_lost += event.seq - self->seq - 1;
		self->seq = event.seq;
		nr_read++;
	}
	EXPECT_EQ(-EAGAIN, ret);
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, event_read(&self->nl, &event));
	nr_lost += event.seq - self->seq - 1;
	EXPECT_EQ(199, event.seq);
	EXPECT_LT(0, nr_lost);
	EXPECT_EQ(198, nr_lost + nr_read);
}

TEST_F(event, group)
{
	struct event event;
	struct heap heap;
	struct nl group;
	__u64 seq;

	ASSERT_EQ(0, nl_open(&group));
	ASSERT_EQ(0, setsockopt(group.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
				&group.events, sizeof(group.events)));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, event_read(&group, &event));
	EXPECT_EQ(PRIVHEAP_EVENT_HEAP_CREATED, event.kind);
	seq = event.seq;
	ASSERT_EQ(0, heap_destroy(&heap));
	ASSERT_EQ(0, event_read(&group, &event));
	EXPECT_EQ(PRIVHEAP_EVENT_HEAP_DESTROYED, event.kind);
	EXPECT_EQ(seq + 1, event.seq);
	EXPECT_EQ(-EAGAIN, event_read(&group, &event));
	nl_close(&group);
}

/* The address of a socket that was closed is given to the next one. */
TEST_F(event, close_ends_the_subscription)
{
	struct event event;
	struct heap heap;
	int i;

	for (i = 0; i < 3; i++) {
		nl_close(&self->nl);
		ASSERT_EQ(0, nl_open(&self->nl));
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		EXPECT_EQ(-EAGAIN, event_read(&self->nl, &event));
		ASSERT_EQ(0, subscribe(&self->nl));
		ASSERT_EQ(0, heap_destroy(&heap));
		ASSERT_EQ(0, event_read(&self->nl, &event));
		EXPECT_EQ(1, event.seq);
	}
}

TEST_HARNESS_MAIN
