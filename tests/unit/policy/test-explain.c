/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of an explanation, and that the suggested line does what it says. */
#include "fixture.h"

#include <stdio.h>

#include "policy/explain.h"

static char explained[POLICY_EXPLAIN_MAX + 1];

static const char *explain(const Policy *p, const PolicyLimits *limits, const PolicyRequest *request)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(POLICY_EXPLAIN_MAX);

        assert_int_equal(policy_explain(p, limits, request, &text), 0);
        memcpy(explained, text.data, text.len);
        explained[text.len] = '\0';
        assert_int_equal(explained[text.len - 1], '\n');
        return explained;
}

static void test_an_allowed_request_names_the_rule_that_decides(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=mosquitto op=random\n"
                                                         "allow user=telemetry key=device-* op=sign\n");
        PolicyRequest request = telemetry_signs();

        (void)state;
        assert_string_equal(explain(p, NULL, &request),
                        "allowed: user telemetry (uid 1001), op sign, key device-tls, scheme ES256\n"
                        "decided by test.conf:2: allow user=telemetry key=device-* op=sign\n"
                        "rules that came near:\n"
                        "    test.conf:1: allow user=mosquitto op=random\n"
                        "        user=: the caller is uid 1001\n"
                        "        op=: does not contain sign\n");
}

static void test_a_refused_request_says_what_is_missing_and_what_would_allow_it(void **state)
{
        _cleanup_(policy_unrefp) Policy *p =
                        make_policy("allow user=mosquitto key=device-tls op=sign\n"
                                    "allow user=telemetry key=other op=mac algorithm=ed25519\n");
        PolicyRequest request = telemetry_signs();

        (void)state;
        assert_string_equal(explain(p, NULL, &request),
                        "refused: user telemetry (uid 1001), op sign, key device-tls, scheme ES256\n"
                        "no rule allows it\n"
                        "rules that came near:\n"
                        "    test.conf:1: allow user=mosquitto key=device-tls op=sign\n"
                        "        user=: the caller is uid 1001\n"
                        "this line in a file of policy.d would allow it:\n"
                        "    allow user=telemetry key=device-tls op=sign\n");
}

static void test_a_caller_by_number_and_an_operation_without_scheme_leave_no_gaps(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("");
        PolicyRequest request = telemetry_signs();

        (void)state;
        request.user = NULL;
        request.scheme = "";
        assert_string_equal(explain(p, NULL, &request), "refused: uid 1001, op sign, key device-tls\n"
                                                        "no rule allows it\n"
                                                        "this line in a file of policy.d would allow it:\n"
                                                        "    allow user=1001 key=device-tls op=sign\n");
}

static void test_who_may_not_read_the_policy_sees_no_rules_for_others(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=mosquitto key=device-tls op=sign\n"
                                                         "allow group=4000 key=device-tls op=sign\n"
                                                         "allow user=telemetry key=other op=sign\n");
        PolicyRequest request = telemetry_signs();

        (void)state;
        request.own_rules_only = true;
        assert_string_equal(explain(p, NULL, &request),
                        "refused: user telemetry (uid 1001), op sign, key device-tls, scheme ES256\n"
                        "no rule allows it\n"
                        "rules that came near:\n"
                        "    test.conf:3: allow user=telemetry key=other op=sign\n"
                        "        key=: the request has device-tls\n"
                        "this line in a file of policy.d would allow it:\n"
                        "    allow user=telemetry key=device-tls op=sign\n");
}

