/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The forms of a public key, judged by the programs they are for; what is no key of ours, by name. */
#include "support.h"

static const KeyAlgorithm all[] = {KEY_P256, KEY_P384, KEY_ED25519, KEY_X25519, KEY_RSA2048};

static void export_to(Bytes spki, const char *format, const char *file)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);

        assert_int_equal(pubkey_export(spki, format, "a comment", &b), 0);
        put_file(file, buffer_bytes(&b));
}

static void test_pem_is_what_openssl_writes(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(all[i]);
                Public p;

                export_to(public_of(k, &p), "pem", "k.pem");
                export_to(public_of(k, &p), "spki", "k.der");
                assert_int_equal(run("openssl pkey -pubin -in k.pem -pubout -out again.pem && cmp k.pem "
                                     "again.pem"),
                                0);
                assert_int_equal(run("openssl pkey -pubin -inform der -in k.der -pubout -out again.pem && "
                                     "cmp k.pem again.pem"),
                                0);
        }
}

/* systemd's `pkfp` is of i2d_PublicKey(): what `openssl rsa` calls RSAPublicKey, and the last 65 bytes of a P-256 key. */
static void test_the_inner_fingerprint_is_that_of_the_key_without_its_algorithm(void **state)
{
        static const struct {
                KeyAlgorithm algorithm;
                const char *command;
        } keys[] = {{KEY_RSA2048, "openssl rsa -pubin -inform der -in k.der -RSAPublicKey_out -outform der 2>/dev/null"},
                        {KEY_RSA3072, "openssl rsa -pubin -inform der -in k.der -RSAPublicKey_out -outform der 2>/dev/null"},
                        {KEY_P256, "tail -c 65 k.der"}, {KEY_P384, "tail -c 97 k.der"}, {KEY_ED25519, "tail -c 32 k.der"}};
        uint8_t fingerprint[32];
        char hex[65];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(keys[i].algorithm);
                Public p;

                export_to(public_of(k, &p), "spki", "k.der");
                assert_int_equal(pubkey_inner_fingerprint(public_of(k, &p), fingerprint), 0);
                hex_encode(fingerprint, sizeof(fingerprint), hex);
                assert_int_equal(run("test \"$(%s | openssl dgst -sha256 -r)\" = '%s *stdin'", keys[i].command, hex), 0);
        }
        assert_int_equal(pubkey_inner_fingerprint(bytes_str("no key"), fingerprint), HF_E_INVALID_ARGS);
}

static void test_ssh_keygen_reads_our_line(void **state)
{
        static const struct {
                KeyAlgorithm algorithm;
                const char *says;
        } keys[] = {{KEY_P256, "256 .* a comment (ECDSA)"}, {KEY_P384, "384 .* a comment (ECDSA)"},
                        {KEY_ED25519, "256 .* a comment (ED25519)"},
                        {KEY_RSA2048, "2048 .* a comment (RSA)"}};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(keys[i].algorithm);
                Public p;

                export_to(public_of(k, &p), "ssh", "k.pub");
                export_to(public_of(k, &p), "pem", "k.pem");
                assert_int_equal(run("ssh-keygen -l -f k.pub | grep -q '^%s$'", keys[i].says), 0);
                if (keys[i].algorithm != KEY_ED25519) /* ssh-keygen has no PKCS8 form of those */
                        assert_int_equal(run("ssh-keygen -i -m PKCS8 -f k.pem | cut -d' ' -f2 >a && cut -d' "
                                             "' -f2 k.pub | cmp - a"),
                                        0);
        }
}

static void test_jose_and_rfc7638_agree_with_our_jwk(void **state)
{
        static const KeyAlgorithm jose_knows[] = {KEY_P256, KEY_P384, KEY_RSA2048};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(jose_knows); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(jose_knows[i]);
                Public p;

                export_to(public_of(k, &p), "jwk", "k.jwk");
                /* The thumbprint hashes exactly the members in our order: so our bytes must have that hash.
                 */
                assert_int_equal(run("test \"$(jose jwk thp -i k.jwk -a S256)\" = "
                                     "\"$(openssl dgst -sha256 -binary k.jwk | base64 | tr '+/' '-_' | tr -d "
                                     "=)\""),
                                0);
        }
}

/* RFC 8037 appendix A.2. */
static void test_ed25519_jwk_is_the_published_one(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);

        (void)state;
        assert_int_equal(
                        pubkey_export(HEX("302a300506032b6570032100"
                                          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
                                        "jwk", "", &b),
                        0);
        assert_bytes(buffer_bytes(&b), bytes_str("{\"crv\":\"Ed25519\",\"kty\":\"OKP\","
                                                 "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"));
}

