// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may see and change what: users, namespaces, and sockets that were opened by
 * one and are used by another.
 *
 * Tests run in children that become an ordinary user.
 */
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "netlink_util.h"

#define USER	1000

/* Ends a child that found something wrong, with the line for who reads the log. */
static void check(bool right, unsigned int line)
{
	if (right)
		return;
	printf("# " __FILE__ ":%u: not so in the child\n", line);
	fflush(stdout);
	_exit(1);
}

#define CHECK(condition)	check(condition, __LINE__)

FIXTURE(access) {
	int fd;
	mode_t mode;
	struct heap heap;
	struct privheap_stat stat;
};

FIXTURE_SETUP(access)
{
	struct stat device;

	ASSERT_EQ(0, stat("/dev/privheap", &device));
	self->mode = device.st_mode & 07777;
	ASSERT_EQ(0, chmod("/dev/privheap", 0666));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 16 * MIB,
				 .limit_bytes = MIB));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->stat));
}

FIXTURE_TEARDOWN(access)
{
	EXPECT_HEAP_STAT(&self->stat, &self->heap);
	close(self->fd);
	chmod("/dev/privheap", self->mode);
}

/* What a child works with. */
struct world {
	__u64 foreign;		/* serial number of root's heap */
	pid_t foreign_pid;
	struct nl nl;
	int fd;
	struct heap heap;
	__u64 own;		/* serial number of @heap */
	int pipe[2];
};

typedef int child_test(struct world *world);

static int become_user(void)
{
	if (setgroups(0, NULL) || setresgid(USER, USER, USER) ||
	    setresuid(USER, USER, USER))
		return -errno;
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

static int make_heap(struct world *world)
{
	struct privheap_stat stat;
	int ret;

	world->fd = privheap_open();
	if (world->fd < 0)
		return world->fd;
	ret = heap_create(&world->heap, world->fd, .max_bytes = 16 * MIB,
			  .limit_bytes = MIB);
	if (!ret)
		ret = heap_stat(&world->heap, &stat);
	world->own = stat.out_serial;
	return ret;
}

/* Runs a test in a child; 0 if all was right. */
static int in_child(struct world *world, child_test *test)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(test(world));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define EXPECT_IN_CHILD(test) do {					\
	struct world world = {						\
		.foreign = self->stat.out_serial,			\
		.foreign_pid = getpid(),				\
	};								\
	EXPECT_EQ(0, in_child(&world, test));				\
} while (0)

static int get_heap(struct nl *nl, __u64 serial, struct nl_msg *answer)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_HEAP_GET, 0);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_SERIAL, serial);
	return nl_get(nl, &msg, answer);
}

static int see_heap(struct nl *nl, __u64 serial)
{
	struct nl_msg answer;

	return get_heap(nl, serial, &answer);
}

static int see_limit(struct nl *nl, __u32 scope, __u64 key)
{
	struct nl_msg msg, answer;

	nl_begin(nl, &msg, PRIVHEAP_CMD_LIMIT_GET, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, scope);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, key);
	return nl_get(nl, &msg, &answer);
}

static int set_hard(struct nl *nl, __u32 scope, __u64 key, __u64 bytes)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_LIMIT_SET, NLM_F_ACK);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, scope);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, key);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_HARD_BYTES, bytes);
	return nl_ask(nl, &msg, NULL, NULL);
}

static int set_policy(struct nl *nl, __u64 serial)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_HEAP_SET, NLM_F_ACK);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_SERIAL, serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_POLICY, PRIVHEAP_POLICY_PAGE);
	return nl_ask(nl, &msg, NULL, NULL);
}

static int inspect(struct nl *nl, __u8 cmd, __u64 serial)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, cmd, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_SERIAL, serial);
	return nl_ask(nl, &msg, NULL, NULL);
}

static int count_visit(const struct nl_msg *msg, void *arg)
{
	++*(int *)arg;
	return 0;
}

/* How many messages a list of heaps, or of limits, has; or an error. */
static int list(struct nl *nl, __u8 cmd)
{
	struct nl_msg msg;
	int ret, nr = 0;

	nl_begin(nl, &msg, cmd, NLM_F_DUMP);
	ret = nl_ask(nl, &msg, count_visit, &nr);
	return ret ?: nr;
}

