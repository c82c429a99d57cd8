/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Import: what stock openssl makes comes in; what is weak, ambiguous or broken is refused by name. */
#include "support.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

static int import_file(const char *name, PrivKey **ret)
{
        Hex h;

        return privkey_from_pkcs8(get_file(name, &h), ret);
}

static void test_keys_of_stock_openssl_come_in_and_sign(void **state)
{
        static const struct {
                const char *options;
                KeyAlgorithm algorithm;
        } keys[] = {
                {"EC -pkeyopt ec_paramgen_curve:P-256", KEY_P256},
                {"EC -pkeyopt ec_paramgen_curve:P-384", KEY_P384},
                {"ED25519", KEY_ED25519},
                {"X25519", KEY_X25519},
                {"RSA -pkeyopt rsa_keygen_bits:2048", KEY_RSA2048},
                {"RSA -pkeyopt rsa_keygen_bits:3072", KEY_RSA3072},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_(privkey_freep) PrivKey *pem = NULL, *der = NULL;
                uint8_t signature[SIGNATURE_MAX];
                SignParams params = {.scheme = scheme_usual(keys[i].algorithm, PURPOSE_SIGN)};
                Public p;
                Hex spki;
                size_t len;

                assert_int_equal(run("openssl genpkey -algorithm %s -out k.pem 2>/dev/null && "
                                     "openssl pkcs8 -topk8 -nocrypt -in k.pem -outform der -out k.der && "
                                     "openssl pkey -in k.pem -pubout -outform der -out k.spki", keys[i].options), 0);
                assert_int_equal(import_file("k.pem", &pem), 0);
                assert_int_equal(import_file("k.der", &der), 0);
                assert_int_equal(privkey_algorithm(der), keys[i].algorithm);
                assert_bytes(public_of(pem, &p), get_file("k.spki", &spki));
                assert_bytes(public_of(der, &p), BYTES(spki.data, spki.len));
                if (!params.scheme)
                        continue;
                assert_int_equal(privkey_sign(der, &params, bytes_str("m"), signature, &len), 0);
                assert_int_equal(pubkey_verify(BYTES(spki.data, spki.len), params.scheme, bytes_str("m"),
                                                 BYTES(signature, len)), 0);
        }
}

static void test_a_compressed_public_half_is_understood(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL;
        Hex spki;
        Public p;

        (void)state;
        assert_int_equal(run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem && "
                             "openssl ec -in k.pem -conv_form compressed -outform der -out c.der 2>/dev/null && "
                             "openssl pkcs8 -topk8 -nocrypt -inform der -in c.der -outform der -out c.p8 && "
                             "openssl pkey -in k.pem -pubout -outform der -out k.spki"), 0);
        assert_int_equal(import_file("c.p8", &k), 0);
        assert_bytes(public_of(k, &p), get_file("k.spki", &spki));
}

static void test_weak_and_unknown_keys_are_refused_by_name(void **state)
{
        static const struct {
                const char *options;
                int want;
        } keys[] = {
                {"RSA -pkeyopt rsa_keygen_bits:1024", HF_E_WEAK_KEY},
                {"RSA -pkeyopt rsa_keygen_bits:2040", HF_E_WEAK_KEY},
                {"RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3", HF_E_WEAK_KEY},
                {"RSA -pkeyopt rsa_keygen_bits:2304", HF_E_ALGORITHM_NOT_SUPPORTED},
                {"RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_primes:3", HF_E_WEAK_KEY},
                {"RSA-PSS -pkeyopt rsa_keygen_bits:2048", HF_E_ALGORITHM_NOT_SUPPORTED},
                {"EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", HF_E_WEAK_KEY},
                {"EC -pkeyopt ec_paramgen_curve:P-224", HF_E_WEAK_KEY},
                {"EC -pkeyopt ec_paramgen_curve:prime192v1", HF_E_WEAK_KEY},
                {"EC -pkeyopt ec_paramgen_curve:P-521", HF_E_ALGORITHM_NOT_SUPPORTED},
                {"EC -pkeyopt ec_paramgen_curve:secp256k1", HF_E_ALGORITHM_NOT_SUPPORTED},
                {"EC -pkeyopt ec_paramgen_curve:brainpoolP256r1", HF_E_ALGORITHM_NOT_SUPPORTED},
                {"ED448", HF_E_ALGORITHM_NOT_SUPPORTED},
                {"X448", HF_E_ALGORITHM_NOT_SUPPORTED},
        };
        PrivKey *k = NULL;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                int r;

                assert_int_equal(run("openssl genpkey -algorithm %s -out k.pem 2>/dev/null", keys[i].options), 0);
                r = import_file("k.pem", &k);
                if (r != keys[i].want)
                        print_error("%s: %d\n", keys[i].options, r);
                assert_int_equal(r, keys[i].want);
                assert_null(k);
        }
}

