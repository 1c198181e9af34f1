// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which free memory of a debug heap holds the pattern.
 *
 * A bit for every 16 bytes, in a table of pages that is probed one place after
 * the other. The kernel takes memory of free blocks back when no block of a span is
 * left; so what is known of a page is forgotten with the last block in it, and when
 * a block comes to a page without any, the rest of the page is filled anew.
 *
 * A page has the length here that the smallest pages have anywhere. Blocks that are
 * too long for a span share no page with others, and are left out. A block may
 * become so by being resized; what of it lies that far in is left out, too. When
 * one becomes shorter, the kernel may take back all pages but those that are left.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "debug.h"

#define PAGE_BYTES		4096U
#define GRANULE_BYTES		16U
#define WORDS			(PAGE_BYTES / GRANULE_BYTES / 64)
#define FIRST_SLOTS		256U
/* out_slot_max_bytes of the kernel, which never decreases. */
#define SMALL_MAX_BYTES		16384U

struct hd_shadow_page {
	uintptr_t number;	/* address / PAGE_BYTES; 0: an empty place */
	uint32_t nr_blocks;
	uint64_t filled[WORDS];
};

static size_t slot_of(const struct hd_shadow *shadow, uintptr_t number)
{
	return (number * 0x9e3779b97f4a7c15u >> 20) & (shadow->nr_slots - 1);
}

static struct hd_shadow_page *probe(const struct hd_shadow *shadow,
				    uintptr_t number)
{
	size_t slot = slot_of(shadow, number);

	while (shadow->pages[slot].number &&
	       shadow->pages[slot].number != number)
		slot = (slot + 1) & (shadow->nr_slots - 1);
	return &shadow->pages[slot];
}

static struct hd_shadow_page *find(const struct hd_shadow *shadow,
				   uintptr_t number)
{
	struct hd_shadow_page *page;

	if (!shadow->nr_slots)
		return NULL;
	page = probe(shadow, number);
	return page->number ? page : NULL;
}

static void unmap_pages(struct hd_shadow *shadow)
{
	if (shadow->nr_slots)
		munmap(shadow->pages, shadow->nr_slots * sizeof(*shadow->pages));
}

void hd_shadow_reset(struct hd_shadow *shadow)
{
	unmap_pages(shadow);
	*shadow = (struct hd_shadow) { 0 };
}

