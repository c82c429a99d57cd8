/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Manager's methods about private CAs. */
#include "daemon/operation.h"

int ca_handle_create(Operation *op);
int ca_handle_list(Operation *op);
/* daemon/ca-put.c */
int ca_handle_put(Operation *op);
int ca_handle_lists(Operation *op);
