// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap watch: events as they happen.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tool.h"

/* By PRIVHEAP_EVENT_*, and HEAPDEV_ADMIN_EVENT_LOST. */
static const char *const kinds[] = {
	"lost", "heap-created", "heap-destroyed", "soft-limit", "limit-hit",
	"limit-changed", "misuse",
};

/* By the number of the ioctl. */
static const char *const calls[] = {
	[_IOC_NR(PRIVHEAP_IOC_INFO)] = "info",
	[_IOC_NR(PRIVHEAP_IOC_CREATE)] = "create",
	[_IOC_NR(PRIVHEAP_IOC_DESTROY)] = "destroy",
	[_IOC_NR(PRIVHEAP_IOC_STAT)] = "stat",
	[_IOC_NR(PRIVHEAP_IOC_ALLOC)] = "alloc",
	[_IOC_NR(PRIVHEAP_IOC_REALLOC)] = "realloc",
	[_IOC_NR(PRIVHEAP_IOC_FREE)] = "free",
	[_IOC_NR(PRIVHEAP_IOC_SIZE)] = "size",
	[_IOC_NR(PRIVHEAP_IOC_WALK)] = "walk",
	[_IOC_NR(PRIVHEAP_IOC_COMPACT)] = "compact",
	[_IOC_NR(PRIVHEAP_IOC_RESET)] = "reset",
	[_IOC_NR(PRIVHEAP_IOC_POLICY)] = "policy",
	[_IOC_NR(PRIVHEAP_IOC_INJECT)] = "inject",
	[_IOC_NR(PRIVHEAP_IOC_PREFAULT)] = "prefault",
	[_IOC_NR(PRIVHEAP_IOC_LIMIT)] = "limit",
	[_IOC_NR(PRIVHEAP_IOC_GUARD_ALLOC)] = "guard-alloc",
	[_IOC_NR(PRIVHEAP_IOC_GUARD_FREE)] = "guard-free",
	[_IOC_NR(PRIVHEAP_IOC_DESCRIBE)] = "describe",
};

static void format_name(char *text, const char *const *names, size_t nr,
			uint32_t value)
{
	if (value < nr && names[value])
		strcpy(text, names[value]);
	else
		sprintf(text, "%u", value);
}

#define FORMAT_NAME(text, array, value)	\
	format_name(text, array, sizeof(array) / sizeof((array)[0]), value)

static void format_error(char *text, uint32_t error)
{
	const char *name = strerrorname_np(error);

	if (name)
		strcpy(text, name);
	else
		sprintf(text, "%u", error);
}

/* The time of day in lines; the date, too, in JSON. */
static void format_time(char *text, size_t room, const char *format,
			uint64_t time_ns)
{
	time_t seconds = time_ns / 1000000000;
	struct tm local;
	size_t length;

	localtime_r(&seconds, &local);
	length = strftime(text, room, format, &local);
	snprintf(text + length, room - length, ".%06u",
		 (unsigned int)(time_ns % 1000000000 / 1000));
}

/* Lines */

static void print_size(const char *name, uint64_t bytes)
{
	char text[NUMBER_TEXT];

	if (bytes == UINT64_MAX)
		strcpy(text, "max");
	else if (options.bytes)
		number_format(text, bytes);
	else
		size_format(text, bytes);
	printf(" %s %s", name, text);
}

static void print_heap(const struct heapdev_admin_heap *heap)
{
	print_size("reserved", heap->reserved_bytes);
	print_size("committed", heap->committed_bytes);
	print_size("peak", heap->limit.peak_bytes);
	print_size("limit", heap->limit.hard_bytes);
}

static void print_limit(const struct heapdev_admin_limit *limit)
{
	static const char *const scopes[] = {
		"no node", "heap", "process", "user", "system", "cgroup",
	};
	char scope[NUMBER_TEXT];

	FORMAT_NAME(scope, scopes, limit->scope);
	printf(" of %s %" PRIu64 ":", scope, limit->key);
	print_size("usage", limit->usage_bytes);
	print_size("hard", limit->hard_bytes);
	print_size("soft", limit->soft_bytes);
	print_size("grace", limit->grace_bytes);
	printf(" failures %" PRIu64, limit->nr_failures);
}

static void print_misuse(const struct heapdev_admin_event *event)
{
	char call[NUMBER_TEXT], error[NUMBER_TEXT];

	FORMAT_NAME(call, calls, event->call);
	format_error(error, event->error);
	printf(" %s answered %s", call, error);
	if (event->addr)
		printf(", block %#" PRIx64, event->addr);
	if (!event->heap.serial)
		printf(", heap id %#" PRIx64, event->id);
}

