/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The TPM library's OpenSSL, tamed
 *
 * libtss2-esys 3.2.1 makes a new OpenSSL library context for each hash and fetches anew from it: 0.9 ms each, ten of
 * them in one command with a session. This program answers OSSL_LIB_CTX_new() itself with one context that lives as
 * long as the process, and OSSL_LIB_CTX_free() with nothing. No other program of ours does this.
 */
#include "base/bytes.h"

#define DIGEST_SIZE 32

/* Makes the context and lets OpenSSL look up all that it ever will, before the filter closes. 0 or HF_E_INTERNAL. */
int ossl_context_open(void);
/* SHA-256 over the parts in order. 0 or HF_E_INTERNAL. */
int ossl_sha256(const Bytes *parts, size_t n, uint8_t ret[static DIGEST_SIZE]);
