// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many blocks in one call: each member has its own result, whatever the others are.
 */
#include "kselftest_harness.h"
#include "library_util.h"

#define NR_MEMBERS	300
#define BLOCK_PATTERN	((void *)0x5a5a5a5a)

static SIZE_T allocated(HANDLE heap)
{
	return summary_of(heap).cbAllocated;
}

/* From nothing to several pages. */
static SIZE_T size_of(unsigned int i)
{
	return (SIZE_T)i * i * 7919 % (i % 16 ? 1000 : 20000);
}

FIXTURE(batch) {
	HANDLE heap;
	HEAPDEV_MEMBER members[NR_MEMBERS];
	SIZE_T bytes;
};

FIXTURE_VARIANT(batch) {
	DWORD flags;
	SIZE_T max_bytes;
	const char *settings;
};

FIXTURE_VARIANT_ADD(batch, growable) {
};

FIXTURE_VARIANT_ADD(batch, fixed) {
	.max_bytes = 16 * MIB,
};

FIXTURE_VARIANT_ADD(batch, not_serialized) {
	.flags = HEAP_NO_SERIALIZE,
};

FIXTURE_VARIANT_ADD(batch, checked) {
	.settings = "htc,hfc",
};

FIXTURE_VARIANT_ADD(batch, guarded) {
	.settings = "hpa",
};

FIXTURE_SETUP(batch)
{
	unsigned int i;

	self->heap = variant->settings ?
		HeapdevCreateDebug(variant->flags, 0, variant->max_bytes,
				   variant->settings) :
		HeapCreate(variant->flags, 0, variant->max_bytes);
	ASSERT_HEAP(self->heap);
	for (i = 0; i < NR_MEMBERS; i++) {
		self->members[i] = (HEAPDEV_MEMBER) {
			.Block = BLOCK_PATTERN,
			.Bytes = size_of(i),
			.Error = ERROR_PATTERN,
		};
		self->bytes += size_of(i);
	}
	preset_errors();
}

FIXTURE_TEARDOWN(batch)
{
	EXPECT_TRUE(HeapDestroy(self->heap));
}

static void forget_errors(HEAPDEV_MEMBER *members)
{
	unsigned int i;

	for (i = 0; i < NR_MEMBERS; i++)
		members[i].Error = ERROR_PATTERN;
}

TEST_F(batch, alloc_and_free)
{
	HEAPDEV_MEMBER *members = self->members;
	unsigned int i;

	ASSERT_EQ(NR_MEMBERS, HeapdevAllocBatch(self->heap, 0, members,
						NR_MEMBERS));
	EXPECT_NO_ERROR();
	EXPECT_EQ(self->bytes, allocated(self->heap));
	for (i = 0; i < NR_MEMBERS; i++) {
		ASSERT_NE(NULL, members[i].Block);
		EXPECT_EQ(ERROR_SUCCESS, members[i].Error);
		EXPECT_EQ(size_of(i), members[i].Bytes);
		EXPECT_EQ(size_of(i), HeapSize(self->heap, 0, members[i].Block));
		fill(members[i].Block, size_of(i), i);
	}
	for (i = 0; i < NR_MEMBERS; i++) {
		EXPECT_TRUE(is_filled(members[i].Block, size_of(i), i));
	}
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	forget_errors(members);
	preset_errors();
	EXPECT_EQ(NR_MEMBERS, HeapdevFreeBatch(self->heap, 0, members,
					       NR_MEMBERS));
	EXPECT_NO_ERROR();
	for (i = 0; i < NR_MEMBERS; i++) {
		EXPECT_EQ(ERROR_SUCCESS, members[i].Error);
	}
	EXPECT_EQ(0, allocated(self->heap));
}

/* What a batch allocated, any call may use; and the other way round. */
TEST_F(batch, mixes_with_other_calls)
{
	HEAPDEV_MEMBER *members = self->members;
	unsigned int i;

	ASSERT_EQ(NR_MEMBERS, HeapdevAllocBatch(self->heap, 0, members,
						NR_MEMBERS));
	for (i = 0; i < NR_MEMBERS; i += 2) {
		ASSERT_TRUE(HeapFree(self->heap, 0, members[i].Block));
		members[i].Block = HeapAlloc(self->heap, 0, size_of(i));
		ASSERT_NE(NULL, members[i].Block);
	}
	members[1].Block = HeapReAlloc(self->heap, 0, members[1].Block, 30000);
	ASSERT_NE(NULL, members[1].Block);
	EXPECT_EQ(self->bytes - size_of(1) + 30000, allocated(self->heap));
	EXPECT_EQ(NR_MEMBERS, HeapdevFreeBatch(self->heap, 0, members,
					       NR_MEMBERS));
	EXPECT_EQ(0, allocated(self->heap));
}

