// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The open device file of this process.
 *
 * It is opened at the first need and never closed: the heaps live as long as it
 * is open. A forked child drops its copy, which is of no use to it (the kernel
 * refuses calls from another address space), and opens the device anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

#define DEVICE_PATH	"/dev/privheap"

static pthread_mutex_t device_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int device_fd = -1;
static _Atomic uint64_t device_max_bytes;

static const char *device_path(void)
{
	const char *path = secure_getenv("HEAPDEV_DEVICE");

	return path && *path ? path : DEVICE_PATH;
}

static int call_fd(int fd, unsigned long request, void *arg)
{
	int saved = errno, err = 0;

	while (ioctl(fd, request, arg) < 0) {
		if (errno == EINTR)
			continue;
		err = -errno;
		break;
	}
	errno = saved;
	return err;
}

/*
 * A program that runs with a standard stream closed would otherwise print into
 * the device, or close it by way of the stream.
 */
static int move_above_standard_streams(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return moved;
}

static int open_file(const char *path)
{
	int fd;

	do {
		fd = open(path, O_RDWR | O_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	return move_above_standard_streams(fd);
}

static int check_device(int fd)
{
	struct privheap_info info = { .size = sizeof(info) };

	if (call_fd(fd, PRIVHEAP_IOC_INFO, &info))
		return -ENOTSUP;
	atomic_store(&device_max_bytes, info.out_max_bytes);
	return info.out_abi_version < PRIVHEAP_ABI_VERSION ? -ENOTSUP : 0;
}

static int open_locked(void)
{
	int fd, err;

	err = hd_fork_register();
	if (err)
		return err;
	fd = open_file(device_path());
	if (fd < 0)
		return -errno;
	err = check_device(fd);
	if (err) {
		close(fd);
		return err;
	}
	hd_corruption_init();
	hd_debug_init();
	hd_front_init();
	atomic_store_explicit(&device_fd, fd, memory_order_release);
	return 0;
}

int hd_device_open(void)
{
	int saved = errno, err = 0, state;

	if (atomic_load_explicit(&device_fd, memory_order_acquire) >= 0)
		return 0;
	/* open(), close() and what is printed would end the thread with the mutex. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_mutex_lock(&device_mutex);
	if (atomic_load_explicit(&device_fd, memory_order_relaxed) < 0)
		err = open_locked();
	pthread_mutex_unlock(&device_mutex);
	pthread_setcancelstate(state, NULL);
	errno = saved;
	return err;
}

int hd_device_call(unsigned long request, void *arg)
{
	return call_fd(atomic_load_explicit(&device_fd, memory_order_acquire),
		       request, arg);
}

uint64_t hd_device_max_bytes(void)
{
	return atomic_load(&device_max_bytes);
}

void hd_device_fork_prepare(void)
{
	pthread_mutex_lock(&device_mutex);
}

void hd_device_fork_parent(void)
{
	pthread_mutex_unlock(&device_mutex);
}

void hd_device_fork_child(void)
{
	int saved = errno, state;
	int fd = atomic_exchange(&device_fd, -1);

	/* fork() is no cancellation point, close() is. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (fd >= 0)
		close(fd);
	pthread_setcancelstate(state, NULL);
	errno = saved;
	pthread_mutex_unlock(&device_mutex);
}
