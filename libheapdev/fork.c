// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What happens to the library around a fork.
 *
 * The child has none of the parent's heaps. Mutexes are taken before the fork
 * in lock order, so that the child inherits what they protect in one piece.
 *
 * The handlers are registered when the library is loaded. So those of the program run
 * before the mutexes are taken, and after they were given back, and may use heaps.
 */
#include "internal.h"

static pthread_once_t registered = PTHREAD_ONCE_INIT;
static int register_err;

static void prepare(void)
{
	hd_heap_fork_prepare();
	hd_front_fork_prepare();
	hd_device_fork_prepare();
	hd_exception_fork_prepare();
}

static void parent(void)
{
	hd_exception_fork_parent();
	hd_device_fork_parent();
	hd_front_fork_parent();
	hd_heap_fork_parent();
}

static void child(void)
{
	hd_exception_fork_child();
	hd_device_fork_child();
	hd_front_fork_child();
	hd_heap_fork_child();
}

static void register_handlers(void)
{
	register_err = -pthread_atfork(prepare, parent, child);
}

int hd_fork_register(void)
{
	pthread_once(&registered, register_handlers);
	return register_err;
}

/* Constructors of the program may make heaps before, and then this has been done. */
static __attribute__((constructor)) void register_at_load(void)
{
	hd_fork_register();
}
