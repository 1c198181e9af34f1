/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HEAPDEV_WIN32_WINDEF_H
#define HEAPDEV_WIN32_WINDEF_H

#include <minwindef.h>

#endif /* HEAPDEV_WIN32_WINDEF_H */
