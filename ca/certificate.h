/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Certificates, made in two steps because the key is elsewhere
 *
 * ca_certificate_prepare() checks everything that was asked for against the profile and the issuer and gives what is
 * to be signed; ca_finish() puts the signature to it. What is not allowed is refused with its name, never left out.
 */
#include "ca/device.h"
#include "ca/issuer.h"
#include "ca/request.h"

#define CA_SERIAL_SIZE 16
#define CA_SETS_MAX 16
#define CA_TBS_MAX CA_CERTIFICATE_MAX
/* Certificates begin so long before they were made, for clocks that are behind. */
#define CA_BACKDATE_USEC (300 * 1000000ULL)

typedef struct CaCertificateParams {
        const CaProfile *profile;
        const CaRequest *request;     /* or NULL: then spki */
        Bytes spki;                   /* instead of the request's: of a key that is here, or has proven itself elsewhere */
        const char *const *set;       /* "OU=example.com": that part of the subject, "OU=": none of it; NULL-terminated */
        const char *const *names[_CA_NAME_KIND_MAX]; /* besides those of the request; NULL-terminated or NULL */
        CaDevice device;
        uint8_t serial[CA_SERIAL_SIZE];
        uint64_t now;                 /* microseconds since 1970 */
        uint32_t days;                /* 0: the profile's */
        const CaIssuer *like;         /* or NULL: with subject, names and path length of this CA, whosever key it is */
        uint64_t until;               /* not longer than this; 0: no such end */
        int path_length;              /* of a new CA; -1: the profile's, or one less than its issuer's */
        const CaIssuer *issuer;       /* NULL: signs itself */
        const char *authority;        /* its name here, for the profile's URLs */
        Scheme scheme;                /* of the key that will sign */
} CaCertificateParams;

/* What the registry keeps of it. */
typedef struct CaSummary {
        uint64_t not_before, not_after; /* microseconds since 1970, whole seconds */
        char common_name[256];          /* or "" */
        char domain[256];               /* the first dns name, else the value of OU, else "" */
} CaSummary;

/* Appends what is to be signed. HF_E_REQUEST_REFUSED with the sentence, -ENOMEM, -EMSGSIZE. */
int ca_certificate_prepare(const CaCertificateParams *p, CaProblem *problem, CaSummary *ret_summary, Buffer *ret_tbs);
/* A new serial number: random, 16 bytes, the first one not zero. */
void ca_serial_new(uint8_t ret[static CA_SERIAL_SIZE]);

/* The digest a key of this scheme signs of what is to be signed. HF_E_SCHEME_NOT_SUPPORTED for a scheme without. */
int ca_digest(Scheme scheme, Bytes tbs, uint8_t ret[static 64], size_t *ret_len);
/* Appends the signed thing. HF_E_KEY_MISMATCH: that is no signature of tbs by this key; what nobody could verify is not
 * handed out. */
int ca_finish(Bytes spki, Scheme scheme, Bytes tbs, Bytes signature, Buffer *ret_der);
