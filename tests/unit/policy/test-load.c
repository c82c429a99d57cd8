/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and directories: which count, in which order, and which are refused with the command that mends them.
 */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"

/* Two directories like /etc/... and /usr/lib/..., the first one masking. */
typedef struct Place {
        char root[64], etc[80], lib[80];
        const char *dirs[3];
        PolicyProblem problem;
        Policy *policy;
        Warnings warnings;
} Place;

static Place place;

static int set_up(void **state)
{
        (void)state;
        place = (Place){.root = "/tmp/hf-policy-test.XXXXXX"};
        assert_non_null(mkdtemp(place.root));
        (void)snprintf(place.etc, sizeof(place.etc), "%s/etc", place.root);
        (void)snprintf(place.lib, sizeof(place.lib), "%s/lib", place.root);
        assert_int_equal(mkdir(place.etc, 0755), 0);
        assert_int_equal(mkdir(place.lib, 0755), 0);
        place.dirs[0] = place.etc;
        place.dirs[1] = place.lib;
        return 0;
}

static int tear_down(void **state)
{
        char command[128];

        (void)state;
        place.policy = policy_unref(place.policy);
        (void)snprintf(command, sizeof(command), "rm -rf %s", place.root);
        return system(command);
}

static const char *path_of(const char *dir, const char *name)
{
        static char paths[4][160];
        static unsigned i;
        char *path = paths[i++ % 4];

        (void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
        return path;
}

static void put(const char *dir, const char *name, const char *text)
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(io_write_file(fd, name, bytes_str(text), 0644), 0);
        close(fd);
}

static int load(void)
{
        PolicyParams params = fake_params(&place.warnings);

        params.dirs = place.dirs;
        place.policy = policy_unref(place.policy);
        return policy_load(&params, &place.problem, &place.policy);
}

static void loads_with(size_t rules, size_t files)
{
        int r = load();

        if (r)
                print_error("%s: %s\n", place.problem.path, place.problem.sentence);
        assert_int_equal(r, 0);
        assert_int_equal(policy_n_rules(place.policy), rules);
        assert_int_equal(policy_n_files(place.policy), files);
}

static void is_refused(const char *path, const char *says)
{
        place.problem = (PolicyProblem){};
        assert_int_equal(load(), HF_E_POLICY_INVALID);
        assert_null(place.policy);
        assert_string_equal(place.problem.path, path);
        if (!strstr(place.problem.sentence, says))
                fail_msg("\"%s\" does not say \"%s\"", place.problem.sentence, says);
}

/* P01 */
static void test_no_rules_at_all_refuse_everything_and_warn(void **state)
{
        PolicyRequest request = telemetry_signs();
        PolicyDecision d;

        (void)state;
        loads_with(0, 0);
        assert_int_equal(place.warnings.n, 1);
        assert_non_null(strstr(place.warnings.last.sentence, "everything is refused"));
        policy_decide(place.policy, NULL, &request, &d);
        assert_int_equal(d.result, HF_E_POLICY_DENIED);

        put(place.etc, "a.conf", "");
        loads_with(0, 1);
        place.dirs[0] = "/nonexistent/policy.d";
        loads_with(0, 0);
}

/* P01, P11: what is shipped is enough to administer, and no more. */
static void test_the_shipped_rules_let_admins_manage_but_not_use(void **state)
{
        PolicyRequest request = telemetry_signs();
        PolicyDecision d;

        (void)state;
        place.dirs[0] = getenv("HF_POLICY_RULES");
        if (!place.dirs[0])
                skip();
        place.dirs[1] = NULL;
        loads_with(2, 1);
        assert_int_equal(place.warnings.n, 0);
        for (PolicyOperation op = _POLICY_OP_INVALID + 1; op < _POLICY_OP_MAX; op++) {
                const PolicyOperationInfo *info = policy_operation_info(op);
                bool use = policy_operation_mask("use") & ~policy_operation_mask("manage") &
                           POLICY_OP_BIT(op);

                request.operation = op;
                request.key = info->key == POLICY_KEY_ONE ? "device-tls" : NULL;
                request.uid = UID_TELEMETRY;
                request.gid = 1001;
                policy_decide(place.policy, NULL, &request, &d);
                assert_int_equal(d.result, HF_E_POLICY_DENIED);
                request.gid = GID_ADMIN;
                policy_decide(place.policy, NULL, &request, &d);
                assert_int_equal(d.result, use ? HF_E_POLICY_DENIED : 0);
                request.uid = request.gid = 0;
                policy_decide(place.policy, NULL, &request, &d);
                assert_int_equal(d.result, use ? HF_E_POLICY_DENIED : 0);
        }
}

