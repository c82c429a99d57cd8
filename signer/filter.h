/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The system-call filter
 *
 * Once it is closed the signer can read and write the descriptors it has, take those it is sent, wait, and
 * manage its memory; it cannot open, connect, execute or look at another process. Anything else ends the
 * process. The table is in filter.c and docs/formats/link.md names it.
 */
#include <stddef.h>

typedef struct FilterRule {
        const char *call; /* as the kernel names it */
        const char *why;
} FilterRule;

const FilterRule *filter_rules(size_t *ret_n);
/* Closes the filter over all threads of the process. 0 or -errno. */
int filter_close(void);
