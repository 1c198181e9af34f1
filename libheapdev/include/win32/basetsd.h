/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of <basetsd.h> that programs of the heap functions use. */
#ifndef HEAPDEV_WIN32_BASETSD_H
#define HEAPDEV_WIN32_BASETSD_H

#include <heapdev.h>

typedef int8_t		INT8;
typedef int16_t		INT16;
typedef int32_t		INT32;
typedef int64_t		INT64;
typedef uint8_t		UINT8;
typedef uint16_t	UINT16;
typedef uint32_t	UINT32;
typedef uint64_t	UINT64;
typedef int32_t		LONG32;
typedef int64_t		LONG64;
typedef uint32_t	ULONG32;
typedef uint64_t	ULONG64;
typedef uint32_t	DWORD32;
typedef uint64_t	DWORD64;
typedef intptr_t	INT_PTR;
typedef uintptr_t	UINT_PTR;
typedef intptr_t	LONG_PTR;
typedef ULONG_PTR	DWORD_PTR;
typedef ptrdiff_t	SSIZE_T;
typedef ULONG_PTR	*PULONG_PTR;
typedef DWORD_PTR	*PDWORD_PTR;

#endif /* HEAPDEV_WIN32_BASETSD_H */
