// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls, and calls of several threads, against a model: the blocks that
 * there should be. Each block is filled with a pattern of its own, so a block
 * that overlaps another one, moves without its contents or is unmapped under its
 * owner is found out.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

FIXTURE(random) {
	int fd;
	struct heap heap;
};

FIXTURE_VARIANT(random) {
	__u32 flags;
	__u64 max_bytes;
	__u64 limit_bytes;
	/* What may go wrong. */
	int err;
};

FIXTURE_VARIANT_ADD(random, growable) {
};

FIXTURE_VARIANT_ADD(random, growable_limit) {
	.limit_bytes = 10 * MIB,
	.err = -EDQUOT,
};

FIXTURE_VARIANT_ADD(random, growable_backed) {
	.flags = PRIVHEAP_CREATE_F_BACKED,
};

FIXTURE_VARIANT_ADD(random, fixed) {
	.max_bytes = 12 * MIB,
	.err = -ENOSPC,
};

FIXTURE_SETUP(random)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd, .flags = variant->flags,
				 .max_bytes = variant->max_bytes,
				 .limit_bytes = variant->limit_bytes));
}

FIXTURE_TEARDOWN(random)
{
	close(self->fd);
}

#define NR_MODEL_BLOCKS	400
#define NR_RANDOM_CALLS	8000

struct model_block {
	char *addr;
	size_t bytes;
	unsigned int seed;
};

struct model {
	struct model_block blocks[NR_MODEL_BLOCKS];
	unsigned long nr_blocks;
	unsigned long allocated_bytes;
	uint64_t random;
	unsigned int seed;
};

static uint32_t model_random(struct model *model)
{
	model->random = model->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return model->random >> 33;
}

/* Small blocks mostly, pages sometimes, regions of their own seldom. */
static size_t model_random_bytes(struct model *model)
{
	uint32_t kind = model_random(model) % 100;

	if (kind < 60)
		return model_random(model) % 300;
	if (kind < 85)
		return model_random(model) % 17000;
	if (kind < 99)
		return model_random(model) % (200 * KIB);
	return model_random(model) % (2 * MIB);
}

static void model_enter(struct model *model, struct model_block *block,
			char *addr, size_t bytes)
{
	block->addr = addr;
	block->bytes = bytes;
	block->seed = model->seed++;
	pattern_fill(addr, bytes, block->seed);
	model->nr_blocks++;
	model->allocated_bytes += bytes;
}

static void model_remove(struct model *model, struct model_block *block)
{
	model->nr_blocks--;
	model->allocated_bytes -= block->bytes;
	block->addr = NULL;
}

static int model_alloc(struct model *model, const struct heap *heap,
		       struct model_block *block)
{
	bool zero = model_random(model) % 4 == 0;
	size_t align = model_random(model) % 8 ? 0 :
		       1UL << model_random(model) % 17;
	size_t bytes = model_random_bytes(model);
	char *addr;
	int ret;

	ret = block_alloc_with(heap, bytes, align,
			       zero ? PRIVHEAP_ALLOC_F_ZERO : 0, &addr);
	if (ret)
		return ret;
	if ((uintptr_t)addr % (align > 16 ? align : 16))
		return -EPROTO;
	if (zero && !all_bytes(addr, bytes, 0))
		return -EPROTO;
	model_enter(model, block, addr, bytes);
	return 0;
}

static int model_realloc(struct model *model, const struct heap *heap,
			 struct model_block *block)
{
	__u32 flags = model_random(model) % (PRIVHEAP_REALLOC_F_ALL + 1);
	size_t bytes = model_random_bytes(model);
	char *addr = block->addr;
	size_t old = block->bytes;
	int ret;

	ret = block_realloc(heap, &addr, bytes, flags);
	if (ret == -ENOSPC && flags & PRIVHEAP_REALLOC_F_IN_PLACE)
		return 0;
	if (ret)
		return ret;
	if (flags & PRIVHEAP_REALLOC_F_IN_PLACE && addr != block->addr)
		return -EPROTO;
	if (!pattern_check(addr, old < bytes ? old : bytes, block->seed))
		return -EPROTO;
	if (flags & PRIVHEAP_REALLOC_F_ZERO && bytes > old &&
	    !all_bytes(addr + old, bytes - old, 0))
		return -EPROTO;
	model_remove(model, block);
	model_enter(model, block, addr, bytes);
	return 0;
}

static int model_free(struct model *model, const struct heap *heap,
		      struct model_block *block)
{
	int ret;

	if (block_size(heap, block->addr) != (long)block->bytes)
		return -EPROTO;
	if (!pattern_check(block->addr, block->bytes, block->seed))
		return -EPROTO;
	ret = block_free(heap, block->addr);
	if (!ret)
		model_remove(model, block);
	return ret;
}

