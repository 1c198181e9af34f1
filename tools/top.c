// SPDX-License-Identifier: GPL-2.0-only
/*
 * privheap top: the heaps of the machine, live.
 *
 * One loop: read, draw, wait for a key or until it is time again. ncurses tells
 * of a new size of the terminal as of a key.
 */
#include <curses.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

struct view {
	struct heap_list list;
	size_t first;			/* heap in the first line */
	const struct column *sort;
	bool reverse;
};

/* Lines above the heaps. */
#define HEAD_LINES	4

static size_t view_lines(void)
{
	int lines = LINES - HEAD_LINES;

	return lines > 0 ? lines : 0;
}

static void draw_text(int line, const char *text)
{
	if (line < LINES)
		mvaddnstr(line, 0, text, COLS);
}

/* What all heaps in the list have together, and the system's limit. */
static void draw_sums(struct heapdev_admin *admin, const struct heap_list *list)
{
	const struct heapdev_admin_limit *limit;
	char committed[NUMBER_TEXT], resident[NUMBER_TEXT], hard[NUMBER_TEXT];
	uint64_t committed_bytes = 0, resident_bytes = 0;
	char text[128];
	size_t i;

	for (i = 0; i < list->nr; i++) {
		committed_bytes += list->heaps[i].committed_bytes;
		resident_bytes += list->heaps[i].resident_bytes;
	}
	size_format(committed, committed_bytes);
	size_format(resident, resident_bytes);
	strcpy(hard, "?");
	if (!heapdev_admin_get_limit(admin, PRIVHEAP_SCOPE_SYSTEM, 0, &limit)) {
		if (limit->hard_bytes == UINT64_MAX)
			strcpy(hard, "max");
		else
			size_format(hard, limit->hard_bytes);
	}
	snprintf(text, sizeof(text),
		 "%zu heaps, %s committed, %s resident; limit of the system %s",
		 list->nr, committed, resident, hard);
	draw_text(0, text);
}

static void draw_help(const struct view *view)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "sorted by %s%s; < > column, r reverse, b bytes, arrows, q quit",
		 view->sort->title, view->reverse ? " (reverse)" : "");
	draw_text(1, text);
}

static void draw(struct heapdev_admin *admin, struct view *view)
{
	size_t lines = view_lines(), i;
	char row[ROW_TEXT];

	if (view->first + lines > view->list.nr)
		view->first = view->list.nr > lines ? view->list.nr - lines : 0;
	erase();
	draw_sums(admin, &view->list);
	draw_help(view);
	table_title(&heap_table, row);
	attron(A_REVERSE);
	draw_text(HEAD_LINES - 1, row);
	attroff(A_REVERSE);
	for (i = 0; i < lines && view->first + i < view->list.nr; i++) {
		table_row(&heap_table, &view->list.heaps[view->first + i], row);
		draw_text(HEAD_LINES + i, row);
	}
	refresh();
}

/* The next column in this direction that is shown. */
static const struct column *next_column(const struct column *column, int step)
{
	const struct column *first = heap_table.columns;
	const struct column *last = first + heap_table.nr_columns - 1;

	do {
		if (column == (step > 0 ? last : first))
			column = step > 0 ? first : last;
		else
			column += step;
	} while (!column->title);
	return column;
}

static void scroll_by(struct view *view, long lines)
{
	if (lines < 0 && view->first < (size_t)-lines)
		view->first = 0;
	else
		view->first += lines;	/* draw() keeps it within bounds */
}

/* Does what a key wants; false to end. */
static bool take_key(struct view *view, int key)
{
	switch (key) {
	case 'q':
		return false;
	case '<':
	case KEY_LEFT:
		view->sort = next_column(view->sort, -1);
		break;
	case '>':
	case KEY_RIGHT:
		view->sort = next_column(view->sort, 1);
		break;
	case 'r':
		view->reverse = !view->reverse;
		break;
	case 'b':
		options.bytes = !options.bytes;
		break;
	case KEY_UP:
		scroll_by(view, -1);
		break;
	case KEY_DOWN:
		scroll_by(view, 1);
		break;
	case KEY_PPAGE:
		scroll_by(view, -(long)view_lines());
		break;
	case KEY_NPAGE:
		scroll_by(view, view_lines());
		break;
	case KEY_HOME:
		view->first = 0;
		break;
	}
	return true;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Shows one picture until it is old; false to end. */
static bool show_picture(struct heapdev_admin *admin, struct view *view)
{
	long until = now_ms() + options.delay_ms, rest;

	while ((rest = until - now_ms()) > 0) {
		heaps_sort(&view->list, view->sort, view->reverse);
		draw(admin, view);
		timeout(rest);
		if (!take_key(view, getch()))
			return false;
	}
	return true;
}

/* Before a message of fail() the terminal has to be as it was. */
static void end_screen(void)
{
	if (!isendwin())
		endwin();
}

static void begin_screen(void)
{
	setlocale(LC_CTYPE, "");
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		fail("top needs a terminal; 'privheap list' does without");
	if (!newterm(NULL, stdout, stdin))
		fail("the terminal '%s' is not known", getenv("TERM"));
	atexit(end_screen);
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
}

static void top_run(char **operands)
{
	struct view view = { .sort = heaps_sort_column() };
	struct heapdev_admin *admin = admin_open();
	unsigned long nr = 0;

	(void)operands;
	if (!view.sort)
		view.sort = table_find(&heap_table, "committed");
	view.reverse = options.reverse;
	heaps_collect(admin, &view.list);
	begin_screen();
	while (show_picture(admin, &view) &&
	       (!options.count || ++nr < options.count))
		heaps_collect(admin, &view.list);
	end_screen();
	free(view.list.heaps);
	heapdev_admin_close(admin);
}

const struct command top_command = {
	.name = "top",
	.operands = "",
	.summary = "show heaps, live",
	.help = "Show the heaps of this machine on the whole terminal, the largest first.\n"
		"Keys: < and > choose the column to sort by, r sorts the other way round,\n"
		"b shows sizes in bytes, arrows and page keys scroll, q ends.\n",
	.options = "bcdHprsu",
	.run = top_run,
};
