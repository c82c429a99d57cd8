/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rows, their canonical encoding and their tags
 *
 * The encoding names table, number of cells and each cell with its kind, so that no two rows of any two
 * tables encode alike and a value cannot change its type unseen. docs/formats/store.md.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "store/internal.h"

static const char *const meta_columns[] = {"key", "version", "value"};
static const char *const keys_columns[] = {"uuid", "version", "state", "name", "algorithm", "purpose",
                "protection", "flags", "created", "public", "wrapped"};
static const char *const uses_columns[] = {"key", "rule", "version", "spent"};
static const char *const identities_columns[] = {"name", "version", "key", "issuer", "state", "layout", "created", "changed",
                "not_before", "not_after", "chain", "trust", "pins", "plan"};

static const char *const authorities_columns[] = {"name", "version", "key", "kind", "parent", "follows", "created",
                "crl_number", "crl_due", "awake", "certificate", "chain"};
static const char *const certificates_columns[] = {"serial", "version", "authority", "status", "name", "profile", "domain",
                "metadata", "request", "issued", "expires", "revoked", "reason", "text", "fingerprint", "certificate"};
static const char *const lists_columns[] = {"place", "version", "number", "this_update", "next_update", "taken", "chain", "list"};

const TableInfo store_tables[_TABLE_MAX] = {
                [TABLE_META] = {"meta", meta_columns, ELEMENTSOF(meta_columns), 1},
                [TABLE_KEYS] = {"keys", keys_columns, ELEMENTSOF(keys_columns), 1},
                [TABLE_USES] = {"uses", uses_columns, ELEMENTSOF(uses_columns), 2},
                [TABLE_IDENTITIES] = {"identities", identities_columns, ELEMENTSOF(identities_columns), 1},
                [TABLE_AUTHORITIES] = {"authorities", authorities_columns, ELEMENTSOF(authorities_columns), 1},
                [TABLE_CERTIFICATES] = {"certificates", certificates_columns, ELEMENTSOF(certificates_columns), 1},
                [TABLE_LISTS] = {"lists", lists_columns, ELEMENTSOF(lists_columns), 1},
};

static int cell_encode(const Cell *cell, Buffer *ret)
{
        int r = wire_put_u8(ret, (uint8_t)cell->kind);

        if (r)
                return r;
        switch (cell->kind) {
        case CELL_NULL:
                return 0;
        case CELL_INTEGER:
                return wire_put_u64(ret, (uint64_t)cell->integer);
        case CELL_TEXT:
        case CELL_BLOB:
                return wire_put_block(ret, cell->bytes);
        }
        return HF_E_INTERNAL;
}

int cells_encode(const char *table, const Cell *cells, size_t n, Buffer *ret)
{
        int r = wire_put_string(ret, "holdfast.row");

        if (!r)
                r = wire_put_string(ret, table);
        if (!r)
                r = wire_put_u8(ret, (uint8_t)n);
        for (size_t i = 0; i < n && !r; i++)
                r = cell_encode(&cells[i], ret);
        return r;
}

int row_tag(Store *s, const char *table, const Cell *cells, size_t n, uint8_t ret[static 32])
{
        int r;

        buffer_clear(&s->row);
        r = cells_encode(table, cells, n, &s->row);
        if (r)
                return r;
        mac_blake2b(store_log_key(s), buffer_bytes(&s->row), ret);
        if (s->row.len > STORE_ROW_KEPT) /* a list of other people's size is no reason to keep as much memory */
                buffer_deinit(&s->row);
        return 0;
}

void cell_read(sqlite3_stmt *statement, int column, Cell *ret)
{
        *ret = (Cell){.kind = CELL_NULL};
        switch (sqlite3_column_type(statement, column)) {
        case SQLITE_INTEGER:
                ret->kind = CELL_INTEGER;
                ret->integer = sqlite3_column_int64(statement, column);
                return;
        case SQLITE_TEXT:
                ret->kind = CELL_TEXT;
                break;
        case SQLITE_NULL:
                return;
        default: /* a floating-point number is never ours: its text as a blob matches no tag */
                ret->kind = CELL_BLOB;
                break;
        }
        ret->bytes.data = sqlite3_column_blob(statement, column); /* of a text too: as text it would be copied */
        ret->bytes.len = ret->bytes.data ? (size_t)sqlite3_column_bytes(statement, column) : 0;
}

