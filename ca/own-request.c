/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/own-request.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "ca/subject.h"
#include "crypto/spki.h"

static void req_freep(X509_REQ **r)
{
        X509_REQ_free(*r);
}

static void name_freep(X509_NAME **n)
{
        X509_NAME_free(*n);
}

static void names_freep(GENERAL_NAMES **n)
{
        GENERAL_NAMES_free(*n);
}

static void extensions_freep(X509_EXTENSIONS **e)
{
        sk_X509_EXTENSION_pop_free(*e, X509_EXTENSION_free);
}

static int add(X509_EXTENSIONS **list, int nid, void *value, bool critical)
{
        return X509V3_add1_i2d(list, nid, value, critical, X509V3_ADD_APPEND) == 1 ? 0 : -ENOMEM;
}

static int add_constraints(X509_EXTENSIONS **list)
{
        BASIC_CONSTRAINTS *b = BASIC_CONSTRAINTS_new();
        int r;

        if (!b)
                return -ENOMEM;
        b->ca = 0xff;
        r = add(list, NID_basic_constraints, b, true);
        BASIC_CONSTRAINTS_free(b);
        return r;
}

static int add_usage(const CaProfile *profile, X509_EXTENSIONS **list)
{
        ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
        int r = bits ? 0 : -ENOMEM;

        for (int i = 0; !r && i < 9; i++)
                if (profile->usage & (1u << i) && !ASN1_BIT_STRING_set_bit(bits, i, 1))
                        r = -ENOMEM;
        if (!r)
                r = add(list, NID_key_usage, bits, true);
        ASN1_BIT_STRING_free(bits);
        return r;
}

static int fill(X509_REQ *req, Bytes spki, X509_NAME *subject, const CaProfile *profile, GENERAL_NAMES *names)
{
        _cleanup_(extensions_freep) X509_EXTENSIONS *list = NULL;
        EVP_PKEY *pkey = NULL;
        KeyAlgorithm a;
        int r = spki_load(spki, &a, &pkey);

        if (r)
                return r;
        if (!X509_REQ_set_version(req, 0) || !X509_REQ_set_subject_name(req, subject) || !X509_REQ_set_pubkey(req, pkey))
                r = -ENOMEM;
        EVP_PKEY_free(pkey);
        if (!r)
                r = add_constraints(&list);
        if (!r)
                r = add_usage(profile, &list);
        if (!r && names)
                r = add(&list, NID_subject_alt_name, names, false);
        return r ? r : X509_REQ_add_extensions(req, list) == 1 ? 0 : -ENOMEM;
}

static int make_subject(const CaCertificateParams *p, const CaIssuer *before, CaProblem *problem, X509_NAME **subject)
{
        CaSummary summary = {};

        if (!before)
                return subject_make(p, problem, &summary, *subject);
        if (p->set && *p->set)
                return ca_refuse(problem, "this CA has a certificate already, and its subject stays as it is");
        return subject_like(before, subject);
}

static int make_names(const CaCertificateParams *p, const CaIssuer *before, CaProblem *problem, GENERAL_NAMES **ret)
{
        CaSummary summary = {};
        bool given = false;

        for (CaNameKind kind = 0; kind < _CA_NAME_KIND_MAX; kind++)
                given |= p->names[kind] && *p->names[kind];
        if (before && !given && before->names.len)
                return subject_like_names(before, ret);
        return subject_make_names(p, problem, &summary, ret);
}

static int prepare(const CaCertificateParams *p, const CaIssuer *before, CaProblem *problem, Buffer *ret)
{
        _cleanup_(name_freep) X509_NAME *subject = X509_NAME_new();
        _cleanup_(req_freep) X509_REQ *req = X509_REQ_new();
        _cleanup_(names_freep) GENERAL_NAMES *names = NULL;
        uint8_t *der = NULL;
        int n, r;

        if (!subject || !req)
                return -ENOMEM;
        r = make_subject(p, before, problem, &subject);
        if (!r)
                r = make_names(p, before, problem, &names);
        if (!r)
                r = fill(req, p->spki, subject, p->profile, names);
        if (r)
                return r;
        n = i2d_re_X509_REQ_tbs(req, &der);
        if (n <= 0)
                return HF_E_INTERNAL;
        r = n > CSR_MAX ? ca_refuse(problem, "the request is too large") : buffer_append(ret, der, (size_t)n);
        OPENSSL_free(der);
        return r;
}

int ca_own_request_prepare(const CaCertificateParams *p, const CaIssuer *before, CaProblem *problem, Buffer *ret_tbs)
{
        int r = prepare(p, before, problem, ret_tbs);

        ERR_clear_error();
        return r;
}
