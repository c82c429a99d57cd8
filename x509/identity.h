/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An identity as its files say it
 *
 * The directory DIR/NAME is opened once, so that all files are of one generation however often the link is switched
 * meanwhile. cert.pem and key.pem (the reference) have to be there; chain.pem, ca.pem, crl.pem and pins.txt may be missing.
 * Nothing is asked of holdfastd.
 */
#include "x509/check.h"

#define CERT_DIRECTORY_VARIABLE "HOLDFAST_TLS"
#define CERT_DIRECTORY "/run/holdfast/tls"

typedef struct CertIdentity {
        CertChain *chain;
        CertAnchors *anchors; /* NULL: there is no ca.pem */
        CertCrls *crls;       /* NULL: there is no crl.pem */
        CertPins pins;
        Buffer reference;  /* key.pem as it is */
        Buffer public_key; /* SubjectPublicKeyInfo out of it */
} CertIdentity;

void cert_identity_clear(CertIdentity *identity);
#define _cleanup_identity_ __attribute__((cleanup(cert_identity_clear)))

/* $HOLDFAST_TLS unless it is empty or the program is set-uid, else CERT_DIRECTORY. */
const char *cert_directory(void);
/* DIR/NAME; name has to be a name of Holdfast's. 0, HF_E_INVALID_NAME, HF_E_INVALID_ARGS with a finding, -errno. */
int cert_identity_load(const char *directory, const char *name, FindingList *findings, CertIdentity *ret);
/* The same for an open directory. -ESTALE: it changed while it was read, so that a file which may be missing may have been there;
 * cert_identity_load() then looks again for what there is now. */
int cert_identity_load_fd(int directory_fd, FindingList *findings, CertIdentity *ret);
/* The chain against the key, and against usage and time; not against ca.pem, which is what one's peers are checked by. */
int cert_identity_check(const CertIdentity *identity, CertUsage usage, uint64_t time, FindingList *findings);

/* The SubjectPublicKeyInfo in a key reference (docs/formats/key-reference.md). 0, HF_E_INVALID_ARGS, -ENOMEM. */
int cert_reference_public_key(Bytes pem, Buffer *ret);
