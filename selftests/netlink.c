// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink: heaps and limits seen and set from outside, what malformed requests
 * and those without a right get, and that nothing changes then.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "netlink_util.h"

FIXTURE(netlink) {
	struct nl nl;
	int fd;
	struct heap heap;
	struct privheap_stat stat;
};

FIXTURE_SETUP(netlink)
{
	ASSERT_EQ(0, nl_open(&self->nl));
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB,
				 .limit_bytes = MIB / 2));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->stat));
}

FIXTURE_TEARDOWN(netlink)
{
	nl_close(&self->nl);
	close(self->fd);
}

static int get_heap(struct nl *nl, __u64 serial, struct nl_msg *answer)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_HEAP_GET, 0);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_SERIAL, serial);
	return nl_get(nl, &msg, answer);
}

static int get_limit(struct nl *nl, __u32 scope, __u64 key,
		     struct nl_msg *answer)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_LIMIT_GET, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, scope);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, key);
	return nl_get(nl, &msg, answer);
}

/* Get */

TEST_F(netlink, get_heap)
{
	const struct nlattr *limit[NL_MAX_ATTRS];
	struct privheap_stat *stat = &self->stat;
	struct nl_msg answer;
	char comm[16] = "";
	char *block;
	int fd;

	ASSERT_EQ(0, block_alloc(&self->heap, 5000, &block));
	ASSERT_EQ(0, heap_stat(&self->heap, stat));
	ASSERT_EQ(0, get_heap(&self->nl, stat->out_serial, &answer));
#define EXPECT_ATTR(name, value) \
	EXPECT_EQ(value, nl_number(answer.attrs[PRIVHEAP_A_HEAP_##name]))
	EXPECT_ATTR(SERIAL, stat->out_serial);
	EXPECT_ATTR(ID, self->heap.id);
	EXPECT_ATTR(PID, getpid());
	EXPECT_ATTR(UID, getuid());
	EXPECT_ATTR(FLAGS, 0);
	EXPECT_ATTR(STATE, 0);
	EXPECT_ATTR(BASE, stat->out_base);
	EXPECT_ATTR(MAX_BYTES, stat->out_max_bytes);
	EXPECT_ATTR(RESERVED_BYTES, stat->out_reserved_bytes);
	EXPECT_ATTR(COMMITTED_BYTES, stat->out_committed_bytes);
	EXPECT_ATTR(RESIDENT_BYTES, stat->out_resident_bytes);
	EXPECT_ATTR(ALLOCATED_BYTES, 5000);
	EXPECT_ATTR(NR_BLOCKS, 1);
	EXPECT_ATTR(NR_REGIONS, 1);
	ASSERT_NE(NULL, answer.attrs[PRIVHEAP_A_HEAP_LIMIT]);
	ASSERT_TRUE(nl_sort_nest(answer.attrs[PRIVHEAP_A_HEAP_LIMIT], limit));
	EXPECT_EQ(MIB / 2, nl_number(limit[PRIVHEAP_A_LIMIT_HARD_BYTES]));
	fd = open("/proc/self/comm", O_RDONLY);
	ASSERT_LT(0, read(fd, comm, sizeof(comm)));
	close(fd);
	strtok(comm, "\n");
	EXPECT_STREQ(comm, nl_data(answer.attrs[PRIVHEAP_A_HEAP_COMM]));
}

/* A tenant's heap names the cgroup, whose node is that of all heaps there. */
TEST_F(netlink, get_heap_under_a_cgroup)
{
	struct privheap_stat stat;
	struct nl_msg answer;
	struct cgroup cgroup;
	struct stat directory;
	struct heap heap;
	int fd;

	ASSERT_EQ(0, get_heap(&self->nl, self->stat.out_serial, &answer));
	EXPECT_EQ(NULL, answer.attrs[PRIVHEAP_A_HEAP_CGROUP]);
	ASSERT_EQ(0, cgroup_create(&cgroup));
	fd = open(cgroup.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &directory));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB,
				 .flags = PRIVHEAP_CREATE_F_CGROUP,
				 .cgroup_fd = fd));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	ASSERT_EQ(0, get_heap(&self->nl, stat.out_serial, &answer));
	EXPECT_ATTR(CGROUP, directory.st_ino);
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_CGROUP,
			       directory.st_ino, &answer));
	EXPECT_EQ(directory.st_ino,
		  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_KEY]));
	EXPECT_LE(stat.out_committed_bytes,
		  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_USAGE_BYTES]));
	ASSERT_EQ(0, heap_destroy(&heap));
	EXPECT_EQ(-ENOENT, get_limit(&self->nl, PRIVHEAP_SCOPE_CGROUP,
				     directory.st_ino, &answer));
	close(fd);
	EXPECT_EQ(0, cgroup_destroy(&cgroup));
}

