/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program of the fuzzer: steps of equal length, each one call with its arguments,
 * and what runs them.
 *
 * Any bytes are a valid program. Arguments choose among what the program has made so
 * far, heaps, blocks, files, more often than not: live, stale and foreign ones.
 * Where a size is wanted, what lies around a page, a class or a limit is near.
 *
 * Self-contained, so that a reproducer is this header, a table of steps and main().
 */
#ifndef EXECUTE_H
#define EXECUTE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/mempolicy.h>
#include <linux/netlink.h>
#include <linux/privheap.h>
#include <linux/privheap_netlink.h>
#include <linux/userfaultfd.h>

#define NR_HEAPS	8
#define NR_BLOCKS	32
#define NR_FILES	3
#define NR_SPANS	8
#define MAX_STEPS	48

enum op {
	OP_CREATE, OP_DESTROY, OP_STAT, OP_ALLOC, OP_REALLOC, OP_FREE, OP_SIZE, OP_WALK,
	OP_COMPACT, OP_POLICY, OP_LIMIT, OP_INFO, OP_RAW, OP_TOUCH, OP_MUNMAP,
	OP_MPROTECT, OP_MREMAP, OP_MADVISE, OP_MLOCK, OP_FORK, OP_THREAD, OP_NETLINK,
	OP_VM_COPY, OP_PIPE, OP_OPEN, OP_CLOSE, OP_MINCORE, OP_EDGE, OP_FAIL, OP_KILL,
	OP_RESET, OP_INJECT, OP_PREFAULT, OP_GUARD_ALLOC, OP_GUARD_FREE, OP_DESCRIBE,
	OP_COMMIT, OP_DECOMMIT, OP_TAKE, OP_BATCH, OP_COUNT, OP_RENEW, OP_ADVISE, OP_PROC,
	OP_PAGEMAP,
	NR_OPS
};

static const char *const op_names[] = {
	"OP_CREATE", "OP_DESTROY", "OP_STAT", "OP_ALLOC", "OP_REALLOC", "OP_FREE",
	"OP_SIZE", "OP_WALK", "OP_COMPACT", "OP_POLICY", "OP_LIMIT", "OP_INFO", "OP_RAW",
	"OP_TOUCH", "OP_MUNMAP", "OP_MPROTECT", "OP_MREMAP", "OP_MADVISE", "OP_MLOCK",
	"OP_FORK", "OP_THREAD", "OP_NETLINK", "OP_VM_COPY", "OP_PIPE", "OP_OPEN",
	"OP_CLOSE", "OP_MINCORE", "OP_EDGE", "OP_FAIL", "OP_KILL",
	"OP_RESET", "OP_INJECT", "OP_PREFAULT", "OP_GUARD_ALLOC", "OP_GUARD_FREE",
	"OP_DESCRIBE", "OP_COMMIT", "OP_DECOMMIT", "OP_TAKE", "OP_BATCH", "OP_COUNT",
	"OP_RENEW", "OP_ADVISE", "OP_PROC",
	"OP_PAGEMAP",
};

/**
 * struct step - a call
 * @op: enum op, modulo NR_OPS
 * @heap, @block: which of those that the program has, or had
 * @flags: of the call
 * @x, @y: sizes, offsets, numbers
 */
struct step {
	uint8_t op;
	uint8_t heap;
	uint8_t block;
	uint8_t flags;
	uint32_t x;
	uint32_t y;
};

struct known_heap {
	int fd;
	uint64_t id;
	uint64_t serial;
	uint64_t base;
	uint64_t bytes;
};

/* What the program has made; stale entries stay, which is what they are for. */
static struct {
	int files[NR_FILES];
	struct known_heap heaps[NR_HEAPS];
	uint64_t blocks[NR_BLOCKS];
	uint64_t spans[NR_SPANS];
	char *edge;			/* an unmapped page begins here */
	int at_edge;			/* bytes of the next structure before it */
	int netlink;
	int family;
	int nth;
	int cgroup;
	unsigned long *nr_calls;
} world = { .nth = -1, .cgroup = -1 };

static __thread sigjmp_buf fault_env;
static __thread volatile sig_atomic_t may_fault;

static void on_fault(int sig)
{
	if (may_fault)
		siglongjmp(fault_env, sig);
	_exit(1);
}

static size_t page_bytes(void)
{
	static size_t bytes;

	if (!bytes)
		bytes = sysconf(_SC_PAGESIZE);
	return bytes;
}

