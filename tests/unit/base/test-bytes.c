/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <errno.h>

static void test_a_buffer_grows_to_its_limit_and_not_beyond(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1000);

        (void)state;
        for (int i = 0; i < 1000; i++)
                assert_int_equal(buffer_append(&b, "x", 1), 0);
        assert_int_equal(b.len, 1000);
        assert_int_equal(buffer_append(&b, "x", 1), -EMSGSIZE);
        assert_int_equal(buffer_append(&b, "", 0), 0);
        assert_int_equal(b.len, 1000);
        for (size_t i = 0; i < b.len; i++)
                assert_int_equal(b.data[i], 'x');
}

static void test_a_size_that_wraps_around_is_refused(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100), open = BUFFER_INIT(SIZE_MAX);

        (void)state;
        assert_int_equal(buffer_append(&b, "abc", 3), 0);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX - 2), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&b, 98), -EMSGSIZE);
        assert_int_equal(b.len, 3);
        assert_int_equal(buffer_reserve(&open, SIZE_MAX), -ENOMEM);
        assert_int_equal(buffer_reserve(&open, SIZE_MAX / 2 + 2), -ENOMEM);
}

static void test_a_buffer_without_limit_takes_nothing(void **state)
{
        Buffer b = {};

        (void)state;
        assert_int_equal(buffer_append(&b, "x", 1), -EMSGSIZE);
        assert_null(b.data);
}

static void test_a_cleared_buffer_keeps_its_memory_and_a_deinited_one_can_be_used_again(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);

        (void)state;
        assert_int_equal(buffer_append(&b, "abc", 3), 0);
        buffer_clear(&b);
        assert_int_equal(b.len, 0);
        assert_true(b.allocated > 0);
        buffer_deinit(&b);
        assert_null(b.data);
        assert_int_equal(buffer_append(&b, "de", 2), 0);
        assert_bytes(buffer_bytes(&b), bytes_str("de"));
}

static void test_formatted_text_is_appended_without_its_nul(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);

        (void)state;
        assert_int_equal(buffer_printf(&b, "%s=%d", "a", 7), 0);
        assert_int_equal(buffer_printf(&b, ";"), 0);
        assert_bytes(buffer_bytes(&b), bytes_str("a=7;"));
}

static void test_formatted_text_that_just_fits_fits_and_one_more_does_not(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4);

        (void)state;
        assert_int_equal(buffer_printf(&b, "%d", 12345), -EMSGSIZE);
        assert_int_equal(b.len, 0);
        assert_int_equal(buffer_printf(&b, "%d", 1234), 0);
        assert_bytes(buffer_bytes(&b), bytes_str("1234"));
}

static void test_hex_goes_there_and_back(void **state)
{
        uint8_t all[256], back[256];
        char text[513];

        (void)state;
        for (int i = 0; i < 256; i++)
                all[i] = (uint8_t)i;
        hex_encode(all, 256, text);
        assert_memory_equal(text, "000102", 6);
        assert_string_equal(text + 508, "feff");
        assert_int_equal(hex_decode(text, 512, back, 256), 0);
        assert_memory_equal(all, back, 256);
}

static void test_hex_is_strict_and_leaves_its_output_alone(void **state)
{
        static const char *const bad[] = {"", "0", "000", "00000", "0g00", "00-1", "ABCD", " 000", "00\n0", "0x12"};
        uint8_t out[2] = {0x5a, 0x5a};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(hex_decode(bad[i], strlen(bad[i]), out, 2), HF_E_INVALID_ARGS);
        assert_int_equal(out[0], 0x5a);
        assert_int_equal(out[1], 0x5a);
}

/* RFC 4648 section 10. */
static const struct {
        const char *plain, *standard, *url;
} rfc4648[] = {{"", "", ""}, {"f", "Zg==", "Zg"}, {"fo", "Zm8=", "Zm8"}, {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"}, {"fooba", "Zm9vYmE=", "Zm9vYmE"}, {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff", "+/8=", "-_8"}};

static void test_base64_gives_the_published_values_both_ways(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rfc4648); i++) {
                size_t n = strlen(rfc4648[i].plain), len;
                uint8_t out[16];
                char text[16];

                base64_encode(rfc4648[i].plain, n, text);
                assert_string_equal(text, rfc4648[i].standard);
                assert_true(base64_size(n) == strlen(text) + 1);
                base64url_encode(rfc4648[i].plain, n, text);
                assert_string_equal(text, rfc4648[i].url);
                assert_int_equal(base64_decode(rfc4648[i].standard, strlen(rfc4648[i].standard), out, n, &len), 0);
                assert_bytes(BYTES(out, len), bytes_str(rfc4648[i].plain));
        }
}

static void test_base64_is_strict(void **state)
{
        static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", "====", "=", "Z===", "Zg==Zg==",
                "Z=g=", " Zg=", "Zg==\n", "Zm\n9v", "-_8=", "Zm9v!A==", "Zm9vAA=A"};
        uint8_t out[16];
        size_t len = 99;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &len), HF_E_INVALID_ARGS);
        assert_int_equal(base64_decode("Zg==\0AAA", 8, out, sizeof(out), &len), HF_E_INVALID_ARGS);
        assert_int_equal(len, 99);
}

static void test_base64_does_not_write_beyond_its_output(void **state)
{
        uint8_t out[3] = {1, 2, 3};
        size_t len;

        (void)state;
        assert_int_equal(base64_decode("Zm9v", 4, out, 2, &len), HF_E_INVALID_ARGS);
        assert_int_equal(out[0], 1);
        assert_int_equal(base64_decode("Zm8=", 4, out, 2, &len), 0);
        assert_int_equal(len, 2);
        assert_int_equal(out[2], 3);
}

static void test_spans_are_equal_by_length_and_content(void **state)
{
        (void)state;
        assert_true(bytes_equal(BYTES_NULL, BYTES("", 0)));
        assert_true(bytes_equal(bytes_str("ab"), BYTES("abc", 2)));
        assert_false(bytes_equal(bytes_str("ab"), bytes_str("abc")));
        assert_false(bytes_equal(bytes_str("ab"), bytes_str("aB")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_buffer_grows_to_its_limit_and_not_beyond),
                cmocka_unit_test(test_a_size_that_wraps_around_is_refused),
                cmocka_unit_test(test_a_buffer_without_limit_takes_nothing),
                cmocka_unit_test(test_a_cleared_buffer_keeps_its_memory_and_a_deinited_one_can_be_used_again),
                cmocka_unit_test(test_formatted_text_is_appended_without_its_nul),
                cmocka_unit_test(test_formatted_text_that_just_fits_fits_and_one_more_does_not),
                cmocka_unit_test(test_hex_goes_there_and_back),
                cmocka_unit_test(test_hex_is_strict_and_leaves_its_output_alone),
                cmocka_unit_test(test_base64_gives_the_published_values_both_ways),
                cmocka_unit_test(test_base64_is_strict),
                cmocka_unit_test(test_base64_does_not_write_beyond_its_output),
                cmocka_unit_test(test_spans_are_equal_by_length_and_content),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
