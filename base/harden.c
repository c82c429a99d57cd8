/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/sanitizer.h"

extern char **environ;

const char *harden_foreign_environment(void)
{
        for (char **e = environ; e && *e; e++)
                if (strncmp(*e, "LD_", 3) == 0)
                        return *e;
        return NULL;
}

int harden_process(int keep)
{
        struct rlimit none = {};

        /* Arenas of threads read files of /proc and /sys when they grow and shrink, which the filter answers with death:
         * one arena for all, which lives on brk(2). */
        if (!SANITIZED && mallopt(M_ARENA_MAX, 1) == 0)
                return -EINVAL;
        if (close_range((unsigned)keep, ~0U, 0) < 0)
                return -errno;
        if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
                        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

static uint64_t env_number(const char *name)
{
        const char *text = getenv(name);
        char *end;
        unsigned long long v;

        if (!text || *text < '0' || *text > '9')
                return 0;
        errno = 0;
        v = strtoull(text, &end, 10);
        return errno || *end ? 0 : v;
}

int listen_fds(void)
{
        uint64_t n = env_number("LISTEN_FDS");

        if (env_number("LISTEN_PID") != (uint64_t)getpid() || n > 16)
                return 0;
        for (int fd = LISTEN_FD_FIRST; fd < LISTEN_FD_FIRST + (int)n; fd++)
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return 0;
        return (int)n;
}

void notify_open(Notify *n)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -EBADF;
        size_t len;

        *n = (Notify){.fd = -EBADF};
        if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(sa.sun_path))
                return;
        len = strlen(path);
        memcpy(sa.sun_path, path, len);
        if (path[0] == '@')
                sa.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&sa,
                                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
                return;
        n->fd = TAKE_FD(fd);
        if (!getenv("WATCHDOG_PID") || env_number("WATCHDOG_PID") == (uint64_t)getpid())
                n->interval = env_number("WATCHDOG_USEC") / 2;
}

/* That nobody listens any more is the supervisor's affair. */
void notify_send(const Notify *n, const char *text)
{
        if (n->fd >= 0 && write(n->fd, text, strlen(text)) < 0)
                return;
}

int notify_tick(Notify *n)
{
        uint64_t now;

        if (n->fd < 0 || n->interval == 0)
                return -1;
        now = clock_monotonic();
        if (n->last == 0 || now - n->last >= n->interval) {
                notify_send(n, "WATCHDOG=1");
                n->last = now;
        }
        return (int)((n->last + n->interval - now) / 1000 + 1);
}
