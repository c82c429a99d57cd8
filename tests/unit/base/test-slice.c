/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A slice is asked for without touching what else whoever started us decided. */
#include "base/slice.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Given {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
} Given;

static Given look(void)
{
        Given g = {};

        assert_int_equal(syscall(SYS_sched_getattr, 0, &g, sizeof(g), 0), 0);
        return g;
}

/* In a child, because a process keeps what it was first started with. */
static int in_child(void (*f)(void))
{
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                f();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void nice_stays(void)
{
        if (setpriority(PRIO_PROCESS, 0, 7) < 0)
                _exit(2);
        slice_set(SLICE_SHORT);
        slice_set(SLICE_LONG);
        if (look().nice != 7 || look().policy != SCHED_OTHER)
                _exit(1);
}

static void test_how_nice_the_process_is_stays(void **state)
{
        (void)state;
        assert_int_equal(in_child(nice_stays), 0);
}

static void batch_stays(void)
{
        const struct sched_param none = {};

        if (sched_setscheduler(0, SCHED_BATCH, &none) < 0)
                _exit(2);
        slice_set(SLICE_SHORT);
        if (look().policy != SCHED_BATCH)
                _exit(1);
}

static void test_a_policy_that_was_chosen_stays(void **state)
{
        (void)state;
        assert_int_equal(in_child(batch_stays), 0);
}

static void length_is_taken(void)
{
        slice_set(SLICE_LONG);
        if (look().runtime != SLICE_LONG && look().runtime != 0)
                _exit(1);
        slice_set(SLICE_SHORT);
        if (look().runtime != SLICE_SHORT && look().runtime != 0)
                _exit(1);
}

/* 0: a kernel that knows no slices. */
static void test_the_length_is_taken_where_the_kernel_can(void **state)
{
        (void)state;
        assert_int_equal(in_child(length_is_taken), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_how_nice_the_process_is_stays),
                        cmocka_unit_test(test_a_policy_that_was_chosen_stays),
                        cmocka_unit_test(test_the_length_is_taken_where_the_kernel_can),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
