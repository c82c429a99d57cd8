/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Statements of a real (software) TPM, whole and changed. tests/vectors/attest has them as `holdfast key attest` writes
 * them; each answers the nonce below. */
#include "support.h"

#include <fcntl.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "crypto/attest-read.h"
#include "crypto/attest.h"

#define NONCE "00112233445566778899aabbccddeeff"

typedef struct Loaded {
        AttestStatement s;
        uint8_t space[7][ATTEST_CERTIFICATE_MAX];
} Loaded;

static const struct {
        const char *name;
        size_t offset;
} members[] = {
                {"attest", offsetof(AttestStatement, attest)},
                {"signature", offsetof(AttestStatement, signature)},
                {"ak_public", offsetof(AttestStatement, ak_public)},
                {"key_public", offsetof(AttestStatement, key_public)},
                {"ek_certificate", offsetof(AttestStatement, ek_certificate)},
                {"ek_public", offsetof(AttestStatement, ek_public)},
                {"spki", offsetof(AttestStatement, spki)},
};

static Bytes *member(Loaded *l, size_t i)
{
        return (Bytes *)((uint8_t *)&l->s + members[i].offset);
}

static void load(const char *name, Loaded *ret)
{
        char path[512];
        json_t *j;

        snprintf(path, sizeof(path), VECTORS "/%s.json", name);
        j = json_load_file(path, 0, NULL);
        assert_non_null(j);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                const char *text = json_string_value(json_object_get(j, members[i].name));
                size_t len = 0;

                assert_non_null(text);
                if (*text)
                        assert_int_equal(base64_decode(text, strlen(text), ret->space[i], sizeof(ret->space[i]), &len), 0);
                *member(ret, i) = BYTES(ret->space[i], len);
        }
        json_decref(j);
}

static AttestFault verify(const AttestStatement *s, AttestReport *ret)
{
        return attest_verify(s, HEX(NONCE), BYTES_NULL, ret);
}

static void test_what_a_tpm_states_about_keys_of_every_kind_is_good(void **state)
{
        static const char *const names[] = {"p256", "p384", "rsa2048", "rsa3072", "hmac"};
        uint8_t ak[32];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                AttestReport report;
                Loaded l;

                load(names[i], &l);
                assert_int_equal(verify(&l.s, &report), ATTEST_GOOD);
                if (i > 0)
                        assert_memory_equal(report.ak_fingerprint, ak, sizeof(ak));
                memcpy(ak, report.ak_fingerprint, sizeof(ak));
                assert_false(report.ek_checked);
        }
}

static void test_the_answer_to_another_nonce_is_refused(void **state)
{
        AttestReport report;
        Loaded l;

        (void)state;
        load("p256", &l);
        assert_int_equal(attest_verify(&l.s, HEX("00112233445566778899aabbccddeefe"), BYTES_NULL, &report), ATTEST_NONCE);
        assert_int_equal(attest_verify(&l.s, HEX("0011"), BYTES_NULL, &report), ATTEST_NONCE);
        assert_int_equal(attest_verify(&l.s, BYTES_NULL, BYTES_NULL, &report), ATTEST_NONCE);
}

static void test_a_key_that_may_leave_its_tpm_is_refused(void **state)
{
        AttestReport report;
        Loaded l;

        (void)state;
        load("leaves", &l);
        assert_int_equal(verify(&l.s, &report), ATTEST_KEY_LEAVES);
}

static void test_an_attestation_key_that_would_sign_anything_is_refused(void **state)
{
        AttestReport report;
        Loaded l;

        (void)state;
        load("ak-unrestricted", &l);
        assert_int_equal(verify(&l.s, &report), ATTEST_AK);
}

static void test_the_parts_of_two_statements_do_not_make_one(void **state)
{
        static const AttestFault expected[] = {ATTEST_SIGNATURE, ATTEST_SIGNATURE, ATTEST_AK, ATTEST_NAME, ATTEST_GOOD,
                        ATTEST_GOOD, ATTEST_SPKI};
        AttestReport report;
        Loaded a, b, u;

        (void)state;
        load("p384", &b);
        load("ak-unrestricted", &u);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                load("p256", &a);
                *member(&a, i) = i == 2 ? u.s.ak_public : *member(&b, i);
                assert_int_equal(verify(&a.s, &report), expected[i]);
        }
}