/* What is looked for in a list, and how often it was there. */
struct search {
	int attr;
	__u64 value;
	unsigned int nr_found;
	unsigned int nr_others;
	__u64 last;
	bool sorted;
};

static int search_visit(const struct nl_msg *msg, void *arg)
{
	struct search *search = arg;
	__u64 value = nl_number(msg->attrs[search->attr]);

	if (value == search->value)
		search->nr_found++;
	else
		search->nr_others++;
	if (value <= search->last)
		search->sorted = false;
	search->last = value;
	return 0;
}

/* Lists heaps, filtered by an attribute if that is not 0. */
static int list_heaps(struct nl *nl, int filter, __u64 value,
		      struct search *search)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_HEAP_GET, NLM_F_DUMP);
	if (filter == PRIVHEAP_A_HEAP_SERIAL)
		nl_add_u64(&msg, filter, value);
	else if (filter)
		nl_add_u32(&msg, filter, value);
	search->nr_found = 0;
	search->nr_others = 0;
	search->last = 0;
	search->sorted = true;
	return nl_ask(nl, &msg, search_visit, search);
}

TEST_F(netlink, list_heaps_filtered)
{
	struct search search = {
		.attr = PRIVHEAP_A_HEAP_SERIAL,
		.value = self->stat.out_serial,
	};
	struct heap other;

	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, list_heaps(&self->nl, 0, 0, &search));
	EXPECT_EQ(1, search.nr_found);
	EXPECT_EQ(1, search.nr_others);
	EXPECT_TRUE(search.sorted);
	EXPECT_EQ(0, self->nl.flags & NLM_F_DUMP_INTR);
	ASSERT_EQ(0, list_heaps(&self->nl, PRIVHEAP_A_HEAP_SERIAL, search.value,
				&search));
	EXPECT_EQ(1, search.nr_found);
	EXPECT_EQ(0, search.nr_others);
	ASSERT_EQ(0, list_heaps(&self->nl, PRIVHEAP_A_HEAP_PID, getpid(),
				&search));
	EXPECT_EQ(2, search.nr_found + search.nr_others);
	ASSERT_EQ(0, list_heaps(&self->nl, PRIVHEAP_A_HEAP_PID, 1, &search));
	EXPECT_EQ(0, search.nr_found + search.nr_others);
	ASSERT_EQ(0, list_heaps(&self->nl, PRIVHEAP_A_HEAP_UID, getuid(),
				&search));
	EXPECT_EQ(2, search.nr_found + search.nr_others);
	ASSERT_EQ(0, list_heaps(&self->nl, PRIVHEAP_A_HEAP_UID, 12345, &search));
	EXPECT_EQ(0, search.nr_found + search.nr_others);
	EXPECT_EQ(-ENOENT, list_heaps(&self->nl, PRIVHEAP_A_HEAP_PID, INT_MAX,
				      &search));
}

TEST_F(netlink, get_one_limit_filtered)
{
	struct nl_msg msg, answer;

	nl_begin(&self->nl, &msg, PRIVHEAP_CMD_LIMIT_GET, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_SYSTEM);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_PID, getpid());
	EXPECT_EQ(-EINVAL, nl_get(&self->nl, &msg, &answer));
}

TEST_F(netlink, get_limit_of_each_scope)
{
	const struct {
		__u32 scope;
		__u64 key;
		__u64 hard_bytes;
	} cases[] = {
		{ PRIVHEAP_SCOPE_HEAP, self->stat.out_serial, MIB / 2 },
		{ PRIVHEAP_SCOPE_PROCESS, getpid(), PRIVHEAP_LIMIT_NONE },
		{ PRIVHEAP_SCOPE_USER, getuid(), PRIVHEAP_LIMIT_NONE },
	};
	struct nl_msg answer;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, get_limit(&self->nl, cases[i].scope, cases[i].key,
				       &answer));
