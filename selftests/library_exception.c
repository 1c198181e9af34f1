// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: what HEAP_GENERATE_EXCEPTIONS raises, who is asked about it and
 * in which order, and how the process ends if nobody cares or if termination on
 * corruption is on.
 */
#include <pthread.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "library_util.h"

/* What the handlers of the test saw. */
static struct {
	unsigned int count;
	EXCEPTION_RECORD record;
	PCONTEXT context;
	DWORD last_error;
	char order[8];	/* a letter for each handler or filter that was asked */
} seen;

static void note(PEXCEPTION_POINTERS info, char letter)
{
	seen.record = *info->ExceptionRecord;
	seen.context = info->ContextRecord;
	seen.last_error = GetLastError();
	if (seen.count < sizeof(seen.order) - 1)
		seen.order[seen.count++] = letter;
	/* The library has to put it back. */
	SetLastError(4711);
}

static LONG CALLBACK handler_continues(PEXCEPTION_POINTERS info)
{
	note(info, 'c');
	return EXCEPTION_CONTINUE_EXECUTION;
}

static LONG CALLBACK handler_a(PEXCEPTION_POINTERS info)
{
	note(info, 'a');
	return EXCEPTION_CONTINUE_SEARCH;
}

static LONG CALLBACK handler_b(PEXCEPTION_POINTERS info)
{
	note(info, 'b');
	return EXCEPTION_CONTINUE_SEARCH;
}

static LONG WINAPI filter_continues(PEXCEPTION_POINTERS info)
{
	note(info, 'f');
	return EXCEPTION_CONTINUE_EXECUTION;
}

static LONG WINAPI filter_executes(PEXCEPTION_POINTERS info)
{
	note(info, 'f');
	return EXCEPTION_EXECUTE_HANDLER;
}

static LONG WINAPI filter_searches(PEXCEPTION_POINTERS info)
{
	note(info, 'f');
	return EXCEPTION_CONTINUE_SEARCH;
}

/* Heaps that raise by their own flag or by that of the call */

FIXTURE(raise) {
	HANDLE heap;
	char *block;
};

FIXTURE_VARIANT(raise) {
	DWORD options;
	DWORD flags;
};

FIXTURE_VARIANT_ADD(raise, by_heap) {
	.options = HEAP_GENERATE_EXCEPTIONS,
};

FIXTURE_VARIANT_ADD(raise, by_call) {
	.flags = HEAP_GENERATE_EXCEPTIONS,
};

FIXTURE_VARIANT_ADD(raise, by_both) {
	.options = HEAP_GENERATE_EXCEPTIONS,
	.flags = HEAP_GENERATE_EXCEPTIONS,
};

FIXTURE_VARIANT_ADD(raise, unserialized) {
	.options = HEAP_NO_SERIALIZE | HEAP_GENERATE_EXCEPTIONS,
};

FIXTURE_VARIANT_ADD(raise, unserialized_call) {
	.flags = HEAP_NO_SERIALIZE | HEAP_GENERATE_EXCEPTIONS,
};

#define TOO_MUCH	(FIXED_BLOCK_MAX + 1)

FIXTURE_SETUP(raise)
{
	self->heap = HeapCreate(variant->options, 0, 4 * MIB);
	ASSERT_HEAP(self->heap);
	self->block = HeapAlloc(self->heap, variant->flags, 100);
	ASSERT_NE(NULL, self->block);
	fill(self->block, 100, 1);
	preset_errors();
}

FIXTURE_TEARDOWN(raise)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_EQ(100, HeapSize(self->heap, 0, self->block));
	EXPECT_TRUE(is_filled(self->block, 100, 1));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

/* What a call raised within a guard; a code of 0 if it raised nothing. */
static EXCEPTION_RECORD caught_alloc(HANDLE heap, DWORD flags, SIZE_T bytes)
{
	EXCEPTION_RECORD record = { 0 };

	HEAPDEV_TRY {
		HeapAlloc(heap, flags, bytes);
	} HEAPDEV_EXCEPT {
		record = *HEAPDEV_EXCEPTION;
	} HEAPDEV_END
	return record;
}

static EXCEPTION_RECORD caught_realloc(HANDLE heap, DWORD flags, void *block,
				       SIZE_T bytes)
{
	EXCEPTION_RECORD record = { 0 };

	HEAPDEV_TRY {
		HeapReAlloc(heap, flags, block, bytes);
	} HEAPDEV_EXCEPT {
		record = *HEAPDEV_EXCEPTION;
	} HEAPDEV_END
	return record;
}

