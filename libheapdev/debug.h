/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files about debug heaps know of each other; internal.h tells the rest
 * of the library as much as it needs.
 *
 *	debug.c		what the calls on a debug heap do
 *	  layout.c	what is written around, into and after a block, and checked
 *	  delayed.c	freed blocks that are not given back yet
 *	  shadow.c	free memory that holds the pattern
 *	gflags.c	the settings
 *	report.c	the line about what was found, and SIGSEGV
 *	stack.c		call stacks, kept by number
 *
 * A debug heap checks patterns, or it is a page heap, which Windows knows in two
 * kinds: *light*, with stamps and patterns around each block, and *full*, with a
 * guarded block of the kernel for each. In a full one, blocks that the settings
 * leave out are made as in a light one.
 *
 * To the kernel a block is longer than to the program: by a header in front of it
 * (page heaps) and bytes behind it. *base* is the kernel's address, *user* the
 * program's.
 */
#ifndef LIBHEAPDEV_DEBUG_H
#define LIBHEAPDEV_DEBUG_H

#include "internal.h"

/* gflags.c */

/* Checks of an ordinary layout, as bits. */
#define HD_CHECK_TAIL		1U
#define HD_CHECK_FREE		2U
#define HD_CHECK_PARAMETERS	4U	/* pointers always are */
#define HD_CHECK_ALL		8U	/* the whole heap, at every call */

enum hd_page_heap {
	HD_PAGE_HEAP_NONE,
	HD_PAGE_HEAP_LIGHT,
	HD_PAGE_HEAP_FULL,
};

struct hd_settings {
	uint32_t checks;		/* HD_CHECK_* */
	enum hd_page_heap page_heap;
	bool backwards;			/* guard page before the block */
	bool unaligned;			/* no slack before the guard page */
	bool no_sync;			/* one thread for an unserialised heap */
	bool no_traces;			/* no call stacks */
	size_t lo_bytes, hi_bytes;	/* what is guarded, bounds included */
	unsigned int random_percent;	/* of that */
	unsigned int fault_rate;	/* of 10000 allocations that fail */
	unsigned int fault_delay_s;	/* after the start of the process */
	uint64_t quarantine_bytes;	/* address space of freed blocks */
	uint64_t seed;			/* of what is random; 0: any */
};

static inline bool hd_settings_are_set(const struct hd_settings *settings)
{
	return settings->checks || settings->page_heap || settings->fault_rate;
}

/**
 * hd_gflags_parse() - read settings
 * @text: words as in HEAPDEV_GFLAGS, or NULL for none
 * @settings: filled; what is not named has its default
 *
 * Return: NULL, or the first word that is no setting. The others count.
 */
const char *hd_gflags_parse(const char *text, struct hd_settings *settings);

/* The settings of the environment, as they were when the device was opened. */
const struct hd_settings *hd_gflags_environment(void);

/* stack.c */

/**
 * hd_stack_capture() - remember who called
 * @caller: return address of the public function; frames inside are left out
 *
 * Return: a number for hd_stack_print(), 0 without memory.
 */
uint32_t hd_stack_capture(void *caller);

/**
 * hd_stack_get() - the frames of a stack
 * @number: from hd_stack_capture()
 * @frames: points to them; they stay for ever
 *
 * Context: Any, signal handlers too.
 * Return: how many there are, 0 if there is no such stack.
 */
unsigned int hd_stack_get(uint32_t number, void *const **frames);

/* What the kernel keeps with a block: a stack and a thread. */
static inline uint32_t hd_cookie_stack(uint64_t cookie)
{
	return cookie;
}

static inline uint32_t hd_cookie_thread(uint64_t cookie)
{
	return cookie >> 32;
}

/* report.c */

/* What went wrong: the codes of Windows' application verifier. */
enum hd_stop {
	HD_STOP_ACCESS_VIOLATION	= 0x02,
	HD_STOP_UNSYNCHRONISED		= 0x03,
	HD_STOP_EXTREME_SIZE		= 0x04,
	HD_STOP_BAD_HANDLE		= 0x05,
	HD_STOP_WRONG_HEAP		= 0x06,
	HD_STOP_DOUBLE_FREE		= 0x07,
	HD_STOP_CORRUPT_BLOCK		= 0x08,
	HD_STOP_DESTROY_PROCESS_HEAP	= 0x09,
	HD_STOP_CORRUPT_HEADER		= 0x0d,
	HD_STOP_FREED_MODIFIED		= 0x0e,
	HD_STOP_SUFFIX			= 0x0f,
	HD_STOP_START_STAMP		= 0x10,
	HD_STOP_END_STAMP		= 0x11,
	HD_STOP_PREFIX			= 0x12,
	HD_STOP_FIRST_CHANCE		= 0x13,
};

struct hd_report {
	enum hd_stop stop;
	const char *function;	/* that found it; NULL for a signal */
	const void *heap;
	const void *block;	/* the program's address; NULL: none */
	size_t bytes;
	uintptr_t address;	/* what was touched or damaged; 0: none */
	uint64_t value;		/* what is there, if .has_value */
	bool has_value;
	const char *access;	/* of a fault: what was tried, and */
	void *instruction;	/* by which instruction; NULL: not known */
	uint64_t alloc_cookie;	/* 0: none */
	uint64_t free_cookie;
};

