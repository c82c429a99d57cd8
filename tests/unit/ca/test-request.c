/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests as a stranger may make them. Nothing in one makes the reader stumble, and no weak key gets through. */
#include "support.h"

#include <openssl/bn.h>

#include "crypto/rsa-check.h"

#define EC "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -batch -subj /CN=d "

static void assert_refused(const char *file, const char *word)
{
        CaProblem problem = {};
        CaRequest *request;
        int r;

        request = read_request(file, &problem, &r);
        assert_null(request);
        assert_int_equal(r, HF_E_REQUEST_REFUSED);
        if (!strstr(problem.text, word))
                fail_msg("%s was refused, but not for %s: %s", file, word, problem.text);
}

static void test_pem_and_der_give_the_same(void **state)
{
        CaProblem problem = {};
        CaRequest *a, *b;
        const char *value;
        CaPart part;
        int r;

        (void)state;
        assert_int_equal(run(EC "-addext subjectAltName=DNS:a.example,URI:http://x,IP:10.0.0.1,email:a@b.example -out r.csr 2>err && "
                                "openssl req -in r.csr -outform der -out r.der"), 0);
        a = read_request("r.csr", &problem, &r);
        assert_int_equal(r, 0);
        b = read_request("r.der", &problem, &r);
        assert_int_equal(r, 0);
        assert_bytes(ca_request_spki(a), ca_request_spki(b));
        assert_true(ca_request_part(a, 0, &part, &value));
        assert_int_equal(part, CA_PART_CN);
        assert_string_equal(value, "d");
        assert_false(ca_request_part(a, 1, &part, &value));
        assert_string_equal(ca_request_names(a, CA_NAME_DNS)[0], "a.example");
        assert_string_equal(ca_request_names(a, CA_NAME_URI)[0], "http://x");
        assert_string_equal(ca_request_names(b, CA_NAME_IP)[0], "10.0.0.1");
        assert_string_equal(ca_request_names(b, CA_NAME_EMAIL)[0], "a@b.example");
        assert_null(ca_request_names(b, CA_NAME_EMAIL)[1]);
        ca_request_free(a);
        ca_request_free(b);
}

static void test_who_has_not_the_key_gets_nothing(void **state)
{
        Hex der;

        (void)state;
        assert_int_equal(run(EC "-outform der -out r.der 2>err"), 0);
        get_file("r.der", &der);
        der.data[der.len - 3] ^= 1;
        put_file("bad.der", BYTES(der.data, der.len));
        assert_refused("bad.der", "prove");
}

static void test_a_proof_by_a_weak_digest_is_none(void **state)
{
        (void)state;
        assert_int_equal(run(EC "-sha1 -out w.csr 2>err"), 0);
        assert_refused("w.csr", "digest that is weak");
        assert_int_equal(run("openssl req -new -md5 -newkey rsa:2048 -nodes -keyout k.pem -batch -subj /CN=d -out w.csr 2>err"), 0);
        assert_refused("w.csr", "digest that is weak");
}

static void test_weak_keys_are_refused_by_name(void **state)
{
        (void)state;
        assert_int_equal(run("openssl req -new -newkey rsa:1024 -nodes -keyout k.pem -batch -subj /CN=d -out w.csr 2>err"), 0);
        assert_refused("w.csr", "weak");
        assert_int_equal(run("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3 -out k.pem "
                             "2>err && openssl req -new -key k.pem -batch -subj /CN=d -out w.csr"), 0);
        assert_refused("w.csr", "weak");
        assert_int_equal(run("openssl ecparam -name prime256v1 -genkey -param_enc explicit -noout -out k.pem && openssl req -new -key "
                             "k.pem -batch -subj /CN=d -out w.csr"), 0);
        assert_refused("w.csr", "weak");
        assert_int_equal(run("openssl ecparam -name secp224r1 -genkey -noout -out k.pem && openssl req -new -key k.pem -batch -subj "
                             "/CN=d -out w.csr"), 0);
        assert_refused("w.csr", "weak");
        assert_int_equal(run("openssl ecparam -name secp256k1 -genkey -noout -out k.pem && openssl req -new -key k.pem -batch -subj "
                             "/CN=d -out w.csr"), 0);
        assert_refused("w.csr", "algorithm");
        assert_int_equal(run("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:5120 -out k.pem 2>err && openssl req -new -key "
                             "k.pem -batch -subj /CN=d -out w.csr"), 0);
        assert_refused("w.csr", "algorithm");
}

