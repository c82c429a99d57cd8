/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Certificates of every kind and CA algorithm, judged by stock openssl and GnuTLS; what may not be issued, refused. */
#include "support.h"

#define VERIFY "openssl verify -x509_strict -check_ss_sig -CAfile root.pem -untrusted inter.pem "

static int make_request(const char *arguments)
{
        return run("openssl req -new -nodes -keyout k.pem -out r.csr -batch %s 2>err", arguments);
}

/* A certificate for the request in r.csr, as leaf.pem. */
static int issue_request(const Authority *ca, const char *profile_name, const CaCertificateParams *with, CaProblem *problem)
{
        CaCertificateParams p = with ? *with : (CaCertificateParams){.path_length = -1};
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        _cleanup_(ca_request_freep) CaRequest *request = NULL;
        CaProfile wanted = profile(profile_name);
        int r;

        request = read_request("r.csr", problem, &r);
        if (r)
                return r;
        p.profile = &wanted;
        p.request = request;
        r = issue(ca, NULL, &p, problem, &der);
        if (!r)
                put_certificate("leaf.pem", &der);
        return r;
}

static void assert_refused(const Authority *ca, const char *profile_name, const CaCertificateParams *with, const char *word)
{
        CaProblem problem = {};

        assert_int_equal(issue_request(ca, profile_name, with, &problem), HF_E_REQUEST_REFUSED);
        if (!strstr(problem.text, word))
                fail_msg("refused, but not for %s: %s", word, problem.text);
}

static void test_judges_accept_a_chain_of_every_ca_algorithm(void **state)
{
        static const KeyAlgorithm algorithms[] = {KEY_P256, KEY_P384, KEY_RSA4096};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++) {
                _cleanup_authority_ Authority root = make_authority(NULL, algorithms[i], "root", -1);
                _cleanup_authority_ Authority inter = make_authority(&root, algorithms[i], "inter", -1);
                CaProblem problem = {};

                assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=device-7/OU=a.example"), 0);
                assert_int_equal(issue_request(&inter, "device", NULL, &problem), 0);
                assert_int_equal(run(VERIFY "-purpose sslclient leaf.pem >out"), 0);
                assert_int_not_equal(run(VERIFY "-purpose sslserver leaf.pem >out 2>&1"), 0);
                assert_int_equal(run("cat leaf.pem inter.pem > chain.pem && certtool --verify --load-ca-certificate root.pem "
                                     "--infile chain.pem >out 2>&1"), 0);
                assert_int_equal(run("openssl x509 -in leaf.pem -outform der -out leaf.der && test $(stat -c %%s leaf.der) -le 2048"), 0);
        }
}

static void test_each_profile_serves_its_purpose_and_no_other(void **state)
{
        static const struct {
                const char *profile, *arguments, *purpose, *not_purpose;
        } cases[] = {
                {"device", "-subj /CN=d", "sslclient", "sslserver"},
                {"server", "-subj / -addext subjectAltName=DNS:a.example", "sslserver", "sslclient"},
                {"client-server", "-subj /CN=b -addext subjectAltName=DNS:a.example,IP:192.0.2.1,IP:2001:db8::7", "sslserver",
                                "ocsphelper_"},
                {"code-signing", "-subj /CN=Builds", "codesign_", "sslserver"},
                {"ocsp", "-subj /CN=ocsp", "ocsphelper", "sslserver"},
        };
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P384, "root", -1);
        _cleanup_authority_ Authority inter = make_authority(&root, KEY_P256, "inter", -1);

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char arguments[256];
                CaProblem problem = {};

                snprintf(arguments, sizeof(arguments), "-newkey ec -pkeyopt ec_paramgen_curve:P-256 %s", cases[i].arguments);
                assert_int_equal(make_request(arguments), 0);
                if (issue_request(&inter, cases[i].profile, NULL, &problem))
                        fail_msg("%s: %s", cases[i].profile, problem.text);
                assert_int_equal(run(VERIFY "leaf.pem >out"), 0);
                if (!strchr(cases[i].purpose, '_'))
                        assert_int_equal(run(VERIFY "-purpose %s leaf.pem >out", cases[i].purpose), 0);
                if (!strchr(cases[i].not_purpose, '_'))
                        assert_int_not_equal(run(VERIFY "-purpose %s leaf.pem >out 2>&1", cases[i].not_purpose), 0);
        }
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -text | grep -q 'OCSP No Check'"), 0);
}