/* P11 */
static void test_rules_that_leave_no_administrator_are_warned_of(void **state)
{
        static const struct {
                const char *rules;
                unsigned warnings;
        } table[] = {
                        {"allow user=telemetry op=sign\n", 1},
                        {"allow user=telemetry op=unlock\n", 1},
                        {"allow user=telemetry op=create\n", 1},
                        {"allow user=telemetry op=create\nallow user=mosquitto op=unlock\n", 0},
                        {"allow user=ghost op=all\n", 2}, /* and the ghost itself */
                        {"allow user=* group=ghosts op=all\n", 2},
                        {"allow user=* op=all\n", 0},
                        {"allow unit=a.service op=all\n", 0},
                        {"deny user=* op=all\n", 1},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                place.warnings = (Warnings){};
                put(place.etc, "a.conf", table[i].rules);
                assert_int_equal(load(), 0);
                assert_int_equal(place.warnings.n, table[i].warnings);
        }
        assert_non_null(strstr(place.warnings.last.sentence, "nobody administers"));
}

static void test_files_are_read_in_the_order_of_their_names_over_all_directories(void **state)
{
        (void)state;
        put(place.lib, "10-a.conf", "allow user=* op=sign name=one\n");
        put(place.etc, "20-b.conf", "allow user=* op=sign name=two\n");
        put(place.lib, "30-c.conf", "allow user=* op=sign name=three\n");
        put(place.etc, "05-d.conf", "allow user=* op=sign name=zero\n");
        loads_with(4, 4);
        assert_string_equal(policy_rule_name(policy_rule_at(place.policy, 0)), "zero");
        assert_string_equal(policy_rule_name(policy_rule_at(place.policy, 1)), "one");
        assert_string_equal(policy_rule_name(policy_rule_at(place.policy, 2)), "two");
        assert_string_equal(policy_rule_name(policy_rule_at(place.policy, 3)), "three");
        assert_string_equal(
                        policy_rule_path(policy_rule_at(place.policy, 1)), path_of(place.lib, "10-a.conf"));
        assert_null(policy_rule_at(place.policy, 4));
}

static void test_a_file_of_the_same_name_masks_and_dev_null_switches_off(void **state)
{
        (void)state;
        put(place.lib, "10-a.conf", "allow user=* op=sign name=lib\n");
        put(place.etc, "10-a.conf", "allow user=* op=sign name=etc\n");
        loads_with(1, 1);
        assert_string_equal(policy_rule_name(policy_rule_at(place.policy, 0)), "etc");

        assert_int_equal(unlink(path_of(place.etc, "10-a.conf")), 0);
        loads_with(1, 1);
        assert_int_equal(symlink("/dev/null", path_of(place.etc, "10-a.conf")), 0);
        loads_with(0, 0);
        put(place.lib, "20-b.conf", "allow user=* op=sign\n");
        loads_with(1, 1);
}

static void test_what_is_masked_is_not_even_looked_at(void **state)
{
        (void)state;
        put(place.lib, "10-a.conf", "nonsense\n");
        assert_int_equal(chmod(path_of(place.lib, "10-a.conf"), 0666), 0);
        put(place.etc, "10-a.conf", "allow user=* op=sign\n");
        loads_with(1, 1);
}

static void test_other_files_are_passed_over(void **state)
{
        (void)state;
        put(place.etc, "README", "nonsense\n");
        put(place.etc, "a.conf.bak", "nonsense\n");
        put(place.etc, "a.conf~", "nonsense\n");
        put(place.etc, ".hidden.conf", "nonsense\n");
        put(place.etc, "conf", "nonsense\n");
        put(place.etc, "a.conf", "allow user=* op=sign\n");
        loads_with(1, 1);
}

static void test_a_name_that_hides_something_is_refused(void **state)
{
        (void)state;
        put(place.etc, "a b.conf", "");
        is_refused(path_of(place.etc, "a b.conf"), "is no name of a rule file");
        assert_int_equal(unlink(path_of(place.etc, "a b.conf")), 0);
        put(place.etc, "a\n.conf", "");
        is_refused(path_of(place.etc, "a\\x0a.conf"), "is no name of a rule file");
}

