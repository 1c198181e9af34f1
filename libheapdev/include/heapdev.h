/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libheapdev: the Windows heap functions on the private heaps of privheap.
 *
 * This header is the whole interface, for C and for C++. Programs written for
 * Windows include <windows.h> from the folder that `pkg-config --cflags
 * libheapdev-win32` names; it ends up here, too.
 *
 * A heap is made with HeapCreate() and named by a HANDLE. The kernel keeps its
 * limits, its pages and all blocks above 16 KiB, where the program cannot damage
 * them. What describes smaller blocks lies between guard pages in the process;
 * HEAPDEV_FRONTEND=0 leaves it to the kernel, too. A pointer that is handed to
 * these functions is looked up, never followed, so a wrong one is always an error
 * code and never a crash.
 *
 * Rules that hold for every function:
 *
 * - Sizes are in bytes. A size is exact: HeapSize() tells what was asked for.
 * - A failing function says why with GetLastError(), which belongs to the
 *   calling thread. A successful one leaves it alone, and none changes errno.
 * - The functions may be called from any thread. Unless HEAP_NO_SERIALIZE is
 *   given for a heap or for a call, a call holds the heap's lock.
 * - Flags of a call are added to those of the heap. Unknown ones are ignored.
 * - A handle is valid in the process that made it. After fork() the child's
 *   copies of it are refused with ERROR_INVALID_HANDLE, and the child's process
 *   heap is a new one. A child made by a bare system call or by _Fork() has
 *   no usable heaps.
 *
 * The device is opened when it is needed first and stays open: a program must
 * not close a descriptor that it did not open. Environment variables, ignored
 * in set-user-id programs:
 *
 * HEAPDEV_DEVICE
 *	path of the device instead of /dev/privheap
 * HEAPDEV_FRONTEND
 *	"0": every call on a block is a system call, and all that is known of blocks
 *	is in the kernel
 * HEAPDEV_GFLAGS
 *	settings of debug heaps, which then all heaps are: words such as "hpa" or
 *	"htc,hfc"; see doc/win32.rst
 * HEAPDEV_TERMINATE_ON_CORRUPTION
 *	anything but empty or "0": as HeapEnableTerminationOnCorruption
 *
 * The rules come from Microsoft's documentation of the functions and, where it
 * is silent or Windows is known to differ from it, from what Windows does. The
 * descriptions below name the places where a choice had to be made.
 */
#ifndef HEAPDEV_H
#define HEAPDEV_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEAPDEV_API	__attribute__((__visibility__("default")))

/* Types. A long has 64 bits here, so no 32-bit type is made of one. */

#define WINAPI
#define CALLBACK

#ifndef VOID
#define VOID		void
#endif

typedef uint8_t		BYTE;
typedef uint8_t		BOOLEAN;
typedef uint16_t	WORD;
typedef uint32_t	DWORD;
typedef uint32_t	ULONG;
typedef uint32_t	UINT;
typedef int32_t		LONG;
typedef int32_t		NTSTATUS;
typedef int		BOOL;
typedef size_t		SIZE_T;
typedef size_t		ULONG_PTR;
typedef SIZE_T		*PSIZE_T;
typedef void		*PVOID;
typedef void		*LPVOID;
typedef const void	*LPCVOID;
typedef void		*HANDLE;
typedef HANDLE		*PHANDLE;

#ifndef FALSE
#define FALSE		0
#endif
#ifndef TRUE
#define TRUE		1
#endif

/*
 * Flags. HeapCreate() knows HEAP_NO_SERIALIZE, HEAP_GENERATE_EXCEPTIONS and
 * HEAP_CREATE_ENABLE_EXECUTE; the calls on blocks know the first two and, where
 * it makes sense, HEAP_ZERO_MEMORY and HEAP_REALLOC_IN_PLACE_ONLY. The others
 * have names because programs use them, and have no effect.
 */
#define HEAP_NO_SERIALIZE		0x00000001U
#define HEAP_GROWABLE			0x00000002U
#define HEAP_GENERATE_EXCEPTIONS	0x00000004U
#define HEAP_ZERO_MEMORY		0x00000008U
#define HEAP_REALLOC_IN_PLACE_ONLY	0x00000010U
#define HEAP_TAIL_CHECKING_ENABLED	0x00000020U
#define HEAP_FREE_CHECKING_ENABLED	0x00000040U
#define HEAP_DISABLE_COALESCE_ON_FREE	0x00000080U
#define HEAP_CREATE_ALIGN_16		0x00010000U
#define HEAP_CREATE_ENABLE_TRACING	0x00020000U
#define HEAP_CREATE_ENABLE_EXECUTE	0x00040000U
#define HEAP_MAXIMUM_TAG		0x0FFF
#define HEAP_PSEUDO_TAG_FLAG		0x8000
#define HEAP_TAG_SHIFT			18

/* Not of Windows: HeapAlloc() and HeapReAlloc() may use the grace, see below. */
#define HEAPDEV_GRACE			0x80000000U

/* Every block starts at a multiple of this many bytes. */
#define MEMORY_ALLOCATION_ALIGNMENT	16

/* Values of GetLastError(). */
#define ERROR_SUCCESS			0
#define NO_ERROR			0
#define ERROR_FILE_NOT_FOUND		2
#define ERROR_TOO_MANY_OPEN_FILES	4
#define ERROR_ACCESS_DENIED		5
#define ERROR_INVALID_HANDLE		6
#define ERROR_NOT_ENOUGH_MEMORY		8
#define ERROR_GEN_FAILURE		31
#define ERROR_NOT_SUPPORTED		50
#define ERROR_INVALID_PARAMETER		87
#define ERROR_INSUFFICIENT_BUFFER	122
#define ERROR_NO_MORE_ITEMS		259
#define ERROR_NOT_OWNER			288
#define ERROR_NOACCESS			998

