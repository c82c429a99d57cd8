/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Roads to the daemon
 *
 * The direct socket, on which the kernel names the caller and no bus daemon stands between, and the system
 * bus. Which one is tried is decided when a connection is made; both speak the same contract.
 */
#include <systemd/sd-bus.h>

typedef enum RoadKind {
        _ROAD_INVALID = 0,
        ROAD_ANY,    /* direct; the bus only where there is no socket (ENOENT) */
        ROAD_DIRECT, /* this socket alone */
        ROAD_BUS,    /* the system bus alone */
} RoadKind;

/* path: of the socket, NULL for the usual one. ret_kind is ROAD_DIRECT or ROAD_BUS. 0 or -errno. */
int road_open(RoadKind kind, const char *path, sd_bus **ret, RoadKind *ret_kind);
