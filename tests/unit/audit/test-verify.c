/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verifier by itself: what it says of sound logs, of each kind of mutilation, of every flipped bit. */
#include "support.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/record.h"
#include "audit/verify.h"
#include "base/error.h"

#define SMALL AUDIT_SEGMENT_SIZE_MIN

typedef struct Fixture {
        Sandbox sandbox;
        Buffer text; /* 0 start, 1-5 use, 6 checkpoint, 7-9 use, 10 checkpoint, 11 use */
        AuditVkey key;
} Fixture;

static AuditReport verify_with(Bytes text, const AuditVerifyOptions *options, size_t step)
{
        AuditVerifier *v = NULL;
        AuditReport report;

        assert_int_equal(audit_verifier_new(options, &v), 0);
        for (size_t at = 0; at < text.len; at += step)
                audit_verifier_feed(v, text.data + at, text.len - at < step ? text.len - at : step);
        audit_verifier_finish(v, &report);
        audit_verifier_free(v);
        return report;
}

static AuditReport verify(const Fixture *f, Bytes text)
{
        return verify_with(text, &(AuditVerifyOptions){.key = &f->key}, SIZE_MAX / 2);
}

static Bytes line_at(const Fixture *f, unsigned n)
{
        const uint8_t *p = f->text.data, *end;

        while (n-- > 0)
                p = (const uint8_t *)memchr(p, '\n', f->text.data + f->text.len - p) + 1;
        end = (const uint8_t *)memchr(p, '\n', f->text.data + f->text.len - p) + 1;
        return BYTES(p, end - p);
}

/* The lines named by numbers, -1 at the end. */
static void compose(const Fixture *f, const int *lines, Buffer *ret)
{
        buffer_clear(ret);
        for (; *lines >= 0; lines++) {
                Bytes line = line_at(f, (unsigned)*lines);

                assert_int_equal(buffer_append(ret, line.data, line.len), 0);
        }
}

static void test_sound_log_is_complete_up_to_its_checkpoint(void **state)
{
        const Fixture *f = *state;
        AuditReport r = verify(f, buffer_bytes(&f->text));

        assert_int_equal(r.verdict, AUDIT_GOOD);
        assert_true(r.signer_known);
        assert_int_equal(r.records, 12);
        assert_int_equal(r.uses, 9);
        assert_int_equal(r.checkpoints, 2);
        assert_int_equal(r.sealed, 10);
        assert_int_equal(r.unsealed, 1);
        assert_string_equal(r.log_id, LOG_ID);
        assert_int_equal(strlen(r.sealed_time), CLOCK_TEXT_SIZE - 1);
}

static void test_pieces_of_any_size_give_the_same_report(void **state)
{
        const Fixture *f = *state;
        AuditVerifyOptions options = {.key = &f->key};
        AuditReport whole = verify(f, buffer_bytes(&f->text));

        for (size_t step = 1; step < 700; step += step < 10 ? 1 : 37) {
                AuditReport r = verify_with(buffer_bytes(&f->text), &options, step);

                assert_memory_equal(&r, &whole, sizeof(r));
        }
}

static void test_without_a_key_the_signer_is_unknown(void **state)
{
        const Fixture *f = *state;
        AuditReport r = verify_with(buffer_bytes(&f->text), &(AuditVerifyOptions){}, 4096);
        AuditVkey bare = f->key;

        assert_int_equal(r.verdict, AUDIT_GOOD);
        assert_false(r.signer_known);
        assert_int_equal(r.sealed, 10);
        bare.name[0] = '\0'; /* a key without its name takes it from the log */
        r = verify_with(buffer_bytes(&f->text), &(AuditVerifyOptions){.key = &bare}, 4096);
        assert_int_equal(r.verdict, AUDIT_GOOD);
        assert_string_equal(r.key.name, ORIGIN);
}

static void test_another_checkpoint_key_makes_the_log_foreign(void **state)
{
        const Fixture *f = *state;
        AuditVkey key = checkpoint_vkey(2, ORIGIN),
                  other = checkpoint_vkey(1, AUDIT_ORIGIN_PREFIX OTHER_LOG_ID);
        AuditReport r = verify_with(buffer_bytes(&f->text), &(AuditVerifyOptions){.key = &key}, 4096);

        assert_int_equal(r.verdict, AUDIT_FOREIGN);
        assert_int_equal(r.bad_seq, 6);
        r = verify_with(buffer_bytes(&f->text), &(AuditVerifyOptions){.key = &other}, 4096);
        assert_int_equal(r.verdict, AUDIT_FOREIGN);
        assert_int_equal(r.bad_seq, 0);
}