#define EXPECT_RECORD(record, code, bytes)				\
	do {								\
		EXCEPTION_RECORD r = (record);				\
									\
		EXPECT_EQ(code, r.ExceptionCode);			\
		EXPECT_EQ(0, r.ExceptionFlags);				\
		EXPECT_EQ(NULL, r.ExceptionRecord);			\
		EXPECT_NE(NULL, r.ExceptionAddress);			\
		EXPECT_EQ(1, r.NumberParameters);			\
		EXPECT_EQ(bytes, r.ExceptionInformation[0]);		\
	} while (0)

TEST_F(raise, alloc_over_limit)
{
	EXPECT_RECORD(caught_alloc(self->heap, variant->flags, TOO_MUCH),
		      STATUS_NO_MEMORY, TOO_MUCH);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_RECORD(caught_alloc(self->heap, variant->flags, SIZE_MAX),
		      STATUS_NO_MEMORY, SIZE_MAX);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

/* It has an address of its own, which the call returns to. */
__attribute__((__noinline__, __noclone__))
static char *alloc_here(HANDLE heap, DWORD flags)
{
	char *block = HeapAlloc(heap, flags, TOO_MUCH);

	/* Not the last thing it does. */
	__asm__ volatile("" : "+r"(block));
	return block;
}

TEST_F(raise, address_is_that_of_the_call)
{
	const char *start = (const char *)alloc_here;
	const char *address;

	ASSERT_NE(NULL, AddVectoredExceptionHandler(0, handler_continues));
	EXPECT_EQ(NULL, alloc_here(self->heap, variant->flags));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	address = seen.record.ExceptionAddress;
	EXPECT_LT(start, address);
	EXPECT_GT(start + 100, address);
}

TEST_F(raise, alloc_that_succeeds)
{
	EXPECT_EQ(0, caught_alloc(self->heap, variant->flags,
				  0).ExceptionCode);
	EXPECT_NO_ERROR();
}

TEST_F(raise, realloc_over_limit)
{
	EXPECT_RECORD(caught_realloc(self->heap, variant->flags, self->block,
				     TOO_MUCH),
		      STATUS_NO_MEMORY, TOO_MUCH);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

TEST_F(raise, realloc_in_place_without_room)
{
	EXPECT_RECORD(caught_realloc(self->heap, variant->flags |
				     HEAP_REALLOC_IN_PLACE_ONLY, self->block,
				     500000),
		      STATUS_NO_MEMORY, 500000);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

TEST_F(raise, realloc_of_wrong_pointer)
{
	EXPECT_RECORD(caught_realloc(self->heap, variant->flags,
				     self->block + 16, 50),
		      STATUS_ACCESS_VIOLATION, 50);
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
}

TEST_F(raise, realloc_of_null_does_not)
{
	EXPECT_EQ(0, caught_realloc(self->heap, variant->flags, NULL,
				    50).ExceptionCode);
	EXPECT_ERROR(NO_ERROR);
}

/* A bad handle has no flags of its own. */
TEST_F(raise, bad_handle)
{
	DWORD flags = HEAP_GENERATE_EXCEPTIONS;

	EXPECT_RECORD(caught_alloc(&seen, flags, 10),
		      STATUS_ACCESS_VIOLATION, 10);
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_RECORD(caught_alloc(NULL, flags, 20),
		      STATUS_ACCESS_VIOLATION, 20);
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_RECORD(caught_realloc(NULL, flags, self->block, 30),
		      STATUS_ACCESS_VIOLATION, 30);
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(raise, calls_that_never_do)
{
	EXPECT_FALSE(HeapFree(self->heap, variant->flags, self->block + 16));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(NO_SIZE, HeapSize(self->heap, variant->flags,
				    self->block + 16));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapValidate(self->heap, variant->flags,
				  self->block + 16));
	EXPECT_NO_ERROR();
}

TEST_F(raise, handler_that_continues)
{
	PVOID handler = AddVectoredExceptionHandler(0, handler_continues);

	ASSERT_NE(NULL, handler);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, variant->flags, TOO_MUCH));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_STREQ("c", seen.order);
	EXPECT_EQ(ERROR_NOT_ENOUGH_MEMORY, seen.last_error);
	EXPECT_RECORD(seen.record, STATUS_NO_MEMORY, TOO_MUCH);
	EXPECT_EQ(NULL, seen.context);
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, variant->flags,
				    self->block + 1, 50));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(ERROR_INVALID_PARAMETER, seen.last_error);
	EXPECT_NE(0, RemoveVectoredExceptionHandler(handler));
}

