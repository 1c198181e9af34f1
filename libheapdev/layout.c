// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What debug heaps write around, into and after blocks, and how they tell that it
 * is as it was written.
 *
 *	                  header      block            behind it
 *	checked           none        0xBAADF00D       16 bytes 0xAB
 *	page heap, light  64 bytes    0xE0             16 bytes 0xA0
 *	page heap, full   64 bytes    0xC0             0xD0 to the guard page
 *
 * The header has the form that Windows gives it. In a full page heap the bytes from
 * the start of the page to the header are 0xD0 as well; if the guard page is before
 * the block, there is no header. What is freed holds 0xFEEEFEEE or, in a light page
 * heap, 0xF0 and other stamps.
 */
#include <string.h>
#include <unistd.h>

#include "debug.h"

#define TAIL_BYTES		16
#define BYTE_TAIL		0xab
#define BYTE_FULL_NEW		0xc0
#define BYTE_FULL_SLACK		0xd0
#define BYTE_LIGHT_NEW		0xe0
#define BYTE_LIGHT_SLACK	0xa0
#define BYTE_LIGHT_FREED	0xf0

static const uint8_t new_pattern[4] = { 0x0d, 0xf0, 0xad, 0xba };
static const uint8_t free_pattern[2] = { 0xee, 0xfe };

struct header {
	uint32_t start_stamp;
	uint32_t zero;
	uint64_t heap;
	uint64_t requested_bytes;
	uint64_t actual_bytes;
	uint64_t free_queue[2];		/* zero; the queue is elsewhere */
	uint64_t stack_trace;		/* the cookie of the allocation */
	uint32_t padding;
	uint32_t end_stamp;
};

_Static_assert(sizeof(struct header) == 64, "header of a page heap");

struct stamps {
	uint32_t start, end;
};

static const struct stamps full_busy = { 0xabcdbbbb, 0xdcbabbbb };
static const struct stamps light_busy = { 0xabcdaaaa, 0xdcbaaaaa };
static const struct stamps light_freed = { 0xabcdaaa9, 0xdcbaaaa9 };

size_t hd_layout_lead(const struct hd_debug *debug, bool guarded)
{
	if (!debug->settings.page_heap || (guarded && debug->settings.backwards))
		return 0;
	return sizeof(struct header);
}

size_t hd_layout_trail(const struct hd_debug *debug, bool guarded)
{
	if (guarded)
		return 0;
	return debug->settings.page_heap ||
	       debug->settings.checks & HD_CHECK_TAIL ? TAIL_BYTES : 0;
}

void hd_layout_locate(const struct hd_debug *debug, struct hd_block *block)
{
	size_t lead = hd_layout_lead(debug, block->guarded);

	block->user = block->base + lead;
	block->bytes = block->kernel_bytes - lead -
		       hd_layout_trail(debug, block->guarded);
}

static char *page_start(const char *address)
{
	return (char *)((uintptr_t)address & -(uintptr_t)getpagesize());
}

/* The end of the pages of a guarded block. */
static char *page_end(const struct hd_block *block)
{
	uintptr_t mask = getpagesize() - 1;
	uintptr_t end = (uintptr_t)block->base + block->kernel_bytes;

	/* Without a byte, and behind its guard page, it has a page all the same. */
	return (char *)((end + !block->kernel_bytes + mask) & ~mask);
}

/* A piece of memory that is all one byte. */
struct strip {
	char *start;
	size_t bytes;
	uint8_t byte;
};

static struct strip suffix_of(const struct hd_debug *debug,
			      const struct hd_block *block)
{
	char *start = block->user + block->bytes;

	if (block->guarded)
		return (struct strip) {
			start, page_end(block) - start, BYTE_FULL_SLACK,
		};
	return (struct strip) {
		start, hd_layout_trail(debug, false),
		debug->settings.page_heap ? BYTE_LIGHT_SLACK : BYTE_TAIL,
	};
}

static struct strip prefix_of(const struct hd_block *block)
{
	char *start = page_start(block->base);

	if (!block->guarded)
		return (struct strip) { 0 };
	return (struct strip) { start, block->base - start, BYTE_FULL_SLACK };
}

static void fill_strip(const struct strip *strip)
{
	if (strip->bytes)
		memset(strip->start, strip->byte, strip->bytes);
}

static bool check_strip(const struct strip *strip, enum hd_stop stop,
			struct hd_report *report)
{
	size_t i;

	for (i = 0; i < strip->bytes; i++) {
		if ((uint8_t)strip->start[i] == strip->byte)
			continue;
		report->stop = stop;
		report->address = (uintptr_t)&strip->start[i];
		report->value = (uint8_t)strip->start[i];
		report->has_value = true;
		return false;
	}
	return true;
}

static struct header make_header(const struct hd_debug *debug,
				 const struct hd_block *block,
				 struct stamps stamps)
{
	return (struct header) {
		.start_stamp = stamps.start,
		.heap = (uintptr_t)debug->handle,
		.requested_bytes = block->bytes,
		.actual_bytes = block->kernel_bytes,
		.stack_trace = block->alloc_cookie,
		.end_stamp = stamps.end,
	};
}

static void write_header(const struct hd_debug *debug,
			 const struct hd_block *block, struct stamps stamps)
{
	struct header header = make_header(debug, block, stamps);

	if (hd_layout_lead(debug, block->guarded))
		memcpy(block->base, &header, sizeof(header));
}

