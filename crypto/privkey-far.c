/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keys whose private half is in a TPM. That half does the one exponentiation or multiplication and nothing else, so
 * that such a key speaks the same schemes as a software key: TPMs, for one, choose the length of a PSS salt
 * themselves. What comes back is not believed: a faulty or hostile TPM must not give a wrong signature away.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* the padding alone has no other interface */
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/rsa.h>

#include "base/error.h"
#include "crypto/family.h"
#include "crypto/fetched.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"

#define FAR_ALGORITHMS (1u << KEY_P256 | 1u << KEY_P384 | 1u << KEY_RSA2048 | 1u << KEY_RSA3072 | 1u << KEY_HMAC256)

PrivFar *far_free(PrivFar *f)
{
        if (!f)
                return NULL;
        for (Scheme s = 0; s < _SCHEME_MAX; s++)
                EVP_PKEY_CTX_free(f->verify[s]);
        OPENSSL_clear_free(f, sizeof(*f) + f->raw_len);
        return NULL;
}

static int far_new(Bytes raw, FarFunction use, void *userdata, PrivFar **ret)
{
        PrivFar *f = OPENSSL_zalloc(sizeof(*f) + raw.len);

        if (!f)
                return -ENOMEM;
        f->use = use;
        f->userdata = userdata;
        f->raw_len = raw.len;
        memcpy(f->raw, raw.data, raw.len);
        *ret = f;
        return 0;
}

int far_dup(const PrivKey *k, PrivKey *copy)
{
        return far_new(BYTES(k->far->raw, k->far->raw_len), k->far->use, k->far->userdata, &copy->far);
}

static int set_public(PrivKey *k, Bytes spki)
{
        KeyAlgorithm a;
        int r;

        if (!key_algorithm_info(k->algorithm)->asymmetric)
                return spki.len == 0 ? 0 : HF_E_KEY_MISMATCH;
        r = spki_load(spki, &a, &k->pkey);
        if (r)
                return r == HF_E_INVALID_ARGS ? HF_E_KEY_MISMATCH : r;
        if (a != k->algorithm)
                return HF_E_KEY_MISMATCH;
        memcpy(k->spki, spki.data, spki.len);
        k->spki_len = spki.len;
        return 0;
}

int privkey_from_far(KeyAlgorithm algorithm, Bytes raw, Bytes spki, FarFunction use, void *userdata, PrivKey **ret)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        int r;

        if (!key_algorithm_info(algorithm) || !(FAR_ALGORITHMS & 1u << algorithm))
                return HF_E_ALGORITHM_NOT_SUPPORTED;
        if (raw.len == 0 || raw.len > PRIVKEY_RAW_MAX)
                return HF_E_INVALID_ARGS;
        r = privkey_new(algorithm, &k);
        if (!r)
                r = set_public(k, spki);
        if (!r)
                r = far_new(raw, use, userdata, &k->far);
        if (r)
                return openssl_failed(r);
        *ret = TAKE_PTR(k);
        return 0;
}

Bytes privkey_far_raw(const PrivKey *k)
{
        return k->far ? BYTES(k->far->raw, k->far->raw_len) : BYTES_NULL;
}

static int ask(const PrivKey *k, FarOp op, Bytes data, uint8_t *ret, size_t size)
{
        return k->far->use(k->far->userdata, BYTES(k->far->raw, k->far->raw_len), op, data, ret, size);
}

static size_t key_bytes(const PrivKey *k)
{
        return key_algorithm_info(k->algorithm)->bits / 8;
}

/* The public half as it lies in the SPKI: x || y, or n. */
static Bytes public_number(const PrivKey *k)
{
        KeyAlgorithm a;
        Bytes body = BYTES_NULL;

        (void)spki_parse(BYTES(k->spki, k->spki_len), &a, &body);
        return body;
}

static bool is_pss(Scheme s)
{
        return s == SCHEME_PS256 || s == SCHEME_PS384 || s == SCHEME_PS512;
}

static int verify_context(const PrivKey *k, Scheme s, EVP_PKEY_CTX **ret)
{
        EVP_PKEY_CTX *ctx = k->far->verify[s];

        if (!ctx) {
                ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
                if (!ctx || EVP_PKEY_verify_init(ctx) <= 0 ||
                                (k->family->prepare_sign && k->family->prepare_sign(ctx, s))) {
                        EVP_PKEY_CTX_free(ctx);
                        return HF_E_INTERNAL;
                }
                k->far->verify[s] = ctx;
        }
        *ret = ctx;
        return 0;
}

static int verify(const PrivKey *k, Scheme s, Bytes digest, Bytes signature)
{
        EVP_PKEY_CTX *ctx;
        int r = verify_context(k, s, &ctx);

        if (r)
                return r;
        return EVP_PKEY_verify(ctx, signature.data, signature.len, digest.data, digest.len) == 1 ? 0 : HF_E_TPM_FAILED;
}

