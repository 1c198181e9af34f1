// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Duktape adapter: engines in heaps, with the memory that they are given
 * and no more.
 *
 * Scripts run in protected calls, and so does all that may need memory. Threads
 * make no assertions; they leave what they saw to the test.
 */
#include <pthread.h>
#include <setjmp.h>

#include "kselftest_harness.h"
#include "library_util.h"

#include <heapdev-duktape.h>

#define HEAP_BYTES	(1 * MIB)

/* Scripts */

/* Trees, strings, sorting, text and back. meet() is called in between. */
static const char workload[] =
	"(function () {"
	"	var items = [], state = seed, texts, tree, counts = {};"
	"	function next() {"
	"		return state = state * 16807 % 2147483647;"
	"	}"
	"	function grow(depth) {"
	"		return depth ? { left: grow(depth - 1),"
	"				 right: [ grow(depth - 1), next() % 100 ] }"
	"			     : 'leaf' + next() % 10;"
	"	}"
	"	while (items.length < 300)"
	"		items.push({ key: next() % 1000, text: 'item ' + next() });"
	"	meet();"
	"	items.sort(function (a, b) { return a.key - b.key ||"
	"				     (a.text < b.text ? -1 : 1); });"
	"	meet();"
	"	tree = JSON.stringify(grow(6));"
	"	if (JSON.stringify(JSON.parse(tree)) !== tree)"
	"		throw new Error('round trip');"
	"	meet();"
	"	tree.replace(/leaf[0-9]/g, function (leaf) {"
	"		counts[leaf] = (counts[leaf] || 0) + 1;"
	"	});"
	"	texts = Object.keys(counts).sort().map(function (leaf) {"
	"		return counts[leaf];"
	"	});"
	"	meet();"
	"	return [ items[0].key, items[150].text, items[299].key,"
	"		 tree.length, texts.join('-') ].join();"
	"})()";

/* The workload's result by seed, as V8 has it, too. */
static const char *const workload_results[] = {
	"",
	"0,item 1238616728,995,1889,3-8-1-7-7-5-6-10-5-12",
	"0,item 2019006891,991,1893,5-10-8-3-4-6-7-7-9-5",
};

/* Keeps all it allocates in the variable "kept", and ends by an error only. */
static const char endless[] =
	"var kept = [];"
	"for (;;)"
	"	kept.push({ number: kept.length, text: 'text ' + kept.length });";

/* The same, but the script deals with the error by itself. */
static const char endless_caught[] =
	"(function () {"
	"	var kept = [];"
	"	try {"
	"		for (;;)"
	"			kept.push(new Uint8Array(5000));"
	"	} catch (error) {"
	"		kept = null;"
	"		return 'caught ' + error.message;"
	"	}"
	"})()";

struct script {
	const char *text;
	unsigned int seed;
	pthread_barrier_t *barrier;	/* for meet(); may be NULL */
	bool failed;
	char result[200];		/* or the text of the error */
};

static duk_ret_t script_meet(duk_context *ctx)
{
	struct script *script;

	duk_push_current_function(ctx);
	duk_get_prop_string(ctx, -1, DUK_HIDDEN_SYMBOL("script"));
	script = duk_get_pointer(ctx, -1);
	if (script->barrier)
		pthread_barrier_wait(script->barrier);
	return 0;
}

static duk_ret_t script_take_text(duk_context *ctx, void *udata)
{
	struct script *script = udata;

	snprintf(script->result, sizeof(script->result), "%s",
		 duk_to_string(ctx, -1));
	return 0;
}

static duk_ret_t script_evaluate(duk_context *ctx, void *udata)
{
	struct script *script = udata;

	duk_push_uint(ctx, script->seed);
	duk_put_global_string(ctx, "seed");
	duk_push_c_function(ctx, script_meet, 0);
	duk_push_pointer(ctx, script);
	duk_put_prop_string(ctx, -2, DUK_HIDDEN_SYMBOL("script"));
	duk_put_global_string(ctx, "meet");
	duk_eval_string(ctx, script->text);
	return script_take_text(ctx, udata);
}

