/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Wrapping the master and taking it out again. A passphrase goes through Argon2id; a credential and a
 * recovery code are random and long, so BLAKE2b with salt and a domain of its own is enough and costs nothing
 * at boot.
 */
#include "seal/slots.h"

#include <errno.h>
#include <sodium.h>

#include "base/error.h"
#include "base/secret.h"
#include "seal/recovery.h"

#define AD_MAX 256

_Static_assert(crypto_pwhash_SALTBYTES == 16 && crypto_generichash_blake2b_SALTBYTES == 16,
                "one salt for both");
_Static_assert(sizeof(((Slot *)0)->nonce) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XChaCha20");
_Static_assert(sizeof(((Slot *)0)->wrapped) == MASTER_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES,
                "Poly1305");

void slots_init(Slots *s, const Uuid *store_id, const uint8_t machine[static SLOTS_MACHINE_SIZE])
{
        *s = (Slots){.store_id = *store_id, .next_id = 1};
        memcpy(s->machine, machine, sizeof(s->machine));
}

/* Not the file's content as it is: machine-id(5) asks not to show it around. */
void slots_machine(Bytes machine_id, uint8_t ret[static SLOTS_MACHINE_SIZE])
{
        static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "holdfast-machine";

        while (machine_id.len > 0 && machine_id.data[machine_id.len - 1] == '\n')
                machine_id.len--;
        crypto_generichash_blake2b_salt_personal(
                        ret, SLOTS_MACHINE_SIZE, machine_id.data, machine_id.len, NULL, 0, NULL, personal);
}

bool slots_machine_matches(const Slots *s, const uint8_t machine[static SLOTS_MACHINE_SIZE])
{
        return memcmp(s->machine, machine, sizeof(s->machine)) == 0;
}

void slots_list(const Slots *s, const uint8_t machine[static SLOTS_MACHINE_SIZE], SlotList *ret)
{
        *ret = (SlotList){.store_id = s->store_id, .machine_matches = slots_machine_matches(s, machine)};
        for (size_t i = 0; i < s->n; i++) {
                const Slot *slot = &s->slots[i];

                if (slot->damaged)
                        continue; /* nothing in it can be believed */
                ret->slots[ret->n] = (SlotEntry){
                                .id = slot->id,
                                .kind = slot->kind,
                                .unattended = slot->kind == SLOT_CREDENTIAL,
                                .created = slot->created,
                };
                memcpy(ret->slots[ret->n++].label, slot->label, sizeof(slot->label));
        }
}

const Slot *slots_find(const Slots *s, uint32_t id)
{
        for (size_t i = 0; i < s->n; i++)
                if (!s->slots[i].damaged && s->slots[i].id == id)
                        return &s->slots[i];
        return NULL;
}

static int kek_fast(const char personal[static 16], Bytes secret, const Slot *slot, uint8_t ret[static 32])
{
        if (crypto_generichash_blake2b_salt_personal(ret, 32, secret.data, secret.len, NULL, 0, slot->salt,
                            (const uint8_t *)personal) < 0)
                return HF_E_INTERNAL;
        return 0;
}

static int kek_slow(Bytes secret, const Slot *slot, uint8_t ret[static 32])
{
        /* Fails only where the memory is not to be had. */
        if (crypto_pwhash(ret, 32, (const char *)secret.data, secret.len, slot->salt, slot->passes,
                            (size_t)slot->memory << 10, crypto_pwhash_ALG_ARGON2ID13) < 0)
                return -ENOMEM;
        return 0;
}

/* The key that wraps the master in this slot. */
static int slot_kek(const Slot *slot, Bytes secret, uint8_t ret[static 32])
{
        switch (slot->kind) {
        case SLOT_CREDENTIAL:
                if (secret.len < SLOT_CREDENTIAL_MIN)
                        return HF_E_INVALID_ARGS;
                return kek_fast("holdfast-credent", secret, slot, ret);
        case SLOT_PASSPHRASE:
                if (secret.len == 0)
                        return HF_E_INVALID_ARGS;
                return kek_slow(secret, slot, ret);
        case SLOT_RECOVERY:
                if (secret.len != RECOVERY_ENTROPY)
                        return HF_E_INVALID_ARGS;
                return kek_fast("holdfast-recover", secret, slot, ret);
        case SLOT_TPM2:
        case SLOT_TPM2_DERIVED:
        case _SLOT_KIND_INVALID:
        case _SLOT_KIND_MAX:
                break;
        }
        return HF_E_NOT_SUPPORTED;
}

/* All that a slot says about itself, and whose it is. */
static int slot_ad(const Uuid *store_id, const Slot *slot, uint8_t space[static AD_MAX], Bytes *ret)
{
        Buffer b = {.data = space, .allocated = AD_MAX, .limit = AD_MAX};
        int r;

        if ((r = wire_put_raw(&b, "holdfast slot", 13)) || (r = wire_put_raw(&b, store_id->b, 16)) ||
                        (r = wire_put_u32(&b, slot->id)) || (r = wire_put_u8(&b, (uint8_t)slot->kind)) ||
                        (r = wire_put_string(&b, slot->label)) || (r = wire_put_u64(&b, slot->created)) ||
                        (r = wire_put_u32(&b, slot->memory)) || (r = wire_put_u32(&b, slot->passes)))
                return r;
        *ret = buffer_bytes(&b);
        return 0;
}

static int slot_wrap(const Uuid *store_id, Slot *slot, Bytes secret, const uint8_t master[static MASTER_SIZE])
{
        uint8_t kek[32], space[AD_MAX];
        Bytes ad;
        int r;

        randombytes_buf(slot->salt, sizeof(slot->salt));
        randombytes_buf(slot->nonce, sizeof(slot->nonce));
        r = slot_ad(store_id, slot, space, &ad);
        if (!r)
                r = slot_kek(slot, secret, kek);
        if (!r)
                crypto_aead_xchacha20poly1305_ietf_encrypt(slot->wrapped, NULL, master, MASTER_SIZE, ad.data,
                                ad.len, NULL, slot->nonce, kek);
        secret_erase(kek, sizeof(kek));
        return r;
}

int slot_open(const Slots *s, const Slot *slot, Bytes secret, uint8_t ret_master[static MASTER_SIZE])
{
        uint8_t kek[32], master[MASTER_SIZE], space[AD_MAX];
        Bytes ad;
        int r;

        if (slot->damaged)
                return HF_E_STORE_DAMAGED;
        r = slot_ad(&s->store_id, slot, space, &ad);
        if (!r)
                r = slot_kek(slot, secret, kek);
        if (r == HF_E_INVALID_ARGS)
                r = HF_E_UNLOCK_FAILED; /* a secret no such slot could have: wrong */
        if (!r && crypto_aead_xchacha20poly1305_ietf_decrypt(master, NULL, NULL, slot->wrapped,
                                  sizeof(slot->wrapped), ad.data, ad.len, slot->nonce, kek) < 0)
                r = HF_E_UNLOCK_FAILED;
        if (!r)
                memcpy(ret_master, master, MASTER_SIZE);
        secret_erase(master, sizeof(master));
        secret_erase(kek, sizeof(kek));
        return r;
}

static bool label_is_taken(const Slots *s, const char *label)
{
        for (size_t i = 0; i < s->n; i++)
                if (!s->slots[i].damaged && strcmp(s->slots[i].label, label) == 0)
                        return true;
        return false;
}

static int slot_parameters(const SlotParams *params, Slot *slot)
{
        if (params->kind != SLOT_PASSPHRASE)
                return params->memory || params->passes ? HF_E_INVALID_ARGS : 0;
        slot->memory = params->memory ? params->memory : SLOT_MEMORY_USUAL;
        slot->passes = params->passes ? params->passes : SLOT_PASSES_USUAL;
        if (slot->memory < SLOT_MEMORY_MIN || slot->memory > SLOT_MEMORY_MAX ||
                        slot->passes > SLOT_PASSES_MAX)
                return HF_E_INVALID_ARGS;
        return 0;
}

int slots_add(Slots *s, const SlotParams *params, const uint8_t master[static MASTER_SIZE], uint32_t *ret_id)
{
        Slot slot = {.id = s->next_id, .kind = params->kind, .created = params->created};
        int r;

        if (!name_is_valid(params->label))
                return HF_E_INVALID_NAME;
        if (label_is_taken(s, params->label))
                return HF_E_SLOT_EXISTS;
        if (s->n == SLOTS_MAX || s->next_id == UINT32_MAX)
                return HF_E_LIMIT_EXCEEDED;
        strcpy(slot.label, params->label);
        r = slot_parameters(params, &slot);
        if (!r)
                r = slot_wrap(&s->store_id, &slot, params->secret, master);
        if (r)
                return r;
        s->next_id++;
        s->slots[s->n++] = slot;
        *ret_id = slot.id;
        return 0;
}

/* A damaged slot does not count as a way in. */
static size_t slots_sound(const Slots *s)
{
        size_t n = 0;

        for (size_t i = 0; i < s->n; i++)
                n += !s->slots[i].damaged;
        return n;
}

int slots_remove(Slots *s, uint32_t id)
{
        const Slot *slot = slots_find(s, id);
        size_t at;

        if (!slot)
                return HF_E_NO_SUCH_SLOT;
        if (slots_sound(s) == 1)
                return HF_E_LAST_SLOT;
        at = (size_t)(slot - s->slots);
        memmove(&s->slots[at], &s->slots[at + 1], (s->n - at - 1) * sizeof(Slot));
        s->n--;
        return 0;
}

int slots_change(Slots *s, uint32_t id, Bytes secret, const uint8_t master[static MASTER_SIZE])
{
        const Slot *slot = slots_find(s, id);
        Slot changed;
        int r;

        if (!slot)
                return HF_E_NO_SUCH_SLOT;
        changed = *slot;
        r = slot_wrap(&s->store_id, &changed, secret, master);
        if (r)
                return r;
        s->slots[slot - s->slots] = changed;
        return 0;
}
