// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mapping belongs to the heap: what the owner cannot do with it, and what it
 * means to unmap it, which is possible.
 */
#include "privacy_util.h"

#ifndef __NR_mseal
#define __NR_mseal	462
#endif

TEST_F(privacy, munmap_part)
{
	size_t page = self->page, all = self->heap.region_bytes;
	const struct {
		size_t start, end;
	} parts[] = {
		{ 0, page },
		{ all - page, all },
		{ 3 * page, 5 * page },
		{ 0, all - page },
		{ page, all },
		{ -page, page },
		{ all - page, all + page },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		EXPECT_EQ(-1, munmap(self->heap.base + parts[i].start,
				     parts[i].end - parts[i].start));
		EXPECT_EQ(EINVAL, errno);
		expect_intact(_metadata, self);
	}
}

TEST_F(privacy, munmap_whole)
{
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(0, nr_touchable(self->heap.base, self->heap.region_bytes));
	expect_dead_to_the_end(_metadata, self);
}

/* One region of several: the heap is dead, what is left goes with destroy. */
TEST_F(privacy, munmap_one_region)
{
	struct mapping mapping;
	struct privheap_stat stat;
	struct heap heap;
	char *block;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	memset(block, 1, 3 * MIB);
	ASSERT_EQ(0, mapping_find(block, &mapping));
	ASSERT_EQ(0, munmap((void *)mapping.start, mapping.end - mapping.start));
	expect_dead(_metadata, &heap, block);
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(self->page, stat.out_committed_bytes);
	EXPECT_EQ(self->page, stat.out_resident_bytes);
	EXPECT_EQ(2, maps_heaps());
	EXPECT_EQ(0, heap_destroy(&heap));
	expect_intact(_metadata, self);
}

static char *map_over(void *start, size_t bytes)
{
	return mmap(start, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* What the program maps in the place of a heap is no longer the module's. */
TEST_F(privacy, map_over_whole)
{
	size_t bytes = self->heap.region_bytes;
	char *mine = map_over(self->heap.base, bytes);

	ASSERT_EQ(self->heap.base, mine);
	pattern_fill(mine, bytes, 3);
	expect_dead_to_the_end(_metadata, self);
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
	ASSERT_EQ(0, close(self->fd));
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
}

TEST_F(privacy, map_over_whole_then_close)
{
	size_t bytes = self->heap.region_bytes;
	char *mine = map_over(self->heap.base, bytes);

	ASSERT_EQ(self->heap.base, mine);
	pattern_fill(mine, bytes, 3);
	ASSERT_EQ(0, close(self->fd));
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
}

/* The same with one region of several: the others end, this one is left alone. */
TEST_F(privacy, map_over_one_region)
{
	struct mapping mapping;
	struct heap heap;
	char *block, *mine;
	size_t bytes;

	ASSERT_EQ(0, heap_create(&heap, self->fd));
	ASSERT_EQ(0, block_alloc(&heap, 3 * MIB, &block));
	ASSERT_EQ(0, mapping_find(block, &mapping));
	bytes = mapping.end - mapping.start;
	mine = map_over((void *)mapping.start, bytes);
	ASSERT_EQ(mapping.start, (uintptr_t)mine);
	pattern_fill(mine, bytes, 3);
	expect_dead(_metadata, &heap, block);
	EXPECT_EQ(0, heap_destroy(&heap));
	EXPECT_TRUE(pattern_check(mine, bytes, 3));
	expect_intact(_metadata, self);
}

TEST_F(privacy, map_over_part)
{
	EXPECT_EQ(MAP_FAILED, map_over(self->heap.base, self->page));
	expect_intact(_metadata, self);
	EXPECT_EQ(MAP_FAILED, map_over(self->heap.base + 5 * self->page,
				       self->page));
	expect_intact(_metadata, self);
}

TEST_F(privacy, mremap)
{
	size_t page = self->page, all = self->heap.region_bytes;
	char *free_space = mmap(NULL, 4 * all, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct {
		size_t offset, old_bytes, new_bytes;
		int flags;
	} cases[] = {
		{ 0, all, all, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, page, page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, all, 2 * all, 0 },
		{ 0, all, 2 * all, MREMAP_MAYMOVE },
		{ 0, page, 2 * page, MREMAP_MAYMOVE },
		{ 0, all, 2 * all, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, all, all - page, 0 },
		{ 0, all, page, MREMAP_MAYMOVE },
		{ 0, all, page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, 0, all, MREMAP_MAYMOVE },
		{ 0, 0, page, MREMAP_MAYMOVE },
		{ page, 0, page, MREMAP_MAYMOVE | MREMAP_FIXED },
		{ 0, all, all, MREMAP_MAYMOVE | MREMAP_DONTUNMAP },
		{ page, page, page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP },
	};
	unsigned int i;

	ASSERT_NE(MAP_FAILED, free_space);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(MAP_FAILED,
			  mremap(self->heap.base + cases[i].offset,
				 cases[i].old_bytes, cases[i].new_bytes,
				 cases[i].flags, free_space)) {
			TH_LOG("case %u", i);
		}
		expect_intact(_metadata, self);
	}
}

/* Other memory moved to where a heap is. */
TEST_F(privacy, mremap_over)
{
	char *base = self->heap.base;
	size_t all = self->heap.region_bytes;
	char *mine = mmap(NULL, all, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mine);
	pattern_fill(mine, all, 3);
	EXPECT_EQ(MAP_FAILED, mremap(mine, self->page, self->page,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     base + self->page));
	expect_intact(_metadata, self);
	ASSERT_EQ(base, mremap(mine, all, all, MREMAP_MAYMOVE | MREMAP_FIXED,
			       base));
	expect_dead_to_the_end(_metadata, self);
	EXPECT_TRUE(pattern_check(base, all, 3));
}

/* With and without PROT_EXEC at the start. */
TEST_F(privacy, mprotect)
{
	const int prots[] = {
		PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_EXEC,
		PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE,
	};
	struct mapping before, after;
	struct heap heaps[2];
	unsigned int i, j;

	ASSERT_EQ(0, heap_create(&heaps[0], self->fd));
	ASSERT_EQ(0, heap_create(&heaps[1], self->fd,
				 .flags = PRIVHEAP_CREATE_F_EXEC));
	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		ASSERT_EQ(0, mapping_find(heaps[i].base, &before));
		for (j = 0; j < ARRAY_SIZE(prots); j++) {
			EXPECT_EQ(-1, mprotect(heaps[i].base + self->page,
					       self->page, prots[j]));
			EXPECT_EQ(-1, mprotect(heaps[i].base,
					       heaps[i].region_bytes, prots[j]));
			EXPECT_EQ(-1, pkey_mprotect(heaps[i].base,
						    heaps[i].region_bytes,
						    prots[j], -1));
			ASSERT_EQ(0, mapping_find(heaps[i].base, &after));
			EXPECT_EQ(before.start, after.start);
			EXPECT_EQ(before.end, after.end);
			EXPECT_STREQ(before.perms, after.perms);
		}
		EXPECT_EQ(0, touch_write(heaps[i].base));
		EXPECT_EQ(0, heap_check_works(&heaps[i]));
	}
}

TEST_F(privacy, remap_file_pages)
{
	char *base = self->heap.base;
	size_t page = self->page;

	EXPECT_EQ(-1, remap_file_pages(base, page, 0, 1, 0));
	EXPECT_EQ(-1, remap_file_pages(base + page, page, 0, 0, 0));
	EXPECT_EQ(-1, remap_file_pages(base, 2 * page, 0, 7, 0));
	EXPECT_EQ(-1, remap_file_pages(base, self->heap.region_bytes, 0, 0, 0));
	expect_intact(_metadata, self);
}

TEST_F(privacy, map_device)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ, MAP_SHARED,
				   self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	expect_intact(_metadata, self);
}