static void test_a_device_carries_its_names_and_description(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        const CaCertificateParams with = {.path_length = -1, .set = (const char *const[]){"OU=shop.example", NULL},
                        .device = {.id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", .label = "Pump 7/b", .type = "pump",
                                        .hardware = "rev C", .firmware = "2.4.1"}};
        CaProblem problem = {};

        (void)state;
        assert_int_equal(make_request("-newkey rsa:3072 -subj /"), 0);
        if (issue_request(&root, "device", &with, &problem))
                fail_msg("%s", problem.text);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -subject -nameopt RFC2253 | grep -qx "
                             "'subject=CN=f81d4fae-7dec-11d0-a765-00a0c91e6bf6,OU=shop.example'"), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -text | grep -q 'URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6, "
                             "URI:urn:holdfast:deviceLabel:Pump%%207%%2Fb$'"), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -text | grep -A1 'Key Usage: critical' | "
                             "grep -q 'Digital Signature, Key Encipherment'"), 0);
        assert_int_equal(run("openssl asn1parse -in leaf.pem | grep -A2 '%s' | grep -q 'HEX DUMP\\]:"
                             "3014800470756D70810572657620438205322E342E31'", CA_DEVICE_OID), 0);
}

static void test_a_certificate_names_the_places_of_its_profile(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX), own = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProfile device = profile("device"), self = profile("root");
        const char *const set[] = {"CN=pump-7", NULL};
        CaProblem problem = {};
        PrivKey *key = make(KEY_P256);
        Public public;
        char url[1024];

        (void)state;
        strcpy(device.urls[CA_URL_OCSP], "http://ocsp.example/{ca}");
        strcpy(device.urls[CA_URL_ISSUER], "https://pki.example/{ca}/{ca}.cer");
        strcpy(device.urls[CA_URL_CRL], "http://pki.example/a.crl?{c}");
        assert_int_equal(issue(&root, NULL, &(CaCertificateParams){.profile = &device, .spki = public_of(key, &public), .set = set,
                                                     .path_length = -1, .authority = "site-4"}, &problem, &der), 0);
        put_certificate("leaf.pem", &der);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -ocsp_uri | grep -qx http://ocsp.example/site-4"), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -ext authorityInfoAccess | "
                             "grep -q 'CA Issuers - URI:https://pki.example/site-4/site-4.cer$'"), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -ext crlDistributionPoints | "
                             "grep -q 'URI:http://pki.example/a.crl?{c}$'"), 0);
        assert_int_equal(run("certtool -i --infile leaf.pem | grep -q 'Access Method: 1.3.6.1.5.5.7.48.1 '"), 0);
        assert_int_equal(run("openssl verify -x509_strict -CAfile root.pem leaf.pem > out"), 0);
        /* As long as any may be, each place taken by the longest name. */
        snprintf(url, sizeof(url), "http://%.*s", 248, "{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}"
                        "{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}"
                        "{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}{ca}");
        strcpy(device.urls[CA_URL_CRL], url);
        buffer_clear(&der);
        assert_int_equal(issue(&root, NULL, &(CaCertificateParams){.profile = &device, .spki = public_of(key, &public), .set = set,
                                                     .path_length = -1,
                                                     .authority = "a-name-of-sixty-four-characters-is-the-longest-one-that-there-is"},
                                         &problem, &der), 0);
        strcpy(self.urls[CA_URL_CRL], "http://x");
        strcpy(self.urls[CA_URL_OCSP], "http://x");
        assert_int_equal(issue(NULL, key, &(CaCertificateParams){.profile = &self, .spki = public_of(key, &public), .set = set,
                                                     .path_length = -1, .scheme = scheme_usual(KEY_P256, PURPOSE_ISSUE)},
                                         &problem, &own), 0);
        put_certificate("self.pem", &own);
        assert_int_not_equal(run("openssl x509 -in self.pem -noout -text | grep -q http"), 0);
        privkey_free(key);
}

static void test_no_more_days_are_given_than_the_profile_has(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        CaProblem problem = {};

        (void)state;
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=o"), 0);
        if (issue_request(&root, "ocsp", &(CaCertificateParams){.path_length = -1, .days = 90}, &problem))
                fail_msg("%s", problem.text);
        assert_refused(&root, "ocsp", &(CaCertificateParams){.path_length = -1, .days = 91}, "profile ocsp gives 90 days at most (max-days)");
        assert_int_equal(issue_request(&root, "device", &(CaCertificateParams){.path_length = -1, .days = 3000}, &problem), 0);
}

