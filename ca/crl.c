/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/crl.h"

#include <openssl/err.h>

#include "base/error.h"
#include "ca/tbs.h"
#include "crypto/signed.h"

static void revoked_freep(X509_REVOKED **r)
{
        X509_REVOKED_free(*r);
}

static void integer_freep(ASN1_INTEGER **i)
{
        ASN1_INTEGER_free(*i);
}

static void time_freep(ASN1_TIME **t)
{
        ASN1_TIME_free(*t);
}

static void enumerated_freep(ASN1_ENUMERATED **e)
{
        ASN1_ENUMERATED_free(*e);
}

static void authority_key_freep(AUTHORITY_KEYID **a)
{
        AUTHORITY_KEYID_free(*a);
}

/* `unspecified` is said by saying nothing (RFC 5280 section 5.3.1). */
static int add_reason(X509_REVOKED *entry, CaReason reason)
{
        _cleanup_(enumerated_freep) ASN1_ENUMERATED *value = NULL;

        if (reason == CA_REASON_UNSPECIFIED)
                return 0;
        value = ASN1_ENUMERATED_new();
        if (!value || !ASN1_ENUMERATED_set(value, reason) || X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, value, 0, 0) != 1)
                return -ENOMEM;
        return 0;
}

static int add_entry(const CaRevoked *from, TbsCrl *t)
{
        _cleanup_(revoked_freep) X509_REVOKED *entry = X509_REVOKED_new();
        _cleanup_(integer_freep) ASN1_INTEGER *serial = ASN1_INTEGER_new();
        _cleanup_(time_freep) ASN1_TIME *when = ASN1_TIME_new();
        int r;

        if (!entry || !serial || !when)
                return -ENOMEM;
        r = tbs_set_number(serial, BYTES_ARRAY(from->serial));
        if (!r)
                r = tbs_set_time(when, from->when);
        if (!r && (!X509_REVOKED_set_serialNumber(entry, serial) || !X509_REVOKED_set_revocationDate(entry, when)))
                r = -ENOMEM;
        if (!r)
                r = add_reason(entry, from->reason);
        if (!r && !sk_X509_REVOKED_push(t->revoked, entry))
                r = -ENOMEM;
        if (!r)
                entry = NULL;
        return r;
}

static int add_extensions(const CaCrlParams *p, TbsCrl *t)
{
        _cleanup_(authority_key_freep) AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
        _cleanup_(integer_freep) ASN1_INTEGER *number = ASN1_INTEGER_new();
        Bytes id = buffer_bytes(&p->issuer->key_id);
        int r;

        if (!authority || !number || !(authority->keyid = ASN1_OCTET_STRING_new()) ||
                        !ASN1_OCTET_STRING_set(authority->keyid, id.data, (int)id.len))
                return -ENOMEM;
        r = tbs_set_u64(number, p->number);
        if (!r)
                r = tbs_add_extension(&t->extensions, NID_authority_key_identifier, authority, false);
        return r ? r : tbs_add_extension(&t->extensions, NID_crl_number, number, false);
}

static int fill(const CaCrlParams *p, TbsCrl *t)
{
        int r = tbs_set_u64(t->version, 1); /* v2 */

        if (!r)
                r = tbs_set_raw(t->algorithm, signed_identifier(p->scheme));
        if (!r)
                r = tbs_set_raw(t->issuer, buffer_bytes(&p->issuer->subject));
        if (!r)
                r = tbs_set_time(t->this_update, p->this_update);
        if (!r)
                r = tbs_set_time(t->next_update, p->next_update);
        if (!r && p->n_entries) {
                t->revoked = sk_X509_REVOKED_new_reserve(NULL, (int)p->n_entries);
                r = t->revoked ? 0 : -ENOMEM;
        }
        for (size_t i = 0; !r && i < p->n_entries; i++)
                r = add_entry(&p->entries[i], t);
        return r ? r : add_extensions(p, t);
}

int ca_crl_prepare(const CaCrlParams *p, Buffer *ret_tbs)
{
        _cleanup_(tbs_crl_freep) TbsCrl *t = tbs_crl_new();
        int r;

        if (!t)
                return -ENOMEM;
        if (!signed_identifier(p->scheme).len)
                return HF_E_SCHEME_NOT_SUPPORTED;
        r = fill(p, t);
        if (!r)
                r = tbs_crl_append(t, ret_tbs);
        ERR_clear_error();
        return r;
}
