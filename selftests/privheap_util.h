/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the module share: the calls as functions, and the ways to
 * see from user space what a call did.
 *
 * Functions return 0 or a negative errno. The calls check on the way that the
 * module keeps its promise on outputs: a call that failed left all out_ members
 * alone, and no call changes an input. A breach shows as -EPROTO, which no test
 * expects.
 *
 * Nothing here allocates memory or opens streams, so that /proc/self/maps
 * changes only for what the test itself does.
 */
#ifndef PRIVHEAP_UTIL_H
#define PRIVHEAP_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/privheap.h>

#include "scale.h"

/* The harness compares what it is given as it is: EXPECT_EQ(0, an unsigned). */
#pragma GCC diagnostic ignored "-Wsign-compare"

#define KIB	1024UL
#define MIB	(1024UL * KIB)

/* What outputs hold before a call. */
#define OUT_PATTERN	0xa5

/* A heap as a test sees it. */
struct heap {
	int fd;
	__u64 id;
	char *base;
	size_t region_bytes;
};

static inline size_t page_bytes(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Does the kernel know huge pages? A real-time one does not. */
static inline bool has_huge_pages(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage", F_OK);
}

static inline size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* The calls */

static inline int privheap_open(void)
{
	int fd = open("/dev/privheap", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static inline int privheap_ioctl(int fd, unsigned long call, void *arg)
{
	return ioctl(fd, call, arg) ? -errno : 0;
}

/* @out_start, @out_end: where the outputs lie in the structure. */
static inline int privheap_call_range(int fd, unsigned long call, void *arg,
				      size_t size, size_t out_start,
				      size_t out_end)
{
	char *bytes = arg;
	char before[256];
	int ret;

	memset(bytes + out_start, OUT_PATTERN, out_end - out_start);
	memcpy(before, bytes, size);
	ret = privheap_ioctl(fd, call, arg);
	if (memcmp(before, bytes, ret ? size : out_start) ||
	    memcmp(before + out_end, bytes + out_end, size - out_end))
		return -EPROTO;
	return ret;
}

/* The same where outputs come last, from @out_start on. */
static inline int privheap_call(int fd, unsigned long call, void *arg,
				size_t size, size_t out_start)
{
	return privheap_call_range(fd, call, arg, size, out_start, size);
}

static inline int privheap_info(int fd, struct privheap_info *info)
{
	*info = (struct privheap_info){ .size = sizeof(*info) };
	return privheap_call(fd, PRIVHEAP_IOC_INFO, info, sizeof(*info),
			     offsetof(struct privheap_info, out_abi_version));
}

static inline int heap_create_from(struct heap *heap, int fd,
				   struct privheap_create *arg)
{
	int ret;

	arg->size = sizeof(*arg);
	ret = privheap_call(fd, PRIVHEAP_IOC_CREATE, arg, sizeof(*arg),
			    offsetof(struct privheap_create, out_heap));
	if (ret)
		return ret;
	heap->fd = fd;
	heap->id = arg->out_heap;
	heap->base = (char *)(uintptr_t)arg->out_base;
	heap->region_bytes = arg->out_region_bytes;
	return 0;
}

/* heap_create(&heap, fd, .max_bytes = MIB): what is not named is 0. */
#define heap_create(heap, fd, ...) \
	heap_create_from(heap, fd, &(struct privheap_create){ __VA_ARGS__ })

static inline int heap_destroy(const struct heap *heap)
{
	struct privheap_destroy arg = {
		.size = sizeof(arg),
		.heap = heap->id,
	};

	return privheap_call(heap->fd, PRIVHEAP_IOC_DESTROY, &arg, sizeof(arg),
			     sizeof(arg));
}

static inline int heap_stat(const struct heap *heap, struct privheap_stat *stat)
{
	*stat = (struct privheap_stat){
		.size = sizeof(*stat),
		.heap = heap->id,
	};
	return privheap_call(heap->fd, PRIVHEAP_IOC_STAT, stat, sizeof(*stat),
			     offsetof(struct privheap_stat, out_create_flags));
}

static inline int block_alloc_with(const struct heap *heap, size_t bytes,
				   size_t align, __u32 flags, char **block)
{
	struct privheap_alloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = heap->id,
		.bytes = bytes,
		.align = align,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_ALLOC, &arg, sizeof(arg),
				offsetof(struct privheap_alloc, out_notice));

	if (!ret)
		*block = (char *)(uintptr_t)arg.out_addr;
	return ret;
}

static inline int block_alloc(const struct heap *heap, size_t bytes,
			      char **block)
{
	return block_alloc_with(heap, bytes, 0, 0, block);
}

/* Stores the new address in @block when the call succeeds. */
static inline int block_realloc(const struct heap *heap, char **block,
				size_t bytes, __u32 flags)
{
	struct privheap_realloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = heap->id,
		.addr = (uintptr_t)*block,
		.bytes = bytes,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_REALLOC, &arg,
				sizeof(arg),
				offsetof(struct privheap_realloc, out_notice));

	if (!ret)
		*block = (char *)(uintptr_t)arg.out_addr;
	return ret;
}

static inline int block_free(const struct heap *heap, const void *block)
{
	struct privheap_free arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.addr = (uintptr_t)block,
	};

	return privheap_call(heap->fd, PRIVHEAP_IOC_FREE, &arg, sizeof(arg),
			     sizeof(arg));
}

