/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Certificates made in the test, with what it wants to be odd about them. */
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"
#include "x509/check.h"

typedef struct Making {
        const char *name;
        const char *kind; /* "P-256" (default), "P-224", "P-384", "RSA1024", "RSA2048", "ED25519" */
        X509 *issuer;     /* NULL: signs itself */
        EVP_PKEY *issuer_key, *key; /* key NULL: made */
        bool ca;
        const char *usage; /* extended key usages as OpenSSL's configuration has them */
        const char *names; /* "DNS:a.test,IP:10.0.0.1" */
        int since, until;  /* days from now; until 0: 30 */
        long serial;       /* 0: 7 */
        bool serial_zero;
} Making;

typedef struct Made {
        X509 *x;
        EVP_PKEY *key;
} Made;

EVP_PKEY *make_key(const char *kind);
Made make_certificate(const Making *how);
void made_clear(Made *m);
#define _cleanup_made_ __attribute__((cleanup(made_clear)))

/* The certificates as PEM in b; ends in NULL. */
void append_pem(Buffer *b, X509 *x);
CertChain *chain_of(X509 *leaf, X509 *other);
CertAnchors *anchors_of(X509 *root);
