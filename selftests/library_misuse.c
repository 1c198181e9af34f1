// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library: pointers that are no blocks and handles that are no heaps, each
 * kind handed to every function. The answer is an error code, and the heaps and
 * blocks around are as they were.
 */
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "library_util.h"

/* All that a walk through a heap tells, to be compared. */
struct image {
	PROCESS_HEAP_ENTRY entries[64];
	unsigned int count;
	DWORD error;	/* at the end of the walk */
};

static struct image image_of(HANDLE heap)
{
	PROCESS_HEAP_ENTRY entry = { 0 };
	struct image image;

	memset(&image, 0, sizeof(image));
	while (image.count < ARRAY_SIZE(image.entries) && HeapWalk(heap, &entry))
		image.entries[image.count++] = entry;
	image.error = GetLastError();
	preset_errors();
	return image;
}

/* Nothing in the heap is another than it was. */
static bool is_intact(HANDLE heap, const struct image *before)
{
	struct image now = image_of(heap);

	return HeapValidate(heap, 0, NULL) && now.count &&
	       now.error == ERROR_NO_MORE_ITEMS &&
	       !memcmp(&now, before, sizeof(now));
}

/* Pointers that are no blocks of the heap */

static char static_bytes[64];

enum pointer {
	POINTER_STACK, POINTER_STATIC, POINTER_MALLOC, POINTER_UNMAPPED,
	POINTER_KERNEL, POINTER_NONCANONICAL, POINTER_LOW, POINTER_HANDLE,
	POINTER_ONE_IN, POINTER_SIXTEEN_IN, POINTER_LAST_BYTE, POINTER_END,
	POINTER_IN_LARGE, POINTER_FREED, POINTER_FREED_LARGE, POINTER_MOVED,
	POINTER_OF_OTHER_HEAP, POINTER_OF_DESTROYED_HEAP,
};

FIXTURE(pointer) {
	HANDLE heap, other;
	char *first, *block, *large, *other_block;
	char *wrong;
	struct image image, other_image;
};

/* What a call said, and that the heaps are as they were. */
#define EXPECT_REFUSED(code)						\
	do {								\
		EXPECT_ERROR(code);					\
		EXPECT_TRUE(is_intact(self->heap, &self->image));	\
		EXPECT_TRUE(is_intact(self->other, &self->other_image)); \
	} while (0)

#define BLOCK_BYTES	100
#define LARGE_BYTES	(300 * KIB)

FIXTURE_VARIANT(pointer) {
	enum pointer kind;
};

#define POINTER_VARIANT(name, value) \
	FIXTURE_VARIANT_ADD(pointer, name) { .kind = value }

POINTER_VARIANT(stack, POINTER_STACK);
POINTER_VARIANT(static, POINTER_STATIC);
POINTER_VARIANT(malloc, POINTER_MALLOC);
POINTER_VARIANT(unmapped, POINTER_UNMAPPED);
POINTER_VARIANT(kernel, POINTER_KERNEL);
POINTER_VARIANT(noncanonical, POINTER_NONCANONICAL);
POINTER_VARIANT(low, POINTER_LOW);
POINTER_VARIANT(handle, POINTER_HANDLE);
POINTER_VARIANT(one_in, POINTER_ONE_IN);
POINTER_VARIANT(sixteen_in, POINTER_SIXTEEN_IN);
POINTER_VARIANT(last_byte, POINTER_LAST_BYTE);
POINTER_VARIANT(end, POINTER_END);
POINTER_VARIANT(in_large, POINTER_IN_LARGE);
POINTER_VARIANT(freed, POINTER_FREED);
POINTER_VARIANT(freed_large, POINTER_FREED_LARGE);
POINTER_VARIANT(moved, POINTER_MOVED);
POINTER_VARIANT(of_other_heap, POINTER_OF_OTHER_HEAP);
POINTER_VARIANT(of_destroyed_heap, POINTER_OF_DESTROYED_HEAP);

