/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this folder have in common: they print what they see of
 * the heap functions, one observation in a line, "NAME: VALUE".
 *
 * The same programs run on libheapdev and under Wine and the two transcripts are
 * compared, so they hold nothing that may differ by nature: no addresses, no
 * layout, nothing of time. A name occurs once in a transcript.
 *
 * They are written for <windows.h> and standard C alone. A long has 32 bits on
 * one side and 64 on the other, so none is used.
 */
#ifndef TRANSCRIPT_H
#define TRANSCRIPT_H

#include <windows.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED	__attribute__((__unused__))

#define KIB	((SIZE_T)1024)
#define MIB	(1024 * KIB)

/* Larger than any size of which an allocation fits below it. */
#define SIZE_T_MAX	((SIZE_T)-1)

/* The last error before each observed call, which is no error code of Windows. */
#define PRESET	0x2000d00dU

#define COUNT_OF(array)	(sizeof(array) / sizeof((array)[0]))

__attribute__((__format__(__printf__, 2, 3)))
static UNUSED void tell(const char *name, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	printf("%s: ", name);
	vprintf(format, values);
	putchar('\n');
	va_end(values);
}

/* The last error as text; valid until the next call. */
static UNUSED const char *last_error(void)
{
	static char text[32];
	DWORD error = GetLastError();

	if (error == PRESET)
		return "error unchanged";
	snprintf(text, sizeof(text), "error %u", (unsigned int)error);
	return text;
}

static UNUSED void tell_bool(const char *name, BOOL value)
{
	const char *error = last_error();

	tell(name, "%s, %s", value ? "TRUE" : "FALSE", error);
}

static UNUSED void tell_size(const char *name, SIZE_T bytes)
{
	const char *error = last_error();

	if (bytes == SIZE_T_MAX)
		tell(name, "-1, %s", error);
	else
		tell(name, "%llu, %s", (unsigned long long)bytes, error);
}

static UNUSED void *tell_pointer(const char *name, void *pointer)
{
	const char *error = last_error();

	tell(name, "%s, %s", pointer ? "pointer" : "NULL", error);
	return pointer;
}

/* Observe one call: its answer, and what it does to the last error. */
#define TELL_BOOL(name, call)						\
	(SetLastError(PRESET), tell_bool((name), (call)))
#define TELL_SIZE(name, call)						\
	(SetLastError(PRESET), tell_size((name), (call)))
#define TELL_POINTER(name, call)					\
	(SetLastError(PRESET), tell_pointer((name), (call)))

static UNUSED void tell_yes(const char *name, int truth)
{
	tell(name, "%s", truth ? "yes" : "no");
}

/* "NAME_BYTES", for a table of sizes; valid until the next call. */
static UNUSED const char *name_of(const char *name, SIZE_T bytes)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s_%#llx", name,
		 (unsigned long long)bytes);
	return text;
}

/* A pattern of bytes that depends on the place and on @tag. */
static UNUSED unsigned char pattern(SIZE_T at, unsigned int tag)
{
	return (at * 7 + (at >> 8) * 13 + tag * 29) | 1;
}

static UNUSED void fill(void *block, SIZE_T from, SIZE_T to, unsigned int tag)
{
	unsigned char *bytes = block;
	SIZE_T i;

	for (i = from; i < to; i++)
		bytes[i] = pattern(i, tag);
}

static UNUSED int is_filled(const void *block, SIZE_T from, SIZE_T to,
			    unsigned int tag)
{
	const unsigned char *bytes = block;
	SIZE_T i;

	for (i = from; i < to; i++)
		if (bytes[i] != pattern(i, tag))
			return 0;
	return 1;
}

static UNUSED int is_zero(const void *block, SIZE_T from, SIZE_T to)
{
	const unsigned char *bytes = block;
	SIZE_T i;

	for (i = from; i < to; i++)
		if (bytes[i])
			return 0;
	return 1;
}

#endif /* TRANSCRIPT_H */
