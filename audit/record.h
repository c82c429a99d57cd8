/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One line as it was read
 *
 * Takes a line apart at its fixed places, without a JSON tree: recovery, verifier and reader all see lines
 * through this file. All spans are borrowed from the line. The form is exact (docs/formats/audit.md, "Line"):
 * anything that differs by one byte from what audit/chain.c would have written is refused with
 * HF_E_INVALID_ARGS.
 */
#include "audit/line.h"
#include "base/bytes.h"
#include "base/clock.h"

#define AUDIT_HASH_SIZE 32
/* `"mac":"` 64 digits `"}` */
#define AUDIT_MAC_TAIL 73

typedef struct AuditRecord {
        Bytes line; /* without its newline */
        uint64_t seq;
        uint64_t dur;
        Bytes prev; /* 64 hex digits */
        Bytes time; /* RFC 3339, CLOCK_TEXT_SIZE - 1 characters */
        Bytes event;
        Bytes fields; /* `"a":"b","c":1,` or empty */
        Bytes mac;    /* 64 hex digits */
} AuditRecord;

/* Only the fixed prefix, for scanning: seq and prev. */
int audit_record_prefix(Bytes line, uint64_t *ret_seq, Bytes *ret_prev);
/* The whole line, without newline. */
int audit_record_parse(Bytes line, AuditRecord *ret);
bool audit_record_is(const AuditRecord *r, const char *event);
/* The flags of its event; 0 for an event this version does not know. */
unsigned audit_record_flags(const AuditRecord *r);

/* The value of a field as it stands (a string without its quotes, still escaped). False where there is none.
 */
bool audit_record_field(const AuditRecord *r, const char *name, Bytes *ret);
/* The same as a value. HF_E_NOTHING_TO_DO: no such field; HF_E_INVALID_ARGS: not of this type, or too long.
 */
int audit_record_u64(const AuditRecord *r, const char *name, uint64_t *ret);
int audit_record_hash(const AuditRecord *r, const char *name, uint8_t ret[static AUDIT_HASH_SIZE]);
int audit_record_string(const AuditRecord *r, const char *name, char *ret, size_t size);

/* True if the line's MAC is the one `key` makes. Constant time. */
bool audit_record_authentic(const AuditRecord *r, const uint8_t key[static 32]);
