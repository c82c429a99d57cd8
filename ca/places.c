/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/places.h"

#include <openssl/x509v3.h>
#include <string.h>

#include "ca/tbs.h"

#define CA_WORD "{ca}"

static void access_freep(AUTHORITY_INFO_ACCESS **a)
{
        AUTHORITY_INFO_ACCESS_free(*a);
}

static void points_freep(CRL_DIST_POINTS **p)
{
        CRL_DIST_POINTS_free(*p);
}

static void general_name_freep(GENERAL_NAME **n)
{
        GENERAL_NAME_free(*n);
}

/* NULL: no memory. */
static GENERAL_NAME *name_of(const char *url, size_t len)
{
        _cleanup_(general_name_freep) GENERAL_NAME *n = GENERAL_NAME_new();

        if (!n || !(n->d.ia5 = ASN1_IA5STRING_new()))
                return NULL;
        n->type = GEN_URI;
        return ASN1_STRING_set(n->d.ia5, url, (int)len) ? TAKE_PTR(n) : NULL;
}

/* The name of the CA is one of Holdfast, which has no character that a URL would have to escape. */
static int make_name(const CaCertificateParams *p, CaUrl url, GENERAL_NAME **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CA_URL_MAX * NAME_SIZE);
        const char *at = p->profile->urls[url], *word, *authority = p->authority ? p->authority : "";
        int r = 0;

        for (; !r && (word = strstr(at, CA_WORD)); at = word + strlen(CA_WORD)) {
                r = buffer_append(&text, at, (size_t)(word - at));
                if (!r)
                        r = buffer_append(&text, authority, strlen(authority));
        }
        if (!r)
                r = buffer_append(&text, at, strlen(at));
        if (r)
                return r;
        *ret = name_of((const char *)text.data, text.len);
        return *ret ? 0 : -ENOMEM;
}

static int add_access(const CaCertificateParams *p, CaUrl url, int nid, AUTHORITY_INFO_ACCESS *list)
{
        ACCESS_DESCRIPTION *d;
        GENERAL_NAME *name;
        int r;

        if (!p->profile->urls[url][0])
                return 0;
        r = make_name(p, url, &name);
        if (r)
                return r;
        d = ACCESS_DESCRIPTION_new();
        if (!d || !sk_ACCESS_DESCRIPTION_push(list, d)) {
                ACCESS_DESCRIPTION_free(d);
                GENERAL_NAME_free(name);
                return -ENOMEM;
        }
        d->method = OBJ_nid2obj(nid);
        GENERAL_NAME_free(d->location);
        d->location = name;
        return 0;
}

static int add_information(const CaCertificateParams *p, STACK_OF(X509_EXTENSION) **list)
{
        _cleanup_(access_freep) AUTHORITY_INFO_ACCESS *a = sk_ACCESS_DESCRIPTION_new_null();
        int r = a ? add_access(p, CA_URL_OCSP, NID_ad_OCSP, a) : -ENOMEM;

        if (!r)
                r = add_access(p, CA_URL_ISSUER, NID_ad_ca_issuers, a);
        return r || !sk_ACCESS_DESCRIPTION_num(a) ? r : tbs_add_extension(list, NID_info_access, a, false);
}

static int add_point(const CaCertificateParams *p, STACK_OF(X509_EXTENSION) **list)
{
        _cleanup_(points_freep) CRL_DIST_POINTS *points = sk_DIST_POINT_new_null();
        _cleanup_(general_name_freep) GENERAL_NAME *name = NULL;
        DIST_POINT *point;
        int r;

        if (!p->profile->urls[CA_URL_CRL][0])
                return 0;
        r = make_name(p, CA_URL_CRL, &name);
        if (r)
                return r;
        point = DIST_POINT_new();
        if (!points || !point || !sk_DIST_POINT_push(points, point)) {
                DIST_POINT_free(point);
                return -ENOMEM;
        }
        point->distpoint = DIST_POINT_NAME_new();
        if (!point->distpoint || !(point->distpoint->name.fullname = sk_GENERAL_NAME_new_null()))
                return -ENOMEM;
        point->distpoint->type = 0;
        if (!sk_GENERAL_NAME_push(point->distpoint->name.fullname, name))
                return -ENOMEM;
        name = NULL;
        return tbs_add_extension(list, NID_crl_distribution_points, points, false);
}

int places_add(const CaCertificateParams *p, STACK_OF(X509_EXTENSION) **list)
{
        int r = p->issuer ? add_information(p, list) : 0;

        return r || !p->issuer ? r : add_point(p, list);
}
