/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* S, the sum of all row tags modulo 2^256. Tags and S are written as 32 bytes, big-endian. */
#include <stdint.h>

typedef struct Sum {
        uint64_t limb[4]; /* least significant first */
} Sum;

void sum_add(Sum *s, const uint8_t tag[static 32]);
void sum_subtract(Sum *s, const uint8_t tag[static 32]);
void sum_bytes(const Sum *s, uint8_t ret[static 32]);
