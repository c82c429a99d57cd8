/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A use of a key. Whatever holdfastd has decided, the signer asks again what the attributes allow, because
 * the envelope vouches for them and nobody vouches for holdfastd.
 */
#include <errno.h>

#include "base/error.h"
#include "seal/envelope.h"
#include "signer/call.h"
#include "signer/tpm-key.h"

#define AGREE_MAX (255u * 32)

/* Room in the reply for `max` bytes of result behind their length; results are written in place. */
static int reply_room(Call *call, size_t max, uint8_t **ret)
{
        int r = buffer_reserve(call->reply, 4 + max);

        if (r)
                return r == -EMSGSIZE ? HF_E_MESSAGE_TOO_LARGE : r;
        *ret = call->reply->data + call->reply->len + 4;
        return 0;
}

static int reply_take(Call *call, size_t len)
{
        int r = wire_put_u32(call->reply, (uint32_t)len);

        if (!r)
                call->reply->len += len;
        return r;
}

static int do_sign(Call *call, PrivKey *key)
{
        const SignerOperation *op = call->operation;
        SignParams params = {
                        .scheme = op->scheme,
                        .digest = op->flags & SIGNER_FLAG_DIGEST,
                        .p1363 = op->flags & SIGNER_FLAG_P1363,
        };
        size_t len = 0;
        uint8_t *out;
        int r;

        r = reply_room(call, SIGNATURE_MAX, &out);
        if (!r)
                r = privkey_sign(key, &params, op->payload, out, &len);
        return r ? r : reply_take(call, len);
}

static int do_decrypt(Call *call, PrivKey *key)
{
        const SignerOperation *op = call->operation;
        size_t len = 0;
        uint8_t *out;
        int r;

        r = reply_room(call, 512, &out);
        if (!r)
                r = privkey_decrypt(key, op->payload, op->aux, out, 512, &len);
        return r ? r : reply_take(call, len);
}

static int do_agree(Call *call, PrivKey *key)
{
        const SignerOperation *op = call->operation;
        uint8_t *out;
        int r;

        if (op->length < 1 || op->length > AGREE_MAX)
                return HF_E_INVALID_ARGS;
        r = reply_room(call, op->length, &out);
        if (!r)
                r = privkey_agree(key, op->payload, op->salt, op->aux, out, op->length);
        return r ? r : reply_take(call, op->length);
}

static int do_mac(Call *call, PrivKey *key)
{
        uint8_t *out;
        int r;

        r = reply_room(call, 32, &out);
        if (!r)
                r = privkey_mac(key, call->operation->payload, out);
        return r ? r : reply_take(call, 32);
}

static int do_seal(Call *call, PrivKey *key)
{
        const SignerOperation *op = call->operation;
        size_t len = 0, max = op->payload.len + SEAL_OVERHEAD;
        uint8_t *out;
        int r;

        r = reply_room(call, max, &out);
        if (!r)
                r = privkey_seal(key, op->payload, op->aux, out, max, &len);
        return r ? r : reply_take(call, len);
}

static int do_unseal(Call *call, PrivKey *key)
{
        const SignerOperation *op = call->operation;
        size_t len = 0;
        uint8_t *out;
        int r;

        r = reply_room(call, op->payload.len, &out);
        if (!r)
                r = privkey_unseal(key, op->payload, op->aux, out, op->payload.len, &len);
        return r ? r : reply_take(call, len);
}

typedef struct Use {
        KeyPurpose purpose; /* of the scheme */
        int (*perform)(Call *call, PrivKey *key);
} Use;

static const Use uses[_SIGNER_OP_MAX] = {
                [SIGNER_OP_SIGN] = {PURPOSE_SIGN, do_sign},
                [SIGNER_OP_DECRYPT] = {PURPOSE_DECRYPT, do_decrypt},
                [SIGNER_OP_AGREE] = {PURPOSE_AGREE, do_agree},
                [SIGNER_OP_MAC] = {PURPOSE_MAC, do_mac},
                [SIGNER_OP_SEAL] = {PURPOSE_SEAL, do_seal},
                [SIGNER_OP_UNSEAL] = {PURPOSE_SEAL, do_unseal},
};

