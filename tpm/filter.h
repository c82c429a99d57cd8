/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The system-call filter of holdfast-tpm
 *
 * Behind it the process can open the TPM's device again, connect to Unix sockets (the signer's, a software TPM's), read,
 * write and wait; it cannot execute, make memory executable, use a network or look at another process. Anything else
 * ends it. docs/seccomp.md shows the table.
 */
#include <stddef.h>

typedef struct FilterRule {
        const char *call; /* as the kernel names it */
        const char *why;
} FilterRule;

const FilterRule *filter_rules(size_t *ret_n);
/* Closes the filter. 0 or -errno. */
int filter_close(void);
