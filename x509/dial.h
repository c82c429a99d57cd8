/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A connection to a host within a deadline (inside this room). */
#include <stdint.h>

/* deadline: on clock_monotonic(). 0 with a non-blocking socket; positive: an EAI_ code's text in *ret_why; -ETIMEDOUT, -errno. */
int dial(const char *host, const char *port, uint64_t deadline, const char **ret_why, int *ret_fd);
/* Until fd can be read (POLLIN) or written (POLLOUT). 0, -ETIMEDOUT, -errno. */
int dial_wait(int fd, short events, uint64_t deadline);
