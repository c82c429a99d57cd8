/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Policies: what must hold before a sealed secret is given out
 *
 * A policy is computed here, in plain arithmetic, when something is sealed, and carried out in a policy session when it is
 * unsealed: PCRs as they were, or PCRs somebody approved; then, where there is one, the PIN. TCG TPM 2.0 Part 3, section 23.
 */
#include "tpm/kept.h"
#include "tpm/ossl-context.h"

typedef struct PolicyTerms {
        const TpmPcrs *pcrs; /* with values */
        const TpmPolicyKey *key;
        bool has_pin;
} PolicyTerms;

TPM2_ALG_ID pcr_hash(TpmBank bank);
void pcr_select(TpmBank bank, uint32_t mask, TPML_PCR_SELECTION *ret);
/* The values of p's PCRs as the TPM tells them in the session. HF_E_ALGORITHM_NOT_SUPPORTED: it has no such bank. */
int pcr_read(Kept *k, TpmPcrs *p);
/* "pcr sha256:7+11": those whose values differ. False: none. */
bool pcr_name_changes(const TpmPcrs *was, const TpmPcrs *is, char *ret, size_t size);

int policy_digest(const PolicyTerms *terms, uint8_t ret[static DIGEST_SIZE]);
/* PolicyPCR alone: what an approval is about. */
int policy_pcr_digest(const TpmPcrs *pcrs, uint8_t ret[static DIGEST_SIZE]);
/* In a policy session: PolicyPCR; PolicyAuthorize by one of the signatures; PolicyAuthValue. HF_E_PCR_CHANGED: the PCRs moved
 * meanwhile, or no signature is good. */
int policy_satisfy(Device *d, ESYS_TR session, const PolicyTerms *terms, const TpmUnsealing *u);
