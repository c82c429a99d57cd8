/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/crl.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "x509/der.h"
#include "x509/floor.h"
#include "x509/read.h"

#define DIGEST_MIN 28 /* bytes: no SHA-1 */
#define SEQUENCE (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED)
#define EXPLICIT_0 (V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED)

DEFINE_CLEANUP(ASN1_TIME, ASN1_TIME_free)
DEFINE_CLEANUP(ASN1_INTEGER, ASN1_INTEGER_free)

struct CertCrl {
        Buffer der;
        Bytes tbs; /* in it */
        X509_NAME *issuer;
        X509_ALGOR *algorithm;
        ASN1_BIT_STRING *signature;
        STACK_OF(X509_EXTENSION) *extensions; /* NULL: none */
        uint8_t number[CERT_CRL_NUMBER_MAX];
        size_t number_len, entries;
        uint64_t this_update, next_update;
};

static const struct {
        const char *word, *sentence;
} faults[_CRL_FAULT_MAX] = {
        [CRL_GOOD] = {"good", "it is good"},
        [CRL_TOO_LARGE] = {"too-large", "it is larger than 16 MiB"},
        [CRL_MALFORMED] = {"malformed", "this is no revocation list, or it is damaged"},
        [CRL_SEVERAL] = {"several-lists", "there are several lists in the file; hand them in one at a time"},
        [CRL_DELTA] = {"delta", "it is a delta, which says only what changed since another list; servers need the whole one"},
        [CRL_PARTIAL] = {"partial", "it is about some of its CA's certificates only; servers need the whole list"},
        [CRL_INDIRECT] = {"indirect", "it is about certificates of other CAs than the one that signed it"},
        [CRL_UNKNOWN_CRITICAL] = {"unknown-critical", "it has a critical extension that nobody here knows"},
        [CRL_WEAK_SIGNATURE] = {"weak-signature", "its digest, or the key that signed it, is too weak"},
        [CRL_NO_NEXT_UPDATE] = {"no-next-update", "it does not say when the next one comes"},
        [CRL_STALE] = {"stale", "its time is over; get the next one"},
        [CRL_NOT_YET_VALID] = {"not-yet-valid", "it is of a time that is still to come; look at the clocks of both machines"},
        [CRL_UNKNOWN_ISSUER] = {"unknown-issuer",
                        "no CA of its issuer's name and key is trusted by an identity here or stands above a CA here"},
        [CRL_BAD_SIGNATURE] = {"bad-signature", "its signature is not that of the CA it names"},
        [CRL_NO_CRL_SIGN] = {"no-crl-sign", "the CA it names may not sign revocation lists (cRLSign)"},
        [CRL_OURS] = {"ours", "the CA it names is here, and makes its lists itself"},
        [CRL_OLDER] = {"older", "it is not newer than the one that is held: a number never goes back"},
};

const char *crl_fault_word(CrlFault fault)
{
        return faults[fault].word;
}

const char *crl_fault_sentence(CrlFault fault)
{
        return faults[fault].sentence;
}

CertCrl *cert_crl_free(CertCrl *crl)
{
        if (!crl)
                return NULL;
        X509_NAME_free(crl->issuer);
        X509_ALGOR_free(crl->algorithm);
        ASN1_BIT_STRING_free(crl->signature);
        sk_X509_EXTENSION_pop_free(crl->extensions, X509_EXTENSION_free);
        buffer_deinit(&crl->der);
        free(crl);
        return NULL;
}

/* ---- its parts ---- */

/* The next value, if it is of this tag: all of it and what is in it. */
static bool take(Bytes *b, uint8_t tag, Bytes *ret_whole, Bytes *ret_contents)
{
        Bytes whole, contents;

        if (b->len == 0 || b->data[0] != tag || !der_take(b, &whole, &contents))
                return false;
        if (ret_whole)
                *ret_whole = whole;
        if (ret_contents)
                *ret_contents = contents;
        return true;
}

static bool take_time(Bytes *b, uint64_t *ret)
{
        _cleanup_(ASN1_TIME_freep) ASN1_TIME *t = NULL;
        Bytes whole;
        const uint8_t *p;

        if (!take(b, V_ASN1_UTCTIME, &whole, NULL) && !take(b, V_ASN1_GENERALIZEDTIME, &whole, NULL))
                return false;
        p = whole.data;
        t = d2i_ASN1_TIME(NULL, &p, (long)whole.len);
        *ret = t ? read_time(t) : 0;
        return *ret > 0;
}

