/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli/input.c and cli/pem.c: times, limits, PEM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

#define NOW (1795237200ULL * USEC_PER_SEC) /* 2026-11-21 05:00:00 UTC */

static void test_times_are_dates_moments_or_spans_ago(void **state)
{
        uint64_t t;

        (void)state;
        assert_true(input_time("2026-11-21", NOW, &t));
        assert_int_equal(t, NOW - 5 * 3600 * USEC_PER_SEC);
        assert_true(input_time("2026-11-21T05:00:00Z", NOW, &t));
        assert_int_equal(t, NOW);
        assert_true(input_time("2h", NOW, &t));
        assert_int_equal(t, NOW - 7200 * USEC_PER_SEC);
        assert_true(input_time("15min", NOW, &t));
        assert_int_equal(t, NOW - 900 * USEC_PER_SEC);
        assert_true(input_time("1000000w", 5, &t));
        assert_int_equal(t, 0);
}

static void test_what_is_no_time_is_refused(void **state)
{
        static const char *const bad[] = {"", "yesterday", "-2h", "2 h", "2026-13-01", "2026-11-21x",
                        "99999999999999h", "1900-01-01"};
        uint64_t t = 42;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(input_time(bad[i], NOW, &t));
        assert_int_equal(t, 42);
}

static Cli quiet_cli(const Verb *verb)
{
        return (Cli){.verb = verb};
}

static void test_a_file_over_the_limit_is_refused_and_one_of_it_is_taken(void **state)
{
        static const Verb verb = {.name = "test"};
        char path[] = "/tmp/holdfast-test-XXXXXX";
        _cleanup_buffer_ Buffer exact = BUFFER_INIT(100), less = BUFFER_INIT(100);
        Cli cli = quiet_cli(&verb);
        int fd = mkstemp(path);

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 100), 0);
        close(fd);
        assert_int_equal(input_read(&cli, path, 100, &exact), 0);
        assert_int_equal(exact.len, 100);
        assert_int_equal(input_read(&cli, path, 99, &less), EXIT_CODE_USAGE);
        unlink(path);
        assert_int_equal(input_read(&cli, path, 99, &less), EXIT_CODE_NOT_FOUND);
}

static void test_pem_comes_back_as_it_went(void **state)
{
        uint8_t der[200];
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1000);

        (void)state;
        for (size_t i = 0; i < sizeof(der); i++)
                der[i] = (uint8_t)(i * 7);
        assert_int_equal(pem_encode("PUBLIC KEY", (HfSpan){der, sizeof(der)}, &b), 0);
        assert_memory_equal(b.data, "-----BEGIN PUBLIC KEY-----\n", 27);
        assert_int_equal(((char *)b.data)[27 + 64], '\n');
        assert_true(pem_decode("PUBLIC KEY", &b));
        assert_int_equal(b.len, sizeof(der));
        assert_memory_equal(b.data, der, sizeof(der));
}

static void test_what_is_no_pem_stays_as_it_is(void **state)
{
        static const char *const bad[] = {"", "-----BEGIN PUBLIC KEY-----",
                        "-----END PUBLIC KEY----------BEGIN PUBLIC KEY-----",
                        "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----",
                        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_buffer_ Buffer b = BUFFER_INIT(1000);

                assert_int_equal(buffer_append(&b, bad[i], strlen(bad[i])), 0);
                assert_false(pem_decode("PUBLIC KEY", &b));
                assert_int_equal(b.len, strlen(bad[i]));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_times_are_dates_moments_or_spans_ago),
                        cmocka_unit_test(test_what_is_no_time_is_refused),
                        cmocka_unit_test(test_a_file_over_the_limit_is_refused_and_one_of_it_is_taken),
                        cmocka_unit_test(test_pem_comes_back_as_it_went),
                        cmocka_unit_test(test_what_is_no_pem_stays_as_it_is),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
