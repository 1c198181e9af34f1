// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The widths of Windows: compiling this file, in C or in C++, checks them. There is
 * no code in it.
 */
#include "heapdev.h"

#define CONCAT(a, b)		a##b
#define NAME(line)		CONCAT(check_of_line_, line)
#define CHECK(truth)		typedef char NAME(__LINE__)[(truth) ? 1 : -1]

#define CHECK_TYPE(type, bytes, has_sign) \
	CHECK(sizeof(type) == (bytes) && ((type)-1 < (type)1) == (has_sign))
#define CHECK_POINTER(type)	CHECK(sizeof(type) == 8)
#define CHECK_MEMBER(type, member, offset, bytes)			\
	CHECK(offsetof(type, member) == (offset) &&			\
	      sizeof(((type *)0)->member) == (bytes))

CHECK_TYPE(BYTE, 1, 0);
CHECK_TYPE(BOOLEAN, 1, 0);
CHECK_TYPE(WORD, 2, 0);
CHECK_TYPE(DWORD, 4, 0);
CHECK_TYPE(ULONG, 4, 0);
CHECK_TYPE(UINT, 4, 0);
CHECK_TYPE(LONG, 4, 1);
CHECK_TYPE(NTSTATUS, 4, 1);
CHECK_TYPE(BOOL, 4, 1);
CHECK_TYPE(SIZE_T, 8, 0);
CHECK_TYPE(ULONG_PTR, 8, 0);
CHECK_POINTER(PSIZE_T);
CHECK_POINTER(PVOID);
CHECK_POINTER(LPVOID);
CHECK_POINTER(LPCVOID);
CHECK_POINTER(HANDLE);
CHECK_POINTER(PHANDLE);

CHECK(sizeof(PROCESS_HEAP_ENTRY) == 40);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, lpData, 0, 8);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, cbData, 8, 4);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, cbOverhead, 12, 1);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, iRegionIndex, 13, 1);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, wFlags, 14, 2);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Block, 16, 24);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Block.hMem, 16, 8);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Block.dwReserved, 24, 12);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Region, 16, 24);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Region.dwCommittedSize, 16, 4);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Region.dwUnCommittedSize, 20, 4);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Region.lpFirstBlock, 24, 8);
CHECK_MEMBER(PROCESS_HEAP_ENTRY, Region.lpLastBlock, 32, 8);

CHECK(sizeof(HEAP_SUMMARY) == 40);
CHECK_MEMBER(HEAP_SUMMARY, cb, 0, 4);
CHECK_MEMBER(HEAP_SUMMARY, cbAllocated, 8, 8);
CHECK_MEMBER(HEAP_SUMMARY, cbCommitted, 16, 8);
CHECK_MEMBER(HEAP_SUMMARY, cbReserved, 24, 8);
CHECK_MEMBER(HEAP_SUMMARY, cbMaxReserve, 32, 8);

CHECK(sizeof(HEAP_OPTIMIZE_RESOURCES_INFORMATION) == 8);
CHECK_MEMBER(HEAP_OPTIMIZE_RESOURCES_INFORMATION, Version, 0, 4);
CHECK_MEMBER(HEAP_OPTIMIZE_RESOURCES_INFORMATION, Flags, 4, 4);

CHECK(sizeof(EXCEPTION_RECORD) == 152);
CHECK_MEMBER(EXCEPTION_RECORD, ExceptionCode, 0, 4);
CHECK_MEMBER(EXCEPTION_RECORD, ExceptionFlags, 4, 4);
CHECK_MEMBER(EXCEPTION_RECORD, ExceptionRecord, 8, 8);
CHECK_MEMBER(EXCEPTION_RECORD, ExceptionAddress, 16, 8);
CHECK_MEMBER(EXCEPTION_RECORD, NumberParameters, 24, 4);
CHECK_MEMBER(EXCEPTION_RECORD, ExceptionInformation, 32, 120);

CHECK(sizeof(EXCEPTION_POINTERS) == 16);
CHECK_MEMBER(EXCEPTION_POINTERS, ExceptionRecord, 0, 8);
CHECK_MEMBER(EXCEPTION_POINTERS, ContextRecord, 8, 8);

CHECK(sizeof(HEAP_INFORMATION_CLASS) == 4);
CHECK(HeapCompatibilityInformation == 0);
CHECK(HeapEnableTerminationOnCorruption == 1);
CHECK(HeapOptimizeResources == 3);
