// SPDX-License-Identifier: GPL-2.0-only
/*
 * random [SEED [FROM TO]] - a long sequence of calls on several heaps, drawn from
 * SEED, the same on libheapdev and under Wine.
 *
 * Of every call what a program can see is put into one hash: whether it
 * succeeded, the last error, the size, and whether the contents of the block are
 * what was written or zero as they should be. Each PERIOD calls the hash is printed,
 * so that two transcripts part where the two sides do. With FROM and TO the calls
 * from number FROM up to TO are printed, too.
 *
 * The sequence steers clear of what may differ: a fixed heap is never near being
 * full, no size is near the largest one of a fixed heap, and whether a block can
 * grow where it is, is tried but not told. Nothing is freed twice: Wine takes the
 * remains of a block for a block after it was merged with free memory before it.
 */
#include "transcript.h"

#define CALLS		120000
#define PERIOD		1000
#define HEAPS		6
#define MAX_BLOCKS	400

/* Not beyond it are blocks that lie in a region, on both sides. */
#define ORDINARY_BYTES	((SIZE_T)0xfd000)
/* Beyond it are blocks that lie in none, on both sides. */
#define LARGE_BYTES	((SIZE_T)0xff000)
#define MAX_BYTES	(4 * MIB)

struct block {
	unsigned char *bytes;
	SIZE_T size;
	unsigned int tag;
	int was_large;	/* once; under Wine it may have stayed outside */
};

struct heap {
	HANDLE handle;
	DWORD options;
	SIZE_T initial_bytes, maximum_bytes;
	SIZE_T live_limit, live_bytes;
	int locks, count;
	struct block blocks[MAX_BLOCKS];
};

static struct heap heaps[HEAPS] = {
	{ .live_limit = 24 * MIB },
	{ .options = HEAP_NO_SERIALIZE, .live_limit = 24 * MIB },
	{ .initial_bytes = MIB, .live_limit = 24 * MIB },
	{ .maximum_bytes = 32 * MIB, .live_limit = 8 * MIB },
	{ .options = HEAP_NO_SERIALIZE, .initial_bytes = 12345,
	  .maximum_bytes = 16 * MIB, .live_limit = 4 * MIB },
	{ .live_limit = 256 * KIB },	/* many small blocks */
};

static unsigned int call, trace_from, trace_to;
static unsigned int wrong_contents, wrong_answers;

/* Numbers */

static uint64_t random_state;

