/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdio.h>

#include "policy/names.h"

static void test_a_name_is_new_once_per_kind(void **state)
{
        _cleanup_(name_table_deinit) NameTable t = {};
        NameEntry *entry;
        bool is_new;

        (void)state;
        assert_int_equal(name_table_get(&t, NAME_USER, "a", &entry, &is_new), 0);
        assert_true(is_new);
        entry->id = 7;
        assert_int_equal(name_table_get(&t, NAME_GROUP, "a", &entry, &is_new), 0);
        assert_true(is_new);
        assert_int_equal(name_table_get(&t, NAME_USER, "a", &entry, &is_new), 0);
        assert_false(is_new);
        assert_int_equal(entry->id, 7);
}

static void test_ten_thousand_names_are_found_again(void **state)
{
        static char names[10000][16];
        _cleanup_(name_table_deinit) NameTable t = {};
        NameEntry *entry;
        bool is_new;

        (void)state;
        for (uint32_t i = 0; i < 10000; i++) {
                (void)snprintf(names[i], sizeof(names[i]), "name%u", i);
                assert_int_equal(name_table_get(&t, NAME_RULE, names[i], &entry, &is_new), 0);
                assert_true(is_new);
                entry->id = i;
        }
        for (uint32_t i = 0; i < 10000; i++) {
                assert_int_equal(name_table_get(&t, NAME_RULE, names[i], &entry, &is_new), 0);
                assert_false(is_new);
                assert_int_equal(entry->id, i);
        }
        assert_int_equal(t.n, 10000);
}

static void test_the_system_knows_root_and_not_everybody(void **state)
{
        uid_t uid = 5;
        gid_t gid = 5;

        (void)state;
        assert_int_equal(policy_names_system_user(NULL, "root", &uid), 0);
        assert_int_equal(uid, 0);
        assert_int_equal(policy_names_system_group(NULL, "root", &gid), 0);
        assert_int_equal(gid, 0);
        uid = 5;
        assert_int_equal(policy_names_system_user(NULL, "no-such-user-here", &uid), HF_E_INVALID_NAME);
        assert_int_equal(policy_names_system_group(NULL, "no-such-group-here", &gid), HF_E_INVALID_NAME);
        assert_int_equal(uid, 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_name_is_new_once_per_kind),
                        cmocka_unit_test(test_ten_thousand_names_are_found_again),
                        cmocka_unit_test(test_the_system_knows_root_and_not_everybody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