static void script_run(struct script *script, duk_context *ctx)
{
	script->failed = duk_safe_call(ctx, script_evaluate, script, 0, 1);
	if (script->failed)
		duk_safe_call(ctx, script_take_text, script, 1, 1);
	duk_pop(ctx);
}

/* The value of an expression, or the text of its error. */
static const char *value_of(duk_context *ctx, const char *expression)
{
	static struct script script;

	script = (struct script) { .text = expression };
	script_run(&script, ctx);
	return script.result;
}

/* Makes the global variable garbage, without allocating. */
static duk_ret_t drop_kept(duk_context *ctx, void *udata)
{
	duk_push_global_object(ctx);
	duk_push_undefined(ctx);
	duk_put_prop_string(ctx, -2, "kept");
	return 0;
}

/* Either comes, depending on whether there is room for the first. */
static bool is_out_of_memory(const char *error)
{
	return !strcmp(error, "Error: alloc failed") ||
	       !strcmp(error, "DoubleError: error in error handling");
}

/* The functions that Duktape gets */

FIXTURE(functions) {
	HANDLE heap;
};

FIXTURE_SETUP(functions)
{
	self->heap = HeapCreate(HEAP_NO_SERIALIZE, 0, HEAP_BYTES);
	ASSERT_HEAP(self->heap);
}

FIXTURE_TEARDOWN(functions)
{
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
	EXPECT_TRUE(HeapDestroy(self->heap));
}

TEST_F(functions, alloc_and_free)
{
	char *block = HeapdevDuktapeAlloc(self->heap, 100);

	ASSERT_NE(NULL, block);
	EXPECT_EQ(0, (uintptr_t)block % 8);
	EXPECT_EQ(100, HeapSize(self->heap, 0, block));
	HeapdevDuktapeFree(self->heap, block);
	EXPECT_FALSE(HeapValidate(self->heap, 0, block));
}

TEST_F(functions, alloc_zero)
{
	char *block = HeapdevDuktapeAlloc(self->heap, 0);

	ASSERT_NE(NULL, block);
	block = HeapdevDuktapeRealloc(self->heap, block, 50);
	ASSERT_NE(NULL, block);
	EXPECT_EQ(50, HeapSize(self->heap, 0, block));
	HeapdevDuktapeFree(self->heap, block);
}

TEST_F(functions, free_null)
{
	preset_errors();
	HeapdevDuktapeFree(self->heap, NULL);
	EXPECT_NO_ERROR();
}

TEST_F(functions, realloc_null)
{
	char *block = HeapdevDuktapeRealloc(self->heap, NULL, 100);

	ASSERT_NE(NULL, block);
	EXPECT_EQ(100, HeapSize(self->heap, 0, block));
	HeapdevDuktapeFree(self->heap, block);
}

TEST_F(functions, realloc_null_to_zero)
{
	char *block = HeapdevDuktapeRealloc(self->heap, NULL, 0);

	HeapdevDuktapeFree(self->heap, block);
	EXPECT_FALSE(HeapValidate(self->heap, 0, block ? block : "none"));
}

TEST_F(functions, realloc_to_zero)
{
	char *block = HeapdevDuktapeAlloc(self->heap, 100);

	ASSERT_NE(NULL, block);
	preset_errors();
	EXPECT_EQ(NULL, HeapdevDuktapeRealloc(self->heap, block, 0));
	EXPECT_NO_ERROR();
	EXPECT_FALSE(HeapValidate(self->heap, 0, block));
}

TEST_F(functions, realloc_grow)
{
	char *block = HeapdevDuktapeAlloc(self->heap, 100);

	ASSERT_NE(NULL, block);
	fill(block, 100, 1);
	block = HeapdevDuktapeRealloc(self->heap, block, 50000);
	ASSERT_NE(NULL, block);
	EXPECT_EQ(50000, HeapSize(self->heap, 0, block));
	EXPECT_TRUE(is_filled(block, 100, 1));
	HeapdevDuktapeFree(self->heap, block);
}

TEST_F(functions, realloc_fail)
{
	char *block = HeapdevDuktapeAlloc(self->heap, 100);

	ASSERT_NE(NULL, block);
	fill(block, 100, 1);
	preset_errors();
	EXPECT_EQ(NULL, HeapdevDuktapeRealloc(self->heap, block,
					      2 * HEAP_BYTES));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_EQ(100, HeapSize(self->heap, 0, block));
	EXPECT_TRUE(is_filled(block, 100, 1));
	HeapdevDuktapeFree(self->heap, block);
}

