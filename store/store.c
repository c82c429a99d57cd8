/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "store/internal.h"
#include "store/migrate.h"
#include "store/schema.h"

_Static_assert(STORE_PAGE_SIZE == 4096, "the PRAGMAs in connect.c say so");

int store_new(int dir_fd, const StoreParams *params, StoreReason *reason, Store **ret)
{
        const char *name = params->name ? params->name : STORE_FILE;
        _cleanup_(store_closep) Store *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->dir_fd = s->lock_fd = -EBADF;
        s->keep_files = true;
        s->row = BUFFER_INIT(STORE_ROW_MAX);
        if (!name_is_valid(name)) {
                reason_set(reason, "this is no name for a store");
                return HF_E_INVALID_ARGS;
        }
        (void)snprintf(s->name, sizeof(s->name), "%s", name);
        r = place_check_directory(dir_fd, reason);
        if (r)
                return r;
        s->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        if (s->dir_fd < 0)
                return -errno;
        r = secret_new(64, &s->keys);
        if (r)
                return r;
        memcpy(s->keys->data, params->database_key, 32);
        memcpy(s->keys->data + 32, params->log_key, 32);
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- statements ---- */

static int append_columns(Buffer *b, const TableInfo *t, const char *format, size_t first, size_t last)
{
        int r = 0;

        for (size_t i = first; i < last && !r; i++) {
                r = i > first ? buffer_printf(b, "%s",
                                                strchr(format, '=') && last == t->n_id ? " AND " : ", ")
                              : 0;
                if (!r && strchr(format, '='))
                        r = buffer_printf(b, "%s=?%zu", t->columns[i], i + 1);
                else if (!r)
                        r = buffer_printf(b, "?%zu", i + 1);
        }
        return r;
}

static int prepare_one(
                Store *s, const TableInfo *t, const char *head, bool values, bool where, sqlite3_stmt **ret)
{
        _cleanup_buffer_ Buffer sql = BUFFER_INIT(1024);
        int r = buffer_printf(&sql, "%s", head);

        if (!r && values)
                r = append_columns(&sql, t, where ? "=" : "?", where ? t->n_id : 0, t->n_columns);
        if (!r && values)
                r = buffer_printf(&sql, where ? ", tag=?%zu" : ", ?%zu)", t->n_columns + 1);
        if (!r && where)
                r = buffer_printf(&sql, " WHERE ");
        if (!r && where)
                r = append_columns(&sql, t, "=", 0, t->n_id);
        if (!r)
                r = buffer_append(&sql, "", 1);
        return r ? r : store_prepare(s, (const char *)sql.data, ret);
}

static int prepare_table(Store *s, TableId id)
{
        const TableInfo *t = &store_tables[id];
        char head[64];
        int r;

        (void)snprintf(head, sizeof(head), "SELECT * FROM %s", t->name);
        r = prepare_one(s, t, head, false, true, &s->find[id]);
        if (r)
                return r;
        (void)snprintf(head, sizeof(head), "INSERT INTO %s VALUES(", t->name);
        r = prepare_one(s, t, head, true, false, &s->insert[id]);
        if (r)
                return r;
        (void)snprintf(head, sizeof(head), "UPDATE %s SET ", t->name);
        r = prepare_one(s, t, head, true, true, &s->update[id]);
        if (r)
                return r;
        (void)snprintf(head, sizeof(head), "DELETE FROM %s", t->name);
        return prepare_one(s, t, head, false, true, &s->delete[id]);
}

/* An old schema may lack a table or column: then only meta is read, which is in all of them. */
static int prepare_tables(Store *s)
{
        TableId last = s->schema == schema_newest() ? _TABLE_MAX : TABLE_META + 1;
        int r = 0;

        for (TableId id = 0; id < last && !r; id++)
                r = prepare_table(s, id);
        return r;
}

static void finalize_tables(Store *s)
{
        for (TableId id = 0; id < _TABLE_MAX; id++) {
                sqlite3_finalize(s->find[id]);
                sqlite3_finalize(s->insert[id]);
                sqlite3_finalize(s->update[id]);
                sqlite3_finalize(s->delete[id]);
        }
}

/* ---- open ---- */

static bool file_exists(int dir_fd, const char *name, const char *suffix, off_t *ret_size)
{
        char path[NAME_SIZE + 16];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s%s", name, suffix);
        if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        *ret_size = st.st_size;
        return true;
}

static int check_files(Store *s, StoreReason *reason)
{
        char path[NAME_SIZE + 16];
        bool exists;
        off_t size;
        int r;

        r = place_check_file(s->dir_fd, s->name, reason, &exists);
        if (r)
                return r;
        if (!exists) {
                reason_set(reason, "there is no %s", s->name);
                return HF_E_STORE_UNINITIALISED;
        }
        (void)snprintf(path, sizeof(path), "%s-wal", s->name);
        r = place_check_file(s->dir_fd, path, reason, &s->wal_was_there);
        if (r)
                return r;
        /* Ours are in WAL mode from birth; SQLite would play a journal back into the file. */
        if (file_exists(s->dir_fd, s->name, "-journal", &size)) {
                reason_set(reason, "%s-journal is nothing this program makes; move it away", s->name);
                return HF_E_STORE_UNSAFE;
        }
        return place_check_header(s->dir_fd, s->name, reason);
}

/* The first read: here a wrong key shows. Nothing is written. */
static int read_identity(Store *s)
{
        int64_t application, version;
        int r;

        r = store_query_integer(s, "PRAGMA application_id", &application);
        if (r == HF_E_STORE_DAMAGED)
                reason_set(&s->reason,
                                "%s cannot be read with this key: it is damaged, or not the store of this "
                                "key",
                                s->name);
        if (r)
                return r;
        r = store_query_integer(s, "PRAGMA user_version", &version);
        if (r)
                return r;
        if (application != STORE_APPLICATION_ID || version < 1) {
                reason_set(&s->reason, "%s is a database, but no store", s->name);
                return HF_E_STORE_DAMAGED;
        }
        if (version > schema_newest()) {
                reason_set(&s->reason,
                                "%s has schema %lld, this program knows schemas up to %u; nothing was "
                                "changed, "
                                "use the newer program",
                                s->name, (long long)version, schema_newest());
                return HF_E_STORE_TOO_NEW;
        }
        s->schema = (uint32_t)version;
        return layout_check(s, s->schema);
}

static int read_meta_fixed(Store *s, const char *key, void *ret, size_t size)
{
        _cleanup_buffer_ Buffer value = BUFFER_INIT(STORE_META_VALUE_MAX);
        int r = store_get_meta(s, key, &value);

        if (r != HF_E_NOTHING_TO_DO && r)
                return r;
        if (r || value.len != size) {
                reason_set(&s->reason, "table meta, row %s: missing or not of its length", key);
                return HF_E_STORE_DAMAGED;
        }
        memcpy(ret, value.data, size);
        return 0;
}

static int read_seq(Store *s)
{
        uint8_t b[8];
        WireReader reader = wire_reader(BYTES_ARRAY(b));
        int r = read_meta_fixed(s, META_SEQ, b, sizeof(b));

        if (!r)
                s->seq = wire_get_u64(&reader);
        return r;
}

static int open_checked(Store *s, const StoreParams *params)
{
        int r;

        r = store_connect(s->dir_fd, s->name, s->keys->data, &s->reason, &s->db);
        if (r)
                return r;
        r = read_identity(s);
        if (r)
                return r;
        r = prepare_tables(s);
        if (r)
                return r;
        r = read_meta_fixed(s, META_ID, s->id.b, sizeof(s->id.b));
        if (r)
                return r;
        if (!uuid_is_null(&params->id) && !uuid_equal(&params->id, &s->id)) {
                reason_set(&s->reason, "%s is another store than the one expected here", s->name);
                return HF_E_STORE_FOREIGN;
        }
        r = read_seq(s);
        if (r)
                return r;
        r = store_settle(s);
        if (!r)
                s->keep_files = false;
        return r;
}

int store_open(int dir_fd, const StoreParams *params, StoreReason *reason, Store **ret)
{
        _cleanup_(store_closep) Store *s = NULL;
        int r;

        reason_set(reason, "%s", "");
        r = store_new(dir_fd, params, reason, &s);
        if (r)
                return r;
        r = check_files(s, reason);
        if (r)
                return r;
        if (!params->lock_held) {
                r = store_lock(dir_fd, reason, &s->lock_fd);
                if (r)
                        return r;
        }
        r = open_checked(s, params);
        if (r) {
                if (reason)
                        *reason = s->reason;
                return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- create ---- */

static int create_content(Store *s, const StoreParams *params)
{
        char pragma[64];
        int r, rc;

        (void)snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d", STORE_APPLICATION_ID);
        r = store_exec(s, pragma, "the store cannot be written");
        if (r)
                return r;
        r = store_settle(s);
        if (r)
                return r;
        r = store_exec(s, "BEGIN IMMEDIATE", "the store cannot be written");
        if (r)
                return r;
        s->schema = schema_newest();
        rc = layout_apply(s->db, 0, s->schema);
        if (rc != SQLITE_OK)
                return store_fail(s, rc, "the store cannot be written");
        r = prepare_tables(s);
        if (r)
                return r;
        s->id = params->id;
        s->scanned = s->in_transaction = true;
        r = store_put_meta(s, META_ID, BYTES_ARRAY(params->id.b));
        if (!r)
                r = store_set_seq(s, 0);
        if (r)
                return r;
        return store_commit(s) == STORE_COMMITTED ? store_checkpoint(s) : -EIO;
}

static int create_file(Store *s, const StoreParams *params)
{
        int r;

        r = store_connect(s->dir_fd, s->name, s->keys->data, &s->reason, &s->db);
        if (r)
                return r;
        r = create_content(s, params);
        if (r)
                return r;
        r = place_check_header(s->dir_fd, s->name, &s->reason);
        return r ? r : io_sync_dir(s->dir_fd);
}

int store_create(int dir_fd, const StoreParams *params, StoreReason *reason, Store **ret)
{
        _cleanup_(store_closep) Store *s = NULL;
        int r;

        reason_set(reason, "%s", "");
        assert(!uuid_is_null(&params->id));
        r = store_new(dir_fd, params, reason, &s);
        if (r)
                return r;
        if (!params->lock_held) {
                r = store_lock(dir_fd, reason, &s->lock_fd);
                if (r)
                        return r;
        }
        r = place_create_file(s->dir_fd, s->name, reason);
        if (r)
                return r;
        r = create_file(s, params);
        if (r) {
                if (reason)
                        *reason = s->reason;
                place_remove(s->dir_fd, s->name);
                return r;
        }
        s->keep_files = false;
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- close ---- */

static void remove_empty_wal(Store *s)
{
        char path[NAME_SIZE + 16];
        off_t size;

        if (s->wal_was_there || !file_exists(s->dir_fd, s->name, "-wal", &size) || size > 0)
                return;
        (void)snprintf(path, sizeof(path), "%s-wal", s->name);
        (void)unlinkat(s->dir_fd, path, 0);
}

Store *store_close(Store *s)
{
        if (!s)
                return NULL;
        finalize_tables(s);
        if (s->keep_files || s->broken) {
                store_disconnect_untouched(s->db);
                if (s->db)
                        remove_empty_wal(s);
        } else
                (void)sqlite3_close(s->db); /* rolls back and moves the WAL into the file */
        secret_free(s->keys);
        buffer_deinit(&s->row);
        safe_close(s->dir_fd);
        safe_close(s->lock_fd);
        free(s);
        return NULL;
}

Store *store_abandon(Store *s)
{
        if (s)
                s->keep_files = true;
        return store_close(s);
}

const char *store_reason(const Store *s)
{
        return s->reason.text;
}

int store_failure(const Store *s)
{
        return s->failure;
}

uint32_t store_schema(const Store *s)
{
        return s->schema;
}

const Uuid *store_id(const Store *s)
{
        return &s->id;
}

uint64_t store_seq(const Store *s)
{
        return s->seq;
}

void store_digest(const Store *s, uint8_t ret[static STORE_DIGEST_SIZE])
{
        assert(s->scanned);
        sum_bytes(&s->sum, ret);
}

void store_state(const Store *s, const uint8_t slots_hash[static 32], uint8_t ret[static STORE_DIGEST_SIZE])
{
        static const char label[] = "holdfast.state";
        uint8_t input[sizeof(label) - 1 + STORE_DIGEST_SIZE + 32];

        memcpy(input, label, sizeof(label) - 1);
        store_digest(s, input + sizeof(label) - 1);
        memcpy(input + sizeof(input) - 32, slots_hash, 32);
        mac_blake2b(store_log_key(s), BYTES_ARRAY(input), ret);
}