static void *use_heap(void *heap)
{
	void *block = HeapAlloc(heap, 0, 10);

	return (void *)(uintptr_t)HeapFree(heap, 0, block);
}

/* Were the lock still held, the thread would wait for ever. */
TEST_F(raise, lock_is_given_back)
{
	bool locks = !(variant->options & HEAP_NO_SERIALIZE);
	pthread_t thread;
	void *result;

	HEAPDEV_TRY {
		HeapAlloc(self->heap, variant->flags, TOO_MUCH);
	} HEAPDEV_EXCEPT {
		ASSERT_EQ(0, pthread_create(&thread, NULL, use_heap,
					    self->heap));
		ASSERT_EQ(0, pthread_join(thread, &result));
		EXPECT_EQ(TRUE, (uintptr_t)result);
	} HEAPDEV_END
	EXPECT_EQ(!locks, HeapUnlock(self->heap));
}

/* The order in which they are asked */

FIXTURE(order) {
	HANDLE heap;
};

FIXTURE_SETUP(order)
{
	self->heap = HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, 1 * MIB);
	ASSERT_HEAP(self->heap);
	SetUnhandledExceptionFilter(filter_continues);
	preset_errors();
}

FIXTURE_TEARDOWN(order)
{
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(order, handlers_then_filter)
{
	AddVectoredExceptionHandler(0, handler_a);
	AddVectoredExceptionHandler(0, handler_b);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("abf", seen.order);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
}

TEST_F(order, handler_put_first)
{
	AddVectoredExceptionHandler(0, handler_a);
	AddVectoredExceptionHandler(1, handler_b);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("baf", seen.order);
}

TEST_F(order, handler_that_continues_is_last)
{
	AddVectoredExceptionHandler(0, handler_a);
	AddVectoredExceptionHandler(0, handler_continues);
	AddVectoredExceptionHandler(0, handler_b);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("ac", seen.order);
}

TEST_F(order, handlers_then_guard)
{
	AddVectoredExceptionHandler(0, handler_a);
	EXPECT_EQ(STATUS_NO_MEMORY,
		  caught_alloc(self->heap, 0, TOO_MUCH).ExceptionCode);
	EXPECT_STREQ("a", seen.order);
}

TEST_F(order, removed_handler_is_not_asked)
{
	PVOID a = AddVectoredExceptionHandler(0, handler_a);
	PVOID b = AddVectoredExceptionHandler(0, handler_b);
	PVOID again = AddVectoredExceptionHandler(0, handler_a);

	EXPECT_NE(a, again);
	EXPECT_NE(0, RemoveVectoredExceptionHandler(a));
	EXPECT_EQ(0, RemoveVectoredExceptionHandler(a));
	EXPECT_EQ(0, RemoveVectoredExceptionHandler(NULL));
	EXPECT_EQ(0, RemoveVectoredExceptionHandler(&seen));
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("baf", seen.order);
	EXPECT_NE(0, RemoveVectoredExceptionHandler(b));
	EXPECT_NE(0, RemoveVectoredExceptionHandler(again));
}

TEST_F(order, too_many_handlers)
{
	PVOID handlers[64];
	int i;

	for (i = 0; i < 64; i++) {
		handlers[i] = AddVectoredExceptionHandler(i % 2, handler_a);
		ASSERT_NE(NULL, handlers[i]);
	}
	EXPECT_NO_ERROR();
	EXPECT_EQ(NULL, AddVectoredExceptionHandler(0, handler_b));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	for (i = 0; i < 64; i++)
		EXPECT_NE(0, RemoveVectoredExceptionHandler(handlers[i]));
	EXPECT_EQ(NULL, AddVectoredExceptionHandler(0, NULL));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("f", seen.order);
}

TEST_F(order, filter_is_exchanged)
{
	LPTOP_LEVEL_EXCEPTION_FILTER first, second, third;

	first = SetUnhandledExceptionFilter(filter_searches);
	second = SetUnhandledExceptionFilter(NULL);
	third = SetUnhandledExceptionFilter(filter_continues);
	EXPECT_TRUE(first == filter_continues);
	EXPECT_TRUE(second == filter_searches);
	EXPECT_TRUE(third == NULL);
}

/* Guards */

TEST_F(order, guard_takes_inner_first)
{
	volatile int inner = 0, outer = 0;

	HEAPDEV_TRY {
		HEAPDEV_TRY {
			HeapAlloc(self->heap, 0, TOO_MUCH);
			inner = -1;
		} HEAPDEV_EXCEPT {
			inner++;
			HeapAlloc(self->heap, 0, TOO_MUCH + 1);
			inner = -1;
		} HEAPDEV_END
		outer = -1;
	} HEAPDEV_EXCEPT {
		outer++;
		EXPECT_EQ(TOO_MUCH + 1,
			  HEAPDEV_EXCEPTION->ExceptionInformation[0]);
	} HEAPDEV_END
	EXPECT_EQ(1, inner);
	EXPECT_EQ(1, outer);
	EXPECT_EQ(0, seen.count);
}

static void return_from_guard(HANDLE heap)
{
	HEAPDEV_TRY {
		HeapAlloc(heap, 0, 10);
		return;
	} HEAPDEV_EXCEPT {
	} HEAPDEV_END
}

static void break_from_guard(HANDLE heap)
{
	for (;;) {
		HEAPDEV_TRY {
			HeapAlloc(heap, 0, 10);
			break;
		} HEAPDEV_EXCEPT {
		} HEAPDEV_END
	}
}

/* A guard that was left in any way catches nothing any more. */
TEST_F(order, guard_left)
{
	return_from_guard(self->heap);
	break_from_guard(self->heap);
	HEAPDEV_TRY {
	} HEAPDEV_EXCEPT {
	} HEAPDEV_END
	EXPECT_EQ(STATUS_NO_MEMORY,
		  caught_alloc(self->heap, 0, TOO_MUCH).ExceptionCode);
	EXPECT_EQ(0, seen.count);
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("f", seen.order);
}

static void *alloc_too_much(void *heap)
{
	return HeapAlloc(heap, 0, TOO_MUCH);
}

/* Guards belong to their thread, the filter to all. */
TEST_F(order, guard_of_other_thread)
{
	volatile int caught = 0;
	pthread_t thread;
	void *result;

	HEAPDEV_TRY {
		ASSERT_EQ(0, pthread_create(&thread, NULL, alloc_too_much,
					    self->heap));
		ASSERT_EQ(0, pthread_join(thread, &result));
		EXPECT_EQ(NULL, result);
	} HEAPDEV_EXCEPT {
		caught = 1;
	} HEAPDEV_END
	EXPECT_EQ(0, caught);
	EXPECT_STREQ("f", seen.order);
}

static jmp_buf handler_exit;

static LONG CALLBACK handler_jumps(PEXCEPTION_POINTERS info)
{
	note(info, 'j');
	longjmp(handler_exit, 1);
}

TEST_F(order, handler_jumps_away)
{
	PVOID handler = AddVectoredExceptionHandler(1, handler_jumps);
	volatile int jumps = 0;

	while (jumps < 3)
		if (setjmp(handler_exit))
			jumps++;
		else
			HeapAlloc(self->heap, 0, TOO_MUCH);
	EXPECT_STREQ("jjj", seen.order);
	EXPECT_NE(0, RemoveVectoredExceptionHandler(handler));
	EXPECT_EQ(NULL, HeapAlloc(self->heap, 0, TOO_MUCH));
	EXPECT_STREQ("jjjf", seen.order);
}

/* The end of the process */

static int raise_no_memory(void *filter)
{
	HANDLE heap = HeapCreate(0, 0, 1 * MIB);

	if (filter)
		SetUnhandledExceptionFilter(*(LPTOP_LEVEL_EXCEPTION_FILTER *)
					    filter);
	HeapAlloc(heap, HEAP_GENERATE_EXCEPTIONS, 0x123456);
	return 0;
}

TEST(raise_unhandled)
{
	struct outcome outcome = run_in_child(raise_no_memory, NULL);

	EXPECT_TRUE(ended_by(&outcome, SIGABRT));
	EXPECT_EQ(1, count_lines(outcome.text));
	EXPECT_NE(NULL, strstr(outcome.text, "0xc0000017"));
	EXPECT_NE(NULL, strstr(outcome.text, "1193046"));
}

TEST(raise_with_filter_that_searches)
{
	LPTOP_LEVEL_EXCEPTION_FILTER filter = filter_searches;
	struct outcome outcome = run_in_child(raise_no_memory, &filter);

	EXPECT_TRUE(ended_by(&outcome, SIGABRT));
	EXPECT_EQ(1, count_lines(outcome.text));
}

TEST(raise_with_filter_that_handles)
{
	LPTOP_LEVEL_EXCEPTION_FILTER filter = filter_executes;
	struct outcome outcome = run_in_child(raise_no_memory, &filter);

	EXPECT_TRUE(ended_by(&outcome, SIGABRT));
	EXPECT_STREQ("", outcome.text);
}

/* Termination on corruption */

FIXTURE(corruption) {
};

FIXTURE_VARIANT(corruption) {
	int (*misuse)(HANDLE heap, char *block);
	const char *function;	/* named in the report, NULL if harmless */
};

static int free_twice(HANDLE heap, char *block)
{
	HeapFree(heap, 0, block);
	return HeapFree(heap, 0, block) || GetLastError() != 87;
}

FIXTURE_VARIANT_ADD(corruption, free_twice) {
	.misuse = free_twice,
	.function = "HeapFree",
};

static int realloc_inside(HANDLE heap, char *block)
{
	return HeapReAlloc(heap, 0, block + 16, 10) || GetLastError() != 87;
}

FIXTURE_VARIANT_ADD(corruption, realloc_inside) {
	.misuse = realloc_inside,
	.function = "HeapReAlloc",
};

static int size_of_stack(HANDLE heap, char *block)
{
	return HeapSize(heap, 0, &block) != NO_SIZE || GetLastError() != 87;
}

FIXTURE_VARIANT_ADD(corruption, size_of_stack) {
	.misuse = size_of_stack,
	.function = "HeapSize",
};

static int validate_inside(HANDLE heap, char *block)
{
	return HeapValidate(heap, 0, block + 16);
}

FIXTURE_VARIANT_ADD(corruption, validate_inside) {
	.misuse = validate_inside,
};

static int free_in_no_heap(HANDLE heap, char *block)
{
	(void)heap;
	return HeapFree(NULL, 0, block) || GetLastError() != 6;
}

FIXTURE_VARIANT_ADD(corruption, free_in_no_heap) {
	.misuse = free_in_no_heap,
};

static int alloc_too_much_memory(HANDLE heap, char *block)
{
	(void)block;
	return HeapAlloc(heap, 0, SIZE_MAX) || GetLastError() != 8;
}

FIXTURE_VARIANT_ADD(corruption, alloc_too_much) {
	.misuse = alloc_too_much_memory,
};

FIXTURE_SETUP(corruption)
{
}

FIXTURE_TEARDOWN(corruption)
{
}

struct misuse {
	int (*function)(HANDLE heap, char *block);
	bool fatal_by_call;
	const char *environment;
};

static int misuse_heap(void *arg)
{
	const struct misuse *misuse = arg;
	HANDLE heap;

	if (misuse->environment)
		setenv("HEAPDEV_TERMINATE_ON_CORRUPTION", misuse->environment,
		       1);
	heap = HeapCreate(0, 0, 0);
	if (misuse->fatal_by_call &&
	    !HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL,
				0))
		return 2;
	return misuse->function(heap, HeapAlloc(heap, 0, 100));
}

