/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Identities in the daemon: rows and files in step
 *
 * An identity is set and removed by an ordinary change. Its files (daemon/tls-files.h) are written before the change
 * begins and pointed to after COMMIT, so that a disk without space refuses before anything is done; a stop in between is
 * put right when the store opens next, which compares all files with the store and records what differed.
 */
#include "daemon/operation.h"
#include "daemon/tls-files.h"
#include "daemon/vault-open.h"
#include "x509/finding.h"

#define ISSUER_MANUAL "manual"

/* What is already checked. Spans and texts are borrowed from the caller, who keeps them until the call returns. */
typedef struct IdentitySet {
        const char *name, *layout;
        Bytes chain, trust, pins; /* canonical, as a row has them */
        uint64_t not_before, not_after;
        uint8_t fingerprint[32]; /* SHA-256 of the leaf */
        FindingList warnings; /* told with the answer */
} IdentitySet;

/* op->key is the key. Answers with the description. 0, -ENOMEM. */
int identity_set(Operation *op, const IdentitySet *set);
/* op->identity and op->key are there. Answers. 0, -ENOMEM. */
int identity_unset(Operation *op);

/* How a key is called: by its name, or by its UUID once it is retired. Returns `uuid`, or the key's own text. */
const char *identity_key_handle(const KeyEntry *key, char uuid[static UUID_TEXT_SIZE]);
/* What the files of an identity have to be; everything borrowed. */
TlsContent identity_content(const IdentityEntry *e, const KeyEntry *key);
/* In the worker, at an opening: files as the store says, and a line for each that was not. Failures are told and do not keep
 * the store from opening. */
void vault_job_settle_tls(VaultJob *j);

#define IDENTITIES_TOLD 40
#define IDENTITIES_TEXT_SIZE 512
/* Names of those whose keys are gone with their TPM: `max` at most; borrowed. */
size_t identities_lost(const Daemon *d, const char **ret, size_t max);
/* The same as the entry `identities-lost` of an a{sv}; nothing where there is none. */
int identities_append_lost(const Daemon *d, sd_bus_message *m);
/* Names of those that stand on this key, space between, as many as there is room for. */
void identities_of_key(const Identities *all, const Uuid *key, char ret[static IDENTITIES_TEXT_SIZE]);

/* One word for lists: valid, not-yet-valid, expired; key-lost and key-unusable (disabled) come before these. key-retired: valid,
 * and the name of its key is, or may be, another key's. */
const char *identity_state(const IdentityEntry *e, const KeyEntry *key, uint64_t now);
/* The description, as an a{sv}; `chain` with the certificates themselves, `warnings` may be NULL. */
int identity_append(const Daemon *d, sd_bus_message *m, const IdentityEntry *e, bool chain, const FindingList *warnings);
