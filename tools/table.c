// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects as rows of a table and as JSON, by descriptions of their members.
 *
 * Columns have fixed widths, so that a row can be printed before the next
 * object is known: a list may be very long.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tool.h"

/* By PRIVHEAP_SCOPE_*. */
static const char *const scopes[] = {
	NULL, "heap", "process", "user", "system", "cgroup",
};

/* By bit of PRIVHEAP_CREATE_F_*; one that is not given has no name. */
static const char *const create_flags[] = {
	"exec", "backed", "cgroup", "guard", NULL, "secret",
};

/* By PRIVHEAP_POLICY_*. */
const char *const policies[NR_POLICIES] = {
	"default", "page", "window", "adaptive", "populate", "huge",
};

/* By enum privheap_source. */
const char *const sources[PRIVHEAP_NR_SOURCES] = {
	"resident", "fresh", "recycled", "cleared",
};

/* By PRIVHEAP_STAT_S_*. */
static const char *const states[] = { "live", "dead" };

#define LIMIT(...)	COLUMN(struct heapdev_admin_limit, __VA_ARGS__)

static const struct column limit_columns[] = {
	LIMIT("SCOPE", "scope", NAME, -7, scope, NAMES(scopes)),
	LIMIT("KEY", "key", ID, 7, key),
	LIMIT("USER", "uid", USER, -8, uid),
	LIMIT("USAGE", "usage_bytes", SIZE, 8, usage_bytes),
	LIMIT("PEAK", "peak_bytes", SIZE, 8, peak_bytes),
	LIMIT("HARD", "hard_bytes", SIZE, 8, hard_bytes),
	LIMIT("SOFT", "soft_bytes", SIZE, 8, soft_bytes),
	LIMIT("GRACE", "grace_bytes", SIZE, 8, grace_bytes),
	LIMIT("FAILURES", "failures", COUNT, 8, nr_failures),
	LIMIT("SOFTHITS", "soft_hits", COUNT, 8, nr_soft_hits),
	LIMIT(NULL, "pid", ID, 0, pid),
	LIMIT("COMMAND", "command", COMM, 0, comm),
};

const struct table limit_table = TABLE(limit_columns);

#define HEAP(...)	COLUMN(struct heapdev_admin_heap, __VA_ARGS__)

static const struct column heap_columns[] = {
	HEAP("HEAP", "heap", ID, 7, serial),
	HEAP("PID", "pid", ID, 7, pid),
	HEAP("USER", "uid", USER, -8, uid),
	HEAP("RESERVED", "reserved_bytes", SIZE, 9, reserved_bytes),
	HEAP("COMMITTED", "committed_bytes", SIZE, 9, committed_bytes),
	HEAP("RESIDENT", "resident_bytes", SIZE, 9, resident_bytes),
	HEAP("PEAK", "peak_bytes", SIZE, 9, limit.peak_bytes),
	HEAP("LIMIT", "limit_bytes", SIZE, 9, limit.hard_bytes),
	HEAP(NULL, "soft_bytes", SIZE, 0, limit.soft_bytes),
	HEAP(NULL, "grace_bytes", SIZE, 0, limit.grace_bytes),
	HEAP("FAILURES", "failures", COUNT, 8, limit.nr_failures),
	HEAP(NULL, "soft_hits", COUNT, 0, limit.nr_soft_hits),
	HEAP(NULL, "max_bytes", MAXIMUM, 0, max_bytes),
	HEAP(NULL, "allocated_bytes", SIZE, 0, allocated_bytes),
	HEAP(NULL, "meta_bytes", SIZE, 0, meta_bytes),
	HEAP(NULL, "blocks", COUNT, 0, nr_blocks),
	HEAP(NULL, "regions", COUNT, 0, nr_regions),
	HEAP(NULL, "cgroup", GROUP, 0, cgroup),
	HEAP(NULL, "base", ADDRESS, 0, base),
	HEAP(NULL, "id", ID, 0, id),
	HEAP(NULL, "policy", NAME, 0, policy, NAMES(policies)),
	HEAP(NULL, "window_pages", COUNT, 0, window_pages),
	HEAP(NULL, "idle_bytes", SIZE, 0, idle_bytes),
	HEAP(NULL, "max_idle_bytes", SIZE, 0, max_idle_bytes),
	HEAP(NULL, "inject_nth", COUNT, 0, inject_nth),
	HEAP(NULL, "inject_ppm", COUNT, 0, inject_rate_ppm),
	HEAP(NULL, "injected_failures", COUNT, 0, nr_injected),
	HEAP("STATE", "state", NAME, -5, state, NAMES(states)),
	HEAP("FLAGS", "flags", FLAGS, -6, flags, NAMES(create_flags)),
	HEAP("COMMAND", "command", COMM, 0, comm),
};

