// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module comes and goes: what it leaves, what it takes from its parameters, and
 * what becomes of it when it cannot be loaded.
 *
 * Needs the file of the module in $PRIVHEAP_MODULE, which selftests/vm/run gives.
 */
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "netlink_util.h"

#define PARAMETERS	"/sys/module/privheap/parameters/"

static int load(const char *parameters)
{
	int fd = open(getenv("PRIVHEAP_MODULE"), O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* The last uses may go in the background. */
static int unload(void)
{
	if (!eventually(!module_refs()))
		return -EBUSY;
	return syscall(SYS_delete_module, "privheap", O_NONBLOCK) ? -errno : 0;
}

static bool is_there(void)
{
	return !access("/dev/privheap", F_OK) || !access(PARAMETERS, F_OK);
}

FIXTURE(load) {
};

FIXTURE_SETUP(load)
{
	ASSERT_NE(NULL, getenv("PRIVHEAP_MODULE"));
	ASSERT_EQ(0, unload());
}

FIXTURE_TEARDOWN(load)
{
	if (is_there()) {
		EXPECT_EQ(0, unload());
	}
	EXPECT_EQ(0, load(""));
}

TEST_F(load, nothing_is_left)
{
	struct nl nl;

	EXPECT_FALSE(is_there());
	EXPECT_EQ(-ENOENT, nl_open(&nl));
}

TEST_F(load, again)
{
	struct privheap_stat stat;
	struct heap heap;
	struct nl nl;
	int i, fd;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, load(""));
		EXPECT_EQ(-EEXIST, load(""));
		fd = privheap_open();
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, heap_create(&heap, fd));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(1, stat.out_serial);
		EXPECT_EQ(0, heap_check_works(&heap));
		EXPECT_EQ(0, nl_open(&nl));
		nl_close(&nl);
		EXPECT_EQ(-1, syscall(SYS_delete_module, "privheap", O_NONBLOCK));
		EXPECT_EQ(EWOULDBLOCK, errno);
		close(fd);
		ASSERT_EQ(0, unload());
	}
}

TEST_F(load, limit_of_user_was_changed)
{
	struct nl_msg msg;
	struct nl nl;

	ASSERT_EQ(0, load(""));
	ASSERT_EQ(0, nl_open(&nl));
	nl_begin(&nl, &msg, PRIVHEAP_CMD_LIMIT_SET, NLM_F_ACK);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_USER);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, 1234);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_HARD_BYTES, MIB);
	ASSERT_EQ(0, nl_ask(&nl, &msg, NULL, NULL));
	nl_close(&nl);
}

TEST_F(load, with_parameters)
{
	struct privheap_stat state;
	struct heap heap;
	struct stat node;
	char text[16];
	int fd;

	ASSERT_EQ(0, load("mode=0640 policy=page recycle_kib=4 wave_kib=64 fault_times=1"));
	ASSERT_EQ(0, stat("/dev/privheap", &node));
	EXPECT_EQ(0640, node.st_mode & 07777);
	EXPECT_EQ(4, file_number(PARAMETERS "recycle_kib"));
	EXPECT_EQ(64, file_number(PARAMETERS "wave_kib"));
	EXPECT_LT(0, file_read(PARAMETERS "fault_times", text, sizeof(text)));
	EXPECT_STREQ("Y\n", text);
	fd = privheap_open();
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd));
	ASSERT_EQ(0, heap_stat(&heap, &state));
	EXPECT_EQ(PRIVHEAP_POLICY_PAGE, state.out_policy);
	EXPECT_EQ(0, heap_check_works(&heap));
	close(fd);
}

TEST_F(load, with_wrong_parameters)
{
	EXPECT_EQ(-EINVAL, load("policy=none"));
	EXPECT_FALSE(is_there());
	EXPECT_EQ(-EINVAL, load("fault_times=perhaps"));
	EXPECT_FALSE(is_there());
	EXPECT_EQ(-EINVAL, load("recycle_kib=-1"));
	EXPECT_FALSE(is_there());
}

TEST_HARNESS_MAIN
