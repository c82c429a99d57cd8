/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every kind of private key promises: made, out, in again, same key; signatures that others accept. */
#include "support.h"

#include <threads.h>

#include "crypto/digest.h"

static const KeyAlgorithm all[] = {KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA2048, KEY_X25519, KEY_HMAC256, KEY_AES256};
static const KeyAlgorithm signing[] = {KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA2048};

static Bytes raw_of(const PrivKey *k, Hex *ret)
{
        assert_int_equal(privkey_to_raw(k, ret->data, &ret->len), 0);
        return BYTES(ret->data, ret->len);
}

static void test_a_key_goes_out_and_comes_in_as_the_same(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(all[i]), *again = NULL;
                Public p, q;
                Hex raw, raw2;

                assert_int_equal(privkey_from_raw(all[i], raw_of(k, &raw), public_of(k, &p), &again), 0);
                assert_int_equal(privkey_algorithm(again), all[i]);
                assert_bytes(raw_of(again, &raw2), BYTES(raw.data, raw.len));
                assert_bytes(public_of(again, &q), BYTES(p.data, p.len));
        }
}

static void test_two_keys_are_never_the_same(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_(privkey_freep) PrivKey *a = make(all[i]), *b = make(all[i]);
                Hex x, y;

                assert_false(bytes_equal(raw_of(a, &x), raw_of(b, &y)));
        }
}

static void test_raw_values_of_another_key_are_a_mismatch(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_(privkey_freep) PrivKey *a = make(all[i]), *b = make(all[i]), *got = NULL;
                Bytes spki;
                Public p;
                Hex raw;

                spki = public_of(b, &p);
                if (spki.len == 0)
                        continue;
                assert_int_equal(privkey_from_raw(all[i], raw_of(a, &raw), spki, &got), HF_E_KEY_MISMATCH);
                assert_int_equal(privkey_from_raw(all[i], raw_of(a, &raw), BYTES_NULL, &got), HF_E_KEY_MISMATCH);
                assert_null(got);
        }
}

static void test_a_public_half_of_another_algorithm_is_a_mismatch(void **state)
{
        _cleanup_(privkey_freep) PrivKey *ec = make(KEY_P256), *ed = make(KEY_ED25519), *mac = make(KEY_HMAC256),
                                         *got = NULL;
        Public p;
        Hex raw;

        (void)state;
        assert_int_equal(privkey_from_raw(KEY_P256, raw_of(ec, &raw), public_of(ed, &p), &got), HF_E_KEY_MISMATCH);
        assert_int_equal(privkey_from_raw(KEY_HMAC256, raw_of(mac, &raw), public_of(ed, &p), &got), HF_E_KEY_MISMATCH);
        assert_null(got);
}

static void test_every_other_length_is_refused(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(all[i]), *got = NULL;
                Public p;
                Hex raw;

                raw_of(k, &raw);
                raw.data[raw.len] = 0;
                for (size_t n = 0; n <= raw.len + 1; n++)
                        if (n != raw.len)
                                assert_int_not_equal(privkey_from_raw(all[i], BYTES(raw.data, n), public_of(k, &p), &got),
                                                0);
                assert_null(got);
        }
}

static void test_every_flipped_bit_of_an_rsa_key_is_noticed(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_RSA2048), *got = NULL;
        Public p;
        Hex raw;

        (void)state;
        raw_of(k, &raw);
        public_of(k, &p);
        for (size_t i = 0; i < raw.len; i++) {
                raw.data[i] ^= (uint8_t)(1u << i % 8);
                assert_int_not_equal(privkey_from_raw(KEY_RSA2048, BYTES(raw.data, raw.len), BYTES(p.data, p.len), &got),
                                0);
                raw.data[i] ^= (uint8_t)(1u << i % 8);
        }
        assert_null(got);
}

/* 0, the order n of P-256 and n + 1: the last has the public point of 1. */
static void test_a_scalar_out_of_range_is_refused(void **state)
{
        static const char *const scalars[] = {
                "0000000000000000000000000000000000000000000000000000000000000000",
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552",
        };
        static const char one[] = "0000000000000000000000000000000000000000000000000000000000000001";
        static const char generator[] = "3059301306072a8648ce3d020106082a8648ce3d030107034200"
                                        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
                                        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        _cleanup_(privkey_freep) PrivKey *got = NULL;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(scalars); i++)
                assert_int_not_equal(privkey_from_raw(KEY_P256, HEX(scalars[i]), HEX(generator), &got), 0);
        assert_null(got);
        assert_int_equal(privkey_from_raw(KEY_P256, HEX(one), HEX(generator), &got), 0);
}

