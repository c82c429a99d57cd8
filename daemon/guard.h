/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Guard over sd-bus's memory
 *
 * sd-bus believes the length in a message header up to 128 MiB and allocates before the bytes arrive, so a
 * stranger could make each connection cost that much. While a guard is set, this program's realloc(3) refuses
 * growth beyond it; sd-bus then fails that connection with ENOMEM, which is what we want.
 */
#include <stddef.h>

void guard_set(size_t limit); /* 0: none */
