// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that keeps heaps, for tests that look at them from outside. It does
 * what the lines on its standard input say, and answers each with one line: a
 * number, "ok", or the name of an errno.
 *
 *	cgroup FOLDER		put heaps with that flag under this cgroup
 *	create MAX LIMIT FLAGS [POLICY]
 *				make a heap; its serial
 *	many N			make N growable heaps; how many there are now
 *	alloc BYTES		a block in the heap made last; its address
 *	touch			write to every page of that block
 *	free ADDRESS		free a block of the heap made last
 *	destroy			destroy the heap made last
 *	name TEXT		how the process is called; \xNN is a byte
 *
 * It ends with its input.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/privheap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

static int device;
static __u64 heap;		/* made last */
static char *block;		/* allocated last */
static size_t block_bytes;
static unsigned long nr_heaps;
static int cgroup;

static void answer(const char *text)
{
	puts(text);
	fflush(stdout);
}

/* The answer to a call that has none of its own. */
static void answer_status(int failed)
{
	answer(failed ? strerrorname_np(errno) : "ok");
}

static void answer_number(unsigned long long number)
{
	printf("%llu\n", number);
	fflush(stdout);
}

static int create_heap(__u64 max_bytes, __u64 limit_bytes, __u32 flags,
		       __u32 policy)
{
	struct privheap_create arg = {
		.size = sizeof(arg),
		.flags = flags,
		.max_bytes = max_bytes,
		.limit_bytes = limit_bytes,
		.policy = policy,
		.cgroup_fd = flags & PRIVHEAP_CREATE_F_CGROUP ? cgroup : 0,
	};

	if (ioctl(device, PRIVHEAP_IOC_CREATE, &arg))
		return -1;
	heap = arg.out_heap;
	nr_heaps++;
	return 0;
}

static void do_create(const char *args)
{
	struct privheap_stat stat = { .size = sizeof(stat) };
	unsigned long long max_bytes, limit_bytes;
	unsigned int flags, policy = PRIVHEAP_POLICY_DEFAULT;

	if (sscanf(args, "%llu %llu %u %u", &max_bytes, &limit_bytes, &flags,
		   &policy) < 3)
		errno = EINVAL;
	else if (!create_heap(max_bytes, limit_bytes, flags, policy)) {
		stat.heap = heap;
		if (!ioctl(device, PRIVHEAP_IOC_STAT, &stat)) {
			answer_number(stat.out_serial);
			return;
		}
	}
	answer_status(1);
}

static void do_cgroup(const char *args)
{
	cgroup = open(args, O_RDONLY | O_DIRECTORY);
	answer_status(cgroup < 0);
}

static void do_many(const char *args)
{
	long nr = atol(args);

	while (nr-- > 0) {
		if (create_heap(0, 0, 0, PRIVHEAP_POLICY_DEFAULT)) {
			answer_status(1);
			return;
		}
	}
	answer_number(nr_heaps);
}

static void do_alloc(const char *args)
{
	struct privheap_alloc arg = {
		.size = sizeof(arg),
		.heap = heap,
		.bytes = strtoull(args, NULL, 10),
	};

	if (ioctl(device, PRIVHEAP_IOC_ALLOC, &arg)) {
		answer_status(1);
		return;
	}
	block = (char *)arg.out_addr;
	block_bytes = arg.bytes;
	answer_number(arg.out_addr);
}

static void do_touch(const char *args)
{
	(void)args;
	memset(block, 1, block_bytes);
	answer("ok");
}

static void do_free(const char *args)
{
	struct privheap_free arg = {
		.size = sizeof(arg),
		.heap = heap,
		.addr = strtoull(args, NULL, 0),
	};

	answer_status(ioctl(device, PRIVHEAP_IOC_FREE, &arg));
}

static void do_destroy(const char *args)
{
	struct privheap_destroy arg = { .size = sizeof(arg), .heap = heap };

	(void)args;
	answer_status(ioctl(device, PRIVHEAP_IOC_DESTROY, &arg));
}

static void do_name(const char *args)
{
	char name[16] = "", *end = name;
	unsigned int byte;

	for (; *args && end < name + sizeof(name) - 1; args++) {
		if (sscanf(args, "\\x%2x", &byte) == 1) {
			*end++ = byte;
			args += 3;
		} else {
			*end++ = *args;
		}
	}
	answer_status(prctl(PR_SET_NAME, name));
}

static void do_line(char *line)
{
	static const struct {
		const char *name;
		void (*run)(const char *args);
	} commands[] = {
		{ "cgroup", do_cgroup },
		{ "create", do_create },
		{ "many", do_many },
		{ "alloc", do_alloc },
		{ "touch", do_touch },
		{ "free", do_free },
		{ "destroy", do_destroy },
		{ "name", do_name },
	};
	char *args = strchr(line, ' ');
	size_t i;

	if (args)
		*args++ = '\0';
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(line, commands[i].name)) {
			commands[i].run(args ? args : "");
			return;
		}
	}
	answer("what?");
}

int main(void)
{
	char line[256];

	device = open("/dev/privheap", O_RDWR);
	if (device < 0) {
		perror("/dev/privheap");
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		do_line(line);
	}
	return 0;
}
