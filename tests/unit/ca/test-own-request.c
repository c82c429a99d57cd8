/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a CA asks for itself, and as what it is known that follows another: judged by stock openssl and GnuTLS. */
#include "support.h"

#include "ca/own-request.h"
#include "crypto/csr.h"

typedef struct Asked {
        PrivKey *key;
        KeyAlgorithm algorithm;
        Buffer der; /* the request, signed */
} Asked;

static void asked_deinit(Asked *a)
{
        privkey_free(a->key);
        buffer_deinit(&a->der);
}

#define _cleanup_asked_ _cleanup_(asked_deinit)

static int prepare(const CaCertificateParams *with, const CaIssuer *before, Bytes spki, CaProblem *problem, Buffer *ret)
{
        CaCertificateParams p = with ? *with : (CaCertificateParams){.path_length = -1};
        CaProfile usual = profile("intermediate");

        p.profile = p.profile ? p.profile : &usual;
        p.spki = spki;
        return ca_own_request_prepare(&p, before, problem, ret);
}

/* As r.pem too. */
static Asked ask(KeyAlgorithm algorithm, const CaCertificateParams *with, const CaIssuer *before)
{
        Asked a = {.key = make(algorithm), .algorithm = algorithm, .der = BUFFER_INIT(2 * CSR_MAX)};
        const Scheme scheme = scheme_usual(algorithm, PURPOSE_ISSUE);
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
        uint8_t signature[SIGNATURE_MAX], digest[64];
        size_t len, digest_len;
        CaProblem problem = {};
        Public public;

        if (prepare(with, before, public_of(a.key, &public), &problem, &tbs))
                fail_msg("%s", problem.text);
        assert_int_equal(ca_digest(scheme, buffer_bytes(&tbs), digest, &digest_len), 0);
        assert_int_equal(privkey_sign(a.key, &(SignParams){.scheme = scheme, .digest = true}, BYTES(digest, digest_len), signature,
                                         &len), 0);
        assert_int_equal(csr_finish(buffer_bytes(&tbs), scheme, BYTES(signature, len), &a.der), 0);
        put_pem("r.pem", "CERTIFICATE REQUEST", buffer_bytes(&a.der));
        return a;
}

static void assert_refused(const CaCertificateParams *with, const CaIssuer *before, const char *word)
{
        _cleanup_(privkey_freep) PrivKey *key = make(KEY_P256);
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
        CaProblem problem = {};
        Public public;

        assert_int_equal(prepare(with, before, public_of(key, &public), &problem, &tbs), HF_E_REQUEST_REFUSED);
        if (!strstr(problem.text, word))
                fail_msg("refused, but not for %s: %s", word, problem.text);
        assert_int_equal(tbs.len, 0);
}

static const char *const plant[] = {"C=DE", "O=Example", "CN=Plant", NULL};

/* ---- what is asked ---- */

static void test_judges_read_a_request_of_every_ca_algorithm(void **state)
{
        static const KeyAlgorithm algorithms[] = {KEY_P256, KEY_P384, KEY_RSA3072, KEY_RSA4096};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++) {
                const CaCertificateParams with = {.set = plant};
                _cleanup_asked_ Asked a = ask(algorithms[i], &with, NULL);

                assert_int_equal(run("openssl req -in r.pem -noout -verify -text > out 2>err"), 0);
                assert_int_equal(run("grep -q 'C = DE, O = Example, CN = Plant' out && grep -q CA:TRUE out"), 0);
                assert_int_equal(run("grep -q 'Digital Signature, Certificate Sign, CRL Sign' out && ! grep -q pathlen out"), 0);
                assert_int_equal(run("certtool --crq-info --infile r.pem 2>&1 | grep -q 'Self signature: verified'"), 0);
        }
}

static void test_another_ca_signs_it_and_the_chain_holds(void **state)
{
        const char *const uris[] = {"https://ca.example", NULL}, *const dns[] = {"ca.example", NULL};
        const CaCertificateParams with = {.set = plant, .names = {[CA_NAME_URI] = uris, [CA_NAME_DNS] = dns}};
        _cleanup_asked_ Asked a = ask(KEY_P384, &with, NULL);

        (void)state;
        assert_int_equal(run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout g.key -subj /CN=Group -addext "
                             "keyUsage=critical,keyCertSign,cRLSign -out g.pem 2>err"), 0);
        assert_int_equal(run("openssl x509 -req -in r.pem -CA g.pem -CAkey g.key -copy_extensions copyall -out plant.pem 2>err"), 0);
        assert_int_equal(run("openssl verify -CAfile g.pem plant.pem >out"), 0);
        assert_int_equal(run("openssl x509 -in plant.pem -noout -ext subjectAltName | grep -q 'DNS:ca.example, URI:https://ca.example'"), 0);
}

