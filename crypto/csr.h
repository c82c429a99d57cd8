/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Certificate signing requests (RFC 2986)
 *
 * Made in two steps, because the key is elsewhere: csr_prepare() gives the CertificationRequestInfo that is to be
 * signed, csr_finish() puts the signature to it.
 */
#include "base/bytes.h"
#include "crypto/algorithm.h"

#define CSR_NAMES_MAX 64
#define CSR_MAX 16384

typedef struct CsrRequest {
        const char *subject;       /* RFC 4514 text, "CN=device-7,O=Example"; "" for an empty one */
        const char *const *dns;    /* NULL-terminated lists, at most CSR_NAMES_MAX names in all */
        const char *const *ip;     /* textual IPv4 or IPv6 */
        const char *const *uri;
        const char *const *email;
} CsrRequest;

/* Appends the DER of what is to be signed. HF_E_INVALID_ARGS: the caller's text did not parse, or there is no name at
 * all; HF_E_WEAK_KEY, HF_E_ALGORITHM_NOT_SUPPORTED, HF_E_SCHEME_NOT_SUPPORTED. */
int csr_prepare(const CsrRequest *request, Bytes spki, Scheme scheme, Buffer *ret_tbs);
/* Appends the DER of the request. ECDSA signature in DER. HF_E_KEY_MISMATCH if it is not a signature of tbs by the key
 * named in it: a request that nobody could verify is not handed out. */
int csr_finish(Bytes tbs, Scheme scheme, Bytes signature, Buffer *ret_der);