#define EXPECT_LIMIT(name, value) \
		EXPECT_EQ(value, nl_number(answer.attrs[PRIVHEAP_A_LIMIT_##name]))
		EXPECT_LIMIT(SCOPE, cases[i].scope);
		EXPECT_LIMIT(KEY, cases[i].key);
		EXPECT_LIMIT(HARD_BYTES, cases[i].hard_bytes);
		EXPECT_LIMIT(SOFT_BYTES, PRIVHEAP_LIMIT_NONE);
		EXPECT_LIMIT(GRACE_BYTES, 0);
		EXPECT_LIMIT(UID, getuid());
		EXPECT_LE(self->stat.out_committed_bytes,
			  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_USAGE_BYTES]));
	}
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_SYSTEM, 0, &answer));
	EXPECT_LIMIT(SCOPE, PRIVHEAP_SCOPE_SYSTEM);
	EXPECT_EQ(NULL, answer.attrs[PRIVHEAP_A_LIMIT_UID]);
	EXPECT_NE(PRIVHEAP_LIMIT_NONE,
		  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_HARD_BYTES]));
}

/* Set */

static int set_limit(struct nl *nl, __u32 scope, __u64 key, int attr,
		     __u64 value)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, PRIVHEAP_CMD_LIMIT_SET, NLM_F_ACK);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, scope);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, key);
	nl_add(&msg, attr, &value,
	       attr == PRIVHEAP_A_LIMIT_RESET ? 0 : sizeof(value));
	return nl_ask(nl, &msg, NULL, NULL);
}

/* Lowered below the usage, a limit takes nothing away and lets nothing through. */
TEST_F(netlink, set_limit_while_the_heap_runs)
{
	__u64 serial = self->stat.out_serial;
	struct nl_msg answer;
	char *block, *other;

	ASSERT_EQ(0, block_alloc(&self->heap, MIB / 4, &block));
	ASSERT_EQ(0, set_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial,
			       PRIVHEAP_A_LIMIT_HARD_BYTES, MIB / 8));
	memset(block, 1, MIB / 4);
	EXPECT_EQ(-EDQUOT, block_alloc(&self->heap, MIB / 16, &other));
	ASSERT_EQ(0, set_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial,
			       PRIVHEAP_A_LIMIT_HARD_BYTES,
			       PRIVHEAP_LIMIT_NONE));
	EXPECT_EQ(0, block_alloc(&self->heap, MIB / 2, &other));
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial, &answer));
	EXPECT_LIMIT(HARD_BYTES, PRIVHEAP_LIMIT_NONE);
	EXPECT_LIMIT(NR_FAILURES, 1);
}

TEST_F(netlink, set_soft_and_grace)
{
	__u64 serial = self->stat.out_serial;
	struct nl_msg answer;

	ASSERT_EQ(0, set_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial,
			       PRIVHEAP_A_LIMIT_SOFT_BYTES, MIB / 4));
	ASSERT_EQ(0, set_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial,
			       PRIVHEAP_A_LIMIT_GRACE_BYTES, MIB / 8));
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial, &answer));
	EXPECT_LIMIT(HARD_BYTES, MIB / 2);
	EXPECT_LIMIT(SOFT_BYTES, MIB / 4);
	EXPECT_LIMIT(GRACE_BYTES, MIB / 8);
}

TEST_F(netlink, reset_counters)
{
	__u64 serial = self->stat.out_serial;
	struct nl_msg answer;
	size_t largest;
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, MIB / 4, &block));
	ASSERT_EQ(-EDQUOT, block_alloc(&self->heap, MIB / 2, &block));
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial, &answer));
	EXPECT_LIMIT(NR_FAILURES, 1);
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	ASSERT_EQ(0, set_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial,
			       PRIVHEAP_A_LIMIT_RESET, 0));
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_HEAP, serial, &answer));
	EXPECT_LIMIT(NR_FAILURES, 0);
	EXPECT_LIMIT(NR_SOFT_HITS, 0);
	EXPECT_LIMIT(HARD_BYTES, MIB / 2);
	EXPECT_EQ(nl_number(answer.attrs[PRIVHEAP_A_LIMIT_USAGE_BYTES]),
		  nl_number(answer.attrs[PRIVHEAP_A_LIMIT_PEAK_BYTES]));
}

