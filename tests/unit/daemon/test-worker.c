/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker: jobs one after the other beside the loop, each handed back in it exactly once. */
#include "daemon/worker.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/daemon/support.h"

#define JOBS 500

typedef struct Place {
        sd_event *event;
        Worker *worker;
        pthread_t loop;
        unsigned done;
        atomic_int running;
        unsigned order[JOBS];
} Place;

typedef struct Work {
        Place *place;
        unsigned number;
        int ran_beside_the_loop, alone;
        int result;
        unsigned times_done;
} Work;

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        assert_true(sd_event_new(&p->event) >= 0);
        assert_int_equal(worker_new(p->event, &p->worker), 0);
        p->loop = pthread_self();
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Place *p = *state;

        worker_free(p->worker);
        sd_event_unref(p->event);
        free(p);
        return 0;
}

static int work(void *userdata)
{
        Work *w = userdata;

        w->ran_beside_the_loop = !pthread_equal(pthread_self(), w->place->loop);
        w->alone = atomic_fetch_add(&w->place->running, 1) == 0;
        atomic_fetch_sub(&w->place->running, 1);
        return -(int)w->number;
}

static void done(void *userdata, int result)
{
        Work *w = userdata;

        assert_true(pthread_equal(pthread_self(), w->place->loop));
        w->result = result;
        w->times_done++;
        w->place->order[w->place->done++] = w->number;
}

static void test_jobs_run_in_order_and_come_back_once_with_their_result(void **state)
{
        _cleanup_free_ Work *jobs = calloc(JOBS, sizeof(*jobs));
        Place *p = *state;

        for (unsigned i = 0; i < JOBS; i++) {
                jobs[i] = (Work){.place = p, .number = i};
                assert_int_equal(worker_post(p->worker, work, done, &jobs[i]), 0);
        }
        loop_until(p->event, &p->done, JOBS);
        loop_drain(p->event);
        for (unsigned i = 0; i < JOBS; i++) {
                assert_int_equal(p->order[i], i);
                assert_int_equal(jobs[i].times_done, 1);
                assert_int_equal(jobs[i].result, -(int)i);
                assert_true(jobs[i].ran_beside_the_loop);
                assert_true(jobs[i].alone);
        }
}

/* A job that stands until it is let go. */
typedef struct Gate {
        Work w;
        int pipe[2];
} Gate;

static int wait_at_gate(void *userdata)
{
        Gate *g = userdata;
        char c;

        return read(g->pipe[0], &c, 1) == 1 ? 7 : -EIO;
}

static void gate_done(void *userdata, int result)
{
        done(&((Gate *)userdata)->w, result);
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata)
{
        unsigned *ticks = userdata;

        (void)s;
        (void)usec;
        ++*ticks;
        return 0;
}

static void test_the_loop_turns_while_a_job_stands(void **state)
{
        Place *p = *state;
        Gate g = {.w = {.place = p}};
        unsigned ticks = 0;

        assert_int_equal(pipe(g.pipe), 0);
        assert_int_equal(worker_post(p->worker, wait_at_gate, gate_done, &g), 0);
        assert_true(sd_event_add_time_relative(p->event, NULL, CLOCK_MONOTONIC, 1000, 1, on_tick, &ticks) >=
                        0);
        loop_until(p->event, &ticks, 1);
        assert_int_equal(p->done, 0);
        assert_int_equal(write(g.pipe[1], "x", 1), 1);
        loop_until(p->event, &p->done, 1);
        assert_int_equal(g.w.result, 7);
        close(g.pipe[0]);
        close(g.pipe[1]);
}

typedef struct Chain {
        Work w;
        unsigned left;
} Chain;

static int link_work(void *userdata)
{
        (void)userdata;
        return 0;
}

static void link_done(void *userdata, int result)
{
        Chain *c = userdata;

        (void)result;
        if (--c->left)
                assert_int_equal(worker_post(c->w.place->worker, link_work, link_done, c), 0);
        else
                c->w.place->done++;
}

static void test_a_job_that_is_done_may_post_the_next(void **state)
{
        Place *p = *state;
        Chain c = {.w = {.place = p}, .left = 50};

        assert_int_equal(worker_post(p->worker, link_work, link_done, &c), 0);
        loop_until(p->event, &p->done, 1);
        assert_int_equal(c.left, 0);
}

static void test_an_end_waits_for_every_job_and_tells_everyone(void **state)
{
        Place *p = *state;
        Work jobs[20];

        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++) {
                jobs[i] = (Work){.place = p, .number = i};
                assert_int_equal(worker_post(p->worker, work, done, &jobs[i]), 0);
        }
        p->worker = worker_free(p->worker); /* the loop was never turned */
        assert_int_equal(p->done, ELEMENTSOF(jobs));
        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++)
                assert_int_equal(jobs[i].times_done, 1);
}

static void test_a_worker_without_jobs_ends_at_once(void **state)
{
        (void)state;
        assert_null(worker_free(NULL));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_jobs_run_in_order_and_come_back_once_with_their_result),
                        T(test_the_loop_turns_while_a_job_stands),
                        T(test_a_job_that_is_done_may_post_the_next),
                        T(test_an_end_waits_for_every_job_and_tells_everyone),
                        T(test_a_worker_without_jobs_ends_at_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
