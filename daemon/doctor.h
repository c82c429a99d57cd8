/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What `holdfast doctor` shows of the daemon's side: findings, each with the command that mends it. */
#include "daemon/daemon.h"

/* Appends aa{sv}: severity, code, detail, remedy. Negative on failure. */
int doctor_append_findings(Daemon *d, sd_bus_message *m);
