/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which keys went with their TPM, on a board whose clock is wrong. */
#include "daemon/lost.h"

#include "tests/unit/daemon/stage.h"

#define MADE 1700000000000000ULL

/* A store with one key of a TPM, made at MADE. */
static VaultJob *open_with_key(Stage *p)
{
        KeyAttributes a = {.version = 1, .algorithm = KEY_HMAC256, .purpose = PURPOSE_MAC, .protection = PROTECTION_TPM,
                .created = MADE, .name = "device"};
        uint8_t wrapped[104] = {1};
        VaultJob *j;

        stage_make(p, "slots");
        j = stage_open(p);
        uuid_generate(&a.uuid);
        assert_int_equal(store_begin(j->store), 0);
        assert_int_equal(store_put_key(j->store, &(StoreKeyRow){.attributes = &a, .state = STORE_KEY_LIVE,
                                                       .wrapped = BYTES_ARRAY(wrapped)}), 0);
        assert_int_equal(store_commit(j->store), STORE_COMMITTED);
        return j;
}

static size_t lose(VaultJob *j, uint64_t now, LostOccasion ret[static LOST_MAX])
{
        uint64_t when = 0;
        size_t n = 0;

        assert_int_equal(lost_moment(j->store, now, &when), 0);
        assert_int_equal(store_begin(j->store), 0);
        assert_int_equal(lost_put(j->store, when, "gone"), 0);
        assert_int_equal(store_commit(j->store), STORE_COMMITTED);
        assert_int_equal(lost_get(j->store, ret, &n), 0);
        return n;
}

static void test_a_clock_that_went_back_leaves_no_old_key_out(void **state)
{
        LostOccasion occasions[LOST_MAX];
        VaultJob *j = open_with_key(*state);
        size_t n = lose(j, 1000, occasions);

        assert_int_equal(n, 1);
        assert_non_null(lost_find(occasions, n, MADE));
        stage_crash(j);
}

static void test_a_clock_that_was_ahead_takes_no_new_key_along(void **state)
{
        LostOccasion occasions[LOST_MAX];
        VaultJob *j = open_with_key(*state);
        size_t n = lose(j, 2 * MADE, occasions);

        assert_non_null(lost_find(occasions, n, MADE));
        assert_non_null(lost_find(occasions, n, MADE + 1)); /* what a key made now would be, but for the next line */
        assert_null(lost_find(occasions, n, lost_later(occasions, n, MADE + 1)));
        assert_int_equal(lost_later(occasions, n, 3 * MADE), 3 * MADE);
        stage_crash(j);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_a_clock_that_went_back_leaves_no_old_key_out),
                        TEST(test_a_clock_that_was_ahead_takes_no_new_key_along),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
