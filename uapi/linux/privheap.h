/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * privheap: private heaps with limits that the kernel enforces.
 *
 * This header, with <linux/privheap_netlink.h> that it includes, is the whole
 * contract between the module and user space. A process opens /dev/privheap and
 * makes heaps in that open file; a heap lives until it is destroyed, the file is
 * closed, or the process execs or ends.
 *
 * Every call takes a pointer to a structure whose first member, @size, is the
 * size the caller was compiled with. The module accepts shorter structures
 * (older callers; what is missing counts as zero) and longer ones (newer
 * callers) as long as the part that it does not know is zero. @flags and
 * members called __reserved must be zero where no flag is defined. Members
 * called out_ are written by the module, and only when the call succeeds.
 *
 * The ioctl system call returns 0 or -1 with one of these errnos, each with
 * one meaning:
 *
 *	ENOTTY		no such call
 *	EINVAL		@size shorter than the first version of the structure,
 *			a reserved member that is not zero, or an argument that
 *			no heap could satisfy (an alignment that is no power of
 *			two, a soft limit or a grace above the hard limit)
 *	E2BIG		a structure longer than the module's whose tail is not
 *			zero
 *	EOPNOTSUPP	an unknown flag, or a known member with a value that
 *			this module does not offer
 *	EFAULT		the structure cannot be read or written; nothing was
 *			done
 *	EPERM		the file was opened by another process (another address
 *			space)
 *	ENXIO		no such heap: unknown or stale id
 *	EIDRM		the heap is dead: the program unmapped one of its
 *			regions; it can only be looked at and destroyed
 *	ENOENT		no such block: not the start of a live block of this
 *			heap; in calls on pages, not all of them in a block of
 *			the kind that is asked for, or not committed
 *	ERANGE		a hard limit above the ceiling that was set for it
 *	EOVERFLOW	a size that overflows when it is rounded up, or is larger
 *			than the address space
 *	ENOSPC		the heap is full: its maximum is reached, or the block
 *			cannot grow in place
 *	EDQUOT		a limit is reached: of the heap, its process, its user
 *			or the system
 *	ENOMEM		the kernel has no memory or no address space
 *	EINTR		the task is being killed or, in a call that tells how far
 *			it came, a signal is waiting; nothing was done
 *	EACCES		what is asked for is not allowed to the caller: executable
 *			mappings, or another cgroup
 *	EBADF		cgroup_fd is no descriptor of a cgroup
 *	EEXIST		the heap has these counters already
 *	EMFILE		as many counters as a heap, or a page, may have
 */
#ifndef _UAPI_LINUX_PRIVHEAP_H
#define _UAPI_LINUX_PRIVHEAP_H

#include <linux/ioctl.h>
#include <linux/privheap_netlink.h>
#include <linux/types.h>

/* The version that PRIVHEAP_IOC_INFO reports; raised when calls are added. */
#define PRIVHEAP_ABI_VERSION	1

/**
 * enum privheap_source - where a page that was touched had its memory from
 * @PRIVHEAP_SOURCE_RESIDENT: it had some already, and was mapped
 * @PRIVHEAP_SOURCE_FRESH: from the kernel
 * @PRIVHEAP_SOURCE_RECYCLED: a heap of the process had given it up
 * @PRIVHEAP_SOURCE_CLEARED: the same, and it had to be cleared
 * @PRIVHEAP_NR_SOURCES: how many there are
 */
enum privheap_source {
	PRIVHEAP_SOURCE_RESIDENT,
	PRIVHEAP_SOURCE_FRESH,
	PRIVHEAP_SOURCE_RECYCLED,
	PRIVHEAP_SOURCE_CLEARED,
	PRIVHEAP_NR_SOURCES,
};

#define PRIVHEAP_IOC_TYPE	0xBC

/* Numbers that are left out are not given. */
#define PRIVHEAP_IOC_INFO	_IO(PRIVHEAP_IOC_TYPE, 0x00)
#define PRIVHEAP_IOC_CREATE	_IO(PRIVHEAP_IOC_TYPE, 0x01)
#define PRIVHEAP_IOC_DESTROY	_IO(PRIVHEAP_IOC_TYPE, 0x02)
#define PRIVHEAP_IOC_STAT	_IO(PRIVHEAP_IOC_TYPE, 0x03)
#define PRIVHEAP_IOC_ALLOC	_IO(PRIVHEAP_IOC_TYPE, 0x04)
#define PRIVHEAP_IOC_REALLOC	_IO(PRIVHEAP_IOC_TYPE, 0x05)
#define PRIVHEAP_IOC_FREE	_IO(PRIVHEAP_IOC_TYPE, 0x06)
#define PRIVHEAP_IOC_SIZE	_IO(PRIVHEAP_IOC_TYPE, 0x07)
#define PRIVHEAP_IOC_WALK	_IO(PRIVHEAP_IOC_TYPE, 0x08)
#define PRIVHEAP_IOC_COMPACT	_IO(PRIVHEAP_IOC_TYPE, 0x09)
#define PRIVHEAP_IOC_RESET	_IO(PRIVHEAP_IOC_TYPE, 0x0A)
#define PRIVHEAP_IOC_COMMIT	_IO(PRIVHEAP_IOC_TYPE, 0x0B)
#define PRIVHEAP_IOC_DECOMMIT	_IO(PRIVHEAP_IOC_TYPE, 0x0C)
#define PRIVHEAP_IOC_POLICY	_IO(PRIVHEAP_IOC_TYPE, 0x0D)
#define PRIVHEAP_IOC_INJECT	_IO(PRIVHEAP_IOC_TYPE, 0x0E)
#define PRIVHEAP_IOC_PREFAULT	_IO(PRIVHEAP_IOC_TYPE, 0x0F)
#define PRIVHEAP_IOC_LIMIT	_IO(PRIVHEAP_IOC_TYPE, 0x10)
#define PRIVHEAP_IOC_GUARD_ALLOC	_IO(PRIVHEAP_IOC_TYPE, 0x14)
#define PRIVHEAP_IOC_GUARD_FREE	_IO(PRIVHEAP_IOC_TYPE, 0x15)
#define PRIVHEAP_IOC_DESCRIBE	_IO(PRIVHEAP_IOC_TYPE, 0x16)
#define PRIVHEAP_IOC_TAKE	_IO(PRIVHEAP_IOC_TYPE, 0x18)
#define PRIVHEAP_IOC_BATCH	_IO(PRIVHEAP_IOC_TYPE, 0x19)
#define PRIVHEAP_IOC_COUNT	_IO(PRIVHEAP_IOC_TYPE, 0x1A)
#define PRIVHEAP_IOC_PAGEMAP	_IO(PRIVHEAP_IOC_TYPE, 0x1B)

