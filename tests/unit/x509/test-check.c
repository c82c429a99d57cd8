/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/check.h"

#include <string.h>

#include "base/clock.h"
#include "tests/unit/x509/support.h"
#include "x509/verify.h"

#define DAY (86400 * USEC_PER_SEC)

/* The first word, "none" if there is nothing. */
static const char *verdict(const CertCheck *check)
{
        FindingList findings = {.n = 0};

        assert_int_equal(cert_check(check, &findings), 0);
        return finding_word(findings.n ? findings.items[0].kind : FINDING_NONE);
}

static void test_a_good_chain_has_no_finding_until_it_expires(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true, .until = 400});
        _cleanup_made_ Made leaf = make_certificate(&(Making){.name = "leaf", .issuer = root.x, .issuer_key = root.key});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(leaf.x, NULL);
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = anchors_of(root.x);
        CertCheck check = {.chain = chain, .anchors = anchors};

        (void)state;
        assert_string_equal(verdict(&check), "none");
        check.strict = true;
        assert_string_equal(verdict(&check), "none");
        check.time = cert_chain_not_after(chain) + DAY;
        assert_string_equal(verdict(&check), "expired");
        check.time = cert_chain_not_before(chain) - DAY / 24;
        assert_string_equal(verdict(&check), "not-yet-valid");
}

static void test_all_that_is_wrong_is_told(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true});
        _cleanup_made_ Made other = make_certificate(&(Making){.name = "other", .ca = true});
        _cleanup_made_ Made leaf = make_certificate(
                        &(Making){.name = "leaf", .issuer = root.x, .issuer_key = root.key, .until = -1, .since = -9, .usage = "serverAuth"});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(leaf.x, NULL);
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = anchors_of(other.x);
        const CertPins pins = {.n = 1};
        FindingList findings = {.n = 0};
        const CertCheck check = {.chain = chain, .anchors = anchors, .usage = CERT_USAGE_CLIENT, .host = "a.test", .pins = &pins,
                        .public_key = bytes_str("another")};
        static const FindingKind expected[] = {FINDING_EXPIRED, FINDING_UNTRUSTED, FINDING_WRONG_USAGE, FINDING_HOST_MISMATCH,
                        FINDING_PIN_MISMATCH, FINDING_KEY_MISMATCH};

        (void)state;
        assert_int_equal(cert_check(&check, &findings), 0);
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
                assert_non_null(findings_find(&findings, expected[i]));
        assert_true(findings_find(&findings, FINDING_EXPIRED)->time == cert_chain_not_after(chain));
}

static void test_without_anchors_the_chain_is_held_against_itself(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true});
        _cleanup_made_ Made middle = make_certificate(&(Making){.name = "middle", .issuer = root.x, .issuer_key = root.key, .ca = true});
        _cleanup_made_ Made forger = make_certificate(&(Making){.name = "middle", .ca = true});
        _cleanup_made_ Made leaf = make_certificate(&(Making){.name = "leaf", .issuer = middle.x, .issuer_key = middle.key});
        _cleanup_(cert_chain_unrefp) CertChain *alone = chain_of(leaf.x, NULL), *good = chain_of(leaf.x, middle.x),
                                               *stray = chain_of(leaf.x, root.x), *forged = chain_of(leaf.x, forger.x);

        (void)state;
        assert_string_equal(verdict(&(CertCheck){.chain = alone}), "none");
        assert_string_equal(verdict(&(CertCheck){.chain = good}), "none");
        assert_string_equal(verdict(&(CertCheck){.chain = stray}), "untrusted");
        assert_string_not_equal(verdict(&(CertCheck){.chain = forged}), "none");
}

