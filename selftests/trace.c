// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: each event, as tracefs prints it, says what was done.
 *
 * The events of this process go to an instance of its own, so whoever else
 * traces does not matter.
 */
#include <dirent.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define INSTANCE	"/sys/kernel/tracing/instances/privheap-selftest"
#define EVENTS		INSTANCE "/events/privheap"
#define MAX_TEXT	(256 * KIB)

/* All that there are; doc/tracing.rst specifies them. */
static const char *const event_names[] = {
	"privheap_heap_create",
	"privheap_heap_destroy",
	"privheap_block_alloc",
	"privheap_block_realloc",
	"privheap_block_free",
	"privheap_page_commit",
	"privheap_page_decommit",
	"privheap_page_fault",
	"privheap_limit_hit",
	"privheap_policy_change",
};

#define NR_EVENTS	(sizeof(event_names) / sizeof(event_names[0]))

FIXTURE(trace) {
	int fd;
	size_t page;
	struct heap heap;
	/* Of the heap, as the events call it. */
	unsigned long long serial;
	/* What was traced, after read_trace(). */
	char *text;
};

static int write_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_TRUNC);
	ssize_t written;

	if (fd < 0)
		return -errno;
	written = write(fd, value, strlen(value));
	close(fd);
	return written == (ssize_t)strlen(value) ? 0 : -EIO;
}

/* Reads to the end; what does not fit is an error. */
static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t nr;

	if (fd < 0)
		return -errno;
	while ((nr = read(fd, text + length, size - 1 - length)) > 0)
		length += nr;
	text[length] = '\0';
	close(fd);
	return nr < 0 ? -errno : length == size - 1 ? -E2BIG : 0;
}

/* The line of the @nth event of that name, from 0 on; NULL if there are less. */
static const char *find_event(const char *text, const char *name, int nth)
{
	char label[64];

	snprintf(label, sizeof(label), ": %s: ", name);
	do {
		text = strstr(text, label);
		if (!text)
			return NULL;
		text += strlen(label);
	} while (nth--);
	return text;
}

static int count_events(const char *text, const char *name)
{
	int nr = 0;

	while (find_event(text, name, nr))
		nr++;
	return nr;
}

/* What follows "name=" in the line; NULL if there is no such field. */
static const char *find_field(const char *line, const char *name)
{
	size_t length = strlen(name);
	const char *end = strchr(line, '\n');

	for (; line && line < end; line = memchr(line, ' ', end - line)) {
		line += *line == ' ';
		if (!strncmp(line, name, length) && line[length] == '=')
			return line + length + 1;
	}
	return NULL;
}

/* A number in the line, also a negative one; a field that is missing is -1. */
static unsigned long long field(const char *line, const char *name)
{
	const char *value = line ? find_field(line, name) : NULL;

	return value ? strtoull(value, NULL, 0) : -1ULL;
}

static bool field_is(const char *line, const char *name, const char *word)
{
	const char *value = line ? find_field(line, name) : NULL;
	size_t length = strlen(word);

	return value && !strncmp(value, word, length) &&
	       (value[length] == ' ' || value[length] == '\n');
}

static void read_trace(struct __test_metadata *_metadata,
		       FIXTURE_DATA(trace) *self)
{
	ASSERT_EQ(0, read_file(INSTANCE "/trace", self->text, MAX_TEXT));
}

static const char *event(FIXTURE_DATA(trace) *self, const char *name, int nth)
{
	return find_event(self->text, name, nth);
}

/* Forgets what was traced so far, so that the next read has what follows. */
static void clear_trace(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, write_file(INSTANCE "/trace", ""));
}

static void make_heap(struct __test_metadata *_metadata,
		      FIXTURE_DATA(trace) *self, struct privheap_create arg)
{
	ASSERT_EQ(0, heap_create_from(&self->heap, self->fd, &arg));
	read_trace(_metadata, self);
	self->serial = field(event(self, "privheap_heap_create", 0), "heap");
	ASSERT_NE(-1ULL, self->serial);
	clear_trace(_metadata);
}

#define make_heap(...) \
	make_heap(_metadata, self, (struct privheap_create){ __VA_ARGS__ })