/* The file behind the mapping can be named, but not opened. */
TEST_F(privacy, open_map_files)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)self->heap.base,
		 (unsigned long)self->heap.base + self->heap.region_bytes);
	EXPECT_EQ(0, access("/proc/self/map_files", R_OK));
	EXPECT_EQ(-1, open(path, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(-1, open(path, O_RDONLY | O_CLOEXEC));
	expect_intact(_metadata, self);
}

/*
 * A program that seals the mapping against unmapping (since Linux 6.10) has that
 * mapping to its end; the memory goes with the heap all the same.
 */
TEST_F(privacy, seal_then_destroy)
{
	char *base = self->heap.base;

	EXPECT_EQ(-1, syscall(__NR_mseal, base, self->page, 0));
	if (errno == ENOSYS)
		return;
	expect_intact(_metadata, self);
	ASSERT_EQ(0, syscall(__NR_mseal, base, self->heap.region_bytes, 0));
	expect_intact(_metadata, self);
	EXPECT_EQ(0, heap_destroy(&self->heap));
	EXPECT_EQ(0, nr_touchable(base, self->heap.region_bytes));
	EXPECT_EQ(0, mapping_rss(base));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	EXPECT_EQ(0, heap_check_works(&self->heap));
}

TEST_F(privacy, munmap_while_thread_calls)
{
	struct caller caller = { .heap = self->heap };

	start_caller(_metadata, &caller);
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_EQ(-EIDRM, caller.ret);
	expect_dead_to_the_end(_metadata, self);
}

/* The place where the next heap will be, which one thread keeps unmapping. */
struct unmapper {
	pthread_t thread;
	_Atomic(bool) stop;
	_Atomic(char *) base;	/* NULL while it is not known */
	size_t bytes;
};

static void *unmap_again_and_again(void *arg)
{
	struct unmapper *unmapper = arg;

	while (!unmapper->stop) {
		if (unmapper->base)
			munmap(unmapper->base, unmapper->bytes);
	}
	return NULL;
}

/*
 * A region can be unmapped as soon as it is mapped, while the call that makes it
 * is still at work. The heap is dead then, or was not made; nothing is left (the
 * kernel log tells of what would be). When that happens is up to the scheduler.
 */
TEST_F_TIMEOUT(privacy, munmap_while_created, 120)
{
	struct unmapper unmapper = { .bytes = 2 * MIB };
	unsigned int i;
	struct privheap_stat stat;
	struct heap heap;
	int ret;

	/* The thread comes first, or its stack would be where the heap was. */
	ASSERT_EQ(0, pthread_create(&unmapper.thread, NULL,
				    unmap_again_and_again, &unmapper));
	ASSERT_EQ(0, heap_create(&heap, self->fd, .initial_bytes = 2 * MIB));
	ASSERT_EQ(0, heap_destroy(&heap));
	unmapper.base = heap.base;
	for (i = 0; i < 300; i++) {
		ret = heap_create(&heap, self->fd, .initial_bytes = 2 * MIB);
		if (ret) {
			EXPECT_EQ(-ENOMEM, ret);
			continue;
		}
		EXPECT_EQ(0, heap_stat(&heap, &stat));
		EXPECT_EQ(0, heap_destroy(&heap));
	}
	unmapper.stop = true;
	EXPECT_EQ(0, pthread_join(unmapper.thread, NULL));
	expect_intact(_metadata, self);
}

TEST_HARNESS_MAIN