static inline int block_size_full(const struct heap *heap, const void *block,
				  size_t *bytes, size_t *capacity)
{
	struct privheap_size arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.addr = (uintptr_t)block,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_SIZE, &arg, sizeof(arg),
				offsetof(struct privheap_size, out_bytes));

	if (ret)
		return ret;
	*bytes = arg.out_bytes;
	*capacity = arg.out_capacity_bytes;
	return 0;
}

/* The requested size of a block, or a negative errno. */
static inline long block_size(const struct heap *heap, const void *block)
{
	size_t bytes, capacity;
	int ret = block_size_full(heap, block, &bytes, &capacity);

	return ret ? ret : (long)bytes;
}

static inline int block_alloc_guarded(const struct heap *heap, size_t bytes,
				      size_t align, __u32 flags, __u64 cookie,
				      char **block)
{
	struct privheap_guard_alloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = heap->id,
		.bytes = bytes,
		.align = align,
		.cookie = cookie,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_GUARD_ALLOC, &arg,
				sizeof(arg),
				offsetof(struct privheap_guard_alloc, out_addr));

	if (!ret)
		*block = (char *)(uintptr_t)arg.out_addr;
	return ret;
}

static inline int block_free_guarded(const struct heap *heap, const void *block,
				     __u64 cookie)
{
	struct privheap_guard_free arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.addr = (uintptr_t)block,
		.cookie = cookie,
	};

	return privheap_call(heap->fd, PRIVHEAP_IOC_GUARD_FREE, &arg,
			     sizeof(arg), sizeof(arg));
}

static inline int heap_describe(const struct heap *heap, const void *addr,
				struct privheap_describe *describe)
{
	*describe = (struct privheap_describe){
		.size = sizeof(*describe),
		.heap = heap->id,
		.addr = (uintptr_t)addr,
	};
	return privheap_call(heap->fd, PRIVHEAP_IOC_DESCRIBE, describe,
			     sizeof(*describe),
			     offsetof(struct privheap_describe, out_state));
}

static inline int heap_compact(const struct heap *heap, size_t *largest_free)
{
	struct privheap_compact arg = {
		.size = sizeof(arg),
		.heap = heap->id,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_COMPACT, &arg,
				sizeof(arg),
				offsetof(struct privheap_compact,
					 out_largest_free_bytes));

	if (!ret)
		*largest_free = arg.out_largest_free_bytes;
	return ret;
}

/* @kept is how much stays resident. */
static inline int heap_reset(const struct heap *heap, size_t keep_bytes,
			     size_t *kept)
{
	struct privheap_reset arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.keep_bytes = keep_bytes,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_RESET, &arg, sizeof(arg),
				offsetof(struct privheap_reset, out_idle_bytes));

	if (!ret)
		*kept = arg.out_idle_bytes;
	return ret;
}

/* Calls on pages; return how much was done, or a negative errno. */
#define PAGES_CALL(call, type)						\
static inline long heap_##type(const struct heap *heap, const void *start, \
			       size_t bytes)				\
{									\
	struct privheap_##type arg = {					\
		.size = sizeof(arg),					\
		.heap = heap->id,					\
		.addr = (uintptr_t)start,				\
		.bytes = bytes,						\
	};								\
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_##call, &arg,	\
				sizeof(arg),				\
				offsetof(struct privheap_##type,	\
					 out_done_bytes));		\
									\
	return ret ? ret : (long)arg.out_done_bytes;			\
}

PAGES_CALL(COMMIT, commit)
PAGES_CALL(DECOMMIT, decommit)
PAGES_CALL(PREFAULT, prefault)