/* Codes of exceptions. */
#define STATUS_ACCESS_VIOLATION		((DWORD)0xC0000005U)
#define STATUS_NO_MEMORY		((DWORD)0xC0000017U)
#define STATUS_HEAP_CORRUPTION		((DWORD)0xC0000374U)
#define EXCEPTION_ACCESS_VIOLATION	STATUS_ACCESS_VIOLATION

/* What a handler or a filter answers. */
#define EXCEPTION_EXECUTE_HANDLER	1
#define EXCEPTION_CONTINUE_SEARCH	0
#define EXCEPTION_CONTINUE_EXECUTION	(-1)

/* Last error */

/**
 * GetLastError() - why the last failing call of this thread failed
 *
 * Cannot fail. 0 in a thread in which nothing failed yet.
 *
 * Return: the code, one of the ERROR_ values above or what SetLastError() was
 * given.
 */
HEAPDEV_API DWORD WINAPI GetLastError(void);

/**
 * SetLastError() - set what GetLastError() answers in this thread
 * @dwErrCode: any value
 *
 * Cannot fail.
 */
HEAPDEV_API void WINAPI SetLastError(DWORD dwErrCode);

/* Heaps */

/**
 * HeapCreate() - make a private heap
 * @flOptions: HEAP_NO_SERIALIZE: calls on this heap take no lock.
 *	HEAP_GENERATE_EXCEPTIONS: HeapAlloc() and HeapReAlloc() on it raise an
 *	exception when they fail. HEAP_CREATE_ENABLE_EXECUTE: its memory may be
 *	executed. Everything else is ignored, HEAP_ZERO_MEMORY, too, as on
 *	Windows.
 * @dwInitialSize: bytes that are committed at once and secured from then on,
 *	rounded up to pages; 0 counts as one page. More than the maximum is
 *	lowered to it.
 * @dwMaximumSize: 0 for a heap that grows as long as there is memory. Else the
 *	heap is fixed: so many bytes, rounded up to pages, are reserved, a little
 *	of them may be used up by the layout, and no block may be larger than
 *	0xFE000 bytes.
 *
 * The heap belongs to the caller, who ends it with HeapDestroy(). It also ends
 * with the process. This function never raises an exception.
 *
 * Return: a handle, which is the start of the heap's memory and a multiple of
 * 64 KiB; or NULL with
 *
 * - ERROR_NOT_ENOUGH_MEMORY: no memory, no address space, a limit reached, or
 *   sizes beyond the address space
 * - ERROR_ACCESS_DENIED: executable memory is not allowed here; or the device
 *   may not be opened by this user
 * - ERROR_FILE_NOT_FOUND: there is no device /dev/privheap, the module is not
 *   loaded
 * - ERROR_TOO_MANY_OPEN_FILES: the device could not be opened for that reason
 * - ERROR_NOT_SUPPORTED: the device is not one, or the module is too old
 */
HEAPDEV_API HANDLE WINAPI HeapCreate(DWORD flOptions, SIZE_T dwInitialSize,
				     SIZE_T dwMaximumSize);

/**
 * HeapdevCreateDebug() - make a debug heap
 * @flOptions: as for HeapCreate()
 * @dwInitialSize: as for HeapCreate()
 * @dwMaximumSize: as for HeapCreate(). In a page heap it bounds the sum of the
 *	sizes asked for.
 * @settings: as in the environment variable HEAPDEV_GFLAGS, which says nothing
 *	about this heap; "" for an ordinary heap
 *
 * Everything that uses a heap works with a debug heap, too. What is different is
 * told in doc/win32.rst.
 *
 * Return: as HeapCreate(); NULL with ERROR_INVALID_PARAMETER, too, if @settings is
 * NULL or names no setting.
 */
HEAPDEV_API HANDLE HeapdevCreateDebug(DWORD flOptions, SIZE_T dwInitialSize,
				      SIZE_T dwMaximumSize,
				      const char *settings);

/**
 * HeapDestroy() - end a heap and free all its blocks
 * @hHeap: the heap. NULL is accepted and does nothing.
 *
 * Blocks need not be freed first. The call waits for the heap's lock; threads
 * that still wait for it afterwards get ERROR_INVALID_HANDLE, as does every
 * later use of the handle.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_HANDLE if @hHeap is no heap or is
 * the process heap.
 */
HEAPDEV_API BOOL WINAPI HeapDestroy(HANDLE hHeap);

/**
 * GetProcessHeap() - the heap that every process has
 *
 * It is made at the first call, can grow, is serialised, and cannot be
 * destroyed.
 *
 * Return: always the same handle; or NULL with the errors of HeapCreate(), in
 * which case the next call tries again.
 */
HEAPDEV_API HANDLE WINAPI GetProcessHeap(void);

/**
 * GetProcessHeaps() - list the heaps of the process
 * @NumberOfHeaps: how many handles fit into @ProcessHeaps
 * @ProcessHeaps: array that receives handles, the process heap first and the
 *	others in the order of their creation; may be NULL if @NumberOfHeaps is 0
 *
 * If the array is too short it receives the first handles.
 *
 * Return: the number of heaps, which is at least 1 because the process heap is
 * made if need be; or 0 with ERROR_INVALID_PARAMETER if @ProcessHeaps is NULL
 * and should not be, or with the errors of GetProcessHeap().
 */
HEAPDEV_API DWORD WINAPI GetProcessHeaps(DWORD NumberOfHeaps,
					 PHANDLE ProcessHeaps);

/* Blocks */

/**
 * HeapAlloc() - allocate a block
 * @hHeap: the heap
 * @dwFlags: HEAP_ZERO_MEMORY: all @dwBytes bytes are 0, else they are
 *	undefined. HEAP_GENERATE_EXCEPTIONS: raise instead of returning NULL.
 *	HEAP_NO_SERIALIZE.
 * @dwBytes: size; 0 gives a block of its own, too
 *
 * The caller owns the block until HeapFree() or HeapDestroy(). It does not
 * move, and its memory is committed: touching it cannot run into a limit.
 *
 * Return: the start of the block, a multiple of 16; or NULL with
 *
 * - ERROR_NOT_ENOUGH_MEMORY: no memory, a limit reached, the heap full, a block
 *   of more than 0xFE000 bytes in a fixed heap, or an impossible size. The
 *   exception is STATUS_NO_MEMORY.
 * - ERROR_INVALID_HANDLE: @hHeap is no heap. The exception is
 *   STATUS_ACCESS_VIOLATION.
 *
 * Microsoft documents that the last error is not set; Windows sets it, and so
 * does this.
 */
