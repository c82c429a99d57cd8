/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Keys in the TPM
 *
 * Such a key is a PrivKey whose private half is far away (crypto/privkey.h): whatever uses keys uses these as well. Its
 * raw form is what the TPM needs to load it, and an authorisation that only the envelope knows, so that a blob alone
 * is of no use to another user of the TPM (docs/formats/envelope.md).
 */
#include "crypto/attributes.h"
#include "crypto/privkey.h"
#include "crypto/tss2-key.h"
#include "signer/tpm-link.h"

/* Made in the TPM, bound to the primary named `parent` (zeros: any). HF_E_ALGORITHM_NOT_SUPPORTED: ours or the TPM's
 * tables have no row for it; and as tpm_call(). `l` outlives the key. */
int tpm_key_create(TpmLink *l, const KeyAttributes *a, const uint8_t parent[static TPM_NAME_SIZE], PrivKey **ret);
/* Takes in a key of another program that the same TPM made, with an authorisation of our own. Algorithm and, with `usual`,
 * purpose of `a` are then the key's. `auth`: the authorisation it has, or empty. HF_E_PURPOSE_NOT_PERMITTED: it is for
 * something else; HF_E_KEY_MISMATCH: of another TPM; HF_E_UNLOCK_FAILED: not this authorisation; `ret_detail` says then how
 * many tries the TPM has left, empty where it counted none. */
int tpm_key_adopt(
        TpmLink *l, const Tss2Key *file, Bytes auth, const uint8_t parent[static TPM_NAME_SIZE], bool usual, KeyAttributes *a,
        PrivKey **ret, char ret_detail[static TPM_DETAIL_MAX]);
/* Out of its raw form. HF_E_KEY_MISMATCH: the TPM would know it by another public half than the attributes. */
int tpm_key_open(TpmLink *l, const KeyAttributes *a, Bytes raw, PrivKey **ret);

/* Appends a block: what the TPM's attestation key says of this key (TpmCertificate). HF_E_TPM_FAILED: of another one. */
int tpm_key_certify(TpmLink *l, const PrivKey *k, Bytes nonce, Buffer *ret);

/* What lies in the raw form; spans are borrowed from it. */
typedef struct TpmKey {
        uint8_t auth[TPM_AUTH_SIZE];
        TpmBlob blob;
} TpmKey;
#define TPM_KEY_FORMAT 1
/* HF_E_KEY_MISMATCH: not in that form. */
int tpm_key_parse(Bytes raw, TpmKey *ret);
