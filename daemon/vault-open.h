/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opening and making a store: what blocks, for the worker
 *
 * A VaultJob carries what goes in and what comes out. It owns what it has opened until the loop takes it
 * over.
 */
#include "daemon/backup.h"
#include "daemon/freshness.h"
#include "daemon/vault.h"

typedef enum VaultRepair {
        VAULT_REPAIR_NONE,
        VAULT_REPAIR_ROLLBACK, /* an operator accepts that store or log is older than it was */
        VAULT_REPAIR_FOREIGN,  /* an operator takes the store over onto this machine */
} VaultRepair;

typedef struct VaultJob {
        Daemon *daemon;
        int state_fd; /* borrowed */
        uint64_t segment_size;
        uint64_t keys_max;
        uint64_t served; /* by a signer that has outlived us; 0 else */
        SignerOpened keys;
        uint8_t life[16]; /* of the signer that gives them */
        VaultRepair repair;
        VaultInitParams init; /* descriptors borrowed from the call */
        bool pending;         /* made, but not the store before the recovery code was confirmed */
        Buffer new_slots;     /* make: the slots file; repair foreign: the one with our machine in it */
        Caller *caller;       /* NULL: nobody asked */
        bool given;           /* a secret came along */
        const char *memory;   /* SecretMemoryKind of the signer, as text */

        BackupContent *backup;    /* restore */
        int backup_fd, secret_fd; /* borrowed from the call */
        uint64_t lost;

        Freshness freshness; /* what the TPM has said; daemon/vault-tpm.c */
        FreshnessVerdict verdict;
        const char *tpm_lost; /* with this repair the keys of the TPM are lost, and why */
        uint64_t tpm_lost_when;
        bool has_tpm_keys;
        struct LostOccasion *occasions;
        size_t n_occasions;

        char reason[640];
        int store_fd, audit_fd;
        Store *store;
        AuditLog *log;
        Catalogue *catalogue;
        Uses *uses;
        Identities *identities;
        Registry *registry;
        Lists *lists;
        Buffer slots;
        uint8_t slots_hash[32];
        uint64_t epoch;
        uint64_t last_backup;
        uint64_t unlock_seq;

        VaultDoneFunc done; /* the loop's */
        void *userdata;
} VaultJob;

VaultJob *vault_job_new(Daemon *d);
VaultJob *vault_job_free(VaultJob *j); /* closes what was opened and nobody took */
DEFINE_CLEANUP(VaultJob, vault_job_free)

/* worker_post() functions. Results are HF_E_ or -errno, job->reason says it in a sentence. */
int vault_job_make(void *job);          /* STATE/store.new, complete and closed again */
int vault_job_restore_read(void *job);  /* the file into STATE/store.new */
int vault_job_restore_build(void *job); /* the keys are there: check it, give it its log */
int vault_job_open(void *job);          /* STATE/store, recovered; the line store.unlock is durable */

/* Pieces for those who make a store in another way: daemon/vault-restore.c, daemon/vault-rekey.c. */
int vault_job_because(VaultJob *j, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vault_job_make_dirs(VaultJob *j); /* an empty STATE/store.new with audit/ */
void vault_job_close(VaultJob *j);
AuditLogParams vault_job_log_params(const VaultJob *j, char id[static UUID_TEXT_SIZE]);
StoreParams vault_job_store_params(const VaultJob *j);

/* One change of an open job, all steps in a row. */
typedef struct SyncChange {
        const char *event;
        void (*fill)(const VaultJob *j, AuditLine *line, const void *userdata);
        const void *userdata;
        const uint8_t *slots_hash;
        uint64_t epoch;
        bool forfeit; /* counted uses, until granted again */
} SyncChange;
int vault_job_sync_change(VaultJob *j, const SyncChange *c);

/* Catalogue, uses and what else the loop wants to know, out of the open store. */
int vault_job_load(VaultJob *j);
/* Brings an open and settled store to this release's schema; daemon/vault-migrate.c. */
int vault_job_migrate(VaultJob *j);

/* Judges by what the TPM has said, before anything is written. HF_E_STORE_ROLLED_BACK, HF_E_TPM_IDENTITY_CHANGED. */
int vault_job_judge(VaultJob *j, const AuditRecovery *rec);
/* What a change that begins an epoch writes down of the TPM. */
int vault_job_put_tpm(VaultJob *j);
void vault_job_reanchor(VaultJob *j);

/* Copies the segments of STATE/store/audit into the job's audit directory. */
int vault_job_copy_segments(VaultJob *j);

#define STORE_DIR "store"
#define STORE_DIR_NEW "store.new"
/* Only ever a store.new, of which nobody was told that it is one. */
int vault_remove_new(int state_fd);
/* As vault_replace_with_new(), but what was there is removed. */
int vault_exchange_for_good(int state_fd);
/* STATE/store.new becomes STATE/store; what was there is kept as store.replaced-TIME. */
int vault_replace_with_new(int state_fd);
/* Renames STATE/store.new to STATE/store. */
int vault_commit_new(int state_fd);
