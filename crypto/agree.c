/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Key agreement: ECDH (SP 800-56A) or X25519 (RFC 7748), then HKDF-SHA256 (RFC 5869). The raw secret is never given
 * out: with it, a caller could use the key as an oracle for other protocols, and it is not uniform.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/fetched.h"
#include "crypto/spki.h"

#define SECRET_MAX 48
#define INFO_MAX 1024 /* OpenSSL keeps info in a buffer of its own */
#define OUTPUT_MAX (255 * 32)

static int shared_secret(const PrivKey *k, EVP_PKEY *peer, uint8_t ret[static SECRET_MAX], size_t *ret_len)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        size_t len = SECRET_MAX;
        int r = 0;

        /* The peer's point was checked when it was loaded, and the cofactor of these curves is 1. */
        if (!ctx || EVP_PKEY_derive_init(ctx) <= 0)
                r = HF_E_INTERNAL;
        else if (EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) <= 0 || EVP_PKEY_derive(ctx, ret, &len) <= 0)
                r = HF_E_INVALID_ARGS;
        EVP_PKEY_CTX_free(ctx);
        if (!r)
                *ret_len = len;
        return r;
}

static int hkdf(Bytes secret, Bytes salt, Bytes info, uint8_t *ret, size_t len)
{
        EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(fetched()->hkdf);
        OSSL_PARAM params[5], *p = params;
        int ok;

        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA2-256", 0);
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret.data, secret.len);
        if (salt.len > 0)
                *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt.data, salt.len);
        if (info.len > 0)
                *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info.data, info.len);
        *p = OSSL_PARAM_construct_end();
        ok = ctx && EVP_KDF_derive(ctx, ret, len, params) > 0;
        EVP_KDF_CTX_free(ctx);
        return ok ? 0 : HF_E_INTERNAL;
}

int privkey_agree(PrivKey *k, Bytes peer_spki, Bytes salt, Bytes info, uint8_t *ret, size_t len)
{
        uint8_t secret[SECRET_MAX];
        EVP_PKEY *peer = NULL;
        size_t secret_len = 0;
        KeyAlgorithm a;
        int r;

        if (scheme_check(SCHEME_ECDH_HKDF_256, k->algorithm, PURPOSE_AGREE))
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (len == 0 || len > OUTPUT_MAX || salt.len > INFO_MAX || info.len > INFO_MAX)
                return HF_E_INVALID_ARGS;
        r = spki_load(peer_spki, &a, &peer);
        if (r)
                return r;
        if (a != k->algorithm)
                r = HF_E_INVALID_ARGS;
        else if (k->far)
                r = far_secret(k, peer_spki, secret, &secret_len);
        else
                r = shared_secret(k, peer, secret, &secret_len);
        EVP_PKEY_free(peer);
        if (!r)
                r = hkdf(BYTES(secret, secret_len), salt, info, ret, len);
        OPENSSL_cleanse(secret, sizeof(secret));
        return r ? openssl_failed(r) : 0;
}