static bool header_is_bad(struct hd_report *report, enum hd_stop stop,
			  const void *address, uint64_t value)
{
	report->stop = stop;
	report->address = (uintptr_t)address;
	report->value = value;
	report->has_value = true;
	return false;
}

/*
 * Of a block that is not guarded only the header knows the cookie, which is taken
 * from there if the rest is as it should be.
 */
static bool check_header(const struct hd_debug *debug,
			 const struct hd_block *block, struct stamps stamps,
			 struct hd_report *report)
{
	struct header header, expected = make_header(debug, block, stamps);
	const char *base = block->base;
	size_t i;

	if (!hd_layout_lead(debug, block->guarded))
		return true;
	memcpy(&header, base, sizeof(header));
	if (header.end_stamp != stamps.end)
		return header_is_bad(report, HD_STOP_END_STAMP,
				     base + offsetof(struct header, end_stamp),
				     header.end_stamp);
	if (header.start_stamp != stamps.start)
		return header_is_bad(report, HD_STOP_START_STAMP, base,
				     header.start_stamp);
	if (!block->guarded) {
		expected.stack_trace = header.stack_trace;
		report->alloc_cookie = header.stack_trace;
	}
	for (i = 0; i < sizeof(header); i++)
		if (((char *)&header)[i] != ((char *)&expected)[i])
			return header_is_bad(report, HD_STOP_CORRUPT_HEADER,
					     base + i, ((uint8_t *)&header)[i]);
	return true;
}

static void fill_pattern(char *start, size_t bytes, const uint8_t *pattern,
			 size_t period, size_t phase)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		start[i] = pattern[(phase + i) % period];
}

void hd_layout_fill_free(char *start, size_t bytes)
{
	fill_pattern(start, bytes, free_pattern, sizeof(free_pattern),
		     (uintptr_t)start);
}

size_t hd_layout_slot_bytes(size_t kernel_bytes)
{
	size_t mask = MEMORY_ALLOCATION_ALIGNMENT - 1;

	return (kernel_bytes + mask) & ~mask;
}

const void *hd_layout_find_not_free(const char *start, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		if ((uint8_t)start[i] !=
		    free_pattern[((uintptr_t)start + i) % sizeof(free_pattern)])
			return start + i;
	return NULL;
}

/* What was not zeroed, from byte @first of the block on. */
static void fill_new(const struct hd_debug *debug, const struct hd_block *block,
		     size_t first)
{
	char *start = block->user + first;
	size_t bytes = block->bytes - first;

	if (debug->settings.page_heap)
		memset(start, block->guarded ? BYTE_FULL_NEW : BYTE_LIGHT_NEW,
		       bytes);
	else if (debug->settings.checks & HD_CHECK_FREE)
		fill_pattern(start, bytes, new_pattern, sizeof(new_pattern),
			     first);
}

void hd_layout_new(const struct hd_debug *debug, const struct hd_block *block,
		   bool zeroed)
{
	struct strip prefix = prefix_of(block);
	struct strip suffix = suffix_of(debug, block);

	fill_strip(&prefix);
	write_header(debug, block, block->guarded ? full_busy : light_busy);
	if (!zeroed)
		fill_new(debug, block, 0);
	fill_strip(&suffix);
}

void hd_layout_resized(const struct hd_debug *debug,
		       const struct hd_block *block, size_t old_bytes,
		       bool zeroed)
{
	struct strip suffix = suffix_of(debug, block);

	if (block->bytes > old_bytes && zeroed)
		memset(block->user + old_bytes, 0, block->bytes - old_bytes);
	else if (block->bytes > old_bytes)
		fill_new(debug, block, old_bytes);
	fill_strip(&suffix);
}

void hd_layout_freed(const struct hd_debug *debug, const struct hd_block *block)
{
	if (!debug->settings.page_heap) {
		hd_layout_fill_free(block->base,
				    hd_layout_slot_bytes(block->kernel_bytes));
		return;
	}
	write_header(debug, block, light_freed);
	memset(block->user, BYTE_LIGHT_FREED, block->bytes + TAIL_BYTES);
}

bool hd_layout_check(const struct hd_debug *debug, const struct hd_block *block,
		     struct hd_report *report)
{
	struct strip prefix = prefix_of(block);
	struct strip suffix = suffix_of(debug, block);

	return check_header(debug, block,
			    block->guarded ? full_busy : light_busy, report) &&
	       check_strip(&suffix, HD_STOP_SUFFIX, report) &&
	       check_strip(&prefix, HD_STOP_PREFIX, report);
}

bool hd_layout_check_freed(const struct hd_debug *debug,
			   const struct hd_block *block,
			   struct hd_report *report)
{
	struct strip data = {
		block->user, block->bytes + TAIL_BYTES, BYTE_LIGHT_FREED,
	};
	const void *bad;

	if (!debug->settings.page_heap) {
		bad = hd_layout_find_not_free(block->base,
				hd_layout_slot_bytes(block->kernel_bytes));
		return !bad || header_is_bad(report, HD_STOP_FREED_MODIFIED, bad,
					     *(const uint8_t *)bad);
	}
	/* Whatever was overwritten, it was after the block was freed. */
	if (!check_header(debug, block, light_freed, report)) {
		report->stop = HD_STOP_FREED_MODIFIED;
		return false;
	}
	return check_strip(&data, HD_STOP_FREED_MODIFIED, report);
}
