/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encoders. The private half of a key of ours is written as its reference, whatever cipher was asked for: it is no
 * secret. Everything else (public halves, foreign keys with their ciphers and passphrases) the default provider writes.
 */
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/reference.h"
#include "provider/generate.h"
#include "provider/reference.h"

#define PRIVATE_INFO "PrivateKeyInfo"
#define PUBLIC_INFO "SubjectPublicKeyInfo"

typedef struct Encoder {
        Provider *provider;
        char cipher[64], properties[128]; /* "": none */
} Encoder;

/* One way to write a key. */
typedef struct Form {
        const char *output, *structure;
        int selection; /* what it can write */
        bool (*reference)(const Key *k, BIO *out); /* NULL: keys of ours are no different */
} Form;

static void bio_freep(BIO **b)
{
        BIO_free(*b);
}

static void encoder_ctx_freep(OSSL_ENCODER_CTX **c)
{
        OSSL_ENCODER_CTX_free(*c);
}

static void *encoder_new(void *provctx)
{
        Encoder *e = calloc(1, sizeof(*e));

        if (e)
                e->provider = provctx;
        return e;
}

static void encoder_free(void *ctx)
{
        free(ctx);
}

static bool take_text(const OSSL_PARAM params[], const char *name, char *ret, size_t size)
{
        const OSSL_PARAM *q = OSSL_PARAM_locate_const(params, name);

        return !q || !q->data || OSSL_PARAM_get_utf8_string(q, &ret, size) == 1;
}

static int encoder_set_params(void *ctx, const OSSL_PARAM params[])
{
        Encoder *e = ctx;

        return take_text(params, OSSL_ENCODER_PARAM_CIPHER, e->cipher, sizeof(e->cipher)) &&
                        take_text(params, OSSL_ENCODER_PARAM_PROPERTIES, e->properties, sizeof(e->properties));
}

static const OSSL_PARAM *encoder_settable(void *provctx)
{
        static const OSSL_PARAM table[] = {
                        OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0),
                        OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_PROPERTIES, NULL, 0),
                        OSSL_PARAM_END,
        };

        (void)provctx;
        return table;
}

static bool reference_pem(const Key *k, Buffer *ret)
{
        uint8_t *spki = NULL;
        int len = i2d_PUBKEY(k->pkey, &spki);
        bool done = len > 0 && reference_encode(k->name[0] ? k->name : k->uuid, k->uuid, k->digest,
                                               BYTES(spki, (size_t)len), ret) == 0;

        OPENSSL_free(spki);
        return done;
}

static bool write_reference_pem(const Key *k, BIO *out)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(REFERENCE_TEXT_MAX);

        return reference_pem(k, &text) && BIO_write(out, text.data, (int)text.len) == (int)text.len;
}

static bool write_reference_der(const Key *k, BIO *out)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(REFERENCE_TEXT_MAX);
        _cleanup_(bio_freep) BIO *in = reference_pem(k, &text) ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
        uint8_t *der = NULL;
        size_t len = 0;
        bool done = in && reference_read_pem(in, &der, &len) && BIO_write(out, der, (int)len) == (int)len;

        OPENSSL_free(der);
        return done;
}

static bool write_reference_text(const Key *k, BIO *out)
{
        return BIO_printf(out, "Key in Holdfast: %s\n", k->uuid) > 0 && EVP_PKEY_print_public(out, k->pkey, 0, NULL) == 1;
}

static bool write_usual(const Encoder *e, const Key *k, const Form *f, int selection, BIO *out, OSSL_PASSPHRASE_CALLBACK *ask,
                void *ask_arg)
{
        _cleanup_(encoder_ctx_freep) OSSL_ENCODER_CTX *c =
                        OSSL_ENCODER_CTX_new_for_pkey(k->pkey, selection, f->output, f->structure, NULL);

        if (!c || (e->cipher[0] && OSSL_ENCODER_CTX_set_cipher(c, e->cipher, e->properties[0] ? e->properties : NULL) != 1))
                return false;
        if (ask && OSSL_ENCODER_CTX_set_passphrase_cb(c, ask, ask_arg) != 1)
                return false;
        return OSSL_ENCODER_to_bio(c, out) == 1;
}

