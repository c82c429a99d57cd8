/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The slots file, looked at and changed. The signer stores nothing: holdfastd sends the file, gets it back
 * changed and commits it. Only the slots of the store that is open can be changed.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "signer/call.h"

int op_slots(Call *call)
{
        WireReader reader = wire_reader(call->body);
        SlotList list;
        Slots slots;
        int r;

        r = call_get_slots(&reader, &slots);
        if (wire_done(&reader))
                return -EPROTO;
        if (r)
                return r;
        slots_list(&slots, call->signer->vault.machine, &list);
        return slot_list_encode(&list, call->reply);
}

static int get_own_slots(Call *call, WireReader *reader, Slots *ret)
{
        int r = call_get_slots(reader, ret);

        if (!r && !uuid_equal(&ret->store_id, &call->signer->vault.store_id))
                return HF_E_STORE_FOREIGN;
        return r;
}

int op_slot_add(Call *call)
{
        WireReader reader = wire_reader(call->body);
        uint8_t secret[SECRET_FD_MAX];
        SlotParams params = {.created = clock_wall()};
        char label[NAME_SIZE];
        size_t len = 0, fd = 0;
        uint32_t id;
        Slots slots;
        int r;

        r = get_own_slots(call, &reader, &slots);
        params.kind = wire_get_u8(&reader);
        wire_get_string(&reader, label, sizeof(label));
        (void)wire_get_block(&reader, SIGNER_SLOT_TPM_MAX);
        params.label = label;
        if (wire_done(&reader))
                return -EPROTO;
        if (!r)
                r = call_slot_secret(call, params.kind, &fd, secret, &len);
        params.secret = BYTES(secret, len);
        if (!r)
                r = slots_add(&slots, &params, call->signer->vault.secrets->master, &id);
        secret_erase(secret, sizeof(secret));
        if (!r)
                r = wire_put_u32(call->reply, id);
        return r ? r : call_put_slots(call, &slots);
}

static int get_slots_and_id(Call *call, Slots *ret, uint32_t *ret_id)
{
        WireReader reader = wire_reader(call->body);
        int r = get_own_slots(call, &reader, ret);

        *ret_id = wire_get_u32(&reader);
        return wire_done(&reader) ? -EPROTO : r;
}

int op_slot_remove(Call *call)
{
        uint32_t id;
        Slots slots;
        int r;

        r = get_slots_and_id(call, &slots, &id);
        if (!r)
                r = slots_remove(&slots, id);
        return r ? r : call_put_slots(call, &slots);
}

int op_slot_change(Call *call)
{
        uint8_t secret[SECRET_FD_MAX];
        size_t len = 0, fd = 0;
        const Slot *slot;
        uint32_t id;
        Slots slots;
        int r;

        r = get_slots_and_id(call, &slots, &id);
        if (r)
                return r;
        slot = slots_find(&slots, id);
        if (!slot)
                return HF_E_NO_SUCH_SLOT;
        r = call_slot_secret(call, slot->kind, &fd, secret, &len);
        if (!r)
                r = slots_change(&slots, id, BYTES(secret, len), call->signer->vault.secrets->master);
        secret_erase(secret, sizeof(secret));
        return r ? r : call_put_slots(call, &slots);
}

int op_adopt(Call *call)
{
        WireReader reader = wire_reader(call->body);
        Slots slots;
        int r;

        r = get_own_slots(call, &reader, &slots);
        if (wire_done(&reader))
                return -EPROTO;
        if (r)
                return r;
        memcpy(slots.machine, call->signer->vault.machine, sizeof(slots.machine));
        return call_put_slots(call, &slots);
}
