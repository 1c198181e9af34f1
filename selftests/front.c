// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a front end gets from the kernel: spans that the program cuts itself,
 * batches, and counters that the heap's statistics include.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

#define SPAN_PAGES	3U

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

FIXTURE(front) {
	int fd;
	struct heap heap;
	struct privheap_info info;
	struct privheap_stat before;
};

FIXTURE_VARIANT(front) {
	size_t max_bytes;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(front, growable) {
};

FIXTURE_VARIANT_ADD(front, fixed) {
	.max_bytes = 8 * MIB,
};

FIXTURE_VARIANT_ADD(front, backed) {
	.flags = PRIVHEAP_CREATE_F_BACKED,
};

FIXTURE_SETUP(front)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, privheap_info(self->fd, &self->info));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd,
				 .flags = variant->flags,
				 .max_bytes = variant->max_bytes));
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
}

FIXTURE_TEARDOWN(front)
{
	EXPECT_EQ(0, heap_check_works(&self->heap));
	close(self->fd);
}

/* Returns how many spans there are in @spans, or a negative errno. */
static int take(const struct heap *heap, __u64 *spans, __u32 nr_spans,
		__u32 nr_pages)
{
	struct privheap_take arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.spans = (uintptr_t)spans,
		.nr_spans = nr_spans,
		.nr_pages = nr_pages,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_TAKE, &arg, sizeof(arg),
				offsetof(struct privheap_take, out_nr_spans));

	return ret ? ret : (int)arg.out_nr_spans;
}

/* Asks until there are @nr_spans; a call may give fewer. */
static int take_all(const struct heap *heap, __u64 *spans, int nr_spans,
		    __u32 nr_pages)
{
	int nr = 0, got;

	while (nr < nr_spans) {
		got = take(heap, spans + nr, nr_spans - nr, nr_pages);
		if (got <= 0)
			return got;
		nr += got;
	}
	return 0;
}

static void *at(__u64 addr)
{
	return (void *)(uintptr_t)addr;
}

/* Spans */

TEST_F(front, take_makes_pages_usable)
{
	size_t bytes = SPAN_PAGES * page_bytes();
	struct privheap_stat stat;
	__u64 spans[4];
	int i;

	ASSERT_EQ(0, take_all(&self->heap, spans, 4, SPAN_PAGES));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, spans[i] % page_bytes());
		EXPECT_TRUE(all_bytes(at(spans[i]), bytes, 0));
		pattern_fill(at(spans[i]), bytes, i);
	}
	for (i = 0; i < 4; i++) {
		EXPECT_TRUE(pattern_check(at(spans[i]), bytes, i));
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(4 * bytes, stat.out_taken_bytes);
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
	/* What the heap keeps for life may be used, too. */
	EXPECT_GE(self->before.out_committed_bytes + 4 * bytes,
		  stat.out_committed_bytes);
	EXPECT_LE(4 * bytes, stat.out_committed_bytes);
}

TEST_F(front, take_every_length)
{
	struct privheap_stat stat;
	__u32 nr_pages;
	char *span;

	for (nr_pages = 1; nr_pages <= self->info.out_take_max_pages; nr_pages++) {
		ASSERT_EQ(0, span_take(&self->heap, nr_pages, &span));
		EXPECT_EQ(0, touch_write(span));
		EXPECT_EQ(0, touch_write(span + nr_pages * page_bytes() - 1));
		ASSERT_EQ(0, span_give(&self->heap, span));
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_taken_bytes);
	EXPECT_EQ(self->before.out_committed_bytes + stat.out_idle_bytes,
		  stat.out_committed_bytes);
}

TEST_F(front, take_counts_out_of_range)
{
	__u32 max_spans = self->info.out_take_max_spans;
	__u32 max_pages = self->info.out_take_max_pages;
	__u64 spans[1];

	EXPECT_EQ(-EINVAL, take(&self->heap, spans, 0, 1));
	EXPECT_EQ(-EINVAL, take(&self->heap, spans, 1, 0));
	EXPECT_EQ(-EOPNOTSUPP, take(&self->heap, spans, max_spans + 1, 1));
	EXPECT_EQ(-EOPNOTSUPP, take(&self->heap, spans, UINT_MAX, 1));
	EXPECT_EQ(-EOPNOTSUPP, take(&self->heap, spans, 1, max_pages + 1));
	EXPECT_EQ(-EOPNOTSUPP, take(&self->heap, spans, 1, UINT_MAX));
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

/* The array is read-only, from each byte on, or there is none. */
TEST_F(front, take_unwritable_array)
{
	size_t page = page_bytes();
	struct privheap_stat stat;
	char *mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *edge = mem + page;
	unsigned int room;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, mprotect(edge, page, PROT_READ));
	for (room = 0; room < 2 * sizeof(__u64); room++) {
		EXPECT_EQ(-EFAULT, take(&self->heap, (void *)(edge - room), 2, 1));
	}
	EXPECT_EQ(-EFAULT, take(&self->heap, NULL, 2, 1));
	EXPECT_EQ(-EFAULT, take(&self->heap, at(UINT64_MAX - 7), 2, 1));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_taken_bytes);
	EXPECT_EQ(self->before.out_committed_bytes + stat.out_idle_bytes,
		  stat.out_committed_bytes);
}

TEST_F(front, give_back)
{
	struct privheap_stat stat;
	__u64 spans[4];
	int i;

	ASSERT_EQ(0, take_all(&self->heap, spans, 4, 20));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, span_give(&self->heap, at(spans[i])));
		EXPECT_EQ(-ENOENT, span_give(&self->heap, at(spans[i])));
	}
	EXPECT_EQ(SIGSEGV, touch_read(at(spans[3] + 19 * page_bytes())));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_taken_bytes);
	EXPECT_EQ(self->before.out_committed_bytes + stat.out_idle_bytes,
		  stat.out_committed_bytes);
}

