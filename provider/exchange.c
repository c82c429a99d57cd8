/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ECDH. Foreign keys are the default provider's. Of a key of ours the bare secret never leaves Holdfast, so it derives
 * only together with a key derivation, HKDF with SHA-256 (kdf-type HKDF, kdf-outlen, salt, info), which is done there;
 * without one it is refused by name.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "provider/ask.h"

#define DERIVED_MAX 256
#define EXTRA_MAX 1024 /* salt, info */
#define NEEDS_KDF                                                                                                            \
        "The bare secret of a key in Holdfast does not leave it. Derive with kdf-type HKDF, kdf-digest SHA256 and "          \
        "kdf-outlen of 1 to 256. Nothing was derived."

typedef struct Extra {
        size_t len;
        uint8_t data[EXTRA_MAX];
} Extra;

typedef struct Exchange {
        Provider *provider;
        Key *key, *peer;
        EVP_PKEY_CTX *beneath; /* foreign keys */
        bool hkdf, sha256;     /* ours, from here on */
        size_t len;
        Extra salt, info;
} Exchange;

static void *exchange_new(void *provctx)
{
        Exchange *x = calloc(1, sizeof(*x));

        if (x)
                x->provider = provctx;
        return x;
}

static void exchange_free(void *ctx)
{
        Exchange *x = ctx;

        EVP_PKEY_CTX_free(x->beneath);
        key_unref(x->key);
        key_unref(x->peer);
        free(x);
}

static void *exchange_dup(void *ctx)
{
        const Exchange *from = ctx;
        Exchange *x = malloc(sizeof(*x));

        if (!x)
                return NULL;
        *x = *from;
        x->key = from->key ? key_ref(from->key) : NULL;
        x->peer = from->peer ? key_ref(from->peer) : NULL;
        x->beneath = from->beneath ? EVP_PKEY_CTX_dup(from->beneath) : NULL;
        if (!from->beneath == !x->beneath)
                return x;
        exchange_free(x);
        return NULL;
}

static bool take_extra(const OSSL_PARAM params[], const char *name, Extra *e)
{
        const OSSL_PARAM *q = OSSL_PARAM_locate_const(params, name);
        void *at = e->data;

        return !q || OSSL_PARAM_get_octet_string(q, &at, sizeof(e->data), &e->len) == 1;
}

/* A text parameter that is there becomes whether it is one of these. */
static bool take_name(const OSSL_PARAM params[], const char *name, const char *one, const char *other, bool *ret)
{
        const OSSL_PARAM *q = OSSL_PARAM_locate_const(params, name);
        const char *text = NULL;

        if (!q)
                return true;
        if (OSSL_PARAM_get_utf8_string_ptr(q, &text) != 1)
                return false;
        *ret = OPENSSL_strcasecmp(text, one) == 0 || OPENSSL_strcasecmp(text, other) == 0;
        return true;
}

static int set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
        Exchange *x = ctx;
        const OSSL_PARAM *q;

        if (!params)
                return 1;
        if (x->beneath)
                return EVP_PKEY_CTX_set_params(x->beneath, params) == 1;
        q = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
        return (!q || OSSL_PARAM_get_size_t(q, &x->len) == 1) &&
                        take_name(params, OSSL_EXCHANGE_PARAM_KDF_TYPE, "HKDF", OSSL_KDF_NAME_HKDF, &x->hkdf) &&
                        take_name(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST, "SHA256", "SHA2-256", &x->sha256) &&
                        take_extra(params, OSSL_KDF_PARAM_SALT, &x->salt) && take_extra(params, OSSL_KDF_PARAM_INFO, &x->info);
}

static int exchange_init(void *ctx, void *key, const OSSL_PARAM params[])
{
        Exchange *x = ctx;
        Key *k = key;

        if (!k->pkey)
                return 0;
        EVP_PKEY_CTX_free(x->beneath);
        key_unref(x->key);
        key_unref(x->peer);
        *x = (Exchange){.provider = x->provider, .key = key_ref(k), .sha256 = true};
        if (k->ours)
                return set_ctx_params(x, params);
        x->beneath = EVP_PKEY_CTX_new_from_pkey(x->provider->libctx, k->pkey, NULL);
        return x->beneath && EVP_PKEY_derive_init_ex(x->beneath, params) == 1;
}

