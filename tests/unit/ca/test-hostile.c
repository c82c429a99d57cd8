/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests that stock commands do not make: what is smuggled past the first list, the first value or the reader's eye is refused. */
#include "support.h"

#include <openssl/x509v3.h>

typedef struct Draft {
        EVP_PKEY *key;
        X509_REQ *req;
} Draft;

static void draft_deinit(Draft *d)
{
        X509_REQ_free(d->req);
        EVP_PKEY_free(d->key);
}

#define _cleanup_draft_ __attribute__((cleanup(draft_deinit)))

static void add_part(Draft *d, int nid, int type, const void *value, int len)
{
        X509_NAME *subject = X509_REQ_get_subject_name(d->req);
        ASN1_STRING *text = ASN1_STRING_type_new(type);
        X509_NAME_ENTRY *entry;

        assert_true(ASN1_STRING_set(text, value, len));
        entry = X509_NAME_ENTRY_create_by_NID(NULL, nid, type, text->data, text->length);
        assert_non_null(entry);
        assert_true(X509_NAME_add_entry(subject, entry, -1, 0));
        X509_NAME_ENTRY_free(entry);
        ASN1_STRING_free(text);
}

static Draft draft(const char *common_name)
{
        Draft d = {.key = EVP_EC_gen("P-256"), .req = X509_REQ_new()};

        assert_true(d.key && d.req && X509_REQ_set_pubkey(d.req, d.key) && X509_REQ_set_version(d.req, 0));
        if (common_name)
                add_part(&d, NID_commonName, V_ASN1_UTF8STRING, common_name, (int)strlen(common_name));
        return d;
}

/* An attribute of so many lists, each with that one extension. */
static void add_lists(Draft *d, int attribute_nid, int n, int nid, const char *value)
{
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        X509_EXTENSIONS *list = NULL;
        X509_ATTRIBUTE *attribute;
        uint8_t *der = NULL;
        int len;

        assert_non_null(e);
        assert_non_null(X509v3_add_ext(&list, e, -1));
        len = ASN1_item_i2d((ASN1_VALUE *)list, &der, ASN1_ITEM_rptr(X509_EXTENSIONS));
        attribute = X509_ATTRIBUTE_create_by_NID(NULL, attribute_nid, V_ASN1_SEQUENCE, der, len);
        assert_non_null(attribute);
        for (int i = 1; i < n; i++)
                assert_true(X509_ATTRIBUTE_set1_data(attribute, V_ASN1_SEQUENCE, der, len));
        assert_true(X509_REQ_add1_attr(d->req, attribute));
        X509_ATTRIBUTE_free(attribute);
        OPENSSL_free(der);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        X509_EXTENSION_free(e);
}

static int issue_draft(Draft *d, const char *profile_name, const CaCertificateParams *with, CaProblem *problem, Buffer *ret_der)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        CaCertificateParams p = with ? *with : (CaCertificateParams){0};
        _cleanup_(ca_request_freep) CaRequest *request = NULL;
        CaProfile wanted = profile(profile_name);
        uint8_t *der = NULL;
        int len, r;

        assert_true(X509_REQ_sign(d->req, d->key, EVP_sha256()) > 0);
        len = i2d_X509_REQ(d->req, &der);
        r = ca_request_read(BYTES(der, (size_t)len), problem, &request);
        OPENSSL_free(der);
        if (r)
                return r;
        if (!p.profile)
                p.profile = &wanted;
        p.request = request;
        p.path_length = -1;
        return issue(&root, NULL, &p, problem, ret_der);
}

static void assert_refused(Draft *d, const char *profile_name, const CaCertificateParams *with, const char *word)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProblem problem = {};

        assert_int_equal(issue_draft(d, profile_name, with, &problem, &der), HF_E_REQUEST_REFUSED);
        if (!strstr(problem.text, word))
                fail_msg("refused, but not for %s: %s", word, problem.text);
        for (const char *p = problem.text; *p; p++)
                assert_in_range((unsigned char)*p, 0x20, 0x7e);
        assert_int_equal(der.len, 0);
}

static void assert_issued(Draft *d, const char *profile_name, const CaCertificateParams *with, const char *subject)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProblem problem = {};

        if (issue_draft(d, profile_name, with, &problem, &der))
                fail_msg("%s", problem.text);
        put_certificate("leaf.pem", &der);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -subject -nameopt RFC2253,-esc_msb,utf8 | grep -qxF 'subject=%s'", subject), 0);
}

