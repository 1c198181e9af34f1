// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Exceptions: who is asked when a call with HEAP_GENERATE_EXCEPTIONS fails.
 *
 * This must work when there is no memory, so the handlers are in a table of
 * fixed size and the guards on the stacks of their threads. Handlers are called
 * without a lock, from a copy of the table, because they may do anything:
 * change the table, jump away, throw.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_HANDLERS	64

struct handler {
	PVECTORED_EXCEPTION_HANDLER function;
	uintptr_t cookie;	/* what the program knows it by; never reused */
};

static pthread_mutex_t handler_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct handler handlers[MAX_HANDLERS];	/* in the order of calling */
static unsigned int nr_handlers;
static uintptr_t last_cookie;

static _Atomic LPTOP_LEVEL_EXCEPTION_FILTER filter;

static _Thread_local HEAPDEV_GUARD *innermost_guard;

/* Vectored handlers */

static uintptr_t add_handler_locked(PVECTORED_EXCEPTION_HANDLER function,
				    bool first)
{
	struct handler *place = &handlers[first ? 0 : nr_handlers];

	if (nr_handlers == MAX_HANDLERS)
		return 0;
	if (first)
		memmove(place + 1, place, nr_handlers * sizeof(*place));
	nr_handlers++;
	place->function = function;
	place->cookie = ++last_cookie;
	return place->cookie;
}

PVOID WINAPI AddVectoredExceptionHandler(ULONG First,
					 PVECTORED_EXCEPTION_HANDLER Handler)
{
	uintptr_t cookie;

	if (!Handler) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return NULL;
	}
	hd_fork_register();
	pthread_mutex_lock(&handler_mutex);
	cookie = add_handler_locked(Handler, First);
	pthread_mutex_unlock(&handler_mutex);
	if (!cookie)
		SetLastError(ERROR_NOT_ENOUGH_MEMORY);
	return (PVOID)cookie;
}

static bool remove_handler_locked(uintptr_t cookie)
{
	unsigned int i;

	for (i = 0; i < nr_handlers; i++) {
		if (handlers[i].cookie != cookie)
			continue;
		nr_handlers--;
		memmove(&handlers[i], &handlers[i + 1],
			(nr_handlers - i) * sizeof(handlers[0]));
		return true;
	}
	return false;
}

ULONG WINAPI RemoveVectoredExceptionHandler(PVOID Handle)
{
	bool removed;

	pthread_mutex_lock(&handler_mutex);
	removed = remove_handler_locked((uintptr_t)Handle);
	pthread_mutex_unlock(&handler_mutex);
	return removed;
}

static unsigned int copy_handlers(struct handler *copy)
{
	unsigned int count;

	pthread_mutex_lock(&handler_mutex);
	count = nr_handlers;
	memcpy(copy, handlers, count * sizeof(*copy));
	pthread_mutex_unlock(&handler_mutex);
	return count;
}

/* True if one of them wants the program to go on. */
static bool ask_handlers(PEXCEPTION_POINTERS pointers)
{
	struct handler copy[MAX_HANDLERS];
	unsigned int i, count = copy_handlers(copy);

	for (i = 0; i < count; i++)
		if (copy[i].function(pointers) == EXCEPTION_CONTINUE_EXECUTION)
			return true;
	return false;
}

/* Guards */

void HeapdevGuardEnter(HEAPDEV_GUARD *guard)
{
	guard->Outer = innermost_guard;
	innermost_guard = guard;
}

void HeapdevGuardLeave(HEAPDEV_GUARD *guard)
{
	if (innermost_guard == guard)
		innermost_guard = guard->Outer;
}

/* Returns if this thread has no guard. */
static void enter_guard(const EXCEPTION_RECORD *record)
{
	HEAPDEV_GUARD *guard = innermost_guard;

	if (!guard)
		return;
	innermost_guard = guard->Outer;
	guard->Record = *record;
	longjmp(guard->Environment, 1);
}

/* The filter, and the end */

LPTOP_LEVEL_EXCEPTION_FILTER WINAPI
SetUnhandledExceptionFilter(LPTOP_LEVEL_EXCEPTION_FILTER lpTopLevelExceptionFilter)
{
	return atomic_exchange(&filter, lpTopLevelExceptionFilter);
}

static LONG ask_filter(PEXCEPTION_POINTERS pointers)
{
	LPTOP_LEVEL_EXCEPTION_FILTER function = atomic_load(&filter);

	return function ? function(pointers) : EXCEPTION_CONTINUE_SEARCH;
}

static void report(const EXCEPTION_RECORD *record)
{
	dprintf(2, "libheapdev: unhandled exception %#x at %p, %zu bytes requested\n",
		record->ExceptionCode, record->ExceptionAddress,
		record->ExceptionInformation[0]);
}

void hd_exception_raise(DWORD error, SIZE_T bytes, void *address)
{
	EXCEPTION_RECORD record = {
		.ExceptionCode = error == ERROR_NOT_ENOUGH_MEMORY ?
				 STATUS_NO_MEMORY : STATUS_ACCESS_VIOLATION,
		.ExceptionAddress = address,
		.NumberParameters = 1,
		.ExceptionInformation = { bytes },
	};
	EXCEPTION_POINTERS pointers = { .ExceptionRecord = &record };

	if (ask_handlers(&pointers))
		return;
	enter_guard(&record);
	switch (ask_filter(&pointers)) {
	case EXCEPTION_CONTINUE_EXECUTION:
		return;
	case EXCEPTION_EXECUTE_HANDLER:
		abort();
	}
	report(&record);
	abort();
}

/* Fork */

void hd_exception_fork_prepare(void)
{
	pthread_mutex_lock(&handler_mutex);
}

void hd_exception_fork_parent(void)
{
	pthread_mutex_unlock(&handler_mutex);
}

void hd_exception_fork_child(void)
{
	pthread_mutex_unlock(&handler_mutex);
}