/**
 * struct privheap_info - ioctl(PRIVHEAP_IOC_INFO): what this module offers
 * @size: sizeof(struct privheap_info)
 * @flags: must be 0
 * @out_abi_version: PRIVHEAP_ABI_VERSION of the module
 * @out_page_bytes: size of a page, the unit of commit
 * @out_region_align_bytes: alignment of every region, and so of every heap's
 *	base
 * @out_block_align_bytes: alignment that every block has at least
 * @out_align_max_bytes: largest alignment that PRIVHEAP_IOC_ALLOC grants
 * @out_slot_max_bytes: largest block that is cut from a span; larger ones are
 *	large blocks of whole pages
 * @out_region_block_bytes: blocks of a growable heap that are larger than this
 *	have a region of their own, which goes back when they are freed
 * @out_max_bytes: largest max_bytes and limit_bytes that PRIVHEAP_IOC_CREATE
 *	accepts
 * @out_take_max_spans: most spans that one PRIVHEAP_IOC_TAKE gives
 * @out_take_max_pages: longest span, in pages
 * @out_batch_max: most entries of a batch
 */
struct privheap_info {
	__u32 size;
	__u32 flags;
	__u32 out_abi_version;
	__u32 out_page_bytes;
	__u32 out_region_align_bytes;
	__u32 out_block_align_bytes;
	__aligned_u64 out_align_max_bytes;
	__aligned_u64 out_slot_max_bytes;
	__aligned_u64 out_region_block_bytes;
	__aligned_u64 out_max_bytes;
	__u32 out_take_max_spans;
	__u32 out_take_max_pages;
	__aligned_u64 out_batch_max;
};

/*
 * PRIVHEAP_CREATE_F_EXEC: the pages of the heap are readable, writable and
 * executable. Without it they cannot be made executable later.
 *
 * PRIVHEAP_CREATE_F_BACKED: a page is made resident when it is committed, not
 * when it is touched first. A full machine or memory cgroup then answers
 * ENOMEM to PRIVHEAP_IOC_ALLOC, and a later touch cannot fail.
 *
 * PRIVHEAP_CREATE_F_CGROUP: the memory of the heap, its bookkeeping included, is
 * charged to the cgroup that cgroup_fd names and not to the program's: of the
 * version 2 hierarchy, with the memory controller (EOPNOTSUPP without), and its
 * directory must be writable for the caller (EACCES).
 *
 * PRIVHEAP_CREATE_F_GUARD: the heap may have guarded blocks, see
 * PRIVHEAP_IOC_GUARD_ALLOC. No page of it is committed for good.
 *
 * PRIVHEAP_CREATE_F_SECRET: what the heap holds is for the program's own
 * instructions, and system calls that copy. No core dump has it, and nobody can
 * take hold of its pages, neither another process (ptrace, /proc/PID/mem) nor the
 * kernel (direct I/O, splice): EFAULT or EIO. Memory is wiped when the block is
 * freed, and once more before a page goes back to the kernel.
 *
 * Bits that are left out are not given.
 */
#define PRIVHEAP_CREATE_F_EXEC		(1U << 0)
#define PRIVHEAP_CREATE_F_BACKED	(1U << 1)
#define PRIVHEAP_CREATE_F_CGROUP	(1U << 2)
#define PRIVHEAP_CREATE_F_GUARD		(1U << 3)
#define PRIVHEAP_CREATE_F_SECRET	(1U << 5)
#define PRIVHEAP_CREATE_F_ALL		(PRIVHEAP_CREATE_F_EXEC | \
					 PRIVHEAP_CREATE_F_BACKED | \
					 PRIVHEAP_CREATE_F_CGROUP | \
					 PRIVHEAP_CREATE_F_GUARD | \
					 PRIVHEAP_CREATE_F_SECRET)