TEST_F(batch, zeroes)
{
	HEAPDEV_MEMBER *members = self->members;
	unsigned int i, round;

	for (round = 0; round < 2; round++) {
		ASSERT_EQ(NR_MEMBERS, HeapdevAllocBatch(self->heap,
							HEAP_ZERO_MEMORY,
							members, NR_MEMBERS));
		for (i = 0; i < NR_MEMBERS; i++) {
			EXPECT_TRUE(is_zero(members[i].Block, size_of(i)));
			memset(members[i].Block, 0xa5, size_of(i));
		}
		ASSERT_EQ(NR_MEMBERS, HeapdevFreeBatch(self->heap, 0, members,
						       NR_MEMBERS));
	}
}

/* Each of them is refused, none done twice, and the others are done. */
TEST(free_bad_members)
{
	HANDLE heap = HeapCreate(0, 0, 0), other = HeapCreate(0, 0, 0);
	HEAPDEV_MEMBER members[12] = { 0 };
	static char foreign[64];
	SIZE_T i;

	ASSERT_HEAP(heap);
	ASSERT_HEAP(other);
	for (i = 0; i < 4; i++)
		members[i].Bytes = 5000 * i;
	ASSERT_EQ(4, HeapdevAllocBatch(heap, 0, members, 4));
	members[4].Block = members[1].Block;			/* twice */
	members[5].Block = (char *)members[2].Block + 16;	/* within */
	members[6].Block = foreign;
	members[7].Block = HeapAlloc(other, 0, 100);
	members[8].Block = HeapAlloc(heap, 0, 100);
	members[9].Block = members[8].Block;			/* twice */
	members[10].Block = NULL;
	members[11].Block = HeapAlloc(heap, 0, 100);
	for (i = 0; i < 12; i++)
		members[i].Error = ERROR_PATTERN;
	preset_errors();
	EXPECT_EQ(7, HeapdevFreeBatch(heap, 0, members, 12));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	for (i = 0; i < 12; i++) {
		EXPECT_EQ((i >= 4 && i <= 7) || i == 9 ? ERROR_INVALID_PARAMETER :
			  ERROR_SUCCESS, members[i].Error) {
			TH_LOG("member %zu", i);
		}
	}
	EXPECT_EQ(0, allocated(heap));
	EXPECT_EQ(100, allocated(other));
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_TRUE(HeapDestroy(other));
}

TEST(alloc_bad_members)
{
	HANDLE heap = HeapCreate(0, 0, 2 * MIB);
	HEAPDEV_MEMBER members[5] = {
		{ .Bytes = 10 }, { .Bytes = FIXED_BLOCK_MAX + 1 }, { .Bytes = 20 },
		{ .Bytes = NO_SIZE }, { .Bytes = 30 },
	};
	SIZE_T i;

	ASSERT_HEAP(heap);
	for (i = 0; i < 5; i++)
		members[i].Block = BLOCK_PATTERN;
	preset_errors();
	EXPECT_EQ(3, HeapdevAllocBatch(heap, HEAP_GENERATE_EXCEPTIONS, members, 5));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(i % 2 ? ERROR_NOT_ENOUGH_MEMORY : ERROR_SUCCESS,
			  members[i].Error);
		EXPECT_EQ(i % 2, !members[i].Block);
	}
	EXPECT_EQ(60, allocated(heap));
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST(counts_out_of_range)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	static HEAPDEV_MEMBER members[HEAPDEV_BATCH_MAX + 1];
	SIZE_T counts[] = { 0, HEAPDEV_BATCH_MAX + 1, NO_SIZE }, i;

	ASSERT_HEAP(heap);
	memset(members, 0xa5, sizeof(members));
	preset_errors();
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, HeapdevAllocBatch(heap, 0, members, counts[i]));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
		EXPECT_EQ(0, HeapdevFreeBatch(heap, 0, members, counts[i]));
		EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	}
	EXPECT_EQ(0, HeapdevAllocBatch(heap, 0, NULL, 1));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(0, HeapdevFreeBatch(heap, 0, NULL, 1));
	EXPECT_ERROR(ERROR_INVALID_PARAMETER);
	EXPECT_EQ(0, HeapdevAllocBatch(&heap, 0, members, 1));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(0, HeapdevFreeBatch(NULL, 0, members, 1));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	for (i = 0; i < sizeof(members); i += 8)
		EXPECT_EQ(0xa5, ((unsigned char *)members)[i]);
	EXPECT_EQ(0, allocated(heap));
	memset(members, 0, sizeof(members));
	EXPECT_EQ(HEAPDEV_BATCH_MAX,
		  HeapdevAllocBatch(heap, 0, members, HEAPDEV_BATCH_MAX));
	EXPECT_EQ(HEAPDEV_BATCH_MAX,
		  HeapdevFreeBatch(heap, 0, members, HEAPDEV_BATCH_MAX));
	EXPECT_TRUE(HeapDestroy(heap));
}

