// SPDX-License-Identifier: GPL-2.0-only
/*
 * An ordinary Windows program: it keeps words in blocks of a private heap, a
 * list of them and an array that grows, and uses nothing but the heap functions
 * and standard C. It compiles unchanged with a compiler for Windows and with
 *
 *	cc hello-heap.c $(pkg-config --cflags --libs libheapdev-win32)
 */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_OF_WORDS	2000
#define HEAP_MAXIMUM	(1024 * 1024)

typedef struct _WORD_NODE {
	struct _WORD_NODE *Next;
	char *Text;
} WORD_NODE;

static void Fail(const char *What)
{
	fprintf(stderr, "hello-heap: %s, error %u\n", What,
		(unsigned int)GetLastError());
	exit(1);
}

static LPVOID Allocate(HANDLE Heap, DWORD Flags, SIZE_T Bytes)
{
	LPVOID Block = HeapAlloc(Heap, Flags, Bytes);

	if (!Block)
		Fail("HeapAlloc");
	return Block;
}

static char *CopyText(HANDLE Heap, const char *Text)
{
	SIZE_T Bytes = strlen(Text) + 1;
	char *Copy = (char *)Allocate(Heap, 0, Bytes);

	CopyMemory(Copy, Text, Bytes);
	return Copy;
}

static WORD_NODE *BuildList(HANDLE Heap)
{
	WORD_NODE *First = NULL, *Node;
	char Text[32];
	int i;

	for (i = 0; i < NUMBER_OF_WORDS; i++) {
		sprintf(Text, "word-%d", (i * 7919) % NUMBER_OF_WORDS);
		Node = (WORD_NODE *)Allocate(Heap, HEAP_ZERO_MEMORY,
					     sizeof(*Node));
		Node->Text = CopyText(Heap, Text);
		Node->Next = First;
		First = Node;
	}
	return First;
}

/* One more element at a time, as a careless program does it. */
static char **BuildArray(HANDLE Heap, const WORD_NODE *Node, SIZE_T *Count)
{
	char **Array = (char **)Allocate(Heap, 0, 0);

	for (*Count = 0; Node; Node = Node->Next) {
		Array = (char **)HeapReAlloc(Heap, 0, Array,
					     (*Count + 1) * sizeof(*Array));
		if (!Array)
			Fail("HeapReAlloc");
		Array[(*Count)++] = Node->Text;
	}
	return Array;
}

static int CompareWords(const void *Left, const void *Right)
{
	return atoi(*(char *const *)Left + strlen("word-")) -
	       atoi(*(char *const *)Right + strlen("word-"));
}

/* Every word must be there once, and its block must have its exact size. */
static int IsComplete(HANDLE Heap, char **Array, SIZE_T Count)
{
	char Text[32];
	SIZE_T i;

	qsort(Array, Count, sizeof(*Array), CompareWords);
	for (i = 0; i < Count; i++) {
		sprintf(Text, "word-%d", (int)i);
		if (strcmp(Array[i], Text) != 0 ||
		    HeapSize(Heap, 0, Array[i]) != strlen(Text) + 1)
			return 0;
	}
	return Count == NUMBER_OF_WORDS &&
	       HeapSize(Heap, 0, Array) == Count * sizeof(*Array);
}

/* Fills the rest of the heap; what is there already must not suffer. */
static SIZE_T FillUp(HANDLE Heap)
{
	SIZE_T Blocks = 0;

	while (HeapAlloc(Heap, 0, 64 * 1024))
		Blocks++;
	if (GetLastError() != ERROR_NOT_ENOUGH_MEMORY)
		Fail("HeapAlloc of a full heap");
	return Blocks;
}

int main(void)
{
	HANDLE Heap = HeapCreate(0, 0, HEAP_MAXIMUM);
	SIZE_T Count, Blocks;
	WORD_NODE *List;
	char **Array;

	if (!Heap)
		Fail("HeapCreate");
	List = BuildList(Heap);
	Array = BuildArray(Heap, List, &Count);
	Blocks = FillUp(Heap);
	if (!IsComplete(Heap, Array, Count) || !HeapValidate(Heap, 0, NULL))
		Fail("the words are damaged");
	if (!HeapDestroy(Heap))
		Fail("HeapDestroy");
	printf("hello-heap: %u words in a list and an array intact in a heap of 1 MiB, which was full after %u more blocks of 64 KiB\n",
	       (unsigned int)Count, (unsigned int)Blocks);
	return 0;
}
