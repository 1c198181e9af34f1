/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libheapdev-admin: see and limit the private heaps of a machine from outside.
 *
 * This header is the whole interface, for C and for C++. The library speaks to
 * the module over generic netlink; a program that only allocates uses libheapdev
 * and does not load this.
 *
 * A heap is named by its serial, which is never used twice while the module is
 * loaded. A limit is named by a scope, PRIVHEAP_SCOPE_* of <linux/privheap.h>,
 * and a key, see struct heapdev_admin_limit.
 *
 * Rules that hold for every function:
 *
 * - Sizes and limits are in bytes, in whole pages.
 * - The answer is 0 or a negative errno; heapdev_admin_error() says in words
 *   what was wrong. Errors that every function may answer:
 *
 *	-ENOMEM		no memory, here or in the kernel
 *	-EINTR		the process is being killed
 *	-EPROTO		the module's answer is not understood
 *	-ENOENT		no such heap or limit, none that the caller may see, or
 *			the module went away
 *
 * - What the caller may not see does not exist for it: <linux/privheap_netlink.h>
 *   says who may see and who may change what.
 * - A context, and what was got from it, is for one thread at a time. Different
 *   contexts are independent.
 * - Structures belong to the library. It may append members to them, so they are
 *   read through the pointers that it hands out and never made by the program,
 *   struct heapdev_admin_filter, struct heapdev_admin_change and struct
 *   heapdev_admin_settings excepted.
 */
#ifndef HEAPDEV_ADMIN_H
#define HEAPDEV_ADMIN_H

#include <stdint.h>

#include <linux/privheap.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEAPDEV_ADMIN_API __attribute__((__visibility__("default")))

/* A connection to the module. */
struct heapdev_admin;

/**
 * heapdev_admin_open() - connect to the module
 * @admin: receives the context, which the caller closes
 *
 * Return: 0, or
 *
 * - -ENOENT: the module is not loaded, or this is not the initial network
 *   namespace, where alone it can be reached
 * - what socket(2) says
 */
HEAPDEV_ADMIN_API int heapdev_admin_open(struct heapdev_admin **admin);

/**
 * heapdev_admin_close() - disconnect
 * @admin: the context, or NULL
 */
HEAPDEV_ADMIN_API void heapdev_admin_close(struct heapdev_admin *admin);

/**
 * heapdev_admin_error() - what was wrong with the last call, in words
 * @admin: the context
 *
 * Return: one line without a full stop, the module's own text if it gave one.
 * Valid until the next call.
 */
HEAPDEV_ADMIN_API const char *
heapdev_admin_error(const struct heapdev_admin *admin);

/* Limits */

/* Of a command's name, with its end. */
#define HEAPDEV_ADMIN_COMM_BYTES	16

/* No such number of a process or a user. */
#define HEAPDEV_ADMIN_NOBODY	UINT32_MAX

/**
 * struct heapdev_admin_limit - a node of the limit tree
 * @scope: PRIVHEAP_SCOPE_*; 0 where there is no node
 * @pid: whose process's node, or heap's, it is; else HEAPDEV_ADMIN_NOBODY
 * @uid: whose user's node, or of one below, it is; else HEAPDEV_ADMIN_NOBODY
 * @comm: name of the process's command, any bytes; may be empty
 * @key: serial of a heap, process id, user id, id of a cgroup (the number of
 *	its folder's inode); 0 for the system
 * @hard_bytes: most that may be committed; UINT64_MAX for no limit
 * @soft_bytes: above it an event is sent; UINT64_MAX for never
 * @grace_bytes: the last bytes below @hard_bytes, for calls that ask for them
 * @usage_bytes: what is committed
 * @peak_bytes: the most that was, since the last reset
 * @nr_failures: commits that were refused here, since the last reset
 * @nr_soft_hits: how often @soft_bytes was passed, since the last reset
 */
struct heapdev_admin_limit {
	uint32_t scope;
	uint32_t pid;
	uint32_t uid;
	char comm[HEAPDEV_ADMIN_COMM_BYTES];
	uint64_t key;
	uint64_t hard_bytes;
	uint64_t soft_bytes;
	uint64_t grace_bytes;
	uint64_t usage_bytes;
	uint64_t peak_bytes;
	uint64_t nr_failures;
	uint64_t nr_soft_hits;
};

