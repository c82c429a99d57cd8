/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256 over what does not fit into memory at once. */
#include <sodium.h>

#include "base/bytes.h"

typedef struct DigestStream {
        crypto_hash_sha256_state state;
} DigestStream;

void digest_stream_init(DigestStream *d);
void digest_stream_update(DigestStream *d, const void *data, size_t len);
void digest_stream_final(DigestStream *d, uint8_t ret[static 32]);
