/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The order of note, counter and answer, with a signer and a TPM that the test plays: at no moment may the counter stand
 * anywhere but at what the last durable note says, or one below. */
#include "daemon/anchor.h"
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

static void reply_value(Stage *p, uint64_t job, uint64_t value)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8);

        assert_int_equal(wire_put_u64(&b, value), 0);
        stage_reply(p, job, 0, buffer_bytes(&b));
}

/* The signer is asked for the counter: for this action. */
static uint64_t take_counter(Stage *p, TpmCounterAction action)
{
        WireReader r;
        uint64_t job;
        Bytes body;

        stage_take(p, SIGNER_COUNTER, &job, &body);
        r = wire_reader(body);
        (void)wire_get_block(&r, SLOTS_FILE_MAX);
        assert_int_equal(wire_get_u8(&r), action);
        assert_int_equal(wire_done(&r), 0);
        return job;
}

static Stage *begin(void **state, FreshnessVerdict verdict, uint64_t counter, int64_t noted)
{
        Stage *p = *state;

        p->d.config.anchor_interval = 3600;
        stage_make(p, "slots");
        stage_run(p);
        anchor_begin(&p->d, verdict, counter, noted);
        p->d.anchor.last_monotonic = clock_monotonic(); /* else the first note would be due by its age */
        return p;
}

static void stop(Stage *p)
{
        tpm_stop(&p->d);
        stage_stop(p);
}

static void test_who_waits_is_told_behind_note_and_counter(void **state)
{
        Stage *p = begin(state, FRESHNESS_GOOD, 7, 7);
        SignerCheckpoint c;
        Waiter w = {0};
        uint64_t job;

        checkpoint_anchor(&p->d, on_sealed, &w);
        stage_seal(p, &c);
        assert_int_equal(c.counter, 8);
        job = take_counter(p, TPM_COUNTER_INCREMENT);
        assert_int_equal(w.told, 0);
        reply_value(p, job, 8);
        loop_until(p->d.event, &w.told, 1);
        assert_int_equal(w.result, 0);
        assert_int_equal(p->d.anchor.counter, 8);
        assert_false(p->d.anchor.owed);
        stop(p);
}

static void test_a_note_that_is_not_anchored_says_the_counter_as_it_is(void **state)
{
        Stage *p = begin(state, FRESHNESS_GOOD, 7, 7);
        SignerCheckpoint c;
        Waiter w = {0};

        checkpoint_request(&p->d, on_sealed, &w);
        stage_seal(p, &c);
        assert_int_equal(c.counter, 7);
        loop_until(p->d.event, &w.told, 1);
        assert_true(p->d.anchor.unanchored);
        assert_false(p->d.anchor.in_flight);
        stop(p);
}

static void test_a_change_behind_one_that_is_being_anchored_gets_its_own_increment(void **state)
{
        Stage *p = begin(state, FRESHNESS_GOOD, 7, 7);
        Waiter first = {0}, second = {0};
        SignerCheckpoint c;
        uint64_t job;

        checkpoint_anchor(&p->d, on_sealed, &first);
        stage_seal(p, &c);
        job = take_counter(p, TPM_COUNTER_INCREMENT);
        checkpoint_anchor(&p->d, on_sealed, &second);
        stage_seal(p, &c);
        assert_int_equal(c.counter, 8); /* the counter may stand at 7 or at 8 now: both fit */
        loop_drain(p->d.event);
        reply_value(p, job, 8);
        loop_until(p->d.event, &first.told, 1);
        stage_seal(p, &c);
        assert_int_equal(c.counter, 9);
        assert_int_equal(second.told, 0);
        reply_value(p, take_counter(p, TPM_COUNTER_INCREMENT), 9);
        loop_until(p->d.event, &second.told, 1);
        stop(p);
}

static void test_an_increment_found_done_is_not_done_again_without_its_note(void **state)
{
        Stage *p = begin(state, FRESHNESS_GOOD, 7, 7);
        Waiter first = {0}, second = {0};
        char note[CHECKPOINT_NOTE_MAX];
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);
        SignerCheckpoint c;
        uint64_t job, sealing;
        Bytes body;

        checkpoint_anchor(&p->d, on_sealed, &first);
        stage_seal(p, &c);
        job = take_counter(p, TPM_COUNTER_INCREMENT);
        /* the next note is asked for while the counter is in doubt ... */
        checkpoint_anchor(&p->d, on_sealed, &second);
        stage_take(p, SIGNER_CHECKPOINT, &sealing, &body);
        assert_int_equal(signer_checkpoint_decode(body, &c), 0);
        assert_int_equal(c.counter, 8);
        /* ... and made when it is known to stand at 8 already */
        reply_value(p, job, 8);
        loop_until(p->d.event, &first.told, 1);
        stage_note(p, &c, note);
        assert_int_equal(wire_put_string(&b, note), 0);
        stage_reply(p, sealing, 0, buffer_bytes(&b));
        stage_seal(p, &c); /* not an increment: that would leave the counter at 9 behind a note that says 8 */
        assert_int_equal(c.counter, 9);
        reply_value(p, take_counter(p, TPM_COUNTER_INCREMENT), 9);
        loop_until(p->d.event, &second.told, 1);
        stop(p);
}

