/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The templates, and what writes the parts into them. */
#include "ca/tbs.h"

#include <openssl/asn1t.h>

#include "base/clock.h"
#include "base/error.h"

ASN1_SEQUENCE(TbsCertificate) = {
        ASN1_EXP(TbsCertificate, version, ASN1_INTEGER, 0),
        ASN1_SIMPLE(TbsCertificate, serial, ASN1_INTEGER),
        ASN1_SIMPLE(TbsCertificate, algorithm, ASN1_ANY),
        ASN1_SIMPLE(TbsCertificate, issuer, ASN1_ANY),
        ASN1_SIMPLE(TbsCertificate, validity, X509_VAL),
        ASN1_SIMPLE(TbsCertificate, subject, ASN1_ANY),
        ASN1_SIMPLE(TbsCertificate, key, ASN1_ANY),
        ASN1_EXP_SEQUENCE_OF_OPT(TbsCertificate, extensions, X509_EXTENSION, 3),
} static_ASN1_SEQUENCE_END(TbsCertificate)

ASN1_SEQUENCE(TbsCrl) = {
        ASN1_SIMPLE(TbsCrl, version, ASN1_INTEGER),
        ASN1_SIMPLE(TbsCrl, algorithm, ASN1_ANY),
        ASN1_SIMPLE(TbsCrl, issuer, ASN1_ANY),
        ASN1_SIMPLE(TbsCrl, this_update, ASN1_TIME),
        ASN1_SIMPLE(TbsCrl, next_update, ASN1_TIME),
        ASN1_SEQUENCE_OF_OPT(TbsCrl, revoked, X509_REVOKED),
        ASN1_EXP_SEQUENCE_OF_OPT(TbsCrl, extensions, X509_EXTENSION, 0),
} static_ASN1_SEQUENCE_END(TbsCrl)

static int append(const void *value, const ASN1_ITEM *item, Buffer *ret)
{
        uint8_t *der = NULL;
        int n = ASN1_item_i2d(value, &der, item), r;

        if (n <= 0)
                return HF_E_INTERNAL;
        r = buffer_append(ret, der, (size_t)n);
        OPENSSL_free(der);
        return r;
}

TbsCertificate *tbs_certificate_new(void)
{
        return (TbsCertificate *)ASN1_item_new(ASN1_ITEM_rptr(TbsCertificate));
}

TbsCertificate *tbs_certificate_free(TbsCertificate *t)
{
        ASN1_item_free((ASN1_VALUE *)t, ASN1_ITEM_rptr(TbsCertificate));
        return NULL;
}

int tbs_certificate_append(const TbsCertificate *t, Buffer *ret)
{
        return append(t, ASN1_ITEM_rptr(TbsCertificate), ret);
}

TbsCrl *tbs_crl_new(void)
{
        return (TbsCrl *)ASN1_item_new(ASN1_ITEM_rptr(TbsCrl));
}

TbsCrl *tbs_crl_free(TbsCrl *t)
{
        ASN1_item_free((ASN1_VALUE *)t, ASN1_ITEM_rptr(TbsCrl));
        return NULL;
}

int tbs_crl_append(const TbsCrl *t, Buffer *ret)
{
        return append(t, ASN1_ITEM_rptr(TbsCrl), ret);
}

int tbs_set_raw(ASN1_TYPE *field, Bytes der)
{
        ASN1_STRING *s = ASN1_STRING_new();

        if (!s || !ASN1_STRING_set(s, der.data, (int)der.len)) {
                ASN1_STRING_free(s);
                return -ENOMEM;
        }
        ASN1_TYPE_set(field, V_ASN1_SEQUENCE, s);
        return 0;
}

int tbs_set_number(ASN1_INTEGER *field, Bytes number)
{
        BIGNUM *n = BN_bin2bn(number.data, (int)number.len, NULL);
        bool ok = n && BN_to_ASN1_INTEGER(n, field);

        BN_free(n);
        return ok ? 0 : -ENOMEM;
}

int tbs_set_u64(ASN1_INTEGER *field, uint64_t number)
{
        return ASN1_INTEGER_set_uint64(field, number) ? 0 : -ENOMEM;
}

int tbs_set_time(ASN1_TIME *field, uint64_t usec)
{
        return ASN1_TIME_set(field, (time_t)(usec / USEC_PER_SEC)) ? 0 : -ENOMEM;
}

int tbs_add_extension(STACK_OF(X509_EXTENSION) **list, int nid, void *value, bool critical)
{
        return X509V3_add1_i2d(list, nid, value, critical, X509V3_ADD_APPEND) == 1 ? 0 : -ENOMEM;
}
