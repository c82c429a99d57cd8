/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common.h"

#include "keystore/lifecycle.h"

/* What comes back for each action in each state. */
static void test_every_action_in_every_state(void **state)
{
        static const struct {
                uint32_t flags;
                int expected[_KEY_ACTION_MAX];
        } cases[] = {
                        {0, {0, 0, HF_E_NOTHING_TO_DO, 0, 0, 0, 0}},
                        {KEY_FLAG_DISABLED, {0, HF_E_KEY_DISABLED, 0, HF_E_NOTHING_TO_DO, 0, 0, 0}},
                        {KEY_FLAG_RETIRED, {0, 0, HF_E_NOTHING_TO_DO, 0, 0, HF_E_NOTHING_TO_DO, 0}},
                        {KEY_FLAG_FROZEN, {0, 0, HF_E_KEY_FROZEN, HF_E_KEY_FROZEN, HF_E_NOTHING_TO_DO,
                                                          HF_E_KEY_FROZEN, HF_E_KEY_FROZEN}},
                        {KEY_FLAG_FROZEN | KEY_FLAG_DISABLED,
                                        {0, HF_E_KEY_DISABLED, HF_E_KEY_FROZEN, HF_E_KEY_FROZEN,
                                                        HF_E_NOTHING_TO_DO, HF_E_KEY_FROZEN,
                                                        HF_E_KEY_FROZEN}},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(key_entry_unrefp) KeyEntry *e = make_entry(1, "k", cases[i].flags);

                for (KeyAction action = KEY_ACTION_USE; action < _KEY_ACTION_MAX; action++)
                        assert_int_equal(lifecycle_check(e, action), cases[i].expected[action]);
        }
}

static void test_unknown_action_is_refused(void **state)
{
        _cleanup_(key_entry_unrefp) KeyEntry *e = make_entry(1, "k", 0);
        KeyAttributes a;

        (void)state;
        assert_int_equal(lifecycle_check(e, 0), HF_E_INVALID_ARGS);
        assert_int_equal(lifecycle_check(e, _KEY_ACTION_MAX), HF_E_INVALID_ARGS);
        assert_int_equal(lifecycle_next(e, KEY_ACTION_USE, &a), HF_E_INVALID_ARGS);
        assert_int_equal(lifecycle_next(e, KEY_ACTION_DESTROY, &a), HF_E_INVALID_ARGS);
}

static void test_next_version_changes_one_flag_only(void **state)
{
        _cleanup_(key_entry_unrefp) KeyEntry *e = make_entry(1, "k", KEY_FLAG_IMPORTED | KEY_FLAG_DIGEST);
        KeyAttributes before, after;

        (void)state;
        assert_int_equal(key_entry_decode(e, &before), 0);
        assert_int_equal(lifecycle_next(e, KEY_ACTION_DISABLE, &after), 0);
        assert_int_equal(after.version, 2);
        assert_int_equal(after.flags, KEY_FLAG_IMPORTED | KEY_FLAG_DIGEST | KEY_FLAG_DISABLED);
        after.version = before.version;
        after.flags = before.flags;
        assert_memory_equal(after.public, before.public, before.public_len);
        assert_string_equal(after.name, before.name);
        assert_true(uuid_equal(&after.uuid, &before.uuid));
}

static void test_new_key_needs_a_good_and_free_name(void **state)
{
        Catalogue *c;
        _cleanup_(key_entry_unrefp) KeyEntry *e = make_entry(1, "taken", 0);

        (void)state;
        assert_int_equal(catalogue_new(2, &c), 0);
        assert_int_equal(catalogue_add(c, e), 0);
        assert_int_equal(lifecycle_check_new(c, "free"), 0);
        assert_int_equal(lifecycle_check_new(c, "taken"), HF_E_KEY_EXISTS);
        assert_int_equal(lifecycle_check_new(c, ""), HF_E_INVALID_NAME);
        assert_int_equal(lifecycle_check_new(c, "../x"), HF_E_INVALID_NAME);
        assert_int_equal(lifecycle_check_new(c, "01234567-89ab-4cde-8123-456789abcdef"), HF_E_INVALID_NAME);
        catalogue_set_keys_max(c, 1);
        assert_int_equal(lifecycle_check_new(c, "free"), HF_E_LIMIT_EXCEEDED);
        catalogue_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_every_action_in_every_state),
                        cmocka_unit_test(test_unknown_action_is_refused),
                        cmocka_unit_test(test_next_version_changes_one_flag_only),
                        cmocka_unit_test(test_new_key_needs_a_good_and_free_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
