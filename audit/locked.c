/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/locked.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"

#define LOCKED_NAME "locked.jsonl"
/* The last bytes of a full file: how many lines more there would have been. Always as long, so it is written
 * over. */
#define COUNT_FORM "{\"dropped\":%020" PRIu64 "}\n"
#define COUNT_SIZE 34

static int read_count(int fd, uint64_t at, uint64_t *ret)
{
        char text[COUNT_SIZE + 1] = {};
        size_t n;
        int r;

        r = io_pread_full(fd, text, COUNT_SIZE, (off_t)at, &n);
        if (r)
                return r;
        *ret = n == COUNT_SIZE && strncmp(text, "{\"dropped\":", 11) == 0 ? strtoull(text + 11, NULL, 10) : 0;
        return 0;
}

/* The lines end where the count begins, or at the end of the file. */
static int count_place(int fd, uint64_t size, uint64_t *ret_at, uint64_t *ret_count)
{
        uint64_t count = 0;
        int r = 0;

        if (size >= COUNT_SIZE)
                r = read_count(fd, size - COUNT_SIZE, &count);
        if (r)
                return r;
        *ret_at = count ? size - COUNT_SIZE : size;
        *ret_count = count;
        return 0;
}

static int append_text(int fd, const char *text, size_t len)
{
        char count_text[COUNT_SIZE + 1];
        uint64_t at, count;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return HF_E_LOG_DAMAGED;
        r = count_place(fd, (uint64_t)st.st_size, &at, &count);
        if (r)
                return r;
        if (count == 0 && at + len + COUNT_SIZE <= AUDIT_LOCKED_MAX)
                return io_pwrite_full(fd, text, len, (off_t)at);
        snprintf(count_text, sizeof(count_text), COUNT_FORM, count + 1);
        return io_pwrite_full(fd, count_text, COUNT_SIZE, (off_t)at);
}

int audit_locked_append(int dir_fd, const AuditLine *line, bool sync)
{
        char text[AUDIT_LINE_MAX], time[CLOCK_TEXT_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int len, r;

        r = audit_line_check(line);
        if (r)
                return r;
        clock_format(clock_wall(), time);
        /* The body ends in a comma, which the closing brace replaces. */
        len = snprintf(text, sizeof(text), "{\"t\":\"%s\",%.*s}\n", time, (int)line->len - 1, line->text);
        fd = openat(dir_fd, LOCKED_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno == ELOOP ? HF_E_LOG_DAMAGED : -errno;
        r = append_text(fd, text, (size_t)len);
        if (r == 0 && sync && fdatasync(fd) < 0)
                r = -errno;
        return r;
}

/* A line of ours is shorter, but the file is not protected, so anything may stand there. */
static int copy_line(AuditLog *log, Bytes text)
{
        AuditLine line;
        int r;

        for (size_t len = text.len; len > 0; len /= 2) {
                audit_line_init(&line, "locked.copy");
                audit_line_strn(&line, "text", (const char *)text.data, len);
                r = audit_log_append(log, &line, NULL);
                if (r != HF_E_MESSAGE_TOO_LARGE)
                        return r;
        }
        return 0;
}

static int copy_lines(AuditLog *log, Bytes text, uint64_t *n)
{
        while (text.len > 0) {
                const uint8_t *end = memchr(text.data, '\n', text.len);
                size_t len = end ? (size_t)(end - text.data) : text.len;
                int r;

                r = copy_line(log, BYTES(text.data, len));
                if (r)
                        return r;
                *n += len > 0;
                len += end ? 1 : 0;
                text = BYTES(text.data + len, text.len - len);
        }
        return 0;
}

static int copy_count(AuditLog *log, uint64_t count)
{
        AuditLine line;

        audit_line_init(&line, "locked.dropped");
        audit_line_u64(&line, "count", count);
        return audit_log_append(log, &line, NULL);
}

int audit_locked_copy(AuditLog *log, int dir_fd, uint64_t *ret_n)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(AUDIT_LOCKED_MAX);
        _cleanup_close_ int fd = -EBADF;
        uint64_t at, count, n = 0;
        int r;

        r = io_read_file(dir_fd, LOCKED_NAME, &text);
        if (r == -ENOENT) {
                *ret_n = 0;
                return 0;
        }
        if (r)
                return r == -EFBIG || r == -ELOOP || r == -EMSGSIZE ? HF_E_LOG_DAMAGED : r;
        fd = openat(dir_fd, LOCKED_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = count_place(fd, text.len, &at, &count);
        if (r == 0)
                r = copy_lines(log, BYTES(text.data, at), &n);
        if (r == 0 && count)
                r = copy_count(log, count);
        if (r == 0)
                r = audit_log_sync(log);
        if (r)
                return r;
        if (unlinkat(dir_fd, LOCKED_NAME, 0) < 0)
                return -errno;
        r = io_sync_dir(dir_fd);
        if (r)
                return r;
        *ret_n = n;
        return 0;
}
