/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The provider itself: made, asked for its algorithms, ended; and how its failures are told. */
#include "provider/provider.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The one symbol of the module. */
OSSL_provider_init_fn OSSL_provider_init __attribute__((visibility("default")));

static void set_error(const Provider *p, uint32_t reason, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        p->vset_error(p->core, reason, format, args);
        va_end(args);
}

int provider_fail(const Provider *p, int result, const char *sentence)
{
        p->new_error(p->core);
        set_error(p, (uint32_t)result, "%s", sentence ? sentence : hf_strerror(result));
        return 0;
}

static void teardown(void *provctx)
{
        Provider *p = provctx;

        if (p->usual)
                OSSL_PROVIDER_unload(p->usual);
        OSSL_LIB_CTX_free(p->libctx);
        free(p);
}

static const OSSL_PARAM *gettable_params(void *provctx)
{
        static const OSSL_PARAM table[] = {
                        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR, NULL, 0),
                        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR, NULL, 0),
                        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_BUILDINFO, OSSL_PARAM_UTF8_PTR, NULL, 0),
                        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER, NULL, 0),
                        OSSL_PARAM_END,
        };

        (void)provctx;
        return table;
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
        static const char *const texts[][2] = {
                        {OSSL_PROV_PARAM_NAME, "Holdfast: keys that stay in the keystore"},
                        {OSSL_PROV_PARAM_VERSION, HOLDFAST_VERSION},
                        {OSSL_PROV_PARAM_BUILDINFO, HOLDFAST_VERSION},
        };
        OSSL_PARAM *q;

        (void)provctx;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                q = OSSL_PARAM_locate(params, texts[i][0]);
                if (q && !OSSL_PARAM_set_utf8_ptr(q, texts[i][1]))
                        return 0;
        }
        q = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
        return !q || OSSL_PARAM_set_int(q, 1);
}

static const OSSL_ALGORITHM *query_operation(void *provctx, int operation, int *no_cache)
{
        (void)provctx;
        *no_cache = 0;
        switch (operation) {
        case OSSL_OP_KEYMGMT:
                return provider_keymgmt;
        case OSSL_OP_SIGNATURE:
                return provider_signature;
        case OSSL_OP_ASYM_CIPHER:
                return provider_cipher;
        case OSSL_OP_KEYEXCH:
                return provider_exchange;
        case OSSL_OP_DECODER:
                return provider_decoder;
        case OSSL_OP_ENCODER:
                return provider_encoder;
        case OSSL_OP_STORE:
                return provider_store;
        default:
                return NULL;
        }
}

typedef struct Filter {
        OSSL_CALLBACK *found;
        void *arg;
} Filter;

static int pass_ec(const OSSL_PARAM params[], void *arg)
{
        const Filter *f = arg;
        const OSSL_PARAM *q = OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_GROUP_ALG);
        const char *algorithm;

        if (!q || !OSSL_PARAM_get_utf8_string_ptr(q, &algorithm) || strcmp(algorithm, "EC") != 0)
                return 1;
        return f->found(params, f->arg);
}

/* libssl offers a group only if the provider that makes its keys says it has it; for EC that may be us. */
static int get_capabilities(void *provctx, const char *capability, OSSL_CALLBACK *found, void *arg)
{
        if (strcmp(capability, "TLS-GROUP") != 0)
                return 1;
        return OSSL_PROVIDER_get_capabilities(((Provider *)provctx)->usual, capability, pass_ec, &(Filter){found, arg});
}

static const OSSL_ITEM *get_reason_strings(void *provctx)
{
        return ((Provider *)provctx)->reasons;
}

static const OSSL_DISPATCH provider_dispatch[] = {
                DISPATCH(OSSL_FUNC_PROVIDER_TEARDOWN, teardown),
                DISPATCH(OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, gettable_params),
                DISPATCH(OSSL_FUNC_PROVIDER_GET_PARAMS, get_params),
                DISPATCH(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query_operation),
                DISPATCH(OSSL_FUNC_PROVIDER_GET_CAPABILITIES, get_capabilities),
                DISPATCH(OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, get_reason_strings),
                DISPATCH_END,
};

static void take_core_functions(Provider *p, const OSSL_DISPATCH *in)
{
        for (; in->function_id; in++) {
                if (in->function_id == OSSL_FUNC_CORE_NEW_ERROR)
                        p->new_error = OSSL_FUNC_core_new_error(in);
                else if (in->function_id == OSSL_FUNC_CORE_VSET_ERROR)
                        p->vset_error = OSSL_FUNC_core_vset_error(in);
        }
}

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
        Provider *p = calloc(1, sizeof(*p));

        if (!p)
                return 0;
        p->core = handle;
        p->core_functions = in;
        take_core_functions(p, in);
        p->libctx = OSSL_LIB_CTX_new_from_dispatch(handle, in);
        if (p->libctx)
                p->usual = OSSL_PROVIDER_load(p->libctx, "default");
        if (!p->usual || !p->new_error || !p->vset_error) {
                teardown(p);
                return 0;
        }
        for (unsigned i = 1; i < REASONS_MAX; i++)
                p->reasons[i - 1] = (OSSL_ITEM){i, (void *)hf_error_to_name((int)i)};
        *provctx = p;
        *out = provider_dispatch;
        return 1;
}