/* Duktape relies on it that a block can be made smaller whatever happens. */
TEST_F(functions, realloc_shrink_in_full_heap)
{
	static const size_t sizes[] = { 100000, 3000, 200, 40 };
	char *blocks[ARRAY_SIZE(sizes)];
	char *last = NULL, *block;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		blocks[i] = HeapdevDuktapeAlloc(self->heap, sizes[i]);
		ASSERT_NE(NULL, blocks[i]);
		fill(blocks[i], sizes[i], i);
	}
	/* A list through all other memory, down to the smallest blocks. */
	for (i = 65536; i >= sizeof(last); i /= 2) {
		while ((block = HeapdevDuktapeAlloc(self->heap, i))) {
			*(char **)block = last;
			last = block;
		}
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		block = HeapdevDuktapeRealloc(self->heap, blocks[i], 17);
		ASSERT_NE(NULL, block);
		EXPECT_TRUE(is_filled(block, 17, i));
		HeapdevDuktapeFree(self->heap, block);
	}
	for (; last; last = block) {
		block = *(char **)last;
		HeapdevDuktapeFree(self->heap, last);
	}
}

/* An engine in a heap */

FIXTURE(engine) {
	HANDLE heap;
	duk_context *ctx;
};

FIXTURE_VARIANT(engine) {
	DWORD options;
	SIZE_T initial_bytes;
};

FIXTURE_VARIANT_ADD(engine, unserialized) {
	.options = HEAP_NO_SERIALIZE,
};

FIXTURE_VARIANT_ADD(engine, serialized) {
};

FIXTURE_VARIANT_ADD(engine, all_initial) {
	.options = HEAP_NO_SERIALIZE,
	.initial_bytes = HEAP_BYTES,
};

FIXTURE_SETUP(engine)
{
	self->heap = HeapCreate(variant->options, variant->initial_bytes,
				HEAP_BYTES);
	ASSERT_HEAP(self->heap);
	preset_errors();
	self->ctx = HeapdevDuktapeCreate(self->heap, NULL);
	ASSERT_NE(NULL, self->ctx);
	EXPECT_NO_ERROR();
}

FIXTURE_TEARDOWN(engine)
{
	duk_destroy_heap(self->ctx);
	EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));
	EXPECT_TRUE(HeapDestroy(self->heap));
	EXPECT_FALSE(HeapValidate(self->heap, 0, NULL));
}

TEST_F(engine, run_script)
{
	struct script script = { .text = workload, .seed = 1 };

	script_run(&script, self->ctx);
	EXPECT_FALSE(script.failed);
	EXPECT_STREQ(workload_results[1], script.result);
	/* All of it is in the heap: Duktape alone has more than that. */
	EXPECT_LT(64 * KIB, summary_of(self->heap).cbAllocated);
}

TEST_F(engine, run_endless_script)
{
	struct script script = { .text = endless };

	script_run(&script, self->ctx);
	EXPECT_TRUE(script.failed);
	EXPECT_TRUE(is_out_of_memory(script.result)) {
		TH_LOG("%s", script.result);
	}
	EXPECT_LT(HEAP_BYTES / 4 * 3, summary_of(self->heap).cbCommitted);
	EXPECT_GE(HEAP_BYTES, summary_of(self->heap).cbCommitted);
	EXPECT_TRUE(HeapValidate(self->heap, 0, NULL));

	/* The engine is as good as before when it has memory again. */
	ASSERT_EQ(0, duk_safe_call(self->ctx, drop_kept, NULL, 0, 1));
	duk_pop(self->ctx);
	EXPECT_STREQ("42", value_of(self->ctx, "6 * 7"));
	script = (struct script) { .text = workload, .seed = 2 };
	script_run(&script, self->ctx);
	EXPECT_STREQ(workload_results[2], script.result);
}

TEST_F(engine, catch_out_of_memory)
{
	int i;

	for (i = 0; i < 3; i++)
		EXPECT_STREQ("caught alloc failed",
			     value_of(self->ctx, endless_caught));
	EXPECT_STREQ("42", value_of(self->ctx, "6 * 7"));
}

