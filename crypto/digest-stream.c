/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/digest-stream.h"

void digest_stream_init(DigestStream *d)
{
        crypto_hash_sha256_init(&d->state);
}

void digest_stream_update(DigestStream *d, const void *data, size_t len)
{
        crypto_hash_sha256_update(&d->state, data, len);
}

void digest_stream_final(DigestStream *d, uint8_t ret[static 32])
{
        crypto_hash_sha256_final(&d->state, ret);
}