static void test_a_ca_of_ours_takes_it_for_an_authority_and_gives_it_no_leaf(void **state)
{
        const CaCertificateParams with = {.set = plant};
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_asked_ Asked a = ask(KEY_P256, &with, NULL);
        _cleanup_(ca_request_freep) CaRequest *request = NULL;
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProfile device = profile("device");
        CaProblem problem = {};

        (void)state;
        assert_int_equal(ca_request_read(buffer_bytes(&a.der), &problem, &request), 0);
        assert_true(ca_request_wants_authority(request));
        assert_int_equal(issue(&root, NULL, &(CaCertificateParams){.profile = &device, .request = request, .path_length = -1}, &problem,
                                         &der), HF_E_REQUEST_REFUSED);
        assert_non_null(strstr(problem.text, "CA:TRUE"));
}

/* The CA's own certificate as elsewhere.pem, made by somebody whose taste is another. */
static CaIssuer *elsewhere(const char *subject, const char *extension)
{
        uint8_t der[CA_CERTIFICATE_MAX];
        CaProblem problem = {};
        CaIssuer *i = NULL;
        size_t len;
        FILE *f;

        assert_int_equal(run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout e.key -subj '%s' -addext "
                             "keyUsage=critical,keyCertSign,cRLSign %s -outform der -out e.der 2>err", subject, extension), 0);
        f = fopen("e.der", "re");
        assert_non_null(f);
        len = fread(der, 1, sizeof(der), f);
        fclose(f);
        if (ca_issuer_read(BYTES(der, len), &problem, &i))
                assert_null(i);
        return i;
}

static void test_the_next_request_has_the_subject_as_it_is_and_the_names_unless_others_are_given(void **state)
{
        /* Parts and names that no profile has. */
        _cleanup_(ca_issuer_freep) CaIssuer *before = elsewhere("/DC=example/O=Example/emailAddress=a@b.example/CN=Plant",
                        "-addext subjectAltName=DNS:ca.example,RID:1.2.3.4");
        const char *const uris[] = {"urn:other", NULL};
        const CaCertificateParams with = {.names = {[CA_NAME_URI] = uris}};
        _cleanup_asked_ Asked same = {}, other = {};

        (void)state;
        assert_non_null(before);
        same = ask(KEY_P256, NULL, before);
        assert_non_null(memmem(same.der.data, same.der.len, before->subject.data, before->subject.len));
        assert_non_null(memmem(same.der.data, same.der.len, before->names.data, before->names.len));
        assert_int_equal(run("openssl req -in r.pem -noout -verify 2>err"), 0);
        other = ask(KEY_P256, &with, before);
        assert_non_null(memmem(other.der.data, other.der.len, before->subject.data, before->subject.len));
        assert_null(memmem(other.der.data, other.der.len, before->names.data, before->names.len));
        assert_int_equal(run("openssl req -in r.pem -noout -text | grep -q URI:urn:other"), 0);
}

static void test_what_cannot_be_asked_for_is_refused_by_name_and_nothing_is_left(void **state)
{
        const char *const lists[][3] = {{NULL}, {"O=x", NULL}, {"GN=x", NULL}, {"CN=x\ny", NULL}, {"CN", NULL}, {"C=DEU", "CN=x", NULL}};
        const char *const cn[] = {"CN=x", NULL}, *const ip[] = {"300.1", NULL}, *const dns[] = {"a b", NULL}, *const mail[] = {"@", NULL};
        _cleanup_(ca_issuer_freep) CaIssuer *before = elsewhere("/CN=Plant", "");
        CaProfile narrow = profile("intermediate");

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                assert_refused(&(CaCertificateParams){.set = lists[i]}, NULL, "");
        assert_refused(&(CaCertificateParams){.set = cn, .names = {[CA_NAME_IP] = ip}}, NULL, "not well-formed");
        assert_refused(&(CaCertificateParams){.set = cn, .names = {[CA_NAME_DNS] = dns}}, NULL, "not well-formed");
        assert_refused(&(CaCertificateParams){.set = cn, .names = {[CA_NAME_EMAIL] = mail}}, NULL, "");
        assert_refused(&(CaCertificateParams){.set = cn}, before, "subject stays as it is");
        narrow.names = 0;
        assert_refused(&(CaCertificateParams){.profile = &narrow, .set = cn, .names = {[CA_NAME_IP] = (const char *const[]){"192.0.2.1",
                                                              NULL}}}, NULL, "no alternative names of kind ip");
        narrow.named = true;
        assert_refused(&(CaCertificateParams){.profile = &narrow, .set = cn}, NULL, "wants an alternative name");
}

