// SPDX-License-Identifier: GPL-2.0-only
/*
 * One round of one work with one allocator: "WORKER WORK". It is built for each
 * allocator that alloc_blocks.h knows, and prints lines of a figure and
 * the number of units it is for. alloc_run.c starts it, in a process of its own,
 * so that what an allocator keeps from one work is not there in the next. Without
 * a work it names them all.
 *
 * A work is done twice, and the second time counts, but for the works that
 * measure memory. Each block is written to, so that it has memory; which sizes
 * and which blocks come next stands in tables that were filled before.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc_blocks.h"

#define NR_PAIRS	10000UL
#define NR_OTHERS	8UL
#define NR_BATCH	1000UL
#define NR_BATCHES	10UL
#define NR_LIVE		100000UL
#define NR_REPLACED	100000UL
#define NR_GROWN	50UL
#define GROWN_BYTES	65536UL
#define NR_REQUESTS	50UL
#define NR_REQUEST	200UL
#define NR_THREADS	2
#define NR_PASSED	200000UL
#define NR_RING		1024UL
#define NR_OF_THREAD	1000UL
#define NR_WORKED	4000000UL
#define NR_SHORT	200UL
#define NR_OF_SHORT	100UL
#define NR_GENERATIONS	10UL
#define NR_SERVED	10000UL
#define NR_MEMORY	1000000UL
/* Of so many blocks one stays. */
#define ONE_STAYS	10

/* Powers of two, for the tables of what is random. */
#define NR_RANDOM	(1UL << 16)

static uint32_t random_state = 2463534242;
static uint32_t sizes[NR_RANDOM], numbers[NR_RANDOM];
static void *blocks[NR_MEMORY];
static unsigned long scale = 1;
static size_t bytes_of_pair = 64;

void bench_die(const char *what)
{
	perror(what);
	exit(2);
}

/* How often something is done: BENCH_SCALE times less often, if that is set. */
static unsigned long times(unsigned long full)
{
	return full / scale ?: 1;
}

static uint32_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/*
 * From 16 bytes to 8 KiB, where each octave has as many bytes as any other, so
 * half as many blocks as the one before.
 */
static uint32_t random_size(void)
{
	uint32_t start = 16U << __builtin_ctz(next_random() | 1U << 8);

	return start + next_random() % start;
}

static void fill_tables(void)
{
	unsigned long i;

	for (i = 0; i < NR_RANDOM; i++) {
		sizes[i] = random_size();
		numbers[i] = next_random();
	}
}

static inline void *new_block(size_t bytes)
{
	char *block = block_alloc(bytes);

	*(volatile char *)block = 1;
	return block;
}

static inline void *new_mixed(unsigned long i)
{
	return new_block(sizes[i % NR_RANDOM]);
}

static void free_blocks(unsigned long nr)
{
	while (nr--)
		block_free(blocks[nr]);
}

/* --- One thread */

/* Others of the size are live, unless the pair is to be all there is. */
static void setup_pair(void)
{
	unsigned long i;

	for (i = 0; i < NR_OTHERS; i++)
		blocks[i] = new_block(bytes_of_pair);
	free_blocks(NR_OTHERS / 2);
}

static unsigned long do_pair(void)
{
	unsigned long i, nr = times(NR_PAIRS);

	for (i = 0; i < nr; i++)
		block_free(new_block(bytes_of_pair));
	return nr;
}

static unsigned long do_batches(void)
{
	unsigned long i, batch, nr = times(NR_BATCH);

	for (batch = 0; batch < NR_BATCHES; batch++) {
		for (i = 0; i < nr; i++)
			blocks[i] = new_block(64);
		for (i = 0; i < nr; i++)
			block_free(blocks[i]);
	}
	return NR_BATCHES * nr;
}

static void setup_mixed(void)
{
	unsigned long i;

	for (i = 0; i < times(NR_LIVE); i++)
		blocks[i] = new_mixed(i);
}

static unsigned long do_mixed(void)
{
	unsigned long i, at, live = times(NR_LIVE), nr = times(NR_REPLACED);

	for (i = 0; i < nr; i++) {
		at = numbers[i % NR_RANDOM] % live;
		block_free(blocks[at]);
		blocks[at] = new_mixed(i);
	}
	return nr;
}

