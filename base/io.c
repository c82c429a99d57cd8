/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int io_write_full(int fd, const void *data, size_t len)
{
        const uint8_t *p = data;

        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

int io_pwrite_full(int fd, const void *data, size_t len, off_t at)
{
        const uint8_t *p = data;

        while (len > 0) {
                ssize_t n = pwrite(fd, p, len, at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                at += n;
                len -= (size_t)n;
        }
        return 0;
}

int io_pread_full(int fd, void *ret, size_t len, off_t at, size_t *ret_len)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = pread(fd, (uint8_t *)ret + done, len - done, at + (off_t)done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        *ret_len = done;
        return 0;
}

int io_read_file(int dir_fd, const char *name, Buffer *buf)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        size_t got;
        int r;

        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if ((uint64_t)st.st_size > buf->limit - buf->len)
                return -EFBIG;
        r = buffer_reserve(buf, (size_t)st.st_size);
        if (r)
                return r;
        r = io_pread_full(fd, buf->data + buf->len, (size_t)st.st_size, 0, &got);
        if (r)
                return r;
        buf->len += got;
        return 0;
}

static int write_synced(int dir_fd, const char *name, Bytes content, mode_t mode)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = io_write_full(fd, content.data, content.len);
        if (!r && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
                r = -errno;
        return r;
}

int io_write_file(int dir_fd, const char *name, Bytes content, mode_t mode)
{
        char temporary[256];
        int r;

        if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", name) >= sizeof(temporary))
                return -ENAMETOOLONG;
        if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return -errno;
        r = write_synced(dir_fd, temporary, content, mode);
        if (!r && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r) {
                (void)unlinkat(dir_fd, temporary, 0);
                return r;
        }
        return io_sync_dir(dir_fd);
}

int io_sync_dir(int dir_fd)
{
        return fsync(dir_fd) < 0 ? -errno : 0;
}
