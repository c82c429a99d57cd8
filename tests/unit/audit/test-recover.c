/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Recovery: where the log ends after any kind of stop, tear against damage, and what the store should look
 * like. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/record.h"
#include "audit/segment.h"
#include "base/error.h"
#include "base/io.h"

#define SMALL AUDIT_SEGMENT_SIZE_MIN

typedef struct Pair {
        Sandbox log, work;
} Pair;

static int try_recover(const Sandbox *s, bool repair, AuditRecovery *ret)
{
        return audit_recover(s->dir_fd, LOG_ID, log_key, repair, ret);
}

static void poke(const Sandbox *s, unsigned segment, uint64_t at, const void *data, size_t len)
{
        int fd;

        assert_int_equal(segment_open(s->dir_fd, segment, true, &fd, NULL), 0);
        assert_int_equal(io_pwrite_full(fd, data, len, (off_t)at), 0);
        close(fd);
}

static uint8_t peek(const Sandbox *s, unsigned segment, uint64_t at)
{
        uint8_t byte;
        size_t n;
        int fd;

        assert_int_equal(segment_open(s->dir_fd, segment, false, &fd, NULL), 0);
        assert_int_equal(io_pread_full(fd, &byte, 1, (off_t)at, &n), 0);
        close(fd);
        return n ? byte : 0;
}

static void shorten(const Sandbox *s, unsigned segment, uint64_t size)
{
        int fd;

        assert_int_equal(segment_open(s->dir_fd, segment, true, &fd, NULL), 0);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        close(fd);
}

/* Offsets of the line ends of one segment. */
static size_t line_ends(const Sandbox *s, unsigned segment, uint64_t *ret, size_t max)
{
        SegmentCursor c;
        size_t n = 0;
        Bytes line;
        int fd;

        assert_int_equal(segment_cursor_init(&c), 0);
        assert_int_equal(segment_open(s->dir_fd, segment, false, &fd, NULL), 0);
        segment_cursor_seek(&c, fd, 0);
        while (segment_cursor_next(&c, &line) == 0) {
                assert_true(n < max);
                ret[n++] = c.offset;
        }
        close(fd);
        segment_cursor_deinit(&c);
        return n;
}

static bool exists(const Sandbox *s, const char *name)
{
        return faccessat(s->dir_fd, name, F_OK, 0) == 0;
}

static void test_nothing_there_is_uninitialised(void **state)
{
        Pair *p = *state;
        AuditRecovery r;

        assert_int_equal(try_recover(&p->log, true, &r), HF_E_STORE_UNINITIALISED);
        assert_int_equal(segment_make(p->log.dir_fd, 1, SMALL), 0);
        assert_int_equal(try_recover(&p->log, true, &r), HF_E_STORE_UNINITIALISED);
        poke(&p->log, 1, 0, "{\"seq\":0,\"prev", 14); /* a creation cut short */
        assert_int_equal(try_recover(&p->log, true, &r), HF_E_STORE_UNINITIALISED);
        audit_log_free(create_log(&p->log, SMALL));
}

static void test_clean_end_is_found_from_the_last_checkpoint(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        AuditRecovery r;
        uint64_t seq;

        for (unsigned n = 0; n < 100; n++)
                append_use(log, n);
        seq = append_checkpoint(log, 100, 3);
        append_use(log, 7);
        append_use(log, 8);
        audit_log_free(log);
        assert_int_equal(try_recover(&p->log, true, &r), 0);
        assert_int_equal(r.size, seq + 3);
        assert_int_equal(r.checkpoint_seq, seq);
        assert_int_equal(r.checkpoint.ops, 100);
        assert_int_equal(r.checkpoint.life[0], 3);
        assert_int_equal(r.unsealed, 2);
        assert_int_equal(r.torn, 0);
        assert_int_equal(r.scanned, 3);
}

static void test_another_log_key_moves_nothing(void **state)
{
        static const uint8_t wrong[32] = "another log key of thirty-two by";
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        AuditRecovery r;

        for (unsigned n = 0; n < 100; n++)
                append_use(log, n);
        append_checkpoint(log, 100, 3);
        audit_log_free(log);
        assert_int_equal(audit_recover(p->log.dir_fd, LOG_ID, wrong, true, &r), HF_E_LOG_DAMAGED);
        assert_int_equal(try_recover(&p->log, true, &r), 0);
        assert_int_equal(audit_recover(p->log.dir_fd, OTHER_LOG_ID, log_key, true, &r),
                        0); /* from the checkpoint on */
}

