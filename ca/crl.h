/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Revocation lists (RFC 5280 section 5)
 *
 * Whole ones, version 2, with number and authority key: no deltas, nothing indirect. Made in two steps like
 * certificates: crl_prepare() here, ca_finish() for the signature.
 */
#include "ca/certificate.h"
#include "ca/reason.h"

#define CA_CRL_MAX (64 * 1024 * 1024)

typedef struct CaRevoked {
        uint8_t serial[CA_SERIAL_SIZE];
        uint64_t when; /* microseconds since 1970 */
        CaReason reason;
} CaRevoked;

typedef struct CaCrlParams {
        const CaIssuer *issuer;
        Scheme scheme;
        uint64_t number;
        uint64_t this_update, next_update; /* microseconds since 1970 */
        const CaRevoked *entries;          /* each serial once, any order */
        size_t n_entries;
} CaCrlParams;

/* Appends what is to be signed. -ENOMEM, -EMSGSIZE. 100,000 entries take about half a second: a worker's task. */
int ca_crl_prepare(const CaCrlParams *p, Buffer *ret_tbs);
