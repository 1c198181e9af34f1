/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the module share: the objects, who may touch which member,
 * and the prototypes by file.
 *
 * Objects
 *
 *	ph_file		an open /dev/privheap; holds the heaps by id
 *	  ph_heap	a heap: its regions, its blocks, its limit
 *	    ph_region	one reservation of address space, one VMA
 *	      ph_pagemap	what the program can read of that, if it asked
 *	      ph_chunk	the states of up to PH_CHUNK_PAGES neighbouring pages
 *	ph_process	an address space that opened the device, once or more often
 *	ph_user		who it ran as
 *
 * Locks, outermost first
 *
 *	ph_heap.grow_lock	who maps a new region
 *	  mm->mmap_lock		taken by vm_mmap() and vm_munmap()
 *	    ph_heap.lock	blocks, regions and what is committed
 *	      ph_heap.counters_lock	what the program counts; a leaf, also taken
 *				without the others
 *	      ph_chunk.lock	the pages of a chunk; also taken by the fault
 *				handler, under mmap_lock or the VMA's lock
 *	        i_mmap_rwsem, page table locks
 *	      ph_pagemap.lock	the leaves of a page map; also taken by its own
 *				fault handler, under mmap_lock or the VMA's lock
 *	        page table locks
 *
 *	ph_pools_lock		which pools there are
 *	  ph_pool.lock		the pages of a pool; a leaf
 *	ph_owner_lock		the tables of limits but the heaps'
 *	ph_limit_lock		changes of limits
 *	  ph_stock.lock		charges in advance; a leaf
 *	ph_process.retired_lock	a leaf
 *	ph_event_lock		who listens, and numbers of events; a leaf
 *
 * User memory is read and written with no lock held, with one exception: the
 * answer of a call that hands out a block is written under ph_heap.lock with
 * page faults off (ph_answer()), so that the block exists for others exactly if
 * its owner got the address. A fault there does not run the fault handler; it
 * is an error, upon which the call undoes its work, drops the lock, faults the
 * answer's page in and starts again. That is rare: such a call has written to
 * the answer's place before it began.
 *
 * Lifetimes
 *
 * A heap is kept by the table of its file, by the calls that run on it, and by
 * its regions; a region by its heap and by its VMAs. So the fault handler may
 * follow VMA -> region -> heap without a lock. Taking a region out of its heap
 * (free of a large block, destroy, or when all regions are unmapped) breaks the
 * circle. Releasing a region empties its chunks under their locks; the chunks
 * themselves go with the region's last VMA, when nobody can fault any more.
 */
#ifndef _PRIVHEAP_INTERNAL_H
#define _PRIVHEAP_INTERNAL_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/maple_tree.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>

#include <linux/privheap.h>

#include "block.h"

/* Regions, and so the bases of heaps, are aligned to this. */
#define PH_REGION_ALIGN		max(65536UL, PAGE_SIZE)
/* Larger blocks of a growable heap get a region of their own. */
#define PH_REGION_BLOCK_BYTES	0xFE000UL
/* Regions of a growable heap double in size up to this. */
#define PH_REGION_GROW_BYTES	(64UL << 20)

/* Tables by scope have as many places. */
#define PH_NR_SCOPES	(PRIVHEAP_SCOPE_CGROUP + 1)

/* Faults are counted by source and order, and their times by powers of two. */
#define PH_NR_ORDERS		10
#define PH_NR_TALLIES		(PRIVHEAP_NR_SOURCES * PH_NR_ORDERS)
#define PH_NR_LATENCIES		32

/**
 * enum ph_chain - the chains of nodes above a heap
 * @PH_CHAIN_OWNER: process -> user -> system
 * @PH_CHAIN_CGROUP: the control group that the heap was put under, if it was
 * @PH_NR_CHAINS: how many there are
 */
enum ph_chain {
	PH_CHAIN_OWNER,
	PH_CHAIN_CGROUP,
	PH_NR_CHAINS,
};

/**
 * enum ph_bound - up to where a charge may go
 * @PH_BOUND_ADVANCE: as the next, and not across a soft limit
 * @PH_BOUND_ORDINARY: up to the grace
 * @PH_BOUND_HARD: up to the hard limit
 */
enum ph_bound {
	PH_BOUND_ADVANCE,
	PH_BOUND_ORDINARY,
	PH_BOUND_HARD,
};

/**
 * enum ph_limit_right - what may be done to a limit
 * @PH_LIMIT_BY_PROGRAM: anything, with the hard limit up to the ceiling
 * @PH_LIMIT_LOWER: nothing that allows more than before
 * @PH_LIMIT_ANY: anything
 */
enum ph_limit_right {
	PH_LIMIT_BY_PROGRAM,
	PH_LIMIT_LOWER,
	PH_LIMIT_ANY,
};

/* Members of struct privheap_policy that are to be set. */
#define PH_POLICY_SET_ID	(1U << 0)
#define PH_POLICY_SET_WINDOW	(1U << 1)
#define PH_POLICY_SET_IDLE	(1U << 2)
#define PH_POLICY_SET_ALL	(PH_POLICY_SET_ID | PH_POLICY_SET_WINDOW | \
				 PH_POLICY_SET_IDLE)

