/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a family of private keys can do (inside this room)
 *
 * privkey.c checks and coordinates, one file per family does the work. The struct of an open key holds no secret
 * itself: those lie behind OpenSSL's allocator, which the signer puts into secret memory.
 */
#include <openssl/evp.h>

#include "crypto/privkey.h"

typedef struct PrivFamily PrivFamily;

/* Where the private half of a key is that is not here; with `raw` behind OpenSSL's allocator as well. */
typedef struct PrivFar {
        FarFunction use;
        void *userdata;
        EVP_PKEY_CTX *verify[_SCHEME_MAX]; /* ready to verify, made at first use */
        size_t raw_len;
        uint8_t raw[];
} PrivFar;

struct PrivKey {
        KeyAlgorithm algorithm;
        const PrivFamily *family;
        EVP_PKEY *pkey;                  /* shared by duplicates: only ever read; of a far key the public half */
        PrivFar *far;                    /* NULL: the private half is here */
        uint8_t *bytes;                  /* symmetric: the 32 bytes, from OPENSSL_malloc */
        EVP_MD_CTX *hash;                /* scratch for hashing messages, made at first use */
        EVP_PKEY_CTX *sign[_SCHEME_MAX]; /* ready to sign, made at first use */
        EVP_MD_CTX *message;             /* Ed25519: ready to sign whole messages */
        EVP_MAC_CTX *mac;
        EVP_CIPHER_CTX *seal, *unseal;
        size_t spki_len;
        uint8_t spki[640];
};

struct PrivFamily {
        uint32_t algorithms; /* bit (1u << KeyAlgorithm) */
        int (*generate)(PrivKey *k); /* fills in k->pkey or k->bytes */
        /* Fills in k->spki from k->pkey; NULL for those without a public half. */
        int (*set_public)(PrivKey *k);
        /* Fills in all of it, and refuses a key that is not whole or not that of spki. */
        int (*from_raw)(PrivKey *k, Bytes raw, Bytes spki);
        int (*to_raw)(const PrivKey *k, uint8_t *ret, size_t *ret_len);
        /* Sets padding and hash of a fresh signing context; NULL if there is nothing to set. */
        int (*prepare_sign)(EVP_PKEY_CTX *ctx, Scheme s);
        bool whole_messages; /* signs messages and never digests */
};

/* What the families do with a far key. */
PrivFar *far_free(PrivFar *f);
int far_dup(const PrivKey *k, PrivKey *copy);
int far_sign_digest(PrivKey *k, Scheme s, Bytes digest, uint8_t ret[static SIGNATURE_MAX], size_t *ret_len);
/* The block before its padding is taken off: as long as the modulus. */
int far_decrypt(const PrivKey *k, Bytes ciphertext, Bytes label, uint8_t *ret, size_t size, size_t *ret_len);
int far_secret(const PrivKey *k, Bytes peer_spki, uint8_t *ret, size_t *ret_len);
int far_mac(const PrivKey *k, Bytes message, uint8_t ret[static 32]);

extern const PrivFamily family_ec, family_okp, family_rsa, family_symmetric;

/* An empty key of this algorithm, its family found. HF_E_ALGORITHM_NOT_SUPPORTED. */
int privkey_new(KeyAlgorithm algorithm, PrivKey **ret);
/* A number out of a key, big-endian in exactly len (at most 512) bytes. */
int pkey_get_number(const EVP_PKEY *pkey, const char *name, uint8_t *ret, size_t len);
/* A key out of parameters, its private part included. HF_E_INVALID_ARGS if OpenSSL does not take them. */
int pkey_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **ret);
