/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What somebody asks a CA for
 *
 * A certificate signing request (RFC 2986), read as hostile: its signature proves that whoever made it has the key, its
 * key is above the floor, and nothing critical in it is passed over.
 */
#include "base/cleanup.h"
#include "ca/device.h"
#include "ca/problem.h"
#include "ca/profile.h"
#include "crypto/csr.h"

typedef struct CaRequest CaRequest;

/*
 * DER or PEM. HF_E_REQUEST_REFUSED with the sentence (bad signature, weak key, a critical extension nobody knows,
 * names that cannot be), HF_E_MESSAGE_TOO_LARGE (more than CSR_MAX bytes), -ENOMEM.
 */
int ca_request_read(Bytes text, CaProblem *problem, CaRequest **ret);
CaRequest *ca_request_free(CaRequest *r);
DEFINE_CLEANUP(CaRequest, ca_request_free)

/*
 * The same out of a certificate that this CA issued (DER): its key, subject, names and device, for one that follows it. Names of
 * devices are in it as we gave them. HF_E_REQUEST_REFUSED: it has what no profile gives.
 */
int ca_request_from_certificate(Bytes der, CaProblem *problem, CaRequest **ret);
/* Was it made from a certificate of ours? */
bool ca_request_is_ours(const CaRequest *r);
/* What that said of the device; borrowed. */
CaDevice ca_request_device(const CaRequest *r);

/* Borrowed from the request. */
Bytes ca_request_spki(const CaRequest *r);
/* Of that key, which was checked as ca_key_check() does. */
KeyAlgorithm ca_request_algorithm(const CaRequest *r);
/* It asks to be an authority. */
bool ca_request_wants_authority(const CaRequest *r);
/* The usage it asks for: bits of CaUsage, among them those that have no word there, and of CaExtended. */
uint32_t ca_request_usage(const CaRequest *r);
uint32_t ca_request_extended(const CaRequest *r);
/* The alternative names of one kind, NULL-terminated. */
const char *const *ca_request_names(const CaRequest *r, CaNameKind kind);
/* Parts of the subject in their order; false behind the last. */
bool ca_request_part(const CaRequest *r, size_t i, CaPart *ret_part, const char **ret_value);
/* Is a public key (SPKI, DER) fit for a certificate? HF_E_REQUEST_REFUSED with the weakness by name. */
int ca_key_check(Bytes spki, CaProblem *problem, KeyAlgorithm *ret);
