/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Public keys: the forms they are handed out in, checking of signatures, the floor. Input is always SPKI in DER. */
#include "base/bytes.h"
#include "crypto/algorithm.h"

/* Which algorithm of ours this key is. HF_E_WEAK_KEY, HF_E_ALGORITHM_NOT_SUPPORTED, HF_E_INVALID_ARGS. */
int pubkey_algorithm(Bytes spki, KeyAlgorithm *ret);
/* SubjectPublicKeyInfo around the bare number (P-256, P-384: x || y; RSA: n, e is 65537). HF_E_INVALID_ARGS: not of this
 * algorithm's size, or a point that is not on the curve. */
int pubkey_build(KeyAlgorithm algorithm, Bytes number, uint8_t *ret, size_t size, size_t *ret_len);
/* Appends: "spki" DER as it is, "pem", "jwk" (RFC 7517, 8037; members in lexical order as RFC 7638 hashes them),
 * "ssh" (one authorized_keys line; comment may be ""). HF_E_INVALID_ARGS for another format, HF_E_NOT_SUPPORTED
 * where a form does not exist (X25519 as ssh). */
int pubkey_export(Bytes spki, const char *format, const char *comment, Buffer *ret);
/* SHA-256 of the SPKI. */
void pubkey_fingerprint(Bytes spki, uint8_t ret[static 32]);
/* SHA-256 of what the SPKI holds, without the algorithm before it: the fingerprint systemd knows a policy key by (`pkfp`).
 * HF_E_INVALID_ARGS: none of our forms. */
int pubkey_inner_fingerprint(Bytes spki, uint8_t ret[static 32]);
/* ECDSA signatures in DER. 0, HF_E_KEY_MISMATCH if the signature is not of this key and message. */
int pubkey_verify(Bytes spki, Scheme scheme, Bytes message, Bytes signature);
/* r || s (p1363) to DER and back, RFC 7518 section 3.4. */
int ecdsa_der_to_p1363(Bytes der, size_t scalar_size, uint8_t *ret);
int ecdsa_p1363_to_der(Bytes p1363, uint8_t *ret, size_t size, size_t *ret_len);
