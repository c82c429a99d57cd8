/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include "base/log.h"

/* What a call wrote to stderr. */
static void captured(void (*what)(void), char *ret, size_t size)
{
        int pipes[2], saved = dup(STDERR_FILENO);
        ssize_t n;

        assert_int_equal(pipe(pipes), 0);
        dup2(pipes[1], STDERR_FILENO);
        what();
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(pipes[1]);
        n = read(pipes[0], ret, size - 1);
        close(pipes[0]);
        assert_true(n >= 0);
        ret[n] = '\0';
}

static void say(void)
{
        log_info("%s %d", "hello", 7);
}

static void say_quietly(void)
{
        log_debug("nobody asked");
}

static void say_too_much(void)
{
        char text[5000];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        log_error("%s", text);
}

static void test_a_line_is_written_with_the_priority_only_for_the_journal(void **state)
{
        char got[256];

        (void)state;
        unsetenv("JOURNAL_STREAM");
        captured(say, got, sizeof(got));
        assert_string_equal(got, "hello 7\n");
        setenv("JOURNAL_STREAM", "8:1", 1);
        captured(say, got, sizeof(got));
        assert_string_equal(got, "<6>hello 7\n");
        unsetenv("JOURNAL_STREAM");
}

static void test_levels_beyond_the_wanted_one_are_left_out(void **state)
{
        char got[256];

        (void)state;
        captured(say_quietly, got, sizeof(got));
        assert_string_equal(got, "");
        log_set_max_level(LOG_DEBUG);
        captured(say_quietly, got, sizeof(got));
        assert_string_equal(got, "nobody asked\n");
        log_set_max_level(LOG_INFO);
}

static void test_a_line_that_is_too_long_is_cut_and_still_a_line(void **state)
{
        char got[8192];
        size_t n;

        (void)state;
        captured(say_too_much, got, sizeof(got));
        n = strlen(got);
        assert_true(n > 1000 && n <= 2048);
        assert_int_equal(got[n - 1], '\n');
        assert_int_equal(strspn(got, "x"), n - 1);
}

static void test_what_strangers_sent_is_escaped(void **state)
{
        char got[64];

        (void)state;
        assert_string_equal(log_escape("plain text", got, sizeof(got)), "plain text");
        assert_string_equal(log_escape("a\nb\x1b[0m\\\x7f\xc3", got, sizeof(got)), "a\\x0ab\\x1b[0m\\x5c\\x7f\\xc3");
}

static void test_escaping_never_writes_beyond_its_output(void **state)
{
        static const char nasty[] = "\n\n\n\n\n\n\n\n\n\n\n\n";

        (void)state;
        for (size_t size = 1; size < 32; size++) {
                char got[33];

                memset(got, 'Z', sizeof(got));
                log_escape(nasty, got, size);
                assert_true(strlen(got) < size);
                assert_int_equal(got[size], 'Z');
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_line_is_written_with_the_priority_only_for_the_journal),
                cmocka_unit_test(test_levels_beyond_the_wanted_one_are_left_out),
                cmocka_unit_test(test_a_line_that_is_too_long_is_cut_and_still_a_line),
                cmocka_unit_test(test_what_strangers_sent_is_escaped),
                cmocka_unit_test(test_escaping_never_writes_beyond_its_output),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