static int cell_bind(sqlite3_stmt *statement, int at, const Cell *cell)
{
        switch (cell->kind) {
        case CELL_NULL:
                return sqlite3_bind_null(statement, at);
        case CELL_INTEGER:
                return sqlite3_bind_int64(statement, at, cell->integer);
        case CELL_TEXT:
                return sqlite3_bind_text(statement, at, (const char *)cell->bytes.data, (int)cell->bytes.len,
                                SQLITE_STATIC);
        case CELL_BLOB:
                if (cell->bytes.len == 0) /* a NULL pointer would bind NULL */
                        return sqlite3_bind_zeroblob(statement, at, 0);
                return sqlite3_bind_blob(
                                statement, at, cell->bytes.data, (int)cell->bytes.len, SQLITE_STATIC);
        }
        return SQLITE_MISUSE;
}

int cells_bind(sqlite3_stmt *statement, int first, const Cell *cells, size_t n)
{
        int rc = SQLITE_OK;

        for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
                rc = cell_bind(statement, first + (int)i, &cells[i]);
        return rc;
}

static void uuid_cell_name(const Cell *cell, char ret[static UUID_TEXT_SIZE])
{
        Uuid uuid = {};

        if (cell->kind == CELL_BLOB && cell->bytes.len == sizeof(uuid.b))
                memcpy(uuid.b, cell->bytes.data, sizeof(uuid.b));
        uuid_format(&uuid, ret);
}

static void text_cell_name(const Cell *cell, char *ret, size_t size)
{
        size_t n = cell->kind == CELL_TEXT && cell->bytes.len < size ? cell->bytes.len : 0;

        for (size_t i = 0; i < n; i++)
                ret[i] = (char)(cell->bytes.data[i] > 0x20 && cell->bytes.data[i] < 0x7f ? cell->bytes.data[i]
                                                                                         : '?');
        ret[n] = 0;
}

void row_name(const char *table, const Cell *cells, size_t n, char *ret, size_t size)
{
        char uuid[UUID_TEXT_SIZE], text[NAME_SIZE] = "";

        if (strcmp(table, "keys") == 0 && n > 3) {
                uuid_cell_name(&cells[0], uuid);
                text_cell_name(&cells[3], text, sizeof(text));
                (void)snprintf(ret, size, "keys, row %s (%s)", uuid, text);
        } else if (strcmp(table, "uses") == 0 && n > 1) {
                uuid_cell_name(&cells[0], uuid);
                text_cell_name(&cells[1], text, sizeof(text));
                (void)snprintf(ret, size, "uses, row %s of rule %s", uuid, text);
        } else {
                if (n > 0)
                        text_cell_name(&cells[0], text, sizeof(text));
                (void)snprintf(ret, size, "%s, row %s", table, text);
        }
}

int row_damaged(Store *s, const char *table, const Cell *cells, size_t n, const char *what)
{
        char name[200];

        row_name(table, cells, n, name, sizeof(name));
        reason_set(&s->reason, "table %s: %s", name, what);
        return HF_E_STORE_DAMAGED;
}

static bool is_integer(const Cell *cell, int64_t max)
{
        return cell->kind == CELL_INTEGER && cell->integer >= 0 && cell->integer <= max;
}

static bool take_uuid(const Cell *cell, Uuid *ret)
{
        if (cell->kind != CELL_BLOB || cell->bytes.len != sizeof(ret->b))
                return false;
        memcpy(ret->b, cell->bytes.data, sizeof(ret->b));
        return true;
}

static bool take_name(const Cell *cell, char ret[static NAME_SIZE])
{
        if (cell->kind != CELL_TEXT || cell->bytes.len == 0 || cell->bytes.len > NAME_MAX_LEN)
                return false;
        memcpy(ret, cell->bytes.data, cell->bytes.len);
        ret[cell->bytes.len] = 0;
        return name_is_valid(ret);
}

