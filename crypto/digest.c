/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Hashes and MACs are libsodium's and need no heap, so they cannot fail halfway. Only SHA-256 is OpenSSL's, which has
 * the processor's own instructions: a context per thread makes it free of allocation after the first time, and
 * where there is no memory for that, libsodium does it.
 */
#include "crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <threads.h>

#include "base/error.h"
#include "crypto/fetched.h"

_Static_assert(crypto_generichash_BYTES == DIGEST_SIZE, "BLAKE2b-256");
_Static_assert(crypto_kdf_CONTEXTBYTES == 8 && crypto_kdf_KEYBYTES == 32, "crypto_kdf");

static tss_t hash_context;
static bool has_context;

static void hash_context_free(void *p)
{
        EVP_MD_CTX_free(p);
}

static void hash_context_create(void)
{
        has_context = tss_create(&hash_context, hash_context_free) == thrd_success;
}

static EVP_MD_CTX *thread_hash_context(void)
{
        static once_flag once = ONCE_FLAG_INIT;
        EVP_MD_CTX *ctx;

        call_once(&once, hash_context_create);
        if (!has_context)
                return NULL;
        ctx = tss_get(hash_context);
        if (ctx)
                return ctx;
        ctx = EVP_MD_CTX_new();
        if (ctx && tss_set(hash_context, ctx) != thrd_success) {
                EVP_MD_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}

void digest_sha256(Bytes b, uint8_t ret[static DIGEST_SIZE])
{
        EVP_MD_CTX *ctx = thread_hash_context();

        if (ctx && EVP_DigestInit_ex2(ctx, fetched()->sha256, NULL) && EVP_DigestUpdate(ctx, b.data, b.len) &&
                        EVP_DigestFinal_ex(ctx, ret, NULL))
                return;
        (void)openssl_failed(0);
        (void)crypto_hash_sha256(ret, b.data, b.len);
}

void mac_blake2b(const uint8_t key[static 32], Bytes b, uint8_t ret[static DIGEST_SIZE])
{
        (void)fetched();
        if (crypto_generichash(ret, DIGEST_SIZE, b.data, b.len, key, 32) < 0)
                abort();
}

void kdf_derive(const uint8_t key[static 32], const char context[static 8], uint64_t number, uint8_t ret[static 32])
{
        (void)fetched();
        if (crypto_kdf_derive_from_key(ret, 32, number, context, key) < 0)
                abort();
}

void ed25519_public(const uint8_t seed[static 32], uint8_t ret[static 32])
{
        uint8_t secret[crypto_sign_SECRETKEYBYTES];

        (void)fetched();
        crypto_sign_seed_keypair(ret, secret, seed);
        sodium_memzero(secret, sizeof(secret));
}

void ed25519_sign(const uint8_t seed[static 32], Bytes message, uint8_t ret[static 64])
{
        uint8_t public_key[32], secret[crypto_sign_SECRETKEYBYTES];

        (void)fetched();
        crypto_sign_seed_keypair(public_key, secret, seed);
        crypto_sign_detached(ret, NULL, message.data, message.len, secret);
        sodium_memzero(secret, sizeof(secret));
}

int ed25519_verify(const uint8_t public_key[static 32], Bytes message, const uint8_t signature[static 64])
{
        (void)fetched();
        return crypto_sign_verify_detached(signature, message.data, message.len, public_key) < 0 ? HF_E_KEY_MISMATCH : 0;
}