TEST_F(front, give_what_was_not_taken)
{
	size_t page = page_bytes();
	struct privheap_stat before;
	char *span, *slot, *pages;
	struct heap other;

	ASSERT_EQ(0, heap_create(&other, self->fd));
	ASSERT_EQ(0, span_take(&self->heap, SPAN_PAGES, &span));
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &slot));
	ASSERT_EQ(0, block_alloc(&self->heap, 5 * page + 16384, &pages));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, slot));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, pages));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, span + page));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, span + 1));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, span - page));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, NULL));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, &self->heap));
	EXPECT_EQ(-ENOENT, span_give(&self->heap, at(UINT64_MAX)));
	EXPECT_EQ(-ENOENT, span_give(&other, span));
	EXPECT_HEAP_STAT(&before, &self->heap);
	EXPECT_EQ(0, span_give(&self->heap, span));
}

TEST_F(front, span_is_no_block)
{
	struct privheap_stat before;
	char *span, *moved;

	ASSERT_EQ(0, span_take(&self->heap, SPAN_PAGES, &span));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	moved = span;
	EXPECT_EQ(-ENOENT, block_free(&self->heap, span));
	EXPECT_EQ(-ENOENT, block_free(&self->heap, span + 16));
	EXPECT_EQ(-ENOENT, block_size(&self->heap, span));
	EXPECT_EQ(-ENOENT, block_realloc(&self->heap, &moved, 10, 0));
	EXPECT_HEAP_STAT(&before, &self->heap);
}

TEST_F(front, walk_lists_span)
{
	struct privheap_entry entries[64], found = { 0 };
	int i, nr, again;
	char *span;

	ASSERT_EQ(0, span_take(&self->heap, SPAN_PAGES, &span));
	nr = heap_walk(&self->heap, NULL, entries, 64);
	ASSERT_LT(0, nr);
	for (i = 0; i < nr; i++) {
		if (entries[i].kind == PRIVHEAP_ENTRY_TAKEN) {
			EXPECT_EQ(0, found.kind);
			found = entries[i];
			again = heap_walk(&self->heap, &found, &entries[0], 64);
			EXPECT_EQ(nr - i - 1, again);
			break;
		}
	}
	EXPECT_EQ((uintptr_t)span, found.addr);
	EXPECT_EQ(SPAN_PAGES * page_bytes(), found.bytes);
	EXPECT_EQ(SPAN_PAGES * page_bytes(), found.capacity_bytes);
	EXPECT_EQ(0, found.region);
}

TEST_F(front, compact_leaves_span)
{
	size_t bytes = SPAN_PAGES * page_bytes(), largest;
	struct privheap_stat stat;
	char *span;

	ASSERT_EQ(0, span_take(&self->heap, SPAN_PAGES, &span));
	pattern_fill(span, bytes, 1);
	ASSERT_EQ(0, heap_compact(&self->heap, &largest));
	EXPECT_TRUE(pattern_check(span, bytes, 1));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(bytes, stat.out_taken_bytes);
}

TEST_F(front, take_from_no_heap)
{
	struct heap gone = self->heap;
	__u64 spans[1];
	char *span;

	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	ASSERT_EQ(0, span_take(&gone, 1, &span));
	ASSERT_EQ(0, heap_destroy(&gone));
	EXPECT_EQ(-ENXIO, take(&gone, spans, 1, 1));
	EXPECT_EQ(-ENXIO, span_give(&gone, span));
	EXPECT_EQ(SIGSEGV, touch_read(span));
}

TEST_F(front, take_from_dead_heap)
{
	static struct privheap_counters counters;
	__u64 spans[1];
	char *span;

	ASSERT_EQ(0, span_take(&self->heap, 1, &span));
	ASSERT_EQ(0, heap_count(&self->heap, &counters));
	counters.key = 77;
	ASSERT_EQ(0, munmap(self->heap.base, self->heap.region_bytes));
	EXPECT_EQ(PRIVHEAP_COUNTERS_DEAD, counters.key);
	EXPECT_EQ(-EIDRM, take(&self->heap, spans, 1, 1));
	EXPECT_EQ(-EIDRM, span_give(&self->heap, span));
	EXPECT_EQ(-EIDRM, heap_count(&self->heap, &counters));
	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
}

/* Some of the spans that were asked for, as long as there is one. */
TEST(take_until_full)
{
	size_t page = page_bytes();
	int fd = privheap_open(), nr;
	struct privheap_stat stat;
	struct heap heap;
	__u64 spans[64];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd, .max_bytes = 20 * page));
	nr = take(&heap, spans, 64, SPAN_PAGES);
	EXPECT_EQ(6, nr);
	EXPECT_EQ(-ENOSPC, take(&heap, spans, 64, SPAN_PAGES));
	EXPECT_EQ(2, take(&heap, spans, 64, 1));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(20 * page, stat.out_taken_bytes);
	EXPECT_EQ(20 * page, stat.out_committed_bytes);
	EXPECT_EQ(-ENOSPC, take(&heap, spans, 1, 1));
	close(fd);
}

TEST(take_until_limit)
{
	size_t page = page_bytes();
	int fd = privheap_open();
	struct privheap_stat stat;
	struct heap heap;
	__u64 spans[64];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd, .limit_bytes = 20 * page,
				 .max_bytes = MIB));
	EXPECT_EQ(6, take(&heap, spans, 64, SPAN_PAGES));
	EXPECT_EQ(-EDQUOT, take(&heap, spans, 64, SPAN_PAGES));
	EXPECT_EQ(-EDQUOT, take(&heap, spans, 1, 20));
	ASSERT_EQ(0, heap_stat(&heap, &stat));
	EXPECT_EQ(18 * page, stat.out_taken_bytes);
	EXPECT_GE(20 * page, stat.out_committed_bytes);
	close(fd);
}

TEST(take_tells_that_limit_is_near)
{
	size_t page = page_bytes();
	struct privheap_take arg = { .size = sizeof(arg) };
	int fd = privheap_open(), i;
	struct heap heap;
	__u64 span;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd, .limit_bytes = 80 * page));
	arg.heap = heap.id;
	arg.spans = (uintptr_t)&span;
	arg.nr_spans = 1;
	arg.nr_pages = 10;
	for (i = 1; i < 8; i++) {
		ASSERT_EQ(0, privheap_ioctl(fd, PRIVHEAP_IOC_TAKE, &arg));
		EXPECT_EQ(0, arg.out_state);
	}
	arg.nr_pages = 1;
	ASSERT_EQ(0, privheap_ioctl(fd, PRIVHEAP_IOC_TAKE, &arg));
	EXPECT_EQ(PRIVHEAP_TAKE_S_NEAR, arg.out_state);
	close(fd);
}

