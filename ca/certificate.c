/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/certificate.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/error.h"
#include "ca/description.h"
#include "ca/places.h"
#include "ca/subject.h"
#include "ca/tbs.h"
#include "crypto/fetched.h"
#include "crypto/pubkey.h"
#include "crypto/random.h"
#include "crypto/signed.h"

#define USEC_PER_DAY (86400 * USEC_PER_SEC)

typedef STACK_OF(X509_EXTENSION) Extensions;

static void name_freep(X509_NAME **n)
{
        X509_NAME_free(*n);
}

static void general_names_freep(GENERAL_NAMES **n)
{
        GENERAL_NAMES_free(*n);
}

static void string_freep(ASN1_STRING **s)
{
        ASN1_STRING_free(*s);
}

static void constraints_freep(BASIC_CONSTRAINTS **b)
{
        BASIC_CONSTRAINTS_free(*b);
}

static void object_ids_freep(EXTENDED_KEY_USAGE **e)
{
        sk_ASN1_OBJECT_pop_free(*e, ASN1_OBJECT_free);
}

static void authority_key_freep(AUTHORITY_KEYID **a)
{
        AUTHORITY_KEYID_free(*a);
}

/* ---- what we are asked to sign ---- */

static Bytes subject_key(const CaCertificateParams *p)
{
        return p->spki.len ? p->spki : ca_request_spki(p->request);
}

static int check_key(const CaCertificateParams *p, CaProblem *problem, KeyAlgorithm *ret)
{
        int r = 0;

        if (p->spki.len)
                r = ca_key_check(p->spki, problem, ret);
        else
                *ret = ca_request_algorithm(p->request);
        if (!r && !(p->profile->keys & (1u << *ret)))
                r = ca_refuse(problem, "profile %s takes no keys of %s", p->profile->name, key_algorithm_info(*ret)->name);
        return r;
}

/* RFC 5280 section 3.2 */
static bool is_self_issued(const CaCertificateParams *p)
{
        return p->like && (!p->issuer || bytes_equal(buffer_bytes(&p->issuer->subject), buffer_bytes(&p->like->subject)));
}

static int check_authority(const CaCertificateParams *p, CaProblem *problem)
{
        if (p->request && ca_request_wants_authority(p->request) && !p->profile->authority)
                return ca_refuse(problem, "the request asks for CA:TRUE, which profile %s never gives", p->profile->name);
        if (is_self_issued(p))
                return 0; /* between two keys of one CA it does not count */
        if (p->profile->authority && p->issuer && p->issuer->path_length == 0)
                return ca_refuse(problem, "the issuer's path length is 0: it may not have a CA below it");
        if (p->path_length >= 0 && !p->profile->authority)
                return ca_refuse(problem, "profile %s makes no CA, so it has no path length", p->profile->name);
        if (p->path_length >= 0 && p->issuer && p->issuer->path_length >= 0 && p->path_length >= p->issuer->path_length)
                return ca_refuse(problem, "the path length can be %d at most, one less than the issuer's",
                                p->issuer->path_length - 1);
        return 0;
}

static int path_length(const CaCertificateParams *p)
{
        int length = p->path_length >= 0 ? p->path_length : p->like ? p->like->path_length : p->profile->path_length;

        if (is_self_issued(p))
                return length;

        if (p->issuer && p->issuer->path_length >= 0 && (length < 0 || length >= p->issuer->path_length))
                length = p->issuer->path_length - 1;
        return length;
}

static uint32_t usage_of(const CaProfile *profile, KeyAlgorithm a)
{
        return profile->usage | (key_algorithm_info(a)->purposes & (1u << PURPOSE_DECRYPT) ? profile->usage_rsa : 0);
}

/* The profile says it all; who asks for more shall not believe to have got it. */
static int check_usage(const CaCertificateParams *p, KeyAlgorithm a, CaProblem *problem)
{
        if (!p->request)
                return 0;
        if (ca_request_usage(p->request) & ~usage_of(p->profile, a))
                return ca_refuse(problem, "the request asks for a key usage that profile %s does not give to a key of %s",
                                p->profile->name, key_algorithm_info(a)->name);
        if (ca_request_extended(p->request) & ~p->profile->extended)
                return ca_refuse(problem, "the request asks for an extended key usage that profile %s does not give",
                                p->profile->name);
        return 0;
}

