/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The subject and the alternative names of a certificate, within a profile (inside this room). */
#include <openssl/x509v3.h>

#include "ca/certificate.h"

/* From the request, with what is set over it. HF_E_REQUEST_REFUSED. */
int subject_make(const CaCertificateParams *p, CaProblem *problem, CaSummary *summary, X509_NAME *ret);
/* Those of the request, those given, those of the device; NULL if there are none. HF_E_REQUEST_REFUSED. */
int subject_make_names(const CaCertificateParams *p, CaProblem *problem, CaSummary *summary, GENERAL_NAMES **ret);
/* Those of another CA, as they are: of one that follows it. Names: NULL if it has none. -ENOMEM. */
int subject_like(const CaIssuer *like, X509_NAME **ret);
int subject_like_names(const CaIssuer *like, GENERAL_NAMES **ret);
