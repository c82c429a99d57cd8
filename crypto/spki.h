/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SubjectPublicKeyInfo without a DER parser
 *
 * For each algorithm of ours there is exactly one DER form of a public key: fixed bytes, the key's own bytes, fixed
 * bytes. Comparing against that form is both the parser and the floor: compressed points, explicit curves, other
 * exponents, long lengths and trailing bytes do not fit it. A road through OpenSSL's decoders costs 2 ms.
 */
#include <openssl/types.h>

#include "base/bytes.h"
#include "crypto/algorithm.h"

/* The algorithm and its own bytes (P-256, P-384: x || y; Ed25519, X25519: the key; RSA: n), borrowed from spki.
 * Says nothing yet on whether a point is on its curve. HF_E_INVALID_ARGS if it is not one of our forms. */
int spki_parse(Bytes spki, KeyAlgorithm *ret, Bytes *ret_body);
/* The content of its bit string: RSAPublicKey of RFC 8017 (A.1.1), the point with its 04 in front, or the key. Borrowed. */
int spki_bits(Bytes spki, Bytes *ret);
/* Writes the DER. HF_E_INVALID_ARGS if body has not the algorithm's size or ret is too small. */
int spki_build(KeyAlgorithm algorithm, Bytes body, uint8_t *ret, size_t size, size_t *ret_len);
/* An OpenSSL key to verify or agree with; a point that is not on its curve is HF_E_INVALID_ARGS. */
int spki_load(Bytes spki, KeyAlgorithm *ret_algorithm, EVP_PKEY **ret);
