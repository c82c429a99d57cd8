/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Slots of the TPM kinds, and the TPM's part in a store
 *
 * tpm2: 32 random bytes sealed in the TPM, to PCRs, to whatever a policy key approves, to a PIN, or to the TPM alone.
 * tpm2-derived: what a key in the TPM makes of the device key's fingerprint. Both give SLOT_TPM_SECRET_SIZE bytes, which
 * room seal/ takes like any other secret. All of it waits for the TPM and belongs on a worker of COST_TPM.
 */
#include "base/uuid.h"
#include "seal/slots.h"
#include "signer/tpm-link.h"

/* A slot on its way into the file. */
typedef struct TpmSlot {
        SlotTpm tpm; /* spans lie in `exchange` and where the policy key came from */
        uint8_t secret[SLOT_TPM_SECRET_SIZE];
        uint8_t salt[SLOT_SALT_SIZE]; /* of the PIN, if there is one */
        TpmExchange exchange;
} TpmSlot;

/* `kind` is one of the two; `pin` empty unless asked->pin; `parent`: the identity the slot is bound to, zeros: any.
 * HF_E_INVALID_ARGS (a policy key without PCRs, an empty PIN), and as tpm_call(). */
int tpm_slot_make(
        TpmLink *l, SlotKind kind, const SignerSlotTpm *asked, Bytes pin, const uint8_t parent[static TPM_NAME_SIZE],
        TpmSlot *ret);
void tpm_slot_erase(TpmSlot *s);

typedef struct TpmAttempt {
        Bytes pin; /* or empty */
        const SignerSignature *signatures; /* of any slot: those that are for this one are taken */
        size_t n_signatures;
} TpmAttempt;
/* The secret again. Results of TPM_UNSEAL and of tpm_call(); `ret_detail` is their detail. */
int tpm_slot_open(
        TpmLink *l, const Slot *slot, const TpmAttempt *attempt, uint8_t ret[static SLOT_TPM_SECRET_SIZE],
        char ret_detail[static TPM_DETAIL_MAX]);

/* The store's counter in the TPM, and what it takes to use it. */
typedef struct TpmCounter {
        uint32_t index; /* 0: none */
        uint8_t auth[TPM_AUTH_SIZE];
        uint8_t tpm[TPM_NAME_SIZE]; /* the one it is in */
} TpmCounter;
/* TPM_COUNTER. */
int tpm_counter(TpmLink *l, TpmCounterAction action, const TpmCounter *c, uint64_t *ret);
/* A new one, whose index is set, where there is room nearest to where this store's is looked for. One that the store left
 * in this TPM, before it was on another board, goes: a new one stands higher than it ever did. */
int tpm_counter_define(TpmLink *l, const Uuid *store_id, TpmCounter *c);
