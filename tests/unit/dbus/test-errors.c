/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one table of errors: complete, without doubles, and of use to the person who reads it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "dbus/errors.h"
#include "dbus/names.h"

static void test_every_error_has_a_bus_name_of_its_own(void **state)
{
        (void)state;
        for (int a = 1; a < _HF_E_MAX; a++)
                for (int b = a + 1; b < _HF_E_MAX; b++)
                        assert_string_not_equal(errors_bus_name(a), errors_bus_name(b));
}

static void test_a_bus_name_is_the_prefix_and_the_errors_own_name(void **state)
{
        char want[128];

        (void)state;
        for (int r = 1; r < _HF_E_MAX; r++) {
                snprintf(want, sizeof(want), HF_ERROR_PREFIX "%s", hf_error_name(r));
                assert_string_equal(errors_bus_name(r), want);
        }
}

static void test_a_bus_name_is_one_the_bus_accepts(void **state)
{
        (void)state;
        for (int r = 1; r < _HF_E_MAX; r++) {
                const char *name = errors_bus_name(r);

                assert_true(strlen(name) < 255);
                assert_int_equal(strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                              "."),
                                strlen(name));
                assert_null(strstr(name, ".."));
        }
}

static void test_names_map_back(void **state)
{
        (void)state;
        for (int r = 1; r < _HF_E_MAX; r++)
                assert_int_equal(errors_from_bus_name(errors_bus_name(r)), r);
}

/* What happened to the caller's things: one of these words says that nothing was, or what stays as it is. */
static const char *const outcomes[] = {
                "othing was",
                "not read",
                "not used",
                "was not",
                "were left",
                "was left",
                "stays",
                "was kept",
                "not known",
                "withheld",
                "refused",
                "unchanged",
                "could not be opened",
};

static void test_every_sentence_says_what_happened_and_what_was_not_changed(void **state)
{
        (void)state;
        for (int r = 1; r < _HF_E_MAX; r++) {
                const char *text = errors_sentence(r);
                bool says = false;

                for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
                        says = says || strstr(text, outcomes[i]);
                if (!says)
                        fail_msg("%s does not say what was not changed: %s", hf_error_name(r), text);
        }
}

static void test_every_sentence_is_whole_and_its_own(void **state)
{
        (void)state;
        for (int a = 1; a < _HF_E_MAX; a++) {
                const char *text = errors_sentence(a);
                size_t len = strlen(text);

                assert_in_range(len, 30, 300);
                assert_true((text[0] >= 'A' && text[0] <= 'Z') || strncmp(text, "holdfastd ", 10) == 0);
                assert_int_equal(text[len - 1], '.');
                for (size_t i = 0; i < len; i++)
                        assert_in_range(text[i], 0x20, 0x7e);
                for (int b = a + 1; b < _HF_E_MAX; b++)
                        assert_string_not_equal(text, errors_sentence(b));
        }
}

static void test_no_error_exits_with_success_or_beyond_the_documented_codes(void **state)
{
        (void)state;
        assert_int_equal(errors_exit_code(0), EXIT_CODE_OK);
        for (int r = 1; r < _HF_E_MAX; r++)
                assert_in_range(errors_exit_code(r), EXIT_CODE_FAILED, EXIT_CODE_UNKNOWN_SIGNER);
}

static void test_scripts_can_tell_the_common_cases_apart(void **state)
{
        static const struct {
                int error, code;
        } rows[] = {
                        {HF_E_INVALID_ARGS, EXIT_CODE_USAGE},
                        {HF_E_NO_SUCH_KEY, EXIT_CODE_NOT_FOUND},
                        {HF_E_POLICY_DENIED, EXIT_CODE_NOT_PERMITTED},
                        {HF_E_STORE_LOCKED, EXIT_CODE_LOCKED},
                        {HF_E_NOTHING_TO_DO, EXIT_CODE_NOTHING_TO_DO},
                        {HF_E_DAEMON_UNAVAILABLE, EXIT_CODE_NO_DAEMON},
                        {HF_E_KEY_MISMATCH, EXIT_CODE_VERIFICATION},
                        {HF_E_TIMED_OUT, EXIT_CODE_TIMED_OUT},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(errors_exit_code(rows[i].error), rows[i].code);
}

static void test_values_out_of_the_table_are_internal_errors(void **state)
{
        static const int odd[] = {-1, -ENOMEM, -EIO, INT32_MIN, _HF_E_MAX, _HF_E_MAX + 1, INT32_MAX};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
                assert_string_equal(errors_bus_name(odd[i]), HF_ERROR_PREFIX "Internal");
                assert_string_equal(errors_sentence(odd[i]), errors_sentence(HF_E_INTERNAL));
                assert_int_equal(errors_exit_code(odd[i]), EXIT_CODE_FAILED);
        }
}

static void test_what_the_bus_answers_in_our_place_is_understood(void **state)
{
        static const struct {
                const char *name;
                int error;
        } rows[] = {
                        {"org.freedesktop.DBus.Error.AccessDenied", HF_E_POLICY_DENIED},
                        {"org.freedesktop.DBus.Error.NoReply", HF_E_TIMED_OUT},
                        {"org.freedesktop.DBus.Error.Timeout", HF_E_TIMED_OUT},
                        {"org.freedesktop.DBus.Error.ServiceUnknown", HF_E_DAEMON_UNAVAILABLE},
                        {"org.freedesktop.DBus.Error.NameHasNoOwner", HF_E_DAEMON_UNAVAILABLE},
                        {"org.freedesktop.DBus.Error.InvalidArgs", HF_E_INVALID_ARGS},
                        {"org.freedesktop.DBus.Error.UnknownMethod", HF_E_NOT_SUPPORTED},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(errors_from_bus_name(rows[i].name), rows[i].error);
}

static void test_strangers_names_are_no_error_of_ours(void **state)
{
        static const char *const names[] = {
                        "",
                        ".",
                        "StoreLocked",
                        HF_ERROR_PREFIX,
                        HF_ERROR_PREFIX "storelocked",
                        HF_ERROR_PREFIX "StoreLocked2",
                        HF_ERROR_PREFIX "StoreLocke",
                        "org.example.Error.StoreLocked",
                        "org.freedesktop.DBus.Error.accessdenied",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(errors_from_bus_name(names[i]), HF_E_INTERNAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_every_error_has_a_bus_name_of_its_own),
                        cmocka_unit_test(test_a_bus_name_is_the_prefix_and_the_errors_own_name),
                        cmocka_unit_test(test_a_bus_name_is_one_the_bus_accepts),
                        cmocka_unit_test(test_names_map_back),
                        cmocka_unit_test(test_every_sentence_says_what_happened_and_what_was_not_changed),
                        cmocka_unit_test(test_every_sentence_is_whole_and_its_own),
                        cmocka_unit_test(test_no_error_exits_with_success_or_beyond_the_documented_codes),
                        cmocka_unit_test(test_scripts_can_tell_the_common_cases_apart),
                        cmocka_unit_test(test_values_out_of_the_table_are_internal_errors),
                        cmocka_unit_test(test_what_the_bus_answers_in_our_place_is_understood),
                        cmocka_unit_test(test_strangers_names_are_no_error_of_ours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