TEST_F(front, take_grows_heap)
{
	struct privheap_stat stat;
	__u64 spans[60];

	ASSERT_EQ(0, take_all(&self->heap, spans, 60, 16));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(60 * 16 * page_bytes(), stat.out_taken_bytes);
	if (!variant->max_bytes) {
		EXPECT_LT(1, stat.out_nr_regions);
	}
}

/* Batches */

#define NR_ENTRIES	200U

/* A different size for each. */
static size_t entry_bytes(unsigned int i)
{
	return i * i;
}

static void fill_entries(struct privheap_batch_entry *entries, unsigned int nr)
{
	unsigned int i;

	memset(entries, 0, nr * sizeof(*entries));
	for (i = 0; i < nr; i++) {
		entries[i].bytes = entry_bytes(i);
		entries[i].out_error = 77;
	}
}

/* Makes the entries of blocks that were allocated entries to free them. */
static void turn_entries(struct privheap_batch_entry *entries, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		entries[i] = (struct privheap_batch_entry){
			.addr = entries[i].out_addr,
			.out_error = 77,
		};
}

TEST_F(front, batch_allocates_and_frees)
{
	struct privheap_batch_entry entries[NR_ENTRIES];
	struct privheap_stat stat;
	size_t sum = 0;
	unsigned int i;

	fill_entries(entries, NR_ENTRIES);
	ASSERT_EQ(NR_ENTRIES, batch(&self->heap, PRIVHEAP_BATCH_ALLOC, 0,
				    entries, NR_ENTRIES));
	for (i = 0; i < NR_ENTRIES; i++) {
		ASSERT_EQ(0, entries[i].out_error);
		EXPECT_EQ((long)entry_bytes(i),
			  block_size(&self->heap, at(entries[i].out_addr)));
		pattern_fill(at(entries[i].out_addr), entry_bytes(i), i);
		sum += entry_bytes(i);
	}
	for (i = 0; i < NR_ENTRIES; i++) {
		EXPECT_TRUE(pattern_check(at(entries[i].out_addr),
					  entry_bytes(i), i));
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(NR_ENTRIES, stat.out_nr_blocks);
	EXPECT_EQ(sum, stat.out_allocated_bytes);

	turn_entries(entries, NR_ENTRIES);
	ASSERT_EQ(NR_ENTRIES, batch(&self->heap, PRIVHEAP_BATCH_FREE, 0,
				    entries, NR_ENTRIES));
	for (i = 0; i < NR_ENTRIES; i++) {
		EXPECT_EQ(0, entries[i].out_error);
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_nr_blocks);
	EXPECT_EQ(0, stat.out_allocated_bytes);
}

TEST_F(front, batch_zeroes)
{
	struct privheap_batch_entry entries[NR_ENTRIES];
	unsigned int i, round;

	for (round = 0; round < 2; round++) {
		fill_entries(entries, NR_ENTRIES);
		ASSERT_EQ(NR_ENTRIES,
			  batch(&self->heap, PRIVHEAP_BATCH_ALLOC,
				PRIVHEAP_ALLOC_F_ZERO, entries, NR_ENTRIES));
		for (i = 0; i < NR_ENTRIES; i++) {
			EXPECT_TRUE(all_bytes(at(entries[i].out_addr),
					      entry_bytes(i), 0));
			memset(at(entries[i].out_addr), 0x5a, entry_bytes(i));
		}
		turn_entries(entries, NR_ENTRIES);
		ASSERT_EQ(NR_ENTRIES, batch(&self->heap, PRIVHEAP_BATCH_FREE, 0,
					    entries, NR_ENTRIES));
	}
}

/* Every entry has its own result, and the good ones are done. */
TEST_F(front, batch_alloc_with_bad_members)
{
	struct privheap_batch_entry entries[] = {
		{ .bytes = 100 },
		{ .bytes = UINT64_MAX },
		{ .bytes = 100, .align = 3 },
		{ .bytes = 100, .align = 1ULL << 40 },
		{ .bytes = 100, .addr = 16 },
		{ .bytes = 100, .__reserved = 1 },
		{ .bytes = 200, .align = 4096 },
	};
	static const int errors[] = {
		0, EOVERFLOW, EINVAL, EOPNOTSUPP, EINVAL, EINVAL, 0,
	};
	struct privheap_stat stat;
	unsigned int i;

	for (i = 0; i < 7; i++) {
		entries[i].out_addr = 99;
		entries[i].out_error = 77;
	}
	ASSERT_EQ(7, batch(&self->heap, PRIVHEAP_BATCH_ALLOC, 0, entries, 7));
	for (i = 0; i < 7; i++) {
		EXPECT_EQ(errors[i], entries[i].out_error);
		EXPECT_EQ(!errors[i], entries[i].out_addr != 99);
	}
	EXPECT_EQ(100, block_size(&self->heap, at(entries[0].out_addr)));
	EXPECT_EQ(200, block_size(&self->heap, at(entries[6].out_addr)));
	EXPECT_EQ(0, entries[6].out_addr % 4096);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(2, stat.out_nr_blocks);
}

TEST_F(front, batch_free_with_bad_members)
{
	struct privheap_batch_entry entries[8] = { 0 };
	static const int errors[] = {
		0, ENOENT, ENOENT, EINVAL, EINVAL, ENOENT, EINVAL, 0,
	};
	struct privheap_stat stat;
	char *one, *two, *three;
	unsigned int i;

	ASSERT_EQ(0, block_alloc(&self->heap, 100, &one));
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &two));
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &three));
	for (i = 0; i < 8; i++)
		entries[i].out_error = 77;
	entries[0].addr = (uintptr_t)one;
	entries[1].addr = (uintptr_t)one;	/* a second time */
	entries[2].addr = (uintptr_t)two + 16;
	entries[3].addr = (uintptr_t)two;
	entries[3].bytes = 100;
	entries[4].addr = (uintptr_t)two;
	entries[4].align = 16;
	entries[6].addr = (uintptr_t)two;
	entries[6].__reserved = 1;
	entries[7].addr = (uintptr_t)three;
	ASSERT_EQ(8, batch(&self->heap, PRIVHEAP_BATCH_FREE, 0, entries, 8));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(errors[i], entries[i].out_error);
	}
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(1, stat.out_nr_blocks);
	EXPECT_EQ(100, block_size(&self->heap, two));
}

