/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Appending: durability, segments, changes, checkpoints, a full disk, a disk that fails, a process that is
 * killed. */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/record.h"
#include "audit/segment.h"
#include "base/error.h"
#include "base/io.h"
#include "crypto/digest.h"

#define SMALL AUDIT_SEGMENT_SIZE_MIN

/* Checks links, numbers and MACs of an export; the number of records. */
static uint64_t check_chain(Bytes text)
{
        uint8_t head[32] = {};
        uint64_t n = 0;

        while (text.len > 0) {
                const uint8_t *end = memchr(text.data, '\n', text.len);
                AuditRecord record;
                char hex[65];

                assert_non_null(end);
                assert_int_equal(audit_record_parse(BYTES(text.data, end - text.data), &record), 0);
                assert_int_equal(record.seq, n++);
                hex_encode(head, 32, hex);
                assert_memory_equal(record.prev.data, hex, 64);
                assert_true(audit_record_authentic(&record, log_key));
                assert_true(record.seq == 0 || record.dur < record.seq);
                digest_sha256(record.line, head);
                text = BYTES(end + 1, text.data + text.len - end - 1);
        }
        return n;
}

static uint64_t check_log(const Sandbox *s)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(64u << 20);

        export_log(s, &text);
        return check_chain(buffer_bytes(&text));
}

static void test_new_log_begins_with_a_durable_first_line(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);

        assert_int_equal(audit_log_durable(log), 0);
        assert_int_equal(check_log(s), 1);
        audit_log_free(log);
}

static void test_second_log_in_the_same_place_is_refused(void **state)
{
        const Sandbox *s = *state;
        AuditLogParams p = log_params(s, SMALL);
        AuditLog *log = create_log(s, SMALL), *second = NULL;

        audit_log_free(log);
        assert_int_equal(audit_log_create(&p, NULL, &second), HF_E_STORE_INITIALISED);
        p.key = (const uint8_t *)"another log key of thirty-two by";
        assert_int_equal(audit_log_create(&p, NULL, &second), HF_E_STORE_INITIALISED);
        assert_int_equal(check_log(s), 1);
}

static void test_descriptor_tells_when_a_line_is_durable(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        uint64_t durable = 0, seq;

        assert_int_equal(audit_log_dispatch(log, &durable), 0);
        seq = append_use(log, 1);
        while (durable < seq) {
                struct pollfd p = {.fd = audit_log_fd(log), .events = POLLIN};

                assert_int_equal(poll(&p, 1, 10000), 1);
                assert_int_equal(audit_log_dispatch(log, &durable), 0);
        }
        assert_int_equal(check_log(s), 2);
        audit_log_free(log);
}

static void test_corked_log_writes_when_it_is_flushed(void **state)
{
        const Sandbox *s = *state;
        AuditLogParams p = log_params(s, SMALL);
        AuditLog *log = NULL;

        p.corked = true;
        assert_int_equal(audit_log_create(&p, NULL, &log), 0);
        append_use(log, 1);
        append_use(log, 2);
        assert_int_equal(audit_log_durable(log), 0);
        assert_int_equal(audit_log_flush(log), 0);
        assert_int_equal(audit_log_durable(log), 2);
        append_use(log, 3);
        audit_log_wake(log);
        assert_int_equal(audit_log_sync(log), 0);
        assert_int_equal(audit_log_durable(log), 3);
        audit_log_free(log);
}

static void test_chain_runs_through_many_segments(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        unsigned first, last;

        for (unsigned n = 0; n < 400; n++)
                append_use(log, n);
        assert_int_equal(audit_log_sync(log), 0);
        assert_int_equal(segment_range(s->dir_fd, &first, &last), 0);
        assert_true(first == 1 && last > 8);
        assert_true(check_log(s) > 400);
        audit_log_free(log);
        assert_true(check_log(s) > 400);
}

static void test_next_number_is_kept_across_the_end_of_a_segment(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        uint64_t next;

        for (unsigned n = 0; n < 300; n++) {
                assert_int_equal(audit_log_next(log, &next), 0);
                assert_int_equal(append_use(log, n), next);
        }
        assert_int_equal(audit_log_sync(log), 0);
        assert_true(check_log(s) > 305);
        audit_log_free(log);
}

