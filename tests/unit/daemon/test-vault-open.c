/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making and opening a store, with the real store, log and catalogue under fixed keys. What a crash leaves
 * between two steps of the change protocol is made by hand and opened again.
 */
#include "tests/unit/daemon/stage.h"

#include "audit/locked.h"

/* ---- making ---- */

static void test_a_new_store_opens_and_its_log_tells_the_story(void **state)
{
        Stage *p = *state;

        stage_make(p, "slots one");
        expect_tail(p, "segment.start", "log.start", "store.init", "done");
        stage_crash(stage_open(p));
        expect_tail(p, "segment.start", "log.start", "store.init", "done", "store.start", "store.unlock");
        assert_non_null(strstr(stage_last(p, "log.start"), "\"checkpoint-key\":\"holdfast/log/42424242-"));
        assert_non_null(strstr(stage_last(p, "store.start"), "\"memory\":\"locked\""));
        assert_non_null(strstr(stage_last(p, "store.unlock"), "\"slot\":1"));
}

static void test_what_was_opened_is_all_there(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        uint8_t hash[32];

        stage_make(p, "slots one");
        j = stage_open(p);
        change_slots_hash(bytes_str("slots one"), hash);
        assert_memory_equal(j->slots_hash, hash, 32);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots one")));
        assert_non_null(j->catalogue);
        assert_non_null(j->uses);
        assert_int_equal(j->epoch, 0);
        assert_true(audit_log_durable(j->log) >= j->unlock_seq);
        assert_string_equal(j->reason, "");
        stage_crash(j);
}

static void test_nothing_is_a_store_before_the_rename(void **state)
{
        Stage *p = *state;
        VaultJob *j = stage_job(p), *k;

        assert_int_equal(buffer_append(&j->new_slots, "x", 1), 0);
        assert_int_equal(vault_job_make(j), 0);
        assert_null(j->store);
        assert_null(j->log);
        vault_job_free(j);
        assert_int_equal(faccessat(p->box.fd, "store", F_OK, 0), -1);
        assert_int_equal(stage_try(p, &k), -ENOENT);
        vault_job_free(k);
}

static void test_what_a_broken_attempt_left_is_made_anew(void **state)
{
        Stage *p = *state;

        assert_int_equal(mkdirat(p->box.fd, "store.new", 0700), 0);
        assert_int_equal(mkdirat(p->box.fd, "store.new/audit", 0700), 0);
        close(openat(p->box.fd, "store.new/audit/000001.jsonl", O_CREAT | O_WRONLY, 0600));
        close(openat(p->box.fd, "store.new/store.db", O_CREAT | O_WRONLY, 0600));
        stage_make(p, "slots");
        stage_crash(stage_open(p));
}

static void test_a_store_that_is_there_is_not_replaced(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        uint8_t before[32], after[32];

        stage_make(p, "slots one");
        stage_hash(p, "store", before);
        j = stage_job(p);
        assert_int_equal(buffer_append(&j->new_slots, "y", 1), 0);
        assert_int_equal(vault_job_make(j), 0);
        assert_int_equal(vault_commit_new(p->box.fd), HF_E_STORE_INITIALISED);
        vault_job_free(j);
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
}

static void test_a_replaced_store_is_kept_aside_and_an_exchanged_one_is_not(void **state)
{
        Stage *p = *state;
        struct dirent *e;
        unsigned aside = 0;
        DIR *dir;

        for (int i = 0; i < 2; i++) {
                VaultJob *j = stage_job(p);

                assert_int_equal(buffer_append(&j->new_slots, i ? "two" : "one", 3), 0);
                assert_int_equal(vault_job_make(j), 0);
                assert_int_equal(vault_replace_with_new(p->box.fd), 0);
                vault_job_free(j);
        }
        dir = opendir(p->box.path);
        while ((e = readdir(dir)))
                aside += strncmp(e->d_name, "store.replaced-", 15) == 0;
        closedir(dir);
        assert_int_equal(aside, 1);
        assert_int_equal(faccessat(p->box.fd, "store.new", F_OK, 0), -1);

        VaultJob *j = stage_job(p);

        assert_int_equal(buffer_append(&j->new_slots, "tri", 3), 0);
        assert_int_equal(vault_job_make(j), 0);
        assert_int_equal(vault_exchange_for_good(p->box.fd), 0);
        vault_job_free(j);
        assert_int_equal(faccessat(p->box.fd, "store.new", F_OK, 0), -1);
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("tri")));
        stage_crash(j);
}

/* ---- opening again ---- */

static void test_a_clean_stop_needs_no_repair(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots");
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        stage_crash(stage_open(p));
        expect_tail(p, "store.backup", "done", "store.start", "store.unlock");
        stage_crash(stage_open(p));
        expect_tail(p, "store.unlock", "store.start", "store.unlock");
        assert_int_equal(stage_count(p, "undone"), 0);
}