/*
 * Policies: when a committed page becomes resident, and which others with it. All
 * of them leave pages that are not committed alone, and none of them makes a
 * touch fail because there are not as many pages to be had at once as it wants.
 *
 * PRIVHEAP_POLICY_DEFAULT: the one that the module was loaded with.
 *
 * PRIVHEAP_POLICY_PAGE: the page that is touched, and no other.
 *
 * PRIVHEAP_POLICY_WINDOW: window_pages of them, aligned to that number, among
 * them the one that is touched.
 *
 * PRIVHEAP_POLICY_ADAPTIVE: from the one that is touched on, as many as are
 * resident right in front of it, up to window_pages. So the window grows along a
 * sequence of touches and is one page where they are scattered.
 *
 * PRIVHEAP_POLICY_POPULATE: pages become resident when they are committed, as in
 * a heap with PRIVHEAP_CREATE_F_BACKED.
 *
 * PRIVHEAP_POLICY_HUGE: all of an aligned huge page of 2 MiB if all of it is
 * committed, none of it is resident, and one is to be had; otherwise as
 * PRIVHEAP_POLICY_WINDOW. Only for heaps that were made with it. A part of a huge
 * page is given back by moving the rest of it elsewhere; where that cannot be,
 * pages stay idle.
 */
#define PRIVHEAP_POLICY_DEFAULT		0
#define PRIVHEAP_POLICY_PAGE		1
#define PRIVHEAP_POLICY_WINDOW		2
#define PRIVHEAP_POLICY_ADAPTIVE	3
#define PRIVHEAP_POLICY_POPULATE	4
#define PRIVHEAP_POLICY_HUGE		5

/**
 * struct privheap_create - ioctl(PRIVHEAP_IOC_CREATE): make a heap
 * @size: sizeof(struct privheap_create)
 * @flags: PRIVHEAP_CREATE_F_*
 * @initial_bytes: rounded up to pages, at least one page (none if this is 0 and the
 *	policy PRIVHEAP_POLICY_HUGE), at most the reserved
 *	size; committed and resident before the call returns, and for as long as
 *	the heap lives. 0 with PRIVHEAP_CREATE_F_GUARD, or EOPNOTSUPP
 * @max_bytes: 0 for a growable heap, which adds regions as it needs them;
 *	otherwise a fixed heap of this size, rounded up to pages and reserved at
 *	once in one region
 * @limit_bytes: most bytes that may be committed at any time, rounded down to
 *	pages; 0 for no limit of this heap's own. Less than the initial size is
 *	EDQUOT. The program can lower the limit with PRIVHEAP_IOC_LIMIT, and
 *	raise it again up to this
 * @policy: PRIVHEAP_POLICY_*
 * @window_pages: the policy's window, a power of two; 0 for its default. The
 *	longest is 64 pages, and 1 for PRIVHEAP_POLICY_PAGE
 * @idle_bytes: how much of what is freed may stay committed and resident, so
 *	that it costs nothing to use it again, rounded up to pages; 0 for what a
 *	heap needs that frees and allocates in waves
 * @soft_bytes: crossing it is reported, see PRIVHEAP_IOC_LIMIT; 0 for none
 * @grace_bytes: how much of @limit_bytes is kept for calls that ask for it with
 *	PRIVHEAP_ALLOC_F_GRACE; 0 for nothing. Not for the initial size
 * @quarantine_bytes: with PRIVHEAP_CREATE_F_GUARD, how much address space blocks
 *	may keep that were freed, rounded down to pages; else 0, or EOPNOTSUPP
 * @cgroup_fd: descriptor of a cgroup's directory if PRIVHEAP_CREATE_F_CGROUP is
 *	set, else 0
 * @__reserved: must be 0
 * @out_heap: the id of the heap, valid for calls on this open file; never 0,
 *	and not used again for the next 2^32 heaps of the file
 * @out_base: start of the first region, aligned to out_region_align_bytes
 * @out_region_bytes: bytes reserved in the first region
 */
struct privheap_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 initial_bytes;
	__aligned_u64 max_bytes;
	__aligned_u64 limit_bytes;
	__u32 policy;
	__u32 window_pages;
	__aligned_u64 idle_bytes;
	__aligned_u64 soft_bytes;
	__aligned_u64 grace_bytes;
	__aligned_u64 quarantine_bytes;
	__s32 cgroup_fd;
	__u32 __reserved;
	__aligned_u64 out_heap;
	__aligned_u64 out_base;
	__aligned_u64 out_region_bytes;
};

/**
 * struct privheap_destroy - ioctl(PRIVHEAP_IOC_DESTROY): end a heap
 * @size: sizeof(struct privheap_destroy)
 * @flags: must be 0
 * @heap: id of the heap
 *
 * Unmaps every region and releases all blocks, pages and charges, at a cost
 * that depends on the resident pages and not on the number of blocks.
 */
struct privheap_destroy {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
};

/* struct privheap_stat, @out_state: the program unmapped a region (EIDRM). */
#define PRIVHEAP_STAT_S_DEAD		(1U << 0)

/**
 * struct privheap_stat - ioctl(PRIVHEAP_IOC_STAT): the state of a heap
 * @size: sizeof(struct privheap_stat)
 * @flags: must be 0
 * @heap: id of the heap
 * @out_create_flags: the flags it was created with
 * @out_state: PRIVHEAP_STAT_S_*
 * @out_base: start of the first region
 * @out_max_bytes: its maximum, 0 if growable
 * @out_limit_bytes: its own limit, 0 if none
 * @out_reserved_bytes: address space of its regions
 * @out_committed_bytes: what is charged to the limits
 * @out_committed_peak_bytes: the most that ever was
 * @out_resident_bytes: pages that have memory
 * @out_allocated_bytes: sum of the requested sizes of the live blocks, those
 *	included that the program counts with PRIVHEAP_IOC_COUNT
 * @out_nr_blocks: live blocks, those included
 * @out_nr_regions: regions
 * @out_nr_limit_failures: commits that the heap's own limit refused
 * @out_policy: its policy, never PRIVHEAP_POLICY_DEFAULT
 * @out_window_pages: its window
 * @out_idle_bytes: what is free, but stays committed and resident
 * @out_serial: of the whole machine, never used again; what the heap is called in
 *	netlink messages
 * @out_nr_injected_failures: calls that failed by PRIVHEAP_IOC_INJECT
 * @out_taken_bytes: spans that the program took and cuts itself
 */
