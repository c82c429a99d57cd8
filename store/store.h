/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store
 *
 * One encrypted database file, `store.db`, which only the process holding its lock opens. This room is the
 * one that names SQLCipher; nothing of it shows here. SQLCipher keeps contents secret and pages honest, but
 * notices neither an old page, nor an old file, nor a lost WAL. So each row carries a tag under the log key,
 * and the sum S of all tags modulo 2^256 is kept in memory and moved by every change. What the audit log
 * publishes about it is store_state(). Layout: docs/formats/store.md.
 *
 * A store is opened, scanned once (which makes S known and hands every row to the caller), and from then on
 * only written to. Rows change inside store_begin() ... store_commit(). One thread at a time.
 *
 * Every failure leaves a plain sentence: in the StoreReason given to functions that have no Store yet, in
 * store_reason() for the others.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/name.h"
#include "base/uuid.h"
#include "crypto/attributes.h"

#define STORE_FILE "store.db"
#define STORE_LOCK_FILE "lock"
#define STORE_SCHEMA 5 /* the newest schema this program knows */
#define STORE_DIGEST_SIZE 32
#define STORE_META_KEY_MAX 64
#define STORE_META_VALUE_MAX 4096
#define STORE_CHAIN_MAX 49152 /* bytes of PEM: certificates of an identity, and as many of its trust anchors */
#define STORE_PINS_MAX 16
#define STORE_PIN_SIZE 32
#define STORE_PLAN_MAX 4096
#define STORE_CERTIFICATE_MAX 16384 /* bytes of DER */
#define STORE_SERIAL_SIZE 16
#define STORE_TEXT_MAX 256 /* bytes of a text about a certificate */
#define STORE_METADATA_MAX 1024
#define STORE_PLACE_SIZE (NAME_SIZE + 8) /* with NUL */
#define STORE_LIST_MAX (64 * 1024 * 1024) /* bytes of DER */
#define STORE_LIST_NUMBER_MAX 20

typedef struct Store Store;
typedef struct StoreBackup StoreBackup;

/* What happened, in one sentence for people, without a full stop; "" if nothing did. */
typedef struct StoreReason {
        char text[512];
} StoreReason;

typedef struct StoreParams {
        const char *name;            /* NULL: STORE_FILE */
        const uint8_t *database_key; /* 32 bytes */
        const uint8_t *log_key;      /* 32 bytes */
        Uuid id;                     /* create: written; open: must be equal unless it is all zero */
        bool lock_held;              /* the caller has store_lock() on this directory already */
} StoreParams;

/*
 * Takes the directory for this process: flock(2) on the file `lock`, which then holds our pid. The descriptor
 * is the lock. 0, HF_E_STORE_IN_USE (the reason names the pid), HF_E_STORE_UNSAFE, -errno.
 */
int store_lock(int dir_fd, StoreReason *reason, int *ret_fd);

/*
 * Makes a new empty store of schema STORE_SCHEMA, durable on return, and leaves it open and scanned, with seq
 * 0. HF_E_STORE_INITIALISED if a file of this name is there, HF_E_STORE_IN_USE, HF_E_STORE_UNSAFE
 * (directory), -errno.
 */
int store_create(int dir_fd, const StoreParams *params, StoreReason *reason, Store **ret);

/*
 * Opens what is there. Nothing is changed before every check has passed. 0, or
 *   HF_E_STORE_UNINITIALISED  no such file
 *   HF_E_STORE_UNSAFE         symlink, no regular file, other owner, mode wider than 0600, or the directory
 *                             is writable by others
 *   HF_E_STORE_IN_USE         another process has it; the reason names the pid
 *   HF_E_STORE_DAMAGED        not readable with this key: wrong key, damaged, or no database of ours
 *   HF_E_STORE_FOREIGN        readable, but with another id than params->id
 *   HF_E_STORE_TOO_NEW        made by a newer program; the file is byte for byte as before
 * -errno (-EIO: the database did not accept the settings that keep commits durable).
 */
int store_open(int dir_fd, const StoreParams *params, StoreReason *reason, Store **ret);

/* Writes the WAL back into the file and closes. Rolls an open transaction back. Returns NULL. */
Store *store_close(Store *s);
DEFINE_CLEANUP(Store, store_close)
/* Closes without writing: file and WAL stay as they are, for a store that was refused (rolled back, damaged).
 */
Store *store_abandon(Store *s);

const char *store_reason(const Store *s);
/* The last failure of the database: -ENOSPC, -ENOMEM, ... 0 if there was none. */
int store_failure(const Store *s);
uint32_t store_schema(const Store *s);
const Uuid *store_id(const Store *s);

/* ---- rows ---- */

typedef enum StoreKeyState {
        _STORE_KEY_STATE_INVALID = 0,
        STORE_KEY_LIVE = 1,
        STORE_KEY_DESTROYED = 2, /* tombstone: keeps the UUID taken, has no wrapped blob */
} StoreKeyState;

