// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks: the Win32 calls on top of the kernel's.
 */
#include <errno.h>
#include <string.h>

#include "frontend.h"

/* A call that may raise fails; the heap's lock is not held any more. */
static LPVOID fail(DWORD flags, DWORD error, SIZE_T bytes, void *caller)
{
	SetLastError(error);
	if (flags & HEAP_GENERATE_EXCEPTIONS) {
		hd_exception_raise(error, bytes, caller);
		/* It is to go on; a handler may have changed it. */
		SetLastError(error);
	}
	return NULL;
}

static bool enter(struct hd_ref *ref, const char *function, HANDLE handle,
		  DWORD flags)
{
	if (hd_heap_enter(ref, handle, flags))
		return true;
	hd_debug_bad_handle(function, handle);
	return false;
}

/* The error of a call that was given @block. */
static DWORD block_error(int err, const char *function, HANDLE heap,
			 const void *block)
{
	if (err == -ENOENT)
		hd_corruption_found(function, heap, block);
	return hd_error_from_call(err);
}

int hd_block_check_size(const struct hd_ref *ref, SIZE_T bytes)
{
	if (ref->heap_flags & HEAP_GROWABLE)
		return 0;
	return bytes > HD_FIXED_BLOCK_MAX_BYTES ? -ENOSPC : 0;
}

static int alloc(const struct hd_ref *ref, uint32_t flags, size_t bytes,
		 void **block, DWORD *scopes)
{
	int err;

	if (hd_front_alloc_slow(ref, bytes, block, scopes)) {
		if (flags & PRIVHEAP_ALLOC_F_ZERO)
			memset(*block, 0, bytes);
		return 0;
	}
	hd_heap_set_used(ref);
	err = hd_backend_alloc(ref->id, flags, bytes, block, scopes);
	if (err && hd_front_make_room(ref, bytes, err))
		err = hd_backend_alloc(ref->id, flags, bytes, block, scopes);
	return err ? err : hd_heap_check_block(ref, *block);
}

static int free_block(const struct hd_ref *ref, void *block)
{
	return hd_front_free_slow(ref, block) ? 0 :
						hd_backend_free(ref->id, block);
}

/* Resizes a block of the front end. */
static int resize_in_front(const struct hd_ref *ref, uint32_t flags,
			   void **block, size_t old_bytes, size_t bytes,
			   DWORD *scopes)
{
	uint32_t alloc_flags = flags & PRIVHEAP_REALLOC_F_GRACE ?
			       PRIVHEAP_ALLOC_F_GRACE : 0;
	void *moved;
	int err;

	if (!hd_front_resize(ref, *block, old_bytes, bytes)) {
		if (flags & PRIVHEAP_REALLOC_F_IN_PLACE)
			return -ENOSPC;
		err = alloc(ref, alloc_flags, bytes, &moved, scopes);
		if (err)
			return err;
		memcpy(moved, *block, old_bytes < bytes ? old_bytes : bytes);
		if (!hd_front_free_slow(ref, *block)) {
			/* Another thread has freed it meanwhile. */
			free_block(ref, moved);
			return -ENOENT;
		}
		*block = moved;
	}
	if (flags & PRIVHEAP_REALLOC_F_ZERO && bytes > old_bytes)
		memset((char *)*block + old_bytes, 0, bytes - old_bytes);
	return 0;
}

static int find_size(const struct hd_ref *ref, const void *block, size_t *bytes)
{
	if (hd_front_size(ref, block, bytes))
		return 0;
	return hd_backend_size(ref->id, block, bytes);
}

static int resize(const struct hd_ref *ref, uint32_t flags, void **block,
		  size_t bytes, DWORD *scopes)
{
	int size_err = hd_block_check_size(ref, bytes);
	size_t old_bytes;
	int err;

	/* That there is no such block counts for more than the size. */
	if (size_err) {
		err = find_size(ref, *block, &old_bytes);
		return err ? err : size_err;
	}
	if (hd_front_size(ref, *block, &old_bytes))
		return resize_in_front(ref, flags, block, old_bytes, bytes,
				       scopes);
	err = hd_backend_realloc(ref->id, flags, block, bytes, scopes);
	if (err && hd_front_make_room(ref, 0, err))
		err = hd_backend_realloc(ref->id, flags, block, bytes, scopes);
	return err;
}

