/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One pass over every row of every table: tags checked, S summed, rows handed out. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "crypto/digest.h"
#include "store/internal.h"

typedef struct Scan {
        Store *s;
        const StoreVisitor *visitor;
        void *userdata;
        Sum sum;
        KeyAttributes attributes; /* 800 bytes, filled anew for each row */
} Scan;

static bool columns_match(sqlite3_stmt *statement, const TableInfo *t)
{
        if ((size_t)sqlite3_column_count(statement) != t->n_columns + 1)
                return false;
        for (size_t i = 0; i < t->n_columns; i++)
                if (strcmp(sqlite3_column_name(statement, (int)i), t->columns[i]) != 0)
                        return false;
        return true;
}

/* Which of our tables this is; _TABLE_MAX for one of another schema, whose tags alone are checked. */
static TableId table_of(sqlite3_stmt *statement, const char *name)
{
        TableId id = 0;

        while (id < _TABLE_MAX && strcmp(store_tables[id].name, name) != 0)
                id++;
        return id < _TABLE_MAX && columns_match(statement, &store_tables[id]) ? id : _TABLE_MAX;
}

static int visit_meta(Scan *scan, const Cell *cells)
{
        char key[STORE_META_KEY_MAX + 1];

        if (cells[0].kind != CELL_TEXT || cells[0].bytes.len >= sizeof(key) || cells[2].kind != CELL_BLOB)
                return row_damaged(scan->s, "meta", cells, 3, "not in its form");
        if (!scan->visitor || !scan->visitor->meta)
                return 0;
        memcpy(key, cells[0].bytes.data, cells[0].bytes.len);
        key[cells[0].bytes.len] = 0;
        return scan->visitor->meta(scan->userdata, key, cells[2].bytes);
}

static int visit_key(Scan *scan, const Cell *cells)
{
        StoreKeyRow row;

        if (row_decode_key(cells, &scan->attributes, &row))
                return row_damaged(scan->s, "keys", cells, store_tables[TABLE_KEYS].n_columns,
                                "not in its form");
        return scan->visitor && scan->visitor->key ? scan->visitor->key(scan->userdata, &row) : 0;
}

static int visit_uses(Scan *scan, const Cell *cells)
{
        StoreUsesRow row;

        if (row_decode_uses(cells, &row))
                return row_damaged(scan->s, "uses", cells, store_tables[TABLE_USES].n_columns,
                                "not in its form");
        return scan->visitor && scan->visitor->uses ? scan->visitor->uses(scan->userdata, &row) : 0;
}

static int visit_identity(Scan *scan, const Cell *cells)
{
        StoreIdentityRow row;

        if (row_decode_identity(cells, &row))
                return row_damaged(scan->s, "identities", cells, store_tables[TABLE_IDENTITIES].n_columns,
                                "not in its form");
        return scan->visitor && scan->visitor->identity ? scan->visitor->identity(scan->userdata, &row) : 0;
}

static int visit_authority(Scan *scan, const Cell *cells)
{
        StoreAuthorityRow row;

        if (row_decode_authority(cells, &row))
                return row_damaged(scan->s, "authorities", cells, store_tables[TABLE_AUTHORITIES].n_columns,
                                "not in its form");
        return scan->visitor && scan->visitor->authority ? scan->visitor->authority(scan->userdata, &row) : 0;
}

static int visit_certificate(Scan *scan, const Cell *cells)
{
        StoreCertificateRow row;
        CertificateTexts texts;

        if (row_decode_certificate(cells, &texts, &row))
                return row_damaged(scan->s, "certificates", cells, store_tables[TABLE_CERTIFICATES].n_columns,
                                "not in its form");
        return scan->visitor && scan->visitor->certificate ? scan->visitor->certificate(scan->userdata, &row) : 0;
}

static int visit_list(Scan *scan, const Cell *cells)
{
        StoreListRow row;

        if (row_decode_list(cells, &row))
                return row_damaged(scan->s, "lists", cells, store_tables[TABLE_LISTS].n_columns, "not in its form");
        return scan->visitor && scan->visitor->list ? scan->visitor->list(scan->userdata, &row) : 0;
}