/* Of one entry. */
static CrlFault check_entry_extension(Bytes extension)
{
        static const uint8_t reason[] = {0x55, 0x1d, 0x15}, date[] = {0x55, 0x1d, 0x18}, issuer[] = {0x55, 0x1d, 0x1d};
        Bytes oid, critical = BYTES_NULL;

        if (!take(&extension, V_ASN1_OBJECT, NULL, &oid))
                return CRL_MALFORMED;
        (void)take(&extension, V_ASN1_BOOLEAN, NULL, &critical);
        if (!take(&extension, V_ASN1_OCTET_STRING, NULL, NULL) || extension.len)
                return CRL_MALFORMED;
        if (bytes_equal(oid, BYTES_ARRAY(issuer)))
                return CRL_INDIRECT;
        if (critical.len == 0 || critical.data[0] == 0 || bytes_equal(oid, BYTES_ARRAY(reason)))
                return CRL_GOOD;
        return bytes_equal(oid, BYTES_ARRAY(date)) ? CRL_GOOD : CRL_UNKNOWN_CRITICAL;
}

static CrlFault check_entry(Bytes entry)
{
        Bytes extensions, one;
        CrlFault fault = CRL_GOOD;

        if (!take(&entry, V_ASN1_INTEGER, NULL, NULL) ||
                        (!take(&entry, V_ASN1_UTCTIME, NULL, NULL) && !take(&entry, V_ASN1_GENERALIZEDTIME, NULL, NULL)))
                return CRL_MALFORMED;
        if (entry.len == 0)
                return CRL_GOOD;
        if (!take(&entry, SEQUENCE, NULL, &extensions) || entry.len || extensions.len == 0)
                return CRL_MALFORMED;
        while (fault == CRL_GOOD && extensions.len)
                fault = take(&extensions, SEQUENCE, NULL, &one) ? check_entry_extension(one) : CRL_MALFORMED;
        return fault;
}

static CrlFault take_entries(Bytes entries, size_t *ret_count)
{
        CrlFault fault = CRL_GOOD;
        Bytes one;

        for (*ret_count = 0; fault == CRL_GOOD && entries.len; (*ret_count)++)
                fault = take(&entries, SEQUENCE, NULL, &one) ? check_entry(one) : CRL_MALFORMED;
        return fault;
}

static bool take_extensions(Bytes explicit, CertCrl *c)
{
        Bytes whole;
        const uint8_t *p;

        if (!take(&explicit, SEQUENCE, &whole, NULL) || explicit.len)
                return false;
        p = whole.data;
        c->extensions = d2i_X509_EXTENSIONS(NULL, &p, (long)whole.len);
        return c->extensions && p == whole.data + whole.len && sk_X509_EXTENSION_num(c->extensions) > 0;
}

/* tbsCertList (RFC 5280 section 5.1); the algorithm inside and the one outside are the same. */
static CrlFault take_tbs(Bytes tbs, Bytes algorithm, CertCrl *c)
{
        Bytes version = BYTES_NULL, inner, name, entries = BYTES_NULL, explicit = BYTES_NULL;
        const uint8_t *p;
        bool said;

        if (take(&tbs, V_ASN1_INTEGER, NULL, &version) && (version.len != 1 || version.data[0] != 1))
                return CRL_MALFORMED;
        if (!take(&tbs, SEQUENCE, &inner, NULL) || !bytes_equal(inner, algorithm) || !take(&tbs, SEQUENCE, &name, NULL) ||
                        !take_time(&tbs, &c->this_update))
                return CRL_MALFORMED;
        p = name.data;
        c->issuer = d2i_X509_NAME(NULL, &p, (long)name.len);
        said = tbs.len && (tbs.data[0] == V_ASN1_UTCTIME || tbs.data[0] == V_ASN1_GENERALIZEDTIME);
        if (!c->issuer || p != name.data + name.len || (said && !take_time(&tbs, &c->next_update)))
                return CRL_MALFORMED;
        if (take(&tbs, SEQUENCE, NULL, &entries) && entries.len == 0)
                return CRL_MALFORMED;
        if (take(&tbs, EXPLICIT_0, NULL, &explicit) && (!version.len || !take_extensions(explicit, c)))
                return CRL_MALFORMED;
        return tbs.len ? CRL_MALFORMED : take_entries(entries, &c->entries);
}

static CrlFault take_all(CertCrl *c)
{
        Bytes all = buffer_bytes(&c->der), list, algorithm, signature, tbs;
        const uint8_t *p;

        if (der_complaint(all) || !take(&all, SEQUENCE, NULL, &list) || !take(&list, SEQUENCE, &c->tbs, &tbs) ||
                        !take(&list, SEQUENCE, &algorithm, NULL) || !take(&list, V_ASN1_BIT_STRING, &signature, NULL) || list.len)
                return CRL_MALFORMED;
        p = algorithm.data;
        c->algorithm = d2i_X509_ALGOR(NULL, &p, (long)algorithm.len);
        p = signature.data;
        c->signature = d2i_ASN1_BIT_STRING(NULL, &p, (long)signature.len);
        return c->algorithm && c->signature ? take_tbs(tbs, algorithm, c) : CRL_MALFORMED;
}

