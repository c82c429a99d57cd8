/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hashes and MACs everyone needs. All are infallible, also without memory. */
#include "base/bytes.h"

#define DIGEST_SIZE 32

/* SHA-256 over one span; about 1.6 us for 300 bytes. */
void digest_sha256(Bytes b, uint8_t ret[static DIGEST_SIZE]);
/* Keyed BLAKE2b-256 (RFC 7693), the MAC of log lines, rows and states. */
void mac_blake2b(const uint8_t key[static 32], Bytes b, uint8_t ret[static DIGEST_SIZE]);
/* One key out of another: BLAKE2b keyed by `key` over a fixed 8-character context and a number (libsodium
 * crypto_kdf). */
void kdf_derive(const uint8_t key[static 32], const char context[static 8], uint64_t number, uint8_t ret[static 32]);

/* Ed25519 (RFC 8032) for checkpoints; the private half is its 32-byte seed. */
void ed25519_public(const uint8_t seed[static 32], uint8_t ret[static 32]);
void ed25519_sign(const uint8_t seed[static 32], Bytes message, uint8_t ret[static 64]);
/* 0, or HF_E_KEY_MISMATCH if the signature is not of this key and message. */
int ed25519_verify(const uint8_t public_key[static 32], Bytes message, const uint8_t signature[static 64]);

/*
 * Fetches and initialises everything this room will ever ask of OpenSSL and libsodium, and uses each kind of key
 * once, so that afterwards nothing is looked up lazily and no file is opened: for a program that closes its system
 * call filter after it. Some 50 ms. The caller has said OPENSSL_INIT_NO_LOAD_CONFIG before. 0 or HF_E_INTERNAL.
 */
int crypto_warm_up(void);