static int visit(Scan *scan, TableId id, const Cell *cells)
{
        switch (id) {
        case TABLE_META:
                return visit_meta(scan, cells);
        case TABLE_KEYS:
                return visit_key(scan, cells);
        case TABLE_USES:
                return visit_uses(scan, cells);
        case TABLE_IDENTITIES:
                return visit_identity(scan, cells);
        case TABLE_AUTHORITIES:
                return visit_authority(scan, cells);
        case TABLE_CERTIFICATES:
                return visit_certificate(scan, cells);
        case TABLE_LISTS:
                return visit_list(scan, cells);
        case _TABLE_MAX:
                return 0;
        }
        return HF_E_INTERNAL;
}

static int scan_row(Scan *scan, sqlite3_stmt *statement, const char *table, TableId id, size_t n)
{
        uint8_t tag[DIGEST_SIZE];
        Cell cells[STORE_CELLS_MAX], stored;
        int r;

        for (size_t i = 0; i < n; i++)
                cell_read(statement, (int)i, &cells[i]);
        cell_read(statement, (int)n, &stored);
        r = row_tag(scan->s, table, cells, n, tag);
        if (r == -EMSGSIZE)
                return row_damaged(scan->s, table, cells, n, "longer than a row can be");
        if (r)
                return r;
        if (!bytes_equal(stored.bytes, BYTES_ARRAY(tag)))
                return row_damaged(scan->s, table, cells, n,
                                "its tag does not fit: the row was not written by this "
                                "program under this key");
        sum_add(&scan->sum, tag);
        return visit(scan, id, cells);
}

static int scan_table(Scan *scan, const char *table)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
        char sql[NAME_SIZE + 32], what[NAME_SIZE + 32];
        TableId id;
        int rc, n, r;

        (void)snprintf(sql, sizeof(sql), "SELECT * FROM %s", table);
        r = store_prepare(scan->s, sql, &statement);
        if (r)
                return r;
        n = sqlite3_column_count(statement) - 1;
        if (n < 1 || n > STORE_CELLS_MAX || strcmp(sqlite3_column_name(statement, n), "tag") != 0) {
                reason_set(&scan->s->reason, "table %s has no tag as its last column", table);
                return HF_E_STORE_DAMAGED;
        }
        id = table_of(statement, table);
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
                r = scan_row(scan, statement, table, id, (size_t)n);
                if (r)
                        return r;
        }
        (void)snprintf(what, sizeof(what), "table %s cannot be read", table);
        return rc == SQLITE_DONE ? 0 : store_fail(scan->s, rc, what);
}

static int scan_tables(Scan *scan)
{
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *names = NULL;
        int rc, r;

        r = store_prepare(scan->s,
                        "SELECT name FROM sqlite_master WHERE type='table' ORDER BY name<>'meta', name",
                        &names);
        if (r)
                return r;
        while ((rc = sqlite3_step(names)) == SQLITE_ROW) {
                const char *name = (const char *)sqlite3_column_text(names, 0);

                r = name && strlen(name) < NAME_SIZE ? scan_table(scan, name) : HF_E_STORE_DAMAGED;
                if (r)
                        return r;
        }
        return rc == SQLITE_DONE ? 0 : store_fail(scan->s, rc, "the store cannot be read");
}

int store_scan(Store *s, const StoreVisitor *visitor, void *userdata)
{
        Scan scan = {.s = s, .visitor = visitor, .userdata = userdata};
        int r;

        assert(!s->in_transaction);
        if (s->broken)
                return -EIO;
        r = scan_tables(&scan);
        if (r)
                return r;
        if (s->scanned && memcmp(&s->sum, &scan.sum, sizeof(scan.sum)) != 0) {
                reason_set(&s->reason, "the rows are not those this program wrote last");
                return HF_E_STORE_DAMAGED;
        }
        s->sum = scan.sum;
        s->scanned = true;
        return 0;
}

int store_check(Store *s)
{
        char answer[256] = "";
        int r;

        assert(!s->in_transaction);
        if (s->broken)
                return -EIO;
        (void)sqlite3_db_release_memory(s->db);
        r = store_query_text(s, "PRAGMA integrity_check(1)", answer, sizeof(answer));
        if (r)
                return r == HF_E_INTERNAL ? HF_E_STORE_DAMAGED : r;
        if (strcmp(answer, "ok") != 0) {
                reason_set(&s->reason, "the database is damaged: %.200s", answer);
                return HF_E_STORE_DAMAGED;
        }
        return store_scan(s, NULL, NULL);
}
