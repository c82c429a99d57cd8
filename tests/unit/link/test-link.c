/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link/link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

static uint8_t packet[LINK_MESSAGE_MAX];

static void pair(int ret[2])
{
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret), 0);
}

static void close_pair(int fds[2])
{
        close(fds[0]);
        close(fds[1]);
}

static size_t count_fds(void)
{
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void test_a_message_of_two_pieces_arrives_as_one(void **state)
{
        static const uint8_t tail[LINK_MESSAGE_MAX];
        Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);
        LinkMessage m;
        int fds[2];

        (void)state;
        pair(fds);
        assert_int_equal(link_begin(&b, 7, 1), 0);
        assert_int_equal(wire_put_u32(&b, 70000), 0);
        assert_int_equal(link_send_with(fds[0], buffer_bytes(&b), BYTES(tail, 70000)), 0);
        assert_int_equal(link_receive(fds[1], 0, packet, &m), 0);
        assert_int_equal(m.header.type, 7);
        assert_int_equal(m.body.len, 4 + 70000);
        assert_int_equal(link_send_with(fds[0], buffer_bytes(&b), BYTES(tail, LINK_MESSAGE_MAX - b.len)), 0);
        assert_int_equal(link_receive(fds[1], 0, packet, &m), 0);
        assert_int_equal(link_send_with(fds[0], buffer_bytes(&b), BYTES_ARRAY(tail)), -EMSGSIZE);
        assert_int_equal(link_send_with(fds[0], buffer_bytes(&b), BYTES_NULL), 0);
        assert_int_equal(link_receive(fds[1], 0, packet, &m), 0);
        assert_int_equal(m.body.len, 4);
        buffer_deinit(&b);
        close_pair(fds);
}

static void test_a_message_arrives_with_its_descriptors(void **state)
{
        Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);
        struct stat sent, got;
        int fds[2], pipes[2];
        LinkMessage m;

        (void)state;
        pair(fds);
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(link_begin(&b, 7, 0x0123456789abcdefULL), 0);
        assert_int_equal(wire_put_string(&b, "body"), 0);
        assert_int_equal(link_send(fds[0], buffer_bytes(&b), pipes, 2), 0);
        assert_int_equal(link_receive(fds[1], 0, packet, &m), 0);
        assert_int_equal(m.header.type, 7);
        assert_int_equal(m.header.job, 0x0123456789abcdefULL);
        assert_int_equal(m.n_fds, 2);
        assert_int_equal(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fstat(pipes[1], &sent), 0);
        assert_int_equal(fstat(m.fds[1], &got), 0);
        assert_int_equal(sent.st_ino, got.st_ino);
        assert_int_equal(m.body.len, 8);
        link_message_close(&m);
        close_pair(fds);
        close_pair(pipes);
        buffer_deinit(&b);
}

static void test_malformed_headers_are_refused_and_descriptors_closed(void **state)
{
        Buffer b = BUFFER_INIT(64);
        int fds[2], extra;
        LinkMessage m;
        size_t before;

        (void)state;
        pair(fds);
        extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
        before = count_fds();
        for (size_t at = 0; at < 8; at++) {
                if (at == 4 || at == 5)
                        continue; /* the type is anybody's */
                assert_int_equal(link_begin(&b, 1, 1), 0);
                b.data[at] ^= 0x80;
                assert_int_equal(link_send(fds[0], buffer_bytes(&b), &extra, 1), 0);
                assert_int_equal(link_receive(fds[1], 0, packet, &m),
                                at == 2 || at == 3 ? -EPROTONOSUPPORT : -EPROTO);
                assert_int_equal(count_fds(), before);
        }
        for (size_t len = 1; len < LINK_HEADER_SIZE; len++) {
                assert_int_equal(link_begin(&b, 1, 1), 0);
                assert_int_equal(link_send(fds[0], BYTES(b.data, len), &extra, 1), 0);
                assert_int_equal(link_receive(fds[1], 0, packet, &m), -EPROTO);
                assert_int_equal(count_fds(), before);
        }
        close(extra);
        close_pair(fds);
        buffer_deinit(&b);
}

static void send_raw(int fd, const void *data, size_t len, const int *passed, size_t n)
{
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int) * 16)];
        } control = {};
        struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
        struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.space,
                        .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), passed, sizeof(int) * n);
        assert_int_equal(sendmsg(fd, &mh, MSG_NOSIGNAL), (ssize_t)len);
}