static void test_usages_are_neither_missing_nor_too_broad(void **state)
{
        static const struct {
                const char *usage;
                CertUsage asked;
                const char *word;
        } rows[] = {
                        {NULL, CERT_USAGE_CLIENT, "none"},
                        {NULL, CERT_USAGE_CLIENT_ONLY, "too-broad"},
                        {NULL, CERT_USAGE_CODE_SIGNING, "wrong-usage"},
                        {NULL, CERT_USAGE_OCSP_SIGNING, "wrong-usage"},
                        {"clientAuth", CERT_USAGE_ANY, "none"},
                        {"clientAuth", CERT_USAGE_CLIENT, "none"},
                        {"clientAuth", CERT_USAGE_CLIENT_ONLY, "none"},
                        {"clientAuth", CERT_USAGE_SERVER, "wrong-usage"},
                        {"clientAuth", CERT_USAGE_CLIENT_SERVER, "wrong-usage"},
                        {"clientAuth,serverAuth", CERT_USAGE_CLIENT_SERVER, "none"},
                        {"clientAuth,serverAuth", CERT_USAGE_CLIENT_ONLY, "too-broad"},
                        {"serverAuth", CERT_USAGE_CLIENT_ONLY, "wrong-usage"},
                        {"codeSigning", CERT_USAGE_CODE_SIGNING, "none"},
                        {"OCSPSigning", CERT_USAGE_OCSP_SIGNING, "none"},
                        {"anyExtendedKeyUsage", CERT_USAGE_CLIENT, "wrong-usage"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                _cleanup_made_ Made m = make_certificate(&(Making){.name = "leaf", .usage = rows[i].usage});
                _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);

                assert_string_equal(verdict(&(CertCheck){.chain = chain, .usage = rows[i].asked}), rows[i].word);
        }
}

static void test_each_usage_has_a_word(void **state)
{
        CertUsage found;

        (void)state;
        for (CertUsage u = 0; u < _CERT_USAGE_MAX; u++) {
                assert_true(cert_usage_from_string(cert_usage_to_string(u), &found));
                assert_int_equal(found, u);
        }
        assert_false(cert_usage_from_string("everything", &found));
        assert_null(cert_usage_to_string(_CERT_USAGE_MAX));
}

static void test_hosts_are_those_of_the_alternative_names(void **state)
{
        _cleanup_made_ Made m = make_certificate(&(Making){.name = "cn.test", .names = "DNS:a.test,DNS:*.b.test,IP:10.0.0.1"});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);
        static const char *const good[] = {"a.test", "A.TEST", "x.b.test", "10.0.0.1"},
                                 *const bad[] = {"cn.test", "b.test", "x.y.b.test", "10.0.0.2", "a.test.evil", ""};

        (void)state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_string_equal(verdict(&(CertCheck){.chain = chain, .host = good[i]}), "none");
        for (size_t i = 0; i + 1 < sizeof(bad) / sizeof(bad[0]); i++)
                assert_string_equal(verdict(&(CertCheck){.chain = chain, .host = bad[i]}), "host-mismatch");
}

/* Two names are one where their A-labels are, and in no other way. */
static void test_internationalised_hosts_are_compared_by_their_a_labels(void **state)
{
        static const struct {
                const char *names, *host;
                bool same;
        } cases[] = {
                        {"DNS:xn--bcher-kva.test", "xn--bcher-kva.test", true},
                        {"DNS:xn--bcher-kva.test", "XN--Bcher-KVA.Test", true},
                        {"DNS:xn--bcher-kva.test", "b\xc3\xbc" "cher.test", false},
                        {"DNS:xn--bcher-kva.test", "bcher-kva.test", false},
                        {"DNS:xn--bcher-kva.test", "xn--bcher-kvb.test", false},
                        {"DNS:b\xc3\xbc" "cher.test", "xn--bcher-kva.test", false},
                        {"DNS:*.xn--bcher-kva.test", "a.xn--bcher-kva.test", true},
                        {"DNS:*.b.test", "xn--bcher-kva.b.test", true},
                        {"DNS:xn--*.b.test", "xn--bcher-kva.b.test", false},
                        {"DNS:x*.b.test", "xn--bcher-kva.b.test", false},
                        {"DNS:\xd0\xb0.test", "a.test", false}, /* a Cyrillic one */
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_made_ Made m = make_certificate(&(Making){.name = "leaf", .names = cases[i].names});
                _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);
                const char *word = verdict(&(CertCheck){.chain = chain, .host = cases[i].host});

                if (strcmp(word, cases[i].same ? "none" : "host-mismatch"))
                        fail_msg("%s, asked for %s: %s", cases[i].names, cases[i].host, word);
        }
}

