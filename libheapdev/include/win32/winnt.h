/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of <winnt.h> that programs of the heap functions use.
 *
 * Text is ANSI text. There are no types for wide characters: wchar_t has 32 bits
 * here, and no heap function takes text.
 */
#ifndef HEAPDEV_WIN32_WINNT_H
#define HEAPDEV_WIN32_WINNT_H

#include <ctype.h>
#include <string.h>

#include <basetsd.h>
#include <sal.h>

typedef char		CHAR;
typedef short		SHORT;
typedef long long	LONGLONG;
typedef unsigned long long ULONGLONG;
typedef unsigned long long DWORDLONG;
typedef CHAR		TCHAR;

typedef CHAR		*PCHAR, *PSTR, *LPSTR, *PTSTR, *LPTSTR;
typedef const CHAR	*PCSTR, *LPCSTR, *PCTSTR, *LPCTSTR;
typedef SHORT		*PSHORT;
typedef LONG		*PLONG;
typedef LONGLONG	*PLONGLONG;
typedef ULONGLONG	*PULONGLONG;
typedef BOOLEAN		*PBOOLEAN;

#define TEXT(quote)	quote

#define NTAPI
#define FORCEINLINE	static inline __attribute__((__always_inline__))
#define DECLSPEC_NORETURN	__attribute__((__noreturn__))
#define UNREFERENCED_PARAMETER(p)	((void)(p))
#define UNREFERENCED_LOCAL_VARIABLE(v)	((void)(v))
#define ARRAYSIZE(a)	(sizeof(a) / sizeof((a)[0]))
#ifndef FIELD_OFFSET
#define FIELD_OFFSET(type, field)	((LONG)offsetof(type, field))
#endif
#ifndef CONTAINING_RECORD
#define CONTAINING_RECORD(address, type, field) \
	((type *)((char *)(address) - offsetof(type, field)))
#endif

/* Words of Microsoft's compiler. */
#ifndef _MSC_VER
#define __int8		char
#define __int16		short
#define __int32		int
#define __int64		long long
#define __forceinline	inline __attribute__((__always_inline__))
#define __declspec(a)	__attribute__((a))
#endif

#define MINCHAR		0x80
#define MAXCHAR		0x7f
#define MINSHORT	0x8000
#define MAXSHORT	0x7fff
#define MINLONG		0x80000000U
#define MAXLONG		0x7fffffff
#define MAXBYTE		0xff
#define MAXWORD		0xffff
#define MAXDWORD	0xffffffffU
#define MAXLONGLONG	0x7fffffffffffffffLL
#define MAXSIZE_T	((SIZE_T)-1)
#define MAXULONG_PTR	((ULONG_PTR)-1)

#define RtlEqualMemory(a, b, bytes)	(!memcmp((a), (b), (bytes)))
#define RtlMoveMemory(to, from, bytes)	memmove((to), (from), (bytes))
#define RtlCopyMemory(to, from, bytes)	memcpy((to), (from), (bytes))
#define RtlFillMemory(to, bytes, fill)	memset((to), (fill), (bytes))
#define RtlZeroMemory(to, bytes)	memset((to), 0, (bytes))

/* Zeroing that the compiler may not leave out. */
static inline PVOID RtlSecureZeroMemory(PVOID to, SIZE_T bytes)
{
	volatile BYTE *byte = (volatile BYTE *)to;

	while (bytes--)
		*byte++ = 0;
	return to;
}

#endif /* HEAPDEV_WIN32_WINNT_H */
