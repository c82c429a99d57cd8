/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The key behind a reference
 *
 * OpenSSL's provider holdfast.so is loaded into a library context of its own, beside the default one, so that neither the
 * program's configuration nor its providers matter. Loading asks nobody; signing asks holdfastd.
 */
#include <openssl/types.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "x509/finding.h"

typedef struct CertKey {
        OSSL_LIB_CTX *context;
        OSSL_PROVIDER *usual, *holdfast;
        EVP_PKEY *pkey;
} CertKey;

#define CERT_KEY_PROPERTIES "?provider!=holdfast"

/* 0, HF_E_INVALID_ARGS with a finding (key-unusable: no provider, or no reference), -ENOMEM. */
int cert_key_load(Bytes reference, FindingList *findings, CertKey *ret);
void cert_key_clear(CertKey *key);
#define _cleanup_cert_key_ __attribute__((cleanup(cert_key_clear)))

/* Can it be loaded? 0, HF_E_INVALID_ARGS and why not, in OpenSSL's and the linker's words, -ENOMEM. */
int cert_key_try_provider(char ret_why[static FINDING_DETAIL_SIZE]);

/* If holdfast.so has put a failure into this thread's error queue: adds key-unusable with its sentence; and empties the queue. */
void cert_key_findings(FindingList *findings);
