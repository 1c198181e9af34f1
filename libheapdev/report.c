// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The line on standard error that tells what a debug heap found, and the handler
 * of SIGSEGV that finds touches of guard pages and of freed blocks.
 *
 * All of this runs in signal handlers, also in one that interrupted the library or
 * malloc(): no lock is taken and no memory allocated. The line is put together
 * in a buffer and written at once. Names of functions come from
 * backtrace_symbols_fd(), which may be called in a handler.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "debug.h"

#define MAX_FRAMES	24	/* of a stack that are printed */

/* Line */

struct line {
	size_t used;
	char text[16384];
};

static void put_bytes(struct line *line, const char *bytes, size_t nr)
{
	size_t room = sizeof(line->text) - 1 - line->used;

	if (nr > room)
		nr = room;
	memcpy(line->text + line->used, bytes, nr);
	line->used += nr;
}

static void put(struct line *line, const char *text)
{
	put_bytes(line, text, strlen(text));
}

static void put_number(struct line *line, uint64_t value, unsigned int base)
{
	char digits[24], *digit = digits + sizeof(digits);

	do {
		*--digit = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (base == 16)
		put(line, "0x");
	put_bytes(line, digit, digits + sizeof(digits) - digit);
}

static void write_line(struct line *line)
{
	size_t written = 0;
	ssize_t ret;

	line->text[line->used++] = '\n';
	while (written < line->used) {
		ret = write(STDERR_FILENO, line->text + written,
			    line->used - written);
		if (ret < 0 && errno != EINTR)
			return;
		if (ret > 0)
			written += ret;
	}
}

/* Names */

static void put_addresses(struct line *line, void *const *frames,
			  unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		put(line, i ? " < " : "");
		put_number(line, (uintptr_t)frames[i], 16);
	}
}

/* Puts what can be read from a pipe: a frame in each line. */
static void put_pipe(struct line *line, int fd)
{
	bool new_frame = false;
	char text[256];
	ssize_t nr, i;

	do {
		nr = read(fd, text, sizeof(text));
		for (i = 0; i < nr; i++) {
			if (new_frame)
				put(line, " < ");
			new_frame = text[i] == '\n';
			put_bytes(line, &text[i], !new_frame);
		}
	} while (nr > 0 || (nr < 0 && errno == EINTR));
}

static void put_frames(struct line *line, void *const *frames, unsigned int nr)
{
	int ends[2];

	if (nr > MAX_FRAMES)
		nr = MAX_FRAMES;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		put_addresses(line, frames, nr);
		return;
	}
	backtrace_symbols_fd(frames, nr, ends[1]);
	close(ends[1]);
	put_pipe(line, ends[0]);
	close(ends[0]);
}

static void put_stack(struct line *line, const char *what, uint64_t cookie)
{
	void *const *frames;
	unsigned int nr;

	if (!cookie)
		return;
	put(line, "; ");
	put(line, what);
	put(line, " by thread ");
	put_number(line, hd_cookie_thread(cookie), 10);
	nr = hd_stack_get(hd_cookie_stack(cookie), &frames);
	if (!nr)
		return;
	put(line, ": ");
	put_frames(line, frames, nr);
}

/* Report */

static const char *stop_name(enum hd_stop stop)
{
	switch (stop) {
	case HD_STOP_ACCESS_VIOLATION:
		return "access violation";
	case HD_STOP_UNSYNCHRONISED:
		return "unsynchronised access";
	case HD_STOP_EXTREME_SIZE:
		return "extreme size";
	case HD_STOP_BAD_HANDLE:
		return "bad heap handle";
	case HD_STOP_WRONG_HEAP:
		return "wrong heap";
	case HD_STOP_DOUBLE_FREE:
		return "block already freed";
	case HD_STOP_CORRUPT_BLOCK:
		return "corrupt block";
	case HD_STOP_DESTROY_PROCESS_HEAP:
		return "destroying the process heap";
	case HD_STOP_CORRUPT_HEADER:
		return "corrupt header";
	case HD_STOP_FREED_MODIFIED:
		return "freed block modified";
	case HD_STOP_SUFFIX:
		return "suffix damaged";
	case HD_STOP_START_STAMP:
		return "start stamp damaged";
	case HD_STOP_END_STAMP:
		return "end stamp damaged";
	case HD_STOP_PREFIX:
		return "prefix damaged";
	case HD_STOP_FIRST_CHANCE:
		return "first-chance access violation";
	}
	return "unknown";
}

/* Where an address lies, seen from the block. */
static void put_offset(struct line *line, const struct hd_report *report)
{
	uintptr_t start = (uintptr_t)report->block;
	uintptr_t end = start + report->bytes;

	if (report->address < start) {
		put(line, ", ");
		put_number(line, start - report->address, 10);
		put(line, " bytes before it");
	} else if (report->address >= end) {
		put(line, ", ");
		put_number(line, report->address - end, 10);
		put(line, " bytes behind its end");
	} else {
		put(line, ", at offset ");
		put_number(line, report->address - start, 10);
	}
}

