/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Profile files: the shipped ones say what the documentation says of them; a mistake is named where it is. */
#include "support.h"

static int read_text(const char *text, CaProblem *problem, CaProfile *ret)
{
        return ca_profile_read("p.conf", "p", bytes_str(text), problem, ret);
}

#define GOOD "days=1\nkeys=p256\nusage=digitalSignature\n"

static void test_the_shipped_profiles_are_what_they_are_said_to_be(void **state)
{
        CaProfile device = profile("device"), server = profile("server"), root = profile("root"), ocsp = profile("ocsp");

        (void)state;
        assert_int_equal(device.days, 365);
        assert_int_equal(device.usage, 1u << CA_USAGE_DIGITAL_SIGNATURE);
        assert_int_equal(device.usage_rsa, 1u << CA_USAGE_KEY_ENCIPHERMENT);
        assert_int_equal(device.extended, 1u << CA_EXTENDED_CLIENT_AUTH);
        assert_int_equal(device.required, 1u << CA_PART_CN);
        assert_false(device.keys & (1u << KEY_RSA2048));
        assert_false(device.authority);
        assert_true(server.named);
        assert_int_equal(server.extended, 1u << CA_EXTENDED_SERVER_AUTH);
        assert_int_equal(profile("client-server").extended, 1u << CA_EXTENDED_SERVER_AUTH | 1u << CA_EXTENDED_CLIENT_AUTH);
        assert_int_equal(profile("code-signing").extended, 1u << CA_EXTENDED_CODE_SIGNING);
        assert_int_equal(ocsp.extended, 1u << CA_EXTENDED_OCSP_SIGNING);
        assert_true(ocsp.no_check);
        assert_int_equal(ocsp.max_days, 90); /* nobody asks whether it is revoked */
        assert_int_equal(device.max_days, 0);
        assert_string_equal(device.urls[CA_URL_OCSP], "");
        assert_true(root.authority);
        assert_int_equal(root.days, 3650);
        assert_int_equal(profile("intermediate").days, 1825);
        assert_int_equal(root.usage, 1u << CA_USAGE_KEY_CERT_SIGN | 1u << CA_USAGE_CRL_SIGN);
}

static void test_a_mistake_is_named_with_line_and_column(void **state)
{
        static const struct {
                const char *text, *problem;
        } cases[] = {
                {GOOD "colour=red\n", "p.conf:4:1: 'colour' is unknown here"},
                {GOOD "  names = dns, ipp\n", "p.conf:4:16: 'ipp' is unknown here"},
                {GOOD "days=2\n", "p.conf:4:1: 'days' is said twice"},
                {"days=\n", "p.conf:1:6: a value is wanted"},
                {"days 1\n", "p.conf:1:1: 'word = values' is wanted"},
                {"# x\n\ndays=0\n", "p.conf:3:6: a certificate lives for a day at least"},
                {"days=-1\n", "p.conf:1:6: a number from 0 to 36500 is wanted"},
                {"days=1 2\n", "p.conf:1:6: one number is wanted"},
                {"days=99999\n", "p.conf:1:6: a number from 0 to 36500 is wanted"},
                {"days=1x\n", "p.conf:1:6: a number from 0 to 36500 is wanted"},
                {"keys=p256 rsa1024\n", "p.conf:1:11: 'rsa1024' is unknown here"},
                {"keys=x25519\n", "p.conf:1:6: 'x25519' is unknown here"},
                {"subject=CN!!\n", "p.conf:1:9: 'CN!!' is unknown here"},
                {"subject=!\n", "p.conf:1:9: '!' is unknown here"},
                {"usage=digitalSignature:ec\n", "p.conf:1:7: 'digitalSignature:ec' is unknown here"},
                {"extended=anyExtendedKeyUsage\n", "p.conf:1:10: 'anyExtendedKeyUsage' is unknown here"},
                {"named=maybe\n", "p.conf:1:7: 'yes' or 'no' is wanted"},
                {"", "p.conf:1:1: days, keys and usage are wanted"},
                {GOOD "authority=yes\n", "p.conf:5:1: keyCertSign and authority go together"},
                {"days=1\nkeys=p256\nusage=keyCertSign\n", "p.conf:4:1: keyCertSign and authority go together"},
                {GOOD "path-length=0\n", "p.conf:5:1: path-length is for authorities"},
                {GOOD "named=yes\n", "p.conf:5:1: named wants names"},
                {GOOD "max-days=0\n", "p.conf:4:10: a certificate lives for a day at least"},
                {"days=9\nmax-days=8\nkeys=p256\nusage=digitalSignature\n", "p.conf:5:1: days is more than max-days"},
                {GOOD "ocsp-url=ldap://x\n", "p.conf:4:10: one URL of http or https is wanted, of at most 255 characters"},
                {GOOD "crl-url=http://\n", "p.conf:4:9: one URL of http or https is wanted, of at most 255 characters"},
                {GOOD "crl-url=https://\n", "p.conf:4:9: one URL of http or https is wanted, of at most 255 characters"},
                {GOOD "crl-url=http:/", "p.conf:4:9: one URL of http or https is wanted, of at most 255 characters"},
                {GOOD "crl-url=http://a http://b\n", "p.conf:4:9: one URL of http or https is wanted, of at most 255 characters"},
                {GOOD "issuer-url=http://a/<b\n", "p.conf:4:21: this character cannot be in a URL"},
                {GOOD "issuer-url=http://a/\x7f\n", "p.conf:4:21: this character cannot be in a URL"},
                {GOOD "issuer-url=http://\303\244\n", "p.conf:4:19: this character cannot be in a URL"},
        };
        CaProfile p = {.days = 77};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                CaProblem problem = {};

                assert_int_equal(read_text(cases[i].text, &problem, &p), HF_E_INVALID_ARGS);
                assert_string_equal(problem.text, cases[i].problem);
                assert_int_equal(p.days, 77);
        }
}

static void test_no_bytes_make_the_reader_stumble(void **state)
{
        char text[] = GOOD "names=dns, ip\nsubject=CN!,OU\nextended=serverAuth\nmax-days=9\ncrl-url=http://x\n# end";
        CaProblem problem;
        CaProfile p;

        (void)state;
        assert_int_equal(read_text(text, &problem, &p), 0);
        for (size_t i = 0; i < sizeof(text) - 1; i++)
                for (unsigned c = 0; c < 256; c++) {
                        char kept = text[i];
                        Bytes all = BYTES(text, sizeof(text) - 1);

                        text[i] = (char)c;
                        (void)ca_profile_read("p.conf", "p", all, &problem, &p);
                        (void)ca_profile_read("p.conf", "p", BYTES(text, i), &problem, &p);
                        text[i] = kept;
                }
        assert_int_equal(ca_profile_read("p", "../x", bytes_str(GOOD), &problem, &p), HF_E_INVALID_ARGS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_shipped_profiles_are_what_they_are_said_to_be),
                cmocka_unit_test(test_a_mistake_is_named_with_line_and_column),
                cmocka_unit_test(test_no_bytes_make_the_reader_stumble),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