FIXTURE_SETUP(trace)
{
	char pid[16];

	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	self->page = page_bytes();
	self->text = malloc(MAX_TEXT);
	ASSERT_NE(NULL, self->text);
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_EQ(0, write_file(INSTANCE "/set_event_pid", pid));
	ASSERT_EQ(0, write_file(EVENTS "/enable", "1"));
}

FIXTURE_TEARDOWN(trace)
{
	free(self->text);
	close(self->fd);
	EXPECT_EQ(0, write_file(EVENTS "/enable", "0"));
	EXPECT_EQ(0, rmdir(INSTANCE));
}

TEST_F(trace, events_are_those_specified)
{
	DIR *folder = opendir(EVENTS);
	struct dirent *entry;
	char path[128];
	size_t i, nr = 0;

	ASSERT_NE(NULL, folder);
	while ((entry = readdir(folder)))
		nr += !strncmp(entry->d_name, "privheap_", 9);
	closedir(folder);
	EXPECT_EQ(NR_EVENTS, nr);
	for (i = 0; i < NR_EVENTS; i++) {
		snprintf(path, sizeof(path), EVENTS "/%s/format", event_names[i]);
		EXPECT_EQ(0, access(path, R_OK)) {
			TH_LOG("%s", path);
		}
	}
}

TEST_F(trace, nothing_is_told_when_off)
{
	char *block;

	ASSERT_EQ(0, write_file(EVENTS "/enable", "0"));
	clear_trace(_metadata);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	memset(block, 1, 64 * KIB);
	ASSERT_EQ(0, heap_destroy(&self->heap));
	read_trace(_metadata, self);
	EXPECT_EQ(NULL, strstr(self->text, "privheap_"));
}

TEST_F(trace, heap_create_tells_heap)
{
	const char *line;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB,
				 .limit_bytes = 512 * KIB,
				 .flags = PRIVHEAP_CREATE_F_BACKED,
				 .policy = PRIVHEAP_POLICY_WINDOW));
	read_trace(_metadata, self);
	EXPECT_EQ(1, count_events(self->text, "privheap_heap_create"));
	line = event(self, "privheap_heap_create", 0);
	ASSERT_NE(NULL, line);
	EXPECT_LT(0, field(line, "heap"));
	EXPECT_EQ(self->heap.id, field(line, "id"));
	EXPECT_EQ((uintptr_t)self->heap.base, field(line, "base"));
	EXPECT_EQ(MIB, field(line, "max_bytes"));
	EXPECT_EQ(512 * KIB, field(line, "limit_bytes"));
	EXPECT_EQ(PRIVHEAP_CREATE_F_BACKED, field(line, "flags"));
	EXPECT_TRUE(field_is(line, "policy", "window"));
}

TEST_F(trace, heap_create_without_limit_tells_none)
{
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = 0));
	read_trace(_metadata, self);
	EXPECT_EQ(PRIVHEAP_LIMIT_NONE, field(event(self, "privheap_heap_create", 0),
				  "limit_bytes"));
	EXPECT_EQ(0, field(event(self, "privheap_heap_create", 0), "max_bytes"));
}

TEST_F(trace, heap_create_that_fails_tells_nothing)
{
	ASSERT_EQ(-EDQUOT, heap_create(&self->heap, self->fd,
				       .initial_bytes = 2 * self->page,
				       .max_bytes = MIB,
				       .limit_bytes = self->page));
	read_trace(_metadata, self);
	EXPECT_EQ(0, count_events(self->text, "privheap_heap_create"));
	EXPECT_EQ(0, count_events(self->text, "privheap_heap_destroy"));
	EXPECT_EQ(1, count_events(self->text, "privheap_limit_hit"));
}

