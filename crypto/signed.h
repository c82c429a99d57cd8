/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The shell of everything signed in X.509 (RFC 5280 sections 4.1 and 5.1, RFC 2986, RFC 6960)
 *
 * SEQUENCE { what was signed, AlgorithmIdentifier, BIT STRING }. OpenSSL's signing functions want the private key; here
 * the signature comes from elsewhere.
 */
#include "base/bytes.h"
#include "crypto/algorithm.h"

/* The DER of a scheme's AlgorithmIdentifier; empty for a scheme that signs no certificates. */
Bytes signed_identifier(Scheme scheme);
/* Appends the DER. ECDSA signature in DER. HF_E_SCHEME_NOT_SUPPORTED, HF_E_INVALID_ARGS (sizes), -ENOMEM, -EMSGSIZE. */
int signed_assemble(Bytes tbs, Scheme scheme, Bytes signature, Buffer *ret);