static int check_allowed(const KeyAttributes *a, const SignerOperation *op)
{
        const SchemeInfo *scheme = scheme_info(op->scheme);
        bool digest = op->flags & SIGNER_FLAG_DIGEST;
        int r;

        if (a->flags & KEY_FLAG_LOST)
                return HF_E_KEY_LOST;
        if (a->flags & KEY_FLAG_DISABLED)
                return HF_E_KEY_DISABLED;
        if (op->flags & ~(uint32_t)(SIGNER_FLAG_DIGEST | SIGNER_FLAG_P1363))
                return HF_E_INVALID_ARGS;
        if (!scheme)
                return HF_E_SCHEME_NOT_SUPPORTED;
        r = scheme_check(op->scheme, a->algorithm, a->purpose);
        if (r)
                return r;
        if (scheme->purpose != uses[op->op].purpose)
                return HF_E_PURPOSE_NOT_PERMITTED;
        /* No key is a blind oracle: digests for those made for them, whole messages for all others. */
        if (op->op == SIGNER_OP_SIGN && digest != !!(a->flags & KEY_FLAG_DIGEST))
                return HF_E_PURPOSE_NOT_PERMITTED;
        return digest && op->op != SIGNER_OP_SIGN ? HF_E_INVALID_ARGS : 0;
}

static int open_envelope(Call *call, const KeyAttributes *a, const CacheRecord *record, CacheLease *ret)
{
        const uint8_t *wrapping = call->signer->vault.secrets->keys.wrapping;
        _cleanup_(privkey_freep) PrivKey *key = NULL;
        uint8_t raw[PRIVKEY_RAW_MAX];
        size_t len = 0;
        int r;

        r = envelope_open(wrapping, a, record->wrapped, raw, sizeof(raw), &len);
        if (!r && a->protection == PROTECTION_TPM)
                r = tpm_key_open(call->signer->tpm, a, BYTES(raw, len), &key);
        else if (!r)
                r = privkey_from_raw(a->algorithm, BYTES(raw, len), key_attributes_public(a), &key);
        secret_erase(raw, len);
        if (!r)
                r = cache_add(call->signer->cache, record, key, ret);
        if (!r)
                key = NULL;
        return r;
}

int call_open_key(Call *call, const KeyAttributes *a, Bytes encoded, Bytes wrapped, CacheLease *ret)
{
        CacheRecord record = {.uuid = a->uuid, .attributes = encoded, .wrapped = wrapped};
        int r = cache_take(call->signer->cache, &record, ret);

        return r == HF_E_NO_SUCH_KEY ? open_envelope(call, a, &record, ret) : r;
}

/* The open key, and that this use of it is allowed. */
static int prepare(Call *call, CacheLease *lease)
{
        const SignerOperation *op = call->operation;
        int r;

        if (call->accepted)
                return call->accepted;
        if (!call->attributes)
                return HF_E_KEY_MISMATCH; /* nothing we made has such attributes */
        r = call_open_key(call, call->attributes, op->attributes, op->wrapped, lease);
        /* Only now are the attributes known to be true. */
        return r ? r : check_allowed(call->attributes, op);
}

int op_operate(Call *call)
{
        CacheLease lease = {};
        bool far;
        int r;

        r = call_lock_open(call);
        if (r)
                return r;
        r = prepare(call, &lease);
        far = !r && call->attributes->protection == PROTECTION_TPM;
        if (far)
                call_unlock(call); /* the TPM takes its time, and meanwhile the store may be locked */
        if (!r)
                r = uses[call->operation->op].perform(call, lease.key);
        cache_release(call->signer->cache, &lease);
        if (!far)
                call_unlock(call);
        return r;
}
