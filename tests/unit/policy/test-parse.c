/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules that are wrong, and where; rules that are right, and what of them is kept. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct {
        const char *text;
        unsigned line, column;
        const char *says; /* part of the sentence */
} wrong[] = {
                /* beginnings */
                {"permit user=a op=sign\n", 1, 1, "allow or deny, not with permit"},
                {"allow=x user=a op=sign\n", 1, 1, "begins with allow or deny"},
                {"user=telemetry op=sign\n", 1, 1, "allow or deny, not with user"},
                {"\n\n  allo user=a\n", 3, 3, "not with allo"},

                /* unknown words: a typing error must not weaken (P03) */
                {"allow user=telemetry op=sign kee=device\n", 1, 30, "unknown word \"kee\""},
                {"allow user=telemetry op=sign key\n", 1, 30, "key wants a value"},
                {"allow user=telemetry op=sign telemetry\n", 1, 30, "unknown word \"telemetry\""},
                {"allow user=telemetry op=sign allow user=x\n", 1, 30, "unknown word \"allow\""},

                /* a word twice, too many values */
                {"allow user=telemetry user=mosquitto op=sign\n", 1, 22, "user= stands twice"},
                {"allow user=telemetry op=sign op=mac\n", 1, 30, "op= stands twice"},
                {"allow user=* op=sign rate=1/s,2/s\n", 1, 22, "rate= takes one value"},
                {"allow user=* op=sign socket=/a,/b\n", 1, 22, "socket= takes one value"},
                {"allow user=* op=sign name=a,b\n", 1, 22, "name= takes one value"},

                /* rules as a whole */
                {"allow op=sign key=*\n", 1, 1, "names nobody"},
                {"# first\n  deny key=*\n", 2, 3, "names nobody"},
                {"deny socket=/run/holdfast/bus\n", 1, 1, "names nobody"},
                {"allow user=telemetry key=*\n", 1, 1, "add op="},
                {"allow user=* op=sign uses=3\n", 1, 1, "needs a name="},
                {"allow user=* op=sign burst=3\n", 1, 1, "burst= belongs to a rate="},
                {"deny user=* rate=1/s\n", 1, 13, "rate= is for allow rules"},
                {"deny user=* burst=1\n", 1, 13, "burst= is for allow rules"},
                {"deny user=* uses=1 name=x\n", 1, 13, "uses= is for allow rules"},
                {"allow", 1, 1, "names nobody"},

                /* users and groups */
                {"allow user=4294967295 op=sign\n", 1, 12, "4294967295 is no number"},
                {"allow user=99999999999999999999 op=sign\n", 1, 12, "is no number"},
                {"allow user=010 op=sign\n", 1, 12, "010 is no number"},
                {"allow user=-1 op=sign\n", 1, 12, "cannot be the name"},
                {"allow user=a,te*y op=sign\n", 1, 14, "\"te*y\" cannot be the name"},
                {"allow user=a/b op=sign\n", 1, 12, "cannot be the name"},
                {"allow group=* op=sign\n", 1, 13, "\"*\" cannot be the name"},

                /* units, sockets, labels */
                {"allow unit=telemetry op=sign\n", 1, 12, "does not end in .service"},
                {"allow unit=.service op=sign\n", 1, 12, "does not end in .service"},
                {"allow unit=a.service,b.socket op=sign\n", 1, 22, "does not end in .service"},
                {"allow unit=\"a b.service\" op=sign\n", 1, 12, "cannot be the name of a systemd unit"},
                {"allow user=* op=sign socket=bus\n", 1, 29, "neither the path of a socket nor system-bus"},

                /* keys, operations, algorithms, schemes */
                {"allow user=* op=sign key=a/b\n", 1, 26, "\"a/b\" is no key name"},
                {"allow user=* op=sign key=-a\n", 1, 26, "is no key name"},
                {"allow user=* op=sing\n", 1, 17, "unknown operation \"sing\""},
                {"allow user=* op=sign,Sign\n", 1, 22, "unknown operation \"Sign\""},
                {"allow user=* op=sign algorithm=rsa1024\n", 1, 32, "unknown algorithm \"rsa1024\""},
                {"allow user=* op=sign algorithm=P256\n", 1, 32, "unknown algorithm"},
                {"allow user=* op=sign scheme=RS1\n", 1, 29, "unknown scheme \"RS1\""},

                /* numbers and times */
                {"allow user=* op=sign rate=5\n", 1, 27, "is no rate"},
                {"allow user=* op=sign rate=/s\n", 1, 27, "is no rate"},
                {"allow user=* op=sign rate=0/s\n", 1, 27, "is no rate"},
                {"allow user=* op=sign rate=5/d\n", 1, 27, "is no rate"},
                {"allow user=* op=sign rate=5/sec\n", 1, 27, "is no rate"},
                {"allow user=* op=sign rate=1000001/s\n", 1, 27, "is no rate"},
                {"allow user=* op=sign rate=1/s burst=0\n", 1, 37, "is no burst"},
                {"allow user=* op=sign rate=1/s burst=1000001\n", 1, 37, "is no burst"},
                {"allow user=* op=sign rate=1/s burst=x\n", 1, 37, "is no burst"},
                {"allow user=* op=sign between=8:00-18:00\n", 1, 30, "is no time of day"},
                {"allow user=* op=sign days=mon,someday\n", 1, 31, "\"someday\" is no day"},
                {"allow user=* op=sign name=x uses=0\n", 1, 34, "is no count of uses"},
                {"allow user=* op=sign name=x uses=-1\n", 1, 34, "is no count of uses"},
                {"allow user=* op=sign name=x uses=1000000000001\n", 1, 34, "is no count of uses"},
                {"allow user=* op=sign name=\"a b\"\n", 1, 27, "is no name"},
                {"allow user=* op=sign name=a\nallow user=* op=mac name=a\n", 2, 26,
                                "already used in test.conf:1"},

                /* on the continued line, the place is the real one */
                {"allow user=* \\\n   op=sing\n", 2, 7, "unknown operation"},
                {"allow user=* \\\n   op=sign \\\n key=a,b/c\n", 3, 8, "\"b/c\" is no key name"},
                /* the last line counts without its line break, too */
                {"allow user=* op=sign\nallow user=* op=sing", 2, 17, "unknown operation"},
};

