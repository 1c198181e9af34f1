// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages that are cut off, too long or put together wrongly: they are refused,
 * and the socket goes on working.
 */
#include "kselftest_harness.h"
#include "netlink_util.h"

FIXTURE(message) {
	struct nl nl;
	int fd;
	struct heap heap;
	struct privheap_stat stat;
	struct nl_msg msg;
	struct nlattr *attr;
};

/* Begins with a request for a heap that is right. */
FIXTURE_SETUP(message)
{
	ASSERT_EQ(0, nl_open(&self->nl));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->stat));
	nl_begin(&self->nl, &self->msg, PRIVHEAP_CMD_HEAP_GET, 0);
	self->attr = (void *)(self->msg.bytes + self->msg.head.nlmsg_len);
	nl_add_u64(&self->msg, PRIVHEAP_A_HEAP_SERIAL, self->stat.out_serial);
}

FIXTURE_TEARDOWN(message)
{
	struct nl_msg answer;

	nl_begin(&self->nl, &self->msg, PRIVHEAP_CMD_HEAP_GET, 0);
	nl_add_u64(&self->msg, PRIVHEAP_A_HEAP_SERIAL, self->stat.out_serial);
	EXPECT_EQ(0, nl_get(&self->nl, &self->msg, &answer));
	EXPECT_EQ(self->heap.id,
		  nl_number(answer.attrs[PRIVHEAP_A_HEAP_ID]));
	nl_close(&self->nl);
	close(self->fd);
}

static int ask(struct nl *nl, const struct nl_msg *msg)
{
	struct nl_msg answer;

	return nl_get(nl, msg, &answer);
}

TEST_F(message, without_a_family_header)
{
	self->msg.head.nlmsg_len = NLMSG_LENGTH(2);
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
	self->msg.head.nlmsg_len = NLMSG_LENGTH(0);
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
}

TEST_F(message, attribute_cut_off)
{
	self->msg.head.nlmsg_len -= 4;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
	self->msg.head.nlmsg_len -= 6;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
}

TEST_F(message, attribute_shorter_than_its_head)
{
	self->attr->nla_len = 3;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
	self->attr->nla_len = 0;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
}

TEST_F(message, attribute_longer_than_the_message)
{
	self->attr->nla_len = 0xffff;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
}

TEST_F(message, bytes_behind_the_attributes)
{
	self->msg.head.nlmsg_len += 3;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
}

TEST_F(message, attribute_far_too_long)
{
	static struct {
		struct nlmsghdr nlh;
		struct genlmsghdr genl;
		struct nlattr attr;
		char bytes[60000];
	} big;

	memcpy(&big, &self->msg, sizeof(big.nlh) + sizeof(big.genl));
	big.nlh.nlmsg_len = sizeof(big);
	big.attr.nla_len = NLA_HDRLEN + sizeof(big.bytes);
	big.attr.nla_type = PRIVHEAP_A_HEAP_SERIAL;
	ASSERT_EQ(sizeof(big), send(self->nl.fd, &big, sizeof(big), 0));
	EXPECT_EQ(-EINVAL, nl_receive(&self->nl, NULL, NULL));
}

/* What is not there in full is not answered at all. */
TEST_F(message, longer_than_what_was_sent)
{
	__u32 len = self->msg.head.nlmsg_len;

	self->msg.head.nlmsg_len = len + 100;
	ASSERT_EQ(len, send(self->nl.fd, &self->msg, len, 0));
}

TEST_F(message, reserved_bits)
{
	self->msg.genl.reserved = 1;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
	self->msg.genl.reserved = 0;
	self->msg.head.nlmsg_flags |= NLM_F_EXCL;
	EXPECT_EQ(-EINVAL, ask(&self->nl, &self->msg));
}

TEST_F(message, attribute_twice)
{
	nl_add_u64(&self->msg, PRIVHEAP_A_HEAP_SERIAL, ~0ULL);
	EXPECT_EQ(-ENOENT, ask(&self->nl, &self->msg));
}

TEST_HARNESS_MAIN
