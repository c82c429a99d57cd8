/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is to be signed is built by OpenSSL; the outer shell is three fields and built here, because OpenSSL's signing
 * functions want the private key. The finished request is verified before it leaves: nobody gets a broken one.
 */
#include "crypto/csr.h"

#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/csr-parts.h"
#include "crypto/fetched.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"

#define SHA(n) 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n
#define PKCS1(n) 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, n
#define ECDSA_WITH(n) {12, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, n}}
#define RSA_WITH(n) {15, {0x30, 0x0d, PKCS1(n), 0x05, 0x00}}
/* RFC 4055 section 3.1: hash, MGF1 with the same hash, length of the salt. */
#define PSS_WITH(n, salt)                                                                                    \
        {67, {0x30, 0x41, PKCS1(0x0a), 0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d, SHA(n), 0x05, 0x00, 0xa1, 0x1c,   \
                0x30, 0x1a, PKCS1(0x08), 0x30, 0x0d, SHA(n), 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, salt}}

static const struct {
        size_t len;
        uint8_t der[67];
} identifiers[_SCHEME_MAX] = {
        [SCHEME_ES256] = ECDSA_WITH(0x02),
        [SCHEME_ES384] = ECDSA_WITH(0x03),
        [SCHEME_EDDSA] = {7, {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}},
        [SCHEME_RS256] = RSA_WITH(0x0b),
        [SCHEME_RS384] = RSA_WITH(0x0c),
        [SCHEME_RS512] = RSA_WITH(0x0d),
        [SCHEME_PS256] = PSS_WITH(0x01, 32),
        [SCHEME_PS384] = PSS_WITH(0x02, 48),
        [SCHEME_PS512] = PSS_WITH(0x03, 64),
        [SCHEME_ECDSA_SHA256] = ECDSA_WITH(0x02),
        [SCHEME_ECDSA_SHA384] = ECDSA_WITH(0x03),
        [SCHEME_ECDSA_SHA512] = ECDSA_WITH(0x04),
};

static void req_freep(X509_REQ **r)
{
        X509_REQ_free(*r);
}

static void names_freep(GENERAL_NAMES **n)
{
        GENERAL_NAMES_free(*n);
}

static void pkey_freep(EVP_PKEY **p)
{
        EVP_PKEY_free(*p);
}

/* The names are critical where they are all there is (RFC 5280 section 4.2.1.6). */
static int add_names(X509_REQ *req, GENERAL_NAMES *names, bool critical)
{
        X509_EXTENSION *extension = X509V3_EXT_i2d(NID_subject_alt_name, critical, names);
        X509_EXTENSIONS *list = NULL;
        bool ok;

        ok = extension && X509v3_add_ext(&list, extension, -1) && X509_REQ_add_extensions(req, list) > 0;
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
        X509_EXTENSION_free(extension);
        return ok ? 0 : HF_E_INTERNAL;
}

static int append_tbs(X509_REQ *req, Buffer *ret)
{
        uint8_t *der = NULL;
        int n = i2d_re_X509_REQ_tbs(req, &der), r;

        if (n <= 0)
                return HF_E_INTERNAL;
        r = n > CSR_MAX ? HF_E_INVALID_ARGS : buffer_append(ret, der, (size_t)n);
        OPENSSL_free(der);
        return r;
}

static int fill(X509_REQ *req, const CsrRequest *request, EVP_PKEY *pkey)
{
        _cleanup_(names_freep) GENERAL_NAMES *names = NULL;
        X509_NAME *subject;
        int r;

        subject = X509_REQ_get_subject_name(req);
        r = csr_parse_subject(request->subject, subject);
        if (!r)
                r = csr_make_names(request, &names);
        if (r)
                return r;
        if (!names && X509_NAME_entry_count(subject) == 0)
                return HF_E_INVALID_ARGS;
        if (X509_REQ_set_version(req, 0) <= 0 || X509_REQ_set_pubkey(req, pkey) <= 0)
                return HF_E_INTERNAL;
        return names ? add_names(req, names, X509_NAME_entry_count(subject) == 0) : 0;
}

int csr_prepare(const CsrRequest *request, Bytes spki, Scheme scheme, Buffer *ret_tbs)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(req_freep) X509_REQ *req = NULL;
        KeyAlgorithm a;
        int r;

        r = pubkey_algorithm(spki, &a);
        if (r)
                return r;
        if (scheme_check(scheme, a, PURPOSE_SIGN))
                return HF_E_SCHEME_NOT_SUPPORTED;
        r = spki_load(spki, &a, &pkey);
        if (r)
                return r;
        req = X509_REQ_new();
        if (!req)
                return -ENOMEM;
        r = fill(req, request, pkey);
        if (!r)
                r = append_tbs(req, ret_tbs);
        return openssl_failed(r);
}

static int put_header(Buffer *b, uint8_t tag, size_t len)
{
        uint8_t header[4] = {tag};
        size_t n = 1;

        if (len < 0x80) {
                header[n++] = (uint8_t)len;
        } else if (len < 0x100) {
                header[n++] = 0x81;
                header[n++] = (uint8_t)len;
        } else {
                header[n++] = 0x82;
                header[n++] = (uint8_t)(len >> 8);
                header[n++] = (uint8_t)len;
        }
        return buffer_append(b, header, n);
}

static int assemble(Bytes tbs, Scheme scheme, Bytes signature, Buffer *ret)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(2 * CSR_MAX);
        int r;

        if ((r = buffer_append(&body, tbs.data, tbs.len)) ||
                        (r = buffer_append(&body, identifiers[scheme].der, identifiers[scheme].len)) ||
                        (r = put_header(&body, 0x03, signature.len + 1)) || (r = buffer_append(&body, "", 1)) ||
                        (r = buffer_append(&body, signature.data, signature.len)))
                return r;
        r = put_header(ret, 0x30, body.len);
        return r ? r : buffer_append(ret, body.data, body.len);
}

static int verify(Bytes der)
{
        _cleanup_(req_freep) X509_REQ *req = NULL;
        const uint8_t *p = der.data;

        req = d2i_X509_REQ(NULL, &p, (long)der.len);
        if (!req || p != der.data + der.len)
                return HF_E_INVALID_ARGS;
        return X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) == 1 ? 0 : HF_E_KEY_MISMATCH;
}

int csr_finish(Bytes tbs, Scheme scheme, Bytes signature, Buffer *ret_der)
{
        size_t start = ret_der->len;
        int r;

        if (!scheme_info(scheme) || identifiers[scheme].len == 0)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (tbs.len == 0 || tbs.len > CSR_MAX || signature.len == 0 || signature.len > 512)
                return HF_E_INVALID_ARGS;
        r = assemble(tbs, scheme, signature, ret_der);
        if (!r)
                r = verify(BYTES(ret_der->data + start, ret_der->len - start));
        if (r)
                ret_der->len = start;
        return openssl_failed(r);
}