static void test_other_containers_are_refused(void **state)
{
        static const char *const commands[] = {
                "openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:x -in k.pem -out x",
                "openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:x -in k.pem -outform der -out x",
                "openssl ec -in k.pem -out x 2>/dev/null",              /* SEC 1 */
                "openssl ec -in k.pem -outform der -out x 2>/dev/null",
                "openssl pkey -in k.pem -pubout -out x",
                "openssl pkey -in k.pem -pubout -outform der -out x",
                "cat k.pem k.pem >x",                                   /* which of the two? */
                "{ cat k.pem; echo trailing; } >x",
                "{ echo leading; cat k.pem; } >x",
                "{ cat k.der; printf '\\0'; } >x",
                "cat k.der k.der >x",
                "{ cat k.der; echo; } >x",
                "head -c -1 k.der >x",
                "sed 's/M/!/' k.pem >x",
                "grep -v END k.pem >x",
                "sed 's/^-----BEGIN.*/&\\nProc-Type: 4,ENCRYPTED/' k.pem >x",
                "printf '' >x",
                "printf '0' >x",
                "printf -- '-----BEGIN PRIVATE KEY-----' >x",
                "printf -- '-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----' >x",
                "head -c 20000 /dev/zero | tr '\\0' ' ' >x",
        };
        PrivKey *k = NULL;

        (void)state;
        assert_int_equal(run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem && "
                             "openssl pkcs8 -topk8 -nocrypt -in k.pem -outform der -out k.der"), 0);
        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                int r;

                assert_int_equal(run("%s", commands[i]), 0);
                r = import_file("x", &k);
                if (r != HF_E_INVALID_ARGS)
                        print_error("%s: %d\n", commands[i], r);
                assert_int_equal(r, HF_E_INVALID_ARGS);
        }
        assert_null(k);
        assert_int_equal(run("sed 's/$/\\r/' k.pem >x"), 0); /* line ends of other systems are fine */
        assert_int_equal(import_file("x", &k), 0);
        privkey_free(k);
}

static void test_a_public_half_of_another_key_inside_is_refused(void **state)
{
        PrivKey *k = NULL;
        Hex h;

        (void)state;
        assert_int_equal(run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform der -out a.der && "
                             "openssl pkcs8 -topk8 -nocrypt -inform der -in a.der -outform der -out k.der"), 0);
        get_file("k.der", &h);
        assert_int_equal(h.len, 138);
        for (size_t i = 36; i < 36 + 32; i++) { /* the scalar */
                h.data[i] ^= 1;
                assert_int_equal(privkey_from_pkcs8(BYTES(h.data, h.len), &k), HF_E_INVALID_ARGS);
                h.data[i] ^= 1;
        }
        for (size_t i = 138 - 64; i < 138; i++) { /* the point */
                h.data[i] ^= 1;
                assert_int_equal(privkey_from_pkcs8(BYTES(h.data, h.len), &k), HF_E_INVALID_ARGS);
                h.data[i] ^= 1;
        }
        assert_null(k);
}

/* A whole RSA key of two primes of our choice, as PKCS#8. */
static void rsa_of_primes(const BIGNUM *p, const BIGNUM *q, Hex *ret)
{
        BN_CTX *ctx = BN_CTX_new();
        BIGNUM *n = BN_new(), *e = BN_new(), *d = BN_new(), *p1 = BN_dup(p), *q1 = BN_dup(q), *phi = BN_new(), *dp = BN_new(),
               *dq = BN_new(), *qinv = BN_new();
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        PKCS8_PRIV_KEY_INFO *info;
        EVP_PKEY *pkey = NULL;
        OSSL_PARAM *params;
        uint8_t *at = ret->data;

        BN_set_word(e, 65537);
        BN_mul(n, p, q, ctx);
        BN_sub_word(p1, 1);
        BN_sub_word(q1, 1);
        BN_mul(phi, p1, q1, ctx);
        assert_non_null(BN_mod_inverse(d, e, phi, ctx));
        BN_mod(dp, d, p1, ctx);
        BN_mod(dq, d, q1, ctx);
        if (!BN_mod_inverse(qinv, q, p, ctx))
                BN_one(qinv); /* p = q */
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR1, p);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR2, q);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv);
        params = OSSL_PARAM_BLD_to_param(build);
        assert_true(EVP_PKEY_fromdata_init(from) > 0);
        assert_true(EVP_PKEY_fromdata(from, &pkey, EVP_PKEY_KEYPAIR, params) > 0);
        info = EVP_PKEY2PKCS8(pkey);
        assert_non_null(info);
        ret->len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &at);
        assert_true(ret->len > 1000 && ret->len <= sizeof(ret->data));

        PKCS8_PRIV_KEY_INFO_free(info);
        EVP_PKEY_free(pkey);
        EVP_PKEY_CTX_free(from);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(build);
        BN_CTX_free(ctx);
        BN_free(n), BN_free(e), BN_free(d), BN_free(p1), BN_free(q1), BN_free(phi), BN_free(dp), BN_free(dq), BN_free(qinv);
}