static void test_a_public_point_off_the_curve_is_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256), *got = NULL;
        KeyAlgorithm a;
        Public p;
        Hex raw;

        (void)state;
        public_of(k, &p);
        p.data[p.len - 1] ^= 1;
        assert_int_not_equal(privkey_from_raw(KEY_P256, raw_of(k, &raw), BYTES(p.data, p.len), &got), 0);
        assert_null(got);
        assert_int_equal(pubkey_algorithm(BYTES(p.data, p.len), &a), HF_E_INVALID_ARGS);
}

static void test_unknown_algorithms_are_refused(void **state)
{
        PrivKey *k = NULL;

        (void)state;
        assert_int_equal(privkey_generate(0, &k), HF_E_ALGORITHM_NOT_SUPPORTED);
        assert_int_equal(privkey_generate(_KEY_ALGORITHM_MAX, &k), HF_E_ALGORITHM_NOT_SUPPORTED);
        assert_int_equal(privkey_generate(-1, &k), HF_E_ALGORITHM_NOT_SUPPORTED);
        assert_int_equal(privkey_from_raw(99, BYTES_NULL, BYTES_NULL, &k), HF_E_ALGORITHM_NOT_SUPPORTED);
        assert_null(k);
}

static void test_each_scheme_signs_what_it_verifies_message_and_digest(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(signing); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(signing[i]);
                uint8_t signature[SIGNATURE_MAX];
                size_t len, schemes = 0;
                Public p;

                public_of(k, &p);
                for (Scheme s = 1; s < _SCHEME_MAX; s++) {
                        SignParams params = {.scheme = s};

                        if (scheme_check(s, signing[i], PURPOSE_SIGN)) {
                                assert_int_equal(privkey_sign(k, &params, bytes_str("m"), signature, &len),
                                                HF_E_SCHEME_NOT_SUPPORTED);
                                continue;
                        }
                        schemes++;
                        for (int round = 0; round < 3; round++) {
                                assert_int_equal(privkey_sign(k, &params, bytes_str("message"), signature, &len), 0);
                                assert_int_equal(pubkey_verify(BYTES(p.data, p.len), s, bytes_str("message"),
                                                                 BYTES(signature, len)), 0);
                                assert_int_equal(pubkey_verify(BYTES(p.data, p.len), s, bytes_str("messagE"),
                                                                 BYTES(signature, len)), HF_E_KEY_MISMATCH);
                        }
                }
                assert_int_equal(schemes, signing[i] == KEY_RSA2048 ? 6 : signing[i] == KEY_ED25519 ? 1 : 3);
        }
}

static void test_a_signed_digest_verifies_as_its_message(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256), *rsa = make(KEY_RSA2048);
        uint8_t digest[DIGEST_SIZE], signature[SIGNATURE_MAX];
        size_t len;
        Public p;

        (void)state;
        digest_sha256(bytes_str("message"), digest);
        assert_int_equal(privkey_sign(k, &(SignParams){.scheme = SCHEME_ES256, .digest = true}, BYTES_ARRAY(digest),
                                         signature, &len), 0);
        assert_int_equal(pubkey_verify(public_of(k, &p), SCHEME_ES256, bytes_str("message"), BYTES(signature, len)), 0);
        assert_int_equal(privkey_sign(rsa, &(SignParams){.scheme = SCHEME_PS256, .digest = true}, BYTES_ARRAY(digest),
                                         signature, &len), 0);
        assert_int_equal(pubkey_verify(public_of(rsa, &p), SCHEME_PS256, bytes_str("message"), BYTES(signature, len)), 0);
}

static void test_a_digest_of_another_size_is_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256), *ed = make(KEY_ED25519);
        uint8_t digest[64] = {}, signature[SIGNATURE_MAX];
        size_t len = 77;

        (void)state;
        for (size_t n = 0; n <= sizeof(digest); n++)
                if (n != 32)
                        assert_int_equal(privkey_sign(k, &(SignParams){.scheme = SCHEME_ES256, .digest = true},
                                                         BYTES(digest, n), signature, &len), HF_E_INVALID_ARGS);
        assert_int_equal(privkey_sign(ed, &(SignParams){.scheme = SCHEME_EDDSA, .digest = true}, BYTES(digest, 32),
                                         signature, &len), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(len, 77);
}

/* RFC 8032 section 7.1, test 2. */
static void test_ed25519_signs_the_published_value(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        uint8_t signature[SIGNATURE_MAX];
        size_t len;

        (void)state;
        assert_int_equal(privkey_from_raw(KEY_ED25519, HEX("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
                                         HEX("302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f1"
                                             "2af4660c"), &k), 0);
        for (int round = 0; round < 3; round++) {
                assert_int_equal(privkey_sign(k, &(SignParams){.scheme = SCHEME_EDDSA}, HEX("72"), signature, &len), 0);
                assert_bytes(BYTES(signature, len),
                                HEX("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                                    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"));
        }
}

static void test_p1363_is_the_same_signature_flat(void **state)
{
        (void)state;
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(signing[i]);
                SignParams params = {.scheme = scheme_usual(signing[i], PURPOSE_SIGN), .p1363 = true};
                uint8_t signature[SIGNATURE_MAX], der[128];
                size_t len, der_len;
                Public p;

                assert_int_equal(privkey_sign(k, &params, bytes_str("m"), signature, &len), 0);
                assert_int_equal(len, key_algorithm_info(signing[i])->bits / 4);
                assert_int_equal(ecdsa_p1363_to_der(BYTES(signature, len), der, sizeof(der), &der_len), 0);
                assert_int_equal(pubkey_verify(public_of(k, &p), params.scheme, bytes_str("m"), BYTES(der, der_len)), 0);
        }
}

