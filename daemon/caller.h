/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Caller: who is it
 *
 * What the kernel, or the bus daemon that asked the kernel, says about the other end of a connection. Nothing
 * a caller claims about itself enters. Any failure to find out means there is no Caller and nothing is
 * answered. systemd unit and LSM label are there only where a pidfd proves the process was the same before
 * and after they were read (direct socket, kernel 6.5 and later); otherwise they are NULL and rules that name
 * them do not match.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define CALLER_GROUPS_MAX 65536

typedef struct Caller Caller;

struct Caller {
        unsigned refs;
        bool direct;
        uid_t uid;
        gid_t gid;
        pid_t pid; /* for the log only; decides nothing */
        size_t n_groups;
        gid_t *groups;
        char *unit;
        char *label;
        char *socket; /* path the connection came in on, or "system-bus" */
};

/* The peer of a connected Unix socket. -errno. */
int caller_from_socket(int fd, const char *socket_path, Caller **ret);
/* What GetConnectionCredentials said. */
int caller_from_bus(uid_t uid, gid_t gid, pid_t pid, const gid_t *groups, size_t n_groups, Caller **ret);
Caller *caller_ref(Caller *c);
Caller *caller_unref(Caller *c);
DEFINE_CLEANUP(Caller, caller_unref)

/* The unit in the text of /proc/PID/cgroup: the outermost service or scope of the systemd hierarchy, because groups
 * further in are named by those who run there. Pure. Writes "" if there is none. */
void caller_unit_of_cgroup(const char *text, char *ret, size_t size);
