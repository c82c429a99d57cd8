/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The floor under strangers' keys (inside this room): too weak, too large to be verified in good time, or of an odd make. */
#include <openssl/types.h>
#include <stdbool.h>

#include "x509/finding.h"

/* False: the detail says what it is ("RSA with 1024 bits"). NULL is a key that OpenSSL could not read. */
bool floor_accepts(EVP_PKEY *pkey, char ret_detail[static FINDING_DETAIL_SIZE]);