HEAPDEV_API LPVOID WINAPI HeapAlloc(HANDLE hHeap, DWORD dwFlags,
				    SIZE_T dwBytes);

/**
 * HeapReAlloc() - change the size of a block
 * @hHeap: the heap of the block
 * @dwFlags: HEAP_ZERO_MEMORY: the bytes from the old size up to the new one are
 *	0. HEAP_REALLOC_IN_PLACE_ONLY: fail if the block would have to move.
 *	HEAP_GENERATE_EXCEPTIONS: raise instead of returning NULL.
 *	HEAP_NO_SERIALIZE.
 * @lpMem: start of a live block. NULL fails without an exception and sets the
 *	last error to 0, as Windows does; it never allocates. That is so before
 *	@hHeap is looked at.
 * @dwBytes: the new size; 0 does not free the block, it makes its size 0
 *
 * The contents up to the smaller of both sizes stay. When the call fails the
 * block is as it was.
 *
 * Return: the start of the block, which may have moved (then @lpMem is not
 * valid any more); or NULL with
 *
 * - ERROR_NOT_ENOUGH_MEMORY: as for HeapAlloc(), or the block cannot stay in
 *   place. The exception is STATUS_NO_MEMORY.
 * - ERROR_INVALID_PARAMETER: @lpMem is not the start of a live block of this
 *   heap. The exception is STATUS_ACCESS_VIOLATION.
 * - ERROR_INVALID_HANDLE: @hHeap is no heap. The exception is
 *   STATUS_ACCESS_VIOLATION.
 */
HEAPDEV_API LPVOID WINAPI HeapReAlloc(HANDLE hHeap, DWORD dwFlags,
				      LPVOID lpMem, SIZE_T dwBytes);

/**
 * HeapFree() - free a block
 * @hHeap: the heap of the block
 * @dwFlags: HEAP_NO_SERIALIZE
 * @lpMem: start of a live block. NULL is accepted and does nothing, whatever
 *	@hHeap is.
 *
 * The call never raises an exception, and a wrong pointer never damages a heap.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER if @lpMem is not the
 * start of a live block of this heap (foreign, freed already, of another heap,
 * inside a block), or with ERROR_INVALID_HANDLE if @hHeap is no heap.
 */
HEAPDEV_API BOOL WINAPI HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem);

/**
 * HeapSize() - the size of a block
 * @hHeap: the heap of the block
 * @dwFlags: HEAP_NO_SERIALIZE
 * @lpMem: start of a live block
 *
 * Return: the size in bytes that was asked for last; or (SIZE_T)-1 with
 * ERROR_INVALID_PARAMETER if @lpMem is not the start of a live block of this
 * heap, or with ERROR_INVALID_HANDLE if @hHeap is no heap. Microsoft documents
 * that the last error is not set; setting it contradicts no correct program.
 */
HEAPDEV_API SIZE_T WINAPI HeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem);

/**
 * HeapValidate() - check a block or a heap
 * @hHeap: the heap
 * @dwFlags: HEAP_NO_SERIALIZE
 * @lpMem: the block to check, or NULL for the heap. What can be wrong with a heap
 *	is that the program unmapped its memory, or wrote to what the library knows of
 *	blocks up to 16 KiB; the rest is out of its reach.
 *
 * Never changes the last error.
 *
 * Return: TRUE if @lpMem is the start of a live block of this heap, or if
 * @lpMem is NULL and the heap is sound; else FALSE, also if @hHeap is no heap.
 */
HEAPDEV_API BOOL WINAPI HeapValidate(HANDLE hHeap, DWORD dwFlags,
				     LPCVOID lpMem);

/**
 * HeapCompact() - give back what a heap does not use
 * @hHeap: the heap
 * @dwFlags: HEAP_NO_SERIALIZE
 *
 * Free neighbours are always merged already, and blocks never move. What is kept
 * for blocks to come goes back, and so does the memory of pages without a block.
 *
 * Return: the size of the largest free range that is committed, which need not
 * mean that a block of this size can be had; or 0, with NO_ERROR if there is
 * none, or with ERROR_INVALID_HANDLE if @hHeap is no heap.
 */
HEAPDEV_API SIZE_T WINAPI HeapCompact(HANDLE hHeap, DWORD dwFlags);

/* Locks */

/**
 * HeapLock() - keep all other threads out of a heap
 * @hHeap: the heap
 *
 * Calls of other threads on this heap wait until HeapUnlock(), except those
 * with HEAP_NO_SERIALIZE. The owner may use the heap and may lock it again;
 * every lock needs its unlock. A thread that ends while it owns the lock leaves
 * it locked. A heap made with HEAP_NO_SERIALIZE has no lock: TRUE, no effect.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_HANDLE if @hHeap is no heap.
 */
HEAPDEV_API BOOL WINAPI HeapLock(HANDLE hHeap);

/**
 * HeapUnlock() - undo one HeapLock()
 * @hHeap: the heap
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_HANDLE if @hHeap is no heap, or
 * with ERROR_NOT_OWNER if this thread does not own the lock. Microsoft does not
 * say what happens then; silence would hide the mistake.
 */
HEAPDEV_API BOOL WINAPI HeapUnlock(HANDLE hHeap);

/* Walking */

/* Values of wFlags; 0 is a free range. */
#define PROCESS_HEAP_REGION		0x0001
#define PROCESS_HEAP_UNCOMMITTED_RANGE	0x0002
#define PROCESS_HEAP_ENTRY_BUSY		0x0004
#define PROCESS_HEAP_SEG_ALLOC		0x0008
#define PROCESS_HEAP_ENTRY_MOVEABLE	0x0010
#define PROCESS_HEAP_ENTRY_DDESHARE	0x0020