static uint64_t random_number(void)
{
	uint64_t mixed = random_state += 0x9e3779b97f4a7c15;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

static unsigned int below(unsigned int limit)
{
	return random_number() % limit;
}

/* Mostly small, sometimes large, and never near the limit of a fixed heap. */
static SIZE_T random_size(const struct heap *heap)
{
	static const SIZE_T limits[] = {
		64, 64, 256, 256, 256, 1024, 1024, 4096, 4096, 16384, 65536,
		65536, 300000, 0x100000, MAX_BYTES + 1, MAX_BYTES + 1,
	};
	SIZE_T bytes = below(limits[below(COUNT_OF(limits))]);

	if (heap->live_limit < MIB)
		bytes %= 600;
	if (bytes > ORDINARY_BYTES && bytes < LARGE_BYTES)
		bytes = ORDINARY_BYTES;
	return bytes;
}

static DWORD random_flags(DWORD flag)
{
	DWORD flags = below(2) ? flag : 0;

	return below(8) ? flags : flags | HEAP_NO_SERIALIZE;
}

/* What is observed */

static uint64_t hash = 0xcbf29ce484222325;

static void add_to_hash(uint64_t value)
{
	hash = (hash ^ value) * 0x100000001b3;
	hash ^= hash >> 29;
}

/* The last error, or 0 in place of the one that was set before the call. */
static DWORD error_before;

static void before_call(void)
{
	error_before = 0x20000000 + call;
	SetLastError(error_before);
}

static DWORD error_of_call(void)
{
	DWORD error = GetLastError();

	return error == error_before ? 0 : error;
}

enum kind {
	KIND_ALLOC, KIND_FREE, KIND_REALLOC, KIND_SIZE, KIND_VALIDATE,
	KIND_VALIDATE_HEAP, KIND_WALK, KIND_LOCK, KIND_UNLOCK, KIND_IN_PLACE,
	KIND_GROW_IN_PLACE, KIND_WRONG_POINTER, KIND_IMPOSSIBLE, KIND_NEW_HEAP,
	KINDS,
};

static const char *const kind_names[KINDS] = {
	"alloc", "free", "realloc", "size", "validate", "validate_heap", "walk",
	"lock", "unlock", "in_place", "grow_in_place", "wrong_pointer",
	"impossible", "new_heap",
};

static struct {
	unsigned int calls, succeeded, failed;
} counts[KINDS];

/* @bytes is what was asked for, @seen what else there is to see. */
static void observe(enum kind kind, const struct heap *heap, SIZE_T bytes,
		    int success, DWORD error, SIZE_T seen)
{
	int index = heap - heaps;
	char name[32];

	counts[kind].calls++;
	counts[kind].succeeded += !!success;
	counts[kind].failed += !success;
	add_to_hash(kind * HEAPS + index);
	add_to_hash(bytes);
	add_to_hash(!!success);
	add_to_hash(error);
	add_to_hash(seen);
	add_to_hash(wrong_contents);
	if (call < trace_from || call >= trace_to)
		return;
	snprintf(name, sizeof(name), "call_%06u", call);
	tell(name, "%s, heap %d, %llu bytes: %s, error %u, %llu, wrong %u",
	     kind_names[kind], index, (unsigned long long)bytes,
	     success ? "success" : "failure", (unsigned int)error,
	     (unsigned long long)seen, wrong_contents);
}

/*
 * Contents. Not all bytes of a block are looked at: those of its beginning, a few
 * at each power of two, and its last ones.
 */

#define HEAD_BYTES	((SIZE_T)512)
#define SPOT_BYTES	((SIZE_T)32)

typedef int bytes_function(void *bytes, SIZE_T from, SIZE_T to,
			   unsigned int tag);

static SIZE_T smaller(SIZE_T a, SIZE_T b)
{
	return a < b ? a : b;
}

static SIZE_T larger(SIZE_T a, SIZE_T b)
{
	return a > b ? a : b;
}

/* The bytes from @start up to @end that lie between @from and @to. */
static int for_spot(bytes_function *function, void *bytes, SIZE_T start,
		    SIZE_T end, SIZE_T from, SIZE_T to, unsigned int tag)
{
	start = larger(start, from);
	end = smaller(end, to);
	return start >= end || function(bytes, start, end, tag);
}

/* The watched bytes from @from up to @to, of a block that has @size bytes. */
static int for_spots(bytes_function *function, void *bytes, SIZE_T size,
		     SIZE_T from, SIZE_T to, unsigned int tag)
{
	SIZE_T tail = size > SPOT_BYTES ? size - SPOT_BYTES : 0, spot;
	int good;

	good = for_spot(function, bytes, 0, HEAD_BYTES, from, to, tag);
	for (spot = HEAD_BYTES; spot < to; spot *= 2)
		good &= for_spot(function, bytes, spot, spot + SPOT_BYTES,
				 from, to, tag);
	return good & for_spot(function, bytes, tail, size, from, to, tag);
}

static int write_bytes(void *bytes, SIZE_T from, SIZE_T to, unsigned int tag)
{
	fill(bytes, from, to, tag);
	return 1;
}

static int compare_bytes(void *bytes, SIZE_T from, SIZE_T to, unsigned int tag)
{
	return is_filled(bytes, from, to, tag);
}

static int compare_zero(void *bytes, SIZE_T from, SIZE_T to,
			unsigned int tag UNUSED)
{
	return is_zero(bytes, from, to);
}

static void expect(int good)
{
	wrong_contents += !good;
}

static void write_block(struct block *block)
{
	block->tag = random_number();
	for_spots(write_bytes, block->bytes, block->size, 0, block->size,
		  block->tag);
}

/* The first @kept bytes of what is in @block, which may have moved to @bytes. */
static void check_kept(const struct block *block, void *bytes, SIZE_T kept)
{
	expect(for_spots(compare_bytes, bytes, block->size, 0, kept,
			 block->tag));
}

static void check_block(const struct block *block)
{
	check_kept(block, block->bytes, block->size);
}

static void check_zero(void *bytes, SIZE_T from, SIZE_T to)
{
	expect(for_spots(compare_zero, bytes, to, from, to, 0));
	expect(for_spot(compare_zero, bytes, from, from + SPOT_BYTES, from, to,
			0));
}

/* Blocks */

static int has_room(const struct heap *heap, SIZE_T bytes)
{
	return heap->count < MAX_BLOCKS &&
	       heap->live_bytes + bytes <= heap->live_limit;
}

static struct block *any_block(struct heap *heap)
{
	return &heap->blocks[below(heap->count)];
}

static void set_size(struct heap *heap, struct block *block, SIZE_T bytes)
{
	heap->live_bytes += bytes - block->size;
	block->size = bytes;
	block->was_large |= bytes > ORDINARY_BYTES;
}

static void forget_block(struct heap *heap, struct block *block)
{
	set_size(heap, block, 0);
	*block = heap->blocks[--heap->count];
}

static void answer_is_wrong(const char *what)
{
	char name[48];

	snprintf(name, sizeof(name), "wrong_answer_%u", wrong_answers++);
	tell(name, "%s in call %u", what, call);
}

/* Calls that succeed as long as nothing is wrong */

static void free_block(struct heap *heap)
{
	struct block *block = any_block(heap);
	SIZE_T bytes = block->size;
	BOOL freed;

	check_block(block);
	before_call();
	freed = HeapFree(heap->handle, random_flags(0), block->bytes);
	observe(KIND_FREE, heap, bytes, freed, error_of_call(), 0);
	forget_block(heap, block);
}

/* In a fixed heap the large ones fail. */
static void alloc_block(struct heap *heap)
{
	DWORD flags = random_flags(HEAP_ZERO_MEMORY), error;
	SIZE_T bytes = random_size(heap);
	struct block *block = &heap->blocks[heap->count];

	if (!has_room(heap, bytes))
		bytes = below(64);
	if (!has_room(heap, bytes)) {
		free_block(heap);
		return;
	}
	before_call();
	block->bytes = HeapAlloc(heap->handle, flags, bytes);
	error = error_of_call();
	if (block->bytes) {
		block->size = 0;
		block->was_large = 0;
		set_size(heap, block, bytes);
		heap->count++;
		if (flags & HEAP_ZERO_MEMORY)
			check_zero(block->bytes, 0, bytes);
		write_block(block);
	}
	observe(KIND_ALLOC, heap, bytes, !!block->bytes, error,
		(uintptr_t)block->bytes % 16);
}

static void resize_block(struct heap *heap)
{
	struct block *block = any_block(heap);
	SIZE_T bytes = below(4) ? random_size(heap) : below(block->size + 1);
	DWORD flags = random_flags(HEAP_ZERO_MEMORY), error;
	unsigned char *moved;

	if (!has_room(heap, bytes))
		bytes /= 64;
	before_call();
	moved = HeapReAlloc(heap->handle, flags, block->bytes, bytes);
	error = error_of_call();
	if (moved) {
		check_kept(block, moved, smaller(block->size, bytes));
		if (flags & HEAP_ZERO_MEMORY && bytes > block->size)
			check_zero(moved, block->size, bytes);
		block->bytes = moved;
		set_size(heap, block, bytes);
		write_block(block);
	} else {
		check_block(block);
	}
	observe(KIND_REALLOC, heap, bytes, !!moved, error,
		(uintptr_t)moved % 16);
}

static void tell_size_of_block(struct heap *heap)
{
	struct block *block = any_block(heap);
	DWORD error;
	SIZE_T bytes;

	before_call();
	bytes = HeapSize(heap->handle, random_flags(0), block->bytes);
	error = error_of_call();
	check_block(block);
	observe(KIND_SIZE, heap, block->size, bytes == block->size, error,
		bytes);
}

static void validate_block(struct heap *heap)
{
	struct block *block = any_block(heap);
	BOOL valid;

	before_call();
	valid = HeapValidate(heap->handle, random_flags(0), block->bytes);
	observe(KIND_VALIDATE, heap, block->size, valid, error_of_call(), 0);
}

static void validate_heap(struct heap *heap)
{
	BOOL valid;

	before_call();
	valid = HeapValidate(heap->handle, random_flags(0), NULL);
	observe(KIND_VALIDATE_HEAP, heap, 0, valid, error_of_call(), 0);
}

/* How many blocks, and how many bytes in them. */
static void walk(struct heap *heap)
{
	PROCESS_HEAP_ENTRY entry = { 0 };
	SIZE_T bytes = 0, blocks = 0;

	before_call();
	while (HeapWalk(heap->handle, &entry)) {
		if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY))
			continue;
		bytes += entry.cbData;
		blocks++;
	}
	observe(KIND_WALK, heap, bytes, bytes == heap->live_bytes,
		error_of_call(), blocks);
}