static void test_a_profile_is_named_and_suggested(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=telemetry key=intermediate op=ca-issue profile=device\n");
        PolicyRequest request = telemetry_signs();

        (void)state;
        request.operation = POLICY_OP_CA_ISSUE;
        request.key = "intermediate";
        request.scheme = NULL;
        request.profile = "device";
        assert_non_null(strstr(explain(p, NULL, &request), "allowed: user telemetry (uid 1001), op ca-issue, key intermediate, "
                                                            "profile device\ndecided by test.conf:1"));
        request.profile = "server";
        assert_string_equal(explain(p, NULL, &request),
                        "refused: user telemetry (uid 1001), op ca-issue, key intermediate, profile server\n"
                        "no rule allows it\n"
                        "rules that came near:\n"
                        "    test.conf:1: allow user=telemetry key=intermediate op=ca-issue profile=device\n"
                        "        profile=: the request has server\n"
                        "this line in a file of policy.d would allow it:\n"
                        "    allow user=telemetry key=intermediate op=ca-issue profile=server\n");
        request.profile = NULL;
        assert_non_null(strstr(explain(p, NULL, &request), "profile=: the request has none\n"));
}

/* P04 */
static void test_a_deny_rule_is_named_and_nothing_is_suggested(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=telemetry op=sign\n"
                                                         "deny user=telemetry key=device-*\n");
        PolicyRequest request = telemetry_signs();
        char line[POLICY_SUGGEST_SIZE] = "untouched";

        (void)state;
        assert_string_equal(explain(p, NULL, &request),
                        "refused: user telemetry (uid 1001), op sign, key device-tls, scheme ES256\n"
                        "forbidden by test.conf:2: deny user=telemetry key=device-*\n"
                        "no rule can outweigh a deny rule: change or remove test.conf:2\n");
        assert_int_equal(policy_suggest(p, NULL, &request, line), HF_E_NOTHING_TO_DO);
        assert_string_equal(line, "untouched");
}