/* One random call. */
static int model_step(struct model *model, const struct heap *heap)
{
	struct model_block *block =
		&model->blocks[model_random(model) % NR_MODEL_BLOCKS];

	if (!block->addr)
		return model_alloc(model, heap, block);
	if (model_random(model) % 3)
		return model_free(model, heap, block);
	return model_realloc(model, heap, block);
}

static int model_free_all(struct model *model, const struct heap *heap)
{
	struct model_block *block = model->blocks;
	int ret = 0;

	for (; block < model->blocks + NR_MODEL_BLOCKS && !ret; block++) {
		if (block->addr)
			ret = model_free(model, heap, block);
	}
	return ret;
}

TEST_F_TIMEOUT(random, calls, 300)
{
	static struct model model = { .random = 20240229 };
	struct privheap_stat stat;
	unsigned int i;
	int ret;

	for (i = 0; i < scaled(NR_RANDOM_CALLS); i++) {
		ret = model_step(&model, &self->heap);
		if (ret != variant->err) {
			ASSERT_EQ(0, ret);
		}
		if (i % 64)
			continue;
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		ASSERT_EQ(model.nr_blocks, stat.out_nr_blocks);
		ASSERT_EQ(model.allocated_bytes, stat.out_allocated_bytes);
		ASSERT_LE(stat.out_allocated_bytes, stat.out_committed_bytes);
		ASSERT_LE(stat.out_resident_bytes, stat.out_committed_bytes);
		ASSERT_LE(stat.out_committed_bytes,
			  stat.out_committed_peak_bytes);
		ASSERT_LE(stat.out_committed_bytes, stat.out_reserved_bytes);
		if (variant->limit_bytes) {
			ASSERT_LE(stat.out_committed_peak_bytes,
				  variant->limit_bytes);
		}
		if (variant->max_bytes) {
			ASSERT_EQ(variant->max_bytes, stat.out_reserved_bytes);
		}
	}
	ASSERT_EQ(0, model_free_all(&model, &self->heap));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, maps_heaps());
}

/* Threads */

FIXTURE(threads) {
	int fd;
};

FIXTURE_SETUP(threads)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(threads)
{
	close(self->fd);
}

#define NR_THREADS	4

struct worker {
	pthread_t thread;
	const struct heap *heap;
	struct model model;
	int nr_calls;
	int ret;
};

static void *worker_run(void *data)
{
	struct worker *worker = data;
	int i;

	for (i = 0; i < worker->nr_calls && !worker->ret; i++)
		worker->ret = model_step(&worker->model, worker->heap);
	if (!worker->ret)
		worker->ret = model_free_all(&worker->model, worker->heap);
	return NULL;
}

TEST_F_TIMEOUT(threads, share_heap, 300)
{
	static struct worker workers[NR_THREADS];
	struct privheap_stat stat;
	struct heap heap;
	unsigned int i;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	for (i = 0; i < NR_THREADS; i++) {
		workers[i].heap = &heap;
		workers[i].model.random = 77 + i;
		workers[i].model.seed = i * 100000;
		workers[i].nr_calls = scaled(2000);
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_run,
					    &workers[i]));
	}
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_EQ(0, workers[i].ret);
	}
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	EXPECT_EQ(0, heap_check_works(&heap));
}

/* Calls as fast as they go, until one fails; returns with what. */
static void *call_until_error(void *data)
{
	struct worker *worker = data;
	struct privheap_stat stat;
	size_t bytes = 0;
	char *block;
	int ret;

	do {
		ret = block_alloc(worker->heap, bytes, &block);
		if (!ret)
			ret = block_realloc(worker->heap, &block, 2 * bytes, 0);
		if (!ret)
			ret = heap_stat(worker->heap, &stat);
		if (!ret && bytes % 3)
			ret = block_free(worker->heap, block);
		bytes = (bytes + 7919) % (2 * MIB);
		__atomic_add_fetch(&worker->nr_calls, 1, __ATOMIC_RELEASE);
	} while (!ret);
	worker->ret = ret;
	return NULL;
}

/* Whoever is in a call when the heap goes learns that it is gone. */
TEST_F_TIMEOUT(threads, destroy_while_others_call, 120)
{
	static struct worker workers[NR_THREADS];
	unsigned int round, i;
	struct heap heap;

	for (round = 0; round < 30; round++) {
		ASSERT_EQ(0, heap_create(&heap, self->fd));
		memset(workers, 0, sizeof(workers));
		for (i = 0; i < NR_THREADS; i++) {
			workers[i].heap = &heap;
			ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL,
						    call_until_error,
						    &workers[i]));
		}
		while (__atomic_load_n(&workers[round % NR_THREADS].nr_calls,
				       __ATOMIC_ACQUIRE) < 10)
			sched_yield();
		EXPECT_EQ(0, heap_destroy(&heap));
		for (i = 0; i < NR_THREADS; i++) {
			ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
			EXPECT_EQ(-ENXIO, workers[i].ret);
		}
		EXPECT_EQ(0, maps_heaps());
	}
}

TEST_HARNESS_MAIN