static inline int heap_policy(const struct heap *heap, __u32 policy,
			      __u32 window_pages)
{
	struct privheap_policy arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.policy = policy,
		.window_pages = window_pages,
	};

	return privheap_call(heap->fd, PRIVHEAP_IOC_POLICY, &arg, sizeof(arg),
			     sizeof(arg));
}

/* heap_inject(&heap, .nth = 1): what is not named is 0. */
#define heap_inject(of, ...) ({ \
	struct privheap_inject arg_ = { \
		.size = sizeof(arg_), .heap = (of)->id, __VA_ARGS__ }; \
	privheap_call((of)->fd, PRIVHEAP_IOC_INJECT, &arg_, sizeof(arg_), \
		      sizeof(arg_)); \
})

/* Reads limits, or changes those that @arg->flags names and reads them then. */
static inline int limit_call(int fd, struct privheap_limit *arg)
{
	arg->size = sizeof(*arg);
	return privheap_call(fd, PRIVHEAP_IOC_LIMIT, arg, sizeof(*arg),
			     offsetof(struct privheap_limit, out_hard_bytes));
}

/* heap_limit(&heap, &limit, .flags = ..., .hard_bytes = ...) */
#define heap_limit(of, limit, ...) ({ \
	*(limit) = (struct privheap_limit){ \
		.scope = PRIVHEAP_SCOPE_HEAP, .heap = (of)->id, __VA_ARGS__ }; \
	limit_call((of)->fd, limit); \
})

/* The same for the process that opened @fd. */
#define process_limit(fd, limit, ...) ({ \
	*(limit) = (struct privheap_limit){ \
		.scope = PRIVHEAP_SCOPE_PROCESS, __VA_ARGS__ }; \
	limit_call(fd, limit); \
})

/*
 * Goes on behind @after, or begins if that is NULL. Returns how many entries
 * there were, or a negative errno.
 */
static inline int heap_walk(const struct heap *heap,
			    const struct privheap_entry *after,
			    struct privheap_entry *entries, __u32 nr_entries)
{
	struct privheap_walk arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.entries = (uintptr_t)entries,
		.nr_entries = nr_entries,
		.after_kind = after ? after->kind : 0,
		.after_addr = after ? after->addr : 0,
	};
	int ret = privheap_call_range(heap->fd, PRIVHEAP_IOC_WALK, &arg,
				      sizeof(arg),
				      offsetof(struct privheap_walk,
					       out_nr_entries),
				      offsetof(struct privheap_walk,
					       __reserved));

	return ret ? ret : (int)arg.out_nr_entries;
}

/* Takes one span of @nr_pages. */
static inline int span_take(const struct heap *heap, __u32 nr_pages, char **span)
{
	__u64 addr;
	struct privheap_take arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.spans = (uintptr_t)&addr,
		.nr_spans = 1,
		.nr_pages = nr_pages,
	};
	int ret = privheap_call(heap->fd, PRIVHEAP_IOC_TAKE, &arg, sizeof(arg),
				offsetof(struct privheap_take, out_nr_spans));

	if (!ret)
		*span = (char *)(uintptr_t)addr;
	return ret ? ret : arg.out_nr_spans == 1 ? 0 : -EPROTO;
}

/* Returns how many entries were done, or a negative errno. */
static inline int batch(const struct heap *heap, __u32 op, __u32 flags,
			struct privheap_batch_entry *entries, __u32 nr_entries)
{
	struct privheap_batch arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = heap->id,
		.entries = (uintptr_t)entries,
		.nr_entries = nr_entries,
		.op = op,
	};
	int ret = privheap_call_range(heap->fd, PRIVHEAP_IOC_BATCH, &arg,
				      sizeof(arg),
				      offsetof(struct privheap_batch,
					       out_nr_done),
				      offsetof(struct privheap_batch,
					       __reserved));

	return ret ? ret : (int)arg.out_nr_done;
}

static inline int span_give(const struct heap *heap, const void *span)
{
	struct privheap_batch_entry entry = { .addr = (uintptr_t)span };
	int nr = batch(heap, PRIVHEAP_BATCH_GIVE, 0, &entry, 1);

	return nr < 0 ? nr : nr == 1 ? -(int)entry.out_error : -EPROTO;
}

static inline int heap_count(const struct heap *heap,
			     const struct privheap_counters *counters)
{
	struct privheap_count arg = {
		.size = sizeof(arg),
		.heap = heap->id,
		.counters = (uintptr_t)counters,
	};

	return privheap_call(heap->fd, PRIVHEAP_IOC_COUNT, &arg, sizeof(arg),
			     sizeof(arg));
}

