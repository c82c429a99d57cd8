/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Algorithms, purposes, schemes
 *
 * What kinds of key exist, what one key may be for, and by which scheme an operation runs. Three tables of const
 * structs; everything else in Holdfast asks them. Names are what people and the bus see; the numbers are stored
 * in records, so they never change. The tables are also the floor: what is weaker than RSA-2048 or P-256 has no
 * row and is refused wherever a key could come in (creation, import, CSR).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum KeyAlgorithm {
        _KEY_ALGORITHM_INVALID = 0,
        KEY_P256 = 1,     /* "p256"         NIST P-256, SEC 2 secp256r1 */
        KEY_P384 = 2,     /* "p384" */
        KEY_ED25519 = 3,  /* "ed25519"      RFC 8032 */
        KEY_RSA2048 = 4,  /* "rsa2048"      e = 65537 */
        KEY_RSA3072 = 5,  /* "rsa3072" */
        KEY_RSA4096 = 6,  /* "rsa4096" */
        KEY_X25519 = 7,   /* "x25519"       RFC 7748 */
        KEY_HMAC256 = 8,  /* "hmac-sha256"  32 random bytes */
        KEY_AES256 = 9,   /* "aes256"       32 random bytes, AES-256-GCM */
        _KEY_ALGORITHM_MAX,
} KeyAlgorithm;

typedef enum KeyPurpose {
        _KEY_PURPOSE_INVALID = 0,
        PURPOSE_SIGN = 1,
        PURPOSE_DECRYPT = 2,
        PURPOSE_AGREE = 3,
        PURPOSE_MAC = 4,
        PURPOSE_SEAL = 5,
        PURPOSE_ISSUE = 6, /* signs certificates and CRLs of a CA; left for the room ca/ */
        _KEY_PURPOSE_MAX,
} KeyPurpose;

typedef enum Scheme {
        _SCHEME_INVALID = 0,
        SCHEME_ES256 = 1,        /* JOSE names: RFC 7518, RFC 8037 */
        SCHEME_ES384 = 2,
        SCHEME_EDDSA = 3,        /* "EdDSA" */
        SCHEME_RS256 = 4,
        SCHEME_RS384 = 5,
        SCHEME_RS512 = 6,
        SCHEME_PS256 = 7,        /* salt as long as the hash */
        SCHEME_PS384 = 8,
        SCHEME_PS512 = 9,
        SCHEME_RSA_OAEP_256 = 10, /* "RSA-OAEP-256", purpose decrypt */
        SCHEME_ECDH_HKDF_256 = 11, /* "ECDH-HKDF-256": ECDH or X25519, then HKDF-SHA256 (RFC 5869) */
        SCHEME_HS256 = 12,       /* HMAC-SHA256 */
        SCHEME_A256GCM = 13,     /* AES-256-GCM with a random 96-bit nonce in front */
        /* Hashes that are not the curve's own, which JOSE has no names for and TLS 1.2 (RFC 5246 section 7.4.1.4.1) and
         * X.509 (RFC 5758) do have. Where the digest is longer than the curve's order, its left part is signed. */
        SCHEME_ECDSA_SHA256 = 14, /* "ECDSA-SHA256", P-384 */
        SCHEME_ECDSA_SHA384 = 15, /* "ECDSA-SHA384", P-256 */
        SCHEME_ECDSA_SHA512 = 16, /* "ECDSA-SHA512", both */
        _SCHEME_MAX,
} Scheme;

typedef struct KeyAlgorithmInfo {
        const char *name;
        bool asymmetric;
        uint32_t purposes;     /* bit (1u << KeyPurpose) */
        KeyPurpose usual;      /* purpose when the caller names none */
        unsigned bits;
        const char *bus_label; /* for people: "ECDSA P-256" */
} KeyAlgorithmInfo;

typedef struct SchemeInfo {
        const char *name;
        KeyPurpose purpose;
        uint32_t algorithms;   /* bit (1u << KeyAlgorithm) */
        size_t digest_size;    /* bytes of the digest it signs; 0: takes messages only (EdDSA) or is no signature */
        const char *digest;    /* OpenSSL's name, NULL if none */
} SchemeInfo;

/* NULL for a number that has no row. */
const KeyAlgorithmInfo *key_algorithm_info(KeyAlgorithm a);
const SchemeInfo *scheme_info(Scheme s);
/* _INVALID for unknown names. */
KeyAlgorithm key_algorithm_from_string(const char *name);
KeyPurpose key_purpose_from_string(const char *name);
const char *key_purpose_to_string(KeyPurpose p);
Scheme scheme_from_string(const char *name);
/* The scheme a key of this algorithm and purpose uses when none is asked for. */
Scheme scheme_usual(KeyAlgorithm a, KeyPurpose p);
/* 0, HF_E_SCHEME_NOT_SUPPORTED (algorithm does not do it), HF_E_PURPOSE_NOT_PERMITTED (made for something else). */
int scheme_check(Scheme s, KeyAlgorithm a, KeyPurpose p);