/* ---- what it says ---- */

static bool has(const CertCrl *c, int nid)
{
        return X509v3_get_ext_by_NID(c->extensions, nid, -1) >= 0;
}

static CrlFault check_scope(const CertCrl *c)
{
        ISSUING_DIST_POINT *point = X509V3_get_d2i(c->extensions, NID_issuing_distribution_point, NULL, NULL);
        CrlFault fault = !point                                                                          ? CRL_MALFORMED
                         : point->indirectCRL > 0                                                        ? CRL_INDIRECT
                         : point->onlyuser > 0 || point->onlyCA > 0 || point->onlyattr > 0 || point->onlysomereasons ? CRL_PARTIAL
                                                                                                         : CRL_GOOD;

        ISSUING_DIST_POINT_free(point);
        return fault;
}

static CrlFault check_extensions(const CertCrl *c)
{
        static const int known[] = {NID_crl_number, NID_authority_key_identifier, NID_issuing_distribution_point, NID_delta_crl};

        for (int i = 0; i < X509v3_get_ext_count(c->extensions); i++) {
                X509_EXTENSION *e = X509v3_get_ext(c->extensions, i);
                int nid = OBJ_obj2nid(X509_EXTENSION_get_object(e));
                bool is_known = false;

                for (size_t k = 0; k < ELEMENTSOF(known); k++)
                        is_known |= known[k] == nid;
                if (X509_EXTENSION_get_critical(e) && !is_known)
                        return CRL_UNKNOWN_CRITICAL;
                if (X509v3_get_ext_by_OBJ(c->extensions, X509_EXTENSION_get_object(e), i) >= 0)
                        return CRL_MALFORMED;
        }
        if (has(c, NID_delta_crl))
                return CRL_DELTA;
        return has(c, NID_issuing_distribution_point) ? check_scope(c) : CRL_GOOD;
}

static CrlFault take_number(CertCrl *c)
{
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *number = NULL;
        const uint8_t *data;
        size_t len;

        if (!has(c, NID_crl_number))
                return CRL_GOOD;
        number = X509V3_get_d2i(c->extensions, NID_crl_number, NULL, NULL);
        if (!number || ASN1_STRING_type(number) != V_ASN1_INTEGER) /* a negative one is of another type */
                return CRL_MALFORMED;
        data = ASN1_STRING_get0_data(number);
        len = (size_t)ASN1_STRING_length(number);
        for (; len > 1 && *data == 0; len--)
                data++;
        if (len > sizeof(c->number))
                return CRL_MALFORMED;
        memcpy(c->number, data, len);
        c->number_len = len;
        return CRL_GOOD;
}

static bool digest_is_weak(int nid)
{
        const EVP_MD *md = EVP_get_digestbynid(nid);

        return !md || EVP_MD_get_size(md) < DIGEST_MIN;
}

/* Of RSASSA-PSS the parameters say it; none are SHA-1 (RFC 4055 section 3.1). */
static bool algorithm_is_weak(const X509_ALGOR *algorithm)
{
        const ASN1_OBJECT *object;
        const void *parameter;
        int digest, key, type;
        RSA_PSS_PARAMS *pss;
        bool weak;

        X509_ALGOR_get0(&object, &type, &parameter, algorithm);
        if (OBJ_find_sigid_algs(OBJ_obj2nid(object), &digest, &key) != 1)
                return true;
        if (digest != NID_undef)
                return digest_is_weak(digest);
        if (key != NID_rsassaPss)
                return false;
        pss = type == V_ASN1_SEQUENCE ? ASN1_item_unpack(parameter, ASN1_ITEM_rptr(RSA_PSS_PARAMS)) : NULL;
        weak = !pss || !pss->hashAlgorithm || digest_is_weak(OBJ_obj2nid(pss->hashAlgorithm->algorithm));
        RSA_PSS_PARAMS_free(pss);
        return weak;
}

static CrlFault check_times(const CertCrl *c, uint64_t now)
{
        if (!c->next_update)
                return CRL_NO_NEXT_UPDATE;
        if (c->next_update <= c->this_update)
                return CRL_MALFORMED;
        return c->this_update > now + CERT_CRL_SKEW ? CRL_NOT_YET_VALID : c->next_update <= now ? CRL_STALE : CRL_GOOD;
}

