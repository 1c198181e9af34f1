// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that become resident: heaps of each policy beside what the kernel offers
 * without the module.
 *
 * Each work is done in memory of each kind (memory.h), so a case is a pair of
 * the two, called "WORK/KIND".
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "memory.h"

#define NR_PAGES	4096
#define NR_SMALL	200
#define NR_SMALL_PAGES	16
/* A page of each so many is touched. */
#define STRIDE		8
#define NR_THREADS	2
/* Large enough for one page in a hundred to be many. */
#define NR_SPARSE_PAGES	65536
#define NR_SPARSE_TOUCHED (NR_SPARSE_PAGES / 100)

static size_t page;
static struct memory memories[NR_THREADS];
static unsigned int order[NR_SPARSE_PAGES];

static void map(struct bench_case *c, struct memory *memory, size_t nr_pages)
{
	*memory = (struct memory){
		.kind = c->data,
		.bytes = nr_pages * page,
	};
	memory->kind->map(memory);
}

static void unmap(struct memory *memory)
{
	memory->kind->unmap(memory);
}

static void touch(struct memory *memory, size_t n)
{
	*(volatile char *)(memory->start + n * page) = 1;
}

static void touch_all(struct memory *memory)
{
	size_t n;

	for (n = 0; n < memory->bytes / page; n++)
		touch(memory, n);
}

/* --- The first touch of pages, in some order */

/* Also touches the table of the order itself, for the first time. */
static void order_sequential(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		order[i] = i;
}

static void order_random(unsigned int nr)
{
	unsigned int i, j, swapped;

	order_sequential(nr);
	for (i = nr - 1; i > 0; i--) {
		j = bench_random() % (i + 1);
		swapped = order[i];
		order[i] = order[j];
		order[j] = swapped;
	}
}

static void setup_sequential(struct bench_case *c)
{
	memory_prepare(c->data);
	order_sequential(NR_PAGES);
	map(c, &memories[0], NR_PAGES);
}

static void setup_random(struct bench_case *c)
{
	memory_prepare(c->data);
	order_random(NR_PAGES);
	map(c, &memories[0], NR_PAGES);
}

static void setup_strided(struct bench_case *c)
{
	unsigned int i;

	memory_prepare(c->data);
	for (i = 0; i < NR_PAGES / STRIDE; i++)
		order[i] = i * STRIDE;
	map(c, &memories[0], NR_PAGES);
}

static void setup_sparse(struct bench_case *c)
{
	memory_prepare(c->data);
	order_random(NR_SPARSE_PAGES);
	map(c, &memories[0], NR_SPARSE_PAGES);
}

static void step_touch(struct bench_case *c, unsigned long i)
{
	touch(&memories[0], order[i]);
}

static double count_resident(struct bench_case *c)
{
	return memories[0].kind->resident(&memories[0]);
}

static void teardown(struct bench_case *c)
{
	unmap(&memories[0]);
}

/* --- Ranges as a whole */

static void setup_touched(struct bench_case *c)
{
	memory_prepare(c->data);
	map(c, &memories[0], NR_PAGES);
	touch_all(&memories[0]);
}

static void step_retouch(struct bench_case *c, unsigned long i)
{
	memories[0].kind->reset(&memories[0]);
	touch_all(&memories[0]);
}

static void step_unmap(struct bench_case *c, unsigned long i)
{
	unmap(&memories[0]);
}

static void step_populate(struct bench_case *c, unsigned long i)
{
	memories[0].kind->populate(&memories[0]);
}

static void setup_small(struct bench_case *c)
{
	memory_prepare(c->data);
}

static void step_small(struct bench_case *c, unsigned long i)
{
	map(c, &memories[0], NR_SMALL_PAGES);
	touch_all(&memories[0]);
	unmap(&memories[0]);
}

/* --- Two threads, each with its part of the pages */

static struct toucher {
	pthread_t thread;
	struct memory part;
} touchers[NR_THREADS];
static pthread_barrier_t start, end;

static void *run_toucher(void *toucher)
{
	pthread_barrier_wait(&start);
	touch_all(&((struct toucher *)toucher)->part);
	pthread_barrier_wait(&end);
	return NULL;
}

static void start_toucher(int i, const struct memory *memory, size_t first)
{
	touchers[i].part = *memory;
	touchers[i].part.start += first * page;
	touchers[i].part.bytes = NR_PAGES / NR_THREADS * page;
	if (pthread_create(&touchers[i].thread, NULL, run_toucher, &touchers[i]))
		bench_die("pthread_create");
}

static void setup_shared(struct bench_case *c)
{
	int i;

	memory_prepare(c->data);
	map(c, &memories[0], NR_PAGES);
	for (i = 0; i < NR_THREADS; i++)
		start_toucher(i, &memories[0], i * NR_PAGES / NR_THREADS);
}

/*
 * Neighbours that differ in what a core dump takes remain two mappings. Regions of
 * heaps do anyway.
 */
