/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Workers: leader and followers
 *
 * At least two threads, all alike. The one that leads waits on the sockets, reads what there is into the fair
 * queues, and then takes the first job itself: when a single caller is there, his request goes through
 * without a hop between threads. Before a job of any length, or when more than one waits, another worker is
 * woken to lead. Long jobs never take the last free worker. Replies go out straight from the worker that made
 * them.
 *
 * Where there is a line to holdfast-tpm, two more workers take the jobs that wait for the TPM and no others, from a
 * queue of their own whose bytes count for themselves: a TPM that hangs holds up nobody else.
 */
#include <sys/types.h>

#include "base/harden.h"
#include "signer/call.h"

typedef struct Server Server;

typedef struct ServerParams {
        Signer *signer;
        int listen_fd;
        uid_t peer;       /* the one uid that may connect */
        unsigned workers; /* 0: as many as cores, at least 2 */
        Notify notify;
} ServerParams;

/* Makes the secret stacks and reply buffers, before the arena takes what is left; signer->tpm decides on how many. 0 or
 * -errno. */
int server_new(const ServerParams *params, Server **ret);
/* Starts the threads, which wait at the gate. 0 or -errno. */
int server_start(Server *s);
/* Opens the gate and works in this thread too. Never returns. */
void server_run(Server *s) __attribute__((noreturn));
/* Runs f(argument) on a secret stack of its own; before server_run(). */
void server_run_secretly(Server *s, void (*f)(void *argument), void *argument);
unsigned server_workers(const Server *s);