static void test_every_flipped_bit_of_what_is_checked_is_noticed(void **state)
{
        static const size_t checked[] = {0, 1, 2, 3, 6};
        AttestReport report, whole;
        Loaded l;

        (void)state;
        load("p256", &l);
        assert_int_equal(verify(&l.s, &whole), ATTEST_GOOD);
        for (size_t c = 0; c < ELEMENTSOF(checked); c++) {
                Bytes *m = member(&l, checked[c]);

                for (size_t bit = 0; bit < m->len * 8; bit++) {
                        l.space[checked[c]][bit / 8] ^= 1u << bit % 8;
                        /* what is not looked at of the attestation key makes it another one */
                        if (verify(&l.s, &report) == ATTEST_GOOD)
                                assert_memory_not_equal(report.ak_fingerprint, whole.ak_fingerprint, 32);
                        l.space[checked[c]][bit / 8] ^= 1u << bit % 8;
                }
        }
        assert_int_equal(verify(&l.s, &report), ATTEST_GOOD);
}

static void test_a_statement_cut_anywhere_or_with_something_behind_it_is_refused(void **state)
{
        static const size_t checked[] = {0, 1, 2, 3, 6};
        AttestReport report;
        Loaded l;

        (void)state;
        load("rsa2048", &l);
        for (size_t c = 0; c < ELEMENTSOF(checked); c++) {
                Bytes *m = member(&l, checked[c]);
                size_t whole = m->len;

                for (m->len = 0; m->len < whole; m->len++)
                        assert_int_not_equal(verify(&l.s, &report), ATTEST_GOOD);
                m->len = whole + 1;
                assert_int_not_equal(verify(&l.s, &report), ATTEST_GOOD);
                m->len = whole;
        }
}

static void test_lengths_from_outside_lead_nowhere(void **state)
{
        uint8_t structure[64];
        TpmsAttest attest;
        TpmtPublic public;

        (void)state;
        for (unsigned fill = 0; fill < 256; fill++)
                for (size_t len = 0; len <= sizeof(structure); len++) {
                        uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees each byte too far */

                        memset(exact, (int)fill, len);
                        (void)tpms_attest_read(BYTES(exact, len), &attest);
                        if (len >= 2) {
                                static const uint8_t types[] = {0x01, 0x08, 0x23};

                                for (size_t t = 0; t < sizeof(types); t++) {
                                        exact[0] = 0;
                                        exact[1] = types[t];
                                        (void)tpmt_public_read(BYTES(exact, len), &public);
                                }
                        }
                        free(exact);
                }
}

static void test_an_endorsement_certificate_leads_to_its_root_and_to_no_other(void **state)
{
        _cleanup_buffer_ Buffer root = BUFFER_INIT(16384);
        AttestReport report;
        Loaded l;

        (void)state;
        load("p256", &l);
        assert_int_equal(io_read_file(AT_FDCWD, VECTORS "/ek-root.pem", &root), 0);
        assert_int_equal(attest_verify(&l.s, HEX(NONCE), buffer_bytes(&root), &report), ATTEST_GOOD);
        assert_true(report.ek_checked);

        l.space[4][l.s.ek_certificate.len - 1] ^= 1;
        assert_int_equal(attest_verify(&l.s, HEX(NONCE), buffer_bytes(&root), &report), ATTEST_EK_CERTIFICATE);
        l.space[4][l.s.ek_certificate.len - 1] ^= 1;
        l.space[5][l.s.ek_public.len - 1] ^= 1; /* the certificate of another key */
        assert_int_equal(attest_verify(&l.s, HEX(NONCE), buffer_bytes(&root), &report), ATTEST_EK_CERTIFICATE);
        l.space[5][l.s.ek_public.len - 1] ^= 1;
        assert_int_equal(attest_verify(&l.s, HEX(NONCE), bytes_str("no certificate"), &report), ATTEST_EK_CERTIFICATE);
        l.s.ek_certificate = BYTES_NULL;
        assert_int_equal(attest_verify(&l.s, HEX(NONCE), buffer_bytes(&root), &report), ATTEST_EK_CERTIFICATE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_what_a_tpm_states_about_keys_of_every_kind_is_good),
                        cmocka_unit_test(test_the_answer_to_another_nonce_is_refused),
                        cmocka_unit_test(test_a_key_that_may_leave_its_tpm_is_refused),
                        cmocka_unit_test(test_an_attestation_key_that_would_sign_anything_is_refused),
                        cmocka_unit_test(test_the_parts_of_two_statements_do_not_make_one),
                        cmocka_unit_test(test_every_flipped_bit_of_what_is_checked_is_noticed),
                        cmocka_unit_test(test_a_statement_cut_anywhere_or_with_something_behind_it_is_refused),
                        cmocka_unit_test(test_lengths_from_outside_lead_nowhere),
                        cmocka_unit_test(test_an_endorsement_certificate_leads_to_its_root_and_to_no_other),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
