/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/anchor.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/checkpoint.h"
#include "daemon/tpm-state.h"

#define PATIENCE_USEC (5 * USEC_PER_SEC) /* how long a change waits for the counter */

typedef struct AnchorWaiter AnchorWaiter;
struct AnchorWaiter {
        AnchorWaiter *next;
        void (*done)(void *userdata, int result);
        void *userdata;
        bool covered; /* by the increment that is in flight */
};

/* ---- who waits ---- */

static void tell(Daemon *d, bool all)
{
        Anchor *a = &d->anchor;
        AnchorWaiter **at = &a->waiters, *told = NULL, *w;

        while ((w = *at)) {
                if (!w->covered && !all) {
                        at = &w->next;
                        continue;
                }
                *at = w->next;
                w->next = told;
                told = w;
        }
        while ((w = told)) {
                told = w->next;
                w->done(w->userdata, 0);
                free(w);
        }
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        (void)usec;
        d->anchor.patience = sd_event_source_disable_unref(d->anchor.patience);
        tell(d, true);
        return 0;
}

void anchor_wait(Daemon *d, void (*done)(void *userdata, int result), void *userdata)
{
        Anchor *a = &d->anchor;
        AnchorWaiter *w;

        w = a->state == ANCHOR_GOOD ? calloc(1, sizeof(*w)) : NULL;
        if (!w) {
                done(userdata, 0);
                return;
        }
        *w = (AnchorWaiter){.next = a->waiters, .done = done, .userdata = userdata};
        a->waiters = w;
        if (!a->patience && sd_event_add_time_relative(d->event, &a->patience, CLOCK_MONOTONIC, PATIENCE_USEC, 0,
                                            on_patience, d) < 0)
                tell(d, true);
}

/* ---- the counter ---- */

static int ask(Daemon *d, TpmCounterAction action, SignerReplyFunc reply)
{
        Buffer *b = signer_begin(d->signer, SIGNER_COUNTER);
        int r;

        r = wire_put_block(b, buffer_bytes(&d->vault.slots));
        if (!r)
                r = wire_put_u8(b, (uint8_t)action);
        if (!r)
                r = signer_call(d->signer, NULL, 0, reply, d);
        if (!r)
                d->anchor.in_flight = true;
        return r;
}

static int value_of(int result, Bytes body, uint64_t *ret)
{
        WireReader r = wire_reader(body);
        uint64_t value;

        if (result)
                return result;
        value = wire_get_u64(&r);
        if (wire_done(&r))
                return HF_E_SIGNER_FAILED;
        *ret = value;
        return 0;
}

static void lose(Daemon *d, int result)
{
        Anchor *a = &d->anchor;

        if (a->state == ANCHOR_GOOD)
                a->state = freshness_may_return(result) ? ANCHOR_AWAY : ANCHOR_WRONG;
        if (a->state == ANCHOR_WRONG)
                log_error("the TPM's counter is no longer there (%s): the store goes on, but will not open again before "
                          "`holdfast recover`",
                                hf_error_name(result));
        else
                log_warning("the log is not anchored for now: %s", hf_error_name(result));
        tell(d, true);
        tpm_trouble(d);
}

static void confirm(Daemon *d, uint64_t counter)
{
        Anchor *a = &d->anchor;

        a->state = ANCHOR_GOOD;
        a->counter = counter;
        a->owed = false;
}

static void go_on(Daemon *d)
{
        Anchor *a = &d->anchor;

        if (!a->again && !a->waiters)
                return;
        a->again = false;
        checkpoint_anchor(d, NULL, NULL);
}

static void on_incremented(void *userdata, int result, Bytes body)
{
        Daemon *d = userdata;
        Anchor *a = &d->anchor;
        uint64_t value = 0;

        a->in_flight = false;
        if (!d->vault.log)
                return;
        result = value_of(result, body, &value);
        if (!result && value != a->counter + 1) {
                log_error("the TPM's counter went from %llu to %llu", (unsigned long long)a->counter,
                                (unsigned long long)value);
                result = HF_E_KEY_MISMATCH;
        }
        if (result) {
                lose(d, result);
                return;
        }
        confirm(d, value);
        a->last = clock_wall();
        a->last_monotonic = clock_monotonic();
        tell(d, false);
        if (!a->waiters)
                a->patience = sd_event_source_disable_unref(a->patience);
        go_on(d);
}

void anchor_push(Daemon *d)
{
        Anchor *a = &d->anchor;
        int r;

        if (a->state != ANCHOR_GOOD) {
                tell(d, true);
                return;
        }
        if (a->in_flight) {
                a->again = true;
                return;
        }
        if (!a->owed) { /* an increment came between the note and its being durable: it says the value as it is */
                a->again = true;
                go_on(d);
                return;
        }
        for (AnchorWaiter *w = a->waiters; w; w = w->next)
                w->covered = true;
        a->unanchored = false;
        r = ask(d, TPM_COUNTER_INCREMENT, on_incremented);
        if (r)
                lose(d, r);
}

/* ---- notes ---- */

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        (void)usec;
        d->anchor.due = sd_event_source_disable_unref(d->anchor.due);
        if (d->anchor.unanchored && d->vault.state == VAULT_READY)
                checkpoint_anchor(d, NULL, NULL);
        return 0;
}

