// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap export: heaps and limits in Prometheus' text format.
 *
 * All samples of a metric have to follow its description, so everything is read
 * first and then gone through once for each metric.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tool.h"

struct metric {
	const char *name;
	const char *type;
	const char *help;
	size_t offset;		/* of a uint64_t */
};

#define HEAP(member)	offsetof(struct heapdev_admin_heap, member)

static const struct metric heap_metrics[] = {
	{ "privheap_heap_reserved_bytes", "gauge",
	  "Address space of the regions of a heap.", HEAP(reserved_bytes) },
	{ "privheap_heap_committed_bytes", "gauge",
	  "Memory of a heap that is charged to the limits.",
	  HEAP(committed_bytes) },
	{ "privheap_heap_resident_bytes", "gauge",
	  "Memory of a heap that has pages behind it.", HEAP(resident_bytes) },
	{ "privheap_heap_allocated_bytes", "gauge",
	  "Requested sizes of the live blocks of a heap.",
	  HEAP(allocated_bytes) },
	{ "privheap_heap_meta_bytes", "gauge",
	  "Kernel memory for the bookkeeping of the blocks of a heap.",
	  HEAP(meta_bytes) },
	{ "privheap_heap_blocks", "gauge",
	  "Live blocks of a heap.", HEAP(nr_blocks) },
};

#define LIMIT(member)	offsetof(struct heapdev_admin_limit, member)

static const struct metric limit_metrics[] = {
	{ "privheap_limit_hard_bytes", "gauge",
	  "No commit goes above this.", LIMIT(hard_bytes) },
	{ "privheap_limit_soft_bytes", "gauge",
	  "Usage above this is announced.", LIMIT(soft_bytes) },
	{ "privheap_limit_grace_bytes", "gauge",
	  "Last bytes below the hard limit, for calls that ask for them.",
	  LIMIT(grace_bytes) },
	{ "privheap_limit_usage_bytes", "gauge",
	  "Memory that is committed.", LIMIT(usage_bytes) },
	{ "privheap_limit_peak_bytes", "gauge",
	  "Highest usage since the last reset.", LIMIT(peak_bytes) },
	{ "privheap_limit_failures_total", "counter",
	  "Commits that were refused.", LIMIT(nr_failures) },
	{ "privheap_limit_soft_hits_total", "counter",
	  "How often the soft limit was passed.", LIMIT(nr_soft_hits) },
};

/* A kind of faults, and whose they are. */
struct fault_sample {
	const struct heapdev_admin_heap *heap;
	struct heapdev_admin_fault fault;
};

struct fault_list {
	const struct heapdev_admin_heap *heap;	/* that is being asked */
	struct fault_sample *samples;
	size_t nr, room;
};

static int keep_fault(const struct heapdev_admin_fault *fault, void *arg)
{
	struct fault_list *list = arg;

	list->samples = array_grow(list->samples, list->nr, &list->room,
				   sizeof(*list->samples));
	list->samples[list->nr].heap = list->heap;
	list->samples[list->nr++].fault = *fault;
	return 0;
}

/* Heaps that were destroyed meanwhile have no faults. */
static void collect_faults(struct heapdev_admin *admin,
			   const struct heap_list *heaps, struct fault_list *list)
{
	size_t i;
	int err;

	for (i = 0; i < heaps->nr; i++) {
		list->heap = &heaps->heaps[i];
		err = heapdev_admin_list_faults(admin, list->heap->serial,
						keep_fault, list);
		if (err != -ENOENT)
			admin_check(admin, err, "faults");
	}
}

struct limit_list {
	struct heapdev_admin_limit *limits;
	size_t nr, room;
};

static int keep_limit(const struct heapdev_admin_limit *limit, void *arg)
{
	struct limit_list *list = arg;

	list->limits = array_grow(list->limits, list->nr, &list->room,
				  sizeof(*limit));
	list->limits[list->nr++] = *limit;
	return 0;
}

static void print_description(const struct metric *metric)
{
	printf("# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
	       metric->name, metric->type);
}

/* Newlines cannot come here: text_clean() has replaced them. */
static void print_label(const char *name, const char *value)
{
	printf("%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(*value);
	}
	putchar('"');
}

static void print_owner(uint32_t pid, uint32_t uid, const char *comm)
{
	char clean[HEAPDEV_ADMIN_COMM_BYTES];

	if (pid != HEAPDEV_ADMIN_NOBODY)
		printf(",pid=\"%u\"", pid);
	if (uid != HEAPDEV_ADMIN_NOBODY)
		printf(",uid=\"%u\"", uid);
	if (pid != HEAPDEV_ADMIN_NOBODY) {
		text_clean(clean, comm);
		putchar(',');
		print_label("command", clean);
	}
}

