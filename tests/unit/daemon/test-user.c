/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one uid has of us, and how its refusals are counted: written one by one up to a point, and never
 * forgotten. */
#include "daemon/user.h"

#include "audit/reader.h"
#include "tests/unit/daemon/support.h"

#define LOG_ID "0a1b2c3d-4e5f-4a6b-8c7d-8e9fa0b1c2d3"

typedef struct Place {
        Sandbox box;
        Daemon d;
} Place;

static void open_log(Place *p)
{
        static const uint8_t key[32] = {1, 2, 3};

        assert_int_equal(audit_log_create(&(AuditLogParams){.dir_fd = p->box.fd,
                                                          .log_id = LOG_ID,
                                                          .key = key,
                                                          .segment_size = 64 << 10},
                                         NULL, &p->d.vault.log),
                        0);
}

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        sandbox_make(&p->box);
        assert_true(sd_event_new(&p->d.event) >= 0);
        open_log(p);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Place *p = *state;

        clock_set_monotonic(0);
        sd_event_source_disable_unref(p->d.flood);
        audit_log_free(p->d.vault.log);
        sd_event_unref(p->d.event);
        sandbox_remove(&p->box);
        free(p);
        return 0;
}

/* Sum of the counts of one uid's denied.flood lines, and how many lines there are. */
static uint64_t flood_of(Place *p, const char *uid, unsigned *ret_lines)
{
        _cleanup_(audit_reader_freep) AuditReader *reader = NULL;
        AuditFilter filter = {.until = UINT64_MAX, .event = "denied.flood"};
        char want[64];
        AuditRecord rec;
        uint64_t sum = 0;

        snprintf(want, sizeof(want), "\"uid\":%s,\"count\":", uid);
        assert_int_equal(audit_log_sync(p->d.vault.log), 0);
        assert_int_equal(audit_reader_new(p->box.fd, &filter, &reader), 0);
        *ret_lines = 0;
        while (audit_reader_next(reader, &rec) == 0) {
                _cleanup_free_ char *text = strndup((const char *)rec.line.data, rec.line.len);
                char *at = strstr(text, want);

                if (!at)
                        continue;
                sum += strtoull(at + strlen(want), NULL, 10);
                ++*ret_lines;
        }
        return sum;
}

/* Until the timer has nobody left to write for. */
static void turn_until_written(Place *p)
{
        uint64_t end;

        clock_set_monotonic(0);
        end = clock_monotonic() + LOOP_PATIENCE;
        while (sd_event_source_get_enabled(p->d.flood, NULL) > 0) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(p->d.event, USEC_PER_SEC) >= 0);
        }
}

static void test_one_uid_is_one_user_as_long_as_somebody_holds_it(void **state)
{
        Place *p = *state;
        User *a, *b, *c;

        assert_int_equal(user_get(&p->d, 1001, &a), 0);
        assert_int_equal(user_get(&p->d, 1002, &b), 0);
        assert_int_equal(user_get(&p->d, 1001, &c), 0);
        assert_ptr_equal(a, c);
        assert_ptr_not_equal(a, b);
        assert_int_equal(a->refs, 2);
        a->n_connections = 3;
        assert_null(user_unref(&p->d, a));
        assert_int_equal(c->n_connections, 3);
        assert_null(user_unref(&p->d, c));
        assert_int_equal(user_get(&p->d, 1001, &a), 0);
        assert_int_equal(a->n_connections, 0);
        user_unref(&p->d, a);
        user_unref(&p->d, b);
        assert_null(p->d.users);
        assert_null(user_unref(&p->d, NULL));
}

static void test_a_burst_is_written_one_by_one_and_the_rest_as_one_sum(void **state)
{
        Place *p = *state;
        unsigned lines;
        User *u;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        for (int i = 0; i < USER_DENIED_BURST; i++)
                assert_true(user_may_log_denial(&p->d, u));
        for (int i = 0; i < 1000; i++)
                assert_false(user_may_log_denial(&p->d, u));
        turn_until_written(p);
        assert_int_equal(flood_of(p, "1001", &lines), 1000);
        assert_int_equal(lines, 1);
        user_unref(&p->d, u);
        assert_null(p->d.users);
}

static void test_pauses_give_back_one_line_each_and_never_more_than_a_burst(void **state)
{
        Place *p = *state;
        uint64_t now = 1000 * USEC_PER_SEC;
        User *u;

        clock_set_monotonic(now);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        while (user_may_log_denial(&p->d, u))
                ;
        clock_set_monotonic(now += USER_DENIED_INTERVAL - 1);
        assert_false(user_may_log_denial(&p->d, u));
        clock_set_monotonic(now += 1);
        assert_true(user_may_log_denial(&p->d, u));
        assert_false(user_may_log_denial(&p->d, u));
        clock_set_monotonic(now += 1000000ULL * USER_DENIED_INTERVAL);
        for (int i = 0; i < USER_DENIED_BURST; i++)
                assert_true(user_may_log_denial(&p->d, u));
        assert_false(user_may_log_denial(&p->d, u));
        turn_until_written(p);
        user_unref(&p->d, u);
        assert_null(p->d.users);
}