int64_t anchor_note(const Daemon *d, bool anchored)
{
        const Anchor *a = &d->anchor;

        if (a->state == ANCHOR_NONE)
                return -1;
        return (int64_t)(a->counter + (a->state != ANCHOR_UNCHECKED && (anchored || a->owed)));
}

void anchor_noted(Daemon *d, int64_t said, bool anchored)
{
        Anchor *a = &d->anchor;

        if (a->state == ANCHOR_NONE || a->state == ANCHOR_UNCHECKED)
                return;
        a->owed = said == (int64_t)(a->counter + 1);
        if (anchored)
                return;
        a->unanchored = true;
        if (!a->due)
                (void)sd_event_add_time_relative(d->event, &a->due, CLOCK_MONOTONIC,
                                d->config.anchor_interval * USEC_PER_SEC, USEC_PER_SEC, on_due, d);
}

bool anchor_is_due(const Daemon *d)
{
        const Anchor *a = &d->anchor;

        return a->state == ANCHOR_GOOD &&
               clock_monotonic() - a->last_monotonic >= d->config.anchor_interval * USEC_PER_SEC;
}

/* ---- from opening to closing ---- */

void anchor_begin(Daemon *d, FreshnessVerdict verdict, uint64_t counter, int64_t noted)
{
        Anchor *a = &d->anchor;

        *a = (Anchor){.counter = counter};
        switch (verdict) {
        case FRESHNESS_GOOD:
                a->state = ANCHOR_GOOD;
                break;
        case FRESHNESS_BEHIND:
                a->state = ANCHOR_GOOD;
                a->owed = true;
                anchor_push(d);
                break;
        case FRESHNESS_UNCHECKED:
                a->state = noted >= 0 ? ANCHOR_UNCHECKED : ANCHOR_NONE;
                a->counter = (uint64_t)noted;
                break;
        case FRESHNESS_NONE:
        case FRESHNESS_OLDER:
        case FRESHNESS_FOREIGN:
                break;
        }
}

void anchor_adopt(Daemon *d, uint64_t counter)
{
        if (d->anchor.state == ANCHOR_NONE)
                confirm(d, counter);
}

void anchor_end(Daemon *d)
{
        Anchor *a = &d->anchor;

        a->patience = sd_event_source_disable_unref(a->patience);
        a->due = sd_event_source_disable_unref(a->due);
        tell(d, true);
        a->state = ANCHOR_NONE;
        a->owed = a->again = a->unanchored = false;
}

/* ---- a TPM that was away ---- */

bool anchor_is_behind(const Daemon *d)
{
        return d->anchor.state == ANCHOR_UNCHECKED || d->anchor.state == ANCHOR_AWAY;
}

static void judge(Daemon *d, uint64_t value, int result)
{
        Freshness f = {.match = d->tpm.match, .result = result, .counter = value, .noted = (int64_t)d->anchor.counter};
        char reason[FRESHNESS_REASON_SIZE];

        switch (freshness_judge(&f, reason)) {
        case FRESHNESS_GOOD:
                confirm(d, value);
                break;
        case FRESHNESS_BEHIND:
                confirm(d, value);
                d->anchor.owed = true;
                break;
        case FRESHNESS_NONE:
                d->anchor.state = ANCHOR_NONE;
                break;
        case FRESHNESS_UNCHECKED:
                break;
        case FRESHNESS_OLDER:
                vault_refuse(d, VAULT_REFUSED, HF_E_STORE_ROLLED_BACK, reason);
                return;
        case FRESHNESS_FOREIGN:
                vault_refuse(d, VAULT_FOREIGN, HF_E_TPM_IDENTITY_CHANGED, reason);
                return;
        }
}

/* What was known before it went away can have gone up by what was owed, and by nothing else. */
static void compare(Daemon *d, uint64_t value, int result)
{
        Anchor *a = &d->anchor;

        if (!result && value != a->counter && !(a->owed && value == a->counter + 1)) {
                log_error("the TPM's counter stands at %llu instead of %llu", (unsigned long long)value,
                                (unsigned long long)a->counter);
                result = HF_E_KEY_MISMATCH;
        }
        if (!result) {
                a->owed = a->owed && value == a->counter;
                a->counter = value;
                a->state = ANCHOR_GOOD;
        } else if (!freshness_may_return(result)) {
                a->state = ANCHOR_GOOD; /* so that lose() names it */
                lose(d, result);
        }
}

static void on_read(void *userdata, int result, Bytes body)
{
        Daemon *d = userdata;
        Anchor *a = &d->anchor;
        uint64_t value = 0;

        a->in_flight = false;
        if (!d->vault.log)
                return;
        result = value_of(result, body, &value);
        if (a->state == ANCHOR_UNCHECKED)
                judge(d, value, result);
        else if (a->state == ANCHOR_AWAY)
                compare(d, value, result);
        if (a->state != ANCHOR_GOOD)
                return;
        log_info("the TPM is back: the log is anchored again");
        a->again = true; /* a new note behind it: copies from while it was away are older from then on */
        if (a->owed)
                anchor_push(d);
        else
                go_on(d);
}

void anchor_catch_up(Daemon *d)
{
        if (anchor_is_behind(d) && !d->anchor.in_flight && d->vault.log)
                (void)ask(d, TPM_COUNTER_READ, on_read);
}
