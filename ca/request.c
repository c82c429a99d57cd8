/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parser is OpenSSL's; what it gives is taken apart into plain text here, and whatever has no plain form is refused. The form
 * of a request is ours, because OpenSSL's makes a key of its public key in passing, which takes longer than all the rest.
 */
#include "ca/request.h"

#include <errno.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "ca/description.h"
#include "crypto/pubkey.h"
#include "crypto/rsa-check.h"
#include "crypto/spki.h"

#define PARTS_MAX 16
#define VALUE_MAX 255
#define SPKI_MAX 4096
#define ALLOWED_SIZE_PEM (2 * CSR_MAX)

typedef struct Names {
        char *items[CSR_NAMES_MAX + 1];
        size_t n;
} Names;

/* RFC 2986 section 4 */
typedef struct RequestInfo {
        ASN1_INTEGER *version;
        X509_NAME *subject;
        ASN1_TYPE *key; /* as it stands there */
        STACK_OF(X509_ATTRIBUTE) *attributes;
} RequestInfo;

typedef struct SignedRequest {
        ASN1_TYPE *info; /* as it stands there, which is what was signed */
        X509_ALGOR *algorithm;
        ASN1_BIT_STRING *signature;
} SignedRequest;

ASN1_SEQUENCE(RequestInfo) = {
        ASN1_SIMPLE(RequestInfo, version, ASN1_INTEGER),
        ASN1_SIMPLE(RequestInfo, subject, X509_NAME),
        ASN1_SIMPLE(RequestInfo, key, ASN1_ANY),
        ASN1_IMP_SET_OF_OPT(RequestInfo, attributes, X509_ATTRIBUTE, 0),
} static_ASN1_SEQUENCE_END(RequestInfo)

ASN1_SEQUENCE(SignedRequest) = {
        ASN1_SIMPLE(SignedRequest, info, ASN1_ANY),
        ASN1_SIMPLE(SignedRequest, algorithm, X509_ALGOR),
        ASN1_SIMPLE(SignedRequest, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(SignedRequest)

struct CaRequest {
        Buffer spki;
        KeyAlgorithm algorithm;
        bool authority, ours;
        uint32_t usage, extended; /* what it asks for: bits of CaUsage (and those that have no name there) and CaExtended */
        DescriptionTexts description;
        size_t n_parts;
        struct {
                CaPart part;
                char value[VALUE_MAX + 1];
        } parts[PARTS_MAX];
        Names names[_CA_NAME_KIND_MAX];
};

static void info_freep(RequestInfo **i)
{
        ASN1_item_free((ASN1_VALUE *)*i, ASN1_ITEM_rptr(RequestInfo));
}

static void signed_freep(SignedRequest **s)
{
        ASN1_item_free((ASN1_VALUE *)*s, ASN1_ITEM_rptr(SignedRequest));
}

static void pkey_freep(EVP_PKEY **p)
{
        EVP_PKEY_free(*p);
}

static void bytes_freep(uint8_t **b)
{
        OPENSSL_free(*b);
}

static void extensions_freep(STACK_OF(X509_EXTENSION) **s)
{
        sk_X509_EXTENSION_pop_free(*s, X509_EXTENSION_free);
}

static void general_names_freep(GENERAL_NAMES **n)
{
        GENERAL_NAMES_free(*n);
}

static void bio_freep(BIO **b)
{
        BIO_free(*b);
}

CaRequest *ca_request_free(CaRequest *r)
{
        if (!r)
                return NULL;
        buffer_deinit(&r->spki);
        for (size_t k = 0; k < _CA_NAME_KIND_MAX; k++)
                for (size_t i = 0; i < r->names[k].n; i++)
                        free(r->names[k].items[i]);
        free(r);
        return NULL;
}

Bytes ca_request_spki(const CaRequest *r)
{
        return buffer_bytes(&r->spki);
}

bool ca_request_wants_authority(const CaRequest *r)
{
        return r->authority;
}

KeyAlgorithm ca_request_algorithm(const CaRequest *r)
{
        return r->algorithm;
}

uint32_t ca_request_usage(const CaRequest *r)
{
        return r->usage;
}

uint32_t ca_request_extended(const CaRequest *r)
{
        return r->extended;
}

const char *const *ca_request_names(const CaRequest *r, CaNameKind kind)
{
        return (const char *const *)r->names[kind].items;
}

bool ca_request_part(const CaRequest *r, size_t i, CaPart *ret_part, const char **ret_value)
{
        if (i >= r->n_parts)
                return false;
        *ret_part = r->parts[i].part;
        *ret_value = r->parts[i].value;
        return true;
}

/* ---- the key ---- */

static int refuse_key(int r, CaProblem *problem)
{
        if (r == HF_E_WEAK_KEY)
                return ca_refuse(problem, "the key is weak: RSA below 2048 bits, another exponent than 65537, a curve below 256 "
                                          "bits or with parameters of its own");
        if (r == HF_E_ALGORITHM_NOT_SUPPORTED)
                return ca_refuse(problem, "no certificate is issued for keys of this algorithm or size");
        return r < 0 ? r : ca_refuse(problem, "the key is not well-formed");
}

/* A key that is fit for a certificate. */
static int load_key(Bytes spki, CaProblem *problem, KeyAlgorithm *ret_algorithm, EVP_PKEY **ret)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        KeyAlgorithm a;
        Bytes body;
        int r = spki_parse(spki, &a, &body);

        if (r) {
                r = pubkey_algorithm(spki, &a); /* which says why */
                return refuse_key(r ? r : HF_E_INVALID_ARGS, problem);
        }
        r = spki_load(spki, &a, &pkey);
        if (r)
                return refuse_key(r, problem);
        if (!(key_algorithm_info(a)->purposes & (1u << PURPOSE_SIGN)))
                return ca_refuse(problem, "a key of %s cannot sign", key_algorithm_info(a)->name);
        if (key_algorithm_info(a)->purposes & (1u << PURPOSE_DECRYPT))
                r = rsa_check_modulus(body);
        if (r == HF_E_WEAK_KEY)
                return ca_refuse(problem, "the RSA key is weak: it bears the mark of CVE-2017-15361 (ROCA), or its "
                                          "modulus falls apart");
        if (r)
                return r;
        *ret_algorithm = a;
        *ret = TAKE_PTR(pkey);
        return 0;
}

int ca_key_check(Bytes spki, CaProblem *problem, KeyAlgorithm *ret)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;

        return load_key(spki, problem, ret, &pkey);
}

