/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checkpoint notes and keys as text. The notes are signed by libsodium itself, as the signer does. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "audit/note.h"
#include "base/error.h"

static const NoteParams usual = {.key = 1,
                .size = 1024,
                .head = {1, 2, 3},
                .state = {4, 5},
                .counter = 17,
                .epoch = 2,
                .life = 9,
                .ops = 12345};

static void test_note_reads_back_and_verifies(void **state)
{
        AuditVkey key = checkpoint_vkey(1, ORIGIN);
        char text[AUDIT_NOTE_MAX + 1];
        NoteParams params = usual;
        AuditNote n;

        (void)state;
        params.next = 2;
        make_note(&params, text);
        assert_int_equal(audit_note_parse(text, strlen(text), &n), 0);
        assert_string_equal(n.origin, ORIGIN);
        assert_int_equal(n.size, 1024);
        assert_memory_equal(n.head, params.head, 32);
        assert_memory_equal(n.state, params.state, 32);
        assert_int_equal(n.counter, 17);
        assert_int_equal(n.epoch, 2);
        assert_int_equal(n.life[15], 9);
        assert_int_equal(n.ops, 12345);
        assert_true(n.has_next);
        assert_int_equal(audit_note_verify(text, strlen(text), &n, &key), 0);
}

static void test_note_of_another_key_is_refused(void **state)
{
        AuditVkey key = checkpoint_vkey(2, ORIGIN),
                  renamed = checkpoint_vkey(1, AUDIT_ORIGIN_PREFIX OTHER_LOG_ID);
        char text[AUDIT_NOTE_MAX + 1];
        AuditNote n;

        (void)state;
        make_note(&usual, text);
        assert_int_equal(audit_note_parse(text, strlen(text), &n), 0);
        assert_int_equal(audit_note_verify(text, strlen(text), &n, &key), HF_E_KEY_MISMATCH);
        assert_int_equal(audit_note_verify(text, strlen(text), &n, &renamed), HF_E_KEY_MISMATCH);
}

static void test_every_flipped_bit_of_a_note_is_noticed(void **state)
{
        AuditVkey key = checkpoint_vkey(1, ORIGIN);
        char text[AUDIT_NOTE_MAX + 1];
        size_t len;
        AuditNote n;

        (void)state;
        make_note(&usual, text);
        len = strlen(text);
        for (size_t bit = 0; bit < 8 * len; bit++) {
                text[bit / 8] ^= (char)(1 << bit % 8);
                if (audit_note_parse(text, len, &n) == 0)
                        assert_int_equal(audit_note_verify(text, len, &n, &key), HF_E_KEY_MISMATCH);
                text[bit / 8] ^= (char)(1 << bit % 8);
        }
}

static void test_note_cut_anywhere_is_refused(void **state)
{
        char text[AUDIT_NOTE_MAX + 1];
        AuditNote n;

        (void)state;
        make_note(&usual, text);
        for (size_t len = 0; len < strlen(text); len++)
                assert_int_equal(audit_note_parse(text, len, &n), HF_E_INVALID_ARGS);
}

static void test_signature_of_a_witness_may_stand_beside(void **state)
{
        AuditVkey key = checkpoint_vkey(1, ORIGIN);
        char text[AUDIT_NOTE_MAX + 1];
        AuditNote n;

        (void)state;
        make_note(&usual, text);
        strcat(text, "\xe2\x80\x94 witness.example/w1 AAAA\n");
        assert_int_equal(audit_note_parse(text, strlen(text), &n), 0);
        assert_int_equal(audit_note_verify(text, strlen(text), &n, &key), 0);
}

static void test_key_text_reads_back(void **state)
{
        AuditVkey key = checkpoint_vkey(1, ORIGIN), back;
        char text[AUDIT_VKEY_MAX];

        (void)state;
        audit_vkey_format(&key, text);
        assert_int_equal(strncmp(text, ORIGIN "+", strlen(ORIGIN) + 1), 0);
        assert_int_equal(audit_vkey_parse(text, strlen(text), &back), 0);
        assert_memory_equal(&back, &key, sizeof(key));
        for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
                text[bit / 8] ^= (char)(1 << bit % 8);
                assert_int_equal(audit_vkey_parse(text, strlen(text), &back), HF_E_INVALID_ARGS);
                text[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t len = 0; len < strlen(text); len++)
                assert_int_equal(audit_vkey_parse(text, len, &back), HF_E_INVALID_ARGS);
}

static void test_fingerprint_is_sha256_of_the_raw_key(void **state)
{
        static const uint8_t zeros[32];
        char text[AUDIT_FINGERPRINT_SIZE];

        (void)state;
        audit_key_fingerprint(zeros, text);
        assert_string_equal(text, "SHA256:Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU=");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_note_reads_back_and_verifies),
                        cmocka_unit_test(test_note_of_another_key_is_refused),
                        cmocka_unit_test(test_every_flipped_bit_of_a_note_is_noticed),
                        cmocka_unit_test(test_note_cut_anywhere_is_refused),
                        cmocka_unit_test(test_signature_of_a_witness_may_stand_beside),
                        cmocka_unit_test(test_key_text_reads_back),
                        cmocka_unit_test(test_fingerprint_is_sha256_of_the_raw_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
