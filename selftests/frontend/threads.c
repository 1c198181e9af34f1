// SPDX-License-Identifier: GPL-2.0-only
/*
 * The front end under threads that run at once, for the address and the thread
 * sanitizer: "threads [GENERATIONS [SEED]]".
 *
 * Blocks go from thread to thread through shared places, and whoever frees one
 * looks at what it holds. The heaps:
 *
 * - shared by all, with walks, locks, checks and compacts between;
 * - not serialised, and used by whoever has a mutex of the program;
 * - one that is always full, so that threads take free slots from spans of others;
 * - one that is reset, destroyed and made again while others use its handle: calls
 *   may be refused, and nobody touches its blocks.
 *
 * Threads end and others take their places. When all have ended nothing may be left.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "heapdev.h"

#define NR_THREADS	4U
#define NR_PLACES	64U
#define NR_OWN		32U
#define NR_TIGHT	2048U
#define TIGHT_BYTES	(1UL << 20)
#define NR_CALLS	3000U

#define ASSERT(condition) \
	((condition) ? (void)0 : \
	 (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))

/* How each block begins. */
struct head {
	uint32_t bytes;
	uint32_t tag;
};

struct heap {
	HANDLE handle;
	pthread_mutex_t *mutex;		/* of who uses it; NULL if none is needed */
	struct head *_Atomic places[NR_PLACES];
};

struct worker {
	pthread_t thread;
	uint64_t random;
	struct head *own[NR_OWN];
	struct head *tight[NR_TIGHT];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct heap shared, tight, unserialized = { .mutex = &mutex };
static _Atomic(HANDLE) doomed;

static uint32_t random_below(struct worker *worker, uint32_t below)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return (worker->random >> 32) % below;
}

static size_t random_bytes(struct worker *worker)
{
	static const size_t bounds[] = { 64, 64, 600, 600, 600, 3000, 17000, 70000 };

	return sizeof(struct head) +
	       random_below(worker, bounds[random_below(worker, 8)]);
}

static void enter(struct heap *heap)
{
	if (heap->mutex)
		pthread_mutex_lock(heap->mutex);
}

static void leave(struct heap *heap)
{
	if (heap->mutex)
		pthread_mutex_unlock(heap->mutex);
}

/* Blocks */

static void fill(struct head *block, size_t bytes, uint32_t tag)
{
	memset(block, tag, bytes);
	block->bytes = bytes;
	block->tag = tag;
}

static void check(const struct head *block)
{
	const unsigned char *bytes = (const unsigned char *)block;
	size_t i;

	for (i = sizeof(*block); i < block->bytes; i += 1 + i / 16)
		ASSERT(bytes[i] == (unsigned char)block->tag);
}

static struct head *make(struct worker *worker, struct heap *heap)
{
	size_t bytes = random_bytes(worker);
	struct head *block;

	enter(heap);
	block = HeapAlloc(heap->handle, 0, bytes);
	leave(heap);
	ASSERT(block);
	fill(block, bytes, random_below(worker, 256));
	return block;
}

static void drop(struct heap *heap, struct head *block)
{
	if (!block)
		return;
	check(block);
	enter(heap);
	ASSERT(HeapSize(heap->handle, 0, block) == block->bytes);
	ASSERT(HeapFree(heap->handle, 0, block));
	leave(heap);
}

static void pass_on(struct worker *worker, struct heap *heap)
{
	uint32_t i = random_below(worker, NR_PLACES);
	struct head *block = NULL;

	if (random_below(worker, 8))
		block = make(worker, heap);
	drop(heap, atomic_exchange(&heap->places[i], block));
}

/* Its own blocks are all of the shared heap. */
static void keep(struct worker *worker)
{
	struct head **own = &worker->own[random_below(worker, NR_OWN)];
	struct head *block = *own;
	size_t bytes;

	if (!block || random_below(worker, 2)) {
		drop(&shared, block);
		*own = make(worker, &shared);
		return;
	}
	bytes = random_bytes(worker);
	block = HeapReAlloc(shared.handle, 0, block, bytes);
	ASSERT(block);
	if (block->bytes > bytes)
		block->bytes = bytes;
	check(block);
	fill(block, bytes, random_below(worker, 256));
	*own = block;
}

