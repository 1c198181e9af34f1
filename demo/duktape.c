// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scripts in Duktape, each in a heap of its own with a hard maximum.
 *
 *	duktape script WORKLOAD	a script runs to its result inside its heap
 *	duktape endless SCRIPT	a script that allocates without end gets an error
 *	duktape pair WORKLOAD	two scripts at once do not disturb each other
 *	duktape tenants WORKLOAD SCRIPT FOLDER...
 *				a server: three tenants, of whom one runs a
 *				script that allocates without end, see below;
 *				each is charged to the cgroup of a folder
 *
 * Each prints one line with what it saw, or says on standard error what is wrong
 * and exits with 1.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <heapdev-duktape.h>

#include "memory.h"

#define MIB		(1024UL * 1024)
#define HEAP_BYTES	(4 * MIB)

/*
 * What workload.js makes of the seed 1 in every correct engine; that of V8 was
 * asked, too.
 */
#define WORKLOAD_RESULT \
	"steps=10803 queens=40 words=711 json=14369 checksum=bf9042a8"

/* Threads that wait for each other, until one of them leaves. */
struct meeting {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned int nr_members;
	unsigned int nr_waiting;
	unsigned int nr_meetings;
};

struct script {
	const char *text;
	size_t length;
	unsigned int seed;
	struct meeting *meeting;	/* held before each phase; may be NULL */
	HANDLE heap;
	duk_context *engine;
	bool failed;
	char result[200];		/* or the text of the error */
};

/* Scripts */

/* No demonstration has more scripts. */
#define NR_SCRIPTS	3
#define SCRIPT_BYTES	65536

static void script_read(struct script *script, const char *path)
{
	static char texts[NR_SCRIPTS][SCRIPT_BYTES];
	static unsigned int nr_texts;
	FILE *file = fopen(path, "r");
	char *text;

	if (!file || nr_texts == NR_SCRIPTS)
		fail("%s: cannot be opened", path);
	text = texts[nr_texts++];
	script->text = text;
	script->length = fread(text, 1, SCRIPT_BYTES, file);
	if (ferror(file) || !feof(file))
		fail("%s: cannot be read as a whole", path);
	fclose(file);
}

static void meeting_hold(struct meeting *meeting)
{
	unsigned int meetings;

	pthread_mutex_lock(&meeting->mutex);
	meetings = meeting->nr_meetings;
	meeting->nr_waiting++;
	while (meeting->nr_waiting < meeting->nr_members &&
	       meetings == meeting->nr_meetings)
		pthread_cond_wait(&meeting->changed, &meeting->mutex);
	if (meetings == meeting->nr_meetings) {
		meeting->nr_meetings++;
		meeting->nr_waiting = 0;
		pthread_cond_broadcast(&meeting->changed);
	}
	pthread_mutex_unlock(&meeting->mutex);
}

static void meeting_leave(struct meeting *meeting)
{
	pthread_mutex_lock(&meeting->mutex);
	meeting->nr_members--;
	pthread_cond_broadcast(&meeting->changed);
	pthread_mutex_unlock(&meeting->mutex);
}

/* phase(): the script is about to begin its next job. */
static duk_ret_t script_phase(duk_context *ctx)
{
	struct script *script;

	duk_push_current_function(ctx);
	duk_get_prop_string(ctx, -1, DUK_HIDDEN_SYMBOL("script"));
	script = duk_get_pointer(ctx, -1);
	if (script->meeting)
		meeting_hold(script->meeting);
	return 0;
}

static void script_take_text(duk_context *ctx, struct script *script)
{
	snprintf(script->result, sizeof(script->result), "%s",
		 duk_to_string(ctx, -1));
}

/* Runs in a protected call. */
static duk_ret_t script_evaluate(duk_context *ctx, void *udata)
{
	struct script *script = udata;

	duk_push_uint(ctx, script->seed);
	duk_put_global_string(ctx, "seed");
	duk_push_c_function(ctx, script_phase, 1);
	duk_push_pointer(ctx, script);
	duk_put_prop_string(ctx, -2, DUK_HIDDEN_SYMBOL("script"));
	duk_put_global_string(ctx, "phase");
	duk_eval_lstring(ctx, script->text, script->length);
	script_take_text(ctx, script);
	return 0;
}

/* Runs in a protected call, too: the text of an error may need memory. */
static duk_ret_t script_take_error(duk_context *ctx, void *udata)
{
	script_take_text(ctx, udata);
	return 0;
}

static void script_run(struct script *script)
{
	duk_context *ctx = script->engine;

	strcpy(script->result, "an error without a text");
	script->failed = duk_safe_call(ctx, script_evaluate, script, 0, 1);
	if (script->failed)
		duk_safe_call(ctx, script_take_error, script, 1, 1);
	duk_pop(ctx);
}

/* Engines */

static void heap_start(struct script *script, SIZE_T max_bytes)
{
	script->heap = HeapCreate(HEAP_NO_SERIALIZE, 0, max_bytes);
	if (!script->heap)
		fail("no heap, error %u", GetLastError());
}

