// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap map: what state the pages of a heap are in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"

/* By PRIVHEAP_PAGE_*. */
static const char *const page_states[] = {
	"reserved", "committed", "resident",
};
static const char *const page_uses[] = {
	"free", "span", "large", "guarded", "quarantined",
};

/* A run, with what people want to read. */
struct shown_run {
	struct heapdev_admin_run run;
	uint64_t bytes;
};

#define RUN(...)	COLUMN(struct shown_run, __VA_ARGS__)

static const struct column run_columns[] = {
	RUN("ADDRESS", "addr", ADDRESS, -16, run.addr),
	RUN("BYTES", "bytes", SIZE, 9, bytes),
	RUN("PAGES", "pages", COUNT, 9, run.nr_pages),
	RUN("STATE", "state", NAME, -9, run.state, NAMES(page_states)),
	RUN("USE", "use", NAME, -11, run.use, NAMES(page_uses)),
	RUN("SLOT", "slot_bytes", SIZE, 6, run.slot_bytes),
};

static const struct table run_table = TABLE(run_columns);

static bool runs_on(const struct heapdev_admin_run *a,
		    const struct heapdev_admin_run *b)
{
	return a->addr + a->nr_pages * page_bytes() == b->addr &&
	       a->state == b->state && a->use == b->use &&
	       a->slot_bytes == b->slot_bytes;
}

static int keep_run(const struct heapdev_admin_run *run, void *arg)
{
	struct run_list *list = arg;

	if (list->nr && runs_on(&list->runs[list->nr - 1], run)) {
		list->runs[list->nr - 1].nr_pages += run->nr_pages;
		return 0;
	}
	list->runs = array_grow(list->runs, list->nr, &list->room, sizeof(*run));
	list->runs[list->nr++] = *run;
	return 0;
}

/**
 * page_bytes() - the size of a page
 */
uint64_t page_bytes(void)
{
	return sysconf(_SC_PAGESIZE);
}

/**
 * runs_collect() - get the pages of a heap
 * @admin: the context
 * @serial: the heap
 * @list: receives them; neighbours that are alike in one run
 */
void runs_collect(struct heapdev_admin *admin, uint64_t serial,
		  struct run_list *list)
{
	list->nr = 0;
	admin_check(admin,
		    heapdev_admin_list_runs(admin, serial, 0, UINT64_MAX,
					    keep_run, list),
		    "pages");
}

/**
 * runs_json() - write runs as an array
 * @list: the runs
 */
void runs_json(const struct run_list *list)
{
	struct shown_run shown;
	size_t i;

	json_open("runs", '[');
	for (i = 0; i < list->nr; i++) {
		shown.run = list->runs[i];
		shown.bytes = shown.run.nr_pages * page_bytes();
		table_json(&run_table, NULL, &shown);
	}
	json_close(']');
}

/* How much there is of what; what is resident is committed, too. */
struct sums {
	uint64_t reserved_bytes;
	uint64_t committed_bytes;
	uint64_t resident_bytes;
	uint64_t free_bytes;	/* committed, but for nothing */
};

#define SUM(...)	COLUMN(struct sums, __VA_ARGS__)

static const struct column sum_columns[] = {
	SUM("RESERVED", "reserved_bytes", SIZE, 9, reserved_bytes),
	SUM("COMMITTED", "committed_bytes", SIZE, 9, committed_bytes),
	SUM("RESIDENT", "resident_bytes", SIZE, 9, resident_bytes),
	SUM("FREE", "free_bytes", SIZE, 9, free_bytes),
};

static const struct table sum_table = TABLE(sum_columns);

static struct sums add_up(const struct run_list *list)
{
	const struct heapdev_admin_run *run;
	struct sums sums = { 0 };
	uint64_t bytes;

	for (run = list->runs; run < list->runs + list->nr; run++) {
		bytes = run->nr_pages * page_bytes();
		sums.reserved_bytes += bytes;
		if (run->state == PRIVHEAP_PAGE_RESERVED)
			continue;
		sums.committed_bytes += bytes;
		if (run->state == PRIVHEAP_PAGE_RESIDENT)
			sums.resident_bytes += bytes;
		if (run->use == PRIVHEAP_PAGE_FREE)
			sums.free_bytes += bytes;
	}
	return sums;
}

static void print_runs(const struct run_list *list)
{
	struct shown_run shown;
	char row[ROW_TEXT];
	size_t i;

	table_title(&run_table, row);
	puts(row);
	for (i = 0; i < list->nr; i++) {
		shown.run = list->runs[i];
		shown.bytes = shown.run.nr_pages * page_bytes();
		table_row(&run_table, &shown, row);
		puts(row);
	}
}

static void map_run(char **operands)
{
	uint64_t serial = parse_number("heap", operands[0], UINT64_MAX);
	struct heapdev_admin *admin = admin_open();
	struct run_list list = { 0 };
	struct sums sums;

	runs_collect(admin, serial, &list);
	sums = add_up(&list);
	if (options.json) {
		json_open(NULL, '{');
		json_u64("heap", serial);
		json_u64("page_bytes", page_bytes());
		table_json(&sum_table, "sums", &sums);
		runs_json(&list);
		json_close('}');
		json_end();
	} else {
		print_runs(&list);
		putchar('\n');
		table_print(&sum_table, &sums);
	}
	free(list.runs);
	heapdev_admin_close(admin);
}

const struct command map_command = {
	.name = "map",
	.operands = "HEAP",
	.summary = "show which pages of a heap are reserved, committed, resident, free",
	.help = "Show the pages of a heap by address: which are only reserved, which committed,\n"
		"which of those resident, and what they are used for. The sums at the end are\n"
		"each a part of the one before; free is what is committed but used for nothing.\n",
	.options = "bj",
	.min_operands = 1,
	.max_operands = 1,
	.run = map_run,
};