static void lock_or_unlock(struct heap *heap)
{
	int locking = !heap->locks || (heap->locks < 4 && below(2));
	BOOL done;

	before_call();
	done = locking ? HeapLock(heap->handle) : HeapUnlock(heap->handle);
	heap->locks += locking ? 1 : -1;
	observe(locking ? KIND_LOCK : KIND_UNLOCK, heap, 0, done,
		error_of_call(), 0);
}

static void replace_heap(struct heap *heap)
{
	BOOL destroyed;
	DWORD error;

	while (heap->locks) {
		HeapUnlock(heap->handle);
		heap->locks--;
	}
	before_call();
	destroyed = HeapDestroy(heap->handle);
	heap->handle = HeapCreate(heap->options, heap->initial_bytes,
				  heap->maximum_bytes);
	error = error_of_call();
	heap->count = 0;
	heap->live_bytes = 0;
	observe(KIND_NEW_HEAP, heap, 0, destroyed && heap->handle, error,
		(uintptr_t)heap->handle & 0xffff);
	if (!heap->handle)
		exit(1);
}

/* In place */

/* A block that lies in a region gets smaller where it is, but never large. */
static void resize_in_place(struct heap *heap)
{
	struct block *block = any_block(heap);
	DWORD flags = random_flags(HEAP_ZERO_MEMORY), error;
	unsigned char *resized;
	SIZE_T bytes;

	if (block->was_large)
		return;
	bytes = below(3) ? below(block->size + 1) : MIB + below(MIB);
	before_call();
	resized = HeapReAlloc(heap->handle, flags | HEAP_REALLOC_IN_PLACE_ONLY,
			      block->bytes, bytes);
	error = error_of_call();
	check_kept(block, block->bytes, smaller(block->size, bytes));
	if (resized)
		set_size(heap, block, bytes);
	write_block(block);
	observe(KIND_IN_PLACE, heap, bytes, resized == block->bytes, error,
		HeapSize(heap->handle, 0, block->bytes));
}