static void engine_start_in_heap(struct script *script)
{
	script->engine = HeapdevDuktapeCreate(script->heap, NULL);
	if (!script->engine)
		fail("no engine, error %u", GetLastError());
}

static void engine_start(struct script *script)
{
	heap_start(script, HEAP_BYTES);
	engine_start_in_heap(script);
}

static HEAP_SUMMARY engine_usage(const struct script *script)
{
	HEAP_SUMMARY usage = { .cb = sizeof(usage) };

	if (!HeapSummary(script->heap, 0, &usage))
		fail("no summary, error %u", GetLastError());
	/* The maximum, and the limit that the operator sets, too. */
	if (usage.cbCommitted > HEAP_BYTES)
		fail("the heap has %zu bytes, more than its maximum",
		     usage.cbCommitted);
	return usage;
}

static void engine_leave_heap(struct script *script)
{
	duk_destroy_heap(script->engine);
	if (engine_usage(script).cbAllocated)
		fail("the engine left %zu bytes in its heap",
		     engine_usage(script).cbAllocated);
}

static void engine_end(struct script *script)
{
	engine_leave_heap(script);
	if (!HeapDestroy(script->heap))
		fail("HeapDestroy, error %u", GetLastError());
}

/* Runs a script in an engine of its own; the whole story of it. */
static HEAP_SUMMARY script_run_alone(struct script *script)
{
	HEAP_SUMMARY usage;

	engine_start(script);
	script_run(script);
	usage = engine_usage(script);
	engine_end(script);
	return usage;
}

static void script_check(const struct script *script, const char *result)
{
	if (script->failed)
		fail("the script failed: %s", script->result);
	if (strcmp(script->result, result))
		fail("the result is\n\t%s\nand not\n\t%s", script->result,
		     result);
}

/* The demonstrations */

static void demo_script(const char *path)
{
	struct script script = { .seed = 1 };
	struct memory after;
	HEAP_SUMMARY usage;

	script_read(&script, path);
	usage = script_run_alone(&script);
	after = memory_in_use();
	script_check(&script, WORKLOAD_RESULT);
	memory_check_no_heap(&after);
	printf("a script of %zu KiB ran to \"%s\" in a heap of %lu KiB, of which %zu KiB were committed in the end, and left nothing behind\n",
	       script.length / 1024, script.result, HEAP_BYTES / 1024,
	       usage.cbCommitted / 1024);
}

static bool is_out_of_memory(const char *error)
{
	/* The second is what comes when the first finds no room. */
	return strstr(error, "alloc failed") ||
	       strstr(error, "error in error handling");
}

static duk_ret_t engine_drop_kept(duk_context *ctx, void *udata)
{
	(void)udata;
	duk_push_global_object(ctx);
	duk_push_undefined(ctx);
	duk_put_prop_string(ctx, -2, "kept");
	return 0;
}

/* The engine that ran out of memory is as good as before. */
static void check_engine_works(struct script *script)
{
	static const char text[] =
		"[ 6, 7 ].map(String).join(' times ') + ' is ' + 6 * 7";
	struct script small = {
		.text = text,
		.length = strlen(text),
		.engine = script->engine,
	};

	if (duk_safe_call(script->engine, engine_drop_kept, NULL, 0, 1))
		fail("the engine cannot drop what the script kept");
	duk_pop(script->engine);
	script_run(&small);
	script_check(&small, "6 times 7 is 42");
}

static struct memory run_endless(struct script *script)
{
	struct memory full;

	engine_start(script);
	script_run(script);
	full = memory_in_use();
	if (!script->failed || !is_out_of_memory(script->result))
		fail("the script ended with \"%s\"", script->result);
	if (engine_usage(script).cbCommitted < HEAP_BYTES / 4 * 3)
		fail("the heap was not full: %zu bytes",
		     engine_usage(script).cbCommitted);
	check_engine_works(script);
	engine_end(script);
	return full;
}

static void demo_endless(const char *path)
{
	struct memory before, full, after;
	struct script script = { .seed = 1 };

	script_read(&script, path);
	/* Once before, for what the program itself keeps after its first run. */
	run_endless(&script);
	before = memory_in_use();
	full = run_endless(&script);
	after = memory_in_use();

	if (full.heaps_kib < (long)HEAP_BYTES / 1024 / 4 * 3)
		fail("only %ld KiB were resident", full.heaps_kib);
	memory_check_back(&before, &full, &after);
	printf("an endless script got \"%s\" from its engine with %ld of %lu KiB resident; the engine went on, the heap was destroyed, RSS before/full/after: %ld/%ld/%ld KiB\n",
	       script.result, full.heaps_kib, HEAP_BYTES / 1024,
	       before.process_kib, full.process_kib, after.process_kib);
}

static void *pair_thread(void *arg)
{
	struct script *script = arg;

	script_run(script);
	meeting_leave(script->meeting);
	return NULL;
}

static void pair_run(struct script scripts[2])
{
	pthread_t threads[2];
	int i;

	for (i = 0; i < 2; i++)
		engine_start(&scripts[i]);
	for (i = 0; i < 2; i++) {
		if (pthread_create(&threads[i], NULL, pair_thread, &scripts[i]))
			fail("no thread");
	}
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		engine_end(&scripts[i]);
	}
}

