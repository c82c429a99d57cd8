/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/random.h"

#include <sodium.h>

void random_bytes(void *ret, size_t len)
{
        randombytes_buf(ret, len);
}
