/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Key references (docs/formats/key-reference.md): read, without asking anybody. */
#include <openssl/bio.h>

#include "provider/key.h"

#define REFERENCE_LABEL "HOLDFAST KEY REFERENCE"

/* The DER of a reference. NULL: it is none, or of a kind of key that signs nothing. */
Key *reference_parse(Provider *p, const uint8_t *der, size_t len);
/* Reads exactly one PEM block. True if its label is ours: *ret is its DER, to be freed with OPENSSL_free(). */
bool reference_read_pem(BIO *in, uint8_t **ret, size_t *ret_len);
