// SPDX-License-Identifier: GPL-2.0-only
/* HeapLock() and HeapUnlock(), as far as one thread can see. */
#include "transcript.h"

static void use_locked(HANDLE heap)
{
	PROCESS_HEAP_ENTRY entry = { 0 };
	void *block;

	block = TELL_POINTER("locked_alloc", HeapAlloc(heap, 0, 100));
	TELL_SIZE("locked_size", HeapSize(heap, 0, block));
	block = TELL_POINTER("locked_realloc",
			     HeapReAlloc(heap, 0, block, 5000));
	TELL_POINTER("locked_realloc_fails",
		     HeapReAlloc(heap, 0, block, SIZE_T_MAX));
	TELL_BOOL("locked_validate", HeapValidate(heap, 0, NULL));
	TELL_BOOL("locked_walk", HeapWalk(heap, &entry));
	TELL_BOOL("locked_free", HeapFree(heap, 0, block));
	TELL_BOOL("locked_free_twice", HeapFree(heap, 0, block));
	TELL_POINTER("locked_alloc_no_serialize",
		     HeapAlloc(heap, HEAP_NO_SERIALIZE, 100));
}

static void lock_nested(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	TELL_BOOL("lock", HeapLock(heap));
	TELL_BOOL("lock_again", HeapLock(heap));
	use_locked(heap);
	TELL_BOOL("unlock", HeapUnlock(heap));
	TELL_BOOL("unlock_again", HeapUnlock(heap));
	TELL_BOOL("lock_anew", HeapLock(heap));
	TELL_BOOL("unlock_anew", HeapUnlock(heap));
	TELL_BOOL("destroy", HeapDestroy(heap));
}

static void lock_deeply(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);
	int locked = 0, unlocked = 0, i;

	for (i = 0; i < 1000; i++)
		locked += !!HeapLock(heap);
	for (i = 0; i < 1000; i++)
		unlocked += !!HeapUnlock(heap);
	tell("deep_locked", "%d", locked);
	tell("deep_unlocked", "%d", unlocked);
	HeapDestroy(heap);
}

static void destroy_locked(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	HeapLock(heap);
	TELL_BOOL("destroy_locked", HeapDestroy(heap));
}

static void lock_without_serialization(void)
{
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);

	TELL_BOOL("no_serialize_lock", HeapLock(heap));
	TELL_BOOL("no_serialize_unlock", HeapUnlock(heap));
	TELL_BOOL("no_serialize_unlock_again", HeapUnlock(heap));
	HeapDestroy(heap);
}

static void unlock_unowned(void)
{
	HANDLE heap = HeapCreate(0, 0, 0);

	TELL_BOOL("unlock_unowned", HeapUnlock(heap));
	HeapDestroy(heap);
}

int main(void)
{
	lock_nested();
	lock_deeply();
	destroy_locked();
	lock_without_serialization();
	unlock_unowned();
	TELL_BOOL("process_heap_lock", HeapLock(GetProcessHeap()));
	TELL_BOOL("process_heap_unlock", HeapUnlock(GetProcessHeap()));
	TELL_BOOL("null_lock", HeapLock(NULL));
	TELL_BOOL("null_unlock", HeapUnlock(NULL));
	return 0;
}