TEST_F(trace, heap_destroy_tells_what_was_in_it)
{
	const char *line;
	char *block;

	make_heap(.max_bytes = MIB);
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	read_trace(_metadata, self);
	EXPECT_EQ(1, count_events(self->text, "privheap_heap_destroy"));
	line = event(self, "privheap_heap_destroy", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ(self->heap.id, field(line, "id"));
	EXPECT_EQ(128 * KIB, field(line, "committed_bytes"));
	EXPECT_EQ(128 * KIB, field(line, "peak_bytes"));
	EXPECT_EQ(2, field(line, "nr_blocks"));
	/* The pages go afterwards. */
	EXPECT_EQ(32, field(event(self, "privheap_page_decommit", 0),
			    "nr_changed"));
}

TEST_F(trace, close_tells_heap_destroy)
{
	make_heap(.max_bytes = MIB);
	close(self->fd);
	self->fd = privheap_open();
	read_trace(_metadata, self);
	EXPECT_EQ(self->serial, field(event(self, "privheap_heap_destroy", 0),
				      "heap"));
}

TEST_F(trace, block_alloc_and_free_tell_block)
{
	const char *line;
	char *block;

	make_heap(.max_bytes = MIB);
	ASSERT_EQ(0, block_alloc_with(&self->heap, 100, 64,
				      PRIVHEAP_ALLOC_F_ZERO, &block));
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(-ENOENT, block_free(&self->heap, block));
	read_trace(_metadata, self);

	EXPECT_EQ(1, count_events(self->text, "privheap_block_alloc"));
	line = event(self, "privheap_block_alloc", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(100, field(line, "bytes"));
	EXPECT_EQ(64, field(line, "align"));
	EXPECT_EQ(PRIVHEAP_ALLOC_F_ZERO, field(line, "flags"));

	EXPECT_EQ(1, count_events(self->text, "privheap_block_free"));
	line = event(self, "privheap_block_free", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(100, field(line, "bytes"));
}

TEST_F(trace, block_realloc_in_place_tells_both_sizes)
{
	const char *line;
	char *block;

	make_heap(.max_bytes = MIB);
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 50, 0));
	read_trace(_metadata, self);
	EXPECT_EQ(1, count_events(self->text, "privheap_block_realloc"));
	line = event(self, "privheap_block_realloc", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ((uintptr_t)block, field(line, "old_addr"));
	EXPECT_EQ(100, field(line, "old_bytes"));
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(50, field(line, "bytes"));
}

TEST_F(trace, block_realloc_that_moves_tells_both_places)
{
	const char *line;
	char *block, *old;

	make_heap(.max_bytes = MIB);
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	old = block;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 32 * KIB, 0));
	ASSERT_NE(old, block);
	read_trace(_metadata, self);
	EXPECT_EQ(1, count_events(self->text, "privheap_block_realloc"));
	EXPECT_EQ(0, count_events(self->text, "privheap_block_free"));
	line = event(self, "privheap_block_realloc", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ((uintptr_t)old, field(line, "old_addr"));
	EXPECT_EQ(100, field(line, "old_bytes"));
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(32 * KIB, field(line, "bytes"));
}

TEST_F(trace, commit_and_decommit_tell_pages)
{
	const char *line;
	char *block;

	make_heap(.max_bytes = MIB, .flags = PRIVHEAP_CREATE_F_BACKED);
	/* Whole pages, the first of which is committed already. */
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	ASSERT_EQ(self->heap.base, block);
	ASSERT_EQ(0, block_free(&self->heap, block));
	read_trace(_metadata, self);

	EXPECT_EQ(1, count_events(self->text, "privheap_page_commit"));
	line = event(self, "privheap_page_commit", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(64 * KIB / self->page, field(line, "nr_pages"));
	EXPECT_EQ(64 * KIB / self->page - 1, field(line, "nr_changed"));
	EXPECT_EQ(1, field(line, "backed"));
	EXPECT_EQ(0, field(line, "error"));

	EXPECT_EQ(1, count_events(self->text, "privheap_page_decommit"));
	line = event(self, "privheap_page_decommit", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ((uintptr_t)block + self->page, field(line, "addr"));
	EXPECT_EQ(64 * KIB / self->page - 1, field(line, "nr_pages"));
	EXPECT_EQ(64 * KIB / self->page - 1, field(line, "nr_changed"));
}

/* Page tables that are missing are made for all of it, and then it is tried again. */
TEST_F(trace, backed_commit_is_tried_twice)
{
	const size_t bytes = 64 * MIB;
	const char *line;
	char *block;
	int i;

	make_heap(.max_bytes = 128 * MIB, .flags = PRIVHEAP_CREATE_F_BACKED);
	ASSERT_EQ(0, block_alloc(&self->heap, bytes, &block));
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(0, block_alloc(&self->heap, bytes, &block));
	read_trace(_metadata, self);
	EXPECT_EQ(3, count_events(self->text, "privheap_page_commit"));
	for (i = 0; i < 3; i++) {
		line = event(self, "privheap_page_commit", i);
		EXPECT_EQ(bytes / self->page, field(line, "nr_pages"));
		EXPECT_EQ(i ? 0 : -EAGAIN, (int)field(line, "error"));
	}
}

TEST_F(trace, limit_hit_tells_scope_and_commit_its_error)
{
	const char *line;
	char *block;

	make_heap(.max_bytes = MIB, .limit_bytes = 8 * self->page);
	ASSERT_EQ(-EDQUOT, block_alloc(&self->heap, 64 * KIB, &block));
	read_trace(_metadata, self);
	line = event(self, "privheap_limit_hit", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_TRUE(field_is(line, "scope", "heap"));
	EXPECT_EQ(8 * self->page, field(line, "hard_bytes"));
	EXPECT_EQ(self->page, field(line, "usage_bytes"));
	EXPECT_EQ(0, count_events(self->text, "privheap_block_alloc"));
	EXPECT_EQ(-EDQUOT, (int)field(event(self, "privheap_page_commit", 0),
				      "error"));
}

TEST_F(trace, commit_that_is_injected_tells_error)
{
	char *block;

	make_heap(.max_bytes = MIB);
	ASSERT_EQ(0, heap_inject(&self->heap, .nth = 1));
	ASSERT_EQ(-ENOMEM, block_alloc(&self->heap, 64 * KIB, &block));
	read_trace(_metadata, self);
	EXPECT_EQ(-ENOMEM, (int)field(event(self, "privheap_page_commit", 0),
				      "error"));
	EXPECT_EQ(0, count_events(self->text, "privheap_block_alloc"));
}

TEST_F(trace, guarded_blocks_are_told)
{
	const char *line;
	char *block;

	make_heap(.flags = PRIVHEAP_CREATE_F_GUARD, .quarantine_bytes = MIB);
	ASSERT_EQ(0, block_alloc_guarded(&self->heap, 100, 0, 0, 1, &block));
	ASSERT_EQ(0, block_free_guarded(&self->heap, block, 2));
	read_trace(_metadata, self);
	line = event(self, "privheap_block_alloc", 0);
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(100, field(line, "bytes"));
	line = event(self, "privheap_block_free", 0);
	EXPECT_EQ((uintptr_t)block, field(line, "addr"));
	EXPECT_EQ(100, field(line, "bytes"));
}

TEST_F(trace, policy_change_tells_policy)
{
	const char *line;

	make_heap(.max_bytes = MIB);
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_WINDOW, 8));
	ASSERT_EQ(-EINVAL, heap_policy(&self->heap, PRIVHEAP_POLICY_WINDOW, 3));
	read_trace(_metadata, self);
	EXPECT_EQ(1, count_events(self->text, "privheap_policy_change"));
	line = event(self, "privheap_policy_change", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_TRUE(field_is(line, "policy", "window"));
	EXPECT_EQ(8, field(line, "window_pages"));
}

/* A heap whose faults make four pages resident, and a block in it. */
static void make_window(struct __test_metadata *_metadata,
			FIXTURE_DATA(trace) *self, char **block)
{
	char *first;

	make_heap(.max_bytes = MIB, .policy = PRIVHEAP_POLICY_WINDOW,
		  .window_pages = 4);
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &first));
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, block));
	ASSERT_EQ(first + 64 * KIB, *block);
}

