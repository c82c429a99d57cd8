/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/peek.h"

#include "crypto/attributes.h"
#include "link/signer.h"
#include "seal/slots.h"

bool peek_always(Bytes body, size_t n_fds)
{
        (void)body, (void)n_fds;
        return true;
}

bool peek_attributes(Bytes body, size_t n_fds)
{
        WireReader r = wire_reader(body);
        KeyAttributes a;

        (void)n_fds;
        return key_attributes_decode(wire_get_block(&r, KEY_ATTRIBUTES_MAX), &a) == 0 && a.protection == PROTECTION_TPM;
}

static bool kind_is_tpm(SlotKind kind)
{
        return kind == SLOT_TPM2 || kind == SLOT_TPM2_DERIVED;
}

static bool get_slots(WireReader *r, Slots *ret)
{
        return slots_parse(wire_get_block(r, SLOTS_FILE_MAX), ret) == 0;
}

/* With a secret the slow derivation decides, and the TPM comes last. */
bool peek_unlock(Bytes body, size_t n_fds)
{
        WireReader r = wire_reader(body);
        Slots slots;

        if (n_fds > 0 || !get_slots(&r, &slots))
                return false;
        if (slots_have_tpm(&slots))
                return true;
        for (size_t i = 0; i < slots.n; i++)
                if (kind_is_tpm(slots.slots[i].kind))
                        return true;
        return false;
}

bool peek_slot_kind(Bytes body, size_t n_fds)
{
        WireReader r = wire_reader(body);

        (void)n_fds;
        (void)wire_get_block(&r, SLOTS_FILE_MAX);
        return kind_is_tpm(wire_get_u8(&r));
}

bool peek_slot_id(Bytes body, size_t n_fds)
{
        WireReader r = wire_reader(body);
        const Slot *slot;
        Slots slots;

        (void)n_fds;
        if (!get_slots(&r, &slots))
                return false;
        slot = slots_find(&slots, wire_get_u32(&r));
        return slot && kind_is_tpm(slot->kind);
}

bool peek_rekey(Bytes body, size_t n_fds)
{
        WireReader r = wire_reader(body);
        SignerInit init;

        (void)n_fds;
        (void)wire_get_block(&r, SLOTS_FILE_MAX);
        return signer_init_decode(wire_get_block(&r, body.len), &init) == 0 && kind_is_tpm(init.kind);
}