static void test_as_many_names_as_there_may_be_and_no_more(void **state)
{
        static char texts[CSR_NAMES_MAX + 1][300];
        const char *names[CSR_NAMES_MAX + 2] = {};
        const CaCertificateParams with = {.set = plant, .names = {[CA_NAME_URI] = names}};
        _cleanup_asked_ Asked a = {};

        (void)state;
        for (size_t i = 0; i <= CSR_NAMES_MAX; i++)
                snprintf(texts[i], sizeof(texts[i]), "urn:name:%zu", i);
        for (size_t i = 0; i < CSR_NAMES_MAX; i++)
                names[i] = texts[i];
        a = ask(KEY_P256, &with, NULL);
        assert_int_equal(run("openssl req -in r.pem -noout -text | grep -q URI:urn:name:63"), 0);
        names[CSR_NAMES_MAX] = texts[CSR_NAMES_MAX];
        assert_refused(&with, NULL, "more than 64");
        names[CSR_NAMES_MAX] = NULL;
        for (size_t i = 0; i < CSR_NAMES_MAX; i++)
                snprintf(texts[i], sizeof(texts[i]), "urn:name:%0280zu", i);
        assert_refused(&with, NULL, "");
}

static void test_a_key_that_is_none_makes_no_request(void **state)
{
        _cleanup_(privkey_freep) PrivKey *key = make(KEY_P256);
        const CaCertificateParams with = {.set = plant};
        Public public;
        Bytes whole = public_of(key, &public);

        (void)state;
        for (size_t len = 0; len < whole.len; len++) {
                _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
                CaProblem problem = {};

                assert_int_not_equal(prepare(&with, NULL, BYTES(whole.data, len), &problem, &tbs), 0);
                assert_int_equal(tbs.len, 0);
        }
        for (size_t at = 0; at < whole.len; at++) {
                _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
                CaProblem problem = {};

                public.data[at] ^= 0x55; /* a point of the curve has two values of y, and no other */
                assert_int_not_equal(prepare(&with, NULL, whole, &problem, &tbs), 0);
                public.data[at] ^= 0x55;
        }
}

static void test_what_another_key_signed_is_no_request(void **state)
{
        _cleanup_(privkey_freep) PrivKey *key = make(KEY_P256), *other = make(KEY_P256);
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX), der = BUFFER_INIT(2 * CSR_MAX);
        const CaCertificateParams with = {.set = plant};
        uint8_t signature[SIGNATURE_MAX];
        CaProblem problem = {};
        Public public;
        size_t len;

        (void)state;
        assert_int_equal(prepare(&with, NULL, public_of(key, &public), &problem, &tbs), 0);
        assert_int_equal(privkey_sign(other, &(SignParams){.scheme = SCHEME_ES256}, buffer_bytes(&tbs), signature, &len), 0);
        assert_int_equal(csr_finish(buffer_bytes(&tbs), SCHEME_ES256, BYTES(signature, len), &der), HF_E_KEY_MISMATCH);
        assert_int_equal(der.len, 0);
}

/* ---- who follows ---- */

static void put_cross(const char *file, const Authority *by, const CaIssuer *like, const PrivKey *whose, uint64_t until)
{
        CaProfile p = profile("root");
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaProblem problem = {};
        Public public;

        if (issue(by, NULL, &(CaCertificateParams){.profile = &p, .spki = public_of(whose, &public), .like = like, .until = until,
                                            .days = CA_DAYS_MAX, .path_length = -1}, &problem, &der))
                fail_msg("%s", problem.text);
        put_certificate(file, &der);
}