/**
 * struct ph_limit_change - a change of limits that somebody asks for
 * @set: PRIVHEAP_LIMIT_F_*: which of the others count
 * @hard_bytes: rounded down to pages; U64_MAX for none
 * @soft_bytes: the same
 * @grace_bytes: rounded up to pages
 */
struct ph_limit_change {
	u32 set;
	u64 hard_bytes;
	u64 soft_bytes;
	u64 grace_bytes;
};

/**
 * struct ph_limit - one node of the limit tree, see limits.c and owner.c
 * @parent: charged after this one; NULL at the end of a chain (constant)
 * @key: its place in the table of its scope (constant)
 * @scope: what it limits (constant)
 * @refs: a heap's node has none, the heap has
 * @hard_pages: the limit; ULONG_MAX for none (ph_limit_lock, READ_ONCE)
 * @soft_pages: crossing it is reported; ULONG_MAX for none (ph_limit_lock,
 *	READ_ONCE)
 * @grace_pages: how much of @hard_pages is kept for those who ask for it
 *	(ph_limit_lock, READ_ONCE)
 * @ceiling_pages: how far the program may raise @hard_pages (ph_limit_lock)
 * @usage_pages: what is charged, stocks included (atomic)
 * @peak_pages: the most that ever was charged and committed (atomic)
 * @nr_failures: charges that this node refused (atomic)
 * @nr_soft_hits: how often @soft_pages was crossed (atomic)
 */
struct ph_limit {
	struct ph_limit *parent;
	unsigned long key;
	enum privheap_scope scope;
	refcount_t refs;
	unsigned long hard_pages;
	unsigned long soft_pages;
	unsigned long grace_pages;
	unsigned long ceiling_pages;
	atomic_long_t usage_pages;
	atomic_long_t peak_pages;
	atomic_long_t nr_failures;
	atomic_long_t nr_soft_hits;
};

/**
 * struct ph_event_rate - how often something was told, see event.c
 * @since: when this second began, in jiffies (ph_event_lock)
 * @nr: how often since then (ph_event_lock)
 * @nr_suppressed: how often not since the last time (ph_event_lock)
 */
struct ph_event_rate {
	unsigned long since;
	unsigned int nr;
	unsigned int nr_suppressed;
};

#define PH_NR_EVENTS	(PRIVHEAP_EVENT_MISUSE + 1)

/**
 * struct ph_user - the limit of one user
 * @limit: the node; its parent is the system's
 * @uid: whose, in the initial user namespace (constant)
 * @stays: its limits were set, so it holds itself (ph_owner_lock)
 * @rates: of the events that its processes make, by kind
 */
struct ph_user {
	struct ph_limit limit;
	kuid_t uid;
	bool stays;
	struct ph_event_rate rates[PH_NR_EVENTS];
};

/**
 * struct ph_misuse - a call that was refused
 * @call: its number
 * @err: what it answers: -EPERM, -ENXIO or -ENOENT
 * @id: the heap that it named, unless -EPERM
 * @addr: the block that it named, if -ENOENT
 */
struct ph_misuse {
	u32 call;
	int err;
	u64 id;
	u64 addr;
};

/**
 * struct ph_pool - pages that the heaps of a process gave up, for others of them
 * @node: in the list of all pools (ph_pools_lock)
 * @lock: a leaf, inside of ph_pools_lock
 * @pages: the one to use first in front; each with one reference (@lock)
 * @nr: how many (@lock; read without it)
 */
struct ph_pool {
	struct list_head node;
	spinlock_t lock;
	struct list_head pages;
	unsigned int nr;
};

/* Heaps that a process keeps after their end, see retire.c. */
#define PH_NR_RETIRED	4

/**
 * struct ph_process - the limit of one address space
 * @limit: the node; its parent is that of the user who opened the device first
 * @mm: pinned with mmgrab(), so the pointer stays unique (constant)
 * @tgid: the process that opened the device first (constant)
 * @rates: of the events that it makes, by kind
 * @pool: what its heaps recycle
 * @generation: upper half of the last heap's id. One count for all files, as a
 *	retired heap may go from one to another
 * @retired_lock: a leaf
 * @retired: heaps that have ended (@retired_lock)
 * @next_retired: the place whose turn it is if there is none left (@retired_lock)
 */
struct ph_process {
	struct ph_limit limit;
	struct mm_struct *mm;
	struct pid *tgid;
	struct ph_event_rate rates[PH_NR_EVENTS];
	struct ph_pool pool;
	atomic_t generation;
	spinlock_t retired_lock;
	struct ph_heap *retired[PH_NR_RETIRED];
	unsigned int next_retired;
};

/**
 * struct ph_cgroup - the limit of the heaps that were put under one cgroup
 * @limit: the node; it has no parent
 * @css: the cgroup's memory controller, held (constant)
 */
struct ph_cgroup {
	struct ph_limit limit;
	struct cgroup_subsys_state *css;
};

