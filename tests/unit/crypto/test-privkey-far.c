/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keys whose private half is elsewhere. Here, elsewhere is a software key of ours, asked for the bare operation as a
 * TPM is; the judge is the ordinary public half.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "crypto/family.h"
#include "crypto/spki.h"
#include "support.h"

typedef struct Elsewhere {
        PrivKey *key;
        int result;      /* instead of an answer */
        bool lies;       /* one bit of each answer is wrong */
        unsigned asked;
        Bytes raw;       /* as it came */
} Elsewhere;

static int bare_rsa(EVP_PKEY *pkey, Bytes data, uint8_t *ret, size_t size)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        size_t len = size;
        bool ok = EVP_PKEY_decrypt_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
                EVP_PKEY_decrypt(ctx, ret, &len, data.data, data.len) > 0 && len == size;

        EVP_PKEY_CTX_free(ctx);
        return ok ? 0 : HF_E_TPM_FAILED;
}

static int bare_ecdh(const PrivKey *k, Bytes point, uint8_t *ret, size_t size)
{
        uint8_t spki[640];
        size_t len = size, spki_len;
        EVP_PKEY *peer = NULL;
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        KeyAlgorithm a;
        bool ok;

        ok = pubkey_build(k->algorithm, point, spki, sizeof(spki), &spki_len) == 0 &&
                spki_load(BYTES(spki, spki_len), &a, &peer) == 0 && EVP_PKEY_derive_init(ctx) > 0 &&
                EVP_PKEY_derive_set_peer(ctx, peer) > 0 && EVP_PKEY_derive(ctx, ret, &len) > 0 && len == size;
        EVP_PKEY_free(peer);
        EVP_PKEY_CTX_free(ctx);
        return ok ? 0 : HF_E_TPM_FAILED;
}

static int bare_signature(PrivKey *k, FarOp op, Bytes digest, uint8_t *ret)
{
        SignParams params = {.digest = true, .p1363 = true};
        size_t len;

        if (op == FAR_ECDSA)
                params.scheme = k->algorithm == KEY_P384 && digest.len == 32 ? SCHEME_ECDSA_SHA256
                                                                            : scheme_usual(k->algorithm, PURPOSE_SIGN);
        else
                params.scheme = digest.len == 32 ? SCHEME_RS256 : digest.len == 48 ? SCHEME_RS384 : SCHEME_RS512;
        return privkey_sign(k, &params, digest, ret, &len);
}

static int use(void *userdata, Bytes raw, FarOp op, Bytes data, uint8_t *ret, size_t size)
{
        Elsewhere *e = userdata;
        int r = 0;

        e->asked++;
        e->raw = raw;
        if (e->result)
                return e->result;
        if (op == FAR_ECDSA || op == FAR_RSASSA)
                r = bare_signature(e->key, op, data, ret);
        else if (op == FAR_RSA_RAW)
                r = bare_rsa(e->key->pkey, data, ret, size);
        else if (op == FAR_ECDH)
                r = bare_ecdh(e->key, data, ret, size);
        else
                r = privkey_mac(e->key, data, ret);
        if (e->lies)
                ret[size / 2] ^= 1;
        return r;
}

static PrivKey *far(Elsewhere *e, KeyAlgorithm a, Public *ret)
{
        PrivKey *k = NULL;

        *e = (Elsewhere){.key = make(a)};
        assert_int_equal(privkey_from_far(a, bytes_str("where it is"), public_of(e->key, ret), use, e, &k), 0);
        return k;
}

static const struct {
        KeyAlgorithm algorithm;
        Scheme scheme;
} signing[] = {
        {KEY_P256, SCHEME_ES256},    {KEY_P384, SCHEME_ES384},    {KEY_RSA2048, SCHEME_RS256},
        {KEY_RSA2048, SCHEME_RS512}, {KEY_RSA2048, SCHEME_PS256}, {KEY_RSA2048, SCHEME_PS384},
        {KEY_RSA3072, SCHEME_PS512}, {KEY_RSA3072, SCHEME_RS384},
        {KEY_P384, SCHEME_ECDSA_SHA256}, {KEY_P256, SCHEME_ECDSA_SHA384}, {KEY_P256, SCHEME_ECDSA_SHA512},
        {KEY_P384, SCHEME_ECDSA_SHA512},
};

#define N_SIGNING (sizeof(signing) / sizeof(signing[0]))

static void test_a_far_key_signs_by_every_scheme_that_a_near_one_does(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SIGNING; i++) {
                SignParams params = {.scheme = signing[i].scheme};
                uint8_t signature[SIGNATURE_MAX];
                Elsewhere e;
                Public p;
                PrivKey *k = far(&e, signing[i].algorithm, &p);
                size_t len;

                assert_int_equal(privkey_sign(k, &params, bytes_str("message"), signature, &len), 0);
                assert_int_equal(pubkey_verify(BYTES(p.data, p.len), params.scheme, bytes_str("message"),
                                         BYTES(signature, len)), 0);
                assert_bytes(e.raw, bytes_str("where it is"));
                privkey_free(k);
                privkey_free(e.key);
        }
}

