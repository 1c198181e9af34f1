// SPDX-License-Identifier: GPL-2.0-only
/*
 * Malformed requests: each gets its errno and is told what is wrong with it, and
 * nothing changes.
 */
#include "kselftest_harness.h"
#include "netlink_util.h"

FIXTURE(policy) {
	struct nl nl;
	int fd;
	struct heap heap;
	struct privheap_stat stat;
	struct nl_msg msg;
};

static int get_limit(struct nl *nl, __u64 serial, struct nl_msg *answer)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_LIMIT_GET, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_HEAP);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, serial);
	return nl_get(nl, &msg, answer);
}

FIXTURE_SETUP(policy)
{
	ASSERT_EQ(0, nl_open(&self->nl));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 16 * MIB,
				 .initial_bytes = MIB, .limit_bytes = 8 * MIB));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->stat));
}

/* No test of this file changes the heap or its limits. */
FIXTURE_TEARDOWN(policy)
{
	struct nl_msg answer;

	EXPECT_HEAP_STAT(&self->stat, &self->heap);
	EXPECT_EQ(0, get_limit(&self->nl, self->stat.out_serial, &answer));
	EXPECT_EQ(8 * MIB,
		  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_HARD_BYTES]));
	EXPECT_EQ(PRIVHEAP_LIMIT_NONE,
		  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_SOFT_BYTES]));
	EXPECT_EQ(0, nl_number(answer.attrs[PRIVHEAP_A_LIMIT_GRACE_BYTES]));
	nl_close(&self->nl);
	close(self->fd);
}

/* A request with one attribute that is wrong. */
FIXTURE_VARIANT(policy) {
	__u8 cmd;
	__u16 flags;
	__u16 attr;
	__u16 len;
	__u64 value;
	int err;
	/* Beside a SCOPE and a KEY, or a SERIAL, that are right. */
	bool set;
};

#define BAD(name, command, flag, attribute, length, number, errno)	\
	FIXTURE_VARIANT_ADD(policy, name) {				\
		.cmd = PRIVHEAP_CMD_##command,				\
		.flags = flag,						\
		.attr = attribute,					\
		.len = length,						\
		.value = number,					\
		.err = errno,						\
	}

#define BAD_SET(name, attribute, length, number, errno)			\
	FIXTURE_VARIANT_ADD(policy, name) {				\
		.cmd = PRIVHEAP_CMD_LIMIT_SET,				\
		.attr = attribute,					\
		.len = length,						\
		.value = number,					\
		.err = errno,						\
		.set = true,						\
	}

/* Beside the SERIAL of a heap. */
#define BAD_HEAP(name, attribute, length, number, errno)		\
	FIXTURE_VARIANT_ADD(policy, name) {				\
		.cmd = PRIVHEAP_CMD_HEAP_SET,				\
		.attr = attribute,					\
		.len = length,						\
		.value = number,					\
		.err = errno,						\
		.set = true,						\
	}

