/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The default connection of the process: made by whoever needs it first, connected when it is used, never
 * closed. */
#include "libclient/connection.h"

static _Atomic(HfConnection *) default_connection;

HfConnection *connection_or_default(HfConnection *c)
{
        HfConnection *made = NULL, *there = NULL;

        if (c)
                return c;
        there = atomic_load(&default_connection);
        if (there)
                return there;
        if (connection_new(ROAD_ANY, NULL, &made) < 0)
                return NULL;
        if (atomic_compare_exchange_strong(&default_connection, &there, made))
                return made;
        hf_disconnect(made);
        return there;
}