static void test_segments_never_change_their_size(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        unsigned first, last;

        for (unsigned n = 0; n < 200; n++)
                append_use(log, n);
        audit_log_free(log);
        assert_int_equal(segment_range(s->dir_fd, &first, &last), 0);
        for (unsigned n = first; n <= last; n++) {
                char name[SEGMENT_NAME_SIZE];
                struct stat st;

                segment_name(n, name);
                assert_int_equal(fstatat(s->dir_fd, name, &st, 0), 0);
                assert_int_equal(st.st_size, SMALL);
                assert_int_equal(st.st_mode & 0777, 0600);
        }
}

static void test_changes_come_one_at_a_time(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        AuditPosition position;
        AuditLine line;
        uint64_t seq;

        change_line(&line, 7);
        assert_int_equal(audit_log_append_done(log, 0, NULL), HF_E_INTERNAL);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        assert_int_equal(audit_log_append(log, &line, NULL), HF_E_INTERNAL);
        assert_int_equal(audit_log_append_done(log, seq + 1, NULL), HF_E_INTERNAL);
        audit_log_position(log, &position);
        assert_int_equal(position.open.seq, seq);
        assert_int_equal(position.effective.seq, 0);
        assert_int_equal(audit_log_append_done(log, seq, NULL), 0);
        audit_log_position(log, &position);
        assert_int_equal(position.effective.seq, seq);
        assert_int_equal(position.open.seq, 0);
        assert_int_equal(position.effective.state[31], 7);
        change_line(&line, 8);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        assert_int_equal(audit_log_append_undone(log, seq, "commit failed", NULL), 0);
        audit_log_position(log, &position);
        assert_int_equal(position.effective.state[31], 7);
        audit_log_free(log);
        assert_int_equal(check_log(s), 5);
}

/* One of a group: with the state, or with the number of the line that has it. */
static void issued_line(AuditLine *line, bool state, uint64_t with)
{
        uint8_t bytes[32] = {7};
        Uuid key = {};

        audit_line_init(line, "ca.issued");
        if (state)
                audit_line_hex(line, "state", bytes, sizeof(bytes));
        if (with)
                audit_line_u64(line, "with", with);
        audit_line_uuid(line, "key", &key);
        audit_line_str(line, "name", "ca");
        audit_line_hex(line, "serial", bytes, 16);
        audit_line_hex(line, "fingerprint", bytes, sizeof(bytes));
        audit_line_u64(line, "uid", 0);
}

static void test_more_lines_of_a_change_are_taken_while_it_is_open(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        AuditPosition position;
        AuditLine line;
        uint64_t seq;

        issued_line(&line, false, 0);
        assert_int_equal(audit_log_append(log, &line, NULL), HF_E_INTERNAL); /* neither */
        issued_line(&line, false, 1);
        assert_int_equal(audit_log_append(log, &line, NULL), HF_E_INTERNAL); /* none is open */
        issued_line(&line, true, 1);
        assert_int_equal(audit_log_append(log, &line, NULL), HF_E_INTERNAL); /* both */
        issued_line(&line, true, 0);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        issued_line(&line, false, seq + 1);
        assert_int_equal(audit_log_append(log, &line, NULL), HF_E_INTERNAL); /* of another */
        issued_line(&line, false, seq);
        assert_int_equal(audit_log_append(log, &line, NULL), 0);
        audit_log_position(log, &position);
        assert_int_equal(position.open.seq, seq);
        assert_int_equal(audit_log_append_done(log, seq, NULL), 0);
        assert_int_equal(audit_log_append(log, &line, NULL), HF_E_INTERNAL); /* it has ended */
        audit_log_position(log, &position);
        assert_int_equal(position.effective.seq, seq);
        assert_int_equal(position.effective.state[0], 7);
        audit_log_free(log);
        assert_int_equal(check_log(s), 4);
}

static void test_recovery_finds_a_change_of_many_lines_by_its_first(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        AuditLogParams params = log_params(s, SMALL);
        AuditRecovery recovery;
        AuditLine line;
        uint64_t seq;

        issued_line(&line, true, 0);
        assert_int_equal(audit_log_append(log, &line, &seq), 0);
        issued_line(&line, false, seq);
        for (int i = 0; i < 3; i++)
                assert_int_equal(audit_log_append(log, &line, NULL), 0);
        audit_log_free(log);
        assert_int_equal(audit_log_open(&params, &recovery, &log), 0);
        assert_int_equal(recovery.current.seq, seq);
        assert_int_equal(recovery.current.state[0], 7);
        assert_false(recovery.current.done);
        assert_int_equal(audit_log_append_done(log, seq, NULL), 0);
        audit_log_free(log);
        assert_int_equal(check_log(s), 6);
}