struct privheap_stat {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__u32 out_create_flags;
	__u32 out_state;
	__aligned_u64 out_base;
	__aligned_u64 out_max_bytes;
	__aligned_u64 out_limit_bytes;
	__aligned_u64 out_reserved_bytes;
	__aligned_u64 out_committed_bytes;
	__aligned_u64 out_committed_peak_bytes;
	__aligned_u64 out_resident_bytes;
	__aligned_u64 out_allocated_bytes;
	__aligned_u64 out_nr_blocks;
	__aligned_u64 out_nr_regions;
	__aligned_u64 out_nr_limit_failures;
	__u32 out_policy;
	__u32 out_window_pages;
	__aligned_u64 out_idle_bytes;
	__aligned_u64 out_serial;
	__aligned_u64 out_nr_injected_failures;
	__aligned_u64 out_taken_bytes;
};

/*
 * PRIVHEAP_ALLOC_F_ZERO: every byte of the requested size is zero. Without it
 * the contents are undefined, but never another process's.
 *
 * PRIVHEAP_ALLOC_F_GRACE: the call may use the grace, the last bytes below each
 * hard limit, so that a program that has reached a limit can still finish what it
 * has begun.
 */
#define PRIVHEAP_ALLOC_F_ZERO		(1U << 0)
#define PRIVHEAP_ALLOC_F_GRACE		(1U << 1)
#define PRIVHEAP_ALLOC_F_ALL		(PRIVHEAP_ALLOC_F_ZERO | \
					 PRIVHEAP_ALLOC_F_GRACE)

/*
 * A bit of out_notice: the soft limit of this PRIVHEAP_SCOPE_ was crossed by a
 * commit of this heap since a call on it told so last.
 */
#define PRIVHEAP_NOTICE_SOFT(scope)	(1U << (scope))

/**
 * struct privheap_alloc - ioctl(PRIVHEAP_IOC_ALLOC): allocate a block
 * @size: sizeof(struct privheap_alloc)
 * @flags: PRIVHEAP_ALLOC_F_*
 * @heap: id of the heap
 * @bytes: the requested size, which PRIVHEAP_IOC_SIZE reports exactly; 0 gives
 *	a block of its own, too
 * @align: power of two up to out_align_max_bytes; 0 for out_block_align_bytes
 * @out_notice: PRIVHEAP_NOTICE_*; left as it is if there is none
 * @out_addr: start of the block. Its pages are committed, so they are charged
 *	to the limits and may be touched.
 */
struct privheap_alloc {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 bytes;
	__aligned_u64 align;
	__aligned_u64 out_notice;
	__aligned_u64 out_addr;
};

/*
 * PRIVHEAP_REALLOC_F_ZERO: the bytes from the old requested size up to the new
 * one are zero.
 *
 * PRIVHEAP_REALLOC_F_IN_PLACE: do not move the block; ENOSPC if it would have
 * to.
 *
 * PRIVHEAP_REALLOC_F_GRACE: as PRIVHEAP_ALLOC_F_GRACE.
 */
#define PRIVHEAP_REALLOC_F_ZERO		(1U << 0)
#define PRIVHEAP_REALLOC_F_IN_PLACE	(1U << 1)
#define PRIVHEAP_REALLOC_F_GRACE	(1U << 2)
#define PRIVHEAP_REALLOC_F_ALL		(PRIVHEAP_REALLOC_F_ZERO | \
					 PRIVHEAP_REALLOC_F_IN_PLACE | \
					 PRIVHEAP_REALLOC_F_GRACE)

/**
 * struct privheap_realloc - ioctl(PRIVHEAP_IOC_REALLOC): resize a block
 * @size: sizeof(struct privheap_realloc)
 * @flags: PRIVHEAP_REALLOC_F_*
 * @heap: id of the heap
 * @addr: start of a live block
 * @bytes: the new requested size; 0 keeps a live block of size 0
 * @out_notice: PRIVHEAP_NOTICE_*; left as it is if there is none
 * @out_addr: start of the block, which is @addr if it could stay. The first
 *	bytes, up to the smaller of the two sizes, are as they were. A block that
 *	moves keeps no alignment beyond out_block_align_bytes.
 *
 * When the call fails the block is as it was. A guarded block cannot be resized:
 * EOPNOTSUPP.
 */
struct privheap_realloc {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 out_notice;
	__aligned_u64 out_addr;
};

/**
 * struct privheap_free - ioctl(PRIVHEAP_IOC_FREE): free a block
 * @size: sizeof(struct privheap_free)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: start of a live block
 */
struct privheap_free {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
};

/**
 * struct privheap_size - ioctl(PRIVHEAP_IOC_SIZE): look a block up
 * @size: sizeof(struct privheap_size)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: start of a live block
 * @out_bytes: its requested size
 * @out_capacity_bytes: the size up to which it can be resized without another
 *	page or slot
 */
struct privheap_size {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 out_bytes;
	__aligned_u64 out_capacity_bytes;
};