/* struct heapdev_admin_filter, @fields */
#define HEAPDEV_ADMIN_BY_HEAP	(1U << 0)
#define HEAPDEV_ADMIN_BY_PID	(1U << 1)
#define HEAPDEV_ADMIN_BY_USER	(1U << 2)
#define HEAPDEV_ADMIN_BY_SCOPE	(1U << 3)

/**
 * struct heapdev_admin_filter - which objects of a list
 * @fields: HEAPDEV_ADMIN_BY_*: which of the members below count; an object must
 *	fit them all
 * @pid: a process
 * @serial: a heap
 * @uid: a user
 * @scope: PRIVHEAP_SCOPE_*; limits only
 */
struct heapdev_admin_filter {
	uint32_t fields;
	uint32_t pid;
	uint64_t serial;
	uint32_t uid;
	uint32_t scope;
};

/**
 * heapdev_admin_list_limits() - list nodes of the limit tree
 * @admin: the context, not to be used by @each
 * @filter: which: by scope, process and user; NULL for all
 * @each: called with each; another answer than 0 ends the list
 * @arg: passed to @each
 *
 * What is there from the beginning to the end is listed exactly once.
 *
 * Return: 0, what @each answered, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_list_limits(struct heapdev_admin *admin,
			  const struct heapdev_admin_filter *filter,
			  int (*each)(const struct heapdev_admin_limit *limit,
				      void *arg),
			  void *arg);

/**
 * heapdev_admin_get_limit() - look a node of the limit tree up
 * @admin: the context
 * @scope: PRIVHEAP_SCOPE_*
 * @key: see struct heapdev_admin_limit
 * @limit: receives the node, valid until the next call
 *
 * Return: 0 or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_get_limit(struct heapdev_admin *admin, uint32_t scope,
			uint64_t key, const struct heapdev_admin_limit **limit);

/* struct heapdev_admin_change, @fields */
#define HEAPDEV_ADMIN_SET_HARD	(1U << 0)
#define HEAPDEV_ADMIN_SET_SOFT	(1U << 1)
#define HEAPDEV_ADMIN_SET_GRACE	(1U << 2)
#define HEAPDEV_ADMIN_RESET	(1U << 3)

/**
 * struct heapdev_admin_change - what to change about a limit
 * @fields: HEAPDEV_ADMIN_SET_*: which of the members below count.
 *	HEAPDEV_ADMIN_RESET: the peak becomes the usage, and the counters 0
 * @hard_bytes: see struct heapdev_admin_limit
 * @soft_bytes: likewise
 * @grace_bytes: likewise
 */
struct heapdev_admin_change {
	uint32_t fields;
	uint64_t hard_bytes;
	uint64_t soft_bytes;
	uint64_t grace_bytes;
};

/**
 * heapdev_admin_set_limit() - change a limit, as a whole or not at all
 * @admin: the context
 * @scope: PRIVHEAP_SCOPE_*
 * @key: see struct heapdev_admin_limit
 * @change: what to change
 *
 * A hard limit below the usage is legal: nothing is committed any more until the
 * usage has fallen, and nobody is killed.
 *
 * Return: 0, an error, or
 *
 * - -EPERM: the owner may lower the limits of its heaps, its processes and
 *   itself; everything else needs CAP_SYS_RESOURCE
 * - -EINVAL: the values contradict each other; heapdev_admin_error() says how
 */
HEAPDEV_ADMIN_API int
heapdev_admin_set_limit(struct heapdev_admin *admin, uint32_t scope,
			uint64_t key,
			const struct heapdev_admin_change *change);

/* Heaps */

