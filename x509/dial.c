/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/dial.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"

static struct timespec left(uint64_t deadline)
{
        uint64_t now = clock_monotonic(), usec = deadline > now ? deadline - now : 0;

        return (struct timespec){.tv_sec = (time_t)(usec / USEC_PER_SEC), .tv_nsec = (long)(usec % USEC_PER_SEC * 1000)};
}

int dial_wait(int fd, short events, uint64_t deadline)
{
        struct pollfd p = {.fd = fd, .events = events};
        struct timespec timeout;
        int n;

        do {
                timeout = left(deadline);
                n = ppoll(&p, 1, &timeout, NULL);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == 0 ? -ETIMEDOUT : 0;
}

typedef struct Lookup {
        struct gaicb request;
        struct addrinfo hints;
        char names[];
} Lookup;

/* The resolver works in a thread of its own, so that a name server that is silent holds nobody up. */
static int resolve(const char *host, const char *port, uint64_t deadline, struct addrinfo **ret)
{
        size_t host_len = strlen(host) + 1, port_len = strlen(port) + 1;
        Lookup *l = calloc(1, sizeof(*l) + host_len + port_len);
        struct gaicb *list[] = {l ? &l->request : NULL};
        struct timespec timeout = left(deadline);
        int r;

        if (!l)
                return EAI_MEMORY;
        memcpy(l->names, host, host_len);
        memcpy(l->names + host_len, port, port_len);
        l->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
        l->request = (struct gaicb){.ar_name = l->names, .ar_service = l->names + host_len, .ar_request = &l->hints};
        r = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
        if (r == 0)
                (void)gai_suspend((const struct gaicb *const *)list, 1, &timeout);
        if (r == 0)
                r = gai_error(&l->request);
        if (r == EAI_INPROGRESS && gai_cancel(&l->request) != EAI_CANCELED)
                return EAI_AGAIN; /* the thread still writes there: a lookup's memory for a process that is about to say so */
        if (r == 0)
                *ret = l->request.ar_result;
        free(l);
        return r == EAI_INPROGRESS ? EAI_AGAIN : r;
}

static int connect_to(const struct addrinfo *a, uint64_t deadline, int *ret_fd)
{
        _cleanup_close_ int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        socklen_t len = sizeof(int);
        int error = 0, r;

        if (fd < 0)
                return -errno;
        if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
                return -errno;
        r = dial_wait(fd, POLLOUT, deadline);
        if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
                r = -errno;
        if (r || error)
                return r ? r : -error;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int dial(const char *host, const char *port, uint64_t deadline, const char **ret_why, int *ret_fd)
{
        struct addrinfo *list = NULL;
        int r = resolve(host, port, deadline, &list);

        if (r) {
                *ret_why = gai_strerror(r);
                return 1;
        }
        r = -EHOSTUNREACH;
        for (const struct addrinfo *a = list; a && r && r != -ETIMEDOUT; a = a->ai_next)
                r = connect_to(a, deadline, ret_fd);
        freeaddrinfo(list);
        return r;
}
