/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: what happens to heaps, blocks and pages, for perf, trace-cmd and
 * bpftrace. doc/tracing.rst specifies the events and their fields.
 *
 * Each event tells which heap by its serial number, which is unique on the
 * machine. Addresses are the program's; no event has a pointer of the kernel.
 * An event is recorded when what it tells has happened, by the thread that did it
 * and, where the heap's lock is held, in the order in which it happened.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM privheap

#if !defined(_PRIVHEAP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _PRIVHEAP_TRACE_H

#include <linux/mm.h>
#include <linux/tracepoint.h>

#include "internal.h"
#include "tally.h"

TRACE_DEFINE_ENUM(PRIVHEAP_SCOPE_HEAP);
TRACE_DEFINE_ENUM(PRIVHEAP_SCOPE_PROCESS);
TRACE_DEFINE_ENUM(PRIVHEAP_SCOPE_USER);
TRACE_DEFINE_ENUM(PRIVHEAP_SCOPE_SYSTEM);
TRACE_DEFINE_ENUM(PRIVHEAP_SCOPE_CGROUP);

TRACE_DEFINE_ENUM(PRIVHEAP_SOURCE_RESIDENT);
TRACE_DEFINE_ENUM(PRIVHEAP_SOURCE_FRESH);
TRACE_DEFINE_ENUM(PRIVHEAP_SOURCE_RECYCLED);
TRACE_DEFINE_ENUM(PRIVHEAP_SOURCE_CLEARED);

#define ph_trace_scope(scope)						\
	__print_symbolic(scope,						\
			 { PRIVHEAP_SCOPE_HEAP,		"heap" },	\
			 { PRIVHEAP_SCOPE_PROCESS,	"process" },	\
			 { PRIVHEAP_SCOPE_USER,		"user" },	\
			 { PRIVHEAP_SCOPE_SYSTEM,	"system" },	\
			 { PRIVHEAP_SCOPE_CGROUP,	"cgroup" })

#define ph_trace_policy(policy)						\
	__print_symbolic(policy,					\
			 { PRIVHEAP_POLICY_PAGE,	"page" },	\
			 { PRIVHEAP_POLICY_WINDOW,	"window" },	\
			 { PRIVHEAP_POLICY_ADAPTIVE,	"adaptive" },	\
			 { PRIVHEAP_POLICY_POPULATE,	"populate" },	\
			 { PRIVHEAP_POLICY_HUGE,	"huge" })

#define ph_trace_source(source)						\
	__print_symbolic(source,					\
			 { PRIVHEAP_SOURCE_RESIDENT,	"resident" },	\
			 { PRIVHEAP_SOURCE_FRESH,	"fresh" },	\
			 { PRIVHEAP_SOURCE_RECYCLED,	"recycled" },	\
			 { PRIVHEAP_SOURCE_CLEARED,	"cleared" })

TRACE_EVENT(privheap_heap_create,
	TP_PROTO(const struct ph_heap *heap),
	TP_ARGS(heap),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, id)
		__field(u64, base)
		__field(u64, max_bytes)
		__field(u64, limit_bytes)
		__field(u32, flags)
		__field(u32, policy)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->id = heap->id;
		__entry->base = heap->base;
		__entry->max_bytes = (u64)heap->max_pages << PAGE_SHIFT;
		__entry->limit_bytes =
			ph_limit_bytes(READ_ONCE(heap->limit.hard_pages));
		__entry->flags = heap->flags;
		__entry->policy = ph_policy_id(heap);
	),
	TP_printk("heap=%llu id=0x%llx base=0x%llx max_bytes=%llu limit_bytes=%llu flags=0x%x policy=%s",
		  __entry->heap, __entry->id, __entry->base,
		  __entry->max_bytes, __entry->limit_bytes, __entry->flags,
		  ph_trace_policy(__entry->policy))
);

TRACE_EVENT(privheap_heap_destroy,
	TP_PROTO(const struct ph_heap *heap),
	TP_ARGS(heap),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, id)
		__field(u64, committed_bytes)
		__field(u64, peak_bytes)
		__field(u64, nr_blocks)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->id = heap->id;
		__entry->committed_bytes =
			(u64)atomic_long_read(&heap->limit.usage_pages) << PAGE_SHIFT;
		__entry->peak_bytes =
			(u64)atomic_long_read(&heap->limit.peak_pages) << PAGE_SHIFT;
		__entry->nr_blocks = heap->store.nr_blocks;
	),
	TP_printk("heap=%llu id=0x%llx committed_bytes=%llu peak_bytes=%llu nr_blocks=%llu",
		  __entry->heap, __entry->id, __entry->committed_bytes,
		  __entry->peak_bytes, __entry->nr_blocks)
);

TRACE_EVENT(privheap_block_alloc,
	TP_PROTO(const struct ph_heap *heap, unsigned long addr, u64 bytes,
		 u64 align, u32 flags),
	TP_ARGS(heap, addr, bytes, align, flags),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, addr)
		__field(u64, bytes)
		__field(u64, align)
		__field(u32, flags)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->addr = addr;
		__entry->bytes = bytes;
		__entry->align = align;
		__entry->flags = flags;
	),
	TP_printk("heap=%llu addr=0x%llx bytes=%llu align=%llu flags=0x%x",
		  __entry->heap, __entry->addr, __entry->bytes, __entry->align,
		  __entry->flags)
);

