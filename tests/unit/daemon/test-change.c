/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of the store: one at a time, each told its end once, and nobody told of success before the log is
 * durable. */
#include "tests/unit/daemon/stage.h"

#include <stdatomic.h>

typedef struct Try {
        Change change;
        Stage *stage;
        unsigned number;
        int write_result;
        const char *field; /* one that the event does not have */
        int prepare_result;
        atomic_uint prepares, publishes; /* in the worker */
        unsigned writes, applies, finishes;
        int result;
        uint64_t durable_at_end, store_seq_at_end;
        unsigned *order, *n_order;
} Try;

static int setup(void **state)
{
        stage_setup(state);
        stage_make(*state, "slots one");
        stage_run(*state);
        return 0;
}

static int teardown(void **state)
{
        stage_stop(*state);
        return stage_teardown(state);
}

static int on_prepare(Change *c)
{
        Try *t = c->userdata;

        t->prepares++;
        return t->writes == 0 && t->publishes == 0 ? t->prepare_result : -EIO;
}

static void on_publish(Change *c)
{
        Try *t = c->userdata;

        t->publishes++;
        assert_true(t->prepares == 1 && t->writes == 1 && t->applies == 0);
}

static int on_write(Change *c, AuditLine *line)
{
        Try *t = c->userdata;
        uint8_t value[8] = {(uint8_t)(t->number + 1)};

        t->writes++;
        audit_line_u64(line, "uid", t->number);
        if (t->field)
                audit_line_str(line, t->field, "x");
        assert_int_equal(store_put_meta(c->daemon->vault.store, META_BACKUP, BYTES_ARRAY(value)), 0);
        return t->write_result;
}

static void on_apply(Change *c)
{
        Try *t = c->userdata;

        t->applies++;
        assert_int_equal(t->finishes, 0);
}

static void on_finish(Change *c, int result)
{
        Try *t = c->userdata;
        Vault *v = &t->stage->d.vault;

        t->finishes++;
        t->result = result;
        t->durable_at_end = v->log ? audit_log_durable(v->log) : 0;
        t->store_seq_at_end = v->store ? store_seq(v->store) : 0;
        if (t->order)
                t->order[(*t->n_order)++] = t->number;
}

static void init(Try *t, Stage *p)
{
        *t = (Try){.stage = p,
                        .change = {.event = "store.backup",
                                        .write = on_write,
                                        .apply = on_apply,
                                        .finish = on_finish,
                                        .slots = BUFFER_INIT(SLOTS_FILE_MAX),
                                        .userdata = t}};
}

static uint8_t meta_of(Stage *p)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64);

        return store_get_meta(p->d.vault.store, META_BACKUP, &b) ? 0 : b.data[0];
}

static void test_a_change_is_told_when_line_rows_and_done_are_durable(void **state)
{
        Stage *p = *state;
        Try t;

        init(&t, p);
        assert_true(change_is_idle(&p->d));
        change_submit(&p->d, &t.change);
        assert_false(change_is_idle(&p->d));
        assert_int_equal(t.finishes, 0);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, 0);
        assert_int_equal(t.writes, 1);
        assert_int_equal(t.applies, 1);
        assert_true(t.durable_at_end >= t.change.done_seq);
        assert_true(t.change.done_seq > t.change.seq);
        assert_int_equal(t.store_seq_at_end, t.change.seq);
        assert_true(change_is_idle(&p->d));
        expect_tail(p, "store.backup", "done");
        loop_drain(p->d.event);
        assert_int_equal(t.finishes, 1);
}

static int say_so(void *userdata)
{
        return write(*(int *)userdata, "x", 1) == 1 ? 0 : -EIO;
}

static void ignore(void *userdata, int result)
{
        (void)userdata;
        (void)result;
}

/* Lets the worker do all it has been given, without a turn of the loop. */
static void wait_for_worker(Stage *p)
{
        int fds[2];
        char c;

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(worker_post(p->d.worker, say_so, ignore, &fds[1]), 0);
        assert_int_equal(read(fds[0], &c, 1), 1);
        close(fds[0]);
        close(fds[1]);
}