static void test_two_do_not_open_one_store(void **state)
{
        Stage *p = *state;
        VaultJob *j, *k;

        stage_make(p, "slots");
        j = stage_open(p);
        assert_int_equal(stage_try(p, &k), HF_E_STORE_IN_USE);
        assert_non_null(strstr(k->reason, "process"));
        vault_job_free(k);
        stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        stage_crash(stage_open(p));
}

static void test_other_keys_open_nothing_and_change_nothing(void **state)
{
        Stage *p = *state;
        uint8_t before[32], after[32];
        SignerOpened right;
        VaultJob *j;
        int r;

        stage_make(p, "slots");
        right = p->keys;
        stage_hash(p, "store", before);
        p->keys.database_key[31] ^= 1;
        r = stage_try(p, &j);
        assert_int_equal(r, HF_E_STORE_DAMAGED);
        assert_string_not_equal(j->reason, "");
        vault_job_free(j);

        p->keys = right;
        p->keys.log_key[0] ^= 1;
        r = stage_try(p, &j);
        assert_true(r == HF_E_LOG_DAMAGED);
        vault_job_free(j);

        p->keys = right;
        p->keys.store_id.b[3] ^= 1;
        r = stage_try(p, &j);
        assert_true(r > 0);
        vault_job_free(j);
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
        p->keys = right;
        stage_crash(stage_open(p));
}

static void test_lines_of_the_locked_time_are_copied_once(void **state)
{
        Stage *p = *state;
        AuditLine line;
        int fd;

        stage_make(p, "slots");
        fd = openat(p->box.fd, "store/audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        audit_line_init(&line, "unlock.failed");
        audit_line_str(&line, "reason", "wrong");
        audit_line_u64(&line, "uid", 1001);
        assert_int_equal(audit_locked_append(fd, &line, true), 0);
        close(fd);
        stage_crash(stage_open(p));
        expect_tail(p, "done", "locked.copy", "store.start", "store.unlock");
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "locked.copy"), 1);
}

/* ---- crashes within a change ---- */

static void test_a_line_without_its_commit_is_undone(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        uint64_t seq, before;
        char ref[32];

        stage_make(p, "slots");
        j = stage_open(p);
        before = store_seq(j->store);
        seq = stage_change(j, UNTIL_LINE, NULL);
        stage_crash(j);
        j = stage_open(p);
        assert_int_equal(store_seq(j->store), before);
        assert_int_equal(j->last_backup, 0);
        stage_crash(j);
        expect_tail(p, "store.backup", "undone", "store.start", "store.unlock");
        snprintf(ref, sizeof(ref), "\"ref\":%llu,", (unsigned long long)seq);
        assert_non_null(strstr(stage_last(p, "undone"), ref));
        /* and once is enough */
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "undone"), 1);
}

static void test_a_commit_without_its_done_is_done(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        uint64_t seq;

        stage_make(p, "slots");
        j = stage_open(p);
        seq = stage_change(j, UNTIL_COMMIT, NULL);
        stage_crash(j);
        j = stage_open(p);
        assert_int_equal(store_seq(j->store), seq);
        assert_int_not_equal(j->last_backup, 0);
        stage_crash(j);
        expect_tail(p, "store.backup", "done", "store.start", "store.unlock");
        stage_crash(stage_open(p));
        expect_tail(p, "done", "store.start", "store.unlock", "store.start", "store.unlock");
}

static void test_changes_go_on_after_either_crash(void **state)
{
        Stage *p = *state;

        stage_make(p, "slots");
        for (int i = 0; i < 6; i++) {
                VaultJob *j = stage_open(p);

                stage_change(j, UNTIL_DONE, NULL);
                stage_change(j, i % 3 == 0 ? UNTIL_LINE : i % 3 == 1 ? UNTIL_COMMIT : UNTIL_DONE, NULL);
                stage_crash(j);
        }
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "store.backup"), 12);
        assert_int_equal(stage_count(p, "undone"), 2);
        assert_int_equal(stage_count(p, "done"), 1 + 10);
}

static void test_a_committed_slots_file_takes_its_place(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots one");
        j = stage_open(p);
        stage_change(j, UNTIL_COMMIT, "slots two");
        stage_crash(j);
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots two")));
        assert_int_equal(faccessat(j->store_fd, "slots.next", F_OK, 0), -1);
        stage_crash(j);
        expect_tail(p, "store.backup", "done", "store.start", "store.unlock");
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots two")));
        stage_crash(j);
}

