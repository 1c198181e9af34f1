// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap limit: read and change limits.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "tool.h"

/* Names: a scope, and a key within it. */

/* The id of a cgroup is the inode number of its folder. */
static uint64_t parse_cgroup(const char *text)
{
	struct statfs fs;
	struct stat folder;

	if (*text >= '0' && *text <= '9')
		return parse_number("cgroup", text, UINT64_MAX);
	if (statfs(text, &fs) || stat(text, &folder))
		fail("%s: %s", text, strerror(errno));
	if (fs.f_type != CGROUP2_SUPER_MAGIC || !S_ISDIR(folder.st_mode))
		fail("%s: not the folder of a cgroup", text);
	return folder.st_ino;
}

static uint64_t parse_heap(const char *text)
{
	return parse_number("heap", text, UINT64_MAX);
}

static uint64_t parse_process(const char *text)
{
	return parse_number("process", text, INT32_MAX);
}

static uint64_t parse_user_key(const char *text)
{
	return parse_user(text);
}

struct scope {
	const char *name;
	uint32_t scope;
	uint64_t (*parse_key)(const char *text);	/* NULL: has no key */
};

static const struct scope scopes[] = {
	{ "heap", PRIVHEAP_SCOPE_HEAP, parse_heap },
	{ "process", PRIVHEAP_SCOPE_PROCESS, parse_process },
	{ "user", PRIVHEAP_SCOPE_USER, parse_user_key },
	{ "system", PRIVHEAP_SCOPE_SYSTEM, NULL },
	{ "cgroup", PRIVHEAP_SCOPE_CGROUP, parse_cgroup },
};

static const struct scope *find_scope(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		if (!strcmp(scopes[i].name, name))
			return &scopes[i];
	}
	fail_usage("'%s' is none of heap, process, user, system, cgroup", name);
}

struct node {
	uint32_t scope;
	uint64_t key;
	char name[64];
};

/* Takes a scope and its key from the operands; returns what follows. */
static char **parse_node(char **operands, struct node *node)
{
	const struct scope *scope;

	if (!*operands)
		fail_usage("an argument is missing: heap, process, user, system or cgroup");
	scope = find_scope(*operands++);
	node->scope = scope->scope;
	node->key = 0;
	snprintf(node->name, sizeof(node->name), "%s", scope->name);
	if (!scope->parse_key)
		return operands;
	if (!*operands)
		fail_usage("which %s?", scope->name);
	node->key = scope->parse_key(*operands);
	snprintf(node->name, sizeof(node->name), "%s %s", scope->name, *operands);
	return operands + 1;
}

static void expect_end(char **operands)
{
	if (*operands)
		fail_usage("unexpected argument '%s'", *operands);
}

/* get */

static int print_limit(const struct heapdev_admin_limit *limit, void *arg)
{
	char row[ROW_TEXT];

	(void)arg;
	if (options.json) {
		table_json(&limit_table, NULL, limit);
	} else {
		table_row(&limit_table, limit, row);
		puts(row);
	}
	return 0;
}

static void begin_limits(void)
{
	char row[ROW_TEXT];

	if (options.json)
		return;
	table_title(&limit_table, row);
	puts(row);
}

static void list_limits(struct heapdev_admin *admin)
{
	begin_limits();
	if (options.json)
		json_open(NULL, '[');
	admin_check(admin,
		    heapdev_admin_list_limits(admin, &options.filter,
					      print_limit, NULL),
		    "limits");
	if (options.json)
		json_close(']');
}

static void get_limit(struct heapdev_admin *admin, const struct node *node)
{
	const struct heapdev_admin_limit *limit;

	admin_check(admin,
		    heapdev_admin_get_limit(admin, node->scope, node->key,
					    &limit),
		    node->name);
	begin_limits();
	print_limit(limit, NULL);
}

static void limit_get(char **operands)
{
	struct heapdev_admin *admin;
	struct node node = { 0 };

	if (*operands && !operands[1]) {
		options.filter.fields |= HEAPDEV_ADMIN_BY_SCOPE;
		options.filter.scope = find_scope(*operands)->scope;
	} else if (*operands) {
		if (options.filter.fields)
			fail_usage("--pid and --user choose from a list");
		expect_end(parse_node(operands, &node));
	}
	admin = admin_open();
	if (node.scope)
		get_limit(admin, &node);
	else
		list_limits(admin);
	if (options.json)
		json_end();
	heapdev_admin_close(admin);
}

/* set */

