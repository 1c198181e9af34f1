// SPDX-License-Identifier: GPL-2.0-only
/*
 * A writer of JSON: a value at a time, to standard output.
 *
 * It keeps nothing but whether the next value needs a comma before it, so the
 * output may be of any length. Texts have passed text_clean(): they are UTF-8
 * without control characters.
 */
#include <stdio.h>

#include "tool.h"

static bool need_comma;

static void json_string(const char *text)
{
	putchar_unlocked('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar_unlocked('\\');
		putchar_unlocked(*text);
	}
	putchar_unlocked('"');
}

/* What stands before a value; @name is NULL in an array and outside of all. */
static void json_lead(const char *name)
{
	if (need_comma)
		putchar_unlocked(',');
	if (name) {
		json_string(name);
		putchar_unlocked(':');
	}
	need_comma = true;
}

/**
 * json_open() - begin an object or an array
 * @name: in the object around it, or NULL
 * @bracket: '{' or '['
 */
void json_open(const char *name, char bracket)
{
	json_lead(name);
	putchar_unlocked(bracket);
	need_comma = false;
}

/**
 * json_close() - end an object or an array
 * @bracket: '}' or ']'
 */
void json_close(char bracket)
{
	putchar_unlocked(bracket);
	need_comma = true;
}

/**
 * json_end() - end the document, or one of several, with a newline
 */
void json_end(void)
{
	putchar_unlocked('\n');
	need_comma = false;
}

/**
 * json_u64() - write a number
 * @name: in the object around it, or NULL
 * @value: the number
 */
void json_u64(const char *name, uint64_t value)
{
	char text[NUMBER_TEXT];

	json_lead(name);
	number_format(text, value);
	fputs(text, stdout);
}

/**
 * json_null() - write that there is no value
 * @name: in the object around it, or NULL
 */
void json_null(const char *name)
{
	json_lead(name);
	fputs("null", stdout);
}

/**
 * json_text() - write a text
 * @name: in the object around it, or NULL
 * @text: the text
 */
void json_text(const char *name, const char *text)
{
	json_lead(name);
	json_string(text);
}
