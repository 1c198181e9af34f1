// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory of the front end's own objects, and the table that leads from a page to the
 * span it is in.
 *
 * It comes from mappings between guard pages and is never given back, only used
 * again; so a stale pointer into it is never a fault. How the objects look is not
 * known here.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "frontend.h"

/* What is mapped at a time. */
#define ARENA_BYTES		(4UL << 20)
#define ARENA_UNIT		64UL
#define ARENA_MAX_UNITS		1024
/* Of the table; each covers 1 GiB, so that a heap is mostly in one. */
#define MAX_LEAVES		16384

struct unused {
	struct unused *next;
};

size_t hd_page_bytes;
pthread_mutex_t hd_arena_mutex = PTHREAD_MUTEX_INITIALIZER;
struct hd_leaf *hd_map[HD_MAP_DIRECTORY_SLOTS];

static char *arena, *arena_end;
static struct unused *arena_unused[ARENA_MAX_UNITS + 1];
static uint32_t leaves[MAX_LEAVES];
static unsigned int nr_leaves;

/*
 * A mapping with a page on either side that nobody can touch, and without huge pages:
 * most of a leaf is never used, and where counters are the kernel refuses them.
 */
static void *map_guarded(size_t bytes)
{
	int saved = errno;
	char *mem = mmap(NULL, bytes + 2 * hd_page_bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem != MAP_FAILED &&
	    mprotect(mem + hd_page_bytes, bytes, PROT_READ | PROT_WRITE)) {
		munmap(mem, bytes + 2 * hd_page_bytes);
		mem = MAP_FAILED;
	}
	if (mem != MAP_FAILED)
		madvise(mem + hd_page_bytes, bytes, MADV_NOHUGEPAGE);
	errno = saved;
	return mem == MAP_FAILED ? NULL : mem + hd_page_bytes;
}

static size_t arena_units(size_t bytes)
{
	return (bytes + ARENA_UNIT - 1) / ARENA_UNIT;
}

static void *arena_alloc_locked(size_t units)
{
	struct unused *unused = arena_unused[units];
	char *mem;

	if (unused) {
		arena_unused[units] = unused->next;
		memset(unused, 0, units * ARENA_UNIT);
		return unused;
	}
	if ((size_t)(arena_end - arena) < units * ARENA_UNIT) {
		mem = map_guarded(ARENA_BYTES);
		if (!mem)
			return NULL;
		arena = mem;
		arena_end = mem + ARENA_BYTES;
	}
	mem = arena;
	arena += units * ARENA_UNIT;
	return mem;
}

/* Zeroed memory, or NULL. */
void *hd_arena_alloc(size_t bytes)
{
	void *mem;

	pthread_mutex_lock(&hd_arena_mutex);
	mem = arena_alloc_locked(arena_units(bytes));
	pthread_mutex_unlock(&hd_arena_mutex);
	return mem;
}

void hd_arena_free(void *mem, size_t bytes)
{
	struct unused *unused = mem;

	pthread_mutex_lock(&hd_arena_mutex);
	unused->next = arena_unused[arena_units(bytes)];
	arena_unused[arena_units(bytes)] = unused;
	pthread_mutex_unlock(&hd_arena_mutex);
}

/* The table of pages */

static size_t leaf_bytes(void)
{
	return (sizeof(struct hd_leaf) + hd_page_bytes - 1) & -hd_page_bytes;
}

bool hd_map_reserve(uintptr_t addr)
{
	uintptr_t index = addr >> (HD_MAP_SHIFT + HD_MAP_LEAF_BITS);
	struct hd_leaf **slot = &hd_map[index];
	struct hd_leaf *leaf;

	if (index >= HD_MAP_DIRECTORY_SLOTS)
		return false;
	if (__atomic_load_n(slot, __ATOMIC_ACQUIRE))
		return true;
	pthread_mutex_lock(&hd_arena_mutex);
	if (!*slot && nr_leaves < MAX_LEAVES) {
		leaf = map_guarded(leaf_bytes());
		if (leaf)
			leaves[nr_leaves++] = index;
		__atomic_store_n(slot, leaf, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&hd_arena_mutex);
	return *slot;
}

void hd_map_set(uintptr_t addr, size_t bytes, struct hd_span *span)
{
	uintptr_t page = addr >> HD_MAP_SHIFT;
	uintptr_t end = (addr + bytes) >> HD_MAP_SHIFT;
	struct hd_leaf *leaf;

	for (; page < end; page++) {
		leaf = hd_map[page / HD_MAP_LEAF_SLOTS];
		__atomic_store_n(&leaf->offsets[page % HD_MAP_LEAF_SLOTS],
				 span ? (char *)span - (char *)leaf : 0,
				 __ATOMIC_RELEASE);
	}
}

/* The child has no heap; nothing of what described them is of use to it. */
void hd_arena_fork_child(void)
{
	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
	unsigned int i;

	for (i = 0; i < nr_leaves; i++)
		madvise(hd_map[leaves[i]], leaf_bytes(), MADV_DONTNEED);
	arena = arena_end = NULL;
	memset(arena_unused, 0, sizeof(arena_unused));
	hd_arena_mutex = unlocked;
}