static void test_weak_keys_are_refused_by_name(void **state)
{
        static const char *const weak[] = {"P-224", "RSA1024"}, *const fine[] = {"P-256", "P-384", "RSA2048", "ED25519"};

        (void)state;
        for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
                _cleanup_made_ Made m = make_certificate(&(Making){.name = "leaf", .kind = weak[i]});
                _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);

                assert_string_equal(verdict(&(CertCheck){.chain = chain}), "weak-key");
        }
        for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
                _cleanup_made_ Made m = make_certificate(&(Making){.name = "leaf", .kind = fine[i]});
                _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);

                assert_string_equal(verdict(&(CertCheck){.chain = chain}), "none");
        }
}

static void test_the_report_answers_each_question(void **state)
{
        _cleanup_made_ Made m = make_certificate(&(Making){.name = "leaf", .until = 12});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);
        FindingList before = {.n = 0};
        VerifyReport report;

        (void)state;
        assert_int_equal(verify_certificate(&(CertCheck){.chain = chain}, NULL, &report), 0);
        for (VerifyQuestion q = 0; q < _VERIFY_QUESTION_MAX; q++)
                assert_true(strlen(report.lines[q].text) > 5 && strlen(verify_question(q)) > 3);
        assert_int_equal(report.lines[VERIFY_DAYS_LEFT].state, VERIFY_WARN);
        assert_int_equal(report.lines[VERIFY_REVOCATION].state, VERIFY_WARN);
        findings_add(&before, FINDING_MALFORMED, FINDING_OF_FILE, 0, "odd");
        assert_int_equal(verify_certificate(&(CertCheck){.chain = NULL}, &before, &report), 0);
        assert_int_equal(report.findings.n, 1);
        for (VerifyQuestion q = 0; q < _VERIFY_QUESTION_MAX; q++)
                assert_int_equal(report.lines[q].state, VERIFY_FAIL);
}

/* ---- inside a handshake ---- */

/* As libssl has it when it asks: `own` is what the program itself trusts. Returns the verdict, and the error left for the alert. */
static const char *peer_verdict(const CertCheck *check, X509 *own, int *ret_error)
{
        X509_STORE *store = X509_STORE_new();
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        FindingList findings = {.n = 0};

        if (own)
                assert_int_equal(X509_STORE_add_cert(store, own), 1);
        assert_int_equal(X509_STORE_CTX_init(ctx, store, cert_chain_at(check->chain, 0), NULL), 1);
        assert_int_equal(cert_check_peer(check, ctx, &findings), 0);
        *ret_error = X509_STORE_CTX_get_error(ctx);
        X509_STORE_CTX_free(ctx);
        X509_STORE_free(store);
        return finding_word(findings.n ? findings.items[0].kind : FINDING_NONE);
}

static void test_a_peer_is_judged_by_the_anchors_given_and_else_by_those_of_the_program(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true});
        _cleanup_made_ Made other = make_certificate(&(Making){.name = "other", .ca = true});
        _cleanup_made_ Made leaf = make_certificate(&(Making){.name = "leaf", .issuer = root.x, .issuer_key = root.key});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(leaf.x, NULL);
        _cleanup_(cert_anchors_unrefp) CertAnchors *good = anchors_of(root.x), *bad = anchors_of(other.x);
        int error;

        (void)state;
        assert_string_equal(peer_verdict(&(CertCheck){.chain = chain, .anchors = good}, NULL, &error), "none");
        assert_int_equal(error, X509_V_OK);
        assert_string_equal(peer_verdict(&(CertCheck){.chain = chain, .anchors = good}, other.x, &error), "none");
        assert_string_equal(peer_verdict(&(CertCheck){.chain = chain, .anchors = bad}, root.x, &error), "untrusted");
        assert_int_not_equal(error, X509_V_OK);
        assert_string_equal(peer_verdict(&(CertCheck){.chain = chain}, root.x, &error), "none");
        assert_int_equal(error, X509_V_OK);
        assert_string_equal(peer_verdict(&(CertCheck){.chain = chain}, NULL, &error), "untrusted");
        assert_int_equal(error, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
}

