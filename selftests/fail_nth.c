// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every failure path of the kernel's own services: memory, and copies from and to
 * user space.
 *
 * Each operation is made again and again; first the first of these services fails that
 * it asks for, then the second, and so on until it asks for no more. After each
 * failure nothing may be left, and the same operation must then work. What only the
 * end of a heap or of the file can show, a charge that was lost or a use that
 * was leaked, the module itself warns of; memory is kmemleak's.
 *
 * Runs only where the kernel has /proc/self/fail-nth: on the kernel "debug".
 */
#include "kselftest_harness.h"
#include "netlink_util.h"

/* More failures than any operation has. */
#define MAX_NTH		2000
#define MAX_ERRNO	4095

#define QUARANTINE_BYTES	MIB
#define COOKIE			0x5ca1ab1e
#define NR_ENTRIES		3U
/* What no call answers: the entry of a batch was not done. */
#define NO_RESULT		(MAX_ERRNO + 1)

/* What an operation works on; made anew for each failure. */
struct place {
	int fd;
	struct heap heap;
	char *block;
	struct privheap_batch_entry entries[NR_ENTRIES];
	struct privheap_stat before;
	struct privheap_limit limit;
	struct nl nl;
};

/* Where heaps are put that charge a memory cgroup of their own. */
static struct cgroup cgroup;
static int cgroup_fd;

/* Failing the n-th service: see the kernel's fault-injection.rst */

static int nth_fd = -1;

static int nth_write(const char *text)
{
	int tries = 3;

	/* It copies from user space itself, which is one of the services. */
	while (pwrite(nth_fd, text, strlen(text), 0) < 0) {
		if (errno != EFAULT || !--tries)
			return -errno;
	}
	return 0;
}

static int nth_arm(unsigned int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	return nth_write(text);
}

/* Returns whether a service failed, or a negative errno. */
static int nth_disarm(void)
{
	char text[16] = "";
	ssize_t length = pread(nth_fd, text, sizeof(text) - 1, 0);
	int ret;

	/* The last one to fail was this very copy. */
	if (length < 0)
		return errno == EFAULT ? 0 : -errno;
	ret = nth_write("0");
	return ret ? ret : atoi(text) == 0;
}

/* Operations: 0 or a negative errno */

static int do_create(struct place *place)
{
	return heap_create(&place->heap, place->fd, .initial_bytes = 40000);
}

static int do_create_fixed(struct place *place)
{
	return heap_create(&place->heap, place->fd, .max_bytes = 3 * MIB,
			   .initial_bytes = 40000);
}

static int do_create_guarded(struct place *place)
{
	return heap_create(&place->heap, place->fd, .flags = PRIVHEAP_CREATE_F_GUARD,
			   .quarantine_bytes = QUARANTINE_BYTES);
}

static int do_create_in_cgroup(struct place *place)
{
	return heap_create(&place->heap, place->fd, .flags = PRIVHEAP_CREATE_F_CGROUP,
			   .cgroup_fd = cgroup_fd);
}

static int do_create_huge(struct place *place)
{
	return heap_create(&place->heap, place->fd, .policy = PRIVHEAP_POLICY_HUGE,
			   .initial_bytes = 3 * MIB);
}

static int do_create_secret(struct place *place)
{
	return heap_create(&place->heap, place->fd, .flags = PRIVHEAP_CREATE_F_SECRET,
			   .initial_bytes = 40000);
}

static int do_create_backed(struct place *place)
{
	return heap_create(&place->heap, place->fd, .flags = PRIVHEAP_CREATE_F_BACKED,
			   .initial_bytes = 40000, .max_bytes = MIB,
			   .limit_bytes = MIB, .soft_bytes = MIB / 2,
			   .grace_bytes = 8192);
}

static int undo_create(struct place *place)
{
	return heap_destroy(&place->heap);
}

static int do_destroy(struct place *place)
{
	return heap_destroy(&place->heap);
}

/* The heap before may leave its region to the next one. */
static int leave_heap(struct place *place, size_t max_bytes)
{
	return heap_create(&place->heap, place->fd, .max_bytes = max_bytes) ?:
	       heap_destroy(&place->heap);
}

static int prepare_retired(struct place *place)
{
	return leave_heap(place, MIB);
}

/* Too short for the next one, which gets their address space if it needs it. */
static int prepare_others_retired(struct place *place)
{
	return leave_heap(place, 100000) ?: leave_heap(place, 200000);
}

/* A heap that ends with the file. */
static int do_close(struct place *place)
{
	int fd = place->fd;

	place->fd = -1;
	return close(fd) ? -errno : 0;
}

/* A region that the program unmaps itself: the heap is dead, or all is as it was. */
static int do_munmap(struct place *place)
{
	return munmap(place->heap.base, place->heap.region_bytes) ? -errno : 0;
}

