/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Backup, restore and rekey: rows of manager_methods. */
#include "daemon/bus.h"

int backup_handle_backup(Operation *op);
int backup_handle_restore(Operation *op);
int backup_handle_rekey(Operation *op);
