/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "signer/stack.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Seen {
        uintptr_t here;
        unsigned runs;
        double number;
} Seen;

static void look(void *argument)
{
        Seen *s = argument;
        volatile char c = 0;

        s->here = (uintptr_t)&c;
        s->runs++;
        s->number = s->number * 1.5 + 1; /* floating point survives the switch */
}

static void test_it_runs_elsewhere_and_comes_back(void **state)
{
        Seen seen = {};
        SecretStack *s;
        volatile char here = 0;

        (void)state;
        assert_int_equal(secret_stack_new(&s), 0);
        for (unsigned i = 0; i < 10000; i++)
                secret_stack_run(s, look, &seen);
        assert_int_equal(seen.runs, 10000);
        assert_true(seen.here > (uintptr_t)&here + (8u << 20) || seen.here < (uintptr_t)&here - (8u << 20));
        secret_stack_free(s);
}

static void leave_behind(void *argument)
{
        volatile uint8_t secret[64];
        uintptr_t *where = argument;

        for (size_t i = 0; i < sizeof(secret); i++)
                secret[i] = 0x5a;
        *where = (uintptr_t)secret;
}

static void test_scrubbing_erases_what_was_left(void **state)
{
        uintptr_t where = 0;
        const volatile uint8_t *p;
        SecretStack *s;

        (void)state;
        assert_int_equal(secret_stack_new(&s), 0);
        secret_stack_run(s, leave_behind, &where);
        p = (const volatile uint8_t *)where;
        assert_int_equal(p[10], 0x5a); /* so the next line means something */
        secret_stack_scrub(s);
        for (size_t i = 0; i < 64; i++)
                assert_int_equal(p[i], 0);
        secret_stack_run(s, leave_behind, &where); /* and it still works */
        secret_stack_free(s);
}

static unsigned dive(unsigned depth)
{
        volatile char frame[4096];

        frame[0] = (char)depth;
        return depth == 0 ? 0 : dive(depth - 1) + (unsigned)frame[0];
}

static void too_deep(void *argument)
{
        unsigned *depth = argument;

        *depth = dive(*depth);
}

static void test_too_deep_a_stack_meets_the_guard_page(void **state)
{
        struct rlimit none = {};
        unsigned depth = 1000;
        SecretStack *s;
        int status;
        pid_t pid;

        (void)state;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                setrlimit(RLIMIT_CORE, &none);
                signal(SIGSEGV, SIG_DFL);
                if (secret_stack_new(&s))
                        _exit(1);
                secret_stack_run(s, too_deep, &depth);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSEGV);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_it_runs_elsewhere_and_comes_back),
                        cmocka_unit_test(test_scrubbing_erases_what_was_left),
                        cmocka_unit_test(test_too_deep_a_stack_meets_the_guard_page),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