/* Half as much again each time, as growing arrays do; another grows beside. */
static unsigned long do_grow(void)
{
	unsigned long i, nr = times(NR_GROWN), nr_calls = 0;
	char *grown, *other;
	size_t bytes;

	for (i = 0; i < nr; i++) {
		grown = new_block(16);
		other = new_block(16);
		for (bytes = 24; bytes < GROWN_BYTES; bytes += bytes / 2) {
			grown = block_realloc(grown, bytes);
			other = block_realloc(other, bytes);
			grown[bytes - 1] = other[bytes - 1] = 1;
			nr_calls += 2;
		}
		block_free(grown);
		block_free(other);
	}
	return nr_calls;
}

/* --- A heap for each request: 200 blocks and all of them freed */

#define DO_REQUESTS(make, allocate, destroy)				\
	unsigned long i, r, nr = times(NR_REQUESTS);			\
									\
	for (r = 0; r < nr; r++) {					\
		make;							\
		for (i = 0; i < NR_REQUEST; i++) {			\
			blocks[i] = allocate(sizes[i]);			\
			*(volatile char *)blocks[i] = 1;		\
		}							\
		destroy;						\
	}

#ifdef BENCH_HEAPDEV

#define HEAP_ALLOC(bytes) HeapAlloc(heap, 0, bytes)

static unsigned long do_requests(void)
{
	HANDLE heap;

	DO_REQUESTS(heap = new_heap(), HEAP_ALLOC, HeapDestroy(heap));
	return nr;
}

#else

static unsigned long do_requests(void)
{
	DO_REQUESTS((void)0, malloc, free_blocks(NR_REQUEST));
	return nr;
}

#define MI_ALLOC(bytes) mi_heap_malloc(heap, bytes)

static unsigned long do_mi_requests(void)
{
	void *heap;

	DO_REQUESTS(heap = mi_heap_new(), MI_ALLOC, mi_heap_destroy(heap));
	return nr;
}

static unsigned int new_arena(void)
{
	unsigned int arena;
	size_t bytes = sizeof(arena);

	if (mallctl("arenas.create", &arena, &bytes, NULL, 0))
		bench_die("arenas.create");
	return arena;
}

static void destroy_arena(unsigned int arena)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.destroy", arena);
	if (mallctl(name, NULL, NULL, NULL, 0))
		bench_die(name);
}

/* MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE, as jemalloc's header has them. */
#define ARENA_ALLOC(bytes) mallocx(bytes, (int)(arena + 1) << 20 | 1 << 8)

static unsigned long do_arena_requests(void)
{
	unsigned int arena;

	DO_REQUESTS(arena = new_arena(), ARENA_ALLOC, destroy_arena(arena));
	return nr;
}

#endif

/* --- Threads */

static void start_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	if (pthread_create(thread, NULL, run, arg))
		bench_die("pthread_create");
}

static void run_threads(unsigned int nr, void *(*run)(void *arg))
{
	pthread_t threads[NR_THREADS];
	uintptr_t i;

	for (i = 0; i < nr; i++)
		start_thread(&threads[i], run, (void *)i);
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
}

/* Mixed sizes, in an array of the thread's own. */
static void *work_alone(void *arg)
{
	unsigned long first = (uintptr_t)arg * NR_OF_THREAD;
	unsigned long i, at, nr = times(NR_WORKED);

	for (i = 0; i < NR_OF_THREAD; i++)
		blocks[first + i] = new_mixed(i);
	for (i = 0; i < nr; i++) {
		at = first + numbers[i % NR_RANDOM] % NR_OF_THREAD;
		block_free(blocks[at]);
		blocks[at] = new_mixed(i);
	}
	for (i = 0; i < NR_OF_THREAD; i++)
		block_free(blocks[first + i]);
	return NULL;
}

static unsigned long do_one_alone(void)
{
	run_threads(1, work_alone);
	return times(NR_WORKED);
}

