// SPDX-License-Identifier: GPL-2.0-only
/*
 * The front end under scripts: an input is a list of calls, for libFuzzer or from
 * random numbers.
 *
 * The calls are made on a few heaps of all kinds by a few threads, which take
 * turns: each has its caches, but one call follows another, so that an input always
 * does the same. A plain model says which blocks must live and what they hold. What
 * each call answers is compared with it at once, the whole heap by a walk
 * from time to time and at the end.
 *
 * An input is read byte by byte. When it is at its end all further bytes are 0, so
 * every input is a valid one.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "heapdev.h"

#define NR_HEAPS	4U
#define NR_THREADS	3U
#define MAX_BLOCKS	4096U
#define MAX_CALLS	2000U
#define MIB		(1UL << 20)
/* The largest block that the front end serves. */
#define FRONT_MAX	16384UL

#define ASSERT(condition) \
	((condition) ? (void)0 : \
	 (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))

struct input {
	const uint8_t *next;
	const uint8_t *end;
};

struct block {
	unsigned char *addr;
	size_t bytes;
	unsigned char tag;
};

/* @locked_by: number of a thread + 1; 0: nobody. */
struct heap {
	HANDLE handle;
	DWORD flags;
	size_t max_bytes;
	unsigned int locked_by;
	struct block blocks[MAX_BLOCKS];
	unsigned int nr_blocks;
	size_t bytes;
};

static struct heap heaps[NR_HEAPS];
static unsigned char next_tag;
/* Blocks that were freed, to be freed again. */
static void *freed[16];
static unsigned int nr_freed;
static bool may_fail;

static unsigned int input_byte(struct input *input)
{
	return input->next < input->end ? *input->next++ : 0;
}

static unsigned int input_short(struct input *input)
{
	unsigned int high = input_byte(input);

	return high << 8 | input_byte(input);
}

/* Any size; small ones more often, and what is around the borders of classes. */
static size_t input_bytes(struct input *input)
{
	unsigned int kind = input_byte(input);

	switch (kind >> 6) {
	case 0:
		return kind;
	case 1:
		return (kind & 63) * 16 + input_byte(input) % 3;
	case 2:
		return (kind & 63) * 256 + input_byte(input) % 3;
	}
	if (kind < 250)
		return input_short(input) % (FRONT_MAX + 100);
	return input_short(input) * 20UL;
}

/* The model */

static void fill(struct block *block)
{
	size_t i;

	block->tag = ++next_tag;
	for (i = 0; i < block->bytes; i += i < 64 ? 1 : 61)
		block->addr[i] = block->tag ^ i;
	if (block->bytes)
		block->addr[block->bytes - 1] = block->tag;
}

static void check_contents(const struct block *block, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += i < 64 ? 1 : 61)
		ASSERT(i == block->bytes - 1 ||
		       block->addr[i] == (unsigned char)(block->tag ^ i));
	if (bytes && bytes == block->bytes)
		ASSERT(block->addr[bytes - 1] == block->tag);
}

static void check_zero(const unsigned char *addr, size_t from, size_t to)
{
	for (; from < to; from++)
		ASSERT(!addr[from]);
}

static void model_add(struct heap *heap, unsigned char *addr, size_t bytes)
{
	struct block *block = &heap->blocks[heap->nr_blocks++];

	ASSERT(!((uintptr_t)addr % MEMORY_ALLOCATION_ALIGNMENT));
	*block = (struct block){ .addr = addr, .bytes = bytes };
	heap->bytes += bytes;
	fill(block);
}

static void model_remove(struct heap *heap, unsigned int i)
{
	heap->bytes -= heap->blocks[i].bytes;
	heap->blocks[i] = heap->blocks[--heap->nr_blocks];
}

static int compare_blocks(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void check_sums(const struct heap *heap)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };

	ASSERT(HeapSummary(heap->handle, 0, &summary));
	ASSERT(summary.cbAllocated == heap->bytes);
	ASSERT(summary.cbCommitted >= heap->bytes);
}

/* What the walk finds must be the model's blocks, each once. */
static void check_heap(struct heap *heap)
{
	PROCESS_HEAP_ENTRY entry = { .lpData = NULL };
	struct block key, *block;
	unsigned int nr = 0;

	qsort(heap->blocks, heap->nr_blocks, sizeof(*heap->blocks), compare_blocks);
	while (HeapWalk(heap->handle, &entry)) {
		if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY))
			continue;
		key.addr = entry.lpData;
		block = bsearch(&key, heap->blocks, heap->nr_blocks, sizeof(key),
				compare_blocks);
		ASSERT(block && block->bytes == entry.cbData);
		check_contents(block, block->bytes);
		nr++;
	}
	ASSERT(GetLastError() == ERROR_NO_MORE_ITEMS);
	ASSERT(nr == heap->nr_blocks);
	ASSERT(HeapValidate(heap->handle, 0, NULL));
	check_sums(heap);
}

