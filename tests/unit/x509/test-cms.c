/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/cms-sign.h"

#include <errno.h>
#include <openssl/cms.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/x509/support.h"

/* A file with this text, to be read once. */
static int file_of(const char *text)
{
        int fd = memfd_create("signed", 0);

        assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
        lseek(fd, 0, SEEK_SET);
        return fd;
}

typedef struct Signed {
        Made leaf;
        CertChain *chain;
        Buffer cms;
} Signed;

static Signed sign_text(const char *kind, const char *text)
{
        Signed s = {.leaf = make_certificate(&(Making){.name = "signer", .kind = kind, .usage = "codeSigning"}),
                        .cms = BUFFER_INIT(CMS_FILE_MAX)};
        const CertKey key = {.pkey = s.leaf.key};
        FindingList findings = {.n = 0};
        int fd = file_of(text);

        s.chain = chain_of(s.leaf.x, NULL);
        assert_int_equal(cms_sign(s.chain, &key, fd, &findings, &s.cms), 0);
        close(fd);
        return s;
}

static void signed_clear(Signed *s)
{
        made_clear(&s->leaf);
        cert_chain_unref(s->chain);
        buffer_deinit(&s->cms);
}

#define _cleanup_signed_ __attribute__((cleanup(signed_clear)))

static const char *verify_text(Bytes cms, const char *text)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        FindingList findings = {.n = 0};
        int fd = file_of(text), r = cms_verify(cms, fd, &findings, &chain);

        close(fd);
        assert_int_equal(r, findings.n ? HF_E_INVALID_ARGS : 0);
        assert_true((chain != NULL) == (r == 0));
        return finding_word(findings.n ? findings.items[0].kind : FINDING_NONE);
}

static void test_a_signed_file_verifies_and_a_changed_one_does_not(void **state)
{
        static const char *const kinds[] = {"P-256", "P-384", "RSA2048"};

        (void)state;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                _cleanup_signed_ Signed s = sign_text(kinds[i], "firmware 1.2");

                assert_string_equal(verify_text(buffer_bytes(&s.cms), "firmware 1.2"), "none");
                assert_string_equal(verify_text(buffer_bytes(&s.cms), "firmware 1.3"), "altered");
                assert_string_equal(verify_text(buffer_bytes(&s.cms), ""), "altered");
        }
}

static void test_no_byte_of_a_signature_can_be_changed_into_another_file(void **state)
{
        _cleanup_signed_ Signed s = sign_text("P-256", "firmware");

        (void)state;
        for (size_t i = 0; i < s.cms.len; i += 3) {
                s.cms.data[i] ^= 0x11;
                assert_string_not_equal(verify_text(buffer_bytes(&s.cms), "other"), "none");
                s.cms.data[i] ^= 0x11;
        }
        for (size_t cut = 0; cut < s.cms.len; cut += 11)
                assert_string_equal(verify_text(BYTES(s.cms.data, cut), "firmware"), "malformed");
}

static void test_signatures_of_other_makes_are_refused(void **state)
{
        _cleanup_made_ Made m = make_certificate(&(Making){.name = "signer", .kind = "RSA2048"});
        _cleanup_made_ Made other = make_certificate(&(Making){.name = "other"});
        BIO *in = BIO_new_mem_buf("firmware", 8);
        CMS_ContentInfo *inside = CMS_sign(m.x, m.key, NULL, in, CMS_BINARY), *twice = CMS_sign(NULL, NULL, NULL, NULL,
                        CMS_PARTIAL | CMS_DETACHED | CMS_BINARY), *old = CMS_sign(NULL, NULL, NULL, NULL, CMS_PARTIAL | CMS_DETACHED |
                        CMS_BINARY);
        CMS_ContentInfo *all[] = {inside, twice, old};
        static const char *const words[] = {"malformed", "malformed", "weak-signature"};
        uint8_t *der;
        int len;

        (void)state;
        assert_non_null(CMS_add1_signer(twice, m.x, m.key, EVP_sha256(), CMS_BINARY));
        assert_non_null(CMS_add1_signer(twice, other.x, other.key, EVP_sha256(), CMS_BINARY));
        assert_non_null(CMS_add1_signer(old, m.x, m.key, EVP_sha1(), CMS_BINARY));
        for (size_t i = 0; i < 3; i++) {
                BIO *content = BIO_new_mem_buf("firmware", 8);

                if (all[i] != inside)
                        assert_int_equal(CMS_final(all[i], content, NULL, CMS_BINARY), 1);
                der = NULL;
                len = i2d_CMS_ContentInfo(all[i], &der);
                assert_string_equal(verify_text(BYTES(der, len), "firmware"), words[i]);
                OPENSSL_free(der);
                BIO_free(content);
                CMS_ContentInfo_free(all[i]);
        }
        BIO_free(in);
}

static void test_a_key_of_another_certificate_does_not_sign(void **state)
{
        _cleanup_made_ Made m = make_certificate(&(Making){.name = "signer"}), other = make_certificate(&(Making){.name = "other"});
        _cleanup_(cert_chain_unrefp) CertChain *chain = chain_of(m.x, NULL);
        _cleanup_buffer_ Buffer cms = BUFFER_INIT(CMS_FILE_MAX);
        const CertKey key = {.pkey = other.key};
        FindingList findings = {.n = 0};
        int fd = file_of("x");

        (void)state;
        assert_int_equal(cms_sign(chain, &key, fd, &findings, &cms), HF_E_INVALID_ARGS);
        assert_int_equal(findings.items[0].kind, FINDING_KEY_MISMATCH);
        assert_int_equal(cms.len, 0);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_signed_file_verifies_and_a_changed_one_does_not),
                        cmocka_unit_test(test_no_byte_of_a_signature_can_be_changed_into_another_file),
                        cmocka_unit_test(test_signatures_of_other_makes_are_refused),
                        cmocka_unit_test(test_a_key_of_another_certificate_does_not_sign),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