static void test_each_word_that_does_not_match_says_why(void **state)
{
        static const struct {
                const char *rule, *says;
        } table[] = {
                        {"allow user=telemetry unit=x.service op=sign\n",
                                        "unit=: the caller's is not proven"},
                        {"allow user=telemetry label=x op=sign\n", "label=: the caller's is not proven"},
                        {"allow user=ghost op=sign\n",
                                        "user=: ghost did not exist when the rules were loaded"},
                        {"allow group=ghosts op=sign\n",
                                        "group=: ghosts did not exist when the rules were loaded"},
                        {"allow group=staff op=sign\n",
                                        "group=: the caller is not in it; its primary group is 1001"},
                        {"allow user=telemetry key=other op=sign\n", "key=: the request has device-tls"},
                        {"allow user=telemetry algorithm=ed25519 op=sign\n",
                                        "algorithm=: the request has p256"},
                        {"allow user=telemetry scheme=EdDSA op=sign\n", "scheme=: the request has ES256"},
                        {"allow user=telemetry socket=system-bus op=sign\n",
                                        "socket=: the request has /run/holdfast/bus"},
                        {"allow user=telemetry op=mac\n", "op=: does not contain sign"},
                        {"allow user=telemetry op=sign between=13:00-14:00\n",
                                        "not at this time (UTC) by test.conf:1"},
                        {"allow user=telemetry op=sign name=n uses=3\n",
                                        "the uses of this key are spent by test.conf:1"},
                        {"allow user=telemetry op=sign rate=1/s\n",
                                        "more at once than the burst of test.conf:1"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                _cleanup_(policy_unrefp) Policy *p = make_policy(table[i].rule);
                PolicyRequest request = telemetry_signs();

                request.count = 2;
                if (!strstr(explain(p, NULL, &request), table[i].says))
                        fail_msg("%s\n%s", table[i].says, explained);
        }
}

/* A store that is closed can neither say that uses are left nor that they are spent. */
static void test_uses_of_a_closed_store_are_unknown_and_not_spent(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=telemetry op=sign name=n uses=3\n");
        PolicyRequest request = telemetry_signs();
        PolicyDecision d;

        (void)state;
        request.uses_unknown = true;
        policy_peek(p, NULL, &request, &d);
        assert_int_equal(d.reason, POLICY_REASON_USES_UNKNOWN);
        assert_int_equal(d.result, HF_E_USES_EXHAUSTED);
        assert_string_equal(policy_reason_to_string(d.reason), "uses-unknown");
        assert_non_null(strstr(explain(p, NULL, &request),
                        "the store is closed, so whether uses are left is not known, by test.conf:1"));
        assert_null(strstr(explained, "spent"));
        request.uses_unknown = false;
        assert_non_null(strstr(explain(p, NULL, &request), "the uses of this key are spent by test.conf:1"));
}

static void test_a_proven_unit_that_is_another_one_is_shown(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow unit=x.service op=sign\n");
        PolicyRequest request = telemetry_signs();

        (void)state;
        request.unit = "y.service";
        assert_non_null(strstr(explain(p, NULL, &request), "unit=: the caller's is y.service\n"));
        request.key = NULL;
        request.algorithm = NULL;
        request.operation = POLICY_OP_UNLOCK;
        policy_unref(TAKE_PTR(p));
        p = make_policy("allow user=* op=unlock key=a\n");
        assert_non_null(strstr(explain(p, NULL, &request), "key=: the request has none\n"));
}

static void test_a_rate_tells_the_time_to_wait_and_takes_nothing(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=* op=sign rate=2/h burst=1\n");
        _cleanup_(policy_limits_freep) PolicyLimits *limits = NULL;
        PolicyRequest request = telemetry_signs();
        PolicyDecision d;

        (void)state;
        assert_int_equal(policy_limits_new(8, &limits), 0);
        assert_non_null(strstr(explain(p, limits, &request), "allowed:"));
        policy_decide(p, limits, &request, &d);
        assert_int_equal(d.result, 0);
        request.now_monotonic += 1500;
        assert_non_null(strstr(
                        explain(p, limits, &request), "too often, again in 1799.998 s, by test.conf:1: "));
        assert_null(strstr(explained, "would allow it"));
}

static void test_at_most_twenty_rules_are_shown_nearest_first(void **state)
{
        char text[4096] = "allow user=2000 op=mac\n"; /* two words away */
        size_t n = strlen(text);
        PolicyRequest request = telemetry_signs();
        unsigned lines = 0;

        (void)state;
        for (int i = 0; i < 25; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "allow user=%d op=sign\n", 3000 + i);
        _cleanup_(policy_unrefp) Policy *p = make_policy(text);
        assert_non_null(strstr(explain(p, NULL, &request), "near:\n    test.conf:2: "));
        for (const char *at = explained; (at = strstr(at, "    test.conf:")); at++)
                lines++;
        assert_int_equal(lines, POLICY_EXPLAIN_RULES_MAX);
        assert_non_null(strstr(explained, "    and 6 more\n"));
}

static void test_what_the_caller_sent_is_made_harmless(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("");
        PolicyRequest request = telemetry_signs();

        (void)state;
        request.key = "a\nallow user=* op=all\x1b[2J";
        request.user = "x\ny";
        request.scheme = "\xff";
        assert_string_equal(explain(p, NULL, &request), "refused: user x\\x0ay (uid 1001), op sign, key "
                                                        "a\\x0aallow user=* op=all\\x1b[2J, scheme \\xff\n"
                                                        "no rule allows it\n");
}

static void test_the_largest_rules_still_fit_the_buffer(void **state)
{
        static char text[40 * 8192];
        size_t n = 0;
        PolicyRequest request = telemetry_signs();

        (void)state;
        for (int i = 0; i < 30; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n,
                                "allow label=%01000d,%01000d,%01000d,%01000d unit=a.service key=x op=sign "
                                "name=r%d\n",
                                i, i, i, i, i);
        for (int i = 0; i < 30; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n,
                                "allow label=%01000d,%01000d,%01000d unit=a.service op=sign name=s%d\n", i, i,
                                i, i);
        _cleanup_(policy_unrefp) Policy *p = make_policy(text);
        assert_non_null(strstr(explain(p, NULL, &request), " ...\n"));
        assert_non_null(strstr(explained, "and 10 more"));
}

/* For whom and for whatever operation: the line suggested is a rule, and with it the same request is allowed.
 */
static void test_the_suggested_line_allows_exactly_what_was_refused(void **state)
{
        static const char *const users[] = {"telemetry", NULL, "strange name", "9", "*", "a,b"};

        (void)state;
        for (PolicyOperation op = _POLICY_OP_INVALID + 1; op < _POLICY_OP_MAX; op++)
                for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
                        _cleanup_(policy_unrefp) Policy *empty = make_policy(""), *p = NULL;
                        char line[POLICY_SUGGEST_SIZE];
                        PolicyRequest request = telemetry_signs();
                        PolicyDecision d;

                        request.operation = op;
                        request.user = users[i];
                        request.profile = i % 2 && policy_operation_info(op)->profile ? "device" : NULL;
                        if (policy_operation_info(op)->key != POLICY_KEY_ONE)
                                request.key = request.algorithm = NULL;
                        assert_int_equal(policy_suggest(empty, NULL, &request, line), 0);
                        p = make_policy(line);
                        policy_decide(p, NULL, &request, &d);
                        assert_int_equal(d.result, 0);
                        assert_int_equal(policy_suggest(p, NULL, &request, line), HF_E_NOTHING_TO_DO);

                        request.uid++;
                        policy_decide(p, NULL, &request, &d);
                        assert_int_equal(d.result, HF_E_POLICY_DENIED);
                }
}