/* The limits of a user can be set before there is one, and stay. */
TEST_F(netlink, set_limit_of_an_absent_user)
{
	struct nl_msg answer;

	EXPECT_EQ(-ENOENT, get_limit(&self->nl, PRIVHEAP_SCOPE_USER, 4321,
				     &answer));
	ASSERT_EQ(0, set_limit(&self->nl, PRIVHEAP_SCOPE_USER, 4321,
			       PRIVHEAP_A_LIMIT_HARD_BYTES, MIB));
	ASSERT_EQ(0, get_limit(&self->nl, PRIVHEAP_SCOPE_USER, 4321, &answer));
	EXPECT_LIMIT(HARD_BYTES, MIB);
	EXPECT_LIMIT(USAGE_BYTES, 0);
	EXPECT_LIMIT(UID, 4321);
}

/* Lists */

#define NR_STAYING	400

struct churn {
	int fd;
	bool stop;
};

static void *churn(void *arg)
{
	struct churn *churn = arg;
	struct heap heap;

	while (!__atomic_load_n(&churn->stop, __ATOMIC_RELAXED)) {
		if (heap_create(&heap, churn->fd, .max_bytes = MIB) ||
		    heap_destroy(&heap))
			return (void *)1;
	}
	return NULL;
}

/* Serial numbers that must be in a list, in its order, and how many were. */
struct census {
	const __u64 *serials;
	unsigned int nr_found;
	__u64 last;
	bool sorted;
};

static int census_visit(const struct nl_msg *msg, void *arg)
{
	struct census *census = arg;
	__u64 serial = nl_number(msg->attrs[PRIVHEAP_A_HEAP_SERIAL]);

	census->sorted = census->sorted && serial > census->last;
	census->last = serial;
	if (census->nr_found < NR_STAYING &&
	    serial == census->serials[census->nr_found])
		census->nr_found++;
	return 0;
}

/* Whatever comes and goes, what stays is in the list exactly once. */
TEST_F(netlink, list_while_heaps_come_and_go)
{
	struct churn arg = { .fd = self->fd };
	__u64 serials[NR_STAYING];
	struct privheap_stat stat;
	unsigned int i, nr_disturbed = 0;
	struct census census;
	struct heap heap;
	struct nl_msg msg;
	pthread_t thread;
	void *failed;

	for (i = 0; i < NR_STAYING; i++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = MIB));
		ASSERT_EQ(0, heap_stat(&heap, &stat));
		serials[i] = stat.out_serial;
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &arg));
	/* Until some of the lists were disturbed, and said so. */
	for (i = 0; i < 10 || nr_disturbed < 3; i++) {
		census = (struct census){ .serials = serials, .sorted = true };
		nl_begin(&self->nl, &msg, PRIVHEAP_CMD_HEAP_GET, NLM_F_DUMP);
		ASSERT_EQ(0, nl_ask(&self->nl, &msg, census_visit, &census));
		ASSERT_EQ(NR_STAYING, census.nr_found);
		ASSERT_TRUE(census.sorted);
		nr_disturbed += !!(self->nl.flags & NLM_F_DUMP_INTR);
	}
	__atomic_store_n(&arg.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &failed));
	EXPECT_EQ(NULL, failed);
}

/* A list that nobody reads to its end holds nothing up. */
TEST_F(netlink, list_left_unread)
{
	struct nl_msg msg, answer;
	struct heap heaps[100];
	struct nl other;
	unsigned int i;

	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, heap_create(&heaps[i], self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, nl_open(&other));
	nl_begin(&other, &msg, PRIVHEAP_CMD_HEAP_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_send(&other, &msg));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, heap_destroy(&heaps[i]));
	EXPECT_EQ(0, get_heap(&self->nl, self->stat.out_serial, &answer));
	nl_close(&other);
}

/* Settings and faults of a heap */

static void begin_heap_set(struct nl *nl, struct nl_msg *msg, __u64 serial)
{
	nl_begin(nl, msg, PRIVHEAP_CMD_HEAP_SET, NLM_F_ACK);
	nl_add_u64(msg, PRIVHEAP_A_HEAP_SERIAL, serial);
}