/**
 * struct ph_charge - what the calls on a heap must know about their charges
 * @grace: this call may use the grace
 * @above: the nodes above the heap were charged, and not only a stock
 * @crossed: scopes whose soft limits the charge has crossed, by bit
 * @notice: those that were crossed since the program was told
 * @refused: the node that refused the last charge that was refused
 */
struct ph_charge {
	bool grace;
	bool above;
	unsigned int crossed;
	unsigned int notice;
	struct ph_limit *refused;
};

/* The id of a heap that has none: no index of a table is so high. */
#define PH_HEAP_NO_ID	U64_MAX

/* A lookup in an xarray is a tenth of a call; so few programs need one. */
#define PH_FIRST_HEAPS	32

/**
 * struct ph_file - an open /dev/privheap
 * @mm: the address space that opened it and alone may use it; pinned with
 *	mmgrab(), so the pointer stays unique (constant)
 * @process: whom the heaps are charged to (constant)
 * @heaps: struct ph_heap by lower half of the id; an entry that is reserved for
 *	a heap in the making reads as NULL. Indexes are given from the lowest
 * @first_heaps: the first entries of @heaps once more (RCU; heaps.xa_lock)
 */
struct ph_file {
	struct mm_struct *mm;
	struct ph_process *process;
	struct xarray heaps;
	struct ph_heap __rcu *first_heaps[PH_FIRST_HEAPS];
};

/**
 * struct ph_inject - failures that a program wants its heap to have, see inject.c
 * @nth: so many commits from now one fails; 0 for none
 * @rate_ppm: so many of a million fail
 * @random: decides which
 * @failing: the call that runs now has failed by it
 * @nr_failures: how many calls did, ever
 */
struct ph_inject {
	u64 nth;
	u32 rate_ppm;
	struct rnd_state random;
	bool failing;
	u64 nr_failures;
};

/**
 * enum ph_heap_state - how far the life of a heap has come
 * @PH_HEAP_LIVE: all calls work
 * @PH_HEAP_DEAD: the program unmapped a region; stat and destroy work
 * @PH_HEAP_GONE: destroyed, and perhaps retired; calls that still hold it answer
 *	ENXIO
 */
enum ph_heap_state {
	PH_HEAP_LIVE,
	PH_HEAP_DEAD,
	PH_HEAP_GONE,
};

/* Regions of single blocks that a heap keeps after these were freed. */
#define PH_NR_IDLE_REGIONS	16

/* Spans that one call takes. */
#define PH_TAKE_MAX_SPANS	64
/* Pages of a span that is taken; none needs a region of its own. */
#define PH_TAKE_MAX_PAGES	((256UL << 10) >> PAGE_SHIFT)
/* Entries of a batch. */
#define PH_BATCH_MAX		65536

/**
 * struct ph_waves - what is known of waves in which a heap frees and allocates
 * @nr_gone: pages that were freed and decommitted, and not committed again since
 * @nr_bound: how many idle pages there may be, by what was committed again
 * @nr_freed: pages that were freed since the bound was looked at
 * @nr_unused: the fewest idle pages that there were since then
 */
struct ph_waves {
	unsigned long nr_gone;
	unsigned long nr_bound;
	unsigned long nr_freed;
	unsigned long nr_unused;
};

/**
 * struct ph_heap - a heap
 * @refs: see Lifetimes above
 * @rcu: frees it after lookups without a lock have ended
 * @id: generation and index in ph_file.heaps; PH_HEAP_NO_ID once it is retired
 *	(constant after publication until then)
 * @flags: PRIVHEAP_CREATE_F_* (constant after publication, as others that the
 *	program chose)
 * @max_pages: 0 if growable (constant)
 * @cgroup: that it was put under, held; or NULL (constant)
 * @mm: ph_file.mm, pinned (constant)
 * @filp: the pseudo file its regions map; its own address_space makes
 *	unmap_mapping_pages() reach this heap's pages and no others (constant)
 * @huge: its regions are mapped so that they can have huge pages, see region.c
 *	(constant)
 * @pool: of its process, where its memory goes and comes from (constant)
 * @policy: which pages a fault makes resident, and
 * @window_pages: how many at most; a power of two (@lock; read without it)
 * @base: of the first region, even when that is gone (constant)
 * @grow_lock: held while a region is being mapped
 * @mapper: the task inside ph_region_map(), and
 * @mapping: the region that it maps; nothing else may map @filp (@grow_lock)
 * @lock: protects everything below, and the blocks' bookkeeping
 * @state: (@lock)
 * @store: the blocks (@lock)
 * @counters_lock: a leaf, for readers that cannot take @lock
 * @counters: struct ph_counters, what the program counts itself (@lock and
 *	@counters_lock to change it, either to read)
 * @regions: in order of creation (@lock)
 * @first: the region that was created first; NULL only in a dead heap (@lock)
 * @others: all regions but the first, by address (@lock)
 * @nr_regions: (@lock)
 * @nr_ordinary: ordinary regions that there ever were; none goes before the
 *	heap does (@lock)
 * @nr_mapped: regions that have a VMA in @mm, and their page maps (@lock)
 * @idle_regions: of single blocks, that have none now; the last one in front (@lock)
 * @nr_idle_regions: how many these are (@lock)
 * @reserved_pages: of all regions (@lock)
 * @nr_resident: pages that have memory; the sum of the chunks' (atomic)
 * @nr_idle: free pages that are kept committed and resident (@lock)
 * @max_idle: how many may be, but for those that a reset has left; 0 for as many
 *	as @waves says (@lock)
 * @waves: (@lock)
 * @next_pgoff: where the next region starts in @filp (@grow_lock)
 * @tables_base: of the region in which page tables are missing, and
 * @tables_first: the first chunk that they are missing for, and
 * @tables_end: behind the last one (@lock)
 * @inject: (@lock)
 * @tally: what the chunks' counters do not hold any more, once there is any; see
 *	tally.h (atomic; constant once set)
 * @latencies: of faults, by powers of two, once somebody asked (per CPU; constant
 *	once set)
 * @charge: (@lock)
 * @limit: the heap's node; its parent is the process's, and held
 */