static void test_nothing_is_committed_before_its_line_is_durable(void **state)
{
        Stage *p = *state;
        struct stat before, after;
        Try t;

        assert_int_equal(fstatat(p->d.vault.store_fd, "store.db-wal", &before, 0), 0);
        init(&t, p);
        change_submit(&p->d, &t.change);
        /* the turn has not ended, so the line is not even on its way */
        assert_true(audit_log_durable(p->d.vault.log) < t.change.seq);
        wait_for_worker(p);
        assert_int_equal(fstatat(p->d.vault.store_fd, "store.db-wal", &after, 0), 0);
        assert_int_equal(after.st_size, before.st_size);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(fstatat(p->d.vault.store_fd, "store.db-wal", &after, 0), 0);
        assert_true(after.st_size > before.st_size);
}

static void test_the_line_has_the_state_the_store_then_has(void **state)
{
        Stage *p = *state;
        uint8_t digest[32];
        char hex[65];
        Try t;

        init(&t, p);
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.finishes, 1);
        store_state(p->d.vault.store, p->d.vault.slots_hash, digest);
        hex_encode(digest, 32, hex);
        assert_non_null(strstr(stage_last(p, "store.backup"), hex));
}

static void test_changes_run_in_their_order_one_at_a_time(void **state)
{
        enum { N = 30 };
        Stage *p = *state;
        unsigned order[N], n = 0;
        Try tries[N];

        for (unsigned i = 0; i < N; i++) {
                init(&tries[i], p);
                tries[i].number = i;
                tries[i].order = order;
                tries[i].n_order = &n;
                change_submit(&p->d, &tries[i].change);
        }
        loop_until(p->d.event, &n, N);
        stage_read(p);
        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(order[i], i);
                assert_int_equal(tries[i].result, 0);
                assert_int_equal(tries[i].finishes, 1);
                assert_string_equal(p->events[tries[i].change.seq], "store.backup");
                assert_string_equal(p->events[tries[i].change.seq + 1], "done");
        }
        assert_int_equal(meta_of(p), N);
}

/* ---- made together ---- */

static bool is_even_or_odd_as(const Change *a, const Change *b)
{
        const Try *x = a->userdata, *y = b->userdata;

        return x->number % 2 == y->number % 2;
}

/* Each has a row of its own. */
static int on_write_joined(Change *c, AuditLine *line)
{
        Try *t = c->userdata;
        uint8_t digest[32] = {(uint8_t)t->number};
        Uuid key = {.b = {(uint8_t)t->number}};
        char name[NAME_SIZE];

        t->writes++;
        if (t->write_result > 0)
                return t->write_result; /* before it wrote anything */
        snprintf(name, sizeof(name), "row-%u", t->number);
        audit_line_uuid(line, "key", &key);
        audit_line_str(line, "name", name);
        if (strcmp(c->event, "ca.issued") == 0) {
                audit_line_hex(line, "serial", digest, 16);
                audit_line_hex(line, "fingerprint", digest, sizeof(digest));
        }
        audit_line_u64(line, "uid", t->number);
        assert_int_equal(store_put_meta(c->daemon->vault.store, name, BYTES_ARRAY(digest)), 0);
        return t->write_result;
}

static bool has_row(Stage *p, unsigned number)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(64);
        char name[NAME_SIZE];

        snprintf(name, sizeof(name), "row-%u", number);
        return store_get_meta(p->d.vault.store, name, &b) == 0;
}

static void init_joined(Try *t, Stage *p, unsigned number, unsigned *ends)
{
        static unsigned order[2 * CHANGE_TOGETHER_MAX];

        init(t, p);
        t->number = number;
        t->order = order;
        t->n_order = ends;
        t->change.event = "ca.issued";
        t->change.write = on_write_joined;
        t->change.joins = is_even_or_odd_as;
}

static void run_joined(Stage *p, Try *tries, unsigned n, unsigned *ends)
{
        change_hold(&p->d);
        for (unsigned i = 0; i < n; i++)
                change_submit(&p->d, &tries[i].change);
        change_release(&p->d);
        loop_until(p->d.event, ends, n);
        stage_read(p);
}

