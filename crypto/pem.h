/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * PEM, read by hand
 *
 * Exactly one object of one kind is wanted: no password callback, no second object behind the first, no kind guessed.
 */
#include "base/bytes.h"

/* DER in memory of OpenSSL's, erased with it. */
typedef struct Der {
        uint8_t *data;
        size_t len, allocated;
} Der;

void der_deinit(Der *d);
/* Whether the text begins as an object of this kind ("PRIVATE KEY"). */
bool pem_is(Bytes text, const char *kind);
/* Base64 between the two lines, which must be the first and the last thing in the text. HF_E_INVALID_ARGS, -ENOMEM. */
int pem_decode(Bytes text, const char *kind, Der *ret);