/* {checkpoint, change a, done a, change b, (done b)}: what recovery says about C and B. */
static void test_last_change_and_the_one_before_are_told(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        AuditRecovery r;
        AuditLine line;
        uint64_t a, b;

        append_checkpoint(log, 0, 1);
        change_line(&line, 0xa);
        assert_int_equal(audit_log_append(log, &line, &a), 0);
        assert_int_equal(audit_log_append_done(log, a, NULL), 0);
        change_line(&line, 0xb);
        assert_int_equal(audit_log_append(log, &line, &b), 0);
        audit_log_free(log);
        log = open_log(&p->log, &r);
        assert_int_equal(r.current.seq, b);
        assert_int_equal(r.current.state[0], 0xb);
        assert_false(r.current.done);
        assert_int_equal(r.before.seq, a);
        assert_int_equal(r.before.state[0], 0xa);
        /* a checkpoint in between keeps both */
        append_checkpoint(log, 0, 1);
        audit_log_free(log);
        log = open_log(&p->log, &r);
        assert_int_equal(r.scanned, 1);
        assert_int_equal(r.current.seq, b);
        assert_int_equal(r.before.seq, a);
        assert_int_equal(audit_log_append_undone(log, b, "rolled back", NULL), 0);
        audit_log_free(log);
        log = open_log(&p->log, &r);
        assert_int_equal(r.current.seq, a);
        assert_true(r.current.done);
        audit_log_free(log);
}

static void test_log_cut_at_every_byte_recovers_to_the_last_whole_line(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        uint64_t ends[64], seq;
        size_t n;

        append_use(log, 1);
        append_checkpoint(log, 1, 1);
        append_use(log, 2);
        append_use(log, 3);
        audit_log_free(log);
        n = line_ends(&p->log, 1, ends, ELEMENTSOF(ends));
        assert_int_equal(n, 5);
        for (uint64_t size = 0; size <= ends[n - 1]; size++) {
                uint64_t whole = 0;
                AuditRecovery r;
                char name[32];
                int result;

                while (whole < n && ends[whole] <= size)
                        whole++;
                sandbox_copy(&p->log, &p->work);
                shorten(&p->work, 1, size);
                result = try_recover(&p->work, true, &r);
                if (whole == 0) {
                        assert_int_equal(result, HF_E_STORE_UNINITIALISED);
                        continue;
                }
                assert_int_equal(result, 0);
                assert_int_equal(r.size, whole);
                assert_int_equal(r.torn, size - ends[whole - 1]);
                snprintf(name, sizeof(name), "cut-%u", (unsigned)whole);
                assert_int_equal(exists(&p->work, name), r.torn > 0);
                if (size % 16)
                        continue;
                log = open_log(&p->work, &r); /* and goes on; no line has told of the tear yet */
                assert_int_equal(r.torn, size - ends[whole - 1]);
                assert_int_equal(append_use(log, 9), whole);
                seq = append_checkpoint(log, 1, 2);
                audit_log_free(log);
                assert_int_equal(try_recover(&p->work, true, &r), 0);
                assert_int_equal(r.checkpoint_seq, seq);
                assert_int_equal(r.torn, 0);
        }
}

/* Lines of one group commit reach the disk in any order: a hole before readable lines that call nothing
 * durable. */
static void test_hole_in_one_group_is_a_tear(void **state)
{
        Pair *p = *state;
        AuditLogParams params = log_params(&p->log, SMALL);
        static const char zeros[64];
        AuditLog *log = NULL;
        uint64_t ends[64];
        AuditRecovery r;

        params.corked = true;
        assert_int_equal(audit_log_create(&params, NULL, &log), 0);
        for (unsigned n = 1; n <= 6; n++)
                append_use(log, n);
        audit_log_free(log);
        assert_int_equal(line_ends(&p->log, 1, ends, ELEMENTSOF(ends)), 7);
        poke(&p->log, 1, ends[2] + 100, zeros, sizeof(zeros));
        assert_int_equal(try_recover(&p->log, false, &r), 0);
        assert_int_equal(r.size, 3);
        assert_int_equal(r.torn, ends[6] - ends[2]);
        assert_false(exists(&p->log, "cut-3"));
        assert_int_equal(try_recover(&p->log, true, &r), 0);
        assert_true(exists(&p->log, "cut-3"));
        assert_int_equal(peek(&p->log, 1, ends[4]), 0);
        assert_int_equal(try_recover(&p->log, true, &r), 0);
        assert_int_equal(r.torn, ends[6] - ends[2]); /* until a line has told of it */
}