static void test_moved_records_are_named(void **state)
{
        static const struct {
                int lines[20];
                AuditVerdict verdict;
                uint64_t seq;
        } cases[] = {
                        {{0, 1, 2, 4, 5, 6, -1}, AUDIT_MISSING, 3},
                        {{0, 1, 6, 7, 8, -1}, AUDIT_MISSING, 2},
                        {{1, 2, 3, -1}, AUDIT_MISSING, 0},
                        {{0, 1, 3, 2, 4, 5, 6, -1}, AUDIT_REORDERED, 2},
                        {{0, 1, 5, 3, 4, 2, 6, -1}, AUDIT_REORDERED, 2},
                        {{0, 1, 2, 2, 3, -1}, AUDIT_REORDERED, 2},
                        {{0, 1, 2, 3, 0, 1, 2, -1}, AUDIT_REORDERED, 0},
                        {{0, 1, 2, 3, -1}, AUDIT_GOOD, 0},
        };
        const Fixture *f = *state;
        Buffer text = BUFFER_INIT(1 << 20);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                AuditReport r;

                compose(f, cases[i].lines, &text);
                r = verify(f, buffer_bytes(&text));
                assert_int_equal(r.verdict, cases[i].verdict);
                assert_int_equal(r.bad_seq, cases[i].seq);
        }
        buffer_deinit(&text);
}

static void test_every_flipped_bit_names_its_record(void **state)
{
        const Fixture *f = *state;
        _cleanup_free_ uint8_t *copy = malloc(f->text.len);
        unsigned record = 0, unnoticed = 0;

        memcpy(copy, f->text.data, f->text.len);
        for (size_t bit = 0; bit < 8 * f->text.len; bit++) {
                AuditReport r;

                copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
                r = verify(f, BYTES(copy, f->text.len));
                copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
                if (record == 11 && r.verdict == AUDIT_GOOD) {
                        assert_int_equal(r.unsealed, 1); /* the last line, and said to be unsealed */
                        unnoticed++;
                } else {
                        assert_int_not_equal(r.verdict, AUDIT_GOOD);
                        /* the link of the last line and the whole line before it cannot be told apart */
                        assert_true(r.bad_seq == record || (record == 11 && r.bad_seq == 10));
                        if (bit / 8 == f->text.len - 1)
                                assert_int_equal(r.verdict, AUDIT_TRUNCATED);
                        else if (bit / 8 < 83) /* the prefix of the first line makes a log of it */
                                assert_true(r.verdict == AUDIT_NOT_A_LOG || r.verdict == AUDIT_CHANGED);
                        else
                                assert_int_equal(r.verdict, AUDIT_CHANGED);
                }
                if (bit % 8 == 7 && copy[bit / 8] == '\n')
                        record++;
        }
        assert_int_equal(record, 12);
        assert_true(unnoticed > 0);
}

static void test_log_cut_at_every_byte_is_truncated_or_says_how_far_it_is_sealed(void **state)
{
        const Fixture *f = *state;
        uint64_t records = 0;

        for (size_t len = 0; len < f->text.len; len++) {
                AuditReport r = verify(f, BYTES(f->text.data, len));

                if (len < 7)
                        assert_int_equal(r.verdict, AUDIT_NOT_A_LOG);
                else if (f->text.data[len - 1] == '\n') {
                        records++;
                        assert_int_equal(r.verdict, AUDIT_GOOD);
                        assert_int_equal(r.records, records);
                        assert_int_equal(r.sealed, records > 10 ? 10 : records > 6 ? 6 : 0);
                } else {
                        assert_int_equal(r.verdict, AUDIT_TRUNCATED);
                        assert_int_equal(r.bad_seq, records);
                        assert_int_equal(r.bad_line, records + 1);
                }
        }
}

static void test_expected_note_must_be_reached(void **state)
{
        const Fixture *f = *state;
        char note[AUDIT_NOTE_MAX + 1];
        AuditVerifyOptions options = {.key = &f->key, .expect = note};
        Bytes line = line_at(f, 10);
        AuditRecord record;
        AuditReport r;
        NoteParams params = {.key = 1, .size = 12, .counter = -1};

        assert_int_equal(audit_record_parse(BYTES(line.data, line.len - 1), &record), 0);
        assert_int_equal(audit_record_string(&record, "note", note, sizeof(note)), 0);
        r = verify_with(buffer_bytes(&f->text), &options, 4096);
        assert_int_equal(r.verdict, AUDIT_GOOD);
        r = verify_with(BYTES(f->text.data, line_at(f, 9).data - f->text.data), &options, 4096);
        assert_int_equal(r.verdict, AUDIT_TRUNCATED);
        assert_int_equal(r.bad_seq, 9);
        make_note(&params, note); /* a split view: the same size, another head */
        r = verify_with(buffer_bytes(&f->text), &options, 4096);
        assert_int_equal(r.verdict, AUDIT_CHANGED);
        assert_int_equal(r.bad_seq, 10);
        assert_int_equal(r.bad_last, 11);
        params.key = 3;
        params.size = 4;
        make_note(&params, note);
        options.expect = "nothing";
        assert_int_equal(audit_verifier_new(&options, &(AuditVerifier *){NULL}), HF_E_INVALID_ARGS);
}