/**
 * hd_report_print() - write a line about something to standard error
 * @report: what
 *
 * Context: Any, signal handlers too.
 */
void hd_report_print(const struct hd_report *report);

/* The same, and the process ends with SIGABRT. */
_Noreturn void hd_report_fatal(const struct hd_report *report);

/* Catch SIGSEGV from now on; cheap when repeated. */
void hd_report_catch_faults(void);

/* delayed.c */

#define HD_DELAYED_BLOCKS	1024U

struct hd_delayed_block {
	char *base;
	size_t kernel_bytes;
	uint64_t free_cookie;
};

/* The blocks that were freed last; the oldest leaves for a new one. */
struct hd_delayed {
	uint64_t first, end;		/* sequence numbers */
	struct hd_delayed_block blocks[HD_DELAYED_BLOCKS];
	uint32_t buckets[2 * HD_DELAYED_BLOCKS];	/* place + 1, by address */
};

void hd_delayed_init(struct hd_delayed *delayed);
/* NULL if the block at @base is not among them. */
const struct hd_delayed_block *hd_delayed_find(const struct hd_delayed *delayed,
					       const void *base);
/* True if @oldest had to leave. */
bool hd_delayed_add(struct hd_delayed *delayed,
		    const struct hd_delayed_block *block,
		    struct hd_delayed_block *oldest);
/* False if there is none. */
bool hd_delayed_remove_oldest(struct hd_delayed *delayed,
			      struct hd_delayed_block *oldest);

/* shadow.c */

struct hd_shadow_page;

/*
 * Which memory of small blocks is free and holds the pattern, by page. A page is
 * known as long as a block of the kernel lies in it: without one it may be given
 * back at any time.
 */
struct hd_shadow {
	struct hd_shadow_page *pages;
	size_t nr_slots, nr_pages;
};

void hd_shadow_reset(struct hd_shadow *shadow);
/*
 * A block was allocated, and nothing written to it yet. Returns NULL, or the
 * address of something that was written to free memory there.
 */
const void *hd_shadow_claim(struct hd_shadow *shadow, const char *base,
			    size_t bytes);
/* A block holds the pattern all over and is to be freed now. */
void hd_shadow_release(struct hd_shadow *shadow, const char *base, size_t bytes);
/* A block has changed its size where it is; what it gave up is filled. */
void hd_shadow_resize(struct hd_shadow *shadow, char *base, size_t old_bytes,
		      size_t new_bytes);
/* NULL, or the address of something that was written to free memory. */
const void *hd_shadow_check(const struct hd_shadow *shadow);

/* debug.c */

struct hd_debug {
	struct hd_settings settings;
	HANDLE handle;
	SIZE_T max_bytes;		/* of a fixed page heap; 0: none */
	_Atomic SIZE_T allocated_bytes;	/* what the program asked for */
	_Atomic uint64_t random;
	_Atomic uint64_t thread;	/* the one of a no_sync heap; 0: not yet */
	pthread_mutex_t mutex;		/* the rest, also of unserialised heaps */
	struct hd_delayed delayed;
	struct hd_shadow shadow;
};

/* A block of a debug heap. */
struct hd_block {
	enum { HD_BLOCK_NONE, HD_BLOCK_LIVE, HD_BLOCK_FREED } state;
	bool guarded;
	char *base;
	size_t kernel_bytes;
	char *user;
	size_t bytes;
	uint64_t alloc_cookie;
	uint64_t free_cookie;
};

/*
 * Find the block of a full page heap that an address belongs to; false if the heap
 * is none or the address is not in it. For signal handlers.
 */
bool hd_debug_look(struct hd_heap *heap, const void *address,
		   struct hd_block *block);

/* layout.c */

/* How much longer than to the program a block is to the kernel. */
size_t hd_layout_lead(const struct hd_debug *debug, bool guarded);
size_t hd_layout_trail(const struct hd_debug *debug, bool guarded);

/* Fill in .user and .bytes, where .base and .kernel_bytes are known. */
void hd_layout_locate(const struct hd_debug *debug, struct hd_block *block);

/* Write what a new block holds; @zeroed: what it is to the program is zero. */
void hd_layout_new(const struct hd_debug *debug, const struct hd_block *block,
		   bool zeroed);

/* The block was resized where it is, from @old_bytes. */
void hd_layout_resized(const struct hd_debug *debug,
		       const struct hd_block *block, size_t old_bytes,
		       bool zeroed);

/* Write what a freed block holds that is not guarded. */
void hd_layout_freed(const struct hd_debug *debug, const struct hd_block *block);

/*
 * Look at all that surrounds a live block, or at all of a freed one. Returns true
 * if it is as it was written; else @report tells what is not: the stop code, the
 * address and the value.
 */
bool hd_layout_check(const struct hd_debug *debug, const struct hd_block *block,
		     struct hd_report *report);
bool hd_layout_check_freed(const struct hd_debug *debug,
			   const struct hd_block *block,
			   struct hd_report *report);

/* The bytes that nobody else has; a block that ends in them has all 16. */
size_t hd_layout_slot_bytes(size_t kernel_bytes);

/* The pattern of free memory, in phase with the address. */
void hd_layout_fill_free(char *start, size_t bytes);
/* NULL, or the first address that does not hold it. */
const void *hd_layout_find_not_free(const char *start, size_t bytes);

#endif /* LIBHEAPDEV_DEBUG_H */
