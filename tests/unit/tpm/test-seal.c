/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Secrets sealed to PCRs, to a PIN, and to what somebody signs, and every way in which they do not come out. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "rig.h"

static const uint8_t secret[32] = "thirty-two bytes of some master";
static const uint8_t pin[TPM_AUTH_SIZE] = "what the signer made of a PIN";
static const uint8_t other_pin[TPM_AUTH_SIZE] = "what it made of another one";

typedef struct Sealed {
        RigKey blob;
        TpmPcrs pcrs;
        TpmPolicyKey policy;
} Sealed;

static int seal(Rig *rig, const char *pcrs, const uint8_t *with_pin, const TpmPolicyKey *policy, Sealed *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);
        TpmSealing s = {.secret = BYTES_ARRAY(secret), .has_pin = with_pin};
        WireReader r;
        int q;

        *ret = (Sealed){};
        assert_int_equal(tpm_pcrs_parse(pcrs, &s.pcrs), 0);
        if (policy)
                ret->policy = s.policy = *policy;
        if (with_pin)
                memcpy(s.pin, with_pin, sizeof(s.pin));
        assert_int_equal(tpm_sealing_encode(&s, &b), 0);
        q = rig_ask(rig, TPM_SEAL, buffer_bytes(&b));
        if (q)
                return q;
        r = wire_reader(rig->body);
        rig_take_blob(&r, &ret->blob);
        tpm_pcrs_get(&r, &ret->pcrs);
        assert_int_equal(wire_done(&r), 0);
        return 0;
}

static int unseal_signed(Rig *rig, const Sealed *s, const uint8_t *with_pin, const TpmPolicySignature *signatures, size_t n)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(16384);
        TpmUnsealing u = {.blob = rig_blob(&s->blob), .pcrs = s->pcrs, .policy = s->policy, .has_pin = with_pin, .n_signatures = n};
        WireReader r;
        Bytes out;
        int q;

        for (size_t i = 0; i < n; i++)
                u.signatures[i] = signatures[i];
        if (with_pin)
                memcpy(u.pin, with_pin, sizeof(u.pin));
        assert_int_equal(tpm_unsealing_encode(&u, &b), 0);
        q = rig_ask(rig, TPM_UNSEAL, buffer_bytes(&b));
        if (q)
                return q;
        r = wire_reader(rig->body);
        out = wire_get_block(&r, 128);
        assert_int_equal(wire_done(&r), 0);
        assert_true(bytes_equal(out, BYTES_ARRAY(secret)));
        return 0;
}

static int unseal(Rig *rig, const Sealed *s, const uint8_t *with_pin)
{
        return unseal_signed(rig, s, with_pin, NULL, 0);
}

static void extend(Rig *rig, unsigned pcr)
{
        char command[128];

        snprintf(command, sizeof(command), "tpm2_pcrextend %u:sha256=%064d", pcr, 7);
        assert_true(rig_tool(rig, command));
}

static void test_a_secret_bound_to_nothing_comes_out(void **state)
{
        Sealed s;

        assert_int_equal(seal(*state, "", NULL, NULL, &s), 0);
        assert_int_equal(unseal(*state, &s, NULL), 0);
        rig_kill_swtpm(*state);
        rig_start_swtpm(*state);
        assert_int_equal(unseal(*state, &s, NULL), 0);
}

static void test_a_secret_bound_to_pcrs_comes_out_until_one_changes(void **state)
{
        Rig *rig = *state;
        Sealed s;

        assert_int_equal(seal(rig, "0+7+16+23", NULL, NULL, &s), 0);
        assert_int_equal(unseal(rig, &s, NULL), 0);
        extend(rig, 10);
        assert_int_equal(unseal(rig, &s, NULL), 0);
        extend(rig, 7);
        assert_int_equal(unseal(rig, &s, NULL), HF_E_PCR_CHANGED);
        assert_string_equal(rig->detail, "pcr sha256:7");
        extend(rig, 23);
        assert_int_equal(unseal(rig, &s, NULL), HF_E_PCR_CHANGED);
        assert_string_equal(rig->detail, "pcr sha256:7+23");
}

static void test_values_that_are_not_those_at_sealing_do_not_open(void **state)
{
        Sealed s;

        assert_int_equal(seal(*state, "16", NULL, NULL, &s), 0);
        s.pcrs.values[16][0] ^= 1;
        assert_int_equal(unseal(*state, &s, NULL), HF_E_KEY_MISMATCH);
        s.pcrs.values[16][0] ^= 1;
        s.pcrs.mask = 1u << 15;
        assert_int_equal(unseal(*state, &s, NULL), HF_E_KEY_MISMATCH);
}