int row_decode_key(const Cell *cells, KeyAttributes *a, StoreKeyRow *ret)
{
        const Cell *public = &cells[9], *wrapped = &cells[10];

        /* Only the head is cleared: `public` is 640 bytes, and there may be 100,000 rows. */
        if (!take_uuid(&cells[0], &a->uuid) || !is_integer(&cells[1], UINT32_MAX) ||
                        !is_integer(&cells[2], STORE_KEY_DESTROYED) || cells[2].integer == 0 ||
                        !take_name(&cells[3], a->name) || !is_integer(&cells[4], _KEY_ALGORITHM_MAX - 1) ||
                        !is_integer(&cells[5], _KEY_PURPOSE_MAX - 1) ||
                        !is_integer(&cells[6], PROTECTION_TPM) || !is_integer(&cells[7], _KEY_FLAGS_ALL) ||
                        !is_integer(&cells[8], INT64_MAX) || public->kind != CELL_BLOB ||
                        public->bytes.len > KEY_PUBLIC_MAX ||
                        (wrapped->kind != CELL_BLOB && wrapped->kind != CELL_NULL) ||
                        wrapped->bytes.len > KEY_WRAPPED_MAX)
                return HF_E_STORE_DAMAGED;
        a->version = (uint32_t)cells[1].integer;
        a->algorithm = (KeyAlgorithm)cells[4].integer;
        a->purpose = (KeyPurpose)cells[5].integer;
        a->protection = (KeyProtection)cells[6].integer;
        a->flags = (uint32_t)cells[7].integer;
        a->created = (uint64_t)cells[8].integer;
        a->public_len = (uint16_t) public->bytes.len;
        if (a->public_len)
                memcpy(a->public, public->bytes.data, a->public_len);
        *ret = (StoreKeyRow){
                        .attributes = a,
                        .state = (StoreKeyState)cells[2].integer,
                        .wrapped = wrapped->bytes,
        };
        return 0;
}

int row_decode_uses(const Cell *cells, StoreUsesRow *ret)
{
        StoreUsesRow row = {};

        if (!take_uuid(&cells[0], &row.key) || !take_name(&cells[1], row.rule) ||
                        !is_integer(&cells[2], UINT32_MAX) || !is_integer(&cells[3], INT64_MAX))
                return HF_E_STORE_DAMAGED;
        row.version = (uint32_t)cells[2].integer;
        row.spent = (uint64_t)cells[3].integer;
        *ret = row;
        return 0;
}

/* A word that may be missing. */
static bool take_word(const Cell *cell, char ret[static NAME_SIZE])
{
        ret[0] = 0;
        return (cell->kind == CELL_TEXT && cell->bytes.len == 0) || take_name(cell, ret);
}

static bool take_blob(const Cell *cell, size_t max, Bytes *ret)
{
        *ret = cell->bytes;
        return cell->kind == CELL_BLOB && cell->bytes.len <= max;
}

int row_decode_identity(const Cell *cells, StoreIdentityRow *ret)
{
        StoreIdentityRow row = {};

        if (!take_name(&cells[0], row.name) || !is_integer(&cells[1], UINT32_MAX) || !take_uuid(&cells[2], &row.key) ||
                        !take_name(&cells[3], row.issuer) || !take_word(&cells[4], row.state) ||
                        !take_name(&cells[5], row.layout) || !is_integer(&cells[6], INT64_MAX) ||
                        !is_integer(&cells[7], INT64_MAX) || !is_integer(&cells[8], INT64_MAX) ||
                        !is_integer(&cells[9], INT64_MAX) || !take_blob(&cells[10], STORE_CHAIN_MAX, &row.chain) ||
                        !take_blob(&cells[11], STORE_CHAIN_MAX, &row.trust) ||
                        !take_blob(&cells[12], STORE_PINS_MAX * STORE_PIN_SIZE, &row.pins) ||
                        row.pins.len % STORE_PIN_SIZE || !take_blob(&cells[13], STORE_PLAN_MAX, &row.plan))
                return HF_E_STORE_DAMAGED;
        row.version = (uint32_t)cells[1].integer;
        row.created = (uint64_t)cells[6].integer;
        row.changed = (uint64_t)cells[7].integer;
        row.not_before = (uint64_t)cells[8].integer;
        row.not_after = (uint64_t)cells[9].integer;
        *ret = row;
        return 0;
}

int row_decode_authority(const Cell *cells, StoreAuthorityRow *ret)
{
        StoreAuthorityRow row = {};

        if (!take_name(&cells[0], row.name) || !is_integer(&cells[1], UINT32_MAX) || !take_uuid(&cells[2], &row.key) ||
                        !is_integer(&cells[3], 2) || cells[3].integer == 0 || !take_word(&cells[4], row.parent) ||
                        !take_word(&cells[5], row.follows) || !is_integer(&cells[6], INT64_MAX) ||
                        !is_integer(&cells[7], INT64_MAX) || !is_integer(&cells[8], INT64_MAX) ||
                        !is_integer(&cells[9], INT64_MAX) ||
                        !take_blob(&cells[10], STORE_CERTIFICATE_MAX, &row.certificate) ||
                        !take_blob(&cells[11], STORE_CHAIN_MAX, &row.chain))
                return HF_E_STORE_DAMAGED;
        row.version = (uint32_t)cells[1].integer;
        row.kind = (uint8_t)cells[3].integer;
        row.created = (uint64_t)cells[6].integer;
        row.crl_number = (uint64_t)cells[7].integer;
        row.crl_due = (uint64_t)cells[8].integer;
        row.awake = (uint64_t)cells[9].integer;
        *ret = row;
        return 0;
}

