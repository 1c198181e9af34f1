// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inside of one heap, as an operator sees it: its regions, what their pages are
 * used for, the size classes of its blocks, and its faults.
 *
 * These lists are made under ph_heap.lock, a message at a time: what is in one
 * message was so at one moment. The asker waits for the lock and can be killed
 * then. A list of regions or pages goes by address and remembers the next one.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "netlink.h"

/**
 * struct ph_inspection - such a list in the making, in netlink_callback.ctx
 * @asker: for whom
 * @serial: of the heap
 * @next: address that comes next; of other lists, the number
 * @end: of the part of the heap that is asked for
 */
struct ph_inspection {
	struct ph_asker asker;
	u64 serial;
	unsigned long next;
	unsigned long end;
};

/* What ph_inspect() calls under ph_heap.lock to fill a message. */
typedef int ph_inspect_fill(struct sk_buff *skb, struct netlink_callback *cb,
			    struct ph_heap *heap);

static struct ph_inspection *ph_inspection_of(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct ph_inspection) > sizeof(cb->ctx));
	return (struct ph_inspection *)cb->ctx;
}

static int ph_inspect_start(struct netlink_callback *cb,
			    const struct nlattr *serial)
{
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct ph_heap *heap;

	ph_asker_init(&inspection->asker, cb->skb);
	heap = ph_netlink_find_heap(&inspection->asker, serial, cb->extack);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	inspection->serial = heap->limit.key;
	inspection->next = 0;
	inspection->end = ULONG_MAX;
	ph_heap_put(heap);
	return 0;
}

/* The heap may have been destroyed between two messages: that ends the list. */
static int ph_inspect(struct sk_buff *skb, struct netlink_callback *cb,
		      ph_inspect_fill *fill)
{
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct ph_limit *limit;
	struct ph_heap *heap;
	int err;

	limit = ph_limit_find(PRIVHEAP_SCOPE_HEAP, inspection->serial);
	if (!limit)
		return -ENOENT;
	heap = container_of(limit, struct ph_heap, limit);
	/* What may be seen can change between two messages, too. */
	err = ph_asker_sees(&inspection->asker, limit) ?
	      mutex_lock_killable(&heap->lock) : -ENOENT;
	if (!err) {
		err = fill(skb, cb, heap);
		mutex_unlock(&heap->lock);
	}
	ph_heap_put(heap);
	return skb->len ?: err;
}

static void *ph_inspect_begin(struct sk_buff *skb, struct netlink_callback *cb,
			      u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &ph_family, NLM_F_MULTI, cmd);
}

static unsigned long ph_inspect_region_end(struct ph_region *region)
{
	return region->blocks.base + (region->blocks.nr_pages << PAGE_SHIFT);
}

/* The region that an address lies in, or the next one after it. */
static struct ph_region *ph_inspect_region(struct ph_heap *heap,
					   unsigned long addr)
{
	struct ph_region *first = heap->first, *other;
	unsigned long index = addr;

	lockdep_assert_held(&heap->lock);
	other = mt_find(&heap->others, &index, ULONG_MAX);
	if (!first || addr >= ph_inspect_region_end(first))
		return other;
	return other && other->blocks.base < first->blocks.base ? other : first;
}

static int ph_region_put_attrs(struct sk_buff *skb, struct ph_region *region)
{
	u32 flags = region->blocks.dedicated ? PRIVHEAP_REGION_F_OWN : 0;

	if (ph_put_u64(skb, PRIVHEAP_A_REGION_ADDR, region->blocks.base) ||
	    ph_put_u64(skb, PRIVHEAP_A_REGION_BYTES,
		       (u64)region->blocks.nr_pages << PAGE_SHIFT) ||
	    ph_put_u64(skb, PRIVHEAP_A_REGION_COMMITTED_BYTES,
		       (u64)ph_commit_count(region) << PAGE_SHIFT) ||
	    ph_put_u64(skb, PRIVHEAP_A_REGION_RESIDENT_BYTES,
		       (u64)ph_commit_resident(region) << PAGE_SHIFT) ||
	    nla_put_u32(skb, PRIVHEAP_A_REGION_NUMBER, region->number) ||
	    nla_put_u32(skb, PRIVHEAP_A_REGION_FLAGS, flags))
		return -EMSGSIZE;
	return 0;
}

