/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RSA encryption and decryption. Beneath each context is one of the default provider. For a key of ours it is one that
 * encrypts, also while we decrypt: it takes and checks the parameters, and what they come to is asked of Holdfast, which
 * knows OAEP with SHA-256 and no other padding.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "base/cleanup.h"
#include "provider/ask.h"

#define ONLY_OAEP                                                                                                            \
        "A key in Holdfast decrypts RSA-OAEP with SHA-256 and nothing else (rsa_padding_mode:oaep, rsa_oaep_md:sha256). "    \
        "Nothing was decrypted."

typedef struct Cipher {
        Provider *provider;
        Key *key;
        bool asks;             /* decryption goes to Holdfast */
        EVP_PKEY_CTX *beneath; /* NULL: not begun */
} Cipher;

static void *cipher_new(void *provctx)
{
        Cipher *c = calloc(1, sizeof(*c));

        if (c)
                c->provider = provctx;
        return c;
}

static void cipher_free(void *ctx)
{
        Cipher *c = ctx;

        EVP_PKEY_CTX_free(c->beneath);
        key_unref(c->key);
        free(c);
}

static void *cipher_dup(void *ctx)
{
        const Cipher *from = ctx;
        Cipher *c = cipher_new(from->provider);

        if (!c)
                return NULL;
        c->key = from->key ? key_ref(from->key) : NULL;
        c->asks = from->asks;
        if (from->beneath && !(c->beneath = EVP_PKEY_CTX_dup(from->beneath))) {
                cipher_free(c);
                return NULL;
        }
        return c;
}

static bool begin(Cipher *c, Key *k, bool decrypts)
{
        if (!k->pkey)
                return false;
        key_ref(k);
        key_unref(c->key);
        c->key = k;
        c->asks = decrypts && k->ours;
        EVP_PKEY_CTX_free(c->beneath);
        c->beneath = EVP_PKEY_CTX_new_from_pkey(c->provider->libctx, k->pkey, NULL);
        return c->beneath != NULL;
}

static int encrypt_init(void *ctx, void *key, const OSSL_PARAM params[])
{
        Cipher *c = ctx;

        return begin(c, key, false) && EVP_PKEY_encrypt_init_ex(c->beneath, params) == 1;
}

static int encrypt(void *ctx, uint8_t *out, size_t *out_len, size_t room, const uint8_t *in, size_t in_len)
{
        *out_len = room;
        return EVP_PKEY_encrypt(((Cipher *)ctx)->beneath, out, out_len, in, in_len) == 1;
}

static int decrypt_init(void *ctx, void *key, const OSSL_PARAM params[])
{
        Cipher *c = ctx;

        if (!begin(c, key, true))
                return 0;
        return c->asks ? EVP_PKEY_encrypt_init_ex(c->beneath, params) == 1 : EVP_PKEY_decrypt_init_ex(c->beneath, params) == 1;
}

static bool is_oaep_with_sha256(const Cipher *c, HfSpan *ret_label)
{
        int padding = 0;
        char digest[32] = "", mask[32] = "";
        void *label = NULL;
        OSSL_PARAM params[] = {
                        OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &padding),
                        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, digest, sizeof(digest)),
                        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, mask, sizeof(mask)),
                        OSSL_PARAM_construct_octet_ptr(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, &label, 0),
                        OSSL_PARAM_construct_end(),
        };
        EVP_MD *md, *mgf;
        bool is;

        if (EVP_PKEY_CTX_get_params(c->beneath, params) != 1 || padding != RSA_PKCS1_OAEP_PADDING)
                return false;
        md = EVP_MD_fetch(c->provider->libctx, digest, NULL);
        mgf = EVP_MD_fetch(c->provider->libctx, mask, NULL);
        is = md && mgf && EVP_MD_is_a(md, "SHA2-256") && EVP_MD_is_a(mgf, "SHA2-256");
        EVP_MD_free(md);
        EVP_MD_free(mgf);
        *ret_label = (HfSpan){label, label && OSSL_PARAM_modified(&params[3]) ? params[3].return_size : 0};
        return is;
}

static int decrypt(void *ctx, uint8_t *out, size_t *out_len, size_t room, const uint8_t *in, size_t in_len)
{
        Cipher *c = ctx;
        HfSpan label = {};

        if (!c->asks) {
                *out_len = room;
                return EVP_PKEY_decrypt(c->beneath, out, out_len, in, in_len) == 1;
        }
        if (!is_oaep_with_sha256(c, &label))
                return provider_fail(c->provider, HF_ERROR_SCHEME_NOT_SUPPORTED, ONLY_OAEP);
        if (!out) {
                *out_len = (size_t)EVP_PKEY_get_size(c->key->pkey);
                return 1;
        }
        return ask_decrypt(c->key, (HfSpan){in, in_len}, label.len > 0 ? &label : NULL, out, out_len, room);
}

static int set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
        const Cipher *c = ctx;

        return !params || (c->beneath && EVP_PKEY_CTX_set_params(c->beneath, params) == 1);
}

static int get_ctx_params(void *ctx, OSSL_PARAM params[])
{
        const Cipher *c = ctx;

        return c->beneath && EVP_PKEY_CTX_get_params(c->beneath, params) == 1;
}

static const OSSL_PARAM *settable_ctx_params(void *ctx, void *provctx)
{
        const Cipher *c = ctx;

        (void)provctx;
        return c && c->beneath ? EVP_PKEY_CTX_settable_params(c->beneath) : NULL;
}

static const OSSL_PARAM *gettable_ctx_params(void *ctx, void *provctx)
{
        const Cipher *c = ctx;

        (void)provctx;
        return c && c->beneath ? EVP_PKEY_CTX_gettable_params(c->beneath) : NULL;
}

static const OSSL_DISPATCH dispatch[] = {
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_NEWCTX, cipher_new),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_FREECTX, cipher_free),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_DUPCTX, cipher_dup),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, encrypt_init),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_ENCRYPT, encrypt),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, decrypt_init),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_DECRYPT, decrypt),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, set_ctx_params),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, settable_ctx_params),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS, get_ctx_params),
                DISPATCH(OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS, gettable_ctx_params),
                DISPATCH_END,
};

const OSSL_ALGORITHM provider_cipher[] = {
                {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=holdfast", dispatch, "RSA-OAEP with a key in Holdfast"},
                {NULL, NULL, NULL, NULL},
};
