/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file of the machine's configuration: written whole or not at all, durable on return, mode 0644. */
#include "base/bytes.h"

/* Creates or replaces. 0 or -errno. */
int file_write(const char *path, Bytes content);
/* Creates the directories that a path lies in and that are not there yet, mode 0755. 0 or -errno. */
int file_make_directories(const char *path);