static void test_forms_that_do_not_exist_are_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *x = make(KEY_X25519), *k = make(KEY_P256);
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);
        Public p;

        (void)state;
        assert_int_equal(pubkey_export(public_of(x, &p), "ssh", "", &b), HF_E_NOT_SUPPORTED);
        assert_int_equal(pubkey_export(public_of(k, &p), "der", "", &b), HF_E_INVALID_ARGS);
        assert_int_equal(pubkey_export(BYTES_NULL, "pem", "", &b), HF_E_INVALID_ARGS);
        assert_int_equal(pubkey_export(public_of(k, &p), "ssh", "two\nlines", &b), HF_E_INVALID_ARGS);
        assert_int_equal(b.len, 0);
}

static void test_an_export_beyond_the_limit_leaves_the_buffer_as_it_was(void **state)
{
        static const char *const formats[] = {"spki", "pem", "jwk", "ssh"};
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        Public p;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                _cleanup_buffer_ Buffer b = BUFFER_INIT(60);

                assert_int_equal(buffer_append(&b, "x", 1), 0);
                assert_int_not_equal(pubkey_export(public_of(k, &p), formats[i], "", &b), 0);
                assert_int_equal(b.len, 1);
        }
}

static int algorithm_of(const char *openssl_command)
{
        KeyAlgorithm a;
        Hex der;

        assert_int_equal(run("%s >k.pem 2>/dev/null", openssl_command), 0);
        assert_int_equal(run("openssl pkey -in k.pem -pubout -outform der -out k.der 2>/dev/null"), 0);
        return pubkey_algorithm(get_file("k.der", &der), &a);
}

static void test_what_is_too_weak_or_unknown_is_refused_by_name(void **state)
{
        static const struct {
                const char *command;
                int want;
        } keys[] = {
                        {"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024", HF_E_WEAK_KEY},
                        {"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2047", HF_E_WEAK_KEY},
                        {"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt "
                         "rsa_keygen_pubexp:3",
                                        HF_E_WEAK_KEY},
                        {"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2560",
                                        HF_E_ALGORITHM_NOT_SUPPORTED},
                        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp224r1", HF_E_WEAK_KEY},
                        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt "
                         "ec_param_enc:explicit",
                                        HF_E_WEAK_KEY},
                        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
                                        HF_E_ALGORITHM_NOT_SUPPORTED},
                        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
                                        HF_E_ALGORITHM_NOT_SUPPORTED},
                        {"openssl genpkey -algorithm ED448", HF_E_ALGORITHM_NOT_SUPPORTED},
                        {"openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
                                        HF_E_ALGORITHM_NOT_SUPPORTED},
                        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", 0},
                        {"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", 0},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_int_equal(algorithm_of(keys[i].command), keys[i].want);
}

static void test_bytes_that_are_no_key_are_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P384);
        KeyAlgorithm a = 99;
        Public p;

        (void)state;
        public_of(k, &p);
        for (size_t n = 0; n < p.len; n++)
                assert_int_not_equal(pubkey_algorithm(BYTES(p.data, n), &a), 0);
        p.data[p.len] = 0;
        assert_int_equal(pubkey_algorithm(BYTES(p.data, p.len + 1), &a), HF_E_INVALID_ARGS);
        for (size_t bit = 0; bit < 8 * p.len; bit++) { /* a point one bit off is off the curve */
                p.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_not_equal(pubkey_algorithm(BYTES(p.data, p.len), &a), 0);
                p.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(a, 99);
}

static void test_der_and_flat_signatures_turn_into_each_other(void **state)
{
        static const struct {
                const char *flat, *der;
        } pairs[] = {
                        {"0001", "3006020100020101"},
                        {"0080", "300702010002020080"},
                        {"00ff0001", "300702020"
                                     "0ff020101"},
                        {"7fff8000", "300902027fff0203008000"},
        };
        uint8_t der[128], flat[96];
        size_t len;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                assert_int_equal(ecdsa_p1363_to_der(HEX(pairs[i].flat), der, sizeof(der), &len), 0);
                assert_bytes(BYTES(der, len), HEX(pairs[i].der));
                assert_int_equal(ecdsa_der_to_p1363(BYTES(der, len), strlen(pairs[i].flat) / 4, flat), 0);
                assert_bytes(BYTES(flat, strlen(pairs[i].flat) / 2), HEX(pairs[i].flat));
        }
}

