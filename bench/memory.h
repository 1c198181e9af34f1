/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of memory that are compared: heaps, by policy, and what the kernel
 * offers without the module. Each is a row of the table in memory.c; the cases
 * know them by what can be done with all of them.
 *
 * None of the functions fails: they end the program instead.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct memory_kind;

/**
 * struct memory - a range of memory of one kind
 * @kind: which
 * @start: where it starts; at a huge page, if it has that length
 * @bytes: its length
 * @mapped: where the mapping that it lies in starts; NULL for a heap's
 * @mapped_bytes: its length
 * @heap: the heap that it is a block of
 * @fd: the file that it maps
 */
struct memory {
	const struct memory_kind *kind;
	char *start;
	size_t bytes;
	char *mapped;
	size_t mapped_bytes;
	uint64_t heap;
	int fd;
};

/**
 * struct memory_kind - how memory of one kind is had
 * @name: in the names of cases
 * @map: reserves it; nothing of it is resident. Finds @kind and @bytes set
 * @unmap: ends it
 * @reset: takes the contents away but keeps the range; NULL if there is no way
 * @populate: makes all of it resident in one call; NULL if there is no way
 * @resident: counts the pages that are resident
 * @policy: of a heap, PRIVHEAP_POLICY_*
 * @recycle_kib: how much the process may keep of what its heaps gave up, as a
 *	setting of the module; NULL if it is no heap
 */
struct memory_kind {
	const char *name;
	void (*map)(struct memory *memory);
	void (*unmap)(struct memory *memory);
	void (*reset)(struct memory *memory);
	void (*populate)(struct memory *memory);
	unsigned long (*resident)(struct memory *memory);
	unsigned int policy;
	const char *recycle_kib;
};

/** memory_kinds - all of them; ends with one that has no name */
extern const struct memory_kind memory_kinds[];

/**
 * memory_prepare - have rounds begin alike
 * @kind: of the memory that the round is about to map. The process keeps nothing of
 *	what its heaps gave up, or all that it may
 */
void memory_prepare(const struct memory_kind *kind);

/** memory_init - what the kinds need once in a program */
void memory_init(void);

#endif /* BENCH_MEMORY_H */
