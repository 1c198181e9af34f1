// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Heaps, and what is in them.
 */
#include "internal.h"

static const struct hda_member region_members[] = {
	[PRIVHEAP_A_REGION_ADDR] = HDA_MEMBER(U64, region, addr),
	[PRIVHEAP_A_REGION_BYTES] = HDA_MEMBER(U64, region, bytes),
	[PRIVHEAP_A_REGION_COMMITTED_BYTES] =
		HDA_MEMBER(U64, region, committed_bytes),
	[PRIVHEAP_A_REGION_RESIDENT_BYTES] =
		HDA_MEMBER(U64, region, resident_bytes),
	[PRIVHEAP_A_REGION_NUMBER] = HDA_MEMBER(U32, region, number),
	[PRIVHEAP_A_REGION_FLAGS] = HDA_MEMBER(U32, region, flags),
};

static const struct hda_layout region_layout = HDA_LAYOUT(region, 0);

static const struct hda_member class_members[] = {
	[PRIVHEAP_A_CLASS_SLOT_BYTES] = HDA_MEMBER(U32, class, slot_bytes),
	[PRIVHEAP_A_CLASS_NR_SPANS] = HDA_MEMBER(U64, class, nr_spans),
	[PRIVHEAP_A_CLASS_NR_PAGES] = HDA_MEMBER(U64, class, nr_pages),
	[PRIVHEAP_A_CLASS_NR_BLOCKS] = HDA_MEMBER(U64, class, nr_blocks),
	[PRIVHEAP_A_CLASS_NR_FREE] = HDA_MEMBER(U64, class, nr_free),
	[PRIVHEAP_A_CLASS_ALLOCATED_BYTES] =
		HDA_MEMBER(U64, class, allocated_bytes),
};

static const struct hda_layout class_layout = HDA_LAYOUT(class, 0);

static const struct hda_member run_members[] = {
	[PRIVHEAP_A_MAP_ADDR] = HDA_MEMBER(U64, run, addr),
	[PRIVHEAP_A_MAP_NR_PAGES] = HDA_MEMBER(U64, run, nr_pages),
	[PRIVHEAP_A_MAP_STATE] = HDA_MEMBER(U32, run, state),
	[PRIVHEAP_A_MAP_USE] = HDA_MEMBER(U32, run, use),
	[PRIVHEAP_A_MAP_SLOT_BYTES] = HDA_MEMBER(U32, run, slot_bytes),
};

static const struct hda_layout run_layout = HDA_LAYOUT(run, 0);

static const struct hda_member fault_members[] = {
	[PRIVHEAP_A_FAULT_SOURCE] = HDA_MEMBER(U32, fault, source),
	[PRIVHEAP_A_FAULT_ORDER] = HDA_MEMBER(U32, fault, order),
	[PRIVHEAP_A_FAULT_LATENCY_NS] = HDA_MEMBER(U64, fault, latency_ns),
	[PRIVHEAP_A_FAULT_NR_FAULTS] = HDA_MEMBER(U64, fault, nr_faults),
};

static const struct hda_layout fault_layout = HDA_LAYOUT(fault, 0);

HDA_EACH(heap)
HDA_EACH(region)
HDA_EACH(class)
HDA_EACH(run)
HDA_EACH(fault)

static void put_filter(struct nl_msg *msg,
		       const struct heapdev_admin_filter *filter)
{
	if (filter->fields & HEAPDEV_ADMIN_BY_HEAP)
		nla_put_u64(msg, PRIVHEAP_A_HEAP_SERIAL, filter->serial);
	if (filter->fields & HEAPDEV_ADMIN_BY_PID)
		nla_put_u32(msg, PRIVHEAP_A_HEAP_PID, filter->pid);
	if (filter->fields & HEAPDEV_ADMIN_BY_USER)
		nla_put_u32(msg, PRIVHEAP_A_HEAP_UID, filter->uid);
}

int heapdev_admin_list_heaps(struct heapdev_admin *admin,
			     const struct heapdev_admin_filter *filter,
			     int (*each)(const struct heapdev_admin_heap *heap,
					 void *arg),
			     void *arg)
{
	struct each_heap wrapped = { each, arg };
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_HEAP_GET, NLM_F_DUMP);
	if (msg && filter)
		put_filter(msg, filter);
	return hda_ask(admin, msg, &hda_heap_layout, each_heap, &wrapped);
}