TEST_F(front, batch_out_of_range)
{
	struct privheap_batch_entry entry = { .bytes = 100 };
	__u64 max = self->info.out_batch_max;
	const struct heap *heap = &self->heap;

	EXPECT_EQ(-EINVAL, batch(heap, PRIVHEAP_BATCH_ALLOC, 0, &entry, 0));
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, PRIVHEAP_BATCH_ALLOC, 0, &entry,
				     max + 1));
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, PRIVHEAP_BATCH_ALLOC, 0, &entry,
				     UINT_MAX));
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, 0, 0, &entry, 1));
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, PRIVHEAP_BATCH_DROP + 1, 0, &entry, 1));
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, PRIVHEAP_BATCH_FREE,
				     PRIVHEAP_ALLOC_F_ZERO, &entry, 1));
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, PRIVHEAP_BATCH_GIVE,
				     PRIVHEAP_ALLOC_F_ZERO, &entry, 1));
	EXPECT_HEAP_STAT(&self->before, heap);
}

/* The array reaches into memory that is not there, or is read-only. */
TEST_F(front, batch_array_cut_off)
{
	size_t page = page_bytes(), bytes = sizeof(struct privheap_batch_entry);
	static const int prots[] = { PROT_NONE, PROT_READ };
	struct privheap_batch_entry *entries, last;
	struct privheap_stat stat;
	unsigned int i, cut;
	char *mem, *edge;

	mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	edge = mem + page;
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, mprotect(edge, page, prots[i]));
		for (cut = 0; cut < bytes; cut += 8) {
			entries = (void *)(edge - cut - 3 * bytes);
			fill_entries(entries, 3);
			ASSERT_EQ(3, batch(&self->heap, PRIVHEAP_BATCH_ALLOC, 0,
					   entries, 10));
			turn_entries(entries, 3);
			ASSERT_EQ(3, batch(&self->heap, PRIVHEAP_BATCH_FREE, 0,
					   entries, 10));
		}
		/* What is not written need not be writable. */
		memset(&last, 0, bytes);
		for (cut = 0; cut < offsetof(struct privheap_batch_entry, __reserved);
		     cut++) {
			memcpy(edge - cut, &last, cut);
			EXPECT_EQ(-EFAULT, batch(&self->heap,
						 PRIVHEAP_BATCH_ALLOC, 0,
						 (void *)(edge - cut), 10));
		}
	}
	EXPECT_EQ(-EFAULT, batch(&self->heap, PRIVHEAP_BATCH_ALLOC, 0, NULL, 10));
	EXPECT_EQ(-EFAULT, batch(&self->heap, PRIVHEAP_BATCH_FREE, 0,
				 at(UINT64_MAX - bytes + 1), 10));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_nr_blocks);
}

/* What takes away: a block, a span, the pages of a span. */
static const __u32 taking_ops[] = {
	PRIVHEAP_BATCH_FREE, PRIVHEAP_BATCH_GIVE, PRIVHEAP_BATCH_DROP,
};

static int make_for(const struct heap *heap, __u32 op, char **mem)
{
	int ret = op == PRIVHEAP_BATCH_FREE ?
		  block_alloc(heap, SPAN_PAGES * page_bytes(), mem) :
		  span_take(heap, SPAN_PAGES, mem);

	if (!ret)
		pattern_fill(*mem, SPAN_PAGES * page_bytes(), op);
	return ret;
}

static struct privheap_batch_entry entry_for(__u32 op, const char *mem)
{
	return (struct privheap_batch_entry){
		.addr = (uintptr_t)mem,
		.bytes = op == PRIVHEAP_BATCH_DROP ? SPAN_PAGES * page_bytes() : 0,
		.out_error = 77,
	};
}

/* Two entries, where the second one ends at @edge, @cut bytes after it starts. */
static void take_first_of_two(struct __test_metadata *_metadata,
			      const struct heap *heap, __u32 op, char *edge,
			      unsigned int cut, const char *second_mem)
{
	size_t length = SPAN_PAGES * page_bytes();
	struct privheap_batch_entry *first, second;
	struct privheap_stat before, after;
	char *first_mem;

	ASSERT_EQ(0, heap_stat(heap, &before));
	ASSERT_EQ(0, make_for(heap, op, &first_mem));
	first = (void *)(edge - cut - sizeof(*first));
	*first = entry_for(op, first_mem);
	second = entry_for(op, second_mem);
	memcpy(first + 1, &second, cut);
	EXPECT_EQ(1, batch(heap, op, 0, first, 2));
	EXPECT_EQ(0, first->out_error);
	EXPECT_EQ(0, memcmp(first + 1, &second, cut));
	if (op == PRIVHEAP_BATCH_DROP)	/* of which no more is gone than memory */
		ASSERT_EQ(0, span_give(heap, first_mem));
	ASSERT_EQ(0, heap_stat(heap, &after));
	EXPECT_EQ(before.out_nr_blocks, after.out_nr_blocks);
	EXPECT_EQ(before.out_taken_bytes, after.out_taken_bytes);
	EXPECT_TRUE(pattern_check(second_mem, length, op));
}