/* The upper bits choose the kind of size, so that one bit makes much of a difference. */
static uint64_t a_size(uint32_t x)
{
	uint32_t n = x & 0xffffff;

	switch (x >> 28) {
	case 0 ... 5:
		return n % 1100;
	case 6 ... 8:
		return (n % 20) * page_bytes() + (n >> 16) % 3 - 1;
	case 9 ... 10:
		return n % 300000;
	case 11:
		return 0xFE000 + n % 33 - 16;
	case 12:
		return (uint64_t)(n % 6000) << 10;
	case 13:
		return 1ULL << (n % 64);
	case 14:
		return (1ULL << (n % 64)) - 1;
	default:
		return 0ULL - n % 70000;
	}
}

static struct known_heap *a_heap(const struct step *step)
{
	return &world.heaps[step->heap % NR_HEAPS];
}

/* A block, or, seldom, what is not one: inside, beside, of another heap, nowhere. */
static uint64_t an_address(const struct step *step)
{
	uint64_t addr = world.blocks[step->block % NR_BLOCKS];

	switch (step->block >> 5) {
	case 4:
		return world.spans[step->block % NR_SPANS] + step->y % 8 * page_bytes();
	case 5:
		return addr + step->y % 5000;
	case 6:
		return a_heap(step)->base + (step->y % 64) * 4096ULL + (step->y >> 28);
	case 7:
		return step->y % 3 ? (uint64_t)step->y << 17 : addr - 16;
	default:
		return addr;
	}
}

/* A call whose structure may lie across the edge of what is mapped. */
static int call(int fd, unsigned long nr, void *arg, size_t size)
{
	char *place = arg;

	if (world.at_edge) {
		place = world.edge - world.at_edge % (size + 1);
		memcpy(place, arg, world.edge - place);
		world.at_edge = 0;
	}
	return ioctl(fd, nr, place);
}

static void find_serial(struct known_heap *heap)
{
	struct privheap_stat arg = { .size = sizeof(arg), .heap = heap->id };

	if (!ioctl(heap->fd, PRIVHEAP_IOC_STAT, &arg))
		heap->serial = arg.out_serial;
}

static void run_create(const struct step *step)
{
	struct known_heap *heap = a_heap(step);
	struct privheap_create arg = {
		.size = sizeof(arg),
		.flags = step->flags & 0x80 ? step->flags & 0x7f : step->flags & 43,
		.initial_bytes = step->block & 1 ? a_size(step->y) : 0,
		.quarantine_bytes = step->flags & 8 ? a_size(step->x >> 2) : 0,
		.max_bytes = step->block & 2 ? a_size(step->x) : 0,
		.limit_bytes = step->block & 4 ? a_size(step->x ^ step->y) : 0,
		.policy = step->block & 8 ? step->y % 6 : 0,
		.window_pages = step->block & 16 ? 1 << step->x % 12 : 0,
		.soft_bytes = step->block & 32 ? a_size(step->y >> 4) : 0,
		.grace_bytes = step->block & 64 ? a_size(step->x >> 4) : 0,
		.idle_bytes = step->block & 128 ? a_size(step->y >> 2) : 0,
		.cgroup_fd = (step->flags & 0x84) == 0x84 ? world.cgroup : 0,
	};
	int fd = world.files[step->flags / 4 % NR_FILES];

	if (call(fd, PRIVHEAP_IOC_CREATE, &arg, sizeof(arg)))
		return;
	heap->fd = fd;
	heap->id = arg.out_heap;
	heap->base = arg.out_base;
	heap->bytes = arg.out_region_bytes;
	find_serial(heap);
}

static void run_destroy(const struct step *step)
{
	struct privheap_destroy arg = { .size = sizeof(arg), .heap = a_heap(step)->id };

	call(a_heap(step)->fd, PRIVHEAP_IOC_DESTROY, &arg, sizeof(arg));
}

/* The next heap may have the place of the one that went; the program still knows both. */
static void run_renew(const struct step *step)
{
	struct step next = *step;

	run_destroy(step);
	next.heap += step->flags & 1;
	next.flags = step->flags & 2;	/* backed, or as most are */
	next.block &= 7;
	run_create(&next);
}

static void run_stat(const struct step *step)
{
	struct privheap_stat arg = { .size = sizeof(arg), .heap = a_heap(step)->id };

	call(a_heap(step)->fd, PRIVHEAP_IOC_STAT, &arg, sizeof(arg));
}

