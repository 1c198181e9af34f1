// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks by the batch: many in one system call, with the kernel's bookkeeping.
 *
 * New blocks come from the kernel, never from the front end. Those that are freed may
 * be of either. A member that the kernel is not asked about, or that fails, does not
 * keep the others from being done.
 */
#include <errno.h>

#include "debug.h"

/* Members of one system call. */
#define STEP	64U

struct batch {
	struct hd_ref ref;
	const char *function;
	void *caller;
	uint32_t op;		/* PRIVHEAP_BATCH_* */
	uint32_t flags;		/* PRIVHEAP_ALLOC_F_* */
	DWORD call_flags;
	struct hd_notice notice;
	SIZE_T nr_done;
	bool has_trimmed;	/* once is enough */
	bool may_retry;		/* that was in this system call */
	/* The next system call, and which members it is for. */
	unsigned int nr;
	HEAPDEV_MEMBER *members[STEP];
	struct privheap_batch_entry entries[STEP];
};

static void settle(struct batch *batch, HEAPDEV_MEMBER *member, int err)
{
	if (err == -ENOENT)
		hd_corruption_found(batch->function, batch->ref.heap->handle,
				    member->Block);
	member->Error = err ? hd_error_from_call(err) : ERROR_SUCCESS;
	batch->nr_done += !err;
}

/* Once more, if the front end could give memory back. */
static int alloc_again(struct batch *batch, HEAPDEV_MEMBER *member, int err)
{
	if (!batch->has_trimmed &&
	    (err == -ENOSPC || err == -EDQUOT || err == -ENOMEM)) {
		batch->has_trimmed = true;
		batch->may_retry = hd_front_make_room(&batch->ref, 0, err);
	}
	if (!batch->may_retry)
		return err;
	return hd_backend_alloc(batch->ref.id, batch->flags, member->Bytes,
				&member->Block, &batch->notice.scopes);
}

static void call_kernel(struct batch *batch)
{
	struct privheap_batch_entry *entry = batch->entries;
	HEAPDEV_MEMBER *member;
	unsigned int i;
	int err;

	hd_backend_batch(batch->ref.id, batch->op, batch->flags, entry, batch->nr,
			 &batch->notice.scopes);
	for (i = 0; i < batch->nr; i++, entry++) {
		member = batch->members[i];
		err = -(int)entry->out_error;
		if (batch->op == PRIVHEAP_BATCH_ALLOC && !err)
			member->Block = (void *)(uintptr_t)entry->out_addr;
		else if (batch->op == PRIVHEAP_BATCH_ALLOC)
			err = alloc_again(batch, member, err);
		if (batch->op == PRIVHEAP_BATCH_ALLOC && !err)
			err = hd_heap_check_block(&batch->ref, member->Block);
		settle(batch, member, err);
	}
	batch->nr = 0;
	batch->may_retry = false;
}

static void queue(struct batch *batch, HEAPDEV_MEMBER *member)
{
	bool alloc = batch->op == PRIVHEAP_BATCH_ALLOC;

	batch->members[batch->nr] = member;
	batch->entries[batch->nr] = (struct privheap_batch_entry) {
		.addr = alloc ? 0 : (uintptr_t)member->Block,
		.bytes = alloc ? member->Bytes : 0,
	};
	if (++batch->nr == STEP)
		call_kernel(batch);
}

static void alloc_member(struct batch *batch, HEAPDEV_MEMBER *member)
{
	int err = hd_block_check_size(&batch->ref, member->Bytes);

	member->Block = NULL;
	if (!err && !hd_heap_is_debug(&batch->ref)) {
		hd_heap_set_used(&batch->ref);
		queue(batch, member);
		return;
	}
	if (!err)
		err = hd_debug_alloc(&batch->ref, batch->call_flags,
				     member->Bytes, batch->caller,
				     &member->Block, &batch->notice.scopes);
	settle(batch, member, err);
}

static void free_member(struct batch *batch, HEAPDEV_MEMBER *member)
{
	int err = 0;

	if (member->Block && hd_heap_is_debug(&batch->ref)) {
		err = hd_debug_free(&batch->ref, member->Block, batch->caller);
	} else if (member->Block &&
		   !hd_front_free_slow(&batch->ref, member->Block)) {
		queue(batch, member);
		return;
	}
	settle(batch, member, err);
}

static DWORD first_error(const HEAPDEV_MEMBER *members, SIZE_T nr_members)
{
	SIZE_T i;

	for (i = 0; i < nr_members; i++)
		if (members[i].Error)
			return members[i].Error;
	return ERROR_SUCCESS;
}

static SIZE_T run(struct batch *batch, HANDLE heap, HEAPDEV_MEMBER *members,
		  SIZE_T nr_members)
{
	SIZE_T i;

	if (!members || !nr_members || nr_members > HEAPDEV_BATCH_MAX)
		return hd_error_fail(ERROR_INVALID_PARAMETER);
	if (!hd_heap_enter(&batch->ref, heap, batch->call_flags)) {
		hd_debug_bad_handle(batch->function, heap);
		return hd_error_fail(ERROR_INVALID_HANDLE);
	}
	for (i = 0; i < nr_members; i++) {
		if (batch->op == PRIVHEAP_BATCH_ALLOC)
			alloc_member(batch, &members[i]);
		else
			free_member(batch, &members[i]);
	}
	if (batch->nr)
		call_kernel(batch);
	if (batch->notice.scopes)
		hd_limit_crossed(batch->ref.heap, &batch->notice);
	hd_heap_leave(&batch->ref);
	if (batch->nr_done < nr_members)
		SetLastError(first_error(members, nr_members));
	if (batch->notice.scopes)
		hd_limit_tell(heap, &batch->notice);
	return batch->nr_done;
}

/* What is not named is set before it is read: that is most of it. */
static void batch_init(struct batch *batch, const char *function, void *caller,
		       uint32_t op, DWORD call_flags)
{
	batch->function = function;
	batch->caller = caller;
	batch->op = op;
	batch->flags = 0;
	batch->call_flags = call_flags;
	batch->notice.scopes = 0;
	batch->nr_done = 0;
	batch->has_trimmed = false;
	batch->may_retry = false;
	batch->nr = 0;
}

SIZE_T HeapdevAllocBatch(HANDLE heap, DWORD flags, HEAPDEV_MEMBER *members,
			 SIZE_T nr_members)
{
	struct batch batch;

	batch_init(&batch, __func__, __builtin_return_address(0),
		   PRIVHEAP_BATCH_ALLOC, flags);
	batch.flags = hd_block_alloc_flags(flags);
	return run(&batch, heap, members, nr_members);
}

SIZE_T HeapdevFreeBatch(HANDLE heap, DWORD flags, HEAPDEV_MEMBER *members,
			SIZE_T nr_members)
{
	struct batch batch;

	batch_init(&batch, __func__, __builtin_return_address(0),
		   PRIVHEAP_BATCH_FREE, flags);
	return run(&batch, heap, members, nr_members);
}