static int do_info(struct place *place)
{
	struct privheap_info info;

	return privheap_info(place->fd, &info);
}

static int do_fdinfo(struct place *place)
{
	char path[64], text[2048];
	long length;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", place->fd);
	length = file_read(path, text, sizeof(text));
	return length < 0 ? length : strstr(text, "privheap-heaps:\t1\n") ? 0 : -EBADMSG;
}

static int do_alloc_slot(struct place *place)
{
	return block_alloc_with(&place->heap, 100, 0, PRIVHEAP_ALLOC_F_ZERO,
				&place->block);
}

static int do_alloc_aligned(struct place *place)
{
	return block_alloc_with(&place->heap, 5000, 65536, 0, &place->block);
}

static int do_alloc_large(struct place *place)
{
	return block_alloc(&place->heap, 100000, &place->block);
}

static int do_alloc_own_region(struct place *place)
{
	return block_alloc_with(&place->heap, 3 * MIB, 0, PRIVHEAP_ALLOC_F_ZERO,
				&place->block);
}

static int do_alloc_guarded(struct place *place)
{
	return block_alloc_guarded(&place->heap, 5000, 1, PRIVHEAP_GUARD_ALLOC_F_ZERO,
				   COOKIE, &place->block);
}

static int undo_alloc(struct place *place)
{
	return block_free(&place->heap, place->block);
}

/* A byte now and then: to write and read all of megabytes takes seconds here. */
#define STAMP_STRIDE	10007

static void stamp(char *mem, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += STAMP_STRIDE)
		mem[i] = (char)(i / STAMP_STRIDE + 1);
}

static bool is_stamped(const char *mem, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i += STAMP_STRIDE) {
		if (mem[i] != (char)(i / STAMP_STRIDE + 1))
			return false;
	}
	return true;
}

static int prepare_slot(struct place *place)
{
	int ret = do_alloc_slot(place);

	if (!ret)
		stamp(place->block, 100);
	return ret;
}

static int prepare_large(struct place *place)
{
	int ret = do_alloc_large(place);

	if (!ret)
		stamp(place->block, 100000);
	return ret;
}

static int prepare_own_region(struct place *place)
{
	int ret = do_alloc_own_region(place);

	if (!ret)
		stamp(place->block, 3 * MIB);
	return ret;
}

static int realloc_to(struct place *place, size_t old, size_t bytes)
{
	char *block = place->block;
	int ret = block_realloc(&place->heap, &block, bytes, PRIVHEAP_REALLOC_F_ZERO);
	size_t kept = old < bytes ? old : bytes;

	if (!is_stamped(ret ? place->block : block, ret ? old : kept))
		return -EBADMSG;
	if (!ret)
		place->block = block;
	return ret;
}

static int do_grow_slot(struct place *place)
{
	return realloc_to(place, 100, 500);
}

/* Without a span one page will do; but that has to be had. */
static int do_grow_slot_to_page(struct place *place)
{
	return realloc_to(place, 100, 3000);
}

static int do_grow_slot_to_large(struct place *place)
{
	return realloc_to(place, 100, 200000);
}

static int do_grow_large(struct place *place)
{
	return realloc_to(place, 100000, 300000);
}

static int do_grow_large_to_region(struct place *place)
{
	return realloc_to(place, 100000, 2 * MIB);
}

static int do_grow_region(struct place *place)
{
	return realloc_to(place, 3 * MIB, 5 * MIB);
}

static int do_shrink_large(struct place *place)
{
	return realloc_to(place, 100000, 20000);
}

static int do_free(struct place *place)
{
	return block_free(&place->heap, place->block);
}

static int do_free_guarded(struct place *place)
{
	return block_free_guarded(&place->heap, place->block, COOKIE);
}

/* Without memory the kernel makes the program touch the page again. */
static int do_touch(struct place *place)
{
	size_t i;

	for (i = 0; i < 100000; i += 1000)
		*(volatile char *)(place->block + i) = 1;
	return 0;
}

/* The page tables, the memory and the charge of a block are those of one before. */
static int do_alloc_again(struct place *place)
{
	return do_alloc_large(place) ?: do_touch(place) ?: do_free(place) ?:
	       do_alloc_large(place) ?: do_touch(place);
}

/* Room for one block, before one that stays. */
static int prepare_gap(struct place *place)
{
	char *stays;

	return do_alloc_large(place) ?: block_alloc(&place->heap, 20000, &stays) ?:
	       do_free(place);
}

/* What is idle in the gap then has to go for it. */
static int do_alloc_over_idle(struct place *place)
{
	struct privheap_stat stat;
	int ret = do_alloc_large(place) ?: do_touch(place) ?: do_free(place) ?:
		  heap_stat(&place->heap, &stat);

	if (!ret && stat.out_idle_bytes < 90000)
		ret = -EBADMSG;
	return ret ?: block_alloc(&place->heap, 180000, &place->block);
}