TEST_F(trace, fault_tells_pages_and_time)
{
	const char *line;
	char *block;

	make_window(_metadata, self, &block);
	block[5 * self->page + 100] = 1;
	read_trace(_metadata, self);
	EXPECT_EQ(1, count_events(self->text, "privheap_page_fault"));
	line = event(self, "privheap_page_fault", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ((uintptr_t)block + 5 * self->page,
		  field(line, "addr") & -self->page);
	EXPECT_EQ(4, field(line, "nr_pages"));
	EXPECT_EQ(2, field(line, "order"));
	EXPECT_TRUE(field_is(line, "source", "fresh"));
	EXPECT_EQ(0, field(line, "error"));
	EXPECT_LT(0, field(line, "latency_ns"));
	EXPECT_GT(600ULL * 1000 * 1000 * 1000, field(line, "latency_ns"));
}

/* Memory that another heap of the process had, as it is or cleared once more. */
TEST_F(trace, fault_tells_source)
{
	static const struct {
		__u32 flags;
		const char *source;
	} again[] = {
		{ 0, "recycled" }, { PRIVHEAP_ALLOC_F_ZERO, "cleared" },
	};
	const size_t bytes = 32 * self->page;
	struct heap other;
	const char *line;
	char *block, *page;
	unsigned int i;

	make_heap(.max_bytes = MIB, .policy = PRIVHEAP_POLICY_WINDOW,
		  .window_pages = 4);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB));
		ASSERT_EQ(0, block_alloc(&other, bytes, &block));
		memset(block, 0xee, bytes);
		ASSERT_EQ(0, heap_destroy(&other));
		ASSERT_EQ(0, block_alloc_with(&self->heap, bytes, 4 * self->page,
					      again[i].flags, &block));
		clear_trace(_metadata);
		/* Not the page that the heap has from the start. */
		page = block + 16 * self->page;
		page[0] = 1;
		read_trace(_metadata, self);
		line = event(self, "privheap_page_fault", 0);
		ASSERT_NE(NULL, line);
		EXPECT_TRUE(field_is(line, "source", again[i].source)) {
			TH_LOG("%s", again[i].source);
		}
		EXPECT_EQ(4, field(line, "nr_pages"));
		EXPECT_EQ(again[i].flags ? 0 : (char)0xee, page[4]);
	}
}

