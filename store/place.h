/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The place of a store: its directory, its lock, and whether the files in it are what they should be
 *
 * Everything SQLite would take on trust: that the file is a regular one, ours, closed to others, and no
 * symlink.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "store/store.h"

__attribute__((format(printf, 2, 3))) void reason_set(StoreReason *reason, const char *format, ...);

/* The directory is ours (or root's) and others cannot write in it. HF_E_STORE_UNSAFE. */
int place_check_directory(int dir_fd, StoreReason *reason);
/* The file is regular, ours, and 0600 or tighter. HF_E_STORE_UNSAFE, or *ret_exists = false. */
int place_check_file(int dir_fd, const char *name, StoreReason *reason, bool *ret_exists);
/* The first bytes are not those of an unencrypted database. HF_E_STORE_DAMAGED, -errno. */
int place_check_header(int dir_fd, const char *name, StoreReason *reason);
/* An empty file of mode 0600. HF_E_STORE_INITIALISED if there is one. */
int place_create_file(int dir_fd, const char *name, StoreReason *reason);
int place_sync_file(int dir_fd, const char *name);
/* Removes a database file and what SQLite puts beside it. */
void place_remove(int dir_fd, const char *name);
