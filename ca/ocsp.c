/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/ocsp.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

struct CaOcspRequest {
        OCSP_REQUEST *request;
        const X509_EXTENSION *nonce; /* NULL: there is none */
};

static void response_freep(OCSP_RESPONSE **r)
{
        OCSP_RESPONSE_free(*r);
}

static void basic_freep(OCSP_BASICRESP **r)
{
        OCSP_BASICRESP_free(*r);
}

static void id_freep(OCSP_CERTID **id)
{
        OCSP_CERTID_free(*id);
}

static void context_freep(EVP_MD_CTX **ctx)
{
        EVP_MD_CTX_free(*ctx);
}

static void time_freep(ASN1_TIME **t)
{
        ASN1_TIME_free(*t);
}

static void octets_freep(ASN1_OCTET_STRING **o)
{
        ASN1_OCTET_STRING_free(*o);
}

/* ---- requests ---- */

CaOcspRequest *ca_ocsp_request_free(CaOcspRequest *request)
{
        if (!request)
                return NULL;
        OCSP_REQUEST_free(request->request);
        free(request);
        return NULL;
}

size_t ca_ocsp_request_count(const CaOcspRequest *request)
{
        return (size_t)OCSP_request_onereq_count(request->request);
}

/* RFC 9654 section 2.1: an OCTET STRING in the value, of bounded length. */
static bool nonce_is_good(const X509_EXTENSION *nonce)
{
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data((X509_EXTENSION *)nonce);
        const uint8_t *p = ASN1_STRING_get0_data(value), *end = p + ASN1_STRING_length(value);
        _cleanup_(octets_freep) ASN1_OCTET_STRING *inner = d2i_ASN1_OCTET_STRING(NULL, &p, ASN1_STRING_length(value));

        return inner && p == end && ASN1_STRING_length(inner) > 0 && ASN1_STRING_length(inner) <= CA_OCSP_NONCE_MAX;
}

/* Section 4.4: what is critical and not understood cannot be answered. */
static int check_extensions(CaOcspRequest *r)
{
        int at = OCSP_REQUEST_get_ext_by_NID(r->request, NID_id_pkix_OCSP_Nonce, -1);

        if (at >= 0)
                r->nonce = OCSP_REQUEST_get_ext(r->request, at);
        if (r->nonce && (!nonce_is_good(r->nonce) || OCSP_REQUEST_get_ext_by_NID(r->request, NID_id_pkix_OCSP_Nonce, at) >= 0))
                return HF_E_INVALID_ARGS;
        for (int i = 0; i < OCSP_REQUEST_get_ext_count(r->request); i++) {
                X509_EXTENSION *e = OCSP_REQUEST_get_ext(r->request, i);

                if (X509_EXTENSION_get_critical(e) && e != r->nonce)
                        return HF_E_INVALID_ARGS;
        }
        for (int i = 0; i < OCSP_request_onereq_count(r->request); i++)
                if (OCSP_ONEREQ_get_ext_by_critical(OCSP_request_onereq_get0(r->request, i), 1, -1) >= 0)
                        return HF_E_INVALID_ARGS;
        return 0;
}

int ca_ocsp_request_read(Bytes der, CaOcspRequest **ret)
{
        _cleanup_(ca_ocsp_request_freep) CaOcspRequest *r = NULL;
        const uint8_t *p = der.data;
        int n, error;

        if (der.len > CA_OCSP_REQUEST_MAX)
                return HF_E_MESSAGE_TOO_LARGE;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->request = d2i_OCSP_REQUEST(NULL, &p, (long)der.len);
        ERR_clear_error();
        if (!r->request || p != der.data + der.len)
                return HF_E_INVALID_ARGS;
        n = OCSP_request_onereq_count(r->request);
        if (n < 1)
                return HF_E_INVALID_ARGS;
        if (n > CA_OCSP_CERTIFICATES_MAX)
                return HF_E_LIMIT_EXCEEDED;
        error = check_extensions(r);
        ERR_clear_error();
        if (error)
                return error;
        *ret = r;
        r = NULL;
        return 0;
}

/* The hash is the client's choice; it names the issuer and protects nothing. */
static const EVP_MD *digest_of(const ASN1_OBJECT *algorithm)
{
        switch (OBJ_obj2nid(algorithm)) {
        case NID_sha1:
                return EVP_sha1();
        case NID_sha256:
                return EVP_sha256();
        case NID_sha384:
                return EVP_sha384();
        case NID_sha512:
                return EVP_sha512();
        default:
                return NULL;
        }
}

static bool serial_of(const ASN1_INTEGER *from, uint8_t ret[static CA_SERIAL_SIZE])
{
        const uint8_t *data = ASN1_STRING_get0_data(from);
        int len = ASN1_STRING_length(from);

        if (len < 1 || len > CA_SERIAL_SIZE || ASN1_STRING_type(from) != V_ASN1_INTEGER)
                return false;
        memset(ret, 0, CA_SERIAL_SIZE);
        memcpy(ret + CA_SERIAL_SIZE - len, data, (size_t)len);
        return true;
}