/* Sizes that do not fit into a DWORD are 0xffffffff; HeapSize() is exact. */
typedef struct _PROCESS_HEAP_ENTRY {
	PVOID lpData;		/* where it starts */
	DWORD cbData;		/* size of a block or range; 0 for a region */
	BYTE cbOverhead;	/* what a block or free range costs beyond it */
	BYTE iRegionIndex;	/* 0 for the first region; 63 for those after
				 * the 63rd; 64: the block has its own */
	WORD wFlags;		/* PROCESS_HEAP_* */
	__extension__ union {
		struct {
			HANDLE hMem;
			DWORD dwReserved[3];
		} Block;		/* zero */
		struct {
			DWORD dwCommittedSize;
			DWORD dwUnCommittedSize;
			LPVOID lpFirstBlock;
			LPVOID lpLastBlock;	/* end of the region */
		} Region;		/* if PROCESS_HEAP_REGION */
	};
} PROCESS_HEAP_ENTRY, *PPROCESS_HEAP_ENTRY, *LPPROCESS_HEAP_ENTRY;

/**
 * HeapWalk() - the next part of a heap
 * @hHeap: the heap
 * @lpEntry: its lpData is NULL to begin, the rest is ignored then; else it is
 *	as the last call left it. Receives the next part. There is no other
 *	state, so a walk can be given up or repeated at any point.
 *
 * For each region in the order of creation there come the region, its blocks
 * and free ranges by address and what is not committed of it; then the blocks
 * with a region of their own, in the order of creation. Hold HeapLock()
 * for a walk that other threads must not disturb. Regions have no header here,
 * so the first block starts with the region.
 *
 * Return: TRUE; or FALSE with
 *
 * - ERROR_NO_MORE_ITEMS: that was all
 * - ERROR_INVALID_PARAMETER: no @lpEntry, or what it tells is not in the heap
 * - ERROR_INVALID_HANDLE: @hHeap is no heap
 */
HEAPDEV_API BOOL WINAPI HeapWalk(HANDLE hHeap, LPPROCESS_HEAP_ENTRY lpEntry);

/* Information */

typedef enum _HEAP_INFORMATION_CLASS {
	HeapCompatibilityInformation		= 0,
	HeapEnableTerminationOnCorruption	= 1,
	HeapOptimizeResources			= 3
} HEAP_INFORMATION_CLASS;

#define HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION	1

typedef struct _HEAP_OPTIMIZE_RESOURCES_INFORMATION {
	DWORD Version;	/* HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION */
	DWORD Flags;	/* ignored */
} HEAP_OPTIMIZE_RESOURCES_INFORMATION, *PHEAP_OPTIMIZE_RESOURCES_INFORMATION;

/**
 * HeapQueryInformation() - read a property of a heap
 * @HeapHandle: the heap
 * @HeapInformationClass: HeapCompatibilityInformation
 * @HeapInformation: receives a ULONG: 0 for a standard heap, 2 for one with a
 *	low-fragmentation front end: it was enabled, or the heap grows, is
 *	serialised, and more than 16 small blocks of one size live in it
 * @HeapInformationLength: bytes at @HeapInformation, at least 4
 * @ReturnLength: receives 4, also if @HeapInformationLength is too small; may
 *	be NULL
 *
 * Return: TRUE; or FALSE with
 *
 * - ERROR_INVALID_PARAMETER: another class, or no @HeapInformation
 * - ERROR_NOACCESS: @HeapHandle is NULL; @ReturnLength is not written
 * - ERROR_INVALID_HANDLE: @HeapHandle is no heap
 * - ERROR_INSUFFICIENT_BUFFER: @HeapInformationLength is less than 4
 */
HEAPDEV_API BOOL WINAPI
HeapQueryInformation(HANDLE HeapHandle,
		     HEAP_INFORMATION_CLASS HeapInformationClass,
		     PVOID HeapInformation, SIZE_T HeapInformationLength,
		     PSIZE_T ReturnLength);

/**
 * HeapSetInformation() - change a property of a heap
 * @HeapHandle: the heap; may be NULL for all heaps in the second and third class
 * @HeapInformationClass: HeapCompatibilityInformation: the ULONG 2 enables the
 *	low-fragmentation front end for good.
 *	HeapEnableTerminationOnCorruption: from now on HeapFree(), HeapReAlloc()
 *	and HeapSize() of any heap end the process with SIGABRT and a line on
 *	standard error instead of answering ERROR_INVALID_PARAMETER. It is off
 *	by default, unlike in 64-bit Windows, so that the errors can be tested.
 *	HeapOptimizeResources: as HeapCompact().
 * @HeapInformation: a ULONG; NULL; a HEAP_OPTIMIZE_RESOURCES_INFORMATION
 * @HeapInformationLength: its size; 0 for the second class
 *
 * Return: TRUE; or FALSE with
 *
 * - ERROR_INVALID_HANDLE: @HeapHandle is no heap
 * - ERROR_INVALID_PARAMETER: another class; @HeapInformation or its size are
 *   not as above; the front end for a fixed heap or for one made with
 *   HEAP_NO_SERIALIZE; a HEAP_OPTIMIZE_RESOURCES_INFORMATION that is too short
 *   or of another version
 * - ERROR_INSUFFICIENT_BUFFER: less than a ULONG for the first class
 * - ERROR_GEN_FAILURE: another value than 2 for a heap whose front end is
 *   enabled, or a value other than 0 and 2
 */
HEAPDEV_API BOOL WINAPI
HeapSetInformation(HANDLE HeapHandle,
		   HEAP_INFORMATION_CLASS HeapInformationClass,
		   PVOID HeapInformation, SIZE_T HeapInformationLength);

typedef struct _HEAP_SUMMARY {
	DWORD cb;		/* sizeof(HEAP_SUMMARY), set by the caller */
	SIZE_T cbAllocated;	/* sum of the sizes of the live blocks */
	SIZE_T cbCommitted;	/* bytes that count against limits */
	SIZE_T cbReserved;	/* address space */
	SIZE_T cbMaxReserve;	/* what cbReserved may become */
} HEAP_SUMMARY, *PHEAP_SUMMARY, *LPHEAP_SUMMARY;

