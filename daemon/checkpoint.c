/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/checkpoint.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/operation.h"

struct SealWaiter {
        SealWaiter *next;
        SealedFunc done;
        void *userdata;
        bool anchor;  /* wants it anchored */
        bool covered; /* by the note that is being made */
};

/* Where the one seal under way stands; one daemon has one log. */
typedef enum SealStep {
        SEAL_IDLE,
        SEAL_WAIT_LINES, /* until what the note covers is durable */
        SEAL_WAIT_NOTE,  /* the signer is signing */
        SEAL_WAIT_LINE,  /* until the note itself is durable */
} SealStep;

static struct {
        bool stopping; /* the log is about to close: nothing is begun any more */
        bool anchor_next; /* the next note is to be anchored, */
        bool anchored;    /* or this one is */
        SealStep step;
        AuditPosition position;
        int64_t counter;
        uint64_t line;
} seal;

static void begin(Daemon *d);

static void finish(Daemon *d, int result)
{
        SealWaiter **at = &d->seal_waiters, *told = NULL, *w;

        seal.step = SEAL_IDLE;
        d->sealing = false;
        if (!result)
                anchor_noted(d, seal.counter, seal.anchored);
        while ((w = *at)) {
                if (!w->covered) {
                        at = &w->next;
                        continue;
                }
                *at = w->next;
                w->next = told;
                told = w;
        }
        while ((w = told)) {
                told = w->next;
                if (w->anchor && !result)
                        anchor_wait(d, w->done, w->userdata);
                else
                        w->done(w->userdata, result);
                free(w);
        }
        if (seal.stopping)
                return;
        if (seal.anchored && !result)
                anchor_push(d);
        if ((d->seal_waiters || seal.anchor_next) && seal.step == SEAL_IDLE && d->vault.log)
                begin(d);
        use_pump(d);
}

static void on_note(void *userdata, int result, Bytes body)
{
        char note[CHECKPOINT_NOTE_MAX];
        WireReader r = wire_reader(body);
        Daemon *d = userdata;

        if (seal.step != SEAL_WAIT_NOTE || !d->vault.log)
                return;
        if (!result) {
                wire_get_string(&r, note, sizeof(note));
                result = wire_done(&r);
        }
        if (!result)
                result = audit_log_append_checkpoint(d->vault.log, note, &seal.line);
        if (result) {
                if (result != HF_E_SIGNER_UNAVAILABLE)
                        log_error("the log could not be sealed: %s", hf_error_name(result));
                finish(d, result);
                return;
        }
        d->vault.last_checkpoint = seal.line;
        strcpy(d->vault.last_note, note);
        seal.step = SEAL_WAIT_LINE;
        d->sealing = false;
        use_pump(d);
        checkpoint_on_durable(d);
}

static void ask_signer(Daemon *d)
{
        SignerCheckpoint c = {.size = seal.position.size, .epoch = d->vault.epoch};
        int r;

        memcpy(c.head, seal.position.head, sizeof(c.head));
        memcpy(c.state, seal.position.effective.state, sizeof(c.state));
        seal.step = SEAL_WAIT_NOTE;
        seal.anchored |= anchor_is_due(d);
        c.counter = seal.counter = anchor_note(d, seal.anchored);
        r = signer_checkpoint_encode(&c, signer_begin(d->signer, SIGNER_CHECKPOINT));
        if (!r)
                r = signer_call(d->signer, NULL, 0, on_note, d);
        if (r)
                finish(d, r);
}

void checkpoint_on_durable(Daemon *d)
{
        uint64_t durable;

        if (!d->vault.log || seal.step == SEAL_IDLE || seal.step == SEAL_WAIT_NOTE)
                return;
        durable = audit_log_durable(d->vault.log);
        if (seal.step == SEAL_WAIT_LINES && (seal.position.size == 0 || durable >= seal.position.size - 1))
                ask_signer(d);
        else if (seal.step == SEAL_WAIT_LINE && durable >= seal.line)
                finish(d, 0);
}

static void begin(Daemon *d)
{
        seal.anchored = seal.anchor_next;
        seal.anchor_next = false;
        for (SealWaiter *w = d->seal_waiters; w; w = w->next) {
                w->covered = true;
                seal.anchored |= w->anchor;
        }
        d->sealing = true;
        seal.step = SEAL_WAIT_LINES;
        audit_log_position(d->vault.log, &seal.position);
        checkpoint_on_durable(d);
}

static void request(Daemon *d, bool anchor, SealedFunc done, void *userdata)
{
        SealWaiter *w;

        if (done) {
                w = calloc(1, sizeof(*w));
                if (!w) {
                        done(userdata, -ENOMEM);
                        return;
                }
                *w = (SealWaiter){.next = d->seal_waiters, .anchor = anchor, .done = done, .userdata = userdata};
                d->seal_waiters = w;
        }
        seal.anchor_next |= anchor && !seal.stopping;
        if (d->vault.log && seal.step == SEAL_IDLE && !seal.stopping)
                begin(d);
}

void checkpoint_request(Daemon *d, SealedFunc done, void *userdata)
{
        request(d, false, done, userdata);
}

void checkpoint_anchor(Daemon *d, SealedFunc done, void *userdata)
{
        request(d, true, done, userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;
        AuditPosition p = {0};

        (void)usec;
        (void)source;
        d->seal_timer = sd_event_source_disable_unref(d->seal_timer);
        if (d->vault.log)
                audit_log_position(d->vault.log, &p);
        if (p.unsealed > 0 && d->vault.state == VAULT_READY && signer_client_is_up(d->signer))
                checkpoint_request(d, NULL, NULL);
        return 0;
}

void checkpoint_consider(Daemon *d)
{
        AuditPosition p;

        if (seal.step != SEAL_IDLE || !d->vault.log)
                return;
        audit_log_position(d->vault.log, &p);
        if (p.unsealed >= d->config.checkpoint_lines)
                checkpoint_request(d, NULL, NULL);
        else if (p.unsealed > 0 && !d->seal_timer)
                (void)sd_event_add_time_relative(d->event, &d->seal_timer, CLOCK_MONOTONIC,
                                d->config.checkpoint_seconds * USEC_PER_SEC, USEC_PER_SEC, on_timer, d);
}

void checkpoint_stop(Daemon *d)
{
        seal.stopping = true;
        d->seal_timer = sd_event_source_disable_unref(d->seal_timer);
        anchor_end(d);
        seal.anchor_next = false;
        do {
                for (SealWaiter *w = d->seal_waiters; w; w = w->next)
                        w->covered = true;
                finish(d, HF_E_STORE_LOCKED);
        } while (d->seal_waiters);
        seal.stopping = false;
}