/* Before there is a certificate of its own, it signs the key of the one before it; then who trusts either comes to the other. */
static void test_who_follows_signs_under_the_same_name_before_it_has_a_certificate(void **state)
{
        static const KeyAlgorithm algorithms[] = {KEY_P256, KEY_P384, KEY_RSA4096};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++) {
                _cleanup_authority_ Authority old = make_authority(NULL, KEY_P256, "old", -1);
                _cleanup_authority_ Authority new = {.key = make(algorithms[i]), .scheme = scheme_usual(algorithms[i], PURPOSE_ISSUE)};
                const CaIssuer *b = old.issuer;
                CaProfile root = profile("root");
                _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
                CaProblem problem = {};
                Public public;

                assert_int_equal(ca_issuer_follow(b, public_of(new.key, &public), b->not_before, b->not_after, &new.issuer), 0);
                put_cross("old-with-new.pem", &new, b, old.key, b->not_after);
                put_cross("new-with-old.pem", &old, b, new.key, b->not_after);
                assert_int_equal(issue(NULL, new.key, &(CaCertificateParams){.profile = &root, .spki = public_of(new.key, &public),
                                                      .like = b, .path_length = -1, .scheme = new.scheme}, &problem, &der), 0);
                put_certificate("new.pem", &der);
                assert_int_equal(run("openssl verify -x509_strict -check_ss_sig -CAfile new.pem new.pem >out"), 0);
                assert_int_equal(run("openssl verify -x509_strict -CAfile new.pem old-with-new.pem >out"), 0);
                assert_int_equal(run("openssl verify -x509_strict -CAfile old.pem new-with-old.pem >out"), 0);
                assert_int_not_equal(run("openssl verify -x509_strict -CAfile old.pem old-with-new.pem >out 2>&1"), 0);
                assert_int_not_equal(run("openssl verify -x509_strict -CAfile new.pem new-with-old.pem >out 2>&1"), 0);
        }
}

static void test_it_is_known_as_its_certificate_will_say(void **state)
{
        static const int lengths[] = {0, 2, -1};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                CaProfile root = profile("root");
                _cleanup_(privkey_freep) PrivKey *old_key = make(KEY_P256), *new_key = make(KEY_P384);
                _cleanup_buffer_ Buffer first = BUFFER_INIT(CA_CERTIFICATE_MAX), second = BUFFER_INIT(CA_CERTIFICATE_MAX);
                _cleanup_(ca_issuer_freep) CaIssuer *before = NULL, *follows = NULL, *is = NULL;
                const char *const dns[] = {"ca.example", NULL};
                CaProblem problem = {};
                Public old_public, new_public;
                CaCertificateParams p = {.profile = &root, .spki = public_of(old_key, &old_public), .set = plant, .scheme = SCHEME_ES256,
                                .path_length = lengths[i], .names = {[CA_NAME_DNS] = i ? dns : NULL}};

                root.path_length = -1;
                assert_int_equal(issue(NULL, old_key, &p, &problem, &first), 0);
                assert_int_equal(ca_issuer_read(buffer_bytes(&first), &problem, &before), 0);
                assert_int_equal(before->path_length, lengths[i]);
                p = (CaCertificateParams){.profile = &root, .spki = public_of(new_key, &new_public), .like = before,
                                .path_length = -1, .scheme = SCHEME_ES384};
                assert_int_equal(issue(NULL, new_key, &p, &problem, &second), 0);
                assert_int_equal(ca_issuer_read(buffer_bytes(&second), &problem, &is), 0);
                assert_int_equal(ca_issuer_follow(before, p.spki, is->not_before, is->not_after, &follows), 0);
                before = ca_issuer_free(before); /* nothing is borrowed from it */
                assert_bytes(buffer_bytes(&follows->subject), buffer_bytes(&is->subject));
                assert_bytes(buffer_bytes(&follows->spki), buffer_bytes(&is->spki));
                assert_bytes(buffer_bytes(&follows->key_id), buffer_bytes(&is->key_id));
                assert_bytes(buffer_bytes(&follows->names), buffer_bytes(&is->names));
                assert_int_equal(follows->names.len > 0, i > 0);
                assert_int_equal(follows->path_length, is->path_length);
                assert_int_equal(follows->algorithm, is->algorithm);
                assert_true(follows->not_before == is->not_before && follows->not_after == is->not_after);
                assert_true(follows->self_signed && is->self_signed && follows->signs_lists && is->signs_lists);
                assert_int_equal(follows->der.len, 0);
        }
}

