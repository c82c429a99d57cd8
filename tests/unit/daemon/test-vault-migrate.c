/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store of an older release, opened by the next one: the schema after the shipped ones is this test's. The sweep ends a
 * child, closed in by holdfastd's filter, with SIGKILL at each system call that changes a file, one after the other.
 */
#include "tests/unit/daemon/stage.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/filter.h"
#include "store/migrate.h"

#define KEYS 3

/* A table more, and one made anew with its rows. */
static const char next_schema[] =
                "CREATE TABLE novelties (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, tag BLOB NOT NULL);"
                "INSERT INTO novelties VALUES (1, 1, x'00');"
                "ALTER TABLE uses RENAME TO uses_old; CREATE TABLE uses (key BLOB NOT NULL, rule TEXT NOT NULL,"
                " version INTEGER NOT NULL, spent INTEGER NOT NULL CHECK (spent >= 0), tag BLOB NOT NULL,"
                " PRIMARY KEY (key, rule)); INSERT INTO uses SELECT * FROM uses_old; DROP TABLE uses_old;";

static int teardown(void **state)
{
        store_migration_set_extra(NULL);
        return stage_teardown(state);
}

/* ---- a store of the present schema ---- */

static KeyAttributes key_number(unsigned n)
{
        KeyAttributes a = {.version = 1,
                        .algorithm = KEY_P256,
                        .purpose = PURPOSE_SIGN,
                        .protection = PROTECTION_SOFTWARE,
                        .created = 1700000000000000ULL + n,
                        .public_len = 91};

        memset(a.uuid.b, 0x40 + (int)n, sizeof(a.uuid.b));
        memset(a.public, (int)n, a.public_len);
        snprintf(a.name, sizeof(a.name), "key-%u", n);
        return a;
}

static void fill_wrapped(unsigned n, uint8_t ret[static 104])
{
        memset(ret, 0xa0 + (int)n, 104);
}

/* One change with all rows. */
static void add_rows(VaultJob *j)
{
        StoreUsesRow uses = {.key = key_number(0).uuid, .rule = "r", .spent = 5, .version = 1};
        uint8_t wrapped[104], state[32];
        AuditLine line;
        uint64_t seq;

        assert_int_equal(audit_log_next(j->log, &seq), 0);
        assert_int_equal(store_begin(j->store), 0);
        for (unsigned n = 0; n < KEYS; n++) {
                KeyAttributes a = key_number(n);

                fill_wrapped(n, wrapped);
                assert_int_equal(store_put_key(j->store, &(StoreKeyRow){.attributes = &a,
                                                                         .state = STORE_KEY_LIVE,
                                                                         .wrapped = BYTES_ARRAY(wrapped)}),
                                0);
        }
        assert_int_equal(store_put_uses(j->store, &uses), 0);
        assert_int_equal(store_set_seq(j->store, seq), 0);
        store_state(j->store, j->slots_hash, state);
        audit_line_init(&line, "store.backup");
        audit_line_hex(&line, "state", state, sizeof(state));
        audit_line_u64(&line, "uid", 0);
        assert_int_equal(audit_log_append(j->log, &line, NULL), 0);
        assert_int_equal(audit_log_sync(j->log), 0);
        assert_int_equal(store_commit(j->store), STORE_COMMITTED);
        assert_int_equal(audit_log_append_done(j->log, seq, NULL), 0);
        assert_int_equal(audit_log_sync(j->log), 0);
}

static void make_old(Stage *p)
{
        VaultJob *j;

        stage_make(p, "slots one");
        j = stage_open(p);
        add_rows(j);
        stage_crash(j);
}

static void expect_keys_and_uses(const VaultJob *j, uint64_t uses)
{
        KeyAttributes first = key_number(0);
        uint8_t wrapped[104];

        assert_int_equal(catalogue_count(j->catalogue), KEYS);
        for (unsigned n = 0; n < KEYS; n++) {
                KeyAttributes a = key_number(n), found;
                KeyEntry *e = catalogue_find_uuid(j->catalogue, &a.uuid);

                assert_non_null(e);
                fill_wrapped(n, wrapped);
                assert_true(bytes_equal(key_entry_wrapped(e), BYTES_ARRAY(wrapped)));
                assert_int_equal(key_entry_decode(e, &found), 0);
                assert_string_equal(found.name, a.name);
                assert_memory_equal(found.public, a.public, a.public_len);
        }
        assert_int_equal(uses_remaining(j->uses, &first.uuid, first.created, "r", 12), uses);
}

static void expect_keys(const VaultJob *j)
{
        expect_keys_and_uses(j, 7);
}

