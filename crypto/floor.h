/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The floor (inside this room)
 *
 * What a stranger's key is, in the words of the tables: one of ours, a known kind that is too weak, or a kind that
 * has no row. Everything that comes in by import or CSR passes here.
 */
#include <openssl/types.h>

#include "crypto/algorithm.h"

/* By type, size, curve and public exponent. 0, HF_E_WEAK_KEY, HF_E_ALGORITHM_NOT_SUPPORTED. */
int floor_algorithm(const EVP_PKEY *pkey, KeyAlgorithm *ret);
