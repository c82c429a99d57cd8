/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Changes
 *
 * Every write checks the row it replaces and moves S by the difference of the two tags. SQLite may roll a
 * transaction back on its own (full disk, no memory) and would then commit each further write by itself, so
 * each write asks first whether the transaction is still there, and a failed one can only be rolled back.
 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "store/internal.h"

static void statement_resetp(sqlite3_stmt **statement)
{
        if (*statement) {
                (void)sqlite3_reset(*statement);
                (void)sqlite3_clear_bindings(*statement);
        }
}

#define _cleanup_reset_ _cleanup_(statement_resetp)

int store_begin(Store *s)
{
        int r;

        assert(s->scanned && !s->in_transaction);
        if (s->broken)
                return -EIO;
        r = store_exec(s, "BEGIN IMMEDIATE", "the store cannot be written");
        if (r)
                return r;
        s->sum_before = s->sum;
        s->seq_before = s->seq;
        s->change_failed = false;
        s->in_transaction = true;
        return 0;
}

static void forget_change(Store *s)
{
        s->sum = s->sum_before;
        s->seq = s->seq_before;
        s->in_transaction = false;
}

int store_rollback(Store *s)
{
        if (!s->in_transaction)
                return s->broken ? -EIO : 0;
        if (!sqlite3_get_autocommit(s->db) && sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
                s->broken = true;
        forget_change(s);
        return s->broken ? -EIO : 0;
}

/* Codes after which the last frame of the commit cannot be whole in the WAL. A failed sync or write is none.
 */
static bool surely_failed(int rc)
{
        switch (rc & 0xff) {
        case SQLITE_FULL:
        case SQLITE_NOMEM:
        case SQLITE_BUSY:
        case SQLITE_CONSTRAINT:
        case SQLITE_READONLY:
                return true;
        default:
                return rc == SQLITE_IOERR_NOMEM;
        }
}

StoreOutcome store_commit(Store *s)
{
        int rc;

        assert(s->in_transaction);
        if (s->change_failed || sqlite3_get_autocommit(s->db)) {
                return store_rollback(s) ? STORE_OUTCOME_UNKNOWN : STORE_ROLLED_BACK;
        }
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
        if (rc == SQLITE_OK) {
                s->in_transaction = false;
                return STORE_COMMITTED;
        }
        (void)store_fail(s, rc, "the change could not be committed");
        if (!surely_failed(rc))
                s->broken = true;
        return store_rollback(s) ? STORE_OUTCOME_UNKNOWN : STORE_ROLLED_BACK;
}

int store_checkpoint(Store *s)
{
        int rc;

        assert(!s->in_transaction);
        if (s->broken)
                return -EIO;
        rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        return rc == SQLITE_OK ? 0 : store_fail(s, rc, "the store cannot be written");
}

/* ---- rows ---- */

typedef struct OldRow {
        bool exists;
        int64_t version;
        int64_t state; /* keys only */
        uint8_t tag[DIGEST_SIZE];
} OldRow;

/* Checks the row the statement stands on. */
static int check_row(Store *s, TableId id, sqlite3_stmt *statement, OldRow *ret)
{
        const TableInfo *t = &store_tables[id];
        Cell cells[STORE_CELLS_MAX], stored;
        int r;

        for (size_t i = 0; i < t->n_columns; i++)
                cell_read(statement, (int)i, &cells[i]);
        cell_read(statement, (int)t->n_columns, &stored);
        r = row_tag(s, t->name, cells, t->n_columns, ret->tag);
        if (r == -ENOMEM)
                return r;
        if (r || !bytes_equal(stored.bytes, BYTES_ARRAY(ret->tag)))
                return row_damaged(s, t->name, cells, t->n_columns, "its tag does not fit");
        ret->exists = true;
        ret->version = cells[t->n_id].integer;
        ret->state = id == TABLE_KEYS ? cells[2].integer : 0;
        return 0;
}

static int find_row(Store *s, TableId id, const Cell *cells, OldRow *ret)
{
        _cleanup_reset_ sqlite3_stmt *find = s->find[id];
        int rc;

        *ret = (OldRow){};
        rc = cells_bind(find, 1, cells, store_tables[id].n_id);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(find);
        if (rc == SQLITE_DONE)
                return 0;
        return rc == SQLITE_ROW ? check_row(s, id, find, ret) : store_fail(s, rc, "the store cannot be read");
}

static int run(Store *s, sqlite3_stmt *const statement, const Cell *cells, size_t n)
{
        _cleanup_reset_ sqlite3_stmt *running = statement;
        int rc = cells_bind(running, 1, cells, n);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(running);
        return rc == SQLITE_DONE ? 0 : store_fail(s, rc, "the store cannot be written");
}

/* A write is possible now: in a transaction that is still one. */
static int may_write(Store *s)
{
        assert(s->in_transaction);
        if (s->broken || s->change_failed || sqlite3_get_autocommit(s->db)) {
                s->change_failed = true;
                return -EIO;
        }
        return 0;
}

static int write_row(Store *s, TableId id, Cell *cells)
{
        const TableInfo *t = &store_tables[id];
        Cell *version = &cells[t->n_id];
        uint8_t tag[DIGEST_SIZE];
        OldRow old;
        int r;

        r = find_row(s, id, cells, &old);
        if (r)
                return r;
        if (old.state == STORE_KEY_DESTROYED)
                return HF_E_KEY_EXISTS;
        if (version->integer == 0)
                version->integer = old.version + 1;
        if (old.exists && old.version + 1 != version->integer)
                return row_damaged(s, t->name, cells, t->n_columns,
                                "not at the version this program wrote last");
        r = row_tag(s, t->name, cells, t->n_columns, tag);
        if (r)
                return r;
        cells[t->n_columns] = (Cell){.kind = CELL_BLOB, .bytes = BYTES_ARRAY(tag)};
        r = run(s, old.exists ? s->update[id] : s->insert[id], cells, t->n_columns + 1);
        if (r)
                return id == TABLE_KEYS && sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_UNIQUE
                                       ? HF_E_KEY_EXISTS
                                       : r;
        if (old.exists)
                sum_subtract(&s->sum, old.tag);
        sum_add(&s->sum, tag);
        return 0;
}

/* `cells` has room for the tag behind the columns. A refusal before anything was written leaves the
 * transaction good. */
static int put_row(Store *s, TableId id, Cell *cells)
{
        int r = may_write(s);

        if (r)
                return r;
        r = write_row(s, id, cells);
        if (r && r != HF_E_KEY_EXISTS)
                s->change_failed = true;
        return r;
}

static Cell cell_blob(Bytes b)
{
        return (Cell){.kind = CELL_BLOB, .bytes = b};
}

static Cell cell_text(const char *text)
{
        return (Cell){.kind = CELL_TEXT, .bytes = bytes_str(text)};
}

static Cell cell_integer(uint64_t v)
{
        return (Cell){.kind = CELL_INTEGER, .integer = (int64_t)v};
}

int store_put_key(Store *s, const StoreKeyRow *row)
{
        const KeyAttributes *a = row->attributes;
        bool live = row->state == STORE_KEY_LIVE;
        Cell cells[STORE_CELLS_MAX + 1] = {
                        cell_blob(BYTES_ARRAY(a->uuid.b)),
                        cell_integer(a->version),
                        cell_integer(row->state),
                        cell_text(a->name),
                        cell_integer(a->algorithm),
                        cell_integer(a->purpose),
                        cell_integer(a->protection),
                        cell_integer(a->flags),
                        cell_integer(a->created),
                        cell_blob(key_attributes_public(a)),
                        live ? cell_blob(row->wrapped) : (Cell){.kind = CELL_NULL},
        };

        assert(a->version > 0 && (live || row->state == STORE_KEY_DESTROYED));
        if (row->wrapped.len > KEY_WRAPPED_MAX || (live && row->wrapped.len == 0) || a->created > INT64_MAX ||
                        !name_is_valid(a->name))
                return HF_E_INVALID_ARGS;
        return put_row(s, TABLE_KEYS, cells);
}

int store_put_uses(Store *s, const StoreUsesRow *row)
{
        Cell cells[STORE_CELLS_MAX + 1] = {
                        cell_blob(BYTES_ARRAY(row->key.b)),
                        cell_text(row->rule),
                        cell_integer(row->version),
                        cell_integer(row->spent),
        };

        assert(row->version > 0);
        if (!name_is_valid(row->rule) || row->spent > STORE_USES_FORFEITED)
                return HF_E_INVALID_ARGS;
        return put_row(s, TABLE_USES, cells);
}

static bool identity_is_valid(const StoreIdentityRow *row)
{
        return name_is_valid(row->name) && name_is_valid(row->issuer) && (!row->state[0] || name_is_valid(row->state)) &&
               name_is_valid(row->layout) && row->created <= INT64_MAX && row->changed <= INT64_MAX &&
               row->not_before <= INT64_MAX && row->not_after <= INT64_MAX && row->chain.len <= STORE_CHAIN_MAX &&
               row->trust.len <= STORE_CHAIN_MAX && row->pins.len <= STORE_PINS_MAX * STORE_PIN_SIZE &&
               row->pins.len % STORE_PIN_SIZE == 0 && row->plan.len <= STORE_PLAN_MAX;
}

int store_put_identity(Store *s, const StoreIdentityRow *row)
{
        Cell cells[STORE_CELLS_MAX + 1] = {
                        cell_text(row->name),
                        cell_integer(row->version),
                        cell_blob(BYTES_ARRAY(row->key.b)),
                        cell_text(row->issuer),
                        cell_text(row->state),
                        cell_text(row->layout),
                        cell_integer(row->created),
                        cell_integer(row->changed),
                        cell_integer(row->not_before),
                        cell_integer(row->not_after),
                        cell_blob(row->chain),
                        cell_blob(row->trust),
                        cell_blob(row->pins),
                        cell_blob(row->plan),
        };

        assert(row->version > 0);
        return identity_is_valid(row) ? put_row(s, TABLE_IDENTITIES, cells) : HF_E_INVALID_ARGS;
}

int store_put_authority(Store *s, const StoreAuthorityRow *row)
{
        Cell cells[STORE_CELLS_MAX + 1] = {
                        cell_text(row->name),
                        cell_integer(row->version),
                        cell_blob(BYTES_ARRAY(row->key.b)),
                        cell_integer(row->kind),
                        cell_text(row->parent),
                        cell_text(row->follows),
                        cell_integer(row->created),
                        cell_integer(row->crl_number),
                        cell_integer(row->crl_due),
                        cell_integer(row->awake),
                        cell_blob(row->certificate),
                        cell_blob(row->chain),
        };

        assert(row->version > 0);
        if (!name_is_valid(row->name) || (row->parent[0] && !name_is_valid(row->parent)) ||
                        (row->follows[0] && !name_is_valid(row->follows)) || row->kind < 1 || row->kind > 2 ||
                        row->created > INT64_MAX || row->crl_number > INT64_MAX || row->crl_due > INT64_MAX ||
                        row->awake > INT64_MAX || row->certificate.len > STORE_CERTIFICATE_MAX ||
                        row->chain.len > STORE_CHAIN_MAX)
                return HF_E_INVALID_ARGS;
        return put_row(s, TABLE_AUTHORITIES, cells);
}

static bool certificate_is_valid(const StoreCertificateRow *row)
{
        return name_is_valid(row->authority) && name_is_valid(row->profile) && row->status > _STORE_CERTIFICATE_INVALID &&
               row->status < _STORE_CERTIFICATE_MAX && strlen(row->name) <= STORE_TEXT_MAX &&
               strlen(row->domain) <= STORE_TEXT_MAX && strlen(row->text) <= STORE_TEXT_MAX &&
               strlen(row->metadata) <= STORE_METADATA_MAX && row->issued <= INT64_MAX && row->expires <= INT64_MAX &&
               row->revoked <= INT64_MAX && row->certificate.len > 0 && row->certificate.len <= STORE_CERTIFICATE_MAX;
}

int store_put_certificate(Store *s, const StoreCertificateRow *row)
{
        Cell cells[STORE_CELLS_MAX + 1] = {
                        cell_blob(BYTES_ARRAY(row->serial)),
                        cell_integer(row->version),
                        cell_text(row->authority),
                        cell_integer(row->status),
                        cell_text(row->name),
                        cell_text(row->profile),
                        cell_text(row->domain),
                        cell_text(row->metadata),
                        cell_blob(BYTES_ARRAY(row->request)),
                        cell_integer(row->issued),
                        cell_integer(row->expires),
                        cell_integer(row->revoked),
                        cell_integer(row->reason),
                        cell_text(row->text),
                        cell_blob(BYTES_ARRAY(row->fingerprint)),
                        cell_blob(row->certificate),
        };

        assert(row->version > 0);
        return certificate_is_valid(row) ? put_row(s, TABLE_CERTIFICATES, cells) : HF_E_INVALID_ARGS;
}

int store_put_list(Store *s, const StoreListRow *row)
{
        Cell cells[STORE_CELLS_MAX + 1] = {
                        cell_text(row->place),
                        cell_integer(row->version),
                        cell_blob(row->number),
                        cell_integer(row->this_update),
                        cell_integer(row->next_update),
                        cell_integer(row->taken),
                        cell_blob(row->chain),
                        cell_blob(row->list),
        };

        assert(row->version > 0);
        if (!place_text_is_valid(row->place) || row->number.len > STORE_LIST_NUMBER_MAX || row->this_update > INT64_MAX ||
                        row->next_update > INT64_MAX || row->taken > INT64_MAX || row->chain.len > STORE_CHAIN_MAX ||
                        row->list.len == 0 || row->list.len > STORE_LIST_MAX)
                return HF_E_INVALID_ARGS;
        return put_row(s, TABLE_LISTS, cells);
}

static bool meta_key_is_valid(const char *key)
{
        return name_is_valid(key) && strlen(key) <= STORE_META_KEY_MAX;
}

int store_put_meta(Store *s, const char *key, Bytes value)
{
        Cell cells[STORE_CELLS_MAX + 1] = {cell_text(key), cell_integer(0), cell_blob(value)};

        if (!meta_key_is_valid(key) || value.len > STORE_META_VALUE_MAX)
                return HF_E_INVALID_ARGS;
        return put_row(s, TABLE_META, cells);
}

int store_set_seq(Store *s, uint64_t seq)
{
        _cleanup_buffer_ Buffer value = BUFFER_INIT(8);
        int r = wire_put_u64(&value, seq);

        if (!r)
                r = store_put_meta(s, META_SEQ, buffer_bytes(&value));
        if (!r)
                s->seq = seq;
        return r;
}

/* Appends one column of the row of this id. */
static int get_column(Store *s, TableId table, Cell id, int column, Buffer *ret)
{
        _cleanup_reset_ sqlite3_stmt *find = s->find[table];
        Cell value;
        OldRow row;
        int rc, r;

        if (s->broken)
                return -EIO;
        rc = cells_bind(find, 1, &id, 1);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(find);
        if (rc == SQLITE_DONE)
                return HF_E_NOTHING_TO_DO;
        if (rc != SQLITE_ROW)
                return store_fail(s, rc, "the store cannot be read");
        r = check_row(s, table, find, &row);
        if (r)
                return r;
        cell_read(find, column, &value);
        return buffer_append(ret, value.bytes.data, value.bytes.len);
}

int store_get_meta(Store *s, const char *key, Buffer *ret)
{
        return get_column(s, TABLE_META, cell_text(key), 2, ret);
}

int store_get_certificate(Store *s, const uint8_t serial[static STORE_SERIAL_SIZE], Buffer *ret)
{
        return get_column(s, TABLE_CERTIFICATES, cell_blob(BYTES(serial, STORE_SERIAL_SIZE)), 15, ret);
}

int store_get_list(Store *s, const char *place, Buffer *ret)
{
        return get_column(s, TABLE_LISTS, cell_text(place), 7, ret);
}

/* The row of a table whose id is one text. */
static int delete_row(Store *s, TableId table, const char *text)
{
        const Cell id = cell_text(text);
        OldRow old;
        int r = may_write(s);

        if (r)
                return r;
        r = find_row(s, table, &id, &old);
        if (!r && !old.exists)
                return HF_E_NOTHING_TO_DO;
        if (!r)
                r = run(s, s->delete[table], &id, 1);
        if (r)
                s->change_failed = true;
        else
                sum_subtract(&s->sum, old.tag);
        return r;
}

int store_delete_meta(Store *s, const char *key)
{
        return delete_row(s, TABLE_META, key);
}

int store_delete_identity(Store *s, const char *name)
{
        return delete_row(s, TABLE_IDENTITIES, name);
}

int store_delete_list(Store *s, const char *place)
{
        return delete_row(s, TABLE_LISTS, place);
}

/* The tags of a key's uses rows, each checked, summed up. */
static int sum_uses(Store *s, const Cell *key, Sum *ret, size_t *ret_count)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
        int rc, r = store_prepare(s, "SELECT * FROM uses WHERE key=?1", &statement);

        if (r)
                return r;
        rc = cells_bind(statement, 1, key, 1);
        if (rc != SQLITE_OK)
                return store_fail(s, rc, "the store cannot be read");
        *ret_count = 0;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
                OldRow old;

                r = check_row(s, TABLE_USES, statement, &old);
                if (r)
                        return r;
                sum_subtract(ret, old.tag);
                (*ret_count)++;
        }
        return rc == SQLITE_DONE ? 0 : store_fail(s, rc, "the store cannot be read");
}

static int delete_uses(Store *s, const Cell *key)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
        int r = store_prepare(s, "DELETE FROM uses WHERE key=?1", &statement);

        return r ? r : run(s, statement, key, 1);
}

int store_delete_uses(Store *s, const Uuid *key)
{
        const Cell id = cell_blob(BYTES_ARRAY(key->b));
        Sum sum = s->sum;
        size_t count = 0;
        int r = may_write(s);

        if (r)
                return r;
        r = sum_uses(s, &id, &sum, &count);
        if (!r && count == 0)
                return HF_E_NOTHING_TO_DO;
        if (!r)
                r = delete_uses(s, &id);
        if (r)
                s->change_failed = true;
        else
                s->sum = sum;
        return r;
}
