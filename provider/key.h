/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A key as OpenSSL holds it
 *
 * Ours: a UUID and the public half, never changed once it is loaded, so threads may share it. Foreign: a whole key of
 * the default provider in our library context, which came here because we were asked first. Passing: a foreign one that
 * was made because a key was wanted here and nobody said which; TLS does so for each handshake. It agrees with a peer, and is
 * neither written nor signs.
 */
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "provider/provider.h"

#define KEY_UUID_SIZE 37
#define KEY_NAME_SIZE 65

typedef struct Key {
        atomic_uint refs;
        Provider *provider;
        const char *type; /* "EC", "RSA", "RSA-PSS", "ED25519" */
        EVP_PKEY *pkey;   /* ours: the public half; foreign: all there is; NULL: nothing yet */
        bool ours, passing, has_public, has_private;
        bool digest; /* ours: made for digests */
        atomic_bool compared; /* ours: the public half is that which Holdfast has */
        char uuid[KEY_UUID_SIZE], name[KEY_NAME_SIZE]; /* name: as it was asked for by, "": not known */
} Key;

/* NULL: out of memory. */
Key *key_new(Provider *p, const char *type);
Key *key_ref(Key *k);
/* Returns NULL. */
Key *key_unref(Key *k);
/* Gives it what it holds, instead of what it held; takes pkey over. */
void key_set(Key *k, EVP_PKEY *pkey);

static inline bool key_is_rsa(const Key *k)
{
        return strncmp(k->type, "RSA", 3) == 0;
}

static inline void key_unrefp(Key **k)
{
        key_unref(*k);
}
