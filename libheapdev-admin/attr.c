// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Attributes of a message -> members of a structure, by tables.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

static const struct hda_member limit_members[] = {
	[PRIVHEAP_A_LIMIT_SCOPE] = HDA_MEMBER(U32, limit, scope),
	[PRIVHEAP_A_LIMIT_KEY] = HDA_MEMBER(U64, limit, key),
	[PRIVHEAP_A_LIMIT_HARD_BYTES] = HDA_MEMBER(U64, limit, hard_bytes),
	[PRIVHEAP_A_LIMIT_SOFT_BYTES] = HDA_MEMBER(U64, limit, soft_bytes),
	[PRIVHEAP_A_LIMIT_GRACE_BYTES] = HDA_MEMBER(U64, limit, grace_bytes),
	[PRIVHEAP_A_LIMIT_USAGE_BYTES] = HDA_MEMBER(U64, limit, usage_bytes),
	[PRIVHEAP_A_LIMIT_PEAK_BYTES] = HDA_MEMBER(U64, limit, peak_bytes),
	[PRIVHEAP_A_LIMIT_NR_FAILURES] = HDA_MEMBER(U64, limit, nr_failures),
	[PRIVHEAP_A_LIMIT_NR_SOFT_HITS] = HDA_MEMBER(U64, limit, nr_soft_hits),
	[PRIVHEAP_A_LIMIT_PID] = HDA_MEMBER(U32, limit, pid),
	[PRIVHEAP_A_LIMIT_UID] = HDA_MEMBER(U32, limit, uid),
	[PRIVHEAP_A_LIMIT_COMM] = HDA_MEMBER(TEXT, limit, comm),
};

const struct hda_layout hda_limit_layout =
	HDA_LAYOUT(limit, .pid = HEAPDEV_ADMIN_NOBODY,
		   .uid = HEAPDEV_ADMIN_NOBODY);

static const struct hda_member heap_members[] = {
	[PRIVHEAP_A_HEAP_SERIAL] = HDA_MEMBER(U64, heap, serial),
	[PRIVHEAP_A_HEAP_ID] = HDA_MEMBER(U64, heap, id),
	[PRIVHEAP_A_HEAP_PID] = HDA_MEMBER(U32, heap, pid),
	[PRIVHEAP_A_HEAP_COMM] = HDA_MEMBER(TEXT, heap, comm),
	[PRIVHEAP_A_HEAP_UID] = HDA_MEMBER(U32, heap, uid),
	[PRIVHEAP_A_HEAP_FLAGS] = HDA_MEMBER(U32, heap, flags),
	[PRIVHEAP_A_HEAP_STATE] = HDA_MEMBER(U32, heap, state),
	[PRIVHEAP_A_HEAP_BASE] = HDA_MEMBER(U64, heap, base),
	[PRIVHEAP_A_HEAP_MAX_BYTES] = HDA_MEMBER(U64, heap, max_bytes),
	[PRIVHEAP_A_HEAP_RESERVED_BYTES] = HDA_MEMBER(U64, heap, reserved_bytes),
	[PRIVHEAP_A_HEAP_COMMITTED_BYTES] = HDA_MEMBER(U64, heap, committed_bytes),
	[PRIVHEAP_A_HEAP_RESIDENT_BYTES] = HDA_MEMBER(U64, heap, resident_bytes),
	[PRIVHEAP_A_HEAP_ALLOCATED_BYTES] = HDA_MEMBER(U64, heap, allocated_bytes),
	[PRIVHEAP_A_HEAP_NR_BLOCKS] = HDA_MEMBER(U64, heap, nr_blocks),
	[PRIVHEAP_A_HEAP_NR_REGIONS] = HDA_MEMBER(U32, heap, nr_regions),
	[PRIVHEAP_A_HEAP_META_BYTES] = HDA_MEMBER(U64, heap, meta_bytes),
	[PRIVHEAP_A_HEAP_LIMIT] =
		HDA_MEMBER_NEST(heap, limit, &hda_limit_layout),
	[PRIVHEAP_A_HEAP_CGROUP] = HDA_MEMBER(U64, heap, cgroup),
	[PRIVHEAP_A_HEAP_POLICY] = HDA_MEMBER(U32, heap, policy),
	[PRIVHEAP_A_HEAP_WINDOW_PAGES] = HDA_MEMBER(U32, heap, window_pages),
	[PRIVHEAP_A_HEAP_IDLE_BYTES] = HDA_MEMBER(U64, heap, idle_bytes),
	[PRIVHEAP_A_HEAP_MAX_IDLE_BYTES] = HDA_MEMBER(U64, heap, max_idle_bytes),
	[PRIVHEAP_A_HEAP_NR_INJECTED] = HDA_MEMBER(U64, heap, nr_injected),
	[PRIVHEAP_A_HEAP_INJECT_NTH] = HDA_MEMBER(U64, heap, inject_nth),
	[PRIVHEAP_A_HEAP_INJECT_RATE_PPM] =
		HDA_MEMBER(U32, heap, inject_rate_ppm),
};

const struct hda_layout hda_heap_layout =
	HDA_LAYOUT(heap, .limit = HDA_BLANK_LIMIT);

/* A text that is too long is cut off. */
static void fill_text(char *text, size_t room, struct nlattr *attr)
{
	size_t bytes = nla_len(attr);

	if (bytes > room - 1)
		bytes = room - 1;
	memcpy(text, nla_data(attr), bytes);
	text[bytes] = '\0';
}

static int fill_member(const struct hda_member *member, void *place,
		       struct nlattr *attr)
{
	switch (member->kind) {
	case HDA_U32:
	case HDA_U64:
		if ((size_t)nla_len(attr) < member->bytes)
			return -EPROTO;
		memcpy(place, nla_data(attr), member->bytes);
		return 0;
	case HDA_TEXT:
		fill_text(place, member->bytes, attr);
		return 0;
	case HDA_NEST:
		return hda_fill(member->nest, place, nla_data(attr),
				nla_len(attr));
	case HDA_UNKNOWN:
		break;
	}
	return 0;
}

int hda_fill(const struct hda_layout *layout, void *object,
	     struct nlattr *head, int bytes)
{
	const struct hda_member *member;
	struct nlattr *attr;
	int rest, err;

	nla_for_each_attr(attr, head, bytes, rest) {
		if ((size_t)nla_type(attr) >= layout->nr_members)
			continue;
		member = &layout->members[nla_type(attr)];
		err = fill_member(member, (char *)object + member->offset, attr);
		if (err)
			return err;
	}
	return 0;
}