struct ph_heap {
	refcount_t refs;
	struct rcu_head rcu;
	u64 id;
	u32 flags;
	unsigned long max_pages;
	struct ph_cgroup *cgroup;
	bool huge;
	struct mm_struct *mm;
	struct file *filp;
	struct ph_pool *pool;
	const struct ph_policy *policy;
	unsigned int window_pages;
	unsigned long base;

	struct mutex grow_lock;
	struct task_struct *mapper;
	struct ph_region *mapping;
	pgoff_t next_pgoff;

	struct mutex lock;
	enum ph_heap_state state;
	unsigned int nr_regions;
	unsigned int nr_mapped;
	u32 nr_ordinary;
	struct list_head regions;
	struct ph_region *first;
	struct maple_tree others;
	struct list_head idle_regions;
	unsigned int nr_idle_regions;
	unsigned long reserved_pages;
	unsigned long nr_idle;
	unsigned long max_idle;
	struct ph_waves waves;
	atomic_long_t nr_resident;
	unsigned long tables_base;
	unsigned long tables_first;
	unsigned long tables_end;
	struct ph_charge charge;
	struct ph_limit limit;
	struct ph_block_store store;
	struct ph_inject inject;
	atomic64_t *tally;
	u64 __percpu *latencies;
	spinlock_t counters_lock;
	struct list_head counters;
};

/* A lookup in an xarray costs more than the state of a page. */
#define PH_FIRST_CHUNKS	8

/**
 * struct ph_region - one reservation of address space
 * @blocks: address, length and blocks (ph_heap.lock; base and nr_pages constant)
 * @refs: the heap's and one for each VMA
 * @heap: holds a reference (constant)
 * @node: in ph_heap.regions (ph_heap.lock)
 * @idle_node: in ph_heap.idle_regions, if it is there (ph_heap.lock)
 * @number: of the ordinary regions of its heap, in order of creation; or
 *	PRIVHEAP_ENTRY_OWN_REGION (constant after attach)
 * @pgoff: where it starts in ph_heap.filp (constant)
 * @nr_vmas: VMAs of the heap's own mm that map it: one, for a moment two inside
 *	mremap(), and none once the program unmapped it (ph_heap.lock)
 * @map: its page map, as long as that is mapped; or NULL (ph_heap.lock)
 * @map_base: address of that, or 0 (ph_heap.lock; read without it)
 * @nr_kept_pages: from the start; once committed they stay so until the heap
 *	ends, or the program itself decommits them (constant while the heap lives)
 * @chunks: struct ph_chunk by page number / PH_CHUNK_PAGES; grows under
 *	ph_heap.lock, entries stay until the last VMA ends
 * @first_chunks: the first entries of @chunks once more (as there)
 */
struct ph_region {
	struct ph_block_region blocks;
	refcount_t refs;
	struct ph_heap *heap;
	struct list_head node;
	struct list_head idle_node;
	pgoff_t pgoff;
	u32 number;
	unsigned int nr_vmas;
	struct ph_pagemap *map;
	unsigned long map_base;
	unsigned long nr_kept_pages;
	struct xarray chunks;
	struct ph_chunk *first_chunks[PH_FIRST_CHUNKS];
};

/* What one page table, and one huge page, covers with pages of 4 KiB. */
#define PH_CHUNK_PAGES	512UL
#define PH_CHUNK_BYTES	(PH_CHUNK_PAGES << PAGE_SHIFT)

/**
 * struct ph_chunk - the states of neighbouring pages of a region
 * @lock: taken for every change, by the fault handler too
 * @heap: whose page it is (constant)
 * @nr_resident: pages that are not NULL (@lock)
 * @has_tables: there are page tables for all of it (ph_heap.lock)
 * @huge: its memory is one huge page, of which it holds one reference; all of its
 *	pages are committed then (@lock and ph_heap.lock; set under @lock)
 * @committed: bit n is set when page n is committed (@lock; changed under
 *	ph_heap.lock as well, so either is enough to read it)
 * @tally: faults, see tally.h (@lock)
 * @idle: bit n is set when page n is committed and resident, but free; idle
 *	pages are counted in ph_heap.nr_idle (ph_heap.lock)
 * @shown: the entries of its pages in the region's page map, or NULL. Written with
 *	every change of a state (@lock; set under ph_heap.lock as well)
 * @zero: bit n is set when page n has to be zero when it gets memory; of no
 *	meaning while it has some, or is not committed (as @committed)
 * @pages: the memory; NULL if not resident. Not set while the page is not
 *	committed, but inside ph_commit_pages() (@lock). Itself NULL in a chunk
 *	without committed pages (@lock and ph_heap.lock)
 * @few: where @pages are if the region is short
 */
