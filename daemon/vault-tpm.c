/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the TPM has to say when a store is opened or made
 *
 * The loop asks before the worker begins, and waits so long and no longer: a store opens without its TPM too, and is
 * checked when it is back (daemon/anchor.h). The worker then judges, before anything is written.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/change.h"
#include "daemon/daemon.h"
#include "daemon/lost.h"
#include "daemon/vault-job.h"

#define PATIENCE_USEC (5 * USEC_PER_SEC)

/* ---- the loop asks ---- */

typedef struct TpmQuestion {
        VaultJob *job; /* NULL: it went on without an answer */
        bool is_it_ours;
        void (*then)(VaultJob *j);
        sd_event_source *patience;
} TpmQuestion;

static void go_on(TpmQuestion *q)
{
        VaultJob *j = TAKE_PTR(q->job);

        q->patience = sd_event_source_disable_unref(q->patience);
        q->then(j);
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        TpmQuestion *q = userdata;

        (void)source;
        (void)usec;
        q->job->freshness.result = HF_E_TIMED_OUT;
        go_on(q);
        return 0;
}

static void on_known(void *userdata)
{
        TpmQuestion *q = userdata;
        const TpmWatch *t;

        if (q->job) {
                t = &q->job->daemon->tpm;
                q->job->freshness.match = t->known ? t->match : SIGNER_TPM_UNKNOWN;
                go_on(q);
        }
        free(q);
}

static bool has_tpm_slots(const SlotList *l)
{
        for (size_t i = 0; i < l->n; i++)
                if (l->slots[i].kind == SLOT_TPM2 || l->slots[i].kind == SLOT_TPM2_DERIVED)
                        return true;
        return false;
}

/* A store that has nothing to do with a TPM does not wait for one. */
static void on_counter(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        TpmQuestion *q = userdata;
        VaultJob *j = q->job;

        if (j && !result) {
                j->freshness.counter = wire_get_u64(&r);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED : 0;
        }
        if (j)
                j->freshness.result = result;
        if (j && q->is_it_ours && (result != HF_E_NOT_SUPPORTED || has_tpm_slots(&j->daemon->vault.slot_list))) {
                tpm_ask(j->daemon, true, PATIENCE_USEC, on_known, q);
                return;
        }
        if (j)
                go_on(q);
        free(q);
}

void vault_job_ask_tpm(VaultJob *j, Bytes slots, bool is_it_ours, void (*then)(VaultJob *j))
{
        Daemon *d = j->daemon;
        TpmQuestion *q = calloc(1, sizeof(*q));
        Buffer *b;
        int r = -ENOMEM;

        j->freshness.match = SIGNER_TPM_SAME;
        if (q) {
                *q = (TpmQuestion){.job = j, .is_it_ours = is_it_ours, .then = then};
                b = signer_begin(d->signer, SIGNER_COUNTER);
                r = wire_put_block(b, slots);
                if (!r)
                        r = wire_put_u8(b, TPM_COUNTER_READ);
                if (!r)
                        r = sd_event_add_time_relative(
                                        d->event, &q->patience, CLOCK_MONOTONIC, PATIENCE_USEC, 0, on_patience, q);
                if (r >= 0)
                        r = signer_call(d->signer, NULL, 0, on_counter, q);
        }
        if (!r)
                return;
        if (q)
                sd_event_source_disable_unref(q->patience);
        free(q);
        j->freshness.result = r;
        then(j);
}

/* ---- the worker judges ---- */

/* What the epoch began with; nothing known is all ones. */
static int get_begun(VaultJob *j, int64_t *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(STORE_META_VALUE_MAX);
        WireReader reader;
        int r;

        *ret = -1;
        r = store_get_meta(j->store, META_COUNTER, &b);
        if (r)
                return r == HF_E_NOTHING_TO_DO ? 0 : r;
        reader = wire_reader(buffer_bytes(&b));
        *ret = (int64_t)wire_get_u64(&reader);
        return wire_done(&reader) ? HF_E_STORE_DAMAGED : 0;
}

static int put_counter(VaultJob *j)
{
        uint64_t counter = j->freshness.result ? UINT64_MAX : j->freshness.counter;
        uint8_t b[8];

        for (size_t i = 0; i < sizeof(b); i++)
                b[i] = (uint8_t)(counter >> (8 * i));
        return store_put_meta(j->store, META_COUNTER, BYTES_ARRAY(b));
}

/* In the transaction of the change that begins an epoch. */
int vault_job_put_tpm(VaultJob *j)
{
        int r = put_counter(j);

        return !r && j->tpm_lost ? lost_put(j->store, j->tpm_lost_when, j->tpm_lost) : r;
}

int vault_job_judge(VaultJob *j, const AuditRecovery *rec)
{
        char reason[FRESHNESS_REASON_SIZE];
        int64_t begun;
        int r;

        r = get_begun(j, &begun);
        if (r)
                return r;
        j->freshness.noted = freshness_noted(rec->has_checkpoint ? &rec->checkpoint : NULL, j->epoch, begun);
        j->verdict = freshness_judge(&j->freshness, reason);
        if (j->verdict == FRESHNESS_OLDER)
                return vault_job_because(j, HF_E_STORE_ROLLED_BACK, "%s", reason);
        if (j->verdict == FRESHNESS_FOREIGN)
                return vault_job_because(j, HF_E_TPM_IDENTITY_CHANGED, "%s", reason);
        return 0;
}

/* After a repair the counter counts as it stands. */
void vault_job_reanchor(VaultJob *j)
{
        char reason[FRESHNESS_REASON_SIZE];

        j->freshness.noted = j->freshness.result ? -1 : (int64_t)j->freshness.counter;
        j->verdict = freshness_judge(&j->freshness, reason);
}
