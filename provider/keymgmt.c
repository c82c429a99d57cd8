/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key management. A key of ours gives its public half and says that it has a private one, which it does not give: then
 * OpenSSL looks for the operation where the key is, here. That is what makes property queries unnecessary. All that
 * foreign keys are asked is done by the default provider.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#include "base/cleanup.h"
#include "provider/generate.h"

static void pkey_ctx_freep(EVP_PKEY_CTX **c)
{
        EVP_PKEY_CTX_free(*c);
}

static void keymgmt_free(void *keydata)
{
        key_unref(keydata);
}

static void *keymgmt_load(const void *reference, size_t size)
{
        Key **at = (Key **)reference;

        return size == sizeof(*at) ? TAKE_PTR(*at) : NULL;
}

static int keymgmt_has(const void *keydata, int selection)
{
        const Key *k = keydata;

        if (!k || !k->pkey)
                return 0;
        if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY && !k->has_private)
                return 0;
        return !(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) || k->has_public;
}

static int keymgmt_match(const void *keydata1, const void *keydata2, int selection)
{
        const Key *a = keydata1, *b = keydata2;

        if (!a->pkey || !b->pkey)
                return 0;
        if (selection & OSSL_KEYMGMT_SELECT_KEYPAIR)
                return EVP_PKEY_eq(a->pkey, b->pkey) == 1;
        return strcmp(a->type, "EC") != 0 || EVP_PKEY_parameters_eq(a->pkey, b->pkey) == 1;
}

static int keymgmt_import(void *keydata, int selection, const OSSL_PARAM params[])
{
        Key *k = keydata;
        _cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(k->provider->libctx, k->type, NULL);
        EVP_PKEY *pkey = NULL;

        if (k->ours || !c || EVP_PKEY_fromdata_init(c) != 1 ||
                        EVP_PKEY_fromdata(c, &pkey, selection, (OSSL_PARAM *)params) != 1)
                return 0;
        key_set(k, pkey);
        return 1;
}

static int keymgmt_export(void *keydata, int selection, OSSL_CALLBACK *found, void *found_arg)
{
        const Key *k = keydata;

        if (!k->pkey || ((k->ours || k->passing) && selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
                return 0;
        return EVP_PKEY_export(k->pkey, selection, found, found_arg);
}

static int keymgmt_get_params(void *keydata, OSSL_PARAM params[])
{
        const Key *k = keydata;

        return k->pkey && EVP_PKEY_get_params(k->pkey, params);
}

/* A key of ours does not change; to be told that its public half is written along, as `openssl ec` does, is no change. */
static bool changes_nothing(const OSSL_PARAM params[])
{
        int value = 0;

        for (; params && params->key; params++)
                if (strcmp(params->key, OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC) != 0 || !OSSL_PARAM_get_int(params, &value) || !value)
                        return false;
        return true;
}

static int keymgmt_set_params(void *keydata, const OSSL_PARAM params[])
{
        Key *k = keydata;

        if (k->ours)
                return changes_nothing(params);
        if (!k->pkey || EVP_PKEY_set_params(k->pkey, (OSSL_PARAM *)params) != 1)
                return 0;
        key_set(k, k->pkey);
        return 1;
}

static int keymgmt_validate(const void *keydata, int selection, int check)
{
        const Key *k = keydata;
        _cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *c =
                        k->pkey ? EVP_PKEY_CTX_new_from_pkey(k->provider->libctx, k->pkey, NULL) : NULL;

        if (!c)
                return 0;
        if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY && !k->ours)
                return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? EVP_PKEY_check(c) == 1 : EVP_PKEY_private_check(c) == 1;
        if (selection & OSSL_KEYMGMT_SELECT_KEYPAIR)
                return check == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK ? EVP_PKEY_public_check_quick(c) == 1
                                                                  : EVP_PKEY_public_check(c) == 1;
        return EVP_PKEY_param_check(c) == 1;
}

/* Ours as a whole is the same key; a part of a key is a foreign one. */
static void *keymgmt_dup(const void *keydata, int selection)
{
        const Key *k = keydata;
        _cleanup_(key_unrefp) Key *copy = NULL;
        OSSL_PARAM *params = NULL;
        int r;

        if ((k->ours || k->passing) && selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
                return key_ref((Key *)k);
        copy = key_new(k->provider, k->type);
        if (!copy || !k->pkey)
                return TAKE_PTR(copy);
        if (EVP_PKEY_todata(k->pkey, selection, &params) != 1)
                return NULL;
        r = keymgmt_import(copy, selection, params);
        OSSL_PARAM_free(params);
        return r ? TAKE_PTR(copy) : NULL;
}

/* What the default provider says of its own; its tables are constants. */
static const OSSL_PARAM *usual(Provider *p, const char *type, const OSSL_PARAM *(*ask)(const EVP_KEYMGMT *))
{
        EVP_KEYMGMT *m = EVP_KEYMGMT_fetch(p->libctx, type, NULL);
        const OSSL_PARAM *table = m ? ask(m) : NULL;

        EVP_KEYMGMT_free(m);
        return table;
}

#define NUMBER(name) OSSL_PARAM_BN(name, NULL, 0)
#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)
#define TEXT(name) OSSL_PARAM_utf8_string(name, NULL, 0)

static const OSSL_PARAM types_ec[] = {
                TEXT(OSSL_PKEY_PARAM_GROUP_NAME), TEXT(OSSL_PKEY_PARAM_EC_ENCODING),
                TEXT(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT), TEXT(OSSL_PKEY_PARAM_EC_FIELD_TYPE),
                NUMBER(OSSL_PKEY_PARAM_EC_P), NUMBER(OSSL_PKEY_PARAM_EC_A), NUMBER(OSSL_PKEY_PARAM_EC_B),
                OCTETS(OSSL_PKEY_PARAM_EC_GENERATOR), NUMBER(OSSL_PKEY_PARAM_EC_ORDER), NUMBER(OSSL_PKEY_PARAM_EC_COFACTOR),
                OCTETS(OSSL_PKEY_PARAM_EC_SEED), OCTETS(OSSL_PKEY_PARAM_PUB_KEY), NUMBER(OSSL_PKEY_PARAM_PRIV_KEY),
                OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL), OSSL_PARAM_END,
};
static const OSSL_PARAM types_rsa[] = {
                NUMBER(OSSL_PKEY_PARAM_RSA_N), NUMBER(OSSL_PKEY_PARAM_RSA_E), NUMBER(OSSL_PKEY_PARAM_RSA_D),
                NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR1), NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR2),
                NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT1), NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT2),
                NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT1), OSSL_PARAM_END,
};
#define types_rsa_pss types_rsa
static const OSSL_PARAM types_ed25519[] = {
                OCTETS(OSSL_PKEY_PARAM_PUB_KEY), OCTETS(OSSL_PKEY_PARAM_PRIV_KEY), OSSL_PARAM_END,
};

