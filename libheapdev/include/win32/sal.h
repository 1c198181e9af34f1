/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Annotations for Microsoft's analyser, which mean nothing to other compilers. */
#ifndef HEAPDEV_WIN32_SAL_H
#define HEAPDEV_WIN32_SAL_H

#define _In_
#define _In_opt_
#define _In_z_
#define _In_opt_z_
#define _In_reads_(count)
#define _In_reads_opt_(count)
#define _In_reads_bytes_(bytes)
#define _In_reads_bytes_opt_(bytes)
#define _Inout_
#define _Inout_opt_
#define _Inout_updates_(count)
#define _Inout_updates_bytes_(bytes)
#define _Out_
#define _Out_opt_
#define _Out_writes_(count)
#define _Out_writes_opt_(count)
#define _Out_writes_bytes_(bytes)
#define _Out_writes_bytes_opt_(bytes)
#define _Outptr_
#define _Outptr_opt_
#define _Ret_maybenull_
#define _Ret_notnull_
#define _Reserved_
#define _Frees_ptr_opt_
#define _Check_return_
#define _Must_inspect_result_
#define _Success_(condition)

#endif /* HEAPDEV_WIN32_SAL_H */
