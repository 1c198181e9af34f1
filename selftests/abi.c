// SPDX-License-Identifier: GPL-2.0-only
/*
 * The form of the calls: lengths, flags, user buffers of all kinds, and that a
 * call which is refused has done nothing.
 *
 * Nearly every test here runs for every call (the variants below), with
 * arguments that would succeed but for the one thing that is wrong.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "privheap_util.h"

union call_arg {
	struct privheap_info info;
	struct privheap_create create;
	struct privheap_destroy destroy;
	struct privheap_stat stat;
	struct privheap_alloc alloc;
	struct privheap_realloc realloc;
	struct privheap_free free;
	struct privheap_size size;
	struct privheap_walk walk;
	struct privheap_compact compact;
	struct privheap_policy policy;
	struct privheap_reset reset;
	struct privheap_inject inject;
	struct privheap_commit commit;
	struct privheap_decommit decommit;
	struct privheap_prefault prefault;
	struct privheap_limit limit;
	struct privheap_guard_alloc guard_alloc;
	struct privheap_guard_free guard_free;
	struct privheap_describe describe;
	struct privheap_take take;
	struct privheap_batch batch;
	struct privheap_count count;
	struct privheap_pagemap pagemap;
};

#define OLD_BYTES	64UL	/* of the block that the calls find */
#define OLD_SEED	7

FIXTURE(call) {
	int fd;
	struct heap heap;
	char *block;
	char *pages;
	char *guarded;
	struct privheap_entry entries[4];
	struct privheap_batch_entry batch[4];
	__u64 spans[4];
	/* What there was before the call under test. */
	struct privheap_stat before;
	int nr_maps;
};

/*
 * @nr: the call
 * @size: of its structure
 * @out_start, @out_end: where its outputs lie, both @size if there are none
 * @flags: those that are defined
 * @bytes: what to ask for
 */
FIXTURE_VARIANT(call) {
	unsigned long nr;
	__u32 size;
	__u32 out_start;
	__u32 out_end;
	__u32 flags;
	size_t bytes;
};

