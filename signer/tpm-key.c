/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/tpm-key.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "crypto/pubkey.h"
#include "crypto/random.h"
#include "crypto/spki.h"

/* What the TPM calls it; _INVALID for what no TPM of ours does. */
static const TpmAlgorithm algorithms[_KEY_ALGORITHM_MAX] = {
        [KEY_P256] = TPM_P256,
        [KEY_P384] = TPM_P384,
        [KEY_RSA2048] = TPM_RSA2048,
        [KEY_RSA3072] = TPM_RSA3072,
        [KEY_HMAC256] = TPM_HMAC256,
};

static const TpmUse purposes[_KEY_PURPOSE_MAX] = {
        [PURPOSE_SIGN] = TPM_USE_SIGN,   [PURPOSE_ISSUE] = TPM_USE_SIGN, [PURPOSE_DECRYPT] = TPM_USE_DECRYPT,
        [PURPOSE_AGREE] = TPM_USE_AGREE, [PURPOSE_MAC] = TPM_USE_MAC,
};

static const TpmOp operations[] = {
        [FAR_ECDSA] = TPM_OP_ECDSA, [FAR_RSASSA] = TPM_OP_RSASSA, [FAR_RSA_RAW] = TPM_OP_RSA_RAW,
        [FAR_ECDH] = TPM_OP_ECDH,   [FAR_HMAC] = TPM_OP_HMAC,
};

int tpm_key_parse(Bytes raw, TpmKey *ret)
{
        WireReader r = wire_reader(raw);
        TpmKey k;

        if (wire_get_u8(&r) != TPM_KEY_FORMAT)
                return HF_E_KEY_MISMATCH;
        wire_get_raw(&r, k.blob.parent, sizeof(k.blob.parent));
        wire_get_raw(&r, k.auth, sizeof(k.auth));
        k.blob.public = wire_get_block(&r, TPM_PART_MAX);
        k.blob.private = wire_get_block(&r, TPM_PART_MAX);
        if (wire_done(&r))
                return HF_E_KEY_MISMATCH;
        *ret = k;
        return 0;
}

static int encode(const TpmKey *k, Buffer *b)
{
        int r;

        if ((r = wire_put_u8(b, TPM_KEY_FORMAT)) || (r = wire_put_raw(b, k->blob.parent, sizeof(k->blob.parent))) ||
                        (r = wire_put_raw(b, k->auth, sizeof(k->auth))) || (r = wire_put_block(b, k->blob.public)))
                return r;
        return wire_put_block(b, k->blob.private);
}

/* Results of one key's use that a reply can carry; what else there is has no business here. */
static int use_result(int r)
{
        switch (r) {
        case HF_E_UNLOCK_FAILED:
        case HF_E_PCR_CHANGED:
        case HF_E_KEY_EXISTS:
        case HF_E_NO_SUCH_KEY:
                return HF_E_TPM_FAILED;
        default:
                return r;
        }
}

static int use_far(void *userdata, Bytes raw, FarOp op, Bytes data, uint8_t *ret, size_t size)
{
        TpmOperation o = {.op = operations[op], .data = data};
        TpmKey k = {};
        TpmExchange x;
        int r;

        tpm_begin(&x, TPM_OPERATE);
        r = tpm_key_parse(raw, &k);
        o.blob = k.blob;
        memcpy(o.auth, k.auth, sizeof(o.auth));
        if (!r)
                r = tpm_operation_encode_head(&o, &x.request);
        x.tail = data;
        if (!r)
                r = use_result(tpm_call(userdata, &x, TPM_TIMEOUT_MS));
        if (!r) {
                WireReader reader = wire_reader(x.reply);
                Bytes result = wire_get_block(&reader, size);

                if (wire_done(&reader) || result.len != size)
                        r = HF_E_TPM_FAILED;
                else
                        memcpy(ret, result.data, size);
        }
        tpm_end(&x);
        secret_erase(&o, sizeof(o));
        secret_erase(&k, sizeof(k));
        return r;
}

/* A TPM2B of big-endian bytes, as TPMs write numbers: at full length, or without their leading zeros. */
static uint8_t *put_number(uint8_t *p, Bytes number, bool stripped)
{
        while (stripped && number.len > 0 && number.data[0] == 0)
                number = BYTES(number.data + 1, number.len - 1);
        *p++ = (uint8_t)(number.len >> 8);
        *p++ = (uint8_t)number.len;
        memcpy(p, number.data, number.len);
        return p + number.len;
}

