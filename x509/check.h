/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The check of a chain
 *
 * Everything that can be told from bytes and a time, without network: path and signatures by OpenSSL's X509_verify_cert() at
 * its security level 2 (no SHA-1, no RSA below 2048), our floor on top of it (no curve below P-256, none with explicit
 * parameters), validity, usage, revocation, host name, pins, and whether a key belongs. All that is wrong is told, not only
 * the first.
 */
#include "x509/chain.h"

typedef enum CertUsage {
        CERT_USAGE_ANY,
        CERT_USAGE_CLIENT,
        CERT_USAGE_CLIENT_ONLY, /* clientAuth and neither serverAuth nor everything */
        CERT_USAGE_SERVER,
        CERT_USAGE_CLIENT_SERVER,
        CERT_USAGE_CODE_SIGNING, /* must be said by the certificate */
        CERT_USAGE_OCSP_SIGNING, /* must be said by the certificate */
        _CERT_USAGE_MAX,
} CertUsage;

typedef struct CertCheck {
        const CertChain *chain;
        FindingWhose whose;
        /* NULL: nobody is asked to vouch. What was given is held against itself, from the top of the chain down. */
        const CertAnchors *anchors;
        const CertCrls *crls; /* NULL: revocation is not looked at; else each certificate below the anchor needs a list */
        bool ignore_stale_crl, ignore_missing_crl;
        const CertPins *pins;   /* NULL or empty: any key */
        Bytes public_key;       /* SubjectPublicKeyInfo the leaf has to be for; empty: any */
        CertUsage usage;
        const char *host; /* name or address; NULL: any */
        uint64_t time;    /* microseconds since 1970; 0: now */
        bool strict;      /* X509_V_FLAG_X509_STRICT: RFC 5280 to the letter, for verification rather than for use */
} CertCheck;

/* Adds what is wrong; nothing added: all is well. 0 or -ENOMEM. */
int cert_check(const CertCheck *check, FindingList *findings);

/*
 * The same inside a handshake: ctx is libssl's, check->chain what the peer sent. Anchors come in the place of ctx's own; where
 * there are none, its own are asked, and its revocation lists and flags hold as well. Leaves the path and the first error
 * in ctx, for the alert and for the program. 0 or -ENOMEM.
 */
int cert_check_peer(const CertCheck *check, X509_STORE_CTX *ctx, FindingList *findings);

/* "client", "client-only", "server", "client-server", "code-signing", "ocsp", "any". NULL and false for what is none. */
const char *cert_usage_to_string(CertUsage usage);
bool cert_usage_from_string(const char *text, CertUsage *ret);
