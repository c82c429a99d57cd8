/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ed25519 and X25519: 32 bytes private (the seed of RFC 8032, the scalar of RFC 7748), 32 bytes public. */
#include "base/error.h"
#include "crypto/family.h"
#include "crypto/spki.h"

#define SIZE 32

static const char *type_name(const PrivKey *k)
{
        return k->algorithm == KEY_ED25519 ? "ED25519" : "X25519";
}

static int okp_set_public(PrivKey *k)
{
        uint8_t public[SIZE];
        size_t len = sizeof(public);

        if (EVP_PKEY_get_raw_public_key(k->pkey, public, &len) <= 0)
                return HF_E_INTERNAL;
        return spki_build(k->algorithm, BYTES(public, len), k->spki, sizeof(k->spki), &k->spki_len);
}

static int okp_generate(PrivKey *k)
{
        k->pkey = EVP_PKEY_Q_keygen(NULL, NULL, type_name(k));
        return k->pkey ? 0 : HF_E_INTERNAL;
}

/* OpenSSL computes the public half from the private one, so comparing it is the whole check. */
static int okp_from_raw(PrivKey *k, Bytes raw, Bytes spki)
{
        int r;

        if (raw.len != SIZE)
                return HF_E_INVALID_ARGS;
        k->pkey = EVP_PKEY_new_raw_private_key_ex(NULL, type_name(k), NULL, raw.data, raw.len);
        if (!k->pkey)
                return HF_E_INTERNAL;
        r = okp_set_public(k);
        if (r)
                return r;
        return bytes_equal(BYTES(k->spki, k->spki_len), spki) ? 0 : HF_E_KEY_MISMATCH;
}

static int okp_to_raw(const PrivKey *k, uint8_t *ret, size_t *ret_len)
{
        size_t len = SIZE;

        if (EVP_PKEY_get_raw_private_key(k->pkey, ret, &len) <= 0 || len != SIZE)
                return HF_E_INTERNAL;
        *ret_len = len;
        return 0;
}

const PrivFamily family_okp = {
        .algorithms = 1u << KEY_ED25519 | 1u << KEY_X25519,
        .generate = okp_generate,
        .set_public = okp_set_public,
        .from_raw = okp_from_raw,
        .to_raw = okp_to_raw,
        .whole_messages = true,
};