/* There is room for half of what all want. */
static void crowd(struct worker *worker)
{
	bool frees = random_below(worker, 2);
	struct head **place;
	unsigned int i;
	size_t bytes;

	for (i = 0; i < 256; i++) {
		place = &worker->tight[random_below(worker, NR_TIGHT)];
		bytes = 200 + 200 * random_below(worker, 4);
		if (!frees && !*place) {
			*place = HeapAlloc(tight.handle, 0, bytes);
			if (*place)
				fill(*place, bytes, random_below(worker, 256));
			else
				ASSERT(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
		} else if (frees && *place) {
			check(*place);
			ASSERT(HeapFree(tight.handle, 0, *place));
			*place = NULL;
		}
	}
}

static void free_twice(struct worker *worker)
{
	struct head **own = &worker->own[random_below(worker, NR_OWN)];

	if (!*own)
		return;
	ASSERT(!HeapFree(shared.handle, 0, *own + 1));
	ASSERT(!HeapFree(unserialized.handle, 0, *own));
	drop(&shared, *own);
	*own = NULL;
}

/* While the heap is locked two looks at it see the same. */
static void look(void)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };
	SIZE_T bytes = 0;

	ASSERT(HeapLock(shared.handle));
	while (HeapWalk(shared.handle, &entry))
		if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY)
			bytes += entry.cbData;
	ASSERT(GetLastError() == ERROR_NO_MORE_ITEMS);
	ASSERT(HeapSummary(shared.handle, 0, &summary));
	ASSERT(summary.cbAllocated == bytes);
	ASSERT(HeapUnlock(shared.handle));
}

static void use_doomed(struct worker *worker)
{
	HANDLE heap = atomic_load(&doomed);
	void *blocks[8];
	unsigned int i;

	for (i = 0; i < 8; i++)
		blocks[i] = HeapAlloc(heap, 0, random_below(worker, 500));
	for (i = 0; i < 8; i++) {
		HeapSize(heap, 0, blocks[i]);
		HeapFree(heap, 0, blocks[i]);
	}
}

static void renew_doomed(struct worker *worker)
{
	HANDLE heap = atomic_exchange(&doomed, NULL);

	if (!heap)
		return;
	if (random_below(worker, 2)) {
		ASSERT(HeapdevReset(heap, 0));
	} else {
		ASSERT(HeapDestroy(heap));
		heap = HeapCreate(0, 0, 0);
		ASSERT(heap);
	}
	atomic_store(&doomed, heap);
}

static void call(struct worker *worker)
{
	switch (random_below(worker, 400)) {
	case 0:
		return look();
	case 1:
		ASSERT(HeapValidate(shared.handle, 0, NULL));
		return;
	case 2:
		HeapCompact(shared.handle, 0);
		return;
	case 3:
		enter(&unserialized);
		ASSERT(HeapValidate(unserialized.handle, 0, NULL));
		HeapCompact(unserialized.handle, 0);
		return leave(&unserialized);
	case 4 ... 6:
		return renew_doomed(worker);
	case 7 ... 30:
		return use_doomed(worker);
	case 31 ... 40:
		return free_twice(worker);
	case 41 ... 200:
		return pass_on(worker, &shared);
	case 201 ... 270:
		return pass_on(worker, &unserialized);
	case 271 ... 280:
		return crowd(worker);
	default:
		return keep(worker);
	}
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	unsigned int i;

	for (i = random_below(worker, NR_CALLS); i < NR_CALLS; i++)
		call(worker);
	for (i = 0; i < NR_OWN; i++) {
		drop(&shared, worker->own[i]);
		worker->own[i] = NULL;
	}
	for (i = 0; i < NR_TIGHT; i++) {
		drop(&tight, worker->tight[i]);
		worker->tight[i] = NULL;
	}
	return NULL;
}

/* Heaps */

static void end_heap(struct heap *heap)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };
	unsigned int i;

	for (i = 0; i < NR_PLACES; i++)
		drop(heap, atomic_load(&heap->places[i]));
	ASSERT(HeapValidate(heap->handle, 0, NULL));
	HeapCompact(heap->handle, 0);
	ASSERT(HeapSummary(heap->handle, 0, &summary));
	ASSERT(!summary.cbAllocated);
	/* What a heap has when it is made. */
	ASSERT(summary.cbCommitted == 4096);
	ASSERT(HeapDestroy(heap->handle));
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 50;
	unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	static struct worker workers[NR_THREADS];
	unsigned long i;

	setenv("HEAPDEV_FRONTEND", "1", 0);
	shared.handle = HeapCreate(0, 0, 0);
	unserialized.handle = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	tight.handle = HeapCreate(0, 0, TIGHT_BYTES);
	doomed = HeapCreate(0, 0, 0);
	ASSERT(shared.handle && unserialized.handle && tight.handle && doomed);
	for (i = 0; i < nr + NR_THREADS; i++) {
		struct worker *worker = &workers[i % NR_THREADS];

		if (i >= NR_THREADS && i - NR_THREADS < nr)
			pthread_join(worker->thread, NULL);
		worker->random = (seed + i) * 0x9e3779b97f4a7c15ULL;
		if (i < nr && pthread_create(&worker->thread, NULL, work, worker))
			abort();
	}
	end_heap(&shared);
	end_heap(&unserialized);
	end_heap(&tight);
	ASSERT(HeapDestroy(doomed));
	ASSERT(!device.nr_refused);
	return 0;
}
