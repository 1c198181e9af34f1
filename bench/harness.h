/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmarks share: measuring cases against each other in one process,
 * and judging the ratios that are to be kept.
 *
 * A case is a piece of work in steps. A round prepares a case, does its steps
 * between two looks at the clock, and clears up. The rounds of a program's cases
 * alternate, so that whatever the machine goes through, each of them meets it.
 * The result of a case is its cheapest round.
 *
 * In a virtual machine that counts instructions (selftests/vm/run --icount) one
 * nanosecond is one instruction, and rounds differ by a few thousandths. There,
 * a case whose rounds differ by more is not believed.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stddef.h>

/* Rounds that count, at most; odd, so that there is one in the middle. */
#define BENCH_NR_ROUNDS	7

/**
 * struct bench_case - one thing that is measured
 * @name: how it is called on the command line and in tables, without a comma
 * @unit: what @nr_units counts
 * @nr_steps: calls of @step in a round
 * @nr_units: units in a round; @nr_steps if left 0 by the table and by @setup
 * @setup: prepares a round; may be NULL
 * @step: does the work of step @i
 * @teardown: clears up after a round; may be NULL
 * @data: for the functions
 * @value: what a round is measured by, after its steps; NULL if by the clock
 * @measure: what @value counts
 * @costs: a unit's, of each round, the cheapest first (result)
 */
struct bench_case {
	const char *name;
	const char *unit;
	unsigned long nr_steps;
	unsigned long nr_units;
	void (*setup)(struct bench_case *c);
	void (*step)(struct bench_case *c, unsigned long i);
	void (*teardown)(struct bench_case *c);
	const void *data;
	double (*value)(struct bench_case *c);
	const char *measure;
	double costs[BENCH_NR_ROUNDS];
};

/**
 * struct bench_limit - a ratio that is to be kept
 * @name: the case
 * @times: how many units of
 * @reference: this case are compared with one unit of @name
 * @limit: the ratio is at most this
 */
struct bench_limit {
	const char *name;
	double times;
	const char *reference;
	double limit;
};

/**
 * struct bench_subject - what one program measures
 * @name: of the subject
 * @cases: ends with a case that has no name
 * @limits: ends with a limit that has no name
 * @nr_rounds: that count; 0 for %BENCH_NR_ROUNDS, fewer where a round is long
 * @max_spread: of rounds that are believed; 0 for three hundredths, more where they
 *	cannot be but by the clock
 */
struct bench_subject {
	const char *name;
	struct bench_case *cases;
	const struct bench_limit *limits;
	int nr_rounds;
	double max_spread;
};

/**
 * bench_main - measure, print, judge
 * @subject: what
 * @argc: of main()
 * @argv: of main()
 *
 * Return: the exit status, 0 when every limit is kept.
 */
int bench_main(const struct bench_subject *subject, int argc, char **argv);

/** bench_die - print what failed, with errno, and exit */
_Noreturn void bench_die(const char *what);

/** bench_random - the next number of a fixed sequence that each round restarts */
unsigned int bench_random(void);

#endif /* BENCH_HARNESS_H */
