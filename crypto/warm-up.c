/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * OpenSSL looks up key managers, signature and exchange algorithms the first time a key needs them, each thread makes
 * its random generator at first use, and the first lookup is the moment for files. So everything happens once here.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/fetched.h"
#include "crypto/privkey.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"

static int warm_up_signing(PrivKey *k, Bytes spki)
{
        SignParams params = {.scheme = scheme_usual(privkey_algorithm(k), PURPOSE_SIGN)};
        uint8_t signature[SIGNATURE_MAX];
        size_t len;
        int r;

        r = privkey_sign(k, &params, bytes_str("warm"), signature, &len);
        return r ? r : pubkey_verify(spki, params.scheme, bytes_str("warm"), BYTES(signature, len));
}

/* Through make, out, in and use, as a key of the store goes. */
static int warm_up_key(KeyAlgorithm algorithm)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL, *again = NULL;
        uint8_t raw[PRIVKEY_RAW_MAX], spki[640], out[64];
        size_t raw_len, spki_len, len;
        int r;

        if ((r = privkey_generate(algorithm, &k)) || (r = privkey_public(k, spki, sizeof(spki), &spki_len)))
                return r;
        r = privkey_to_raw(k, raw, &raw_len);
        if (!r)
                r = privkey_from_raw(algorithm, BYTES(raw, raw_len), BYTES(spki, spki_len), &again);
        secret_erase(raw, sizeof(raw));
        if (!r && scheme_usual(algorithm, PURPOSE_SIGN))
                r = warm_up_signing(again, BYTES(spki, spki_len));
        if (!r && scheme_usual(algorithm, PURPOSE_AGREE))
                r = privkey_agree(again, BYTES(spki, spki_len), BYTES_NULL, BYTES_NULL, out, 32);
        if (!r && algorithm == KEY_HMAC256)
                r = privkey_mac(again, bytes_str("warm"), out);
        if (!r && algorithm == KEY_AES256)
                r = privkey_seal(again, bytes_str("warm"), BYTES_NULL, out, sizeof(out), &len);
        return r;
}

static bool use_rsa(EVP_PKEY *pkey, EVP_PKEY_CTX *sign, EVP_PKEY_CTX *decrypt)
{
        uint8_t out[256], digest[32] = {};
        size_t len = sizeof(out);

        if (!sign || EVP_PKEY_sign_init(sign) <= 0 || EVP_PKEY_CTX_set_rsa_padding(sign, RSA_PKCS1_PSS_PADDING) <= 0 ||
                        EVP_PKEY_CTX_set_signature_md(sign, fetched()->sha256) <= 0 ||
                        EVP_PKEY_sign(sign, out, &len, digest, sizeof(digest)) <= 0)
                return false;
        if (!decrypt || EVP_PKEY_decrypt_init(decrypt) <= 0 ||
                        EVP_PKEY_CTX_set_rsa_padding(decrypt, RSA_PKCS1_OAEP_PADDING) <= 0)
                return false;
        /* Not a ciphertext: that it fails is right, that it was tried is enough. */
        len = sizeof(out);
        (void)EVP_PKEY_decrypt(decrypt, out, &len, out, (size_t)EVP_PKEY_get_size(pkey));
        return true;
}

/* A small throw-away key, since making a real one takes a second. */
static int warm_up_rsa(void)
{
        EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
        EVP_PKEY_CTX *sign, *decrypt;
        bool ok;

        if (!pkey)
                return openssl_failed(HF_E_INTERNAL);
        sign = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        decrypt = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        ok = use_rsa(pkey, sign, decrypt);
        EVP_PKEY_CTX_free(sign);
        EVP_PKEY_CTX_free(decrypt);
        EVP_PKEY_free(pkey);
        return openssl_failed(ok ? 0 : HF_E_INTERNAL);
}

/* A far key's padding and its check of what came back. There is nobody to ask, so that no signature comes of it is
 * right. */
static int echo(void *userdata, Bytes raw, FarOp op, Bytes data, uint8_t *ret, size_t size)
{
        (void)userdata, (void)raw, (void)op;
        memset(ret, 0, size);
        memcpy(ret, data.data, data.len < size ? data.len : size);
        return 0;
}

static int warm_up_far(void)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        uint8_t spki[640], number[256] = {0xff}, out[SIGNATURE_MAX];
        SignParams params = {.scheme = SCHEME_PS256};
        size_t len;
        int r;

        number[sizeof(number) - 1] = 1;
        r = spki_build(KEY_RSA2048, BYTES_ARRAY(number), spki, sizeof(spki), &len);
        if (!r)
                r = privkey_from_far(KEY_RSA2048, bytes_str("warm"), BYTES(spki, len), echo, NULL, &k);
        if (r)
                return r;
        number[0] = 0;
        return privkey_sign(k, &params, bytes_str("warm"), out, &len) == HF_E_TPM_FAILED &&
                        privkey_decrypt(k, BYTES_ARRAY(number), BYTES_NULL, out, sizeof(out), &len) == HF_E_DECRYPT_FAILED
                ? 0
                : HF_E_INTERNAL;
}

int crypto_warm_up(void)
{
        static const KeyAlgorithm algorithms[] = {
                KEY_P256, KEY_P384, KEY_ED25519, KEY_X25519, KEY_HMAC256, KEY_AES256,
        };
        uint8_t digest[DIGEST_SIZE];

        digest_sha256(BYTES_NULL, digest);
        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++)
                if (warm_up_key(algorithms[i]))
                        return HF_E_INTERNAL;
        return warm_up_far() ? HF_E_INTERNAL : warm_up_rsa();
}