static int encode(const Encoder *e, const Form *f, OSSL_CORE_BIO *cout, const Key *k, int selection,
                OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
        _cleanup_(bio_freep) BIO *out = NULL;

        if (!k || !k->pkey || !(out = BIO_new_from_core_bio(e->provider->libctx, cout)))
                return 0;
        if (k->ours && selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
                return f->reference && f->reference(k, out);
        if (k->passing && selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
                return generate_refuse(e->provider);
        return write_usual(e, k, f, selection, out, ask, ask_arg);
}

/* Of what was asked for the greatest part decides; nothing: everybody may try. */
static int selects(const Form *f, int selection)
{
        static const int parts[] = {OSSL_KEYMGMT_SELECT_PRIVATE_KEY, OSSL_KEYMGMT_SELECT_PUBLIC_KEY,
                                    OSSL_KEYMGMT_SELECT_ALL_PARAMETERS};

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (selection & parts[i])
                        return (f->selection & parts[i]) != 0;
        return 1;
}

#define ENCODER_OF(suffix, ...)                                                                                              \
        static const Form form_##suffix = {__VA_ARGS__};                                                                     \
        static int selects_##suffix(void *provctx, int selection)                                                            \
        {                                                                                                                    \
                (void)provctx;                                                                                               \
                return selects(&form_##suffix, selection);                                                                   \
        }                                                                                                                    \
        static int encode_##suffix(void *ctx, OSSL_CORE_BIO *out, const void *key, const OSSL_PARAM abstract[],              \
                        int selection, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)                                         \
        {                                                                                                                    \
                return abstract ? 0 : encode(ctx, &form_##suffix, out, key, selection, ask, ask_arg);                        \
        }                                                                                                                    \
        static const OSSL_DISPATCH dispatch_##suffix[] = {                                                                   \
                        DISPATCH(OSSL_FUNC_ENCODER_NEWCTX, encoder_new),                                                     \
                        DISPATCH(OSSL_FUNC_ENCODER_FREECTX, encoder_free),                                                   \
                        DISPATCH(OSSL_FUNC_ENCODER_SET_CTX_PARAMS, encoder_set_params),                                      \
                        DISPATCH(OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS, encoder_settable),                                   \
                        DISPATCH(OSSL_FUNC_ENCODER_DOES_SELECTION, selects_##suffix),                                        \
                        DISPATCH(OSSL_FUNC_ENCODER_ENCODE, encode_##suffix),                                                 \
                        DISPATCH_END,                                                                                        \
        };

ENCODER_OF(private_pem, "PEM", PRIVATE_INFO, EVP_PKEY_KEYPAIR, write_reference_pem)
ENCODER_OF(private_der, "DER", PRIVATE_INFO, EVP_PKEY_KEYPAIR, write_reference_der)
ENCODER_OF(public_pem, "PEM", PUBLIC_INFO, EVP_PKEY_PUBLIC_KEY, NULL)
ENCODER_OF(public_der, "DER", PUBLIC_INFO, EVP_PKEY_PUBLIC_KEY, NULL)
ENCODER_OF(text, "TEXT", NULL, EVP_PKEY_KEYPAIR, write_reference_text)

#define ROWS(names)                                                                                                          \
        {names, "provider=holdfast,output=pem,structure=" PRIVATE_INFO, dispatch_private_pem, "key reference, PEM"},         \
                        {names, "provider=holdfast,output=der,structure=" PRIVATE_INFO, dispatch_private_der,                \
                                        "key reference, DER"},                                                               \
                        {names, "provider=holdfast,output=pem,structure=" PUBLIC_INFO, dispatch_public_pem, NULL},           \
                        {names, "provider=holdfast,output=der,structure=" PUBLIC_INFO, dispatch_public_der, NULL},           \
        {                                                                                                                    \
                names, "provider=holdfast,output=text", dispatch_text, NULL                                                  \
        }

const OSSL_ALGORITHM provider_encoder[] = {
                ROWS("EC:id-ecPublicKey:1.2.840.10045.2.1"),
                ROWS("RSA:rsaEncryption:1.2.840.113549.1.1.1"),
                ROWS("RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10"),
                ROWS("ED25519:1.3.101.112"),
                {NULL, NULL, NULL, NULL},
};
