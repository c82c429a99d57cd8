/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files, whole or not at all
 *
 * EINTR and short transfers are handled here. A file that matters is written to a temporary name, synced, renamed
 * over, and its directory synced.
 */
#include <sys/types.h>

#include "base/bytes.h"

int io_write_full(int fd, const void *data, size_t len);
int io_pwrite_full(int fd, const void *data, size_t len, off_t at);
/* Reads until len bytes or the end of file. 0 and the count. */
int io_pread_full(int fd, void *ret, size_t len, off_t at, size_t *ret_len);
/* A regular file of at most buf->limit bytes, appended to buf. Symlinks are not followed. -EFBIG, -ELOOP, ... */
int io_read_file(int dir_fd, const char *name, Buffer *buf);
/* Creates or replaces; durable on return. `mode` is exact, the umask does not matter. */
int io_write_file(int dir_fd, const char *name, Bytes content, mode_t mode);
int io_sync_dir(int dir_fd);
