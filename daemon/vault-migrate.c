/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store of an older release
 *
 * It is opened and settled with its log as it is, and then brought to this release's schema: a change like any other.
 * Prepare is the migrated copy (store/migrate.h), in which every key must be what it was, bit for bit, so that the signer
 * opens it as before; the line `store.upgrade` says the copy's state; COMMIT is the rename of the copy. A stop between any
 * two steps leaves the one store or the other, and the next opening settles which. The file before stays.
 */
#include "base/error.h"
#include "daemon/vault-open.h"
#include "store/migrate.h"

static bool same_key(const KeyEntry *a, const KeyEntry *b)
{
        return bytes_equal(key_entry_attributes(a), key_entry_attributes(b)) &&
               bytes_equal(key_entry_wrapped(a), key_entry_wrapped(b));
}

static bool same_keys(const Catalogue *before, const Catalogue *after)
{
        CatalogueCursor cursor = {0};
        KeyEntry *key;

        if (catalogue_count(before) != catalogue_count(after))
                return false;
        while (catalogue_list(before, &cursor, &key, 1) == 1) {
                const KeyEntry *other = catalogue_find_uuid(after, &key->uuid);

                if (!other || !same_key(key, other))
                        return false;
        }
        return true;
}

static int check_copy(VaultJob *j, Store *copy)
{
        _cleanup_(catalogue_freep) Catalogue *after = NULL;
        int r;

        r = catalogue_new(j->keys_max, &after);
        if (!r)
                r = keystore_load(copy, after, NULL, NULL, NULL, NULL);
        if (r)
                return vault_job_because(j, r, "the migrated copy cannot be read: %s",
                                store_reason(copy)[0] ? store_reason(copy) : hf_error_name(r));
        return same_keys(j->catalogue, after) ? 0
                                              : vault_job_because(j, HF_E_INTERNAL,
                                                                "the migrated copy has not the keys of the store");
}

static int append_line(VaultJob *j, Store *copy, uint64_t seq)
{
        uint8_t state[32];
        AuditLine line;
        uint64_t appended;
        int r;

        audit_line_init(&line, "store.upgrade");
        store_state(copy, j->slots_hash, state);
        audit_line_hex(&line, "state", state, sizeof(state));
        audit_line_u64(&line, "from", store_schema(j->store));
        audit_line_u64(&line, "to", store_schema(copy));
        r = audit_log_append(j->log, &line, &appended);
        if (!r && appended != seq)
                r = HF_E_INTERNAL;
        return r ? r : audit_log_sync(j->log);
}

int vault_job_migrate(VaultJob *j)
{
        _cleanup_(store_migration_freep) StoreMigration *m = NULL;
        uint64_t seq;
        int r;

        if (!store_needs_migration(j->store))
                return 0;
        r = audit_log_next(j->log, &seq);
        if (r)
                return r;
        r = store_migration_prepare(j->store, seq, &m);
        if (r)
                return vault_job_because(j, r, "the store cannot be migrated: %s",
                                store_reason(j->store)[0] ? store_reason(j->store) : hf_error_name(r));
        r = check_copy(j, store_migration_copy(m));
        if (!r)
                r = append_line(j, store_migration_copy(m), seq);
        if (!r)
                r = store_migration_commit(m, &j->store);
        if (!r)
                r = vault_job_load(j);
        return r ? r : audit_log_append_done(j->log, seq, NULL);
}
