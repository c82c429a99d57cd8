/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard over what strangers make sd-bus take: a message that says it is huge costs its sender the
 * connection and us nothing, and descriptors of messages that sd-bus drops are not left open. */
#include "daemon/guard.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "base/sanitizer.h"
#include "tests/unit/daemon/support.h"

#define LIMIT (192 * 1024)

/* Out of the compiler's sight, which knows that a block is gone after realloc(3) and cannot know that it is
 * not here. */
static void *(*volatile grow)(void *, size_t) = realloc;

static void test_growth_beyond_the_limit_is_refused_and_the_block_stays(void **state)
{
        _cleanup_free_ char *p = malloc(100);
        void *grown;

        (void)state;
        strcpy(p, "as it was");
        guard_set(LIMIT, NULL);
        errno = 0;
        grown = grow(p, LIMIT + 1);
        assert_int_equal(errno, ENOMEM);
        guard_set(0, NULL);
        assert_null(grown);
        assert_string_equal(p, "as it was");
}

static void test_growth_up_to_the_limit_works_and_keeps_the_contents(void **state)
{
        char *p = malloc(100);

        (void)state;
        strcpy(p, "as it was");
        guard_set(LIMIT, NULL);
        p = realloc(p, LIMIT);
        guard_set(0, NULL);
        assert_non_null(p);
        assert_string_equal(p, "as it was");
        free(p);
}

static void test_without_a_guard_nothing_is_refused(void **state)
{
        char *p;

        (void)state;
        guard_set(LIMIT, NULL);
        guard_set(0, NULL);
        p = realloc(NULL, 16 * LIMIT);
        assert_non_null(p);
        free(p);
}

static void *grow_in_thread(void *ret)
{
        void *p = realloc(NULL, 2 * LIMIT);

        *(bool *)ret = p != NULL;
        free(p);
        return NULL;
}

static void test_other_threads_are_not_held(void **state)
{
        bool grew = false;
        pthread_t t;

        (void)state;
        guard_set(LIMIT, NULL);
        assert_int_equal(pthread_create(&t, NULL, grow_in_thread, &grew), 0);
        assert_int_equal(pthread_join(t, NULL), 0);
        guard_set(0, NULL);
        assert_true(grew);
}

/* ---- a stranger at a real connection ---- */

static sd_bus *make_server(int fd)
{
        sd_bus *bus = NULL;

        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
        assert_true(sd_bus_set_server(bus, 1, (sd_id128_t){.bytes = {1}}) >= 0);
        assert_true(sd_bus_set_anonymous(bus, 1) >= 0);
        assert_true(sd_bus_negotiate_fds(bus, 1) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        return bus;
}

static void send_hello(int fd)
{
        static const char hello[] = "\0AUTH ANONYMOUS\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

        assert_int_equal(write(fd, hello, sizeof(hello) - 1), sizeof(hello) - 1);
}

static void send_with_fds(int fd, const void *data, size_t len, size_t n_fds)
{
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int) * 64)];
        } control = {0};
        struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(n_fds <= 64);
        if (n_fds) {
                struct cmsghdr *c;

                m.msg_control = control.space;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&m);
                *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS,
                                .cmsg_len = CMSG_LEN(sizeof(int) * n_fds)};
                for (size_t i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(c) + i * sizeof(int), &null, sizeof(int));
        }
        assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), len);
        close(null);
}

/* The fixed header of a method call with a body of so many bytes, of which none follows. */
static void send_header(int fd, uint32_t body, uint32_t serial, size_t n_fds)
{
        uint8_t h[16] = {'l', 1, 0, 1};

        memcpy(h + 4, &body, 4);
        memcpy(h + 8, &serial, 4);
        send_with_fds(fd, h, sizeof(h), n_fds);
}