static int ph_regions_fill(struct sk_buff *skb, struct netlink_callback *cb,
			   struct ph_heap *heap)
{
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct ph_region *region;
	void *hdr;

	while ((region = ph_inspect_region(heap, inspection->next))) {
		hdr = ph_inspect_begin(skb, cb, PRIVHEAP_CMD_REGION_GET);
		if (!hdr)
			return -EMSGSIZE;
		if (ph_region_put_attrs(skb, region)) {
			genlmsg_cancel(skb, hdr);
			return -EMSGSIZE;
		}
		genlmsg_end(skb, hdr);
		inspection->next = ph_inspect_region_end(region);
	}
	return 0;
}

/**
 * ph_region_list_start - begin PRIVHEAP_CMD_REGION_GET
 * @cb: the list
 *
 * Return: 0, -EINVAL without a serial number, -ENOENT.
 */
int ph_region_list_start(struct netlink_callback *cb)
{
	return ph_inspect_start(cb, genl_info_dump(cb)->attrs[PRIVHEAP_A_REGION_SERIAL]);
}

/**
 * ph_region_list_dumpit - a message of PRIVHEAP_CMD_REGION_GET
 * @skb: the message
 * @cb: the list
 *
 * Return: its length, 0 at the end, -ENOENT when the heap is gone, -EINTR.
 */
int ph_region_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return ph_inspect(skb, cb, ph_regions_fill);
}

/**
 * struct ph_piece - pages that follow each other and are alike
 * @start: address of the first one
 * @end: address behind the last one
 * @state: enum privheap_page_state
 * @use: enum privheap_page_use
 * @slot_bytes: if they belong to spans
 */
struct ph_piece {
	unsigned long start;
	unsigned long end;
	u32 state;
	u32 use;
	u32 slot_bytes;
};

static const u32 ph_uses[] = {
	[PH_RUN_FREE]	= PRIVHEAP_PAGE_FREE,
	[PH_RUN_SPAN]	= PRIVHEAP_PAGE_SPAN,
	[PH_RUN_LARGE]	= PRIVHEAP_PAGE_LARGE,
	[PH_RUN_GUARDED] = PRIVHEAP_PAGE_GUARDED,
	[PH_RUN_QUARANTINED] = PRIVHEAP_PAGE_QUARANTINED,
	/* Of slots that the kernel does not know. */
	[PH_RUN_TAKEN]	= PRIVHEAP_PAGE_SPAN,
};

/* The pages from an address on that one run and one state have. */
static void ph_piece_at(struct ph_region *region, unsigned long addr,
			unsigned long end, struct ph_piece *piece)
{
	unsigned long base = region->blocks.base;
	struct ph_block_run run;

	ph_block_run_at(&region->blocks, addr, &run);
	end = min(end, run.start + (run.nr_pages << PAGE_SHIFT));
	piece->start = addr;
	piece->use = ph_uses[run.kind];
	piece->slot_bytes = run.slot_bytes;
	piece->end = base + (ph_commit_extent(region, (addr - base) >> PAGE_SHIFT,
					      (end - base) >> PAGE_SHIFT,
					      &piece->state) << PAGE_SHIFT);
}

/* The same with the pieces that follow and are alike. */
static void ph_piece_collect(struct ph_region *region, unsigned long addr,
			     unsigned long end, struct ph_piece *piece)
{
	struct ph_piece next;

	ph_piece_at(region, addr, end, piece);
	while (piece->end < end) {
		ph_piece_at(region, piece->end, end, &next);
		if (next.state != piece->state || next.use != piece->use ||
		    next.slot_bytes != piece->slot_bytes)
			break;
		piece->end = next.end;
		cond_resched();
	}
}