TEST_F(engine, udata_is_heap)
{
	duk_memory_functions functions;

	duk_get_memory_functions(self->ctx, &functions);
	EXPECT_EQ(self->heap, functions.udata);
}

TEST_F(engine, create_again)
{
	SIZE_T committed = 0;
	int i;

	for (i = 0; i < 5; i++) {
		EXPECT_STREQ("42", value_of(self->ctx, "6 * 7"));
		/* What the first engine took is enough for all. */
		if (!i)
			committed = summary_of(self->heap).cbCommitted;
		EXPECT_GE(committed, summary_of(self->heap).cbCommitted);
		duk_destroy_heap(self->ctx);
		EXPECT_EQ(0, summary_of(self->heap).cbAllocated);
		self->ctx = HeapdevDuktapeCreate(self->heap, NULL);
		ASSERT_NE(NULL, self->ctx);
	}
}

TEST(run_script_in_growable_heap)
{
	struct script script = { .text = workload, .seed = 1 };
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
	duk_context *ctx;

	ASSERT_HEAP(heap);
	ctx = HeapdevDuktapeCreate(heap, NULL);
	ASSERT_NE(NULL, ctx);
	script_run(&script, ctx);
	EXPECT_STREQ(workload_results[1], script.result);
	duk_destroy_heap(ctx);
	EXPECT_EQ(0, summary_of(heap).cbAllocated);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* A heap ends with whatever is in it. */
TEST(destroy_without_engine)
{
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, HEAP_BYTES);
	duk_context *ctx;

	ASSERT_HEAP(heap);
	ctx = HeapdevDuktapeCreate(heap, NULL);
	ASSERT_NE(NULL, ctx);
	EXPECT_STREQ("42", value_of(ctx, "6 * 7"));
	EXPECT_TRUE(HeapDestroy(heap));
	EXPECT_FALSE(HeapValidate(heap, 0, NULL));
}

static jmp_buf fatal_env;
static void *fatal_udata;

static void note_fatal(void *udata, const char *message)
{
	fatal_udata = udata;
	longjmp(fatal_env, 1);
}

TEST(fatal_handler)
{
	HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, HEAP_BYTES);
	duk_context *ctx;

	ASSERT_HEAP(heap);
	ctx = HeapdevDuktapeCreate(heap, note_fatal);
	ASSERT_NE(NULL, ctx);
	if (!setjmp(fatal_env))
		duk_fatal(ctx, "a test");
	EXPECT_EQ(heap, fatal_udata);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Creation without enough memory */

/* Nothing is created, and the heap is as it was. */
static void check_refusal(struct __test_metadata *_metadata, HANDLE heap)
{
	HEAP_SUMMARY before = summary_of(heap), after;

	preset_errors();
	EXPECT_EQ(NULL, HeapdevDuktapeCreate(heap, NULL));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	after = summary_of(heap);
	EXPECT_EQ(before.cbAllocated, after.cbAllocated);
	EXPECT_EQ(before.cbCommitted, after.cbCommitted);
	EXPECT_EQ(before.cbReserved, after.cbReserved);
	EXPECT_TRUE(HeapValidate(heap, 0, NULL));
}

TEST(create_in_small_heap)
{
	SIZE_T page_bytes = sysconf(_SC_PAGESIZE);
	SIZE_T sizes[] = {
		page_bytes,
		HEAPDEV_DUKTAPE_MIN_BYTES / 2,
		HEAPDEV_DUKTAPE_MIN_BYTES - page_bytes,
	};
	unsigned int i;
	HANDLE heap;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		heap = HeapCreate(0, 0, sizes[i]);
		ASSERT_HEAP(heap);
		check_refusal(_metadata, heap);
		EXPECT_TRUE(HeapDestroy(heap));
	}
}

