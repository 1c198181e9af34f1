// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running workers, and making cases of them; alloc_run.h tells what they are.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc_run.h"

#define CGROUP		"/sys/fs/cgroup/privheap-bench-worker"
/* Lines of a worker's output. */
#define MAX_LINES	4

const struct alloc_allocator alloc_allocators[] = {
	{ "calls", "alloc-heapdev" },
	{ "frontend", "alloc-heapdev", .front_end = true },
	{ "unserialized", "alloc-heapdev", .front_end = true,
	  .unserialized = true },
	{ "glibc", "alloc-malloc" },
	{ "jemalloc", "alloc-malloc", "libjemalloc.so.2" },
	{ "mimalloc", "alloc-malloc", "libmimalloc.so.2" },
	{ "tcmalloc", "alloc-malloc", "libtcmalloc_minimal.so.4" },
	{ }
};

/* What a worker measured last; each line is for one round of one case. */
struct result {
	const struct alloc_allocator *allocator;
	const char *work;
	double values[MAX_LINES];
	unsigned long nr_units[MAX_LINES];
	bool is_fresh[MAX_LINES];
};

/* @data of a case. */
struct alloc_case {
	const struct alloc_work *work;
	const struct alloc_allocator *allocator;
};

static struct bench_case cases[256];
static struct alloc_case alloc_cases[256];
static struct result result;

static bool is_simulated(void)
{
	return getenv("BENCH_SIMULATED");
}

static bool is_heapdev(const struct alloc_allocator *allocator)
{
	return !strcmp(allocator->program, "alloc-heapdev");
}

/* The path of a file beside this program. */
static const char *beside(const char *name)
{
	static char path[PATH_MAX + 64];

	if (!realpath("/proc/self/exe", path))
		bench_die("/proc/self/exe");
	strcpy(strrchr(path, '/') + 1, name);
	return path;
}

static void enter_cgroup(void)
{
	FILE *f;

	if (mkdir(CGROUP, 0755))
		bench_die(CGROUP);
	f = fopen(CGROUP "/cgroup.procs", "w");
	if (!f || fprintf(f, "%d\n", getpid()) < 0 || fclose(f))
		bench_die(CGROUP);
	setenv("BENCH_MEMORY", CGROUP "/memory.current", 1);
}

static const char *work_of(const struct alloc_work *work)
{
	return work->work ?: work->name;
}

static _Noreturn void become_worker(const struct alloc_case *ac)
{
	const struct alloc_allocator *allocator = ac->allocator;

	if (ac->work->is_cgroup)
		enter_cgroup();
	setenv("HEAPDEV_FRONTEND", allocator->front_end ? "1" : "0", 1);
	if (allocator->unserialized)
		setenv("BENCH_UNSERIALIZED", "1", 1);
	if (allocator->preload) {
		setenv("LD_PRELOAD", allocator->preload, 1);
		setenv("BENCH_MALLOC", allocator->preload, 1);
	} else if (is_simulated() && is_heapdev(allocator)) {
		setenv("LD_PRELOAD", beside("simulated.so"), 1);
		setenv("HEAPDEV_DEVICE", "/dev/null", 1);
	}
	execl(beside(allocator->program), allocator->program, work_of(ac->work),
	      NULL);
	bench_die(allocator->program);
}

static void read_result(FILE *f)
{
	int i;

	memset(&result, 0, sizeof(result));
	for (i = 0; i < MAX_LINES; i++)
		result.is_fresh[i] = fscanf(f, "%lf %lu", &result.values[i],
					    &result.nr_units[i]) == 2;
	fclose(f);
}

static void run_worker(const struct alloc_case *ac)
{
	int fds[2], status;
	pid_t pid;

	if (pipe(fds))
		bench_die("pipe");
	pid = fork();
	if (pid < 0)
		bench_die("fork");
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		become_worker(ac);
	}
	close(fds[1]);
	read_result(fdopen(fds[0], "r"));
	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "%s with %s: the worker failed\n",
			ac->work->name, ac->allocator->name);
		exit(2);
	}
	if (ac->work->is_cgroup)
		rmdir(CGROUP);
	result.allocator = ac->allocator;
	result.work = work_of(ac->work);
}

/* One run of a worker has figures for several cases. */
static void step(struct bench_case *c, unsigned long i)
{
	const struct alloc_case *ac = c->data;
	unsigned int line = ac->work->line;

	if (result.allocator != ac->allocator || !result.is_fresh[line] ||
	    strcmp(result.work, work_of(ac->work)))
		run_worker(ac);
	if (!result.is_fresh[line])
		bench_die("the worker's output");
	c->nr_units = result.nr_units[line];
}

static double value(struct bench_case *c)
{
	const struct alloc_case *ac = c->data;

	result.is_fresh[ac->work->line] = false;
	return result.values[ac->work->line];
}

static bool can(const struct alloc_work *work,
		const struct alloc_allocator *allocator)
{
	if (work->by)
		return !strcmp(work->by, allocator->name);
	if (work->has_threads && allocator->unserialized)
		return false;
	/* What only makes calls has nothing to simulate. */
	return allocator->front_end || !is_heapdev(allocator) || !is_simulated();
}

static void add_case(const struct alloc_work *work,
		     const struct alloc_allocator *allocator)
{
	static unsigned int nr;
	struct alloc_case *ac = &alloc_cases[nr];
	char *name;

	/* The last one has no name, and ends the table. */
	if (nr == sizeof(cases) / sizeof(cases[0]) - 1 ||
	    asprintf(&name, "%s/%s", work->name, allocator->name) < 0)
		bench_die("too many cases");
	*ac = (struct alloc_case){ work, allocator };
	cases[nr++] = (struct bench_case){
		.name = name,
		.unit = work->unit,
		.nr_steps = 1,
		.step = step,
		.value = value,
		.measure = work->measure,
		.data = ac,
	};
}

/*
 * Works that one run of a worker measures follow each other, so that they do
 * so for each allocator.
 */
static void add_cases(const struct alloc_work *works)
{
	const struct alloc_allocator *allocator;
	const struct alloc_work *work, *group;

	for (group = works; group->name; group = work) {
		for (allocator = alloc_allocators; allocator->name; allocator++) {
			work = group;
			do {
				if (can(work, allocator))
					add_case(work, allocator);
				work++;
			} while (work->line);
		}
	}
}

int alloc_main(struct bench_subject *subject, const struct alloc_work *works,
	       int argc, char **argv)
{
	static char simulated_name[64];

	add_cases(works);
	subject->cases = cases;
	if (is_simulated()) {
		snprintf(simulated_name, sizeof(simulated_name), "%s simulated",
			 subject->name);
		subject->name = simulated_name;
	}
	return bench_main(subject, argc, argv);
}
