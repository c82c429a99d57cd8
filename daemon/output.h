/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Descriptors that callers give us to write to
 *
 * They are written with our rights, not with the caller's, so only those count where that makes no difference: open
 * for writing, and a pipe, a socket or a file that is a file (nothing of /proc or /sys, where a write is a command).
 */
#include <stdbool.h>

/* `pipes`: pipes and sockets, too. HF_E_INVALID_FD if it is anything else. */
int output_check(int fd, bool pipes);
