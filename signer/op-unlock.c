/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening and shutting. The slow derivation and the TPM run outside the vault's lock, so that other callers'
 * signatures go on while somebody tries a passphrase.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "seal/recovery.h"
#include "signer/call.h"

typedef struct Attempt {
        bool given;   /* a secret came along */
        bool is_code; /* it has the form of a recovery code, */
        uint8_t code[RECOVERY_ENTROPY];
        size_t len;
        uint8_t secret[SECRET_FD_MAX];
        size_t n_signatures;
        SignerSignature signatures[SIGNER_SIGNATURES];
} Attempt;

static void __attribute__((format(printf, 2, 3))) reason(Call *call, const char *format, ...)
{
        size_t used = strlen(call->reasons), left = sizeof(call->reasons) - used;
        va_list ap;

        va_start(ap, format);
        vsnprintf(call->reasons + used, left, format, ap);
        va_end(ap);
}

/* What this attempt has to offer to a slot of this kind; NULL and why it has nothing. */
static const char *secret_for(const Call *call, const Attempt *a, SlotKind kind, Bytes *ret)
{
        switch (kind) {
        case SLOT_CREDENTIAL:
                *ret = vault_credential(&call->signer->vault);
                if (a->given)
                        return "not-tried";
                return ret->len == 0 ? "missing" : NULL;
        case SLOT_PASSPHRASE:
                *ret = BYTES(a->secret, a->len);
                return a->given ? NULL : "needs-secret";
        case SLOT_RECOVERY:
                *ret = BYTES_ARRAY(a->code);
                if (a->is_code)
                        return NULL;
                return a->given ? "not-a-code" : "needs-secret";
        case SLOT_TPM2:
        case SLOT_TPM2_DERIVED:
        case _SLOT_KIND_INVALID:
        case _SLOT_KIND_MAX:
                break;
        }
        return "not-supported";
}

static const char *failure_name(int r)
{
        switch (r) {
        case HF_E_UNLOCK_FAILED:
                return "wrong";
        case HF_E_STORE_DAMAGED:
                return "damaged";
        case -ENOMEM:
                return "no-memory";
        default:
                return "not-supported";
        }
}

static const char *tpm_failure_name(int r)
{
        switch (r) {
        case HF_E_UNLOCK_FAILED:
                return "wrong";
        case HF_E_PCR_CHANGED:
                return "pcr-changed";
        case HF_E_TPM_LOCKOUT:
                return "tpm-lockout";
        case HF_E_TPM_UNAVAILABLE:
                return "no-tpm";
        case HF_E_TPM_IDENTITY_CHANGED:
        case HF_E_KEY_MISMATCH:
                return "tpm-identity-changed";
        case -ENOMEM:
                return "no-memory";
        default:
                return "tpm-failed";
        }
}

static void tpm_reason(Call *call, int r, const char *detail)
{
        if (r == HF_E_PCR_CHANGED && strncmp(detail, "pcr ", 4) == 0)
                detail += 4;
        if (r == HF_E_TPM_UNAVAILABLE)
                detail = ""; /* what the library says about it is in the journal */
        reason(call, "%s%s%s", tpm_failure_name(r), detail[0] ? r == HF_E_UNLOCK_FAILED ? ", " : " " : "", detail);
}

/* A PIN is tried where a secret was given that is no recovery code; other slots of the TPM open by themselves. */
static const char *why_not_tried(const Slot *slot, const Attempt *a)
{
        SlotTpm tpm = {};

        (void)slot_tpm_decode(slot->kind, slot_extra(slot), &tpm);
        if (tpm.pin)
                return !a->given ? "needs-secret" : a->is_code ? "not-tried" : NULL;
        return a->given ? "not-tried" : NULL;
}

static int try_tpm_slot(Call *call, const Slots *slots, const Slot *slot, const Attempt *a,
                uint8_t ret[static MASTER_SIZE])
{
        TpmAttempt attempt = {.pin = BYTES(a->secret, a->len), .signatures = a->signatures, .n_signatures = a->n_signatures};
        uint8_t secret[SLOT_TPM_SECRET_SIZE];
        const char *why = why_not_tried(slot, a);
        char detail[TPM_DETAIL_MAX] = "";
        int r;

        if (why) {
                reason(call, "%s", why);
                return HF_E_UNLOCK_FAILED;
        }
        r = tpm_slot_open(call->signer->tpm, slot, &attempt, secret, detail);
        if (!r)
                r = slot_open(slots, slot, BYTES_ARRAY(secret), ret);
        secret_erase(secret, sizeof(secret));
        if (r)
                tpm_reason(call, r, detail);
        return r;
}

