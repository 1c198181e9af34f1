/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests that report in KTAP. Each runs in a child, so that one which aborts, or
 * which a sanitizer ends, counts as failed and the others go on.
 */
#ifndef _KTAP_H
#define _KTAP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASSERT(condition) \
	do { \
		if (!(condition)) { \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			fflush(stdout); \
			abort(); \
		} \
	} while (0)

#define ASSERT_EQ(a, b) \
	do { \
		long long _a = (long long)(a), _b = (long long)(b); \
		if (_a != _b) { \
			printf("# %s:%d: %s (%lld) is not %s (%lld)\n", \
			       __FILE__, __LINE__, #a, _a, #b, _b); \
			fflush(stdout); \
			abort(); \
		} \
	} while (0)

/* Seconds, on any machine, after which a test is taken to hang. */
#define KTAP_TIME_LIMIT	600

struct ktap_test {
	const char *name;
	void (*run)(void);
};

#define TEST(name)	{ #name, name }

static inline bool ktap_passes(const struct ktap_test *test)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(KTAP_TIME_LIMIT);
		test->run();
		exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* Returns the exit status of the program; @note says what is special about it. */
static inline int ktap_run(const struct ktap_test *tests, unsigned int nr,
			   const char *note)
{
	unsigned int i, nr_passed = 0;
	bool pass;

	printf("TAP version 13\n1..%u\n# %s\n", nr, note);
	for (i = 0; i < nr; i++) {
		pass = ktap_passes(&tests[i]);
		nr_passed += pass;
		printf("%s %u %s\n", pass ? "ok" : "not ok", i + 1, tests[i].name);
	}
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:0 error:0\n",
	       nr_passed, nr - nr_passed);
	return nr_passed != nr;
}

#endif /* _KTAP_H */
