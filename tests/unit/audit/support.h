/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of the log share: a directory of their own, a log with a known key, checkpoints signed as
 * the signer would, and an export in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/log.h"
#include "base/bytes.h"

#define LOG_ID "0a1b2c3d-4e5f-4a6b-8c7d-8e9fa0b1c2d3"
#define OTHER_LOG_ID "11111111-2222-4333-8444-555555555555"
#define ORIGIN AUDIT_ORIGIN_PREFIX LOG_ID

extern const uint8_t log_key[32];

typedef struct Sandbox {
        char path[64];
        int dir_fd;
} Sandbox;

void sandbox_init(Sandbox *s);
void sandbox_deinit(Sandbox *s);
/* Removes everything in it. */
void sandbox_empty(const Sandbox *s);
/* Copies all files of one into the other, which is emptied first. */
void sandbox_copy(const Sandbox *from, const Sandbox *to);

/* Ed25519 keys by number; the same ones every time. */
void checkpoint_key(unsigned number, uint8_t ret_public[static 32], uint8_t ret_secret[static 64]);
AuditVkey checkpoint_vkey(unsigned number, const char *origin);

typedef struct NoteParams {
        unsigned key;       /* number */
        const char *origin; /* NULL: ORIGIN */
        uint64_t size;
        uint8_t head[32];
        uint8_t state[32];
        int64_t counter;
        uint64_t epoch;
        uint8_t life; /* its 16 bytes are all this */
        uint64_t ops;
        unsigned next; /* number of the next key, 0: none */
} NoteParams;
void make_note(const NoteParams *params, char ret[static AUDIT_NOTE_MAX + 1]);

AuditLogParams log_params(const Sandbox *s, uint64_t segment_size);
AuditLog *create_log(const Sandbox *s, uint64_t segment_size);
AuditLog *open_log(const Sandbox *s, AuditRecovery *ret);
/* key.sign by uid 1000 with item number n. */
void use_line(AuditLine *line, unsigned n);
uint64_t append_use(AuditLog *log, unsigned n);
void change_line(AuditLine *line, uint8_t state);
/* Syncs, then appends a checkpoint over everything. */
uint64_t append_checkpoint(AuditLog *log, uint64_t ops, uint8_t life);

/* The whole log as the export writes it. */
void export_log(const Sandbox *s, Buffer *ret);
