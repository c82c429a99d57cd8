/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A new master beside the old one: holdfastd has every envelope made anew, writes the last checkpoint of the
 * old key, which names the next, and then says which of the two shall stay.
 */
#include <errno.h>

#include "base/error.h"
#include "crypto/random.h"
#include "signer/call.h"

static int make(Call *call, const Slots *former, const SignerInit *init, Slots *ret)
{
        Vault *v = &call->signer->vault;
        uint8_t master[MASTER_SIZE];
        uint32_t slot;
        int r;

        slots_init(ret, &v->store_id, v->machine);
        ret->next_id = former->next_id; /* an id is never used again */
        random_bytes(master, sizeof(master));
        r = call_make_slots(call, init, master, ret, &slot);
        if (!r) {
                vault_prepare(v, master);
                r = call_put_opened(call, &v->secrets->next, slot);
        }
        secret_erase(master, sizeof(master));
        return r;
}

int op_rekey(Call *call)
{
        WireReader reader = wire_reader(call->body);
        Slots former, slots;
        SignerInit init;
        Bytes body;
        int r;

        r = call_get_slots(&reader, &former);
        body = wire_get_block(&reader, call->body.len);
        if (wire_done(&reader) || signer_init_decode(body, &init))
                return -EPROTO;
        if (r)
                return r;
        if (!uuid_equal(&former.store_id, &call->signer->vault.store_id) ||
                        !uuid_equal(&init.store_id, &call->signer->vault.store_id))
                return HF_E_STORE_FOREIGN;
        r = make(call, &former, &init, &slots);
        return r ? r : call_put_slots(call, &slots);
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