#define CALL_RANGE(name, type, start, end)			\
	.nr = PRIVHEAP_IOC_##name,				\
	.size = sizeof(struct privheap_##type),			\
	.out_start = start,					\
	.out_end = end

/* A call with outputs, of which @first_out is the first, ... */
#define CALL_OUT(name, type, first_out)				\
	CALL_RANGE(name, type,					\
		   offsetof(struct privheap_##type, first_out),	\
		   sizeof(struct privheap_##type))

/* ... and one that has only inputs. */
#define CALL_IN(name, type)					\
	CALL_RANGE(name, type, sizeof(struct privheap_##type),	\
		   sizeof(struct privheap_##type))

FIXTURE_VARIANT_ADD(call, info) {
	CALL_OUT(INFO, info, out_abi_version),
};

FIXTURE_VARIANT_ADD(call, create_growable) {
	CALL_OUT(CREATE, create, out_heap),
	.flags = PRIVHEAP_CREATE_F_ALL,
};

FIXTURE_VARIANT_ADD(call, create_fixed) {
	CALL_OUT(CREATE, create, out_heap),
	.flags = PRIVHEAP_CREATE_F_ALL,
	.bytes = MIB,
};

FIXTURE_VARIANT_ADD(call, destroy) {
	CALL_IN(DESTROY, destroy),
};

FIXTURE_VARIANT_ADD(call, stat) {
	CALL_OUT(STAT, stat, out_create_flags),
};

/* A slot of a new span, ... */
FIXTURE_VARIANT_ADD(call, alloc_slot) {
	CALL_OUT(ALLOC, alloc, out_notice),
	.flags = PRIVHEAP_ALLOC_F_ALL,
	.bytes = 700,
};

/* ... whole pages, ... */
FIXTURE_VARIANT_ADD(call, alloc_pages) {
	CALL_OUT(ALLOC, alloc, out_notice),
	.flags = PRIVHEAP_ALLOC_F_ALL,
	.bytes = 300 * KIB,
};

/* ... and a region of its own. */
FIXTURE_VARIANT_ADD(call, alloc_region) {
	CALL_OUT(ALLOC, alloc, out_notice),
	.flags = PRIVHEAP_ALLOC_F_ALL,
	.bytes = 3 * MIB,
};

FIXTURE_VARIANT_ADD(call, realloc_stays) {
	CALL_OUT(REALLOC, realloc, out_notice),
	.flags = PRIVHEAP_REALLOC_F_ALL,
	.bytes = OLD_BYTES - 1,
};

FIXTURE_VARIANT_ADD(call, realloc_moves) {
	CALL_OUT(REALLOC, realloc, out_notice),
	.flags = PRIVHEAP_REALLOC_F_ALL,
	.bytes = 300 * KIB,
};

FIXTURE_VARIANT_ADD(call, realloc_to_region) {
	CALL_OUT(REALLOC, realloc, out_notice),
	.flags = PRIVHEAP_REALLOC_F_ALL,
	.bytes = 3 * MIB,
};

FIXTURE_VARIANT_ADD(call, free) {
	CALL_IN(FREE, free),
};

FIXTURE_VARIANT_ADD(call, size) {
	CALL_OUT(SIZE, size, out_bytes),
};

FIXTURE_VARIANT_ADD(call, walk) {
	CALL_RANGE(WALK, walk,
		   offsetof(struct privheap_walk, out_nr_entries),
		   offsetof(struct privheap_walk, __reserved)),
};

FIXTURE_VARIANT_ADD(call, compact) {
	CALL_OUT(COMPACT, compact, out_largest_free_bytes),
};

FIXTURE_VARIANT_ADD(call, reset) {
	CALL_OUT(RESET, reset, out_idle_bytes),
};

FIXTURE_VARIANT_ADD(call, commit) {
	CALL_OUT(COMMIT, commit, out_done_bytes),
};

FIXTURE_VARIANT_ADD(call, decommit) {
	CALL_OUT(DECOMMIT, decommit, out_done_bytes),
};

FIXTURE_VARIANT_ADD(call, prefault) {
	CALL_OUT(PREFAULT, prefault, out_done_bytes),
};

FIXTURE_VARIANT_ADD(call, policy) {
	CALL_IN(POLICY, policy),
};

FIXTURE_VARIANT_ADD(call, inject) {
	CALL_IN(INJECT, inject),
};

FIXTURE_VARIANT_ADD(call, limit) {
	CALL_OUT(LIMIT, limit, out_hard_bytes),
	.flags = PRIVHEAP_LIMIT_F_ALL,
};

FIXTURE_VARIANT_ADD(call, guard_alloc) {
	CALL_OUT(GUARD_ALLOC, guard_alloc, out_addr),
	.flags = PRIVHEAP_GUARD_ALLOC_F_ALL,
	.bytes = 700,
};

FIXTURE_VARIANT_ADD(call, guard_alloc_to_region) {
	CALL_OUT(GUARD_ALLOC, guard_alloc, out_addr),
	.flags = PRIVHEAP_GUARD_ALLOC_F_ALL,
	.bytes = 3 * MIB,
};

FIXTURE_VARIANT_ADD(call, guard_free) {
	CALL_IN(GUARD_FREE, guard_free),
};

FIXTURE_VARIANT_ADD(call, describe) {
	CALL_OUT(DESCRIBE, describe, out_state),
};

FIXTURE_VARIANT_ADD(call, take) {
	CALL_OUT(TAKE, take, out_nr_spans),
};

FIXTURE_VARIANT_ADD(call, batch) {
	CALL_RANGE(BATCH, batch,
		   offsetof(struct privheap_batch, out_nr_done),
		   offsetof(struct privheap_batch, __reserved)),
	.flags = PRIVHEAP_ALLOC_F_ALL,
};

FIXTURE_VARIANT_ADD(call, count) {
	CALL_IN(COUNT, count),
};

FIXTURE_VARIANT_ADD(call, pagemap) {
	CALL_OUT(PAGEMAP, pagemap, out_map),
};

FIXTURE_SETUP(call)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(call)
{
	close(self->fd);
}

static bool is_about_guards(unsigned long nr)
{
	return nr == PRIVHEAP_IOC_GUARD_ALLOC ||
	       nr == PRIVHEAP_IOC_GUARD_FREE || nr == PRIVHEAP_IOC_DESCRIBE;
}

/* Makes a new heap with a block to work on, and remembers how it looks. */
static void prepare_heap(struct __test_metadata *_metadata,
			 FIXTURE_DATA(call) *self,
			 const FIXTURE_VARIANT(call) *variant)
{
	char *other;

	if (is_about_guards(variant->nr)) {
		ASSERT_EQ(0, heap_create(&self->heap, self->fd,
					 .flags = PRIVHEAP_CREATE_F_GUARD,
					 .quarantine_bytes = MIB));
		ASSERT_EQ(0, block_alloc_guarded(&self->heap, OLD_BYTES, 0, 0,
						 1, &self->guarded));
	} else {
		ASSERT_EQ(0, heap_create(&self->heap, self->fd));
	}
	ASSERT_EQ(0, block_alloc(&self->heap, OLD_BYTES, &self->block));
	ASSERT_EQ(0, block_alloc(&self->heap, 64 * KIB, &self->pages));
	/* Something to compact. */
	ASSERT_EQ(0, block_alloc(&self->heap, 3000, &other));
	ASSERT_EQ(0, block_free(&self->heap, other));
	pattern_fill(self->block, OLD_BYTES, OLD_SEED);
	ASSERT_EQ(0, heap_stat(&self->heap, &self->before));
	self->nr_maps = maps_heaps();
}

static char *map_zeroed(struct __test_metadata *_metadata, size_t bytes)
{
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	return mem;
}

/* Arguments that succeed, for a new heap, with outputs that are marked. */
static union call_arg prepare(struct __test_metadata *_metadata,
			      FIXTURE_DATA(call) *self,
			      const FIXTURE_VARIANT(call) *variant)
{
	union call_arg arg;

	prepare_heap(_metadata, self, variant);
	memset(&arg, 0, sizeof(arg));
	arg.info.size = variant->size;
	if (variant->nr != PRIVHEAP_IOC_INFO &&
	    variant->nr != PRIVHEAP_IOC_CREATE)
		arg.destroy.heap = self->heap.id;
	switch (variant->nr) {
	case PRIVHEAP_IOC_CREATE:
		arg.create.max_bytes = variant->bytes;
		break;
	case PRIVHEAP_IOC_ALLOC:
		arg.alloc.bytes = variant->bytes;
		break;
	case PRIVHEAP_IOC_REALLOC:
		arg.realloc.addr = (uintptr_t)self->block;
		arg.realloc.bytes = variant->bytes;
		break;
	case PRIVHEAP_IOC_FREE:
	case PRIVHEAP_IOC_SIZE:
		arg.free.addr = (uintptr_t)self->block;
		break;
	case PRIVHEAP_IOC_GUARD_ALLOC:
		arg.guard_alloc.bytes = variant->bytes;
		break;
	case PRIVHEAP_IOC_GUARD_FREE:
		arg.guard_free.addr = (uintptr_t)self->guarded;
		break;
	case PRIVHEAP_IOC_DESCRIBE:
		arg.describe.addr = (uintptr_t)self->guarded - 1;
		break;
	case PRIVHEAP_IOC_COMMIT:
	case PRIVHEAP_IOC_DECOMMIT:
	case PRIVHEAP_IOC_PREFAULT:
		arg.prefault.addr = (uintptr_t)self->pages;
		arg.prefault.bytes = page_bytes();
		break;
	case PRIVHEAP_IOC_WALK:
		arg.walk.entries = (uintptr_t)self->entries;
		arg.walk.nr_entries = ARRAY_SIZE(self->entries);
		break;
	case PRIVHEAP_IOC_LIMIT:
		arg.limit.scope = PRIVHEAP_SCOPE_HEAP;
		break;
	case PRIVHEAP_IOC_TAKE:
		arg.take.spans = (uintptr_t)self->spans;
		arg.take.nr_spans = ARRAY_SIZE(self->spans);
		arg.take.nr_pages = 3;
		break;
	case PRIVHEAP_IOC_BATCH:
		memset(self->batch, 0, sizeof(self->batch));
		arg.batch.entries = (uintptr_t)self->batch;
		arg.batch.nr_entries = ARRAY_SIZE(self->batch);
		arg.batch.op = PRIVHEAP_BATCH_ALLOC;
		break;
	case PRIVHEAP_IOC_COUNT:
		arg.count.counters = (uintptr_t)map_zeroed(_metadata,
							   page_bytes());
		break;
	}
	memset((char *)&arg + variant->out_start, OUT_PATTERN,
	       variant->out_end - variant->out_start);
	return arg;
}

static void expect_nothing_done(struct __test_metadata *_metadata,
				FIXTURE_DATA(call) *self)
{
	EXPECT_HEAP_STAT(&self->before, &self->heap);
	EXPECT_EQ(self->nr_maps, maps_heaps());
	EXPECT_EQ((long)OLD_BYTES, block_size(&self->heap, self->block));
	EXPECT_TRUE(pattern_check(self->block, OLD_BYTES, OLD_SEED));
}

/* @arg is refused with @err and left alone; nothing was done. */
static void expect_refused(struct __test_metadata *_metadata,
			   FIXTURE_DATA(call) *self,
			   const FIXTURE_VARIANT(call) *variant, int err,
			   void *arg)
{
	char before[sizeof(union call_arg)];

	memcpy(before, arg, variant->size);
	EXPECT_EQ(-err, privheap_ioctl(self->fd, variant->nr, arg));
	EXPECT_EQ(0, memcmp(before, arg, variant->size));
	expect_nothing_done(_metadata, self);
}

/* The outputs in @arg are those of a call that succeeded. */
static void expect_answered(struct __test_metadata *_metadata,
			    const FIXTURE_VARIANT(call) *variant,
			    const union call_arg *before, const char *arg)
{
	size_t nr_bytes = variant->out_end - variant->out_start;

	EXPECT_EQ(0, memcmp(before, arg, variant->out_start));
	EXPECT_EQ(0, memcmp((const char *)before + variant->out_end,
			    arg + variant->out_end,
			    variant->size - variant->out_end));
	if (nr_bytes) {
		EXPECT_FALSE(all_bytes(arg + variant->out_start, nr_bytes,
				       (char)OUT_PATTERN));
	}
}

/*
 * Two pages, of which the second has protection @prot; returns the address
 * where they meet.
 */
static char *map_edge(struct __test_metadata *_metadata, int prot)
{
	size_t page = page_bytes();
	char *mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, mprotect(mem + page, page, prot));
	return mem + page;
}

/* Without this one the others would prove nothing. */
TEST_F(call, exact_size)
{
	union call_arg before = prepare(_metadata, self, variant);
	union call_arg arg = before;

	ASSERT_EQ(0, privheap_ioctl(self->fd, variant->nr, &arg));
	expect_answered(_metadata, variant, &before, (char *)&arg);
}

TEST_F(call, size_short)
{
	union call_arg arg = prepare(_metadata, self, variant);
	__u32 size;

	for (size = 0; size < variant->size; size++) {
		arg.info.size = size;
		expect_refused(_metadata, self, variant, EINVAL, &arg);
	}
}

TEST_F(call, size_longer_zero_tail)
{
	size_t page = page_bytes();
	const size_t sizes[] = {
		variant->size + 1, variant->size + 8, 2 * variant->size, page,
	};
	char *mem = map_zeroed(_metadata, page);
	union call_arg before;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		before = prepare(_metadata, self, variant);
		before.info.size = sizes[i];
		memcpy(mem, &before, variant->size);
		EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr, mem));
		expect_answered(_metadata, variant, &before, mem);
		EXPECT_TRUE(all_bytes(mem + variant->size, page - variant->size,
				      0));
	}
}

TEST_F(call, size_longer_nonzero_tail)
{
	size_t page = page_bytes();
	const size_t places[] = {
		variant->size, variant->size + 1, variant->size + 8, page - 1,
	};
	union call_arg arg = prepare(_metadata, self, variant);
	char *mem = map_zeroed(_metadata, page);
	unsigned int i;

	arg.info.size = page;
	memcpy(mem, &arg, variant->size);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		mem[places[i]] = 1;
		expect_refused(_metadata, self, variant, E2BIG, mem);
		mem[places[i]] = 0;
	}
}

TEST_F(call, size_over_page)
{
	size_t page = page_bytes();
	const __u32 sizes[] = { page + 1, 2 * page, INT_MAX, UINT_MAX };
	union call_arg arg = prepare(_metadata, self, variant);
	char *mem = map_zeroed(_metadata, 2 * page);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		arg.info.size = sizes[i];
		memcpy(mem, &arg, variant->size);
		expect_refused(_metadata, self, variant, E2BIG, mem);
	}
}

TEST_F(call, unknown_flag)
{
	union call_arg arg = prepare(_metadata, self, variant);
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		arg.info.flags = 1U << bit;
		if (arg.info.flags & variant->flags)
			continue;
		expect_refused(_metadata, self, variant, EOPNOTSUPP, &arg);
		arg.info.flags |= variant->flags;
		expect_refused(_metadata, self, variant, EOPNOTSUPP, &arg);
	}
}

