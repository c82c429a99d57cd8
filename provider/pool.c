/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lanes, taken with one compare-and-swap of who uses them. */
#include "provider/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#define LANES 8 /* of the 256 connections that one user may have */

struct Lane {
        _Atomic pid_t user; /* 0: nobody; of another process: nobody here */
        HfConnection *connection;
};

static Lane lanes[LANES];
static Lane shared; /* the default connection for whoever finds no lane; never taken */

static bool take(Lane *l, pid_t me)
{
        pid_t user = atomic_load(&l->user);

        return user != me && atomic_compare_exchange_strong(&l->user, &user, me);
}

Lane *pool_take(int *ret_result)
{
        pid_t me = getpid();

        for (size_t i = 0; i < LANES; i++) {
                Lane *l = &lanes[i];
                int r;

                if (!take(l, me))
                        continue;
                r = i == 0 || l->connection ? HF_OK : hf_connect(&l->connection);
                if (r == HF_OK)
                        return l;
                pool_give_back(l);
                *ret_result = r;
                return NULL;
        }
        return &shared;
}

HfConnection *lane_connection(const Lane *l)
{
        return l->connection;
}

void pool_give_back(Lane *l)
{
        atomic_store(&l->user, 0);
}