/* TPMT_PUBLIC ends with what is unique to a key: x and y, or n (TCG TPM 2.0 Part 2, section 12.2.3.2). */
static bool ends_with(Bytes public, KeyAlgorithm a, Bytes number, bool stripped)
{
        uint8_t unique[2 * 2 + TPM_NUMBER_MAX], *p = unique;
        size_t len;

        if (a == KEY_P256 || a == KEY_P384) {
                p = put_number(p, BYTES(number.data, number.len / 2), stripped);
                p = put_number(p, BYTES(number.data + number.len / 2, number.len / 2), stripped);
        } else {
                p = put_number(p, number, stripped);
        }
        len = (size_t)(p - unique);
        return public.len > len && memcmp(public.data + public.len - len, unique, len) == 0;
}

static bool is_public_half(Bytes public, const KeyAttributes *a)
{
        KeyAlgorithm algorithm;
        Bytes number;

        if (a->algorithm == KEY_HMAC256)
                return true; /* it has none, and its envelope says whose it is */
        if (spki_parse(key_attributes_public(a), &algorithm, &number) || number.len > TPM_NUMBER_MAX)
                return false;
        return ends_with(public, algorithm, number, false) || ends_with(public, algorithm, number, true);
}

int tpm_key_open(TpmLink *l, const KeyAttributes *a, Bytes raw, PrivKey **ret)
{
        TpmKey k;
        int r;

        r = tpm_key_parse(raw, &k);
        secret_erase(k.auth, sizeof(k.auth));
        if (!r && !is_public_half(k.blob.public, a))
                r = HF_E_KEY_MISMATCH;
        return r ? r : privkey_from_far(a->algorithm, raw, key_attributes_public(a), use_far, l, ret);
}

/* The answer to TPM_CREATE, and to TPM_ADOPT behind algorithm and use. */
static int take_created(TpmLink *l, const KeyAttributes *a, TpmKey *k, Bytes number, PrivKey **ret)
{
        uint8_t space[PRIVKEY_RAW_MAX];
        Buffer raw = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        KeyAttributes whole = *a;
        size_t len = 0;
        int r = 0;

        if (key_algorithm_info(a->algorithm)->asymmetric)
                r = pubkey_build(a->algorithm, number, whole.public, sizeof(whole.public), &len);
        whole.public_len = (uint16_t)len;
        if (!r)
                r = encode(k, &raw);
        if (!r)
                r = tpm_key_open(l, &whole, buffer_bytes(&raw), ret);
        secret_erase(space, sizeof(space));
        /* A public half that is none, or not that of its own blob. */
        return r == HF_E_INVALID_ARGS || r == HF_E_KEY_MISMATCH || r == -EMSGSIZE ? HF_E_TPM_FAILED : r;
}

static Bytes parent_or_any(const uint8_t parent[static TPM_NAME_SIZE])
{
        static const uint8_t any[TPM_NAME_SIZE];

        return memcmp(parent, any, sizeof(any)) == 0 ? BYTES_NULL : BYTES(parent, TPM_NAME_SIZE);
}

int tpm_key_create(TpmLink *l, const KeyAttributes *a, const uint8_t parent[static TPM_NAME_SIZE], PrivKey **ret)
{
        WireReader reader;
        TpmKey k = {};
        TpmExchange x;
        Bytes number;
        int r;

        if (!algorithms[a->algorithm] || !purposes[a->purpose])
                return HF_E_ALGORITHM_NOT_SUPPORTED;
        random_bytes(k.auth, sizeof(k.auth));
        tpm_begin(&x, TPM_CREATE);
        if (!(r = wire_put_u8(&x.request, algorithms[a->algorithm])) &&
                        !(r = wire_put_u8(&x.request, purposes[a->purpose])) &&
                        !(r = wire_put_raw(&x.request, k.auth, sizeof(k.auth))) &&
                        !(r = wire_put_block(&x.request, parent_or_any(parent))))
                r = use_result(tpm_call(l, &x, TPM_TIMEOUT_CREATE_MS));
        if (!r) {
                reader = wire_reader(x.reply);
                tpm_blob_get(&reader, &k.blob);
                number = wire_get_block(&reader, TPM_NUMBER_MAX);
                r = wire_done(&reader) ? HF_E_TPM_FAILED : take_created(l, a, &k, number, ret);
        }
        tpm_end(&x);
        secret_erase(&k, sizeof(k));
        return r;
}

