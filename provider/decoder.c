/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decoders: PEM to DER, and DER to a key. Each tells OpenSSL "nothing of mine" for what is none, having read one block
 * at most, so that a certificate before or behind the reference finds its own decoder.
 */
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <string.h>

#include "base/cleanup.h"
#include "provider/reference.h"

#define STRUCTURE "HoldfastKeyReference"

static void bio_freep(BIO **b)
{
        BIO_free(*b);
}

static void *decoder_new(void *provctx)
{
        return provctx;
}

static void decoder_free(void *ctx)
{
        (void)ctx;
}

static int decode_pem(void *ctx, OSSL_CORE_BIO *cin, int selection, OSSL_CALLBACK *found, void *found_arg,
                OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
        Provider *p = ctx;
        _cleanup_(bio_freep) BIO *in = BIO_new_from_core_bio(p->libctx, cin);
        _cleanup_(key_unrefp) Key *k = NULL;
        uint8_t *der = NULL;
        size_t len = 0;
        int r;

        (void)selection, (void)ask, (void)ask_arg;
        if (!in || !reference_read_pem(in, &der, &len))
                return 1;
        k = reference_parse(p, der, len);
        if (!k) {
                r = provider_fail(p, HF_ERROR_INVALID_ARGS, "This key reference is damaged, of a newer Holdfast, or of a "
                                                            "kind of key that OpenSSL does not use here (x25519). Print it "
                                                            "again: holdfast key reference NAME.");
        } else {
                OSSL_PARAM params[] = {
                                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)k->type, 0),
                                OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, (char *)STRUCTURE, 0),
                                OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, len),
                                OSSL_PARAM_construct_end(),
                };

                r = found(params, found_arg);
        }
        OPENSSL_free(der);
        return r;
}

/* All there is, if that is not more than a reference can be. */
static bool read_der(Provider *p, OSSL_CORE_BIO *cin, uint8_t *buf, size_t *ret_len)
{
        _cleanup_(bio_freep) BIO *in = BIO_new_from_core_bio(p->libctx, cin);
        size_t len = 0, got;

        if (!in)
                return false;
        while (len <= HF_REFERENCE_MAX && BIO_read_ex(in, buf + len, HF_REFERENCE_MAX + 1 - len, &got) == 1)
                len += got;
        *ret_len = len;
        return len > 0 && len <= HF_REFERENCE_MAX;
}

static int decode_der(Provider *p, const char *type, OSSL_CORE_BIO *cin, OSSL_CALLBACK *found, void *found_arg)
{
        uint8_t der[HF_REFERENCE_MAX + 1];
        _cleanup_(key_unrefp) Key *k = NULL;
        int kind = OSSL_OBJECT_PKEY;
        size_t len;

        if (!read_der(p, cin, der, &len))
                return 1;
        k = reference_parse(p, der, len);
        if (!k || strcmp(k->type, type) != 0)
                return 1;
        /* whoever loads the reference takes the key and leaves NULL */
        return found((OSSL_PARAM[]){OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &kind),
                                     OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)type, 0),
                                     OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &k, sizeof(k)),
                                     OSSL_PARAM_construct_end()},
                        found_arg);
}

#define DECODER_OF(suffix, type)                                                                                             \
        static int decode_##suffix(void *ctx, OSSL_CORE_BIO *cin, int selection, OSSL_CALLBACK *found, void *found_arg,      \
                        OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)                                                        \
        {                                                                                                                    \
                (void)selection, (void)ask, (void)ask_arg;                                                                   \
                return decode_der(ctx, type, cin, found, found_arg);                                                         \
        }                                                                                                                    \
        DECODER_TABLE(suffix)

#define DECODER_TABLE(suffix)                                                                                                \
        static const OSSL_DISPATCH dispatch_##suffix[] = {                                                                   \
                        DISPATCH(OSSL_FUNC_DECODER_NEWCTX, decoder_new),                                                     \
                        DISPATCH(OSSL_FUNC_DECODER_FREECTX, decoder_free),                                                   \
                        DISPATCH(OSSL_FUNC_DECODER_DECODE, decode_##suffix),                                                 \
                        DISPATCH_END,                                                                                        \
        };

DECODER_TABLE(pem)
DECODER_OF(ec, "EC")
DECODER_OF(rsa, "RSA")
DECODER_OF(rsa_pss, "RSA-PSS")
DECODER_OF(ed25519, "ED25519")

#define FROM_DER "provider=holdfast,input=der,structure=" STRUCTURE

const OSSL_ALGORITHM provider_decoder[] = {
                {"DER", "provider=holdfast,input=pem", dispatch_pem, "key reference, PEM"},
                {"EC:id-ecPublicKey:1.2.840.10045.2.1", FROM_DER, dispatch_ec, "key reference, EC"},
                {"RSA:rsaEncryption:1.2.840.113549.1.1.1", FROM_DER, dispatch_rsa, "key reference, RSA"},
                {"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", FROM_DER, dispatch_rsa_pss, "key reference, RSA-PSS"},
                {"ED25519:1.3.101.112", FROM_DER, dispatch_ed25519, "key reference, Ed25519"},
                {NULL, NULL, NULL, NULL},
};
