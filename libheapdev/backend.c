// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The calls of the uapi as functions. Nothing else in the library fills one of
 * its structures.
 */
#include "internal.h"

int hd_backend_create(uint32_t flags, uint64_t initial_bytes,
		      uint64_t max_bytes, uint64_t quarantine_bytes,
		      const HEAPDEV_OPTIONS *options, uint64_t *id,
		      void **base)
{
	struct privheap_create arg = {
		.size = sizeof(arg),
		.flags = flags,
		.initial_bytes = initial_bytes,
		.max_bytes = max_bytes,
		.quarantine_bytes = quarantine_bytes,
	};
	int err;

	if (options) {
		arg.limit_bytes = options->LimitBytes;
		arg.soft_bytes = options->SoftBytes;
		arg.grace_bytes = options->GraceBytes;
		arg.cgroup_fd = options->CgroupFd;
		arg.policy = options->Policy;
	}
	err = hd_device_call(PRIVHEAP_IOC_CREATE, &arg);
	if (err)
		return err;
	*id = arg.out_heap;
	*base = (void *)(uintptr_t)arg.out_base;
	return 0;
}

int hd_backend_destroy(uint64_t id)
{
	struct privheap_destroy arg = {
		.size = sizeof(arg),
		.heap = id,
	};

	return hd_device_call(PRIVHEAP_IOC_DESTROY, &arg);
}

int hd_backend_stat(uint64_t id, struct hd_usage *usage)
{
	struct privheap_stat arg = {
		.size = sizeof(arg),
		.heap = id,
	};
	int err = hd_device_call(PRIVHEAP_IOC_STAT, &arg);

	if (err)
		return err;
	*usage = (struct hd_usage) {
		.dead = arg.out_state & PRIVHEAP_STAT_S_DEAD,
		.max_bytes = arg.out_max_bytes,
		.limit_bytes = arg.out_limit_bytes,
		.reserved_bytes = arg.out_reserved_bytes,
		.committed_bytes = arg.out_committed_bytes,
		.allocated_bytes = arg.out_allocated_bytes,
	};
	return 0;
}

int hd_backend_alloc(uint64_t id, uint32_t flags, size_t bytes, void **block,
		     DWORD *scopes)
{
	struct privheap_alloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = id,
		.bytes = bytes,
	};
	int err = hd_device_call(PRIVHEAP_IOC_ALLOC, &arg);

	if (err)
		return err;
	*block = (void *)(uintptr_t)arg.out_addr;
	if (arg.out_notice)
		*scopes = arg.out_notice;
	return 0;
}

int hd_backend_realloc(uint64_t id, uint32_t flags, void **block, size_t bytes,
		       DWORD *scopes)
{
	struct privheap_realloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = id,
		.addr = (uintptr_t)*block,
		.bytes = bytes,
	};
	int err = hd_device_call(PRIVHEAP_IOC_REALLOC, &arg);

	if (err)
		return err;
	*block = (void *)(uintptr_t)arg.out_addr;
	if (arg.out_notice)
		*scopes = arg.out_notice;
	return 0;
}

int hd_backend_free(uint64_t id, void *block)
{
	struct privheap_free arg = {
		.size = sizeof(arg),
		.heap = id,
		.addr = (uintptr_t)block,
	};

	return hd_device_call(PRIVHEAP_IOC_FREE, &arg);
}

int hd_backend_size(uint64_t id, const void *block, size_t *bytes)
{
	struct privheap_size arg = {
		.size = sizeof(arg),
		.heap = id,
		.addr = (uintptr_t)block,
	};
	int err = hd_device_call(PRIVHEAP_IOC_SIZE, &arg);

	if (!err)
		*bytes = arg.out_bytes;
	return err;
}

int hd_backend_walk(uint64_t id, const struct privheap_entry *after,
		    struct privheap_entry *entries, unsigned int nr_entries)
{
	struct privheap_walk arg = {
		.size = sizeof(arg),
		.heap = id,
		.entries = (uintptr_t)entries,
		.nr_entries = nr_entries,
		.after_kind = after->kind,
		.after_addr = after->addr,
	};
	int err = hd_device_call(PRIVHEAP_IOC_WALK, &arg);

	return err ? err : (int)arg.out_nr_entries;
}

