/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel says about memory in use, for the programs here.
 *
 * Everything is in KiB, as in /proc. The resident sizes come from smaps, which
 * walks the page tables, because the counters in /proc/PID/status may lag
 * behind. Nothing here allocates memory while it measures.
 */
#ifndef DEMO_MEMORY_H
#define DEMO_MEMORY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the mapping of a heap is called in /proc/PID/maps. */
#define HEAP_MAPPING	"privheap:"

/* Ends the program: it cannot show what it is to show. */
#define fail(...)						\
	do {							\
		fprintf(stderr, __VA_ARGS__);			\
		fputc('\n', stderr);				\
		exit(1);					\
	} while (0)

struct memory {
	long process_kib;	/* resident, of the whole process */
	long heaps_kib;		/* resident, of the mappings of heaps */
	long nr_regions;	/* mappings of heaps */
	long available_kib;	/* of the machine: MemAvailable and CPUs' lists */
	long slab_kib;		/* of the machine: Slab */
};

/* A reader of lines without stdio, which would allocate its buffer. */
struct lines {
	int fd;
	size_t start, end;
	char text[16384];
};

static inline void lines_open(struct lines *lines, const char *path)
{
	lines->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (lines->fd < 0)
		fail("%s: cannot be opened", path);
	lines->start = 0;
	lines->end = 0;
}

static inline void lines_refill(struct lines *lines)
{
	ssize_t bytes;

	lines->end -= lines->start;
	memmove(lines->text, lines->text + lines->start, lines->end);
	lines->start = 0;
	bytes = read(lines->fd, lines->text + lines->end,
		     sizeof(lines->text) - lines->end);
	if (bytes > 0)
		lines->end += bytes;
}

/* The next line, or NULL at the end; the file is closed then. */
static inline const char *lines_next(struct lines *lines)
{
	char *line = lines->text + lines->start;
	char *newline = memchr(line, '\n', lines->end - lines->start);

	if (!newline) {
		lines_refill(lines);
		line = lines->text;
		newline = memchr(line, '\n', lines->end);
	}
	if (!newline) {
		close(lines->fd);
		return NULL;
	}
	*newline = '\0';
	lines->start = newline + 1 - lines->text;
	return line;
}

static inline void memory_read_process(struct memory *memory)
{
	static struct lines lines;
	bool is_heap = false;
	const char *line;
	long kib;

	lines_open(&lines, "/proc/self/smaps");
	while ((line = lines_next(&lines))) {
		if (line[0] < 'A' || line[0] > 'Z') {
			is_heap = strstr(line, HEAP_MAPPING);
			memory->nr_regions += is_heap;
		} else if (sscanf(line, "Rss: %ld", &kib) == 1) {
			memory->process_kib += kib;
			memory->heaps_kib += is_heap ? kib : 0;
		}
	}
}

static inline void memory_read_machine(struct memory *memory)
{
	static struct lines lines;
	const char *line;

	lines_open(&lines, "/proc/meminfo");
	while ((line = lines_next(&lines))) {
		sscanf(line, "MemAvailable: %ld", &memory->available_kib);
		sscanf(line, "Slab: %ld", &memory->slab_kib);
	}
}

/*
 * Each CPU keeps a list of free pages, tens of MiB at times, that MemAvailable
 * leaves out.
 */
static inline void memory_read_cpu_lists(struct memory *memory)
{
	static struct lines lines;
	const char *line;
	long pages;

	lines_open(&lines, "/proc/zoneinfo");
	while ((line = lines_next(&lines))) {
		if (sscanf(line, " count: %ld", &pages) == 1)
			memory->available_kib +=
				pages * (sysconf(_SC_PAGESIZE) / 1024);
	}
}

static inline struct memory memory_in_use(void)
{
	struct memory memory = { 0 };

	memory_read_process(&memory);
	memory_read_machine(&memory);
	memory_read_cpu_lists(&memory);
	return memory;
}

static inline void memory_check_no_heap(const struct memory *after)
{
	if (after->nr_regions || after->heaps_kib)
		fail("%ld regions with %ld KiB are left", after->nr_regions,
		     after->heaps_kib);
}

/*
 * No heap is left, and the process has what it had before. A hundredth of what
 * the heaps took is left to the program's own code and data, which it touches
 * while it goes on, and to the library's list of handles, which it keeps; its front
 * end may need a few pages more than it did before to describe spans.
 */
static inline void memory_check_back(const struct memory *before,
				     const struct memory *full,
				     const struct memory *after)
{
	long taken_kib = full->process_kib - before->process_kib;
	long kept_kib = after->process_kib - before->process_kib;

	memory_check_no_heap(after);
	if (kept_kib > taken_kib / 100 + 128)
		fail("the process kept %ld of %ld KiB", kept_kib, taken_kib);
}

#endif /* DEMO_MEMORY_H */