static void test_each_mistake_is_named_with_line_and_column(void **state)
{
        unsigned failed = 0;

        (void)state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                PolicyProblem problem = {};
                Policy *p = NULL;
                int r = try_policy(wrong[i].text, &problem, &p);

                if (r == HF_E_POLICY_INVALID && !p && strcmp(problem.path, "test.conf") == 0 &&
                                problem.line == wrong[i].line && problem.column == wrong[i].column &&
                                strstr(problem.sentence, wrong[i].says))
                        continue;
                print_error("%s\n  gave %d, %u:%u: %s\n", wrong[i].text, r, problem.line, problem.column,
                                problem.sentence);
                policy_unref(p);
                failed++;
        }
        assert_int_equal(failed, 0);
}

static void test_what_is_right_is_taken(void **state)
{
        static const char *const right[] = {
                        "allow user=telemetry op=sign\n",
                        "allow user=telemetry op=sign",
                        "\tallow\tuser=telemetry\top=sign\t\n",
                        "allow user=telemetry op=sign # why\n",
                        "allow user=telemetry # subject only here\n",
                        "deny user=*\n",
                        "deny group=staff,7 unit=a.service,\"b\\\\x2d*.service\" label=\"x, y\" key=a*,?b "
                        "op=all "
                        "algorithm=p256 scheme=ES256 socket=system-bus between=22:00-06:00 days=fri-mon "
                        "name=n\n",
                        "allow user=0,4294967294 op=use rate=1000000/s burst=1000000 uses=1000000000000 "
                        "name=N.1_x\n",
                        "allow user=* op=sign rate=1/min burst=1\nallow user=* op=sign rate=1/h\n",
                        "allow user=DOM\\\\x op=sign # a backslash needs quotes\n",
                        "allow user=\"DOM\\\\x\",x@y.z,_a$ op=sign\n",
        };
        static const bool taken[] = {true, true, true, true, false, true, true, true, true, false, true};

        (void)state;
        for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
                PolicyProblem problem;
                Policy *p = NULL;
                int r = try_policy(right[i], &problem, &p);

                if ((r == 0) != taken[i])
                        fail_msg("%s: %d %s", right[i], r, r ? problem.sentence : "");
                policy_unref(p);
        }
}

static void test_the_longest_unit_and_label_fit_and_no_longer_one(void **state)
{
        PolicyProblem problem;
        char text[2048];

        (void)state;
        for (int more = 0; more < 2; more++) {
                Policy *p = NULL;

                (void)snprintf(text, sizeof(text), "allow unit=%0*d.service op=sign\n", 247 + more, 0);
                assert_int_equal(try_policy(text, &problem, &p), more ? HF_E_POLICY_INVALID : 0);
                p = policy_unref(p);
                (void)snprintf(text, sizeof(text), "allow label=%0*d op=sign\n", 1024 + more, 0);
                assert_int_equal(try_policy(text, &problem, &p), more ? HF_E_POLICY_INVALID : 0);
                p = policy_unref(p);
                (void)snprintf(text, sizeof(text), "allow user=* op=sign socket=/%0*d\n", 106 + more, 0);
                assert_int_equal(try_policy(text, &problem, &p), more ? HF_E_POLICY_INVALID : 0);
                p = policy_unref(p);
                (void)snprintf(text, sizeof(text), "allow user=a%0*d op=sign\n", 254 + more, 0);
                assert_int_equal(try_policy(text, &problem, &p), more ? HF_E_POLICY_INVALID : 0);
                p = policy_unref(p);
        }
}