static bool grow(struct hd_shadow *shadow)
{
	struct hd_shadow bigger = {
		.nr_slots = shadow->nr_slots ? 2 * shadow->nr_slots : FIRST_SLOTS,
		.nr_pages = shadow->nr_pages,
	};
	int saved = errno;
	size_t i;

	bigger.pages = mmap(NULL, bigger.nr_slots * sizeof(*bigger.pages),
			    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	errno = saved;
	if (bigger.pages == MAP_FAILED)
		return false;
	for (i = 0; i < shadow->nr_slots; i++)
		if (shadow->pages[i].number)
			*probe(&bigger, shadow->pages[i].number) =
				shadow->pages[i];
	unmap_pages(shadow);
	*shadow = bigger;
	return true;
}

/* A new page, with nothing known of it; NULL without memory. */
static struct hd_shadow_page *add(struct hd_shadow *shadow, uintptr_t number)
{
	struct hd_shadow_page *page;

	if (2 * shadow->nr_pages >= shadow->nr_slots && !grow(shadow))
		return NULL;
	page = probe(shadow, number);
	*page = (struct hd_shadow_page) { .number = number };
	shadow->nr_pages++;
	return page;
}

/* Those behind it that belong before the gap move up. */
static void delete(struct hd_shadow *shadow, struct hd_shadow_page *page)
{
	size_t mask = shadow->nr_slots - 1, gap = page - shadow->pages;
	size_t slot = gap, home;

	shadow->pages[gap].number = 0;
	shadow->nr_pages--;
	for (;;) {
		slot = (slot + 1) & mask;
		if (!shadow->pages[slot].number)
			return;
		home = slot_of(shadow, shadow->pages[slot].number);
		if (((slot - home) & mask) < ((slot - gap) & mask))
			continue;
		shadow->pages[gap] = shadow->pages[slot];
		shadow->pages[slot].number = 0;
		gap = slot;
	}
}

/* Granules [.lo, .hi) of a page. */
struct part {
	unsigned int lo, hi;
};

/* What of the granules of [@start, @end) lies in a page. */
static struct part part_of(uintptr_t number, uintptr_t start, uintptr_t end)
{
	uintptr_t base = number * PAGE_BYTES;
	uintptr_t lo = start > base ? start - base : 0;
	uintptr_t hi = end > base ? end - base : 0;

	if (hi > PAGE_BYTES)
		hi = PAGE_BYTES;
	return (struct part) {
		.lo = (lo + GRANULE_BYTES - 1) / GRANULE_BYTES,
		.hi = (hi + GRANULE_BYTES - 1) / GRANULE_BYTES,
	};
}

static char *granule_at(const struct hd_shadow_page *page, unsigned int i)
{
	return (char *)(page->number * PAGE_BYTES + i * GRANULE_BYTES);
}

static bool is_filled(const struct hd_shadow_page *page, unsigned int i)
{
	return page->filled[i / 64] >> i % 64 & 1;
}

/* Looks at what is known to be filled; NULL if it is. */
static const void *check_part(const struct hd_shadow_page *page,
			      struct part part)
{
	const void *bad = NULL;
	unsigned int i;

	for (i = part.lo; i < part.hi && !bad; i++)
		if (is_filled(page, i))
			bad = hd_layout_find_not_free(granule_at(page, i),
						      GRANULE_BYTES);
	return bad;
}

static void mark_part(struct hd_shadow_page *page, struct part part,
		      bool filled)
{
	unsigned int i;

	for (i = part.lo; i < part.hi; i++) {
		page->filled[i / 64] &= ~((uint64_t)1 << i % 64);
		page->filled[i / 64] |= (uint64_t)filled << i % 64;
	}
}

static void fill_part(struct hd_shadow_page *page, unsigned int lo,
		      unsigned int hi)
{
	if (lo >= hi)
		return;
	hd_layout_fill_free(granule_at(page, lo), (hi - lo) * GRANULE_BYTES);
	mark_part(page, (struct part) { lo, hi }, true);
}

/* One more block in a page. */
static const void *claim_page(struct hd_shadow *shadow, uintptr_t number,
			      uintptr_t start, uintptr_t end)
{
	struct hd_shadow_page *page = find(shadow, number);
	struct part part = part_of(number, start, end);
	const void *bad = NULL;

	if (page) {
		bad = check_part(page, part);
	} else {
		page = add(shadow, number);
		if (!page)
			return NULL;
		fill_part(page, 0, part.lo);
		fill_part(page, part.hi, PAGE_BYTES / GRANULE_BYTES);
	}
	mark_part(page, part, false);
	page->nr_blocks++;
	return bad;
}

static void release_page(struct hd_shadow *shadow, uintptr_t number,
			 uintptr_t start, uintptr_t end)
{
	struct hd_shadow_page *page = find(shadow, number);

	if (!page)
		return;
	mark_part(page, part_of(number, start, end), true);
	if (!--page->nr_blocks)
		delete(shadow, page);
}

/* Number of the page behind a block; every block takes a byte at least. */
static uintptr_t end_page(uintptr_t start, size_t bytes)
{
	return (start + (bytes ? bytes : 1) - 1) / PAGE_BYTES + 1;
}

const void *hd_shadow_claim(struct hd_shadow *shadow, const char *base,
			    size_t bytes)
{
	uintptr_t start = (uintptr_t)base, number = start / PAGE_BYTES;
	const void *bad = NULL, *found;

	if (bytes > SMALL_MAX_BYTES)
		return NULL;
	for (; number < end_page(start, bytes); number++) {
		found = claim_page(shadow, number, start, start + bytes);
		if (!bad)
			bad = found;
	}
	return bad;
}

static size_t tracked(size_t bytes)
{
	return bytes < SMALL_MAX_BYTES ? bytes : SMALL_MAX_BYTES;
}

void hd_shadow_release(struct hd_shadow *shadow, const char *base, size_t bytes)
{
	uintptr_t start = (uintptr_t)base, number = start / PAGE_BYTES;
	uintptr_t end = start + tracked(bytes);

	for (; number < end_page(start, tracked(bytes)); number++)
		release_page(shadow, number, start, end);
}

static void mark_pages(struct hd_shadow *shadow, uintptr_t start, uintptr_t end,
		       bool filled)
{
	struct hd_shadow_page *page;
	uintptr_t number;

	for (number = start / PAGE_BYTES; number * PAGE_BYTES < end; number++) {
		page = find(shadow, number);
		if (page)
			mark_part(page, part_of(number, start, end), filled);
	}
}

void hd_shadow_resize(struct hd_shadow *shadow, char *base, size_t old_bytes,
		      size_t new_bytes)
{
	uintptr_t start = (uintptr_t)base;
	uintptr_t old_end = end_page(start, tracked(old_bytes));
	uintptr_t new_end = end_page(start, tracked(new_bytes)), number;
	size_t kept = hd_layout_slot_bytes(tracked(new_bytes));
	size_t filled = hd_layout_slot_bytes(tracked(old_bytes));

	for (number = old_end; number < new_end; number++)
		claim_page(shadow, number, start, start + tracked(new_bytes));
	mark_pages(shadow, start, start + kept, false);
	if (filled > new_end * PAGE_BYTES - start)
		filled = new_end * PAGE_BYTES - start;
	if (kept < filled) {
		hd_layout_fill_free(base + kept, filled - kept);
		mark_pages(shadow, start + kept, start + filled, true);
	}
	for (number = new_end; number < old_end; number++)
		release_page(shadow, number, 0, 0);	/* nothing is known */
}

const void *hd_shadow_check(const struct hd_shadow *shadow)
{
	const struct part whole = { 0, PAGE_BYTES / GRANULE_BYTES };
	const void *bad = NULL;
	size_t i;

	for (i = 0; i < shadow->nr_slots && !bad; i++)
		if (shadow->pages[i].number)
			bad = check_part(&shadow->pages[i], whole);
	return bad;
}
