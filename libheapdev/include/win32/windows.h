/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * <windows.h> for programs that use the heap functions and standard C, and
 * nothing else of Windows.
 */
#ifndef HEAPDEV_WIN32_WINDOWS_H
#define HEAPDEV_WIN32_WINDOWS_H

#include <stdarg.h>

#include <windef.h>
#include <winbase.h>

#endif /* HEAPDEV_WIN32_WINDOWS_H */