/* A block leaves the quarantine when another one needs its room there. */
static int prepare_full_quarantine(struct place *place)
{
	size_t bytes;
	int ret = 0;

	for (bytes = 0; !ret && bytes < QUARANTINE_BYTES; bytes += 64 * KIB) {
		ret = block_alloc_guarded(&place->heap, 64 * KIB, 1, 0, COOKIE,
					  &place->block) ?: do_free_guarded(place);
	}
	return ret ?: do_alloc_guarded(place);
}

static int do_describe(struct place *place)
{
	struct privheap_describe describe;

	return heap_describe(&place->heap, place->block, &describe);
}

static int do_size(struct place *place)
{
	long bytes = block_size(&place->heap, place->block);

	return bytes < 0 ? bytes : 0;
}

static int do_stat(struct place *place)
{
	struct privheap_stat stat;

	return heap_stat(&place->heap, &stat);
}

static int do_walk(struct place *place)
{
	struct privheap_entry entries[300];
	int nr = heap_walk(&place->heap, NULL, entries, ARRAY_SIZE(entries));

	return nr < 0 ? nr : 0;
}

static int do_compact(struct place *place)
{
	size_t largest;

	return heap_compact(&place->heap, &largest);
}

static bool is_errno(long ret)
{
	return ret < 0 && ret >= -MAX_ERRNO;
}

typedef long pages_call(const struct heap *heap, const void *start, size_t bytes);

/*
 * What is not to be had is less done, and no failure; nor is it one that the number
 * cannot be written any more. Then the rest is asked for.
 */
static int do_pages(struct place *place, pages_call *call)
{
	long bytes = 20 * page_bytes();
	long done = call(&place->heap, place->block, bytes);

	if (done != bytes && !is_errno(done))
		done = call(&place->heap, place->block, bytes);
	if (is_errno(done))
		return done;
	return done == bytes ? 0 : -EBADMSG;
}

static int do_prefault(struct place *place)
{
	return do_pages(place, heap_prefault);
}

static int do_commit(struct place *place)
{
	return do_pages(place, heap_commit);
}

static int do_decommit(struct place *place)
{
	return do_pages(place, heap_decommit);
}

static int prepare_decommitted(struct place *place)
{
	return prepare_large(place) ?: do_decommit(place);
}

static int do_take(struct place *place)
{
	return span_take(&place->heap, 3, &place->block);
}

static int undo_take(struct place *place)
{
	return span_give(&place->heap, place->block);
}

static int prepare_taken(struct place *place)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < NR_ENTRIES && !ret; i++) {
		ret = do_take(place);
		place->entries[i] = (struct privheap_batch_entry){
			.addr = (uintptr_t)place->block,
		};
	}
	return ret;
}

/* An entry that cannot be read ends the call: the rest is for the next one. */
static int batch_to_end(struct place *place, __u32 op)
{
	unsigned int first = 0, nr;
	int ret;

	while (first < NR_ENTRIES) {
		for (nr = first; nr < NR_ENTRIES; nr++)
			place->entries[nr].out_error = NO_RESULT;
		ret = batch(&place->heap, op, 0, place->entries + first,
			    NR_ENTRIES - first);
		if (is_errno(ret) && (!first || ret != -EFAULT))
			return ret;
		while (first < NR_ENTRIES && !place->entries[first].out_error)
			first++;
		if (first < NR_ENTRIES && place->entries[first].out_error != NO_RESULT)
			return -(int)place->entries[first].out_error;
	}
	return 0;
}

static int do_batch_free(struct place *place)
{
	return batch_to_end(place, PRIVHEAP_BATCH_FREE);
}

static int prepare_written(struct place *place)
{
	unsigned int i;
	int ret = do_alloc_slot(place) ?: prepare_taken(place);

	/* The block has the page that the heap keeps. */
	for (i = 0; i < NR_ENTRIES && !ret; i++) {
		memset((void *)(uintptr_t)place->entries[i].addr, 1, 3 * page_bytes());
		place->entries[i].bytes = 2 * page_bytes();
	}
	return ret;
}

static int do_batch_drop(struct place *place)
{
	return batch_to_end(place, PRIVHEAP_BATCH_DROP);
}

static int check_dropped(struct place *place)
{
	struct privheap_stat stat;
	int ret = heap_stat(&place->heap, &stat);

	if (ret || stat.out_resident_bytes + NR_ENTRIES * 2 * page_bytes() ==
		   place->before.out_resident_bytes)
		return ret;
	return -EBADMSG;
}

static int do_batch_give(struct place *place)
{
	return batch_to_end(place, PRIVHEAP_BATCH_GIVE);
}