static unsigned count_open(void)
{
        DIR *dir = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

/* Processes everything that has arrived, under a guard or (limit 0) without one. */
static int process(sd_bus *bus, size_t limit, GuardOwner *owner)
{
        int r = 1;

        guard_set(limit, owner);
        for (int i = 0; i < 20 && r >= 0; i++)
                r = sd_bus_process(bus, NULL);
        guard_set(0, NULL);
        return r;
}

static int process_body(uint32_t body, size_t limit, size_t *ret_taken)
{
        struct mallinfo2 before, after;
        int fds[2], r;
        sd_bus *bus;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        bus = make_server(fds[0]);
        send_hello(fds[1]);
        send_header(fds[1], body, 1, 0);
        before = mallinfo2();
        r = process(bus, limit, NULL);
        after = mallinfo2();
        *ret_taken = (after.uordblks + after.hblkhd) - (before.uordblks + before.hblkhd);
        sd_bus_close_unref(bus);
        close(fds[1]);
        return r;
}

static void test_a_message_that_says_it_is_huge_ends_its_connection(void **state)
{
        size_t taken;

        (void)state;
        assert_int_equal(process_body(100 << 20, LIMIT, &taken), -ENOMEM);
        /* it is the guard that does it */
        assert_true(process_body(100 << 20, 0, &taken) >= 0);
        assert_true(SANITIZED || taken > 50u << 20); /* whose heap keeps no such account */
}

static void test_a_message_of_usual_size_is_waited_for(void **state)
{
        size_t taken;

        (void)state;
        assert_true(process_body(128 * 1024, LIMIT, &taken) >= 0);
}

static void test_descriptors_of_a_dropped_message_are_closed_in_the_end(void **state)
{
        GuardOwner owner = {0};
        unsigned before;
        int fds[2];
        sd_bus *bus;

        (void)state;
        before = count_open();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        bus = make_server(fds[0]);
        send_hello(fds[1]);
        assert_true(process(bus, LIMIT, &owner) >= 0);
        send_header(fds[1], 0, 0, 5); /* no message has serial 0 */
#if SANITIZED
        __lsan_disable(); /* sd-bus forgets the list of the descriptors as well */
#endif
        (void)process(bus, LIMIT, &owner);
#if SANITIZED
        __lsan_enable();
#endif
        sd_bus_close_unref(bus);
        close(fds[1]);
        guard_release(&owner);
        assert_int_equal(owner.n_open, 0);
        assert_int_equal(count_open(), before);
}

/* ---- the account of one owner ---- */

static int receive(int fd, GuardOwner *owner, int *ret_fds, size_t n)
{
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int) * 64)];
        } control;
        char c;
        struct iovec iov = {.iov_base = &c, .iov_len = 1};
        struct msghdr m = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.space,
                        .msg_controllen = sizeof(control.space)};
        ssize_t r;

        guard_set(LIMIT, owner);
        r = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        guard_set(0, NULL);
        if (r >= 0 && n)
                memcpy(ret_fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), n * sizeof(int));
        return (int)r;
}

static void test_what_is_closed_is_off_the_account_and_release_takes_the_rest(void **state)
{
        GuardOwner owner = {0}, other = {0};
        int fds[2], got[4], others[2];
        unsigned before;

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        before = count_open();
        send_with_fds(fds[1], "x", 1, 4);
        assert_int_equal(receive(fds[0], &owner, got, 4), 1);
        send_with_fds(fds[1], "x", 1, 2);
        assert_int_equal(receive(fds[0], &other, others, 2), 1);
        assert_int_equal(owner.n_open, 4);
        assert_int_equal(other.n_open, 2);
        close(got[1]);
        assert_int_equal(owner.n_open, 3);
        guard_release(&owner);
        assert_int_equal(owner.n_open, 0);
        /* another's are left alone */
        assert_int_equal(count_open(), before + 2);
        assert_int_equal(other.n_open, 2);
        close(others[0]);
        close(others[1]);
        assert_int_equal(other.n_open, 0);
        assert_int_equal(count_open(), before);
        close(fds[0]);
        close(fds[1]);
}

static void test_a_number_used_again_is_not_closed_for_somebody_else(void **state)
{
        GuardOwner owner = {0};
        int fds[2], got[1], mine;

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        send_with_fds(fds[1], "x", 1, 1);
        assert_int_equal(receive(fds[0], &owner, got, 1), 1);
        close(got[0]);
        mine = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(mine, got[0]);
        guard_release(&owner);
        assert_true(fcntl(mine, F_GETFD) >= 0);
        close(mine);
        close(fds[0]);
        close(fds[1]);
}

static void test_one_who_has_too_many_open_is_refused_and_none_stays(void **state)
{
        GuardOwner owner = {0};
        int fds[2], got[16], r;
        unsigned before;

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        before = count_open();
        send_with_fds(fds[1], "x", 1, 16);
        assert_int_equal(receive(fds[0], &owner, got, 16), 1);
        send_with_fds(fds[1], "x", 1, 1);
        errno = 0;
        r = receive(fds[0], &owner, got, 0);
        assert_int_equal(errno, EMFILE);
        assert_int_equal(r, -1);
        assert_int_equal(owner.n_open, 16);
        guard_release(&owner);
        assert_int_equal(count_open(), before);
        close(fds[0]);
        close(fds[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_growth_beyond_the_limit_is_refused_and_the_block_stays),
                        cmocka_unit_test(test_growth_up_to_the_limit_works_and_keeps_the_contents),
                        cmocka_unit_test(test_without_a_guard_nothing_is_refused),
                        cmocka_unit_test(test_other_threads_are_not_held),
                        cmocka_unit_test(test_a_message_that_says_it_is_huge_ends_its_connection),
                        cmocka_unit_test(test_a_message_of_usual_size_is_waited_for),
                        cmocka_unit_test(test_descriptors_of_a_dropped_message_are_closed_in_the_end),
                        cmocka_unit_test(test_what_is_closed_is_off_the_account_and_release_takes_the_rest),
                        cmocka_unit_test(test_a_number_used_again_is_not_closed_for_somebody_else),
                        cmocka_unit_test(test_one_who_has_too_many_open_is_refused_and_none_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