static void demo_pair(const char *path)
{
	struct meeting meeting = {
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.nr_members = 2,
	};
	struct script alone[2] = { { .seed = 1 }, { .seed = 2 } };
	struct script pair[2];
	struct memory after;
	int i;

	for (i = 0; i < 2; i++) {
		script_read(&alone[i], path);
		script_run_alone(&alone[i]);
		pair[i] = alone[i];
		pair[i].meeting = &meeting;
	}
	pair_run(pair);
	after = memory_in_use();
	memory_check_no_heap(&after);

	script_check(&alone[0], WORKLOAD_RESULT);
	for (i = 0; i < 2; i++)
		script_check(&pair[i], alone[i].result);
	if (!strcmp(pair[0].result, pair[1].result))
		fail("both scripts have the same result");
	if (!meeting.nr_meetings)
		fail("the scripts never ran at the same time");
	printf("two scripts in two heaps of %lu KiB, which met %u times on their way, had the results of their lone runs: %s and %s\n",
	       HEAP_BYTES / 1024, meeting.nr_meetings,
	       strstr(pair[0].result, "checksum"),
	       strstr(pair[1].result, "checksum"));
}

/*
 * The server. Each tenant has a thread, and a heap that grows without a maximum
 * of its own: its limit is the operator's affair, who sets and changes it from
 * outside. What the heap takes is charged to the tenant's cgroup. The server says "ready" when the heaps are there, waits for a line,
 * and then runs each tenant's script again and again until its input ends, and
 * once more after that.
 */
struct tenant {
	struct script script;
	unsigned int nr_results;
	unsigned int nr_failures;
	size_t last_kib;	/* committed when the last script ended */
};

static atomic_bool tenants_end;

static void tenant_heap_start(struct tenant *tenant, const char *folder)
{
	HEAPDEV_OPTIONS heap = {
		.cb = sizeof(heap),
		.Flags = HEAPDEV_CREATE_CGROUP | HEAPDEV_CREATE_BACKED,
		.CgroupFd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	};

	if (heap.CgroupFd < 0)
		fail("no cgroup %s", folder);
	tenant->script.heap = HeapdevCreate(HEAP_NO_SERIALIZE, 0, 0, &heap);
	if (!tenant->script.heap)
		fail("no heap, error %u", GetLastError());
	close(heap.CgroupFd);
}

static void tenant_run_script(struct tenant *tenant)
{
	struct script *script = &tenant->script;

	engine_start_in_heap(script);
	script_run(script);
	tenant->last_kib = engine_usage(script).cbCommitted / 1024;
	engine_leave_heap(script);
	if (!script->failed) {
		script_check(script, WORKLOAD_RESULT);
		tenant->nr_results++;
	} else if (is_out_of_memory(script->result)) {
		tenant->nr_failures++;
	} else {
		fail("a script ended with \"%s\"", script->result);
	}
}

static void *tenant_thread(void *arg)
{
	while (!tenants_end)
		tenant_run_script(arg);
	tenant_run_script(arg);
	return NULL;
}

static void tenants_run(struct tenant *tenants, unsigned int nr)
{
	pthread_t threads[3];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (pthread_create(&threads[i], NULL, tenant_thread, &tenants[i]))
			fail("no thread");
	}
	while (getchar() != EOF)
		;
	tenants_end = true;
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
}

static void demo_tenants(const char *workload, const char *endless,
			 char **folders)
{
	struct tenant tenants[3] = {
		{ .script.seed = 1 }, { .script.seed = 1 }, { .script.seed = 1 },
	};
	char line[16];
	int i;

	script_read(&tenants[0].script, workload);
	script_read(&tenants[1].script, workload);
	script_read(&tenants[2].script, endless);
	for (i = 0; i < 3; i++)
		tenant_heap_start(&tenants[i], folders[i]);
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		fail("nobody says when to begin");
	tenants_run(tenants, 3);
	if (tenants[0].nr_failures || tenants[1].nr_failures)
		fail("a tenant suffered from another");
	if (tenants[2].nr_results)
		fail("the endless script ended");
	printf("%u %u %u %zu\n", tenants[0].nr_results, tenants[1].nr_results,
	       tenants[2].nr_failures, tenants[2].last_kib);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *path);
	} demos[] = {
		{ "script", demo_script },
		{ "endless", demo_endless },
		{ "pair", demo_pair },
	};
	size_t i;

	for (i = 0; argc == 3 && i < sizeof(demos) / sizeof(demos[0]); i++) {
		if (!strcmp(argv[1], demos[i].name)) {
			demos[i].run(argv[2]);
			return 0;
		}
	}
	if (argc == 7 && !strcmp(argv[1], "tenants")) {
		demo_tenants(argv[2], argv[3], argv + 4);
		return 0;
	}
	fprintf(stderr, "usage: duktape script|endless|pair SCRIPT\n"
			"       duktape tenants WORKLOAD SCRIPT FOLDER FOLDER FOLDER\n");
	return 2;
}
