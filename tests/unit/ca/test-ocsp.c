/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers about single certificates, judged by stock openssl; requests that are none. */
#include "support.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "ca/ocsp.h"

static void x509_freep(X509 **x)
{
        X509_free(*x);
}

static void pkey_freep(EVP_PKEY **k)
{
        EVP_PKEY_free(*k);
}

static X509 *load_certificate(const char *file)
{
        FILE *f = fopen(file, "re");
        X509 *x;

        assert_non_null(f);
        x = PEM_read_X509(f, NULL, NULL, NULL);
        fclose(f);
        assert_non_null(x);
        return x;
}

static EVP_PKEY *load_key(const char *file)
{
        FILE *f = fopen(file, "re");
        EVP_PKEY *k;

        assert_non_null(f);
        k = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
        assert_non_null(k);
        return k;
}

/* FILE.pem for a key that openssl makes in FILE.key. */
static void make_certificate(const Authority *ca, const char *profile_name, const char *file)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaCertificateParams p = {.path_length = -1, .set = (const char *const[]){"CN=one", NULL}};
        CaProfile named = profile(profile_name);
        CaProblem problem = {};
        char name[64];
        Hex spki;

        assert_int_equal(run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s.key && openssl pkey -in %s.key "
                             "-pubout -outform der -out spki.der", file, file), 0);
        p.profile = &named;
        p.spki = get_file("spki.der", &spki);
        if (issue(ca, NULL, &p, &problem, &der))
                fail_msg("%s", problem.text);
        snprintf(name, sizeof(name), "%s.pem", file);
        put_certificate(name, &der);
}

/* root.pem, signer.pem, leaf.pem, and r.der that asks for the leaf. */
static Authority make_site(void)
{
        Authority root = make_authority(NULL, KEY_P256, "root", -1);

        make_certificate(&root, "ocsp", "signer");
        make_certificate(&root, "device", "leaf");
        assert_int_equal(run("openssl ocsp -reqout r.der -issuer root.pem -cert leaf.pem"), 0);
        return root;
}

static CaOcspRequest *read_good(const char *file)
{
        CaOcspRequest *request = NULL;
        Hex der;

        assert_int_equal(ca_ocsp_request_read(get_file(file, &der), &request), 0);
        return request;
}

/* Answers r.der into s.der; the signature by FILE.key. */
static int respond(const CaOcspAnswer *answers, uint64_t now, uint64_t until, const char *key_file)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_OCSP_RESPONSE_MAX);
        _cleanup_(ca_ocsp_request_freep) CaOcspRequest *request = read_good("r.der");
        _cleanup_(x509_freep) X509 *signer = load_certificate("signer.pem");
        _cleanup_(pkey_freep) EVP_PKEY *key = load_key(key_file);
        int r = ca_ocsp_respond(&(CaOcspParams){.request = request, .answers = answers, .signer = signer, .key = key,
                                                .this_update = now, .next_update = until}, &der);

        if (r == 0)
                put_file("s.der", buffer_bytes(&der));
        return r;
}

static int judge(void)
{
        return run("openssl ocsp -respin s.der -resp_text -no_nonce -issuer root.pem -cert leaf.pem -CAfile root.pem >out 2>&1");
}

static void test_each_status_is_understood_by_openssl(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        uint64_t now = clock_wall();

        (void)state;
        assert_int_equal(respond(&(CaOcspAnswer){.status = CA_OCSP_GOOD}, now, now + DAY, "signer.key"), 0);
        assert_int_equal(judge(), 0);
        assert_int_equal(run("grep -q 'Response verify OK' out && grep -q 'leaf.pem: good' out"), 0);
        assert_int_equal(respond(&(CaOcspAnswer){.status = CA_OCSP_UNKNOWN}, now, now + DAY, "signer.key"), 0);
        assert_int_equal(judge(), 0);
        assert_int_equal(run("grep -q 'Response verify OK' out && grep -q 'leaf.pem: unknown' out"), 0);
        for (CaReason reason = 0; reason < _CA_REASON_MAX; reason++) {
                if (!ca_reason_to_string(reason))
                        continue;
                assert_int_equal(respond(&(CaOcspAnswer){.status = CA_OCSP_REVOKED, .when = 1700000000 * USEC_PER_SEC, .reason = reason},
                                                 now, now + DAY, "signer.key"), 0);
                assert_int_equal(judge(), 0);
                assert_int_equal(run("grep -q 'Response verify OK' out && grep -q 'leaf.pem: revoked' out && grep -q 'Revocation Time: Nov "
                                     "14 22:13:20 2023' out"), 0);
                assert_int_equal(run("grep -q 'Revocation Reason: .* (0x%x)' out", reason) == 0, reason != CA_REASON_UNSPECIFIED);
        }
}

