// SPDX-License-Identifier: GPL-2.0-only
/*
 * The options of all subcommands. An option means the same wherever it is
 * taken; a subcommand names the letters of those that it takes.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

struct option_text {
	char letter;
	const char *name;
	const char *argument;
	const char *help;
};

static const struct option_text option_texts[] = {
	{ 'b', "bytes",   NULL,      "show sizes in bytes" },
	{ 'c', "count",   "N",       "end after N of them" },
	{ 'd', "delay",   "SECONDS", "time between two pictures (default 2)" },
	{ 'f', "faults",  NULL,      "page faults of each heap, too" },
	{ 'H', "heap",    "HEAP",    "only the heap with this number" },
	{ 'j', "json",    NULL,      "write JSON; sizes are in bytes, null is no limit" },
	{ 'p', "pid",     "PID",     "only heaps of this process" },
	{ 'r', "reverse", NULL,      "the other way round" },
	{ 's', "sort",    "COLUMN",  "sort by this column, the largest amount first" },
	{ 'u', "user",    "USER",    "only heaps of this user, a name or a number" },
	{ 'h', "help",    NULL,      "show this" },
};

#define NR_OPTIONS	(sizeof(option_texts) / sizeof(option_texts[0]))

struct options options = { .delay_ms = 2000 };

static bool takes_option(const struct command *command, char letter)
{
	return letter == 'h' || strchr(command->options, letter);
}

/**
 * options_help() - print how a command is used
 * @command: which
 */
void options_help(const struct command *command)
{
	const struct option_text *text;
	char name[32];
	size_t i;

	printf("usage: privheap %s [OPTIONS] %s\n\n%s\n", command->name,
	       command->operands, command->help);
	for (i = 0; i < NR_OPTIONS; i++) {
		text = &option_texts[i];
		if (!takes_option(command, text->letter))
			continue;
		snprintf(name, sizeof(name), "%s %s", text->name,
			 text->argument ? text->argument : "");
		printf("  -%c, --%-14s  %s\n", text->letter, name, text->help);
	}
}

/**
 * parse_number() - a whole number, or a usage error
 * @what: it is, for the message
 * @text: decimal digits
 * @max: the largest that may be
 */
uint64_t parse_number(const char *what, const char *text, uint64_t max)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number > max)
		fail_usage("'%s' is not the number of a %s", text, what);
	return number;
}

/**
 * parse_user() - the id of a user, or a usage error
 * @text: a name or an id
 */
uint32_t parse_user(const char *text)
{
	const struct passwd *user;

	if (*text >= '0' && *text <= '9')
		return parse_number("user", text, UINT32_MAX - 1);
	user = getpwnam(text);
	if (!user)
		fail_usage("there is no user '%s'", text);
	return user->pw_uid;
}

static unsigned int parse_delay(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= 3600))
		fail_usage("'%s' is not a delay between 0.1 and 3600 seconds",
			   text);
	return seconds * 1000;
}

static void take_option(char letter)
{
	struct heapdev_admin_filter *filter = &options.filter;

	switch (letter) {
	case 'b':
		options.bytes = true;
		break;
	case 'c':
		options.count = parse_number("count", optarg, UINT32_MAX);
		break;
	case 'd':
		options.delay_ms = parse_delay(optarg);
		break;
	case 'f':
		options.faults = true;
		break;
	case 'H':
		filter->fields |= HEAPDEV_ADMIN_BY_HEAP;
		filter->serial = parse_number("heap", optarg, UINT64_MAX);
		break;
	case 'j':
		options.json = true;
		break;
	case 'p':
		filter->fields |= HEAPDEV_ADMIN_BY_PID;
		filter->pid = parse_number("process", optarg, INT32_MAX);
		break;
	case 'r':
		options.reverse = true;
		break;
	case 's':
		options.sort = optarg;
		break;
	case 'u':
		filter->fields |= HEAPDEV_ADMIN_BY_USER;
		filter->uid = parse_user(optarg);
		break;
	}
}

/* What getopt_long() wants, made from the options that the command takes. */
struct getopt_tables {
	struct option longs[NR_OPTIONS + 1];
	char letters[2 * NR_OPTIONS + 1];
};

static void fill_tables(struct getopt_tables *tables,
			const struct command *command)
{
	const struct option_text *text;
	struct option *next = tables->longs;
	char *letter = tables->letters;

	for (text = option_texts; text < option_texts + NR_OPTIONS; text++) {
		if (!takes_option(command, text->letter))
			continue;
		next->name = text->name;
		next->has_arg = text->argument ? required_argument : no_argument;
		next++->val = text->letter;
		*letter++ = text->letter;
		if (text->argument)
			*letter++ = ':';
	}
}

/**
 * options_parse() - take the options of a command
 * @command: which
 * @argc: number of words, the command's name included
 * @argv: the words
 *
 * Return: what is left, with NULL at the end; or NULL when help was asked for,
 * and given.
 */
char **options_parse(const struct command *command, int argc, char **argv)
{
	static char name[] = "privheap";
	struct getopt_tables tables = { 0 };
	int letter;

	fill_tables(&tables, command);
	argv[0] = name;		/* as getopt_long() complains */
	while ((letter = getopt_long(argc, argv, tables.letters, tables.longs,
				     NULL)) != -1) {
		if (letter == 'h') {
			options_help(command);
			return NULL;
		}
		if (letter == '?') {
			fprintf(stderr, "Try 'privheap %s --help'.\n",
				command->name);
			exit(2);
		}
		take_option(letter);
	}
	argc -= optind;
	if (argc < command->min_operands)
		fail_usage("an argument is missing: %s", command->operands);
	if (argc > command->max_operands)
		fail_usage("unexpected argument '%s'",
			   argv[optind + command->max_operands]);
	return argv + optind;
}