/* Each entry has a block, or none of them. */
static int do_batch_alloc(struct place *place)
{
	static const size_t bytes[NR_ENTRIES] = { 100, 5000, 100000 };
	struct privheap_batch_entry *entry;
	unsigned int i;
	int ret;

	for (i = 0; i < NR_ENTRIES; i++)
		place->entries[i] = (struct privheap_batch_entry){ .bytes = bytes[i] };
	ret = batch_to_end(place, PRIVHEAP_BATCH_ALLOC);
	for (i = 0; i < NR_ENTRIES; i++) {
		entry = &place->entries[i];
		if (ret && !entry->out_error)
			ret = block_free(&place->heap, (void *)(uintptr_t)entry->out_addr) ?:
			      ret;
		*entry = (struct privheap_batch_entry){ .addr = entry->out_addr };
	}
	return ret;
}

static int do_count(struct place *place)
{
	static struct privheap_counters counters;

	return heap_count(&place->heap, &counters);
}

static int do_pagemap(struct place *place)
{
	struct privheap_pagemap map;

	return heap_pagemap(&place->heap, place->heap.base, &map);
}

static int undo_pagemap(struct place *place)
{
	struct privheap_pagemap map;
	int ret = heap_pagemap(&place->heap, place->heap.base, &map);

	if (ret)
		return ret;
	return munmap((void *)(uintptr_t)map.out_map, pagemap_bytes(&map)) ?
	       -errno : 0;
}

static int do_reset(struct place *place)
{
	size_t kept;

	return heap_reset(&place->heap, 0, &kept);
}

static int do_reset_and_keep(struct place *place)
{
	size_t kept;

	return heap_reset(&place->heap, MIB, &kept);
}

static int do_policy(struct place *place)
{
	return heap_policy(&place->heap, PRIVHEAP_POLICY_POPULATE, 0);
}

static int do_inject(struct place *place)
{
	return heap_inject(&place->heap, .nth = 1000);
}

static int do_limit_read(struct place *place)
{
	return heap_limit(&place->heap, &place->limit);
}

static int do_limit_change(struct place *place)
{
	return heap_limit(&place->heap, &place->limit,
			  .flags = PRIVHEAP_LIMIT_F_HARD, .hard_bytes = 8 * MIB);
}

static int do_limit_change_process(struct place *place)
{
	return process_limit(place->fd, &place->limit,
			     .flags = PRIVHEAP_LIMIT_F_HARD, .hard_bytes = 8 * MIB);
}

/* Netlink: what is left in a socket after a failure may be half an answer */

static int prepare_netlink(struct place *place)
{
	return nl_open(&place->nl);
}

static void recover_netlink(struct place *place)
{
	nl_close(&place->nl);
	nl_open(&place->nl);
}

static int do_netlink_get(struct place *place)
{
	struct nl_msg msg, answer;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_HEAP_GET, 0);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_SERIAL, place->before.out_serial);
	return nl_get(&place->nl, &msg, &answer);
}

static int do_netlink_list(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_HEAP_GET, NLM_F_DUMP);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

static int do_netlink_limit_get(struct place *place)
{
	struct nl_msg msg, answer;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_LIMIT_GET, 0);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_HEAP);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, place->before.out_serial);
	return nl_get(&place->nl, &msg, &answer);
}

static int do_netlink_limits(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_LIMIT_GET, NLM_F_DUMP);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

static int do_netlink_map(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_MAP_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_MAP_SERIAL, place->before.out_serial);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

static int do_netlink_regions(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_REGION_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_REGION_SERIAL, place->before.out_serial);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

static int do_netlink_classes(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_CLASS_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_CLASS_SERIAL, place->before.out_serial);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

static int do_netlink_faults(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_FAULT_GET, NLM_F_DUMP);
	nl_add_u64(&msg, PRIVHEAP_A_FAULT_SERIAL, place->before.out_serial);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

static int do_netlink_subscribe(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_EVENT_SUBSCRIBE, NLM_F_ACK);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

/* Who watches may miss something, and nobody else is concerned. */
static int prepare_watched(struct place *place)
{
	return prepare_netlink(place) ?: do_netlink_subscribe(place);
}

/* As with limits; what is seen in the statistics stays as it is. */
static int do_netlink_heap_set(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_HEAP_SET, NLM_F_ACK);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_SERIAL, place->before.out_serial);
	nl_add_u32(&msg, PRIVHEAP_A_HEAP_POLICY, place->before.out_policy);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES, MIB);
	nl_add_u64(&msg, PRIVHEAP_A_HEAP_INJECT_NTH, 1000);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