static void test_checkpoint_must_be_of_this_log(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        char note[AUDIT_NOTE_MAX + 1];
        NoteParams params = {.key = 1, .counter = -1};
        AuditPosition position;

        append_use(log, 1);
        assert_int_equal(audit_log_sync(log), 0);
        audit_log_position(log, &position);
        params.size = position.size;
        make_note(&params, note); /* wrong head */
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), HF_E_INVALID_ARGS);
        memcpy(params.head, position.head, 32);
        params.size++; /* beyond the end */
        make_note(&params, note);
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), HF_E_INVALID_ARGS);
        params.size--;
        params.origin = AUDIT_ORIGIN_PREFIX OTHER_LOG_ID;
        make_note(&params, note);
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), HF_E_INVALID_ARGS);
        params.origin = NULL;
        make_note(&params, note);
        append_use(log, 2); /* lines may come in between */
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), 0);
        for (unsigned n = 0; n < AUDIT_NOTE_WINDOW; n++)
                append_use(log, n);
        assert_int_equal(audit_log_append_checkpoint(log, note, NULL), HF_E_INVALID_ARGS); /* too old */
        audit_log_free(log);
}

static void test_prune_keeps_what_the_last_checkpoint_needs(void **state)
{
        const Sandbox *s = *state;
        AuditLog *log = create_log(s, SMALL);
        AuditPrune prune = {.before = 100, .archived = 100, .uid = 0};
        AuditRecovery recovery;
        unsigned first, last;
        uint64_t from;

        for (unsigned n = 0; n < 200; n++)
                append_use(log, n);
        assert_int_equal(audit_log_prune(log, &prune, &from), HF_E_NOTHING_TO_DO); /* no checkpoint yet */
        append_checkpoint(log, 200, 1);
        for (unsigned n = 0; n < 50; n++)
                append_use(log, n);
        assert_int_equal(audit_log_prune(log, &prune, &from), 0);
        assert_true(from > 0 && from <= 100);
        assert_int_equal(segment_range(s->dir_fd, &first, &last), 0);
        assert_true(first > 1);
        prune.before = UINT64_MAX;
        assert_int_equal(audit_log_prune(log, &prune, &from), 0);
        assert_true(from <= 205);
        audit_log_free(log);
        log = open_log(s, &recovery);
        assert_true(recovery.has_checkpoint);
        assert_int_equal(recovery.checkpoint.ops, 200);
        audit_log_free(log);
}

/* Runs in a child in a mount namespace of its own, where the sandbox is a small tmpfs. */
static int full_disk_child(const Sandbox *s)
{
        AuditLogParams p;
        AuditLog *log = NULL;
        AuditLine line;
        uint64_t seq = 0, n = 0, change;
        int dir, r, filler;
        Sandbox inner = *s;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount("tmpfs", s->path, "tmpfs", 0, "size=128k") < 0)
                return 77;
        dir = open(s->path, O_RDONLY | O_DIRECTORY);
        inner.dir_fd = dir;
        p = log_params(&inner, SMALL);
        if (audit_log_create(&p, NULL, &log))
                return 1;
        filler = openat(dir, "filler", O_WRONLY | O_CREAT, 0600);
        for (char block[4096] = {}; write(filler, block, sizeof(block)) == sizeof(block);)
                ;
        use_line(&line, 1);
        while ((r = audit_log_append(log, &line, &seq)) == 0)
                n++;
        if (r != HF_E_LOG_FULL || n < 20)
                return 2;
        if (audit_log_sync(log) || audit_log_durable(log) != seq)
                return 3;
        /* what was begun can still be ended: the reserve takes lines of these kinds */
        audit_line_init(&line, "use.lost");
        if (audit_log_append(log, &line, &seq))
                return 4;
        change_line(&line, 3);
        if (audit_log_append(log, &line, &change) != HF_E_LOG_FULL)
                return 5;
        close(filler);
        if (unlinkat(dir, "filler", 0) < 0)
                return 6;
        /* with room it goes on by itself */
        for (int i = 0; i < 1000 && (r = audit_log_append(log, &line, &change)) == HF_E_LOG_FULL; i++)
                sched_yield();
        if (r || audit_log_append_done(log, change, &seq) || audit_log_sync(log))
                return 7;
        audit_log_free(log);
        return check_log(&inner) == seq + 1 ? 0 : 8;
}

