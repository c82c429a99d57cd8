/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: requests for the status of certificates (RFC 6960)
 *
 * Any bytes are either a request for 1 to 32 certificates, which can be answered, or are refused.
 */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/error.h"
#include "ca/ocsp.h"
#include "tests/fuzz/fuzz.h"

static void must(bool holds)
{
        if (!holds)
                abort();
}

static X509 *make_signer(EVP_PKEY *key)
{
        X509 *x = X509_new();

        must(x && X509_set_pubkey(x, key) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) && X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
                        X509_gmtime_adj(X509_getm_notAfter(x), 60) && X509_sign(x, key, EVP_sha256()));
        return x;
}

static void answer(const CaOcspRequest *request)
{
        static EVP_PKEY *key;
        static X509 *signer;
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_OCSP_RESPONSE_MAX);
        CaOcspAnswer answers[CA_OCSP_CERTIFICATES_MAX] = {};
        uint8_t serial[CA_SERIAL_SIZE];

        if (!key) {
                key = EVP_EC_gen("P-256");
                signer = make_signer(key);
        }
        for (size_t i = 0; i < ca_ocsp_request_count(request); i++)
                answers[i].status = ca_ocsp_request_serial(request, i, signer, serial) ? CA_OCSP_GOOD : CA_OCSP_UNKNOWN;
        must(ca_ocsp_respond(&(CaOcspParams){.request = request, .answers = answers, .signer = signer, .key = key,
                                             .this_update = 1ULL << 50, .next_update = 1ULL << 51}, &der) == 0);
        must(der.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(ca_ocsp_request_freep) CaOcspRequest *request = NULL;
        int r = ca_ocsp_request_read(BYTES(data, size), &request);

        must(r == 0 || r == HF_E_INVALID_ARGS || r == HF_E_LIMIT_EXCEEDED || r == HF_E_MESSAGE_TOO_LARGE);
        if (r == 0) {
                size_t n = ca_ocsp_request_count(request);

                must(n >= 1 && n <= CA_OCSP_CERTIFICATES_MAX);
                answer(request);
        }
        return 0;
}
