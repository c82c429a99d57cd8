/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/chain.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/x509/support.h"

static const char *refusal(Bytes pem)
{
        static FindingList findings;
        CertChain *chain = NULL;

        findings = (FindingList){.n = 0};
        assert_int_equal(cert_chain_parse(pem, FINDING_OF_OURS, &findings, &chain), HF_E_INVALID_ARGS);
        assert_null(chain);
        assert_int_equal(findings.n, 1);
        assert_int_equal(findings.items[0].kind, FINDING_MALFORMED);
        return findings.items[0].detail;
}

static void test_a_chain_is_leaf_and_others_with_text_around(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true});
        _cleanup_made_ Made leaf = make_certificate(&(Making){.name = "leaf", .issuer = root.x, .issuer_key = root.key});
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        _cleanup_buffer_ Buffer b = BUFFER_INIT(CERT_FILE_MAX), written = BUFFER_INIT(CERT_FILE_MAX);
        char fingerprint[CERT_FINGERPRINT_SIZE];
        FindingList findings = {.n = 0};
        size_t leaf_len;

        (void)state;
        append_pem(&written, leaf.x);
        leaf_len = written.len;
        buffer_printf(&b, "subject=leaf\n\n%.*s\nissuer\n", (int)written.len, written.data);
        append_pem(&b, root.x);
        buffer_printf(&b, "-----BEGIN HOLDFAST KEY REFERENCE-----\nMAA=\n-----END HOLDFAST KEY REFERENCE-----\n");
        assert_int_equal(cert_chain_parse(buffer_bytes(&b), FINDING_OF_OURS, &findings, &chain), 0);
        assert_int_equal(cert_chain_count(chain), 2);
        assert_int_equal(X509_cmp(cert_chain_at(chain, 0), leaf.x), 0);
        assert_null(cert_chain_at(chain, 2));
        assert_int_equal(cert_chain_write(chain, 0, &written), 0);
        assert_memory_equal(written.data, written.data + leaf_len, leaf_len);
        cert_chain_fingerprint(chain, fingerprint);
        assert_int_equal(strlen(fingerprint), 64);
        assert_true(cert_chain_not_after(chain) > cert_chain_not_before(chain));
        assert_true(cert_chain_public_key(chain).len > 80);
        assert_ptr_equal(cert_chain_ref(chain), chain);
        cert_chain_unref(chain);
}

static void test_what_is_no_chain_is_refused_by_name(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true});
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4 * CERT_FILE_MAX);
        uint8_t *der = NULL;
        int len = i2d_X509(root.x, &der);

        (void)state;
        assert_string_equal(refusal(BYTES_NULL), "there is no certificate in the file");
        assert_string_equal(refusal(bytes_str("hello")), "there is no certificate in the file");
        assert_string_equal(refusal(bytes_str("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n")),
                        "a block between BEGIN and END is not base64");
        assert_non_null(strstr(refusal(bytes_str("-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n")), "private key"));
        assert_non_null(strstr(refusal(bytes_str("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n")), "another kind"));
        for (int i = 0; i <= CERT_CHAIN_MAX; i++)
                append_pem(&b, root.x);
        assert_non_null(strstr(refusal(buffer_bytes(&b)), "more than 16"));
        while (b.len <= CERT_FILE_MAX)
                append_pem(&b, root.x);
        assert_non_null(strstr(refusal(buffer_bytes(&b)), "larger than"));
        for (int cut = 1; cut < len; cut += 7) /* DER that ends early */
                (void)refusal(BYTES(der, cut));
        OPENSSL_free(der);
}

static void test_serial_numbers_of_today_are_positive_and_short(void **state)
{
        _cleanup_made_ Made zero = make_certificate(&(Making){.name = "zero", .ca = true, .serial_zero = true});
        _cleanup_made_ Made negative = make_certificate(&(Making){.name = "negative", .ca = true, .serial = -5});
        _cleanup_buffer_ Buffer a = BUFFER_INIT(CERT_FILE_MAX), b = BUFFER_INIT(CERT_FILE_MAX);
        _cleanup_(cert_anchors_unrefp) CertAnchors *old = NULL;

        (void)state;
        append_pem(&a, zero.x);
        append_pem(&b, negative.x);
        assert_string_equal(refusal(buffer_bytes(&a)), "its serial number is zero");
        assert_string_equal(refusal(buffer_bytes(&b)), "its serial number is negative");
        old = anchors_of(zero.x); /* roots made long ago */
        assert_int_equal(cert_anchors_count(old), 1);
}

static void test_anchors_and_lists_are_bounded_too(void **state)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = NULL;
        FindingList findings = {.n = 0};
        uint8_t *much = calloc(1, CERT_CRL_FILE_MAX + 1);
        CertCrls *crls = NULL;

        (void)state;
        assert_int_equal(cert_anchors_parse(BYTES(much, CERT_ANCHORS_FILE_MAX + 1), &findings, &anchors), HF_E_INVALID_ARGS);
        assert_int_equal(cert_anchors_parse(bytes_str("nothing"), &findings, &anchors), HF_E_INVALID_ARGS);
        assert_int_equal(cert_crls_parse(BYTES(much, CERT_CRL_FILE_MAX + 1), &findings, &crls), HF_E_INVALID_ARGS);
        assert_int_equal(cert_crls_parse(bytes_str("nothing"), &findings, &crls), HF_E_INVALID_ARGS);
        assert_non_null(findings_find(&findings, FINDING_CRL_INVALID));
        assert_null(anchors);
        assert_null(crls);
        free(much);
}

static void test_pins_are_lines_with_a_hash(void **state)
{
        static const char good[] = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        static const char *const bad[] = {"sha256//", "sha1//AAAA", "sha256//AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                        "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(65536);
        FindingList findings = {.n = 0};
        CertPins pins = {.n = 0};

        (void)state;
        buffer_printf(&b, "# ours\n\n%s\r\n%s", good, good);
        assert_int_equal(cert_pins_parse(buffer_bytes(&b), &findings, &pins), 0);
        assert_int_equal(pins.n, 2);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(cert_pins_add(&pins, bad[i]), HF_E_INVALID_ARGS);
        while (pins.n < CERT_PINS_MAX)
                assert_int_equal(cert_pins_add(&pins, good), 0);
        assert_int_equal(cert_pins_add(&pins, good), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(cert_pins_parse(bytes_str("sha256//x\n"), &findings, &pins), HF_E_INVALID_ARGS);
        assert_int_equal(cert_pins_parse(bytes_str("# none\n\n"), &findings, &pins), HF_E_INVALID_ARGS);
        assert_int_equal(pins.n, CERT_PINS_MAX); /* untouched */
        assert_int_equal(cert_pins_parse(BYTES_NULL, &findings, &pins), 0);
        assert_int_equal(pins.n, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_chain_is_leaf_and_others_with_text_around),
                        cmocka_unit_test(test_what_is_no_chain_is_refused_by_name),
                        cmocka_unit_test(test_serial_numbers_of_today_are_positive_and_short),
                        cmocka_unit_test(test_anchors_and_lists_are_bounded_too),
                        cmocka_unit_test(test_pins_are_lines_with_a_hash),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
