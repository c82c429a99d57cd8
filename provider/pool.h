/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connections of a process
 *
 * A connection of libholdfast does one call at a time, so a server with many threads wants several. A lane is one that a
 * thread has to itself for a call; lane 0 is the process's default connection, the others are made when they are first
 * needed and stay. No locks: a lane says which process uses it, so what another process's threads held at a fork is free
 * in the child, and libholdfast gives the child a socket of its own there.
 */
#include <holdfast.h>

typedef struct Lane Lane;

/* A free lane, else the shared default one, where calls wait for each other; to be given back. NULL: no connection, and
 * *ret_result says why. */
Lane *pool_take(int *ret_result);
/* NULL is the default connection. */
HfConnection *lane_connection(const Lane *l);
void pool_give_back(Lane *l);

static inline void pool_give_backp(Lane **l)
{
        if (*l)
                pool_give_back(*l);
}
