/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/migrate.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "crypto/digest.h"
#include "store/internal.h"
#include "store/schema.h"

struct StoreMigration {
        int dir_fd;
        uint32_t from;
        char name[NAME_SIZE], copy_name[NAME_SIZE + 8];
        Store *copy;
        bool made;
};

bool store_needs_migration(const Store *s)
{
        return s->schema < schema_newest();
}

Store *store_migration_copy(StoreMigration *m)
{
        return m->copy;
}

StoreMigration *store_migration_free(StoreMigration *m)
{
        if (!m)
                return NULL;
        m->copy = store_abandon(m->copy);
        if (m->made)
                place_remove(m->dir_fd, m->copy_name);
        safe_close(m->dir_fd);
        free(m);
        return NULL;
}

/* ---- prepare ---- */

/* The next row behind `after`, its cells without the tag. Tables of ours all have a rowid. */
static int retag_row(Store *s, const char *table, sqlite3_stmt *next, sqlite3_stmt *update, int64_t *after)
{
        int n = sqlite3_column_count(next) - 2; /* rowid in front, tag behind */
        Cell cells[STORE_CELLS_MAX];
        uint8_t tag[DIGEST_SIZE];
        int rc, r;

        if (n < 1 || n > STORE_CELLS_MAX)
                return HF_E_INTERNAL;
        *after = sqlite3_column_int64(next, 0);
        for (int i = 0; i < n; i++)
                cell_read(next, i + 1, &cells[i]);
        r = row_tag(s, table, cells, (size_t)n, tag);
        if (r)
                return r;
        (void)sqlite3_bind_blob(update, 1, tag, sizeof(tag), SQLITE_TRANSIENT);
        (void)sqlite3_bind_int64(update, 2, *after);
        rc = sqlite3_step(update);
        (void)sqlite3_reset(update);
        return rc == SQLITE_DONE ? 0 : store_fail(s, rc, "the copy cannot be written");
}

static int retag_table(Store *s, const char *table)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *next = NULL, *update = NULL;
        char sql[NAME_SIZE + 96];
        int64_t after = INT64_MIN;
        int rc, r;

        (void)snprintf(sql, sizeof(sql), "SELECT rowid, * FROM %s WHERE rowid > ?1 ORDER BY rowid LIMIT 1",
                        table);
        r = store_prepare(s, sql, &next);
        if (r)
                return r;
        (void)snprintf(sql, sizeof(sql), "UPDATE %s SET tag=?1 WHERE rowid=?2", table);
        r = store_prepare(s, sql, &update);
        if (r)
                return r;
        for (;;) {
                (void)sqlite3_reset(next);
                (void)sqlite3_bind_int64(next, 1, after);
                rc = sqlite3_step(next);
                if (rc != SQLITE_ROW)
                        return rc == SQLITE_DONE ? 0 : store_fail(s, rc, "the copy cannot be read");
                r = retag_row(s, table, next, update, &after);
                if (r)
                        return r;
        }
}

static int retag_tables(Store *s)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *names = NULL;
        int rc, r = store_prepare(s, "SELECT name FROM sqlite_master WHERE type='table'", &names);

        if (r)
                return r;
        while ((rc = sqlite3_step(names)) == SQLITE_ROW) {
                const char *name = (const char *)sqlite3_column_text(names, 0);

                r = name && strlen(name) < NAME_SIZE ? retag_table(s, name) : HF_E_INTERNAL;
                if (r)
                        return r;
        }
        return rc == SQLITE_DONE ? 0 : store_fail(s, rc, "the copy cannot be read");
}

