/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* P-256 and P-384. The raw form is the scalar, big-endian, as long as the curve's order. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/number.h"
#include "crypto/spki.h"

#define SCALAR_MAX 48

static const char *group_name(const PrivKey *k)
{
        return k->algorithm == KEY_P256 ? "P-256" : "P-384";
}

static size_t scalar_size(const PrivKey *k)
{
        return key_algorithm_info(k->algorithm)->bits / 8;
}

static int ec_set_public(PrivKey *k)
{
        uint8_t point[1 + 2 * SCALAR_MAX];
        size_t len;

        if (EVP_PKEY_get_octet_string_param(k->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) <= 0 ||
                        len != 1 + 2 * scalar_size(k) || point[0] != 0x04)
                return HF_E_INTERNAL;
        return spki_build(k->algorithm, BYTES(point + 1, len - 1), k->spki, sizeof(k->spki), &k->spki_len);
}

static int ec_generate(PrivKey *k)
{
        k->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group_name(k));
        return k->pkey ? 0 : HF_E_INTERNAL;
}

/* The range of the scalar and that the public point is its multiple of the generator. */
static int check_pair(const PrivKey *k)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        int r = 0;

        if (!ctx)
                r = HF_E_INTERNAL;
        else if (EVP_PKEY_private_check(ctx) <= 0)
                r = HF_E_INVALID_ARGS;
        else if (EVP_PKEY_pairwise_check(ctx) <= 0)
                r = HF_E_KEY_MISMATCH;
        EVP_PKEY_CTX_free(ctx);
        return r;
}

static int ec_from_raw(PrivKey *k, Bytes raw, Bytes spki)
{
        size_t size = scalar_size(k), point = 1 + 2 * size;
        uint8_t scalar[SCALAR_MAX];
        char *group = (char *)group_name(k);
        OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, strlen(group)),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(spki.data + spki.len - point), point),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar, size),
                OSSL_PARAM_END,
        };
        int r;

        if (raw.len != size)
                return HF_E_INVALID_ARGS;
        number_native(raw, scalar);
        r = pkey_from_params("EC", params, &k->pkey);
        OPENSSL_cleanse(scalar, sizeof(scalar));
        if (r)
                return r;
        memcpy(k->spki, spki.data, spki.len);
        k->spki_len = spki.len;
        return check_pair(k);
}

static int ec_to_raw(const PrivKey *k, uint8_t *ret, size_t *ret_len)
{
        int r = pkey_get_number(k->pkey, OSSL_PKEY_PARAM_PRIV_KEY, ret, scalar_size(k));

        if (!r)
                *ret_len = scalar_size(k);
        return r;
}

const PrivFamily family_ec = {
        .algorithms = 1u << KEY_P256 | 1u << KEY_P384,
        .generate = ec_generate,
        .set_public = ec_set_public,
        .from_raw = ec_from_raw,
        .to_raw = ec_to_raw,
};
