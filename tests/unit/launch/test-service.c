/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that is to be running: how soon it is started again, when it is given up, and that a stop is a stop. */
#include "launch/service.h"

#include "tests/unit/launch/support.h"

#define MS 1000ULL

typedef struct Watch {
        sd_event *event;
        ServiceEvents events;
        Script script;
        Service service;
        unsigned ready, stopped, hopeless;
} Watch;

static void on_ready(Service *s, void *userdata)
{
        (void)s;
        ((Watch *)userdata)->ready++;
}

static void on_stopped(Service *s, void *userdata)
{
        (void)s;
        ((Watch *)userdata)->stopped++;
}

static void on_hopeless(Service *s, void *userdata)
{
        (void)s;
        ((Watch *)userdata)->hopeless++;
}

static int setup(void **state)
{
        Watch *w = calloc(1, sizeof(*w));

        block_children();
        assert_true(sd_event_new(&w->event) >= 0);
        w->events = (ServiceEvents){.ready = on_ready, .stopped = on_stopped, .hopeless = on_hopeless, .userdata = w};
        *state = w;
        return 0;
}

static int teardown(void **state)
{
        Watch *w = *state;

        service_deinit(&w->service);
        sd_event_unref(w->event);
        free(w);
        return 0;
}

static void begin(Watch *w, const char *text, uint64_t pause_max)
{
        w->script = script(text);
        w->service = (Service){.name = "a program", .spec = spec_of(&w->script), .events = &w->events, .event = w->event,
                .pause_max = pause_max};
        assert_int_equal(service_start(&w->service), 0);
        assert_int_equal(w->service.state, SERVICE_STARTING);
}

static bool runs(pid_t pid)
{
        return kill(pid, 0) == 0;
}

static void test_pauses_double_up_to_the_limit(void **state)
{
        static const uint64_t pauses[] = {100 * MS, 200 * MS, 300 * MS, 300 * MS};
        Watch *w = *state;

        begin(w, "exit 1", 300 * MS);
        for (size_t i = 0; i < ELEMENTSOF(pauses); i++) {
                uint64_t before;

                TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
                before = clock_monotonic();
                assert_int_equal(w->service.pause, pauses[i]);
                TURN_UNTIL(w->event, w->service.state == SERVICE_STARTING);
                assert_true(clock_monotonic() - before >= pauses[i] - 20 * MS);
        }
        assert_int_equal(w->hopeless, 0);
}

static void test_a_limit_below_the_first_pause_holds(void **state)
{
        Watch *w = *state;

        begin(w, "exit 1", 2 * MS);
        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
        assert_int_equal(w->service.pause, 2 * MS);
}

static void test_who_has_lived_for_ten_seconds_is_started_soon_again(void **state)
{
        Watch *w = *state;

        begin(w, "exec sleep 1000", 5000 * MS);
        w->service.pause = 3200 * MS;
        w->service.started -= 10 * USEC_PER_SEC;
        service_signal(&w->service, SIGKILL);
        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
        assert_int_equal(w->service.pause, 100 * MS);
}

static void test_who_dies_early_waits_longer_even_if_it_was_ready(void **state)
{
        Watch *w = *state;

        begin(w, "exec sleep 1000", 5000 * MS);
        service_notify_ready(&w->service);
        w->service.pause = 400 * MS;
        service_signal(&w->service, SIGKILL);
        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
        assert_int_equal(w->service.pause, 800 * MS);
}

static void test_five_deaths_before_it_was_ever_ready_are_the_end(void **state)
{
        Watch *w = *state;

        begin(w, "exit 1", 1 * MS);
        TURN_UNTIL(w->event, w->hopeless == 1);
        assert_int_equal(w->service.deaths_before_ready, SERVICE_TRIES_MAX);
        assert_int_equal(w->service.state, SERVICE_STOPPED);
        assert_null(w->service.timer);
}

