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

/* A slot's settings, or none for the kinds that have none. */
static int get_asked(WireReader *reader, SignerSlotTpm *ret)
{
        Bytes block = wire_get_block(reader, SIGNER_SLOT_TPM_MAX);

        *ret = (SignerSlotTpm){};
        return block.len == 0 ? 0 : signer_slot_tpm_decode(block, ret);
}

/* Puts a prepared slot into the file, under the master of the store that is open. `id` 0: a new one. */
static int put_slot(Call *call, Slots *slots, uint32_t id, const SlotParams *params, uint32_t *ret_id)
{
        const Vault *v = &call->signer->vault;
        int r = call_lock_open(call);

        if (r)
                return r;
        if (!uuid_equal(&v->store_id, &slots->store_id))
                r = HF_E_STORE_FOREIGN;
        else if (id)
                r = slots_change(slots, id, params, v->secrets->master);
        else
                r = slots_add(slots, params, v->secrets->master, ret_id);
        call_unlock(call);
        return r;
}

/* Of a TPM the store is bound to, which it becomes with the first such slot: `ret` is its new counter. */
static int prepare_slot(Call *call, SlotKind kind, const SignerSlotTpm *asked, Slots *slots, TpmCounter *ret,
                SlotMaking *ret_slot)
{
        size_t fd = 0;
        int r = 0;

        if ((kind == SLOT_TPM2 || kind == SLOT_TPM2_DERIVED) && !slots_have_tpm(slots))
                r = call_bind_tpm(call, slots, ret);
        return r ? r : call_prepare_slot(call, kind, asked, slots->tpm, &fd, ret_slot);
}

/* A new slot (`id` 0, with this label), or the same one made anew. */
static int make_slot(Call *call, Slots *slots, uint32_t id, SlotKind kind, const char *label, const SignerSlotTpm *asked,
                uint32_t *ret_id)
{
        TpmCounter counter = {};
        SlotMaking m = {};
        int r;

        r = prepare_slot(call, kind, asked, slots, &counter, &m);
        m.params.label = label;
        m.params.created = clock_wall();
        if (!r)
                r = put_slot(call, slots, id, &m.params, ret_id);
        if (r)
                call_drop_counter(call, &counter);
        secret_erase(&counter, sizeof(counter));
        slot_making_erase(&m);
        return r;
}

int op_slot_add(Call *call)
{
        WireReader reader = wire_reader(call->body);
        char label[NAME_SIZE];
        SignerSlotTpm asked;
        SlotKind kind;
        uint32_t id;
        Slots slots;
        int r, s;

        r = call_get_own_slots(call, &reader, &slots);
        kind = wire_get_u8(&reader);
        wire_get_string(&reader, label, sizeof(label));
        s = get_asked(&reader, &asked);
        if (wire_done(&reader) || s)
                return -EPROTO;
        if (!r)
                r = make_slot(call, &slots, 0, kind, label, &asked, &id);
        if (!r)
                r = wire_put_u32(call->reply, id);
        return r ? r : call_put_slots(call, &slots);
}

static int get_slots_and_id(Call *call, WireReader *reader, Slots *ret, const Slot **ret_slot)
{
        int r = call_get_own_slots(call, reader, ret);
        uint32_t id = wire_get_u32(reader);

        if (reader->failed)
                return -EPROTO;
        if (!r)
                *ret_slot = slots_find(ret, id);
        return r ? r : *ret_slot ? 0 : HF_E_NO_SUCH_SLOT;
}

int op_slot_remove(Call *call)
{
        WireReader reader = wire_reader(call->body);
        const Slot *slot;
        Slots slots;
        int r;

        r = get_slots_and_id(call, &reader, &slots, &slot);
        if (wire_done(&reader))
                return -EPROTO;
        if (!r)
                r = slots_remove(&slots, slot->id);
        return r ? r : call_put_slots(call, &slots);
}

static int make_anew(Call *call, Slots *slots, const Slot *slot, const SignerSlotTpm *asked)
{
        int r = make_slot(call, slots, slot->id, slot->kind, NULL, asked, NULL);

        return r ? r : call_put_slots(call, slots);
}

/* As it was made, its PCRs without their values. */
static void asked_before(const Slot *slot, SignerSlotTpm *ret)
{
        SlotTpm tpm = {};

        (void)slot_tpm_decode(slot->kind, slot_extra(slot), &tpm);
        *ret = (SignerSlotTpm){.pcrs = tpm.pcrs, .pin = tpm.pin, .policy = tpm.policy};
        ret->pcrs.has_values = false;
        memcpy(ret->device_key, tpm.device_key, sizeof(ret->device_key));
}

int op_slot_change(Call *call)
{
        WireReader reader = wire_reader(call->body);
        const Slot *slot = NULL;
        SignerSlotTpm asked;
        bool given;
        Slots slots;
        int r;

        r = get_slots_and_id(call, &reader, &slots, &slot);
        given = reader.p < reader.end;
        if (r == -EPROTO || (given && get_asked(&reader, &asked)) || wire_done(&reader))
                return -EPROTO;
        if (r)
                return r;
        if (!given)
                asked_before(slot, &asked);
        return make_anew(call, &slots, slot, &asked);
}

int op_slot_reseal(Call *call)
{
        WireReader reader = wire_reader(call->body);
        const Slot *slot = NULL;
        SignerSlotTpm asked;
        Slots slots;
        int r;

        r = get_slots_and_id(call, &reader, &slots, &slot);
        if (wire_done(&reader))
                return -EPROTO;
        if (r)
                return r;
        asked_before(slot, &asked);
        if (slot->kind != SLOT_TPM2 || asked.pcrs.mask == 0 || asked.policy.algorithm)
                return HF_E_NOTHING_TO_DO;
        if (call->n_fds != asked.pin)
                return HF_E_INVALID_FD;
        return make_anew(call, &slots, slot, &asked);
}
