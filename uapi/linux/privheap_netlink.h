/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * privheap: heaps and limits as seen from outside, over generic netlink. Part of
 * <linux/privheap.h>, which includes it; uapi/netlink/privheap.yaml says the same
 * for tools.
 *
 * The family is there in the initial network namespace only. Numbers are in host
 * order, attributes of 64 bits are aligned with the PAD attribute of their set.
 * The capabilities below are those of the initial user namespace. Both count: who
 * opened the socket, and who sent the request.
 *
 * Who may see: a heap and its process, their owner, unless the process is not
 * dumpable (the rule of /proc/PID/maps); a user's node, that user; the system's
 * node, everybody; all of them, CAP_SYS_PTRACE. What the asker may not see does
 * not exist for it: ENOENT, or it is left out of a list.
 *
 * Who may change a limit: CAP_SYS_RESOURCE. The owner may lower that of its own
 * heap, process or user. What is no limit of a heap, the owner may change.
 *
 * Every refusal has an extended ack with a text and, where there is one, the
 * offset of the attribute. Errnos:
 *
 *	EINVAL		the policy refuses an attribute; one is missing; or two
 *			contradict each other
 *	ERANGE		a number that its attribute cannot take
 *	EOVERFLOW	more bytes than a heap can have
 *	ENOENT		no such heap or node
 *	EPERM		may be seen, but not changed
 *	EEXIST		the socket has subscribed already
 *	EMFILE		the user has 128 sockets that did
 *	EIDRM		the heap is dead: nothing of it can be changed
 *	EOPNOTSUPP	no such command, or a list of what has none, or the other way
 *			round; PRIVHEAP_POLICY_HUGE for a heap that was not made for it
 *	ENOMEM		the kernel has no memory
 *	EINTR		the task is being killed
 */
#ifndef _UAPI_LINUX_PRIVHEAP_NETLINK_H
#define _UAPI_LINUX_PRIVHEAP_NETLINK_H

#define PRIVHEAP_FAMILY_NAME	"privheap"
#define PRIVHEAP_FAMILY_VERSION	1

/* Joining it needs CAP_SYS_ADMIN; see PRIVHEAP_CMD_EVENT_SUBSCRIBE. */
#define PRIVHEAP_MCGRP_EVENTS	"events"

/* A value in bytes: no limit. */
#define PRIVHEAP_LIMIT_NONE	0xffffffffffffffffULL

/**
 * enum privheap_cmd - what can be asked for, and is answered with the same number
 * @PRIVHEAP_CMD_HEAP_GET: PRIVHEAP_A_HEAP_*. By SERIAL, one heap; a dump lists
 *	all heaps that the asker may see, or those of a PID, a UID, by SERIAL. A
 *	list is in order of SERIAL: what exists from its start to its end is in it
 *	exactly once. NLM_F_DUMP_INTR says that others came or went meanwhile
 * @PRIVHEAP_CMD_LIMIT_GET: PRIVHEAP_A_LIMIT_*. By SCOPE and KEY, one node; a
 *	dump lists all nodes, or those of a SCOPE, a PID, a UID
 * @PRIVHEAP_CMD_LIMIT_SET: SCOPE, KEY and what is to change of HARD, SOFT and
 *	GRACE; RESET sets the counters back. All of it happens, or nothing
 * @PRIVHEAP_CMD_MAP_GET: PRIVHEAP_A_MAP_*. Dump only, by SERIAL: runs of pages
 *	with the same state and use, by address; START and END choose a part
 * @PRIVHEAP_CMD_REGION_GET: PRIVHEAP_A_REGION_*. Dump only, by SERIAL: the
 *	regions, by address
 * @PRIVHEAP_CMD_CLASS_GET: PRIVHEAP_A_CLASS_*. Dump only, by SERIAL: the size
 *	classes of small blocks that have a span
 * @PRIVHEAP_CMD_EVENT_SUBSCRIBE: no attributes. From now on events that the
 *	asker may see go to the socket of the request, until it is closed
 * @PRIVHEAP_CMD_EVENT: PRIVHEAP_A_EVENT_*. Sent by the kernel only, to the
 *	group and to those who subscribed
 * @PRIVHEAP_CMD_FAULT_GET: PRIVHEAP_A_FAULT_*. Dump only, by SERIAL: how many
 *	faults of each kind there were, then how long they took
 * @PRIVHEAP_CMD_HEAP_SET: SERIAL, and what is to change. POLICY, WINDOW_PAGES and
 *	MAX_IDLE_BYTES are as PRIVHEAP_IOC_POLICY sets them; a new POLICY without a
 *	window gets its own. INJECT_* begin to inject failures as PRIVHEAP_IOC_INJECT
 *	does, and those that are not given are 0
 */
