// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device, in this process: the calls that the library makes of the module for
 * ordinary heaps, answered by the module's own bookkeeping of blocks. It stands in
 * for libheapdev/device.c. Limits, policies and debug heaps are missing.
 *
 * Pages are real: one that is not committed cannot be touched, and one that is
 * committed begins with garbage. So is the misuse: every wrong address is
 * refused, as by the module, and counted, since the library should know its spans.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "../../module/block.h"
#include "device.h"
#include "../../libheapdev/internal.h"

#define MAX_HEAPS	64
#define MAX_REGIONS	64
#define MAX_COUNTERS	64
#define REGION_PAGES	256UL
#define REGION_ALIGN	65536UL
/* Larger blocks of a growable heap get a region of their own. */
#define REGION_BLOCK_BYTES	0xFE000UL
#define GARBAGE		0xdb

struct region {
	struct ph_block_region blocks;
	struct heap *heap;
	char *mapped;
	unsigned long nr_kept_pages;
	unsigned char *committed;
};

struct heap {
	uint64_t id;
	struct ph_block_store store;
	uint64_t max_bytes;
	unsigned long nr_committed;
	struct region *regions[MAX_REGIONS];
	struct privheap_counters *counters[MAX_COUNTERS];
	unsigned int nr_counters;
};

struct device device;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct heap *heaps[MAX_HEAPS];
static uint64_t next_id;

/* Memory */

static struct region *region_of(struct ph_block_region *blocks)
{
	return container_of(blocks, struct region, blocks);
}

static char *page_at(struct region *region, unsigned long page)
{
	return (char *)region->blocks.base + (page << PAGE_SHIFT);
}

static void set_access(struct region *region, unsigned long first,
		       unsigned long end, int access)
{
	if (end > first && mprotect(page_at(region, first),
				    (end - first) << PAGE_SHIFT, access))
		abort();
}

/* Should this commit fail, as the test wants some to? */
static int refuse_commit(void)
{
	if (!device.fail_nth || --device.fail_nth)
		return 0;
	device.nr_failures++;
	return device.nr_failures % 2 ? -EDQUOT : -ENOMEM;
}

static int commit(struct ph_block_region *blocks, unsigned long first,
		  unsigned long nr)
{
	struct region *region = region_of(blocks);
	unsigned long page;
	int err = refuse_commit();

	if (err)
		return err;
	set_access(region, first, first + nr, PROT_READ | PROT_WRITE);
	for (page = first; page < first + nr; page++) {
		if (region->committed[page])
			continue;
		region->committed[page] = 1;
		region->heap->nr_committed++;
		memset(page_at(region, page), GARBAGE, PAGE_SIZE);
	}
	return 0;
}

static void decommit(struct ph_block_region *blocks, unsigned long first,
		     unsigned long nr)
{
	struct region *region = region_of(blocks);
	unsigned long page, end = first + nr;

	first = max(first, region->nr_kept_pages);
	set_access(region, first, end, PROT_NONE);
	for (page = first; page < end; page++) {
		region->heap->nr_committed -= region->committed[page];
		region->committed[page] = 0;
	}
}

static void drop(struct ph_block_region *blocks, unsigned long first,
		 unsigned long nr)
{
	struct region *region = region_of(blocks);

	memset(page_at(region, first), GARBAGE, nr << PAGE_SHIFT);
}

static const struct ph_block_ops ops = {
	.commit = commit,
	.decommit = decommit,
	.drop = drop,
};

static size_t mapped_bytes(const struct region *region)
{
	return (region->blocks.nr_pages << PAGE_SHIFT) + REGION_ALIGN;
}

static struct region *region_create(struct heap *heap, unsigned long nr_pages,
				    bool dedicated)
{
	struct region *region = calloc(1, sizeof(*region));
	unsigned int i = 0;

	while (i < MAX_REGIONS && heap->regions[i])
		i++;
	if (i == MAX_REGIONS) {
		free(region);
		return NULL;
	}
	region->blocks.nr_pages = nr_pages;
	region->heap = heap;
	region->committed = calloc(1, nr_pages);
	region->mapped = mmap(NULL, mapped_bytes(region), PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region->mapped == MAP_FAILED ||
	    ph_block_region_add(&heap->store, &region->blocks,
				ALIGN((unsigned long)region->mapped, REGION_ALIGN),
				nr_pages, dedicated))
		abort();
	heap->regions[i] = region;
	return region;
}

