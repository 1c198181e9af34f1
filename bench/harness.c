// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measuring, printing and judging; harness.h tells how.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <time.h>

#include "harness.h"
#include "mark.h"

/* Rounds that differ by more say that something else was measured, too. */
#define MAX_SPREAD	0.03
/* Rounds of all cases before the one that is recorded. */
#define NR_ROUNDS_BEFORE_MARKED	2

static uint32_t random_state;
static const char *wanted = "*";
static int nr_rounds;
static double max_spread;

void bench_die(const char *what)
{
	perror(what);
	exit(2);
}

unsigned int bench_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/*
 * A turn of the loop has two instructions. Do they take two nanoseconds? A loop
 * in which there was an interrupt is tried again.
 */
static bool counts_instructions(void)
{
	const unsigned long turns = 100000;
	unsigned long left;
	uint64_t elapsed;
	int tries;

	for (tries = 0; tries < 5; tries++) {
		left = turns;
		elapsed = now_ns();
		asm volatile("1: dec %0; jnz 1b" : "+r"(left) : : "cc");
		elapsed = now_ns() - elapsed;
		if (elapsed > 1.98 * turns && elapsed < 2.02 * turns)
			return true;
	}
	return false;
}

static bool is_wanted(const struct bench_case *c)
{
	return fnmatch(wanted, c->name, 0) == 0;
}

#define for_each_case(c, subject)					\
	for ((c) = (subject)->cases; (c)->name; (c)++)			\
		if (is_wanted(c))

static void begin_round(struct bench_case *c)
{
	random_state = 2463534242;
	if (c->setup)
		c->setup(c);
	if (!c->nr_units)
		c->nr_units = c->nr_steps;
}

static void end_round(struct bench_case *c)
{
	if (c->teardown)
		c->teardown(c);
}

static double run_round(struct bench_case *c)
{
	uint64_t elapsed;
	double measured;
	unsigned long i;

	begin_round(c);
	elapsed = now_ns();
	for (i = 0; i < c->nr_steps; i++)
		c->step(c, i);
	elapsed = now_ns() - elapsed;
	measured = c->value ? c->value(c) : elapsed;
	end_round(c);
	return measured / c->nr_units;
}

static int compare_costs(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void measure(const struct bench_subject *subject)
{
	struct bench_case *c;
	int round;

	/* Caches fill and tables grow before it counts. */
	for_each_case(c, subject)
		run_round(c);
	for (round = 0; round < nr_rounds; round++) {
		for_each_case(c, subject)
			c->costs[round] = run_round(c);
	}
	for_each_case(c, subject)
		qsort(c->costs, nr_rounds, sizeof(c->costs[0]), compare_costs);
}

static struct bench_case *find(const struct bench_subject *subject,
			       const char *name)
{
	struct bench_case *c;

	for (c = subject->cases; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	fprintf(stderr, "%s has no case %s\n", subject->name, name);
	exit(2);
}

static void run_marked_round(struct bench_case *c)
{
	unsigned long i;

	begin_round(c);
	for (i = 0; i < c->nr_steps; i++) {
		MARK_START();
		c->step(c, i);
		MARK_STOP();
	}
	end_round(c);
}

/*
 * Marks the steps of one case for bench/where, in one round after others of all
 * cases, since what a step costs depends on what went before. Says how many units a
 * step has.
 */
static int run_marked(const struct bench_subject *subject, struct bench_case *marked)
{
	struct bench_case *c;
	int round;

	for (round = 0; round < NR_ROUNDS_BEFORE_MARKED; round++) {
		for (c = subject->cases; c->name; c++)
			run_round(c);
	}
	for (c = subject->cases; c != marked; c++)
		run_round(c);
	run_marked_round(marked);
	printf("%g\n", (double)marked->nr_units / marked->nr_steps);
	return 0;
}

static double lowest(const struct bench_case *c)
{
	return c->costs[0];
}

/* A single round that something else disturbed does no harm. */
static double spread(const struct bench_case *c)
{
	double middle = c->costs[nr_rounds / 2];

	return middle == lowest(c) ? 0 : middle / lowest(c) - 1;	/* may be 0 / 0 */
}

static double ratio(const struct bench_subject *subject,
		    const struct bench_limit *l)
{
	return lowest(find(subject, l->name)) /
	       (l->times * lowest(find(subject, l->reference)));
}

static bool is_reliable(const struct bench_case *c)
{
	return spread(c) <= max_spread;
}

/* Is there a limit to judge, or was one of its cases left out? */
static bool is_judged(const struct bench_subject *subject,
		      const struct bench_limit *l)
{
	return is_wanted(find(subject, l->name)) &&
	       is_wanted(find(subject, l->reference));
}

#define for_each_limit(l, subject)					\
	for ((l) = (subject)->limits; (l)->name; (l)++)			\
		if (is_judged(subject, l))

static void print_cases(const struct bench_subject *subject, const char *measure_of)
{
	struct bench_case *c;

	printf("%-10s %-24s %14s %-8s %7s\n", subject->name, "case",
	       measure_of, "per", "spread");
	for_each_case(c, subject)
		printf("%-10s %-24s %14.2f %-8s %6.2f%%%s%s%s\n", "", c->name,
		       lowest(c), c->unit, 100 * spread(c),
		       c->measure ? "  " : "", c->measure ?: "",
		       is_reliable(c) ? "" : "  rounds differ too much");
}

static const char *verdict(const struct bench_subject *subject,
			   const struct bench_limit *l)
{
	if (!is_reliable(find(subject, l->name)) ||
	    !is_reliable(find(subject, l->reference)))
		return "NOT RELIABLE";
	return ratio(subject, l) > l->limit ? "MISSED" : "kept";
}

/* Returns how many limits are not shown to be kept. */
static int print_limits(const struct bench_subject *subject)
{
	const struct bench_limit *l;
	int nr_bad = 0;

	for_each_limit(l, subject) {
		nr_bad += strcmp(verdict(subject, l), "kept") != 0;
		printf("%-10s %-24s %14.3f times %g x %s, at most %g: %s\n", "",
		       l->name, ratio(subject, l), l->times, l->reference,
		       l->limit, verdict(subject, l));
	}
	return nr_bad;
}

static FILE *open_csv(const char *folder, const char *name, const char *header)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "a");
	if (!f)
		bench_die(path);
	if (ftell(f) == 0)
		fprintf(f, "%s\n", header);
	return f;
}

