/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli/options.c and the tables of verbs: what is taken, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/cli.h"

#define PARSE(names, front, o, first, ...)                                                                   \
        ({                                                                                                   \
                char *argv_[] = {(char *)"test", __VA_ARGS__, NULL};                                         \
                options_parse((int)ELEMENTSOF(argv_) - 1, argv_, NULL, NULL, names, front, o, first);              \
        })

static void test_options_and_arguments_come_in_any_order(void **state)
{
        Options o = {0};
        int first;

        (void)state;
        assert_true(PARSE("scheme output", false, &o, &first, (char *)"key", (char *)"--scheme=ES256",
                        (char *)"file", (char *)"-o", (char *)"out"));
        assert_string_equal(o.scheme, "ES256");
        assert_string_equal(o.output, "out");
        assert_int_equal(first, 4);
}

static void test_an_option_of_another_verb_is_refused(void **state)
{
        Options o = {0};
        int first;

        (void)state;
        assert_false(PARSE("scheme", false, &o, &first, (char *)"--recovery-file", (char *)"x"));
        assert_null(o.recovery_file);
        assert_false(PARSE("", false, &o, &first, (char *)"--no-such"));
}

static void test_a_letter_means_the_option_of_the_verb(void **state)
{
        Options o = {0}, p = {0};
        int first;

        (void)state;
        assert_true(PARSE("format", false, &o, &first, (char *)"-f", (char *)"jwk"));
        assert_string_equal(o.format, "jwk");
        assert_false(o.follow);
        assert_true(PARSE("follow", false, &p, &first, (char *)"-f"));
        assert_true(p.follow);
        assert_null(p.format);
}

static void test_a_missing_value_is_refused(void **state)
{
        Options o = {0};
        int first;

        (void)state;
        assert_false(PARSE("scheme", false, &o, &first, (char *)"--scheme"));
}

static void test_repeated_names_are_kept_in_order_up_to_the_limit(void **state)
{
        char *argv[2 * (OPTION_LIST_MAX + 1) + 2] = {(char *)"test"};
        Options o = {0};
        int first;

        (void)state;
        for (size_t i = 0; i < OPTION_LIST_MAX + 1; i++) {
                argv[1 + 2 * i] = (char *)"--dns";
                argv[2 + 2 * i] = (char *)(i == 0 ? "a.example" : "b.example");
        }
        assert_true(options_parse(2 * OPTION_LIST_MAX + 1, argv, NULL, NULL, "dns", false, &o, &first));
        assert_int_equal(o.dns.n, OPTION_LIST_MAX);
        assert_string_equal(o.dns.items[0], "a.example");
        assert_null(o.dns.items[OPTION_LIST_MAX]);
        memset(&o, 0, sizeof(o));
        assert_false(options_parse(2 * (OPTION_LIST_MAX + 1) + 1, argv, NULL, NULL, "dns", false, &o, &first));
}

static void test_common_options_stand_in_front_of_the_noun(void **state)
{
        Options o = {0};
        int first;

        (void)state;
        assert_true(PARSE("version", true, &o, &first, (char *)"--json", (char *)"key", (char *)"--scheme"));
        assert_true(o.json);
        assert_int_equal(first, 2);
}

/* Every name in a verb's list is an option, no verb is there twice, no two options of a verb share a letter.
 */
static void test_the_tables_are_sound(void **state)
{
        const Verb *table;
        size_t n = 0;

        (void)state;
        for (size_t i = 0; (table = verbs_table(i)); i++)
                for (const Verb *v = table; v->name; v++) {
                        bool letters[128] = {0};
                        char all[512];

                        n++;
                        assert_ptr_equal(verbs_find(v->noun, v->name), v);
                        assert_true(v->min <= v->max && v->run && v->summary[0]);
                        snprintf(all, sizeof(all), "%s %s", options_common, v->options);
                        for (char *rest = all, *name; (name = strsep(&rest, " "));) {
                                const OptionRow *row = options_find(v->noun, v->name, name, strlen(name));

                                if (!name[0])
                                        continue;
                                assert_non_null(row);
                                assert_false(row->letter && letters[(unsigned)row->letter]);
                                letters[(unsigned)row->letter] = true;
                        }
                }
        assert_true(n > 35);
        assert_null(verbs_find("key", "sign"));
        assert_null(verbs_find(NULL, "create"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_options_and_arguments_come_in_any_order),
                        cmocka_unit_test(test_an_option_of_another_verb_is_refused),
                        cmocka_unit_test(test_a_letter_means_the_option_of_the_verb),
                        cmocka_unit_test(test_a_missing_value_is_refused),
                        cmocka_unit_test(test_repeated_names_are_kept_in_order_up_to_the_limit),
                        cmocka_unit_test(test_common_options_stand_in_front_of_the_noun),
                        cmocka_unit_test(test_the_tables_are_sound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
