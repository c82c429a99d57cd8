/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading and exporting, and the lines of a locked store. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/locked.h"
#include "audit/reader.h"
#include "base/clock.h"
#include "base/error.h"

#define SMALL AUDIT_SEGMENT_SIZE_MIN

/* 300 uses by uid 1000 and every tenth line a denial by uid 7, over several segments. */
static AuditLog *filled(const Sandbox *s)
{
        AuditLog *log = create_log(s, SMALL);

        for (unsigned n = 0; n < 300; n++) {
                AuditLine line;

                if (n % 10) {
                        append_use(log, n);
                        continue;
                }
                audit_line_init(&line, "denied");
                audit_line_str(&line, "wanted", "key.sign");
                audit_line_str(&line, "reason", "no rule");
                audit_line_u64(&line, "uid", 7);
                assert_int_equal(audit_log_append(log, &line, NULL), 0);
        }
        assert_int_equal(audit_log_sync(log), 0);
        return log;
}

static unsigned count(const Sandbox *s, AuditFilter filter)
{
        AuditReader *reader = NULL;
        AuditRecord record;
        unsigned n = 0;
        uint64_t last = 0;
        int r;

        assert_int_equal(audit_reader_new(s->dir_fd, &filter, &reader), 0);
        while ((r = audit_reader_next(reader, &record)) == 0) {
                assert_true(record.seq >= filter.from && record.seq <= filter.until);
                assert_true(n == 0 || record.seq > last);
                last = record.seq;
                n++;
        }
        assert_int_equal(r, HF_E_NOTHING_TO_DO);
        audit_reader_free(reader);
        return n;
}

static void test_filters_choose_lines(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = filled(s);
        AuditFilter all = {.until = UINT64_MAX}, f = all;
        unsigned total = count(s, all);
        AuditReader *reader = NULL;

        assert_true(total > 305);
        assert_int_equal(total, audit_log_durable(log) + 1);
        f.event = "key.*";
        assert_int_equal(count(s, f), 270);
        f.event = "denied";
        assert_int_equal(count(s, f), 30);
        f.by_uid = true;
        f.uid = 7;
        assert_int_equal(count(s, f), 30);
        f.uid = 1000;
        assert_int_equal(count(s, f), 0);
        f = all;
        f.from = 100;
        assert_int_equal(count(s, f), total - 100);
        f.until = 109;
        assert_int_equal(count(s, f), 10);
        f = all;
        f.since = clock_wall() + 3600 * USEC_PER_SEC;
        assert_int_equal(count(s, f), 0);
        f.since = clock_wall() - 3600 * USEC_PER_SEC;
        assert_int_equal(count(s, f), total);
        f.event = "key sign; drop";
        assert_int_equal(audit_reader_new(s->dir_fd, &f, &reader), HF_E_INVALID_ARGS);
        audit_log_free(log);
}

static void test_tail_follows_a_growing_log(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        AuditFilter f = {.until = audit_log_durable(log)};
        AuditReader *reader = NULL;
        AuditRecord record;
        uint64_t n = 0;

        assert_int_equal(audit_reader_new(s->dir_fd, &f, &reader), 0);
        for (unsigned round = 0; round < 300; round++) {
                while (audit_reader_next(reader, &record) == 0)
                        assert_int_equal(record.seq, n++);
                assert_int_equal(n, audit_log_durable(log) + 1);
                append_use(log, round);
                assert_int_equal(audit_log_sync(log), 0);
                audit_reader_until(reader, audit_log_durable(log));
        }
        assert_true(n > 300);
        audit_reader_free(reader);
        audit_log_free(log);
}

static void test_export_is_the_lines_of_all_segments(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = filled(s);
        _cleanup_buffer_ Buffer want = BUFFER_INIT(1 << 20), got = BUFFER_INIT(1 << 20);
        AuditReader *reader = NULL;
        uint64_t records, bytes;
        int fds[2], r;

        export_log(s, &want);
        assert_int_equal(audit_reader_new(s->dir_fd, &(AuditFilter){.until = UINT64_MAX}, &reader), 0);
        assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        do {
                char piece[5000];
                ssize_t n;

                /* a reader slower than we are: the pipe fills, nothing is lost */
                r = audit_reader_export(reader, fds[1], 16384);
                assert_true(r == 0 || r == -EAGAIN || r == HF_E_NOTHING_TO_DO);
                while ((n = read(fds[0], piece, sizeof(piece))) > 0) {
                        assert_int_equal(buffer_append(&got, piece, (size_t)n), 0);
                        if (r == -EAGAIN)
                                break;
                }
        } while (r != HF_E_NOTHING_TO_DO || got.len < want.len);
        assert_true(bytes_equal(buffer_bytes(&want), buffer_bytes(&got)));
        audit_reader_progress(reader, &records, &bytes);
        assert_int_equal(bytes, want.len);
        close(fds[0]);
        close(fds[1]);
        audit_reader_free(reader);
        audit_log_free(log);
}

