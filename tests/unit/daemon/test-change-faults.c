/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of the store on a disk that fails: log and database write and sync through pwrite64(), fsync() and fdatasync()
 * of this program, which fail for one file when told to. Whatever fails, nobody is told of success, and what recovery
 * finds is one change whole or not at all. And the change that reserves counted uses.
 */
#include "tests/unit/daemon/stage.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define LOG "/audit/000001.jsonl"
#define WAL "/store.db-wal"

/* ---- the disk ---- */

static struct {
        const char *file; /* its path ends so; NULL: all is well */
        bool write;       /* else the sync fails */
        int error;
} fault;
static atomic_uint struck;

static bool strikes(int fd, bool write)
{
        char link[40], path[256];
        size_t n;
        ssize_t len;

        if (!fault.file || fault.write != write)
                return false;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, path, sizeof(path) - 1);
        n = strlen(fault.file);
        if (len < (ssize_t)n || memcmp(path + len - n, fault.file, n) != 0)
                return false;
        struck++;
        errno = fault.error;
        return true;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
        return strikes(fd, true) ? -1 : syscall(SYS_pwrite64, fd, data, len, at);
}

int fdatasync(int fd)
{
        return strikes(fd, false) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
        return strikes(fd, false) ? -1 : (int)syscall(SYS_fsync, fd);
}

/* ---- a change ---- */

typedef struct Try {
        Change change;
        unsigned applies, finishes;
        int result;
} Try;

static int on_write(Change *c, AuditLine *line)
{
        uint8_t value[8] = {1};

        audit_line_u64(line, "uid", 0);
        return store_put_meta(c->daemon->vault.store, META_BACKUP, BYTES_ARRAY(value));
}

static void on_apply(Change *c)
{
        Try *t = c->userdata;

        t->applies++;
}

static void on_finish(Change *c, int result)
{
        Try *t = c->userdata;

        t->finishes++;
        t->result = result;
}

static void submit(Stage *p, Try *t)
{
        *t = (Try){.change = {.event = "store.backup",
                                   .write = on_write,
                                   .apply = on_apply,
                                   .finish = on_finish,
                                   .slots = BUFFER_INIT(SLOTS_FILE_MAX),
                                   .userdata = t}};
        change_submit(&p->d, &t->change);
}

static int setup(void **state)
{
        struck = 0;
        stage_setup(state);
        stage_make(*state, "slots one");
        stage_run(*state);
        return 0;
}

static int teardown(void **state)
{
        Stage *p = *state;

        fault.file = NULL;
        stage_stop(p);
        return stage_teardown(state);
}

/* The process ends here; what it leaves is opened anew. */
static VaultJob *recover(Stage *p)
{
        Change *left = p->d.change_first;

        fault.file = NULL;
        stage_stop(p);
        /* as a new process has them */
        p->d.change_first = p->d.change_last = NULL;
        p->d.change_running = false;
        if (left)
                left->finish(left, HF_E_LOG_FAILED); /* frees it */
        return stage_open(p);
}

static bool was_changed(VaultJob *j)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64);

        return store_get_meta(j->store, META_BACKUP, &b) == 0;
}

/* The change meets this fault, and the process gives up without a word to anybody. */
static VaultJob *abandon_by(Stage *p, const char *file, bool write, int error)
{
        Try t;

        fault.write = write;
        fault.error = error;
        fault.file = file;
        submit(p, &t);
        loop_until(p->d.event, &p->abandons, 1);
        assert_true(struck > 0);
        assert_non_null(p->abandoned);
        assert_int_equal(t.finishes, 0);
        return recover(p);
}

static void test_a_line_that_cannot_be_written_ends_the_process_and_nothing_has_happened(void **state)
{
        Stage *p = *state;
        VaultJob *j = abandon_by(p, LOG, true, EIO);

        assert_false(was_changed(j));
        stage_crash(j);
        assert_int_equal(stage_count(p, "store.backup"), 0);
}

static void test_a_line_of_which_no_sync_is_known_is_never_committed(void **state)
{
        Stage *p = *state;
        VaultJob *j = abandon_by(p, LOG, false, EIO);

        assert_false(was_changed(j));
        stage_crash(j);
        /* the line itself had come through */
        expect_tail(p, "store.backup", "undone", "store.start", "store.unlock");
}