/* The limit of this heap may be set although the answer then is lost. */
static int do_netlink_limit_set(struct place *place)
{
	struct nl_msg msg;

	nl_begin(&place->nl, &msg, PRIVHEAP_CMD_LIMIT_SET, NLM_F_ACK);
	nl_add_u32(&msg, PRIVHEAP_A_LIMIT_SCOPE, PRIVHEAP_SCOPE_HEAP);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_KEY, place->before.out_serial);
	nl_add_u64(&msg, PRIVHEAP_A_LIMIT_SOFT_BYTES, MIB);
	return nl_ask(&place->nl, &msg, NULL, NULL);
}

/* Each page that is touched lies in another huge page, if there are any. */
static int do_touch_region(struct place *place)
{
	size_t i;

	for (i = 0; i < 3 * MIB; i += MIB)
		*(volatile char *)(place->block + i) = 1;
	return 0;
}

static int prepare_huge(struct place *place)
{
	return do_alloc_own_region(place) ?: do_touch_region(place);
}

static int prepare_huge_decommitted(struct place *place)
{
	return prepare_huge(place) ?: do_decommit(place);
}

static int do_open(struct place *place)
{
	int fd = privheap_open();

	return fd < 0 ? fd : close(fd);
}

FIXTURE(failure)
{
};

/*
 * @flags, @policy, @limit_bytes, @idle_bytes: of the heap that @run works in
 * @prepare: what is there before
 * @run, @undo: the operation, and what it is to be undone with. Without @undo the
 *	heap may be another one after it
 * @recover: what it works on is not as it was after a failure; that may be ENOBUFS
 * @fills: what was committed may have got memory nevertheless
 * @no_heap: it needs none
 * @never_fails: to give something back needs nothing, or the kernel tries again
 */
FIXTURE_VARIANT(failure)
{
	__u32 flags;
	__u32 policy;
	size_t limit_bytes;
	size_t idle_bytes;
	bool fills;
	bool no_heap;
	bool never_fails;
	int (*prepare)(struct place *place);
	int (*run)(struct place *place);
	int (*undo)(struct place *place);
	void (*recover)(struct place *place);
};

#define OPERATION(name, ...) \
	FIXTURE_VARIANT_ADD(failure, name) { __VA_ARGS__ }

OPERATION(open, .no_heap = true, .run = do_open);
OPERATION(create, .no_heap = true, .run = do_create, .undo = undo_create);
OPERATION(create_fixed, .no_heap = true, .run = do_create_fixed, .undo = undo_create);
OPERATION(create_guarded, .no_heap = true, .run = do_create_guarded,
	  .undo = undo_create);
OPERATION(create_in_cgroup, .no_heap = true, .run = do_create_in_cgroup,
	  .undo = undo_create);
OPERATION(create_huge, .no_heap = true, .run = do_create_huge, .undo = undo_create);
OPERATION(create_secret, .no_heap = true, .run = do_create_secret,
	  .undo = undo_create);
OPERATION(create_backed, .no_heap = true, .run = do_create_backed,
	  .undo = undo_create);
OPERATION(create_in_place, .no_heap = true, .prepare = prepare_retired,
	  .run = do_create_backed, .undo = undo_create);
OPERATION(create_beside_retired, .no_heap = true, .prepare = prepare_others_retired,
	  .run = do_create_fixed, .undo = undo_create);
OPERATION(create_watched, .no_heap = true, .prepare = prepare_watched,
	  .run = do_create, .undo = undo_create);
OPERATION(destroy, .prepare = prepare_own_region, .run = do_destroy);
OPERATION(destroy_guarded, .flags = PRIVHEAP_CREATE_F_GUARD,
	  .prepare = prepare_full_quarantine, .run = do_destroy);
OPERATION(close, .prepare = prepare_own_region, .run = do_close,
	  .never_fails = true);
OPERATION(munmap, .prepare = prepare_slot, .run = do_munmap, .never_fails = true);
OPERATION(info, .no_heap = true, .run = do_info);
OPERATION(fdinfo, .run = do_fdinfo);
OPERATION(alloc_slot, .run = do_alloc_slot, .undo = undo_alloc);
OPERATION(alloc_aligned, .run = do_alloc_aligned, .undo = undo_alloc);
OPERATION(alloc_large, .run = do_alloc_large, .undo = undo_alloc);
OPERATION(alloc_own_region, .run = do_alloc_own_region, .undo = undo_alloc);
OPERATION(alloc_slot_backed, .flags = PRIVHEAP_CREATE_F_BACKED,
	  .run = do_alloc_slot, .undo = undo_alloc);
OPERATION(alloc_large_backed, .flags = PRIVHEAP_CREATE_F_BACKED,
	  .run = do_alloc_large, .undo = undo_alloc);
OPERATION(alloc_own_region_backed, .flags = PRIVHEAP_CREATE_F_BACKED,
	  .run = do_alloc_own_region, .undo = undo_alloc);
OPERATION(alloc_large_in_cgroup,
	  .flags = PRIVHEAP_CREATE_F_CGROUP | PRIVHEAP_CREATE_F_BACKED,
	  .run = do_alloc_large, .undo = undo_alloc);
