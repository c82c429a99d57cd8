/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/change.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "daemon/checkpoint.h"

typedef enum ChangeStep {
        CHANGE_QUEUED,
        CHANGE_PREPARE,   /* the worker writes slots.next, and what else takes effect with the change */
        CHANGE_WAIT_LINE, /* until the line is durable */
        CHANGE_COMMIT,    /* the worker commits */
        CHANGE_WAIT_DONE, /* until `done` or `undone` is durable */
        CHANGE_SEAL,
} ChangeStep;

static void run_next(Daemon *d);

bool change_is_idle(const Daemon *d)
{
        return !d->change_first;
}

void change_slots_hash(Bytes slots, uint8_t ret[static 32])
{
        digest_sha256(slots, ret);
}

static void tell_drained(Daemon *d)
{
        void (*drained)(void *userdata) = d->change_drained;

        if (d->change_running || !drained)
                return;
        d->change_drained = NULL;
        drained(d->change_drained_userdata);
}

/* ---- those that are made together ---- */

/* All that is being made: `c` from the front on, one after the other. */
#define FOR_TOGETHER(d, c) \
        for (Change *c = (d)->change_first, *end_ = after_together(d); c != end_; c = c->next)

static Change *after_together(const Daemon *d)
{
        Change *c = d->change_first;

        for (size_t i = 0; i < d->change_together; i++)
                c = c->next;
        return c;
}

static bool may_join(const Daemon *d, const Change *c)
{
        if (!c || !c->joins || d->change_together == CHANGE_TOGETHER_MAX)
                return false;
        FOR_TOGETHER(d, other)
                if (other->joins != c->joins || !c->joins(c, other))
                        return false;
        return true;
}

/* Whoever is told begins, if anything, what comes next; all are told before that. */
static void end(Daemon *d, int result)
{
        Change *c = d->change_first, *next, *rest = after_together(d);

        d->change_first = rest;
        d->change_together = 0;
        if (!rest)
                d->change_last = NULL;
        for (; c != rest; c = next) {
                next = c->next;
                buffer_deinit(&c->slots);
                c->finish(c, c->failed ? c->failed : result);
        }
        d->change_running = false;
        run_next(d);
        tell_drained(d);
}

/* ---- step 1 and 2: rows, line ---- */

/* Who is refused before he wrote anything ends alone; a result is one for all. */
static int write_one(Change *c)
{
        Store *store = c->daemon->vault.store;
        uint8_t before[STORE_DIGEST_SIZE], after[STORE_DIGEST_SIZE];

        store_digest(store, before);
        c->line = malloc(sizeof(*c->line));
        if (!c->line) {
                c->failed = -ENOMEM;
                return 0;
        }
        audit_line_init(c->line, c->event);
        c->failed = c->write(c, c->line);
        if (!c->failed)
                c->failed = c->line->error;
        if (!c->failed)
                return 0;
        free(c->line);
        c->line = NULL;
        store_digest(store, after);
        return memcmp(before, after, sizeof(before)) ? c->failed : 0;
}

static int write_together(Daemon *d)
{
        for (Change *c = d->change_first;; c = c->next, d->change_together++) {
                int r = write_one(c);

                if (r || !may_join(d, c->next))
                        return r;
        }
}

/* NULL: all were refused. */
static Change *first_written(const Daemon *d)
{
        FOR_TOGETHER(d, c)
                if (c->line)
                        return c;
        return NULL;
}

static int write_seq(Daemon *d, uint64_t seq, AuditLine *line)
{
        Vault *v = &d->vault;
        const Buffer *slots = &d->change_first->slots;
        uint8_t state[32], slots_hash[32];
        int r = 0;

        memcpy(slots_hash, v->slots_hash, sizeof(slots_hash));
        if (slots->len) {
                change_slots_hash(buffer_bytes(slots), slots_hash);
                r = store_put_meta(v->store, META_SLOTS, BYTES_ARRAY(slots_hash));
        }
        if (!r)
                r = store_set_seq(v->store, seq);
        if (r)
                return r;
        store_state(v->store, slots_hash, state);
        audit_line_hex(line, "state", state, sizeof(state));
        return 0;
}

/* The first line has the state, the others its number. */
static int append_lines(Daemon *d)
{
        Change *front = d->change_first;

        FOR_TOGETHER(d, c) {
                int r;

                if (!c->line)
                        continue;
                if (front->seq)
                        audit_line_u64(c->line, "with", front->seq);
                r = audit_log_append(d->vault.log, c->line, front->seq ? &front->last_seq : &front->seq);
                if (r)
                        return r;
                front->last_seq = front->last_seq > front->seq ? front->last_seq : front->seq;
        }
        return 0;
}

static void free_lines(Daemon *d)
{
        FOR_TOGETHER(d, c) {
                free(c->line);
                c->line = NULL;
        }
}