/* Whether there is room is for each side to know; after it all is as before. */
static int try_growing(struct heap *heap, const struct block *block,
		       SIZE_T bytes)
{
	DWORD flags = random_flags(HEAP_ZERO_MEMORY);
	unsigned char *grown;

	before_call();
	grown = HeapReAlloc(heap->handle, flags | HEAP_REALLOC_IN_PLACE_ONLY,
			    block->bytes, bytes);
	if (!grown)
		return error_of_call() == ERROR_NOT_ENOUGH_MEMORY;
	if (flags & HEAP_ZERO_MEMORY)
		check_zero(grown, block->size, bytes);
	return grown == block->bytes && !error_of_call() &&
	       HeapSize(heap->handle, 0, grown) == bytes &&
	       HeapReAlloc(heap->handle, HEAP_REALLOC_IN_PLACE_ONLY, grown,
			   block->size) == grown;
}

static void grow_in_place(struct heap *heap)
{
	struct block *block = any_block(heap);
	SIZE_T bytes = block->size + 1 + below(4096);
	int good;

	if (block->size <= ORDINARY_BYTES && bytes > ORDINARY_BYTES)
		return;
	good = try_growing(heap, block, bytes);
	if (!good)
		answer_is_wrong("growing in place");
	check_block(block);
	observe(KIND_GROW_IN_PLACE, heap, bytes, good, 0,
		HeapSize(heap->handle, 0, block->bytes));
}

/* Calls that fail */

/* Not a large one: Wine takes those of any heap. */
static void *block_of_other_heap(const struct heap *heap)
{
	struct heap *other = &heaps[below(HEAPS)];
	struct block *block;

	if (other == heap || !other->count)
		return NULL;
	block = any_block(other);
	return block->was_large ? NULL : block->bytes;
}

static void *wrong_pointer(const struct heap *heap, const struct block *block)
{
	static unsigned char bytes[256];
	void *pointer;

	switch (below(4)) {
	case 0:
		return bytes + 64;
	case 1:
		return block->bytes + 1;
	case 2:
		return block->bytes + 8;
	default:
		pointer = block_of_other_heap(heap);
		return pointer ? pointer : bytes + 128;
	}
}

