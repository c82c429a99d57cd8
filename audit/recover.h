/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recovery
 *
 * Finds out, after any kind of stop, where the log ends and what the store should look like. Reads from the
 * last checkpoint, checks form, link and MAC of every line behind it, and moves what a crash left
 * half-written to `cut-K`. It may itself be killed at any step and started again. It appends nothing:
 * `use.lost`, `log.cut`, `done` and `undone` are for the caller to write, with what he learns here and from
 * signer and store.
 *
 * Tear or damage: every line tells by `dur` which lines were surely on the disk when it was written. A bad
 * line that a later readable line calls durable was not torn by a crash: HF_E_LOG_DAMAGED.
 */
#include "audit/note.h"

typedef struct AuditChange {
        uint64_t seq; /* 0: none (record 0 is never a change) */
        uint8_t state[32];
        bool done; /* its `done` line is in the log */
} AuditChange;

typedef struct AuditRecovery {
        uint64_t size; /* records: the next sequence number */
        uint8_t head[32];
        AuditChange current; /* C: the last change without `undone` */
        AuditChange before;  /* B: the effective one before it; only known, and only needed, while C is not
                                done */
        bool has_checkpoint;
        uint64_t checkpoint_seq; /* its line; the note below is as it stands there, its signature unchecked */
        AuditNote checkpoint;
        uint64_t unsealed;     /* lines behind the last checkpoint line */
        uint64_t torn;         /* bytes in cut-K that no line tells of yet, 0: the log ended cleanly */
        uint64_t damaged_seq;  /* with HF_E_LOG_DAMAGED: the bad line */
        uint64_t scanned;      /* lines read */
        unsigned segment;      /* number of the segment the log ends in */
        uint64_t offset;       /* first free byte there */
        unsigned segment_last; /* highest segment there is; those above `segment` are empty */
} AuditRecovery;

/*
 * HF_E_LOG_DAMAGED: a durable line is bad, or a segment is missing (then *ret is filled as far as it goes,
 * and nothing was moved). HF_E_STORE_UNINITIALISED: there is no log. `repair` false only looks: no cut, torn
 * is told.
 */
int audit_recover(int dir_fd, const char *log_id, const uint8_t key[static 32], bool repair,
                AuditRecovery *ret);
