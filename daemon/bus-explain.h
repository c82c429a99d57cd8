/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Manager's method Explain. */
#include "daemon/operation.h"

int explain_handle(Operation *op);
