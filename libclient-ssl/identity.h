/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Identities, and what they were at a moment
 *
 * An identity is a name in a directory, known once in the process and for ever. A snapshot is one generation of its files,
 * read, checked and never changed: handshakes share it and let it go when they are done with it. Whether there is a newer
 * generation is seen by lstat() of the link DIR/NAME, each time somebody asks: no thread, no signal.
 *
 * The one lock covers pointers only; files are read without it. It is taken over fork(), so that a child never finds it held.
 */
#include <openssl/ssl.h>
#include <stdatomic.h>

#include "x509/identity.h"

typedef struct Identity Identity;

typedef struct Snapshot {
        atomic_uint refs;
        CertIdentity files;
        EVP_PKEY *key;
        STACK_OF(X509) *intermediates;
        STACK_OF(X509_NAME) *anchor_names; /* NULL: no anchors */
        uint8_t digest[32];                /* of what peers are judged by: anchors and pins */
} Snapshot;

Snapshot *snapshot_unref(Snapshot *s);
DEFINE_CLEANUP(Snapshot, snapshot_unref)

/* The identity of this name in the directory of this moment, for this usage. 0, HF_ERROR_INVALID_NAME, HF_ERROR_INTERNAL;
 * told. */
int identity_get(const char *name, CertUsage usage, Identity **ret);
const char *identity_name(const Identity *i);

/* As it is now; ssl is for whom, NULL: for nobody yet. HF_ERROR_NO_SUCH_IDENTITY, HF_ERROR_CERTIFICATE_UNUSABLE with a finding,
 * HF_ERROR_INTERNAL; told. */
int identity_snapshot(Identity *i, const SSL *ssl, Snapshot **ret);
