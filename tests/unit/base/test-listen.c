/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* base/listen: a socket that everybody reaches, in a place that nobody else can exchange. */
#include "base/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "support.h"

typedef struct Place {
        char dir[64], path[256];
} Place;

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        strcpy(p->dir, "/tmp/holdfast-listen-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        assert_int_equal(chmod(p->dir, 0755), 0);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Place *p = *state;
        char command[128];

        snprintf(command, sizeof(command), "rm -rf %s", p->dir);
        assert_int_equal(system(command), 0);
        free(p);
        return 0;
}

static const char *in(Place *p, const char *name)
{
        snprintf(p->path, sizeof(p->path), "%s/%s", p->dir, name);
        return p->path;
}

static void make_directory(Place *p, const char *name, mode_t mode)
{
        assert_int_equal(mkdir(in(p, name), 0755), 0);
        assert_int_equal(chmod(p->path, mode), 0);
}

static int connect_to(const char *path)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(sa.sun_path, path);
        return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static void test_a_socket_is_everybodys_whatever_the_umask_and_the_umask_stays(void **state)
{
        _cleanup_close_ int fd = -EBADF;
        mode_t before = umask(077);
        struct stat st;

        assert_int_equal(listen_at(in(*state, "bus"), &fd), 0);
        assert_int_equal(umask(before), 077);
        assert_int_equal(lstat(((Place *)*state)->path, &st), 0);
        assert_int_equal(st.st_mode, S_IFSOCK | 0666);
        assert_int_equal(connect_to(((Place *)*state)->path), 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void test_an_old_socket_is_replaced_and_nothing_else_is(void **state)
{
        _cleanup_close_ int first = -EBADF, second = -EBADF, file = -EBADF;
        char link[256];

        assert_int_equal(listen_at(in(*state, "bus"), &first), 0);
        assert_int_equal(listen_at(in(*state, "bus"), &second), 0);
        assert_int_equal(connect_to(((Place *)*state)->path), 0);
        strcpy(link, in(*state, "link"));
        assert_int_equal(symlink("bus", link), 0);
        assert_int_equal(listen_at(link, &file), -EEXIST);
        file = open(in(*state, "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        assert_int_equal(listen_at(((Place *)*state)->path, &second), -EEXIST);
        make_directory(*state, "directory", 0755);
        assert_int_equal(listen_at(((Place *)*state)->path, &second), -EEXIST);
}

static void test_missing_directories_are_made(void **state)
{
        struct stat st;
        mode_t before = umask(022);

        assert_int_equal(listen_prepare(in(*state, "run/holdfast/bus")), 0);
        assert_int_equal(listen_prepare(((Place *)*state)->path), 0);
        (void)umask(before);
        assert_int_equal(lstat(in(*state, "run/holdfast"), &st), 0);
        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_int_equal(lstat(in(*state, "run/holdfast/bus"), &st), -1);
}

static void test_a_directory_that_others_could_exchange_is_refused(void **state)
{
        make_directory(*state, "others", 0777);
        assert_int_equal(listen_prepare(in(*state, "others/bus")), -EPERM);
        assert_int_equal(listen_prepare(in(*state, "others/run/bus")), -EPERM);
        assert_int_equal(chmod(in(*state, "others"), 0775), 0);
        assert_int_equal(listen_prepare(in(*state, "others/bus")), -EPERM);
        assert_int_equal(chmod(in(*state, "others"), 01777), 0); /* as /tmp: nobody removes what is not his */
        assert_int_equal(listen_prepare(in(*state, "others/bus")), 0);
}

static void test_a_symlink_or_a_file_on_the_way_is_refused(void **state)
{
        _cleanup_close_ int fd = -EBADF;
        char link[256];

        make_directory(*state, "real", 0755);
        strcpy(link, in(*state, "link"));
        assert_int_equal(symlink("real", link), 0);
        assert_int_equal(listen_prepare(in(*state, "link/bus")), -EPERM);
        fd = open(in(*state, "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_int_equal(listen_prepare(in(*state, "file/bus")), -EPERM);
}

static void test_a_directory_of_somebody_else_is_refused(void **state)
{
        if (geteuid() != 0)
                skip();
        make_directory(*state, "jail", 0755);
        assert_int_equal(chown(((Place *)*state)->path, 61003, 61003), 0);
        assert_int_equal(listen_prepare(in(*state, "jail/bus")), -EPERM);
        assert_int_equal(listen_prepare(in(*state, "jail/run/bus")), -EPERM);
}

static void test_paths_that_are_relative_or_too_long_are_refused(void **state)
{
        char longer[PATH_MAX + 2];
        int fd = -EBADF;

        (void)state;
        memset(longer, 'a', sizeof(longer) - 1);
        longer[0] = '/';
        longer[sizeof(longer) - 1] = '\0';
        assert_int_equal(listen_prepare("run/bus"), -EINVAL);
        assert_int_equal(listen_prepare(longer), -ENAMETOOLONG);
        assert_int_equal(listen_at(longer, &fd), -ENAMETOOLONG);
        longer[108] = '\0';
        assert_int_equal(listen_at(longer, &fd), -ENAMETOOLONG);
        assert_int_equal(fd, -EBADF);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_a_socket_is_everybodys_whatever_the_umask_and_the_umask_stays, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_an_old_socket_is_replaced_and_nothing_else_is, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_missing_directories_are_made, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_directory_that_others_could_exchange_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_symlink_or_a_file_on_the_way_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_directory_of_somebody_else_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_paths_that_are_relative_or_too_long_are_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
