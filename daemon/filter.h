/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The system-call filter of holdfastd
 *
 * Files of the store and log, Unix sockets, threads, memory that is never executable. What is not in the table fails
 * with EPERM (a name service may probe for more at a policy reload and copes with that); what only a taken-over
 * process would call ends it. The table is daemon/filter.c, shown in docs/seccomp.md. Only a build with
 * -Db_sanitize=address runs without the filter and may be looked at (core, ptrace): its reports need a child and /proc.
 */
#include <stddef.h>

typedef struct DaemonFilterRule {
        const char *call;
        const char *why;
} DaemonFilterRule;

const DaemonFilterRule *daemon_filter_rules(size_t *ret_n);
/* Calls that end the process. */
const DaemonFilterRule *daemon_filter_deadly(size_t *ret_n);
/* Closes the filter over all threads. 0 or -errno. */
int daemon_filter_close(void);