static void run_alloc(const struct step *step)
{
	struct privheap_alloc arg = {
		.size = sizeof(arg),
		.flags = step->flags & 0x80 ? step->flags : step->flags & 1,
		.heap = a_heap(step)->id,
		.bytes = a_size(step->x),
		.align = step->flags & 2 ? 1ULL << step->y % 64 : 0,
	};

	if (!call(a_heap(step)->fd, PRIVHEAP_IOC_ALLOC, &arg, sizeof(arg)))
		world.blocks[step->block % NR_BLOCKS] = arg.out_addr;
}

static void run_realloc(const struct step *step)
{
	struct privheap_realloc arg = {
		.size = sizeof(arg),
		.flags = step->flags & 0x80 ? step->flags : step->flags & 3,
		.heap = a_heap(step)->id,
		.addr = an_address(step),
		.bytes = a_size(step->x),
	};

	if (!call(a_heap(step)->fd, PRIVHEAP_IOC_REALLOC, &arg, sizeof(arg)))
		world.blocks[step->block % NR_BLOCKS] = arg.out_addr;
}

/* A bug to be found, for a test of the fuzzer itself: see check. */
static void pretend_bug(void)
{
#ifdef PRETEND_BUG
	int fd = open("/proc/sys/kernel/tainted", O_WRONLY);

	(void)!write(fd, "64", 2);
	close(fd);
#endif
}

static void run_free(const struct step *step)
{
	struct privheap_free arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id, .addr = an_address(step),
	};

	if (call(a_heap(step)->fd, PRIVHEAP_IOC_FREE, &arg, sizeof(arg)) &&
	    errno == ENOENT)
		pretend_bug();
}

static void run_size(const struct step *step)
{
	struct privheap_size arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id, .addr = an_address(step),
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_SIZE, &arg, sizeof(arg));
}

static void run_walk(const struct step *step)
{
	static struct privheap_entry entries[64];
	struct privheap_walk arg = {
		.size = sizeof(arg),
		.heap = a_heap(step)->id,
		.entries = step->flags & 4 ? (uintptr_t)world.edge - step->y % 4096 :
			   step->flags & 8 ? an_address(step) : (uintptr_t)entries,
		.nr_entries = step->flags & 16 ? step->x : step->x % 65,
		.after_kind = step->flags & 1 ? step->y % 6 : 0,
		.after_addr = step->flags & 2 ? an_address(step) : entries[step->y % 64].addr,
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_WALK, &arg, sizeof(arg));
}

static void run_compact(const struct step *step)
{
	struct privheap_compact arg = { .size = sizeof(arg), .heap = a_heap(step)->id };

	call(a_heap(step)->fd, PRIVHEAP_IOC_COMPACT, &arg, sizeof(arg));
}

static void run_reset(const struct step *step)
{
	struct privheap_reset arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.keep_bytes = step->flags & 1 ? a_size(step->x) : 0,
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_RESET, &arg, sizeof(arg));
}

static void run_inject(const struct step *step)
{
	struct privheap_inject arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.nth = step->flags & 1 ? step->x % 16 : 0,
		.rate_ppm = step->flags & 2 ? step->y % 1100000 : 0,
		.seed = step->x,
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_INJECT, &arg, sizeof(arg));
}

static void run_prefault(const struct step *step)
{
	struct privheap_prefault arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.addr = an_address(step), .bytes = a_size(step->x),
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_PREFAULT, &arg, sizeof(arg));
}

/* Pages inside of a block, more often than not. */
static uint64_t a_page(const struct step *step)
{
	uint64_t addr = an_address(step);

	if (step->flags & 1)
		addr += step->y % 32 * page_bytes();
	return step->flags & 2 ? addr : addr & -page_bytes();
}

static uint64_t some_pages(const struct step *step)
{
	return step->flags & 4 ? a_size(step->x) : (1 + step->x % 80) * page_bytes();
}

static void run_commit(const struct step *step)
{
	struct privheap_commit arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.addr = a_page(step), .bytes = some_pages(step),
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_COMMIT, &arg, sizeof(arg));
}

static void run_decommit(const struct step *step)
{
	struct privheap_decommit arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.addr = a_page(step), .bytes = some_pages(step),
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_DECOMMIT, &arg, sizeof(arg));
}

static void run_take(const struct step *step)
{
	unsigned int first = step->block % NR_SPANS;
	struct privheap_take arg = {
		.size = sizeof(arg),
		.heap = a_heap(step)->id,
		.spans = step->flags & 4 ? (uintptr_t)world.edge - step->y % 80 :
					   (uintptr_t)&world.spans[first],
		.nr_spans = step->flags & 8 ? step->x : 1 + step->x % (NR_SPANS - first),
		.nr_pages = step->flags & 16 ? step->y : 1 + step->y % 20,
	};

	/* What does not fit in the array is written to the edge, or refused. */
	if (arg.nr_spans > NR_SPANS - first)
		arg.spans = (uintptr_t)world.edge - step->y % 80;
	call(a_heap(step)->fd, PRIVHEAP_IOC_TAKE, &arg, sizeof(arg));
}

