/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The certificate of a CA, as its issuer knows it
 *
 * Read once and kept: what has to go into everything it signs, byte for byte.
 */
#include "base/bytes.h"
#include "base/cleanup.h"
#include "ca/problem.h"
#include "crypto/algorithm.h"

#define CA_CERTIFICATE_MAX 16384

typedef struct CaIssuer {
        Buffer der, subject, spki, key_id; /* key_id: subjectKeyIdentifier without its wrapping */
        Buffer names;                      /* GeneralNames, its subjectAltName; empty: it has none */
        KeyAlgorithm algorithm;
        uint64_t not_before, not_after; /* microseconds since 1970 */
        int path_length;                /* how many CAs may be below it; -1: any number */
        bool self_signed;               /* issuer and subject are the same */
        bool signs_lists;               /* its usage is said, and revocation lists are in it */
} CaIssuer;

/* A certificate of an authority in DER. HF_E_REQUEST_REFUSED: it is none, or may not sign certificates. */
int ca_issuer_read(Bytes der, CaProblem *problem, CaIssuer **ret);
/* As it will be known that follows another one under its name, with a key of its own and no certificate yet. -ENOMEM. */
int ca_issuer_follow(const CaIssuer *before, Bytes spki, uint64_t not_before, uint64_t not_after, CaIssuer **ret);
CaIssuer *ca_issuer_free(CaIssuer *i);
DEFINE_CLEANUP(CaIssuer, ca_issuer_free)