TEST_F(netlink, set_policy)
{
	struct privheap_stat stat;
	struct nl_msg msg, answer;

	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_POLICY, PRIVHEAP_POLICY_WINDOW);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_WINDOW_PAGES, 4);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, 64 * KIB);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(PRIVHEAP_POLICY_WINDOW, stat.out_policy);
	EXPECT_EQ(4, stat.out_window_pages);
	ASSERT_EQ(0, get_heap(&self->nl, stat.out_serial, &answer));
	EXPECT_ATTR(POLICY, PRIVHEAP_POLICY_WINDOW);
	EXPECT_ATTR(WINDOW_PAGES, 4);
	EXPECT_ATTR(MAX_IDLE_BYTES, 64 * KIB);
	EXPECT_ATTR(IDLE_BYTES, 0);

	/* What is not named stays; a new policy has a window of its own. */
	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_WINDOW_PAGES, 8);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	ASSERT_EQ(0, get_heap(&self->nl, stat.out_serial, &answer));
	EXPECT_ATTR(POLICY, PRIVHEAP_POLICY_WINDOW);
	EXPECT_ATTR(WINDOW_PAGES, 8);
	EXPECT_ATTR(MAX_IDLE_BYTES, 64 * KIB);
	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_POLICY, PRIVHEAP_POLICY_PAGE);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	ASSERT_EQ(0, get_heap(&self->nl, stat.out_serial, &answer));
	EXPECT_ATTR(POLICY, PRIVHEAP_POLICY_PAGE);
	EXPECT_ATTR(WINDOW_PAGES, 1);
	EXPECT_ATTR(MAX_IDLE_BYTES, 64 * KIB);
}

static int set_policy(struct nl *nl, __u64 serial, __u32 policy)
{
	struct nl_msg msg;

	begin_heap_set(nl, &msg, serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_POLICY, policy);
	return nl_ask(nl, &msg, NULL, NULL);
}

/* Only of a heap that was made with it, which may change to another and back. */
TEST_F(netlink, set_policy_huge)
{
	struct privheap_stat stat;
	struct heap heap;

	EXPECT_EQ(-EOPNOTSUPP, set_policy(&self->nl, self->stat.out_serial,
					  PRIVHEAP_POLICY_HUGE));
	EXPECT_NE(NULL, strstr(self->nl.text, "huge pages"));
	EXPECT_NE(0, self->nl.bad_attr);
	EXPECT_HEAP_STAT(&self->stat, &self->heap);
	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
				 .policy = PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	ASSERT_EQ(0, set_policy(&self->nl, stat.out_serial, PRIVHEAP_POLICY_PAGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(PRIVHEAP_POLICY_PAGE, stat.out_policy);
	ASSERT_EQ(0, set_policy(&self->nl, stat.out_serial, PRIVHEAP_POLICY_HUGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(PRIVHEAP_POLICY_HUGE, stat.out_policy);
}

/* In whole pages; 0 would be what the heap's waves need. */
TEST_F(netlink, set_idle_of_a_byte)
{
	struct nl_msg msg, answer;

	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, 1);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	ASSERT_EQ(0, get_heap(&self->nl, self->stat.out_serial, &answer));
	EXPECT_ATTR(MAX_IDLE_BYTES, page_bytes());
}

struct idle_setter {
	struct nl nl;
	__u64 serial;
	bool stop;
};

/* Sets the bound of idle pages, and nothing else, until it is told to stop. */
static void *set_idle(void *data)
{
	struct idle_setter *setter = data;
	struct nl_msg msg;
	long err = 0;

	while (!err && !__atomic_load_n(&setter->stop, __ATOMIC_RELAXED)) {
		begin_heap_set(&setter->nl, &msg, setter->serial);
		nl_add_u64(&msg, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, 64 * KIB);
		err = nl_ask(&setter->nl, &msg, NULL, NULL);
	}
	return (void *)err;
}

/* What is not named stays as others have just set it. */
TEST_F_TIMEOUT(netlink, set_beside_program, 240)
{
	struct idle_setter setter = { .serial = self->stat.out_serial };
	unsigned int i, window, nr_wrong = 0;
	struct privheap_stat stat;
	pthread_t thread;
	void *failed;

	ASSERT_EQ(0, nl_open(&setter.nl));
	ASSERT_EQ(0, pthread_create(&thread, NULL, set_idle, &setter));
	for (i = 0; i < 20000; i++) {
		window = 4 << i % 2;
		if (heap_policy(&self->heap, PRIVHEAP_POLICY_WINDOW, window) ||
		    heap_stat(&self->heap, &stat) ||
		    stat.out_window_pages != window)
			nr_wrong++;
	}
	__atomic_store_n(&setter.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &failed));
	EXPECT_EQ(NULL, failed);
	EXPECT_EQ(0, nr_wrong);
	nl_close(&setter.nl);
}

TEST_F(netlink, set_failures)
{
	struct nl_msg msg, answer;
	char *block;

	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_INJECT_NTH, 2);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	ASSERT_EQ(0, get_heap(&self->nl, self->stat.out_serial, &answer));
	EXPECT_ATTR(INJECT_NTH, 2);
	EXPECT_ATTR(INJECT_RATE_PPM, 0);
	EXPECT_EQ(0, block_alloc(&self->heap, 32 * KIB, &block));
	EXPECT_EQ(-ENOMEM, block_alloc(&self->heap, 32 * KIB, &block));
	EXPECT_EQ(0, block_alloc(&self->heap, 32 * KIB, &block));
	ASSERT_EQ(0, get_heap(&self->nl, self->stat.out_serial, &answer));
	EXPECT_ATTR(INJECT_NTH, 0);
	EXPECT_ATTR(NR_INJECTED, 1);

	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_INJECT_RATE_PPM, 1000000);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_INJECT_SEED, 7);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	EXPECT_EQ(-ENOMEM, block_alloc(&self->heap, 32 * KIB, &block));
	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_INJECT_RATE_PPM, 0);
	ASSERT_EQ(0, nl_ask(&self->nl, &msg, NULL, NULL));
	EXPECT_EQ(0, block_alloc(&self->heap, 32 * KIB, &block));
}

