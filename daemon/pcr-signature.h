/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Signed PCR policies
 *
 * Who announces an OS update signs the PCR policy it will have; systemd-measure(1) writes such signatures as
 * tpm2-pcr-signature.json:
 *
 *        {"sha256":[{"pcrs":[11],"pkfp":"HEX","pol":"HEX of the policy's digest","sig":"BASE64"}, ...], ...}
 *
 * `pkfp` is the policy key's fingerprint, the SHA-256 of its PKCS#1 form or of its point; a slot takes the entries of its
 * own key, bank and PCRs, so that others may stand beside them. They are no secrets and need no trust: the TPM checks
 * them against the slot's policy key. What is read here is bounded and, so that a stranger's file cannot keep the store
 * shut, must belong to root or ourselves.
 */
#include "link/signer.h"

#define PCR_SIGNATURE_FILE_MAX (64 * 1024)

typedef struct PcrSignatures {
        size_t n;
        SignerSignature items[SIGNER_SIGNATURES]; /* spans of `space` */
        uint8_t space[SIGNER_SIGNATURES][TPM_NUMBER_MAX];
} PcrSignatures;

/* Those of SHA-256 and SHA-384 banks. HF_E_INVALID_ARGS: not that form; HF_E_LIMIT_EXCEEDED: more than SIGNER_SIGNATURES. */
int pcr_signatures_parse(Bytes json, PcrSignatures *ret);
/* The first of the files (blanks between) that exists. 0 and n = 0 where there is none, or a bad one, which is told in
 * the journal: the other slots do not need it. */
void pcr_signatures_read(const char *paths, PcrSignatures *ret);