TEST_F(call, arg_unreadable)
{
	char *edge = map_edge(_metadata, PROT_NONE);
	const uintptr_t places[] = {
		0, 8, (uintptr_t)edge,
		(uintptr_t)1 << 63,			/* no address at all */
		UINTPTR_MAX - 0xffffff,			/* the kernel's */
		UINTPTR_MAX - 7,			/* wraps */
	};
	unsigned int i;

	prepare(_metadata, self, variant);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		EXPECT_EQ(-EFAULT, privheap_ioctl(self->fd, variant->nr,
						  (void *)places[i]));
		expect_nothing_done(_metadata, self);
	}
}

TEST_F(call, arg_cut_off)
{
	char *edge = map_edge(_metadata, PROT_READ | PROT_WRITE);
	union call_arg arg = prepare(_metadata, self, variant);
	__u32 mapped;

	ASSERT_EQ(0, munmap(edge, page_bytes()));
	for (mapped = 1; mapped < variant->size; mapped++) {
		memcpy(edge - mapped, &arg, mapped);
		EXPECT_EQ(-EFAULT, privheap_ioctl(self->fd, variant->nr,
						  edge - mapped));
		EXPECT_EQ(0, memcmp(edge - mapped, &arg, mapped));
		expect_nothing_done(_metadata, self);
	}
}

