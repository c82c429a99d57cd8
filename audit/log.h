/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The audit log
 *
 * A directory of preallocated segments, 000001.jsonl and up, and a thread that writes and syncs whole groups
 * of lines. The caller (one thread, the loop) appends and goes on; when the descriptor becomes readable, more
 * lines are durable. Nothing may be answered with success before its line is.
 *
 *        audit_log_append()    the line is in the chain and on its way to the disk; costs a few microseconds
 *        audit_log_fd()        readable: ask audit_log_dispatch() how far the disk is
 *        audit_log_dispatch()  everything up to *ret_durable is on the disk
 *
 * A failed write or sync of a line is final (HF_E_LOG_FAILED from then on): nobody may get success, the
 * process ends and recovers. No room is different: HF_E_LOG_FULL is told before anything was written, the
 * chain is as it was, and it works again when there is room. A piece of the last segment is kept for events
 * of AUDIT_EVENT_RESERVE.
 *
 * Changes: append the change line with its `state` (audit_log_append), wait until it is durable, COMMIT,
 * audit_log_append_done(). One at a time, but one may have many lines: those behind the first carry its number in
 * `with`, and are appended before done. The log remembers the last effective change, and one that is still
 * open, and writes both into checkpoints and first lines of segments.
 */
#include "audit/line.h"
#include "audit/recover.h"
#include "base/cleanup.h"

#define AUDIT_SEGMENT_SIZE (16u << 20)
#define AUDIT_SEGMENT_SIZE_MIN (16u << 10)
/* A checkpoint line follows the last record its note covers by at most this many: the verifier remembers so
 * many heads. */
#define AUDIT_NOTE_WINDOW 2048

typedef struct AuditLog AuditLog;

typedef struct AuditLogParams {
        int dir_fd;            /* the directory `audit`; duplicated */
        const char *log_id;    /* store UUID as text */
        const uint8_t *key;    /* log key, 32 bytes, copied */
        uint64_t segment_size; /* 0: AUDIT_SEGMENT_SIZE; for new segments */
        bool corked; /* an append does not wake the writer: the caller does so, once, at the end of each
                      * turn of his loop, by audit_log_wake() or audit_log_flush() */
} AuditLogParams;

/* Where the chain of another log key ended, for a log that goes on after a rekey. */
typedef struct AuditPosition {
        uint64_t size;
        uint8_t head[32];
        AuditChange effective; /* last one that is done */
        AuditChange open;      /* change without done or undone yet; seq 0: none */
        uint64_t unsealed;     /* lines since the last checkpoint line */
} AuditPosition;

/* A new log: makes the first segment and its first line, durable on return. `from` is NULL, or continues an
 * older log whose segments are (linked) in the same directory. HF_E_STORE_INITIALISED: there is a log already
 * (and no `from`). HF_E_LOG_FULL, -errno. */
int audit_log_create(const AuditLogParams *params, const AuditPosition *from, AuditLog **ret);
/* Recovers (audit/recover.h, with its results) and is ready to append. *ret_recovery is also filled when the
 * log is damaged. */
int audit_log_open(const AuditLogParams *params, AuditRecovery *ret_recovery, AuditLog **ret);
/* Writes and syncs what is pending, ends the threads, forgets the key. */
AuditLog *audit_log_free(AuditLog *log);
DEFINE_CLEANUP(AuditLog, audit_log_free)

/*
 * Any event but checkpoint. *ret_seq may be NULL. HF_E_LOG_FULL, HF_E_LOG_FAILED; HF_E_BUSY: 4 MiB of lines
 * wait for the disk; HF_E_INTERNAL: our mistake (audit/line.h; a change while one is open; done for one that
 * is not). After an error the chain is as it was.
 */
int audit_log_append(AuditLog *log, const AuditLine *line, uint64_t *ret_seq);
/* The number the very next append will get, for a row that must name its line before it is written. Begins a new
 * segment now if the line might not fit. HF_E_LOG_FULL, HF_E_LOG_FAILED, HF_E_BUSY. */
int audit_log_next(AuditLog *log, uint64_t *ret_seq);
int audit_log_append_done(AuditLog *log, uint64_t change, uint64_t *ret_seq);
int audit_log_append_undone(AuditLog *log, uint64_t change, const char *reason, uint64_t *ret_seq);
/* `note` as the signer gave it; its size and head must be of this log: HF_E_INVALID_ARGS. A note that names a
 * next key (rekey) gets its field by itself. */
int audit_log_append_checkpoint(AuditLog *log, const char *note, uint64_t *ret_seq);

int audit_log_fd(const AuditLog *log);
/* Clears the descriptor. 0, or HF_E_LOG_FAILED (*ret_durable is then still true). */
int audit_log_dispatch(AuditLog *log, uint64_t *ret_durable);
/* Highest durable sequence number. */
uint64_t audit_log_durable(const AuditLog *log);
/* 0, or the errno (negative) of the write or sync that ended it. */
int audit_log_failed(const AuditLog *log);
/* Waits until all appended lines are durable. For start, stop and the tests; the loop never calls it. */
int audit_log_sync(AuditLog *log);
/* The low-latency road: if the thread has not begun with it, write and sync what is pending right here, in
 * the caller's thread. Blocks for one sync, saves the two thread hops. */
int audit_log_flush(AuditLog *log);
/* For a corked log: the thread may go on. */
void audit_log_wake(AuditLog *log);

void audit_log_position(const AuditLog *log, AuditPosition *ret);
const char *audit_log_id(const AuditLog *log);
/* Bytes free in the segments that exist, for `doctor`: records that can still be written on a full disk. */
uint64_t audit_log_room(const AuditLog *log);

/*
 * Deletes the segments that hold only records before `before` and lie wholly before the last checkpoint.
 * Writes the line `log.prune` first and waits for it. `uid` and `archived` (a note's size, for the line) are
 * the caller's. HF_E_NOTHING_TO_DO: no segment is wholly before it.
 */
typedef struct AuditPrune {
        uint64_t before;
        uint64_t archived;
        uint64_t uid;
} AuditPrune;
int audit_log_prune(AuditLog *log, const AuditPrune *prune, uint64_t *ret_first);
