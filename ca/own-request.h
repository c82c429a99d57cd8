/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a CA asks for itself
 *
 * An intermediate whose root is elsewhere goes there with a signing request (RFC 2986) that says what it wants to be: an
 * authority that signs certificates and lists. What comes back is up to the other side, and is checked when it does.
 */
#include "ca/certificate.h"

/*
 * Appends what its key has to sign; crypto/csr.h finishes it. Of p, these count: profile (one of authorities), spki, set, names.
 * `before` is the certificate it has already, or that of the CA it follows, whose subject the next one needs too (then nothing is
 * set) and whose alternative names it gets where none are given; or NULL.
 * HF_E_REQUEST_REFUSED with the sentence, -ENOMEM.
 */
int ca_own_request_prepare(const CaCertificateParams *p, const CaIssuer *before, CaProblem *problem, Buffer *ret_tbs);
