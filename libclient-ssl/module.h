/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfast.so in this process
 *
 * The provider is alone in a library context of its own, made at first use and kept to the end of the process. So the program's
 * configuration, providers and property queries do not matter to it, nor it to them; a key of it signs in any context
 * all the same, because OpenSSL asks the provider that has the key.
 */
#include <openssl/types.h>

#include "base/bytes.h"

/* The key behind a reference (PEM). 0, HF_ERROR_INVALID_ARGS: it is none, HF_ERROR_INTERNAL: the module cannot be loaded;
 * told. */
int module_load_key(Bytes reference, EVP_PKEY **ret);