static void test_an_unknown_user_is_a_warning_with_its_place(void **state)
{
        Warnings w = {};
        PolicyParams params = fake_params(&w);
        PolicyProblem problem;
        Policy *p = NULL;

        (void)state;
        assert_int_equal(policy_load_text(&params, "x.conf",
                                         bytes_str("allow user=root op=all\nallow user=telemetry,ghost "
                                                   "op=sign\n"),
                                         &problem, &p),
                        0);
        policy_unref(p);
        assert_int_equal(w.n, 1);
        assert_string_equal(w.last.path, "x.conf");
        assert_int_equal(w.last.line, 2);
        assert_int_equal(w.last.column, 22);
        assert_non_null(strstr(w.last.sentence, "no user ghost"));

        assert_int_equal(policy_load_text(&params, "x.conf",
                                         bytes_str("allow user=root op=all\nallow group=ghosts op=sign\n"),
                                         &problem, &p),
                        0);
        policy_unref(p);
        assert_int_equal(w.n, 2);
        assert_non_null(strstr(w.last.sentence, "no group ghosts"));

        assert_int_equal(
                        policy_load_text(&params, "x.conf",
                                        bytes_str("allow user=root op=all\nallow user=unreachable op=sign\n"),
                                        &problem, &p),
                        0);
        policy_unref(p);
        assert_int_equal(w.n, 3);
        assert_non_null(strstr(w.last.sentence, "could not be looked up (Input/output error)"));
}

static void test_a_name_is_asked_for_once_a_load(void **state)
{
        Warnings w = {};
        PolicyParams params = fake_params(&w);
        PolicyProblem problem;
        Policy *p = NULL;

        (void)state;
        assert_int_equal(policy_load_text(&params, "x.conf",
                                         bytes_str("allow user=telemetry op=sign\nallow user=telemetry,root "
                                                   "op=all\n"),
                                         &problem, &p),
                        0);
        policy_unref(p);
        assert_int_equal(w.asked_users, 2);
}

static void test_without_callbacks_names_match_nobody_and_algorithms_are_taken(void **state)
{
        static const char text[] = "allow user=telemetry op=sign algorithm=future1 scheme=XX\n"
                                   "allow group=staff op=sign\n";
        PolicyParams params = {};
        PolicyProblem problem;
        Policy *p = NULL;

        (void)state;
        assert_int_equal(policy_load_text(&params, "x.conf", bytes_str(text), &problem, &p), 0);
        assert_false(policy_grants(p, POLICY_OP_SIGN));
        policy_unref(p);
        assert_int_equal(policy_load_text(&params, "x.conf",
                                         bytes_str("allow user=* op=sign algorithm=a_b\n"), &problem, &p),
                        HF_E_POLICY_INVALID);
}

/* P12: at the cap a policy loads, one rule more is refused by name. The time is printed, not judged. */
static void test_a_hundred_thousand_rules_load_and_one_more_does_not(void **state)
{
        const size_t size = (size_t)16 * 1024 * 1024;
        char *text = malloc(size);
        size_t n = 0, cap;
        PolicyParams params = fake_params(NULL);
        PolicyProblem problem = {};
        struct timespec from, to;
        Policy *p = NULL;

        (void)state;
        assert_non_null(text);
        for (unsigned i = 0; i < POLICY_RULES_MAX; i++)
                n += (size_t)snprintf(text + n, size - n,
                                "allow user=telemetry,%u group=staff key=device-%u-* op=use algorithm=p256 "
                                "rate=5/s name=r%u\n",
                                i, i, i);
        cap = n;
        n += (size_t)snprintf(text + n, size - n, "deny user=*\n");

        clock_gettime(CLOCK_MONOTONIC, &from);
        assert_int_equal(policy_load_text(&params, "big.conf", BYTES(text, cap), &problem, &p), 0);
        clock_gettime(CLOCK_MONOTONIC, &to);
        print_message("100,000 rules (%zu bytes) loaded in %.3f s\n", cap,
                        (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
        assert_int_equal(policy_n_rules(p), POLICY_RULES_MAX);
        policy_unref(p);

        assert_int_equal(policy_load_text(&params, "big.conf", BYTES(text, n), &problem, &p),
                        HF_E_POLICY_INVALID);
        assert_int_equal(problem.line, POLICY_RULES_MAX + 1);
        assert_non_null(strstr(problem.sentence, "too large"));
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_each_mistake_is_named_with_line_and_column),
                        cmocka_unit_test(test_what_is_right_is_taken),
                        cmocka_unit_test(test_the_longest_unit_and_label_fit_and_no_longer_one),
                        cmocka_unit_test(test_an_unknown_user_is_a_warning_with_its_place),
                        cmocka_unit_test(test_a_name_is_asked_for_once_a_load),
                        cmocka_unit_test(test_without_callbacks_names_match_nobody_and_algorithms_are_taken),
                        cmocka_unit_test(test_a_hundred_thousand_rules_load_and_one_more_does_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