static void test_hidden_uses_are_noticed(void **state)
{
        const Fixture *f = *state;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1 << 20);
        Sandbox s;
        AuditLog *log;
        AuditReport r;

        sandbox_init(&s);
        log = create_log(&s, SMALL);
        append_use(log, 1);
        append_use(log, 2);
        append_checkpoint(log, 1, 1); /* the second is still in work */
        append_use(log, 3);
        append_checkpoint(log, 3, 1);
        append_use(log, 4);
        append_checkpoint(log, 1, 2); /* another life */
        append_use(log, 5);
        append_checkpoint(log, 3, 2); /* three operations, two lines */
        audit_log_free(log);
        export_log(&s, &text);
        r = verify(f, buffer_bytes(&text));
        assert_int_equal(r.verdict, AUDIT_USES_HIDDEN);
        assert_int_equal(r.bad_seq, 7);
        assert_int_equal(r.bad_last, 8);
        sandbox_deinit(&s);
}

static void test_a_counter_that_falls_within_an_epoch_is_noticed(void **state)
{
        static const struct {
                int64_t counter;
                uint64_t epoch;
                AuditVerdict verdict;
                uint64_t anchored; /* notes until the last that the counter rose with */
        } notes[] = {{-1, 0, AUDIT_GOOD, 0}, {7, 0, AUDIT_GOOD, 2}, {8, 0, AUDIT_GOOD, 3}, {8, 0, AUDIT_GOOD, 3},
                        {-1, 0, AUDIT_GOOD, 3}, {2, 1, AUDIT_GOOD, 6}, {1, 1, AUDIT_CHANGED, 6}};
        const Fixture *f = *state;
        char note[AUDIT_NOTE_MAX + 1];
        uint64_t sizes[ELEMENTSOF(notes) + 1] = {0};
        AuditPosition position;
        AuditReport r;
        AuditLog *log;
        Sandbox s;

        sandbox_init(&s);
        log = create_log(&s, SMALL);
        for (size_t i = 0; i < ELEMENTSOF(notes); i++) {
                _cleanup_buffer_ Buffer text = BUFFER_INIT(1 << 20);
                NoteParams params = {.key = 1, .counter = notes[i].counter, .epoch = notes[i].epoch};

                append_use(log, 1);
                assert_int_equal(audit_log_sync(log), 0);
                audit_log_position(log, &position);
                params.size = sizes[i + 1] = position.size;
                memcpy(params.head, position.head, 32);
                make_note(&params, note);
                assert_int_equal(audit_log_append_checkpoint(log, note, NULL), 0);
                assert_int_equal(audit_log_sync(log), 0);
                export_log(&s, &text);
                r = verify(f, buffer_bytes(&text));
                assert_int_equal(r.verdict, notes[i].verdict);
                assert_int_equal(r.anchored, sizes[notes[i].anchored]);
        }
        audit_log_free(log);
        sandbox_deinit(&s);
}

static void test_rekey_is_followed(void **state)
{
        const Fixture *f = *state;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1 << 20);
        NoteParams params = {.key = 1, .next = 2, .counter = -1};
        char note[AUDIT_NOTE_MAX + 1];
        AuditPosition position;
        AuditReport r;
        AuditLog *log;
        Sandbox s;

        sandbox_init(&s);
        log = create_log(&s, SMALL);
        append_use(log, 1);
        assert_int_equal(audit_log_sync(log), 0);
        audit_log_position(log, &position);
        params.size = position.size;
        memcpy(params.head, position.head, 32);
        make_note(&params, note);
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), 0);
        for (unsigned key = 2; key > 0; key--) {
                append_use(log, 2);
                assert_int_equal(audit_log_sync(log), 0);
                audit_log_position(log, &position);
                params = (NoteParams){.key = key, .counter = -1, .size = position.size};
                memcpy(params.head, position.head, 32);
                make_note(&params, note);
                assert_int_equal(audit_log_append_checkpoint(log, note, NULL), 0);
                assert_int_equal(audit_log_sync(log), 0);
                export_log(&s, &text);
                r = verify(f, buffer_bytes(&text));
                /* by the new key it goes on, by the old one no longer */
                assert_int_equal(r.verdict, key == 2 ? AUDIT_GOOD : AUDIT_FOREIGN);
        }
        assert_memory_equal(r.key.key, checkpoint_vkey(2, ORIGIN).key, 32);
        audit_log_free(log);
        sandbox_deinit(&s);
}

