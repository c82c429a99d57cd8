/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hashes and MACs everyone needs. All are infallible: they abort if the library cannot do SHA-256 or BLAKE2b. */
#include "base/bytes.h"

#define DIGEST_SIZE 32

/* SHA-256 over one span; about 1.6 us for 300 bytes. */
void digest_sha256(Bytes b, uint8_t ret[static DIGEST_SIZE]);
/* Keyed BLAKE2b-256 (RFC 7693), the MAC of log lines, rows and states. */
void mac_blake2b(const uint8_t key[static 32], Bytes b, uint8_t ret[static DIGEST_SIZE]);
/* One key out of another: BLAKE2b keyed by `key` over a fixed 8-character context and a number (libsodium
 * crypto_kdf). */
void kdf_derive(const uint8_t key[static 32], const char context[static 8], uint64_t number, uint8_t ret[static 32]);

/* Ed25519 (RFC 8032) for checkpoints. */
int ed25519_verify(const uint8_t public_key[static 32], Bytes message, const uint8_t signature[static 64]);