static void test_a_key_that_is_none_follows_nobody(void **state)
{
        _cleanup_authority_ Authority old = make_authority(NULL, KEY_P256, "old", -1);
        _cleanup_(privkey_freep) PrivKey *key = make(KEY_P384);
        CaIssuer *mark = (CaIssuer *)&old, *follows = mark;
        Public public;
        Bytes whole = public_of(key, &public);
        Hex weak;

        (void)state;
        assert_int_equal(run("openssl genrsa 1024 2>err | openssl rsa -pubout -outform der -out weak.der 2>err"), 0);
        assert_int_not_equal(ca_issuer_follow(old.issuer, get_file("weak.der", &weak), 1, 2, &follows), 0);
        for (size_t len = 0; len < whole.len; len++)
                assert_int_not_equal(ca_issuer_follow(old.issuer, BYTES(whole.data, len), 1, 2, &follows), 0);
        public.data[whole.len] = 0;
        assert_int_not_equal(ca_issuer_follow(old.issuer, BYTES(whole.data, whole.len + 1), 1, 2, &follows), 0);
        assert_ptr_equal(follows, mark);
}

static void test_it_issues_neither_before_nor_after_its_time_and_nothing_that_outlives_it(void **state)
{
        _cleanup_authority_ Authority old = make_authority(NULL, KEY_P256, "old", -1);
        _cleanup_(privkey_freep) PrivKey *key = make(KEY_P256), *below = make(KEY_P256);
        const uint64_t now = clock_wall() / USEC_PER_SEC * USEC_PER_SEC;
        const struct {
                uint64_t from, to;
                bool issues;
        } cases[] = {{now + DAY, now + 2 * DAY, false}, {now - 2 * DAY, now - DAY, false}, {now - DAY, now + 9 * DAY, true}};
        CaProfile p = profile("intermediate");
        Public public, other;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ca_issuer_freep) CaIssuer *follows = NULL;
                _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
                CaProblem problem = {};
                CaSummary summary = {};
                CaCertificateParams with = {.profile = &p, .spki = public_of(below, &other), .set = plant, .now = now, .serial = {1},
                                .path_length = -1, .scheme = SCHEME_ES256};

                assert_int_equal(ca_issuer_follow(old.issuer, public_of(key, &public), cases[i].from, cases[i].to, &follows), 0);
                with.issuer = follows;
                assert_int_equal(ca_certificate_prepare(&with, &problem, &summary, &tbs), cases[i].issues ? 0 : HF_E_REQUEST_REFUSED);
                if (cases[i].issues)
                        assert_true(summary.not_after == cases[i].to && summary.not_before >= cases[i].from);
                else
                        assert_non_null(strstr(problem.text, "not valid now"));
        }
}

static void test_names_that_cannot_be_read_are_in_nothing_that_follows(void **state)
{
        static const char *const values[] = {"0500", "30820000", "3003820261", "3080", "04023000"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                char extension[64];
                _cleanup_(ca_issuer_freep) CaIssuer *i_read = NULL;

                snprintf(extension, sizeof(extension), "-addext subjectAltName=DER:%s", values[i]);
                i_read = elsewhere("/CN=Plant", extension);
                if (i_read)
                        assert_int_equal(i_read->names.len, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_judges_read_a_request_of_every_ca_algorithm),
                        cmocka_unit_test(test_another_ca_signs_it_and_the_chain_holds),
                        cmocka_unit_test(test_a_ca_of_ours_takes_it_for_an_authority_and_gives_it_no_leaf),
                        cmocka_unit_test(test_the_next_request_has_the_subject_as_it_is_and_the_names_unless_others_are_given),
                        cmocka_unit_test(test_what_cannot_be_asked_for_is_refused_by_name_and_nothing_is_left),
                        cmocka_unit_test(test_as_many_names_as_there_may_be_and_no_more),
                        cmocka_unit_test(test_a_key_that_is_none_makes_no_request),
                        cmocka_unit_test(test_what_another_key_signed_is_no_request),
                        cmocka_unit_test(test_who_follows_signs_under_the_same_name_before_it_has_a_certificate),
                        cmocka_unit_test(test_it_is_known_as_its_certificate_will_say),
                        cmocka_unit_test(test_a_key_that_is_none_follows_nobody),
                        cmocka_unit_test(test_it_issues_neither_before_nor_after_its_time_and_nothing_that_outlives_it),
                        cmocka_unit_test(test_names_that_cannot_be_read_are_in_nothing_that_follows),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