/* P02: what was loaded before stays, because the caller still has it. */
static void test_a_malformed_file_fails_the_load_and_leaves_the_old_policy(void **state)
{
        Policy *old;
        PolicyParams params = fake_params(NULL);
        PolicyRequest request = telemetry_signs();
        PolicyDecision d;

        (void)state;
        put(place.etc, "a.conf", "allow user=telemetry op=sign\n");
        loads_with(1, 1);
        old = place.policy;
        put(place.etc, "b.conf", "# one\nallow user=telemetry op=sing\n");
        params.dirs = place.dirs;
        assert_int_equal(policy_load(&params, &place.problem, &place.policy), HF_E_POLICY_INVALID);
        assert_ptr_equal(place.policy, old);
        assert_string_equal(place.problem.path, path_of(place.etc, "b.conf"));
        assert_int_equal(place.problem.line, 2);
        assert_int_equal(place.problem.column, 25);
        policy_decide(old, NULL, &request, &d);
        assert_int_equal(d.result, 0);
}

/* P10 */
static void test_a_file_that_others_may_write_is_refused_with_the_mending_command(void **state)
{
        static const mode_t bad[] = {0664, 0646, 0666, 0622, 0777};
        const char *path = path_of(place.etc, "a.conf");
        char want[256];

        (void)state;
        put(place.etc, "a.conf", "allow user=* op=sign\n");
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_int_equal(chmod(path, bad[i]), 0);
                (void)snprintf(want, sizeof(want), "mode %04o", bad[i]);
                is_refused(path, want);
                (void)snprintf(want, sizeof(want), "mend with: chmod 0644 %s", path);
                is_refused(path, want);
        }
        assert_int_equal(chmod(path, 0600), 0);
        loads_with(1, 1);
}

static void test_a_directory_that_others_may_write_is_refused(void **state)
{
        char want[256];

        (void)state;
        put(place.etc, "a.conf", "allow user=* op=sign\n");
        assert_int_equal(chmod(place.etc, 0775), 0);
        (void)snprintf(want, sizeof(want),
                        "mode 0775, so others than root could write rules; mend with: chmod 0755 %s",
                        place.etc);
        is_refused(place.etc, want);
        assert_int_equal(chmod(place.etc, 0757), 0);
        is_refused(place.etc, "mode 0757");
        assert_int_equal(chmod(place.etc, 0755), 0);
        loads_with(1, 1);
}

static void test_a_file_or_directory_of_somebody_else_is_refused(void **state)
{
        const char *path = path_of(place.etc, "a.conf");
        char want[256];

        (void)state;
        if (geteuid() != 0)
                skip();
        put(place.etc, "a.conf", "allow user=* op=sign\n");
        assert_int_equal(chown(path, 12345, 0), 0);
        (void)snprintf(want, sizeof(want),
                        "belongs to uid 12345 (mode 0644), so others than root could write rules; "
                        "mend with: chown 0 %s",
                        path);
        is_refused(path, want);
        assert_int_equal(chown(path, 0, 12345), 0);
        loads_with(1, 1);
        assert_int_equal(chown(place.etc, 12345, 0), 0);
        is_refused(place.etc, "belongs to uid 12345");
}

static void test_the_owner_that_is_given_counts_beside_root(void **state)
{
        PolicyParams params = fake_params(&place.warnings);

        (void)state;
        if (geteuid() != 0)
                skip();
        put(place.etc, "a.conf", "allow user=* op=sign\n");
        assert_int_equal(chown(path_of(place.etc, "a.conf"), 12345, 0), 0);
        params.dirs = place.dirs;
        params.owner = 12345;
        assert_int_equal(policy_load(&params, &place.problem, &place.policy), 0);
        params.owner = 12346;
        assert_int_equal(policy_load(&params, &place.problem, &place.policy), HF_E_POLICY_INVALID);
}

static void test_links_and_things_that_are_no_files_are_refused(void **state)
{
        const char *path = path_of(place.etc, "a.conf");

        (void)state;
        put(place.root, "elsewhere", "allow user=* op=sign\n");
        assert_int_equal(symlink("../elsewhere", path), 0);
        is_refused(path, "is a symbolic link");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/dev/nulla", path), 0);
        is_refused(path, "is a symbolic link");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/dev/nul", path), 0);
        is_refused(path, "is a symbolic link");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        is_refused(path, "is no regular file");
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(mkfifo(path, 0644), 0);
        is_refused(path, "is no regular file");
}