/* What follows a certificate is made from that alone. */
static void test_a_certificate_gives_all_that_its_successor_needs(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        CaCertificateParams with = {.path_length = -1, .set = (const char *const[]){"OU=shop.example", NULL},
                        .device = {.id = "pump 7", .label = "Pump", .type = "pump", .firmware = "2.4.1"}};
        _cleanup_buffer_ Buffer second = BUFFER_INIT(CA_CERTIFICATE_MAX);
        _cleanup_(ca_request_freep) CaRequest *request = NULL;
        CaProfile device = profile("device");
        CaProblem problem = {};
        Hex first;

        (void)state;
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=d"), 0);
        assert_int_equal(issue_request(&root, "device", &with, &problem), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -outform der -out leaf.der"), 0);
        get_file("leaf.der", &first);
        assert_int_equal(ca_request_from_certificate(BYTES(first.data, first.len), &problem, &request), 0);
        assert_true(ca_request_is_ours(request));
        assert_string_equal(ca_request_device(request).type, "pump");
        assert_string_equal(ca_request_device(request).hardware, "");
        assert_int_equal(issue(&root, NULL, &(CaCertificateParams){.profile = &device, .request = request, .path_length = -1,
                                       .device = ca_request_device(request)}, &problem, &second), 0);
        put_certificate("next.pem", &second);
        assert_int_equal(run("for f in leaf next; do openssl x509 -in $f.pem -noout -text -certopt "
                             "no_serial,no_validity,no_signame,no_sigdump >$f.txt; done; cmp leaf.txt next.txt && grep -q Pump next.txt"), 0);
        for (size_t n = 0; n < first.len; n++)
                assert_int_equal(ca_request_from_certificate(BYTES(first.data, n), &problem, &request), HF_E_REQUEST_REFUSED);
}

static void test_the_key_usage_of_an_ec_key_has_no_encipherment(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        CaProblem problem = {};

        (void)state;
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=d"), 0);
        assert_int_equal(issue_request(&root, "device", NULL, &problem), 0);
        assert_int_not_equal(run("openssl x509 -in leaf.pem -noout -text | grep -q Encipherment"), 0);
}

static void test_parts_of_the_subject_are_set_replaced_and_removed(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        const CaCertificateParams with = {.path_length = -1,
                        .set = (const char *const[]){"CN=new", "O=", "L=Kiel", "c=DE", NULL},
                        .names = {[CA_NAME_DNS] = (const char *const[]){"b.example", "a.example", NULL}}};
        CaProblem problem = {};

        (void)state;
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /O=gone/OU=kept/CN=old "
                                      "-addext subjectAltName=DNS:a.example"), 0);
        assert_int_equal(issue_request(&root, "server", &with, &problem), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -subject | grep -qx 'subject=C = DE, L = Kiel, OU = kept, CN = new'"), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -noout -text | grep -q 'DNS:a.example, DNS:b.example$'"), 0);
}

static void test_what_a_request_asks_beyond_its_profile_is_refused_by_name(void **state)
{
        static const struct {
                const char *profile, *arguments, *word;
        } cases[] = {
                {"device", "-subj /CN=d -addext basicConstraints=critical,CA:TRUE", "CA:TRUE"},
                {"device", "-subj /CN=d -addext basicConstraints=CA:TRUE", "CA:TRUE"},
                {"device", "-subj /CN=d -addext subjectAltName=DNS:a.example", "kind dns"},
                {"device", "-subj /CN=d -addext subjectAltName=email:a@b.example", "kind email"},
                {"device", "-subj /CN=d -addext subjectAltName=URI:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "device"},
                {"device", "-subj /CN=d -addext subjectAltName=URI:URN:HOLDFAST:deviceId:x", "device"},
                {"device", "-subj /CN=d -addext subjectAltName=otherName:1.2.3.4\\;UTF8:x", "neither"},
                {"device", "-subj /CN=d -addext subjectAltName=RID:1.2.3", "neither"},
                {"device", "-subj /CN=d -addext 1.2.3.4=critical,ASN1:NULL", "1.2.3.4 is critical"},
                {"device", "-subj /CN=d -addext nameConstraints=critical,permitted\\;DNS:a", "is critical"},
                {"device", "-subj /CN=d/O=x/ST=Y", "no ST"},
                {"device", "-subj /CN=d/emailAddress=a@b", "emailAddress"},
                {"device", "-subj /OU=only", "wants CN"},
                {"device", "-subj /CN=a+CN=b -multivalue-rdn", "two values"},
                {"server", "-subj /CN=d", "wants an alternative name"},
                {"server", "-subj /CN=d -addext subjectAltName=DNS:a_b", "not well-formed"},
                {"server", "-subj /CN=d -addext subjectAltName=DNS:*.*.example", "not well-formed"},
                {"intermediate", "-subj /CN=ca", "path length is 0"},
        };
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_authority_ Authority inter = make_authority(&root, KEY_P256, "inter", -1);

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char arguments[256];

                snprintf(arguments, sizeof(arguments), "-newkey ec -pkeyopt ec_paramgen_curve:P-256 %s", cases[i].arguments);
                if (make_request(arguments))
                        fail_msg("openssl made no request of %s", cases[i].arguments);
                assert_refused(&inter, cases[i].profile, NULL, cases[i].word);
        }
}