struct ph_chunk {
	struct mutex lock;
	struct ph_heap *heap;
	unsigned int nr_resident;
	bool has_tables;
	bool huge;
	DECLARE_BITMAP(committed, PH_CHUNK_PAGES);
	u8 tally[PH_NR_TALLIES];
	struct privheap_page *shown;
	DECLARE_BITMAP(idle, PH_CHUNK_PAGES);
	DECLARE_BITMAP(zero, PH_CHUNK_PAGES);
	struct page **pages;
	struct page *few[];
};

/**
 * struct ph_call - an ioctl in flight
 * @file: on which open file
 * @uarg: the caller's structure
 * @usize: its length as the caller gave it
 * @arg: the copy of it
 */
struct ph_call {
	struct ph_file *file;
	void __user *uarg;
	u32 usize;
	union ph_call_arg {
		struct privheap_info info;
		struct privheap_create create;
		struct privheap_destroy destroy;
		struct privheap_stat stat;
		struct privheap_alloc alloc;
		struct privheap_realloc realloc;
		struct privheap_free free;
		struct privheap_size size;
		struct privheap_walk walk;
		struct privheap_compact compact;
		struct privheap_policy policy;
		struct privheap_inject inject;
		struct privheap_reset reset;
		struct privheap_commit commit;
		struct privheap_decommit decommit;
		struct privheap_prefault prefault;
		struct privheap_limit limit;
		struct privheap_guard_alloc guard_alloc;
		struct privheap_guard_free guard_free;
		struct privheap_describe describe;
		struct privheap_take take;
		struct privheap_batch batch;
		struct privheap_count count;
		struct privheap_pagemap pagemap;
	} arg;
};

/**
 * ph_answer - write an answer to user space under a mutex
 * @answer: where to
 * @value: the answer
 *
 * Context: May be called with ph_heap.lock held: no page fault is served.
 * Return: 0, or -EFAULT when the page is not there now; the caller then drops
 * its locks, calls ph_answer_fault_in(), and starts again.
 */
static inline int ph_answer(u64 __user *answer, u64 value)
{
	int err;

	pagefault_disable();
	err = put_user(value, answer);
	pagefault_enable();
	return err;
}

/**
 * struct ph_ioctl - one call
 * @size: of its structure as the module knows it
 * @min_size: of the first version of that structure
 * @flags: all flags that it has
 * @handler: serves it
 */
struct ph_ioctl {
	u16 size;
	u16 min_size;
	u32 flags;
	int (*handler)(struct ph_call *call);
};

#define PH_NR_IOCTLS	(_IOC_NR(PRIVHEAP_IOC_PAGEMAP) + 1)

/**
 * ph_max_bytes - how large can a heap or a block be?
 *
 * Return: so many bytes; no size of the current task's may be larger.
 */
static inline u64 ph_max_bytes(void)
{
	unsigned long end = TASK_SIZE;

#ifdef DEFAULT_MAP_WINDOW
	/* Beyond it a program has to ask for addresses; heaps do not. */
	end = min(end, DEFAULT_MAP_WINDOW);
#endif
	return ALIGN_DOWN(end, PH_REGION_ALIGN);
}

/* file.c */
extern const struct file_operations ph_file_fops;
int ph_answer_fault_in(void __user *answer);
int ph_call_answer(struct ph_call *call);
void ph_file_publish(struct ph_file *file, struct ph_heap *heap);
struct ph_heap *ph_file_withdraw(struct ph_file *file, u64 id);

/* ioctl.c */
extern const struct ph_ioctl ph_ioctls[PH_NR_IOCTLS];

/**
 * ph_alloc_check - check what an allocation asks for
 * @arg: size and alignment; the default alignment is filled in
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP, -EOVERFLOW.
 */
static inline int ph_alloc_check(struct privheap_alloc *arg)
{
	if (!arg->align)
		arg->align = PH_BLOCK_ALIGN;
	if (!is_power_of_2(arg->align))
		return -EINVAL;
	if (arg->align > PH_BLOCK_ALIGN_MAX)
		return -EOPNOTSUPP;
	return arg->bytes > ph_max_bytes() ? -EOVERFLOW : 0;
}

/* front.c */
int ph_front_take(struct ph_heap *heap, struct ph_call *call);
int ph_front_batch(struct ph_heap *heap, struct privheap_batch *arg);
int ph_front_count(struct ph_heap *heap, const struct privheap_count *arg);
void ph_front_tell_locked(struct ph_heap *heap, u64 key);
void ph_front_uncount_locked(struct ph_heap *heap);
void ph_front_sum(struct ph_heap *heap, u64 *nr_blocks, u64 *allocated_bytes);

