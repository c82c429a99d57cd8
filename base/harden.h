/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is taken away from the process before it holds anything
 *
 * Also what a supervisor hands over: inherited sockets and the notify socket, by the protocols of
 * sd_listen_fds(3) and sd_notify(3), so that these programs link no library for it.
 */
#include <stdbool.h>
#include <stdint.h>

#define LISTEN_FD_FIRST 3

/* The name of the first LD_ variable in the environment, or NULL: whoever sets one chooses our code. */
const char *harden_foreign_environment(void);
/* Closes everything but the first `keep` descriptors; no core, not dumpable, no new privileges. 0 or -errno.
 */
int harden_process(int keep);

/* How many sockets were handed to us (LISTEN_FDS, LISTEN_PID), from LISTEN_FD_FIRST on. */
int listen_fds(void);

typedef struct Notify {
        int fd;            /* connected, -EBADF: nobody wants to know */
        uint64_t interval; /* microseconds between signs of life, 0: none wanted */
        uint64_t last;     /* monotonic */
} Notify;

/* Connects while that is still possible. */
void notify_open(Notify *n);
void notify_send(const Notify *n, const char *text);
/* How long poll() may wait, in ms (-1: for ever); sends the sign of life when it is due. */
int notify_tick(Notify *n);