static void test_changes_that_join_are_one_change_with_a_line_each(void **state)
{
        enum { N = CHANGE_TOGETHER_MAX + 1 };
        Stage *p = *state;
        unsigned ends = 0;
        Try tries[N];
        char with[32];

        for (unsigned i = 0; i < N; i++)
                init_joined(&tries[i], p, 2 * i, &ends);
        run_joined(p, tries, N, &ends);
        for (unsigned i = 0; i < N; i++) {
                assert_true(tries[i].result == 0 && tries[i].applies == 1 && tries[i].finishes == 1 && has_row(p, 2 * i));
                assert_true(tries[i].durable_at_end >= tries[0].change.done_seq);
        }
        snprintf(with, sizeof(with), "\"with\":%llu,", (unsigned long long)tries[0].change.seq);
        assert_null(strstr(p->lines[tries[0].change.seq], "with"));
        for (unsigned i = 1; i < N - 1; i++) {
                const char *line = p->lines[tries[0].change.seq + i];

                assert_true(strstr(line, with) && !strstr(line, "\"state\""));
        }
        assert_int_equal(tries[0].change.done_seq, tries[0].change.seq + N - 1);
        expect_tail(p, "ca.issued", "done", "ca.issued", "done"); /* no more than so many together */
        assert_int_equal(store_seq(p->d.vault.store), tries[N - 1].change.seq);
}

static void test_changes_that_do_not_join_wait_for_each_other(void **state)
{
        Stage *p = *state;
        unsigned ends = 0;
        Try tries[4];

        for (unsigned i = 0; i < 3; i++)
                init_joined(&tries[i], p, (unsigned[]){0, 2, 1}[i], &ends);
        init(&tries[3], p);
        tries[3].n_order = tries[0].n_order;
        tries[3].order = tries[0].order;
        run_joined(p, tries, 4, &ends);
        expect_tail(p, "ca.issued", "ca.issued", "done", "ca.issued", "done", "store.backup", "done");
}

static void test_who_is_refused_before_he_wrote_ends_alone(void **state)
{
        Stage *p = *state;
        unsigned ends = 0;
        Try tries[4];

        for (unsigned i = 0; i < 4; i++)
                init_joined(&tries[i], p, 2 * i, &ends);
        tries[0].write_result = tries[2].write_result = HF_E_NOTHING_TO_DO;
        run_joined(p, tries, 4, &ends);
        for (unsigned i = 0; i < 4; i++) {
                bool refused = i % 2 == 0;

                assert_int_equal(tries[i].result, refused ? HF_E_NOTHING_TO_DO : 0);
                assert_int_equal(tries[i].applies, !refused);
                assert_true(has_row(p, 2 * i) == !refused);
        }
        expect_tail(p, "ca.issued", "ca.issued", "done");
}

static void test_when_all_are_refused_there_is_no_change(void **state)
{
        Stage *p = *state;
        uint64_t seq = store_seq(p->d.vault.store);
        unsigned ends = 0;
        Try tries[2];

        for (unsigned i = 0; i < 2; i++) {
                init_joined(&tries[i], p, 2 * i, &ends);
                tries[i].write_result = HF_E_NOTHING_TO_DO;
        }
        run_joined(p, tries, 2, &ends);
        assert_int_equal(stage_count(p, "ca.issued"), 0);
        assert_int_equal(store_seq(p->d.vault.store), seq);
        assert_true(change_is_idle(&p->d));
}

static void test_one_that_fails_half_written_takes_all_back(void **state)
{
        Stage *p = *state;
        unsigned ends = 0;
        Try tries[3];

        for (unsigned i = 0; i < 3; i++)
                init_joined(&tries[i], p, 2 * i, &ends);
        tries[1].write_result = -ENOMEM; /* behind its row */
        run_joined(p, tries, 2, &ends);
        for (unsigned i = 0; i < 2; i++)
                assert_true(tries[i].result == -ENOMEM && tries[i].applies == 0 && !has_row(p, 2 * i));
        assert_int_equal(stage_count(p, "ca.issued"), 0);
        ends = 0;
        run_joined(p, &tries[2], 1, &ends);
        assert_true(tries[2].result == 0 && has_row(p, 4));
}

