/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A new store: a random master, the slots that open it, and the keys holdfastd builds the store with. */
#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/random.h"
#include "signer/call.h"

static int add_slot(Call *call, Slots *slots, SlotParams params, const uint8_t master[static MASTER_SIZE],
                size_t *fd, uint32_t *ret_id)
{
        uint8_t secret[SECRET_FD_MAX];
        size_t len = 0;
        int r;

        r = call_slot_secret(call, params.kind, fd, secret, &len);
        params.secret = BYTES(secret, len);
        if (!r)
                r = slots_add(slots, &params, master, ret_id);
        secret_erase(secret, sizeof(secret));
        return r;
}

int call_make_slots(Call *call, const SignerInit *init, const uint8_t master[static MASTER_SIZE],
                Slots *slots, uint32_t *ret_slot)
{
        SlotParams first = {.kind = init->kind, .label = init->label, .created = clock_wall()};
        SlotParams recovery = {.kind = SLOT_RECOVERY, .label = "recovery", .created = first.created};
        uint32_t other;
        size_t fd = 0;
        int r;

        if (init->kind == SLOT_RECOVERY)
                return HF_E_INVALID_ARGS; /* the way back is no way in */
        if (call->n_fds != (size_t)(init->kind == SLOT_PASSPHRASE) + !init->unattended)
                return HF_E_INVALID_FD;
        r = add_slot(call, slots, first, master, &fd, ret_slot);
        if (!r && !init->unattended)
                r = add_slot(call, slots, recovery, master, &fd, &other);
        return r;
}

int op_init(Call *call)
{
        Vault *v = &call->signer->vault;
        uint8_t master[MASTER_SIZE];
        SignerInit init;
        uint32_t slot;
        Slots slots;
        int r;

        if (signer_init_decode(call->body, &init) || uuid_is_null(&init.store_id))
                return -EPROTO;
        if (v->open && !v->fresh)
                return HF_E_STORE_INITIALISED;

        slots_init(&slots, &init.store_id, v->machine);
        random_bytes(master, sizeof(master));
        r = call_make_slots(call, &init, master, &slots, &slot);
        if (!r) {
                vault_shut(v);
                cache_clear(call->signer->cache);
                vault_open(v, &init.store_id, slot, master);
                v->fresh = true;
                pthread_mutex_lock(&call->signer->ledger_lock);
                ledger_begin(&call->signer->ledger, &init.store_id);
                pthread_mutex_unlock(&call->signer->ledger_lock);
                r = call_put_opened(call, &v->secrets->keys, slot);
        }
        secret_erase(master, sizeof(master));
        return r ? r : call_put_slots(call, &slots);
}
