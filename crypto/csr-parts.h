/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The two parts of a request that come from a person's text (inside this room). */
#include <openssl/x509v3.h>

#include "crypto/csr.h"

/* RFC 4514 text into a name; the last part of the text becomes the first of the name. HF_E_INVALID_ARGS. */
int csr_parse_subject(const char *text, X509_NAME *name);
/* The subject alternative names, checked one by one; NULL if there are none. HF_E_INVALID_ARGS. */
int csr_make_names(const CsrRequest *request, GENERAL_NAMES **ret);
