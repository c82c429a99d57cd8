/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Vault: master and derived keys of the store that is open
 *
 * Its secrets lie on pages of their own in secret memory. Handlers that use them hold the lock shared for the
 * time of their job, those that change what is open hold it alone; the table in requests.c says which is
 * which, so a handler takes no lock itself.
 */
#include <pthread.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/uuid.h"
#include "link/signer.h"
#include "seal/counter.h"
#include "seal/keys.h"
#include "seal/slots.h"
#include "signer/tpm-slot.h"

#define CREDENTIAL_MAX 1024

typedef struct VaultSecrets {
        uint8_t master[MASTER_SIZE];
        SealKeys keys;
        uint8_t next_master[MASTER_SIZE]; /* a rekey under way */
        SealKeys next;
        TpmCounter fresh_counter; /* of a store which is fresh: if it is made once more, this one goes */
        size_t credential_len; /* 0: none was given */
        uint8_t credential[CREDENTIAL_MAX];
} VaultSecrets;

typedef struct Vault {
        pthread_rwlock_t lock;
        VaultSecrets *secrets;
        bool open;
        bool has_next;
        uint8_t next_nonce[24]; /* of the first slot of the next master, so of the file that comes with it */
        bool fresh; /* made by SIGNER_INIT and not unlocked since: may be made once more */
        bool shut;  /* locked by order: no unattended try until the next attended one */
        Uuid store_id;
        uint32_t slot; /* the one that opened it */
        uint8_t tpm[TPM_NAME_SIZE]; /* identity of the TPM it was made with; zeros: none */
        bool machine_known;
        uint8_t machine[SLOTS_MACHINE_SIZE]; /* zeros: not known */
} Vault;

/* 0 or -errno (no secret memory). */
int vault_init(Vault *v);
void vault_deinit(Vault *v);
/* Takes the master in and derives its keys; whose store it is, `slots` says. */
void vault_open(Vault *v, const Slots *slots, uint32_t slot, const uint8_t master[static MASTER_SIZE]);
/* Erases all but the credential. */
void vault_shut(Vault *v);
/* The new master of a rekey, beside the one in use; `slots` wrap it. */
void vault_prepare(Vault *v, const Slots *slots, const uint8_t master[static MASTER_SIZE]);
/* keep: the new one takes the old one's place; else it is forgotten. */
void vault_settle(Vault *v, bool keep);
/* Which of the two stays if holdfastd died before it said so: the one whose slots file is in force now. */
bool vault_next_is_of(const Vault *v, const Slots *slots);

static inline Bytes vault_credential(const Vault *v)
{
        return BYTES(v->secrets->credential, v->secrets->credential_len);
}
