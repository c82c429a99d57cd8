/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a CA may sign: a root for an hour and not longer, whatever happens to the clock. */
#include "support.h"

#include "base/clock.h"
#include "daemon/ca.h"

#define NOW (1800000000 * USEC_PER_SEC)
#define UP (7200 * USEC_PER_SEC)

/* As it was enabled at NOW. */
static AuthorityEntry enabled_root(void)
{
        return (AuthorityEntry){.deadline = UP + AUTHORITY_AWAKE_USEC, .row = {.kind = CA_ROOT, .awake = NOW + AUTHORITY_AWAKE_USEC}};
}

static int reset(void **state)
{
        (void)state;
        clock_set_wall(0);
        clock_set_monotonic(UP);
        return 0;
}

static void test_an_enabled_root_signs_for_an_hour(void **state)
{
        const AuthorityEntry a = enabled_root();

        (void)state;
        assert_true(ca_is_awake(&a, NOW));
        assert_true(ca_is_awake(&a, NOW + AUTHORITY_AWAKE_USEC - 1));
        assert_false(ca_is_awake(&a, NOW + AUTHORITY_AWAKE_USEC));
        assert_false(ca_is_awake(&a, UINT64_MAX));
}

static bool troubles(CaKind kind, uint64_t left, bool published, const char *words)
{
        const StoreAuthorityRow row = {.kind = kind, .crl_due = NOW + left};
        char said[CA_CRL_WORDS_SIZE] = "";

        return ca_crl_trouble(&row, published, NOW, said) && strstr(said, words);
}

#define HOUR (3600 * USEC_PER_SEC)

static void test_a_list_is_a_trouble_before_it_runs_out_and_one_made_in_time_is_none(void **state)
{
        (void)state;
        assert_false(troubles(CA_INTERMEDIATE, 24 * HOUR, true, ""));
        assert_true(troubles(CA_INTERMEDIATE, 11 * HOUR, true, "runs out in 11 h"));
        assert_false(troubles(CA_ROOT, 31 * 24 * HOUR, true, ""));
        assert_true(troubles(CA_ROOT, 29 * 24 * HOUR, true, "runs out in 29 days"));
        assert_true(troubles(CA_ROOT, 0, true, "is over"));
        assert_true(troubles(CA_INTERMEDIATE, 40 * HOUR, false, "not where servers read it"));
}

static void test_a_clock_that_is_put_back_wakes_no_root(void **state)
{
        const AuthorityEntry a = enabled_root();

        (void)state;
        assert_false(ca_is_awake(&a, NOW - 1));
        assert_false(ca_is_awake(&a, NOW - 86400 * USEC_PER_SEC));
        assert_false(ca_is_awake(&a, 0));
}

static void test_a_clock_that_is_put_back_within_the_hour_does_not_lengthen_it(void **state)
{
        const AuthorityEntry a = enabled_root();

        (void)state;
        clock_set_monotonic(UP + AUTHORITY_AWAKE_USEC - 1);
        assert_true(ca_is_awake(&a, NOW + 1));
        clock_set_monotonic(UP + AUTHORITY_AWAKE_USEC);
        assert_false(ca_is_awake(&a, NOW + 1));
}

static void test_the_end_of_the_hour_stays_when_the_row_changes_otherwise(void **state)
{
        StoreAuthorityRow row = {.name = "root", .kind = CA_ROOT, .awake = NOW + AUTHORITY_AWAKE_USEC};
        _cleanup_(registry_freep) Registry *registry = NULL;
        const AuthorityEntry *a;

        (void)state;
        assert_int_equal(registry_new(&registry), 0);
        clock_set_wall(NOW + AUTHORITY_AWAKE_USEC / 2);
        assert_int_equal(registry_load_authority(registry, &row), 0);
        a = registry_authority(registry, "root");
        assert_int_equal(a->deadline, UP + AUTHORITY_AWAKE_USEC / 2);
        assert_true(ca_is_awake(a, clock_wall()));
        clock_set_wall(NOW - 86400 * USEC_PER_SEC); /* what is loaded then has an hour at most */
        registry_free(registry);
        assert_int_equal(registry_new(&registry), 0);
        assert_int_equal(registry_load_authority(registry, &row), 0);
        assert_int_equal(registry_authority(registry, "root")->deadline, UP + AUTHORITY_AWAKE_USEC);
}

static void test_a_ca_without_rest_signs_at_any_time_and_one_at_rest_never(void **state)
{
        const AuthorityEntry always = {.row = {.awake = STORE_AWAKE_ALWAYS}}, never = {.deadline = UINT64_MAX};

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
                cmocka_unit_test_setup(test_an_enabled_root_signs_for_an_hour, reset),
                cmocka_unit_test_setup(test_a_list_is_a_trouble_before_it_runs_out_and_one_made_in_time_is_none, reset),
                cmocka_unit_test_setup(test_a_clock_that_is_put_back_wakes_no_root, reset),
                cmocka_unit_test_setup(test_a_clock_that_is_put_back_within_the_hour_does_not_lengthen_it, reset),
                cmocka_unit_test_setup(test_the_end_of_the_hour_stays_when_the_row_changes_otherwise, reset),
                cmocka_unit_test(test_a_ca_without_rest_signs_at_any_time_and_one_at_rest_never),
                cmocka_unit_test(test_a_ca_without_a_certificate_signs_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
