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
#define USER_BYTES_IN_WORK_MAX (96 * 1024)
#define TPM_IN_WORK_MAX 16 /* of all users in the lane of the TPM, which does one at a time */
#define PATIENCE_USEC (10 * USEC_PER_SEC) /* how long an operation waits for a signer that is gone */

/* ---- queue ---- */

static Lane lane_of(const Operation *op)
{
        return op->key->protection == PROTECTION_TPM ? LANE_TPM : LANE_SOFTWARE;
}

static UseLane *lane(const Operation *op)
{
        return &op->user->lanes[lane_of(op)];
}

static void turn_push(Daemon *d, UseLane *l)
{
        UseTurn *t = &d->turns[l - l->user->lanes];

        l->in_turn = true;
        l->turn_next = NULL;
        *(t->last ? &t->last->turn_next : &t->first) = l;
        t->last = l;
}

static UseLane *turn_pop(UseTurn *t)
{
        UseLane *l = t->first;

        t->first = l->turn_next;
        if (!t->first)
                t->last = NULL;
        l->in_turn = false;
        return l;
}

/* RSA: milliseconds each. */
static bool is_slow(const Operation *op)
{
        return key_algorithm_info(op->key->algorithm)->bits >= 2048;
}

/* Behind slow work one more waits in the signer. A worker which sleeps between two of them has each time something to
 * catch up on when it wakes, and whoever it then shares its core with waits for the kernel's next tick, which is as long
 * as the work itself; one that goes from one to the next makes room at once. */
static size_t shared_max(const Daemon *d, const UseLane *l)
{
        return d->use_shared_max + (l->first && is_slow(l->first) ? 1 : 0);
}

/* Not what a log that ended before this one said. */
static bool is_on_its_way(const Daemon *d, uint64_t seq)
{
        const AuditLog *log = d->vault.log;
        AuditPosition end;

        if (!log || audit_log_durable(log) >= seq)
                return false;
        audit_log_position(log, &end);
        return seq < end.size;
}

/* The TPM's work takes no core. Who shares has one line on the way to the disk: a sync that has begun is waited for by all
 * whose lines came too late for it, and with one of his always under way that would be everybody else. */
static bool may_have_turn(const Daemon *d, const UseLane *l)
{
        bool shared = l == &l->user->lanes[LANE_SOFTWARE] && sharing_is_on(&d->uses);

        if (shared && is_on_its_way(d, l->last_seq))
                return false;
        return l->n_in_work < (shared ? shared_max(d, l) : USER_IN_WORK_MAX) &&
               l->bytes_in_work < USER_BYTES_IN_WORK_MAX;
}

/* Who may not have one now is looked at again when a result is back or lines are durable. */
static void turn_if_due(Daemon *d, UseLane *l)
{
        if (!l->first || l->in_turn)
                return;
        if (may_have_turn(d, l))
                turn_push(d, l);
        else
                d->use_left_out = true;
}

static void turns_again(Daemon *d)
{
        d->use_left_out = false;
        for (User *u = d->users; u; u = u->next)
                for (size_t i = 0; i < USE_LANES; i++)
                        turn_if_due(d, &u->lanes[i]);
}

static size_t job_size(const Operation *op, const UseItem *item)
{
        return item->payload.len + op->aux.len + op->salt.len + op->key->attributes_len +
               op->key->wrapped_len;
}

static void queue_push(Operation *op)
{
        UseLane *l = lane(op);

        op->queue_next = NULL;
        op->queued_at = clock_monotonic();
        sharing_note(&op->daemon->uses, op->user, op->queued_at);
        *(l->last ? &l->last->queue_next : &l->first) = op;
        l->last = op;
        op->daemon->n_queued++;
        turn_if_due(op->daemon, l);
}

static Operation *queue_pop(Daemon *d, UseLane *l)
{
        Operation *op = l->first;

        l->first = op->queue_next;
        if (!l->first)
                l->last = NULL;
        d->n_queued--;
        return op;
}

static UseLane *find_queued(Daemon *d)
{
        for (User *u = d->users; u; u = u->next)
                for (size_t i = 0; i < USE_LANES; i++)
                        if (u->lanes[i].first)
                                return &u->lanes[i];
        return NULL;
}

static void answer(Operation *op);

void use_fail_queued(Daemon *d, int r)
{
        UseLane *l;

        for (size_t i = 0; i < USE_LANES; i++)
                while (d->turns[i].first)
                        (void)turn_pop(&d->turns[i]);
        while ((l = find_queued(d))) {
                Operation *op = queue_pop(d, l);

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
        r = op->call ? operation_reply_new(op, &reply) : 0;
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

static bool is_held(const Daemon *d)
{
        return d->use_held || d->use_ended;
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
        UseLane *l = lane(item->op);
        UseTurn *t = &d->turns[lane_of(item->op)];
        User *u = l->user;

        u->refs++;
        t->n_in_work--;
        l->n_in_work--;
        l->bytes_in_work -= job_size(item->op, item);
        tpm_note_result(d, result);
        item_done(item, result, key_was_not_used(result), body);
        turn_if_due(d, l);
        user_unref(d, u);
        if (--d->n_in_work == 0 && is_held(d))
                tell_drained(d);
}

void use_hold(Daemon *d, void (*drained)(void *userdata), void *userdata)
{
        if (d->use_ended)
                return;
        d->use_held = true;
        d->use_drained = drained;
        d->use_drained_userdata = userdata;
        if (d->n_in_work == 0)
                tell_drained(d);
}

void use_end(Daemon *d, void (*drained)(void *userdata), void *userdata)
{
        use_hold(d, drained, userdata);
        d->use_ended = true;
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
        lane(op)->last_seq = item->seq;
        d->turns[lane_of(op)].n_in_work++;
        lane(op)->n_in_work++;
        lane(op)->bytes_in_work += job_size(op, item);
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

/* What the TPM is busy with does not count against the others. */
static bool has_room(const Daemon *d, Lane which)
{
        size_t in_tpm = d->turns[LANE_TPM].n_in_work;

        if (which == LANE_TPM && in_tpm >= TPM_IN_WORK_MAX)
                return false;
        return signer_client_has_room_besides(d->signer, in_tpm);
}

static void pump(Daemon *d, Lane which)
{
        UseTurn *t = &d->turns[which];

        while (t->first && !d->sealing && !is_held(d) && d->vault.state == VAULT_READY && d->vault.signer_open &&
                        signer_client_is_up(d->signer) && has_room(d, which)) {
                UseLane *l = turn_pop(t);
                Operation *op = l->first;
                User *u = l->user;

                u->refs++;
                if (op->failure || op->n_sent + 1 == op->n_items)
                        queue_pop(d, l);
                if (op->failure) {
                        op->queued = false;
                        if (op->n_done == op->n_sent)
                                answer(op);
                } else {
                        send_item(op);
                }
                turn_if_due(d, l);
                user_unref(d, u);
        }
}

void use_pump(Daemon *d)
{
        if (d->use_left_out)
                turns_again(d);
        pump(d, LANE_SOFTWARE);
        pump(d, LANE_TPM);
        if ((d->turns[LANE_SOFTWARE].first || d->turns[LANE_TPM].first) && !d->vault.signer_open)
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
