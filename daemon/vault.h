/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Vault: the store, its log and its slots as one thing that is open or not
 *
 * States are those of the method table: calls whose row does not list the state are answered with the state's
 * error. What holds everything together on disk:
 *
 *        STATE/store/        the store; its rename from store.new is the commit point of init
 *        STATE/store/store.db, lock, slots, slots.next, audit/
 */
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "audit/log.h"
#include "base/secret.h"
#include "keystore/keystore.h"
#include "link/signer.h"

typedef struct Caller Caller;
typedef struct Daemon Daemon;

typedef enum VaultState {
        VAULT_STARTING = 1u << 0, /* looking; lasts until the signer has answered */
        VAULT_UNINITIALISED = 1u << 1,
        VAULT_FOREIGN = 1u << 2,
        VAULT_LOCKED = 1u << 3,
        VAULT_REFUSED = 1u << 4, /* error and reason say why */
        VAULT_READY = 1u << 5,
        VAULT_ANY = (1u << 6) - 1,
} VaultState;

typedef struct Vault {
        VaultState state;
        int error; /* why it is not ready: HF_E_STORE_LOCKED, ... */
        char reason[640];
        bool busy;           /* an init, unlock, lock or recovery is under way */
        bool signer_open;         /* the signer holds the master of the open store */
        bool init_pending;   /* store.new waits for the recovery code */

        int state_fd;           /* STATE */
        int store_fd, audit_fd; /* STATE/store, STATE/store/audit; -EBADF when not there */

        Buffer slots; /* the slots file as it is in force */
        uint8_t slots_hash[32];
        SlotList slot_list;

        Store *store;
        AuditLog *log;
        sd_event_source *log_source;
        Catalogue *catalogue;
        Uses *uses;
        Identities *identities;
        Registry *registry;
        Lists *lists;
        Uuid store_id;
        uint8_t checkpoint_public[32];
        uint64_t epoch;
        uint64_t last_checkpoint; /* its line, and the note in it; "" before the first of this run */
        char last_note[CHECKPOINT_NOTE_MAX];
        bool has_tpm_keys;
        struct LostOccasion *occasions; /* daemon/lost.h */
        size_t n_occasions;
        uint64_t last_backup;        /* microseconds since 1970, 0: never */
        Secret *keys;                /* SignerOpened: the keys of the open store */
        uint64_t opened, opened_seq; /* when (monotonic) and at which line, for the pace of the log */
        uint64_t restored_sequence, restored_lost; /* of the last restore in this run */
        bool restored_log_lost;                    /* then nobody knows what was lost */
        uint8_t keys_hash[32]; /* SHA-256 of database and log key: another unlock must give the same */
} Vault;

const char *vault_state_to_string(VaultState s);

/* What a call gets that the present state does not answer. */
int vault_state_error(const Vault *v);

/* At start, and after a failed attempt: looks at the directory and says what is there. */
void vault_look(Daemon *d);
void vault_close(Daemon *d);

typedef void (*VaultDoneFunc)(void *userdata, int result, const char *reason, uint32_t slot);

/* Open with a secret (descriptor of the caller's, -EBADF for none) or by unattended slots. */
int vault_unlock(Daemon *d, bool attended, int secret_fd, const Caller *caller, VaultDoneFunc done,
                void *userdata);
void vault_lock(Daemon *d, Caller *caller, VaultDoneFunc done, void *userdata);

typedef struct VaultInitParams {
        SlotKind kind;
        bool unattended;
        char label[NAME_SIZE];
        SignerSlotTpm tpm; /* spans borrowed from the call */
        int secret_fd;   /* -EBADF: none */
        int recovery_fd; /* -EBADF: none */
} VaultInitParams;
int vault_init(Daemon *d, const VaultInitParams *params, const Caller *caller, VaultDoneFunc done,
                void *userdata);
int vault_confirm(Daemon *d, int code_fd, VaultDoneFunc done, void *userdata);
/* HF_E_STORE_INITIALISED: it is open, and the TPM is the one it was made with. */
int vault_recover(Daemon *d, bool accept_rollback, int secret_fd, const Caller *caller, VaultDoneFunc done,
                void *userdata);

/* The open store turns out not to be one to go on with: closes it, as a lock does, and says why. */
void vault_refuse(Daemon *d, VaultState state, int error, const char *reason);

/* Closes the store for a moment in which calls get Busy, for the reason given; for a rekey then opens STATE/store with
 * these keys, which the signer of this life has. */
void vault_pause(Daemon *d, const char *why);
int vault_open_again(Daemon *d, const SignerOpened *keys, const uint8_t life[static 16], VaultDoneFunc done,
                void *userdata);

/* `fd` and `secret_fd` are needed until `done`. The restored store takes the place of the one there is, which
 * is kept aside. */
int vault_restore(Daemon *d, int fd, int secret_fd, const Caller *caller, VaultDoneFunc done, void *userdata);

/* The signer came (back) or went. */
void vault_signer_up(Daemon *d, const SignerHello *hello);
void vault_signer_down(Daemon *d);
/* Something is not under way any more: if the signer has come back meanwhile, it is asked to open. */
void vault_ask_signer(Daemon *d);
/* Asks the signer what is in the slots file; ends in vault.slot_list. */
int vault_read_slots(Daemon *d, Bytes slots);
