/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Revocation lists, judged by stock openssl and GnuTLS. */
#include "support.h"

static void make_crl(const Authority *ca, uint64_t number, const CaRevoked *entries, size_t n, const char *file)
{
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_CRL_MAX), der = BUFFER_INIT(CA_CRL_MAX);
        uint64_t now = clock_wall();

        assert_int_equal(ca_crl_prepare(&(CaCrlParams){.issuer = ca->issuer, .scheme = ca->scheme, .number = number,
                                                .this_update = now, .next_update = now + 2 * DAY, .entries = entries,
                                                .n_entries = n}, &tbs), 0);
        sign(ca->key, ca->scheme, buffer_bytes(&tbs), &der);
        put_pem(file, "X509 CRL", buffer_bytes(&der));
}

static CaRevoked make_leaf(const Authority *ca, const char *file)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        CaCertificateParams p = {.path_length = -1, .set = (const char *const[]){"CN=leaf", NULL}};
        _cleanup_(privkey_freep) PrivKey *key = make(KEY_P256);
        CaRevoked revoked = {.when = clock_wall()};
        CaProfile device = profile("device");
        CaProblem problem = {};
        Public public;

        p.profile = &device;
        p.spki = public_of(key, &public);
        assert_int_equal(issue(ca, NULL, &p, &problem, &der), 0);
        put_certificate(file, &der);
        memcpy(revoked.serial, p.serial, sizeof(p.serial));
        return revoked;
}

static void test_an_empty_list_is_good_and_refuses_nobody(void **state)
{
        static const KeyAlgorithm algorithms[] = {KEY_P256, KEY_P384, KEY_RSA4096};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++) {
                _cleanup_authority_ Authority root = make_authority(NULL, algorithms[i], "root", -1);

                make_crl(&root, 1, NULL, 0, "crl.pem");
                (void)make_leaf(&root, "leaf.pem");
                assert_int_equal(run("openssl crl -in crl.pem -noout -CAfile root.pem 2>&1 | grep -q 'verify OK'"), 0);
                assert_int_equal(run("openssl verify -x509_strict -crl_check_all -CAfile root.pem -CRLfile crl.pem leaf.pem >out"), 0);
                assert_int_equal(run("certtool --verify-crl --load-ca-certificate root.pem --infile crl.pem 2>&1 | grep -q "
                                     "'Verified\\|verified'"), 0);
        }
}

static void test_who_is_on_the_list_is_refused_with_number_and_reason(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P384, "root", -1);
        CaRevoked revoked[2];

        (void)state;
        revoked[0] = make_leaf(&root, "bad.pem");
        revoked[0].reason = CA_REASON_KEY_COMPROMISE;
        revoked[1] = make_leaf(&root, "plain.pem");
        (void)make_leaf(&root, "good.pem");
        make_crl(&root, 0x1234567890, revoked, 2, "crl.pem");
        assert_int_equal(run("openssl verify -x509_strict -crl_check_all -CAfile root.pem -CRLfile crl.pem good.pem >out"), 0);
        assert_int_not_equal(run("openssl verify -x509_strict -crl_check_all -CAfile root.pem -CRLfile crl.pem bad.pem >out 2>&1"), 0);
        assert_int_equal(run("grep -q 'certificate revoked' out"), 0);
        assert_int_equal(run("openssl crl -in crl.pem -noout -text >text && grep -q 'Key Compromise' text && grep -c 'Serial Number' "
                             "text | grep -qx 2 && grep -A1 'CRL Number' text | grep -q 78187493520"), 0);
        /* `unspecified` is said by saying nothing. */
        assert_int_equal(run("grep -c 'Reason Code' text | grep -qx 1 && grep -q 'Version 2' text"), 0);
        assert_int_equal(run("certtool --verify --load-ca-certificate root.pem --load-crl crl.pem --infile good.pem >out 2>&1"), 0);
        assert_int_not_equal(run("certtool --verify --load-ca-certificate root.pem --load-crl crl.pem --infile bad.pem >out 2>&1"), 0);
}

static void test_the_list_of_a_root_and_of_its_intermediate_serve_together(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        _cleanup_authority_ Authority inter = make_authority(&root, KEY_P256, "inter", -1);

        (void)state;
        make_crl(&root, 1, NULL, 0, "a.pem");
        make_crl(&inter, 1, NULL, 0, "b.pem");
        (void)make_leaf(&inter, "leaf.pem");
        assert_int_equal(run("cat a.pem b.pem >crl.pem; openssl verify -x509_strict -crl_check_all -CAfile root.pem -untrusted inter.pem "
                             "-CRLfile crl.pem leaf.pem >out"), 0);
        assert_int_not_equal(run("openssl verify -x509_strict -crl_check_all -CAfile root.pem -untrusted inter.pem -CRLfile b.pem "
                                 "leaf.pem >out 2>&1"), 0);
}

static void test_a_hundred_thousand_entries_are_made_and_read(void **state)
{
        _cleanup_authority_ Authority root = make_authority(NULL, KEY_P256, "root", -1);
        size_t n = 100000;
        CaRevoked *all = calloc(n, sizeof(*all));
        uint64_t start;

        (void)state;
        assert_non_null(all);
        for (size_t i = 0; i < n; i++) {
                ca_serial_new(all[i].serial);
                all[i].when = clock_wall();
                all[i].reason = CA_REASON_SUPERSEDED;
        }
        start = clock_monotonic();
        make_crl(&root, 1, all, n, "crl.pem");
        print_message("100,000 entries in %llu ms\n", (unsigned long long)(clock_monotonic() - start) / 1000);
        assert_int_equal(run("openssl crl -in crl.pem -noout -CAfile root.pem 2>&1 | grep -q 'verify OK'"), 0);
        free(all);
}

static void test_every_reason_has_one_name(void **state)
{
        CaReason r;

        (void)state;
        for (CaReason i = 0; i < _CA_REASON_MAX; i++) {
                if (!ca_reason_to_string(i))
                        continue;
                assert_true(ca_reason_from_string(ca_reason_to_string(i), &r));
                assert_int_equal(r, i);
        }
        assert_false(ca_reason_from_string("removeFromCRL", &r));
        assert_false(ca_reason_from_string("", &r));
        assert_false(ca_reason_from_string("keycompromise", &r));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_empty_list_is_good_and_refuses_nobody),
                cmocka_unit_test(test_who_is_on_the_list_is_refused_with_number_and_reason),
                cmocka_unit_test(test_the_list_of_a_root_and_of_its_intermediate_serve_together),
                cmocka_unit_test(test_a_hundred_thousand_entries_are_made_and_read),
                cmocka_unit_test(test_every_reason_has_one_name),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
