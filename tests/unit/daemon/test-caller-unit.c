/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The unit of a caller, out of the text of /proc/PID/cgroup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h> /* stands on the four before */

#include "daemon/caller.h"

static void assert_unit(const char *text, const char *expected)
{
        char unit[256] = "left over";

        caller_unit_of_cgroup(text, unit, sizeof(unit));
        assert_string_equal(unit, expected);
}

static void test_a_service_is_found_in_either_kind_of_hierarchy(void **state)
{
        (void)state;
        assert_unit("0::/system.slice/nginx.service\n", "nginx.service");
        assert_unit("0::/system.slice/system-web.slice/web@a.service", "web@a.service");
        assert_unit("5:pids:/x\n2:name=systemd:/system.slice/nginx.service\n0::/\n", "nginx.service");
        assert_unit("0::/user.slice/user-1000.slice/session-2.scope\n", "session-2.scope");
}

static void test_what_lies_below_a_unit_does_not_name_another(void **state)
{
        (void)state;
        assert_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n", "user@1000.service");
        assert_unit("0::/system.slice/app.service/nginx.service\n", "app.service");
        assert_unit("0::/machine.slice/box.scope/system.slice/nginx.service\n", "box.scope");
}

static void test_another_hierarchy_cannot_pose_as_systemd_s(void **state)
{
        (void)state;
        assert_unit("7:pids:/:name=systemd:/nginx.service\n0::/\n", "");
        assert_unit("7:pids:/a/0::/nginx.service\n", "");
        assert_unit("10::/nginx.service\n", "");
        assert_unit("7:pids,name=systemd:/nginx.service\n", "");
        assert_unit("3:cpu:/nginx.service\n2:name=systemd:/\n0::/\n", "");
}

static void test_odd_texts_have_no_unit(void **state)
{
        char path[600] = "0::/";
        static const char *const texts[] = {"", "\n", "0::", "0::/", "0:", "0", ":::", "0::/.service\n", "0::/.scope",
                        "0::/a.slice/b.slice\n", "0::/nginx.service.d\n", "name=systemd:/a.service", "0::\n/a.service\n"};

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_unit(texts[i], "");
        memset(path + 4, 'a', 500);
        strcpy(path + 504, ".service");
        assert_unit(path, ""); /* longer than any unit */
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_service_is_found_in_either_kind_of_hierarchy),
                        cmocka_unit_test(test_what_lies_below_a_unit_does_not_name_another),
                        cmocka_unit_test(test_another_hierarchy_cannot_pose_as_systemd_s),
                        cmocka_unit_test(test_odd_texts_have_no_unit),
        };

        return cmocka_run_group_tests_name("daemon/caller", tests, NULL, NULL);
}