static void test_der_that_is_not_canonical_is_refused(void **state)
{
        static const char *const bad[] = {
                        "",
                        "30",
                        "3000",
                        "30060201000201",
                        "30060201000201010a",
                        "300602010002018",
                        "3007020100020200010a",
                        "30070201000202000"
                        "1",
                        "3006020180020101",
                        "310602010002010",
                        "3006030100020101",
                        "30810602010002010"
                        "1",
                        "300502000201"
                        "01",
                        "3003020100",
                        "3080020100020101"
                        "0000",
                        "300602010002ff01",
        };
        uint8_t flat[96] = {0x77};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (strlen(bad[i]) % 2 == 0)
                        assert_int_equal(ecdsa_der_to_p1363(HEX(bad[i]), 1, flat), HF_E_INVALID_ARGS);
        assert_int_equal(ecdsa_der_to_p1363(HEX("3007020200ff020101"), 1, flat), 0);
        assert_int_equal(ecdsa_der_to_p1363(HEX("300802020100020200ff"), 1, flat),
                        HF_E_INVALID_ARGS); /* r too long */
        assert_int_equal(ecdsa_der_to_p1363(HEX("3006020100020101"), 49, flat), HF_E_INVALID_ARGS);
}

static void test_flat_signatures_of_odd_size_are_refused(void **state)
{
        uint8_t flat[98] = {}, der[128];
        size_t len;

        (void)state;
        assert_int_equal(ecdsa_p1363_to_der(BYTES(flat, 0), der, sizeof(der), &len), HF_E_INVALID_ARGS);
        assert_int_equal(ecdsa_p1363_to_der(BYTES(flat, 63), der, sizeof(der), &len), HF_E_INVALID_ARGS);
        assert_int_equal(ecdsa_p1363_to_der(BYTES(flat, 98), der, sizeof(der), &len), HF_E_INVALID_ARGS);
        assert_int_equal(ecdsa_p1363_to_der(BYTES(flat, 64), der, 7, &len), HF_E_INVALID_ARGS);
}

static void test_signatures_of_stock_openssl_verify_and_ours_there(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        uint8_t signature[SIGNATURE_MAX];
        Hex der, sig;
        Public p;
        size_t len;

        (void)state;
        put_file("message", bytes_str("message"));
        assert_int_equal(privkey_sign(k, &(SignParams){.scheme = SCHEME_ES256}, bytes_str("message"),
                                         signature, &len),
                        0);
        put_file("signature", BYTES(signature, len));
        export_to(public_of(k, &p), "pem", "k.pem");
        assert_int_equal(
                        run("openssl dgst -sha256 -verify k.pem -signature signature message >/dev/null"), 0);

        assert_int_equal(run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out o.pem && "
                             "openssl pkey -in o.pem -pubout -outform der -out o.der && "
                             "openssl dgst -sha256 -sign o.pem -out o.sig message"),
                        0);
        assert_int_equal(pubkey_verify(get_file("o.der", &der), SCHEME_ES256, bytes_str("message"),
                                         get_file("o.sig", &sig)),
                        0);
        assert_int_equal(pubkey_verify(BYTES(der.data, der.len), SCHEME_ES256, bytes_str("message"),
                                         BYTES(signature, len)),
                        HF_E_KEY_MISMATCH);
        assert_int_equal(pubkey_verify(BYTES(der.data, der.len), SCHEME_ES384, bytes_str("message"),
                                         BYTES(signature, len)),
                        HF_E_SCHEME_NOT_SUPPORTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_pem_is_what_openssl_writes),
                        cmocka_unit_test(test_the_inner_fingerprint_is_that_of_the_key_without_its_algorithm),
                        cmocka_unit_test(test_ssh_keygen_reads_our_line),
                        cmocka_unit_test(test_jose_and_rfc7638_agree_with_our_jwk),
                        cmocka_unit_test(test_ed25519_jwk_is_the_published_one),
                        cmocka_unit_test(test_forms_that_do_not_exist_are_refused),
                        cmocka_unit_test(test_an_export_beyond_the_limit_leaves_the_buffer_as_it_was),
                        cmocka_unit_test(test_what_is_too_weak_or_unknown_is_refused_by_name),
                        cmocka_unit_test(test_bytes_that_are_no_key_are_refused),
                        cmocka_unit_test(test_der_and_flat_signatures_turn_into_each_other),
                        cmocka_unit_test(test_der_that_is_not_canonical_is_refused),
                        cmocka_unit_test(test_flat_signatures_of_odd_size_are_refused),
                        cmocka_unit_test(test_signatures_of_stock_openssl_verify_and_ours_there),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
