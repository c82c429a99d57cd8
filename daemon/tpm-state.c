/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/tpm-state.h"

#include <string.h>
#include <syslog.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/daemon.h"

#define PAUSE_FIRST (100 * 1000ULL)
#define PAUSE_LAST (2 * USEC_PER_SEC)

/* ---- who wants to know ---- */

typedef struct TpmAsker TpmAsker;
struct TpmAsker {
        TpmAsker *next;
        Daemon *daemon;
        void (*done)(void *userdata);
        void *userdata;
        sd_event_source *patience;
};

static void answer(TpmAsker *a)
{
        TpmAsker **at = &a->daemon->tpm.askers;

        while (*at != a)
                at = &(*at)->next;
        *at = a->next;
        sd_event_source_disable_unref(a->patience);
        a->done(a->userdata);
        free(a);
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        answer(userdata);
        return 0;
}

/* ---- what it says ---- */

bool tpm_is_ready(const Daemon *d)
{
        return d->tpm.known && d->tpm.state.presence == TPM_PRESENCE_READY;
}

const char *tpm_state_words(const TpmWatch *t)
{
        if (t->match == SIGNER_TPM_OTHER)
                return "the TPM is not the one the store was made with, or it was cleared since";
        switch (t->state.presence) {
        case TPM_PRESENCE_READY:
                return t->state.locked_out ? "the TPM is locked out after wrong PINs" : "the TPM answers";
        case TPM_PRESENCE_FAILURE:
                return "the TPM fails";
        case TPM_PRESENCE_ABSENT:
                return "no TPM answers";
        case TPM_PRESENCE_NONE:
        case _TPM_PRESENCE_MAX:
                break;
        }
        return "holdfast-tpm is not there";
}

/* Each change is a line in the journal, in the words of `status`. */
static void tell_journal(const TpmWatch *before, const TpmWatch *now)
{
        bool good = now->state.presence == TPM_PRESENCE_READY && now->match != SIGNER_TPM_OTHER;

        if (before->known && before->match == now->match && before->state.presence == now->state.presence &&
                        before->state.locked_out == now->state.locked_out)
                return;
        if (!before->known && now->state.presence == TPM_PRESENCE_NONE)
                return; /* a machine without one */
        log_full(good ? LOG_INFO : LOG_WARNING, "%s%s%s", tpm_state_words(now), now->state.detail[0] ? ": " : "",
                        now->state.detail);
}

/* ---- asking ---- */

static void ask(Daemon *d, bool fresh);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *d = userdata;

        (void)source;
        (void)usec;
        d->tpm.timer = sd_event_source_disable_unref(d->tpm.timer);
        ask(d, true);
        return 0;
}

static bool is_wrong(const Daemon *d)
{
        const TpmWatch *t = &d->tpm;

        return t->unlock_waits || anchor_is_behind(d) || (t->trouble && !tpm_is_ready(d));
}

static void ask_again(Daemon *d)
{
        TpmWatch *t = &d->tpm;

        if (!is_wrong(d)) {
                t->pause = 0;
                return;
        }
        if (t->timer || t->in_flight)
                return;
        t->pause = t->pause * 2 < PAUSE_FIRST ? PAUSE_FIRST : t->pause * 2 > PAUSE_LAST ? PAUSE_LAST : t->pause * 2;
        (void)sd_event_add_time_relative(d->event, &t->timer, CLOCK_MONOTONIC, t->pause, 0, on_timer, d);
}

static void on_retried(void *userdata, int result, const char *reason, uint32_t slot)
{
        (void)userdata;
        (void)slot;
        if (result && result != HF_E_UNLOCK_FAILED)
                log_warning("the store was not opened by itself: %s", reason ? reason : hf_error_name(result));
}

/* What was held up goes on. */
static void go_on(Daemon *d)
{
        TpmWatch *t = &d->tpm;

        if (!tpm_is_ready(d))
                return;
        t->trouble = false;
        anchor_catch_up(d);
        if (!t->unlock_waits || t->state.locked_out || d->vault.busy)
                return;
        t->unlock_waits = false;
        if (d->vault.state == VAULT_LOCKED)
                (void)vault_unlock(d, false, -EBADF, NULL, on_retried, d);
}

static void on_state(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        Daemon *d = userdata;
        TpmWatch *t = &d->tpm, now = {.known = true};

        t->in_flight = false;
        if (!result) {
                now.match = (SignerTpmMatch)wire_get_u8(&r);
                tpm_state_get(&r, &now.state);
                if (wire_done(&r) || now.match >= _SIGNER_TPM_MATCH_MAX)
                        result = HF_E_SIGNER_FAILED;
        }
        if (!result) {
                tell_journal(t, &now);
                t->known = true;
                t->match = now.match;
                t->state = now.state;
                go_on(d);
        }
        while (t->askers)
                answer(t->askers);
        ask_again(d);
}

static void ask(Daemon *d, bool fresh)
{
        TpmWatch *t = &d->tpm;
        Buffer *b;
        int r;

        if (t->in_flight)
                return;
        if (!signer_client_is_up(d->signer)) {
                ask_again(d);
                return;
        }
        b = signer_begin(d->signer, SIGNER_TPM);
        r = wire_put_block(b, buffer_bytes(&d->vault.slots));
        if (!r)
                r = wire_put_u8(b, fresh);
        if (!r)
                r = signer_call(d->signer, NULL, 0, on_state, d);
        t->in_flight = r == 0;
        if (r)
                ask_again(d);
}

void tpm_ask(Daemon *d, bool fresh, uint64_t patience, void (*done)(void *userdata), void *userdata)
{
        TpmAsker *a = calloc(1, sizeof(*a));

        if (!a || sd_event_add_time_relative(d->event, &a->patience, CLOCK_MONOTONIC, patience, 0, on_patience, a) < 0) {
                free(a);
                done(userdata);
                return;
        }
        a->next = d->tpm.askers;
        a->daemon = d;
        a->done = done;
        a->userdata = userdata;
        d->tpm.askers = a;
        ask(d, fresh);
        if (!d->tpm.in_flight) /* there is nobody to ask */
                answer(a);
}

void tpm_trouble(Daemon *d)
{
        d->tpm.trouble = true;
        ask(d, true);
}

void tpm_note_result(Daemon *d, int result)
{
        if (result == HF_E_TPM_UNAVAILABLE || result == HF_E_TPM_FAILED || result == HF_E_TPM_FAILURE_MODE ||
                        result == HF_E_TPM_IDENTITY_CHANGED)
                tpm_trouble(d);
}

/* Only what may pass by itself: a PCR that changed stays so until the next boot. */
void tpm_note_unlock(Daemon *d, const char *reasons)
{
        d->tpm.unlock_waits = strstr(reasons, ": no-tpm") || strstr(reasons, ": tpm-lockout");
        if (d->tpm.unlock_waits)
                ask_again(d);
}

void tpm_stop(Daemon *d)
{
        d->tpm.timer = sd_event_source_disable_unref(d->tpm.timer);
        while (d->tpm.askers)
                answer(d->tpm.askers);
}

const char *tpm_key_unavailable(const Daemon *d, const KeyEntry *key)
{
        const TpmWatch *t = &d->tpm;

        if (key->protection != PROTECTION_TPM)
                return NULL;
        if (key->flags & KEY_FLAG_LOST)
                return "lost";
        return t->known && (!tpm_is_ready(d) || t->match == SIGNER_TPM_OTHER) ? tpm_state_words(t) : NULL;
}
