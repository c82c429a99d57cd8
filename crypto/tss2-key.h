/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Key files of other programs that use a TPM
 *
 * "TSS2 PRIVATE KEY" as tpm2-openssl, the TPM engines and ssh-tpm-agent write it: a blob that its TPM can load, and under
 * which parent (ASN.1 Specification for TPM 2.0 Key Files, draft of J. Bottomley). Only the form is read here; what is in
 * the two parts is the TPM's to judge.
 */
#include "base/bytes.h"

#define TSS2_KEY_KIND "TSS2 PRIVATE KEY"
#define TSS2_PART_MAX 1024

typedef struct Tss2Key {
        uint32_t parent; /* a hierarchy, or a persistent handle */
        size_t public_len, private_len;
        uint8_t public[TSS2_PART_MAX]; /* TPM2B_PUBLIC, marshalled */
        uint8_t private[TSS2_PART_MAX]; /* TPM2B_PRIVATE, marshalled: ciphertext of the TPM's */
} Tss2Key;

/* PEM. HF_E_INVALID_ARGS: not in that form. HF_E_NOT_SUPPORTED: an importable or a sealed object, or one with a policy. */
int tss2_key_parse(Bytes text, Tss2Key *ret);
