/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a certificate is revoked: CRLReason of RFC 5280 section 5.3.1, with its names and numbers. */
#include <stdbool.h>

typedef enum CaReason {
        CA_REASON_UNSPECIFIED = 0,
        CA_REASON_KEY_COMPROMISE = 1,
        CA_REASON_CA_COMPROMISE = 2,
        CA_REASON_AFFILIATION_CHANGED = 3,
        CA_REASON_SUPERSEDED = 4,
        CA_REASON_CESSATION_OF_OPERATION = 5,
        CA_REASON_CERTIFICATE_HOLD = 6, /* the one that can be lifted */
        CA_REASON_PRIVILEGE_WITHDRAWN = 9,
        CA_REASON_AA_COMPROMISE = 10,
        _CA_REASON_MAX,
} CaReason;

/* "keyCompromise"; NULL for a number that is none. */
const char *ca_reason_to_string(CaReason reason);
/* false for an unknown word. removeFromCRL is none: it is for delta CRLs, and there are none here. */
bool ca_reason_from_string(const char *text, CaReason *ret);