/* The page map of the region that @addr lies in; NULL for the first one. */
static inline int heap_pagemap(const struct heap *heap, const void *addr,
			       struct privheap_pagemap *map)
{
	*map = (struct privheap_pagemap){
		.size = sizeof(*map),
		.heap = heap->id,
		.addr = (uintptr_t)addr,
	};
	return privheap_call(heap->fd, PRIVHEAP_IOC_PAGEMAP, map, sizeof(*map),
			     offsetof(struct privheap_pagemap, out_map));
}

/* What a page map says of the page at @addr. */
static inline struct privheap_page
pagemap_at(const struct privheap_pagemap *map, const void *addr)
{
	volatile struct privheap_page *pages = (void *)(uintptr_t)map->out_map;
	size_t n = ((uintptr_t)addr - map->out_base) / page_bytes();

	return (struct privheap_page){ pages[n].use, pages[n].state };
}

static inline size_t pagemap_bytes(const struct privheap_pagemap *map)
{
	return round_up(map->out_nr_pages * sizeof(struct privheap_page),
			page_bytes());
}

/* The state of a heap */

struct stat_field {
	const char *name;
	size_t offset;
	size_t bytes;
};

#define STAT_FIELD(member) \
	{ #member, offsetof(struct privheap_stat, member), \
	  sizeof(((struct privheap_stat *)NULL)->member) }

static const struct stat_field stat_fields[] = {
	STAT_FIELD(heap),
	STAT_FIELD(out_create_flags),
	STAT_FIELD(out_state),
	STAT_FIELD(out_base),
	STAT_FIELD(out_max_bytes),
	STAT_FIELD(out_limit_bytes),
	STAT_FIELD(out_reserved_bytes),
	STAT_FIELD(out_committed_bytes),
	STAT_FIELD(out_committed_peak_bytes),
	STAT_FIELD(out_resident_bytes),
	STAT_FIELD(out_allocated_bytes),
	STAT_FIELD(out_nr_blocks),
	STAT_FIELD(out_nr_regions),
	STAT_FIELD(out_nr_limit_failures),
	STAT_FIELD(out_policy),
	STAT_FIELD(out_window_pages),
	STAT_FIELD(out_idle_bytes),
	STAT_FIELD(out_nr_injected_failures),
	STAT_FIELD(out_taken_bytes),
};

static inline unsigned long long stat_value(const struct privheap_stat *stat,
					    const struct stat_field *field)
{
	const char *member = (const char *)stat + field->offset;

	return field->bytes == sizeof(__u32) ? *(const __u32 *)member :
					       *(const __u64 *)member;
}

/* Names the first member in which two states differ; "same" if none does. */
static inline const char *stat_diff(const struct privheap_stat *expected,
				    const struct privheap_stat *seen)
{
	static char text[128];
	const struct stat_field *field = stat_fields;
	const struct stat_field *end =
		field + sizeof(stat_fields) / sizeof(stat_fields[0]);

	for (; field < end; field++) {
		if (stat_value(expected, field) == stat_value(seen, field))
			continue;
		snprintf(text, sizeof(text), "%s is %llu, not %llu",
			 field->name, stat_value(seen, field),
			 stat_value(expected, field));
		return text;
	}
	return "same";
}

static inline const char *heap_diff(const struct heap *heap,
				    const struct privheap_stat *expected)
{
	struct privheap_stat stat;

	if (heap_stat(heap, &stat))
		return "no state to be had";
	return stat_diff(expected, &stat);
}

/* The whole state of @heap is *@expected. */
#define EXPECT_HEAP_STAT(expected, heap) \
	EXPECT_STREQ("same", heap_diff(heap, expected))

