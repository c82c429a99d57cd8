/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A signer with a TPM behind it: the real holdfast-signer, the real holdfast-tpm, a swtpm of one's own
 */
#include "../tpm/rig.h"
#include "peer.h"

typedef struct Chip {
        Peer peer;
        Rig rig; /* swtpm and its directory; its own end of the channel is not used */
        pid_t program;
} Chip;

/* For cmocka: all three run, no store yet. */
int chip_setup(void **state);
int chip_teardown(void **state);
void chip_start_program(Chip *c);
void chip_end_program(Chip *c, int signal);
/* A cold boot: the TPM is reset, everything else starts anew. */
void chip_reboot(Chip *c);
/* One of tpm2-tools; fails the test if it fails. */
void chip_tool(Chip *c, const char *command);

/* The requests that answer with slots keep them in peer.slots. */
typedef struct ChipSlot {
        SlotKind kind;
        const char *label;
        const char *pcrs;   /* or NULL */
        const char *secret; /* passphrase or PIN, or NULL */
        const uint8_t *device_key;
        TpmPolicyKey policy;
} ChipSlot;
int chip_init(Chip *c, const ChipSlot *slot, SignerOpened *ret);
int chip_slot_add(Chip *c, const ChipSlot *slot, uint32_t *ret_id);
/* SLOT_REMOVE, SLOT_CHANGE, SLOT_RESEAL. `extra` is what follows the id, as it is. */
int chip_slot_verb(Chip *c, SignerRequest verb, uint32_t id, Bytes extra, const char *secret);
int chip_adopt(Chip *c, bool *ret_other);
int chip_rekey(Chip *c, const ChipSlot *slot, Buffer *ret_slots);
void chip_slots(Chip *c, SlotList *ret);
int chip_unlock(Chip *c, bool attended, const char *secret, char reasons[static 1024]);
/* By itself, with what a policy key has approved. */
int chip_unlock_signed(Chip *c, const SignerSignature *signatures, size_t n, char reasons[static 1024]);
SignerTpmMatch chip_state(Chip *c, TpmState *ret);
int chip_counter(Chip *c, TpmCounterAction action, Bytes slots, uint64_t *ret);
/* A key of the TPM, generated. */
int chip_key(Chip *c, PeerKey *k, KeyAlgorithm algorithm, KeyPurpose purpose);
int chip_sign(Chip *c, const PeerKey *k, Scheme scheme);
