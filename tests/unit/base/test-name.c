/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <time.h>

#include "base/name.h"

static void test_good_names_are_valid(void **state)
{
        static const char *const good[] = {"a", "7", "device-tls", "A.b_c-9", "0..--__",
                "0123456789012345678901234567890123456789012345678901234567890123"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(name_is_valid(good[i]));
}

static void test_bad_names_are_not(void **state)
{
        static const char *const bad[] = {"", ".", "..", "-a", "_a", ".a", "a b", "a/b", "a\n", "a*", "a?", "caf\xc3\xa9", "a\"",
                "01234567890123456789012345678901234567890123456789012345678901234",
                "12345678-1234-4234-8234-123456789abc"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(name_is_valid(bad[i]));
}

static void test_patterns_match_as_a_shell_does(void **state)
{
        static const struct {
                const char *pattern, *name;
                bool match;
        } cases[] = {
                {"a", "a", true},        {"a", "b", false},       {"a", "", false},         {"", "", true},
                {"", "a", false},        {"*", "", true},         {"*", "anything", true},  {"a*", "a", true},
                {"a*", "ab", true},      {"a*", "ba", false},     {"*a", "a", true},        {"*a", "ba", true},
                {"*a", "ab", false},     {"*a*", "bab", true},    {"?", "a", true},         {"?", "", false},
                {"?", "ab", false},      {"a?c", "abc", true},    {"a?c", "ac", false},     {"a*b*c", "a1b2c", true},
                {"a*b*c", "acb", false}, {"*ab", "aab", true},    {"*aab", "aaab", true},   {"a**b", "ab", true},
                {"tls-*", "tls-", true}, {"tls-*", "tls", false}, {"*?", "", false},        {"*?", "a", true},
                {"A", "a", false},       {"a.c", "abc", false},   {"abc", "abcd", false},   {"abcd", "abc", false},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (name_matches(cases[i].pattern, cases[i].name) != cases[i].match)
                        fail_msg("\"%s\" against \"%s\"", cases[i].pattern, cases[i].name);
}

static void test_pattern_syntax_is_the_alphabet_and_two_wildcards(void **state)
{
        static const char *const good[] = {"*", "?", "a*", "*-tls", "a?b", "7"};
        static const char *const bad[] = {"", "[a]", "a b", "-a", ".*", "a/b", "{a,b}", "\\*", "a\n"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(name_pattern_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(name_pattern_is_valid(bad[i]));
}

static void test_the_worst_pattern_is_still_quick(void **state)
{
        char pattern[NAME_SIZE], name[NAME_SIZE];
        clock_t start = clock();

        (void)state;
        for (int i = 0; i < NAME_MAX_LEN; i++) {
                pattern[i] = i % 2 ? 'a' : '*';
                name[i] = 'a';
        }
        pattern[NAME_MAX_LEN - 1] = 'b';
        pattern[NAME_MAX_LEN] = name[NAME_MAX_LEN] = '\0';
        for (int i = 0; i < 1000; i++)
                assert_false(name_matches(pattern, name));
        assert_true(clock() - start < CLOCKS_PER_SEC); /* exponential ones would take for ever */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_names_are_valid),
                cmocka_unit_test(test_bad_names_are_not),
                cmocka_unit_test(test_patterns_match_as_a_shell_does),
                cmocka_unit_test(test_pattern_syntax_is_the_alphabet_and_two_wildcards),
                cmocka_unit_test(test_the_worst_pattern_is_still_quick),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