TRACE_EVENT(privheap_block_realloc,
	TP_PROTO(const struct ph_heap *heap, unsigned long old_addr,
		 unsigned long old_bytes, unsigned long addr,
		 unsigned long bytes),
	TP_ARGS(heap, old_addr, old_bytes, addr, bytes),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, old_addr)
		__field(u64, old_bytes)
		__field(u64, addr)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->old_addr = old_addr;
		__entry->old_bytes = old_bytes;
		__entry->addr = addr;
		__entry->bytes = bytes;
	),
	TP_printk("heap=%llu old_addr=0x%llx old_bytes=%llu addr=0x%llx bytes=%llu",
		  __entry->heap, __entry->old_addr, __entry->old_bytes,
		  __entry->addr, __entry->bytes)
);

TRACE_EVENT(privheap_block_free,
	TP_PROTO(const struct ph_heap *heap, const struct ph_block *block),
	TP_ARGS(heap, block),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, addr)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->addr = block->addr;
		__entry->bytes = block->bytes;
	),
	TP_printk("heap=%llu addr=0x%llx bytes=%llu",
		  __entry->heap, __entry->addr, __entry->bytes)
);

TRACE_EVENT(privheap_page_commit,
	TP_PROTO(const struct ph_region *region, unsigned long first,
		 unsigned long nr, unsigned long nr_changed, bool backed, int error),
	TP_ARGS(region, first, nr, nr_changed, backed, error),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, addr)
		__field(u64, nr_pages)
		__field(u64, nr_changed)
		__field(u32, backed)
		__field(s32, error)
	),
	TP_fast_assign(
		__entry->heap = region->heap->limit.key;
		__entry->addr = region->blocks.base + (first << PAGE_SHIFT);
		__entry->nr_pages = nr;
		__entry->nr_changed = nr_changed;
		__entry->backed = backed;
		__entry->error = error;
	),
	TP_printk("heap=%llu addr=0x%llx nr_pages=%llu nr_changed=%llu backed=%u error=%d",
		  __entry->heap, __entry->addr, __entry->nr_pages,
		  __entry->nr_changed, __entry->backed, __entry->error)
);

TRACE_EVENT(privheap_page_decommit,
	TP_PROTO(const struct ph_region *region, unsigned long first,
		 unsigned long nr, unsigned long nr_changed),
	TP_ARGS(region, first, nr, nr_changed),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, addr)
		__field(u64, nr_pages)
		__field(u64, nr_changed)
	),
	TP_fast_assign(
		__entry->heap = region->heap->limit.key;
		__entry->addr = region->blocks.base + (first << PAGE_SHIFT);
		__entry->nr_pages = nr;
		__entry->nr_changed = nr_changed;
	),
	TP_printk("heap=%llu addr=0x%llx nr_pages=%llu nr_changed=%llu",
		  __entry->heap, __entry->addr, __entry->nr_pages,
		  __entry->nr_changed)
);

TRACE_EVENT(privheap_page_fault,
	TP_PROTO(const struct ph_region *region, unsigned long addr,
		 const struct ph_touch *touch, vm_fault_t result),
	TP_ARGS(region, addr, touch, result),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, addr)
		__field(u64, latency_ns)
		__field(u32, nr_pages)
		__field(u32, order)
		__field(u32, source)
		__field(s32, error)
	),
	TP_fast_assign(
		__entry->heap = region->heap->limit.key;
		__entry->addr = addr;
		__entry->latency_ns = touch->latency_ns;
		__entry->nr_pages = touch->nr_pages;
		__entry->order = ph_touch_order(touch);
		__entry->source = touch->source;
		__entry->error = vm_fault_to_errno(result, 0);
	),
	TP_printk("heap=%llu addr=0x%llx latency_ns=%llu nr_pages=%u order=%u source=%s error=%d",
		  __entry->heap, __entry->addr, __entry->latency_ns,
		  __entry->nr_pages, __entry->order,
		  ph_trace_source(__entry->source),
		  __entry->error)
);

TRACE_EVENT(privheap_limit_hit,
	TP_PROTO(const struct ph_heap *heap, const struct ph_limit *refused),
	TP_ARGS(heap, refused),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u64, hard_bytes)
		__field(u64, usage_bytes)
		__field(u32, scope)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->hard_bytes =
			ph_limit_bytes(READ_ONCE(refused->hard_pages));
		__entry->usage_bytes =
			(u64)atomic_long_read(&refused->usage_pages) << PAGE_SHIFT;
		__entry->scope = refused->scope;
	),
	TP_printk("heap=%llu scope=%s hard_bytes=%llu usage_bytes=%llu",
		  __entry->heap, ph_trace_scope(__entry->scope),
		  __entry->hard_bytes, __entry->usage_bytes)
);

TRACE_EVENT(privheap_policy_change,
	TP_PROTO(const struct ph_heap *heap),
	TP_ARGS(heap),
	TP_STRUCT__entry(
		__field(u64, heap)
		__field(u32, policy)
		__field(u32, window_pages)
	),
	TP_fast_assign(
		__entry->heap = heap->limit.key;
		__entry->policy = ph_policy_id(heap);
		__entry->window_pages = heap->window_pages;
	),
	TP_printk("heap=%llu policy=%s window_pages=%u", __entry->heap,
		  ph_trace_policy(__entry->policy), __entry->window_pages)
);

#endif /* _PRIVHEAP_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