/* heap.c */
int ph_heap_cache_init(void);
void ph_heap_cache_exit(void);
int ph_heap_create(struct ph_call *call);
void ph_heap_destroy(struct ph_process *process, struct ph_heap *heap);
void ph_heap_end(struct ph_heap *heap);
void ph_heap_release(struct ph_heap *heap);
void ph_heap_region_unmapped(struct ph_heap *heap, struct ph_region *region);
void ph_heap_pagemap_unmapped_locked(struct ph_heap *heap,
				     struct ph_region *region);

/**
 * ph_heap_put - drop a reference to a heap
 * @heap: freed with the last one
 *
 * Context: May sleep; may be under mmap_lock.
 */
static inline void ph_heap_put(struct ph_heap *heap)
{
	if (refcount_dec_and_test(&heap->refs))
		ph_heap_release(heap);
}

/* The first heaps of a file are found without a search. */
static inline struct ph_heap *ph_file_find(struct ph_file *file, u32 index)
{
	if (likely(index < PH_FIRST_HEAPS))
		return rcu_dereference_check(
			file->first_heaps[array_index_nospec(index, PH_FIRST_HEAPS)],
			rcu_read_lock_sched_held() ||
			lockdep_is_held(&file->heaps.xa_lock));
	return xa_load(&file->heaps, index);
}

/**
 * ph_heap_get - find a heap, and take a reference to it
 * @file: the open file whose heap it is
 * @id: of the heap
 *
 * Return: the heap, or NULL.
 */
static __always_inline struct ph_heap *ph_heap_get(struct ph_file *file, u64 id)
{
	struct ph_heap *heap;

	/* A grace period waits for this, too, and it is a sixth of the other kind. */
	rcu_read_lock_sched();
	heap = ph_file_find(file, id);
	if (heap && !refcount_inc_not_zero(&heap->refs))
		heap = NULL;
	rcu_read_unlock_sched();
	if (unlikely(!heap))
		return NULL;
	smp_mb__after_atomic();	/* pairs with that of ph_retired_add() */
	if (likely(READ_ONCE(heap->id) == id))
		return heap;
	ph_heap_put(heap);
	return NULL;
}

/**
 * ph_heap_check_locked - may a call work on this heap?
 * @heap: the heap
 *
 * Context: Caller holds ph_heap.lock.
 * Return: 0, -EIDRM when the heap is dead, -ENXIO when it is being destroyed.
 */
static inline int ph_heap_check_locked(struct ph_heap *heap)
{
	lockdep_assert_held(&heap->lock);
	if (likely(heap->state == PH_HEAP_LIVE))
		return 0;
	return heap->state == PH_HEAP_DEAD ? -EIDRM : -ENXIO;
}

/**
 * ph_heap_find_region - find the region that an address lies in
 * @heap: a live heap
 * @addr: any address
 *
 * Context: Caller holds ph_heap.lock.
 * Return: the region, or NULL.
 */
static inline struct ph_region *ph_heap_find_region(struct ph_heap *heap,
						    unsigned long addr)
{
	struct ph_region *first = heap->first;

	if (addr - first->blocks.base < first->blocks.nr_pages << PAGE_SHIFT)
		return first;
	return mtree_load(&heap->others, addr);
}

/* heap_whole.c */
int ph_heap_stat(struct ph_heap *heap, struct privheap_stat *stat);
int ph_heap_compact(struct ph_heap *heap, struct privheap_compact *arg);
int ph_heap_reset(struct ph_heap *heap, struct privheap_reset *arg);
int ph_heap_policy(struct ph_heap *heap, const struct privheap_policy *arg,
		   unsigned int set);
int ph_heap_inject(struct ph_heap *heap, const struct privheap_inject *arg);

/* heap_block.c */
int ph_heap_alloc(struct ph_heap *heap, const struct privheap_alloc *arg,
		  u64 __user *answer);
int ph_heap_realloc(struct ph_heap *heap, const struct privheap_realloc *arg,
		    u64 __user *answer);
int ph_heap_free(struct ph_heap *heap, unsigned long addr);
int ph_heap_size(struct ph_heap *heap, struct privheap_size *arg);

/* heap_guard.c */
int ph_heap_guard_alloc(struct ph_heap *heap,
			const struct privheap_guard_alloc *arg,
			u64 __user *answer);
int ph_heap_guard_free(struct ph_heap *heap,
		       const struct privheap_guard_free *arg);
int ph_heap_describe(struct ph_heap *heap, struct privheap_describe *arg);

/* heap_region.c */
int ph_heap_mend(struct ph_heap *heap, int err, unsigned long bytes,
		 unsigned long align, struct ph_region **spare,
		 void __user *answer);

/* retire.c */
bool ph_retired_fits(const struct ph_heap *heap);
bool ph_retired_add(struct ph_process *process, struct ph_heap *heap);
struct ph_heap *ph_retired_take(struct ph_process *process,
				unsigned long nr_pages);
bool ph_retired_end(struct ph_process *process);

/* range.c */
int ph_range_prefault(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done);
int ph_range_commit(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done);
int ph_range_decommit(struct ph_heap *heap, u64 addr, u64 bytes, u64 *done);