TEST_F(trace, fault_on_resident_page_tells_so)
{
	const char *line;
	char *block;

	make_window(_metadata, self, &block);
	block[0] = 1;
	ASSERT_EQ(0, madvise(block, 4 * self->page, MADV_DONTNEED));
	clear_trace(_metadata);
	block[0] = 1;
	read_trace(_metadata, self);
	line = event(self, "privheap_page_fault", 0);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(field_is(line, "source", "resident"));
	EXPECT_EQ(0, field(line, "nr_pages"));
	EXPECT_EQ(0, field(line, "order"));
}

TEST_F(trace, fault_on_reserved_page_tells_error)
{
	char byte = 1;
	struct iovec local = { &byte, 1 }, remote = { NULL, 1 };
	const char *line;

	make_heap(.max_bytes = MIB);
	remote.iov_base = self->heap.base + MIB - self->page;
	ASSERT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	ASSERT_EQ(EFAULT, errno);
	read_trace(_metadata, self);
	line = event(self, "privheap_page_fault", 0);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->serial, field(line, "heap"));
	EXPECT_EQ(-EFAULT, (int)field(line, "error"));
	EXPECT_EQ(0, field(line, "nr_pages"));
}

/* Numbers that look like addresses of the kernel are none but "no limit". */
static bool tells_kernel_address(const char *text)
{
	unsigned long long value;
	char *end;

	for (text = strchr(text, '='); text; text = strchr(end, '=')) {
		value = strtoull(text + 1, &end, 0);
		if (text[1] != '-' && value > 0xffff000000000000ULL &&
		    value != PRIVHEAP_LIMIT_NONE)
			return true;
		end = (char *)text + 1;
	}
	return false;
}

TEST_F(trace, no_event_tells_a_kernel_address)
{
	char *block;
	size_t i;

	ASSERT_TRUE(tells_kernel_address("x=1 addr=0xffff888012345678\n"));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .max_bytes = MIB,
				 .limit_bytes = 128 * KIB));
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &block));
	block[self->page] = 1;
	ASSERT_EQ(0, block_realloc(&self->heap, &block, 32 * KIB, 0));
	ASSERT_EQ(0, block_free(&self->heap, block));
	ASSERT_EQ(-EDQUOT, block_alloc(&self->heap, 256 * KIB, &block));
	ASSERT_EQ(0, heap_policy(&self->heap, PRIVHEAP_POLICY_PAGE, 0));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	read_trace(_metadata, self);
	for (i = 0; i < NR_EVENTS; i++) {
		EXPECT_NE(NULL, event(self, event_names[i], 0)) {
			TH_LOG("%s", event_names[i]);
		}
	}
	EXPECT_FALSE(tells_kernel_address(self->text));
}

TEST_HARNESS_MAIN