static bool is_there(Stage *p, const char *path)
{
        return faccessat(p->box.fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The release with the next schema opens what is there, and afterwards nothing is left to do. */
static void expect_migrated(Stage *p)
{
        size_t lines;
        VaultJob *j;

        store_migration_set_extra(next_schema);
        j = stage_open(p);
        assert_int_equal(store_schema(j->store), STORE_SCHEMA + 1);
        assert_int_equal(store_check(j->store), 0);
        expect_keys(j);
        stage_crash(j);
        lines = stage_count(p, "store.upgrade");
        assert_int_equal(lines, stage_count(p, "undone") + 1);
        assert_true(is_there(p, "store/store.db.5"));
        assert_false(is_there(p, "store/store.db.new"));
        stage_crash(stage_open(p));
        assert_int_equal(stage_count(p, "store.upgrade"), lines);
}

/* ---- what it does ---- */

static void test_a_store_of_the_schema_before_is_migrated_when_it_is_opened(void **state)
{
        Stage *p = *state;
        uint8_t digest[32];
        char hex[65];
        VaultJob *j;

        make_old(p);
        store_migration_set_extra(next_schema);
        j = stage_open(p);
        assert_int_equal(store_schema(j->store), STORE_SCHEMA + 1);
        expect_keys(j);
        store_state(j->store, j->slots_hash, digest);
        hex_encode(digest, 32, hex);
        stage_crash(j);
        expect_tail(p, "store.upgrade", "done", "store.start", "store.unlock");
        assert_non_null(strstr(stage_last(p, "store.upgrade"), hex));
        assert_non_null(strstr(stage_last(p, "store.upgrade"), "\"from\":5,\"to\":6"));
        expect_migrated(p);
}

static void test_a_migrated_store_takes_changes(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        make_old(p);
        store_migration_set_extra(next_schema);
        j = stage_open(p);
        stage_change(j, UNTIL_DONE, NULL);
        stage_crash(j);
        j = stage_open(p);
        expect_keys(j);
        stage_crash(j);
        expect_tail(p, "store.backup", "done", "store.start", "store.unlock");
}

static void test_what_is_open_in_the_log_is_settled_before(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        make_old(p);
        j = stage_open(p);
        stage_change(j, UNTIL_LINE, NULL);
        stage_crash(j);
        store_migration_set_extra(next_schema);
        stage_crash(stage_open(p));
        expect_tail(p, "undone", "store.upgrade", "done", "store.start", "store.unlock");
}

static void test_going_back_is_a_rollback_that_an_operator_accepts(void **state)
{
        Stage *p = *state;
        VaultJob *j;

        make_old(p);
        expect_migrated(p);
        assert_int_equal(renameat(p->box.fd, "store/store.db.5", p->box.fd, "store/store.db"), 0);
        store_migration_set_extra(NULL);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
        p->repair = VAULT_REPAIR_ROLLBACK;
        j = stage_open(p);
        assert_int_equal(store_schema(j->store), STORE_SCHEMA);
        expect_keys_and_uses(j, 0); /* nobody knows how many were spent since */
        stage_crash(j);
        expect_tail(p, "store.recover", "done", "store.start", "store.unlock");
}

/* ---- what it does not do ---- */

static void test_a_store_of_a_newer_release_is_named_and_left_as_it_is(void **state)
{
        Stage *p = *state;
        uint8_t before[32], after[32];
        VaultJob *j;

        make_old(p);
        expect_migrated(p);
        store_migration_set_extra(NULL);
        stage_hash(p, "store", before);
        for (int repair = VAULT_REPAIR_NONE; repair <= VAULT_REPAIR_ROLLBACK; repair++) {
                p->repair = (VaultRepair)repair;
                assert_int_equal(stage_try(p, &j), HF_E_STORE_TOO_NEW);
                assert_true(j->reason[0]);
                vault_job_free(j);
        }
        stage_hash(p, "store", after);
        assert_memory_equal(before, after, 32);
}

static void test_a_store_that_was_rolled_back_is_not_migrated(void **state)
{
        Stage *p = *state;
        uint64_t first;
        VaultJob *j;

        stage_past(p, &first);
        stage_swap_in(p, "store.db");
        store_migration_set_extra(next_schema);
        assert_int_equal(stage_try(p, &j), HF_E_STORE_ROLLED_BACK);
        vault_job_free(j);
        assert_int_equal(stage_count(p, "store.upgrade"), 0);
        assert_false(is_there(p, "store/store.db.5"));
}

static void test_a_migration_that_harms_a_key_is_refused_and_nothing_has_happened(void **state)
{
        static const char *const bad[] = {
                        "CREATE TABLE nonsense (",
                        "DELETE FROM keys WHERE name='key-1'",
                        "UPDATE keys SET wrapped=x'00' WHERE name='key-1'",
                        "UPDATE keys SET created=created+1 WHERE name='key-2'",
                        "UPDATE keys SET name='other' WHERE name='key-2'",
                        "UPDATE keys SET state=2, wrapped=NULL WHERE name='key-0'",
        };
        Stage *p = *state;
        VaultJob *j;

        make_old(p);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                int r;

                store_migration_set_extra(bad[i]);
                r = stage_try(p, &j);
                if (r == 0 || !j->reason[0])
                        fail_msg("%s: %d, \"%s\"", bad[i], r, j->reason);
                vault_job_free(j);
                assert_false(is_there(p, "store/store.db.new"));
                store_migration_set_extra(NULL);
                j = stage_open(p);
                expect_keys(j);
                stage_crash(j);
        }
        assert_int_equal(stage_count(p, "store.upgrade"), 0);
        expect_migrated(p);
}

/* ---- a kill at each step ---- */

static bool changes_a_file(const struct __ptrace_syscall_info *call)
{
        switch ((long)call->entry.nr) {
        case SYS_write:
        case SYS_pwrite64:
        case SYS_ftruncate:
        case SYS_fallocate:
        case SYS_fsync:
        case SYS_fdatasync:
        case SYS_unlinkat:
        case SYS_renameat:
        case SYS_renameat2:
        case SYS_linkat:
                return true;
        case SYS_openat:
                return call->entry.args[2] & O_CREAT;
#ifdef SYS_open
        case SYS_open:
                return call->entry.args[1] & O_CREAT;
        case SYS_unlink:
        case SYS_rename:
                return true;
#endif
        }
        return false;
}

static void be_killed(Stage *p)
{
        VaultJob *j;
        int r;

        store_migration_set_extra(next_schema);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || daemon_filter_close())
                _exit(3);
        raise(SIGSTOP);
        r = stage_try(p, &j);
        if (r)
                fprintf(stderr, "%s: %s\n", hf_error_name(r), j->reason);
        _exit(r ? 1 : 0);
}