static int try_other_slot(Call *call, const Slots *slots, const Slot *slot, const Attempt *a,
                uint8_t ret[static MASTER_SIZE])
{
        Bytes secret;
        const char *why = secret_for(call, a, slot->kind, &secret);
        int r = HF_E_UNLOCK_FAILED;

        if (!why) {
                r = slot_open(slots, slot, secret, ret);
                why = failure_name(r);
        }
        if (r)
                reason(call, "%s", why);
        return r;
}

static bool is_tpm_slot(const Slot *slot)
{
        return slot->kind == SLOT_TPM2 || slot->kind == SLOT_TPM2_DERIVED;
}

static int try_slot(Call *call, const Slots *slots, const Slot *slot, const Attempt *a,
                uint8_t ret[static MASTER_SIZE])
{
        size_t before = strlen(call->reasons);
        int r;

        if (slot->damaged) {
                reason(call, "%s%u: damaged", before ? "; " : "", slot->id);
                return HF_E_UNLOCK_FAILED;
        }
        reason(call, "%s%u %s: ", before ? "; " : "", slot->id, slot_kind_to_string(slot->kind));
        r = is_tpm_slot(slot) ? try_tpm_slot(call, slots, slot, a, ret) : try_other_slot(call, slots, slot, a, ret);
        if (!r)
                call->reasons[before] = '\0';
        return r ? HF_E_UNLOCK_FAILED : 0;
}

/* What costs nothing first, then what costs time, then what may cost one of few tries. */
static int pass_of(const Slot *slot)
{
        return is_tpm_slot(slot) ? 2 : slot->kind == SLOT_PASSPHRASE ? 1 : 0;
}

static int try_slots(Call *call, const Slots *slots, const Attempt *a, uint32_t *ret_slot,
                uint8_t ret[static MASTER_SIZE])
{
        for (int pass = 0; pass < 3; pass++)
                for (size_t i = 0; i < slots->n; i++) {
                        const Slot *slot = &slots->slots[i];

                        if (pass_of(slot) != pass)
                                continue;
                        if (!try_slot(call, slots, slot, a, ret)) {
                                *ret_slot = slot->id;
                                return 0;
                        }
                }
        return HF_E_UNLOCK_FAILED;
}

static int read_attempt(const Call *call, bool attended, Attempt *ret)
{
        int r;

        if (call->n_fds > 1 || (call->n_fds > 0 && !attended))
                return HF_E_INVALID_FD;
        if (call->n_fds == 0)
                return 0;
        r = call_get_secret(call, 0, ret->secret, &ret->len);
        if (r)
                return r;
        ret->given = true;
        ret->is_code = recovery_parse(BYTES(ret->secret, ret->len), ret->code) == 0;
        return 0;
}

/* holdfastd's own try: may it, and is it needed at all? 0: go on and try; 1: open already, answered. */
static int check_first(Call *call, const Slots *slots, bool attended, bool given, bool *ret_answered)
{
        Vault *v = &call->signer->vault;
        int r = 0;

        pthread_rwlock_rdlock(&v->lock);
        if (v->open && !given) {
                *ret_answered = true;
                r = uuid_equal(&v->store_id, &slots->store_id)
                                    ? call_put_opened(call, &v->secrets->keys, v->slot)
                                    : HF_E_STORE_FOREIGN;
        } else if (!attended && v->shut) {
                reason(call, "locked by order");
                r = HF_E_UNLOCK_FAILED;
        } else if (!attended && !slots_machine_matches(slots, v->machine)) {
                r = HF_E_STORE_FOREIGN;
        }
        pthread_rwlock_unlock(&v->lock);
        return r;
}

/* Not by itself where another TPM answers than the one the store was made with. Where none does, there may be slots that
 * need none. */
static int check_tpm(Call *call, const Slots *slots)
{
        TpmState state;

        if (!slots_have_tpm(slots))
                return 0;
        (void)tpm_state(call->signer->tpm, true, slots->tpm, &state);
        if (state.presence != TPM_PRESENCE_READY || memcmp(state.parent, slots->tpm, sizeof(slots->tpm)) == 0)
                return 0;
        return HF_E_STORE_FOREIGN;
}

