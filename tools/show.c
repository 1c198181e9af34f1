// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap show: everything about one heap.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char *const region_flags[] = { "own" };

#define REGION(...)	COLUMN(struct heapdev_admin_region, __VA_ARGS__)

static const struct column region_columns[] = {
	REGION("ADDRESS", "addr", ADDRESS, -16, addr),
	REGION("REGION", "region", ID, 6, number),
	REGION("RESERVED", "reserved_bytes", SIZE, 9, bytes),
	REGION("COMMITTED", "committed_bytes", SIZE, 9, committed_bytes),
	REGION("RESIDENT", "resident_bytes", SIZE, 9, resident_bytes),
	REGION("FLAGS", "flags", FLAGS, -6, flags, NAMES(region_flags)),
};

static const struct table region_table = TABLE(region_columns);

#define CLASS(...)	COLUMN(struct heapdev_admin_class, __VA_ARGS__)

static const struct column class_columns[] = {
	CLASS("SLOT", "slot_bytes", SIZE, 7, slot_bytes),
	CLASS("SPANS", "spans", COUNT, 8, nr_spans),
	CLASS("PAGES", "pages", COUNT, 8, nr_pages),
	CLASS("BLOCKS", "blocks", COUNT, 10, nr_blocks),
	CLASS("FREE", "free", COUNT, 10, nr_free),
	CLASS("ALLOCATED", "allocated_bytes", SIZE, 10, allocated_bytes),
};

static const struct table class_table = TABLE(class_columns);

#define FAULT(...)	COLUMN(struct heapdev_admin_fault, __VA_ARGS__)

static const struct column fault_columns[] = {
	FAULT("SOURCE", "source", NAME, -8, source, NAMES(sources)),
	FAULT("ORDER", "order", COUNT, 5, order),
	FAULT("FAULTS", "faults", COUNT, 10, nr_faults),
};

static const struct table fault_table = TABLE(fault_columns);

static const struct column latency_columns[] = {
	FAULT("FROM_NS", "from_ns", COUNT, 10, latency_ns),
	FAULT("FAULTS", "faults", COUNT, 10, nr_faults),
};

static const struct table latency_table = TABLE(latency_columns);

/* Lists of objects, each with a title or as an array of JSON. */

static void begin_list(const struct table *table, const char *name)
{
	char row[ROW_TEXT];

	if (options.json) {
		json_open(name, '[');
		return;
	}
	table_title(table, row);
	printf("\n%s:\n%s\n", name, row);
}

static void list_object(const struct table *table, const void *object)
{
	char row[ROW_TEXT];

	if (options.json) {
		table_json(table, NULL, object);
		return;
	}
	table_row(table, object, row);
	puts(row);
}

static void end_list(void)
{
	if (options.json)
		json_close(']');
}

/* The nodes that a commit of the heap is charged to, as far as one may see. */
static void show_limits(struct heapdev_admin *admin,
			const struct heapdev_admin_heap *heap)
{
	const struct {
		uint32_t scope;
		uint64_t key;
	} nodes[] = {
		{ PRIVHEAP_SCOPE_HEAP, heap->serial },
		{ PRIVHEAP_SCOPE_PROCESS, heap->pid },
		{ PRIVHEAP_SCOPE_USER, heap->uid },
		{ PRIVHEAP_SCOPE_SYSTEM, 0 },
		{ heap->cgroup ? PRIVHEAP_SCOPE_CGROUP : 0, heap->cgroup },
	};
	const struct heapdev_admin_limit *limit;
	size_t i;
	int err;

	begin_list(&limit_table, "limits");
	for (i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		if (!nodes[i].scope)
			continue;
		err = heapdev_admin_get_limit(admin, nodes[i].scope,
					      nodes[i].key, &limit);
		if (err == -ENOENT)
			continue;
		admin_check(admin, err, "limits");
		list_object(&limit_table, limit);
	}
	end_list();
}

struct region_list {
	struct heapdev_admin_region *regions;
	size_t nr, room;
};

static int show_region(const struct heapdev_admin_region *region, void *arg)
{
	struct region_list *list = arg;

	list_object(&region_table, region);
	list->regions = array_grow(list->regions, list->nr, &list->room,
				   sizeof(*region));
	list->regions[list->nr++] = *region;
	return 0;
}

static void show_regions(struct heapdev_admin *admin, uint64_t serial,
			 struct region_list *list)
{
	begin_list(&region_table, "regions");
	admin_check(admin,
		    heapdev_admin_list_regions(admin, serial, show_region, list),
		    "regions");
	end_list();
}

static int show_class(const struct heapdev_admin_class *size_class, void *arg)
{
	(void)arg;
	list_object(&class_table, size_class);
	return 0;
}

static void show_classes(struct heapdev_admin *admin, uint64_t serial)
{
	begin_list(&class_table, "classes");
	admin_check(admin,
		    heapdev_admin_list_classes(admin, serial, show_class, NULL),
		    "classes");
	end_list();
}

struct fault_list {
	const struct table *table;
	bool latencies;
};

static int show_fault(const struct heapdev_admin_fault *fault, void *arg)
{
	const struct fault_list *list = arg;

	if (!!fault->latency_ns == list->latencies)
		list_object(list->table, fault);
	return 0;
}

