/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include "crypto/attributes.h"

static KeyAttributes example(void)
{
        KeyAttributes a = {
                .uuid = {{1, 2, 3}},
                .version = 1,
                .name = "device-tls",
                .algorithm = KEY_P256,
                .purpose = PURPOSE_SIGN,
                .protection = PROTECTION_SOFTWARE,
                .flags = KEY_FLAG_DIGEST | KEY_FLAG_FROZEN,
                .created = 1795000000000000,
                .public_len = 91,
        };

        memset(a.public, 0x5a, a.public_len);
        return a;
}

static int through(const KeyAttributes *a, KeyAttributes *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(KEY_ATTRIBUTES_MAX);

        assert_int_equal(key_attributes_encode(a, &b), 0);
        return key_attributes_decode(buffer_bytes(&b), ret);
}

static void test_attributes_come_back_as_they_went(void **state)
{
        KeyAttributes a = example(), b;

        (void)state;
        assert_int_equal(through(&a, &b), 0);
        assert_memory_equal(&a.uuid, &b.uuid, sizeof(a.uuid));
        assert_string_equal(a.name, b.name);
        assert_int_equal(a.version, b.version);
        assert_int_equal(a.algorithm, b.algorithm);
        assert_int_equal(a.purpose, b.purpose);
        assert_int_equal(a.protection, b.protection);
        assert_int_equal(a.flags, b.flags);
        assert_int_equal(a.created, b.created);
        assert_bytes(key_attributes_public(&b), key_attributes_public(&a));
}

static void test_the_longest_attributes_fit_their_limit(void **state)
{
        KeyAttributes a = example(), b;

        (void)state;
        memset(a.name, 'n', NAME_MAX_LEN);
        a.public_len = KEY_PUBLIC_MAX;
        assert_int_equal(through(&a, &b), 0);
}

/* The encoding is what envelopes authenticate: it may change only with a new first byte. */
static void test_the_encoding_is_frozen(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        KeyAttributes a = example();

        (void)state;
        a.public_len = 3;
        assert_int_equal(key_attributes_encode(&a, &b), 0);
        assert_bytes(buffer_bytes(&b), HEX("01" "01020300000000000000000000000000" "01000000"
                                           "0a000000" "6465766963652d746c73" "010101" "05000000"
                                           "00305f018b600600" "03000000" "5a5a5a"));
}

static void test_every_truncation_and_extension_is_refused(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        KeyAttributes a = example(), got;

        (void)state;
        assert_int_equal(key_attributes_encode(&a, &b), 0);
        for (size_t n = 0; n < b.len; n++)
                assert_int_equal(key_attributes_decode(BYTES(b.data, n), &got), HF_E_INVALID_ARGS);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_int_equal(key_attributes_decode(buffer_bytes(&b), &got), HF_E_INVALID_ARGS);
}

/* Two encodings of one meaning would be two associated data for one key. */
static void test_what_decodes_encodes_to_the_same_bytes(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
        KeyAttributes a = example();

        (void)state;
        assert_int_equal(key_attributes_encode(&a, &b), 0);
        for (size_t bit = 0; bit < 8 * b.len; bit++) {
                _cleanup_buffer_ Buffer again = BUFFER_INIT(KEY_ATTRIBUTES_MAX);
                KeyAttributes got;

                b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                if (key_attributes_decode(buffer_bytes(&b), &got) == 0) {
                        assert_int_equal(key_attributes_encode(&got, &again), 0);
                        assert_bytes(buffer_bytes(&again), buffer_bytes(&b));
                }
                b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
}

static void assert_refused(KeyAttributes a)
{
        KeyAttributes got;

        assert_int_equal(through(&a, &got), HF_E_INVALID_ARGS);
}

#define WITH(field, value)                                                                                   \
        ({                                                                                                   \
                KeyAttributes a_ = example();                                                                \
                a_.field = (value);                                                                          \
                a_;                                                                                          \
        })

static void test_fields_out_of_range_are_refused(void **state)
{
        KeyAttributes a = example();

        (void)state;
        assert_refused(WITH(algorithm, 0));
        assert_refused(WITH(algorithm, _KEY_ALGORITHM_MAX));
        assert_refused(WITH(purpose, 0));
        assert_refused(WITH(purpose, _KEY_PURPOSE_MAX));
        assert_refused(WITH(protection, 0));
        assert_refused(WITH(protection, 3));
        assert_refused(WITH(flags, 1u << 5));
        assert_refused(WITH(flags, 1u << 31));
        assert_refused(WITH(version, 0));
        assert_refused(WITH(uuid, (Uuid){}));
        assert_refused(WITH(name[0], '-'));
        strcpy(a.name, "00000000-0000-4000-8000-000000000000");
        assert_refused(a);
}

static void test_fields_that_contradict_each_other_are_refused(void **state)
{
        KeyAttributes a = example();

        (void)state;
        assert_refused(WITH(purpose, PURPOSE_SEAL));
        a = example();
        a.algorithm = KEY_ED25519; /* signs no digests */
        assert_refused(a);
        a = example();
        a.purpose = PURPOSE_AGREE; /* nothing to sign */
        assert_refused(a);
        a = (KeyAttributes)WITH(algorithm, KEY_AES256);
        a.purpose = PURPOSE_SEAL;
        a.flags = 0;
        assert_refused(a); /* a symmetric key with a public half */
        a.public_len = 0;
        assert_int_equal(through(&a, &a), 0);
}

static void test_protections_have_names(void **state)
{
        (void)state;
        assert_int_equal(key_protection_from_string("tpm"), PROTECTION_TPM);
        assert_int_equal(key_protection_from_string("software"), PROTECTION_SOFTWARE);
        assert_int_equal(key_protection_from_string("none"), _PROTECTION_INVALID);
        assert_string_equal(key_protection_to_string(PROTECTION_TPM), "tpm");
        assert_null(key_protection_to_string(0));
        assert_null(key_protection_to_string(77));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_attributes_come_back_as_they_went),
                cmocka_unit_test(test_the_longest_attributes_fit_their_limit),
                cmocka_unit_test(test_the_encoding_is_frozen),
                cmocka_unit_test(test_every_truncation_and_extension_is_refused),
                cmocka_unit_test(test_what_decodes_encodes_to_the_same_bytes),
                cmocka_unit_test(test_fields_out_of_range_are_refused),
                cmocka_unit_test(test_fields_that_contradict_each_other_are_refused),
                cmocka_unit_test(test_protections_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