BAD(heap_get_unknown, HEAP_GET, 0, PRIVHEAP_A_HEAP_MAX + 1, 8, 1, -EINVAL);
BAD(heap_get_answer, HEAP_GET, 0, PRIVHEAP_A_HEAP_BASE, 8, 1, -EINVAL);
BAD(heap_get_pad, HEAP_GET, 0, PRIVHEAP_A_HEAP_PAD, 0, 0, -EINVAL);
BAD(heap_get_short, HEAP_GET, 0, PRIVHEAP_A_HEAP_SERIAL, 4, 1, -EINVAL);
BAD(heap_get_zero, HEAP_GET, 0, PRIVHEAP_A_HEAP_SERIAL, 8, 0, -ERANGE);
BAD(heap_get_none, HEAP_GET, 0, PRIVHEAP_A_HEAP_SERIAL, 8, ~0ULL, -ENOENT);
BAD(heap_get_filter, HEAP_GET, 0, PRIVHEAP_A_HEAP_UID, 4, 0, -EINVAL);
BAD(heap_list_unknown, HEAP_GET, NLM_F_DUMP, PRIVHEAP_A_HEAP_MAX + 1, 8, 1, -EINVAL);
BAD(heap_list_short, HEAP_GET, NLM_F_DUMP, PRIVHEAP_A_HEAP_SERIAL, 4, 1, -EINVAL);
BAD(heap_list_pid_zero, HEAP_GET, NLM_F_DUMP, PRIVHEAP_A_HEAP_PID, 4, 0, -ERANGE);
BAD(heap_list_pid_large, HEAP_GET, NLM_F_DUMP, PRIVHEAP_A_HEAP_PID, 4, 1U << 31, -ERANGE);
BAD(heap_list_pid_none, HEAP_GET, NLM_F_DUMP, PRIVHEAP_A_HEAP_PID, 4, INT_MAX, -ENOENT);
BAD(heap_list_uid_none, HEAP_GET, NLM_F_DUMP, PRIVHEAP_A_HEAP_UID, 4, ~0U, -ENOENT);
BAD_HEAP(heap_set_nothing, PRIVHEAP_A_HEAP_INJECT_SEED, 8, 1, -EINVAL);
BAD_HEAP(heap_set_unknown, PRIVHEAP_A_HEAP_MAX + 1, 8, 1, -EINVAL);
BAD_HEAP(heap_set_answer, PRIVHEAP_A_HEAP_NR_INJECTED, 8, 1, -EINVAL);
BAD_HEAP(heap_set_policy_none, PRIVHEAP_A_HEAP_POLICY, 4, PRIVHEAP_POLICY_HUGE + 1, -ERANGE);
BAD_HEAP(heap_set_policy_huge, PRIVHEAP_A_HEAP_POLICY, 4, PRIVHEAP_POLICY_HUGE, -EOPNOTSUPP);
BAD_HEAP(heap_set_policy_short, PRIVHEAP_A_HEAP_POLICY, 2, 1, -EINVAL);
BAD_HEAP(heap_set_window_odd, PRIVHEAP_A_HEAP_WINDOW_PAGES, 4, 3, -EINVAL);
BAD_HEAP(heap_set_window_long, PRIVHEAP_A_HEAP_WINDOW_PAGES, 4, 1 << 20, -EINVAL);
BAD_HEAP(heap_set_idle_short, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, 4, 0, -EINVAL);
BAD_HEAP(heap_set_idle_large, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, 8, ~0ULL, -EOVERFLOW);
BAD_HEAP(heap_set_rate_large, PRIVHEAP_A_HEAP_INJECT_RATE_PPM, 4, 1000001, -ERANGE);
BAD(heap_set_no_serial, HEAP_SET, 0, PRIVHEAP_A_HEAP_POLICY, 4, 1, -EINVAL);
BAD(heap_set_none, HEAP_SET, 0, PRIVHEAP_A_HEAP_SERIAL, 8, ~0ULL, -ENOENT);
BAD(heap_set_with_list, HEAP_SET, NLM_F_DUMP, PRIVHEAP_A_HEAP_SERIAL, 8, 1, -EOPNOTSUPP);
BAD(fault_no_serial, FAULT_GET, NLM_F_DUMP, PRIVHEAP_A_FAULT_ORDER, 4, 1, -EINVAL);
BAD(fault_none, FAULT_GET, NLM_F_DUMP, PRIVHEAP_A_FAULT_SERIAL, 8, ~0ULL, -ENOENT);
BAD(fault_without_list, FAULT_GET, 0, PRIVHEAP_A_FAULT_SERIAL, 8, 1, -EOPNOTSUPP);
BAD(limit_get_scope_zero, LIMIT_GET, 0, PRIVHEAP_A_LIMIT_SCOPE, 4, 0, -ERANGE);
BAD(limit_get_scope_large, LIMIT_GET, 0, PRIVHEAP_A_LIMIT_SCOPE, 4, PRIVHEAP_SCOPE_CGROUP + 1, -ERANGE);
BAD(limit_get_no_key, LIMIT_GET, 0, PRIVHEAP_A_LIMIT_SCOPE, 4, PRIVHEAP_SCOPE_SYSTEM, -EINVAL);
BAD(limit_get_set, LIMIT_GET, 0, PRIVHEAP_A_LIMIT_HARD_BYTES, 8, 0, -EINVAL);
BAD(limit_list_key, LIMIT_GET, NLM_F_DUMP, PRIVHEAP_A_LIMIT_KEY, 8, 0, -EINVAL);
BAD(limit_set_nothing_named, LIMIT_SET, 0, PRIVHEAP_A_LIMIT_HARD_BYTES, 8, 0, -EINVAL);
BAD_SET(limit_set_nothing, PRIVHEAP_A_LIMIT_SCOPE, 4, PRIVHEAP_SCOPE_HEAP, -EINVAL);
BAD_SET(limit_set_usage, PRIVHEAP_A_LIMIT_USAGE_BYTES, 8, 0, -EINVAL);
BAD_SET(limit_set_short, PRIVHEAP_A_LIMIT_HARD_BYTES, 4, 0, -EINVAL);
BAD_SET(limit_set_reset_long, PRIVHEAP_A_LIMIT_RESET, 4, 0, -ERANGE);
BAD_SET(limit_set_soft_above_hard, PRIVHEAP_A_LIMIT_SOFT_BYTES, 8, 9 * MIB, -EINVAL);
BAD_SET(limit_set_grace_above_hard, PRIVHEAP_A_LIMIT_GRACE_BYTES, 8, 9 * MIB, -EINVAL);
BAD_SET(limit_set_grace_endless, PRIVHEAP_A_LIMIT_GRACE_BYTES, 8, ~0ULL, -EINVAL);
BAD(map_serial_short, MAP_GET, NLM_F_DUMP, PRIVHEAP_A_MAP_SERIAL, 4, 1, -EINVAL);
BAD(map_no_serial, MAP_GET, NLM_F_DUMP, PRIVHEAP_A_MAP_START, 8, 0, -EINVAL);
BAD(map_answer, MAP_GET, NLM_F_DUMP, PRIVHEAP_A_MAP_STATE, 4, 1, -EINVAL);
BAD(region_none, REGION_GET, NLM_F_DUMP, PRIVHEAP_A_REGION_SERIAL, 8, ~0ULL, -ENOENT);
BAD(class_unknown, CLASS_GET, NLM_F_DUMP, PRIVHEAP_A_CLASS_MAX + 1, 0, 0, -EINVAL);
BAD(subscribe_attribute, EVENT_SUBSCRIBE, 0, PRIVHEAP_A_EVENT_SEQ, 8, 0, -EINVAL);
BAD(map_without_list, MAP_GET, 0, PRIVHEAP_A_MAP_SERIAL, 8, 1, -EOPNOTSUPP);
BAD(set_with_list, LIMIT_SET, NLM_F_DUMP, PRIVHEAP_A_LIMIT_RESET, 0, 0, -EOPNOTSUPP);
BAD(event_from_outside, EVENT, 0, PRIVHEAP_A_EVENT_SEQ, 8, 0, -EOPNOTSUPP);
BAD(no_such_command, MAX + 1, 0, 1, 8, 0, -EOPNOTSUPP);

TEST_F(policy, refused)
{
	struct nl *nl = &self->nl;
	struct nl_msg *msg = &self->msg;

	nl_begin(nl, msg, variant->cmd, NLM_F_ACK | variant->flags);
	if (variant->set && variant->cmd == PRIVHEAP_CMD_HEAP_SET) {
		nl_add_u64(msg, PRIVHEAP_A_HEAP_SERIAL, self->stat.out_serial);
	} else if (variant->set) {
		nl_add_u32(msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_HEAP);
		nl_add_u64(msg, PRIVHEAP_A_LIMIT_KEY, self->stat.out_serial);
	}
	nl_add(msg, variant->attr, &variant->value, variant->len);
	EXPECT_EQ(variant->err, nl_ask(nl, msg, NULL, NULL));
	/* 6.1 loses the text of a list that does not begin. */
	if (variant->err != -EOPNOTSUPP && !(variant->flags & NLM_F_DUMP))
		EXPECT_NE('\0', nl->text[0]);
}

TEST_HARNESS_MAIN