static int migrate_in_transaction(Store *copy)
{
        int r, rc = sqlite3_exec(copy->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

        if (rc == SQLITE_OK)
                rc = layout_apply(copy->db, copy->schema, schema_newest());
        if (rc != SQLITE_OK)
                return store_fail(copy, rc, "the copy cannot be migrated");
        r = retag_tables(copy);
        return r ? r : store_exec(copy, "COMMIT", "the copy cannot be written");
}

static int number_copy(Store *copy, uint64_t seq)
{
        int r = store_begin(copy);

        if (!r)
                r = store_set_seq(copy, seq);
        if (!r && store_commit(copy) != STORE_COMMITTED)
                r = -EIO;
        return r;
}

/* Opens the copy once more in its new schema and puts the change's number in. */
static int finish_copy(StoreMigration *m, const StoreParams *params, uint64_t seq, StoreReason *reason)
{
        int r;

        r = store_open(m->dir_fd, params, reason, &m->copy);
        if (r)
                return r;
        r = store_scan(m->copy, NULL, NULL);
        if (!r)
                r = number_copy(m->copy, seq);
        if (!r)
                r = store_checkpoint(m->copy);
        if (!r)
                r = store_check(m->copy);
        if (r)
                *reason = m->copy->reason;
        return r;
}

static int count_keys(Store *s, int64_t *ret)
{
        return store_query_integer(s, "SELECT count(*) FROM keys", ret);
}

static int make_copy(Store *s, StoreMigration *m, const StoreParams *params, uint64_t seq)
{
        _cleanup_(store_closep) Store *old = NULL;
        uint8_t before[STORE_DIGEST_SIZE], after[STORE_DIGEST_SIZE];
        int64_t keys_before = 0, keys_after = 0;
        int r;

        r = store_open(m->dir_fd, params, &s->reason, &old);
        if (r)
                return r;
        r = store_scan(old, NULL, NULL);
        if (!r) {
                store_digest(s, before);
                store_digest(old, after);
                r = memcmp(before, after, sizeof(after)) == 0 ? count_keys(old, &keys_before)
                                                              : HF_E_STORE_DAMAGED;
        }
        if (!r)
                r = migrate_in_transaction(old);
        if (r) {
                s->reason = old->reason;
                return r;
        }
        old = store_close(old);
        r = finish_copy(m, params, seq, &s->reason);
        if (r)
                return r;
        r = count_keys(m->copy, &keys_after);
        if (!r && keys_before != keys_after) {
                reason_set(&s->reason, "the migrated copy has not the keys of the store");
                r = HF_E_INTERNAL;
        }
        return r;
}

int store_migration_prepare(Store *s, uint64_t seq, StoreMigration **ret)
{
        _cleanup_(store_migration_freep) StoreMigration *m = NULL;
        StoreParams params;
        int r;

        assert(s->scanned && !s->in_transaction);
        if (!store_needs_migration(s))
                return HF_E_NOTHING_TO_DO;
        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->from = s->schema;
        (void)snprintf(m->name, sizeof(m->name), "%.*s", NAME_MAX_LEN, s->name);
        (void)snprintf(m->copy_name, sizeof(m->copy_name), "%s.new", m->name);
        m->dir_fd = fcntl(s->dir_fd, F_DUPFD_CLOEXEC, 3);
        if (m->dir_fd < 0)
                return -errno;
        place_remove(m->dir_fd, m->copy_name); /* of an earlier try */
        r = store_backup(s, m->dir_fd, m->copy_name);
        if (r)
                return r;
        m->made = true;
        params = (StoreParams){
                        .name = m->copy_name,
                        .database_key = s->keys->data,
                        .log_key = store_log_key(s),
                        .id = s->id,
                        .lock_held = true,
        };
        r = make_copy(s, m, &params, seq);
        if (r)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

/* ---- commit ---- */

/* A WAL left beside either file would be played into the wrong one. */
static int no_wal(int dir_fd, const char *name)
{
        char path[NAME_SIZE + 16];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s-wal", name);
        return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EBUSY : errno == ENOENT ? 0 : -errno;
}

static int exchange(StoreMigration *m)
{
        char previous[NAME_SIZE + 16];
        int r;

        r = no_wal(m->dir_fd, m->name);
        if (!r)
                r = no_wal(m->dir_fd, m->copy_name);
        if (!r)
                r = place_sync_file(m->dir_fd, m->copy_name);
        if (r)
                return r;
        (void)snprintf(previous, sizeof(previous), "%s.%u", m->name, m->from);
        if (unlinkat(m->dir_fd, previous, 0) < 0 && errno != ENOENT)
                return -errno;
        if (linkat(m->dir_fd, m->name, m->dir_fd, previous, 0) < 0)
                return -errno;
        r = io_sync_dir(m->dir_fd);
        if (r)
                return r;
        if (renameat(m->dir_fd, m->copy_name, m->dir_fd, m->name) < 0)
                return -errno;
        m->made = false;
        return io_sync_dir(m->dir_fd);
}

int store_migration_commit(StoreMigration *m, Store **s)
{
        _cleanup_(secret_freep) Secret *keys = TAKE_PTR((*s)->keys);
        _cleanup_close_ int lock_fd = TAKE_FD((*s)->lock_fd);
        const StoreParams params = {
                        .name = m->name,
                        .database_key = keys->data,
                        .log_key = keys->data + 32,
                        .id = (*s)->id,
                        .lock_held = true,
        };
        int r, r_open;

        assert(!(*s)->in_transaction);
        m->copy = store_close(m->copy);
        *s = store_close(*s);
        r = exchange(m);
        r_open = store_open(m->dir_fd, &params, NULL, s);
        if (!r_open)
                r_open = store_scan(*s, NULL, NULL);
        if (r_open) {
                *s = store_close(*s);
                return r_open;
        }
        (*s)->lock_fd = TAKE_FD(lock_fd);
        return r;
}