static int exchange_set_peer(void *ctx, void *key)
{
        Exchange *x = ctx;
        Key *peer = key;

        if (!peer->pkey)
                return 0;
        if (x->beneath)
                return EVP_PKEY_derive_set_peer(x->beneath, peer->pkey) == 1;
        key_unref(x->peer);
        x->peer = key_ref(peer);
        return 1;
}

static const HfSpan *span_of(const Extra *e, HfSpan *ret)
{
        *ret = (HfSpan){e->data, e->len};
        return e->len > 0 ? ret : NULL;
}

static int derive(void *ctx, uint8_t *secret, size_t *secret_len, size_t room)
{
        Exchange *x = ctx;
        uint8_t *spki = NULL;
        HfSpan salt, info;
        int len, r;

        if (x->beneath) {
                *secret_len = room;
                return EVP_PKEY_derive(x->beneath, secret, secret_len) == 1;
        }
        if (!x->peer)
                return 0;
        if (!x->hkdf || !x->sha256 || x->len == 0 || x->len > DERIVED_MAX || (secret && room < x->len))
                return provider_fail(x->provider, HF_ERROR_SCHEME_NOT_SUPPORTED, NEEDS_KDF);
        *secret_len = x->len;
        if (!secret)
                return 1;
        len = i2d_PUBKEY(x->peer->pkey, &spki);
        r = len > 0 && ask_agree(x->key, (HfSpan){spki, (size_t)len}, span_of(&x->salt, &salt), span_of(&x->info, &info),
                                       secret, x->len);
        OPENSSL_free(spki);
        return r;
}

static int get_ctx_params(void *ctx, OSSL_PARAM params[])
{
        const Exchange *x = ctx;

        return !x->beneath || EVP_PKEY_CTX_get_params(x->beneath, params) == 1;
}

static const OSSL_PARAM *settable_ctx_params(void *ctx, void *provctx)
{
        static const OSSL_PARAM table[] = {
                        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
                        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
                        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
                        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, NULL, 0),
                        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, NULL, 0),
                        OSSL_PARAM_END,
        };
        const Exchange *x = ctx;

        (void)provctx;
        return x && x->beneath ? EVP_PKEY_CTX_settable_params(x->beneath) : table;
}

static const OSSL_PARAM *gettable_ctx_params(void *ctx, void *provctx)
{
        static const OSSL_PARAM none[] = {OSSL_PARAM_END};
        const Exchange *x = ctx;

        (void)provctx;
        return x && x->beneath ? EVP_PKEY_CTX_gettable_params(x->beneath) : none;
}

static const OSSL_DISPATCH dispatch[] = {
                DISPATCH(OSSL_FUNC_KEYEXCH_NEWCTX, exchange_new),
                DISPATCH(OSSL_FUNC_KEYEXCH_FREECTX, exchange_free),
                DISPATCH(OSSL_FUNC_KEYEXCH_DUPCTX, exchange_dup),
                DISPATCH(OSSL_FUNC_KEYEXCH_INIT, exchange_init),
                DISPATCH(OSSL_FUNC_KEYEXCH_SET_PEER, exchange_set_peer),
                DISPATCH(OSSL_FUNC_KEYEXCH_DERIVE, derive),
                DISPATCH(OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, set_ctx_params),
                DISPATCH(OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS, settable_ctx_params),
                DISPATCH(OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, get_ctx_params),
                DISPATCH(OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS, gettable_ctx_params),
                DISPATCH_END,
};

const OSSL_ALGORITHM provider_exchange[] = {
                {"ECDH", "provider=holdfast", dispatch, "ECDH and HKDF with a key in Holdfast"},
                {NULL, NULL, NULL, NULL},
};
