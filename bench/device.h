/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls of the module as functions. They end the program when a call fails:
 * nothing that is measured is to fail.
 */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../uapi/linux/privheap.h"
#include "harness.h"

#define DEVICE_CALL(fd, name, ...)					\
	struct privheap_##name arg = { .size = sizeof(arg), __VA_ARGS__ }; \
									\
	if (ioctl(fd, DEVICE_IOC_##name, &arg))				\
		bench_die(#name)

#define DEVICE_IOC_create	PRIVHEAP_IOC_CREATE
#define DEVICE_IOC_destroy	PRIVHEAP_IOC_DESTROY
#define DEVICE_IOC_stat		PRIVHEAP_IOC_STAT
#define DEVICE_IOC_alloc	PRIVHEAP_IOC_ALLOC
#define DEVICE_IOC_free		PRIVHEAP_IOC_FREE
#define DEVICE_IOC_size		PRIVHEAP_IOC_SIZE
#define DEVICE_IOC_reset	PRIVHEAP_IOC_RESET
#define DEVICE_IOC_prefault	PRIVHEAP_IOC_PREFAULT
#define DEVICE_IOC_compact	PRIVHEAP_IOC_COMPACT
#define DEVICE_IOC_walk		PRIVHEAP_IOC_WALK

static inline int device_open(void)
{
	int fd = open("/dev/privheap", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		bench_die("/dev/privheap");
	return fd;
}

/* @max_bytes of 0 makes a growable heap. */
static inline uint64_t heap_create(int fd, size_t max_bytes)
{
	DEVICE_CALL(fd, create, .max_bytes = max_bytes);
	return arg.out_heap;
}

static inline uint64_t heap_create_with(int fd, size_t max_bytes,
					unsigned int policy)
{
	DEVICE_CALL(fd, create, .max_bytes = max_bytes, .policy = policy);
	return arg.out_heap;
}

static inline void heap_destroy(int fd, uint64_t heap)
{
	DEVICE_CALL(fd, destroy, .heap = heap);
}

static inline void heap_reset(int fd, uint64_t heap, size_t keep_bytes)
{
	DEVICE_CALL(fd, reset, .heap = heap, .keep_bytes = keep_bytes);
}

static inline void heap_prefault(int fd, uint64_t heap, void *start,
				 size_t bytes)
{
	DEVICE_CALL(fd, prefault, .heap = heap, .addr = (uintptr_t)start,
		    .bytes = bytes);
	if (arg.out_done_bytes != bytes)
		bench_die("prefault");
}

static inline void heap_compact(int fd, uint64_t heap)
{
	DEVICE_CALL(fd, compact, .heap = heap);
}

static inline uint64_t heap_resident_bytes(int fd, uint64_t heap)
{
	DEVICE_CALL(fd, stat, .heap = heap);
	return arg.out_resident_bytes;
}

static inline void *heap_alloc(int fd, uint64_t heap, size_t bytes,
			       unsigned int flags)
{
	DEVICE_CALL(fd, alloc, .flags = flags, .heap = heap, .bytes = bytes);
	return (void *)(uintptr_t)arg.out_addr;
}

static inline void *heap_alloc_aligned(int fd, uint64_t heap, size_t bytes,
				       size_t align)
{
	DEVICE_CALL(fd, alloc, .heap = heap, .bytes = bytes, .align = align);
	return (void *)(uintptr_t)arg.out_addr;
}

static inline void heap_free(int fd, uint64_t heap, void *block)
{
	DEVICE_CALL(fd, free, .heap = heap, .addr = (uintptr_t)block);
}

static inline uint64_t heap_size(int fd, uint64_t heap, void *block)
{
	DEVICE_CALL(fd, size, .heap = heap, .addr = (uintptr_t)block);
	return arg.out_bytes;
}

static inline size_t page_bytes(void)
{
	return sysconf(_SC_PAGESIZE);
}

#endif /* BENCH_DEVICE_H */
