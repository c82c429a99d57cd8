/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checkpoints, with the real log and a signer that the test plays: what is asked of it, when, and who is
 * told. */
#include "daemon/checkpoint.h"

#include "tests/unit/daemon/stage.h"

typedef struct Waiter {
        unsigned told;
        int result;
} Waiter;

static void on_sealed(void *userdata, int result)
{
        Waiter *w = userdata;

        w->told++;
        w->result = result;
}

static int setup(void **state)
{
        stage_setup(state);
        stage_make(*state, "slots one");
        stage_run(*state);
        return 0;
}

static int teardown(void **state)
{
        Stage *p = *state;

        stage_stop(p);
        return stage_teardown(state);
}

static uint64_t append(Stage *p)
{
        AuditLine line;
        uint64_t seq;

        audit_line_init(&line, "key.random");
        audit_line_u64(&line, "size", 16);
        audit_line_u64(&line, "uid", 1001);
        assert_int_equal(audit_log_append(p->d.vault.log, &line, &seq), 0);
        return seq;
}

static void test_a_note_covers_every_line_so_far_and_they_are_durable_first(void **state)
{
        Stage *p = *state;
        AuditPosition at;
        SignerCheckpoint c;
        Waiter w = {0};
        uint64_t last;

        p->d.vault.epoch = 3;
        last = append(p);
        audit_log_position(p->d.vault.log, &at);
        checkpoint_request(&p->d, on_sealed, &w);
        assert_true(p->d.sealing); /* no use is given to the signer meanwhile */
        stage_seal(p, &c);
        assert_true(audit_log_durable(p->d.vault.log) >= last);
        assert_int_equal(c.size, last + 1);
        assert_memory_equal(c.head, at.head, 32);
        assert_memory_equal(c.state, at.effective.state, 32);
        assert_int_equal(c.epoch, 3);
        assert_int_equal(c.counter, -1);
        assert_int_equal(w.told, 0);
        loop_until(p->d.event, &w.told, 1);
        assert_int_equal(w.result, 0);
        assert_false(p->d.sealing);
        assert_int_equal(p->d.vault.last_checkpoint, last + 1);
        assert_true(audit_log_durable(p->d.vault.log) >= last + 1);
        expect_tail(p, "key.random", "checkpoint");
        assert_non_null(strstr(p->d.vault.last_note, "epoch 3\n"));
}

static void test_who_comes_while_a_note_is_made_waits_for_the_next(void **state)
{
        Stage *p = *state;
        SignerCheckpoint first, second;
        Waiter a = {0}, b = {0}, c = {0};
        uint64_t job, later;
        Bytes body;
        char note[CHECKPOINT_NOTE_MAX];
        _cleanup_buffer_ Buffer reply = BUFFER_INIT(2 * CHECKPOINT_NOTE_MAX);

        append(p);
        checkpoint_request(&p->d, on_sealed, &a);
        stage_take(p, SIGNER_CHECKPOINT, &job, &body);
        assert_int_equal(signer_checkpoint_decode(body, &first), 0);
        later = append(p);
        checkpoint_request(&p->d, on_sealed, &b);
        checkpoint_request(&p->d, on_sealed, &c);
        stage_note(p, &first, note);
        assert_int_equal(wire_put_string(&reply, note), 0);
        stage_reply(p, job, 0, buffer_bytes(&reply));
        stage_seal(p, &second);
        assert_int_equal(a.told, 1);
        assert_int_equal(b.told + c.told, 0);
        assert_true(second.size > later);
        loop_until(p->d.event, &b.told, 1);
        assert_int_equal(c.told, 1);
        assert_int_equal(a.told, 1);
        assert_int_equal(stage_count(p, "checkpoint"), 2);
}

static void test_a_signer_that_refuses_is_told_to_who_waits_and_the_next_try_works(void **state)
{
        Stage *p = *state;
        SignerCheckpoint c;
        Waiter a = {0}, b = {0};
        uint64_t job;
        Bytes body;

        append(p);
        checkpoint_request(&p->d, on_sealed, &a);
        stage_take(p, SIGNER_CHECKPOINT, &job, &body);
        stage_reply(p, job, HF_E_SIGNER_FAILED, BYTES_NULL);
        loop_until(p->d.event, &a.told, 1);
        assert_int_equal(a.result, HF_E_SIGNER_FAILED);
        assert_false(p->d.sealing);
        assert_int_equal(stage_count(p, "checkpoint"), 0);

        checkpoint_request(&p->d, on_sealed, &b);
        stage_seal(p, &c);
        loop_until(p->d.event, &b.told, 1);
        assert_int_equal(b.result, 0);
}

static void test_a_signer_that_goes_is_told_once(void **state)
{
        Stage *p = *state;
        Waiter w = {0};
        uint64_t job;
        Bytes body;

        append(p);
        checkpoint_request(&p->d, on_sealed, &w);
        stage_take(p, SIGNER_CHECKPOINT, &job, &body);
        p->peer = safe_close(p->peer);
        loop_until(p->d.event, &w.told, 1);
        assert_int_equal(w.result, HF_E_SIGNER_UNAVAILABLE);
        loop_drain(p->d.event);
        assert_int_equal(w.told, 1);
        assert_false(p->d.sealing);
        assert_int_equal(stage_count(p, "checkpoint"), 0);
}

