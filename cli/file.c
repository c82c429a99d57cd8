/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

static int open_parent(const char *path)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
        int fd = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

        return fd < 0 ? -errno : fd;
}

int file_write(const char *path, Bytes content)
{
        const char *slash = strrchr(path, '/');
        _cleanup_close_ int dir = open_parent(path);

        return dir < 0 ? dir : io_write_file(dir, slash ? slash + 1 : path, content, 0644);
}

int file_sync_directory(const char *path)
{
        _cleanup_close_ int dir = open_parent(path);

        return dir < 0 ? dir : io_sync_dir(dir);
}

int file_make_directories(const char *path)
{
        _cleanup_free_ char *part = strdup(path);

        if (!part)
                return -ENOMEM;
        for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(part, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return 0;
}

static int open_beside(FileReplacement *f, mode_t mode)
{
        uint64_t number;

        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
                return -EIO;
        if (asprintf(&f->temporary, "%s.%016" PRIx64, f->path, number) < 0) {
                f->temporary = NULL;
                return -ENOMEM;
        }
        f->fd = open(f->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (f->fd >= 0)
                return 0;
        free(TAKE_PTR(f->temporary)); /* not ours to remove */
        return -errno;
}

int file_replace_begin(const char *path, mode_t mode, FileReplacement *ret)
{
        _cleanup_file_replacement_ FileReplacement f = FILE_REPLACEMENT_NULL;
        struct stat st;
        int r;

        if (stat(path, &st) == 0) {
                if (!S_ISREG(st.st_mode))
                        return -ENOTSUP;
                f.path = realpath(path, NULL);
        } else {
                if (errno != ENOENT)
                        return -errno;
                f.path = strdup(path);
        }
        r = f.path ? open_beside(&f, mode) : -errno;
        if (r)
                return r;
        *ret = f;
        f = FILE_REPLACEMENT_NULL;
        return 0;
}

int file_replace_commit(FileReplacement *f)
{
        if (fsync(f->fd) < 0 || rename(f->temporary, f->path) < 0)
                return -errno;
        free(TAKE_PTR(f->temporary));
        return file_sync_directory(f->path);
}

void file_replace_end(FileReplacement *f)
{
        if (f->temporary)
                (void)unlink(f->temporary);
        free(TAKE_PTR(f->temporary));
        free(TAKE_PTR(f->path));
        f->fd = safe_close(f->fd);
}
