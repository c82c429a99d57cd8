/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Answers about single certificates (RFC 6960)
 *
 * A request comes from anybody and is bounded before it is parsed; its signature, which is optional, is not looked at, because
 * everybody gets the same answers. Who knows the registry says the status of each certificate, and the answer is signed by a
 * delegated signer: a certificate of the same CA with the purpose OCSPSigning.
 */
#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "ca/certificate.h"
#include "ca/reason.h"

#define CA_OCSP_REQUEST_MAX 16384   /* bytes */
#define CA_OCSP_CERTIFICATES_MAX 32 /* in one request */
#define CA_OCSP_NONCE_MAX 128       /* bytes; RFC 9654 section 2.1 */
#define CA_OCSP_RESPONSE_MAX 65536  /* bytes */

/* What is answered without a signature (section 2.3), with the numbers of section 4.2.1. */
typedef enum CaOcspError {
        CA_OCSP_MALFORMED_REQUEST = 1,
        CA_OCSP_UNAUTHORIZED = 6, /* nothing in it is for us to answer (RFC 5019 section 2.2.3) */
} CaOcspError;

typedef enum CaOcspStatus {
        CA_OCSP_UNKNOWN,
        CA_OCSP_GOOD,
        CA_OCSP_REVOKED,
} CaOcspStatus;

typedef struct CaOcspAnswer {
        CaOcspStatus status;
        uint64_t when; /* of the revocation: microseconds since 1970 */
        CaReason reason;
} CaOcspAnswer;

typedef struct CaOcspRequest CaOcspRequest;

/* HF_E_INVALID_ARGS: no request, a nonce without bytes or with more than CA_OCSP_NONCE_MAX, a critical extension that is
 * unknown. HF_E_LIMIT_EXCEEDED: too many certificates. HF_E_MESSAGE_TOO_LARGE, -ENOMEM. */
int ca_ocsp_request_read(Bytes der, CaOcspRequest **ret);
CaOcspRequest *ca_ocsp_request_free(CaOcspRequest *request);
DEFINE_CLEANUP(CaOcspRequest, ca_ocsp_request_free)
size_t ca_ocsp_request_count(const CaOcspRequest *request); /* at least 1 */
/* Is certificate number i one of this issuer's, by name and key? Then its serial number; of a longer one there is none here. */
bool ca_ocsp_request_serial(const CaOcspRequest *request, size_t i, const X509 *issuer, uint8_t ret[static CA_SERIAL_SIZE]);

/* The serial number of a certificate in the registry's form. False: it is longer than any of ours. */
bool ca_ocsp_serial(const X509 *certificate, uint8_t ret[static CA_SERIAL_SIZE]);
/* Did this CA itself name the signer to answer for it (section 4.2.2.2), with a key nobody asks the status of?
 * HF_E_REQUEST_REFUSED with the reason, -ENOMEM. */
int ca_ocsp_check_signer(X509 *signer, X509 *issuer, CaProblem *problem);

typedef struct CaOcspParams {
        const CaOcspRequest *request;
        const CaOcspAnswer *answers; /* one for each certificate in it */
        X509 *signer;
        EVP_PKEY *key;         /* the signer's; EC or RSA */
        OSSL_LIB_CTX *context; /* of the key, NULL: the default one; properties are for what is fetched there */
        const char *properties;
        uint64_t this_update, next_update; /* microseconds since 1970 */
} CaOcspParams;

/* Appends a basic response with the nonce of the request, the responder by its key, and the signer's certificate.
 * HF_E_INVALID_ARGS: no signature was made (the key is another, or did not sign; why is in OpenSSL's queue). -ENOMEM,
 * -EMSGSIZE. */
int ca_ocsp_respond(const CaOcspParams *p, Buffer *ret_der);
/* -ENOMEM, -EMSGSIZE. */
int ca_ocsp_error(CaOcspError error, Buffer *ret_der);