/*
 * What a walk comes across, by kind:
 *
 * PRIVHEAP_ENTRY_REGION: an ordinary region, before what is in it. @bytes is
 * its length, @capacity_bytes how much of it is committed.
 *
 * PRIVHEAP_ENTRY_BLOCK: a live block. @bytes is its requested size,
 * @capacity_bytes what PRIVHEAP_IOC_SIZE calls so.
 *
 * PRIVHEAP_ENTRY_FREE: committed, but no block; @bytes and @capacity_bytes are
 * its length.
 *
 * PRIVHEAP_ENTRY_RESERVED: neither committed nor used, or kept by a guarded block
 * that was freed; lengths as above. The guard pages of live blocks have no entry.
 *
 * PRIVHEAP_ENTRY_TAKEN: a span from PRIVHEAP_IOC_TAKE; lengths as above. What is
 * in it only the program knows.
 */
#define PRIVHEAP_ENTRY_REGION		1
#define PRIVHEAP_ENTRY_BLOCK		2
#define PRIVHEAP_ENTRY_FREE		3
#define PRIVHEAP_ENTRY_RESERVED		4
#define PRIVHEAP_ENTRY_TAKEN		5

/* struct privheap_entry, @region: the block has a region of its own. */
#define PRIVHEAP_ENTRY_OWN_REGION	0xffffffffU

/**
 * struct privheap_entry - one step of PRIVHEAP_IOC_WALK
 * @addr: where it starts
 * @bytes: see PRIVHEAP_ENTRY_*
 * @capacity_bytes: see PRIVHEAP_ENTRY_*
 * @kind: PRIVHEAP_ENTRY_*
 * @region: which ordinary region it lies in: 0 for the one created first, and
 *	so on; or PRIVHEAP_ENTRY_OWN_REGION
 */
struct privheap_entry {
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 capacity_bytes;
	__u32 kind;
	__u32 region;
};

/**
 * struct privheap_walk - ioctl(PRIVHEAP_IOC_WALK): list what is in a heap
 * @size: sizeof(struct privheap_walk)
 * @flags: must be 0
 * @heap: id of the heap
 * @entries: pointer to an array of struct privheap_entry that is filled
 * @nr_entries: its length, at least 1; the call may fill less of it
 * @after_kind: kind of the entry after which to go on; 0 to begin
 * @after_addr: its address; it must still be such an entry, otherwise ENOENT
 * @out_nr_entries: how many were filled; 0 at the end of the heap
 * @__reserved: must be 0
 *
 * First come the ordinary regions in order of their creation, each with its
 * contents by address, then the blocks with a region of their own in order of
 * creation. All state is in the entry that the caller passes back, so a walk
 * survives changes between two calls, and a whole walk takes linear time.
 */
struct privheap_walk {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 entries;
	__u32 nr_entries;
	__u32 after_kind;
	__aligned_u64 after_addr;
	__u32 out_nr_entries;
	__u32 __reserved;
};

/**
 * struct privheap_compact - ioctl(PRIVHEAP_IOC_COMPACT): give back what is unused
 * @size: sizeof(struct privheap_compact)
 * @flags: must be 0
 * @heap: id of the heap
 * @out_largest_free_bytes: length of the largest range that is committed and
 *	free, after the empty spans that were kept have been given back
 *
 * Pages of other spans in which no block lies lose their memory and stay committed.
 */
struct privheap_compact {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 out_largest_free_bytes;
};

/**
 * struct privheap_policy - ioctl(PRIVHEAP_IOC_POLICY): change a heap's policy
 * @size: sizeof(struct privheap_policy)
 * @flags: must be 0
 * @heap: id of the heap
 * @policy: PRIVHEAP_POLICY_*
 * @window_pages: as for struct privheap_create
 * @idle_bytes: as there
 *
 * Holds for commits and touches from now on; what is resident stays so.
 */
struct privheap_policy {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__u32 policy;
	__u32 window_pages;
	__aligned_u64 idle_bytes;
};

/**
 * struct privheap_inject - ioctl(PRIVHEAP_IOC_INJECT): have commits fail
 * @size: sizeof(struct privheap_inject)
 * @flags: must be 0
 * @heap: id of the heap
 * @nth: this commit from now on fails, 1 being the next one; 0 for none
 * @seed: the same seed draws the same commits
 * @rate_ppm: so many of a million commits fail, drawn at random; 0 for none
 * @__reserved: must be 0
 *
 * Replaces what was asked for before; with @nth and @rate_ppm both 0, no commit
 * fails any more but for a reason. A commit fails with ENOMEM, as it would if the
 * machine had no memory.
 */
struct privheap_inject {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 nth;
	__aligned_u64 seed;
	__u32 rate_ppm;
	__u32 __reserved;
};

/**
 * struct privheap_commit - ioctl(PRIVHEAP_IOC_COMMIT): have pages of a block back
 * @size: sizeof(struct privheap_commit)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: where to begin; start of a page
 * @bytes: how much; whole pages, at least one, all in one block that is larger
 *	than @out_slot_max_bytes of PRIVHEAP_IOC_INFO and not guarded
 * @out_done_bytes: how much from @addr on is committed and resident now. Less than
 *	@bytes if a signal came, a limit was reached, or memory ran out; to go on
 *	behind it tells which
 *
 * Pages that were not committed are zero.
 */
struct privheap_commit {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 out_done_bytes;
};

/**
 * struct privheap_decommit - ioctl(PRIVHEAP_IOC_DECOMMIT): do without some pages
 * @size: sizeof(struct privheap_decommit)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: where to begin; start of a page
 * @bytes: how much; as in struct privheap_commit
 * @out_done_bytes: how much from @addr on is not committed now: less than @bytes
 *	if a signal came
 *
 * What the pages hold is lost, and touching them is a SIGSEGV, until they are
 * committed again. The block stays.
 */
