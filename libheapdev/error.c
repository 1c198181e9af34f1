// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The last error of a thread, and the Win32 codes for errnos.
 */
#include <errno.h>

#include "internal.h"

static _Thread_local DWORD last_error;

DWORD WINAPI GetLastError(void)
{
	return last_error;
}

void WINAPI SetLastError(DWORD dwErrCode)
{
	last_error = dwErrCode;
}

BOOL hd_error_fail(DWORD code)
{
	last_error = code;
	return FALSE;
}

/* For the kernel's answers about a heap or a block, see the uapi header. */
DWORD hd_error_from_call(int err)
{
	switch (-err) {
	case ENOMEM:
	case EDQUOT:
	case ENOSPC:
	case EOVERFLOW:
	case EAGAIN:
		return ERROR_NOT_ENOUGH_MEMORY;
	case ENXIO:
	case EIDRM:
	case EPERM:
	case EBADF:
	case ENODEV:
		return ERROR_INVALID_HANDLE;
	case ENOENT:
	case EINVAL:
	case ERANGE:
		return ERROR_INVALID_PARAMETER;
	case EFAULT:
		return ERROR_NOACCESS;
	case EACCES:
		return ERROR_ACCESS_DENIED;
	case EOPNOTSUPP:
	case ENOTTY:
	case E2BIG:
		return ERROR_NOT_SUPPORTED;
	default:
		return ERROR_GEN_FAILURE;
	}
}

/* For open(), to which the same errnos mean other things. */
DWORD hd_error_from_open(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case ENXIO:
	case ENODEV:
		return ERROR_FILE_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERROR_ACCESS_DENIED;
	case EMFILE:
	case ENFILE:
		return ERROR_TOO_MANY_OPEN_FILES;
	case ENOMEM:
		return ERROR_NOT_ENOUGH_MEMORY;
	case ENOTSUP:
	case EISDIR:
		return ERROR_NOT_SUPPORTED;
	default:
		return ERROR_GEN_FAILURE;
	}
}