static void print_event(const struct heapdev_admin_event *event)
{
	char kind[NUMBER_TEXT], comm[sizeof(event->comm)], time[64];

	FORMAT_NAME(kind, kinds, event->kind);
	text_clean(comm, event->comm);
	format_time(time, sizeof(time), "%T", event->time_ns);
	printf("%s %-14s", time, kind);
	if (event->heap.serial)
		printf(" heap %" PRIu64, event->heap.serial);
	if (event->pid != HEAPDEV_ADMIN_NOBODY)
		printf(" %s[%u]", *comm ? comm : "?", event->pid);
	if (event->limit.scope)
		print_limit(&event->limit);
	else if (event->kind == PRIVHEAP_EVENT_MISUSE)
		print_misuse(event);
	else if (event->heap.serial)
		print_heap(&event->heap);
	if (event->nr_suppressed)
		printf(" (and %u more)", event->nr_suppressed);
	putchar('\n');
}

static void print_lost(const struct heapdev_admin_event *event)
{
	if (event->nr_lost)
		printf("%" PRIu64 " events were lost\n", event->nr_lost);
	else
		puts("events were lost");
}

/* JSON, an object in a line */

static void json_event(const struct heapdev_admin_event *event)
{
	char comm[sizeof(event->comm)], error[NUMBER_TEXT];
	char call[NUMBER_TEXT], time[64];

	format_time(time, sizeof(time), "%FT%T", event->time_ns);
	json_text("time", time);
	json_u64("time_ns", event->time_ns);
	json_u64("seq", event->seq);
	if (event->pid != HEAPDEV_ADMIN_NOBODY) {
		text_clean(comm, event->comm);
		json_u64("pid", event->pid);
		json_text("command", comm);
	}
	if (event->uid != HEAPDEV_ADMIN_NOBODY)
		json_u64("uid", event->uid);
	if (event->heap.serial)
		table_json(&heap_table, "heap", &event->heap);
	if (event->limit.scope)
		table_json(&limit_table, "limit", &event->limit);
	if (event->kind == PRIVHEAP_EVENT_MISUSE) {
		FORMAT_NAME(call, calls, event->call);
		format_error(error, event->error);
		json_text("call", call);
		json_text("errno", error);
		json_u64("id", event->id);
		json_u64("addr", event->addr);
	}
	json_u64("suppressed", event->nr_suppressed);
}

static void json_line(const struct heapdev_admin_event *event)
{
	char kind[NUMBER_TEXT];

	FORMAT_NAME(kind, kinds, event->kind);
	json_open(NULL, '{');
	json_text("event", kind);
	if (event->kind != HEAPDEV_ADMIN_EVENT_LOST)
		json_event(event);
	else if (event->nr_lost)
		json_u64("lost", event->nr_lost);
	else
		json_null("lost");
	json_close('}');
	json_end();
}

/* Events */

static bool is_wanted(const struct heapdev_admin_event *event)
{
	const struct heapdev_admin_filter *filter = &options.filter;

	if (event->kind == HEAPDEV_ADMIN_EVENT_LOST)
		return true;
	return (!(filter->fields & HEAPDEV_ADMIN_BY_HEAP) ||
		event->heap.serial == filter->serial) &&
	       (!(filter->fields & HEAPDEV_ADMIN_BY_PID) ||
		event->pid == filter->pid) &&
	       (!(filter->fields & HEAPDEV_ADMIN_BY_USER) ||
		event->uid == filter->uid);
}

static void show_event(const struct heapdev_admin_event *event)
{
	if (options.json)
		json_line(event);
	else if (event->kind == HEAPDEV_ADMIN_EVENT_LOST)
		print_lost(event);
	else
		print_event(event);
}

/* Waits for an event. What was printed so far goes out before. */
static const struct heapdev_admin_event *next_event(struct heapdev_admin *admin)
{
	struct pollfd wait = {
		.fd = heapdev_admin_event_fd(admin),
		.events = POLLIN,
	};
	const struct heapdev_admin_event *event;
	int err;

	while ((err = heapdev_admin_next_event(admin, &event)) == -EAGAIN) {
		if (fflush(stdout))
			fail("cannot write: %s", strerror(errno));
		poll(&wait, 1, -1);
	}
	admin_check(admin, err, "events");
	return event;
}

static void watch_run(char **operands)
{
	struct heapdev_admin *admin = admin_open();
	const struct heapdev_admin_event *event;
	unsigned long nr = 0;

	(void)operands;
	admin_check(admin, heapdev_admin_watch(admin), "events");
	if (!options.json)
		puts("TIME            EVENT");
	do {
		event = next_event(admin);
		if (!is_wanted(event))
			continue;
		show_event(event);
		nr++;
	} while (!options.count || nr < options.count);
	heapdev_admin_close(admin);
}

const struct command watch_command = {
	.name = "watch",
	.operands = "",
	.summary = "show events as they happen",
	.help = "Show what happens to heaps and limits: heap-created, heap-destroyed,\n"
		"soft-limit, limit-hit, limit-changed, misuse (a call that was refused); and\n"
		"lost, where events could not be delivered. Events are those that you may see:\n"
		"of your own heaps, or with CAP_SYS_PTRACE all of them.\n",
	.options = "bcjHpu",
	.run = watch_run,
};
