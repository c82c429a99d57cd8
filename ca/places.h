/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where to ask about a certificate: authorityInfoAccess and cRLDistributionPoints, as its profile says. */
#include <openssl/x509.h>

#include "ca/certificate.h"

/* Adds what the profile has, but nothing to a certificate that signs itself. -ENOMEM, -EMSGSIZE. */
int places_add(const CaCertificateParams *p, STACK_OF(X509_EXTENSION) **list);
