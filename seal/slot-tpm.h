/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a slot of the TPM kinds keeps beside the wrapped master
 *
 * Nothing of it is secret: the blob opens in its TPM alone. It is part of the slot's associated data all the same, so that
 * nobody makes a slot look as if it were bound to other PCRs, or as if it needed no PIN (docs/formats/slots.md).
 */
#include "link/signer.h"

#define SLOT_EXTRA_MAX 2048

typedef struct SlotTpm {
        TpmBlob blob;           /* tpm2: the sealed secret; tpm2-derived: a key for HMAC */
        TpmPcrs pcrs;           /* tpm2: with the values it is bound to, which name a change */
        bool pin;               /* tpm2 */
        TpmPolicyKey policy;    /* tpm2 */
        uint8_t device_key[32]; /* tpm2-derived: SHA-256 of the SPKI */
} SlotTpm;

/* Appends. HF_E_LIMIT_EXCEEDED: more than SLOT_EXTRA_MAX bytes. */
int slot_tpm_encode(SlotKind kind, const SlotTpm *t, Buffer *b);
/* Spans are borrowed. HF_E_STORE_DAMAGED: not what a slot of this kind keeps; other kinds keep nothing. */
int slot_tpm_decode(SlotKind kind, Bytes extra, SlotTpm *ret);
/* What systemd calls the policy key (`pkfp`): pubkey_inner_fingerprint(). HF_E_STORE_DAMAGED: there is none, or none of ours. */
int slot_tpm_policy_key(const SlotTpm *t, uint8_t ret[static 32]);
