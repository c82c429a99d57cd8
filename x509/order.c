/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/order.h"

#include <openssl/x509v3.h>
#include <stdbool.h>

/* The first one not taken yet that says it issued this; the number of certificates if there is none. */
static size_t find_issuer(const CertChain *chain, size_t of, const bool *taken)
{
        size_t n = cert_chain_count(chain), i = 1;

        while (i < n && (taken[i] || X509_check_issued(cert_chain_at(chain, i), cert_chain_at(chain, of)) != X509_V_OK))
                i++;
        return i;
}

void cert_chain_order(const CertChain *chain, size_t ret[static CERT_CHAIN_MAX])
{
        size_t n = cert_chain_count(chain), put = 0;
        bool taken[CERT_CHAIN_MAX] = {false};

        for (size_t at = 0; at < n; at = find_issuer(chain, at, taken)) {
                taken[at] = true;
                ret[put++] = at;
        }
        for (size_t i = 0; i < n; i++)
                if (!taken[i])
                        ret[put++] = i;
}