/**
 * HeapSummary() - how much memory a heap uses
 * @hHeap: the heap
 * @dwFlags: 0
 * @lpSummary: its member cb must be sizeof(HEAP_SUMMARY); receives the sizes,
 *	each at most as large as the next. cbMaxReserve is the size of a fixed
 *	heap and the limit of one that grows, (SIZE_T)-1 if it has none.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (flags, no structure, a
 * wrong cb) or with ERROR_INVALID_HANDLE if @hHeap is no heap.
 */
HEAPDEV_API BOOL WINAPI HeapSummary(HANDLE hHeap, DWORD dwFlags,
				    LPHEAP_SUMMARY lpSummary);

/*
 * Limits, which Windows does not have.
 *
 * A heap, and all heaps of a process together, have a hard limit, a soft limit
 * and a grace. When the hard limit is reached HeapAlloc() fails with
 * ERROR_NOT_ENOUGH_MEMORY. Crossing the soft limit runs a callback. The grace is the
 * last bytes below the hard limit, which only those calls get that ask for it, so
 * that a program whose allocations fail can still finish what it has begun.
 */

/* Flags of HEAPDEV_OPTIONS. */
#define HEAPDEV_CREATE_BACKED	0x1U	/* HeapAlloc() answers NULL where a touch of
					 * the block would be too much for the
					 * machine or the memory cgroup */
#define HEAPDEV_CREATE_CGROUP	0x2U	/* the heap is charged to CgroupFd */
#define HEAPDEV_CREATE_SECRET	0x4U	/* what it holds is in no core dump and out
					 * of reach of other processes, and is wiped
					 * when a block is freed */
#define HEAPDEV_CREATE_ALL	(HEAPDEV_CREATE_BACKED | HEAPDEV_CREATE_CGROUP | \
				 HEAPDEV_CREATE_SECRET)

typedef struct _HEAPDEV_OPTIONS {
	DWORD cb;		/* sizeof(HEAPDEV_OPTIONS), set by the caller */
	DWORD Flags;		/* HEAPDEV_CREATE_* */
	SIZE_T LimitBytes;	/* hard limit, rounded down to pages; 0: none */
	SIZE_T SoftBytes;	/* soft limit, rounded down to pages; 0: none */
	SIZE_T GraceBytes;	/* grace, rounded up to pages */
	int CgroupFd;		/* of a directory in /sys/fs/cgroup that the caller
				 * may write to; 0 without the flag */
	DWORD Policy;		/* HEAPDEV_POLICY_*; 0 for that of the module */
} HEAPDEV_OPTIONS;

/**
 * HeapdevCreate() - make a private heap with limits
 * @flOptions: as for HeapCreate()
 * @dwInitialSize: as for HeapCreate(); taken from the limit, not from the grace
 * @dwMaximumSize: as for HeapCreate()
 * @options: what else; NULL for nothing. It may be longer than this library knows
 *	it, if the rest is zero.
 *
 * Return: as HeapCreate(); NULL with ERROR_INVALID_PARAMETER, too, if @options has a
 * wrong cb, an unknown flag or policy, a soft limit or a grace above the limit, or
 * no descriptor of a cgroup; with ERROR_ACCESS_DENIED if the cgroup may not be written
 * to; with ERROR_NOT_SUPPORTED if it has no memory controller.
 */
HEAPDEV_API HANDLE HeapdevCreate(DWORD flOptions, SIZE_T dwInitialSize,
				 SIZE_T dwMaximumSize,
				 const HEAPDEV_OPTIONS *options);

/* A value of HEAPDEV_LIMITS: no limit. */
#define HEAPDEV_NO_LIMIT	((SIZE_T)-1)

/* What HeapdevSetLimits() sets. */
#define HEAPDEV_LIMIT_HARD	0x1U
#define HEAPDEV_LIMIT_SOFT	0x2U
#define HEAPDEV_LIMIT_GRACE	0x4U

typedef struct _HEAPDEV_LIMITS {
	DWORD cb;		/* sizeof(HEAPDEV_LIMITS), set by the caller */
	SIZE_T HardBytes;	/* or HEAPDEV_NO_LIMIT */
	SIZE_T SoftBytes;	/* or HEAPDEV_NO_LIMIT */
	SIZE_T GraceBytes;
	SIZE_T CeilingBytes;	/* how far HardBytes can be raised */
	SIZE_T UsageBytes;	/* what counts against them now */
	SIZE_T PeakBytes;	/* the most that ever did */
	SIZE_T Failures;	/* how often the hard limit refused something */
	SIZE_T SoftHits;	/* how often the soft limit was crossed */
} HEAPDEV_LIMITS;

/**
 * HeapdevGetLimits() - read the limits of a heap
 * @heap: the heap, or NULL for all heaps of the process together
 * @limits: its cb must be sizeof(HEAPDEV_LIMITS); receives the rest
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (no structure, a wrong cb), or
 * with ERROR_INVALID_HANDLE if @heap is no heap.
 */
HEAPDEV_API BOOL HeapdevGetLimits(HANDLE heap, HEAPDEV_LIMITS *limits);

/**
 * HeapdevSetLimits() - change limits
 * @heap: the heap, or NULL for all heaps of the process together
 * @which: HEAPDEV_LIMIT_*, one or more
 * @limits: its cb must be sizeof(HEAPDEV_LIMITS); of the rest only what @which names
 *	is read
 *
 * The hard limit can be raised up to the ceiling: what it was when the heap was made,
 * or what an operator has set. Below what is used it takes nothing away, but
 * allocations fail until enough was freed; the soft limit and the grace are
 * lowered with it.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (@which, @limits, a hard limit
 * above the ceiling, a soft limit or a grace above the hard limit), with
 * ERROR_NOT_ENOUGH_MEMORY for a value beyond the address space, or with
 * ERROR_INVALID_HANDLE. Then nothing has changed.
 */