static void parse_change(char **operands, struct heapdev_admin_change *change)
{
	const struct {
		const char *name;
		uint32_t field;
		uint64_t *bytes;
	} values[] = {
		{ "hard", HEAPDEV_ADMIN_SET_HARD, &change->hard_bytes },
		{ "soft", HEAPDEV_ADMIN_SET_SOFT, &change->soft_bytes },
		{ "grace", HEAPDEV_ADMIN_SET_GRACE, &change->grace_bytes },
	};
	size_t i;

	for (; *operands; operands += 2) {
		for (i = 0; i < 3 && strcmp(*operands, values[i].name); i++)
			;
		if (i == 3)
			fail_usage("'%s' is none of hard, soft, grace", *operands);
		if (change->fields & values[i].field)
			fail_usage("%s is given twice", *operands);
		if (!operands[1])
			fail_usage("a size for %s is missing", *operands);
		if (!size_parse(operands[1], values[i].bytes))
			fail_usage("'%s' is not a size, like 4096, 64M, 1G or max",
				   operands[1]);
		change->fields |= values[i].field;
	}
	if (!change->fields)
		fail_usage("what to set? hard, soft or grace, each with a size");
}

static void change_limit(const struct node *node,
			 const struct heapdev_admin_change *change)
{
	struct heapdev_admin *admin = admin_open();

	admin_check(admin,
		    heapdev_admin_set_limit(admin, node->scope, node->key,
					    change),
		    node->name);
	heapdev_admin_close(admin);
}

/* Of all heaps that the options choose; those that end meanwhile are no matter. */
static void change_all_heaps(const struct heapdev_admin_change *change)
{
	struct heapdev_admin *admin = admin_open();
	struct heap_list list = { 0 };
	char name[64];
	size_t i;
	int err;

	heaps_collect(admin, &list);
	for (i = 0; i < list.nr; i++) {
		err = heapdev_admin_set_limit(admin, PRIVHEAP_SCOPE_HEAP,
					      list.heaps[i].serial, change);
		snprintf(name, sizeof(name), "heap %" PRIu64,
			 list.heaps[i].serial);
		if (err != -ENOENT)
			admin_check(admin, err, name);
	}
	free(list.heaps);
	heapdev_admin_close(admin);
}

static bool names_all_heaps(char **operands)
{
	return operands[0] && operands[1] && !strcmp(operands[0], "heap") &&
	       !strcmp(operands[1], "all");
}

static void limit_set(char **operands)
{
	struct heapdev_admin_change change = { 0 };
	struct node node;

	if (names_all_heaps(operands)) {
		parse_change(operands + 2, &change);
		change_all_heaps(&change);
		return;
	}
	if (options.filter.fields)
		fail_usage("--pid and --user choose from a list");
	parse_change(parse_node(operands, &node), &change);
	change_limit(&node, &change);
}

static void limit_reset(char **operands)
{
	const struct heapdev_admin_change change = {
		.fields = HEAPDEV_ADMIN_RESET,
	};
	struct node node;

	expect_end(parse_node(operands, &node));
	change_limit(&node, &change);
}

static void limit_run(char **operands)
{
	if (!strcmp(*operands, "get"))
		limit_get(operands + 1);
	else if (!strcmp(*operands, "set"))
		limit_set(operands + 1);
	else if (!strcmp(*operands, "reset"))
		limit_reset(operands + 1);
	else
		fail_usage("'%s' is none of get, set, reset", *operands);
}

const struct command limit_command = {
	.name = "limit",
	.operands = "get [NODE] | set NODE VALUE... | reset NODE",
	.summary = "read and change limits",
	.help = "NODE is one of\n"
		"  heap HEAP      what 'privheap list' shows\n"
		"  process PID\n"
		"  user USER      a name or a number\n"
		"  system         all heaps together\n"
		"  cgroup FOLDER  as /sys/fs/cgroup/tenant, or its number\n"
		"and VALUE one or more of\n"
		"  hard SIZE      no commit goes above it\n"
		"  soft SIZE      an event is sent when the usage goes above it\n"
		"  grace SIZE     the last bytes below hard, for calls that ask for them\n"
		"with a SIZE like 4096, 64M, 1G, or max for none. A hard limit below the usage\n"
		"ends no program: nothing more is committed until the usage has fallen.\n\n"
		"get without NODE lists all nodes that you may see, and with a scope alone those\n"
		"of this scope. 'set heap all' sets the limits of all heaps, or of those that the\n"
		"options choose. reset makes the usage the peak and sets the counters to 0.\n"
		"You may lower limits of your own; everything else needs CAP_SYS_RESOURCE.\n",
	.options = "bjpu",
	.min_operands = 1,
	.max_operands = 16,
	.run = limit_run,
};
