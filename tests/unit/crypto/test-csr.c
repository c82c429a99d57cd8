/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests, judged by stock `openssl req`; names that a CA should never see, refused here. */
#include "support.h"

#include "crypto/csr.h"

static int make_request(PrivKey *k, Scheme s, const CsrRequest *request, Buffer *ret)
{
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CSR_MAX);
        uint8_t signature[SIGNATURE_MAX];
        size_t len;
        Public p;
        int r;

        r = csr_prepare(request, public_of(k, &p), s, &tbs);
        if (r)
                return r;
        assert_int_equal(privkey_sign(k, &(SignParams){.scheme = s}, buffer_bytes(&tbs), signature, &len), 0);
        return csr_finish(buffer_bytes(&tbs), s, BYTES(signature, len), ret);
}

static void test_openssl_verifies_a_request_of_every_scheme(void **state)
{
        static const KeyAlgorithm signing[] = {KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA2048};
        const CsrRequest request = {.subject = "CN=device-7,O=Example", .dns = (const char *const[]){"a.example", NULL}};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(signing); i++) {
                _cleanup_(privkey_freep) PrivKey *k = make(signing[i]);

                for (Scheme s = 1; s < _SCHEME_MAX; s++) {
                        _cleanup_buffer_ Buffer der = BUFFER_INIT(CSR_MAX);

                        if (scheme_check(s, signing[i], PURPOSE_SIGN)) {
                                assert_int_equal(make_request(k, s, &request, &der), HF_E_SCHEME_NOT_SUPPORTED);
                                continue;
                        }
                        assert_int_equal(make_request(k, s, &request, &der), 0);
                        put_file("r.der", buffer_bytes(&der));
                        assert_int_equal(run("openssl req -inform der -in r.der -verify -noout >out 2>&1 && "
                                             "grep -q 'verify OK' out"), 0);
                }
        }
}

static void test_subject_and_names_arrive_as_written(void **state)
{
        const CsrRequest request = {
                .subject = "CN=Caf\\c3\\a9\\, \\+1,OU=a b+L=here,O=Ex\\\\ample,C=DE",
                .dns = (const char *const[]){"*.example.org", "x-1.example", NULL},
                .ip = (const char *const[]){"192.0.2.7", "2001:db8::1", NULL},
                .uri = (const char *const[]){"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", NULL},
                .email = (const char *const[]){"ops+7@example.org", NULL},
        };
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CSR_MAX);

        (void)state;
        assert_int_equal(make_request(k, SCHEME_ES256, &request, &der), 0);
        put_file("r.der", buffer_bytes(&der));
        assert_int_equal(run("openssl req -inform der -in r.der -noout -subject -nameopt RFC2253,-esc_msb,utf8 >out; cat out; "
                             "grep -qF 'CN=Caf\\C3\\A9\\, \\+1,' out || grep -qF 'CN=Caf\xc3\xa9\\, \\+1,' out"), 0);
        assert_int_equal(run("grep -qF 'O=Ex\\\\ample,C=DE' out && grep -qE 'OU=a b\\+L=here|L=here\\+OU=a b' out"), 0);
        assert_int_equal(run("openssl req -inform der -in r.der -noout -text | grep -F 'DNS:*.example.org, DNS:x-1.example, "
                             "IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:1, "
                             "URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6, email:ops+7@example.org' >/dev/null"), 0);
}

static void test_names_are_critical_only_without_a_subject(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        _cleanup_buffer_ Buffer bare = BUFFER_INIT(CSR_MAX), full = BUFFER_INIT(CSR_MAX);
        const char *const dns[] = {"a.example", NULL};

        (void)state;
        assert_int_equal(make_request(k, SCHEME_ES256, &(CsrRequest){.subject = "", .dns = dns}, &bare), 0);
        put_file("r.der", buffer_bytes(&bare));
        assert_int_equal(run("openssl req -inform der -in r.der -noout -text | grep -q 'Alternative Name: critical'"), 0);
        assert_int_equal(make_request(k, SCHEME_ES256, &(CsrRequest){.subject = "CN=a", .dns = dns}, &full), 0);
        put_file("r.der", buffer_bytes(&full));
        assert_int_not_equal(run("openssl req -inform der -in r.der -noout -text | grep -q critical"), 0);
}

static void test_bad_subjects_are_refused(void **state)
{
        static const char *const bad[] = {
                "", "CN", "CN=", "=x", "XX=1", "CN=a,", "CN=a+", "CN=a,,O=b", "CN= a", "CN=a ", "CN=#0401", "CN=a;O=b",
                "CN=a\"b", "CN=<a>", "CN=a\\", "CN=a\\zz", "CN=a\\00b", "CN=a\\0ab", "CN=a\nb", "C=DEU", "C=D", "C=d1", "C=de",
                "CN=\\ff\\fe", /* not UTF-8 */
                "CN=0123456789012345678901234567890123456789012345678901234567890123x", /* 65 */
                "serialNumber=0123456789012345678901234567890123456789012345678901234567890123x",
                "O=0123456789012345678901234567890123456789012345678901234567890123x",
                "DC=caf\\c3\\a9", "DC=0123456789012345678901234567890123456789012345678901234567890123",
                "2.5.4.3=a", "CN =a",
        };
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CSR_MAX);

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                int r = make_request(k, SCHEME_ES256, &(CsrRequest){.subject = bad[i]}, &der);

                if (r != HF_E_INVALID_ARGS)
                        print_error("subject \"%s\": %d\n", bad[i], r);
                assert_int_equal(r, HF_E_INVALID_ARGS);
        }
        assert_int_equal(der.len, 0);
        assert_int_equal(make_request(k, SCHEME_ES256, &(CsrRequest){
                .subject = "CN=0123456789012345678901234567890123456789012345678901234567890123, o=b"}, &der), 0);
}

