/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link/link.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/wire.h"

#define LINK_MAGIC 0x484b /* "KH" */

int link_begin(Buffer *buf, uint16_t type, uint64_t job)
{
        int r;

        buffer_clear(buf);
        r = buffer_reserve(buf, LINK_HEADER_SIZE);
        if (r)
                return r;
        (void)wire_put_u16(buf, LINK_MAGIC);
        (void)wire_put_u16(buf, LINK_VERSION);
        (void)wire_put_u16(buf, type);
        (void)wire_put_u16(buf, 0);
        return wire_put_u64(buf, job);
}

static int send_packet(int fd, struct msghdr *mh)
{
        ssize_t n;

        do
                n = sendmsg(fd, mh, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

int link_send_with(int fd, Bytes message, Bytes tail)
{
        struct iovec iov[] = {{.iov_base = (void *)message.data, .iov_len = message.len},
                {.iov_base = (void *)tail.data, .iov_len = tail.len}};

        if (tail.len > LINK_MESSAGE_MAX || message.len > LINK_MESSAGE_MAX - tail.len)
                return -EMSGSIZE;
        return send_packet(fd, &(struct msghdr){.msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov)});
}

int link_send(int fd, Bytes message, const int *fds, size_t n_fds)
{
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
        } control = {0};
        struct iovec iov = {.iov_base = (void *)message.data, .iov_len = message.len};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

        if (message.len > LINK_MESSAGE_MAX || n_fds > LINK_FDS_MAX)
                return -EMSGSIZE;
        if (n_fds > 0) {
                struct cmsghdr *c;

                mh.msg_control = control.space;
                mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&mh);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        return send_packet(fd, &mh);
}

static void collect_fds(struct msghdr *mh, LinkMessage *ret)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (ret->n_fds < LINK_FDS_MAX)
                                ret->fds[ret->n_fds++] = fd;
                        else
                                close(fd);
                }
        }
}

static int parse_header(Bytes packet, LinkMessage *ret)
{
        WireReader r = wire_reader(packet);
        uint16_t magic = wire_get_u16(&r), version = wire_get_u16(&r), reserved;

        ret->header.type = wire_get_u16(&r);
        reserved = wire_get_u16(&r);
        ret->header.job = wire_get_u64(&r);
        if (r.failed || magic != LINK_MAGIC)
                return -EPROTO;
        if (version != LINK_VERSION)
                return -EPROTONOSUPPORT;
        if (reserved != 0)
                return -EPROTO;
        ret->body = BYTES(r.p, (size_t)(r.end - r.p));
        return 0;
}

int link_receive(int fd, int flags, uint8_t *buf, LinkMessage *ret)
{
        union {
                struct cmsghdr align;
                uint8_t space[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
        } control;
        struct iovec iov = {.iov_base = buf, .iov_len = LINK_MESSAGE_MAX};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
                .msg_controllen = sizeof(control.space)};
        ssize_t n;
        int r;

        do
                n = recvmsg(fd, &mh, flags | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        *ret = (LinkMessage){0};
        collect_fds(&mh, ret);
        if (n == 0)
                r = -ECONNRESET;
        else if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                r = -EPROTO;
        else
                r = parse_header(BYTES(buf, (size_t)n), ret);
        if (r)
                link_message_close(ret);
        return r;
}

void link_message_close(LinkMessage *m)
{
        for (size_t i = 0; i < m->n_fds; i++)
                safe_close(m->fds[i]);
        m->n_fds = 0;
}

static int unix_address(const char *path, struct sockaddr_un *ret)
{
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;
        strcpy(ret->sun_path, path);
        return 0;
}

int link_listen(const char *path, int *ret_fd)
{
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un sa;
        mode_t mask;
        int r;

        r = unix_address(path, &sa);
        if (r)
                return r;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        mask = umask(0177);
        r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
        umask(mask);
        if (r)
                return r;
        if (listen(fd, 8) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int link_connect(const char *path, int *ret_fd)
{
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un sa;
        int r;

        r = unix_address(path, &sa);
        if (r)
                return r;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