TEST(create_in_smallest_heap)
{
	HANDLE heap = HeapCreate(0, 0, HEAPDEV_DUKTAPE_MIN_BYTES);
	duk_context *ctx;

	ASSERT_HEAP(heap);
	ctx = HeapdevDuktapeCreate(heap, NULL);
	ASSERT_NE(NULL, ctx);
	EXPECT_STREQ("42", value_of(ctx, "6 * 7"));
	duk_destroy_heap(ctx);
	EXPECT_EQ(0, summary_of(heap).cbAllocated);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST(create_in_used_heap)
{
	HANDLE heap = HeapCreate(0, 0, HEAP_BYTES);
	duk_context *ctx;
	char *block;

	ASSERT_HEAP(heap);
	block = HeapAlloc(heap, 0, HEAP_BYTES - 128 * KIB);
	ASSERT_NE(NULL, block);
	check_refusal(_metadata, heap);
	EXPECT_TRUE(HeapFree(heap, 0, block));
	ctx = HeapdevDuktapeCreate(heap, NULL);
	ASSERT_NE(NULL, ctx);
	duk_destroy_heap(ctx);
	EXPECT_TRUE(HeapDestroy(heap));
}

TEST(create_without_heap)
{
	int nothing;

	preset_errors();
	EXPECT_EQ(NULL, HeapdevDuktapeCreate(NULL, NULL));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
	EXPECT_EQ(NULL, HeapdevDuktapeCreate(&nothing, NULL));
	EXPECT_ERROR(ERROR_INVALID_HANDLE);
}

/*
 * A heap in which few bytes are allocated and few pages are free: a large block
 * made small keeps a page.
 */
static HANDLE create_cluttered_heap(unsigned int nr_free)
{
	const SIZE_T large_bytes = 32 * KIB;
	char *blocks[HEAP_BYTES / KIB];
	unsigned int nr = 0;
	HANDLE heap;

	heap = HeapCreate(HEAP_NO_SERIALIZE, 0, HEAP_BYTES / 2);
	if (!heap)
		return NULL;
	while ((blocks[nr] = HeapAlloc(heap, 0, large_bytes)) &&
	       HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, blocks[nr], 1))
		nr++;
	while (nr_free-- && nr)
		HeapFree(heap, 0, blocks[--nr]);
	return heap;
}

/*
 * The room is there by the numbers, but it runs out in the middle. Duktape
 * itself would crash at most of these places.
 */