struct privheap_decommit {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 out_done_bytes;
};

/**
 * struct privheap_prefault - ioctl(PRIVHEAP_IOC_PREFAULT): have pages ready
 * @size: sizeof(struct privheap_prefault)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: where to begin; start of a page
 * @bytes: how much; whole pages, at least one
 * @out_done_bytes: how much from @addr on is resident and mapped now. Less than
 *	@bytes if a signal came, memory ran out, or a page is not committed; to
 *	go on behind it tells which
 */
struct privheap_prefault {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 out_done_bytes;
};

/**
 * struct privheap_reset - ioctl(PRIVHEAP_IOC_RESET): free all blocks of a heap
 * @size: sizeof(struct privheap_reset)
 * @flags: must be 0
 * @heap: id of the heap
 * @keep_bytes: how much may stay committed and resident for the blocks to come,
 *	beside the initial size; rounded up to pages
 * @out_idle_bytes: how much does
 *
 * The heap, its limits and its address range stay as they are, but for the
 * regions of single blocks, which go. Costs what its resident pages and spans
 * cost, whatever number of blocks it held.
 */
struct privheap_reset {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 keep_bytes;
	__aligned_u64 out_idle_bytes;
};

/* Which limits PRIVHEAP_IOC_LIMIT changes; with none of them it only reads. */
#define PRIVHEAP_LIMIT_F_HARD		(1U << 0)
#define PRIVHEAP_LIMIT_F_SOFT		(1U << 1)
#define PRIVHEAP_LIMIT_F_GRACE		(1U << 2)
#define PRIVHEAP_LIMIT_F_ALL		(PRIVHEAP_LIMIT_F_HARD | \
					 PRIVHEAP_LIMIT_F_SOFT | \
					 PRIVHEAP_LIMIT_F_GRACE)

/**
 * struct privheap_limit - ioctl(PRIVHEAP_IOC_LIMIT): read and change limits
 * @size: sizeof(struct privheap_limit)
 * @flags: PRIVHEAP_LIMIT_F_*: which of the next three to change; the others are
 *	ignored
 * @heap: id of the heap; 0 for the process
 * @scope: PRIVHEAP_SCOPE_HEAP, or PRIVHEAP_SCOPE_PROCESS for all heaps of the
 *	calling process together; EOPNOTSUPP for any other
 * @__reserved: must be 0
 * @hard_bytes: most that may be committed, rounded down to pages; up to the
 *	ceiling, else ERANGE. Below what is committed it takes nothing away:
 *	commits are refused until enough was given back. The soft limit and the
 *	grace are lowered with it
 * @soft_bytes: committing more than this, rounded down to pages, is reported to
 *	the program (out_notice) and to those who watch; not above the hard limit
 * @grace_bytes: how much of the hard limit, rounded up to pages, only those calls
 *	get that ask for it; not above the hard limit
 * @out_hard_bytes: the hard limit, or PRIVHEAP_LIMIT_NONE
 * @out_soft_bytes: the soft limit, or PRIVHEAP_LIMIT_NONE
 * @out_grace_bytes: the grace
 * @out_ceiling_bytes: how far this call can raise the hard limit: what it was at
 *	creation, or what it was set to from outside
 * @out_usage_bytes: what is charged. To a process each heap counts as a page
 *	beside what it has committed
 * @out_peak_bytes: the most that ever was; of a process it may be too high by a
 *	few pages for each processor, never too low
 * @out_nr_failures: charges that this limit refused
 * @out_nr_soft_hits: how often the soft limit was crossed
 */
struct privheap_limit {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__u32 scope;
	__u32 __reserved;
	__aligned_u64 hard_bytes;
	__aligned_u64 soft_bytes;
	__aligned_u64 grace_bytes;
	__aligned_u64 out_hard_bytes;
	__aligned_u64 out_soft_bytes;
	__aligned_u64 out_grace_bytes;
	__aligned_u64 out_ceiling_bytes;
	__aligned_u64 out_usage_bytes;
	__aligned_u64 out_peak_bytes;
	__aligned_u64 out_nr_failures;
	__aligned_u64 out_nr_soft_hits;
};

/*
 * PRIVHEAP_GUARD_ALLOC_F_ZERO, PRIVHEAP_GUARD_ALLOC_F_GRACE: as PRIVHEAP_ALLOC_F_ZERO,
 * PRIVHEAP_ALLOC_F_GRACE.
 *
 * PRIVHEAP_GUARD_ALLOC_F_BEFORE: the guard page is before the block, not behind it.
 */
#define PRIVHEAP_GUARD_ALLOC_F_ZERO	(1U << 0)
#define PRIVHEAP_GUARD_ALLOC_F_GRACE	(1U << 1)
#define PRIVHEAP_GUARD_ALLOC_F_BEFORE	(1U << 2)
#define PRIVHEAP_GUARD_ALLOC_F_ALL	(PRIVHEAP_GUARD_ALLOC_F_ZERO | \
					 PRIVHEAP_GUARD_ALLOC_F_GRACE | \
					 PRIVHEAP_GUARD_ALLOC_F_BEFORE)

