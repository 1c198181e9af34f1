// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sizes as people write them: 4096, 64K, 1.5G, max.
 *
 * The suffixes are powers of 1024. "max" is UINT64_MAX, no limit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char suffixes[] = "KMGTPE";

/**
 * size_parse() - read a size
 * @text: digits, then possibly one of KMGTPE in either case, then possibly B or
 *	iB; or "max"
 * @bytes: receives it
 *
 * Return: false if @text is no size, or one that 64 bits cannot hold.
 */
bool size_parse(const char *text, uint64_t *bytes)
{
	unsigned long long number;
	const char *suffix;
	unsigned int shift = 0;
	char *end;

	if (!strcmp(text, "max")) {
		*bytes = UINT64_MAX;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return false;
	/* Upper case: the suffixes are letters, and nothing else becomes one. */
	suffix = *end >= 'A' ? strchr(suffixes, *end & ~0x20) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
		if (!strcmp(end, "iB"))
			end += 2;
	}
	if (!strcmp(end, "B"))
		end++;
	if (*end || number > UINT64_MAX >> shift)
		return false;
	*bytes = number << shift;
	return true;
}

/**
 * number_format() - write a number
 * @text: receives its digits, NUMBER_TEXT bytes
 * @number: the number
 *
 * A list has many of them, and printf() takes several times as long.
 */
void number_format(char *text, uint64_t number)
{
	char digits[NUMBER_TEXT], *first = digits + sizeof(digits);

	*--first = '\0';
	do {
		*--first = '0' + number % 10;
		number /= 10;
	} while (number);
	memcpy(text, first, digits + sizeof(digits) - first);
}

/**
 * size_format() - write a size in at most seven characters
 * @text: receives it, NUMBER_TEXT bytes
 * @bytes: the size
 *
 * What is no whole number of its unit is rounded to a tenth.
 */
void size_format(char *text, uint64_t bytes)
{
	unsigned int unit = 0;
	uint64_t tenths;

	while (unit < sizeof(suffixes) - 1 && bytes >> (10 * unit) >= 1024)
		unit++;
	if (!unit) {
		number_format(text, bytes);
		return;
	}
	/* Below 2^20 now, so a tenth of the unit can be told. */
	bytes >>= 10 * (unit - 1);
	tenths = (bytes * 10 + 512) / 1024;
	number_format(text, tenths / 10);
	text += strlen(text);
	if (tenths % 10) {
		*text++ = '.';
		*text++ = '0' + tenths % 10;
	}
	*text++ = suffixes[unit - 1];
	*text = '\0';
}
