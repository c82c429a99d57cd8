/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The layout of the database: which tables there are
 *
 * Somebody with the database key could add a trigger or a view. So the layout is compared with the one our
 * own SQL gives in an empty database in memory.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "crypto/digest.h"
#include "store/internal.h"
#include "store/migrate.h"
#include "store/schema.h"

#define LAYOUT_TEXT_MAX 65536

DEFINE_CLEANUP(sqlite3, sqlite3_close)

/* What a test adds behind the shipped schemas. */
static const char *extra_sql;

void store_migration_set_extra(const char *sql)
{
        extra_sql = sql;
}

uint32_t schema_newest(void)
{
        return store_migrations_count + (extra_sql ? 1 : 0);
}

const char *schema_sql(uint32_t number)
{
        return number <= store_migrations_count ? store_migrations[number - 1] : extra_sql;
}

/* For what only a digest told so far (schema 5). */
static void sha256(sqlite3_context *context, int n, sqlite3_value **values)
{
        uint8_t digest[DIGEST_SIZE];
        const void *text = sqlite3_value_blob(values[0]);

        (void)n;
        digest_sha256(BYTES(text, (size_t)sqlite3_value_bytes(values[0])), digest);
        sqlite3_result_blob(context, digest, sizeof(digest), SQLITE_TRANSIENT);
}

int layout_apply(sqlite3 *db, uint32_t from, uint32_t to)
{
        char version[64];
        int rc = sqlite3_create_function(db, "holdfast_sha256", 1, SQLITE_UTF8, NULL, sha256, NULL, NULL);

        for (uint32_t n = from + 1; n <= to && rc == SQLITE_OK; n++)
                rc = sqlite3_exec(db, schema_sql(n), NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                return rc;
        (void)sqlite3_create_function(db, "holdfast_sha256", 1, SQLITE_UTF8, NULL, NULL, NULL, NULL);
        (void)snprintf(version, sizeof(version), "PRAGMA user_version=%u", to);
        return sqlite3_exec(db, version, NULL, NULL, NULL);
}

/* SHA-256 over everything sqlite_master says. */
static int layout_digest(sqlite3 *db, uint8_t ret[static DIGEST_SIZE])
{
        static const char sql[] = "SELECT type || char(10) || name || char(10) || tbl_name || char(10) ||"
                                  " ifnull(sql, '') FROM sqlite_master ORDER BY type, name";
        _cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(LAYOUT_TEXT_MAX);
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc != SQLITE_OK)
                return rc;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
                const void *line = sqlite3_column_text(statement, 0);
                size_t len = (size_t)sqlite3_column_bytes(statement, 0);
                int r = line ? buffer_append(&text, line, len + 1) : -ENOMEM;

                if (r)
                        return r == -EMSGSIZE ? SQLITE_CORRUPT : SQLITE_NOMEM;
        }
        if (rc != SQLITE_DONE)
                return rc;
        digest_sha256(buffer_bytes(&text), ret);
        return SQLITE_OK;
}

static int make_expected(uint32_t schema, uint8_t ret[static DIGEST_SIZE])
{
        _cleanup_(sqlite3_closep) sqlite3 *memory = NULL;
        int rc = sqlite3_open(":memory:", &memory);

        if (rc == SQLITE_OK)
                rc = layout_apply(memory, 0, schema);
        return rc == SQLITE_OK ? layout_digest(memory, ret) : rc;
}

/* The last one is kept: to make it takes as long as half an opening. */
static int expected_digest(uint32_t schema, uint8_t ret[static DIGEST_SIZE])
{
        static _Thread_local struct {
                uint32_t schema; /* 0: none yet */
                const char *extra_sql;
                uint8_t digest[DIGEST_SIZE];
        } known;
        int rc;

        if (known.schema != schema || known.extra_sql != extra_sql) {
                known.schema = 0;
                rc = make_expected(schema, known.digest);
                if (rc != SQLITE_OK)
                        return rc;
                known.schema = schema;
                known.extra_sql = extra_sql;
        }
        memcpy(ret, known.digest, DIGEST_SIZE);
        return SQLITE_OK;
}

int layout_check(Store *s, uint32_t schema)
{
        uint8_t expected[DIGEST_SIZE], got[DIGEST_SIZE];

        if (expected_digest(schema, expected) != SQLITE_OK)
                return -ENOMEM; /* our own SQL in memory has no other way to fail */
        int rc = layout_digest(s->db, got);
        if (rc != SQLITE_OK)
                return store_fail(s, rc, "the store cannot be read");
        if (memcmp(expected, got, sizeof(got)) != 0) {
                reason_set(&s->reason, "the tables of the store are not those of schema %u", schema);
                return HF_E_STORE_DAMAGED;
        }
        return 0;
}