static void test_pcr_values_are_those_that_other_tools_read(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(256);
        TpmPcrs p = {.bank = TPM_BANK_SHA256, .mask = 0xffffff}, back;
        uint8_t value[64] = {};
        WireReader r;

        extend(*state, 16);
        assert_int_equal(tpm_pcrs_put(&b, &p), 0);
        assert_int_equal(rig_ask(*state, TPM_PCR_READ, buffer_bytes(&b)), 0);
        r = wire_reader(((Rig *)*state)->body);
        tpm_pcrs_get(&r, &back);
        assert_int_equal(wire_done(&r), 0);
        assert_true(back.has_values && back.mask == p.mask);
        value[63] = 7;
        SHA256(value, 64, value);
        assert_memory_equal(back.values[16], value, 32);
        memset(value, 0xff, 32);
        assert_memory_equal(back.values[17], value, 32);
        memset(value, 0, 32);
        assert_memory_equal(back.values[0], value, 32);
}

static void test_a_pin_opens_and_a_wrong_one_says_what_is_left(void **state)
{
        Rig *rig = *state;
        TpmState t;
        Sealed s;

        assert_int_equal(seal(rig, "7", pin, NULL, &s), 0);
        assert_int_equal(unseal(rig, &s, pin), 0);
        assert_int_equal(unseal(rig, &s, other_pin), HF_E_UNLOCK_FAILED);
        assert_string_equal(rig->detail, "2 tries left, then locked for 1000 s");
        assert_int_equal(unseal(rig, &s, pin), 0);
        assert_int_equal(unseal(rig, &s, other_pin), HF_E_UNLOCK_FAILED);
        assert_int_equal(unseal(rig, &s, other_pin), HF_E_UNLOCK_FAILED);
        assert_string_equal(rig->detail, "0 tries left, then locked for 1000 s");
        assert_int_equal(unseal(rig, &s, pin), HF_E_TPM_LOCKOUT);
        assert_non_null(strstr(rig->detail, "1000 s"));
        rig_state(rig, true, &t);
        assert_true(t.locked_out);
        assert_int_equal(t.lockout_max, 3);
        assert_true(rig_tool(rig, "tpm2_dictionarylockout -c"));
        assert_int_equal(unseal(rig, &s, pin), 0);
}

