/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/secret.h"

static void test_secret_memory_begins_as_zeros_and_takes_bytes(void **state)
{
        _cleanup_(secret_freep) Secret *s = NULL;

        (void)state;
        assert_int_equal(secret_new(100, &s), 0);
        assert_int_equal(s->len, 100);
        for (size_t i = 0; i < s->len; i++)
                assert_int_equal(s->data[i], 0);
        memset(s->data, 0x5a, s->len);
        assert_int_not_equal(secret_memory_kind(), SECRET_MEMORY_NONE);
}

/* The signal that ends a child which touches this address; 0 if none does. */
static int touch(uint8_t *at)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                prctl(PR_SET_DUMPABLE, 0);
                signal(SIGSEGV, SIG_DFL); /* cmocka catches it */
                *(volatile uint8_t *)at = 1;
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_a_guard_page_stands_on_either_side(void **state)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        void *p;

        (void)state;
        assert_int_equal(secret_map(2 * page - 5, &p), 0);
        assert_int_equal(touch((uint8_t *)p - 1), SIGSEGV);
        assert_int_equal(touch((uint8_t *)p + 2 * page), SIGSEGV);
        ((uint8_t *)p)[0] = ((uint8_t *)p)[2 * page - 1] = 1;
        secret_unmap(p, 2 * page - 5);
}

static void test_a_child_does_not_inherit_the_bytes(void **state)
{
        _cleanup_(secret_freep) Secret *s = NULL;
        int status;
        pid_t pid;

        (void)state;
        assert_int_equal(secret_new(32, &s), 0);
        memset(s->data, 0x5a, 32);
        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_DUMPABLE, 0);
                signal(SIGSEGV, SIG_DFL);
                _exit(*(volatile uint8_t *)s->data == 0x5a); /* gone, or wiped */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        assert_int_equal(s->data[0], 0x5a);
}

static void test_others_cannot_read_it_where_the_kernel_can_hide_it(void **state)
{
        _cleanup_(secret_freep) Secret *s = NULL;
        _cleanup_close_ int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        uint8_t got[32];

        (void)state;
        assert_int_equal(secret_new(32, &s), 0);
        if (secret_memory_kind() != SECRET_MEMORY_SECRET || mem < 0)
                skip();
        assert_true(pread(mem, got, sizeof(got), (off_t)(uintptr_t)state) > 0); /* the control: a stack can be read */
        assert_true(pread(mem, got, sizeof(got), (off_t)(uintptr_t)s->data) < 0);
}

static void test_a_size_that_wraps_around_is_refused(void **state)
{
        Secret *s = NULL;
        void *p = NULL;

        (void)state;
        assert_true(secret_new(SIZE_MAX, &s) < 0);
        assert_true(secret_new(SIZE_MAX - 4, &s) < 0);
        assert_true(secret_map(SIZE_MAX, &p) < 0);
        assert_true(secret_map(SIZE_MAX - 5000, &p) < 0);
        assert_null(s);
        assert_null(p);
}