static void test_keys_outside_the_profile_are_refused(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);

        (void)state;
        assert_int_equal(make_request("-newkey rsa:2048 -subj /CN=d"), 0);
        assert_refused(&root, "device", NULL, "no keys of rsa2048");
        assert_int_equal(make_request("-newkey ed25519 -subj /CN=d"), 0);
        assert_refused(&root, "device", NULL, "no keys of ed25519");
}

static void test_what_is_set_beyond_the_profile_is_refused(void **state)
{
        static const struct {
                const char *set, *word;
        } cases[] = {
                {"ST=x", "no ST"}, {"CN", "does not set"}, {"=x", "does not set"}, {"DC=x", "does not set"}, {"CN=", "wants CN"},
                {"CN=a\nb", "cannot be"}, {"CN=\xff\xfe", "cannot be"},
                {"CN=0123456789012345678901234567890123456789012345678901234567890123x", "cannot be"},
        };
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);

        (void)state;
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=d"), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refused(&root, "device", &(CaCertificateParams){.path_length = -1,
                                                                .set = (const char *const[]){cases[i].set, NULL}}, cases[i].word);
        assert_refused(&root, "device", &(CaCertificateParams){.path_length = 0}, "no path length");
        assert_refused(&root, "device", &(CaCertificateParams){.path_length = -1, .device = {.type = "a\nb"}}, "control");
        assert_refused(&root, "device", &(CaCertificateParams){.path_length = -1, .days = 40000}, "36500 days");
}

static void test_dns_names_stay_within_the_domains_of_a_profile(void **state)
{
        static const struct {
                const char *name;
                bool good;
        } cases[] = {{"a.shop.example", true}, {"shop.example", true}, {"A.SHOP.example", true}, {"x.pumps.example", true},
                {"pumps.example", false}, {"evilshop.example", false}, {"shop.example.evil", false}};
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        CaProfile p = profile("server");
        Public public;

        (void)state;
        p.n_domains = 2;
        strcpy(p.domains[0], "shop.example");
        strcpy(p.domains[1], ".pumps.example");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
                CaProblem problem = {};
                int r = issue(&root, NULL, &(CaCertificateParams){.profile = &p, .path_length = -1,
                                .spki = public_of(root.key, &public),
                                .names = {[CA_NAME_DNS] = (const char *const[]){cases[i].name, NULL}}}, &problem, &der);

                assert_int_equal(r, cases[i].good ? 0 : HF_E_REQUEST_REFUSED);
        }
}

static void test_three_levels_where_the_path_length_allows(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", 2);
        _cleanup_authority_ Authority middle = make_authority(&root, KEY_P256, "middle", -1);
        _cleanup_authority_ Authority inter = make_authority(&middle, KEY_P256, "inter", -1);
        CaProblem problem = {};

        (void)state;
        assert_int_equal(middle.issuer->path_length, 1);
        assert_int_equal(inter.issuer->path_length, 0);
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=d"), 0);
        assert_int_equal(issue_request(&inter, "device", NULL, &problem), 0);
        assert_int_equal(run("cat inter.pem middle.pem > both.pem; openssl verify -x509_strict -CAfile root.pem "
                             "-untrusted both.pem leaf.pem >out"), 0);
        assert_refused(&root, "intermediate", &(CaCertificateParams){.path_length = 2}, "1 at most");
}

static void test_no_certificate_outlives_its_issuer(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_(ca_issuer_freep) CaIssuer *leaf = NULL;
        CaCertificateParams with = {.path_length = -1, .days = 36500};
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProfile inter = profile("intermediate");
        CaProblem problem = {};
        Public public;

        (void)state;
        with.profile = &inter;
        with.set = (const char *const[]){"CN=x", NULL};
        with.spki = public_of(root.key, &public);
        assert_int_equal(issue(&root, NULL, &with, &problem, &der), 0);
        assert_int_equal(ca_issuer_read(buffer_bytes(&der), &problem, &leaf), 0);
        assert_int_equal(leaf->not_after, root.issuer->not_after);
        assert_true(leaf->not_before >= root.issuer->not_before);
        with.now = root.issuer->not_after + DAY;
        assert_int_equal(issue(&root, NULL, &with, &problem, &der), HF_E_REQUEST_REFUSED);
        assert_non_null(strstr(problem.text, "not valid now"));
        with.now = root.issuer->not_before - DAY;
        assert_int_equal(issue(&root, NULL, &with, &problem, &der), HF_E_REQUEST_REFUSED);
}

