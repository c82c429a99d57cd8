/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uses of a key
 *
 * The hot road. An operation waits in its user's queue until it is that user's turn; then, for each item, one
 * line "allowed and started" goes to the log and at the same time the job to the signer. The answer leaves
 * when the last line is durable and all results are there. Turns go round by user, item by item, so a
 * SignMany of a thousand does not stand in anybody's way.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/change.h"
#include "daemon/checkpoint.h"
#include "daemon/operation.h"
#include "daemon/user.h"
#include "keystore/lifecycle.h"

/* Of one user with the signer at once, so that there is always room for another's: in the signer, and in the
 * socket that leads there. While others use keys too, only as many as half the cores can do
 * (d->use_shared_max): with every core busy for one user, each step of another's call waits until the kernel takes
 * a core away from somebody. */
#define USER_IN_WORK_MAX 64
#define SHARED_USEC USEC_PER_SEC /* how long after two users have met */
#define USER_BYTES_IN_WORK_MAX (96 * 1024)
#define PATIENCE_USEC (10 * USEC_PER_SEC) /* how long an operation waits for a signer that is gone */

/* ---- queue ---- */

static void turn_push(Daemon *d, User *u)
{
        u->in_turn = true;
        u->turn_next = NULL;
        *(d->turn_last ? &d->turn_last->turn_next : &d->turn_first) = u;
        d->turn_last = u;
}

static User *turn_pop(Daemon *d)
{
        User *u = d->turn_first;

        d->turn_first = u->turn_next;
        if (!d->turn_first)
                d->turn_last = NULL;
        u->in_turn = false;
        return u;
}

/* Notes who uses keys. Two within a moment share. */
static void meet(Daemon *d, const User *u, uint64_t now)
{
        if (u->uid != d->use_uid && now < d->use_at + SHARED_USEC)
                d->use_shared_until = now + SHARED_USEC;
        d->use_uid = u->uid;
        d->use_at = now;
}

static bool may_have_turn(const Daemon *d, const User *u)
{
        size_t max = d->use_at < d->use_shared_until ? d->use_shared_max : USER_IN_WORK_MAX;

        return u->n_in_work < max && u->bytes_in_work < USER_BYTES_IN_WORK_MAX;
}

static size_t job_size(const Operation *op, const UseItem *item)
{
        return item->payload.len + op->aux.len + op->salt.len + op->key->attributes_len +
               op->key->wrapped_len;
}

static void queue_push(Operation *op)
{
        User *u = op->user;

        op->queue_next = NULL;
        op->queued_at = clock_monotonic();
        meet(op->daemon, u, op->queued_at);
        *(u->queue_last ? &u->queue_last->queue_next : &u->queue_first) = op;
        u->queue_last = op;
        op->daemon->n_queued++;
        if (!u->in_turn && may_have_turn(op->daemon, u))
                turn_push(op->daemon, u);
}

static Operation *queue_pop(Daemon *d, User *u)
{
        Operation *op = u->queue_first;

        u->queue_first = op->queue_next;
        if (!u->queue_first)
                u->queue_last = NULL;
        d->n_queued--;
        return op;
}

static User *find_queued(const Daemon *d)
{
        User *u = d->users;

        while (u && !u->queue_first)
                u = u->next;
        return u;
}

static void answer(Operation *op);

void use_fail_queued(Daemon *d, int r)
{
        User *u;

        while (d->turn_first)
                (void)turn_pop(d);
        while ((u = find_queued(d))) {
                Operation *op = queue_pop(d, u);

                if (!op->failure)
                        op->failure = r;
                op->queued = false;
                if (op->n_done == op->n_sent)
                        answer(op);
        }
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;
        Operation *op;

        (void)source;
        (void)usec;
        d->patience = sd_event_source_disable_unref(d->patience);
        if (d->vault.signer_open)
                return 0;
        use_fail_queued(d, HF_E_SIGNER_UNAVAILABLE);
        while ((op = d->parked_first)) {
                d->parked_first = op->queue_next;
                if (!d->parked_first)
                        d->parked_last = NULL;
                operation_fail(op, HF_E_SIGNER_UNAVAILABLE);
        }
        return 0;
}

void use_patience(Daemon *d)
{
        if (!d->patience)
                (void)sd_event_add_time_relative(
                                d->event, &d->patience, CLOCK_MONOTONIC, PATIENCE_USEC, 0, on_patience, d);
}

/* ---- one item ---- */

