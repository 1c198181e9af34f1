// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Settings of debug heaps: words of the environment, or of the program.
 *
 * They have the names of the settings of Windows' gflags, with "=" for the blank
 * before a value. A number is taken for a value of GlobalFlag.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "debug.h"

/* Values of GlobalFlag. */
#define FLAG_TAIL_CHECK		0x10
#define FLAG_FREE_CHECK		0x20
#define FLAG_CHECK_PARAMETERS	0x40
#define FLAG_CHECK_ALL		0x80
#define FLAG_PAGE_HEAP		0x02000000

#define DEFAULT_QUARANTINE_BYTES	((uint64_t)256 << 20)
#define DEFAULT_FAULT_RATE		100
#define DEFAULT_FAULT_DELAY_S		5
#define FAULT_RATE_MAX			10000

static struct hd_settings environment;

static void add_flags(struct hd_settings *settings, unsigned long flags)
{
	if (flags & FLAG_TAIL_CHECK)
		settings->checks |= HD_CHECK_TAIL;
	if (flags & FLAG_FREE_CHECK)
		settings->checks |= HD_CHECK_FREE;
	if (flags & FLAG_CHECK_PARAMETERS)
		settings->checks |= HD_CHECK_PARAMETERS | HD_CHECK_TAIL |
				    HD_CHECK_FREE;
	if (flags & FLAG_CHECK_ALL)
		settings->checks |= HD_CHECK_ALL | HD_CHECK_TAIL |
				    HD_CHECK_FREE;
	if (flags & FLAG_PAGE_HEAP)
		settings->page_heap = HD_PAGE_HEAP_FULL;
}

/* Reads a number that ends at one of @ends or with the word. */
static bool read_number(const char **text, const char *ends,
			unsigned long long max, unsigned long long *value)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	*value = strtoull(*text, &end, 0);
	if (*value > max || (*end && !strchr(ends, *end)))
		return false;
	*text = end;
	return true;
}

/* size=LO-HI */
static bool set_size(struct hd_settings *settings, const char *text)
{
	unsigned long long lo, hi;

	if (!read_number(&text, "-", SIZE_MAX, &lo) || *text++ != '-' ||
	    !read_number(&text, "", SIZE_MAX, &hi) || hi < lo)
		return false;
	settings->lo_bytes = lo;
	settings->hi_bytes = hi;
	return true;
}

/* random=PERCENT */
static bool set_random(struct hd_settings *settings, const char *text)
{
	unsigned long long percent;

	if (!read_number(&text, "", 100, &percent))
		return false;
	settings->random_percent = percent;
	return true;
}

/* fault, fault=RATE, fault=RATE:SECONDS */
static bool set_fault(struct hd_settings *settings, const char *text)
{
	unsigned long long rate = DEFAULT_FAULT_RATE;
	unsigned long long delay_s = DEFAULT_FAULT_DELAY_S;

	if (text && (!read_number(&text, ":", FAULT_RATE_MAX, &rate) ||
		     (*text++ == ':' &&
		      !read_number(&text, "", UINT32_MAX, &delay_s))))
		return false;
	settings->fault_rate = rate;
	settings->fault_delay_s = delay_s;
	return true;
}

static bool set_seed(struct hd_settings *settings, const char *text)
{
	unsigned long long seed;

	if (!read_number(&text, "", UINT64_MAX, &seed))
		return false;
	settings->seed = seed;
	return true;
}

static bool set_quarantine(struct hd_settings *settings, const char *text)
{
	unsigned long long bytes;

	if (!read_number(&text, "", UINT64_MAX, &bytes))
		return false;
	settings->quarantine_bytes = bytes;
	return true;
}

/* Words with a value; only the value of "fault" may be left out. */
static const struct {
	const char *name;
	bool (*set)(struct hd_settings *settings, const char *text);
	bool optional;
} values[] = {
	{ "size", set_size, false },
	{ "random", set_random, false },
	{ "fault", set_fault, true },
	{ "seed", set_seed, false },
	{ "quarantine", set_quarantine, false },
};

static bool set_value(struct hd_settings *settings, const char *word)
{
	size_t i, length = strcspn(word, "=");
	const char *text = word[length] ? word + length + 1 : NULL;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (!strncmp(word, values[i].name, length) &&
		    !values[i].name[length])
			return (text || values[i].optional) &&
			       values[i].set(settings, text);
	return false;
}

/* Words without; some have two spellings, and some need not do anything. */
static bool set_word(struct hd_settings *settings, const char *word)
{
	static const struct {
		const char *name;
		unsigned long flags;
	} flags[] = {
		{ "htc", FLAG_TAIL_CHECK },
		{ "hfc", FLAG_FREE_CHECK },
		{ "hvp", FLAG_CHECK_PARAMETERS },
		{ "hpc", FLAG_CHECK_PARAMETERS },
		{ "hva", FLAG_CHECK_ALL },
		{ "hvc", FLAG_CHECK_ALL },
		{ "hpa", FLAG_PAGE_HEAP },
		{ "full", FLAG_PAGE_HEAP },
		{ "dhc", 0 },
		{ "decommit", 0 },
		{ "protect", 0 },
	};
	const struct {
		const char *name;
		bool *value;
	} switches[] = {
		{ "backwards", &settings->backwards },
		{ "unaligned", &settings->unaligned },
		{ "no_sync", &settings->no_sync },
		{ "notraces", &settings->no_traces },
	};
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(word, flags[i].name)) {
			add_flags(settings, flags[i].flags);
			return true;
		}
	for (i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (!strcmp(word, switches[i].name)) {
			*switches[i].value = true;
			return true;
		}
	return false;
}

static bool set(struct hd_settings *settings, const char *word, bool *light)
{
	unsigned long long number;

	if (!strcmp(word, "light"))
		return *light = true;
	if (read_number(&word, "", UINT32_MAX, &number)) {
		add_flags(settings, number);
		return true;
	}
	return set_word(settings, word) || set_value(settings, word);
}

const char *hd_gflags_parse(const char *text, struct hd_settings *settings)
{
	const char *bad = NULL, *end;
	bool light = false;
	char word[64];
	size_t length;

	*settings = (struct hd_settings) {
		.hi_bytes = SIZE_MAX,
		.random_percent = 100,
		.quarantine_bytes = DEFAULT_QUARANTINE_BYTES,
	};
	for (; text && *text; text = end) {
		text += strspn(text, ", \t");
		length = strcspn(text, ", \t");
		end = text + length;
		if (!length)
			continue;
		*word = '\0';
		if (length < sizeof(word))
			strncat(word, text, length);
		if (!set(settings, word, &light) && !bad)
			bad = text;
	}
	if (light)
		settings->page_heap = HD_PAGE_HEAP_LIGHT;
	return bad;
}

void hd_gflags_init(void)
{
	const char *bad = hd_gflags_parse(secure_getenv("HEAPDEV_GFLAGS"),
					  &environment);

	if (bad)
		dprintf(STDERR_FILENO,
			"libheapdev: HEAPDEV_GFLAGS: there is no setting %.*s\n",
			(int)strcspn(bad, ", \t"), bad);
}

const struct hd_settings *hd_gflags_environment(void)
{
	return &environment;
}
