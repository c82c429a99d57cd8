/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Watching a path, whatever of it is there
 *
 * Each directory that is walked through on the way to a path is watched for the next name of it, through symlinks too,
 * so that nothing can be put in the place of any part without an event. Where a part is missing the walk ends, and its
 * directory is watched for it to come. What the last name leads to is not looked into.
 */
#include <stdbool.h>
#include <stddef.h>

#define PATH_WATCH_MAX 128

typedef struct PathWatch {
        int fd; /* readable: path_watch_read() */
        size_t n;
        struct {
                int wd;
                char *name;
        } items[PATH_WATCH_MAX];
} PathWatch;

#define PATH_WATCH_NULL ((PathWatch){.fd = -EBADF})

/* Watches the path anew; what is read of the path afterwards is what the watches tell changes of. 0 or -errno: -ELOOP
 * for more symlinks than the kernel would follow, -ENOSPC where a user may have no more watches. */
int path_watch_place(PathWatch *w, const char *path);
/* Takes the events there are. True if one of them is about the path. */
bool path_watch_read(PathWatch *w);
void path_watch_deinit(PathWatch *w);
#define _cleanup_path_watch_ _cleanup_(path_watch_deinit)