static void send_note(Stage *p, uint64_t job, const char *note)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4 * CHECKPOINT_NOTE_MAX);

        assert_int_equal(wire_put_string(&b, note), 0);
        stage_reply(p, job, 0, buffer_bytes(&b));
}

static void test_a_note_of_something_else_is_not_written(void **state)
{
        Stage *p = *state;
        char note[CHECKPOINT_NOTE_MAX], endless[2 * CHECKPOINT_NOTE_MAX];

        memset(endless, 'n', sizeof(endless) - 1);
        endless[sizeof(endless) - 1] = '\0';
        for (int what = 0; what < 6; what++) {
                SignerCheckpoint c;
                Waiter w = {0};
                uint64_t job;
                Bytes body;

                append(p);
                checkpoint_request(&p->d, on_sealed, &w);
                stage_take(p, SIGNER_CHECKPOINT, &job, &body);
                assert_int_equal(signer_checkpoint_decode(body, &c), 0);
                c.size += what == 0;
                c.head[0] ^= what == 1;
                stage_note(p, &c, note);
                if (what == 2)
                        note[14] ^= 1; /* another log */
                if (what == 5)
                        stage_reply(p, job, 0, BYTES_NULL);
                else
                        send_note(p, job, what == 3 ? "" : what == 4 ? endless : note);
                loop_until(p->d.event, &w.told, 1);
                assert_int_not_equal(w.result, 0);
                assert_false(p->d.sealing);
        }
        assert_int_equal(stage_count(p, "checkpoint"), 0);
        assert_int_equal(p->d.vault.last_checkpoint, 0);
}

static void test_it_is_time_after_so_many_lines(void **state)
{
        Stage *p = *state;
        SignerCheckpoint c;
        AuditPosition at;

        audit_log_position(p->d.vault.log, &at);
        p->d.config.checkpoint_lines = at.unsealed + 3;
        append(p);
        checkpoint_consider(&p->d);
        append(p);
        checkpoint_consider(&p->d);
        assert_false(p->d.sealing);
        append(p);
        checkpoint_consider(&p->d);
        assert_true(p->d.sealing);
        stage_seal(p, &c);
        assert_int_equal(c.size, at.size + 3);
}

static void test_it_is_time_some_seconds_after_the_first_unsealed_line(void **state)
{
        Stage *p = *state;
        uint64_t before, asked, last;
        SignerCheckpoint c;

        p->d.config.checkpoint_seconds = 1;
        append(p);
        before = clock_monotonic();
        checkpoint_consider(&p->d);
        last = append(p);
        checkpoint_consider(&p->d); /* one timer, from the first line on */
        assert_false(p->d.sealing);
        stage_seal(p, &c);
        asked = clock_monotonic() - before;
        assert_in_range(asked, USEC_PER_SEC / 2, 10 * USEC_PER_SEC); /* from the loop's time on, not from ours */
        assert_int_equal(c.size, last + 1);
        assert_null(p->d.seal_timer);
}

static void test_who_waits_when_the_vault_closes_is_told_so(void **state)
{
        Stage *p = *state;
        Waiter a = {0}, b = {0};
        uint64_t job;
        Bytes body;

        append(p);
        checkpoint_request(&p->d, on_sealed, &a);
        stage_take(p, SIGNER_CHECKPOINT, &job, &body);
        checkpoint_request(&p->d, on_sealed, &b);
        checkpoint_stop(&p->d);
        assert_int_equal(a.told, 1);
        assert_int_equal(b.told, 1);
        assert_int_equal(a.result, HF_E_STORE_LOCKED);
        /* a late answer finds nobody */
        stage_reply(p, job, HF_E_SIGNER_FAILED, BYTES_NULL);
        loop_drain(p->d.event);
        assert_int_equal(a.told + b.told, 2);
}

static void test_nobody_need_wait(void **state)
{
        Stage *p = *state;
        SignerCheckpoint c;

        append(p);
        checkpoint_request(&p->d, NULL, NULL);
        checkpoint_request(&p->d, NULL, NULL); /* one note is enough */
        stage_seal(p, &c);
        while (p->d.sealing)
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC) >= 0);
        while (audit_log_durable(p->d.vault.log) < p->d.vault.last_checkpoint)
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC) >= 0);
        loop_drain(p->d.event);
        assert_int_equal(stage_count(p, "checkpoint"), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_a_note_covers_every_line_so_far_and_they_are_durable_first),
                        T(test_who_comes_while_a_note_is_made_waits_for_the_next),
                        T(test_a_signer_that_refuses_is_told_to_who_waits_and_the_next_try_works),
                        T(test_a_signer_that_goes_is_told_once),
                        T(test_a_note_of_something_else_is_not_written),
                        T(test_it_is_time_after_so_many_lines),
                        T(test_it_is_time_some_seconds_after_the_first_unsealed_line),
                        T(test_who_waits_when_the_vault_closes_is_told_so),
                        T(test_nobody_need_wait),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
