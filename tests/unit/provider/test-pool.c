/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lanes: one thread each, and free for a child whoever held them at the fork. The daemon is a socket that accepts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "provider/pool.h"

#define LANES 8

static char directory[] = "/tmp/test-pool-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener;

/* Takes all of them; 0 if they are different ones with different connections, of which one is the default. */
static int take_all(Lane *lanes[LANES])
{
        int r, n_default = 0;

        for (size_t i = 0; i < LANES; i++) {
                lanes[i] = pool_take(&r);
                if (!lanes[i])
                        return 1;
                n_default += !lane_connection(lanes[i]);
                for (size_t k = 0; k < i; k++)
                        if (lanes[i] == lanes[k] || lane_connection(lanes[i]) == lane_connection(lanes[k]))
                                return 2;
        }
        return n_default == 1 ? 0 : 3;
}

static void give_back_all(Lane *lanes[LANES])
{
        for (size_t i = 0; i < LANES; i++)
                pool_give_back(lanes[i]);
}

static void test_without_a_daemon_there_is_the_default_lane_and_no_other(void **state)
{
        Lane *first, *again;
        int r = 0;

        (void)state;
        assert_int_equal(unlink(address.sun_path), 0);
        first = pool_take(&r);
        assert_non_null(first);
        assert_null(lane_connection(first));
        for (int i = 0; i < 3; i++) {
                assert_null(pool_take(&r));
                assert_int_equal(r, HF_ERROR_DAEMON_UNAVAILABLE);
        }
        pool_give_back(first);
        again = pool_take(&r);
        assert_ptr_equal(again, first);
        pool_give_back(again);
}

static void test_each_lane_has_one_user_and_who_finds_none_shares_the_default(void **state)
{
        Lane *lanes[LANES], *again[LANES], *more;
        int r;

        (void)state;
        assert_int_equal(take_all(lanes), 0);
        more = pool_take(&r);
        assert_non_null(more);
        assert_null(lane_connection(more));
        for (size_t i = 0; i < LANES; i++)
                assert_ptr_not_equal(more, lanes[i]);
        assert_ptr_equal(pool_take(&r), more);
        pool_give_back(more);
        give_back_all(lanes);
        assert_int_equal(take_all(again), 0);
        assert_memory_equal(again, lanes, sizeof(lanes)); /* and their connections were kept */
        give_back_all(again);
}

static void test_a_child_has_all_lanes_to_itself(void **state)
{
        Lane *lanes[LANES], *own[LANES];
        int status;
        pid_t child;

        (void)state;
        assert_int_equal(take_all(lanes), 0);
        child = fork();
        if (child == 0)
                _exit(take_all(own));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        give_back_all(lanes);
}

static int listen_again(void **state)
{
        (void)state;
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 64);
}

static int end_listening(void **state)
{
        (void)state;
        close(listener);
        unlink(address.sun_path);
        return 0;
}

static int clean_up(void **state)
{
        (void)state;
        return rmdir(directory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_without_a_daemon_there_is_the_default_lane_and_no_other,
                                        listen_again, end_listening),
                        cmocka_unit_test_setup_teardown(
                                        test_each_lane_has_one_user_and_who_finds_none_shares_the_default, listen_again, end_listening),
                        cmocka_unit_test_setup_teardown(test_a_child_has_all_lanes_to_itself, listen_again, end_listening),
        };

        if (!mkdtemp(directory))
                return 1;
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/bus", directory);
        setenv("HOLDFAST_SOCKET", address.sun_path, 1);
        setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", 1);
        return cmocka_run_group_tests(tests, NULL, clean_up);
}
