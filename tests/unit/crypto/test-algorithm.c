/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include "crypto/algorithm.h"

static void test_every_row_has_a_name_that_leads_back(void **state)
{
        (void)state;
        for (KeyAlgorithm a = 1; a < _KEY_ALGORITHM_MAX; a++) {
                const KeyAlgorithmInfo *info = key_algorithm_info(a);

                assert_non_null(info->name);
                assert_non_null(info->bus_label);
                assert_int_equal(key_algorithm_from_string(info->name), a);
                assert_true(info->purposes & (1u << info->usual));
        }
        for (Scheme s = 1; s < _SCHEME_MAX; s++)
                assert_int_equal(scheme_from_string(scheme_info(s)->name), s);
        for (KeyPurpose p = 1; p < _KEY_PURPOSE_MAX; p++)
                assert_int_equal(key_purpose_from_string(key_purpose_to_string(p)), p);
}

static void test_every_purpose_of_an_algorithm_has_a_scheme(void **state)
{
        (void)state;
        for (KeyAlgorithm a = 1; a < _KEY_ALGORITHM_MAX; a++)
                for (KeyPurpose p = 1; p < _KEY_PURPOSE_MAX; p++) {
                        bool wanted = key_algorithm_info(a)->purposes & (1u << p);

                        assert_int_equal(scheme_usual(a, p) != _SCHEME_INVALID, wanted);
                }
}

static void test_weak_kinds_have_no_row(void **state)
{
        static const char *const names[] = {"rsa1024", "rsa512", "p192", "p224", "secp256k1", "dsa", "ed448", "aes128",
                "", "P256", "p256 ", "hmac-sha1"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(key_algorithm_from_string(names[i]), _KEY_ALGORITHM_INVALID);
        assert_int_equal(scheme_from_string("RS1"), _SCHEME_INVALID);
        assert_int_equal(scheme_from_string("none"), _SCHEME_INVALID);
        assert_int_equal(key_purpose_from_string("export"), _KEY_PURPOSE_INVALID);
}

static void test_numbers_without_a_row_give_null(void **state)
{
        static const int numbers[] = {0, -1, 64, 255, 1 << 30};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                assert_null(key_algorithm_info(numbers[i]));
                assert_null(scheme_info(numbers[i]));
                assert_null(key_purpose_to_string(numbers[i]));
                assert_int_equal(scheme_usual(numbers[i], PURPOSE_SIGN), _SCHEME_INVALID);
                assert_int_equal(scheme_check(numbers[i], KEY_P256, PURPOSE_SIGN), HF_E_SCHEME_NOT_SUPPORTED);
                assert_int_equal(scheme_check(SCHEME_ES256, numbers[i], PURPOSE_SIGN), HF_E_SCHEME_NOT_SUPPORTED);
                assert_int_equal(scheme_check(SCHEME_ES256, KEY_P256, numbers[i]), HF_E_PURPOSE_NOT_PERMITTED);
        }
}

static void test_usual_schemes_are_what_people_expect(void **state)
{
        (void)state;
        assert_int_equal(scheme_usual(KEY_P256, PURPOSE_SIGN), SCHEME_ES256);
        assert_int_equal(scheme_usual(KEY_P256, PURPOSE_ISSUE), SCHEME_ES256);
        assert_int_equal(scheme_usual(KEY_P384, PURPOSE_AGREE), SCHEME_ECDH_HKDF_256);
        assert_int_equal(scheme_usual(KEY_ED25519, PURPOSE_SIGN), SCHEME_EDDSA);
        assert_int_equal(scheme_usual(KEY_RSA4096, PURPOSE_SIGN), SCHEME_RS256);
        assert_int_equal(scheme_usual(KEY_RSA2048, PURPOSE_DECRYPT), SCHEME_RSA_OAEP_256);
        assert_int_equal(scheme_usual(KEY_AES256, PURPOSE_SEAL), SCHEME_A256GCM);
}

static void test_a_key_does_only_what_it_was_made_for(void **state)
{
        (void)state;
        assert_int_equal(scheme_check(SCHEME_ES256, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(scheme_check(SCHEME_ES256, KEY_P256, PURPOSE_AGREE), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(scheme_check(SCHEME_RS256, KEY_RSA2048, PURPOSE_DECRYPT), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(scheme_check(SCHEME_RSA_OAEP_256, KEY_RSA2048, PURPOSE_SIGN), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(scheme_check(SCHEME_ES384, KEY_P256, PURPOSE_SIGN), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(scheme_check(SCHEME_EDDSA, KEY_X25519, PURPOSE_SIGN), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(scheme_check(SCHEME_ECDSA_SHA384, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(scheme_check(SCHEME_ECDSA_SHA384, KEY_P384, PURPOSE_SIGN), HF_E_SCHEME_NOT_SUPPORTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_row_has_a_name_that_leads_back),
                cmocka_unit_test(test_every_purpose_of_an_algorithm_has_a_scheme),
                cmocka_unit_test(test_weak_kinds_have_no_row),
                cmocka_unit_test(test_numbers_without_a_row_give_null),
                cmocka_unit_test(test_usual_schemes_are_what_people_expect),
                cmocka_unit_test(test_a_key_does_only_what_it_was_made_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