static int user_sees_its_own(struct world *world)
{
	CHECK(!become_user());
	CHECK(!nl_open(&world->nl));
	CHECK(!make_heap(world));
	CHECK(see_heap(&world->nl, world->own) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_HEAP, world->own) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_PROCESS, getpid()) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_USER, USER) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_SYSTEM, 0) == 0);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_MAP_GET, world->own) == 0);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_FAULT_GET, world->own) == 0);
	CHECK(set_policy(&world->nl, world->own) == 0);

	CHECK(set_policy(&world->nl, world->foreign) == -ENOENT);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_FAULT_GET, world->foreign) ==
	      -ENOENT);
	CHECK(see_heap(&world->nl, world->foreign) == -ENOENT);
	CHECK(world->nl.bad_attr == NLMSG_LENGTH(GENL_HDRLEN));
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_HEAP, world->foreign) ==
	      -ENOENT);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_PROCESS,
			world->foreign_pid) == -ENOENT);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_USER, 0) == -ENOENT);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_MAP_GET, world->foreign) ==
	      -ENOENT);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_REGION_GET, world->foreign) ==
	      -ENOENT);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_CLASS_GET, world->foreign) ==
	      -ENOENT);

	CHECK(list(&world->nl, PRIVHEAP_CMD_HEAP_GET) == 1);
	/* Heap, process, user, and the system's. */
	CHECK(list(&world->nl, PRIVHEAP_CMD_LIMIT_GET) == 4);
	return 0;
}

TEST_F(access, user_sees_its_own)
{
	EXPECT_IN_CHILD(user_sees_its_own);
}

static int user_lowers_its_own(struct world *world)
{
	CHECK(!become_user());
	CHECK(!nl_open(&world->nl));
	CHECK(!make_heap(world));
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->own,
		       MIB / 2) == 0);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->own, MIB) ==
	      -EPERM);
	CHECK(world->nl.text[0]);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->own,
		       PRIVHEAP_LIMIT_NONE) == -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_PROCESS, getpid(), MIB) == 0);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_PROCESS, getpid(), 2 * MIB) ==
	      -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_USER, USER,
		       PRIVHEAP_LIMIT_NONE) == -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_SYSTEM, 0, 0) == -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->foreign, 0) ==
	      -ENOENT);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_USER, 0, 0) == -ENOENT);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_USER, USER + 1, 0) == -ENOENT);
	return 0;
}

TEST_F(access, user_lowers_its_own)
{
	EXPECT_IN_CHILD(user_lowers_its_own);
}

/* The rule of /proc/PID/maps. */
static int undumpable_hides(struct world *world)
{
	CHECK(!become_user());
	CHECK(!nl_open(&world->nl));
	CHECK(!make_heap(world));
	CHECK(!prctl(PR_SET_DUMPABLE, 0));
	CHECK(see_heap(&world->nl, world->own) == -ENOENT);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_MAP_GET, world->own) == -ENOENT);
	CHECK(list(&world->nl, PRIVHEAP_CMD_HEAP_GET) == 0);
	CHECK(!prctl(PR_SET_DUMPABLE, 1));
	CHECK(see_heap(&world->nl, world->own) == 0);
	return 0;
}

TEST_F(access, undumpable_hides)
{
	EXPECT_IN_CHILD(undumpable_hides);
}

static int no_event_waits(struct nl *nl)
{
	struct pollfd wait = { .fd = nl->fd, .events = POLLIN };

	return poll(&wait, 1, 0) == 0;
}

static int user_is_told_of_its_own(struct world *world)
{
	struct nl_msg msg;
	char byte = 0;

	CHECK(!become_user());
	CHECK(!nl_open(&world->nl));
	CHECK(setsockopt(world->nl.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
			 &world->nl.events, sizeof(__u32)) == -1 &&
	      errno == EPERM);
	nl_begin(&world->nl, &msg, PRIVHEAP_CMD_EVENT_SUBSCRIBE, NLM_F_ACK);
	CHECK(nl_ask(&world->nl, &msg, NULL, NULL) == 0);
	CHECK(write(world->pipe[1], &byte, 1) == 1);
	CHECK(read(world->pipe[1], &byte, 1) == 1);
	CHECK(no_event_waits(&world->nl));
	CHECK(!make_heap(world));
	CHECK(nl_receive(&world->nl, nl_visit_copy, &msg) == 0);
	CHECK(nl_number(msg.attrs[PRIVHEAP_A_EVENT_SEQ]) == 1);
	CHECK(no_event_waits(&world->nl));
	return 0;
}