static void test_nothing_is_suggested_where_no_line_can_help(void **state)
{
        _cleanup_(policy_unrefp) Policy *empty = make_policy("");
        _cleanup_(policy_unrefp) Policy *late = make_policy("allow user=* op=sign between=13:00-14:00\n");
        PolicyRequest request = telemetry_signs();
        char line[POLICY_SUGGEST_SIZE];

        (void)state;
        assert_int_equal(policy_suggest(late, NULL, &request, line), HF_E_NOTHING_TO_DO);
        request.key = NULL;
        assert_int_equal(policy_suggest(empty, NULL, &request, line), HF_E_NOTHING_TO_DO);
        request.key = "not/a/name";
        assert_int_equal(policy_suggest(empty, NULL, &request, line), HF_E_NOTHING_TO_DO);
        request.operation = _POLICY_OP_MAX;
        assert_int_equal(policy_suggest(empty, NULL, &request, line), HF_E_NOTHING_TO_DO);
        assert_non_null(strstr(explain(empty, NULL, &request), "op invalid"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_an_allowed_request_names_the_rule_that_decides),
                        cmocka_unit_test(test_a_refused_request_says_what_is_missing_and_what_would_allow_it),
                        cmocka_unit_test(test_a_caller_by_number_and_an_operation_without_scheme_leave_no_gaps),
                        cmocka_unit_test(test_who_may_not_read_the_policy_sees_no_rules_for_others),
                        cmocka_unit_test(test_a_profile_is_named_and_suggested),
                        cmocka_unit_test(test_a_deny_rule_is_named_and_nothing_is_suggested),
                        cmocka_unit_test(test_each_word_that_does_not_match_says_why),
                        cmocka_unit_test(test_uses_of_a_closed_store_are_unknown_and_not_spent),
                        cmocka_unit_test(test_a_proven_unit_that_is_another_one_is_shown),
                        cmocka_unit_test(test_a_rate_tells_the_time_to_wait_and_takes_nothing),
                        cmocka_unit_test(test_at_most_twenty_rules_are_shown_nearest_first),
                        cmocka_unit_test(test_what_the_caller_sent_is_made_harmless),
                        cmocka_unit_test(test_the_largest_rules_still_fit_the_buffer),
                        cmocka_unit_test(test_the_suggested_line_allows_exactly_what_was_refused),
                        cmocka_unit_test(test_nothing_is_suggested_where_no_line_can_help),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
