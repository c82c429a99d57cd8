/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is an RSA key whole, and is it any good (inside this room). All numbers big-endian, e = 65537. */
#include "crypto/family.h"

typedef enum RsaPart { RSA_N, RSA_E, RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QINV, RSA_PARTS } RsaPart;

/* The eight numbers of a raw form, borrowed. HF_E_INVALID_ARGS if one has not its length. */
int rsa_parse_raw(const PrivKey *k, Bytes raw, Bytes ret[static RSA_PARTS]);
/* n = p q, p != q, the exponents are inverses of each other, qInv of q; microseconds. HF_E_INVALID_ARGS. */
int rsa_check_whole(const Bytes parts[static RSA_PARTS]);
/*
 * For keys from outside, on top of that: p and q are prime and far enough apart (Fermat's method; FIPS 186-4
 * B.3.1: more than 2^(bits/2 - 100)), and n does not bear the mark of the generator of CVE-2017-15361 (ROCA).
 * HF_E_INVALID_ARGS for what is no prime, HF_E_WEAK_KEY else. Some 100 ms.
 */
int rsa_check_strong(const Bytes parts[static RSA_PARTS]);
/*
 * All that can be said of a stranger's n alone: no small factor, no primes so close that Fermat's method finds them at
 * once, no mark of CVE-2017-15361. HF_E_WEAK_KEY. A millisecond or two.
 */
int rsa_check_modulus(Bytes n);