static void test_log_may_begin_at_a_later_segment(void **state)
{
        const Fixture *f = *state;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1 << 20);
        AuditPrune prune = {.before = UINT64_MAX};
        AuditReport r;
        AuditLog *log;
        uint64_t first;
        Sandbox s;

        sandbox_init(&s);
        log = create_log(&s, SMALL);
        for (unsigned n = 0; n < 100; n++)
                append_use(log, n);
        append_checkpoint(log, 100, 1);
        assert_int_equal(audit_log_prune(log, &prune, &first), 0);
        append_use(log, 1);
        append_checkpoint(log, 101, 1);
        audit_log_free(log);
        export_log(&s, &text);
        r = verify(f, buffer_bytes(&text));
        assert_int_equal(r.verdict, AUDIT_GOOD);
        assert_int_equal(r.first_seq, first);
        assert_true(first > 0);
        sandbox_deinit(&s);
}

static void test_log_key_finds_a_line_that_was_chained_anew(void **state)
{
        const Fixture *f = *state;
        AuditVerifyOptions options = {.key = &f->key, .log_key = log_key};
        AuditReport r = verify_with(buffer_bytes(&f->text), &options, 4096);

        assert_int_equal(r.verdict, AUDIT_GOOD);
        options.log_key = (const uint8_t *)"another log key of thirty-two by";
        r = verify_with(buffer_bytes(&f->text), &options, 4096);
        assert_int_equal(r.verdict, AUDIT_CHANGED);
        assert_int_equal(r.bad_seq, 0);
}

static void test_anything_else_is_not_a_log(void **state)
{
        static const char *const texts[] = {
                        "", "\n", "hello\n", "{\"seq\":1}\n", "{}\n", "{\"seq\":0,\"prev\":\"\"}\n"};
        const Fixture *f = *state;
        char *line = malloc(1 << 20);
        AuditReport r;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_int_equal(verify(f, bytes_str(texts[i])).verdict, AUDIT_NOT_A_LOG);
        memset(line, 'x', 1 << 20);
        r = verify(f, BYTES(line, 1 << 20));
        assert_int_equal(r.verdict, AUDIT_NOT_A_LOG);
        free(line);
}

static void test_memory_does_not_grow_with_the_log(void **state)
{
        const Fixture *f = *state;
        AuditVerifyOptions options = {.key = &f->key};
        AuditVerifier *v = NULL;
        AuditReport r;
        size_t before = mallinfo2().uordblks, most = 0;

        assert_int_equal(audit_verifier_new(&options, &v), 0);
        audit_verifier_feed(v, f->text.data, f->text.len);
        most = mallinfo2().uordblks;
        for (int i = 0; i < 2000; i++)
                audit_verifier_feed(v, line_at(f, 11).data, line_at(f, 11).len);
        assert_true(mallinfo2().uordblks <= most + 1024);
        assert_true(most - before < 96 << 10);
        audit_verifier_finish(v, &r);
        assert_int_equal(r.verdict, AUDIT_REORDERED);
        audit_verifier_free(v);
}

static int setup(void **state)
{
        Fixture *f = calloc(1, sizeof(*f));
        AuditLog *log;

        sandbox_init(&f->sandbox);
        f->text = BUFFER_INIT(1 << 20);
        f->key = checkpoint_vkey(1, ORIGIN);
        log = create_log(&f->sandbox, SMALL);
        for (unsigned n = 0; n < 5; n++)
                append_use(log, n);
        append_checkpoint(log, 5, 1);
        for (unsigned n = 5; n < 8; n++)
                append_use(log, n);
        append_checkpoint(log, 8, 1);
        append_use(log, 8);
        audit_log_free(log);
        export_log(&f->sandbox, &f->text);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        sandbox_deinit(&f->sandbox);
        buffer_deinit(&f->text);
        free(f);
        return 0;
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_sound_log_is_complete_up_to_its_checkpoint),
                        TEST(test_pieces_of_any_size_give_the_same_report),
                        TEST(test_without_a_key_the_signer_is_unknown),
                        TEST(test_another_checkpoint_key_makes_the_log_foreign),
                        TEST(test_moved_records_are_named),
                        TEST(test_every_flipped_bit_names_its_record),
                        TEST(test_log_cut_at_every_byte_is_truncated_or_says_how_far_it_is_sealed),
                        TEST(test_expected_note_must_be_reached),
                        TEST(test_hidden_uses_are_noticed),
                        TEST(test_rekey_is_followed),
                        TEST(test_a_counter_that_falls_within_an_epoch_is_noticed),
                        TEST(test_log_may_begin_at_a_later_segment),
                        TEST(test_log_key_finds_a_line_that_was_chained_anew),
                        TEST(test_anything_else_is_not_a_log),
                        TEST(test_memory_does_not_grow_with_the_log),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
