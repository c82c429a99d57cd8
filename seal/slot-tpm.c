/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/slot-tpm.h"

#include <errno.h>

#include "base/error.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"

static int put(SlotKind kind, const SlotTpm *t, Buffer *b)
{
        int r = tpm_blob_put(b, &t->blob);

        if (r || kind == SLOT_TPM2_DERIVED)
                return r ? r : wire_put_raw(b, t->device_key, sizeof(t->device_key));
        if ((r = tpm_pcrs_put(b, &t->pcrs)) || (r = wire_put_u8(b, t->pin)))
                return r;
        return tpm_policy_key_put(b, &t->policy);
}

int slot_tpm_encode(SlotKind kind, const SlotTpm *t, Buffer *b)
{
        size_t start = b->len;
        int r;

        r = put(kind, t, b);
        if (r == -EMSGSIZE || (!r && b->len - start > SLOT_EXTRA_MAX))
                r = HF_E_LIMIT_EXCEEDED;
        if (r)
                b->len = start;
        return r;
}

int slot_tpm_decode(SlotKind kind, Bytes extra, SlotTpm *ret)
{
        WireReader r = wire_reader(extra);
        SlotTpm t = {};

        if (kind != SLOT_TPM2 && kind != SLOT_TPM2_DERIVED) {
                *ret = t;
                return extra.len == 0 ? 0 : HF_E_STORE_DAMAGED;
        }
        tpm_blob_get(&r, &t.blob);
        if (kind == SLOT_TPM2_DERIVED) {
                wire_get_raw(&r, t.device_key, sizeof(t.device_key));
        } else {
                tpm_pcrs_get(&r, &t.pcrs);
                t.pin = wire_get_u8(&r) == 1;
                tpm_policy_key_get(&r, &t.policy);
        }
        if (wire_done(&r))
                return HF_E_STORE_DAMAGED;
        *ret = t;
        return 0;
}

int slot_tpm_policy_key(const SlotTpm *t, uint8_t ret[static 32])
{
        static const KeyAlgorithm algorithms[_TPM_ALGORITHM_MAX] = {
                [TPM_P256] = KEY_P256, [TPM_RSA2048] = KEY_RSA2048, [TPM_RSA3072] = KEY_RSA3072};
        uint8_t spki[640];
        size_t len;
        int r = spki_build(algorithms[t->policy.algorithm], t->policy.number, spki, sizeof(spki), &len);

        return r ? HF_E_STORE_DAMAGED : pubkey_inner_fingerprint(BYTES(spki, len), ret);
}
