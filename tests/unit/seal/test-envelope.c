/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/envelope.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/error.h"

static const uint8_t wrapping[32] = {1, 2, 3};

static KeyAttributes some_attributes(void)
{
        KeyAttributes a = {
                        .version = 1,
                        .name = "device-tls",
                        .algorithm = KEY_P256,
                        .purpose = PURPOSE_SIGN,
                        .protection = PROTECTION_SOFTWARE,
                        .created = 42,
                        .public_len = 3,
                        .public = {1, 2, 3},
        };

        a.uuid.b[0] = 7;
        return a;
}

static void seal(const KeyAttributes *a, Buffer *ret)
{
        assert_int_equal(envelope_seal(wrapping, a, bytes_str("thirty-two bytes of private key"), ret), 0);
}

static int open_with(const KeyAttributes *a, Bytes wrapped)
{
        uint8_t raw[64];
        size_t len;

        return envelope_open(wrapping, a, wrapped, raw, sizeof(raw), &len);
}

static void test_what_was_sealed_opens(void **state)
{
        Buffer b = BUFFER_INIT(KEY_WRAPPED_MAX);
        KeyAttributes a = some_attributes();
        uint8_t raw[64];
        size_t len;

        (void)state;
        seal(&a, &b);
        assert_int_equal(b.len, 31 + ENVELOPE_OVERHEAD);
        assert_int_equal(b.data[0], ENVELOPE_FORMAT);
        assert_int_equal(envelope_open(wrapping, &a, buffer_bytes(&b), raw, sizeof(raw), &len), 0);
        assert_true(bytes_equal(BYTES(raw, len), bytes_str("thirty-two bytes of private key")));
        buffer_deinit(&b);
}

static void test_every_flipped_bit_is_a_mismatch(void **state)
{
        Buffer b = BUFFER_INIT(KEY_WRAPPED_MAX);
        KeyAttributes a = some_attributes();

        (void)state;
        seal(&a, &b);
        for (size_t bit = 0; bit < b.len * 8; bit++) {
                b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_int_equal(open_with(&a, buffer_bytes(&b)), HF_E_KEY_MISMATCH);
                b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t len = 0; len < b.len; len++)
                assert_int_equal(open_with(&a, BYTES(b.data, len)), HF_E_KEY_MISMATCH);
        buffer_deinit(&b);
}

static void test_other_attributes_do_not_open_it(void **state)
{
        Buffer b = BUFFER_INIT(KEY_WRAPPED_MAX);
        KeyAttributes a = some_attributes(), other[8];

        (void)state;
        for (size_t i = 0; i < 8; i++)
                other[i] = a;
        other[0].uuid.b[15] ^= 1;
        other[1].version++;
        other[2].name[0] = 'x';
        other[3].algorithm = KEY_P384;
        other[4].purpose = PURPOSE_AGREE;
        other[5].flags |= KEY_FLAG_DIGEST;
        other[6].created++;
        other[7].public[2] ^= 1;
        seal(&a, &b);
        for (size_t i = 0; i < 8; i++)
                assert_int_equal(open_with(&other[i], buffer_bytes(&b)), HF_E_KEY_MISMATCH);
        buffer_deinit(&b);
}

static void test_another_wrapping_key_does_not_open_it(void **state)
{
        static const uint8_t other[32] = {1, 2, 4};
        Buffer b = BUFFER_INIT(KEY_WRAPPED_MAX);
        KeyAttributes a = some_attributes();
        uint8_t raw[64] = {};
        size_t len = 99;

        (void)state;
        seal(&a, &b);
        assert_int_equal(envelope_open(other, &a, buffer_bytes(&b), raw, sizeof(raw), &len),
                        HF_E_KEY_MISMATCH);
        assert_int_equal(len, 99);
        buffer_deinit(&b);
}

static void test_sizes_are_bounded(void **state)
{
        static uint8_t much[KEY_WRAPPED_MAX];
        Buffer b = BUFFER_INIT(2 * KEY_WRAPPED_MAX);
        KeyAttributes a = some_attributes();
        uint8_t small[8];
        size_t len;

        (void)state;
        assert_int_equal(
                        envelope_seal(wrapping, &a, BYTES(much, KEY_WRAPPED_MAX - ENVELOPE_OVERHEAD + 1), &b),
                        -EMSGSIZE);
        seal(&a, &b);
        assert_int_equal(envelope_open(wrapping, &a, buffer_bytes(&b), small, sizeof(small), &len),
                        HF_E_KEY_MISMATCH);
        buffer_deinit(&b);
}

static void test_two_envelopes_of_one_key_differ(void **state)
{
        Buffer b = BUFFER_INIT(KEY_WRAPPED_MAX), c = BUFFER_INIT(KEY_WRAPPED_MAX);
        KeyAttributes a = some_attributes();

        (void)state;
        seal(&a, &b);
        seal(&a, &c);
        assert_false(bytes_equal(buffer_bytes(&b), buffer_bytes(&c)));
        buffer_deinit(&b);
        buffer_deinit(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_what_was_sealed_opens),
                        cmocka_unit_test(test_every_flipped_bit_is_a_mismatch),
                        cmocka_unit_test(test_other_attributes_do_not_open_it),
                        cmocka_unit_test(test_another_wrapping_key_does_not_open_it),
                        cmocka_unit_test(test_sizes_are_bounded),
                        cmocka_unit_test(test_two_envelopes_of_one_key_differ),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