int hd_backend_limit(uint64_t id, uint32_t flags, HEAPDEV_LIMITS *limits)
{
	struct privheap_limit arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = id,
		.scope = id ? PRIVHEAP_SCOPE_HEAP : PRIVHEAP_SCOPE_PROCESS,
		.hard_bytes = limits->HardBytes,
		.soft_bytes = limits->SoftBytes,
		.grace_bytes = limits->GraceBytes,
	};
	int err = hd_device_call(PRIVHEAP_IOC_LIMIT, &arg);

	if (err)
		return err;
	limits->HardBytes = arg.out_hard_bytes;
	limits->SoftBytes = arg.out_soft_bytes;
	limits->GraceBytes = arg.out_grace_bytes;
	limits->CeilingBytes = arg.out_ceiling_bytes;
	limits->UsageBytes = arg.out_usage_bytes;
	limits->PeakBytes = arg.out_peak_bytes;
	limits->Failures = arg.out_nr_failures;
	limits->SoftHits = arg.out_nr_soft_hits;
	return 0;
}

int hd_backend_inject(uint64_t id, uint64_t nth, uint32_t rate_ppm, uint64_t seed)
{
	struct privheap_inject arg = {
		.size = sizeof(arg),
		.heap = id,
		.nth = nth,
		.seed = seed,
		.rate_ppm = rate_ppm,
	};

	return hd_device_call(PRIVHEAP_IOC_INJECT, &arg);
}

int hd_backend_reset(uint64_t id, uint64_t keep_bytes)
{
	struct privheap_reset arg = {
		.size = sizeof(arg),
		.heap = id,
		.keep_bytes = keep_bytes,
	};

	return hd_device_call(PRIVHEAP_IOC_RESET, &arg);
}

int hd_backend_policy(uint64_t id, uint32_t policy, uint32_t window_pages,
		      uint64_t idle_bytes)
{
	struct privheap_policy arg = {
		.size = sizeof(arg),
		.heap = id,
		.policy = policy,
		.window_pages = window_pages,
		.idle_bytes = idle_bytes,
	};

	return hd_device_call(PRIVHEAP_IOC_POLICY, &arg);
}

/* The three calls differ in what they do, but not in what they are told. */
_Static_assert(sizeof(struct privheap_commit) ==
	       sizeof(struct privheap_prefault), "commit");
_Static_assert(sizeof(struct privheap_decommit) ==
	       sizeof(struct privheap_prefault), "decommit");

int hd_backend_pages(uint64_t id, unsigned long request, void *address,
		     uint64_t bytes, uint64_t *done)
{
	struct privheap_prefault arg = {
		.size = sizeof(arg),
		.heap = id,
		.addr = (uintptr_t)address,
		.bytes = bytes,
	};
	int err = hd_device_call(request, &arg);

	if (!err)
		*done = arg.out_done_bytes;
	return err;
}

_Static_assert(sizeof(HEAPDEV_PAGE) == sizeof(struct privheap_page), "page map");

int hd_backend_pagemap(uint64_t id, const void *address, HEAPDEV_PAGE_MAP *map)
{
	struct privheap_pagemap arg = {
		.size = sizeof(arg),
		.heap = id,
		.addr = (uintptr_t)address,
	};
	int err = hd_device_call(PRIVHEAP_IOC_PAGEMAP, &arg);

	if (err)
		return err;
	map->Pages = (const HEAPDEV_PAGE *)(uintptr_t)arg.out_map;
	map->Base = (void *)(uintptr_t)arg.out_base;
	map->NumberOfPages = arg.out_nr_pages;
	return 0;
}

int hd_backend_compact(uint64_t id, uint64_t *largest_free_bytes)
{
	struct privheap_compact arg = {
		.size = sizeof(arg),
		.heap = id,
	};
	int err = hd_device_call(PRIVHEAP_IOC_COMPACT, &arg);

	if (!err)
		*largest_free_bytes = arg.out_largest_free_bytes;
	return err;
}

