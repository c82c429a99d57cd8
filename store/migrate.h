/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Migration to a newer schema
 *
 * An old store opens and scans as it is, so that the daemon can first recover it against its log. Then the
 * migration is a change like any other: prepare (a copy, `store.db.new`, with the new schema, every row's tag
 * made anew and checked, seq set), append the log line with the state of the copy, commit (one rename). The
 * previous file stays as `store.db.N`, N being its schema.
 */
#include "store/store.h"

typedef struct StoreMigration StoreMigration;

/* True if store_schema() is older than this program's. */
bool store_needs_migration(const Store *s);
/* Makes and checks the copy; `seq` is the number of the log line that will stand for the change. */
int store_migration_prepare(Store *s, uint64_t seq, StoreMigration **ret);
/* The migrated copy, open and scanned: for store_state(), and to try its keys. Borrowed. */
Store *store_migration_copy(StoreMigration *m);
/* Closes the old store and puts the copy in its place. On success *s is the new store; on failure it is as
 * before or, if it could not be opened again, NULL. */
int store_migration_commit(StoreMigration *m, Store **s);
/* Removes an uncommitted copy. */
StoreMigration *store_migration_free(StoreMigration *m);
DEFINE_CLEANUP(StoreMigration, store_migration_free)

/* Tests: a schema beyond the shipped ones. `sql` is what brings the schema before to this one; NULL ends the
 * hook. */
void store_migration_set_extra(const char *sql);