static void fail_at_done(Stage *p, bool write)
{
        VaultJob *j;
        Try t;

        fault.write = write;
        fault.error = EIO;
        submit(p, &t);
        while (!t.applies)
                assert_true(sd_event_run(p->d.event, LOOP_PATIENCE) > 0);
        fault.file = LOG; /* `done` is in memory; it goes out at the end of this turn */
        loop_until(p->d.event, &p->abandons, 1);
        assert_int_equal(t.finishes, 0);
        j = recover(p);
        assert_true(was_changed(j));
        stage_crash(j);
        expect_tail(p, "store.backup", "done", "store.start", "store.unlock");
        assert_int_equal(stage_count(p, "done"), 2); /* with the one of store.init */
}

static void test_a_change_whose_done_cannot_be_written_is_not_told_and_stays(void **state)
{
        fail_at_done(*state, true);
}

static void test_a_change_whose_done_cannot_be_synced_is_not_told_and_stays(void **state)
{
        fail_at_done(*state, false);
}

static void test_a_commit_that_was_not_written_is_found_undone(void **state)
{
        Stage *p = *state;
        VaultJob *j = abandon_by(p, WAL, true, EIO);

        assert_false(was_changed(j));
        stage_crash(j);
        expect_tail(p, "store.backup", "undone", "store.start", "store.unlock");
}

static void test_of_a_commit_of_unknown_outcome_recovery_says_what_it_was(void **state)
{
        Stage *p = *state;
        VaultJob *j = abandon_by(p, WAL, false, EIO);
        bool changed = was_changed(j);

        stage_crash(j);
        expect_tail(p, "store.backup", changed ? "done" : "undone", "store.start", "store.unlock");
        j = stage_open(p);
        assert_int_equal(was_changed(j), changed);
        stage_crash(j);
}

static void test_a_commit_without_room_is_taken_back_and_the_next_one_works(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        Try t, next;

        fault.write = true;
        fault.error = ENOSPC;
        fault.file = WAL;
        submit(p, &t);
        loop_until(p->d.event, &t.finishes, 1);
        assert_true(struck > 0);
        assert_int_equal(t.result, HF_E_LOG_FULL);
        assert_int_equal(t.applies, 0);
        assert_int_equal(p->abandons, 0);
        expect_tail(p, "store.backup", "undone");

        fault.file = NULL;
        submit(p, &next);
        loop_until(p->d.event, &next.finishes, 1);
        assert_int_equal(next.result, 0);
        expect_tail(p, "undone", "store.backup", "done");
        j = recover(p);
        assert_true(was_changed(j));
        stage_crash(j);
}

/* ---- counted uses ---- */

typedef struct Call {
        Operation op;
        unsigned ends;
        int result;
} Call;

static void on_reserved(void *op, int result)
{
        Call *c = op; /* its first member */

        c->ends++;
        c->result = result;
}

static void begin_call(Stage *p, Call *c, uint64_t limit)
{
        KeyAttributes a = {.version = 1,
                        .algorithm = KEY_P256,
                        .purpose = PURPOSE_SIGN,
                        .protection = PROTECTION_SOFTWARE,
                        .created = 1700000000000000ULL,
                        .public_len = 91,
                        .name = "counted"};

        memset(a.uuid.b, 0x41, sizeof(a.uuid.b));
        *c = (Call){.op = {.daemon = &p->d, .uses_limit = limit, .uses_rule = "ten-a-day"}};
        assert_int_equal(key_entry_new(&a, bytes_str("wrapped"), &c->op.key), 0);
}

static void reserve(Stage *p, Call *c)
{
        unsigned ends = c->ends;

        change_reserve_uses(&c->op, on_reserved);
        loop_until(p->d.event, &c->ends, ends + 1);
}

static UsesVerdict take(Call *c)
{
        return uses_take(c->op.daemon->vault.uses, &c->op.key->uuid, c->op.key->created, c->op.uses_rule,
                        c->op.uses_limit);
}

static uint64_t remaining(const Uses *u, const Call *c)
{
        return uses_remaining(u, &c->op.key->uuid, c->op.key->created, c->op.uses_rule, c->op.uses_limit);
}

static void test_a_reserved_block_is_in_the_log_and_can_be_taken(void **state)
{
        Stage *p = *state;
        Call c;

        begin_call(p, &c, 64);
        assert_int_equal(take(&c), USES_NEEDS_RESERVE);
        reserve(p, &c);
        assert_int_equal(c.result, 0);
        expect_tail(p, "uses.reserve", "done");
        assert_non_null(strstr(stage_last(p, "uses.reserve"), "\"rule\":\"ten-a-day\",\"count\":4,\"left\":60"));
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(take(&c), USES_ALLOWED);
        assert_int_equal(take(&c), USES_NEEDS_RESERVE);
        key_entry_unref(c.op.key);
}

