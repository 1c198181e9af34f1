// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Debug heaps: what the calls on one do.
 *
 * The kernel knows which blocks there are, so a pointer is looked up as in any
 * heap. This file adds what surrounds a block (layout.c), keeps freed blocks for a
 * while (delayed.c; guarded ones the kernel keeps), and decides what is done about
 * what is found: a page heap writes a line and ends the process; other debug heaps
 * write a line, and the call fails.
 *
 * A block that is delayed is live to the kernel and freed to the program.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "debug.h"

/* Page heaps refuse more. */
#define EXTREME_BYTES	((size_t)0x7ff00000)
/* What any layout adds is less. */
#define MAX_EXTRA_BYTES	256

static time_t start_s;

/* Set-up */

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

void hd_debug_init(void)
{
	hd_gflags_init();
	start_s = now_s();
}

static uint64_t first_random(const struct hd_settings *settings)
{
	uint64_t seed = settings->seed;
	int saved = errno;

	if (!seed && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = getpid();
	errno = saved;
	return seed;
}

struct hd_debug *hd_debug_new(struct hd_debug *old,
			      const struct hd_settings *settings,
			      HANDLE handle, SIZE_T max_bytes)
{
	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
	struct hd_debug *debug = old;
	int saved = errno;

	if (!debug) {
		debug = mmap(NULL, sizeof(*debug), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		errno = saved;
		if (debug == MAP_FAILED)
			return NULL;
	}
	debug->settings = *settings;
	debug->handle = handle;
	debug->max_bytes = settings->page_heap ? max_bytes : 0;
	atomic_store(&debug->allocated_bytes, 0);
	atomic_store(&debug->random, first_random(settings));
	atomic_store(&debug->thread, 0);
	debug->mutex = unlocked;
	hd_delayed_init(&debug->delayed);
	hd_shadow_reset(&debug->shadow);
	if (settings->page_heap == HD_PAGE_HEAP_FULL)
		hd_report_catch_faults();
	return debug;
}

static bool is_page_heap(const struct hd_debug *debug)
{
	return debug->settings.page_heap != HD_PAGE_HEAP_NONE;
}

/* splitmix64; each caller gets a value of its own */
static unsigned int random_below(struct hd_debug *debug, unsigned int bound)
{
	uint64_t value = atomic_fetch_add(&debug->random, 0x9e3779b97f4a7c15u);

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return (value ^ value >> 31) % bound;
}

/* Reports */

static struct hd_report make_report(const struct hd_debug *debug,
				    const char *function,
				    const struct hd_block *block)
{
	return (struct hd_report) {
		.function = function,
		.heap = debug->handle,
		.block = block ? block->user : NULL,
		.bytes = block ? block->bytes : 0,
		.alloc_cookie = block ? block->alloc_cookie : 0,
		.free_cookie = block ? block->free_cookie : 0,
	};
}

/* What was found ends the process in a page heap. */
static void report_damage(const struct hd_debug *debug,
			  const struct hd_report *report)
{
	if (is_page_heap(debug))
		hd_report_fatal(report);
	hd_report_print(report);
}

static uint64_t make_cookie(const struct hd_debug *debug, void *caller)
{
	uint64_t cookie = (uint64_t)gettid() << 32;

	if (!is_page_heap(debug))
		return 0;
	if (!debug->settings.no_traces)
		cookie |= hd_stack_capture(caller);
	return cookie;
}

void hd_debug_bad_handle(const char *function, HANDLE handle)
{
	struct hd_report report = {
		.stop = HD_STOP_BAD_HANDLE,
		.function = function,
		.heap = handle,
	};

	if (hd_gflags_environment()->page_heap)
		hd_report_fatal(&report);
}

void hd_debug_destroy_process_heap(HANDLE handle)
{
	struct hd_report report = {
		.stop = HD_STOP_DESTROY_PROCESS_HEAP,
		.function = "HeapDestroy",
		.heap = handle,
	};

	if (hd_gflags_environment()->page_heap)
		hd_report_fatal(&report);
}

/* An unserialised heap that is to be used by one thread alone. */
static void check_thread(const struct hd_ref *ref, const char *function)
{
	struct hd_report report = make_report(ref->debug, function, NULL);
	uint64_t first = 0, thread = gettid();

	if (!ref->debug->settings.no_sync ||
	    !(ref->heap_flags & HEAP_NO_SERIALIZE))
		return;
	if (atomic_compare_exchange_strong(&ref->debug->thread, &first, thread) ||
	    first == thread)
		return;
	report.stop = HD_STOP_UNSYNCHRONISED;
	report.value = thread;
	report.has_value = true;
	hd_report_fatal(&report);
}

/* Blocks */

static void from_description(const struct hd_debug *debug,
			     const struct hd_description *found,
			     struct hd_block *block)
{
	*block = (struct hd_block) {
		.state = found->freed ? HD_BLOCK_FREED : HD_BLOCK_LIVE,
		.guarded = found->guarded,
		.base = found->block,
		.kernel_bytes = found->bytes,
		.alloc_cookie = found->alloc_cookie,
		.free_cookie = found->free_cookie,
	};
	hd_layout_locate(debug, block);
}

bool hd_debug_look(struct hd_heap *heap, const void *address,
		   struct hd_block *block)
{
	struct hd_debug *debug = atomic_load(&heap->debug);
	uint64_t id = atomic_load(&heap->id);
	struct hd_description found;

	if (!id || !debug || debug->settings.page_heap != HD_PAGE_HEAP_FULL ||
	    hd_backend_describe(id, address, &found))
		return false;
	block->state = HD_BLOCK_NONE;
	if (found.block)
		from_description(debug, &found, block);
	return true;
}

static void mark_delayed(struct hd_debug *debug, struct hd_block *block)
{
	const struct hd_delayed_block *delayed;

	pthread_mutex_lock(&debug->mutex);
	delayed = hd_delayed_find(&debug->delayed, block->base);
	if (delayed) {
		block->state = HD_BLOCK_FREED;
		block->free_cookie = delayed->free_cookie;
	}
	pthread_mutex_unlock(&debug->mutex);
}

/* The block that @address belongs to, if any. */
static int look(const struct hd_ref *ref, const void *address,
		struct hd_block *block)
{
	struct hd_description found;
	int err = hd_backend_describe(ref->id, address, &found);

	block->state = HD_BLOCK_NONE;
	if (err || !found.block)
		return err == -ENOENT ? 0 : err;
	from_description(ref->debug, &found, block);
	if (!block->guarded)
		mark_delayed(ref->debug, block);
	return 0;
}

/* The same for an entry of a walk; only in a full page heap it must be asked for. */
static int look_at_entry(const struct hd_ref *ref,
			 const struct privheap_entry *entry,
			 struct hd_block *block)
{
	char *base = (char *)(uintptr_t)entry->addr;

	if (ref->debug->settings.page_heap == HD_PAGE_HEAP_FULL)
		return look(ref, base, block);
	*block = (struct hd_block) {
		.state = HD_BLOCK_LIVE,
		.base = base,
		.kernel_bytes = entry->bytes,
	};
	hd_layout_locate(ref->debug, block);
	mark_delayed(ref->debug, block);
	return 0;
}

struct owner {
	const struct hd_heap *not_this;
	const void *address;
	HANDLE handle;
};

static bool owns(struct hd_heap *heap, void *arg)
{
	uint64_t id = atomic_load(&heap->id);
	struct hd_description found;
	struct owner *owner = arg;

	if (!id || heap == owner->not_this)
		return false;
	if (!hd_front_has_block(heap, owner->address) &&
	    (hd_backend_describe(id, owner->address, &found) || !found.block))
		return false;
	owner->handle = heap->handle;
	return true;
}

/* A page heap ends here, as what is wrong with the pointer is known. */
static void report_pointer(const struct hd_ref *ref, const char *function,
			   const void *pointer, const struct hd_block *block)
{
	const struct hd_block *known = block->state == HD_BLOCK_NONE ? NULL : block;
	struct hd_report report = make_report(ref->debug, function, known);
	struct owner owner = { ref->heap, pointer, NULL };

	if (!is_page_heap(ref->debug))
		return;
	/* The header tells who allocated it, if that is not guarded. */
	if (known && !block->guarded && block->state == HD_BLOCK_FREED)
		hd_layout_check_freed(ref->debug, block, &report);
	report.address = (uintptr_t)pointer;
	report.has_value = false;
	report.stop = HD_STOP_CORRUPT_BLOCK;
	if (block->state == HD_BLOCK_FREED && block->user == pointer) {
		report.stop = HD_STOP_DOUBLE_FREE;
	} else if (!known && hd_heap_search(owns, &owner)) {
		report.stop = HD_STOP_WRONG_HEAP;
		report.value = (uintptr_t)owner.handle;
		report.has_value = true;
	}
	hd_report_fatal(&report);
}

/* Finds the live block that starts at @pointer: 0, or -ENOENT and its like. */
static int find(const struct hd_ref *ref, const char *function,
		const void *pointer, struct hd_block *block)
{
	int err = look(ref, pointer, block);

	if (err)
		return err;
	if (block->state == HD_BLOCK_LIVE && block->user == pointer)
		return 0;
	report_pointer(ref, function, pointer, block);
	return -ENOENT;
}

/* Is what surrounds the block as it was written? Writes a line if not. */
static bool check_block(const struct hd_debug *debug, const char *function,
			struct hd_block *block, bool may_end)
{
	struct hd_report report = make_report(debug, function, block);

	if (hd_layout_check(debug, block, &report)) {
		block->alloc_cookie = report.alloc_cookie;
		return true;
	}
	if (may_end)
		report_damage(debug, &report);
	else
		hd_report_print(&report);
	return false;
}

/* Freed blocks */

static struct hd_block delayed_to_block(const struct hd_debug *debug,
					const struct hd_delayed_block *delayed)
{
	struct hd_block block = {
		.state = HD_BLOCK_FREED,
		.base = delayed->base,
		.kernel_bytes = delayed->kernel_bytes,
		.free_cookie = delayed->free_cookie,
	};

	hd_layout_locate(debug, &block);
	return block;
}

/* The last look at a block that leaves the ring. */
static void release(const struct hd_ref *ref,
		    const struct hd_delayed_block *delayed)
{
	struct hd_debug *debug = ref->debug;
	struct hd_block block = delayed_to_block(debug, delayed);
	struct hd_report report = make_report(debug, NULL, &block);

	if (!hd_layout_check_freed(debug, &block, &report)) {
		report_damage(debug, &report);
		hd_layout_freed(debug, &block);
	}
	if (!is_page_heap(debug)) {
		pthread_mutex_lock(&debug->mutex);
		hd_shadow_release(&debug->shadow, block.base,
				  block.kernel_bytes);
		pthread_mutex_unlock(&debug->mutex);
	}
	hd_backend_free(ref->id, block.base);
}

static void delay(const struct hd_ref *ref, const struct hd_block *block,
		  uint64_t cookie)
{
	const struct hd_delayed_block delayed = {
		block->base, block->kernel_bytes, cookie,
	};
	struct hd_delayed_block oldest;
	bool full;

	hd_layout_freed(ref->debug, block);
	pthread_mutex_lock(&ref->debug->mutex);
	full = hd_delayed_add(&ref->debug->delayed, &delayed, &oldest);
	pthread_mutex_unlock(&ref->debug->mutex);
	if (full)
		release(ref, &oldest);
}

/* Gives all delayed blocks back, for want of room. False if there are none. */
static bool release_all(const struct hd_ref *ref)
{
	struct hd_delayed_block oldest;
	bool any = false, found;

	for (;;) {
		pthread_mutex_lock(&ref->debug->mutex);
		found = hd_delayed_remove_oldest(&ref->debug->delayed, &oldest);
		pthread_mutex_unlock(&ref->debug->mutex);
		if (!found)
			return any;
		release(ref, &oldest);
		any = true;
	}
}

static bool delays(const struct hd_debug *debug)
{
	return is_page_heap(debug) || debug->settings.checks & HD_CHECK_FREE;
}

/* The program's share of a fixed page heap, whose layout takes much more. */
static int charge(struct hd_debug *debug, size_t bytes)
{
	SIZE_T allocated = atomic_load(&debug->allocated_bytes);

	do {
		if (debug->max_bytes && (bytes > debug->max_bytes ||
					 allocated > debug->max_bytes - bytes))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak(&debug->allocated_bytes,
					       &allocated, allocated + bytes));
	return 0;
}

static void uncharge(struct hd_debug *debug, size_t bytes)
{
	atomic_fetch_sub(&debug->allocated_bytes, bytes);
}

/* Frees a block whose surroundings have been looked at. */
static int discard(const struct hd_ref *ref, const struct hd_block *block,
		   void *caller)
{
	uint64_t cookie = make_cookie(ref->debug, caller);
	int err = 0;

	if (block->guarded)
		err = hd_backend_guard_free(ref->id, block->base, cookie);
	else if (delays(ref->debug))
		delay(ref, block, cookie);
	else
		err = hd_backend_free(ref->id, block->base);
	if (!err)
		uncharge(ref->debug, block->bytes);
	return err;
}

/* New blocks */

static bool is_to_fail(struct hd_debug *debug)
{
	const struct hd_settings *settings = &debug->settings;

	return settings->fault_rate &&
	       now_s() - start_s >= (time_t)settings->fault_delay_s &&
	       random_below(debug, 10000) < settings->fault_rate;
}

static bool is_to_be_guarded(struct hd_debug *debug, size_t bytes)
{
	const struct hd_settings *settings = &debug->settings;

	return settings->page_heap == HD_PAGE_HEAP_FULL &&
	       bytes >= settings->lo_bytes && bytes <= settings->hi_bytes &&
	       random_below(debug, 100) < settings->random_percent;
}

static int check_size(const struct hd_debug *debug, const char *function,
		      size_t bytes)
{
	struct hd_report report = make_report(debug, function, NULL);

	if (is_page_heap(debug) && bytes > EXTREME_BYTES) {
		report.stop = HD_STOP_EXTREME_SIZE;
		report.bytes = bytes;
		hd_report_print(&report);
		return -EOVERFLOW;
	}
	return bytes > SIZE_MAX - MAX_EXTRA_BYTES ? -EOVERFLOW : 0;
}

/* What a call wants of a new block. */
struct request {
	const char *function;
	size_t bytes;
	bool zero;
	bool grace;
	void *caller;
	DWORD *scopes;
};

static int call_alloc(const struct hd_ref *ref, const struct request *request,
		      bool zero, struct hd_block *block)
{
	const struct hd_settings *settings = &ref->debug->settings;
	uint32_t flags = 0;
	void *base;
	int err;

	if (block->guarded) {
		flags |= zero ? PRIVHEAP_GUARD_ALLOC_F_ZERO : 0;
		flags |= request->grace ? PRIVHEAP_GUARD_ALLOC_F_GRACE : 0;
		flags |= settings->backwards ? PRIVHEAP_GUARD_ALLOC_F_BEFORE : 0;
		err = hd_backend_guard_alloc(ref->id, flags, block->kernel_bytes,
					     settings->unaligned,
					     block->alloc_cookie, &base,
					     request->scopes);
	} else {
		flags |= zero ? PRIVHEAP_ALLOC_F_ZERO : 0;
		flags |= request->grace ? PRIVHEAP_ALLOC_F_GRACE : 0;
		err = hd_backend_alloc(ref->id, flags, block->kernel_bytes,
				       &base, request->scopes);
	}
	if (!err)
		block->base = base;
	return err;
}

/* Freed memory that a block gets is looked at before it is overwritten. */
static void claim(const struct hd_ref *ref, const char *function,
		  const struct hd_block *block)
{
	struct hd_debug *debug = ref->debug;
	struct hd_report report = make_report(debug, function, NULL);
	const void *bad;

	if (is_page_heap(debug) || !(debug->settings.checks & HD_CHECK_FREE))
		return;
	pthread_mutex_lock(&debug->mutex);
	bad = hd_shadow_claim(&debug->shadow, block->base, block->kernel_bytes);
	pthread_mutex_unlock(&debug->mutex);
	if (!bad)
		return;
	report.stop = HD_STOP_FREED_MODIFIED;
	report.address = (uintptr_t)bad;
	hd_report_print(&report);
}

static int make_block(const struct hd_ref *ref, const struct request *request,
		      struct hd_block *block)
{
	struct hd_debug *debug = ref->debug;
	/* Else the kernel would clear what claim() is to look at. */
	bool clear = request->zero &&
		     !(debug->settings.checks & HD_CHECK_FREE);
	int err;

	*block = (struct hd_block) {
		.state = HD_BLOCK_LIVE,
		.guarded = is_to_be_guarded(debug, request->bytes),
		.alloc_cookie = make_cookie(debug, request->caller),
	};
	block->kernel_bytes = request->bytes +
			      hd_layout_lead(debug, block->guarded) +
			      hd_layout_trail(debug, block->guarded);
	do {
		err = call_alloc(ref, request, clear, block);
	} while (err && release_all(ref));
	if (err)
		return err;
	hd_layout_locate(debug, block);
	claim(ref, request->function, block);
	if (request->zero && !clear)
		memset(block->user, 0, request->bytes);
	hd_layout_new(debug, block, request->zero);
	return 0;
}

static int alloc(const struct hd_ref *ref, const struct request *request,
		 struct hd_block *block)
{
	int err = check_size(ref->debug, request->function, request->bytes);

	if (!err)
		err = charge(ref->debug, request->bytes);
	if (err)
		return err;
	err = make_block(ref, request, block);
	if (err)
		uncharge(ref->debug, request->bytes);
	return err;
}

/* The whole heap */

struct visitor {
	const struct hd_ref *ref;
	const char *function;
	bool good;
};

static void visit(struct visitor *visitor, const struct privheap_entry *entry)
{
	struct hd_debug *debug = visitor->ref->debug;
	struct hd_report report;
	struct hd_block block;

	if (entry->kind != PRIVHEAP_ENTRY_BLOCK ||
	    look_at_entry(visitor->ref, entry, &block) ||
	    block.state == HD_BLOCK_NONE)
		return;
	if (block.state == HD_BLOCK_LIVE) {
		visitor->good &= check_block(debug, visitor->function, &block,
					     false);
		return;
	}
	report = make_report(debug, visitor->function, &block);
	if (hd_layout_check_freed(debug, &block, &report))
		return;
	visitor->good = false;
	hd_report_print(&report);
}

static bool check_blocks(const struct hd_ref *ref, const char *function)
{
	struct visitor visitor = { ref, function, true };
	struct privheap_entry last = { 0 };
	struct privheap_entry entries[64];
	int i, count;

	while ((count = hd_backend_walk(ref->id, &last, entries, 64)) > 0) {
		for (i = 0; i < count; i++)
			visit(&visitor, &entries[i]);
		last = entries[count - 1];
	}
	return visitor.good && !count;
}

static bool check_free(const struct hd_ref *ref, const char *function)
{
	struct hd_debug *debug = ref->debug;
	struct hd_report report = make_report(debug, function, NULL);
	const void *bad;

	pthread_mutex_lock(&debug->mutex);
	bad = hd_shadow_check(&debug->shadow);
	pthread_mutex_unlock(&debug->mutex);
	if (!bad)
		return true;
	report.stop = HD_STOP_FREED_MODIFIED;
	report.address = (uintptr_t)bad;
	hd_report_print(&report);
	return false;
}

static bool check_heap(const struct hd_ref *ref, const char *function)
{
	bool blocks_are_good = check_blocks(ref, function);

	return check_free(ref, function) && blocks_are_good;
}

/* With full validation, each call looks at all of the heap. */
static bool checks_all(const struct hd_ref *ref)
{
	return !is_page_heap(ref->debug) &&
	       ref->debug->settings.checks & HD_CHECK_ALL;
}

/* What a call on a block looks at first: -ENOENT if that must not be used. */
static int begin(const struct hd_ref *ref, const char *function,
		 const void *pointer, struct hd_block *block)
{
	struct hd_report report;
	int err;

	check_thread(ref, function);
	if (checks_all(ref))
		check_heap(ref, function);
	err = find(ref, function, pointer, block);
	if (err)
		return err;
	report = make_report(ref->debug, function, block);
	if (is_page_heap(ref->debug))
		check_block(ref->debug, function, block, true);
	else if (checks_all(ref) &&
		 !hd_layout_check(ref->debug, block, &report))
		return -ENOENT;		/* check_heap() has told about it */
	return 0;
}

/* The calls */

int hd_debug_alloc(const struct hd_ref *ref, DWORD flags, SIZE_T bytes,
		   void *caller, void **result, DWORD *scopes)
{
	const struct request request = {
		"HeapAlloc", bytes, flags & HEAP_ZERO_MEMORY,
		hd_limit_grace(flags), caller, scopes,
	};
	struct hd_block block;
	int err;

	check_thread(ref, "HeapAlloc");
	if (checks_all(ref))
		check_heap(ref, "HeapAlloc");
	if (is_to_fail(ref->debug))
		return -ENOMEM;
	err = alloc(ref, &request, &block);
	if (!err)
		*result = block.user;
	return err;
}

int hd_debug_free(const struct hd_ref *ref, void *pointer, void *caller)
{
	struct hd_block block;
	int err = begin(ref, "HeapFree", pointer, &block);

	return err ? err : discard(ref, &block, caller);
}

int hd_debug_size(const struct hd_ref *ref, const void *pointer, size_t *bytes)
{
	struct hd_block block;
	int err = begin(ref, "HeapSize", pointer, &block);

	if (!err)
		*bytes = block.bytes;
	return err;
}

/* Changes the size of a block where it is, if the kernel can. */
static int resize_in_place(const struct hd_ref *ref,
			   const struct request *request,
			   struct hd_block *block)
{
	struct hd_debug *debug = ref->debug;
	size_t old_bytes = block->bytes, old_kernel_bytes = block->kernel_bytes;
	size_t kernel_bytes = request->bytes + hd_layout_trail(debug, false);
	uint32_t flags = PRIVHEAP_REALLOC_F_IN_PLACE;
	void *base = block->base;
	int err;

	if (is_page_heap(debug))
		return -ENOSPC;
	flags |= request->grace ? PRIVHEAP_REALLOC_F_GRACE : 0;
	err = hd_backend_realloc(ref->id, flags, &base, kernel_bytes,
				 request->scopes);
	if (err)
		return err;
	atomic_fetch_add(&debug->allocated_bytes, request->bytes - old_bytes);
	block->kernel_bytes = kernel_bytes;
	hd_layout_locate(debug, block);
	if (debug->settings.checks & HD_CHECK_FREE) {
		pthread_mutex_lock(&debug->mutex);
		hd_shadow_resize(&debug->shadow, block->base, old_kernel_bytes,
				 kernel_bytes);
		pthread_mutex_unlock(&debug->mutex);
	}
	hd_layout_resized(debug, block, old_bytes, request->zero);
	return 0;
}

static int move(const struct hd_ref *ref, const struct request *request,
		struct hd_block *block)
{
	struct hd_block old = *block;
	size_t kept = old.bytes < request->bytes ? old.bytes : request->bytes;
	int err;

	err = alloc(ref, request, block);
	if (err)
		return err;
	memcpy(block->user, old.user, kept);
	/* Fails only if the program frees it meanwhile. */
	discard(ref, &old, request->caller);
	return 0;
}

int hd_debug_realloc(const struct hd_ref *ref, DWORD flags, void **pointer,
		     SIZE_T bytes, int size_err, void *caller, DWORD *scopes)
{
	const struct request request = {
		"HeapReAlloc", bytes, flags & HEAP_ZERO_MEMORY,
		hd_limit_grace(flags), caller, scopes,
	};
	struct hd_block block;
	int err = begin(ref, "HeapReAlloc", *pointer, &block);

	if (!err)
		err = size_err;
	if (!err)
		err = check_size(ref->debug, "HeapReAlloc", bytes);
	if (!err && is_to_fail(ref->debug))
		err = -ENOMEM;
	if (err)
		return err;
	err = resize_in_place(ref, &request, &block);
	if (err == -ENOSPC && !(flags & HEAP_REALLOC_IN_PLACE_ONLY))
		err = move(ref, &request, &block);
	if (!err)
		*pointer = block.user;
	return err;
}

bool hd_debug_validate(const struct hd_ref *ref, const void *pointer)
{
	struct hd_block block;

	if (!pointer)
		return check_heap(ref, "HeapValidate");
	if (look(ref, pointer, &block))
		return false;
	if (block.state == HD_BLOCK_LIVE && block.user == pointer)
		return check_block(ref->debug, "HeapValidate", &block, false);
	hd_report_print(&(struct hd_report) {
		.stop = block.state == HD_BLOCK_FREED ? HD_STOP_DOUBLE_FREE :
							HD_STOP_CORRUPT_BLOCK,
		.function = "HeapValidate",
		.heap = ref->debug->handle,
		.address = (uintptr_t)pointer,
	});
	return false;
}

SIZE_T hd_debug_allocated_bytes(const struct hd_ref *ref)
{
	return atomic_load(&ref->debug->allocated_bytes);
}

/* Walks */

bool hd_debug_resume(const struct hd_ref *ref, struct privheap_entry *position)
{
	void *address = (void *)(uintptr_t)position->addr;
	struct hd_block block;

	if (position->kind == PRIVHEAP_ENTRY_BLOCK) {
		if (look(ref, address, &block) ||
		    block.state != HD_BLOCK_LIVE || block.user != address)
			return false;
		position->addr = (uintptr_t)block.base;
	} else if (position->kind == PRIVHEAP_ENTRY_FREE &&
		   !look(ref, address, &block) &&
		   block.state == HD_BLOCK_FREED && block.base == address) {
		position->kind = PRIVHEAP_ENTRY_BLOCK;
	}
	return true;
}

void hd_debug_translate(const struct hd_ref *ref, struct privheap_entry *entry)
{
	struct hd_block block;

	if (entry->kind != PRIVHEAP_ENTRY_BLOCK ||
	    look_at_entry(ref, entry, &block))
		return;
	if (block.state != HD_BLOCK_LIVE) {
		entry->kind = PRIVHEAP_ENTRY_FREE;
		entry->bytes = entry->capacity_bytes;
		return;
	}
	entry->addr = (uintptr_t)block.user;
	entry->bytes = block.bytes;
}