static void test_what_openssl_does_not_look_at_still_leaves_an_error_for_the_alert(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true});
        _cleanup_made_ Made leaf = make_certificate(&(Making){.name = "leaf", .issuer = root.x, .issuer_key = root.key,
                        .names = "DNS:a.test", .usage = "serverAuth"});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(leaf.x, NULL);
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = anchors_of(root.x);
        const CertPins pins = {.n = 1};
        CertCheck check = {.chain = chain, .anchors = anchors, .host = "a.test", .usage = CERT_USAGE_SERVER};
        int error;

        (void)state;
        assert_string_equal(peer_verdict(&check, NULL, &error), "none");
        check.host = "b.test";
        assert_string_equal(peer_verdict(&check, NULL, &error), "host-mismatch");
        assert_int_equal(error, X509_V_ERR_HOSTNAME_MISMATCH);
        check.host = "a.test";
        check.pins = &pins;
        assert_string_equal(peer_verdict(&check, NULL, &error), "pin-mismatch");
        assert_int_equal(error, X509_V_ERR_CERT_REJECTED);
        check.pins = NULL;
        check.usage = CERT_USAGE_CLIENT;
        assert_string_equal(peer_verdict(&check, NULL, &error), "wrong-usage");
        assert_int_not_equal(error, X509_V_OK);
        check.usage = CERT_USAGE_SERVER;
        check.time = cert_chain_not_after(chain) + DAY;
        assert_string_equal(peer_verdict(&check, NULL, &error), "expired");
        assert_int_equal(error, X509_V_ERR_CERT_HAS_EXPIRED);
}

static void test_a_window_ends_where_any_certificate_of_the_chain_begins_or_ends(void **state)
{
        _cleanup_made_ Made root = make_certificate(&(Making){.name = "root", .ca = true, .since = -90, .until = 90});
        _cleanup_made_ Made middle = make_certificate(&(Making){
                        .name = "middle", .issuer = root.x, .issuer_key = root.key, .ca = true, .since = -20, .until = 5});
        _cleanup_made_ Made leaf = make_certificate(
                        &(Making){.name = "leaf", .issuer = middle.x, .issuer_key = middle.key, .since = -10, .until = 20});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(leaf.x, middle.x), *upper = chain_of(middle.x, NULL);
        /* in order: the middle begins, the leaf begins, the middle ends, the leaf ends */
        const uint64_t ends[] = {0, cert_chain_not_before(upper), cert_chain_not_before(chain), cert_chain_not_after(upper),
                        cert_chain_not_after(chain), UINT64_MAX};
        uint64_t from, until;

        (void)state;
        for (size_t i = 0; i + 1 < sizeof(ends) / sizeof(ends[0]); i++) {
                const uint64_t last = ends[i + 1] == UINT64_MAX ? ends[i] + 400 * DAY : ends[i + 1] - 1, in[] = {ends[i], last};

                assert_true(ends[i] < ends[i + 1]);
                for (size_t k = 0; k < 2; k++) { /* its first microsecond and its last one */
                        cert_chain_window(chain, in[k], &from, &until);
                        assert_true(from == ends[i] && until == ends[i + 1]);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_good_chain_has_no_finding_until_it_expires),
                        cmocka_unit_test(test_all_that_is_wrong_is_told),
                        cmocka_unit_test(test_without_anchors_the_chain_is_held_against_itself),
                        cmocka_unit_test(test_usages_are_neither_missing_nor_too_broad),
                        cmocka_unit_test(test_each_usage_has_a_word),
                        cmocka_unit_test(test_hosts_are_those_of_the_alternative_names),
                        cmocka_unit_test(test_internationalised_hosts_are_compared_by_their_a_labels),
                        cmocka_unit_test(test_weak_keys_are_refused_by_name),
                        cmocka_unit_test(test_the_report_answers_each_question),
                        cmocka_unit_test(test_a_peer_is_judged_by_the_anchors_given_and_else_by_those_of_the_program),
                        cmocka_unit_test(test_what_openssl_does_not_look_at_still_leaves_an_error_for_the_alert),
                        cmocka_unit_test(test_a_window_ends_where_any_certificate_of_the_chain_begins_or_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
