// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz CORPUS SECONDS FOLDER - programs of calls, found by what they reach in the module.
 *
 * Each program runs in a process of its own; KCOV tells which branches of the module
 * its calls took. One that took a new one is shortened to what that needs and is kept, and
 * further programs are made from those that are kept. A program after which the kernel is
 * tainted is printed as a C program, and is the end.
 *
 * CORPUS has one program a line, in hexadecimal. To FOLDER go the programs that are
 * kept, as few as reach all, and the offsets in the module that were reached. Without
 * KCOV the programs are made of those in CORPUS alone.
 */
#include <stdbool.h>
#include <time.h>

#include <linux/kcov.h>

#include "execute.h"

#define NR_EDGES	(1U << 16)
#define NR_SITES	(1U << 20)
#define KCOV_ENTRIES	(1U << 17)
#define MAX_CORPUS	4096
/* Seconds that a program may take on a machine that does much else. */
#define TIME_LIMIT	60

struct program {
	unsigned int nr;
	struct step steps[MAX_STEPS];
};

struct kept {
	struct program program;
	uint8_t *edges;
};

static struct kept corpus[MAX_CORPUS];
static unsigned int nr_corpus;

static uint8_t edges[NR_EDGES], all_edges[NR_EDGES];
static uint8_t sites[NR_SITES];
static unsigned long *cover, text_base;
static int kcov_fd = -1;
static unsigned long nr_programs, nr_killed;
static uint64_t state;

static uint64_t rnd(uint64_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545F4914F6CDD1DULL >> 11) % below;
}

static unsigned long read_number(const char *path, int base)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY);
	ssize_t length = read(fd, text, sizeof(text) - 1);

	close(fd);
	return length > 0 ? strtoul(text, NULL, base) : 0;
}

static void cover_open(void)
{
	kcov_fd = open("/sys/kernel/debug/kcov", O_RDWR);
	if (kcov_fd < 0)
		return;
	if (ioctl(kcov_fd, KCOV_INIT_TRACE, KCOV_ENTRIES)) {
		perror("KCOV_INIT_TRACE");
		exit(2);
	}
	cover = mmap(NULL, KCOV_ENTRIES * sizeof(*cover), PROT_READ | PROT_WRITE,
		     MAP_SHARED, kcov_fd, 0);
	text_base = read_number("/sys/module/privheap/sections/.text", 16);
}

static void cover_read(void)
{
	unsigned long i, nr, last = 0, site;

	memset(edges, 0, sizeof(edges));
	if (!cover)
		return;
	nr = __atomic_load_n(&cover[0], __ATOMIC_ACQUIRE);
	for (i = 1; i <= nr && i < KCOV_ENTRIES; i++) {
		site = cover[i] - text_base;
		if (site >= NR_SITES)
			continue;
		sites[site] = 1;
		edges[(last * 31 ^ site) % NR_EDGES] = 1;
		last = site;
	}
}

/* A new process costs more than some calls do; with KCOV each call shall show by itself. */
static unsigned int rounds(void)
{
	return cover ? 1 : 20;
}

static void run_child(const struct program *program)
{
	static const struct rlimit no_core;

	setpgid(0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	alarm(TIME_LIMIT);
	world_open();
	if (cover) {
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELEASE);
		ioctl(kcov_fd, KCOV_ENABLE, KCOV_TRACE_PC);
	}
	run_program(program->steps, program->nr, rounds());
	_exit(0);
}

/* What is to be done to see it again: see execute.h for what a step does. */
static void print_reproducer(const struct program *program)
{
	unsigned int i;

	printf("#include \"execute.h\"\n\nstatic const struct step steps[] = {\n");
	for (i = 0; i < program->nr; i++) {
		const struct step *s = &program->steps[i];

		printf("\t{ %s, %#x, %#x, %#x, %#x, %#x },\n", op_names[s->op % NR_OPS],
		       s->heap, s->block, s->flags, s->x, s->y);
	}
	printf("};\n\nint main(void)\n{\n\tworld_open();\n"
	       "\trun_program(steps, %u, %u);\n\treturn 0;\n}\n", program->nr, rounds());
	fflush(stdout);
}