static void put_report(struct line *line, const struct hd_report *report)
{
	put(line, "libheapdev: stop ");
	put_number(line, report->stop, 16);
	put(line, " (");
	put(line, stop_name(report->stop));
	put(line, ")");
	if (report->function) {
		put(line, " in ");
		put(line, report->function);
	}
	put(line, ": heap ");
	put_number(line, (uintptr_t)report->heap, 16);
	if (report->block) {
		put(line, ", block ");
		put_number(line, (uintptr_t)report->block, 16);
	}
	if (report->block || report->stop == HD_STOP_EXTREME_SIZE) {
		put(line, ", size ");
		put_number(line, report->bytes, 10);
	}
	if (report->address) {
		put(line, ", address ");
		put_number(line, report->address, 16);
		if (report->block)
			put_offset(line, report);
	}
	if (report->has_value) {
		put(line, ", value ");
		put_number(line, report->value, 16);
	}
	if (report->access) {
		put(line, ", ");
		put(line, report->access);
		put(line, " by ");
		put_frames(line, (void *const *)&report->instruction, 1);
	}
	put_stack(line, "allocated", report->alloc_cookie);
	put_stack(line, "freed", report->free_cookie);
}

static void print(struct line *line, const struct hd_report *report)
{
	int saved = errno;

	line->used = 0;
	put_report(line, report);
	write_line(line);
	errno = saved;
}

void hd_report_print(const struct hd_report *report)
{
	struct line line;

	print(&line, report);
}

/*
 * Of several threads that end the process, one tells why. The line is not on the
 * stack, which may be a small one for signals.
 */
static void print_last(const struct hd_report *report)
{
	static atomic_flag taken = ATOMIC_FLAG_INIT;
	static struct line line;

	while (atomic_flag_test_and_set(&taken))
		pause();
	print(&line, report);
}

void hd_report_fatal(const struct hd_report *report)
{
	print_last(report);
	abort();
}

/* Faults */

static struct sigaction previous;

/* Fills in which heap an address lies in, and which block. */
struct search {
	uintptr_t address;
	struct hd_report *report;
};

static bool describe(struct hd_heap *heap, void *arg)
{
	struct search *search = arg;
	struct hd_report *report = search->report;
	struct hd_block block;

	if (!hd_debug_look(heap, (const void *)search->address, &block))
		return false;
	report->heap = heap->handle;
	report->stop = HD_STOP_ACCESS_VIOLATION;
	if (block.state == HD_BLOCK_NONE)
		return true;
	report->stop = HD_STOP_FIRST_CHANCE;
	report->block = block.user;
	report->bytes = block.bytes;
	report->alloc_cookie = block.alloc_cookie;
	report->free_cookie = block.free_cookie;
	return true;
}

static void describe_access(const ucontext_t *context, struct hd_report *report)
{
#ifdef __x86_64__
	const greg_t *registers = context->uc_mcontext.gregs;

	report->instruction = (void *)registers[REG_RIP];
	report->access = registers[REG_ERR] & 0x10 ? "execution" :
			 registers[REG_ERR] & 2 ? "write" : "read";
#else
	(void)context;
	(void)report;
#endif
}

/* What would have happened without this handler. */
static void call_previous(int signal, siginfo_t *info, void *context)
{
	struct sigaction action = previous;

	if (action.sa_flags & SA_SIGINFO) {
		action.sa_sigaction(signal, info, context);
	} else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
		action.sa_handler(signal);
	} else {
		/* The touch is repeated when this returns; a kill() is not. */
		action.sa_handler = info->si_code > 0 ? SIG_DFL : action.sa_handler;
		sigaction(signal, &action, NULL);
		if (info->si_code <= 0)
			raise(signal);
	}
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	const struct sigaction default_action = { .sa_handler = SIG_DFL };
	struct hd_report report = { .address = (uintptr_t)info->si_addr };
	struct search search = { report.address, &report };
	int saved = errno;

	if (info->si_code > 0 && hd_heap_search(describe, &search)) {
		describe_access(context, &report);
		print_last(&report);
		/* The touch is repeated, and ends the process. */
		sigaction(signal, &default_action, NULL);
	} else {
		call_previous(signal, info, context);
	}
	errno = saved;
}

static void install(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	sigaction(SIGSEGV, NULL, &previous);
	/* A handler of the program is called as it asked for. */
	action.sa_mask = previous.sa_mask;
	action.sa_flags |= previous.sa_flags & (SA_NODEFER | SA_RESTART);
	sigaction(SIGSEGV, &action, NULL);
}

void hd_report_catch_faults(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}
