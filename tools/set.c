// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap set: change how a heap takes its memory.
 */
#include <stdio.h>
#include <string.h>

#include "tool.h"

static uint32_t parse_policy(const char *text)
{
	uint32_t i;

	for (i = 0; i < NR_POLICIES; i++) {
		if (!strcmp(policies[i], text))
			return i;
	}
	fail_usage("'%s' is none of default, page, window, adaptive, populate, huge",
		   text);
}

/* What stays idle always has a bound. */
static uint64_t parse_idle(const char *text)
{
	uint64_t bytes;

	if (!size_parse(text, &bytes) || bytes == UINT64_MAX)
		fail_usage("'%s' is not a size, like 4096, 64M or 1G", text);
	return bytes;
}

/* One setting and its value; the rate and the n-th commit go together. */
static void parse_setting(const char *name, const char *value,
			  struct heapdev_admin_settings *settings)
{
	if (!strcmp(name, "policy")) {
		settings->fields |= HEAPDEV_ADMIN_SET_POLICY;
		settings->policy = parse_policy(value);
	} else if (!strcmp(name, "window")) {
		settings->fields |= HEAPDEV_ADMIN_SET_WINDOW;
		settings->window_pages = parse_number("window", value, UINT32_MAX);
	} else if (!strcmp(name, "idle")) {
		settings->fields |= HEAPDEV_ADMIN_SET_MAX_IDLE;
		settings->max_idle_bytes = parse_idle(value);
	} else if (!strcmp(name, "fail-nth")) {
		settings->fields |= HEAPDEV_ADMIN_SET_INJECT;
		settings->inject_nth = parse_number("commit", value, UINT64_MAX);
	} else if (!strcmp(name, "fail-ppm")) {
		settings->fields |= HEAPDEV_ADMIN_SET_INJECT;
		settings->inject_rate_ppm = parse_number("rate", value, 1000000);
	} else if (!strcmp(name, "fail-seed")) {
		settings->fields |= HEAPDEV_ADMIN_SET_INJECT;
		settings->inject_seed = parse_number("seed", value, UINT64_MAX);
	} else {
		fail_usage("'%s' is none of policy, window, idle, fail-nth, fail-ppm, fail-seed",
			   name);
	}
}

static void set_run(char **operands)
{
	uint64_t serial = parse_number("heap", operands[0], UINT64_MAX);
	struct heapdev_admin_settings settings = { 0 };
	struct heapdev_admin *admin;
	char **next;

	for (next = operands + 1; *next; next += 2) {
		if (!next[1])
			fail_usage("a value for %s is missing", *next);
		parse_setting(next[0], next[1], &settings);
	}
	admin = admin_open();
	admin_check(admin, heapdev_admin_set_heap(admin, serial, &settings),
		    operands[0]);
	heapdev_admin_close(admin);
}

const struct command set_command = {
	.name = "set",
	.operands = "HEAP SETTING...",
	.summary = "change how a heap takes its memory, or have it fail",
	.help = "HEAP is the number that 'privheap list' shows, and SETTING one or more of\n"
		"  policy NAME    page, window, adaptive, populate, or default; or huge, of a heap\n"
		"                 that was made with it\n"
		"  window PAGES   how many a fault makes resident at most, a power of two\n"
		"  idle SIZE      how much of what is freed may stay committed; 0 for what the\n"
		"                 heap's waves of freeing and allocating need\n"
		"  fail-nth N     the N-th commit from now on fails; 0 for none\n"
		"  fail-ppm N     so many of a million commits fail, drawn at random\n"
		"  fail-seed N    the same seed draws the same commits\n"
		"Of the last three those that are not given are 0, if one of them is given.\n"
		"Heaps of other users need CAP_SYS_RESOURCE.\n",
	.options = "",
	.min_operands = 3,
	.max_operands = 13,
	.run = set_run,
};
