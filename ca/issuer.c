/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/issuer.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "crypto/pubkey.h"

static void x509_freep(X509 **x)
{
        X509_free(*x);
}

CaIssuer *ca_issuer_free(CaIssuer *i)
{
        if (!i)
                return NULL;
        buffer_deinit(&i->der);
        buffer_deinit(&i->subject);
        buffer_deinit(&i->spki);
        buffer_deinit(&i->key_id);
        buffer_deinit(&i->names);
        free(i);
        return NULL;
}

static int take_time(const ASN1_TIME *t, uint64_t *ret)
{
        struct tm tm;
        time_t seconds;

        if (!ASN1_TIME_to_tm(t, &tm))
                return HF_E_REQUEST_REFUSED;
        seconds = timegm(&tm);
        *ret = seconds < 0 ? 0 : (uint64_t)seconds * USEC_PER_SEC;
        return 0;
}

static int take_key(const X509 *x, Buffer *ret)
{
        uint8_t *der = NULL;
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
        int r = n > 0 ? buffer_append(ret, der, (size_t)n) : HF_E_INTERNAL;

        OPENSSL_free(der);
        return r;
}

/* Byte for byte as it stands in the certificate. */
static int take_subject(const X509 *x, Buffer *ret)
{
        const uint8_t *der;
        size_t len;

        return X509_NAME_get0_der(X509_get_subject_name(x), &der, &len) == 1 ? buffer_append(ret, der, len) : HF_E_INTERNAL;
}

/* What cannot be read is not kept, and so in nothing that follows. */
static int take_names(const X509 *x, Buffer *ret)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
        uint8_t *der = NULL;
        int n, r;

        if (!names)
                return 0;
        n = sk_GENERAL_NAME_num(names) ? i2d_GENERAL_NAMES(names, &der) : 0;
        r = n >= 0 ? buffer_append(ret, der, (size_t)n) : HF_E_INTERNAL;
        OPENSSL_free(der);
        GENERAL_NAMES_free(names);
        return r;
}

static int fill(X509 *x, CaIssuer *i)
{
        const ASN1_OCTET_STRING *key_id = X509_get0_subject_key_id(x);
        uint8_t fingerprint[32];
        int r;

        r = take_subject(x, &i->subject);
        if (!r)
                r = take_names(x, &i->names);
        if (!r)
                r = take_key(x, &i->spki);
        if (!r)
                r = pubkey_algorithm(buffer_bytes(&i->spki), &i->algorithm);
        if (r)
                return r;
        pubkey_fingerprint(buffer_bytes(&i->spki), fingerprint);
        r = key_id ? buffer_append(&i->key_id, ASN1_STRING_get0_data(key_id), (size_t)ASN1_STRING_length(key_id))
                   : buffer_append(&i->key_id, fingerprint, sizeof(fingerprint));
        if (!r)
                r = take_time(X509_get0_notBefore(x), &i->not_before);
        if (!r)
                r = take_time(X509_get0_notAfter(x), &i->not_after);
        i->path_length = (int)X509_get_pathlen(x);
        i->signs_lists = X509_get_extension_flags(x) & EXFLAG_KUSAGE && X509_get_key_usage(x) & KU_CRL_SIGN;
        i->self_signed = X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
        return r;
}

int ca_issuer_read(Bytes der, CaProblem *problem, CaIssuer **ret)
{
        _cleanup_(ca_issuer_freep) CaIssuer *i = NULL;
        _cleanup_(x509_freep) X509 *x = NULL;
        const uint8_t *p = der.data;
        int r;

        x = der.len <= CA_CERTIFICATE_MAX ? d2i_X509(NULL, &p, (long)der.len) : NULL;
        ERR_clear_error();
        if (!x || p != der.data + der.len)
                return ca_refuse(problem, "this is no certificate");
        if (!(X509_get_extension_flags(x) & EXFLAG_CA) || !(X509_get_key_usage(x) & KU_KEY_CERT_SIGN))
                return ca_refuse(problem, "this is no certificate of a CA: it may not sign others");
        i = calloc(1, sizeof(*i));
        if (!i)
                return -ENOMEM;
        i->der = i->subject = i->spki = i->key_id = i->names = BUFFER_INIT(CA_CERTIFICATE_MAX);
        r = buffer_append(&i->der, der.data, der.len);
        if (!r)
                r = fill(x, i);
        ERR_clear_error();
        if (r > 0)
                return ca_refuse(problem, "the certificate of the CA is not well-formed, or its key is weak");
        if (!r)
                *ret = TAKE_PTR(i);
        return r;
}

int ca_issuer_follow(const CaIssuer *before, Bytes spki, uint64_t not_before, uint64_t not_after, CaIssuer **ret)
{
        _cleanup_(ca_issuer_freep) CaIssuer *i = calloc(1, sizeof(*i));
        uint8_t fingerprint[32];
        int r;

        if (!i)
                return -ENOMEM;
        i->der = i->subject = i->spki = i->key_id = i->names = BUFFER_INIT(CA_CERTIFICATE_MAX);
        i->not_before = not_before;
        i->not_after = not_after;
        i->path_length = before->path_length;
        i->self_signed = i->signs_lists = true;
        pubkey_fingerprint(spki, fingerprint);
        r = pubkey_algorithm(spki, &i->algorithm);
        if (!r)
                r = buffer_append(&i->subject, before->subject.data, before->subject.len);
        if (!r)
                r = buffer_append(&i->names, before->names.data, before->names.len);
        if (!r)
                r = buffer_append(&i->spki, spki.data, spki.len);
        if (!r)
                r = buffer_append(&i->key_id, fingerprint, sizeof(fingerprint));
        if (!r)
                *ret = TAKE_PTR(i);
        return r;
}