/* What the second entry names stays, wherever that one is cut off. */
TEST_F(front, batch_entry_cut_off)
{
	size_t page = page_bytes(), bytes;
	struct privheap_batch_entry entry;
	char *mem, *edge, *second;
	unsigned int i, cut;

	mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	edge = mem + page;
	for (i = 0; i < ARRAY_SIZE(taking_ops); i++) {
		ASSERT_EQ(0, make_for(&self->heap, taking_ops[i], &second));
		ASSERT_EQ(0, mprotect(edge, page, PROT_NONE));
		for (cut = 0; cut < sizeof(entry); cut++)
			take_first_of_two(_metadata, &self->heap, taking_ops[i],
					  edge, cut, second);
		/* What is not written need not be writable. */
		ASSERT_EQ(0, mprotect(edge, page, PROT_READ | PROT_WRITE));
		entry = entry_for(taking_ops[i], second);
		bytes = offsetof(struct privheap_batch_entry, __reserved);
		for (cut = 0; cut < bytes; cut++) {
			ASSERT_EQ(0, mprotect(edge, page, PROT_READ | PROT_WRITE));
			memcpy(edge, (char *)&entry + cut, sizeof(entry) - cut);
			ASSERT_EQ(0, mprotect(edge, page, PROT_READ));
			take_first_of_two(_metadata, &self->heap, taking_ops[i],
					  edge, cut, second);
		}
		*(struct privheap_batch_entry *)mem = entry;
		if (taking_ops[i] == PRIVHEAP_BATCH_DROP) {
			EXPECT_EQ(0, span_give(&self->heap, second));
		} else {
			EXPECT_EQ(1, batch(&self->heap, taking_ops[i], 0,
					   (void *)mem, 1));
		}
	}
}

TEST_F(front, batch_gives_spans)
{
	struct privheap_batch_entry entries[6] = { 0 };
	struct privheap_stat stat;
	__u64 spans[4];
	int i;

	ASSERT_EQ(0, take_all(&self->heap, spans, 4, SPAN_PAGES));
	for (i = 0; i < 4; i++)
		entries[i].addr = spans[i];
	entries[4].addr = spans[2];
	entries[5].addr = spans[2];
	entries[5].bytes = 1;
	ASSERT_EQ(6, batch(&self->heap, PRIVHEAP_BATCH_GIVE, 0, entries, 6));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, entries[i].out_error);
	}
	EXPECT_EQ(ENOENT, entries[4].out_error);
	EXPECT_EQ(EINVAL, entries[5].out_error);
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_taken_bytes);
}

static int drop(const struct heap *heap, const void *addr, size_t bytes)
{
	struct privheap_batch_entry entry = {
		.addr = (uintptr_t)addr, .bytes = bytes,
	};
	int nr = batch(heap, PRIVHEAP_BATCH_DROP, 0, &entry, 1);

	return nr < 0 ? nr : nr == 1 ? -(int)entry.out_error : -EPROTO;
}

TEST_F(front, batch_drops_pages)
{
	size_t page = page_bytes(), gone = 3 * page;
	struct privheap_stat touched, stat;
	char *span;

	ASSERT_EQ(0, span_take(&self->heap, 8, &span));
	pattern_fill(span, 8 * page, 1);
	ASSERT_EQ(0, heap_stat(&self->heap, &touched));
	ASSERT_EQ(0, drop(&self->heap, span + 2 * page, gone));
	stat = touched;
	if (!(variant->flags & PRIVHEAP_CREATE_F_BACKED))
		stat.out_resident_bytes -= gone;
	EXPECT_HEAP_STAT(&stat, &self->heap);
	EXPECT_TRUE(pattern_check(span, 2 * page, 1));
	EXPECT_HEAP_STAT(&stat, &self->heap);
	/* What is around them is as it was, and they can be used again. */
	memset(span + 2 * page, 7, gone);
	EXPECT_TRUE(all_bytes(span + 2 * page, gone, 7));
	EXPECT_HEAP_STAT(&touched, &self->heap);
	pattern_fill(span, 8 * page, 1);
	EXPECT_TRUE(pattern_check(span, 8 * page, 1));
	EXPECT_EQ(0, span_give(&self->heap, span));
}

struct reader {
	const char *page;
	_Atomic bool started;
	_Atomic bool stop;
	int sig;
};

static void *read_all_the_time(void *arg)
{
	struct reader *reader = arg;

	while (!reader->stop && !reader->sig) {
		reader->sig = touch_read(reader->page);
		reader->started = true;
	}
	return NULL;
}

/* What is dropped stays committed: nobody who reads it meanwhile is to be killed. */
TEST_F(front, batch_drops_pages_while_read)
{
	struct reader reader = {};
	pthread_t thread;
	char *span;
	int i;

	ASSERT_EQ(0, span_take(&self->heap, 8, &span));
	memset(span, 1, 8 * page_bytes());
	reader.page = span + 4 * page_bytes();
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_all_the_time, &reader));
	while (!reader.started)
		sched_yield();
	for (i = 0; i < 3000 && !reader.sig; i++) {
		ASSERT_EQ(0, drop(&self->heap, span, 8 * page_bytes()));
	}
	reader.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, reader.sig);
	EXPECT_EQ(0, span_give(&self->heap, span));
}

TEST_F(front, batch_drops_no_wrong_pages)
{
	struct privheap_batch_entry entry = { 0 };
	const struct heap *heap = &self->heap;
	size_t page = page_bytes();
	struct privheap_stat stat;
	char *span, *block;

	ASSERT_EQ(0, block_alloc(heap, 20 * page, &block));
	ASSERT_EQ(0, span_take(heap, 4, &span));
	pattern_fill(block, 20 * page, 1);
	pattern_fill(span, 4 * page, 2);
	ASSERT_EQ(0, heap_stat(heap, &stat));
	EXPECT_EQ(-EINVAL, drop(heap, span, 0));
	EXPECT_EQ(-EINVAL, drop(heap, span + 1, page));
	EXPECT_EQ(-EINVAL, drop(heap, span, page + 1));
	EXPECT_EQ(-ENOENT, drop(heap, span, 5 * page));
	EXPECT_EQ(-ENOENT, drop(heap, span - page, 2 * page));
	EXPECT_EQ(-ENOENT, drop(heap, span + 3 * page, 2 * page));
	EXPECT_EQ(-ENOENT, drop(heap, span, -page));
	EXPECT_EQ(-ENOENT, drop(heap, block, page));
	EXPECT_EQ(-ENOENT, drop(heap, NULL, page));
	EXPECT_EQ(-ENOENT, drop(heap, at(-page), page));
	entry.addr = (uintptr_t)span;
	entry.bytes = page;
	entry.align = 16;
	ASSERT_EQ(1, batch(heap, PRIVHEAP_BATCH_DROP, 0, &entry, 1));
	EXPECT_EQ(EINVAL, entry.out_error);
	EXPECT_EQ(-EOPNOTSUPP, batch(heap, PRIVHEAP_BATCH_DROP,
				     PRIVHEAP_ALLOC_F_ZERO, &entry, 1));
	EXPECT_HEAP_STAT(&stat, heap);
	EXPECT_TRUE(pattern_check(block, 20 * page, 1));
	EXPECT_TRUE(pattern_check(span, 4 * page, 2));
	ASSERT_EQ(0, span_give(heap, span));
	EXPECT_EQ(-ENOENT, drop(heap, span, page));
	EXPECT_EQ(0, block_free(heap, block));
}