/**
 * struct privheap_guard_alloc - ioctl(PRIVHEAP_IOC_GUARD_ALLOC): allocate a guarded block
 * @size: sizeof(struct privheap_guard_alloc)
 * @flags: PRIVHEAP_GUARD_ALLOC_F_*
 * @heap: id of a heap with PRIVHEAP_CREATE_F_GUARD; EOPNOTSUPP for others
 * @bytes: the requested size; 0 gives a block of its own, too
 * @align: power of two up to out_align_max_bytes, but also below
 *	out_block_align_bytes; 0 for that. With PRIVHEAP_GUARD_ALLOC_F_BEFORE at
 *	most a page, or EOPNOTSUPP
 * @cookie: kept with the block for PRIVHEAP_IOC_DESCRIBE; of no meaning here
 * @out_notice: PRIVHEAP_NOTICE_*; left as it is if there is none
 * @out_addr: start of the block
 *
 * The block has pages of its own, and next to them one that is never committed.
 * Its last byte, apart from what @align leaves, is the last one before that page,
 * so with an alignment of 1 the first byte behind the block cannot be touched;
 * or its first byte is the first one behind that page. The guard page is charged
 * to nobody and needs no mapping: a heap may have any number of them.
 */
struct privheap_guard_alloc {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 bytes;
	__aligned_u64 align;
	__aligned_u64 cookie;
	__aligned_u64 out_notice;
	__aligned_u64 out_addr;
};

/**
 * struct privheap_guard_free - ioctl(PRIVHEAP_IOC_GUARD_FREE): free a guarded block
 * @size: sizeof(struct privheap_guard_free)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: start of a live guarded block; ENOENT also for another block
 * @cookie: kept with the block for PRIVHEAP_IOC_DESCRIBE
 *
 * The pages of the block are decommitted, and stay in quarantine: nothing else is
 * allocated there until blocks that were freed later fill @quarantine_bytes of the
 * heap, or until it has no other room. The block freed first leaves first.
 * PRIVHEAP_IOC_FREE does the same, with a cookie of 0.
 */
struct privheap_guard_free {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 cookie;
};

/*
 * What PRIVHEAP_IOC_DESCRIBE finds at an address:
 *
 * PRIVHEAP_DESCRIBE_NONE: no block, nor one that is remembered.
 *
 * PRIVHEAP_DESCRIBE_LIVE: a live block, or the guard page and the rest of the pages
 * of a guarded one.
 *
 * PRIVHEAP_DESCRIBE_FREED: a guarded block that was freed, in quarantine.
 */
#define PRIVHEAP_DESCRIBE_NONE		0
#define PRIVHEAP_DESCRIBE_LIVE		1
#define PRIVHEAP_DESCRIBE_FREED		2

/**
 * struct privheap_describe - ioctl(PRIVHEAP_IOC_DESCRIBE): whose is this address?
 * @size: sizeof(struct privheap_describe)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: any address; ENOENT if it is in none of the heap's regions
 * @out_state: PRIVHEAP_DESCRIBE_*; the rest is 0 for PRIVHEAP_DESCRIBE_NONE
 * @out_guarded: 1 for a guarded block, else 0
 * @out_addr: start of the block
 * @out_bytes: its requested size
 * @out_alloc_cookie: of PRIVHEAP_IOC_GUARD_ALLOC
 * @out_free_cookie: of PRIVHEAP_IOC_GUARD_FREE
 */
struct privheap_describe {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__u32 out_state;
	__u32 out_guarded;
	__aligned_u64 out_addr;
	__aligned_u64 out_bytes;
	__aligned_u64 out_alloc_cookie;
	__aligned_u64 out_free_cookie;
};

/*
 * PRIVHEAP_TAKE_S_NEAR: less than an eighth of one of the limits is left, or a soft
 * limit is exceeded. What the program keeps without need may soon be what others
 * cannot have.
 */
#define PRIVHEAP_TAKE_S_NEAR		(1U << 0)

/**
 * struct privheap_take - ioctl(PRIVHEAP_IOC_TAKE): take whole spans
 * @size: sizeof(struct privheap_take)
 * @flags: must be 0
 * @heap: id of the heap
 * @spans: pointer to an array of __u64 that receives the addresses
 * @nr_spans: its length, from 1 to out_take_max_spans; the call may fill less
 * @nr_pages: length of each span, from 1 to out_take_max_pages
 * @out_nr_spans: how many were taken, at least one
 * @out_state: PRIVHEAP_TAKE_S_*
 * @out_notice: PRIVHEAP_NOTICE_*; left as it is if there is none
 *
 * A span is for the program to cut into blocks of its own, as a front end that
 * serves them without a system call. Its pages are committed. To the kernel it
 * is neither free nor a block: it is listed as PRIVHEAP_ENTRY_TAKEN, and goes
 * back with PRIVHEAP_BATCH_GIVE, with PRIVHEAP_IOC_RESET, or with the heap.
 */
struct privheap_take {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 spans;
	__u32 nr_spans;
	__u32 nr_pages;
	__u32 out_nr_spans;
	__u32 out_state;
	__aligned_u64 out_notice;
};

/*
 * What a batch does with its entries: allocate a block for each, as
 * PRIVHEAP_IOC_ALLOC; free the block of each, as PRIVHEAP_IOC_FREE; give back the
 * span of each, which PRIVHEAP_IOC_TAKE gave; take the memory of pages of such a
 * span away, which stay committed: the next touch gives them memory with anything
 * in it. Pages that are to be resident keep theirs, as in a heap with
 * PRIVHEAP_CREATE_F_BACKED, and so do parts of huge pages.
 */
