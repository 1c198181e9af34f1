// SPDX-License-Identifier: GPL-2.0-only
/*
 * Says in which functions the instructions of a recording ran; bench/where
 * calls it.
 *
 * A recording (recorder.c) is a sequence of addresses. Which call an instruction
 * belongs to is concluded from them: control that arrives at the first
 * instruction of a function has called it (or jumped there, which counts as a
 * call), control that arrives elsewhere has returned to a caller or come from an
 * interrupt. This gives a tree of calls, in which calls of one function from one
 * place of the tree are one node, and the counts are means over all steps.
 *
 * Functions that the compiler has put into others are told apart where debug
 * information was looked up.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls deeper than this are counted with their caller. */
#define MAX_DEPTH	128
/* Functions and calls with less than this part of the whole are left out. */
#define MIN_PART	0.0005
/* Addresses of programs are below, the kernel's above. */
#define KERNEL_START	0x8000000000000000ULL

struct symbol {
	uint64_t address;
	char *name;
	bool of_module;
};

/* Functions in which the compiler put an instruction, the outermost first. */
struct inlined {
	uint64_t address;
	char *functions;
};

struct node {
	const char *name;
	bool is_inlined;
	uint64_t self;
	uint64_t nr_calls;
	uint64_t total;
	struct node *parent;
	struct node *children;
	struct node *next;
};

/* A call that has not returned; @at is the node of its latest instruction. */
struct frame {
	const struct symbol *symbol;
	struct node *node;
	struct node *at;
};

static struct symbol *symbols;
static size_t nr_symbols;
static struct inlined *inlined;
static size_t nr_inlined;
static const struct symbol user_space = { .name = "(the program)" };

static struct node root = { .name = "" };
static struct frame stack[MAX_DEPTH] = { { .node = &root, .at = &root } };
static int depth;
static uint64_t nr_steps;

static void *check(void *pointer)
{
	if (!pointer) {
		perror("report");
		exit(1);
	}
	return pointer;
}

/* Makes room for one more element, in steps of powers of two. */
static void *grow(void *array, size_t nr, size_t element)
{
	if (nr & (nr - 1))
		return array;
	return check(realloc(array, (nr ? 2 * nr : 1) * element));
}

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "r");

	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