OPERATION(alloc_large_secret, .flags = PRIVHEAP_CREATE_F_SECRET,
	  .run = do_alloc_large, .undo = undo_alloc);
OPERATION(alloc_guarded, .flags = PRIVHEAP_CREATE_F_GUARD, .run = do_alloc_guarded,
	  .undo = undo_alloc);
OPERATION(alloc_large_again, .run = do_alloc_again, .undo = undo_alloc);
OPERATION(alloc_large_populate, .policy = PRIVHEAP_POLICY_POPULATE,
	  .run = do_alloc_large, .undo = undo_alloc);
OPERATION(alloc_over_idle, .policy = PRIVHEAP_POLICY_PAGE, .limit_bytes = 230000,
	  .idle_bytes = MIB, .prepare = prepare_gap, .run = do_alloc_over_idle,
	  .undo = undo_alloc);
OPERATION(grow_slot, .prepare = prepare_slot, .run = do_grow_slot);
OPERATION(grow_slot_to_page, .prepare = prepare_slot, .run = do_grow_slot_to_page);
OPERATION(grow_slot_to_large, .prepare = prepare_slot, .run = do_grow_slot_to_large);
OPERATION(grow_large, .prepare = prepare_large, .run = do_grow_large);
OPERATION(grow_large_secret, .flags = PRIVHEAP_CREATE_F_SECRET,
	  .prepare = prepare_large, .run = do_grow_large);
OPERATION(grow_large_huge, .policy = PRIVHEAP_POLICY_HUGE, .prepare = prepare_large,
	  .run = do_grow_large);
OPERATION(grow_large_to_region, .prepare = prepare_large,
	  .run = do_grow_large_to_region);
OPERATION(grow_region, .prepare = prepare_own_region, .run = do_grow_region);
OPERATION(grow_region_backed, .flags = PRIVHEAP_CREATE_F_BACKED,
	  .prepare = prepare_own_region, .run = do_grow_region);
OPERATION(shrink_large, .prepare = prepare_large, .run = do_shrink_large,
	  .never_fails = true);
OPERATION(free_slot, .prepare = prepare_slot, .run = do_free,
	  .never_fails = true);
OPERATION(free_large, .prepare = prepare_large, .run = do_free,
	  .never_fails = true);
OPERATION(free_own_region, .prepare = prepare_own_region, .run = do_free,
	  .never_fails = true);
OPERATION(free_large_secret, .flags = PRIVHEAP_CREATE_F_SECRET,
	  .prepare = prepare_large, .run = do_free, .never_fails = true);
OPERATION(free_guarded, .flags = PRIVHEAP_CREATE_F_GUARD,
	  .prepare = do_alloc_guarded, .run = do_free_guarded);
OPERATION(free_guarded_quarantine_full, .flags = PRIVHEAP_CREATE_F_GUARD,
	  .prepare = prepare_full_quarantine, .run = do_free_guarded);
OPERATION(free_idle, .idle_bytes = MIB, .prepare = prepare_large, .run = do_free,
	  .never_fails = true);
OPERATION(describe, .flags = PRIVHEAP_CREATE_F_GUARD, .prepare = do_alloc_guarded,
	  .run = do_describe);
OPERATION(size, .prepare = prepare_slot, .run = do_size);
OPERATION(stat, .prepare = prepare_large, .run = do_stat);
OPERATION(walk, .prepare = prepare_large, .run = do_walk);
OPERATION(compact, .prepare = prepare_large, .run = do_compact);
/* Where the heap lies decides whether a page table is missing that could not be had. */
OPERATION(prefault, .prepare = do_alloc_large, .run = do_prefault, .fills = true);
OPERATION(prefault_secret, .flags = PRIVHEAP_CREATE_F_SECRET,
	  .prepare = do_alloc_large, .run = do_prefault, .fills = true);
OPERATION(prefault_huge, .policy = PRIVHEAP_POLICY_HUGE,
	  .prepare = do_alloc_own_region, .run = do_prefault, .fills = true);
OPERATION(commit, .prepare = prepare_decommitted, .run = do_commit);
OPERATION(commit_in_cgroup,
	  .flags = PRIVHEAP_CREATE_F_CGROUP | PRIVHEAP_CREATE_F_BACKED,
	  .prepare = prepare_decommitted, .run = do_commit);
OPERATION(commit_huge, .policy = PRIVHEAP_POLICY_HUGE,
	  .prepare = prepare_huge_decommitted, .run = do_commit);
OPERATION(commit_touched_never, .prepare = do_alloc_large, .run = do_commit);
OPERATION(decommit, .prepare = prepare_large, .run = do_decommit);
OPERATION(decommit_secret, .flags = PRIVHEAP_CREATE_F_SECRET,
	  .prepare = prepare_large, .run = do_decommit);
