/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define EURO "\xe2\x82\xac"

static void test_characters_of_every_size_are_valid(void **state)
{
        (void)state;
        assert_true(text_is_valid(""));
        assert_true(text_is_valid("plain \x7f"));
        assert_true(text_is_valid("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf " EURO " \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
}

static void test_what_a_bus_daemon_refuses_is_not_valid(void **state)
{
        static const char *const bad[] = {
                        "\x80", "a\xff", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
                        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc2", "\xe2\x82", "\xf0\x90\x80", "\xe2 \x82\xac",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(text_is_valid(bad[i]));
}

static void test_a_text_that_was_cut_anywhere_becomes_valid_and_keeps_what_is_whole(void **state)
{
        static const char whole[] = "a" EURO "b\xf0\x9f\x94\x91" "c";
        char text[sizeof(whole)];

        (void)state;
        for (size_t n = 0; n < sizeof(whole); n++) {
                memcpy(text, whole, n);
                text[n] = '\0';
                assert_true(text_is_valid(text_make_valid(text)));
                assert_int_equal(strlen(text), n);
        }
        assert_string_equal(text, whole);
        strcpy(text, "a\xe2\x82");
        assert_string_equal(text_make_valid(text), "a??");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_characters_of_every_size_are_valid),
                        cmocka_unit_test(test_what_a_bus_daemon_refuses_is_not_valid),
                        cmocka_unit_test(test_a_text_that_was_cut_anywhere_becomes_valid_and_keeps_what_is_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