int hd_backend_guard_alloc(uint64_t id, uint32_t flags, size_t bytes,
			   bool unaligned, uint64_t cookie, void **block,
			   DWORD *scopes)
{
	struct privheap_guard_alloc arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = id,
		.bytes = bytes,
		.align = unaligned,	/* 1, or 0 for what is usual */
		.cookie = cookie,
	};
	int err = hd_device_call(PRIVHEAP_IOC_GUARD_ALLOC, &arg);

	if (err)
		return err;
	*block = (void *)(uintptr_t)arg.out_addr;
	if (arg.out_notice)
		*scopes = arg.out_notice;
	return 0;
}

int hd_backend_guard_free(uint64_t id, void *block, uint64_t cookie)
{
	struct privheap_guard_free arg = {
		.size = sizeof(arg),
		.heap = id,
		.addr = (uintptr_t)block,
		.cookie = cookie,
	};

	return hd_device_call(PRIVHEAP_IOC_GUARD_FREE, &arg);
}

int hd_backend_describe(uint64_t id, const void *address,
			struct hd_description *description)
{
	struct privheap_describe arg = {
		.size = sizeof(arg),
		.heap = id,
		.addr = (uintptr_t)address,
	};
	int err = hd_device_call(PRIVHEAP_IOC_DESCRIBE, &arg);

	if (err)
		return err;
	*description = (struct hd_description) {
		.block = (void *)(uintptr_t)arg.out_addr,
		.bytes = arg.out_bytes,
		.freed = arg.out_state == PRIVHEAP_DESCRIBE_FREED,
		.guarded = arg.out_guarded,
		.alloc_cookie = arg.out_alloc_cookie,
		.free_cookie = arg.out_free_cookie,
	};
	return 0;
}

int hd_backend_take(uint64_t id, size_t nr_pages, uintptr_t *base, bool *near,
		    DWORD *scopes)
{
	uint64_t span = 0;
	struct privheap_take arg = {
		.size = sizeof(arg),
		.heap = id,
		.spans = (uintptr_t)&span,
		.nr_spans = 1,
		.nr_pages = nr_pages,
	};
	int err = hd_device_call(PRIVHEAP_IOC_TAKE, &arg);

	if (err)
		return err;
	*base = span;
	*near = arg.out_state & PRIVHEAP_TAKE_S_NEAR;
	if (arg.out_notice)
		*scopes = arg.out_notice;
	return 0;
}

void hd_backend_batch(uint64_t id, uint32_t op, uint32_t flags,
		      struct privheap_batch_entry *entries, unsigned int nr,
		      DWORD *scopes)
{
	struct privheap_batch arg = {
		.size = sizeof(arg),
		.flags = flags,
		.heap = id,
		.entries = (uintptr_t)entries,
		.nr_entries = nr,
		.op = op,
	};
	int err = 0;

	/* A signal may end the call early. */
	while (arg.nr_entries && !err) {
		err = hd_device_call(PRIVHEAP_IOC_BATCH, &arg);
		if (err)
			break;
		entries += arg.out_nr_done;
		arg.entries = (uintptr_t)entries;
		arg.nr_entries -= arg.out_nr_done;
	}
	if (arg.out_notice)
		*scopes = arg.out_notice;
	for (nr = arg.nr_entries; nr--; entries++)
		entries->out_error = -err;
}

void hd_backend_give(uint64_t id, const uintptr_t *bases, unsigned int nr)
{
	struct privheap_batch_entry entries[HD_BATCH_ENTRIES] = { 0 };
	unsigned int i;
	DWORD scopes;

	for (i = 0; i < nr; i++)
		entries[i].addr = bases[i];
	hd_backend_batch(id, PRIVHEAP_BATCH_GIVE, 0, entries, nr, &scopes);
}

void hd_backend_drop(uint64_t id, const struct hd_pages *pages, unsigned int nr)
{
	struct privheap_batch_entry entries[HD_BATCH_ENTRIES] = { 0 };
	unsigned int i;
	DWORD scopes;

	for (i = 0; i < nr; i++) {
		entries[i].addr = pages[i].base;
		entries[i].bytes = pages[i].bytes;
	}
	hd_backend_batch(id, PRIVHEAP_BATCH_DROP, 0, entries, nr, &scopes);
}

int hd_backend_count(uint64_t id, const struct privheap_counters *counters)
{
	struct privheap_count arg = {
		.size = sizeof(arg),
		.heap = id,
		.counters = (uintptr_t)counters,
	};

	return hd_device_call(PRIVHEAP_IOC_COUNT, &arg);
}
