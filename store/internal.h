/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside of the room store/; nobody else includes this. */
#include <sqlite3.h>

#include "base/secret.h"
#include "store/place.h"
#include "store/store.h"
#include "store/sum.h"

#define STORE_APPLICATION_ID 0x48464b31 /* "HFK1" */
#define STORE_PAGE_SIZE 4096
#define STORE_CELLS_MAX 16 /* without the tag */
#define STORE_ROW_MAX (STORE_LIST_MAX + STORE_CHAIN_MAX + 8192) /* canonical encoding of one row */

#define STORE_ROW_KEPT (1024 * 1024) /* of memory to encode rows in */

#define META_ID "store.id"
#define META_SEQ "seq"

typedef enum TableId { TABLE_META, TABLE_KEYS, TABLE_USES, TABLE_IDENTITIES, TABLE_AUTHORITIES, TABLE_CERTIFICATES,
        TABLE_LISTS, _TABLE_MAX } TableId;

typedef struct TableInfo {
        const char *name;
        const char *const *columns; /* without the tag, which is the last one */
        size_t n_columns;
        size_t n_id; /* the first columns identify the row, the next one is its version */
} TableInfo;

extern const TableInfo store_tables[_TABLE_MAX];

/* One value of a row, as SQLite knows them. */
typedef struct Cell {
        enum { CELL_NULL, CELL_INTEGER, CELL_TEXT, CELL_BLOB } kind;
        int64_t integer;
        Bytes bytes; /* borrowed */
} Cell;

struct Store {
        sqlite3 *db;
        int dir_fd, lock_fd;
        bool wal_was_there; /* before we opened */
        bool scanned;       /* S is known */
        bool in_transaction;
        bool change_failed; /* this transaction can only be rolled back */
        bool broken;        /* a commit of unknown outcome: no further use */
        bool keep_files;    /* close without touching a file */
        char name[NAME_SIZE + 8];
        Uuid id;
        uint32_t schema;
        uint64_t seq, seq_before;
        Sum sum, sum_before;
        Secret *keys; /* database key, log key */
        StoreReason reason;
        int failure; /* what SQLite refused last, as our result */
        Buffer row; /* where rows are encoded */
        sqlite3_stmt *find[_TABLE_MAX], *insert[_TABLE_MAX], *update[_TABLE_MAX], *delete[_TABLE_MAX];
};

static inline const uint8_t *store_log_key(const Store *s)
{
        return s->keys->data + 32;
}

/* ---- sqlite.c: SQLite's words into ours ---- */

DEFINE_CLEANUP(sqlite3_stmt, sqlite3_finalize)
/* Keeps the sentence "WHAT: SQLite's message" and turns the code into a result. */
int store_fail(Store *s, int rc, const char *what);
int store_prepare(Store *s, const char *sql, sqlite3_stmt **ret);
int store_exec(Store *s, const char *sql, const char *what);
/* The first column of the first row; HF_E_INTERNAL if there is none. */
int store_query_integer(Store *s, const char *sql, int64_t *ret);
/* As much of it as fits. */
int store_query_text(Store *s, const char *sql, char *ret, size_t size);

/* ---- connect.c ---- */

/* A handle on (dir_fd, name) with key, page size and exclusive locking set; nothing is read yet. */
int store_connect(int dir_fd, const char *name, const uint8_t database_key[static 32], StoreReason *reason,
                sqlite3 **ret);
/* Closes so that neither the file nor its WAL changes. */
void store_disconnect_untouched(sqlite3 *db);
/* A Store object around nothing, with copies of keys and directory. */
int store_new(int dir_fd, const StoreParams *params, StoreReason *reason, Store **ret);
/* Sets what keeps commits durable and reads it back. */
int store_settle(Store *s);

/* ---- row.c ---- */

int cells_encode(const char *table, const Cell *cells, size_t n, Buffer *ret);
void cell_read(sqlite3_stmt *statement, int column, Cell *ret);
int cells_bind(sqlite3_stmt *statement, int first, const Cell *cells, size_t n);
/* The tag of a row by its cells. */
int row_tag(Store *s, const char *table, const Cell *cells, size_t n, uint8_t ret[static 32]);
/* A row's id for people. */
void row_name(const char *table, const Cell *cells, size_t n, char *ret, size_t size);
int row_decode_key(const Cell *cells, KeyAttributes *ret_attributes, StoreKeyRow *ret);
int row_decode_uses(const Cell *cells, StoreUsesRow *ret);
int row_decode_identity(const Cell *cells, StoreIdentityRow *ret);
int row_decode_authority(const Cell *cells, StoreAuthorityRow *ret);
/* The texts of a row, which have no NUL behind them in the database. */
typedef struct CertificateTexts {
        char name[STORE_TEXT_MAX + 1], domain[STORE_TEXT_MAX + 1], text[STORE_TEXT_MAX + 1], metadata[STORE_METADATA_MAX + 1];
} CertificateTexts;
int row_decode_certificate(const Cell *cells, CertificateTexts *texts, StoreCertificateRow *ret);
bool place_text_is_valid(const char *text);
int row_decode_list(const Cell *cells, StoreListRow *ret);
/* Says which row is not as we wrote it; HF_E_STORE_DAMAGED. */
int row_damaged(Store *s, const char *table, const Cell *cells, size_t n, const char *what);

/* ---- layout.c ---- */

/* Brings a database from schema `from` to schema `to` inside the caller's transaction. */
int layout_apply(sqlite3 *db, uint32_t from, uint32_t to);
/* The tables and indices are those of this schema and nothing else is there (no trigger, no view). */
int layout_check(Store *s, uint32_t schema);

/* ---- change.c ---- */

/* Writes one row with its tag; the caller is in a transaction. */
int store_write(Store *s, TableId table, const Cell *cells);
