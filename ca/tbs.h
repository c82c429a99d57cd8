/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a CA signs, in the words of ASN.1 (inside this room)
 *
 * OpenSSL signs X509 and X509_CRL with a private key it holds, and lets nobody else set the algorithm inside what is
 * signed. Ours is elsewhere, so the three to-be-signed bodies of RFC 5280 and RFC 6960 are described here with
 * OpenSSL's own templates; their parts are OpenSSL's types, and names, keys and algorithms are taken over byte for
 * byte. Decision: docs/decisions/0014-a-signature-from-elsewhere.md.
 */
#include <openssl/x509v3.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/* RFC 5280 section 4.1 */
typedef struct TbsCertificate {
        ASN1_INTEGER *version;
        ASN1_INTEGER *serial;
        ASN1_TYPE *algorithm;
        ASN1_TYPE *issuer;
        X509_VAL *validity;
        ASN1_TYPE *subject;
        ASN1_TYPE *key;
        STACK_OF(X509_EXTENSION) *extensions;
} TbsCertificate;

/* RFC 5280 section 5.1 */
typedef struct TbsCrl {
        ASN1_INTEGER *version;
        ASN1_TYPE *algorithm;
        ASN1_TYPE *issuer;
        ASN1_TIME *this_update;
        ASN1_TIME *next_update;
        STACK_OF(X509_REVOKED) *revoked; /* NULL where nothing is: an empty list is not allowed */
        STACK_OF(X509_EXTENSION) *extensions;
} TbsCrl;

TbsCertificate *tbs_certificate_new(void);
TbsCertificate *tbs_certificate_free(TbsCertificate *t);
DEFINE_CLEANUP(TbsCertificate, tbs_certificate_free)
/* Appends the DER. HF_E_INTERNAL, -ENOMEM, -EMSGSIZE (the buffer's limit). */
int tbs_certificate_append(const TbsCertificate *t, Buffer *ret);

TbsCrl *tbs_crl_new(void);
TbsCrl *tbs_crl_free(TbsCrl *t);
DEFINE_CLEANUP(TbsCrl, tbs_crl_free)
int tbs_crl_append(const TbsCrl *t, Buffer *ret);

/* A DER SEQUENCE that goes in as it is. 0, -ENOMEM. */
int tbs_set_raw(ASN1_TYPE *field, Bytes der);
/* A positive number, big-endian. */
int tbs_set_number(ASN1_INTEGER *field, Bytes number);
int tbs_set_u64(ASN1_INTEGER *field, uint64_t number);
/* Microseconds since 1970; UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5). */
int tbs_set_time(ASN1_TIME *field, uint64_t usec);
/* One extension more; `value` is what OpenSSL has for that kind. */
int tbs_add_extension(STACK_OF(X509_EXTENSION) **list, int nid, void *value, bool critical);