static char *unmapped_page(void)
{
	size_t bytes = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	munmap(page, bytes);
	return page;
}

static char *freed_block(HANDLE heap, SIZE_T bytes)
{
	char *block = HeapAlloc(heap, 0, bytes);

	HeapFree(heap, 0, block);
	return block;
}

static char *moved_block(HANDLE heap)
{
	char *block = HeapAlloc(heap, 0, 16);

	if (HeapReAlloc(heap, 0, block, 100 * KIB) == block)
		return NULL;
	return block;
}

static char *block_of_destroyed_heap(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	char *block = HeapAlloc(heap, 0, BLOCK_BYTES);

	HeapDestroy(heap);
	return block;
}

/* Where the heap begins, which was the first block if that was there. */
static char *handle_without_block(HANDLE heap, char *first)
{
	if (first == heap)
		HeapFree(heap, 0, first);
	return heap;
}

static char *wrong_pointer(enum pointer kind, FIXTURE_DATA(pointer) *self)
{
	switch (kind) {
	case POINTER_STACK:
		return (char *)self;
	case POINTER_STATIC:
		return static_bytes;
	case POINTER_MALLOC:
		return malloc(BLOCK_BYTES);
	case POINTER_UNMAPPED:
		return unmapped_page();
	case POINTER_KERNEL:
		return (char *)0xffff888000000000;
	case POINTER_NONCANONICAL:
		return (char *)0x8000000000000000;
	case POINTER_LOW:
		return (char *)16;
	case POINTER_HANDLE:
		return handle_without_block(self->heap, self->first);
	case POINTER_ONE_IN:
		return self->block + 1;
	case POINTER_SIXTEEN_IN:
		return self->block + 16;
	case POINTER_LAST_BYTE:
		return self->block + BLOCK_BYTES - 1;
	case POINTER_END:
		return self->large + LARGE_BYTES;
	case POINTER_IN_LARGE:
		return self->large + sysconf(_SC_PAGESIZE);
	case POINTER_FREED:
		return freed_block(self->heap, BLOCK_BYTES);
	case POINTER_FREED_LARGE:
		return freed_block(self->heap, 4 * MIB);
	case POINTER_MOVED:
		return moved_block(self->heap);
	case POINTER_OF_OTHER_HEAP:
		return self->other_block;
	case POINTER_OF_DESTROYED_HEAP:
		return block_of_destroyed_heap();
	}
	return NULL;
}

FIXTURE_SETUP(pointer)
{
	self->heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(self->heap);
	self->other = HeapCreate(0, 0, 0);
	ASSERT_HEAP(self->other);
	self->first = HeapAlloc(self->heap, 0, 1);
	self->block = HeapAlloc(self->heap, 0, BLOCK_BYTES);
	self->large = HeapAlloc(self->heap, 0, LARGE_BYTES);
	self->other_block = HeapAlloc(self->other, 0, BLOCK_BYTES);
	ASSERT_NE(NULL, self->block);
	ASSERT_NE(NULL, self->large);
	ASSERT_NE(NULL, self->other_block);
	fill(self->block, BLOCK_BYTES, 1);
	fill(self->large, LARGE_BYTES, 2);
	fill(self->other_block, BLOCK_BYTES, 3);
	preset_errors();
	self->wrong = wrong_pointer(variant->kind, self);
	ASSERT_NE(NULL, self->wrong);
	EXPECT_NO_ERROR();
	self->image = image_of(self->heap);
	self->other_image = image_of(self->other);
}

FIXTURE_TEARDOWN(pointer)
{
	EXPECT_EQ(BLOCK_BYTES, HeapSize(self->heap, 0, self->block));
	EXPECT_EQ(LARGE_BYTES, HeapSize(self->heap, 0, self->large));
	EXPECT_EQ(BLOCK_BYTES, HeapSize(self->other, 0, self->other_block));
	EXPECT_TRUE(is_filled(self->block, BLOCK_BYTES, 1));
	EXPECT_TRUE(is_filled(self->large, LARGE_BYTES, 2));
	EXPECT_TRUE(is_filled(self->other_block, BLOCK_BYTES, 3));
	EXPECT_TRUE(HeapDestroy(self->heap));
	EXPECT_TRUE(HeapDestroy(self->other));
}

