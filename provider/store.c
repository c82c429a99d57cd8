/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "holdfast:NAME": the key, asked of the daemon, then the certificates of the identity NAME, from its directory
 * (fullchain.pem: the leaf first). Where a program expects one of the two, the other is not looked for.
 */
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include "base/cleanup.h"
#include "provider/ask.h"

#define SCHEME "holdfast:"
#define DIRECTORY_ENV "HOLDFAST_TLS"
#define DIRECTORY "/run/holdfast/tls"
#define CHAIN_MAX 16 /* certificates */

typedef struct Store {
        Provider *provider;
        bool wants_key, wants_chain;
        BIO *chain; /* NULL: not opened, or there is none */
        unsigned n_read;
        char name[KEY_NAME_SIZE];
} Store;

static void *store_open(void *provctx, const char *uri)
{
        Provider *p = provctx;
        HfKey *key;
        Store *s;
        int r;

        if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
                return NULL;
        uri += strlen(SCHEME);
        r = hf_key_open(NULL, uri, &key); /* is it a name at all? */
        if (r) {
                provider_fail(p, r, hf_error_sentence());
                return NULL;
        }
        hf_key_close(key);
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        s->provider = p;
        s->wants_key = s->wants_chain = true;
        snprintf(s->name, sizeof(s->name), "%s", uri);
        return s;
}

static int load_key(Store *s, OSSL_CALLBACK *found, void *found_arg)
{
        _cleanup_(key_unrefp) Key *k = ask_for_key(s->provider, s->name);
        int kind = OSSL_OBJECT_PKEY;

        if (!k)
                return 0;
        /* whoever loads the reference takes the key and leaves NULL */
        return found((OSSL_PARAM[]){OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &kind),
                                     OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)k->type, 0),
                                     OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &k, sizeof(k)),
                                     OSSL_PARAM_construct_end()},
                        found_arg);
}

static void open_chain(Store *s)
{
        const char *directory = secure_getenv(DIRECTORY_ENV);
        char path[4096];
        int n = snprintf(path, sizeof(path), "%s/%s/fullchain.pem", directory ? directory : DIRECTORY, s->name);

        if (n < 0 || (size_t)n >= sizeof(path))
                return;
        ERR_set_mark();
        s->chain = BIO_new_file(path, "r");
        ERR_pop_to_mark(); /* an identity that has no certificates yet is no failure */
}

static int load_certificate(Store *s, OSSL_CALLBACK *found, void *found_arg)
{
        int kind = OSSL_OBJECT_CERT, r;
        uint8_t *der = NULL;
        long len = 0;

        ERR_set_mark();
        r = s->chain && s->n_read++ < CHAIN_MAX &&
                        PEM_bytes_read_bio(&der, &len, NULL, PEM_STRING_X509, s->chain, NULL, NULL) == 1;
        ERR_pop_to_mark();
        if (!r) {
                s->wants_chain = false;
                return 0;
        }
        r = found((OSSL_PARAM[]){OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &kind),
                                  OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, (size_t)len),
                                  OSSL_PARAM_construct_end()},
                        found_arg);
        OPENSSL_free(der);
        return r;
}

static int store_load(void *ctx, OSSL_CALLBACK *found, void *found_arg, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
        Store *s = ctx;

        (void)ask, (void)ask_arg;
        if (s->wants_key) {
                s->wants_key = false;
                return load_key(s, found, found_arg);
        }
        if (!s->wants_chain)
                return 0;
        if (!s->chain)
                open_chain(s);
        return load_certificate(s, found, found_arg);
}

static int store_eof(void *ctx)
{
        const Store *s = ctx;

        return !s->wants_key && !s->wants_chain;
}

static int store_close(void *ctx)
{
        Store *s = ctx;

        BIO_free(s->chain);
        free(s);
        return 1;
}

static const OSSL_PARAM *store_settable(void *provctx)
{
        static const OSSL_PARAM table[] = {OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL), OSSL_PARAM_END};

        (void)provctx;
        return table;
}

static int store_set_params(void *ctx, const OSSL_PARAM params[])
{
        Store *s = ctx;
        const OSSL_PARAM *q = params ? OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT) : NULL;
        int expected = 0;

        if (!q)
                return 1;
        if (!OSSL_PARAM_get_int(q, &expected))
                return 0;
        s->wants_key = expected == 0 || expected == OSSL_STORE_INFO_PKEY || expected == OSSL_STORE_INFO_PUBKEY;
        s->wants_chain = expected == 0 || expected == OSSL_STORE_INFO_CERT;
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
