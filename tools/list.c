// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap list: the heaps of the machine, one in a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* Not before there is a heap, or none and no error. */
static void begin_list(void)
{
	static bool begun;
	char row[ROW_TEXT];

	if (begun)
		return;
	begun = true;
	if (options.json) {
		json_open(NULL, '[');
	} else {
		table_title(&heap_table, row);
		puts(row);
	}
}

/* A list in the order of the module is printed as it comes. */
static int print_heap(const struct heapdev_admin_heap *heap, void *arg)
{
	char row[ROW_TEXT];

	(void)arg;
	begin_list();
	if (options.json) {
		table_json(&heap_table, NULL, heap);
	} else {
		table_row(&heap_table, heap, row);
		puts(row);
	}
	return 0;
}

static int keep_heap(const struct heapdev_admin_heap *heap, void *arg)
{
	struct heap_list *list = arg;

	list->heaps = array_grow(list->heaps, list->nr, &list->room,
				 sizeof(*heap));
	list->heaps[list->nr++] = *heap;
	return 0;
}

/**
 * heaps_collect() - get all heaps that the options want
 * @admin: the context
 * @list: receives them; what it held before goes
 */
void heaps_collect(struct heapdev_admin *admin, struct heap_list *list)
{
	list->nr = 0;
	admin_check(admin, heapdev_admin_list_heaps(admin, &options.filter,
						    keep_heap, list),
		    "heaps");
}

static const struct column *sort_column;

static int compare_heaps(const void *a, const void *b)
{
	int order = column_compare(sort_column, a, b);

	return order ? order : column_compare(&heap_table.columns[0], a, b);
}

static int compare_heaps_reverse(const void *a, const void *b)
{
	return compare_heaps(b, a);
}

/**
 * heaps_sort() - sort heaps
 * @list: the heaps
 * @column: by what; in its order, see column_compare()
 * @reverse: the other way round
 */
void heaps_sort(struct heap_list *list, const struct column *column,
		bool reverse)
{
	sort_column = column;
	if (list->nr)
		qsort(list->heaps, list->nr, sizeof(*list->heaps),
		      reverse ? compare_heaps_reverse : compare_heaps);
}

/**
 * heaps_sort_column() - the column that the options want
 *
 * Return: the column, or NULL if they do not say; a usage error if there is no
 * such column.
 */
const struct column *heaps_sort_column(void)
{
	const struct column *column = NULL;

	if (options.sort) {
		column = table_find(&heap_table, options.sort);
		if (!column)
			fail_usage("there is no column '%s'", options.sort);
	}
	return column;
}

static void print_sorted(struct heapdev_admin *admin, const struct column *column)
{
	struct heap_list list = { 0 };
	size_t i;

	heaps_collect(admin, &list);
	heaps_sort(&list, column, options.reverse);
	for (i = 0; i < list.nr; i++)
		print_heap(&list.heaps[i], NULL);
	free(list.heaps);
}

static void list_run(char **operands)
{
	const struct column *column = heaps_sort_column();
	struct heapdev_admin *admin = admin_open();

	(void)operands;
	if (column)
		print_sorted(admin, column);
	else
		admin_check(admin,
			    heapdev_admin_list_heaps(admin, &options.filter,
						     print_heap, NULL),
			    "heaps");
	begin_list();
	if (options.json) {
		json_close(']');
		json_end();
	}
	heapdev_admin_close(admin);
}

const struct command list_command = {
	.name = "list",
	.operands = "",
	.summary = "show heaps, one in a line",
	.help = "Show the heaps of this machine: your own, or with CAP_SYS_PTRACE all of them.\n"
		"Columns, and so what --sort takes: heap, pid, user, reserved, committed,\n"
		"resident, peak, limit, failures, state, flags, command; and what only --json\n"
		"shows, by its name there.\n",
	.options = "bjHprsu",
	.run = list_run,
};