/* A certificate's public part is the blob's without its length. */
static bool is_certificate_of(Bytes certificate, const TpmBlob *blob)
{
        TpmCertificate c;

        return tpm_certificate_decode(certificate, &c) == 0 && blob->public.len > 2 &&
                bytes_equal(c.key_public, BYTES(blob->public.data + 2, blob->public.len - 2));
}

int tpm_key_certify(TpmLink *l, const PrivKey *k, Bytes nonce, Buffer *ret)
{
        TpmExchange x;
        TpmKey key;
        int r;

        r = tpm_key_parse(privkey_far_raw(k), &key);
        if (r)
                return r;
        tpm_begin(&x, TPM_CERTIFY);
        if (!(r = tpm_blob_put(&x.request, &key.blob)) && !(r = wire_put_raw(&x.request, key.auth, sizeof(key.auth))) &&
                        !(r = wire_put_block(&x.request, nonce)))
                r = use_result(tpm_call(l, &x, TPM_TIMEOUT_CREATE_MS)); /* it may have to make the attestation key */
        if (!r && !is_certificate_of(x.reply, &key.blob))
                r = HF_E_TPM_FAILED;
        if (!r)
                r = wire_put_block(ret, x.reply);
        tpm_end(&x);
        secret_erase(&key, sizeof(key));
        return r;
}

/* Ours by the TPM's names. */
static int find_kind(TpmAlgorithm algorithm, TpmUse use, bool usual, KeyAttributes *a)
{
        KeyAlgorithm found = _KEY_ALGORITHM_INVALID;
        const SchemeInfo *scheme;

        for (KeyAlgorithm i = 1; i < _KEY_ALGORITHM_MAX; i++)
                if (algorithms[i] == algorithm)
                        found = i;
        if (!algorithm || !found)
                return HF_E_ALGORITHM_NOT_SUPPORTED;
        a->algorithm = found;
        for (KeyPurpose p = 1; usual && p < _KEY_PURPOSE_MAX; p++)
                if (purposes[p] == use && p != PURPOSE_ISSUE)
                        a->purpose = p;
        if (purposes[a->purpose] != use || !(key_algorithm_info(found)->purposes & (1u << a->purpose)))
                return HF_E_PURPOSE_NOT_PERMITTED;
        scheme = scheme_info(scheme_usual(found, a->purpose));
        return a->flags & KEY_FLAG_DIGEST && (!scheme || scheme->digest_size == 0) ? HF_E_INVALID_ARGS : 0;
}

static int take_adopted(TpmLink *l, Bytes reply, bool usual, KeyAttributes *a, TpmKey *k, PrivKey **ret)
{
        WireReader reader = wire_reader(reply);
        TpmAlgorithm algorithm;
        Bytes number;
        TpmUse use;
        int r;

        tpm_blob_get(&reader, &k->blob);
        algorithm = wire_get_u8(&reader);
        use = wire_get_u8(&reader);
        number = wire_get_block(&reader, TPM_NUMBER_MAX);
        if (wire_done(&reader) || algorithm >= _TPM_ALGORITHM_MAX || use == _TPM_USE_INVALID || use >= _TPM_USE_MAX)
                return HF_E_TPM_FAILED;
        r = find_kind(algorithm, use, usual, a);
        return r ? r : take_created(l, a, k, number, ret);
}

int tpm_key_adopt(
        TpmLink *l, const Tss2Key *file, Bytes auth, const uint8_t parent[static TPM_NAME_SIZE], bool usual, KeyAttributes *a,
        PrivKey **ret, char ret_detail[static TPM_DETAIL_MAX])
{
        TpmKey k = {};
        TpmExchange x;
        int r;

        random_bytes(k.auth, sizeof(k.auth));
        tpm_begin(&x, TPM_ADOPT);
        if (!(r = wire_put_u32(&x.request, file->parent)) &&
                        !(r = wire_put_block(&x.request, BYTES(file->public, file->public_len))) &&
                        !(r = wire_put_block(&x.request, BYTES(file->private, file->private_len))) &&
                        !(r = wire_put_block(&x.request, auth)) &&
                        !(r = wire_put_raw(&x.request, k.auth, sizeof(k.auth))) &&
                        !(r = wire_put_block(&x.request, parent_or_any(parent))))
                r = tpm_call(l, &x, TPM_TIMEOUT_MS);
        if (r == HF_E_UNLOCK_FAILED)
                strcpy(ret_detail, x.detail);
        else
                r = use_result(r);
        if (!r)
                r = take_adopted(l, x.reply, usual, a, &k, ret);
        tpm_end(&x);
        secret_erase(&k, sizeof(k));
        return r;
}
