/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Public areas: those we ask for, those we take in, and the numbers in them
 *
 * Every size in a public area that came from a TPM or a file is checked here before somebody believes it.
 */
#include <tss2/tss2_tpm2_types.h>

#include "link/tpm.h"

/* The storage parents a key file may mean by "owner"; 0 is ours. */
#define TEMPLATE_PARENTS 3
void template_parent(size_t i, TPM2B_PUBLIC *ret);
/* Restricted, for decryption, of this TPM alone, with a name of ours. */
bool template_is_parent(const TPMT_PUBLIC *p);
/* 0 or HF_E_INVALID_ARGS: nothing of ours is made for both. */
int template_key(TpmAlgorithm algorithm, TpmUse use, TPM2B_PUBLIC *ret);
/* What a key of another program can be for us. 0 or HF_E_ALGORITHM_NOT_SUPPORTED. */
int template_recognise(const TPMT_PUBLIC *p, TpmAlgorithm *ret_algorithm, TpmUse *ret_use);
/* x || y, n, or nothing for a MAC key, at their full length. 0 or HF_E_TPM_FAILED: sizes that do not fit. */
int template_number(const TPMT_PUBLIC *p, uint8_t ret[static TPM_NUMBER_MAX], size_t *ret_len);
/* Length of a coordinate or modulus; 0: none we know. */
size_t template_size(const TPMT_PUBLIC *p);

/* A number as a TPM writes it, which may have lost its leading zeros, to exactly `size` bytes. HF_E_TPM_FAILED if longer. */
int number_pad(const uint8_t *data, size_t len, uint8_t *ret, size_t size);

/* The whole span is one structure. 0 or HF_E_KEY_MISMATCH. */
int public_unmarshal(Bytes b, TPM2B_PUBLIC *ret);
int private_unmarshal(Bytes b, TPM2B_PRIVATE *ret);
/* Into at most TPM_PART_MAX bytes. 0 or HF_E_TPM_FAILED. */
int public_marshal(const TPM2B_PUBLIC *p, uint8_t ret[static TPM_PART_MAX], size_t *ret_len);
int private_marshal(const TPM2B_PRIVATE *p, uint8_t ret[static TPM_PART_MAX], size_t *ret_len);
/* TPMT_PUBLIC without its length. */
int area_marshal(const TPMT_PUBLIC *p, uint8_t ret[static TPM_PART_MAX], size_t *ret_len);
