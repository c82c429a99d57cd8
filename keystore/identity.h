/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Identities
 *
 * A key with the certificates that belong to it, whom its owner trusts, and how its files are laid out. All of them are in
 * memory, sorted by name; an entry is immutable and counted, as a KeyEntry is. Room is made before a row is written, so
 * that applying a change after COMMIT cannot fail:
 *
 *         store_begin, identity_put, store_set_seq, ... log line ..., store_commit, identity_apply
 */
#include "store/store.h"

#define IDENTITIES_MAX 4096

typedef struct Identities Identities;

typedef struct IdentityEntry {
        unsigned refs;        /* atomic; use identity_ref() and identity_unref() */
        StoreIdentityRow row; /* its spans lie behind it and live as long */
        uint8_t data[];
} IdentityEntry;

/* -ENOMEM. */
int identity_new(const StoreIdentityRow *row, IdentityEntry **ret);
IdentityEntry *identity_ref(IdentityEntry *e);
IdentityEntry *identity_unref(IdentityEntry *e); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(IdentityEntry, identity_unref)

int identities_new(Identities **ret);
Identities *identities_free(Identities *all);
DEFINE_CLEANUP(Identities, identities_free)
size_t identities_count(const Identities *all);
/* In order of name; borrowed until the next change. NULL behind the last. */
IdentityEntry *identities_at(const Identities *all, size_t i);
/* Borrowed until the next change; NULL if there is none. */
IdentityEntry *identities_find(const Identities *all, const char *name);
/* The first one behind this name, which need not be there; "" for the first of all. */
IdentityEntry *identities_after(const Identities *all, const char *name);
/* One that stands on this key. */
IdentityEntry *identities_find_key(const Identities *all, const Uuid *key);
/* At load. HF_E_STORE_DAMAGED if the name is there already, -ENOMEM. */
int identities_load(Identities *all, const StoreIdentityRow *row);

typedef struct IdentityChange {
        IdentityEntry *before; /* NULL: a new one */
        IdentityEntry *after;  /* NULL: removed */
} IdentityChange;

/* Drops the references; needed after apply and after a rollback alike. */
void identity_change_deinit(IdentityChange *change);
#define _cleanup_identity_change_ __attribute__((cleanup(identity_change_deinit)))

/* In a transaction: writes the row, new or over the one of its name; version and time of creation are seen to here.
 * HF_E_LIMIT_EXCEEDED (IDENTITIES_MAX), HF_E_INVALID_ARGS, -ENOMEM, and what store_put_identity() returns. */
int identity_put(Store *store, Identities *all, const StoreIdentityRow *row, IdentityChange *ret);
/* In a transaction. HF_E_NO_SUCH_IDENTITY. */
int identity_remove(Store *store, Identities *all, const char *name, IdentityChange *ret);
/* After COMMIT; cannot fail. Does not free the change. */
void identity_apply(Identities *all, IdentityChange *change);
