/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/tpm-words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"

typedef struct Text {
        char *start;
        size_t len;
} Text;

static void __attribute__((format(printf, 2, 3))) add(Text *t, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(t->start + t->len, TPM_WORDS_MAX - t->len, format, ap);
        va_end(ap);
        t->len = n < 0 ? t->len : t->len + (size_t)n >= TPM_WORDS_MAX ? TPM_WORDS_MAX - 1 : t->len + (size_t)n;
}

static size_t count_slots(const Daemon *d, SlotKind kind)
{
        size_t n = 0;

        for (size_t i = 0; i < d->vault.slot_list.n; i++)
                n += d->vault.slot_list.slots[i].kind == kind;
        return n;
}

bool tpm_is_needed(const Daemon *d)
{
        return d->vault.has_tpm_keys || d->anchor.state != ANCHOR_NONE || count_slots(d, SLOT_TPM2) ||
               count_slots(d, SLOT_TPM2_DERIVED);
}

void tpm_words(const Daemon *d, char ret[static TPM_WORDS_MAX])
{
        const TpmWatch *t = &d->tpm;

        if (!t->known || (t->state.presence == TPM_PRESENCE_NONE && !tpm_is_needed(d)))
                snprintf(ret, TPM_WORDS_MAX, "%s", t->known ? "none" : "not asked yet");
        else
                snprintf(ret, TPM_WORDS_MAX, "%s%s%s", tpm_state_words(t), t->state.detail[0] ? ": " : "", t->state.detail);
}

void tpm_maker_words(const Daemon *d, char ret[static TPM_WORDS_MAX])
{
        const TpmState *s = &d->tpm.state;
        Text t = {.start = ret};

        ret[0] = '\0';
        if (!tpm_is_ready(d))
                return;
        add(&t, "%s%s%s, firmware %" PRIx64 ".%" PRIx64, s->manufacturer, s->vendor[0] ? " " : "", s->vendor, s->firmware >> 32,
                        s->firmware & UINT32_MAX);
        add(&t, ", endorsement certificate %s", s->ek_certificate ? "there" : "missing");
        if (s->locked_out || s->lockout_counter)
                add(&t, "; %" PRIu32 " of %" PRIu32 " wrong tries%s, one is forgotten every %" PRIu32 " s", s->lockout_counter,
                                s->lockout_max, s->locked_out ? ": locked" : "", s->lockout_interval);
}

void tpm_algorithm_words(const Daemon *d, char *ret, size_t size)
{
        static const char *const names[_TPM_ALGORITHM_MAX] = {
                [TPM_P256] = "p256", [TPM_P384] = "p384", [TPM_RSA2048] = "rsa2048", [TPM_RSA3072] = "rsa3072",
                [TPM_HMAC256] = "hmac-sha256"};
        size_t len = 0;

        ret[0] = '\0';
        for (TpmAlgorithm a = 1; tpm_is_ready(d) && a < _TPM_ALGORITHM_MAX && len < size; a++)
                if (d->tpm.state.algorithms & 1u << a)
                        len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? " " : "", names[a]);
}

/* ---- what protects ---- */

static void add_slot(Text *t, const SlotEntry *e)
{
        switch (e->kind) {
        case SLOT_CREDENTIAL:
                add(t, "slot %u: the signer's credential; whoever has that file in the clear has the store\n", e->id);
                return;
        case SLOT_PASSPHRASE:
                add(t, "slot %u: a passphrase\n", e->id);
                return;
        case SLOT_RECOVERY:
                add(t, "slot %u: the recovery code\n", e->id);
                return;
        case SLOT_TPM2:
                add(t, "slot %u: this machine's TPM%s%s%s%s\n", e->id, e->pcrs[0] ? ", while its PCRs " : "", e->pcrs,
                                !e->pcrs[0]        ? ""
                                : e->signed_policy ? " are as signed for"
                                                   : " are as they were",
                                e->pin ? ", and a PIN" : "");
                return;
        case SLOT_TPM2_DERIVED:
                add(t, "slot %u: a key in this machine's TPM, over a device key's fingerprint\n", e->id);
                return;
        case _SLOT_KIND_INVALID:
        case _SLOT_KIND_MAX:
                return;
        }
}

void protection_words(const Daemon *d, char ret[static TPM_WORDS_MAX])
{
        const SlotList *l = &d->vault.slot_list;
        Text t = {.start = ret};

        ret[0] = '\0';
        if (l->n == 0)
                return;
        add(&t, "Software keys are wrapped by a master key, and used in memory that %s.\n",
                        !signer_client_is_up(d->signer) ? "nobody else reads"
                        : signer_client_hello(d->signer)->memory == SECRET_MEMORY_SECRET
                                        ? "not even root reads"
                                        : "root can read");
        if (d->vault.has_tpm_keys)
                add(&t, "Keys with protection tpm are made and used in the TPM and never leave it.\n");
        add(&t, "The master key opens by any one of these:\n");
        for (size_t i = 0; i < l->n; i++)
                add_slot(&t, &l->slots[i]);
        if (t.len && ret[t.len - 1] == '\n')
                ret[t.len - 1] = '\0';
}

/* ---- older copies ---- */

void rollback_words(const Daemon *d, char ret[static TPM_WORDS_MAX])
{
        const Anchor *a = &d->anchor;
        uint64_t age = a->last ? (clock_monotonic() - a->last_monotonic) / USEC_PER_SEC : 0;

        switch (d->tpm.match == SIGNER_TPM_OTHER && a->state == ANCHOR_GOOD ? ANCHOR_WRONG : a->state) {
        case ANCHOR_NONE:
                snprintf(ret, TPM_WORDS_MAX,
                                "store against log; not when store, log and slots are put back together (%s)",
                                tpm_is_ready(d) ? "the store has no counter in the TPM" : "no TPM");
                return;
        case ANCHOR_GOOD:
                snprintf(ret, TPM_WORDS_MAX,
                                "store against log, and both against the TPM's counter, which stands at %" PRIu64
                                "; not uses of keys since the last anchor, %" PRIu64 " s ago",
                                a->counter, age);
                return;
        case ANCHOR_UNCHECKED:
                snprintf(ret, TPM_WORDS_MAX,
                                "store against log; freshness not checked, because the TPM does not answer: an older copy "
                                "of all of it would not be noticed before it does");
                return;
        case ANCHOR_AWAY:
                snprintf(ret, TPM_WORDS_MAX,
                                "store against log; the TPM does not answer, so nothing is anchored since %" PRIu64
                                " s: it is made up when it is back",
                                age);
                return;
        case ANCHOR_WRONG:
                snprintf(ret, TPM_WORDS_MAX,
                                "the TPM's counter is not where it should be: the store will not open again before `holdfast "
                                "recover`");
                return;
        }
}
