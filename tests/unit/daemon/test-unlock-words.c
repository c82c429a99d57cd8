/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The signer's reasons as people read them. */
#include "support.h"

#include "daemon/unlock-words.h"

static void expect(const char *reasons, const char *words)
{
        char text[UNLOCK_WORDS_MAX];

        unlock_words(reasons, text, sizeof(text));
        assert_string_equal(text, words);
}

static void test_each_slot_gets_its_sentence(void **state)
{
        (void)state;
        expect("2 recovery: needs-secret; 1 passphrase: wrong", "slot 2 (recovery): needs its secret; slot 1 (passphrase): "
                                                                "wrong secret");
        expect("1 tpm2: pcr-changed sha256:7", "slot 1 (tpm2): the PCR has changed since it was sealed (sha256:7)");
        expect("1 tpm2: wrong, 2 tries left, then locked for 1000 s",
                        "slot 1 (tpm2): wrong secret (2 tries left, then locked for 1000 s)");
        expect("", "");
}

static void test_what_is_not_known_stays_as_it_is(void **state)
{
        static const char *const texts[] = {"locked by order", "3: damaged", "1 tpm2: something-new", ": ", "; ", "1 ", "x: "};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                expect(texts[i], texts[i]);
}

static void test_no_length_runs_over(void **state)
{
        char reasons[4096] = "", text[64];

        (void)state;
        for (int i = 0; i < 90; i++)
                strcat(reasons, "1 tpm2: wrong, 2 tries left; ");
        for (size_t size = 1; size <= sizeof(text); size++) {
                memset(text, 'x', sizeof(text));
                unlock_words(reasons, text, size);
                assert_true(strlen(text) < size);
        }
}

static void test_without_a_secret_the_tpm_s_reason_is_the_error(void **state)
{
        (void)state;
        assert_int_equal(unlock_error("1 tpm2: pcr-changed sha256:7; 2 recovery: needs-secret", false), HF_E_PCR_CHANGED);
        assert_int_equal(unlock_error("1 tpm2: no-tpm", false), HF_E_TPM_UNAVAILABLE);
        assert_int_equal(unlock_error("1 tpm2: no-tpm; 2 tpm2: tpm-identity-changed", false), HF_E_TPM_IDENTITY_CHANGED);
        assert_int_equal(unlock_error("1 tpm2: no-tpm; 2 passphrase: wrong", true), HF_E_UNLOCK_FAILED);
        assert_int_equal(unlock_error("1 tpm2: tpm-lockout for 1000 s", true), HF_E_TPM_LOCKOUT);
        assert_int_equal(unlock_error("2 recovery: needs-secret", false), HF_E_UNLOCK_FAILED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_each_slot_gets_its_sentence),
                        cmocka_unit_test(test_what_is_not_known_stays_as_it_is),
                        cmocka_unit_test(test_no_length_runs_over),
                        cmocka_unit_test(test_without_a_secret_the_tpm_s_reason_is_the_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