/* Two primes next to each other: a bad generator's idea of a key. */
static void test_a_modulus_that_falls_apart_is_weak(void **state)
{
        BIGNUM *p = BN_new(), *q = BN_new(), *n = BN_new();
        BN_CTX *ctx = BN_CTX_new();
        uint8_t bytes[256];

        (void)state;
        assert_true(BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL));
        assert_true(BN_generate_prime_ex(q, 1024, 0, NULL, NULL, NULL) && BN_mul(n, p, q, ctx));
        assert_int_equal(BN_bn2binpad(n, bytes, sizeof(bytes)), (int)sizeof(bytes));
        assert_int_equal(rsa_check_modulus(BYTES_ARRAY(bytes)), 0);
        BN_copy(q, p);
        do
                BN_add_word(q, 2);
        while (BN_check_prime(q, ctx, NULL) != 1);
        assert_true(BN_mul(n, p, q, ctx));
        assert_int_equal(BN_bn2binpad(n, bytes, sizeof(bytes)), (int)sizeof(bytes));
        assert_int_equal(rsa_check_modulus(BYTES_ARRAY(bytes)), HF_E_WEAK_KEY);
        assert_true(BN_set_word(q, 1999) && BN_mul(n, p, q, ctx));
        assert_int_equal(BN_bn2binpad(n, bytes, sizeof(bytes)), (int)sizeof(bytes));
        assert_int_equal(rsa_check_modulus(BYTES_ARRAY(bytes)), HF_E_WEAK_KEY);
        assert_int_equal(rsa_check_modulus(BYTES("\x10", 1)), HF_E_WEAK_KEY);
        BN_free(p);
        BN_free(q);
        BN_free(n);
        BN_CTX_free(ctx);
}

static void test_no_end_and_no_bit_of_a_request_makes_the_reader_stumble(void **state)
{
        CaProblem problem;
        CaRequest *request;
        Hex der;

        (void)state;
        assert_int_equal(run(EC "-addext subjectAltName=DNS:a.example,IP:::1 -addext basicConstraints=CA:FALSE -outform der -out r.der "
                                "2>err"), 0);
        get_file("r.der", &der);
        for (size_t n = 0; n < der.len; n++)
                assert_int_equal(ca_request_read(BYTES(der.data, n), &problem, &request), HF_E_REQUEST_REFUSED);
        for (size_t i = 0; i < der.len * 8; i++) {
                int r;

                der.data[i / 8] ^= (uint8_t)(1 << i % 8);
                r = ca_request_read(BYTES(der.data, der.len), &problem, &request);
                if (r == 0)
                        fail_msg("bit %zu turned, and accepted", i);
                assert_true(r == HF_E_REQUEST_REFUSED);
                der.data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        der.data[der.len++] = 0;
        assert_int_equal(ca_request_read(BYTES(der.data, der.len), &problem, &request), HF_E_REQUEST_REFUSED);
}

static void test_a_request_has_its_limits(void **state)
{
        (void)state;
        assert_int_equal(run("printf '[req]\\ndistinguished_name=d\\n[d]\\n' >c; " EC "-config c -addext subjectAltName=$(seq -s, -f "
                             "'DNS:n%%g.example' 65) -out many.csr 2>err"), 0);
        assert_refused("many.csr", "more than 64");
        assert_int_equal(run("head -c 40000 /dev/zero >big"), 0);
        {
                CaProblem problem;
                int r;

                assert_null(read_request("big", &problem, &r));
                assert_int_equal(r, HF_E_MESSAGE_TOO_LARGE);
        }
        assert_int_equal(run("echo hello >text"), 0);
        assert_refused("text", "no certificate signing request");
        assert_int_equal(run("cp k.pem key.pem"), 0);
        assert_refused("key.pem", "no certificate signing request");
}

static void test_a_nul_in_a_name_is_no_end(void **state)
{
        (void)state;
        assert_int_equal(run("printf '[req]\\ndistinguished_name=d\\nreq_extensions=e\\n[d]\\n[e]\\n2.5.29.17=DER:30:0d:82:0b:61:2e:62:00:2e:"
                             "65:76:69:6c:2e:63\\n' >c; " EC "-config c -out nul.csr 2>err"), 0);
        assert_refused("nul.csr", "NUL");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pem_and_der_give_the_same),
                cmocka_unit_test(test_who_has_not_the_key_gets_nothing),
                cmocka_unit_test(test_a_proof_by_a_weak_digest_is_none),
                cmocka_unit_test(test_weak_keys_are_refused_by_name),
                cmocka_unit_test(test_a_modulus_that_falls_apart_is_weak),
                cmocka_unit_test(test_no_end_and_no_bit_of_a_request_makes_the_reader_stumble),
                cmocka_unit_test(test_a_request_has_its_limits),
                cmocka_unit_test(test_a_nul_in_a_name_is_no_end),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
