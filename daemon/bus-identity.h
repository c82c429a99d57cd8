/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods of the Manager interface about identities. */
#include "daemon/operation.h"

int identity_handle_list(Operation *op);
int identity_handle_set(Operation *op);
