/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is to be signed is built by OpenSSL, the shell around it by crypto/signed.c. The finished request is verified
 * before it leaves: nobody gets a broken one.
 */
#include "crypto/csr.h"

#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/csr-parts.h"
#include "crypto/fetched.h"
#include "crypto/pubkey.h"
#include "crypto/signed.h"
#include "crypto/spki.h"

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

        if (tbs.len > CSR_MAX)
                return HF_E_INVALID_ARGS;
        r = signed_assemble(tbs, scheme, signature, ret_der);
        if (!r)
                r = verify(BYTES(ret_der->data + start, ret_der->len - start));
        if (r)
                ret_der->len = start;
        return openssl_failed(r);
}