static void print_value(const struct metric *metric, const void *object)
{
	uint64_t value = *(const uint64_t *)((const char *)object +
					     metric->offset);

	if (value == UINT64_MAX)
		puts("} +Inf");
	else
		printf("} %" PRIu64 "\n", value);
}

static void export_heaps(const struct metric *metric,
			 const struct heap_list *list)
{
	const struct heapdev_admin_heap *heap;

	if (list->nr)
		print_description(metric);
	for (heap = list->heaps; heap < list->heaps + list->nr; heap++) {
		printf("%s{heap=\"%" PRIu64 "\"", metric->name, heap->serial);
		print_owner(heap->pid, heap->uid, heap->comm);
		print_value(metric, heap);
	}
}

static void export_limits(const struct metric *metric,
			  const struct limit_list *list)
{
	static const char *const scopes[] = {
		"none", "heap", "process", "user", "system", "cgroup",
	};
	const struct heapdev_admin_limit *limit;

	if (list->nr)
		print_description(metric);
	for (limit = list->limits; limit < list->limits + list->nr; limit++) {
		if (limit->scope >= sizeof(scopes) / sizeof(scopes[0]))
			continue;
		printf("%s{scope=\"%s\",key=\"%" PRIu64 "\"", metric->name,
		       scopes[limit->scope], limit->key);
		print_owner(limit->pid, limit->uid, limit->comm);
		print_value(metric, limit);
	}
}

static void export_faults(const struct fault_list *list, bool latencies)
{
	static const struct metric metrics[] = {
		{ "privheap_heap_faults_total", "counter",
		  "Page faults, by where the memory came from and how much, as a power of two of pages.",
		  0 },
		{ "privheap_heap_fault_times_total", "counter",
		  "Page faults that took from so many nanoseconds to twice as many.",
		  0 },
	};
	const struct metric *metric = &metrics[latencies];
	const struct fault_sample *sample;

	print_description(metric);
	for (sample = list->samples; sample < list->samples + list->nr; sample++) {
		if (!!sample->fault.latency_ns != latencies)
			continue;
		printf("%s{heap=\"%" PRIu64 "\"", metric->name,
		       sample->heap->serial);
		print_owner(sample->heap->pid, sample->heap->uid,
			    sample->heap->comm);
		if (latencies)
			printf(",from_ns=\"%" PRIu64 "\"",
			       sample->fault.latency_ns);
		else
			printf(",source=\"%s\",order=\"%u\"",
			       sample->fault.source < PRIVHEAP_NR_SOURCES ?
			       sources[sample->fault.source] : "unknown",
			       sample->fault.order);
		printf("} %" PRIu64 "\n", sample->fault.nr_faults);
	}
}

static void export_run(char **operands)
{
	static const struct metric count = {
		"privheap_heaps", "gauge", "Heaps that can be seen.", 0
	};
	struct heapdev_admin *admin = admin_open();
	struct limit_list limits = { 0 };
	struct fault_list faults = { 0 };
	struct heap_list heaps = { 0 };
	size_t i;

	(void)operands;
	heaps_collect(admin, &heaps);
	if (options.faults)
		collect_faults(admin, &heaps, &faults);
	admin_check(admin,
		    heapdev_admin_list_limits(admin, &options.filter,
					      keep_limit, &limits),
		    "limits");
	print_description(&count);
	printf("%s %zu\n", count.name, heaps.nr);
	for (i = 0; i < sizeof(heap_metrics) / sizeof(heap_metrics[0]); i++)
		export_heaps(&heap_metrics[i], &heaps);
	for (i = 0; i < sizeof(limit_metrics) / sizeof(limit_metrics[0]); i++)
		export_limits(&limit_metrics[i], &limits);
	if (options.faults) {
		export_faults(&faults, false);
		export_faults(&faults, true);
	}
	free(faults.samples);
	free(heaps.heaps);
	free(limits.limits);
	heapdev_admin_close(admin);
}

const struct command export_command = {
	.name = "export",
	.operands = "",
	.summary = "show heaps and limits in Prometheus' text format",
	.help = "Show heaps and limits in the text format of Prometheus, for example for the\n"
		"textfile collector of its node exporter. A limit of +Inf is none. With --faults\n"
		"each heap is asked for its page faults, which takes its time.\n",
	.options = "fpu",
	.run = export_run,
};