static void test_a_wrong_signature_never_gets_out(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_SIGNING; i++) {
                SignParams params = {.scheme = signing[i].scheme};
                uint8_t signature[SIGNATURE_MAX] = {};
                Elsewhere e;
                Public p;
                PrivKey *k = far(&e, signing[i].algorithm, &p);
                size_t len = 0;

                e.lies = true;
                assert_int_equal(privkey_sign(k, &params, bytes_str("message"), signature, &len), HF_E_TPM_FAILED);
                assert_int_equal(len, 0);
                assert_int_equal(signature[0], 0);
                privkey_free(k);
                privkey_free(e.key);
        }
}

static void test_digests_and_flat_signatures_are_as_those_of_near_keys(void **state)
{
        SignParams params = {.scheme = SCHEME_ES384, .digest = true, .p1363 = true};
        uint8_t signature[SIGNATURE_MAX], digest[48] = {7};
        Elsewhere e;
        Public p;
        PrivKey *k = far(&e, KEY_P384, &p);
        size_t len;

        (void)state;
        assert_int_equal(privkey_sign(k, &params, BYTES_ARRAY(digest), signature, &len), 0);
        assert_int_equal(len, 96);
        assert_int_equal(privkey_sign(k, &params, BYTES(digest, 32), signature, &len), HF_E_INVALID_ARGS);
        assert_int_equal(e.asked, 1);
        privkey_free(k);
        privkey_free(e.key);
}

static size_t encrypt(const PrivKey *k, const char *text, uint8_t *ret)
{
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        EVP_MD *md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
        size_t len = 512;

        assert_true(EVP_PKEY_encrypt_init(ctx) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) > 0);
        assert_true(EVP_PKEY_encrypt(ctx, ret, &len, (const uint8_t *)text, strlen(text)) > 0);
        EVP_MD_free(md);
        EVP_PKEY_CTX_free(ctx);
        return len;
}

static void test_oaep_is_opened_and_every_other_padding_is_one_failure(void **state)
{
        uint8_t ciphertext[512], plain[512], great[256];
        Elsewhere e;
        Public p;
        PrivKey *k = far(&e, KEY_RSA2048, &p);
        size_t len, n = encrypt(k, "hello", ciphertext);

        (void)state;
        assert_int_equal(privkey_decrypt(k, BYTES(ciphertext, n), BYTES_NULL, plain, sizeof(plain), &len), 0);
        assert_bytes(BYTES(plain, len), bytes_str("hello"));
        assert_int_equal(privkey_decrypt(k, BYTES(ciphertext, n), bytes_str("label"), plain, sizeof(plain), &len),
                HF_E_DECRYPT_FAILED);
        assert_int_equal(privkey_decrypt(k, BYTES(ciphertext, n), BYTES_NULL, plain, 4, &len), HF_E_DECRYPT_FAILED);
        ciphertext[n - 1] ^= 1;
        assert_int_equal(privkey_decrypt(k, BYTES(ciphertext, n), BYTES_NULL, plain, sizeof(plain), &len),
                HF_E_DECRYPT_FAILED);
        memset(great, 0xff, sizeof(great));
        e.asked = 0;
        assert_int_equal(privkey_decrypt(k, BYTES_ARRAY(great), BYTES_NULL, plain, sizeof(plain), &len), HF_E_DECRYPT_FAILED);
        assert_int_equal(e.asked, 0);
        privkey_free(k);
        privkey_free(e.key);
}

static void test_both_ends_of_an_agreement_come_to_the_same(void **state)
{
        static const KeyAlgorithm curves[] = {KEY_P256, KEY_P384};

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                uint8_t here[32], there[32];
                Elsewhere e;
                Public mine, theirs;
                PrivKey *k = far(&e, curves[i], &mine), *peer = make(curves[i]), *other = make(curves[1 - i]);
                Bytes salt = bytes_str("salt"), info = bytes_str("info");

                assert_int_equal(privkey_agree(k, public_of(peer, &theirs), salt, info, here, 32), 0);
                assert_int_equal(privkey_agree(peer, BYTES(mine.data, mine.len), salt, info, there, 32), 0);
                assert_memory_equal(here, there, 32);
                assert_int_equal(privkey_agree(k, public_of(other, &theirs), salt, info, here, 32), HF_E_INVALID_ARGS);
                privkey_free(k);
                privkey_free(e.key);
                privkey_free(peer);
                privkey_free(other);
        }
}

