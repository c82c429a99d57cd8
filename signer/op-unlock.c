/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening and shutting. The slow derivation runs outside the vault's lock, so that other callers' signatures
 * go on while somebody tries a passphrase.
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
        return "no-tpm";
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

static int try_slot(Call *call, const Slots *slots, const Slot *slot, const Attempt *a,
                uint8_t ret[static MASTER_SIZE])
{
        const char *why;
        Bytes secret;
        int r;

        if (slot->damaged) {
                reason(call, "%s%u: damaged", call->reasons[0] ? "; " : "", slot->id);
                return HF_E_UNLOCK_FAILED;
        }
        why = secret_for(call, a, slot->kind, &secret);
        if (!why) {
                r = slot_open(slots, slot, secret, ret);
                if (!r)
                        return 0;
                why = failure_name(r);
        }
        reason(call, "%s%u %s: %s", call->reasons[0] ? "; " : "", slot->id, slot_kind_to_string(slot->kind),
                        why);
        return HF_E_UNLOCK_FAILED;
}

/* A recovery code costs nothing to try, so slots of that kind come before passphrases. */
static int try_slots(Call *call, const Slots *slots, const Attempt *a, uint32_t *ret_slot,
                uint8_t ret[static MASTER_SIZE])
{
        for (int pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < slots->n; i++) {
                        const Slot *slot = &slots->slots[i];

                        if ((slot->kind == SLOT_PASSPHRASE) != (pass == 1))
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
                vault_open(v, &slots->store_id, slot, master);
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

static int unlock_with(Call *call, const Slots *slots, bool attended, const Attempt *a)
{
        Vault *v = &call->signer->vault;
        uint8_t master[MASTER_SIZE] = {};
        bool answered = false;
        uint32_t slot = 0;
        int r;

        r = check_first(call, slots, attended, a->given, &answered);
        if (r || answered)
                return r;
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
        bool attended;
        Slots slots;
        int r;

        r = call_get_slots(&reader, &slots);
        attended = wire_get_u8(&reader) == 1;
        (void)wire_get_block(&reader, SIGNER_SIGNATURES_MAX);
        if (wire_done(&reader))
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
        Signer *s = call->signer;

        if (call->body.len > 0)
                return -EPROTO;
        cache_clear(s->cache);
        vault_shut(&s->vault);
        s->vault.shut = true;
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