static void test_too_many_descriptors_are_refused_and_none_leaks(void **state)
{
        Buffer b = BUFFER_INIT(64);
        int fds[2], many[16];
        LinkMessage m;
        size_t before;

        (void)state;
        pair(fds);
        for (size_t i = 0; i < 16; i++)
                many[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        before = count_fds();
        for (size_t n = LINK_FDS_MAX + 1; n <= 16; n++) {
                assert_int_equal(link_begin(&b, 1, 1), 0);
                send_raw(fds[0], b.data, b.len, many, n);
                assert_int_equal(link_receive(fds[1], 0, packet, &m), -EPROTO);
                assert_int_equal(count_fds(), before);
        }
        assert_int_equal(link_send(fds[0], buffer_bytes(&b), many, LINK_FDS_MAX + 1), -EMSGSIZE);
        for (size_t i = 0; i < 16; i++)
                close(many[i]);
        close_pair(fds);
        buffer_deinit(&b);
}

static void test_sizes_at_and_above_the_limit(void **state)
{
        static uint8_t big[LINK_MESSAGE_MAX + 1];
        Buffer b = BUFFER_INIT(64);
        int fds[2];
        LinkMessage m;

        (void)state;
        pair(fds);
        assert_int_equal(link_begin(&b, 1, 1), 0);
        memcpy(big, b.data, b.len);
        assert_int_equal(link_send(fds[0], BYTES(big, LINK_MESSAGE_MAX), NULL, 0), 0);
        assert_int_equal(link_receive(fds[1], 0, packet, &m), 0);
        assert_int_equal(m.body.len, LINK_MESSAGE_MAX - LINK_HEADER_SIZE);
        assert_int_equal(link_send(fds[0], BYTES(big, LINK_MESSAGE_MAX + 1), NULL, 0), -EMSGSIZE);
        assert_int_equal(send(fds[0], big, LINK_MESSAGE_MAX + 1, 0), LINK_MESSAGE_MAX + 1);
        assert_int_equal(link_receive(fds[1], 0, packet, &m), -EPROTO);
        close_pair(fds);
        buffer_deinit(&b);
}

static void test_nothing_there_and_nobody_there_are_told_apart(void **state)
{
        Buffer b = BUFFER_INIT(64);
        int fds[2];
        LinkMessage m;

        (void)state;
        pair(fds);
        assert_int_equal(link_receive(fds[1], MSG_DONTWAIT, packet, &m), -EAGAIN);
        close(fds[0]);
        assert_int_equal(link_receive(fds[1], MSG_DONTWAIT, packet, &m), -ECONNRESET);
        assert_int_equal(link_begin(&b, 1, 1), 0);
        assert_int_equal(link_send(fds[1], buffer_bytes(&b), NULL, 0), -EPIPE);
        close(fds[1]);
        buffer_deinit(&b);
}

static void test_a_listening_path_is_private_and_reusable(void **state)
{
        char dir[] = "/tmp/hf-link-XXXXXX", path[64], longer[256];
        struct stat st;
        int fd, again, client;

        (void)state;
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/s", dir);
        assert_int_equal(link_connect(path, &client), -ENOENT);
        assert_int_equal(link_listen(path, &fd), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(link_listen(path, &again), 0); /* the leftover of a former life */
        assert_int_equal(link_connect(path, &client), 0);
        close(client);
        close(fd);
        close(again);
        assert_int_equal(link_connect(path, &client), -ECONNREFUSED);
        memset(longer, 'x', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        assert_int_equal(link_connect(longer, &client), -ENAMETOOLONG);
        unlink(path);
        rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_a_message_of_two_pieces_arrives_as_one),
                        cmocka_unit_test(test_a_message_arrives_with_its_descriptors),
                        cmocka_unit_test(test_malformed_headers_are_refused_and_descriptors_closed),
                        cmocka_unit_test(test_too_many_descriptors_are_refused_and_none_leaks),
                        cmocka_unit_test(test_sizes_at_and_above_the_limit),
                        cmocka_unit_test(test_nothing_there_and_nobody_there_are_told_apart),
                        cmocka_unit_test(test_a_listening_path_is_private_and_reusable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