static void test_a_time_behind_2049_is_a_generalized_time(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProfile p = profile("root");
        CaProblem problem = {};
        Public public;

        (void)state;
        assert_int_equal(issue(NULL, root.key, &(CaCertificateParams){.profile = &p, .path_length = -1, .days = 36500,
                                       .spki = public_of(root.key, &public), .scheme = SCHEME_ES256,
                                       .set = (const char *const[]){"CN=long", NULL}}, &problem, &der), 0);
        put_certificate("long.pem", &der);
        assert_int_equal(run("openssl asn1parse -in long.pem | grep -q GENERALIZEDTIME && openssl verify -x509_strict -CAfile "
                             "long.pem long.pem >out"), 0);
}

static void test_a_signature_of_another_key_is_not_handed_out(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_(privkey_freep) PrivKey *other = make(KEY_P256);
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        uint8_t signature[SIGNATURE_MAX];
        size_t len;
        Public p;

        (void)state;
        assert_int_equal(privkey_sign(other, &(SignParams){.scheme = SCHEME_ES256}, bytes_str("tbs"), signature, &len), 0);
        assert_int_equal(ca_finish(public_of(root.key, &p), SCHEME_ES256, bytes_str("tbs"), BYTES(signature, len), &der),
                        HF_E_KEY_MISMATCH);
        assert_int_equal(der.len, 0);
}

static void test_serials_are_sixteen_bytes_and_never_the_same(void **state)
{
        static uint8_t serials[100000][CA_SERIAL_SIZE];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(serials); i++) {
                ca_serial_new(serials[i]);
                assert_int_not_equal(serials[i][0], 0);
        }
        qsort(serials, ELEMENTSOF(serials), CA_SERIAL_SIZE, (int (*)(const void *, const void *))(void (*)(void)) memcmp);
        for (size_t i = 1; i < ELEMENTSOF(serials); i++)
                assert_memory_not_equal(serials[i - 1], serials[i], CA_SERIAL_SIZE);
}

static void test_what_is_no_ca_certificate_is_no_issuer(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        CaProblem problem = {};
        CaIssuer *none = NULL;
        Bytes der = buffer_bytes(&root.issuer->der);
        Hex leaf;

        (void)state;
        assert_int_equal(make_request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=d"), 0);
        assert_int_equal(issue_request(&root, "device", NULL, &problem), 0);
        assert_int_equal(run("openssl x509 -in leaf.pem -outform der -out leaf.der"), 0);
        assert_int_equal(ca_issuer_read(get_file("leaf.der", &leaf), &problem, &none), HF_E_REQUEST_REFUSED);
        for (size_t n = 0; n < der.len; n++)
                assert_int_equal(ca_issuer_read(BYTES(der.data, n), &problem, &none), HF_E_REQUEST_REFUSED);
        assert_null(none);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_judges_accept_a_chain_of_every_ca_algorithm),
                cmocka_unit_test(test_each_profile_serves_its_purpose_and_no_other),
                cmocka_unit_test(test_a_device_carries_its_names_and_description),
                cmocka_unit_test(test_a_certificate_names_the_places_of_its_profile),
                cmocka_unit_test(test_no_more_days_are_given_than_the_profile_has),
                cmocka_unit_test(test_a_certificate_gives_all_that_its_successor_needs),
                cmocka_unit_test(test_the_key_usage_of_an_ec_key_has_no_encipherment),
                cmocka_unit_test(test_parts_of_the_subject_are_set_replaced_and_removed),
                cmocka_unit_test(test_what_a_request_asks_beyond_its_profile_is_refused_by_name),
                cmocka_unit_test(test_keys_outside_the_profile_are_refused),
                cmocka_unit_test(test_what_is_set_beyond_the_profile_is_refused),
                cmocka_unit_test(test_dns_names_stay_within_the_domains_of_a_profile),
                cmocka_unit_test(test_three_levels_where_the_path_length_allows),
                cmocka_unit_test(test_no_certificate_outlives_its_issuer),
                cmocka_unit_test(test_a_time_behind_2049_is_a_generalized_time),
                cmocka_unit_test(test_a_signature_of_another_key_is_not_handed_out),
                cmocka_unit_test(test_serials_are_sixteen_bytes_and_never_the_same),
                cmocka_unit_test(test_what_is_no_ca_certificate_is_no_issuer),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
