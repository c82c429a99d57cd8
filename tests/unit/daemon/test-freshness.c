/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The judgement over counter and note: which openings are good, which are refused, and that the numbers are told. */
#include "support.h"

#include "base/error.h"
#include "daemon/freshness.h"

static FreshnessVerdict judge(int64_t noted, uint64_t counter, char *reason)
{
        const Freshness f = {.match = SIGNER_TPM_SAME, .counter = counter, .noted = noted};

        return freshness_judge(&f, reason);
}

static void test_the_counter_may_stand_at_the_note_or_one_below_and_nowhere_else(void **state)
{
        char reason[FRESHNESS_REASON_SIZE];

        (void)state;
        for (int64_t noted = 1; noted < 40; noted++)
                for (uint64_t counter = 0; counter < 40; counter++) {
                        FreshnessVerdict v = judge(noted, counter, reason);

                        assert_int_equal(v, counter == (uint64_t)noted       ? FRESHNESS_GOOD
                                            : counter + 1 == (uint64_t)noted ? FRESHNESS_BEHIND
                                                                             : FRESHNESS_OLDER);
                        assert_int_equal(v == FRESHNESS_OLDER, reason[0] != '\0');
                }
}

static void test_a_refusal_names_both_numbers_and_says_which_side_is_old(void **state)
{
        char reason[FRESHNESS_REASON_SIZE];

        (void)state;
        assert_int_equal(judge(812, 815, reason), FRESHNESS_OLDER);
        assert_non_null(strstr(reason, "812"));
        assert_non_null(strstr(reason, "815"));
        assert_non_null(strstr(reason, "older copy"));
        assert_int_equal(judge(815, 812, reason), FRESHNESS_OLDER);
        assert_non_null(strstr(reason, "put back"));
        assert_int_equal(judge(INT64_MAX, UINT64_MAX, reason), FRESHNESS_OLDER);
        assert_int_equal(judge(0, UINT64_MAX, reason), FRESHNESS_OLDER); /* nothing wraps */
}

static void test_another_tpm_is_told_before_any_number(void **state)
{
        char reason[FRESHNESS_REASON_SIZE];
        Freshness f = {.match = SIGNER_TPM_OTHER, .counter = 7, .noted = 7};

        (void)state;
        assert_int_equal(freshness_judge(&f, reason), FRESHNESS_FOREIGN);
        f.result = HF_E_NOT_SUPPORTED;
        assert_int_equal(freshness_judge(&f, reason), FRESHNESS_FOREIGN);
        f = (Freshness){.match = SIGNER_TPM_SAME, .result = HF_E_NO_SUCH_KEY, .noted = 7};
        assert_int_equal(freshness_judge(&f, reason), FRESHNESS_FOREIGN);
        assert_non_null(strstr(reason, "gone"));
        f.result = HF_E_KEY_MISMATCH;
        assert_int_equal(freshness_judge(&f, reason), FRESHNESS_FOREIGN);
        f.result = HF_E_TPM_IDENTITY_CHANGED;
        assert_int_equal(freshness_judge(&f, reason), FRESHNESS_FOREIGN);
}

static void test_a_tpm_that_does_not_answer_refuses_nothing(void **state)
{
        static const int results[] = {HF_E_TPM_UNAVAILABLE, HF_E_TPM_FAILED, HF_E_TPM_FAILURE_MODE, HF_E_TPM_LOCKOUT,
                        HF_E_TPM_FULL, HF_E_SIGNER_UNAVAILABLE, -ENOMEM};
        char reason[FRESHNESS_REASON_SIZE];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(results); i++) {
                const Freshness f = {.result = results[i], .noted = 7};

                assert_int_equal(freshness_judge(&f, reason), FRESHNESS_UNCHECKED);
                assert_true(reason[0] != '\0');
                assert_true(freshness_may_return(results[i]));
        }
        assert_false(freshness_may_return(HF_E_TPM_IDENTITY_CHANGED));
        assert_false(freshness_may_return(HF_E_NO_SUCH_KEY));
        assert_false(freshness_may_return(0));
}

static void test_a_store_without_a_counter_is_held_against_nothing(void **state)
{
        char reason[FRESHNESS_REASON_SIZE];
        const Freshness f = {.match = SIGNER_TPM_UNBOUND, .result = HF_E_NOT_SUPPORTED, .noted = -1};

        (void)state;
        assert_int_equal(freshness_judge(&f, reason), FRESHNESS_NONE);
        assert_string_equal(reason, "");
}

static void test_a_note_of_an_earlier_epoch_or_without_a_counter_does_not_count(void **state)
{
        AuditNote note = {.counter = 12, .epoch = 3};

        (void)state;
        assert_int_equal(freshness_noted(&note, 3, 5), 12);
        assert_int_equal(freshness_noted(&note, 4, 20), 20);
        assert_int_equal(freshness_noted(&note, 2, 20), 20);
        assert_int_equal(freshness_noted(NULL, 3, 5), 5);
        assert_int_equal(freshness_noted(NULL, 3, -1), -1);
        note.counter = -1;
        assert_int_equal(freshness_noted(&note, 3, 5), 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_the_counter_may_stand_at_the_note_or_one_below_and_nowhere_else),
                        cmocka_unit_test(test_a_refusal_names_both_numbers_and_says_which_side_is_old),
                        cmocka_unit_test(test_another_tpm_is_told_before_any_number),
                        cmocka_unit_test(test_a_tpm_that_does_not_answer_refuses_nothing),
                        cmocka_unit_test(test_a_store_without_a_counter_is_held_against_nothing),
                        cmocka_unit_test(test_a_note_of_an_earlier_epoch_or_without_a_counter_does_not_count),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
