/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What OpenSSL was asked for once
 *
 * Looking an algorithm up by name costs more than hashing a short message with it, and it is the one moment where
 * OpenSSL might go to files. So the room fetches each algorithm once per process, at first use or by
 * crypto_warm_up(), and keeps it to the end. The objects are immutable and may be used from any thread.
 */
#include <openssl/evp.h>

#include "crypto/algorithm.h"

typedef struct Fetched {
        EVP_MD *sha256, *sha384, *sha512;
        EVP_CIPHER *aes256gcm;
        EVP_MAC *hmac;
        EVP_KDF *hkdf;
} Fetched;

/* Never NULL: without one of them the process says so and ends. Also starts libsodium. */
const Fetched *fetched(void);
/* The hash of a scheme, NULL for those without. */
const EVP_MD *fetched_digest(Scheme s);
/* Empties OpenSSL's error queue and returns r: its codes stop in this room. */
int openssl_failed(int r);