/* A structure that is longer than the module's counts whole. */
TEST_F(call, tail_cut_off)
{
	char *edge = map_edge(_metadata, PROT_NONE);
	union call_arg arg = prepare(_metadata, self, variant);

	arg.info.size = variant->size + 8;
	memcpy(edge - variant->size, &arg, variant->size);
	expect_refused(_metadata, self, variant, EFAULT, edge - variant->size);
}

/* Only calls that have something to write need a place to write to. */
TEST_F(call, arg_read_only)
{
	union call_arg arg = prepare(_metadata, self, variant);
	size_t page = page_bytes();
	char *mem = map_zeroed(_metadata, page);

	memcpy(mem, &arg, variant->size);
	ASSERT_EQ(0, mprotect(mem, page, PROT_READ));
	if (variant->out_start < variant->out_end) {
		expect_refused(_metadata, self, variant, EFAULT, mem);
	} else {
		EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr, mem));
	}
}

/*
 * The first bytes of the answer could be written, but not the last. Where
 * nothing is answered that must not matter.
 */
TEST_F(call, answer_half_read_only)
{
	size_t page = page_bytes();
	char *edge = map_edge(_metadata, PROT_READ | PROT_WRITE);
	union call_arg arg = prepare(_metadata, self, variant);
	__u32 writable = variant->size / 2;

	if (variant->out_start == variant->out_end) {
		memcpy(edge - writable, &arg, variant->size);
		ASSERT_EQ(0, mprotect(edge, page, PROT_READ));
		EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr,
					    edge - writable));
	}
	for (writable = variant->out_start; writable < variant->out_end;
	     writable++) {
		memcpy(edge - writable, &arg, variant->size);
		ASSERT_EQ(0, mprotect(edge, page, PROT_READ));
		EXPECT_EQ(-EFAULT, privheap_ioctl(self->fd, variant->nr,
						  edge - writable));
		EXPECT_EQ(0, memcmp(edge - writable, &arg, variant->out_start));
		expect_nothing_done(_metadata, self);
		ASSERT_EQ(0, mprotect(edge, page, PROT_READ | PROT_WRITE));
	}
}

