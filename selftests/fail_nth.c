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
#include "privheap_util.h"

/* More failures than any operation has. */
#define MAX_NTH		2000

/* What an operation works on; made anew for each failure. */
struct place {
	int fd;
	struct heap heap;
	char *block;
	struct privheap_stat before;
};

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

static int undo_create(struct place *place)
{
	return heap_destroy(&place->heap);
}

static int do_destroy(struct place *place)
{
	return heap_destroy(&place->heap);
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

static int undo_alloc(struct place *place)
{
	return block_free(&place->heap, place->block);
}

static int prepare_slot(struct place *place)
{
	int ret = do_alloc_slot(place);

	if (!ret)
		pattern_fill(place->block, 100, 1);
	return ret;
}

static int prepare_large(struct place *place)
{
	int ret = do_alloc_large(place);

	if (!ret)
		pattern_fill(place->block, 100000, 1);
	return ret;
}

static int prepare_own_region(struct place *place)
{
	int ret = do_alloc_own_region(place);

	if (!ret)
		pattern_fill(place->block, 3 * MIB, 1);
	return ret;
}

static int realloc_to(struct place *place, size_t old, size_t bytes)
{
	char *block = place->block;
	int ret = block_realloc(&place->heap, &block, bytes, PRIVHEAP_REALLOC_F_ZERO);
	size_t kept = old < bytes ? old : bytes;

	if (!pattern_check(ret ? place->block : block, ret ? old : kept, 1))
		return -EBADMSG;
	if (!ret)
		place->block = block;
	return ret;
}

static int do_grow_slot(struct place *place)
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

/* Without memory the kernel makes the program touch the page again. */
static int do_touch(struct place *place)
{
	size_t i;

	for (i = 0; i < 100000; i += 1000)
		*(volatile char *)(place->block + i) = 1;
	return 0;
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
 * @flags: of the heap that @run works in
 * @prepare: what is there before
 * @run, @undo: the operation, and what it is to be undone with. Without @undo the
 *	heap may be another one after it
 * @no_heap: it needs none
 * @never_fails: to give something back needs nothing, or the kernel tries again
 */
FIXTURE_VARIANT(failure)
{
	__u32 flags;
	bool no_heap;
	bool never_fails;
	int (*prepare)(struct place *place);
	int (*run)(struct place *place);
	int (*undo)(struct place *place);
};

#define OPERATION(name, ...) \
	FIXTURE_VARIANT_ADD(failure, name) { __VA_ARGS__ }

OPERATION(open, .no_heap = true, .run = do_open);
OPERATION(create, .no_heap = true, .run = do_create, .undo = undo_create);
OPERATION(create_fixed, .no_heap = true, .run = do_create_fixed, .undo = undo_create);
OPERATION(destroy, .prepare = prepare_own_region, .run = do_destroy,
	  .never_fails = true);
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
OPERATION(grow_slot, .prepare = prepare_slot, .run = do_grow_slot);
OPERATION(grow_slot_to_large, .prepare = prepare_slot, .run = do_grow_slot_to_large);
OPERATION(grow_large, .prepare = prepare_large, .run = do_grow_large);
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
OPERATION(size, .prepare = prepare_slot, .run = do_size);
OPERATION(stat, .prepare = prepare_large, .run = do_stat);
OPERATION(walk, .prepare = prepare_large, .run = do_walk);
OPERATION(compact, .prepare = prepare_large, .run = do_compact);
OPERATION(touch, .prepare = do_alloc_large, .run = do_touch, .never_fails = true);

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
}

FIXTURE_TEARDOWN(failure)
{
	close(nth_fd);
}

static void place_open(struct __test_metadata *_metadata,
		       const FIXTURE_VARIANT(failure) *variant, struct place *place)
{
	size_t largest;

	place->fd = privheap_open();
	ASSERT_LE(0, place->fd);
	if (variant->no_heap)
		return;
	ASSERT_EQ(0, heap_create(&place->heap, place->fd, .flags = variant->flags));
	if (variant->prepare) {
		ASSERT_EQ(0, variant->prepare(place));
	}
	ASSERT_EQ(0, heap_compact(&place->heap, &largest));
	ASSERT_EQ(0, heap_stat(&place->heap, &place->before));
}

/* Closing the file takes heaps with it. */
static void place_close(struct place *place)
{
	close(place->fd);
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
	EXPECT_HEAP_STAT(&place->before, &place->heap);
}

TEST_F_TIMEOUT(failure, each, 120)
{
	unsigned int nth, nr_refused = 0;
	struct place place;
	int ret, met;

	for (nth = 1; nth < MAX_NTH; nth++) {
		place_open(_metadata, variant, &place);
		ASSERT_EQ(0, nth_arm(nth));
		ret = variant->run(&place);
		met = nth_disarm();
		ASSERT_LE(0, met);
		if (ret) {
			EXPECT_TRUE(ret == -ENOMEM || ret == -EFAULT) {
				TH_LOG("failure %u: %s", nth, strerror(-ret));
			}
			nr_refused++;
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
		if (!met)
			break;
	}
	EXPECT_LT(nth, MAX_NTH);
	EXPECT_EQ(variant->never_fails, nr_refused == 0);
	TH_LOG("%u services, %u failures refused the call", nth - 1, nr_refused);
}

TEST_HARNESS_MAIN