OPERATION(decommit_huge, .policy = PRIVHEAP_POLICY_HUGE, .prepare = prepare_huge,
	  .run = do_decommit);
OPERATION(take, .run = do_take, .undo = undo_take);
OPERATION(take_backed, .flags = PRIVHEAP_CREATE_F_BACKED, .run = do_take,
	  .undo = undo_take);
OPERATION(batch_alloc, .run = do_batch_alloc, .undo = do_batch_free);
OPERATION(batch_free, .prepare = do_batch_alloc, .run = do_batch_free);
OPERATION(batch_give, .prepare = prepare_taken, .run = do_batch_give);
OPERATION(batch_drop, .prepare = prepare_written, .run = do_batch_drop,
	  .undo = check_dropped);
OPERATION(count, .prepare = prepare_taken, .run = do_count);
OPERATION(pagemap, .prepare = prepare_large, .run = do_pagemap, .undo = undo_pagemap);
OPERATION(alloc_large_with_pagemap, .prepare = do_pagemap, .run = do_alloc_large,
	  .undo = undo_alloc);
OPERATION(reset, .prepare = prepare_own_region, .run = do_reset);
OPERATION(reset_and_keep, .prepare = prepare_large, .run = do_reset_and_keep);
OPERATION(reset_huge, .policy = PRIVHEAP_POLICY_HUGE, .prepare = prepare_huge,
	  .run = do_reset);
OPERATION(reset_taken, .flags = PRIVHEAP_CREATE_F_SECRET, .prepare = prepare_written,
	  .run = do_reset);
OPERATION(policy, .prepare = prepare_large, .run = do_policy);
OPERATION(inject, .run = do_inject, .never_fails = true);
OPERATION(limit_read, .run = do_limit_read);
OPERATION(limit_change, .run = do_limit_change);
OPERATION(limit_change_process, .run = do_limit_change_process);
#define NETLINK .prepare = prepare_netlink, .recover = recover_netlink
OPERATION(netlink_get, NETLINK, .run = do_netlink_get);
OPERATION(netlink_list, NETLINK, .run = do_netlink_list);
OPERATION(netlink_limit_get, NETLINK, .run = do_netlink_limit_get);
OPERATION(netlink_limits, NETLINK, .run = do_netlink_limits);
OPERATION(netlink_map, NETLINK, .run = do_netlink_map);
OPERATION(netlink_regions, NETLINK, .run = do_netlink_regions);
OPERATION(netlink_classes, NETLINK, .run = do_netlink_classes);
OPERATION(netlink_faults, NETLINK, .run = do_netlink_faults);
OPERATION(netlink_subscribe, NETLINK, .run = do_netlink_subscribe);
OPERATION(netlink_heap_set, NETLINK, .run = do_netlink_heap_set);
OPERATION(netlink_limit_set, NETLINK, .run = do_netlink_limit_set);
OPERATION(touch, .prepare = do_alloc_large, .run = do_touch, .never_fails = true);
OPERATION(touch_adaptive, .policy = PRIVHEAP_POLICY_ADAPTIVE,
	  .prepare = do_alloc_large, .run = do_touch, .never_fails = true);
OPERATION(touch_window, .policy = PRIVHEAP_POLICY_WINDOW,
	  .prepare = do_alloc_large, .run = do_touch, .never_fails = true);
OPERATION(touch_secret, .flags = PRIVHEAP_CREATE_F_SECRET,
	  .prepare = do_alloc_large, .run = do_touch, .never_fails = true);
OPERATION(touch_huge, .policy = PRIVHEAP_POLICY_HUGE, .prepare = do_alloc_own_region,
	  .run = do_touch_region, .never_fails = true);
OPERATION(free_huge, .policy = PRIVHEAP_POLICY_HUGE, .prepare = prepare_huge,
	  .run = do_free, .never_fails = true);

/* All may fail, also what may sleep, and nothing is said about it. */
static const struct {
	const char *path;
	const char *value;
} knobs[] = {
	{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/failslab/verbose", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	{ "/sys/kernel/debug/fail_usercopy/verbose", "0" },
};

FIXTURE_SETUP(failure)
{
	char path[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		ASSERT_EQ(0, file_write(knobs[i].path, knobs[i].value)) {
			TH_LOG("%s", knobs[i].path);
		}
	}
	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", gettid());
	nth_fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, nth_fd);
	ASSERT_EQ(0, cgroup_create(&cgroup));
	cgroup_fd = cgroup_open(&cgroup);
	ASSERT_LE(0, cgroup_fd);
}

FIXTURE_TEARDOWN(failure)
{
	close(nth_fd);
	close(cgroup_fd);
	EXPECT_TRUE(eventually(!cgroup_destroy(&cgroup)));
}

