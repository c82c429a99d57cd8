/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making keys: all parameters go to a context of the default provider, which checks them; some are noted for Holdfast. */
#include "provider/generate.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "base/cleanup.h"
#include "provider/ask.h"

#define WISH_NAME "holdfast-name"
#define WISH_PURPOSE "holdfast-purpose"
#define WISH_PROTECTION "holdfast-protection"
#define WISH_SIZE 80

typedef struct Generation {
        Provider *provider;
        const char *type;
        int selection;
        EVP_PKEY_CTX *ctx; /* of the default provider */
        char name[WISH_SIZE], purpose[WISH_SIZE], protection[WISH_SIZE];
        char group[WISH_SIZE]; /* EC */
        size_t bits;           /* RSA */
        bool special;          /* RSA: something that Holdfast does not make */
} Generation;

void generate_cleanup(void *genctx)
{
        Generation *g = genctx;

        EVP_PKEY_CTX_free(g->ctx);
        free(g);
}

static void generate_cleanupp(Generation **g)
{
        if (*g)
                generate_cleanup(*g);
}

/* Takes ctx over. */
static bool begin(Generation *g, EVP_PKEY_CTX *ctx)
{
        EVP_PKEY_CTX_free(g->ctx);
        g->ctx = ctx;
        if (!ctx)
                return false;
        return g->selection & OSSL_KEYMGMT_SELECT_KEYPAIR ? EVP_PKEY_keygen_init(ctx) == 1 : EVP_PKEY_paramgen_init(ctx) == 1;
}

static bool note_text(const OSSL_PARAM params[], const char *name, char ret[WISH_SIZE])
{
        const OSSL_PARAM *q = OSSL_PARAM_locate_const(params, name);

        return !q || OSSL_PARAM_get_utf8_string(q, &ret, WISH_SIZE) == 1;
}

/* What of RSA is not as Holdfast makes it. */
static bool note_rsa(Generation *g, const OSSL_PARAM params[])
{
        static const char *const others[] = {OSSL_PKEY_PARAM_RSA_DIGEST, OSSL_PKEY_PARAM_RSA_MGF1_DIGEST,
                                             OSSL_PKEY_PARAM_RSA_PSS_SALTLEN};
        const OSSL_PARAM *q = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_BITS);
        BIGNUM *e = NULL;
        size_t primes = 2;

        if (q && OSSL_PARAM_get_size_t(q, &g->bits) != 1)
                return false;
        if ((q = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_E)) && OSSL_PARAM_get_BN(q, &e) != 1)
                return false;
        if ((q = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_PRIMES)) && OSSL_PARAM_get_size_t(q, &primes) != 1)
                return false;
        g->special |= primes != 2 || (e && !BN_is_word(e, RSA_F4));
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                g->special |= OSSL_PARAM_locate_const(params, others[i]) != NULL;
        BN_free(e);
        return true;
}

int generate_set_params(void *genctx, const OSSL_PARAM params[])
{
        Generation *g = genctx;

        if (!params)
                return 1;
        return note_text(params, WISH_NAME, g->name) && note_text(params, WISH_PURPOSE, g->purpose) &&
                        note_text(params, WISH_PROTECTION, g->protection) &&
                        note_text(params, OSSL_PKEY_PARAM_GROUP_NAME, g->group) && note_rsa(g, params) &&
                        EVP_PKEY_CTX_set_params(g->ctx, params) == 1;
}

void *generate_init(Provider *p, const char *type, int selection, const OSSL_PARAM params[])
{
        _cleanup_(generate_cleanupp) Generation *g = calloc(1, sizeof(*g));

        if (!g)
                return NULL;
        g->provider = p;
        g->type = type;
        g->selection = selection;
        g->bits = 2048; /* as in OpenSSL */
        if (!begin(g, EVP_PKEY_CTX_new_from_name(p->libctx, type, NULL)) || !generate_set_params(g, params))
                return NULL;
        return TAKE_PTR(g);
}

