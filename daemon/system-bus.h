/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The system bus
 *
 * Owns the name and hands calls to bus_dispatch() once the bus daemon has told whose they are. That answer is
 * kept per unique name, which the bus never gives twice, until the name goes away. When the bus goes away we
 * keep on serving the direct socket and come back to the bus when it does.
 */
#include "base/cleanup.h"
#include "daemon/daemon.h"

int system_bus_new(Daemon *d, SystemBus **ret);
SystemBus *system_bus_free(SystemBus *b);
DEFINE_CLEANUP(SystemBus, system_bus_free)
/* Somebody could not be answered: the connection ends, which the bus tells everybody who waits, and we come back. */
void system_bus_hang_up(SystemBus *b);
bool system_bus_is_connected(const SystemBus *b);
