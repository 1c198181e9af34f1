// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library in a program in C++: exceptions of the language that leave a handler
 * pass through the library, and guards. The test harness of the kernel is for C.
 */
#include <windows.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

static int failures;

#define EXPECT(truth)							\
	do {								\
		if (!(truth)) {						\
			std::printf("# %s:%d: %s\n", __FILE__, __LINE__, #truth); \
			failures++;					\
		}							\
	} while (0)

static const SIZE_T too_much = 0xFE001;	/* for a fixed heap */

/* A heap that raises, for a scope. */
struct Heap {
	HANDLE handle;

	Heap() : handle(HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, 1 << 20)) {}
	~Heap() { EXPECT(HeapDestroy(handle)); }
};

/* A vectored handler, for a scope. */
struct Handler {
	PVOID handle;

	explicit Handler(PVECTORED_EXCEPTION_HANDLER function)
		: handle(AddVectoredExceptionHandler(1, function)) {}
	~Handler() { EXPECT(RemoveVectoredExceptionHandler(handle)); }
};

struct OutOfMemory {
	DWORD code;
	ULONG_PTR bytes;
};

static LONG CALLBACK throw_out_of_memory(PEXCEPTION_POINTERS pointers)
{
	const EXCEPTION_RECORD *record = pointers->ExceptionRecord;
	const OutOfMemory thrown = {
		record->ExceptionCode, record->ExceptionInformation[0]
	};

	throw thrown;
}

static LONG WINAPI continue_execution(PEXCEPTION_POINTERS)
{
	return EXCEPTION_CONTINUE_EXECUTION;
}

/* Counts how often it is destroyed. */
struct Witness {
	int &count;

	explicit Witness(int &counter) : count(counter) {}
	~Witness() { count++; }
};

/* The lock is not held, and the heap works. */
static void expect_usable(HANDLE heap)
{
	SetLastError(0);
	EXPECT(!HeapUnlock(heap) && GetLastError() == ERROR_NOT_OWNER);
	EXPECT(HeapFree(heap, 0, HeapAlloc(heap, 0, 100)));
	EXPECT(HeapValidate(heap, 0, NULL));
}

static void throw_through_alloc()
{
	Handler handler(throw_out_of_memory);
	int destroyed = 0, caught = 0;
	Heap heap;

	for (int i = 0; i < 3; i++) {
		try {
			Witness witness(destroyed);

			HeapAlloc(heap.handle, 0, too_much + i);
			caught = -100;
		} catch (const OutOfMemory &thrown) {
			caught++;
			EXPECT(thrown.code == STATUS_NO_MEMORY);
			EXPECT(thrown.bytes == too_much + i);
		}
	}
	EXPECT(caught == 3 && destroyed == 3);
	expect_usable(heap.handle);
}

static void throw_through_realloc()
{
	Handler handler(throw_out_of_memory);
	bool caught = false;
	Heap heap;
	void *block = HeapAlloc(heap.handle, HEAP_ZERO_MEMORY, 50);

	try {
		HeapReAlloc(heap.handle, 0, block, too_much);
	} catch (const OutOfMemory &) {
		caught = true;
	}
	EXPECT(caught);
	EXPECT(HeapSize(heap.handle, 0, block) == 50);
	expect_usable(heap.handle);
}

static bool is_guarded(HANDLE heap)
{
	HEAPDEV_TRY {
		HeapAlloc(heap, 0, too_much);
	} HEAPDEV_EXCEPT {
		return HEAPDEV_EXCEPTION->ExceptionCode == STATUS_NO_MEMORY;
	} HEAPDEV_END
	return false;
}

/* A guard that is left by a throw catches nothing any more. */
static void throw_out_of_guard()
{
	volatile bool guarded = false;
	bool caught = false;
	Heap heap;

	try {
		Handler handler(throw_out_of_memory);

		HEAPDEV_TRY {
			HeapAlloc(heap.handle, 0, too_much);
		} HEAPDEV_EXCEPT {
			guarded = true;
		} HEAPDEV_END
	} catch (const OutOfMemory &) {
		caught = true;
	}
	EXPECT(caught && !guarded);
	EXPECT(is_guarded(heap.handle));
	SetUnhandledExceptionFilter(continue_execution);
	EXPECT(!HeapAlloc(heap.handle, 0, too_much));
	EXPECT(GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
	SetUnhandledExceptionFilter(NULL);
}

/* An allocator as programs write it, on a heap that does not raise. */
template <typename T>
struct HeapAllocator {
	typedef T value_type;

	HANDLE heap;

	explicit HeapAllocator(HANDLE handle) : heap(handle) {}
	template <typename U>
	HeapAllocator(const HeapAllocator<U> &other) : heap(other.heap) {}

	T *allocate(std::size_t count)
	{
		void *block = HeapAlloc(heap, 0, count * sizeof(T));

		if (!block)
			throw std::bad_alloc();
		return static_cast<T *>(block);
	}
	void deallocate(T *block, std::size_t)
	{
		EXPECT(HeapFree(heap, 0, block));
	}
	template <typename U>
	bool operator==(const HeapAllocator<U> &other) const
	{
		return heap == other.heap;
	}
	template <typename U>
	bool operator!=(const HeapAllocator<U> &other) const
	{
		return heap != other.heap;
	}
};

typedef std::vector<int, HeapAllocator<int> > Numbers;
typedef std::map<int, int, std::less<int>,
		 HeapAllocator<std::pair<const int, int> > > Squares;

static void containers_in_heap()
{
	HANDLE heap = HeapCreate(0, 0, 1 << 20);
	HEAP_SUMMARY summary;
	bool full = false;

	summary.cb = sizeof(summary);
	{
		HeapAllocator<int> allocator(heap);
		Squares squares((std::less<int>()), allocator);
		Numbers numbers(allocator);

		for (int i = 0; i < 1000; i++)
			squares[i] = i * i;
		for (int i = 0; i < 1000; i++)
			EXPECT(squares[i] == i * i);
		try {
			for (;;)
				numbers.push_back(1);
		} catch (const std::bad_alloc &) {
			full = true;
		}
		EXPECT(full && numbers.size() > 10000);
	}
	EXPECT(HeapSummary(heap, 0, &summary) && summary.cbAllocated == 0);
	EXPECT(HeapDestroy(heap));
}

static const struct {
	const char *name;
	void (*run)();
} tests[] = {
	{ "throw_through_alloc", throw_through_alloc },
	{ "throw_through_realloc", throw_through_realloc },
	{ "throw_out_of_guard", throw_out_of_guard },
	{ "containers_in_heap", containers_in_heap },
};

int main()
{
	int failed = 0;

	std::printf("TAP version 13\n1..%zu\n", ARRAYSIZE(tests));
	for (std::size_t i = 0; i < ARRAYSIZE(tests); i++) {
		failures = 0;
		tests[i].run();
		std::printf("%s %zu %s\n", failures ? "not ok" : "ok", i + 1,
			    tests[i].name);
		failed += failures != 0;
	}
	return failed != 0;
}