/* Allocates, fills, looks up and frees a block of each kind: 0 if all works. */
static inline int heap_check_works(const struct heap *heap)
{
	static const size_t sizes[] = { 0, 1, 64, 3000, 40000 };
	char *blocks[5];
	unsigned int i;
	int ret;

	for (i = 0; i < 5; i++) {
		ret = block_alloc(heap, sizes[i], &blocks[i]);
		if (ret)
			return ret;
		memset(blocks[i], 0x11 * i, sizes[i]);
	}
	for (i = 0; i < 5; i++) {
		if (block_size(heap, blocks[i]) != (long)sizes[i])
			return -EPROTO;
		ret = block_free(heap, blocks[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Allocates blocks of @bytes until that fails; returns why. @last is the last
 * one.
 */
static inline int heap_fill(const struct heap *heap, size_t bytes, char **last)
{
	int ret;

	*last = NULL;
	do {
		ret = block_alloc(heap, bytes, last);
	} while (!ret);
	return ret;
}

/* Contents */

/* Fills memory with bytes that depend on @seed and on the place. */
static inline void pattern_fill(char *mem, size_t bytes, unsigned int seed)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		mem[i] = (char)(seed * 31 + i * 7 + (i >> 8));
}

static inline bool pattern_check(const char *mem, size_t bytes,
				 unsigned int seed)
{
	size_t i;

	for (i = 0; i < bytes; i++) {
		if (mem[i] != (char)(seed * 31 + i * 7 + (i >> 8)))
			return false;
	}
	return true;
}

static inline bool all_bytes(const char *mem, size_t bytes, char value)
{
	size_t i;

	for (i = 0; i < bytes; i++) {
		if (mem[i] != value)
			return false;
	}
	return true;
}

/* A touch that may fault */

static __thread sigjmp_buf touch_env;
static __thread void *touch_fault_addr;

static inline void touch_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	touch_fault_addr = info->si_addr;
	siglongjmp(touch_env, sig);
}

/*
 * Reads or writes one byte. Returns 0, the signal that the touch raised, or -1
 * when the signal named another address. A write puts back what was there.
 */
static inline int touch(const void *addr, bool write)
{
	volatile char *byte = (volatile char *)addr;
	struct sigaction old_segv, old_bus;
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO,
	};
	int sig;

	sigaction(SIGSEGV, &action, &old_segv);
	sigaction(SIGBUS, &action, &old_bus);
	sig = sigsetjmp(touch_env, 1);
	if (!sig) {
		if (write)
			__atomic_fetch_or((char *)byte, 0, __ATOMIC_SEQ_CST);
		else
			(void)*byte;
	} else if (touch_fault_addr != addr) {
		sig = -1;
	}
	sigaction(SIGSEGV, &old_segv, NULL);
	sigaction(SIGBUS, &old_bus, NULL);
	return sig;
}

static inline int touch_read(const void *addr)
{
	return touch(addr, false);
}

static inline int touch_write(const void *addr)
{
	return touch(addr, true);
}

/* Files in /proc and /sys */

/* Reads a whole file as a string into @text; returns its length or -errno. */
static inline long file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t part;

	if (fd < 0)
		return -errno;
	do {
		part = read(fd, text + length, size - 1 - length);
		if (part > 0)
			length += part;
	} while (part > 0);
	part = part < 0 ? -errno : 0;
	close(fd);
	text[length] = '\0';
	if (length == size - 1)
		return -EFBIG;
	return part ? part : (long)length;
}

static inline int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Reads a file that holds one number; returns it or -errno. */
static inline long file_number(const char *path)
{
	char text[64];
	long length = file_read(path, text, sizeof(text));

	return length < 0 ? length : strtol(text, NULL, 10);
}

static char proc_text[4 * MIB];

/* How many mappings of this process have @needle in their line. */
static inline int maps_count(const char *needle)
{
	long length = file_read("/proc/self/maps", proc_text,
				sizeof(proc_text));
	char *line, *rest;
	int nr = 0;

	if (length < 0)
		return length;
	for (line = strtok_r(proc_text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (strstr(line, needle))
			nr++;
	}
	return nr;
}

/* How many mappings of heaps this process has. */
static inline int maps_heaps(void)
{
	return maps_count("privheap:");
}

struct mapping {
	uintptr_t start;
	uintptr_t end;
	char perms[5];
	size_t rss_bytes;
};

/* Finds the mapping that contains @addr in /proc/self/smaps. */
static inline int mapping_find(const void *addr, struct mapping *found)
{
	long length = file_read("/proc/self/smaps", proc_text,
				sizeof(proc_text));
	char *line, *rest;
	bool inside = false;
	struct mapping m;
	unsigned long kib;

	*found = (struct mapping){ 0 };
	if (length < 0)
		return length;
	for (line = strtok_r(proc_text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "%lx-%lx %4s", &m.start, &m.end, m.perms) == 3)
			inside = (uintptr_t)addr >= m.start &&
				 (uintptr_t)addr < m.end;
		else if (inside && sscanf(line, "Rss: %lu kB", &kib) == 1) {
			*found = m;
			found->rss_bytes = kib * KIB;
			return 0;
		}
	}
	return -ENOENT;
}