enum privheap_cmd {
	PRIVHEAP_CMD_HEAP_GET = 1,
	PRIVHEAP_CMD_LIMIT_GET,
	PRIVHEAP_CMD_LIMIT_SET,
	PRIVHEAP_CMD_MAP_GET,
	PRIVHEAP_CMD_REGION_GET,
	PRIVHEAP_CMD_CLASS_GET,
	PRIVHEAP_CMD_EVENT_SUBSCRIBE,
	PRIVHEAP_CMD_EVENT,
	PRIVHEAP_CMD_FAULT_GET,
	PRIVHEAP_CMD_HEAP_SET,

	/* private: */
	__PRIVHEAP_CMD_MAX,
	PRIVHEAP_CMD_MAX = (__PRIVHEAP_CMD_MAX - 1)
};

/**
 * enum privheap_heap_attr - a heap
 * @PRIVHEAP_A_HEAP_PAD: for alignment
 * @PRIVHEAP_A_HEAP_SERIAL: u64; of the whole machine, from 1, never used again
 * @PRIVHEAP_A_HEAP_ID: u64; what the calls of its owner name it by
 * @PRIVHEAP_A_HEAP_PID: u32; the process that opened the device, as the asker
 *	sees it, 0 if it does not. Events speak of the initial namespaces
 * @PRIVHEAP_A_HEAP_COMM: string; name of the process, empty if it is gone
 * @PRIVHEAP_A_HEAP_UID: u32; owner, as the asker sees it
 * @PRIVHEAP_A_HEAP_FLAGS: u32; PRIVHEAP_CREATE_F_*
 * @PRIVHEAP_A_HEAP_STATE: u32; PRIVHEAP_STAT_S_*
 * @PRIVHEAP_A_HEAP_BASE: u64; start of the first region
 * @PRIVHEAP_A_HEAP_MAX_BYTES: u64; 0 if growable
 * @PRIVHEAP_A_HEAP_RESERVED_BYTES: u64
 * @PRIVHEAP_A_HEAP_COMMITTED_BYTES: u64
 * @PRIVHEAP_A_HEAP_RESIDENT_BYTES: u64
 * @PRIVHEAP_A_HEAP_ALLOCATED_BYTES: u64; requested sizes of the live blocks
 * @PRIVHEAP_A_HEAP_NR_BLOCKS: u64; live blocks
 * @PRIVHEAP_A_HEAP_NR_REGIONS: u32
 * @PRIVHEAP_A_HEAP_META_BYTES: u64; kernel memory for the blocks' bookkeeping
 * @PRIVHEAP_A_HEAP_LIMIT: nest of PRIVHEAP_A_LIMIT_*; the heap's own node
 * @PRIVHEAP_A_HEAP_CGROUP: u64; id of the cgroup that it was put under, if it was
 * @PRIVHEAP_A_HEAP_POLICY: u32; PRIVHEAP_POLICY_*
 * @PRIVHEAP_A_HEAP_WINDOW_PAGES: u32; of the policy
 * @PRIVHEAP_A_HEAP_IDLE_BYTES: u64; what is free, but stays committed and resident
 * @PRIVHEAP_A_HEAP_MAX_IDLE_BYTES: u64; how much of it may be, rounded up to pages; 0:
 *	as many as the heap's waves need
 * @PRIVHEAP_A_HEAP_NR_INJECTED: u64; calls that failed by INJECT_*, or the program's
 *	own PRIVHEAP_IOC_INJECT
 * @PRIVHEAP_A_HEAP_INJECT_NTH: u64; this commit from now on fails; 0 for none
 * @PRIVHEAP_A_HEAP_INJECT_RATE_PPM: u32; so many of a million commits fail
 * @PRIVHEAP_A_HEAP_INJECT_SEED: u64, PRIVHEAP_CMD_HEAP_SET only: draws them
 */
