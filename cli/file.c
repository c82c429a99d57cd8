/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"

int file_write(const char *path, Bytes content)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
        _cleanup_close_ int dir = -EBADF;

        if (!parent)
                return -ENOMEM;
        dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir < 0 ? -errno : io_write_file(dir, name, content, 0644);
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