static void take_back(Daemon *d, int result)
{
        Vault *v = &d->vault;
        Change *front = d->change_first;

        if (store_rollback(v->store))
                daemon_abandon(d, store_reason(v->store));
        else if (front->seq && audit_log_append_undone(v->log, front->seq, hf_error_name(result), NULL))
                daemon_abandon(d, "the end of a change could not be written to the log");
        else
                end(d, result);
}

static void begin(Daemon *d)
{
        Vault *v = &d->vault;
        Change *front = d->change_first, *first;
        uint64_t seq;
        int r;

        r = audit_log_next(v->log, &seq);
        if (!r)
                r = store_begin(v->store);
        if (r) {
                end(d, r);
                return;
        }
        r = write_together(d);
        first = first_written(d);
        if (!r && first)
                r = write_seq(d, seq, first->line);
        if (!r)
                r = append_lines(d);
        free_lines(d);
        if (r || !first) {
                take_back(d, r);
                return;
        }
        front->step = CHANGE_WAIT_LINE;
        change_on_durable(d);
}

/* ---- what takes effect with it ---- */

static int prepare(void *userdata)
{
        Change *c = userdata;
        int r = c->prepare ? c->prepare(c) : 0;

        return r || !c->slots.len
                               ? r
                               : io_write_file(c->daemon->vault.store_fd, "slots.next", buffer_bytes(&c->slots), 0600);
}

static void on_prepared(void *userdata, int result)
{
        Change *c = userdata;

        if (result || !c->daemon->vault.store)
                end(c->daemon, result ? result : HF_E_STORE_LOCKED);
        else
                begin(c->daemon);
}

/* ---- step 3: commit ---- */

static int commit(void *userdata)
{
        Change *c = userdata;
        Vault *v = &c->daemon->vault;
        StoreOutcome outcome = store_commit(v->store);

        if (outcome == STORE_COMMITTED && c->slots.len &&
                        (renameat(v->store_fd, "slots.next", v->store_fd, "slots") < 0 ||
                                        io_sync_dir(v->store_fd)))
                outcome = STORE_OUTCOME_UNKNOWN; /* committed; recovery finds slots.next by its hash */
        if (outcome == STORE_COMMITTED && c->publish)
                c->publish(c);
        return (int)outcome;
}

/* Of those that were written. */
static void tell_committed(Daemon *d, int failed)
{
        FOR_TOGETHER(d, c) {
                if (c->failed)
                        continue;
                c->failed = failed;
                if (!failed)
                        c->apply(c);
        }
}

static void on_committed(void *userdata, int result)
{
        Change *c = userdata;
        Daemon *d = c->daemon;
        Vault *v = &d->vault;
        int failed, r;

        if (result == STORE_OUTCOME_UNKNOWN) {
                daemon_abandon(d, store_reason(v->store));
                return;
        }
        failed = result == STORE_COMMITTED ? 0 : store_failure(v->store) == -ENOSPC ? HF_E_LOG_FULL : HF_E_INTERNAL;
        if (!failed) {
                if (c->slots.len) {
                        change_slots_hash(buffer_bytes(&c->slots), v->slots_hash);
                        buffer_clear(&v->slots);
                        (void)buffer_append(&v->slots, c->slots.data, c->slots.len);
                }
                tell_committed(d, 0);
                r = audit_log_append_done(v->log, c->seq, &c->done_seq);
        } else {
                tell_committed(d, failed);
                log_error("change %llu was taken back: %s", (unsigned long long)c->seq,
                                store_reason(v->store));
                r = audit_log_append_undone(v->log, c->seq, store_reason(v->store), &c->done_seq);
        }
        if (r) {
                daemon_abandon(d, "the end of a change could not be written to the log");
                return;
        }
        c->step = CHANGE_WAIT_DONE;
        change_on_durable(d);
}

/* ---- steps 4 and 5 ---- */

static void on_sealed(void *userdata, int result)
{
        Change *c = userdata;

        if (result)
                log_warning("change %llu is done, but not sealed yet: %s", (unsigned long long)c->seq,
                                hf_error_name(result));
        end(c->daemon, 0);
}

static void after_done(Change *c)
{
        if (c->seal && !c->failed) {
                c->step = CHANGE_SEAL;
                checkpoint_anchor(c->daemon, on_sealed, c);
        } else {
                end(c->daemon, 0);
        }
}

void change_on_durable(Daemon *d)
{
        Change *c = d->change_first;
        uint64_t durable;

        if (!c || !d->vault.log)
                return;
        durable = audit_log_durable(d->vault.log);
        if (c->step == CHANGE_WAIT_LINE && durable >= c->last_seq) {
                c->step = CHANGE_COMMIT;
                if (worker_post(d->worker, commit, on_committed, c))
                        daemon_abandon(d, "no memory to commit");
        } else if (c->step == CHANGE_WAIT_DONE && durable >= c->done_seq) {
                after_done(c);
        }
}