TEST_F(access, user_is_told_of_its_own)
{
	struct world world = { .foreign = self->stat.out_serial };
	struct heap other = {};
	int status;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, world.pipe));
	pid = fork();
	if (!pid)
		_exit(user_is_told_of_its_own(&world));
	close(world.pipe[1]);
	ASSERT_EQ(1, read(world.pipe[0], &byte, 1));
	EXPECT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB));
	EXPECT_EQ(0, heap_destroy(&other));
	ASSERT_EQ(1, write(world.pipe[0], &byte, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	close(world.pipe[0]);
}

/* Root of a user namespace is not root, and sees ids as they are there. */
static int user_namespace_gives_nothing(struct world *world)
{
	struct nl_msg answer;

	CHECK(!become_user());
	CHECK(!make_heap(world));
	CHECK(!unshare(CLONE_NEWUSER));
	CHECK(!file_write("/proc/self/uid_map", "0 1000 1"));
	CHECK(getuid() == 0);
	CHECK(!prctl(PR_SET_DUMPABLE, 1));
	CHECK(!nl_open(&world->nl));
	CHECK(get_heap(&world->nl, world->own, &answer) == 0);
	CHECK(nl_number(answer.attrs[PRIVHEAP_A_HEAP_UID]) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_USER, 0) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_USER, USER) == -ENOENT);
	CHECK(see_heap(&world->nl, world->foreign) == -ENOENT);
	CHECK(list(&world->nl, PRIVHEAP_CMD_HEAP_GET) == 1);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->own, 2 * MIB) ==
	      -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_USER, 0,
		       PRIVHEAP_LIMIT_NONE) == -EPERM);
	CHECK(setsockopt(world->nl.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
			 &world->nl.events, sizeof(__u32)) == -1 &&
	      errno == EPERM);
	return 0;
}

TEST_F(access, user_namespace_gives_nothing)
{
	EXPECT_IN_CHILD(user_namespace_gives_nothing);
}

static int no_family_in_a_net_namespace(struct world *world)
{
	CHECK(!unshare(CLONE_NEWNET));
	CHECK(nl_open(&world->nl) == -ENOENT);
	return 0;
}

static int no_family_for_a_user_either(struct world *world)
{
	CHECK(!become_user());
	CHECK(!unshare(CLONE_NEWUSER | CLONE_NEWNET));
	CHECK(nl_open(&world->nl) == -ENOENT);
	return 0;
}

TEST_F(access, no_family_in_a_net_namespace)
{
	EXPECT_IN_CHILD(no_family_in_a_net_namespace);
	EXPECT_IN_CHILD(no_family_for_a_user_either);
}

/* Who is handed a user's socket does not lend it what it may itself. */
static int root_with_a_users_socket(struct world *world)
{
	struct nl_msg msg;

	CHECK(!seteuid(USER));
	CHECK(!nl_open(&world->nl));
	CHECK(!seteuid(0));
	CHECK(see_heap(&world->nl, world->foreign) == -ENOENT);
	CHECK(list(&world->nl, PRIVHEAP_CMD_HEAP_GET) == 0);
	CHECK(see_limit(&world->nl, PRIVHEAP_SCOPE_USER, 0) == -ENOENT);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->foreign, 0) ==
	      -ENOENT);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_SYSTEM, 0, 0) == -EPERM);
	nl_begin(&world->nl, &msg, PRIVHEAP_CMD_EVENT_SUBSCRIBE, NLM_F_ACK);
	CHECK(nl_ask(&world->nl, &msg, NULL, NULL) == 0);
	CHECK(!make_heap(world));
	CHECK(no_event_waits(&world->nl));
	return 0;
}