/* Bytes of the mapping around @addr that page tables point to, or -errno. */
static inline long mapping_rss(const void *addr)
{
	struct mapping mapping;
	int ret = mapping_find(addr, &mapping);

	return ret ? ret : (long)mapping.rss_bytes;
}

/* Open files and live mappings of heaps in the whole machine. */
static inline long module_refs(void)
{
	return file_number("/sys/module/privheap/refcnt");
}

/* Waiting */

/*
 * Waits until every CPU has been through the scheduler, and thus until what the
 * kernel put off for so long (RCU) is under way.
 */
static inline void grace_period(void)
{
	syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/*
 * Whether @condition becomes true within some grace periods: for effects that
 * the kernel promises soon, and not before a call returns.
 */
#define eventually(condition) ({ \
	int tries_ = 200; \
	while (!(condition) && --tries_) \
		grace_period(); \
	tries_ > 0; \
})

/* The exit status of a child, or the negative number of its signal. */
static inline int child_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* A memory cgroup of one's own */

struct cgroup {
	char path[64];
};

/* @name: tells those of one test apart */
static inline int cgroup_create_named(struct cgroup *cgroup, const char *name)
{
	int ret = file_write("/sys/fs/cgroup/cgroup.subtree_control",
			     "+memory");

	if (ret)
		return ret;
	snprintf(cgroup->path, sizeof(cgroup->path),
		 "/sys/fs/cgroup/privheap-test-%d%s", getpid(), name);
	return mkdir(cgroup->path, 0755) ? -errno : 0;
}

static inline int cgroup_create(struct cgroup *cgroup)
{
	return cgroup_create_named(cgroup, "");
}

/* A descriptor of its directory, as heaps are put under it with, or -errno. */
static inline int cgroup_open(const struct cgroup *cgroup)
{
	int fd = open(cgroup->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static inline int cgroup_destroy(const struct cgroup *cgroup)
{
	return rmdir(cgroup->path) ? -errno : 0;
}

static inline int cgroup_set(const struct cgroup *cgroup, const char *file,
			     const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", cgroup->path, file);
	return file_write(path, value);
}

/* Moves the calling process. */
static inline int cgroup_enter(const struct cgroup *cgroup)
{
	return cgroup_set(cgroup, "cgroup.procs", "0");
}

/* Bytes charged to the cgroup, or -errno. */
static inline long cgroup_bytes(const struct cgroup *cgroup)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/memory.current", cgroup->path);
	return file_number(path);
}

/*
 * The same without what the kernel charged in advance. That is given back when the
 * usage is above memory.high: at once on this CPU, soon on others.
 */
static inline long cgroup_bytes_exact(const struct cgroup *cgroup)
{
	int ret = cgroup_set(cgroup, "memory.high", "0") ?:
		  cgroup_set(cgroup, "memory.high", "max");

	return ret ? ret : cgroup_bytes(cgroup);
}

/* The number after @name in one of the cgroup's files of such lines, or -errno. */
static inline long cgroup_number(const struct cgroup *cgroup, const char *file,
				 const char *name)
{
	char path[128], text[8192], found[64];
	char *line, *rest;
	long length, number;

	snprintf(path, sizeof(path), "%s/%s", cgroup->path, file);
	length = file_read(path, text, sizeof(text));
	if (length < 0)
		return length;
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "%63s %ld", found, &number) == 2 &&
		    !strcmp(found, name))
			return number;
	}
	return -ENOENT;
}

/* How often something happened: a line of memory.events, or -errno. */
static inline long cgroup_events(const struct cgroup *cgroup, const char *event)
{
	return cgroup_number(cgroup, "memory.events", event);
}

/*
 * What the kernel had for the cgroup, heap pages and page tables among it, or -errno.
 * The programs' own memory and the files that they read are not.
 */
static inline long cgroup_kernel_bytes(const struct cgroup *cgroup)
{
	return cgroup_number(cgroup, "memory.stat", "kernel");
}

/*
 * The same without what the process of @fd keeps for later heaps; LONG_MAX where that
 * cannot be had.
 */
static inline long heap_bytes_left(const struct cgroup *cgroup, int fd)
{
	struct heap heap;
	size_t largest;

	if (heap_create(&heap, fd) || heap_compact(&heap, &largest) ||
	    heap_destroy(&heap))
		return LONG_MAX;
	return cgroup_kernel_bytes(cgroup);
}

/* Page faults of this thread so far. */
static inline long nr_faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? -1 : usage.ru_minflt;
}

#endif /* PRIVHEAP_UTIL_H */