static void test_a_tpm_that_does_not_answer_holds_no_change_up_and_is_made_up_for(void **state)
{
        Stage *p = begin(state, FRESHNESS_GOOD, 7, 7);
        SignerCheckpoint c;
        uint64_t job;
        Waiter w = {0};
        Bytes body;

        checkpoint_anchor(&p->d, on_sealed, &w);
        stage_seal(p, &c);
        stage_reply(p, take_counter(p, TPM_COUNTER_INCREMENT), HF_E_TPM_UNAVAILABLE, BYTES_NULL);
        loop_until(p->d.event, &w.told, 1);
        assert_int_equal(w.result, 0);
        assert_int_equal(p->d.anchor.state, ANCHOR_AWAY);
        stage_take(p, SIGNER_TPM, &job, &body); /* it is asked how the TPM is */

        checkpoint_anchor(&p->d, on_sealed, &w); /* another change, at once */
        stage_seal(p, &c);
        assert_int_equal(c.counter, 8);
        loop_until(p->d.event, &w.told, 2);

        anchor_catch_up(&p->d);
        reply_value(p, take_counter(p, TPM_COUNTER_READ), 7);
        reply_value(p, take_counter(p, TPM_COUNTER_INCREMENT), 8);
        stage_seal(p, &c); /* a new note: copies from while it was away are older from then on */
        assert_int_equal(c.counter, 9);
        reply_value(p, take_counter(p, TPM_COUNTER_INCREMENT), 9);
        loop_drain(p->d.event);
        while (p->d.anchor.in_flight)
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC) >= 0);
        assert_int_equal(p->d.anchor.state, ANCHOR_GOOD);
        stop(p);
}

static void test_a_counter_that_jumps_is_named_and_not_followed(void **state)
{
        Stage *p = begin(state, FRESHNESS_GOOD, 7, 7);
        SignerCheckpoint c;
        Waiter w = {0};

        checkpoint_anchor(&p->d, on_sealed, &w);
        stage_seal(p, &c);
        reply_value(p, take_counter(p, TPM_COUNTER_INCREMENT), 12);
        loop_until(p->d.event, &w.told, 1);
        assert_int_equal(p->d.anchor.state, ANCHOR_WRONG);
        stop(p);
}

static void test_a_stop_between_note_and_increment_is_made_up_for_at_the_opening(void **state)
{
        Stage *p = begin(state, FRESHNESS_BEHIND, 6, 7);

        reply_value(p, take_counter(p, TPM_COUNTER_INCREMENT), 7);
        while (p->d.anchor.in_flight)
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC) >= 0);
        assert_int_equal(p->d.anchor.counter, 7);
        stop(p);
}

static void test_unchecked_notes_repeat_what_the_last_one_said(void **state)
{
        Stage *p = begin(state, FRESHNESS_UNCHECKED, 0, 7);
        SignerCheckpoint c;
        Waiter w = {0};

        checkpoint_anchor(&p->d, on_sealed, &w);
        stage_seal(p, &c);
        assert_int_equal(c.counter, 7);
        loop_until(p->d.event, &w.told, 1);
        stop(p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)
        const struct CMUnitTest tests[] = {
                        TEST(test_who_waits_is_told_behind_note_and_counter),
                        TEST(test_a_note_that_is_not_anchored_says_the_counter_as_it_is),
                        TEST(test_a_change_behind_one_that_is_being_anchored_gets_its_own_increment),
                        TEST(test_an_increment_found_done_is_not_done_again_without_its_note),
                        TEST(test_a_tpm_that_does_not_answer_holds_no_change_up_and_is_made_up_for),
                        TEST(test_a_counter_that_jumps_is_named_and_not_followed),
                        TEST(test_a_stop_between_note_and_increment_is_made_up_for_at_the_opening),
                        TEST(test_unchecked_notes_repeat_what_the_last_one_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
