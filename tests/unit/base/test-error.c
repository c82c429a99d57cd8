/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>

static void test_every_error_has_a_name_of_its_own(void **state)
{
        (void)state;
        for (int i = 0; i < _HF_E_MAX; i++) {
                assert_non_null(hf_error_name(i));
                assert_true(isupper((unsigned char)hf_error_name(i)[0]));
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(hf_error_name(i), hf_error_name(j));
        }
        assert_string_equal(hf_error_name(HF_E_STORE_LOCKED), "StoreLocked");
}

/* They are in messages between processes of different versions, and in the library's ABI. */
static void test_numbers_stay_what_they_were(void **state)
{
        (void)state;
        assert_int_equal(HF_E_INVALID_ARGS, 1);
        assert_int_equal(HF_E_POLICY_DENIED, 8);
        assert_int_equal(HF_E_NO_SUCH_KEY, 10);
        assert_int_equal(HF_E_STORE_LOCKED, 25);
        assert_int_equal(HF_E_INTERNAL, 48);
}

static void test_numbers_without_a_row_have_a_name_too(void **state)
{
        (void)state;
        assert_string_equal(hf_error_name(-ENOENT), strerror(ENOENT));
        assert_string_equal(hf_error_name(_HF_E_MAX), "Internal");
        assert_string_equal(hf_error_name(INT_MAX), "Internal");
        assert_non_null(hf_error_name(-100000));
        assert_non_null(hf_error_name(INT_MIN));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_error_has_a_name_of_its_own),
                cmocka_unit_test(test_numbers_stay_what_they_were),
                cmocka_unit_test(test_numbers_without_a_row_have_a_name_too),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
