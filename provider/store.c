/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "holdfast:NAME": of an identity NAME its certificates (the leaf first) and its key, from bundle.pem in its
 * directory, read at once, so that the two belong together; no daemon is asked. Where there is no such identity it is the
 * key NAME, asked of the daemon. A program that expects one kind of object gets that kind.
 */
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "provider/ask.h"
#include "provider/reference.h"

#define SCHEME "holdfast:"
#define DIRECTORY_ENV "HOLDFAST_TLS"
#define DIRECTORY "/run/holdfast/tls"
#define BUNDLE_MAX (64 * 1024) /* bytes; more is none */

typedef struct Store {
        Provider *provider;
        bool opened, wants_key, wants_certificates, at_end;
        BIO *bundle; /* NULL: no such identity */
        char name[KEY_NAME_SIZE];
} Store;

/* What is behind a label of PEM. */
typedef struct Block {
        char *label, *header;
        uint8_t *data;
        long len;
} Block;

static void block_clear(Block *b)
{
        OPENSSL_free(b->label);
        OPENSSL_free(b->header);
        OPENSSL_clear_free(b->data, (size_t)b->len);
}

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
        s->wants_key = s->wants_certificates = true;
        snprintf(s->name, sizeof(s->name), "%s", uri);
        return s;
}

/* Takes the key over. */
static int give_key(Key *key, OSSL_CALLBACK *found, void *found_arg)
{
        _cleanup_(key_unrefp) Key *k = key;
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

static int give_certificate(const Block *b, OSSL_CALLBACK *found, void *found_arg)
{
        int kind = OSSL_OBJECT_CERT;

        return found((OSSL_PARAM[]){OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &kind),
                                     OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, b->data, (size_t)b->len),
                                     OSSL_PARAM_construct_end()},
                        found_arg);
}

/* A regular file: whoever reads a pipe waits for somebody to write into it. */
static FILE *open_regular(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        FILE *f;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return NULL;
        f = fdopen(fd, "r");
        if (f)
                fd = -EBADF;
        return f;
}

/* A later generation of the identity does not show through: the file is read here, as a whole. */
static BIO *open_bundle(const char *name)
{
        const char *directory = secure_getenv(DIRECTORY_ENV);
        _cleanup_free_ char *text = NULL, *path = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        BIO *bundle = NULL;
        size_t len;

        if (asprintf(&path, "%s/%s/bundle.pem", directory && directory[0] ? directory : DIRECTORY, name) < 0)
                return NULL;
        f = open_regular(path);
        text = malloc(BUNDLE_MAX + 1);
        len = f && text ? fread(text, 1, BUNDLE_MAX + 1, f) : 0;
        if (len == 0 || len > BUNDLE_MAX)
                return NULL;
        bundle = BIO_new(BIO_s_mem());
        if (bundle)
                BIO_write(bundle, text, (int)len);
        return bundle;
}

static int load_from_bundle(Store *s, OSSL_CALLBACK *found, void *found_arg)
{
        for (;;) {
                _cleanup_(block_clear) Block b = {};

                ERR_set_mark();
                s->at_end = PEM_read_bio(s->bundle, &b.label, &b.header, &b.data, &b.len) != 1;
                ERR_pop_to_mark();
                if (s->at_end)
                        return 0;
                if (s->wants_certificates && strcmp(b.label, PEM_STRING_X509) == 0)
                        return give_certificate(&b, found, found_arg);
                if (s->wants_key && strcmp(b.label, REFERENCE_LABEL) == 0)
                        return give_key(reference_parse(s->provider, b.data, (size_t)b.len), found, found_arg);
        }
}

static int store_load(void *ctx, OSSL_CALLBACK *found, void *found_arg, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
        Store *s = ctx;

        (void)ask, (void)ask_arg;
        if (!s->opened)
                s->bundle = open_bundle(s->name);
        s->opened = true;
        if (s->bundle)
                return load_from_bundle(s, found, found_arg);
        s->at_end = true;
        return s->wants_key ? give_key(ask_for_key(s->provider, s->name), found, found_arg) : 0;
}

static int store_eof(void *ctx)
{
        return ((const Store *)ctx)->at_end;
}

static int store_close(void *ctx)
{
        Store *s = ctx;

        BIO_free(s->bundle);
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
        s->wants_certificates = expected == 0 || expected == OSSL_STORE_INFO_CERT;
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