/**
 * struct heapdev_admin_heap - a heap
 * @serial: its name on this machine
 * @id: what its process calls it
 * @pid: its process, in the pid namespace of the caller; 0 if it is not there
 * @uid: its user, in the user namespace of the caller
 * @comm: name of the command, any bytes; may be empty
 * @flags: PRIVHEAP_CREATE_F_*
 * @state: PRIVHEAP_STAT_S_*
 * @base: address of the first region
 * @max_bytes: the size of a fixed heap; 0 if growable
 * @reserved_bytes: address space
 * @committed_bytes: what is charged to the limits
 * @resident_bytes: pages that have memory
 * @allocated_bytes: sum of the requested sizes of the live blocks
 * @nr_blocks: live blocks
 * @meta_bytes: kernel memory for the bookkeeping of the blocks
 * @nr_regions: regions
 * @cgroup: id of the cgroup that it was put under; 0 if none
 * @limit: its own node
 * @policy: PRIVHEAP_POLICY_*
 * @window_pages: of the policy
 * @inject_rate_ppm: so many of a million commits fail, as somebody asked for
 * @inject_nth: this commit from now on fails; 0 for none
 * @nr_injected: calls that failed so
 * @idle_bytes: what is free, but stays committed and resident
 * @max_idle_bytes: how much of it may be; 0 for as many as the heap's waves need
 */
struct heapdev_admin_heap {
	uint64_t serial;
	uint64_t id;
	uint32_t pid;
	uint32_t uid;
	char comm[HEAPDEV_ADMIN_COMM_BYTES];
	uint32_t flags;
	uint32_t state;
	uint64_t base;
	uint64_t max_bytes;
	uint64_t reserved_bytes;
	uint64_t committed_bytes;
	uint64_t resident_bytes;
	uint64_t allocated_bytes;
	uint64_t nr_blocks;
	uint64_t meta_bytes;
	uint32_t nr_regions;
	uint64_t cgroup;
	struct heapdev_admin_limit limit;
	uint32_t policy;
	uint32_t window_pages;
	uint32_t inject_rate_ppm;
	uint64_t inject_nth;
	uint64_t nr_injected;
	uint64_t idle_bytes;
	uint64_t max_idle_bytes;
};

/**
 * heapdev_admin_list_heaps() - list heaps by serial
 * @admin: the context, not to be used by @each
 * @filter: which: by heap, process and user; NULL for all
 * @each: called with each; another answer than 0 ends the list
 * @arg: passed to @each
 *
 * What is there from the beginning to the end is listed exactly once.
 *
 * Return: 0, what @each answered, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_list_heaps(struct heapdev_admin *admin,
			 const struct heapdev_admin_filter *filter,
			 int (*each)(const struct heapdev_admin_heap *heap,
				     void *arg),
			 void *arg);

/**
 * heapdev_admin_get_heap() - look a heap up
 * @admin: the context
 * @serial: which
 * @heap: receives the heap, valid until the next call
 *
 * Return: 0 or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_get_heap(struct heapdev_admin *admin, uint64_t serial,
		       const struct heapdev_admin_heap **heap);

/* struct heapdev_admin_settings, @fields */
#define HEAPDEV_ADMIN_SET_POLICY	(1U << 0)
#define HEAPDEV_ADMIN_SET_WINDOW	(1U << 1)
#define HEAPDEV_ADMIN_SET_MAX_IDLE	(1U << 2)
#define HEAPDEV_ADMIN_SET_INJECT	(1U << 3)

/**
 * struct heapdev_admin_settings - what to change about a heap that is no limit
 * @fields: HEAPDEV_ADMIN_SET_*: which of the members below count; with
 *	HEAPDEV_ADMIN_SET_INJECT the last three
 * @policy: PRIVHEAP_POLICY_*; a new one gets its own window, if none is set
 * @window_pages: how many pages a fault makes resident at most, a power of two
 * @max_idle_bytes: how much of what is freed may stay committed and resident, rounded up
 *	to pages; 0 for as many as the heap's waves need
 * @inject_nth: this commit from now on fails; 0 for none
 * @inject_seed: the same seed draws the same commits
 * @inject_rate_ppm: so many of a million commits fail; 0 for none
 */
struct heapdev_admin_settings {
	uint32_t fields;
	uint32_t policy;
	uint32_t window_pages;
	uint32_t inject_rate_ppm;
	uint64_t max_idle_bytes;
	uint64_t inject_nth;
	uint64_t inject_seed;
};