/* Inside its issuer's time on both ends. */
static int choose_time(const CaCertificateParams *p, CaProblem *problem, CaSummary *summary)
{
        uint64_t days = p->days ? p->days : p->profile->days;
        uint64_t from = p->now > CA_BACKDATE_USEC ? p->now - CA_BACKDATE_USEC : 0, to = p->now + days * USEC_PER_DAY;

        if (days > CA_DAYS_MAX)
                return ca_refuse(problem, "a certificate lives for %d days at most", CA_DAYS_MAX);
        if (p->profile->max_days && days > p->profile->max_days)
                return ca_refuse(problem, "profile %s gives %" PRIu32 " days at most (max-days)", p->profile->name,
                                p->profile->max_days);
        if (p->issuer && (p->now >= p->issuer->not_after || p->now + CA_BACKDATE_USEC < p->issuer->not_before))
                return ca_refuse(problem, "the certificate of the issuer is not valid now");
        if (p->issuer && from < p->issuer->not_before)
                from = p->issuer->not_before;
        if (p->issuer && to > p->issuer->not_after)
                to = p->issuer->not_after;
        if (p->until && to > p->until)
                to = p->until;
        summary->not_before = from / USEC_PER_SEC * USEC_PER_SEC;
        summary->not_after = to / USEC_PER_SEC * USEC_PER_SEC;
        return 0;
}

/* ---- extensions ---- */

static int add_constraints(const CaCertificateParams *p, Extensions **list)
{
        _cleanup_(constraints_freep) BASIC_CONSTRAINTS *b = BASIC_CONSTRAINTS_new();
        int length = path_length(p);

        if (!b)
                return -ENOMEM;
        if (p->profile->authority) {
                b->ca = 0xff;
                if (length >= 0 && (!(b->pathlen = ASN1_INTEGER_new()) || !ASN1_INTEGER_set(b->pathlen, length)))
                        return -ENOMEM;
        }
        return tbs_add_extension(list, NID_basic_constraints, b, true);
}

static int add_usage(const CaProfile *profile, KeyAlgorithm a, Extensions **list)
{
        uint32_t usage = usage_of(profile, a);
        _cleanup_(string_freep) ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();

        for (int i = 0; bits && i < 9; i++)
                if (usage & (1u << i) && !ASN1_BIT_STRING_set_bit(bits, i, 1))
                        return -ENOMEM;
        return bits ? tbs_add_extension(list, NID_key_usage, bits, true) : -ENOMEM;
}

static int add_extended(const CaProfile *profile, Extensions **list)
{
        static const int nids[_CA_EXTENDED_MAX] = {
                [CA_EXTENDED_SERVER_AUTH] = NID_server_auth,
                [CA_EXTENDED_CLIENT_AUTH] = NID_client_auth,
                [CA_EXTENDED_CODE_SIGNING] = NID_code_sign,
                [CA_EXTENDED_TIME_STAMPING] = NID_time_stamp,
                [CA_EXTENDED_OCSP_SIGNING] = NID_OCSP_sign,
        };
        _cleanup_(object_ids_freep) EXTENDED_KEY_USAGE *ids = sk_ASN1_OBJECT_new_null();

        if (!profile->extended)
                return 0;
        for (CaExtended e = 0; ids && e < _CA_EXTENDED_MAX; e++)
                if (profile->extended & (1u << e) && !sk_ASN1_OBJECT_push(ids, OBJ_nid2obj(nids[e])))
                        return -ENOMEM;
        return ids ? tbs_add_extension(list, NID_ext_key_usage, ids, false) : -ENOMEM;
}

/* SHA-256 of the whole SubjectPublicKeyInfo (RFC 7093 section 2, method 4): the fingerprint Holdfast shows everywhere. */
static int add_key_ids(const CaCertificateParams *p, Extensions **list)
{
        _cleanup_(string_freep) ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
        _cleanup_(authority_key_freep) AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
        uint8_t id[32];
        Bytes above = BYTES(id, sizeof(id));
        int r;

        if (!own || !authority || !(authority->keyid = ASN1_OCTET_STRING_new()))
                return -ENOMEM;
        pubkey_fingerprint(subject_key(p), id);
        if (p->issuer)
                above = buffer_bytes(&p->issuer->key_id);
        if (!ASN1_OCTET_STRING_set(own, id, sizeof(id)) ||
                        !ASN1_OCTET_STRING_set(authority->keyid, above.data, (int)above.len))
                return -ENOMEM;
        r = tbs_add_extension(list, NID_subject_key_identifier, own, false);
        return r ? r : tbs_add_extension(list, NID_authority_key_identifier, authority, false);
}

static int add_no_check(Extensions **list)
{
        ASN1_NULL *nothing = ASN1_NULL_new();
        int r = nothing ? tbs_add_extension(list, NID_id_pkix_OCSP_noCheck, nothing, false) : -ENOMEM;

        ASN1_NULL_free(nothing);
        return r;
}