static void test_an_answer_that_has_run_out_or_is_not_yet_is_seen(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        uint64_t now = clock_wall();

        (void)state;
        assert_int_equal(respond(&(CaOcspAnswer){.status = CA_OCSP_GOOD}, now - 2 * DAY, now - DAY, "signer.key"), 0);
        (void)judge();
        assert_int_equal(run("grep -q 'status expired' out"), 0);
        assert_int_equal(respond(&(CaOcspAnswer){.status = CA_OCSP_GOOD}, now + DAY, now + 2 * DAY, "signer.key"), 0);
        (void)judge();
        assert_int_equal(run("grep -q 'status not yet valid' out"), 0);
}

static void test_another_key_than_the_signers_signs_nothing(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        uint64_t now = clock_wall();

        (void)state;
        assert_int_equal(respond(&(CaOcspAnswer){.status = CA_OCSP_GOOD}, now, now + DAY, "leaf.key"), HF_E_INVALID_ARGS);
}

static int check(const char *signer_file, const char *issuer_file, const char *word)
{
        _cleanup_(x509_freep) X509 *signer = load_certificate(signer_file);
        _cleanup_(x509_freep) X509 *issuer = load_certificate(issuer_file);
        CaProblem problem = {};
        int r = ca_ocsp_check_signer(signer, issuer, &problem);

        if (word)
                assert_non_null(strstr(problem.text, word));
        return r;
}

static void test_only_whom_the_ca_named_answers_for_it(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        _cleanup_authority_ Authority twin = make_authority(NULL, KEY_P256, "twin", -1);

        (void)state;
        assert_int_equal(check("signer.pem", "root.pem", NULL), 0);
        assert_int_equal(check("leaf.pem", "root.pem", "OCSPSigning"), HF_E_REQUEST_REFUSED);
        assert_int_equal(check("signer.pem", "twin.pem", "not issued"), HF_E_REQUEST_REFUSED);
        assert_int_equal(check("root.pem", "root.pem", "OCSPSigning"), HF_E_REQUEST_REFUSED);
        /* The purpose without nocheck: a client would ask whether the signer is revoked, and nobody answers that. */
        assert_int_equal(run("openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout h.key -subj /CN=Hand -days 9 "
                             "-out hand.pem 2>out; openssl req -new -key leaf.key -subj /CN=s -out s.csr; echo extendedKeyUsage=OCSPSigning "
                             ">ext; openssl x509 -req -in s.csr -CA hand.pem -CAkey h.key -CAcreateserial -extfile ext -out s.pem 2>out"), 0);
        assert_int_equal(check("s.pem", "hand.pem", "nocheck"), HF_E_REQUEST_REFUSED);
}

static void test_an_issuer_is_known_by_name_and_key_and_a_long_serial_is_none(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        _cleanup_authority_ Authority twin = make_authority(NULL, KEY_P256, "root2", -1);
        _cleanup_(ca_ocsp_request_freep) CaOcspRequest *ours = read_good("r.der");
        _cleanup_(x509_freep) X509 *issuer = load_certificate("root.pem");
        _cleanup_(x509_freep) X509 *other = load_certificate("root2.pem");
        uint8_t serial[CA_SERIAL_SIZE];
        static const struct {
                const char *serial;
                bool ours;
        } cases[] = {{"0x1", true}, {"0x7fffffffffffffffffffffffffffffff", true}, {"0x17fffffffffffffffffffffffffffffff1", false},
                        {"-1", false}, {"0", true}};

        (void)state;
        assert_true(ca_ocsp_request_serial(ours, 0, issuer, serial));
        assert_false(ca_ocsp_request_serial(ours, 0, other, serial));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ca_ocsp_request_freep) CaOcspRequest *request = NULL;

                assert_int_equal(run("openssl ocsp -reqout q.der -issuer root.pem -serial %s", cases[i].serial), 0);
                request = read_good("q.der");
                assert_int_equal(ca_ocsp_request_serial(request, 0, issuer, serial), cases[i].ours);
        }
        /* A hash that nobody uses for this is nobody's name. */
        assert_int_equal(run("openssl ocsp -reqout q.der -issuer root.pem -md5 -cert leaf.pem"), 0);
        {
                _cleanup_(ca_ocsp_request_freep) CaOcspRequest *request = read_good("q.der");

                assert_false(ca_ocsp_request_serial(request, 0, issuer, serial));
        }
}

static int read_bytes(Bytes der)
{
        _cleanup_(ca_ocsp_request_freep) CaOcspRequest *request = NULL;

        return ca_ocsp_request_read(der, &request);
}

static void test_a_request_that_is_cut_or_goes_on_is_none(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        uint8_t large[CA_OCSP_REQUEST_MAX + 1] = {0x30};
        Hex good;

        (void)state;
        (void)get_file("r.der", &good);
        assert_int_equal(read_bytes(BYTES(good.data, good.len)), 0);
        for (size_t len = 0; len < good.len; len++)
                assert_int_equal(read_bytes(BYTES(good.data, len)), HF_E_INVALID_ARGS);
        assert_int_equal(read_bytes(BYTES(good.data, good.len + 1)), HF_E_INVALID_ARGS);
        assert_int_equal(read_bytes(BYTES_ARRAY(large)), HF_E_MESSAGE_TOO_LARGE);
        assert_int_equal(read_bytes(HEX("300430023000")), HF_E_INVALID_ARGS); /* for no certificate */
}