static void region_destroy(struct region *region)
{
	struct heap *heap = region->heap;
	unsigned long page;
	unsigned int i;

	for (page = 0; page < region->blocks.nr_pages; page++)
		heap->nr_committed -= region->committed[page];
	for (i = 0; i < MAX_REGIONS; i++)
		if (heap->regions[i] == region)
			heap->regions[i] = NULL;
	ph_block_region_remove(&heap->store, &region->blocks);
	munmap(region->mapped, mapped_bytes(region));
	free(region->committed);
	free(region);
}

/* Heaps */

static struct heap *find_heap(uint64_t id)
{
	unsigned int i;

	for (i = 0; i < MAX_HEAPS; i++)
		if (heaps[i] && heaps[i]->id == id)
			return heaps[i];
	return NULL;
}

static struct region *find_region(struct heap *heap, uint64_t addr)
{
	struct region *region;
	unsigned int i;

	for (i = 0; i < MAX_REGIONS; i++) {
		region = heap->regions[i];
		if (region && addr - region->blocks.base <
			      region->blocks.nr_pages << PAGE_SHIFT)
			return region;
	}
	return NULL;
}

static unsigned long pages_of(uint64_t bytes)
{
	return PAGE_ALIGN(bytes) >> PAGE_SHIFT;
}

static int call_create(struct privheap_create *arg)
{
	struct region *region;
	struct heap *heap;
	unsigned int i = 0;

	while (i < MAX_HEAPS && heaps[i])
		i++;
	if (i == MAX_HEAPS || arg->max_bytes > 64UL << 20)
		return -ENOMEM;
	heap = calloc(1, sizeof(*heap));
	heaps[i] = heap;
	ph_block_store_init(&heap->store, &ops);
	heap->store.growable = !arg->max_bytes;
	heap->max_bytes = PAGE_ALIGN(arg->max_bytes);
	heap->id = ++next_id;
	region = region_create(heap, pages_of(arg->max_bytes) ?: REGION_PAGES, false);
	region->nr_kept_pages = min(pages_of(arg->initial_bytes) ?: 1,
				    region->blocks.nr_pages);
	device.fail_nth = 0;
	commit(&region->blocks, 0, region->nr_kept_pages);
	arg->out_heap = heap->id;
	arg->out_base = region->blocks.base;
	return 0;
}

static int call_destroy(struct heap *heap)
{
	unsigned int i;

	for (i = 0; i < MAX_REGIONS; i++)
		if (heap->regions[i])
			region_destroy(heap->regions[i]);
	ph_block_store_exit(&heap->store);
	for (i = 0; i < MAX_HEAPS; i++)
		if (heaps[i] == heap)
			heaps[i] = NULL;
	free(heap);
	return 0;
}

/* The kernel reads a program's counters while that counts. */
__attribute__((__no_sanitize_thread__))
static uint64_t counted_bytes(const struct heap *heap)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < heap->nr_counters; i++)
		bytes += heap->counters[i]->allocated_bytes;
	return bytes;
}

static int call_stat(struct heap *heap, struct privheap_stat *arg)
{
	unsigned int i;

	arg->out_state = 0;
	arg->out_max_bytes = heap->max_bytes;
	arg->out_limit_bytes = 0;
	arg->out_reserved_bytes = 0;
	for (i = 0; i < MAX_REGIONS; i++)
		if (heap->regions[i])
			arg->out_reserved_bytes +=
				heap->regions[i]->blocks.nr_pages << PAGE_SHIFT;
	arg->out_committed_bytes = heap->nr_committed << PAGE_SHIFT;
	arg->out_allocated_bytes = heap->store.allocated_bytes + counted_bytes(heap);
	return 0;
}

/* Blocks */

static int alloc_dedicated(struct heap *heap, uint64_t bytes, unsigned long *addr)
{
	struct region *region = region_create(heap, pages_of(bytes), true);
	int err;

	if (!region)
		return -ENOMEM;
	err = ph_block_alloc_dedicated(&heap->store, &region->blocks, bytes,
				       PH_BLOCK_ALIGN, addr);
	if (err)
		region_destroy(region);
	return err;
}

