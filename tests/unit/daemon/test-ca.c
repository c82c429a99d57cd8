/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a CA may sign: a root for an hour and not longer, whatever happens to the clock. */
#include "support.h"

#include "base/clock.h"
#include "daemon/ca.h"

#define NOW (1800000000 * USEC_PER_SEC)

static void test_an_enabled_root_signs_for_an_hour(void **state)
{
        const StoreAuthorityRow row = {.kind = CA_ROOT, .awake = NOW + CA_AWAKE_USEC};

        (void)state;
        assert_true(ca_is_awake(&row, NOW));
        assert_true(ca_is_awake(&row, NOW + CA_AWAKE_USEC - 1));
        assert_false(ca_is_awake(&row, NOW + CA_AWAKE_USEC));
        assert_false(ca_is_awake(&row, UINT64_MAX));
}

static void test_a_clock_that_is_put_back_wakes_no_root(void **state)
{
        const StoreAuthorityRow row = {.kind = CA_ROOT, .awake = NOW + CA_AWAKE_USEC};

        (void)state;
        assert_false(ca_is_awake(&row, NOW - 1));
        assert_false(ca_is_awake(&row, NOW - 86400 * USEC_PER_SEC));
        assert_false(ca_is_awake(&row, 0));
}

static void test_a_ca_without_rest_signs_at_any_time_and_one_at_rest_never(void **state)
{
        const StoreAuthorityRow always = {.awake = STORE_AWAKE_ALWAYS}, never = {.awake = 0};

        (void)state;
        assert_true(ca_is_awake(&always, 0));
        assert_true(ca_is_awake(&always, NOW));
        assert_false(ca_is_awake(&never, 0));
        assert_false(ca_is_awake(&never, NOW));
}

static void test_a_ca_without_a_certificate_signs_nothing(void **state)
{
        const AuthorityEntry entry = {.row = {.awake = STORE_AWAKE_ALWAYS}};

        (void)state;
        assert_int_equal(ca_check_signer(NULL), HF_E_CA_NOT_INITIALISED);
        assert_int_equal(ca_check_signer(&entry), HF_E_CA_NOT_INITIALISED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_enabled_root_signs_for_an_hour),
                cmocka_unit_test(test_a_clock_that_is_put_back_wakes_no_root),
                cmocka_unit_test(test_a_ca_without_rest_signs_at_any_time_and_one_at_rest_never),
                cmocka_unit_test(test_a_ca_without_a_certificate_signs_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
