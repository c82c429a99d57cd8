/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program for each connection, and only so many of them at once. */
#include "launch/importer.h"

#include <sys/stat.h>

#include "link/link.h"
#include "tests/unit/launch/support.h"

typedef struct Place {
        char dir[64], path[96];
        int listener;
        sd_event *event;
        Script script;
        Importer importer;
} Place;

/* Says that it is there, waits for a line, goes. */
static const char waits[] = "echo $LISTEN_FDNAMES >&3; read line <&3";

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        block_children();
        strcpy(p->dir, "/tmp/hf-launch-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        snprintf(p->path, sizeof(p->path), "%s/import", p->dir);
        assert_int_equal(link_listen(p->path, &p->listener), 0);
        assert_int_equal(fcntl(p->listener, F_SETFL, O_NONBLOCK), 0);
        assert_true(sd_event_new(&p->event) >= 0);
        p->script = script(waits);
        p->importer = (Importer){.event = p->event, .spec = spec_of(&p->script)};
        p->importer.spec.n_sockets = 1;
        p->importer.spec.socket_names = "connection";
        assert_true(importer_start(&p->importer, p->listener) >= 0);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Place *p = *state;

        importer_deinit(&p->importer);
        sd_event_unref(p->event);
        close(p->listener);
        unlink(p->path);
        rmdir(p->dir);
        free(p);
        return 0;
}

static unsigned running(const Place *p)
{
        unsigned n = 0;

        for (size_t i = 0; i < IMPORTERS_MAX; i++)
                n += p->importer.jobs[i].pid > 0;
        return n;
}

static int knock(const Place *p)
{
        int fd = -EBADF;

        assert_int_equal(link_connect(p->path, &fd), 0);
        return fd;
}

static void expect_greeting(int fd)
{
        char line[32] = "";

        assert_true(read(fd, line, sizeof(line) - 1) > 0);
        assert_string_equal(line, "connection\n");
}

static void test_each_connection_is_descriptor_three_of_a_program_of_its_own(void **state)
{
        Place *p = *state;
        int a = knock(p), b = knock(p);

        TURN_UNTIL(p->event, running(p) == 2);
        assert_int_not_equal(p->importer.jobs[0].pid, p->importer.jobs[1].pid);
        expect_greeting(a);
        expect_greeting(b);
        assert_int_equal(write(a, "\n", 1), 1);
        TURN_UNTIL(p->event, running(p) == 1);
        close(a);
        close(b);
        TURN_UNTIL(p->event, running(p) == 0);
}

static void test_those_above_the_limit_wait_until_one_has_ended(void **state)
{
        int fds[IMPORTERS_MAX + 1], enabled;
        Place *p = *state;
        char byte;

        for (int i = 0; i < IMPORTERS_MAX + 1; i++)
                fds[i] = knock(p);
        TURN_UNTIL(p->event, sd_event_source_get_enabled(p->importer.socket, &enabled) == 0);
        assert_int_equal(running(p), IMPORTERS_MAX);
        assert_int_equal(recv(fds[IMPORTERS_MAX], &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(write(fds[0], "\n", 1), 1);
        TURN_UNTIL(p->event, running(p) == IMPORTERS_MAX - 1);
        TURN_UNTIL(p->event, running(p) == IMPORTERS_MAX);
        expect_greeting(fds[IMPORTERS_MAX]);
        for (int i = 0; i < IMPORTERS_MAX + 1; i++)
                close(fds[i]);
}

static void test_none_outlives_the_launcher(void **state)
{
        Place *p = *state;
        int fd = knock(p);
        pid_t pid;

        TURN_UNTIL(p->event, running(p) == 1);
        pid = p->importer.jobs[0].pid;
        importer_deinit(&p->importer);
        assert_int_equal(kill(pid, 0), -1);
        close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_each_connection_is_descriptor_three_of_a_program_of_its_own),
                T(test_those_above_the_limit_wait_until_one_has_ended),
                T(test_none_outlives_the_launcher),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
