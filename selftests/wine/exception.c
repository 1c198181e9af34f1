// SPDX-License-Identifier: GPL-2.0-only
/*
 * HEAP_GENERATE_EXCEPTIONS: what is raised, and when. The handler leaves with a
 * jump of the compiler's own, which on Windows unwinds nothing, as here.
 */
#include "transcript.h"

static void *environment[5];
static EXCEPTION_RECORD raised;

static LONG CALLBACK handler(PEXCEPTION_POINTERS pointers)
{
	raised = *pointers->ExceptionRecord;
	__builtin_longjmp(environment, 1);
}

enum call { ALLOC, REALLOC };

struct heap {
	HANDLE handle;
	void *block;
};

static void *make_call(const struct heap *heap, enum call call, DWORD flags,
		       SIZE_T bytes)
{
	if (call == ALLOC)
		return HeapAlloc(heap->handle, flags, bytes);
	return HeapReAlloc(heap->handle, flags, heap->block, bytes);
}

/* Not inlined, and nothing in it is read after the jump that changed before. */
__attribute__((__noinline__))
static void tell_call(const char *name, const struct heap *heap, enum call call,
		      DWORD flags, SIZE_T bytes)
{
	void *block;

	raised.ExceptionCode = 0;
	SetLastError(PRESET);
	if (__builtin_setjmp(environment))
		tell(name, "raised %#x", (unsigned int)raised.ExceptionCode);
	else {
		block = make_call(heap, call, flags, bytes);
		tell_pointer(name, block);
	}
}

static void raise_by_call(void)
{
	const DWORD flags = HEAP_GENERATE_EXCEPTIONS;
	struct heap heap = { HeapCreate(0, 0, MIB), NULL };

	heap.block = HeapAlloc(heap.handle, 0, 100);
	tell_call("call_alloc_good", &heap, ALLOC, flags, 100);
	tell_call("call_alloc_impossible", &heap, ALLOC, flags, SIZE_T_MAX);
	tell_call("call_alloc_too_large", &heap, ALLOC, flags, 2 * MIB);
	tell_call("call_realloc_good", &heap, REALLOC, flags, 100);
	tell_call("call_realloc_impossible", &heap, REALLOC, flags, SIZE_T_MAX);
	tell_call("call_realloc_too_large", &heap, REALLOC, flags, 2 * MIB);
	HeapAlloc(heap.handle, 0, 100);
	tell_call("call_in_place", &heap, REALLOC,
		  flags | HEAP_REALLOC_IN_PLACE_ONLY, 100 * KIB);
	tell_call("no_flag", &heap, ALLOC, 0, SIZE_T_MAX);
	TELL_SIZE("block_kept", HeapSize(heap.handle, 0, heap.block));
	TELL_BOOL("heap_valid", HeapValidate(heap.handle, 0, NULL));
	TELL_BOOL("not_locked", HeapLock(heap.handle) && HeapUnlock(heap.handle));
	HeapDestroy(heap.handle);
}

static void raise_by_heap(void)
{
	struct heap heap = {
		HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, MIB), NULL
	};

	heap.block = HeapAlloc(heap.handle, 0, 100);
	tell_call("heap_alloc_impossible", &heap, ALLOC, 0, SIZE_T_MAX);
	tell_call("heap_realloc_impossible", &heap, REALLOC, 0, SIZE_T_MAX);
	TELL_SIZE("heap_block_kept", HeapSize(heap.handle, 0, heap.block));
	HeapDestroy(heap.handle);
}

static void tell_record(void)
{
	struct heap heap = { HeapCreate(0, 0, MIB), NULL };

	tell_call("record", &heap, ALLOC, HEAP_GENERATE_EXCEPTIONS, 2 * MIB);
	tell("record_flags", "%#x", (unsigned int)raised.ExceptionFlags);
	tell("record_parameters", "%u", (unsigned int)raised.NumberParameters);
	tell_yes("record_of_other", raised.ExceptionRecord != NULL);
	HeapDestroy(heap.handle);
}

static void realloc_null(void)
{
	struct heap heap = { HeapCreate(0, 0, 0), NULL };

	tell_call("realloc_null", &heap, REALLOC, HEAP_GENERATE_EXCEPTIONS, 10);
	HeapDestroy(heap.handle);
}

static void realloc_wrong_block(void)
{
	static char bytes[256];
	struct heap heap = { HeapCreate(0, 0, 0), bytes + 64 };

	tell_call("realloc_wrong_block", &heap, REALLOC,
		  HEAP_GENERATE_EXCEPTIONS, 10);
	HeapDestroy(heap.handle);
}

/* Not the handler that was left by a jump: under Wine it counts as running. */
static void remove_twice(void)
{
	PVOID added = AddVectoredExceptionHandler(0, handler);

	tell_yes("unused_removed", RemoveVectoredExceptionHandler(added) != 0);
	tell_yes("unused_removed_twice",
		 RemoveVectoredExceptionHandler(added) != 0);
}

int main(void)
{
	PVOID added = AddVectoredExceptionHandler(1, handler);

	tell_yes("handler_added", added != NULL);
	raise_by_call();
	raise_by_heap();
	tell_record();
	realloc_null();
	realloc_wrong_block();
	tell_yes("handler_removed", RemoveVectoredExceptionHandler(added) != 0);
	remove_twice();
	return 0;
}