static void test_a_mac_is_the_far_sides_and_its_message_fits(void **state)
{
        static const uint8_t message[FAR_MESSAGE_MAX + 1];
        uint8_t here[32], there[32];
        Elsewhere e;
        Public p;
        PrivKey *k = far(&e, KEY_HMAC256, &p);

        (void)state;
        assert_int_equal(privkey_mac(k, BYTES(message, FAR_MESSAGE_MAX), here), 0);
        assert_int_equal(privkey_mac(e.key, BYTES(message, FAR_MESSAGE_MAX), there), 0);
        assert_memory_equal(here, there, 32);
        assert_int_equal(privkey_mac(k, BYTES_ARRAY(message), here), HF_E_MESSAGE_TOO_LARGE);
        privkey_free(k);
        privkey_free(e.key);
}

static void test_what_the_far_side_says_is_what_the_caller_hears(void **state)
{
        static const int results[] = {HF_E_TPM_UNAVAILABLE, HF_E_TPM_LOCKOUT, HF_E_TPM_IDENTITY_CHANGED};
        SignParams params = {.scheme = SCHEME_RS256};
        uint8_t out[SIGNATURE_MAX], ciphertext[512];
        Elsewhere e;
        Public p;
        PrivKey *k = far(&e, KEY_RSA2048, &p);
        size_t len, n = encrypt(k, "hello", ciphertext);

        (void)state;
        for (size_t i = 0; i < 3; i++) {
                e.result = results[i];
                assert_int_equal(privkey_sign(k, &params, bytes_str("m"), out, &len), results[i]);
                assert_int_equal(privkey_decrypt(k, BYTES(ciphertext, n), BYTES_NULL, out, sizeof(out), &len), results[i]);
        }
        privkey_free(k);
        privkey_free(e.key);
}

static void test_what_no_tpm_does_is_refused_by_name(void **state)
{
        static const KeyAlgorithm none[] = {KEY_ED25519, KEY_X25519, KEY_RSA4096, KEY_AES256, _KEY_ALGORITHM_INVALID,
                _KEY_ALGORITHM_MAX};
        Public p256, empty = {};
        PrivKey *k = NULL, *near = make(KEY_P256);

        (void)state;
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_int_equal(privkey_from_far(none[i], bytes_str("raw"), BYTES(empty.data, 0), use, NULL, &k),
                        HF_E_ALGORITHM_NOT_SUPPORTED);
        public_of(near, &p256);
        assert_int_equal(privkey_from_far(KEY_P384, bytes_str("raw"), BYTES(p256.data, p256.len), use, NULL, &k),
                HF_E_KEY_MISMATCH);
        assert_int_equal(privkey_from_far(KEY_HMAC256, bytes_str("raw"), BYTES(p256.data, p256.len), use, NULL, &k),
                HF_E_KEY_MISMATCH);
        p256.data[p256.len - 1] ^= 1; /* off its curve */
        assert_int_equal(privkey_from_far(KEY_P256, bytes_str("raw"), BYTES(p256.data, p256.len), use, NULL, &k),
                HF_E_KEY_MISMATCH);
        assert_int_equal(privkey_from_far(KEY_HMAC256, BYTES_NULL, BYTES_NULL, use, NULL, &k), HF_E_INVALID_ARGS);
        assert_null(k);
        privkey_free(near);
}

static void test_a_duplicate_and_the_raw_form_are_the_same_key(void **state)
{
        SignParams params = {.scheme = SCHEME_ES256};
        uint8_t raw[PRIVKEY_RAW_MAX], signature[SIGNATURE_MAX];
        Elsewhere e;
        Public p;
        PrivKey *k = far(&e, KEY_P256, &p), *copy = NULL;
        size_t len;

        (void)state;
        assert_int_equal(privkey_dup(k, &copy), 0);
        privkey_free(k);
        assert_int_equal(privkey_to_raw(copy, raw, &len), 0);
        assert_bytes(BYTES(raw, len), bytes_str("where it is"));
        assert_bytes(privkey_far_raw(copy), bytes_str("where it is"));
        assert_int_equal(privkey_far_raw(e.key).len, 0);
        assert_int_equal(privkey_sign(copy, &params, bytes_str("m"), signature, &len), 0);
        privkey_free(copy);
        privkey_free(e.key);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_far_key_signs_by_every_scheme_that_a_near_one_does),
                cmocka_unit_test(test_a_wrong_signature_never_gets_out),
                cmocka_unit_test(test_digests_and_flat_signatures_are_as_those_of_near_keys),
                cmocka_unit_test(test_oaep_is_opened_and_every_other_padding_is_one_failure),
                cmocka_unit_test(test_both_ends_of_an_agreement_come_to_the_same),
                cmocka_unit_test(test_a_mac_is_the_far_sides_and_its_message_fits),
                cmocka_unit_test(test_what_the_far_side_says_is_what_the_caller_hears),
                cmocka_unit_test(test_what_no_tpm_does_is_refused_by_name),
                cmocka_unit_test(test_a_duplicate_and_the_raw_form_are_the_same_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
