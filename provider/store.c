/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store "holdfast:NAME": asks for the key's reference and loads it. */
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "provider/reference.h"

#define SCHEME "holdfast:"

typedef struct Store {
        Provider *provider;
        HfKey *key;
        bool done;
} Store;

static void *store_open(void *provctx, const char *uri)
{
        Provider *p = provctx;
        Store *s;
        int r;

        if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
                return NULL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        s->provider = p;
        r = hf_key_open(NULL, uri + strlen(SCHEME), &s->key);
        if (r) {
                provider_fail(p, r, hf_error_sentence());
                free(s);
                return NULL;
        }
        return s;
}

static Key *ask_for_key(Store *s)
{
        char text[HF_REFERENCE_MAX];
        size_t len = sizeof(text), der_len;
        uint8_t *der = NULL;
        Key *k = NULL;
        BIO *in;
        int r;

        r = hf_key_reference(s->key, text, &len);
        if (r) {
                provider_fail(s->provider, r, hf_error_sentence());
                return NULL;
        }
        in = BIO_new_mem_buf(text, (int)len);
        if (in && reference_read_pem(in, &der, &der_len))
                k = reference_parse(s->provider, der, der_len);
        BIO_free(in);
        OPENSSL_free(der);
        if (!k)
                provider_fail(s->provider, HF_ERROR_ALGORITHM_NOT_SUPPORTED, NULL);
        return k;
}

static int store_load(void *ctx, OSSL_CALLBACK *found, void *found_arg, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
        Store *s = ctx;
        _cleanup_(key_unrefp) Key *k = NULL;
        int kind = OSSL_OBJECT_PKEY;

        (void)ask, (void)ask_arg;
        if (s->done)
                return 0;
        s->done = true;
        k = ask_for_key(s);
        if (!k)
                return 0;
        /* whoever loads the reference takes the key and leaves NULL */
        return found((OSSL_PARAM[]){OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &kind),
                                     OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)k->type, 0),
                                     OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &k, sizeof(k)),
                                     OSSL_PARAM_construct_end()},
                        found_arg);
}

static int store_eof(void *ctx)
{
        return ((Store *)ctx)->done;
}

static int store_close(void *ctx)
{
        Store *s = ctx;

        hf_key_close(s->key);
        free(s);
        return 1;
}

static const OSSL_PARAM *store_settable(void *provctx)
{
        static const OSSL_PARAM table[] = {OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL), OSSL_PARAM_END};

        (void)provctx;
        return table;
}

/* Where something else than a key is expected, there is nothing here. */
static int store_set_params(void *ctx, const OSSL_PARAM params[])
{
        const OSSL_PARAM *q = params ? OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT) : NULL;
        int expected = 0;

        if (!q)
                return 1;
        if (!OSSL_PARAM_get_int(q, &expected))
                return 0;
        if (expected != 0 && expected != OSSL_STORE_INFO_PKEY && expected != OSSL_STORE_INFO_PUBKEY)
                ((Store *)ctx)->done = true;
        return 1;
}

static const OSSL_DISPATCH dispatch[] = {
                DISPATCH(OSSL_FUNC_STORE_OPEN, store_open),
                DISPATCH(OSSL_FUNC_STORE_LOAD, store_load),
                DISPATCH(OSSL_FUNC_STORE_EOF, store_eof),
                DISPATCH(OSSL_FUNC_STORE_CLOSE, store_close),
                DISPATCH(OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, store_settable),
                DISPATCH(OSSL_FUNC_STORE_SET_CTX_PARAMS, store_set_params),
                DISPATCH_END,
};

const OSSL_ALGORITHM provider_store[] = {
                {"holdfast", "provider=holdfast", dispatch, "holdfast:NAME"},
                {NULL, NULL, NULL, NULL},
};
