/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the TPM says of a key holds before a stranger: read and checked here with OpenSSL alone. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "rig.h"

static const uint8_t nonce[32] = "asked just now";

typedef struct Statement {
        uint8_t space[20000];
        TpmCertificate c;
} Statement;

static int certify(Rig *rig, const RigKey *key, Bytes asked, Statement *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmBlob blob = rig_blob(key);
        int r;

        assert_int_equal(tpm_blob_put(&b, &blob), 0);
        wire_put_raw(&b, key->auth, TPM_AUTH_SIZE);
        assert_int_equal(wire_put_block(&b, asked), 0);
        r = rig_ask(rig, TPM_CERTIFY, buffer_bytes(&b));
        if (r)
                return r;
        memcpy(ret->space, rig->body.data, rig->body.len);
        assert_int_equal(tpm_certificate_decode(BYTES(ret->space, rig->body.len), &ret->c), 0);
        return 0;
}

static uint16_t two(const uint8_t *p)
{
        return (uint16_t)(p[0] << 8 | p[1]);
}

/* The last 2 * half bytes of a TPMT_PUBLIC of an ECC key: x and y, each with its length. */
static void point_of(Bytes area, size_t half, RigKey *ret)
{
        const uint8_t *y = area.data + area.len - half, *x = y - 2 - half;

        assert_true(area.len > 2 * half + 4);
        assert_int_equal(two(y - 2), half);
        assert_int_equal(two(x - 2), half);
        *ret = (RigKey){.algorithm = half == 32 ? TPM_P256 : TPM_P384, .number_len = 2 * half};
        memcpy(ret->number, x, half);
        memcpy(ret->number + half, y, half);
}

/* TPMS_ATTEST, TCG TPM 2.0 Part 2, section 10.12.8. */
static bool says(const Statement *s, const RigKey *key, Bytes asked)
{
        const uint8_t *p = s->c.attest.data;
        uint8_t name[34] = {0, 11}, digest[32];
        RigKey ak;

        SHA256(s->c.key_public.data, s->c.key_public.len, name + 2);
        SHA256(s->c.attest.data, s->c.attest.len, digest);
        point_of(s->c.ak_public, 32, &ak);
        if (!judge_ecdsa(&ak, BYTES_ARRAY(digest), s->c.signature))
                return false;
        assert_memory_equal(p, "\xff"
                               "TCG\x80\x17", 6);
        p += 6;
        p += 2 + two(p);
        if (!bytes_equal(BYTES(p + 2, two(p)), asked))
                return false;
        p += 2 + two(p) + 17 + 8;
        return bytes_equal(BYTES(p + 2, two(p)), BYTES_ARRAY(name)) && key->public_len == s->c.key_public.len + 2 &&
               memcmp(key->public + 2, s->c.key_public.data, s->c.key_public.len) == 0;
}

static void test_a_key_is_certified_with_the_nonce_that_was_asked(void **state)
{
        static const TpmAlgorithm algorithms[] = {TPM_P256, TPM_P384, TPM_RSA2048, TPM_HMAC256};
        static const TpmUse uses[] = {TPM_USE_SIGN, TPM_USE_AGREE, TPM_USE_DECRYPT, TPM_USE_MAC};
        Statement s;
        RigKey key;

        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(rig_create(*state, algorithms[i], uses[i], NULL, &key), 0);
                assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), 0);
                assert_true(says(&s, &key, BYTES_ARRAY(nonce)));
                assert_false(says(&s, &key, BYTES(nonce, 31)));
        }
        rig_handles_come_to(*state, "handles-transient", 0);
        assert_int_equal(s.c.ek_certificate.len, 0);
        assert_true(s.c.ek_public.len > 0);
}

static void test_a_statement_that_was_altered_does_not_hold(void **state)
{
        Statement s;
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), 0);
        s.space[4 + s.c.attest.len - 1] ^= 1;
        assert_false(says(&s, &key, BYTES_ARRAY(nonce)));
}

static void test_the_attestation_key_is_the_same_after_a_cold_boot_and_another_on_another_tpm(void **state)
{
        Statement one, two_, three;
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(certify(*state, &key, BYTES_NULL, &one), 0);
        rig_end_program(*state, SIGTERM);
        rig_kill_swtpm(*state);
        rig_start_swtpm(*state);
        rig_start_program(*state);
        assert_int_equal(certify(*state, &key, BYTES_NULL, &two_), 0);
        assert_true(bytes_equal(one.c.ak_public, two_.c.ak_public));
        assert_true(bytes_equal(one.c.ek_public, two_.c.ek_public));
        rig_replace_tpm(*state);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(certify(*state, &key, BYTES_NULL, &three), 0);
        assert_false(bytes_equal(one.c.ak_public, three.c.ak_public));
        assert_false(bytes_equal(one.c.ek_public, three.c.ek_public));
}

