/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flood: a client who wants to be in everybody's way
 *
 *   flood SOCKET... <CALL     sends CALL, over and over, on these descriptors
 *   flood -b                  computes, and calls nobody: what any program may do to the others on the machine
 *
 * The sockets are authenticated already. Each is kept full; what comes back is thrown away. It sleeps while there is
 * nothing to send or to read, so it costs little itself. Ends when it is killed.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS_AT_ONCE 16
#define SOCKETS_MAX 256
#define CALL_MAX 65536

typedef struct Socket {
        int fd;
        size_t sent; /* of the calls, the last of which may be half out */
} Socket;

static char calls[CALLS_AT_ONCE * CALL_MAX];
static size_t calls_len;

static void read_call(void)
{
        ssize_t n;

        while ((n = read(STDIN_FILENO, calls + calls_len, CALL_MAX - calls_len)) > 0)
                calls_len += (size_t)n;
        if (n < 0 || calls_len == 0 || calls_len == CALL_MAX)
                errx(2, "no call, or too long a one");
        for (size_t i = 1; i < CALLS_AT_ONCE; i++)
                memcpy(calls + i * calls_len, calls, calls_len);
        calls_len *= CALLS_AT_ONCE;
}

static void serve(Socket *s)
{
        static char replies[65536];
        ssize_t n;

        while ((n = send(s->fd, calls + s->sent, calls_len - s->sent, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
                s->sent = (s->sent + (size_t)n) % calls_len;
        if (errno == EAGAIN)
                while ((n = recv(s->fd, replies, sizeof(replies), MSG_DONTWAIT)) > 0)
                        ;
        if (n == 0 || errno != EAGAIN)
                err(1, "a socket is closed");
}

static void flood(char **fds, int count)
{
        static Socket sockets[SOCKETS_MAX];
        struct epoll_event events[SOCKETS_MAX];
        int epoll = epoll_create1(EPOLL_CLOEXEC);

        if (epoll < 0 || count < 1 || count > SOCKETS_MAX)
                errx(2, "1 to %d sockets", SOCKETS_MAX);
        for (int i = 0; i < count; i++) {
                sockets[i].fd = atoi(fds[i]);
                events[0] = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &sockets[i]};
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i].fd, &events[0]) < 0)
                        err(1, "socket %s", fds[i]);
        }
        for (;;) {
                int n = epoll_wait(epoll, events, SOCKETS_MAX, -1);

                for (int i = 0; i < n; i++)
                        serve(events[i].data.ptr);
        }
}

static void burn(void)
{
        for (volatile unsigned long n = 0;; n++)
                ;
}

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "-b") == 0)
                burn();
        read_call();
        flood(argv + 1, argc - 1);
        return 0;
}