static void test_keys_without_a_scheme_refuse_to_sign(void **state)
{
        static const KeyAlgorithm silent[] = {KEY_X25519, KEY_HMAC256, KEY_AES256};
        uint8_t signature[SIGNATURE_MAX];
        size_t len;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(silent); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(silent[i]);

                for (Scheme s = 0; s <= _SCHEME_MAX; s++)
                        assert_int_equal(privkey_sign(k, &(SignParams){.scheme = s}, bytes_str("m"), signature, &len),
                                        HF_E_SCHEME_NOT_SUPPORTED);
        }
}

typedef struct Worker {
        PrivKey *key;
        Scheme scheme;
        Bytes spki;
} Worker;

static int sign_many(void *arg)
{
        uint8_t signature[SIGNATURE_MAX];
        Worker *w = arg;
        size_t len;

        for (int i = 0; i < 200; i++)
                if (privkey_sign(w->key, &(SignParams){.scheme = w->scheme}, bytes_str("m"), signature, &len) ||
                                pubkey_verify(w->spki, w->scheme, bytes_str("m"), BYTES(signature, len)))
                        return 1;
        return 0;
}

static void test_duplicates_sign_in_several_threads(void **state)
{
        static const KeyAlgorithm quick[] = {KEY_P256, KEY_ED25519};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(quick); i++) {
                PrivKey *k = make(quick[i]);
                Worker workers[4];
                thrd_t threads[4];
                Public p;
                int r;

                for (size_t t = 0; t < 4; t++) {
                        workers[t] = (Worker){.scheme = scheme_usual(quick[i], PURPOSE_SIGN), .spki = public_of(k, &p)};
                        assert_int_equal(privkey_dup(k, &workers[t].key), 0);
                }
                privkey_free(k); /* duplicates outlive it */
                for (size_t t = 0; t < 4; t++)
                        assert_int_equal(thrd_create(&threads[t], sign_many, &workers[t]), thrd_success);
                for (size_t t = 0; t < 4; t++) {
                        assert_int_equal(thrd_join(threads[t], &r), thrd_success);
                        assert_int_equal(r, 0);
                        privkey_free(workers[t].key);
                }
        }
}

static void test_a_duplicate_is_the_same_key(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(all[i]), *copy = NULL;
                Public p, q;
                Hex x, y;

                assert_int_equal(privkey_dup(k, &copy), 0);
                assert_bytes(raw_of(copy, &x), raw_of(k, &y));
                assert_bytes(public_of(copy, &p), public_of(k, &q));
        }
}

static void test_a_public_key_that_does_not_fit_is_not_written(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        uint8_t small[90] = {};
        size_t len = 5;

        (void)state;
        assert_int_equal(privkey_public(k, small, sizeof(small), &len), HF_E_INVALID_ARGS);
        assert_int_equal(len, 5);
        assert_int_equal(small[0], 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_key_goes_out_and_comes_in_as_the_same),
                cmocka_unit_test(test_two_keys_are_never_the_same),
                cmocka_unit_test(test_raw_values_of_another_key_are_a_mismatch),
                cmocka_unit_test(test_a_public_half_of_another_algorithm_is_a_mismatch),
                cmocka_unit_test(test_every_other_length_is_refused),
                cmocka_unit_test(test_every_flipped_bit_of_an_rsa_key_is_noticed),
                cmocka_unit_test(test_a_scalar_out_of_range_is_refused),
                cmocka_unit_test(test_a_public_point_off_the_curve_is_refused),
                cmocka_unit_test(test_unknown_algorithms_are_refused),
                cmocka_unit_test(test_each_scheme_signs_what_it_verifies_message_and_digest),
                cmocka_unit_test(test_a_signed_digest_verifies_as_its_message),
                cmocka_unit_test(test_a_digest_of_another_size_is_refused),
                cmocka_unit_test(test_ed25519_signs_the_published_value),
                cmocka_unit_test(test_p1363_is_the_same_signature_flat),
                cmocka_unit_test(test_keys_without_a_scheme_refuse_to_sign),
                cmocka_unit_test(test_duplicates_sign_in_several_threads),
                cmocka_unit_test(test_a_duplicate_is_the_same_key),
                cmocka_unit_test(test_a_public_key_that_does_not_fit_is_not_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
