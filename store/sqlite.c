/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SQLite's codes stop here: its text goes into the reason, our result goes on. */
#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "store/internal.h"

static int system_error(sqlite3 *db, int otherwise)
{
        int e = db ? sqlite3_system_errno(db) : 0;

        return e > 0 ? -e : -otherwise;
}

static int result_of(sqlite3 *db, int rc)
{
        switch (rc & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOTADB:
        case SQLITE_CORRUPT:
        case SQLITE_SCHEMA:
        case SQLITE_MISMATCH:
        case SQLITE_CONSTRAINT:
                return HF_E_STORE_DAMAGED;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return HF_E_STORE_IN_USE;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_IOERR:
                return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : system_error(db, EIO);
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return system_error(db, EACCES);
        case SQLITE_ERROR:
                /* "no such table", "no such column": not the database our SQL was written for */
                return HF_E_STORE_DAMAGED;
        default:
                return HF_E_INTERNAL;
        }
}

int store_fail(Store *s, int rc, const char *what)
{
        int r = result_of(s->db, rc);

        if (r) {
                reason_set(&s->reason, "%s: %s", what,
                                rc == SQLITE_NOMEM || !s->db ? sqlite3_errstr(rc) : sqlite3_errmsg(s->db));
                s->failure = r;
        }
        return r;
}

int store_prepare(Store *s, const char *sql, sqlite3_stmt **ret)
{
        int rc = sqlite3_prepare_v2(s->db, sql, -1, ret, NULL);

        return rc == SQLITE_OK ? 0 : store_fail(s, rc, "the store cannot be read");
}

int store_exec(Store *s, const char *sql, const char *what)
{
        int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : store_fail(s, rc, what);
}

static int first_row(Store *s, const char *sql, sqlite3_stmt **ret)
{
        int rc, r = store_prepare(s, sql, ret);

        if (r)
                return r;
        rc = sqlite3_step(*ret);
        if (rc == SQLITE_ROW)
                return 0;
        if (rc != SQLITE_DONE)
                return store_fail(s, rc, "the store cannot be read");
        reason_set(&s->reason, "the database gives no answer to \"%s\"", sql);
        return HF_E_INTERNAL;
}

int store_query_integer(Store *s, const char *sql, int64_t *ret)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
        int r = first_row(s, sql, &statement);

        if (!r)
                *ret = sqlite3_column_int64(statement, 0);
        return r;
}

int store_query_text(Store *s, const char *sql, char *ret, size_t size)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
        const char *text;
        int r = first_row(s, sql, &statement);

        if (r)
                return r;
        text = (const char *)sqlite3_column_text(statement, 0);
        if (!text)
                return store_fail(s, SQLITE_NOMEM, "the store cannot be read");
        (void)snprintf(ret, size, "%s", text);
        return 0;
}
