/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/sum.h"

static uint64_t limb_of(const uint8_t tag[static 32], int i)
{
        uint64_t v = 0;

        for (int k = 0; k < 8; k++)
                v = v << 8 | tag[(3 - i) * 8 + k];
        return v;
}

void sum_add(Sum *s, const uint8_t tag[static 32])
{
        unsigned __int128 carry = 0;

        for (int i = 0; i < 4; i++) {
                carry += (unsigned __int128)s->limb[i] + limb_of(tag, i);
                s->limb[i] = (uint64_t)carry;
                carry >>= 64;
        }
}

void sum_subtract(Sum *s, const uint8_t tag[static 32])
{
        uint64_t borrow = 0;

        for (int i = 0; i < 4; i++) {
                unsigned __int128 take = (unsigned __int128)limb_of(tag, i) + borrow;

                borrow = s->limb[i] < take;
                s->limb[i] -= (uint64_t)take;
        }
}

void sum_bytes(const Sum *s, uint8_t ret[static 32])
{
        for (int i = 0; i < 32; i++)
                ret[i] = (uint8_t)(s->limb[3 - i / 8] >> (56 - i % 8 * 8));
}
