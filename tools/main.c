// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap: see and limit the private heaps of a machine.
 *
 * This file finds the subcommand and ends the program when something is wrong:
 * with one line on standard error and the exit status 1, or 2 if the command
 * line cannot be right.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const struct command *const commands[] = {
	&list_command, &show_command, &top_command, &limit_command,
	&set_command, &watch_command, &map_command, &export_command,
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static const struct command *current;

static void complain(const char *format, va_list args)
{
	fflush(stdout);
	fputs("privheap: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

/**
 * fail() - end the program with the exit status 1
 * @format: what is wrong, as for printf()
 */
void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	exit(1);
}

/**
 * fail_usage() - end the program with the exit status 2
 * @format: what is wrong, as for printf()
 */
void fail_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	fprintf(stderr, "Try 'privheap %s%s--help'.\n",
		current ? current->name : "", current ? " " : "");
	exit(2);
}

/**
 * admin_open() - connect to the module, or end the program
 */
struct heapdev_admin *admin_open(void)
{
	struct heapdev_admin *admin;
	int err = heapdev_admin_open(&admin);

	if (err == -ENOENT)
		fail("the module privheap is not loaded, or this is not the initial network namespace");
	if (err)
		fail("cannot reach the module: %s", strerror(-err));
	return admin;
}

/**
 * admin_check() - end the program if a call failed
 * @admin: the context
 * @err: what the call returned
 * @what: the object it was about
 */
void admin_check(struct heapdev_admin *admin, int err, const char *what)
{
	if (err)
		fail("%s: %s", what, heapdev_admin_error(admin));
}

/**
 * array_grow() - make room for one more element
 * @array: the array, or NULL; it may move
 * @nr: its elements
 * @room: for so many; changed
 * @bytes: of an element
 *
 * Return: the array. The program ends if there is no memory.
 */
void *array_grow(void *array, size_t nr, size_t *room, size_t bytes)
{
	if (nr < *room)
		return array;
	*room = *room ? 2 * *room : 64;
	array = reallocarray(array, *room, bytes);
	if (!array)
		fail("no memory for %zu objects", *room);
	return array;
}

static void print_help(void)
{
	size_t i;

	puts("usage: privheap COMMAND [OPTIONS] [ARGUMENTS]\n\n"
	     "See and limit the private heaps of this machine.\n");
	for (i = 0; i < NR_COMMANDS; i++)
		printf("  %-8s  %s\n", commands[i]->name, commands[i]->summary);
	puts("\n'privheap COMMAND --help' tells about one of them;\n"
	     "'privheap --version' shows the version.");
}

static bool is_option(const char *word, const char *name, const char *letter)
{
	return !strcmp(word, name) || !strcmp(word, letter);
}

static void find_command(const char *name)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++) {
		if (!strcmp(name, commands[i]->name))
			current = commands[i];
	}
	if (!current)
		fail_usage("there is no command '%s'", name);
}

int main(int argc, char **argv)
{
	char **operands;

	if (argc < 2)
		fail_usage("a command is missing");
	if (is_option(argv[1], "--help", "-h")) {
		print_help();
	} else if (is_option(argv[1], "--version", "-V")) {
		puts("privheap " VERSION);
	} else {
		find_command(argv[1]);
		operands = options_parse(current, argc - 1, argv + 1);
		if (operands)
			current->run(operands);
	}
	if (fflush(stdout) || ferror(stdout))
		fail("cannot write: %s", strerror(errno));
	return 0;
}
