/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * DER, to the letter
 *
 * OpenSSL reads BER where it can: indefinite lengths, lengths with leading zeroes, anything behind the end. Two encodings of one
 * certificate are two fingerprints of it, so only the one of X.690 section 10 is let in.
 */
#include "base/bytes.h"

#define DER_DEPTH_MAX 32

/* One value and nothing behind it: definite and shortest lengths, known sizes of BOOLEAN, INTEGER, NULL and OBJECT IDENTIFIER.
 * What is inside an OCTET STRING is not looked at. NULL if it is so, else what is not ("a length is not the shortest"). */
const char *der_complaint(Bytes der);
/* Takes the first value off: all of it, and its contents. False: it ends before. */
bool der_take(Bytes *b, Bytes *ret_whole, Bytes *ret_contents);
