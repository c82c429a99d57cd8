/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include "base/uuid.h"

static void test_text_goes_there_and_back(void **state)
{
        char text[UUID_TEXT_SIZE];
        Uuid a, b;

        (void)state;
        for (int i = 0; i < 100; i++) {
                uuid_generate(&a);
                uuid_format(&a, text);
                assert_int_equal(strlen(text), 36);
                assert_true(uuid_parse(text, &b));
                assert_true(uuid_equal(&a, &b));
        }
}

static void test_the_text_is_the_rfc_form(void **state)
{
        const Uuid u = {{0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0x00, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6}};
        char text[UUID_TEXT_SIZE];

        (void)state;
        uuid_format(&u, text);
        assert_string_equal(text, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
}

static void test_new_ones_are_version_4_and_differ(void **state)
{
        Uuid a, b;

        (void)state;
        for (int i = 0; i < 1000; i++) {
                uuid_generate(&a);
                uuid_generate(&b);
                assert_int_equal(a.b[6] >> 4, 4);
                assert_int_equal(a.b[8] >> 6, 2);
                assert_false(uuid_equal(&a, &b));
                assert_false(uuid_is_null(&a));
        }
}

static void test_other_texts_are_refused_and_leave_the_output_alone(void **state)
{
        static const char *const bad[] = {
                "", "f81d4fae", "f81d4fae-7dec-11d0-a765-00a0c91e6bf", "f81d4fae-7dec-11d0-a765-00a0c91e6bf66",
                "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "{81d4fae-7dec-11d0-a765-00a0c91e6bf}",
                "f81d4fae07dec-11d0-a765-00a0c91e6bf6", "f81d4fae-7dec-11d0-a765000a0c91e6bf6",
                "f81d4fae-7dec-11d0-a765-00a0c91e6bfg", "f81d4fa-e7dec-11d0-a765-00a0c91e6bf6",
        };
        Uuid u, before;

        (void)state;
        uuid_generate(&before);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                u = before;
                assert_false(uuid_parse(bad[i], &u));
                assert_true(uuid_equal(&u, &before));
        }
}

static void test_null_is_all_zero(void **state)
{
        Uuid u = {};

        (void)state;
        assert_true(uuid_is_null(&u));
        u.b[15] = 1;
        assert_false(uuid_is_null(&u));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_goes_there_and_back),
                cmocka_unit_test(test_the_text_is_the_rfc_form),
                cmocka_unit_test(test_new_ones_are_version_4_and_differ),
                cmocka_unit_test(test_other_texts_are_refused_and_leave_the_output_alone),
                cmocka_unit_test(test_null_is_all_zero),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