/*
 * The answer goes to a page that the program may write to, but that is not
 * writable in the page table when the call comes to it.
 */
TEST_F(call, answer_copies_on_write)
{
	union call_arg before = prepare(_metadata, self, variant);
	char *mem = map_zeroed(_metadata, page_bytes());
	int hold[2];
	char byte;
	pid_t pid;

	memcpy(mem, &before, variant->size);
	ASSERT_EQ(0, pipe(hold));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) != 0);
	}
	EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr, mem));
	expect_answered(_metadata, variant, &before, mem);
	close(hold[1]);
	EXPECT_EQ(0, child_wait(pid));
}

TEST_F(call, arg_in_file_mapping)
{
	union call_arg before = prepare(_metadata, self, variant);
	size_t page = page_bytes();
	int file = memfd_create("arg", MFD_CLOEXEC);
	char *mem;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, page));
	ASSERT_EQ((ssize_t)variant->size, write(file, &before, variant->size));
	mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr, mem));
	expect_answered(_metadata, variant, &before, mem);
	close(file);
}

/* Does the call free the block that its structure lies in? */
static bool frees_all_blocks(const FIXTURE_VARIANT(call) *variant)
{
	return variant->nr == PRIVHEAP_IOC_DESTROY ||
	       variant->nr == PRIVHEAP_IOC_RESET;
}

