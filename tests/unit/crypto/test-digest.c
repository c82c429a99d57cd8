/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <threads.h>

#include "crypto/digest.h"

static void assert_sha256(const char *message, const char *want)
{
        uint8_t got[DIGEST_SIZE];

        digest_sha256(bytes_str(message), got);
        assert_bytes(BYTES_ARRAY(got), HEX(want));
}

/* FIPS 180-2, appendix B. */
static void test_sha256_gives_the_published_values(void **state)
{
        (void)state;
        assert_sha256("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_sha256("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_takes_a_null_span_as_the_empty_message(void **state)
{
        uint8_t got[DIGEST_SIZE];

        (void)state;
        digest_sha256(BYTES_NULL, got);
        assert_bytes(BYTES_ARRAY(got), HEX("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

static int hash_many(void *arg)
{
        uint8_t got[DIGEST_SIZE], *want = arg;

        for (int i = 0; i < 2000; i++) {
                digest_sha256(bytes_str("abc"), got);
                if (memcmp(got, want, DIGEST_SIZE) != 0)
                        return 1;
        }
        return 0;
}

static void test_threads_hash_at_the_same_time(void **state)
{
        thrd_t threads[4];
        Hex want;
        int r;

        (void)state;
        hex(&want, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(thrd_create(&threads[i], hash_many, want.data), thrd_success);
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(thrd_join(threads[i], &r), thrd_success);
                assert_int_equal(r, 0);
        }
}

/* Key 00..1f over the empty message and 00..3f; values of an independent BLAKE2b (Python's hashlib). */
static void test_keyed_blake2b_agrees_with_another_implementation(void **state)
{
        uint8_t key[32], message[64], got[DIGEST_SIZE];

        (void)state;
        for (uint8_t i = 0; i < 64; i++)
                message[i] = i;
        memcpy(key, message, 32);
        mac_blake2b(key, BYTES_NULL, got);
        assert_bytes(BYTES_ARRAY(got), HEX("4e51e7a913fc80137da52880fecca175bf81e117d5c68126dc2774033517ea0d"));
        mac_blake2b(key, BYTES_ARRAY(message), got);
        assert_bytes(BYTES_ARRAY(got), HEX("7f46f043d63dfb3c9b1102c8824b632cae1fce453e3c0e9dc9e7113f3c1acc36"));
}

static void test_another_key_or_message_gives_another_mac(void **state)
{
        uint8_t key[32] = {}, a[DIGEST_SIZE], b[DIGEST_SIZE];

        (void)state;
        mac_blake2b(key, bytes_str("a"), a);
        mac_blake2b(key, bytes_str("b"), b);
        assert_memory_not_equal(a, b, DIGEST_SIZE);
        key[31] ^= 1;
        mac_blake2b(key, bytes_str("a"), b);
        assert_memory_not_equal(a, b, DIGEST_SIZE);
}

/* libsodium's documented construction: BLAKE2b keyed, salt = number, personalisation = context. */
static void test_derived_keys_agree_with_another_implementation(void **state)
{
        uint8_t key[32], got[32], other[32];

        (void)state;
        for (uint8_t i = 0; i < 32; i++)
                key[i] = i;
        kdf_derive(key, "hf-tests", 7, got);
        assert_bytes(BYTES_ARRAY(got), HEX("2614f7e45a4de7c8d1cfc71fd5bf6c3ce5d59a5eb455a53f1877a63f034fd3b7"));
        kdf_derive(key, "hf-tests", 8, other);
        assert_memory_not_equal(got, other, 32);
        kdf_derive(key, "hf-testt", 7, other);
        assert_memory_not_equal(got, other, 32);
}

/* RFC 8032 section 7.1, tests 1 and 3. */
static const struct {
        const char *seed, *public, *message, *signature;
} rfc8032[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void test_ed25519_gives_the_published_values(void **state)
{
        uint8_t public[32], signature[64];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rfc8032); i++) {
                Hex seed, message;

                hex(&seed, rfc8032[i].seed);
                hex(&message, rfc8032[i].message);
                ed25519_public(seed.data, public);
                assert_bytes(BYTES_ARRAY(public), HEX(rfc8032[i].public));
                ed25519_sign(seed.data, BYTES(message.data, message.len), signature);
                assert_bytes(BYTES_ARRAY(signature), HEX(rfc8032[i].signature));
                assert_int_equal(ed25519_verify(public, BYTES(message.data, message.len), signature), 0);
        }
}

static void test_ed25519_refuses_every_flipped_bit(void **state)
{
        uint8_t seed[32] = {1}, public[32], signature[64];

        (void)state;
        ed25519_public(seed, public);
        ed25519_sign(seed, bytes_str("checkpoint"), signature);
        for (size_t i = 0; i < 8 * sizeof(signature); i++) {
                signature[i / 8] ^= (uint8_t)(1u << i % 8);
                assert_int_equal(ed25519_verify(public, bytes_str("checkpoint"), signature), HF_E_KEY_MISMATCH);
                signature[i / 8] ^= (uint8_t)(1u << i % 8);
        }
        assert_int_equal(ed25519_verify(public, bytes_str("checkpoinT"), signature), HF_E_KEY_MISMATCH);
        public[0] ^= 1;
        assert_int_equal(ed25519_verify(public, bytes_str("checkpoint"), signature), HF_E_KEY_MISMATCH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sha256_gives_the_published_values),
                cmocka_unit_test(test_sha256_takes_a_null_span_as_the_empty_message),
                cmocka_unit_test(test_threads_hash_at_the_same_time),
                cmocka_unit_test(test_keyed_blake2b_agrees_with_another_implementation),
                cmocka_unit_test(test_another_key_or_message_gives_another_mac),
                cmocka_unit_test(test_derived_keys_agree_with_another_implementation),
                cmocka_unit_test(test_ed25519_gives_the_published_values),
                cmocka_unit_test(test_ed25519_refuses_every_flipped_bit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
