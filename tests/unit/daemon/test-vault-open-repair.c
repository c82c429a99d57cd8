/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an operator may accept when store and log do not agree, or the machine is another one: it is in the
 * log, with what was found, and everything else stays refused.
 */
#include "tests/unit/daemon/stage.h"

static void test_there_is_nothing_to_recover_where_all_is_well(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots");
        p->repair = VAULT_REPAIR_ROLLBACK;
        assert_int_equal(stage_try(p, &j), HF_E_NOTHING_TO_DO);
        vault_job_free(j);
        p->repair = VAULT_REPAIR_NONE;
        j = stage_open(p);
        assert_int_equal(j->epoch, 0);
        stage_crash(j);
}

static void expect_recovered(Stage *p, uint64_t store_at, uint64_t log_at)
{
        char text[96];
        VaultJob *j;

        p->repair = VAULT_REPAIR_ROLLBACK;
        j = stage_open(p);
        assert_int_equal(j->epoch, 1);
        stage_crash(j);
        expect_tail(p, "store.recover", "done", "store.start", "store.unlock");
        snprintf(text, sizeof(text), "\"store-seq\":%llu,\"log-seq\":%llu", (unsigned long long)store_at,
                        (unsigned long long)log_at);
        assert_non_null(strstr(stage_last(p, "store.recover"), text));

        p->repair = VAULT_REPAIR_NONE;
        j = stage_open(p);
        assert_int_equal(j->epoch, 1);
        stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "store.recover"), 1);
}

static void test_an_accepted_rollback_is_in_the_log_with_both_numbers(void **state)
{
        Stage *p = *state;
        uint64_t first, last;

        last = stage_past(p, &first);
        stage_swap_in(p, "store.db");
        expect_recovered(p, first, last);
}

static void test_an_accepted_shorter_log_goes_on(void **state)
{
        Stage *p = *state;
        uint64_t first, last;

        last = stage_past(p, &first);
        stage_swap_in(p, "audit");
        expect_recovered(p, last, first);
}

static void test_an_older_store_with_a_change_open_in_the_log_is_recovered(void **state)
{
        Stage *p = *state;
        uint64_t first, open;
        VaultJob *j;

        stage_past(p, &first);
        j = stage_open(p);
        open = stage_change(j, UNTIL_LINE, NULL);
        stage_crash(j);
        stage_swap_in(p, "store.db");
        expect_recovered(p, first, open);
        assert_int_equal(stage_count(p, "undone"), 1);
}

static void test_a_damaged_log_is_set_aside_and_kept(void **state)
{
        Stage *p = *state;
        uint64_t first, last;
        unsigned aside = 0;
        struct dirent *e;
        char path[96];
        VaultJob *j;
        DIR *dir;

        last = stage_past(p, &first);
        stage_flip_in_log(p, "store.init");
        p->repair = VAULT_REPAIR_ROLLBACK;
        j = stage_open(p);
        assert_int_equal(store_seq(j->store), 2); /* a log of its own, from the start */
        assert_int_equal(j->epoch, 1);
        stage_crash(j);
        expect_tail(p, "segment.start", "log.start", "store.recover", "done", "store.start", "store.unlock");
        snprintf(path, sizeof(path), "\"store-seq\":%llu,", (unsigned long long)last);
        assert_non_null(strstr(stage_last(p, "store.recover"), path));
        snprintf(path, sizeof(path), "%s/store", p->box.path);
        dir = opendir(path);
        while ((e = readdir(dir)))
                aside += strncmp(e->d_name, "audit.damaged-", 14) == 0;
        closedir(dir);
        assert_int_equal(aside, 1);
        p->repair = VAULT_REPAIR_NONE;
        stage_crash(stage_open(p));
}

static void test_a_repair_goes_on_above_what_the_signer_has_served(void **state)
{
        Stage *p = *state;
        uint64_t first, last;

        last = stage_past(p, &first);
        stage_swap_in(p, "audit");
        p->served = last + 5; /* it signs nothing below, neither lines nor checkpoints */
        expect_recovered(p, last, first);
        for (size_t i = 0; i < p->n_events; i++)
                if (strcmp(p->events[i], "store.recover") == 0)
                        assert_true(i > p->served);
        assert_true(stage_count(p, "use.lost") > 0);
}

static void test_a_repair_that_cannot_reach_what_the_signer_has_served_says_so(void **state)
{
        Stage *p = *state;
        uint64_t first;
        VaultJob *j;

        stage_past(p, &first);
        stage_swap_in(p, "audit");
        p->served = 1000000;
        p->repair = VAULT_REPAIR_ROLLBACK;
        assert_int_equal(stage_try(p, &j), HF_E_LOG_TRUNCATED);
        assert_non_null(strstr(j->reason, "holdfast-signer"));
        vault_job_free(j);
        p->served = 0; /* it was started anew */
        stage_crash(stage_open(p));
}

static void test_a_store_taken_over_has_the_slots_file_with_this_machine(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots of the old board");
        p->repair = VAULT_REPAIR_FOREIGN;
        assert_int_equal(buffer_append(&p->new_slots, "slots of this board", 19), 0);
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots of this board")));
        assert_int_equal(j->epoch, 1);
        stage_crash(j);
        expect_tail(p, "store.recover", "done", "store.start", "store.unlock");
        p->repair = VAULT_REPAIR_NONE;
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots of this board")));
        stage_crash(j);
}

static void test_a_takeover_does_not_accept_a_rollback(void **state)
{
        Stage *p = *state;
        uint64_t first;
        VaultJob *j;

        stage_past(p, &first);
        stage_swap_in(p, "store.db");
        p->repair = VAULT_REPAIR_FOREIGN;
        assert_int_equal(buffer_append(&p->new_slots, "slots of this board", 19), 0);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
        assert_int_equal(stage_count(p, "store.recover"), 0);
}

static void test_no_repair_opens_with_the_wrong_keys(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        stage_make(p, "slots");
        p->repair = VAULT_REPAIR_ROLLBACK;
        p->keys.database_key[0] ^= 1;
        assert_int_equal(stage_try(p, &j), HF_E_STORE_DAMAGED);
        vault_job_free(j);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)
        const struct CMUnitTest tests[] = {
                        T(test_there_is_nothing_to_recover_where_all_is_well),
                        T(test_an_accepted_rollback_is_in_the_log_with_both_numbers),
                        T(test_an_accepted_shorter_log_goes_on),
                        T(test_an_older_store_with_a_change_open_in_the_log_is_recovered),
                        T(test_a_damaged_log_is_set_aside_and_kept),
                        T(test_a_repair_goes_on_above_what_the_signer_has_served),
                        T(test_a_repair_that_cannot_reach_what_the_signer_has_served_says_so),
                        T(test_a_store_taken_over_has_the_slots_file_with_this_machine),
                        T(test_a_takeover_does_not_accept_a_rollback),
                        T(test_no_repair_opens_with_the_wrong_keys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
