/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The chain
 *
 * Pure: puts sequence number, link, time and MAC around a finished body and moves on by one. Sequence numbers
 * begin at 0; the link of record 0 is 64 zeros. `size` of a log is the number of its records, so the last seq
 * + 1.
 */
#include "audit/line.h"

typedef struct Chain {
        uint64_t size;    /* sequence number of the next line */
        uint8_t head[32]; /* SHA-256 of the last line without its newline; zeros when size is 0 */
        uint8_t key[32];  /* log key */
} Chain;

void chain_init(Chain *c, const uint8_t key[static 32], uint64_t size, const uint8_t head[static 32]);
void chain_deinit(Chain *c); /* erases the key */

/* Writes the whole line with its newline to `ret` and moves the chain on. `time` in microseconds since 1970,
 * `dur` the highest sequence number known durable. As audit_line_check(). */
int chain_seal(Chain *c, const AuditLine *line, uint64_t time, uint64_t dur, char ret[static AUDIT_LINE_MAX],
                size_t *ret_len);