static void run(const struct program *program)
{
	static unsigned long tainted;
	unsigned long now;
	int status;
	pid_t pid;

	if (!nr_programs++)
		tainted = read_number("/proc/sys/kernel/tainted", 10);
	if (cover)
		cover[0] = 0;
	pid = fork();
	if (!pid)
		run_child(program);
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL);
	nr_killed += WIFSIGNALED(status);
	cover_read();
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		printf("This took more than %u seconds:\n", TIME_LIMIT);
		print_reproducer(program);
		exit(1);
	}
	now = read_number("/proc/sys/kernel/tainted", 10);
	if (now != tainted) {
		printf("The kernel is tainted, %#lx, after\n", now);
		print_reproducer(program);
		exit(1);
	}
}

static bool has_new_edge(void)
{
	unsigned int i;

	for (i = 0; i < NR_EDGES; i++) {
		if (edges[i] && !all_edges[i])
			return true;
	}
	return false;
}

static void remove_step(struct program *program, unsigned int i)
{
	program->nr--;
	memmove(&program->steps[i], &program->steps[i + 1],
		(program->nr - i) * sizeof(struct step));
}

/* Without each step in turn: is there still something new? */
static void shorten(struct program *program)
{
	struct program shorter;
	unsigned int i;

	for (i = program->nr; i-- > 0 && program->nr > 1;) {
		shorter = *program;
		remove_step(&shorter, i);
		run(&shorter);
		if (has_new_edge())
			*program = shorter;
	}
	run(program);
}

static void keep(const struct program *program)
{
	unsigned int i;

	if (nr_corpus == MAX_CORPUS)
		return;
	corpus[nr_corpus].program = *program;
	corpus[nr_corpus].edges = malloc(NR_EDGES);
	memcpy(corpus[nr_corpus].edges, edges, NR_EDGES);
	nr_corpus++;
	for (i = 0; i < NR_EDGES; i++)
		all_edges[i] |= edges[i];
}

static struct step random_step(void)
{
	return (struct step){
		.op = rnd(NR_OPS), .heap = rnd(3), .block = rnd(2) ? rnd(8) : rnd(256),
		.flags = rnd(2) ? rnd(4) : rnd(256), .x = rnd(1ULL << 32), .y = rnd(1ULL << 32),
	};
}

static void insert_step(struct program *program, unsigned int i, struct step step)
{
	if (program->nr == MAX_STEPS)
		return;
	memmove(&program->steps[i + 1], &program->steps[i],
		(program->nr - i) * sizeof(struct step));
	program->steps[i] = step;
	program->nr++;
}

static void change_step(struct step *step)
{
	switch (rnd(6)) {
	case 0:
		step->heap = rnd(3);
		break;
	case 1:
		step->block = rnd(256);
		break;
	case 2:
		step->flags ^= 1 << rnd(8);
		break;
	case 3:
		step->x ^= 1U << rnd(32);
		break;
	case 4:
		step->y ^= 1U << rnd(32);
		break;
	case 5:
		step->x = rnd(1ULL << 32);
		break;
	}
}

static void insert_part(struct program *program, const struct program *with)
{
	unsigned int i, from = rnd(with->nr), at = rnd(program->nr + 1);

	for (i = from; i < with->nr; i++)
		insert_step(program, at + i - from, with->steps[i]);
}

static struct program mutate(void)
{
	struct program program = { 0 };
	unsigned int changes = 1 + rnd(8);

	if (rnd(nr_corpus + 1) < 8 && rnd(2))
		changes = MAX_STEPS;
	else if (nr_corpus)
		program = corpus[rnd(nr_corpus)].program;
	while (changes--) {
		switch (program.nr ? rnd(8) : 0) {
		case 0 ... 2:
			insert_step(&program, rnd(program.nr + 1), random_step());
			break;
		case 3:
			if (program.nr > 1)
				remove_step(&program, rnd(program.nr));
			break;
		case 4:
			if (nr_corpus)
				insert_part(&program, &corpus[rnd(nr_corpus)].program);
			break;
		default:
			change_step(&program.steps[rnd(program.nr)]);
		}
	}
	return program;
}

