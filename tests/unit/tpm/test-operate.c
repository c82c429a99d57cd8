/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys made and used inside a real software TPM, judged by OpenSSL. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "rig.h"

static uint8_t digest[64] = "a digest of the message";

static void sign_and_judge(Rig *rig, const RigKey *key)
{
        uint8_t out[1024];
        size_t n;

        for (size_t len = 32; len <= 64; len += 16) {
                assert_int_equal(rig_operate(rig, key, TPM_OP_ECDSA, BYTES(digest, len), out, &n), 0);
                assert_true(judge_ecdsa(key, BYTES(digest, len), BYTES(out, n)));
        }
}

static void test_a_p256_key_signs_what_openssl_accepts(void **state)
{
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        for (int i = 0; i < 20; i++)
                sign_and_judge(*state, &key);
}

static void test_a_p384_key_signs_what_openssl_accepts(void **state)
{
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P384, TPM_USE_SIGN, NULL, &key), 0);
        sign_and_judge(*state, &key);
}

static void test_the_state_names_the_tpm(void **state)
{
        TpmState s;
        RigKey key;

        rig_state(*state, true, &s);
        assert_int_equal(s.presence, TPM_PRESENCE_READY);
        assert_string_equal(s.manufacturer, "IBM");
        assert_int_equal(s.algorithms, 1u << TPM_P256 | 1u << TPM_P384 | 1u << TPM_RSA2048 | 1u << TPM_RSA3072 | 1u << TPM_HMAC256);
        assert_true(s.banks & 1u << TPM_BANK_SHA256);
        assert_false(s.locked_out);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_memory_equal(s.parent, key.parent, TPM_NAME_SIZE);
        rig_state(*state, false, &s);
        assert_int_equal(s.answered, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_the_state_names_the_tpm, rig_begin, rig_end),
                        cmocka_unit_test_setup_teardown(test_a_p256_key_signs_what_openssl_accepts, rig_begin, rig_end),
                        cmocka_unit_test_setup_teardown(test_a_p384_key_signs_what_openssl_accepts, rig_begin, rig_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