uint32_t hd_block_alloc_flags(DWORD flags)
{
	uint32_t wanted = 0;

	if (flags & HEAP_ZERO_MEMORY)
		wanted |= PRIVHEAP_ALLOC_F_ZERO;
	if (hd_limit_grace(flags))
		wanted |= PRIVHEAP_ALLOC_F_GRACE;
	return wanted;
}

/* What the calling thread has no free slot for. */
static __attribute__((__noinline__)) void *
alloc_slow(HANDLE heap, DWORD flags, size_t bytes, void *caller)
{
	struct hd_notice notice = { .scopes = 0 };
	struct hd_ref ref;
	void *block;
	int err;

	if (!enter(&ref, "HeapAlloc", heap, flags))
		return fail(flags, ERROR_INVALID_HANDLE, bytes, caller);
	err = hd_block_check_size(&ref, bytes);
	if (!err && hd_heap_is_debug(&ref))
		err = hd_debug_alloc(&ref, flags, bytes, caller, &block,
				     &notice.scopes);
	else if (!err)
		err = alloc(&ref, hd_block_alloc_flags(flags), bytes, &block,
			    &notice.scopes);
	if (notice.scopes)
		hd_limit_crossed(ref.heap, &notice);
	hd_heap_leave(&ref);
	if (err)
		return fail(ref.flags, hd_error_from_call(err), bytes, caller);
	if (notice.scopes)
		hd_limit_tell(heap, &notice);
	return block;
}

static __attribute__((__noinline__)) void *
alloc_elsewhere(HANDLE heap, DWORD flags, size_t bytes, void *caller)
{
	void *block = hd_front_alloc(heap, bytes, HD_FRONT_MAX_BYTES);

	if (!block && hd_front_switch(heap))
		block = hd_front_alloc(heap, bytes, HD_FRONT_MAX_BYTES);
	if (!block)
		return alloc_slow(heap, flags, bytes, caller);
	return flags & HEAP_ZERO_MEMORY ? memset(block, 0, bytes) : block;
}

/*
 * Here and in HeapFree() nothing follows a call of another function, so that no
 * register has to be saved.
 */
LPVOID WINAPI HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes)
{
	void *block = NULL;

	if (hd_likely(!(dwFlags & HEAP_ZERO_MEMORY)))
		block = hd_front_alloc(hHeap, dwBytes, HD_FRONT_TABLE_BYTES);
	if (hd_unlikely(!block))
		return alloc_elsewhere(hHeap, dwFlags, dwBytes,
				       __builtin_return_address(0));
	return block;
}

/* A block in another leaf of the table of pages. */
static bool free_far(HANDLE heap, void *block)
{
	return hd_front_aim(heap, block) && (hd_front_free(heap, block, true) ||
					     hd_front_free(heap, block, false));
}

static __attribute__((__noinline__)) BOOL free_slow(HANDLE heap, DWORD flags,
						    void *block, void *caller)
{
	struct hd_ref ref;
	int err = 0;

	if (!block || free_far(heap, block))
		return TRUE;
	if (!enter(&ref, "HeapFree", heap, flags))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (hd_heap_is_debug(&ref))
		err = hd_debug_free(&ref, block, caller);
	else
		err = free_block(&ref, block);
	hd_heap_leave(&ref);
	if (err)
		return hd_error_fail(block_error(err, "HeapFree", heap, block));
	return TRUE;
}

/* A block of a span that is everybody's. */
static __attribute__((__noinline__)) BOOL
free_elsewhere(HANDLE heap, DWORD flags, void *block, void *caller)
{
	if (hd_front_free(heap, block, false))
		return TRUE;
	return free_slow(heap, flags, block, caller);
}

BOOL WINAPI HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem)
{
	if (hd_likely(hd_front_free(hHeap, lpMem, true)))
		return TRUE;
	return free_elsewhere(hHeap, dwFlags, lpMem,
			      __builtin_return_address(0));
}

