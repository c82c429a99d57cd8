/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Child: one program started the way a service manager starts it
 *
 * It gets its inherited sockets from descriptor 3 on (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES), an environment of
 * known variables only, /dev/null as input, no other descriptor, its own user and session, no core dumps, no new
 * privileges; and it is told to end if the launcher should vanish.
 */
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "launch/options.h"

#define CHILD_SOCKETS_MAX (LAUNCH_LISTEN_MAX + 1)

typedef struct ChildSpec {
        const char *path;
        char *const *argv; /* NULL-terminated, argv[0] included */
        LaunchUser user;
        int sockets[CHILD_SOCKETS_MAX]; /* borrowed */
        size_t n_sockets;
        const char *socket_names;   /* LISTEN_FDNAMES: "signer:tpm"; NULL where all are of one kind */
        const char *notify_path;    /* NOTIFY_SOCKET, or NULL */
        const char *credential_dir; /* CREDENTIALS_DIRECTORY, or NULL */
        uint64_t watchdog;          /* WATCHDOG_USEC: how often it says at least that it is alive; 0: it need not */
} ChildSpec;

/* 0 or -errno of fork. A program that cannot be executed shows as a child that exits with status 127. */
int child_spawn(const ChildSpec *spec, pid_t *ret);

/* Calls handler once the child has ended. 0 or -errno. */
int child_watch(sd_event *event, pid_t pid, sd_event_child_handler_t handler, void *userdata, sd_event_source **ret);