enum privheap_heap_attr {
	PRIVHEAP_A_HEAP_PAD = 1,
	PRIVHEAP_A_HEAP_SERIAL,
	PRIVHEAP_A_HEAP_ID,
	PRIVHEAP_A_HEAP_PID,
	PRIVHEAP_A_HEAP_COMM,
	PRIVHEAP_A_HEAP_UID,
	PRIVHEAP_A_HEAP_FLAGS,
	PRIVHEAP_A_HEAP_STATE,
	PRIVHEAP_A_HEAP_BASE,
	PRIVHEAP_A_HEAP_MAX_BYTES,
	PRIVHEAP_A_HEAP_RESERVED_BYTES,
	PRIVHEAP_A_HEAP_COMMITTED_BYTES,
	PRIVHEAP_A_HEAP_RESIDENT_BYTES,
	PRIVHEAP_A_HEAP_ALLOCATED_BYTES,
	PRIVHEAP_A_HEAP_NR_BLOCKS,
	PRIVHEAP_A_HEAP_NR_REGIONS,
	PRIVHEAP_A_HEAP_META_BYTES,
	PRIVHEAP_A_HEAP_LIMIT,
	PRIVHEAP_A_HEAP_CGROUP,
	PRIVHEAP_A_HEAP_POLICY,
	PRIVHEAP_A_HEAP_WINDOW_PAGES,
	PRIVHEAP_A_HEAP_IDLE_BYTES,
	PRIVHEAP_A_HEAP_MAX_IDLE_BYTES,
	PRIVHEAP_A_HEAP_NR_INJECTED,
	PRIVHEAP_A_HEAP_INJECT_NTH,
	PRIVHEAP_A_HEAP_INJECT_RATE_PPM,
	PRIVHEAP_A_HEAP_INJECT_SEED,

	/* private: */
	__PRIVHEAP_A_HEAP_MAX,
	PRIVHEAP_A_HEAP_MAX = (__PRIVHEAP_A_HEAP_MAX - 1)
};

/**
 * enum privheap_scope - what a node of the limit tree is for
 * @PRIVHEAP_SCOPE_HEAP: a heap; KEY is its serial
 * @PRIVHEAP_SCOPE_PROCESS: the heaps of a process; KEY is its pid
 * @PRIVHEAP_SCOPE_USER: the heaps of a user; KEY is the uid
 * @PRIVHEAP_SCOPE_SYSTEM: all heaps; KEY is 0
 * @PRIVHEAP_SCOPE_CGROUP: the heaps below a cgroup; KEY is its id
 */
enum privheap_scope {
	PRIVHEAP_SCOPE_HEAP = 1,
	PRIVHEAP_SCOPE_PROCESS,
	PRIVHEAP_SCOPE_USER,
	PRIVHEAP_SCOPE_SYSTEM,
	PRIVHEAP_SCOPE_CGROUP,
};

/**
 * enum privheap_limit_attr - a node of the limit tree
 * @PRIVHEAP_A_LIMIT_PAD: for alignment
 * @PRIVHEAP_A_LIMIT_SCOPE: u32; enum privheap_scope
 * @PRIVHEAP_A_LIMIT_KEY: u64; see there
 * @PRIVHEAP_A_LIMIT_HARD_BYTES: u64; no commit goes above it; PRIVHEAP_LIMIT_NONE.
 *	Below the usage it is legal: no more commits until that has fallen
 * @PRIVHEAP_A_LIMIT_SOFT_BYTES: u64; an event is sent when the usage goes above it;
 *	PRIVHEAP_LIMIT_NONE
 * @PRIVHEAP_A_LIMIT_GRACE_BYTES: u64; the last bytes below the hard limit that only
 *	calls get which ask for them
 * @PRIVHEAP_A_LIMIT_USAGE_BYTES: u64; what is charged now
 * @PRIVHEAP_A_LIMIT_PEAK_BYTES: u64; the most that was, since the last RESET
 * @PRIVHEAP_A_LIMIT_NR_FAILURES: u64; charges that this node refused, since then
 * @PRIVHEAP_A_LIMIT_NR_SOFT_HITS: u64; how often the soft limit was passed
 * @PRIVHEAP_A_LIMIT_PID: u32; of a process's node and of a heap's; a filter of lists
 * @PRIVHEAP_A_LIMIT_UID: u32; of a user's node and those below; a filter of lists
 * @PRIVHEAP_A_LIMIT_COMM: string; where PID is
 * @PRIVHEAP_A_LIMIT_RESET: flag, PRIVHEAP_CMD_LIMIT_SET only: the peak is what is
 *	charged now, and the counters are 0
 */