static void place_open(struct __test_metadata *_metadata,
		       const FIXTURE_VARIANT(failure) *variant, struct place *place)
{
	size_t largest;

	*place = (struct place){ .fd = privheap_open(), .nl.fd = -1 };
	ASSERT_LE(0, place->fd);
	if (!variant->no_heap) {
		ASSERT_EQ(0, heap_create(
			&place->heap, place->fd, .flags = variant->flags,
			.policy = variant->policy,
			.limit_bytes = variant->limit_bytes,
			.idle_bytes = variant->idle_bytes,
			.cgroup_fd = variant->flags & PRIVHEAP_CREATE_F_CGROUP ?
				     cgroup_fd : 0,
			.quarantine_bytes = variant->flags & PRIVHEAP_CREATE_F_GUARD ?
					    QUARANTINE_BYTES : 0));
	}
	if (variant->prepare) {
		ASSERT_EQ(0, variant->prepare(place));
	}
	if (variant->no_heap)
		return;
	ASSERT_EQ(0, heap_compact(&place->heap, &largest));
	ASSERT_EQ(0, heap_stat(&place->heap, &place->before));
}

/* Closing the file takes heaps with it. */
static void place_close(struct place *place)
{
	close(place->fd);
	if (place->nl.fd >= 0)
		nl_close(&place->nl);
}

/* The kernel has no other errno for a message that it has no memory for. */
static bool is_failure(const FIXTURE_VARIANT(failure) *variant, int ret)
{
	return ret == -ENOMEM || ret == -EFAULT ||
	       (ret == -ENOBUFS && variant->recover);
}

/*
 * A growable heap keeps a region that it got before the failure, and an empty span as
 * it does after any free. The one costs no memory, the other goes when asked.
 */
static void expect_as_before(struct __test_metadata *_metadata,
			     const FIXTURE_VARIANT(failure) *variant,
			     struct place *place)
{
	struct privheap_stat stat;
	size_t largest;

	if (variant->no_heap) {
		EXPECT_EQ(0, maps_heaps());
		return;
	}
	EXPECT_EQ(0, heap_compact(&place->heap, &largest));
	EXPECT_EQ(0, heap_stat(&place->heap, &stat));
	EXPECT_LE(place->before.out_nr_regions, stat.out_nr_regions);
	EXPECT_GE(place->before.out_nr_regions + 1, stat.out_nr_regions);
	place->before.out_nr_regions = stat.out_nr_regions;
	place->before.out_reserved_bytes = stat.out_reserved_bytes;
	place->before.out_committed_peak_bytes = stat.out_committed_peak_bytes;
	if (variant->fills) {
		EXPECT_LE(place->before.out_resident_bytes, stat.out_resident_bytes);
		place->before.out_resident_bytes = stat.out_resident_bytes;
	}
	EXPECT_HEAP_STAT(&place->before, &place->heap);
}

/* Returns whether the operation has asked for so many services. */
static bool fail_one(struct __test_metadata *_metadata,
		     const FIXTURE_VARIANT(failure) *variant, unsigned int nth,
		     unsigned int *nr_refused)
{
	struct place place;
	int ret, met;

	place_open(_metadata, variant, &place);
	ASSERT_EQ(0, nth_arm(nth));
	ret = variant->run(&place);
	met = nth_disarm();
	ASSERT_LE(0, met);
	if (ret) {
		EXPECT_TRUE(is_failure(variant, ret)) {
			TH_LOG("failure %u: %s", nth, strerror(-ret));
		}
		++*nr_refused;
		if (variant->recover)
			variant->recover(&place);
		expect_as_before(_metadata, variant, &place);
		EXPECT_EQ(0, variant->run(&place)) {
			TH_LOG("not after failure %u", nth);
		}
	}
	if (variant->undo) {
		EXPECT_EQ(0, variant->undo(&place));
	}
	if (variant->undo && variant->no_heap)
		expect_as_before(_metadata, variant, &place);
	place_close(&place);
	return met;
}

/*
 * How often the kernel's allocators ask for a page themselves depends on what they have
 * at hand, so the n-th service is not always the same: each number has two turns,
 * and it takes some that nobody asked for until it is the end.
 */
TEST_F_TIMEOUT(failure, each, 240)
{
	unsigned int nth, last = 0, nr_refused = 0;

	for (nth = 1; nth <= last + 3 && nth < MAX_NTH; nth++) {
		if (fail_one(_metadata, variant, nth, &nr_refused))
			last = nth;
		if (fail_one(_metadata, variant, nth, &nr_refused))
			last = nth;
	}
	EXPECT_LT(nth, MAX_NTH);
	EXPECT_EQ(variant->never_fails, nr_refused == 0);
	TH_LOG("%u services, %u failures refused the call", last, nr_refused);
}

TEST_HARNESS_MAIN