/* walk.c */
int ph_walk(struct ph_heap *heap, struct privheap_walk *arg,
	    struct privheap_entry *entries, unsigned int nr_entries);
unsigned long ph_walk_largest_free(struct ph_heap *heap);

/* region.c */
int ph_region_mount(void);
void ph_region_unmount(void);
int ph_region_open(struct ph_heap *heap);
void ph_region_close(struct ph_heap *heap);
int ph_vma_may_split(struct vm_area_struct *vma, unsigned long addr);
int ph_vma_mremap(struct vm_area_struct *vma);
int ph_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
		    unsigned long end, unsigned long newflags);
long ph_region_map(struct ph_region *region, unsigned long prot, pgoff_t pgoff,
		   unsigned long nr_pages);
struct ph_region *ph_region_create(struct ph_heap *heap, unsigned long nr_pages);
void ph_region_unmap(struct ph_region *region);
bool ph_region_is_pristine(struct ph_heap *heap);
void ph_region_get(struct ph_region *region);
void ph_region_put(struct ph_region *region);

/* pagemap.c */
int ph_pagemap_get(struct ph_heap *heap, struct privheap_pagemap *arg);
int ph_pagemap_mmap(struct ph_region *region, struct vm_area_struct *vma);
void ph_pagemap_unmap(struct ph_region *region);
void ph_pagemap_end_locked(struct ph_region *region);
void ph_pagemap_mark(struct ph_region *region, unsigned long first,
		     unsigned long nr);
void ph_pagemap_trim(struct ph_region *region, unsigned long first,
		     unsigned long end);

/* Entries in a page of a page map. */
#define PH_PAGEMAP_ENTRIES	(PAGE_SIZE / sizeof(struct privheap_page))

/* How long the page map of so many pages is, in pages. */
static inline unsigned long ph_pagemap_pages(unsigned long nr_pages)
{
	return DIV_ROUND_UP(nr_pages, PH_PAGEMAP_ENTRIES);
}

/* In the heap's file a region is followed by its page map. The next one starts here. */
static inline pgoff_t ph_region_end_pgoff(const struct ph_region *region)
{
	return region->pgoff + region->blocks.nr_pages +
	       ph_pagemap_pages(region->blocks.nr_pages);
}

/* Is the heap to be out of reach of all but its program? */
static inline bool ph_heap_is_secret(const struct ph_heap *heap)
{
	return heap->flags & PRIVHEAP_CREATE_F_SECRET;
}

/* commit.c */
int ph_commit_pages(struct ph_region *region, unsigned long first,
		    unsigned long nr, bool backed);
int ph_commit_again(struct ph_region *region, unsigned long first,
		    unsigned long nr);
void ph_decommit_pages(struct ph_region *region, unsigned long first,
		       unsigned long nr);
void ph_commit_drop(struct ph_region *region, unsigned long first,
		    unsigned long nr);
int ph_decommit_now(struct ph_region *region, unsigned long first,
		    unsigned long nr);
void ph_commit_release(struct ph_region *region);
unsigned long ph_commit_resident(struct ph_region *region);
void ph_commit_reset(struct ph_heap *heap, unsigned long nr_keep);
bool ph_commit_stretch(struct ph_region *region, unsigned long first,
		       unsigned long *end);
unsigned long ph_commit_count(struct ph_region *region);
unsigned long ph_commit_extent(struct ph_region *region, unsigned long first,
			       unsigned long end, u32 *state);
void ph_commit_exit(struct ph_region *region);

/* idle.c */
unsigned long ph_idle_trim(struct ph_heap *heap);
int ph_idle_charge_above(struct ph_heap *heap, unsigned long nr_pages);
int ph_idle_init(void);
void ph_idle_exit(void);

/* table.c */
bool ph_table_reserve(unsigned int nr_pages);
int ph_table_check(struct ph_region *region, unsigned long first,
		   unsigned long end);
int ph_table_make(struct ph_heap *heap, struct ph_region *spare);
void ph_table_forget(struct ph_region *region);

/* fault.c */
long ph_fault_prefault(struct ph_region *region, unsigned long first,
		       unsigned long nr);
vm_fault_t ph_fault_serve(struct ph_region *region, struct vm_fault *vmf);

/* inject.c */
int ph_inject_check(const struct privheap_inject *arg);
void ph_inject_set_locked(struct ph_heap *heap, const struct privheap_inject *arg);

/* tally.c */
void ph_tally_exit(struct ph_heap *heap);
void ph_tally_clear(struct ph_heap *heap);
void ph_tally_keep(struct ph_heap *heap, const struct ph_chunk *chunk);
void ph_tally_faults(struct ph_heap *heap, u64 sums[PH_NR_TALLIES]);
void ph_tally_latencies(struct ph_heap *heap, u64 sums[PH_NR_LATENCIES]);
/* pool.c */
void ph_pool_init(struct ph_pool *pool);
void ph_pool_exit(struct ph_pool *pool);
void ph_pool_drain(struct ph_pool *pool);
int ph_pools_init(void);
void ph_pools_exit(void);

