/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* RSA: every size, signatures judged and ciphertexts made by stock openssl. */
#include "support.h"

static void export_pem(const PrivKey *k)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(4096);
        Public p;

        assert_int_equal(pubkey_export(public_of(k, &p), "pem", "", &pem), 0);
        put_file("k.pem", buffer_bytes(&pem));
        put_file("message", bytes_str("message"));
}

static void test_every_size_goes_out_and_in_and_its_signatures_verify(void **state)
{
        static const KeyAlgorithm sizes[] = {KEY_RSA2048, KEY_RSA3072, KEY_RSA4096};
        static const char *const options[_SCHEME_MAX] = {
                        [SCHEME_RS256] = "-sha256",
                        [SCHEME_RS384] = "-sha384",
                        [SCHEME_RS512] = "-sha512",
                        [SCHEME_PS256] = "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32",
                        [SCHEME_PS384] = "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48",
                        [SCHEME_PS512] = "-sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:64",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(sizes[i]), *again = NULL;
                uint8_t signature[SIGNATURE_MAX];
                size_t len;
                Public p;
                Hex raw;

                export_pem(k);
                assert_int_equal(privkey_to_raw(k, raw.data, &raw.len), 0);
                assert_true(raw.len <= PRIVKEY_RAW_MAX);
                assert_int_equal(privkey_from_raw(sizes[i], BYTES(raw.data, raw.len), public_of(k, &p),
                                                 &again),
                                0);
                for (Scheme s = SCHEME_RS256; s <= SCHEME_PS512; s++) {
                        assert_int_equal(privkey_sign(again, &(SignParams){.scheme = s}, bytes_str("message"),
                                                         signature, &len),
                                        0);
                        assert_int_equal(len, key_algorithm_info(sizes[i])->bits / 8);
                        put_file("signature", BYTES(signature, len));
                        assert_int_equal(run("openssl dgst %s -verify k.pem -signature signature message "
                                             ">/dev/null",
                                                         options[s]),
                                        0);
                }
        }
}

static void encrypt(const char *text, const char *options, Hex *ret)
{
        assert_int_equal(run("printf %s | openssl pkeyutl -encrypt -pubin -inkey k.pem -pkeyopt "
                             "rsa_padding_mode:oaep "
                             "%s -out c",
                                         text, options),
                        0);
        get_file("c", ret);
}

#define OAEP_256 "-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"

static void test_what_openssl_encrypts_is_decrypted(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_RSA2048);
        uint8_t out[256];
        size_t len;
        Hex c;

        (void)state;
        export_pem(k);
        for (int round = 0; round < 2; round++) {
                encrypt("secret", OAEP_256, &c);
                assert_int_equal(privkey_decrypt(k, BYTES(c.data, c.len), BYTES_NULL, out, sizeof(out), &len),
                                0);
                assert_bytes(BYTES(out, len), bytes_str("secret"));
                encrypt("other", OAEP_256 " -pkeyopt rsa_oaep_label:6c6162656c", &c);
                assert_int_equal(privkey_decrypt(k, BYTES(c.data, c.len), bytes_str("label"), out,
                                                 sizeof(out), &len),
                                0);
                assert_bytes(BYTES(out, len), bytes_str("other"));
        }
}

static void test_every_failure_to_decrypt_is_the_same(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_RSA2048), *other = make(KEY_RSA2048);
        uint8_t out[256] = {};
        size_t len = 99;
        Hex c;

        (void)state;
        export_pem(k);
        encrypt("secret", "-pkeyopt rsa_oaep_md:sha1", &c);
        assert_int_equal(privkey_decrypt(k, BYTES(c.data, c.len), BYTES_NULL, out, sizeof(out), &len),
                        HF_E_DECRYPT_FAILED);
        encrypt("secret", OAEP_256, &c);
        assert_int_equal(privkey_decrypt(other, BYTES(c.data, c.len), BYTES_NULL, out, sizeof(out), &len),
                        HF_E_DECRYPT_FAILED);
        assert_int_equal(privkey_decrypt(k, BYTES(c.data, c.len), bytes_str("x"), out, sizeof(out), &len),
                        HF_E_DECRYPT_FAILED);
        assert_int_equal(privkey_decrypt(k, BYTES(c.data, c.len), BYTES_NULL, out, 5, &len),
                        HF_E_DECRYPT_FAILED);
        assert_int_equal(privkey_decrypt(k, BYTES(c.data, 255), BYTES_NULL, out, sizeof(out), &len),
                        HF_E_DECRYPT_FAILED);
        assert_int_equal(privkey_decrypt(k, BYTES_NULL, BYTES_NULL, out, sizeof(out), &len),
                        HF_E_DECRYPT_FAILED);
        memset(c.data, 0xff, 256); /* larger than n */
        assert_int_equal(privkey_decrypt(k, BYTES(c.data, 256), BYTES_NULL, out, sizeof(out), &len),
                        HF_E_DECRYPT_FAILED);
        assert_int_equal(len, 99);
        for (size_t i = 0; i < sizeof(out); i++)
                assert_int_equal(out[i], 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_every_size_goes_out_and_in_and_its_signatures_verify),
                        cmocka_unit_test(test_what_openssl_encrypts_is_decrypted),
                        cmocka_unit_test(test_every_failure_to_decrypt_is_the_same),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
