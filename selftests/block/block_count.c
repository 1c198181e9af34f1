// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the usual calls cost in instructions: `make count` runs this under
 * callgrind, which counts what happens inside the function that it is told.
 */
#include "../../module/block.h"

#define NR_ROUNDS	1000

static int count_commit(struct ph_block_region *region, unsigned long first,
			unsigned long nr)
{
	return 0;
}

static void count_decommit(struct ph_block_region *region, unsigned long first,
			   unsigned long nr)
{
}

static const struct ph_block_ops count_ops = {
	.commit		= count_commit,
	.decommit	= count_decommit,
};

static struct ph_block_store store;
static struct ph_block_region region;
static unsigned long addrs[NR_ROUNDS];

static noinline __used void count_loop(void)
{
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++)
		__asm__ volatile("" : : "r"(&addrs[i]) : "memory");
}

static noinline __used void count_pair(unsigned long bytes)
{
	struct ph_block block;
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		ph_block_alloc(&store, bytes, PH_BLOCK_ALIGN, &addrs[i]);
		ph_block_find(&region, addrs[i], &block);
		ph_block_free(&store, &block);
	}
}

static noinline __used void count_alloc(unsigned long bytes)
{
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++)
		ph_block_alloc(&store, bytes, PH_BLOCK_ALIGN, &addrs[i]);
}

static noinline __used void count_find(void)
{
	struct ph_block block;
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++)
		ph_block_find(&region, addrs[i], &block);
}

static noinline __used void count_find_free(void)
{
	struct ph_block block;
	unsigned int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		ph_block_find(&region, addrs[i], &block);
		ph_block_free(&store, &block);
	}
}

int main(int argc, char **argv)
{
	unsigned long bytes = argc > 1 ? strtoul(argv[1], NULL, 0) : 64;

	if (ph_block_cache_init())
		return 1;
	ph_block_store_init(&store, &count_ops);
	if (ph_block_region_add(&store, &region, 1UL << 40, 1UL << 16, false))
		return 1;
	count_loop();
	count_pair(bytes);
	count_alloc(bytes);
	count_find();
	count_find_free();
	ph_block_region_remove(&store, &region);
	ph_block_store_exit(&store);
	ph_block_cache_exit();
	return 0;
}