static unsigned long do_two_alone(void)
{
	run_threads(2, work_alone);
	return 2 * times(NR_WORKED);
}

/* A ring with one thread at either end; what has no block waits for one. */
static _Atomic(void *) ring[NR_RING];

static void wait_turn(unsigned int *turns)
{
	if (++*turns % 64)
		__builtin_ia32_pause();
	else
		sched_yield();
}

static void *consume(void *unused)
{
	unsigned long i, nr = times(NR_PASSED);
	unsigned int turns = 0;
	void *block;

	for (i = 0; i < nr; i++) {
		while (!(block = atomic_load_explicit(&ring[i % NR_RING],
						      memory_order_acquire)))
			wait_turn(&turns);
		atomic_store_explicit(&ring[i % NR_RING], NULL,
				      memory_order_release);
		block_free(block);
	}
	return NULL;
}

static void *produce(void *unused)
{
	unsigned long i, nr = times(NR_PASSED);
	unsigned int turns = 0;
	void *block;

	for (i = 0; i < nr; i++) {
		block = new_mixed(i);
		while (atomic_load_explicit(&ring[i % NR_RING],
					    memory_order_acquire))
			wait_turn(&turns);
		atomic_store_explicit(&ring[i % NR_RING], block,
				      memory_order_release);
	}
	return NULL;
}

static void *produce_or_consume(void *arg)
{
	return arg ? consume(NULL) : produce(NULL);
}

static unsigned long do_pass(void)
{
	run_threads(2, produce_or_consume);
	return times(NR_PASSED);
}

static void *live_shortly(void *arg)
{
	void *mine[NR_OF_SHORT];
	unsigned long i;

	for (i = 0; i < NR_OF_SHORT; i++)
		mine[i] = new_mixed(i);
	for (i = 0; i < NR_OF_SHORT; i++)
		block_free(mine[i]);
	return NULL;
}

static void *start_short_threads(void *arg)
{
	unsigned long i, nr = times(NR_SHORT);
	pthread_t thread;

	for (i = 0; i < nr; i++) {
		start_thread(&thread, live_shortly, NULL);
		pthread_join(thread, NULL);
	}
	return NULL;
}

static unsigned long do_short_threads(void)
{
	run_threads(NR_THREADS, start_short_threads);
	return NR_THREADS * times(NR_SHORT);
}

/*
 * A server in the manner of Larson and Krishnan: a thread replaces blocks of
 * an array, most of which the threads before it have left, and leaves the array
 * to the next one.
 */
static void *serve(void *arg)
{
	unsigned long first = (uintptr_t)arg * NR_OF_THREAD;
	unsigned long i, at, nr = times(NR_SERVED);

	for (i = 0; i < nr; i++) {
		at = first + numbers[i % NR_RANDOM] % NR_OF_THREAD;
		block_free(blocks[at]);
		blocks[at] = new_mixed(i);
	}
	return NULL;
}

static void *follow_servers(void *arg)
{
	unsigned long first = (uintptr_t)arg * NR_OF_THREAD, i;
	pthread_t thread;

	for (i = 0; i < NR_OF_THREAD; i++)
		blocks[first + i] = new_mixed(i);
	for (i = 0; i < NR_GENERATIONS; i++) {
		start_thread(&thread, serve, arg);
		pthread_join(thread, NULL);
	}
	return NULL;
}

static unsigned long do_serve(void)
{
	run_threads(NR_THREADS, follow_servers);
	free_blocks(NR_THREADS * NR_OF_THREAD);
	return NR_THREADS * NR_GENERATIONS * times(NR_SERVED);
}

/* --- Memory */

/* The number behind @label in a file, or that which it begins with; 0 if none. */
static unsigned long read_number(const char *path, const char *label)
{
	unsigned long number = 0;
	char line[256];
	FILE *f = fopen(path, "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, label, strlen(label))) {
			number = strtoul(line + strlen(label), NULL, 10);
			break;
		}
	}
	fclose(f);
	return number;
}

/* Pages that the process has, and all that its memory cgroup is charged. */
struct held {
	unsigned long resident_bytes;
	unsigned long charged_bytes;
};