static bool parse(const char *line, struct program *program)
{
	const size_t digits = 2 * sizeof(struct step);
	unsigned int byte;
	size_t i;

	program->nr = strspn(line, "0123456789abcdef") / digits;
	if (!program->nr || program->nr > MAX_STEPS)
		return false;
	for (i = 0; i < program->nr * sizeof(struct step); i++) {
		if (sscanf(line + 2 * i, "%2x", &byte) != 1)
			return false;
		((uint8_t *)program->steps)[i] = byte;
	}
	return true;
}

/* On a kernel without KCOV all are kept, as there is nothing to choose by. */
static void load(const char *path)
{
	FILE *file = fopen(path, "r");
	struct program program;
	char line[2 * MAX_STEPS * sizeof(struct step) + 2];

	while (file && fgets(line, sizeof(line), file)) {
		if (!parse(line, &program))
			continue;
		run(&program);
		if (!cover || has_new_edge())
			keep(&program);
	}
	if (file)
		fclose(file);
}

/* The program that reaches most of what is left, again and again. */
static void store(const char *path)
{
	static uint8_t left[NR_EDGES];
	FILE *file = fopen(path, "w");
	unsigned int i, e, n, best, most, nr = 0;

	if (!file)
		return;
	memcpy(left, all_edges, sizeof(left));
	for (;;) {
		for (i = 0, most = 0, best = 0; i < nr_corpus; i++) {
			for (e = 0, n = 0; e < NR_EDGES; e++)
				n += left[e] & corpus[i].edges[e];
			if (n > most) {
				most = n;
				best = i;
			}
		}
		if (!most)
			break;
		for (e = 0; e < NR_EDGES; e++)
			left[e] &= ~corpus[best].edges[e];
		for (i = 0; i < corpus[best].program.nr * sizeof(struct step); i++)
			fprintf(file, "%02x", ((uint8_t *)corpus[best].program.steps)[i]);
		fprintf(file, "\n");
		nr++;
	}
	fclose(file);
	printf("%u programs reach all\n", nr);
}

static void store_sites(const char *path)
{
	FILE *file = fopen(path, "w");
	unsigned int i, nr = 0;

	if (!file)
		return;
	for (i = 0; i < NR_SITES; i++) {
		if (!sites[i])
			continue;
		fprintf(file, "%#x\n", i);
		nr++;
	}
	fclose(file);
	printf("%u places in the module reached\n", nr);
}

static unsigned int count_edges(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < NR_EDGES; i++)
		nr += all_edges[i];
	return nr;
}

static void print_state(time_t start)
{
	printf("%5ld s: %lu programs, %lu calls, %u kept, %u branches, %lu killed\n",
	       (long)(time(NULL) - start), nr_programs, *world.nr_calls, nr_corpus,
	       count_edges(), nr_killed);
	fflush(stdout);
}

static void fuzz(time_t start, time_t end)
{
	time_t next = start + 10;
	struct program program;

	while (time(NULL) < end) {
		program = mutate();
		run(&program);
		if (cover && has_new_edge()) {
			shorten(&program);
			if (has_new_edge())
				keep(&program);
		}
		if (time(NULL) >= next) {
			print_state(start);
			next = time(NULL) + 10;
		}
	}
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	(void)!write(fd, value, strlen(value));
	close(fd);
}

int main(int argc, char **argv)
{
	time_t start = time(NULL);
	char path[4096];

	if (argc != 4) {
		fprintf(stderr, "usage: fuzz CORPUS SECONDS FOLDER\n");
		return 2;
	}
	state = start * 2654435761UL | 1;
	world.nr_calls = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	set("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	set("/sys/kernel/debug/failslab/verbose", "0");
	set("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	set("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	set("/sys/kernel/debug/fail_usercopy/verbose", "0");
	set("/sys/module/privheap/parameters/wave_kib", "16384");
	set("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	cover_open();
	world_open();
	printf("seed %#lx, %s\n", (unsigned long)state, cover ? "with KCOV" : "without KCOV");
	load(argv[1]);
	fuzz(start, start + atol(argv[2]));
	print_state(start);
	if (cover) {
		snprintf(path, sizeof(path), "%s/corpus", argv[3]);
		store(path);
		snprintf(path, sizeof(path), "%s/sites", argv[3]);
		store_sites(path);
	}
	return 0;
}