static void test_bad_names_are_refused(void **state)
{
        static const char *const dns[] = {"", ".", "a..b", "a.", "-a.example", "a-.example", "a_b.example", "*", "*.", "*.*.a",
                "a.*.example", "192.0.2.1", "a b", "caf\xc3\xa9.example", "a\n.example",
                "0123456789012345678901234567890123456789012345678901234567890123.example"};
        static const char *const ip[] = {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/8", "::g", "fe80::1%eth0", " 1.2.3.4"};
        static const char *const uri[] = {"", "a", ":x", "1a:x", "http:", "http://a b", "http://\xc3\xa9", "http://a\n", "x:<y>"};
        static const char *const email[] = {"", "a", "@b.example", "a@", "a@b@c", "a b@c.example", "a@-b", "\"a\"@b.example",
                "a@b.example\n"};
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CSR_MAX);

        (void)state;
#define ALL_REFUSED(list)                                                                                    \
        for (size_t i = 0; i < ELEMENTSOF(list); i++) {                                                      \
                const char *const one[] = {list[i], NULL};                                                   \
                int r = make_request(k, SCHEME_ES256, &(CsrRequest){.subject = "CN=a", .list = one}, &der);  \
                                                                                                             \
                if (r != HF_E_INVALID_ARGS)                                                                  \
                        print_error(#list " \"%s\": %d\n", list[i], r);                                      \
                assert_int_equal(r, HF_E_INVALID_ARGS);                                                      \
        }
        ALL_REFUSED(dns)
        ALL_REFUSED(ip)
        ALL_REFUSED(uri)
        ALL_REFUSED(email)
        assert_int_equal(der.len, 0);
}

static void test_one_name_too_many_is_refused(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CSR_MAX);
        const char *names[CSR_NAMES_MAX + 2] = {};

        (void)state;
        for (size_t i = 0; i < CSR_NAMES_MAX; i++)
                names[i] = "a.example";
        assert_int_equal(make_request(k, SCHEME_ES256, &(CsrRequest){.subject = "", .dns = names}, &der), 0);
        buffer_clear(&der);
        names[CSR_NAMES_MAX] = "a.example";
        assert_int_equal(make_request(k, SCHEME_ES256, &(CsrRequest){.subject = "", .dns = names}, &der),
                        HF_E_INVALID_ARGS);
}

static void test_weak_keys_get_no_request(void **state)
{
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CSR_MAX);
        Hex der;

        (void)state;
        assert_int_equal(run("openssl genrsa 1024 2>/dev/null | openssl pkey -pubout -outform der -out w.der"), 0);
        assert_int_equal(csr_prepare(&(CsrRequest){.subject = "CN=a"}, get_file("w.der", &der), SCHEME_RS256, &tbs),
                        HF_E_WEAK_KEY);
        assert_int_equal(csr_prepare(&(CsrRequest){.subject = "CN=a"}, BYTES_NULL, SCHEME_RS256, &tbs), HF_E_INVALID_ARGS);
}

static void test_a_signature_of_another_key_is_not_put_in(void **state)
{
        _cleanup_(privkey_freep) PrivKey *k = make(KEY_P256), *other = make(KEY_P256);
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CSR_MAX), der = BUFFER_INIT(CSR_MAX);
        uint8_t signature[SIGNATURE_MAX];
        size_t len;
        Public p;

        (void)state;
        assert_int_equal(csr_prepare(&(CsrRequest){.subject = "CN=a"}, public_of(k, &p), SCHEME_ES256, &tbs), 0);
        assert_int_equal(privkey_sign(other, &(SignParams){.scheme = SCHEME_ES256}, buffer_bytes(&tbs), signature, &len), 0);
        assert_int_equal(csr_finish(buffer_bytes(&tbs), SCHEME_ES256, BYTES(signature, len), &der), HF_E_KEY_MISMATCH);
        assert_int_equal(csr_finish(BYTES(tbs.data, tbs.len - 1), SCHEME_ES256, BYTES(signature, len), &der),
                        HF_E_INVALID_ARGS);
        assert_int_equal(csr_finish(buffer_bytes(&tbs), SCHEME_HS256, BYTES(signature, len), &der),
                        HF_E_SCHEME_NOT_SUPPORTED);
        assert_int_equal(der.len, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_openssl_verifies_a_request_of_every_scheme),
                cmocka_unit_test(test_subject_and_names_arrive_as_written),
                cmocka_unit_test(test_names_are_critical_only_without_a_subject),
                cmocka_unit_test(test_bad_subjects_are_refused),
                cmocka_unit_test(test_bad_names_are_refused),
                cmocka_unit_test(test_one_name_too_many_is_refused),
                cmocka_unit_test(test_weak_keys_get_no_request),
                cmocka_unit_test(test_a_signature_of_another_key_is_not_put_in),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
