/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for the kernel's headers where module/block*.c, span.c, guard.c and run.c
 * are built in user space: the few names that they use, with their meaning in the
 * kernel. Memory is counted, and can be made to fail; see struct shim.
 *
 * The page size is chosen at build time with -DPAGE_SHIFT=n.
 */
#ifndef _BLOCK_SHIM_H
#define _BLOCK_SHIM_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PAGE_SHIFT
#error "define PAGE_SHIFT: the tests run with several page sizes"
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef unsigned int gfp_t;

#define U8_MAX	UINT8_MAX

/*
 * compiler.h, init.h, bug.h
 */
#define __used		__attribute__((used))
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define noinline	__attribute__((noinline))
#define fallthrough	__attribute__((fallthrough))
#ifndef __always_inline
#define __always_inline	inline __attribute__((always_inline))
#endif
#define __init
#define __ro_after_init
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

/* A warning is a failed test, so there is no "once". */
#define WARN_ON_ONCE(condition) \
	((condition) ? (fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, \
				#condition), abort(), true) : false)

/*
 * minmax.h, array_size.h, math.h, bits.h, bitops.h, log2.h, overflow.h, bitmap.h
 */
#define min(a, b) \
	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) \
	({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define clamp(x, lo, hi)		min(max(x, lo), hi)
#define rounddown(x, n)			((x) - (x) % (n))
#define DIV_ROUND_UP_ULL(x, n)		(((x) + (n) - 1) / (n))
#define ALIGN(x, a)			(((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
#define ARRAY_SIZE(array)		(sizeof(array) / sizeof((array)[0]))
#define IS_ALIGNED(x, a)		(!((x) & ((a) - 1)))
#define BITS_PER_LONG			((unsigned int)(sizeof(long) * CHAR_BIT))
#define BITS_TO_LONGS(n)		(((n) + BITS_PER_LONG - 1) / BITS_PER_LONG)
#define BIT(n)				(1UL << (n))
#define BIT_ULL(n)			(1ULL << (n))
#define struct_size(p, member, n) \
	(sizeof(*(p)) + (n) * sizeof((p)->member[0]))

static inline unsigned long __ffs(unsigned long word)
{
	return __builtin_ctzl(word);
}

static inline unsigned long __ffs64(u64 word)
{
	return __builtin_ctzll(word);
}

static inline unsigned long __fls(unsigned long word)
{
	return BITS_PER_LONG - 1 - __builtin_clzl(word);
}

static inline unsigned int ilog2(unsigned long n)
{
	return __fls(n);
}

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

static inline bool test_bit(unsigned long n, const unsigned long *bitmap)
{
	return bitmap[n / BITS_PER_LONG] >> (n % BITS_PER_LONG) & 1;
}

static inline unsigned long find_next_zero_bit(const unsigned long *bitmap,
					       unsigned long nr,
					       unsigned long n)
{
	while (n < nr && test_bit(n, bitmap))
		n++;
	return n < nr ? n : nr;
}

static inline void bitmap_set(unsigned long *bitmap, unsigned int start,
			      unsigned int nr)
{
	for (; nr; start++, nr--)
		bitmap[start / BITS_PER_LONG] |= BIT(start % BITS_PER_LONG);
}

/*
 * page.h, sched.h
 */
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define PAGE_ALIGN(x)	ALIGN(x, PAGE_SIZE)

static inline void cond_resched(void)
{
}

/*
 * err.h
 */
#define IS_ERR_VALUE(x)	((unsigned long)(x) >= (unsigned long)-4095)

static inline void *ERR_PTR(long err)
{
	return (void *)err;
}

static inline long PTR_ERR(const void *ptr)
{
	return (long)ptr;
}

static inline bool IS_ERR(const void *ptr)
{
	return IS_ERR_VALUE(ptr);
}

static inline int PTR_ERR_OR_ZERO(const void *ptr)
{
	return IS_ERR(ptr) ? PTR_ERR(ptr) : 0;
}

/*
 * list.h
 */
struct list_head {
	struct list_head *next, *prev;
};

#define list_first_entry(head, type, member) \
	container_of((head)->next, type, member)
#define list_for_each_entry(pos, head, member) \
	for (pos = list_first_entry(head, __typeof__(*pos), member); \
	     &pos->member != (head); \
	     pos = container_of(pos->member.next, __typeof__(*pos), member))

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline bool list_is_last(const struct list_head *node,
				const struct list_head *head)
{
	return node->next == head;
}

static inline void list_add(struct list_head *node, struct list_head *head)
{
	node->prev = head;
	node->next = head->next;
	head->next->prev = node;
	head->next = node;
}

static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	list_add(node, head->prev);
}

/* What is not on a list any more must not be followed. */
static inline void list_del(struct list_head *node)
{
	node->next->prev = node->prev;
	node->prev->next = node->next;
	node->next = node->prev = NULL;
}

static inline void list_move_tail(struct list_head *node, struct list_head *head)
{
	list_del(node);
	list_add_tail(node, head);
}

/*
 * gfp.h, slab.h
 */
#define GFP_KERNEL_ACCOUNT	1U
#define __GFP_RETRY_MAYFAIL	2U
#define __GFP_NOWARN		4U
#define SLAB_ACCOUNT		1U

/**
 * struct shim - what the tests see of memory
 * @nr_allocs: objects that are allocated
 * @alloc_bytes: their sizes as kmalloc() rounds them up
 * @nr_failures: allocations that failed
 * @fail_nth: the n-th one from now on fails; 0 for none
 * @fail_all: all fail
 * @nr_lookups: searches in an xarray
 */
struct shim {
	unsigned long nr_allocs;
	unsigned long alloc_bytes;
	unsigned long nr_failures;
	unsigned long fail_nth;
	bool fail_all;
	unsigned long nr_lookups;
};

extern struct shim shim;

struct kmem_cache {
	size_t bytes;
};

#define KMEM_CACHE(type, flags)	kmem_cache_create_shim(sizeof(struct type))

size_t kmalloc_size_roundup(size_t bytes);
void *kzalloc(size_t bytes, gfp_t gfp);
void kfree(const void *object);
struct kmem_cache *kmem_cache_create_shim(size_t bytes);
void kmem_cache_destroy(struct kmem_cache *cache);
void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp);
void kmem_cache_free(struct kmem_cache *cache, void *object);

/*
 * xarray.h: a sorted array, which grows at xa_store() only
 */
typedef unsigned int xa_mark_t;

#define XA_PRESENT		0U
#define XA_FLAGS_ACCOUNT	1U

struct xa_slot {
	unsigned long index;
	void *entry;
};

struct xarray {
	struct xa_slot *slots;
	size_t nr, room;
};

#define xa_for_each_range(xa, index, entry, start, last) \
	for (index = (start), entry = xa_find(xa, &index, last, XA_PRESENT); \
	     entry; entry = xa_find_after(xa, &index, last, XA_PRESENT))
#define xa_for_each(xa, index, entry) \
	xa_for_each_range(xa, index, entry, 0, ULONG_MAX)

static inline bool xa_is_err(const void *entry)
{
	return IS_ERR(entry);
}

void xa_init_flags(struct xarray *xa, gfp_t flags);
void xa_destroy(struct xarray *xa);
void *xa_load(struct xarray *xa, unsigned long index);
void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);
void *xa_erase(struct xarray *xa, unsigned long index);
void *xa_find(struct xarray *xa, unsigned long *index, unsigned long last,
	      xa_mark_t filter);
void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long last,
		    xa_mark_t filter);

#endif /* _BLOCK_SHIM_H */
