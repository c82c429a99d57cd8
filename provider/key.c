/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys: made, counted, looked at for which halves they have. */
#include "provider/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

Key *key_new(Provider *p, const char *type)
{
        Key *k = calloc(1, sizeof(*k));

        if (!k)
                return NULL;
        atomic_init(&k->refs, 1);
        atomic_init(&k->compared, false);
        k->provider = p;
        k->type = type;
        return k;
}

Key *key_ref(Key *k)
{
        atomic_fetch_add(&k->refs, 1);
        return k;
}

Key *key_unref(Key *k)
{
        if (k && atomic_fetch_sub(&k->refs, 1) == 1) {
                EVP_PKEY_free(k->pkey);
                free(k);
        }
        return NULL;
}

static bool has_number(const EVP_PKEY *pkey, const char *param)
{
        BIGNUM *n = NULL;
        bool there = EVP_PKEY_get_bn_param(pkey, param, &n) == 1;

        BN_clear_free(n);
        return there;
}

static bool looks_private(const Key *k)
{
        size_t len = 0;

        if (strcmp(k->type, "EC") == 0)
                return has_number(k->pkey, OSSL_PKEY_PARAM_PRIV_KEY);
        if (key_is_rsa(k))
                return has_number(k->pkey, OSSL_PKEY_PARAM_RSA_D);
        return EVP_PKEY_get_raw_private_key(k->pkey, NULL, &len) == 1;
}

static bool looks_public(const Key *k)
{
        size_t len = 0;

        if (key_is_rsa(k))
                return has_number(k->pkey, OSSL_PKEY_PARAM_RSA_N);
        return EVP_PKEY_get_octet_string_param(k->pkey, OSSL_PKEY_PARAM_PUB_KEY, NULL, 0, &len) == 1 && len > 1;
}

void key_set(Key *k, EVP_PKEY *pkey)
{
        if (k->pkey != pkey)
                EVP_PKEY_free(k->pkey);
        k->pkey = pkey;
        ERR_set_mark();
        k->has_public = looks_public(k);
        k->has_private = looks_private(k);
        ERR_pop_to_mark();
}
