/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys for data: 32 random bytes for HMAC-SHA256 (RFC 2104) or AES-256-GCM (NIST SP 800-38D). */
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/fetched.h"

#define SIZE 32
#define NONCE 12
#define TAG 16

_Static_assert(NONCE + TAG == SEAL_OVERHEAD, "nonce in front, tag behind");

static int symmetric_generate(PrivKey *k)
{
        k->bytes = OPENSSL_malloc(SIZE);
        if (!k->bytes)
                return -ENOMEM;
        return RAND_priv_bytes(k->bytes, SIZE) > 0 ? 0 : HF_E_INTERNAL;
}

static int symmetric_from_raw(PrivKey *k, Bytes raw, Bytes spki)
{
        (void)spki;
        if (raw.len != SIZE)
                return HF_E_INVALID_ARGS;
        k->bytes = OPENSSL_memdup(raw.data, SIZE);
        return k->bytes ? 0 : -ENOMEM;
}

static int symmetric_to_raw(const PrivKey *k, uint8_t *ret, size_t *ret_len)
{
        memcpy(ret, k->bytes, SIZE);
        *ret_len = SIZE;
        return 0;
}

const PrivFamily family_symmetric = {
        .algorithms = 1u << KEY_HMAC256 | 1u << KEY_AES256,
        .generate = symmetric_generate,
        .from_raw = symmetric_from_raw,
        .to_raw = symmetric_to_raw,
};

static int mac_context(PrivKey *k)
{
        OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA2-256", 8),
                OSSL_PARAM_END,
        };
        EVP_MAC_CTX *ctx;

        if (k->mac)
                return EVP_MAC_init(k->mac, NULL, 0, NULL) > 0 ? 0 : HF_E_INTERNAL;
        ctx = EVP_MAC_CTX_new(fetched()->hmac);
        if (!ctx || EVP_MAC_init(ctx, k->bytes, SIZE, params) <= 0) {
                EVP_MAC_CTX_free(ctx);
                return HF_E_INTERNAL;
        }
        k->mac = ctx;
        return 0;
}

int privkey_mac(PrivKey *k, Bytes message, uint8_t ret[static 32])
{
        size_t len;
        int r;

        if (k->algorithm != KEY_HMAC256)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (k->far)
                return far_mac(k, message, ret);
        r = mac_context(k);
        if (!r && (EVP_MAC_update(k->mac, message.data, message.len) <= 0 || EVP_MAC_final(k->mac, ret, &len, 32) <= 0))
                r = HF_E_INTERNAL;
        return r ? openssl_failed(r) : 0;
}

static EVP_CIPHER_CTX *cipher_context(const PrivKey *k, EVP_CIPHER_CTX **keep, int encrypt)
{
        if (*keep)
                return *keep;
        *keep = EVP_CIPHER_CTX_new();
        if (*keep && EVP_CipherInit_ex2(*keep, fetched()->aes256gcm, k->bytes, NULL, encrypt, NULL) <= 0) {
                EVP_CIPHER_CTX_free(*keep);
                *keep = NULL;
        }
        return *keep;
}

/* Everything but the tag: new nonce, associated data, then the text itself. */
static bool cipher_run(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, Bytes aad, Bytes in, uint8_t *ret)
{
        uint8_t nothing[TAG];
        int n;

        if (!ctx || EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, -1, NULL) <= 0)
                return false;
        if (aad.len > 0 && EVP_CipherUpdate(ctx, NULL, &n, aad.data, (int)aad.len) <= 0)
                return false;
        return in.len == 0 ? EVP_CipherUpdate(ctx, nothing, &n, nothing, 0) > 0
                           : EVP_CipherUpdate(ctx, ret, &n, in.data, (int)in.len) > 0;
}

int privkey_seal(PrivKey *k, Bytes plain, Bytes aad, uint8_t *ret, size_t size, size_t *ret_len)
{
        EVP_CIPHER_CTX *ctx;
        uint8_t rest[TAG], *tag;
        int n;

        if (k->algorithm != KEY_AES256)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (plain.len > INT_MAX - SEAL_OVERHEAD || aad.len > INT_MAX || size < plain.len + SEAL_OVERHEAD)
                return HF_E_INVALID_ARGS;
        tag = ret + NONCE + plain.len;
        ctx = cipher_context(k, &k->seal, 1);
        if (RAND_bytes(ret, NONCE) <= 0 || !cipher_run(ctx, ret, aad, plain, ret + NONCE) ||
                        EVP_CipherFinal_ex(ctx, rest, &n) <= 0 ||
                        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, tag) <= 0)
                return openssl_failed(HF_E_INTERNAL);
        *ret_len = plain.len + SEAL_OVERHEAD;
        return 0;
}

int privkey_unseal(PrivKey *k, Bytes sealed, Bytes aad, uint8_t *ret, size_t size, size_t *ret_len)
{
        EVP_CIPHER_CTX *ctx;
        uint8_t rest[TAG];
        Bytes text;
        int n;

        if (k->algorithm != KEY_AES256)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (sealed.len < SEAL_OVERHEAD)
                return HF_E_DECRYPT_FAILED;
        text = BYTES(sealed.data + NONCE, sealed.len - SEAL_OVERHEAD);
        if (text.len > INT_MAX || aad.len > INT_MAX || size < text.len)
                return HF_E_INVALID_ARGS;
        ctx = cipher_context(k, &k->unseal, 0);
        if (!cipher_run(ctx, sealed.data, aad, text, ret) ||
                        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(text.data + text.len)) <= 0 ||
                        EVP_CipherFinal_ex(ctx, rest, &n) <= 0) {
                /* Nothing that was not authentic may be seen. */
                if (text.len > 0)
                        OPENSSL_cleanse(ret, text.len);
                return openssl_failed(HF_E_DECRYPT_FAILED);
        }
        *ret_len = text.len;
        return 0;
}
