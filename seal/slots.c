/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Wrapping the master and taking it out again. A passphrase goes through Argon2id; a credential and a
 * recovery code are random and long, and so is what a TPM keeps, so BLAKE2b with salt and a domain of its own is
 * enough and costs nothing at boot. A PIN for the TPM goes through Argon2id as well: whoever listens to the TPM,
 * or is it, shall not learn it for other uses.
 */
#include "seal/slots.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>

#include "base/error.h"
#include "base/secret.h"
#include "seal/recovery.h"

#define AD_MAX (256 + SLOT_EXTRA_MAX)

_Static_assert(crypto_pwhash_SALTBYTES == SLOT_SALT_SIZE && crypto_generichash_blake2b_SALTBYTES == SLOT_SALT_SIZE,
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

bool slots_have_tpm(const Slots *s)
{
        static const uint8_t none[TPM_NAME_SIZE];

        return memcmp(s->tpm, none, sizeof(none)) != 0;
}

static void list_slot(const Slot *slot, SlotEntry *ret)
{
        SlotTpm tpm = {};

        *ret = (SlotEntry){.id = slot->id, .kind = slot->kind, .created = slot->created};
        memcpy(ret->label, slot->label, sizeof(slot->label));
        (void)slot_tpm_decode(slot->kind, slot_extra(slot), &tpm); /* was read once when the file was parsed */
        ret->unattended = slot->kind == SLOT_CREDENTIAL || slot->kind == SLOT_TPM2_DERIVED ||
                (slot->kind == SLOT_TPM2 && !tpm.pin);
        tpm_pcrs_format(&tpm.pcrs, ret->pcrs);
        ret->pin = tpm.pin;
        ret->signed_policy = tpm.policy.algorithm != _TPM_ALGORITHM_INVALID;
        if (ret->signed_policy)
                (void)slot_tpm_policy_key(&tpm, ret->policy_key);
        memcpy(ret->device_key, tpm.device_key, sizeof(ret->device_key));
}

void slots_list(const Slots *s, const uint8_t machine[static SLOTS_MACHINE_SIZE], SlotList *ret)
{
        *ret = (SlotList){.store_id = s->store_id, .machine_matches = slots_machine_matches(s, machine)};
        for (size_t i = 0; i < s->n; i++)
                if (!s->slots[i].damaged) /* else nothing in it can be believed */
                        list_slot(&s->slots[i], &ret->slots[ret->n++]);
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

/* 64 MiB each: one at a time, whoever asks. */
static pthread_mutex_t one_slow = PTHREAD_MUTEX_INITIALIZER;

static int slow(Bytes secret, const uint8_t *salt, uint32_t memory, uint32_t passes, uint8_t ret[static 32])
{
        int r;

        if (secret.len == 0)
                return HF_E_INVALID_ARGS;
        pthread_mutex_lock(&one_slow);
        r = crypto_pwhash(ret, 32, (const char *)secret.data, secret.len, salt, passes, (size_t)memory << 10,
                        crypto_pwhash_ALG_ARGON2ID13);
        pthread_mutex_unlock(&one_slow);
        return r < 0 ? -ENOMEM : 0; /* fails only where the memory is not to be had */
}

int slot_pin(const Slot *slot, const uint8_t salt[static SLOT_SALT_SIZE], Bytes pin, uint8_t ret[static TPM_AUTH_SIZE])
{
        return slow(pin, salt, slot ? slot->memory : SLOT_MEMORY_USUAL, slot ? slot->passes : SLOT_PASSES_USUAL, ret);
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
                return slow(secret, slot->salt, slot->memory, slot->passes, ret);
        case SLOT_RECOVERY:
                if (secret.len != RECOVERY_ENTROPY)
                        return HF_E_INVALID_ARGS;
                return kek_fast("holdfast-recover", secret, slot, ret);
        case SLOT_TPM2:
        case SLOT_TPM2_DERIVED:
                if (secret.len != SLOT_TPM_SECRET_SIZE)
                        return HF_E_INVALID_ARGS;
                return kek_fast(slot->kind == SLOT_TPM2 ? "holdfast-tpm2-se" : "holdfast-tpm2-de", secret, slot, ret);
        case _SLOT_KIND_INVALID:
        case _SLOT_KIND_MAX:
                break;
        }
        return HF_E_INTERNAL;
}

/* All that a slot says about itself, and whose it is. */
static int slot_ad(const Uuid *store_id, const Slot *slot, uint8_t space[static AD_MAX], Bytes *ret)
{
        Buffer b = {.data = space, .allocated = AD_MAX, .limit = AD_MAX};
        int r;

        if ((r = wire_put_raw(&b, "holdfast slot", 13)) || (r = wire_put_raw(&b, store_id->b, 16)) ||
                        (r = wire_put_u32(&b, slot->id)) || (r = wire_put_u8(&b, (uint8_t)slot->kind)) ||
                        (r = wire_put_string(&b, slot->label)) || (r = wire_put_u64(&b, slot->created)) ||
                        (r = wire_put_u32(&b, slot->memory)) || (r = wire_put_u32(&b, slot->passes)) ||
                        (r = wire_put_block(&b, slot_extra(slot))))
                return r;
        *ret = buffer_bytes(&b);
        return 0;
}

static int slot_wrap(const Uuid *store_id, Slot *slot, const SlotParams *params, const uint8_t master[static MASTER_SIZE])
{
        uint8_t kek[32], space[AD_MAX];
        Bytes ad;
        int r;

        if (params->salt)
                memcpy(slot->salt, params->salt, sizeof(slot->salt));
        else
                randombytes_buf(slot->salt, sizeof(slot->salt));
        randombytes_buf(slot->nonce, sizeof(slot->nonce));
        r = slot_ad(store_id, slot, space, &ad);
        if (!r)
                r = slot_kek(slot, params->secret, kek);
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

static bool kind_is_tpm(SlotKind kind)
{
        return kind == SLOT_TPM2 || kind == SLOT_TPM2_DERIVED;
}

/* What the kind keeps of its own, and how slow it is. */
static int slot_parameters(const SlotParams *params, Slot *slot)
{
        Buffer b = {.data = slot->extra, .allocated = sizeof(slot->extra), .limit = sizeof(slot->extra)};
        bool pin = params->tpm && params->tpm->pin;
        int r;

        if (kind_is_tpm(slot->kind) != (params->tpm != NULL) || pin != (params->salt != NULL))
                return HF_E_INVALID_ARGS;
        if (params->tpm) {
                r = slot_tpm_encode(slot->kind, params->tpm, &b);
                if (r)
                        return r;
                slot->extra_len = (uint16_t)b.len;
        }
        slot->memory = slot->passes = 0;
        if (slot->kind != SLOT_PASSPHRASE && !pin)
                return params->memory || params->passes ? HF_E_INVALID_ARGS : 0;
        slot->memory = params->memory ? params->memory : SLOT_MEMORY_USUAL;
        slot->passes = params->passes ? params->passes : SLOT_PASSES_USUAL;
        if (slot->memory < SLOT_MEMORY_MIN || slot->memory > SLOT_MEMORY_MAX ||
                        slot->passes > SLOT_PASSES_MAX)
                return HF_E_INVALID_ARGS;
        return 0;
}

/* Ways in that need no key of the store's: a damaged slot is none, and tpm2-derived stands on one that may go. */
static size_t slots_of_their_own(const Slots *s)
{
        size_t n = 0;

        for (size_t i = 0; i < s->n; i++)
                n += !s->slots[i].damaged && s->slots[i].kind != SLOT_TPM2_DERIVED;
        return n;
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
        if (params->kind == SLOT_TPM2_DERIVED && slots_of_their_own(s) == 0)
                return HF_E_LAST_SLOT;
        strcpy(slot.label, params->label);
        r = slot_parameters(params, &slot);
        if (!r)
                r = slot_wrap(&s->store_id, &slot, params, master);
        if (r)
                return r;
        s->next_id++;
        s->slots[s->n++] = slot;
        *ret_id = slot.id;
        return 0;
}

int slots_remove(Slots *s, uint32_t id)
{
        const Slot *slot = slots_find(s, id);
        size_t at;

        if (!slot)
                return HF_E_NO_SUCH_SLOT;
        if (slot->kind != SLOT_TPM2_DERIVED && slots_of_their_own(s) == 1)
                return HF_E_LAST_SLOT;
        at = (size_t)(slot - s->slots);
        memmove(&s->slots[at], &s->slots[at + 1], (s->n - at - 1) * sizeof(Slot));
        s->n--;
        return 0;
}

int slots_change(Slots *s, uint32_t id, const SlotParams *params, const uint8_t master[static MASTER_SIZE])
{
        const Slot *slot = slots_find(s, id);
        Slot changed;
        int r;

        if (!slot)
                return HF_E_NO_SUCH_SLOT;
        changed = *slot;
        r = slot_parameters(params, &changed);
        if (!r)
                r = slot_wrap(&s->store_id, &changed, params, master);
        if (r)
                return r;
        s->slots[slot - s->slots] = changed;
        return 0;
}