HEAPDEV_API BOOL HeapdevSetLimits(HANDLE heap, DWORD which,
				  const HEAPDEV_LIMITS *limits);

/**
 * HeapdevInjectFailures() - have allocations fail that need memory
 * @heap: the heap
 * @nth: the commit that fails, counted from now, 1 being the next; 0 for none
 * @rate_ppm: so many of a million commits fail, drawn at random; 0 for none
 * @seed: for the draws; the same seed draws the same commits
 *
 * For tests of what a program does when memory runs out. Only allocations that need
 * new pages commit any. Each call replaces what was asked for before; with @nth and
 * @rate_ppm 0 nothing is injected any more.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (a rate of more than 1000000)
 * or with ERROR_INVALID_HANDLE.
 */
HEAPDEV_API BOOL HeapdevInjectFailures(HANDLE heap, SIZE_T nth, DWORD rate_ppm,
				       SIZE_T seed);

/* Whose soft limit it was: bits of the second argument of a callback. */
#define HEAPDEV_SOFT_HEAP	0x02U
#define HEAPDEV_SOFT_PROCESS	0x04U
#define HEAPDEV_SOFT_USER	0x08U
#define HEAPDEV_SOFT_SYSTEM	0x10U
#define HEAPDEV_SOFT_CGROUP	0x20U

typedef void (CALLBACK *HEAPDEV_SOFT_CALLBACK)(HANDLE heap, DWORD scopes,
					       void *context);

/**
 * HeapdevSetSoftCallback() - have a function called when a soft limit is crossed
 * @heap: by an allocation in this heap
 * @callback: the function, or NULL for none
 * @context: its third argument
 *
 * It is called in the thread whose HeapAlloc() or HeapReAlloc() did it, before that
 * returns, with nothing locked but by the program itself. It may free blocks, change
 * limits and allocate; it must return, and not destroy the heap, nor touch the block
 * of a HeapReAlloc(). It is not called while a callback runs in the same thread. The
 * last error is as it was afterwards.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_HANDLE if @heap is no heap.
 */
HEAPDEV_API BOOL HeapdevSetSoftCallback(HANDLE heap,
					HEAPDEV_SOFT_CALLBACK callback,
					void *context);

/**
 * HeapdevGraceEnter() - let the calls of this thread use the grace
 *
 * As HEAPDEV_GRACE in every HeapAlloc() and HeapReAlloc(), of all heaps, until
 * HeapdevGraceLeave(): for code that does not know of it. May be nested.
 */
HEAPDEV_API void HeapdevGraceEnter(void);

/**
 * HeapdevGraceLeave() - undo one HeapdevGraceEnter()
 */
HEAPDEV_API void HeapdevGraceLeave(void);

/*
 * Memory, of which Windows decides alone.
 *
 * A page that a heap has handed out gets memory when it is touched, and others with
 * it, as the heap's policy says. What is freed goes back to the kernel, but for the
 * idle pages that a heap may keep.
 */

/* Policies: which pages get memory at a touch. */
#define HEAPDEV_POLICY_DEFAULT	0U	/* as the module was loaded */
#define HEAPDEV_POLICY_PAGE	1U	/* the one that is touched */
#define HEAPDEV_POLICY_WINDOW	2U	/* a window of them around it */
#define HEAPDEV_POLICY_ADAPTIVE	3U	/* more and more of them in a sequence */
#define HEAPDEV_POLICY_POPULATE	4U	/* all of them, before it is touched */
#define HEAPDEV_POLICY_HUGE	5U	/* a huge page of 2 MiB, where there is one; only
					 * for heaps that were created with it */

/**
 * HeapdevSetPolicy() - change how a heap has memory
 * @heap: the heap
 * @policy: HEAPDEV_POLICY_*
 * @window_pages: pages at a touch at most, a power of two; 0 for what is usual
 * @idle_bytes: how much of what is freed may stay, so that a program which allocates
 *	and frees in waves does not wait for memory in each, rounded up to pages; 0 for
 *	what the waves that there were have needed. It counts against limits, but goes
 *	before one refuses anything. A debug heap keeps nothing.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (no such policy, or window,
 * or HEAPDEV_POLICY_HUGE for a heap that was created with another), with
 * ERROR_NOT_ENOUGH_MEMORY (@idle_bytes beyond the address space), or with
 * ERROR_INVALID_HANDLE.
 */
HEAPDEV_API BOOL HeapdevSetPolicy(HANDLE heap, DWORD policy, DWORD window_pages,
				  SIZE_T idle_bytes);

/* What HeapdevAllocBatch() and HeapdevFreeBatch() take at most. */
#define HEAPDEV_BATCH_MAX	65536U

typedef struct _HEAPDEV_MEMBER {
	LPVOID Block;		/* to be freed; or receives the new one, or NULL */
	SIZE_T Bytes;		/* to be allocated */
	DWORD Error;		/* receives what a call for this one alone would have
				 * set, ERROR_SUCCESS if it was done */
} HEAPDEV_MEMBER;

/**
 * HeapdevAllocBatch() - allocate many blocks at once
 * @heap: the heap
 * @flags: as for HeapAlloc(); no exception is raised
 * @members: Bytes is read; Block and Error are written
 * @nr_members: how many, from 1 to HEAPDEV_BATCH_MAX
 *
 * One system call does many. What describes the blocks is in the kernel, where the
 * program cannot reach it, also for the sizes that HeapAlloc() has from its caches.
 * Otherwise they are blocks as any. Each member has its own result, and what comes
 * after a bad one is done, too.
 *
 * Return: how many were done. If that is not all, the last error is that of the first
 * which was not; or, with 0 and no member touched, ERROR_INVALID_HANDLE if
 * @heap is no heap, ERROR_INVALID_PARAMETER if there are no members or too many.
 */
HEAPDEV_API SIZE_T HeapdevAllocBatch(HANDLE heap, DWORD flags,
				     HEAPDEV_MEMBER *members, SIZE_T nr_members);