static struct held measure_held(void)
{
	return (struct held){
		.resident_bytes = 1024 * read_number("/proc/self/smaps_rollup",
						     "Rss:"),
		.charged_bytes = read_number(getenv("BENCH_MEMORY") ?: "", ""),
	};
}

static void print_held(const struct held *before, unsigned long live_bytes)
{
	struct held now = measure_held();

	printf("%ld %lu\n%ld %lu\n",
	       (long)(now.resident_bytes - before->resident_bytes), live_bytes,
	       (long)(now.charged_bytes - before->charged_bytes), live_bytes);
}

static void touch_own_memory(void)
{
	memset(blocks, 0, sizeof(blocks));
	measure_held();
}

static void do_memory(void)
{
	unsigned long i, nr = times(NR_MEMORY), live_bytes = 0;
	struct held before;

	touch_own_memory();
	before = measure_held();
	blocks_init();
	for (i = 0; i < nr; i++) {
		blocks[i] = block_alloc(sizes[i % NR_RANDOM]);
		memset(blocks[i], 1, sizes[i % NR_RANDOM]);
		live_bytes += sizes[i % NR_RANDOM];
	}
	print_held(&before, live_bytes);
	for (i = 0; i < nr; i++) {
		if (!(next_random() % ONE_STAYS))
			continue;
		block_free(blocks[i]);
		live_bytes -= sizes[i % NR_RANDOM];
	}
	blocks_compact();
	print_held(&before, live_bytes);
}

/* --- All works */

static const struct work {
	const char *name;
	unsigned long (*run)(void);	/* returns the number of units */
	void (*setup)(void);
	bool has_threads;
} works[] = {
	{ "pair", do_pair, setup_pair },
	{ "empty pair", do_pair },
	{ "1000 of 64", do_batches },
	{ "mixed", do_mixed, setup_mixed },
	{ "grow", do_grow },
	{ "request", do_requests },
#ifndef BENCH_HEAPDEV
	{ "request mi_heap", do_mi_requests },
	{ "request arena", do_arena_requests },
#endif
	{ "one alone", do_one_alone, .has_threads = true },
	{ "two alone", do_two_alone, .has_threads = true },
	{ "pass on", do_pass, .has_threads = true },
	{ "short threads", do_short_threads, .has_threads = true },
	{ "server", do_serve, .has_threads = true },
	{ }
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void do_work(const struct work *work)
{
	unsigned long nr_units;
	uint64_t elapsed;

	blocks_init();
	if (work->setup)
		work->setup();
	work->run();
	elapsed = now_ns();
	nr_units = work->run();
	elapsed = now_ns() - elapsed;
	printf("%lu %lu\n", elapsed, nr_units);
}

static const struct work *find_work(const char *name)
{
	const struct work *work;

	if (sscanf(name, "pair %zu", &bytes_of_pair) == 1)
		name = "pair";
	else if (sscanf(name, "empty pair %zu", &bytes_of_pair) == 1)
		name = "empty pair";
	for (work = works; work->name; work++) {
		if (!strcmp(work->name, name))
			return work;
	}
	fprintf(stderr, "there is no work %s\n", name);
	exit(2);
}

/* What cannot be preloaded is only warned about. */
static void check_allocator(void)
{
	const char *expected = getenv("BENCH_MALLOC");
	Dl_info info;

	if (!expected)
		return;
	if (!dladdr((void *)malloc, &info) || !strstr(info.dli_fname, expected)) {
		fprintf(stderr, "malloc is not that of %s\n", expected);
		exit(2);
	}
}

/* A heap that is not serialised is for one thread. */
static int list(void)
{
	const struct work *work;

	for (work = works; work->name; work++) {
		if (!work->has_threads || !getenv("BENCH_UNSERIALIZED"))
			puts(work->name);
	}
	puts("memory");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return list();
	if (getenv("BENCH_SCALE"))
		scale = strtoul(getenv("BENCH_SCALE"), NULL, 10) ?: 1;
	check_allocator();
	fill_tables();
	if (!strcmp(argv[1], "memory"))
		do_memory();
	else
		do_work(find_work(argv[1]));
	return 0;
}
