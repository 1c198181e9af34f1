/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of <minwindef.h> that programs of the heap functions use. */
#ifndef HEAPDEV_WIN32_MINWINDEF_H
#define HEAPDEV_WIN32_MINWINDEF_H

#include <winnt.h>

typedef int		INT;
typedef float		FLOAT;
typedef unsigned char	UCHAR;
typedef uint16_t	USHORT;

typedef BYTE		*PBYTE, *LPBYTE;
typedef UCHAR		*PUCHAR;
typedef WORD		*PWORD, *LPWORD;
typedef USHORT		*PUSHORT;
typedef DWORD		*PDWORD, *LPDWORD;
typedef ULONG		*PULONG;
typedef UINT		*PUINT;
typedef INT		*PINT, *LPINT;
typedef LONG		*LPLONG;
typedef FLOAT		*PFLOAT;
typedef BOOL		*PBOOL, *LPBOOL;

#ifndef CONST
#define CONST		const
#endif
#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef OPTIONAL
#define OPTIONAL
#endif

/* Calling conventions: there is one. */
#define APIENTRY	WINAPI
#define WINAPIV
#define APIPRIVATE
#define PASCAL
#define __cdecl
#define _cdecl
#define __stdcall
#define _stdcall
#define __fastcall
#define _fastcall

#define LOWORD(l)	((WORD)((DWORD_PTR)(l) & 0xffff))
#define HIWORD(l)	((WORD)(((DWORD_PTR)(l) >> 16) & 0xffff))
#define LOBYTE(w)	((BYTE)((DWORD_PTR)(w) & 0xff))
#define HIBYTE(w)	((BYTE)(((DWORD_PTR)(w) >> 8) & 0xff))
#define MAKEWORD(a, b)	((WORD)(LOBYTE(a) | ((WORD)LOBYTE(b) << 8)))
#define MAKELONG(a, b)	((LONG)(LOWORD(a) | ((DWORD)LOWORD(b) << 16)))

/* As in other compilers' headers, not for C++, which has functions. */
#if !defined(NOMINMAX) && !defined(__cplusplus)
#ifndef max
#define max(a, b)	(((a) > (b)) ? (a) : (b))
#endif
#ifndef min
#define min(a, b)	(((a) < (b)) ? (a) : (b))
#endif
#endif

#endif /* HEAPDEV_WIN32_MINWINDEF_H */