static void test_a_slots_file_without_its_commit_is_thrown_away(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots one");
        j = stage_open(p);
        stage_change(j, UNTIL_LINE, "slots two");
        stage_crash(j);
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots one")));
        assert_int_equal(faccessat(j->store_fd, "slots.next", F_OK, 0), -1);
        stage_crash(j);
        expect_tail(p, "store.backup", "undone", "store.start", "store.unlock");
}

static void test_a_slots_file_that_the_store_does_not_name_is_refused(void **state)
{
        Stage *p = *state;
        _cleanup_close_ int fd = -EBADF;
        VaultJob *j;

        stage_make(p, "slots one");
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, "slots two");
        stage_crash(j);
        fd = openat(p->box.fd, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* an old one, which still opens with a secret that was taken away since */
        assert_int_equal(io_write_file(fd, "slots", bytes_str("slots one"), 0600), 0);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        assert_non_null(strstr(j->reason, "slots file"));
        vault_job_free(j);
        assert_int_equal(io_write_file(fd, "slots.next", bytes_str("slots three"), 0600), 0);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
        assert_int_equal(unlinkat(fd, "slots", 0), 0);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
        /* the right one is good wherever it lies */
        assert_int_equal(io_write_file(fd, "slots.next", bytes_str("slots two"), 0600), 0);
        stage_crash(stage_open(p));
}

/* ---- older files ---- */

static void test_an_older_store_is_refused_with_both_numbers(void **state)
{
        Stage *p = *state;
        uint8_t before[32], after[32];
        uint64_t first, last;
        char text[96];
        VaultJob *j;

        last = stage_past(p, &first);
        stage_swap_in(p, "store.db");
        stage_hash(p, "store", before);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        snprintf(text, sizeof(text), "at change %llu, the audit log says %llu", (unsigned long long)first,
                        (unsigned long long)last);
        assert_non_null(strstr(j->reason, text));
        assert_null(j->store);
        assert_null(j->log);
        vault_job_free(j);
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
}

static void test_a_store_with_the_right_number_and_other_rows_is_refused(void **state)
{
        Stage *p = *state;
        uint64_t first, here, there;
        VaultJob *j;

        /* the copy goes a way of its own, to the same number */
        stage_past(p, &first);
        assert_int_equal(renameat(p->box.fd, "store", p->box.fd, "aside"), 0);
        assert_int_equal(renameat(p->box.fd, "past", p->box.fd, "store"), 0);
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, NULL);
        here = stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        assert_int_equal(renameat(p->box.fd, "store", p->box.fd, "past"), 0);
        assert_int_equal(renameat(p->box.fd, "aside", p->box.fd, "store"), 0);
        stage_read(p);
        for (there = p->n_events; strcmp(p->events[there - 1], "store.backup"); there--)
                ;
        assert_int_equal(here, there - 1);
        stage_swap_in(p, "store.db");
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
}

static void test_what_is_refused_keeps_its_write_ahead_log_too(void **state)
{
        Stage *p = *state;
        uint8_t before[32], after[32];
        VaultJob *j;

        stage_make(p, "slots");
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, NULL);
        stage_copy(p, "store", "past"); /* as a power cut leaves it */
        stage_crash(j);
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        stage_swap_in(p, "store.db");
        assert_int_equal(renameat(p->box.fd, "past/store.db-wal", p->box.fd, "store/store.db-wal"), 0);
        stage_hash(p, "store", before);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
}

static void test_a_log_that_ends_before_the_store_is_refused_with_both_numbers(void **state)
{
        Stage *p = *state;
        uint8_t before[32], after[32];
        uint64_t first, last;
        char text[96];
        VaultJob *j;

        last = stage_past(p, &first);
        stage_swap_in(p, "audit");
        stage_hash(p, "store", before);
        assert_int_equal(stage_try(p, &j), HF_E_LOG_TRUNCATED);
        snprintf(text, sizeof(text), "by record %llu, but the audit log ends at %llu",
                        (unsigned long long)last, (unsigned long long)first + 1);
        assert_non_null(strstr(j->reason, text));
        vault_job_free(j);
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
}

static void test_a_log_that_is_gone_is_refused(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        int r;

        stage_make(p, "slots");
        stage_remove(p, "store/audit/000001.jsonl"); /* the next one, still empty, may be there already */
        r = stage_try(p, &j);
        assert_true(r == HF_E_LOG_DAMAGED || r == HF_E_LOG_TRUNCATED);
        vault_job_free(j);
        stage_remove(p, "store/audit");
        assert_int_equal(mkdirat(p->box.fd, "store/audit", 0700), 0);
        assert_int_equal(stage_try(p, &j), HF_E_LOG_TRUNCATED);
        vault_job_free(j);
        stage_remove(p, "store/audit");
        assert_int_equal(stage_try(p, &j), HF_E_LOG_TRUNCATED);
        assert_string_not_equal(j->reason, "");
        vault_job_free(j);
}

