/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way to Holdfast and back: a lane, the key's name on it, the comparison at first use, the call, the error. */
#include "provider/ask.h"

#include <holdfast-admin.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "provider/pool.h"
#include "provider/reference.h"

#define MISMATCH \
        "The public key in this reference is not that of the key it names. Nothing was done with the key. Print the " \
        "reference again: holdfast key reference NAME."

DEFINE_CLEANUP(HfKey, hf_key_close)
DEFINE_CLEANUP(HfDescription, hf_description_free)

/* A key on its lane. */
typedef struct Errand {
        Lane *lane;
        HfKey *key;
} Errand;

static void errand_end(Errand *e)
{
        hf_key_close(e->key);
        if (e->lane)
                pool_give_back(e->lane);
}

static int errand_begin(Errand *e, const char *name)
{
        int r = 0;

        e->lane = pool_take(&r);
        return e->lane ? hf_key_open(lane_connection(e->lane), name, &e->key) : r;
}

static bool same_number(const EVP_PKEY *a, const EVP_PKEY *b, const char *param)
{
        BIGNUM *x = NULL, *y = NULL;
        bool same = EVP_PKEY_get_bn_param(a, param, &x) == 1 && EVP_PKEY_get_bn_param(b, param, &y) == 1 && BN_cmp(x, y) == 0;

        BN_free(x);
        BN_free(y);
        return same;
}

/* An RSA key may be called RSA-PSS outside, so there the numbers count. */
static bool has_public_half(const Key *k, HfSpan spki)
{
        const uint8_t *at = spki.data;
        EVP_PKEY *theirs = at ? d2i_PUBKEY_ex(NULL, &at, (long)spki.len, k->provider->libctx, NULL) : NULL;
        bool same = false;

        if (theirs && key_is_rsa(k))
                same = same_number(k->pkey, theirs, OSSL_PKEY_PARAM_RSA_N) && same_number(k->pkey, theirs, OSSL_PKEY_PARAM_RSA_E);
        else if (theirs)
                same = EVP_PKEY_eq(k->pkey, theirs) == 1;
        EVP_PKEY_free(theirs);
        return same;
}

/* Of a UUID there is one public half for ever, so once is enough. Two threads that come first both look. */
static int compare(Key *k, HfKey *key, const char **ret_sentence)
{
        _cleanup_(hf_description_freep) HfDescription *d = NULL;
        int r;

        if (atomic_load(&k->compared))
                return HF_OK;
        r = hf_key_describe(key, &d);
        if (r)
                return r;
        ERR_set_mark();
        if (has_public_half(k, hf_description_bytes(d, "public")))
                atomic_store(&k->compared, true);
        ERR_pop_to_mark();
        if (atomic_load(&k->compared))
                return HF_OK;
        *ret_sentence = MISMATCH;
        return HF_ERROR_KEY_MISMATCH;
}

/* One use of a key; what it needs and gives is the caller's own. */
typedef int Use(HfKey *key, void *arg);

static int ask(Key *k, Use *use, void *arg)
{
        _cleanup_(errand_end) Errand e = {};
        const char *sentence = NULL;
        int r;

        r = errand_begin(&e, k->uuid);
        if (!r)
                r = compare(k, e.key, &sentence);
        if (!r)
                r = use(e.key, arg);
        return r ? provider_fail(k->provider, r, sentence ? sentence : hf_error_sentence()) : 1;
}

typedef struct Signing {
        unsigned scheme;
        HfSpan data;
        uint8_t *sig;
        size_t *sig_len;
} Signing;

static int use_sign(HfKey *key, void *arg)
{
        const Signing *s = arg;

        return hf_sign(key, s->scheme, s->data.data, s->data.len, s->sig, s->sig_len);
}

int ask_sign(Key *k, unsigned scheme, HfSpan data, uint8_t *sig, size_t *sig_len, size_t room)
{
        *sig_len = room;
        return ask(k, use_sign, &(Signing){scheme, data, sig, sig_len});
}

typedef struct Decryption {
        HfSpan ciphertext;
        const HfSpan *label;
        uint8_t *ret;
        size_t *ret_len;
} Decryption;

static int use_decrypt(HfKey *key, void *arg)
{
        const Decryption *d = arg;

        return hf_decrypt(key, d->ciphertext.data, d->ciphertext.len, d->label, d->ret, d->ret_len);
}

int ask_decrypt(Key *k, HfSpan ciphertext, const HfSpan *label, uint8_t *ret, size_t *ret_len, size_t room)
{
        *ret_len = room;
        return ask(k, use_decrypt, &(Decryption){ciphertext, label, ret, ret_len});
}

typedef struct Agreement {
        HfSpan peer;
        const HfSpan *salt, *info;
        uint8_t *ret;
        size_t len;
} Agreement;

static int use_agree(HfKey *key, void *arg)
{
        const Agreement *a = arg;

        return hf_agree(key, a->peer, a->salt, a->info, a->ret, a->len);
}

int ask_agree(Key *k, HfSpan peer, const HfSpan *salt, const HfSpan *info, uint8_t *ret, size_t len)
{
        return ask(k, use_agree, &(Agreement){peer, salt, info, ret, len});
}

static Key *read_reference(Provider *p, HfKey *key, const char *name)
{
        char text[HF_REFERENCE_MAX];
        size_t len = sizeof(text), der_len;
        uint8_t *der = NULL;
        Key *k = NULL;
        BIO *in;
        int r;

        r = hf_key_reference(key, text, &len);
        if (r) {
                provider_fail(p, r, hf_error_sentence());
                return NULL;
        }
        in = BIO_new_mem_buf(text, (int)len);
        if (in && reference_read_pem(in, &der, &der_len))
                k = reference_parse(p, der, der_len);
        BIO_free(in);
        OPENSSL_free(der);
        if (!k)
                provider_fail(p, HF_ERROR_ALGORITHM_NOT_SUPPORTED, NULL);
        else
                snprintf(k->name, sizeof(k->name), "%s", name);
        return k;
}

Key *ask_for_key(Provider *p, const char *name)
{
        _cleanup_(errand_end) Errand e = {};
        int r = errand_begin(&e, name);

        if (!r)
                return read_reference(p, e.key, name);
        provider_fail(p, r, hf_error_sentence());
        return NULL;
}

static void add_wish(HfArg *args, size_t *n, const char *option, const char *value)
{
        if (value)
                args[(*n)++] = (HfArg){.option = option, .type = HF_ARG_STRING, .string = value};
}

Key *ask_for_new_key(Provider *p, const NewKey *wish)
{
        _cleanup_(errand_end) Errand e = {};
        HfArg args[4] = {{.type = HF_ARG_STRING, .string = wish->name}, {.type = HF_ARG_STRING, .string = wish->algorithm}};
        HfCall call = {.path = HF_ADMIN_MANAGER, .member = "CreateKey", .args = args, .n_args = 2};
        int r;

        add_wish(args, &call.n_args, "purpose", wish->purpose);
        add_wish(args, &call.n_args, "protection", wish->protection);
        r = errand_begin(&e, wish->name);
        if (!r)
                r = hf_call(lane_connection(e.lane), &call, NULL);
        if (!r)
                return read_reference(p, e.key, wish->name);
        provider_fail(p, r, hf_error_sentence());
        return NULL;
}
