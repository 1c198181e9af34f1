/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Duktape in a heap: the adapter between Duktape's memory functions and those
 * of libheapdev. There is no code behind it in the library; a program that
 * includes it links with Duktape by itself.
 *
 * A script that gets a heap of its own, with a hard maximum, cannot take more
 * than that whatever it does. It meets the maximum as the engine's own error,
 * which a script or a protected call can catch:
 *
 *	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 4 << 20);
 *	duk_context *ctx = HeapdevDuktapeCreate(heap, NULL);
 *
 *	if (!ctx)
 *		... GetLastError() says why ...
 *	else if (duk_peval_string(ctx, script))
 *		... the script failed, "alloc failed" is one possible reason ...
 *	duk_destroy_heap(ctx);
 *	HeapDestroy(heap);
 *
 * Duktape uses a heap from one thread at a time, so the heap needs no lock:
 * HEAP_NO_SERIALIZE is right unless the program allocates from it, too, and
 * does so in other threads. HeapDestroy() alone, without duk_destroy_heap(),
 * ends an engine as well, at once and whatever state it is in; only finalizers
 * do not run then. duk_get_memory_functions() tells the heap of a context: it
 * is the udata.
 *
 * Where a plain mapping of the functions breaks
 *
 * - duk_realloc(NULL, n) means an allocation; HeapReAlloc() refuses NULL.
 * - duk_realloc(p, 0) means a free; HeapReAlloc() would keep a block of size 0
 *   that Duktape never frees.
 * - Both happen in ordinary scripts, so the functions below branch.
 * - HEAP_GENERATE_EXCEPTIONS, on the heap or on a call, makes a failure leave
 *   Duktape's functions half way. Never create a heap for Duktape with it.
 * - duk_create_heap() is not safe when memory runs out: a failure at most
 *   points of it crashes the engine (seen with Duktape 2.7.0) instead of
 *   returning NULL. HeapdevDuktapeCreate() refuses a heap that is too small,
 *   and leaves the engine at the first failure if memory runs out all the same.
 * - An error outside a protected call ends in Duktape's fatal handler, and an
 *   allocation can fail anywhere, in the conversion of a result to a string,
 *   too. Do all that allocates inside duk_safe_call() or another protected
 *   call. The handler must not return; the default one calls abort().
 * - The functions may not call back into Duktape: it may be collecting garbage.
 */
#ifndef HEAPDEV_DUKTAPE_H
#define HEAPDEV_DUKTAPE_H

#include <setjmp.h>
#include <stddef.h>

#include <duktape.h>
#include <heapdev.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The room that an engine needs: what it takes at its creation (1455 blocks,
 * about 100 KB, in Duktape 2.7.0), and some for a script to begin with.
 */
#define HEAPDEV_DUKTAPE_MIN_BYTES	((SIZE_T)160 * 1024)

/* Where a failed allocation goes while an engine is being created. */
static __thread jmp_buf *heapdev_duktape_creation;

/* What an allocation came to; no engine under creation sees NULL. */
static inline void *heapdev_duktape_block(void *block)
{
	if (!block && heapdev_duktape_creation)
		longjmp(*heapdev_duktape_creation, 1);
	return block;
}

/**
 * HeapdevDuktapeAlloc() - a duk_alloc_function on a heap
 * @heap: the heap's HANDLE
 * @size: in bytes; 0 gives a block, too
 *
 * Return: the block, or NULL, upon which Duktape collects garbage and tries
 * again.
 */
static inline void *HeapdevDuktapeAlloc(void *heap, duk_size_t size)
{
	return heapdev_duktape_block(HeapAlloc(heap, 0, size));
}

/**
 * HeapdevDuktapeFree() - a duk_free_function on a heap
 * @heap: the heap's HANDLE
 * @block: a live block of it; NULL does nothing
 */
static inline void HeapdevDuktapeFree(void *heap, void *block)
{
	HeapFree(heap, 0, block);
}

/**
 * HeapdevDuktapeRealloc() - a duk_realloc_function on a heap
 * @heap: the heap's HANDLE
 * @block: a live block of it; NULL allocates one
 * @size: in bytes; 0 frees @block unless that is NULL
 *
 * Return: the block, which may have moved; or NULL, with @block as it was if
 * @size is not 0.
 */
static inline void *HeapdevDuktapeRealloc(void *heap, void *block,
					  duk_size_t size)
{
	if (!block)
		return HeapdevDuktapeAlloc(heap, size);
	if (!size) {
		HeapdevDuktapeFree(heap, block);
		return NULL;
	}
	return heapdev_duktape_block(HeapReAlloc(heap, 0, block, size));
}

/**
 * HeapdevDuktapeCreate() - duk_create_heap() in a heap
 * @hHeap: the heap, best one of its own. Not made with
 *	HEAP_GENERATE_EXCEPTIONS.
 * @fatal: Duktape's fatal handler, called with @hHeap; NULL for Duktape's own,
 *	which calls abort()
 *
 * The caller still owns the heap, ends the engine with duk_destroy_heap() and
 * then the heap with HeapDestroy(). If memory runs out in the middle of the
 * creation, what was allocated so far stays in the heap until HeapDestroy().
 *
 * Return: the engine's first context; or NULL with
 *
 * - ERROR_NOT_ENOUGH_MEMORY: less than HEAPDEV_DUKTAPE_MIN_BYTES are free in
 *   @hHeap (the heap is as it was), or memory ran out
 * - ERROR_INVALID_HANDLE: @hHeap is no heap
 */
static inline duk_context *HeapdevDuktapeCreate(HANDLE hHeap,
						duk_fatal_function fatal)
{
	HEAP_SUMMARY summary;
	duk_context *ctx;
	jmp_buf creation;

	summary.cb = sizeof(summary);
	if (!HeapSummary(hHeap, 0, &summary))
		return NULL;
	if (summary.cbMaxReserve - summary.cbAllocated <
	    HEAPDEV_DUKTAPE_MIN_BYTES) {
		SetLastError(ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	heapdev_duktape_creation = &creation;
	if (setjmp(creation)) {
		heapdev_duktape_creation = NULL;
		return NULL;
	}
	ctx = duk_create_heap(HeapdevDuktapeAlloc, HeapdevDuktapeRealloc,
			      HeapdevDuktapeFree, hHeap, fatal);
	heapdev_duktape_creation = NULL;
	return ctx;
}

#ifdef __cplusplus
}
#endif

#endif /* HEAPDEV_DUKTAPE_H */