/* Under the vault's lock, held alone. */
static int install(Call *call, const Slots *slots, uint32_t slot, const uint8_t master[static MASTER_SIZE])
{
        Signer *s = call->signer;
        Vault *v = &s->vault;

        if (v->open && !uuid_equal(&v->store_id, &slots->store_id))
                return HF_E_STORE_FOREIGN;
        if (v->open && !secret_equal(v->secrets->master, master, MASTER_SIZE))
                return HF_E_STORE_ROLLED_BACK;
        if (!v->open)
                vault_open(v, slots, slot, master);
        v->fresh = false;
        pthread_mutex_lock(&s->ledger_lock);
        if (!uuid_equal(&s->ledger.store_id, &slots->store_id)) {
                if (uuid_is_null(&s->ledger.store_id))
                        s->ledger.store_id = slots->store_id;
                else
                        ledger_begin(&s->ledger, &slots->store_id);
        }
        pthread_mutex_unlock(&s->ledger_lock);
        return call_put_opened(call, &v->secrets->keys, slot);
}

/* A holdfastd that asks anew has no rekey under way any more. */
static void settle_rekey(Signer *s, const Slots *slots)
{
        bool keep;

        pthread_rwlock_rdlock(&s->vault.lock);
        keep = s->vault.has_next;
        pthread_rwlock_unlock(&s->vault.lock);
        if (!keep)
                return;
        pthread_rwlock_wrlock(&s->vault.lock);
        keep = vault_next_is_of(&s->vault, slots);
        vault_settle(&s->vault, keep);
        pthread_rwlock_unlock(&s->vault.lock);
        if (keep)
                cache_clear(s->cache);
}

static int unlock_with(Call *call, const Slots *slots, bool attended, const Attempt *a)
{
        Vault *v = &call->signer->vault;
        uint8_t master[MASTER_SIZE] = {};
        bool answered = false;
        uint32_t slot = 0;
        int r;

        settle_rekey(call->signer, slots);
        r = check_first(call, slots, attended, a->given, &answered);
        if (r || answered)
                return r;
        if (!attended)
                r = check_tpm(call, slots);
        if (!r)
                r = try_slots(call, slots, a, &slot, master);
        if (!r) {
                pthread_rwlock_wrlock(&v->lock);
                r = install(call, slots, slot, master);
                pthread_rwlock_unlock(&v->lock);
        }
        secret_erase(master, sizeof(master));
        return r;
}

int op_unlock(Call *call)
{
        WireReader reader = wire_reader(call->body);
        Attempt attempt = {};
        Bytes signatures;
        bool attended;
        Slots slots;
        int r;

        r = call_get_slots(&reader, &slots);
        attended = wire_get_u8(&reader) == 1;
        signatures = wire_get_block(&reader, SIGNER_SIGNATURES_MAX);
        if (wire_done(&reader) || signer_signatures_decode(signatures, attempt.signatures, &attempt.n_signatures))
                return -EPROTO;
        if (!r)
                r = read_attempt(call, attended, &attempt);
        if (!r)
                r = unlock_with(call, &slots, attended, &attempt);
        secret_erase(&attempt, sizeof(attempt));
        return r;
}

int op_recovery_check(Call *call)
{
        WireReader reader = wire_reader(call->body);
        uint8_t secret[SECRET_FD_MAX], code[RECOVERY_ENTROPY], master[MASTER_SIZE];
        size_t len = 0;
        Slots slots;
        int r, e;

        r = call_get_slots(&reader, &slots);
        if (wire_done(&reader))
                return -EPROTO;
        if (!r)
                r = call_get_secret(call, 0, secret, &len);
        if (!r)
                r = recovery_parse(BYTES(secret, len), code);
        for (size_t i = 0; !r; i++) {
                if (i == slots.n) {
                        r = HF_E_UNLOCK_FAILED;
                } else if (slots.slots[i].kind == SLOT_RECOVERY) {
                        e = slot_open(&slots, &slots.slots[i], BYTES_ARRAY(code), master);
                        if (!e && secret_equal(master, call->signer->vault.secrets->master, MASTER_SIZE))
                                break;
                }
        }
        secret_erase(secret, sizeof(secret));
        secret_erase(code, sizeof(code));
        secret_erase(master, sizeof(master));
        return r;
}

/*
 * Everything goes, and what the workers' stacks still hold of it. A life ends here only if all its uses are
 * under a checkpoint: else whoever holds the peer's end could hide uses by locking.
 */
int op_lock(Call *call)
{
        WireReader reader = wire_reader(call->body);
        bool order = wire_get_u8(&reader) == 1;
        Signer *s = call->signer;

        if (wire_done(&reader))
                return -EPROTO;
        cache_clear(s->cache);
        vault_shut(&s->vault);
        s->vault.shut |= order;
        if (s->scrub)
                s->scrub(s->scrub_userdata);
        pthread_mutex_lock(&s->ledger_lock);
        if (ledger_is_sealed(&s->ledger)) {
                Uuid store_id = s->ledger.store_id;

                ledger_begin(&s->ledger, &store_id);
        }
        pthread_mutex_unlock(&s->ledger_lock);
        return 0;
}
