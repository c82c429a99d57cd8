/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every system call number in a child of its own under holdfastd's filter: it is in the table, ends the child, or is
 * refused with EPERM. Calls of the table are tried with arguments that no call has a use for.
 */
#include "daemon/filter.h"

#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_NUMBER 500

/* Newer kernels let these two past any filter on x86_64: they answer nobody but the kernel's own trampolines. */
#define URETPROBE 335
#define UPROBE 336

typedef enum Outcome {
        KILLED,
        REFUSED,  /* EPERM */
        ANSWERED, /* anything else */
} Outcome;

static Outcome try_call(long number, long a, long b, long c, long d)
{
        struct rlimit none = {0};
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                setrlimit(RLIMIT_CORE, &none);
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                alarm(1);
                if (daemon_filter_close())
                        _exit(3);
                errno = 0;
                _exit(syscall(number, a, b, c, d, 0, 0) < 0 && errno == EPERM ? 4 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 3);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
                return KILLED;
        return WIFEXITED(status) && WEXITSTATUS(status) == 4 ? REFUSED : ANSWERED;
}

static bool is_in(const DaemonFilterRule *rules, size_t n, long number)
{
        for (size_t i = 0; i < n; i++)
                if (seccomp_syscall_resolve_name(rules[i].call) == number)
                        return true;
        return false;
}

static void test_every_call_outside_the_table_is_refused_or_ends_the_process(void **state)
{
        size_t n_allowed, n_deadly;
        const DaemonFilterRule *allowed = daemon_filter_rules(&n_allowed), *deadly = daemon_filter_deadly(&n_deadly);

        (void)state;
        for (long number = 0; number < LAST_NUMBER; number++) {
                Outcome found, expected = REFUSED;

                if (number == URETPROBE || number == UPROBE || number == SYS_clone3 || is_in(allowed, n_allowed, number))
                        continue;
                if (is_in(deadly, n_deadly, number))
                        expected = KILLED;
                found = try_call(number, -1, -1, 0, 0);
                if (found != expected) {
                        print_error("system call %ld: %d instead of %d\n", number, (int)found, (int)expected);
                        fail();
                }
        }
}

static void test_memory_never_becomes_executable(void **state)
{
        (void)state;
        assert_int_equal(try_call(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS), REFUSED);
        assert_int_equal(try_call(SYS_mprotect, 0, 4096, PROT_EXEC, 0), REFUSED);
        assert_int_equal(try_call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS), ANSWERED);
}

static void test_no_program_is_started_and_no_network_is_reached(void **state)
{
        (void)state;
        assert_int_equal(try_call(SYS_execve, (long)"/bin/true", 0, 0, 0), KILLED);
        assert_int_equal(try_call(SYS_clone, SIGCHLD, 0, 0, 0), REFUSED);
        assert_int_equal(try_call(SYS_socket, 2, 1, 0, 0), REFUSED);
        assert_int_equal(try_call(SYS_socket, 16, 3, 0, 0), REFUSED);
        assert_int_equal(try_call(SYS_socket, 1, 1, 0, 0), ANSWERED);
        assert_int_equal(try_call(SYS_kill, 1, 0, 0, 0), KILLED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_call_outside_the_table_is_refused_or_ends_the_process),
                cmocka_unit_test(test_memory_never_becomes_executable),
                cmocka_unit_test(test_no_program_is_started_and_no_network_is_reached),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
