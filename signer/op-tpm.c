/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What holdfastd asks about the TPM itself: whether it is the one, the store's counter in it, what it says of a key. */
#include <errno.h>

#include "base/error.h"
#include "crypto/random.h"
#include "signer/call.h"
#include "signer/tpm-key.h"

static SignerTpmMatch match(const Slots *slots, const TpmState *state)
{
        if (state->presence != TPM_PRESENCE_READY || !slots)
                return SIGNER_TPM_UNKNOWN;
        if (!slots_have_tpm(slots))
                return SIGNER_TPM_UNBOUND;
        return memcmp(slots->tpm, state->parent, sizeof(slots->tpm)) == 0 ? SIGNER_TPM_SAME : SIGNER_TPM_OTHER;
}

int op_tpm(Call *call)
{
        WireReader reader = wire_reader(call->body);
        Bytes file = wire_get_block(&reader, SLOTS_FILE_MAX);
        bool fresh = wire_get_u8(&reader) == 1;
        static const uint8_t none[TPM_NAME_SIZE];
        TpmState state;
        Slots slots;
        int r = 0;

        if (wire_done(&reader))
                return -EPROTO;
        if (file.len)
                r = slots_parse(file, &slots);
        if (r)
                return r;
        (void)tpm_state(call->signer->tpm, fresh, file.len ? slots.tpm : none, &state);
        r = wire_put_u8(call->reply, (uint8_t)match(file.len ? &slots : NULL, &state));
        return r ? r : tpm_state_put(call->reply, &state);
}

/* Under the master in use, or under the one a rekey is about to bring. */
static int get_counter(Call *call, const Slots *slots, TpmCounter *ret)
{
        const Vault *v = &call->signer->vault;
        int r = call_lock_open(call);

        if (r)
                return r;
        ret->index = slots->counter;
        memcpy(ret->tpm, slots->tpm, sizeof(ret->tpm));
        r = slots->counter ? slots_counter_auth(slots, &v->secrets->keys, ret->auth) : HF_E_NOT_SUPPORTED;
        if (r == HF_E_KEY_MISMATCH && v->has_next)
                r = slots_counter_auth(slots, &v->secrets->next, ret->auth);
        call_unlock(call);
        return r;
}

int op_counter(Call *call)
{
        WireReader reader = wire_reader(call->body);
        TpmCounterAction action;
        TpmCounter counter = {};
        uint64_t value = 0;
        Slots slots;
        int r;

        r = call_get_own_slots(call, &reader, &slots);
        action = wire_get_u8(&reader);
        if (wire_done(&reader))
                return -EPROTO;
        if (!r && action != TPM_COUNTER_READ && action != TPM_COUNTER_INCREMENT && action != TPM_COUNTER_REMOVE)
                r = HF_E_INVALID_ARGS;
        if (!r)
                r = get_counter(call, &slots, &counter);
        if (!r)
                r = tpm_counter(call->signer->tpm, action, &counter, &value);
        secret_erase(&counter, sizeof(counter));
        if (r)
                return r == HF_E_UNLOCK_FAILED ? HF_E_KEY_MISMATCH : r; /* not with our authorisation */
        return wire_put_u64(call->reply, value);
}

/* Whether the counter the file names is still there. HF_E_NO_SUCH_KEY: it needs a new one. */
static int check_counter(Call *call, const Slots *slots)
{
        TpmCounter counter = {};
        uint64_t value;
        int r = get_counter(call, slots, &counter);

        if (!r)
                r = tpm_counter(call->signer->tpm, TPM_COUNTER_READ, &counter, &value);
        secret_erase(&counter, sizeof(counter));
        return r == HF_E_KEY_MISMATCH || r == HF_E_UNLOCK_FAILED || r == HF_E_NOT_SUPPORTED ? HF_E_NO_SUCH_KEY : r;
}

