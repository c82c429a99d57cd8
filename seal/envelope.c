/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/envelope.h"

#include <errno.h>
#include <sodium.h>

#include "base/error.h"
#include "base/secret.h"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(ENVELOPE_OVERHEAD == 1 + NONCE_SIZE + TAG_SIZE, "as the format says");

/* BLAKE2b keyed by the wrapping key over "holdfast record", uuid, version (little-endian). */
static void record_key(const uint8_t wrapping[static 32], const KeyAttributes *a, uint8_t ret[static 32])
{
        static const char domain[] = "holdfast record";
        uint8_t input[sizeof(domain) - 1 + 16 + 4], *p = input;

        memcpy(p, domain, sizeof(domain) - 1);
        p += sizeof(domain) - 1;
        memcpy(p, a->uuid.b, 16);
        p += 16;
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(a->version >> (8 * i));
        crypto_generichash(ret, 32, input, sizeof(input), wrapping, 32);
}

/* The encoding lands in memory of the caller: no heap for what is on the road of every cold key. */
static int encode(const KeyAttributes *a, uint8_t space[static KEY_ATTRIBUTES_MAX], Bytes *ret)
{
        Buffer b = {.data = space, .allocated = KEY_ATTRIBUTES_MAX, .limit = KEY_ATTRIBUTES_MAX};
        int r = key_attributes_encode(a, &b);

        if (r)
                return r;
        *ret = buffer_bytes(&b);
        return 0;
}

int envelope_seal(const uint8_t wrapping[static 32], const KeyAttributes *attributes, Bytes raw, Buffer *ret)
{
        uint8_t key[32], space[KEY_ATTRIBUTES_MAX], *p;
        Bytes ad;
        int r;

        if (raw.len > KEY_WRAPPED_MAX - ENVELOPE_OVERHEAD)
                return -EMSGSIZE;
        r = encode(attributes, space, &ad);
        if (!r)
                r = buffer_reserve(ret, raw.len + ENVELOPE_OVERHEAD);
        if (r)
                return r;

        p = ret->data + ret->len;
        p[0] = ENVELOPE_FORMAT;
        randombytes_buf(p + 1, NONCE_SIZE);
        record_key(wrapping, attributes, key);
        crypto_aead_xchacha20poly1305_ietf_encrypt(
                        p + 1 + NONCE_SIZE, NULL, raw.data, raw.len, ad.data, ad.len, NULL, p + 1, key);
        secret_erase(key, sizeof(key));
        ret->len += raw.len + ENVELOPE_OVERHEAD;
        return 0;
}

int envelope_open(const uint8_t wrapping[static 32], const KeyAttributes *attributes, Bytes wrapped,
                uint8_t *ret, size_t size, size_t *ret_len)
{
        uint8_t key[32], space[KEY_ATTRIBUTES_MAX];
        unsigned long long len;
        Bytes ad;
        int r;

        if (wrapped.len < ENVELOPE_OVERHEAD || wrapped.len - ENVELOPE_OVERHEAD > size ||
                        wrapped.data[0] != ENVELOPE_FORMAT)
                return HF_E_KEY_MISMATCH;
        r = encode(attributes, space, &ad);
        if (r)
                return r;

        record_key(wrapping, attributes, key);
        r = crypto_aead_xchacha20poly1305_ietf_decrypt(ret, &len, NULL, wrapped.data + 1 + NONCE_SIZE,
                        wrapped.len - 1 - NONCE_SIZE, ad.data, ad.len, wrapped.data + 1, key);
        secret_erase(key, sizeof(key));
        if (r)
                return HF_E_KEY_MISMATCH;
        *ret_len = (size_t)len;
        return 0;
}