#define PRIVHEAP_BATCH_ALLOC		1
#define PRIVHEAP_BATCH_FREE		2
#define PRIVHEAP_BATCH_GIVE		3
#define PRIVHEAP_BATCH_DROP		4

/**
 * struct privheap_batch_entry - a member of a batch
 * @addr: start of the block, span or pages; 0 to allocate
 * @bytes: to allocate: the requested size; to drop: whole pages, at least one;
 *	otherwise 0
 * @align: to allocate: as in struct privheap_alloc; otherwise 0
 * @out_addr: start of the new block; written only if there is one
 * @out_error: 0, or the errno that a call for this one alone would have answered.
 *	EINVAL for a member that is not 0 and should be
 * @__reserved: must be 0
 */
struct privheap_batch_entry {
	__aligned_u64 addr;
	__aligned_u64 bytes;
	__aligned_u64 align;
	__aligned_u64 out_addr;
	__u32 out_error;
	__u32 __reserved;
};

/**
 * struct privheap_batch - ioctl(PRIVHEAP_IOC_BATCH): one call for many
 * @size: sizeof(struct privheap_batch)
 * @flags: PRIVHEAP_ALLOC_F_*, to allocate; otherwise 0
 * @heap: id of the heap
 * @entries: pointer to an array of struct privheap_batch_entry
 * @nr_entries: its length, from 1 to out_batch_max
 * @op: PRIVHEAP_BATCH_*
 * @out_nr_done: how many entries have their result, from the first on
 * @__reserved: must be 0
 * @out_notice: PRIVHEAP_NOTICE_*; left as it is if there is none
 *
 * Each entry has a result of its own, and those after a bad one are done, too. A
 * signal, an entry that cannot be read or written, or the end of the heap ends the
 * call early, though never for a signal before the first entry is done; the
 * caller goes on from @out_nr_done.
 */
struct privheap_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 entries;
	__u32 nr_entries;
	__u32 op;
	__u32 out_nr_done;
	__u32 __reserved;
	__aligned_u64 out_notice;
};

/*
 * What the kernel writes to the key of counters: the program has unmapped a region,
 * so the heap is dead (EIDRM); PRIVHEAP_IOC_RESET has taken all spans back and set
 * the counts to 0. Neither is an address of user space, or a number that a program
 * would come upon.
 */
#define PRIVHEAP_COUNTERS_DEAD		0x9e1b7d0f5c3a8421ULL
#define PRIVHEAP_COUNTERS_RESET		0x9e1b7d0f5c3a8422ULL

/**
 * struct privheap_counters - what a program counts in spans that it took
 * @nr_blocks: live blocks
 * @allocated_bytes: sum of their requested sizes
 * @key: whatever the program wants. The kernel writes PRIVHEAP_COUNTERS_DEAD or
 *	PRIVHEAP_COUNTERS_RESET here when that has happened, and never reads it
 * @__reserved: not used
 *
 * Either of the first two may be negative where blocks are counted in one place
 * when they are allocated and in another when they are freed. It is the sum that
 * counts.
 */
struct privheap_counters {
	__s64 nr_blocks;
	__s64 allocated_bytes;
	__u64 key;
	__u64 __reserved;
} __attribute__((__aligned__(32)));

/**
 * struct privheap_count - ioctl(PRIVHEAP_IOC_COUNT): add to a heap's statistics
 * @size: sizeof(struct privheap_count)
 * @flags: must be 0
 * @heap: id of the heap
 * @counters: pointer to a struct privheap_counters, aligned to its size, in private
 *	anonymous memory that is no huge page
 *
 * From now on and until the heap ends, whoever asks for the heap's statistics
 * is told the sum of the kernel's own blocks and of all counters, as they are at
 * that moment. The page of the counters is pinned, and charged to the process
 * like a page of a heap; a heap may have 1024 counters, and so may a page. What the
 * program writes there is believed within the bounds of the spans that it took,
 * and is used for nothing else.
 */
struct privheap_count {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 counters;
};

/*
 * A flag in @use of struct privheap_page: the first page of a block, a span, or a
 * guarded block with its guard page. Free pages do not have it.
 */
#define PRIVHEAP_PAGE_F_FIRST		(1U << 7)

/**
 * struct privheap_page - an entry of a page map
 * @use: enum privheap_page_use, with PRIVHEAP_PAGE_F_FIRST
 * @state: enum privheap_page_state
 */
struct privheap_page {
	__u8 use;
	__u8 state;
};

/**
 * struct privheap_pagemap - ioctl(PRIVHEAP_IOC_PAGEMAP): see what pages are
 * @size: sizeof(struct privheap_pagemap)
 * @flags: must be 0
 * @heap: id of the heap
 * @addr: any address in one of its regions, else ENOENT; 0 for the first region
 * @out_map: address of an array of struct privheap_page, read-only, one for each page
 *	of the region
 * @out_base: start of the region
 * @out_nr_pages: its length, and that of the array
 *
 * The kernel writes an entry when the page changes, before the call returns or the
 * touch is over that changes it. Each member is written at once, and the two one
 * after the other: who reads while somebody changes the page may see any mixture of
 * old and new ones. Asked again the answer is the same, until the program unmaps the
 * array, which it may while no other call on the heap runs, or the region ends: then
 * it is unmapped, too.
 */
struct privheap_pagemap {
	__u32 size;
	__u32 flags;
	__aligned_u64 heap;
	__aligned_u64 addr;
	__aligned_u64 out_map;
	__aligned_u64 out_base;
	__aligned_u64 out_nr_pages;
};

#endif /* _UAPI_LINUX_PRIVHEAP_H */
