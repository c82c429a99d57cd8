/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Changes of the store, one at a time
 *
 * Those that wait and say that they may be made together (`joins`) are one change to the store and to the log: one
 * transaction, one `done`, a line each; each is told its own end.
 *
 * The protocol of docs/architecture.md ("Change"): rows and meta.seq in an open transaction; the line with
 * the new state, durable; COMMIT; `done`, durable; a checkpoint; the answer. What can surely be taken back is
 * (`undone`); of what cannot be known the process makes an end, and recovery finds out.
 */
#include "daemon/operation.h"

#define CHANGE_TOGETHER_MAX REGISTRY_TOGETHER_MAX

struct Change {
        Change *next;
        Daemon *daemon;
        const char *event;
        bool seal; /* the answer waits for a checkpoint */

        /* Instead of all that follows: looks at the store when its turn has come, and changes nothing. Its result is that of
         * the whole. */
        int (*read)(Change *c);
        /* When its turn has come: takes along what prepare() needs from the loop. A result ends the change. NULL: nothing. */
        int (*gather)(Change *c);
        /* In the worker, after that: makes what takes effect with the change and is nothing without it. A result
         * ends the change before anything was done. NULL: nothing. */
        int (*prepare)(Change *c);
        /* In the worker, after COMMIT: lets that take effect. What fails here is put right when the store opens next. */
        void (*publish)(Change *c);
        /* Inside the transaction: writes the rows and fills in the line (all but `state` and `with`). */
        int (*write)(Change *c, AuditLine *line);
        /* May both be written before either is applied? Asked of those with the same function here. NULL: this one is made
         * alone, as are those with `seal`, `slots`, `prepare` or `publish`. */
        bool (*joins)(const Change *a, const Change *b);
        /* After COMMIT; cannot fail. */
        void (*apply)(Change *c);
        /* At the end; frees what the change holds. */
        void (*finish)(Change *c, int result);
        void *userdata;

        /* A new slots file that takes effect with this change; empty: none. */
        Buffer slots;

        AuditLine *line;
        uint64_t seq; /* the line that has the state */
        uint64_t last_seq;
        uint64_t done_seq;
        int failed; /* 0, or what it was refused or taken back for */
        int step;
};

/* finish() is called exactly once, perhaps before this returns. */
void change_submit(Daemon *d, Change *c);
void change_on_durable(Daemon *d);
bool change_is_idle(const Daemon *d);
/* Changes wait until they are released: a backup or rekey is being taken. */
void change_hold(Daemon *d);
void change_release(Daemon *d);
/* For a stop: the change under way is the last; `drained` is called when it has ended, perhaps at once. */
void change_drain(Daemon *d, void (*drained)(void *userdata), void *userdata);

/* Reserves the next block of counted uses for op's rule, then calls done(op, result). */
void change_reserve_uses(Operation *op, void (*done)(void *op, int result));

/* Grants `count` uses of the limit of this rule, for op->key; what was used before no longer matters. Answers. */
int change_grant_uses(Operation *op, const char *rule, uint64_t limit, uint64_t count);

/* SHA-256 of a slots file, as `state` and the meta row have it. */
void change_slots_hash(Bytes slots, uint8_t ret[static 32]);
#define META_SLOTS "slots"   /* SHA-256 of the slots file in force */
#define META_EPOCH "epoch"   /* u64 little-endian */
#define META_COUNTER "counter" /* u64 little-endian: the NV counter when the epoch began; all ones: none */
#define META_LOST "tpm-lost"   /* daemon/lost.h */
#define META_BACKUP "backup" /* u64 little-endian, microseconds since 1970 */