static void test_half_intervals_add_up(void **state)
{
        Place *p = *state;
        uint64_t now = 1000 * USEC_PER_SEC;
        unsigned allowed = 0;
        User *u;

        clock_set_monotonic(now);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        while (user_may_log_denial(&p->d, u))
                ;
        for (int i = 0; i < 10; i++) {
                clock_set_monotonic(now += USER_DENIED_INTERVAL / 2);
                allowed += user_may_log_denial(&p->d, u);
        }
        assert_int_equal(allowed, 5);
        turn_until_written(p);
        user_unref(&p->d, u);
}

static void test_a_sum_is_written_though_its_user_has_left(void **state)
{
        Place *p = *state;
        unsigned lines;
        User *u, *v;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        assert_int_equal(user_get(&p->d, 1002, &v), 0);
        for (int i = 0; i < USER_DENIED_BURST + 7; i++)
                user_may_log_denial(&p->d, u);
        for (int i = 0; i < USER_DENIED_BURST + 3; i++)
                user_may_log_denial(&p->d, v);
        user_unref(&p->d, u);
        user_unref(&p->d, v);
        assert_non_null(p->d.users);
        turn_until_written(p);
        assert_int_equal(flood_of(p, "1001", &lines), 7);
        assert_int_equal(flood_of(p, "1002", &lines), 3);
        assert_null(p->d.users);
}

static void test_leaving_and_coming_back_does_not_buy_a_new_burst_while_a_sum_waits(void **state)
{
        Place *p = *state;
        unsigned lines;
        User *u;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        while (user_may_log_denial(&p->d, u))
                ;
        user_unref(&p->d, u);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        assert_false(user_may_log_denial(&p->d, u));
        user_unref(&p->d, u);
        turn_until_written(p);
        assert_int_equal(flood_of(p, "1001", &lines), 2);
}

static void test_a_new_connection_for_each_refusal_buys_no_more_lines_than_one(void **state)
{
        Place *p = *state;
        unsigned written = 0, lines;
        User *u;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        for (int i = 0; i < 3 * USER_DENIED_BURST; i++) {
                assert_int_equal(user_get(&p->d, 1001, &u), 0);
                written += user_may_log_denial(&p->d, u);
                user_unref(&p->d, u);
        }
        assert_int_equal(written, USER_DENIED_BURST);
        turn_until_written(p);
        assert_int_equal(flood_of(p, "1001", &lines), 2 * USER_DENIED_BURST);
}

static void test_who_was_refused_is_forgotten_when_he_has_his_lines_again(void **state)
{
        Place *p = *state;
        User *u;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        assert_true(user_may_log_denial(&p->d, u));
        user_unref(&p->d, u);
        assert_non_null(p->d.users);
        clock_set_monotonic(1000 * USEC_PER_SEC + USER_DENIED_INTERVAL);
        assert_int_equal(user_get(&p->d, 1002, &u), 0);
        user_unref(&p->d, u);
        assert_null(p->d.users);
}

static void test_a_second_flood_gets_a_line_of_its_own(void **state)
{
        Place *p = *state;
        unsigned lines;
        User *u;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        for (int i = 0; i < USER_DENIED_BURST + 4; i++)
                user_may_log_denial(&p->d, u);
        turn_until_written(p);
        clock_set_monotonic(1000 * USEC_PER_SEC);
        u->denied_refill = 1000 * USEC_PER_SEC;
        for (int i = 0; i < 6; i++)
                assert_false(user_may_log_denial(&p->d, u));
        turn_until_written(p);
        assert_int_equal(flood_of(p, "1001", &lines), 10);
        assert_int_equal(lines, 2);
        user_unref(&p->d, u);
        assert_null(p->d.users);
}

static void test_a_sum_waits_for_a_log_that_is_closed(void **state)
{
        Place *p = *state;
        AuditLog *log = TAKE_PTR(p->d.vault.log);
        unsigned lines, turns = 0;
        User *u;

        clock_set_monotonic(1000 * USEC_PER_SEC);
        assert_int_equal(user_get(&p->d, 1001, &u), 0);
        for (int i = 0; i < USER_DENIED_BURST + 9; i++)
                user_may_log_denial(&p->d, u);
        user_unref(&p->d, u);
        clock_set_monotonic(0);
        while (!turns)
                turns += sd_event_run(p->d.event, 2 * USEC_PER_SEC) > 0;
        assert_non_null(p->d.users);
        p->d.vault.log = log;
        turn_until_written(p);
        assert_int_equal(flood_of(p, "1001", &lines), 9);
        assert_null(p->d.users);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_one_uid_is_one_user_as_long_as_somebody_holds_it),
                        T(test_a_burst_is_written_one_by_one_and_the_rest_as_one_sum),
                        T(test_pauses_give_back_one_line_each_and_never_more_than_a_burst),
                        T(test_half_intervals_add_up),
                        T(test_a_sum_is_written_though_its_user_has_left),
                        T(test_leaving_and_coming_back_does_not_buy_a_new_burst_while_a_sum_waits),
                        T(test_a_new_connection_for_each_refusal_buys_no_more_lines_than_one),
                        T(test_who_was_refused_is_forgotten_when_he_has_his_lines_again),
                        T(test_a_second_flood_gets_a_line_of_its_own),
                        T(test_a_sum_waits_for_a_log_that_is_closed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
