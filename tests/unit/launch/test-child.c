/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a started program finds: its sockets where it looks for them, and of the launcher nothing else. */
#include "tests/unit/launch/support.h"

/* Runs the script; its exit status, or minus the signal that ended it. */
static int run(ChildSpec *spec)
{
        int status;
        pid_t pid;

        assert_int_equal(child_spawn(spec, &pid), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect_line(int fd, const char *wanted)
{
        char line[64] = "";
        ssize_t n = read(fd, line, sizeof(line) - 1);

        assert_true(n >= 0);
        assert_string_equal(line, wanted);
}

static void test_sockets_are_from_three_on_in_order_and_named(void **state)
{
        Script s = script("test \"$LISTEN_FDS:$LISTEN_PID:$LISTEN_FDNAMES\" = \"2:$$:signer:tpm\" && "
                          "echo first >&3 && echo second >&4");
        ChildSpec spec = spec_of(&s);
        int one[2], two[2];

        (void)state;
        assert_int_equal(pipe2(one, O_CLOEXEC), 0);
        assert_int_equal(pipe2(two, O_CLOEXEC), 0);
        spec.sockets[0] = one[1];
        spec.sockets[1] = two[1];
        spec.n_sockets = 2;
        spec.socket_names = "signer:tpm";
        assert_int_equal(run(&spec), 0);
        expect_line(one[0], "first\n");
        expect_line(two[0], "second\n");
        for (int i = 0; i < 2; i++) {
                close(one[i]);
                close(two[i]);
        }
}

/* In a child of its own, because the numbers 3 and 4 are whoever's here. */
static void test_sockets_that_have_each_others_number_are_exchanged(void **state)
{
        int status, one[2], two[2];
        pid_t pid;

        (void)state;
        assert_int_equal(pipe2(one, O_CLOEXEC), 0);
        assert_int_equal(pipe2(two, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                Script s = script("echo first >&3 && echo second >&4");
                ChildSpec spec = spec_of(&s);
                int a = fcntl(one[1], F_DUPFD, 10), b = fcntl(two[1], F_DUPFD, 10);

                if (dup2(a, 4) < 0 || dup2(b, 3) < 0)
                        _exit(2);
                spec.sockets[0] = 4;
                spec.sockets[1] = 3;
                spec.n_sockets = 2;
                _exit(run(&spec));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        expect_line(one[0], "first\n");
        expect_line(two[0], "second\n");
        for (int i = 0; i < 2; i++) {
                close(one[i]);
                close(two[i]);
        }
}

static void test_no_other_descriptor_comes_along(void **state)
{
        /* 0 to 3, and the one that ls itself has of the directory */
        Script s = script("test \"$(echo $(ls /proc/self/fd))\" = '0 1 2 3 4' && test \"$(readlink /proc/$$/fd/0)\" = /dev/null");
        ChildSpec spec = spec_of(&s);
        int extra = open("/dev/null", O_RDONLY), sockets[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        spec.sockets[0] = sockets[0];
        spec.n_sockets = 1;
        assert_int_equal(run(&spec), 0);
        close(extra);
        close(sockets[0]);
        close(sockets[1]);
}

static void test_the_environment_is_what_was_meant_and_nothing_else(void **state)
{
        Script s = script("test \"$NOTIFY_SOCKET:$CREDENTIALS_DIRECTORY\" = /a:/b && test -z \"$SECRET$LD_AUDIT$LISTEN_FDS\"");
        ChildSpec spec = spec_of(&s);

        (void)state;
        setenv("SECRET", "of the launcher", 1);
        spec.notify_path = "/a";
        spec.credential_dir = "/b";
        assert_int_equal(run(&spec), 0);
        unsetenv("SECRET");
}

static void test_signals_reach_the_program_although_the_launcher_blocks_and_ignores_them(void **state)
{
        Script term = script("kill -TERM $$; exit 1"), broken = script("kill -PIPE $$; exit 1"),
               hung_up = script("kill -HUP $$; exit 1");
        ChildSpec spec = spec_of(&term);
        sigset_t all, before;

        (void)state;
        sigfillset(&all);
        assert_int_equal(sigprocmask(SIG_BLOCK, &all, &before), 0);
        signal(SIGPIPE, SIG_IGN);
        assert_int_equal(run(&spec), -SIGTERM);
        spec = spec_of(&broken);
        assert_int_equal(run(&spec), -SIGPIPE);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGHUP, SIG_IGN); /* as nohup(1) does */
        spec = spec_of(&hung_up);
        assert_int_equal(run(&spec), -SIGHUP);
        signal(SIGHUP, SIG_DFL);
        assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

static void test_it_gains_no_privileges_and_leaves_no_core(void **state)
{
        Script s = script("grep -q 'NoNewPrivs:.1' /proc/self/status && test \"$(ulimit -c)\" = 0 && test \"$(umask)\" = 0077");
        ChildSpec spec = spec_of(&s);

        (void)state;
        assert_int_equal(run(&spec), 0);
}

static void test_as_root_it_becomes_its_user_without_groups(void **state)
{
        Script s = script("test \"$(id -u):$(id -g):$(id -G)\" = 61002:61002:61002");
        ChildSpec spec = spec_of(&s);

        (void)state;
        if (geteuid() != 0)
                skip();
        spec.user = (LaunchUser){.uid = 61002, .gid = 61002};
        assert_int_equal(run(&spec), 0);
}

static void test_a_program_that_is_not_there_ends_with_127(void **state)
{
        Script s = script("");
        ChildSpec spec = spec_of(&s);

        (void)state;
        spec.path = "/nonexistent";
        assert_int_equal(run(&spec), 127);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sockets_are_from_three_on_in_order_and_named),
                cmocka_unit_test(test_sockets_that_have_each_others_number_are_exchanged),
                cmocka_unit_test(test_no_other_descriptor_comes_along),
                cmocka_unit_test(test_the_environment_is_what_was_meant_and_nothing_else),
                cmocka_unit_test(test_signals_reach_the_program_although_the_launcher_blocks_and_ignores_them),
                cmocka_unit_test(test_it_gains_no_privileges_and_leaves_no_core),
                cmocka_unit_test(test_as_root_it_becomes_its_user_without_groups),
                cmocka_unit_test(test_a_program_that_is_not_there_ends_with_127),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
