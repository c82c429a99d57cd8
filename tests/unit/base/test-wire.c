/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <errno.h>

#include "base/wire.h"

static void test_values_come_back_as_they_went(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1000);
        uint8_t raw[3];
        char text[8];
        WireReader r;

        (void)state;
        assert_int_equal(wire_put_u8(&b, 0xfe), 0);
        assert_int_equal(wire_put_u16(&b, 0xfedc), 0);
        assert_int_equal(wire_put_u32(&b, 0xfedcba98), 0);
        assert_int_equal(wire_put_u64(&b, 0xfedcba9876543210), 0);
        assert_int_equal(wire_put_raw(&b, "raw", 3), 0);
        assert_int_equal(wire_put_block(&b, bytes_str("block")), 0);
        assert_int_equal(wire_put_block(&b, BYTES_NULL), 0);
        assert_int_equal(wire_put_string(&b, "string"), 0);

        r = wire_reader(buffer_bytes(&b));
        assert_int_equal(wire_get_u8(&r), 0xfe);
        assert_int_equal(wire_get_u16(&r), 0xfedc);
        assert_int_equal(wire_get_u32(&r), 0xfedcba98);
        assert_true(wire_get_u64(&r) == 0xfedcba9876543210);
        wire_get_raw(&r, raw, 3);
        assert_memory_equal(raw, "raw", 3);
        assert_bytes(wire_get_block(&r, 5), bytes_str("block"));
        assert_int_equal(wire_get_block(&r, 0).len, 0);
        wire_get_string(&r, text, 7);
        assert_string_equal(text, "string");
        assert_int_equal(wire_done(&r), 0);
}

static void test_integers_are_little_endian(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(16);

        (void)state;
        assert_int_equal(wire_put_u32(&b, 0x04030201), 0);
        assert_bytes(buffer_bytes(&b), BYTES("\1\2\3\4", 4));
}

static void test_after_a_failure_everything_is_zero_and_empty(void **state)
{
        uint8_t raw[4] = {9, 9, 9, 9};
        char text[4] = "xyz";
        WireReader r = wire_reader(BYTES("\1\2\3", 3));

        (void)state;
        assert_int_equal(wire_get_u32(&r), 0);
        assert_int_equal(wire_get_u8(&r), 0); /* there are three bytes, but no more trust in them */
        wire_get_raw(&r, raw, 4);
        assert_int_equal(raw[0] | raw[1] | raw[2] | raw[3], 0);
        assert_int_equal(wire_get_block(&r, 10).len, 0);
        wire_get_string(&r, text, sizeof(text));
        assert_string_equal(text, "");
        assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
}

static void test_trailing_bytes_are_refused(void **state)
{
        WireReader r = wire_reader(BYTES("\1\2", 2));

        (void)state;
        assert_int_equal(wire_get_u8(&r), 1);
        assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
}

static void test_lengths_that_lie_are_refused(void **state)
{
        static const struct {
                const char *data;
                size_t len, max;
        } bad[] = {
                {"\5\0\0\0four", 8, 100},              /* longer than what follows */
                {"\xff\xff\xff\xff" "four", 8, SIZE_MAX}, /* far longer */
                {"\4\0\0\0four", 8, 3},                /* longer than allowed */
                {"\4\0\0", 3, 100},                    /* no length at all */
                {"", 0, 100},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                WireReader r = wire_reader(BYTES(bad[i].data, bad[i].len));

                assert_int_equal(wire_get_block(&r, bad[i].max).len, 0);
                assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
        }
}

static void test_strings_with_nul_or_too_long_are_refused(void **state)
{
        static const char *const bad[] = {"\3\0\0\0a\0b", "\3\0\0\0\0ab", "\3\0\0\0ab\0"};
        char text[8] = "before";
        WireReader r;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                r = wire_reader(BYTES(bad[i], 7));
                wire_get_string(&r, text, sizeof(text));
                assert_string_equal(text, "");
                assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
        }
        r = wire_reader(BYTES("\3\0\0\0abc", 7));
        wire_get_string(&r, text, 3); /* no room for the NUL */
        assert_string_equal(text, "");
        assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
        r = wire_reader(BYTES("\3\0\0\0abc", 7));
        wire_get_string(&r, text, 4);
        assert_string_equal(text, "abc");
        assert_int_equal(wire_done(&r), 0);
}

static void test_every_truncation_of_a_message_is_refused(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);
        char text[32];

        (void)state;
        assert_int_equal(wire_put_u16(&b, 7), 0);
        assert_int_equal(wire_put_string(&b, "some name"), 0);
        assert_int_equal(wire_put_u64(&b, 7), 0);
        for (size_t n = 0; n < b.len; n++) {
                WireReader r = wire_reader(BYTES(b.data, n));

                wire_get_u16(&r);
                wire_get_string(&r, text, sizeof(text));
                wire_get_u64(&r);
                assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
        }
}

static void test_a_null_span_reads_as_an_empty_message(void **state)
{
        WireReader r = wire_reader(BYTES_NULL);

        (void)state;
        assert_int_equal(wire_done(&r), 0);
        assert_int_equal(wire_get_u8(&r), 0);
        assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
}

static void test_a_block_is_written_whole_or_not_at_all(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8);

        (void)state;
        assert_int_equal(wire_put_block(&b, bytes_str("12345")), -EMSGSIZE);
        assert_int_equal(b.len, 0);
        assert_int_equal(wire_put_block(&b, BYTES("x", SIZE_MAX)), -EMSGSIZE);
        assert_int_equal(wire_put_block(&b, BYTES("x", SIZE_MAX - 3)), -EMSGSIZE);
        assert_int_equal(b.len, 0);
        assert_int_equal(wire_put_block(&b, bytes_str("1234")), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values_come_back_as_they_went),
                cmocka_unit_test(test_integers_are_little_endian),
                cmocka_unit_test(test_after_a_failure_everything_is_zero_and_empty),
                cmocka_unit_test(test_trailing_bytes_are_refused),
                cmocka_unit_test(test_lengths_that_lie_are_refused),
                cmocka_unit_test(test_strings_with_nul_or_too_long_are_refused),
                cmocka_unit_test(test_every_truncation_of_a_message_is_refused),
                cmocka_unit_test(test_a_null_span_reads_as_an_empty_message),
                cmocka_unit_test(test_a_block_is_written_whole_or_not_at_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
