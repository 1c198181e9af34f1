/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of <winbase.h> that programs of the heap functions use. */
#ifndef HEAPDEV_WIN32_WINBASE_H
#define HEAPDEV_WIN32_WINBASE_H

#include <minwindef.h>
#include <heapapi.h>
#include <errhandlingapi.h>
#include <winerror.h>

#define INVALID_HANDLE_VALUE	((HANDLE)(LONG_PTR)-1)

#define MoveMemory		RtlMoveMemory
#define CopyMemory		RtlCopyMemory
#define FillMemory		RtlFillMemory
#define ZeroMemory		RtlZeroMemory
#define SecureZeroMemory	RtlSecureZeroMemory

#endif /* HEAPDEV_WIN32_WINBASE_H */