/* The structure lies in a heap, even in the one that the call works on. */
TEST_F(call, arg_in_heap)
{
	union call_arg before = prepare(_metadata, self, variant);
	char *block;

	ASSERT_EQ(0, block_alloc(&self->heap, sizeof(before), &block));
	memcpy(block, &before, sizeof(before));
	EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr, block));
	if (!frees_all_blocks(variant))
		expect_answered(_metadata, variant, &before, block);
}

/* The same, and the heap's own page is not in the page table. */
TEST_F(call, arg_in_heap_unmapped_page)
{
	union call_arg before = prepare(_metadata, self, variant);
	char *block;

	ASSERT_EQ(0, block_alloc_with(&self->heap, 64 * KIB, page_bytes(), 0,
				      &block));
	memcpy(block, &before, sizeof(before));
	ASSERT_EQ(0, madvise(block, page_bytes(), MADV_DONTNEED));
	EXPECT_EQ(0, privheap_ioctl(self->fd, variant->nr, block));
	if (!frees_all_blocks(variant))
		expect_answered(_metadata, variant, &before, block);
}

FIXTURE(device) {
	int fd;
	struct heap heap;
};

FIXTURE_SETUP(device)
{
	self->fd = privheap_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, heap_create(&self->heap, self->fd));
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

TEST_F(device, info)
{
	struct privheap_info info;

	ASSERT_EQ(0, privheap_info(self->fd, &info));
	EXPECT_EQ(PRIVHEAP_ABI_VERSION, info.out_abi_version);
	EXPECT_EQ(page_bytes(), info.out_page_bytes);
	EXPECT_LE(64 * KIB, info.out_region_align_bytes);
	EXPECT_EQ(0, info.out_region_align_bytes % info.out_page_bytes);
	EXPECT_EQ(16, info.out_block_align_bytes);
	EXPECT_LE(info.out_page_bytes, info.out_align_max_bytes);
	EXPECT_EQ(0, info.out_align_max_bytes & (info.out_align_max_bytes - 1));
	EXPECT_LE(1024, info.out_slot_max_bytes);
	EXPECT_LT(info.out_slot_max_bytes, info.out_region_block_bytes);
	EXPECT_LE(1ULL << 30, info.out_max_bytes);
	EXPECT_GE(INTPTR_MAX, info.out_max_bytes);
	EXPECT_EQ(0, info.out_max_bytes % info.out_page_bytes);
	EXPECT_LE(1, info.out_take_max_spans);
	EXPECT_LE(info.out_slot_max_bytes,
		  info.out_take_max_pages * (__u64)info.out_page_bytes);
	EXPECT_LE(1, info.out_batch_max);
}

static bool is_known_call(unsigned int nr)
{
	return nr <= _IOC_NR(PRIVHEAP_IOC_RESET) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_POLICY) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_INJECT) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_COMMIT) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_DECOMMIT) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_PREFAULT) ||
	       nr == _IOC_NR(PRIVHEAP_IOC_LIMIT) ||
	       (nr >= _IOC_NR(PRIVHEAP_IOC_GUARD_ALLOC) &&
		nr <= _IOC_NR(PRIVHEAP_IOC_DESCRIBE)) ||
	       (nr >= _IOC_NR(PRIVHEAP_IOC_TAKE) &&
		nr <= _IOC_NR(PRIVHEAP_IOC_PAGEMAP));
}