/* Blocks, or spans that were taken, of all sorts in one call. */
static void run_batch(const struct step *step)
{
	struct privheap_batch_entry entries[NR_SPANS] = { 0 };
	struct privheap_batch arg = {
		.size = sizeof(arg),
		.flags = step->flags & 0x80 ? step->flags : 0,
		.heap = a_heap(step)->id,
		.entries = step->flags & 4 ? (uintptr_t)world.edge - step->y % 300 :
					     (uintptr_t)entries,
		.nr_entries = 1 + step->x % NR_SPANS,
		.op = step->flags & 8 ? step->y : 1 + step->y % 4,
	};
	unsigned int i, first = step->block % NR_BLOCKS;

	for (i = 0; i < NR_SPANS; i++) {
		if (arg.op == PRIVHEAP_BATCH_ALLOC || step->flags & 16)
			entries[i].bytes = a_size(step->x * (i + 1));
		if (arg.op == PRIVHEAP_BATCH_FREE)
			entries[i].addr = world.blocks[(first + i) % NR_BLOCKS];
		if (arg.op == PRIVHEAP_BATCH_GIVE || arg.op == PRIVHEAP_BATCH_DROP)
			entries[i].addr = world.spans[(first + i) % NR_SPANS];
		if (arg.op == PRIVHEAP_BATCH_DROP) {
			entries[i].addr += (step->y >> 2) % 4 * page_bytes();
			entries[i].bytes = (1 + (step->y >> 4) % 8) * page_bytes();
		}
	}
	if (step->flags & 4)
		memcpy(world.edge - step->y % 300, entries, step->y % 300);
	call(a_heap(step)->fd, PRIVHEAP_IOC_BATCH, &arg, sizeof(arg));
	for (i = 0; i < NR_SPANS && arg.op == PRIVHEAP_BATCH_ALLOC; i++) {
		if (entries[i].out_addr)
			world.blocks[(first + i) % NR_BLOCKS] = entries[i].out_addr;
	}
}

/* In memory of the program, which may be unmapped later; in a heap; anywhere. */
static void run_count(const struct step *step)
{
	static struct privheap_counters counters[4];
	struct privheap_count arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.counters = step->flags & 1 ? an_address(step) :
			    step->flags & 2 ? (uintptr_t)world.edge - step->y % 200 :
					      (uintptr_t)&counters[step->x % 4],
	};

	counters[step->x % 4].nr_blocks = step->y;
	counters[step->y % 4].allocated_bytes = a_size(step->x);
	call(a_heap(step)->fd, PRIVHEAP_IOC_COUNT, &arg, sizeof(arg));
}

static void run_guard_alloc(const struct step *step)
{
	struct privheap_guard_alloc arg = {
		.size = sizeof(arg),
		.flags = step->flags & 0x80 ? step->flags : step->flags & 7,
		.heap = a_heap(step)->id,
		.bytes = a_size(step->x),
		.align = step->flags & 8 ? 1ULL << step->y % 64 : 0,
		.cookie = step->x,
	};

	if (!call(a_heap(step)->fd, PRIVHEAP_IOC_GUARD_ALLOC, &arg, sizeof(arg)))
		world.blocks[step->block % NR_BLOCKS] = arg.out_addr;
}

static void run_guard_free(const struct step *step)
{
	struct privheap_guard_free arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.addr = an_address(step), .cookie = step->y,
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_GUARD_FREE, &arg, sizeof(arg));
}

static void run_describe(const struct step *step)
{
	struct privheap_describe arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id, .addr = an_address(step),
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_DESCRIBE, &arg, sizeof(arg));
}

static void run_policy(const struct step *step)
{
	struct privheap_policy arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id, .policy = step->x % 6,
		.window_pages = step->flags & 1 ? step->y : 1U << step->y % 12,
		.idle_bytes = step->flags & 2 ? a_size(step->x ^ step->y) : 0,
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_POLICY, &arg, sizeof(arg));
}