static void show_faults(struct heapdev_admin *admin, uint64_t serial)
{
	const struct fault_list lists[] = {
		{ &fault_table, false }, { &latency_table, true },
	};
	size_t i;

	for (i = 0; i < 2; i++) {
		begin_list(lists[i].table, i ? "fault_times" : "faults");
		admin_check(admin,
			    heapdev_admin_list_faults(admin, serial, show_fault,
						      (void *)&lists[i]),
			    "faults");
		end_list();
	}
}

/*
 * The picture of a region: a sign stands for so many pages that there are at
 * most eight lines, and tells of the page that is farthest in this order.
 */
#define PICTURE_WIDTH	64
#define PICTURE_CELLS	(8 * PICTURE_WIDTH)

static const char signs[] = ".-+o#";

static unsigned int run_sign(const struct heapdev_admin_run *run)
{
	if (run->state == PRIVHEAP_PAGE_RESERVED)
		return 0;
	return 1 + 2 * (run->state == PRIVHEAP_PAGE_RESIDENT) +
	       (run->use != PRIVHEAP_PAGE_FREE);
}

struct picture {
	const struct heapdev_admin_region *region;
	uint64_t cell_bytes;
	unsigned char cells[PICTURE_CELLS];
};

/* Draws the part of a run that lies in the region. */
static void draw_run(struct picture *picture, const struct heapdev_admin_run *run)
{
	uint64_t start = picture->region->addr;
	uint64_t end = start + picture->region->bytes;
	uint64_t run_end = run->addr + run->nr_pages * page_bytes();
	unsigned int sign = run_sign(run);
	uint64_t cell, last;

	if (run->addr >= end || run_end <= start)
		return;
	cell = ((run->addr > start ? run->addr : start) - start) /
	       picture->cell_bytes;
	last = ((run_end < end ? run_end : end) - start - 1) /
	       picture->cell_bytes;
	for (; cell <= last; cell++) {
		if (picture->cells[cell] < sign)
			picture->cells[cell] = sign;
	}
}

static void print_picture(const struct picture *picture)
{
	uint64_t nr_cells = (picture->region->bytes + picture->cell_bytes - 1) /
			    picture->cell_bytes;
	uint64_t cell;

	for (cell = 0; cell < nr_cells; cell++) {
		if (cell % PICTURE_WIDTH == 0)
			printf("%s%#14" PRIx64 "  ", cell ? "\n" : "",
			       picture->region->addr + cell * picture->cell_bytes);
		putchar(signs[picture->cells[cell]]);
	}
	putchar('\n');
}

static void show_picture(const struct heapdev_admin_region *region,
			 const struct run_list *runs)
{
	struct picture picture = {
		.region = region,
		.cell_bytes = page_bytes(),
	};
	char size[NUMBER_TEXT];
	size_t i;

	while (picture.cell_bytes * PICTURE_CELLS < region->bytes)
		picture.cell_bytes *= 2;
	for (i = 0; i < runs->nr; i++)
		draw_run(&picture, &runs->runs[i]);
	size_format(size, picture.cell_bytes);
	printf("\nregion at %#" PRIx64 ", a sign is %s:\n", region->addr, size);
	print_picture(&picture);
}

static void show_pages(struct heapdev_admin *admin, uint64_t serial,
		       const struct region_list *regions)
{
	struct run_list runs = { 0 };
	size_t i;

	runs_collect(admin, serial, &runs);
	if (options.json) {
		runs_json(&runs);
	} else {
		puts("\npages: . reserved, - committed, o resident; in use: + committed, # resident");
		for (i = 0; i < regions->nr; i++)
			show_picture(&regions->regions[i], &runs);
	}
	free(runs.runs);
}

static void show_run(char **operands)
{
	uint64_t serial = parse_number("heap", operands[0], UINT64_MAX);
	struct heapdev_admin *admin = admin_open();
	const struct heapdev_admin_heap *found;
	struct region_list regions = { 0 };
	struct heapdev_admin_heap heap;

	admin_check(admin, heapdev_admin_get_heap(admin, serial, &found),
		    operands[0]);
	heap = *found;
	if (options.json) {
		json_open(NULL, '{');
		table_json(&heap_table, "heap", &heap);
	} else {
		table_print(&heap_table, &heap);
	}
	show_limits(admin, &heap);
	show_regions(admin, serial, &regions);
	show_classes(admin, serial);
	show_faults(admin, serial);
	show_pages(admin, serial, &regions);
	if (options.json) {
		json_close('}');
		json_end();
	}
	free(regions.regions);
	heapdev_admin_close(admin);
}

const struct command show_command = {
	.name = "show",
	.operands = "HEAP",
	.summary = "show everything about one heap",
	.help = "Show one heap: its limits and those that it counts against, its regions, the\n"
		"size classes of its small blocks, its page faults, and a picture of its\n"
		"pages. HEAP is the number that 'privheap list' shows. The times of faults are\n"
		"taken only while the module's parameter fault_times is set.\n",
	.options = "bj",
	.min_operands = 1,
	.max_operands = 1,
	.run = show_run,
};