/* The bytes of the key as they stand there. */
static int take_spki(Bytes spki, CaProblem *problem, CaRequest *r, EVP_PKEY **ret)
{
        int result = spki.len > SPKI_MAX ? ca_refuse(problem, "the key is too large")
                                         : buffer_append(&r->spki, spki.data, spki.len);

        return result ? result : load_key(spki, problem, &r->algorithm, ret);
}

/* ---- the subject ---- */

static int take_part(const X509_NAME_ENTRY *entry, CaProblem *problem, CaRequest *r)
{
        const char *name = OBJ_nid2sn(OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)));
        CaPart part = ca_part_from_string(name, strlen(name));
        unsigned char *utf8 = NULL;
        int n;

        if (part == _CA_PART_MAX)
                return ca_refuse(problem, "the subject has a part '%.40s', which no profile knows", name);
        if (r->n_parts == PARTS_MAX)
                return ca_refuse(problem, "the subject has more than %d parts", PARTS_MAX);
        /* Programs disagree which of two they believe, and one that is set replaces one. */
        for (size_t i = 0; i < r->n_parts; i++)
                if (r->parts[i].part == part)
                        return ca_refuse(problem, "the subject has %s twice", name);
        n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
        if (n < 1 || n > VALUE_MAX || memchr(utf8, '\0', (size_t)n)) {
                OPENSSL_free(utf8);
                return ca_refuse(problem, "the value of %s in the subject is empty, too long or no text", name);
        }
        memcpy(r->parts[r->n_parts].value, utf8, (size_t)n);
        r->parts[r->n_parts].value[n] = '\0';
        r->parts[r->n_parts++].part = part;
        OPENSSL_free(utf8);
        return 0;
}

static int take_subject(const X509_NAME *subject, CaProblem *problem, CaRequest *r)
{
        int result = 0;

        for (int i = 0; !result && i < X509_NAME_entry_count(subject); i++) {
                const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);

                if (i && X509_NAME_ENTRY_set(entry) == X509_NAME_ENTRY_set(X509_NAME_get_entry(subject, i - 1)))
                        result = ca_refuse(problem, "the subject has two values in one part");
                else
                        result = take_part(entry, problem, r);
        }
        return result;
}