int heapdev_admin_get_heap(struct heapdev_admin *admin, uint64_t serial,
			   const struct heapdev_admin_heap **heap)
{
	struct nl_msg *msg = hda_question(admin, PRIVHEAP_CMD_HEAP_GET, 0);
	const void *object;
	int err;

	if (msg)
		nla_put_u64(msg, PRIVHEAP_A_HEAP_SERIAL, serial);
	err = hda_ask_one(admin, msg, &hda_heap_layout, &object);
	if (!err)
		*heap = object;
	return err;
}

int heapdev_admin_list_regions(struct heapdev_admin *admin, uint64_t serial,
			       int (*each)(const struct heapdev_admin_region *region,
					   void *arg),
			       void *arg)
{
	struct each_region wrapped = { each, arg };
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_REGION_GET, NLM_F_DUMP);
	if (msg)
		nla_put_u64(msg, PRIVHEAP_A_REGION_SERIAL, serial);
	return hda_ask(admin, msg, &region_layout, each_region, &wrapped);
}

int heapdev_admin_list_classes(struct heapdev_admin *admin, uint64_t serial,
			       int (*each)(const struct heapdev_admin_class *size_class,
					   void *arg),
			       void *arg)
{
	struct each_class wrapped = { each, arg };
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_CLASS_GET, NLM_F_DUMP);
	if (msg)
		nla_put_u64(msg, PRIVHEAP_A_CLASS_SERIAL, serial);
	return hda_ask(admin, msg, &class_layout, each_class, &wrapped);
}

int heapdev_admin_list_runs(struct heapdev_admin *admin, uint64_t serial,
			    uint64_t start, uint64_t end,
			    int (*each)(const struct heapdev_admin_run *run,
					void *arg),
			    void *arg)
{
	struct each_run wrapped = { each, arg };
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_MAP_GET, NLM_F_DUMP);
	if (msg) {
		nla_put_u64(msg, PRIVHEAP_A_MAP_SERIAL, serial);
		if (start)
			nla_put_u64(msg, PRIVHEAP_A_MAP_START, start);
		if (end != UINT64_MAX)
			nla_put_u64(msg, PRIVHEAP_A_MAP_END, end);
	}
	return hda_ask(admin, msg, &run_layout, each_run, &wrapped);
}

int heapdev_admin_list_faults(struct heapdev_admin *admin, uint64_t serial,
			      int (*each)(const struct heapdev_admin_fault *fault,
					  void *arg),
			      void *arg)
{
	struct each_fault wrapped = { each, arg };
	struct nl_msg *msg;

	msg = hda_question(admin, PRIVHEAP_CMD_FAULT_GET, NLM_F_DUMP);
	if (msg)
		nla_put_u64(msg, PRIVHEAP_A_FAULT_SERIAL, serial);
	return hda_ask(admin, msg, &fault_layout, each_fault, &wrapped);
}

static void put_settings(struct nl_msg *msg,
			 const struct heapdev_admin_settings *settings)
{
	if (settings->fields & HEAPDEV_ADMIN_SET_POLICY)
		nla_put_u32(msg, PRIVHEAP_A_HEAP_POLICY, settings->policy);
	if (settings->fields & HEAPDEV_ADMIN_SET_WINDOW)
		nla_put_u32(msg, PRIVHEAP_A_HEAP_WINDOW_PAGES,
			    settings->window_pages);
	if (settings->fields & HEAPDEV_ADMIN_SET_MAX_IDLE)
		nla_put_u64(msg, PRIVHEAP_A_HEAP_MAX_IDLE_BYTES,
			    settings->max_idle_bytes);
	if (!(settings->fields & HEAPDEV_ADMIN_SET_INJECT))
		return;
	nla_put_u64(msg, PRIVHEAP_A_HEAP_INJECT_NTH, settings->inject_nth);
	nla_put_u32(msg, PRIVHEAP_A_HEAP_INJECT_RATE_PPM,
		    settings->inject_rate_ppm);
	nla_put_u64(msg, PRIVHEAP_A_HEAP_INJECT_SEED, settings->inject_seed);
}

int heapdev_admin_set_heap(struct heapdev_admin *admin, uint64_t serial,
			   const struct heapdev_admin_settings *settings)
{
	struct nl_msg *msg = hda_question(admin, PRIVHEAP_CMD_HEAP_SET, 0);

	if (msg) {
		nla_put_u64(msg, PRIVHEAP_A_HEAP_SERIAL, serial);
		put_settings(msg, settings);
	}
	return hda_ask(admin, msg, NULL, NULL, NULL);
}
