/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfast.so, the OpenSSL 3 provider
 *
 * Keys of Holdfast come in as references (decoder, store) and sign through libholdfast; everything else that
 * OpenSSL may bring here, because of an order of providers or a property query, is handed on to the default
 * provider in a library context of our own. So it does not matter who is asked first.
 */
#include <holdfast.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/types.h>
#include <stdatomic.h>
#include <stdbool.h>

#define REASONS_MAX 128

typedef struct Provider {
        const OSSL_CORE_HANDLE *core;
        const OSSL_DISPATCH *core_functions;
        OSSL_FUNC_core_new_error_fn *new_error;
        OSSL_FUNC_core_vset_error_fn *vset_error;
        OSSL_LIB_CTX *libctx; /* has the default provider and nothing else */
        OSSL_PROVIDER *usual; /* that one */
        atomic_bool accompanied; /* the program has other providers that make keys */
        atomic_bool usually_asked; /* for keys, and not only where a property query asks for this provider */
        OSSL_ITEM reasons[REASONS_MAX];
} Provider;

/* Puts a result of libholdfast and its sentence into the error queue of the program. Returns 0, OpenSSL's failure. */
int provider_fail(const Provider *p, int result, const char *sentence);

#define DISPATCH(id, function) {id, (void (*)(void))function}
#define DISPATCH_END {0, NULL}

/* Each list ends in a row without name. */
extern const OSSL_ALGORITHM provider_keymgmt[], provider_signature[], provider_cipher[], provider_exchange[], provider_decoder[],
                provider_encoder[], provider_store[];