static BIGNUM *prime(void)
{
        BIGNUM *p = BN_new(), *p1 = BN_new();

        do {
                assert_int_equal(BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL), 1);
                BN_copy(p1, p);
                BN_sub_word(p1, 1);
        } while (BN_mod_word(p1, 65537) == 0);
        BN_free(p1);
        return p;
}

static int import_primes(const BIGNUM *p, const BIGNUM *q)
{
        PrivKey *k = NULL;
        Hex der;
        int r;

        rsa_of_primes(p, q, &der);
        r = privkey_from_pkcs8(BYTES(der.data, der.len), &k);
        privkey_free(k);
        return r;
}

static void test_close_or_equal_primes_are_weak(void **state)
{
        BIGNUM *p = prime(), *q = prime(), *near = BN_dup(p);

        (void)state;
        assert_int_equal(import_primes(p, q), 0); /* the control: this way of making one makes good ones */
        assert_int_equal(import_primes(q, p), 0);
        do
                BN_add_word(near, 2);
        while (BN_check_prime(near, NULL, NULL) != 1);
        assert_int_equal(import_primes(p, near), HF_E_WEAK_KEY);
        assert_int_equal(import_primes(near, p), HF_E_WEAK_KEY);
        assert_int_equal(import_primes(p, p), HF_E_WEAK_KEY);
        BN_free(p), BN_free(q), BN_free(near);
}

static void test_factors_that_are_no_primes_are_refused(void **state)
{
        BIGNUM *p = prime(), *q = prime();

        (void)state;
        BN_sub_word(q, 2);
        while (BN_check_prime(q, NULL, NULL) == 1 || BN_mod_word(q, 65537) == 1)
                BN_sub_word(q, 2);
        assert_int_equal(import_primes(p, q), HF_E_INVALID_ARGS);
        BN_free(p), BN_free(q);
}

/* As the faulty library made them: k * M + (65537^a mod M), M the product of the first 39 primes. */
static BIGNUM *roca_prime(BN_CTX *ctx)
{
        BIGNUM *m = BN_new(), *a = BN_new(), *k = BN_new(), *p = BN_new(), *e = BN_new();

        BN_one(m);
        for (unsigned i = 2, found = 0; found < 39; i++) {
                bool composite = false;

                for (unsigned j = 2; j * j <= i; j++)
                        composite = composite || i % j == 0;
                if (!composite) {
                        BN_mul_word(m, i);
                        found++;
                }
        }
        BN_set_word(e, 65537);
        do {
                BN_rand(a, 200, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
                BN_mod_exp(p, e, a, m, ctx);
                BN_rand(k, 1025 - BN_num_bits(m), BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
                BN_mul(k, k, m, ctx);
                BN_add(p, p, k);
        } while (BN_num_bits(p) != 1024 || !BN_is_bit_set(p, 1022) || BN_check_prime(p, ctx, NULL) != 1);
        BN_free(m), BN_free(a), BN_free(k), BN_free(e);
        return p;
}

static void test_keys_with_the_roca_mark_are_weak(void **state)
{
        BN_CTX *ctx = BN_CTX_new();
        BIGNUM *p = roca_prime(ctx), *q = roca_prime(ctx), *n = BN_new();

        (void)state;
        BN_mul(n, p, q, ctx);
        if (BN_num_bits(n) == 2048)
                assert_int_equal(import_primes(p, q), HF_E_WEAK_KEY);
        else
                fail_msg("the primes are too small for the test to mean anything");
        BN_free(p), BN_free(q), BN_free(n);
        BN_CTX_free(ctx);
}

static void test_every_truncation_of_der_is_refused(void **state)
{
        PrivKey *k = NULL;
        Hex h;

        (void)state;
        assert_int_equal(run("openssl genpkey -algorithm ED25519 -outform der -out k.der"), 0);
        get_file("k.der", &h);
        for (size_t n = 0; n < h.len; n++)
                assert_int_equal(privkey_from_pkcs8(BYTES(h.data, n), &k), HF_E_INVALID_ARGS);
        assert_null(k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_keys_of_stock_openssl_come_in_and_sign),
                cmocka_unit_test(test_a_compressed_public_half_is_understood),
                cmocka_unit_test(test_weak_and_unknown_keys_are_refused_by_name),
                cmocka_unit_test(test_other_containers_are_refused),
                cmocka_unit_test(test_a_public_half_of_another_key_inside_is_refused),
                cmocka_unit_test(test_close_or_equal_primes_are_weak),
                cmocka_unit_test(test_factors_that_are_no_primes_are_refused),
                cmocka_unit_test(test_keys_with_the_roca_mark_are_weak),
                cmocka_unit_test(test_every_truncation_of_der_is_refused),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