static void run_limit(const struct step *step)
{
	struct privheap_limit arg = {
		.size = sizeof(arg),
		.flags = step->flags & 7,
		.heap = step->flags & 8 ? 0 : a_heap(step)->id,
		.scope = step->flags & 8 ? PRIVHEAP_SCOPE_PROCESS :
			 step->flags & 16 ? step->block % 7 : PRIVHEAP_SCOPE_HEAP,
		.hard_bytes = a_size(step->x),
		.soft_bytes = a_size(step->y),
		.grace_bytes = a_size(step->x ^ step->y),
	};

	call(a_heap(step)->fd, PRIVHEAP_IOC_LIMIT, &arg, sizeof(arg));
}

static void run_info(const struct step *step)
{
	struct privheap_info arg = { .size = sizeof(arg), .flags = step->flags & 1 };

	call(a_heap(step)->fd, PRIVHEAP_IOC_INFO, &arg, sizeof(arg));
}

/* Any call with any structure: most are refused at once, but not all in the same place. */
static void run_raw(const struct step *step)
{
	union {
		uint64_t words[32];
		uint32_t halves[64];
	} arg = { 0 };
	unsigned int i;

	for (i = 0; i < 32 && step->flags & 8; i++)
		arg.words[i] = (uint64_t)step->x * (i + 1) >> (step->y >> i % 32 & 31);
	arg.words[1] = a_heap(step)->id;
	if (step->flags & 4)
		arg.words[2] = an_address(step);
	arg.words[3 + step->x % 12] = a_size(step->y);
	arg.halves[0] = step->flags & 1 ? step->y % 300 : 8 * (2 + step->y % 16);
	arg.halves[1] = step->flags & 2 ? step->x >> 24 : 0;
	call(a_heap(step)->fd, _IO(PRIVHEAP_IOC_TYPE, step->block % 0x24), &arg,
	     sizeof(arg));
}

/* Without a fault that is not caught: reserved space answers with SIGSEGV. */
static void run_touch(const struct step *step)
{
	volatile char *volatile place = (volatile char *)(uintptr_t)
		(step->flags & 1 ? an_address(step) :
		 a_heap(step)->base + (step->x % 512) * 4096ULL);
	volatile unsigned int nr = step->flags & 4 ? 1 : 1 + step->y % 16;
	unsigned int i;

	may_fault = 1;
	if (!sigsetjmp(fault_env, 1)) {
		for (i = 0; i < nr; i++) {
			if (step->flags & 2)
				place[i * 4096UL] = i;
			else
				(void)place[i * 4096UL];
		}
	}
	may_fault = 0;
}

/* What it maps is read, written, or unmapped, in part or whole. */
static void run_pagemap(const struct step *step)
{
	struct privheap_pagemap arg = {
		.size = sizeof(arg), .heap = a_heap(step)->id,
		.addr = step->flags & 1 ? an_address(step) : 0,
	};
	volatile size_t bytes;

	call(a_heap(step)->fd, PRIVHEAP_IOC_PAGEMAP, &arg, sizeof(arg));
	if (!arg.out_map)
		return;
	bytes = arg.out_nr_pages * sizeof(struct privheap_page);
	may_fault = 1;
	if (!sigsetjmp(fault_env, 1)) {
		volatile char *place = (volatile char *)(uintptr_t)arg.out_map +
				       step->x % bytes;

		if (step->flags & 2)
			(void)*place;
		if (step->flags & 4)
			*place = 1;
	}
	may_fault = 0;
	if (step->flags & 8)
		munmap((void *)(uintptr_t)arg.out_map,
		       step->flags & 16 ? 4096 : bytes);
}

static void *a_mapping(const struct step *step, size_t *bytes)
{
	struct known_heap *heap = a_heap(step);

	*bytes = step->flags & 1 ? heap->bytes : (1 + step->y % 32) * page_bytes();
	return (void *)(uintptr_t)(heap->base + (step->flags & 2 ?
				   step->x % 64 * page_bytes() : 0));
}

static void run_munmap(const struct step *step)
{
	size_t bytes;
	void *where = a_mapping(step, &bytes);

	/* A heap that is not there has no base; what lies at 0 is not ours. */
	if (where)
		munmap(where, bytes);
}

static void run_mprotect(const struct step *step)
{
	size_t bytes;
	void *where = a_mapping(step, &bytes);

	mprotect(where, bytes, step->flags >> 2 & 7);
}

static void run_mremap(const struct step *step)
{
	size_t bytes;
	void *where = a_mapping(step, &bytes);
	void *to = mremap(where, bytes, step->flags & 8 ? bytes * 2 : bytes,
			  step->flags & 16 ? MREMAP_MAYMOVE : 0);

	if (to != MAP_FAILED && to != where)
		munmap(to, bytes);
}

