/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A new master beside the old one: holdfastd has every envelope made anew, writes the last checkpoint of the
 * old key, which names the next, and then says which of the two shall stay.
 */
#include <errno.h>

#include "base/error.h"
#include "crypto/random.h"
#include "signer/call.h"

/* The counter is the store's and stays, with its authorisation wrapped for the new master; without one there may be none. */
static int keep_counter(Call *call, const Slots *former, const SealKeys *keys, Slots *slots)
{
        uint8_t auth[COUNTER_AUTH_SIZE];
        int r;

        r = call_lock_open(call);
        if (r)
                return r;
        r = slots_counter_auth(former, &call->signer->vault.secrets->keys, auth);
        call_unlock(call);
        if (!r)
                slots_set_counter(slots, former->counter, auth, keys);
        secret_erase(auth, sizeof(auth));
        return former->counter ? r : 0;
}

static int install(Call *call, const Slots *slots, uint32_t slot, const uint8_t master[static MASTER_SIZE])
{
        Vault *v = &call->signer->vault;
        int r = HF_E_STORE_LOCKED;

        pthread_rwlock_wrlock(&v->lock);
        if (v->open && uuid_equal(&v->store_id, &slots->store_id)) {
                vault_prepare(v, slots, master);
                r = call_put_opened(call, &v->secrets->next, slot);
        }
        pthread_rwlock_unlock(&v->lock);
        return r ? r : call_put_slots(call, slots);
}

static int make(Call *call, const Slots *former, const SignerInit *init)
{
        uint8_t master[MASTER_SIZE];
        uint32_t slot;
        SealKeys keys;
        Slots slots;
        int r;

        slots_init(&slots, &former->store_id, call->signer->vault.machine);
        slots.next_id = former->next_id; /* an id is never used again */
        memcpy(slots.tpm, former->tpm, sizeof(slots.tpm));
        random_bytes(master, sizeof(master));
        seal_keys_derive(master, &keys);
        r = keep_counter(call, former, &keys, &slots);
        if (!r)
                r = call_make_slots(call, init, master, &slots, &slot);
        if (!r)
                r = install(call, &slots, slot, master);
        secret_erase(master, sizeof(master));
        seal_keys_erase(&keys);
        return r;
}

int op_rekey(Call *call)
{
        WireReader reader = wire_reader(call->body);
        SignerInit init;
        Slots former;
        Bytes body;
        int r;

        r = call_get_own_slots(call, &reader, &former);
        body = wire_get_block(&reader, call->body.len);
        if (wire_done(&reader) || signer_init_decode(body, &init))
                return -EPROTO;
        if (!r && !uuid_equal(&init.store_id, &former.store_id))
                r = HF_E_STORE_FOREIGN;
        return r ? r : make(call, &former, &init);
}

int op_rekey_commit(Call *call)
{
        Signer *s = call->signer;
        WireReader reader = wire_reader(call->body);
        bool keep = wire_get_u8(&reader) == 1;

        if (wire_done(&reader))
                return -EPROTO;
        if (!s->vault.has_next)
                return HF_E_NOTHING_TO_DO;
        vault_settle(&s->vault, keep);
        if (keep)
                cache_clear(s->cache);
        return 0;
}