int call_bind_tpm(Call *call, Slots *slots, TpmCounter *ret)
{
        uint8_t auth[COUNTER_AUTH_SIZE];
        SealKeys keys;
        int r = call_lock_open(call);

        if (r)
                return r;
        keys = call->signer->vault.secrets->keys;
        call_unlock(call);
        if (slots_counter_auth(slots, &keys, auth))
                random_bytes(auth, sizeof(auth));
        r = call_claim_tpm(call, &keys, auth, slots, ret);
        secret_erase(auth, sizeof(auth));
        seal_keys_erase(&keys);
        return r;
}

/*
 * A TPM that is known keeps its counter. Another one, or one that lost it, gets a new one; where there is none the store
 * is without.
 */
static int adopt_tpm(Call *call, Slots *slots)
{
        TpmCounter counter = {};
        TpmState state;
        int r;

        r = tpm_state(call->signer->tpm, true, slots->tpm, &state);
        if (!r && state.presence == TPM_PRESENCE_FAILURE)
                r = HF_E_TPM_FAILURE_MODE;
        if (!r && state.presence == TPM_PRESENCE_ABSENT)
                r = HF_E_TPM_UNAVAILABLE;
        if (r && slots_have_tpm(slots))
                return r; /* it is there: a bad moment of it is no reason to give it up */
        r = HF_E_NO_SUCH_KEY;
        if (match(slots, &state) == SIGNER_TPM_SAME)
                r = check_counter(call, slots);
        if (r == HF_E_NO_SUCH_KEY)
                r = call_bind_tpm(call, slots, &counter);
        secret_erase(&counter, sizeof(counter));
        if (!r && state.presence == TPM_PRESENCE_READY && !slots_have_tpm(slots))
                r = HF_E_TPM_UNAVAILABLE; /* went away in between */
        return r;
}

int op_adopt(Call *call)
{
        WireReader reader = wire_reader(call->body);
        Vault *v = &call->signer->vault;
        uint8_t before[TPM_NAME_SIZE];
        Slots slots;
        bool had, other;
        int r;

        r = call_get_own_slots(call, &reader, &slots);
        if (wire_done(&reader))
                return -EPROTO;
        if (r)
                return r;
        had = slots_have_tpm(&slots);
        memcpy(before, slots.tpm, sizeof(before));
        r = adopt_tpm(call, &slots);
        if (r)
                return r;
        other = had && slots_have_tpm(&slots) && memcmp(before, slots.tpm, sizeof(before)) != 0;
        memcpy(slots.machine, v->machine, sizeof(slots.machine));
        pthread_rwlock_wrlock(&v->lock);
        memcpy(v->tpm, slots.tpm, sizeof(v->tpm));
        pthread_rwlock_unlock(&v->lock);
        r = call_put_slots(call, &slots);
        return r ? r : wire_put_u8(call->reply, other);
}

/* The key opens under the lock, the TPM is asked without it. */
static int open_key(Call *call, Bytes encoded, Bytes wrapped, CacheLease *ret)
{
        KeyAttributes a;
        int r;

        if (key_attributes_decode(encoded, &a))
                return HF_E_KEY_MISMATCH;
        r = call_lock_open(call);
        if (r)
                return r;
        r = call_open_key(call, &a, encoded, wrapped, ret);
        call_unlock(call);
        if (!r && a.protection != PROTECTION_TPM)
                r = HF_E_NOT_SUPPORTED; /* nobody could vouch for it */
        if (!r && a.flags & KEY_FLAG_LOST)
                r = HF_E_KEY_LOST;
        return r;
}

int op_attest(Call *call)
{
        WireReader reader = wire_reader(call->body);
        Bytes encoded = wire_get_block(&reader, KEY_ATTRIBUTES_MAX);
        Bytes wrapped = wire_get_block(&reader, KEY_WRAPPED_MAX);
        Bytes nonce = wire_get_block(&reader, TPM_NONCE_MAX);
        CacheLease lease = {};
        int r;

        if (wire_done(&reader))
                return -EPROTO;
        r = open_key(call, encoded, wrapped, &lease);
        if (!r)
                r = tpm_key_certify(call->signer->tpm, lease.key, nonce, call->reply);
        cache_release(call->signer->cache, &lease);
        return r;
}