static void test_a_second_list_of_extensions_is_not_passed_over(void **state)
{
        static const struct {
                int first, second, n;
        } cases[] = {{NID_ext_req, NID_ms_ext_req, 1}, {NID_ms_ext_req, NID_ext_req, 1}, {NID_ext_req, 0, 2}, {NID_ms_ext_req, 0, 2}};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_draft_ Draft d = draft("d");

                add_lists(&d, cases[i].first, cases[i].n, NID_basic_constraints, "CA:FALSE");
                if (cases[i].second)
                        add_lists(&d, cases[i].second, 1, NID_basic_constraints, "critical,CA:TRUE");
                assert_refused(&d, "device", NULL, "more than one list");
        }
}

static void test_the_old_attribute_for_extensions_is_read_as_well(void **state)
{
        _cleanup_draft_ Draft d = draft("d"), broken = draft("d");
        X509_ATTRIBUTE *a;

        (void)state;
        add_lists(&d, NID_ms_ext_req, 1, NID_basic_constraints, "CA:TRUE");
        assert_refused(&d, "device", NULL, "CA:TRUE");
        a = X509_ATTRIBUTE_create_by_NID(NULL, NID_ms_ext_req, V_ASN1_UTF8STRING, "no list", 7);
        assert_true(a && X509_REQ_add1_attr(broken.req, a));
        X509_ATTRIBUTE_free(a);
        assert_refused(&broken, "device", NULL, "not well-formed");
}

static void test_a_part_of_the_subject_is_there_once(void **state)
{
        static const int nids[] = {NID_commonName, NID_organizationalUnitName};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(nids); i++) {
                _cleanup_draft_ Draft d = draft("pump-7");

                add_part(&d, NID_organizationalUnitName, V_ASN1_UTF8STRING, "shop.example", 12);
                add_part(&d, nids[i], V_ASN1_UTF8STRING, "other", 5);
                assert_refused(&d, "device", &(CaCertificateParams){.set = (const char *const[]){"CN=a", "OU=b", NULL}}, "twice");
        }
}

static void test_a_usage_beyond_the_profile_is_refused(void **state)
{
        static const struct {
                const char *profile;
                int nid;
                const char *value, *word;
        } cases[] = {
                {"device", NID_ext_key_usage, "clientAuth,serverAuth", "extended key usage that profile device"},
                {"device", NID_ext_key_usage, "OCSPSigning", "extended key usage that profile device"},
                {"device", NID_ext_key_usage, "anyExtendedKeyUsage", "2.5.29.37.0"},
                {"device", NID_ext_key_usage, "1.3.6.1.4.1.311.20.2.2", "1.3.6.1.4.1.311.20.2.2"},
                {"device", NID_key_usage, "keyCertSign", "key usage that profile device"},
                {"device", NID_key_usage, "digitalSignature,cRLSign", "key usage that profile device"},
                {"device", NID_key_usage, "nonRepudiation", "key usage that profile device"},
                {"device", NID_key_usage, "keyEncipherment", "a key of p256"},
                {"device", NID_key_usage, "decipherOnly", "key usage that profile device"},
                {"code-signing", NID_ext_key_usage, "clientAuth", "profile code-signing"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_draft_ Draft d = draft("d");

                add_lists(&d, NID_ext_req, 1, cases[i].nid, cases[i].value);
                assert_refused(&d, cases[i].profile, NULL, cases[i].word);
        }
        {
                _cleanup_draft_ Draft d = draft("d");

                add_lists(&d, NID_ext_req, 1, NID_ext_key_usage, "clientAuth");
                assert_issued(&d, "device", NULL, "CN=d");
        }
}

static void test_what_the_eye_does_not_see_is_in_no_name(void **state)
{
        static const char *const names[] = {
                "a\x1b[2Jb", "a\tb", "a\x7f", "\xc2\x9b" "2J", "\xc2\x85", /* controls, of one byte and of two */
                "admin\xe2\x80\x8b", "\xe2\x80\xae" "nimda", "\xe2\x81\xa6x", "\xef\xbb\xbfx", "a\xe2\x80\xa8" "b",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_draft_ Draft d = draft(names[i]), good = draft("d");

                assert_refused(&d, "device", NULL, "cannot be the value of CN");
                assert_refused(&good, "device", &(CaCertificateParams){.device = {.label = names[i]}}, "invisible");
        }
        {
                _cleanup_draft_ Draft d = draft("Pumpe \xc3\x84 \xe6\xb0\xb4");

                assert_issued(&d, "device", NULL, "CN=Pumpe \xc3\x84 \xe6\xb0\xb4");
        }
}

static void test_a_name_of_another_string_type_is_the_text_it_shows(void **state)
{
        _cleanup_draft_ Draft nul = draft(NULL), wide = draft(NULL), wide_nul = draft(NULL), latin = draft(NULL);

        (void)state;
        add_part(&nul, NID_commonName, V_ASN1_PRINTABLESTRING, "admin\0x", 7);
        assert_refused(&nul, "device", NULL, "no text");
        add_part(&wide_nul, NID_commonName, V_ASN1_BMPSTRING, "\0a\0\0\0b", 6);
        assert_refused(&wide_nul, "device", NULL, "no text");
        add_part(&wide, NID_commonName, V_ASN1_BMPSTRING, "\x04\x30\0b", 4);
        assert_issued(&wide, "device", NULL, "CN=\xd0\xb0" "b");
        add_part(&latin, NID_commonName, V_ASN1_T61STRING, "\xe4", 1);
        assert_issued(&latin, "device", NULL, "CN=\xc3\xa4");
}

#define A_20 "aaaaaaaaaaaaaaaaaaaa"
#define LABEL_63 "xn--" A_20 A_20 "aaaaaaaaaaaaaaaaaaa"
#define LABELS_256 LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 "."

/* A name of other letters is in a certificate as A-labels (RFC 5280 section 7.2), which whoever asks has to write; as it is read
 * by people it is none, and neither is one beyond the 63 bytes of a label or the 253 of all. */
static void test_internationalised_hosts_are_a_labels_of_bounded_length(void **state)
{
        static const struct {
                const char *name;
                bool good;
        } cases[] = {{"xn--bcher-kva.example", true}, {"*.xn--bcher-kva.example", true}, {"XN--BCHER-KVA.EXAMPLE", true},
                        {LABEL_63 ".example", true}, {LABEL_63 "a.example", false}, {LABELS_256 "example", false},
                        {"xn--.example", false}, {"-xn--bcher-kva.example", false}, {"xn--b\xc3\xbc" "cher.example", false},
                        {"b\xc3\xbc" "cher.example", false}, {"b\xfc" "cher.example", false}, {"xn--bcher_kva.example", false},
                        {"xn--*.example", false}, {"b\xef\xbd\xa1" "example", false}, {"\xef\xbc\x85" "41.example", false}};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const given[] = {cases[i].name, NULL};
                const CaCertificateParams with = {.names = {[CA_NAME_DNS] = given}};
                _cleanup_draft_ Draft by_option = draft("d"), in_request = draft("d");
                char value[300];

                snprintf(value, sizeof(value), "DNS:%s", cases[i].name);
                add_lists(&in_request, NID_ext_req, 1, NID_subject_alt_name, value);
                if (cases[i].good) {
                        assert_issued(&by_option, "server", &with, "CN=d");
                        assert_issued(&in_request, "server", NULL, "CN=d");
                        assert_int_equal(run("openssl x509 -in leaf.pem -noout -ext subjectAltName | grep -qF 'DNS:%s'", given[0]), 0);
                } else {
                        assert_refused(&by_option, "server", &with, "not well-formed");
                        assert_refused(&in_request, "server", NULL, "not well-formed");
                }
        }
}