static void test_a_later_line_that_cannot_be_appended_takes_all_back(void **state)
{
        Stage *p = *state;
        unsigned ends = 0;
        Try tries[3];

        for (unsigned i = 0; i < 3; i++)
                init_joined(&tries[i], p, 2 * i, &ends);
        tries[1].change.event = "key.disable"; /* has no `with` */
        run_joined(p, tries, 3, &ends);
        for (unsigned i = 0; i < 3; i++)
                assert_true(tries[i].result == HF_E_INTERNAL && tries[i].applies == 0 && !has_row(p, 2 * i));
        assert_int_equal(audit_log_sync(p->d.vault.log), 0);
        expect_tail(p, "ca.issued", "undone");
}

static void test_a_change_that_cannot_be_written_leaves_neither_rows_nor_line(void **state)
{
        Stage *p = *state;
        uint64_t seq = store_seq(p->d.vault.store);
        size_t lines;
        Try bad, good;

        stage_read(p);
        lines = p->n_events;
        init(&bad, p);
        bad.write_result = HF_E_KEY_EXISTS;
        change_submit(&p->d, &bad.change);
        assert_int_equal(bad.finishes, 1);
        assert_int_equal(bad.result, HF_E_KEY_EXISTS);
        assert_int_equal(bad.applies, 0);
        assert_int_equal(store_seq(p->d.vault.store), seq);
        assert_int_equal(meta_of(p), 0);
        stage_read(p);
        assert_int_equal(p->n_events, lines);

        init(&good, p);
        change_submit(&p->d, &good.change);
        loop_until(p->d.event, &good.finishes, 1);
        assert_int_equal(good.result, 0);
}

static void test_a_line_that_cannot_be_appended_leaves_no_rows(void **state)
{
        Stage *p = *state;
        Try t;

        init(&t, p);
        t.field = "no-such-field";
        change_submit(&p->d, &t.change);
        assert_int_equal(t.finishes, 1);
        assert_int_equal(t.result, HF_E_INTERNAL);
        assert_int_equal(meta_of(p), 0);
        assert_int_equal(stage_count(p, "store.backup"), 0);
        assert_int_equal(p->abandons, 0);
}

static void test_a_new_slots_file_takes_effect_with_its_change(void **state)
{
        Stage *p = *state;
        _cleanup_buffer_ Buffer file = BUFFER_INIT(SLOTS_FILE_MAX);
        uint8_t hash[32];
        VaultJob *j;
        Try t;

        init(&t, p);
        assert_int_equal(buffer_append(&t.change.slots, "slots two", 9), 0);
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, 0);
        change_slots_hash(bytes_str("slots two"), hash);
        assert_memory_equal(p->d.vault.slots_hash, hash, 32);
        assert_true(bytes_equal(buffer_bytes(&p->d.vault.slots), bytes_str("slots two")));
        assert_int_equal(io_read_file(p->d.vault.store_fd, "slots", &file), 0);
        assert_true(bytes_equal(buffer_bytes(&file), bytes_str("slots two")));
        assert_int_equal(faccessat(p->d.vault.store_fd, "slots.next", F_OK, 0), -1);

        stage_stop(p);
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots two")));
        stage_crash(j);
        p->up = 0;
        stage_run(p);
}

static void test_a_refused_slots_change_leaves_the_slots_as_they_are(void **state)
{
        Stage *p = *state;
        VaultJob *j;
        Try t;

        init(&t, p);
        t.write_result = HF_E_LAST_SLOT;
        assert_int_equal(buffer_append(&t.change.slots, "slots two", 9), 0);
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, HF_E_LAST_SLOT);
        assert_true(bytes_equal(buffer_bytes(&p->d.vault.slots), bytes_str("slots one")));
        stage_stop(p);
        j = stage_open(p);
        assert_true(bytes_equal(buffer_bytes(&j->slots), bytes_str("slots one")));
        stage_crash(j);
        p->up = 0;
        stage_run(p);
}