static void use_wrong_pointer(struct heap *heap)
{
	struct block *block = any_block(heap);
	void *pointer = wrong_pointer(heap, block);
	unsigned int function = below(4);
	BOOL success;

	before_call();
	switch (function) {
	case 0:
		success = HeapFree(heap->handle, 0, pointer);
		break;
	case 1:
		success = HeapSize(heap->handle, 0, pointer) != SIZE_T_MAX;
		break;
	case 2:
		success = !!HeapReAlloc(heap->handle, 0, pointer, below(1000));
		break;
	default:
		success = HeapValidate(heap->handle, 0, pointer);
		break;
	}
	observe(KIND_WRONG_POINTER, heap, 0, success, error_of_call(), function);
}

static void ask_impossible(struct heap *heap)
{
	struct block *block = any_block(heap);
	SIZE_T bytes = below(2) ? SIZE_T_MAX - below(5000) :
				  SIZE_T_MAX / 2 + below(5000);
	DWORD flags = random_flags(HEAP_ZERO_MEMORY), error;
	int resizing = below(2);
	void *result;

	before_call();
	result = resizing ?
		 HeapReAlloc(heap->handle, flags, block->bytes, bytes) :
		 HeapAlloc(heap->handle, flags, bytes);
	error = error_of_call();
	check_block(block);
	observe(KIND_IMPOSSIBLE, heap, bytes, !!result, error,
		HeapSize(heap->handle, 0, block->bytes));
}

/* The sequence */

static const struct action {
	void (*act)(struct heap *heap);
	unsigned int weight;
	int needs_block;
} actions[] = {
	{ alloc_block, 360, 0 },
	{ free_block, 230, 1 },
	{ resize_block, 190, 1 },
	{ tell_size_of_block, 60, 1 },
	{ validate_block, 30, 1 },
	{ resize_in_place, 30, 1 },
	{ grow_in_place, 20, 1 },
	{ use_wrong_pointer, 30, 1 },
	{ ask_impossible, 15, 1 },
	{ lock_or_unlock, 12, 0 },
	{ validate_heap, 2, 0 },
	{ walk, 1, 0 },
};

static const struct action *any_action(void)
{
	unsigned int weights = 0, chosen;
	size_t i;

	for (i = 0; i < COUNT_OF(actions); i++)
		weights += actions[i].weight;
	chosen = below(weights);
	for (i = 0; chosen >= actions[i].weight; i++)
		chosen -= actions[i].weight;
	return &actions[i];
}

static void make_call(void)
{
	struct heap *heap = &heaps[below(HEAPS)];
	const struct action *action = any_action();

	if (!below(4000))
		replace_heap(heap);
	else if (action->needs_block && !heap->count)
		alloc_block(heap);
	else
		action->act(heap);
}

static void tell_state(void)
{
	unsigned int blocks = 0;
	SIZE_T bytes = 0;
	char name[32];
	int i;

	for (i = 0; i < HEAPS; i++) {
		blocks += heaps[i].count;
		bytes += heaps[i].live_bytes;
	}
	snprintf(name, sizeof(name), "after_%06u", call);
	tell(name, "%016llx, %u blocks, %llu bytes", (unsigned long long)hash,
	     blocks, (unsigned long long)bytes);
	fflush(stdout);
}

static void tell_counts(void)
{
	int i;

	for (i = 0; i < KINDS; i++)
		tell(kind_names[i], "%u calls, %u succeeded, %u failed",
		     counts[i].calls, counts[i].succeeded, counts[i].failed);
	tell("wrong_contents", "%u", wrong_contents);
	tell("wrong_answers", "%u", wrong_answers);
}

static void create_heaps(void)
{
	int i;

	for (i = 0; i < HEAPS; i++) {
		heaps[i].handle = HeapCreate(heaps[i].options,
					     heaps[i].initial_bytes,
					     heaps[i].maximum_bytes);
		if (!heaps[i].handle)
			exit(1);
	}
}

static void destroy_heaps(void)
{
	int i, j;

	for (i = 0; i < HEAPS; i++) {
		for (j = 0; j < heaps[i].count; j++)
			check_block(&heaps[i].blocks[j]);
		walk(&heaps[i]);
		validate_heap(&heaps[i]);
		if (!HeapDestroy(heaps[i].handle))
			answer_is_wrong("destroying a heap");
	}
}

int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	trace_from = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	trace_to = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	create_heaps();
	while (call < CALLS) {
		make_call();
		if (++call % PERIOD == 0)
			tell_state();
	}
	destroy_heaps();
	tell_counts();
	return wrong_contents || wrong_answers;
}
