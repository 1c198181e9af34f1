/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allocator that a worker is built for: a heap of libheapdev, or malloc,
 * which is that of the C library or of whatever was preloaded.
 *
 * The functions are inline, so that a call costs what it costs a program.
 */
#ifndef BENCH_ALLOC_BLOCKS_H
#define BENCH_ALLOC_BLOCKS_H

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "harness.h"

/* What only some allocators have; NULL with the others. */
#define OF_ALLOCATOR	__attribute__((weak)) extern

OF_ALLOCATOR int mallctl(const char *name, void *old, size_t *old_bytes,
			 void *new, size_t new_bytes);
OF_ALLOCATOR void *mallocx(size_t bytes, int flags);
OF_ALLOCATOR void *mi_heap_new(void);
OF_ALLOCATOR void *mi_heap_malloc(void *heap, size_t bytes);
OF_ALLOCATOR void mi_heap_destroy(void *heap);
OF_ALLOCATOR void mi_collect(bool force);
OF_ALLOCATOR void MallocExtension_ReleaseFreeMemory(void);

#ifdef BENCH_HEAPDEV

#include "heapdev.h"

static HANDLE the_heap;

static inline HANDLE new_heap(void)
{
	HANDLE heap = HeapCreate(getenv("BENCH_UNSERIALIZED") ?
				 HEAP_NO_SERIALIZE : 0, 0, 0);

	if (!heap)
		bench_die("HeapCreate");
	return heap;
}

static inline void blocks_init(void)
{
	the_heap = new_heap();
}

static inline void *block_alloc(size_t bytes)
{
	return HeapAlloc(the_heap, 0, bytes);
}

static inline void *block_realloc(void *block, size_t bytes)
{
	return HeapReAlloc(the_heap, 0, block, bytes);
}

static inline void block_free(void *block)
{
	HeapFree(the_heap, 0, block);
}

static inline void blocks_compact(void)
{
	HeapCompact(the_heap, 0);
}

#else

static inline void blocks_init(void)
{
}

static inline void *block_alloc(size_t bytes)
{
	return malloc(bytes);
}

static inline void *block_realloc(void *block, size_t bytes)
{
	return realloc(block, bytes);
}

static inline void block_free(void *block)
{
	free(block);
}

/* jemalloc's number for all arenas at once, as text. */
#define ALL_ARENAS	"4096"

static inline void blocks_compact(void)
{
	if (mallctl) {
		mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
		mallctl("arena." ALL_ARENAS ".purge", NULL, NULL, NULL, 0);
	} else if (mi_collect) {
		mi_collect(true);
	} else if (MallocExtension_ReleaseFreeMemory) {
		MallocExtension_ReleaseFreeMemory();
	} else {
		malloc_trim(0);
	}
}

#endif

#endif /* BENCH_ALLOC_BLOCKS_H */