int generate_set_template(void *genctx, void *template)
{
        Generation *g = genctx;
        const Key *k = template;
        size_t len;

        if (!k->pkey || !begin(g, EVP_PKEY_CTX_new_from_pkey(g->provider->libctx, k->pkey, NULL)))
                return 0;
        return strcmp(g->type, "EC") != 0 || EVP_PKEY_get_group_name(k->pkey, g->group, sizeof(g->group), &len) == 1;
}

/* NULL: Holdfast makes no such keys. */
static const char *algorithm_of(const Generation *g)
{
        static const struct {
                const char *type, *group;
                size_t bits;
                const char *algorithm;
        } rows[] = {
                        {"EC", "prime256v1", 0, "p256"}, {"EC", "P-256", 0, "p256"}, {"EC", "secp256r1", 0, "p256"},
                        {"EC", "secp384r1", 0, "p384"},  {"EC", "P-384", 0, "p384"}, {"RSA", "", 2048, "rsa2048"},
                        {"RSA", "", 3072, "rsa3072"},    {"RSA", "", 4096, "rsa4096"}, {"ED25519", "", 0, "ed25519"},
        };
        bool rsa = strncmp(g->type, "RSA", 3) == 0;

        for (size_t i = 0; i < ELEMENTSOF(rows) && !g->special; i++)
                if (strcmp(rows[i].type, rsa ? "RSA" : g->type) == 0 && rows[i].bits == (rsa ? g->bits : 0) &&
                                OPENSSL_strcasecmp(rows[i].group, g->group) == 0)
                        return rows[i].algorithm;
        return NULL;
}

/* Is there nobody else in the program who makes keys? Providers come and seldom go: no answer but "alone" is final. */
static bool is_alone(Provider *p)
{
        OSSL_LIB_CTX *child;

        if (atomic_load(&p->accompanied))
                return false;
        child = OSSL_LIB_CTX_new_child(p->core, p->core_functions);
        if (!child || OSSL_PROVIDER_available(child, "default") || OSSL_PROVIDER_available(child, "fips"))
                atomic_store(&p->accompanied, true);
        OSSL_LIB_CTX_free(child);
        return !atomic_load(&p->accompanied);
}

int generate_refuse(const Provider *p)
{
        return provider_fail(p, HF_ERROR_INVALID_NAME,
                        "Holdfast was asked for a new key and not told its name, so it made none. Say -pkeyopt "
                        "holdfast-name:NAME, or leave out the property query for a key in a file. Nothing was written.");
}

/* Do keys come here without being asked for here? That is so for good, but for a program that changes its properties. */
static bool is_usually_asked(Provider *p, const char *type)
{
        OSSL_LIB_CTX *child;
        EVP_KEYMGMT *any, *here;

        if (atomic_load(&p->usually_asked))
                return true;
        child = OSSL_LIB_CTX_new_child(p->core, p->core_functions);
        any = child ? EVP_KEYMGMT_fetch(child, type, NULL) : NULL;
        here = child ? EVP_KEYMGMT_fetch(child, type, "provider=holdfast") : NULL;
        if (any == here)
                atomic_store(&p->usually_asked, true);
        EVP_KEYMGMT_free(any);
        EVP_KEYMGMT_free(here);
        OSSL_LIB_CTX_free(child);
        return atomic_load(&p->usually_asked);
}

