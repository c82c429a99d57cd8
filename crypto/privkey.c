/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The coordinator: finds the family, checks scheme and sizes, and keeps the contexts that are worth keeping. What
 * OpenSSL says about a failure stops here: it could hold the reason a decryption failed.
 */
#include "crypto/privkey.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/fetched.h"
#include "crypto/number.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"

static const PrivFamily *const families[] = {&family_ec, &family_okp, &family_rsa, &family_symmetric};

int privkey_new(KeyAlgorithm algorithm, PrivKey **ret)
{
        PrivKey *k;

        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                if (!key_algorithm_info(algorithm) || !(families[i]->algorithms & (1u << algorithm)))
                        continue;
                k = OPENSSL_zalloc(sizeof(*k));
                if (!k)
                        return -ENOMEM;
                k->algorithm = algorithm;
                k->family = families[i];
                *ret = k;
                return 0;
        }
        return HF_E_ALGORITHM_NOT_SUPPORTED;
}

PrivKey *privkey_free(PrivKey *k)
{
        if (!k)
                return NULL;
        for (Scheme s = 0; s < _SCHEME_MAX; s++)
                EVP_PKEY_CTX_free(k->sign[s]);
        EVP_MD_CTX_free(k->hash);
        EVP_MD_CTX_free(k->message);
        EVP_MAC_CTX_free(k->mac);
        EVP_CIPHER_CTX_free(k->seal);
        EVP_CIPHER_CTX_free(k->unseal);
        OPENSSL_clear_free(k->bytes, 32);
        EVP_PKEY_free(k->pkey);
        far_free(k->far);
        OPENSSL_free(k);
        return NULL;
}

int privkey_generate(KeyAlgorithm algorithm, PrivKey **ret)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        int r;

        r = privkey_new(algorithm, &k);
        if (r)
                return r;
        r = k->family->generate(k);
        if (!r && k->family->set_public)
                r = k->family->set_public(k);
        if (r)
                return openssl_failed(r);
        *ret = TAKE_PTR(k);
        return 0;
}

int privkey_from_raw(KeyAlgorithm algorithm, Bytes raw, Bytes spki, PrivKey **ret)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        KeyAlgorithm named;
        Bytes body;
        int r;

        r = privkey_new(algorithm, &k);
        if (r)
                return r;
        if (key_algorithm_info(algorithm)->asymmetric && (spki_parse(spki, &named, &body) || named != algorithm))
                return HF_E_KEY_MISMATCH;
        if (!key_algorithm_info(algorithm)->asymmetric && spki.len > 0)
                return HF_E_KEY_MISMATCH;
        r = k->family->from_raw(k, raw, spki);
        if (r)
                return openssl_failed(r);
        *ret = TAKE_PTR(k);
        return 0;
}

int privkey_to_raw(const PrivKey *k, uint8_t ret[static PRIVKEY_RAW_MAX], size_t *ret_len)
{
        int r;

        if (k->far) {
                memcpy(ret, k->far->raw, k->far->raw_len);
                *ret_len = k->far->raw_len;
                return 0;
        }
        r = k->family->to_raw(k, ret, ret_len);
        return r ? openssl_failed(r) : 0;
}

int privkey_public(const PrivKey *k, uint8_t *ret, size_t size, size_t *ret_len)
{
        if (size < k->spki_len)
                return HF_E_INVALID_ARGS;
        memcpy(ret, k->spki, k->spki_len);
        *ret_len = k->spki_len;
        return 0;
}

int privkey_dup(const PrivKey *k, PrivKey **ret)
{
        _cleanup_(privkey_freep) PrivKey *copy = NULL;
        int r;

        r = privkey_new(k->algorithm, &copy);
        if (r)
                return r;
        if (k->bytes && !(copy->bytes = OPENSSL_memdup(k->bytes, 32)))
                return -ENOMEM;
        if (k->pkey && !EVP_PKEY_up_ref(k->pkey))
                return openssl_failed(HF_E_INTERNAL);
        copy->pkey = k->pkey;
        r = k->far ? far_dup(k, copy) : 0;
        if (r)
                return openssl_failed(r);
        copy->spki_len = k->spki_len;
        memcpy(copy->spki, k->spki, k->spki_len);
        *ret = TAKE_PTR(copy);
        return 0;
}

KeyAlgorithm privkey_algorithm(const PrivKey *k)
{
        return k->algorithm;
}

int pkey_get_number(const EVP_PKEY *pkey, const char *name, uint8_t *ret, size_t len)
{
        uint8_t native[512];
        OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(name, native, len), OSSL_PARAM_END};
        int ok;

        ok = len <= sizeof(native) && EVP_PKEY_get_params(pkey, params) > 0;
        if (ok) {
                /* Where the number is shorter than the buffer, OpenSSL may have written its short form. */
                if (params[0].return_size <= len)
                        memset(native + params[0].return_size, 0, len - params[0].return_size);
                number_native(BYTES(native, len), ret);
        }
        OPENSSL_cleanse(native, sizeof(native));
        return ok ? 0 : HF_E_INTERNAL;
}