static void run_madvise(const struct step *step)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_REMOVE, MADV_FREE, MADV_WILLNEED, MADV_COLD,
		MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_DOFORK,
		MADV_DONTFORK, MADV_WIPEONFORK, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_DODUMP, MADV_DONTDUMP, 24 /* DONTNEED_LOCKED */, 25 /* COLLAPSE */,
		102 /* GUARD_INSTALL */, 103,
	};
	size_t bytes;
	void *where = a_mapping(step, &bytes);

	madvise(where, bytes, advices[step->block % (sizeof(advices) / sizeof(*advices))]);
}

/* What else the kernel can be asked to do with memory that is mapped. */
static void run_advise(const struct step *step)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range;
	unsigned long node = 1;
	size_t bytes;
	void *where = a_mapping(step, &bytes);
	int fd, status;

	switch (step->block % 8) {
	case 0:
		syscall(462 /* mseal */, where, bytes, 0);
		return;
	case 1:
		syscall(SYS_mbind, where, bytes, step->x % 6, &node, 2UL,
			step->y % 8);
		return;
	case 2:
		syscall(SYS_move_pages, 0, 1UL, &where, step->flags & 4 ? NULL : &status,
			&status, step->y % 8);
		return;
	case 3:
		syscall(SYS_remap_file_pages, where, bytes, 0, step->x % 64, 0);
		return;
	case 4:
		fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		range = (struct uffdio_register){
			.range = { (uintptr_t)where, bytes }, .mode = step->y % 8,
		};
		if (!ioctl(fd, UFFDIO_API, &api))
			ioctl(fd, UFFDIO_REGISTER, &range);
		close(fd);
		return;
	case 5:
		prctl(67 /* PR_SET_MEMORY_MERGE */, step->y % 2, 0, 0, 0);
		return;
	case 6:
		syscall(SYS_set_mempolicy, step->y % 2 ? MPOL_BIND : MPOL_DEFAULT,
			step->y % 2 ? &node : NULL, step->y % 2 ? 2UL : 0UL);
		return;
	default:
		munmap(mmap(where, bytes, PROT_READ, MAP_SHARED, a_heap(step)->fd,
			    step->x % 64 * page_bytes()), bytes);
	}
}

/* What the kernel tells of the mappings, and of the file, reads the module, too. */
static void run_proc(const struct step *step)
{
	static const char *const names[] = {
		"maps", "smaps", "numa_maps", "pagemap", "mem", "clear_refs", "fdinfo",
	};
	static char text[65536];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/%s", names[step->block % 7]);
	if (step->block % 7 == 6)
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", a_heap(step)->fd);
	fd = open(path, step->flags & 1 ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC);
	if (step->block % 7 == 3)
		(void)!pread(fd, text, 512, a_heap(step)->base / page_bytes() * 8);
	else if (step->block % 7 == 4 && step->flags & 1)
		(void)!pwrite(fd, text, step->x % 10000, an_address(step));
	else if (step->block % 7 == 4)
		(void)!pread(fd, text, step->x % 10000, an_address(step));
	else if (step->flags & 1)
		(void)!write(fd, step->y % 2 ? "1" : "4", 1);
	else
		while (read(fd, text, sizeof(text)) > 0)
			;
	close(fd);
}

static void run_mlock(const struct step *step)
{
	size_t bytes;
	void *where = a_mapping(step, &bytes);

	if (step->flags & 8)
		mlockall(step->flags >> 4 & 7);
	else if (step->flags & 16)
		munlock(where, bytes);
	else
		mlock(where, bytes);
}

static void run_vm_copy(const struct step *step)
{
	static char buffer[8192];
	struct iovec mine = { buffer, 1 + step->y % sizeof(buffer) };
	struct iovec heap = { (void *)(uintptr_t)an_address(step), mine.iov_len };

	if (step->flags & 1)
		process_vm_writev(getpid(), &mine, 1, &heap, 1, 0);
	else
		process_vm_readv(getpid(), &mine, 1, &heap, 1, 0);
}

/* Pages of a heap that others hold: a pipe keeps what vmsplice() gave it. */
static void run_pipe(const struct step *step)
{
	struct iovec heap = { (void *)(uintptr_t)an_address(step), 1 + step->x % 20000 };
	int ends[2];

	if (pipe2(ends, O_NONBLOCK))
		return;
	if (step->flags & 1)
		vmsplice(ends[1], &heap, 1, SPLICE_F_NONBLOCK);
	else
		(void)!write(ends[1], heap.iov_base, heap.iov_len);
	if (step->flags & 2)
		(void)!read(ends[0], heap.iov_base, heap.iov_len);
	if (step->flags & 4) {
		run_free(step);
		run_alloc(step);
	}
	close(ends[0]);
	close(ends[1]);
}

