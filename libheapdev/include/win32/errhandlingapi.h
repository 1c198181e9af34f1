/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HEAPDEV_WIN32_ERRHANDLINGAPI_H
#define HEAPDEV_WIN32_ERRHANDLINGAPI_H

#include <minwindef.h>

#endif /* HEAPDEV_WIN32_ERRHANDLINGAPI_H */
