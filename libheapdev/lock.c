// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The lock of a heap, which its calls and HeapLock() share.
 *
 * Threads are told apart by numbers that are never used again, so that a thread
 * cannot pass for one that ended while it owned a lock.
 */
#include <errno.h>

#include "internal.h"

static uint64_t thread_number(void)
{
	static _Atomic uint64_t last;
	static _Thread_local uint64_t number;

	if (!number)
		number = atomic_fetch_add_explicit(&last, 1,
						   memory_order_relaxed) + 1;
	return number;
}

static bool is_owned(struct hd_lock *lock)
{
	/* A stale value is another thread's; only the caller stores its own. */
	return atomic_load_explicit(&lock->owner, memory_order_relaxed) ==
	       thread_number();
}

static void set_owner(struct hd_lock *lock, uint64_t owner)
{
	atomic_store_explicit(&lock->owner, owner, memory_order_relaxed);
}

void hd_lock_acquire(struct hd_lock *lock)
{
	if (is_owned(lock)) {
		lock->depth++;
		return;
	}
	if (pthread_mutex_lock(&lock->mutex) == EOWNERDEAD)
		pthread_mutex_consistent(&lock->mutex);
	set_owner(lock, thread_number());
	lock->depth = 1;
}

void hd_lock_release(struct hd_lock *lock)
{
	if (--lock->depth)
		return;
	set_owner(lock, 0);
	pthread_mutex_unlock(&lock->mutex);
}

void hd_lock_release_all(struct hd_lock *lock)
{
	lock->depth = 1;
	hd_lock_release(lock);
}

static void init_mutex(pthread_mutex_t *mutex, bool robust)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	/* It is held for less time than it takes to sleep and be woken. */
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	if (robust)
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

void hd_lock_init(struct hd_lock *lock, bool robust)
{
	lock->robust = robust;
	hd_lock_reset(lock);
}

void hd_lock_reset(struct hd_lock *lock)
{
	init_mutex(&lock->mutex, lock->robust);
	lock->depth = 0;
	set_owner(lock, 0);
}

/* The lock that hd_heap_enter() took is the one to keep. */
BOOL WINAPI HeapLock(HANDLE hHeap)
{
	struct hd_ref ref;

	if (!hd_heap_enter(&ref, hHeap, 0))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (!(ref.heap_flags & HEAP_NO_SERIALIZE))
		hd_front_close(&ref);
	return TRUE;
}

BOOL WINAPI HeapUnlock(HANDLE hHeap)
{
	struct hd_ref ref;

	/* Without a lock, for it may be another thread's for long. */
	if (!hd_heap_enter(&ref, hHeap, HEAP_NO_SERIALIZE))
		return hd_error_fail(ERROR_INVALID_HANDLE);
	if (ref.heap_flags & HEAP_NO_SERIALIZE)
		return TRUE;
	if (!is_owned(ref.lock))
		return hd_error_fail(ERROR_NOT_OWNER);
	if (ref.lock->depth == 1)
		hd_front_open(&ref);
	hd_lock_release(ref.lock);
	return TRUE;
}