static int run_child(int (*child)(const Sandbox *s), const Sandbox *s)
{
        int status;
        pid_t pid = fork();

        if (pid == 0)
                _exit(child(s));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_full_disk_is_told_before_a_byte_is_written_and_ends_with_room(void **state)
{
        int r = run_child(full_disk_child, *state);

        if (r == 77)
                skip();
        assert_int_equal(r, 0);
}

/* Writes into the segment fail because its file was replaced by one that cannot be written. */
static int failing_disk_child(const Sandbox *s)
{
        struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
        AuditLog *log = create_log(s, SMALL);
        uint64_t durable;
        AuditLine line;

        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
                return 1;
        use_line(&line, 1);
        for (unsigned n = 0; n < 8; n++) /* past byte 1024 of the file */
                if (audit_log_append(log, &line, NULL) == HF_E_LOG_FAILED)
                        break;
        if (audit_log_sync(log) != HF_E_LOG_FAILED || audit_log_failed(log) == 0)
                return 2;
        if (audit_log_append(log, &line, NULL) != HF_E_LOG_FAILED ||
                        audit_log_dispatch(log, &durable) != HF_E_LOG_FAILED || durable > 3)
                return 3;
        audit_log_free(log);
        return 0;
}

static void test_failed_write_is_final(void **state)
{
        assert_int_equal(run_child(failing_disk_child, *state), 0);
}

/* Appends as fast as it can and writes each durable number to the pipe. */
static void killed_child(const Sandbox *s, int fd, bool fresh)
{
        AuditRecovery recovery;
        AuditLog *log = fresh ? create_log(s, SMALL) : open_log(s, &recovery);
        uint64_t durable, told = 0;

        for (unsigned n = 0;; n++) {
                append_use(log, n);
                if (n % 64 == 63 && n < 100000)
                        append_checkpoint(log, n, 1);
                durable = audit_log_durable(log);
                if (durable > told && write(fd, &durable, sizeof(durable)) == sizeof(durable))
                        told = durable;
        }
}

static void test_killed_process_loses_no_acknowledged_line(void **state)
{
        const Sandbox *s = *state;
        uint64_t acknowledged = 0;

        srandom(3);
        for (int round = 0; round < 40; round++) {
                uint64_t seq, until = acknowledged + (uint64_t)random() % 200;
                AuditRecovery recovery;
                AuditLog *log;
                pid_t pid;
                int fds[2];

                assert_int_equal(pipe(fds), 0);
                pid = fork();
                if (pid == 0) {
                        close(fds[0]);
                        killed_child(s, fds[1], round == 0);
                        _exit(1);
                }
                close(fds[1]);
                while (acknowledged <= until && read(fds[0], &seq, sizeof(seq)) == sizeof(seq))
                        acknowledged = seq;
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                while (read(fds[0], &seq, sizeof(seq)) == sizeof(seq))
                        acknowledged = seq;
                close(fds[0]);
                log = open_log(s, &recovery);
                assert_true(recovery.size > acknowledged);
                audit_log_free(log);
        }
        assert_true(check_log(s) > acknowledged);
        assert_true(acknowledged > 500);
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
                        TEST(test_new_log_begins_with_a_durable_first_line),
                        TEST(test_second_log_in_the_same_place_is_refused),
                        TEST(test_descriptor_tells_when_a_line_is_durable),
                        TEST(test_corked_log_writes_when_it_is_flushed),
                        TEST(test_chain_runs_through_many_segments),
                        TEST(test_next_number_is_kept_across_the_end_of_a_segment),
                TEST(test_segments_never_change_their_size),
                        TEST(test_changes_come_one_at_a_time),
                        TEST(test_more_lines_of_a_change_are_taken_while_it_is_open),
                        TEST(test_recovery_finds_a_change_of_many_lines_by_its_first),
                        TEST(test_checkpoint_must_be_of_this_log),
                        TEST(test_prune_keeps_what_the_last_checkpoint_needs),
                        TEST(test_full_disk_is_told_before_a_byte_is_written_and_ends_with_room),
                        TEST(test_failed_write_is_final),
                        TEST(test_killed_process_loses_no_acknowledged_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