#define ROWS(suffix)                                                                                                         \
        DISPATCH(OSSL_FUNC_KEYMGMT_NEW, new_##suffix), DISPATCH(OSSL_FUNC_KEYMGMT_FREE, keymgmt_free),                       \
                        DISPATCH(OSSL_FUNC_KEYMGMT_LOAD, keymgmt_load), DISPATCH(OSSL_FUNC_KEYMGMT_HAS, keymgmt_has),        \
                        DISPATCH(OSSL_FUNC_KEYMGMT_MATCH, keymgmt_match),                                                    \
                        DISPATCH(OSSL_FUNC_KEYMGMT_VALIDATE, keymgmt_validate),                                              \
                        DISPATCH(OSSL_FUNC_KEYMGMT_DUP, keymgmt_dup), DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT, keymgmt_import),    \
                        DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, transfer_types_##suffix),                                   \
                        DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT, keymgmt_export),                                                  \
                        DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, transfer_types_##suffix),                                   \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GET_PARAMS, keymgmt_get_params),                                          \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable_##suffix),                                      \
                        DISPATCH(OSSL_FUNC_KEYMGMT_SET_PARAMS, keymgmt_set_params),                                          \
                        DISPATCH(OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, settable_##suffix),                                      \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GEN_INIT, gen_init_##suffix),                                             \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, generate_set_template),                                 \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, generate_set_params),                                     \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, gen_settable_##suffix),                              \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GEN, generate),                                                           \
                        DISPATCH(OSSL_FUNC_KEYMGMT_GEN_CLEANUP, generate_cleanup),                                           \
                        DISPATCH(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_name_##suffix), DISPATCH_END

/* What has to know of which type it is, once for each. */
#define KEYMGMT_OF(suffix, type, signature, agreement)                                                                       \
        static void *new_##suffix(void *provctx)                                                                             \
        {                                                                                                                    \
                return key_new(provctx, type);                                                                               \
        }                                                                                                                    \
        static const OSSL_PARAM *transfer_types_##suffix(int selection)                                                      \
        {                                                                                                                    \
                return selection ? types_##suffix : NULL;                                                                    \
        }                                                                                                                    \
        static const OSSL_PARAM *gettable_##suffix(void *provctx)                                                            \
        {                                                                                                                    \
                return usual(provctx, type, EVP_KEYMGMT_gettable_params);                                                    \
        }                                                                                                                    \
        static const OSSL_PARAM *settable_##suffix(void *provctx)                                                            \
        {                                                                                                                    \
                return usual(provctx, type, EVP_KEYMGMT_settable_params);                                                    \
        }                                                                                                                    \
        static const OSSL_PARAM *gen_settable_##suffix(void *genctx, void *provctx)                                          \
        {                                                                                                                    \
                (void)genctx, (void)provctx;                                                                                 \
                return generate_settable(type);                                                                              \
        }                                                                                                                    \
        static void *gen_init_##suffix(void *provctx, int selection, const OSSL_PARAM params[])                              \
        {                                                                                                                    \
                return generate_init(provctx, type, selection, params);                                                      \
        }                                                                                                                    \
        static const char *operation_name_##suffix(int operation)                                                            \
        {                                                                                                                    \
                return operation == OSSL_OP_SIGNATURE ? signature : operation == OSSL_OP_KEYEXCH ? agreement : NULL;         \
        }                                                                                                                    \
        static const OSSL_DISPATCH dispatch_##suffix[] = {ROWS(suffix)};

KEYMGMT_OF(ec, "EC", "ECDSA", "ECDH")
KEYMGMT_OF(rsa, "RSA", "RSA", NULL)
KEYMGMT_OF(rsa_pss, "RSA-PSS", "RSA", NULL)
KEYMGMT_OF(ed25519, "ED25519", "ED25519", NULL)

const OSSL_ALGORITHM provider_keymgmt[] = {
                {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=holdfast", dispatch_ec, "P-256, P-384 in Holdfast"},
                {"RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=holdfast", dispatch_rsa, "RSA in Holdfast"},
                {"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", "provider=holdfast", dispatch_rsa_pss, "RSA-PSS in Holdfast"},
                {"ED25519:1.3.101.112", "provider=holdfast", dispatch_ed25519, "Ed25519 in Holdfast"},
                {NULL, NULL, NULL, NULL},
};
