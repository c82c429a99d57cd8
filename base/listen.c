/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/listen.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"

#define BACKLOG 1024

/* Whoever could exchange it could have us make and remove names elsewhere. */
static int check_directory(const char *path)
{
        struct stat st;

        if (mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS)
                return -errno;
        if (lstat(path, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
                        ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX)))
                return -EPERM;
        return 0;
}

int listen_prepare(const char *path)
{
        char part[PATH_MAX];
        int r;

        if (path[0] != '/')
                return -EINVAL;
        if (strlen(path) >= sizeof(part))
                return -ENAMETOOLONG;
        r = check_directory("/");
        strcpy(part, path);
        for (char *slash = strchr(part + 1, '/'); !r && slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                r = check_directory(part);
                *slash = '/';
        }
        return r;
}

static int remove_old(const char *path)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        return unlink(path) < 0 ? -errno : 0;
}

/* The kernel gives the name the mode that the socket has, less the umask; a chmod() of the name could meet another one. */
static int bind_name(int fd, const struct sockaddr_un *sa)
{
        mode_t before = umask(0);
        int r = fchmod(fd, 0666) < 0 || bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;

        (void)umask(before);
        return r;
}

int listen_at(const char *path, int *ret)
{
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int r;

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        strcpy(sa.sun_path, path);
        r = remove_old(path);
        if (r)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        r = bind_name(fd, &sa);
        if (r)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}