enum privheap_limit_attr {
	PRIVHEAP_A_LIMIT_PAD = 1,
	PRIVHEAP_A_LIMIT_SCOPE,
	PRIVHEAP_A_LIMIT_KEY,
	PRIVHEAP_A_LIMIT_HARD_BYTES,
	PRIVHEAP_A_LIMIT_SOFT_BYTES,
	PRIVHEAP_A_LIMIT_GRACE_BYTES,
	PRIVHEAP_A_LIMIT_USAGE_BYTES,
	PRIVHEAP_A_LIMIT_PEAK_BYTES,
	PRIVHEAP_A_LIMIT_NR_FAILURES,
	PRIVHEAP_A_LIMIT_NR_SOFT_HITS,
	PRIVHEAP_A_LIMIT_PID,
	PRIVHEAP_A_LIMIT_UID,
	PRIVHEAP_A_LIMIT_COMM,
	PRIVHEAP_A_LIMIT_RESET,

	/* private: */
	__PRIVHEAP_A_LIMIT_MAX,
	PRIVHEAP_A_LIMIT_MAX = (__PRIVHEAP_A_LIMIT_MAX - 1)
};

/**
 * enum privheap_page_state - the state of a page
 * @PRIVHEAP_PAGE_RESERVED: address space only
 * @PRIVHEAP_PAGE_COMMITTED: charged to the limits, may be touched
 * @PRIVHEAP_PAGE_RESIDENT: has memory, too
 */
enum privheap_page_state {
	PRIVHEAP_PAGE_RESERVED = 0,
	PRIVHEAP_PAGE_COMMITTED,
	PRIVHEAP_PAGE_RESIDENT,
};

/**
 * enum privheap_page_use - what the blocks use a page for
 * @PRIVHEAP_PAGE_FREE: nothing
 * @PRIVHEAP_PAGE_SPAN: small blocks
 * @PRIVHEAP_PAGE_LARGE: a large block
 * @PRIVHEAP_PAGE_GUARDED: a guarded block and its guard page
 * @PRIVHEAP_PAGE_QUARANTINED: the same after it was freed
 * @PRIVHEAP_PAGE_TAKEN: a span that the program cuts itself; in messages it is
 *	PRIVHEAP_PAGE_SPAN
 */
enum privheap_page_use {
	PRIVHEAP_PAGE_FREE = 0,
	PRIVHEAP_PAGE_SPAN,
	PRIVHEAP_PAGE_LARGE,
	PRIVHEAP_PAGE_GUARDED,
	PRIVHEAP_PAGE_QUARANTINED,
	PRIVHEAP_PAGE_TAKEN,
};

/**
 * enum privheap_map_attr - pages that follow each other and are alike
 * @PRIVHEAP_A_MAP_PAD: for alignment
 * @PRIVHEAP_A_MAP_SERIAL: u64; request only: which heap
 * @PRIVHEAP_A_MAP_START: u64; request only: pages from this address on
 * @PRIVHEAP_A_MAP_END: u64; request only: pages below this address
 * @PRIVHEAP_A_MAP_ADDR: u64; of the first page
 * @PRIVHEAP_A_MAP_NR_PAGES: u64
 * @PRIVHEAP_A_MAP_STATE: u32; enum privheap_page_state
 * @PRIVHEAP_A_MAP_USE: u32; enum privheap_page_use
 * @PRIVHEAP_A_MAP_SLOT_BYTES: u32; of the span's slots, if it is a span
 */
enum privheap_map_attr {
	PRIVHEAP_A_MAP_PAD = 1,
	PRIVHEAP_A_MAP_SERIAL,
	PRIVHEAP_A_MAP_START,
	PRIVHEAP_A_MAP_END,
	PRIVHEAP_A_MAP_ADDR,
	PRIVHEAP_A_MAP_NR_PAGES,
	PRIVHEAP_A_MAP_STATE,
	PRIVHEAP_A_MAP_USE,
	PRIVHEAP_A_MAP_SLOT_BYTES,

	/* private: */
	__PRIVHEAP_A_MAP_MAX,
	PRIVHEAP_A_MAP_MAX = (__PRIVHEAP_A_MAP_MAX - 1)
};