typedef struct StoreKeyRow {
        const KeyAttributes *attributes; /* attributes->version is the version of the row */
        StoreKeyState state;
        Bytes wrapped; /* at most KEY_WRAPPED_MAX; empty for a destroyed key */
} StoreKeyRow;

typedef struct StoreUsesRow {
        Uuid key;
        char rule[NAME_SIZE];
        uint64_t spent;   /* uses ever reserved; STORE_USES_FORFEITED: none left until granted again */
        uint32_t version; /* 1 for a new row, +1 with each change */
} StoreUsesRow;

typedef struct StoreIdentityRow {
        char name[NAME_SIZE];
        uint32_t version; /* 1 for a new row, +1 with each change */
        Uuid key;
        char issuer[NAME_SIZE]; /* "manual" */
        char state[NAME_SIZE];  /* "" for manual */
        char layout[NAME_SIZE];
        uint64_t created, changed, not_before, not_after; /* microseconds since 1970 */
        Bytes chain, trust; /* PEM, the leaf first; at most STORE_CHAIN_MAX each */
        Bytes pins;         /* STORE_PIN_SIZE bytes each, at most STORE_PINS_MAX */
        Bytes plan;         /* empty for manual; at most STORE_PLAN_MAX */
} StoreIdentityRow;

typedef struct StoreAuthorityRow {
        char name[NAME_SIZE];
        uint32_t version;
        Uuid key;
        uint8_t kind; /* 1 root, 2 intermediate */
        char parent[NAME_SIZE]; /* the authority here that signs it; "" where it is elsewhere */
        char follows[NAME_SIZE]; /* in whose place it issues when it has a certificate; "": it is the first of its line */
        uint64_t created;
        uint64_t crl_number, crl_due;
        uint64_t awake;    /* until when it signs; STORE_AWAKE_ALWAYS */
        Bytes certificate; /* DER; empty until it is signed */
        Bytes chain;       /* DER of those above it, nearest first */
} StoreAuthorityRow;

#define STORE_AWAKE_ALWAYS ((uint64_t)INT64_MAX)

typedef enum StoreCertificateStatus {
        _STORE_CERTIFICATE_INVALID = 0,
        STORE_CERTIFICATE_PENDING = 1, /* its serial is taken, its signature not there yet */
        STORE_CERTIFICATE_ACTIVE = 2,
        STORE_CERTIFICATE_REVOKED = 3,
        STORE_CERTIFICATE_SUPERSEDED = 4,
        _STORE_CERTIFICATE_MAX,
} StoreCertificateStatus;

typedef struct StoreCertificateRow {
        uint8_t serial[STORE_SERIAL_SIZE];
        uint32_t version;
        char authority[NAME_SIZE];
        StoreCertificateStatus status;
        const char *name;     /* texts: UTF-8, at most STORE_TEXT_MAX bytes */
        char profile[NAME_SIZE];
        const char *domain;
        const char *metadata; /* at most STORE_METADATA_MAX */
        uint8_t request[32];
        uint64_t issued, expires, revoked; /* microseconds since 1970, 0: not */
        uint8_t reason;
        const char *text;
        uint8_t fingerprint[32]; /* all zero while it is pending */
        Bytes certificate;       /* DER; while it is pending, what is to be signed */
} StoreCertificateRow;

typedef struct StoreListRow {
        char place[STORE_PLACE_SIZE]; /* "ca@NAME" of a CA here, "crl@" and 32 hex digits of one elsewhere */
        uint32_t version;
        Bytes number; /* big-endian, without zeroes in front; empty: it has none */
        uint64_t this_update, next_update, taken; /* microseconds since 1970 */
        Bytes chain; /* PEM of a CA elsewhere and those above it; at most STORE_CHAIN_MAX */
        Bytes list;  /* DER */
} StoreListRow;

#define STORE_USES_FORFEITED ((uint64_t)INT64_MAX)

/* What store_scan() calls back with; a NULL function skips that table's rows (their tags are checked all the
 * same). Everything pointed to lives until the call returns. A result other than 0 ends the scan with that
 * result. */
typedef struct StoreVisitor {
        int (*meta)(void *userdata, const char *key, Bytes value);
        int (*key)(void *userdata, const StoreKeyRow *row); /* destroyed ones too */
        int (*uses)(void *userdata, const StoreUsesRow *row);
        int (*identity)(void *userdata, const StoreIdentityRow *row);
        int (*authority)(void *userdata, const StoreAuthorityRow *row);
        int (*certificate)(void *userdata, const StoreCertificateRow *row); /* in the order in which they came */
        int (*list)(void *userdata, const StoreListRow *row);
} StoreVisitor;

