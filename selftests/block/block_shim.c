// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of the kernel's stand-in that are no macros: memory and xarrays.
 */
#include "block_shim.h"

struct shim shim;

/* The sizes of the kernel's kmalloc caches, then whole powers of two. */
size_t kmalloc_size_roundup(size_t bytes)
{
	size_t size = 8;

	if (bytes > 64 && bytes <= 96)
		return 96;
	if (bytes > 128 && bytes <= 192)
		return 192;
	while (size < bytes)
		size *= 2;
	return size;
}

/* Each object is preceded by its size, so that freeing can be counted. */
struct shim_object {
	size_t bytes;
	max_align_t data[];
};

static bool shim_fails(void)
{
	if (!shim.fail_all && (!shim.fail_nth || --shim.fail_nth))
		return false;
	shim.nr_failures++;
	return true;
}

void *kzalloc(size_t bytes, gfp_t gfp)
{
	struct shim_object *object;

	(void)gfp;
	if (shim_fails())
		return NULL;
	object = calloc(1, sizeof(*object) + bytes);
	if (!object)
		abort();
	object->bytes = kmalloc_size_roundup(bytes);
	shim.nr_allocs++;
	shim.alloc_bytes += object->bytes;
	return object->data;
}

void kfree(const void *data)
{
	struct shim_object *object;

	if (!data)
		return;
	object = container_of((char *)data, struct shim_object, data);
	shim.nr_allocs--;
	shim.alloc_bytes -= object->bytes;
	free(object);
}

struct kmem_cache *kmem_cache_create_shim(size_t bytes)
{
	struct kmem_cache *cache = kzalloc(sizeof(*cache), GFP_KERNEL_ACCOUNT);

	if (cache)
		cache->bytes = bytes;
	return cache;
}

void kmem_cache_destroy(struct kmem_cache *cache)
{
	kfree(cache);
}

void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	return kzalloc(cache->bytes, gfp);
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	(void)cache;
	kfree(object);
}

/* Where @index is, or would be. */
static size_t xa_position(const struct xarray *xa, unsigned long index)
{
	size_t lo = 0, hi = xa->nr, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (xa->slots[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool xa_holds(const struct xarray *xa, size_t pos, unsigned long index)
{
	return pos < xa->nr && xa->slots[pos].index == index;
}

void xa_init_flags(struct xarray *xa, gfp_t flags)
{
	(void)flags;
	memset(xa, 0, sizeof(*xa));
}

/* As in the kernel, what the entries point to is the caller's business. */
void xa_destroy(struct xarray *xa)
{
	free(xa->slots);
	memset(xa, 0, sizeof(*xa));
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	size_t pos = xa_position(xa, index);

	shim.nr_lookups++;
	return xa_holds(xa, pos, index) ? xa->slots[pos].entry : NULL;
}

static void xa_grow(struct xarray *xa)
{
	xa->room = xa->room ? 2 * xa->room : 8;
	xa->slots = reallocarray(xa->slots, xa->room, sizeof(*xa->slots));
	if (!xa->slots)
		abort();
}

void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	size_t pos = xa_position(xa, index);
	void *old = NULL;

	(void)gfp;
	if (xa_holds(xa, pos, index)) {
		old = xa->slots[pos].entry;
	} else {
		if (shim_fails())
			return ERR_PTR(-ENOMEM);
		if (xa->nr == xa->room)
			xa_grow(xa);
		memmove(xa->slots + pos + 1, xa->slots + pos,
			(xa->nr++ - pos) * sizeof(*xa->slots));
		xa->slots[pos].index = index;
	}
	xa->slots[pos].entry = entry;
	return old;
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	size_t pos = xa_position(xa, index);
	void *old;

	if (!xa_holds(xa, pos, index))
		return NULL;
	old = xa->slots[pos].entry;
	memmove(xa->slots + pos, xa->slots + pos + 1,
		(--xa->nr - pos) * sizeof(*xa->slots));
	return old;
}

void *xa_find(struct xarray *xa, unsigned long *index, unsigned long last,
	      xa_mark_t filter)
{
	size_t pos = xa_position(xa, *index);

	(void)filter;
	shim.nr_lookups++;
	if (pos == xa->nr || xa->slots[pos].index > last)
		return NULL;
	*index = xa->slots[pos].index;
	return xa->slots[pos].entry;
}

void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long last,
		    xa_mark_t filter)
{
	unsigned long next = *index + 1;
	void *entry;

	if (!next)
		return NULL;
	entry = xa_find(xa, &next, last, filter);
	if (entry)
		*index = next;
	return entry;
}
