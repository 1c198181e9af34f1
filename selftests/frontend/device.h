/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests tell the device in device.c, and what it tells them.
 */
#ifndef _FRONTEND_DEVICE_H
#define _FRONTEND_DEVICE_H

#include <stdbool.h>

/**
 * struct device - written while no call is on its way
 * @fail_nth: the n-th commit from now on fails; 0 for none
 * @near: a limit is
 * @nr_failures: commits that failed
 * @nr_refused: spans and pages that the library gave back, and that were none
 */
struct device {
	unsigned long fail_nth;
	bool near;
	unsigned long nr_failures;
	unsigned long nr_refused;
};

extern struct device device;

#endif /* _FRONTEND_DEVICE_H */