static bool is_report(const char *text, const char *function)
{
	return count_lines(text) == 1 && strstr(text, function) &&
	       strstr(text, "0xc0000374");
}

TEST_F(corruption, not_fatal_by_default)
{
	struct misuse misuse = { .function = variant->misuse };
	struct outcome outcome = run_in_child(misuse_heap, &misuse);

	EXPECT_TRUE(ended_well(&outcome));
	EXPECT_STREQ("", outcome.text);
}

TEST_F(corruption, not_fatal_by_zero_in_environment)
{
	struct misuse misuse = {
		.function = variant->misuse,
		.environment = "0",
	};
	struct outcome outcome = run_in_child(misuse_heap, &misuse);

	EXPECT_TRUE(ended_well(&outcome));
}

TEST_F(corruption, fatal_by_call)
{
	struct misuse misuse = {
		.function = variant->misuse,
		.fatal_by_call = true,
	};
	struct outcome outcome = run_in_child(misuse_heap, &misuse);

	if (variant->function) {
		EXPECT_TRUE(ended_by(&outcome, SIGABRT));
		EXPECT_TRUE(is_report(outcome.text, variant->function));
	} else {
		EXPECT_TRUE(ended_well(&outcome));
		EXPECT_STREQ("", outcome.text);
	}
}

TEST_F(corruption, fatal_by_environment)
{
	struct misuse misuse = {
		.function = variant->misuse,
		.environment = "1",
	};
	struct outcome outcome = run_in_child(misuse_heap, &misuse);

	if (variant->function) {
		EXPECT_TRUE(ended_by(&outcome, SIGABRT));
		EXPECT_TRUE(is_report(outcome.text, variant->function));
	} else {
		EXPECT_TRUE(ended_well(&outcome));
		EXPECT_STREQ("", outcome.text);
	}
}

TEST_HARNESS_MAIN