int pkey_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **ret)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        int ok;

        ok = ctx && EVP_PKEY_fromdata_init(ctx) > 0 && EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_KEYPAIR, params) > 0;
        EVP_PKEY_CTX_free(ctx);
        return ok ? 0 : HF_E_INVALID_ARGS;
}

static int signing_context(PrivKey *k, Scheme s, EVP_PKEY_CTX **ret)
{
        EVP_PKEY_CTX *ctx;

        if (!k->sign[s]) {
                ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
                if (!ctx || EVP_PKEY_sign_init(ctx) <= 0 ||
                                (k->family->prepare_sign && k->family->prepare_sign(ctx, s))) {
                        EVP_PKEY_CTX_free(ctx);
                        return HF_E_INTERNAL;
                }
                k->sign[s] = ctx;
        }
        *ret = k->sign[s];
        return 0;
}

static int hash_message(PrivKey *k, Scheme s, Bytes message, uint8_t ret[static EVP_MAX_MD_SIZE])
{
        if (!k->hash && !(k->hash = EVP_MD_CTX_new()))
                return -ENOMEM;
        if (!EVP_DigestInit_ex2(k->hash, fetched_digest(s), NULL) ||
                        !EVP_DigestUpdate(k->hash, message.data, message.len) ||
                        !EVP_DigestFinal_ex(k->hash, ret, NULL))
                return HF_E_INTERNAL;
        return 0;
}

static int sign_digest(PrivKey *k, Scheme s, Bytes digest, uint8_t *ret, size_t *ret_len)
{
        EVP_PKEY_CTX *ctx;
        size_t len = SIGNATURE_MAX;
        int r;

        if (k->far)
                return far_sign_digest(k, s, digest, ret, ret_len);
        r = signing_context(k, s, &ctx);
        if (r)
                return r;
        /* Without memory ECDSA is told to have been done, with a length of -1. */
        if (EVP_PKEY_sign(ctx, ret, &len, digest.data, digest.len) <= 0 || len > SIGNATURE_MAX)
                return HF_E_INTERNAL;
        *ret_len = len;
        return 0;
}

static int sign_whole(PrivKey *k, Bytes message, uint8_t *ret, size_t *ret_len)
{
        size_t len = SIGNATURE_MAX;

        if (!k->message && !(k->message = EVP_MD_CTX_new()))
                return -ENOMEM;
        if (EVP_DigestSignInit_ex(k->message, NULL, NULL, NULL, NULL, k->pkey, NULL) <= 0 ||
                        EVP_DigestSign(k->message, ret, &len, message.data, message.len) <= 0 || len > SIGNATURE_MAX)
                return HF_E_INTERNAL;
        *ret_len = len;
        return 0;
}

static int to_p1363(const PrivKey *k, uint8_t signature[static SIGNATURE_MAX], size_t *len)
{
        size_t size = key_algorithm_info(k->algorithm)->bits / 8;
        uint8_t flat[2 * 48];
        int r;

        r = ecdsa_der_to_p1363(BYTES(signature, *len), size, flat);
        if (r)
                return HF_E_INTERNAL;
        memcpy(signature, flat, 2 * size);
        *len = 2 * size;
        return 0;
}

int privkey_sign(PrivKey *k, const SignParams *params, Bytes input, uint8_t ret[static SIGNATURE_MAX], size_t *ret_len)
{
        uint8_t digest[EVP_MAX_MD_SIZE], signature[SIGNATURE_MAX];
        size_t len;
        int r;

        /* A signing scheme has purpose sign, whatever the key's purpose: that is the caller's to check. */
        if (scheme_check(params->scheme, k->algorithm, PURPOSE_SIGN) || (params->digest && k->family->whole_messages))
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (params->digest && input.len != scheme_info(params->scheme)->digest_size)
                return HF_E_INVALID_ARGS;

        if (k->family->whole_messages) {
                r = sign_whole(k, input, signature, &len);
        } else if (params->digest) {
                r = sign_digest(k, params->scheme, input, signature, &len);
        } else {
                r = hash_message(k, params->scheme, input, digest);
                if (!r)
                        r = sign_digest(k, params->scheme,
                                        BYTES(digest, scheme_info(params->scheme)->digest_size), signature, &len);
        }
        if (!r && params->p1363 && k->family == &family_ec)
                r = to_p1363(k, signature, &len);
        if (r)
                return openssl_failed(r);
        memcpy(ret, signature, len);
        *ret_len = len;
        return 0;
}