static void test_a_directory_that_is_a_link_or_a_file_is_refused(void **state)
{
        char link[128];

        (void)state;
        (void)snprintf(link, sizeof(link), "%s/link", place.root);
        assert_int_equal(symlink(place.etc, link), 0);
        place.dirs[0] = link;
        is_refused(link, "is no directory, or a symbolic link");
        put(place.root, "file", "");
        (void)snprintf(link, sizeof(link), "%s/file", place.root);
        is_refused(link, "is no directory, or a symbolic link");
}

/* In a child with mounts of its own: 0 the load was refused as it should be, 77 mounts are not possible here.
 */
static int load_with_a_mounted_file(void)
{
        const char *path = path_of(place.etc, "a.conf");

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount(path_of(place.root, "elsewhere"), path, NULL, MS_BIND, NULL) < 0)
                return 77;
        return load() == HF_E_POLICY_INVALID && strstr(place.problem.sentence,
                                                                "is mounted there from elsewhere")
                               ? 0
                               : 1;
}

static void test_a_file_mounted_from_elsewhere_is_refused(void **state)
{
        int status;
        pid_t pid;

        (void)state;
        put(place.root, "elsewhere", "allow user=* op=sign\n");
        put(place.etc, "a.conf", "allow user=* op=sign\n");
        loads_with(1, 1);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(load_with_a_mounted_file());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void put_size(const char *name, size_t size)
{
        char *text = malloc(size + 1);

        assert_non_null(text);
        memset(text, '#', size);
        text[size] = '\0';
        put(place.etc, name, text);
        free(text);
}

static void test_a_file_of_one_mebibyte_loads_and_a_larger_one_does_not(void **state)
{
        (void)state;
        put_size("a.conf", POLICY_FILE_MAX);
        loads_with(0, 1);
        put_size("a.conf", POLICY_FILE_MAX + 1);
        is_refused(path_of(place.etc, "a.conf"), "too large: a rule file");
}

static void test_all_files_together_have_a_largest_size(void **state)
{
        char name[16];

        (void)state;
        for (int i = 0; i < 15; i++) {
                (void)snprintf(name, sizeof(name), "%02d.conf", i);
                put_size(name, POLICY_FILE_MAX);
        }
        loads_with(0, 15);
        put_size("15.conf", POLICY_FILE_MAX);
        is_refused(path_of(place.etc, "15.conf"), "too large: all rule files together");
}

static void test_256_files_load_and_one_more_does_not(void **state)
{
        char name[16];

        (void)state;
        for (int i = 0; i < 256; i++) {
                (void)snprintf(name, sizeof(name), "%03d.conf", i);
                put(place.etc, name, "allow user=* op=sign\n");
        }
        loads_with(256, 256);
        put(place.etc, "256.conf", "allow user=* op=sign\n");
        is_refused(path_of(place.etc, "256.conf"), "too large: a policy has at most 256 files");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                        TEST(test_no_rules_at_all_refuse_everything_and_warn),
                        TEST(test_the_shipped_rules_let_admins_manage_but_not_use),
                        TEST(test_rules_that_leave_no_administrator_are_warned_of),
                        TEST(test_files_are_read_in_the_order_of_their_names_over_all_directories),
                        TEST(test_a_file_of_the_same_name_masks_and_dev_null_switches_off),
                        TEST(test_what_is_masked_is_not_even_looked_at),
                        TEST(test_other_files_are_passed_over),
                        TEST(test_a_name_that_hides_something_is_refused),
                        TEST(test_a_malformed_file_fails_the_load_and_leaves_the_old_policy),
                        TEST(test_a_file_that_others_may_write_is_refused_with_the_mending_command),
                        TEST(test_a_directory_that_others_may_write_is_refused),
                        TEST(test_a_file_or_directory_of_somebody_else_is_refused),
                        TEST(test_the_owner_that_is_given_counts_beside_root),
                        TEST(test_links_and_things_that_are_no_files_are_refused),
                        TEST(test_a_directory_that_is_a_link_or_a_file_is_refused),
                        TEST(test_a_file_mounted_from_elsewhere_is_refused),
                        TEST(test_a_file_of_one_mebibyte_loads_and_a_larger_one_does_not),
                        TEST(test_all_files_together_have_a_largest_size),
                        TEST(test_256_files_load_and_one_more_does_not),
        };
#undef TEST

        umask(022);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
