/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Key slots of the TPM kinds: what they are made with, and what is shown of them. */
#include "daemon/operation.h"

typedef struct SlotTpmOptions {
        const char *pcr;  /* "7+11" */
        Bytes policy_key; /* SubjectPublicKeyInfo */
        const char *key;  /* name or UUID of the device key */
} SlotTpmOptions;

/* What the options mean for a slot of this kind; an option that it has no use for is HF_E_INVALID_ARGS. Spans are the
 * options'. HF_E_NO_SUCH_KEY, HF_E_NOT_SUPPORTED (the key has no public half), HF_E_ALGORITHM_NOT_SUPPORTED (policy key). */
int slot_tpm_read(const Operation *op, SlotKind kind, const SlotTpmOptions *o, bool pin, SignerSlotTpm *ret);
/* The body of SIGNER_SLOT_ADD. */
int slot_put_add(Buffer *b, Bytes slots, SlotKind kind, const char *label, const SignerSlotTpm *tpm);
int slot_append_tpm(const Operation *op, sd_bus_message *m, const SlotEntry *e);
/* Is a slot made from the key with this public half? */
bool slot_needs_key(const Vault *v, Bytes spki);