/* Of a digest longer than the order the left part is signed (SEC 1 section 4.1.3); not every TPM knows the longer hash. */
static int sign_ecdsa(const PrivKey *k, Bytes digest, uint8_t *ret, size_t *ret_len)
{
        uint8_t flat[2 * 48];
        size_t size = 2 * key_bytes(k);
        int r;

        r = ask(k, FAR_ECDSA, BYTES(digest.data, digest.len < size / 2 ? digest.len : size / 2), flat, size);
        if (!r && ecdsa_p1363_to_der(BYTES(flat, size), ret, SIGNATURE_MAX, ret_len))
                r = HF_E_TPM_FAILED;
        return r;
}

/* EMSA-PSS (RFC 8017 section 9.1.1), salt as long as the hash. */
static int encode_pss(const PrivKey *k, Scheme s, Bytes digest, uint8_t *ret)
{
        const EVP_MD *md = fetched_digest(s);
        Bytes number = public_number(k);
        BIGNUM *n = BN_bin2bn(number.data, (int)number.len, NULL), *e = BN_new();
        RSA *rsa = RSA_new();
        bool ok;

        ok = n && e && rsa && BN_set_word(e, 65537) && RSA_set0_key(rsa, n, e, NULL);
        if (ok)
                ok = RSA_padding_add_PKCS1_PSS_mgf1(rsa, ret, digest.data, md, md, RSA_PSS_SALTLEN_DIGEST) == 1;
        else
                BN_free(n), BN_free(e);
        RSA_free(rsa);
        return ok ? 0 : HF_E_INTERNAL;
}

static int sign_rsa(const PrivKey *k, Scheme s, Bytes digest, uint8_t *ret, size_t *ret_len)
{
        uint8_t block[FAR_RESULT_MAX];
        size_t size = key_bytes(k);
        int r;

        if (is_pss(s)) {
                r = encode_pss(k, s, digest, block);
                if (!r)
                        r = ask(k, FAR_RSA_RAW, BYTES(block, size), ret, size);
        } else {
                r = ask(k, FAR_RSASSA, digest, ret, size);
        }
        if (!r)
                *ret_len = size;
        return r;
}

int far_sign_digest(PrivKey *k, Scheme s, Bytes digest, uint8_t ret[static SIGNATURE_MAX], size_t *ret_len)
{
        size_t len = 0;
        int r;

        if (k->family == &family_ec)
                r = sign_ecdsa(k, digest, ret, &len);
        else
                r = sign_rsa(k, s, digest, ret, &len);
        if (!r)
                r = verify(k, s, digest, BYTES(ret, len));
        if (!r)
                *ret_len = len;
        return r;
}

int far_decrypt(const PrivKey *k, Bytes ciphertext, Bytes label, uint8_t *ret, size_t size, size_t *ret_len)
{
        const EVP_MD *md = fetched()->sha256;
        uint8_t block[FAR_RESULT_MAX], plain[FAR_RESULT_MAX];
        int n, r, modulus = (int)key_bytes(k);

        /* No ciphertext is as great as the modulus; both are public. */
        if (memcmp(ciphertext.data, public_number(k).data, (size_t)modulus) >= 0)
                return HF_E_DECRYPT_FAILED;
        r = ask(k, FAR_RSA_RAW, ciphertext, block, (size_t)modulus);
        if (!r) {
                /* In constant time: whoever learns how a padding was wrong learns the message (Manger's attack). */
                n = RSA_padding_check_PKCS1_OAEP_mgf1(
                        plain, sizeof(plain), block, modulus, modulus, label.data, (int)label.len, md, md);
                if (n < 0 || (size_t)n > size) {
                        r = HF_E_DECRYPT_FAILED;
                } else {
                        memcpy(ret, plain, (size_t)n);
                        *ret_len = (size_t)n;
                }
        }
        OPENSSL_cleanse(block, sizeof(block));
        OPENSSL_cleanse(plain, sizeof(plain));
        return r ? openssl_failed(r) : 0;
}

int far_secret(const PrivKey *k, Bytes peer_spki, uint8_t *ret, size_t *ret_len)
{
        KeyAlgorithm a;
        Bytes point;
        int r;

        r = spki_parse(peer_spki, &a, &point);
        if (!r)
                r = ask(k, FAR_ECDH, point, ret, key_bytes(k));
        if (!r)
                *ret_len = key_bytes(k);
        return r;
}

int far_mac(const PrivKey *k, Bytes message, uint8_t ret[static 32])
{
        if (message.len > FAR_MESSAGE_MAX)
                return HF_E_MESSAGE_TOO_LARGE;
        return ask(k, FAR_HMAC, message, ret, 32);
}