/**
 * HeapdevFreeBatch() - free many blocks at once
 * @heap: the heap
 * @flags: as for HeapFree()
 * @members: Block is read, and may be NULL; Error is written
 * @nr_members: how many, from 1 to HEAPDEV_BATCH_MAX
 *
 * Blocks of any origin, in any order. One that stands there twice is freed once, and
 * the second time refused.
 *
 * Return: as HeapdevAllocBatch().
 */
HEAPDEV_API SIZE_T HeapdevFreeBatch(HANDLE heap, DWORD flags,
				    HEAPDEV_MEMBER *members, SIZE_T nr_members);

/**
 * HeapdevReset() - free all blocks of a heap
 * @heap: the heap
 * @keep_bytes: how much of what has memory may keep it, for blocks to come, beside
 *	the initial size
 *
 * The handle, the limits, the policy and what else was set stay; the cost is that of
 * the memory, not of the number of blocks. In a debug heap each block is freed as by
 * HeapFree(), and examined as there; nothing is kept.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_HANDLE if @heap is no heap.
 */
HEAPDEV_API BOOL HeapdevReset(HANDLE heap, SIZE_T keep_bytes);

/**
 * HeapdevDecommit() - give the memory of some pages of a block back
 * @heap: the heap
 * @address: of the first page
 * @bytes: how much: whole pages, all in one block of more than 16384 bytes
 * @done: receives how much from @address on was done; may be NULL
 *
 * The block stays allocated. These pages do not count against limits any more; what
 * they held is lost, and to touch them is an access violation (SIGSEGV), until
 * HeapdevCommit(), or a HeapReAlloc() that moves the block. The program itself sees
 * to it that no other thread frees the block meanwhile.
 *
 * With @done the call ends early, and returns TRUE, when a signal comes; the caller
 * goes on behind what was done, or does not. Without, it goes on itself.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (no whole pages, or not all in
 * one such block), with ERROR_NOT_SUPPORTED in a debug heap, or with
 * ERROR_INVALID_HANDLE. With @done NULL a part may have been done.
 */
HEAPDEV_API BOOL HeapdevDecommit(HANDLE heap, LPVOID address, SIZE_T bytes,
				 SIZE_T *done);

/**
 * HeapdevCommit() - have pages of a block committed, and with memory
 * @heap: the heap
 * @address: of the first page
 * @bytes: how much, as for HeapdevDecommit()
 * @done: the same. The call ends early, too, where a limit is reached or memory runs
 *	out; another one, behind what was done, says so
 *
 * Pages that were decommitted are zero, others stay as they are. To touch these
 * pages cannot fail from there on.
 *
 * Return: as HeapdevDecommit(); FALSE with ERROR_NOT_ENOUGH_MEMORY, too.
 */
HEAPDEV_API BOOL HeapdevCommit(HANDLE heap, LPVOID address, SIZE_T bytes,
			       SIZE_T *done);

/**
 * HeapdevPrefault() - have pages ready that will be touched
 * @heap: the heap
 * @address: of the first page
 * @bytes: how much: whole pages, all of them committed
 * @done: as for HeapdevCommit()
 *
 * As if each of them were touched, in a fraction of the time. The pages may belong
 * to any blocks, also in a debug heap.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (no whole pages, or one that is
 * not committed), with ERROR_NOT_ENOUGH_MEMORY, or with ERROR_INVALID_HANDLE.
 */
HEAPDEV_API BOOL HeapdevPrefault(HANDLE heap, LPVOID address, SIZE_T bytes,
				 SIZE_T *done);

/* What a page is used for; the first page of a block or span has the flag. */
#define HEAPDEV_PAGE_FREE		0
#define HEAPDEV_PAGE_SPAN		1	/* small blocks */
#define HEAPDEV_PAGE_LARGE		2	/* a large block */
#define HEAPDEV_PAGE_GUARDED		3	/* a block of a page heap, and its guard
						 * page, which is reserved */
#define HEAPDEV_PAGE_QUARANTINED	4	/* such a block after it was freed */
#define HEAPDEV_PAGE_TAKEN		5	/* small blocks of the front end */
#define HEAPDEV_PAGE_FIRST		0x80

/* Its state. */
#define HEAPDEV_PAGE_RESERVED		0
#define HEAPDEV_PAGE_COMMITTED		1	/* and it may be touched */
#define HEAPDEV_PAGE_RESIDENT		2	/* and it has memory */

typedef struct _HEAPDEV_PAGE {
	BYTE Use;
	BYTE State;
} HEAPDEV_PAGE;

typedef struct _HEAPDEV_PAGE_MAP {
	DWORD cb;		/* sizeof(HEAPDEV_PAGE_MAP), set by the caller */
	const HEAPDEV_PAGE *Pages;	/* one for each page, in memory that only the
					 * kernel can write */
	PVOID Base;		/* of the region */
	SIZE_T NumberOfPages;
} HEAPDEV_PAGE_MAP;

/**
 * HeapdevPageMap() - see what the pages of a heap are, from now on without a call
 * @heap: the heap
 * @address: any address in it, which names one of its regions; NULL for the first one
 * @map: its cb must be sizeof(HEAPDEV_PAGE_MAP); receives where the entries are
 *
 * The kernel keeps the entries up to date until the region ends: with the heap or, if it
 * is that of one block, some time after that is freed. To read them then is an access
 * violation (SIGSEGV). While other threads change a page, its entry may be the old one,
 * the new one, or one member of each. Each page of memory that the entries need counts
 * as one for the process.
 *
 * Return: TRUE; or FALSE with ERROR_INVALID_PARAMETER (no structure, a wrong cb, or an
 * address that is not in the heap), with ERROR_NOT_ENOUGH_MEMORY, or with
 * ERROR_INVALID_HANDLE.
 */
HEAPDEV_API BOOL HeapdevPageMap(HANDLE heap, LPCVOID address,
				HEAPDEV_PAGE_MAP *map);

/* Exceptions */

#define EXCEPTION_MAXIMUM_PARAMETERS	15