static bool make_name(Generation *g)
{
        uint8_t random[4];

        if (RAND_bytes_ex(g->provider->libctx, random, sizeof(random), 0) != 1)
                return false;
        snprintf(g->name, sizeof(g->name), "openssl-%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
        return true;
}

/* As an RSA-PSS key is known outside: the same numbers under another name. */
static EVP_PKEY *as_pss(const Key *k)
{
        OSSL_PARAM *params = NULL;
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(k->provider->libctx, "RSA-PSS", NULL);
        EVP_PKEY *pkey = NULL;

        if (c && EVP_PKEY_todata(k->pkey, EVP_PKEY_PUBLIC_KEY, &params) == 1 && EVP_PKEY_fromdata_init(c) == 1)
                (void)EVP_PKEY_fromdata(c, &pkey, EVP_PKEY_PUBLIC_KEY, params);
        OSSL_PARAM_free(params);
        EVP_PKEY_CTX_free(c);
        return pkey;
}

static const char *or_null(const char *text)
{
        return text[0] ? text : NULL;
}

static Key *make_ours(Generation *g)
{
        NewKey wish = {g->name, algorithm_of(g), or_null(g->purpose), or_null(g->protection)};
        _cleanup_(key_unrefp) Key *k = NULL;
        EVP_PKEY *pss;

        if (!wish.algorithm) {
                provider_fail(g->provider, HF_ERROR_ALGORITHM_NOT_SUPPORTED, NULL);
                return NULL;
        }
        if (!g->name[0] && !make_name(g))
                return NULL;
        k = ask_for_new_key(g->provider, &wish);
        if (!k || strcmp(g->type, "RSA-PSS") != 0)
                return TAKE_PTR(k);
        pss = as_pss(k);
        if (!pss)
                return NULL;
        k->type = g->type;
        key_set(k, pss);
        k->has_private = true;
        return TAKE_PTR(k);
}

static Key *make_foreign(Generation *g, bool passing)
{
        EVP_PKEY *pkey = NULL;
        Key *k;

        if (EVP_PKEY_generate(g->ctx, &pkey) != 1)
                return NULL;
        k = key_new(g->provider, g->type);
        if (!k) {
                EVP_PKEY_free(pkey);
                return NULL;
        }
        key_set(k, pkey);
        k->passing = passing;
        return k;
}

void *generate(void *genctx, OSSL_CALLBACK *progress, void *progress_arg)
{
        Generation *g = genctx;
        bool pair = g->selection & OSSL_KEYMGMT_SELECT_KEYPAIR, passing;

        (void)progress, (void)progress_arg;
        if (pair && (g->name[0] || is_alone(g->provider)))
                return make_ours(g);
        passing = pair && !is_usually_asked(g->provider, g->type);
        if (passing && strcmp(g->type, "EC") != 0) { /* only EC agrees here */
                generate_refuse(g->provider);
                return NULL;
        }
        return make_foreign(g, passing);
}

#define TEXT(name) OSSL_PARAM_utf8_string(name, NULL, 0)
#define NUMBER(name) OSSL_PARAM_BN(name, NULL, 0)
#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)
#define WISHES TEXT(WISH_NAME), TEXT(WISH_PURPOSE), TEXT(WISH_PROTECTION)
#define RSA_WISHES \
        WISHES, OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL), OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, NULL), \
                        NUMBER(OSSL_PKEY_PARAM_RSA_E)

/* Those of the default provider, and ours. */
const OSSL_PARAM *generate_settable(const char *type)
{
        static const OSSL_PARAM ec[] = {
                        WISHES, TEXT(OSSL_PKEY_PARAM_GROUP_NAME), OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
                        TEXT(OSSL_PKEY_PARAM_EC_ENCODING), TEXT(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT),
                        TEXT(OSSL_PKEY_PARAM_EC_FIELD_TYPE), NUMBER(OSSL_PKEY_PARAM_EC_P), NUMBER(OSSL_PKEY_PARAM_EC_A),
                        NUMBER(OSSL_PKEY_PARAM_EC_B), OCTETS(OSSL_PKEY_PARAM_EC_GENERATOR), NUMBER(OSSL_PKEY_PARAM_EC_ORDER),
                        NUMBER(OSSL_PKEY_PARAM_EC_COFACTOR), OCTETS(OSSL_PKEY_PARAM_EC_SEED), OSSL_PARAM_END,
        };
        static const OSSL_PARAM rsa[] = {RSA_WISHES, OSSL_PARAM_END};
        static const OSSL_PARAM rsa_pss[] = {
                        RSA_WISHES, TEXT(OSSL_PKEY_PARAM_RSA_DIGEST), TEXT(OSSL_PKEY_PARAM_RSA_DIGEST_PROPS),
                        TEXT(OSSL_PKEY_PARAM_RSA_MASKGENFUNC), TEXT(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST),
                        OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL), OSSL_PARAM_END,
        };
        static const OSSL_PARAM others[] = {WISHES, OSSL_PARAM_END};

        return strcmp(type, "EC") == 0 ? ec : strcmp(type, "RSA") == 0 ? rsa : strcmp(type, "RSA-PSS") == 0 ? rsa_pss : others;
}