static void test_keys_sign_while_the_tpm_is_locked(void **state)
{
        uint8_t out[1024], digest[32] = {};
        RigKey key;
        Sealed s;
        size_t n;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        assert_int_equal(seal(*state, "", pin, NULL, &s), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(unseal(*state, &s, other_pin), HF_E_UNLOCK_FAILED);
        assert_int_equal(unseal(*state, &s, pin), HF_E_TPM_LOCKOUT);
        assert_int_equal(rig_operate(*state, &key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
}

/* Nothing that can be known beforehand costs an attempt. */
static void test_changed_pcrs_and_a_missing_pin_cost_no_attempt(void **state)
{
        TpmState t;
        Sealed s;

        assert_int_equal(seal(*state, "16", pin, NULL, &s), 0);
        for (int i = 0; i < 4; i++)
                assert_int_equal(unseal(*state, &s, NULL), HF_E_KEY_MISMATCH);
        extend(*state, 16);
        for (int i = 0; i < 4; i++)
                assert_int_equal(unseal(*state, &s, other_pin), HF_E_PCR_CHANGED);
        rig_state(*state, true, &t);
        assert_int_equal(t.lockout_counter, 0);
}

static void test_a_flipped_bit_in_a_sealed_blob_is_refused(void **state)
{
        Sealed s, bad;

        assert_int_equal(seal(*state, "", NULL, NULL, &s), 0);
        for (size_t i = 0; i < s.blob.private_len; i += 5) {
                bad = s;
                bad.blob.private[i] ^= 4;
                assert_int_equal(unseal(*state, &bad, NULL), HF_E_KEY_MISMATCH);
        }
        for (size_t i = 0; i < s.blob.public_len; i += 3) {
                bad = s;
                bad.blob.public[i] ^= 4;
                assert_int_equal(unseal(*state, &bad, NULL), HF_E_KEY_MISMATCH);
        }
        assert_int_equal(unseal(*state, &s, NULL), 0);
}

/* As systemd-measure(1) does it: the digest of PolicyPCR over the values that will be, signed. */
static void approve(const TpmPcrs *p, EVP_PKEY *key, TpmPolicySignature *ret, uint8_t space[static 512])
{
        uint8_t text[32 + 4 + 10 + 32] = {[32] = 0, 0, 1, 0x7f, 0, 0, 0, 1, 0, 11, 3}, values[TPM_PCRS * 32], *at = values;
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        size_t len = 512;

        for (unsigned i = 0; i < TPM_PCRS; i++)
                if (p->mask & 1u << i) {
                        memcpy(at, p->values[i], 32);
                        at += 32;
                }
        text[43] = p->mask & 0xff;
        text[44] = p->mask >> 8 & 0xff;
        text[45] = p->mask >> 16 & 0xff;
        SHA256(values, (size_t)(at - values), text + 46);
        SHA256(text, sizeof(text), ret->digest);
        assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key), 1);
        assert_int_equal(EVP_DigestSign(c, space, &len, ret->digest, 32), 1);
        EVP_MD_CTX_free(c);
        ret->signature = BYTES(space, len);
}

static void public_of(EVP_PKEY *key, TpmPolicyKey *ret, uint8_t space[static 512])
{
        BIGNUM *n = NULL;

        assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
        *ret = (TpmPolicyKey){.algorithm = TPM_RSA2048, .number = BYTES(space, 256)};
        assert_int_equal(BN_bn2binpad(n, space, 256), 256);
        BN_free(n);
}

static void test_a_signed_policy_survives_an_announced_change_and_no_other(void **state)
{
        Rig *rig = *state;
        EVP_PKEY *vendor = EVP_RSA_gen(2048), *stranger = EVP_RSA_gen(2048);
        uint8_t number[512], space[3][512];
        TpmPolicySignature signatures[3];
        TpmPolicyKey policy;
        TpmPcrs next = {};
        Sealed s;

        public_of(vendor, &policy, number);
        assert_int_equal(seal(rig, "11", NULL, &policy, &s), 0);
        assert_int_equal(unseal(rig, &s, NULL), HF_E_PCR_CHANGED);
        assert_non_null(strstr(rig->detail, "no signature"));

        approve(&s.pcrs, vendor, &signatures[0], space[0]);
        assert_int_equal(unseal_signed(rig, &s, NULL, signatures, 1), 0);
        extend(rig, 11);
        assert_int_equal(unseal_signed(rig, &s, NULL, signatures, 1), HF_E_PCR_CHANGED);
        assert_non_null(strstr(rig->detail, "pcr sha256:11"));

        next = s.pcrs;
        memset(space[1], 0, 64);
        space[1][63] = 7;
        SHA256(space[1], 64, next.values[11]);
        approve(&next, stranger, &signatures[1], space[1]);
        assert_int_equal(unseal_signed(rig, &s, NULL, signatures, 2), HF_E_PCR_CHANGED);
        approve(&next, vendor, &signatures[2], space[2]);
        assert_int_equal(unseal_signed(rig, &s, NULL, signatures, 3), 0);
        EVP_PKEY_free(vendor);
        EVP_PKEY_free(stranger);
}

static void test_a_signed_policy_may_want_a_pin_too(void **state)
{
        EVP_PKEY *vendor = EVP_RSA_gen(2048);
        uint8_t number[512], space[512];
        TpmPolicySignature signature;
        TpmPolicyKey policy;
        Sealed s;

        public_of(vendor, &policy, number);
        assert_int_equal(seal(*state, "11", pin, &policy, &s), 0);
        approve(&s.pcrs, vendor, &signature, space);
        assert_int_equal(unseal_signed(*state, &s, pin, &signature, 1), 0);
        assert_int_equal(unseal_signed(*state, &s, other_pin, &signature, 1), HF_E_UNLOCK_FAILED);
        assert_int_equal(unseal_signed(*state, &s, NULL, &signature, 1), HF_E_KEY_MISMATCH);
        EVP_PKEY_free(vendor);
}

static void test_another_tpm_is_called_another_one(void **state)
{
        Sealed s;

        assert_int_equal(seal(*state, "7", NULL, NULL, &s), 0);
        rig_replace_tpm(*state);
        assert_int_equal(unseal(*state, &s, NULL), HF_E_TPM_IDENTITY_CHANGED);
        assert_int_equal(seal(*state, "7", NULL, NULL, &s), 0);
        assert_true(rig_tool(*state, "tpm2_clear -c p"));
        assert_int_equal(unseal(*state, &s, NULL), HF_E_TPM_IDENTITY_CHANGED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_begin, rig_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_a_secret_bound_to_nothing_comes_out),
                        TEST(test_a_secret_bound_to_pcrs_comes_out_until_one_changes),
                        TEST(test_values_that_are_not_those_at_sealing_do_not_open),
                        TEST(test_pcr_values_are_those_that_other_tools_read),
                        TEST(test_a_pin_opens_and_a_wrong_one_says_what_is_left),
                        TEST(test_keys_sign_while_the_tpm_is_locked),
                        TEST(test_changed_pcrs_and_a_missing_pin_cost_no_attempt),
                        TEST(test_a_flipped_bit_in_a_sealed_blob_is_refused),
                        TEST(test_a_signed_policy_survives_an_announced_change_and_no_other),
                        TEST(test_a_signed_policy_may_want_a_pin_too),
                        TEST(test_another_tpm_is_called_another_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
