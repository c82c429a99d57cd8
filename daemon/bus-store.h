/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods of the Manager that concern the store as a whole and its key slots. Rows of manager_methods. */
#include "daemon/bus.h"

int store_handle_init(Operation *op);
int store_handle_confirm(Operation *op);
int store_handle_unlock(Operation *op);
int store_handle_lock(Operation *op);
int store_handle_slots(Operation *op);
int store_handle_slot_add(Operation *op);
int store_handle_slot_remove(Operation *op);
int store_handle_slot_change(Operation *op);
int store_handle_slot_reseal(Operation *op);
int store_handle_recover(Operation *op);

/* Shared with rekey: arguments and answer of Initialise. */
int store_read_init(Operation *op, VaultInitParams *ret);
void store_on_init(void *op, int result, const char *reason, uint32_t slot);
