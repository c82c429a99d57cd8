/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Private keys, open
 *
 * Used by the signer alone (and by the one-shot import process). An open key keeps OpenSSL's key object and one
 * ready context per scheme, because building them costs more than a P-256 signature. A PrivKey is not shared
 * between threads at the same time: privkey_dup() gives a worker its own.
 *
 * The raw form is what an envelope holds (docs/formats/envelope.md): a fixed layout of big-endian numbers per
 * algorithm, no DER. P-256, P-384: scalar. Ed25519, X25519: 32 bytes. RSA: n, e, d, p, q, dP, dQ, qInv as blocks.
 * HMAC, AES: the 32 bytes.
 */
#include "base/bytes.h"
#include "base/secret.h"
#include "crypto/algorithm.h"

typedef struct PrivKey PrivKey;

#define PRIVKEY_RAW_MAX 2560

/* 0, HF_E_ALGORITHM_NOT_SUPPORTED, HF_E_INTERNAL. */
int privkey_generate(KeyAlgorithm algorithm, PrivKey **ret);
/* Checks lengths, ranges and that the key is whole. `spki` is the public half the record names; it must be the same
 * key or the result is HF_E_KEY_MISMATCH (empty for symmetric keys). */
int privkey_from_raw(KeyAlgorithm algorithm, Bytes raw, Bytes spki, PrivKey **ret);
/* Writes the raw form into memory the caller erases. */
int privkey_to_raw(const PrivKey *k, uint8_t ret[static PRIVKEY_RAW_MAX], size_t *ret_len);
/* SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER; *ret_len = 0 for symmetric keys. */
int privkey_public(const PrivKey *k, uint8_t *ret, size_t size, size_t *ret_len);
/*
 * A key whose private half is elsewhere, in a TPM. What is bare arithmetic with that half, `use` has done there; all
 * around it (hashing, padding, encoding, derivation) happens here as for any other key, and no signature is given out
 * before it was verified. `raw` is what the other side needs for it, opaque to this room; it is the raw form of such
 * a key, too. `use` is called in the thread of the use and may take its time.
 */
typedef enum FarOp {
        FAR_ECDSA = 1, /* digest -> r || s, each as long as the field */
        FAR_RSASSA,    /* digest -> PKCS#1 v1.5 signature with that SHA-2 */
        FAR_RSA_RAW,   /* a number below the modulus and as long -> to the power d, as long */
        FAR_ECDH,      /* the peer's x || y -> x of the product */
        FAR_HMAC,      /* at most FAR_MESSAGE_MAX bytes -> HMAC-SHA256 */
} FarOp;
#define FAR_MESSAGE_MAX 65536
#define FAR_RESULT_MAX 512

/* 0 and exactly as many bytes as the operation gives, or an error that is then the use's. */
typedef int (*FarFunction)(void *userdata, Bytes raw, FarOp op, Bytes data, uint8_t *ret, size_t size);

/* HF_E_ALGORITHM_NOT_SUPPORTED: none of the operations above does it (Ed25519, X25519, AES). HF_E_KEY_MISMATCH: `spki`
 * is no public half of this algorithm (empty for HMAC). `userdata` outlives the key and all its duplicates. */
int privkey_from_far(
        KeyAlgorithm algorithm, Bytes raw, Bytes spki, FarFunction use, void *userdata, PrivKey **ret);
/* Empty for a key that is here. */
Bytes privkey_far_raw(const PrivKey *k);

int privkey_dup(const PrivKey *k, PrivKey **ret);
KeyAlgorithm privkey_algorithm(const PrivKey *k);
PrivKey *privkey_free(PrivKey *k);
DEFINE_CLEANUP(PrivKey, privkey_free)

/* PKCS#8, DER or PEM, unencrypted. Refused by name: what the tables have no row for (HF_E_WEAK_KEY for a known kind
 * that is too small or badly made: RSA e, close primes, explicit curves; HF_E_ALGORITHM_NOT_SUPPORTED else). */
int privkey_from_pkcs8(Bytes input, PrivKey **ret);

#define SIGNATURE_MAX 512 /* RSA-4096 */

/* `digest`: input is the digest of the scheme, not the message. ECDSA comes out as DER (RFC 3279 section 2.2.3),
 * with p1363 set as r || s (RFC 7518 section 3.4). HF_E_SCHEME_NOT_SUPPORTED, HF_E_INVALID_ARGS (digest size). */
typedef struct SignParams {
        Scheme scheme;
        bool digest;
        bool p1363;
} SignParams;
int privkey_sign(PrivKey *k, const SignParams *params, Bytes input, uint8_t ret[static SIGNATURE_MAX], size_t *ret_len);

/* RSA-OAEP with SHA-256 and MGF1-SHA-256, optional label. Every failure is HF_E_DECRYPT_FAILED. */
int privkey_decrypt(PrivKey *k, Bytes ciphertext, Bytes label, uint8_t *ret, size_t size, size_t *ret_len);

/* ECDH with the peer's SPKI (DER), then HKDF-SHA256(salt, info) to `len` bytes (1-255 * 32). The raw secret never
 * leaves. A peer of another curve, or a point that gives zero: HF_E_INVALID_ARGS. */
int privkey_agree(PrivKey *k, Bytes peer_spki, Bytes salt, Bytes info, uint8_t *ret, size_t len);

/* HMAC-SHA256, 32 bytes. HF_E_MESSAGE_TOO_LARGE: more than FAR_MESSAGE_MAX for a key that is elsewhere. */
int privkey_mac(PrivKey *k, Bytes message, uint8_t ret[static 32]);

/* AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag. */
#define SEAL_OVERHEAD 28
int privkey_seal(PrivKey *k, Bytes plain, Bytes aad, uint8_t *ret, size_t size, size_t *ret_len);
int privkey_unseal(PrivKey *k, Bytes sealed, Bytes aad, uint8_t *ret, size_t size, size_t *ret_len);