/* PRIVHEAP_A_REGION_FLAGS: the region holds one large block and nothing else. */
#define PRIVHEAP_REGION_F_OWN	(1U << 0)

/**
 * enum privheap_region_attr - a region
 * @PRIVHEAP_A_REGION_PAD: for alignment
 * @PRIVHEAP_A_REGION_SERIAL: u64; request only: which heap
 * @PRIVHEAP_A_REGION_ADDR: u64
 * @PRIVHEAP_A_REGION_BYTES: u64; its length
 * @PRIVHEAP_A_REGION_COMMITTED_BYTES: u64
 * @PRIVHEAP_A_REGION_RESIDENT_BYTES: u64
 * @PRIVHEAP_A_REGION_NUMBER: u32; as PRIVHEAP_IOC_WALK numbers them
 * @PRIVHEAP_A_REGION_FLAGS: u32; PRIVHEAP_REGION_F_*
 */
enum privheap_region_attr {
	PRIVHEAP_A_REGION_PAD = 1,
	PRIVHEAP_A_REGION_SERIAL,
	PRIVHEAP_A_REGION_ADDR,
	PRIVHEAP_A_REGION_BYTES,
	PRIVHEAP_A_REGION_COMMITTED_BYTES,
	PRIVHEAP_A_REGION_RESIDENT_BYTES,
	PRIVHEAP_A_REGION_NUMBER,
	PRIVHEAP_A_REGION_FLAGS,

	/* private: */
	__PRIVHEAP_A_REGION_MAX,
	PRIVHEAP_A_REGION_MAX = (__PRIVHEAP_A_REGION_MAX - 1)
};

/**
 * enum privheap_class_attr - the spans of one size class
 * @PRIVHEAP_A_CLASS_PAD: for alignment
 * @PRIVHEAP_A_CLASS_SERIAL: u64; request only: which heap
 * @PRIVHEAP_A_CLASS_SLOT_BYTES: u32; length of a slot
 * @PRIVHEAP_A_CLASS_NR_SPANS: u64
 * @PRIVHEAP_A_CLASS_NR_PAGES: u64; of these spans
 * @PRIVHEAP_A_CLASS_NR_BLOCKS: u64; used slots
 * @PRIVHEAP_A_CLASS_NR_FREE: u64; free slots
 * @PRIVHEAP_A_CLASS_ALLOCATED_BYTES: u64; requested sizes of the blocks
 */
enum privheap_class_attr {
	PRIVHEAP_A_CLASS_PAD = 1,
	PRIVHEAP_A_CLASS_SERIAL,
	PRIVHEAP_A_CLASS_SLOT_BYTES,
	PRIVHEAP_A_CLASS_NR_SPANS,
	PRIVHEAP_A_CLASS_NR_PAGES,
	PRIVHEAP_A_CLASS_NR_BLOCKS,
	PRIVHEAP_A_CLASS_NR_FREE,
	PRIVHEAP_A_CLASS_ALLOCATED_BYTES,

	/* private: */
	__PRIVHEAP_A_CLASS_MAX,
	PRIVHEAP_A_CLASS_MAX = (__PRIVHEAP_A_CLASS_MAX - 1)
};

/**
 * enum privheap_fault_attr - faults of a heap that are alike
 * @PRIVHEAP_A_FAULT_PAD: for alignment
 * @PRIVHEAP_A_FAULT_SERIAL: u64; request only: which heap
 * @PRIVHEAP_A_FAULT_SOURCE: u32; enum privheap_source, of the page that was touched
 * @PRIVHEAP_A_FAULT_ORDER: u32; 2^n pages got memory by each, or less, but more than
 *	half of that
 * @PRIVHEAP_A_FAULT_LATENCY_NS: u64, in place of SOURCE and ORDER: they took so long
 *	and less than twice as long. Only of faults whose times were taken (the
 *	module's parameter fault_times)
 * @PRIVHEAP_A_FAULT_NR_FAULTS: u64; how many
 */
enum privheap_fault_attr {
	PRIVHEAP_A_FAULT_PAD = 1,
	PRIVHEAP_A_FAULT_SERIAL,
	PRIVHEAP_A_FAULT_SOURCE,
	PRIVHEAP_A_FAULT_ORDER,
	PRIVHEAP_A_FAULT_LATENCY_NS,
	PRIVHEAP_A_FAULT_NR_FAULTS,

