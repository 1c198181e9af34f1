/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls of a thread that are refused, or wait for another thread's answer.
 */
#ifndef SECCOMP_UTIL_H
#define SECCOMP_UTIL_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int filter_call(int number, __u32 action, unsigned int flags)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (__u32)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]), .filter = filter,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* From now on this call fails in the calling thread and those it makes. */
static inline int refuse_call(int number, int error)
{
	return filter_call(number, SECCOMP_RET_ERRNO | error, 0);
}

/* From now on it waits there. Returns the descriptor to answer by. */
static inline int hold_call(int number)
{
	return filter_call(number, SECCOMP_RET_USER_NOTIF,
			   SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

/* The next call that waits, by another thread. */
static inline int next_held(int fd, struct seccomp_notif *call)
{
	memset(call, 0, sizeof(*call));
	return ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, call);
}

/* It is made after all. */
static inline int let_go(int fd, const struct seccomp_notif *call)
{
	struct seccomp_notif_resp answer = {
		.id = call->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
	};

	return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* It is not made, and returns 0 or fails with an errno. */
static inline int answer_held(int fd, const struct seccomp_notif *call, int error)
{
	struct seccomp_notif_resp answer = { .id = call->id, .error = -error };

	return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

#endif /* SECCOMP_UTIL_H */