/* Calls */

/* A fixed heap without a block has room for one, whatever it has kept. */
static bool may_be_full(const struct heap *heap, size_t bytes)
{
	return may_fail || (heap->max_bytes &&
			    (bytes > heap->max_bytes / 2 || bytes > 0xFE000 ||
			     heap->nr_blocks));
}

static void do_alloc(struct heap *heap, size_t bytes, bool zero)
{
	unsigned char *addr;

	if (heap->nr_blocks == MAX_BLOCKS || heap->bytes + bytes > 8 * MIB)
		return;
	addr = HeapAlloc(heap->handle, zero ? HEAP_ZERO_MEMORY : 0, bytes);
	if (!addr) {
		ASSERT(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
		ASSERT(may_be_full(heap, bytes));
		return;
	}
	if (zero)
		check_zero(addr, 0, bytes);
	model_add(heap, addr, bytes);
}

static void do_free(struct heap *heap, unsigned int at)
{
	unsigned int i;

	if (!heap->nr_blocks)
		return;
	i = at % heap->nr_blocks;
	check_contents(&heap->blocks[i], heap->blocks[i].bytes);
	ASSERT(HeapFree(heap->handle, 0, heap->blocks[i].addr));
	freed[nr_freed++ % 16] = heap->blocks[i].addr;
	model_remove(heap, i);
}

static void do_realloc(struct heap *heap, unsigned int at, size_t bytes,
		       DWORD flags)
{
	unsigned int i = heap->nr_blocks ? at % heap->nr_blocks : 0;
	struct block old = heap->blocks[i], *block = &heap->blocks[i];
	unsigned char *addr;
	size_t kept;

	if (!heap->nr_blocks || heap->bytes + bytes > 8 * MIB)
		return;
	addr = HeapReAlloc(heap->handle, flags, old.addr, bytes);
	if (!addr) {
		ASSERT(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
		ASSERT(bytes > old.bytes);
		ASSERT(flags & HEAP_REALLOC_IN_PLACE_ONLY ||
		       may_be_full(heap, bytes));
		check_contents(&old, old.bytes);
		return;
	}
	if (flags & HEAP_REALLOC_IN_PLACE_ONLY)
		ASSERT(addr == old.addr);
	block->addr = addr;
	kept = old.bytes < bytes ? old.bytes : bytes;
	check_contents(block, kept);
	if (flags & HEAP_ZERO_MEMORY)
		check_zero(addr, kept, bytes);
	heap->bytes += bytes - old.bytes;
	block->bytes = bytes;
	fill(block);
}

static const struct block *find_block(const struct heap *heap, const void *addr)
{
	unsigned int i;

	for (i = 0; i < heap->nr_blocks; i++)
		if (heap->blocks[i].addr == addr)
			return &heap->blocks[i];
	return NULL;
}

/* A pointer that is a block of this heap only by chance, and then is asked for. */
static void do_wrong(struct heap *heap, void *addr)
{
	const struct block *block = find_block(heap, addr);

	if (block) {
		ASSERT(HeapSize(heap->handle, 0, addr) == block->bytes);
		ASSERT(HeapValidate(heap->handle, 0, addr));
		return;
	}
	if (!addr)
		return;
	ASSERT(HeapSize(heap->handle, 0, addr) == (SIZE_T)-1);
	ASSERT(!HeapValidate(heap->handle, 0, addr));
	ASSERT(!HeapFree(heap->handle, 0, addr));
	ASSERT(GetLastError() == ERROR_INVALID_PARAMETER);
	ASSERT(!HeapReAlloc(heap->handle, 0, addr, 10));
	ASSERT(GetLastError() == ERROR_INVALID_PARAMETER);
}

static void *wrong_pointer(struct heap *heap, struct input *input)
{
	unsigned int kind = input_byte(input), at = input_short(input);
	struct heap *other = &heaps[at % NR_HEAPS];

	switch (kind % 4) {
	case 0:
		return freed[at % 16];
	case 1:
		return (char *)heap->handle + at * 16UL;
	case 2:
		return other->nr_blocks ?
		       other->blocks[at % other->nr_blocks].addr : NULL;
	default:
		return heap->nr_blocks ? heap->blocks[at % heap->nr_blocks].addr +
					 1 + kind / 4 : (void *)-16;
	}
}

static void do_create(struct heap *heap, unsigned int kind)
{
	memset(heap, 0, offsetof(struct heap, blocks));
	heap->nr_blocks = 0;
	heap->bytes = 0;
	heap->flags = kind & 1 ? HEAP_NO_SERIALIZE : 0;
	heap->max_bytes = kind & 2 ? (1 + kind / 16) * (MIB / 2) : 0;
	heap->handle = HeapCreate(heap->flags, kind & 4 ? 100000 : 0,
				  heap->max_bytes);
	ASSERT(heap->handle);
}

static void do_destroy(struct heap *heap)
{
	HANDLE handle = heap->handle;

	ASSERT(HeapDestroy(handle));
	heap->handle = NULL;
	heap->locked_by = 0;
	ASSERT(!HeapAlloc(handle, 0, 10));
	ASSERT(GetLastError() == ERROR_INVALID_HANDLE);
	if (heap->nr_blocks)
		ASSERT(!HeapFree(handle, 0, heap->blocks[0].addr));
}

static void do_lock(struct heap *heap, unsigned int thread)
{
	if (heap->flags & HEAP_NO_SERIALIZE)
		return;
	if (heap->locked_by) {
		ASSERT(HeapUnlock(heap->handle));
		heap->locked_by = 0;
	} else {
		ASSERT(HeapLock(heap->handle));
		heap->locked_by = thread + 1;
	}
}

static void do_many(struct heap *heap, size_t bytes, unsigned int nr)
{
	while (nr--)
		do_alloc(heap, bytes, false);
}

static void do_free_many(struct heap *heap, unsigned int stride, unsigned int nr)
{
	unsigned int at = 0;

	for (; nr--; at += stride)
		do_free(heap, at);
}

/* As many blocks as there are members, but for what fails. */
static void do_alloc_batch(struct heap *heap, size_t bytes, unsigned int nr)
{
	HEAPDEV_MEMBER members[256] = { 0 };
	SIZE_T nr_done = 0;
	unsigned int i;

	nr = nr % 256 + 1;
	if (heap->nr_blocks + nr > MAX_BLOCKS || heap->bytes + nr * bytes > 8 * MIB)
		return;
	for (i = 0; i < nr; i++)
		members[i].Bytes = bytes;
	ASSERT(HeapdevAllocBatch(heap->handle, 0, members, nr) <= nr);
	for (i = 0; i < nr; i++) {
		ASSERT(!members[i].Block == !!members[i].Error);
		if (members[i].Block)
			model_add(heap, members[i].Block, bytes);
		nr_done += !members[i].Error;
	}
	ASSERT(nr_done == nr || may_be_full(heap, bytes));
}

/* Every n-th block, and the first of them once more. */
static void do_free_batch(struct heap *heap, unsigned int stride)
{
	HEAPDEV_MEMBER members[257] = { 0 };
	unsigned int i, nr = 0;

	stride = stride % 16 + 1;
	for (i = 0; i < heap->nr_blocks && nr < 256; i += stride)
		members[nr++].Block = heap->blocks[i].addr;
	if (!nr)
		return;
	members[nr].Block = members[0].Block;
	ASSERT(HeapdevFreeBatch(heap->handle, 0, members, nr + 1) == nr);
	ASSERT(members[nr].Error == ERROR_INVALID_PARAMETER);
	for (i = nr; i--; ) {
		ASSERT(!members[i].Error);
		model_remove(heap, i * stride);
	}
}

static void do_reset(struct heap *heap)
{
	ASSERT(HeapdevReset(heap->handle, 0));
	heap->nr_blocks = 0;
	heap->bytes = 0;
}

/* Everything of a heap that no block needs goes back. */
static void do_compact(struct heap *heap)
{
	HeapCompact(heap->handle, 0);
	check_sums(heap);
}

/* Failures are asked for with a call, and end with the first one. */
static void do_fail(struct input *input)
{
	unsigned int kind = input_byte(input);

	device.near = kind & 1;
	device.fail_nth = kind / 16;
	may_fail |= device.fail_nth != 0;
}

/* --- Threads that take turns */

struct turn {
	struct heap *heap;
	struct input *input;
	unsigned int thread;
	unsigned int call;
};

static struct worker {
	pthread_t thread;
	bool runs;
	sem_t begin, end;
	struct turn *turn;
} workers[NR_THREADS];

static void do_turn(struct turn *turn)
{
	struct input *input = turn->input;
	struct heap *heap = turn->heap;
	unsigned int at;

	switch (turn->call) {
	case 0 ... 5:
		return do_alloc(heap, input_bytes(input), turn->call == 0);
	case 6 ... 10:
		return do_free(heap, input_short(input));
	case 11 ... 12:
		at = input_short(input);
		return do_realloc(heap, at, input_bytes(input),
				  at & (HEAP_ZERO_MEMORY |
					HEAP_REALLOC_IN_PLACE_ONLY));
	case 13 ... 15:
		return do_wrong(heap, wrong_pointer(heap, input));
	case 16 ... 17:
		at = input_byte(input);
		return do_many(heap, input_bytes(input), at);
	case 18 ... 19:
		at = input_byte(input);
		return do_free_many(heap, at, input_short(input) % 512);
	case 20:
		return check_heap(heap);
	case 21:
		return do_compact(heap);
	case 22:
		return do_lock(heap, turn->thread);
	case 23:
		return do_fail(input);
	case 24:
		at = input_byte(input);
		if (at % 2)
			return do_reset(heap);
		do_destroy(heap);
		return do_create(heap, at / 2);
	case 25:
		at = input_byte(input);
		return do_alloc_batch(heap, input_bytes(input), at);
	case 26:
		return do_free_batch(heap, input_byte(input));
	default:
		return check_sums(heap);
	}
}
#define NR_CALLS	28U

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (;;) {
		sem_wait(&worker->begin);
		if (!worker->turn)
			return NULL;
		do_turn(worker->turn);
		sem_post(&worker->end);
	}
}

static void start_worker(struct worker *worker)
{
	sem_init(&worker->begin, 0, 0);
	sem_init(&worker->end, 0, 0);
	if (pthread_create(&worker->thread, NULL, work, worker))
		abort();
	worker->runs = true;
}

static void end_worker(struct worker *worker)
{
	if (!worker->runs)
		return;
	worker->turn = NULL;
	sem_post(&worker->begin);
	pthread_join(worker->thread, NULL);
	worker->runs = false;
}

static void give_turn(struct worker *worker, struct turn *turn)
{
	if (!worker->runs)
		start_worker(worker);
	worker->turn = turn;
	sem_post(&worker->begin);
	sem_wait(&worker->end);
}

/* A thread does not end with a lock, and what is locked is its owner's. */
static void step(struct input *input)
{
	unsigned int who = input_byte(input), i, thread = who % NR_THREADS;
	struct turn turn = {
		.heap = &heaps[who / 4 % NR_HEAPS],
		.input = input,
	};

	if (who == 255) {
		for (i = 0; i < NR_HEAPS; i++)
			if (heaps[i].locked_by)
				return;
		end_worker(&workers[input_byte(input) % NR_THREADS]);
		return;
	}
	if (turn.heap->locked_by)
		thread = turn.heap->locked_by - 1;
	turn.thread = thread;
	turn.call = input_byte(input) % NR_CALLS;
	give_turn(&workers[thread], &turn);
	if (!device.fail_nth)
		may_fail = false;
}

static void unlock_all(void)
{
	unsigned int i;

	for (i = 0; i < NR_HEAPS; i++) {
		if (!heaps[i].locked_by)
			continue;
		give_turn(&workers[heaps[i].locked_by - 1], &(struct turn){
			.heap = &heaps[i], .call = 22,
		});
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = { .next = data, .end = data + bytes };
	unsigned int i, nr;

	setenv("HEAPDEV_FRONTEND", "1", 0);
	device = (struct device){};
	may_fail = false;
	memset(freed, 0, sizeof(freed));
	for (i = 0; i < NR_HEAPS; i++)
		do_create(&heaps[i], input_byte(&input));
	for (nr = 0; input.next < input.end && nr < MAX_CALLS; nr++)
		step(&input);
	device.fail_nth = 0;
	unlock_all();
	for (i = 0; i < NR_HEAPS; i++) {
		check_heap(&heaps[i]);
		do_destroy(&heaps[i]);
	}
	for (i = 0; i < NR_THREADS; i++)
		end_worker(&workers[i]);
	ASSERT(!device.nr_refused);
	return 0;
}

#ifndef FUZZER

/* Random scripts: script NUMBER [SEED] */
int main(int argc, char **argv)
{
	unsigned long nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000, i, j;
	static uint8_t data[6000];
	uint64_t state;

	for (i = argc > 2 ? strtoul(argv[2], NULL, 0) : 1; nr--; i++) {
		state = i * 0x9e3779b97f4a7c15ULL;
		for (j = 0; j < sizeof(data); j++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			data[j] = state >> 32;
		}
		if (getenv("SCRIPT_PRINT"))
			fprintf(stderr, "seed %lu\n", i);
		LLVMFuzzerTestOneInput(data, sizeof(data) >> (i % 4));
	}
	return 0;
}

#endif