/* As much as fits is done; what the front end keeps gives way to it. */
TEST(alloc_over_limit)
{
	HEAPDEV_OPTIONS options = {
		.cb = sizeof(options), .LimitBytes = 2 * MIB,
	};
	HANDLE heap = HeapdevCreate(0, 0, 0, &options);
	HEAPDEV_MEMBER members[40];
	SIZE_T done, i, nr = 0;
	void *last = NULL, *block;

	ASSERT_HEAP(heap);
	for (i = 0; i < 40; i++)
		members[i].Bytes = 64 * KIB;
	while ((block = HeapAlloc(heap, 0, 1000))) {
		*(void **)block = last;
		last = block;
	}
	for (; last; last = block) {
		block = *(void **)last;
		ASSERT_TRUE(HeapFree(heap, 0, last));
	}
	preset_errors();
	done = HeapdevAllocBatch(heap, 0, members, 40);
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_LE(30, done);
	EXPECT_GE(32, done);
	for (i = 0; i < 40; i++) {
		nr += members[i].Block && !members[i].Error;
		if (members[i].Block)
			fill(members[i].Block, 64 * KIB, i);
	}
	EXPECT_EQ(done, nr);
	EXPECT_EQ(done * 64 * KIB, allocated(heap));
	EXPECT_EQ(40, HeapdevFreeBatch(heap, 0, members, 40));
	EXPECT_EQ(0, allocated(heap));
	EXPECT_TRUE(HeapDestroy(heap));
}

static void CALLBACK count_call(HANDLE heap, DWORD scopes, void *context)
{
	++*(unsigned int *)context;
}

/* It is told once, after the batch. */
TEST(soft_limit)
{
	HEAPDEV_OPTIONS options = {
		.cb = sizeof(options), .LimitBytes = 8 * MIB, .SoftBytes = MIB,
	};
	HANDLE heap = HeapdevCreate(0, 0, 0, &options);
	HEAPDEV_MEMBER members[100];
	unsigned int nr_calls = 0, i;

	ASSERT_HEAP(heap);
	ASSERT_TRUE(HeapdevSetSoftCallback(heap, count_call, &nr_calls));
	for (i = 0; i < 100; i++)
		members[i].Bytes = 64 * KIB;
	EXPECT_EQ(10, HeapdevAllocBatch(heap, 0, members, 10));
	EXPECT_EQ(0, nr_calls);
	EXPECT_EQ(90, HeapdevAllocBatch(heap, 0, members + 10, 90));
	EXPECT_EQ(1, nr_calls);
	EXPECT_TRUE(HeapDestroy(heap));
}

static int free_foreign_fatally(void *arg)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	HEAPDEV_MEMBER members[2] = { { .Block = &heap } };

	members[1].Block = HeapAlloc(heap, 0, 1);
	HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL, 0);
	return HeapdevFreeBatch(heap, 0, members, 2);
}

TEST(free_foreign_is_fatal)
{
	struct outcome outcome = run_in_child(free_foreign_fatally, NULL);

	EXPECT_TRUE(ended_by(&outcome, SIGABRT));
	EXPECT_NE(NULL, strstr(outcome.text, "HeapdevFreeBatch"));
}

TEST_HARNESS_MAIN
