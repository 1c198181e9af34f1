/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests on kernels that check themselves, which makes them many times slower.
 *
 * There a test does less of what it only repeats, and has more time. To be
 * included after the harness.
 */
#ifndef SCALE_H
#define SCALE_H

#include <stdlib.h>

/* The limits are there to end a test that hangs, on any machine. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300
#undef TEST_F_TIMEOUT
#define TEST_F_TIMEOUT(fixture_name, test_name, timeout) \
	__TEST_F_IMPL(fixture_name, test_name, -1, 10 * (timeout))

/* How often to repeat what is repeated @count times on an ordinary kernel. */
static inline unsigned long scaled(unsigned long count)
{
	const char *text = getenv("PRIVHEAP_SCALE");
	unsigned long scale = text ? strtoul(text, NULL, 10) : 1;

	return scale > 1 && scale < count ? count / scale : count;
}

#endif /* SCALE_H */
