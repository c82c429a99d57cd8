/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Connections to the database
 *
 * The key is a raw one, so SQLCipher derives nothing from it. Files are named through the directory's
 * descriptor, so a store stays itself when its directory is renamed. What keeps a commit durable is set and
 * read back, because an unknown PRAGMA is silently nothing and the default settings lose the last commit in a
 * power cut.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/internal.h"

#define KEY_TEXT_SIZE (3 + 64)

static int set_key(sqlite3 *db, const uint8_t database_key[static 32])
{
        char text[KEY_TEXT_SIZE + 1] = "x'";
        int rc;

        hex_encode(database_key, 32, text + 2);
        text[KEY_TEXT_SIZE - 1] = '\'';
        rc = sqlite3_key(db, text, KEY_TEXT_SIZE);
        secret_erase(text, sizeof(text));
        return rc;
}

int store_connect(int dir_fd, const char *name, const uint8_t database_key[static 32], StoreReason *reason,
                sqlite3 **ret)
{
        /* The first two mean something to SQLCipher 4 only: the format of 3, and no talk on stderr. */
        static const char settings[] = "PRAGMA cipher_log_level=NONE; PRAGMA cipher_compatibility=3;"
                                       "PRAGMA cipher_page_size=4096; PRAGMA locking_mode=EXCLUSIVE;";
        char path[sizeof("/proc/self/fd/2147483647/") + NAME_SIZE + 8];
        sqlite3 *db = NULL;
        int rc;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
        rc = sqlite3_open_v2(path, &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_extended_result_codes(db, 1);
        if (rc == SQLITE_OK)
                rc = set_key(db, database_key);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db, settings, NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
                reason_set(reason, "%s cannot be opened: %s", name,
                                db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
                (void)sqlite3_close(db);
                return (rc & 0xff) == SQLITE_NOMEM ? -ENOMEM : -EIO;
        }
        *ret = db;
        return 0;
}

static int refuse_lock(sqlite3_file *file, int level)
{
        (void)file;
        (void)level;
        return SQLITE_BUSY;
}

/*
 * The last connection to a database moves its WAL into the file and removes it, if it gets the exclusive
 * lock. SQLite 3.15 has no setting against that (SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE came with 3.16), so here it
 * does not get it.
 */
void store_disconnect_untouched(sqlite3 *db)
{
        sqlite3_io_methods methods;
        sqlite3_file *file = NULL;

        if (!db)
                return;
        if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file &&
                        file->pMethods) {
                methods = *file->pMethods;
                methods.xLock = refuse_lock;
                file->pMethods = &methods;
        }
        (void)sqlite3_close(db);
}

int store_settle(Store *s)
{
        static const struct {
                const char *set, *get, *expected;
        } settings[] = {
                        {NULL, "PRAGMA cipher_page_size", "4096"},
                        {NULL, "PRAGMA page_size", "4096"},
                        {NULL, "PRAGMA locking_mode", "exclusive"},
                        {"PRAGMA journal_mode=WAL", "PRAGMA journal_mode", "wal"},
                        {"PRAGMA synchronous=FULL", "PRAGMA synchronous", "2"},
                        {"PRAGMA temp_store=MEMORY", "PRAGMA temp_store", "2"},
                        {"PRAGMA wal_autocheckpoint=1000", "PRAGMA wal_autocheckpoint", "1000"},
                        {"PRAGMA journal_size_limit=8388608", "PRAGMA journal_size_limit", "8388608"},
                        {"PRAGMA cell_size_check=ON", "PRAGMA cell_size_check", "1"},
        };
        char got[32];
        int r;

        for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
                if (settings[i].set) {
                        r = store_exec(s, settings[i].set, "the database refuses a setting");
                        if (r)
                                return r;
                }
                r = store_query_text(s, settings[i].get, got, sizeof(got));
                if (r)
                        return r;
                if (strcmp(got, settings[i].expected) != 0) {
                        reason_set(&s->reason, "the database answers \"%s\" to \"%s\" instead of \"%s\"", got,
                                        settings[i].get, settings[i].expected);
                        return -EIO;
                }
        }
        return 0;
}