/**
 * heapdev_admin_set_heap() - change how a heap takes its memory
 * @admin: the context
 * @serial: which heap
 * @settings: what to change
 *
 * Return: 0, an error, or
 *
 * - -EPERM: it is another user's, which needs CAP_SYS_RESOURCE
 * - -EIDRM: the heap is dead
 * - -EINVAL: the policy has no such window, or there is nothing to change
 * - -ERANGE: no such policy or rate
 * - -EOPNOTSUPP: PRIVHEAP_POLICY_HUGE, for a heap that was created with another
 * - -EOVERFLOW: more idle bytes than a heap can have
 */
HEAPDEV_ADMIN_API int
heapdev_admin_set_heap(struct heapdev_admin *admin, uint64_t serial,
		       const struct heapdev_admin_settings *settings);

/**
 * struct heapdev_admin_region - one reservation of address space of a heap
 * @addr: where it starts
 * @bytes: its length
 * @committed_bytes: of it
 * @resident_bytes: of it
 * @number: as PRIVHEAP_IOC_WALK numbers them
 * @flags: PRIVHEAP_REGION_F_*
 */
struct heapdev_admin_region {
	uint64_t addr;
	uint64_t bytes;
	uint64_t committed_bytes;
	uint64_t resident_bytes;
	uint32_t number;
	uint32_t flags;
};

/**
 * heapdev_admin_list_regions() - list the regions of a heap by address
 * @admin: the context, not to be used by @each
 * @serial: which heap
 * @each: called with each; another answer than 0 ends the list
 * @arg: passed to @each
 *
 * Return: 0, what @each answered, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_list_regions(struct heapdev_admin *admin, uint64_t serial,
			   int (*each)(const struct heapdev_admin_region *region,
				       void *arg),
			   void *arg);

/**
 * struct heapdev_admin_class - the spans of one size class of a heap
 * @slot_bytes: largest block of this class
 * @nr_spans: spans
 * @nr_pages: pages of these spans
 * @nr_blocks: slots in use
 * @nr_free: slots that are free
 * @allocated_bytes: sum of the requested sizes of the blocks
 */
struct heapdev_admin_class {
	uint32_t slot_bytes;
	uint64_t nr_spans;
	uint64_t nr_pages;
	uint64_t nr_blocks;
	uint64_t nr_free;
	uint64_t allocated_bytes;
};

/**
 * heapdev_admin_list_classes() - list the size classes of a heap that have spans
 * @admin: the context, not to be used by @each
 * @serial: which heap
 * @each: called with each; another answer than 0 ends the list
 * @arg: passed to @each
 *
 * Return: 0, what @each answered, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_list_classes(struct heapdev_admin *admin, uint64_t serial,
			   int (*each)(const struct heapdev_admin_class *size_class,
				       void *arg),
			   void *arg);

/**
 * struct heapdev_admin_run - pages that follow each other and are alike
 * @addr: of the first page
 * @nr_pages: how many
 * @state: PRIVHEAP_PAGE_RESERVED, _COMMITTED or _RESIDENT
 * @use: PRIVHEAP_PAGE_FREE, _SPAN, _LARGE, _GUARDED or _QUARANTINED
 * @slot_bytes: of a span's slots; 0 if it is none
 */
struct heapdev_admin_run {
	uint64_t addr;
	uint64_t nr_pages;
	uint32_t state;
	uint32_t use;
	uint32_t slot_bytes;
};

/**
 * heapdev_admin_list_runs() - list what state the pages of a heap are in
 * @admin: the context, not to be used by @each
 * @serial: which heap
 * @start: from this address on
 * @end: up to this address; UINT64_MAX for all
 * @each: called with each run, by address; another answer than 0 ends the list
 * @arg: passed to @each
 *
 * A run that goes on with the next message of the kernel may come in two parts.
 *
 * Return: 0, what @each answered, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_list_runs(struct heapdev_admin *admin, uint64_t serial,
			uint64_t start, uint64_t end,
			int (*each)(const struct heapdev_admin_run *run,
				    void *arg),
			void *arg);

/**
 * struct heapdev_admin_fault - page faults in a heap that are alike
 * @source: enum privheap_source: where the page that was touched had its memory from
 * @order: 2^order pages got memory by each, or fewer, but more than half of that
 * @latency_ns: if not 0, in place of @source and @order: they took so long, and less
 *	than twice as long
 * @nr_faults: how many
 */
