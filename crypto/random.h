/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Random bytes for keys, salts and nonces: the kernel's, through libsodium. Cannot fail once crypto_warm_up() ran. */
#include <stddef.h>

void random_bytes(void *ret, size_t len);
