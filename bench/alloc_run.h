/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cases that are done by workers (alloc_worker.c): each work with each allocator,
 * in a process of its own. A case is called "WORK/ALLOCATOR".
 *
 * With BENCH_SIMULATED=1 in the environment the heaps are those of simulated.c,
 * and the subject is called so.
 */
#ifndef BENCH_ALLOC_RUN_H
#define BENCH_ALLOC_RUN_H

#include <stdbool.h>

#include "harness.h"

/**
 * struct alloc_allocator - an allocator
 * @name: in the names of cases
 * @program: the worker that uses it
 * @preload: library that has it; NULL for what the program is linked with
 * @front_end: HEAPDEV_FRONTEND
 * @unserialized: heaps are made with HEAP_NO_SERIALIZE
 */
struct alloc_allocator {
	const char *name;
	const char *program;
	const char *preload;
	bool front_end;
	bool unserialized;
};

extern const struct alloc_allocator alloc_allocators[];

/**
 * struct alloc_work - what is done with each allocator
 * @name: of the case, before the slash
 * @unit: as in a case
 * @measure: as in a case
 * @work: argument of the worker; NULL if it is @name
 * @line: which line of the worker's output tells
 * @by: name of the only allocator that can do it; NULL if all can
 * @has_threads: nothing for heaps that are not serialised
 * @is_cgroup: in a memory cgroup of its own
 */
struct alloc_work {
	const char *name;
	const char *unit;
	const char *measure;
	const char *work;
	unsigned int line;
	const char *by;
	bool has_threads;
	bool is_cgroup;
};

/**
 * alloc_main - bench_main() for works of workers
 * @subject: without cases
 * @works: ends with a work that has no name
 * @argc: of main()
 * @argv: of main()
 *
 * Return: as bench_main().
 */
int alloc_main(struct bench_subject *subject, const struct alloc_work *works,
	       int argc, char **argv);

#endif /* BENCH_ALLOC_RUN_H */