static void test_a_device_has_the_name_that_its_ca_gave_it(void **state)
{
        _cleanup_draft_ Draft d = draft("pump-8");
        CaCertificateParams p = {.device = {.id = "pump-7"}};

        (void)state;
        assert_issued(&d, "device", &p, "CN=pump-7");
        p.set = (const char *const[]){"CN=pump seven", NULL};
        assert_issued(&d, "device", &p, "CN=pump seven");
}

static void test_a_cn_like_a_host_is_within_the_domains(void **state)
{
        static const struct {
                const char *name;
                bool good;
        } cases[] = {{"a.shop.example", true}, {"The Shop", true}, {"localhost", true}, {"bank.example", false}, {"*.example", false}};
        CaProfile p = profile("client-server");

        (void)state;
        p.n_domains = 1;
        strcpy(p.domains[0], "shop.example");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const CaCertificateParams with = {.profile = &p, .names = {[CA_NAME_URI] = (const char *const[]){"http://x", NULL}}};
                _cleanup_draft_ Draft d = draft(cases[i].name);
                char subject[64];

                snprintf(subject, sizeof(subject), "CN=%s", cases[i].name);
                if (cases[i].good)
                        assert_issued(&d, "client-server", &with, subject);
                else
                        assert_refused(&d, "client-server", &with, "outside the domains");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_second_list_of_extensions_is_not_passed_over),
                cmocka_unit_test(test_the_old_attribute_for_extensions_is_read_as_well),
                cmocka_unit_test(test_a_part_of_the_subject_is_there_once),
                cmocka_unit_test(test_a_usage_beyond_the_profile_is_refused),
                cmocka_unit_test(test_what_the_eye_does_not_see_is_in_no_name),
                cmocka_unit_test(test_a_name_of_another_string_type_is_the_text_it_shows),
                cmocka_unit_test(test_internationalised_hosts_are_a_labels_of_bounded_length),
                cmocka_unit_test(test_a_device_has_the_name_that_its_ca_gave_it),
                cmocka_unit_test(test_a_cn_like_a_host_is_within_the_domains),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
