// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Blocks: the Win32 calls on top of the kernel's.
 */
#include <errno.h>

#include "internal.h"

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

/* Windows gives a fixed heap no large blocks even where there is room. */
static int check_block_size(const struct hd_ref *ref, SIZE_T bytes)
{
	if (ref->heap_flags & HEAP_GROWABLE)
		return 0;
	return bytes > HD_FIXED_BLOCK_MAX_BYTES ? -ENOSPC : 0;
}

static int resize(const struct hd_ref *ref, uint32_t flags, void **block,
		  size_t bytes, DWORD *scopes)
{
	int size_err = check_block_size(ref, bytes);
	size_t old_bytes;
	int err;

	if (!size_err)
		return hd_backend_realloc(ref->id, flags, block, bytes, scopes);
	/* That there is no such block counts for more. */
	err = hd_backend_size(ref->id, *block, &old_bytes);
	return err ? err : size_err;
}

LPVOID WINAPI HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes)
{
	struct hd_notice notice = { .scopes = 0 };
	uint32_t flags = 0;
	struct hd_ref ref;
	void *block;
	int err;

	if (!enter(&ref, __func__, hHeap, dwFlags))
		return fail(dwFlags, ERROR_INVALID_HANDLE, dwBytes,
			    __builtin_return_address(0));
	if (dwFlags & HEAP_ZERO_MEMORY)
		flags |= PRIVHEAP_ALLOC_F_ZERO;
	if (hd_limit_grace(dwFlags))
		flags |= PRIVHEAP_ALLOC_F_GRACE;
	err = check_block_size(&ref, dwBytes);
	if (!err && hd_heap_is_debug(&ref))
		err = hd_debug_alloc(&ref, dwFlags, dwBytes,
				     __builtin_return_address(0), &block,
				     &notice.scopes);
	else if (!err)
		err = hd_backend_alloc(ref.id, flags, dwBytes, &block,
				       &notice.scopes);
	if (notice.scopes)
		hd_limit_crossed(ref.heap, &notice);
	hd_heap_leave(&ref);
	if (err)
		return fail(ref.flags, hd_error_from_call(err), dwBytes,
			    __builtin_return_address(0));
	if (notice.scopes)
		hd_limit_tell(hHeap, &notice);
	return block;
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
				       check_block_size(&ref, dwBytes),
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

BOOL WINAPI HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem)
{
	struct hd_ref ref;
	int err;

	if (!lpMem)
		return TRUE;
	if (!enter(&ref, __func__, hHeap, dwFlags))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (hd_heap_is_debug(&ref))
		err = hd_debug_free(&ref, lpMem, __builtin_return_address(0));
	else
		err = hd_backend_free(ref.id, lpMem);
	hd_heap_leave(&ref);
	if (err)
		return hd_error_fail(block_error(err, __func__, hHeap, lpMem));
	return TRUE;
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
		err = hd_backend_size(ref.id, lpMem, &bytes);
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
	return !hd_backend_size(ref->id, block, &bytes);
}

static bool heap_is_sound(const struct hd_ref *ref)
{
	struct hd_usage usage;

	if (hd_backend_stat(ref->id, &usage) || usage.dead)
		return false;
	return !hd_heap_is_debug(ref) || hd_debug_validate(ref, NULL);
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