static void test_who_was_ready_once_or_is_optional_is_never_given_up(void **state)
{
        Watch *w = *state;

        for (int optional = 0; optional <= 1; optional++) {
                begin(w, "exit 1", 1 * MS);
                w->service.optional = optional;
                if (!optional)
                        service_notify_ready(&w->service);
                for (int i = 0; i < 2 * SERVICE_TRIES_MAX; i++) {
                        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
                        TURN_UNTIL(w->event, w->service.state == SERVICE_STARTING);
                }
                assert_int_equal(w->hopeless, 0);
                service_deinit(&w->service);
        }
}

static void test_readiness_is_told_each_time_and_only_of_a_program_that_starts(void **state)
{
        Watch *w = *state;

        begin(w, "exec sleep 1000", 1 * MS);
        service_notify_ready(&w->service);
        service_notify_ready(&w->service);
        assert_int_equal(w->ready, 1);
        service_signal(&w->service, SIGKILL);
        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
        service_notify_ready(&w->service);
        assert_int_equal(w->ready, 1);
        TURN_UNTIL(w->event, w->service.state == SERVICE_STARTING);
        service_notify_ready(&w->service);
        assert_int_equal(w->ready, 2);
}

static void test_a_stop_is_sigterm_and_no_new_start(void **state)
{
        Watch *w = *state;
        pid_t pid;

        begin(w, "exec sleep 1000", 1 * MS);
        pid = w->service.pid;
        service_stop(&w->service);
        service_stop(&w->service);
        assert_int_equal(w->stopped, 0);
        TURN_UNTIL(w->event, w->stopped == 1);
        assert_int_equal(w->service.state, SERVICE_STOPPED);
        assert_null(w->service.timer);
        assert_false(runs(pid));
}

static void test_a_stop_within_a_pause_ends_the_pause(void **state)
{
        Watch *w = *state;

        begin(w, "exit 1", 5000 * MS);
        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
        service_stop(&w->service);
        assert_int_equal(w->stopped, 1);
        assert_null(w->service.timer);
}

static void test_a_signal_is_passed_on(void **state)
{
        int pipes[2];
        Watch *w = *state;
        char byte;

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        w->script = script("trap 'echo h >&3; exit' HUP; echo r >&3; while :; do :; done");
        w->service = (Service){.name = "a program", .spec = spec_of(&w->script), .events = &w->events, .event = w->event,
                .pause_max = 5000 * MS};
        w->service.spec.sockets[0] = pipes[1];
        w->service.spec.n_sockets = 1;
        assert_int_equal(service_start(&w->service), 0);
        assert_true(read(pipes[0], &byte, 1) == 1 && byte == 'r');
        service_signal(&w->service, SIGHUP);
        while (read(pipes[0], &byte, 1) == 1 && byte == '\n')
                ;
        assert_int_equal(byte, 'h');
        TURN_UNTIL(w->event, w->service.state == SERVICE_PAUSED);
        service_signal(&w->service, SIGHUP); /* nobody is there: nobody is signalled */
        close(pipes[0]);
        close(pipes[1]);
}

static void test_what_still_runs_in_the_end_is_killed(void **state)
{
        Watch *w = *state;
        pid_t pid;

        begin(w, "trap '' TERM; while :; do :; done", 1 * MS);
        pid = w->service.pid;
        service_deinit(&w->service);
        assert_false(runs(pid));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_pauses_double_up_to_the_limit),
                T(test_a_limit_below_the_first_pause_holds),
                T(test_who_has_lived_for_ten_seconds_is_started_soon_again),
                T(test_who_dies_early_waits_longer_even_if_it_was_ready),
                T(test_five_deaths_before_it_was_ever_ready_are_the_end),
                T(test_who_was_ready_once_or_is_optional_is_never_given_up),
                T(test_readiness_is_told_each_time_and_only_of_a_program_that_starts),
                T(test_a_stop_is_sigterm_and_no_new_start),
                T(test_a_stop_within_a_pause_ends_the_pause),
                T(test_a_signal_is_passed_on),
                T(test_what_still_runs_in_the_end_is_killed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
