/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#define X25519_HEAD "302a300506032b656e032100"

/* RFC 7748 section 6.1; HKDF of the secret given there was computed by another implementation (Python's
 * hmac). */
static void test_x25519_gives_the_published_secret_through_hkdf(void **state)
{
        static const char bob[] =
                        X25519_HEAD "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        uint8_t out[42];

        (void)state;
        assert_int_equal(privkey_from_raw(KEY_X25519,
                                         HEX("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2"
                                             "a"),
                                         HEX(X25519_HEAD "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba"
                                                         "4a98eaa9b4e6a"),
                                         &k),
                        0);
        assert_int_equal(privkey_agree(k, HEX(bob), BYTES_NULL, BYTES_NULL, out, 32), 0);
        assert_bytes(BYTES(out, 32), HEX("ea1d8a20f476d1e1ec952ca42708b8f7161ce7c81eadf97e520e2b40333decd5"));
        assert_int_equal(privkey_agree(k, HEX(bob), bytes_str("salt"), bytes_str("info"), out, 42), 0);
        assert_bytes(BYTES(out, 42), HEX("dfdf3ce5d8a064972e2c7033de0f29798e773efba52a80c07250c458c7c315a6d41"
                                         "aa94b006e18a15fc7"));
}

static const KeyAlgorithm agreeing[] = {KEY_P256, KEY_P384, KEY_X25519};

static void test_both_sides_get_the_same_key(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(agreeing); i++) {
                _cleanup_(privkey_freep) PrivKey *a = make(agreeing[i]), *b = make(agreeing[i]);
                uint8_t x[100], y[100];
                Public p, q;

                assert_int_equal(privkey_agree(a, public_of(b, &p), BYTES_NULL, bytes_str("tls"), x,
                                                 sizeof(x)),
                                0);
                assert_int_equal(privkey_agree(b, public_of(a, &q), BYTES_NULL, bytes_str("tls"), y,
                                                 sizeof(y)),
                                0);
                assert_memory_equal(x, y, sizeof(x));
                assert_int_equal(privkey_agree(b, public_of(a, &q), BYTES_NULL, bytes_str("ssh"), y,
                                                 sizeof(y)),
                                0);
                assert_memory_not_equal(x, y, sizeof(x));
                assert_int_equal(privkey_agree(b, public_of(a, &q), bytes_str("s"), bytes_str("tls"), y,
                                                 sizeof(y)),
                                0);
                assert_memory_not_equal(x, y, sizeof(x));
        }
}

/* The peer is stock openssl: pkeyutl makes the secret, kdf makes the key of it. */
static void test_stock_openssl_is_the_other_side(void **state)
{
        static const char *const options[] = {"EC -pkeyopt ec_paramgen_curve:P-256",
                        "EC -pkeyopt ec_paramgen_curve:P-384", "X25519"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(agreeing); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(agreeing[i]);
                _cleanup_buffer_ Buffer pem = BUFFER_INIT(4096);
                uint8_t out[32];
                Hex der, theirs;
                Public p;

                assert_int_equal(pubkey_export(public_of(k, &p), "pem", "", &pem), 0);
                put_file("ours.pem", buffer_bytes(&pem));
                assert_int_equal(run("openssl genpkey -algorithm %s -out o.pem && openssl pkey -in o.pem "
                                     "-pubout -outform der "
                                     "-out o.der && openssl pkeyutl -derive -inkey o.pem -peerkey ours.pem "
                                     "-out z",
                                                 options[i]),
                                0);
                assert_int_equal(run("openssl kdf -binary -out key -keylen 32 -kdfopt digest:SHA256 -kdfopt "
                                     "hexkey:$(od -An -tx1 -v z | tr -d ' \\n') -kdfopt salt:pepper -kdfopt "
                                     "info:tls HKDF"),
                                0);
                assert_int_equal(privkey_agree(k, get_file("o.der", &der), bytes_str("pepper"),
                                                 bytes_str("tls"), out, 32),
                                0);
                assert_bytes(BYTES_ARRAY(out), get_file("key", &theirs));
        }
}

static void test_points_that_give_nothing_away_are_refused(void **state)
{
        /* RFC 7748 section 6.1: zero, one, and a point of order 8, all of which give zero. */
        static const char *const low[] = {
                        X25519_HEAD "0000000000000000000000000000000000000000000000000000000000000000",
                        X25519_HEAD "0100000000000000000000000000000000000000000000000000000000000000",
                        X25519_HEAD "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        };
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_X25519);
        uint8_t out[32] = {0x5a};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(low); i++)
                assert_int_equal(privkey_agree(k, HEX(low[i]), BYTES_NULL, BYTES_NULL, out, 32),
                                HF_E_INVALID_ARGS);
        assert_int_equal(out[0], 0x5a);
}

static void test_a_peer_off_the_curve_is_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256), *peer = make(KEY_P256);
        uint8_t out[32];
        Public p;

        (void)state;
        public_of(peer, &p);
        for (size_t i = 27; i < p.len; i++) {
                p.data[i] ^= 0x10;
                assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 32),
                                HF_E_INVALID_ARGS);
                p.data[i] ^= 0x10;
        }
        memset(p.data + 27, 0, 64);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 32),
                        HF_E_INVALID_ARGS);
}

static void test_a_peer_of_another_curve_is_refused(void **state)
{
        static const KeyAlgorithm others[] = {KEY_P384, KEY_X25519, KEY_ED25519, KEY_RSA2048};
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        uint8_t out[32];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                _cleanup_(privkey_freep) PrivKey *peer = make(others[i]);
                Public p;

                assert_int_equal(privkey_agree(k, public_of(peer, &p), BYTES_NULL, BYTES_NULL, out, 32),
                                HF_E_INVALID_ARGS);
        }
        assert_int_equal(privkey_agree(k, BYTES_NULL, BYTES_NULL, BYTES_NULL, out, 32), HF_E_INVALID_ARGS);
}

static void test_lengths_beyond_hkdf_are_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_X25519), *ed = make(KEY_ED25519);
        static uint8_t out[255 * 32 + 1], text[1025];
        Public p;

        (void)state;
        public_of(k, &p);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 255 * 32), 0);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 255 * 32 + 1),
                        HF_E_INVALID_ARGS);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 0),
                        HF_E_INVALID_ARGS);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES(text, 1024), BYTES(text, 1024), out, 1),
                        0);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_ARRAY(text), BYTES_NULL, out, 1),
                        HF_E_INVALID_ARGS);
        assert_int_equal(privkey_agree(k, BYTES(p.data, p.len), BYTES_NULL, BYTES_ARRAY(text), out, 1),
                        HF_E_INVALID_ARGS);
        assert_int_equal(privkey_agree(ed, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 1),
                        HF_E_SCHEME_NOT_SUPPORTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_x25519_gives_the_published_secret_through_hkdf),
                        cmocka_unit_test(test_both_sides_get_the_same_key),
                        cmocka_unit_test(test_stock_openssl_is_the_other_side),
                        cmocka_unit_test(test_points_that_give_nothing_away_are_refused),
                        cmocka_unit_test(test_a_peer_off_the_curve_is_refused),
                        cmocka_unit_test(test_a_peer_of_another_curve_is_refused),
                        cmocka_unit_test(test_lengths_beyond_hkdf_are_refused),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
