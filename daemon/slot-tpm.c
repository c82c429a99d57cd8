/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/slot-tpm.h"

#include <string.h>

#include "crypto/pubkey.h"
#include "crypto/spki.h"
#include "daemon/bus.h"

#define KEYS_LOOKED_AT 8192 /* for the name of a slot's device key: no list holds the loop up */

static int read_policy_key(Bytes spki, TpmPolicyKey *ret)
{
        KeyAlgorithm algorithm;
        Bytes number;

        if (!spki.data)
                return 0; /* not asked for; one that is empty is none */
        if (spki_parse(spki, &algorithm, &number))
                return HF_E_INVALID_ARGS;
        ret->algorithm = algorithm == KEY_P256      ? TPM_P256
                         : algorithm == KEY_RSA2048 ? TPM_RSA2048
                         : algorithm == KEY_RSA3072 ? TPM_RSA3072
                                                    : _TPM_ALGORITHM_INVALID;
        ret->number = number;
        return ret->algorithm ? 0 : HF_E_ALGORITHM_NOT_SUPPORTED;
}

static int read_device_key(const Operation *op, const char *name, uint8_t ret[static 32])
{
        KeyEntry *key = name && op->daemon->vault.catalogue ? catalogue_find(op->daemon->vault.catalogue, name) : NULL;

        if (!name)
                return HF_E_INVALID_ARGS;
        if (!key || !operation_may(op, POLICY_OP_DESCRIBE, key))
                return HF_E_NO_SUCH_KEY;
        if (key->flags & KEY_FLAG_LOST)
                return HF_E_KEY_LOST;
        if (!key->public_len)
                return HF_E_NOT_SUPPORTED;
        pubkey_fingerprint(key_entry_public(key), ret);
        return 0;
}

int slot_tpm_read(const Operation *op, SlotKind kind, const SlotTpmOptions *o, bool pin, SignerSlotTpm *ret)
{
        int r = 0;

        *ret = (SignerSlotTpm){0};
        if ((kind != SLOT_TPM2 && (o->pcr || o->policy_key.len)) || (kind != SLOT_TPM2_DERIVED && o->key))
                return HF_E_INVALID_ARGS;
        if (kind == SLOT_TPM2_DERIVED)
                return read_device_key(op, o->key, ret->device_key);
        if (kind != SLOT_TPM2)
                return 0;
        ret->pin = pin;
        if (o->pcr)
                r = tpm_pcrs_parse(o->pcr, &ret->pcrs);
        if (!r)
                r = read_policy_key(o->policy_key, &ret->policy);
        return !r && ret->policy.algorithm && !ret->pcrs.mask ? HF_E_INVALID_ARGS : r;
}

int slot_put_add(Buffer *b, Bytes slots, SlotKind kind, const char *label, const SignerSlotTpm *tpm)
{
        _cleanup_buffer_ Buffer encoded = BUFFER_INIT(SIGNER_SLOT_TPM_MAX);
        int r = wire_put_block(b, slots);

        if (!r)
                r = wire_put_u8(b, (uint8_t)kind);
        if (!r)
                r = wire_put_string(b, label);
        if (!r)
                r = signer_slot_tpm_encode(tpm, &encoded);
        return r ? r : wire_put_block(b, buffer_bytes(&encoded));
}

static const char *find_name(const Operation *op, const uint8_t device_key[static 32])
{
        const Catalogue *c = op->daemon->vault.catalogue;
        CatalogueCursor cursor = {0};
        uint8_t fingerprint[32];
        KeyEntry *key;

        for (size_t i = 0; c && i < KEYS_LOOKED_AT && catalogue_list(c, &cursor, &key, 1) == 1; i++) {
                if (!key->public_len)
                        continue;
                pubkey_fingerprint(key_entry_public(key), fingerprint);
                if (memcmp(fingerprint, device_key, sizeof(fingerprint)) == 0 && operation_may(op, POLICY_OP_DESCRIBE, key))
                        return key_entry_name(key);
        }
        return "";
}

int slot_append_tpm(const Operation *op, sd_bus_message *m, const SlotEntry *e)
{
        static const uint8_t none[sizeof(e->policy_key)];
        char hex[65];
        int r = 0;

        if (e->kind == SLOT_TPM2) {
                r = reply_append_string(m, "pcrs", e->pcrs);
                if (r >= 0)
                        r = reply_append_bool(m, "pin", e->pin);
                if (r >= 0)
                        r = reply_append_bool(m, "signed-policy", e->signed_policy);
                hex_encode(e->policy_key, sizeof(e->policy_key), hex);
                return r >= 0 && memcmp(e->policy_key, none, sizeof(none)) ? reply_append_string(m, "policy-key", hex) : r;
        }
        if (e->kind != SLOT_TPM2_DERIVED)
                return 0;
        hex_encode(e->device_key, sizeof(e->device_key), hex);
        r = reply_append_string(m, "device-key", hex);
        return r >= 0 ? reply_append_string(m, "key", find_name(op, e->device_key)) : r;
}

bool slot_needs_key(const Vault *v, Bytes spki)
{
        uint8_t fingerprint[32];

        if (!spki.len)
                return false;
        pubkey_fingerprint(spki, fingerprint);
        for (size_t i = 0; i < v->slot_list.n; i++)
                if (v->slot_list.slots[i].kind == SLOT_TPM2_DERIVED &&
                                memcmp(v->slot_list.slots[i].device_key, fingerprint, sizeof(fingerprint)) == 0)
                        return true;
        return false;
}
