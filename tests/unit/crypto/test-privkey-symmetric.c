/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

/* A key shorter than the block is padded with zeros, so vectors with shorter keys serve a key of 32 bytes. */
static PrivKey *key_of(KeyAlgorithm a, const char *text)
{
        uint8_t raw[32] = {};
        PrivKey *k = NULL;
        Hex h;

        hex(&h, text);
        memcpy(raw, h.data, h.len);
        assert_int_equal(privkey_from_raw(a, BYTES_ARRAY(raw), BYTES_NULL, &k), 0);
        return k;
}

/* RFC 4231 sections 4.2, 4.3, 4.5. */
static void test_hmac_gives_the_published_values_each_time(void **state)
{
        static const struct {
                const char *key, *message, *mac;
        } vectors[] = {
                {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
                {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
                {"0102030405060708090a0b0c0d0e0f10111213141516171819",
                        "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                        "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
                        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                _cleanup_(privkey_freep) PrivKey *k = key_of(KEY_HMAC256, vectors[i].key);
                uint8_t mac[32];

                for (int round = 0; round < 3; round++) {
                        assert_int_equal(privkey_mac(k, HEX(vectors[i].message), mac), 0);
                        assert_bytes(BYTES_ARRAY(mac), HEX(vectors[i].mac));
                }
        }
}

static void test_other_keys_do_not_mac_or_seal(void **state)
{
        _cleanup_(privkey_freep) PrivKey *ec = make(KEY_P256), *aes = make(KEY_AES256), *mac = make(KEY_HMAC256);
        uint8_t out[64] = {};
        size_t len;

        (void)state;
        assert_int_equal(privkey_mac(ec, bytes_str("m"), out), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(privkey_mac(aes, bytes_str("m"), out), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(privkey_seal(mac, bytes_str("m"), BYTES_NULL, out, 64, &len), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(privkey_unseal(ec, BYTES(out, 40), BYTES_NULL, out, 64, &len), HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(privkey_decrypt(aes, BYTES(out, 40), BYTES_NULL, out, 64, &len), HF_E_SCHEME_NOT_SUPPORTED);
}

/* The GCM specification (McGrew, Viega), test case 16: nonce, ciphertext, tag. */
static void test_unseal_opens_the_published_value(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = key_of(KEY_AES256,
                        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        uint8_t out[64];
        size_t len;

        (void)state;
        assert_int_equal(privkey_unseal(k, HEX("cafebabefacedbaddecaf888"
                                               "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                               "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                                               "76fc6ece0f4e1768cddf8853bb2d551b"),
                                         HEX("feedfacedeadbeeffeedfacedeadbeefabaddad2"), out, sizeof(out), &len), 0);
        assert_bytes(BYTES(out, len), HEX("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                                          "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"));
}

static void test_what_was_sealed_opens_again(void **state)
{
        static uint8_t text[70000], sealed[70000 + SEAL_OVERHEAD], out[70000];
        static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 70000};
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_AES256);
        size_t n, m;

        (void)state;
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (uint8_t)(i * 7);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                assert_int_equal(privkey_seal(k, BYTES(text, sizes[i]), bytes_str("aad"), sealed, sizeof(sealed), &n), 0);
                assert_int_equal(n, sizes[i] + SEAL_OVERHEAD);
                assert_int_equal(privkey_unseal(k, BYTES(sealed, n), bytes_str("aad"), out, sizeof(out), &m), 0);
                assert_bytes(BYTES(out, m), BYTES(text, sizes[i]));
                assert_int_equal(privkey_unseal(k, BYTES(sealed, n), bytes_str("aaD"), out, sizeof(out), &m),
                                HF_E_DECRYPT_FAILED);
        }
}

static void test_the_same_text_never_seals_to_the_same_bytes(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_AES256);
        uint8_t a[40], b[40];
        size_t n;

        (void)state;
        assert_int_equal(privkey_seal(k, bytes_str("text"), BYTES_NULL, a, sizeof(a), &n), 0);
        assert_int_equal(privkey_seal(k, bytes_str("text"), BYTES_NULL, b, sizeof(b), &n), 0);
        assert_memory_not_equal(a, b, 12);
        assert_memory_not_equal(a + 12, b + 12, 20);
}

static void test_every_flipped_bit_and_cut_is_noticed_and_shows_nothing(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_AES256);
        uint8_t sealed[64], out[64];
        size_t n, m = 99;

        (void)state;
        assert_int_equal(privkey_seal(k, bytes_str("attack at dawn"), BYTES_NULL, sealed, sizeof(sealed), &n), 0);
        for (size_t i = 0; i < 8 * n; i++) {
                sealed[i / 8] ^= (uint8_t)(1u << i % 8);
                memset(out, 0, sizeof(out));
                assert_int_equal(privkey_unseal(k, BYTES(sealed, n), BYTES_NULL, out, sizeof(out), &m), HF_E_DECRYPT_FAILED);
                for (size_t j = 0; j < sizeof(out); j++)
                        assert_int_equal(out[j], 0);
                sealed[i / 8] ^= (uint8_t)(1u << i % 8);
        }
        for (size_t i = 0; i < n; i++)
                assert_int_equal(privkey_unseal(k, BYTES(sealed, i), BYTES_NULL, out, sizeof(out), &m), HF_E_DECRYPT_FAILED);
        assert_int_equal(m, 99);
        assert_int_equal(privkey_unseal(k, BYTES(sealed, n), BYTES_NULL, out, sizeof(out), &m), 0);
}

static void test_an_output_that_is_too_small_is_not_written(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_AES256);
        uint8_t sealed[64] = {}, out[64] = {};
        size_t n;

        (void)state;
        assert_int_equal(privkey_seal(k, bytes_str("text"), BYTES_NULL, sealed, 31, &n), HF_E_INVALID_ARGS);
        assert_int_equal(privkey_seal(k, bytes_str("text"), BYTES_NULL, sealed, 32, &n), 0);
        assert_int_equal(privkey_unseal(k, BYTES(sealed, n), BYTES_NULL, out, 3, &n), HF_E_INVALID_ARGS);
        assert_int_equal(out[0], 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hmac_gives_the_published_values_each_time),
                cmocka_unit_test(test_other_keys_do_not_mac_or_seal),
                cmocka_unit_test(test_unseal_opens_the_published_value),
                cmocka_unit_test(test_what_was_sealed_opens_again),
                cmocka_unit_test(test_the_same_text_never_seals_to_the_same_bytes),
                cmocka_unit_test(test_every_flipped_bit_and_cut_is_noticed_and_shows_nothing),
                cmocka_unit_test(test_an_output_that_is_too_small_is_not_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