static void test_who_may_not_use_a_key_gets_no_statement(void **state)
{
        Statement s;
        RigKey key;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        key.auth[0] ^= 1;
        assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), HF_E_TPM_FAILED);
        key.auth[0] ^= 1;
        key.private[50] ^= 1;
        assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), HF_E_KEY_MISMATCH);
}

static EVP_PKEY *certified(const Statement *s)
{
        const uint8_t *p = s->c.ek_certificate.data;
        X509 *x = d2i_X509(NULL, &p, (long)s->c.ek_certificate.len);
        EVP_PKEY *key;

        assert_non_null(x);
        key = X509_get_pubkey(x);
        assert_non_null(key);
        X509_free(x);
        return key;
}

static void test_the_makers_certificate_is_for_the_endorsement_key(void **state)
{
        EVP_PKEY *key_of_certificate, *ek;
        TpmState t;
        Statement s;
        RigKey key, point;

        rig_certify_tpm(*state, "--ecc");
        assert_true(rig_tool(*state, "tpm2_nvundefine -C p 0x01c00002"));
        rig_state(*state, true, &t);
        assert_true(t.ek_certificate);
        assert_int_equal(t.banks, 1u << TPM_BANK_SHA256 | 1u << TPM_BANK_SHA384);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), 0);
        assert_true(says(&s, &key, BYTES_ARRAY(nonce)));
        key_of_certificate = certified(&s);
        point_of(s.c.ek_public, 48, &point);
        ek = judge_key(&point);
        assert_int_equal(EVP_PKEY_eq(key_of_certificate, ek), 1);
        EVP_PKEY_free(key_of_certificate);
        EVP_PKEY_free(ek);
}

/* Also where the key is not kept in the TPM: it is made again, and is the certified one. */
static void test_an_endorsement_key_that_is_not_kept_is_made_again(void **state)
{
        EVP_PKEY *key_of_certificate;
        uint8_t n[256];
        BIGNUM *number = NULL;
        Statement s;
        RigKey key;

        rig_certify_tpm(*state, "");
        assert_true(rig_tool(*state, "tpm2_evictcontrol -C o -c 0x81010001") || rig_handles(*state, "handles-persistent") == 0);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), 0);
        key_of_certificate = certified(&s);
        assert_int_equal(EVP_PKEY_get_bn_param(key_of_certificate, OSSL_PKEY_PARAM_RSA_N, &number), 1);
        assert_int_equal(BN_bn2binpad(number, n, sizeof(n)), sizeof(n));
        assert_memory_equal(s.c.ek_public.data + s.c.ek_public.len - sizeof(n), n, sizeof(n));
        BN_free(number);
        EVP_PKEY_free(key_of_certificate);
}

static void test_the_endorsement_key_of_p384_is_made_again_too(void **state)
{
        EVP_PKEY *key_of_certificate, *ek;
        Statement s;
        RigKey key, point;

        rig_certify_tpm(*state, "--ecc");
        assert_true(rig_tool(*state, "tpm2_nvundefine -C p 0x01c00002"));
        assert_true(rig_tool(*state, "tpm2_evictcontrol -C o -c 0x81010016") || rig_handles(*state, "handles-persistent") == 0);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(certify(*state, &key, BYTES_ARRAY(nonce), &s), 0);
        key_of_certificate = certified(&s);
        point_of(s.c.ek_public, 48, &point);
        ek = judge_key(&point);
        assert_int_equal(EVP_PKEY_eq(key_of_certificate, ek), 1);
        EVP_PKEY_free(key_of_certificate);
        EVP_PKEY_free(ek);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_a_key_is_certified_with_the_nonce_that_was_asked),
                        TEST(test_a_statement_that_was_altered_does_not_hold),
                        TEST(test_the_attestation_key_is_the_same_after_a_cold_boot_and_another_on_another_tpm),
                        TEST(test_who_may_not_use_a_key_gets_no_statement),
                        TEST(test_the_makers_certificate_is_for_the_endorsement_key),
                        TEST(test_an_endorsement_key_that_is_not_kept_is_made_again),
                        TEST(test_the_endorsement_key_of_p384_is_made_again_too),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