static int add_extensions(const CaCertificateParams *p, KeyAlgorithm a, GENERAL_NAMES *names, bool no_subject, Extensions **list)
{
        int r = add_constraints(p, list);

        if (!r)
                r = add_usage(p->profile, a, list);
        if (!r)
                r = add_extended(p->profile, list);
        if (!r)
                r = add_key_ids(p, list);
        /* Critical where they are all there is (RFC 5280 section 4.2.1.6). */
        if (!r && names)
                r = tbs_add_extension(list, NID_subject_alt_name, names, no_subject);
        if (!r && p->profile->no_check)
                r = add_no_check(list);
        if (!r)
                r = places_add(p, list);
        return r ? r : description_add(&p->device, list);
}

/* ---- the whole ---- */

static int set_names(const CaCertificateParams *p, X509_NAME *subject, TbsCertificate *t)
{
        uint8_t *der = NULL;
        int n = i2d_X509_NAME(subject, &der), r;

        if (n <= 0)
                return -ENOMEM;
        r = tbs_set_raw(t->subject, BYTES(der, (size_t)n));
        if (!r)
                r = tbs_set_raw(t->issuer, p->issuer ? buffer_bytes(&p->issuer->subject) : BYTES(der, (size_t)n));
        OPENSSL_free(der);
        return r;
}

static int fill(const CaCertificateParams *p, KeyAlgorithm a, X509_NAME *subject, GENERAL_NAMES *names, const CaSummary *summary,
                TbsCertificate *t)
{
        int r = tbs_set_u64(t->version, 2); /* v3 */

        if (!r)
                r = tbs_set_number(t->serial, BYTES_ARRAY(p->serial));
        if (!r)
                r = tbs_set_raw(t->algorithm, signed_identifier(p->scheme));
        if (!r)
                r = set_names(p, subject, t);
        if (!r)
                r = tbs_set_time(t->validity->notBefore, summary->not_before);
        if (!r)
                r = tbs_set_time(t->validity->notAfter, summary->not_after);
        if (!r)
                r = tbs_set_raw(t->key, subject_key(p));
        return r ? r : add_extensions(p, a, names, X509_NAME_entry_count(subject) == 0, &t->extensions);
}

static int prepare(const CaCertificateParams *p, CaProblem *problem, CaSummary *summary, Buffer *ret)
{
        _cleanup_(general_names_freep) GENERAL_NAMES *names = NULL;
        _cleanup_(tbs_certificate_freep) TbsCertificate *t = tbs_certificate_new();
        _cleanup_(name_freep) X509_NAME *subject = X509_NAME_new();
        KeyAlgorithm a;
        int r;

        if (!t || !subject)
                return -ENOMEM;
        r = check_key(p, problem, &a);
        if (!r)
                r = check_authority(p, problem);
        if (!r)
                r = check_usage(p, a, problem);
        if (!r)
                r = choose_time(p, problem, summary);
        if (!r)
                r = p->like ? subject_like(p->like, &subject) : subject_make(p, problem, summary, subject);
        if (!r)
                r = p->like ? subject_like_names(p->like, &names) : subject_make_names(p, problem, summary, &names);
        if (!r && !names && X509_NAME_entry_count(subject) == 0)
                r = ca_refuse(problem, "neither a subject nor an alternative name was given");
        if (!r)
                r = fill(p, a, subject, names, summary, t);
        return r ? r : tbs_certificate_append(t, ret);
}

int ca_certificate_prepare(const CaCertificateParams *p, CaProblem *problem, CaSummary *ret_summary, Buffer *ret_tbs)
{
        CaSummary summary = {};
        int r;

        if (!signed_identifier(p->scheme).len)
                return HF_E_SCHEME_NOT_SUPPORTED;
        r = prepare(p, problem, &summary, ret_tbs);
        ERR_clear_error();
        if (!r)
                *ret_summary = summary;
        return r;
}

void ca_serial_new(uint8_t ret[static CA_SERIAL_SIZE])
{
        do
                random_bytes(ret, CA_SERIAL_SIZE);
        while (ret[0] == 0);
}

int ca_digest(Scheme scheme, Bytes tbs, uint8_t ret[static 64], size_t *ret_len)
{
        const EVP_MD *md = fetched_digest(scheme);
        unsigned n = 0;

        if (!md)
                return HF_E_SCHEME_NOT_SUPPORTED;
        if (EVP_Digest(tbs.data, tbs.len, ret, &n, md, NULL) != 1)
                return openssl_failed(-ENOMEM);
        *ret_len = n;
        return 0;
}

int ca_finish(Bytes spki, Scheme scheme, Bytes tbs, Bytes signature, Buffer *ret_der)
{
        int r = pubkey_verify(spki, scheme, tbs, signature);

        return r ? r : signed_assemble(tbs, scheme, signature, ret_der);
}
