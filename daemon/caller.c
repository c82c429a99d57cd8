/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define LABEL_MAX 256

Caller *caller_ref(Caller *c)
{
        c->refs++;
        return c;
}

Caller *caller_unref(Caller *c)
{
        if (!c || --c->refs > 0)
                return NULL;
        free(c->groups);
        free(c->unit);
        free(c->label);
        free(c->socket);
        free(c);
        return NULL;
}

static int caller_new(uid_t uid, gid_t gid, pid_t pid, const char *socket_path, Caller **ret)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;

        if (uid == (uid_t)-1)
                return -EPERM;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->refs = 1;
        c->uid = uid;
        c->gid = gid;
        c->pid = pid;
        c->socket = strdup(socket_path);
        if (!c->socket)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

static int set_groups(Caller *c, const gid_t *groups, size_t n)
{
        if (n > CALLER_GROUPS_MAX)
                return -E2BIG;
        c->groups = malloc((n ? n : 1) * sizeof(*groups));
        if (!c->groups)
                return -ENOMEM;
        if (n)
                memcpy(c->groups, groups, n * sizeof(*groups));
        c->n_groups = n;
        return 0;
}

static int read_groups(Caller *c, int fd)
{
        gid_t few[32], *groups = few;
        _cleanup_free_ gid_t *many = NULL;
        socklen_t len = sizeof(few);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &len) < 0) {
                if (errno != ERANGE || len > CALLER_GROUPS_MAX * sizeof(gid_t))
                        return -errno;
                many = groups = malloc(len);
                if (!many)
                        return -ENOMEM;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &len) < 0)
                        return -errno;
        }
        return set_groups(c, groups, len / sizeof(gid_t));
}

static bool ends_with(const char *name, size_t n, const char *suffix)
{
        size_t len = strlen(suffix);

        return n > len && memcmp(name + n - len, suffix, len) == 0;
}

/* `path` begins with a slash and ends at the newline. The first name that is no slice is what systemd placed; what
 * comes below was made by whoever the subtree was given to, who could call it nginx.service. */
static void unit_of_path(const char *path, char *ret, size_t size)
{
        while (*path == '/') {
                const char *name = path + 1;
                size_t n = strcspn(name, "/\n");

                path = name + n;
                if (ends_with(name, n, ".slice"))
                        continue;
                if (n < size && (ends_with(name, n, ".service") || ends_with(name, n, ".scope"))) {
                        memcpy(ret, name, n);
                        ret[n] = '\0';
                }
                return;
        }
}

void caller_unit_of_cgroup(const char *text, char *ret, size_t size)
{
        static const char unified[] = "0::/", legacy[] = ":name=systemd:/";

        ret[0] = '\0';
        for (const char *line = text; *line; line += *line == '\n') {
                const char *controllers = line + strspn(line, "0123456789");

                if (strncmp(line, unified, strlen(unified)) == 0)
                        unit_of_path(line + strlen(unified) - 1, ret, size);
                else if (strncmp(controllers, legacy, strlen(legacy)) == 0)
                        unit_of_path(controllers + strlen(legacy) - 1, ret, size);
                else {
                        line = strchrnul(line, '\n');
                        continue;
                }
                return;
        }
}

static bool is_alive(int pidfd)
{
        struct pollfd p = {.fd = pidfd, .events = POLLIN};

        return poll(&p, 1, 0) == 0;
}

/* Between two looks that find the process alive its pid cannot have passed to another one. */
static void read_unit(Caller *c, int fd)
{
        _cleanup_close_ int pidfd = -EBADF, proc = -EBADF;
        char path[64], unit[256], text[4096];
        socklen_t len = sizeof(pidfd);
        size_t got;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0 || !is_alive(pidfd))
                return;
        snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)c->pid);
        proc = open(path, O_RDONLY | O_CLOEXEC);
        if (proc < 0 || io_pread_full(proc, text, sizeof(text) - 1, 0, &got) || !is_alive(pidfd) ||
                        got == sizeof(text) - 1) /* cut: a name may go on */
                return;
        text[got] = '\0';
        caller_unit_of_cgroup(text, unit, sizeof(unit));
        if (unit[0])
                c->unit = strdup(unit);
}

/* SO_PEERSEC is what the label was when the connection was made: no pid enters, so there is nothing to race.
 */
static void read_label(Caller *c, int fd)
{
        char label[LABEL_MAX];
        socklen_t len = sizeof(label) - 1;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERSEC, label, &len) < 0 || len == 0 || len >= sizeof(label))
                return;
        label[len] = '\0';
        c->label = strdup(label);
}

int caller_from_socket(int fd, const char *socket_path, Caller **ret)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;
        struct ucred cred;
        socklen_t len = sizeof(cred);
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return -errno;
        r = caller_new(cred.uid, cred.gid, cred.pid, socket_path, &c);
        if (r)
                return r;
        c->direct = true;
        r = read_groups(c, fd);
        if (r)
                return r;
        read_unit(c, fd);
        read_label(c, fd);
        *ret = TAKE_PTR(c);
        return 0;
}

int caller_from_bus(uid_t uid, gid_t gid, pid_t pid, const gid_t *groups, size_t n_groups, Caller **ret)
{
        _cleanup_(caller_unrefp) Caller *c = NULL;
        int r;

        r = caller_new(uid, gid, pid, "system-bus", &c);
        if (!r)
                r = set_groups(c, groups, n_groups);
        if (r)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
