/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The snapshot: what can be read from it, and how long it lives. */
#include "fixture.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/io.h"

static void test_the_source_is_the_files_with_their_paths_and_sizes(void **state)
{
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=* op=sign\n# x\n");

        (void)state;
        assert_true(bytes_equal(policy_source(p), bytes_str("== test.conf 25\nallow user=* op=sign\n# x\n")));
        assert_int_equal(policy_n_files(p), 1);
        assert_int_equal(policy_n_rules(p), 1);
}

static void test_a_reference_keeps_the_policy_alive(void **state)
{
        Policy *p = make_policy("allow user=* op=sign name=n uses=7\n"), *second = policy_ref(p);
        const PolicyRule *rule = policy_rule_at(p, 0);

        (void)state;
        assert_null(policy_unref(p));
        assert_string_equal(policy_rule_name(rule), "n");
        assert_int_equal(policy_rule_uses(rule), 7);
        assert_string_equal(policy_rule_path(rule), "test.conf");
        assert_int_equal(policy_rule_line(rule), 1);
        assert_null(policy_unref(second));
        assert_null(policy_unref(NULL));
}

static void test_a_rule_is_shown_as_written_on_one_line(void **state)
{
        static const struct {
                const char *source, *text;
        } table[] = {
                        {"allow user=* op=sign", "allow user=* op=sign"},
                        {"  allow user=*  op=sign   # why\n", "allow user=*  op=sign"},
                        {"allow user=* \\\n        op=sign\\\n \\\n key=a\n", "allow user=* op=sign key=a"},
                        {"allow\\\nuser=*\\\n\\\nop=sign\\\n", "allow user=* op=sign"},
                        {"allow user=* key=\"a\" op=sign # \\\n", "allow user=* key=\"a\" op=sign"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                _cleanup_(policy_unrefp) Policy *p = make_policy(table[i].source);
                _cleanup_buffer_ Buffer text = BUFFER_INIT(1024);

                assert_int_equal(policy_rule_text(policy_rule_at(p, 0), &text), 0);
                assert_int_equal(text.len, strlen(table[i].text));
                assert_memory_equal(text.data, table[i].text, text.len);
        }
}

static void test_granting_to_somebody_is_told_from_granting_to_nobody(void **state)
{
        static const struct {
                const char *rules;
                bool grants;
        } table[] = {
                        {"", false},
                        {"allow user=telemetry op=sign\n", true},
                        {"allow user=telemetry op=mac\n", false},
                        {"allow user=ghost op=sign\n", false},
                        {"allow user=ghost,telemetry op=sign\n", true},
                        {"allow user=* op=sign\n", true},
                        {"allow group=ghosts op=sign\n", false},
                        {"allow group=staff op=sign\n", true},
                        {"allow user=telemetry group=ghosts op=sign\n", false},
                        {"deny user=telemetry op=sign\n", false},
                        {"allow unit=x.service op=sign\n", true},
                        {"allow user=ghost op=sign\nallow user=0 op=use\n", true},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                _cleanup_(policy_unrefp) Policy *p = make_policy(table[i].rules);

                if (policy_grants(p, POLICY_OP_SIGN) != table[i].grants)
                        fail_msg("%s", table[i].rules);
        }
        _cleanup_(policy_unrefp) Policy *p = make_policy("allow user=telemetry op=sign\n");
        assert_true(policy_grants(p, POLICY_OP_DESCRIBE));
}

static void test_a_problem_is_told_with_its_place_or_without(void **state)
{
        PolicyProblem problem = {"a.conf", 3, 14, "what it is"};
        char text[POLICY_PROBLEM_TEXT_SIZE];

        (void)state;
        assert_string_equal(policy_problem_format(&problem, text, sizeof(text)), "a.conf:3:14: what it is");
        problem.line = 0;
        assert_string_equal(policy_problem_format(&problem, text, sizeof(text)), "a.conf: what it is");
        assert_string_equal(policy_problem_format(&problem, text, 7), "a.conf");
}

static void test_one_line_is_checked_as_it_would_be_loaded(void **state)
{
        const PolicyNames names = {fake_user, fake_group, fake_algorithm, fake_scheme, NULL};
        static const struct {
                const char *line;
                int want;
        } table[] = {
                        {"allow user=telemetry key=device-tls op=sign", 0},
                        {"deny user=*", 0},
                        {"", HF_E_POLICY_INVALID},
                        {"# only a comment", HF_E_POLICY_INVALID},
                        {"allow user=telemetry op=sign # comment", HF_E_POLICY_INVALID},
                        {" allow user=telemetry op=sign", HF_E_POLICY_INVALID},
                        {"allow user=telemetry op=sign ", HF_E_POLICY_INVALID},
                        {"allow user=telemetry op=sign\n", HF_E_POLICY_INVALID},
                        {"allow user=telemetry op=sign\nallow user=* op=all", HF_E_POLICY_INVALID},
                        {"allow user=telemetry \\\nop=sign", HF_E_POLICY_INVALID},
                        {"allow user=telemetry op=sing", HF_E_POLICY_INVALID},
                        {"allow user=telemetry op=sign algorithm=rsa1", HF_E_POLICY_INVALID},
                        {"allow user=ghost op=sign", 0},
        };
        PolicyProblem problem = {};

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (policy_rule_line_check(&names, table[i].line, &problem) != table[i].want)
                        fail_msg("%s", table[i].line);
        assert_string_equal(problem.path, "rule");
        assert_int_equal(policy_rule_line_check(NULL, "allow user=x op=sing", &problem), HF_E_POLICY_INVALID);
        assert_int_equal(problem.line, 1);
        assert_int_equal(problem.column, 17);
        assert_int_equal(policy_rule_line_check(NULL, "allow user=x op=sign algorithm=any", &problem), 0);
}

static void test_a_text_larger_than_all_files_may_be_is_refused(void **state)
{
        char *text = calloc(1, POLICY_SOURCE_MAX);
        PolicyParams params = fake_params(NULL);
        PolicyProblem problem = {};
        Policy *p = NULL;

        (void)state;
        assert_non_null(text);
        memset(text, '\n', POLICY_SOURCE_MAX);
        assert_int_equal(policy_load_text(&params, "big", BYTES(text, POLICY_SOURCE_MAX), &problem, &p),
                        HF_E_POLICY_INVALID);
        assert_null(p);
        assert_string_equal(problem.path, "big");
        assert_string_equal(problem.sentence, "too large");
        assert_int_equal(policy_load_text(&params, "big", BYTES(text, POLICY_SOURCE_MAX - 64), &problem, &p),
                        0);
        policy_unref(p);
        free(text);
}

/* The manual page, or skip where the test is not run by meson. */
static void read_manual(Buffer *ret)
{
        const char *path = getenv("HF_POLICY_MAN");

        if (!path)
                skip();
        assert_int_equal(io_read_file(AT_FDCWD, path, ret), 0);
        assert_int_equal(buffer_append(ret, "", 1), 0);
}

static void test_the_rules_in_the_manual_load(void **state)
{
        _cleanup_buffer_ Buffer manual = BUFFER_INIT(POLICY_FILE_MAX);
        PolicyParams params = {};
        PolicyProblem problem;
        size_t rules = 0;
        char *from, *to;

        (void)state;
        read_manual(&manual);
        for (char *at = (char *)manual.data; (from = strstr(at, "\n```\n")); at = to + 4) {
                to = strstr(from + 4, "\n```\n");
                assert_non_null(to);
                to[1] = '\0';
                _cleanup_(policy_unrefp) Policy *p = NULL;
                if (policy_load_text(&params, "manual", bytes_str(from + 5), &problem, &p))
                        fail_msg("%s: %s", from + 5, problem.sentence);
                rules += policy_n_rules(p);
        }
        assert_int_equal(rules, 5);
}

static void test_the_manual_names_every_operation(void **state)
{
        _cleanup_buffer_ Buffer manual = BUFFER_INIT(POLICY_FILE_MAX);
        const char *table;

        (void)state;
        read_manual(&manual);
        table = strstr((char *)manual.data, "# OPERATIONS");
        assert_non_null(table);
        for (PolicyOperation op = _POLICY_OP_INVALID + 1; op < _POLICY_OP_MAX; op++)
                if (!strstr(table, policy_operation_to_string(op)))
                        fail_msg("%s", policy_operation_to_string(op));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_the_source_is_the_files_with_their_paths_and_sizes),
                        cmocka_unit_test(test_a_reference_keeps_the_policy_alive),
                        cmocka_unit_test(test_a_rule_is_shown_as_written_on_one_line),
                        cmocka_unit_test(test_granting_to_somebody_is_told_from_granting_to_nobody),
                        cmocka_unit_test(test_a_problem_is_told_with_its_place_or_without),
                        cmocka_unit_test(test_one_line_is_checked_as_it_would_be_loaded),
                        cmocka_unit_test(test_the_rules_in_the_manual_load),
                        cmocka_unit_test(test_the_manual_names_every_operation),
                        cmocka_unit_test(test_a_text_larger_than_all_files_may_be_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