struct heapdev_admin_fault {
	uint32_t source;
	uint32_t order;
	uint64_t latency_ns;
	uint64_t nr_faults;
};

/**
 * heapdev_admin_list_faults() - list how many page faults there were in a heap
 * @admin: the context, not to be used by @each
 * @serial: which heap
 * @each: called with each kind that there was, then with each latency; another
 *	answer than 0 ends the list
 * @arg: passed to @each
 *
 * Latencies are of the faults while the module's parameter fault_times was set.
 *
 * Return: 0, what @each answered, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_list_faults(struct heapdev_admin *admin, uint64_t serial,
			  int (*each)(const struct heapdev_admin_fault *fault,
				      void *arg),
			  void *arg);

/* Events */

/* struct heapdev_admin_event, @kind: some are missing here. */
#define HEAPDEV_ADMIN_EVENT_LOST	0

/**
 * struct heapdev_admin_event - something that happened
 * @kind: PRIVHEAP_EVENT_*, or HEAPDEV_ADMIN_EVENT_LOST
 * @pid: process it is about, or HEAPDEV_ADMIN_NOBODY
 * @uid: user it is about, or HEAPDEV_ADMIN_NOBODY
 * @comm: name of the process's command, any bytes; may be empty
 * @seq: counts what was sent to this context, from 1
 * @time_ns: CLOCK_REALTIME, in nanoseconds; 0 of HEAPDEV_ADMIN_EVENT_LOST
 * @nr_lost: of HEAPDEV_ADMIN_EVENT_LOST: how many
 * @nr_suppressed: further events of this kind that the process caused too
 *	quickly one after the other
 * @call: PRIVHEAP_EVENT_MISUSE: number of the call
 * @error: and the errno that it answered
 * @id: and the heap that it named
 * @addr: and the block that it named, 0 if none
 * @heap: it is about, if @heap.serial is not 0
 * @limit: it is about, if @limit.scope is not 0
 */
struct heapdev_admin_event {
	uint32_t kind;
	uint32_t pid;
	uint32_t uid;
	char comm[HEAPDEV_ADMIN_COMM_BYTES];
	uint64_t seq;
	uint64_t time_ns;
	uint64_t nr_lost;
	uint32_t nr_suppressed;
	uint32_t call;
	uint32_t error;
	uint64_t id;
	uint64_t addr;
	struct heapdev_admin_heap heap;
	struct heapdev_admin_limit limit;
};

/**
 * heapdev_admin_watch() - have events delivered from now on
 * @admin: the context; the events are those that it may see
 *
 * Return: 0, or an error. It may be called again; that changes nothing.
 */
HEAPDEV_ADMIN_API int heapdev_admin_watch(struct heapdev_admin *admin);

/**
 * heapdev_admin_event_fd() - what to wait for events with
 * @admin: the context, on which heapdev_admin_watch() succeeded
 *
 * Return: a file descriptor that poll(2) finds readable when there may be an
 * event. It belongs to the context.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_event_fd(const struct heapdev_admin *admin);

/**
 * heapdev_admin_next_event() - take the next event
 * @admin: the context, on which heapdev_admin_watch() succeeded
 * @event: receives it, valid until the next call
 *
 * A program that reads too slowly loses events. It learns of it by an event of
 * its own, HEAPDEV_ADMIN_EVENT_LOST, in the place of those that are missing.
 *
 * Return: 0, -EAGAIN when there is none now, or an error.
 */
HEAPDEV_ADMIN_API int
heapdev_admin_next_event(struct heapdev_admin *admin,
			 const struct heapdev_admin_event **event);

#ifdef __cplusplus
}
#endif

#endif /* HEAPDEV_ADMIN_H */