/* The call, and then its entries, lie in the block that it frees. */
TEST_F(front, batch_frees_itself)
{
	size_t bytes = 256 * 1024;
	struct privheap_batch_entry *entry, outside;
	struct privheap_batch *arg, aside;
	struct privheap_stat stat;
	int inside;
	char *block;

	for (inside = 0; inside < 2; inside++) {
		ASSERT_EQ(0, block_alloc(&self->heap, bytes, &block));
		arg = inside ? &aside : (void *)(block + bytes / 2);
		entry = inside ? (void *)(block + bytes / 2) : &outside;
		*entry = (struct privheap_batch_entry){
			.addr = (uintptr_t)block,
			.out_error = 77,
		};
		*arg = (struct privheap_batch){
			.size = sizeof(*arg),
			.heap = self->heap.id,
			.entries = (uintptr_t)entry,
			.nr_entries = 1,
			.op = PRIVHEAP_BATCH_FREE,
		};
		EXPECT_EQ(0, privheap_ioctl(self->fd, PRIVHEAP_IOC_BATCH, arg));
		EXPECT_EQ(-ENOENT, block_size(&self->heap, block));
		if (inside) {
			EXPECT_EQ(1, aside.out_nr_done);
		} else {
			EXPECT_EQ(0, outside.out_error);
		}
		ASSERT_EQ(0, heap_stat(&self->heap, &stat));
		EXPECT_EQ(0, stat.out_nr_blocks);
	}
}

/*
 * Signals a thread as soon as its batch has begun. The call ends early, tells how
 * far it came, and the caller can go on from there.
 */
struct signaller {
	pthread_t target;
	const struct privheap_batch_entry *first;
};

static void do_nothing(int sig)
{
	(void)sig;
}

static void *signal_running_batch(void *data)
{
	const struct signaller *signaller = data;

	while (__atomic_load_n(&signaller->first->out_error,
			       __ATOMIC_ACQUIRE) == 77)
		;
	pthread_kill(signaller->target, SIGUSR1);
	return NULL;
}

TEST_F_TIMEOUT(front, batch_ends_at_signal, 300)
{
	enum { COUNT = 65536 };
	struct sigaction action = { .sa_handler = do_nothing };
	struct privheap_batch_entry *entries;
	struct signaller signaller;
	int i, done, tries;
	pthread_t thread;

	entries = mmap(NULL, COUNT * sizeof(*entries), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, entries);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	signaller.target = pthread_self();
	signaller.first = entries;
	/* The signal may come too late. */
	for (done = COUNT, tries = 0; done == COUNT && tries < 50; tries++) {
		for (i = 0; i < COUNT; i++)
			entries[i] = (struct privheap_batch_entry){
				.bytes = 16,
				.out_error = 77,
			};
		ASSERT_EQ(0, pthread_create(&thread, NULL, signal_running_batch,
					    &signaller));
		done = batch(&self->heap, PRIVHEAP_BATCH_ALLOC, 0, entries,
			     COUNT);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_LT(0, done);
		for (i = 0; i < COUNT; i++)
			if (entries[i].out_error != (i < done ? 0 : 77))
				break;
		EXPECT_EQ(COUNT, i);
		turn_entries(entries, done);
		for (i = 0; i < done;)
			i += batch(&self->heap, PRIVHEAP_BATCH_FREE, 0,
				   entries + i, done - i);
		for (i = 0; i < done; i++)
			if (entries[i].out_error)
				break;
		EXPECT_EQ(done, i);
	}
	EXPECT_LT(done, COUNT);
}

/* Counters */

#define COUNTERS(blocks, bytes) \
	((struct privheap_counters){ .nr_blocks = blocks, \
				     .allocated_bytes = bytes })

#define EXPECT_COUNTS(nr_blocks, allocated_bytes)			\
	do {								\
		struct privheap_stat stat_;				\
									\
		EXPECT_EQ(0, heap_stat(&self->heap, &stat_));		\
		EXPECT_EQ(nr_blocks, stat_.out_nr_blocks);		\
		EXPECT_EQ(allocated_bytes, stat_.out_allocated_bytes);	\
	} while (0)

TEST_F(front, count_adds_to_statistics)
{
	struct privheap_counters counters[3] = { 0 };
	char *span, *block;

	ASSERT_EQ(0, span_take(&self->heap, 4, &span));
	ASSERT_EQ(0, block_alloc(&self->heap, 100, &block));
	ASSERT_EQ(0, heap_count(&self->heap, &counters[0]));
	ASSERT_EQ(0, heap_count(&self->heap, &counters[1]));
	EXPECT_COUNTS(1, 100);
	counters[0] = COUNTERS(10, 500);
	EXPECT_COUNTS(11, 600);
	/* Allocated in one place, freed in another. */
	counters[1] = COUNTERS(-4, -200);
	EXPECT_COUNTS(7, 400);
	counters[2] = COUNTERS(1, 1);	/* nobody's */
	EXPECT_COUNTS(7, 400);
}

/* No claim that cannot be true is repeated. */
TEST_F(front, count_is_bounded)
{
	size_t bytes = 4 * page_bytes();
	struct privheap_counters counters;
	char *span;

	ASSERT_EQ(0, heap_count(&self->heap, &counters));
	counters = COUNTERS(5, 100);
	EXPECT_COUNTS(0, 0);
	ASSERT_EQ(0, span_take(&self->heap, 4, &span));
	EXPECT_COUNTS(5, 100);
	counters = COUNTERS(INT64_MAX, INT64_MAX);
	EXPECT_COUNTS(bytes / 16, bytes);
	counters = COUNTERS(INT64_MIN, INT64_MIN);
	EXPECT_COUNTS(0, 0);
	ASSERT_EQ(0, span_give(&self->heap, span));
	counters = COUNTERS(5, 100);
	EXPECT_COUNTS(0, 0);
}