bool ca_ocsp_request_serial(const CaOcspRequest *request, size_t i, const X509 *issuer, uint8_t ret[static CA_SERIAL_SIZE])
{
        OCSP_CERTID *asked = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request->request, (int)i));
        _cleanup_(id_freep) OCSP_CERTID *ours = NULL;
        ASN1_OBJECT *algorithm = NULL;
        ASN1_INTEGER *serial = NULL;
        const EVP_MD *md;
        bool same;

        OCSP_id_get0_info(NULL, &algorithm, NULL, &serial, asked);
        md = digest_of(algorithm);
        if (md)
                ours = OCSP_cert_id_new(md, X509_get_subject_name(issuer), X509_get0_pubkey_bitstr(issuer), serial);
        same = ours && OCSP_id_issuer_cmp(ours, asked) == 0;
        ERR_clear_error();
        return same && serial_of(serial, ret);
}

/* ---- the signer ---- */

bool ca_ocsp_serial(const X509 *certificate, uint8_t ret[static CA_SERIAL_SIZE])
{
        return serial_of(X509_get0_serialNumber(certificate), ret);
}

int ca_ocsp_check_signer(X509 *signer, X509 *issuer, CaProblem *problem)
{
        EVP_PKEY *key = X509_get0_pubkey(issuer);
        bool issued = key && X509_check_issued(issuer, signer) == X509_V_OK && X509_verify(signer, key) == 1;

        ERR_clear_error();
        if (!issued)
                return ca_refuse(problem, "the certificate of the signer was not issued by this CA");
        if (!(X509_get_extension_flags(signer) & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(signer) & XKU_OCSP_SIGN))
                return ca_refuse(problem, "the certificate of the signer is not for OCSPSigning; profile ocsp makes one that is");
        if (X509_get_ext_by_NID(signer, NID_id_pkix_OCSP_noCheck, -1) < 0)
                return ca_refuse(problem, "the certificate of the signer has no id-pkix-ocsp-nocheck; profile ocsp has it");
        return 0;
}

/* ---- responses ---- */

/* `unspecified` is said by saying nothing, as in lists. */
static int reason_of(const CaOcspAnswer *a)
{
        return a->reason == CA_REASON_UNSPECIFIED ? OCSP_REVOKED_STATUS_NOSTATUS : (int)a->reason;
}

static int add_answer(OCSP_BASICRESP *basic, OCSP_CERTID *id, const CaOcspAnswer *a, ASN1_TIME *from, ASN1_TIME *until)
{
        static const int numbers[] = {[CA_OCSP_UNKNOWN] = V_OCSP_CERTSTATUS_UNKNOWN, [CA_OCSP_GOOD] = V_OCSP_CERTSTATUS_GOOD,
                        [CA_OCSP_REVOKED] = V_OCSP_CERTSTATUS_REVOKED};
        _cleanup_(time_freep) ASN1_TIME *when = NULL;

        if (a->status == CA_OCSP_REVOKED) {
                when = ASN1_TIME_adj(NULL, (time_t)(a->when / USEC_PER_SEC), 0, 0);
                if (!when)
                        return -ENOMEM;
        }
        return OCSP_basic_add1_status(basic, id, numbers[a->status], reason_of(a), when, from, until) ? 0 : -ENOMEM;
}

static int fill(const CaOcspParams *p, OCSP_BASICRESP *basic)
{
        _cleanup_(time_freep) ASN1_TIME *from = ASN1_TIME_adj(NULL, (time_t)(p->this_update / USEC_PER_SEC), 0, 0);
        _cleanup_(time_freep) ASN1_TIME *until = ASN1_TIME_adj(NULL, (time_t)(p->next_update / USEC_PER_SEC), 0, 0);
        int r = from && until ? 0 : -ENOMEM;

        for (size_t i = 0; !r && i < ca_ocsp_request_count(p->request); i++) {
                OCSP_ONEREQ *one = OCSP_request_onereq_get0(p->request->request, (int)i);

                r = add_answer(basic, OCSP_onereq_get0_id(one), &p->answers[i], from, until);
        }
        if (!r && p->request->nonce && OCSP_copy_nonce(basic, p->request->request) != 1)
                r = -ENOMEM;
        return r;
}

/* The digest is as strong as the key. */
static int sign(const CaOcspParams *p, OCSP_BASICRESP *basic)
{
        const char *digest = EVP_PKEY_is_a(p->key, "EC") && EVP_PKEY_get_bits(p->key) > 256 ? "SHA384" : "SHA256";
        _cleanup_(context_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!ctx)
                return -ENOMEM;
        ERR_clear_error();
        if (EVP_DigestSignInit_ex(ctx, NULL, digest, p->context, p->properties, p->key, NULL) != 1 ||
                        OCSP_basic_sign_ctx(basic, p->signer, ctx, NULL, OCSP_RESPID_KEY) != 1)
                return HF_E_INVALID_ARGS;
        return 0;
}

static int append(OCSP_RESPONSE *response, Buffer *ret)
{
        uint8_t *der = NULL;
        int len = i2d_OCSP_RESPONSE(response, &der), r;

        if (len < 0)
                return -ENOMEM;
        r = buffer_append(ret, der, (size_t)len);
        OPENSSL_free(der);
        return r;
}

int ca_ocsp_respond(const CaOcspParams *p, Buffer *ret_der)
{
        _cleanup_(basic_freep) OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
        _cleanup_(response_freep) OCSP_RESPONSE *response = NULL;
        int r = basic ? fill(p, basic) : -ENOMEM;

        if (!r)
                r = sign(p, basic);
        if (r)
                return r;
        response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
        return response ? append(response, ret_der) : -ENOMEM;
}

int ca_ocsp_error(CaOcspError error, Buffer *ret_der)
{
        _cleanup_(response_freep) OCSP_RESPONSE *response = OCSP_response_create((int)error, NULL);

        return response ? append(response, ret_der) : -ENOMEM;
}