static int append_line(Operation *op, UseItem *item)
{
        AuditLine line;

        audit_line_init(&line, op->event);
        audit_line_uuid(&line, "key", &op->key->uuid);
        audit_line_str(&line, "name", key_entry_name(op->key));
        operation_audit_caller(op, &line);
        audit_line_str(&line, "scheme", scheme_info(op->scheme)->name);
        audit_line_u64(&line, "size", item->payload.len);
        if (op->many && item != op->items) {
                audit_line_u64(&line, "call", op->items[0].seq);
                audit_line_u64(&line, "item", (uint64_t)(item - op->items));
        }
        return audit_log_append(op->daemon->vault.log, &line, &item->seq);
}

static uint64_t append_failure(Operation *op, uint64_t ref, int result)
{
        AuditLine line;
        uint64_t seq = 0;

        audit_line_init(&line, "failed");
        audit_line_u64(&line, "ref", ref);
        audit_line_str(&line, "error", hf_error_name(result));
        if (!op->daemon->vault.log || audit_log_append(op->daemon->vault.log, &line, &seq))
                return 0;
        return seq;
}

/* What the signer says before it turns to the key: nothing came of that use, while an attempt at decryption and a signer
 * that died over it count. */
static bool key_was_not_used(int result)
{
        switch (result) {
        case HF_E_INVALID_ARGS:
        case HF_E_LIMIT_EXCEEDED:
        case HF_E_KEY_DISABLED:
        case HF_E_KEY_MISMATCH:
        case HF_E_PURPOSE_NOT_PERMITTED:
        case HF_E_SCHEME_NOT_SUPPORTED:
        case HF_E_NOT_SUPPORTED:
        case HF_E_STORE_LOCKED:
                return true;
        default:
                return false;
        }
}

/* Counted uses that were taken for items that have no line, or of which nothing came. */
static void give_back(Operation *op)
{
        Uses *uses = op->daemon->vault.uses;

        for (; uses && op->uses_taken > op->n_sent - op->n_unused; op->uses_taken--)
                uses_give_back(uses, &op->key->uuid, op->uses_rule);
}

static void answer(Operation *op)
{
        sd_bus_message *reply = NULL;
        int r;

        if (op->failure) {
                give_back(op);
                operation_fail_at(op, op->failure_seq, op->failure, NULL);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0 && (op->use == SIGNER_OP_DECRYPT || op->use == SIGNER_OP_AGREE ||
                                      op->use == SIGNER_OP_UNSEAL))
                r = sd_bus_message_sensitive(reply);
        if (r >= 0)
                r = op->finish(op, reply);
        if (r < 0 || r == OPERATION_ANSWERED) {
                sd_bus_message_unref(reply);
                if (r != OPERATION_ANSWERED)
                        operation_fail(op, HF_E_INTERNAL);
                return;
        }
        operation_send_at(op, op->items[op->n_items - 1].seq, reply);
}