TEST(create_in_cluttered_heap)
{
	unsigned int nr_failures = 0, nr_free;
	duk_context *ctx = NULL;
	HANDLE heap;

	for (nr_free = 0; !ctx && nr_free < 200; nr_free++) {
		heap = create_cluttered_heap(nr_free);
		ASSERT_HEAP(heap);
		ASSERT_LE(HEAPDEV_DUKTAPE_MIN_BYTES,
			  summary_of(heap).cbMaxReserve -
			  summary_of(heap).cbAllocated);
		preset_errors();
		ctx = HeapdevDuktapeCreate(heap, NULL);
		if (ctx)
			break;
		EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
		EXPECT_TRUE(HeapDestroy(heap));
		nr_failures++;
	}
	/* There is no sense in the test if creation did not get anywhere. */
	EXPECT_LT(10, nr_failures);
	ASSERT_NE(NULL, ctx);
	EXPECT_STREQ("42", value_of(ctx, "6 * 7"));
	duk_destroy_heap(ctx);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* After a failed creation an allocation fails as an ordinary one does. */
TEST(alloc_after_failed_create)
{
	HANDLE heap = create_cluttered_heap(10);

	ASSERT_HEAP(heap);
	ASSERT_EQ(NULL, HeapdevDuktapeCreate(heap, NULL));
	preset_errors();
	EXPECT_EQ(NULL, HeapdevDuktapeAlloc(heap, HEAP_BYTES));
	EXPECT_ERROR(ERROR_NOT_ENOUGH_MEMORY);
	EXPECT_TRUE(HeapDestroy(heap));
}

/* Two engines at once */

struct runner {
	struct script script;
	HANDLE heap;
	duk_context *ctx;
	pthread_t thread;
};

/* Starts an engine in the runner's heap. */
static bool runner_init(struct runner *runner, unsigned int seed)
{
	runner->script = (struct script) { .text = workload, .seed = seed };
	runner->ctx = HeapdevDuktapeCreate(runner->heap, NULL);
	return runner->ctx;
}

FIXTURE(pair) {
	pthread_barrier_t barrier;
	struct runner runners[2];
};

FIXTURE_SETUP(pair)
{
	int i;

	ASSERT_EQ(0, pthread_barrier_init(&self->barrier, NULL, 2));
	for (i = 0; i < 2; i++) {
		self->runners[i].heap = HeapCreate(HEAP_NO_SERIALIZE, 0,
						   HEAP_BYTES);
		ASSERT_HEAP(self->runners[i].heap);
		ASSERT_TRUE(runner_init(&self->runners[i], i + 1));
	}
}

FIXTURE_TEARDOWN(pair)
{
	int i;

	for (i = 0; i < 2; i++) {
		duk_destroy_heap(self->runners[i].ctx);
		EXPECT_EQ(0, summary_of(self->runners[i].heap).cbAllocated);
		EXPECT_TRUE(HeapValidate(self->runners[i].heap, 0, NULL));
		EXPECT_TRUE(HeapDestroy(self->runners[i].heap));
	}
	pthread_barrier_destroy(&self->barrier);
}

static void *run_script(void *arg)
{
	struct runner *runner = arg;

	script_run(&runner->script, runner->ctx);
	return NULL;
}

/* meet() makes sure that each is in the middle when the other is. */
static void run_scripts(struct __test_metadata *_metadata,
			struct runner runners[2], pthread_barrier_t *barrier)
{
	int i;

	for (i = 0; i < 2; i++) {
		runners[i].script.barrier = barrier;
		ASSERT_EQ(0, pthread_create(&runners[i].thread, NULL,
					    run_script, &runners[i]));
	}
	for (i = 0; i < 2; i++) {
		pthread_join(runners[i].thread, NULL);
		EXPECT_FALSE(runners[i].script.failed);
		EXPECT_STREQ(workload_results[i + 1], runners[i].script.result);
	}
}

TEST_F(pair, run_scripts)
{
	run_scripts(_metadata, self->runners, &self->barrier);
}

/* The lock of a heap makes it fit for more than one engine. */
TEST(run_scripts_in_one_heap)
{
	HANDLE heap = HeapCreate(0, 0, 2 * HEAP_BYTES);
	struct runner runners[2];
	pthread_barrier_t barrier;
	int i;

	ASSERT_HEAP(heap);
	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	for (i = 0; i < 2; i++) {
		runners[i].heap = heap;
		ASSERT_TRUE(runner_init(&runners[i], i + 1));
	}
	run_scripts(_metadata, runners, &barrier);
	for (i = 0; i < 2; i++)
		duk_destroy_heap(runners[i].ctx);
	EXPECT_EQ(0, summary_of(heap).cbAllocated);
	EXPECT_TRUE(HeapDestroy(heap));
	pthread_barrier_destroy(&barrier);
}

/* One after another, what came before shall not matter. */
TEST_F(pair, run_scripts_in_turn)
{
	int i;

	for (i = 0; i < 4; i++) {
		run_script(&self->runners[i % 2]);
		EXPECT_STREQ(workload_results[i % 2 + 1],
			     self->runners[i % 2].script.result);
	}
}

/* Takes all memory there is when the neighbour is at each of its meetings. */
static void *run_out_of_memory(void *arg)
{
	struct runner *runner = arg;
	int i;

	for (i = 0; i < 4; i++) {
		runner->script.text = endless_caught;
		script_run(&runner->script, runner->ctx);
		pthread_barrier_wait(runner->script.barrier);
	}
	return NULL;
}

TEST_F(pair, run_beside_endless_script)
{
	struct runner *runners = self->runners;

	runners[0].script.barrier = &self->barrier;
	runners[1].script.barrier = &self->barrier;
	ASSERT_EQ(0, pthread_create(&runners[0].thread, NULL, run_script,
				    &runners[0]));
	ASSERT_EQ(0, pthread_create(&runners[1].thread, NULL,
				    run_out_of_memory, &runners[1]));
	pthread_join(runners[0].thread, NULL);
	pthread_join(runners[1].thread, NULL);
	EXPECT_STREQ(workload_results[1], runners[0].script.result);
	EXPECT_STREQ("caught alloc failed", runners[1].script.result);
}

TEST_HARNESS_MAIN