static void test_a_slots_file_that_cannot_be_written_ends_the_change_alone(void **state)
{
        Stage *p = *state;
        Try t, next;

        /* something in its place that no file can be renamed over */
        assert_int_equal(mkdirat(p->d.vault.store_fd, "slots.next", 0700), 0);
        assert_int_equal(mkdirat(p->d.vault.store_fd, "slots.next/x", 0700), 0);
        init(&t, p);
        assert_int_equal(buffer_append(&t.change.slots, "slots two", 9), 0);
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.finishes, 1);
        assert_true(t.result < 0);
        assert_int_equal(t.writes, 0);
        init(&next, p);
        change_submit(&p->d, &next.change);
        loop_until(p->d.event, &next.finishes, 1);
        assert_int_equal(next.result, 0);
        assert_int_equal(p->abandons, 0);
        assert_int_equal(unlinkat(p->d.vault.store_fd, "slots.next/x", AT_REMOVEDIR), 0);
        assert_int_equal(unlinkat(p->d.vault.store_fd, "slots.next", AT_REMOVEDIR), 0);
}

static void test_what_takes_effect_with_a_change_is_made_before_and_let_out_after_it(void **state)
{
        Stage *p = *state;
        Try t;

        init(&t, p);
        t.change.prepare = on_prepare;
        t.change.publish = on_publish;
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, 0);
        assert_int_equal(t.prepares, 1);
        assert_int_equal(t.publishes, 1);
        assert_int_equal(t.applies, 1);
        expect_tail(p, "store.backup", "done");
}

static void test_what_cannot_be_prepared_ends_the_change_before_anything_was_done(void **state)
{
        Stage *p = *state;
        Try t, next;

        init(&t, p);
        t.change.prepare = on_prepare;
        t.change.publish = on_publish;
        t.prepare_result = -ENOSPC;
        init(&next, p);
        next.number = 1;
        change_submit(&p->d, &t.change);
        change_submit(&p->d, &next.change);
        loop_until(p->d.event, &next.finishes, 1);
        assert_int_equal(t.result, -ENOSPC);
        assert_int_equal(t.writes + t.applies + t.publishes, 0);
        assert_int_equal(next.result, 0);
        stage_read(p);
        assert_int_equal(stage_count(p, "store.backup"), 1);
}

static void test_what_was_prepared_is_not_let_out_when_the_rows_are_refused(void **state)
{
        Stage *p = *state;
        Try t;

        init(&t, p);
        t.change.prepare = on_prepare;
        t.change.publish = on_publish;
        t.write_result = HF_E_LIMIT_EXCEEDED;
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, HF_E_LIMIT_EXCEEDED);
        assert_int_equal(t.prepares, 1);
        assert_int_equal(t.publishes, 0);
        assert_int_equal(meta_of(p), 0);
}

static void test_held_changes_wait_until_they_are_released(void **state)
{
        Stage *p = *state;
        Try a, b;

        init(&a, p);
        init(&b, p);
        change_hold(&p->d);
        change_submit(&p->d, &a.change);
        change_submit(&p->d, &b.change);
        loop_drain(p->d.event);
        assert_int_equal(a.writes + b.writes, 0);
        change_release(&p->d);
        loop_until(p->d.event, &b.finishes, 1);
        assert_int_equal(a.result, 0);
        assert_int_equal(b.result, 0);
        assert_true(a.change.seq < b.change.seq);
}

static void test_a_change_of_a_store_that_closed_is_told_so(void **state)
{
        Stage *p = *state;
        Store *store = TAKE_PTR(p->d.vault.store);
        Try t;

        init(&t, p);
        change_submit(&p->d, &t.change);
        assert_int_equal(t.finishes, 1);
        assert_int_equal(t.result, HF_E_STORE_LOCKED);
        assert_true(change_is_idle(&p->d));
        p->d.vault.store = store;
}

