/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include "policy/window.h"

/* 2026-11-16 is a Monday. */
#define MONDAY (NOON - 12 * HOUR - 2 * DAY)

static PolicyWindow window(const char *between, const char *days)
{
        PolicyWindow w = {};

        if (between)
                assert_int_equal(policy_window_parse_between(between, &w), 0);
        if (days)
                assert_int_equal(policy_window_parse_days(days, &w), 0);
        return w;
}

static void test_a_window_is_open_from_its_first_minute_up_to_its_last(void **state)
{
        PolicyWindow w = window("08:00-18:30", NULL);

        (void)state;
        assert_false(policy_window_is_open(&w, MONDAY + 8 * HOUR - 1));
        assert_true(policy_window_is_open(&w, MONDAY + 8 * HOUR));
        assert_true(policy_window_is_open(&w, MONDAY + 18 * HOUR + 30 * MINUTE - 1));
        assert_false(policy_window_is_open(&w, MONDAY + 18 * HOUR + 30 * MINUTE));
}

static void test_a_window_over_midnight_belongs_to_the_day_it_opened(void **state)
{
        PolicyWindow w = window("22:00-06:00", "fri");

        (void)state;
        assert_false(policy_window_is_open(
                        &w, MONDAY + 4 * DAY + 5 * HOUR)); /* Friday morning is Thursday's */
        assert_false(policy_window_is_open(&w, MONDAY + 4 * DAY + 22 * HOUR - 1));
        assert_true(policy_window_is_open(&w, MONDAY + 4 * DAY + 22 * HOUR));
        assert_true(policy_window_is_open(&w, MONDAY + 5 * DAY + 6 * HOUR - 1));
        assert_false(policy_window_is_open(&w, MONDAY + 5 * DAY + 6 * HOUR));
        assert_false(policy_window_is_open(&w, MONDAY + 5 * DAY + 23 * HOUR));
        w = window("22:00-06:00", NULL);
        assert_true(policy_window_is_open(&w, MONDAY + 6 * HOUR - 1));
        assert_false(policy_window_is_open(&w, MONDAY + 6 * HOUR));
        w = window("22:00-06:00", "sun");
        assert_true(policy_window_is_open(&w, MONDAY + 5 * HOUR));
}

static void test_a_window_to_midnight_and_one_of_all_day(void **state)
{
        PolicyWindow w = window("23:00-24:00", NULL), none = {};

        (void)state;
        assert_true(policy_window_is_open(&w, MONDAY + 24 * HOUR - 1));
        assert_false(policy_window_is_open(&w, MONDAY + 24 * HOUR));
        w = window("19:59-00:00", NULL);
        assert_true(policy_window_is_open(&w, MONDAY + 24 * HOUR - 1));
        assert_true(policy_window_is_open(&w, MONDAY + 19 * HOUR + 59 * MINUTE));
        assert_false(policy_window_is_open(&w, MONDAY + 19 * HOUR + 59 * MINUTE - 1));
        assert_false(policy_window_is_open(&w, MONDAY + 24 * HOUR));
        w = window("00:00-24:00", NULL);
        assert_true(policy_window_is_open(&w, MONDAY));
        assert_true(policy_window_is_open(&w, MONDAY + 24 * HOUR - 1));
        assert_true(policy_window_is_open(&none, 0));
}

static void test_days_are_ranges_that_may_go_over_sunday(void **state)
{
        static const struct {
                const char *days;
                uint8_t bits;
        } table[] = {{"mon", 1}, {"sun", 64}, {"mon-fri", 31}, {"sat-mon", 97}, {"wed-wed", 4},
                        {"tue-mon", 127}};

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                PolicyWindow w = window(NULL, table[i].days);

                assert_int_equal(w.days, table[i].bits);
                for (unsigned day = 0; day < 7; day++)
                        assert_int_equal(policy_window_is_open(&w, MONDAY + day * DAY),
                                        table[i].bits >> day & 1);
        }
        /* the epoch was a Thursday */
        assert_true(policy_window_is_open(&(PolicyWindow){.days = 8}, 0));
}

static void test_what_is_no_time_of_day_is_refused(void **state)
{
        static const char *const table[] = {"", "8:00-9:00", "08:00-18:00 ", "08:00", "08:00_18:00",
                        "24:01-02:00", "08:60-09:00", "08:00-08:00", "24:00-08:00", "08.00-09:00",
                        "08:00-09:0x", "0/:00-09:00", "08:00-25:00", "-8:00-09:00", ":8:00-09:00",
                        "08:00-0a:00"};
        PolicyWindow w = {};

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                assert_int_equal(policy_window_parse_between(table[i], &w), HF_E_POLICY_INVALID);
        assert_int_equal(w.from + w.to, 0);
}

static void test_what_is_no_day_is_refused(void **state)
{
        static const char *const table[] = {"", "mo", "Mon", "monday", "mon-", "mon-x", "mon-frid", "x-mon",
                        "mon_fri", "mon-fro", "xxx", "xxx-fri"};
        PolicyWindow w = {};

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                assert_int_equal(policy_window_parse_days(table[i], &w), HF_E_POLICY_INVALID);
        assert_int_equal(w.days, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_window_is_open_from_its_first_minute_up_to_its_last),
                        cmocka_unit_test(test_a_window_over_midnight_belongs_to_the_day_it_opened),
                        cmocka_unit_test(test_a_window_to_midnight_and_one_of_all_day),
                        cmocka_unit_test(test_days_are_ranges_that_may_go_over_sunday),
                        cmocka_unit_test(test_what_is_no_time_of_day_is_refused),
                        cmocka_unit_test(test_what_is_no_day_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
