/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* OpenSSL's parameters hold numbers in the machine's byte order, everything else here holds them big-endian. */
#include <endian.h>

#include "base/bytes.h"

/* The same number in the other order; `ret` has in.len bytes and may not overlap it. */
static inline void number_native(Bytes in, uint8_t *ret)
{
        for (size_t i = 0; i < in.len; i++)
                ret[i] = in.data[__BYTE_ORDER == __LITTLE_ENDIAN ? in.len - 1 - i : i];
}