static bool take_text(const Cell *cell, size_t max, char *ret)
{
        size_t len = cell->bytes.len;

        if (cell->kind != CELL_TEXT || len > max || (len && memchr(cell->bytes.data, 0, len)))
                return false;
        if (len)
                memcpy(ret, cell->bytes.data, len);
        ret[len] = 0;
        return true;
}

static bool take_fixed(const Cell *cell, uint8_t *ret, size_t len)
{
        if (cell->kind != CELL_BLOB || cell->bytes.len != len)
                return false;
        memcpy(ret, cell->bytes.data, len);
        return true;
}

int row_decode_certificate(const Cell *cells, CertificateTexts *texts, StoreCertificateRow *ret)
{
        StoreCertificateRow row = {
                        .name = texts->name, .domain = texts->domain, .text = texts->text, .metadata = texts->metadata};

        if (!take_fixed(&cells[0], row.serial, sizeof(row.serial)) || !is_integer(&cells[1], UINT32_MAX) ||
                        !take_name(&cells[2], row.authority) || !is_integer(&cells[3], _STORE_CERTIFICATE_MAX - 1) ||
                        cells[3].integer == 0 || !take_text(&cells[4], STORE_TEXT_MAX, texts->name) ||
                        !take_name(&cells[5], row.profile) || !take_text(&cells[6], STORE_TEXT_MAX, texts->domain) ||
                        !take_text(&cells[7], STORE_METADATA_MAX, texts->metadata) ||
                        !take_fixed(&cells[8], row.request, sizeof(row.request)) || !is_integer(&cells[9], INT64_MAX) ||
                        !is_integer(&cells[10], INT64_MAX) || !is_integer(&cells[11], INT64_MAX) ||
                        !is_integer(&cells[12], UINT8_MAX) || !take_text(&cells[13], STORE_TEXT_MAX, texts->text) ||
                        !take_fixed(&cells[14], row.fingerprint, sizeof(row.fingerprint)) ||
                        !take_blob(&cells[15], STORE_CERTIFICATE_MAX, &row.certificate))
                return HF_E_STORE_DAMAGED;
        row.version = (uint32_t)cells[1].integer;
        row.status = (StoreCertificateStatus)cells[3].integer;
        row.issued = (uint64_t)cells[9].integer;
        row.expires = (uint64_t)cells[10].integer;
        row.revoked = (uint64_t)cells[11].integer;
        row.reason = (uint8_t)cells[12].integer;
        *ret = row;
        return 0;
}

bool place_text_is_valid(const char *text)
{
        uint8_t id[16];

        if (strncmp(text, "ca@", 3) == 0)
                return name_is_valid(text + 3);
        return strncmp(text, "crl@", 4) == 0 && strlen(text) == 4 + 2 * sizeof(id) &&
               hex_decode(text + 4, 2 * sizeof(id), id, sizeof(id)) == 0;
}

int row_decode_list(const Cell *cells, StoreListRow *ret)
{
        StoreListRow row = {};

        if (!take_text(&cells[0], sizeof(row.place) - 1, row.place) || !place_text_is_valid(row.place) ||
                        !is_integer(&cells[1], UINT32_MAX) || !take_blob(&cells[2], STORE_LIST_NUMBER_MAX, &row.number) ||
                        !is_integer(&cells[3], INT64_MAX) || !is_integer(&cells[4], INT64_MAX) ||
                        !is_integer(&cells[5], INT64_MAX) || !take_blob(&cells[6], STORE_CHAIN_MAX, &row.chain) ||
                        !take_blob(&cells[7], STORE_LIST_MAX, &row.list))
                return HF_E_STORE_DAMAGED;
        row.version = (uint32_t)cells[1].integer;
        row.this_update = (uint64_t)cells[3].integer;
        row.next_update = (uint64_t)cells[4].integer;
        row.taken = (uint64_t)cells[5].integer;
        *ret = row;
        return 0;
}
