/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that are written whole or not at all, and durable on return. */
#include "base/bytes.h"

#include <errno.h>
#include <sys/types.h>

/* Of the machine's configuration, mode 0644. */

/* Creates or replaces. 0 or -errno. */
int file_write(const char *path, Bytes content);
/* Creates the directories that a path lies in and that are not there yet, mode 0755. 0 or -errno. */
int file_make_directories(const char *path);
/* The directory that a path lies in. 0 or -errno. */
int file_sync_directory(const char *path);

/*
 * What comes piece by piece from elsewhere: it goes into `fd`, a new file beside the one whose place it takes, which is left
 * as it is until then. A symbolic link stays, what it leads to is replaced.
 */
typedef struct FileReplacement {
        int fd;
        char *path, *temporary;
} FileReplacement;

#define FILE_REPLACEMENT_NULL ((FileReplacement){.fd = -EBADF})

/* -ENOTSUP: there is something that is no regular file. */
int file_replace_begin(const char *path, mode_t mode, FileReplacement *ret);
/* 0 or -errno; then the old file is there still. */
int file_replace_commit(FileReplacement *f);
/* Removes what was not put in its place. */
void file_replace_end(FileReplacement *f);
#define _cleanup_file_replacement_ __attribute__((cleanup(file_replace_end)))