static void test_a_changed_line_is_refused_by_number(void **state)
{
        Stage *p = *state;
        uint8_t before[32], after[32];
        uint64_t first;
        VaultJob *j;

        stage_past(p, &first);
        stage_flip_in_log(p, "store.init");
        stage_hash(p, "store", before);
        assert_int_equal(stage_try(p, &j), HF_E_LOG_DAMAGED);
        assert_non_null(strstr(j->reason, "record 2 "));
        vault_job_free(j);
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
}

static void test_a_torn_last_line_is_cut_off_and_the_log_says_so(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        int fd;

        stage_make(p, "slots");
        j = stage_open(p);
        fd = openat(j->audit_fd, "000001.jsonl", O_RDWR | O_CLOEXEC);
        stage_crash(j);
        {
                _cleanup_free_ char *text = calloc(1, 70000);
                size_t n;

                assert_int_equal(io_pread_full(fd, text, 65536, 0, &n), 0);
                assert_int_equal(pwrite(fd, "{\"seq\":6,\"pre", 13, strlen(text)), 13);
        }
        close(fd);
        stage_crash(stage_open(p));
        expect_tail(p, "store.unlock", "log.cut", "store.start", "store.unlock");
        assert_non_null(strstr(stage_last(p, "log.cut"), "\"bytes\":13"));
}

/* ---- a signer that outlived us ---- */

static void test_numbers_the_signer_served_and_the_log_lost_are_marked(void **state)
{
        Stage *p = *state;
        uint64_t size;
        AuditPosition at;
        VaultJob *j;

        stage_make(p, "slots");
        j = stage_open(p);
        audit_log_position(j->log, &at);
        size = at.size;
        stage_crash(j);

        p->served = size - 1; /* nothing is missing */
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "use.lost"), 0);

        p->served = p->n_events + 2;
        size = p->n_events;
        stage_crash(stage_open(p));
        expect_tail(p, "use.lost", "use.lost", "use.lost", "log.cut", "store.start", "store.unlock");
        assert_string_equal(p->events[size], "use.lost");
        assert_non_null(strstr(stage_last(p, "log.cut"), "\"lost\":3"));
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "use.lost"), 3);
}

static void test_lost_numbers_come_before_the_end_of_an_open_change(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots");
        j = stage_open(p);
        p->served = stage_change(j, UNTIL_COMMIT, NULL) + 1;
        stage_crash(j);
        stage_crash(stage_open(p));
        expect_tail(p, "store.backup", "use.lost", "log.cut", "done", "store.start", "store.unlock");
}

static void test_a_signer_far_ahead_of_the_log_means_that_the_log_was_cut(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        size_t lines;

        stage_make(p, "slots");
        stage_read(p);
        lines = p->n_events;
        p->served = 1000000;
        assert_int_equal(stage_try(p, &j), HF_E_LOG_TRUNCATED);
        assert_non_null(strstr(j->reason, "1000000"));
        vault_job_free(j);
        stage_read(p);
        assert_int_equal(p->n_events, lines);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)
        const struct CMUnitTest tests[] = {
                        T(test_a_new_store_opens_and_its_log_tells_the_story),
                        T(test_what_was_opened_is_all_there),
                        T(test_nothing_is_a_store_before_the_rename),
                        T(test_what_a_broken_attempt_left_is_made_anew),
                        T(test_a_store_that_is_there_is_not_replaced),
                        T(test_a_replaced_store_is_kept_aside_and_an_exchanged_one_is_not),
                        T(test_a_clean_stop_needs_no_repair),
                        T(test_two_do_not_open_one_store),
                        T(test_other_keys_open_nothing_and_change_nothing),
                        T(test_lines_of_the_locked_time_are_copied_once),
                        T(test_a_line_without_its_commit_is_undone),
                        T(test_a_commit_without_its_done_is_done),
                        T(test_changes_go_on_after_either_crash),
                        T(test_a_committed_slots_file_takes_its_place),
                        T(test_a_slots_file_without_its_commit_is_thrown_away),
                        T(test_a_slots_file_that_the_store_does_not_name_is_refused),
                        T(test_an_older_store_is_refused_with_both_numbers),
                        T(test_a_store_with_the_right_number_and_other_rows_is_refused),
                        T(test_what_is_refused_keeps_its_write_ahead_log_too),
                        T(test_a_log_that_ends_before_the_store_is_refused_with_both_numbers),
                        T(test_a_log_that_is_gone_is_refused),
                        T(test_a_changed_line_is_refused_by_number),
                        T(test_a_torn_last_line_is_cut_off_and_the_log_says_so),
                        T(test_numbers_the_signer_served_and_the_log_lost_are_marked),
                        T(test_lost_numbers_come_before_the_end_of_an_open_change),
                        T(test_a_signer_far_ahead_of_the_log_means_that_the_log_was_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