static void write_csv(const struct bench_subject *subject, const char *measure_of,
		      const char *folder)
{
	const struct bench_limit *l;
	struct utsname system;
	struct bench_case *c;
	FILE *f;

	uname(&system);
	f = open_csv(folder, "cases.csv",
		     "kernel,subject,case,measure,unit,units,min,median,max");
	for_each_case(c, subject)
		fprintf(f, "%s,%s,%s,%s,%s,%lu,%.2f,%.2f,%.2f\n", system.release,
			subject->name, c->name, c->measure ?: measure_of,
			c->unit, c->nr_units, lowest(c),
			c->costs[nr_rounds / 2], c->costs[nr_rounds - 1]);
	fclose(f);

	f = open_csv(folder, "limits.csv",
		     "kernel,subject,case,times,reference,ratio,limit,verdict");
	for_each_limit(l, subject)
		fprintf(f, "%s,%s,%s,%g,%s,%.4f,%g,%s\n", system.release,
			subject->name, l->name, l->times, l->reference,
			ratio(subject, l), l->limit, verdict(subject, l));
	fclose(f);
}

static int usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [--cases PATTERN] [--csv FOLDER] | --list | --mark CASE\n\n"
		"  --cases PATTERN  only these, by name, as in 'random/*'\n"
		"  --csv FOLDER     also append to cases.csv and limits.csv there\n"
		"  --list           name the cases\n"
		"  --mark CASE      run one case, not timed but marked for bench/where\n",
		program);
	return 2;
}

static int list(const struct bench_subject *subject)
{
	struct bench_case *c;

	for (c = subject->cases; c->name; c++)
		puts(c->name);
	return 0;
}

int bench_main(const struct bench_subject *subject, int argc, char **argv)
{
	static const struct option options[] = {
		{ "cases", required_argument, NULL, 'w' },
		{ "csv", required_argument, NULL, 'c' },
		{ "list", no_argument, NULL, 'l' },
		{ "mark", required_argument, NULL, 'm' },
		{ }
	};
	const char *csv_folder = NULL, *measure_of;
	int option, nr_bad;

	/* The peers get single pages, wherever the kernel would choose others. */
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		bench_die("PR_SET_THP_DISABLE");

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'w':
			wanted = optarg;
			break;
		case 'c':
			csv_folder = optarg;
			break;
		case 'l':
			return list(subject);
		case 'm':
			return run_marked(subject, find(subject, optarg));
		default:
			return usage(argv[0]);
		}
	}
	nr_rounds = subject->nr_rounds ?: BENCH_NR_ROUNDS;
	max_spread = subject->max_spread ?: MAX_SPREAD;
	measure_of = counts_instructions() ? "instructions" : "ns";
	measure(subject);
	print_cases(subject, measure_of);
	nr_bad = print_limits(subject);
	putchar('\n');
	if (csv_folder)
		write_csv(subject, measure_of, csv_folder);
	return nr_bad > 0;
}