TEST_F(device, unknown_call)
{
	struct privheap_stat before, arg;
	unsigned int nr;

	ASSERT_EQ(0, heap_stat(&self->heap, &before));
	for (nr = 0; nr <= 0xff; nr++) {
		if (is_known_call(nr))
			continue;
		arg = before;
		EXPECT_EQ(-ENOTTY, privheap_ioctl(self->fd,
						  _IO(PRIVHEAP_IOC_TYPE, nr),
						  &arg));
		EXPECT_EQ(0, memcmp(&before, &arg, sizeof(arg)));
	}
	EXPECT_HEAP_STAT(&before, &self->heap);
}

/* The right number with another type, or with bits for a length. */
TEST_F(device, call_of_other_form)
{
	struct privheap_stat arg = {
		.size = sizeof(arg),
		.heap = self->heap.id,
	};
	struct privheap_stat before = arg;
	const unsigned long calls[] = {
		_IO(0, 0x03), _IO(PRIVHEAP_IOC_TYPE + 1, 0x03),
		_IOR(PRIVHEAP_IOC_TYPE, 0x03, struct privheap_stat),
		_IOW(PRIVHEAP_IOC_TYPE, 0x03, struct privheap_stat),
		_IOWR(PRIVHEAP_IOC_TYPE, 0x03, struct privheap_stat),
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_EQ(-ENOTTY, privheap_ioctl(self->fd, calls[i], &arg));
	}
	EXPECT_EQ(0, memcmp(&before, &arg, sizeof(arg)));
}

TEST_F(device, reserved_member_of_batch)
{
	struct privheap_batch_entry entry = { 0 };
	struct privheap_batch arg = {
		.size = sizeof(arg),
		.heap = self->heap.id,
		.entries = (uintptr_t)&entry,
		.nr_entries = 1,
		.op = PRIVHEAP_BATCH_ALLOC,
	};
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		arg.__reserved = 1U << bit;
		arg.out_nr_done = 77;
		EXPECT_EQ(-EINVAL, privheap_ioctl(self->fd, PRIVHEAP_IOC_BATCH,
						  &arg));
		EXPECT_EQ(77, arg.out_nr_done);
	}
}

TEST_F(device, reserved_member_of_walk)
{
	struct privheap_entry entry;
	struct privheap_walk arg = {
		.size = sizeof(arg),
		.heap = self->heap.id,
		.entries = (uintptr_t)&entry,
		.nr_entries = 1,
	};
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		arg.__reserved = 1U << bit;
		arg.out_nr_entries = 77;
		EXPECT_EQ(-EINVAL, privheap_ioctl(self->fd, PRIVHEAP_IOC_WALK,
						  &arg));
		EXPECT_EQ(77, arg.out_nr_entries);
	}
}

TEST_F(device, no_file_contents)
{
	char byte = 'x';

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ('x', byte);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
}

/*
 * One thread calls, another makes the answer's page read-only and writable all
 * the time: the block exists if and only if the caller was told its address.
 */
#define RACE_CALLS	scaled(3000)

struct answer_race {
	struct privheap_alloc *arg;
	bool stop;
};

static void *protect_answer(void *data)
{
	struct answer_race *race = data;

	while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
		mprotect(race->arg, page_bytes(), PROT_READ);
		mprotect(race->arg, page_bytes(), PROT_READ | PROT_WRITE);
	}
	return NULL;
}

TEST_F_TIMEOUT(device, answer_protected_meanwhile, 120)
{
	size_t page = page_bytes();
	struct answer_race race = { .arg = mmap(NULL, page,
						PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS,
						-1, 0) };
	struct privheap_alloc arg = {
		.size = sizeof(arg),
		.heap = self->heap.id,
		.bytes = 100,
	};
	struct privheap_stat stat;
	unsigned int i, nr_blocks = 0;
	pthread_t thread;
	int ret;

	ASSERT_NE(MAP_FAILED, race.arg);
	*race.arg = arg;
	ASSERT_EQ(0, pthread_create(&thread, NULL, protect_answer, &race));
	for (i = 0; i < RACE_CALLS; i++) {
		ret = privheap_ioctl(self->fd, PRIVHEAP_IOC_ALLOC, race.arg);
		if (!ret) {
			nr_blocks++;
		} else {
			EXPECT_EQ(-EFAULT, ret);
		}
	}
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, heap_stat(&self->heap, &stat));
	EXPECT_EQ(nr_blocks, stat.out_nr_blocks);
	EXPECT_EQ(nr_blocks * 100, stat.out_allocated_bytes);
}

TEST_HARNESS_MAIN