/* ---- the extensions ---- */

static int add_name(CaRequest *r, CaNameKind kind, const void *text, size_t len, CaProblem *problem)
{
        Names *names = &r->names[kind];

        if (names->n == CSR_NAMES_MAX)
                return ca_refuse(problem, "there are more than %d alternative names", CSR_NAMES_MAX);
        if (len == 0 || memchr(text, '\0', len))
                return ca_refuse(problem, "an alternative name is empty or has a NUL in it");
        names->items[names->n] = strndup(text, len);
        return names->items[names->n] ? names->n++, 0 : -ENOMEM;
}

static int take_address(const ASN1_OCTET_STRING *address, CaProblem *problem, CaRequest *r)
{
        const unsigned char *b = ASN1_STRING_get0_data(address);
        char text[64];
        int n = 0;

        if (ASN1_STRING_length(address) == 4) {
                n = snprintf(text, sizeof(text), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
        } else if (ASN1_STRING_length(address) == 16) {
                for (int i = 0; i < 16; i += 2)
                        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%x", i ? ":" : "", b[i] << 8 | b[i + 1]);
        } else {
                return ca_refuse(problem, "an alternative name of kind ip is no address");
        }
        return add_name(r, CA_NAME_IP, text, (size_t)n, problem);
}

static int take_name(const GENERAL_NAME *name, CaProblem *problem, CaRequest *r)
{
        static const CaNameKind kinds[] = {[GEN_DNS] = CA_NAME_DNS, [GEN_URI] = CA_NAME_URI, [GEN_EMAIL] = CA_NAME_EMAIL};

        switch (name->type) {
        case GEN_DNS:
        case GEN_URI:
        case GEN_EMAIL:
                return add_name(r, kinds[name->type], ASN1_STRING_get0_data(name->d.ia5),
                                (size_t)ASN1_STRING_length(name->d.ia5), problem);
        case GEN_IPADD:
                return take_address(name->d.iPAddress, problem, r);
        default:
                return ca_refuse(problem, "an alternative name is neither dns, ip, uri nor email");
        }
}

static int take_names(X509_EXTENSION *extension, CaProblem *problem, CaRequest *r)
{
        _cleanup_(general_names_freep) GENERAL_NAMES *names = X509V3_EXT_d2i(extension);
        int result = 0;

        if (!names)
                return ca_refuse(problem, "the alternative names are not well-formed");
        if (sk_GENERAL_NAME_num(names) > CSR_NAMES_MAX)
                return ca_refuse(problem, "there are more than %d alternative names", CSR_NAMES_MAX);
        for (int i = 0; !result && i < sk_GENERAL_NAME_num(names); i++)
                result = take_name(sk_GENERAL_NAME_value(names, i), problem, r);
        return result;
}

static int take_constraints(X509_EXTENSION *extension, CaProblem *problem, CaRequest *r)
{
        BASIC_CONSTRAINTS *b = X509V3_EXT_d2i(extension);

        if (!b)
                return ca_refuse(problem, "basicConstraints is not well-formed");
        r->authority = b->ca;
        BASIC_CONSTRAINTS_free(b);
        return 0;
}

static int take_usage(X509_EXTENSION *extension, CaProblem *problem, CaRequest *r)
{
        ASN1_BIT_STRING *bits = X509V3_EXT_d2i(extension);

        if (!bits)
                return ca_refuse(problem, "keyUsage is not well-formed");
        for (int i = 0; i < 9; i++)
                r->usage |= ASN1_BIT_STRING_get_bit(bits, i) ? 1u << i : 0;
        ASN1_BIT_STRING_free(bits);
        return 0;
}

static int take_extended(X509_EXTENSION *extension, CaProblem *problem, CaRequest *r)
{
        static const int nids[_CA_EXTENDED_MAX] = {
                NID_server_auth, NID_client_auth, NID_code_sign, NID_time_stamp, NID_OCSP_sign,
        };
        EXTENDED_KEY_USAGE *ids = X509V3_EXT_d2i(extension);
        char name[80] = "";
        int result = 0;

        if (!ids)
                return ca_refuse(problem, "extendedKeyUsage is not well-formed");
        for (int i = 0; !result && i < sk_ASN1_OBJECT_num(ids); i++) {
                const ASN1_OBJECT *object = sk_ASN1_OBJECT_value(ids, i);
                CaExtended e = 0;

                while (e < _CA_EXTENDED_MAX && nids[e] != OBJ_obj2nid(object))
                        e++;
                OBJ_obj2txt(name, sizeof(name), object, 1);
                if (e < _CA_EXTENDED_MAX)
                        r->extended |= 1u << e;
                else
                        result = ca_refuse(problem, "no profile gives the extended key usage %s", name);
        }
        sk_ASN1_OBJECT_pop_free(ids, ASN1_OBJECT_free);
        return result;
}

static int take_extension(X509_EXTENSION *extension, CaProblem *problem, CaRequest *r)
{
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(extension);
        char name[80] = "";

        switch (OBJ_obj2nid(object)) {
        case NID_subject_alt_name:
                return take_names(extension, problem, r);
        case NID_basic_constraints:
                return take_constraints(extension, problem, r);
        case NID_key_usage:
                return take_usage(extension, problem, r);
        case NID_ext_key_usage:
                return take_extended(extension, problem, r);
        case NID_subject_key_identifier: /* ours to say */
                return 0;
        default:
                if (!X509_EXTENSION_get_critical(extension))
                        return 0;
                OBJ_obj2txt(name, sizeof(name), object, 1);
                return ca_refuse(problem, "the extension %s is critical and unknown", name);
        }
}

static bool is_repeated(const STACK_OF(X509_EXTENSION) *list, int i)
{
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(sk_X509_EXTENSION_value(list, i));

        return X509v3_get_ext_by_OBJ(list, object, i) >= 0;
}

/* Extensions are in one attribute, and that has one value: of more than that the reader would see the first alone. NULL: none. */
static int find_extensions(const RequestInfo *info, CaProblem *problem, ASN1_TYPE **ret)
{
        ASN1_TYPE *found = NULL;

        for (int i = 0; i < sk_X509_ATTRIBUTE_num(info->attributes); i++) {
                X509_ATTRIBUTE *attribute = sk_X509_ATTRIBUTE_value(info->attributes, i);
                int nid = OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attribute));

                if (nid != NID_ext_req && nid != NID_ms_ext_req)
                        continue;
                if (found || X509_ATTRIBUTE_count(attribute) > 1)
                        return ca_refuse(problem, "there is more than one list of extensions");
                found = X509_ATTRIBUTE_get0_type(attribute, 0);
                if (!found || found->type != V_ASN1_SEQUENCE)
                        return ca_refuse(problem, "the extensions are not well-formed");
        }
        *ret = found;
        return 0;
}

