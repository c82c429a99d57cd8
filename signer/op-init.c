/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A new store: a random master, the slots that open it, the TPM's part in it, and the keys holdfastd builds the store
 * with. All of it is ready before the vault's lock is taken.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/random.h"
#include "signer/call.h"

static int add_slot(Call *call, Slots *slots, const SlotParams *about, const SignerSlotTpm *asked,
                const uint8_t master[static MASTER_SIZE], size_t *fd, uint32_t *ret_id)
{
        SlotMaking m = {};
        int r;

        r = call_prepare_slot(call, about->kind, asked, slots->tpm, fd, &m);
        m.params.label = about->label;
        m.params.created = about->created;
        if (!r)
                r = slots_add(slots, &m.params, master, ret_id);
        slot_making_erase(&m);
        return r;
}

int call_make_slots(Call *call, const SignerInit *init, const uint8_t master[static MASTER_SIZE],
                Slots *slots, uint32_t *ret_slot)
{
        SlotParams first = {.kind = init->kind, .label = init->label, .created = clock_wall()};
        SlotParams recovery = {.kind = SLOT_RECOVERY, .label = "recovery", .created = first.created};
        bool secret = init->kind == SLOT_PASSPHRASE || (init->kind == SLOT_TPM2 && init->tpm.pin);
        uint32_t other;
        size_t fd = 0;
        int r;

        if (init->kind == SLOT_RECOVERY || init->kind == SLOT_TPM2_DERIVED)
                return HF_E_INVALID_ARGS; /* the way back is no way in, and there is no device key yet */
        if (call->n_fds != (size_t)secret + !init->unattended)
                return HF_E_INVALID_FD;
        r = add_slot(call, slots, &first, &init->tpm, master, &fd, ret_slot);
        if (!r && !init->unattended)
                r = add_slot(call, slots, &recovery, &init->tpm, master, &fd, &other);
        return r;
}

void call_drop_counter(Call *call, const TpmCounter *c)
{
        uint64_t value;

        if (c->index)
                (void)tpm_counter(call->signer->tpm, TPM_COUNTER_REMOVE, c, &value);
}

int call_claim_tpm(Call *call, const SealKeys *keys, const uint8_t auth[static COUNTER_AUTH_SIZE], Slots *slots, TpmCounter *ret)
{
        TpmState state;
        int r;

        *ret = (TpmCounter){};
        memset(slots->tpm, 0, sizeof(slots->tpm));
        slots_set_counter(slots, 0, auth, keys);
        (void)tpm_state(call->signer->tpm, true, slots->tpm, &state); /* none yet: the usual one */
        if (state.presence != TPM_PRESENCE_READY)
                return 0;
        memcpy(ret->tpm, state.parent, sizeof(ret->tpm));
        memcpy(ret->auth, auth, sizeof(ret->auth));
        r = tpm_counter_define(call->signer->tpm, &slots->store_id, ret);
        if (r)
                return r;
        memcpy(slots->tpm, ret->tpm, sizeof(slots->tpm));
        slots_set_counter(slots, ret->index, auth, keys);
        return 0;
}

/* A store that is fresh may be made once more; `ret` is then the counter of the one before. */
static int may_init(Call *call, TpmCounter *ret)
{
        Vault *v = &call->signer->vault;
        int r = 0;

        pthread_rwlock_rdlock(&v->lock);
        if (v->open && !v->fresh)
                r = HF_E_STORE_INITIALISED;
        else
                *ret = v->secrets->fresh_counter;
        pthread_rwlock_unlock(&v->lock);
        return r;
}

static int install(Call *call, const Slots *slots, uint32_t slot, const uint8_t master[static MASTER_SIZE],
                const TpmCounter *counter)
{
        Vault *v = &call->signer->vault;
        int r = HF_E_STORE_INITIALISED;

        pthread_rwlock_wrlock(&v->lock);
        if (!v->open || v->fresh) {
                vault_shut(v);
                cache_clear(call->signer->cache);
                vault_open(v, slots, slot, master);
                v->fresh = true;
                v->secrets->fresh_counter = *counter;
                pthread_mutex_lock(&call->signer->ledger_lock);
                ledger_begin(&call->signer->ledger, &slots->store_id);
                pthread_mutex_unlock(&call->signer->ledger_lock);
                r = call_put_opened(call, &v->secrets->keys, slot);
        }
        pthread_rwlock_unlock(&v->lock);
        return r ? r : call_put_slots(call, slots);
}

/* What a store is made of, in secret memory and erased as one. */
typedef struct Making {
        uint8_t master[MASTER_SIZE];
        uint8_t auth[COUNTER_AUTH_SIZE]; /* of its counter */
        SealKeys keys;
        TpmCounter counter, former;
} Making;

int op_init(Call *call)
{
        Making m = {};
        SignerInit init;
        uint32_t slot;
        Slots slots;
        int r;

        if (signer_init_decode(call->body, &init) || uuid_is_null(&init.store_id))
                return -EPROTO;
        r = may_init(call, &m.former);
        if (r)
                return r;
        slots_init(&slots, &init.store_id, call->signer->vault.machine);
        random_bytes(m.master, sizeof(m.master));
        random_bytes(m.auth, sizeof(m.auth));
        seal_keys_derive(m.master, &m.keys);
        r = call_claim_tpm(call, &m.keys, m.auth, &slots, &m.counter);
        if (!r)
                r = call_make_slots(call, &init, m.master, &slots, &slot);
        if (!r)
                r = install(call, &slots, slot, m.master, &m.counter);
        call_drop_counter(call, r ? &m.counter : &m.former);
        secret_erase(&m, sizeof(m));
        return r;
}
