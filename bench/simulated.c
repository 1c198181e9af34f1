// SPDX-License-Identifier: GPL-2.0-only
/*
 * What libheapdev does itself, measured without the module: to be preloaded, with
 * HEAPDEV_DEVICE=/dev/null. Each call of the module is made to that device, which
 * refuses it, so that it costs what entering the kernel costs; and then done
 * here in the simplest way. Memory is reserved for each heap at once, blocks
 * and spans are runs of its pages, and a run that was freed is used again for one
 * of its length. Limits, checks and everything else that the module is for are
 * missing: figures that are made with this show the user-space part alone.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/privheap.h>

#define NR_HEAPS	64
#define PAGE_SHIFT	12
#define PAGE_BYTES	(1UL << PAGE_SHIFT)
#define HEAP_BYTES	(1UL << 32)
#define NR_PAGES	(HEAP_BYTES >> PAGE_SHIFT)
#define REGION_ALIGN	(1UL << 16)

/* @lengths: of the run that starts at a page; @next: of free ones. 0 ends a list. */
struct heap {
	char *mapped;
	char *base;
	uint32_t end;
	uint32_t *lengths;
	uint64_t *bytes;
	uint32_t *next;
	uint32_t free[NR_PAGES + 1];
};

static struct heap *heaps[NR_HEAPS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *map(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static struct heap *find(uint64_t id)
{
	return id && id <= NR_HEAPS ? heaps[id - 1] : NULL;
}

static int call_info(struct privheap_info *arg)
{
	arg->out_abi_version = PRIVHEAP_ABI_VERSION;
	arg->out_page_bytes = PAGE_BYTES;
	arg->out_region_align_bytes = REGION_ALIGN;
	arg->out_block_align_bytes = 16;
	arg->out_align_max_bytes = PAGE_BYTES;
	arg->out_max_bytes = HEAP_BYTES;
	arg->out_take_max_spans = 1;
	arg->out_take_max_pages = 1024;
	arg->out_batch_max = 1024;
	return 0;
}

static struct heap *heap_new(void)
{
	struct heap *heap = map(sizeof(*heap));

	if (!heap)
		return NULL;
	heap->mapped = map(HEAP_BYTES + REGION_ALIGN);
	heap->lengths = map(NR_PAGES * sizeof(*heap->lengths));
	heap->bytes = map(NR_PAGES * sizeof(*heap->bytes));
	heap->next = map(NR_PAGES * sizeof(*heap->next));
	if (!heap->mapped || !heap->lengths || !heap->bytes || !heap->next)
		return NULL;
	heap->base = heap->mapped + -(uintptr_t)heap->mapped % REGION_ALIGN;
	heap->end = 1;
	return heap;
}

static int call_create(struct privheap_create *arg)
{
	uint64_t id;

	for (id = 1; id <= NR_HEAPS && find(id); id++)
		;
	if (id > NR_HEAPS)
		return -ENOMEM;
	heaps[id - 1] = heap_new();
	if (!find(id))
		return -ENOMEM;
	arg->out_heap = id;
	arg->out_base = (uintptr_t)find(id)->base;
	return 0;
}

static int call_destroy(struct privheap_destroy *arg)
{
	struct heap *heap = find(arg->heap);

	munmap(heap->mapped, HEAP_BYTES + REGION_ALIGN);
	munmap(heap->lengths, NR_PAGES * sizeof(*heap->lengths));
	munmap(heap->bytes, NR_PAGES * sizeof(*heap->bytes));
	munmap(heap->next, NR_PAGES * sizeof(*heap->next));
	munmap(heap, sizeof(*heap));
	heaps[arg->heap - 1] = NULL;
	return 0;
}

static uint32_t page_of(const struct heap *heap, uint64_t addr)
{
	return (addr - (uintptr_t)heap->base) >> PAGE_SHIFT;
}

/* 0 if there is no room. */
static uint64_t take_run(struct heap *heap, uint64_t bytes, uint32_t nr_pages)
{
	uint32_t page = heap->free[nr_pages];

	if (page) {
		heap->free[nr_pages] = heap->next[page];
	} else {
		if (nr_pages > NR_PAGES - heap->end)
			return 0;
		page = heap->end;
		heap->end += nr_pages;
	}
	heap->lengths[page] = nr_pages;
	heap->bytes[page] = bytes;
	return (uintptr_t)heap->base + page * PAGE_BYTES;
}

static void give_run(struct heap *heap, uint64_t addr)
{
	uint32_t page = page_of(heap, addr), nr_pages = heap->lengths[page];

	heap->next[page] = heap->free[nr_pages];
	heap->free[nr_pages] = page;
}

static uint64_t alloc_block(struct heap *heap, uint64_t bytes, uint32_t flags)
{
	uint32_t nr_pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES ?: 1;
	uint64_t addr = take_run(heap, bytes, nr_pages);

	if (addr && flags & PRIVHEAP_ALLOC_F_ZERO)
		memset((void *)(uintptr_t)addr, 0, bytes);
	return addr;
}

static int call_alloc(struct privheap_alloc *arg)
{
	arg->out_addr = alloc_block(find(arg->heap), arg->bytes, arg->flags);
	return arg->out_addr ? 0 : -ENOMEM;
}

static int call_free(struct privheap_free *arg)
{
	give_run(find(arg->heap), arg->addr);
	return 0;
}

static int call_size(struct privheap_size *arg)
{
	struct heap *heap = find(arg->heap);

	arg->out_bytes = heap->bytes[page_of(heap, arg->addr)];
	return 0;
}

static int call_realloc(struct privheap_realloc *arg)
{
	struct heap *heap = find(arg->heap);
	uint32_t page = page_of(heap, arg->addr);
	uint64_t old_bytes = heap->bytes[page];

	arg->out_addr = arg->addr;
	heap->bytes[page] = arg->bytes;
	if (arg->bytes <= heap->lengths[page] * PAGE_BYTES)
		return 0;
	arg->out_addr = alloc_block(heap, arg->bytes, 0);
	if (!arg->out_addr)
		return -ENOMEM;
	memcpy((void *)(uintptr_t)arg->out_addr, (void *)(uintptr_t)arg->addr,
	       old_bytes);
	give_run(heap, arg->addr);
	return 0;
}

static int call_take(struct privheap_take *arg)
{
	uint64_t *spans = (uint64_t *)(uintptr_t)arg->spans;

	arg->out_state = 0;
	arg->out_nr_spans = 1;
	spans[0] = take_run(find(arg->heap), arg->nr_pages * PAGE_BYTES,
			    arg->nr_pages);
	return spans[0] ? 0 : -ENOMEM;
}

static int call_batch(struct privheap_batch *arg)
{
	struct privheap_batch_entry *entry =
		(struct privheap_batch_entry *)(uintptr_t)arg->entries;
	struct heap *heap = find(arg->heap);

	for (arg->out_nr_done = 0; arg->out_nr_done < arg->nr_entries;
	     arg->out_nr_done++, entry++) {
		entry->out_error = 0;
		if (arg->op == PRIVHEAP_BATCH_DROP) {
			madvise((void *)(uintptr_t)entry->addr, entry->bytes,
				MADV_DONTNEED);
			continue;
		}
		if (arg->op != PRIVHEAP_BATCH_ALLOC) {
			give_run(heap, entry->addr);
			continue;
		}
		entry->out_addr = alloc_block(heap, entry->bytes, arg->flags);
		if (!entry->out_addr)
			entry->out_error = ENOMEM;
	}
	return 0;
}

static int call_locked(unsigned long request, void *arg)
{
	switch (request) {
	case PRIVHEAP_IOC_INFO:
		return call_info(arg);
	case PRIVHEAP_IOC_CREATE:
		return call_create(arg);
	case PRIVHEAP_IOC_DESTROY:
		return call_destroy(arg);
	case PRIVHEAP_IOC_ALLOC:
		return call_alloc(arg);
	case PRIVHEAP_IOC_REALLOC:
		return call_realloc(arg);
	case PRIVHEAP_IOC_FREE:
		return call_free(arg);
	case PRIVHEAP_IOC_SIZE:
		return call_size(arg);
	case PRIVHEAP_IOC_TAKE:
		return call_take(arg);
	case PRIVHEAP_IOC_BATCH:
		return call_batch(arg);
	case PRIVHEAP_IOC_COUNT:
	case PRIVHEAP_IOC_COMPACT:
		return 0;
	default:
		return -ENOTTY;
	}
}

/* In place of that of the C library. */
__attribute__((visibility("default")))
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *arg;
	int err;

	va_start(arguments, request);
	arg = va_arg(arguments, void *);
	va_end(arguments);
	syscall(SYS_ioctl, fd, request, arg);
	pthread_mutex_lock(&mutex);
	err = call_locked(request, arg);
	pthread_mutex_unlock(&mutex);
	if (!err)
		return 0;
	errno = -err;
	return -1;
}