static int take_extensions(const RequestInfo *info, CaProblem *problem, CaRequest *r)
{
        _cleanup_(extensions_freep) STACK_OF(X509_EXTENSION) *list = NULL;
        ASN1_TYPE *value;
        int result = find_extensions(info, problem, &value);

        if (result || !value)
                return result;
        list = ASN1_item_unpack(value->value.sequence, ASN1_ITEM_rptr(X509_EXTENSIONS));
        if (!list)
                return ca_refuse(problem, "the extensions are not well-formed");
        for (int i = 0; !result && i < sk_X509_EXTENSION_num(list); i++)
                result = is_repeated(list, i) ? ca_refuse(problem, "an extension is there twice")
                                              : take_extension(sk_X509_EXTENSION_value(list, i), problem, r);
        return result;
}

/* ---- the whole ---- */

/* All of it, or NULL. */
static void *parse_whole(const ASN1_ITEM *item, Bytes der)
{
        const uint8_t *p = der.data;
        ASN1_VALUE *value = ASN1_item_d2i(NULL, &p, (long)der.len, item);

        if (value && p == der.data + der.len)
                return value;
        ASN1_item_free(value, item);
        return NULL;
}

/* Nothing that is encrypted is a request. */
static int no_passphrase(char *text, int size, int writes, void *userdata)
{
        (void)text, (void)size, (void)writes, (void)userdata;
        return -1;
}

static SignedRequest *parse(Bytes text)
{
        _cleanup_(bytes_freep) uint8_t *der = NULL;
        _cleanup_(bio_freep) BIO *bio = NULL;
        long len;

        if (text.len && text.data[0] == 0x30)
                return parse_whole(ASN1_ITEM_rptr(SignedRequest), text);
        bio = BIO_new_mem_buf(text.data, (int)text.len);
        if (!bio || !PEM_bytes_read_bio(&der, &len, NULL, PEM_STRING_X509_REQ, bio, no_passphrase, NULL))
                return NULL;
        return parse_whole(ASN1_ITEM_rptr(SignedRequest), BYTES(der, (size_t)len));
}

