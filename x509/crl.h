/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A revocation list that somebody else made (RFC 5280 section 5)
 *
 * Judged before it is kept and given to servers, which refuse everybody when they cannot use it. So it has to be one that every
 * server understands: a whole one, of its signer's own certificates, with nothing critical in it that is unknown, and one that
 * holds now. Its entries are walked and not built: a list has up to a million of them.
 */
#include "x509/chain.h"

#define CERT_CRL_MAX (16 * 1024 * 1024) /* bytes of DER */
#define CERT_CRL_NUMBER_MAX 20
#define CERT_CRL_ID_SIZE 16
#define CERT_CRL_SKEW (300 * 1000000ULL) /* so much may its clock be ahead of ours */

typedef enum CrlFault {
        CRL_GOOD,
        CRL_TOO_LARGE,
        CRL_MALFORMED,
        CRL_SEVERAL,
        CRL_DELTA,
        CRL_PARTIAL,
        CRL_INDIRECT,
        CRL_UNKNOWN_CRITICAL,
        CRL_WEAK_SIGNATURE,
        CRL_NO_NEXT_UPDATE,
        CRL_STALE,
        CRL_NOT_YET_VALID,
        CRL_UNKNOWN_ISSUER,
        CRL_BAD_SIGNATURE,
        CRL_NO_CRL_SIGN,
        CRL_OURS,  /* nothing here finds it: whose lists are made by whoever asks */
        CRL_OLDER, /* cert_crl_follows() */
        _CRL_FAULT_MAX,
} CrlFault;

typedef struct CertCrl CertCrl;

/* "delta"; and a sentence without a full stop behind "The list is not taken: ". Never NULL. */
const char *crl_fault_word(CrlFault fault);
const char *crl_fault_sentence(CrlFault fault);

/* PEM with one list and nothing else, or one in DER. `bytes` is needed no longer than the call. 0 with CRL_GOOD in *ret_fault,
 * or with another one, and then there is no list; -ENOMEM. */
int cert_crl_read(Bytes bytes, uint64_t now, CrlFault *ret_fault, CertCrl **ret);
CertCrl *cert_crl_free(CertCrl *crl);
DEFINE_CLEANUP(CertCrl, cert_crl_free)

/* Did this CA sign it, and may it? CRL_GOOD, CRL_UNKNOWN_ISSUER (another name or key identifier, or no CA), CRL_BAD_SIGNATURE,
 * CRL_WEAK_SIGNATURE (its key), CRL_NO_CRL_SIGN. */
CrlFault cert_crl_check_issuer(const CertCrl *crl, X509 *issuer);
/* A number that is not lower, or none where there was none, and not made earlier. The same once more does not follow. */
bool cert_crl_follows(const CertCrl *crl, Bytes number, uint64_t this_update);

/* Borrowed. */
Bytes cert_crl_der(const CertCrl *crl);
Bytes cert_crl_number(const CertCrl *crl); /* big-endian, without zeroes in front; empty: it has none */
uint64_t cert_crl_this_update(const CertCrl *crl);
uint64_t cert_crl_next_update(const CertCrl *crl);
size_t cert_crl_count(const CertCrl *crl); /* of entries */

/* Looks for it among these certificates (PEM). CRL_GOOD, and it is appended as PEM, with `path` all those behind it as well; else
 * *fault becomes what is wrong with one that might be it, and stays what it is where none is. 0, -ENOMEM, -EMSGSIZE. */
int cert_crl_find_issuer(const CertCrl *crl, Bytes certificates, bool path, CrlFault *fault, Buffer *ret);
/* The same where its CA's certificate and those above it (PEM) lead to one of the known (PEM), which is appended too. */
int cert_crl_find_path(const CertCrl *crl, Bytes chain, Bytes known, CrlFault *fault, Buffer *ret);

/* Whose lists go to the same place: of the name and key of the first certificate (PEM), whatever certificates it has for them.
 * The first bytes of SHA-256 over both, DER. -ENOMEM. */
int cert_crl_id(Bytes chain, uint8_t ret[static CERT_CRL_ID_SIZE]);
/* Is one of these certificates (PEM), by name and key, among those? What cannot be read is no. */
bool cert_crl_leads_to(Bytes chain, const CertAnchors *trusted);
/* To ask that of many. NULL where there are none to be read. */
CertAnchors *cert_crl_trusted(Bytes anchors);
/* The name of the first certificate (PEM) for people, RFC 2253. Returns ret. */
char *cert_crl_name(Bytes chain, char *ret, size_t size);
