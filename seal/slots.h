/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The slots file
 *
 * The master, wrapped once for each way of opening it (docs/formats/slots.md). The file is not secret and
 * comes from a disk that anybody may have written to: it is parsed once, strictly and within bounds, into a
 * Slots; nothing else ever looks at its bytes. Header and slots carry short check values against bit rot, so
 * that a damaged slot is told from a wrong passphrase and the other slots still open. They do not
 * authenticate: the AEAD of the slot does, and holdfastd compares the hash of the whole file with its
 * database.
 */
#include "base/bytes.h"
#include "base/uuid.h"
#include "link/signer.h"
#include "seal/keys.h"
#include "seal/slot-tpm.h"

#define SLOTS_FORMAT 1
#define SLOTS_MACHINE_SIZE 32
#define SLOTS_COUNTER_AUTH_SIZE 72
#define SLOT_SALT_SIZE 16
#define SLOT_TPM_SECRET_SIZE 32 /* what a TPM keeps or makes for a slot */
#define SLOT_CREDENTIAL_MIN 16 /* bytes */
#define SLOT_MEMORY_MIN 8192u  /* Argon2id, KiB */
#define SLOT_MEMORY_MAX (256u << 10)
#define SLOT_MEMORY_USUAL (64u << 10)
#define SLOT_PASSES_MAX 10u
#define SLOT_PASSES_USUAL 3u

typedef struct Slot {
        uint32_t id;
        SlotKind kind;
        char label[NAME_SIZE];
        uint64_t created; /* microseconds since 1970 */
        uint32_t memory;  /* Argon2id: KiB and passes; 0 where nothing is derived from what a person knows */
        uint32_t passes;
        uint16_t extra_len; /* seal/slot-tpm.h; 0 for the other kinds */
        uint8_t extra[SLOT_EXTRA_MAX];
        uint8_t salt[SLOT_SALT_SIZE];
        uint8_t nonce[24];
        uint8_t wrapped[MASTER_SIZE + 16];
        uint8_t check[8]; /* as it stood in the file */
        bool damaged;
} Slot;

typedef struct Slots {
        Uuid store_id;
        uint8_t machine[SLOTS_MACHINE_SIZE]; /* slots_machine() of where the store lives; zeros: not known */
        uint8_t tpm[TPM_NAME_SIZE]; /* identity of the TPM it was made with; zeros: none */
        uint32_t counter;           /* NV index of the counter in it; 0: none. seal/counter.h */
        uint8_t counter_auth[SLOTS_COUNTER_AUTH_SIZE];
        uint32_t next_id;
        size_t n;
        Slot slots[SLOTS_MAX];
} Slots;

typedef struct SlotParams {
        SlotKind kind;
        const char *label;
        uint64_t created;
        uint32_t memory, passes; /* 0: the usual */
        Bytes secret;            /* credential, passphrase: the bytes; recovery: RECOVERY_ENTROPY bytes; TPM kinds:
                                  * SLOT_TPM_SECRET_SIZE bytes that the TPM gives again */
        const SlotTpm *tpm;      /* TPM kinds */
        const uint8_t *salt;     /* a PIN's: SLOT_SALT_SIZE bytes that went into slot_pin(); else NULL */
} SlotParams;

void slots_init(Slots *s, const Uuid *store_id, const uint8_t machine[static SLOTS_MACHINE_SIZE]);
/* 0, HF_E_STORE_DAMAGED, HF_E_STORE_TOO_NEW (a format this version does not know). */
int slots_parse(Bytes file, Slots *ret);
int slots_encode(const Slots *s, Buffer *ret);
/* What can be told about them. */
void slots_list(const Slots *s, const uint8_t machine[static SLOTS_MACHINE_SIZE], SlotList *ret);
bool slots_machine_matches(const Slots *s, const uint8_t machine[static SLOTS_MACHINE_SIZE]);
bool slots_have_tpm(const Slots *s); /* they name a TPM */
/* NULL where there is none. */
const Slot *slots_find(const Slots *s, uint32_t id);
static inline Bytes slot_extra(const Slot *s)
{
        return BYTES(s->extra, s->extra_len);
}

/* 0; HF_E_INVALID_NAME (label); HF_E_SLOT_EXISTS (label taken); HF_E_LIMIT_EXCEEDED (SLOTS_MAX, SLOT_EXTRA_MAX);
 * HF_E_LAST_SLOT (tpm2-derived, and there is no slot of another kind); HF_E_INVALID_ARGS (an empty secret, a short
 * credential, parameters out of range); -ENOMEM. */
int slots_add(Slots *s, const SlotParams *params, const uint8_t master[static MASTER_SIZE], uint32_t *ret_id);
/* HF_E_NO_SUCH_SLOT; HF_E_LAST_SLOT (it would leave none, or only tpm2-derived ones). */
int slots_remove(Slots *s, uint32_t id);
/* The same slot with a new secret, salt and nonce; kind, label and date of `params` are not looked at.
 * HF_E_NO_SUCH_SLOT and as slots_add(). */
int slots_change(Slots *s, uint32_t id, const SlotParams *params, const uint8_t master[static MASTER_SIZE]);
/* A PIN as the TPM gets it: Argon2id with the usual parameters for a new slot, or with those of one. The PIN itself stays
 * here. HF_E_INVALID_ARGS (empty), -ENOMEM. */
int slot_pin(const Slot *slot, const uint8_t salt[static SLOT_SALT_SIZE], Bytes pin, uint8_t ret[static TPM_AUTH_SIZE]);
/* 0; HF_E_UNLOCK_FAILED (wrong secret); HF_E_STORE_DAMAGED (this slot is); -ENOMEM. */
int slot_open(const Slots *s, const Slot *slot, Bytes secret, uint8_t ret_master[static MASTER_SIZE]);

/* One machine, told from another by the content of its machine-id file. */
void slots_machine(Bytes machine_id, uint8_t ret[static SLOTS_MACHINE_SIZE]);