static void test_more_than_32_certificates_are_too_many(void **state)
{
        _cleanup_authority_ Authority root = make_site();
        _cleanup_(ca_ocsp_request_freep) CaOcspRequest *request = NULL;
        Hex der;

        (void)state;
        assert_int_equal(run("openssl ocsp -reqout q.der -no_nonce -issuer root.pem $(yes -- '-cert leaf.pem' | head -n 32)"), 0);
        request = read_good("q.der");
        assert_int_equal(ca_ocsp_request_count(request), 32);
        assert_int_equal(run("openssl ocsp -reqout q.der -no_nonce -issuer root.pem $(yes -- '-cert leaf.pem' | head -n 33)"), 0);
        assert_int_equal(read_bytes(get_file("q.der", &der)), HF_E_LIMIT_EXCEEDED);
}

/* A request for one certificate with one extension: OID and value in hex. */
static int read_extended(const char *oid, bool critical, const char *value)
{
        static const char hash[] = "1111111111111111111111111111111111111111";
        char asn1[2048];
        Hex der;

        snprintf(asn1, sizeof(asn1),
                        "asn1=SEQUENCE:r\n[r]\nt=SEQUENCE:t\n[t]\nl=SEQUENCE:l\ne=EXP:2,SEQUENCE:e\n[l]\no=SEQUENCE:o\n[o]\ni=SEQUENCE:i\n"
                        "[i]\na=SEQUENCE:a\nn=FORMAT:HEX,OCT:%s\nk=FORMAT:HEX,OCT:%s\ns=INTEGER:5\n[a]\nd=OID:sha1\n"
                        "[e]\nx=SEQUENCE:x\n[x]\no=OID:%s\n%sv=FORMAT:HEX,OCT:%s\n",
                        hash, hash, oid, critical ? "c=BOOLEAN:true\n" : "", value);
        put_file("asn1.conf", bytes_str(asn1));
        assert_int_equal(run("openssl asn1parse -genconf asn1.conf -noout -out q.der"), 0);
        return read_bytes(get_file("q.der", &der));
}

static void test_nonces_have_1_to_128_bytes_and_unknown_critical_extensions_are_refused(void **state)
{
        static const char nonce[] = "1.3.6.1.5.5.7.48.1.2";
        char value[600];

        (void)state;
        assert_int_equal(read_extended(nonce, false, "0401aa"), 0);
        assert_int_equal(read_extended(nonce, true, "0401aa"), 0);
        assert_int_equal(read_extended(nonce, false, "0400"), HF_E_INVALID_ARGS);
        assert_int_equal(read_extended(nonce, false, "0402aa"), HF_E_INVALID_ARGS);
        assert_int_equal(read_extended(nonce, false, "0401aa00"), HF_E_INVALID_ARGS);
        assert_int_equal(read_extended(nonce, false, "aabb"), HF_E_INVALID_ARGS);
        for (size_t len = 128; len <= 129; len++) {
                snprintf(value, sizeof(value), "0481%02zx", len);
                for (size_t i = 0; i < len; i++)
                        strcat(value, "ab");
                assert_int_equal(read_extended(nonce, false, value), len == 128 ? 0 : HF_E_INVALID_ARGS);
        }
        assert_int_equal(read_extended("1.2.3.4", false, "0500"), 0);
        assert_int_equal(read_extended("1.2.3.4", true, "0500"), HF_E_INVALID_ARGS);
}

static void test_errors_are_told_without_a_signature(void **state)
{
        static const struct {
                CaOcspError error;
                const char *word;
        } cases[] = {{CA_OCSP_MALFORMED_REQUEST, "malformedrequest (1)"}, {CA_OCSP_UNAUTHORIZED, "unauthorized (6)"}};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_OCSP_RESPONSE_MAX);

                assert_int_equal(ca_ocsp_error(cases[i].error, &der), 0);
                assert_int_equal(der.len, 5);
                put_file("e.der", buffer_bytes(&der));
                assert_int_equal(run("openssl ocsp -respin e.der -noverify 2>&1 | grep -q 'Responder Error: %s'", cases[i].word), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_status_is_understood_by_openssl),
                cmocka_unit_test(test_an_answer_that_has_run_out_or_is_not_yet_is_seen),
                cmocka_unit_test(test_another_key_than_the_signers_signs_nothing),
                cmocka_unit_test(test_only_whom_the_ca_named_answers_for_it),
                cmocka_unit_test(test_an_issuer_is_known_by_name_and_key_and_a_long_serial_is_none),
                cmocka_unit_test(test_a_request_that_is_cut_or_goes_on_is_none),
                cmocka_unit_test(test_more_than_32_certificates_are_too_many),
                cmocka_unit_test(test_nonces_have_1_to_128_bytes_and_unknown_critical_extensions_are_refused),
                cmocka_unit_test(test_errors_are_told_without_a_signature),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