TEST_F(front, count_at_wrong_address)
{
	size_t page = page_bytes();
	char *mem = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, mprotect(mem + page, page, PROT_READ));
	ASSERT_EQ(0, mprotect(mem + 2 * page, page, PROT_NONE));
	for (i = 1; i < 32; i++) {
		EXPECT_EQ(-EINVAL, heap_count(&self->heap, (void *)(mem + i)));
	}
	EXPECT_EQ(-EFAULT, heap_count(&self->heap, (void *)(mem + page)));
	EXPECT_EQ(-EFAULT, heap_count(&self->heap, (void *)(mem + 2 * page)));
	EXPECT_EQ(-EFAULT, heap_count(&self->heap, NULL));
	EXPECT_EQ(-EFAULT, heap_count(&self->heap, at(UINT64_MAX - 31)));
	EXPECT_HEAP_STAT(&self->before, &self->heap);
}

/* Counters are charged to the process like pages. */
TEST_F(front, count_over_limit)
{
	static struct privheap_counters counters;
	struct privheap_limit limit;

	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = limit.out_usage_bytes));
	EXPECT_EQ(-EDQUOT, heap_count(&self->heap, &counters));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	EXPECT_EQ(1, limit.out_nr_failures);
	EXPECT_EQ(limit.out_hard_bytes, limit.out_usage_bytes);
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = PRIVHEAP_LIMIT_NONE));
}

/* Before that, idle pages go: those of the heap, and of others of the process. */
TEST_F(front, count_makes_idle_pages_go)
{
	static struct privheap_counters counters;
	struct privheap_limit limit;
	struct heap other;
	char *block;

	ASSERT_EQ(0, heap_create(&other, self->fd, .max_bytes = MIB,
				 .idle_bytes = MIB));
	ASSERT_EQ(0, block_alloc(&other, MIB / 2, &block));
	memset(block, 1, MIB / 2);
	ASSERT_EQ(0, block_free(&other, block));
	ASSERT_EQ(0, process_limit(self->fd, &limit));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = limit.out_usage_bytes));
	EXPECT_EQ(0, heap_count(&self->heap, &counters));
	ASSERT_EQ(0, process_limit(self->fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = PRIVHEAP_LIMIT_NONE));
	EXPECT_EQ(0, limit.out_nr_failures);
	EXPECT_EQ(0, heap_destroy(&other));
}

/* Of a file, of a heap, or a part of a huge page. */
TEST_F(front, count_in_wrong_memory)
{
	size_t page = page_bytes();
	char *mem = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, page, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct privheap_stat before;
	char *huge, *span;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_EQ(0, span_take(&self->heap, 1, &span));
	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	if (has_huge_pages()) {
		huge = at(((uintptr_t)mem + 2 * MIB - 1) & -(2 * MIB));
		ASSERT_EQ(0, madvise(huge, 2 * MIB, MADV_HUGEPAGE));
		memset(huge, 1, 2 * MIB);
		ASSERT_EQ(0, madvise(huge, 2 * MIB, MADV_COLLAPSE));
		EXPECT_EQ(-EOPNOTSUPP, heap_count(&self->heap, (void *)huge));
		EXPECT_EQ(-EOPNOTSUPP,
			  heap_count(&self->heap, (void *)(huge + page)));
	}
	EXPECT_EQ(-EOPNOTSUPP, heap_count(&self->heap, (void *)shared));
	EXPECT_EQ(-EOPNOTSUPP, heap_count(&self->heap, (void *)span));
	EXPECT_HEAP_STAT(&before, &self->heap);
}

#define MAX_COUNTERS	1024U

TEST_F(front, count_again_or_too_often)
{
	size_t bytes = (MAX_COUNTERS + 1) * sizeof(struct privheap_counters);
	struct privheap_counters *counters;
	struct privheap_limit before, after;
	unsigned int i;
	char *span;

	counters = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, counters);
	ASSERT_EQ(0, span_take(&self->heap, 4, &span));
	for (i = 0; i < MAX_COUNTERS; i++) {
		ASSERT_EQ(0, heap_count(&self->heap, &counters[i]));
		ASSERT_EQ(-EEXIST, heap_count(&self->heap, &counters[i]));
		counters[i] = COUNTERS(1, 1);
	}
	ASSERT_EQ(0, process_limit(self->fd, &before));
	counters[i] = COUNTERS(1, 1);
	EXPECT_EQ(-EMFILE, heap_count(&self->heap, &counters[i]));
	EXPECT_EQ(-EEXIST, heap_count(&self->heap, &counters[0]));
	EXPECT_EQ(-EEXIST, heap_count(&self->heap, &counters[i - 1]));
	EXPECT_COUNTS(MAX_COUNTERS, MAX_COUNTERS);
	ASSERT_EQ(0, process_limit(self->fd, &after));
	EXPECT_EQ(before.out_usage_bytes, after.out_usage_bytes);
}

TEST(count_too_often_in_page)
{
	size_t page = page_bytes(), i, nr = page / sizeof(struct privheap_counters);
	struct privheap_counters *counters;
	int fd = privheap_open();
	struct heap heaps[32], more;

	ASSERT_LE(0, fd);
	ASSERT_GE(32 * nr, MAX_COUNTERS);
	counters = mmap(NULL, page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, counters);
	ASSERT_EQ(0, heap_create(&more, fd));
	for (i = 0; i < MAX_COUNTERS; i++) {
		if (i % nr == 0)
			ASSERT_EQ(0, heap_create(&heaps[i / nr], fd));
		ASSERT_EQ(0, heap_count(&heaps[i / nr], &counters[i % nr]));
	}
	EXPECT_EQ(-EMFILE, heap_count(&more, counters));
	ASSERT_EQ(0, heap_destroy(&heaps[0]));
	EXPECT_EQ(0, heap_count(&more, counters));
	close(fd);
}

