/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests on kernels that check themselves, which makes them many times slower.
 *
 * There a test does less of what it only repeats, and has more time. To be
 * included after the harness.
 */
#ifndef SCALE_H
#define SCALE_H

#include <stdbool.h>
#include <stdlib.h>

/* The limits are there to end a test that hangs, on any machine. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300
#undef TEST_F_TIMEOUT
#define TEST_F_TIMEOUT(fixture_name, test_name, timeout) \
	__TEST_F_IMPL(fixture_name, test_name, -1, 10 * (timeout))

/* How many times less a test does. */
static inline unsigned long test_scale(void)
{
	const char *text = getenv("PRIVHEAP_SCALE");
	unsigned long scale = text ? strtoul(text, NULL, 10) : 1;

	return scale ? scale : 1;
}

/* How often to repeat what is repeated @count times on an ordinary kernel. */
static inline unsigned long scaled(unsigned long count)
{
	return test_scale() < count ? count / test_scale() : count;
}

/*
 * Is a cell of a matrix to be tried? An ordinary kernel does all of it. The others
 * do a diagonal of it, if @cell is the sum of its row and its column.
 */
static inline bool in_sample(unsigned long cell)
{
	return cell % test_scale() == 0;
}

#endif /* SCALE_H */
