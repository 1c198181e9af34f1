/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `privheap` command: what its files share.
 *
 *	main.c		which subcommand, what went wrong
 *	options.c	the options of all subcommands
 *	table.c		objects as rows of a table and as JSON
 *	json.c, size.c	JSON; sizes as people write them
 *	list.c ...	a subcommand each, with a struct command
 *
 * A subcommand describes its objects as a struct table, once; rows, JSON and
 * the order of sorting come from that.
 */
#ifndef PRIVHEAP_TOOL_H
#define PRIVHEAP_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <heapdev-admin.h>

/* main.c */

/**
 * struct command - a subcommand
 * @name: as it is typed
 * @operands: for the usage line
 * @summary: for the list of commands
 * @help: what --help tells beyond the options; ends with a newline
 * @options: letters of the options that it takes, see options.c
 * @min_operands: at least that many operands
 * @max_operands: at most that many
 * @run: does it; @operands are the arguments that are no options, NULL at the
 *	end
 */
struct command {
	const char *name;
	const char *operands;
	const char *summary;
	const char *help;
	const char *options;
	int min_operands;
	int max_operands;
	void (*run)(char **operands);
};

extern const struct command list_command, show_command, top_command,
	limit_command, set_command, watch_command, map_command, export_command;

/* One line on standard error and the exit status 1; 2 for a usage error. */
__attribute__((__noreturn__)) void fail(const char *format, ...)
	__attribute__((__format__(__printf__, 1, 2)));
__attribute__((__noreturn__)) void fail_usage(const char *format, ...)
	__attribute__((__format__(__printf__, 1, 2)));

/* Connect to the module, or fail. */
struct heapdev_admin *admin_open(void);
/* Fail with the library's words if @err is not 0. */
void admin_check(struct heapdev_admin *admin, int err, const char *what);

/* Room for one more element, or fail. */
void *array_grow(void *array, size_t nr, size_t *room, size_t bytes);

/* options.c */

struct options {
	bool json;
	bool bytes;		/* sizes as plain numbers */
	bool reverse;
	bool faults;
	const char *sort;	/* name of a column, NULL for the serial */
	unsigned long count;	/* end after so many; 0 for never */
	unsigned int delay_ms;
	struct heapdev_admin_filter filter;
};

extern struct options options;

/* Parse argv[1...]; returns the operands. */
char **options_parse(const struct command *command, int argc, char **argv);
void options_help(const struct command *command);

/* Numbers and names in operands; a usage error if they are none. */
uint64_t parse_number(const char *what, const char *text, uint64_t max);
uint32_t parse_user(const char *text);

/* size.c */

#define NUMBER_TEXT	24

bool size_parse(const char *text, uint64_t *bytes);
void size_format(char *text, uint64_t bytes);
void number_format(char *text, uint64_t number);

/* json.c */

void json_open(const char *name, char bracket);
void json_close(char bracket);
void json_end(void);
void json_u64(const char *name, uint64_t value);
void json_null(const char *name);
void json_text(const char *name, const char *text);

/* table.c */

/* A member is a uint32_t or a uint64_t, or a text. */
enum column_kind {
	COLUMN_COUNT,
	COLUMN_SIZE,		/* UINT64_MAX: max */
	COLUMN_MAXIMUM,		/* the same, and so is 0 */
	COLUMN_ADDRESS,
	COLUMN_ID,		/* a name; may be HEAPDEV_ADMIN_NOBODY */
	COLUMN_USER,		/* likewise; in rows as a word */
	COLUMN_GROUP,		/* a name; 0 is none */
	COLUMN_NAME,		/* one of @names */
	COLUMN_FLAGS,		/* any bits of @names */
	COLUMN_COMM,		/* any bytes */
};

/**
 * struct column - a member of an object
 * @title: of the column; NULL if only JSON has it
 * @json: the name in JSON
 * @kind: how it is written
 * @width: of the column; negative: to the left
 * @offset: of the member
 * @bytes: size of the member
 * @names: by value or by bit, for COLUMN_NAME and COLUMN_FLAGS
 * @nr_names: how many there are
 */
struct column {
	const char *title;
	const char *json;
	enum column_kind kind;
	int width;
	size_t offset;
	size_t bytes;
	const char *const *names;
	size_t nr_names;
};

#define COLUMN(type, title_, json_, kind_, width_, member, ...) {	\
	.title = title_,						\
	.json = json_,							\
	.kind = COLUMN_##kind_,						\
	.width = width_,						\
	.offset = offsetof(type, member),				\
	.bytes = sizeof(((type *)0)->member),				\
	__VA_ARGS__							\
}
#define NAMES(array) \
	.names = array, .nr_names = sizeof(array) / sizeof((array)[0])

struct table {
	const struct column *columns;
	size_t nr_columns;
};

#define TABLE(array)	{ array, sizeof(array) / sizeof((array)[0]) }

#define for_each_column(column, table)					\
	for (column = (table)->columns;					\
	     column < (table)->columns + (table)->nr_columns; column++)

extern const struct table heap_table, limit_table;

/* Names by PRIVHEAP_POLICY_* and by enum privheap_source. */
#define NR_POLICIES	6
extern const char *const policies[NR_POLICIES];
extern const char *const sources[PRIVHEAP_NR_SOURCES];

/* No field and no row is longer. */
#define COLUMN_TEXT	192
#define ROW_TEXT	1024

void table_title(const struct table *table, char *row);
void table_row(const struct table *table, const void *object, char *row);
void table_print(const struct table *table, const void *object);
void table_json(const struct table *table, const char *name, const void *object);
const struct column *table_find(const struct table *table, const char *name);
int column_compare(const struct column *column, const void *a, const void *b);
void text_clean(char *clean, const char *text);

/* map.c */

struct run_list {
	struct heapdev_admin_run *runs;
	size_t nr, room;
};

uint64_t page_bytes(void);
void runs_collect(struct heapdev_admin *admin, uint64_t serial,
		  struct run_list *list);
void runs_json(const struct run_list *list);

/* list.c */

struct heap_list {
	struct heapdev_admin_heap *heaps;
	size_t nr, room;
};

void heaps_collect(struct heapdev_admin *admin, struct heap_list *list);
void heaps_sort(struct heap_list *list, const struct column *column,
		bool reverse);
const struct column *heaps_sort_column(void);

#endif /* PRIVHEAP_TOOL_H */
