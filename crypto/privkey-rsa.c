/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * RSA. The raw form is eight blocks, n, e, d, p, q, dP, dQ, qInv (RFC 8017 section 3.2), each as long as its size
 * allows at most, so that a key of one size has a raw form of one length. All relations between the eight are
 * checked on the way in: with a wrong dP or qInv, a single signature would give away the primes.
 */
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "base/error.h"
#include "base/wire.h"
#include "crypto/family.h"
#include "crypto/fetched.h"
#include "crypto/number.h"
#include "crypto/rsa-check.h"
#include "crypto/spki.h"

#define MODULUS_MAX 512
#define NATIVE_MAX (MODULUS_MAX * 9 / 2 + 3)

static const char *const names[RSA_PARTS] = {
        [RSA_N] = OSSL_PKEY_PARAM_RSA_N,         [RSA_E] = OSSL_PKEY_PARAM_RSA_E,
        [RSA_D] = OSSL_PKEY_PARAM_RSA_D,         [RSA_P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
        [RSA_Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,   [RSA_DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
        [RSA_DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2, [RSA_QINV] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

static size_t part_size(const PrivKey *k, RsaPart part)
{
        size_t n = key_algorithm_info(k->algorithm)->bits / 8;

        return part == RSA_E ? 3 : part == RSA_N || part == RSA_D ? n : n / 2;
}

static int rsa_generate(PrivKey *k)
{
        size_t bits = key_algorithm_info(k->algorithm)->bits;

        k->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
        return k->pkey ? 0 : HF_E_INTERNAL;
}

static int rsa_set_public(PrivKey *k)
{
        size_t bits = key_algorithm_info(k->algorithm)->bits;
        uint8_t n[MODULUS_MAX];
        int r;

        r = pkey_get_number(k->pkey, OSSL_PKEY_PARAM_RSA_N, n, bits / 8);
        return r ? r : spki_build(k->algorithm, BYTES(n, bits / 8), k->spki, sizeof(k->spki), &k->spki_len);
}

int rsa_parse_raw(const PrivKey *k, Bytes raw, Bytes ret[static RSA_PARTS])
{
        WireReader reader = wire_reader(raw);

        for (RsaPart i = 0; i < RSA_PARTS; i++) {
                ret[i] = wire_get_block(&reader, MODULUS_MAX);
                if (ret[i].len != part_size(k, i))
                        return HF_E_INVALID_ARGS;
        }
        return wire_done(&reader);
}

static int load_parts(const Bytes parts[static RSA_PARTS], EVP_PKEY **ret)
{
        OSSL_PARAM params[RSA_PARTS + 1];
        uint8_t *native, *at;
        int r;

        native = at = OPENSSL_malloc(NATIVE_MAX);
        if (!native)
                return -ENOMEM;
        for (RsaPart i = 0; i < RSA_PARTS; i++) {
                number_native(parts[i], at);
                params[i] = OSSL_PARAM_construct_BN(names[i], at, parts[i].len);
                at += parts[i].len;
        }
        params[RSA_PARTS] = OSSL_PARAM_construct_end();
        r = pkey_from_params("RSA", params, ret);
        OPENSSL_clear_free(native, NATIVE_MAX);
        return r;
}

static int rsa_from_raw(PrivKey *k, Bytes raw, Bytes spki)
{
        Bytes parts[RSA_PARTS], modulus;
        KeyAlgorithm a;
        int r;

        r = rsa_parse_raw(k, raw, parts);
        if (r)
                return r;
        r = spki_parse(spki, &a, &modulus);
        if (r || !bytes_equal(modulus, parts[RSA_N]) || memcmp(parts[RSA_E].data, "\x01\x00\x01", 3) != 0)
                return HF_E_KEY_MISMATCH;
        r = rsa_check_whole(parts);
        if (r)
                return r;
        memcpy(k->spki, spki.data, spki.len);
        k->spki_len = spki.len;
        return load_parts(parts, &k->pkey);
}

static int rsa_to_raw(const PrivKey *k, uint8_t *ret, size_t *ret_len)
{
        uint8_t *at = ret;
        int r;

        for (RsaPart i = 0; i < RSA_PARTS; i++) {
                size_t n = part_size(k, i);

                at[0] = (uint8_t)n;
                at[1] = (uint8_t)(n >> 8);
                at[2] = at[3] = 0;
                r = pkey_get_number(k->pkey, names[i], at + 4, n);
                if (r) {
                        OPENSSL_cleanse(ret, PRIVKEY_RAW_MAX);
                        return r;
                }
                at += 4 + n;
        }
        *ret_len = (size_t)(at - ret);
        return 0;
}

static int rsa_prepare_sign(EVP_PKEY_CTX *ctx, Scheme s)
{
        bool pss = s == SCHEME_PS256 || s == SCHEME_PS384 || s == SCHEME_PS512;

        if (EVP_PKEY_CTX_set_rsa_padding(ctx, pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) <= 0 ||
                        EVP_PKEY_CTX_set_signature_md(ctx, fetched_digest(s)) <= 0)
                return HF_E_INTERNAL;
        if (pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) <= 0)
                return HF_E_INTERNAL;
        return 0;
}

const PrivFamily family_rsa = {
        .algorithms = 1u << KEY_RSA2048 | 1u << KEY_RSA3072 | 1u << KEY_RSA4096,
        .generate = rsa_generate,
        .set_public = rsa_set_public,
        .from_raw = rsa_from_raw,
        .to_raw = rsa_to_raw,
        .prepare_sign = rsa_prepare_sign,
};

/* A context per call: the label differs, and 5 us are nothing beside the millisecond that follows. */
static EVP_PKEY_CTX *oaep_context(const PrivKey *k, Bytes label)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        void *copy = label.len > 0 ? OPENSSL_memdup(label.data, label.len) : NULL;

        if (!ctx || (label.len > 0 && !copy) || EVP_PKEY_decrypt_init(ctx) <= 0 ||
                        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) <= 0 ||
                        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, fetched()->sha256) <= 0 ||
                        EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, fetched()->sha256) <= 0 ||
                        (copy && EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, copy, (int)label.len) <= 0)) {
                OPENSSL_free(copy);
                EVP_PKEY_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}

#define LABEL_MAX 4096

int privkey_decrypt(PrivKey *k, Bytes ciphertext, Bytes label, uint8_t *ret, size_t size, size_t *ret_len)
{
        uint8_t plain[MODULUS_MAX];
        size_t len = sizeof(plain);
        EVP_PKEY_CTX *ctx;
        int r = 0;

        if (k->family != &family_rsa)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (label.len > LABEL_MAX || ciphertext.len != part_size(k, RSA_N))
                return HF_E_DECRYPT_FAILED;
        if (k->far)
                return far_decrypt(k, ciphertext, label, ret, size, ret_len);
        ctx = oaep_context(k, label);
        if (!ctx)
                return openssl_failed(-ENOMEM);
        if (EVP_PKEY_decrypt(ctx, plain, &len, ciphertext.data, ciphertext.len) <= 0 || len > size)
                r = HF_E_DECRYPT_FAILED;
        EVP_PKEY_CTX_free(ctx);
        if (!r) {
                memcpy(ret, plain, len);
                *ret_len = len;
        }
        OPENSSL_cleanse(plain, sizeof(plain));
        return r ? openssl_failed(r) : 0;
}