static Bytes raw(const ASN1_TYPE *value)
{
        if (value->type != V_ASN1_SEQUENCE)
                return BYTES_NULL;
        return BYTES(value->value.sequence->data, (size_t)value->value.sequence->length);
}

/* RSASSA-PSS and Ed25519 say theirs elsewhere, or have none to choose. */
static bool is_weakly_signed(const X509_ALGOR *algorithm)
{
        int digest = NID_undef;
        const EVP_MD *md;

        if (!OBJ_find_sigid_algs(OBJ_obj2nid(algorithm->algorithm), &digest, NULL) || digest == NID_undef)
                return false;
        md = EVP_get_digestbynid(digest);
        return !md || EVP_MD_get_size(md) < 28;
}

static int fill(const SignedRequest *s, const RequestInfo *info, CaProblem *problem, CaRequest *r)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        int result;

        /* The key first: nothing is computed with one that is not above the floor. */
        result = take_spki(raw(info->key), problem, r, &pkey);
        if (!result && is_weakly_signed(s->algorithm))
                result = ca_refuse(problem, "its signature is by a digest that is weak, as MD5 and SHA-1 are");
        if (!result && ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), s->algorithm, s->signature, s->info, pkey) != 1)
                result = ca_refuse(problem, "its signature does not prove that its maker has the key");
        if (!result)
                result = take_subject(info->subject, problem, r);
        return result ? result : take_extensions(info, problem, r);
}

int ca_request_read(Bytes text, CaProblem *problem, CaRequest **ret)
{
        _cleanup_(ca_request_freep) CaRequest *r = NULL;
        _cleanup_(signed_freep) SignedRequest *s = NULL;
        _cleanup_(info_freep) RequestInfo *info = NULL;
        int result;

        if (text.len > ALLOWED_SIZE_PEM)
                return HF_E_MESSAGE_TOO_LARGE;
        s = parse(text);
        if (s)
                info = parse_whole(ASN1_ITEM_rptr(RequestInfo), raw(s->info));
        ERR_clear_error();
        if (!info)
                return ca_refuse(problem, "this is no certificate signing request, in DER or PEM");
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->spki = BUFFER_INIT(SPKI_MAX);
        result = fill(s, info, problem, r);
        ERR_clear_error();
        if (!result)
                *ret = TAKE_PTR(r);
        return result;
}

static void x509_freep(X509 **x)
{
        X509_free(*x);
}

static int take_key_of(X509 *x, CaProblem *problem, CaRequest *r)
{
        _cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(bytes_freep) uint8_t *der = NULL;
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

        return n > 0 ? take_spki(BYTES(der, (size_t)n), problem, r, &pkey) : ca_refuse(problem, "the key is not well-formed");
}

static int fill_from(X509 *x, CaProblem *problem, CaRequest *r)
{
        int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
        int result = take_key_of(x, problem, r);

        if (!result)
                result = take_subject(X509_get_subject_name(x), problem, r);
        if (!result && at >= 0)
                result = take_names(X509_get_ext(x, at), problem, r);
        description_read(x, &r->description);
        r->ours = true;
        return result;
}

int ca_request_from_certificate(Bytes der, CaProblem *problem, CaRequest **ret)
{
        _cleanup_(ca_request_freep) CaRequest *r = NULL;
        _cleanup_(x509_freep) X509 *x = NULL;
        const uint8_t *p = der.data;
        int result;

        x = der.len <= CSR_MAX ? d2i_X509(NULL, &p, (long)der.len) : NULL;
        ERR_clear_error();
        if (!x || p != der.data + der.len)
                return ca_refuse(problem, "this is no certificate");
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->spki = BUFFER_INIT(SPKI_MAX);
        result = fill_from(x, problem, r);
        ERR_clear_error();
        if (!result)
                *ret = TAKE_PTR(r);
        return result;
}

bool ca_request_is_ours(const CaRequest *r)
{
        return r->ours;
}

CaDevice ca_request_device(const CaRequest *r)
{
        return (CaDevice){.type = r->description.type, .hardware = r->description.hardware, .firmware = r->description.firmware};
}
