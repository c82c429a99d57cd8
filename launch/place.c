/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/secret.h"
#include "link/link.h"

#define CREDENTIAL_NAME "holdfast.unlock"
#define CREDENTIAL_MAX (64 * 1024)

static int complain(const char *path, int r)
{
        log_error("%s: %s", path, strerror(-r));
        return r;
}

static char *join(const char *dir, const char *name)
{
        char *path;

        return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* An existing directory is taken only if it is one and belongs to root or to its user. */
static int make_directory(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
        struct stat st;

        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return complain(path, -errno);
        if (lstat(path, &st) < 0)
                return complain(path, -errno);
        if (!S_ISDIR(st.st_mode))
                return complain(path, -ENOTDIR);
        if (st.st_uid != uid && st.st_uid != 0 && st.st_uid != geteuid())
                return complain(path, -EPERM);
        if ((st.st_uid != uid || st.st_gid != gid) && lchown(path, uid, gid) < 0)
                return complain(path, -errno);
        if ((st.st_mode & 07777) != mode && chmod(path, mode) < 0)
                return complain(path, -errno);
        return 0;
}

/* Mode 0600 and the user of holdfastd as owner: nobody else can connect. The signer asks SO_PEERCRED besides. */
static int listen_private(const char *path, const LaunchUser *peer, int *ret)
{
        _cleanup_close_ int fd = -EBADF;
        int r = link_listen(path, &fd);

        if (r)
                return complain(path, r);
        if (chown(path, peer->uid, peer->gid) < 0)
                return complain(path, -errno);
        *ret = TAKE_FD(fd);
        return 0;
}

static int open_notify(const char *path, int *ret)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int one = 1;

        if (strlen(path) >= sizeof(sa.sun_path))
                return complain(path, -ENAMETOOLONG);
        strcpy(sa.sun_path, path);
        if (fd < 0 || (unlink(path) < 0 && errno != ENOENT) || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
                        chmod(path, 0666) < 0)
                return complain(path, -errno);
        /* Who sends is told by the kernel, so the mode does not matter. */
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0)
                return complain(path, -errno);
        *ret = TAKE_FD(fd);
        return 0;
}

static int open_bus(const char *path, int *ret)
{
        int r = listen_at(path, ret);

        return r ? complain(path, r) : 0;
}

static int open_listen(const char *path, int *ret)
{
        int r = listen_prepare(path);

        if (r == -EPERM)
                log_error("%s: the directories it lies in must be root's or uid %u's, with nobody else able to write them, and "
                          "no symlinks",
                                path, (unsigned)geteuid());
        return r ? complain(path, r) : open_bus(path, ret);
}

static int write_credential(const char *path, const LaunchUser *user, Bytes content)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
        if (fd < 0)
                return -errno;
        r = io_write_full(fd, content.data, content.len);
        if (!r && fchown(fd, user->uid, user->gid) < 0)
                r = -errno;
        return r;
}

/* The user who may start the launcher can read the file; the signer's user cannot and need not. */
static int copy_credential(const char *from, const char *dir, const LaunchUser *user)
{
        _cleanup_buffer_ Buffer content = BUFFER_INIT(CREDENTIAL_MAX);
        _cleanup_free_ char *to = join(dir, CREDENTIAL_NAME);
        int r;

        if (!to)
                return -ENOMEM;
        r = make_directory(dir, 0700, user->uid, user->gid);
        if (r)
                return r;
        r = buffer_reserve(&content, CREDENTIAL_MAX); /* no copies left behind by growing */
        if (!r)
                r = io_read_file(AT_FDCWD, from, &content);
        if (r)
                return complain(from, r);
        r = write_credential(to, user, buffer_bytes(&content));
        secret_erase(content.data, content.allocated);
        return r ? complain(to, r) : 0;
}

static int make_paths(const char *run, const char *signer_dir, Place *p)
{
        p->bus_path = join(run, "bus");
        p->notify_path = join(run, "notify");
        p->signer_path = join(signer_dir, "socket");
        p->import_path = join(signer_dir, "import");
        p->tpm_path = join(signer_dir, "tpm");
        return p->bus_path && p->notify_path && p->signer_path && p->import_path && p->tpm_path ? 0 : -ENOMEM;
}

static int make_sockets(const LaunchOptions *o, Place *p)
{
        int r = open_bus(p->bus_path, &p->bus_fd);

        p->listen_paths = o->listen;
        for (; !r && p->n_listen < o->n_listen; p->n_listen += !r)
                r = open_listen(o->listen[p->n_listen], &p->listen_fds[p->n_listen]);
        if (!r)
                r = open_notify(p->notify_path, &p->notify_fd);
        if (!r)
                r = listen_private(p->signer_path, &o->daemon_user, &p->signer_fd);
        if (!r)
                r = listen_private(p->import_path, &o->daemon_user, &p->import_fd);
        if (!r && fcntl(p->import_fd, F_SETFL, O_NONBLOCK) < 0)
                r = complain(p->import_path, -errno);
        if (!r && o->tcti)
                r = listen_private(p->tpm_path, &o->tpm_user, &p->tpm_fd);
        return r;
}

/* Programs look for RUN/tls, which is gone after a boot; what it points to stays. */
static int make_tls(const LaunchOptions *o)
{
        _cleanup_free_ char *link = join(o->run_directory, "tls");
        int r = make_directory(o->tls_directory, 0755, o->daemon_user.uid, o->daemon_user.gid);

        if (r)
                return r;
        if (!link)
                return -ENOMEM;
        if (unlink(link) < 0 && errno != ENOENT)
                return complain(link, -errno);
        return symlink(o->tls_directory, link) < 0 ? complain(link, -errno) : 0;
}

int place_prepare(const LaunchOptions *o, Place *ret)
{
        _cleanup_free_ char *signer_dir = join(o->run_directory, "signer");
        int r;

        if (!signer_dir || make_paths(o->run_directory, signer_dir, ret))
                return -ENOMEM;
        r = make_directory(o->run_directory, 0755, geteuid(), getegid());
        if (!r)
                r = make_directory(signer_dir, 0755, geteuid(), getegid());
        if (!r)
                r = make_directory(o->state_directory, 0700, o->daemon_user.uid, o->daemon_user.gid);
        if (!r)
                r = make_tls(o);
        if (!r)
                r = make_sockets(o, ret);
        if (r || !o->credential)
                return r;
        ret->credential_dir = join(o->run_directory, "credentials");
        if (!ret->credential_dir)
                return -ENOMEM;
        return copy_credential(o->credential, ret->credential_dir, &o->signer_user);
}

static void forget(int *fd, char **path)
{
        if (*fd >= 0 && *path)
                (void)unlink(*path);
        *fd = safe_close(*fd);
        free(TAKE_PTR(*path));
}

void place_deinit(Place *p)
{
        forget(&p->bus_fd, &p->bus_path);
        for (size_t i = 0; i < p->n_listen; i++) {
                (void)unlink(p->listen_paths[i]);
                safe_close(p->listen_fds[i]);
        }
        p->n_listen = 0;
        forget(&p->signer_fd, &p->signer_path);
        forget(&p->import_fd, &p->import_path);
        forget(&p->tpm_fd, &p->tpm_path);
        forget(&p->notify_fd, &p->notify_path);
        if (p->credential_dir) {
                _cleanup_free_ char *path = join(p->credential_dir, CREDENTIAL_NAME);

                if (path)
                        (void)unlink(path);
                (void)rmdir(p->credential_dir);
        }
        free(TAKE_PTR(p->credential_dir));
}