const struct table heap_table = TABLE(heap_columns);

/* Texts */

/* The bytes of the character that @text begins with; 0 if it is none. */
static size_t character_bytes(const unsigned char *text, size_t bytes)
{
	size_t more, i;

	if (text[0] < 0x80)
		return text[0] >= ' ' && text[0] != 0x7f;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	more = (text[0] >= 0xe0) + (text[0] >= 0xf0) + 1;
	if (more >= bytes)
		return 0;
	for (i = 1; i <= more; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* U+0080 to U+009F are control characters; the others are no Unicode. */
	if ((text[0] == 0xc2 && text[1] < 0xa0) ||
	    (text[0] == 0xe0 && text[1] < 0xa0) ||
	    (text[0] == 0xed && text[1] >= 0xa0) ||
	    (text[0] == 0xf0 && text[1] < 0x90) ||
	    (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return more + 1;
}

/**
 * text_clean() - make a text fit for terminals and for JSON
 * @clean: receives it; as long as @text
 * @text: any bytes up to the first that is 0; others may have chosen them
 *
 * What is not UTF-8, or a control character, becomes a question mark.
 */
void text_clean(char *clean, const char *text)
{
	size_t bytes = strlen(text), length;

	for (; bytes; bytes -= length, text += length) {
		length = character_bytes((const unsigned char *)text, bytes);
		if (length) {
			memcpy(clean, text, length);
			clean += length;
		} else {
			*clean++ = '?';
			length = 1;
		}
	}
	*clean = '\0';
}

/* Neighbours mostly have the same user. */
static const char *user_name(uint32_t uid)
{
	static char name[32];
	static uint32_t named = UINT32_MAX;
	const struct passwd *user;

	if (uid == named)
		return name;
	user = getpwuid(uid);
	if (user)
		snprintf(name, sizeof(name), "%s", user->pw_name);
	else
		number_format(name, uid);
	named = uid;
	return name;
}

/* Members */

static uint64_t column_value(const struct column *column, const void *object)
{
	const char *place = (const char *)object + column->offset;

	return column->bytes == sizeof(uint32_t) ? *(const uint32_t *)place :
						   *(const uint64_t *)place;
}

static bool column_is_size(const struct column *column)
{
	return column->kind == COLUMN_SIZE || column->kind == COLUMN_MAXIMUM;
}

static bool column_is_absent(const struct column *column, uint64_t value)
{
	switch (column->kind) {
	case COLUMN_SIZE:
		return value == UINT64_MAX;
	case COLUMN_MAXIMUM:
	case COLUMN_GROUP:
		return !value;
	case COLUMN_ID:
	case COLUMN_USER:
		return column->bytes == sizeof(uint32_t) &&
		       value == HEAPDEV_ADMIN_NOBODY;
	default:
		return false;
	}
}

static const char *column_name(const struct column *column, uint64_t value)
{
	return value < column->nr_names ? column->names[value] : NULL;
}

static void column_comm(const struct column *column, const void *object,
			char *text)
{
	text_clean(text, (const char *)object + column->offset);
}

/* Rows */

static void format_flags(const struct column *column, uint64_t flags, char *text)
{
	const char *separator = "";
	unsigned int bit;

	strcpy(text, flags ? "" : "-");
	for (bit = 0; flags >> bit; bit++) {
		if (!(flags >> bit & 1))
			continue;
		if (column_name(column, bit))
			text += sprintf(text, "%s%s", separator,
					column->names[bit]);
		else
			text += sprintf(text, "%sbit%u", separator, bit);
		separator = ",";
	}
}

/* What a column says in a row; @text is room for it. */
static const char *column_text(const struct column *column, const void *object,
			       char *text)
{
	uint64_t value;

	if (column->kind == COLUMN_COMM) {
		column_comm(column, object, text);
		return text;
	}
	value = column_value(column, object);
	if (column_is_absent(column, value))
		return column_is_size(column) ? "max" : "-";
	if (column->kind == COLUMN_USER)
		return user_name(value);
	if (column->kind == COLUMN_NAME && column_name(column, value))
		return column_name(column, value);
	if (column->kind == COLUMN_FLAGS)
		format_flags(column, value, text);
	else if (column->kind == COLUMN_ADDRESS)
		sprintf(text, "%#llx", (unsigned long long)value);
	else if (column_is_size(column) && !options.bytes)
		size_format(text, value);
	else
		number_format(text, value);
	return text;
}

/* Appends a field of a row; printf() would take as long as all the rest. */
static char *row_append(char *row, const struct column *column, const char *text)
{
	size_t length = strlen(text), width = abs(column->width);
	size_t padding = length < width ? width - length : 0;

	if (column->width > 0) {
		memset(row, ' ', padding);
		row += padding;
	}
	memcpy(row, text, length);
	row += length;
	if (column->width < 0) {
		memset(row, ' ', padding);
		row += padding;
	}
	*row++ = ' ';
	return row;
}

static void row_end(char *row, const char *start)
{
	while (row > start && row[-1] == ' ')
		row--;
	*row = '\0';
}

/**
 * table_title() - the titles of the columns, as a row
 * @table: the table
 * @row: receives them, ROW_TEXT bytes
 */
void table_title(const struct table *table, char *row)
{
	const struct column *column;
	char *end = row;

	for_each_column(column, table) {
		if (column->title)
			end = row_append(end, column, column->title);
	}
	row_end(end, row);
}

/**
 * table_row() - an object as a row
 * @table: describes it
 * @object: the object
 * @row: receives the row without a newline, ROW_TEXT bytes
 */
void table_row(const struct table *table, const void *object, char *row)
{
	const struct column *column;
	char *end = row, text[COLUMN_TEXT];

	for_each_column(column, table) {
		if (column->title)
			end = row_append(end, column,
					 column_text(column, object, text));
	}
	row_end(end, row);
}

/**
 * table_print() - print an object, a member in a line
 * @table: describes it
 * @object: the object
 */
void table_print(const struct table *table, const void *object)
{
	const struct column *column;
	char text[COLUMN_TEXT];
	size_t length;

	for_each_column(column, table) {
		length = strlen(column->json);
		if (length > 6 && !strcmp(column->json + length - 6, "_bytes"))
			length -= 6;
		printf("%.*s:%*s%s\n", (int)length, column->json,
		       (int)(12 - length), "",
		       column_text(column, object, text));
	}
}

/* JSON */

static void json_flags(const struct column *column, uint64_t flags)
{
	char text[COLUMN_TEXT], *name, *rest;

	json_open(column->json, '[');
	format_flags(column, flags, text);
	for (name = flags ? strtok_r(text, ",", &rest) : NULL; name;
	     name = strtok_r(NULL, ",", &rest))
		json_text(NULL, name);
	json_close(']');
}

static void json_member(const struct column *column, const void *object)
{
	char text[COLUMN_TEXT];
	uint64_t value;

	if (column->kind == COLUMN_COMM) {
		column_comm(column, object, text);
		json_text(column->json, text);
		return;
	}
	value = column_value(column, object);
	if (column_is_absent(column, value))
		json_null(column->json);
	else if (column->kind == COLUMN_NAME && column_name(column, value))
		json_text(column->json, column_name(column, value));
	else if (column->kind == COLUMN_FLAGS)
		json_flags(column, value);
	else
		json_u64(column->json, value);
}

/**
 * table_json() - write an object as JSON
 * @table: describes it
 * @name: in the object around it, or NULL
 * @object: the object
 */
void table_json(const struct table *table, const char *name, const void *object)
{
	const struct column *column;

	json_open(name, '{');
	for_each_column(column, table)
		json_member(column, object);
	json_close('}');
}

/* Sorting */

/**
 * table_find() - find a column
 * @table: the table
 * @name: its title in any case, or its name in JSON
 *
 * Return: the column, or NULL.
 */
const struct column *table_find(const struct table *table, const char *name)
{
	const struct column *column;

	for_each_column(column, table) {
		if (!strcmp(column->json, name) ||
		    (column->title && !strcasecmp(column->title, name)))
			return column;
	}
	return NULL;
}

/**
 * column_compare() - which of two objects comes first?
 * @column: by this member. Amounts begin with the largest, names with the
 *	smallest
 * @a: an object
 * @b: another one
 *
 * Return: below 0 if @a, above 0 if @b does, or 0.
 */
int column_compare(const struct column *column, const void *a, const void *b)
{
	bool is_amount = column_is_size(column) || column->kind == COLUMN_COUNT;
	uint64_t value_a, value_b;

	if (column->kind == COLUMN_COMM)
		return strcmp((const char *)a + column->offset,
			      (const char *)b + column->offset);
	value_a = column_value(column, a);
	value_b = column_value(column, b);
	if (is_amount)
		return (value_a < value_b) - (value_a > value_b);
	return (value_a > value_b) - (value_a < value_b);
}