static void test_what_was_reserved_and_not_used_is_forfeit_after_a_crash(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        Call c;

        begin_call(p, &c, 64);
        reserve(p, &c);
        assert_int_equal(take(&c), USES_ALLOWED);
        j = recover(p);
        assert_int_equal(remaining(j->uses, &c), 60);
        stage_crash(j);
        key_entry_unref(c.op.key);
}

static void test_no_more_is_reserved_than_the_limit_says(void **state)
{
        Stage *p = *state;
        size_t lines;
        Call c;

        begin_call(p, &c, 3);
        for (unsigned i = 0; i < 3; i++) {
                reserve(p, &c);
                assert_int_equal(c.result, 0);
                assert_int_equal(take(&c), USES_ALLOWED);
        }
        assert_int_equal(take(&c), USES_EXHAUSTED);
        stage_read(p);
        lines = p->n_events;
        reserve(p, &c);
        assert_int_equal(c.result, HF_E_USES_EXHAUSTED);
        stage_read(p);
        assert_int_equal(p->n_events, lines);
        key_entry_unref(c.op.key);
}

static void test_a_reservation_that_is_taken_back_grants_nothing_and_costs_nothing(void **state)
{
        Stage *p = *state;
        Call c;

        begin_call(p, &c, 64);
        fault.write = true;
        fault.error = ENOSPC;
        fault.file = WAL;
        reserve(p, &c);
        assert_int_equal(c.result, HF_E_LOG_FULL);
        assert_int_equal(take(&c), USES_NEEDS_RESERVE);
        assert_int_equal(remaining(p->d.vault.uses, &c), 64);
        fault.file = NULL;
        reserve(p, &c);
        assert_int_equal(c.result, 0);
        assert_int_equal(take(&c), USES_ALLOWED);
        assert_int_equal(remaining(p->d.vault.uses, &c), 63);
        key_entry_unref(c.op.key);
}

static void test_a_reservation_of_unknown_outcome_never_grants_more(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        Call c;

        begin_call(p, &c, 64);
        fault.error = EIO;
        fault.write = false;
        fault.file = WAL;
        change_reserve_uses(&c.op, on_reserved);
        loop_until(p->d.event, &p->abandons, 1);
        assert_int_equal(c.ends, 0);
        assert_int_equal(take(&c), USES_NEEDS_RESERVE);
        j = recover(p);
        assert_true(remaining(j->uses, &c) == (stage_count(p, "undone") ? 64 : 60));
        stage_crash(j);
        key_entry_unref(c.op.key);
}

static void test_a_reservation_of_a_store_that_closed_is_told_so(void **state)
{
        Stage *p = *state;
        Store *store = TAKE_PTR(p->d.vault.store);
        Call c;

        begin_call(p, &c, 64);
        change_reserve_uses(&c.op, on_reserved);
        assert_int_equal(c.ends, 1);
        assert_int_equal(c.result, HF_E_STORE_LOCKED);
        p->d.vault.store = store;
        key_entry_unref(c.op.key);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_a_line_that_cannot_be_written_ends_the_process_and_nothing_has_happened),
                        T(test_a_line_of_which_no_sync_is_known_is_never_committed),
                        T(test_a_change_whose_done_cannot_be_written_is_not_told_and_stays),
                        T(test_a_change_whose_done_cannot_be_synced_is_not_told_and_stays),
                        T(test_a_commit_that_was_not_written_is_found_undone),
                        T(test_of_a_commit_of_unknown_outcome_recovery_says_what_it_was),
                        T(test_a_commit_without_room_is_taken_back_and_the_next_one_works),
                        T(test_a_reserved_block_is_in_the_log_and_can_be_taken),
                        T(test_what_was_reserved_and_not_used_is_forfeit_after_a_crash),
                        T(test_no_more_is_reserved_than_the_limit_says),
                        T(test_a_reservation_that_is_taken_back_grants_nothing_and_costs_nothing),
                        T(test_a_reservation_of_unknown_outcome_never_grants_more),
                        T(test_a_reservation_of_a_store_that_closed_is_told_so),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