/* What needs no lock; NULL if it takes more than that, and nothing is done. */
static void *realloc_in_cache(HANDLE heap, DWORD flags, void *block, size_t bytes,
			      void *caller)
{
	size_t old_bytes;
	enum hd_fit fit;
	void *moved;

	fit = hd_front_fit(heap, block, bytes, &old_bytes);
	if (fit == HD_FIT_UNKNOWN && hd_front_aim(heap, block))
		fit = hd_front_fit(heap, block, bytes, &old_bytes);
	if (fit != HD_FIT_MOVES)
		return fit == HD_FIT_DONE ? block : NULL;
	moved = hd_front_alloc(heap, bytes, HD_FRONT_MAX_BYTES);
	if (!moved)
		return NULL;
	memcpy(moved, block, old_bytes);
	if (!hd_front_free(heap, block, true))
		free_slow(heap, flags, block, caller);
	return moved;
}

LPVOID WINAPI HeapReAlloc(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem,
			  SIZE_T dwBytes)
{
	struct hd_notice notice = { .scopes = 0 };
	void *block = lpMem;
	uint32_t flags = 0;
	struct hd_ref ref;
	int err;

	if (!lpMem) {
		SetLastError(NO_ERROR);
		return NULL;
	}
	if (!(dwFlags & (HEAP_ZERO_MEMORY | HEAP_REALLOC_IN_PLACE_ONLY))) {
		block = realloc_in_cache(hHeap, dwFlags, lpMem, dwBytes,
					 __builtin_return_address(0));
		if (block)
			return block;
		block = lpMem;
	}
	if (!enter(&ref, __func__, hHeap, dwFlags))
		return fail(dwFlags, ERROR_INVALID_HANDLE, dwBytes,
			    __builtin_return_address(0));
	if (dwFlags & HEAP_ZERO_MEMORY)
		flags |= PRIVHEAP_REALLOC_F_ZERO;
	if (dwFlags & HEAP_REALLOC_IN_PLACE_ONLY)
		flags |= PRIVHEAP_REALLOC_F_IN_PLACE;
	if (hd_limit_grace(dwFlags))
		flags |= PRIVHEAP_REALLOC_F_GRACE;
	if (hd_heap_is_debug(&ref))
		err = hd_debug_realloc(&ref, dwFlags, &block, dwBytes,
				       hd_block_check_size(&ref, dwBytes),
				       __builtin_return_address(0),
				       &notice.scopes);
	else
		err = resize(&ref, flags, &block, dwBytes, &notice.scopes);
	if (notice.scopes)
		hd_limit_crossed(ref.heap, &notice);
	hd_heap_leave(&ref);
	if (err)
		return fail(ref.flags, block_error(err, __func__, hHeap, lpMem),
			    dwBytes, __builtin_return_address(0));
	if (notice.scopes)
		hd_limit_tell(hHeap, &notice);
	return block;
}

SIZE_T WINAPI HeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem)
{
	struct hd_ref ref;
	size_t bytes;
	int err;

	if (!enter(&ref, __func__, hHeap, dwFlags)) {
		SetLastError(ERROR_INVALID_HANDLE);
		return (SIZE_T)-1;
	}
	if (hd_heap_is_debug(&ref))
		err = hd_debug_size(&ref, lpMem, &bytes);
	else
		err = find_size(&ref, lpMem, &bytes);
	hd_heap_leave(&ref);
	if (err) {
		SetLastError(block_error(err, __func__, hHeap, lpMem));
		return (SIZE_T)-1;
	}
	return bytes;
}

static bool block_is_live(const struct hd_ref *ref, const void *block)
{
	size_t bytes;

	if (hd_heap_is_debug(ref))
		return hd_debug_validate(ref, block);
	return !find_size(ref, block, &bytes);
}

static bool heap_is_sound(const struct hd_ref *ref)
{
	struct hd_usage usage;

	if (hd_backend_stat(ref->id, &usage) || usage.dead)
		return false;
	return hd_heap_is_debug(ref) ? hd_debug_validate(ref, NULL) :
				       hd_front_is_sound(ref);
}

BOOL WINAPI HeapValidate(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem)
{
	struct hd_ref ref;
	bool valid;

	if (!hd_heap_enter(&ref, hHeap, dwFlags))
		return FALSE;
	valid = lpMem ? block_is_live(&ref, lpMem) : heap_is_sound(&ref);
	hd_heap_leave(&ref);
	return valid;
}