/* Submits the next one from its own end. */
static void on_finish_and_again(Change *c, int result)
{
        Try *t = c->userdata;

        on_finish(c, result);
        if (t->finishes < 5) {
                c->slots = BUFFER_INIT(SLOTS_FILE_MAX);
                t->applies = t->finishes = 0;
                t->number++;
                if (t->number < 5)
                        change_submit(&t->stage->d, c);
                else
                        t->finishes = 1;
        }
}

static void test_an_end_may_begin_the_next_change(void **state)
{
        Stage *p = *state;
        Try t;

        init(&t, p);
        t.change.finish = on_finish_and_again;
        change_submit(&p->d, &t.change);
        loop_until(p->d.event, &t.number, 5);
        assert_int_equal(stage_count(p, "store.backup"), 5);
        assert_true(change_is_idle(&p->d));
}

static void test_a_sealed_change_waits_for_its_note(void **state)
{
        Stage *p = *state;
        SignerCheckpoint c;
        Try t;

        init(&t, p);
        t.change.seal = true;
        change_submit(&p->d, &t.change);
        stage_seal(p, &c); /* it asks; nobody was told anything yet */
        assert_int_equal(t.finishes, 0);
        assert_true(c.size > t.change.done_seq);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, 0);
        expect_tail(p, "store.backup", "done", "checkpoint");
        assert_true(t.durable_at_end > t.change.done_seq);
}

static void test_a_change_that_is_done_succeeds_though_no_note_can_be_had(void **state)
{
        Stage *p = *state;
        uint64_t job;
        Bytes body;
        Try t;

        init(&t, p);
        t.change.seal = true;
        change_submit(&p->d, &t.change);
        stage_take(p, SIGNER_CHECKPOINT, &job, &body);
        p->peer = safe_close(p->peer);
        loop_until(p->d.event, &t.finishes, 1);
        assert_int_equal(t.result, 0);
        expect_tail(p, "store.backup", "done");
}

static void test_without_a_log_no_change_is_begun(void **state)
{
        Stage *p = *state;
        Try t;

        init(&t, p);
        p->log_source = sd_event_source_disable_unref(p->log_source);
        p->d.vault.log = audit_log_free(p->d.vault.log);
        change_submit(&p->d, &t.change);
        assert_int_equal(t.finishes, 1);
        assert_int_equal(t.result, HF_E_STORE_LOCKED);
        assert_int_equal(t.writes, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_a_change_is_told_when_line_rows_and_done_are_durable),
                        T(test_nothing_is_committed_before_its_line_is_durable),
                        T(test_the_line_has_the_state_the_store_then_has),
                        T(test_changes_run_in_their_order_one_at_a_time),
                        T(test_changes_that_join_are_one_change_with_a_line_each),
                        T(test_changes_that_do_not_join_wait_for_each_other),
                        T(test_who_is_refused_before_he_wrote_ends_alone),
                        T(test_when_all_are_refused_there_is_no_change),
                        T(test_one_that_fails_half_written_takes_all_back),
                        T(test_a_later_line_that_cannot_be_appended_takes_all_back),
                        T(test_a_change_that_cannot_be_written_leaves_neither_rows_nor_line),
                        T(test_a_line_that_cannot_be_appended_leaves_no_rows),
                        T(test_a_new_slots_file_takes_effect_with_its_change),
                        T(test_a_refused_slots_change_leaves_the_slots_as_they_are),
                        T(test_a_slots_file_that_cannot_be_written_ends_the_change_alone),
                        T(test_what_takes_effect_with_a_change_is_made_before_and_let_out_after_it),
                        T(test_what_cannot_be_prepared_ends_the_change_before_anything_was_done),
                        T(test_what_was_prepared_is_not_let_out_when_the_rows_are_refused),
                        T(test_held_changes_wait_until_they_are_released),
                        T(test_a_change_of_a_store_that_closed_is_told_so),
                        T(test_an_end_may_begin_the_next_change),
                        T(test_a_sealed_change_waits_for_its_note),
                        T(test_a_change_that_is_done_succeeds_though_no_note_can_be_had),
                        T(test_without_a_log_no_change_is_begun),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
