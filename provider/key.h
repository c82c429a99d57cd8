/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A key as OpenSSL holds it
 *
 * Ours: a UUID and the public half, never changed once it is loaded, so threads may share it. Foreign: a whole key of
 * the default provider in our library context, which came here because we were asked first.
 */
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "provider/provider.h"

#define KEY_UUID_SIZE 37

typedef struct Key {
        atomic_uint refs;
        Provider *provider;
        const char *type; /* "EC", "RSA", "ED25519" */
        EVP_PKEY *pkey;   /* ours: the public half; foreign: all there is; NULL: nothing yet */
        bool ours, has_public, has_private;
        bool digest; /* ours: made for digests */
        char uuid[KEY_UUID_SIZE];
} Key;

/* NULL: out of memory. */
Key *key_new(Provider *p, const char *type);
Key *key_ref(Key *k);
/* Returns NULL. */
Key *key_unref(Key *k);
/* Gives it what it holds, instead of what it held; takes pkey over. */
void key_set(Key *k, EVP_PKEY *pkey);

static inline void key_unrefp(Key **k)
{
        key_unref(*k);
}
