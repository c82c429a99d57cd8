/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The keystore: store and catalogue in step
 *
 * A change to a key is a row written inside an open store transaction and, once that is committed, the same
 * change in the catalogue. Memory never runs ahead of the disk: keystore_put() and keystore_destroy() leave
 * the catalogue as it is, keystore_apply() comes after COMMIT and cannot fail.
 *
 *         store_begin, keystore_put, store_set_seq, ... log line ..., store_commit, keystore_apply
 */
#include "keystore/catalogue.h"
#include "keystore/identity.h"
#include "keystore/lists.h"
#include "keystore/registry.h"
#include "keystore/uses.h"
#include "store/store.h"

/* So many of these, on different keys, may be in one transaction; they are applied in the order they were
 * made. */
#define KEYSTORE_CHANGES_MAX 64

typedef struct KeystoreChange {
        KeyEntry *before; /* NULL: a new key */
        KeyEntry *after;  /* NULL: destroyed */
} KeystoreChange;

/* Drops the references; needed after apply and after a rollback alike. */
void keystore_change_deinit(KeystoreChange *change);
#define _cleanup_keystore_change_ __attribute__((cleanup(keystore_change_deinit)))

/* Fills them from the store: its one scan. All must be empty. Each may be NULL. */
int keystore_load(Store *store, Catalogue *catalogue, Uses *uses, Identities *identities, Registry *registry,
                Lists *lists);
/*
 * Writes the row of a new key (attributes->version 1, name free) or of the next version of one that is there
 * (version one more, same UUID, algorithm, purpose, protection and public key; not frozen before).
 * HF_E_KEY_EXISTS, HF_E_KEY_FROZEN, HF_E_INVALID_ARGS, HF_E_LIMIT_EXCEEDED, and what store_put_key() returns.
 */
int keystore_put(Store *store, Catalogue *catalogue, const KeyAttributes *attributes, Bytes wrapped,
                KeystoreChange *ret);
/* Leaves the tombstone row and deletes the key's use counts. HF_E_NO_SUCH_KEY, HF_E_KEY_FROZEN. */
int keystore_destroy(Store *store, Catalogue *catalogue, const Uuid *uuid, KeystoreChange *ret);
/* After COMMIT. `uses` may be NULL. Does not free the change. */
void keystore_apply(Catalogue *catalogue, Uses *uses, KeystoreChange *change);