static void locked_line(AuditLine *line, unsigned n)
{
        audit_line_init(line, "unlock.failed");
        audit_line_str(line, "reason", "wrong");
        audit_line_u64(line, "slot", n);
        audit_line_u64(line, "uid", 1000);
}

static void test_locked_lines_are_copied_into_the_chain(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        AuditLine line;
        uint64_t n;

        assert_int_equal(audit_locked_copy(log, s->dir_fd, &n), 0);
        assert_int_equal(n, 0);
        for (unsigned i = 0; i < 3; i++) {
                locked_line(&line, i);
                assert_int_equal(audit_locked_append(s->dir_fd, &line, i == 0), 0);
        }
        assert_int_equal(audit_locked_copy(log, s->dir_fd, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(count(s, (AuditFilter){.until = UINT64_MAX, .event = "locked.copy"}), 3);
        assert_int_equal(audit_locked_copy(log, s->dir_fd, &n), 0);
        assert_int_equal(n, 0);
        audit_log_free(log);
}

static void test_locked_file_stays_small_and_counts_the_rest(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, AUDIT_SEGMENT_SIZE);
        AuditReader *reader = NULL;
        AuditRecord record;
        AuditLine line;
        struct stat st;
        uint64_t n, dropped;

        for (unsigned i = 0; i < 3000; i++) {
                locked_line(&line, i);
                assert_int_equal(audit_locked_append(s->dir_fd, &line, false), 0);
        }
        assert_int_equal(fstatat(s->dir_fd, "locked.jsonl", &st, 0), 0);
        assert_true(st.st_size <= AUDIT_LOCKED_MAX);
        assert_int_equal(audit_locked_copy(log, s->dir_fd, &n), 0);
        assert_int_equal(audit_reader_new(s->dir_fd,
                                         &(AuditFilter){.until = UINT64_MAX, .event = "locked.dropped"},
                                         &reader),
                        0);
        assert_int_equal(audit_reader_next(reader, &record), 0);
        assert_int_equal(audit_record_u64(&record, "count", &dropped), 0);
        assert_int_equal(n + dropped, 3000);
        assert_true(n > 500);
        audit_reader_free(reader);
        audit_log_free(log);
}

static void test_garbage_in_the_locked_file_is_copied_as_text(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, AUDIT_SEGMENT_SIZE);
        _cleanup_free_ char *garbage = malloc(60000);
        uint64_t n;
        int fd = openat(s->dir_fd, "locked.jsonl", O_WRONLY | O_CREAT, 0600);

        srandom(5);
        for (int i = 0; i < 60000; i++)
                garbage[i] = (char)random();
        memset(garbage + 1000, '\xff', 20000); /* no newline: longer than a line can be */
        assert_int_equal(write(fd, garbage, 60000), 60000);
        close(fd);
        assert_int_equal(audit_locked_copy(log, s->dir_fd, &n), 0);
        assert_int_equal(count(s, (AuditFilter){.until = UINT64_MAX, .event = "locked.copy"}), n);
        audit_log_free(log);
}

static int setup(void **state)
{
        Sandbox *s = malloc(sizeof(*s));

        sandbox_init(s);
        *state = s;
        return 0;
}

static int teardown(void **state)
{
        sandbox_deinit(*state);
        free(*state);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                        TEST(test_filters_choose_lines),
                        TEST(test_tail_follows_a_growing_log),
                        TEST(test_export_is_the_lines_of_all_segments),
                        TEST(test_locked_lines_are_copied_into_the_chain),
                        TEST(test_locked_file_stays_small_and_counts_the_rest),
                        TEST(test_garbage_in_the_locked_file_is_copied_as_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