/* policy.c */
int ph_policy_check(u32 id, u32 window_pages);
bool ph_policy_is_huge(u32 id);
void ph_policy_set(struct ph_heap *heap, u32 id, u32 window_pages);
u32 ph_policy_id(const struct ph_heap *heap);
int ph_policy_init(void);

/* content.c */
void ph_content_zero(struct ph_region *region, unsigned long addr,
		     unsigned long bytes);
int ph_content_copy(struct ph_region *dst, unsigned long dst_addr,
		    struct ph_region *src, unsigned long src_addr,
		    unsigned long bytes);
void ph_content_move(struct ph_region *dst, unsigned long dst_first,
		     struct ph_region *src, unsigned long src_first,
		     unsigned long nr);

/* limits.c */
void ph_limit_init(struct ph_limit *limit, enum privheap_scope scope,
		   struct ph_limit *parent, unsigned long hard_pages);
struct ph_limit *ph_limit_charge_up(struct ph_limit *limit,
				    unsigned long nr_pages, enum ph_bound bound,
				    unsigned int *crossed);
void ph_limit_uncharge_up(struct ph_limit *limit, unsigned long nr_pages);
void ph_limit_uncharge_above(struct ph_heap *heap, unsigned long nr_pages);
int ph_limit_charge(struct ph_heap *heap, unsigned long nr_pages,
		    unsigned long nr_above);
void ph_limit_uncharge(struct ph_heap *heap, unsigned long nr_pages);
void ph_limit_settle(struct ph_heap *heap);
void ph_limit_report_refusal(struct ph_heap *heap);
bool ph_limit_is_near(struct ph_heap *heap);
bool ph_limit_is_below(struct ph_heap *heap, const struct ph_limit *node);
unsigned long ph_limit_usage(struct ph_limit *limit);
int ph_limit_set(struct ph_limit *limit, const struct ph_limit_change *change,
		 enum ph_limit_right right);
void ph_limit_reset(struct ph_limit *limit);
u64 ph_limit_bytes(unsigned long nr_pages);

/* stock.c */
bool ph_stock_take(enum ph_chain chain, struct ph_limit *limit,
		   unsigned long nr_pages, bool *filled);
bool ph_stock_put(enum ph_chain chain, struct ph_limit *limit,
		  unsigned long nr_pages);
unsigned long ph_stock_drain(struct ph_limit *limit);
void ph_stocks_init(void);

/* cgroup.c */
struct cgroup_subsys_state *ph_cgroup_open(int fd);
void ph_cgroup_close(struct cgroup_subsys_state *css);
u64 ph_cgroup_id(struct cgroup_subsys_state *css);
struct mem_cgroup *ph_cgroup_activate(struct cgroup_subsys_state *css);
void ph_cgroup_restore(struct mem_cgroup *outer);

/**
 * ph_cgroup_enter - allocate for a heap from here on
 * @cgroup: the heap's, or NULL
 *
 * Return: what ph_cgroup_leave() needs.
 */
static inline struct mem_cgroup *ph_cgroup_enter(struct ph_cgroup *cgroup)
{
	return unlikely(cgroup) ? ph_cgroup_activate(cgroup->css) : NULL;
}

/**
 * ph_cgroup_leave - the mirror of ph_cgroup_enter()
 * @cgroup: as there
 * @outer: what that returned
 */
static inline void ph_cgroup_leave(struct ph_cgroup *cgroup,
				   struct mem_cgroup *outer)
{
	if (unlikely(cgroup))
		ph_cgroup_restore(outer);
}

/* owner.c */
struct ph_process *ph_process_get(void);
struct ph_cgroup *ph_cgroup_get(int fd);
int ph_owner_add_heap(struct ph_heap *heap);
void ph_owner_publish_heap(struct ph_heap *heap);
void ph_owner_remove_heap(struct ph_heap *heap);
struct ph_limit *ph_limit_next(enum privheap_scope scope, unsigned long *key);
struct ph_limit *ph_limit_find(enum privheap_scope scope, u64 key);
struct ph_limit *ph_limit_find_user(kuid_t uid);
void ph_limit_put(struct ph_limit *limit);
struct ph_user *ph_limit_user(struct ph_limit *limit);
kuid_t ph_limit_owner(struct ph_limit *limit);
bool ph_owner_has_heap(struct ph_heap *heap);
void ph_owner_mark_idle(struct ph_heap *heap, bool idle);
struct ph_heap *ph_owner_next_idle(unsigned long *key);
unsigned int ph_owner_generation(void);
int ph_owners_init(void);
void ph_owners_exit(void);

/* netlink.c */
int ph_netlink_init(void);
void ph_netlink_exit(void);

/* event.c */
void ph_event_heap(enum privheap_event kind, struct ph_heap *heap);
void ph_event_commit(enum privheap_event kind, struct ph_heap *heap,
		     struct ph_limit *limit);
void ph_event_changed(struct ph_limit *limit);
void ph_event_misuse(struct ph_process *process, struct ph_heap *heap,
		     const struct ph_misuse *misuse);

#endif /* _PRIVHEAP_INTERNAL_H */