static int alloc_block(struct heap *heap, uint64_t bytes, unsigned long *addr)
{
	int err;

	if (bytes > 1UL << 30)
		return -EOVERFLOW;
	if (heap->store.growable && bytes > REGION_BLOCK_BYTES)
		return alloc_dedicated(heap, bytes, addr);
	err = ph_block_alloc(&heap->store, bytes, PH_BLOCK_ALIGN, addr);
	if (err == -ENOSPC && heap->store.growable &&
	    region_create(heap, REGION_PAGES, false))
		err = ph_block_alloc(&heap->store, bytes, PH_BLOCK_ALIGN, addr);
	return err;
}

static int find_block(struct heap *heap, uint64_t addr, struct region **region,
		      struct ph_block *block)
{
	*region = find_region(heap, addr);
	return *region ? ph_block_find(&(*region)->blocks, addr, block) : -ENOENT;
}

static int call_alloc(struct heap *heap, struct privheap_alloc *arg)
{
	unsigned long addr;
	int err = alloc_block(heap, arg->bytes, &addr);

	if (err)
		return err;
	if (arg->flags & PRIVHEAP_ALLOC_F_ZERO)
		memset((void *)addr, 0, arg->bytes);
	arg->out_addr = addr;
	return 0;
}

static int call_free(struct heap *heap, uint64_t addr)
{
	struct region *region;
	struct ph_block block;
	int err = find_block(heap, addr, &region, &block);

	if (err)
		return err;
	ph_block_free(&heap->store, &block);
	if (region->blocks.dedicated)
		region_destroy(region);
	return 0;
}

static int move_block(struct heap *heap, struct ph_block *block, uint64_t bytes,
		      unsigned long *addr)
{
	int err = alloc_block(heap, bytes, addr);

	if (err)
		return err;
	memcpy((void *)*addr, (void *)block->addr, min(block->bytes, bytes));
	return call_free(heap, block->addr);
}

static int call_realloc(struct heap *heap, struct privheap_realloc *arg)
{
	unsigned long addr = arg->addr, old_bytes;
	struct region *region;
	struct ph_block block;
	int err = find_block(heap, arg->addr, &region, &block);

	if (err)
		return err;
	old_bytes = block.bytes;
	err = arg->bytes > 1UL << 30 ? -EOVERFLOW :
	      ph_block_resize(&heap->store, &block, arg->bytes);
	if (err == -ENOSPC && !(arg->flags & PRIVHEAP_REALLOC_F_IN_PLACE))
		err = move_block(heap, &block, arg->bytes, &addr);
	if (err)
		return err;
	if (arg->flags & PRIVHEAP_REALLOC_F_ZERO && arg->bytes > old_bytes)
		memset((char *)addr + old_bytes, 0, arg->bytes - old_bytes);
	arg->out_addr = addr;
	return 0;
}

static int call_size(struct heap *heap, struct privheap_size *arg)
{
	struct region *region;
	struct ph_block block;
	int err = find_block(heap, arg->addr, &region, &block);

	if (err)
		return err;
	arg->out_bytes = block.bytes;
	arg->out_capacity_bytes = block.capacity;
	return 0;
}

/* Spans */

static int call_take(struct heap *heap, struct privheap_take *arg)
{
	uint64_t *spans = (uint64_t *)(uintptr_t)arg->spans;
	unsigned long addr;
	int err = ph_block_take(&heap->store, arg->nr_pages, &addr);

	if (err == -ENOSPC && heap->store.growable &&
	    region_create(heap, REGION_PAGES, false))
		err = ph_block_take(&heap->store, arg->nr_pages, &addr);
	if (err)
		return err;
	spans[0] = addr;
	arg->out_nr_spans = 1;
	arg->out_state = device.near ? PRIVHEAP_TAKE_S_NEAR : 0;
	return 0;
}

static int give(struct heap *heap, uint64_t addr)
{
	struct region *region = find_region(heap, addr);

	return region ? ph_block_give(&heap->store, &region->blocks, addr) : -ENOENT;
}

static int drop_pages(struct heap *heap, uint64_t addr, uint64_t bytes)
{
	struct region *region = find_region(heap, addr);

	if (!IS_ALIGNED(addr | bytes, PAGE_SIZE) || !bytes)
		return -EINVAL;
	return region ? ph_block_drop(&heap->store, &region->blocks, addr,
				      bytes >> PAGE_SHIFT) : -ENOENT;
}