TEST_F(netlink, set_dead_heap)
{
	struct nl_msg msg;

	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	begin_heap_set(&self->nl, &msg, self->stat.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_POLICY, PRIVHEAP_POLICY_PAGE);
	EXPECT_EQ(-EIDRM, nl_ask(&self->nl, &msg, NULL, NULL));
	EXPECT_NE('\0', self->nl.text[0]);
}

struct fault_sums {
	__u64 fresh;		/* faults of one page each */
	__u64 others;
	__u64 timed;
};

static int visit_fault(const struct nl_msg *msg, void *arg)
{
	__u64 nr = nl_number(msg->attrs[PRIVHEAP_A_FAULT_NR_FAULTS]);
	struct fault_sums *sums = arg;

	if (msg->genl.cmd != PRIVHEAP_CMD_FAULT_GET || !nr)
		return -EPROTO;
	if (msg->attrs[PRIVHEAP_A_FAULT_LATENCY_NS])
		sums->timed += nr;
	else if (nl_number(msg->attrs[PRIVHEAP_A_FAULT_SOURCE]) ==
		 PRIVHEAP_SOURCE_FRESH &&
		 !nl_number(msg->attrs[PRIVHEAP_A_FAULT_ORDER]))
		sums->fresh += nr;
	else
		sums->others += nr;
	return 0;
}

static int get_faults(struct nl *nl, __u64 serial, struct fault_sums *sums)
{
	struct nl_msg msg;

	*sums = (struct fault_sums){};
	nl_begin(nl, &msg, PRIVHEAP_CMD_FAULT_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_FAULT_SERIAL, serial);
	return nl_ask(nl, &msg, visit_fault, sums);
}

#define FAULT_TIMES	"/sys/module/privheap/parameters/fault_times"

TEST_F(netlink, get_faults)
{
	const unsigned int nr = 300;	/* more than a chunk counts for itself */
	struct privheap_stat stat;
	struct fault_sums sums;
	struct heap heap;
	unsigned int i;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd, .max_bytes = 4 * MIB,
				 .policy = PRIVHEAP_POLICY_PAGE));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	ASSERT_EQ(0, get_faults(&self->nl, stat.out_serial, &sums));
	EXPECT_EQ(0, sums.fresh + sums.others + sums.timed);
	ASSERT_EQ(0, block_alloc(&heap, nr * page_bytes(), &block));
	for (i = 0; i < nr - 10; i++)
		block[i * page_bytes()] = 1;
	ASSERT_EQ(0, file_write(FAULT_TIMES, "Y"));
	for (; i < nr; i++)
		block[i * page_bytes()] = 1;
	ASSERT_EQ(0, file_write(FAULT_TIMES, "N"));
	ASSERT_EQ(0, get_faults(&self->nl, stat.out_serial, &sums));
	/* The block may begin with the page that the heap had from the start. */
	EXPECT_LE(nr - 1, sums.fresh);
	EXPECT_EQ(nr, sums.fresh + sums.others);
	EXPECT_EQ(10, sums.timed);
	/* They are of the heap, and stay when its pages go. */
	ASSERT_EQ(0, block_free(&heap, block));
	ASSERT_EQ(0, get_faults(&self->nl, stat.out_serial, &sums));
	EXPECT_EQ(nr, sums.fresh + sums.others);
	EXPECT_EQ(0, heap_destroy(&heap));
}

TEST_HARNESS_MAIN