static void test_durable_line_that_is_bad_is_damage_and_nothing_is_moved(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        uint64_t ends[64];
        AuditRecovery r;

        append_checkpoint(log, 0, 1);
        for (unsigned n = 1; n <= 6; n++) {
                append_use(log, n);
                assert_int_equal(audit_log_sync(log), 0);
        }
        audit_log_free(log);
        assert_int_equal(line_ends(&p->log, 1, ends, ELEMENTSOF(ends)), 8);
        /* every byte of the third line behind the checkpoint: some later line calls it durable */
        for (uint64_t at = ends[4]; at < ends[5]; at++) {
                uint8_t byte = peek(&p->log, 1, at), flipped = byte ^ 1;

                poke(&p->log, 1, at, &flipped, 1);
                assert_int_equal(try_recover(&p->log, true, &r), HF_E_LOG_DAMAGED);
                assert_int_equal(r.damaged_seq, 5);
                assert_false(exists(&p->log, "cut-5"));
                poke(&p->log, 1, at, "", 1);
                assert_int_equal(try_recover(&p->log, true, &r), HF_E_LOG_DAMAGED);
                poke(&p->log, 1, at, &byte, 1);
        }
        assert_int_equal(try_recover(&p->log, true, &r), 0);
        assert_int_equal(r.size, 8);
}

/* All that the caller goes on with. */
static bool same_end(const AuditRecovery *a, const AuditRecovery *b)
{
        return a->size == b->size && memcmp(a->head, b->head, 32) == 0 && a->current.seq == b->current.seq &&
               memcmp(a->current.state, b->current.state, 32) == 0 && a->current.done == b->current.done &&
               a->before.seq == b->before.seq && a->checkpoint_seq == b->checkpoint_seq &&
               memcmp(&a->checkpoint, &b->checkpoint, sizeof(a->checkpoint)) == 0 && a->offset == b->offset;
}

static void test_every_flipped_bit_is_named_cut_off_as_a_tail_or_changes_no_answer(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        unsigned damaged = 0, cut = 0, unchanged = 0, record = 0;
        AuditRecovery clean, r;
        uint64_t ends[64];
        size_t n;

        append_use(log, 1);
        append_checkpoint(log, 1, 1);
        for (unsigned i = 2; i <= 4; i++) {
                append_use(log, i);
                assert_int_equal(audit_log_sync(log), 0);
        }
        append_use(log, 5); /* no later line calls these two durable */
        append_use(log, 6);
        audit_log_free(log);
        n = line_ends(&p->log, 1, ends, ELEMENTSOF(ends));
        assert_int_equal(try_recover(&p->log, false, &clean), 0);
        assert_int_equal(clean.size, n);
        for (uint64_t bit = 0; bit < 8 * (ends[n - 1] + 64); bit++) {
                uint8_t byte = peek(&p->log, 1, bit / 8), flipped = byte ^ (uint8_t)(1u << bit % 8);
                int result;

                record += record < n && bit / 8 == ends[record];
                poke(&p->log, 1, bit / 8, &flipped, 1);
                result = try_recover(&p->log, false, &r);
                poke(&p->log, 1, bit / 8, &byte, 1);
                if (result == HF_E_LOG_DAMAGED && r.damaged_seq == record)
                        damaged++;
                else if (result == 0 && r.torn && r.size == record && record > clean.checkpoint_seq)
                        cut++;
                else if (result == 0 && !r.torn && same_end(&r, &clean) && record <= clean.checkpoint_seq)
                        unchanged++; /* sealed: audit verify names it */
                else
                        fail_msg("bit %u of byte %u, record %u: %d, damaged %u, size %u, torn %u", (unsigned)bit % 8,
                                        (unsigned)(bit / 8), record, result, (unsigned)r.damaged_seq, (unsigned)r.size,
                                        (unsigned)r.torn);
        }
        print_message("%u bits: damage %u, a tail cut off %u, nothing changed %u\n", damaged + cut + unchanged, damaged,
                        cut, unchanged);
        assert_true(damaged > 1000 && cut > 1000 && unchanged > 1000);
}