static int alloc_entry(struct heap *heap, uint32_t flags,
		       struct privheap_batch_entry *entry)
{
	struct privheap_alloc arg = { .flags = flags, .bytes = entry->bytes };
	int err = call_alloc(heap, &arg);

	if (!err)
		entry->out_addr = arg.out_addr;
	return err;
}

static int do_entry(struct heap *heap, const struct privheap_batch *arg,
		    struct privheap_batch_entry *entry)
{
	switch (arg->op) {
	case PRIVHEAP_BATCH_ALLOC:
		return alloc_entry(heap, arg->flags, entry);
	case PRIVHEAP_BATCH_FREE:
		return call_free(heap, entry->addr);
	case PRIVHEAP_BATCH_GIVE:
		return give(heap, entry->addr);
	default:
		return drop_pages(heap, entry->addr, entry->bytes);
	}
}

static int call_batch(struct heap *heap, struct privheap_batch *arg)
{
	struct privheap_batch_entry *entry =
		(struct privheap_batch_entry *)(uintptr_t)arg->entries;

	for (arg->out_nr_done = 0; arg->out_nr_done < arg->nr_entries; entry++) {
		entry->out_error = -do_entry(heap, arg, entry);
		if (arg->op == PRIVHEAP_BATCH_GIVE || arg->op == PRIVHEAP_BATCH_DROP)
			device.nr_refused += entry->out_error != 0;
		/* As if a signal came. */
		if (++arg->out_nr_done == 5)
			break;
	}
	return 0;
}

static int call_count(struct heap *heap, struct privheap_count *arg)
{
	if (heap->nr_counters == MAX_COUNTERS)
		return -EMFILE;
	heap->counters[heap->nr_counters++] =
		(struct privheap_counters *)(uintptr_t)arg->counters;
	return 0;
}

static int call_reset(struct heap *heap)
{
	struct privheap_counters *counters;
	struct region *region;
	unsigned int i;

	for (i = 0; i < MAX_REGIONS; i++) {
		region = heap->regions[i];
		if (!region)
			continue;
		if (region->blocks.dedicated) {
			region_destroy(region);
			continue;
		}
		ph_block_region_remove(&heap->store, &region->blocks);
		decommit(&region->blocks, 0, region->blocks.nr_pages);
		if (ph_block_region_add(&heap->store, &region->blocks,
					region->blocks.base,
					region->blocks.nr_pages, false))
			abort();
	}
	for (i = 0; i < heap->nr_counters; i++) {
		counters = heap->counters[i];
		counters->nr_blocks = counters->allocated_bytes = 0;
		__atomic_store_n(&counters->key, PRIVHEAP_COUNTERS_RESET,
				 __ATOMIC_RELEASE);
	}
	return 0;
}

/* Walks: regions in order, each with what is in it; then blocks with their own. */

struct place {
	unsigned int region;
	bool dedicated;
	unsigned long cursor;	/* 0: before the region's own entry */
};

static void describe(struct region *region, const struct ph_block_entry *found,
		     struct privheap_entry *entry)
{
	static const unsigned int kinds[] = {
		[PH_ENTRY_BLOCK] = PRIVHEAP_ENTRY_BLOCK,
		[PH_ENTRY_FREE_SLOT] = PRIVHEAP_ENTRY_FREE,
		[PH_ENTRY_FREE_PAGES] = PRIVHEAP_ENTRY_RESERVED,
		[PH_ENTRY_TAKEN] = PRIVHEAP_ENTRY_TAKEN,
	};

	entry->kind = kinds[found->kind];
	entry->addr = found->addr;
	entry->capacity_bytes = found->capacity;
	entry->bytes = found->kind == PH_ENTRY_BLOCK ? found->bytes : found->capacity;
	if (region->blocks.dedicated)
		entry->region = PRIVHEAP_ENTRY_OWN_REGION;
}

static bool walk_step(struct heap *heap, struct place *place,
		      struct privheap_entry *entry)
{
	struct ph_block_entry found;
	struct region *region;

