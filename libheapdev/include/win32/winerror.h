/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The error codes of the heap functions are in <heapdev.h>. */
#ifndef HEAPDEV_WIN32_WINERROR_H
#define HEAPDEV_WIN32_WINERROR_H

#include <heapdev.h>

#define ERROR_OUTOFMEMORY	14

#endif /* HEAPDEV_WIN32_WINERROR_H */
