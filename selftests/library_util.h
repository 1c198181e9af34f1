/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the library share.
 *
 * Every test runs in a process of its own, in which nothing of the library was
 * used before. Threads make no assertions; they leave what they saw to the test.
 */
#ifndef LIBRARY_UTIL_H
#define LIBRARY_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <heapdev.h>

#include "scale.h"

#define KIB	((SIZE_T)1024)
#define MIB	(1024 * KIB)

/* The largest block of a fixed heap. */
#define FIXED_BLOCK_MAX	((SIZE_T)0xFE000)
#define NO_SIZE		((SIZE_T)-1)

/* What the last error and errno are before a call. */
#define ERROR_PATTERN	((DWORD)0xdeadbeef)
#define ERRNO_PATTERN	12345

/* Say before a call what nobody but the call may change. */
static inline void preset_errors(void)
{
	SetLastError(ERROR_PATTERN);
	errno = ERRNO_PATTERN;
}

/* The call left everything alone, as a success does, or set the last error. */
#define EXPECT_ERROR(code)						\
	do {								\
		int seen_errno = errno;					\
									\
		EXPECT_EQ((DWORD)(code), GetLastError());		\
		EXPECT_EQ(ERRNO_PATTERN, seen_errno);			\
		preset_errors();					\
	} while (0)
#define EXPECT_NO_ERROR()	EXPECT_ERROR(ERROR_PATTERN)

/* Why HeapCreate() failed is what one wants to know when all tests fail. */
#define ASSERT_HEAP(heap)						\
	ASSERT_NE(NULL, heap) {						\
		TH_LOG("HeapCreate: error %u", GetLastError());		\
	}

/* A value for byte @i of a block that no other block of a test has. */
static inline uint8_t fill_byte(unsigned int seed, size_t i)
{
	return (seed + 1) * 37 + i * 11 + (i >> 8);
}

static inline void fill(void *block, size_t bytes, unsigned int seed)
{
	uint8_t *byte = block;
	size_t i;

	for (i = 0; i < bytes; i++)
		byte[i] = fill_byte(seed, i);
}

static inline bool is_filled(const void *block, size_t bytes, unsigned int seed)
{
	const uint8_t *byte = block;
	size_t i;

	for (i = 0; i < bytes; i++)
		if (byte[i] != fill_byte(seed, i))
			return false;
	return true;
}

static inline bool is_all(const void *mem, size_t bytes, uint8_t value)
{
	const uint8_t *byte = mem;
	size_t i;

	for (i = 0; i < bytes; i++)
		if (byte[i] != value)
			return false;
	return true;
}

static inline bool is_zero(const void *block, size_t bytes)
{
	return is_all(block, bytes, 0);
}

static inline HEAP_SUMMARY summary_of(HANDLE heap)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };

	if (!HeapSummary(heap, 0, &summary))
		memset(&summary, 0xa5, sizeof(summary));
	return summary;
}

/* Does the library serve small blocks itself? */
static inline bool front_end_is_on(void)
{
	const char *value = getenv("HEAPDEV_FRONTEND");

	return !value || strcmp(value, "0");
}

/* How a child process ended and what it wrote to standard error. */
struct outcome {
	int status;
	char text[16384];
};

static inline void read_all(int fd, char *text, size_t size)
{
	size_t used = 0;
	ssize_t got;

	while (used < size - 1 &&
	       (got = read(fd, text + used, size - 1 - used)) > 0)
		used += got;
	text[used] = '\0';
}

/* Run @body in a child, which exits with what it returns. */
static inline struct outcome run_in_child(int (*body)(void *), void *arg)
{
	struct rlimit no_core = { 0, 0 };
	struct outcome outcome = { .status = -1 };
	int ends[2];
	pid_t child;

	if (pipe(ends))
		return outcome;
	child = fork();
	if (!child) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		setrlimit(RLIMIT_CORE, &no_core);
		_exit(body(arg));
	}
	close(ends[1]);
	read_all(ends[0], outcome.text, sizeof(outcome.text));
	close(ends[0]);
	if (child < 0 || waitpid(child, &outcome.status, 0) != child)
		outcome.status = -1;
	return outcome;
}

static inline bool ended_by(const struct outcome *outcome, int signal)
{
	return WIFSIGNALED(outcome->status) &&
	       WTERMSIG(outcome->status) == signal;
}

static inline bool ended_well(const struct outcome *outcome)
{
	return WIFEXITED(outcome->status) && !WEXITSTATUS(outcome->status);
}

static inline unsigned int count_lines(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

#endif /* LIBRARY_UTIL_H */