static void test_memory_beyond_what_may_be_locked_is_refused(void **state)
{
        int status;
        pid_t pid;

        (void)state;
        pid = fork();
        if (pid == 0) {
                const struct rlimit none = {0, 0};
                void *p = NULL;
                int r;

                /* root may lock as much as it likes: be nobody */
                if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
                        _exit(2);
                r = secret_map(4096, &p);
                _exit(r < 0 && !p ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_freeing_nothing_is_fine(void **state)
{
        (void)state;
        assert_null(secret_free(NULL));
        secret_unmap(NULL, 100);
}

static void test_erasing_leaves_zeros_and_comparing_is_exact(void **state)
{
        uint8_t a[33], b[33];

        (void)state;
        memset(a, 7, sizeof(a));
        memset(b, 7, sizeof(b));
        assert_true(secret_equal(a, b, sizeof(a)));
        for (size_t i = 0; i < sizeof(a); i++) {
                b[i] ^= 0x80;
                assert_false(secret_equal(a, b, sizeof(a)));
                b[i] ^= 0x80;
        }
        assert_true(secret_equal(a, b, 0));
        secret_erase(a, 32);
        for (size_t i = 0; i < 32; i++)
                assert_int_equal(a[i], 0);
        assert_int_equal(a[32], 7);
}

static void test_a_secret_goes_through_a_descriptor(void **state)
{
        static const size_t sizes[] = {1, 17, SECRET_FD_MAX};
        uint8_t data[SECRET_FD_MAX];

        (void)state;
        memset(data, 0x33, sizeof(data));
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(secret_freep) Secret *s = NULL;
                _cleanup_close_ int fd = -EBADF;
                size_t len;

                assert_int_equal(secret_fd_new(data, sizes[i], &fd), 0);
                assert_int_equal(secret_fd_check(fd, &len), 0);
                assert_int_equal(len, sizes[i]);
                assert_int_equal(secret_fd_read(fd, &s), 0);
                assert_bytes(BYTES(s->data, s->len), BYTES(data, sizes[i]));
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                assert_true(pwrite(fd, "x", 1, 0) < 0);
                assert_true(ftruncate(fd, 0) < 0);
        }
}

static void test_secrets_of_no_or_too_many_bytes_are_refused(void **state)
{
        uint8_t data[SECRET_FD_MAX + 1] = {};
        int fd = -EBADF;

        (void)state;
        assert_int_equal(secret_fd_new(data, 0, &fd), HF_E_INVALID_ARGS);
        assert_int_equal(secret_fd_new(data, sizeof(data), &fd), HF_E_INVALID_ARGS);
        assert_int_equal(fd, -EBADF);
}

static int sealed_memfd(off_t size, int seals)
{
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, size), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void assert_refused(int fd)
{
        Secret *s = NULL;
        size_t len = 99;

        assert_int_equal(secret_fd_check(fd, &len), HF_E_INVALID_FD);
        assert_int_equal(secret_fd_read(fd, &s), HF_E_INVALID_FD);
        assert_int_equal(len, 99);
        assert_null(s);
        safe_close(fd);
}

static void test_descriptors_that_are_not_sealed_secrets_are_refused(void **state)
{
        const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        int pipes[2];

        (void)state;
        assert_refused(-1);
        assert_refused(sealed_memfd(32, 0));
        assert_refused(sealed_memfd(32, all & ~F_SEAL_SHRINK));
        assert_refused(sealed_memfd(32, all & ~F_SEAL_GROW));
        assert_refused(sealed_memfd(32, all & ~F_SEAL_WRITE));
        assert_refused(sealed_memfd(0, all));
        assert_refused(sealed_memfd(SECRET_FD_MAX + 1, all));
        assert_refused(sealed_memfd((off_t)1 << 40, all));
        assert_refused(open("/dev/null", O_RDWR | O_CLOEXEC));
        assert_refused(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
        assert_refused(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        assert_refused(open("/etc/passwd", O_PATH | O_CLOEXEC));
        assert_int_equal(pipe(pipes), 0);
        assert_refused(pipes[0]);
        close(pipes[1]);
}

static void test_a_descriptor_open_for_writing_only_is_refused(void **state)
{
        const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        _cleanup_close_ int fd = sealed_memfd(32, 0);
        char path[64];
        int writer;
        Secret *s = NULL;

        (void)state;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        writer = open(path, O_WRONLY | O_CLOEXEC);
        if (writer < 0)
                skip();
        assert_int_equal(fcntl(fd, F_ADD_SEALS, all), 0);
        assert_int_equal(secret_fd_read(writer, &s), HF_E_INVALID_FD);
        assert_null(s);
        close(writer);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_secret_memory_begins_as_zeros_and_takes_bytes),
                cmocka_unit_test(test_a_guard_page_stands_on_either_side),
                cmocka_unit_test(test_a_child_does_not_inherit_the_bytes),
                cmocka_unit_test(test_others_cannot_read_it_where_the_kernel_can_hide_it),
                cmocka_unit_test(test_a_size_that_wraps_around_is_refused),
                cmocka_unit_test(test_memory_beyond_what_may_be_locked_is_refused),
                cmocka_unit_test(test_freeing_nothing_is_fine),
                cmocka_unit_test(test_erasing_leaves_zeros_and_comparing_is_exact),
                cmocka_unit_test(test_a_secret_goes_through_a_descriptor),
                cmocka_unit_test(test_secrets_of_no_or_too_many_bytes_are_refused),
                cmocka_unit_test(test_descriptors_that_are_not_sealed_secrets_are_refused),
                cmocka_unit_test(test_a_descriptor_open_for_writing_only_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