static void test_interrupted_repair_keeps_what_was_saved(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        uint64_t ends[64];
        AuditRecovery r;
        _cleanup_buffer_ Buffer first = BUFFER_INIT(SMALL), second = BUFFER_INIT(SMALL);

        append_use(log, 1);
        append_use(log, 2);
        audit_log_free(log);
        line_ends(&p->log, 1, ends, ELEMENTSOF(ends));
        shorten(&p->log, 1, ends[2] - 5);
        sandbox_copy(&p->log, &p->work);
        assert_int_equal(try_recover(&p->work, true, &r), 0);
        assert_int_equal(io_read_file(p->work.dir_fd, "cut-2", &first), 0);
        assert_int_equal(first.len, r.torn);
        /* killed while zeroing: half of the tail is back */
        poke(&p->work, 1, ends[1], first.data, first.len / 2);
        assert_int_equal(try_recover(&p->work, true, &r), 0);
        assert_int_equal(io_read_file(p->work.dir_fd, "cut-2", &second), 0);
        assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
        /* another tear at the same place is saved under another name */
        poke(&p->work, 1, ends[1], "something else", 14);
        assert_int_equal(try_recover(&p->work, true, &r), 0);
        assert_true(exists(&p->work, "cut-2.2"));
}

static void test_tear_in_the_first_line_of_a_segment_is_cut(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        unsigned first, last;
        AuditRecovery r, again;
        uint64_t ends[64];

        for (unsigned n = 0; n < 60; n++)
                append_use(log, n);
        audit_log_free(log);
        assert_int_equal(segment_range(p->log.dir_fd, &first, &last), 0);
        while (last > 1 && line_ends(&p->log, last, ends, ELEMENTSOF(ends)) == 0)
                last--;
        assert_int_equal(try_recover(&p->log, true, &r), 0);
        assert_int_equal(r.segment, last);
        for (uint64_t size = 0; size < ends[0]; size += 13) {
                sandbox_copy(&p->log, &p->work);
                shorten(&p->work, last, size);
                log = open_log(&p->work, &again);
                assert_int_equal(again.segment, last - 1);
                for (unsigned n = 0; n < 40; n++)
                        append_use(log, n);
                audit_log_free(log);
                assert_int_equal(try_recover(&p->work, true, &again), 0);
                assert_true(again.size > r.size - 40);
        }
}

static void test_missing_segment_is_damage(void **state)
{
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        AuditRecovery r;

        for (unsigned n = 0; n < 200; n++)
                append_use(log, n);
        audit_log_free(log);
        assert_int_equal(unlinkat(p->log.dir_fd, "000002.jsonl", 0), 0);
        assert_int_equal(try_recover(&p->log, true, &r), HF_E_LOG_DAMAGED);
}

static void test_log_goes_on_under_another_key_after_a_rekey(void **state)
{
        static const uint8_t fresh[32] = "the log key of the next master..";
        Pair *p = *state;
        AuditLog *log = create_log(&p->log, SMALL);
        AuditLogParams params = log_params(&p->log, SMALL);
        AuditPosition position;
        AuditRecovery r;
        AuditLine line;
        uint64_t change, sealed;

        change_line(&line, 4);
        assert_int_equal(audit_log_append(log, &line, &change), 0);
        assert_int_equal(audit_log_append_done(log, change, NULL), 0);
        sealed = append_checkpoint(log, 5, 1);
        audit_log_position(log, &position);
        audit_log_free(log);
        params.key = fresh;
        assert_int_equal(audit_log_create(&params, &position, &log), 0);
        append_use(log, 1);
        audit_log_free(log);
        assert_int_equal(audit_log_open(&params, &r, &log), 0);
        assert_int_equal(r.checkpoint_seq, sealed);
        assert_int_equal(r.checkpoint.ops, 5);
        assert_int_equal(r.current.seq, change);
        assert_int_equal(r.current.state[0], 4);
        assert_int_equal(r.size, sealed + 3);
        audit_log_free(log);
}

static int setup(void **state)
{
        Pair *p = malloc(sizeof(*p));

        sandbox_init(&p->log);
        sandbox_init(&p->work);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Pair *p = *state;

        sandbox_deinit(&p->log);
        sandbox_deinit(&p->work);
        free(p);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_nothing_there_is_uninitialised),
                        TEST(test_clean_end_is_found_from_the_last_checkpoint),
                        TEST(test_another_log_key_moves_nothing),
                        TEST(test_last_change_and_the_one_before_are_told),
                        TEST(test_log_cut_at_every_byte_recovers_to_the_last_whole_line),
                        TEST(test_hole_in_one_group_is_a_tear),
                        TEST(test_durable_line_that_is_bad_is_damage_and_nothing_is_moved),
                        TEST(test_every_flipped_bit_is_named_cut_off_as_a_tail_or_changes_no_answer),
                        TEST(test_interrupted_repair_keeps_what_was_saved),
                        TEST(test_tear_in_the_first_line_of_a_segment_is_cut),
                        TEST(test_missing_segment_is_damage),
                        TEST(test_log_goes_on_under_another_key_after_a_rekey),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
