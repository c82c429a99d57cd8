/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Messages to holdfast-tpm come back as they went, and what is out of bounds does not come in. */
#include "link/tpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"

static const uint8_t bytes[TPM_PART_MAX + 1] = {1, 2, 3};

static TpmBlob some_blob(void)
{
        return (TpmBlob){.parent = {0, 11}, .public = BYTES(bytes, 90), .private = BYTES(bytes, 126)};
}

static void test_an_operation_comes_back(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmOperation o = {.blob = some_blob(), .auth = {9}, .op = TPM_OP_ECDSA, .data = BYTES(bytes, 32)}, back;

        (void)state;
        assert_int_equal(tpm_operation_encode(&o, &b), 0);
        assert_int_equal(tpm_operation_decode(buffer_bytes(&b), &back), 0);
        assert_memory_equal(back.blob.parent, o.blob.parent, TPM_NAME_SIZE);
        assert_true(bytes_equal(back.blob.private, o.blob.private));
        assert_memory_equal(back.auth, o.auth, TPM_AUTH_SIZE);
        assert_int_equal(back.op, TPM_OP_ECDSA);
        assert_true(bytes_equal(back.data, o.data));
}

static void test_every_shortened_unsealing_is_refused(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmUnsealing u = {
                        .blob = some_blob(),
                        .pcrs = {.bank = TPM_BANK_SHA256, .mask = 1u << 7, .has_values = true},
                        .policy = {.algorithm = TPM_P256, .number = BYTES(bytes, 64)},
                        .n_signatures = 1,
                        .signatures = {{.signature = BYTES(bytes, 64)}},
                        .has_pin = true,
        }, back;

        (void)state;
        assert_int_equal(tpm_unsealing_encode(&u, &b), 0);
        assert_int_equal(tpm_unsealing_decode(buffer_bytes(&b), &back), 0);
        assert_int_equal(back.n_signatures, 1);
        for (size_t len = 0; len < b.len; len++)
                assert_int_equal(tpm_unsealing_decode(BYTES(b.data, len), &back), HF_E_INVALID_ARGS);
}

static void test_a_policy_key_has_the_size_of_its_algorithm(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmSealing s = {.secret = BYTES(bytes, 32), .pcrs = {.bank = TPM_BANK_SHA256, .mask = 1},
                        .policy = {.algorithm = TPM_RSA2048, .number = BYTES(bytes, 255)}}, back;

        (void)state;
        assert_int_equal(tpm_sealing_encode(&s, &b), 0);
        assert_int_equal(tpm_sealing_decode(buffer_bytes(&b), &back), HF_E_INVALID_ARGS);
        buffer_clear(&b);
        s.policy.number = BYTES(bytes, 256);
        assert_int_equal(tpm_sealing_encode(&s, &b), 0);
        assert_int_equal(tpm_sealing_decode(buffer_bytes(&b), &back), 0);
}

static void test_a_policy_without_pcrs_is_refused(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmSealing s = {.secret = BYTES(bytes, 32), .policy = {.algorithm = TPM_P256, .number = BYTES(bytes, 64)}}, back;

        (void)state;
        assert_int_equal(tpm_sealing_encode(&s, &b), 0);
        assert_int_equal(tpm_sealing_decode(buffer_bytes(&b), &back), HF_E_INVALID_ARGS);
}

static void test_pcrs_are_read_as_they_are_written(void **state)
{
        static const char *const texts[] = {"sha256:7", "sha256:0+7+23", "sha384:11", ""};
        char back[TPM_PCRS_TEXT_SIZE];
        TpmPcrs p;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                assert_int_equal(tpm_pcrs_parse(texts[i], &p), 0);
                tpm_pcrs_format(&p, back);
                assert_string_equal(back, texts[i]);
        }
        assert_int_equal(tpm_pcrs_parse("7+11", &p), 0);
        assert_int_equal(p.mask, 1u << 7 | 1u << 11);
        p = (TpmPcrs){.bank = TPM_BANK_SHA384, .mask = (1u << TPM_PCRS) - 1};
        tpm_pcrs_format(&p, back);
        assert_int_equal(tpm_pcrs_parse(back, &p), 0);
        assert_int_equal(p.mask, (1u << TPM_PCRS) - 1);
}

static void test_pcrs_in_another_form_are_refused(void **state)
{
        static const char *const wrong[] = {"24", "7+", "+7", "7+7", "07", "sha1:7", "7,11", "-1", "7 ", "99999999999", "x"};
        TpmPcrs p;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(tpm_pcrs_parse(wrong[i], &p), HF_E_INVALID_ARGS);
}

static void test_a_state_comes_back(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmState s = {.presence = TPM_PRESENCE_READY, .parent = {0, 11, 7}, .manufacturer = "IBM", .vendor = "SW TPM",
                        .firmware = 1, .algorithms = 2, .lockout_max = 3, .answered = 5}, back;
        WireReader r;

        (void)state;
        assert_int_equal(tpm_state_put(&b, &s), 0);
        r = wire_reader(buffer_bytes(&b));
        tpm_state_get(&r, &back);
        assert_int_equal(wire_done(&r), 0);
        assert_memory_equal(&back, &s, sizeof(s));
}

static void test_an_unknown_presence_is_refused(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmState s = {.presence = _TPM_PRESENCE_MAX}, back;
        WireReader r;

        (void)state;
        assert_int_equal(tpm_state_put(&b, &s), 0);
        r = wire_reader(buffer_bytes(&b));
        tpm_state_get(&r, &back);
        assert_int_equal(wire_done(&r), HF_E_INVALID_ARGS);
}

static void test_a_certificate_comes_back(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(16384);
        TpmCertificate c = {.attest = BYTES(bytes, 100), .signature = BYTES(bytes, 64), .ak_public = BYTES(bytes, 88),
                        .key_public = BYTES(bytes, 86), .ek_public = BYTES(bytes, 300)}, back;

        (void)state;
        assert_int_equal(tpm_certificate_encode(&c, &b), 0);
        assert_int_equal(tpm_certificate_decode(buffer_bytes(&b), &back), 0);
        assert_true(bytes_equal(back.ek_public, c.ek_public));
        assert_int_equal(back.ek_certificate.len, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_an_operation_comes_back),
                        cmocka_unit_test(test_every_shortened_unsealing_is_refused),
                        cmocka_unit_test(test_a_policy_key_has_the_size_of_its_algorithm),
                        cmocka_unit_test(test_a_policy_without_pcrs_is_refused),
                        cmocka_unit_test(test_pcrs_are_read_as_they_are_written),
                        cmocka_unit_test(test_pcrs_in_another_form_are_refused),
                        cmocka_unit_test(test_a_state_comes_back),
                        cmocka_unit_test(test_an_unknown_presence_is_refused),
                        cmocka_unit_test(test_a_certificate_comes_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