	for (;;) {
		for (; place->region < MAX_REGIONS; place->region++,
						    place->cursor = 0) {
			region = heap->regions[place->region];
			if (!region || region->blocks.dedicated != place->dedicated)
				continue;
			*entry = (struct privheap_entry){ .region = place->region };
			if (!place->cursor && !place->dedicated) {
				entry->kind = PRIVHEAP_ENTRY_REGION;
				entry->addr = region->blocks.base;
				entry->bytes = region->blocks.nr_pages << PAGE_SHIFT;
				entry->capacity_bytes = entry->bytes;
				place->cursor = entry->addr;
				return true;
			}
			while (!ph_block_next(&region->blocks, place->cursor,
					      &found)) {
				place->cursor = found.end;
				if (place->dedicated &&
				    found.kind != PH_ENTRY_BLOCK)
					continue;
				describe(region, &found, entry);
				return true;
			}
		}
		if (place->dedicated)
			return false;
		*place = (struct place){ .dedicated = true };
	}
}

static int walk_resume(struct heap *heap, const struct privheap_walk *arg,
		       struct place *place)
{
	struct region *region = find_region(heap, arg->after_addr);
	struct privheap_entry entry = {};

	if (!region)
		return -ENOENT;
	while (heap->regions[place->region] != region)
		place->region++;
	place->dedicated = region->blocks.dedicated;
	if (arg->after_kind != PRIVHEAP_ENTRY_REGION)
		place->cursor = arg->after_addr;
	walk_step(heap, place, &entry);
	return entry.addr == arg->after_addr && entry.kind == arg->after_kind ?
	       0 : -ENOENT;
}

static int call_walk(struct heap *heap, struct privheap_walk *arg)
{
	struct privheap_entry *entries =
		(struct privheap_entry *)(uintptr_t)arg->entries;
	struct place place = {};
	int err = arg->after_kind ? walk_resume(heap, arg, &place) : 0;

	if (err)
		return err;
	arg->out_nr_entries = 0;
	while (arg->out_nr_entries < arg->nr_entries &&
	       walk_step(heap, &place, &entries[arg->out_nr_entries]))
		arg->out_nr_entries++;
	return 0;
}

static int call_compact(struct heap *heap, struct privheap_compact *arg)
{
	ph_block_trim(&heap->store);
	arg->out_largest_free_bytes = 0;
	return 0;
}

/* Every structure has its heap in the same place. */
static int call_locked(unsigned long request, void *arg)
{
	struct heap *heap = find_heap(((struct privheap_destroy *)arg)->heap);

	if (request == PRIVHEAP_IOC_CREATE)
		return call_create(arg);
	if (!heap)
		return -ENXIO;
	switch (request) {
	case PRIVHEAP_IOC_DESTROY:
		return call_destroy(heap);
	case PRIVHEAP_IOC_STAT:
		return call_stat(heap, arg);
	case PRIVHEAP_IOC_ALLOC:
		return call_alloc(heap, arg);
	case PRIVHEAP_IOC_REALLOC:
		return call_realloc(heap, arg);
	case PRIVHEAP_IOC_FREE:
		return call_free(heap, ((struct privheap_free *)arg)->addr);
	case PRIVHEAP_IOC_SIZE:
		return call_size(heap, arg);
	case PRIVHEAP_IOC_WALK:
		return call_walk(heap, arg);
	case PRIVHEAP_IOC_COMPACT:
		return call_compact(heap, arg);
	case PRIVHEAP_IOC_RESET:
		return call_reset(heap);
	case PRIVHEAP_IOC_TAKE:
		return call_take(heap, arg);
	case PRIVHEAP_IOC_BATCH:
		return call_batch(heap, arg);
	case PRIVHEAP_IOC_COUNT:
		return call_count(heap, arg);
	default:
		return -ENOTTY;
	}
}

/* What the library asks of device.c */

int hd_device_call(unsigned long request, void *arg)
{
	int err;

	pthread_mutex_lock(&mutex);
	err = call_locked(request, arg);
	pthread_mutex_unlock(&mutex);
	return err;
}

static void open_once(void)
{
	if (ph_block_cache_init() || hd_fork_register())
		abort();
	hd_corruption_init();
	hd_debug_init();
	hd_front_init();
}

int hd_device_open(void)
{
	static pthread_once_t opened = PTHREAD_ONCE_INIT;

	pthread_once(&opened, open_once);
	return 0;
}

uint64_t hd_device_max_bytes(void)
{
	return 1UL << 46;
}

void hd_device_fork_prepare(void)
{
}

void hd_device_fork_parent(void)
{
}

void hd_device_fork_child(void)
{
}
