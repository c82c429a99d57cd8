/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a CA may sign: a root for an hour and not longer, whatever happens to the clock. */
#include "support.h"

#include "base/clock.h"
#include "base/wire.h"
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

static void test_the_wall_clock_alone_wakes_no_root_that_is_loaded(void **state)
{
        StoreAuthorityRow row = {.name = "root", .kind = CA_ROOT, .awake = NOW + AUTHORITY_AWAKE_USEC};
        _cleanup_(registry_freep) Registry *registry = NULL;

        (void)state;
        for (uint64_t wall = NOW - 86400 * USEC_PER_SEC; wall <= row.awake; wall += AUTHORITY_AWAKE_USEC / 2) {
                registry_free(registry);
                assert_int_equal(registry_new(&registry), 0);
                clock_set_wall(wall);
                assert_int_equal(registry_load_authority(registry, &row), 0);
                assert_false(ca_is_awake(registry_authority(registry, "root"), wall));
        }
}

static void load_hour(const uint8_t *boot, uint64_t end, uint64_t up, uint64_t wall, bool awake)
{
        StoreAuthorityRow row = {.name = "root", .kind = CA_ROOT, .awake = NOW + AUTHORITY_AWAKE_USEC, .key = {{5}}};
        _cleanup_(registry_freep) Registry *registry = NULL;
        _cleanup_buffer_ Buffer value = BUFFER_INIT(64);
        char uuid[UUID_TEXT_SIZE];

        uuid_format(&row.key, uuid);
        assert_int_equal(buffer_append(&value, boot, 16), 0);
        assert_int_equal(wire_put_u64(&value, end), 0);
        assert_int_equal(registry_new(&registry), 0);
        assert_int_equal(registry_load_hour(registry, uuid, buffer_bytes(&value)), 0);
        assert_int_equal(registry_load_hour(registry, "x", buffer_bytes(&value)), HF_E_STORE_DAMAGED);
        assert_int_equal(registry_load_hour(registry, uuid, BYTES(value.data, 23)), HF_E_STORE_DAMAGED);
        clock_set_monotonic(up);
        clock_set_wall(wall);
        assert_int_equal(registry_load_authority(registry, &row), 0);
        assert_int_equal(ca_is_awake(registry_authority(registry, "root"), wall), awake);
}

static void test_an_hour_goes_on_in_this_start_of_the_machine_until_its_end(void **state)
{
        const uint64_t end = UP + AUTHORITY_AWAKE_USEC;
        uint8_t boot[16], other[16] = {1};

        (void)state;
        clock_boot(boot);
        load_hour(boot, end, UP, NOW + 1, true);
        load_hour(boot, end, end - 1, NOW + 1, true);
        load_hour(boot, end, end, NOW + 1, false);
        load_hour(other, end, UP, NOW + 1, false);
        load_hour(boot, UINT64_MAX, UP, NOW - 1, false);
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
                cmocka_unit_test_setup(test_an_hour_goes_on_in_this_start_of_the_machine_until_its_end, reset),
                cmocka_unit_test_setup(test_the_wall_clock_alone_wakes_no_root_that_is_loaded, reset),
                cmocka_unit_test(test_a_ca_without_rest_signs_at_any_time_and_one_at_rest_never),
                cmocka_unit_test(test_a_ca_without_a_certificate_signs_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