/* And a socket that root opened lends nothing to a user. */
static int user_with_roots_socket(struct world *world)
{
	CHECK(!nl_open(&world->nl));
	CHECK(!become_user());
	CHECK(!make_heap(world));
	CHECK(see_heap(&world->nl, world->own) == 0);
	CHECK(see_heap(&world->nl, world->foreign) == -ENOENT);
	CHECK(list(&world->nl, PRIVHEAP_CMD_HEAP_GET) == 1);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->own, 2 * MIB) ==
	      -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_SYSTEM, 0, 0) == -EPERM);
	return 0;
}

TEST_F(access, passed_socket)
{
	EXPECT_IN_CHILD(root_with_a_users_socket);
	EXPECT_IN_CHILD(user_with_roots_socket);
}

/* Keeps one capability of root's. */
static int become_user_with(int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	data[0].permitted = 1U << capability;
	data[0].effective = 1U << capability;
	if (prctl(PR_SET_KEEPCAPS, 1) || become_user() ||
	    syscall(SYS_capset, &head, data))
		return -errno;
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

static int set_idle(struct nl *nl, __u64 serial)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_HEAP_SET, NLM_F_ACK);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_SERIAL, serial);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, MIB);
	return nl_ask(nl, &msg, NULL, NULL);
}

static int tracer_looks_and_sets_nothing(struct world *world)
{
	CHECK(!become_user_with(CAP_SYS_PTRACE));
	CHECK(!nl_open(&world->nl));
	CHECK(see_heap(&world->nl, world->foreign) == 0);
	CHECK(inspect(&world->nl, PRIVHEAP_CMD_MAP_GET, world->foreign) == 0);
	CHECK(set_idle(&world->nl, world->foreign) == -EPERM);
	CHECK(world->nl.text[0]);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->foreign, 0) == -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_PROCESS, world->foreign_pid, 0) ==
	      -EPERM);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_SYSTEM, 0, 0) == -EPERM);
	return 0;
}

/* It cannot change what it does not see. */
static int limiter_sees_nothing(struct world *world)
{
	CHECK(!become_user_with(CAP_SYS_RESOURCE));
	CHECK(!nl_open(&world->nl));
	CHECK(see_heap(&world->nl, world->foreign) == -ENOENT);
	CHECK(set_idle(&world->nl, world->foreign) == -ENOENT);
	CHECK(set_hard(&world->nl, PRIVHEAP_SCOPE_HEAP, world->foreign, 0) == -ENOENT);
	return 0;
}

TEST_F(access, one_capability)
{
	EXPECT_IN_CHILD(tracer_looks_and_sets_nothing);
	EXPECT_IN_CHILD(limiter_sees_nothing);
}

static int user_has_a_heap(struct world *world)
{
	CHECK(!become_user());
	CHECK(!make_heap(world));
	CHECK(write(world->pipe[1], &world->own, sizeof(world->own)) ==
	      sizeof(world->own));
	CHECK(read(world->pipe[1], &world->own, 1) == 1);
	return 0;
}

TEST_F(access, root_sees_and_sets_all)
{
	struct world world = { .foreign = self->stat.out_serial };
	struct nl_msg answer;
	__u64 serial;
	int status;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, world.pipe));
	pid = fork();
	if (!pid)
		_exit(user_has_a_heap(&world));
	close(world.pipe[1]);
	ASSERT_EQ(sizeof(serial), read(world.pipe[0], &serial, sizeof(serial)));
	ASSERT_EQ(0, nl_open(&world.nl));
	ASSERT_EQ(0, get_heap(&world.nl, serial, &answer));
	EXPECT_EQ(USER, nl_number(answer.attrs[PRIVHEAP_A_HEAP_UID]));
	EXPECT_EQ(pid, nl_number(answer.attrs[PRIVHEAP_A_HEAP_PID]));
	EXPECT_EQ(0, set_hard(&world.nl, PRIVHEAP_SCOPE_HEAP, serial, 4 * MIB));
	EXPECT_EQ(0, set_hard(&world.nl, PRIVHEAP_SCOPE_PROCESS, pid, 4 * MIB));
	EXPECT_EQ(0, inspect(&world.nl, PRIVHEAP_CMD_MAP_GET, serial));
	ASSERT_EQ(1, write(world.pipe[0], &serial, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	EXPECT_EQ(-ENOENT, see_heap(&world.nl, serial));
	nl_close(&world.nl);
	close(world.pipe[0]);
}

TEST_HARNESS_MAIN