/* All tables start with the address by which they are sorted. */
static int compare_addresses(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* The format of /proc/kallsyms. */
static void read_symbols(const char *path)
{
	char name[512], module[64], line[1024], type;
	unsigned long long address;
	FILE *f = open_file(path);
	int nr;

	while (fgets(line, sizeof(line), f)) {
		nr = sscanf(line, "%llx %c %511s [%63[^]]", &address, &type,
			    name, module);
		if (nr < 3 || !strchr("tTwW", type) || !strncmp(name, "__pfx_", 6))
			continue;
		symbols = grow(symbols, nr_symbols, sizeof(*symbols));
		symbols[nr_symbols++] = (struct symbol){
			.address = address,
			.name = check(strdup(name)),
			.of_module = nr == 4 && !strcmp(module, "privheap"),
		};
	}
	fclose(f);
	qsort(symbols, nr_symbols, sizeof(*symbols), compare_addresses);
}

/* Lines of an address and the functions, separated by ';'. */
static void read_inlined(const char *path)
{
	unsigned long long address;
	char functions[4096];
	FILE *f = open_file(path);

	while (fscanf(f, "%llx %4095s", &address, functions) == 2) {
		inlined = grow(inlined, nr_inlined, sizeof(*inlined));
		inlined[nr_inlined++] = (struct inlined){
			.address = address,
			.functions = check(strdup(functions)),
		};
	}
	fclose(f);
	qsort(inlined, nr_inlined, sizeof(*inlined), compare_addresses);
}

static const struct symbol *find_symbol(uint64_t address)
{
	size_t low = 0, high = nr_symbols, middle;

	if (address < KERNEL_START)
		return &user_space;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (symbols[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	/* Of several names of a place, always the same one. */
	while (low && symbols[low - 1].address == symbols[low].address)
		low--;
	return &symbols[low];
}

static struct node *find_child(struct node *parent, const char *name,
			       size_t length, bool is_inlined)
{
	struct node **link, *child;

	for (link = &parent->children; (child = *link); link = &child->next) {
		if (child->is_inlined == is_inlined &&
		    !strncmp(child->name, name, length) && !child->name[length])
			return child;
	}
	child = *link = check(calloc(1, sizeof(*child)));
	child->name = check(strndup(name, length));
	child->is_inlined = is_inlined;
	child->parent = parent;
	return child;
}

static void call(const struct symbol *symbol)
{
	struct node *caller = stack[depth].at;

	if (depth + 1 == MAX_DEPTH)
		return;
	depth++;
	stack[depth].symbol = symbol;
	stack[depth].node = find_child(caller, symbol->name,
				       strlen(symbol->name), false);
	stack[depth].node->nr_calls++;
}

static void follow(uint64_t address, const struct symbol *symbol)
{
	int i;

	/* What the program does is all one call, and the kernel is not inside. */
	if (symbol == &user_space || stack[depth].symbol == &user_space) {
		if (symbol == stack[depth].symbol)
			return;
		depth = 0;
		call(symbol);
		return;
	}
	if (symbol == stack[depth].symbol)
		return;
	for (i = depth - 1; address != symbol->address && i > 0; i--) {
		if (stack[i].symbol == symbol) {
			depth = i;
			return;
		}
	}
	call(symbol);
}

static struct node *find_inlined(struct node *node, uint64_t address)
{
	const struct inlined *in = bsearch(&address, inlined, nr_inlined,
					   sizeof(*inlined), compare_addresses);
	const char *name;
	size_t length;

	if (!in)
		return node;
	for (name = in->functions; *name; name += length + (name[length] == ';')) {
		length = strcspn(name, ";");
		node = find_child(node, name, length, true);
	}
	return node;
}

static void count(uint64_t address)
{
	const struct symbol *symbol;
	struct frame *frame;

	if (!address) {
		nr_steps++;
		depth = 0;
		return;
	}
	symbol = find_symbol(address);
	follow(address, symbol);
	frame = &stack[depth];
	frame->at = frame->node;
	if (symbol->of_module)
		frame->at = find_inlined(frame->node, address);
	frame->at->self++;
}

static void read_recording(const char *path, void (*use)(uint64_t address))
{
	uint64_t addresses[4096];
	FILE *f = open_file(path);
	size_t i, nr;

	while ((nr = fread(addresses, sizeof(addresses[0]), 4096, f))) {
		for (i = 0; i < nr; i++)
			use(addresses[i]);
	}
	fclose(f);
}

static void print_if_of_module(uint64_t address)
{
	const struct symbol *symbol = find_symbol(address);

	if (symbol->of_module)
		printf("%llx %s %llx\n", (unsigned long long)address, symbol->name,
		       (unsigned long long)(address - symbol->address));
}

static uint64_t sum_up(struct node *node)
{
	struct node *child;

	node->total = node->self;
	for (child = node->children; child; child = child->next)
		node->total += sum_up(child);
	return node->total;
}

/* Adds up the nodes of each function, in a list that hangs on @functions. */
static void gather_functions(struct node *node, struct node *functions)
{
	struct node *child, *sum;

	for (child = node->children; child; child = child->next) {
		sum = find_child(functions, child->name, strlen(child->name),
				 child->is_inlined);
		sum->self += child->self;
		sum->nr_calls += child->nr_calls;
		gather_functions(child, functions);
	}
}

static int compare_self(const void *a, const void *b)
{
	uint64_t left = (*(struct node *const *)a)->self;
	uint64_t right = (*(struct node *const *)b)->self;

	return (left < right) - (left > right);
}

static void print_calls(const struct node *node, double units)
{
	if (node->is_inlined)
		printf("%8s", "inlined");
	else
		printf("%8.2f", node->nr_calls / units);
}

static void print_functions(double units)
{
	struct node functions = { }, **sorted = NULL, *f;
	double part, sum = 0;
	size_t i, nr = 0;

	gather_functions(&root, &functions);
	for (f = functions.children; f; f = f->next) {
		sorted = grow(sorted, nr, sizeof(*sorted));
		sorted[nr++] = f;
	}
	if (sorted)
		qsort(sorted, nr, sizeof(*sorted), compare_self);
	printf("%10s %7s %7s %8s  %s\n", "self", "part", "sum", "calls",
	       "function");
	for (i = 0; i < nr; i++) {
		part = (double)sorted[i]->self / root.total;
		sum += part;
		if (part < MIN_PART)
			break;
		printf("%10.1f %6.1f%% %6.1f%% ", sorted[i]->self / units,
		       100 * part, 100 * sum);
		print_calls(sorted[i], units);
		printf("  %s\n", sorted[i]->name);
	}
}

static void print_tree(const struct node *node, double units, int indent)
{
	const struct node *child;

	for (child = node->children; child; child = child->next) {
		if (child->total < MIN_PART * root.total)
			continue;
		printf("%10.1f %10.1f ", child->total / units,
		       child->self / units);
		print_calls(child, units);
		printf("  %*s%s\n", 2 * indent, "", child->name);
		print_tree(child, units, indent + 1);
	}
}

static int usage(void)
{
	fprintf(stderr,
		"usage: report [--inlined FILE] SYMBOLS RECORDING UNITS-PER-STEP\n"
		"       report --module SYMBOLS RECORDING\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "inlined", required_argument, NULL, 'i' },
		{ "module", no_argument, NULL, 'm' },
		{ }
	};
	bool of_module = false;
	double units;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'i')
			read_inlined(optarg);
		else if (option == 'm')
			of_module = true;
		else
			return usage();
	}
	argv += optind;
	if (argc - optind != (of_module ? 2 : 3))
		return usage();
	read_symbols(argv[0]);
	if (of_module) {
		read_recording(argv[1], print_if_of_module);
		return 0;
	}
	read_recording(argv[1], count);
	if (!nr_steps || !nr_symbols) {
		fprintf(stderr, "report: nothing was recorded\n");
		return 1;
	}
	units = nr_steps * strtod(argv[2], NULL);
	printf("%.1f instructions, mean of %.0f\n\n", sum_up(&root) / units, units);
	print_functions(units);
	printf("\n%10s %10s %8s  %s\n", "total", "self", "calls", "call");
	print_tree(&root, units, 0);
	return 0;
}