	/* private: */
	__PRIVHEAP_A_FAULT_MAX,
	PRIVHEAP_A_FAULT_MAX = (__PRIVHEAP_A_FAULT_MAX - 1)
};

/**
 * enum privheap_event - what happened
 * @PRIVHEAP_EVENT_HEAP_CREATED: has HEAP
 * @PRIVHEAP_EVENT_HEAP_DESTROYED: has HEAP, as it was just before
 * @PRIVHEAP_EVENT_SOFT_LIMIT: the usage of a node went above its soft limit; has
 *	LIMIT, and HEAP whose commit it was
 * @PRIVHEAP_EVENT_LIMIT_HIT: a node refused a commit; has LIMIT, and HEAP whose
 *	commit it was
 * @PRIVHEAP_EVENT_LIMIT_CHANGED: has LIMIT, and HEAP if it is a heap's
 * @PRIVHEAP_EVENT_MISUSE: a call was refused with ENOENT, ENXIO or EPERM; has CALL,
 *	ERRNO, ADDR if a block was named, ID, and HEAP if there is one
 *
 * Of SOFT_LIMIT, LIMIT_HIT and MISUSE a process makes at most ten each a second, of
 * the others a hundred, and all processes of a user together ten times that; what is
 * beyond is counted in NR_SUPPRESSED of the next one. Changes of the system's limits
 * and of those of cgroups are told always.
 */
enum privheap_event {
	PRIVHEAP_EVENT_HEAP_CREATED = 1,
	PRIVHEAP_EVENT_HEAP_DESTROYED,
	PRIVHEAP_EVENT_SOFT_LIMIT,
	PRIVHEAP_EVENT_LIMIT_HIT,
	PRIVHEAP_EVENT_LIMIT_CHANGED,
	PRIVHEAP_EVENT_MISUSE,
};

/**
 * enum privheap_event_attr - an event
 * @PRIVHEAP_A_EVENT_PAD: for alignment
 * @PRIVHEAP_A_EVENT_SEQ: u64; one more for each event meant for this socket, or
 *	for the group: a gap says how many were lost. A socket that was too full
 *	reads ENOBUFS, too
 * @PRIVHEAP_A_EVENT_KIND: u32; enum privheap_event
 * @PRIVHEAP_A_EVENT_TIME_NS: u64; CLOCK_REALTIME
 * @PRIVHEAP_A_EVENT_PID: u32; whose process it is about, if one
 * @PRIVHEAP_A_EVENT_UID: u32; whose user it is about, if one
 * @PRIVHEAP_A_EVENT_COMM: string; where PID is
 * @PRIVHEAP_A_EVENT_HEAP: nest of PRIVHEAP_A_HEAP_*
 * @PRIVHEAP_A_EVENT_LIMIT: nest of PRIVHEAP_A_LIMIT_*
 * @PRIVHEAP_A_EVENT_CALL: u32; _IOC_NR() of the call
 * @PRIVHEAP_A_EVENT_ERRNO: u32; what it answered
 * @PRIVHEAP_A_EVENT_ID: u64; the heap that the call named
 * @PRIVHEAP_A_EVENT_ADDR: u64; the block that it named
 * @PRIVHEAP_A_EVENT_NR_SUPPRESSED: u32; events of this kind, of the same process or
 *	user, that were not sent
 */
enum privheap_event_attr {
	PRIVHEAP_A_EVENT_PAD = 1,
	PRIVHEAP_A_EVENT_SEQ,
	PRIVHEAP_A_EVENT_KIND,
	PRIVHEAP_A_EVENT_TIME_NS,
	PRIVHEAP_A_EVENT_PID,
	PRIVHEAP_A_EVENT_UID,
	PRIVHEAP_A_EVENT_COMM,
	PRIVHEAP_A_EVENT_HEAP,
	PRIVHEAP_A_EVENT_LIMIT,
	PRIVHEAP_A_EVENT_CALL,
	PRIVHEAP_A_EVENT_ERRNO,
	PRIVHEAP_A_EVENT_ID,
	PRIVHEAP_A_EVENT_ADDR,
	PRIVHEAP_A_EVENT_NR_SUPPRESSED,

	/* private: */
	__PRIVHEAP_A_EVENT_MAX,
	PRIVHEAP_A_EVENT_MAX = (__PRIVHEAP_A_EVENT_MAX - 1)
};

#endif /* _UAPI_LINUX_PRIVHEAP_NETLINK_H */
