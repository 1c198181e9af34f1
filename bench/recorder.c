// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU plugin that writes down which instructions run between two marks.
 *
 *	qemu-system-x86_64 -plugin FOLDER/recorder.so,out=OUTPUT ...
 *
 * The output is the addresses of the instructions as they ran, 8 bytes each, in
 * the host's byte order; each start mark (see mark.h) adds a 0.
 *
 * Debian's QEMU can load plugins but has no header for them. What is declared
 * here is version 1 of the interface, as far as it is used. One CPU is assumed,
 * and so is an address space that stays the same while it records: the kernel
 * and one program.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mark.h"

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum register_access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
		void (*translated)(plugin_id id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_atexit_cb(plugin_id id,
		void (*ended)(plugin_id id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
						 size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
		void (*executed)(unsigned int cpu, void *data),
		enum register_access access, void *data);

EXPORT int qemu_plugin_version = 1;

static const unsigned char start_mark[] = { MARK_OPCODE, MARK_START_OPERAND };
static const unsigned char stop_mark[] = { MARK_OPCODE, MARK_STOP_OPERAND };

static bool recording;
static FILE *output;

static void write_address(uint64_t address)
{
	fwrite(&address, sizeof(address), 1, output);
}

static void on_start(unsigned int cpu, void *data)
{
	write_address(0);
	recording = true;
}

static void on_stop(unsigned int cpu, void *data)
{
	recording = false;
}

static void on_instruction(unsigned int cpu, void *address)
{
	if (recording)
		write_address((uintptr_t)address);
}

static bool is_mark(const struct qemu_plugin_insn *insn,
		    const unsigned char *mark)
{
	return qemu_plugin_insn_size(insn) == sizeof(start_mark) &&
	       !memcmp(qemu_plugin_insn_data(insn), mark, sizeof(start_mark));
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t i, nr = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *insn;
	void (*callback)(unsigned int cpu, void *data);

	for (i = 0; i < nr; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		callback = on_instruction;
		if (is_mark(insn, start_mark))
			callback = on_start;
		else if (is_mark(insn, stop_mark))
			callback = on_stop;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, ACCESS_NONE,
				(void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
	}
}

static void on_exit_of_qemu(plugin_id id, void *data)
{
	fclose(output);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc,
			       char **argv)
{
	const char *name = "out=";

	if (argc != 1 || strncmp(argv[0], name, strlen(name)))
		return -1;
	output = fopen(argv[0] + strlen(name), "w");
	if (!output)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
