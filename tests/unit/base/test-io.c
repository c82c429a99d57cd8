/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <threads.h>

#include "base/io.h"

static int make_directory(void **state)
{
        char *path = strdup("/tmp/holdfast-test-XXXXXX");

        *state = path;
        return path && mkdtemp(path) ? 0 : -1;
}

static int remove_directory(void **state)
{
        char command[64];

        snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
        free(*state);
        return system(command);
}

static int open_directory(void **state)
{
        int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void test_a_file_comes_back_as_it_was_written(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);
        struct stat st;

        umask(077);
        assert_int_equal(io_write_file(dir, "f", bytes_str("first"), 0640), 0);
        assert_int_equal(io_write_file(dir, "f", bytes_str("second"), 0644), 0);
        assert_int_equal(io_read_file(dir, "f", &b), 0);
        assert_bytes(buffer_bytes(&b), bytes_str("second"));
        assert_int_equal(fstatat(dir, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644); /* whatever the umask */
}

static void test_an_empty_file_is_a_file(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);

        assert_int_equal(io_write_file(dir, "f", BYTES_NULL, 0600), 0);
        assert_int_equal(io_read_file(dir, "f", &b), 0);
        assert_int_equal(b.len, 0);
}

static void test_a_leftover_of_a_crash_is_no_obstacle_and_nothing_is_left_over(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        size_t n = 0;
        DIR *d;

        assert_int_equal(symlinkat("/etc/passwd", dir, "f.new"), 0);
        assert_int_equal(io_write_file(dir, "f", bytes_str("x"), 0600), 0);
        d = opendir(*state);
        for (struct dirent *e = readdir(d); e; e = readdir(d))
                n += e->d_name[0] != '.';
        closedir(d);
        assert_int_equal(n, 1);
}

static void test_a_write_that_fails_leaves_the_old_file(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);

        assert_int_equal(io_write_file(dir, "f", bytes_str("old"), 0600), 0);
        assert_int_equal(mkdirat(dir, "f.new", 0700), 0);
        assert_true(io_write_file(dir, "f", bytes_str("new"), 0600) < 0);
        assert_int_equal(io_read_file(dir, "f", &b), 0);
        assert_bytes(buffer_bytes(&b), bytes_str("old"));
}

static void test_names_that_are_too_long_are_refused(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        char name[300];

        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(io_write_file(dir, name, bytes_str("x"), 0600), -ENAMETOOLONG);
        name[254] = '\0';
        assert_int_equal(io_write_file(dir, name, bytes_str("x"), 0600), -ENAMETOOLONG);
}

static void test_a_file_beyond_the_limit_is_refused(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        _cleanup_buffer_ Buffer b = BUFFER_INIT(5);

        assert_int_equal(io_write_file(dir, "f", bytes_str("123456"), 0600), 0);
        assert_int_equal(io_read_file(dir, "f", &b), -EFBIG);
        assert_int_equal(b.len, 0);
        assert_int_equal(io_write_file(dir, "f", bytes_str("12345"), 0600), 0);
        assert_int_equal(io_read_file(dir, "f", &b), 0);
        assert_int_equal(io_read_file(dir, "f", &b), -EFBIG); /* it appends, and there is no room */
        assert_int_equal(b.len, 5);
}

static void test_what_is_no_regular_file_is_refused_without_waiting(void **state)
{
        _cleanup_close_ int dir = open_directory(state);
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);

        assert_int_equal(io_write_file(dir, "f", bytes_str("x"), 0600), 0);
        assert_int_equal(symlinkat("f", dir, "link"), 0);
        assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
        assert_int_equal(mkdirat(dir, "sub", 0700), 0);
        assert_int_equal(io_read_file(dir, "link", &b), -ELOOP);
        assert_int_equal(io_read_file(dir, "fifo", &b), -EINVAL);
        assert_true(io_read_file(dir, "sub", &b) < 0);
        assert_int_equal(io_read_file(dir, "missing", &b), -ENOENT);
        assert_int_equal(b.len, 0);
}

static int drain(void *arg)
{
        size_t total = 0;
        char bytes[1000];
        ssize_t n;

        while ((n = read(*(int *)arg, bytes, sizeof(bytes))) > 0)
                total += (size_t)n;
        return (int)total;
}

static void test_short_writes_are_carried_on(void **state)
{
        static uint8_t data[300000]; /* more than a pipe takes at once */
        int pipes[2], total;
        thrd_t reader;

        (void)state;
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(thrd_create(&reader, drain, &pipes[0]), thrd_success);
        assert_int_equal(io_write_full(pipes[1], data, sizeof(data)), 0);
        close(pipes[1]);
        thrd_join(reader, &total);
        close(pipes[0]);
        assert_int_equal(total, sizeof(data));
}

static void test_positioned_io_reads_what_is_there_and_says_how_much(void **state)
{
        _cleanup_close_ int dir = open_directory(state), fd = openat(dir, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        char got[16];
        size_t n;

        assert_int_equal(io_pwrite_full(fd, "0123456789", 10, 5), 0);
        assert_int_equal(io_pread_full(fd, got, 4, 7, &n), 0);
        assert_bytes(BYTES(got, n), bytes_str("2345"));
        assert_int_equal(io_pread_full(fd, got, sizeof(got), 12, &n), 0);
        assert_bytes(BYTES(got, n), bytes_str("789"));
        assert_int_equal(io_pread_full(fd, got, sizeof(got), 100, &n), 0);
        assert_int_equal(n, 0);
        n = 99;
        assert_int_equal(io_pread_full(-1, got, 1, 0, &n), -EBADF);
        assert_int_equal(n, 99);
        assert_int_equal(io_pwrite_full(-1, "x", 1, 0), -EBADF);
        assert_int_equal(io_write_full(-1, "x", 1), -EBADF);
        assert_int_equal(io_sync_dir(dir), 0);
        assert_int_equal(io_sync_dir(-1), -EBADF);
}

int main(void)
{
#define IN_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
        const struct CMUnitTest tests[] = {
                IN_DIRECTORY(test_a_file_comes_back_as_it_was_written),
                IN_DIRECTORY(test_an_empty_file_is_a_file),
                IN_DIRECTORY(test_a_leftover_of_a_crash_is_no_obstacle_and_nothing_is_left_over),
                IN_DIRECTORY(test_a_write_that_fails_leaves_the_old_file),
                IN_DIRECTORY(test_names_that_are_too_long_are_refused),
                IN_DIRECTORY(test_a_file_beyond_the_limit_is_refused),
                IN_DIRECTORY(test_what_is_no_regular_file_is_refused_without_waiting),
                IN_DIRECTORY(test_short_writes_are_carried_on),
                IN_DIRECTORY(test_positioned_io_reads_what_is_there_and_says_how_much),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