static void setup_apart(struct bench_case *c)
{
	struct memory *m;
	int i;

	memory_prepare(c->data);
	for (i = 0; i < NR_THREADS; i++) {
		m = &memories[i];
		map(c, m, NR_PAGES / NR_THREADS);
		if (m->mapped && madvise(m->mapped, m->mapped_bytes,
					 i % 2 ? MADV_DODUMP : MADV_DONTDUMP))
			bench_die("madvise");
		start_toucher(i, m, 0);
	}
}

static void step_threads(struct bench_case *c, unsigned long i)
{
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&end);
}

static void join_touchers(void)
{
	int i;

	for (i = 0; i < NR_THREADS; i++)
		pthread_join(touchers[i].thread, NULL);
}

static void teardown_shared(struct bench_case *c)
{
	join_touchers();
	unmap(&memories[0]);
}

static void teardown_apart(struct bench_case *c)
{
	int i;

	join_touchers();
	for (i = 0; i < NR_THREADS; i++)
		unmap(&memories[i]);
}

/* --- All works in all kinds of memory */

static bool can_reset(const struct memory_kind *kind)
{
	return kind->reset;
}

static bool can_populate(const struct memory_kind *kind)
{
	return kind->populate;
}

/* @can: leaves out kinds of memory that have no way to do it. */
static const struct work {
	struct bench_case c;
	bool (*can)(const struct memory_kind *kind);
} works[] = {
	{ { "sequential", "page", NR_PAGES, 0, setup_sequential, step_touch,
	    teardown } },
	{ { "random", "page", NR_PAGES, 0, setup_random, step_touch, teardown } },
	{ { "strided", "page", NR_PAGES / STRIDE, 0, setup_strided, step_touch,
	    teardown } },
	{ { "retouch", "page", 1, NR_PAGES, setup_touched, step_retouch,
	    teardown }, can_reset },
	{ { "populate", "page", 1, NR_PAGES, setup_sequential, step_populate,
	    teardown }, can_populate },
	{ { "unmap", "page", 1, NR_PAGES, setup_touched, step_unmap } },
	{ { "small", "page", NR_SMALL, NR_SMALL * NR_SMALL_PAGES, setup_small,
	    step_small } },
	{ { "two in one", "page", 1, NR_PAGES, setup_shared, step_threads,
	    teardown_shared } },
	{ { "two in two", "page", 1, NR_PAGES, setup_apart, step_threads,
	    teardown_apart } },
	{ { "sparse", "touched", NR_SPARSE_TOUCHED, 0, setup_sparse, step_touch,
	    teardown, .value = count_resident, .measure = "resident pages" } },
	{ }
};

static struct bench_case cases[128];

static void make_cases(void)
{
	const struct memory_kind *kind;
	const struct work *work;
	struct bench_case *c = cases;
	char *name;

	for (work = works; work->c.name; work++) {
		for (kind = memory_kinds; kind->name; kind++) {
			if (work->can && !work->can(kind))
				continue;
			/* The last one has no name, and ends the table. */
			if (c == &cases[sizeof(cases) / sizeof(cases[0]) - 1] ||
			    asprintf(&name, "%s/%s", work->c.name, kind->name) < 0)
				bench_die("too many cases");
			*c = work->c;
			c->name = name;
			c->data = kind;
			c++;
		}
	}
}

static struct bench_limit limits[] = {
	{ "random/page", 1, "random/anonymous", 1.0 },
	{ "sequential/adaptive", 1, "sequential/anonymous", 0.30 },
	{ "sequential/adaptive", 0.2, "sequential/userfaultfd", 1 },
	{ "sparse/adaptive", 1, "sparse/anonymous", 1.1 },
	{ "retouch/adaptive", 1, "retouch/anonymous", 0.10 },
	{ "small/recycled", 1, "small/anonymous", 0.50 },
	{ "unmap/adaptive", 1, "unmap/anonymous", 0.95 },
	{ "populate/adaptive", 1, "populate/anonymous", 0.40 },
	{ "sequential/huge", 1, "sequential/thp", 0.60 },
	{ }
};

/* Kernels that clear memory when it is allocated do so twice for huge pages. */
static bool is_cleared_once(void)
{
	char line[4096] = "";
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		bench_die("/proc/cmdline");
	close(fd);
	return strstr(line, "init_on_alloc=0");
}

static void set_huge_limit(double limit)
{
	struct bench_limit *l;

	for (l = limits; l->name; l++) {
		if (!strcmp(l->name, "sequential/huge"))
			l->limit = limit;
	}
}

int main(int argc, char **argv)
{
	static const struct bench_subject subject = { "commit", cases, limits };

	page = page_bytes();
	memory_init();
	pthread_barrier_init(&start, NULL, NR_THREADS + 1);
	pthread_barrier_init(&end, NULL, NR_THREADS + 1);
	make_cases();
	if (is_cleared_once())
		set_huge_limit(1.0);
	return bench_main(&subject, argc, argv);
}
