// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Call stacks: each one that occurs is kept once, and has a number.
 *
 * They lie in one mapping, outside of any heap, one behind the other; nothing is
 * ever removed. A stack is entered without a lock: it is written first and then
 * put at the head of the list of its hash value. Two threads may enter the same one
 * twice, which does no harm. So a signal handler can read every stack whose number
 * it is given.
 */
#include <errno.h>
#include <execinfo.h>
#include <string.h>
#include <sys/mman.h>

#include "debug.h"

#define MAX_FRAMES	32	/* that are kept */
#define INNER_FRAMES	8	/* of the library, at most, which are not */
#define DEPOT_BYTES	((size_t)256 << 20)
#define NR_BUCKETS	65536U

/* In units of 8 bytes from the start of the depot; 0 is no stack. */
struct stack {
	uint32_t next;
	uint32_t nr_frames;
	void *frames[];
};

struct depot {
	_Atomic uint32_t buckets[NR_BUCKETS];
	_Atomic uint32_t used;	/* units behind this header */
};

#define UNIT_BYTES	8
#define HEADER_UNITS	((sizeof(struct depot) + UNIT_BYTES - 1) / UNIT_BYTES)
#define DEPOT_UNITS	(DEPOT_BYTES / UNIT_BYTES)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct depot *_Atomic the_depot;

static void make_depot(void)
{
	int saved = errno;
	void *mem = mmap(NULL, DEPOT_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *frame;

	/* The first call loads the unwinder, which must not happen later. */
	backtrace(&frame, 1);
	if (mem != MAP_FAILED)
		atomic_store(&the_depot, mem);
	errno = saved;
}

static struct stack *stack_at(struct depot *depot, uint32_t number)
{
	return (struct stack *)((char *)depot + (size_t)number * UNIT_BYTES);
}

static uint32_t hash(void *const *frames, unsigned int nr)
{
	uint64_t value = nr;

	while (nr--)
		value = (value ^ (uintptr_t)*frames++) * 0x9e3779b97f4a7c15u;
	return value >> 32;
}

static uint32_t find(struct depot *depot, uint32_t number, void *const *frames,
		     unsigned int nr)
{
	const struct stack *stack;

	for (; number; number = stack->next) {
		stack = stack_at(depot, number);
		if (stack->nr_frames == nr &&
		    !memcmp(stack->frames, frames, nr * sizeof(*frames)))
			break;
	}
	return number;
}

/* Returns the number of the new stack, 0 if the depot is full. */
static uint32_t add(struct depot *depot, _Atomic uint32_t *bucket,
		    void *const *frames, unsigned int nr)
{
	uint32_t units = (sizeof(struct stack) + nr * sizeof(*frames)) /
			 UNIT_BYTES;
	uint32_t number, next;
	struct stack *stack;

	if (atomic_load_explicit(&depot->used, memory_order_relaxed) >
	    DEPOT_UNITS - HEADER_UNITS - 1024)
		return 0;
	number = HEADER_UNITS + atomic_fetch_add_explicit(&depot->used, units,
							  memory_order_relaxed);
	stack = stack_at(depot, number);
	stack->nr_frames = nr;
	memcpy(stack->frames, frames, nr * sizeof(*frames));
	next = atomic_load_explicit(bucket, memory_order_relaxed);
	do {
		stack->next = next;
	} while (!atomic_compare_exchange_weak_explicit(bucket, &next, number,
							memory_order_release,
							memory_order_relaxed));
	return number;
}

/* How many of the innermost frames belong to the library. */
static int count_inner(void *const *frames, int nr, const void *caller)
{
	int i;

	for (i = 0; i < nr; i++)
		if (frames[i] == caller)
			return i;
	return 0;
}

uint32_t hd_stack_capture(void *caller)
{
	void *buffer[MAX_FRAMES + INNER_FRAMES], **frames = buffer;
	_Atomic uint32_t *bucket;
	struct depot *depot;
	uint32_t number;
	int nr, inner;

	pthread_once(&once, make_depot);
	depot = atomic_load_explicit(&the_depot, memory_order_relaxed);
	if (!depot)
		return 0;
	nr = backtrace(buffer, MAX_FRAMES + INNER_FRAMES);
	inner = count_inner(buffer, nr, caller);
	frames += inner;
	nr -= inner;
	if (nr > MAX_FRAMES)
		nr = MAX_FRAMES;
	if (nr <= 0)
		return 0;
	bucket = &depot->buckets[hash(frames, nr) % NR_BUCKETS];
	/* Pairs with the exchange in add(). */
	number = find(depot, atomic_load_explicit(bucket, memory_order_acquire),
		      frames, nr);
	return number ? number : add(depot, bucket, frames, nr);
}

unsigned int hd_stack_get(uint32_t number, void *const **frames)
{
	struct depot *depot = atomic_load(&the_depot);

	if (!depot || !number || number >= DEPOT_UNITS)
		return 0;
	*frames = stack_at(depot, number)->frames;
	return stack_at(depot, number)->nr_frames;
}
