/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The order in which TLS wants a chain (RFC 5246 section 7.4.2): each certificate followed by its issuer's. */
#include "x509/chain.h"

/* `ret` gets the numbers of the certificates, cert_chain_count() of them: the leaf, its issuer and so on up, then what
 * belongs to neither, in the order it had. */
void cert_chain_order(const CertChain *chain, size_t ret[static CERT_CHAIN_MAX]);