static void run_next(Daemon *d)
{
        Change *c = d->change_first;
        int r;

        if (!c || d->change_running || d->change_held)
                return;
        d->change_running = true;
        d->change_together = 1;
        r = !d->vault.store || !d->vault.log ? HF_E_STORE_LOCKED : c->gather ? c->gather(c) : 0;
        if (r) {
                end(d, r);
        } else if (c->read) {
                end(d, c->read(c));
        } else if (c->slots.len || c->prepare) {
                c->step = CHANGE_PREPARE;
                if (worker_post(d->worker, prepare, on_prepared, c))
                        end(d, -ENOMEM);
        } else {
                begin(d);
        }
}

void change_submit(Daemon *d, Change *c)
{
        assert(!c->joins || !(c->seal || c->slots.len || c->prepare || c->publish));
        c->daemon = d;
        c->next = NULL;
        c->line = NULL;
        c->seq = c->last_seq = c->done_seq = 0;
        c->failed = 0;
        c->step = CHANGE_QUEUED;
        *(d->change_last ? &d->change_last->next : &d->change_first) = c;
        d->change_last = c;
        run_next(d);
}

void change_hold(Daemon *d)
{
        d->change_held = true;
}

void change_drain(Daemon *d, void (*drained)(void *userdata), void *userdata)
{
        change_hold(d);
        d->change_drained = drained;
        d->change_drained_userdata = userdata;
        tell_drained(d);
}

void change_release(Daemon *d)
{
        d->change_held = false;
        run_next(d);
}

/* ---- counted uses ---- */

typedef struct Reservation {
        Change change;
        Operation *op;
        UsesChange uses;
        void (*done)(void *op, int result);
} Reservation;

static int reservation_write(Change *c, AuditLine *line)
{
        Reservation *v = c->userdata;
        Operation *op = v->op;
        int r;

        r = uses_reserve(c->daemon->vault.uses, c->daemon->vault.store, &op->key->uuid, op->key->created,
                        op->uses_rule, op->uses_limit, &v->uses);
        if (r)
                return r;
        audit_line_uuid(line, "key", &op->key->uuid);
        audit_line_str(line, "name", key_entry_name(op->key));
        audit_line_str(line, "rule", op->uses_rule);
        audit_line_u64(line, "count", v->uses.reserved);
        audit_line_u64(line, "left",
                        op->uses_limit > v->uses.row.spent ? op->uses_limit - v->uses.row.spent : 0);
        return 0;
}

static void reservation_apply(Change *c)
{
        Reservation *v = c->userdata;

        uses_apply(c->daemon->vault.uses, &v->uses);
}

static void reservation_finish(Change *c, int result)
{
        Reservation *v = c->userdata;
        Operation *op = v->op;
        void (*done)(void *, int) = v->done;

        free(v);
        done(op, result);
}

void change_reserve_uses(Operation *op, void (*done)(void *op, int result))
{
        Reservation *v = calloc(1, sizeof(*v));

        if (!v) {
                done(op, -ENOMEM);
                return;
        }
        v->op = op;
        v->done = done;
        v->change = (Change){
                        .event = "uses.reserve",
                        .write = reservation_write,
                        .apply = reservation_apply,
                        .finish = reservation_finish,
                        .userdata = v,
        };
        change_submit(op->daemon, &v->change);
}

/* ---- counted uses, granted anew ---- */

typedef struct Grant {
        Change change;
        Operation *op;
        Uuid key;
        char rule[NAME_SIZE];
        uint64_t limit, count;
        UsesChange uses;
} Grant;

/* Changes wait for each other: by now the key may be gone. */
static int grant_write(Change *c, AuditLine *line)
{
        Grant *g = c->userdata;
        Vault *v = &c->daemon->vault;
        KeyEntry *key = catalogue_find_uuid(v->catalogue, &g->key);
        int r;

        if (!key)
                return HF_E_NO_SUCH_KEY;
        r = uses_grant(v->uses, v->store, &g->key, g->rule, g->limit - g->count, &g->uses);
        if (r)
                return r;
        audit_line_uuid(line, "key", &g->key);
        audit_line_str(line, "name", key_entry_name(key));
        audit_line_str(line, "granted-rule", g->rule);
        audit_line_u64(line, "left", g->count);
        operation_audit_caller(g->op, line);
        return 0;
}

static void grant_apply(Change *c)
{
        Grant *g = c->userdata;

        uses_apply(c->daemon->vault.uses, &g->uses);
}

static void grant_finish(Change *c, int result)
{
        Grant *g = c->userdata;
        Operation *op = g->op;

        free(g);
        if (result)
                operation_fail(op, result);
        else
                operation_done(op);
}

int change_grant_uses(Operation *op, const char *rule, uint64_t limit, uint64_t count)
{
        Grant *g = calloc(1, sizeof(*g));

        if (!g)
                return -ENOMEM;
        g->op = op;
        g->key = op->key->uuid;
        snprintf(g->rule, sizeof(g->rule), "%s", rule);
        g->limit = limit;
        g->count = count;
        g->change = (Change){
                        .event = "uses.grant",
                        .seal = true,
                        .write = grant_write,
                        .apply = grant_apply,
                        .finish = grant_finish,
                        .userdata = g,
        };
        change_submit(op->daemon, &g->change);
        return 0;
}