TEST_F(pointer, free_wrong)
{
	EXPECT_FALSE(HeapFree(self->heap, 0, self->wrong));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
	EXPECT_FALSE(HeapFree(self->heap, HEAP_GENERATE_EXCEPTIONS |
			      HEAP_NO_SERIALIZE, self->wrong));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
}

TEST_F(pointer, realloc_wrong)
{
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, 0, self->wrong, 50));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_ZERO_MEMORY, self->wrong,
				    50 * KIB));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_REALLOC_IN_PLACE_ONLY,
				    self->wrong, 0));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
	/* As under Wine, a size that cannot be counts for more. */
	EXPECT_EQ(NULL, HeapReAlloc(self->heap, HEAP_NO_SERIALIZE, self->wrong,
				    SIZE_MAX));
	EXPECT_REFUSED(ERROR_NOT_ENOUGH_MEMORY);
}

TEST_F(pointer, size_of_wrong)
{
	EXPECT_EQ(NO_SIZE, HeapSize(self->heap, 0, self->wrong));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(NO_SIZE, HeapSize(self->heap, 0, NULL));
	EXPECT_REFUSED(ERROR_INVALID_PARAMETER);
}

TEST_F(pointer, validate_wrong)
{
	EXPECT_FALSE(HeapValidate(self->heap, 0, self->wrong));
	EXPECT_REFUSED(ERROR_PATTERN);
}

/* Handles that are no heaps */

enum handle {
	HANDLE_NULL, HANDLE_SMALL, HANDLE_STACK, HANDLE_UNMAPPED, HANDLE_BLOCK,
	HANDLE_UNALIGNED, HANDLE_DESTROYED, HANDLE_HIGH, HANDLE_MINUS_ONE,
};

FIXTURE(handle) {
	HANDLE heap, wrong;
	char *block;
	struct image image;
};

FIXTURE_VARIANT(handle) {
	enum handle kind;
};

#define HANDLE_VARIANT(name, value) \
	FIXTURE_VARIANT_ADD(handle, name) { .kind = value }

HANDLE_VARIANT(null, HANDLE_NULL);
HANDLE_VARIANT(small, HANDLE_SMALL);
HANDLE_VARIANT(stack, HANDLE_STACK);
HANDLE_VARIANT(unmapped, HANDLE_UNMAPPED);
HANDLE_VARIANT(block, HANDLE_BLOCK);
HANDLE_VARIANT(unaligned, HANDLE_UNALIGNED);
HANDLE_VARIANT(destroyed, HANDLE_DESTROYED);
HANDLE_VARIANT(high, HANDLE_HIGH);
HANDLE_VARIANT(minus_one, HANDLE_MINUS_ONE);

static HANDLE destroyed_heap(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	HeapDestroy(heap);
	return heap;
}

static HANDLE wrong_handle(enum handle kind, HANDLE heap, char *block)
{
	switch (kind) {
	case HANDLE_NULL:
		return NULL;
	case HANDLE_SMALL:
		return (HANDLE)(64 * KIB);
	case HANDLE_STACK:
		return __builtin_frame_address(0);
	case HANDLE_UNMAPPED:
		return unmapped_page();
	case HANDLE_BLOCK:
		return block;
	case HANDLE_UNALIGNED:
		return (char *)heap + 16;
	case HANDLE_DESTROYED:
		return destroyed_heap();
	case HANDLE_HIGH:
		/* The same low bits as the good one. */
		return (HANDLE)((uintptr_t)heap | (uintptr_t)1 << 48);
	case HANDLE_MINUS_ONE:
		return (HANDLE)(intptr_t)-1;
	}
	return heap;
}

