/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/line.h"
#include "base/error.h"
#include "base/io.h"

#define CURSOR_BUFFER (64u << 10)
#define ZERO_STEP (256u << 10)
#define SEGMENT_SUFFIX ".jsonl"

void segment_name(unsigned number, char ret[static SEGMENT_NAME_SIZE])
{
        snprintf(ret, SEGMENT_NAME_SIZE, "%06u" SEGMENT_SUFFIX, number);
}

static bool number_from_name(const char *name, unsigned *ret)
{
        char again[SEGMENT_NAME_SIZE];
        unsigned long n;

        if (name[0] < '0' || name[0] > '9')
                return false;
        n = strtoul(name, NULL, 10);
        if (n == 0 || n >= UINT_MAX)
                return false;
        segment_name((unsigned)n, again);
        if (strcmp(again, name) != 0)
                return false;
        *ret = (unsigned)n;
        return true;
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

int segment_range(int dir_fd, unsigned *ret_first, unsigned *ret_last)
{
        _cleanup_(closedirp) DIR *d = NULL;
        unsigned first = UINT_MAX, last = 0, count = 0, n;
        int fd;

        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d) {
                safe_close(fd);
                return -ENOMEM;
        }
        for (struct dirent *entry; errno = 0, (entry = readdir(d));) {
                if (!number_from_name(entry->d_name, &n))
                        continue;
                first = n < first ? n : first;
                last = n > last ? n : last;
                count++;
        }
        if (errno)
                return -errno;
        if (count == 0)
                return HF_E_STORE_UNINITIALISED;
        if (count != last - first + 1)
                return HF_E_LOG_DAMAGED;
        *ret_first = first;
        *ret_last = last;
        return 0;
}

int segment_open(int dir_fd, unsigned number, bool writable, int *ret_fd, uint64_t *ret_size)
{
        _cleanup_close_ int fd = -EBADF;
        char name[SEGMENT_NAME_SIZE];
        struct stat st;

        segment_name(number, name);
        fd = openat(dir_fd, name,
                        (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ELOOP ? HF_E_LOG_DAMAGED : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > SEGMENT_SIZE_MAX)
                return HF_E_LOG_DAMAGED;
        if (ret_size)
                *ret_size = (uint64_t)st.st_size;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int no_room(int r)
{
        return r == -ENOSPC || r == -EDQUOT || r == -EFBIG ? HF_E_LOG_FULL : r;
}

int segment_zero(int fd, uint64_t from, uint64_t to)
{
        static const char zeros[ZERO_STEP];
        int r;

        while (from < to) {
                size_t n = to - from < ZERO_STEP ? to - from : ZERO_STEP;

                r = io_pwrite_full(fd, zeros, n, (off_t)from);
                if (r)
                        return no_room(r);
                from += n;
        }
        return fsync(fd) < 0 ? no_room(-errno) : 0;
}

int segment_make(int dir_fd, unsigned number, uint64_t size)
{
        _cleanup_close_ int fd = -EBADF;
        char name[SEGMENT_NAME_SIZE], fresh[SEGMENT_NAME_SIZE + 4];
        int r;

        segment_name(number, name);
        if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        snprintf(fresh, sizeof(fresh), "%s.new", name);
        if (unlinkat(dir_fd, fresh, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(dir_fd, fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return no_room(-errno);
        r = segment_zero(fd, 0, size);
        if (r == 0 && renameat(dir_fd, fresh, dir_fd, name) < 0)
                r = no_room(-errno);
        if (r) {
                unlinkat(dir_fd, fresh, 0);
                return r;
        }
        return io_sync_dir(dir_fd);
}

int segment_cursor_init(SegmentCursor *c)
{
        *c = (SegmentCursor){.fd = -EBADF, .buffer = malloc(CURSOR_BUFFER)};
        return c->buffer ? 0 : -ENOMEM;
}

void segment_cursor_deinit(SegmentCursor *c)
{
        free(c->buffer);
        c->buffer = NULL;
}

void segment_cursor_seek(SegmentCursor *c, int fd, uint64_t offset)
{
        c->fd = fd;
        c->offset = c->base = offset;
        c->len = 0;
}

static int refill(SegmentCursor *c)
{
        c->base = c->offset;
        c->len = 0;
        return io_pread_full(c->fd, c->buffer, CURSOR_BUFFER, (off_t)c->base, &c->len);
}

int segment_cursor_next(SegmentCursor *c, Bytes *ret_line)
{
        int r;

        for (bool fresh = false;; fresh = true) {
                const char *p = c->buffer + (c->offset - c->base), *end;
                size_t left = c->len - (c->offset - c->base);

                if (left > 0 && *p == '\0')
                        return HF_E_NOTHING_TO_DO;
                end = left > 0 ? memchr(p, '\n', left < AUDIT_LINE_MAX ? left : AUDIT_LINE_MAX) : NULL;
                if (end && !memchr(p, '\0', end - p)) {
                        *ret_line = BYTES(p, end - p);
                        c->offset += (uint64_t)(end - p) + 1;
                        return 0;
                }
                if (end || fresh || left >= AUDIT_LINE_MAX)
                        return left == 0 ? HF_E_NOTHING_TO_DO : HF_E_INVALID_ARGS;
                r = refill(c);
                if (r)
                        return r;
        }
}
