/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <time.h>

#include "base/clock.h"

static void assert_text(uint64_t usec, const char *want)
{
        char text[CLOCK_TEXT_SIZE];

        clock_format(usec, text);
        assert_string_equal(text, want);
}

static void test_times_are_rfc3339_in_utc(void **state)
{
        (void)state;
        setenv("TZ", "America/New_York", 1);
        tzset();
        assert_text(0, "1970-01-01T00:00:00.000000Z");
        assert_text(1795232878123456, "2026-11-21T03:47:58.123456Z");
        assert_text(951782400000001, "2000-02-29T00:00:00.000001Z");
        assert_text(253402300799999999, "9999-12-31T23:59:59.999999Z");
}

/* A clock that is wildly wrong, or a damaged record, must not break the one who prints it. */
static void test_impossible_times_still_have_the_fixed_length(void **state)
{
        static const uint64_t times[] = {253402300800000000, INT64_MAX, UINT64_MAX};
        char text[CLOCK_TEXT_SIZE];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                clock_format(times[i], text);
                assert_int_equal(strlen(text), CLOCK_TEXT_SIZE - 1);
        }
}

static void test_a_set_clock_stands_still_and_can_be_freed(void **state)
{
        (void)state;
        clock_set_wall(12345);
        assert_int_equal(clock_wall(), 12345);
        assert_int_equal(clock_wall(), 12345);
        clock_set_wall(0);
        assert_true(clock_wall() > 1700000000 * USEC_PER_SEC);
        clock_set_monotonic(77);
        assert_int_equal(clock_monotonic(), 77);
        clock_set_monotonic(0);
        assert_int_not_equal(clock_monotonic(), 77);
}

static void test_monotonic_time_does_not_go_back(void **state)
{
        uint64_t last = clock_monotonic();

        (void)state;
        for (int i = 0; i < 10000; i++) {
                uint64_t now = clock_monotonic();

                assert_true(now >= last);
                last = now;
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_times_are_rfc3339_in_utc),
                cmocka_unit_test(test_impossible_times_still_have_the_fixed_length),
                cmocka_unit_test(test_a_set_clock_stands_still_and_can_be_freed),
                cmocka_unit_test(test_monotonic_time_does_not_go_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