typedef struct _EXCEPTION_RECORD {
	DWORD ExceptionCode;
	DWORD ExceptionFlags;			/* 0: may be continued */
	struct _EXCEPTION_RECORD *ExceptionRecord;	/* NULL */
	PVOID ExceptionAddress;			/* where the call returns to */
	DWORD NumberParameters;			/* 1 */
	ULONG_PTR ExceptionInformation[EXCEPTION_MAXIMUM_PARAMETERS];
						/* [0]: the requested size */
} EXCEPTION_RECORD, *PEXCEPTION_RECORD;

/* Registers are not recorded. */
typedef struct _CONTEXT CONTEXT, *PCONTEXT;

typedef struct _EXCEPTION_POINTERS {
	PEXCEPTION_RECORD ExceptionRecord;
	PCONTEXT ContextRecord;			/* NULL */
} EXCEPTION_POINTERS, *PEXCEPTION_POINTERS, *LPEXCEPTION_POINTERS;

typedef LONG (CALLBACK *PVECTORED_EXCEPTION_HANDLER)
	(PEXCEPTION_POINTERS ExceptionInfo);
typedef LONG (WINAPI *PTOP_LEVEL_EXCEPTION_FILTER)
	(PEXCEPTION_POINTERS ExceptionInfo);
typedef PTOP_LEVEL_EXCEPTION_FILTER LPTOP_LEVEL_EXCEPTION_FILTER;

/*
 * With HEAP_GENERATE_EXCEPTIONS a call that fails sets the last error, gives
 * back the heap's lock, and raises an exception in its thread. Asked are, in
 * this order and until one deals with it:
 *
 * 1. the vectored handlers of the process;
 * 2. the innermost HEAPDEV_TRY of the thread, whose HEAPDEV_EXCEPT part runs
 *    instead of the rest of its body;
 * 3. the filter of the process.
 *
 * EXCEPTION_CONTINUE_EXECUTION from a handler or filter makes the call return
 * NULL after all, with the last error as without exceptions. If nobody deals
 * with the exception, one line on standard error tells so and the process ends
 * with SIGABRT; EXCEPTION_EXECUTE_HANDLER from the filter ends it without the
 * line. A handler may leave with longjmp(), but not out of a HEAPDEV_TRY, or, in
 * C++, by throwing.
 */

/**
 * AddVectoredExceptionHandler() - have a function asked about exceptions first
 * @First: not 0: before all handlers that are there; 0: after them
 * @Handler: the function. Any thread may call it. One that is being removed may
 *	still be called by a thread that raised an exception before.
 *
 * Return: what RemoveVectoredExceptionHandler() takes; or NULL with
 * ERROR_INVALID_PARAMETER if @Handler is NULL, or with ERROR_NOT_ENOUGH_MEMORY
 * if 64 handlers are there already.
 */
HEAPDEV_API PVOID WINAPI
AddVectoredExceptionHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler);

/**
 * RemoveVectoredExceptionHandler() - undo AddVectoredExceptionHandler()
 * @Handle: what it returned
 *
 * Return: not 0; or 0 if there is no such handler.
 */
HEAPDEV_API ULONG WINAPI RemoveVectoredExceptionHandler(PVOID Handle);

/**
 * SetUnhandledExceptionFilter() - have a function asked about exceptions last
 * @lpTopLevelExceptionFilter: the function, or NULL for none
 *
 * Return: the function that was set before, or NULL.
 */
HEAPDEV_API LPTOP_LEVEL_EXCEPTION_FILTER WINAPI
SetUnhandledExceptionFilter(LPTOP_LEVEL_EXCEPTION_FILTER lpTopLevelExceptionFilter);

/*
 * Guards are the counterpart of __try and __except, which C compilers other
 * than Microsoft's do not have:
 *
 *	HEAPDEV_TRY {
 *		block = HeapAlloc(heap, HEAP_GENERATE_EXCEPTIONS, bytes);
 *	} HEAPDEV_EXCEPT {
 *		printf("%#x\n", HEAPDEV_EXCEPTION->ExceptionCode);
 *	} HEAPDEV_END
 *
 * The body may be left by return, break, continue and goto, and in C++ by throwing;
 * not by longjmp(), which leaves the guard in place although it is gone. The except
 * part belongs to no guard: what is raised there goes to the next outer one. The
 * rules of setjmp() hold: a local variable that the body changes and that is
 * read afterwards must be volatile; and in C++ no object with a destructor may
 * live between the guard and the call that raises. Locks taken with HeapLock()
 * in the body stay taken.
 */
typedef struct _HEAPDEV_GUARD {
	jmp_buf Environment;
	struct _HEAPDEV_GUARD *Outer;
	EXCEPTION_RECORD Record;
} HEAPDEV_GUARD;

#define HEAPDEV_TRY							\
	{								\
		HEAPDEV_GUARD heapdev_guard				\
			__attribute__((__cleanup__(HeapdevGuardLeave)));\
									\
		HeapdevGuardEnter(&heapdev_guard);			\
		if (setjmp(heapdev_guard.Environment) == 0)

#define HEAPDEV_EXCEPT	else

#define HEAPDEV_END							\
	}

/* In the except part: the EXCEPTION_RECORD of what was raised. */
#define HEAPDEV_EXCEPTION						\
	((const EXCEPTION_RECORD *)&heapdev_guard.Record)

/**
 * HeapdevGuardEnter() - make a guard the innermost one of this thread
 * @guard: owned by the caller, alive until HeapdevGuardLeave()
 *
 * For HEAPDEV_TRY.
 */
HEAPDEV_API void HeapdevGuardEnter(HEAPDEV_GUARD *guard);

/**
 * HeapdevGuardLeave() - take a guard off, unless an exception did so already
 * @guard: the guard
 *
 * For HEAPDEV_TRY, which arranges for it at every way out of its block.
 */
HEAPDEV_API void HeapdevGuardLeave(HEAPDEV_GUARD *guard);

#ifdef __cplusplus
}
#endif

#endif /* HEAPDEV_H */
