/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key references, read strictly: what is not the canonical form is none. */
#include "provider/reference.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/cleanup.h"

#define DESCRIPTION "Holdfast Key Reference v1"

typedef struct Reference {
        ASN1_VISIBLESTRING *description;
        ASN1_UTF8STRING *uuid;
        ASN1_BOOLEAN digest;
        ASN1_OCTET_STRING *spki;
} Reference;

ASN1_SEQUENCE(Reference) = {
                ASN1_SIMPLE(Reference, description, ASN1_VISIBLESTRING),
                ASN1_SIMPLE(Reference, uuid, ASN1_UTF8STRING),
                ASN1_OPT(Reference, digest, ASN1_FBOOLEAN),
                ASN1_SIMPLE(Reference, spki, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(Reference)

static void reference_freep(Reference **r)
{
        ASN1_item_free((ASN1_VALUE *)*r, ASN1_ITEM_rptr(Reference));
}

static bool text_is(const ASN1_STRING *s, const char *text)
{
        return (size_t)ASN1_STRING_length(s) == strlen(text) && memcmp(ASN1_STRING_get0_data(s), text, strlen(text)) == 0;
}

/* Lower-case digits in groups of 8, 4, 4, 4 and 12: one key has one reference. */
static bool uuid_is_canonical(const ASN1_STRING *s)
{
        const char *text = (const char *)ASN1_STRING_get0_data(s);
        bool good = ASN1_STRING_length(s) == KEY_UUID_SIZE - 1;

        for (size_t i = 0; good && i < KEY_UUID_SIZE - 1; i++) {
                bool between = i == 8 || i == 13 || i == 18 || i == 23;

                good = text[i] && strchr(between ? "-" : "0123456789abcdef", text[i]);
        }
        return good;
}

static const char *type_of(const EVP_PKEY *pkey)
{
        static const char *const types[] = {"EC", "RSA", "RSA-PSS", "ED25519"};

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (EVP_PKEY_is_a(pkey, types[i]))
                        return types[i];
        return NULL;
}

static Key *key_of(Provider *p, const Reference *r)
{
        const uint8_t *at = ASN1_STRING_get0_data(r->spki), *end = at + ASN1_STRING_length(r->spki);
        EVP_PKEY *pkey = d2i_PUBKEY_ex(NULL, &at, end - at, p->libctx, NULL);
        const char *type = pkey && at == end ? type_of(pkey) : NULL;
        Key *k = type ? key_new(p, type) : NULL;

        if (!k) {
                EVP_PKEY_free(pkey);
                return NULL;
        }
        key_set(k, pkey);
        k->ours = true;
        k->has_private = true; /* for whom Holdfast lets use it */
        k->digest = r->digest;
        memcpy(k->uuid, ASN1_STRING_get0_data(r->uuid), KEY_UUID_SIZE - 1);
        return k;
}

Key *reference_parse(Provider *p, const uint8_t *der, size_t len)
{
        _cleanup_(reference_freep) Reference *r = NULL;
        const uint8_t *at = der;
        Key *k = NULL;

        ERR_set_mark();
        if (len <= HF_REFERENCE_MAX)
                r = (Reference *)ASN1_item_d2i(NULL, &at, (long)len, ASN1_ITEM_rptr(Reference));
        if (r && at == der + len && text_is(r->description, DESCRIPTION) && uuid_is_canonical(r->uuid))
                k = key_of(p, r);
        ERR_pop_to_mark();
        return k;
}

bool reference_read_pem(BIO *in, uint8_t **ret, size_t *ret_len)
{
        char *label = NULL, *header = NULL;
        uint8_t *data = NULL;
        long len = 0;
        bool ours;

        ERR_set_mark();
        ours = PEM_read_bio(in, &label, &header, &data, &len) == 1 && strcmp(label, REFERENCE_LABEL) == 0;
        ERR_pop_to_mark();
        OPENSSL_free(label);
        OPENSSL_free(header);
        if (!ours) {
                OPENSSL_clear_free(data, (size_t)len); /* it may be somebody's key */
                return false;
        }
        *ret = data;
        *ret_len = (size_t)len;
        return true;
}
