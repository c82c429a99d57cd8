/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Making keys
 *
 * A key is made in Holdfast where its caller names it (holdfast-name) or where no other provider could make it, as in
 * `openssl genpkey -provider holdfast`; then its name is "openssl-" and eight random hexadecimal digits. All other keys are
 * made by the default provider and are foreign: TLS makes one for each handshake, and who is asked first should not matter.
 * Who asks for this provider by a property query and says no name gets no key that lasts (passing): it would be in a file
 * and not, as was wanted, in Holdfast.
 */
#include "provider/key.h"

/* The functions of key management that OpenSSL calls for it. */
void *generate_init(Provider *p, const char *type, int selection, const OSSL_PARAM params[]);
int generate_set_template(void *genctx, void *template);
int generate_set_params(void *genctx, const OSSL_PARAM params[]);
const OSSL_PARAM *generate_settable(const char *type);
void *generate(void *genctx, OSSL_CALLBACK *progress, void *progress_arg);
void generate_cleanup(void *genctx);

/* Tells the program that a passing key is not for this. Returns 0, OpenSSL's failure. */
int generate_refuse(const Provider *p);
