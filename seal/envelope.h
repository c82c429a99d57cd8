/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Record envelopes
 *
 * A private key at rest: {u8 format = 1, nonce of 24 bytes, XChaCha20-Poly1305 ciphertext and tag}
 * (docs/formats/envelope.md). The associated data is the canonical encoding of the key's attributes, so
 * nobody edits one of them in the database without the envelope refusing to open. The key is derived from the
 * wrapping key for this one uuid and version. Needs no heap beyond the caller's buffer.
 */
#include "base/bytes.h"
#include "crypto/attributes.h"

#define ENVELOPE_FORMAT 1
#define ENVELOPE_OVERHEAD (1 + 24 + 16)

/* Appends the envelope of `raw` (the private half as privkey_to_raw() gives it). 0, -EMSGSIZE (longer than
 * KEY_WRAPPED_MAX, or the buffer's limit), -ENOMEM. */
int envelope_seal(const uint8_t wrapping[static 32], const KeyAttributes *attributes, Bytes raw, Buffer *ret);
/* Opens into `ret`, which lies in secret memory and has room for `size` bytes; the caller erases it. 0, or
 * (`ret` is then zeroed or as it was) HF_E_KEY_MISMATCH: another wrapping key, other attributes, or not the
 * bytes that were written. */
int envelope_open(const uint8_t wrapping[static 32], const KeyAttributes *attributes, Bytes wrapped,
                uint8_t *ret, size_t size, size_t *ret_len);