/*
 * One pass over all rows: checks each tag, sums S. visitor may be NULL. HF_E_STORE_DAMAGED names table and
 * row of the first row that is not as we wrote it. May be repeated outside a transaction; a later pass whose
 * sum differs from what is in memory is HF_E_STORE_DAMAGED too.
 */
int store_scan(Store *s, const StoreVisitor *visitor, void *userdata);

/* The same after PRAGMA integrity_check, with nothing taken from the page cache. For doctor and before a
 * backup. */
int store_check(Store *s);

/* Appends the value of a meta row, its tag checked. HF_E_NOTHING_TO_DO if there is none. */
int store_get_meta(Store *s, const char *key, Buffer *ret);
/* Appends the DER of a certificate (or what is to be signed of a pending one), its tag checked. HF_E_NOTHING_TO_DO. */
int store_get_certificate(Store *s, const uint8_t serial[static STORE_SERIAL_SIZE], Buffer *ret);
/* Appends the DER of a list, its tag checked. HF_E_NOTHING_TO_DO. */
int store_get_list(Store *s, const char *place, Buffer *ret);
/* Seq of the last committed (or, inside a transaction, written) change. */
uint64_t store_seq(const Store *s);

/* ---- freshness ---- */

/* S as it is now, changes of an open transaction included; big-endian. After a scan only. */
void store_digest(const Store *s, uint8_t ret[static STORE_DIGEST_SIZE]);
/* state = MAC(log key, S || slots_hash): what a change line of the log publishes (architecture, section 7).
 */
void store_state(const Store *s, const uint8_t slots_hash[static 32], uint8_t ret[static STORE_DIGEST_SIZE]);

/* ---- changes ---- */

typedef enum StoreOutcome {
        STORE_COMMITTED = 0,
        STORE_ROLLED_BACK,     /* surely not done, store_failure() says why; S is back where it was */
        STORE_OUTCOME_UNKNOWN, /* the disk failed while committing: close, open, scan and see */
} StoreOutcome;

int store_begin(Store *s);
/*
 * Writes one row, new or over the old one. The old row's tag is checked first, and its version must be one
 * less, so that a stale page is not built upon: HF_E_STORE_DAMAGED. HF_E_KEY_EXISTS, after which the
 * transaction is as before: the key was destroyed, or another live key that is not retired has the name.
 * -ENOSPC, -ENOMEM, -EIO: the transaction can only be rolled back.
 */
int store_put_key(Store *s, const StoreKeyRow *row);
int store_put_uses(Store *s, const StoreUsesRow *row);
int store_put_identity(Store *s, const StoreIdentityRow *row);
int store_put_authority(Store *s, const StoreAuthorityRow *row);
int store_put_certificate(Store *s, const StoreCertificateRow *row);
int store_put_list(Store *s, const StoreListRow *row);
int store_put_meta(Store *s, const char *key, Bytes value);
/* HF_E_NOTHING_TO_DO if there is no such row. Deletes all uses rows of a key (those of a destroyed one). */
int store_delete_uses(Store *s, const Uuid *key);
int store_delete_meta(Store *s, const char *key);
int store_delete_identity(Store *s, const char *name);
int store_delete_list(Store *s, const char *place);
/* meta.seq = N, the number of the log line that stands for this transaction. */
int store_set_seq(Store *s, uint64_t seq);
StoreOutcome store_commit(Store *s);
/* 0, or -EIO: not even that could be done; every further use fails, and only opening anew helps. */
int store_rollback(Store *s);
/* Moves the WAL into the file now and empties it (store_close() does too; else it happens by itself at 4
 * MiB). */
int store_checkpoint(Store *s);

/* ---- copies ---- */

/*
 * A consistent encrypted copy under the same keys, made while the store goes on: a few pages per step,
 * changes made between steps included. The copy is made in (dir_fd, name), which must not exist. The copy is
 * whole and durable when a step sets *ret_done; freeing earlier removes it. It carries the state the store
 * has at that moment.
 */
int store_backup_begin(Store *s, int dir_fd, const char *name, StoreBackup **ret);
int store_backup_step(StoreBackup *b, int pages, bool *ret_done);
StoreBackup *store_backup_free(StoreBackup *b);
DEFINE_CLEANUP(StoreBackup, store_backup_free)
/* All steps at once. */
int store_backup(Store *s, int dir_fd, const char *name);

typedef struct StoreCopyInfo {
        Uuid id;
        uint32_t schema;
        uint64_t seq;
        uint64_t keys; /* live ones */
        uint8_t digest[STORE_DIGEST_SIZE];
} StoreCopyInfo;
/* Opens a copy (params->name; no lock needed), checks every page and tag, closes it. Results as store_open(),
 * store_scan(). */
int store_check_copy(int dir_fd, const StoreParams *params, StoreReason *reason, StoreCopyInfo *ret);
