/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli/recipe: settings in the configurations of other programs, read as those programs would. */
#include "cli/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/tls-files.h"

static const struct {
        const char *text, *word, *value; /* NULL: there is none */
} cases[] = {
                /* the forms */
                {"user www-data;", "user", "www-data"},
                {"user www-data www-data;\n", "user", "www-data"},
                {"  \tuser\twww-data\t;\n", "user", "www-data"},
                {"a 1; user b; user c;", "user", "b"},
                {"global\n        user haproxy\n        group haproxy\n", "user", "haproxy"},
                {"user mosquitto", "user", "mosquitto"},
                {"user mosquitto\r\n", "user", "mosquitto"},
                {"setuid = stunnel4\n", "setuid", "stunnel4"},
                {"setuid=stunnel4\n", "setuid", "stunnel4"},
                {"export APACHE_RUN_USER=www-data\n", "APACHE_RUN_USER", "www-data"},
                {": ${APACHE_RUN_USER:=www-data}\n", "APACHE_RUN_USER", "www-data"},
                {"chroot /var/lib/haproxy\n", "chroot", "/var/lib/haproxy"},
                /* comments */
                {"#user nobody;\nuser www-data;\n", "user", "www-data"},
                {"# user nobody; user nobody;\n", "user", NULL},
                {"user www-data; # user nobody;\n", "user", "www-data"},
                {"user www-data # not nobody, but this one\n", "user", "www-data"},
                {"; setuid = nobody\nsetuid = stunnel4\n", "setuid", "stunnel4"},
                {"a b; # c\n; user nobody\n", "user", NULL},
                /* something else that begins alike, or means something else */
                {"username x\n", "user", NULL},
                {"use x\n", "user", NULL},
                {"xuser y\n", "user", NULL},
                {"userlist l\n user tiger password secret\n", "user", NULL},
                {"user\n", "user", NULL},
                {"user;www-data;", "user", NULL},
                {"user =\nwww-data\n", "user", NULL},
                {"export\n", "user", NULL},
                {"export", "user", NULL},
                {"", "user", NULL},
                {"\n\n;;{}{}#", "user", NULL},
                {"#", "user", NULL},
};

static void test_a_setting_is_read_as_its_program_would(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char value[RECIPE_VALUE_SIZE] = "untouched";
                bool found = recipe_setting(cases[i].text, cases[i].word, value);

                if (found != !!cases[i].value || strcmp(value, found ? cases[i].value : "untouched") != 0)
                        fail_msg("%s: %s", cases[i].text, value);
        }
}

static void test_a_value_that_is_too_long_is_none(void **state)
{
        char text[RECIPE_VALUE_SIZE + 16], value[RECIPE_VALUE_SIZE];

        (void)state;
        snprintf(text, sizeof(text), "user %0*d", RECIPE_VALUE_SIZE - 1, 0);
        assert_true(recipe_setting(text, "user", value));
        assert_int_equal(strlen(value), RECIPE_VALUE_SIZE - 1);
        snprintf(text, sizeof(text), "user %0*d", RECIPE_VALUE_SIZE, 0);
        assert_false(recipe_setting(text, "user", value));
}

/* Whatever the file is cut to, nothing behind its end is read; a sanitizer sees to that. */
static void test_a_configuration_cut_anywhere_is_read_to_its_end(void **state)
{
        static const char whole[] = "# c\n; d\nexport A=b; user = x y # z\n{user: q}\n";
        char value[RECIPE_VALUE_SIZE];

        (void)state;
        for (size_t n = 0; n < sizeof(whole); n++) {
                _cleanup_free_ char *cut = strndup(whole, n);

                (void)recipe_setting(cut, "user", value);
                (void)recipe_setting(cut, "nothing", value);
        }
}

static void test_the_lines_name_the_files_of_the_identity(void **state)
{
        static const char *const programs[] = {"nginx", "haproxy", "apache", "mosquitto", "stunnel"};

        (void)state;
        assert_int_equal(setenv("HOLDFAST_TLS", "/nonexistent/tls", true), 0);
        for (size_t i = 0; i < ELEMENTSOF(programs); i++) {
                const Recipe *recipe = recipe_find(programs[i]);
                _cleanup_json_ json_t *lines = NULL;

                assert_non_null(recipe);
                assert_non_null(strstr(recipe_names(), programs[i]));
                lines = recipe_lines(recipe, "web");
                for (size_t k = 0; k < json_array_size(lines); k++)
                        assert_non_null(strstr(json_string_value(json_array_get(lines, k)), "/nonexistent/tls/web/"));
                assert_true(json_array_size(lines) == 2 || strcmp(programs[i], "haproxy") == 0);
        }
        assert_null(recipe_find("lighttpd"));
        assert_null(recipe_find(""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_setting_is_read_as_its_program_would),
                        cmocka_unit_test(test_a_value_that_is_too_long_is_none),
                        cmocka_unit_test(test_a_configuration_cut_anywhere_is_read_to_its_end),
                        cmocka_unit_test(test_the_lines_name_the_files_of_the_identity),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
