/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Copies
 *
 * SQLite's backup copies pages as the source reads them and the destination writes them: into a handle
 * without a key it would write plain text. So the destination is always one of ours with the key set, and the
 * finished file is looked at before it counts.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/io.h"
#include "store/internal.h"
#include "store/schema.h"

struct StoreBackup {
        Store *s;
        sqlite3 *copy;
        sqlite3_backup *backup;
        int dir_fd;
        bool made, done;
        char name[NAME_SIZE];
};

static void backup_disconnect(StoreBackup *b)
{
        if (b->backup)
                (void)sqlite3_backup_finish(b->backup);
        b->backup = NULL;
        (void)sqlite3_close(b->copy);
        b->copy = NULL;
}

StoreBackup *store_backup_free(StoreBackup *b)
{
        if (!b)
                return NULL;
        backup_disconnect(b);
        if (b->made && !b->done)
                place_remove(b->dir_fd, b->name);
        safe_close(b->dir_fd);
        free(b);
        return NULL;
}

/* A cut-short copy is thrown away, so it needs no journal; the finished one is synced as a whole. */
static int backup_connect(StoreBackup *b)
{
        Store *s = b->s;
        int r, rc;

        r = store_connect(b->dir_fd, b->name, s->keys->data, &s->reason, &b->copy);
        if (r)
                return r;
        rc = sqlite3_exec(b->copy, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL);
        if (rc == SQLITE_OK) {
                b->backup = sqlite3_backup_init(b->copy, "main", s->db, "main");
                if (!b->backup)
                        rc = sqlite3_errcode(b->copy);
        }
        return rc == SQLITE_OK ? 0 : store_fail(s, rc, "the copy cannot be made");
}

int store_backup_begin(Store *s, int dir_fd, const char *name, StoreBackup **ret)
{
        _cleanup_(store_backup_freep) StoreBackup *b = NULL;
        int r;

        if (s->broken)
                return -EIO;
        if (!name_is_valid(name))
                return HF_E_INVALID_ARGS;
        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->s = s;
        (void)snprintf(b->name, sizeof(b->name), "%s", name);
        b->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        if (b->dir_fd < 0)
                return -errno;
        r = place_create_file(b->dir_fd, name, &s->reason);
        if (r)
                return r;
        b->made = true;
        r = backup_connect(b);
        if (r)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

static int backup_finish(StoreBackup *b)
{
        int r;

        backup_disconnect(b);
        r = place_check_header(b->dir_fd, b->name, &b->s->reason);
        if (r)
                return r;
        r = place_sync_file(b->dir_fd, b->name);
        if (r)
                return r;
        r = io_sync_dir(b->dir_fd);
        if (!r)
                b->done = true;
        return r;
}

int store_backup_step(StoreBackup *b, int pages, bool *ret_done)
{
        int rc, r = 0;

        assert(b->backup && !b->done);
        if (b->s->in_transaction)
                return HF_E_BUSY;
        rc = sqlite3_backup_step(b->backup, pages);
        if (rc != SQLITE_OK && rc != SQLITE_DONE)
                return store_fail(b->s, rc, "the copy cannot be made");
        if (rc == SQLITE_DONE)
                r = backup_finish(b);
        if (!r)
                *ret_done = rc == SQLITE_DONE;
        return r;
}

int store_backup(Store *s, int dir_fd, const char *name)
{
        _cleanup_(store_backup_freep) StoreBackup *b = NULL;
        bool done = false;
        int r = store_backup_begin(s, dir_fd, name, &b);

        return r ? r : store_backup_step(b, -1, &done);
}

static int count_key(void *userdata, const StoreKeyRow *row)
{
        uint64_t *count = userdata;

        *count += row->state == STORE_KEY_LIVE;
        return 0;
}

static int check_copy(Store *s, StoreCopyInfo *ret)
{
        static const StoreVisitor visitor = {.key = count_key};
        StoreCopyInfo info = {.id = s->id, .schema = s->schema, .seq = s->seq};
        int r;

        r = store_scan(s, &visitor, &info.keys);
        if (r)
                return r;
        r = store_check(s);
        if (r)
                return r;
        store_digest(s, info.digest);
        *ret = info;
        return 0;
}

int store_check_copy(int dir_fd, const StoreParams *params, StoreReason *reason, StoreCopyInfo *ret)
{
        StoreParams copy = *params;
        Store *s = NULL;
        int r;

        copy.lock_held = true;
        r = store_open(dir_fd, &copy, reason, &s);
        if (r)
                return r;
        r = check_copy(s, ret);
        if (r && reason)
                *reason = s->reason;
        (void)store_abandon(s);
        return r;
}