FIXTURE_SETUP(handle)
{
	char *first;

	self->heap = HeapCreate(0, 0, 0);
	ASSERT_HEAP(self->heap);
	/* The first block may be where the heap begins. */
	first = HeapAlloc(self->heap, 0, 64);
	self->block = HeapAlloc(self->heap, 0, 64);
	ASSERT_NE(NULL, first);
	ASSERT_NE(NULL, self->block);
	self->wrong = wrong_handle(variant->kind, self->heap, self->block);
	ASSERT_NE(self->heap, self->wrong);
	self->image = image_of(self->heap);
}

FIXTURE_TEARDOWN(handle)
{
	EXPECT_TRUE(is_intact(self->heap, &self->image));
	EXPECT_EQ(64, HeapSize(self->heap, 0, self->block));
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(handle, alloc)
{
	EXPECT_EQ(NULL, HeapAlloc(self->wrong, 0, 10));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(NULL, HeapAlloc(self->wrong, HEAP_NO_SERIALIZE, SIZE_MAX));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(handle, realloc)
{
	EXPECT_EQ(NULL, HeapReAlloc(self->wrong, 0, self->block, 10));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(handle, free)
{
	EXPECT_FALSE(HeapFree(self->wrong, 0, self->block));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapFree(self->wrong, HEAP_NO_SERIALIZE, self->block));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(handle, size)
{
	EXPECT_EQ(NO_SIZE, HeapSize(self->wrong, 0, self->block));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(handle, validate)
{
	EXPECT_FALSE(HeapValidate(self->wrong, 0, NULL));
	EXPECT_FALSE(HeapValidate(self->wrong, 0, self->block));
	EXPECT_NO_ERROR();
}

TEST_F(handle, walk)
{
	PROCESS_HEAP_ENTRY entry = { 0 };

	EXPECT_FALSE(HeapWalk(self->wrong, &entry));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(NULL, entry.lpData);
}

TEST_F(handle, compact)
{
	EXPECT_EQ(0, HeapCompact(self->wrong, 0));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(handle, lock)
{
	EXPECT_FALSE(HeapLock(self->wrong));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapUnlock(self->wrong));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

TEST_F(handle, information)
{
	HEAP_SUMMARY summary = { .cb = sizeof(summary) };
	SIZE_T length = 77;
	ULONG value = 0;

	EXPECT_FALSE(HeapSummary(self->wrong, 0, &summary));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_FALSE(HeapQueryInformation(self->wrong,
					  HeapCompatibilityInformation, &value,
					  sizeof(value), &length));
	EXPECT_ERROR(self->wrong ? ERROR_INVALID_HANDLE : ERROR_NOACCESS);
	EXPECT_EQ(77, length);
	EXPECT_FALSE(HeapSetInformation(self->wrong,
					HeapCompatibilityInformation, &value,
					sizeof(value)));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/* Where NULL means all heaps. */
TEST_F(handle, information_for_all)
{
	HEAP_OPTIMIZE_RESOURCES_INFORMATION optimize = {
		.Version = HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION,
	};
	DWORD error = self->wrong ? ERROR_INVALID_HANDLE : ERROR_PATTERN;

	EXPECT_EQ(!self->wrong,
		  HeapSetInformation(self->wrong, HeapOptimizeResources,
				     &optimize, sizeof(optimize)));
	EXPECT_ERROR(error);
	EXPECT_EQ(!self->wrong,
		  HeapSetInformation(self->wrong,
				     HeapEnableTerminationOnCorruption, NULL,
				     0));
	EXPECT_ERROR(error);
}

/* NULL is the one that is no mistake. */
TEST_F(handle, destroy)
{
	EXPECT_EQ(!self->wrong, HeapDestroy(self->wrong));
	EXPECT_ERROR(self->wrong ? ERROR_INVALID_HANDLE : ERROR_PATTERN);
}

TEST_HARNESS_MAIN