static int ph_piece_put(struct sk_buff *skb, struct netlink_callback *cb,
			const struct ph_piece *piece)
{
	void *hdr = ph_inspect_begin(skb, cb, PRIVHEAP_CMD_MAP_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (ph_put_u64(skb, PRIVHEAP_A_MAP_ADDR, piece->start) ||
	    ph_put_u64(skb, PRIVHEAP_A_MAP_NR_PAGES,
		       (piece->end - piece->start) >> PAGE_SHIFT) ||
	    nla_put_u32(skb, PRIVHEAP_A_MAP_STATE, piece->state) ||
	    nla_put_u32(skb, PRIVHEAP_A_MAP_USE, piece->use) ||
	    (piece->slot_bytes &&
	     nla_put_u32(skb, PRIVHEAP_A_MAP_SLOT_BYTES, piece->slot_bytes))) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int ph_map_fill(struct sk_buff *skb, struct netlink_callback *cb,
		       struct ph_heap *heap)
{
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct ph_region *region;
	struct ph_piece piece;
	unsigned long start;
	int err;

	while ((region = ph_inspect_region(heap, inspection->next))) {
		start = max(inspection->next, region->blocks.base);
		if (start >= inspection->end)
			break;
		ph_piece_collect(region, start,
				 min(inspection->end,
				     ph_inspect_region_end(region)), &piece);
		err = ph_piece_put(skb, cb, &piece);
		if (err)
			return err;
		inspection->next = piece.end;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/**
 * ph_map_list_start - begin PRIVHEAP_CMD_MAP_GET
 * @cb: the list
 *
 * Return: 0, -EINVAL without a serial number or for an empty part, -ENOENT.
 */
int ph_map_list_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = genl_info_dump(cb)->attrs;
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct nlattr *start = attrs[PRIVHEAP_A_MAP_START];
	struct nlattr *end = attrs[PRIVHEAP_A_MAP_END];
	int err;

	err = ph_inspect_start(cb, attrs[PRIVHEAP_A_MAP_SERIAL]);
	if (err)
		return err;
	if (start)
		inspection->next = nla_get_u64(start) & PAGE_MASK;
	if (end && nla_get_u64(end) < ULONG_MAX - PAGE_SIZE)
		inspection->end = PAGE_ALIGN(nla_get_u64(end));
	if (inspection->next >= inspection->end) {
		NL_SET_ERR_MSG_ATTR(cb->extack, end, "END is not above START");
		return -EINVAL;
	}
	return 0;
}

/**
 * ph_map_list_dumpit - a message of PRIVHEAP_CMD_MAP_GET
 * @skb: the message
 * @cb: the list
 *
 * Return: its length, 0 at the end, -ENOENT when the heap is gone, -EINTR.
 */
int ph_map_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return ph_inspect(skb, cb, ph_map_fill);
}

/* The spans of one size class, added up. */
struct ph_class_sum {
	u64 nr_spans;
	u64 nr_pages;
	u64 nr_blocks;
	u64 nr_free;
	u64 bytes;
	u32 slot_bytes;
};

static void ph_classes_add(struct ph_class_sum *sums,
			   struct ph_block_region *blocks)
{
	unsigned long addr = blocks->base;
	unsigned long end = addr + (blocks->nr_pages << PAGE_SHIFT);
	struct ph_block_run run;
	struct ph_class_sum *sum;

	for (; addr < end; addr = run.start + (run.nr_pages << PAGE_SHIFT)) {
		ph_block_run_at(blocks, addr, &run);
		cond_resched();
		if (run.kind != PH_RUN_SPAN)
			continue;
		sum = &sums[run.class];
		sum->slot_bytes = run.slot_bytes;
		sum->nr_spans++;
		sum->nr_pages += run.nr_pages;
		sum->nr_blocks += run.nr_blocks;
		sum->nr_free += run.nr_free;
		sum->bytes += run.bytes;
	}
}

static int ph_class_put(struct sk_buff *skb, struct netlink_callback *cb,
			const struct ph_class_sum *sum)
{
	void *hdr = ph_inspect_begin(skb, cb, PRIVHEAP_CMD_CLASS_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (nla_put_u32(skb, PRIVHEAP_A_CLASS_SLOT_BYTES, sum->slot_bytes) ||
	    ph_put_u64(skb, PRIVHEAP_A_CLASS_NR_SPANS, sum->nr_spans) ||
	    ph_put_u64(skb, PRIVHEAP_A_CLASS_NR_PAGES, sum->nr_pages) ||
	    ph_put_u64(skb, PRIVHEAP_A_CLASS_NR_BLOCKS, sum->nr_blocks) ||
	    ph_put_u64(skb, PRIVHEAP_A_CLASS_NR_FREE, sum->nr_free) ||
	    ph_put_u64(skb, PRIVHEAP_A_CLASS_ALLOCATED_BYTES, sum->bytes)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int ph_classes_fill(struct sk_buff *skb, struct netlink_callback *cb,
			   struct ph_heap *heap)
{
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct ph_class_sum *sums;
	struct ph_region *region;
	int err = 0;

	sums = kcalloc(PH_NR_CLASSES, sizeof(*sums), GFP_KERNEL);
	if (!sums)
		return -ENOMEM;
	list_for_each_entry(region, &heap->regions, node)
		ph_classes_add(sums, &region->blocks);
	for (; inspection->next < PH_NR_CLASSES && !err; inspection->next++) {
		if (sums[inspection->next].nr_spans)
			err = ph_class_put(skb, cb, &sums[inspection->next]);
	}
	if (err)
		inspection->next--;
	kfree(sums);
	return err;
}

/**
 * ph_class_list_start - begin PRIVHEAP_CMD_CLASS_GET
 * @cb: the list
 *
 * Return: 0, -EINVAL without a serial number, -ENOENT.
 */
int ph_class_list_start(struct netlink_callback *cb)
{
	return ph_inspect_start(cb, genl_info_dump(cb)->attrs[PRIVHEAP_A_CLASS_SERIAL]);
}

/**
 * ph_class_list_dumpit - a message of PRIVHEAP_CMD_CLASS_GET
 * @skb: the message
 * @cb: the list
 *
 * Return: its length, 0 at the end, -ENOENT when the heap is gone, -ENOMEM,
 * -EINTR.
 */
int ph_class_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return ph_inspect(skb, cb, ph_classes_fill);
}

/* All that is counted: first by kind, then by time. */
struct ph_fault_sums {
	u64 kinds[PH_NR_TALLIES];
	u64 latencies[PH_NR_LATENCIES];
};

#define PH_NR_FAULT_SUMS	(PH_NR_TALLIES + PH_NR_LATENCIES)

static int ph_fault_put_kind(struct sk_buff *skb, unsigned int i)
{
	if (i >= PH_NR_TALLIES)
		return ph_put_u64(skb, PRIVHEAP_A_FAULT_LATENCY_NS,
				  BIT_ULL(i - PH_NR_TALLIES));
	if (nla_put_u32(skb, PRIVHEAP_A_FAULT_SOURCE, i / PH_NR_ORDERS) ||
	    nla_put_u32(skb, PRIVHEAP_A_FAULT_ORDER, i % PH_NR_ORDERS))
		return -EMSGSIZE;
	return 0;
}

static int ph_fault_put(struct sk_buff *skb, struct netlink_callback *cb,
			unsigned int i, u64 nr_faults)
{
	void *hdr = ph_inspect_begin(skb, cb, PRIVHEAP_CMD_FAULT_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (ph_fault_put_kind(skb, i) ||
	    ph_put_u64(skb, PRIVHEAP_A_FAULT_NR_FAULTS, nr_faults)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int ph_faults_fill(struct sk_buff *skb, struct netlink_callback *cb,
			  struct ph_heap *heap)
{
	struct ph_inspection *inspection = ph_inspection_of(cb);
	struct ph_fault_sums *sums;
	unsigned long i;
	int err = 0;
	u64 nr;

	if (inspection->next >= PH_NR_FAULT_SUMS)
		return 0;
	sums = kmalloc(sizeof(*sums), GFP_KERNEL);
	if (!sums)
		return -ENOMEM;
	ph_tally_faults(heap, sums->kinds);
	ph_tally_latencies(heap, sums->latencies);
	for (i = inspection->next; i < PH_NR_FAULT_SUMS; i++) {
		nr = i < PH_NR_TALLIES ? sums->kinds[i] :
					 sums->latencies[i - PH_NR_TALLIES];
		if (nr)
			err = ph_fault_put(skb, cb, i, nr);
		if (err)
			break;
	}
	inspection->next = i;
	kfree(sums);
	return err;
}

/**
 * ph_fault_list_start - begin PRIVHEAP_CMD_FAULT_GET
 * @cb: the list
 *
 * Return: 0, -EINVAL without a serial number, -ENOENT.
 */
int ph_fault_list_start(struct netlink_callback *cb)
{
	return ph_inspect_start(cb, genl_info_dump(cb)->attrs[PRIVHEAP_A_FAULT_SERIAL]);
}

/**
 * ph_fault_list_dumpit - a message of PRIVHEAP_CMD_FAULT_GET
 * @skb: the message
 * @cb: the list
 *
 * Return: its length, 0 at the end, -ENOENT when the heap is gone, -ENOMEM,
 * -EINTR.
 */
int ph_fault_list_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return ph_inspect(skb, cb, ph_faults_fill);
}