static CrlFault judge(CertCrl *c, uint64_t now)
{
        CrlFault fault = take_all(c);

        if (fault == CRL_GOOD)
                fault = check_extensions(c);
        if (fault == CRL_GOOD)
                fault = take_number(c);
        if (fault == CRL_GOOD && algorithm_is_weak(c->algorithm))
                fault = CRL_WEAK_SIGNATURE;
        return fault == CRL_GOOD ? check_times(c, now) : fault;
}

/* ---- reading ---- */

typedef struct Found {
        CertCrl *crl;
        CrlFault fault;
} Found;

static int take_der(void *userdata, const Reading *reading, Bytes der)
{
        Found *found = userdata;

        (void)reading;
        if (der.len > CERT_CRL_MAX)
                found->fault = CRL_TOO_LARGE;
        else if (found->crl->der.len)
                found->fault = CRL_SEVERAL;
        return found->fault ? HF_E_INVALID_ARGS : buffer_append(&found->crl->der, der.data, der.len);
}

int cert_crl_read(Bytes bytes, uint64_t now, CrlFault *ret_fault, CertCrl **ret)
{
        _cleanup_(cert_crl_freep) CertCrl *c = calloc(1, sizeof(*c));
        FindingList findings = {.n = 0};
        Found found = {.crl = c};
        const Reading reading = {.findings = &findings, .labels = {"X509 CRL"}, .take = take_der, .userdata = &found};
        int r;

        if (!c)
                return -ENOMEM;
        c->der = BUFFER_INIT(CERT_CRL_MAX);
        ERR_set_mark();
        r = read_either(bytes, &reading);
        if (r >= 0)
                *ret_fault = found.fault ? found.fault : r || !c->der.len ? CRL_MALFORMED : judge(c, now);
        ERR_pop_to_mark();
        if (r < 0)
                return r;
        if (*ret_fault == CRL_GOOD)
                *ret = TAKE_PTR(c);
        return 0;
}

/* ---- whose ---- */

static bool is_signed_by(const CertCrl *c, EVP_PKEY *key)
{
        const uint8_t *p = c->tbs.data;
        ASN1_TYPE *tbs = d2i_ASN1_TYPE(NULL, &p, (long)c->tbs.len); /* a SEQUENCE as it stands */
        bool is = tbs && ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), c->algorithm, c->signature, tbs, key) == 1;

        ASN1_TYPE_free(tbs);
        return is;
}

/* With another key identifier it is of another key, and servers that look for the list by it do not find it. */
static bool names_key(const CertCrl *c, X509 *issuer)
{
        AUTHORITY_KEYID *id = X509V3_get_d2i(c->extensions, NID_authority_key_identifier, NULL, NULL);
        bool names = id ? X509_check_akid(issuer, id) == X509_V_OK : !has(c, NID_authority_key_identifier);

        AUTHORITY_KEYID_free(id);
        return names;
}

CrlFault cert_crl_check_issuer(const CertCrl *c, X509 *issuer)
{
        EVP_PKEY *key = X509_get0_pubkey(issuer);
        char detail[FINDING_DETAIL_SIZE];
        CrlFault fault;

        ERR_set_mark();
        fault = X509_NAME_cmp(X509_get_subject_name(issuer), c->issuer) || X509_check_ca(issuer) == 0 || !names_key(c, issuer)
                                ? CRL_UNKNOWN_ISSUER
                : !floor_accepts(key, detail)                  ? CRL_WEAK_SIGNATURE
                : !is_signed_by(c, key)                        ? CRL_BAD_SIGNATURE
                : !(X509_get_key_usage(issuer) & KU_CRL_SIGN) ? CRL_NO_CRL_SIGN
                                                              : CRL_GOOD;
        ERR_pop_to_mark();
        return fault;
}

bool cert_crl_follows(const CertCrl *c, Bytes number, uint64_t this_update)
{
        size_t n = c->number_len;

        if (c->this_update < this_update || n < number.len)
                return false;
        if (n > number.len || n == 0)
                return n > 0 || c->this_update > this_update;
        return memcmp(c->number, number.data, n) > 0;
}

/* ---- looking ---- */

Bytes cert_crl_der(const CertCrl *c)
{
        return buffer_bytes(&c->der);
}

Bytes cert_crl_number(const CertCrl *c)
{
        return BYTES(c->number, c->number_len);
}

uint64_t cert_crl_this_update(const CertCrl *c)
{
        return c->this_update;
}

uint64_t cert_crl_next_update(const CertCrl *c)
{
        return c->next_update;
}

size_t cert_crl_count(const CertCrl *c)
{
        return c->entries;
}
