/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Marks: instructions that do nothing, with an operand by which the QEMU plugin
 * of bench/where knows them. What runs between start and stop is recorded.
 */
#ifndef BENCH_MARK_H
#define BENCH_MARK_H

/* nopl operand(%rax); the three bytes of the instruction before the operand. */
#define MARK_OPCODE		0x0f, 0x1f, 0x80
#define MARK_START_OPERAND	0x70, 0x68, 0x62, 0x01
#define MARK_STOP_OPERAND	0x70, 0x68, 0x62, 0x02

#define MARK_TO_STRING(...)	#__VA_ARGS__
#define MARK_BYTES(...)		".byte " MARK_TO_STRING(__VA_ARGS__)

#ifdef __x86_64__
#define MARK_START() \
	asm volatile(MARK_BYTES(MARK_OPCODE, MARK_START_OPERAND) : : : "memory")
#define MARK_STOP() \
	asm volatile(MARK_BYTES(MARK_OPCODE, MARK_STOP_OPERAND) : : : "memory")
#endif

#endif /* BENCH_MARK_H */