/* An allocation that was refused has crossed nothing. */
TEST(count_after_refused_allocation)
{
	size_t page = page_bytes();
	static struct privheap_counters counters;
	struct privheap_limit limit;
	int fd = privheap_open();
	struct heap heap;
	char *span;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd, .soft_bytes = 8 * page));
	ASSERT_EQ(0, process_limit(fd, &limit));
	ASSERT_EQ(0, process_limit(fd, &limit, .flags = PRIVHEAP_LIMIT_F_HARD,
				   .hard_bytes = limit.out_usage_bytes +
						 4 * page));
	EXPECT_EQ(-EDQUOT, span_take(&heap, 16, &span));
	EXPECT_EQ(0, heap_count(&heap, &counters));
	ASSERT_EQ(0, heap_limit(&heap, &limit));
	EXPECT_EQ(0, limit.out_nr_soft_hits);
	close(fd);
}

/* The page lives on for as long as it counts. */
TEST_F(front, count_in_memory_that_goes)
{
	size_t page = page_bytes();
	struct privheap_counters *counters;
	char *span;

	ASSERT_EQ(0, span_take(&self->heap, 4, &span));
	counters = mmap(NULL, page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, counters);
	ASSERT_EQ(0, heap_count(&self->heap, counters));
	*counters = COUNTERS(3, 30);
	ASSERT_EQ(0, munmap(counters, page));
	EXPECT_COUNTS(3, 30);

	ASSERT_EQ(0, heap_destroy(&self->heap));
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	EXPECT_COUNTS(0, 0);
}

/* A reset takes the spans back, and says so to each that counts. */
TEST_F(front, reset_takes_spans_back)
{
	static struct privheap_counters counters[2];
	struct privheap_stat stat;
	__u64 spans[4], again[4];
	size_t kept;
	int i;

	ASSERT_EQ(0, take_all(&self->heap, spans, 4, SPAN_PAGES));
	ASSERT_EQ(0, heap_count(&self->heap, &counters[0]));
	ASSERT_EQ(0, heap_count(&self->heap, &counters[1]));
	counters[0] = COUNTERS(12, 500);
	counters[1] = COUNTERS(-2, -100);
	counters[0].key = counters[1].key = 77;
	EXPECT_COUNTS(10, 400);

	ASSERT_EQ(0, heap_reset(&self->heap, 0, &kept));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(0, stat.out_taken_bytes);
	EXPECT_EQ(self->before.out_committed_bytes + stat.out_idle_bytes,
		  stat.out_committed_bytes);
	EXPECT_COUNTS(0, 0);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(PRIVHEAP_COUNTERS_RESET, counters[i].key);
		EXPECT_EQ(0, counters[i].nr_blocks);
		EXPECT_EQ(0, counters[i].allocated_bytes);
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-ENOENT, span_give(&self->heap, at(spans[i])));
	}

	/* They count again, for spans that are taken from now on. */
	ASSERT_EQ(0, take_all(&self->heap, again, 4, SPAN_PAGES));
	counters[0] = COUNTERS(1, 10);
	EXPECT_COUNTS(1, 10);
}

TEST(give_in_secret_heap_wipes)
{
	char *span, *again, zero = 0;
	struct heap heap;
	size_t i, bytes = 4 * page_bytes();
	int fd = privheap_open();

	ASSERT_LE(0, fd);
	/* Of its initial pages, which stay. */
	ASSERT_EQ(0, heap_create(&heap, fd, .flags = PRIVHEAP_CREATE_F_SECRET,
				 .initial_bytes = bytes));
	ASSERT_EQ(0, span_take(&heap, 4, &span));
	memset(span, 0xa5, bytes);
	ASSERT_EQ(0, span_give(&heap, span));
	ASSERT_EQ(0, span_take(&heap, 4, &again));
	ASSERT_EQ(span, again);
	for (i = 0; i < bytes; i++)
		zero |= again[i];
	EXPECT_EQ(0, zero);
	close(fd);
}

TEST(take_tells_of_soft_limit)
{
	struct privheap_take arg = { .size = sizeof(arg), .nr_spans = 1 };
	struct heap heap;
	__u64 span;
	int fd = privheap_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heap_create(&heap, fd, .soft_bytes = 6 * page_bytes()));
	arg.heap = heap.id;
	arg.spans = (uintptr_t)&span;
	arg.nr_pages = 4;
	ASSERT_EQ(0, privheap_ioctl(fd, PRIVHEAP_IOC_TAKE, &arg));
	EXPECT_EQ(0, arg.out_notice);
	ASSERT_EQ(0, privheap_ioctl(fd, PRIVHEAP_IOC_TAKE, &arg));
	EXPECT_EQ(PRIVHEAP_NOTICE_SOFT(PRIVHEAP_SCOPE_HEAP), arg.out_notice);
	EXPECT_EQ(PRIVHEAP_TAKE_S_NEAR, arg.out_state);
	arg.out_notice = 0;
	ASSERT_EQ(0, privheap_ioctl(fd, PRIVHEAP_IOC_TAKE, &arg));
	EXPECT_EQ(0, arg.out_notice);
	close(fd);
}

/* An injected failure of the one before says nothing about the next call. */
TEST_F(front, take_with_injected_failure)
{
	struct privheap_inject arg = {
		.size = sizeof(arg), .heap = self->heap.id, .nth = 1,
	};
	char *span = NULL;

	ASSERT_EQ(0, privheap_ioctl(self->fd, PRIVHEAP_IOC_INJECT, &arg));
	EXPECT_EQ(-ENOMEM, span_take(&self->heap, 4, &span));
	EXPECT_EQ(0, span_take(&self->heap, 4, &span));
	EXPECT_EQ(0, span_give(&self->heap, span));
}

/* What a child writes to its copy is not the parent's. */
TEST_F(front, count_after_fork)
{
	static struct privheap_counters counters;
	char *span;
	pid_t pid;

	ASSERT_EQ(0, span_take(&self->heap, 4, &span));
	ASSERT_EQ(0, heap_count(&self->heap, &counters));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		counters = COUNTERS(100, 1000);
		_exit(0);
	}
	counters = COUNTERS(1, 10);
	EXPECT_EQ(0, child_wait(pid));
	EXPECT_COUNTS(1, 10);
	counters = COUNTERS(2, 20);
	EXPECT_COUNTS(2, 20);
}

TEST_HARNESS_MAIN