static void item_done(UseItem *item, int result, bool unused, Bytes body)
{
        Operation *op = item->op;
        WireReader r = wire_reader(body);
        Bytes out;

        op->n_done++;
        if (!result) {
                out = wire_get_block(&r, LINK_MESSAGE_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : 0;
        }
        if (!result && !op->failure) {
                item->result = malloc(out.len ? out.len : 1);
                item->result_len = item->result ? out.len : 0;
                if (item->result && out.len)
                        memcpy(item->result, out.data, out.len);
                result = item->result ? 0 : -ENOMEM;
        }
        op->n_unused += unused;
        if (result && item->seq)
                op->failure_seq = append_failure(op, item->seq, result);
        if (result && !op->failure)
                op->failure = result;
        if (op->n_done == op->n_sent && (op->failure ? !op->queued : op->n_sent == op->n_items))
                answer(op);
}

static void tell_drained(Daemon *d)
{
        void (*drained)(void *userdata) = d->use_drained;

        d->use_drained = NULL;
        if (drained)
                drained(d->use_drained_userdata);
}

static void on_result(void *userdata, int result, Bytes body)
{
        UseItem *item = userdata;
        Daemon *d = item->op->daemon;
        User *u = item->op->user;

        u->refs++;
        u->n_in_work--;
        u->bytes_in_work -= job_size(item->op, item);
        tpm_note_result(d, result);
        item_done(item, result, key_was_not_used(result), body);
        if (u->queue_first && !u->in_turn && may_have_turn(d, u))
                turn_push(d, u);
        user_unref(d, u);
        if (--d->n_in_work == 0 && d->use_held)
                tell_drained(d);
}

void use_hold(Daemon *d, void (*drained)(void *userdata), void *userdata)
{
        d->use_held = true;
        d->use_drained = drained;
        d->use_drained_userdata = userdata;
        if (d->n_in_work == 0)
                tell_drained(d);
}

static int send_job(Operation *op, UseItem *item)
{
        SignerOperation job = {
                        .seq = item->seq,
                        .uid = op->caller->uid,
                        .op = op->use,
                        .scheme = (uint8_t)op->scheme,
                        .flags = op->flags,
                        .length = op->length,
                        .attributes = key_entry_attributes(op->key),
                        .wrapped = key_entry_wrapped(op->key),
                        .payload = item->payload,
                        .aux = op->aux,
                        .salt = op->salt,
        };
        Daemon *d = op->daemon;
        int r;

        r = signer_operation_encode(&job, signer_begin(d->signer, SIGNER_OPERATE));
        if (!r)
                r = signer_call(d->signer, NULL, 0, on_result, item);
        if (r)
                return r;
        d->n_in_work++;
        op->user->n_in_work++;
        op->user->bytes_in_work += job_size(op, item);
        return 0;
}

/* The key may have been changed, destroyed or rekeyed since the operation was queued. */
static int refresh_key(Operation *op)
{
        KeyEntry *now = catalogue_find_uuid(op->daemon->vault.catalogue, &op->key->uuid);
        int r;

        if (now == op->key)
                return 0;
        r = now ? lifecycle_check(now, KEY_ACTION_USE) : HF_E_NO_SUCH_KEY;
        if (r)
                return r;
        key_entry_unref(op->key);
        op->key = key_entry_ref(now);
        return 0;
}

/*
 * Line first, then the job: there is never a job without its line. A checkpoint that this line makes due is
 * asked for behind the job, because the signer refuses a job whose line a checkpoint covers already.
 */
static void send_item(Operation *op)
{
        UseItem *item = &op->items[op->n_sent];
        Daemon *d = op->daemon;
        int r;

        item->op = op;
        r = refresh_key(op);
        if (!r)
                r = append_line(op, item);
        if (!r) {
                op->n_sent++;
                op->queued = op->n_sent < op->n_items;
                r = send_job(op, item);
                if (r)
                        item_done(item, r, true, BYTES_NULL);
                checkpoint_consider(d);
                return;
        }
        op->failure = r;
        if (op->n_sent + 1 < op->n_items)
                return; /* still in the queue: ends at its next turn */
        op->queued = false;
        if (op->n_done == op->n_sent)
                answer(op);
}

void use_pump(Daemon *d)
{
        while (d->turn_first && !d->sealing && !d->use_held && d->vault.state == VAULT_READY &&
                        d->vault.signer_open && signer_client_has_room(d->signer)) {
                User *u = turn_pop(d);
                Operation *op = u->queue_first;

                u->refs++;
                if (op->failure || op->n_sent + 1 == op->n_items)
                        queue_pop(d, u);
                if (op->failure) {
                        op->queued = false;
                        if (op->n_done == op->n_sent)
                                answer(op);
                } else {
                        send_item(op);
                }
                if (u->queue_first && !u->in_turn && may_have_turn(d, u))
                        turn_push(d, u); /* else when one of them is back */
                user_unref(d, u);
        }
        if (d->turn_first && !d->vault.signer_open)
                use_patience(d);
}

/* ---- counted uses ---- */

static void on_reserved(void *userdata, int result)
{
        Operation *op = userdata;

        if (!result)
                result = use_start(op);
        if (result) {
                give_back(op);
                operation_fail(op, result);
        }
}

/* All or none. HF_E_NOTHING_TO_DO: a reservation is under way and comes back to use_start(). */
static int take_uses(Operation *op)
{
        while (op->uses_limit && op->uses_taken < op->n_items) {
                switch (uses_take(op->daemon->vault.uses, &op->key->uuid, op->key->created, op->uses_rule,
                                op->uses_limit)) {
                case USES_ALLOWED:
                        op->uses_taken++;
                        break;
                case USES_NEEDS_RESERVE:
                        change_reserve_uses(op, on_reserved);
                        return HF_E_NOTHING_TO_DO;
                case USES_EXHAUSTED:
                        give_back(op);
                        return HF_E_USES_EXHAUSTED;
                }
        }
        return 0;
}

int use_start(Operation *op)
{
        int r;

        if (op->daemon->vault.state != VAULT_READY)
                return vault_state_error(&op->daemon->vault);
        r = take_uses(op);
        if (r)
                return r == HF_E_NOTHING_TO_DO ? 0 : r;
        op->queued = true;
        queue_push(op);
        use_pump(op->daemon);
        return 0;
}