/* One thread has stopped: at its system call, at its birth, or for a signal, which it gets. */
static bool is_entry(pid_t thread, int status, struct __ptrace_syscall_info *ret)
{
        if (WSTOPSIG(status) != (SIGTRAP | 0x80))
                return false;
        return ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof(*ret), ret) > 0 &&
               ret->op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* Opens in a child that is killed when it comes to the `at`th such call. False: it came to its end before. */
static bool migrate_until(Stage *p, unsigned at)
{
        const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
        struct __ptrace_syscall_info call;
        unsigned count = 0;
        pid_t pid = fork(), thread;
        int status;

        if (pid == 0)
                be_killed(p);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSTOPPED(status));
        assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options), 0);
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        while ((thread = waitpid(-1, &status, __WALL)) > 0) {
                if (!WIFSTOPPED(status)) {
                        if (thread == pid)
                                break;
                        continue;
                }
                if (is_entry(thread, status, &call) && changes_a_file(&call) && ++count == at)
                        kill(pid, SIGKILL);
                (void)ptrace(PTRACE_SYSCALL, thread, NULL, NULL); /* one that was killed is gone */
        }
        assert_int_equal(thread, pid);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
                return true;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
}

/* The release before finds its own store, or one that is too new for it; never anything between. */
static bool old_release_opens(Stage *p)
{
        uint8_t before[32], after[32];
        VaultJob *j;
        int r;

        store_migration_set_extra(NULL);
        stage_hash(p, "store/store.db", before);
        r = stage_try(p, &j);
        if (r == 0) {
                expect_keys(j);
                stage_crash(j);
                return true;
        }
        assert_int_equal(r, HF_E_STORE_TOO_NEW);
        vault_job_free(j);
        stage_hash(p, "store/store.db", after);
        assert_memory_equal(before, after, 32);
        return false;
}

static void sweep(Stage *p, bool go_back)
{
        unsigned at, old = 0;

        make_old(p);
        assert_int_equal(renameat(p->box.fd, "store", p->box.fd, "before"), 0);
        for (at = 1;; at++) {
                bool killed;

                stage_copy(p, "before", "store");
                killed = migrate_until(p, at);
                old += go_back && old_release_opens(p);
                expect_migrated(p);
                stage_remove(p, "store");
                if (!killed)
                        break;
        }
        print_message("%u calls%s\n", at - 1, go_back ? ", the release before in between" : "");
        assert_true(at > 40);
        if (go_back)
                assert_true(old > 20 && old < at - 1);
}

static void test_a_kill_at_each_step_leaves_the_one_store_or_the_other(void **state)
{
        sweep(*state, false);
}

static void test_after_a_kill_the_release_before_still_finds_its_own_store_or_none_of_its(void **state)
{
        sweep(*state, true);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, stage_setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_a_store_of_the_schema_before_is_migrated_when_it_is_opened),
                        T(test_a_migrated_store_takes_changes),
                        T(test_what_is_open_in_the_log_is_settled_before),
                        T(test_going_back_is_a_rollback_that_an_operator_accepts),
                        T(test_a_store_of_a_newer_release_is_named_and_left_as_it_is),
                        T(test_a_store_that_was_rolled_back_is_not_migrated),
                        T(test_a_migration_that_harms_a_key_is_refused_and_nothing_has_happened),
                        T(test_a_kill_at_each_step_leaves_the_one_store_or_the_other),
                        T(test_after_a_kill_the_release_before_still_finds_its_own_store_or_none_of_its),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