static void run_open(const struct step *step)
{
	int *file = &world.files[step->x % NR_FILES];

	if (*file > 2)
		close(*file);
	*file = open("/dev/privheap", O_RDWR | O_CLOEXEC);
}

static void run_close(const struct step *step)
{
	if (world.files[step->x % NR_FILES] > 2)
		close(world.files[step->x % NR_FILES]);
	world.files[step->x % NR_FILES] = -1;
}

static void run_mincore(const struct step *step)
{
	static unsigned char pages[1 << 16];
	size_t bytes;
	void *where = a_mapping(step, &bytes);

	if (bytes <= sizeof(pages) * page_bytes())
		mincore(where, bytes, pages);
	msync(where, bytes, step->flags >> 2 & 7);
}

/* Netlink: any command with some attributes of any type and length, for a live heap */

static void netlink_add(struct nlmsghdr *msg, int type, const void *data, int length)
{
	struct nlattr *attr = (void *)((char *)msg + NLMSG_ALIGN(msg->nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + length;
	memcpy(attr + 1, data, length);
	msg->nlmsg_len = NLMSG_ALIGN(msg->nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

/* All name a heap in the same way, but for limits. */
static void netlink_name(struct nlmsghdr *msg, int cmd, const struct known_heap *heap)
{
	static const uint32_t scope = PRIVHEAP_SCOPE_HEAP;

	if (cmd != PRIVHEAP_CMD_LIMIT_GET && cmd != PRIVHEAP_CMD_LIMIT_SET) {
		netlink_add(msg, PRIVHEAP_A_HEAP_SERIAL, &heap->serial, 8);
		return;
	}
	netlink_add(msg, PRIVHEAP_A_LIMIT_SCOPE, &scope, 4);
	netlink_add(msg, PRIVHEAP_A_LIMIT_KEY, &heap->serial, 8);
}

static void netlink_send(int type, int cmd, int flags, const struct step *step,
			 const char *name)
{
	static char buffer[16384];
	struct nlmsghdr *msg = (void *)buffer;
	struct genlmsghdr *genl = NLMSG_DATA(msg);
	uint64_t value;
	unsigned int i;

	memset(buffer, 0, 256);
	*msg = (struct nlmsghdr){
		.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | flags,
	};
	*genl = (struct genlmsghdr){ .cmd = cmd, .version = 1 };
	if (name)
		netlink_add(msg, CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
	if (step && step->flags & 0x80)
		netlink_name(msg, cmd, a_heap(step));
	for (i = 0; step && i < step->heap % 5; i++) {
		value = i % 2 ? a_size(step->y >> i) : step->x >> i & 7;
		netlink_add(msg, (step->block + i * (step->flags & 3)) % 32, &value,
			    step->flags & 64 ? step->flags >> i & 7 :
			    step->flags & 32 ? 4 : 8);
	}
	send(world.netlink, msg, msg->nlmsg_len, MSG_DONTWAIT);
	while (recv(world.netlink, buffer, sizeof(buffer), name ? 0 : MSG_DONTWAIT) > 0) {
		if (name) {
			struct nlattr *attr = (void *)((char *)genl + GENL_HDRLEN);

			for (; attr->nla_len; attr = (void *)((char *)attr +
							      NLA_ALIGN(attr->nla_len))) {
				if (attr->nla_type != CTRL_ATTR_FAMILY_ID)
					continue;
				world.family = *(uint16_t *)(attr + 1);
				return;
			}
			return;
		}
	}
}

static void run_netlink(const struct step *step)
{
	netlink_send(world.family, step->op / NR_OPS + step->x % (PRIVHEAP_CMD_MAX + 2),
		     step->flags & 16 ? NLM_F_DUMP : NLM_F_ACK, step, NULL);
}

/* The next service that the kernel gives this task fails, where the kernel can. */
static void run_fail(const struct step *step)
{
	char text[8];

	if (world.nth < 0)
		return;
	snprintf(text, sizeof(text), "%u", 1 + step->x % 24);
	(void)!pwrite(world.nth, text, strlen(text), 0);
}

static void run_step(const struct step *step);

/* What a child or another thread does: calls, and nothing that has children itself. */
static uint8_t op_elsewhere(uint32_t y)
{
	uint8_t op = y % (OP_FORK + NR_OPS - OP_RESET);

	return op < OP_FORK ? op : op - OP_FORK + OP_RESET;
}

static void run_fork(const struct step *step)
{
	pid_t pid = fork();

	if (!pid) {
		struct step in_child = *step;

		in_child.op = op_elsewhere(step->y);
		run_step(&in_child);
		_exit(0);
	}
	if (pid > 0) {
		if (step->flags & 1)
			kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static struct {
	pthread_t thread;
	struct step step;
	int running;
} other;

/* Repeats one call, while the program goes on. */
static void *run_thread(void *data)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		other.step.x += i & 1;
		run_step(&other.step);
	}
	return data;
}

static void join_thread(void)
{
	if (other.running)
		pthread_join(other.thread, NULL);
	other.running = 0;
}

static void start_thread(const struct step *step)
{
	join_thread();
	other.step = *step;
	other.step.op = op_elsewhere(step->y);
	other.running = !pthread_create(&other.thread, NULL, run_thread, NULL);
}

static void run_step(const struct step *step)
{
	if (world.nr_calls)
		__atomic_fetch_add(world.nr_calls, 1, __ATOMIC_RELAXED);
	switch (step->op % NR_OPS) {
	case OP_CREATE: return run_create(step);
	case OP_DESTROY: return run_destroy(step);
	case OP_STAT: return run_stat(step);
	case OP_ALLOC: return run_alloc(step);
	case OP_REALLOC: return run_realloc(step);
	case OP_FREE: return run_free(step);
	case OP_SIZE: return run_size(step);
	case OP_WALK: return run_walk(step);
	case OP_COMPACT: return run_compact(step);
	case OP_POLICY: return run_policy(step);
	case OP_LIMIT: return run_limit(step);
	case OP_INFO: return run_info(step);
	case OP_RAW: return run_raw(step);
	case OP_TOUCH: return run_touch(step);
	case OP_MUNMAP: return run_munmap(step);
	case OP_MPROTECT: return run_mprotect(step);
	case OP_MREMAP: return run_mremap(step);
	case OP_MADVISE: return run_madvise(step);
	case OP_MLOCK: return run_mlock(step);
	case OP_FORK: return run_fork(step);
	case OP_THREAD: return start_thread(step);
	case OP_NETLINK: return run_netlink(step);
	case OP_VM_COPY: return run_vm_copy(step);
	case OP_PIPE: return run_pipe(step);
	case OP_OPEN: return run_open(step);
	case OP_CLOSE: return run_close(step);
	case OP_MINCORE: return run_mincore(step);
	case OP_EDGE:
		world.at_edge = 1 + step->x % 200;
		return;
	case OP_FAIL: return run_fail(step);
	case OP_RESET: return run_reset(step);
	case OP_INJECT: return run_inject(step);
	case OP_PREFAULT: return run_prefault(step);
	case OP_GUARD_ALLOC: return run_guard_alloc(step);
	case OP_GUARD_FREE: return run_guard_free(step);
	case OP_DESCRIBE: return run_describe(step);
	case OP_COMMIT: return run_commit(step);
	case OP_DECOMMIT: return run_decommit(step);
	case OP_TAKE: return run_take(step);
	case OP_BATCH: return run_batch(step);
	case OP_COUNT: return run_count(step);
	case OP_RENEW: return run_renew(step);
	case OP_ADVISE: return run_advise(step);
	case OP_PROC: return run_proc(step);
	case OP_PAGEMAP: return run_pagemap(step);
	case OP_KILL:
		if (step->x % 4 == 0)
			kill(getpid(), SIGKILL);
		return;
	}
}

static void world_open(void)
{
	unsigned int i;

	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < NR_FILES; i++)
		world.files[i] = open("/dev/privheap", O_RDWR | O_CLOEXEC);
	for (i = 0; i < NR_HEAPS; i++)
		world.heaps[i].fd = world.files[0];
	world.edge = mmap(NULL, 3 * page_bytes(), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	world.edge += 2 * page_bytes();
	munmap(world.edge, page_bytes());
	world.netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (!world.family)
		netlink_send(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, NULL,
			     PRIVHEAP_FAMILY_NAME);
	world.nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	mkdir("/sys/fs/cgroup/privheap-fuzz", 0700);
	world.cgroup = open("/sys/fs/cgroup/privheap-fuzz", O_RDONLY | O_CLOEXEC);
}

/* More rounds than one make other calls of the same kind, where the first has ended. */
static void run_program(const struct step *steps, unsigned int nr, unsigned int rounds)
{
	unsigned int round, i;
	struct step step;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < nr; i++) {
			step = steps[i];
			step.x += round * 0x9e3779b9U;
			run_step(&step);
		}
	}
	join_thread();
}

#endif /* EXECUTE_H */
